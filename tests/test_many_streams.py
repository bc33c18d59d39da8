"""The example of many streams: killed at any moment, it continues with the same bits."""

from __future__ import annotations

import pathlib
import random
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.any_isa

PATH = pathlib.Path(__file__).parents[1] / "examples" / "many_streams.py"
TICKS = 20_000


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(PATH))


def command(snapshot):
    options = ("--machines", "40", "--seconds", str(TICKS // 100), "--rate", "0")
    return [sys.executable, str(PATH), *options, "--snapshot", str(snapshot)]


def bits(output):
    return output.rpartition(": ")[2].strip()


def written(snapshot):
    """Return when the snapshot was written, 0 if it is not there."""
    try:
        return snapshot.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def killed(snapshot, seconds):
    """Run until some seconds after a snapshot and kill; return whether it was not yet done."""
    before = written(snapshot)
    process = subprocess.Popen(command(snapshot), stdout=subprocess.DEVNULL)
    while process.poll() is None and written(snapshot) <= before:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_service_continues_with_the_same_bits(example, capsys, tmp_path, kills):
    example["main"](command(tmp_path / "undisturbed.npz")[2:])
    expected = bits(capsys.readouterr().out)
    snapshot, rng, interrupted = tmp_path / "plant.npz", random.Random(kills), 0
    for _ in range(kills):
        interrupted += killed(snapshot, rng.uniform(0, 0.3 / kills))
    assert interrupted
    if not snapshot.exists():  # the last one was done before its kill
        interrupted += killed(snapshot, 0)
    done = subprocess.run(command(snapshot), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("continue at tick ")
    assert bits(done.stdout) == expected
    assert not snapshot.exists()


def test_every_row_has_the_bits_of_a_stream_of_its_own(example, monkeypatch):
    """Which begins where the row begins a sequence, and is swapped with the pool."""
    monkeypatch.setitem(example["Plant"].change.__globals__, "CHANGE", 0.01)
    service, net, swap_at, seen = example["Service"](30), example["OLDER"], 150, []
    change = service.plant.change
    service.plant.change = lambda rng: seen.append(change(rng)) or seen[-1]
    streams = [net.stream() for _ in range(30)]
    for tick in range(300):
        service.advance(swap_at)
        if tick == swap_at:
            net = example["NEWER"]
            streams = [net.stream(stream.state) for stream in streams]
        for row in np.flatnonzero(seen[-1]):
            streams[row] = net.stream()
        present = np.flatnonzero(service.plant.machine != example["EMPTY"])
        expected = [streams[row].step(service.x[row]) for row in present]
        assert (service.y[: len(present)] == expected).all()
    assert 10 < np.sum(seen) < 300 * 30
    assert len(set(service.plant.machine)) < service.plant.joined
    assert (service.pool.state == [stream.state for stream in streams]).all()


def test_machines_have_one_row_each_and_a_row_has_one_machine_after_another(example, monkeypatch):
    monkeypatch.setitem(example["Plant"].change.__globals__, "CHANGE", 0.01)
    plant, empty = example["Plant"](50), example["EMPTY"]
    for tick in range(200):
        before = plant.machine.copy()
        begins = plant.change(np.random.default_rng(tick))
        present = plant.machine[plant.machine != empty]
        assert len(set(present)) == len(present)
        new = (plant.machine != before) & (plant.machine != empty)
        assert (before[new] == empty).all()
        assert begins[new].all()
    assert plant.joined > 50


def test_a_snapshot_of_another_number_of_machines_is_refused(example, tmp_path):
    example["Service"](3).save(tmp_path / "a.npz")
    with pytest.raises(SystemExit, match="is of 3 machines; pass --machines"):
        example["Service"](4).restore(tmp_path / "a.npz")
