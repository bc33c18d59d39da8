"""The pickle, the repr and the network of a pool, called by the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments, _core
from elman._network import Network
from elman._parameters import core_of, sizes
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._core import StreamPool


def core(net: object) -> _core.Network:
    """Return the core of a network that is assigned to a pool."""
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"network: expected a Network, got {_arguments.kind(net)}")
    return core_of(net)


def reduce(pool: StreamPool) -> tuple[object, ...]:
    """Return how to unpickle a pool: from its network, which pools share, and its states."""
    return _restore, (pool.network, pool.state, pool.nonfinite)


def _restore(net: Network, state: NDArray[Any], nonfinite: str) -> StreamPool:
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"a pickled pool: expected a Network, got {_arguments.kind(net)}")
    return _core.streams(core_of(net), net, len(state), nonfinite, state)


def describe(pool: StreamPool) -> str:
    """Return the repr of a pool."""
    nonfinite = "" if pool.nonfinite == "raise" else f", nonfinite={pool.nonfinite!r}"
    return f"StreamPool({len(pool):,} rows, {sizes(pool.network)}{nonfinite})"
