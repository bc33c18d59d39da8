"""`elman bench`: the cases, the peers left out, and the output."""

import json

import pytest

import elman
from elman.cli import bench
from fixtures.command import Terminal, answer, run
from fixtures.processes import python

pytestmark = pytest.mark.any_isa

WORKS = {"step", "sequence", "batch"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "model.safetensors"
    elman.Network(input_size=1, hidden_size=[3, 2], output_size=2, seed=1).save(path)
    return path


@pytest.fixture
def short(monkeypatch):
    """Time in two rounds only."""
    monkeypatch.setattr(bench, "ROUNDS", 2)


def names_of(entries):
    return {entry["name"] for entry in entries}


@pytest.mark.usefixtures("short")
def test_bench_times_three_ways_on_a_model(small):
    facts = json.loads(answer("bench", small, "--json"))
    (network,) = facts["networks"]
    assert (network["sizes"], network["dtype"]) == ("1 > 3 > 2 > 2", "float32")
    assert facts["left_out"] == network["left_out"] == network["wrong"] == {}
    for work in WORKS:
        first, *_ = network[work]
        assert first["name"] == "elman"
        assert first["ratio"]["median"] == 1
        assert names_of(network[work]) == {"elman", "pure_python", "numpy"}
        assert all(entry["ns_per_step"]["median"] > 0 for entry in network[work])


def test_bench_shows_the_entry_that_all_are_compared_with():
    names = {"elman": (80, 70), "numpy": (900, 800)}
    entries = [
        {"name": name, "ns_per_step": {"median": ns}} for name, both in names.items() for ns in both
    ]
    found = bench._fastest(entries)
    assert [found[name]["ns_per_step"]["median"] for name in names] == [80, 800]


@pytest.mark.usefixtures("short")
def test_bench_without_a_model_times_the_built_in_networks():
    text = answer("bench", "--sizes", "16,8").decode()
    assert text.index("1 > 8 > 1") < text.index("4 > 16 > 1")
    for word in ("elman", "pure Python", "NumPy", *WORKS):
        assert word in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("more", [{"output_activation": "softmax"}, {"output_size": None}])
def test_bench_leaves_out_peers_that_cannot_compute_a_model(tmp_path, more):
    sizes = {"input_size": 1, "hidden_size": 3, "output_size": 2}
    elman.Network(**sizes | more, seed=0, activation="relu").save(tmp_path / "model")
    (network,) = json.loads(answer("bench", tmp_path / "model", "--json"))["networks"]
    assert set(network["left_out"]) == {"numpy"}
    assert names_of(network["step"]) == {"elman", "pure_python"}
    if "output_size" in more:
        text = " ".join(answer("bench", tmp_path / "model").decode().split())
        assert f"NumPy is left out: {network['left_out']['numpy']}" in text


def test_bench_names_the_benchmark_that_times_other_frameworks():
    said = answer("bench", "--help", env={"COLUMNS": "200"}).decode()
    assert "bench/run.py" in said
    assert ".[bench]" in said


@pytest.mark.usefixtures("short")
def test_bench_does_not_time_wrong_answers(small, monkeypatch):
    monkeypatch.setattr(elman.pure, "step", lambda weights, x, state: ([1e3, 0.0], state))
    (network,) = json.loads(answer("bench", small, "--json"))["networks"]
    assert "step" in network["wrong"]["pure_python"]
    assert names_of(network["step"]) == {"elman", "numpy"}
    text = " ".join(answer("bench", small).decode().split())
    assert f"pure Python gives wrong answers: {network['wrong']['pure_python']}" in text


def test_bench_keeps_to_one_thread_before_numpy_is_imported(tmp_path):
    done = python(
        "import os, sys\n"
        "os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "def hook(event, args):\n"
        "    if event == 'import' and args[0] == 'numpy':\n"
        "        print(os.environ.get('OPENBLAS_NUM_THREADS'))\n"
        "sys.addaudithook(hook)\n"
        f"sys.argv = ['elman', 'bench', {str(tmp_path / 'missing')!r}]\n"
        "from elman.cli import main; sys.exit(main())"
    )
    assert (done.returncode, done.stdout) == (2, "1\n")


@pytest.mark.parametrize("sizes", ["33", "8,x"])
def test_bench_names_the_sizes_it_knows(sizes):
    done = run("bench", "--sizes", sizes)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--sizes" in done.stderr
    assert sizes.rpartition(",")[2].encode() in done.stderr


@pytest.mark.usefixtures("short")
def test_bench_shows_how_far_it_is_on_a_terminal_only(small):
    with Terminal() as terminal:
        json.loads(answer("bench", small, "--json", stderr=terminal.file))
        assert b"timing" in terminal.content()
