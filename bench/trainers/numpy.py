"""NumPy: backpropagation through time by hand, with preallocated results."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, NORM_EPSILON, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class NumPy:
    """Only the two recurrent products are computed step by step; Adam uses one flat array."""

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        tensors = weights(net)
        B, T = x.shape[:2]
        H, O, dtype = len(tensors["W_hh"]), y.shape[-1], x.dtype
        self.x, self.y = (_by_time(a).reshape(T * B, -1) for a in (x, y))
        self.h = np.zeros((T + 1, B, H), dtype)  # h[t] is the state before step t
        self.errors, self.d, self.slope = (np.empty((T, B, n), dtype) for n in (O, H, H))
        self.back = np.empty((B, H), dtype)
        self.flat = np.concatenate([tensor.ravel() for tensor in tensors.values()]).astype(dtype)
        self.gradient, self.m, self.v = (np.zeros_like(self.flat) for _ in range(3))
        ends = np.cumsum([tensor.size for tensor in tensors.values()])
        self.w, self.g = (
            {
                name: part.reshape(tensors[name].shape)
                for name, part in zip(tensors, np.split(flat, ends[:-1]), strict=True)
            }
            for flat in (self.flat, self.gradient)
        )
        self.count = 0

    def update(self) -> float:
        """Return the loss before the update."""
        loss = self._forward()
        self._backward()
        self._adam()
        return loss

    def parameters(self) -> dict[str, Array]:
        return self.w

    def _forward(self) -> float:
        w, h, errors = self.w, self.h, self.errors.reshape(self.y.shape)
        np.matmul(self.x, w["W_xh"].T, out=_rows(h[1:]))
        h[1:] += w["b_h"]
        W = w["W_hh"].T
        for before, h_t in itertools.pairwise(h):
            h_t += np.matmul(before, W, out=self.back)
            np.tanh(h_t, out=h_t)
        np.matmul(_rows(h[1:]), w["W_hy"].T, out=errors)
        errors += w["b_y"]
        errors -= self.y
        return float(np.vdot(errors, errors)) / errors.size

    def _backward(self) -> None:
        w, g, h, d, back = self.w, self.g, self.h, self.d, self.back
        errors, h_rows, d_rows = map(_rows, (self.errors, h[1:], d))
        errors *= 2 / errors.size
        np.matmul(errors.T, h_rows, out=g["W_hy"])
        errors.sum(axis=0, out=g["b_y"])
        np.matmul(errors, w["W_hy"], out=d_rows)
        np.multiply(h[1:], h[1:], out=self.slope)
        np.subtract(1, self.slope, out=self.slope)
        back[:] = 0
        for d_t, slope in zip(d[::-1], self.slope[::-1], strict=True):
            d_t += back
            d_t *= slope
            np.matmul(d_t, w["W_hh"], out=back)
        np.matmul(d_rows.T, self.x, out=g["W_xh"])
        np.matmul(d_rows.T, _rows(h[:-1]), out=g["W_hh"])
        d_rows.sum(axis=0, out=g["b_h"])

    def _adam(self) -> None:
        g, m, v = self.gradient, self.m, self.v
        self.count += 1
        g *= min(1.0, CLIP_NORM / (math.sqrt(np.vdot(g, g)) + NORM_EPSILON))
        m *= BETA1
        m += (1 - BETA1) * g
        v *= BETA2
        g *= g
        g *= 1 - BETA2
        v += g
        np.sqrt(v, out=g)
        g /= math.sqrt(1 - BETA2**self.count)
        g += EPSILON
        np.divide(m, g, out=g)
        g *= LEARNING_RATE / (1 - BETA1**self.count)
        self.flat -= g


def _by_time(a: Array) -> Array:
    return np.ascontiguousarray(a.swapaxes(0, 1))


def _rows(a: Array) -> Array:
    """Return (T, B, n) as (T * B, n)."""
    return a.reshape(-1, a.shape[-1])


TRAINERS = {"": NumPy}
