"""What a peer is, and what is said of one that cannot take part.

It does not import NumPy, which would read its number of threads before `one_thread`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]
    Step = Callable[[Any], Any]


class Unavailable(Exception):  # noqa: N818 - not an error: a peer is left out
    """This peer cannot be used on this machine; the message says why."""


class Unsupported(Exception):  # noqa: N818
    """This peer cannot compute this network; the message says why."""


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

    def input(self, x: Array) -> Any:
        """Return x (..., I) as this peer takes it: converted once, before anything is timed."""
        return x

    def steps(self) -> dict[str, Step]:
        """Return for each mode a new callable x_t (I,) -> y_t (O,) with the state inside."""
        raise NotImplementedError

    def loops(self, x: Array) -> dict[str, Callable[[], None]]:
        """Return for each mode of a step a callable that steps over all rows of x (T, I)."""
        rows = list(self.input(x))
        return {mode: _loop(step, rows) for mode, step in self.steps().items()}

    def run(self, x: Any) -> Any:
        """Return the outputs of whole sequences (T, I) or (B, T, I)."""
        raise NotImplementedError

    def output(self, y: Any) -> Array:
        """Return what `run` or a step returned as an array."""
        import numpy as np

        return np.asarray(y)


def _loop(step: Step, rows: list[Any]) -> Callable[[], None]:
    def loop() -> None:
        for x_t in rows:
            step(x_t)

    return loop
