"""The options and results of the readers of all frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _arguments
from elman.activation import Activation
from elman.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from elman._arguments import LayerActivation
    from elman._network import Network
    from elman._typing import Array

    Activations = LayerActivation | Sequence[LayerActivation]
    Taps = tuple[str | tuple[str, ...] | None, ...] | None

MAX_LISTED = 6  # names in a message
MAX_SHOWN = 80  # characters of a name

__all__ = ["Imported", "Row", "Said", "Source", "Trace"]


class Said(NamedTuple):
    """The arguments of `from_torch` and `from_keras`."""

    activation: Activations | None = None
    output_activation: Any = None  # a name or an Activation, or a sequence of them
    prefix: str | Sequence[str] | None = None  # PyTorch only
    layers: Sequence[str] | None = None  # Keras only
    readout: Any = None  # a name, a sequence of names, or False
    embedding: str | None = None  # "one_hot" or "rows"
    dtype: DTypeLike | None = None
    metadata: Mapping[str, str] | None = None
    allow_nonfinite: bool = False
    initial_state: ArrayLike | str | None = None  # PyTorch only; a name, an array or False
    cell: Any = None  # PyTorch only; the tensors of a cell that is written by hand


class Row(NamedTuple):
    """One part of the source, and its place in the network."""

    source: str  # its name in the source: "rnn.weight_ih_l0", "node 3 (RNN)"
    target: str  # its name in elman: "layers.0.W_xh"; "" if left out
    note: str = ""  # "transposed", "added to the other bias in float64"


class Trace(NamedTuple):
    """The outputs and hidden states of a model for given inputs, in the order of time."""

    framework: str  # its name and version
    hidden: Sequence[Array | None]  # one per layer: (B, T, H), or (B, H) for the last step only
    output: Array  # (B, T, O) or (B, O)
    vectors: list[Array]  # the biases
    x: Array | None = None  # the inputs it read, if they are not those given: rounded, one-hot
    dtype: str | None = None  # of its arithmetic, if not the network's: "float16", "bfloat16"
    step: int = -1  # of an output without time: 0 if the last step read is the first in time
    mask: Array | None = None  # which steps (B, T) it took as real, if it chose them
    by_hand: bool = False  # a cell written by hand, which the network may have other units for


class Source(NamedTuple):
    """A model that its own framework can run."""

    framework: str  # "torch", "keras", "onnx" or "elman"
    # inputs (B, T, I); for Keras, a mask (B, T); the taps, as in Imported
    run: Callable[[Array, Array | None, Taps], Trace]
    # the fixed numbers of sequences and steps, as far as they are fixed
    sizes: Callable[[], tuple[int | None, int | None]] = lambda: (None, None)


class Imported(NamedTuple):
    """A network, the parts of its source in order, and the source itself.

    `taps` names, for each layer of the network, the part of the source whose output is the layer's
    states, so that `compare` can listen to it; None where there is no such part:

    - Keras: the name of a layer, after the names of the models it is nested in ("encoder/rnn");
    - PyTorch: the name of a module, as in `named_modules` ("rnn", "head.1"); in a sequence of
      modules its position ("0", "1.0");
    - ONNX: the name of a value of the graph; of an unrolled one, a tuple with one name per step;
      the names of both directions in a row if they are two values.

    Layer or cell k of such a part is "rnn[k]". Without taps, the recurrent layers are listened to
    in order.
    """

    network: Network
    rows: list[Row]
    source: Source | None  # None for elman's own files
    taps: Taps = None
    masks: bool = True  # whether outputs at masked steps are the source's, too


class Piece(NamedTuple):
    """An array of the source: a tensor of the network, or one addend of a tensor."""

    name: str
    array: Array
    note: str = ""


Pieces = dict[str, list[Piece]]  # by elman's tensor names


def rows_of(pieces: Pieces) -> list[Row]:
    """Return a row for every array."""

    def added(name: str, parts: list[Piece]) -> str:
        biases = len(parts) > 1 and name.endswith((".b_h", ".b_y"))
        return "added to the other bias in float64" if biases else ""

    return [
        Row(piece.name, name, piece.note or added(name, parts))
        for name, parts in pieces.items()
        for piece in parts
    ]


def total(arrays: Sequence[Array]) -> Array:
    """Return the sum in float64; adding zeros leaves an array unchanged, -0 included."""
    first, *others = arrays
    if not others:
        return first
    result = first.astype("f8")
    for other in others:
        result[other != 0] += other[other != 0]
    return result


def activation_of(argument: str, value: Any) -> Activation:
    """Return an activation, given as one or by its name; errors name the argument."""
    _arguments.activation(argument, value)
    return value if isinstance(value, Activation) else Activation(value)


# --- the caller's options against the source's own values -----------------------------------------


def _settle(
    argument: str, said: Any, known: Activation | str | None, owner: str, expected: str
) -> Activation:
    if said is None and known is None:
        raise ArgumentError(
            f"{argument}: expected {expected}, which the source does not store, got none"
        )
    if None not in (said, known) and said != known:
        raise ArgumentError(
            f"{argument}: expected {str(known)!r}, as in the source's {owner}, got {str(said)!r}"
        )
    return activation_of(argument, known if said is None else said)


def activations(
    said: Activations | None,
    known: Sequence[tuple[str, Activation | str | None]],
    directions: Sequence[str],
) -> tuple[Activation, ...]:
    """Return the activations of all halves; `known` holds the owner and source value of each."""
    halves: Sequence[Any] = [None] * len(known)
    if said is not None:
        halves = _arguments.activations(said, directions)
    return tuple(
        _settle("activation", one, theirs, owner, f"the activation of {owner}, such as 'tanh'")
        for one, (owner, theirs) in zip(halves, known, strict=True)
    )


def output_activation(
    said: str | Activation | None, known: Activation | str | None, readout: str | None
) -> Activation | None:
    """Return the activation of the readout, or None without a readout."""
    if readout is None:
        if said is not None:
            raise ArgumentError(
                f"output_activation: expected none without a readout, got {str(said)!r}"
            )
        return None
    expected = (
        f"the activation after the readout {readout!r}, 'identity' (values or logits),"
        " 'sigmoid', 'softmax', 'log_softmax', 'tanh' or 'relu'"
    )
    return _settle("output_activation", said, known, "readout", expected)


def names(argument: str, said: Any) -> list[Any]:
    """Return a name, or several, as a list."""
    return (
        [said] if isinstance(said, str) else _arguments.listed(argument, said, "a name or several")
    )


def require_embedding(said: object) -> None:
    """Refuse words that say nothing of an embedding."""
    if said not in (None, "one_hot", "rows"):
        raise ArgumentError(f"embedding: expected 'one_hot' or 'rows', got {said!r}")


def listed(names: Iterable[str]) -> str:
    """Return some names for a message."""
    shown = [repr(name[:MAX_SHOWN]) for name in names]
    if not shown:
        return "none"
    more = f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else ""
    return ", ".join(shown[:MAX_LISTED]) + more


def refuse_gates(what: str, shape: tuple[int, ...], cell: str) -> None:
    """Refuse the recurrent matrices of GRU and LSTM cells, (3 H, H) and (4 H, H)."""
    if len(shape) == 2 and min(shape):
        gates = {3: "a GRU", 4: "an LSTM"}.get(max(shape) // min(shape))
        if gates and max(shape) % min(shape) == 0:
            raise UnsupportedModelError(
                f"{what}: expected the square matrix of a simple RNN, got {shape}: {cell} is"
                f" {gates}"
            )
