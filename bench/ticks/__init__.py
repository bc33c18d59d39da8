"""Ways to advance n sequences by one step each in a call, one file each.

    for mode, make in ticks.available(["torch"])["torch"].items():
        pool = make(net, n)             # n rows in the initial state, zero
        x = pool.input(x)               # (n, I), converted once
        y = pool.output(pool.step(x))   # (n, O); the pool keeps the states

The network has one tanh layer and a sigmoid readout, in float32.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]

NAMES = ("elman", "numpy", "torch", "onnxruntime", "jax", "litert", "openvino")
# The modes of elman.
ALL, HALF, HALF_MASK, ONE = "all rows", "a random half", "a random half by mask", "Stream.step"


class Pool:
    """n sequences that advance together."""

    def __init__(self, net: Network, n: int) -> None:
        raise NotImplementedError

    def input(self, x: Array) -> Any:
        """Convert x (n, I) to the form of this pool, before anything is timed."""
        return x

    def step(self, x: Any) -> Any:
        """Advance each row by a step and return the outputs, which the next call may reuse."""
        raise NotImplementedError

    def loop(self, inputs: list[Any]) -> Callable[[], None]:
        """Return a callable that makes a step with each of these inputs."""
        step = self.step

        def loop() -> None:
            for x in inputs:
                step(x)

        return loop

    def output(self, y: Any) -> Array:
        """Return the outputs of a step as a new array."""
        return np.array(y)


def available(peers: Iterable[str]) -> dict[str, dict[str, Callable[..., Pool]]]:
    """Return the pools of each of these peers that has some, by mode."""
    return {name: importlib.import_module(f"ticks.{name}").POOLS for name in peers if name in NAMES}
