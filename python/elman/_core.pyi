from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman._network import Network as _Network

# Arrays of the network's dtype, float32 or float64.
_Array = NDArray[Any]

_Function = TypeVar("_Function", bound=Callable[..., Any])

# (name, alpha, beta, clip) of an activation, with None for what it does not have.
_Activation = tuple[str, float | None, float | None, float | None]

# The loss, the gradients of all parameters in the order of the file, and kept states.
_Part = tuple[float, _Array | None, _Array | None]

def activate(activation: _Activation, values: _Array) -> _Array:
    """Apply the kernel of an elementwise activation to a float32 or float64 array."""

def activation(activation: _Activation) -> _Activation:
    """Check an activation (name, alpha, beta, clip) and return it with defaults filled in."""

def available_isas() -> list[str]:
    """Return the instruction sets that this build and this processor support, the best last."""

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
    """Return (gradients by tensor name, gradient of x)."""

def build_info() -> dict[str, Any]:
    """Return the versions, flags and sources of this build, and the promises of the set in use."""

def clock_cost() -> float:
    """Return the median time in nanoseconds between two readings of the clock of time_steps."""

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
    """Convert and check training examples."""

def fast_call(function: _Function) -> _Function:
    """Decorate Network.__call__ with a fast path: short calls on an array do not enter Python."""

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
    """Return (loss, gradients by tensor name); initial_state is the gradient of `state`, if given."""

def moments(rows: _Array, shift: _Array) -> NDArray[np.float64]:
    """Return the sums (2, C) of x - shift and of its squares over rows (N, C), in float64."""

def permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return 0 ... count-1 in the random order of an epoch."""

def polls() -> int:
    """Return the number of times so far that a call could have been stopped by a signal."""

def set_isa(name: str, /) -> None:
    """Set the instruction set for networks built from now on."""

def stream(
    core: Network, network: _Network, nonfinite: str, state: ArrayLike | None = None
) -> Stream:
    """Return a stream in this state, even if it is not finite; by default in the network's
    initial state.
    """

def streams(
    core: Network, network: _Network, n: int, nonfinite: str, state: ArrayLike | None = None
) -> StreamPool:
    """Return a pool of n rows in this state, even if it is not finite; by default in the
    network's initial state.
    """

def thread_limits(most: int | None = None, work_of_each: int | None = None) -> tuple[int, int]:
    """Set the maximum number of threads of a call and the multiply-adds that justify one;
    return (most, work_of_each).
    """

def time_steps(
    network: Network, x: ArrayLike, count: int, period_ns: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Time `count` single steps, cycling through the rows of x (N, I).

    Step i is due i * period_ns after the first, whether or not step i - 1 has ended. Return two
    arrays of nanoseconds (count,): from the start of each step, and from when it was due. They are
    equal without a period.
    """

def trainer(
    network: Network,
    optimizer: str,
    settings: dict[str, float],
    clip_norm: float | None,
    clip_value: float | None,
    train_initial_state: bool,
) -> Trainer:
    """Return a trainer that starts from the network's weights."""

# No class has a constructor: a network comes from its static methods, the others from functions.
@final
class Network:
    """The core of an elman.Network: immutable and packed."""
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @staticmethod
    def from_tensors(
        dtype: str,
        tensors: dict[str, _Array],
        directions: Sequence[str],
        activations: Sequence[_Activation],
        output_activation: _Activation | None,
    ) -> Network:
        """Return a network of these tensors, keyed by their names in the file; activations has one
        entry per half of a layer.
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
        """Return a network with random weights, except for the given tensors."""
    def require_forward(self, what: str, reason: str) -> None:
        """Raise an error if a layer does not run forward."""
    def tensors(self) -> dict[str, _Array]:
        """Return read-only views of all tensors by name."""
    def call(self, x: ArrayLike, outputs: str | None, out: _Array | None) -> _Array:
        """Run whole sequences and return the outputs; NotImplemented for lists and data frames."""
    def run(
        self,
        x: ArrayLike,
        state: ArrayLike | None,
        lengths: ArrayLike | None,
        outputs: str | None,
        return_hidden: bool,
        threads: int,
        out: _Array | None,
        argument: str = "x",
        mask: ArrayLike | Sequence[ArrayLike] | None = None,
        masked: str = "hold",
        offsets: ArrayLike | None = None,
    ) -> tuple[_Array, _Array, Any]:
        """Run whole sequences and return (output, state, hidden or None); NotImplemented for lists and
        data frames. `argument` is the name of x in errors.
        """
    def generate(self, start: ArrayLike, steps: int, state: ArrayLike | None) -> _Array:
        """Feed outputs back as inputs and return them, (..., steps, O)."""
    def half_sums(
        self, half: int, x: _Array, h: _Array, start: _Array, threads: int = 1
    ) -> tuple[_Array, _Array]:
        """Return the sums (u, a) of a run's half of a layer, counted from the bottom up, from its
        scaled inputs, its states after every step and those before the first.
        """
    def recurrent_sums(self, half: int, h: _Array, start: _Array) -> _Array:
        """Return W_hh h_(t-1) of a run's half of a layer, alone."""
    def readout_sums(self, top: _Array, threads: int = 1) -> _Array:
        """Return the sums of the readout, from the states of the top layer."""
    def partial_sums(self) -> dict[str, int]:
        """Return the number of partial sums of a product with each matrix, by tensor name."""
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
    def nbytes(self) -> int: ...
    @property
    def output_activation(self) -> _Activation | None: ...
    @property
    def output_size(self) -> int: ...

@final
class Examples:
    """Training examples, converted and checked."""
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @property
    def counts(self) -> bool:
        """Whether any step has a weight."""
    @property
    def sequences(self) -> int: ...

@final
class Trainer:
    """Weights in training and the optimizer's moments."""
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
        compute: Callable[..., _Part] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Train on these sequences once; return the loss and the weight of each update. All gradients
        come from `compute`, if given, which takes and returns what part() does.
        """
    def part(
        self,
        examples: Examples,
        weights: _Array,
        indices: NDArray[np.int64],
        window: tuple[int, int, int, int],
        truncation: tuple[int, int] | None,
        states: _Array | None,
        normalizer: float,
        gradients: bool,
        keep: bool,
        threads: int,
    ) -> _Part:
        """Return (loss, gradients or None, kept states or None) of sequences in a window (first, last,
        errors_from, kept_step), for these weights, which replace the trainer's own.
        """
    def updates_of(
        self,
        examples: Examples,
        indices: NDArray[np.int64],
        batch_size: int,
        bptt_steps: int | None,
        update_every: int | None,
    ) -> int:
        """Return the number of updates that train() makes."""
    def loss(
        self, examples: Examples, threads: int, compute: Callable[..., _Part] | None = None
    ) -> float:
        """Return the loss of all examples, computed by `compute`, if given, as in train()."""
    def network(self) -> Network:
        """Return a network with the current weights."""
    def state(self) -> dict[str, _Array]:
        """Return a copy of the complete training state."""
    def restore(self, state: dict[str, _Array], updates: int) -> None:
        """Restore a state after `updates` updates."""
    def forget(self) -> None:
        """Drop the carried states."""
    @property
    def finite(self) -> bool: ...
    @property
    def updates(self) -> int: ...

@final
class Stream:
    """One sequence in real time.

    Keeps the state: every step continues from the previous one. Created by `Network.stream()`. For
    one thread at a time: a call from a second thread raises `BusyError`. A process forked while another
    thread is in a call inherits a stream that stays busy, and must create a new one.

    Streams of one network share it, also after they were pickled together.
    """
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def step(self, x: ArrayLike, /, out: _Array | None = None) -> _Array:
        """Advance by one step and return its output.

        Parameters
        ----------
        x : array_like, shape (I,)
            The input. An array of the network's dtype is read in place; other real numbers are
            converted, which takes longer.
        out : ndarray, shape (O,), optional
            Array of the network's dtype for the output; may be `x`. The step then allocates
            nothing.

        Returns
        -------
        ndarray, shape (O,)
            The output, or `out`.

        Raises
        ------
        ShapeError, DTypeError
            If `x` or `out` does not fit this network. The state is unchanged.
        ArgumentError
            If a number in `x` is not finite and `nonfinite` is "raise". The state and `out` are
            unchanged.
        BusyError
            If another thread is using this stream.

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
            Array of the network's dtype for the outputs. It must not share memory with `chunk`.

        Returns
        -------
        ndarray, shape (T, O)
            The outputs, or `out`; the same bits as T single steps.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            As for `step`; all of `chunk` is checked before the first step. The state and `out` are
            unchanged.
        BusyError
            If another thread is using this stream.
        """
    def copy(self) -> Stream:
        """Return a stream of the same network with a copy of the state."""
    def reset(self) -> None:
        """Reset the state to the network's initial state, or to zeros."""
    @property
    def state(self) -> _Array:
        """The state after the last step, shape (state_size,): the layers' hidden states from the
        bottom up. Reading returns a copy; assigning checks and copies: NaN and infinities are
        accepted only if `nonfinite` is "propagate".
        """
    @state.setter
    def state(self, value: ArrayLike, /) -> None: ...
    @property
    def nonfinite(self) -> str:
        """What a sample that is not finite does: "raise", "hold" or "propagate"; see `Network.stream`."""
    @property
    def nbytes(self) -> int:
        """The bytes of memory of this stream, without its network."""
    @property
    def network(self) -> _Network:
        """The network of this stream."""
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

@final
class StreamPool:
    """Many sequences in real time, which advance together.

    Each of the n rows is an independent sequence with the bits of a `Stream`, whatever rows it
    advances with. A call advances all rows it is for, or none: also if it is refused or interrupted.
    Created by `Network.streams()`. For one thread at a time, as a stream.
    """
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def __len__(self) -> int: ...
    def step(
        self,
        x: ArrayLike,
        /,
        out: _Array | None = None,
        *,
        rows: ArrayLike | None = None,
        threads: int = 1,
    ) -> _Array:
        """Advance all rows, or some, by one step and return their outputs.

        Parameters
        ----------
        x : array_like, shape (n, I), or (m, I) with `rows`
            The inputs. An array of the network's dtype is read in place; other real numbers are
            converted, which takes longer.
        out : ndarray, shape (n, O) or (m, O), optional
            Array of the network's dtype for the outputs; may be `x`, but not overlap it otherwise.
            After the first call a step then allocates no memory for arrays.
        rows : array_like, shape (m,) or (n,), optional
            The rows to advance: m distinct indices from 0 to n - 1, in any order, or a mask of n
            booleans. The other rows keep their state. By default all rows.
        threads : int
            Number of threads, which end with the call. A step uses fewer if it is too short for
            them; the results do not depend on their number.

        Returns
        -------
        ndarray, shape (n, O) or (m, O)
            The outputs in the order of `x`, or `out`.

        Raises
        ------
        ShapeError, DTypeError
            If `x`, `out` or `rows` does not fit. No row advances.
        ArgumentError
            If an index is out of range or given twice; if a number in `x` is not finite and
            `nonfinite` is "raise"; if `out` overlaps `x`. No row advances, and `out` is unchanged.
        BusyError
            If another thread is using this pool.
        KeyboardInterrupt
            If Ctrl-C interrupts a long step. No row advances; `out` is unspecified.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=2, hidden_size=8, output_size=1, seed=0)
        >>> pool = net.streams(1000)
        >>> pool.step(np.zeros((1000, 2))).shape
        (1000, 1)
        >>> pool.step(np.zeros((2, 2)), rows=[7, 3]).shape
        (2, 1)
        """
    def run(
        self,
        chunk: ArrayLike,
        out: _Array | None = None,
        *,
        rows: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        threads: int = 1,
    ) -> _Array:
        """Advance all rows, or some, by a chunk of steps each.

        Parameters
        ----------
        chunk : array_like, shape (n, T, I), or (m, T, I) with `rows`
            The inputs.
        out : ndarray, shape (n, T, O) or (m, T, O), optional
            Array of the network's dtype for the outputs. It must not share memory with `chunk`.
        rows : array_like, shape (m,) or (n,), optional
            The rows to advance, as for `step`.
        lengths : array_like of int, shape (n,) or (m,), optional
            Number of steps of each, 0 to T; by default T. What follows in `chunk` is padding: it is not
            read, and its outputs are zero.
        threads : int
            Number of threads, which end with the call; the results do not depend on it.

        Returns
        -------
        ndarray, shape (n, T, O) or (m, T, O)
            The outputs, or `out`; the same bits as T single steps.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, BusyError, KeyboardInterrupt
            As for `step`; all of `chunk` is checked before the first step. No row advances.
        """
    def copy(self, rows: ArrayLike | None = None) -> StreamPool:
        """Return a pool of the same network with a copy of the states.

        Parameters
        ----------
        rows : array_like, shape (m,) or (n,), optional
            The rows to copy, as for `step`, in this order; by default all.

        Returns
        -------
        StreamPool
        """
    def reset(self, rows: ArrayLike | None = None) -> None:
        """Reset some rows to the network's initial state, or to zeros.

        Parameters
        ----------
        rows : array_like, shape (m,) or (n,), optional
            The rows, as for `step`; by default all.
        """
    def resize(self, n: int) -> None:
        """Change the number of rows.

        Parameters
        ----------
        n : int
            The first n rows are kept; new ones begin in the network's initial state.

        Raises
        ------
        ArgumentError, LimitError
            If `n` is negative, or more rows than memory can address. Nothing changes.
        """
    def get_state(self, rows: ArrayLike | None = None) -> _Array:
        """Return a copy of the states of some rows.

        Parameters
        ----------
        rows : array_like, shape (m,) or (n,), optional
            The rows, as for `step`; by default all.

        Returns
        -------
        ndarray, shape (m, state_size) or (n, state_size)
            In the order of `rows`.
        """
    def set_state(self, state: ArrayLike, rows: ArrayLike | None = None) -> None:
        """Set the states of some rows.

        Parameters
        ----------
        state : array_like, shape (m, state_size), (n, state_size) or (state_size,)
            The states in the order of `rows`, or one for all of them. NaN and infinities are accepted
            only if `nonfinite` is "propagate".
        rows : array_like, shape (m,) or (n,), optional
            The rows, as for `step`; by default all.
        """
    @property
    def state(self) -> _Array:
        """The states after the last step, shape (n, state_size). Reading returns a copy that is
        read-only: `set_state` changes rows. Assigning is `set_state` of all rows.
        """
    @state.setter
    def state(self, value: ArrayLike, /) -> None: ...
    @property
    def network(self) -> _Network:
        """The network of this pool. Assigning continues all rows with another network of the same
        sizes and dtype, from their states; others are refused with an `ArgumentError`, and nothing
        changes.
        """
    @network.setter
    def network(self, value: _Network, /) -> None: ...
    @property
    def nonfinite(self) -> str:
        """What a sample that is not finite does: "raise", "hold" or "propagate"; see
        `Network.streams`.
        """
    @property
    def nbytes(self) -> int:
        """The bytes of memory of this pool, without its network."""
    @property
    def input_size(self) -> int:
        """I, the number of features of an input."""
    @property
    def output_size(self) -> int:
        """O, the number of outputs."""
    @property
    def state_size(self) -> int:
        """The number of values in the state of a row."""
    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
    def __copy__(self) -> StreamPool: ...
    def __deepcopy__(self, memo: object, /) -> StreamPool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
