"""A heat map for the terminal: a line for each row, a character for each column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

UNICODE, ASCII = "·░▒▓█", ".:-=+*#%@"  # from low to high
UNKNOWN = " "
HEIGHT = 24  # lines, at most


def heatmap(
    values: Array, names: Sequence[str], limits: tuple[float, float], width: int, shades: str
) -> list[str]:
    """Return the lines of a heat map of values (rows, columns), NaN where there are none.

    More rows than 24, or columns than fit `width`, are drawn as the means of neighbours; a line of
    several rows has the name of its first.
    """
    rows = rows_for(names)
    gutter = _gutter(names)
    cells = _means(_means(values, rows).T, every(values.shape[1], names, width)).T
    lines = []
    for row, line in enumerate(cells):
        text = "".join(_shade(value, limits, shades) for value in line)
        lines.append(f"{names[row * rows]:>{gutter - 2}}  {text}".rstrip())
    return lines


def rows_for(names: Sequence[str]) -> int:
    """Return how many rows are drawn as one line."""
    return -(-len(names) // HEIGHT) or 1


def every(count: int, names: Sequence[str], width: int) -> int:
    """Return how many of `count` columns are drawn as one."""
    return max(1, -(-count // max(1, width - _gutter(names))))


def _gutter(names: Sequence[str]) -> int:
    return max(map(len, names), default=0) + 2


def _means(values: Array, every: int) -> Array:
    """Return the means of the known values of so many neighbouring rows."""
    if every == 1:
        return values
    groups = np.arange(0, len(values), every)
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(int), groups, axis=0)
    sums = np.add.reduceat(np.where(known, values, 0.0), groups, axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _shade(value: float, limits: tuple[float, float], shades: str) -> str:
    if not np.isfinite(value):
        return UNKNOWN
    low, high = limits
    part = (value - low) / (high - low) if high > low else 0.5
    return shades[min(int(part * len(shades)), len(shades) - 1)]
