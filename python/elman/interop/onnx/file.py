"""Load a model from a path, bytes or a ModelProto, within limits; other files only on request."""

from __future__ import annotations

import math
import os
import reprlib
import stat
from typing import TYPE_CHECKING, Any

from elman import _files, _foreign
from elman.errors import ArgumentTypeError, DTypeError, ModelFormatError, UnsupportedModelError
from elman.interop._archive import opening, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    Proto = Any  # of onnx, which has no types


WIDENED = ("FLOAT16", "BFLOAT16")
_READ = ("FLOAT", "DOUBLE", "INT32", "INT64", "BOOL", *WIDENED)


def load(source: object, *, external_data: bool) -> Proto:
    """Return a model with all its data, including data in other files if allowed."""
    onnx = import_onnx()
    model, folder = onnx.ModelProto(), None
    if isinstance(source, onnx.ModelProto):
        model.CopyFrom(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        model = _parse(bytes(source))
    elif isinstance(source, str | os.PathLike):
        path = _files.name_of(source, "source")
        folder = os.path.dirname(os.path.abspath(path))
        with opening(path, "onnx"):
            model = _parse(read_file(path))
    else:
        got = type(source).__name__ + _foreign.reader(source, "onnx")
        raise ArgumentTypeError(f"source: expected a path, bytes or a ModelProto, got {got}")
    _require_text(model)
    external = _External(folder, allowed=external_data)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.raw_data = external(tensor)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return model


def _require_text(model: Proto) -> None:
    """Refuse strings that are not UTF-8, which protobuf returns as bytes."""
    strings = [entry.domain for entry in model.opset_import]
    strings += [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    for graph in _graphs(model.graph):
        strings += [part.name for part in [*graph.input, *graph.output]]
        for node in graph.node:
            strings += [node.op_type, node.name, node.domain, *node.input, *node.output]
            strings += [text for a in node.attribute for text in (a.name, a.ref_attr_name)]
    for tensor in _tensors(model.graph):
        strings.append(tensor.name)
        strings += [text for entry in tensor.external_data for text in (entry.key, entry.value)]
    for text in strings:
        if not isinstance(text, str):
            raise ModelFormatError(f"expected names in UTF-8, got {_show(text)}")


def check_tensor(proto: Proto, what: str) -> str:
    """Refuse an unsupported tensor; return ONNX's name of its type."""
    kind = type_name(import_onnx().TensorProto, proto.data_type)
    if kind not in _READ:
        raise DTypeError(f"{what}: expected real numbers or integers, got {kind}")
    if any(size < 0 for size in proto.dims):
        raise ModelFormatError(f"{what}: it has negative sizes")
    if proto.HasField("segment"):
        raise UnsupportedModelError(f"{what}: tensors in segments are not supported")
    return kind


def type_name(proto: Proto, number: int) -> str:
    """Return ONNX's name of a data type."""
    return str(proto.DataType.Name(number)) if number in proto.DataType.values() else str(number)


def _graphs(graph: Proto) -> Iterator[Proto]:
    """Yield a graph and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _tensors(graph: Proto) -> Iterator[Proto]:
    """Yield every tensor of a graph and of the graphs inside its nodes."""
    for inner in _graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors


def import_onnx() -> Proto:
    """Return the package onnx, or raise an error that names the extra."""
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


class _External:
    """Reads the tensors that a model stores in other files, if allowed."""

    def __init__(self, folder: str | None, *, allowed: bool) -> None:
        self._folder = folder
        self._allowed = allowed
        self._left: dict[str, int] = {}  # bytes of each file that no tensor has used yet

    def __call__(self, tensor: Proto) -> bytes:
        """Return a tensor's bytes."""
        what = f"tensor {_show(tensor.name)}"
        if not self._allowed:
            raise UnsupportedModelError(
                f"{what}: its data are in another file: pass external_data=True if you trust this"
                " model"
            )
        if self._folder is None:
            raise UnsupportedModelError(
                f"{what}: its data are in another file: pass the path of the model"
            )
        check_tensor(tensor, what)
        location, offset, length = _entries(tensor, what)
        item = import_onnx().helper.tensor_dtype_to_np_dtype(tensor.data_type)
        expected = math.prod(tensor.dims) * item.itemsize
        if length is not None and length != expected:
            raise ModelFormatError(f"{what}: expected {expected} bytes of data, got {length}")
        return self._range(os.path.join(self._folder, location), offset, expected, what)

    def _range(self, path: str, offset: int, length: int, what: str) -> bytes:
        """Read a range of a regular file; refuse links."""
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
        raise ModelFormatError(f"{what}: the keys of its external data are unknown or repeated")
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


def _require_plain(status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise UnsupportedModelError(
            f"{what}: expected external data in a regular file with one name, got a link or another"
            " kind of file"
        )


def _show(value: str) -> str:
    return reprlib.repr(value)
