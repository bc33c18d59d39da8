"""Arrays in NPY files, read part by part."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._text import printable
from elman.errors import ElmanError, LimitError, TableError
from elman.files import jobs
from elman.files.jobs import Bad, Outputs, Part, Parts, Sequences, Span, changed
from elman.files.lengths import Lengths
from elman.files.opening import expanding, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.inputs import Input
    from elman.files.jobs import Carry, Runner
    from elman.files.opening import Opened

    Array = NDArray[Any]

FEW = 16  # a part has at least so many whole sequences; longer ones are run in pieces of time
LANES = 2  # parts that are run at a time if there is memory for them; more if it is left
MANY = 64  # sequences that are run together in pieces of time
LONGER = 4  # times as large are parts in pieces, since each sequence is read and written by itself


class Header(NamedTuple):
    """What the beginning of an NPY file says.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    fortran : bool
    begin : int
        The position of the first value.
    in_order : bool
        Whether values can only be read one after another, as those of a compressed file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    begin: int
    in_order: bool

    @property
    def sequences(self) -> int:
        """The number of sequences, 1 for an array (T, I)."""
        return math.prod(self.shape[:-2])

    @property
    def steps(self) -> int:
        """T."""
        return self.shape[-2]

    @property
    def size(self) -> int:
        """The bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: Opened, width: int) -> Header:
    """Read the header of an NPY file; raise a TableError if it is not an array (..., T, width)."""
    count = 0

    def read(size: int) -> bytes:
        nonlocal count
        data = file.read(size)
        count += len(data)
        return data

    try:
        reader: Any = SimpleNamespace(read=read)
        version = np.lib.format.read_magic(reader)
        read_array_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, fortran, dtype = read_array_header(reader)
        np.empty(0, dtype)
    except (ElmanError, OSError):
        raise
    except Exception as error:  # NumPy raises many types for a damaged header
        raise damaged(file.name, printable(str(error))) from error
    if dtype.kind not in "buif":
        raise TableError(f"{file.name}: expected an NPY file of numbers, got {dtype}")
    if len(shape) < 2 or shape[-1] != width:
        raise TableError(f"{file.name}: expected (..., T, {width}), got {shape}")
    most = sys.maxsize // dtype.itemsize  # of an array of NumPy, with 1 instead of 0
    integers = all(type(size) is int and size >= 0 for size in shape)
    if not integers or math.prod(size or 1 for size in shape) > most:
        raise damaged(file.name, f"shape {shape}")
    header = Header(shape, dtype, fortran, count, file.path is None)
    if file.most is not None and header.size > file.most:
        raise expanding(file.name)
    return header


def damaged(name: str, got: str) -> TableError:
    """Return the error for a damaged file."""
    return TableError(f"{name}: expected an NPY file of numbers, got a damaged one: {got}")


class NpyReader:
    """An open NPY file, whose values are read forwards, wherever they come from."""

    def __init__(self, file: Opened, header: Header) -> None:
        self.name, self.header = file.name, header
        self._read = file.read
        self._at = header.begin  # where the source stands, if it cannot be positioned
        self._file = None if file.path is None else open(file.path, "rb", buffering=0)  # noqa: SIM115
        self._path = file.path
        self._whole: Array | None = None
        if self._file is not None:
            self._status = os.fstat(self._file.fileno())
            if self._status.st_size < header.begin + header.size:
                self._file.close()
                raise damaged(self.name, "fewer values than its shape says")

    def into(self, memory: Array, first: int) -> None:
        """Fill an array of bytes from this one of the file's values on, in C order."""
        self._seek(self.header.begin + first * self.header.dtype.itemsize)
        view = memory.data
        while len(view):
            count = self._into(view)
            if not count:
                raise damaged(self.name, "fewer values than its shape says")
            self._at += count
            view = view[count:]

    def fortran(self, rows: slice, steps: slice) -> Array:
        """Return sequences of an array in Fortran order.

        A file is mapped again for each part, so that its pages do not stay in memory.
        """
        header = self.header
        whole: Array
        if self._path is not None:
            whole = np.memmap(self._path, header.dtype, "r", header.begin, header.shape, order="F")
        elif self._whole is None:
            memory = np.empty(header.size, np.uint8)
            self.into(memory, 0)
            self._whole = whole = memory.view(header.dtype).reshape(header.shape, order="F")
        else:
            whole = self._whole
        shape = header.shape
        if len(shape) == 2:
            return np.array(whole[np.newaxis, steps], order="C")
        numbers = np.unravel_index(np.arange(rows.start, rows.stop), shape[:-2])
        place: Any = (*numbers, steps)
        return np.array(whole[place], order="C")

    def require_unchanged(self) -> None:
        """Raise a TableError if the file was written to since it was opened."""
        if self._file is not None:
            status = os.fstat(self._file.fileno())
            if status.st_mtime_ns != self._status.st_mtime_ns:
                raise changed(self.name)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _into(self, view: memoryview) -> int:
        if self._file is not None:
            return self._file.readinto(view)
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def _seek(self, position: int) -> None:
        if self._file is not None:
            self._file.seek(position)
        assert self._file is not None or self._at <= position
        while self._at < position and self._file is None:
            data = self._read(min(position - self._at, jobs.PART))
            if not data:
                raise damaged(self.name, "fewer values than its shape says")
            self._at += len(data)


class Plan(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    memory : int
        Bytes for everything that is in memory at a time.
    threads : int
        How many processors may be used.
    in_order : bool
        Whether parts follow the order of the file even if a sequence is run in pieces.
    last : bool
        Whether only the last outputs are asked for.
    finite : bool
        Whether a number that is not finite is an error.
    skip : bool
        Whether a bad file is left out.
    whole : bool
        Whether a sequence must not be run in pieces of time.
    kept : int
        How many outputs wait or are written, beside those of the lanes.
    """

    memory: int
    threads: int
    in_order: bool
    last: bool
    finite: bool
    skip: bool
    whole: bool = False
    kept: int = 2


def cost(net: Network, header: Header, lanes: int, kept: int) -> int:
    """Return the bytes of a step in memory: each lane runs a part, and two more are read or wait.

    `kept` more outputs wait or are written. A lane has the inputs in the network's dtype, too, and
    the states of a layer that reads in reverse.
    """
    item = net.dtype.itemsize
    reverse = set(net.directions) != {"forward"}
    converted = 0 if header.dtype == net.dtype else net.input_size
    states = 2 * net.state_size if reverse else 0
    read = (lanes + 2) * header.dtype.itemsize * net.input_size
    return read + item * ((lanes + kept) * net.output_size + lanes * (converted + states))


def planned(net: Network, header: Header, plan: Plan) -> int:
    """Return for how many lanes memory is divided: one if parts are pieces in time.

    It does not depend on the threads, with which the parts of an interrupted run would change.
    """
    together = cost(net, header, LANES, plan.kept)
    if not _divisible(net, plan):
        return LANES if plan.memory >= together * header.steps else 1
    part = min(plan.memory // together, _usual(net, header))
    return LANES if part >= header.steps * min(header.sequences, FEW) else 1


def _divisible(net: Network, plan: Plan) -> bool:
    """Return whether sequences may be run in pieces of time."""
    return not plan.whole and set(net.directions) == {"forward"}


def _usual(net: Network, header: Header) -> int:
    """Return the steps of a part if memory allows it."""
    return max(1, jobs.PART // (net.input_size * header.dtype.itemsize))


def divided(net: Network, name: str, header: Header, plan: Plan, lanes: int) -> tuple[int, int]:
    """Return how many sequences, and steps of each, a part has.

    Raises
    ------
    LimitError
        If the memory does not suffice.
    """
    steps, memory = header.steps, plan.memory
    if not header.sequences:
        return 1, steps
    if header.fortran and header.in_order and header.size > memory:
        raise LimitError(
            f"memory: expected at least {header.size} bytes for all of {name}, which is"
            f" compressed and in Fortran order, got {memory}"
        )
    forward = _divisible(net, plan)
    each = cost(net, header, lanes, plan.kept)
    least = each * (1 if forward else max(1, steps))
    if memory < least:
        how = "is a row of Parquet" if plan.whole else "is read in reverse"
        what = "a step" if forward else f"a sequence of {steps} steps, which {how},"
        raise LimitError(
            f"memory: expected at least {least} bytes for {what} of {name}, got {memory}"
        )
    most = memory // each
    part = min(most, _usual(net, header))
    if not steps and plan.whole and header.sequences * 8 > memory:
        raise LimitError(
            f"memory: expected at least {header.sequences * 8} bytes for the empty rows of {name},"
            f" got {memory}"
        )
    if not steps:
        return header.sequences, 0
    if not forward:
        return max(1, part // steps, min(FEW, most // steps)), steps
    if plan.in_order or header.in_order or part // steps >= min(header.sequences, FEW):
        count = max(1, part // steps)
        return count - count % FEW if count > FEW else count, min(steps, part)
    together = min(header.sequences, MANY, part)
    return together, min(steps, max(1, min(most, LONGER * part) // together))


def pieces(net: Network, file: int, name: str, header: Header, plan: Plan, lanes: int) -> Span:
    """Return the parts of a file."""
    count, steps = divided(net, name, header, plan, lanes)
    total, per_step = header.sequences, net.input_size * header.dtype.itemsize
    down = max(1, -(-total // count))
    along = -(-header.steps // steps) if steps else 1

    def part(number: int) -> Part:
        row, column = divmod(number, along)
        first, begin = row * count, column * steps
        rows, end = min(count, total - first), min(begin + steps, header.steps)
        last = number == down * along - 1
        return Part(file, first, rows, rows * (end - begin) * per_step, last, begin, end)

    return Span(down * along, header.size, part)


class NpySource:
    """NPY files with arrays (..., T, I); see `jobs.Source`.

    Parameters
    ----------
    net, inputs, plan
    given : Opened, optional
        The only file, if it is open already, as standard input.
    lengths : str, optional
        The file with the numbers of real steps of the only file's sequences.
    """

    def __init__(
        self,
        net: Network,
        inputs: Sequence[Input],
        plan: Plan,
        given: Opened | None = None,
        lengths: str | None = None,
    ) -> None:
        self.lost: list[Bad] = []
        self.paths: list[str] = []
        self.names: list[str] = []
        self.headers: list[Header] = []
        self._net, self._plan = net, plan
        self._stack = contextlib.ExitStack()
        self._open: tuple[int, NpyReader] | None = None
        for found in inputs:
            try:
                header = self._header(found.path, given)
            except TableError as error:
                if not plan.skip or len(inputs) == 1:
                    raise
                name = printable(found.path)
                self.lost.append(Bad(name, None, None, str(error).removeprefix(f"{name}: ")))
            else:
                self.paths.append(found.path)
                self.names.append(found.name)
                self.headers.append(header)
        if not self.headers:
            raise self.lost[0].error()
        self._lengths: Lengths | None = None
        try:
            self._planned = min(planned(net, header, plan) for header in self.headers)
            self.lanes = 1 if self._planned == 1 else self._fitting()
            if lengths is not None:
                shape = self.headers[0].shape[:-2]
                self._lengths = Lengths(lengths, printable(self.paths[0]), shape)
                self.paths.append(lengths)  # behind those of the headers
        except BaseException:
            self.close()
            raise

    def parts(self) -> Parts:
        """Return the parts of all files."""
        found = enumerate(zip(self.paths, self.headers, strict=False))
        return Parts(
            pieces(self._net, file, printable(path), header, self._plan, self._planned)
            for file, (path, header) in found
        )

    def read(self, part: Part, spare: Any) -> Sequences:  # noqa: ANN401
        """Read a part into memory that is used again."""
        reader = self._reader(part.file)
        header, steps = reader.header, part.end - part.begin
        lengths = None
        if self._lengths is not None and part.size:
            lengths = self._lengths.read(part.first, part.count)
        if header.fortran:
            rows = slice(part.first, part.first + part.count)
            return Sequences(reader.fortran(rows, slice(part.begin, part.end)), lengths=lengths)
        if spare is None or spare.nbytes < part.size:
            spare = np.empty(part.size, np.uint8)
        memory, width = spare[: part.size], header.shape[-1]
        if steps == header.steps:
            reader.into(memory, part.first * steps * width)
        else:
            for row, place in enumerate(memory.reshape(part.count, -1)):
                reader.into(place, ((part.first + row) * header.steps + part.begin) * width)
        if part.last:
            reader.require_unchanged()
        values = memory.view(header.dtype).reshape(part.count, steps, width)
        return Sequences(values, lengths=lengths, buffer=spare)

    def runner(self, net: Network, outputs: str, threads: int) -> Runner:
        """Return what runs the parts."""
        return NpyRunner(net, self, outputs, threads, finite=self._plan.finite)

    def close(self) -> None:
        """Close all files."""
        if self._open is not None:
            self._open[1].close()
        self._stack.close()

    def _fitting(self) -> int:
        """Return how many of the parts may be run at a time."""
        lanes = min(self._plan.threads, jobs.MOST_LANES)
        for path, header in zip(self.paths, self.headers, strict=True):
            count, steps = divided(self._net, path, header, self._plan, self._planned)
            size, plan = count * steps, self._plan
            while lanes > 1 and cost(self._net, header, lanes, plan.kept) * size > plan.memory:
                lanes -= 1
        return lanes

    def _header(self, path: str, given: Opened | None) -> Header:
        if given is None and os.path.exists(path) and not os.path.isfile(path):
            raise TableError(f"{printable(path)}: expected a regular file")
        with contextlib.nullcontext(given) if given is not None else opened(path) as file:
            if not file.is_array:
                raise TableError(f"{file.name}: expected an NPY file, got text")
            header = read_header(file, self._net.input_size)
            if self._plan.last and not header.steps:
                raise TableError(f"{file.name}: expected at least one step, got {header.shape}")
            reader = NpyReader(file, header)
            if given is not None:
                self._open = (0, reader)
            else:
                reader.close()
        return header

    def _reader(self, file: int) -> NpyReader:
        if self._open is None or self._open[0] != file:
            self.close()
            opening = self._stack.enter_context(opened(self.paths[file]))
            header = read_header(opening, self._net.input_size)
            if header != self.headers[file]:
                raise changed(opening.name)
            self._open = (file, NpyReader(opening, header))
        return self._open[1]


class NpyRunner:
    """Runs arrays; a sequence in several pieces goes on in its state."""

    def __init__(
        self, net: Network, source: NpySource, outputs: str, threads: int, *, finite: bool
    ) -> None:
        self._net, self._source = net, source
        self.lanes = source.lanes
        self._outputs, self._finite = outputs, finite
        self._threads = 1 if self.lanes > 1 else threads
        self._carry: Carry = {}

    def restore(self, carry: Carry) -> None:
        """Go on in the middle of sequences."""
        self._carry = carry

    def run(self, part: Part, data: Sequences, spare: Array | None) -> Outputs:
        """Run a part."""
        if not part.size:  # of any number of sequences or steps, as their memory is not bounded
            nothing = np.empty((0, self._net.output_size), self._net.dtype)
            return Outputs(nothing, data, part.count, 0)
        ends = part.end == self._source.headers[part.file].steps
        state = self._carry["state"] if part.begin else None
        lost = self._carry["lost"].copy() if part.begin else np.zeros(part.count, bool)
        steps = part.end - part.begin
        out = None
        if self._outputs == "all":
            shape = (part.count, steps, self._net.output_size)
            out = _reused(spare, shape, self._net.dtype)
        total = self._source.headers[part.file].steps
        whole = np.full(part.count, total) if data.lengths is None else data.lengths.clip(0, total)
        real = (whole - part.begin).clip(0, steps)
        found = sorted(self._bad(part, data, real).items())
        bad = [(reason, row) for row, reason in found if not lost[row]]
        for _, row in bad:
            lost[row] = True
        data.values[lost] = real[lost] = 0
        result = self._net.run(
            data.values,
            state=state,
            lengths=None if data.lengths is None else real,
            outputs=self._outputs,
            threads=self._threads,
            out=out,
        )
        output = result.output
        carry = {"state": result.state, "lost": lost}
        if data.lengths is not None and self._outputs == "last":
            if part.begin:  # some sequences have ended in a part before
                output = np.where(real[:, np.newaxis] > 0, output, self._carry["output"])
            carry["output"] = output
        output[lost] = np.nan
        if part.begin or not ends:
            self._carry = {} if ends else carry
        before = sum(min(int(whole[row]), part.begin) for _, row in bad)  # steps counted in vain
        return Outputs(
            output if ends or self._outputs == "all" else None,
            data._replace(passed=lost),
            part.count - int(lost.sum()) if ends else 0,
            int(real.sum()) - before,
            tuple(bad),
            None if ends else carry,
        )

    def _bad(self, part: Part, data: Sequences, real: Array) -> dict[int, Bad]:
        """Return the sequences that cannot be run, of which these steps are real."""
        header, name = self._source.headers[part.file], printable(self._source.paths[part.file])
        found = self._infinite(part, data.values, real)
        if data.lengths is not None:
            wrong = (data.lengths < 0) | (data.lengths > header.steps)
            for row in np.flatnonzero(wrong).tolist():
                got = data.lengths[row]
                found[row] = f"lengths: expected 0 to T = {header.steps}, got {got}"
        number = part.first if len(header.shape) > 2 else None
        return {
            row: Bad(name, None, None if number is None else number + row, reason)
            for row, reason in found.items()
        }

    def _infinite(self, part: Part, values: Array, real: Array) -> dict[int, str]:
        """Return the sequences with a number that is not finite in the network's dtype."""
        if not self._finite or values.dtype.kind != "f" or not values.size:
            return {}
        narrow = min(self._net.dtype, values.dtype, key=lambda dtype: dtype.itemsize)
        most = float(np.finfo(narrow).max)
        if values.max() <= most and values.min() >= -most:
            return {}
        found = {}
        for row, (sequence, steps) in enumerate(zip(values, real, strict=True)):
            wrong = np.argwhere(~(np.abs(sequence[:steps]) <= most))
            if len(wrong):
                step, column = wrong[0]
                found[row] = (
                    f"step {part.begin + step}, input {column}: expected a finite number of"
                    f" {self._net.dtype}, got {sequence[step, column]}"
                )
        return found


def _reused(spare: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array in memory that is free, if it suffices."""
    size = math.prod(shape)
    if spare is None or spare.size < size:
        return np.empty(shape, dtype)
    return spare.reshape(-1)[:size].reshape(shape)
