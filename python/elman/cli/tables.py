"""Read tables of numbers in CSV and NPY files, in chunks."""

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
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ElmanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    import elman

    Array = NDArray[Any]

STEPS = 4096  # steps per chunk of one sequence
VALUES = 1 << 20  # approximate number of values per chunk of a batch


class TableError(ElmanError, ValueError):
    """A file does not contain the expected numbers."""


# --- reading --------------------------------------------------------------------------------------


class CsvTable:
    """One sequence as text: one step per line, values separated by commas.

    Blank lines and lines that begin with # are skipped. A first line without a number is a header.
    A field may be in double quotes.
    """

    lead: tuple[int, ...] = ()  # the batch axes: none

    def __init__(
        self, file: io.BufferedReader, name: str, meaning: elman.Table | None = None
    ) -> None:
        self.name = name
        self._file = file
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        self._lines = self._numbered()
        self.header: list[str] = []
        if (first := next(self._lines, None)) is not None:
            if any(map(_is_number, first[1])):
                self._lines = chain([first], self._lines)
            else:
                self.header = [field.strip() for field in first[1]]
        self._pick, self._sequence = self._columns(meaning)

    @property
    def has_sequences(self) -> bool:
        """Whether a column names the sequence of each line."""
        return self._sequence is not None

    def _columns(self, meaning: elman.Table | None) -> tuple[list[int], int | None]:
        """Return the positions of the inputs (empty for all) and of the sequence column."""
        if meaning is None or not self.header:
            return [], None
        missing = [name for name in meaning.inputs if name not in self.header]
        if missing and not all(name.isdecimal() for name in meaning.inputs):  # numbers, not names
            raise TableError(
                f"{self.name}: expected the column {missing[0]!r}, an input of the model, got"
                f" {_some(self.header)}"
            )
        pick = [] if missing else [self.header.index(name) for name in meaning.inputs]
        grouped = pick and meaning.sequence in self.header
        return pick, self.header.index(str(meaning.sequence)) if grouped else None

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number and the fields of each line after the header, as soon as it arrives."""
        return self._lines

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

    def rows(self, width: int) -> Iterator[tuple[str, list[float]]]:
        """Yield the sequence and the values of each line, as soon as it arrives.

        If the header names the inputs of the model, only these, in the model's order.
        """
        for number, fields in self._lines:
            sequence = ""
            if self._pick:
                if len(fields) != len(self.header):
                    expected = f"expected {len(self.header)} fields, as in the header"
                    raise TableError(f"{self.name} line {number}: {expected}, got {len(fields)}")
                if self._sequence is not None:
                    sequence = fields[self._sequence].strip()
                fields = [fields[i] for i in self._pick]
            try:
                row = list(map(float, fields))
            except ValueError:
                row = []
            if len(row) != width:
                wrong = _what_is_wrong(fields, width)
                raise TableError(f"{self.name} line {number}: {wrong}")
            yield sequence, row

    def chunks(self, width: int) -> Iterator[Array]:
        """Yield arrays (up to `STEPS`, width): at least one, which may be empty."""
        rows = (row for _, row in self.rows(width))
        chunk = list(islice(rows, STEPS))
        while True:
            yield np.array(chunk, dtype=np.float64).reshape(-1, width)
            chunk = list(islice(rows, STEPS))
            if not chunk:
                return

    def whole(self, width: int) -> Array:
        """Return the whole table (T, width)."""
        return np.concatenate(list(self.chunks(width)))

    def sequences(self, width: int) -> tuple[Array, list[list[int]]]:
        """Return all rows (N, width), and the row numbers of each sequence."""
        names, rows = [], []
        for name, row in self.rows(width):
            names.append(name)
            rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(-1, width), groups(names)

    def done(self) -> float | None:
        """Return the fraction that has been read, or None if unknown."""
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        return self._file.raw.tell() / max(1, status.st_size)


class NpyTable:
    """An array (..., T, I): one sequence, or a batch of them."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.name = name
        try:
            # Not the file itself: NumPy cannot read from a pipe.
            reader: Any = SimpleNamespace(read=file.read)
            self.array: Array = np.lib.format.read_array(reader, allow_pickle=False)
        except (ValueError, MemoryError) as error:
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


Table = CsvTable | NpyTable


@contextmanager
def open_table(path: str, meaning: elman.Table | None = None) -> Iterator[Table]:
    """Open a file, or standard input for "-"; an NPY file is detected by its first byte.

    The columns of a CSV file with a header are chosen by the model's table.
    """
    with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
        name = "standard input" if path == "-" else path
        begins_as_npy = file.peek(1)[:1] == np.lib.format.MAGIC_PREFIX[:1]  # text never has it
        npy = begins_as_npy or path.endswith(".npy")
        yield NpyTable(file, name) if npy else CsvTable(file, name, meaning)


def groups(names: Iterable[str]) -> list[list[int]]:
    """Return the positions of each name, in order of first appearance."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return list(found.values())


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
