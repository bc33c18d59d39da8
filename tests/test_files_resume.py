"""Interrupted runs of `elman.run_files` are continued, and nothing is at the destination before."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import elman
from elman.files import jobs, pipeline
from fixtures.command import run as command
from fixtures.tables import inputs

pytestmark = [
    pytest.mark.any_isa,
    pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it"),
]

# Runs a model over a file, commits after each part, and kills itself after some parts.
SCRIPT = """
import os, signal, sys, elman
from elman.files import jobs, pipeline, stored
model, source, destination, outputs, part, at = sys.argv[1:]
jobs.PART, pipeline.SECONDS, stored.DEEPEST = int(part), 0, 1
seen = 0

def progress(done):
    global seen
    seen += 1
    if seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

net, options = elman.load(model), {"outputs": outputs, "progress": progress, "threads": 1}
elman.run_files(net, source, destination, **options)
"""


def work(path):
    """Return the work folder of a destination."""
    return path.parent / f".{path.name}.elman-run"


class Case:
    """A model, inputs of 40 parts and more, and a run that is killed at a part."""

    def __init__(self, folder, shape=(800, 20, 3), outputs="all"):
        self.net = elman.Network(3, [8, 5], 2, seed=1)
        self.model, self.outputs = folder / "m.safetensors", outputs
        self.net.save(self.model)
        self.x = inputs(*shape).astype(np.float32)
        self.source, self.destination = folder / "x.npy", folder / "y.npy"
        np.save(self.source, self.x)

    def killed(self, at, part=5000):
        """Run until a part; return whether it was killed."""
        arguments = [self.model, self.source, self.destination, self.outputs, part, at]
        done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, arguments)], check=False)
        assert done.returncode in (0, -signal.SIGKILL)
        return done.returncode != 0

    def run(self, **options):
        options = {"outputs": self.outputs, **options}
        return elman.run_files(self.net, self.source, self.destination, **options)

    def is_right(self):
        y = np.load(self.destination)
        return y.tobytes() == self.net(self.x, outputs=self.outputs).tobytes()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(jobs, "PART", 5000)
    monkeypatch.setattr(pipeline, "SECONDS", 0)


@pytest.mark.parametrize("shape", [(800, 20, 3), (8, 8000, 3), (64000, 3)])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_a_killed_run_continues_with_the_same_bits(small, tmp_path, shape, outputs):
    case = Case(tmp_path, shape, outputs)
    assert case.killed(20)
    assert not case.destination.exists()
    assert work(case.destination).is_dir()
    done = case.run()
    assert 0.2 < done.resumed < 0.6
    assert (done.sequences, done.steps) == (np.prod(shape[:-2]), np.prod(shape[:-1]))
    assert case.is_right()
    assert not work(case.destination).exists()


def test_kills_again_and_again(small, tmp_path):
    case = Case(tmp_path, (8, 8000, 3))
    for at in (1, 9, 1, 5):
        assert case.killed(at)
        assert not case.destination.exists()
    assert case.run().resumed > 0
    assert case.is_right()


@pytest.mark.slow
def test_twenty_kills_at_random_moments(small, tmp_path):
    case = Case(tmp_path, (200_000, 20, 3))
    arguments = [case.model, case.source, case.destination, case.outputs, 5000, 0]
    moments, kills = random.Random(0), 0
    while kills < 20:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, *map(str, arguments)])
        time.sleep(moments.uniform(0.1, 0.6))
        process.kill()
        kills += process.wait() != 0
        if case.destination.exists():
            assert case.is_right()
            case.destination.unlink()
    case.run()
    assert case.is_right()


def test_a_folder_continues_with_the_files_that_are_left(small, tmp_path):
    case = Case(tmp_path)
    case.source, case.destination = tmp_path / "x", tmp_path / "y"
    case.source.mkdir()
    arrays = {f"{i}.npy": inputs(100 + i, 20, 3) for i in range(8)}
    for name, x in arrays.items():
        np.save(case.source / name, x)
    assert case.killed(20)
    there = os.listdir(case.destination)
    assert 0 < len(there) < 8
    assert case.run().resumed > 0
    assert sorted(os.listdir(case.destination)) == sorted(arrays)
    for name, x in arrays.items():
        assert np.load(case.destination / name).tobytes() == case.net(x).tobytes()


def test_standard_input_begins_afresh(small, tmp_path):
    case = Case(tmp_path)
    arguments = map(str, [case.model, "-", case.destination, "all", 5000, 20])
    with case.source.open("rb") as stdin:
        subprocess.run([sys.executable, "-c", SCRIPT, *arguments], stdin=stdin, check=False)
    assert work(case.destination).is_dir()
    other_inputs(case)
    options = ("run", case.model, "-", "-o", case.destination)
    assert command(*options, stdin=case.source.read_bytes()).returncode == 0
    assert case.is_right()


def test_what_was_written_after_the_last_commit_does_not_count(small, tmp_path):
    case = Case(tmp_path)
    assert case.killed(20)
    folder = work(case.destination)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"parts": 1')  # a line that was being written
    with (folder / "output-0.npy").open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"\xff" * 500)  # a part that was being written
    case.run()
    assert case.is_right()


# --- what must not change -------------------------------------------------------------------------


def other_network(case):
    case.net = elman.Network(3, [8, 5], 2, seed=2)


def other_inputs(case):
    case.x[-1, -1, -1] += 1
    np.save(case.source, case.x)


def other_time(case):
    os.utime(case.source, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (other_network, {}, "got another model"),
        (other_inputs, {}, "got an input that has changed since, "),
        (other_time, {}, "got an input that has changed since, "),
        (None, {"outputs": "last"}, "got outputs='last' instead of 'all'"),
        (None, {"memory": 1 << 20}, "got memory=1048576 instead of 268435456"),
        (None, {"nonfinite": "raise"}, "got nonfinite='raise' instead of 'propagate'"),
    ],
)
def test_another_run_does_not_continue_this_one(small, tmp_path, change, options, said):
    case = Case(tmp_path)
    assert case.killed(20)
    if change is not None:
        change(case)
    with pytest.raises(elman.ArgumentError) as raised:
        case.run(**options)
    assert f"{case.destination}: expected the run that was stopped here" in str(raised.value)
    assert said in str(raised.value)
    assert str(raised.value).endswith("restart=True (--restart) starts afresh")
    case.outputs = options.get("outputs", "all")
    assert case.run(**options, restart=True).resumed == 0
    assert case.is_right()


def test_other_threads_and_skip_bad_may_continue(small, tmp_path):
    case = Case(tmp_path)
    assert case.killed(20)
    done = case.run(threads=3, skip_bad=tmp_path / "bad.jsonl")
    assert done.resumed > 0
    assert case.is_right()
    assert (tmp_path / "bad.jsonl").read_bytes() == b""


def test_bad_sequences_are_listed_once(small, tmp_path):
    case = Case(tmp_path)
    case.x[::100, 5, 1] = np.nan
    np.save(case.source, case.x)
    bad = tmp_path / "bad.jsonl"
    for at in (9, 12, 100):
        seen = []

        def stop(done, at=at, seen=seen):
            seen.append(done)
            if len(seen) == at:
                raise KeyboardInterrupt

        options = {"nonfinite": "raise", "skip_bad": bad, "progress": stop, "threads": 1}
        if at < 100:
            with pytest.raises(KeyboardInterrupt):
                case.run(**options)
            assert not bad.exists()
        else:
            done = case.run(**options)
    assert done.bad == 8
    rows = [json.loads(line)["row"] for line in bad.read_text().splitlines()]
    assert rows == list(range(0, 800, 100))


def test_an_error_keeps_what_is_done_and_skipping_continues(small, tmp_path):
    case = Case(tmp_path)
    case.x[700, 5, 1] = np.nan
    np.save(case.source, case.x)
    with pytest.raises(elman.TableError, match="row 700") as raised:
        case.run(nonfinite="raise")
    assert "% is done and kept; " in raised.value.__notes__[0]
    done = case.run(nonfinite="raise", skip_bad=tmp_path / "bad")
    assert done.resumed > 0.8
    y = np.load(case.destination)
    assert np.isnan(y[700]).all()
    good = np.delete(np.arange(800), 700)
    assert y[good].tobytes() == case.net(case.x[good]).tobytes()


def test_what_was_left_out_needs_its_list_to_continue(small, tmp_path):
    case = Case(tmp_path)
    case.x[3, 5, 1] = np.nan
    np.save(case.source, case.x)

    def stop(done):
        if done.fraction > 0.5:
            raise KeyboardInterrupt

    options = {"nonfinite": "raise", "threads": 1}
    with pytest.raises(KeyboardInterrupt):
        case.run(skip_bad=tmp_path / "bad", progress=stop, **options)
    with pytest.raises(elman.ArgumentError, match="skip_bad: expected a file, as the run that was"):
        case.run(**options)
    assert not case.destination.exists()
    done = case.run(skip_bad=tmp_path / "bad", **options)
    assert (done.sequences, done.bad) == (799, 1)
    assert done.resumed > 0
    assert json.loads((tmp_path / "bad").read_text())["row"] == 3


# --- the destination ------------------------------------------------------------------------------


def test_the_old_output_remains_until_the_new_one_is_whole(small, tmp_path):
    case = Case(tmp_path)
    case.destination.write_bytes(b"yesterday")
    case.destination.chmod(0o640)
    assert case.killed(20)
    assert case.destination.read_bytes() == b"yesterday"
    case.run()
    assert case.is_right()
    assert case.destination.stat().st_mode & 0o777 == 0o640


def test_two_runs_do_not_write_the_same_output(small, tmp_path):
    case = Case(tmp_path)
    refused = []

    def other(done):
        if not refused:
            with pytest.raises(elman.BusyError, match=r"y\.npy: expected a destination") as raised:
                case.run()
            refused.append(raised)

    case.run(progress=other)
    assert refused
    assert case.is_right()


def test_a_full_disk_keeps_what_is_done(small, tmp_path):
    case = Case(tmp_path)
    limit = f"ulimit -f 100; exec {sys.executable} -m elman run {case.model} {case.source}"
    done = subprocess.run(
        ["sh", "-c", f"{limit} -o {case.destination} --memory 100K"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"elman: {case.destination}: File too large")
    assert done.stderr.endswith(f"{case.destination} was not written\n")
    assert not case.destination.exists()
    case.run(memory=100 << 10)
    assert case.is_right()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    case = Case(tmp_path)
    case.destination = tmp_path / "closed" / "y.npy"
    case.destination.parent.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match=r"closed/y\.npy"):
        case.run()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_says_how_far_it_came_and_that_it_continues(tmp_path, number, code, word):
    case = Case(tmp_path, (400_000, 4, 3))
    options = ("run", case.model, case.source, "-o", case.destination, "--memory", "1M")
    often = "from elman.files import pipeline; pipeline.SECONDS = 0; from elman.cli import main"
    script = f"import sys; {often}; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, options)], stderr=subprocess.PIPE, text=True
    ) as process:
        journal = work(case.destination) / "journal.jsonl"
        while not journal.exists() or not journal.stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(timeout=60) == code
        said = process.stderr.read()
    assert said.startswith(f"elman: {word}; ")
    assert said.endswith(
        f" % is done and kept, the same command continues; {case.destination} was not written\n"
    )
    assert command(*options).returncode == 0
    assert case.is_right()
