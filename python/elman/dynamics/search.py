"""The search for states that a step does not move, from many starts at a time.

Levenberg's and Marquardt's method on q(h) = |F(h) - h|^2 / 2: Newton's near a fixed point, and a
descent elsewhere, so that it also ends in minima of q above 0, the slow points of D. Sussillo and
O. Barak, "Opening the black box", Neural Computation 25, 2013, who minimize q by gradient descent.
The damping follows H. B. Nielsen (K. Madsen, H. B. Nielsen and O. Tingleff, "Methods for non-linear
least squares problems", 2004).

Tried, with 100 starts each: Newton's method without damping arrives nowhere in a chaotic network of
64 tanh units, where 21 of these searches do, and finds 4 of 7 points in one of 20 units. SciPy's
`root` (hybr) finds about as many points per start, in 0.7 to 0.8 of the time on a flip-flop of 24
or 64 units, and no slow ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._interrupt import interruptible, product

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman.dynamics.step_map import StepMap

    Array = NDArray[np.float64]

_BLOCK_VALUES = 1 << 21  # of the matrices of one block of starts, to limit memory
_FIRST_DAMPING = 1e-3  # relative to the largest diagonal element of A^T A
_LARGEST_DAMPING = 1e12
_SMALLEST_DAMPING = 1e-30
_RELATIVE_DAMPING = 1e-15
_FLAT = 1e-17  # a step that promises to reduce q by less than this part: a minimum above 0


def search(
    of_step: StepMap,
    starts: Array,
    x: Array,
    arrived: Callable[[Array], NDArray[np.bool_]],
    iterations: int,
) -> tuple[Array, NDArray[np.bool_]]:
    """Return where the search ends from each of the starts (n, S), and which searches are done.

    A row is left alone as soon as `arrived` says so.
    """
    size = max(1, _BLOCK_VALUES // starts.shape[-1] ** 2)
    blocks = [starts[begin : begin + size] for begin in range(0, len(starts), size)]
    ends = [_descend(of_step, block, x, arrived, iterations) for block in blocks]
    states, done = (np.concatenate(part) for part in zip(*ends, strict=True))
    return states, done


@np.errstate(all="ignore")
def _descend(
    of_step: StepMap,
    starts: Array,
    x: Array,
    arrived: Callable[[Array], NDArray[np.bool_]],
    iterations: int,
) -> tuple[Array, NDArray[np.bool_]]:
    h, ends = starts.copy(), starts.copy()
    rows, done = np.arange(len(starts)), np.ones(len(starts), bool)
    r, A = motion(of_step, h, x)
    damping = _FIRST_DAMPING * (A * A).sum(axis=-2).max(axis=-1) + _SMALLEST_DAMPING
    growth = np.full(len(h), 2.0)
    for _ in range(iterations):
        gradient = np.einsum("nij,ni->nj", A, r)
        d = _steps(A, gradient, damping)
        expected = (d * (damping[:, np.newaxis] * d - gradient)).sum(axis=-1)  # decrease of 2 q
        squares = (r * r).sum(axis=-1)
        stop = arrived(h) | (expected <= _FLAT * squares) | (damping > _LARGEST_DAMPING)
        ends[rows[stop]] = h[stop]
        everything = (rows, h, r, A, d, expected, squares, damping, growth)
        rows, h, r, A, d, expected, squares, damping, growth = (a[~stop] for a in everything)
        if not rows.size:
            break
        r_new, A_new = motion(of_step, h + d, x)
        gain = (squares - (r_new * r_new).sum(axis=-1)) / expected
        good = gain > 0
        h = np.where(good[:, np.newaxis], h + d, h)
        r = np.where(good[:, np.newaxis], r_new, r)
        A = np.where(good[:, np.newaxis, np.newaxis], A_new, A)
        factor: Array = np.where(good, np.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), growth)
        damping = np.maximum(damping * factor, _SMALLEST_DAMPING)
        growth = np.where(good, 2.0, 2.0 * growth)
    ends[rows], done[rows] = h, False
    return ends, done


def motion(of_step: StepMap, h: Array, x: Array) -> tuple[Array, Array]:
    """Return F(h) - h (n, S) and its Jacobian (n, S, S)."""
    after, slopes = of_step.step(h, x)
    J = of_step.jacobian(slopes)
    return after - h, J - np.eye(h.shape[-1])


def _steps(A: Array, gradient: Array, damping: Array) -> Array:
    """Return the steps d (n, S) of (A^T A + damping I) d = -gradient."""
    H: Array = product(A.swapaxes(-1, -2), A)
    least = _RELATIVE_DAMPING * np.abs(H).max(axis=(-2, -1))  # or H could be singular to rounding
    diagonal: Array = np.maximum(damping, least)[:, np.newaxis, np.newaxis] * np.eye(A.shape[-1])
    steps = interruptible(np.linalg.solve, H + diagonal, -gradient[..., np.newaxis])
    return np.asarray(steps[..., 0], dtype=np.float64)
