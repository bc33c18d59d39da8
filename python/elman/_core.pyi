from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman._network import Network as _Network

# Arrays of the network's dtype, float32 or float64.
_Array = NDArray[Any]

# (name, alpha, beta, clip) of an activation, with None for what it does not have.
_Activation = tuple[str, float | None, float | None, float | None]

def activate(activation: _Activation, values: _Array) -> _Array:
    """Apply the kernels' own function, any but softmax, to a float32 or float64 array."""

def activation(activation: _Activation) -> _Activation:
    """Check an activation (name, alpha, beta, clip); return it with the defaults in place."""

def available_isas() -> list[str]:
    """Return the instruction sets that this build and this processor have, the best last."""

def backward(
    network: Network,
    x: ArrayLike,
    dL_dy: ArrayLike,
    dL_dh: ArrayLike | None,
    lengths: ArrayLike | None,
    state: ArrayLike | None,
    outputs: str,
    threads: int,
) -> tuple[dict[str, _Array], _Array]:
    """Return (gradients by the names of the tensors, that of x)."""

def build_info() -> dict[str, Any]:
    """Return what this build is made of, and which promises the set in use keeps."""

def clock_cost() -> float:
    """Return the median nanoseconds between two readings of the clock that time_steps uses."""

def examples(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    outputs: str,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    weights_name: str = "weights",
    reachable: bool = False,
) -> Examples:
    """Convert and check what a loss is taken of."""

def isa() -> str:
    """Return the name of the instruction set in use."""

def loss_and_gradients(
    network: Network,
    examples: Examples,
    bptt_steps: int | None,
    update_every: int | None,
    normalizer: float | None,
    threads: int,
) -> tuple[float, dict[str, _Array]]:
    """Return (loss, gradients by the names of the tensors); initial_state is that of the state passed."""

def permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return 0 ... count-1 in the order that a seed gives to an epoch."""

def polls() -> int:
    """Return how often all calls so far could have been stopped by a signal."""

def set_isa(name: str, /) -> None:
    """Choose the instruction set of the networks that are built from now on."""

def stream(core: Network, network: _Network) -> Stream:
    """Make a stream at the network's initial state."""

def thread_limits(most: int | None = None, work_of_each: int | None = None) -> tuple[int, int]:
    """Set how many threads a call may use at most, and how many multiply-adds are worth one;
    return (most, work_of_each).
    """

def time_steps(
    network: Network, x: ArrayLike, count: int, period_ns: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Time `count` single steps over the rows of x (N, I), in turn; return nanoseconds (count,),
    twice.

    Step i is due i * period_ns after the first, whether or not the one before is done. The first
    result counts from when a step began, the second from when it was due; they are equal where
    there is no period.
    """

def trainer(
    network: Network,
    optimizer: str,
    settings: dict[str, float],
    clip_norm: float | None,
    clip_value: float | None,
    train_initial_state: bool,
) -> Trainer:
    """Make a trainer that begins with the network's weights."""

# No class has a constructor: a network comes from its static methods, the others from functions.
@final
class Network:
    """The core of an elman.Network: constant and packed."""
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @staticmethod
    def from_tensors(
        dtype: str,
        tensors: dict[str, _Array],
        directions: Sequence[str],
        activations: Sequence[_Activation],
        output_activation: _Activation | None,
    ) -> Network:
        """Build a network from tensors by their names in the file; activations has one for each half
        of each layer.
        """
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
    ) -> Network:
        """Build a network with random weights; tensors gives what is not random."""
    def require_forward(self, what: str, reason: str) -> None:
        """Refuse layers that do not run forward."""
    def tensors(self) -> dict[str, _Array]:
        """Return read-only views of all tensors by name."""
    def call(self, x: ArrayLike, outputs: str, out: _Array | None) -> _Array:
        """Run whole sequences; return the outputs, a list of them for a list of sequences."""
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
        mask: ArrayLike | Sequence[ArrayLike] | None = None,
        masked: str = "hold",
        offsets: ArrayLike | None = None,
    ) -> tuple[_Array, _Array, Any]:
        """Run whole sequences; return (output, state, hidden or None). Errors call x `argument`."""
    def generate(self, start: ArrayLike, steps: int, state: ArrayLike | None) -> _Array:
        """Feed outputs back as inputs; return (..., steps, O)."""
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
    """What a loss is taken of, converted and checked."""
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @property
    def counts(self) -> bool:
        """Whether any step has a weight."""
    @property
    def sequences(self) -> int: ...

@final
class Trainer:
    """Weights in training, and an optimizer's moments."""
    def __init__(self, *args: object, **kwargs: object) -> None: ...
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
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Train on these sequences once; return the losses and weights of all updates."""
    def updates_of(
        self,
        examples: Examples,
        indices: NDArray[np.int64],
        batch_size: int,
        bptt_steps: int | None,
        update_every: int | None,
    ) -> int:
        """Return how many updates train() will make."""
    def loss(self, examples: Examples, threads: int) -> float:
        """Return the loss of all examples."""
    def network(self) -> Network:
        """Return a network of the weights as they are."""
    def state(self) -> dict[str, _Array]:
        """Return copies of all that the next update depends on."""
    def restore(self, state: dict[str, _Array], updates: int) -> None:
        """Go back to a state, after so many updates."""
    def forget(self) -> None:
        """Carry no states into the next call of train()."""
    @property
    def finite(self) -> bool: ...
    @property
    def updates(self) -> int: ...

@final
class Stream:
    """One sequence in real time.

    The state stays inside: every step continues where the last one ended. Made by
    `Network.stream()`; belongs to one thread at a time, every other is refused with a `BusyError`. A
    process that is forked during a call of another thread inherits a stream that stays busy: it makes a
    new one.
    """
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def step(self, x: ArrayLike, /, out: _Array | None = None) -> _Array:
        """Advance by one step and return its output.

        Parameters
        ----------
        x : array_like, shape (I,)
            The input. An array of the network's dtype is read as it is; anything else that holds
            real numbers is converted, which takes longer.
        out : ndarray, shape (O,), optional
            Where to write the output: an array of the network's dtype, which may be `x` itself.
            The step then allocates nothing.

        Returns
        -------
        ndarray, shape (O,)
            The output, or `out`.

        Raises
        ------
        ShapeError, DTypeError
            `x` or `out` is not what this network takes. The state is as before.
        BusyError
            Another thread is using this stream.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=2, hidden_size=8, output_size=1, seed=0)
        >>> stream = net.stream()
        >>> y = np.empty(1, np.float32)
        >>> for x in np.zeros((3, 2), np.float32):
        ...     _ = stream.step(x, out=y)
        """
    def run(self, chunk: ArrayLike, out: _Array | None = None) -> _Array:
        """Advance by a chunk of steps.

        Parameters
        ----------
        chunk : array_like, shape (T, I)
            The inputs.
        out : ndarray, shape (T, O), optional
            Where to write the outputs: an array of the network's dtype that shares no memory with
            `chunk`.

        Returns
        -------
        ndarray, shape (T, O)
            The outputs, or `out`: bit for bit those of T single steps.
        """
    def copy(self) -> Stream:
        """Return a stream of the same network that continues from the same state."""
    def reset(self) -> None:
        """Go back to where the network begins: its initial state, or zeros."""
    @property
    def state(self) -> _Array:
        """A copy of the state after the last step, shape (state_size,): the layers' hidden states from
        the bottom up. Assigning checks and copies in.
        """
    @state.setter
    def state(self, value: ArrayLike, /) -> None: ...
    @property
    def network(self) -> _Network:
        """The network that the stream was made from."""
    @property
    def input_size(self) -> int:
        """I, the number of features of an input."""
    @property
    def output_size(self) -> int:
        """O, the number of outputs."""
    @property
    def state_size(self) -> int:
        """The number of values in the state."""
    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
    def __copy__(self) -> Stream: ...
    def __deepcopy__(self, memo: object, /) -> Stream: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
