"""Analysis of networks as dynamical systems, in NumPy and float64.

h_t = F(h_(t-1), x_t) is the map of one step, h the states of all layers in one vector. `jacobian`
and `linearize` have its derivatives, `fixed_points` its fixed and slow points, `lyapunov` the rates
at which it stretches, `memory_curve` how long it keeps its inputs, and `gradient_flow` how the
gradient of a loss passes back through its steps.

Everything but `memory_curve`, which runs the core, is computed in float64 from the weights as they
are, whatever the dtype of the network. All layers must run forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.dynamics.exponents import Lyapunov, lyapunov
    from elman.dynamics.flow import GradientFlow, gradient_flow
    from elman.dynamics.linear import Jacobian, Linearization, jacobian, linearize
    from elman.dynamics.memory import MemoryCurve, memory_curve
    from elman.dynamics.points import FixedPoint, FixedPoints, fixed_points

__all__ = [
    "FixedPoint",
    "FixedPoints",
    "GradientFlow",
    "Jacobian",
    "Linearization",
    "Lyapunov",
    "MemoryCurve",
    "fixed_points",
    "gradient_flow",
    "jacobian",
    "linearize",
    "lyapunov",
    "memory_curve",
]

__getattr__, __dir__ = _lazy.names(
    __name__, __all__, "exponents", "flow", "linear", "memory", "points"
)
