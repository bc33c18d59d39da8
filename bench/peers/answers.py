"""Every answer is held against the NumPy reference before anything is timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman.peers.base import Peer

    Array = NDArray[Any]

UNITS = 200  # of the last place of the largest output: roundings differ, and add up


def wrong_steps(peer: Peer, x: Array, expected: Array) -> str | None:
    """Return what is wrong with the steps of a peer over x (T, I), or None."""
    for mode, step in peer.steps().items():
        y = [np.array(peer.output(step(x_t))).reshape(-1) for x_t in peer.input(x)]
        if found := _wrong(np.array(y), expected, x.dtype):
            return f"{mode or 'step'}: {found}"
    return None


def wrong_run(peer: Peer, x: Array, expected: Array) -> str | None:
    """Return what is wrong with the answer of a peer to x (T, I) or (B, T, I), or None."""
    return _wrong(peer.output(peer.run(peer.input(x))), expected, x.dtype)


def _wrong(y: Array, expected: Array, dtype: np.dtype[Any]) -> str | None:
    if y.size != expected.size:
        return f"expected {expected.shape}, got {y.shape}"
    error = float(np.abs(y.reshape(expected.shape) - expected).max())
    allowed = float(UNITS * np.finfo(dtype).eps * max(1.0, np.abs(expected).max()))
    return None if error <= allowed else f"off by {error:.2g}, allowed is {allowed:.2g}"
