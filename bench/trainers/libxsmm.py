"""LIBXSMM 1.17: its products, of which each is compiled for its size, and elementwise by Eigen."""

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
    """Gradients by hand."""

    make = cell.Update

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        x, y = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (x, y))
        constants = cell.Constants(LEARNING_RATE, BETA1, BETA2, EPSILON, CLIP_NORM, NORM_EPSILON)
        update = self.make(*weights(net).values(), x, y, constants)
        self.update, self.parameters = update.update, update.parameters


class Fused(Products):
    """The cell forward and backward."""

    make = cell.FusedUpdate


TRAINERS = {"its products": Products, "fused cell": Fused}
