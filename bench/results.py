"""The result file of a machine: it holds the times of every round; all else follows from them.

`load` returns the file with what the pages show: for each entry its median and quartiles in the
unit of its case, and the spread of its ratio to the first entry within a round.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from elman.cli.timing.rounds import ratios, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from elman.cli.timing.rounds import Entry

    Facts = dict[str, Any]

FORMAT = 1
# The machines in the order of the page; the README is of the first. Others follow by name.
MACHINES = ("zen5-avx512", "zen5-avx2")
FORWARD, BOTH = "forward", "forward and backward"  # parts of an update
UNITS = {  # of other work: ns per step
    "batch": "GFLOP/s",
    "update": "µs per update",
    "tick": "ns per row",
    "ridge": "ms per fit",
}


def times_of(entries: Sequence[Entry], times: Sequence[Sequence[float]]) -> list[Facts]:
    """Return the entries with their times in all rounds, in nanoseconds with four digits."""
    return [
        {"name": entry.name, "mode": entry.mode, "times": list(map(short, ns))}
        for entry, ns in zip(entries, times, strict=True)
    ]


def short(ns: float) -> float:
    """Return a time with four digits."""
    value = float(f"{ns:.4g}")
    return int(value) if value.is_integer() else value


def dumps(result: Facts) -> str:
    """Return the text of a result file: indented, each list of numbers on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    numbers = r"\[\s+(-?[\d.e+-]+(?:,\s+-?[\d.e+-]+)*)\s+\]"
    return re.sub(numbers, lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def paths(root: Path) -> list[Path]:
    """Return the result files of a checkout, one for each machine, in their order."""
    found = {path.stem: path for path in sorted((root / "bench" / "results").glob("*.json"))}
    return [found[name] for name in dict.fromkeys([*MACHINES, *found]) if name in found]


def load(path: Path) -> Facts:
    """Return a result file with all that follows from its times."""
    return derived(json.loads(path.read_text(encoding="utf-8")))


def derived(result: Facts) -> Facts:
    """Return a result with all that follows from its times.

    A case with several instruction sets becomes one case for each.
    """
    cases = []
    for case in result["cases"]:
        cases += _of_each_set(case) if case["group"] == "isa" else [_case(case)]
    found = result | {"cases": cases}
    for group in ("imports", "cold_start", "install"):
        found[group] = list(_processes(result.get(group, [])))
    found["paced"] = result.get("paced", [])
    found["cost"] = list(_costs(result.get("cost", [])))
    found["stored"] = list(_stored(result.get("stored", [])))
    for group in ("limits", "yardsticks"):
        found[group] = [entry | spread(entry["times"])._asdict() for entry in result[group]]
    return found


def _case(case: Facts) -> Facts:
    """Return a case, its entries compared with the first."""
    first = case["entries"][0]["times"]

    def value(ns: list[float]) -> Facts:
        of_unit = {
            "batch": lambda t: 2 * case["weights"] / t,
            "update": lambda t: t / 1e3,
            "ridge": lambda t: t / 1e6,
        }
        return spread(list(map(of_unit.get(case["work"], float), ns)))._asdict()

    def entry(facts: Facts) -> Facts:
        ns = facts["times"]
        return facts | value(ns) | {"ratio": ratios(ns, first)._asdict()}

    found = case | {"unit": UNITS.get(case["work"], "ns per step"), "rounds": len(first)}
    for kind in ("entries", "limits", "yardsticks"):
        found[kind] = list(map(entry, case[kind]))
    empty = {call["mode"]: call["times"] for call in case["limits"] if call["name"] == "empty call"}
    modes = {facts["mode"]: facts["times"] for facts in case["entries"] if facts["name"] == "elman"}
    for facts in found["entries"]:
        if facts["name"] != "elman":
            continue
        if facts["mode"] in empty:
            divided = ratios(facts["times"], empty[facts["mode"]])
            facts["times_empty_call"] = divided._asdict()
        if facts["mode"] == BOTH:
            backward = [b - f for b, f in zip(modes[BOTH], modes[FORWARD], strict=True)]
            facts["backward"] = ratios(backward, modes[FORWARD])._asdict()
    return found


def _of_each_set(case: Facts) -> Iterator[Facts]:
    """Yield a case for each instruction set, compared with that set.

    The modes of elman, and of the limits that depend on it, are the sets, the best first.
    """
    ours = [entry for entry in case["entries"] if entry["name"] == "elman"]
    sets = [entry["mode"] for entry in ours]
    others = [entry for entry in case["entries"] if entry["name"] != "elman"]
    for entry in ours:
        isa = entry["mode"]
        limits = [limit for limit in case["limits"] if limit["mode"] in (isa, "out=")]
        if any(limit["name"] == "empty call" for limit in limits):
            entry = entry | {"mode": "out="}
        alone = case | {"isa": isa, "entries": [entry, *others], "limits": limits}
        of_best = ratios(ours[0]["times"], entry["times"])._asdict()
        yield _case(alone) | {"of_best": of_best, "sets": sets}


def _stored(entries: list[Facts]) -> Iterator[Facts]:
    """Yield the ways of each kind of file, compared with the first, or with what two cores allow.

    The bound of Parquet is half of the CPU time of its parts, which are the first three ways.
    """
    for entry in entries:
        of_kind = [facts for facts in entries if facts["kind"] == entry["kind"]]
        to, times = of_kind[0]["name"], of_kind[0]["times"]
        if entry["kind"] == "parquet":
            parts = zip(*(facts["cpu"] for facts in of_kind[:3]), strict=True)
            to, times = "the bound", [sum(cpu) / 2 for cpu in parts]
        ratio = ratios(entry["times"], times)._asdict()
        cpu = {"to": to, "ratio": ratio, "cpu_ms": spread(entry["cpu"]).median / 1e6}
        yield entry | spread(entry["times"])._asdict() | cpu


def _costs(entries: list[Facts]) -> Iterator[Facts]:
    """Yield seconds, CPU seconds and joules of a million predictions, compared with the first.

    The ratio is of joules if there are some, of CPU seconds otherwise.
    """

    def of_a_million(facts: Facts, key: str, unit: float) -> list[float]:
        both = zip(facts[key], facts["predictions"], strict=True)
        return [value / unit * 1e6 / count for value, count in both]

    for entry in entries:
        first = next(facts for facts in entries if facts["work"] == entry["work"])
        keys = {"times": 1e9, "cpu": 1e9} | ({"joules": 1} if "joules" in entry else {})
        found = {key: of_a_million(entry, key, unit) for key, unit in keys.items()}
        key, values = list(found.items())[-1]
        ratio = ratios(values, of_a_million(first, key, keys[key]))._asdict()
        medians = {name: spread(values).median for name, values in found.items()}
        yield entry | {"million": medians, "ratio": ratio, "of": key}


def _processes(entries: list[Facts]) -> Iterator[Facts]:
    """Yield the times of processes in milliseconds, compared with the first."""
    for entry in entries:
        ms, first = ([ns / 1e6 for ns in facts["times"]] for facts in (entry, entries[0]))
        over = spread([a - b for a, b in zip(ms, first, strict=True)])
        ratio = ratios(ms, first)
        spreads = {"ratio": ratio._asdict(), "over": over._asdict()}
        yield entry | {"unit": "ms", **spread(ms)._asdict(), **spreads}
