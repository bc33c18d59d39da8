"""The stored sequences of the benchmark: its processes, its comparisons, and the page."""

from __future__ import annotations

import importlib.util

import pytest

import losses
import page
import processes
import results
import stored
import stored_parquet as parquet

pytestmark = pytest.mark.any_isa

WAYS = ["arrays in memory", "the same with out=", "run_files", "memory map, by hand"]


def without_torch(facts):
    return [entry["name"] for entry in facts if "PyTorch" not in entry["name"]]


def test_a_process_times_every_way_of_each_kind(monkeypatch):
    monkeypatch.setattr(processes, "KINDS", {"npy": "numpy", "parquet": "no_such_package"})
    found = processes.stored(rounds=2, sequences=8)
    assert without_torch(found) == WAYS
    for facts in found:
        assert (facts["kind"], facts["sequences"], facts["threads"]) == ("npy", 8, 2)
        assert len(facts["times"]) == len(facts["cpu"]) == 2


def test_parquet_begins_with_its_parts(monkeypatch):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install elman[parquet]")
    monkeypatch.setattr(processes, "KINDS", {"parquet": "pyarrow"})
    names = without_torch(processes.stored(rounds=1, sequences=8))
    assert names == [*parquet.PARTS, "run_files"]


def test_other_numbers_are_refused(monkeypatch, tmp_path):
    by_hand = stored.by_hand

    def off(net, folder):
        by_hand(net, folder)
        with open(folder / "y.npy", "r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x00")

    monkeypatch.setattr(stored, "by_hand", off)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="memory map, by hand: other numbers"):
        stored.npy_ways(tmp_path, 8)


def entry(kind, name, times, cpu):
    facts = {"kind": kind, "name": name, "sequences": 1000, "threads": 2}
    return facts | {"times": times, "cpu": cpu}


def test_parquet_is_compared_with_what_two_cores_allow(capsys):
    parts = [entry("parquet", name, [4e8, 4e8], [4e8, 6e8]) for name in parquet.PARTS]
    found = [
        *(entry("npy", WAYS[0], [1e9, 2e9], [2e9, 2e9]), entry("npy", WAYS[2], [2e9, 2e9], [3e9])),
        *(*parts, entry("parquet", "run_files", [9e8, 9e8], [1e9, 1e9])),
    ]
    empty = {key: [] for key in ("cases", "imports", "cold_start", "limits", "yardsticks")}
    text = page._stored(results.derived(empty | {"stored": found})["stored"])
    assert "| time, divided by that of arrays in memory |" in text
    assert "| run_files | 500 | 1.50 (1.25 to 1.75) | 3,000 |" in text
    assert "| time, divided by that of the bound |" in text  # 0.6 and 0.9 seconds
    assert "| run_files | 1,111 | 1.25 (1.12 to 1.38) | 1,000 |" in text
    assert results.derived(empty)["stored"] == []  # as in a result of an earlier benchmark
    spent = {facts["name"]: [(0.4, 0.4), (0.4, 0.6)] for facts in parts}
    parquet.report(spent | {"run_files": [(0.9, 1.0)] * 2}, 1000)
    assert "0.83 of the bound (0.67 to 1.00)" in capsys.readouterr().out
    assert parquet.allowed(spent) == pytest.approx([0.6, 0.9])


def test_a_peer_that_is_as_fast_is_listed_among_the_losses():
    names = (WAYS[0], WAYS[2], WAYS[3], "PyTorch, one thread")
    times = ([1e9, 2e9], [2e9, 2e9], [1e9, 1e9], [2e9, 1e9])
    found = [entry("npy", name, ns, ns) for name, ns in zip(names, times, strict=True)]
    empty = {key: [] for key in ("cases", "imports", "cold_start", "limits", "yardsticks", "tail")}
    text = losses.losses(results.derived(empty | {"stored": found}))
    assert "Of 1 comparisons with a peer" in text  # the other ways run the network by elman
    row = "| 1,000 sequences stored in NPY | PyTorch, one thread | 0.750 (0.625 to 0.875) |"
    assert f"{row} elman loses: it takes 1.33 times as long |" in text
