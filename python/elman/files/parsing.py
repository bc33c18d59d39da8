"""Parse lines of text into numbers.

`Parser._slowly` has the exact rules. The faster methods accept a subset of its input, with the same
bits, and leave the rest to it: quotes, comments, missing values and errors.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from math import isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import TableError
from elman.files.fields import MISSING, NAMES, NUMBER, split, what_is_wrong
from elman.files.lines import Lines, end_of_line, is_comment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]

FAST_FROM = 1 << 11  # bytes of a block that are worth a call of NumPy
PART = 1 << 16  # bytes that are parsed again if a block has something unusual
ARROW_FROM = 1 << 20  # bytes of a block that are worth the import of pyarrow (50 ms)

_NUMERIC = b"0123456789+-.eE\n"
_COMMENT = re.compile(rb"^[ \t]*#", re.MULTILINE)
_BLANK = re.compile(rb"^[ \t]*$(?=\n)", re.MULTILINE)
_BLANK_AT_END = re.compile(rb"^ | $", re.MULTILINE)
_EMPTY = re.compile(rb"(?:^|,) *,")
_BLANKS = re.compile(rb" +")


class Parsed(NamedTuple):
    """Columns of some lines."""

    values: NDArray[np.float64]  # (n, columns); NaN where a value is missing
    texts: list[list[str]]
    lines: NDArray[np.int64]  # (n,)


class Parser:
    """Parser of the fields of a file.

    Parameters
    ----------
    name : str
        The file, for messages.
    separator : str or None
        None: runs of blanks.
    columns : sequence of str
        The names of the columns, for messages. Each line has one field per column.
    """

    def __init__(self, name: str, separator: str | None, columns: Sequence[str]) -> None:
        self.name = name
        self.separator = separator
        self.columns = columns
        self._either = separator in (";", "\t")  # a decimal point or comma, but not both
        self._mark = None if self._either else "."  # None: not seen yet

    def rows(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """Yield the number and fields of each line, without blank lines and comments."""
        start, number = 0, lines.first
        quotes = b'"' in lines.data
        blanks = " \n" if self.separator == "\t" else " \t\n"
        while start < len(lines.data):
            end = end_of_line(lines.data, start) if quotes else lines.data.find(b"\n", start) + 1
            line = lines.data[start:end]
            text = decoded(line).strip(blanks)
            if text and not is_comment(text):
                fields = split(text, self.separator, f"{self.name} line {number}")
                if len(fields) != len(self.columns):
                    raise self._wrong_count(number, fields)
                yield number, fields
            number += line.count(b"\n")
            start = end

    def parse(
        self, lines: Lines, numbers: Sequence[int], texts: Sequence[int], missing: bool
    ) -> Parsed:
        """Return columns of numbers and of texts.

        Raises
        ------
        TableError
            If a line has too few or too many fields, or a field is not a number. With `missing`,
            missing values are accepted.
        """
        if (found := self._quickly(lines, numbers, texts)) is not None:
            return found
        if len(lines.data) <= PART or not _is_plain(lines.data, len(self.columns)):
            return self._slowly(lines, numbers, texts, missing)
        parts = [  # few of which may be unusual
            self._quickly(part, numbers, texts) or self._slowly(part, numbers, texts, missing)
            for part in _parts(lines)
        ]
        return joined(parts, len(texts))

    def number(self, field: str, column: int, line: int, missing: bool) -> float:
        """Return the number in a field; NaN if it is missing and `missing` is true."""
        if missing and field in MISSING:
            return nan
        for mark in (".", ",") if self._either else (".",):
            if NUMBER[mark].fullmatch(field) and (mark not in field or self._mark in (None, mark)):
                if mark in field:
                    self._mark = mark
                value = float(field.replace(",", "."))
                if isfinite(value):
                    return value
        wrong = what_is_wrong(field, self._mark if self._either else None)
        raise TableError(f"{self.where(column, line)}: {wrong}")

    def where(self, column: int, line: int) -> str:
        """Return the place of a field."""
        return f"{self.name} line {line}, column {self.columns[column]}"

    def _wrong_count(self, line: int, fields: Sequence[str]) -> TableError:
        width = len(self.columns)
        expected = (
            f"{width} fields separated by {NAMES[self.separator]}" if width > 1 else "1 field"
        )
        return TableError(f"{self.name} line {line}: expected {expected}, got {len(fields)}")

    # --- methods ------------------------------------------------------------------------------

    def _quickly(self, lines: Lines, numbers: Sequence[int], texts: Sequence[int]) -> Parsed | None:
        """Return the columns of plain lines, or None if a line needs `_slowly`."""
        if len(lines.data) < FAST_FROM or not (numbers or texts):
            return None
        if not _is_plain(lines.data, len(self.columns)):
            return None
        for way in (self._with_arrow, self._with_numpy, self._with_split):
            if (found := way(lines.data, numbers, texts)) is not None:
                values, columns = found
                if np.isfinite(values).all():
                    return Parsed(values, columns, lines.first + np.arange(len(values)))
        return None

    def _slowly(
        self, lines: Lines, numbers: Sequence[int], texts: Sequence[int], missing: bool
    ) -> Parsed:
        values, columns, kept = [], [list[str]() for _ in texts], []
        for line, fields in self.rows(lines):
            values.append([self.number(fields[i], i, line, missing) for i in numbers])
            for column, i in zip(columns, texts, strict=True):
                column.append(fields[i])
            kept.append(line)
        array = np.array(values, np.float64).reshape(len(kept), len(numbers))
        return Parsed(array, columns, np.array(kept, np.int64))

    def _with_arrow(
        self, data: bytes, numbers: Sequence[int], texts: Sequence[int]
    ) -> tuple[Array, list[list[str]]] | None:
        if self.separator is None or self._mark is None or len(data) < ARROW_FROM:
            return None
        if (arrow := _arrow()) is None:
            return None
        names = [str(i) for i in range(len(self.columns))]
        kinds = {names[i]: arrow.float64() for i in numbers}
        if set(numbers) & set(texts):
            return None
        kinds |= {names[i]: arrow.string() for i in texts}
        csv = arrow.csv
        try:
            table = csv.read_csv(
                arrow.py_buffer(data),
                csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
                csv.ParseOptions(delimiter=self.separator, quote_char=False),
                csv.ConvertOptions(
                    check_utf8=True,
                    column_types=kinds,
                    include_columns=list(kinds),
                    null_values=[],
                    strings_can_be_null=False,
                    decimal_point=self._mark,
                ),
            )
        except arrow.ArrowInvalid:
            return None
        if table.num_rows != data.count(b"\n"):  # PyArrow skips blank lines
            return None
        values = np.empty((table.num_rows, len(numbers)))
        for j, i in enumerate(numbers):
            (chunk,) = table.column(names[i]).chunks  # `to_numpy` would import pandas
            begin, end = chunk.offset, chunk.offset + len(chunk)
            values[:, j] = np.frombuffer(chunk.buffers()[1], np.float64)[begin:end]
        return values, [
            [field.strip() for field in table.column(names[i]).to_pylist()] for i in texts
        ]

    def _with_numpy(
        self, data: bytes, numbers: Sequence[int], texts: Sequence[int]
    ) -> tuple[Array, list[list[str]]] | None:
        """Parse lines that have only numbers."""
        width = len(self.columns)
        if texts or (self._either and len(set(numbers)) < width):
            return None
        if self.separator is None:
            if b"," in data:
                return None
            data = _BLANK_AT_END.sub(b"", _BLANKS.sub(b" ", data)).replace(b" ", b",")
            separator = b","
        else:
            separator = self.separator.encode()
        if data.translate(None, _NUMERIC + b" ," + separator):
            return None
        if not _has_fields(data, separator, width):
            return None
        seen = self._marks(data) if self._either else set()
        if len(seen) > 1:
            return None
        data = data.replace(b",", b".") if self._either else data
        values = _floats(data.replace(separator, b",").replace(b"\n", b","))
        if values is None or len(values) != data.count(b"\n") * width:
            return None
        self._mark = next(iter(seen), self._mark)
        return values.reshape(-1, width)[:, list(numbers)], []

    def _with_split(
        self, data: bytes, numbers: Sequence[int], texts: Sequence[int]
    ) -> tuple[Array, list[list[str]]] | None:
        """Parse columns of numbers among other columns."""
        width = len(self.columns)
        if self.separator is None or not _has_fields(data, self.separator.encode(), width):
            return None
        try:
            fields = data.decode().replace("\n", self.separator).split(self.separator)[:-1]
        except UnicodeDecodeError:
            return None
        values = np.empty((len(fields) // width, len(numbers)))
        seen: set[str] = set()
        for j, i in enumerate(numbers):
            column = "\n".join(fields[i::width]).encode() + b"\n"
            if column.translate(None, _NUMERIC + b" ,"):
                return None
            if self._either:
                seen |= self._marks(column)
                column = column.replace(b",", b".")
            parsed = _floats(column.replace(b"\n", b","))
            if len(seen) > 1 or parsed is None or len(parsed) != len(values):
                return None
            values[:, j] = parsed
        self._mark = next(iter(seen), self._mark)
        return values, [[field.strip() for field in fields[i::width]] for i in texts]

    def _marks(self, data: bytes) -> set[str]:
        """Return the decimal marks in numbers and in earlier lines."""
        return {mark for mark in ".," if mark.encode() in data or mark == self._mark}


def joined(parts: Sequence[Parsed], texts: int) -> Parsed:
    """Concatenate parts that have this number of columns of texts."""
    return Parsed(
        np.concatenate([part.values for part in parts]),
        [list(chain.from_iterable(part.texts[j] for part in parts)) for j in range(texts)],
        np.concatenate([part.lines for part in parts]),
    )


def _parts(lines: Lines) -> Iterator[Lines]:
    """Yield lines without quotes in parts of about `PART` bytes."""
    start, number = 0, lines.first
    while start < len(lines.data):
        end = lines.data.find(b"\n", start + PART - 1) + 1 or len(lines.data)
        yield Lines(lines.data[start:end], number)
        number += lines.data.count(b"\n", start, end)
        start = end


def decoded(line: bytes) -> str:
    """Decode UTF-8, or else Windows-1252."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


@cache
def _arrow() -> Any:  # noqa: ANN401
    """Return pyarrow, or None if it is not installed."""
    try:
        import pyarrow
        import pyarrow.csv
    except ImportError:
        return None
    return pyarrow


def _is_plain(data: bytes, width: int) -> bool:
    """Return whether lines have no quotes or comments, and no blank line is an empty field."""
    if width == 1 and _BLANK.search(data):
        return False
    return b'"' not in data and not (b"#" in data and _COMMENT.search(data))


def _has_fields(data: bytes, separator: bytes, width: int) -> bool:
    """Return whether every line has this number of fields."""
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    places = np.flatnonzero(codes == ord(separator))
    if len(places) != len(ends) * (width - 1):
        return False
    if width == 1:
        return True
    of_lines = places.reshape(len(ends), width - 1)
    after = of_lines[1:, 0] > ends[:-1]
    return bool(after.all() and (of_lines[:, -1] < ends).all())


def _floats(text: bytes) -> Array | None:
    """Return numbers (n,), each followed by a comma; fewer, or None, if one is invalid."""
    if b" " in text and _EMPTY.search(text):  # which NumPy reads as -1
        return None
    try:
        # NumPy stops at an invalid number without an error: the 0 shows that it reached the end.
        values = np.fromstring((text + b"0").decode(), np.float64, sep=",")
    except (ValueError, DeprecationWarning):
        return None
    return values[:-1]
