"""Fold a chain of parts, from the input of a model to its output, into a network.

A part is a recurrent layer, an affine map, a scaling of each feature, or a function of each
feature. A network has recurrent layers, then a readout, with scaling in front and behind. So
neighbouring affine maps and scalings become one map, which becomes part of the layer or of the
readout behind it; an affine map with a function becomes a layer with W_hh = 0, or the readout.
Folding computes in float64; an array that nothing is folded into is used as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman import _arguments, _structure, _text
from elman._interrupt import product
from elman._structure import Structure
from elman.activation import TABLE, Activation
from elman.errors import ShapeError, UnsupportedModelError
from elman.interop._source import Piece, Row, rows_of, total
from elman.reference.activations import activate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Said

__all__ = [
    "FOLDED",
    "Affine",
    "Assembled",
    "Function",
    "Half",
    "Recurrent",
    "Scale",
    "Standardize",
    "assemble",
    "batch_norm",
]

FOLDED = "folded in float64"  # the note of a piece whose product with others was computed


class Affine(NamedTuple):
    """y = W x + b: a linear layer, or an embedding that reads one-hot vectors."""

    name: str
    W: Piece  # (O, I)
    b: tuple[Piece, ...] = ()  # (O,) each, added up


class Scale(NamedTuple):
    """y = by * x + plus, feature by feature; the arrays are (I,) or ()."""

    name: str
    by: Piece | None = None
    plus: Piece | None = None


class Standardize(NamedTuple):
    """y = (x - mean) / std, feature by feature; the arrays are (I,) or ()."""

    name: str
    mean: Piece | None = None
    std: Piece | None = None


class Function(NamedTuple):
    """y = f(x), with f an activation of elman."""

    name: str
    activation: Activation


class Half(NamedTuple):
    """One direction of a recurrent layer."""

    W_xh: Piece  # (H, I)
    W_hh: Piece  # (H, H)
    b_h: tuple[Piece, ...]  # (H,) each, added up
    activation: Activation
    initial_state: Piece | None = None  # (H,)


class Recurrent(NamedTuple):
    """A simple recurrent layer: one half, or the halves of a bidirectional layer."""

    name: str
    halves: tuple[Half, ...]
    direction: str = "forward"  # as for `Network`
    merge: str = "concat"  # of the outputs of two halves: "concat", "sum" or "ave"


Part = Affine | Scale | Standardize | Function | Recurrent


def batch_norm(
    name: str, mean: Piece, variance: Piece, eps: float, by: Piece | None, plus: Piece | None
) -> list[Part]:
    """Return a batch normalization in evaluation mode as parts."""
    root = np.sqrt(variance.array.astype("f8") + eps)
    note = f"sqrt(variance + {eps:g})"
    parts: list[Part] = [Standardize(name, mean, Piece(variance.name, root, note))]
    return parts if by is None and plus is None else [*parts, Scale(name, by, plus)]


class Assembled(NamedTuple):
    """A network, and what became of its source."""

    network: Network
    rows: list[Row]  # one for each array of the source
    taps: tuple[str, ...]  # per layer, the part whose output is the layer's state
    masks: bool  # whether outputs at masked steps are the source's, too


class _Map(NamedTuple):
    """y = W x + b, with the arrays of the source that went into it."""

    W: Array | None = None  # (O, I); (O,): a diagonal matrix; None: the identity
    b: Array | None = None  # (O,)
    W_pieces: tuple[Piece, ...] = ()
    b_pieces: tuple[Piece, ...] = ()

    @property
    def is_identity(self) -> bool:
        return self.W is None and self.b is None

    def after(self, first: _Map) -> _Map:
        """Return the map that applies `first`, then this one."""
        if first.is_identity or self.is_identity:
            return self if first.is_identity else first
        b = None if first.b is None else _apply(self.W, first.b)
        if self.b is not None:
            b = self.b if b is None else b + self.b
        return _Map(
            _product(self.W, first.W),
            b,
            _folded((*first.W_pieces, *self.W_pieces)),
            _folded((*first.b_pieces, *self.b_pieces)),
        )

    def matrix(self, inputs: int) -> Array:
        """Return W (O, I)."""
        if self.W is None:
            return np.eye(inputs)
        return np.diag(self.W) if self.W.ndim == 1 else self.W


def _product(W: Array | None, V: Array | None) -> Array | None:
    """Return W V in float64 for matrices, diagonals (O,) and identities (None)."""
    if W is None or V is None:
        return V if W is None else W
    W, V = W.astype("f8"), V.astype("f8")
    if W.ndim == 2 and V.ndim == 2:
        return product(W, V)
    return W[:, np.newaxis] * V if V.ndim == 2 else W * V


def _apply(W: Array | None, v: Array) -> Array:
    """Return W v in float64."""
    v = v.astype("f8")
    if W is None:
        return v
    return W.astype("f8") @ v if W.ndim == 2 else W.astype("f8") * v


def _folded(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the pieces with a note that their product was computed."""
    return tuple(
        piece
        if FOLDED in piece.note
        else piece._replace(note=f"{piece.note}, {FOLDED}".lstrip(", "))
        for piece in pieces
    )


# --- the parts as maps and nodes ------------------------------------------------------------------


class _Node(NamedTuple):
    """A part that is no map, and the map in front of it."""

    map: _Map
    part: Function | Recurrent
    inputs: int  # of the map


class _Blocks(NamedTuple):
    """A chain as the scaling of its input, then maps and nodes in turn, then a last map."""

    front: list[Scale | Standardize]
    inputs: int
    nodes: list[_Node]
    last: _Map
    outputs: int  # of the last node


def _blocks(parts: Sequence[Part]) -> _Blocks:
    """Return the blocks of a chain; check that the sizes of its parts match."""
    width = inputs = _inputs(parts)
    front: list[Scale | Standardize] = []
    nodes: list[_Node] = []
    start, pending = inputs, _Map()
    for part in parts:
        if isinstance(part, Scale | Standardize):
            if not nodes and pending.is_identity:
                front.append(part)
            else:
                pending = _scaling(part, width).after(pending)
        elif isinstance(part, Affine):
            _require_inputs(part.W, width)
            pending = _affine(part.W, part.b).after(pending)
            width = len(part.W.array)
        elif isinstance(part, Recurrent):
            for half in part.halves:
                _require_inputs(half.W_xh, width)
            nodes.append(_Node(pending, part, start))
            H = part.halves[0].W_hh.array.shape[0]
            start, pending = len(part.halves) * H, _merge(part, H)
            width = start if pending.is_identity else H
        elif part.activation != "identity":
            nodes.append(_Node(pending, part, start))
            start, pending = width, _Map()
    return _Blocks(front, inputs, nodes, pending, start)


def _inputs(parts: Iterable[Part]) -> int:
    """Return the number of features of the input, from the first matrix."""
    first = next(part for part in parts if isinstance(part, Affine | Recurrent))
    W = first.W if isinstance(first, Affine) else first.halves[0].W_xh
    return int(W.array.shape[1])


def _require_inputs(W: Piece, inputs: int) -> None:
    if W.array.shape[1:] != (inputs,):
        turned = W.note == "transposed"  # the error has the source's order
        expected = f"({inputs}, O)" if turned else f"(O, {inputs})"
        shape = W.array.shape[::-1] if turned else W.array.shape
        raise ShapeError(f"{_text.printable(W.name)}: expected {expected}, got {shape}")


def _affine(W: Piece, b: tuple[Piece, ...]) -> _Map:
    return _Map(W.array, total([piece.array for piece in b]) if b else None, (W,), b)


def _scaling(part: Scale | Standardize, width: int) -> _Map:
    """Return a scaling as a diagonal map."""
    if isinstance(part, Scale):
        by, plus = _vector(part.by, width), _vector(part.plus, width)
        return _Map(by, plus, _some(part.by), _some(part.plus))
    mean, std = _vector(part.mean, width), _vector(part.std, width)
    by = None if std is None else 1 / std.astype("f8")
    plus = None if mean is None else -_apply(by, mean)
    return _Map(by, plus, _folded(_some(part.std)), _folded(_some(part.mean)))


def _some(piece: Piece | None) -> tuple[Piece, ...]:
    return () if piece is None else (piece,)


def _vector(piece: Piece | None, width: int) -> Array | None:
    """Return an array (width,), from one of this shape or a single number."""
    if piece is None:
        return None
    if piece.array.shape not in ((), (1,), (width,)):
        shown = _text.printable(piece.name)
        raise ShapeError(f"{shown}: expected ({width},), got {piece.array.shape}")
    return np.broadcast_to(piece.array, (width,))


def _merge(part: Recurrent, H: int) -> _Map:
    """Return the map from the states of both halves to their sum or average."""
    if len(part.halves) == 1 or part.merge == "concat":
        return _Map()
    one = np.eye(H) * (0.5 if part.merge == "ave" else 1.0)
    return _Map(np.concatenate([one, one], axis=1))


# --- the network ----------------------------------------------------------------------------------


def assemble(
    parts: Sequence[Part], said: Said, *, masked: str = "hold", has_mask: bool = False
) -> Assembled:
    """Return the network that computes what a chain of parts computes.

    Behind a recurrent layer that holds its output at masked steps, a layer without recurrence holds
    its own, which is the same once there was a real step. For the steps before it, a network of a
    source that has a mask starts such layers from what they give for zeros.

    Parameters
    ----------
    parts
        From the input to the output, with at least one `Recurrent`.
    said
        Its dtype (by default the common one of the matrices), metadata and allow_nonfinite.
    masked
        As for `Network`.
    has_mask
        Whether the source has a mask.

    Raises
    ------
    UnsupportedModelError
        If no network computes this; the message names the part.
    ShapeError
        If the sizes of neighbouring parts differ.
    """
    if not any(isinstance(part, Recurrent) for part in parts):
        raise UnsupportedModelError("expected a model with a simple RNN, got none")
    return _Builder(_blocks(parts), has_mask).assembled(parts, said, masked)


class _Builder:
    """The tensors of a network, from the input to the output."""

    def __init__(self, blocks: _Blocks, has_mask: bool) -> None:
        self._has_mask = has_mask
        self._above = 0  # the number of layers without recurrence above the last recurrent layer
        self._tensors: dict[str, Array] = {}
        self._pieces: dict[str, list[Piece]] = {}
        self._directions: list[str] = []
        self._taps: list[str] = []
        self._activations: list[Activation] = []  # of halves, as what follows
        self._starts: list[Array] = []
        self._start_pieces: list[Piece] = []
        self._output_activation: Activation | None = None
        *nodes, top = self._scale_input(blocks)
        for node in nodes:
            self._add(node)
        if isinstance(top.part, Function) and self._scale_output(blocks.last, blocks.outputs):
            self._add_readout(top.map, top.inputs, top.part.activation)
            return
        self._add(top)
        if not blocks.last.is_identity:
            self._add_readout(blocks.last, blocks.outputs, Activation("identity"))

    def _set(self, name: str, array: Array | None, pieces: Iterable[Piece]) -> None:
        if array is not None:
            self._tensors[name] = array
            self._pieces[name] = list(pieces)

    # --- scaling ---

    def _scale_input(self, blocks: _Blocks) -> list[_Node]:
        """Set the input's scaling; fold one that no network has into the first node's map."""
        first, *others = blocks.nodes
        whole = _Map()
        for part in blocks.front:
            whole = _scaling(part, blocks.inputs).after(whole)
        if whole.W is not None and not _positive(whole.W):
            return [first._replace(map=first.map.after(whole)), *others]
        if len(blocks.front) == 1 and isinstance(part := blocks.front[0], Standardize):
            self._set("input_mean", _vector(part.mean, blocks.inputs), _some(part.mean))
            self._set("input_std", _vector(part.std, blocks.inputs), _some(part.std))
        else:  # by x + plus = (x + plus / by) / (1 / by)
            if whole.b is not None:
                by = 1.0 if whole.W is None else whole.W
                self._set("input_mean", -whole.b.astype("f8") / by, _folded(whole.b_pieces))
            if whole.W is not None:
                self._set("input_std", 1 / whole.W.astype("f8"), _folded(whole.W_pieces))
        return blocks.nodes

    def _scale_output(self, last: _Map, outputs: int) -> bool:
        """Set the output's scaling; return False if no network has it."""
        if last.W is not None and (last.W.ndim == 2 or not _positive(last.W)):
            return False
        self._set("output_std", last.W, last.W_pieces)
        self._set("output_mean", last.b, last.b_pieces)
        return True

    # --- layers and the readout ---

    def _add(self, node: _Node) -> None:
        """Add a layer: a recurrent one, or a function, with W_hh = 0.

        With a mask, a function holds its output in the direction of the layer below.
        """
        part = node.part
        if isinstance(part, Recurrent):
            self._above = 0
            self._directions.append(part.direction)
            for half in part.halves:
                own = _affine(half.W_xh, half.b_h).after(node.map)
                self._add_half(own, half.activation, half.W_hh, half.initial_state)
        elif not TABLE[part.activation.name].in_layers:
            raise UnsupportedModelError(
                f"{part.name!r}: expected {part.activation.name} at the end of the model only"
            )
        else:
            self._above += 1
            reverse = self._has_mask and self._directions[-1:] == ["reverse"]
            self._directions.append("reverse" if reverse else "forward")
            self._add_half(node.map._replace(W=node.map.matrix(node.inputs)), part.activation)
        self._taps.append(part.name)

    def _add_half(
        self,
        map_: _Map,
        activation: Activation,
        W_hh: Piece | None = None,
        start: Piece | None = None,
    ) -> None:
        """Add the next half of the last layer."""
        assert map_.W is not None
        prefix = _structure.all_prefixes(self._directions)[len(self._activations)]
        zero = np.zeros((len(map_.W),) * 2)
        self._set(f"{prefix}W_xh", map_.W, map_.W_pieces)
        self._set(f"{prefix}W_hh", zero if W_hh is None else W_hh.array, _some(W_hh))
        self._set(f"{prefix}b_h", map_.b, map_.b_pieces)
        self._activations.append(activation)
        self._starts.append(zero[0] if start is None else start.array)
        self._start_pieces += _some(start)

    def _add_readout(self, map_: _Map, inputs: int, activation: Activation) -> None:
        self._set(_structure.W_HY, map_.matrix(inputs), map_.W_pieces)
        self._set(_structure.B_Y, map_.b, map_.b_pieces)
        self._output_activation = activation

    # --- the result ---

    def assembled(self, parts: Sequence[Part], said: Said, masked: str) -> Assembled:
        """Return the network and the rows of its source."""
        from elman._network import Network

        if self._start_pieces:  # it is zero in the other halves
            self._set("initial_state", np.concatenate(self._starts), self._start_pieces)
        structure = Structure(
            tuple(self._directions), tuple(self._activations), self._output_activation, masked
        )
        network = Network.from_tensors(
            self._tensors,
            direction=structure.directions,
            activation=structure.layer_activations,
            output_activation=structure.output_activation,
            masked=structure.masked,
            dtype=_arguments.common_dtype(_matrices(parts)) if said.dtype is None else said.dtype,
            metadata=said.metadata,
            allow_nonfinite=said.allow_nonfinite,
        )
        network, masks = self._masked(network)
        return Assembled(network, rows_of(self._pieces), tuple(self._taps), masks)

    def _masked(self, network: Network) -> tuple[Network, bool]:
        """Return a network whose outputs at masked steps are the source's, if one has them."""
        layers = network.layers[len(network.layers) - self._above :]
        if not layers:
            return network, True
        given: Array = np.zeros(layers[0].W_xh.shape[1])
        starts = [np.zeros(network.state_size - sum(len(layer.W_hh) for layer in layers))]
        if "initial_state" in self._tensors:
            starts[0] = np.asarray(self._tensors["initial_state"])[: len(starts[0])]
        for layer in layers:
            bias = 0 if layer.b_h is None else layer.b_h.astype(np.float64)
            given = activate(
                network, layer.activation, layer.W_xh.astype(np.float64) @ given + bias
            )
            starts.append(given)
        if network.masked == "zero":
            return network, not given.any()
        if not self._has_mask or self._directions[-1 - self._above] == "bidirectional":
            return network, False
        if any(start.any() for start in starts[1:]):
            network = network.replace(tensors={"initial_state": np.concatenate(starts)})
        return network, True


def _positive(by: Array) -> bool:
    """Return whether a network can have these factors as the standard deviations of a scaling."""
    return bool((by > 0).all() and np.isfinite(by).all())


def _matrices(parts: Iterable[Part]) -> list[Array]:
    """Return the source's own matrices, whose common dtype is the network's."""
    pieces: list[Piece] = []
    for part in parts:
        if isinstance(part, Affine):
            pieces.append(part.W)
        elif isinstance(part, Recurrent):
            pieces += [W for half in part.halves for W in (half.W_xh, half.W_hh)]
    return [piece.array for piece in pieces if piece.note != FOLDED]
