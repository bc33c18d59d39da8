"""Time the tail: steps on an absolute schedule, so that a stall also delays the steps after it.

A step is due every `period` nanoseconds, whether or not the step before is done. Its latency is
measured from when it was due, its service time from when it began.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import limits
from elman import _core
from elman.cli.timing.answers import wrong_steps
from elman.cli.timing.base import Unsupported
from measure import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cases import Case
    from elman.cli.timing.base import Peer

    Array = NDArray[Any]
    Facts = dict[str, Any]

PERIOD = 20_000
PERCENTILES = {"p50": 50, "p99": 99, "p99_9": 99.9, "p99_99": 99.99, "max": 100}


def tail(
    case: Case,
    peers: dict[str, type[Peer]],
    count: int,
    done: Callable[[], object] = lambda: None,
) -> tuple[list[Facts], dict[str, str]]:
    """Time `count` steps of elman inside the extension, and a tenth of that from Python.

    Return the results, and one sentence for each wrong peer.
    """
    net, x, expected = problem(case)
    late = limits.wait(count, PERIOD)
    facts = [_facts("nothing", "inside the extension", PERIOD, {"latency": late})]
    done()
    service, latency = _core.time_steps(net._core, x, count, PERIOD)
    times = {"service": service, "latency": latency}
    facts.append(_facts("elman", "inside the extension", PERIOD, times))
    facts[-1]["clock_ns"] = _core.clock_cost()
    done()
    facts.append(_from_python("nothing", "", lambda x_t: None, list(x), count // 10))
    wrong = {}
    for name, make in peers.items():
        try:
            peer = make(net)
        except Unsupported:
            continue
        if said := wrong_steps(peer, x, expected):
            wrong[name] = f"tail: {said}"
            continue
        for mode, step in peer.steps().items():
            facts.append(_from_python(name, mode, step, list(peer.input(x)), count // 10))
            done()
    return facts, wrong


def _from_python(
    name: str, mode: str, step: Callable[[Any], object], rows: list[Any], count: int
) -> Facts:
    """Pace steps from Python: every 20 microseconds, or four times a step's time if longer."""
    clock = time.perf_counter_ns
    usual = []
    for x_t in rows:
        begin = clock()
        step(x_t)
        usual.append(clock() - begin)
    period = max(PERIOD, int(4 * median(usual)))
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
    return _facts(name, mode, period, {"service": service, "latency": latency})


def _facts(name: str, mode: str, period: int, times: dict[str, Any]) -> Facts:
    facts = {"name": name, "mode": mode, "period_ns": period}
    for kind, ns in times.items():
        values = np.percentile(ns, list(PERCENTILES.values())).tolist()
        facts[kind] = {"steps": len(ns), **dict(zip(PERCENTILES, values, strict=True))}
    return facts
