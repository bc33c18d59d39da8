"""The data behind every picture of `elman.plot`, as plain arrays, numbers and strings.

Each function has the name of a picture and returns a dict: `views.states(trace)` has what
`plot.states(trace)` draws. `to_json` prints one, for drawings made elsewhere. Nothing but NumPy is
needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.views.activity import sequence, states, trajectory
    from elman.views.export import to_json
    from elman.views.learning import comparison, forecast, gradients, history
    from elman.views.matrices import eigenvalues, weights
    from elman.views.plane import phase_plane
    from elman.views.structure import network, unrolled

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
    "to_json",
    "trajectory",
    "unrolled",
    "weights",
]

__getattr__, __dir__ = _lazy.names(
    __name__, __all__, "activity", "export", "learning", "matrices", "plane", "structure"
)
