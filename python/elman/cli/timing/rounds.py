"""Interleaved rounds: other load on the machine affects all entries alike, so ratios hold."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NANOSECONDS_PER_ROUND = 3_000_000  # per entry, or one call if that takes longer
LONG = 30_000_000  # nanoseconds; a call this long is timed without a warm-up call


class Entry(NamedTuple):
    """A call to time, and the number of items (such as steps) in it."""

    name: str
    mode: str
    call: Callable[[], object]
    items: float


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of values."""
    if len(values) == 1:
        return Spread(*values, *values, *values)
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def interleave(
    entries: Sequence[Entry],
    rounds: int,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    done: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Return the nanoseconds per item of each entry in each round.

    In each round, every entry is timed after one untimed call, because the previous entry leaves
    the caches and the processor's clock in an arbitrary state. `done` is called after each round.
    """
    durations = []
    for entry in entries:
        entry.call()
        start = clock()
        entry.call()
        durations.append(max(1, clock() - start))
    times: list[list[float]] = [[] for _ in entries]
    for _ in range(rounds):
        for entry, duration, measured in zip(entries, durations, times, strict=True):
            count = max(1, NANOSECONDS_PER_ROUND // duration)
            if duration < LONG:
                entry.call()
            start = clock()
            for _ in range(count):
                entry.call()
            measured.append((clock() - start) / (count * entry.items))
        done()
    return times


def ratios(times: Sequence[float], to: Sequence[float]) -> Spread:
    """Return the spread of the ratios within each round."""
    return spread([a / b for a, b in zip(times, to, strict=True)])
