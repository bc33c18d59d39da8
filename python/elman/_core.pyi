from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Arrays of the network's dtype, float32 or float64.
_Array = NDArray[Any]

# (name, alpha, beta, clip) of an activation, with None for what it does not have.
_Activation = tuple[str, float | None, float | None, float | None]

def activate(activation: _Activation, values: _Array) -> _Array: ...
def activation(activation: _Activation) -> _Activation: ...
def available_isas() -> list[str]: ...
def build_info() -> dict[str, Any]: ...
def clock_cost() -> float: ...
def isa() -> str: ...
def loss_and_gradients(
    network: Network,
    examples: Examples,
    bptt_steps: int | None,
    update_every: int | None,
    normalizer: float | None,
    threads: int,
) -> tuple[float, dict[str, _Array], _Array]: ...
def permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]: ...
def set_isa(name: str, /) -> None: ...
def stream(network: Network) -> Stream: ...
def time_steps(
    network: Network, x: ArrayLike, count: int, period_ns: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]: ...

# Two classes have no constructor: a network comes from its static methods, a stream from stream().
@final
class Network:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @staticmethod
    def from_tensors(
        dtype: str,
        tensors: dict[str, _Array],
        directions: Sequence[str],
        activations: Sequence[_Activation],
        output_activation: _Activation | None,
    ) -> Network: ...
    @staticmethod
    def random(
        dtype: str,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int | None,
        directions: Sequence[str],
        activations: Sequence[_Activation],
        output_activation: _Activation,
        bias: bool,
        seed: int,
        tensors: dict[str, _Array],
        init: str = "uniform",
        settings: dict[str, float] = {},
    ) -> Network: ...
    def require_forward(self, what: str, reason: str) -> None: ...
    def tensors(self) -> dict[str, _Array]: ...
    def call(self, x: ArrayLike, outputs: str, out: _Array | None) -> _Array: ...
    def run(
        self,
        x: ArrayLike,
        state: ArrayLike | None,
        lengths: ArrayLike | None,
        outputs: str,
        return_hidden: bool,
        threads: int,
        out: _Array | None,
        argument: str = "x",
        mask: ArrayLike | None = None,
        masked: str = "hold",
    ) -> tuple[_Array, _Array, _Array | None]: ...
    def generate(self, start: ArrayLike, steps: int, state: ArrayLike | None) -> _Array: ...
    @property
    def activations(self) -> list[_Activation]: ...
    @property
    def directions(self) -> list[str]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def hidden_sizes(self) -> list[int]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def output_activation(self) -> _Activation | None: ...
    @property
    def output_size(self) -> int: ...

@final
class Examples:
    def __init__(
        self,
        network: Network,
        x: ArrayLike,
        y: ArrayLike,
        loss: str,
        outputs: str,
        lengths: ArrayLike | None = None,
        state: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> None: ...
    @property
    def sequences(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def weight(self) -> float: ...

@final
class Trainer:
    def __init__(
        self,
        network: Network,
        optimizer: str,
        settings: dict[str, float],
        clip_norm: float | None,
        clip_value: float | None,
        train_initial_state: bool,
    ) -> None: ...
    def train(
        self,
        examples: Examples,
        indices: NDArray[np.int64],
        batch_size: int,
        learning_rates: NDArray[np.float64],
        bptt_steps: int | None,
        update_every: int | None,
        carry: bool,
        threads: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def updates_of(
        self,
        examples: Examples,
        indices: NDArray[np.int64],
        batch_size: int,
        bptt_steps: int | None,
        update_every: int | None,
    ) -> int: ...
    def loss(self, examples: Examples, threads: int) -> float: ...
    def network(self) -> Network: ...
    def state(self) -> dict[str, _Array]: ...
    def restore(self, state: dict[str, _Array], updates: int) -> None: ...
    @property
    def updates(self) -> int: ...

@final
class Stream:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def step(self, x: ArrayLike, /, out: _Array | None = None) -> _Array: ...
    def run(self, chunk: ArrayLike, out: _Array | None = None) -> _Array: ...
    def copy(self) -> Stream: ...
    def reset(self) -> None: ...
    @property
    def state(self) -> _Array: ...
    @state.setter
    def state(self, value: ArrayLike, /) -> None: ...
    @property
    def _network(self) -> Network: ...
    def __copy__(self) -> Stream: ...
    def __deepcopy__(self, memo: object, /) -> Stream: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
