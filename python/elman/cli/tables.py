"""Tables of numbers in CSV and NPY files, read and written piece by piece."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
import sys
from contextlib import contextmanager
from itertools import islice
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from elman.errors import ElmanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]

STEPS = 4096  # of one sequence make a chunk
VALUES = 1 << 20  # of a batch, about, make a chunk


class TableError(ElmanError, ValueError):
    """A file does not hold the numbers that it should."""


# --- reading --------------------------------------------------------------------------------------


class CsvTable:
    """One sequence as text: the numbers of a step in a line, separated by commas.

    Blank lines and lines that begin with # are passed over, and so is a first line without a single
    number, which is a header. A field may stand in double quotes.
    """

    lead: tuple[int, ...] = ()  # the batch axes: none

    def __init__(self, file: io.BufferedReader, name: str, wanted: Sequence[str] = ()) -> None:
        self.name = name
        self._file = file
        self._wanted = wanted
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        self.header: list[str] = []  # known once a line has been read

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number and the fields of every line but the header, as soon as it comes in.

        Of a file whose header names all the columns that are wanted, these, in that order.
        """
        first, pick = True, []
        for number, line in enumerate(self._text, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            fields = self._fields(line, number)
            if first and not any(map(_is_number, fields)):
                self.header = [field.strip() for field in fields]
                if set(self._wanted) <= set(self.header):
                    pick = [self.header.index(name) for name in self._wanted]
            elif pick and len(fields) != len(self.header):
                expected = f"expected {len(self.header)} fields, as in the header"
                raise TableError(f"{self.name} line {number}: {expected}, got {len(fields)}")
            else:
                yield number, [fields[i] for i in pick] if pick else fields
            first = False

    def _fields(self, line: str, number: int) -> list[str]:
        if '"' not in line:
            return line.split(",")
        try:
            return next(csv.reader([line], skipinitialspace=True))
        except csv.Error as error:
            raise TableError(f"{self.name} line {number}: {error}") from error

    def rows(self, width: int) -> Iterator[list[float]]:
        """Yield the numbers of every line, each as soon as it has come in."""
        for number, fields in self.lines():
            try:
                row = list(map(float, fields))
            except ValueError:
                row = []
            if len(row) != width:
                wrong = _what_is_wrong(fields, width)
                raise TableError(f"{self.name} line {number}: {wrong}")
            yield row

    def chunks(self, width: int) -> Iterator[Array]:
        """Yield arrays (up to `STEPS`, width), at least one, which may be empty."""
        rows = self.rows(width)
        chunk = list(islice(rows, STEPS))
        while True:
            yield np.array(chunk, dtype=np.float64).reshape(-1, width)
            chunk = list(islice(rows, STEPS))
            if not chunk:
                return

    def whole(self, width: int) -> Array:
        """Return all of it (T, width)."""
        return np.concatenate(list(self.chunks(width)))

    def done(self) -> float | None:
        """Return the part that has been read, or None if there is no knowing."""
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        return self._file.raw.tell() / max(1, status.st_size)


class NpyTable:
    """An array (..., T, I): one sequence, or a batch of them."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.name = name
        try:
            # Not the file itself, from which NumPy cannot read if it is a pipe.
            reader: Any = SimpleNamespace(read=file.read)
            self.array: Array = np.lib.format.read_array(reader, allow_pickle=False)
        except (ValueError, MemoryError) as error:
            raise TableError(f"{name}: expected an NPY file of numbers: {error}") from error
        self.lead = self.array.shape[:-2]
        self._done = 0.0

    def chunks(self, width: int) -> Iterator[Array]:
        """Yield pieces (steps, width) of a sequence or (sequences, T, width) of a batch.

        There is at least one, which may be empty.
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
        """Return all of it (..., T, width)."""
        shape = self.array.shape
        if len(shape) < 2 or shape[-1] != width:
            raise TableError(f"{self.name}: expected (..., T, {width}), got {shape}")
        return self.array

    def done(self) -> float:
        """Return the part that has been handed out and come back for more."""
        return self._done


Table = CsvTable | NpyTable


@contextmanager
def open_table(path: str, wanted: Sequence[str] = ()) -> Iterator[Table]:
    """Open a file, or standard input for "-"; an NPY file is told by its first byte.

    Of a CSV file whose header names all the columns `wanted`, only these are read.
    """
    with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
        name = "standard input" if path == "-" else path
        begins_as_npy = file.peek(1)[:1] == np.lib.format.MAGIC_PREFIX[:1]  # no text begins so
        npy = begins_as_npy or path.endswith(".npy")
        yield NpyTable(file, name) if npy else CsvTable(file, name, wanted)


def names_of(net: Network) -> list[str]:
    """Return the names of the inputs, which `elman train` leaves in the metadata, or none."""
    try:
        names = next(csv.reader([net.metadata.get("inputs", "")]), [])
    except csv.Error:
        return []
    return names if len(names) == net.input_size else []


def as_line(names: Sequence[str]) -> str:
    """Return names as a line of CSV, for the metadata of a network."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(names)
    return file.getvalue()


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _what_is_wrong(fields: list[str], width: int) -> str:
    """Return the end of a sentence about a line that is not `width` numbers."""
    expected = "1 number" if width == 1 else f"{width} numbers separated by commas"
    wrong = [field.strip() for field in fields if not _is_number(field)]
    if not wrong:
        return f"expected {expected}, got {len(fields)}"
    shown = wrong[0] if len(wrong[0]) <= 40 else wrong[0][:40] + "..."
    return f"expected {expected}, got {shown!r}"


# --- writing --------------------------------------------------------------------------------------


@contextmanager
def open_output(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing, or standard output for "-"."""
    with open(sys.stdout.fileno() if path == "-" else path, "wb", closefd=path != "-") as file:
        yield file


def csv_line(row: Array) -> bytes:
    """Return numbers as a line of CSV, each the shortest that reads back as the same number."""
    return (",".join(map(str, row)) + "\n").encode("ascii")


def write_csv(file: IO[bytes], pieces: Iterable[Array]) -> None:
    """Write arrays (N, O) one below the other."""
    for piece in pieces:
        file.writelines(map(csv_line, piece))


def write_npy(file: IO[bytes], pieces: Iterable[Array], shape: tuple[int, ...] | None) -> None:
    """Join arrays along their first axis and write them as one, of this shape if it is given."""
    array = np.concatenate(list(pieces))
    if shape is not None:
        array = array.reshape(shape)
    memory = io.BytesIO()  # NumPy cannot write to a pipe
    np.save(memory, array, allow_pickle=False)
    file.write(memory.getbuffer())
