"""Run a network over the sensors of thousands of machines at once, and survive a kill -9.

    python examples/many_streams.py
    python examples/many_streams.py --machines 500 --seconds 60 --rate 0 --snapshot plant.npz

Each machine sends a sample of four sensors at every tick, 100 times a second. One pool has a row
for each machine and advances all of them in a call. Machines join and leave: a free row is reset
and given to the next that joins. A machine that starts a new job starts a new sequence: its row is
reset. Halfway the model is replaced by a newer one, which continues from the same states.

After every second of samples the program writes a snapshot, whole or not at all. Started again
after a kill, it continues from the last one: the outputs since then are computed again, and have
the same bits. At the end it removes the snapshot.
"""

from __future__ import annotations

import argparse
import os
import time
import zlib
from pathlib import Path

import numpy as np

import elman

RATE = 100  # samples per second of each machine
SENSORS, HIDDEN = 4, 16
OLDER, NEWER = (elman.Network(SENSORS, HIDDEN, 1, seed=seed) for seed in (0, 1))
CHANGE, NEW_JOB = 1e-4, 1e-3  # per machine and tick: it joins or leaves; it starts a new job
EMPTY = -1


class Plant:
    """The simulated machines; a real program would receive their samples from a network.

    `machine` (rows,) has the number of the machine in each row, or EMPTY. All that happens at a
    tick follows from its number and these arrays, so a replay is exact.
    """

    def __init__(self, rows: int) -> None:
        self.machine = np.arange(rows)
        self.machine[rows * 9 // 10 :] = EMPTY
        self.joined = np.int64(rows * 9 // 10)  # machines so far
        self.phase = np.linspace(0, 6, rows, dtype=np.float32)

    def change(self, rng: np.random.Generator) -> np.ndarray:
        """Let machines leave, join, and start jobs; return the rows that begin a sequence."""
        chance = rng.random(len(self.machine))
        present = self.machine != EMPTY
        leave = present & (chance < CHANGE)
        join = ~present & (chance < 10 * CHANGE)
        self.machine[leave] = EMPTY
        self.machine[join] = self.joined + np.arange(join.sum())
        self.joined += join.sum()
        new_job = present & ~leave & (chance > 1 - NEW_JOB)
        self.phase[join | new_job] = 0
        return join | new_job

    def samples(self, rng: np.random.Generator, x: np.ndarray) -> None:
        """Write the samples of this tick into x (rows, SENSORS)."""
        rng.standard_normal(out=x, dtype=np.float32)
        x *= 0.1
        self.phase += 0.05
        x += np.sin(self.phase)[:, np.newaxis]


class Service:
    """The pool, the plant, and the tick at which they are."""

    def __init__(self, rows: int) -> None:
        self.tick, self.plant = 0, Plant(rows)
        self.pool = OLDER.streams(rows)
        self.x = np.empty((rows, SENSORS), np.float32)
        self.y = np.zeros((rows, 1), np.float32)
        self.checksum = 0  # of all outputs

    def advance(self, swap_at: int) -> int:
        """Run a tick; return the nanoseconds from the samples to the outputs."""
        rng = np.random.default_rng(self.tick)
        begins = self.plant.change(rng)
        self.plant.samples(rng, self.x)
        start = time.perf_counter_ns()
        if self.tick == swap_at:
            self.pool.network = NEWER
        if begins.any():
            self.pool.reset(rows=begins)
        present = np.flatnonzero(self.plant.machine != EMPTY)
        y = self.y[: len(present)]
        self.pool.step(self.x[present], out=y, rows=present)
        took = time.perf_counter_ns() - start
        self.checksum = zlib.crc32(y, self.checksum)
        self.tick += 1
        return took

    def save(self, path: Path) -> None:
        """Write a snapshot: `os.replace` puts it in place whole or not at all."""
        plant, beside = self.plant, path.with_name(f"{path.name}.new")
        with beside.open("wb") as file:
            np.savez(
                file,
                tick=self.tick,
                newer=self.pool.network == NEWER,
                state=self.pool.state,
                checksum=self.checksum,
                **vars(plant),
            )
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def restore(self, path: Path) -> None:
        """Continue from a snapshot."""
        with np.load(path) as saved:
            if len(saved["state"]) != len(self.pool):
                raise SystemExit(f"{path}: is of {len(saved['state'])} machines; pass --machines")
            self.tick, self.checksum = int(saved["tick"]), int(saved["checksum"])
            for name in vars(self.plant):
                setattr(self.plant, name, saved[name])
            self.pool.network = NEWER if saved["newer"] else OLDER
            self.pool.state = saved["state"]


def run(service: Service, ticks: int, rate: float, snapshot: Path) -> tuple[list[int], list[int]]:
    """Run up to a tick; return nanoseconds of each: its latency, and from when it was due."""
    latency, late = [], []
    due = time.perf_counter_ns()
    while service.tick < ticks:
        if rate:
            due += round(1e9 / rate)
            time.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
        latency.append(service.advance(swap_at=ticks // 2))
        late.append(time.perf_counter_ns() - due)
        if service.tick % RATE == 0:
            service.save(snapshot)
    return latency, late


def show(what: str, ns: list[int]) -> None:
    """Print percentiles in milliseconds."""
    found = np.percentile(ns, [50, 99, 99.9, 100]) / 1e6
    print(f"{what:22}" + "".join(f"{ms:10.3f}" for ms in found))


def main(arguments: list[str] | None = None) -> None:
    """Run, or continue, and print the latency of the ticks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", type=int, default=10_000, help="at most; rows of the pool")
    parser.add_argument("--seconds", type=float, default=20.0, help=f"of {RATE} ticks each")
    parser.add_argument("--rate", type=float, default=RATE, help="ticks per second; 0: at once")
    parser.add_argument("--snapshot", type=Path, default=Path("many_streams.npz"))
    chosen = parser.parse_args(arguments)
    service, ticks = Service(chosen.machines), round(chosen.seconds * RATE)
    if chosen.snapshot.exists():
        service.restore(chosen.snapshot)
        print(f"continue at tick {service.tick:,} from {chosen.snapshot}", flush=True)
    latency, late = run(service, ticks, chosen.rate, chosen.snapshot)
    if latency:
        present = (service.plant.machine != EMPTY).sum()
        print(f"{len(latency):,} ticks; at the end {present:,} machines", end=" ")
        print(f"of {service.plant.joined:,} that have joined")
        print(f"{'ms':22}" + "".join(f"{name:>10}" for name in ("median", "99 %", "99.9 %", "max")))
        show("a tick", latency)
        if chosen.rate:
            show("from when it was due", late)
    print(f"checksum of all outputs: {service.checksum:08x}")
    chosen.snapshot.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
