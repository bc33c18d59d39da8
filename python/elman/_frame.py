"""Data frames in place of arrays, with the columns that a network's table names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments
from elman._container import show
from elman.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Parameters

    Array = NDArray[Any]
    Frame = Any  # has `columns`, and frame[name] is one: pandas, Polars, PyArrow, Astropy ...


def read(
    net: Parameters, argument: str, x: ArrayLike, outputs: str | None = None
) -> tuple[ArrayLike, str]:
    """Return inputs as array_like, and "all" or "last".

    A data frame becomes an array (T, I) of the columns that the network's table names, a list of
    data frames a list of arrays, and `outputs` then defaults to the table's. Without a table,
    all columns are read. Anything else is returned unchanged.

    Raises
    ------
    ArgumentError
        If a frame lacks a column or contains several sequences.
    DTypeError
        If a column does not contain real numbers.
    """
    values = _arrays(net, argument, x, "inputs")
    if outputs is None:
        outputs = "all" if values is x or net.table is None else net.table.outputs
    return values, outputs


def targets(net: Parameters, y: ArrayLike) -> ArrayLike:
    """Return targets as array_like; of data frames, the table's target columns."""
    return _arrays(net, "y", y, "targets")


def _arrays(net: Parameters, argument: str, values: ArrayLike, field: str) -> ArrayLike:
    if isinstance(values, list | tuple) and any(hasattr(part, "columns") for part in values):
        return [
            _array(net, f"{argument}[{i}]", part, field) if hasattr(part, "columns") else part
            for i, part in enumerate(values)
        ]
    return _array(net, argument, values, field) if hasattr(values, "columns") else values


def _array(net: Parameters, argument: str, frame: Frame, field: str) -> Array:
    """Return the columns (T, ...) in a field of the table, or all if it is empty."""
    table = net.table
    wanted = () if table is None else getattr(table, field)
    if table is None or not wanted:
        return _arguments.array(argument, frame)
    if field == "targets" and table.classes:
        raise ArgumentError(
            f"{argument}: expected an array of classes, 0 to {len(table.classes) - 1}, got a data"
            " frame"
        )
    names = list(getattr(frame, "column_names", frame.columns))  # PyArrow's `columns` are data
    if table.sequence is not None and table.sequence in names:
        _require_one_sequence(argument, frame, table.sequence)
    return _columns(argument, frame, names, wanted, net)


def _columns(
    argument: str, frame: Frame, names: list[object], wanted: tuple[str, ...], net: Parameters
) -> Array:
    """Return columns (T, I) in the network's dtype, each value rounded once."""
    import numpy as np

    for name in wanted:
        if name not in names:
            raise ArgumentError(
                f"{argument}: expected a column {show(name)}, as in the network's table, got"
                f" {show(names)}"
            )
    columns = [_column(argument, frame, name) for name in wanted]
    values = np.empty((len(columns[0]), len(columns)), net.dtype)
    for j, (name, column) in enumerate(zip(wanted, columns, strict=True)):
        what = f"{argument}[{show(name)}]"
        if len(column) != len(values):
            raise ShapeError(f"{what}: expected {len(values)} rows, got {len(column)}")
        if column.dtype.kind not in "biuf":
            raise DTypeError(f"{what}: expected real numbers, got {column.dtype}")
        if np.ma.is_masked(column):
            raise DTypeError(f"{what}: expected numbers, got masked values: fill them first")
        values[:, j] = column
    return values


def _column(argument: str, frame: Frame, name: str) -> Array:
    what = f"{argument}[{show(name)}]"
    column = _arguments.array(what, frame[name])
    if column.ndim != 1:
        raise ShapeError(f"{what}: expected one column of numbers, got {column.shape}")
    return column


def _require_one_sequence(argument: str, frame: Frame, name: str) -> None:
    """Raise if the rows belong to several sequences, which would be run as one."""
    found = len(set(_column(argument, frame, name).tolist()))
    if found > 1:
        raise ArgumentError(
            f"{argument}: expected the rows of one sequence, got {found} different values in the"
            f" column {show(name)}: pass each sequence separately"
        )
