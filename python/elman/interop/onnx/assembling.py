"""Build a network from layers and a readout, with a row for each part of the source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import _chain, _source
from elman.interop._source import Piece, Row, Said
from elman.interop.onnx.parts import parts_between, piece
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

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array
    from elman.interop._chain import Part
    from elman.interop.onnx.fields import Context, OnnxHalf
    from elman.interop.onnx.graph import Graph, Meaning
    from elman.interop.onnx.masking import Mask
    from elman.interop.onnx.values import Symbols, Vector, Weight, When


class OnnxModel(NamedTuple):
    """A graph: the halves of its recurrent layers, its inputs and outputs."""

    graph: Graph
    inputs: Meaning
    context: Context
    halves: list[OnnxHalf]
    outputs: dict[str, Field]
    lengths: str | None
    padded: bool  # whether the layers read `lengths`; if not, only the output does
    mask: Mask | None  # of the steps that the layers of the graph read
    names: dict[Vector, str]  # the graph's names of values

    @property
    def masked(self) -> str:
        """What the outputs of steps that are not real are, as in `Network`."""
        return "zero" if self.padded else "hold" if self.mask is None else self.mask.masked


class Reading(NamedTuple):
    """A network, the rows of its source, and the meaning of the graph's inputs and outputs."""

    network: Network
    rows: list[Row]
    model: OnnxModel
    places: dict[int, slice]  # of the state of each half in the network's state
    y: Vector | None  # among the items of the outputs; None: only states
    when: When | None  # the steps of y
    taps: list[str | tuple[str, ...] | None]  # the values with the states of each layer


class _Head(NamedTuple):
    """The output without its scaling, and the scaling."""

    y: Vector
    std: Weight | None
    mean: Weight | None


def assemble(model: OnnxModel, symbols: Symbols) -> Reading:
    """Build the network of a model."""
    layers, chain = _layers(model, symbols)
    top = symbols.joined(_halves(model.halves, layers[-1], symbols))
    y = _find_y(model, symbols.at(top, "end" if model.padded else "last"))
    when = None if y is None else _when(y, top, model, symbols)
    head = None if y is None else _head(y)
    if head is not None and y is not None:
        end = top if when == "each" else symbols.at(top, when)  # type: ignore[arg-type]
        chain += parts_between(end, head.y, model.names)
    made = _network(chain, model, head)
    if (model.padded or model.mask is not None) and when in ("each", "last") and not made.masks:
        raise UnsupportedModelError(
            "the output: what follows the recurrent layers has more than one activation, so its"
            " values at the steps that a sequence lacks are those of no network: export the model"
            " without lengths and masks, and pass them to net.run"
        )
    places, taps = _places(model, layers, made)
    rows = [*_input_rows(model), *_rolled_rows(model, layers, made)]
    rows += [row for row in made.rows if row.source != ONE]
    rows += _output_rows(model, y, when)
    return Reading(made.network, rows, model, places, y, when, taps)


_NAME = "recurrent layer {}"  # of a part of the chain


# --- the layers -----------------------------------------------------------------------------------


def _layers(model: OnnxModel, symbols: Symbols) -> tuple[list[list[int]], list[Part]]:
    """Return the halves of each layer from the bottom up, and the parts up to the top layer."""
    halves = model.halves
    if not halves:
        raise UnsupportedModelError("no recurrent layer was found")
    leaves = [set(leaves_of(half.source)) for half in halves]
    inputs = {leaf for own in leaves for leaf in own if isinstance(leaf, Input)}
    first = {half.source for half, own in zip(halves, leaves, strict=True) if own & inputs}
    if len(first) != 1 or len(inputs) != 1:
        raise UnsupportedModelError("expected one layer that reads the input, got several or none")
    source: Vector = inputs.pop()
    layers: list[list[int]] = []
    described: list[Part] = []
    while here := [i for i, own in enumerate(leaves) if own and own <= set(parts_of(source))]:
        here.sort(key=lambda index: halves[index].direction)
        directions = [halves[index].direction for index in here]
        if len(here) > 2 or directions in (["forward"] * 2, ["reverse"] * 2):
            where = " and ".join(halves[index].where for index in here)
            raise UnsupportedModelError(f"{where}: they read the same input; expected one layer")
        if len({halves[index].source for index in here}) > 1:
            where = " and ".join(halves[index].where for index in here)
            raise UnsupportedModelError(f"{where}: expected two directions to read the same values")
        layers.append(here)
        described += parts_between(source, halves[here[0]].source, model.names)
        name = _NAME.format(len(layers) - 1)
        described.append(_recurrent(name, [halves[index] for index in here], model))
        source = symbols.joined(_halves(halves, here, symbols))
    if unused := set(range(len(halves))) - {i for layer in layers for i in layer}:
        where = halves[min(unused)].where
        raise UnsupportedModelError(f"{where}: expected it to read only the layer below")
    return layers, described


def _halves(halves: list[OnnxHalf], layer: list[int], symbols: Symbols) -> list[Vector]:
    return [symbols.hidden(halves[i].W_hh.array.shape[0], i, "each") for i in layer]


def _recurrent(name: str, halves: list[OnnxHalf], model: OnnxModel) -> _chain.Recurrent:
    direction = "bidirectional" if len(halves) == 2 else halves[0].direction
    made = tuple(
        _chain.Half(
            piece(half.W_xh),
            piece(half.W_hh),
            tuple(piece(bias) for bias in half.biases),
            activation_of(half.function),
            _start(half, model),
        )
        for half in halves
    )
    return _chain.Recurrent(name, made, direction)


def _start(half: OnnxHalf, model: OnnxModel) -> Piece | None:
    """Return the initial state of a direction if none is given, or None for zeros."""
    if isinstance(half.initial, Fixed):
        return piece(half.initial.weight)
    if not isinstance(half.initial, Given) or half.initial.name not in model.graph.defaults:
        return None
    given = half.initial
    array = model.graph.constants[given.name]
    if given.row is not None:
        array = array.take(given.row, model.inputs.states[given.name].index("K"))
    rows: Array = array.reshape(-1, array.shape[-1])[:, given.start : given.start + given.size]
    if len(rows) != 1:
        raise UnsupportedModelError(f"input {given.name!r}: expected a default for one sequence")
    return Piece(given.name, rows[0]) if rows[0].any() else None


def _places(
    model: OnnxModel, layers: list[list[int]], made: _chain.Assembled
) -> tuple[dict[int, slice], list[str | tuple[str, ...] | None]]:
    """Return where each half's state is in the network's, and the values that hold states."""
    places: dict[int, slice] = {}
    taps: list[str | tuple[str, ...] | None] = []
    end, done = 0, 0  # of the state, and of the recurrent layers
    for layer, tap in zip(made.network.layers, made.taps, strict=True):
        H = len(layer.W_hh)
        if done == len(layers) or tap != _NAME.format(done):
            end += H
            taps.append(tap if tap in model.names.values() else None)
            continue
        for index in layers[done]:
            places[index] = slice(end, end + H)
            end += H
        taps.append(_joined([model.halves[index].states for index in layers[done]]))
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


def _find_y(model: OnnxModel, last: Vector) -> Vector | None:
    """Return the output that is not a final state, or else the top layer's final state."""
    found: list[Vector] = []
    for name, field in model.outputs.items():
        if _is_states(field, model):
            continue
        vectors = set(field.flat)
        if len(vectors) != 1:
            raise UnsupportedModelError(f"output {name!r}: it mixes different vectors")
        found += vectors - set(found)
    if len(found) > 1:
        raise UnsupportedModelError("expected one output besides final states, got several")
    if not found and any(last in field.flat for field in model.outputs.values()):
        found = [last] if not isinstance(last, Joined) else []
    y = found[0] if found else None
    zeroed = model.mask is not None and model.mask.masked == "zero"
    if zeroed and any(set(field.flat) != {y} for field in model.outputs.values()):
        raise UnsupportedModelError(
            "the output: it reads the last step of a direction, zeros if that step is masked; the"
            " final state is then that of a step before"
        )
    return y


def _is_states(field: Field, model: OnnxModel) -> bool:
    """Return True if a tensor holds only final states of single directions."""
    return not {"T", "R"} & set(field.kinds) and all(
        isinstance(part, Hidden)
        and part.when == final_when(model.halves[part.half].direction, padded=model.padded)
        for item in field.flat
        for part in parts_of(item)
    )


def _head(y: Vector) -> _Head:
    """Take the scaling y std + mean off an output: a network has it as it is."""
    inner, std, mean = y, None, None
    if isinstance(inner, Shifted):
        mean, inner = inner.by, inner.source
    if isinstance(inner, Scaled):
        std = inner.by
        if isinstance(inner, Divided):
            std = replace(std, array=1 / std.array.astype(np.float64))
        inner = inner.source
    is_readout = isinstance(inner, Activated | Hidden | Joined) or (
        isinstance(inner, Affine) and len(inner.sources) == 1
    )
    if not is_readout or (std is not None and not (std.array > 0).all()):
        return _Head(y, None, None)
    return _Head(inner, std, mean)


def _when(y: Vector, top: Vector, model: OnnxModel, symbols: Symbols) -> When:
    """Return the steps of the top layer that the output reads."""
    leaves = set(leaves_of(y))
    whens: tuple[When, ...] = ("each", "last", "end")
    for when in whens:
        whole = set(parts_of(top if when == "each" else symbols.at(top, when)))
        if leaves and leaves <= whole:
            if (
                when == "end"
                and not model.padded
                and any(half.direction != "forward" for half in model.halves)
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


def _network(chain: list[Part], model: OnnxModel, head: _Head | None) -> _chain.Assembled:
    """Build the network, with the scaling of its outputs."""
    try:
        said, has_mask = Said(metadata=model.graph.metadata), model.padded or model.mask is not None
        made = _chain.assemble(chain, said, masked=model.masked, has_mask=has_mask)
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


# --- the rows -------------------------------------------------------------------------------------


def _input_rows(model: OnnxModel) -> list[Row]:
    x, kinds, ids, states = model.inputs
    rows = [Row(x, "x", _axes(kinds, ids=ids, rows=bool(model.context.tables)))]
    for name in states:
        used = [c for c in model.halves if isinstance(c.initial, Given) and c.initial.name == name]
        rows.append(Row(name, "state" if used else "", "the initial state of the layers"))
    if model.lengths is not None:
        note = "net.run(x, mask=numpy.arange(T) < lengths[:, None]) gives every step of the graph"
        rows.append(Row(model.lengths, "lengths", note if model.padded else _ENDS))
    if model.mask is not None:
        rows.append(Row(x, "mask", _mask_note(model)))
    note = "the network reads rows of this table, one for each integer"
    rows += [Row(name, "", note) for name in model.context.tables]
    note = "the graph rounds values to {}, the network does not: they differ by that"
    return rows + [Row("Cast", "", note.format(kind)) for kind in model.context.rounds]


_ENDS = "of outputs only: net.run(x, lengths=lengths, outputs='last').output"


def _rolled_rows(model: OnnxModel, layers: list[list[int]], made: _chain.Assembled) -> list[Row]:
    if not model.graph.is_unrolled:
        return []
    recurrent = [
        i for i, tap in enumerate(made.taps) if tap in map(_NAME.format, range(len(layers)))
    ]
    return [
        Row(model.halves[index].where, f"layers.{place}{half}", "rolled up into one recurrence")
        for place, layer in zip(recurrent, layers, strict=True)
        for index, half in zip(layer, ("", ".reverse"), strict=False)
    ]


def _mask_note(model: OnnxModel) -> str:
    assert model.mask is not None
    numbers = sorted({float(number) for number in model.mask.number})
    number = f"{numbers[0]:g}" if len(numbers) == 1 else str(numbers)
    if model.inputs.ids:
        return f"the graph skips the integer {number}: net.run(x, mask=integers != {number})"
    return (
        f"the graph skips steps whose features are all {number}:"
        f" net.run(x, mask=(x != {number}).any(-1))"
    )


_WORDS = {"T": "time", "R": "time, the last step first", "B": "batch", "F": "features", "K": "one"}


def _axes(kinds: str, *, ids: bool = False, rows: bool = False) -> str:
    words = ", ".join(_WORDS[kind] for kind in kinds)
    if ids:
        return f"integers ({words}); elman takes {'their rows' if rows else 'one-hot vectors'}"
    return f"({words}); elman takes (..., time, features)"


def _output_rows(model: OnnxModel, y: Vector | None, when: str | None) -> list[Row]:
    rows = []
    for name, field in model.outputs.items():
        if set(field.flat) != {y}:
            rows.append(Row(name, "state", "the final state: net.run(x).state"))
        elif when == "end":
            rows.append(
                Row(name, "y", "of the last step of each sequence: " + _ENDS.split(": ")[1])
            )
        elif when == "last" and model.padded:
            how = "net.run(x, mask=..., outputs='last').output"
            rows.append(Row(name, "y", f"of the last step, also of shorter sequences: {how}"))
        elif when == "last":
            rows.append(Row(name, "y", "of the last step: net(x, outputs='last')"))
        else:
            kinds = "".join(field.kinds) if all(len(k) == 1 for k in field.kinds) else ""
            rows.append(Row(name, "y", _axes(kinds) if kinds else "of every step"))
    return rows
