"""Dask with a scheduler and workers in processes of their own, killed, spilling, of two sets."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import elman

distributed = pytest.importorskip("distributed", reason="could not import distributed")
da = pytest.importorskip("dask.array", reason="could not import dask.array")

import elman.dask  # noqa: E402

pytestmark = [pytest.mark.clusters, pytest.mark.filterwarnings("default")]


# How long to ask a lost worker for a result; Dask's default is half a minute.
_IMPATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}


class Processes:
    """A scheduler and workers on loopback."""

    def __init__(self, folder):
        self.file, self.started = folder / "scheduler.json", {}
        self.log = (folder / "log").open("w")
        self._start("scheduler", "scheduler", "--port", "0")
        while not self.file.exists():
            time.sleep(0.05)

    def _start(self, name, kind, *options, **environment):
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", self.file]
        self.started[name] = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--no-dashboard", *options],
            env=os.environ | _IMPATIENT | environment,
            stdout=self.log,
            stderr=self.log,
            cwd=self.file.parent,
        )

    def worker(self, name, memory="1GiB", **environment):
        options = ("--no-nanny", "--nthreads", "1", "--memory-limit", memory, "--name", name)
        self._start(name, "worker", *options, **environment)

    def kill(self, name):
        process = self.started.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self):
        for name in list(self.started):
            self.kill(name)
        self.log.close()


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def client(processes):
    with distributed.Client(scheduler_file=str(processes.file), set_as_default=False) as client:
        yield client


@pytest.fixture
def net():
    return elman.Network(3, 16, 2, output_activation="identity", seed=0)


def example(count=96, steps=30):
    x = np.random.default_rng(0).normal(size=(count, steps, 3)).astype("float32")
    return x, np.cumsum(x[..., :2], axis=1) / 5


def test_a_worker_killed_at_random_moments_in_twenty_runs(net, processes, client):
    x, y = example()
    choices = random.Random(0)
    processes.worker("0")
    processes.worker("1")
    client.wait_for_workers(2)
    lost = 0
    for run in range(20):
        options = {"epochs": 12, "batch_size": 48, "shuffle": run % 2 == 0, "seed": run}
        alone = elman.train(net, x, y, **options)
        name = f"{run}"
        after = choices.uniform(0, 0.25)

        def kill(name=name, after=after):
            time.sleep(after)
            processes.worker(f"{int(name) + 2}")
            processes.kill(name)

        killer = threading.Thread(target=kill)
        killer.start()
        ours = elman.dask.train(net, x, y, client=client, part_size=16, **options)
        lost += not killer.is_alive()
        killer.join()
        assert ours.network == alone.network, f"run {run}, killed after {after:.3f} s"
        assert ours.history == alone.history
        client.wait_for_workers(2)
    assert lost > 10  # within the runs


def test_the_only_worker_is_killed_and_another_joins(net, processes, client):
    def replace(record, trainer):
        if record.epoch == 2:
            processes.kill("first")
            processes.worker("second")

    x, y = example()
    processes.worker("first")
    client.wait_for_workers(1)
    options = {"epochs": 4, "batch_size": 96, "shuffle": False}
    ours = elman.dask.train(net, x, y, client=client, callback=replace, **options)
    assert ours.network == elman.train(net, x, y, **options).network


def test_workers_of_two_instruction_sets(net, processes, client, fused_isas):
    x, y = example()
    processes.worker("scalar", ELMAN_ISA="scalar")
    processes.worker("best", ELMAN_ISA=fused_isas[-1])
    client.wait_for_workers(2)
    assert set(client.run(elman.isa).values()) == {"scalar", fused_isas[-1]}
    options = {"epochs": 3, "batch_size": 96}
    ours = elman.dask.train(net, x, y, client=client, part_size=16, **options)
    assert ours.network == elman.train(net, x, y, **options).network
    lazy = elman.dask.run(net, da.from_array(x, chunks=(8, 30, 3))).output
    assert client.compute(lazy).result().tobytes() == net(x).tobytes()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_worker_that_joins_is_used(net, processes, client, shuffle):
    def join(record, trainer):
        if record.epoch == 2:
            processes.worker("second")
            client.wait_for_workers(2)

    x, y = example(256)
    processes.worker("first")
    client.wait_for_workers(1)
    options = {"epochs": 120, "batch_size": 256, "shuffle": shuffle}
    ours = elman.dask.train(net, x, y, client=client, part_size=16, callback=join, **options)
    assert ours.network == elman.train(net, x, y, **options).network
    tasks = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(tasks) == 2
    assert min(tasks.values()) > 50


def test_data_that_are_spilled_to_disk(net, processes, client):
    """60 MB a worker beside the interpreter, for 160 MB of blocks."""
    x, y = example(4096, 2000)
    memory = f"{_memory() + 60}MiB"
    for name in ("0", "1"):  # a worker that pauses would wait for memory without end
        processes.worker(name, memory, DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE="False")
    client.wait_for_workers(2, timeout=60)
    options = {"epochs": 1, "batch_size": 4096, "shuffle": False}

    def look(record, trainer):
        found = client.run(lambda dask_worker: dask_worker.data.spilled_total.disk)
        spilled.append(sum(found.values()))

    spilled = []
    ours = elman.dask.train(net, x, y, client=client, part_size=128, callback=look, **options)
    assert spilled[0] > 20e6
    assert ours.network == elman.train(net, x, y, threads=2, **options).network


def _memory():
    """Return the memory in MiB of an interpreter with Dask."""
    # Not the largest so far, which begins with that of the process it was forked from.
    code = "import distributed, dask.array, elman, psutil\n"
    code += "print(psutil.Process().memory_info().rss >> 20)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return int(done.stdout)


def test_no_process_of_a_cluster_is_left(tmp_path):
    started = Processes(tmp_path)
    pids = [process.pid for process in started.started.values()]
    started.close()
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
