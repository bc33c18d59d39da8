"""Read tables of text and arrays: whole, in blocks, or line by line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments, _calendar
from elman._text import plain, show
from elman.errors import ArgumentError, ArgumentTypeError, TableError
from elman.files import missing as gaps
from elman.files.arrays import ArraySource
from elman.files.block import Block
from elman.files.columns import TextTable
from elman.files.dates import day_order
from elman.files.opening import opened
from elman.files.whole import WholeTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from elman._files import Path
    from elman._table import Table
    from elman.files.frame import Frame
    from elman.files.lines import Lines
    from elman.files.opening import Opened
    from elman.files.parsing import Parsed

    Array = NDArray[Any]

__all__ = ["read_table"]


class TextSource:
    """A table of text: one step per line.

    Attributes
    ----------
    name, unit : str
        The file, and the word for its rows, for messages.
    header : tuple of str
        The names of the columns, () without a header.
    sequence : str or None
        The name of the column of sequences.
    time : str or None
        The name of the column of times: the model's, or else the first column of dates.
    notes : list of str
        Sentences about what was not read.
    """

    unit = "line"

    def __init__(
        self,
        file: Opened,
        table: Table | None = None,
        sequence: str | None = None,
        missing: str | None = None,
        width: int | None = None,
    ) -> None:
        self.notes: list[str] = []
        named = table is not None and table.inputs
        self._text = text = TextTable(file, table.inputs if table is not None and named else ())
        self.name, self.header, self.done = text.name, text.header, text.done
        self._missing = missing
        self._calendar = () if table is None else table.calendar
        self._order: str | None = None  # of the dates
        self._sequence = self._sequence_column(table, sequence)
        self._dates = self._date_columns(table, width)
        self._time = self._time_column(table)
        self._inputs = self._input_columns(table)
        self.sequence = None if self._sequence is None else text.columns[self._sequence]
        self.time = None if self._time is None else text.columns[self._time]

    # --- columns ------------------------------------------------------------------------------

    def _sequence_column(self, table: Table | None, sequence: str | None) -> int | None:
        said = None if table is None else table.sequence
        if sequence is not None:
            by_number = not self.header and sequence.isdecimal()
            if said is not None and plain(sequence) != plain(said) and not by_number:
                raise ArgumentError(
                    f"sequence: expected {show(said)}, as in the model's table, got"
                    f" {show(sequence)}"
                )
            name = sequence if said is None or by_number else said
            return self._text.find(name, "the sequence of each line")
        if said is None or not self._text.has(said) or not self._by_name(table):
            return None
        return self._text.find(said, "the sequence of each line")

    def _date_columns(self, table: Table | None, width: int | None) -> list[int]:
        """Return the columns of dates that are no inputs.

        Numbers such as 20240101 are inputs if the model names them or needs them.
        """
        text = self._text
        dates, days = text.dates(), text.days()
        if not days:
            return dates
        if (inputs := self._named_inputs(table)) is not None:
            return [i for i in sorted([*dates, *days]) if i not in inputs]
        time = None
        if table is not None and table.time is not None and text.has(table.time):
            time = text.find(table.time, "the times of the model")
        others = {*range(len(text.columns))} - {self._sequence, time, *text.ignored(), *dates}
        needed = len(others) + 2 * len(self._calendar) == width
        return dates if needed else sorted([*dates, *days])

    def _time_column(self, table: Table | None) -> int | None:
        if table is not None and table.time is not None:
            if self._by_name(table) and (table.calendar or self._text.has(table.time)):
                return self._text.find(table.time, "the times of the model")
            if table.calendar:
                raise TableError(
                    f"{self.name}: expected a header, to find the times {show(table.time)}"
                )
        return next((i for i in self._dates if i != self._sequence), None)

    def _by_name(self, table: Table | None) -> bool:
        """Return whether the columns of a model are found by their names.

        Without a header they are, if the names are numbers of columns and there are as many.
        """
        if table is None or not table.inputs:
            return bool(self.header)
        if self.header and not all(map(str.isdecimal, table.inputs)):
            return True
        return all(map(self._text.has, table.inputs))

    def _named_inputs(self, table: Table | None) -> list[int] | None:
        """Return the columns of a model's inputs, or None if they are not found by their names."""
        if table is None or not table.inputs or not self._by_name(table):
            return None
        return [self._text.find(name, "an input of the model") for name in table.inputs]

    def _input_columns(self, table: Table | None) -> list[int]:
        text = self._text
        if (named := self._named_inputs(table)) is not None:
            return named
        ignored = text.ignored()
        taken = {self._sequence, self._time, *ignored, *self._dates}
        inputs = [i for i in range(len(text.columns)) if i not in taken]
        if 0 in ignored:
            self.notes.append(f"{self.name}: the first column has no name and is not read")
        for i in inputs:
            if text.columns[i] == "":
                raise TableError(
                    f"{self.name}: expected a name for every column, got none for {i + 1}"
                )
        return inputs

    # --- lines --------------------------------------------------------------------------------

    def blocks(self, width: int) -> Iterator[Block]:
        """Yield the lines in blocks of some MiB, with the inputs of a network of this width.

        Raises
        ------
        TableError
            If a line is wrong, a value is missing, or there is another number of inputs.
        """
        return self._complete(width, self._blocks(iter(self._text.lines.block, None)))

    def rows(self, width: int) -> Iterator[tuple[str, str, list[float]]]:
        """Yield the key, the time and the inputs of each line, as soon as it arrives.

        The key and the time are "" without such a column.
        """
        for block in self._complete(width, self._blocks(iter(self._text.lines.line, None))):
            keys = block.keys or [""] * len(block.values)
            times = block.times or [""] * len(block.values)
            yield from zip(keys, times, block.values.tolist(), strict=True)

    def _require(self, width: int) -> None:
        got = len(self._inputs) + 2 * len(self._calendar)
        if got != width:
            names = [self._text.columns[i] for i in self._inputs]
            which = f": {', '.join(map(show, names[:20]))}" if self.header and names else ""
            raise TableError(
                f"{self.name}: expected {width} {'column' if width == 1 else 'columns'} of inputs,"
                f" got {got}{which}"
            )

    def _complete(self, width: int, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield blocks without missing values, at least one line."""
        self._require(width)
        if self._missing is not None:
            columns = [*self._inputs, *[self._time or 0] * (2 * len(self._calendar))]
            blocks = gaps.without(
                blocks, self._missing, lambda j, line: self._text.where(columns[j], line)
            )
        empty = True
        for block in blocks:
            empty = False
            yield block
        if empty:
            raise TableError(f"{self.name}: expected lines without missing values, got none")

    def _blocks(self, pieces: Iterable[Lines]) -> Iterator[Block]:
        texts = [i for i in (self._sequence, self._time) if i is not None]
        for piece in pieces:
            parsed = self._text.parser.parse(
                piece, self._inputs, texts, missing=self._missing is not None
            )
            keys, times = self._keys_and_times(parsed)
            values = parsed.values
            if self._calendar and times is not None:
                values = np.hstack([values, self._calendar_inputs(times, parsed.lines)])
            if len(values):
                yield Block(values, keys, times, parsed.lines)

    def _keys_and_times(self, parsed: Parsed) -> tuple[list[str] | None, list[str] | None]:
        columns = iter(parsed.texts)
        keys = None if self._sequence is None else next(columns)
        times = None if self._time is None else next(columns)
        if self._sequence is not None and keys is not None:
            self._text.require_keys(self._sequence, keys, parsed.lines)
        return keys, times

    def _calendar_inputs(self, times: Sequence[str], lines: Array) -> Array:
        self._order = self._order or day_order(times)
        parsed = self._text.times(self._time or 0, times, lines, self._missing, self._order)
        return _calendar.features(parsed, self._calendar)


@contextmanager
def open_table(
    path: Path,
    table: Table | None = None,
    *,
    sequence: str | None = None,
    missing: str | None = None,
    width: int | None = None,
) -> Iterator[TextSource | ArraySource]:
    """Open a file of data, or "-", for the network whose table and number of inputs are given."""
    gaps.check(missing)
    with opened(path) as file:
        if not file.is_array:
            yield TextSource(file, table, sequence, missing, width)
        elif sequence is not None:
            raise ArgumentError("sequence: expected none with an array, which has batch axes")
        else:
            yield ArraySource(file)


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    sequence: str | None = None,
    missing: str | None = None,
) -> Frame:
    r"""Read a table of text, such as CSV.

    Separators (comma, semicolon, tab, blanks), decimal commas, encodings, headers and compression
    are recognized: `docs/tables.md` has the rules. Without a header the columns are called "1",
    "2", ...

    Parameters
    ----------
    path
        A file, or "-" for standard input.
    columns : sequence of str, optional
        The columns to read; by default all with a name.
    sequence : str, optional
        The column that identifies the sequence of each line. It is read as text, and missing
        values are filled within a sequence.
    missing : {"hold", "interpolate", "drop"}, optional
        Fill missing numbers with the last value of the sequence, or by interpolation between the
        lines around them, or drop the line. By default they are an error.

    Returns
    -------
    Frame
        Columns of numbers (float64), of times (datetime64[us], without their zone), or of texts.

    Raises
    ------
    TableError
        If the file is not a table, or a number or a date is missing or invalid.
    ArgumentError, ArgumentTypeError
        If an argument is invalid.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import elman, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "load.csv")
    ...     _ = path.write_text("time;load\n2024-01-01 00:00;1,5\n2024-01-01 01:00;2\n")
    ...     elman.read_table(path)
    time                 load
    2024-01-01 00:00:00   1.5
    2024-01-01 01:00:00   2.0
    """
    gaps.check(missing)
    if isinstance(columns, str):
        raise ArgumentTypeError("columns: expected a list of names, got str")
    if columns is not None:
        listed = _arguments.listed("columns", columns, "a list of names")
        columns = [_arguments.name("columns", column) for column in listed]
    if sequence is not None:
        sequence = _arguments.name("sequence", sequence)
    with opened(path) as file:
        if file.is_array:
            raise TableError(f"{file.name}: expected a table of text, got an array: use numpy.load")
        return WholeTable(file).frame(columns, sequence, missing)
