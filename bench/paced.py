"""Time paced steps under load: what a loop at 1 or 10 kHz gets on a machine that does other work.

A step is due every `period` nanoseconds, whether or not the step before is done. The conditions:

- idle: the loop waits by reading the clock; no garbage collection.
- a neighbour: another process writes over 64 MiB all the time, on another processor, with which it
  shares the memory and the outer caches, or on the same one.
- garbage collection: it is on, the program holds 200,000 lists, and the loop logs each step.
- a sleep between steps: the process sleeps until the step is due, so that caches are cold.

All entries take turns in blocks of a quarter of a second. `nothing` is the loop without a step.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import measure
from elman.cli.timing.answers import wrong_steps
from elman.cli.timing.base import Unsupported
from tail import LEAD, usual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cases import Case
    from elman.cli.timing.base import Peer

    Array = NDArray[Any]
    Facts = dict[str, Any]
    Entry = tuple[str, str, Callable[[Any], object], list[Any]]  # name, mode, step, inputs

PERIODS = (1_000_000, 100_000)  # nanoseconds
NAMES = ("elman", "numpy", "torch", "onnxruntime")
IDLE, GARBAGE, SLEEP = "idle", "garbage collection", "a sleep between steps"
OTHER, SAME = "a neighbour on another processor", "a neighbour on the same processor"
CONDITIONS = (IDLE, OTHER, SAME, GARBAGE, SLEEP)
BLOCK = 250_000_000  # nanoseconds
HELD = 200_000  # lists that the collector looks at
KEYS = {"p50": 50, "p99": 99, "p99_9": 99.9, "worst": 100}
NEIGHBOUR = """
import os, numpy
if {processors}: os.sched_setaffinity(0, {processors})
a = numpy.zeros(2**24, numpy.float32)
print("ready", flush=True)
while True: a += 1
"""


def paced(
    case: Case,
    peers: dict[str, type[Peer]],
    seconds: float,
    done: Callable[[], object] = lambda: None,
) -> tuple[list[Facts], dict[str, str]]:
    """Time each entry for some seconds in each condition; also say which peers are wrong."""
    wrong: dict[str, str] = {}
    entries, found = list(_entries(case, peers, wrong)), []
    for condition, period in itertools.product(conditions(), PERIODS):
        times: list[list[Array]] = [[] for _ in entries]
        with _under(condition):
            for _ in range(max(1, round(seconds * 1e9 / BLOCK))):
                for (_, _, step, rows), blocks in zip(entries, times, strict=True):
                    blocks.append(loop(step, rows, max(1, BLOCK // period), period, condition))
        found += [
            facts(condition, period, entry, np.concatenate(blocks, axis=1))
            for entry, blocks in zip(entries, times, strict=True)
        ]
        done()
    return found, wrong


def conditions() -> list[str]:
    """Return the conditions of this machine: two processors and a choice of them, or not."""
    can_choose = measure.ALLOWED is not None
    left_out = {OTHER: can_choose and measure.several(), SAME: can_choose}
    return [condition for condition in CONDITIONS if left_out.get(condition, True)]


def _entries(case: Case, peers: dict[str, type[Peer]], wrong: dict[str, str]) -> Iterator[Entry]:
    """Yield the fastest step of each peer, and `nothing`."""
    net, x, expected = measure.problem(case)
    for name in (name for name in NAMES if name in peers):
        try:
            peer = peers[name](net)
            said = wrong_steps(peer, x, expected)
        except Unsupported:
            continue
        if said:
            wrong[name] = f"paced steps: {said}"
            continue
        rows = list(peer.input(x))
        mode, step = min(peer.steps().items(), key=lambda found: usual_time(found[1], rows))
        yield name, mode, step, rows
    yield "nothing", "", lambda x_t: None, list(x)


def loop(
    step: Callable[[Any], object], rows: list[Any], count: int, period: int, condition: str
) -> Array:
    """Return the nanoseconds of each step, and those from when it was due, (2, count)."""
    clock, sleeps, log = time.perf_counter_ns, condition == SLEEP, []
    logs = condition == GARBAGE
    service, latency = [0] * (LEAD + count), [0] * (LEAD + count)
    due = clock()
    for i in range(LEAD + count):
        x_t = rows[i % len(rows)]
        due += period
        if sleeps and (left := due - clock()) > 0:
            time.sleep(left / 1e9)
        while (begin := clock()) < due:
            pass
        step(x_t)
        end = clock()
        service[i], latency[i] = end - begin, end - due
        if logs:
            log.append({"step": i, "late": [end - due]})
    return np.array([service, latency])[:, LEAD:]


@contextlib.contextmanager
def _under(condition: str) -> Iterator[None]:
    """Let the machine be in a condition, and this thread on one processor."""
    mine = {max(measure.ALLOWED)} if measure.ALLOWED else set()
    others = {OTHER: (measure.ALLOWED or set()) - mine, SAME: mine}
    was_on = gc.isenabled()
    with measure.pinned(), contextlib.ExitStack() as stack:
        if condition in others:
            stack.enter_context(_neighbour(others[condition]))
        held = [[i] for i in range(HELD)] if condition == GARBAGE else []
        (gc.enable if condition == GARBAGE else gc.disable)()
        try:
            yield
        finally:
            (gc.enable if was_on else gc.disable)()
            held.clear()


@contextlib.contextmanager
def _neighbour(processors: set[int]) -> Iterator[subprocess.Popen[str]]:
    """Keep a process busy on these processors."""
    code = NEIGHBOUR.format(processors=processors or None)
    run = [sys.executable, "-c", code]
    one = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=one) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the neighbour did not start")
            yield process
        finally:
            process.kill()


def facts(condition: str, period: int, entry: Entry, times: Array) -> Facts:
    """Return the percentiles of the steps, and how many were not done before the next was due."""
    name, mode, *_ = entry
    spreads = {}
    for kind, ns in zip(("service", "latency"), times, strict=True):
        values = np.percentile(ns, list(KEYS.values())).astype(int).tolist()
        spreads[kind] = dict(zip(KEYS, values, strict=True))
    of = {"condition": condition, "period_ns": period, "name": name, "mode": mode}
    return of | {"steps": times.shape[1], "missed": int((times[1] > period).sum())} | spreads
