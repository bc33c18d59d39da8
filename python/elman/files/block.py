"""`Block`: consecutive lines of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
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

    def followed_by(self, other: Block) -> Block:
        """Return the lines of this block and another."""
        return Block(
            np.concatenate([self.values, other.values]),
            None if self.keys is None or other.keys is None else self.keys + other.keys,
            None if self.times is None or other.times is None else self.times + other.times,
            np.concatenate([self.lines, other.lines]),
        )
