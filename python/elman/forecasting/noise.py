"""Whether a difference of errors exceeds its noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def standard_error(values: Array, reach: int = 0) -> float:
    """Return the standard error of the mean of neighbouring values, which may be correlated.

    The long-run variance of Newey and West (1987), over the cube root of the number of values
    beyond `reach`, in which overlapping forecasts are always correlated.
    """
    n = len(values)
    if n < 2:
        return math.inf
    centred = values - values.mean()
    variance = float(centred @ centred)
    width = min(n - 1, reach + math.ceil(n ** (1 / 3)))
    for lag in range(1, width + 1):
        weight = 2 * (1 - lag / (width + 1))
        variance += weight * float(centred[lag:] @ centred[:-lag])
    return math.sqrt(max(0.0, variance)) / n
