"""The pickle and the repr of a stream, called by the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments
from elman._network import Network
from elman._parameters import sizes
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._core import Stream


def reduce(stream: Stream) -> tuple[object, ...]:
    """Return how to unpickle a stream: from its network and its state."""
    return _restore, (stream.network, stream.state)


def _restore(net: Network, state: NDArray[Any]) -> Stream:
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"a pickled stream: expected a Network, got {_arguments.kind(net)}")
    return net.stream(state)


def describe(stream: Stream) -> str:
    """Return the repr of a stream."""
    return f"Stream({sizes(stream.network)})"
