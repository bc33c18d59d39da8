"""Measure a trace, with all sums of every step, beside a run that returns the states."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from cases import each
from elman import reference
from elman.cli.timing.answers import Wrong, disagreement
from elman.cli.timing.rounds import Entry, interleave
from measure import described, pinned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from cases import Case

    Array = NDArray[Any]
    Facts = dict[str, Any]

RUN, TRACE = "run, return_hidden=True", "trace, all sums"


TRACES = [
    *each("trace", "trace", [(16, 32, 4), (64, 256, 16)]),
    *each("trace", "trace", [(64, 256, 16)], T=100, B=16),
]


def measure(case: Case, _: Iterable[str], rounds: int) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case; only elman takes part."""
    net, x = problem(case)
    if said := wrong_sums(all_sums(net, x), x):
        raise Wrong(said)
    count = case.B * case.T
    entries = [
        Entry("elman", RUN, partial(net.run, x, return_hidden=True), count),
        Entry("elman", TRACE, partial(all_sums, net, x), count),
    ]
    with pinned():
        times = interleave(entries, rounds)
    return described(case, net.isa, (entries, [], []), times), {}


def problem(case: Case) -> tuple[elman.Network, Array]:
    """Return the network and inputs (B, T, I)."""
    net = elman.Network(case.I, case.H, case.O, dtype=case.dtype, seed=0)
    return net, np.random.default_rng(1).standard_normal((case.B, case.T, case.I), case.dtype)


def all_sums(net: elman.Network, x: Array) -> elman.Trace:
    """Return a trace after asking for its sums, which are computed then."""
    trace = net.trace(x)
    (layer,) = trace.layers
    _ = layer.u, layer.a, trace.readout.a
    return trace


def wrong_sums(trace: elman.Trace, x: Array) -> str | None:
    """Return how the outputs or the activations of the sums differ from the reference, or None."""
    run, (layer,) = reference.run(trace.network, x), trace.layers
    found = {
        "y": (trace.y, run.output),
        "a": (np.tanh(layer.a), run.hidden),
        "a of the readout": (1 / (1 + np.exp(-trace.readout.a)), run.output),
    }
    for name, (numbers, expected) in found.items():
        if said := disagreement(numbers, expected, x.dtype):
            return f"{name}: {said}"
    return None
