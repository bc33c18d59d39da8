"""Time the tail: steps on an absolute schedule, so that a stall also delays the steps after it.

A step is due every `period` nanoseconds, whether or not the step before is done. Its latency is
measured from when it was due, its service time from when it began. All entries take turns in short
blocks. After each block follows one of `nothing`: the same loop, at the same times, which waits for
as long as the step usually takes. It shows what the machine does to a step.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import hardware
from elman import _core
from elman.cli.timing.answers import wrong_steps
from elman.cli.timing.base import Unsupported
from measure import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cases import Case
    from elman.cli.timing.base import Peer

    Array = NDArray[Any]
    Facts = dict[str, Any]
    Paced = Callable[[int, int], tuple[Array, Array]]  # steps, period -> service, latency

PERIOD = 20_000  # nanoseconds, or four times a step's usual time if that is longer
BLOCK = 100_000_000  # nanoseconds
LEAD = 10  # untimed first steps of a block, which load the caches
PERCENTILES = {"p50": 50, "p99": 99, "p99_9": 99.9, "p99_99": 99.99}
PARTS = 5  # of the blocks, with percentiles of their own
INSIDE = "inside the extension"


class Turns(NamedTuple):
    """An entry of the tail, and `nothing` beside it."""

    name: str
    mode: str
    usual: int  # nanoseconds of a step
    step: Paced
    nothing: Paced

    @property
    def period(self) -> int:
        return max(PERIOD, 4 * self.usual)


def tail(
    case: Case,
    peers: dict[str, type[Peer]],
    seconds: float,
    done: Callable[[], object] = lambda: None,
) -> tuple[list[Facts], dict[str, str]]:
    """Time the steps of each entry for some seconds, and `nothing` beside it for as long.

    Return the results, and one sentence for each wrong peer.
    """
    wrong: dict[str, str] = {}
    turns = list(_turns(case, peers, wrong))
    blocks: list[tuple[list[Any], list[Any]]] = [([], []) for _ in turns]
    for _ in range(max(1, round(seconds * 1e9 / BLOCK))):
        for turn, (steps, nothings) in zip(turns, blocks, strict=True):
            count = LEAD + max(1, BLOCK // turn.period)
            steps.append(turn.step(count, turn.period))
            nothings.append(turn.nothing(count, turn.period))
        done()
    facts = [_facts(turn, *found) for turn, found in zip(turns, blocks, strict=True)]
    facts[0]["clock_ns"] = _core.clock_cost()
    return facts, wrong


def _turns(case: Case, peers: dict[str, type[Peer]], wrong: dict[str, str]) -> Iterator[Turns]:
    net, x, expected = problem(case)

    def inside(count: int, period: int = 0) -> tuple[Array, Array]:
        return _core.time_steps(net._core, x, count, period)

    usual = int(np.median(inside(len(x))[0]))
    yield Turns("elman", INSIDE, usual, inside, partial(hardware.wait, busy_ns=usual))
    for name, make in peers.items():
        try:
            peer = make(net)
            said = wrong_steps(peer, x, expected)
        except Unsupported:
            continue
        if said:
            wrong[name] = f"tail: {said}"
            continue
        rows = list(peer.input(x))
        for mode, step in peer.steps().items():
            usual = usual_time(step, rows)
            nothing = partial(_nothing, usual)
            yield Turns(name, mode, usual, partial(_paced, step, rows), nothing)


def usual_time(step: Callable[[Any], object], rows: list[Any]) -> int:
    """Return the median time of a step, in nanoseconds."""
    clock, times = time.perf_counter_ns, []
    for x_t in rows:
        begin = clock()
        step(x_t)
        times.append(clock() - begin)
    return int(median(times))


def _paced(
    step: Callable[[Any], object], rows: list[Any], count: int, period: int
) -> tuple[Array, Array]:
    """Pace steps from Python."""
    clock = time.perf_counter_ns
    service, latency = [0] * count, [0] * count
    due = clock()
    for i in range(count):
        x_t = rows[i % len(rows)]
        due += period
        while (begin := clock()) < due:
            pass
        step(x_t)
        end = clock()
        service[i], latency[i] = end - begin, end - due
    return np.array(service), np.array(latency)


def _nothing(busy: int, count: int, period: int) -> tuple[Array, Array]:
    """Do nothing for `busy` nanoseconds instead of a step, as `hardware.wait` does."""
    clock = time.perf_counter_ns
    service, latency = [0] * count, [0] * count
    due = clock()
    for i in range(count):
        due += period
        while (begin := clock()) < due:
            pass
        while (end := clock()) < begin + busy:
            pass
        service[i], latency[i] = end - begin, end - due
    return np.array(service), np.array(latency)


def _facts(turn: Turns, steps: list[tuple[Array, Array]], nothings: list[Any]) -> Facts:
    return {
        "name": turn.name,
        "mode": turn.mode,
        "period_ns": turn.period,
        "usual_ns": turn.usual,
        "steps": sum(len(service) - LEAD for service, _ in steps),
        **_percentiles(steps),
        "nothing": _percentiles(nothings),
    }


def _percentiles(blocks: list[tuple[Array, Array]]) -> Facts:
    """Return the percentiles of all steps, and of each part of the blocks."""
    found = {}
    for kind, times in zip(("service", "latency"), zip(*blocks, strict=True), strict=True):
        kept = np.stack(times)[:, LEAD:]
        parts = np.array_split(kept, min(PARTS, len(kept)))
        of_parts = np.array([_of(part) for part in parts]).T.tolist()
        found[kind] = dict(zip(PERCENTILES, _of(kept), strict=True))
        found[kind]["parts"] = dict(zip(PERCENTILES, of_parts, strict=True))
    return found


def _of(ns: Array) -> list[int]:
    return np.percentile(ns, list(PERCENTILES.values())).astype(int).tolist()
