"""Sequences in lists: each row of a Parquet file is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman._text import printable
from elman.errors import LimitError, TableError
from elman.files.jobs import MOST_LANES, Bad, Outputs, Parts, Sequences
from elman.files.parquet import nested
from elman.files.parquet.outputs import Passed
from elman.files.parquet.reading import PartReader, UnreadableError, divided, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.jobs import Carry, Part, Runner
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.reading import File
    from elman.files.parts import Request

    Array = NDArray[Any]


WAITING = 8  # parts in memory that are not run; of those that are run, there are also the outputs


def lanes(request: Request, size: int) -> int:
    """Return how many parts of this size may be run at a time."""
    most = min(request.threads, MOST_LANES)
    return max(1, min(most, (request.memory // size - WAITING) // 2))


class ListSource:
    """Parquet files whose rows are sequences; see `jobs.Source`."""

    def __init__(
        self,
        request: Request,
        files: Sequence[File],
        layouts: Sequence[Layout],
        lost: list[Bad],
        size: int,
    ) -> None:
        self.paths = [file.path for file in files]
        self.names = [file.target for file in files]
        self.lost = lost
        self._request, self._files, self._layouts, self._size = request, files, layouts, size
        self._most = float(np.finfo(request.net.dtype).max)
        self._reader = PartReader(files, [layout.read for layout in layouts])

    def parts(self) -> Parts:
        """Return the parts of all files."""
        found = enumerate(self._files)
        return Parts(span for i, file in found for span in divided(i, file, self._size, 0))

    def read(self, part: Part, spare: Any) -> Sequences:  # noqa: ANN401
        """Read a part; the memory is that of Arrow."""
        net, layout, file = self._request.net, self._layouts[part.file], self._files[part.file]
        nothing = np.empty((0, net.input_size), net.dtype)
        if not part.count:
            return Sequences(nothing, np.zeros(1, np.int64))
        try:
            table = self._reader.read(part)
        except UnreadableError as error:
            whole = ((Bad(file.name, place(part), None, str(error)), -1),)
            return Sequences(nothing, np.zeros(1, np.int64), () if error.again else whole)
        if table.nbytes > self._request.memory:
            raise LimitError(
                f"memory: expected at least {table.nbytes} bytes for {part.count} sequences of"
                f" {file.name}, {place(part)}, got {self._request.memory}"
            )
        lists = self._lists(table, layout)
        if self._request.nonfinite == "raise":
            lists = nested.without(lists, self._infinite(lists))
        if self._request.outputs == "last":
            empty = np.flatnonzero(np.diff(lists.offsets) == 0).tolist()
            reason = "expected at least one step, for the last output, got none"
            lists = nested.without(lists, dict.fromkeys(empty, reason))
        rows = sorted(lists.bad.items())
        bad = tuple(
            (Bad(file.name, place(part), part.first + row, reason), row) for row, reason in rows
        )
        columns = [nested.array_of(table.column(name)) for name in layout.passed]
        missing = np.array(sorted(lists.bad), np.int64)
        offsets = lists.offsets if self._request.outputs == "all" else None
        return Sequences(lists.values, lists.offsets, bad, Passed(columns, offsets, missing))

    def runner(self, net: Network, outputs: str, threads: int) -> Runner:
        """Return what runs the parts."""
        return ListRunner(net, outputs, threads, lanes(self._request, self._size))

    def close(self) -> None:
        """Close all files."""
        self._reader.close()

    def _lists(self, table: Any, layout: Layout) -> nested.Lists:  # noqa: ANN401
        net = self._request.net
        arrays = [nested.array_of(table.column(name)) for name in layout.inputs]
        try:
            if len(arrays) == 1:
                return nested.steps(arrays[0], net.input_size)
            return nested.columns(arrays, net.dtype)
        except ValueError as error:
            raise TableError(f"expected sequences, got {printable(str(error))}") from error

    def _infinite(self, lists: nested.Lists) -> dict[int, str]:
        """Return the sequences with a number that is not finite in the network's dtype."""
        values, most = lists.values, self._most
        if values.dtype.kind != "f" or not values.size:
            return {}
        if values.max() <= most and values.min() >= -most:
            return {}
        found: dict[int, str] = {}
        for step, column in np.argwhere(~(np.abs(values) <= most)).tolist():
            row = int(np.searchsorted(lists.offsets, step, side="right")) - 1
            if row not in found:
                found[row] = (
                    f"step {step - lists.offsets[row]}, input {column}: expected a finite number"
                    f" of {self._request.net.dtype}, got {values[step, column]}"
                )
        return found


class ListRunner:
    """Runs sequences that are whole in a part."""

    def __init__(self, net: Network, outputs: str, threads: int, lanes: int) -> None:
        self._net, self._outputs = net, outputs
        self.lanes, self._threads = (lanes, 1) if lanes > 1 else (1, threads)

    def restore(self, carry: Carry) -> None:
        """Nothing is carried."""

    def run(self, part: Part, data: Sequences, spare: Array | None) -> Outputs:
        """Run a part."""
        net, last = self._net, self._outputs == "last"
        offsets = data.offsets
        assert offsets is not None
        filled = np.flatnonzero(np.diff(offsets)) if last else np.arange(len(offsets) - 1)
        places = np.append(offsets[filled], offsets[-1]) if last else offsets
        shape = (len(offsets) - 1,) if last else (len(data.values),)
        if len(data.values):
            result = net.run(
                data.values, offsets=places, outputs=self._outputs, threads=self._threads
            ).output
        else:
            result = np.empty((0, net.output_size), net.dtype)
        output = result
        if len(result) != shape[0]:
            output = np.full((*shape, net.output_size), np.nan, net.dtype)
            output[filled] = result
        ended = len(offsets) - 1 - sum(row >= 0 for _, row in data.bad)
        kept = data._replace(values=output)  # the inputs are freed while it waits to be written
        return Outputs(output, kept, ended, len(data.values), data.bad)
