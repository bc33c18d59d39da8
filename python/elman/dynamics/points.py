"""Fixed points and slow points of a network under a constant input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from elman import _arguments, _html
from elman.dynamics.certificate import (
    Ball,
    contracts,
    eigenvalues,
    enclose,
    is_fixed,
    residuals,
)
from elman.dynamics.record import Record
from elman.dynamics.search import search
from elman.dynamics.step_map import StepMap, inputs_of, states_of
from elman.errors import ArgumentError, ShapeError
from elman.reference.activations import activate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[np.float64]

_LARGE = 1e30  # in place of an infinite sum before an activation


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FixedPoint(Record):
    """A fixed or slow point, from `fixed_points`.

    Attributes
    ----------
    kind : {"fixed", "slow"}
        "fixed": F(h) = h within the rounding of every unit, `residual` <= `bound`. "slow": a
        minimum of the speed that is not a fixed point.
    state : ndarray, shape (S,)
        h.
    eigenvalues : ndarray of complex, shape (S,)
        Of the Jacobian dF/dh at h, the largest modulus first.
    stable : bool or None
        Whether all eigenvalues are inside the unit circle, so that nearby states return, or one is
        outside. None if neither can be shown, because the largest modulus is 1 within its
        uncertainty, as on a line attractor.
    unstable : int
        The number of eigenvalues that are outside the unit circle beyond their uncertainty: 0 for
        an attractor, 1 for a saddle between two.
    residual : float
        |f(W_hh h + W_xh h_below + b_h) - h| of the unit where it is largest relative to its bound;
        h_below are the states of the layer below (the input for the first).
    bound : float
        The rounding bound of this unit's residual, as in `elman.reference.verify`.
    radius : float or None
        There is exactly one exact fixed point within this distance of h (maximum norm); None if
        this cannot be shown.
    speed : float
        q = |F(h) - h|^2 / 2.
    starts : int
        How many starts ended here.
    """

    kind: str
    state: Array
    eigenvalues: NDArray[np.complex128]
    stable: bool | None
    unstable: int
    residual: float
    bound: float
    radius: float | None
    speed: float
    starts: int

    def __repr__(self) -> str:
        return (
            f"FixedPoint({self.kind}, {_word(self)}, |eigenvalue| {_largest(self):.4g},"
            f" residual {self.residual:.2g} of {self.bound:.2g}, {self.starts} starts)"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FixedPoints(Record, Sequence[FixedPoint]):
    """The points that `fixed_points` found: a sequence of `FixedPoint`; `str` is a table.

    Fixed points come before slow points: those with fewer unstable directions first, and among them
    those that more starts led to. Slow points are in the order of their speed.

    Attributes
    ----------
    points : tuple of FixedPoint
    x : ndarray, shape (I,)
        The constant input.
    starts : int
        The number of starts.
    unfinished : int
        The number of starts that ended elsewhere: in a minimum of the speed that was not asked for,
        or nowhere within the iterations.
    """

    points: tuple[FixedPoint, ...]
    x: Array
    starts: int
    unfinished: int
    _state_size: int

    @overload
    def __getitem__(self, index: int) -> FixedPoint: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FixedPoint, ...]: ...
    def __getitem__(self, index: int | slice) -> FixedPoint | tuple[FixedPoint, ...]:
        return self.points[index]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def states(self) -> Array:
        """The states, shape (number of points, S)."""
        states = [point.state for point in self.points]
        return np.array(states).reshape(len(states), self._state_size)

    @property
    def stable(self) -> tuple[FixedPoint, ...]:
        """The stable fixed points."""
        return tuple(p for p in self.points if p.kind == "fixed" and p.stable)

    def __repr__(self) -> str:
        slow = sum(point.kind == "slow" for point in self.points)
        return (
            f"FixedPoints({len(self) - slow} fixed, {len(self.stable)} of them stable, {slow} slow;"
            f" {self.starts - self.unfinished} of {self.starts} starts arrived)"
        )

    def __str__(self) -> str:
        rows = [_HEADINGS, *map(_cells, range(len(self)), self.points)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    def _repr_html_(self) -> str:
        rows = map(_cells, range(len(self)), self.points[:_SHOWN])
        more = [f"... {len(self) - _SHOWN} more points"] if len(self) > _SHOWN else []
        return _html.table(_HEADINGS, rows) + "".join(map(_html.text, [*more, repr(self)]))


_SHOWN = 30  # points in a notebook; `str` has all of them
_HEADINGS = (
    "point", "kind", "stable", "unstable", "|eigenvalue|", "residual", "bound", "radius", "speed",
    "starts",
)  # fmt: skip


def _cells(index: int, point: FixedPoint) -> tuple[str, ...]:
    return (
        str(index),
        point.kind,
        {True: "yes", False: "no", None: "?"}[point.stable],
        str(point.unstable),
        f"{_largest(point):.4f}",
        f"{point.residual:.1e}",
        f"{point.bound:.1e}",
        "-" if point.radius is None else f"{point.radius:.1e}",
        f"{point.speed:.1e}",
        str(point.starts),
    )


def _largest(point: FixedPoint) -> float:
    return float(np.abs(point.eigenvalues).max())


def _word(point: FixedPoint) -> str:
    if point.stable is None:
        return "undecided"
    return "stable" if point.stable else f"{point.unstable} unstable"


def fixed_points(
    net: Network,
    x: ArrayLike | None = None,
    *,
    n: int = 256,
    seed: int = 0,
    states: ArrayLike | None = None,
    slow: float | None = None,
    distance: float = 1e-3,
    iterations: int = 200,
) -> FixedPoints:
    """Find fixed points, and on request slow points, of a network under a constant input.

    A fixed point is a state h with h = F(h, x), F the map of one step. Newton's method with the
    damping of Levenberg and Marquardt minimizes the speed q = |F(h) - h|^2 / 2 from many starts at
    a time, with analytic Jacobians; what it finds is deduplicated and certified. Points that no
    start leads to are not found: more starts, or `states` that the network visits, find more.

    Parameters
    ----------
    net : Network
        A network whose layers all run forward.
    x : array_like, shape (I,), optional
        The constant input; by default the input that the first layer reads as zeros: zeros, or
        `input_mean` where the network has one.
    n : int
        Number of starts.
    seed : int
        Determines the starts.
    states : array_like, shape (..., S), optional
        States that the network visits, such as `net.run(x, return_hidden=True).hidden`. Half of the
        starts are drawn from them, the others lie between two of them each. By default the starts
        are uniform in the range of the activations ([-1, 1] where it is unbounded).
    slow : float, optional
        Return slow points too: minima of q above 0 with q up to this. Sussillo and Barak (2013)
        call a point slow whose q is small beside those of the states that the network visits. Where
        an activation has corners, the search may end on one.
    distance : float
        Points at most this far apart (maximum norm, relative to a norm above 1) are one if the
        state halfway between them is a fixed point within rounding too, or if one of them is slow.
        On a line of fixed points they are therefore so far apart.
    iterations : int
        The largest number of steps of the search.

    Returns
    -------
    FixedPoints
        A sequence of `FixedPoint`.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If an argument is invalid, or a layer does not run forward.

    Notes
    -----
    *What "fixed" means.* F is evaluated in float64 from the network's weights. The computed f(z) of
    a unit can differ from the exact one by its rounding bound, that of `elman.reference.verify`
    (which allows for two evaluations, so about twice that of one). A state is called fixed only if,
    for every unit, |f(z) - h| is within this bound: evaluating F in float64 cannot distinguish it
    from an exact fixed point. In a deep network a layer is evaluated with the states of the layer
    below, which has the same fixed points.

    *What `radius` means.* A small residual alone says little where I - J is nearly singular.
    `radius` is a proof, by the theorem of Newton and Kantorovich with an approximate inverse
    C = (I - J)^-1 (J. M. Ortega, "The Newton-Kantorovich theorem", American Mathematical Monthly
    75, 1968), that there is exactly one exact fixed point within this distance, from the residual,
    its rounding bound, and how fast f' can change. It is None on lines of fixed points, at
    bifurcations, and where f' jumps within the ball (relu at 0).

    *Eigenvalues* are those of the blocks diag(f'(z)) W_hh of the layers. `stable` and `unstable`
    hold for the exact fixed point: by the theorem of Bauer and Fike (1960) they allow for the
    rounding of a block and its change within `radius`. Where eigenvectors are missing, a power of
    the block with a norm below 1 shows stability. Without a `radius`, 1e-7 is taken for it.

    The core runs a float32 network in float32, and so stays within its own rounding of an
    attractor, not on it.

    Examples
    --------
    One tanh unit with a weight above 1 has two attractors and a saddle between them:

    >>> import elman
    >>> net = elman.Network.from_weights([([[0.0]], [[2.0]], None)], None)
    >>> points = elman.dynamics.fixed_points(net, n=20)
    >>> points
    FixedPoints(3 fixed, 2 of them stable, 0 slow; 20 of 20 starts arrived)
    >>> sorted({round(abs(float(point.state[0])), 4) for point in points})
    [0.0, 0.9575]
    """
    of_step = StepMap(net, "fixed_points")
    x = inputs_of(net, x)
    if x.ndim != 1:
        raise ShapeError(f"x: expected {(net.input_size,)}, one constant input, got {x.shape}")
    rng = np.random.default_rng(_arguments.size("seed", seed, least=0))
    count = _arguments.size("n", n)
    starts = starts_for(of_step, states, count, rng)
    limit = 0.0 if slow is None else _arguments.number("slow", slow)
    near = _arguments.number("distance", distance)

    ends, done = search(
        of_step,
        starts,
        x,
        lambda h: is_fixed(of_step, h, x),
        _arguments.size("iterations", iterations),
    )
    kept = _distinct(of_step, ends, x, done, limit, near)
    points = [_point(of_step, ends[index], x, members) for index, members in kept]
    points.sort(key=lambda p: (1, p.speed) if p.kind == "slow" else (0, p.unstable, -p.starts))
    arrived = sum(point.starts for point in points)
    return FixedPoints(tuple(points), x, count, count - arrived, net.state_size)


def starts_for(
    of_step: StepMap, states: ArrayLike | None, n: int, rng: np.random.Generator
) -> Array:
    """Return the states (n, S) to start from."""
    S = of_step.net.state_size
    if states is None:
        low, high = _range(of_step)
        anywhere: Array = low + (high - low) * rng.random((n, S))
        return anywhere
    visited = states_of(of_step.net, "states", states).reshape(-1, S)
    if not len(visited):
        raise ArgumentError("states: expected at least one state, got none")
    one, other = visited[rng.integers(len(visited), size=(2, n))]
    part = rng.random((n, 1))
    part[: (n + 1) // 2] = 0.0
    between: Array = one + part * (other - one)
    return between


@np.errstate(over="ignore")
def _range(of_step: StepMap) -> tuple[Array, Array]:
    """Return the smallest and the largest state (S,) that the activations have, or -1 and 1."""
    ends = []
    for cell in of_step.cells:
        f = activate(of_step.net, cell.activation, np.array([-_LARGE, _LARGE]))
        ends += [np.where(np.abs(f) > 1e6, np.sign(f), f)] * len(cell.W_hh)
    return np.min(ends, axis=-1), np.max(ends, axis=-1)


def _distinct(
    of_step: StepMap,
    ends: Array,
    x: Array,
    done: NDArray[np.bool_],
    slow: float,
    distance: float,
) -> list[tuple[int, int]]:
    """Return the index of each distinct point, and how many ends are this point."""
    fixed = is_fixed(of_step, ends, x)
    speed = _speeds(of_step, ends, x)
    wanted = np.flatnonzero(fixed | (done & (speed <= slow)))
    order = wanted[np.lexsort((speed[wanted], ~fixed[wanted]))]
    kept: list[int] = []
    members: list[int] = []
    for index in order:
        gap = np.abs(ends[kept] - ends[index]).max(axis=-1, initial=0.0)
        near = np.flatnonzero(gap <= distance * max(1.0, np.abs(ends[index]).max()))
        between = (ends[np.array(kept, int)[near]] + ends[index]) / 2
        same = near[~fixed[index] | is_fixed(of_step, between, x)] if near.size else near
        if same.size:
            members[same[0]] += 1
        else:
            kept.append(int(index))
            members.append(1)
    return list(zip(kept, members, strict=True))


@np.errstate(all="ignore")
def _speeds(of_step: StepMap, h: Array, x: Array) -> Array:
    """Return |F(h) - h|^2 / 2 of states (..., S)."""
    moved = of_step.step(h, x)[0] - h
    speeds: Array = 0.5 * (moved * moved).sum(axis=-1)
    return speeds


@np.errstate(all="ignore")
def _point(of_step: StepMap, h: Array, x: Array, starts: int) -> FixedPoint:
    residual, bound = residuals(of_step, h, x)
    fixed = bool(is_fixed(of_step, h, x))
    worst = int(np.argmax(residual / bound))
    ball = enclose(of_step, h, x)
    values, unstable, stable = _eigenvalues(of_step, h, x, ball)
    return FixedPoint(
        kind="fixed" if fixed else "slow",
        state=h.copy(),
        eigenvalues=values,
        stable=True if stable else False if unstable else None,
        unstable=unstable,
        residual=float(residual[worst]),
        bound=float(bound[worst]),
        radius=ball.radius if fixed else None,
        speed=float(_speeds(of_step, h, x)),
        starts=starts,
    )


def _eigenvalues(
    of_step: StepMap, h: Array, x: Array, ball: Ball
) -> tuple[NDArray[np.complex128], int, bool]:
    """Return the eigenvalues (S,), the largest first.

    Also how many are outside the unit circle for certain, and whether all are inside for certain.
    """
    _, slopes = of_step.step(h, x)
    found, unstable, stable = [], 0, True
    for cell, f_prime, change in zip(
        of_step.cells, slopes, of_step.split(ball.change), strict=True
    ):
        J, error = f_prime[:, np.newaxis] * cell.W_hh, float(change.max())
        values, distance = eigenvalues(J, error)
        moduli = np.abs(values)
        found.append(values)
        unstable += int((moduli > 1 + distance).sum())
        stable = stable and (moduli.max() + distance < 1 or contracts(J, error))
    every = np.concatenate(found)
    return every[np.argsort(-np.abs(every), kind="stable")], unstable, stable
