"""Tables and small curves in HTML, for values that a notebook shows."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

WIDTH, HEIGHT, POINTS = 160, 32, 80  # of a curve, in pixels, and the most points it has
READ = 1_000_000  # arrays of more numbers are not read: they may lie in a file


class Drawing(str):
    """An element of HTML; a cell with any other text is escaped."""

    __slots__ = ()


def table(names: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as a table, under the names of their columns if there are any."""
    head = "".join(f"<th>{_cell(name)}</th>" for name in names)
    lines = ("".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"


def text(words: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(words)}</p>"


def arrays(named: Mapping[str, NDArray[Any] | None]) -> str:
    """Return a table of arrays: name, shape, smallest and largest number."""
    rows = ((name, "none", "", "") if a is None else _row(name, a) for name, a in named.items())
    return table(("", "shape", "smallest", "largest"), rows)


def curve(values: Sequence[float]) -> Drawing:
    """Return a line through values, on a logarithmic axis if they are all above 0."""
    shown = [value for value in _thinned(values) if math.isfinite(value)]
    if len(shown) < 2:
        return Drawing()
    if min(shown) > 0:
        shown = [math.log(value) for value in shown]
    low, high = min(shown), max(shown)
    right, down = WIDTH / (len(shown) - 1), (HEIGHT - 2) / (high - low or 1)
    points = " ".join(
        f"{i * right:.1f},{1 + (high - value) * down:.1f}" for i, value in enumerate(shown)
    )
    return Drawing(
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{len(values)} values">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
    )


def _cell(value: object) -> str:
    return value if isinstance(value, Drawing) else escape(str(value))


def _row(name: str, array: NDArray[Any]) -> tuple[object, ...]:
    """Return the cells of an array, without its numbers if there are very many."""
    import numpy as np

    if array.size > READ:
        return name, array.shape, "", ""
    numbers = array[np.isfinite(array)]
    smallest, largest = (f"{end(numbers):.4g}" if numbers.size else "" for end in (np.min, np.max))
    others = array.size - numbers.size
    return name, array.shape, smallest, largest + (f" ({others} not finite)" if others else "")


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """Return at most `POINTS` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= POINTS:
        return values
    return [values[round(i * (len(values) - 1) / (POINTS - 1))] for i in range(POINTS)]
