"""Write the README's table and the sentences below it."""

from __future__ import annotations

import re
import textwrap
from itertools import chain
from typing import TYPE_CHECKING, Any

from peers import TITLES
from pieces import NARROW, fastest, median, number, of_group, percent, sizes, table

if TYPE_CHECKING:
    Facts = dict[str, Any]

BEGIN, END = "<!-- numbers: made by bench/report.py -->", "<!-- /numbers -->"
ROWS = (  # group, hidden size, label
    ("step", 32, "one step for each call"),
    ("sequence", 32, "one of 1000 steps in one call"),
    ("sequence", 256, "one of 1000 steps in one call"),
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
    peers = [name for name in TITLES if name != "elman" and name in taking_part]
    rows = [_summary_row(case, what, peers) for case, what in cases]
    if imports := result["imports"]:
        rows.append(_import_row(imports, peers))
    header = ["float32, one thread", "elman", "against the limit", *map(TITLES.get, peers)]
    words = textwrap.fill(
        _about(result) + _bound(cases), 100, break_long_words=False, break_on_hyphens=False
    )
    return f"{table(header, rows)}\n\n{words}"


def _summary_row(case: Facts, what: str, peers: list[str]) -> list[str]:
    entries = fastest(case)
    ours = entries["elman"]
    unit = case["unit"].partition(" per ")[0]
    ratios = [_times(entries[p]["ratio"]["median"]) if p in entries else "" for p in peers]
    return [f"{what}, {sizes(case['shape'])}", f"{median(ours)} {unit}", _share(case), *ratios]


def _share(case: Facts) -> str:
    """Return the first entry relative to the limit of its case."""
    if calls := case["entries"][0].get("times_empty_call"):
        return f"{number(calls['median'])} empty calls"
    (limit,) = case["limits"]
    return f"{percent(limit['ratio']['median'])} of {limit['name']}"


def _import_row(imports: list[Facts], peers: list[str]) -> list[str]:
    over = {facts["name"]: facts["over"]["median"] for facts in imports}
    ratios = [_times(over[name] / over["elman"]) if name in over else "" for name in peers]
    return ["`import`, over a bare interpreter", f"{number(over['elman'])} ms", "", *ratios]


def _times(ratio: float) -> str:
    return f"{number(ratio)}x" if ratio >= NARROW else f"**{number(ratio)}x**"


def _about(result: Facts) -> str:
    machine, versions = result["machine"], dict(result["versions"])
    names = ["Python " + versions.pop("python")]
    names += [f"{TITLES.get(name, name)} {version}" for name, version in versions.items()]
    isa = result["cases"][0]["isa"] if result["cases"] else ""
    return (
        "Ratios are times divided by elman's, each library in its fastest mode; bold if elman is"
        f" less than {NARROW} times as fast. Medians of one run (`python bench/run.py` repeats it)"
        f" of {result['date'][:10]} on {machine['processor']}, {machine['cores']} cores,"
        f" {machine['system']}, {isa}, {machine['compiler']}, {', '.join(names)}; compare ratios"
        " rather than times. [All numbers](docs/numbers.md), with plots."
    )


def _bound(cases: list[tuple[Facts, str]]) -> str:
    """Return sentences on the machine's arithmetic limit, for cases in which elman is near it."""
    found = {case["work"]: case for case, _ in cases}  # the largest of each kind of work
    near = {
        work: (case["limits"][0], fastest(case))
        for work, case in found.items()
        if work in ("batch", "update") and case["limits"][0]["ratio"]["median"] > 0.5
    }
    words = ""
    if "batch" in near and "numpy" in near["batch"][1]:
        peak, entries = near["batch"]
        most = peak["median"] / entries["numpy"]["median"]
        words += (
            f" The batch is bound by arithmetic: of the {median(peak)} GFLOP/s that one core has,"
            f" elman reaches {median(entries['elman'])} and NumPy {median(entries['numpy'])}, so no"
            f" implementation can be more than {number(most)} times as fast as NumPy."
        )
    if "update" in near and "torch" in near["update"][1]:
        peak, entries = near["update"]
        most = entries["torch"]["median"] / peak["median"]
        words += (
            f" The multiply-adds of the largest update take {median(peak)} µs, so no implementation"
            f" can be more than {number(most)} times as fast as PyTorch there."
        )
    return words
