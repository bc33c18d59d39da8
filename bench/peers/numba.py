"""numba: explicit loops compiled with `fastmath`, the weights in one array.

One layer, ns per step at H = 16, 64, 256, 1024: rows times vector (used here) 1110, 2142, 12186,
114644; sums of columns 1179, 2260, 12672, 107994; `np.dot` 1469, 2450, 12098, 98851.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from elman.cli.timing.base import Peer
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

_jit = numba.njit(fastmath=True, cache=True)


@_jit
def _add_product(W, v, z):
    """z += W v."""
    for r in range(W.shape[0]):
        total = z[r]
        for k in range(W.shape[1]):
            total += W[r, k] * v[k]
        z[r] = total


@_jit
def _step(parameters, sizes, sigmoid, h, u, x, y):
    """Compute a step; sizes are I, H of each layer, O; h holds the states; u is scratch."""
    p, start, below = 0, 0, x
    for l in range(1, len(sizes) - 1):
        I, H = sizes[l - 1], sizes[l]
        state, z = h[start : start + H], u[start : start + H]
        z[:] = parameters[p : p + H]
        p += H
        _add_product(parameters[p : p + H * I].reshape(H, I), below, z)
        p += H * I
        _add_product(parameters[p : p + H * H].reshape(H, H), state, z)
        p += H * H
        for r in range(H):
            state[r] = np.tanh(z[r])
        below = state
        start += H
    O, H = len(y), len(below)
    y[:] = parameters[p : p + O]
    p += O
    _add_product(parameters[p : p + O * H].reshape(O, H), below, y)
    if sigmoid:
        for r in range(O):
            y[r] = 1 / (1 + np.exp(-y[r]))
    return y


@_jit
def _run(parameters, sizes, sigmoid, h_0, x, y):
    h, u = np.empty_like(h_0), np.empty_like(h_0)
    for b in range(x.shape[0]):
        h[:] = h_0
        for t in range(x.shape[1]):
            _step(parameters, sizes, sigmoid, h, u, x[b, t], y[b, t])


@_jit
def _generate(parameters, sizes, sigmoid, h_0, x, y):
    h, u = h_0.copy(), np.empty_like(h_0)
    for t in range(len(y)):
        x = _step(parameters, sizes, sigmoid, h, u, x, y[t])


class Numba(Peer):
    """A compiled step, and a compiled loop over it."""

    def __init__(self, net: Network) -> None:
        w = weights(net)
        tensors = [a for W_xh, W_hh, b_h, _ in w.layers for a in (b_h, W_xh, W_hh)]
        parameters = np.concatenate([a.ravel() for a in (*tensors, w.b_y, w.W_hy)])
        sizes = np.array([net.input_size, *net.hidden_sizes, net.output_size])
        self.h_0 = np.concatenate([layer.h_0 for layer in w.layers])
        self.O = net.output_size
        self.network = parameters, sizes, w.sigmoid

    def steps(self) -> dict[str, Step]:
        parameters, sizes, sigmoid = self.network
        h, u, y = self.h_0.copy(), np.empty_like(self.h_0), np.empty(self.O, self.h_0.dtype)
        return {"": lambda x_t: _step(parameters, sizes, sigmoid, h, u, x_t, y)}

    def run(self, x: Array) -> Array:
        x = x if x.ndim == 3 else x[np.newaxis]
        y = np.empty((*x.shape[:2], self.O), x.dtype)
        _run(*self.network, self.h_0, x, y)
        return y

    def generate(self, x: Array, steps: int) -> Array:
        """Return the outputs (steps, O) after x (I,), each the next input."""
        y = np.empty((steps, self.O), x.dtype)
        _generate(*self.network, self.h_0, x, y)
        return y

    def output(self, y: Array) -> Array:
        return y[0] if y.ndim == 3 and len(y) == 1 else y


PEER = Numba
