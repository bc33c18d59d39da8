"""Training data: padding, weights and validation splits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _core, _foreign, _frame, _ragged
from elman._parameters import core_of
from elman.errors import ArgumentError, ArgumentTypeError, DTypeError, ElmanError, ShapeError
from elman.training import mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[Any]
    Validation = tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike] | float

LOSSES = ("mse", "bce", "cross_entropy")
_PARTS = ("x", "y", "lengths", "state", "sample_weight", "step_weight")


class Data(NamedTuple):
    """Training data as arrays for the core.

    x (..., T, I), y (..., T, O) or (..., O), without O for classes; optionally lengths (...), state
    (..., state_size) and weights (..., T) or (...). `weights_name` names the weights' arguments.
    """

    x: Array
    y: Array
    lengths: Array | None = None
    state: Array | None = None
    weights: Array | None = None
    weights_name: str = "weights"

    @property
    def batch(self) -> tuple[int, ...]:
        """The sizes of the batch axes."""
        return self.x.shape[:-2]


def loss_name(loss: object) -> str:
    """Check and return the name of a loss."""
    if callable(loss):
        raise ArgumentTypeError(
            f"loss: expected a name, got {_arguments.kind(loss)}: elman.backward(net, x, dL_dy)"
            " takes the gradients of any loss"
        )
    name = _arguments.name("loss", loss)
    if name not in LOSSES:
        raise ArgumentError(
            f"loss: expected one of {', '.join(LOSSES)}, got {name!r}{_foreign.value(name, LOSSES)}"
        )
    return name


def outputs_name(outputs: object) -> str:
    """Check and return "all" or "last"."""
    name = _arguments.name("outputs", outputs)
    if name not in ("all", "last"):
        raise ArgumentError(f"outputs: expected 'all' or 'last', got {name!r}")
    return name


def examples(
    net: Network, data: Data, loss: str, outputs: str, *, reachable: bool = False
) -> _core.Examples:
    """Convert and check data in the core.

    With `reachable`, targets that the network's outputs cannot reach are an error.
    """
    name = loss_name(loss)
    try:
        return _core.examples(
            core_of(net),
            data.x,
            data.y,
            name,
            outputs,
            data.lengths,
            data.state,
            data.weights,
            data.weights_name,
            reachable,
        )
    except (ShapeError, DTypeError) as error:
        raise mistakes.explained(error, net, data.x, data.y, name, outputs) from None
    except ArgumentError as error:
        raise ArgumentError(mistakes.for_layers(str(error), net)) from None


def collect(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    outputs: str,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    step_weight: ArrayLike | None = None,
) -> Data:
    """Read data frames, pad lists of sequences, and multiply the weights."""
    outputs_name(outputs)
    if outputs == "last" and step_weight is not None:
        raise ArgumentError("step_weight: expected None with outputs='last', got weights")
    x, _ = _frame.read(net, "x", x)
    rows = x if isinstance(x, _ragged.Rows) else None
    y, known = _frame.targets(net, y, outputs, rows)
    if rows is not None:
        _ragged.require_none("lengths", lengths, "a data frame of sequences")
        x = rows.split("x", rows.values)
        if step_weight is not None and not isinstance(step_weight, list | tuple):
            step_weight = rows.split("step_weight", _arguments.reals("step_weight", step_weight))
    sequences = _sequences(x) if lengths is None else None
    if sequences is not None:
        lengths = [len(sequence) for sequence in sequences]
        x = _ragged.pad("x", sequences, lengths)
        if outputs == "all":
            y = _ragged.pad("y", y, lengths)
            step_weight, known = (
                None if steps is None else _ragged.pad(name, steps, lengths)
                for name, steps in (("step_weight", step_weight), ("y", known))
            )
    data = Data(
        _inputs(net, x),
        _arguments.array("y", y),
        None if lengths is None else _arguments.array("lengths", lengths),
        None if state is None else _arguments.array("state", state),
    )
    if sample_weight is None and step_weight is None and known is None:
        return data
    given = {"sample_weight": sample_weight, "step_weight": step_weight, "horizon": known}
    names = [name for name, weights in given.items() if weights is not None]
    weights = _weights(data.x.shape[:-1], outputs, sample_weight, step_weight, known)
    return data._replace(weights=weights, weights_name=" * ".join(names))


def _inputs(net: Network, x: ArrayLike) -> Array:
    """Return x as an array of at least two axes."""
    I = net.input_size
    try:
        array = _arguments.array("x", x)
    except ShapeError as error:
        raise ShapeError(f"{error}{_arguments.inputs_remedy(x, I)}") from error.__cause__
    if array.ndim < 2:
        _arguments.reals("x", array)
    if array.ndim < 2 or (isinstance(x, list) and array.shape[-1] != I):
        remedy = _arguments.inputs_remedy(x, I)
        if array.ndim < 2 or remedy:
            raise ShapeError(f"x: expected (..., T, {I}), got {array.shape}{remedy}")
    return array


# --- sequences of any lengths ---------------------------------------------------------------------


def _sequences(x: ArrayLike) -> list[Array] | None:
    """Return the arrays (T_i, I) of a list; None for anything else."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        x = x.tolist()
    if not isinstance(x, list | tuple) or not x or _arguments.array("x[0]", x[0]).ndim != 2:
        return None
    return [_arguments.array(f"x[{i}]", sequence) for i, sequence in enumerate(x)]


# --- weights --------------------------------------------------------------------------------------


def _weights(
    steps: tuple[int, ...],
    outputs: str,
    sample_weight: ArrayLike | None,
    step_weight: ArrayLike | None,
    known: ArrayLike | None,
) -> Array:
    """Return the product of the weights, for each step (..., T) or each sequence (...)."""
    w = np.ones(steps if outputs == "all" else steps[:-1])
    if sample_weight is not None:
        of_sequences = _arguments.weights("sample_weight", sample_weight, steps[:-1])
        w *= of_sequences[..., np.newaxis] if outputs == "all" else of_sequences
    if step_weight is not None:
        w *= _arguments.weights("step_weight", step_weight, steps)
    if known is not None:
        w *= _arguments.weights("y", known, steps)
    return w


def require_weight(examples: _core.Examples) -> _core.Examples:
    """Raise if all weights are 0."""
    if not examples.counts:
        raise ArgumentError("x: expected a step with a weight above 0, got none")
    return examples


# --- scaling --------------------------------------------------------------------------------------

LARGEST = 1e140  # of numbers whose squares are summed


def mean_and_std(argument: str, rows: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Return the weighted mean and standard deviation of each column.

    The deviation of a constant column, which is 0 or rounding error, is replaced by 1.
    """
    largest = float(np.abs(rows).max(initial=0))
    if largest > LARGEST:
        raise ArgumentError(
            f"{argument}: expected numbers up to {LARGEST:g}, got {largest:g}: divide them by a"
            " constant"
        )
    mean = np.average(rows, axis=0, weights=weights)
    std = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights))
    return mean, np.where(std > 1e-12 * np.abs(mean), std, 1.0)


# --- validation -----------------------------------------------------------------------------------


@contextmanager
def within(argument: str) -> Iterator[None]:
    """Prefix errors with the name of the argument that contains the data."""
    try:
        yield
    except ElmanError as error:
        raise type(error)(f"{argument}: {error}") from error.__cause__


def with_validation(
    net: Network, data: Data, validation: Validation, outputs: str, seed: int
) -> tuple[Data, Data]:
    """Return the training data and the validation data."""
    if isinstance(validation, Mapping | tuple | list):
        return data, _given_apart(net, validation, outputs)
    if not isinstance(validation, Real):
        raise ArgumentTypeError(
            "validation: expected (x, y), a mapping or a fraction,"
            f" got {_arguments.kind(validation)}"
        )
    fraction = _arguments.number("validation", validation, below_1=True)
    return hold_out(data, fraction, outputs, seed)


def _given_apart(net: Network, validation: Mapping[str, Any] | Sequence[Any], outputs: str) -> Data:
    """Return validation data given as (x, y) or as arguments by name."""
    if not isinstance(validation, Mapping):
        if len(validation) != 2:
            raise ArgumentError(f"validation: expected (x, y), got {len(validation)} parts")
        validation = dict(zip(("x", "y"), validation, strict=True))
    for name in validation:
        if name not in _PARTS:
            raise ArgumentError(f"validation: expected some of {', '.join(_PARTS)}, got {name!r}")
    for name in ("x", "y"):
        if name not in validation:
            raise ArgumentError(f"validation: expected x and y, got no {name}")
    with within("validation"):
        return collect(net, outputs=outputs, **validation)


def hold_out(data: Data, fraction: float, outputs: str, seed: int) -> tuple[Data, Data]:
    """Split off a fraction for validation: random sequences, or the end of a single series.

    The end of a series is validated on the whole series, with weight 0 before the end.
    """
    data = flat(data)
    B, T, _ = data.x.shape
    series = B == 1 and outputs == "all"
    if series and data.lengths is not None:
        T = int(data.lengths[0])
    total = T if series else B
    count = max(1, round(fraction * total))
    if count >= total:
        raise ArgumentError(
            f"validation: expected a fraction that leaves some of {total}"
            f" {'steps' if series else 'sequences'} for training, got {fraction:g}"
        )
    if not series:
        order = shuffled(B, seed)
        return take(data, np.sort(order[count:])), take(data, np.sort(order[:count]))
    end = T - count
    weights = np.ones((1, T)) if data.weights is None else data.weights[:, :T]
    x, y = data.x[:, :T], data.y[:, :T]
    return (
        Data(x[:, :end], y[:, :end], state=data.state, weights=weights[:, :end]),
        Data(x, y, state=data.state, weights=weights * (np.arange(T) >= end)),
    )


def shuffled(count: int, seed: int) -> Array:
    """Return a random permutation of 0 to count - 1, which selects the held-out sequences."""
    return _core.permutation(count, seed, 0)  # 0: the epochs, also shuffled by the seed, begin at 1


def flat(data: Data) -> Data:
    """Flatten the batch axes to one."""
    axes, B = len(data.batch), int(np.prod(data.batch))
    x, y, lengths, state, weights, _ = data
    if state is not None:
        state = np.broadcast_to(state, (*data.batch, state.shape[-1])).reshape(B, -1)
    return data._replace(
        x=x.reshape(B, *x.shape[axes:]),
        y=y.reshape(B, *y.shape[axes:]),
        lengths=None if lengths is None else lengths.reshape(B),
        state=state,
        weights=None if weights is None else weights.reshape(B, *weights.shape[axes:]),
    )


def take(data: Data, rows: Array | slice) -> Data:
    """Select sequences."""
    x, y, *optional, name = data
    lengths, state, weights = (None if part is None else part[rows] for part in optional)
    return Data(x[rows], y[rows], lengths, state, weights, name)
