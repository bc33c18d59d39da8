"""Open Parquet files and read them part by part; all errors name the file and the row group."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _files
from elman._text import printable
from elman.errors import ElmanError, TableError
from elman.files.jobs import Part, Span
from elman.files.parquet.footer import group_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elman.files.inputs import Input

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
BUFFER = 1 << 20  # bytes that are read of a column at a time


def is_parquet(path: str) -> bool:
    """Return whether a file is Parquet, by its first bytes."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) in (MAGIC, ENCRYPTED)


class File(NamedTuple):
    """What the footer of a file says.

    Attributes
    ----------
    path, name : str
        `name` is for messages.
    target : str
        The name of its output.
    schema : pyarrow.Schema
    groups : tuple of (int, int)
        The rows, and the bytes in memory, of each row group.
    folders : dict of str to str
        The columns in the names of its folders, such as year=2024.
    """

    path: str
    name: str
    target: str
    schema: Any
    groups: tuple[tuple[int, int], ...]
    folders: dict[str, str]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(rows for rows, _ in self.groups)


@contextlib.contextmanager
def named(where: str, expected: str) -> Iterator[None]:
    """Raise errors of Arrow, which raises many types for damaged files, as a TableError."""
    try:
        yield
    except ElmanError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        text = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise TableError(f"{where}: expected {expected}, got {text}") from error


def described(found: Input) -> File:
    """Read the footer of a file."""
    name = printable(found.path)
    with opened(found.path) as parquet, named(name, "a Parquet file"):
        schema = parquet.schema_arrow
        groups = group_sizes(found.path)
    return File(found.path, name, found.name, schema, tuple(groups), _folders(found))


def _folders(found: Input) -> dict[str, str]:
    """Return the columns in the names of the folders below the source."""
    pairs = [each.partition("=") for each in found.name.split(os.sep)[:-1]]
    return {name: value for name, equals, value in pairs if equals}


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a file as a `pyarrow.parquet.ParquetFile`, which reads it as needed."""
    parquet = _files.extra("pyarrow.parquet", "Parquet", "'elman[parquet]'")
    name = printable(path)
    with open(path, "rb") as file:
        if file.read(4) == ENCRYPTED:
            raise TableError(f"{name}: expected a Parquet file, got an encrypted one: decrypt it")
    with contextlib.ExitStack() as stack:
        with named(name, "a Parquet file"):
            opening = parquet.ParquetFile(
                path, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            stack.enter_context(opening)
        yield opening


def divided(index: int, file: File, size: int, per_row: int) -> Iterator[Span]:
    """Yield the parts of each row group: about `size` bytes; `first` counts from there.

    Parameters
    ----------
    per_row : int
        Bytes of a row beyond those in the file.
    """
    filled = [i for i, (rows, _) in enumerate(file.groups) if rows]
    for number in filled:
        rows, stored = file.groups[number]
        count = max(1, min(rows, size // (stored // rows + per_row + 1)))
        yield _group(index, number, (rows, stored), count, ends=number == filled[-1])
    if not filled:
        yield Span(1, 0, lambda _: Part(index, 0, 0, 0, last=True))


def _group(index: int, number: int, group: tuple[int, int], each: int, *, ends: bool) -> Span:
    """Return the parts of a row group, which have `each` rows; perhaps the file `ends` with it."""
    rows, stored = group
    whole, rest = divmod(rows, each)

    def part(at: int) -> Part:
        first = at * each
        some = min(each, rows - first)
        last = ends and first + some == rows
        return Part(index, first, some, stored * some // rows, last, where=number)

    size = whole * (stored * each // rows) + stored * rest // rows
    return Span(whole + (rest > 0), size, part)


def place(part: Part) -> str:
    """Return the name of the place of a part in messages."""
    return f"row group {part.where}"


class UnreadableError(Exception):
    """A part that cannot be read; `again` if this was said of an earlier part already."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class PartReader:
    """Reads columns of the parts of files, in order.

    Parameters
    ----------
    files : list of File
    columns : list of list of str
        Which columns, for each file.
    """

    def __init__(self, files: Sequence[File], columns: Sequence[Sequence[str]]) -> None:
        self._files, self._columns = files, columns
        self._stack = contextlib.ExitStack()
        self._file: tuple[int, Any] | None = None
        self._group: tuple[int, int] | None = None  # file and row group
        self._batches: Iterator[Any] = iter(())
        self._rest: Any = None  # a table of rows that were read, and not asked for yet
        self._row = 0  # where `_rest` begins
        self._broken: str | None = None

    def read(self, part: Part) -> Any:  # noqa: ANN401
        """Return the rows of a part as a table of Arrow.

        Raises
        ------
        UnreadableError
            If they are damaged.
        """
        if (part.file, part.where) != self._group:
            self._begin(part)
        if self._broken is not None:
            raise UnreadableError(self._broken, again=True)
        try:
            with named(f"{self._files[part.file].name}, {place(part)}", "a part without damage"):
                while self._row < part.first:
                    self._take(min(part.first - self._row, part.count))
                return self._take(part.count)
        except TableError as error:
            again = self._row < part.first
            self._broken = str(error).partition(f"{place(part)}: ")[2]
            raise UnreadableError(self._broken, again=again) from error

    def close(self) -> None:
        """Close the file."""
        self._stack.close()
        self._file = self._group = self._rest = None
        self._batches = iter(())

    def _begin(self, part: Part) -> None:
        """Begin with the row group of a part."""
        if self._file is None or self._file[0] != part.file:
            self.close()
            self._file = part.file, self._stack.enter_context(opened(self._files[part.file].path))
        self._group, self._row, self._rest, self._broken = (part.file, part.where), 0, None, None
        self._batches = self._iterator(part)

    def _iterator(self, part: Part) -> Iterator[Any]:
        assert self._file is not None
        yield from self._file[1].iter_batches(
            batch_size=max(1, part.count),
            row_groups=[part.where],
            columns=list(self._columns[part.file]),
        )

    def _take(self, count: int) -> Any:  # noqa: ANN401
        """Return the next rows."""
        import pyarrow as pa

        pieces = [] if self._rest is None else [self._rest]
        have = sum(map(len, pieces))
        while have < count:
            batch = next(self._batches, None)
            if batch is None:
                raise TableError(f"expected {count - have} more rows, got none")
            pieces.append(pa.Table.from_batches([batch]))
            have += len(batch)
        table = pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces)
        self._rest = table.slice(count) if have > count else None
        self._row += count
        return table.slice(0, count)
