"""Keras files: the model that one describes, and the weights of its cells.

`.keras` is a zip archive of `config.json` and `model.weights.h5`; `.weights.h5` is the latter; the
legacy `.h5` of Keras 2, which Keras 3 still writes, stores the config as an attribute.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from elman import _arguments, _container
from elman.errors import ArgumentError, LimitError, ModelFormatError, UnsupportedModelError
from elman.interop import _archive
from elman.interop.keras import hdf5
from elman.interop.keras import model as models
from elman.interop.keras.groups import of_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from elman.interop.keras.model import KerasCell, KerasDense, KerasLayer, KerasModel

    Weights = dict[str, tuple[str, NDArray[Any]]]  # "kernel" -> path in the file, array
    Find = Callable[[KerasLayer | KerasDense, KerasCell], Weights]

MAX_CONFIG_BYTES = 256 * 1024  # a layer takes about 2 KiB


def open_model(
    data: bytes, layers: Sequence[str] | None, readout: str | bool | None
) -> tuple[KerasModel, Find]:
    """Return the model that a file describes, and a function that finds its cells' weights."""
    if data.startswith(b"PK\x03\x04"):
        config, contents, keras_2 = _open_archive(data)
        model = models.of_config(config, keras_2=keras_2)
        find = _find_by_group(contents)
    elif data.startswith(b"\x89HDF\r\n\x1a\n"):
        contents = hdf5.read(data)
        if "model_config" not in contents.attributes:
            return _open_weights(contents, layers, readout)
        text = contents.attributes["model_config"].encode()
        keras_2 = not contents.attributes.get("keras_version", "2").startswith("3")
        model = models.of_config(_json(text), keras_2=keras_2)
        find = _find_by_name(contents)
    else:
        raise UnsupportedModelError(
            "expected a file of Keras (.keras, .weights.h5, .h5), got another kind"
        )
    _check_said(model, layers, readout)
    return model, find


def open_live(
    live: Any, layers: Sequence[str] | None, readout: str | bool | None
) -> tuple[KerasModel, Find]:
    """Return the description of a live model, and a function that finds its cells' weights."""
    kind = type(live)
    package = sys.modules.get(kind.__module__.partition(".")[0])
    config = {"class_name": kind.__name__, "module": kind.__module__, "registered_name": None}
    models.require_chain(config)
    text = json.dumps(config | {"config": live.get_config()}, default=str)
    keras_2 = str(getattr(package, "__version__", "3")).startswith("2")
    model = models.of_config(json.loads(text), keras_2=keras_2)
    _check_said(model, layers, readout)
    weights: dict[tuple[str, str], Weights] = {}
    by_name = {layer.name: layer for layer in live.layers}
    parts: list[KerasLayer | KerasDense] = [*model.recurrent]
    parts += [] if model.dense is None else [model.dense]
    for layer in parts:
        given = by_name[layer.name].get_weights()  # cell by cell
        if not given:
            raise ArgumentError(
                f"source: expected a model with weights, got none in layer {layer.name!r}: call the"
                " model once, or start it with keras.Input"
            )
        arrays = map(_real, given)
        for cell in layer.halves:
            kinds = _kinds(layer)[: None if cell.use_bias else -1]
            weights[layer.name, cell.place] = {
                kind: (f"{layer.name}/{cell.place}/{kind}".replace("//", "/"), array)
                for kind, array in zip(kinds, arrays, strict=False)
            }
        if next(arrays, None) is not None:
            raise UnsupportedModelError(
                f"layer {layer.name!r}: expected only its cells' weights, got more weights"
            )

    def find(layer: KerasLayer | KerasDense, cell: KerasCell) -> Weights:
        return _complete(layer, cell, weights[layer.name, cell.place], layer.name)

    return model, find


def _real(array: Any) -> NDArray[Any]:
    """Return an array, bfloat16 as float32."""
    import numpy as np

    real = np.asarray(array)
    return real.astype(np.float32) if real.dtype.name == "bfloat16" else real


def _check_said(
    model: KerasModel, layers: Sequence[str] | None, readout: str | bool | None
) -> None:
    """Refuse options that contradict the model."""
    if layers is not None:
        raise ArgumentError("layers: expected none, because the model has an order, got some")
    if isinstance(readout, str) and (model.dense is None or model.dense.name != readout):
        has = "no Dense layer" if model.dense is None else repr(model.dense.name)
        raise ArgumentError(f"readout: expected {has}, as in the model, got {readout!r}")


def _open_archive(data: bytes) -> tuple[Any, hdf5.Contents, bool]:
    """Return the config, the weights, and whether Keras 2 wrote them."""
    archive = _archive.Archive(data, compressed=True)
    if "model.weights.npz" in archive.names:
        raise UnsupportedModelError(
            "expected weights in model.weights.h5, got model.weights.npz, which holds pickles"
        )
    config = _json(archive.read("config.json", MAX_CONFIG_BYTES))
    keras_2 = False
    if "metadata.json" in archive.names:
        version = _json(archive.read("metadata.json", MAX_CONFIG_BYTES)).get("keras_version")
        keras_2 = str(version).startswith("2")
    return config, hdf5.read(archive.read("model.weights.h5", _archive.MAX_FILE_BYTES)), keras_2


def _json(text: bytes) -> Any:
    if len(text) > MAX_CONFIG_BYTES:
        raise LimitError(f"expected a config of at most {MAX_CONFIG_BYTES} bytes, got {len(text)}")
    return _container.json_object(text, "the config")


def _open_weights(
    contents: hdf5.Contents, layers: Sequence[str] | None, readout: str | bool | None
) -> tuple[KerasModel, Find]:
    """Return the model of a file that holds only weights."""
    root = _root(contents)
    paths = [path for path in contents.arrays if path.startswith(f"{root}/")]
    order = None if layers is None else _arguments.listed("layers", layers, "names")
    return of_groups(paths, order, readout), _find_by_group(contents)


def _root(contents: hdf5.Contents) -> str:
    """Return the group that holds the layers."""
    for root in ("layers", "_layer_checkpoint_dependencies"):
        if any(path.startswith(f"{root}/") for path in contents.arrays):
            return root
    raise UnsupportedModelError("expected weights in 'layers', as Keras 3 writes them, got none")


def _find_by_group(contents: hdf5.Contents) -> Find:
    """Return a function that finds weights by the group of their layer, as in Keras 3."""
    root = _root(contents)

    def find(layer: KerasLayer | KerasDense, cell: KerasCell) -> Weights:
        name = contents.names.get(f"{root}/{layer.group}/vars", layer.name)
        if name not in (layer.name, layer.group) and layer.name != layer.group:
            raise ModelFormatError(
                f"layer {layer.name!r}: expected its weights in {layer.group!r}, got those of"
                f" {name[:80]!r}"
            )
        base = "/".join(part for part in (root, layer.group, cell.place, "vars") if part)
        kinds = _kinds(layer)
        found = {
            kind: (f"{base}/{index}", contents.arrays[f"{base}/{index}"])
            for index, kind in enumerate(kinds)
            if f"{base}/{index}" in contents.arrays
        }
        return _complete(layer, cell, found, base)

    return find


def _find_by_name(contents: hdf5.Contents) -> Find:
    """Return a function that finds weights by the name of their layer, as in a Keras 2 `.h5`."""

    def find(layer: KerasLayer | KerasDense, cell: KerasCell) -> Weights:
        base = f"model_weights/{layer.name}/"
        groups: dict[str, Weights] = {}
        for path, array in contents.arrays.items():
            parent, _, variable = path.rpartition("/")
            if path.startswith(base) and _marked(parent.split("/"), cell.mark):
                groups.setdefault(parent, {})[variable.removesuffix(":0")] = (path, array)
        if len(groups) != 1:
            raise ModelFormatError(
                f"layer {layer.name!r}: expected one group of weights in {base!r},"
                f" got {len(groups)}"
            )
        ((parent, found),) = groups.items()
        return _complete(layer, cell, found, parent)

    return find


def _marked(parts: list[str], mark: str) -> bool:
    """Return True if a path belongs to a cell: by its name, or by the prefix of its direction."""
    return not mark or any(
        part.startswith(mark) if mark.endswith("_") else part == mark for part in parts
    )


def _kinds(layer: KerasLayer | KerasDense) -> tuple[str, ...]:
    recurrent = isinstance(layer, models.KerasLayer)
    return ("kernel", "recurrent_kernel", "bias") if recurrent else ("kernel", "bias")


def _complete(
    layer: KerasLayer | KerasDense, cell: KerasCell, found: Weights, base: str
) -> Weights:
    """Refuse missing weights, and weights that the config does not mention."""
    kinds = set(_kinds(layer))
    allowed = [kinds, kinds - {"bias"}]
    if cell.use_bias is not None:
        allowed = allowed[:1] if cell.use_bias else allowed[1:]
    if set(found) not in allowed:
        raise ModelFormatError(
            f"layer {layer.name!r}: expected {', '.join(sorted(allowed[0]))} in {base[:80]!r}, got"
            f" {', '.join(sorted(found))[:80] or 'nothing'}"
        )
    return found
