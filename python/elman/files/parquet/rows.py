"""Tables of steps: each row of a Parquet file is one, and sequences may be anywhere in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.files.jobs import Bad, Outputs, Parts, Sequences
from elman.files.parquet import nested
from elman.files.parquet.keys import Survey, keys, needed, numbered
from elman.files.parquet.outputs import Passed
from elman.files.parquet.reading import PartReader, UnreadableError, divided, place
from elman.files.parquet.sink import ParquetSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.jobs import Carry, Part, Runner
    from elman.files.journal import Journal
    from elman.files.parquet.keys import Keys
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.reading import File
    from elman.files.parquet.sink import Columns
    from elman.files.parts import Request

    Array = NDArray[Any]


class Steps(NamedTuple):
    """The rows of a part beside their inputs.

    Attributes
    ----------
    keys : Keys
    reasons : dict of int to str
        Why a row cannot be run.
    columns : list of array of Arrow
        What is passed through.
    row : int
        The number of the first row, counted through all files.
    """

    keys: Keys
    reasons: dict[int, str]
    columns: list[Any]
    row: int


class RowSource:
    """Parquet files whose rows are steps; see `jobs.Source`."""

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
        self.files, self.layouts, self.request = files, layouts, request
        item = request.net.dtype.itemsize
        per_row = item * (request.net.input_size + request.net.output_size)
        found = enumerate(files)
        self._parts = Parts(span for i, file in found for span in divided(i, file, size, per_row))
        self._begins = _begins(files)
        self._reader = PartReader(files, [layout.read for layout in layouts])
        self._most = float(np.finfo(request.net.dtype).max)
        self.make_runner: Any = None  # set when it is known whether the states fit into memory

    def parts(self) -> Parts:
        """Return the parts of all files."""
        return self._parts

    def read(self, part: Part, spare: Any = None) -> Sequences:  # noqa: ANN401
        """Read a part; the memory is that of Arrow."""
        net, layout, file = self.request.net, self.layouts[part.file], self.files[part.file]
        values = np.empty((part.count, net.input_size), net.dtype)
        if not part.count:
            return Sequences(values)
        try:
            table = self._reader.read(part)
        except UnreadableError as error:
            raise needed(f"{file.name}, {place(part)}", str(error)) from error
        reasons: dict[int, str] = {}
        for j, name in enumerate(layout.inputs):
            column = nested.array_of(table.column(name))
            with np.errstate(over="ignore"):
                values[:, j] = nested.numbers(column)
            for row in nested.nulls(column).tolist():
                reasons.setdefault(row, f"input {j}: {nested.NULL}")
        if self.request.nonfinite == "raise":
            self._find_infinite(values, reasons)
        columns = [nested.array_of(table.column(name)) for name in layout.passed]
        row = self._begins[part.file, part.where] + part.first
        steps = Steps(keys(table, part, file, layout), reasons, columns, row)
        return Sequences(values, passed=steps)

    def runner(self, net: Network, outputs: str, threads: int) -> Runner:
        """Return what runs the parts."""
        runner: Runner = self.make_runner(net, outputs, threads)
        return runner

    def close(self) -> None:
        """Close all files."""
        self._reader.close()

    def bad(self, part: Part, row: int, reason: str) -> Bad:
        """Return what to say of a bad row."""
        return Bad(self.files[part.file].name, place(part), part.first + row, reason)

    def _find_infinite(self, values: Array, reasons: dict[int, str]) -> None:
        for row, column in np.argwhere(~(np.abs(values) <= self._most)).tolist():
            got = values[row, column]
            reasons.setdefault(
                row, f"input {column}: expected a finite number of {values.dtype}, got {got}"
            )


def _begins(files: Sequence[File]) -> dict[tuple[int, int], int]:
    """Return where each row group of each file begins, counted through all files."""
    begins, row = {}, 0
    for i, file in enumerate(files):
        for group, (rows, _) in enumerate(file.groups):
            begins[i, group] = row
            row += rows
    return begins


class States:
    """The states of all sequences: as they are now, and as of the parts that were written.

    The thread that writes has its own, as they are what a commit needs.
    """

    def __init__(self, net: Network, count: int) -> None:
        start = np.zeros(net.state_size) if net.initial_state is None else net.initial_state
        self.now = np.tile(start.astype(net.dtype), (count, 1))
        self.lost = np.zeros(count, bool)
        self.written: Carry = {"states": self.now.copy(), "lost": self.lost.copy()}

    @staticmethod
    def bytes(net: Network) -> int:
        """Return the memory for a sequence: states, its key, and its number."""
        return 2 * net.state_size * net.dtype.itemsize + 256

    def restore(self, carry: Carry) -> None:
        """Continue with the states of a commit."""
        self.now[:], self.lost[:] = carry["states"], carry["lost"]
        self.written = {name: values.copy() for name, values in carry.items()}


class Changed(NamedTuple):
    """What a part has changed: see `States`."""

    slots: Array
    states: Array
    lost: Array


class RowRunner:
    """Runs parts of interleaved sequences, each of which goes on in its state."""

    lanes = 1

    def __init__(
        self,
        source: RowSource,
        found: Survey,
        states: States,
        net: Network,
        outputs: str,
        threads: int,
    ) -> None:
        self._source, self._survey, self._states = source, found, states
        self._net, self._outputs, self._threads = net, outputs, threads

    def restore(self, carry: Carry) -> None:
        """Continue with states."""
        self._states.restore(carry)

    def run(self, part: Part, data: Sequences, spare: Array | None) -> Outputs:
        """Run a part."""
        steps: Steps | None = data.passed
        if steps is None:
            return Outputs(None, data, 0, 0, (), {})
        slots = numbered(steps.keys, self._survey.slots)
        missing, first = lost_rows(slots, steps.reasons, self._states.lost)
        values = data.values
        values[missing] = 0
        used, output, state = advanced(self._net, values, slots, self._states.now, self._threads)
        changed = Changed(used, state, self._states.lost[used])
        bad = [(self._source.bad(part, row, steps.reasons[row]), row) for row in first]
        ends = self._survey.last[slots] == np.arange(steps.row, steps.row + len(slots))
        chosen = ends if self._outputs == "last" else None
        result = emitted(output, missing, chosen, data, steps.columns)
        return Outputs(
            result.values,
            result._replace(buffer=changed),
            int((ends & ~missing).sum()),
            int((~missing).sum()),
            tuple(bad),
            {},
        )


def lost_rows(slots: Array, reasons: dict[int, str], lost: Array) -> tuple[Array, list[int]]:
    """Return which rows have no output, and the first bad row of each sequence.

    A sequence is lost from its first bad row on, which is noted in `lost`.
    """
    missing = lost[slots]
    first = []
    for row in sorted(reasons):
        if not lost[slots[row]]:
            lost[slots[row]] = True
            missing |= (slots == slots[row]) & (np.arange(len(slots)) >= row)
            first.append(row)
    return missing, first


def advanced(
    net: Network, values: Array, slots: Array, states: Array, threads: int
) -> tuple[Array, Array, Array]:
    """Run rows of interleaved sequences; update their states.

    Returns
    -------
    used : array of int
        The sequences, increasing.
    output : array, shape (R, O)
        In the order of the rows.
    state : array
        The new states of those sequences.
    """
    order = None
    if (slots[1:] < slots[:-1]).any():
        order = np.argsort(slots, kind="stable")
        values, slots = values[order], slots[order]
    begins = np.flatnonzero(np.diff(slots, prepend=-1))
    used = slots[begins]
    offsets = np.append(begins, len(slots))
    reads_back = set(net.directions) != {"forward"}
    run = net.run(
        values, state=None if reads_back else states[used], offsets=offsets, threads=threads
    )
    if not reads_back:
        states[used] = run.state
    output = run.output
    if order is not None:
        output = np.empty_like(run.output)
        output[order] = run.output
    return used, output, run.state


def emitted(
    output: Array, missing: Array, chosen: Array | None, data: Sequences, columns: list[Any]
) -> Sequences:
    """Return the rows to write, all or those chosen, as `values` and `passed`."""
    if chosen is not None:
        import pyarrow as pa

        bits = pa.py_buffer(np.packbits(chosen, bitorder="little"))
        mask = pa.Array.from_buffers(pa.bool_(), len(chosen), [None, bits])
        columns = [column.filter(mask) for column in columns]
        output, missing = output[chosen], missing[chosen]
    return data._replace(values=output, passed=Passed(columns, None, np.flatnonzero(missing)))


class RowSink(ParquetSink):
    """Keeps the states of what was written for commits."""

    def __init__(
        self,
        columns: Sequence[Columns],
        targets: Sequence[str],
        memory: int,
        journal: Journal,
        states: States | None,
    ) -> None:
        super().__init__(columns, targets, memory, journal)
        self._states = states

    def write(self, part: Part, outputs: Outputs) -> None:
        """Write the rows of a part."""
        super().write(part, outputs)
        if self._states is None:
            return
        changed: Changed | None = outputs.sequences.buffer
        if changed is not None:
            self._states.written["states"][changed.slots] = changed.states
            self._states.written["lost"][changed.slots] = changed.lost
        assert outputs.carry is not None
        outputs.carry.update(self._states.written)
