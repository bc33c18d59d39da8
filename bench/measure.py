"""Measure a case: check every answer, time all entries interleaved, and format the results."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
import limits
from elman import reference
from elman.cli.timing.answers import Wrong, checked
from elman.cli.timing.base import Unsupported
from elman.cli.timing.rounds import Entry, interleave, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cases import Case
    from elman.cli.timing.base import Peer

    Array = NDArray[Any]
    Facts = dict[str, Any]

ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
CALL_SIZE = 32  # the hidden size at which a whole call with one step is timed too


def measure(
    case: Case,
    peers: dict[str, type[Peer]],
    rounds: int,
    done: Callable[[], object] = lambda: None,
) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case, and one sentence for each wrong peer."""
    entries, wrong = _elman_entries(case, peers["elman"]), {}
    network, x, expected = problem(case)
    for name, make in peers.items():
        if name == "elman" or (case.peers and name not in case.peers):
            continue
        try:
            peer = make(network)
            entries += checked(name, peer, case.work, x, expected, network.num_parameters)
        except Unsupported:
            continue
        except Wrong as error:
            wrong[name] = f"{case.work} of {case.I}, {case.H}, {case.O}: {error}"
    bounds = _bounds(case, x)
    with pinned(case.threads == 1):
        times = interleave([*entries, *bounds], rounds, done=done)
    return _facts(case, network.isa, rounds, entries, bounds, times), wrong


@contextlib.contextmanager
def pinned(one: bool = True) -> Iterator[None]:
    """Pin this thread to one processor, or allow all processors of the process."""
    if not ALLOWED:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(ALLOWED)} if one else ALLOWED)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def problem(case: Case) -> tuple[elman.Network, Array, Array]:
    """Return the network, inputs (T, I) or (B, T, I), and the reference's outputs."""
    network = case.network()
    shape = (case.T, case.I) if case.work != "batch" else (case.B, case.T, case.I)
    x = np.random.default_rng(1).standard_normal(shape).astype(case.dtype)
    return network, x, reference.run(network, x).output


def _elman_entries(case: Case, make: type[Peer]) -> list[Entry]:
    """Return the entries of elman for the case, and for the variants it is compared with."""
    entries = []
    for mode, variant in _variants(case):
        network, x, expected = problem(variant)
        peer, parameters = make(network, variant.threads), network.num_parameters
        new = checked("elman", peer, variant.work, x, expected, parameters)
        entries += [e._replace(mode=", ".join(filter(None, [e.mode, mode]))) for e in new]
    if case.group == "step" and case.H == CALL_SIZE:
        one = x[:1]
        entries.append(Entry("elman", "net(x) of one step", partial(network, one), 1))
    return entries


def _variants(case: Case) -> list[tuple[str, Case]]:
    if case.group == "float64":
        return [("", case), ("float32", case._replace(dtype="float32"))]
    if case.group == "threads":
        return [("2 threads", case), ("1 thread", case._replace(threads=1))]
    if case.group == "isa" and case.isa != elman.isa():
        return [(case.isa, case), (elman.isa(), case._replace(isa=elman.isa()))]
    return [("", case)]


def _bounds(case: Case, x: Array) -> list[Entry]:
    """Return the machine limits of a case, with a step as the item."""
    if case.work == "step":
        return limits.empty_calls(x, np.empty(case.O, case.dtype))
    if case.work == "sequence":
        loads = limits.streaming_loads(case.bytes // case.layers)  # layer by layer
        return [loads._replace(items=loads.items / case.layers)]
    peak = limits.multiply_add("sse2_float32" if case.isa == "sse2" else case.dtype)
    return [peak._replace(items=peak.items / (2 * case.weights))]


def _facts(
    case: Case,
    isa: str,
    rounds: int,
    entries: list[Entry],
    bounds: list[Entry],
    times: list[list[float]],
) -> Facts:
    flops = 2 * case.weights
    entry_times, bound_times = times[: len(entries)], times[len(entries) :]

    def value(ns: list[float]) -> Facts:
        values = [flops / t for t in ns] if case.work == "batch" else ns
        return spread(values)._asdict()

    def fact(entry: Entry, ns: list[float]) -> Facts:
        found = {"name": entry.name, "mode": entry.mode, **value(ns)}
        found["ratio"] = ratios(ns, times[0])._asdict()
        for bound, bound_ns in zip(bounds, bound_times, strict=True):
            if entry.name == "elman" and case.work == "step" and bound.mode == entry.mode:
                found["times_empty_call"] = ratios(ns, bound_ns)._asdict()
        return found

    unit = "GFLOP/s" if case.work == "batch" else "ns per step"
    facts = described(case, isa, unit, rounds)
    facts["entries"] = list(map(fact, entries, entry_times))
    facts["limits"] = list(map(fact, bounds, bound_times))
    return facts


def described(case: Any, isa: str, unit: str, rounds: int) -> Facts:
    """Return the description of a case, without its entries and limits."""
    return {
        "group": case.group,
        "work": case.work,
        "shape": {name: getattr(case, name) for name in ("I", "H", "O", "T", "B", "layers")},
        "dtype": case.dtype,
        "threads": case.threads,
        "isa": isa,
        "unit": unit,
        "rounds": rounds,
    }
