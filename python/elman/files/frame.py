"""`Frame`, named columns of equal length."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from elman import _files, _html
from elman._text import printable, show
from elman.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    import pandas
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Array = NDArray[Any]

__all__ = ["Frame"]

SHOWN = 5  # rows printed at the start and at the end of a long frame


class Frame:
    """Named columns of equal length: numbers, texts or times.

    `elman.read_table` returns one. It is a data frame without pandas: `net(frame)` reads the
    columns that the network's table names, and `frame.to_frame()` returns a pandas data frame.
    A Frame and its arrays are immutable.

    Parameters
    ----------
    columns : mapping of str to array_like, (N,)
        The columns in order. Numbers keep their dtype, texts become objects of type str, times
        datetime64[us].

    Attributes
    ----------
    columns : tuple of str
        The names.

    Raises
    ------
    ShapeError
        If a column is not one-dimensional, or the lengths differ.
    DTypeError
        If a column does not hold real numbers, texts or times.
    ArgumentTypeError
        If `columns` is not a mapping, or a name is not a str.

    Examples
    --------
    >>> import elman
    >>> frame = elman.Frame({"city": ["Rome", "Oslo"], "load": [1.5, 2.0]})
    >>> frame["load"]
    array([1.5, 2. ])
    >>> frame
    city  load
    Rome   1.5
    Oslo   2.0
    """

    __slots__ = ("_columns", "columns")

    columns: tuple[str, ...]
    _columns: dict[str, Array]

    def __init__(self, columns: Mapping[str, ArrayLike]) -> None:
        if not hasattr(columns, "items"):
            got = type(columns).__name__
            raise ArgumentTypeError(f"columns: expected a mapping of names to arrays, got {got}")
        arrays = {_name(name): _column(name, values) for name, values in columns.items()}
        lengths = {name: len(array) for name, array in arrays.items()}
        for name, length in lengths.items():
            if length != (expected := next(iter(lengths.values()))):
                raise ShapeError(f"columns: {show(name)}: expected {expected} rows, got {length}")
        object.__setattr__(self, "_columns", arrays)
        object.__setattr__(self, "columns", tuple(arrays))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Frame.{name} cannot be set: frames are immutable")

    @overload
    def __getitem__(self, key: str) -> Array: ...
    @overload
    def __getitem__(self, key: slice | list[str]) -> Frame: ...
    def __getitem__(self, key: str | slice | list[str]) -> Array | Frame:
        """Return a column by name, several columns by a list of names, or rows by a slice."""
        if isinstance(key, slice):
            return Frame({name: array[key] for name, array in self._columns.items()})
        if isinstance(key, list):
            return Frame({name: self._column(name) for name in key})
        return self._column(key)

    def _column(self, name: str) -> Array:
        if not isinstance(name, str) or name not in self._columns:
            raise ArgumentError(
                f"column: expected one of {show(list(self.columns))}, got {show(name)}"
            )
        array: Array = self._columns[name]
        return array

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __eq__(self, other: object) -> bool:
        """Return whether names, order, kinds of columns and values are equal.

        Missing numbers and times are equal to each other.
        """
        if not isinstance(other, Frame):
            return NotImplemented
        return self.columns == other.columns and all(
            a.dtype.kind == b.dtype.kind and np.array_equal(a, b, equal_nan=a.dtype.kind in "fM")
            for a, b in zip(self._columns.values(), other._columns.values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return all columns, which must be numbers, as an array (N, columns)."""
        if copy is False:
            raise ArgumentError("copy: expected a copy to be allowed, got False")
        for name, array in self._columns.items():
            if array.dtype.kind not in "biuf":
                what = "times" if array.dtype.kind == "M" else "texts"
                raise DTypeError(f"column {show(name)}: expected real numbers, got {what}")
        if not self.columns:
            return np.empty((0, 0), dtype)
        return np.stack(list(self._columns.values()), axis=1).astype(dtype, copy=False)

    def __reduce__(self) -> tuple[type, tuple[dict[str, Array]]]:
        return Frame, (dict(self._columns),)

    def to_frame(self) -> pandas.DataFrame:
        """Return the columns as a `pandas.DataFrame`, which needs pandas."""
        return _files.extra("pandas", "Frame.to_frame", "pandas").DataFrame(
            dict(self._columns), copy=True
        )

    def __repr__(self) -> str:
        if not self.columns:
            return "Frame({})"
        columns = [_shown(name, array) for name, array in self._columns.items()]
        kinds: list[str] = [array.dtype.kind for array in self._columns.values()]
        lines = ["  ".join(_aligned(columns, kinds, i)).rstrip() for i in range(len(columns[0]))]
        return "\n".join([*lines, *self._size()])

    def _repr_html_(self) -> str:
        columns = [_shown(name, array) for name, array in self._columns.items()]
        names, *rows = list(zip(*columns, strict=True)) or [()]
        size = "".join(map(_html.text, self._size()))
        return _html.table(names, rows) + size

    def _size(self) -> list[str]:
        return [f"[{len(self)} rows]"] if len(self) > 2 * SHOWN else []


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise ArgumentTypeError(f"columns: expected names of type str, got {type(name).__name__}")
    return str(name)


def _column(name: str, values: ArrayLike) -> Array:
    """Return a read-only array (N,) of numbers, str objects or datetime64[us]."""
    what = f"columns: {show(name)}"
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{what}: expected one axis, got {array.shape}")
    if array.dtype.kind == "M":
        array = array.astype("datetime64[us]")
    elif array.dtype.kind in "UT":
        array = array.astype(object)
    elif array.dtype.kind == "O":
        for value in array:
            if not isinstance(value, str):
                got = type(value).__name__
                raise DTypeError(f"{what}: expected real numbers, texts or times, got {got}")
    elif array.dtype.kind not in "biuf":
        raise DTypeError(f"{what}: expected real numbers, texts or times, got {array.dtype}")
    array = array.view()
    array.flags.writeable = False
    return array


def _shown(name: str, array: Array) -> list[str]:
    """Return the cells of a column to print, the name first."""
    if len(array) <= 2 * SHOWN:
        shown = list(map(_text, array.tolist()))
    else:
        ends = array[:SHOWN].tolist(), array[-SHOWN:].tolist()
        shown = [*map(_text, ends[0]), "...", *map(_text, ends[1])]
    return [_cell(name), *shown]


def _text(value: object) -> str:
    return _cell("" if value is None else str(value))  # None: a time that is missing


def _cell(text: str) -> str:
    text = printable(text)
    return text if len(text) <= 40 else text[:37] + "..."


def _aligned(columns: list[list[str]], kinds: list[str], row: int) -> list[str]:
    """Return the cells of a row, numbers to the right."""
    cells = []
    for column, kind in zip(columns, kinds, strict=True):
        width = max(map(len, column))
        align: Callable[[str, int], str] = str.rjust if kind in "biuf" else str.ljust
        cells.append(align(column[row], width))
    return cells
