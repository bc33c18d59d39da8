"""The command of the benchmark: names of machines, and runs with several instruction sets."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

import results
import run

pytestmark = pytest.mark.any_isa


def arguments(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    return run._arguments()


def test_a_machine_has_a_file_of_its_own(monkeypatch):
    found = arguments(monkeypatch, "--machine-name", "zen5-avx2")
    assert found.output == run.RESULTS / "zen5-avx2.json"
    assert arguments(monkeypatch, "--quick").output is None


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--machine-name", "My PC"),
        ("--machine-name", "a/b"),
        ("--output", "a", "--machine-name", "a", "--sets", "avx2"),
        ("--output", "a", "--machine-name", "a"),
        ("--output", "a", "--publish"),
        ("--quick", "--publish"),
        ("--quick", "--rounds", "0"),
        ("--quick", "--rounds", "few"),
        ("--quick", "--tail-seconds", "-1"),
        ("--quick", "--paced-seconds", "inf"),
    ],
)
def test_a_run_needs_a_name_that_can_be_that_of_a_file(monkeypatch, capsys, words):
    monkeypatch.setattr(run.elman, "available_isas", lambda: ["scalar", "avx2"])
    with pytest.raises(SystemExit):
        arguments(monkeypatch, *words)
    assert "expected" in capsys.readouterr().err


def test_unknown_names_are_listed_in_words(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        arguments(monkeypatch, "--quick", "--peers", "numpy,tourch,jaxx")
    assert capsys.readouterr().err.endswith("eigen, got jaxx, tourch\n")


def test_options_are_not_abbreviated(monkeypatch, capsys):
    with pytest.raises(SystemExit):  # --quic would not have the defaults of --quick
        arguments(monkeypatch, "--quic", "--output", "a")
    assert "unrecognized arguments: --quic" in capsys.readouterr().err


def test_each_set_is_measured_in_a_process_of_its_own(monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "run", lambda command, **more: started.append((command, more)))
    monkeypatch.setattr(run.elman, "available_isas", lambda: ["scalar", "avx2", "avx512"])
    words = ["--machine-name", "zen5", "--cases", "step,imports", "--sets", "avx2,avx512"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words, "--publish"])
    run.main()
    *measured, (command, _) = started
    assert command[1] == run.REPORT
    assert [more["env"]["ELMAN_ISA"] for _, more in measured] == ["avx512", "avx2"]
    of_one = iter([["step", "imports"], ["step"]])  # an import is the same with each set
    for (command, _), isa in zip(measured, ("avx512", "avx2"), strict=True):
        found = arguments(monkeypatch, *command[2:])
        assert found.output == run.RESULTS / f"zen5-{isa}.json"
        assert found.cases == next(of_one)
        assert not found.sets
        assert not found.publish


def test_a_quick_run_of_several_sets_only_prints(monkeypatch):
    monkeypatch.setattr(run.elman, "available_isas", lambda: ["scalar", "avx2", "avx512"])
    started = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: started.append(command))
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--sets", "avx512,avx2"])
    run.main()
    assert [arguments(monkeypatch, *command[2:]).output for command in started] == [None] * 2


def test_every_group_of_a_result_has_its_seconds(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    words = ["--output", str(path), "--peers", "numpy", "--rounds", "1", "--sizes", "16"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words, "--cases", "step,memory"])
    monkeypatch.setattr(run.memory, "memory", lambda done: [])
    run.main()
    result = results.load(path)
    assert list(result["seconds"]) == ["step", "memory"]
    assert [case["group"] for case in result["cases"]] == ["step"]
    assert result["memory"] == result["tail"] == []


def test_a_name_is_words_with_hyphens():
    assert run.machine_name("zen5-avx2") == "zen5-avx2"
    with pytest.raises(argparse.ArgumentTypeError, match="expected words such as zen5-avx2"):
        run.machine_name("zen5_avx2")
