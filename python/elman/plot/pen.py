"""Drawing of diagrams: boxes, circles, arrows and words at places in the units of a diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from elman.plot import paper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from elman._typing import Array

    Point = tuple[float, float]

STRIP = (0.1, 0.24)  # half the width and height of a column of values
FONT = 10.0  # points
HEAD = 9.0  # points: the size of an arrow's head


class Pen:
    """Draws on axes without a frame, whose units are equally long in both directions.

    `unit` is the length in inches for which letters have their full size; where there is less space
    they are smaller.
    """

    def __init__(self, ax: Axes, x: Point, y: Point, unit: float) -> None:
        self._ax = ax
        width, height = paper.inches_of(ax)
        self._size = min(1.0, width / (x[1] - x[0]) / unit, height / (y[1] - y[0]) / unit)
        ax.set(xlim=x, ylim=y, aspect="equal")
        ax.set_axis_off()

    def text(
        self,
        at: Point,
        words: str,
        *,
        align: str = "left",
        size: float | None = None,
        **look: Any,  # noqa: ANN401
    ) -> None:
        """Write words that begin or are centred at a place."""
        look = {"color": paper.INK, **look, "fontsize": (size or FONT) * self._size}
        text = self._ax.text(*at, words, ha=align, va="center", **look)
        text.set_in_layout(False)  # it is inside of the limits

    def circle(self, at: Point, words: str, *, radius: float = 0.24, dashed: bool = False) -> None:
        """Draw a circle with words in it."""
        self._ax.add_patch(Circle(at, radius, **_outline(dashed)))
        self.text(at, words, align="center")

    def square(self, at: Point, words: str, *, radius: float = 0.24, dashed: bool = False) -> None:
        """Draw a square with words in it."""
        corner = (at[0] - radius, at[1] - radius)
        self._ax.add_patch(Rectangle(corner, 2 * radius, 2 * radius, **_outline(dashed)))
        self.text(at, words, align="center")

    def box(self, at: Point, words: str, width: float, *, size: float | None = None) -> None:
        """Draw a rounded box with words in it."""
        corner = (at[0] - width / 2, at[1] - 0.2)
        rounded = "round,pad=0,rounding_size=0.08"
        box = FancyBboxPatch(corner, width, 0.4, boxstyle=rounded, **_outline(False))
        self._ax.add_patch(box)
        self.text(at, words, align="center", size=size or FONT - 1)

    def strip(self, at: Point, values: Array, ends: Point, words: str) -> None:
        """Draw a column of values, the first on top, with words beside it."""
        (x, y), (half, tall) = at, STRIP
        corners = (x - half, x + half, y - tall, y + tall)
        shades: paper.Look = {"cmap": paper.VALUES, "vmin": ends[0], "vmax": ends[1]}
        image = self._ax.imshow(values[:, np.newaxis], extent=corners, zorder=2, **shades)
        image.set_interpolation("nearest")
        frame: paper.Look = {**_outline(False), "facecolor": "none", "linewidth": 0.8, "zorder": 3}
        self._ax.add_patch(Rectangle((x - half, y - tall), 2 * half, 2 * tall, **frame))
        self.text((x + half + 0.05, y + tall), words)

    def ground(self, low: Point, high: Point) -> None:
        """Colour the ground of a group."""
        size = high[0] - low[0], high[1] - low[1]
        rounded = "round,pad=0,rounding_size=0.15"
        self._ax.add_patch(
            FancyBboxPatch(
                low, *size, boxstyle=rounded, facecolor=paper.PAPER, linewidth=0, zorder=0
            )
        )

    def dot(self, at: Point) -> None:
        """Draw a point where lines meet."""
        self._ax.add_patch(Circle(at, 0.04, color=paper.FAINT, zorder=3))

    def line(self, points: Sequence[Point]) -> None:
        """Draw a line through points."""
        self._ax.plot(*zip(*points, strict=True), color=paper.FAINT, linewidth=1.2, zorder=1)

    def arrow(
        self,
        points: Sequence[Point],
        *,
        color: str = paper.INK,
        linestyle: Any = "-",  # noqa: ANN401
        width: float = 1.2,
        head: bool = True,
    ) -> None:
        """Draw an arrow through points; its head is never dashed."""
        look: paper.Look = {"color": color, "linewidth": width, "zorder": 1}
        self._ax.plot(*zip(*points, strict=True), linestyle=linestyle, **look)
        if head:
            end = FancyArrowPatch(
                *_tip(points),
                arrowstyle="-|>",
                mutation_scale=HEAD * self._size,
                shrinkA=0,
                shrinkB=0,
                **look,
            )
            self._ax.add_patch(end)

    def on_line(self, points: Sequence[Point], words: str, color: str) -> None:
        """Write words on the middle of a line."""
        (x0, y0), (x1, y1) = points[0], points[-1]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        self.text(middle, words, align="center", size=FONT - 1, color=color, bbox=box)


def _outline(dashed: bool) -> paper.Look:
    look: paper.Look = {"facecolor": "white", "edgecolor": paper.FAINT if dashed else paper.INK}
    return {**look, "linestyle": "--" if dashed else "-", "linewidth": 1.2, "zorder": 2}


def _tip(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the last bit of a line, which has the head."""
    (x0, y0), (x1, y1) = points[-2], points[-1]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
    part = min(0.05 / length, 1.0)
    return (x1 - part * (x1 - x0), y1 - part * (y1 - y0)), (x1, y1)
