"""The cost of a million predictions: what is counted, and the page."""

from __future__ import annotations

import pytest

import cost
import page
import peers
import results
from elman.cli.timing.numpy import NumPy
from elman.cli.timing.rounds import Entry

pytestmark = pytest.mark.any_isa


class Wrong(NumPy):
    def run(self, x):
        return super().run(x) + 0.5


def test_every_peer_makes_the_same_predictions_in_its_fastest_mode():
    found, _ = peers.available(["elman", "numpy"])
    facts, wrong = cost.cost(found | {"wrong": Wrong}, rounds=2, most=1)
    assert [(entry["work"], entry["name"]) for entry in facts] == [
        *(("step", "elman"), ("step", "numpy"), ("step", "wrong")),
        *(("batch", "elman"), ("batch", "numpy")),
    ]
    assert [entry["predictions"] for entry in facts] == [[200] * 2] * 3 + [[6400] * 2] * 2
    assert all(len(entry["times"]) == len(entry["cpu"]) == 2 for entry in facts)
    assert wrong["wrong"].startswith("cost of batch: off by 0.5")


def test_a_peer_stops_at_a_million_or_when_its_time_is_over(monkeypatch):
    calls = []
    entry = Entry("peer", "", lambda: calls.append(1), 300_000)
    assert cost.spend(entry, most=10**12).predictions == 1_200_000
    assert len(calls) == 4
    now = iter(range(0, 10**9, 10))
    monkeypatch.setattr(cost.time, "perf_counter_ns", lambda: next(now))
    assert cost.spend(entry, most=25).predictions == 900_000


def zone(folder, name, energy):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{energy}\n")
    (folder / name / "max_energy_range_uj").write_text("1000000000\n")


def test_energy_is_that_of_all_packages_also_if_a_counter_begins_again(monkeypatch, tmp_path):
    for name, energy in (("intel-rapl:0", 5e6), ("intel-rapl:1", 9.98e8), ("intel-rapl:0:0", 1e6)):
        zone(tmp_path, name, round(energy))
    before = cost.joules(tmp_path)
    assert before == [(5, 1000), (998, 1000)]
    zone(tmp_path, "intel-rapl:0", 7_000_000)
    zone(tmp_path, "intel-rapl:1", 1_000_000)
    readings = iter([before, cost.joules(tmp_path)])
    monkeypatch.setattr(cost, "joules", lambda: next(readings))
    assert cost.spend(Entry("peer", "", lambda: None, 10**6), 10**9).joules == 5


def test_without_a_readable_counter_there_is_no_energy(monkeypatch, tmp_path):
    assert cost.joules(tmp_path) == []
    zone(tmp_path, "intel-rapl:0", 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert cost.joules(tmp_path) == []
    monkeypatch.setattr(cost, "joules", list)
    assert cost.spend(Entry("peer", "", lambda: None, 10**6), 10**9).joules is None


EMPTY = {key: [] for key in ("cases", "imports", "cold_start", "limits", "yardsticks", "tail")}


def of(name, seconds, cpu, predictions, **more):
    facts = {"work": "step", "name": name, "mode": "", "predictions": [predictions] * 2}
    return facts | {"times": [seconds * 1e9] * 2, "cpu": [cpu * 1e9] * 2} | more


def test_the_page_states_the_cost_of_a_million():
    found = [of("elman", 0.1, 0.1, 1_000_000), of("numpy", 2, 3, 500_000)]
    result = results.derived(EMPTY | {"cost": found})
    text = page._costs(result["cost"])
    assert "| a million, one step a call | s | CPU s | CPU s, divided by elman's |" in text
    assert "| NumPy | 4.00 | 6.00 | 60.0 |" in text
    assert "Of 1 comparisons with a peer" in page.losses(result)
    assert results.derived(EMPTY)["cost"] == []  # as in a result of an earlier benchmark


def test_the_page_compares_joules_if_there_are_some():
    found = [of("elman", 1, 1, 10**6, joules=[2, 2]), of("numpy", 1, 1, 10**6, joules=[5, 7])]
    text = page._costs(results.derived(EMPTY | {"cost": found})["cost"])
    assert "| s | CPU s | J | J, divided by elman's |" in text
    assert "| NumPy | 1.00 | 1.00 | 6.00 | 3.00 (2.75 to 3.25) |" in text
