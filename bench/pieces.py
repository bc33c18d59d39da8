"""Helpers for the pages and plots: select results, and format numbers and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from peers import TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Facts = dict[str, Any]

NARROW = 1.1  # below this ratio of a peer's time to elman's, elman is barely ahead, or behind
WORKS = {
    "step": "one step",
    "sequence": "a sequence",
    "batch": "a batch",
    "tick": "a tick of a pool",
    "generate": "a free run",
    "trace": "a trace",
    "update": "an update of training",
    "ridge": "a ridge fit",
}
KINDS = {"npy": "NPY", "parquet": "Parquet"}  # kinds of files
PERCENTILES = {"p50": "median", "p99": "99 %", "p99_9": "99.9 %", "p99_99": "99.99 %"}
BEYOND = {"p99": 1e-2, "p99_9": 1e-3, "p99_99": 1e-4}  # the shares of steps beyond a percentile
FEWEST = 10  # steps beyond a percentile that is shown


def number(value: float) -> str:
    """Return a number with three significant digits, or as an integer above 1000."""
    digits = 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))) if value else 0
    return f"{value:,.{max(0, digits)}f}"


def percent(part: float) -> str:
    """Return a fraction in percent."""
    return f"{100 * part:.0f} %"


def table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    first, *others = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([first, f"|---{'|---:' * (len(header) - 1)}|", *others])


def title(facts: Facts) -> str:
    """Return the title of an entry, with its mode."""
    name = TITLES.get(facts["name"], facts["name"])
    return f"{name}, {facts['mode']}" if facts.get("mode") else name


def sizes(shape: Facts) -> str:
    """Return the sizes from the input to the output, as in "16 -> 32 -> 4"."""
    return " -> ".join(map(str, [shape["I"], *[shape["H"]] * shape["layers"], shape["O"]]))


def column(case: Facts) -> str:
    """Return what distinguishes a case within its group."""
    T, B = case["shape"]["T"], case["shape"]["B"]
    more = {"update": f", T = {T}, B = {B}", "trace": f", T = {T}, B = {B}", "tick": f", n = {B:,}"}
    return sizes(case["shape"]) + more.get(case["work"], "")


def of_group(result: Facts, group: str, work: str | None = None) -> list[Facts]:
    """Return the cases of a group, or of one kind of work in it."""
    return [c for c in result["cases"] if c["group"] == group and work in (None, c["work"])]


def fastest(case: Facts) -> dict[str, Facts]:
    """Return the first entry of elman, and the fastest entry of each peer."""
    found: dict[str, Facts] = {}
    for entry in case["entries"]:
        other = found.setdefault(entry["name"], entry)
        if entry["name"] != "elman" and entry["ratio"]["median"] < other["ratio"]["median"]:
            found[entry["name"]] = entry
    return found


def shown(facts: Facts, kind: str, key: str) -> bool:
    """Return whether a percentile of the tail says something of the step, and not of the machine.

    At least 10 steps must lie beyond it, and in every part of the run it must lie at least twice as
    far above the median as that of `nothing`.
    """
    if key == "p50":
        return True
    ours, machines = (_above(found[kind]["parts"], key) for found in (facts, facts["nothing"]))
    apart = all(above >= 2 * machine for above, machine in zip(ours, machines, strict=True))
    return apart and facts["steps"] * BEYOND[key] >= FEWEST


def _above(parts: Facts, key: str) -> list[float]:
    return [ns - usual for ns, usual in zip(parts[key], parts["p50"], strict=True)]


def named(entries: Iterable[Facts], name: str) -> Facts | None:
    """Return the first entry of this name, if there is one."""
    return next((entry for entry in entries if entry["name"] == name), None)


def median(facts: Facts) -> str:
    """Return a median."""
    return number(facts["median"])


def with_quartiles(spread: Facts) -> str:
    """Return a median, with its quartiles if they differ."""
    values = [number(spread[key]) for key in ("median", "low", "high")]
    return values[0] if len(set(values)) == 1 else "{} ({} to {})".format(*values)


def at(result: Facts) -> str:
    """Return the commit of a result, in words."""
    if "commit" not in result:
        return f"the sources {result['elman']['sources']}"
    return f"commit {result['commit'][:10]}{'' if result['clean'] else ' with changes'}"


def ratio(facts: Facts) -> str:
    """Return the ratio of an entry with its quartiles."""
    return with_quartiles(facts["ratio"])
