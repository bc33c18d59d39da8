"""Measure free runs: each output is the next input, by `net.generate` and by loops of the peers.

A peer makes a step per turn of a Python loop, which keeps no outputs, while `net.generate` returns
all of them. A peer whose outputs have another form than its inputs converts them. numba and JAX
compile the whole loop.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from cases import each
from elman import reference
from elman.cli.timing.answers import Wrong, disagreement
from elman.cli.timing.base import Unsupported
from elman.cli.timing.rounds import Entry, interleave
from measure import described, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cases import Case
    from elman.cli.timing.base import Data, Peer, Step

    Array = NDArray[Any]
    Facts = dict[str, Any]

CHECKED = 50  # steps
LOOP = "Stream.step, out=x"


GENERATES = each("generate", "generate", [(1, 16, 1), (4, 32, 4), (16, 256, 16)])


def measure(case: Case, peers: dict[str, type[Peer]], rounds: int) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case, and one sentence for each wrong peer."""
    net, x = problem(case)
    expected = by_reference(net, x, CHECKED)
    entries, wrong = _ours(net, x, case.T, expected), {}
    for name, make in peers.items():
        if name == "elman":
            continue
        try:
            entries += checked(name, make(net), x, case.T, expected, net.num_parameters)
        except Unsupported:
            continue
        except Wrong as error:
            wrong[name] = f"free run of {case.I}, {case.H}, {case.O}: {error}"
    with pinned():
        times = interleave(entries, rounds)
    return described(case, net.isa, (entries, [], []), times), wrong


def problem(case: Case) -> tuple[elman.Network, Array]:
    """Return the network and its first input (1, I)."""
    net = elman.Network(case.I, case.H, case.O, dtype=case.dtype, seed=0)
    return net, np.random.default_rng(1).standard_normal((1, case.I)).astype(case.dtype)


def by_reference(net: elman.Network, x: Array, steps: int) -> Array:
    """Return the outputs (steps, O) of the reference, which gets its own outputs as inputs."""
    for _ in range(steps - 1):
        x = np.vstack([x, reference.run(net, x).output[-1:]])
    return reference.run(net, x).output


def _ours(net: elman.Network, x: Array, steps: int, expected: Array) -> list[Entry]:
    """Return the entries of elman: the call, and a loop of steps in place."""
    step, x_t = net.stream().step, x[0].copy()
    looped = [step(x_t, out=x_t).copy() for _ in range(len(expected))]

    def loop() -> None:
        for _ in range(steps):
            step(x_t, out=x_t)

    for mode, y in (("generate", net.generate(x, len(expected))), (LOOP, np.array(looped))):
        if said := disagreement(y, expected, x.dtype):
            raise Wrong(f"{mode}: {said}")
    generate = Entry("elman", "", partial(net.generate, x, steps), steps)
    return [generate, Entry("elman", LOOP, loop, steps)]


def checked(
    name: str, peer: Peer, x: Array, steps: int, expected: Array, parameters: int
) -> list[Entry]:
    """Check the free runs of a peer; return its entries."""
    if peer.most_work is not None:
        steps = max(1, peer.most_work // parameters)
        expected = expected[:steps]
    entries = []
    for mode, run in _compiled(peer).items():
        _check(mode, peer.output(run(x[0], len(expected))), expected, x.dtype)
        entries.append(Entry(name, mode, partial(run, x[0], steps), steps))
    for mode in peer.steps():
        feed = _feed(peer, mode, x, expected)
        entries.append(Entry(name, mode, _loop(peer, mode, x, steps, feed), steps))
    return entries


def _compiled(peer: Peer) -> dict[str, Callable[[Array, int], Data]]:
    generate = getattr(peer, "generate", None)
    return {"a compiled loop": generate} if generate else {}


def _feed(peer: Peer, mode: str, x: Array, expected: Array) -> Callable[[Data], Data] | None:
    """Return what makes an input of an output, None if it is one; check the answers."""

    def convert(y: Data) -> Data:
        return next(iter(peer.input(np.asarray(peer.output(y), x.dtype).reshape(1, -1))))

    try:
        _check(mode, _outputs(peer, mode, x, len(expected), None), expected, x.dtype)
    except Exception:  # each peer refuses another form by an error of its own
        _check(mode, _outputs(peer, mode, x, len(expected), convert), expected, x.dtype)
        return convert
    return None


def _outputs(
    peer: Peer, mode: str, x: Array, steps: int, feed: Callable[[Data], Data] | None
) -> Array:
    run = _steps(peer.steps()[mode], next(iter(peer.input(x))), feed)
    found = [np.array(peer.output(y)).reshape(-1) for y in itertools.islice(run, steps)]
    return np.array(found)


def _steps(step: Step, x_t: Data, feed: Callable[[Data], Data] | None) -> Iterator[Data]:
    while True:
        y = step(x_t)
        yield y
        x_t = y if feed is None else feed(y)


def _check(mode: str, y: Array, expected: Array, dtype: np.dtype[Any]) -> None:
    if said := disagreement(y, expected, dtype):
        raise Wrong(f"{mode}: {said}" if mode else said)


def _loop(
    peer: Peer, mode: str, x: Array, steps: int, feed: Callable[[Data], Data] | None
) -> Callable[[], None]:
    """Return the loop as a user writes it."""
    step, first = peer.steps()[mode], next(iter(peer.input(x)))

    def direct() -> None:
        x_t = first
        for _ in range(steps):
            x_t = step(x_t)

    def converting() -> None:
        x_t = first
        for _ in range(steps):
            x_t = feed(step(x_t))

    return direct if feed is None else converting
