"""Run a network over a table: a state for each sequence, and the columns of the result."""

from __future__ import annotations

import contextlib
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from elman import _arguments, _frame, _ragged
from elman._network import require_network
from elman._table import Table
from elman._text import plain, show
from elman.errors import ArgumentError, TableError
from elman.files import dates
from elman.files import missing as gaps
from elman.files.block import Block, joined
from elman.files.frame import Frame
from elman.files.reading import TextSource, open_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from elman._files import Path
    from elman._network import Network
    from elman.files.arrays import ArraySource

    Array = NDArray[Any]
    Source: TypeAlias = "TextSource | _FrameSource"

__all__ = ["run_table"]

CLASS = "class"  # the name of the column of the most probable class
INDEX = "index"  # the name of times in an unnamed index of pandas, as in files


def run_table(
    net: Network,
    data: Path | Any,  # noqa: ANN401
    *,
    outputs: str | None = None,
    sequence: str | None = None,
    missing: str | None = None,
    threads: int = 1,
) -> Frame:
    """Run a network over a table, as `elman run` does, and return its outputs with their names.

    The network's table names the columns to read and the column that identifies the sequence of
    each row. Each sequence starts in the network's initial state; its rows need not be adjacent. A
    file is read in blocks: only the result has to fit in memory.

    Parameters
    ----------
    net : Network
    data : path or data frame
        A file of text such as CSV, see `elman.read_table`; or a data frame: an `elman.Frame`, or
        one of pandas, Polars or PyArrow. If the network has no table, the inputs are all columns
        except dates and the sequence.
    outputs : {"all", "last"}, optional
        A row for each step, or for the last step of each sequence; by default as in the network's
        table.
    sequence : str, optional
        The column that identifies the sequence of each row, if the network's table names none. ""
        reads the rows as one sequence if they lack the column that the table names.
    missing : {"hold", "interpolate", "drop"}, optional
        Fill missing inputs with the last value of the sequence, or by interpolation between the
        rows around them, or drop the row. By default they are an error.
    threads : int
        Number of threads, which share the sequences. The bits do not depend on it.

    Returns
    -------
    Frame
        The sequence and the time, if there are such columns (no time with the last outputs);
        `class`, the most probable class ("" if an output is NaN); and the outputs: the probability
        of each class (its logarithm from log_softmax), the targets (`load+1`, `load+2`, ... for
        several steps ahead), or `output_1`, `output_2`, ...

    Raises
    ------
    TableError
        If a column or a value is missing or invalid.
    ArgumentError
        If an argument is invalid, or the sequence contradicts the network's table.

    Examples
    --------
    >>> import elman
    >>> table = elman.Table(inputs=["heat"], targets=["wear"], sequence="machine")
    >>> net = elman.Network(1, 4, 1, seed=0, output_activation="identity", table=table)
    >>> frame = elman.Frame({"machine": ["a", "b", "a"], "heat": [0.5, 0.25, 1.0]})
    >>> result = elman.run_table(net, frame)
    >>> result.columns
    ('machine', 'wear')
    >>> bool((result["wear"][[0, 2]] == net([[0.5], [1.0]])[:, 0]).all())
    True
    """
    require_network(net)
    if outputs is not None:
        _arguments.require_one_of("outputs", outputs, ("all", "last"))
    outputs = outputs_of(net, outputs)
    threads = _arguments.size("threads", threads)
    if _frame.is_frame(data):
        return _result(net, _FrameSource(net, data, sequence, missing), outputs, threads)
    with open_source(net, data, sequence, missing) as source:
        if not isinstance(source, TextSource):
            raise TableError(
                f"{source.name}: expected a table, got an array: call the network with it"
            )
        return _result(net, source, outputs, threads)


class Answers(NamedTuple):
    """Rows of the result."""

    keys: list[Any] | None
    times: list[Any] | None
    output: Array  # (n, O)
    sequences: int = 0  # so far
    steps: int = 0  # since the answers before


@contextlib.contextmanager
def open_source(
    net: Network, path: Path, sequence: str | None, missing: str | None
) -> Iterator[TextSource | ArraySource]:
    """Open a file of inputs; its sequences are those of the network's table.

    Raises
    ------
    ArgumentError
        If the column of sequences contradicts the network's table.
    TableError
        If the file lacks that column: the state would go from one sequence to the next. "" runs the
        file as one sequence.
    """
    if sequence is not None:
        _arguments.name("sequence", sequence)
        if not sequence.isdecimal():  # the number of a column without a header
            require_sequence(net, sequence)
    table, width = net.table, net.input_size
    found = open_table(path, table, sequence=sequence or None, missing=missing, width=width)
    with found as source:
        if isinstance(source, TextSource):
            expected = net.table and net.table.sequence
            if sequence == "" and source.sequence is not None:
                raise ArgumentError(
                    f"sequence: expected {show(source.sequence)}, as in the model's table, got ''"
                )
            if sequence is None and expected and source.sequence is None:
                got = show(list(source.header)) if source.header else "no header"
                raise TableError(
                    f"{source.name}: expected the column {show(expected)}, the sequence of each"
                    f" line, got {got}: for one sequence, pass '' as the column"
                )
        yield source


def require_sequence(net: Network, given: str | None) -> None:
    """Raise if a column of sequences contradicts the network's table."""
    table = net.table
    if given is not None:
        _arguments.name("sequence", given)
    if table is None or not given:
        return
    if table.sequence is not None and plain(given) != plain(table.sequence):
        raise ArgumentError(
            f"sequence: expected {show(table.sequence)}, as in the model's table, got {show(given)}"
        )
    if plain(given) in map(plain, table.inputs):
        raise ArgumentError(
            f"sequence: expected a column that is not an input of the model, got {show(given)}"
        )


def outputs_of(net: Network, outputs: str | None) -> str:
    """Return "all" or "last": as given, or else as in the network's table."""
    if outputs is not None:
        return outputs
    return "all" if net.table is None else net.table.outputs


def column_names(net: Network, sequence: str | None, time: str | None) -> list[str]:
    """Return the names of the columns of a result: sequence, time, class, outputs.

    A column before the outputs whose name is taken gets an underscore.
    """
    named = net.table.output_names if net.table is not None else ()
    outputs = list(named or (f"output_{i}" for i in range(1, net.output_size + 1)))
    taken, before = set(outputs), []
    for name in (sequence, time, CLASS if classes(net) else None):
        if name is not None:
            while name in taken:
                name += "_"
            taken.add(name)
            before.append(name)
    return before + outputs


def classes(net: Network) -> tuple[str, ...]:
    """Return the classes of a classification, else ()."""
    return () if net.table is None else net.table.classes


def class_names(net: Network, output: Array) -> list[str]:
    """Return the most probable class of each row of outputs (N, O); "" where one is NaN."""
    names = np.array([*classes(net), ""], dtype=object)
    best = output.argmax(axis=1)
    best[np.isnan(output).any(axis=1)] = len(names) - 1
    found: list[str] = names[best].tolist()
    return found


def texts(net: Network, answers: Answers) -> list[list[str]]:
    """Return the columns before the outputs."""
    columns = [
        answers.keys,
        answers.times,
        class_names(net, answers.output) if classes(net) else None,
    ]
    return [column for column in columns if column is not None]


def answers(net: Network, source: Source, outputs: str, threads: int = 1) -> Iterator[Answers]:
    """Yield the outputs of each line block by block, or the last outputs at the end.

    With "last", only empty rows are yielded before the end, to show progress.

    The lines of a sequence need not be adjacent. Each sequence starts in the network's initial
    state and has the same bits as in a call of its own. For networks that run forward, memory grows
    with the number of sequences, not of lines.
    """
    blocks = source.blocks(net.input_size)
    if set(net.directions) != {"forward"}:
        blocks = iter([joined(list(blocks))])
    states = _States(net, threads)
    for block in blocks:
        require_range(net, block.values, source, block.lines)
        output = states.run(block, outputs)
        if outputs == "all":
            keys, times = block.keys, block.times
        else:
            keys, times, output = None if source.sequence is None else [], None, output[:0]
        yield Answers(keys, times, output, len(states.rows), len(block.values))
    if outputs == "last":
        keys = None if source.sequence is None else list(states.rows)
        yield Answers(keys, None, states.last, len(states.rows))


def require_range(net: Network, values: Array, source: Source, lines: Array | None = None) -> None:
    """Raise if a number is too large for the network's dtype, in which it would be infinite."""
    most = np.finfo(net.dtype).max
    if values.max() <= most and values.min() >= -most:
        return
    row, column = np.argwhere(~(np.abs(values) <= most))[0]
    where = source.name if lines is None else f"{source.name} {source.unit} {lines[row]}"
    raise TableError(
        f"{where}: expected numbers of {net.dtype}, up to {most:.2g}, got {values[row, column]:g}"
    )


def sequences(net: Network, source: Source) -> list[Array]:
    """Return the inputs (T_i, I) of each sequence of a table, in order of first appearance."""
    block = joined(list(source.blocks(net.input_size)))
    return [block.values[rows] for rows in block.groups().values()]


class _States:
    """The state and the last output of every sequence so far."""

    def __init__(self, net: Network, threads: int) -> None:
        self._net = net
        self._threads = threads
        self.rows: dict[str, int] = {}  # of each sequence, in order of first appearance
        start = np.zeros(net.state_size) if net.initial_state is None else net.initial_state
        self._start = start.astype(net.dtype)
        self._states = np.empty((0, net.state_size), net.dtype)
        self._last = np.empty((0, net.output_size), net.dtype)

    @property
    def last(self) -> Array:
        """The last output of each sequence, (sequences, O)."""
        return self._last[: len(self.rows)]

    def run(self, block: Block, outputs: str) -> Array:
        """Continue the sequences of a block; return the outputs of its lines, or the last ones."""
        order, offsets, rows = self._sorted(block)
        values = block.values if order is None else block.values[order]
        result = self._net.run(
            values,
            state=self._states[rows],
            offsets=offsets,
            outputs=outputs,
            threads=self._threads,
        )
        self._states[rows] = result.state
        if outputs == "last":
            self._last[rows] = result.output
            return result.output
        if order is None:
            return result.output
        output = np.empty_like(result.output)
        output[order] = result.output
        return output

    def _sorted(self, block: Block) -> tuple[Array | None, Array, Array]:
        """Return the order of lines by sequence (None: sorted), offsets, and rows of sequences."""
        count = len(block.values)
        if block.keys is None:
            self._add([""])
            return None, np.array([0, count]), np.array([0])
        keys = np.array(self._add(block.keys))
        order = None
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
        begins = np.flatnonzero(np.diff(keys, prepend=-1))
        return order, np.append(begins, count), keys[begins]

    def _add(self, keys: list[str]) -> list[int]:
        """Return the row of each key; new ones start in the initial state."""
        rows, before = self.rows, len(self.rows)
        places = [rows.setdefault(key, len(rows)) for key in keys]
        if len(rows) > len(self._states):
            grow = max(len(rows), 2 * before) - len(self._states)
            self._states = np.concatenate([self._states, np.tile(self._start, (grow, 1))])
            self._last = np.concatenate(
                [self._last, np.empty((grow, self._last.shape[1]), self._last.dtype)]
            )
        return places


# --- frames ---------------------------------------------------------------------------------------


class _FrameSource:
    """The rows of a data frame as a source of one block, whose times are row numbers."""

    name, unit = "data", "row"

    def __init__(
        self,
        net: Network,
        frame: Any,  # noqa: ANN401
        sequence: str | None,
        missing: str | None,
    ) -> None:
        require_sequence(net, sequence)
        gaps.check(missing)
        self._missing = missing
        self._frame = frame
        self._columns = _frame.Columns("data", frame)
        self._names = [str(name) for name in getattr(frame, "column_names", frame.columns)]
        table = self._table(net.table, sequence)
        self._net = net.replace(table=table)
        self.sequence = table.sequence
        self.time = self._time(table)

    def _table(self, table: Table | None, sequence: str | None) -> Table:
        """Return the network's table, or one for all columns, with this column of sequences."""
        fields = {name: getattr(table or Table(), name) for name in Table.__slots__}
        if sequence is not None:
            fields["sequence"] = sequence or None
        if not fields["inputs"]:
            others = (fields["sequence"], fields["time"])
            fields["inputs"] = [
                name for name in self._names if name not in others and not self._is_time(name)
            ]
        return Table(**fields)

    def _time(self, table: Table) -> str | None:
        """Return the column of times: the table's, or else the first, in the index too."""
        if table.time is not None and self._columns.has(table.time):
            return str(self._columns.find(table.time))
        others = (*table.inputs, table.sequence)
        names = [name for name in (*self._names, *self._columns.index) if name not in others]
        if INDEX not in self._names and self._unnamed_index() is not None:
            names.append(INDEX)
        return next(filter(self._is_time, names), None)

    def _unnamed_index(self) -> Any:  # noqa: ANN401
        index = getattr(self._frame, "index", None)  # a method in other libraries
        return None if callable(index) or getattr(index, "name", "") is not None else index

    def _is_time(self, name: str) -> bool:
        return np.asarray(self._given(name)).dtype.kind == "M"

    def _given(self, name: str) -> Any:  # noqa: ANN401
        index = self._unnamed_index()
        whole = name == INDEX and index is not None
        return _frame.local_times(index if whole else self._columns.given(name))

    def times(self, rows: list[int]) -> Array:
        """Return the times of rows."""
        assert self.time is not None
        column = np.asarray(self._given(self.time))[rows]
        return column if column.dtype.kind in "MU" else np.array(list(map(str, column)), object)

    def blocks(self, width: int) -> Iterator[Block]:
        """Yield all rows."""
        values, _ = _frame.read(self._net, "data", self._frame, "all", with_gaps=True)
        keys: list[Any] | None = None
        if isinstance(values, _ragged.Rows):
            numbers = np.empty(len(values.order), np.int64)
            numbers[values.order] = np.repeat(np.arange(len(values.keys)), values.lengths)
            keys = [values.keys[number] for number in numbers]
            values = values.values
        values = np.asarray(values, np.float64)
        if not len(values):
            raise TableError("data: expected rows, got none")
        rows = np.arange(len(values))
        times: Any = rows.tolist()
        blocks: Iterable[Block] = [Block(values, keys, times, rows)]
        if self._missing is not None:
            blocks = list(gaps.without(blocks, self._missing, self._where))
            if not blocks:
                raise TableError("data: expected rows without missing values, got none")
        else:
            self._require_numbers(values)
        yield from blocks

    def _where(self, column: int, row: int) -> str:
        table = self._net.table
        assert table is not None
        return f"data[{show(table.input_names[column])}] row {row}"

    def _require_numbers(self, values: Array) -> None:
        wrong = np.argwhere(np.isnan(values))
        if len(wrong):
            row, column = wrong[0]
            raise TableError(
                f"{self._where(column, row)}: expected a number, got a missing value; missing="
                " says what to do"
            )


def _result(net: Network, source: Source, outputs: str, threads: int) -> Frame:
    """Return the answers as a Frame."""
    pieces = list(answers(net, source, outputs, threads))
    columns: list[Any] = []
    if source.sequence is not None:
        columns.append(_keys(list(chain.from_iterable(piece.keys or () for piece in pieces))))
    time = source.time if outputs == "all" else None
    if time is not None:
        times = list(chain.from_iterable(piece.times or () for piece in pieces))
        columns.append(source.times(times) if isinstance(source, _FrameSource) else _times(times))
    output = np.concatenate([piece.output for piece in pieces])
    if classes(net):
        columns.append(class_names(net, output))
    names = column_names(net, source.sequence, time)
    return Frame(dict(zip(names, [*columns, *output.T], strict=True)))


def _keys(keys: list[Any]) -> Array | list[Any]:
    """Return sequence names; other types than numbers, texts and dates become texts."""
    if all(isinstance(key, int | float | str) for key in keys):
        return keys
    if all(isinstance(key, date) and getattr(key, "tzinfo", None) is None for key in keys):
        return np.array(keys, "datetime64[us]")
    return list(map(str, keys))


def _times(fields: Sequence[str]) -> Array:
    """Return times, or the fields as text if the dates are ambiguous."""
    try:
        return dates.parse(fields, str)
    except TableError:
        return np.array(fields, object)
