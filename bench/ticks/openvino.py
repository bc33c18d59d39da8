"""OpenVINO: products of all rows, the states in variables of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers.openvino import Request, one_step
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class OpenVINO(Pool):
    """Write the inputs, infer, and read the outputs in place."""

    def __init__(self, net: Network, n: int) -> None:
        self.request = Request(one_step(net, n))

    def step(self, x: Array) -> Array:
        self.request.x[:] = x
        self.request.infer()
        return self.request.y


POOLS = {"": OpenVINO}
