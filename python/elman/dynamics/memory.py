"""How many steps back an input can be read out of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments
from elman._interrupt import interruptible, product
from elman._network import require_network
from elman.dynamics.record import Record
from elman.errors import ArgumentError
from elman.reference.forward import float64, require_forward

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MemoryCurve(Record):
    """How well past inputs can be read out, from `memory_curve`.

    Attributes
    ----------
    lags : ndarray of int, shape (K,)
        0, 1, ... steps back; lag 0 is the input of the step itself.
    r2 : ndarray, shape (K,)
        R^2 by lag, the mean over the inputs: 1 for a perfect readout; near 0, and often slightly
        below, where nothing can be read, because it is judged on steps that were not fitted.
    by_input : ndarray, shape (K, I)
        R^2 of each input.
    capacity : float
        The memory capacity, the sum of all R^2 above 0: in expectation at most the number of units.
    """

    lags: NDArray[np.int64]
    r2: Array
    by_input: Array
    capacity: float

    def __repr__(self) -> str:
        return f"MemoryCurve(capacity {self.capacity:.4g}, lags 0 to {self.lags[-1]})"


def memory_curve(
    net: Network,
    *,
    lags: int | None = None,
    steps: int = 10_000,
    seed: int = 0,
    scale: float = 1.0,
    washout: int = 200,
) -> MemoryCurve:
    """Measure how many steps back an input can be read out of the state linearly.

    The short-term memory of H. Jaeger ("Short term memory in echo state networks", GMD report 152,
    2002): the network reads random inputs, independent in time, and for every lag k a linear
    readout of the state h_t with a constant is fitted to x_(t-k) on the first half of the steps and
    judged by R^2 on the second.

    Parameters
    ----------
    net : Network
        A network whose layers all run forward.
    lags : int, optional
        The largest lag; by default twice the number of units, at most 200.
    steps : int
        Number of steps to fit and judge on.
    seed : int
        Determines the inputs.
    scale : float
        The standard deviation of the inputs that the first layer reads; they are uniform. The
        smaller they are, the more linear is the network, and the more of its memory is linear.
    washout : int
        Number of steps to leave out at the beginning, besides the lags.

    Returns
    -------
    MemoryCurve
        R^2 by lag, and their sum, the capacity. The states are those of the core, in the network's
        dtype; its rounding limits the memory of a float32 network as it does in use.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a layer does not run forward, or there are not enough steps for the number of units.

    Examples
    --------
    A delay line of five units remembers five inputs:

    >>> import numpy as np, elman
    >>> line = elman.Network.from_weights(
    ...     [(np.eye(5, 1), np.eye(5, k=-1), None)], None, activation="identity"
    ... )
    >>> curve = elman.dynamics.memory_curve(line, lags=7)
    >>> curve
    MemoryCurve(capacity 5, lags 0 to 7)
    >>> curve.r2.round(2) + 0.0
    array([1., 1., 1., 1., 1., 0., 0., 0.])
    """
    require_network(net)
    require_forward(net, "memory_curve")
    S = net.state_size
    last = min(2 * S, 200) if lags is None else _arguments.size("lags", lags, least=0)
    count = _arguments.size("steps", steps)
    if count < 4 * (S + 1):
        raise ArgumentError(
            f"steps: expected at least {4 * (S + 1)}, 4 for each unit and the constant, got {count}"
        )
    before = last + _arguments.size("washout", washout, least=0)
    rng = np.random.default_rng(_arguments.size("seed", seed, least=0))
    width = np.sqrt(3.0) * _arguments.number("scale", scale)
    drive = rng.uniform(-width, width, (before + count, net.input_size))
    hidden = net.run(_in_scale_of_data(net, drive), return_hidden=True).hidden
    assert hidden is not None
    if not np.isfinite(hidden).all():
        raise ArgumentError("net: expected a network whose states stay finite, got others")
    h = np.hstack([hidden[before:].astype(np.float64), np.ones((count, 1))])
    past = np.stack([drive[before - k : len(drive) - k] for k in range(last + 1)], axis=1)
    by_input = _r2(h, past.reshape(count, -1)).reshape(last + 1, -1)
    capacity = float(np.maximum(by_input, 0.0).sum())
    return MemoryCurve(np.arange(last + 1), by_input.mean(axis=-1), by_input, capacity)


def _in_scale_of_data(net: Network, drive: Array) -> Array:
    """Return the inputs that the first layer reads as `drive`."""
    std = 1.0 if net.input_std is None else float64(net.input_std)
    return drive * std + float64(net.input_mean)


def _r2(h: Array, targets: Array) -> Array:
    """Fit targets (N, K) on rows h (N, S + 1) of the first half; return R^2 on the second."""
    half = len(h) // 2
    weights = interruptible(np.linalg.lstsq, h[:half], targets[:half], rcond=None)[0]
    error = targets[half:] - product(h[half:], weights)
    deviation = targets[half:] - targets[half:].mean(axis=0)
    r2: Array = 1.0 - (error * error).sum(axis=0) / (deviation * deviation).sum(axis=0)
    return r2
