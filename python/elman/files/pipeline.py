"""Read, run and write the parts of a run at the same time, in order.

A thread reads, the calling thread runs the network (whose own threads use all cores), and a thread
writes and commits. What waits between them is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from elman.files.jobs import Outputs, Part, Runner, Sequences, Sink, Source
    from elman.files.journal import Journal

T = TypeVar("T")
SECONDS = 1.0  # between commits


class Counts(NamedTuple):
    """What has been done, since the beginning of a run that was perhaps stopped in between."""

    parts: int = 0
    sequences: int = 0
    steps: int = 0
    bytes: int = 0
    bad: int = 0

    def after(self, part: Part, outputs: Outputs) -> Counts:
        """Return the counts after a part."""
        more = (1, outputs.ended, outputs.steps, part.size, len(outputs.bad))
        return Counts(*(a + b for a, b in zip(self, more, strict=True)))


class Channel(Generic[T]):
    """A bounded queue between two threads, each of which may break off."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Add an item, perhaps after waiting; return False if nobody takes it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._size)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
            return not self._stopped

    def end(self, error: BaseException | None = None) -> None:
        """Say that no item follows; the taker raises the error after the last one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Say that no item will be taken."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error


class Pipeline:
    """One run over the parts of a source.

    Parameters
    ----------
    source, runner, sink
    journal : Journal or None
        None: nothing is committed, as for a pipe.
    skip : bool
        Whether bad sequences are left out; otherwise the first is an error.
    depth : int
        How many outputs may wait to be written.
    """

    def __init__(
        self,
        source: Source,
        runner: Runner,
        sink: Sink,
        journal: Journal | None,
        *,
        skip: bool,
        depth: int,
    ) -> None:
        self._source, self._runner, self._sink = source, runner, sink
        self._journal, self._skip = journal, skip
        self._inputs: Channel[tuple[Part, Sequences]] = Channel(1)
        self._outputs: Channel[tuple[Part, Outputs]] = Channel(depth)
        self._buffers: deque[Any] = deque()
        self._spare: deque[NDArray[Any]] = deque()
        self._failed: BaseException | None = None

    def run(self, parts: Sequence[Part], done: Counts, tell: Callable[[Counts], object]) -> Counts:
        """Run the parts behind those that are done; return the counts at the end."""
        parts = parts[done.parts :]
        reader = threading.Thread(target=self._read, args=(parts,), daemon=True)
        writer = threading.Thread(target=self._write, args=(done,), daemon=True)
        reader.start()
        writer.start()
        try:
            for part, data in self._inputs:
                outputs = self._run(part, data)
                done = done.after(part, outputs)
                if not self._outputs.put((part, outputs)):
                    break
                tell(done)
        finally:
            self._inputs.stop()
            self._outputs.end()
            try:
                writer.join()
                reader.join()
            except BaseException:  # interrupted again: end after the part that is being written
                self._outputs.stop()
                writer.join()
                raise
        if self._failed is not None:
            raise self._failed
        return done

    def _run(self, part: Part, data: Sequences) -> Outputs:
        spare = self._spare.popleft() if self._spare else None
        outputs = self._runner.run(part, data, spare)
        if outputs.bad and not self._skip:
            raise outputs.bad[0][0].error()
        if data.buffer is not None:
            self._buffers.append(data.buffer)
        return outputs

    def _read(self, parts: Sequence[Part]) -> None:
        try:
            for part in parts:
                spare = self._buffers.popleft() if self._buffers else None
                if not self._inputs.put((part, self._source.read(part, spare))):
                    return
            self._inputs.end()
        except BaseException as error:
            self._inputs.end(error)

    def _write(self, done: Counts) -> None:
        try:
            committed, when = done, time.monotonic()
            outputs = None
            for part, outputs in self._outputs:
                self._sink.write(part, outputs)
                done = done.after(part, outputs)
                if self._journal is not None:
                    for bad, _ in outputs.bad:
                        self._journal.add_bad(bad)
                if outputs.output is not None:
                    self._spare.append(outputs.output)
                if time.monotonic() - when > SECONDS:
                    self._commit(done, outputs)
                    committed, when = done, time.monotonic()
            if outputs is not None and committed != done:
                self._commit(done, outputs)
        except BaseException as error:
            self._failed = error
            self._outputs.stop()

    def _commit(self, done: Counts, last: Outputs) -> None:
        if self._journal is not None:
            record = {**done._asdict(), "sink": self._sink.commit()}
            self._journal.append(record, last.carry)
        self._sink.publish()
