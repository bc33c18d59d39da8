"""Read, run and write the parts of a run at the same time, in order.

A thread reads, the calling thread and others run the network on a part each (or on one part, by the
network's own threads, if a part needs the one before), and a thread writes and commits. What waits
between them is bounded. Running one part after the other by the network's threads, which wait for
each other, gave 0.9 of the throughput on an idle machine and half of it on one with other work.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from elman.files.jobs import Outputs, Part, Parts, Runner, Sequences, Sink, Source
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
    """A bounded queue of numbered items between threads, each of which may break off.

    Items are taken in the order of their numbers, in whatever order they come.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: dict[int, T] = {}
        self._taken = 0
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._cut = sys.maxsize

    def put(self, number: int, item: T) -> bool:
        """Add an item, perhaps after waiting; return False if nobody takes it any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or number >= self._cut or number < self._taken + self._size
            )
            wanted = not self._stopped and number < self._cut
            if wanted:
                self._items[number] = item
                self._changed.notify_all()
            return wanted

    def end(self) -> None:
        """Say that no item follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self, number: int) -> None:
        """Say that this item will not come, so that those behind it are of no use."""
        with self._changed:
            self._cut = min(self._cut, number)
            self._changed.notify_all()

    def stop(self) -> None:
        """Say that no item will be taken."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[tuple[int, T]]:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._taken in self._items or self._ended or self._stopped
                )
                if self._taken not in self._items:
                    break
                number, item = self._taken, self._items.pop(self._taken)
                self._taken += 1
                self._changed.notify_all()
            yield number, item


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
        self._done = Counts()
        self._counting = threading.Lock()
        self._errors: list[tuple[int, BaseException]] = []  # the part, and what happened there
        self._failed: BaseException | None = None

    def run(self, parts: Parts, done: Counts, tell: Callable[[Counts], object]) -> Counts:
        """Run the parts behind those that are done; return the counts at the end."""
        self._done = done
        reader = threading.Thread(target=self._read, args=(parts, done.parts), daemon=True)
        lanes = [
            threading.Thread(target=self._run, args=(_silent,), daemon=True)
            for _ in range(self._runner.lanes - 1)
        ]
        writer = threading.Thread(target=self._write, args=(done,), daemon=True)
        for thread in (reader, *lanes, writer):
            thread.start()
        try:
            self._run(tell)
        finally:
            self._inputs.stop()
            try:
                for lane in lanes:
                    lane.join()
                reader.join(SECONDS)  # not for long: a pipe may give nothing
                self._outputs.end()
                writer.join()
            except BaseException:  # interrupted again: end after the part that is being written
                self._outputs.stop()
                writer.join()
                raise
        if self._errors:
            raise min(self._errors, key=lambda each: each[0])[1]
        if self._failed is not None:
            raise self._failed
        if self._runner.lanes > 1:
            tell(self._done)  # of all lanes
        return self._done

    def _run(self, tell: Callable[[Counts], object]) -> None:
        """Run parts until there are no more; `run` raises the first error of all threads."""
        number = 0
        try:
            for number, (part, data) in self._inputs:
                outputs = self._run_part(part, data)
                with self._counting:
                    self._done = done = self._done.after(part, outputs)
                if not self._outputs.put(number, (part, outputs)):
                    break
                tell(done)
        except BaseException as error:
            self._outputs.cut(number)
            if not isinstance(error, Exception):
                raise  # an interrupt, in the calling thread
            self._errors.append((number, error))
        finally:
            self._inputs.stop()

    def _run_part(self, part: Part, data: Sequences) -> Outputs:
        spare = _popped(self._spare)
        outputs = self._runner.run(part, data, spare)
        if outputs.bad and not self._skip:
            raise outputs.bad[0][0].error()
        if data.buffer is not None:
            self._buffers.append(data.buffer)
        return outputs

    def _read(self, parts: Parts, begin: int) -> None:
        try:
            for number in range(len(parts) - begin):
                part = parts[begin + number]
                spare = _popped(self._buffers)
                if not self._inputs.put(number, (part, self._source.read(part, spare))):
                    return
        except Exception as error:
            self._errors.append((len(parts), error))  # after those of the parts before
        finally:
            self._inputs.end()

    def _write(self, done: Counts) -> None:
        try:
            committed, when = done, time.monotonic()
            outputs = None
            for _, (part, outputs) in self._outputs:
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


def _popped(memory: deque[Any]) -> Any:  # noqa: ANN401
    """Return one of several, or None; another thread may take the last one."""
    try:
        return memory.popleft()
    except IndexError:
        return None


def _silent(done: Counts) -> None:
    """Tell nothing."""
