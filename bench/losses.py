"""List the comparisons in which elman loses, ties or is barely ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman.cli.timing.rounds import ratios
from peers import TITLES
from pieces import (
    KINDS,
    NARROW,
    PERCENTILES,
    WORKS,
    column,
    named,
    number,
    percent,
    shown,
    table,
    title,
    with_quartiles,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    Facts = dict[str, Any]
    Comparison = tuple[str, str, Facts]  # the work, the peer, and the spread of the ratio

SCALAR = (
    "`scalar` (one lane, the C library's `fma`) defines the results and is not optimized for speed."
)


# Why elman is behind, by kinds of work. The shares of the time are samples of the program counter
# (`perf record`) in 16 -> 32 -> 4 on a Zen 5.
REASONS = {
    ("sequence",): "One sequence of 64 units: 64 rows have two partial sums, which suits AVX-512;"
    " with one, AVX2 takes 0.93 times as long (`cpp/src/kernels/table.hpp`).",
    ("batch", "tick"): "Batches and pools of few units: with AVX2 the products take 54 % of the"
    " time, at 98 % of the limit, tanh and sigmoid 29 %. The tanh of elman is within 1.17 units in"
    " the last place, on every set the same; XLA's is within 4.4, Eigen's, which LIBXSMM's entries"
    " use, 4.6, ONNX Runtime's 5.1. With 256 units elman and the nearest peers reach 84 to 90 % of"
    " the limit.",
    ("update",): "Training: LIBXSMM's entry is a program for one network, written for this"
    " benchmark. Its data are laid out before the first update, nothing is checked, and sums are"
    " added in any order. `Trainer.update` takes new arrays: to check and copy them takes 10 % of"
    " an update of 16 -> 32 -> 4 with AVX-512, tanh 10 %, and outputs, four of which fill a vector"
    " of sixteen, 7 %. In an update of 1 -> 2 -> 1, Python takes half of the time.",
}


def losses(result: Facts) -> str:
    """Return the comparisons in which elman is barely ahead, or behind, and why."""
    forced = [c for c in result["cases"] if c["group"] == "isa" and c["isa"] != "scalar"]
    of_reservoirs = [case for case in result["cases"] if case["group"] == "reservoirs"]
    parts = [_narrow("", comparisons(result)), *reasons(result)]
    if of_reservoirs:
        parts.append(_narrow("With echo-state networks: of", list(_of_cases(of_reservoirs))))
    if forced:
        parts += [_narrow("With an instruction set forced: of", list(_of_cases(forced))), SCALAR]
    return "\n\n".join(parts)


def reasons(result: Facts) -> list[str]:
    """Return why elman is not ahead, for each kind of work in which it is not."""
    behind = {
        case["work"]
        for case in _usual(result)
        for entry in case["entries"]
        if entry["name"] != "elman" and entry["ratio"]["low"] <= 1
    }
    return [reason for works, reason in REASONS.items() if behind.intersection(works)]


def _usual(result: Facts) -> list[Facts]:
    return [case for case in result["cases"] if case["group"] not in ("isa", "reservoirs")]


def comparisons(result: Facts) -> list[Comparison]:
    """Return the comparisons with a peer that have no list of their own."""
    of_costs = (
        (f"the cost of a million, {WORKS[facts['work']]} a call", title(facts), facts["ratio"])
        for facts in result["cost"]
        if facts["name"] != "elman"
    )
    return [
        *_of_cases(_usual(result)),
        *of_costs,
        *_of_stored(result["stored"]),
        *_of_processes(result),
        *_of_the_tail(result["tail"]),
        *_of_paced(result["paced"]),
    ]


def _narrow(of: str, every: list[Comparison]) -> str:
    narrow = [c for c in every if c[2]["median"] < NARROW]
    counted = (
        f"{of or 'Of'} {len(every)} comparisons with a peer, elman is at least {NARROW} times as"
        f" fast in {len(every) - len(narrow)}."
    )
    rows = [[what, peer, with_quartiles(spread), in_words(spread)] for what, peer, spread in narrow]
    body = table(["", "peer", "its time, divided by elman's", ""], rows)
    return f"{counted} The others:\n\n{body}" if rows else counted


def in_words(spread: Facts) -> str:
    """Return a ratio in words."""
    if spread["low"] <= 1 <= spread["high"]:
        return "a tie"
    if spread["median"] < 1:
        return f"elman loses: it takes {number(1 / spread['median'])} times as long"
    return f"elman is ahead by {percent(spread['median'] - 1)}"


def _of_cases(cases: list[Facts]) -> Iterator[Comparison]:
    for case in cases:
        what = f"{WORKS[case['work']]}, {column(case)}, {case['dtype']}"
        what += f", on {case['isa']}" if case["group"] == "isa" else ""
        for entry in case["entries"]:
            if entry["name"] != "elman":
                yield what, title(entry), entry["ratio"]


def _of_stored(stored: list[Facts]) -> Iterator[Comparison]:
    """Yield the ways that run the network by a peer, beside `run_files`."""
    for facts in stored:
        if facts["name"].partition(",")[0] in TITLES.values():
            ours = named([f for f in stored if f["kind"] == facts["kind"]], "run_files")
            what = f"{facts['sequences']:,} sequences stored in {KINDS[facts['kind']]}"
            yield what, facts["name"], ratios(facts["times"], ours["times"])._asdict()


def _of_processes(result: Facts) -> Iterator[Comparison]:
    for group in ("imports", "cold_start", "install"):
        ours = named(result[group], "elman")
        for facts in result[group]:
            if facts["name"] in TITLES and facts is not ours:
                spread = _exactly(facts["median"] / ours["median"])
                yield group.replace("_", " ").removesuffix("s"), title(facts), spread


def _of_the_tail(tail: list[Facts]) -> Iterator[Comparison]:
    from_python = [facts for facts in tail if facts["mode"] != "inside the extension"]
    ours = named(from_python, "elman")
    for facts in from_python:
        if facts["name"] in TITLES and facts["name"] != "elman":
            for key, name in PERCENTILES.items():
                if shown(facts, "service", key) and shown(ours, "service", key):
                    spread = _exactly(facts["service"][key] / ours["service"][key])
                    yield f"the tail, {name}", title(facts), spread


def _of_paced(paced: list[Facts]) -> Iterator[Comparison]:
    """Yield the medians from when a step began: what is above them is the machine's."""
    for facts in paced:
        if facts["name"] in TITLES and facts["name"] != "elman":
            same = ("condition", "period_ns")
            beside = [f for f in paced if all(f[key] == facts[key] for key in same)]
            ours = named(beside, "elman")
            spread = _exactly(facts["service"]["p50"] / ours["service"]["p50"])
            period = f"{1e6 / facts['period_ns']:.0f} kHz"
            yield f"steps at {period}, {facts['condition']}", title(facts), spread


def _exactly(ratio: float) -> Facts:
    """Return a single ratio as a spread."""
    return dict.fromkeys(("median", "low", "high"), ratio)
