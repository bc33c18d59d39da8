"""The columns of a table of text: separator, header, names and roles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from elman._text import plain, printable, show
from elman.errors import TableError
from elman.files.dates import is_date, is_day, parse
from elman.files.fields import MISSING, NAMES, is_number, shortened, split
from elman.files.lines import LineReader, Lines, is_comment
from elman.files.parsing import Parser, decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from elman.files.opening import Opened

_IN_QUOTES = re.compile(r'"[^"]*"')
_SAID = re.compile(r"sep=([,;\t])")  # a first line that sets the separator, as in Excel
_WHOLE = re.compile(r"[+-]?[0-9]+")


class TextTable:
    """A table of text whose first lines have been read.

    Attributes
    ----------
    name : str
        The file, for messages.
    header : tuple of str
        The names of the columns; () without a header, "" for a column without a name.
    columns : tuple of str
        The names, or the numbers from 1 without a header.
    first : list of str
        The fields of the first line of data.
    parser : Parser
    lines : LineReader
        At the first line of data.
    """

    def __init__(self, file: Opened, expected: Sequence[str] = ()) -> None:
        """Read the first lines; a line with all names in `expected` is a header."""
        self.name = file.name
        self.done = file.done
        self.lines = LineReader(file.name, file.read)
        self._taken: list[Lines] = []
        first = self._next()
        said = _SAID.fullmatch(first or "")
        if said:
            first = self._next()
        if first is None:
            raise TableError(f"{self.name}: expected lines of numbers, got none")
        begin = len(self._taken) - 1  # of the data
        second: str | None = None

        def peek() -> str | None:
            nonlocal second
            second = self._next() if second is None else second
            return second

        where = f"{self.name} line {self._taken[begin].first}"
        separator = said[1] if said else _separator(where, first, peek)
        fields = split(first, separator, where)
        self.header: tuple[str, ...] = ()
        if _is_header(where, fields, expected, lambda: split(peek() or "", separator, where)):
            self.header = tuple(fields)
            if peek() is None:
                raise TableError(f"{self.name}: expected lines below the header, got none")
            begin += 1
        if self.header[:1] == ("",) and "index" not in self.header:
            first_of_data = split(peek() or "", separator, where)
            if is_date(first_of_data[0]):  # an index of pandas, which has this name
                self.header = ("index", *self.header[1:])
        self.columns = self.header or tuple(str(i + 1) for i in range(len(fields)))
        self.parser = Parser(self.name, separator, list(map(_shown, self.columns)))
        data = Lines(b"".join(line.data for line in self._taken[begin:]), self._taken[begin].first)
        self.lines.put_back(data)
        _, self.first = next(self.parser.rows(data))

    def _next(self) -> str | None:
        """Return the next line that is neither blank nor a comment, or None."""
        while (line := self.lines.line()) is not None:
            text = decoded(line.data).strip(" \n")
            self._taken.append(line)
            if text.strip() and not is_comment(text):
                return text
        return None

    def where(self, column: int, line: int) -> str:
        """Return the place of a field, for messages."""
        return self.parser.where(column, line)

    def times(
        self,
        column: int,
        fields: Sequence[str],
        lines: NDArray[np.int64],
        missing: str | None,
        order: str | None = None,
    ) -> NDArray[np.datetime64]:
        """Return a column of dates; a missing date is NaT with "drop", otherwise an error."""

        def where(i: int) -> str:
            return self.where(column, int(lines[i]))

        if missing != "drop":
            for i, field in enumerate(fields):
                if field in MISSING:
                    raise TableError(f"{where(i)}: expected a date, got {field!r}")
        return parse(fields, where, order=order)

    def require_keys(self, column: int, keys: Sequence[str], lines: NDArray[np.int64]) -> None:
        """Raise if a line has no sequence name."""
        if "" in keys:
            where = self.where(column, int(lines[keys.index("")]))
            raise TableError(f"{where}: expected a sequence name, got an empty field")

    # --- roles of columns -----------------------------------------------------------------------

    def find(self, column: str, purpose: str) -> int:
        """Return the index of a column by its name; case and blanks may differ.

        Raises
        ------
        TableError
            If no column matches, or several do. The message has the `purpose` of the column.
        """
        places = [i for i, name in enumerate(self.columns) if name == column]
        if not places and self.header:
            places = [i for i, name in enumerate(self.columns) if plain(name) == plain(column)]
        if len(places) == 1:
            return places[0]
        names = [self.columns[i] for i in places] or list(self.columns)
        expected = f"one column {show(column)}" if places else f"the column {show(column)}"
        raise TableError(f"{self.name}: expected {expected}, {purpose}, got {_some(names)}")

    def has(self, column: str) -> bool:
        """Return whether at least one column matches."""
        return column in self.columns or (
            bool(self.header) and plain(column) in map(plain, self.columns)
        )

    def dates(self) -> list[int]:
        """Return the indices of columns that have dates in the first line."""
        return [i for i, field in enumerate(self.first) if is_date(field)]

    def days(self) -> list[int]:
        """Return the indices of columns that have a number that may be a day in the first line."""
        return [i for i, field in enumerate(self.first) if is_day(field)]

    def ignored(self) -> list[int]:
        """Return the indices of columns without a name that are not data.

        The first column is an index, as written by pandas and R; others are empty because the lines
        end with a separator.
        """
        return [
            i
            for i, name in enumerate(self.header)
            if name == "" and (i == 0 or self.first[i] == "")
        ]


def _shown(name: str) -> str:
    """Return the name of a column for messages."""
    return shortened(printable(name)) if name else "without a name"


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(show, names[:20])) + (", ..." if len(names) > 20 else "")


# --- the first lines ------------------------------------------------------------------------------


def _separator(where: str, first: str, peek: Callable[[], str | None]) -> str | None:
    """Return the separator of fields; None for runs of blanks."""
    bare = _IN_QUOTES.sub("", first)
    found = [separator for separator in "\t;," if separator in bare]
    if len(found) > 1:
        line = bare if _has_number(first, found) else _IN_QUOTES.sub("", peek() or "")
        found = [separator for separator in found if bare.count(separator) == line.count(separator)]
        if len(found) > 1:
            found = [separator for separator in found if _is_alone(separator, line)]
        if len(found) != 1:
            names = " or ".join(NAMES[separator] for separator in "\t;," if separator in bare)
            raise TableError(
                f"{where}: expected fields with one separator, got {names}: quote the fields that"
                " contain the other one"
            )
    if found:
        return found[0]
    words = first.split()
    if len(words) > 1 and not all(map(is_number, words)):  # a header, or one field with blanks
        words = (peek() or "").split() if len((peek() or "").split()) == len(words) else []
    return None if len(words) > 1 and all(map(is_number, words)) else ","


def _has_number(line: str, separators: Sequence[str]) -> bool:
    return any(is_number(f.strip()) for s in separators for f in line.split(s))


def _is_alone(separator: str, line: str) -> bool:
    """Return whether no field of a line contains another separator, except decimal commas."""
    others = set("\t;,") - {separator}
    return all(
        not others.intersection(field) or (separator != "," and is_number(field))
        for field in map(str.strip, line.split(separator))
    )


def _is_header(
    where: str, fields: Sequence[str], expected: Sequence[str], peek: Callable[[], list[str]]
) -> bool:
    """Return whether the first line names the columns."""
    counted = [str(i) for i in range(len(fields))]
    numbers = [field for field in fields if is_number(field)]
    counts = numbers == counted[: len(numbers)]
    names = {plain(name) for name in expected}
    numbered = all(map(str.isdecimal, names))  # a column without a name has a number from 1
    if names <= set(map(plain, fields)) and (not numbered or ("0" in names and counts)):
        return True
    if not any(is_number(field) or is_date(field) for field in fields):
        return any(field not in MISSING for field in fields)
    dates = [i for i, field in enumerate(fields) if is_date(field)]
    if dates and not any(map(is_number, fields)):  # a column for each month, for instance
        below = peek()
        if len(below) != len(fields):
            return False
        under = [below[i] for i in dates if below[i] not in MISSING]
        return bool(under) and all(map(is_number, under))
    if fields[0] == "" and list(fields[1:]) == counted[:-1]:  # with the index of pandas
        return peek()[:1] == ["0"]
    words = [i for i, field in enumerate(fields) if not is_number(field)]
    if len(numbers) < 2 or not counts:
        return False
    if any(is_date(fields[i]) or (i and fields[i] in MISSING) for i in words):
        return False
    below, width = peek(), len(fields)
    if words and any(is_number(below[i]) for i in words if i < len(below)):
        return True  # there is a number below a word
    if not words and not all(field in MISSING or _WHOLE.fullmatch(field) for field in below):
        return True  # the names are whole numbers, the values are not
    if not words and width > 3 and below != [str(width + i) for i in range(width)]:
        return True  # data rarely start like this, unless the count continues
    raise TableError(
        f"{where}: expected names or numbers, got {shortened(printable(','.join(fields)))}, which"
        " could be a header or data: name the columns, or write 0.0 for a number"
    )
