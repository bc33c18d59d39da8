"""Measure a tick: one step of each of n sequences in one call, beside one call over all steps."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
import ticks
from cases import Case
from elman import reference
from elman.cli.timing.answers import Wrong, disagreement
from elman.cli.timing.base import Unsupported
from elman.cli.timing.rounds import Entry, interleave
from measure import described, pinned
from ticks import HALF, HALF_MASK, ONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Facts = dict[str, Any]

ROWS = (1, 16, 256, 4096)
TICKS_TO_CHECK = 6
TICKS, FEWEST_TICKS = 200, 2  # in a timed call: with one row, and with many
WHOLE = "one call of T steps"


SIZES = ((4, 16, 1), (16, 32, 4), (64, 256, 16))
POOLS = [Case("pool", "tick", *size, T=100, B=n) for size, n in itertools.product(SIZES, ROWS)]


def measure(case: Case, peers: Iterable[str], rounds: int) -> tuple[Facts, dict[str, str]]:
    """Return the results of a case, and one sentence for each wrong peer."""
    net, x = problem(case)
    expected = reference.run(net, x[:, :TICKS_TO_CHECK]).output
    entries, wrong = [], {}
    for name, mode, make in _pools(case, peers):
        try:
            if said := _wrong(make(net, case.B), x, expected):
                if name == "elman":
                    raise Wrong(said)
                sizes = f"{case.I}, {case.H}, {case.O}, {case.B}"
                wrong[name] = f"tick of {sizes}: {mode or 'step'}: {said}"
                continue
            entries.append(_entry(name, mode, make(net, case.B), x))
        except Unsupported:
            continue
    y = np.empty((case.B, case.T, case.O), case.dtype)
    whole = Entry(WHOLE, "", partial(net, x, out=y), case.B * case.T)
    with pinned():
        times = interleave([*entries, whole], rounds)
    return described(case, net.isa, (entries, [], [whole]), times), wrong


def problem(case: Case) -> tuple[elman.Network, Array]:
    """Return the network and inputs (B, T, I)."""
    net = elman.Network(case.I, case.H, case.O, dtype=case.dtype, seed=0)
    x = np.random.default_rng(1).standard_normal((case.B, case.T, case.I), case.dtype)
    return net, x


def _pools(case: Case, peers: Iterable[str]) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Yield the name and mode of each pool, and what makes it; that of all rows is the first."""
    left_out = (HALF, HALF_MASK) if case.B == 1 else (ONE,)
    for name, modes in ticks.available(peers).items():
        for mode, make in modes.items():
            if mode not in left_out:
                yield name, mode, make


def _wrong(pool: ticks.Pool, x: Array, expected: Array) -> str | None:
    """Return the error in the outputs of a pool, or None."""
    y = [pool.output(pool.step(pool.input(x_t))) for x_t in _of_each_step(x, TICKS_TO_CHECK)]
    return disagreement(np.array(y), expected.swapaxes(0, 1), x.dtype)


def _entry(name: str, mode: str, pool: ticks.Pool, x: Array) -> Entry:
    """Return an entry of several ticks, each with its own inputs."""
    n, count = len(x), max(FEWEST_TICKS, TICKS // len(x))
    inputs = [
        pool.input(x_t) for x_t in itertools.islice(itertools.cycle(_of_each_step(x, count)), count)
    ]
    return Entry(name, mode, pool.loop(inputs), count * n)


def _of_each_step(x: Array, count: int) -> list[Array]:
    """Return the inputs (B, I) of the first steps."""
    return list(np.ascontiguousarray(x[:, :count].swapaxes(0, 1)))
