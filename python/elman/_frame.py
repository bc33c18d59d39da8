"""Data frames in place of arrays: their columns by name, as a network's table orders them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments
from elman._container import show
from elman.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Parameters

    Array = NDArray[Any]
    Frame = Any  # has `columns` and gives one by its name: of pandas, Polars, PyArrow, Astropy ...


def read(
    net: Parameters, argument: str, x: ArrayLike, outputs: str | None = None
) -> tuple[ArrayLike, str]:
    """Return inputs as array_like, and which outputs to give.

    A data frame becomes an array (T, I) of the columns that the network's table names, and its
    outputs are by default those of the table. Anything else is left as it is.

    Raises
    ------
    ArgumentError
        If the network has no table, or the frame lacks a column or holds several sequences.
    DTypeError
        If a column holds something else than real numbers.
    """
    if isinstance(x, list | tuple) and x and hasattr(x[0], "columns"):
        raise ArgumentError(f"{argument}: expected an array or a data frame, got a list of frames")
    if not hasattr(x, "columns"):
        return x, "all" if outputs is None else outputs
    table = net.table
    if table is None or not table.inputs:
        raise ArgumentError(
            f"{argument}: expected an array, or a network whose table names the inputs, got a data"
            " frame and no such table (net.replace(table=elman.Table(inputs=[...])))"
        )
    names = _names(x)
    if table.sequence is not None and table.sequence in names:
        _require_one_sequence(argument, x, table.sequence)
    values = _columns(argument, x, names, table.inputs, net)
    return values, table.outputs if outputs is None else outputs


def read_pair(net: Parameters, x: ArrayLike, y: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    """Return inputs and targets to train on as array_like.

    Data frames are read by the columns that the network's table names, and without such a table by
    position, as anything else is.
    """
    table = net.table
    if table is not None and table.inputs and hasattr(x, "columns"):
        x, _ = read(net, "x", x)
    if table is not None and table.targets and not table.classes and hasattr(y, "columns"):
        y = _columns("y", y, _names(y), table.targets, net)
    return x, y


def _names(frame: Frame) -> list[object]:
    return list(getattr(frame, "column_names", frame.columns))  # PyArrow's `columns` are the data


def read_each(
    net: Parameters, argument: str, x: Sequence[ArrayLike], outputs: str | None = None
) -> tuple[list[ArrayLike], str]:
    """Return a list of inputs, each as `read` does; the first says which outputs to give."""
    pairs = [read(net, f"{argument}[{i}]", each, outputs) for i, each in enumerate(x)]
    return [values for values, _ in pairs], pairs[0][1]


def _columns(
    argument: str, frame: Frame, names: list[object], wanted: tuple[str, ...], net: Parameters
) -> Array:
    """Return columns (T, I) in the network's dtype, each number converted by one rounding."""
    import numpy as np

    for name in wanted:
        if name not in names:
            raise ArgumentError(
                f"{argument}: expected a column {show(name)}, as the network's table says, got"
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
            raise DTypeError(f"{what}: expected numbers, got masked ones (fill them first)")
        values[:, j] = column
    return values


def _column(argument: str, frame: Frame, name: str) -> Array:
    what = f"{argument}[{show(name)}]"
    column = _arguments.array(what, frame[name])
    if column.ndim != 1:
        raise ShapeError(f"{what}: expected one column of numbers, got {column.shape}")
    return column


def _require_one_sequence(argument: str, frame: Frame, name: str) -> None:
    """Refuse the rows of several sequences, which would be run as one."""
    found = len(set(_column(argument, frame, name).tolist()))
    if found > 1:
        raise ArgumentError(
            f"{argument}: expected the rows of one sequence, got {found} different values in the"
            f" column {show(name)}: give those of each alone"
        )
