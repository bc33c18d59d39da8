"""elman itself, called as a user calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.base import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network, Stream
    from elman.cli.timing.base import Step

    Array = NDArray[Any]


class Elman(Peer):
    """elman: `stream.step` with `out=`, looked up or not, or with a new array; and `net(x)`."""

    def __init__(self, net: Network, threads: int = 1) -> None:
        self.net = net

        def run(x: Array) -> Array:
            return net.run(x, threads=threads).output

        # A method around the network would be timed too.
        self.run = net if threads == 1 else run  # type: ignore[method-assign]

    def steps(self) -> dict[str, Step]:
        """Return the step into an existing array, and the step that makes a new one."""
        stream, y = self.net.stream(), np.empty(self.net.output_size, self.net.dtype)
        return {"out=": lambda x_t: stream.step(x_t, out=y), "new array": self.net.stream().step}

    def loops(self, x: Array) -> dict[str, Callable[[], None]]:
        """Return the loops over the rows of x, by mode."""
        y = np.empty(self.net.output_size, self.net.dtype)
        return loops_of(self.net.stream(), list(x), y)


def loops_of(stream: Stream, rows: list[Array], y: Array) -> dict[str, Callable[[], None]]:
    """Return loops of `stream.step` over the rows, by mode, as a user writes them.

    A wrapper call would cost as much as a step.
    """
    step = stream.step

    def into_out() -> None:
        for x_t in rows:
            step(x_t, out=y)

    def looked_up() -> None:
        for x_t in rows:
            stream.step(x_t, out=y)

    def new_array() -> None:
        for x_t in rows:
            step(x_t)

    return {"out=": into_out, "out=, looked up": looked_up, "new array": new_array}


PEER = Elman
