"""Check every answer against the NumPy reference before it is timed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.rounds import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman.cli.timing.base import Peer

    Array = NDArray[Any]

UNITS = 200  # in the last place of the largest output: rounding errors differ and add up
STEPS_TO_CHECK = 100


class Wrong(Exception):  # noqa: N818
    """A wrong answer; the message describes it."""


def checked(
    name: str, peer: Peer, work: str, x: Array, expected: Array, parameters: int
) -> list[Entry]:
    """Check the answers of a peer within its `most_work`; return its entries."""
    if peer.most_work is not None:
        steps = max(1, peer.most_work // parameters)
        x, expected = (a[:steps] if a.ndim == 2 else a[:1, :steps] for a in (x, expected))
    if work == "step":
        said = wrong_steps(peer, x[:STEPS_TO_CHECK], expected[:STEPS_TO_CHECK])
    else:
        said = wrong_run(peer, x, expected)
    if said:
        raise Wrong(said)
    return entries(name, peer, work, x)


def entries(name: str, peer: Peer, work: str, x: Array) -> list[Entry]:
    """Return an entry for each mode of a step, or of the run of a sequence or a batch."""
    if work == "step":
        return [Entry(name, mode, loop, len(x)) for mode, loop in peer.loops(x).items()]
    data, steps = peer.input(x), x[..., 0].size
    return [Entry(name, mode, partial(run, data), steps) for mode, run in peer.runs().items()]


def wrong_steps(peer: Peer, x: Array, expected: Array) -> str | None:
    """Return the error in the steps of a peer over x (T, I), or None."""
    for mode, step in peer.steps().items():
        y = [np.array(peer.output(step(x_t))).reshape(-1) for x_t in peer.input(x)]
        if found := disagreement(np.array(y), expected, x.dtype):
            return f"{mode or 'step'}: {found}"
    return None


def wrong_run(peer: Peer, x: Array, expected: Array) -> str | None:
    """Return the error in the answers of a peer to x (T, I) or (B, T, I), or None."""
    for mode, run in peer.runs().items():
        if found := disagreement(peer.output(run(peer.input(x))), expected, x.dtype):
            return f"{mode}: {found}" if mode else found
    return None


def disagreement(y: Array, expected: Array, dtype: np.dtype[Any]) -> str | None:
    """Return how answers differ from the expected by more than rounding, or None."""
    if y.size != expected.size:
        return f"expected {expected.shape}, got {y.shape}"
    error = float(np.abs(y.reshape(expected.shape) - expected).max())
    allowed = float(UNITS * np.finfo(dtype).eps * max(1.0, np.abs(expected).max()))
    return None if error <= allowed else f"off by {error:.2g}, more than {allowed:.2g}"
