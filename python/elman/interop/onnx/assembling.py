"""Make a network of layers and a readout, and say where each of its parts came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop.imported import Row
from elman.interop.onnx.recurrent import activation_of, bias_sum, final_when
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
    from numpy.typing import DTypeLike, NDArray

    from elman._network import Network
    from elman.interop.onnx.recurrent import Chain
    from elman.interop.onnx.values import Symbols, Vector, Weight

    Array = NDArray[Any]


class Parts(NamedTuple):
    """What a graph was found to consist of."""

    chains: list[Chain]
    outputs: dict[str, Field]
    x: str
    x_kinds: str
    states: dict[str, str]  # inputs that are states, with the kinds of their axes
    defaults: dict[str, Array]  # of states that need not be given
    lengths: str | None
    unrolled: bool
    metadata: dict[str, str]


class Reading(NamedTuple):
    """A network, where its parts came from, and what the graph's inputs and outputs are."""

    network: Network
    rows: list[Row]
    parts: Parts
    order: list[int]  # of the chains in the network's state
    y: Vector | None  # among the items of the outputs; None: states alone
    when: str | None  # y is of "each" step or of the "last"


class _Head(NamedTuple):
    """What follows the top layer."""

    top: Vector
    W_hy: Weight | None
    biases: tuple[Weight, ...]
    function: Function | None
    scale: Weight | None
    shift: Weight | None


def assemble(parts: Parts, symbols: Symbols) -> Reading:
    """Return the network of the parts of a graph."""
    layers, top = _layers(parts.chains, symbols)
    order = [index for layer in layers for index in layer]
    y = _find_y(parts, symbols.at(top, "last"))
    head = _Head(top, None, (), None, None, None) if y is None else _head(y)
    when = None if y is None else _when(head.top, top, symbols)
    dtype = _dtype(parts, head)
    arguments, rows = _recurrent_part(parts, layers, dtype)
    _add_head(arguments, rows, head, dtype)
    scaling, scaling_rows = _input_scaling(parts.chains[order[0]].source)
    arguments["metadata"] = parts.metadata
    arguments.update({name: weight.array for name, weight in scaling.items()})
    rows = [*_input_rows(parts), *scaling_rows, *rows, *_output_rows(parts, y, when)]
    return Reading(_network(arguments, dtype), rows, parts, order, y, when)


# --- the layers -----------------------------------------------------------------------------------


def _layers(chains: list[Chain], symbols: Symbols) -> tuple[list[list[int]], Vector]:
    """Return the chains of each layer from the bottom up, and what the top layer gives."""
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
            raise UnsupportedModelError(f"{where}: they read the same; expected one layer")
        layers.append(here)
        source = symbols.joined(
            symbols.hidden(chains[i].W_hh.array.shape[0], i, "each") for i in here
        )
    if unused := set(range(len(chains))) - {i for layer in layers for i in layer}:
        where = chains[min(unused)].where
        raise UnsupportedModelError(f"{where}: it does not read what the layer below gives alone")
    return layers, source


def _recurrent_part(
    parts: Parts, layers: list[list[int]], dtype: DTypeLike
) -> tuple[dict[str, Any], list[Row]]:
    """Return the arguments of `Network.from_weights` for the layers, and their rows."""
    triples: list[Any] = []
    activations: list[Any] = []
    directions, rows, starts = [], [], []
    for number, layer in enumerate(layers):
        halves: list[Any] = []
        for index in layer:
            chain = parts.chains[index]
            name = f"layers.{number}." + ("reverse." if len(halves) else "")
            halves.append((chain.W_xh.array, chain.W_hh.array, _bias(chain.biases, dtype)))
            rows += _chain_rows(chain, name, parts)
            starts.append(_start(chain, parts))
        names = [activation_of(parts.chains[index].function) for index in layer]
        triples.append(halves[0] if len(halves) == 1 else tuple(halves))
        activations.append(names[0] if len(names) == 1 else tuple(names))
        both = len(layer) == 2
        directions.append("bidirectional" if both else parts.chains[layer[0]].direction)
    arguments: dict[str, Any] = {"layers": triples, "activation": activations}
    if set(directions) != {"forward"}:
        arguments["direction"] = directions
    initial = np.concatenate(starts)
    if initial.any():
        arguments["initial_state"] = initial
    return arguments, rows


def _bias(biases: tuple[Weight, ...], dtype: DTypeLike) -> Array | None:
    return bias_sum([bias.array for bias in biases], dtype)


def _start(chain: Chain, parts: Parts) -> Array:
    """Return where a direction starts if no state is given."""
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
    """Return what the outputs give besides final states, or that of the top layer."""
    found: list[Vector] = []
    for name, field in parts.outputs.items():
        if _is_states(field, parts.chains):
            continue
        vectors = set(field.flat)
        if len(vectors) != 1:
            raise UnsupportedModelError(f"output {name!r}: it mixes different things")
        found += vectors - set(found)
    if len(found) > 1:
        raise UnsupportedModelError("expected one output besides final states, got several")
    if not found and any(last in field.flat for field in parts.outputs.values()):
        found = [last] if not isinstance(last, Joined) else []
    return found[0] if found else None


def _is_states(field: Field, chains: list[Chain]) -> bool:
    """Say whether a tensor holds nothing but final states of single directions."""
    return "T" not in field.kinds and all(
        isinstance(part, Hidden) and part.when == final_when(chains[part.chain].direction)
        for item in field.flat
        for part in parts_of(item)
    )


def _head(y: Vector) -> _Head:
    """Take apart what follows the top layer."""
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
                f"the output: its activation {function.name} follows no linear map"
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
    """Say whether a readout reads every step of the top layer or the last alone."""
    if found is top:
        return "each"
    if found is symbols.at(top, "last"):
        return "last"
    if all(isinstance(part, Hidden) and part.when != "each" for part in parts_of(found)):
        raise UnsupportedModelError(
            "the output: it reads final states, that of the reverse direction after step 0, or of"
            " lower layers; elman's readout reads what the top layer gives at one step"
        )
    raise UnsupportedModelError("the output: it reads something else than the top layer")


def _add_head(arguments: dict[str, Any], rows: list[Row], head: _Head, dtype: DTypeLike) -> None:
    arguments["readout"] = None
    if head.W_hy is not None:
        arguments["readout"] = (head.W_hy.array, _bias(head.biases, dtype))
        arguments["output_activation"] = activation_of(head.function or Function("identity"))
        rows.append(Row(head.W_hy.name, "readout.W_hy"))
        rows += [Row(bias.name, "readout.b_y") for bias in head.biases]
    for name, weight in (("output_std", head.scale), ("output_mean", head.shift)):
        if weight is not None:
            arguments[name] = weight.array
            rows.append(Row(weight.name, name))


def _input_scaling(source: Vector) -> tuple[dict[str, Weight], list[Row]]:
    """Return the scaling with which the first layer reads x."""
    scaling: dict[str, Weight] = {}
    if isinstance(source, Scaled):
        std = source.by if isinstance(source, Divided) else _inverse(source.by)
        scaling, source = {"input_std": std}, source.source
    if isinstance(source, Shifted):
        shift = source.by
        scaling = {"input_mean": type(shift)(-shift.array, shift.name), **scaling}
        source = source.source
    if isinstance(source, Scaled | Shifted):
        raise UnsupportedModelError(
            "the input: expected (x - mean) / std, got its scaling in another order"
        )
    return scaling, [Row(weight.name, name) for name, weight in scaling.items()]


def _inverse(weight: Weight) -> Weight:
    """Return 1 / weight."""
    if not weight.array.all():
        raise UnsupportedModelError("the input: it multiplies by 0")
    return type(weight)(1 / weight.array.astype(np.float64), weight.name)


def _dtype(parts: Parts, head: _Head) -> np.dtype[Any]:
    """Return the widest dtype of the weights."""
    weights = [weight for chain in parts.chains for weight in (chain.W_xh, chain.W_hh)]
    weights += [] if head.W_hy is None else [head.W_hy]
    return np.result_type(*(weight.array for weight in weights))


def _network(arguments: dict[str, Any], dtype: DTypeLike) -> Network:
    from elman._network import Network

    layers, readout = arguments.pop("layers"), arguments.pop("readout")
    try:
        return Network.from_weights(layers, readout, dtype=dtype, **arguments)
    except ArgumentError as error:
        kind = ModelFormatError if "finite" in str(error) else UnsupportedModelError
        raise kind(str(error)) from error


# --- the rows -------------------------------------------------------------------------------------


def _input_rows(parts: Parts) -> list[Row]:
    rows = [Row(parts.x, "x", _axes(parts.x_kinds))]
    for name in parts.states:
        used = [c for c in parts.chains if isinstance(c.initial, Given) and c.initial.name == name]
        rows.append(Row(name, "state" if used else "", "the start of the layers"))
    if parts.lengths is not None:
        note = "padded steps give zeros; the graph's readout gives them its bias"
        rows.append(Row(parts.lengths, "lengths", note))
    return rows


_WORDS = {"T": "time", "B": "batch", "F": "features", "K": "one"}


def _axes(kinds: str) -> str:
    words = ", ".join(_WORDS[kind] for kind in kinds)
    return f"({words}); elman takes (..., time, features)"


def _chain_rows(chain: Chain, name: str, parts: Parts) -> list[Row]:
    rows = [Row(chain.W_xh.name, name + "W_xh"), Row(chain.W_hh.name, name + "W_hh")]
    if parts.unrolled:
        rows.insert(0, Row(chain.where, name.removesuffix("."), "rolled up into one recurrence"))
    note = "added to the other bias in float64" if len(chain.biases) > 1 else ""
    rows += [Row(bias.name, name + "b_h", note) for bias in chain.biases]
    if isinstance(chain.initial, Fixed):
        rows.append(Row(chain.initial.weight.name, "initial_state"))
    return rows


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
