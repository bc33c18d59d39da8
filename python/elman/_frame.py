"""Data frames in place of arrays: the columns that a network's table names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from elman import _arguments, _ragged
from elman._text import plain, show
from elman.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Parameters
    from elman._ragged import Rows

    Array = NDArray[Any]
    Frame = Any  # has `columns`, and frame[name] is one: pandas, Polars, PyArrow, Astropy ...


def read(
    net: Parameters,
    argument: str,
    x: ArrayLike,
    outputs: str | None = None,
    *,
    with_gaps: bool = False,
) -> tuple[ArrayLike | Rows, str]:
    """Return inputs as array_like or `Rows`, and "all" or "last".

    A data frame becomes an array (T, I) of the inputs that the network's table names, or `Rows` if
    the table names a column of sequences; a list of data frames becomes a list of arrays. `outputs`
    then defaults to the table's. Without a table, all columns are read. Anything else is returned
    unchanged. `with_gaps` reads a frame as float64, with NaN for missing values of any kind.

    Raises
    ------
    ArgumentError
        If a frame lacks a column, or one in a list contains several sequences.
    DTypeError
        If a column does not contain real numbers.
    """
    if not _has_frames(x):
        return x, outputs or "all"
    if outputs is None:
        outputs = "all" if net.table is None else net.table.outputs
    if not is_frame(x):
        parts: list[Any] = [
            _sequence(net, f"{argument}[{i}]", part) if is_frame(part) else part
            for i, part in enumerate(x)  # type: ignore[arg-type]
        ]
        return parts, outputs
    columns = Columns(argument, x, with_gaps=with_gaps)
    values = _inputs(net, columns)
    if net.table is None or net.table.sequence is None:
        return values, outputs
    return _rows(columns, net.table.sequence, values), outputs


def read_one(net: Parameters, argument: str, x: ArrayLike) -> ArrayLike:
    """Return inputs as array_like; raise for a frame of several sequences."""
    values, _ = read(net, argument, x)
    if not isinstance(values, _ragged.Rows):
        return values
    assert net.table is not None
    _require_one_sequence(argument, values.keys, net.table.sequence)
    return values.values


def padded(
    net: Parameters,
    x: Any,  # noqa: ANN401  # array_like or sequences, and a mask of the same kind
    lengths: ArrayLike | None,
    mask: Any,  # noqa: ANN401
) -> tuple[ArrayLike, ArrayLike | None, ArrayLike | None]:
    """Return x, lengths and mask, several sequences as one padded batch.

    These are a list, or a data frame whose table names a column of sequences. With a mask it is
    False where there is padding, and the lengths are None.
    """
    values, _ = read(net, "x", x)
    parts: Sequence[ArrayLike]
    if isinstance(values, _ragged.Rows):
        _ragged.require_none("lengths", lengths, "a data frame of sequences")
        parts = values.split("x", values.values)
        if mask is not None:
            mask = values.split("mask", _arguments.unmasked("mask", mask))
    elif _arguments.is_list_of_sequences(values):
        _ragged.require_none("lengths", lengths)
        parts = _ragged.sequences(values, net.input_size)
    else:
        return values, lengths, mask
    steps = [len(part) for part in parts]
    x = _ragged.pad("x", parts, steps)
    return (x, steps, None) if mask is None else (x, None, _ragged.pad("mask", mask, steps))


def outputs_for(net: Parameters, x: ArrayLike, outputs: str | None) -> str:
    """Return "all" or "last": by default "all", or for data frames the table's setting."""
    if outputs is not None:
        return outputs
    return net.table.outputs if net.table is not None and _has_frames(x) else "all"


def targets(
    net: Parameters, y: ArrayLike, outputs: str, rows: Rows | None
) -> tuple[ArrayLike, ArrayLike | None]:
    """Return targets as array_like, and which steps have one: None for all.

    A data frame has the table's target columns. The targets of a step are the values `horizon` rows
    later in its sequence; the targets of a whole sequence are in its last row. Labels become class
    indices. If the inputs, `rows`, are several sequences, the result is a list in their order.
    Anything else is returned unchanged, or split like `rows`.

    Raises
    ------
    ArgumentError
        If a frame lacks a column, a label is unknown, or the sequences differ from those of x.
    DTypeError
        If a column does not contain real numbers.
    """
    if not _has_frames(y):
        if rows is None or outputs == "last" or isinstance(y, list | tuple):
            return y, None
        return rows.split("y", _arguments.array("y", y)), None
    if is_frame(y):
        columns = Columns("y", y)
        parts: list[Any] = [_targets(net, columns)]
        of_y = _target_rows(net, columns, parts[0], rows)
        if of_y is not None:
            parts = of_y.split("y", parts[0])
    else:
        parts = []
        for i, part in enumerate(y):  # type: ignore[arg-type]
            if not is_frame(part):
                raise ArgumentError(
                    f"y[{i}]: expected a data frame, like the others, got {_arguments.kind(part)}"
                )
            parts.append(_targets(net, Columns(f"y[{i}]", part)))
    return _of_steps(net, parts, outputs, listed=rows is not None or not is_frame(y))


def is_frame(x: object) -> bool:
    """Return whether x is a data frame."""
    return hasattr(x, "columns")


def _has_frames(x: object) -> bool:
    return is_frame(x) or (isinstance(x, list | tuple) and any(is_frame(part) for part in x))


# --- inputs ---------------------------------------------------------------------------------------


def _inputs(net: Parameters, columns: Columns) -> Array:
    """Return the inputs (T, I): the named columns, or all, then the calendar inputs."""
    table = net.table
    if table is None:
        return _whole(net, columns)
    names: Sequence[object] = table.inputs
    if not names and 2 * len(table.calendar) != net.input_size:
        if table.sequence is None and not table.calendar:
            return _whole(net, columns)
        others = [columns.find(name) for name in (table.sequence, table.time) if name is not None]
        names = [name for name in columns.names if name not in others]
    values = columns.numbers(names, net.dtype, more=2 * len(table.calendar))
    if table.calendar:
        from elman import _calendar

        assert table.time is not None
        times = columns.times(table.time)
        if not names:
            values = columns.numbers([], net.dtype, rows=len(times), more=2 * len(table.calendar))
        columns.require_length(table.time, len(times), len(values))
        values[:, len(names) :] = _calendar.features(times, table.calendar)
    return values


def _whole(net: Parameters, columns: Columns) -> Array:
    """Return all columns: one by one if together they are objects, as pandas' nullable dtypes."""
    values = _arguments.array(columns.argument, columns.frame)
    return columns.numbers(columns.names, net.dtype) if values.dtype.kind == "O" else values


def _sequence(net: Parameters, argument: str, frame: Frame) -> Array:
    """Return the inputs of a frame in a list, which is one sequence."""
    columns = Columns(argument, frame)
    name = None if net.table is None else net.table.sequence
    if name is not None and columns.has(name):
        _require_one_sequence(argument, columns.groups(name)[0], name)
    return _inputs(net, columns)


def _rows(columns: Columns, sequence: str, values: Array) -> Rows:
    """Return rows and their order by sequence."""
    if not columns.has(sequence):
        raise ArgumentError(
            f"{columns.missing(sequence)}; pass a frame of one sequence in a list, [frame]"
        )
    keys, numbers = columns.groups(sequence)
    columns.require_length(sequence, len(numbers), len(values))
    return _ragged.Rows(values, keys, *_ragged.grouped(numbers, len(keys)))


def _require_one_sequence(argument: str, keys: list[Any], name: str | None) -> None:
    """Raise if the rows belong to several sequences."""
    if len(keys) > 1:
        raise ArgumentError(
            f"{argument}: expected the rows of one sequence, got {len(keys)} different values in"
            f" the column {show(name)}: pass each sequence separately"
        )


# --- targets --------------------------------------------------------------------------------------


def _targets(net: Parameters, columns: Columns) -> Array:
    """Return the target columns (T, ...), or the class (T,) of each row."""
    table = net.table
    if table is None or not table.targets:
        return _arguments.array(columns.argument, columns.frame)
    if table.classes:
        return columns.classes(table.targets[0], table.classes)
    return columns.numbers(table.targets, net.dtype)


def _target_rows(
    net: Parameters, columns: Columns, values: Array, rows: Rows | None
) -> Rows | None:
    """Return the order of the rows of y by sequence, the sequences in the order of x."""
    import numpy as np

    sequence = None if net.table is None else net.table.sequence
    if sequence is None:
        return rows
    if not columns.has(sequence):
        if rows is None or len(values) == len(rows.order):
            return rows  # the rows of x
        raise ArgumentError(columns.missing(sequence))
    of_y = _rows(columns, sequence, values)
    if rows is None:
        _require_one_sequence("y", of_y.keys, sequence)
        return None
    places = {key: i for i, key in enumerate(of_y.keys)}
    if places.keys() != set(rows.keys):
        (key, *_) = [
            key for key in (*rows.keys, *of_y.keys) if (key in places) != (key in rows.keys)
        ]
        raise ArgumentError(
            f"y: expected the sequences of x in the column {show(sequence)}, got {show(key)} in"
            " only one of both"
        )
    grouped = of_y.split("y", np.arange(len(values)))
    parts = [grouped[places[key]] for key in rows.keys]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=int)])
    return _ragged.Rows(values, rows.keys, np.concatenate(parts), offsets)


def _of_steps(
    net: Parameters, parts: list[Array], outputs: str, *, listed: bool
) -> tuple[ArrayLike, ArrayLike | None]:
    """Return the targets of steps and which steps have one, or the targets of sequences."""
    import numpy as np

    horizon = () if net.table is None else net.table.horizon
    ahead = max(horizon, default=0)
    if outputs == "last":
        if ahead:
            raise ArgumentError(
                f"y: expected an array: the target of the last step would be {ahead}"
                f" step{'s' if ahead > 1 else ''} after the end of a data frame"
            )
        for i, part in enumerate(parts):
            if not len(part):
                raise ArgumentError(f"y[{i}]: expected at least one row, got none")
        last = [part[-1] for part in parts]
        return np.asarray(last) if listed else last[0], None
    if not ahead:
        return parts if listed else parts[0], None
    if all(len(part) <= ahead for part in parts):
        longest = max(map(len, parts))
        raise ArgumentError(
            f"y: expected a sequence of more than {ahead} rows, the horizon of the network's table,"
            f" got {longest}"
        )
    shifted, known = [], []
    for part in parts:
        n = max(0, len(part) - ahead)
        later = [part[h : h + n] for h in horizon]
        values = later[0] if len(later) == 1 else np.concatenate(later, axis=1)
        none = np.zeros((len(part) - n, *values.shape[1:]), part.dtype)
        shifted.append(np.concatenate([values, none]))
        known.append(np.arange(len(part)) < n)
    return (shifted, known) if listed else (shifted[0], known[0])


# --- columns --------------------------------------------------------------------------------------


class Columns:
    """The columns of a data frame by name; errors name the argument.

    A missing number is an error, or NaN with `with_gaps`.
    """

    def __init__(self, argument: str, frame: Frame, *, with_gaps: bool = False) -> None:
        self.argument = argument
        self.with_gaps = with_gaps
        self.frame = frame
        self.names = list(getattr(frame, "column_names", frame.columns))  # PyArrow's are data
        index = getattr(getattr(frame, "index", None), "names", None)  # pandas
        self.index = [] if index is None or callable(index) else [n for n in index if n is not None]

    def find(self, name: str) -> object:
        """Return the frame's own name of a column: exact, or up to case and blanks.

        None if there is no such column.
        """
        for names in (self.names, self.index):
            if name in names:
                return name
        alike = [each for each in (*self.names, *self.index) if plain(each) == plain(name)]
        if len(alike) > 1:
            raise ArgumentError(
                f"{self.argument}: expected one column {show(name)}, got {show(alike)}"
            )
        return alike[0] if alike else None

    def has(self, name: str) -> bool:
        """Return whether there is such a column."""
        return self.find(name) is not None

    def missing(self, name: str) -> str:
        """Return the message for a missing column."""
        from difflib import get_close_matches

        known = {plain(each): each for each in (*self.names, *self.index)}
        close = get_close_matches(plain(name), known, n=3, cutoff=0.6)
        near = f"; similar: {', '.join(show(known[each]) for each in close)}" if close else ""
        return (
            f"{self.argument}: expected a column {show(name)}, as in the network's table, got"
            f" {show(self.names)}{near}"
        )

    def what(self, name: object) -> str:
        """Return the name of a column in messages."""
        return f"{self.argument}[{show(name)}]"

    def require_length(self, name: object, found: int, rows: int) -> None:
        """Raise if a column has another length than the first."""
        if found != rows:
            raise ShapeError(f"{self.what(name)}: expected {rows} rows, got {found}")

    def column(self, name: object) -> Array:
        """Return a column as an array of any dtype."""
        given = self.given(name)
        column = _arguments.array(self.what(name), given)
        if column.ndim != 1:
            raise ShapeError(f"{self.what(name)}: expected one column, got {column.shape}")
        return column

    def given(self, name: object) -> Any:  # noqa: ANN401
        """Return a column in the type of the frame."""
        found = self.find(name) if isinstance(name, str) else name
        if found is None:
            raise ArgumentError(self.missing(str(name)))
        if found not in self.names:
            return self.frame.index.get_level_values(found)
        return self.frame[found]

    def numbers(
        self,
        names: Sequence[object],
        dtype: Any,  # noqa: ANN401
        *,
        rows: int = 0,
        more: int = 0,
    ) -> Array:
        """Return columns (T, N + more) of a dtype, rounded once; the last `more` are not set."""
        import numpy as np

        columns = [self._numeric(name) for name in names]
        dtype = np.float64 if self.with_gaps else dtype
        values = np.empty((len(columns[0]) if columns else rows, len(columns) + more), dtype)
        for j, (name, column) in enumerate(zip(names, columns, strict=True)):
            self.require_length(name, len(column), len(values))
            values[:, j] = column
        return values

    def _numeric(self, name: object) -> Array:
        import numpy as np

        column = self.column(name)
        missing = _missing(self.given(name), column)
        gaps: list[int] = [] if missing is None else np.flatnonzero(missing).tolist()
        if gaps and not self.with_gaps:
            self._refuse_missing(name, gaps[0])
        if column.dtype.kind == "O":  # such as pandas' nullable dtypes
            values = column.tolist()
            for row in gaps:
                values[row] = np.nan
            with contextlib.suppress(ValueError):
                column = np.array(values)
        if column.dtype.kind not in "biuf":
            raise DTypeError(f"{self.what(name)}: expected real numbers, got {column.dtype}")
        if gaps:
            column = np.array(np.ma.getdata(column), np.float64)
            column[gaps] = np.nan
        return column

    def _refuse_missing(self, name: object, row: int) -> None:
        raise DTypeError(
            f"{self.what(name)}: expected numbers, got a missing value in row {row}: fill or drop"
            " missing values first"
        )

    def groups(self, name: str, meaning: str = "the name of a sequence") -> tuple[list[Any], Array]:
        """Return the distinct values of a column in order, and the index of each row's value."""
        import numpy as np

        numbers: dict[Any, int] = {}
        column = self.column(name)
        if column.dtype.kind == "M":
            column = column.astype("datetime64[us]")  # nanoseconds would become integers
        rows = np.empty(len(column), np.int64)
        for row, value in enumerate(column.tolist()):
            if _is_missing(value):
                raise ArgumentError(
                    f"{self.what(name)}: expected {meaning} in every row, got none in row {row}"
                )
            rows[row] = numbers.setdefault(value, len(numbers))
        return list(numbers), rows

    def classes(self, name: str, classes: tuple[str, ...]) -> Array:
        """Return the class indices of labels."""
        import numpy as np

        labels, rows = self.groups(name, "a class")
        numbers = {label: i for i, label in enumerate(classes)}
        found = np.empty(len(labels), np.int64)
        for i, label in enumerate(labels):
            text = str(label)
            if text not in numbers and isinstance(label, float) and label.is_integer():
                text = str(int(label))  # integers that pandas made floats
            if text not in numbers:
                shown = ", ".join(map(show, classes[:10])) + (", ..." if len(classes) > 10 else "")
                raise ArgumentError(
                    f"{self.what(name)}: expected the classes {shown} of the network's table, got"
                    f" {show(label)} in row {int(np.flatnonzero(rows == i)[0])}"
                )
            found[i] = numbers[text]
        return found[rows]

    def times(self, name: str) -> Array:
        """Return a column of dates or times, datetime64 (T,), in local time."""
        import numpy as np

        column = _arguments.array(self.what(name), local_times(self.given(name)))
        if column.dtype.kind == "O":  # datetimes, dates or texts
            for row, value in enumerate(column.tolist()):
                if _is_missing(value):
                    self._refuse_missing(name, row)
            column = np.array(
                [v.replace(tzinfo=None) if hasattr(v, "tzinfo") else v for v in column.tolist()]
            )
        if column.dtype.kind in "OUT":
            try:
                column = column.astype(str).astype("datetime64[us]")
            except ValueError:
                raise DTypeError(
                    f"{self.what(name)}: expected dates or times, got"
                    f" {show(str(column.flat[0]))}: convert them first, with pandas.to_datetime"
                ) from None
        if column.dtype.kind != "M" or column.ndim != 1:
            raise DTypeError(
                f"{self.what(name)}: expected dates or times, got dtype {column.dtype}: convert"
                " them first, with pandas.to_datetime"
            )
        if np.isnat(column).any():
            self._refuse_missing(name, int(np.flatnonzero(np.isnat(column))[0]))
        return column


def _missing(given: Any, column: Array) -> Array | None:  # noqa: ANN401
    """Return which values of a column are missing; None if none is. NaN is a number."""
    import numpy as np

    nulls = getattr(given, "null_count", 0)  # PyArrow; a method of Polars
    if nulls() if callable(nulls) else nulls:
        return np.asarray(given.is_null())
    if type(getattr(getattr(given, "dtype", None), "na_value", None)).__name__ == "NAType":
        return np.asarray(given.isna())  # nullable dtypes of pandas
    if column.dtype.kind == "O":
        return np.array([v is None or type(v).__name__ == "NAType" for v in column.tolist()], bool)
    return np.ma.getmaskarray(column) if np.ma.is_masked(column) else None


def _is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT or NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA is neither equal nor different
        return True


def local_times(column: Any) -> Any:  # noqa: ANN401
    """Return times with a time zone as local times without one."""
    if getattr(getattr(column, "dtype", None), "tz", None) is not None:  # pandas
        return getattr(column, "dt", column).tz_localize(None)
    if getattr(getattr(column, "dtype", None), "time_zone", None) is not None:  # Polars
        return column.dt.replace_time_zone(None)
    if getattr(getattr(column, "type", None), "tz", None) is not None:  # PyArrow
        from pyarrow import compute  # type: ignore[import-not-found, unused-ignore]

        return compute.local_timestamp(column)
    return column
