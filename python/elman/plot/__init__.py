"""Pictures of networks and of what they do; requires the extra `plot` (matplotlib).

Every function draws on the `ax` that it is given, or on a new figure of its own, and returns the
axes: `elman.plot.states(trace).figure.savefig("states.svg")`. A notebook displays them as the last
value of a cell, without any setup. Pictures of several panels divide the area of `ax` among
`ax.child_axes`. Colours are told apart by the colour-blind, and in black and white by lightness,
line style or marker. `elman.views` has the data of each picture.
"""

from __future__ import annotations

from elman import _files

_files.extra("matplotlib", "elman.plot", "'elman[plot]'")

from elman.plot.activity import sequence, states, trajectory  # noqa: E402
from elman.plot.diagrams import network, unrolled  # noqa: E402
from elman.plot.learning import comparison, forecast, gradients, history  # noqa: E402
from elman.plot.matrices import eigenvalues, weights  # noqa: E402
from elman.plot.plane import phase_plane  # noqa: E402

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
