"""Choose the reader or the writer of a model file by its suffix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from elman import _files, _format, _loading
from elman.errors import ArgumentError, UnsupportedModelError
from elman.interop._source import Imported, Row, Said

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman._network import Network

__all__ = ["check_options", "contents", "framework_of", "read"]

_FRAMEWORKS = {".safetensors": "elman", **_loading.FRAMEWORKS}
_COMMON = ("activation", "output_activation", "readout", "embedding", "dtype")
_OPTIONS = {  # of the readers
    "elman": (),
    "torch": (*_COMMON, "prefix", "initial_state", "cell"),
    "keras": (*_COMMON, "layers"),
    "onnx": ("external_data", "embedding"),
}


def framework_of(path: str) -> str:
    """Return the framework of a file: "elman", "torch", "keras" or "onnx".

    A safetensors file is elman's if its metadata says so, otherwise PyTorch's. PyTorch's own files
    have many suffixes (.bin, .th, .tar, .pkl): the first bytes tell.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FRAMEWORKS:
        if os.path.isfile(path) and _is_pytorch(path):
            return "torch"
        raise UnsupportedModelError(
            f"{path}: expected the suffix {' or '.join(_FRAMEWORKS)}, got {suffix or 'none'}"
        )
    if suffix == ".safetensors" and os.path.isfile(path) and not _loading.is_own(path):
        return "torch"
    return _FRAMEWORKS[suffix]


def _is_pytorch(path: str) -> bool:
    from elman.interop.torch.file import is_pytorch

    with _files.opened(path) as (file, _):
        return is_pytorch(file.read(512))


def read(path: str, **options: Any) -> Imported:
    """Read a model file of any framework; options that are None count as not given."""
    framework = framework_of(path)
    given = {name: value for name, value in options.items() if value is not None}
    check_options(given, framework, path)
    if framework == "torch":
        from elman.interop import torch

        return torch.read(path, Said(**given))
    if framework == "keras":
        from elman.interop import keras

        return keras.read(path, Said(**given))
    if framework == "onnx":
        from elman.interop import onnx

        return onnx.read(path, **given)
    net = _loading.load(path)
    return Imported(net, [Row(name, name) for name in net.tensors()], None)


def check_options(options: Iterable[str], framework: str, source: str) -> None:
    """Refuse options that a framework's reader does not take."""
    for name in options:
        if name not in _OPTIONS[framework]:
            takes = ", ".join(_OPTIONS[framework]) or "none"
            raise ArgumentError(
                f"{name}: expected no such option for {source}, which takes {takes}"
            )


def contents(net: Network, path: str, *, fold_scaling: bool = False) -> bytes:
    """Return a network as the bytes of a file, in the format of the path's suffix."""
    suffix = os.path.splitext(path)[1].lower()
    if path.endswith(".weights.h5"):
        from elman.interop.keras.writing import contents as weights

        return weights(net, fold_scaling=fold_scaling)
    if suffix in (".pt", ".pth"):
        from elman.interop.torch.writing import contents as tensors

        return tensors(net, fold_scaling=fold_scaling)
    if fold_scaling:
        raise ArgumentError(f"fold_scaling: expected False for {path}, which stores scaling")
    if suffix == ".onnx":
        from elman.interop.onnx.writing import write

        data: bytes = write(net).SerializeToString(deterministic=True)
        return data
    if suffix == ".safetensors":
        return _format.dumps(net)
    raise UnsupportedModelError(
        f"{path}: expected the suffix .safetensors, .onnx, .pt or .weights.h5 to write, got"
        f" {suffix or 'none'}"
    )
