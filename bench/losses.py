"""List the comparisons in which elman loses, ties or is barely ahead."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from elman.cli.timing.rounds import ratios
from peers import TITLES
from pieces import (
    KINDS,
    NARROW,
    PERCENTILES,
    WORKS,
    column,
    fastest,
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


# Why elman is behind: of works, for hidden sizes in a range. The shares of the time are samples of
# the program counter (`perf record`) in 16 -> 32 -> 4 on a Zen 5.
ANY, FEW = range(1, 1 << 20), range(1, 256)
REASONS = (
    (
        ("sequence",),
        range(64, 65),
        "One sequence of 64 units: 64 rows have two partial sums, which suits AVX-512; with one,"
        " AVX2 takes 0.93 times as long (`cpp/src/kernels/table.hpp`).",
    ),
    (
        ("batch", "tick"),
        FEW,
        "Batches and pools of few units: with AVX2 the products take 54 % of the time, at 98 % of"
        " the limit, tanh and sigmoid 29 %. The tanh of elman is within 1.17 units in the last"
        " place, on every set the same; XLA's is within 4.4, Eigen's, which LIBXSMM's entries use,"
        " 4.6, ONNX Runtime's 5.1.",
    ),
    (
        ("update",),
        ANY,
        "Training: LIBXSMM's entry is a program for one network, written for this benchmark. Its"
        " data are laid out before the first update, nothing is checked, and sums are added in any"
        " order. `Trainer.update` takes new arrays: to check and copy them takes 10 % of an update"
        " of 16 -> 32 -> 4 with AVX-512, tanh 10 %, and outputs, four of which fill a vector of"
        " sixteen, 7 %. In an update of 1 -> 2 -> 1, Python takes half of the time.",
    ),
)
COLD_START = (
    "Cold start: beyond `import numpy`, elman takes {over} ms. Nine tenths of it import its Python"
    " modules, the rest reads the file; the prediction takes 0.07 ms."
)
INSTALL = (
    "Install: elman needs NumPy. Beyond NumPy's environment, its own takes {s} s and {MB} MB more."
)
RIDGE = (
    "Ridge fits: elman reduces the states by QR and solves by singular values, which keeps the"
    " digits that normal equations lose. With 300 units the QR takes 36 % of a fit, the run 16 %;"
    " normal equations would take 12 % in place of both."
)
FORCED = (
    "NumPy uses the best set of the processor, whatever is forced on elman. Multiply-adds with avx2"
    " reach {avx2} of the rate with the best set, with sse2 {sse2}."
)


def losses(result: Facts) -> str:
    """Return the comparisons in which elman is barely ahead, or behind, and why."""
    forced = [c for c in result["cases"] if c["group"] == "isa" and c["isa"] != "scalar"]
    of_reservoirs = [case for case in result["cases"] if case["group"] == "reservoirs"]
    parts = [_narrow("", comparisons(result)), *reasons(result)]
    if of_reservoirs:
        parts.append(_narrow("With echo-state networks: of", list(_of_cases(of_reservoirs))))
        parts += [RIDGE] * any(c["work"] == "ridge" for c in behind(of_reservoirs))
    if forced:
        parts.append(_narrow("With an instruction set forced: of", list(_of_cases(forced))))
        parts += [*_of_sets(result["limits"]), SCALAR]
    return "\n\n".join(parts)


def reasons(result: Facts) -> list[str]:
    """Return why elman is not ahead, for each kind of work in which it is not."""
    lost = behind(_usual(result))
    found = [
        reason
        for works, sizes, reason in REASONS
        if any(case["work"] in works and case["shape"]["H"] in sizes for case in lost)
    ]
    found += _shares(result)
    behind_in = {group for group, _, spread in _of_processes(result) if spread["low"] <= 1}
    if "cold_start" in behind_in:
        ours = named(result["cold_start"], "elman")
        found.append(COLD_START.format(over=number(ours["over"]["median"])))
    if "install" in behind_in and (numpy := named(result["install"], "numpy")):
        ours = named(result["install"], "elman")
        more = {"s": (ours["median"] - numpy["median"]) / 1e3}
        more["MB"] = (ours["bytes"] - numpy["bytes"]) / 1e6
        found.append(INSTALL.format(**{unit: number(value) for unit, value in more.items()}))
    return found


def behind(cases: list[Facts]) -> list[Facts]:
    """Return the cases in which elman is not ahead of a peer."""
    return [
        case
        for case in cases
        if any(e["name"] != "elman" and e["ratio"]["low"] <= 1 for e in case["entries"])
    ]


def _shares(result: Facts) -> list[str]:
    """Return the shares of the limit of elman and of peers near it, in networks of many units."""
    found: list[tuple[float, float]] = []
    for case in _usual(result):
        peak = named((e for e in result["limits"] if e["mode"] == case["dtype"]), "multiply-add")
        many = case["work"] in ("batch", "tick") and case["shape"]["H"] not in FEW
        ours, *others = fastest(case).values()
        best = min((e["ratio"]["median"] for e in others), default=NARROW)
        if peak and many and best < NARROW:
            share = peak["median"] * case["weights"] * 2 / statistics.median(ours["times"])
            found.append((share, share / best))
    if not found:
        return []
    ours, theirs = (f"{100 * min(v):.0f} to {percent(max(v))}" for v in zip(*found, strict=True))
    return [
        "Batches and pools of many units: where a peer comes within a tenth, elman reaches"
        f" {ours} of the limit, and that peer {theirs}."
    ]


def _of_sets(limits: list[Facts]) -> list[str]:
    """Return what the rates of multiply-adds allow each set, beside NumPy with the best."""
    rates = {e["mode"]: 1 / e["median"] for e in limits if e["name"] == "multiply-add"}
    shares = {
        isa: percent(rates[f"{isa}_float32"] / rates["float32"])
        for isa in ("avx2", "sse2")
        if f"{isa}_float32" in rates
    }
    return [FORCED.format(**shares)] if len(shares) == 2 else []


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
        *(
            (group.replace("_", " ").removesuffix("s"), peer, spread)
            for group, peer, spread in _of_processes(result)
        ),
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
    """Yield the group, the peer and its ratio."""
    for group in ("imports", "cold_start", "install"):
        ours = named(result[group], "elman")
        for facts in result[group]:
            if facts["name"] in TITLES and facts is not ours:
                yield group, title(facts), ratios(facts["times"], ours["times"])._asdict()


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
