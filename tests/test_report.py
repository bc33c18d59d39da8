"""The pages of the benchmark come entirely from the result file."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import subprocess
import sys

import pytest

import absent
import losses
import page
import pieces
import report
import results
import sources
import summary
from elman.cli.timing import rounds
from fixtures import cpp_build
from peers import TITLES

pytestmark = pytest.mark.any_isa

BENCH = cpp_build.ROOT / "bench"
MACHINES = results.paths(cpp_build.ROOT)


def entry(name, mode, *times):
    return {"name": name, "mode": mode, "times": list(times)}


def case(work, H, entries, limits=(), yardsticks=(), group=None):
    shape = {"I": 16, "H": H, "O": 4, "T": 100, "B": 1, "layers": 1}
    return {
        **{"group": group or work, "work": work, "shape": shape, "weights": (16 + H + 4) * H},
        **{"dtype": "float32", "threads": 1, "isa": "avx2"},
        **{"entries": entries, "limits": list(limits), "yardsticks": list(yardsticks)},
    }


def percentiles(median, *others, parts=2):
    values = dict(zip(("p50", "p99", "p99_9", "p99_99"), (median, *others), strict=True))
    return values | {"parts": {key: [value] * parts for key, value in values.items()}}


def tail(name, mode, *values, nothing=(90, 100, 100, 100)):
    both = dict.fromkeys(("service", "latency"), percentiles(*values))
    beside = dict.fromkeys(("service", "latency"), percentiles(*nothing))
    facts = {"name": name, "mode": mode, "period_ns": 20_000, "usual_ns": values[0]}
    return {**facts, "steps": 100_000, **both, "nothing": beside}


@pytest.fixture
def measured():
    """A result file: every time of three rounds."""
    step = [
        entry("elman", "out=", 100, 100, 100),
        entry("elman", "new array", 160, 160, 160),
        entry("numpy", "np.dot", 6000, 7000, 8000),
        entry("numpy", "one product a layer", 3900, 4000, 4100),
        entry("eigen", "", 102, 105, 107),
    ]
    sequence = [entry("elman", "", 90, 90, 90), entry("jax", "", 72, 76.5, 81)]
    G = 2 * (16 + 256 + 4) * 256  # a GFLOP/s is a nanosecond for as many operations
    batch = [entry("elman", "", G / 72, G / 72, G / 72), entry("numpy", "", G / 75, G / 71, G / 67)]
    forced = [entry("elman", "avx2", 1000), entry("elman", "sse2", 2000), entry("numpy", "", 500)]
    peaks = [entry("multiply-add", "avx2", 800), entry("multiply-add", "sse2", 1000)]
    return {
        "format": 1,
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789abcdef",
        "clean": True,
        "machine": {
            **{"processor": "A processor", "cores": 2, "system": "Linux x86_64", "kernel": "6.1"},
            "caches": {"L1d": "32K", "L2": "512K"},
        },
        "load": {"averages": [0.25, 0.5, 0.75], "busy": 0.125, "stolen": 0.0},
        "versions": {"python": "3.11", "numpy": "2.0"},
        "elman": {
            **{"isa": "avx2", "compiler": "GCC 12", "sources": "f" * 16},
            "flags": {"core": "-O3", "avx2": "-O3 -mavx2"},
        },
        "native": {"eigen": {"compiler": "c++ 12", "plain.cpp": "-O3 -march=native"}},
        "limits": [
            entry("multiply-add", "float32", 0.01, 0.011, 0.012),
            entry("empty call", "out=", 28, 28, 28),
        ],
        "yardsticks": [entry("streaming loads", "", 32, 32, 32) | {"bytes": 4096}],
        "left_out": {"torch": "torch is not installed"},
        "wrong": {"numba": "step of 1, 8, 1: off by 1"},
        "cases": [
            case("step", 32, step, [entry("empty call", "out=", 25, 28.5, 30)]),
            case("sequence", 32, sequence, [], [entry("streaming loads", "", 108, 108, 108)]),
            case("batch", 256, batch, [entry("multiply-add", "float32", G / 90, G / 90, G / 90)]),
            case("batch", 32, forced, peaks, group="isa"),
        ],
        "memory": [],
        "imports": [
            entry("python", "", 10e6, 10e6),
            entry("elman", "", 12e6, 12e6),
            entry("numpy", "", 90e6, 90e6),
        ],
        "cold_start": [
            entry("import numpy", "", 90e6),
            entry("elman", "", 100e6),
            entry("onnxruntime", "", 95e6),
        ],
        "tail": [
            tail("elman", "inside the extension", 90, 500, 600, 700) | {"clock_ns": 20.0},
            tail("elman", "out=", 200, 400, 1000, 2000, nothing=(190, 300, 300, 1000)),
            tail("eigen", "", 400, 900, 450, 3000, nothing=(190, 300, 200, 1000)),
        ],
    }


@pytest.fixture
def result(measured):
    return results.derived(measured)


def rows(text):
    """Return the cells of all rows of all tables, by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: [cell.strip() for cell in cells] for first, *cells in reversed(lines)}


# --- the README -----------------------------------------------------------------------------------


def test_the_readme_has_two_peers_and_the_fastest_other(result):
    text = summary.summary(result)
    found = rows(text)
    assert found["float32, one thread"] == ["elman", "NumPy", "PyTorch", "fastest other"]
    step = found["one step per call, 16 -> 32 -> 4"]
    assert step == ["100 ns", "40.0x", "", "plain Eigen **1.05x**"]
    sequence = found["one of 1000 steps per call, 16 -> 32 -> 4"]
    assert sequence == ["90.0 ns", "", "", "JAX **0.850x**"]
    assert found["100 steps of a batch of 64, 16 -> 256 -> 4"][:2] == ["72.0 GFLOP/s", "**1.01x**"]
    assert found["`import`, beyond a bare interpreter"][:2] == ["2.00 ms", "40.0x"]
    words = " ".join(text.split())
    assert "2026-01-02 at commit 0123456789 on one core of an A processor (Linux x86_64" in words


def test_the_readme_has_at_most_five_rows_and_columns_and_one_plot():
    text = (cpp_build.ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition(summary.BEGIN)[2].partition(summary.END)[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    assert len(lines) <= 2 + 5
    assert {line.count("|") for line in lines} == {1 + 5}
    (plot,) = re.findall(r"!\[.*\]\((.*)\)", block)
    assert (cpp_build.ROOT / plot).exists()


def test_the_readme_says_how_often_elman_is_ahead_of_all_peers(result):
    words = " ".join(summary.summary(result).split())
    assert "at least 1.1x as fast as the fastest other library in 3 of 8 cases" in words
    assert "(docs/numbers.md#where-elman-loses-or-ties)" in words


def test_all_speeds_in_the_readme_are_in_its_block():
    text = (cpp_build.ROOT / "README.md").read_text(encoding="utf-8")
    speed = r"\d ?(ns|µs|us|ms|microseconds|nanoseconds|GFLOP/s|x)\b|\d times (as|faster|slower)"
    before, rest = text.split(summary.BEGIN)
    block, after = rest.split(summary.END)
    assert re.search(speed, block)
    assert not re.search(speed, before + after)


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
    text = page.page({"one": result})
    found = rows(text)
    assert found["NumPy, np.dot"] == ["7,000"]
    assert "| NumPy, np.dot | 70.0 (65.0 to 75.0) |" in text
    assert found["elman, out=, in empty calls"] == ["3.51 (3.42 to 3.75)"]
    assert "| streaming loads | 108 |" in text
    assert "| streaming loads | 1.20 |" in text
    assert found["share of multiply-add, float32 that elman reaches"] == ["80 %"]
    assert found["speed relative to the best set"] == ["16 -> 32 -> 4"]
    assert found["share of the set's multiply-add"] == ["16 -> 32 -> 4"]
    for row in ("| avx2 | 100 % |", "| avx2 | 80 % |", "| sse2 | 50 % |"):
        assert row in text
    assert "| elman | 12.0 | 2.00 | 1.20 |" in text
    assert found["4 KiB"] == ["128"]
    assert found["float32"] == ["90.9"]
    for name, value in {
        "processor": "A processor",
        "caches": "L1d 32K, L2 512K",
        "load averages at the start": "0.25, 0.5, 0.75",
        "busy at the start, of all processors": "12 %",
        "commit": "0123456789abcdef",
        "differs from the commit": "no",
        "digest of the sources": "f" * 16,
        "instruction set": "avx2",
        "elman, avx2": "`-O3 -mavx2`",
        "plain Eigen, plain.cpp": "`-O3 -march=native`",
    }.items():
        assert found[name] == [value]
    assert "- PyTorch is left out: torch is not installed." in text
    assert "- numba gives wrong answers: step of 1, 8, 1: off by 1." in text


def test_the_page_says_where_elman_loses(result):
    text = page.page({"one": result})
    part = text.partition("## Where elman loses or ties")[2].partition("\n## ")[0]
    assert "Of 10 comparisons with a peer, elman is at least 1.1 times as fast in 5." in part
    lost = [line.strip("| ").split(" | ") for line in part.splitlines() if "16 ->" in line]
    assert [(peer, words) for _, peer, _, words in lost] == [
        ("plain Eigen", "elman is ahead by 5 %"),
        ("JAX", "elman loses: it takes 1.18 times as long"),
        ("NumPy", "a tie"),
        ("NumPy", "elman loses: it takes 2.00 times as long"),
        ("NumPy", "elman loses: it takes 4.00 times as long"),
    ]
    assert "| cold start | ONNX Runtime | 0.950 |" in part
    assert "| the tail, 99.9 % | plain Eigen | 0.450 |" in part
    assert "| the tail, median |" not in part


def test_the_page_says_why_only_where_elman_is_behind(measured):
    def reasons(peer, work="update", H=32):
        entries = [entry("elman", "", 100, 100), entry("torch", "", peer, peer)]
        measured["cases"] = [case(work, H, entries)]
        return losses.reasons(results.derived(measured | {"cold_start": []}))

    assert reasons(101) == []
    assert [reason.partition(":")[0] for reason in reasons(99)] == ["Training"]
    assert [reason.partition(":")[0] for reason in reasons(99, "tick")] == [
        "Batches and pools of few units"
    ]
    (many,) = reasons(80, "tick", 256)  # 2 * 70,656 operations; the limit: 1 / 0.011 a ns
    share = 2 * (16 + 256 + 4) * 256 / 100 * 0.011
    assert f"elman reaches {100 * share:.0f} to {100 * share:.0f} % of the limit" in many
    assert f"that peer {100 * share / 0.8:.0f} to {100 * share / 0.8:.0f} %" in many
    (cold,) = losses.reasons(results.derived(measured | {"cases": []}))
    assert "elman takes 10.0 ms" in cold


def test_ratios_of_processes_are_taken_within_a_round(measured):
    ours, peer = entry("elman", "", 1e9, 2e9, 4e9), entry("numpy", "", 2e9, 2e9, 2e9)
    measured["install"] = [facts | {"bytes": 10**6} for facts in (ours, peer)]
    found = losses.comparisons(results.derived(measured))
    (spread,) = (spread for what, _, spread in found if what == "install")
    assert spread == {"median": 1, "low": 0.75, "high": 1.5}


def test_the_page_says_which_peers_take_no_part(measured):
    def rows(*names):
        entries = [entry(name, "", 100, 100) for name in names]
        measured["cases"] = [case("batch", 32, entries)]
        text = absent.absent(results.derived(measured))
        return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]

    everyone = [name for name in TITLES if name != "torch"]  # which is not installed
    assert rows(*everyone) == []
    some = [name for name in everyone if name not in ("ncnn", "jax")]
    assert rows(*some) == [
        ["a batch", "JAX", absent.UNKNOWN],
        ["a batch", "ncnn", absent.NO_BATCHES],
    ]


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_every_published_absence_and_loss_has_a_reason(path):
    result = results.load(path)
    assert absent.UNKNOWN not in absent.absent(result)
    assert len(losses.reasons(result)) == len(set(losses.reasons(result)))
    for lost in losses.behind(result["cases"]):
        if lost["group"] not in ("isa", "reservoirs"):
            alone = result | {"cases": [lost], "cold_start": [], "install": []}
            assert losses.reasons(alone), lost["work"]


def test_the_tail_shows_what_the_machine_does_not_hide(result):
    text = page.page({"one": result}).partition("## The tail")[2].partition("\n## ")[0]
    assert "| elman, out= | 20 µs | 100,000 | 200 | – | 1,000 | 2,000 |" in text
    assert "| nothing |  |  | 190 | 300 | 300 | 1,000 |" in text
    few = result | {"tail": [facts | {"steps": 10_000} for facts in result["tail"]]}
    assert "| elman, out= | 20 µs | 10,000 | 200 | – | 1,000 | – |" in page.page({"one": few})
    facts = result["tail"][1]
    facts["nothing"]["service"]["parts"]["p99_9"][1] = 600  # in one part of the run only
    assert not pieces.shown(facts, "service", "p99_9")
    compared = [what for what, *_ in losses.comparisons(result) if "tail" in what]
    assert compared == ["the tail, median", "the tail, 99.99 %"]


def test_parts_that_were_not_measured_are_left_out(result):
    empty = result | {"cases": [], "imports": [], "cold_start": [], "tail": [], "left_out": {}}
    text = page.page({"one": empty | {"wrong": {}}})
    assert "## One step" not in text
    assert "## Import" not in text
    assert "With an instruction set forced" not in text
    assert text.endswith("No peer is missing or gave a wrong answer.\n")
    assert "Medians of one run" in " ".join(summary.summary(empty).split())


# --- several machines -----------------------------------------------------------------------------


@pytest.fixture
def two(measured):
    """Two machines; the second has no tail, another processor, and half the speed in a batch."""
    second = copy.deepcopy(measured) | {"tail": []}
    second["machine"]["processor"] = "Another"
    (batch,) = (case for case in second["cases"] if case["group"] == "batch")
    batch["entries"][0]["times"] = [2 * ns for ns in batch["entries"][0]["times"]]
    return {"first": results.derived(measured), "second": results.derived(second)}


def test_the_page_has_the_machines_side_by_side(two):
    text = page.page(two)
    beside = text.partition("## The machines side by side")[2].partition("\n## ")[0]
    assert "|  | first | second |" in beside
    assert "| processor | A processor | Another |" in beside
    assert "| one step, 16 -> 32 -> 4, ns per step | 100 (plain Eigen 1.05) |" in beside
    row = "| a batch, 16 -> 256 -> 4, GFLOP/s | 72.0 (NumPy 1.01) | 36.0 (NumPy 0.507) |"
    assert row in beside
    assert "`bench/results/first.json` on 2026-01-02" in text
    assert "`bench/results/second.json` on 2026-01-02" in text


def test_each_section_has_the_machines_that_measured_it(two):
    text = page.page(two)

    def machines_of(heading):
        part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return re.findall(r"^### (.*)$", part, re.MULTILINE)

    assert machines_of("One step") == machines_of("Where elman loses or ties") == list(two)
    assert machines_of("The tail") == ["first"]
    alone = page.page({"first": two["first"]})
    assert "###" not in alone
    assert "side by side" not in alone


def test_the_machines_of_the_list_are_first(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "MACHINES", ("z", "missing", "y"))
    (tmp_path / "bench/results").mkdir(parents=True)
    for name in ("a", "y", "z"):
        (tmp_path / f"bench/results/{name}.json").write_text("{}")
    assert [path.stem for path in results.paths(tmp_path)] == ["z", "y", "a"]


def test_the_readme_is_of_the_first_machine(monkeypatch, checkout, two):
    monkeypatch.setattr(report, "ROOT", checkout)
    text = report.texts({name: two[name] for name in ("second", "first")})["README.md"]
    assert "of an Another" in " ".join(text.split())


def test_a_waiver_is_of_all_machines(monkeypatch, checkout, two):
    two["second"]["elman"] = two["second"]["elman"] | {"sources": "e" * 16}
    (checkout / "cpp/src/stream.cpp").write_text("faster")
    assert len(report.stale(two)) == 2
    (checkout / report.WAIVER).write_text(report.waiver(two, "Only a comment."))
    assert report.stale(two) == []
    two["second"]["elman"]["sources"] = "d" * 16  # measured later
    assert [said.split()[3] for said in report.stale(two)] == ["second"]


# --- the files ------------------------------------------------------------------------------------


def test_the_plots_are_the_same_files_from_the_same_numbers(result, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install elman[bench]")
    once, again = (report.plots(result) for _ in range(2))
    assert set(once) == {
        f"docs/plots/{name}.svg"
        for name in ("summary", "step", "sequence", "batch", "imports", "tail")
    }
    assert once == again
    assert all(
        "plain Eigen" in once[f"docs/plots/{name}.svg"] for name in ("summary", "step", "tail")
    )


def test_pools_free_runs_and_costs_have_plots(measured):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install elman[bench]")
    both = [entry("elman", "", 100, 100), entry("eigen", "", 300, 310)]
    whole = [entry("one call of T steps", "", 90, 90)]
    cost = {"work": "step", "mode": "", "predictions": [10**6], "times": [1e9], "cpu": [1e9]}
    cases = [case("tick", 16, both, [], whole, "pool"), case("generate", 32, both)]
    more = {"cases": cases, "cost": [cost | {"name": name} for name in ("elman", "eigen")]}
    drawn = report.plots(results.derived(measured | more))
    for name in ("pool", "generate", "cost"):
        assert "plain Eigen" in drawn[f"docs/plots/{name}.svg"]


def test_every_peer_has_a_marker_of_its_own():
    plots = pytest.importorskip("plots", reason="needs matplotlib: pip install elman[bench]")
    assert set(plots.MARKERS) >= set(plots.TITLES)
    assert len(set(plots.MARKERS.values())) == len(plots.MARKERS)


def test_outdated_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    assert report.old({"a": "new", "b": "new", "c": "new"}) == ["b", "c"]


@pytest.fixture
def checkout(monkeypatch, tmp_path, measured):
    """A folder with the sources of the core, a result file of them, and its pages."""
    monkeypatch.setattr(report, "ROOT", tmp_path)
    for name in ("CMakeLists.txt", "cpp/CMakeLists.txt", "cpp/src/stream.cpp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "README.md").write_text(f"{summary.BEGIN}\n{summary.END}")
    measured["elman"]["sources"] = sources.digest(tmp_path)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/results.json").write_text(results.dumps(measured))
    return tmp_path


def reported(monkeypatch, checkout, *arguments):
    """Return the exit status of report.py without matplotlib."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(report, "plots", lambda result: {})
    path = str(checkout / "bench/results.json")
    monkeypatch.setattr(sys, "argv", ["report.py", "--results", path, *arguments])
    return report.main()


def test_a_change_of_the_sources_needs_a_new_run_or_a_waiver(monkeypatch, capsys, checkout):
    def status(*arguments):
        return reported(monkeypatch, checkout, *arguments)

    assert status("--check") == 1  # the page is missing
    assert status() == status("--check") == 0
    (checkout / "cpp/src/stream.cpp").write_text("faster")
    capsys.readouterr()
    assert status("--check") == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"The numbers of results are of the sources {sources_of(checkout)}, these are "
    )
    assert (
        "measure again (python bench/run.py --machine-name results), or say why they hold" in said
    )
    assert status("--waive", "Only a comment.") == status("--check") == 0
    assert "has changed since: Only a comment." in (checkout / "docs/numbers.md").read_text()
    (checkout / "cpp/src/block.cpp").write_text("new")  # which is not waived
    assert status("--check") == 1


def test_a_machine_with_several_sets_is_measured_again_with_all(measured):
    def of(isa):
        return measured | {"elman": measured["elman"] | {"isa": isa}}

    said = report.stale({"zen5-avx512": of("avx512"), "zen5-avx2": of("avx2"), "arm": of("neon")})
    both = "(python bench/run.py --machine-name zen5 --sets avx512,avx2)"
    assert [both in sentence for sentence in said] == [True, True, False]
    assert "(python bench/run.py --machine-name arm)" in said[2]


def sources_of(checkout):
    return json.loads((checkout / "bench/results.json").read_text())["elman"]["sources"]


def test_the_digest_is_of_all_that_is_compiled(checkout):
    first = sources.digest(checkout)
    for name in ("cpp/README.md", "cpp/tests/contract.cpp", "python/elman/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("another")
    assert sources.digest(checkout) == first
    found = {first}
    for name in ("CMakeLists.txt", "cmake/Eigen.cmake", "cpp/include/elman/stream.hpp"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("another")
        found.add(sources.digest(checkout))
    assert len(found) == 4


@pytest.mark.builds
def test_a_build_has_the_digest_of_its_sources(tmp_path):
    header = tmp_path / "sources.hpp"
    script = cpp_build.ROOT / "cmake" / "Sources.cmake"
    run = [cpp_build.tool("cmake"), f"-DHEADER={header}", "-P", script]
    subprocess.run(run, check=True)
    assert header.read_text() == f'#define ELMAN_SOURCES "{sources.digest()}"\n'


def test_the_result_file_is_compact_and_keeps_every_value(measured):
    text = results.dumps(measured)
    assert json.loads(text) == measured
    assert '"times": [6000, 7000, 8000]' in text
    entries = [rounds.Entry("elman", "out=", print, 1)]
    (facts,) = results.times_of(entries, [[123.456, 98765.4, 0.0123456]])
    assert facts == {"name": "elman", "mode": "out=", "times": [123.5, 98770, 0.01235]}


def test_the_text_needs_no_matplotlib():
    code = f"import sys; sys.path.insert(0, {str(BENCH)!r}); sys.modules['matplotlib'] = None\n"
    subprocess.run([sys.executable, "-c", f"{code}import report"], check=True)


@pytest.mark.skipif(not MACHINES, reason="there are no results")
def test_the_readme_and_the_page_are_those_of_the_result_files():
    assert report.old(report.texts({path.stem: results.load(path) for path in MACHINES})) == []
