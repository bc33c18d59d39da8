"""The pages of the benchmark come entirely from the result file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import page
import report
import summary
from fixtures import cpp_build

pytestmark = pytest.mark.any_isa

BENCH = cpp_build.ROOT / "bench"
RESULTS = BENCH / "results.json"


def spread(median, low=None, high=None):
    return {"median": median, "low": low or median, "high": high or median}


def entry(name, mode, median, ratio, **more):
    return {"name": name, "mode": mode, **spread(median), "ratio": spread(*ratio), **more}


def case(work, H, unit, entries, limits, group=None, isa="avx2"):
    shape = {"I": 16, "H": H, "O": 4, "T": 100, "B": 1, "layers": 1}
    what = {"group": group or work, "work": work, "shape": shape, "dtype": "float32"}
    return {
        **what,
        **{"threads": 1, "isa": isa, "unit": unit, "rounds": 3},
        **{"entries": entries, "limits": limits},
    }


def tail(name, mode, median, worst):
    percentiles = {"p50": median, "p99": 2.0, "p99_9": 3.0, "p99_99": 4.0, "max": worst}
    facts = {"steps": 1000, **percentiles}
    return {"name": name, "mode": mode, "period_ns": 20_000, "service": facts, "latency": facts}


@pytest.fixture
def result():
    step = [
        entry("elman", "out=", 100.0, [1.0], times_empty_call=spread(3.5, 3.25, 3.75)),
        entry("elman", "new array", 160.0, [1.6]),
        entry("numpy", "np.dot", 7_000.0, [70.0, 60.0, 80.0]),
        entry("numpy", "one product a layer", 4_000.0, [40.0, 39.0, 41.0]),
        entry("eigen", "", 105.0, [1.05, 1.02, 1.07]),
    ]
    sequence = [entry("elman", "", 90.0, [1.0]), entry("jax", "", 76.5, [0.85, 0.8, 0.9])]
    batch = [entry("elman", "", 72.0, [1.0]), entry("numpy", "", 71.0, [1.01, 0.95, 1.08])]
    forced = [entry("elman", "sse2", 30.0, [1.0]), entry("elman", "avx2", 60.0, [0.5])]
    forced.append(entry("numpy", "", 56.0, [0.25]))
    loads = [entry("streaming loads", "", 45.0, [0.5])]
    peak = [entry("multiply-add", "float32", 90.0, [0.8])]
    empty = [entry("empty call", "out=", 28.5, [0.285])]
    whole = {"unit": "ms", "ratio": spread(1.0), "over": spread(0.0)}
    return {
        "format": 1,
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {
            **{"processor": "A processor", "cores": 2, "system": "Linux x86_64"},
            **{"caches": {"L1": "32K"}, "compiler": "GCC 12"},
        },
        "versions": {"python": "3.11", "numpy": "2.0"},
        "limits": {
            "fma_peak": {"float32": 91.0},
            "empty_call_ns": {"out=": 28.0},
            "bandwidth": [{"bytes": 4096, "gigabytes_per_second": 110.0}],
        },
        "left_out": {"torch": "torch is not installed"},
        "wrong": {"numba": "step of 1, 8, 1: off by 1"},
        "cases": [
            case("step", 32, "ns per step", step, empty),
            case("sequence", 32, "ns per step", sequence, loads),
            case("batch", 256, "GFLOP/s", batch, peak),
            case("batch", 32, "GFLOP/s", forced, peak, group="isa", isa="sse2"),
        ],
        "imports": [
            {"name": "python", **whole, **spread(10.0)},
            {"name": "elman", **whole, **spread(12.0), "over": spread(2.0)},
            {"name": "numpy", **whole, **spread(90.0), "over": spread(80.0)},
        ],
        "cold_start": [
            {"name": "import numpy", **whole, **spread(90.0)},
            {"name": "elman", **whole, **spread(100.0), "over": spread(10.0)},
            {"name": "onnxruntime", **whole, **spread(95.0), "over": spread(5.0)},
        ],
        "tail": [
            tail("elman", "inside the extension", 90.0, 5.0) | {"clock_ns": 20.0},
            tail("elman", "out=", 200.0, 900.0),
            tail("eigen", "", 400.0, 450.0),
        ],
    }


def rows(text):
    """Return the cells of all rows of all tables, by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: [cell.strip() for cell in cells] for first, *cells in reversed(lines)}


# --- the README -----------------------------------------------------------------------------------


def test_the_readme_has_the_fastest_form_of_four_peers(result):
    text = summary.summary(result)
    found = rows(text)
    assert found["float32, one thread"] == ["elman", "NumPy", "plain Eigen"]  # JAX is on the page
    assert found["one step per call, 16 -> 32 -> 4"] == ["100 ns", "40.0x", "**1.05x**"]
    assert found["one of 1000 steps per call, 16 -> 32 -> 4"][0] == "90.0 ns"
    batch = found["100 steps of a batch of 64, 16 -> 256 -> 4"]
    assert batch[:2] == ["72.0 GFLOP/s", "**1.01x**"]
    assert found["`import`, beyond a bare interpreter"][:2] == ["2.00 ms", "40.0x"]
    words = " ".join(text.split())
    assert "2026-01-02 on one core of an A processor (Linux x86_64, avx2, GCC 12, Python" in words
    assert "A step takes as long as 3.50 empty method calls." in words
    assert "one core has 90.0 GFLOP/s, elman reaches 72.0 and NumPy 71.0" in words


def test_the_readme_says_how_often_elman_is_ahead_of_all_peers(result):
    words = " ".join(summary.summary(result).split())
    assert "at least 1.1x as fast in 4 of 12 comparisons" in words
    assert "(docs/numbers.md#where-elman-loses-or-ties)" in words


def test_only_the_block_of_the_readme_is_replaced(result):
    before, after = "# elman\n\n| a | table |\n\n", "\n\n## What it does \\1\n"
    once = summary.readme(f"{before}{summary.BEGIN}\noutdated\n{summary.END}{after}", result)
    assert once.startswith(f"{before}{summary.BEGIN}\n| float32")
    assert once.endswith(f"{summary.END}{after}")
    assert "outdated" not in once
    assert summary.readme(once, result) == once
    with pytest.raises(ValueError, match="expected one block"):
        summary.readme(before, result)


# --- the page -------------------------------------------------------------------------------------


def test_the_page_has_the_numbers_of_every_part(result):
    text = page.page(result)
    found = rows(text)
    assert found["NumPy, np.dot"] == ["7,000"]
    assert "| NumPy, np.dot | 70.0 (60.0 to 80.0) |" in text
    assert found["elman, out=, in empty calls"] == ["3.50 (3.25 to 3.75)"]
    assert found["share of streaming loads that elman reaches"] == ["50 %"]
    assert found["speed relative to the best set"] == ["16 -> 32 -> 4"]
    assert "| sse2 | 50 % |" in text
    assert "| elman | 12.0 | 2.00 | 1.00 |" in text
    assert found["elman, inside the extension"][-1] == "5"
    assert found["4 KiB"] == ["110"]
    assert found["processor"] == ["A processor"]
    assert "- PyTorch is left out: torch is not installed." in text
    assert "- numba gives wrong answers: step of 1, 8, 1: off by 1." in text


def test_the_page_says_where_elman_loses(result):
    text = page.page(result)
    part = text.partition("## Where elman loses or ties")[2].partition("\n## ")[0]
    assert "Of 12 comparisons with a peer, elman is at least 1.1 times as fast in 4." in part
    lost = [line.strip("| ").split(" | ") for line in part.splitlines() if "16 ->" in line]
    assert [(peer, words) for _, peer, _, words in lost] == [
        ("plain Eigen", "elman is ahead by 5 %"),
        ("JAX", "elman loses: it takes 1.18 times as long"),
        ("NumPy", "a tie"),
        ("NumPy", "elman loses: it takes 4.00 times as long"),
    ]
    assert "| cold start | ONNX Runtime | 0.950 |" in part
    assert "| the tail, max | plain Eigen | 0.500 |" in part
    assert "| the tail, median |" not in part


def test_parts_that_were_not_measured_are_left_out(result):
    empty = result | {"cases": [], "imports": [], "cold_start": [], "tail": [], "left_out": {}}
    text = page.page(empty | {"wrong": {}})
    assert "## One step" not in text
    assert "## Import" not in text
    assert text.endswith("None.\n")
    assert "Medians of one run" in " ".join(summary.summary(empty).split())


# --- the files ------------------------------------------------------------------------------------


def test_the_plots_are_the_same_files_from_the_same_numbers(result, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install elman[bench]")
    once, again = (report.plots(result) for _ in range(2))
    assert set(once) == {
        f"docs/plots/{name}.svg" for name in ("step", "sequence", "batch", "imports", "tail")
    }
    assert once == again
    assert all("plain Eigen" in once[f"docs/plots/{name}.svg"] for name in ("step", "tail"))


def test_outdated_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    assert report.old({"a": "new", "b": "new", "c": "new"}) == ["b", "c"]


def test_the_text_needs_no_matplotlib():
    code = f"import sys; sys.path.insert(0, {str(BENCH)!r}); sys.modules['matplotlib'] = None\n"
    subprocess.run([sys.executable, "-c", f"{code}import report"], check=True)


@pytest.mark.skipif(not RESULTS.exists(), reason="there is no bench/results.json")
def test_the_readme_and_the_page_are_those_of_the_result_file():
    assert report.old(report.texts(json.loads(RESULTS.read_text(encoding="utf-8")))) == []
