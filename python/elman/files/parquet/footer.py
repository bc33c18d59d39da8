"""Sizes in the footer of a Parquet file, from its bytes.

`pyarrow` has them as `metadata.row_group(i).column(j)`, but ends the process where a footer is
damaged in some ways (an exception of C++ that it does not catch). Its readers do catch it.
"""

from __future__ import annotations

import os
import struct
from typing import Any

DEEPEST = 32
DENSEST = (1 << 31) // 16  # values or bytes for each byte of a file: a page has at least 16
ROW_GROUPS, COLUMNS, ROWS, META, VALUES, BYTES = 4, 1, 3, 3, 5, 6  # numbers of fields
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


class DamagedError(Exception):
    """A footer is damaged; `reading` gives its message the name of the file."""


def group_sizes(path: str) -> list[tuple[int, int]]:
    """Return the rows and the bytes in memory of each row group, for columns of 8 bytes a number.

    Raises
    ------
    DamagedError, IndexError, KeyError, TypeError
        If the footer is damaged.
    """
    with open(path, "rb") as file:
        end = file.seek(-8, os.SEEK_END)
        length = struct.unpack("<I", file.read(4))[0]
        file.seek(end - length)
        found = _Reader(file.read(length)).value(STRUCT, 0)
    sizes = []
    most = end * DENSEST
    for group in found.get(ROW_GROUPS, []):
        rows = group[ROWS]
        columns = [column[META] for column in group[COLUMNS]]
        if rows < 0:
            raise DamagedError("a row group with less than no rows")
        if not all(rows <= each[VALUES] <= most and each[BYTES] <= most for each in columns):
            raise DamagedError("a row group with more rows or bytes than its pages can have")
        sizes.append((rows, sum(max(each[BYTES], 8 * each[VALUES]) for each in columns)))
    return sizes


class _Reader:
    """Reads Thrift's compact protocol: structs become a dict of field number to value."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self, kind: int, depth: int) -> Any:  # noqa: ANN401
        if depth > DEEPEST:
            raise DamagedError("a footer with structures in one another without end")
        if kind == STRUCT:
            return self._struct(depth)
        if kind in (LIST, SET):
            return self._list(depth)
        if kind == MAP:
            return self._map(depth)
        if kind in (TRUE, FALSE, BYTE):  # in lists; in structs, the kind is the value
            return self._bytes(1)
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self._varint())
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._bytes(1)[0]) != 0:
            number = number + (head >> 4) if head >> 4 else self.value(5, depth)
            kind = head & 15
            fields[number] = kind if kind in (TRUE, FALSE) else self.value(kind, depth + 1)
        return fields

    def _list(self, depth: int) -> list[Any]:
        head = self._bytes(1)[0]
        size = head >> 4 if head >> 4 < 15 else self._varint()
        return [self.value(head & 15, depth + 1) for _ in range(size)]

    def _map(self, depth: int) -> None:
        size = self._varint()
        kinds = self._bytes(1)[0] if size else 0
        for _ in range(size):
            self.value(kinds >> 4, depth + 1)
            self.value(kinds & 15, depth + 1)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._bytes(1)[0]
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise DamagedError("a footer with a number of more than 64 bits")

    def _bytes(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) < count:
            raise DamagedError("a footer that ends too early")
        self._at += count
        return data
