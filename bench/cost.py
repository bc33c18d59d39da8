"""Measure what a million predictions cost: time, CPU time, and energy where the machine tells.

Every peer makes the same predictions, in its fastest mode: one step per call, and batches. One that
needs more than a second is stopped there, and its cost is stated for a million. The CPU time is
of all threads of the process; the energy is of all processor packages, idle power included.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cases import each
from elman.cli.timing.answers import Wrong, checked
from elman.cli.timing.base import Unsupported
from measure import problem
from results import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from cases import Case
    from elman.cli.timing.base import Peer
    from elman.cli.timing.rounds import Entry

    Facts = dict[str, Any]

MILLION = 1_000_000
MOST = 1_000_000_000  # nanoseconds
CASES = [case for work in ("step", "batch") for case in each("cost", work, [(16, 32, 4)])]
POWERCAP = Path("/sys/class/powercap")
COUNTERS = ("energy_uj", "max_energy_range_uj")


class Spent(NamedTuple):
    """What predictions took; joules is None where the machine does not tell."""

    predictions: int
    ns: int
    cpu: int
    joules: float | None


def cost(
    peers: dict[str, type[Peer]],
    rounds: int,
    done: Callable[[], object] = lambda: None,
    most: int = MOST,
) -> tuple[list[Facts], dict[str, str]]:
    """Return the costs of all peers, and one sentence for each wrong peer."""
    found, wrong = [], {}
    for case in CASES:
        entries = _entries(case, peers, wrong)
        spent: list[list[Spent]] = [[] for _ in entries]
        for _ in range(rounds):
            for entry, times in zip(entries, spent, strict=True):
                times.append(spend(entry, most))
                done()
        found += [_facts(case, *both) for both in zip(entries, spent, strict=True)]
    return found, wrong


def _entries(case: Case, peers: dict[str, type[Peer]], wrong: dict[str, str]) -> list[Entry]:
    """Return the fastest entry of each peer."""
    net, x, expected = problem(case)
    entries = []
    for name, make in peers.items():
        try:
            modes = checked(name, make(net), case.work, x, expected, net.num_parameters)
        except Unsupported:
            continue
        except Wrong as error:
            wrong[name] = f"cost of {case.work}: {error}"
            continue
        entries.append(min(modes, key=_quick))
    return entries


def _quick(entry: Entry) -> int:
    """Return the shorter time of two calls."""
    times = []
    for _ in range(2):
        start = time.perf_counter_ns()
        entry.call()
        times.append(time.perf_counter_ns() - start)
    return min(times)


def spend(entry: Entry, most: int) -> Spent:
    """Make a million predictions, or as many as `most` nanoseconds allow."""
    clock, items, made = time.perf_counter_ns, int(entry.items), 0
    energy, cpu, start = joules(), time.process_time_ns(), time.perf_counter_ns()
    while not made or (made < MILLION and clock() - start < most):
        entry.call()
        made += items
    ns, cpu = clock() - start, time.process_time_ns() - cpu
    after = joules()
    used = sum(_used(b, a) for b, a in zip(energy, after, strict=True)) if energy else None
    return Spent(made, ns, cpu, used)


def joules(folder: Path = POWERCAP) -> list[tuple[float, float]]:
    """Return a counter of energy and its range for each package; none if they are not readable."""
    try:
        return [
            tuple(float((zone / name).read_text()) / 1e6 for name in COUNTERS)
            for zone in sorted(folder.glob("*-rapl:*"))
            if zone.name.count(":") == 1  # others are parts of a package
        ]
    except (OSError, ValueError):
        return []


def _used(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Return the energy between two readings of a counter that may have begun again."""
    return (after[0] - before[0]) % after[1]


def _facts(case: Case, entry: Entry, spent: list[Spent]) -> Facts:
    facts = {"work": case.work, "name": entry.name, "mode": entry.mode}
    facts |= {"predictions": [one.predictions for one in spent]}
    facts |= {"times": [short(one.ns) for one in spent], "cpu": [short(one.cpu) for one in spent]}
    if all(one.joules is not None for one in spent):
        facts["joules"] = [short(one.joules) for one in spent]
    return facts
