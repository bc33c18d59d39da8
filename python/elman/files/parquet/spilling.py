"""Tables of steps with more sequences than fit into memory, or with layers that read in reverse.

The rows are divided by their sequence into files, each of which has few enough sequences. These are
run one after another, and the outputs are taken from there in the order of the table:

    spilled-in-N    digest of the sequence, whether the row is bad, inputs
    spilled-out-N   whether the sequence is lost, whether it ends, outputs

They are in the work folder. How far this has come is in the journal, in records without outputs:
`spilled` is the number of parts that were divided, the sizes of the files at that time, and the
number of files that were run.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from elman import _files
from elman.errors import ElmanError
from elman.files import pipeline
from elman.files.jobs import Outputs, Sequences
from elman.files.parquet import rows
from elman.files.parquet.keys import DIGEST, Keys, digests, numbered, require_room
from elman.files.parquet.rows import States
from elman.files.syncing import synced

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from numpy.typing import NDArray

    from elman.files.jobs import Carry, Part
    from elman.files.journal import Journal
    from elman.files.parquet.rows import RowSource, Steps
    from elman.files.parts import Request

    Array = NDArray[Any]

MOST = 256  # files
LOST, LAST = 1, 2  # bits
RARELY = 10  # times as long as a commit is the time between two, as many files are synced


class Spilled:
    """The files of a table that was divided, and their outputs."""

    def __init__(self, source: RowSource, work: Journal) -> None:
        self._source, self._work = source, work
        request = source.request
        net = request.net
        self._net, self._request = net, request
        x, y = (net.dtype, (net.input_size,)), (net.dtype, (net.output_size,))
        self._input = np.dtype([("key", f"S{DIGEST}"), ("bad", "?"), ("x", *x)])
        self.output = np.dtype([("what", "u1"), ("y", *y)])
        self._backwards = set(net.directions) != {"forward"}
        total = sum(file.rows for file in source.files)
        self._each = States.bytes(net)  # of a sequence, of which there is at most one for each row
        if self._backwards:  # all rows are in memory, and the states of both directions
            self._each += 3 * (self._input.itemsize + self.output.itemsize)
        self._room = max(1, request.memory // 8)  # for a file, as their sizes differ
        self.count = max(2, min(MOST, -(-total * self._each // self._room)))
        self._parts = source.parts()
        done: tuple[int, list[int], int] = 0, [0] * self.count, 0
        if work.records:
            done = work.records[-1].get("spilled", (len(self._parts), [], self.count))
        divided, sizes, run = done
        self._when, self._took = time.monotonic(), 0.0  # the last commit
        try:
            if divided < len(self._parts):
                self._divide(divided, sizes)
            self._run_all(run)
        except ElmanError:
            work.forget()
            raise

    def path(self, kind: str, number: int) -> str:
        """Return the path of a file."""
        return self._work.path(f"spilled-{kind}-{number}")

    def places(self, steps: Steps) -> tuple[Array, Array]:
        """Return the digest of each row, and the file that it is in."""
        key, number = digests(steps.keys)
        return key, (number % np.uint64(self.count)).astype(np.int64)

    def _divide(self, done: int, sizes: list[int]) -> None:
        """Divide the parts behind those that are done, when the files had these sizes."""
        paths = [self.path("in", number) for number in range(self.count)]
        for path, size in zip(paths, sizes, strict=True):
            with open(path, "ab") as file:
                file.truncate(size)
        for number in range(done, len(self._parts)):
            self._distribute(self._parts[number], paths)
            if self._is_due():
                self._commit(number + 1, paths, 0)
        self._source.close()  # the parts are read again

    def _distribute(self, part: Part, paths: list[str]) -> None:
        """Append the rows of a part to the files of their sequences."""
        data = self._source.read(part)
        steps: Steps | None = data.passed
        if steps is None:
            return
        record = np.zeros(len(data.values), self._input)
        record["x"] = data.values
        record["bad"][list(steps.reasons)] = True
        record["key"], place = self.places(steps)
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place, minlength=self.count))
        for path, some in zip(paths, np.split(record[order], ends[:-1]), strict=True):
            if len(some):
                with open(path, "ab", buffering=0) as file:  # all at once are too many to open
                    _write(file, some)

    def _run_all(self, done: int) -> None:
        """Run the sequences of each file behind those that are done, and remove their inputs."""
        for number in range(done, self.count):
            self._run(number)
            if number + 1 == self.count or self._is_due():
                made = [self.path("out", i) for i in range(done, number + 1)]
                left = [self.path("in", i) for i in range(number + 1, self.count)]
                self._commit(len(self._parts), made + left, number + 1)
                done = number + 1

    def _is_due(self) -> bool:
        """Return whether it is time for a commit."""
        return time.monotonic() - self._when > max(pipeline.SECONDS, RARELY * self._took)

    def _commit(self, divided: int, files: list[str], run: int) -> None:
        """Write files to disk, and a record; remove the inputs of the files that were run."""
        begin = time.monotonic()
        spilled = [divided, [synced(path) for path in files], run]
        done = pipeline.Counts(bad=len(self._source.lost))
        self._work.append({**done._asdict(), "sink": None, "spilled": spilled}, None)
        for number in range(run):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path("in", number))
        self._when = time.monotonic()
        self._took = self._when - begin

    def _run(self, number: int) -> None:
        """Run the sequences of a file."""
        path = self.path("in", number)
        slots: dict[Hashable, int] = {}
        size = os.path.getsize(path) // self._input.itemsize
        name = f"sequences of {self._source.files[0].name}"
        if self._backwards:
            name += " that are read in reverse"
            require_room(name, 2 * size * self._each, self._request.memory)
        chunk = max(1, size if self._backwards else self._room // (2 * self._input.itemsize))
        last = np.zeros(0, np.int64)
        for row, record in self._chunks(path, chunk):
            found = numbered(_keys(record), slots)
            require_room(name, 2 * len(slots) * States.bytes(self._net), self._request.memory)
            last = np.append(last, np.zeros(max(0, len(slots) - len(last)), np.int64))
            last[found] = np.arange(row, row + len(record))
        states = States(self._net, len(slots))
        with open(self.path("out", number), "wb", buffering=0) as file:
            for row, record in self._chunks(path, chunk):
                found = numbered(_keys(record), slots)
                reasons = dict.fromkeys(np.flatnonzero(record["bad"]).tolist(), "")
                missing, _ = rows.lost_rows(found, reasons, states.lost)
                values = np.ascontiguousarray(record["x"])
                values[missing] = 0
                _, y, _ = rows.advanced(self._net, values, found, states.now, self._request.threads)
                result = np.zeros(len(record), self.output)
                result["y"] = y
                ends = last[found] == np.arange(row, row + len(record))
                result["what"] = np.where(missing, LOST, 0) + np.where(ends, LAST, 0)
                _write(file, result)

    def _chunks(self, path: str, count: int) -> Iterator[tuple[int, Array]]:
        with open(path, "rb") as file:
            row = 0
            while len(record := np.fromfile(file, self._input, count)):
                yield row, record
                row += len(record)


class MergingRunner:
    """Takes the outputs of each part from the files."""

    lanes = 1

    def __init__(self, source: RowSource, spilled: Spilled, request: Request) -> None:
        self._source, self._spilled = source, spilled
        self._last = request.outputs == "last"
        self._at = np.zeros(spilled.count, np.int64)
        self._told: set[bytes] = set()

    def restore(self, carry: Carry) -> None:
        """Go on behind the rows that were taken."""
        self._at, self._told = carry["at"], set(carry["told"].tolist())

    def run(self, part: Part, data: Sequences, spare: Array | None) -> Outputs:
        """Return the outputs of a part."""
        steps: Steps | None = data.passed
        if steps is None:
            return Outputs(None, data, 0, 0, (), self._carry())
        key, place = self._spilled.places(steps)
        result = np.empty(len(place), self._spilled.output)
        for number in np.unique(place).tolist():
            mine = place == number
            result[mine] = self._taken(number, int(mine.sum()))
        lost, ends = (result["what"] & bit > 0 for bit in (LOST, LAST))
        bad = []
        for row in sorted(steps.reasons):
            if key[row] not in self._told:
                self._told.add(key[row])
                bad.append((self._source.bad(part, row, steps.reasons[row]), row))
        output = np.ascontiguousarray(result["y"])
        found = rows.emitted(output, lost, ends if self._last else None, data, steps.columns)
        ended, run = int((ends & ~lost).sum()), int((~lost).sum())
        return Outputs(found.values, found, ended, run, tuple(bad), self._carry())

    def _carry(self) -> Carry:
        return {"at": self._at.copy(), "told": np.array(sorted(self._told), f"S{DIGEST}")}

    def _taken(self, number: int, count: int) -> Array:
        """Return the next outputs of a file."""
        record = self._spilled.output
        with open(self._spilled.path("out", number), "rb") as file:
            file.seek(int(self._at[number]) * record.itemsize)
            found = np.fromfile(file, record, count)
        self._at[number] += count
        return found


def _keys(record: Array) -> Keys:
    """Return the sequences of records."""
    values, codes = np.unique(record["key"], return_inverse=True)
    return Keys(codes.reshape(-1), values.tolist())


def _write(file: IO[bytes], values: Array) -> None:
    data = np.ascontiguousarray(values).view(np.uint8).data
    with _files.named_errors(file.name):
        while len(data):
            data = data[file.write(data) :]
