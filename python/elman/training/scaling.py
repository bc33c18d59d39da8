"""The warning for inputs or targets that are far from the scale of a network."""

from __future__ import annotations

import math
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _core
from elman.activation import range_of
from elman.errors import ScalingWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._network import Network
    from elman.training.data import Data

    Array = NDArray[Any]

# On a series with one input (16 units, 60 epochs, three seeds) the loss at these limits was 5 to 15
# times that of standardized values, and 2 to 3 times for hours and degrees Celsius.
# Flags, bytes / 255, sines and counts up to 10 are within the limits.
_MEAN = 20.0
_STD = 10.0
_MEAN_IN_STD = 4.0  # of values that vary; only if the mean is above 2
_SMALL_MEAN = 2.0
_CONSTANT = 1e-6  # a deviation below this share of the mean
_NUMBERS = 2**18  # at a time: a signal waits for less than a millisecond
_UNIT = 2.0**-600  # squares of float64 numbers in these units are finite
_SHOWN = 8  # columns whose numbers the remedy gives


class _Columns(NamedTuple):
    """Mean and standard deviation of each column, and which are far from the network's scale."""

    mean: Array
    std: Array
    far: Array


def warn(net: Network, data: Data, loss: str, outputs: str) -> None:
    """Warn once if columns of x, or of y for "mse", are far from the scale of the network."""
    of_x, of_y = _counted(data, outputs)
    said: list[str] = []
    remedy: list[str] = []
    with np.errstate(all="ignore"):
        x = _columns(data.x, of_x, net.input_mean, net.input_std)
        _say("x", "input", "feature", x, said, remedy)
        if loss == "mse" and not _bounded(net):
            y = _columns(data.y, of_y, net.output_mean, net.output_std)
            _say("y", "output", "output", y, said, remedy)
    if said:
        warnings.warn(
            f"{'; '.join(said)}. Training expects means near 0 and deviations near 1: let the"
            f" network scale them, net = net.replace(tensors={{{', '.join(remedy)}}})",
            ScalingWarning,
            stacklevel=_depth_of_the_caller(),
        )


def _depth_of_the_caller() -> int:
    """Return the `stacklevel`, in `warn`, of the first frame outside this package."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("elman."):
        frame, depth = frame.f_back, depth + 1
    return depth


def _say(
    argument: str, side: str, word: str, columns: _Columns, said: list[str], remedy: list[str]
) -> None:
    """Append the error of the worst column, and the scaling of all columns."""
    mean, std, far = columns
    if not far.any():
        return
    worst = int(np.argmax(np.where(far, np.abs(mean) + std, 0)))
    others = int(far.sum()) - 1
    said.append(
        f"{argument}: {word} {worst} has mean {mean[worst]:.4g} and standard deviation"
        f" {std[worst]:.4g}" + (f", and {others} more are like it" if others else "")
    )
    if len(mean) <= _SHOWN:
        scale = np.where(std > _CONSTANT * np.abs(mean), std, 1.0).tolist()
        means = str([_rounded(m, s) for m, s in zip(mean.tolist(), scale, strict=True)])
        stds = str([_rounded(s, s) for s in scale])
    else:
        rows = f"np.vstack({argument})"
        means = f"{rows}.mean(axis=0)"
        stds = f"{rows}.std(axis=0)"
        if (std <= _CONSTANT * np.abs(mean)).any():  # constant columns: 1
            stds = f"np.where(np.ptp({rows}, axis=0) > 0, {stds}, 1)"
    remedy.append(f"'{side}_mean': {means}, '{side}_std': {stds}")


def _rounded(number: float, std: float) -> float:
    """Round a number to a hundredth of the deviation."""
    try:
        return round(number, 2 - math.floor(math.log10(std)))
    except OverflowError:  # the next round number is beyond float64
        return number


def _bounded(net: Network) -> bool:
    g = net.output_activation or net.activations[-1]
    return g.clip is not None or bool(np.isfinite(range_of(g)).all())


def _counted(data: Data, outputs: str) -> tuple[Array | None, Array | None]:
    """Return which rows of x and of y are used, flat; None for all."""
    if data.lengths is None and data.weights is None:
        return None, None
    batch, T = data.batch, data.x.shape[-2]
    lengths = np.broadcast_to(T if data.lengths is None else data.lengths, batch)[..., np.newaxis]
    weights = np.asarray(1.0 if data.weights is None else data.weights)
    if outputs == "all":
        steps = (np.arange(T) < lengths) & (weights > 0)
        return steps.reshape(-1), steps.reshape(-1)
    used = (lengths > 0) & np.broadcast_to(weights > 0, batch)[..., np.newaxis]
    return ((np.arange(T) < lengths) & used).reshape(-1), used.reshape(-1)


def _columns(
    values: Array, mask: Array | None, shift: Array | None, scale: Array | None
) -> _Columns:
    """Return mean and deviation of unscaled columns, and which are far off after a scaling."""
    rows = values.reshape(-1, values.shape[-1])
    mean, std = _moments(rows, mask)
    size, spread = np.abs(mean), std
    seen = size if shift is None else np.abs(mean - shift)
    if scale is not None:
        seen, spread = seen / scale, std / scale
    varies = std > _CONSTANT * size
    far = (seen > _MEAN) | (spread > _STD)
    far |= varies & (seen > _SMALL_MEAN) & (seen > _MEAN_IN_STD * spread)
    return _Columns(mean, std, far)


def _moments(rows: Array, mask: Array | None) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each column, over the rows of a mask if any."""
    mean, std = _summed(rows, mask)
    large = ~np.isfinite(std)  # their squares are beyond float64
    if large.any():
        means, stds = _summed(rows[:, large] * _UNIT, mask)
        mean[large], std[large] = means / _UNIT, stds / _UNIT
    return mean, std


def _summed(rows: Array, mask: Array | None) -> tuple[Array, Array]:
    """Return the moments of columns whose squares are finite; others are inf or NaN."""
    shift = rows[0 if mask is None else mask.argmax()].astype(np.float64)
    count, sums = 0, np.zeros((2, len(shift)))
    step = max(1, _NUMBERS // len(shift))
    for begin in range(0, len(rows), step):
        block = rows[begin : begin + step]
        if mask is not None:
            block = block[mask[begin : begin + step]]
        count += len(block)
        sums += _core.moments(block, shift)  # of x - shift, so that the squares keep their digits
    offset, squares = sums / count
    return shift + offset, np.sqrt(np.maximum(squares - offset**2, 0))
