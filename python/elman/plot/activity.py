"""Pictures of what a network does on data: states, aligned sequences, trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from elman import views
from elman.errors import ArgumentError
from elman.plot import paper
from elman.plot.paper import Span
from elman.views.activity import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

    from elman._typing import Array
    from elman.trace import Trace
    from elman.views.export import View

__all__ = ["sequence", "states", "trajectory"]

WIDTH = 7.0  # inches
NAMED = 20  # units with a tick of their own
LEGEND = 84  # characters in a line of a legend
HANDLE = 8  # characters that a line and the space beside its name take
LINES = 6  # inputs or outputs as lines; more are a heat map
BAR = 0.11  # inches: the width of a scale of colours
PATHS = 6  # sequences with a colour of their own


def states(
    trace: Trace, *, sequence: int = 0, order: str = "similarity", ax: Axes | None = None
) -> Axes:
    """Draw the states of one sequence: units by time, a panel for each layer and direction.

    Dark is low and light is high. Units that rise and fall together are neighbours; few units have
    their number at the left. Masked steps are grey.

    Parameters
    ----------
    trace : Trace
        The result of `net.trace(x)`.
    sequence : int
        The index of the sequence, counted over all batch axes.
    order : {"similarity", "peak", "given"}
        The order of units; see `elman.views.states`.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        The panels are `ax.child_axes`, from the top layer down, each followed by its scale of
        colours.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 16, 1, seed=0)
    >>> ax = elman.plot.states(net.trace(np.sin(np.arange(40) / 3)[:, None]))
    >>> ax.child_axes[0].get_xlabel()
    'step t'
    """
    view = views.states(trace, sequence=sequence, order=order)
    return draw_states(view, ax)


def draw_states(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `states`."""
    tops_first = view["panels"][::-1]
    heights = [_height(panel) for panel in tops_first]
    ax = paper.axes(ax, WIDTH, 0.6 + sum(heights) + 0.3 * (len(heights) - 1))
    spans = [Span(height) for height in heights]
    grid = paper.panels(ax, spans, (Span(1.0), Span(inches=BAR)), (0.1, 0.3))
    for (map_ax, bar_ax), panel in zip(grid, tops_first, strict=True):
        _draw_units(map_ax, bar_ax, panel, len(view["panels"]) > 1)
        _share_time(map_ax, grid[-1][0])
    grid[-1][0].set_xlabel("step t")
    return ax


def _height(panel: View) -> float:
    """Return the inches of a heat map."""
    return min(max(0.17 * len(panel["values"]), 0.75), 2.8)


def _draw_units(map_ax: Axes, bar_ax: Axes, panel: View, several: bool) -> None:
    """Draw units by time, with their scale of colours."""
    values, units = panel["values"], panel["units"]
    H = len(values)
    image = _heat(map_ax, values, panel["limits"])
    map_ax.set_yticks(range(H) if H <= NAMED else [], units if H <= NAMED else [])
    if H > NAMED:
        map_ax.set_ylabel(f"{H} units")
    else:
        map_ax.set_ylabel("unit")
    map_ax.tick_params(axis="y", length=0, labelsize=paper.SMALL)
    if several:
        map_ax.set_title(panel["name"], loc="left", fontsize=paper.SMALL, pad=3)
    paper.scale(map_ax, bar_ax, image, "$h_t$")


def _heat(ax: Axes, values: Array, limits: tuple[float, float]) -> Any:  # noqa: ANN401
    """Draw a matrix, the first row on top and one step centred on each integer."""
    colours = mpl.colormaps[paper.VALUES].with_extremes(bad=paper.MISSING)
    return ax.imshow(values, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1])


def _share_time(ax: Axes, last: Axes) -> None:
    """Make a panel share its axis of time with the last one, whose steps are labelled."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if ax is not last:
        ax.sharex(last)
        ax.tick_params(axis="x", labelbottom=False)


# --- aligned sequences ----------------------------------------------------------------------------


def sequence(
    trace: Trace, *, sequence: int = 0, order: str = "similarity", ax: Axes | None = None
) -> Axes:
    """Draw input, states and output of one sequence, aligned in time.

    Up to six inputs or outputs are lines; more are a heat map. The states are drawn as by `states`.

    Parameters
    ----------
    trace, sequence, order, ax
        As for `states`.

    Returns
    -------
    matplotlib Axes
        The panels are `ax.child_axes`, from the output at the top to the input at the bottom.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 16, 1, seed=0)
    >>> ax = elman.plot.sequence(net.trace(np.sin(np.arange(40) / 3)[:, None]))
    >>> [line.get_xdata().size for panel in ax.child_axes for line in panel.get_lines()]
    [40, 40]
    """
    view = views.sequence(trace, sequence=sequence, order=order)
    return draw_sequence(view, ax)


def draw_sequence(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `sequence`."""
    units = view["panels"][::-1]
    outputs = [] if view["y"] is None else [1.1]
    heights = [*outputs, *(_height(panel) for panel in units), 1.1]
    ax = paper.axes(ax, WIDTH, 0.6 + sum(heights) + 0.3 * (len(heights) - 1))
    spans = [Span(height) for height in heights]
    gap = 0.3 + 0.17 * (_lines(view["inputs"]) - 1)
    grid = paper.panels(ax, spans, (Span(1.0), Span(inches=BAR)), (0.1, gap))
    for (map_ax, bar_ax), panel in zip(grid[len(outputs) :], units, strict=False):
        _draw_units(map_ax, bar_ax, panel, len(units) > 1)
    if outputs:
        _draw_series(
            (grid[0][0], grid[0][1]), view["steps"], view["y"], view["outputs"], "output", "$y_t$"
        )
    _draw_series(
        (grid[-1][0], grid[-1][1]), view["steps"], view["x"], view["inputs"], "input", "$x_t$"
    )
    for map_ax, _ in grid:
        _share_time(map_ax, grid[-1][0])
    grid[-1][0].set_xlabel("step t")
    return ax


def _draw_series(
    panels: tuple[Axes, Axes], steps: Array, values: Array, names: list[str], title: str, label: str
) -> None:
    """Draw inputs or outputs by time, as lines or as a heat map."""
    ax, bar_ax = panels
    count = values.shape[1]
    if count > LINES:
        paper.scale(ax, bar_ax, _heat(ax, values.T, limits(values)), label)
        ax.set_yticks([])
        ax.set_ylabel(f"{count} {title}s")
        return
    bar_ax.set_axis_off()
    few = len(steps) <= 40
    for i in range(count):
        marker: paper.Look = {"marker": paper.MARKERS[i], "markersize": 3.5} if few else {}
        ax.plot(
            steps,
            values[:, i],
            label=paper.plain(names[i]),
            linewidth=1.3,
            **paper.style(i),
            **marker,
        )
    ax.set_ylabel(f"{title} {label}")
    ax.margins(x=0)
    ax.set_xlim(-0.5, len(steps) - 0.5)
    paper.tidy(ax)
    if count > 1 or names[0] not in ("x", "y"):
        ax.legend(
            frameon=False,
            fontsize=paper.SMALL,
            ncols=-(-count // _lines(names)),
            loc="lower right",
            bbox_to_anchor=(1, 0.97),
            borderaxespad=0,
            handlelength=2.4,
        )


def _lines(names: Sequence[str]) -> int:
    """Return how many lines a legend of these names needs."""
    if len(names) > LINES:
        return 1  # none: it is a heat map
    size = max(len(paper.plain(name)) for name in names)
    return -(-len(names) // max(1, LEGEND // (size + HANDLE)))


# --- trajectories ---------------------------------------------------------------------------------


def trajectory(
    trace: Trace,
    *,
    fixed_points: Iterable[Any] = (),
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the states of all sequences on their first two principal components.

    A path begins at a ring and ends at a filled marker. Sequences of one label have one colour;
    without labels the first six sequences have one each, and if there are more, all are alike. The
    state of a single unit is drawn by time.

    Parameters
    ----------
    trace : Trace
        The result of `net.trace(x)`.
    fixed_points : iterable of FixedPoint
        Fixed points of `elman.dynamics`: stable ones are black, others white.
    labels : sequence, optional
        A label for each sequence, such as its class.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 16, 1, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((3, 20, 1))
    >>> ax = elman.plot.trajectory(net.trace(x))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['sequence 0', 'sequence 1', 'sequence 2']
    """
    view = views.trajectory(trace, fixed_points=fixed_points)
    if labels is not None and len(labels) != len(view["paths"]):
        raise ArgumentError(
            f"labels: expected one for each of {len(view['paths'])} sequences, got {len(labels)}"
        )
    return draw_trajectory(view, ax, labels)


def draw_trajectory(view: View, ax: Axes | None, labels: Sequence[object] | None = None) -> Axes:
    """Draw the view of `trajectory`."""
    paths, single = view["paths"], len(view["variance"]) == 1
    groups = _groups(len(paths), labels)
    named = len(view["fixed_points"]) > 0 or (len(paths) > 1 and any(name for _, name in groups))
    ax = paper.axes(ax, 7.2 if named else 5.6, 4.6)
    for path, (number, name) in zip(paths, groups, strict=True):
        points = path
        if single:  # the state itself, by time
            points = np.column_stack([np.arange(len(path)), path + view["mean"]])
        _draw_path(ax, points, number, name if named else "")
    _draw_fixed(ax, view, max(map(len, paths), default=1))
    shares = [f"PC {i + 1} ({100 * v:.0f} % of variance)" for i, v in enumerate(view["variance"])]
    ax.set_xlabel("step t" if single else shares[0])
    ax.set_ylabel("$h_t$" if single else shares[1])
    if named:
        look: paper.Look = {"frameon": False, "fontsize": paper.SMALL, "handlelength": 2.6}
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), **look)
    paper.tidy(ax)
    return ax


def _groups(count: int, labels: Sequence[object] | None) -> list[tuple[int, str]]:
    """Return number and name of the group of each sequence; only the first of a group is named."""
    if labels is None:
        named = count <= PATHS
        return [(i if named else 0, f"sequence {i}" if named else "") for i in range(count)]
    numbers: dict[object, int] = {}
    groups = []
    for label in labels:
        name = "" if label in numbers else paper.plain(label)
        groups.append((numbers.setdefault(label, len(numbers)), name))
    return groups


def _draw_path(ax: Axes, points: Array, number: int, name: str) -> None:
    look = paper.style(number)
    marker = paper.MARKERS[number % len(paper.MARKERS)]
    ax.plot(*points.T, linewidth=1.0, alpha=0.85, zorder=2, **look)
    around: paper.Look = {
        "color": look["color"],
        "linestyle": "none",
        "marker": marker,
        "zorder": 3,
    }
    ax.plot(*points[:1].T, markerfacecolor="white", markersize=6, **around)
    ax.plot(*points[-1:].T, markersize=6, **around)
    if name:
        ax.plot([], [], label=name, marker=marker, linewidth=1.0, markersize=5, **look)


def _draw_fixed(ax: Axes, view: View, steps: int) -> None:
    """Draw the fixed points: stable ones black, others white."""
    for stable, face, name in ((True, paper.INK, "stable"), (False, "white", "not stable")):
        points = view["fixed_points"][view["stable"] == stable]
        if not len(points):
            continue
        if points.shape[1] == 1:
            at_end = np.full(len(points), steps - 1.0)
            points = np.column_stack([at_end, points + view["mean"]])
        ax.plot(
            *points[:, :2].T,
            linestyle="none",
            marker="o",
            markersize=7,
            zorder=4,
            markerfacecolor=face,
            markeredgecolor=paper.INK,
            label=f"fixed point, {name}",
        )
