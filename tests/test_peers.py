"""The peers of the benchmark: their results, their timing, and the result file."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import cases
import elman
import machine
import measure
import peers
import processes
import results
import tail
from elman import reference
from elman.cli.timing import answers, rounds
from elman.cli.timing.base import Unsupported
from elman.cli.timing.elman import Elman
from elman.cli.timing.numpy import NumPy
from fixtures import cpp_build

pytestmark = pytest.mark.any_isa

RUN = cpp_build.ROOT / "bench" / "run.py"
NEEDS = {"numba": ["numba"], "torch": ["torch"], "onnxruntime": ["onnxruntime", "onnx"]}
NEEDS |= {"jax": ["jax"], "litert": ["ai_edge_litert"], "openvino": ["openvino"]}
NEEDS |= {"tract": ["tract", "onnx"], "ncnn": ["ncnn"]}
COMPILED = ("eigen", "libxsmm")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for compiled files, without optimization, which takes half the time."""
    folder = cpp_build.shared_folder(tmp_path_factory) / "peers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMAN_CACHE", str(folder))
        patch.setenv("CMAKE_BUILD_TYPE", "None")
        yield folder


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.builds if name in COMPILED else ())
        for name in peers.TITLES
    ]
)
def peer(request, cache):
    """Each peer in turn; those of the extra `bench` if installed."""
    name = request.param
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module, reason=f"needs {module}: pip install elman[bench]")
    if name in COMPILED:
        for tool in ("cmake", "ninja"):
            cpp_build.tool(tool)
    found, left_out = peers.available([name])
    if left_out == {"libxsmm": "libxsmm-dev is not installed"}:
        pytest.skip("needs a package of the system, libxsmm-dev")
    assert not left_out
    return found[name]


def network(dtype="float32", hidden_size=5, **more):
    return elman.Network(
        input_size=3, hidden_size=hidden_size, output_size=2, seed=1, dtype=dtype, **more
    )


def prepared(peer, net):
    try:
        return peer(net)
    except Unsupported as why:
        pytest.skip(str(why))


SCALING = {
    "output_activation": "identity",
    "initial_state": np.full(5, 0.5),
    "input_mean": [1, 2, 3],
    "input_std": [0.5, 2, 1],
    "output_mean": [1, 2],
    "output_std": [3, 4],
}


# --- the answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "more"),
    [
        ("float32", {"hidden_size": [4, 4]}),
        ("float64", {}),
        ("float64", {"bias": False}),
        ("float32", SCALING),
    ],
    ids=["two", "one", "bare", "scaling"],
)
def test_a_peer_gives_the_answers_of_the_reference(peer, dtype, more, rng):
    net = network(dtype, **more)
    x = rng.standard_normal((4, 7, 3)).astype(dtype)
    expected = reference.run(net, x).output
    computed = prepared(peer, net)
    with contextlib.suppress(Unsupported):  # LIBXSMM has no steps
        assert answers.wrong_steps(computed, x[0], expected[0]) is None
    assert answers.wrong_run(computed, x[0], expected[0]) is None
    with contextlib.suppress(Unsupported):  # ncnn has no batches
        assert answers.wrong_run(computed, x, expected) is None


def test_each_step_callable_begins_at_the_initial_state_and_each_loop_runs(peer, rng):
    computed = prepared(peer, network())
    x = rng.standard_normal((6, 3)).astype(np.float32)
    try:
        modes = list(computed.steps())
    except Unsupported as why:
        pytest.skip(str(why))
    for mode in modes:
        first, second = (computed.steps()[mode] for _ in range(2))
        row = computed.input(x)[0]
        begun = np.array(computed.output(first(row)))
        assert not np.array_equal(begun, computed.output(first(row)))
        np.testing.assert_array_equal(computed.output(second(row)), begun)
    for loop in computed.loops(x).values():
        loop()


@pytest.mark.parametrize("change", [{"activation": "relu"}, {"output_activation": "softmax"}])
def test_a_network_of_another_kind_is_refused_in_one_sentence(change):
    with pytest.raises(Unsupported, match="only tanh layers"):
        NumPy(network(**change))


def test_an_answer_off_by_more_than_rounding_is_wrong():
    net = network()
    x = np.ones((4, 3), np.float32)
    expected = reference.run(net, x).output
    right = NumPy(net)
    assert answers.wrong_run(right, x, expected) is None
    assert "off by 0.01" in answers.wrong_run(right, x, expected + 0.01)
    assert answers.wrong_run(right, x, expected[:2]) == "expected (2, 2), got (4, 2)"
    assert "np.dot: off by 0.01" in answers.wrong_steps(right, x, expected + 0.01)


def test_every_way_to_run_a_sequence_is_checked_and_timed():
    net = network()
    x = np.ones((4, 3), np.float32)
    expected = reference.run(net, x).output
    right = NumPy(net)
    modes = {"a": right.run, "b": right.run}
    both = type("Both", (NumPy,), {"runs": lambda self: modes})(net)
    entries = answers.checked("both", both, "sequence", x, expected, net.num_parameters)
    assert [(entry.mode, entry.items) for entry in entries] == [("a", 4), ("b", 4)]
    modes["b"] = lambda x: right.run(x) + 0.5
    assert answers.wrong_run(both, x, expected).startswith("b: off by 0.5")


@pytest.mark.builds
@pytest.mark.filterwarnings("ignore")  # PyTorch calls functions of its own deprecated
def test_compiled_steps_of_pytorch_take_part_in_large_networks_only(monkeypatch, rng):
    pytest.importorskip("torch", reason="needs torch: pip install elman[bench]")
    module = importlib.import_module("peers.torch")
    net = network()
    x = rng.standard_normal((23, 3)).astype(np.float32)  # two parts of ten steps, and a rest
    computed = module.PEER(net)
    assert "torch.compile" not in computed.runs()
    monkeypatch.setattr(module, "FEWEST_COMPILED", 5)
    assert "torch.compile" in computed.runs()
    for each in (x, np.stack([x, x])):
        assert answers.wrong_run(computed, each, reference.run(net, each).output) is None


def test_a_nan_is_wrong():
    net = network()
    x = np.full((4, 3), np.nan, np.float32)
    expected = reference.run(net, np.ones((4, 3))).output
    right = NumPy(net)
    assert "off by nan" in answers.wrong_run(right, x, expected)


@pytest.mark.parametrize("name", processes.PREDICTIONS)
def test_each_peer_predicts_in_a_process_of_its_own(name):
    for module in NEEDS[name]:
        pytest.importorskip(module, reason=f"needs {module}: pip install elman[bench]")
    found = processes.cold_start([name], rounds=1)
    assert [entry["name"] for entry in found] == ["import numpy", "elman", name]


# --- missing peers --------------------------------------------------------------------------------


def test_a_peer_that_is_not_installed_is_left_out_with_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "peers.torch", raising=False)
    found, left_out = peers.available(["elman", "torch"])
    assert list(found) == ["elman"]
    assert left_out == {"torch": "torch is not installed"}


def test_a_peer_that_cannot_be_compiled_is_left_out_with_a_sentence(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "peers.eigen", raising=False)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert peers.available(["eigen"]) == ({}, {"eigen": "cmake is not installed"})


def test_importing_the_peers_imports_no_numpy():
    code = "import sys, peers; print('numpy' in sys.modules)"
    run = [sys.executable, "-c", code]  # finds modules in its working directory
    done = subprocess.run(run, cwd=RUN.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- the timing -----------------------------------------------------------------------------------


class Clock:
    """A clock that only the calls advance."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def call(self, times):
        """Return a call that cycles through these times."""
        times = itertools.cycle(times)

        def advance():
            self.now += next(times)

        return advance


def test_the_rounds_are_interleaved_and_a_ratio_stays_within_its_round():
    clock, order, ms = Clock(), [], 5_000_000

    def noting(name, call):
        return lambda: (order.append(name), call())

    # Two calls to measure how long one takes; then three rounds, each with an untimed call and a
    # timed one. The machine is busy in the third.
    ours = noting("ours", clock.call([ms, ms, 7, ms, 7, 2 * ms, 7, 10 * ms]))
    theirs = noting("theirs", clock.call([ms, ms, 7, 2 * ms, 7, 4 * ms, 7, 30 * ms]))
    entries = [rounds.Entry("ours", "", ours, 1000), rounds.Entry("theirs", "", theirs, 10)]
    times = rounds.interleave(entries, rounds=3, clock=clock)
    assert order[4:] == ["ours", "ours", "theirs", "theirs"] * 3
    assert times == [[5_000, 10_000, 50_000], [1_000_000, 2_000_000, 15_000_000]]
    assert rounds.ratios(times[1], times[0]) == (200, 200, 250)


def test_short_calls_are_repeated_and_the_first_of_a_round_is_not_timed():
    clock = Clock()
    calls = itertools.chain([1_000_000] * 2, itertools.cycle([7_000_000, *[1_000_000] * 3]))
    entry = rounds.Entry("short", "", clock.call(calls), 10)
    assert rounds.interleave([entry], rounds=2, clock=clock) == [[100_000, 100_000]]


def test_the_spread_is_the_median_and_the_quartiles():
    assert rounds.spread([5, 1, 2, 4, 3]) == (3, 2, 4)
    assert rounds.spread([7.0]) == (7, 7, 7)


# --- the cases ------------------------------------------------------------------------------------


class WrongPeer(NumPy):
    """A peer with wrong answers, which must not be timed."""

    def loops(self, x):
        raise AssertionError("timed")

    def run(self, x):
        assert len(x) == 1000
        return super().run(x) + 0.5

    def _plain_step(self):
        right = super()._plain_step()
        return lambda x_t: right(x_t) + 0.5


@pytest.mark.parametrize("work", ["step", "sequence"])
def test_only_right_answers_become_entries_and_of_no_more_work_than_a_peer_can_do(rng, work):
    net = network()
    x = rng.standard_normal((1000, 3)).astype(np.float32)
    expected = reference.run(net, x).output
    right = answers.checked("numpy", NumPy(net), work, x, expected, net.num_parameters)
    assert {entry.items for entry in right} == {1000}
    assert all(entry.name == "numpy" for entry in right)
    right[0].call()
    few = type("Few", (NumPy,), {"most_work": 10 * net.num_parameters})(net)
    for entry in answers.checked("few", few, work, x, expected, net.num_parameters):
        assert entry.items == 10
    with pytest.raises(answers.Wrong, match=r"off by 0\.5"):
        answers.checked("wrong", WrongPeer(net), work, x, expected, net.num_parameters)


@pytest.mark.builds  # what the machine can do
@pytest.mark.parametrize("group", ["step", "sequence"])
@pytest.mark.usefixtures("cache")
def test_a_wrong_peer_is_reported_and_not_timed(group):
    found = {"elman": Elman, "wrong": WrongPeer}
    facts, wrong = measure.measure(cases.GROUPS[group][0], found, rounds=1)
    assert {entry["name"] for entry in facts["entries"]} <= {
        "elman",
        "empty call",
        "streaming loads",
    }
    assert list(wrong) == ["wrong"]
    assert wrong["wrong"].startswith(f"{group} of 1, 8, 1: ")
    assert "off by 0.5" in wrong["wrong"]


def test_the_weights_of_a_case_are_those_of_its_network():
    for case in [*cases.GROUPS["deep"], *cases.GROUPS["float64"][:2]]:
        net = case.network()
        matrices = [a for layer in net.layers for a in (layer.W_xh, layer.W_hh)]
        matrices.append(net.readout.W_hy)
        assert cases.weights(case) == sum(a.size for a in matrices)
        assert case.bytes == sum(a.nbytes for a in matrices)


# --- the result file ------------------------------------------------------------------------------

ROUNDS = 2

of_a_result = pytest.mark.builds  # and measures what the machine can do


@pytest.fixture(scope="module")
def result(cache, tmp_path_factory):
    """The result file and the output of two rounds of small cases."""
    output = tmp_path_factory.mktemp("run") / "results.json"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", str(RUN), "--sizes", "8,32,64", "--rounds", "2"),
            *("--cases", "step,batch,float64,isa,imports,cold_start,tail"),
            *("--peers", "numpy", "--tail-seconds", "0.2", "--output", str(output)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text()), done.stdout


@of_a_result
def test_the_result_file_has_its_parts(result):
    facts, printed = result
    assert set(facts) - {"commit", "clean"} == {
        *("format", "date", "machine", "load", "versions", "elman", "native"),
        *("limits", "yardsticks", "left_out", "wrong", "seconds"),
        *("cases", "cost", "stored", "memory", "imports", "cold_start", "install", "tail", "paced"),
    }
    assert facts["format"] == 1
    assert set(facts["machine"]) == {"processor", "cores", "system", "kernel", "caches"}
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["elman"] == elman.build_info()
    assert facts["left_out"] == facts["wrong"] == {}
    assert set(facts["native"]["hardware"]) > {"compiler", "machine.cpp"}
    assert "-march=native" in facts["native"]["hardware"]["machine.cpp"]
    modes = {(limit["name"], limit["mode"]) for limit in facts["limits"]}
    assert {("multiply-add", "float32"), ("multiply-add", "avx2_float32")} < modes
    assert {("empty call", "out="), ("empty call", "positional")} < modes
    assert [y["name"] for y in facts["yardsticks"]] == ["streaming loads"] * 14
    assert [y["bytes"] for y in facts["yardsticks"]] == machine.FOOTPRINTS
    assert "batch" in printed


@of_a_result
def test_every_entry_has_its_times_in_all_rounds(result):
    facts, _ = result
    entries = facts["limits"] + facts["yardsticks"] + facts["imports"] + facts["cold_start"]
    for case in facts["cases"]:
        entries += case["entries"] + case["limits"] + case["yardsticks"]
    for entry in entries:
        assert len(entry["times"]) == ROUNDS
        assert min(entry["times"]) > 0


@of_a_result
def test_a_case_says_what_was_measured(result):
    cases = result[0]["cases"]
    assert {case["group"] for case in cases} == {"step", "batch", "float64", "isa"}
    for case in cases:
        assert set(case) == {
            *("group", "work", "shape", "weights", "dtype", "threads", "isa"),
            *("entries", "limits", "yardsticks"),
        }
        assert set(case["shape"]) == set("ITHOB") | {"layers"}
        assert case["entries"][0]["name"] == "elman"
        assert {entry["name"] for entry in case["entries"]} == {"elman", "numpy"}
        kinds = {kind: [e["name"] for e in case[kind]] for kind in ("limits", "yardsticks")}
        loads = ["streaming loads"] if case["work"] == "sequence" else []
        assert kinds["yardsticks"] == loads
        assert "streaming loads" not in kinds["limits"]


@of_a_result
def test_the_instruction_sets_are_timed_in_the_same_rounds(result):
    forced = [case for case in result[0]["cases"] if case["group"] == "isa"]
    assert {case["work"] for case in forced} == {"step", "sequence", "batch", "update"}
    best_first = cases.sets(1)
    for case in forced:
        assert [e["mode"] for e in case["entries"] if e["name"] == "elman"] == best_first
        if case["work"] in ("batch", "update"):
            assert [limit["mode"] for limit in case["limits"]] == best_first


def test_what_two_threads_can_exceed_is_no_limit(monkeypatch):
    monkeypatch.setattr(measure.hardware, "_machine", Machine)
    for case in cases.GROUPS["threads"]:
        assert measure._limits(case, None) == []
        assert len(measure._yardsticks(case)) == 1
    (one,) = measure._limits(cases.GROUPS["batch"][0], None)
    assert (one.name, one.mode) == ("multiply-add", "float32")


class Machine:
    """The functions of the machine, which take no time."""

    def fused_float32(self, rounds):
        return float(rounds)

    def load(self, memory, passes):
        return 0


def test_scalar_is_timed_on_small_networks_only():
    assert cases.sets(100)[-1] == "scalar"
    assert "scalar" not in cases.sets(1_000_000)


def test_the_set_in_use_is_the_first_of_those_compared(monkeypatch):
    monkeypatch.setattr(elman, "available_isas", lambda: ["scalar", "sse2", "avx2", "avx512"])
    monkeypatch.setattr(elman, "isa", lambda: "avx2")
    assert cases.sets(100) == ["avx2", "sse2", "scalar"]


@of_a_result
def test_a_step_is_compared_with_the_empty_call_of_its_mode(result):
    step = results.derived(result[0])["cases"][0]
    assert step["group"] == "step"
    modes = {e["mode"] for e in step["entries"] if "times_empty_call" in e}
    assert modes == {"out=", "out=, looked up", "new array"}
    assert modes < {limit["mode"] for limit in step["limits"]}


@of_a_result
def test_whole_processes_and_the_tail_are_in_the_result(result):
    facts, _ = result
    assert [entry["name"] for entry in facts["imports"]] == ["python", "elman", "numpy"]
    assert [entry["name"] for entry in facts["cold_start"]] == ["import numpy", "elman"]
    assert [entry["mode"] for entry in facts["tail"]] == [
        *("inside the extension", "out=", "new array"),
        *("np.dot", "one product a layer"),
    ]
    for entry in facts["tail"]:
        for found in (entry, entry["nothing"]):
            for kind in ("service", "latency"):
                percentiles = [found[kind][p] for p in tail.PERCENTILES]
                assert percentiles == sorted(percentiles)
                assert all(len(parts) == 2 for parts in found[kind]["parts"].values())
        assert entry["steps"] * entry["period_ns"] == pytest.approx(0.2e9, rel=0.01)


def test_the_tail_takes_turns_and_its_first_steps_are_not_counted(monkeypatch):
    order = []

    def turn(name):
        def paced(count, period):
            order.append(name)
            ns = np.arange(count)[::-1] + 1000 * order.count(name)
            return ns, ns + 5

        return paced

    turns = [tail.Turns(name, "", 30_000_000, turn(name), turn(f"{name}'s")) for name in "ab"]
    monkeypatch.setattr(tail, "_turns", lambda *_: turns)
    (a, b), wrong = tail.tail(None, {}, 0.3)
    assert order == ["a", "a's", "b", "b's"] * 3
    assert (a["period_ns"], a["steps"], wrong) == (120_000_000, 3, {})
    assert a["service"]["p50"] == b["nothing"]["service"]["p50"] == 2000
    assert a["service"]["parts"]["p50"] == [1000, 2000, 3000]
    assert a["latency"]["p50"] == 2005


# --- the machine ----------------------------------------------------------------------------------


def git(folder, *arguments):
    names = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_named_and_whether_files_differ_from_it(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    (tmp_path / "source").write_text("old")
    if shutil.which("git") is None:
        pytest.skip("needs git")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "a")
    found = machine.commit()
    assert found["clean"]
    assert len(found["commit"]) == 40
    (tmp_path / "README.md").write_text("written by a publication")
    assert machine.commit() == found
    (tmp_path / "source").write_text("new")
    assert machine.commit() == found | {"clean": False}
    monkeypatch.setenv("PATH", "")
    assert machine.commit() == {}


def test_the_load_is_that_of_the_next_moments():
    found = machine.load(0.05)
    if hasattr(os, "getloadavg"):
        assert len(found["averages"]) == 3
    for kind in ("busy", "stolen"):
        assert 0 <= found.get(kind, 0) <= 1
