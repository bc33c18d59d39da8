"""The trainers of the benchmark: their results, their timing, and the pages."""

from __future__ import annotations

import itertools
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import cases
import page
import peers
import results
import summary
import trainers.numpy
import training
from fixtures import cpp_build

pytestmark = pytest.mark.any_isa

BENCH = cpp_build.ROOT / "bench"
NAMES = ("elman", "numpy", "torch", "jax")
STATUS = pathlib.Path("/proc/self/status")


@pytest.fixture
def cache(monkeypatch, tmp_path_factory):
    """A folder for the compiled programs of the machine's limits, without optimization."""
    monkeypatch.setenv("ELMAN_CACHE", str(cpp_build.shared_folder(tmp_path_factory) / "peers"))
    monkeypatch.setenv("CMAKE_BUILD_TYPE", "None")


@pytest.fixture(params=[*NAMES, pytest.param("libxsmm", marks=pytest.mark.builds)])
def modes(request, cache):
    """The trainers of each peer in turn; those of the extra `bench` if installed."""
    if request.param in ("torch", "jax"):
        needs = f"needs {request.param}: pip install elman[bench]"
        pytest.importorskip(request.param, reason=needs)
    left_out = peers.available([request.param])[1]
    if left_out == {"libxsmm": "libxsmm-dev is not installed"}:
        pytest.skip("needs a package of the system, libxsmm-dev")
    assert not left_out
    return trainers.available([request.param])[request.param]


def double(case):
    """Return the result of NumPy, in float64."""
    net, x, y = training.problem(case)
    return training.NumPy(net, x.astype(np.float64), y.astype(np.float64))


# --- the answers ----------------------------------------------------------------------------------


def test_the_gradient_of_numpy_is_that_of_central_differences():
    trainer = double(cases.Case("training", "update", 2, 3, 2, T=5, B=4))
    trainer._forward()
    trainer._backward()
    numeric = np.empty_like(trainer.gradient)
    for i in range(trainer.flat.size):
        losses = []
        for step in (1e-5, -1e-5):
            trainer.flat[i] += step
            losses.append(trainer._forward())
            trainer.flat[i] -= step
        numeric[i] = (losses[0] - losses[1]) / 2e-5
    np.testing.assert_allclose(trainer.gradient, numeric, rtol=1e-6, atol=1e-9)


def test_numpy_clips_and_updates_as_adam_is_written():
    """Kingma & Ba 2015, algorithm 1, element by element, for three gradients."""
    trainer = double(cases.Case("training", "update", 2, 3, 2, T=5, B=4))
    w, m, v = list(trainer.flat), [0.0] * trainer.flat.size, [0.0] * trainer.flat.size
    for t in range(1, 4):
        trainer._forward()
        trainer._backward()
        gradient = trainer.gradient.tolist()
        trainer._adam()
        norm = math.sqrt(sum(g * g for g in gradient))
        assert norm > 0.03
        for i, g in enumerate(gradient):
            g *= 0.03 / (norm + 1e-6)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            w[i] -= 1e-3 * m_hat / (math.sqrt(v_hat) + 1e-8)
        np.testing.assert_allclose(trainer.flat, w, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 2, 1, 20, 1), (3, 5, 2, 7, 4), (2, 17, 3, 12, 40)])
def test_every_trainer_agrees_with_numpy_in_double_precision(modes, shape):
    case = cases.Case("training", "update", *shape)
    net, x, y = training.problem(case)
    start = training.trainers.weights(net)
    expected = training._trained(double(case))
    for make in modes.values():
        trainer = make(net, x, y)
        assert training._wrong(training._trained(trainer), expected, start) == ""
    for name, w in training.trainers.weights(net).items():
        np.testing.assert_array_equal(w, start[name])


@pytest.mark.parametrize(
    "index", [0, 1, 2, *(pytest.param(index, marks=pytest.mark.slow) for index in (3, 4, 5))]
)
def test_an_update_without_clipping_is_wrong(monkeypatch, index):
    case = training.UPDATES[index]._replace(B=1)
    start = training.trainers.weights(training.problem(case)[0])
    expected = training._trained(double(case))
    monkeypatch.setattr("trainers.numpy.CLIP_NORM", math.inf)
    found = training._trained(double(case))
    assert "0.0001" in training._wrong(found, expected, start)


# --- the cases ------------------------------------------------------------------------------------


@pytest.mark.builds
@pytest.mark.usefixtures("cache")
def test_a_wrong_trainer_is_reported_and_not_timed(monkeypatch):
    class Wrong(training.NumPy):
        updates = itertools.count()

        def update(self):
            assert next(self.updates) < training.UPDATES_TO_CHECK
            self.w["b_y"][0] += 0.01
            return super().update()

    monkeypatch.setattr(trainers.numpy, "TRAINERS", {"": Wrong})
    facts, wrong = training.measure(training.UPDATES[0], ["elman", "numpy"], rounds=1)
    assert {entry["name"] for entry in facts["entries"]} == {"elman"}
    assert list(wrong) == ["numpy"]
    assert wrong["numpy"].startswith("update of 1, 2, 1: ")


def test_the_multiply_adds_are_those_of_all_products():
    case = cases.Case("training", "update", 2, 3, 5, T=7, B=11)
    forward = 2 * 3 + 3 * 3 + 3 * 5
    weights, h = forward, 3 * 3 + 3 * 5
    assert training.count(case) == 7 * 11 * (forward + weights + h)


@pytest.mark.builds
@pytest.mark.usefixtures("cache")
def test_the_result_file_has_updates_and_their_memory(tmp_path):
    output = tmp_path / "results.json"
    arguments = ("--cases", "training,memory", "--sizes", "2,20", "--peers", "numpy")
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *arguments, "--rounds", "1", "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert [case["shape"]["H"] for case in result["cases"]] == [2, 20]
    for case in results.derived(result)["cases"]:
        assert (case["group"], case["work"], case["unit"]) == (
            "training",
            "update",
            "µs per update",
        )
        named = [(entry["name"], entry["mode"]) for entry in case["entries"]]
        parts = [("elman", mode) for mode in ("", "forward", "forward and backward")]
        assert named == [*parts, ("numpy", "")]
        assert ["backward" in entry for entry in case["entries"]] == [False, False, True, False]
        assert [limit["name"] for limit in case["limits"]] == ["multiply-add"]
        assert case["yardsticks"] == []
    if STATUS.exists():
        assert [facts["shape"]["T"] for facts in result["memory"]] == [1000, 2000, 4000]
        for facts in result["memory"]:
            assert facts["bytes"] > facts["states"] == facts["shape"]["T"] * 16 * 64 * 4
    assert "update" in done.stdout


# --- the pages ------------------------------------------------------------------------------------


def entry(name, mode, us):
    return {"name": name, "mode": mode, "times": [us * 1000]}


def test_the_page_has_updates_and_their_memory():
    parts = [entry("elman", "forward", 32), entry("elman", "forward and backward", 104)]
    case = {
        **{"group": "training", "work": "update", "dtype": "float32", "threads": 1},
        **{"isa": "avx2", "weights": (16 + 32 + 4) * 32},
        "shape": {"I": 16, "H": 32, "O": 4, "T": 100, "B": 16, "layers": 1},
        "entries": [
            *(entry("elman", "", 100), *parts),
            *(entry("torch", "nn.RNN", 3_000), entry("torch", "a loop", 2_500)),
            entry("jax", "gradient by hand", 95),
        ],
        "limits": [entry("multiply-add", "float32", 60)],
        "yardsticks": [],
    }
    shape = {"I": 64, "H": 256, "O": 64, "B": 8, "layers": 1}
    memory = [
        {"shape": {**shape, "T": T}, "bytes": 2**20 + T * 8192 * 5 // 4, "states": T * 8192}
        for T in (1024, 4096)
    ]
    machine = dict.fromkeys(("processor", "cores", "system"), "") | {"caches": {}}
    build = {"isa": "avx2", "compiler": "GCC 12", "sources": "f" * 16, "flags": {}}
    result = results.derived(
        {
            **{"date": "2026-01-02", "left_out": {}, "wrong": {}, "versions": {"python": "3.11"}},
            **{"machine": machine, "load": {}, "elman": build, "native": {}},
            **{"limits": [], "yardsticks": []},
            **{"cases": [case], "memory": memory, "imports": [], "cold_start": [], "tail": []},
        }
    )
    text = page.page({"one": result})
    part = text.partition("## Training")[2].partition("\n## Limits")[0]
    assert "| µs per update | 16 -> 32 -> 4, T = 100, B = 16 |" in part
    assert "| PyTorch, a loop | 2,500 |" in part
    assert "| PyTorch, a loop | 25.0 |" in part
    assert "| elman's backward pass, in forward passes | 2.25 |" in part
    assert "| share of multiply-add, float32 that elman reaches | 60 % |" in part
    assert "1,024 to 4,096" in part
    assert "1.25 times" in part
    assert "| an update, MiB | 11.0 | 41.0 |" in part
    assert "an update of training, 16 -> 32 -> 4, T = 100, B = 16, float32 | JAX" in text
    words = summary.summary(result)
    row = "an update with 100 steps of 16 sequences, 16 -> 32 -> 4"
    assert f"| {row} | 100 µs |  | 25.0x | JAX **0.950x** |" in words
