"""The page of all numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from losses import losses
from peers import TITLES
from pieces import (
    PERCENTILES,
    WORKS,
    column,
    fastest,
    median,
    number,
    of_group,
    percent,
    ratio,
    sizes,
    table,
    title,
    with_quartiles,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Facts = dict[str, Any]
    Cell = Callable[[Facts], str]


DIVIDED = {  # what some entries have been divided by, and what that is called
    "times_empty_call": "{}, in empty calls",
    "backward": "elman's backward pass, in forward passes",
}


def page(result: Facts) -> str:
    """Return the page of all numbers."""
    parts = ["# The numbers", _introduction(result), "## Where elman loses or ties", losses(result)]
    for heading, text, plot, body in _sections(result):
        if body:
            image = f"![{heading}](plots/{plot}.svg)" if plot else ""
            parts += [f"## {heading}", *filter(None, [text, image]), body]
    return "\n\n".join(parts) + "\n"


def _introduction(result: Facts) -> str:
    rounds = max((case["rounds"] for case in result["cases"]), default=0)
    return (
        "Made by `python bench/report.py` from `bench/results.json`, which `python bench/run.py`"
        f" wrote on {result['date'][:10]}, in {rounds} rounds. How it is measured, and what makes"
        " it fair: [bench/README.md](../bench/README.md). Values are medians. A ratio is the time"
        " of an entry divided by that of elman in the same round, with the quartiles of the rounds"
        " in brackets; above 1, elman is faster."
    )


def _sections(result: Facts) -> Iterator[tuple[str, str, str, str]]:
    """Yield heading, text, plot and tables of each section."""
    one = "One call from Python for each step; nanoseconds per step."
    yield "One step", one, "step", comparison(of_group(result, "step"))
    long = (
        "T = 1000 in one call, B = 1; nanoseconds per step. Streaming loads: the time to read every"
        " weight once per step from memory of that size. It is exceeded where weights stay in"
        " registers or in a nearer cache between steps."
    )
    yield "A sequence", long, "sequence", comparison(of_group(result, "sequence"))
    many = "B = 64, T = 100 in one call; GFLOP/s."
    yield "A batch", many, "batch", comparison(of_group(result, "batch"))
    for heading, group in (("Two layers", "deep"), ("float64", "float64")):
        tables = (comparison(of_group(result, group, work), note=True) for work in WORKS)
        yield heading, "", "", "\n\n".join(filter(None, tables))
    tables = (comparison([case], note=True) for case in of_group(result, "threads"))
    yield "Two threads against one", "On all cores.", "", "\n\n".join(tables)
    yield "Training", TRAINING, "training", comparison(of_group(result, "training"))
    yield "The memory of an update", "", "", _memory(result.get("memory", []))
    yield "Instruction sets", "", "", "\n\n".join(filter(None, (_isas(result, w) for w in WORKS)))
    whole = "Milliseconds of whole processes."
    plot = "imports"
    yield "Import", f"{whole} The first is a bare interpreter.", plot, _processes(result["imports"])
    yield "Cold start", f"{whole} To the first prediction.", "", _processes(result["cold_start"])
    yield "The tail", TAIL, "tail", _tail(result["tail"])
    yield "The limits of the machine", "", "", _limits(result["limits"])
    yield "The machine and the versions", "", "", _machine(result)
    yield "Left out or wrong", "", "", _left_out(result)


def comparison(cases: list[Facts], note: bool = False) -> str:
    """Return a table of medians and one of ratios, with a case in each column."""
    if not cases:
        return ""
    shape, unit = cases[0]["shape"], cases[0]["unit"]
    columns = [column(case) for case in cases]
    medians = [*_rows(cases, "entries", median), *_rows(cases, "limits", median)]
    ratios = _rows(cases, "entries", ratio)
    for key, name in DIVIDED.items():
        rows = _rows(cases, "entries", partial(_spread_of, key))
        ratios += [[name.format(entry), *cells] for entry, *cells in rows if any(cells)]
    if cases[0]["work"] != "step":
        shares = _rows(cases, "limits", lambda limit: percent(limit["ratio"]["median"]))
        ratios += [[f"share of {name} that elman reaches", *cells] for name, *cells in shares]
    tables = [table([unit, *columns], medians), table(["ratio", *columns], ratios)]
    if note:
        tables.insert(0, f"{WORKS[cases[0]['work']].capitalize()} of T = {shape['T']}:")
    return "\n\n".join(tables)


def _rows(cases: list[Facts], kind: str, cell: Cell) -> list[list[str]]:
    """Return a row for each entry, or each limit, with a cell for each case."""
    found = [{title(entry): entry for entry in case[kind]} for case in cases]
    entries = {name: entry for case in found for name, entry in case.items()}
    order = [*TITLES, *(entry["name"] for entry in entries.values())]
    names = sorted(entries, key=lambda name: order.index(entries[name]["name"]))
    return [[name, *(cell(case[name]) if name in case else "" for case in found)] for name in names]


def _spread_of(key: str, entry: Facts) -> str:
    return with_quartiles(entry[key]) if key in entry else ""


def _isas(result: Facts, work: str) -> str:
    """Return what each instruction set does, and against the best one and NumPy."""
    cases = of_group(result, "isa", work)
    if not cases:
        return ""
    columns = list(dict.fromkeys(sizes(case["shape"]) for case in cases))
    cells: dict[str, Cell] = {
        f"{WORKS[work]}, {cases[0]['unit']}": lambda case: median(case["entries"][0]),
        "speed, of the best set's": _of_best,
        "time of NumPy, divided by elman's": lambda case: ratio(fastest(case)["numpy"]),
    }
    if work == "batch":
        cells["share of multiply-add"] = lambda case: percent(case["limits"][0]["ratio"]["median"])
    tables = []
    for heading, cell in cells.items():
        rows: dict[str, dict[str, str]] = {}
        for case in cases:
            rows.setdefault(case["isa"], {})[sizes(case["shape"])] = cell(case)
        lines = [[isa, *(row.get(column, "") for column in columns)] for isa, row in rows.items()]
        tables.append(table([heading, *columns], lines))
    return "\n\n".join(tables)


def _of_best(case: Facts) -> str:
    """Return the speed of a set as a part of the best one's, whose entries come second."""
    ours = [entry for entry in case["entries"] if entry["name"] == "elman"]
    is_best = case["isa"] not in ours[0]["mode"]
    return percent(1 if is_best else ours[len(ours) // 2]["ratio"]["median"])


TRAINING = (
    "A whole update in one call: forward, backward, clipping by norm and Adam, with the squared"
    " error of all steps as the loss; microseconds. Multiply-add: the time of the arithmetic alone."
)


def _memory(entries: list[Facts]) -> str:
    """Return how much an update takes over its data, and how that grows with the steps."""
    if not entries:
        return ""
    keys = {"an update, MiB": "bytes", "its states, MiB": "states"}
    rows = [[name, *(number(e[key] / 2**20) for e in entries)] for name, key in keys.items()]
    first, last = entries[0], entries[-1]
    grown = [last[key] - first[key] for key in keys.values()]
    shape = last["shape"]
    return "\n\n".join(
        [
            f"{sizes(shape)}, B = {shape['B']}. What the first update takes over what was there"
            f" before it, the data included. From T = {first['shape']['T']:,} to {shape['T']:,} it"
            f" grows by {number(grown[0] / grown[1])} times the states.",
            table(["", *(f"T = {e['shape']['T']:,}" for e in entries)], rows),
        ]
    )


def _processes(entries: list[Facts]) -> str:
    if not entries:
        return ""
    rows = [
        [title(facts), with_quartiles(facts), with_quartiles(facts["over"]), ratio(facts)]
        for facts in entries
    ]
    return table(["", "ms", f"over {entries[0]['name']}", "times"], rows)


TAIL = (
    "Steps of 16 -> 32 -> 4 on an absolute schedule, in nanoseconds: from when a step was due, and"
    " from when it began. `nothing` is the same loop without a step: the machine's own tail. Each"
    " entry is measured once, one after the other, so what is above 99 % depends on what else the"
    " machine does."
)


def _tail(entries: list[Facts]) -> str:
    tables = []
    for kind, words in (("latency", "from when it was due"), ("service", "from when it began")):
        rows = [
            [title(facts), f"{facts['period_ns'] / 1000:.0f} µs", f"{facts[kind]['steps']:,}"]
            + [f"{facts[kind][name]:,.0f}" for name in PERCENTILES]
            for facts in entries
            if kind in facts
        ]
        if rows:
            tables.append(table([words, "period", "steps", *PERCENTILES.values()], rows))
    clocks = [facts["clock_ns"] for facts in entries if "clock_ns" in facts]
    tables += [f"Two readings of the clock take {clock:.0f} ns of each." for clock in clocks]
    return "\n\n".join(tables)


def _limits(limits: Facts) -> str:
    peaks = [[name, number(value)] for name, value in limits["fma_peak"].items()]
    calls = [[name, number(value)] for name, value in limits["empty_call_ns"].items()]
    loads = [
        [f"{load['bytes'] // 1024:,} KiB", number(load["gigabytes_per_second"])]
        for load in limits["bandwidth"]
    ]
    return "\n\n".join(
        [
            table(["multiply-add", "GFLOP/s"], peaks),
            table(["an empty method, called for each row of an input", "ns"], calls),
            table(["streaming loads", "GB/s"], loads),
        ]
    )


def _machine(result: Facts) -> str:
    machine = dict(result["machine"])
    machine["caches"] = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    facts = machine | {TITLES.get(k, k): v for k, v in result["versions"].items()}
    return table(["", ""], [[name, str(value)] for name, value in facts.items()])


def _left_out(result: Facts) -> str:
    lines = [f"- {TITLES[name]} is left out: {why}." for name, why in result["left_out"].items()]
    lines += [f"- {TITLES[name]} answers wrongly: {why}." for name, why in result["wrong"].items()]
    return "\n".join(lines) or "None."
