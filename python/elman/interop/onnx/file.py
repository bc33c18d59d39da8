"""A model from a path, bytes or a ModelProto: read with limits, and from no other file unasked."""

from __future__ import annotations

import math
import os
import reprlib
import stat
from typing import TYPE_CHECKING, Any

from elman import _files
from elman._files import naming
from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop._archive import read_file

if TYPE_CHECKING:
    Proto = Any  # of onnx, which has no types


def load_proto(source: object) -> tuple[Proto, str | None]:
    """Return the model and the folder it came from, None if that is not known."""
    onnx = import_onnx()
    if isinstance(source, onnx.ModelProto):
        return source, None
    if isinstance(source, bytes | bytearray | memoryview):
        return _parse(bytes(source)), None
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)
        with naming(path):
            return _parse(read_file(path)), os.path.dirname(os.path.abspath(path))
    raise TypeError(f"source: expected a path, bytes or a ModelProto, got {type(source).__name__}")


def import_onnx() -> Proto:
    """Return the package onnx, or say how to get it."""
    return _files.extra("onnx", "an ONNX model", "'elman[onnx]'")


def _parse(data: bytes) -> Proto:
    from google.protobuf.message import DecodeError

    onnx = import_onnx()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelFormatError(f"expected an ONNX model, got other bytes ({error})") from error
    if not model.HasField("graph") or not model.ir_version:
        raise ModelFormatError("expected an ONNX model, got a message without version or graph")
    return model


class External:
    """Reads the tensors that a model keeps in other files, if it may."""

    def __init__(self, folder: str | None, *, allowed: bool) -> None:
        self._folder = folder
        self._allowed = allowed
        self._left: dict[str, int] = {}  # bytes of each file that no tensor has taken yet

    def __call__(self, tensor: Proto) -> bytes:
        """Return a tensor's bytes."""
        what = f"tensor {_show(tensor.name)}"
        if not self._allowed:
            raise UnsupportedModelError(
                f"{what}: its numbers are in another file, which is read if you trust this model"
                " and say external_data=True"
            )
        if self._folder is None:
            raise UnsupportedModelError(
                f"{what}: its numbers are in another file: give the path of the model"
            )
        location, offset, length = _entries(tensor, what)
        expected = math.prod(tensor.dims) * _item_bytes(tensor)
        if length is not None and length != expected:
            raise ModelFormatError(f"{what}: expected {expected} bytes of data, got {length}")
        return self._range(os.path.join(self._folder, location), offset, expected, what)

    def _range(self, path: str, offset: int, length: int, what: str) -> bytes:
        """Return a range of a regular file that no link leads to."""
        _require_plain(os.lstat(path), what)
        flags = getattr(os, "O_NOFOLLOW", 0)
        with open(
            path, "rb", opener=lambda p, f: _files.open_without_waiting(p, f | flags)
        ) as file:
            status = os.fstat(file.fileno())
            _require_plain(status, what)
            left = self._left.setdefault(path, status.st_size)
            if offset + length > status.st_size or length > left:
                raise ModelFormatError(
                    f"{what}: expected {length} bytes at {offset} of the external file, which"
                    f" has {status.st_size}, {left} of them not yet used"
                )
            self._left[path] = left - length
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise ModelFormatError(f"{what}: the external file changed while it was read")
        return data


def _entries(tensor: Proto, what: str) -> tuple[str, int, int | None]:
    """Return the name of the file, the offset, and the length if it is given."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    unknown = set(entries) - {"location", "offset", "length", "checksum"}
    if unknown or len(entries) != len(tensor.external_data):
        raise ModelFormatError(f"{what}: the keys of its external data are unknown or stand twice")
    location = entries.get("location", "")
    if location in ("", ".", "..") or any(c in location for c in "/\\:\0"):
        raise UnsupportedModelError(
            f"{what}: expected external data in a file of the model's own folder, got"
            f" {_show(location)}"
        )
    numbers = []
    for key in ("offset", "length"):
        text = entries.get(key, "0" if key == "offset" else "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ModelFormatError(f"{what}: expected a number for {key}, got {_show(text)}")
        numbers.append(int(text) if text else None)
    return location, numbers[0] or 0, numbers[1]


def _item_bytes(tensor: Proto) -> int:
    onnx = import_onnx()
    return int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _require_plain(status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise UnsupportedModelError(
            f"{what}: expected external data in a regular file that has one name, got a link or"
            " something else"
        )


def _show(value: str) -> str:
    return reprlib.repr(value)
