"""Write the README's table of five columns and rows, and the sentences and the plot below it."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from losses import comparisons
from peers import TITLES
from pieces import NARROW, at, fastest, median, number, of_group, sizes, table

if TYPE_CHECKING:
    Facts = dict[str, Any]

PEERS = ("numpy", "torch")  # of the others, the fastest in each row has a column
BEGIN, END = "<!-- numbers: made by bench/report.py -->", "<!-- /numbers -->"
ROWS = (  # group, hidden size, what the row says
    ("step", 32, "one step per call"),
    ("sequence", 32, "one of 1000 steps per call"),
    ("batch", 256, "100 steps of a batch of 64"),
    ("training", 32, "an update with 100 steps of 16 sequences"),
)
PLOT = "![Each library's time, divided by elman's](docs/plots/summary.svg)"


def readme(text: str, result: Facts) -> str:
    """Return the README with a new block between the two comments."""
    block = f"{BEGIN}\n{summary(result)}\n{END}"
    replaced, count = re.subn(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected one block from {BEGIN} to {END}, got {count}")
    return replaced


def summary(result: Facts) -> str:
    """Return the table, and the sentences and the plot below it."""
    rows = [_summary_row(case, what) for case, what in cases_of(result)]
    if imports := result["imports"]:
        rows.append(_import_row(imports))
    titles = [TITLES[name] for name in PEERS]
    words = [_about(result), _others(result)]
    filled = textwrap.fill(" ".join(words), 100, break_long_words=False, break_on_hyphens=False)
    header = ["float32, one thread", "elman", *titles, "fastest other"]
    return "\n\n".join([table(header, rows), filled, PLOT])


def cases_of(result: Facts) -> list[tuple[Facts, str]]:
    """Return the cases of the rows, and what each row says."""
    return [
        (case, what)
        for group, H, what in ROWS
        for case in of_group(result, group)
        if case["shape"]["H"] == H
    ]


def _summary_row(case: Facts, what: str) -> list[str]:
    entries = fastest(case)
    unit = case["unit"].partition(" per ")[0]
    ratios = {name: e["ratio"]["median"] for name, e in entries.items() if name != "elman"}
    ours = f"{median(entries['elman'])} {unit}"
    return [f"{what}, {sizes(case['shape'])}", ours, *_beside(ratios)]


def _import_row(imports: list[Facts]) -> list[str]:
    over = {facts["name"]: facts["over"]["median"] for facts in imports[1:]}
    ours = over.pop("elman")
    ratios = {name: ms / ours for name, ms in over.items()}
    return ["`import`, beyond a bare interpreter", f"{number(ours)} ms", *_beside(ratios)]


def _beside(ratios: dict[str, float]) -> list[str]:
    """Return the cells of the peers: two with a column of their own, and the fastest other."""
    cells = [_times(ratios[name]) if name in ratios else "" for name in PEERS]
    others = {name: ratio for name, ratio in ratios.items() if name not in PEERS}
    if not others:
        return [*cells, ""]
    best = min(others, key=others.__getitem__)
    return [*cells, f"{TITLES[best]} {_times(others[best])}"]


def _times(ratio: float) -> str:
    return f"{number(ratio)}x" if ratio >= NARROW else f"**{number(ratio)}x**"


def _about(result: Facts) -> str:
    machine, build = result["machine"], result["elman"]
    return (
        "Slowdown relative to elman, each library in its fastest form; bold where it is less than"
        f" {NARROW}x. Medians of one run of {result['date'][:10]} at {at(result)} on one core of"
        f" an {machine['processor']} ({machine['system']}, {build['isa']}, {build['compiler']})."
    )


def _others(result: Facts) -> str:
    """Return in how many cases elman is ahead of the fastest peer, and where the others are."""
    best: dict[str, float] = {}
    for case, _, spread in comparisons(result):
        best[case] = min(spread["median"], best.get(case, spread["median"]))
    ahead = sum(ratio >= NARROW for ratio in best.values())
    return (
        f"In [all numbers](docs/numbers.md), elman is at least {NARROW}x as fast as the fastest"
        f" other library in {ahead} of {len(best)} cases;"
        " [the others](docs/numbers.md#where-elman-loses-or-ties) are listed first."
        " [The benchmark](bench/README.md) can be repeated on any machine."
    )
