"""Build a network from layers and a readout, with a row for each part of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman import _structure
from elman._structure import Structure
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import _source
from elman.interop._source import Piece, Row, Said
from elman.interop.onnx.recurrent import activation_of, final_when
from elman.interop.onnx.unrolled import innermost
from elman.interop.onnx.values import (
    Activated,
    Affine,
    Divided,
    Field,
    Fixed,
    Function,
    Given,
    Hidden,
    Joined,
    Scaled,
    Shifted,
    parts_of,
)

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Pieces
    from elman.interop.onnx.recurrent import OnnxChain
    from elman.interop.onnx.values import Symbols, Vector, Weight


class Parts(NamedTuple):
    """The parts found in a graph."""

    chains: list[OnnxChain]
    outputs: dict[str, Field]
    x: str
    x_kinds: str
    states: dict[str, str]  # inputs that are states, and the kinds of their axes
    defaults: dict[str, Array]  # of optional states
    lengths: str | None
    unrolled: bool
    metadata: dict[str, str]


class Reading(NamedTuple):
    """A network, the rows of its source, and the meaning of the graph's inputs and outputs."""

    network: Network
    rows: list[Row]
    parts: Parts
    order: list[int]  # of the chains in the network's state
    y: Vector | None  # among the items of the outputs; None: only states
    when: str | None  # the steps of y: "each" or "last"


class _Head(NamedTuple):
    """The readout: everything after the top layer."""

    top: Vector
    W_hy: Weight | None
    biases: tuple[Weight, ...]
    function: Function | None
    scale: Weight | None
    shift: Weight | None


def assemble(parts: Parts, symbols: Symbols) -> Reading:
    """Build a network from the parts of a graph."""
    layers, top = _layers(parts.chains, symbols)
    order = [index for layer in layers for index in layer]
    y = _find_y(parts, symbols.at(top, "last"))
    head = _Head(top, None, (), None, None, None) if y is None else _head(y)
    when = None if y is None else _when(head.top, top, symbols)
    pieces: Pieces = {}
    source = _input_scaling(parts.chains[order[0]].source, pieces)
    if isinstance(source, Scaled | Shifted):
        raise UnsupportedModelError(
            "the input: expected (x - mean) / std, got its scaling in another order"
        )
    rows, starts = _input_rows(parts), []
    for number, layer in enumerate(layers):
        for half, index in enumerate(layer):
            chain = parts.chains[index]
            prefix = _structure.prefixes(number, "bidirectional")[half]
            _add_chain(pieces, chain, prefix)
            starts.append(_start(chain, parts))
            if parts.unrolled:
                rows.append(Row(chain.where, prefix[:-1], "rolled up into one recurrence"))
            if isinstance(chain.initial, Fixed):
                rows.append(Row(chain.initial.weight.name, "initial_state"))
    _add_head(pieces, head)
    rows += [*_source.rows_of(pieces), *_output_rows(parts, y, when)]
    initial = np.concatenate(starts)
    if initial.any():
        pieces["initial_state"] = [Piece("initial_state", initial)]
    network = _network(pieces, parts, layers, head)
    return Reading(network, rows, parts, order, y, when)


# --- the layers -----------------------------------------------------------------------------------


def _layers(chains: list[OnnxChain], symbols: Symbols) -> tuple[list[list[int]], Vector]:
    """Return the chains of each layer from the bottom up, and the top layer's output."""
    if not chains:
        raise UnsupportedModelError("no recurrent layer was found")
    sources = {chain.source for chain in chains if innermost(chain.source) is not None}
    if len(sources) != 1:
        raise UnsupportedModelError("expected one layer that reads the input, got several or none")
    source = sources.pop()
    layers: list[list[int]] = []
    while here := [i for i, chain in enumerate(chains) if chain.source is source]:
        here.sort(key=lambda index: chains[index].direction)
        directions = [chains[index].direction for index in here]
        if len(here) > 2 or directions in (["forward"] * 2, ["reverse"] * 2):
            where = " and ".join(chains[index].where for index in here)
            raise UnsupportedModelError(f"{where}: they read the same input; expected one layer")
        layers.append(here)
        source = symbols.joined(
            symbols.hidden(chains[i].W_hh.array.shape[0], i, "each") for i in here
        )
    if unused := set(range(len(chains))) - {i for layer in layers for i in layer}:
        where = chains[min(unused)].where
        raise UnsupportedModelError(f"{where}: expected it to read only the layer below")
    return layers, source


def _add_chain(pieces: Pieces, chain: OnnxChain, prefix: str) -> None:
    pieces[f"{prefix}W_xh"] = [_piece(chain.W_xh)]
    pieces[f"{prefix}W_hh"] = [_piece(chain.W_hh)]
    if chain.biases:
        pieces[f"{prefix}b_h"] = [_piece(bias) for bias in chain.biases]


def _piece(weight: Weight) -> Piece:
    return Piece(weight.name, weight.array)


def _start(chain: OnnxChain, parts: Parts) -> Array:
    """Return the initial state of a direction if none is given."""
    H = chain.W_hh.array.shape[0]
    if isinstance(chain.initial, Fixed):
        return chain.initial.weight.array
    if not isinstance(chain.initial, Given) or chain.initial.name not in parts.defaults:
        return np.zeros(H)
    given = chain.initial
    array = parts.defaults[given.name]
    if given.row is not None:
        array = array.take(given.row, parts.states[given.name].index("K"))
    rows: Array = array.reshape(-1, array.shape[-1])[:, given.start : given.start + H]
    if len(rows) != 1:
        raise UnsupportedModelError(f"input {given.name!r}: expected a default for one sequence")
    start: Array = rows[0]
    return start


# --- the readout ----------------------------------------------------------------------------------


def _find_y(parts: Parts, last: Vector) -> Vector | None:
    """Return the output that is not a final state, or else the top layer's final state."""
    found: list[Vector] = []
    for name, field in parts.outputs.items():
        if _is_states(field, parts.chains):
            continue
        vectors = set(field.flat)
        if len(vectors) != 1:
            raise UnsupportedModelError(f"output {name!r}: it mixes different vectors")
        found += vectors - set(found)
    if len(found) > 1:
        raise UnsupportedModelError("expected one output besides final states, got several")
    if not found and any(last in field.flat for field in parts.outputs.values()):
        found = [last] if not isinstance(last, Joined) else []
    return found[0] if found else None


def _is_states(field: Field, chains: list[OnnxChain]) -> bool:
    """Return True if a tensor holds only final states of single directions."""
    return "T" not in field.kinds and all(
        isinstance(part, Hidden) and part.when == final_when(chains[part.chain].direction)
        for item in field.flat
        for part in parts_of(item)
    )


def _head(y: Vector) -> _Head:
    """Split everything after the top layer into the parts of a readout."""
    scale = shift = W_hy = function = None
    biases: tuple[Weight, ...] = ()
    if isinstance(y, Shifted):
        shift, y = y.by, y.source
    if isinstance(y, Scaled):
        scale, y = _inverse(y.by) if isinstance(y, Divided) else y.by, y.source
    if isinstance(y, Activated):
        function, y = y.function, y.source
        if not isinstance(y, Affine):
            raise UnsupportedModelError(
                f"the output: its activation {function.name} does not follow a linear map"
            )
    if isinstance(y, Affine):
        if len(y.terms) != 1:
            raise UnsupportedModelError("the output: expected one linear map, got several or none")
        ((W_hy, top),) = y.terms
        biases, y = y.biases, top
    if isinstance(y, Affine | Activated | Scaled | Shifted):
        raise UnsupportedModelError(
            "the output: expected one linear map and one activation after the layers, got more"
        )
    return _Head(y, W_hy, biases, function, scale, shift)


def _when(found: Vector, top: Vector, symbols: Symbols) -> str:
    """Return "each" or "last": the steps of the top layer that the readout reads."""
    if found is top:
        return "each"
    if found is symbols.at(top, "last"):
        return "last"
    if all(isinstance(part, Hidden) and part.when != "each" for part in parts_of(found)):
        raise UnsupportedModelError(
            "the output: it reads final states (of the reverse direction after step 0, or of lower"
            " layers); elman's readout reads the top layer's output at one step"
        )
    raise UnsupportedModelError("the output: expected it to read only the top layer")


def _add_head(pieces: Pieces, head: _Head) -> None:
    if head.W_hy is not None:
        pieces[_structure.W_HY] = [_piece(head.W_hy)]
    if head.biases:
        pieces[_structure.B_Y] = [_piece(bias) for bias in head.biases]
    for name, weight in (("output_std", head.scale), ("output_mean", head.shift)):
        if weight is not None:
            pieces[name] = [_piece(weight)]


def _input_scaling(source: Vector, pieces: Pieces) -> Vector:
    """Remove the scaling of x from the first layer's input, and store it in `pieces`."""
    if isinstance(source, Scaled):
        std = source.by if isinstance(source, Divided) else _inverse(source.by)
        pieces["input_std"], source = [_piece(std)], source.source
    if isinstance(source, Shifted):
        pieces["input_mean"] = [Piece(source.by.name, -source.by.array)]
        source = source.source
    return source


def _inverse(weight: Weight) -> Weight:
    """Return 1 / weight."""
    if not weight.array.all():
        raise UnsupportedModelError("the input: it multiplies by 0")
    return type(weight)(1 / weight.array.astype(np.float64), weight.name)


def _network(pieces: Pieces, parts: Parts, layers: list[list[int]], head: _Head) -> Network:
    """Build the network from its pieces, in the widest dtype of the matrices."""
    chains = [[parts.chains[index] for index in layer] for layer in layers]
    directions = ["bidirectional" if len(halves) == 2 else halves[0].direction for halves in chains]
    functions = [activation_of(chain.function) for halves in chains for chain in halves]
    g = None if head.W_hy is None else activation_of(head.function or Function("identity"))
    matrices = [a[0].array for name, a in pieces.items() if name.split(".")[-1].startswith("W_")]
    said = Said(dtype=np.result_type(*matrices), metadata=parts.metadata)
    try:
        masked = "hold" if parts.lengths is None else "zero"
        structure = Structure(tuple(directions), tuple(functions), g, masked)
        return _source.network_of(pieces, structure, said)
    except ArgumentError as error:
        kind = ModelFormatError if "finite" in str(error) else UnsupportedModelError
        raise kind(str(error)) from error


# --- the rows -------------------------------------------------------------------------------------


def _input_rows(parts: Parts) -> list[Row]:
    rows = [Row(parts.x, "x", _axes(parts.x_kinds))]
    for name in parts.states:
        used = [c for c in parts.chains if isinstance(c.initial, Given) and c.initial.name == name]
        rows.append(Row(name, "state" if used else "", "the initial state of the layers"))
    if parts.lengths is not None:
        note = "net.run(x, mask=numpy.arange(T) < lengths[:, None]) gives every step of the graph"
        rows.append(Row(parts.lengths, "lengths", note))
    return rows


_WORDS = {"T": "time", "B": "batch", "F": "features", "K": "one"}


def _axes(kinds: str) -> str:
    words = ", ".join(_WORDS[kind] for kind in kinds)
    return f"({words}); elman takes (..., time, features)"


def _output_rows(parts: Parts, y: Vector | None, when: str | None) -> list[Row]:
    rows = []
    for name, field in parts.outputs.items():
        if set(field.flat) != {y}:
            rows.append(Row(name, "state", "the final state: net.run(x).state"))
        elif when == "last":
            rows.append(Row(name, "y", "of the last step: net(x, outputs='last')"))
        else:
            kinds = "".join(field.kinds) if all(len(k) == 1 for k in field.kinds) else ""
            rows.append(Row(name, "y", _axes(kinds) if kinds else "of every step"))
    return rows
