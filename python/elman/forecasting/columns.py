"""The columns of the data for a forecast: a file, a data frame or an array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _frame
from elman._text import show
from elman.errors import ArgumentError, DTypeError
from elman.files import opening
from elman.files.arrays import ArraySource
from elman.files.dates import are_days, is_date
from elman.files.fields import MISSING
from elman.files.whole import WholeTable
from elman.forecasting import times as clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman.files.frame import Frame

    Array = NDArray[Any]
    Data = Any  # a path, a data frame or an array


class Wanted(NamedTuple):
    """The columns to read from a file: of numbers (None: all), of sequences and of times."""

    numbers: Sequence[str] | None
    sequence: str | None
    time: str | None
    absent: str | None = None  # the column of sequences that the data must not have


class Columns(_frame.Columns):
    """The named columns of a file or data frame."""

    def __len__(self) -> int:
        return len(self.column(self.names[0])) if self.names else len(self.frame)

    def finite(self, names: Sequence[str]) -> Array:
        """Return columns of finite numbers, (N, len(names)) in float64."""
        values = self.numbers(names, np.float64, rows=len(self))
        rows, columns = np.nonzero(~np.isfinite(values))
        if len(rows):
            raise ArgumentError(
                f"{self.what(names[columns[0]])}: expected finite numbers, got"
                f" {values[rows[0], columns[0]]} in row {rows[0]}: fill it, or pass a file with"
                " missing= (--missing)"
            )
        return values

    def numeric_names(self, besides: str | None) -> list[str]:
        """Return the names of the columns of numbers."""
        others = [None if besides is None else self.find(besides)]
        return [
            name
            for name in self.names
            if name not in others and self.column(name).dtype.kind in "biuf"
        ]

    def time_axis(self, name: str | None) -> Array | None:
        """Return a column of times, or None without it.

        Without a name, it is the first such column, or pandas' index.
        """
        if name is not None:
            return self.times(name).astype(clock.UNIT) if self.has(name) else None
        for each in (*self.names, *self.index):
            column = self.column(each)
            if column.dtype.kind == "M" and not np.isnat(column).any():
                return self.times(each).astype(clock.UNIT)
        index = getattr(self.frame, "index", None)
        if getattr(getattr(index, "dtype", None), "kind", "") != "M":
            return None
        return np.asarray(_frame.local_times(index)).astype(clock.UNIT)


def opened(argument: str, data: Data, wanted: Wanted, missing: str | None) -> Columns | Array:
    """Return a file or data frame as columns, anything else as an array of finite numbers."""
    if isinstance(data, str | os.PathLike):
        data = _read(data, wanted, missing)
    if _frame.is_frame(data):
        columns = Columns(argument, data)
        _require_absent(columns, wanted)
        return columns
    array = _arguments.array(argument, data)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{argument}: expected real numbers, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{argument}: expected finite numbers, got NaN or infinity")
    return array.astype(np.float64)


def _read(path: str | os.PathLike[str], wanted: Wanted, missing: str | None) -> Frame | Array:
    """Read the wanted columns of a file, or its array.

    Without a header, if the model does not name columns by their numbers, all columns but dates are
    read, in the order of the inputs.
    """
    with opening.opened(path) as file:
        if file.is_array:
            return ArraySource(file).array
        table = WholeTable(file)
        _require_absent(table, wanted)
        if wanted.numbers is None:
            return table.frame(None, wanted.sequence, missing)
        if not table.header and not all(map(table.has, wanted.numbers)):
            dates = table.dates()
            if len(table.columns) - len(dates) != len(set(wanted.numbers)):
                dates += table.days()
            names = [name for i, name in enumerate(table.columns) if i not in dates]
            return np.asarray(table.frame(names, None, missing, names))
        places = [table.find(name, "an input or target of the model") for name in wanted.numbers]
        if wanted.sequence is not None:
            places.append(table.find(wanted.sequence, "the sequence of each line"))
        time = _time_column(table, wanted.time, places)
        places += [] if time is None else [time]
        names = list(dict.fromkeys(table.columns[place] for place in places))
        numbers = [table.columns[place] for place in places[: len(wanted.numbers)]]
        return table.frame(names, wanted.sequence, missing, numbers)


def _require_absent(columns: Columns | WholeTable, wanted: Wanted) -> None:
    if wanted.absent is not None and columns.has(wanted.absent):
        raise ArgumentError(
            f"sequence: expected {show(wanted.absent)}, as in the model's table, got ''"
        )


def _time_column(table: WholeTable, name: str | None, taken: Sequence[int]) -> int | None:
    """Return the column of times: the one of this name, or else the first one with only dates."""
    if name is not None:
        return table.find(name, "the times of the model") if table.has(name) else None
    for place in sorted([*table.dates(), *table.days()]):
        (fields,) = table.parse([], [place], missing=True).texts
        if place in taken or any(field in MISSING for field in fields):
            continue
        if are_days(fields) or all(map(is_date, fields)):
            return place
    return None
