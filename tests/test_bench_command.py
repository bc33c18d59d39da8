"""The command of the benchmark: names of machines, and runs with several instruction sets."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

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
        ("--output", "a", "--sets", "avx2"),
    ],
)
def test_a_run_needs_a_name_that_can_be_that_of_a_file(monkeypatch, capsys, words):
    monkeypatch.setattr(run.elman, "available_isas", lambda: ["scalar", "avx2"])
    with pytest.raises(SystemExit):
        arguments(monkeypatch, *words)
    assert "expected" in capsys.readouterr().err


def test_each_set_is_measured_in_a_process_of_its_own(monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "run", lambda command, **more: started.append((command, more)))
    monkeypatch.setattr(run.elman, "available_isas", lambda: ["scalar", "avx2", "avx512"])
    words = ["--machine-name", "zen5", "--cases", "step", "--sets", "avx512,avx2"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    run.main()
    assert [more["env"]["ELMAN_ISA"] for _, more in started] == ["avx2", "avx512"]
    for (command, _), isa in zip(started, ("avx2", "avx512"), strict=True):
        found = arguments(monkeypatch, *command[2:])
        assert found.output == run.RESULTS / f"zen5-{isa}.json"
        assert found.cases == ["step"]
        assert not found.sets


def test_a_name_is_words_with_hyphens():
    assert run.machine_name("zen5-avx2") == "zen5-avx2"
    with pytest.raises(argparse.ArgumentTypeError, match="expected words such as zen5-avx2"):
        run.machine_name("zen5_avx2")
