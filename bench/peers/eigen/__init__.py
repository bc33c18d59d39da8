"""Plain Eigen: a straightforward implementation, compiled for this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.cli.timing.base import Peer
from elman.cli.timing.weights import weights
from peers import native

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

plain = native.build(Path(__file__).parent, f"{__name__}.plain")


class Eigen(Peer):
    """One call per step, sequence or batch, through ordinary pybind11."""

    def __init__(self, net: Network) -> None:
        self.weights = weights(net)
        self.run = self._new().run

    def _new(self) -> Any:
        make = {4: plain.Float32, 8: plain.Float64}[self.weights.W_hy.itemsize]
        return make(*self.weights)

    def steps(self) -> dict[str, Step]:
        return {"": self._new().step}


PEER = Eigen
