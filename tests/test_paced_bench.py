"""The paced steps of the benchmark: their conditions, what is counted, and the page."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import cases
import measure
import paced
import page
import peers
import results
from elman.cli.timing.numpy import NumPy

pytestmark = pytest.mark.any_isa

CASE = cases.Case("tail", "step", 2, 3, 2)


class Wrong(NumPy):
    def steps(self):
        return {"": lambda x_t: np.zeros(2, np.float32)}


def test_every_entry_is_paced_in_every_condition(monkeypatch):
    monkeypatch.setattr(paced, "PERIODS", (100_000, 20_000))
    monkeypatch.setattr(paced, "BLOCK", 500_000)
    monkeypatch.setattr(paced, "HELD", 10)
    found, _ = peers.available(["elman", "numpy"])
    facts, wrong = paced.paced(CASE, found | {"torch": Wrong}, seconds=0.001)
    assert len(facts) == len(paced.conditions()) * 2 * 3
    assert {entry["name"] for entry in facts} == {"elman", "numpy", "nothing"}
    assert {entry["steps"] for entry in facts} == {10, 50}
    assert wrong["torch"].startswith("paced steps: step: off by")


@pytest.mark.parametrize(
    ("allowed", "left_out"),
    [
        (None, {paced.OTHER, paced.SAME}),
        ({1}, {paced.OTHER}),
        ({0, 1}, set()),
    ],
)
def test_a_neighbour_needs_a_processor(monkeypatch, allowed, left_out):
    monkeypatch.setattr(measure, "ALLOWED", allowed)
    assert set(paced.CONDITIONS) - set(paced.conditions()) == left_out


@pytest.mark.parametrize("condition", [paced.IDLE, paced.GARBAGE])
def test_garbage_is_collected_in_one_condition(condition):
    before = gc.isenabled()
    with paced._under(condition):
        assert gc.isenabled() is (condition == paced.GARBAGE)
    assert gc.isenabled() is before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_a_neighbour_is_busy_where_it_should_be_and_ends():
    one = {min(os.sched_getaffinity(0))}
    with paced._neighbour(one) as process:
        assert process.poll() is None
        assert os.sched_getaffinity(process.pid) == one
    assert process.poll() is not None


@pytest.mark.parametrize("condition", [paced.IDLE, paced.GARBAGE, paced.SLEEP])
def test_a_step_is_late_by_what_stalls_it_and_the_next_by_the_rest(monkeypatch, condition):
    now = [0]

    def clock():
        now[0] += 10
        return now[0]

    monkeypatch.setattr(paced.time, "perf_counter_ns", clock)
    monkeypatch.setattr(paced.time, "sleep", lambda s: now.__setitem__(0, now[0] + round(s * 1e9)))
    calls = []

    def step(x_t):
        calls.append(x_t)
        now[0] += 2500 if len(calls) == paced.LEAD + 1 else 0

    service, latency = paced.loop(step, [1, 2, 3], 4, 1000, condition)
    assert len(calls) == paced.LEAD + 4
    assert service.tolist() == [2510, 10, 10, 10]
    assert latency[0] >= 2510
    assert [late > 1000 for late in latency] == [True, True, False, False]
    entry = paced.facts(condition, 1000, ("a", "", step, []), np.array([service, latency]))
    assert (entry["steps"], entry["missed"], entry["service"]["worst"]) == (4, 2, 2510)


def of(name, condition, latency, service, steps=1500):
    of = {"name": name, "mode": "", "condition": condition, "period_ns": 1_000_000, "missed": 7}
    kinds = {"latency": latency, "service": service}
    return of | {"steps": steps} | {k: dict.fromkeys(paced.KEYS, v) for k, v in kinds.items()}


def test_the_page_has_a_row_for_each_entry_and_condition():
    found = [
        *(of("elman", paced.IDLE, 300, 200), of("numpy", paced.IDLE, 4000, 3000)),
        *(of("elman", paced.SLEEP, 60_000, 900), of("numpy", paced.SLEEP, 70_000, 450)),
        of("nothing", paced.SLEEP, 50_000, 50, steps=15_000),
    ]
    empty = {key: [] for key in ("cases", "imports", "cold_start", "limits", "yardsticks", "tail")}
    result = results.derived(empty | {"paced": found})
    text = page._paced(result["paced"])
    assert "| 1 kHz | median | 99 % | 99.9 % | worst | missed | from when it began | 99 % |" in text
    row = "| a sleep between steps: elman | 60.0 | 60.0 | – | 60.0 | 7 of 1,500 | 0.900 | 0.900 |"
    assert row in text
    assert "| a sleep between steps: nothing | 50.0 | 50.0 | 50.0 | 50.0 | 7 of 15,000 |" in text
    said = page.losses(result)
    assert "Of 2 comparisons with a peer" in said
    assert "| steps at 1 kHz, a sleep between steps | NumPy | 0.500 |" in said
    assert results.derived(empty)["paced"] == []  # as in a result of an earlier benchmark
