"""What a peer is, and what is said of one that cannot compute a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]
    Data = Any  # inputs or outputs as a peer takes or gives them
    Step = Callable[[Data], Data]


class Unsupported(Exception):  # noqa: N818 - not an error: a peer is left out
    """A peer cannot compute a network; the message says why."""


class Peer:
    """A way to compute a network, prepared from its weights.

    Attributes
    ----------
    most_work
        How many multiply-adds one timed call may have; None for any number.
    """

    most_work: int | None = None

    def __init__(self, net: Network) -> None:
        raise NotImplementedError

    def input(self, x: Array) -> Data:
        """Return x (..., I) as this peer takes it: converted once, before anything is timed."""
        return x

    def steps(self) -> dict[str, Step]:
        """Return for each mode a new callable x_t (I,) -> y_t (O,) with the state inside."""
        raise NotImplementedError

    def loops(self, x: Array) -> dict[str, Callable[[], None]]:
        """Return for each mode of a step a callable that steps over all rows of x (T, I)."""
        rows = list(self.input(x))
        return {mode: _loop(step, rows) for mode, step in self.steps().items()}

    def run(self, x: Data) -> Data:
        """Return the outputs of whole sequences (T, I) or (B, T, I)."""
        raise NotImplementedError

    def output(self, y: Data) -> Array:
        """Return what `run` or a step returned as an array."""
        return np.asarray(y)


def _loop(step: Step, rows: list[Any]) -> Callable[[], None]:
    def loop() -> None:
        for x_t in rows:
            step(x_t)

    return loop
