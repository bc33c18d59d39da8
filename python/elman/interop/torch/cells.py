"""Cells that are written by hand: the user says which tensors are the matrices.

    h_t = f(W_xh x_t + W_hh h_(t-1) + b_h)
    o_t = W_xo x_t + W_ho h_(t-1) + b_o      if an output reads the state before the step
    y_t = g(W_hy h_t + W_oy o_t + b_y)       g(o_t) without W_hy and W_oy

The tensors of the model are replaced by those of an `nn.RNN` that computes the same.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments
from elman._interrupt import product
from elman.activation import Activation
from elman.errors import ArgumentError, LimitError, ShapeError
from elman.interop import _source
from elman.interop._source import listed
from elman.interop.torch.computed import Computed, array_of
from elman.interop.torch.model import TorchLayer
from elman.interop.torch.names import containers, named, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from elman._typing import Array
    from elman.interop._source import Said
    from elman.interop.torch.model import TorchModel

MAX_UNITS = 20_000  # of a cell whose output becomes units of a layer

_CELL = {  # the shapes of the blocks
    "W_xh": "HI",
    "W_hh": "HH",
    "b_h": "H",
    "W_xo": "OI",
    "W_ho": "OH",
    "b_o": "O",
}
_READOUT = {"W_hy": "YH", "W_oy": "YO", "b_y": "Y"}
_JOINED = ({"W_xh", "W_hh"}, {"W_xo", "W_ho"}, {"W_hy", "W_oy"})  # side by side in one matrix


class Rewritten(NamedTuple):
    """A model whose cell has become the layers of an RNN."""

    model: TorchModel
    layers: list[TorchLayer]
    said: Said


class _Block(NamedTuple):
    """A matrix or vector of the cell, and the tensors of the source that hold it."""

    array: Array
    sources: tuple[str, ...]
    note: str = ""


def rewritten(model: TorchModel, said: Said) -> Rewritten:
    """Return a model with an RNN in place of the cell that the user describes."""
    blocks = _blocks(model, said)
    used = {source for block in blocks.values() for source in block.sources}
    tensors = {name: tensor for name, tensor in model.tensors.items() if name not in used}
    cell, readout = (_free(name, tensors) for name in ("cell", "readout"))
    made = (_with_outputs if {"W_xo", "W_ho"} & blocks.keys() else _plain)(blocks, said)
    computed: dict[str, _Block] = {}
    layers = []
    for index, (halves, starts) in enumerate(made.layers):
        end = f"_l{index}" if len(made.layers) > 1 else ""
        names: list[dict[str, str]] = []
        for half, way in zip(halves, ("", "_reverse"), strict=False):
            names.append({kind: f"{cell}.{kind}{end}{way}" for kind in half})
            computed |= {names[-1][kind]: block for kind, block in half.items()}
        layers.append(TorchLayer(cell, tuple(names), starts))
    computed |= {f"{readout}.{kind}": block for kind, block in made.readout.items()}
    if _is_mapping(said.readout) or (made.readout and said.readout is False):
        said = said._replace(readout=readout)
    for name, block in computed.items():
        of_file = [getattr(model.tensors[one], "sources", (one,)) for one in block.sources]
        sources = tuple(itertools.chain(*of_file))
        tensors[name] = Computed(name, {}, sources, block.array, block.note)
    return Rewritten(
        model._replace(tensors=tensors), layers, said._replace(activation=made.activation)
    )


def _free(name: str, tensors: Iterable[str]) -> str:
    """Return a name of no module of the model."""
    while any(f"{name}." in tensor for tensor in tensors):
        name += "_"
    return name


def _is_mapping(value: object) -> bool:
    return hasattr(value, "items")


# --- the blocks of the source ---------------------------------------------------------------------


def _blocks(model: TorchModel, said: Said) -> dict[str, _Block]:
    """Return the matrices and vectors that the user names, of shapes that match."""
    if not _is_mapping(said.cell):
        raise ArgumentError(
            'cell: expected a mapping such as {"W_xh": "i2h.weight", "W_hh": "h2h.weight", "b_h":'
            f' "h2h.bias"}}, got {_arguments.kind(said.cell)}'
        )
    names = _inside(model.tensors, said.prefix)
    given = _given("cell", said.cell, _CELL)
    if _is_mapping(said.readout):
        given |= _given("readout", said.readout, _READOUT)
    found: dict[tuple[str, ...], _Block] = {}
    for kinds, tensors in given.items():
        argument = "readout" if kinds[0] in _READOUT else "cell"
        wanted = _source.names(argument, tensors)
        several = [_read(model, names, argument, one) for one in wanted]
        if len(several) != 1 and (kinds[0].startswith("W") or not several):
            raise ArgumentError(
                f"{argument}: expected one tensor for {' '.join(kinds)}, got {len(several)}"
            )
        found[kinds] = _added(several) if kinds[0].startswith("b") else several[0]
    holders = {kind: block for kinds, block in found.items() for kind in kinds}
    if not {"W_xh", "W_hh"} <= holders.keys():
        raise ArgumentError(
            "cell: expected W_xh and W_hh, or 'W_xh W_hh' for one matrix of (x, h) joined, got"
            f" {listed(' '.join(kinds) for kinds in found)}"
        )
    H = len(holders["W_hh"].array)
    blocks: dict[str, _Block] = {}
    for kinds, block in found.items():
        blocks |= _split(kinds, block, H) if len(kinds) > 1 else {kinds[0]: block}
    _require_shapes(blocks)
    _require_turned(given)
    return blocks


def _inside(tensors: Mapping[str, Any], prefix: Any) -> list[str]:
    """Return the names of the tensors in the module that the user names."""
    if not prefix:
        return list(tensors)
    prefix = _arguments.name("prefix", prefix)
    found = within(list(tensors), prefix)
    if not found:
        raise ArgumentError(
            f"prefix: expected one of {listed(containers(tensors))}, got {prefix!r}"
        )
    return found


def _given(argument: str, mapping: Any, known: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    """Return the names of tensors by the blocks that they hold."""
    given: dict[tuple[str, ...], Any] = {}
    for key, value in mapping.items():
        kinds = tuple(_arguments.name(argument, key).split())
        joined = len(kinds) == 2 and set(kinds) in _JOINED
        if not (joined or len(kinds) == 1) or not known.keys() >= set(kinds):
            joins = [" ".join(kind for kind in known if kind in pair) for pair in _JOINED]
            raise ArgumentError(
                f"{argument}: expected the names {listed([*known, *filter(None, joins)])}, got"
                f" {key!r}"
            )
        if any(set(kinds) & set(other) for other in given):
            raise ArgumentError(f"{argument}: expected {key!r} once, got it twice")
        given[kinds] = value
    return given


def _read(model: TorchModel, names: list[str], argument: str, wanted: Any) -> _Block:
    """Return a tensor of the source, transposed if its name ends in ".T"."""
    wanted = _arguments.name(argument, wanted)
    found = named(names, wanted)
    turned = not found and wanted.endswith(".T")
    if turned:
        found = named(names, wanted.removesuffix(".T"))
    if len(found) != 1:
        raise ArgumentError(f"{argument}: expected one of {listed(found or names)}, got {wanted!r}")
    (name,) = found
    array = array_of(name, model.tensors[name])
    note = getattr(model.tensors[name], "note", "")
    if turned:
        array, note = array.T, f"{note}, transposed".lstrip(", ")
    return _Block(array, (name,), note)


def _added(blocks: list[_Block]) -> _Block:
    """Return the sum of vectors, which may be rows or columns."""
    vectors = [_vector(block) for block in blocks]
    if len({vector.shape for vector in vectors}) > 1:
        shapes = ", ".join(str(vector.shape) for vector in vectors)
        raise ShapeError(f"{blocks[0].sources[0]}: expected biases of one shape, got {shapes}")
    sources = tuple(dict.fromkeys(name for block in blocks for name in block.sources))
    note = "added up in float64" if len(blocks) > 1 else blocks[0].note
    return _Block(_source.total(vectors), sources, note)


def _vector(block: _Block) -> Array:
    array = block.array
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _split(kinds: tuple[str, ...], block: _Block, H: int) -> dict[str, _Block]:
    """Return the two blocks of a matrix; the one that reads h has H columns."""
    W = block.array
    if W.ndim != 2 or W.shape[1] <= H:
        raise ShapeError(
            f"{block.sources[0]}: expected more than {H} columns for {' and '.join(kinds)}, got"
            f" {W.shape}"
        )
    at = H if kinds[0].startswith("W_h") else W.shape[1] - H
    spans = {kinds[0]: (0, at), kinds[1]: (at, W.shape[1])}
    return {
        kind: block._replace(
            array=W[:, start:end], note=f"{block.note}, columns {start} to {end - 1}".lstrip(", ")
        )
        for kind, (start, end) in spans.items()
    }


def _require_shapes(blocks: dict[str, _Block]) -> None:
    sizes: dict[str, int] = {"H": len(blocks["W_hh"].array)}
    for kind, block in sorted(blocks.items(), key=lambda item: item[0][0] == "b"):  # biases last
        letters = (_CELL | _READOUT)[kind]
        shape = block.array.shape
        fits = len(shape) == len(letters)
        for letter, size in zip(letters, shape, strict=False):
            fits = fits and sizes.setdefault(letter, size) == size
        if not fits:
            _source.refuse_gates(block.sources[0], shape if kind == "W_hh" else (), "this")
            expected = ", ".join(str(sizes.get(letter, letter)) for letter in letters)
            expected += "," if len(letters) == 1 else ""
            turn = "; add .T to the name for its transpose" if len(letters) == 2 else ""
            raise ShapeError(
                f"{block.sources[0]}: expected ({expected}) for {kind}, got {shape}{turn}"
            )
    for kind, needs in {"b_o": ("W_xo", "W_ho"), "W_oy": ("W_xo", "W_ho")}.items():
        if kind in blocks and not any(need in blocks for need in needs):
            raise ArgumentError(f"cell: expected W_xo or W_ho with {kind}, got none")
    if "b_y" in blocks and not {"W_hy", "W_oy"} & blocks.keys():
        raise ArgumentError("readout: expected W_hy with b_y, got none")


def _require_turned(given: Mapping[tuple[str, ...], Any]) -> None:
    """Refuse W_hh as it is beside a transposed W_xh, if neither is of an nn.Linear."""
    ways = {
        kind: name.endswith(".T")
        for kind in ("W_xh", "W_hh")
        if isinstance(name := given.get((kind,)), str)
        and not name.removesuffix(".T").endswith("weight")
    }
    if len(set(ways.values())) > 1:
        raise ArgumentError(
            f"cell: expected both of {given[('W_xh',)]!r} and {given[('W_hh',)]!r} transposed"
            " (.T), as x @ W_xh + h @ W_hh needs, or neither"
        )


# --- the layers of the network --------------------------------------------------------------------

_Half = dict[str, _Block]  # by weight_ih, weight_hh and bias_ih


class _Made(NamedTuple):
    layers: list[tuple[tuple[_Half, ...], tuple[int, ...]]]  # their halves, and `starts`
    readout: dict[str, _Block]  # by weight and bias
    activation: Any


def _plain(blocks: dict[str, _Block], said: Said) -> _Made:
    kinds = {"weight_ih": "W_xh", "weight_hh": "W_hh", "bias_ih": "b_h"}
    half = {kind: blocks[own] for kind, own in kinds.items() if own in blocks}
    kinds = {"weight": "W_hy", "bias": "b_y"}
    readout = {kind: blocks[own] for kind, own in kinds.items() if own in blocks}
    return _Made([((half,), ())], readout, said.activation)


def _with_outputs(blocks: dict[str, _Block], said: Said) -> _Made:
    """Return layers whose top states hold h_t and o_t, and what reads them.

    With f the identity o_t are more units of the layer; with relu two of each, o and -o. Another f
    would bend them: x then passes it in the second direction, and a layer above adds W_ho h_(t-1).
    The network is then bidirectional: it reads whole sequences and has no stream.
    """
    if not (said.readout in (None, False) or _is_mapping(said.readout)):
        raise ArgumentError(
            "readout: expected {'W_hy W_oy': name, 'b_y': name}, which reads h and o of the cell,"
            f" or False, got {said.readout!r}"
        )
    (f,) = _source.activations(said.activation, [("the cell", None)], ["forward"])
    f = f if isinstance(f, Activation) else Activation(f)
    H, I = blocks["W_xh"].array.shape
    O = len(blocks["W_xo" if "W_xo" in blocks else "W_ho"].array)
    if H + O > MAX_UNITS:
        raise LimitError(f"cell: expected at most {MAX_UNITS} rows of W_hh and W_xo, got {H + O}")
    kind = blocks["W_hh"].array.dtype
    shapes = {"W_xo": (O, I), "W_ho": (O, H), "b_h": (H,), "b_o": (O,)}
    zeros = {name: _Block(np.zeros(shape, kind), ()) for name, shape in shapes.items()}
    blocks = zeros | blocks
    one = np.eye(O, dtype=kind)
    if f in ("identity", "relu"):
        signs = one if f == "identity" else np.concatenate([one, -one])
        units = H + len(signs)

        def both(of_h: str, of_o: str, columns: int = 0) -> _Block:
            o = _times(signs, blocks[of_o])
            return _stacked(units, [(0, 0, blocks[of_h]), (H, 0, o)], columns)

        half = {
            "weight_ih": both("W_xh", "W_xo"),
            "weight_hh": both("W_hh", "W_ho", units),
            "bias_ih": both("b_h", "b_o"),
        }
        return _Made([((half,), (H,))], _reading(blocks, H, signs.T, kind), f)
    S = max(H, O)  # both directions have as many units
    forward = {
        "weight_ih": _stacked(S, [(0, 0, blocks["W_xh"])]),
        "weight_hh": _stacked(S, [(0, 0, blocks["W_hh"])], S),
        "bias_ih": _stacked(S, [(0, 0, blocks["b_h"])]),
    }
    past = {
        "weight_ih": _stacked(S, [(0, 0, blocks["W_xo"])]),
        "weight_hh": _Block(np.zeros((S, S), kind), ()),
        "bias_ih": _stacked(S, [(0, 0, blocks["b_o"])]),
    }
    ones = [_Block(np.eye(size, dtype=kind), ()) for size in (H, O)]
    above = {
        "weight_ih": _stacked(H + O, [(0, 0, ones[0]), (H, S, ones[1])], 2 * S),
        "weight_hh": _stacked(H + O, [(H, 0, blocks["W_ho"])], H + O),
    }
    return _Made(
        [((forward, past), (H, 0)), ((above,), (H,))],
        _reading(blocks, H, one, kind),
        [(f, "identity"), "identity"],
    )


def _times(signs: Array, block: _Block) -> _Block:
    return block._replace(array=product(signs.astype(block.array.dtype), block.array))


def _stacked(rows: int, parts: list[tuple[int, int, _Block]], columns: int = 0) -> _Block:
    """Return blocks at their rows and columns among zeros."""
    first = parts[0][2].array
    shape = (rows,) if first.ndim == 1 else (rows, columns or first.shape[1])
    array = np.zeros(shape, np.result_type(*(block.array for _, _, block in parts)))
    for row, column, block in parts:
        size = block.array.shape
        at = (slice(row, row + size[0]), *(slice(column, column + n) for n in size[1:]))
        array[at] = block.array
    sources = tuple(dict.fromkeys(name for _, _, block in parts for name in block.sources))
    note = next((block.note for _, _, block in parts if block.note), "")
    whole = len(parts) == 1 and array.shape == first.shape
    return _Block(array, sources, note if whole else f"{note}, a block of the matrix".lstrip(", "))


def _reading(blocks: dict[str, _Block], H: int, of_o: Array, kind: Any) -> dict[str, _Block]:
    """Return the map from the top states (h, o), or (h, o, -o), to the output."""
    O, units = of_o.shape
    if not {"W_hy", "W_oy"} & blocks.keys():
        W = np.concatenate([np.zeros((O, H), kind), of_o], axis=1)
        return {"weight": _Block(W, ()), "bias": _Block(np.zeros(O, kind), ())}
    rows = len(blocks.get("W_hy", blocks.get("W_oy")).array)  # type: ignore[union-attr]
    parts = []
    if "W_hy" in blocks:
        parts.append((0, 0, blocks["W_hy"]))
    if "W_oy" in blocks:
        W_oy = blocks["W_oy"]
        of_h = product(W_oy.array, of_o.astype(W_oy.array.dtype))
        parts.append((0, H, W_oy._replace(array=of_h)))
    readout = {"weight": _stacked(rows, parts, H + units)}
    return readout | ({"bias": blocks["b_y"]} if "b_y" in blocks else {})
