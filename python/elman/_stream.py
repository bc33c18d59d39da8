"""The pickle and the repr of a stream, called by the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments, _core
from elman._network import Network
from elman._parameters import core_of, sizes
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._core import Stream


def reduce(stream: Stream) -> tuple[object, ...]:
    """Return how to unpickle a stream: from its network, which streams share, and its state."""
    return _restore, (stream.network, stream.state, stream.nonfinite)


def _restore(net: Network, state: NDArray[Any], nonfinite: str) -> Stream:
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"a pickled stream: expected a Network, got {_arguments.kind(net)}")
    return _core.stream(core_of(net), net, nonfinite, state)


def describe(stream: Stream) -> str:
    """Return the repr of a stream."""
    nonfinite = "" if stream.nonfinite == "raise" else f", nonfinite={stream.nonfinite!r}"
    return f"Stream({sizes(stream.network)}{nonfinite})"
