"""The phase plane of a network of two units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import views
from elman.plot import paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from elman._network import Network
    from elman._typing import Array
    from elman.views.export import View

__all__ = ["phase_plane"]

ARROWS = 8  # points of the grid between two arrows
LOOKS: dict[str, paper.Look] = {  # marker, and how it is filled
    "stable": {"marker": "o", "fillstyle": "full"},
    "saddle": {"marker": "o", "fillstyle": "left"},
    "unstable": {"marker": "o", "fillstyle": "none"},
    "marginal": {"marker": "D", "fillstyle": "none"},
}


def phase_plane(
    net: Network,
    x: ArrayLike | None = None,
    *,
    starts: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the phase plane of a network of two units under a constant input.

    Arrows show where a state goes in one step. A unit does not change on its nullcline, and fixed
    points are where both cross: stable ones are filled, saddles half, unstable ones hollow. Dots
    are the steps of trajectories.

    Parameters
    ----------
    net : Network
        A network whose state has two units, and whose layers run forward.
    x : array_like, shape (I,), optional
        The constant input; by default zeros, or the input mean of a network with scaling.
    starts : array_like, shape (K, 2), optional
        The states in which trajectories begin; by default eight around the plane.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ShapeError, UnsupportedModelError
        If the network does not have two units that run forward, or an argument another shape.

    Examples
    --------
    >>> import elman, elman.plot
    >>> net = elman.Network.from_weights([([[0.0], [0.0]], [[2.0, 0.0], [0.0, 0.5]], None)], None)
    >>> elman.plot.phase_plane(net).get_xlabel()
    'unit 0'
    """
    return draw_phase_plane(views.phase_plane(net, x, starts=starts), ax)


def draw_phase_plane(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `phase_plane`."""
    ax = paper.axes(ax, 7.2, 5.0)
    axes, moved = view["axes"], view["moved"]
    _draw_field(ax, axes, moved)
    for unit, (color, dashes) in enumerate(((paper.BLUE, "-"), (paper.RED, "--"))):
        if moved[unit].min() < 0 < moved[unit].max():
            ax.contour(*axes, moved[unit], levels=[0.0], colors=[color], linestyles=[dashes])
        ax.plot([], [], color=color, linestyle=dashes, label=f"nullcline of unit {unit}")
    for i, path in enumerate(view["paths"]):
        line: paper.Look = {"color": paper.INK, "linewidth": 0.6, "marker": ".", "markersize": 3.5}
        ax.plot(*path.T, label="trajectory" if i == 0 else None, zorder=3, **line)
    for kind, look in LOOKS.items():
        at = view["fixed_points"][[found == kind for found in view["kinds"]]]
        if len(at):
            inks: paper.Look = {
                "color": paper.INK,
                "markerfacecoloralt": "white",
                "linestyle": "none",
            }
            ax.plot(*at.T, markersize=8, zorder=4, label=f"fixed point, {kind}", **look, **inks)
    ax.set(xlim=axes[0][[0, -1]], ylim=axes[1][[0, -1]], xlabel="unit 0", ylabel="unit 1")
    ax.set_aspect("equal")
    ax.legend(frameon=False, fontsize=paper.SMALL, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def _draw_field(ax: Axes, axes: list[Array], moved: Array) -> None:
    """Draw arrows of one step, shortened so that none crosses its neighbours."""
    places = slice(ARROWS // 2, None, ARROWS)
    dx, dy = moved[0][places, places], moved[1][places, places]
    size = np.hypot(dx, dy)
    length = ARROWS * (axes[0][1] - axes[0][0])
    part = np.minimum(1.0, 0.85 * length / np.maximum(size, 1e-300))
    ax.quiver(
        axes[0][places],
        axes[1][places],
        part * dx,
        part * dy,
        angles="xy",
        scale_units="xy",
        scale=1,
        color="#a6a6a6",
        width=0.0028,
        headwidth=4,
    )
