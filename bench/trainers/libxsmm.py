"""LIBXSMM 1.17: its products, with elementwise work by Eigen; or its fused cell, both directions.

Both are in C++ (`peers/libxsmm/update.cpp`) and take all sizes, in float32.
Milliseconds with AVX-512 at (16, 32, 4), T = 100, B = 16: the products 0.080, the cell 2.5; at
(64, 256, 64), B = 32: 7.6 and 109. The cell's gradients are right (parameters are off by 6e-6 of
their way, as with the products), but it computes tanh twice, one by one with the C library in
double. Products with sizes that are not rounded up to whole vectors take 1.2 times as long at
H = 20, and 1.05 (AVX-512) or 1.5 times (AVX2) at H = 150. Chunks of 32 columns take 1.05 times as
long as those of 128, while 64, 256, or the gradient of W_hh in blocks of 64 rows, are within 2 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peers.libxsmm import cell
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, NORM_EPSILON, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Products:
    """Gradients by hand, each product by a kernel that is compiled for its size."""

    new = cell.Update

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        x, y = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (x, y))
        constants = cell.Constants(LEARNING_RATE, BETA1, BETA2, EPSILON, CLIP_NORM, NORM_EPSILON)
        update = self.new(*weights(net).values(), x, y, constants)
        self.update, self.parameters = update.update, update.parameters


class Fused(Products):
    """The cell forward and backward."""

    new = cell.FusedUpdate


TRAINERS = {"its products": Products, "fused cell": Fused}
