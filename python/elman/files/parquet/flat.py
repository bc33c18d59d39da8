"""Outputs of Parquet as NPY or CSV, which are written from their beginning to their end."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._text import show
from elman.errors import TableError
from elman.files import running, writing
from elman.files.parquet.layout import LISTS, ROWS
from elman.files.parquet.outputs import OutputColumns
from elman.files.parquet.reading import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.jobs import Outputs, Part
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.outputs import Passed
    from elman.files.parquet.reading import File

    Array = NDArray[Any]


class Appending:
    """A file to which bytes are appended, after a commit behind its first `size` bytes."""

    def __init__(self, path: str, begin: bytes, size: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = open(os.open(path, flags, 0o666), "r+b")  # noqa: SIM115
        self._file.truncate(size)
        self._file.seek(0, io.SEEK_END)
        if not size:
            self._file.write(begin)

    def write(self, rows: Any) -> None:  # noqa: ANN401
        """Write bytes."""
        self._file.write(rows)

    def commit(self) -> tuple[str | None, int]:
        """Write everything to disk; return what must be known to go on, and the file's size."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return None, self._file.tell()

    def finish(self) -> None:
        """Write the end."""
        self.commit()
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TextColumns(OutputColumns):
    """The columns of CSV: those that are passed through, the class and the outputs."""

    def __init__(self, net: Network, file: File, layout: Layout, outputs: str) -> None:
        import pyarrow as pa

        if layout.form == LISTS and outputs == "all":
            raise TableError(
                f"{file.name}: expected outputs='last' (--last) for CSV, as each row has a"
                " sequence, got 'all': NPY (--format npy) and Parquet have all steps"
            )
        super().__init__(net, file, layout._replace(form=ROWS), outputs)
        for field in list(self.schema)[: -len(self.names)]:
            try:
                if pa.types.is_nested(field.type):
                    raise pa.ArrowNotImplementedError(str(field.type))
                _texts(pa.array([], field.type))
            except pa.ArrowException as error:
                raise TableError(
                    f"{file.name}: {show(field.name)}: expected numbers, texts or dates for CSV,"
                    f" got {field.type}: columns= (--columns) says which are passed through"
                ) from error

    def rows(self, part: Part, outputs: Outputs) -> Any:  # noqa: ANN401
        """Return lines."""
        passed: Passed | None = outputs.sequences.passed
        if outputs.output is None or passed is None:
            return None
        output = outputs.output
        output[passed.missing] = np.nan
        texts = [_texts(column) for column in passed.columns]
        classes = running.texts(self._net, running.Answers(None, None, output))
        return writing.csv_lines([*texts, *classes], output)

    def writer(self, path: str, footers: Sequence[str], size: int, room: int) -> Any:  # noqa: ANN401
        """Return what appends lines to a file."""
        return Appending(path, writing.csv_header(self.schema.names), size)


def _texts(column: Any) -> list[str]:  # noqa: ANN401
    """Return a column of Arrow as texts, "" for null."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return [text or "" for text in column.cast(pa.string()).to_pylist()]


class Numbers(NamedTuple):
    """What is written to an array for a part.

    Attributes
    ----------
    part : Part
    values : array, shape (R, O)
    lengths : array of int, or None
        The steps of each sequence, -1 if it has no outputs; None: each row of `values` is one of
        the array.
    """

    part: Part
    values: Array
    lengths: Array | None


class NumberColumns:
    """The outputs alone, as an array: (R, O) or, for all steps of sequences in lists, (N, T, O)."""

    def __init__(self, net: Network, file: File, layout: Layout, outputs: str) -> None:
        self._net, self._name = net, file.name
        self._whole = layout.form == LISTS and outputs == "all"

    def rows(self, part: Part, outputs: Outputs) -> Numbers | None:
        """Return the numbers of a part."""
        passed: Passed | None = outputs.sequences.passed
        output = outputs.output
        if output is None or not part.count:
            return None
        if passed is None:  # damaged
            lost = np.full(part.count, -1)
            if self._whole:
                return Numbers(part, output, lost)
            return Numbers(part, np.full((part.count, output.shape[1]), np.nan, output.dtype), None)
        if passed.offsets is None:
            output[passed.missing] = np.nan
            return Numbers(part, output, None)
        lengths = np.diff(passed.offsets)
        lengths[passed.missing] = -1
        return Numbers(part, output, lengths)

    def writer(self, path: str, footers: Sequence[str], size: int, room: int) -> NumberWriter:
        """Return what writes the array."""
        return NumberWriter(path, self._name, self._net, footers, size, whole=self._whole)


class NumberWriter(Appending):
    """Appends the rows of an array; its shape is known at the end."""

    def __init__(
        self,
        path: str,
        name: str,
        net: Network,
        footers: Sequence[str],
        size: int,
        *,
        whole: bool,
    ) -> None:
        self._name, self._dtype, self._width, self._whole = name, net.dtype, net.output_size, whole
        self._rows: int = 0
        self._steps: int | None = None  # of a sequence; not known before the first with outputs
        if footers:
            self._rows, self._steps = json.loads(footers[-1])
        super().__init__(path, self._header(), size)

    def write(self, rows: Numbers) -> None:
        """Write the numbers of a part."""
        if rows.lengths is None:
            self._rows += len(rows.values)
            self._put(rows.values)
            return
        valid = rows.lengths >= 0
        if self._steps is None and valid.any():
            self._steps = int(rows.lengths[valid][0])
            for _ in range(self._rows):
                self._put(np.full((self._steps, self._width), np.nan, self._dtype))
        self._rows += len(valid)
        if self._steps is None:
            return
        self._require_steps(rows, valid)
        if valid.all():
            self._put(rows.values)
            return
        output = np.full((len(valid), self._steps, self._width), np.nan, self._dtype)
        output[valid] = rows.values.reshape(output[valid].shape)
        self._put(output)

    def commit(self) -> tuple[str | None, int]:
        """Write everything to disk; return the shape so far, and the file's size."""
        _, size = super().commit()
        return json.dumps([self._rows, self._steps]), size

    def finish(self) -> None:
        """Write the shape."""
        self._file.seek(0)
        self._file.write(self._header())
        super().finish()

    def _header(self) -> bytes:
        """Return the beginning of the file, which has one length for any shape of these axes."""
        steps = (self._steps or 0,) if self._whole else ()
        return writing.npy_header(self._dtype, (self._rows, *steps, self._width))

    def _put(self, values: Array) -> None:
        self._file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)

    def _require_steps(self, rows: Numbers, valid: Array) -> None:
        assert rows.lengths is not None
        wrong = np.flatnonzero(valid & (rows.lengths != self._steps))
        if len(wrong):
            row = wrong[0]
            raise TableError(
                f"{self._name}, {place(rows.part)}, row {rows.part.first + row}: expected sequences"
                f" of one length for NPY, {self._steps} steps as in the first, got"
                f" {rows.lengths[row]}: outputs='last' (--last) and Parquet (--format parquet)"
                " take any"
            )
