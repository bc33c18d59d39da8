"""Axes that notebooks display, panels within axes, and the colours and lines of all pictures."""

from __future__ import annotations

from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

INK = "#222222"  # text and outlines
FAINT = "#8c8c8c"  # secondary lines
PAPER = "#f2f2f2"  # the ground of a group
# From the palette of Okabe and Ito (2008), which the colour-blind can tell apart.
BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE = "#E69F00", "#56B4E9", "#CC79A7"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, INK)
# One for each colour, so that lines differ in black and white too.
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (7, 2, 1, 2, 1, 2)),
    (0, (2, 2)),
)
MARKERS = "osD^vXP"
VALUES = "cividis"  # colours of values: from dark blue to light yellow, also in black and white
MISSING = "#d9d9d9"
DPI = 160  # of an image in a file
SCREEN = 2  # pixels of an image for each pixel on the page of a notebook
SMALL = 9  # points
LONGEST = 32  # characters of a label


Look = dict[str, Any]  # how a line or a patch is drawn: arguments of matplotlib


class _Axes(Axes):  # type: ignore[misc, unused-ignore]
    """Axes of a figure of their own, which a notebook displays although pyplot is not used."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        figure, file = figure_of(self), BytesIO()
        figure.savefig(file, format="png", dpi=SCREEN * figure.dpi)
        width, height = (round(size) for size in figure.get_size_inches() * figure.dpi)
        return file.getvalue(), {"width": width, "height": height}


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the given axes, or those of a new figure of this size in inches."""
    if ax is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure.add_subplot(axes_class=_Axes)
    if not isinstance(ax, Axes):
        raise ArgumentTypeError(
            f"ax: expected axes of matplotlib, such as figure.subplots(), or None, got"
            f" {type(ax).__name__}"
        )
    if ax.name != "rectilinear":
        raise ArgumentTypeError(
            f"ax: expected axes without a projection, got a projection {ax.name!r}"
        )
    return ax


def inches_of(ax: Axes) -> tuple[float, float]:
    """Return width and height of axes: of their own figure, all of it."""
    width, height = figure_of(ax).get_size_inches()
    if not isinstance(ax, _Axes):
        box = ax.get_window_extent()
        width, height = box.width / figure_of(ax).dpi, box.height / figure_of(ax).dpi
    return float(width), float(height)


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure of axes."""
    figure = ax.figure
    assert figure is not None
    return figure.figure  # of a part of a figure, the whole


def save(ax: Axes, file: IO[bytes], form: str) -> None:
    """Write the figure of axes as "svg", "png" or "pdf"; the same picture has the same bytes."""
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with rc_context({"svg.hashsalt": "elman"}):
        figure_of(ax).savefig(file, format=form, dpi=DPI, metadata=undated)


def style(number: int) -> Look:
    """Return colour and dashes of one of several lines."""
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": DASHES[(number + number // len(SERIES)) % len(DASHES)],
    }


def plain(name: object) -> str:
    """Return a name of the user's as a short label in one line, in which nothing is mathematics.

    Matplotlib leaves labels out of legends if they begin with an underscore.
    """
    text = " ".join(str(name).split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    text = text.replace("$", r"\$")
    return rf"$\_${text[1:]}" if text.startswith("_") else text


def tidy(ax: Axes) -> None:
    """Remove the frame above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)


def scale(ax: Axes, bar_ax: Axes, image: Any, label: str) -> None:  # noqa: ANN401
    """Draw the scale of colours of an image."""
    bar = figure_of(ax).colorbar(image, cax=bar_ax)
    bar.ax.yaxis.set_major_locator(MaxNLocator(3))
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
    bar.ax.set_title(label, fontsize=SMALL, pad=4)


# --- panels ---------------------------------------------------------------------------------------


class Span(NamedTuple):
    """A row or column of panels: a share of the space, or fixed inches."""

    share: float = 0.0
    inches: float = 0.0


def panels(
    ax: Axes, rows: Sequence[Span], columns: Sequence[Span], gap: tuple[float, float]
) -> list[list[Axes]]:
    """Divide axes into a grid of panels, which stays inside them at any size of the figure.

    `gap` has the inches between columns and between rows. The given axes become invisible.
    """
    ax.set_axis_off()
    ax.child_axes.clear()  # another picture drawn there
    return [
        [panel(ax, (rows, i, gap[1]), (columns, j, gap[0])) for j in range(len(columns))]
        for i in range(len(rows))
    ]


Place = tuple["Sequence[Span]", int, float]  # spans, the index among them, inches between


def panel(ax: Axes, row: Place, column: Place) -> Axes:
    """Add a panel to axes."""
    child = ax.inset_axes((0, 0, 1, 1))
    child.set_axes_locator(_Locator(ax, row, column))
    return child


def strip_below(ax: Axes, share: float, gap: float) -> Axes:
    """Shrink axes to make room for a strip below them within the same area; return the strip."""
    rows, columns = (Span(1 - share), Span(share)), (Span(1.0),)
    before = ax.get_axes_locator()
    strip = ax.inset_axes((0, 0, 1, 1), sharex=ax)
    strip.set_axes_locator(_Locator(ax, (rows, 1, gap), (columns, 0, 0), before, original=True))
    ax.set_axes_locator(_Locator(ax, (rows, 0, gap), (columns, 0, 0), before, original=True))
    return strip


class _Locator:
    """The place of a panel, computed whenever the figure is drawn."""

    def __init__(
        self,
        parent: Axes,
        row: Place,
        column: Place,
        before: Any = None,  # noqa: ANN401 (a locator of matplotlib)
        *,
        original: bool = False,
    ) -> None:
        self._parent = parent
        self._row = row
        self._column = column
        self._before = before
        self._original = original

    def __call__(self, ax: object, renderer: object) -> Bbox:
        """Return the place in fractions of the figure."""
        figure = self._parent.figure
        assert figure is not None
        if self._before is not None:
            box = self._before(self._parent, renderer)
        else:
            box = self._parent.get_position(original=self._original)
        wide, high = box.width, box.height
        inches = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
        left, right = _ends(self._column, wide * inches[0])
        top, bottom = _ends(self._row, high * inches[1])
        return Bbox(
            [
                [box.x0 + left * wide, box.y1 - bottom * high],
                [box.x0 + right * wide, box.y1 - top * high],
            ]
        )

    def get_subplotspec(self) -> None:
        """Return None: matplotlib asks every locator."""
        return None


def _ends(place: Place, inches: float) -> tuple[float, float]:
    """Return begin and end of a span as fractions of a length in inches."""
    spans, index, gap = place
    fixed = sum(span.inches for span in spans) + gap * (len(spans) - 1)
    rest = max(inches - fixed, 0.1 * inches)
    total = sum(span.share for span in spans) or 1.0
    sizes = [span.inches or span.share / total * rest for span in spans]
    begin = sum(sizes[:index]) + gap * index
    whole = max(inches, sum(sizes) + gap * (len(spans) - 1), 1e-9)
    return begin / whole, (begin + sizes[index]) / whole
