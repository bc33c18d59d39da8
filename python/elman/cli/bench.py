"""`elman bench`: time a network in C++, NumPy and pure Python, in interleaved rounds."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import elman
from elman import reference
from elman.cli import layout, models, report, timing
from elman.cli.timing import answers, rounds
from elman.cli.timing.base import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console

    from elman._network import Network

    Facts = dict[str, Any]

ROUNDS = 9
WORKS = {"step": (200,), "sequence": (1000,), "batch": (64, 100)}  # the shapes of the inputs
LEGEND = (
    "Nanoseconds per step, and the ratio to elman's (times). step: one call per step; sequence:"
    " 1000 steps in one call; batch: 64 sequences of 100 steps in one call."
)


def bench(model: str | None, sizes: Iterable[int], as_json: bool) -> None:
    """Time the network in a model file, or built-in networks of these hidden sizes."""
    networks = [_built_in(H) for H in sizes] if model is None else [models.load(model)]
    facts: Facts = {"elman": elman.__version__, "left_out": {}, "networks": []}

    from rich.console import Console
    from rich.progress import Progress

    quiet = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("timing", total=len(networks) * len(WORKS) * ROUNDS)
        for net in networks:
            facts["networks"].append(measure(net, lambda: bar.advance(task)))
    if as_json:
        report.print_json(facts)
    else:
        _show(Console(highlight=False), facts)


def _built_in(hidden_size: int) -> Network:
    I, H, O = next(sizes for sizes in timing.SIZES if sizes[1] == hidden_size)
    return elman.Network(input_size=I, hidden_size=H, output_size=O, seed=0)


def measure(net: Network, done: Callable[[], object]) -> Facts:
    """Check the answers of each way to compute a network, then return its nanoseconds per step.

    The first entry of each kind of work is elman; ratios are relative to it.
    """
    facts: Facts = {
        "sizes": report.sizes(net),
        "parameters": net.num_parameters,
        "dtype": str(net.dtype),
        "isa": net.isa,
        "left_out": {},
        "wrong": {},
    }
    prepared = {}
    for name in timing.TITLES:
        try:
            prepared[name] = timing.peer(name)(net)
        except Unsupported as why:
            facts["left_out"][name] = str(why)
    for work, shape in WORKS.items():
        x = report.random_inputs(net, shape, seed=0).astype(net.dtype)
        net.verify(x)  # exact bounds for every network, unlike `answers`
        entries = answers.entries("elman", prepared["elman"], work, x)
        expected = reference.run(net, x).output
        for name, peer in prepared.items():
            if name == "elman":
                continue
            try:
                entries += answers.checked(name, peer, work, x, expected, net.num_parameters)
            except answers.Wrong as error:
                facts["wrong"].setdefault(name, f"{work}: {error}")
        times = rounds.interleave(entries, ROUNDS, done=done)
        facts[work] = [
            {
                "name": entry.name,
                "mode": entry.mode,
                "ns_per_step": rounds.spread(ns)._asdict(),
                "ratio": rounds.ratios(ns, times[0])._asdict(),
            }
            for entry, ns in zip(entries, times, strict=True)
        ]
    return facts


def _show(console: Console, facts: Facts) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    for network in facts["networks"]:
        layout.print_text(
            console,
            f"[bold]{network['sizes']}[/bold], {network['parameters']} parameters in"
            f" {network['dtype']}, on {network['isa']}",
        )
        table = Table(Column(no_wrap=True), box=SIMPLE_HEAD)
        for title in chain.from_iterable((work, "times") for work in WORKS):
            table.add_column(title, justify="right")
        fastest = {work: _fastest(network[work]) for work in WORKS}
        for name in (name for name in timing.TITLES if name in fastest["step"]):
            cells = (_cells(found.get(name)) for found in fastest.values())
            table.add_row(timing.TITLES[name], *chain.from_iterable(cells))
        layout.print_table(console, table)
        _show_absent(console, network)
    layout.print_text(console, f"\n{LEGEND}")


def _cells(entry: Facts | None) -> tuple[str, str]:
    if entry is None:
        return "", ""
    return f"{entry['ns_per_step']['median']:,.0f}", f"{entry['ratio']['median']:,.1f}"


def _fastest(entries: list[Facts]) -> dict[str, Facts]:
    """Return the first entry, which all are compared with, and the fastest of each other name."""
    first, *others = entries
    slowest_first = sorted(others, key=lambda entry: -entry["ns_per_step"]["median"])
    return {entry["name"]: entry for entry in [*slowest_first, first]}


def _show_absent(console: Console, facts: Facts) -> None:
    for key, words in (("left_out", "is left out"), ("wrong", "gives wrong answers")):
        for name, sentence in facts[key].items():
            text = f"{timing.TITLES[name]} {words}: {sentence}"
            layout.print_text(console, text, markup=False)
