"""How far a computed fixed point can be from an exact one.

The equations of a fixed point are, for the layers from the bottom up,

    h_l = f(z_l),   z_l = W_hh h_l + W_xh h_(l-1) + b_h

with the input in place of h_0: those of one layer whose matrix W has the W_hh on its diagonal and
the W_xh beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._interrupt import interruptible, product
from elman.reference.activations import clip_of, numbers_of, slope, steepest
from elman.reference.forward import scale_inputs
from elman.reference.judge import Rounding, judge_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.activation import Activation
    from elman.dynamics.step_map import StepMap

    Array = NDArray[np.float64]

_UNPROVED = 1e-7  # how far off a point without a proof is taken to be: one of a fold, for instance
_SQUARINGS = 60
_HOW = Rounding.of(np.float64)
_SECH2 = 4.0 / 3.0**1.5  # the largest |d^2 tanh(z)/dz^2|
# The largest |f''| between corners, from |alpha| and |beta|.
CURVATURE: dict[str, Callable[..., float]] = {
    "tanh": lambda: _SECH2,
    "sigmoid": lambda: _SECH2 / 8.0,  # (1 + tanh(z / 2)) / 2
    "relu": lambda: 0.0,
    "identity": lambda: 0.0,
    "leaky_relu": lambda alpha: 0.0,
    "elu": lambda alpha: alpha,
    "thresholded_relu": lambda alpha: 0.0,
    "hard_sigmoid": lambda alpha, beta: 0.0,
    "softsign": lambda: 2.0,
    "softplus": lambda: 0.25,
    "scaled_tanh": lambda alpha, beta: alpha * beta**2 * _SECH2,
    "affine": lambda alpha, beta: 0.0,
}
# Where f' jumps.
CORNERS: dict[str, Callable[..., list[float]]] = {
    "relu": lambda: [0.0],
    "leaky_relu": lambda alpha: [0.0],
    "elu": lambda alpha: [] if alpha == 1 else [0.0],
    "thresholded_relu": lambda alpha: [alpha],
    "hard_sigmoid": lambda alpha, beta: [-beta / alpha, (1 - beta) / alpha] if alpha else [],
}


def residuals(of_step: StepMap, h: Array, x: Array) -> tuple[Array, Array]:
    """Return |f(z) - h| of every unit (..., S), and the rounding bounds of f(z)."""
    found, bounds = [], []
    below = scale_inputs(of_step.net, x)
    with np.errstate(all="ignore"):
        for layer, h_l in zip(of_step.net.layers, of_step.split(h), strict=True):
            want, bound = judge_layer(of_step.net, layer, below, h_l, h_l, _HOW)
            found.append(np.abs(want - h_l))
            bounds.append(bound)
            below = h_l
    return np.concatenate(found, axis=-1), np.concatenate(bounds, axis=-1)


def is_fixed(of_step: StepMap, h: Array, x: Array) -> NDArray[np.bool_]:
    """Return which states (...) are fixed points within the rounding of every unit."""
    residual, bound = residuals(of_step, h, x)
    fixed: NDArray[np.bool_] = np.all((residual <= bound) & np.isfinite(bound), axis=-1)
    return fixed


class Ball(NamedTuple):
    """The result of `enclose`."""

    radius: float | None  # of the ball around h that contains exactly one fixed point
    change: Array  # (S,): how far the rows of the Jacobian within it can be from that at h


@np.errstate(all="ignore")
def enclose(of_step: StepMap, h: Array, x: Array) -> Ball:
    """Return a ball around one state (S,) with exactly one fixed point, if that can be shown.

    The theorem of Newton and Kantorovich in its form with an approximate inverse: let C be about
    (I - J)^-1, G(h) = h - f(z) and, in maximum norms and including rounding,

        eta >= |C G(h)|,   alpha >= |I - C (I - J(h))|,   K r >= |C (J(h') - J(h))|

    for all h' with |h' - h| <= r. Then h' -> h' - C G(h') maps the ball of radius r into itself if
    eta + (alpha + K r / 2) r <= r, and contracts there if alpha + K r < 1. J may not jump within
    the ball: the z of a unit must stay on its side of a corner.
    """
    rows = _rows(of_step, h, x)
    residual, bound = residuals(of_step, h, x)
    W1, u = np.abs(rows.W).sum(axis=-1), 2.0**-53
    J = rows.slope[:, np.newaxis] * rows.W
    of_J = (rows.curvature * rows.error + 64 * u * rows.steepest) * W1  # f' to 64 u, with slack
    at_corner = rows.to_corner <= W1 * _UNPROVED + rows.error
    unproved = of_J + (rows.curvature * W1 * _UNPROVED + 2 * rows.steepest * at_corner) * W1
    try:
        C = interruptible(np.linalg.inv, np.eye(len(h)) - J)
    except np.linalg.LinAlgError:
        return Ball(None, unproved)
    A, size = np.eye(len(h)) - J, np.abs(C)
    of_products = (len(h) + 4) * u * (size @ np.abs(A).sum(axis=-1))
    off = np.abs(np.eye(len(h)) - product(C, A)).sum(axis=-1)
    alpha = np.max(off + of_products + size @ of_J)
    eta = np.max(size @ (residual + bound))
    K = np.max(size @ (rows.curvature * W1**2))
    alpha, eta, K = (value * (1 + 1e-9) for value in (alpha, eta, K))  # the sums above round too
    root = np.maximum((1 - alpha) ** 2 - 2 * eta * K, 0.0)
    radius = 2 * eta / (1 - alpha + np.sqrt(root)) * (1 + 1e-6)  # checked, however it was found:
    into_itself = eta + (alpha + K * radius / 2) * radius <= radius
    smooth = (rows.to_corner > W1 * radius + rows.error).all()
    if not (alpha + K * radius < 1 and into_itself and smooth):
        return Ball(None, unproved)
    return Ball(float(radius), of_J + rows.curvature * W1**2 * radius)


def eigenvalues(J: Array, error: float) -> tuple[NDArray[np.complex128], float]:
    """Return the eigenvalues of J (S, S), and how far those of a matrix near it can be from them.

    Of every matrix within `error` of J, in maximum norms. F. L. Bauer and C. T. Fike, "Norms and
    exclusion theorems", Numerische Mathematik 2, 1960: the eigenvalues of V^-1 (J + dJ) V are
    within |V^-1 (J V - V diag(values) + dJ V)| of `values`; a group of discs that touches no other
    has as many as it has discs. V^-1 is at most |W| / (1 - |W V - I|) for a computed inverse W.
    """
    if not np.isfinite(J).all():
        return np.full(len(J), np.nan, complex), np.inf
    values, V = interruptible(np.linalg.eig, J)
    u, size = 8 * (len(J) + 1) * 2.0**-53, _norm(V)  # of complex sums
    try:
        W = interruptible(np.linalg.inv, V)
    except np.linalg.LinAlgError:  # a multiple eigenvalue without enough eigenvectors
        return values.astype(complex), np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        largest = float(np.abs(values).max())
        off = _norm(product(J, V) - V * values) + u * size * (_norm(J) + largest) + error * size
        rest = _norm(product(W, V) - np.eye(len(J))) + u * _norm(W) * size
        distance = _norm(W) * off / (1 - rest) * (1 + 1e-6) if rest < 1 else np.inf
    return values.astype(complex), distance if distance < np.inf else np.inf


def contracts(J: Array, error: float) -> bool:
    """Return whether a power of every matrix within `error` of J (S, S) has a norm below 1.

    Then their eigenvalues are inside the unit circle. The powers are squares of squares.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_SQUARINGS):
            size = _norm(J)
            if size + error < 1:
                return True
            error = (2 * size * error + error * error + (len(J) + 2) * 2.0**-53 * size * size) * (
                1 + 1e-9
            )
            J = product(J, J)
            if not error < 1:
                return False
    return False


def _norm(matrix: NDArray[Any]) -> float:
    """Return the maximum norm of a matrix, rounded up."""
    return float(np.abs(matrix).sum(axis=-1).max()) * (1 + 1e-9)


class _Rows(NamedTuple):
    """What the equations of all units are made of, each (S,), and W (S, S)."""

    W: Array
    error: Array  # rounding of z
    slope: Array
    steepest: Array
    curvature: Array
    to_corner: Array  # distance of z from the nearest jump of f'


def _rows(of_step: StepMap, h: Array, x: Array) -> _Rows:
    net, parts = of_step.net, []
    below, begin, before = scale_inputs(net, x), 0, 0
    for cell, h_l in zip(of_step.cells, of_step.split(h), strict=True):
        end = begin + len(h_l)
        W = np.zeros((len(h_l), len(h)))
        W[:, begin:end] = cell.W_hh
        if begin > 0:
            W[:, before:begin] = cell.W_xh
        z = cell.W_hh @ h_l + cell.W_xh @ below + cell.b_h
        size = np.abs(cell.W_hh) @ np.abs(h_l) + np.abs(cell.W_xh) @ np.abs(below)
        terms = len(h_l) + len(below)
        f = cell.activation
        parts.append(
            _Rows(
                W,
                _HOW.sums(terms) * (size + np.abs(cell.b_h)),
                slope(net, f, z),
                np.full_like(z, steepest(net, f)),
                np.full_like(z, curvature(net, f)),
                to_corner(net, f, z),
            )
        )
        below, before, begin = h_l, begin, end
    return _Rows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def curvature(net: Network, f: Activation) -> float:
    """Return the largest |f''| between corners."""
    numbers = {name: abs(number) for name, number in numbers_of(net, f).items()}
    return CURVATURE[f.name](**numbers)


def to_corner(net: Network, f: Activation, z: Array) -> Array:
    """Return the distance of z from the nearest jump of f'; infinity if there is none."""
    limit = clip_of(net, f)
    corners = CORNERS[f.name](**numbers_of(net, f)) if f.name in CORNERS else []
    distances = [np.abs(z - corner) for corner in (*corners, -limit, limit)]
    nearest: Array = np.minimum.reduce(distances)
    return nearest
