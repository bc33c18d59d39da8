"""LIBXSMM 1.17: its fused RNN cell, and its products with Eigen's tanh, for one layer.

Both use kernels that LIBXSMM compiles while it runs. ns per step of a batch of 64 at H = 32, 256,
512: the fused cell 1088, 8615, 17570; the products 35, 860, 3320; plain Eigen 45, 1144, 4340. The
cell computes tanh one by one with the C library in double, about 33 ns each.
`trainers/libxsmm.py` trains with both.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights
from peers import native

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

if not any(Path(prefix, "include", "libxsmm.h").exists() for prefix in ("/usr", "/usr/local")):
    raise native.Unavailable("libxsmm-dev is not installed")
cell = native.build(Path(__file__).parent, f"{__name__}.cell")


class Libxsmm(Peer):
    """A cell for each number and length of the sequences."""

    def __init__(self, net: Network) -> None:
        w = weights(net)
        if net.dtype != np.float32 or len(w.layers) > 1:
            raise Unsupported("is run with one layer in float32 only")
        (W_xh, W_hh, b_h, self.h_0), *_ = w.layers
        parts = W_xh, W_hh, b_h, w.W_hy, w.b_y, w.sigmoid
        self.of = functools.cache(lambda T, n: cell.Cell(*parts, T, n))

    def input(self, x: Array) -> Array:
        """Return x with time first."""
        return np.ascontiguousarray(x[:, np.newaxis] if x.ndim == 2 else x.swapaxes(0, 1))

    def steps(self) -> dict[str, Step]:
        raise Unsupported("is a cell over whole sequences")

    def runs(self) -> dict[str, Callable[[Array], Array]]:
        return {
            "fused cell": lambda x: self.of(*x.shape[:2]).run(x, self.h_0),
            "its products": lambda x: self.of(*x.shape[:2]).run_products(x, self.h_0),
        }

    def output(self, y: Array) -> Array:
        return y.swapaxes(0, 1).squeeze()


PEER = Libxsmm
