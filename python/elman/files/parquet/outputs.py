"""Outputs as columns of Arrow, with the names of the network's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._text import show
from elman.errors import TableError
from elman.files import running
from elman.files.parquet import nested
from elman.files.parquet.writing import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.jobs import Outputs, Part
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.reading import File

    Array = NDArray[Any]

OUTPUT = "output"


class Passed(NamedTuple):
    """What `Sequences.passed` is for the rows of a part.

    Attributes
    ----------
    columns : list of array of Arrow
    offsets : array of int, or None
        Of the steps, for sequences in lists.
    missing : array of int
        The rows without outputs.
    """

    columns: list[Any]
    offsets: Array | None
    missing: Array


class OutputColumns:
    """The columns of the outputs of one file.

    The outputs of sequences in lists are lists, and those of their last steps are not. Outputs that
    the network's table names have a column each; others are one column `output`, of lists of O
    numbers, or in tables of steps columns `output_1`, `output_2`, ...

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the file: the columns that are passed through, then these.
    """

    def __init__(self, net: Network, file: File, layout: Layout, outputs: str) -> None:
        import pyarrow as pa

        self._net = net
        self._lists = layout.form == "lists" and outputs == "all"
        named = net.table is not None and bool(net.table.output_names)
        self._whole = layout.form == "lists" and not named
        number = pa.from_numpy_dtype(net.dtype)
        if self._whole:
            kind = number if net.output_size == 1 else pa.list_(number, net.output_size)
            fields = [(OUTPUT, kind)]
        else:
            names = running.column_names(net, None, None)
            kinds = [pa.string()] * bool(running.classes(net)) + [number] * net.output_size
            fields = list(zip(names, kinds, strict=True))
        passed = [file.schema.field(name) for name in layout.passed]
        for name, _ in fields:
            if name in layout.passed or name in file.folders:
                raise TableError(
                    f"{file.name}: expected columns with other names than the outputs, got"
                    f" {show(name)}: columns= (--columns) says which are passed through"
                )
        kinds = [pa.list_(kind) if self._lists else kind for _, kind in fields]
        self.names = [name for name, _ in fields]
        own = [pa.field(name, kind) for name, kind in zip(self.names, kinds, strict=True)]
        self.schema = pa.schema([*passed, *own], metadata=file.schema.metadata)

    def rows(self, part: Part, outputs: Outputs) -> list[Any] | None:
        """Return the columns of a part, those that are passed through first; None without any."""
        passed: Passed | None = outputs.sequences.passed
        if outputs.output is None or passed is None:
            return None
        arrays = self.arrays(outputs.output, passed.offsets, passed.missing)
        return [*passed.columns, *arrays]

    def writer(self, path: str, footers: Sequence[str], size: int, room: int) -> SegmentWriter:
        """Return what writes rows to a file; see `SegmentWriter`."""
        return SegmentWriter(path, self.schema, self.names, footers, size, room)

    def arrays(self, output: Array, offsets: Array | None, missing: Array) -> list[Any]:
        """Return the columns.

        Parameters
        ----------
        output : array
            (R, O) with offsets, otherwise (B, O).
        offsets : array of int, shape (B + 1,), or None
        missing : array of int
            The rows that are null, as there is no output.
        """
        valid = np.ones(len(output) if offsets is None else len(offsets) - 1, bool)
        valid[missing] = False
        columns = self._columns(output)
        if self._lists:
            assert offsets is not None
            return [_listed(column, offsets, valid) for column in columns]
        return [_masked(column, valid) for column in columns]

    def _columns(self, output: Array) -> list[Any]:

        if self._whole and self._net.output_size > 1:
            return [_fixed(output)]
        columns = [nested.array(column) for column in np.ascontiguousarray(output.T)]
        if running.classes(self._net):
            columns.insert(0, _classes(self._net, output))
        return columns


def _classes(net: Network, output: Array) -> Any:  # noqa: ANN401
    """Return the most probable class of each row of outputs."""
    import pyarrow as pa

    names = [*running.classes(net), ""]
    best = output.argmax(axis=1).astype(np.int32)
    best[np.isnan(output).any(axis=1)] = len(names) - 1
    return pa.DictionaryArray.from_arrays(nested.array(best), pa.array(names)).cast(pa.string())


def _fixed(output: Array) -> Any:  # noqa: ANN401
    """Return rows (N, O) as lists of O numbers."""
    import pyarrow as pa

    values = nested.array(np.ascontiguousarray(output).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, output.shape[1])


def _listed(column: Any, offsets: Array, valid: Array) -> Any:  # noqa: ANN401
    """Return the elements of a column as lists."""
    import pyarrow as pa

    places = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    kind, nothing = pa.list_(column.type), int((~valid).sum())
    buffers = [_bits(valid), places]
    return pa.Array.from_buffers(kind, len(valid), buffers, nothing, children=[column])


def _masked(column: Any, valid: Array) -> Any:  # noqa: ANN401
    """Return a column with nulls where it is not valid."""
    import pyarrow as pa

    if valid.all():
        return column
    nothing, count = int((~valid).sum()), len(valid)
    if pa.types.is_fixed_size_list(column.type):
        children = [column.values]
        return pa.Array.from_buffers(column.type, count, [_bits(valid)], nothing, children=children)
    buffers = [_bits(valid), *column.buffers()[1:]]
    return pa.Array.from_buffers(column.type, count, buffers, nothing)


def _bits(valid: Array) -> Any:  # noqa: ANN401
    """Return the bitmap of validity, None if all are."""
    import pyarrow as pa

    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
