"""The layers of a Keras config in the order of computation, nested models included.

A config is data. It is walked without recursion over what a file may nest, within limits.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from elman._text import show
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop.keras.config import Settings, as_object, class_name, layer_name, settings_of
from elman.interop.keras.model import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = Any

MODELS = ("Sequential", "Functional", "Model")
MAX_NESTED = 12  # models in models; groups in a file are at most 32 deep
_OF_MASKS = ("Any", "NotEqual")  # the operations of Masking in a functional model's graph
_INPUT = "InputLayer"


class Link(NamedTuple):
    """What a layer of a functional model reads, and which of its outputs is read."""

    source: str | None = None
    number: int = 0  # of the source's outputs
    starts: tuple[str, ...] = ()  # the inputs that are its initial state
    arguments: tuple[Json, ...] = ()  # of its call, as Keras 3 writes them
    state: int = 0  # which of its own outputs the next layer reads


class Leaf(NamedTuple):
    """A layer that is not a model."""

    kind: str
    place: Place
    layer: dict[str, Json]
    settings: Settings
    link: Link

    @property
    def label(self) -> str:
        """Its name, after the names of the models it is in."""
        return self.place.label

    @property
    def what(self) -> str:
        """Its name in messages."""
        return self.settings.what

    def unsupported(self, words: str) -> UnsupportedModelError:
        """Return the error that says what was expected of the layer."""
        return UnsupportedModelError(f"{self.what} ({self.kind[:80]}): {words}")


class Graph(NamedTuple):
    """The layers from the input to the output, and the outputs beside it."""

    leaves: list[Leaf]
    inputs: list[Json]  # the shape of the input
    beside: list[tuple[str, int]]  # the layer and the number of each further output


class _Model(NamedTuple):
    """A model; `chain` are the layers from the input to the output."""

    settings: Settings
    layers: list[Json]
    chain: list[Json]
    links: dict[str, Link]  # by the names of layers
    beside: list[tuple[str, int]]


def of_model(config: Json) -> Graph:
    """Return the layers of a model."""
    model = _open(class_name(config, "the model"), config, "the model")
    return Graph(list(_leaves(model, Place())), _input_shape(model.chain), model.beside)


def _open(kind: str, model: Json, what: str) -> _Model:
    """Return the parts of a model; older Sequential configs are a list."""
    config = model.get("config")
    config = {"layers": config} if kind == "Sequential" and isinstance(config, list) else config
    settings = Settings(what, as_object(config, what))
    layers = settings.get("layers")
    if not isinstance(layers, list):
        raise ModelFormatError(f"the config of {what}: expected a list of layers")
    if kind == "Sequential":
        return _Model(settings, layers, layers, {}, [])
    return _Model(settings, layers, *_chain(settings, layers))


def _leaves(model: _Model, place: Place) -> Iterator[Leaf]:
    """Yield the layers of a model's chain, with those of the models in it."""
    groups = list(_groups(model.layers))
    numbers = {id(layer): number for number, layer in enumerate(model.layers)}
    for layer in model.chain:
        number = numbers[id(layer)]
        kind, name = class_name(layer, "a layer"), layer_name(layer)
        inside = place._replace(
            label=f"{place.label}/{name}".lstrip("/"),
            group=f"{place.group}/{groups[number]}".lstrip("/"),
            order=(*place.order, number),
            top=place.top or name,
            live=(*place.live, name),
        )
        yield from _of_layer(layer, kind, model.links.get(name, Link()), inside)


def _of_layer(layer: Json, kind: str, link: Link, place: Place) -> Iterator[Leaf]:
    """Yield a layer, or the layers in it."""
    what = f"layer {place.label!r}"
    if place.depth > MAX_NESTED:
        raise LimitError(f"{what[:200]}: expected models at most {MAX_NESTED} deep, got more")
    model = _open(kind, layer, what) if kind in MODELS else None
    settings = settings_of(layer, what) if model is None else model.settings
    place = place._replace(frozen=place.frozen or not settings.flag("trainable", default=True))
    if model is not None:
        if model.beside:
            raise UnsupportedModelError(f"{what}: expected one output inside, got several")
        if link.state or link.starts:
            raise UnsupportedModelError(f"{what}: expected one input and one output, got more")
        inside = place._replace(group=f"{place.group}/layers", depth=place.depth + 1)
        yield from _leaves(model, inside)
    elif kind == "TimeDistributed":
        inner: Json = settings.get("layer")
        nested = class_name(inner, what)
        inside = place._replace(
            group=f"{place.group}/layer",
            live=(*place.live, *[""] * (nested in MODELS)),
            timed=True,
            heard=nested not in MODELS and nested != kind and place.heard,
            depth=place.depth + 1,
        )
        yield from _of_layer(inner, nested, link, inside)
    else:
        yield Leaf(kind, place._replace(name=layer_name(layer)), layer, settings, link)


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


def _chain(
    settings: Settings, layers: list[Json]
) -> tuple[list[Json], dict[str, Link], list[tuple[str, int]]]:
    """Return the layers from the input to the output, each reading the one before it."""
    by_name = {layer_name(layer): layer for layer in layers if isinstance(layer, dict)}
    links = {name: _link(layer) for name, layer in by_name.items()}
    beside: list[tuple[str, int]] = []
    ends = _ends(settings)
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
    values = {name: _masked(by_name[name]) for name in main}
    masks = [(links[name].source, value) for name, value in values.items() if value is not None]
    for other, layer in by_name.items():
        kind = class_name(layer, "a layer")
        if kind == "NotEqual" and (links[other].source, *links[other].arguments[1:]) not in masks:
            raise UnsupportedModelError(
                f"layer {other!r}: expected the mask of a Masking or Embedding layer, got another:"
                " leave it out of the model, and pass it as net.run(x, mask=...)"
            )
        if other not in (*main, *starts) and kind not in _OF_MASKS:
            raise UnsupportedModelError(
                f"layer {other!r} ({kind[:80]}): expected one chain of layers, got another branch"
            )
    return [by_name[name] for name in reversed(main)], links, beside


def _masked(layer: Json) -> Json:
    """Return the value whose steps a layer masks, or None if it masks none."""
    kind, settings = class_name(layer, "a layer"), settings_of(layer, "a layer")
    if kind == "Masking":
        return settings.get("mask_value", 0.0)
    return 0 if kind == "Embedding" and settings.get("mask_zero") else None


def _path(name: str | None, by_name: dict[str, Json], links: dict[str, Link]) -> list[str]:
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


def _ends(settings: Settings) -> list[tuple[str, int]]:
    """Return the layers and numbers of the outputs, `[name, 0, 0]` or `[[name, 0, 0], ...]`."""
    value = settings.get("output_layers")
    ends = value if isinstance(value, list) else []
    if ends and isinstance(ends[0], str):
        ends = [ends]
    found = [_history(end) for end in ends]
    if not found:
        raise UnsupportedModelError(f"{settings.what}: expected a model with one output, got none")
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
    return end[0], end[2]


def _link(layer: Json) -> Link:
    """Return what a layer reads: one layer, or an input, with perhaps an initial state."""
    kind, what = class_name(layer, "a layer"), f"layer {layer_name(layer)!r}"
    nodes = layer.get("inbound_nodes")
    if not nodes:
        return Link()
    node = nodes[0] if isinstance(nodes, list) and len(nodes) == 1 else None
    arguments: Json = ()
    if isinstance(node, dict):  # Keras 3
        inputs, starts = _call(node, what)
        given = node.get("args")
        arguments = tuple(given) if isinstance(given, list) else ()
        inputs = inputs[:1] if kind in _OF_MASKS else inputs
    elif isinstance(node, list):  # Keras 2
        inputs, starts = _older_call(node, what)
        if kind in ("SimpleRNN", "RNN", "Bidirectional"):
            inputs, starts = inputs[:1], inputs[1:] + starts
    else:
        raise UnsupportedModelError(f"{what}: expected a layer that is used once")
    if len(inputs) != 1:
        raise UnsupportedModelError(f"{what}: expected one input, the output of one layer")
    source, number = _history(inputs[0])
    return Link(source, number, tuple(_history(start)[0] for start in starts), arguments)


def _call(node: dict[str, Json], what: str) -> tuple[list[Json], list[Json]]:
    """Return the tensors that a call of Keras 3 passes, and the initial state among its options."""
    keywords = as_object(node.get("kwargs", {}), what)
    _refuse_training(what, keywords, node.get("args"))
    others = [keywords[key] for key in keywords if key not in ("mask", "initial_state")]
    if next(_tensors(others), None) is not None:
        raise UnsupportedModelError(f"{what}: expected a call without further tensors")
    return list(_tensors(node.get("args"))), list(_tensors(keywords.get("initial_state")))


def _older_call(node: list[Json], what: str) -> tuple[list[Json], list[Json]]:
    """Return the same of a call of Keras 2, `[[name, node, tensor, keywords], ...]`."""
    inputs: list[Json] = []
    starts: list[Json] = []
    for part in (part for part in node if isinstance(part, list)):
        inputs.append(part[:3])
        keywords = as_object(part[3] if len(part) > 3 else {}, what)
        _refuse_training(what, keywords, None)
        state = keywords.get("initial_state") or []
        if not isinstance(state, list):
            raise ModelFormatError(f"{what}: expected an initial state, got {show(state)}")
        starts += [state] if state and isinstance(state[0], str) else state
        if any(keywords[key] for key in keywords if key not in ("initial_state", "training")):
            raise UnsupportedModelError(f"{what}: expected a call without further arguments")
    return inputs, starts


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
