"""Keras files: the model that one describes, and the weights of its cells.

`.keras` is a zip archive of `config.json` and `model.weights.h5`; `.weights.h5` is the latter; the
legacy `.h5` of Keras 2, which Keras 3 still writes, stores the config as an attribute, or only the
weights of each layer, in order.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from elman import _container, _text
from elman.errors import LimitError, UnsupportedModelError
from elman.interop import _archive
from elman.interop.keras import config as configs
from elman.interop.keras import groups, hdf5, parts, weights
from elman.interop.keras.model import KerasDense, KerasEmbedding, KerasLayer, KerasScaling, Store

if TYPE_CHECKING:
    from elman.interop._source import Said
    from elman.interop.keras.model import KerasModel
    from elman.interop.keras.weights import Find

MAX_CONFIG_BYTES = 256 * 1024  # a layer takes about 2 KiB


def open_model(data: bytes, said: Said) -> tuple[KerasModel, Find]:
    """Return the model that a file describes, and a function that finds its cells' weights."""
    if data.startswith(b"PK\x03\x04"):
        config, contents, version = _open_archive(data)
        model = parts.of_config(config, version=version)
        find = weights.by_group(contents)
    elif data.startswith(b"\x89HDF\r\n\x1a\n"):
        contents = hdf5.read(data)
        if "model_config" not in contents.attributes:
            return _open_weights(contents, said)
        text = contents.attributes["model_config"].encode(errors="surrogateescape")
        model = parts.of_config(_json(text), version=contents.attributes.get("keras_version", "2"))
        find = weights.by_order(contents, "model_weights", stores(model))
    else:
        raise UnsupportedModelError(
            "expected a file of Keras (.keras, .weights.h5, .h5), got another kind"
        )
    groups.check_order(model, said, "model")
    return model, find


def open_live(live: Any, said: Said) -> tuple[KerasModel, Find]:
    """Return the description of a live model, and a function that finds its cells' weights."""
    kind = type(live)
    package = sys.modules.get(kind.__module__.partition(".")[0])
    config = {"class_name": kind.__name__, "module": kind.__module__, "registered_name": None}
    parts.require_chain(config)
    text = json.dumps(config | {"config": live.get_config()}, default=_plain)
    model = parts.of_config(json.loads(text), version=str(getattr(package, "__version__", "3")))
    _refuse_own_functions(live)
    groups.check_order(model, said, "model")
    return model, weights.in_memory(live, stores(model), package)


def _refuse_own_functions(live: Any) -> None:
    """Refuse activations that are not Keras' own, though a config names them as if they were."""
    for layer in getattr(live, "_flatten_layers", tuple)():
        function = getattr(layer, "activation", None)
        module = getattr(function, "__module__", None) or "builtins"
        if callable(function) and module.split(".")[0] not in configs.PACKAGES:
            name = getattr(function, "__name__", type(function).__name__)
            raise UnsupportedModelError(
                f"layer {str(layer.name)[:80]!r}: expected an activation of Keras, got"
                f" {_text.show(f'{module}.{name}')}"
            )


def _plain(value: Any) -> Any:
    """Return a value of a live config as JSON has it: arrays as lists."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def stores(model: KerasModel) -> list[Store]:
    """Return where the weights of a model are, from the input to the output."""
    found: list[Store] = []
    for part in model.parts:
        if isinstance(part, KerasLayer):
            found += [cell.store for cell in part.halves]
        elif isinstance(part, KerasDense | KerasEmbedding):
            found.append(part.store)
        elif isinstance(part, KerasScaling) and isinstance(part.source, Store):
            found.append(part.source)
    return found


def _open_archive(data: bytes) -> tuple[Any, hdf5.Contents, str]:
    """Return the config, the weights, and the version of Keras."""
    archive = _archive.Archive(data, compressed=True)
    if "model.weights.npz" in archive.names:
        raise UnsupportedModelError(
            "expected weights in model.weights.h5, got model.weights.npz, which holds pickles"
        )
    config = _json(archive.read("config.json", MAX_CONFIG_BYTES))
    version = "3"
    if "metadata.json" in archive.names:
        metadata = _json(archive.read("metadata.json", MAX_CONFIG_BYTES))
        if isinstance(given := metadata.get("keras_version"), str):
            version = given if given.startswith("3") else f"{given}-tf"  # Keras 2.12 to 2.15
    data = archive.read("model.weights.h5", _archive.MAX_FILE_BYTES)
    return config, hdf5.read(data), version


def _json(text: bytes) -> Any:
    if len(text) > MAX_CONFIG_BYTES:
        raise LimitError(f"expected a config of at most {MAX_CONFIG_BYTES} bytes, got {len(text)}")
    return _container.json_object(text, "the config")


def _open_weights(contents: hdf5.Contents, said: Said) -> tuple[KerasModel, Find]:
    """Return the model of a file that holds only weights."""
    if ("", "layer_names") in contents.lists:
        model = groups.of_order(contents)
        groups.check_order(model, said, "file")
        return model, weights.by_order(contents, "", stores(model))
    root = weights.root_of(contents)
    paths = [path for path in contents.arrays if path.startswith(f"{root}/")]
    return groups.of_groups(paths, said), weights.by_group(contents)
