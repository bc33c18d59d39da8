"""Write the README's table and the sentences below it."""

from __future__ import annotations

import re
import textwrap
from itertools import chain
from typing import TYPE_CHECKING, Any

from losses import comparisons
from peers import TITLES
from pieces import NARROW, at, fastest, median, number, of_group, sizes, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    Facts = dict[str, Any]

PEERS = ("numpy", "torch", "onnxruntime", "eigen")  # all others are in docs/numbers.md
PACKAGES = {"eigen": "cmeel-eigen"}  # whose version it is, where the name is another
BEGIN, END = "<!-- numbers: made by bench/report.py -->", "<!-- /numbers -->"
ROWS = (  # group, hidden size, what the row says
    ("step", 32, "one step per call"),
    ("sequence", 32, "one of 1000 steps per call"),
    ("sequence", 256, "one of 1000 steps per call"),
    ("batch", 256, "100 steps of a batch of 64"),
    ("training", 32, "an update with 100 steps of 16 sequences"),
    ("training", 256, "an update with 100 steps of 32 sequences"),
)


def readme(text: str, result: Facts) -> str:
    """Return the README with a new block between the two comments."""
    block = f"{BEGIN}\n{summary(result)}\n{END}"
    replaced, count = re.subn(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected one block from {BEGIN} to {END}, got {count}")
    return replaced


def summary(result: Facts) -> str:
    """Return the table and the sentences below it."""
    cases = [
        (case, what)
        for group, H, what in ROWS
        for case in of_group(result, group)
        if case["shape"]["H"] == H
    ]
    taking_part = [*chain.from_iterable(fastest(case) for case, _ in cases)]
    peers = [name for name in PEERS if name in taking_part]
    rows = [_summary_row(case, what, peers) for case, what in cases]
    if imports := result["imports"]:
        rows.append(_import_row(imports, peers))
    header = ["float32, one thread", "elman", *map(TITLES.get, peers)]
    words = [_about(result, peers), *_limits(cases), _others(result)]
    filled = textwrap.fill(" ".join(words), 100, break_long_words=False, break_on_hyphens=False)
    return f"{table(header, rows)}\n\n{filled}"


def _summary_row(case: Facts, what: str, peers: list[str]) -> list[str]:
    entries = fastest(case)
    unit = case["unit"].partition(" per ")[0]
    ratios = [_times(entries[p]["ratio"]["median"]) if p in entries else "" for p in peers]
    return [f"{what}, {sizes(case['shape'])}", f"{median(entries['elman'])} {unit}", *ratios]


def _import_row(imports: list[Facts], peers: list[str]) -> list[str]:
    over = {facts["name"]: facts["over"]["median"] for facts in imports}
    ratios = [_times(over[name] / over["elman"]) if name in over else "" for name in peers]
    return ["`import`, beyond a bare interpreter", f"{number(over['elman'])} ms", *ratios]


def _times(ratio: float) -> str:
    return f"{number(ratio)}x" if ratio >= NARROW else f"**{number(ratio)}x**"


def _about(result: Facts, peers: list[str]) -> str:
    machine, versions, build = result["machine"], result["versions"], result["elman"]
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    shown = {"python": "Python"} | {PACKAGES.get(name, name): TITLES[name] for name in peers}
    names = [f"{title} {versions[name]}" for name, title in shown.items() if name in versions]
    return (
        "Slowdown relative to elman, each library in its fastest form; bold where it is less than"
        f" {NARROW}x. Medians of one run of {result['date'][:10]} at {at(result)} on one core of"
        f" an {machine['processor']} ({caches}; {machine['system']}, {build['isa']},"
        f" {build['compiler']}, {', '.join(names)}); `python bench/run.py` measures again."
    )


def _limits(cases: list[tuple[Facts, str]]) -> Iterator[str]:
    """Yield how near elman is to an empty call, and to the arithmetic of the machine."""
    found = {case["work"]: case for case, _ in cases}  # of each kind of work the largest
    if calls := found.get("step", {}).get("entries", [{}])[0].get("times_empty_call"):
        yield f"A step takes as long as {number(calls['median'])} empty method calls."
    near = {
        work: (case["limits"][0], fastest(case))
        for work, case in found.items()
        if work in ("batch", "update") and case["limits"][0]["ratio"]["median"] > 0.5
    }
    if "batch" in near and "numpy" in near["batch"][1]:
        peak, entries = near["batch"]
        most = peak["median"] / entries["numpy"]["median"]
        yield (
            f"The batch is bound by arithmetic: one core has {median(peak)} GFLOP/s, elman reaches"
            f" {median(entries['elman'])} and NumPy {median(entries['numpy'])}, so no library can"
            f" beat NumPy by more than {number(most)}x there."
        )
    if "update" in near and "torch" in near["update"][1]:
        peak, entries = near["update"]
        most = entries["torch"]["median"] / peak["median"]
        yield (
            f"The multiply-adds of the largest update take {median(peak)} µs, so no library can"
            f" beat PyTorch by more than {number(most)}x there."
        )


def _others(result: Facts) -> str:
    """Return in how many comparisons elman is ahead, and where the others are."""
    ratios = [spread["median"] for _, _, spread in comparisons(result)]
    ahead = sum(ratio >= NARROW for ratio in ratios)
    return (
        f"[All numbers](docs/numbers.md), with JAX, numba and pure Python: elman is at least"
        f" {NARROW}x as fast in {ahead} of {len(ratios)} comparisons;"
        " [the others](docs/numbers.md#where-elman-loses-or-ties) are listed first."
    )
