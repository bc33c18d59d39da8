"""Shared by the anchors: run a task for several seeds on all cores, and print a table."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUICK = "fewer and smaller runs, in seconds: to see that it works, not how well"


def options(description: str | None, seeds: int, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line: `.seeds`, the number of seeds, and `.quick`."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=seeds, metavar="N", help="how many seeds")
    parser.add_argument("--quick", action="store_true", help=QUICK)
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.seeds = 1
    return chosen


def over(seeds: int, task: Callable[..., Any], *arguments: object) -> list[Any]:
    """Return task(*arguments, seed) for seeds 0, 1, ..., with one process per core."""
    workers = min(seeds, os.cpu_count() or 1)
    if workers < 2:
        return [task(*arguments, seed) for seed in range(seeds)]
    spawn = multiprocessing.get_context("spawn")  # a thread of NumPy's may not survive a fork
    with ProcessPoolExecutor(workers, spawn) as pool:
        return list(pool.map(partial(task, *arguments), range(seeds)))


def spread(values: Sequence[float], form: str) -> str:
    """Return the median and the range of the values of all seeds."""
    low, middle, high = (format(f(values), form) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def table(*rows: Sequence[str]) -> None:
    """Print rows of cells in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
