"""Reading tables of text and arrays, whole or in blocks."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
import sys
from contextlib import contextmanager
from itertools import chain, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import TableError
from elman.files.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from elman._files import Path
    from elman._table import Table

    Array = NDArray[Any]

__all__ = ["read_table"]

STEPS = 4096  # steps per chunk of one sequence
VALUES = 1 << 20  # approximate number of values per chunk of a batch


class Block(NamedTuple):
    """Lines of a table."""

    values: NDArray[np.float64]  # (n, width): the inputs in the model's order
    keys: list[str] | None  # the sequence of each line
    times: list[str] | None  # the field of the time column of each line
    lines: Array  # (n,) line numbers from 1


class TextSource:
    """A table of text: one step per line."""

    def __init__(
        self, file: io.BufferedReader, name: str, table: Table | None, sequence: str | None
    ) -> None:
        self.name = name
        self._file = file
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        self._lines = self._numbered()
        self.header: tuple[str, ...] = ()
        if (first := next(self._lines, None)) is None:
            raise TableError(f"{name}: expected lines of numbers, got none")
        if any(map(_is_number, first[1])):
            self._lines = chain([first], self._lines)
        else:
            self.header = tuple(field.strip() for field in first[1])
        self.key = sequence if sequence is not None else table and table.sequence
        if self.key not in self.header:
            self.key = None
        self.time = table.time if table is not None and table.time in self.header else None
        self._pick: list[int] = []
        if table is not None and table.inputs and self.header:
            missing = [column for column in table.inputs if column not in self.header]
            if missing and not all(column.isdecimal() for column in table.inputs):
                raise TableError(
                    f"{self.name}: expected the column {missing[0]!r}, an input of the model, got"
                    f" {_some(self.header)}"
                )
            self._pick = [] if missing else [self.header.index(i) for i in table.inputs]
        if not self._pick:
            self.key = None

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(self._text, start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, self._fields(line, number)

    def _fields(self, line: str, number: int) -> list[str]:
        if '"' not in line:
            return line.split(",")
        try:
            return next(csv.reader([line], skipinitialspace=True))
        except csv.Error as error:
            raise TableError(f"{self.name} line {number}: {error}") from error

    def _rows(self, width: int) -> Iterator[tuple[int, str, str, list[float]]]:
        for number, fields in self._lines:
            key = time = ""
            if self._pick:
                if len(fields) != len(self.header):
                    expected = f"expected {len(self.header)} fields, as in the header"
                    raise TableError(f"{self.name} line {number}: {expected}, got {len(fields)}")
                if self.key is not None:
                    key = fields[self.header.index(self.key)].strip()
                if self.time is not None:
                    time = fields[self.header.index(self.time)].strip()
                fields = [fields[i] for i in self._pick]
            try:
                row = list(map(float, fields))
            except ValueError:
                row = []
            if len(row) != width:
                raise TableError(f"{self.name} line {number}: {_what_is_wrong(fields, width)}")
            yield number, key, time, row

    def rows(self, width: int) -> Iterator[tuple[str, str, list[float]]]:
        """Yield the key, the time and the inputs of each line, as soon as it arrives.

        The key and the time are "" without such a column.
        """
        for _, key, time, row in self._rows(width):
            yield key, time, row

    def blocks(self, width: int) -> Iterator[Block]:
        """Yield the lines in blocks."""
        rows = self._rows(width)
        while block := list(islice(rows, STEPS)):
            lines, keys, times, values = map(list, zip(*block, strict=True))
            yield Block(
                np.array(values, dtype=np.float64).reshape(-1, width),
                None if self.key is None else keys,
                None if self.time is None else times,
                np.array(lines),
            )

    def done(self) -> float | None:
        """Return the fraction that has been read, or None if unknown."""
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        return self._file.raw.tell() / max(1, status.st_size)


class ArraySource:
    """An array (..., T, I): one sequence, or a batch of them."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.name = name
        try:
            # Not the file itself: NumPy cannot read from a pipe.
            reader: Any = SimpleNamespace(read=file.read)
            self.array: Array = np.lib.format.read_array(reader, allow_pickle=False)
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise TableError(f"{name}: expected an NPY file of numbers: {error}") from error
        self.lead = self.array.shape[:-2]
        self._done = 0.0

    def chunks(self, width: int) -> Iterator[Array]:
        """Yield pieces (steps, width) of a sequence or (sequences, T, width) of a batch.

        At least one is yielded; it may be empty.
        """
        x = self.whole(width)
        size = STEPS
        if self.lead:
            x = x.reshape(math.prod(self.lead), *x.shape[-2:])
            size = max(1, VALUES // max(1, x.shape[-2] * width))
        for start in range(0, max(1, len(x)), size):
            yield x[start : start + size]
            self._done = (start + size) / max(1, len(x))

    def whole(self, width: int) -> Array:
        """Return the whole array (..., T, width)."""
        shape = self.array.shape
        if len(shape) < 2 or shape[-1] != width:
            raise TableError(f"{self.name}: expected (..., T, {width}), got {shape}")
        return self.array

    def done(self) -> float:
        """Return the fraction consumed so far."""
        return self._done


@contextmanager
def open_table(
    path: Path,
    table: Table | None = None,
    *,
    sequence: str | None = None,
    missing: str | None = None,
) -> Iterator[TextSource | ArraySource]:
    """Open a file of data, or standard input for "-"."""
    path = os.fsdecode(path)
    with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
        name = "standard input" if path == "-" else path
        begins_as_npy = file.peek(1)[:1] == np.lib.format.MAGIC_PREFIX[:1]  # text never has it
        if begins_as_npy or path.endswith(".npy"):
            yield ArraySource(file, name)
        else:
            yield TextSource(file, name, table, sequence)


def read_table(path: Path, *, missing: str | None = None) -> Frame:
    """Read a table of text."""
    with open_table(path) as source:
        if isinstance(source, ArraySource):
            raise TableError(f"{source.name}: expected a table of text, got an array: numpy.load")
        rows = [fields for _, fields in source._lines]
        names = source.header or tuple(str(i + 1) for i in range(len(rows[0])))
        columns: dict[str, Any] = {}
        for name, *fields in zip(names, *rows, strict=True):
            numbers = all(map(_is_number, fields))
            columns[name] = np.array(list(map(float, fields))) if numbers else fields
        return Frame(columns)


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _what_is_wrong(fields: list[str], width: int) -> str:
    """Return the end of an error sentence about a line that is not `width` numbers."""
    expected = "1 number" if width == 1 else f"{width} numbers separated by commas"
    wrong = [field.strip() for field in fields if not _is_number(field)]
    if not wrong:
        return f"expected {expected}, got {len(fields)}"
    shown = wrong[0] if len(wrong[0]) <= 40 else wrong[0][:40] + "..."
    return f"expected {expected}, got {shown!r}"
