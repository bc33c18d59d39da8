"""`Peer`, a way to compute a network, and the exception of one that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]
    Data = Any  # inputs or outputs in the form of a peer
    Step = Callable[[Data], Data]


class Unsupported(Exception):  # noqa: N818 - not an error: a peer is left out
    """A peer cannot compute a network; the message gives the reason."""


class Peer:
    """A way to compute a network, prepared from its weights.

    Attributes
    ----------
    most_work
        Largest number of multiply-adds in one timed call; None for no limit.
    """

    most_work: int | None = None

    def __init__(self, net: Network) -> None:
        raise NotImplementedError

    def input(self, x: Array) -> Data:
        """Convert x (..., I) to the form of this peer, once, before anything is timed."""
        return x

    def steps(self) -> dict[str, Step]:
        """Return a new callable x_t (I,) -> y_t (O,) for each mode; it keeps the state."""
        raise NotImplementedError

    def loops(self, x: Array) -> dict[str, Callable[[], None]]:
        """Return a callable for each mode that steps over all rows of x (T, I)."""
        rows = list(self.input(x))
        return {mode: _loop(step, rows) for mode, step in self.steps().items()}

    def run(self, x: Data) -> Data:
        """Return the outputs of whole sequences (T, I) or (B, T, I)."""
        raise NotImplementedError

    def runs(self) -> dict[str, Callable[[Data], Data]]:
        """Return a callable like `run` for each mode; one unless a peer has several."""
        return {"": self.run}

    def output(self, y: Data) -> Array:
        """Return the result of `run` or of a step as an array."""
        return np.asarray(y)


def _loop(step: Step, rows: list[Any]) -> Callable[[], None]:
    def loop() -> None:
        for x_t in rows:
            step(x_t)

    return loop
