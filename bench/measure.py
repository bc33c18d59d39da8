"""Measure a case: check every answer, time all entries interleaved, and format the results."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
import hardware
from cases import sets, weights
from elman import reference
from elman.cli.timing.answers import Wrong, checked
from elman.cli.timing.base import Unsupported
from elman.cli.timing.rounds import Entry, interleave
from results import times_of

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
    limits, yardsticks = _limits(case, x), _yardsticks(case)
    with pinned(case.threads == 1):
        times = interleave([*entries, *limits, *yardsticks], rounds, done=done)
    return described(case, network.isa, (entries, limits, yardsticks), times), wrong


def several() -> bool:
    """Return whether this process may use two processors."""
    return len(ALLOWED or range(os.cpu_count() or 1)) > 1


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


def problem(case: Case, isa: str | None = None) -> tuple[elman.Network, Array, Array]:
    """Return the network, inputs (T, I) or (B, T, I), and the reference's outputs."""
    network = case.network(isa)
    shape = (case.T, case.I) if case.work != "batch" else (case.B, case.T, case.I)
    x = np.random.default_rng(1).standard_normal(shape).astype(case.dtype)
    return network, x, reference.run(network, x).output


def _elman_entries(case: Case, make: type[Peer]) -> list[Entry]:
    """Return the entries of elman for the case, and for the variants it is compared with."""
    entries = []
    for mode, variant, isa in _variants(case):
        network, x, expected = problem(variant, isa)
        peer, parameters = make(network, variant.threads), network.num_parameters
        new = checked("elman", peer, variant.work, x, expected, parameters)
        if case.group == "isa":  # of a step only `out=`
            new = [new[0]._replace(mode="")]
        entries += [e._replace(mode=", ".join(filter(None, [e.mode, mode]))) for e in new]
    if case.group == "step" and case.H == CALL_SIZE:
        one = x[:1]
        entries.append(Entry("elman", "net(x) of one step", partial(network, one), 1))
    return entries


def _variants(case: Case) -> list[tuple[str, Case, str]]:
    """Return the mode of each variant, its case and its instruction set."""
    best = elman.isa()
    if case.group == "float64":
        return [("", case, best), ("float32", case._replace(dtype="float32"), best)]
    if case.group == "threads":
        return [("2 threads", case, best), ("1 thread", case._replace(threads=1), best)]
    if case.group == "isa":
        return [(isa, case, isa) for isa in sets(weights(case))]
    return [("", case, best)]


def _limits(case: Case, x: Array) -> list[Entry]:
    """Return what bounds a case, with a step as the item."""
    if case.work == "step":
        calls = hardware.empty_calls(x, np.empty(case.O, case.dtype))
        return calls[:1] if case.group == "isa" else calls
    if case.work == "sequence" or case.threads > 1:
        return []
    return multiply_adds(case, weights(case))


def multiply_adds(case: Case, count: float) -> list[Entry]:
    """Return the time that the machine needs for `count` multiply-adds, with each set compared."""
    if case.group == "isa":
        peaks = [(isa, hardware.multiply_add(f"{isa}_{case.dtype}")) for isa in sets(weights(case))]
    else:
        peaks = [(case.dtype, hardware.multiply_add(case.dtype))]
    return [peak._replace(mode=mode, items=peak.items / (2 * count)) for mode, peak in peaks]


def _yardsticks(case: Case) -> list[Entry]:
    """Return what a case is compared with that it may exceed, with a step as the item."""
    if case.work == "batch" and case.threads > 1:
        return [entry._replace(mode="one core") for entry in multiply_adds(case, weights(case))]
    if case.work != "sequence":
        return []
    loads = hardware.streaming_loads(case.bytes // case.layers)  # layer by layer
    return [loads._replace(items=loads.items / case.layers)]


def described(
    case: Case,
    isa: str,
    entries: tuple[list[Entry], list[Entry], list[Entry]],
    times: list[list[float]],
) -> Facts:
    """Return a case of the result file: what it is, and the times of its three kinds of entries."""
    rest = iter(times)
    kinds = zip(("entries", "limits", "yardsticks"), entries, strict=True)
    return {
        "group": case.group,
        "work": case.work,
        "shape": {name: getattr(case, name) for name in ("I", "H", "O", "T", "B", "layers")},
        "weights": weights(case),
        "dtype": case.dtype,
        "threads": case.threads,
        "isa": isa,
        **{kind: times_of(found, [next(rest) for _ in found]) for kind, found in kinds},
    }
