"""Missing values: drop lines or fill values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._text import show
from elman.errors import ArgumentError, LimitError, TableError
from elman.files.block import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from elman.files.block import Block

    Where = Callable[[int, int], str]

POLICIES = ("hold", "interpolate", "drop")
WAITING = 1 << 20  # lines that may wait for a value to interpolate to


def check(missing: str | None, argument: str = "missing") -> None:
    """Raise unless `missing` is None or one of `POLICIES`."""
    if not (missing is None or isinstance(missing, str)) or missing not in (None, *POLICIES):
        raise ArgumentError(f"{argument}: expected {', '.join(POLICIES)}, got {show(missing)}")


def without(blocks: Iterable[Block], missing: str, where: Where) -> Iterator[Block]:
    """Yield the lines in the same order, without missing values (NaN).

    Parameters
    ----------
    blocks : iterable of Block
    missing : {"hold", "interpolate", "drop"}
        Repeat the last value of the sequence, interpolate by line number within the sequence, or
        drop the line.
    where : function
        `where(column, line)` returns the place of a value, for messages.

    Raises
    ------
    TableError
        If there is no value to hold or to interpolate from or to.
    LimitError
        If too many lines wait for a value to interpolate to.
    """
    found = {"drop": _known, "hold": _held, "interpolate": _interpolated}[missing](blocks, where)
    yield from (block for block in found if len(block.values))


def _known(blocks: Iterable[Block], _: Where) -> Iterator[Block]:
    for block in blocks:
        yield block.rows(np.flatnonzero(~np.isnan(block.values).any(axis=1)))


def _held(blocks: Iterable[Block], where: Where) -> Iterator[Block]:
    last: dict[str, NDArray[np.float64]] = {}
    for block in blocks:
        values = block.values.copy()
        for key, rows in block.groups().items():
            part = values[rows]
            if key in last:
                part = np.concatenate([last[key][np.newaxis], part])
            known = ~np.isnan(part)
            latest = np.maximum.accumulate(np.where(known, np.arange(len(part))[:, None], -1))
            if (latest < 0).any():
                row, column = np.argwhere(latest < 0)[0]  # of the first block of this key
                line = int(block.lines[rows[row]])
                raise TableError(f"{where(column, line)}: expected a value before it to hold")
            part = np.take_along_axis(part, latest, axis=0)
            values[rows] = part[-len(rows) :]
            last[key] = part[-1]
        yield block._replace(values=values)


def _interpolated(blocks: Iterable[Block], where: Where) -> Iterator[Block]:
    waiting: Block | None = None
    last: dict[str, NDArray[np.float64]] = {}  # the last row of each sequence that was yielded
    for new in blocks:
        block = new if waiting is None else joined([waiting, new])
        values = block.values.copy()
        for key, rows in block.groups().items():
            part = values[rows]
            if np.isnan(part).any():
                values[rows] = _between(part, last.get(key), where, block.lines[rows])
        unknown = np.flatnonzero(np.isnan(values).any(axis=1))
        end = unknown[0] if len(unknown) else len(values)
        block = block._replace(values=values)
        waiting = block.rows(np.arange(end, len(values)))
        if len(waiting.values) > WAITING:
            column = int(np.argmax(np.isnan(values[end])))
            raise LimitError(
                f"{where(column, int(block.lines[end]))}: expected a value to interpolate to within"
                f" {WAITING} lines"
            )
        ready = block.rows(np.arange(end))
        for key, rows in ready.groups().items():
            last[key] = ready.values[rows[-1]]
        yield ready
    if waiting is not None and len(waiting.values):
        column = int(np.argmax(np.isnan(values[end])))
        raise TableError(
            f"{where(column, int(waiting.lines[0]))}: expected a value after it to interpolate to"
        )


def _between(
    part: NDArray[np.float64],
    last: NDArray[np.float64] | None,
    where: Where,
    lines: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Interpolate the gaps of a sequence; a gap at its end remains."""
    filled = part if last is None else np.concatenate([last[np.newaxis], part])
    filled = filled.copy()
    steps = np.arange(len(filled))
    for j, column in enumerate(filled.T):
        known = np.flatnonzero(~np.isnan(column))
        if not len(known) or known[0] > 0:
            raise TableError(
                f"{where(j, int(lines[0]))}: expected a value before it to interpolate from"
            )
        inner = steps[: known[-1] + 1]
        filled[inner, j] = np.interp(inner, known, column[known])
    return filled[-len(part) :]
