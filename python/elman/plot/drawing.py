"""Drawing of any view of `elman.views`, by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.plot.activity import draw_sequence, draw_states, draw_trajectory
from elman.plot.diagrams import draw_network, draw_unrolled
from elman.plot.learning import draw_comparison, draw_forecast, draw_gradients, draw_history
from elman.plot.matrices import draw_eigenvalues, draw_weights
from elman.plot.plane import draw_phase_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from elman.views.export import View

__all__ = ["draw_view"]

_DRAW: dict[str, Callable[[View, Axes | None], Axes]] = {
    "comparison": draw_comparison,
    "eigenvalues": draw_eigenvalues,
    "forecast": draw_forecast,
    "gradients": draw_gradients,
    "history": draw_history,
    "network": draw_network,
    "phase_plane": draw_phase_plane,
    "sequence": draw_sequence,
    "states": draw_states,
    "trajectory": draw_trajectory,
    "unrolled": draw_unrolled,
    "weights": draw_weights,
}


def draw_view(view: View, ax: Axes | None = None) -> Axes:
    """Draw a view."""
    return _DRAW[view["kind"]](view, ax)
