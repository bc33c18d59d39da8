"""The parts of a Keras config: classes, names, and the chain that a functional model must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = Any

_OF_MASKS = ("Any", "NotEqual")  # what Masking becomes in the graph of a functional model


def as_object(value: Json, what: str) -> dict[str, Json]:
    """Return an object of a config."""
    if not isinstance(value, dict):
        raise ModelFormatError(f"the config of {what}: expected an object")
    return value


def class_name(layer: Json, what: str) -> str:
    """Return the class of a model, a layer or a cell, if it is one of Keras itself."""
    kind = as_object(layer, what).get("class_name")
    if not isinstance(kind, str):
        raise ModelFormatError(f"the config of {what}: expected a class_name")
    module, registered = layer.get("module"), layer.get("registered_name")
    roots = ("keras", "tensorflow", "tf_keras", "builtins", "None")
    if str(module).split(".")[0] not in roots or registered not in (None, kind):
        shown = str(registered or f"{module}.{kind}")[:80]
        raise UnsupportedModelError(
            f"layer {layer_name(layer)!r}: expected a class of Keras, got {shown!r}, a custom one"
        )
    return kind


def layer_name(layer: Json) -> str:
    """Return the name that the user gave a layer."""
    config = layer.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return str(name or layer.get("name") or layer.get("class_name"))[:80]


def chain(settings: dict[str, Json], layers: list[Json]) -> Iterator[Json]:
    """Yield the layers from the input to the output, where each reads the one before."""
    by_name = {layer_name(layer): layer for layer in layers}
    sources = {name: _source(layer) for name, layer in by_name.items()}
    name: str | None = _only(settings.get("output_layers"), "output")
    path: list[str] = []
    while name is not None:
        if name not in by_name or name in path:
            raise ModelFormatError(f"the layers of the model are no chain at {str(name)[:80]!r}")
        path.append(name)
        name = sources[name]
    for other, layer in by_name.items():
        if other not in path and class_name(layer, "a layer") not in _OF_MASKS:
            raise UnsupportedModelError(
                f"layer {other!r} ({layer['class_name']}): expected one chain of layers, got"
                " another branch"
            )
    for layer in reversed(path):
        yield by_name[layer]


def _only(ends: Json, what: str) -> str:
    """Return the one name in `[name, 0, 0]` or `[[name, 0, 0]]`."""
    if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
        ends = ends[0]
    if not isinstance(ends, list) or len(ends) != 3 or not isinstance(ends[0], str):
        raise UnsupportedModelError(f"expected a model with one {what}, got another number")
    return ends[0]


def _source(layer: Json) -> str | None:
    """Return the name of the layer that a layer reads, None for an input."""
    nodes = layer.get("inbound_nodes")
    what = f"layer {layer_name(layer)!r}"
    if not nodes:
        return None
    node = nodes[0] if isinstance(nodes, list) and len(nodes) == 1 else None
    if isinstance(node, dict):  # Keras 3
        inputs = list(_tensors(node.get("args")))
        keywords = as_object(node.get("kwargs", {}), what)
        if any(list(_tensors(keywords[key])) for key in keywords if key != "mask"):
            raise UnsupportedModelError(f"{what}: expected one input, got an initial state")
    elif isinstance(node, list):  # Keras 2: [[name, node, tensor, keywords], ...]
        inputs = [part[:3] for part in node if isinstance(part, list)]
        if any(part[3] for part in node if isinstance(part, list) and len(part) > 3 and part[3]):
            raise UnsupportedModelError(f"{what}: expected no further arguments of its call")
    else:
        raise UnsupportedModelError(f"{what}: expected it to be used once")
    if len(inputs) != 1 or len(inputs[0]) != 3 or inputs[0][1:] != [0, 0]:
        raise UnsupportedModelError(f"{what}: expected one input, the output of one layer")
    return str(inputs[0][0])


def _tensors(value: Json) -> Iterator[list[Json]]:
    """Yield `[layer, node, tensor]` of the tensors in the arguments of a call."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        history = as_object(value.get("config"), "a tensor").get("keras_history")
        yield history if isinstance(history, list) else []
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
