"""Run a network over a table: one state per sequence, and the columns of the result."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._container import show
from elman.errors import ArgumentError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.reading import Block, TextSource

    Array = NDArray[Any]

CLASS = "class"  # the name of the column of the most probable class


class Answers(NamedTuple):
    """Rows of the result."""

    keys: list[str] | None
    times: list[str] | None
    output: Array  # (n, O)


def sequence_column(net: Network, given: str | None) -> str | None:
    """Check a column of sequences given beside a network's table; return it.

    "" says that the table is one sequence.

    Raises
    ------
    ArgumentError
        If it contradicts the network's table.
    """
    table = net.table
    if table is None or given is None:
        return given
    if table.sequence is not None and given not in (table.sequence, ""):
        raise ArgumentError(
            f"sequence: expected {show(table.sequence)}, as in the model's table, got {show(given)}"
        )
    if given in table.inputs:
        raise ArgumentError(
            f"sequence: expected a column that is no input of the model, got {show(given)}"
        )
    return given


def require_sequences(net: Network, source: TextSource, given: str | None) -> None:
    """Raise if a table with a header lacks the column of sequences of the network's table.

    As one sequence, the state would run from machine to machine. `given` is "" if that is meant.
    """
    column = given if given is not None else net.table and net.table.sequence
    if column and source.header and source.key is None:
        raise TableError(
            f"{source.name}: expected the column {show(column)}, which says the sequence of each"
            f' line, got {show(list(source.header))}; --sequence "" says that it is one sequence'
        )


def outputs_of(net: Network, outputs: str | None) -> str:
    """Return "all" or "last": as given, or else as in the network's table."""
    if outputs is not None:
        return outputs
    return "all" if net.table is None else net.table.outputs


def column_names(net: Network, key: str | None, time: str | None) -> list[str]:
    """Return the names of the columns of a result: key, time, class, outputs.

    A column before the outputs whose name is taken gets an underscore.
    """
    named = net.table.output_names if net.table is not None else ()
    outputs = list(named or (f"output_{i}" for i in range(1, net.output_size + 1)))
    taken, before = set(outputs), []
    for name in (key, time, CLASS if classes(net) else None):
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


def answers(net: Network, source: TextSource, outputs: str, threads: int = 1) -> Iterator[Answers]:
    """Yield the outputs of each line as the blocks of a table come, or at the end the last ones.

    With "last" nothing but empty rows is yielded before the end, for those who watch.

    The lines of a sequence need not follow each other. Each sequence begins in the network's
    initial state and has the bits of a call for it alone. For networks that run forward, memory
    grows with the number of sequences, not of lines.
    """
    blocks = source.blocks(net.input_size)
    if set(net.directions) != {"forward"}:
        blocks = _as_one(blocks)
    states = _States(net, threads)
    for block in blocks:
        output = states.run(block, outputs)
        if outputs == "all":
            yield Answers(block.keys, block.times, output)
        else:
            yield Answers(None if source.key is None else [], None, output[:0])
    if outputs == "last":
        yield Answers(None if source.key is None else list(states.rows), None, states.last)


def _as_one(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield all blocks as one."""
    parts = list(blocks)
    if parts:
        keys, times = (
            None
            if getattr(parts[0], name) is None
            else list(chain.from_iterable(getattr(part, name) for part in parts))
            for name in ("keys", "times")
        )
        values = np.concatenate([part.values for part in parts])
        yield parts[0]._replace(values=values, keys=keys, times=times)


def sequences(net: Network, source: TextSource) -> list[Array]:
    """Return the inputs (T_i, I) of each sequence of a table, in order of first appearance."""
    (block,) = _as_one(source.blocks(net.input_size))
    if block.keys is None:
        return [block.values]
    order, offsets, _ = _States(net, 1).sorted(block)
    values = block.values if order is None else block.values[order]
    return np.split(values, offsets[1:-1])


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
        order, offsets, rows = self.sorted(block)
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

    def sorted(self, block: Block) -> tuple[Array | None, Array, Array]:
        """Return the lines sorted by sequence (None: they are), their offsets, and its rows."""
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
        """Return the row of each key; new ones begin in the initial state."""
        rows, before = self.rows, len(self.rows)
        places = [rows.setdefault(key, len(rows)) for key in keys]
        if len(rows) > len(self._states):
            grow = max(len(rows), 2 * before) - len(self._states)
            self._states = np.concatenate([self._states, np.tile(self._start, (grow, 1))])
            self._last = np.concatenate(
                [self._last, np.empty((grow, self._last.shape[1]), self._last.dtype)]
            )
        return places
