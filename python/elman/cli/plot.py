"""A plot for the terminal: a bar for the value of each year, a dot for its forecast."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 12  # lines of text
GUTTER = 6  # characters for the labels on the left
TICK = 50  # the top of the plot is a multiple of it
LABEL_EVERY = 10  # years


class Style(NamedTuple):
    """The characters of a plot; `bars` range from an empty cell to a full one."""

    bars: str
    dot: str
    wall: str
    corner: str
    floor: str


UNICODE = Style(" ▁▂▃▄▅▆▇█", "●", "│", "└", "─")
ASCII = Style(" :", "o", "|", "+", "-")


def plot(
    years: Sequence[int],
    truth: Sequence[float],
    forecast: Sequence[float],
    width: int,
    style: Style,
) -> list[str]:
    """Return the lines of a plot with one column per year, for the last years that fit `width`.

    Values must be positive; forecasts may be slightly negative.
    """
    shown = max(1, width - GUTTER - 2)
    years, truth, forecast = years[-shown:], truth[-shown:], forecast[-shown:]
    top = TICK * math.ceil(max(1.0, *truth, *forecast) / TICK)
    lines = [_line(row, top, truth, forecast, style) for row in reversed(range(HEIGHT))]
    floor = f"{0:{GUTTER}} {style.corner}{style.floor * len(years)}"
    return [*lines, floor, " " * (GUTTER + 2) + _year_labels(years)]


def _line(
    row: int, top: int, truth: Sequence[float], forecast: Sequence[float], style: Style
) -> str:
    """Return one line of the plot; row 0 is the lowest."""
    label = (
        f"{top * (row + 1) / HEIGHT:{GUTTER}.0f}" if row in (HEIGHT // 2 - 1, HEIGHT - 1) else ""
    )
    cells = (
        style.dot if _row_of(dot, top) == row else _bar(bar * HEIGHT / top - row, style)
        for bar, dot in zip(truth, forecast, strict=True)
    )
    return f"{label:{GUTTER}} {style.wall}{''.join(cells)}".rstrip()


def _row_of(value: float, top: int) -> int:
    return min(max(math.floor(value * HEIGHT / top), 0), HEIGHT - 1)


def _bar(filled: float, style: Style) -> str:
    """Return the cell filled to this fraction, which may be outside 0 to 1."""
    full = len(style.bars) - 1
    return style.bars[round(min(max(filled, 0.0), 1.0) * full)]


def _year_labels(years: Sequence[int]) -> str:
    text = ""
    for column, year in enumerate(years):
        if year % LABEL_EVERY == 0 and column + len(str(year)) <= len(years):
            text = text.ljust(column) + str(year)
    return text
