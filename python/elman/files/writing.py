"""Write tables as CSV and arrays as NPY, piece by piece."""

from __future__ import annotations

import io
import math
import re
import sys
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

_SPECIAL = r'[,"\r]|^#|^\s|\s$'  # these need quotes, as does a line feed
_NEEDS_QUOTES = re.compile(_SPECIAL + r"|\n")
_ANY_NEEDS_QUOTES = re.compile(_SPECIAL, re.MULTILINE)
_POWERS = 10.0 ** np.arange(23)  # those that are exact in float64


def csv_header(names: Iterable[str]) -> bytes:
    """Return the names of columns as a line of CSV."""
    return (",".join(map(quoted, names)) + "\n").encode()


def csv_lines(texts: Sequence[Sequence[str]], values: Array) -> bytes | memoryview:
    """Return lines of CSV: columns of text, then numbers (N, O).

    Numbers have the shortest form that reads back as the same number, as in Python. If PyArrow
    was imported, it writes most of them, with the same bytes.
    """
    texts = [_all_quoted(column) for column in texts]
    if not len(values):
        return b""
    if "pyarrow" in sys.modules:
        return _arrow_lines(texts, shortest(values))
    count, width = len(values), len(texts) + values.shape[1]
    fields: list[Any] = [None] * (count * width)
    for j, column in enumerate(texts):
        fields[j::width] = column
    for j, numbers in enumerate(shortest(values).T, start=len(texts)):
        fields[j::width] = numbers.tolist()
    line = ",".join(["%s"] * len(texts) + ["%r"] * values.shape[1]) + "\n"
    return ((line * count) % tuple(fields)).encode()


def _arrow_lines(texts: Sequence[Sequence[str]], values: NDArray[np.float64]) -> memoryview:
    import pyarrow as pa
    from pyarrow import compute

    columns = [_arrow_texts(column) for column in texts]
    for numbers in map(np.ascontiguousarray, values.T):
        column = compute.cast(_arrow_array(pa.float64(), len(numbers), numbers), pa.string())
        other = ~_alike_in_arrow(numbers)
        if other.any():
            mask = _arrow_array(pa.bool_(), len(other), np.packbits(other, bitorder="little"))
            python = _arrow_texts(list(map(repr, numbers[other].tolist())))
            column = compute.replace_with_mask(column, mask, python)
        columns.append(column)
    comma, newline, nothing = _arrow_texts([",", "\n", ""])  # scalars
    ends = [comma] * (len(columns) - 1) + [newline]
    parts = [part for pair in zip(columns, ends, strict=True) for part in pair]
    lines = compute.binary_join_element_wise(*parts, nothing)
    _, offsets, data = lines.buffers()  # the texts of all lines, one after another
    begin, end = np.frombuffer(offsets, np.int32)[[lines.offset, lines.offset + len(lines)]]
    return memoryview(data)[begin:end]


def _arrow_texts(column: Sequence[str]) -> Any:  # noqa: ANN401
    import pyarrow as pa

    encoded = [text.encode() for text in column]
    offsets = np.zeros(len(column) + 1, np.int32)
    np.cumsum(list(map(len, encoded)), out=offsets[1:])
    return _arrow_array(pa.string(), len(column), offsets, b"".join(encoded))


def _arrow_array(kind: Any, count: int, *data: Array | bytes) -> Any:  # noqa: ANN401
    """Return an array of PyArrow; its own constructor would import pandas."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, count, [None, *map(pa.py_buffer, data)])


def _alike_in_arrow(numbers: NDArray[np.float64]) -> NDArray[np.bool]:
    """Return which numbers PyArrow formats as Python does: not 1, 1e10 or 1e-7."""
    size = np.abs(numbers)
    with np.errstate(invalid="ignore"):
        alike: NDArray[np.bool] = (size >= 1e-4) & (size < 1e9) & (size != np.rint(size))
    return alike


def number(value: np.floating[Any]) -> str:
    """Return the text of one number, as in `csv_lines`."""
    return repr(float(value) if value.dtype == np.float64 else float(str(value)))


def quoted(text: str) -> str:
    """Return a field of CSV, quoted if necessary."""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _all_quoted(column: Sequence[str]) -> Sequence[str]:
    joined = "\n".join(column)
    if joined.count("\n") < len(column) and not _ANY_NEEDS_QUOTES.search(joined):
        return column
    return list(map(quoted, column))


def shortest(values: Array) -> NDArray[np.float64]:
    """Return numbers as float64 whose shortest text is also shortest in their own dtype.

    The float32 nearest to 0.1 becomes the float64 nearest to 0.1, not 0.10000000149011612.
    """
    if values.dtype != np.float32:
        return values.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        found = values.astype(np.float64)
        magnitude = np.abs(found)
        digits = np.floor(np.log10(magnitude))  # before the decimal point, less one
    plain = (magnitude >= 1e-13) & (magnitude < 1e15)  # where the powers of ten are exact
    up, down = (
        _POWERS[np.where(plain, np.clip(sign * (5 - digits), 0, 22), 0).astype(int)]
        for sign in (1, -1)
    )
    exact, left = found.copy(), plain
    for _ in range(4):  # 6 to 9 digits
        rounded = np.rint(exact * up / down) / up * down
        hit = left & (rounded.astype(np.float32) == values)
        found[hit] = rounded[hit]
        left = left & ~hit
        if not left.any():
            break
        up, down = np.where(down > 1, up, up * 10), np.maximum(down / 10, 1)
    other = (~plain | left) & (magnitude > 0) & (magnitude < np.inf)
    found[other] = [float(str(value)) for value in values[other]]
    return found


def write_npy(file: IO[bytes], pieces: Iterator[Array], shape: tuple[int, ...] | None) -> None:
    """Concatenate arrays along their first axis and write them as one.

    The array has the given shape; None concatenates all pieces. A seekable file is written piece by
    piece, any other at the end.
    """
    if not file.seekable():
        array = np.concatenate(list(pieces))
        memory = io.BytesIO()  # NumPy cannot write to a pipe
        np.save(memory, array if shape is None else array.reshape(shape), allow_pickle=False)
        file.write(memory.getbuffer())
        return
    begin, rows, values = file.tell(), 0, 0
    first = None
    for piece in pieces:
        if first is None:
            first = piece
            file.write(npy_header(first.dtype, (0, *first.shape[1:]) if shape is None else shape))
        rows += len(piece)
        values += piece.size
        file.write(np.ascontiguousarray(piece).data)
    if first is not None and shape is None:
        file.seek(begin)
        file.write(npy_header(first.dtype, (rows, *first.shape[1:])))
        file.seek(0, io.SEEK_END)
    if shape is not None and values != math.prod(shape):
        raise AssertionError(f"expected {shape}, got {values} values")


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the header of an NPY file; its length does not depend on the number of rows."""
    memory = io.BytesIO()
    described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(memory, described)
    return memory.getvalue()
