"""Time `elman.run_files` over stored sequences, beside arrays in memory and a loop of PyTorch.

    python bench/stored.py [--sequences 100000] [--rounds 5] [--kinds npy parquet]

Sequences of 100 steps, 16 numbers in and 8 out, a network 16 > 64 > 8 in float32. The file is in
the page cache. The ways are interleaved; the first of each kind is what the others are compared
with, as the median of the ratios within a round. All ways write their outputs to a file, but the
first two, which have them in memory. With `--memory`, the peak memory of a process that runs a file
of ten times `memory=` is printed: that beyond a run over a small file. PyTorch is left out if it is
not installed. For Parquet, a row has a name and a sequence, as a list of fixed-size lists;
`run_files` is compared with what two cores allow: half of the CPU time that pyarrow takes to read,
the network to run and pyarrow to write, without dictionaries for numbers, each by itself; the sum
of their durations is printed, too. All ways must give the same numbers: elman's the same bits. With
`--json`, all times are printed as they stand in the result file of `run.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np

import elman
import stored_parquet as parquet

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS, HIDDEN, OUTPUTS, STEPS = 16, 64, 8, 100
THREADS = 2
BATCH = 1024  # of PyTorch

Ways = dict[str, "Callable[[], object]"]
Spent = tuple[float, float]  # seconds, and those of the processors


def main() -> None:
    """Make the files, time all ways, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--memory", action="store_true", help="print the peak memory instead")
    parser.add_argument("--json", action="store_true", help="print all times as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.memory:
            print_memory(pathlib.Path(name), options.kinds)
            return
        found = {}
        for kind in options.kinds:
            folder = pathlib.Path(name, kind)
            folder.mkdir()
            ways = KINDS[kind](folder, options.sequences)
            found[kind] = measure(ways, folder, options.rounds)
            if not options.json:
                REPORTS[kind](found[kind], options.sequences)
    if options.json:
        print(json.dumps(facts(found, options.sequences)))


def facts(found: dict[str, dict[str, list[Spent]]], sequences: int) -> list[dict[str, object]]:
    """Return the ways of each kind as in a result file, with their times in nanoseconds."""
    return [
        {
            "kind": kind,
            "name": way,
            "sequences": sequences,
            "threads": THREADS,
            "times": [float(f"{seconds * 1e9:.4g}") for seconds, _ in spent],
            "cpu": [float(f"{cpu * 1e9:.4g}") for _, cpu in spent],
        }
        for kind, ways in found.items()
        for way, spent in ways.items()
    ]


def network() -> elman.Network:
    """Return the network."""
    return elman.Network(INPUTS, HIDDEN, OUTPUTS, seed=0)


def measure(ways: Ways, folder: pathlib.Path, rounds: int) -> dict[str, list[Spent]]:
    """Return what each way takes in each round, after one that is not counted."""
    spent: dict[str, list[Spent]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            for name in ("y.parquet", "z.parquet"):  # replacing 131 MB takes 30 ms
                (folder / name).unlink(missing_ok=True)
            cpu, start = time.process_time(), time.perf_counter()
            run()
            spent[way].append((time.perf_counter() - start, time.process_time() - cpu))
    return {way: times[1:] for way, times in spent.items()}


def report(spent: dict[str, list[Spent]], sequences: int) -> None:
    """Print the sequences per second of each way, and their ratio to those of the first."""
    seconds = {way: [wall for wall, _ in times] for way, times in spent.items()}
    first, *_ = seconds.values()
    for way, times in seconds.items():
        ratios = [a / b for a, b in zip(first, times, strict=True)]
        print(
            f"npy      {way:22} {sequences / statistics.median(times):11,.0f} sequences/s"
            f"  {statistics.median(ratios):5.2f}  ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


# --- NPY ------------------------------------------------------------------------------------------


def npy_ways(folder: pathlib.Path, sequences: int) -> Ways:
    """Return the ways for an NPY file; check that they agree."""
    net = network()
    x = np.random.default_rng(0).standard_normal((sequences, STEPS, INPUTS), np.float32)
    np.save(folder / "x.npy", x)
    out = np.zeros((sequences, STEPS, OUTPUTS), np.float32)
    ways: Ways = {
        "arrays in memory": lambda: net.run(x, threads=THREADS),
        "the same with out=": lambda: net.run(x, threads=THREADS, out=out),
        "run_files": lambda: elman.run_files(
            net, folder / "x.npy", folder / "y.npy", threads=THREADS
        ),
        "memory map, by hand": lambda: by_hand(net, folder),
    }
    if importlib.util.find_spec("torch") is not None:
        ways["PyTorch, DataLoader"] = lambda: torch_loop(net, folder, THREADS)
        ways["PyTorch, one thread"] = lambda: torch_loop(net, folder, 1)
    expected = net(x)
    for way, run in list(ways.items())[2:]:
        run()
        y = np.load(folder / "y.npy", mmap_mode="r")
        same = np.allclose(y, expected, atol=1e-5) if "PyTorch" in way else (y == expected).all()
        if not same:
            raise SystemExit(f"{way}: other numbers")
    return ways


def by_hand(net: elman.Network, folder: pathlib.Path) -> None:
    """Run the file by memory maps, as one writes it without `run_files`; it cannot be continued."""
    x = np.load(folder / "x.npy", mmap_mode="r")
    shape = (*x.shape[:-1], OUTPUTS)
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.float32, shape)
    for begin in range(0, len(x), BATCH):
        net.run(x[begin : begin + BATCH], threads=THREADS, out=y[begin : begin + BATCH])
    y.flush()


def torch_loop(net: elman.Network, folder: pathlib.Path, threads: int) -> None:
    """Run the file by a `DataLoader` and `nn.RNN`.

    On two busy cores one thread ran 10,067 to 11,234 sequences/s, and two 4,183 to 4,337.
    """
    import torch

    torch.set_num_threads(threads)
    modules = elman.to_torch(net)
    x = np.load(folder / "x.npy", mmap_mode="c")
    data = torch.utils.data.TensorDataset(torch.from_numpy(x))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.float32, (*x.shape[:-1], OUTPUTS))
    begin = 0
    with torch.inference_mode():
        for (batch,) in torch.utils.data.DataLoader(data, batch_size=BATCH):
            outputs = torch.sigmoid(modules.readout(modules.rnn(batch)[0]))
            y[begin : begin + len(batch)] = outputs.numpy()
            begin += len(batch)
    y.flush()


# --- memory ---------------------------------------------------------------------------------------

PEAK = """
import sys, elman
folder, suffix, memory = sys.argv[1], sys.argv[2], int(sys.argv[3])
net = elman.Network(16, 64, 8, seed=0)

def run(name):
    elman.run_files(net, f"{folder}/{name}.{suffix}", f"{folder}/y.{suffix}", memory=memory)

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

run("small")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # resets the peak
before = status("VmRSS")
run("x")
print((status("VmHWM") - before) >> 10)
"""


def print_memory(folder: pathlib.Path, kinds: list[str]) -> None:
    """Print the peak memory of runs over files of ten times `memory=`, with both pools of Arrow."""
    for kind in kinds:
        pools = ("", "system") if kind == "parquet" else ("",)
        for mebibytes, pool in itertools.product((8, 64, 256), pools):
            write = parquet.write_rows if kind == "parquet" else write_zeros
            write(folder / f"small.{kind}", 4)
            write(folder / f"x.{kind}", 10 * (mebibytes << 20) // (STEPS * INPUTS * 4))
            command = [sys.executable, "-c", PEAK, str(folder), kind, str(mebibytes << 20)]
            environment = {**os.environ, **({"ARROW_DEFAULT_MEMORY_POOL": pool} if pool else {})}
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            )
            used = done.stdout.strip()
            print(f"{kind:8} memory={mebibytes} MiB {pool:6} {used} MiB", flush=True)


def write_zeros(path: pathlib.Path, sequences: int) -> None:
    """Write an array of zeros, which takes no space."""
    shape = (sequences, STEPS, INPUTS)
    np.lib.format.open_memmap(path, "w+", np.float32, shape).flush()


KINDS = {"npy": npy_ways, "parquet": parquet.parquet_ways}
REPORTS = {"npy": report, "parquet": parquet.report}

if __name__ == "__main__":
    main()
