"""Plain Python: `elman.pure`, with lists of floats and only `math`, in double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman import pure
from elman.cli.timing.base import Peer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Data, Step

    Array = NDArray[Any]


class PurePython(Peer):
    """`elman.pure.step` and `elman.pure.run`."""

    most_work = 250_000  # a fortieth of a second

    def __init__(self, net: Network) -> None:
        self.weights = pure.weights(net)

    def input(self, x: Array) -> Data:
        """Return x as lists of floats."""
        return x.tolist()

    def steps(self) -> dict[str, Step]:
        """Return the step, in its only mode."""
        weights, advance = self.weights, pure.step
        state = weights.initial_state

        def step(x_t: list[float]) -> list[float]:
            nonlocal state
            y_t, state = advance(weights, x_t, state)
            return y_t

        return {"": step}

    def run(self, x: Data) -> Data:
        """Run one sequence, or the sequences of a batch one by one."""
        if isinstance(x[0][0], list):
            return [self.run(sequence) for sequence in x]
        return pure.run(self.weights, x)[0]


PEER = PurePython
