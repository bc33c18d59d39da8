"""The layers of a Keras config in the order of computation, nested models included.

A config is data. It is walked without recursion over what a file may nest, within limits.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from elman._text import show
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop.keras.config import as_object, class_name, flag, layer_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = Any

MODELS = ("Sequential", "Functional", "Model")
MAX_NESTED = 12  # models in models; groups in a file are at most 32 deep
_OF_MASKS = ("Any", "NotEqual")  # the operations of Masking in a functional model's graph
_INPUT = "InputLayer"


class Leaf(NamedTuple):
    """A layer that is not a model, and where it is."""

    kind: str
    name: str  # its own
    label: str  # after the names of the models it is in: "encoder/rnn"
    config: dict[str, Json]
    group: str  # in a Keras 3 file: "sequential/layers/simple_rnn"
    order: tuple[int, ...]  # its place among the layers of each model that it is in
    top: str  # the name of the outermost layer
    live: tuple[str, ...]  # names of layers from the model down to it; "" for `.layer`
    shape: list[Json]  # of its input, as far as known
    frozen: bool = False
    timed: bool = False  # within TimeDistributed
    heard: bool = True  # whether its output is an output of a layer of that label
    state: int = 0  # which of its outputs the next layer reads
    starts: tuple[str, ...] = ()  # the inputs that are its initial state
    item: Json = None  # what GetItem takes

    @property
    def what(self) -> str:
        """Its name in messages."""
        return f"layer {self.label!r}"


class Graph(NamedTuple):
    """The layers from the input to the output, and the outputs beside it."""

    leaves: list[Leaf]
    inputs: list[Json]  # the shape of the input
    beside: list[tuple[str, int]]  # the layer and the number of each further output


class _Place(NamedTuple):
    """Where a model is: what its layers have in common."""

    label: str = ""
    group: str = ""
    order: tuple[int, ...] = ()
    top: str = ""
    live: tuple[str, ...] = ()
    frozen: bool = False
    timed: bool = False
    heard: bool = True
    depth: int = 0


def of_model(model: Json) -> Graph:
    """Return the layers of a model."""
    kind = class_name(model, "the model")
    settings, layers = _layers(kind, model, "the model")
    if kind == "Sequential":
        return Graph(list(_leaves(layers, layers, {}, _Place())), _input_shape(layers), [])
    chain, links, beside = _chain(settings, layers, "the model")
    return Graph(list(_leaves(layers, chain, links, _Place())), _input_shape(chain), beside)


def _layers(kind: str, model: Json, what: str) -> tuple[dict[str, Json], list[Json]]:
    """Return the settings and the layers of a model; older Sequential configs are a list."""
    config = model.get("config")
    settings = {"layers": config} if kind == "Sequential" and isinstance(config, list) else config
    settings = as_object(settings, what)
    layers = settings.get("layers")
    if not isinstance(layers, list):
        raise ModelFormatError(f"the config of {what}: expected a list of layers")
    return settings, layers


def _leaves(
    layers: list[Json], chain: list[Json], links: dict[str, _Link], place: _Place
) -> Iterator[Leaf]:
    """Yield the layers of a chain, with those of the models in it; `layers` is the whole model."""
    places = {id(layer): index for index, layer in enumerate(layers)}
    groups = list(_groups(layers))
    for layer in chain:
        index = places[id(layer)]
        group = groups[index]
        kind, name = class_name(layer, "a layer"), layer_name(layer)
        link = links.get(name, _Link())
        inside = place._replace(
            label=f"{place.label}/{name}".lstrip("/"),
            group=f"{place.group}/{group}".lstrip("/"),
            order=(*place.order, index),
            top=place.top or name,
            live=(*place.live, name),
        )
        yield from _of_layer(layer, kind, link, inside)


def _of_layer(layer: Json, kind: str, link: _Link, place: _Place) -> Iterator[Leaf]:
    """Yield a layer, or the layers in it."""
    what = f"layer {place.label!r}"
    if place.depth > MAX_NESTED:
        raise LimitError(f"{what[:200]}: expected models at most {MAX_NESTED} deep, got more")
    if kind in MODELS:
        settings, layers = _layers(kind, layer, what)
        inside = place._replace(
            group=f"{place.group}/layers",
            frozen=place.frozen or not flag(settings, "trainable", what, default=True),
            depth=place.depth + 1,
        )
        chain = layers
        links: dict[str, _Link] = {}
        if kind != "Sequential":
            chain, links, beside = _chain(settings, layers, what)
            if beside:
                raise UnsupportedModelError(f"{what}: expected one output inside, got several")
        if link.state or link.starts:
            raise UnsupportedModelError(f"{what}: expected one input and one output, got more")
        yield from _leaves(layers, chain, links, inside)
        return
    config = as_object(layer.get("config"), what)
    place = place._replace(frozen=place.frozen or not flag(config, "trainable", what, default=True))
    if kind == "TimeDistributed":
        inner: Json = config.get("layer")
        nested = class_name(inner, what)
        below = place._replace(
            group=f"{place.group}/layer",
            live=(*place.live, *[""] * (nested in MODELS)),
            timed=True,
            heard=nested not in MODELS and nested != kind and place.heard,
            depth=place.depth + 1,
        )
        yield from _of_layer(inner, nested, link, below)
        return
    build = layer.get("build_config")
    shape = build.get("input_shape") if isinstance(build, dict) else None
    yield Leaf(
        kind,
        layer_name(layer),
        place.label,
        config,
        place.group,
        place.order,
        place.top,
        place.live,
        shape if isinstance(shape, list) else [],
        place.frozen,
        place.timed,
        place.heard,
        link.state,
        link.starts,
        _item(layer) if kind == "GetItem" else None,
    )


def _item(layer: Json) -> Json:
    """Return what GetItem takes of its input, such as `[slice, -1]`, or None if it is unknown."""
    nodes = layer.get("inbound_nodes")
    node = nodes[0] if isinstance(nodes, list) and nodes else None
    given = node.get("args") if isinstance(node, dict) else None
    return given[1] if isinstance(given, list) and len(given) == 2 else None


def _groups(layers: list[Json]) -> Iterator[str]:
    """Yield each layer's group name in a file: its class in snake case, and a number."""
    seen: dict[str, int] = {}
    for layer in layers:
        kind = class_name(layer, "a layer")
        if kind == _INPUT:
            yield ""
            continue
        name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}_{seen[name]}" if seen[name] else name


def _input_shape(layers: list[Json]) -> list[Json]:
    """Return the shape of a model's input without the batch, as far as its first layer knows it."""
    first: Json = layers[0] if layers else {}
    for _ in range(MAX_NESTED):
        config = first.get("config") if isinstance(first, dict) else None
        if isinstance(config, list):
            config = {"layers": config}
        if not isinstance(config, dict):
            return []
        for key in ("batch_shape", "batch_input_shape"):
            if isinstance(shape := config.get(key), list):
                return shape[1:]
        inner = config.get("layers")
        first = inner[0] if isinstance(inner, list) and inner else None
    return []


# --- the chain of a functional model --------------------------------------------------------------


class _Link(NamedTuple):
    """What a layer of a functional model reads, and which of its outputs is read."""

    source: str | None = None
    number: int = 0  # of the source's outputs
    starts: tuple[str, ...] = ()  # the inputs that are its initial state
    state: int = 0  # which of its own outputs the next layer reads


def _chain(
    settings: dict[str, Json], layers: list[Json], what: str
) -> tuple[list[Json], dict[str, _Link], list[tuple[str, int]]]:
    """Return the layers from the input to the output, each reading the one before it."""
    by_name = {layer_name(layer): layer for layer in layers if isinstance(layer, dict)}
    links = {name: _link(layer) for name, layer in by_name.items()}
    beside: list[tuple[str, int]] = []
    ends = _ends(settings.get("output_layers"), what)
    paths = [_path(name, by_name, links) for name, _ in ends]
    last = max(range(len(ends)), key=lambda i: (len(paths[i]), -ends[i][1]))
    main = paths[last]
    for number, (end, path) in enumerate(zip(ends, paths, strict=True)):
        if number != last:
            if main[len(main) - len(path) :] != path:
                raise UnsupportedModelError(
                    f"layer {end[0]!r}: expected one chain of layers, got another branch"
                )
            beside.append(end)
    links[main[0]] = links[main[0]]._replace(state=ends[last][1])
    for name, below in itertools.pairwise(main):
        links[below] = links[below]._replace(state=links[name].number)
    starts = {start for link in links.values() for start in link.starts}
    for start in starts:
        layer = by_name.get(start)
        if start in main or layer is None or class_name(layer, "a layer") != _INPUT:
            raise UnsupportedModelError(
                f"layer {start!r}: expected an initial state that is another input of the model"
            )
    masks = [_mask_of(by_name[name], links[name]) for name in main]
    for other, layer in by_name.items():
        if other in main:
            continue
        if class_name(layer, "a layer") in _OF_MASKS:
            _require_mask(layer, links[other], masks)
            continue
        if class_name(layer, "a layer") == _INPUT and other in starts:
            continue
        raise UnsupportedModelError(
            f"layer {other!r} ({class_name(layer, 'a layer')[:80]}): expected one chain of"
            " layers, got another branch"
        )
    return [by_name[name] for name in reversed(main)], links, beside


def _mask_of(layer: Json, link: _Link) -> tuple[str | None, Json]:
    """Return what a layer compares for its mask, and with what; (None, None) if it has no mask."""
    kind = class_name(layer, "a layer")
    config = as_object(layer.get("config"), "a layer")
    if kind == "Masking":
        return link.source, config.get("mask_value", 0.0)
    return (link.source, 0) if kind == "Embedding" and config.get("mask_zero") else (None, None)


def _require_mask(layer: Json, link: _Link, masks: list[tuple[str | None, Json]]) -> None:
    """Refuse a mask that is not the one of a layer in the chain; its two operations are checked."""
    if class_name(layer, "a layer") == "Any":  # of NotEqual, which is checked by itself
        return
    node = layer["inbound_nodes"][0]
    arguments = node.get("args") if isinstance(node, dict) else None
    value = arguments[1] if isinstance(arguments, list) and len(arguments) == 2 else None
    if (link.source, value) not in masks:
        raise UnsupportedModelError(
            f"layer {layer_name(layer)!r}: expected the mask of a Masking or Embedding layer, got"
            " another: leave it out of the model, and pass it as net.run(x, mask=...)"
        )


def _path(name: str | None, by_name: dict[str, Json], links: dict[str, _Link]) -> list[str]:
    """Return the names from an output to the input."""
    path: list[str] = []
    seen: set[str] = set()
    while name is not None:
        if name not in by_name or name in seen:
            raise ModelFormatError(f"the layers of the model are not a chain at {name[:80]!r}")
        path.append(name)
        seen.add(name)
        name = links[name].source
    return path


def _ends(value: Json, what: str) -> list[tuple[str, int]]:
    """Return the layers and numbers in `[name, 0, 0]` or `[[name, 0, 0], ...]`."""
    ends = value if isinstance(value, list) else []
    if ends and isinstance(ends[0], str):
        ends = [ends]
    found = [_history(end) for end in ends]
    if not found:
        raise UnsupportedModelError(f"{what}: expected a model with one output, got none")
    return found


def _history(end: Json) -> tuple[str, int]:
    """Return the layer and the number of an output, in `[name, node, number]`."""
    if (
        not isinstance(end, list)
        or len(end) < 3
        or not isinstance(end[0], str)
        or type(end[1]) is not int
        or type(end[2]) is not int
        or not 0 <= end[2] < 2**16
    ):
        raise UnsupportedModelError(f"expected an output of a layer, got {show(end)}")
    return end[0][:80], end[2]


def _link(layer: Json) -> _Link:
    """Return what a layer reads: one layer, or an input, with perhaps an initial state."""
    class_name(layer, "a layer")
    nodes = layer.get("inbound_nodes")
    what = f"layer {layer_name(layer)!r}"
    if not nodes:
        return _Link()
    node = nodes[0] if isinstance(nodes, list) and len(nodes) == 1 else None
    starts: list[Json] = []
    if isinstance(node, dict):  # Keras 3
        given = node.get("args")
        inputs = list(_tensors(given))
        keywords = as_object(node.get("kwargs", {}), what)
        _refuse_training(what, keywords, given)
        starts = list(_tensors(keywords.get("initial_state")))
        others = [keywords[key] for key in keywords if key not in ("mask", "initial_state")]
        if next(_tensors(others), None) is not None:
            raise UnsupportedModelError(f"{what}: expected a call without further tensors")
        if class_name(layer, what) in _OF_MASKS:
            inputs = inputs[:1]
    elif isinstance(node, list):  # Keras 2: [[name, node, tensor, keywords], ...]
        parts = [part for part in node if isinstance(part, list)]
        inputs = [part[:3] for part in parts]
        if class_name(layer, what) in ("SimpleRNN", "RNN", "Bidirectional"):
            inputs, starts = inputs[:1], inputs[1:]
        for part in parts:
            keywords = as_object(part[3] if len(part) > 3 else {}, what)
            _refuse_training(what, keywords, None)
            state = keywords.get("initial_state") or []
            if not isinstance(state, list):
                raise ModelFormatError(f"{what}: expected an initial state, got {show(state)}")
            starts += [state] if state and isinstance(state[0], str) else state
            if any(keywords[key] for key in keywords if key not in ("initial_state", "training")):
                raise UnsupportedModelError(f"{what}: expected a call without further arguments")
    else:
        raise UnsupportedModelError(f"{what}: expected a layer that is used once")
    if len(inputs) != 1:
        raise UnsupportedModelError(f"{what}: expected one input, the output of one layer")
    source, index = _history(inputs[0])
    return _Link(source, index, tuple(_history(start)[0] for start in starts))


def _refuse_training(what: str, keywords: dict[str, Json], arguments: Json) -> None:
    """Refuse a call with training=True: dropout is then random, and statistics are the batch's."""
    positional = isinstance(arguments, list) and any(one is True for one in arguments)
    if keywords.get("training") or positional:
        raise UnsupportedModelError(f"{what}: expected a call without training=True")


def _tensors(value: Json) -> Iterator[Json]:
    """Yield `[layer, node, tensor]` for each tensor in the arguments of a call, in order."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and one.get("class_name") == "__keras_tensor__":
            yield as_object(one.get("config"), "a tensor").get("keras_history")
        elif isinstance(one, (list, dict)):
            parts = list(one.values()) if isinstance(one, dict) else one
            waiting.extend(reversed(parts))
