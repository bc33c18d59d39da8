"""The pools of the benchmark: their results, their timing, and the page."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import cases
import page
import pools
import results
import ticks
import ticks.numpy
from elman import reference
from elman.cli.timing.base import Unsupported
from fixtures import cpp_build

pytestmark = pytest.mark.any_isa

RUN = cpp_build.ROOT / "bench" / "run.py"
NEEDS = {"torch": "torch", "onnxruntime": "onnxruntime", "jax": "jax"}
NEEDS |= {"litert": "ai_edge_litert", "openvino": "openvino"}
SMALL = cases.Case("pool", "tick", 3, 5, 2, T=7, B=4)


@pytest.fixture(params=ticks.NAMES)
def modes(request):
    """The pools of each peer in turn; those of the extra `bench` if installed."""
    if module := NEEDS.get(request.param):
        pytest.importorskip(module, reason=f"needs {module}: pip install elman[bench]")
    return ticks.available([request.param])[request.param]


# --- the answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4])
def test_every_pool_gives_the_answers_of_the_reference(modes, n):
    case = SMALL._replace(B=n)
    net, x = pools.problem(case)
    expected = reference.run(net, x[:, : pools.TICKS_TO_CHECK]).output
    left_out = (ticks.ONE,) if n > 1 else (ticks.HALF, ticks.HALF_MASK)
    for mode, make in modes.items():
        if mode not in left_out and mode != "torch.compile":
            assert pools._wrong(make(net, n), x, expected) is None
            wrong = pools._wrong(make(net, n), x, expected + 0.01)
            assert wrong.startswith("off by 0.01")


def test_the_compiled_pool_of_pytorch_is_left_out_of_few_rows():
    pytest.importorskip("torch", reason="needs torch: pip install elman[bench]")
    compiled = ticks.available(["torch"])["torch"]["torch.compile"]
    with pytest.raises(Unsupported, match="slower"):
        compiled(pools.problem(SMALL)[0], 4)


@pytest.mark.parametrize("mode", [ticks.HALF, ticks.HALF_MASK])
@pytest.mark.parametrize("n", [4, 5])
def test_the_halves_are_all_rows_once(mode, n):
    net, x = pools.problem(SMALL._replace(B=n))
    pool = ticks.available(["elman"])["elman"][mode](net, n)
    for x_t in pools._of_each_step(x, SMALL.T):
        halves = pool.input(x_t)
        rows = [np.arange(n)[some] for some, _ in halves]
        assert [len(some) for some in rows] == [n // 2, n - n // 2]
        assert sorted(np.concatenate(rows)) == list(range(n))
        for some, part in zip(rows, halves, strict=True):
            np.testing.assert_array_equal(part[1], x_t[some])


# --- the cases ------------------------------------------------------------------------------------


def test_a_case_has_the_entries_of_all_rows_of_halves_and_of_one_call():
    names = {1: [ticks.ALL, ticks.ONE], 4: [ticks.ALL, ticks.HALF, ticks.HALF_MASK]}
    for n, expected in names.items():
        facts, wrong = pools.measure(SMALL._replace(B=n), ["elman", "numpy"], rounds=1)
        assert wrong == {}
        modes = [entry["mode"] for entry in facts["entries"] if entry["name"] == "elman"]
        assert modes == expected
        assert facts["entries"][-1]["name"] == "numpy"
        assert [entry["name"] for entry in facts["yardsticks"]] == [pools.WHOLE]
        assert (facts["shape"]["B"], facts["shape"]["T"]) == (n, 7)


def test_the_time_is_of_a_row():
    _, x = pools.problem(SMALL)
    counted = []

    class Counting(ticks.Pool):
        def __init__(self):
            pass

        def step(self, x):
            counted.append(len(x))

    entry = pools._entry("counting", "", Counting(), x)
    entry.call()
    assert sum(counted) == entry.items == 4 * pools.TICKS // 4


def test_a_wrong_pool_is_reported_and_not_timed(monkeypatch):
    class Wrong(ticks.numpy.TwoProducts):
        steps = 0

        def step(self, x):
            self.steps += 1
            assert self.steps <= pools.TICKS_TO_CHECK
            return super().step(x) + (self.steps > 3)

    monkeypatch.setattr(ticks.numpy, "POOLS", {"wrong": Wrong})
    facts, wrong = pools.measure(SMALL, ["elman", "numpy"], rounds=1)
    assert {entry["name"] for entry in facts["entries"]} == {"elman"}
    assert wrong["numpy"].startswith("tick of 3, 5, 2, 4: wrong: off by 1")


def test_the_weights_of_a_case_are_those_of_its_network():
    for case in pools.POOLS[:: len(pools.ROWS)]:
        net, _ = pools.problem(case._replace(B=1, T=1))
        (layer,) = net.layers
        assert cases.weights(case) == layer.W_xh.size + layer.W_hh.size + net.readout.W_hy.size


@pytest.mark.builds  # and measures what the machine can do
def test_the_result_file_has_pools(monkeypatch, tmp_path, tmp_path_factory):
    monkeypatch.setenv("ELMAN_CACHE", str(cpp_build.shared_folder(tmp_path_factory) / "peers"))
    monkeypatch.setenv("CMAKE_BUILD_TYPE", "None")
    output = tmp_path / "results.json"
    arguments = ("--cases", "pool", "--sizes", "16", "--peers", "numpy", "--rounds", "1")
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments, "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = results.derived(json.loads(output.read_text()))["cases"]
    assert [case["shape"]["B"] for case in found] == list(pools.ROWS)
    assert {case["unit"] for case in found} == {"ns per row"}
    assert "pool: tick of 4, 16, 1, B = 4096" in done.stdout


# --- the page -------------------------------------------------------------------------------------


def entry(name, mode, *times):
    return {"name": name, "mode": mode, "times": list(times)}


def of(n, entries, whole):
    shape = {"I": 16, "H": 32, "O": 4, "T": 100, "B": n, "layers": 1}
    return {
        **{"group": "pool", "work": "tick", "dtype": "float32", "threads": 1, "isa": "avx2"},
        **{"weights": 52 * 32, "shape": shape, "entries": entries, "limits": []},
        "yardsticks": [entry(pools.WHOLE, "", *whole)],
    }


def test_the_page_has_the_pool_beside_one_call_and_a_stream():
    one = [entry("elman", ticks.ALL, 150, 150), entry("elman", ticks.ONE, 120, 120)]
    many = [
        *(entry("elman", ticks.ALL, 30, 40), entry("elman", ticks.HALF, 36, 48)),
        *(entry("elman", ticks.HALF_MASK, 39, 52), entry("numpy", "one product", 60, 80)),
        entry("litert", "FULLY_CONNECTED", 27, 36),
    ]
    empty = {key: [] for key in ("limits", "yardsticks", "imports", "cold_start", "tail")}
    cases = [of(1, one, [30, 30]), of(4096, many, [27, 36])]
    result = results.derived({"cases": cases, **empty})
    text = page._pool(result["cases"])
    assert "| 16 -> 32 -> 4, n = 1 | 20 % |  |  | 1.25 |" in text
    assert "| 16 -> 32 -> 4, n = 4,096 | 90 % | 1.20 | 1.30 |  |" in text
    assert "| ns per row | 16 -> 32 -> 4, n = 1 | 16 -> 32 -> 4, n = 4,096 |" in text
    assert "| NumPy, one product |  | 2.00 |" in text
    lost = "a tick of a pool, 16 -> 32 -> 4, n = 4,096, float32 | LiteRT, FULLY_CONNECTED | 0.900"
    assert lost in page.losses(result)
