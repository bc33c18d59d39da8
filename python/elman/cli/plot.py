"""A plot for the terminal: bars for known values, dots for forecasts, and their band."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HEIGHT = 12  # lines of text
GUTTER = 6  # characters for the labels on the left, at least
TICKS = 4  # at least; not all of them are labelled
TICK_SIZES = (1, 2, 2.5, 5, 10)  # times a power of ten
SLIGHT = 0.05  # part of the height: forecasts so far below zero are drawn on the floor
NAN = math.nan


class Style(NamedTuple):
    """The characters of a plot; `bars` range from an empty cell to a full one."""

    bars: str
    dot: str
    band: str
    wall: str
    corner: str
    floor: str


UNICODE = Style(" ▁▂▃▄▅▆▇█", "●", "░", "│", "└", "─")
ASCII = Style(" :", "o", ".", "|", "+", "-")


class Axis(NamedTuple):
    """The vertical axis: its ends, which are multiples of a round number."""

    bottom: float
    top: float

    def height(self, value: float) -> float:
        """Return the height of a value in lines."""
        return (value - self.bottom) / (self.top - self.bottom) * HEIGHT

    def row(self, value: float) -> int:
        """Return the line of a value; 0 is the lowest."""
        return min(max(math.floor(self.height(value)), 0), HEIGHT - 1)


def number(value: float) -> str:
    """Return a value as text."""
    return f"{value:.6g}"


def plot(
    labels: Sequence[str],
    truth: Sequence[float],
    forecast: Sequence[float],
    width: int,
    style: Style,
    band: Sequence[tuple[float, float]] = (),
    name: Callable[[float], str] = number,
) -> list[str]:
    """Return the lines of a plot with a column for each of the last labels that fit `width`.

    Values are NaN where there are none. Columns whose label is "" have none; a label that would
    touch the one before is left out. `band` has the ends of the interval of each column, and `name`
    returns the text of a value beside the axis.
    """
    band = band or [(NAN, NAN)] * len(labels)
    axis = _axis(truth, [*forecast, *chain.from_iterable(band)])
    marks = {
        HEIGHT - 1: axis.top,
        HEIGHT // 2 - 1: (axis.top + axis.bottom) / 2,
        -1: axis.bottom,
    }
    names = {row: name(value) for row, value in marks.items()}
    gutter = max(GUTTER, *map(len, names.values()))
    shown = max(1, width - gutter - 2)
    columns = list(zip(truth, forecast, band, strict=True))[-shown:]
    lines = [
        f"{names.get(row, ''):>{gutter}} {style.wall}"
        + "".join(_cell(row, axis, column, style) for column in columns)
        for row in reversed(range(HEIGHT))
    ]
    floor = f"{names[-1]:>{gutter}} {style.corner}{style.floor * len(columns)}"
    bottom = " " * (gutter + 2) + _below(labels[-shown:])
    return [line.rstrip() for line in (*lines, floor, bottom)]


def _axis(truth: Iterable[float], others: Iterable[float]) -> Axis:
    known = [value for value in truth if not math.isnan(value)]
    values = known + [value for value in others if not math.isnan(value)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if min(known, default=low) >= 0 and -SLIGHT * high <= low < high / 2:
        low = 0.0
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    tick = next(size * power for size in TICK_SIZES if size * power >= rough * (1 - 1e-9))
    return Axis(tick * math.floor(low / tick), tick * math.ceil(high / tick))


def _cell(
    row: int, axis: Axis, column: tuple[float, float, tuple[float, float]], style: Style
) -> str:
    bar, dot, (lower, upper) = column
    if not math.isnan(dot) and axis.row(dot) == row:
        return style.dot
    if not math.isnan(lower) and axis.row(lower) <= row <= axis.row(upper):
        return style.band
    return " " if math.isnan(bar) else _bar(axis.height(bar) - row, style)


def _bar(filled: float, style: Style) -> str:
    """Return the cell filled to this fraction, which may be outside 0 to 1."""
    full = len(style.bars) - 1
    return style.bars[round(min(max(filled, 0.0), 1.0) * full)]


def _below(labels: Sequence[str]) -> str:
    text = ""
    for column, label in enumerate(labels):
        free = not text or len(text) < column
        if label and free and column + len(label) <= len(labels):
            text = text.ljust(column) + label
    return text
