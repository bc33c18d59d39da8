"""Lyapunov exponents: the rates at which a driven network stretches and shrinks differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments
from elman._interrupt import interruptible, product
from elman.dynamics.record import Record
from elman.dynamics.step_map import StepMap, sequence_of, start_of
from elman.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[np.float64]

_PARTS = 20  # of the steps, for the standard error


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lyapunov(Record):
    """Lyapunov exponents, from `lyapunov`.

    Attributes
    ----------
    exponents : ndarray, shape (n,)
        Natural logarithms of the mean factor per step, the largest first; -inf where directions
        collapse within a step.
    standard_error : ndarray, shape (n,)
        Of the mean over time, from the means of 20 parts of the steps; NaN with fewer steps.
    rates : ndarray, shape (steps, n)
        The logarithms of the factors of each step, whose mean over time are the exponents.
    discard : int
        How many steps before them were left out.
    """

    exponents: Array
    standard_error: Array
    rates: Array
    discard: int

    @property
    def dimension(self) -> float:
        """The Kaplan-Yorke dimension of the attractor; NaN if it takes more exponents to tell.

        J. L. Kaplan and J. A. Yorke, "Chaotic behavior of multidimensional difference equations",
        Lecture Notes in Mathematics 730, 1979.
        """
        sums = np.cumsum(self.exponents)
        beyond = np.flatnonzero(sums < 0)
        if not beyond.size:
            return np.nan
        k = int(beyond[0])
        whole = 0.0 if k == 0 else float(sums[k - 1])
        return k + whole / abs(float(self.exponents[k]))

    def __repr__(self) -> str:
        steps, n = self.rates.shape
        error = self.standard_error[0]
        return (
            f"Lyapunov({n} exponents, the largest {self.exponents[0]:.4g} ± {error:.1g},"
            f" from {steps:,} steps)"
        )


def lyapunov(
    net: Network,
    x: ArrayLike,
    *,
    state: ArrayLike | None = None,
    n: int | None = None,
    discard: int | None = None,
) -> Lyapunov:
    """Compute the Lyapunov exponents of a network driven by an input.

    n directions are multiplied by the Jacobian of every step and made orthogonal again by a QR
    decomposition, whose diagonal has the factors by which they grew (G. Benettin, L. Galgani,
    A. Giorgilli and J.-M. Strelcyn, "Lyapunov characteristic exponents for smooth dynamical
    systems", Meccanica 15, 1980; R. Engelken, F. Wolf and L. F. Abbott, "Lyapunov spectra of
    chaotic recurrent neural networks", Physical Review Research 5, 2023). A largest exponent below
    0 means that the state forgets where it began (the echo state property along this input), one
    above 0 that small differences grow: chaos.

    Parameters
    ----------
    net : Network
        A network whose layers all run forward.
    x : array_like, shape (T, I)
        The input, one sequence; for a network on its own T rows of zeros.
    state : array_like, shape (S,), optional
        State to begin with; by default the network's initial state. From zeros without an input,
        a network without biases stays at zero.
    n : int, optional
        How many exponents, the largest ones; by default all S.
    discard : int, optional
        How many steps to leave out at the beginning, while the state comes to its attractor and the
        directions align; by default a tenth.

    Returns
    -------
    Lyapunov
        The exponents and their standard errors. The states are computed in float64.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If an argument is invalid, or a layer does not run forward.

    Examples
    --------
    Two units that turn by a radian and shrink by a tenth:

    >>> import numpy as np, elman
    >>> turn = 0.9 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    >>> net = elman.Network.from_weights(
    ...     [(np.ones((2, 1)), turn, None)], None, activation="identity"
    ... )
    >>> elman.dynamics.lyapunov(net, np.zeros((100, 1))).exponents / np.log(0.9)
    array([1., 1.])
    """
    of_step = StepMap(net, "lyapunov")
    inputs, h = sequence_of(net, x), start_of(net, state)
    T, S = len(inputs), net.state_size
    count = S if n is None else _arguments.size("n", n)
    if count > S:
        raise ArgumentError(f"n: expected at most {S}, the size of the state, got {count}")
    skipped = T // 10 if discard is None else _arguments.size("discard", discard, least=0)
    if skipped >= T:
        raise ArgumentError(f"x: expected more than {skipped} steps, got {T}")

    Q, _ = interruptible(np.linalg.qr, np.random.default_rng(0).standard_normal((S, count)))
    rates = np.empty((T, count))
    for t, x_t in enumerate(inputs):
        h, slopes = of_step.step(h, x_t)
        J = of_step.jacobian(slopes)
        if not (np.isfinite(h).all() and np.isfinite(J).all()):
            raise ArgumentError(
                "x: expected inputs that keep the states and their derivatives finite, got others"
                f" at step {t}"
            )
        Q, R = interruptible(np.linalg.qr, product(J, Q))
        with np.errstate(divide="ignore"):
            rates[t] = np.log(np.abs(np.diagonal(R)))
    rates = rates[skipped:]
    exponents = rates.mean(axis=0)
    order = np.argsort(-exponents, kind="stable")
    rates = rates[:, order]
    return Lyapunov(exponents[order], _standard_error(rates), rates, skipped)


@np.errstate(invalid="ignore")
def _standard_error(rates: Array) -> Array:
    """Return the standard errors (n,) of the means over time of rates (steps, n)."""
    if len(rates) < _PARTS:
        return np.full(rates.shape[1], np.nan)
    means = np.array([part.mean(axis=0) for part in np.array_split(rates, _PARTS)])
    error: Array = means.std(axis=0, ddof=1) / np.sqrt(_PARTS)
    return error
