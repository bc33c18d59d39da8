"""Pictures of networks and of what they do; requires the extra `plot` (matplotlib).

Every function draws on the `ax` that it is given, or on a new figure of its own, and returns the
axes: `elman.plot.states(trace).figure.savefig("states.svg")`. A notebook displays them as the last
value of a cell, without any setup. Pictures of several panels divide the area of `ax` among
`ax.child_axes`. Colours are told apart by the colour-blind, and in black and white by lightness,
line style or marker. `elman.views` has the data of each picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _files, _lazy

_files.extra("matplotlib", "elman.plot", "'elman[plot]'")

if TYPE_CHECKING:
    from elman.plot.activity import sequence, states, trajectory
    from elman.plot.diagrams import network, unrolled
    from elman.plot.learning import comparison, forecast, gradients, history
    from elman.plot.matrices import eigenvalues, weights
    from elman.plot.plane import phase_plane

__all__ = [
    "comparison",
    "eigenvalues",
    "forecast",
    "gradients",
    "history",
    "network",
    "phase_plane",
    "sequence",
    "states",
    "trajectory",
    "unrolled",
    "weights",
]

__getattr__, __dir__ = _lazy.names(
    __name__, __all__, "activity", "diagrams", "learning", "matrices", "plane"
)
