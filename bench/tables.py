"""Time `elman run` from CSV file to CSV file, with PyArrow and without, beside an older version.

    python bench/tables.py [--lines 500000] [--rounds 5] [--old PYTHON]

16 numbers in and 4 out per line, a network 16 > 32 > 4, for float32 and float64. `--old` is an
interpreter with another version of elman, such as /path/to/venv/bin/python. The ways are
interleaved: every round starts a process for each. Printed are the medians of the lines per second
and per second of processor time (of all threads), and the ratio of processor times within a round,
which other work on the machine disturbs least. All include the start of the process. The outputs of
all ways must hold the same numbers, and with and without PyArrow the same bytes.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import elman

Seconds = dict[str, list[tuple[float, float]]]
INPUTS, HIDDEN, OUTPUTS = 16, 32, 4


def main() -> None:
    """Make the files, time all ways, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--old", help="an interpreter with another version of elman")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        x = np.random.default_rng(0).standard_normal((options.lines, INPUTS))
        source = folder / "x.csv"
        with source.open("w") as file:
            file.writelines(",".join(map(repr, row)) + "\n" for row in x.tolist())
        size = source.stat().st_size / 1e6
        print(f"{options.lines} lines, {size:.0f} MB in; medians of {options.rounds} rounds")
        for dtype in ("float32", "float64"):
            net = elman.Network(INPUTS, HIDDEN, OUTPUTS, seed=0, dtype=dtype)
            net.save(folder / "m.safetensors")
            report(dtype, measure(folder, ways(folder, options.old), options.rounds), options.lines)
            check(folder, net.dtype)


def ways(folder: pathlib.Path, old: str | None) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return the command and the environment of each way."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "pyarrow.py").write_text("raise ModuleNotFoundError(name='pyarrow')\n")
    here = os.environ.get("PYTHONPATH", "")
    found = {"without": ([sys.executable], {"PYTHONPATH": f"{hidden}{os.pathsep}{here}"})}
    if subprocess.run([sys.executable, "-c", "import pyarrow"], check=False).returncode == 0:
        found = {"with": ([sys.executable], {"PYTHONPATH": here}), **found}
    if old is not None:
        found["old"] = ([old], {"PYTHONPATH": ""})
    return found


def measure(
    folder: pathlib.Path, ways: dict[str, tuple[list[str], dict[str, str]]], rounds: int
) -> Seconds:
    """Return the seconds of each way in each round, and those of the processor."""
    seconds: Seconds = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (python, variables) in ways.items():
            command = [*python, "-m", "elman", "run", folder / "m.safetensors", folder / "x.csv"]
            environment = {**os.environ, **variables}
            start, used = time.perf_counter(), processor_time()
            subprocess.run(
                [*command, "-o", folder / f"{way}.csv"], check=True, env=environment, cwd=folder
            )
            seconds[way].append((time.perf_counter() - start, processor_time() - used))
    return seconds


def processor_time() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(dtype: str, seconds: Seconds, lines: int) -> None:
    """Print lines per second, and how many times less processor time than the last way it took."""
    *_, last = seconds.values()
    for way, times in seconds.items():
        speed, per_processor = (
            lines / statistics.median(column) for column in zip(*times, strict=True)
        )
        ratio = statistics.median(b / a for (_, a), (_, b) in zip(times, last, strict=True))
        print(
            f"{dtype}  {way:8} {speed:9,.0f} lines/s  {per_processor:9,.0f} per second of processor"
            f"  {ratio:5.2f}x",
            flush=True,
        )


def check(folder: pathlib.Path, dtype: np.dtype) -> None:
    """Raise unless all ways have written the same numbers."""
    results = {path.name: path.read_bytes() for path in folder.glob("*.csv") if path.stem != "x"}
    numbers = {
        name: np.array(text.replace(b"\n", b",").split(b",")[:-1]).astype(dtype)
        for name, text in results.items()
    }
    first = numbers["without.csv"]
    if not all(np.array_equal(first, other) for other in numbers.values()):
        raise SystemExit("the ways have written different numbers")
    if results.get("with.csv", results["without.csv"]) != results["without.csv"]:
        raise SystemExit("PyArrow has written other bytes")


if __name__ == "__main__":
    main()
