"""elman: all rows of a `StreamPool`, or random halves of them; and a `Stream` of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ticks import ALL, HALF, HALF_MASK, ONE, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def loop(self, inputs: list[Array]) -> Callable[[], None]:
        """Return the loop as a user writes it: the call of `step` would cost as much as a row."""
        step, y = self._step, self.y

        def loop() -> None:
            for x in inputs:
                step(x, out=y)

        return loop


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
        self.loop([x])()
        return x

    def loop(self, inputs: list[Halves]) -> Callable[[], None]:
        step, (y, z) = self._step, self.halves

        def loop() -> None:
            for (rows, x), (others, u) in inputs:
                step(x, out=y, rows=rows)
                step(u, out=z, rows=others)

        return loop

    def output(self, y: Halves) -> Array:
        for (rows, _), part in zip(y, self.halves, strict=True):
            self.y[rows] = part
        return self.y.copy()


class Mask(Indices):
    """The same halves as masks."""

    def _half(self, x: Array, rows: Array) -> tuple[Array, Array]:
        mask = np.zeros(len(x), bool)
        mask[rows] = True
        return mask, x[mask]


class Stream(Elman):
    """A stream, for one row."""

    def __init__(self, net: Network, n: int) -> None:
        assert n == 1
        self.stream, self.y = net.stream(), np.empty(net.output_size, net.dtype)
        self._step = self.stream.step

    def input(self, x: Array) -> Array:
        return x[0]


POOLS = {ALL: Elman, HALF: Indices, HALF_MASK: Mask, ONE: Stream}
