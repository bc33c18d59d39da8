"""Shared by the four programs: options, one run per seed, and tables."""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def options(description: str, arguments: Sequence[str] | None, seeds: int) -> argparse.Namespace:
    """Read the options of the command line: `seeds`, `passes` (None if not given) and `output`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many runs ({seeds})")
    parser.add_argument("--passes", type=int, help="through the stream (as many as the paper's)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "figures",
        help="the folder for the figure (figures/ beside this program)",
    )
    return parser.parse_args(arguments)


def for_each(function: Callable[..., Any], jobs: Iterable[tuple]) -> list[Any]:
    """Return function(*job) of every job, as many at a time as there are cores.

    Threads are enough: elman gives up the interpreter's lock while it trains.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: function(*job), jobs))


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Return the median and the range of the values of all seeds."""
    values = np.array(list(values))
    middle, low, high = (f"{v:.{digits}f}" for v in (np.median(values), values.min(), values.max()))
    return f"{middle} ({low}–{high})"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as the tables show it, a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def share(yes: Iterable[bool]) -> str:
    """Return how many are true, of how many."""
    yes = list(yes)
    return f"{sum(map(bool, yes))} of {len(yes)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, its columns aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    marks = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    for row in (header, marks, *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |")
    print(flush=True)
