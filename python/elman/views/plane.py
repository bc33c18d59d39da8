"""The phase plane of a network of two units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments
from elman._network import require_network
from elman.activation import range_of
from elman.dynamics import fixed_points
from elman.errors import ShapeError, UnsupportedModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from elman._network import Network
    from elman._typing import Array
    from elman.activation import Activation
    from elman.dynamics import FixedPoint
    from elman.views.export import View

__all__ = ["phase_plane"]

GRID = 121  # points along each axis
MARGIN = 0.08  # around the range of the states
STEPS = 60  # of a trajectory
UNBOUNDED = 2.0  # half the width for activations without a range, at least


def phase_plane(
    net: Network, x: ArrayLike | None = None, *, starts: ArrayLike | None = None
) -> View:
    """Return the phase plane of a network of two units: the data of `elman.plot.phase_plane`.

    F(h) is the state one step after h, with the same input x at every step. It is computed by the
    network itself, in its own dtype.

    Parameters
    ----------
    net : Network
        A network whose state has two units, and whose layers run forward.
    x : array_like, shape (I,), optional
        The constant input; by default zeros, or the input mean of a network with scaling.
    starts : array_like, shape (K, 2), optional
        The states in which trajectories begin; by default eight around the plane.

    Returns
    -------
    dict
        `x`; `axes`, the two coordinates of a grid, each (G,); `moved` (2, G, G), F(h) - h on it:
        `moved[i, j, k]` is the move of unit i at h = (axes[0][k], axes[1][j]), and a nullcline is
        where it is 0; `paths` (K, T + 1, 2); `fixed_points` (F, 2) and `kinds` (F,): "stable",
        "saddle", "unstable" or "marginal".

    Raises
    ------
    ShapeError
        If the state does not have two units, or x or starts another shape.
    UnsupportedModelError
        If a layer runs in reverse.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network.from_weights([([[0.0], [0.0]], [[2.0, 0.0], [0.0, 0.5]], None)], None)
    >>> view = elman.views.phase_plane(net)
    >>> sorted(view["kinds"])
    ['saddle', 'stable', 'stable']
    """
    require_network(net)
    if net.state_size != 2:
        raise ShapeError(
            f"net: expected a state of 2 units for a phase plane, got {net.state_size}:"
            " elman.plot.trajectory shows larger states on their principal components"
        )
    if set(net.directions) != {"forward"}:
        raise UnsupportedModelError("net: expected layers that run forward, got a reverse one")
    points = fixed_points(net, x)
    constant, at = points.x, points.states.reshape(-1, 2)
    axes = [np.linspace(*_ends(f, at[:, i]), GRID) for i, f in enumerate(_of_units(net))]
    grid = np.stack(np.meshgrid(*axes), axis=-1)
    after = _states(net, constant, grid.reshape(-1, 2), 1)[:, -1]
    paths = _states(net, constant, _starts(axes, starts), STEPS)
    return {
        "kind": "phase_plane",
        "x": constant,
        "axes": axes,
        "moved": np.moveaxis(after.reshape(grid.shape) - grid, -1, 0),
        "paths": paths,
        "fixed_points": at,
        "kinds": [_kind(point) for point in points],
    }


def _of_units(net: Network) -> list[Activation]:
    """Return the activation of each unit."""
    return [f for f, H in zip(net.activations, net.hidden_sizes, strict=True) for _ in range(H)]


def _ends(f: Activation, fixed: Array) -> tuple[float, float]:
    """Return the ends of an axis, from the range of the activation or the fixed points."""
    half = max(UNBOUNDED, 1.3 * float(np.abs(fixed).max(initial=0.0)))
    ends = np.array(range_of(f))
    low, high = np.where(np.isinf(ends), (-half, half), ends).tolist()
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _starts(axes: list[Array], starts: ArrayLike | None) -> Array:
    if starts is None:
        x, y = (np.quantile(axis, (0.05, 0.5, 0.95)) for axis in axes)
        around = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
        return np.array([(x[i], y[j]) for i, j in around])
    given = _arguments.reals("starts", starts).astype(np.float64)
    if given.ndim != 2 or given.shape[1] != 2:
        raise ShapeError(f"starts: expected states (K, 2), got {given.shape}")
    return given


def _states(net: Network, x: Array, starts: Array, steps: int) -> Array:
    """Return the states (K, steps + 1, 2) from each start, with a constant input."""
    inputs = np.broadcast_to(x, (len(starts), steps, len(x)))
    hidden = net.run(inputs, state=starts, return_hidden=True).hidden
    return np.concatenate([starts[:, np.newaxis], np.asarray(hidden, dtype=np.float64)], axis=1)


def _kind(point: FixedPoint) -> str:
    if point.stable is None:
        return "marginal"
    if point.stable:
        return "stable"
    return "saddle" if point.unstable == 1 else "unstable"
