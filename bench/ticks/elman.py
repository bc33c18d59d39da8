"""elman: all rows of a `StreamPool`, or random halves of them; and a `Stream` of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ticks import ALL, HALF, HALF_MASK, ONE, Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]
    Halves = list[tuple[Array, Array]]  # the rows, and their inputs in this order


class Elman(Pool):
    """All rows in one call, with `out=`."""

    def __init__(self, net: Network, n: int) -> None:
        self.pool, self.y = net.streams(n), np.empty((n, net.output_size), net.dtype)
        self._step = self.pool.step

    def step(self, x: Array) -> Array:
        return self._step(x, out=self.y)


class Indices(Elman):
    """A random half of the rows in one call and the other half in a second, in random order."""

    def __init__(self, net: Network, n: int) -> None:
        super().__init__(net, n)
        self.halves = np.split(self.y.copy(), [n // 2])
        self.rng = np.random.default_rng(2)

    def input(self, x: Array) -> Halves:
        order = self.rng.permutation(len(x))
        return [self._half(x, rows) for rows in np.split(order, [len(x) // 2])]

    def _half(self, x: Array, rows: Array) -> tuple[Array, Array]:
        return rows, x[rows]

    def step(self, x: Halves) -> Halves:
        for (rows, part), out in zip(x, self.halves, strict=True):
            self._step(part, out=out, rows=rows)
        return [(rows, out) for (rows, _), out in zip(x, self.halves, strict=True)]

    def output(self, y: Halves) -> Array:
        for rows, part in y:
            self.y[rows] = part
        return self.y.copy()


class Mask(Indices):
    """The same halves as masks."""

    def _half(self, x: Array, rows: Array) -> tuple[Array, Array]:
        mask = np.zeros(len(x), bool)
        mask[rows] = True
        return mask, x[mask]


class Stream(Pool):
    """A stream, for one row."""

    def __init__(self, net: Network, n: int) -> None:
        assert n == 1
        self.stream, self.y = net.stream(), np.empty(net.output_size, net.dtype)
        self._step = self.stream.step

    def input(self, x: Array) -> Array:
        return x[0]

    def step(self, x: Array) -> Array:
        return self._step(x, out=self.y)


POOLS = {ALL: Elman, HALF: Indices, HALF_MASK: Mask, ONE: Stream}
