"""What a run over stored data consists of: parts, and who reads, runs and writes them.

A run is a list of parts in order, which depends on nothing but the inputs and the options. Parts
are read, run and written in this order; what was committed can therefore be described by a number
of parts, and an interrupted run continues behind them (`elman.files.journal`). Reading, running
and writing overlap (`elman.files.pipeline`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from elman.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]
    Carry: TypeAlias = "dict[str, Array]"

PART = 1 << 22  # bytes of inputs in a part, where memory allows it
MOST_LANES = 256  # parts that are run at a time, each in a thread, whatever the number asked for


@dataclass(frozen=True, slots=True)
class Part:
    """Some sequences of one file, or a piece in time of them.

    Attributes
    ----------
    file : int
        Which file, by its index.
    first, count : int
        The sequences first to first + count - 1 of that file.
    size : int
        Bytes to read, for progress.
    last : bool
        Whether the file ends with this part. Every file has a part, if empty.
    begin, end : int
        The steps of each sequence, where a sequence may be in several parts.
    where : Any
        What else the source needs to find it, such as the number of a row group.
    """

    file: int
    first: int
    count: int
    size: int
    last: bool
    begin: int = 0
    end: int = 0
    where: Any = None


class Span(NamedTuple):
    """Parts that follow one another and are found by arithmetic, the largest first.

    Attributes
    ----------
    number : int
        How many there are.
    size : int
        Bytes to read for all of them.
    part : function
        `part(i)` returns one, for i from 0 to number - 1.
    """

    number: int
    size: int
    part: Callable[[int], Part]


class Parts:
    """All parts of a run, in order, each of which is made when it is asked for.

    A header of a few bytes can claim any number of values, for which there may be none.

    Attributes
    ----------
    size : int
        Bytes to read for all parts.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = list(spans)
        self._ends = list(accumulate(span.number for span in self._spans))
        self.size = sum(span.size for span in self._spans)

    @property
    def largest(self) -> int:
        """The most bytes to read for a part."""
        return max(span.part(0).size for span in self._spans)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Part:
        index = range(len(self))[index]  # raises an IndexError, or counts from the end
        i = bisect_right(self._ends, index)
        span = self._spans[i]
        return span.part(index - self._ends[i] + span.number)

    def __iter__(self) -> Iterator[Part]:
        for span in self._spans:
            yield from map(span.part, range(span.number))


class Bad(NamedTuple):
    """A sequence, or a whole file, that cannot be run.

    Attributes
    ----------
    file : str
    part : str or None
        A part of the file that its users know, such as "row group 3".
    row : int or None
        The index of the sequence (in the part, if there is one), from 0; None for the whole.
    reason : str
        For messages: expected what, got what.
    """

    file: str
    part: str | None
    row: int | None
    reason: str

    def error(self) -> TableError:
        """Return the error to raise if bad sequences are not skipped."""
        where = [self.part, None if self.row is None else f"row {self.row}"]
        named = ", ".join(filter(None, [self.file, *where]))
        return TableError(f"{named}: {self.reason}: skip_bad= (--skip-bad) leaves it out")


def changed(name: str) -> TableError:
    """Return the error for a file that was written to during the run."""
    return TableError(f"{name}: expected a file that does not change, but it did")


class Sequences(NamedTuple):
    """The inputs of a part.

    Attributes
    ----------
    values : array, shape (B, T, I), or (R, I) with offsets
    offsets : array of int, shape (B + 1,), or None
    bad : tuple of (Bad, index)
        The sequences, by their index in the part, whose output will be NaN or left out.
    passed : Any
        What the sink writes beside the outputs, such as columns of Arrow; for arrays, which
        sequences are without outputs.
    buffer : Any
        Memory that `Source.read` gets again when the part has been run.
    lengths : array of int, shape (B,), or None
        The real steps of the whole sequences, if the rest is padding.
    """

    values: Array
    offsets: Array | None = None
    bad: tuple[tuple[Bad, int], ...] = ()
    passed: Any = None
    buffer: Any = None
    lengths: Array | None = None


class Outputs(NamedTuple):
    """The outputs of a part.

    Attributes
    ----------
    output : array or None
        As `Network.run` returns it: (B, T, O), (R, O) with offsets, or (B, O) for the last steps.
        None if the part ends before the last step, and only that is asked for.
    sequences : Sequences
        The inputs; `values` and `buffer` are used for the next part and must not be read.
    ended, steps : int
        The number of sequences that end in this part, and of steps in it, to count; without those
        that are left out.
    bad : tuple of (Bad, index)
        The sequences without outputs.
    carry : dict of str to array, or None
        What the next part needs: states of sequences that are not at their end. Not changed later.
    """

    output: Array | None
    sequences: Sequences
    ended: int
    steps: int
    bad: tuple[tuple[Bad, int], ...] = ()
    carry: Carry | None = None


class Runner(Protocol):
    """Runs parts.

    Attributes
    ----------
    lanes : int
        How many parts may be run at a time, in threads of their own; 1: in order, in the thread of
        the caller, so that a part may need what the one before has left.
    """

    lanes: int

    def run(self, part: Part, data: Sequences, spare: Array | None) -> Outputs:
        """Return the outputs of a part; `spare` is an earlier output to overwrite, or None."""

    def restore(self, carry: Carry) -> None:
        """Go on as after the part that gave this `Outputs.carry`."""


class Source(Protocol):
    """Files of inputs.

    Attributes
    ----------
    paths : list of str
        The files, all of which must be as they were for a run to be continued.
    names : list of str
        The name of the output for each file, relative to a folder; one file may have none.
    lost : list of Bad
        Whole files that are left out, and have no part.
    """

    paths: list[str]
    names: list[str]
    lost: list[Bad]

    def parts(self) -> Parts:
        """Return all parts; cheap, without reading values."""

    def read(self, part: Part, spare: Any) -> Sequences:  # noqa: ANN401
        """Read a part, in a thread of its own, each once, in order, from any part on.

        `spare` is the buffer of an earlier part to overwrite, or None.
        """

    def runner(self, net: Network, outputs: str, threads: int) -> Runner:
        """Return what runs the parts."""

    def close(self) -> None:
        """Close all files."""


class Sink(Protocol):
    """Files of outputs, in a work folder until they are whole.

    All methods but `close` are called in one thread.
    """

    def resume(self, records: list[Any]) -> None:
        """Go on behind the last of these records, the results of all `commit` so far, in order.

        Anything written later is overwritten or cut off. Called once, before `write`; with no
        records at a fresh start.
        """

    def write(self, part: Part, outputs: Outputs) -> None:
        """Write the outputs of a part; arrays must not be kept. Complete the file if it is last."""

    def commit(self) -> Any:  # noqa: ANN401
        """Make all that was written durable; return a record for the journal, JSON-able."""

    def publish(self) -> None:
        """Let the files that are complete and committed appear at their destination.

        Called when the record is durable; after a kill it is called again.
        """

    def close(self) -> None:
        """Close all files."""
