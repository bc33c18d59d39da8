"""Comparison of two builds, here of a build with itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import versus_worker
from fixtures import cpp_build

pytestmark = [pytest.mark.any_isa, pytest.mark.slow]

VERSUS = cpp_build.ROOT / "bench" / "versus.py"


def run(*arguments):
    command = [sys.executable, VERSUS, sys.executable, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_build_is_compared_with_itself(tmp_path):
    path = tmp_path / "result.json"
    cases = "step/float32/H=8,threads/few/H=8"
    done = run("--cases", cases, "--rounds", "2", "--passes", "2", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [word for word in cases.split(",") if word not in done.stdout] == []
    result = json.loads(path.read_text())
    assert result["old"] == result["new"]
    assert [case["name"] for case in result["cases"]] == [
        "step/float32/H=8",
        "threads/few/H=8/threads=2",
    ]
    for case in result["cases"]:
        ratio = case["ratio"]
        assert case["same"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert case["old_ns"] > 0
        assert case["new_ns"] > 0


def test_a_pattern_without_cases_is_refused():
    done = run("--cases", "nothing", "--rounds", "1", "--passes", "1")
    assert done.returncode == 2
    assert "error: --cases: " in done.stderr


def test_an_interpreter_that_cannot_be_started_is_one_sentence(tmp_path):
    (tmp_path / "not_executable").touch()
    for name in ("missing", "not_executable"):
        python = str(tmp_path / name)
        command = [sys.executable, VERSUS, sys.executable, python]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"{python}: expected an interpreter of Python, got ")
        assert done.stderr.count("\n") == 1


def test_every_case_runs():
    for name, make in versus_worker.CASES.items():
        case = make()
        assert versus_worker.digest([case.call()] if case.results is None else case.results()), name
