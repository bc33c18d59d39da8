"""Prediction intervals from the errors of earlier forecasts, and their coverage.

The quantiles of N errors are those of conformal prediction: with the k-th smallest and the k-th
largest one, k = (N + 1) (1 - interval) / 2, a new error of the same distribution lies between them
with at least the probability `interval`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Band(NamedTuple):
    """Distances (S, O) of the interval's ends from the forecast, and their measured coverage."""

    lower: Array
    upper: Array
    coverage: float
    judged: int  # the number of values it was measured on


def fewest(interval: float) -> int:
    """Return the smallest number of errors that have such an interval."""
    return math.ceil(round(2 / (1 - interval), 9)) - 1


def band(early: Array, late: Array, interval: float) -> Band | None:
    """Return the interval from all errors, (N, S, O), or None if there are too few.

    The errors are truth minus forecast, in two halves by time. The coverage is that of the interval
    of the early half, measured on the late one, as in use: from the past, for the future.
    Interleaved halves would overestimate it, because neighbouring errors are correlated.
    """
    if min(len(early), len(late)) < fewest(interval):
        return None
    lower, upper = _ends(early, interval)
    covered = (late >= lower) & (late <= upper)
    return Band(
        *_ends(np.concatenate([early, late]), interval), float(covered.mean()), covered.size
    )


def _ends(errors: Array, interval: float) -> tuple[Array, Array]:
    k = math.floor(round((len(errors) + 1) * (1 - interval) / 2, 9))
    ordered = np.sort(errors, axis=0)
    return ordered[k - 1], ordered[-k]
