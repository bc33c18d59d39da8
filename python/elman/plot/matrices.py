"""Pictures of weights, and of eigenvalues in the complex plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from elman import views
from elman.plot import paper
from elman.plot.paper import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from elman._network import Network
    from elman.views.export import View

    Array = NDArray[Any]

__all__ = ["eigenvalues", "weights"]

LARGEST = 2.6  # inches: the longest side of a matrix
LEAST = 0.2  # inches: a side of one row or column
GAP = (0.35, 0.55)  # inches between matrices, and between rows of them
BAR = 0.11  # inches: the width of the scale of colours
NUMBER = 6.5  # points: the size of a number in a cell
READABLE = 8  # rows or columns of the largest matrix, if numbers are written
NAMED = 6  # sets of eigenvalues with a marker and a name of their own


def weights(net: Network, *, ax: Axes | None = None) -> Axes:
    """Draw the weights of a network as matrices: W_xh, W_hh and b_h of each layer, W_hy and b_y.

    The rows of a matrix are the units that it feeds, its columns what it reads. Dark is negative,
    light is positive, and one scale holds for all. Without more than 8 rows or
    columns, matrices show their numbers.

    Parameters
    ----------
    net : Network
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        The panels are `ax.child_axes`, from the top layer down.

    Raises
    ------
    ArgumentTypeError
        If an argument is invalid.

    Examples
    --------
    >>> import elman, elman.plot
    >>> ax = elman.plot.weights(elman.Network(16, 32, 4, seed=0))
    >>> [panel.get_title() for panel in ax.child_axes][:2]
    ['$W_{hy}$', '$b_{y}$']
    """
    return draw_weights(views.weights(net), ax)


def draw_weights(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `weights`."""
    rows = view["rows"][::-1]
    longest = max(max(m["values"].shape) for row in rows for m in row["matrices"])
    sizes = [[_inches(m["values"].shape, longest) for m in row["matrices"]] for row in rows]
    heights = [row[0][0] for row in sizes]
    widths = [sum(wide for _, wide in row) + GAP[0] * len(row) for row in sizes]
    ax = paper.axes(ax, max(widths) + 1.1, sum(heights) + GAP[1] * len(rows) + 0.15)
    ax.set_axis_off()
    spans = [Span(height) for height in heights]
    for i, (row, inches) in enumerate(zip(rows, sizes, strict=True)):
        filler = Span(max(widths) - widths[i] + 0.5)
        columns = [*(Span(wide) for _, wide in inches), filler]
        for j, matrix in enumerate(row["matrices"]):
            panel = paper.panel(ax, (spans, i, GAP[1]), (columns, j, GAP[0]))
            image = _draw_matrix(panel, matrix, view["limit"] or 1.0)
            if longest <= READABLE:
                _write_numbers(panel, matrix["values"], view["limit"])
            if j == 0:
                panel.set_ylabel(row["name"])
    ends = (Span(1.0), Span(inches=BAR), Span(inches=0.35))
    bar_ax = paper.panel(ax, ((Span(inches=1.2), Span(1.0)), 0, 0.0), (ends, 1, 0.0))
    paper.scale(ax, bar_ax, image, "")
    return ax


def _inches(shape: tuple[int, int], longest: int) -> tuple[float, float]:
    high, wide = (max(LEAST, LARGEST * side / max(longest, 8)) for side in shape)
    return high, wide


def _draw_matrix(panel: Axes, matrix: View, limit: float) -> Any:  # noqa: ANN401
    rows, columns = matrix["values"].shape
    image = panel.imshow(
        matrix["values"], aspect="auto", cmap=paper.VALUES, vmin=-limit, vmax=limit
    )
    panel.set_title(f"${matrix['label']}$", pad=4)
    panel.set_xticks([])
    panel.set_yticks([])
    bias = matrix["label"].startswith("b")
    panel.set_xlabel(f"{rows}" if bias else f"{rows} × {columns}", fontsize=paper.SMALL)
    return image


def _write_numbers(panel: Axes, values: Array, limit: float) -> None:
    """Write the numbers of a matrix, light on dark and dark on light."""
    for (i, j), value in np.ndenumerate(values):
        text = f"{value:z.2f}" if limit < 10 else f"{value:.3g}"
        ink = paper.INK if value > 0 else "white"
        panel.text(j, i, text, color=ink, fontsize=NUMBER, ha="center", va="center")


# --- eigenvalues ----------------------------------------------------------------------------------


def eigenvalues(thing: Network | Any, *, ax: Axes | None = None) -> Axes:  # noqa: ANN401
    """Draw eigenvalues in the complex plane, with the unit circle.

    Inside the circle a direction shrinks from step to step, outside it grows; those of W_hh say
    so for the linear part of a layer, those of the Jacobian at a fixed point for small deviations.

    Parameters
    ----------
    thing : Network, FixedPoint, FixedPoints, or array_like, shape (N, N)
        A network: the eigenvalues of each W_hh. Fixed points of `elman.dynamics`: those of the
        Jacobian at each. A matrix: its own.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentTypeError, ShapeError
        If there are no eigenvalues of such a thing.

    Examples
    --------
    >>> import elman, elman.plot
    >>> ax = elman.plot.eigenvalues(elman.Network(16, 32, 4, seed=0))
    >>> ax.get_xlabel()
    'real part'
    """
    return draw_eigenvalues(views.eigenvalues(thing), ax)


def draw_eigenvalues(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `eigenvalues`."""
    sets = view["sets"]
    named = 1 < len(sets) <= NAMED
    ax = paper.axes(ax, 7.2 if named else 4.8, 4.8)
    ax.axhline(0, color=paper.MISSING, linewidth=0.8, zorder=0)
    ax.axvline(0, color=paper.MISSING, linewidth=0.8, zorder=0)
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=paper.FAINT, linestyle="--", zorder=1))
    for i, one in enumerate(sets):
        number = i if named else 0
        name = f"{one['name']}: largest {one['radius']:.3g}" if named else None
        ax.plot(
            one["values"].real,
            one["values"].imag,
            linestyle="none",
            marker=paper.MARKERS[number],
            markersize=5.5,
            markerfacecolor="none" if number % 2 else paper.SERIES[number],
            markeredgecolor=paper.SERIES[number],
            label=name,
        )
    radius = max(one["radius"] for one in sets)
    reach = 1.12 * max(1.0, radius)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set(xlabel="real part", ylabel="imaginary part")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_title(f"eigenvalues of ${view['of']}$, largest {radius:.3g}", fontsize=10)
    if named:
        ax.legend(frameon=False, fontsize=paper.SMALL, loc="upper left", bbox_to_anchor=(1, 1))
    paper.tidy(ax)
    return ax
