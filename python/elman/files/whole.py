"""A whole table of text in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._text import show
from elman.errors import TableError
from elman.files import dates
from elman.files import missing as gaps
from elman.files.block import Block
from elman.files.columns import TextTable
from elman.files.fields import MISSING, is_number
from elman.files.frame import Frame
from elman.files.parsing import Parsed, joined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from elman.files.opening import Opened

NUMBER, DATE, TEXT = "number", "date", "text"


class WholeTable(TextTable):
    """A table of text in memory; columns are parsed on request."""

    def __init__(self, file: Opened) -> None:
        super().__init__(file)
        self._blocks = list(iter(self.lines.block, None))

    def parse(self, numbers: Sequence[int], texts: Sequence[int], missing: bool) -> Parsed:
        """Return columns of all lines; see `Parser.parse`."""
        parts = [self.parser.parse(lines, numbers, texts, missing) for lines in self._blocks]
        return joined(parts, len(texts))

    def kinds(self, columns: Sequence[int], numbers: Sequence[int] = ()) -> dict[int, str]:
        """Return the kinds of columns: number, date or text.

        Missing values are ignored; a column of missing values only is text. Days such as 20240101
        in a column of `numbers` are numbers.
        """
        days = set(columns) - set(numbers)
        kinds = dict.fromkeys(columns, TEXT)
        likely = [i for i in columns if self.first[i] in MISSING or is_number(self.first[i])]
        try:
            table = self.parse(likely, [], missing=True).values
            for i, values in zip(likely, table.T, strict=True):
                first = values[np.argmin(np.isnan(values))]
                if not np.isnan(first) and not (i in days and dates.is_day(f"{first:.0f}")):
                    kinds[i] = NUMBER
        except TableError:  # one of them is not all numbers
            pass
        others = [i for i in columns if kinds[i] == TEXT]
        for i, fields in zip(others, self.parse([], others, missing=True).texts, strict=True):
            known = [field for field in fields if field not in MISSING]
            if known and all(map(is_number, known)):
                kinds[i] = DATE if i in days and dates.are_days(known) else NUMBER
            elif known and all(map(dates.is_date, known)):
                kinds[i] = DATE
        return kinds

    def frame(
        self,
        columns: Sequence[str] | None,
        sequence: str | None,
        missing: str | None,
        must: Sequence[str] = (),
    ) -> Frame:
        """Return columns for `read_table`; those in `must` must be numbers."""
        if columns is None:
            ignored = self.ignored()
            wanted = [i for i in range(len(self.columns)) if i not in ignored]
        else:
            wanted = [self.find(column, "given as columns") for column in columns]
        names = [self.columns[i] for i in wanted]
        self.require_names(names)
        keys = None if sequence is None else self.find(sequence, "the sequence of each line")
        required = [self.find(column, "as asked for") for column in must]
        kinds = {
            **self.kinds([i for i in wanted if i != keys], required),
            **({} if keys is None else {keys: TEXT}),
            **dict.fromkeys(required, NUMBER),
        }
        numbers = [i for i in wanted if kinds[i] == NUMBER]
        texts = [i for i in wanted if kinds[i] != NUMBER]
        parsed = self.parse(numbers, texts if keys is None else [*texts, keys], missing is not None)
        found: dict[int, NDArray[Any]] = {}
        known = np.ones(len(parsed.lines), bool)
        for i, fields in zip(texts, parsed.texts, strict=False):
            if kinds[i] == DATE:
                found[i] = self.times(i, fields, parsed.lines, missing)
                known &= ~np.isnat(found[i])
            else:
                found[i] = np.array(fields, object)
        sequences = None if keys is None else parsed.texts[-1]
        if keys is not None and sequences is not None:
            self.require_keys(keys, sequences, parsed.lines)
        block = Block(parsed.values, sequences, None, parsed.lines).rows(np.flatnonzero(known))
        if missing is not None:
            block = self.without_gaps(block, missing, numbers)
        at = np.searchsorted(parsed.lines, block.lines)
        found = {i: column[at] for i, column in found.items()}
        found |= {i: block.values[:, j] for j, i in enumerate(numbers)}
        return Frame({self.columns[i]: found[i] for i in wanted})

    def without_gaps(self, block: Block, missing: str, numbers: Sequence[int]) -> Block:
        """Return the lines, with values of the columns `numbers`, without missing values."""
        found = list(gaps.without([block], missing, lambda j, line: self.where(numbers[j], line)))
        if not found:
            raise TableError(f"{self.name}: expected lines without missing values, got none")
        return found[0]

    def require_names(self, names: Sequence[str]) -> None:
        """Raise if a column has no name, or two have the same."""
        for i, name in enumerate(names):
            if name == "":
                raise TableError(
                    f"{self.name}: expected a name for every column, got an empty name"
                )
            if name in names[:i]:
                raise TableError(
                    f"{self.name}: expected different names of columns, got {show(name)} twice"
                )
