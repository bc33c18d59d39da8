"""NumPy with preallocated results: two products for the states, and one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.weights import weights
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class TwoProducts(Pool):
    """h = tanh(x W_xh' + h W_hh' + b_h); sigmoid(z) = (tanh(z / 2) + 1) / 2."""

    def __init__(self, net: Network, n: int) -> None:
        w = weights(net)
        ((W_xh, W_hh, self.b_h, _),) = w.layers
        half = W_xh.dtype.type(0.5)
        self.W_xh, self.W_hh, self.W_hy = W_xh.T, W_hh.T, (w.W_hy * half).T
        self.b_y, self.half, self.one = w.b_y * half, half, half + half
        self.u, self.r, self.h = np.zeros((3, n, len(W_hh)), net.dtype)
        self.y = np.empty((n, net.output_size), net.dtype)

    def step(self, x: Array) -> Array:
        u, r, y, add = self.u, self.r, self.y, np.add
        np.matmul(x, self.W_xh, u)
        add(u, np.matmul(self.h, self.W_hh, r), u)
        np.tanh(add(u, self.b_h, u), self.h)
        add(np.matmul(self.h, self.W_hy, y), self.b_y, y)
        add(np.tanh(y, y), self.one, y)
        return np.multiply(y, self.half, y)


class OneProduct(Pool):
    """Keep v = [x, 1, h] of all rows in one array (n, I + 1 + H)."""

    def __init__(self, net: Network, n: int) -> None:
        w = weights(net)
        ((W_xh, W_hh, b_h, _),) = w.layers
        self.half = W_xh.dtype.type(0.5)
        self.one, I = self.half + self.half, net.input_size
        self.v = np.zeros((n, I + 1 + len(b_h)), net.dtype)
        self.x, self.one_and_h, self.h = self.v[:, :I], self.v[:, I:], self.v[:, I + 1 :]
        self.one_and_h[:, 0] = 1
        self.W = np.column_stack([W_xh, b_h, W_hh]).T
        self.W_hy = (np.column_stack([w.b_y, w.W_hy]) * self.half).T
        self.u, self.y = np.empty_like(self.h), np.empty((n, net.output_size), net.dtype)

    def step(self, x: Array) -> Array:
        y = self.y
        self.x[:] = x
        np.tanh(np.matmul(self.v, self.W, self.u), self.h)
        np.tanh(np.matmul(self.one_and_h, self.W_hy, y), y)
        return np.multiply(np.add(y, self.one, y), self.half, y)


POOLS = {"two products": TwoProducts, "one product": OneProduct}
