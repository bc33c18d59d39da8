"""Measure elman and its peers, and write the result file.

python bench/run.py --machine-name NAME                     # into bench/results/NAME.json
python bench/run.py --machine-name NAME --sets avx512,avx2  # NAME-avx512.json, NAME-avx2.json
python bench/run.py --machine-name NAME --publish           # and the README's table, page, plots
python bench/run.py --quick         # three sizes, few rounds; only prints
python bench/run.py --cases step,sequence --peers numpy,jax --rounds 5 --output some.json
"""

# ruff: noqa: E402 - set the number of threads before the imports
from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers

peers.one_thread()

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import cases
import cost
import elman
import generating
import hardware
import installs
import machine
import measure
import memory
import paced
import pools
import processes
import reservoirs
import results
import sources
import tail
import tracing
import training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from elman.cli.timing.base import Peer

    Facts = dict[str, Any]
    Peers = dict[str, type[Peer]]

GROUPS = {
    **cases.GROUPS,
    "pool": pools.POOLS,
    "generate": generating.GENERATES,
    "trace": tracing.TRACES,
    "training": training.UPDATES,
}
MEASURES = {  # of these works and groups; of others: measure.measure
    "update": training.measure,
    "tick": pools.measure,
    "generate": generating.measure,
    "trace": tracing.measure,
    "reservoirs": reservoirs.measure,
}
GROUPS["reservoirs"] = reservoirs.RESERVOIRS
GROUPS["isa"] = [*cases.GROUPS["isa"], *training.OF_SETS]
OTHER_CASES = ("cost", "stored", "memory", "imports", "cold_start", "install", "tail", "paced")
# Measured once, with the first set: they compare sets, threads, processes, or a step as it is.
OF_ONE_SET = ("threads", "reservoirs", "isa", *OTHER_CASES)
OTHER_SOURCES = "This build of elman was compiled from other sources than those of this checkout."
# What takes seconds a turn has fewer rounds.
MOST_ROUNDS = {"cost": 2, "stored": 3, "imports": 7, "cold_start": 7, "install": 2}
QUICK = {
    "cases": ["step", "sequence", "batch", "pool", "generate", "trace", "training", "imports"],
    "sizes": ["32", "128", "256"],
    "rounds": 5,
}
RESULTS = Path(__file__).parent / "results"
REPORT = Path(__file__).with_name("report.py")
(TAIL_CASE,) = cases.each("tail", "step", [(16, 32, 4)])


def main() -> None:
    arguments = _arguments()
    if arguments.sets:
        of_sets(arguments, sys.argv[1:])
    else:
        measure_all(arguments)
    if arguments.publish:
        subprocess.run([sys.executable, REPORT], check=True)


def measure_all(arguments: argparse.Namespace) -> None:
    """Measure in this process; write and print the result."""
    console = Console()
    if elman.build_info()["sources"] != sources.digest():
        console.print(OTHER_SOURCES)
    if arguments.output:  # before the measurements, if the folder cannot be made
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        result = run(arguments, progress)
    if arguments.output:
        arguments.output.write_text(results.dumps(result), encoding="utf-8")
    show(console, results.derived(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)

    def names(known: Iterable[str]) -> Callable[[str], list[str]]:
        def split(text: str) -> list[str]:
            if unknown := set(filter(None, text.split(","))) - set(known):
                words = f"expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}"
                raise argparse.ArgumentTypeError(words)
            return [name for name in known if name in text.split(",")]

        return split

    groups = [*GROUPS, *OTHER_CASES]
    sizes = [str(H) for H in sorted({case.H for group in GROUPS.values() for case in group})]
    for option, known, of in (
        ("--cases", groups, ""),
        ("--sizes", sizes, "hidden sizes: "),
        ("--peers", list(peers.TITLES), ""),
    ):
        parser.add_argument(
            option, type=names(known), default=known, metavar="A,B", help=of + ", ".join(known)
        )
    parser.add_argument("--rounds", type=positive(int), default=9, help="default: 9")
    parser.add_argument("--tail-seconds", type=positive(float), default=3.0, help="of each entry")
    parser.add_argument(
        "--paced-seconds", type=positive(float), default=1.0, help="of each entry and load"
    )
    parser.add_argument(
        "--machine-name", type=machine_name, metavar="NAME", help="write bench/results/NAME.json"
    )
    parser.add_argument(
        "--sets",
        type=names(elman.available_isas()[::-1]),
        help="measure with each of these sets, in a process for each, the best first; what does not"
        " depend on the set is measured once",
    )
    parser.add_argument(
        "--publish",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="then write the README's table, the page and the plots",
    )
    parser.add_argument("--output", type=Path, help="write this file")
    parser.add_argument(
        "--quick", action="store_true", help="some cases and few rounds; only print"
    )
    parser.set_defaults(**(QUICK if "--quick" in sys.argv else {}))
    arguments = parser.parse_args()
    named = arguments.output or arguments.machine_name or arguments.quick
    if not named or (arguments.sets and arguments.output):
        parser.error("expected --machine-name NAME, --quick, or --output FILE without --sets")
    if arguments.machine_name and arguments.output:
        parser.error("expected --machine-name NAME or --output FILE, got both")
    if arguments.publish and not arguments.machine_name:
        parser.error("--publish: expected --machine-name NAME, whose file is published")
    if arguments.machine_name:
        arguments.output = RESULTS / f"{arguments.machine_name}.json"
    return arguments


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """Return a function that reads a number above 0."""

    def read(text: str) -> float:
        try:
            if 0 < (value := kind(text)) < float("inf"):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")

    return read


def machine_name(text: str) -> str:
    """Return the name of a machine if it can be the name of a file and an anchor."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"expected words such as zen5-avx2, got {text!r}")
    return text


def of_sets(arguments: argparse.Namespace, words: list[str]) -> None:
    """Run this command with each set forced, for elman and the peers that allow it."""
    name, chosen = arguments.machine_name, arguments.cases
    for isa in arguments.sets:
        run = [sys.executable, __file__, *words, "--sets", "", "--no-publish"]
        run += ["--cases", ",".join(chosen)]
        run += ["--machine-name", f"{name}-{isa}"] if name else []
        subprocess.run(run, check=True, env=os.environ | {"ELMAN_ISA": isa})
        chosen = [group for group in chosen if group not in OF_ONE_SET]


def run(arguments: argparse.Namespace, progress: Progress) -> Facts:
    """Return the results: one group of cases after another, on one processor if possible."""
    load = machine.load()
    with measure.pinned():
        found, left_out = peers.available(dict.fromkeys(["elman", *arguments.peers]))
        result: Facts = {
            "format": results.FORMAT,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **machine.commit(),
            "machine": machine.machine(),
            "load": load,
            "versions": machine.versions(),
            "elman": elman.build_info(),
            "native": native_builds(found),
            **machine.measure_hardware(arguments.rounds),
            "left_out": left_out,
            "wrong": {},
            "seconds": {},
            "cases": [],
            **{name: [] for name in OTHER_CASES},
        }
        for group in arguments.cases:
            start = time.perf_counter()
            if group in GROUPS:
                measure_group(group, arguments, found, progress, result)
            else:
                measure_other(group, arguments, found, progress, result)
            result["seconds"][group] = round(time.perf_counter() - start, 1)
    return result


def measure_group(
    group: str, arguments: argparse.Namespace, found: Peers, progress: Progress, result: Facts
) -> None:
    """Add the cases of a group to the result."""
    if group == "reservoirs":
        result["left_out"] |= reservoirs.missing()
    if group == "threads" and not measure.several():
        result["left_out"]["threads"] = "two threads need two processors"
    chosen = [case for case in GROUPS[group] if str(case.H) in arguments.sizes]
    chosen = [case for case in chosen if case.threads == 1 or measure.several()]
    for case in progress.track(chosen, description=group):
        measured = MEASURES.get(case.group, MEASURES.get(case.work, measure.measure))
        facts, wrong = measured(case, found, arguments.rounds)
        result["cases"].append(facts)
        result["wrong"] |= wrong


def measure_other(
    name: str, arguments: argparse.Namespace, found: Peers, progress: Progress, result: Facts
) -> None:
    """Add what is not a group of cases to the result."""
    rounds = min(arguments.rounds, MOST_ROUNDS.get(name, arguments.rounds))
    others = {
        "cost": lambda done: cost.cost(found, rounds, done),
        "stored": lambda done: (stored(rounds, done), {}),
        "memory": lambda done: (memory.memory(done), {}),
        "imports": lambda done: (processes.imports(found, rounds, done), {}),
        "cold_start": lambda done: (processes.cold_start(found, rounds, done), {}),
        "install": lambda done: installs.installs(found, rounds, done),
        "tail": lambda done: tail.tail(TAIL_CASE, found, arguments.tail_seconds, done),
        "paced": lambda done: paced.paced(TAIL_CASE, found, arguments.paced_seconds, done),
    }
    task = progress.add_task(name, total=None)
    result[name], said = others[name](partial(progress.advance, task))
    result["left_out" if name == "install" else "wrong"] |= said


def stored(rounds: int, done: Callable[[], object]) -> list[Facts]:
    """Return the times of stored sequences, on all processors."""
    with measure.pinned(one=False):
        return processes.stored(rounds, done=done)


def native_builds(found: Iterable[str]) -> Facts:
    """Return the compiler and flags of what was compiled for this machine."""
    builds = {"hardware": hardware.compiled_with()}
    if "eigen" in found:
        from peers import eigen, native

        builds["eigen"] = native.compiled_with(eigen.plain)
    if "libxsmm" in found:
        from peers import libxsmm, native

        builds["libxsmm"] = native.compiled_with(libxsmm.cell)
    return builds


def show(console: Console, result: Facts) -> None:
    """Print the result as tables."""
    for facts in result["cases"]:
        shape = facts["shape"]
        title = (
            f"{facts['group']}: {facts['work']} of {shape['I']}, {shape['H']}, {shape['O']},"
            f" B = {shape['B']}, {shape['layers']} layers, {facts['dtype']}, {facts['isa']}"
        )
        table = _table(title, facts["unit"], "times", "quartiles", "empty calls")
        for entry in [*facts["entries"], *facts["limits"], *facts["yardsticks"]]:
            ratio = entry["ratio"]
            table.add_row(
                _name(entry),
                f"{entry['median']:,.1f}",
                f"{ratio['median']:.2f}",
                f"{ratio['low']:.2f} - {ratio['high']:.2f}",
                *(f"{entry[key]['median']:.1f}" for key in ("times_empty_call",) if key in entry),
            )
        console.print(table)
    table = _table("memory", "MiB of an update", "MiB of its states")
    for facts in result["memory"]:
        values = [f"{facts[key] / 2**20:.1f}" for key in ("bytes", "states")]
        table.add_row(f"T = {facts['shape']['T']}", *values)
    if result["memory"]:
        console.print(table)
    table = _table("cost of a million", "s", "CPU s", "J", "times")
    for facts in result["cost"]:
        units = (facts["million"].get(key) for key in ("times", "cpu", "joules"))
        cells = ("" if value is None else f"{value:.4g}" for value in units)
        table.add_row(f"{facts['work']}: {_name(facts)}", *cells, f"{facts['ratio']['median']:.2f}")
    if result["cost"]:
        console.print(table)
    table = _table("stored", "sequences/s", "times the first", "CPU ms")
    for facts in result["stored"]:
        values = facts["sequences"] / facts["median"] * 1e9, facts["ratio"]["median"]
        name = f"{facts['kind']}: {facts['name']}"
        table.add_row(name, f"{values[0]:,.0f}", f"{values[1]:.2f}", f"{facts['cpu_ms']:.1f}")
    if result["stored"]:
        console.print(table)
    for group in ("imports", "cold_start", "install"):
        table = _table(group, "ms", "over the first", "times", "MB")
        for facts in result[group]:
            table.add_row(
                _name(facts),
                f"{facts['median']:.1f}",
                f"{facts['over']['median']:.1f}",
                f"{facts['ratio']['median']:.2f}",
                f"{facts['bytes'] / 1e6:.1f}" if "bytes" in facts else "",
            )
        if result[group]:
            console.print(table)
    for kind in ("service", "latency"):
        table = _table(f"tail: {kind}, ns", *tail.PERCENTILES)
        for facts in result["tail"]:
            names = f"{_name(facts)}, {facts['period_ns'] / 1000:.0f} us", "  nothing"
            for name, found in zip(names, (facts[kind], facts["nothing"][kind]), strict=True):
                table.add_row(name, *(f"{found[p]:,}" for p in tail.PERCENTILES))
        if result["tail"]:
            console.print(table)
    table = _table("paced: from when it was due, ns", *paced.KEYS, "missed")
    for facts in result["paced"]:
        name = f"{facts['condition']}, {facts['period_ns'] // 1000} us: {_name(facts)}"
        cells = (f"{facts['latency'][key]:,}" for key in paced.KEYS)
        table.add_row(name, *cells, f"{facts['missed']:,}")
    if result["paced"]:
        console.print(table)
    for kind in ("left_out", "wrong"):
        for name, sentence in result[kind].items():
            console.print(f"{kind.replace('_', ' ')}: {_name({'name': name})}: {sentence}")
    seconds = ", ".join(f"{group} {taken:.0f}" for group, taken in result["seconds"].items())
    console.print(f"seconds: {seconds}; together {sum(result['seconds'].values()):.0f}")


def _table(title: str, *columns: str) -> Table:
    table = Table("", title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _name(facts: Facts) -> str:
    name = peers.TITLES.get(facts["name"], facts["name"])
    return f"{name}, {facts['mode']}" if facts.get("mode") else name


if __name__ == "__main__":
    main()
