"""`Block`: consecutive lines of a table."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman import _ragged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Block(NamedTuple):
    """Lines of a table, in order."""

    values: NDArray[np.float64]  # (n, width): the inputs in the model's order
    keys: list[str] | None  # (n,), the sequence of each line
    times: list[str] | None  # (n,), the field in the column of times
    lines: NDArray[np.int64]  # (n,), line numbers from 1

    def rows(self, chosen: NDArray[np.int64]) -> Block:
        """Return a selection of the lines."""
        if len(chosen) == len(self.values):
            return self
        return Block(
            self.values[chosen],
            None if self.keys is None else [self.keys[i] for i in chosen],
            None if self.times is None else [self.times[i] for i in chosen],
            self.lines[chosen],
        )

    def groups(self) -> dict[str, NDArray[np.int64]]:
        """Return the rows of each sequence, in order of first appearance."""
        return groups(self.keys, len(self.values))


def joined(blocks: Sequence[Block]) -> Block:
    """Return the lines of all blocks, at least one, as one block."""
    return Block(
        np.concatenate([block.values for block in blocks]),
        _chained([block.keys for block in blocks]),
        _chained([block.times for block in blocks]),
        np.concatenate([block.lines for block in blocks]),
    )


def _chained(columns: Sequence[list[str] | None]) -> list[str] | None:
    known = [column for column in columns if column is not None]
    return list(chain.from_iterable(known)) if len(known) == len(columns) else None


def groups(keys: Sequence[str] | None, count: int) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each sequence, in order of first appearance; "" without keys."""
    if keys is None:
        return {"": np.arange(count)} if count else {}
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, count)
    order, offsets = _ragged.grouped(codes, len(numbers))
    return dict(zip(numbers, np.split(order, offsets[1:-1]), strict=True)) if count else {}
