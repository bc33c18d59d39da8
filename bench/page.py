"""Write docs/numbers.md, the page of all numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from absent import absent
from losses import losses
from peers import TITLES
from pieces import (
    BEYOND,
    FEWEST,
    KINDS,
    PERCENTILES,
    WORKS,
    at,
    column,
    fastest,
    median,
    number,
    of_group,
    percent,
    ratio,
    shown,
    sizes,
    table,
    title,
    with_quartiles,
)
from ticks import HALF, HALF_MASK, ONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Facts = dict[str, Any]
    Cell = Callable[[Facts], str]


DIVIDED = {  # keys of further ratios, and the names of their rows
    "times_empty_call": "{}, in empty calls",
    "backward": "elman's backward pass, in forward passes",
}


def page(machines: dict[str, Facts]) -> str:
    """Return the page of all numbers, with the machines one after the other in each section."""
    several = len(machines) > 1
    parts = ["# The numbers", _introduction(machines), *_beside(machines)]
    said = {name: losses(result) for name, result in machines.items()}
    parts += ["## Where elman loses or ties", _of_each(said, several)]
    for sections in zip(*map(_sections, machines.values()), strict=True):
        heading, text, plot, _ = sections[0]
        bodies = {name: body for name, (*_, body) in zip(machines, sections, strict=True) if body}
        if bodies:
            drawn = plot and next(iter(machines)) in bodies
            image = f"![{heading}](plots/{plot}.svg)" if drawn else ""
            parts += [f"## {heading}", *filter(None, [text, image]), _of_each(bodies, several)]
    return "\n\n".join(parts) + "\n"


def _of_each(bodies: dict[str, str], several: bool) -> str:
    """Return what is said of each machine, under its name if there are several."""
    named = (f"### {name}\n\n{body}" if several else body for name, body in bodies.items())
    return "\n\n".join(named)


def _introduction(machines: dict[str, Facts]) -> str:
    written = ["Written by `python bench/report.py` from what `python bench/run.py` measured:"]
    for name, result in machines.items():
        rounds = max((case["rounds"] for case in result["cases"]), default=0)
        waived = result.get("waived")
        written.append(
            f"`bench/results/{name}.json` on {result['date'][:10]} at {at(result)} in {rounds}"
            f" rounds.{f' What is compiled has changed since: {waived}' if waived else ''}"
        )
    plots = f" The plots are of {next(iter(machines))}." if len(machines) > 1 else ""
    return (
        f"{' '.join(written)}{plots} Method and fairness:"
        " [bench/README.md](../bench/README.md). Values are medians. A ratio is an entry's time"
        " divided by elman's in the same round, with the quartiles of the rounds in brackets; above"
        " 1, elman is faster. A limit cannot be exceeded; a yardstick can."
    )


BESIDE = (
    "What elman reaches, and in brackets the time of the fastest peer, divided by elman's. Each"
    " machine chose its peers from those that it has."
)


def _beside(machines: dict[str, Facts]) -> list[str]:
    """Return a section with a column per machine, if there are several."""
    if len(machines) == 1:
        return []
    rows: dict[str, dict[str, str]] = {}
    for name, result in machines.items():
        for case in (case for group in COMPARED for case in of_group(result, group)):
            row = f"{WORKS[case['work']]}, {column(case)}, {case['unit']}"
            rows.setdefault(row, {})[name] = _with_best(case)
    lines = [[row, *(cells.get(name, "") for name in machines)] for row, cells in rows.items()]
    processors = [result["machine"]["processor"] for result in machines.values()]
    known = [["processor", *processors], ["set", *(r["elman"]["isa"] for r in machines.values())]]
    return ["## The machines side by side", BESIDE, table(["", *machines], [*known, *lines])]


COMPARED = ("step", "sequence", "batch", "pool", "training")


def _with_best(case: Facts) -> str:
    """Return what elman reaches, and the fastest peer."""
    ours, *others = fastest(case).values()
    best = min(others, key=lambda entry: entry["ratio"]["median"], default=None)
    if best is None:
        return median(ours)
    return f"{median(ours)} ({TITLES[best['name']]} {number(best['ratio']['median'])})"


def _sections(result: Facts) -> Iterator[tuple[str, str, str, str]]:
    """Yield the heading, text, plot and tables of each section."""
    one = "One call from Python per step; nanoseconds per step."
    yield "One step", one, "step", comparison(of_group(result, "step"))
    long = (
        "T = 1000 in one call, B = 1; nanoseconds per step. Streaming loads are a yardstick: the"
        " time to read every weight once per step from memory of that size. It is exceeded where"
        " weights stay in registers or in a nearer cache between steps."
    )
    yield "A sequence", long, "sequence", comparison(of_group(result, "sequence"))
    many = "B = 64, T = 100 in one call; GFLOP/s."
    yield "A batch", many, "batch", comparison(of_group(result, "batch"))
    for heading, group in (("Two layers", "deep"), ("float64", "float64")):
        tables = (comparison(of_group(result, group, work), note=True) for work in WORKS)
        yield heading, "", "", "\n\n".join(filter(None, tables))
    tables = (comparison(of_group(result, "threads", work), note=True) for work in WORKS)
    both = "On all cores. The yardsticks are of one core."
    yield "Two threads against one", both, "", "\n\n".join(filter(None, tables))
    yield "A pool of streams", POOL, "pool", _pool(of_group(result, "pool"))
    yield "A free run", GENERATE, "generate", comparison(of_group(result, "generate"))
    yield "A trace", TRACE, "", comparison(of_group(result, "trace"))
    tables = (comparison(of_group(result, "reservoirs", work), note=True) for work in WORKS)
    yield "Echo-state networks", RESERVOIRS, "", "\n\n".join(filter(None, tables))
    yield "Training", TRAINING, "training", comparison(of_group(result, "training"))
    yield "The cost of a million predictions", COST, "cost", _costs(result["cost"])
    yield "Stored sequences", STORED, "", _stored(result.get("stored", []))
    yield "The memory of an update", "", "", _memory(result.get("memory", []))
    tables = (_isas(result, work) for work in WORKS)
    yield "Instruction sets", SETS, "", "\n\n".join(filter(None, tables))
    whole = "Milliseconds of whole processes."
    plot = "imports"
    yield "Import", f"{whole} The first is a bare interpreter.", plot, _processes(result["imports"])
    yield "Cold start", f"{whole} To the first prediction.", "", _processes(result["cold_start"])
    yield "Install", INSTALL, "", _installs(result["install"])
    yield "The tail", TAIL, "tail", _tail(result["tail"])
    yield "Paced steps under load", PACED, "", _paced(result["paced"])
    yield "Limits and yardsticks of the machine", "", "", _hardware(result)
    yield "The machine and the versions", "", "", _machine(result)
    yield "The compilers and their flags", "", "", _flags(result)
    yield "Left out or wrong", "", "", _left_out(result)


def comparison(cases: list[Facts], note: bool = False) -> str:
    """Return a table of medians and a table of ratios, one column per case."""
    if not cases:
        return ""
    shape, unit = cases[0]["shape"], cases[0]["unit"]
    columns = [column(case) for case in cases]
    kinds = ("entries", "limits", "yardsticks")
    medians = [row for kind in kinds for row in _rows(cases, kind, median)]
    ratios = [*_rows(cases, "entries", ratio), *_rows(cases, "yardsticks", ratio)]
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
    """Return a row per entry, limit or yardstick with a cell per case."""
    found = [{title(entry): entry for entry in case[kind]} for case in cases]
    entries = {name: entry for case in found for name, entry in case.items()}
    order = [*TITLES, *(entry["name"] for entry in entries.values())]
    names = sorted(entries, key=lambda name: order.index(entries[name]["name"]))
    return [[name, *(cell(case[name]) if name in case else "" for case in found)] for name in names]


def _spread_of(key: str, entry: Facts) -> str:
    return with_quartiles(entry[key]) if key in entry else ""


def _isas(result: Facts, work: str) -> str:
    """Return tables of each instruction set: its values, and ratios to the best set and NumPy."""
    cases = of_group(result, "isa", work)
    if not cases:
        return ""
    columns = list(dict.fromkeys(map(column, cases)))
    cells: dict[str, Cell] = {
        f"{WORKS[work]}, {cases[0]['unit']}": lambda case: median(case["entries"][0]),
        "speed relative to the best set": lambda case: percent(case["of_best"]["median"]),
        "NumPy's time, divided by elman's": lambda case: ratio(fastest(case)["numpy"]),
    }
    if work == "step":
        cells["in empty calls"] = lambda case: _spread_of("times_empty_call", case["entries"][0])
    if work in ("batch", "update"):
        cells["share of the set's multiply-add"] = lambda case: percent(
            case["limits"][0]["ratio"]["median"]
        )
    tables = []
    for heading, cell in cells.items():
        rows: dict[str, dict[str, str]] = {}
        for case in cases:
            rows.setdefault(case["isa"], {})[column(case)] = cell(case)
        lines = [[isa, *(row.get(name, "") for name in columns)] for isa, row in rows.items()]
        tables.append(table([heading, *columns], lines))
    return "\n\n".join(tables)


SETS = (
    "elman with each instruction set forced, and NumPy, which chooses its own; all in the same"
    " rounds. A share is that of the fastest multiply-adds with the same set; of `scalar`, with the"
    " best. `scalar` is timed on small networks only."
)
TRAINING = (
    "A whole update in one call: forward, backward, clipping by norm and Adam, with the squared"
    " error of all steps as the loss; microseconds. Multiply-add: the time of the arithmetic alone."
)


POOL = (
    "One step of each of n sequences in one call; nanoseconds per row. A random half is two calls,"
    " of half the rows in random order and of the others; by mask, both in the pool's order. The"
    " yardstick is one call over whole sequences of T = 100 steps, with the same n: the speed of a"
    " pool is stated relative to it, and the time per row of a half relative to that of all rows."
    " Where a peer is faster, the page's first section has it."
)


RESERVOIRS = (
    "Dense, in float64, with leaking rate 1: one step per call, one call of T steps, and a ridge"
    " fit of the readout to them. reservoirpy has the weights of elman; those of rclib cannot be"
    " set, so they are found from its states, and the outputs must be those of these weights."
)


GENERATE = (
    "1000 steps after one input, each output the next input; nanoseconds per step. A peer makes a"
    " step per turn of a Python loop, which keeps no outputs, or compiles the loop; `generate`"
    " returns all outputs."
)
TRACE = (
    "`net.trace` with the sums before all activations, beside `net.run` with the states;"
    " nanoseconds per step of a sequence."
)


def _pool(cases: list[Facts]) -> str:
    """Return what a pool adds to the work of one call, and tables of each network."""
    if not cases:
        return ""
    rows = []
    for case in cases:
        modes = {e["mode"]: e["ratio"] for e in case["entries"] if e["name"] == "elman"}
        (whole,) = case["yardsticks"]
        halves = [with_quartiles(modes[key]) if key in modes else "" for key in (HALF, HALF_MASK)]
        stream = number(1 / modes[ONE]["median"]) if ONE in modes else ""
        rows.append([column(case), percent(whole["ratio"]["median"]), *halves, stream])
    header = ["", "speed of one call", "a row of a half", "by mask", "in steps of a stream"]
    groups: dict[str, list[Facts]] = {}
    for case in cases:
        groups.setdefault(sizes(case["shape"]), []).append(case)
    return "\n\n".join([table(header, rows), *map(comparison, groups.values())])


COST = (
    "The same predictions by every peer in its fastest mode, 16 -> 32 -> 4 in float32 on one"
    " processor: a step per call, and batches of 64 sequences of 100 steps. CPU seconds are of all"
    " threads of the process, joules of the whole processor where it tells them. A peer that needs"
    " more than a second is stopped there."
)


def _costs(entries: list[Facts]) -> str:
    """Return a table for each kind of work."""
    tables = []
    for work in dict.fromkeys(facts["work"] for facts in entries):
        of_work = [facts for facts in entries if facts["work"] == work]
        keys = {"times": "s", "cpu": "CPU s"} | ({"joules": "J"} if "joules" in of_work[0] else {})
        rows = [
            [title(facts), *(number(facts["million"][key]) for key in keys), ratio(facts)]
            for facts in of_work
        ]
        header = [f"a million, {WORKS[work]} a call", *keys.values()]
        tables.append(table([*header, f"{keys[of_work[0]['of']]}, divided by elman's"], rows))
    return "\n\n".join(tables)


STORED = (
    "Sequences of 100 steps, 16 -> 64 -> 8 in float32, in a file in the page cache. For Parquet,"
    " reading, running and writing by themselves come first, and the bound is half of their CPU"
    " time together: what two cores allow."
)


def _stored(entries: list[Facts]) -> str:
    """Return a table for each kind of file: sequences a second, ratios, and CPU time."""
    tables = []
    for kind in dict.fromkeys(facts["kind"] for facts in entries):
        of_kind = [facts for facts in entries if facts["kind"] == kind]
        sequences, threads = of_kind[0]["sequences"], of_kind[0]["threads"]
        header = [f"{KINDS[kind]}, {sequences:,} sequences, {threads} threads"]
        header += ["sequences/s", f"time, divided by that of {of_kind[0]['to']}", "CPU ms"]
        rows = [
            [
                facts["name"],
                number(facts["sequences"] / facts["median"] * 1e9),
                ratio(facts),
                number(facts["cpu_ms"]),
            ]
            for facts in of_kind
        ]
        tables.append(table(header, rows))
    return "\n\n".join(tables)


def _memory(entries: list[Facts]) -> str:
    """Return the memory of an update beyond its data, and its growth with the steps."""
    if not entries:
        return ""
    keys = {"an update, MiB": "bytes", "its states, MiB": "states"}
    rows = [[name, *(number(e[key] / 2**20) for e in entries)] for name, key in keys.items()]
    first, last = entries[0], entries[-1]
    grown = [last[key] - first[key] for key in keys.values()]
    shape = last["shape"]
    return "\n\n".join(
        [
            f"{sizes(shape)}, B = {shape['B']}. Peak memory of the first update beyond the memory"
            f" before it, which includes the data. From T = {first['shape']['T']:,} to"
            f" {shape['T']:,} it grows by {number(grown[0] / grown[1])} times the states.",
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


INSTALL = (
    "From nothing to a first prediction: a new environment, a package and what it needs from wheels"
    " on disk, and a process that predicts. Bytes of the environment, all files."
)


def _installs(entries: list[Facts]) -> str:
    if not entries:
        return ""
    rows = [
        [title(facts), number(facts["median"] / 1e3), ratio(facts), number(facts["bytes"] / 1e6)]
        for facts in entries
    ]
    return table(["", "s", "time, divided by elman's", "MB"], rows)


TAIL = (
    "Steps of 16 -> 32 -> 4 on an absolute schedule, in nanoseconds: from when a step was due, and"
    " from when it began. All take turns in blocks of a tenth of a second. Below each is `nothing`"
    " beside it: the same loop in blocks between, which waits for as long as a step usually takes"
    " and so shows the machine's own tail. A percentile is printed if in each fifth of the run it"
    " lies at least twice as far above the median as that of `nothing`, since otherwise the machine"
    " hides it, and if at least ten steps lie beyond it."
)


def _tail(entries: list[Facts]) -> str:
    tables = []
    for kind, words in (("latency", "from when it was due"), ("service", "from when it began")):
        rows = []
        for facts in entries:
            period, steps = f"{facts['period_ns'] / 1000:.0f} µs", f"{facts['steps']:,}"
            cells = [f"{facts[kind][p]:,}" if shown(facts, kind, p) else "–" for p in PERCENTILES]
            rows.append([title(facts), period, steps, *cells])
            beside = [f"{facts['nothing'][kind][p]:,}" for p in PERCENTILES]
            rows.append(["nothing", "", "", *beside])
        if rows:
            tables.append(table([words, "period", "steps", *PERCENTILES.values()], rows))
    clocks = [facts["clock_ns"] for facts in entries if "clock_ns" in facts]
    apart = "Inside the extension, two successive readings of the clock are {:.0f} ns apart."
    tables += map(apart.format, clocks)
    return "\n\n".join(tables)


PACED = (
    "Steps of 16 -> 32 -> 4 on an absolute schedule, in microseconds from when a step was due, and"
    " the median and the 99th percentile from when it began. Missed: steps that were not done when"
    " the next was due. `nothing` is the loop without a step: its times are the machine's. A"
    " neighbour writes over 64 MiB all the time; with garbage collection the program holds 200,000"
    " lists and logs each step; with a sleep, the process sleeps until a step is due, so that"
    " caches are cold. Otherwise the loop waits by reading the clock."
    " [Streaming](streaming.md#latency-under-load) explains how to measure your own loop."
)


def _paced(entries: list[Facts]) -> str:
    """Return a table for each period."""

    def cell(facts: Facts, kind: str, key: str) -> str:
        few = facts["steps"] * BEYOND.get(key, 1) < FEWEST
        return "–" if few else number(facts[kind][key] / 1000)

    keys = {"p50": "median", "p99": "99 %", "p99_9": "99.9 %", "worst": "worst"}
    tables = []
    for period in dict.fromkeys(facts["period_ns"] for facts in entries):
        of_period = [facts for facts in entries if facts["period_ns"] == period]
        rows = [
            [
                f"{facts['condition']}: {title(facts)}",
                *(cell(facts, "latency", key) for key in keys),
                f"{facts['missed']:,} of {facts['steps']:,}",
                *(cell(facts, "service", key) for key in ("p50", "p99")),
            ]
            for facts in of_period
        ]
        header = [f"{1e6 / period:.0f} kHz", *keys.values(), "missed"]
        tables.append(table([*header, "from when it began", "99 %"], rows))
    return "\n\n".join(tables)


def _hardware(result: Facts) -> str:
    limits: dict[str, list[Facts]] = {}
    for limit in result["limits"]:
        limits.setdefault(limit["name"], []).append(limit)
    peaks = [[e["mode"], number(1 / e["median"])] for e in limits.get("multiply-add", [])]
    calls = [[e["mode"], median(e)] for e in limits.get("empty call", [])]
    loads = [
        [f"{load['bytes'] // 1024:,} KiB", number(load["bytes"] / load["median"])]
        for load in result["yardsticks"]
    ]
    return "\n\n".join(
        [
            table(["limit: multiply-add", "GFLOP/s"], peaks),
            table(["limit: an empty method, called per row of an input", "ns"], calls),
            table(["yardstick: streaming loads", "GB/s"], loads),
        ]
    )


def _machine(result: Facts) -> str:
    machine, load, build = dict(result["machine"]), result["load"], result["elman"]
    machine["caches"] = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    facts = machine | {
        "load averages at the start": ", ".join(map(str, load.get("averages", []))),
        **{
            f"{kind} at the start, of all processors": percent(load[kind])
            for kind in ("busy", "stolen")
            if kind in load
        },
        "commit": result.get("commit", "unknown"),
        "differs from the commit": {True: "no", False: "yes"}.get(result.get("clean"), "unknown"),
        "digest of the sources": build["sources"],
        "instruction set": build["isa"],
    }
    facts |= {TITLES.get(name, name): version for name, version in result["versions"].items()}
    return table(["", ""], [[name, str(value)] for name, value in facts.items()])


def _flags(result: Facts) -> str:
    """Return the compilers and flags of elman, and of what was compiled on this machine."""
    build = result["elman"]
    rows = [["elman", build["compiler"]]]
    rows += [[f"elman, {part}", f"`{flags}`"] for part, flags in build["flags"].items()]
    for name, compiled in result["native"].items():
        rows.append([TITLES.get(name, name), compiled["compiler"]])
        rows += [
            [f"{TITLES.get(name, name)}, {file}", f"`{flags}`"]
            for file, flags in compiled.items()
            if file != "compiler"
        ]
    first, *others = table(["", ""], rows).splitlines()
    return "\n".join([first, "|---|---|", *others[1:]])


def _left_out(result: Facts) -> str:
    kinds = {"left_out": "is left out", "wrong": "gives wrong answers"}
    lines = [
        f"- {title({'name': name})} {words}: {why}."
        for kind, words in kinds.items()
        for name, why in result[kind].items()
    ]
    said = "\n".join(lines) or "No peer is missing or gave a wrong answer."
    return "\n\n".join(filter(None, [said, absent(result)]))
