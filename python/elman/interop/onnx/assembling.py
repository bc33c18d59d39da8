"""Build a network from layers and a readout, with a row for each part of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import _chain, _source
from elman.interop._source import Piece, Row, Said
from elman.interop.onnx.parts import FOLDED, parts_between, piece
from elman.interop.onnx.recurrent import activation_of, final_when
from elman.interop.onnx.values import (
    ONE,
    Activated,
    Affine,
    Divided,
    Field,
    Fixed,
    Given,
    Hidden,
    Input,
    Joined,
    Scaled,
    Shifted,
    leaves_of,
    parts_of,
)
from elman.reference.activations import activate

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array
    from elman.interop._chain import Part
    from elman.interop.onnx.masking import Mask
    from elman.interop.onnx.recurrent import OnnxChain
    from elman.interop.onnx.values import Symbols, Vector, Weight, When


class Parts(NamedTuple):
    """The parts found in a graph."""

    chains: list[OnnxChain]
    outputs: dict[str, Field]
    x: str
    x_kinds: str
    codes: bool  # whether x has integers, for which the network reads vectors
    states: dict[str, str]  # inputs that are states, and the kinds of their axes
    defaults: dict[str, Array]  # of optional states
    lengths: str | None
    padded: bool  # whether the layers read `lengths`; if not, only the output does
    unrolled: bool
    metadata: dict[str, str]
    names: dict[Vector, str]  # the graph's names of values
    tables: list[str]  # the names of embeddings whose rows the network reads
    halves: list[str]  # the types of 16 bits that the graph rounds values to
    mask: Mask | None  # of the steps that the layers of the graph read

    @property
    def masked(self) -> str:
        """What the outputs of steps that are not real are, as in `Network`."""
        return "zero" if self.padded else "hold" if self.mask is None else self.mask.masked


class Reading(NamedTuple):
    """A network, the rows of its source, and the meaning of the graph's inputs and outputs."""

    network: Network
    rows: list[Row]
    parts: Parts
    places: dict[int, slice]  # of the state of each chain in the network's state
    y: Vector | None  # among the items of the outputs; None: only states
    when: When | None  # the steps of y
    taps: list[str | tuple[str, ...] | None]  # the values with the states of each layer


class _Head(NamedTuple):
    """The output without its scaling, and the scaling."""

    y: Vector
    std: Weight | None
    mean: Weight | None


def assemble(parts: Parts, symbols: Symbols) -> Reading:
    """Build a network from the parts of a graph."""
    layers, chain = _layers(parts, symbols)
    top = symbols.joined(_halves(parts.chains, layers[-1], symbols))
    y = _find_y(parts, symbols.at(top, "end" if parts.padded else "last"))
    when = None if y is None else _when(y, top, parts, symbols)
    head = None if y is None else _head(y)
    if head is not None and y is not None:
        end = top if when == "each" else symbols.at(top, when)  # type: ignore[arg-type]
        chain += parts_between(end, head.y, parts.names)
    made = _network(chain, parts, head)
    if (parts.padded or parts.mask is not None) and when in ("each", "last") and not made.masks:
        if parts.masked == "zero" or any(c.direction != "forward" for c in parts.chains):
            raise UnsupportedModelError(
                "the output: what follows the recurrent layers has more than one activation, so its"
                " values at the steps that a sequence lacks are those of no network: export the"
                " model without lengths and masks, and pass them to net.run"
            )
        made = made._replace(network=_held(made))
    places, taps = _places(parts, layers, made)
    rows = [*_input_rows(parts), *_rolled_rows(parts, layers, made)]
    rows += [row for row in made.rows if row.source != ONE]
    rows += _output_rows(parts, y, when)
    return Reading(made.network, rows, parts, places, y, when, taps)


_NAME = "recurrent layer {}"  # of a part of the chain


# --- the layers -----------------------------------------------------------------------------------


def _layers(parts: Parts, symbols: Symbols) -> tuple[list[list[int]], list[Part]]:
    """Return the chains of each layer from the bottom up, and the parts up to the top layer."""
    chains = parts.chains
    if not chains:
        raise UnsupportedModelError("no recurrent layer was found")
    leaves = [set(leaves_of(chain.source)) for chain in chains]
    inputs = {leaf for own in leaves for leaf in own if isinstance(leaf, Input)}
    first = {chain.source for chain, own in zip(chains, leaves, strict=True) if own & inputs}
    if len(first) != 1 or len(inputs) != 1:
        raise UnsupportedModelError("expected one layer that reads the input, got several or none")
    source: Vector = inputs.pop()
    layers: list[list[int]] = []
    described: list[Part] = []
    while here := [i for i, own in enumerate(leaves) if own and own <= set(parts_of(source))]:
        here.sort(key=lambda index: chains[index].direction)
        directions = [chains[index].direction for index in here]
        if len(here) > 2 or directions in (["forward"] * 2, ["reverse"] * 2):
            where = " and ".join(chains[index].where for index in here)
            raise UnsupportedModelError(f"{where}: they read the same input; expected one layer")
        if len({chains[index].source for index in here}) > 1:
            where = " and ".join(chains[index].where for index in here)
            raise UnsupportedModelError(f"{where}: expected two directions to read the same values")
        layers.append(here)
        described += parts_between(source, chains[here[0]].source, parts.names)
        name = _NAME.format(len(layers) - 1)
        described.append(_recurrent(name, [chains[index] for index in here], parts))
        source = symbols.joined(_halves(chains, here, symbols))
    if unused := set(range(len(chains))) - {i for layer in layers for i in layer}:
        where = chains[min(unused)].where
        raise UnsupportedModelError(f"{where}: expected it to read only the layer below")
    return layers, described


def _halves(chains: list[OnnxChain], layer: list[int], symbols: Symbols) -> list[Vector]:
    return [symbols.hidden(chains[i].W_hh.array.shape[0], i, "each") for i in layer]


def _recurrent(name: str, halves: list[OnnxChain], parts: Parts) -> _chain.Recurrent:
    direction = "bidirectional" if len(halves) == 2 else halves[0].direction
    made = tuple(
        _chain.Half(
            piece(half.W_xh),
            piece(half.W_hh),
            tuple(piece(bias) for bias in half.biases),
            activation_of(half.function),
            _start(half, parts),
        )
        for half in halves
    )
    return _chain.Recurrent(name, made, direction)


def _start(chain: OnnxChain, parts: Parts) -> Piece | None:
    """Return the initial state of a direction if none is given, or None for zeros."""
    if isinstance(chain.initial, Fixed):
        return piece(chain.initial.weight)
    if not isinstance(chain.initial, Given) or chain.initial.name not in parts.defaults:
        return None
    given = chain.initial
    array = parts.defaults[given.name]
    if given.row is not None:
        array = array.take(given.row, parts.states[given.name].index("K"))
    rows: Array = array.reshape(-1, array.shape[-1])[:, given.start : given.start + given.size]
    if len(rows) != 1:
        raise UnsupportedModelError(f"input {given.name!r}: expected a default for one sequence")
    return Piece(given.name, rows[0]) if rows[0].any() else None


def _places(
    parts: Parts, layers: list[list[int]], made: _chain.Assembled
) -> tuple[dict[int, slice], list[str | tuple[str, ...] | None]]:
    """Return where each chain's state is in the network's, and the values that hold the states."""
    places: dict[int, slice] = {}
    taps: list[str | tuple[str, ...] | None] = []
    end, done = 0, 0  # of the state, and of the recurrent layers
    for layer, tap in zip(made.network.layers, made.taps, strict=True):
        H = len(layer.W_hh)
        if done == len(layers) or tap != _NAME.format(done):
            end += H
            taps.append(tap if tap in parts.names.values() else None)
            continue
        for index in layers[done]:
            places[index] = slice(end, end + H)
            end += H
        taps.append(_joined([parts.chains[index].states for index in layers[done]]))
        done += 1
    return places, taps


def _joined(
    states: list[str | tuple[str, ...] | None],
) -> str | tuple[str, ...] | None:
    """Return the names of the states of both directions, the forward one's first."""
    if len(set(states)) == 1 or None in states:
        return states[0] if len(set(states)) == 1 else None
    return tuple(name for one in states if one for name in ([one] if isinstance(one, str) else one))


# --- the output -----------------------------------------------------------------------------------


def _find_y(parts: Parts, last: Vector) -> Vector | None:
    """Return the output that is not a final state, or else the top layer's final state."""
    found: list[Vector] = []
    for name, field in parts.outputs.items():
        if _is_states(field, parts):
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


def _is_states(field: Field, parts: Parts) -> bool:
    """Return True if a tensor holds only final states of single directions."""
    return not {"T", "R"} & set(field.kinds) and all(
        isinstance(part, Hidden)
        and part.when == final_when(parts.chains[part.chain].direction, padded=parts.padded)
        for item in field.flat
        for part in parts_of(item)
    )


def _head(y: Vector) -> _Head:
    """Take the scaling y std + mean off an output: a network has it as it is."""
    inner, std, mean = y, None, None
    if isinstance(inner, Shifted):
        mean, inner = inner.by, inner.source
    if isinstance(inner, Scaled):
        std = _inverse(inner.by) if isinstance(inner, Divided) else inner.by
        inner = inner.source
    is_readout = isinstance(inner, Activated | Hidden | Joined) or (
        isinstance(inner, Affine) and len(inner.terms) == 1
    )
    if not is_readout or (std is not None and not (std.array > 0).all()):
        return _Head(y, None, None)
    return _Head(inner, std, mean)


def _when(y: Vector, top: Vector, parts: Parts, symbols: Symbols) -> When:
    """Return the steps of the top layer that the output reads."""
    leaves = set(leaves_of(y))
    whens: tuple[When, ...] = ("each", "last", "end")
    for when in whens:
        whole = set(parts_of(top if when == "each" else symbols.at(top, when)))
        if leaves and leaves <= whole:
            if (
                when == "end"
                and not parts.padded
                and any(chain.direction != "forward" for chain in parts.chains)
            ):
                raise UnsupportedModelError(
                    "the output: it reads the last step of each sequence, but reverse layers have"
                    " read what is behind it, which no network does"
                )
            return when
    if leaves and all(isinstance(part, Hidden) and part.when != "each" for part in leaves):
        raise UnsupportedModelError(
            "the output: it reads final states (of the reverse direction after step 0, or of lower"
            " layers); elman's readout reads the top layer's output at one step"
        )
    raise UnsupportedModelError("the output: expected it to read only the top layer")


def _inverse(weight: Weight) -> Weight:
    return type(weight)(1 / weight.array.astype(np.float64), weight.name)


def _network(chain: list[Part], parts: Parts, head: _Head | None) -> _chain.Assembled:
    """Build the network, in the widest dtype of the graph's matrices."""
    matrices = [
        W.array
        for part in chain
        for W in (
            [part.W]
            if isinstance(part, _chain.Affine)
            else [W for half in part.halves for W in (half.W_xh, half.W_hh)]
            if isinstance(part, _chain.Recurrent)
            else []
        )
        if W.note != FOLDED
    ]
    said = Said(dtype=np.result_type(*matrices), metadata=parts.metadata)
    try:
        made = _chain.assemble(chain, said, masked=parts.masked)
        scaling = {} if head is None else {"output_std": head.std, "output_mean": head.mean}
        added = {name: piece(weight) for name, weight in scaling.items() if weight is not None}
        if not added:
            return made
        tensors = {name: one.array for name, one in added.items()}
        rows = [*made.rows, *_source.rows_of({name: [one] for name, one in added.items()})]
        return made._replace(network=made.network.replace(tensors=tensors), rows=rows)
    except ArgumentError as error:
        kind = ModelFormatError if "finite" in str(error) else UnsupportedModelError
        raise kind(str(error)) from error


def _held(made: _chain.Assembled) -> Network:
    """Return a network whose upper layers without recurrence start from what they give at first.

    Where a sequence begins with masked steps, they hold that, as the graph computes it.
    """
    network, starts = made.network, []
    below: Array | None = None  # None up to the first recurrent layer
    recurrent = {_NAME.format(index) for index in range(len(made.taps))}
    for layer, tap in zip(network.layers, made.taps, strict=True):
        start = np.zeros(len(layer.W_hh))
        is_recurrent = tap in recurrent
        if below is not None and not is_recurrent:
            bias = 0 if layer.b_h is None else layer.b_h.astype(np.float64)
            start = activate(network, layer.activation, layer.W_xh @ below + bias)
        below = start if is_recurrent or below is not None else None
        starts.append(start)
    return network.replace(tensors={"initial_state": np.concatenate(starts)})


# --- the rows -------------------------------------------------------------------------------------


def _input_rows(parts: Parts) -> list[Row]:
    rows = [Row(parts.x, "x", _axes(parts.x_kinds, codes=parts.codes, rows=bool(parts.tables)))]
    for name in parts.states:
        used = [c for c in parts.chains if isinstance(c.initial, Given) and c.initial.name == name]
        rows.append(Row(name, "state" if used else "", "the initial state of the layers"))
    if parts.lengths is not None:
        note = "net.run(x, mask=numpy.arange(T) < lengths[:, None]) gives every step of the graph"
        rows.append(Row(parts.lengths, "lengths", note if parts.padded else _ENDS))
    if parts.mask is not None:
        rows.append(Row(parts.x, "mask", _mask_note(parts)))
    note = "the network reads rows of this table, one for each integer"
    rows += [Row(name, "", note) for name in parts.tables]
    note = "the graph rounds values to {}, the network does not: they differ by that"
    return rows + [Row("Cast", "", note.format(kind)) for kind in parts.halves]


_ENDS = "of outputs only: net(x, lengths=lengths, outputs='last')"


def _rolled_rows(parts: Parts, layers: list[list[int]], made: _chain.Assembled) -> list[Row]:
    if not parts.unrolled:
        return []
    recurrent = [
        i for i, tap in enumerate(made.taps) if tap in map(_NAME.format, range(len(layers)))
    ]
    return [
        Row(parts.chains[index].where, f"layers.{place}{half}", "rolled up into one recurrence")
        for place, layer in zip(recurrent, layers, strict=True)
        for index, half in zip(layer, ("", ".reverse"), strict=False)
    ]


def _mask_note(parts: Parts) -> str:
    assert parts.mask is not None
    numbers = sorted({float(number) for number in parts.mask.number})
    number = f"{numbers[0]:g}" if len(numbers) == 1 else str(numbers)
    if parts.codes:
        return f"the graph skips the integer {number}: net.run(x, mask=integers != {number})"
    return (
        f"the graph skips steps whose features are all {number}:"
        f" net.run(x, mask=(x != {number}).any(-1))"
    )


_WORDS = {"T": "time", "R": "time, the last step first", "B": "batch", "F": "features", "K": "one"}


def _axes(kinds: str, *, codes: bool = False, rows: bool = False) -> str:
    words = ", ".join(_WORDS[kind] for kind in kinds)
    if codes:
        return f"integers ({words}); elman takes {'their rows' if rows else 'one-hot vectors'}"
    return f"({words}); elman takes (..., time, features)"


def _output_rows(parts: Parts, y: Vector | None, when: str | None) -> list[Row]:
    rows = []
    for name, field in parts.outputs.items():
        if set(field.flat) != {y}:
            rows.append(Row(name, "state", "the final state: net.run(x).state"))
        elif when == "end":
            rows.append(
                Row(name, "y", "of the last step of each sequence: " + _ENDS.split(": ")[1])
            )
        elif when == "last" and parts.padded:
            note = "of the last step, also of shorter sequences: net(x, mask=..., outputs='last')"
            rows.append(Row(name, "y", note))
        elif when == "last":
            rows.append(Row(name, "y", "of the last step: net(x, outputs='last')"))
        else:
            kinds = "".join(field.kinds) if all(len(k) == 1 for k in field.kinds) else ""
            rows.append(Row(name, "y", _axes(kinds) if kinds else "of every step"))
    return rows
