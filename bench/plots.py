"""Draw the plots as SVG from the result file: one colour per peer, elman in red on top."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

import summary
from peers import TITLES
from pieces import PERCENTILES, WORKS, column, fastest, number, of_group, shown, sizes, title

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    Facts = dict[str, Any]

INSIDE = "inside the extension"  # the mode of a tail without Python
COLOURS = {
    "nothing": "black",
    "elman": "#d62728",
    "pure_python": "#8c8c8c",
    "numpy": "#1f77b4",
    "numba": "#17a2b8",
    "torch": "#e8710a",
    "onnxruntime": "#7b4fa3",
    "jax": "#2ca02c",
    "litert": "#b5338a",
    "openvino": "#0b5563",
    "tract": "#a3b51b",
    "ncnn": "#f2a0c0",
    "libxsmm": "#5f5f9e",
    "eigen": "#8c6d31",
}
# Apart without colours, too.
MARKERS = dict(zip(COLOURS, ".oXsPDv^<>*phd", strict=True))
LIMIT = {"color": "black", "linestyle": "--", "linewidth": 1.2}
YARDSTICK = LIMIT | {"linestyle": ":"}
AXES = {"H": "hidden units", "B": "sequences in the pool"}
LOADS = "yardstick: loading the weights"
WHOLE = "yardstick: one call over 100 steps"
POOL_SIZE = 32  # hidden units of the network whose pools are shown, or about that many
STYLE = {
    "svg.hashsalt": "elman",  # the same numbers give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 12,  # to be read on a phone
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
}


def plots(result: Facts) -> dict[str, str]:
    """Return the SVG of each plot whose numbers are in the results."""
    drawn = {}
    with mpl.rc_context(STYLE):
        for name, (group, draw) in PLOTS.items():
            if result.get(group) or of_group(result, group):
                drawn[name] = _svg(draw(result))
    return drawn


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    metadata = {"Date": None, "Creator": None}
    figure.savefig(file, format="svg", metadata=metadata, bbox_inches="tight")
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _line(axes: Axes, name: str, x: list[float], y: list[float], **more: Any) -> None:
    ours = name == "elman"
    style = {"linewidth": 3 if ours else 1.5, "markersize": 8 if ours else 6}
    style["marker"] = MARKERS[name]
    style |= {"color": COLOURS[name], "label": TITLES.get(name, name), "zorder": 5 if ours else 3}
    axes.plot(x, y, **style | more)


def _by_size(
    cases: list[Facts],
    beside: Callable[[Axes, list[int]], object] = lambda axes, sizes: None,
    letter: str = "H",
) -> Figure:
    """Plot the values of each peer, in its fastest mode, against the size with this letter."""
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    entries = {case["shape"][letter]: fastest(case) for case in cases}
    for name in TITLES:
        points = [(size, found[name]["median"]) for size, found in entries.items() if name in found]
        if points:
            _line(axes, name, *map(list, zip(*points, strict=True)))
    beside(axes, list(entries))
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(entries), [f"{size:,}" for size in entries])
    axes.set_xlabel(AXES[letter])
    _legend(axes)
    return figure


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, ncols=3)


def _first(cases: list[Facts], kind: str) -> list[float]:
    """Return the first limit or yardstick of each case: of a step that of `out=`."""
    return [case[kind][0]["median"] for case in cases]


def _summary(result: Facts) -> Figure:
    """Plot the ratios of the README's rows: a row of markers for each, elman's line at 1.

    Markers that follow each other lie at different heights, since some would hide others.
    """
    cases = summary.cases_of(result)
    figure = Figure(figsize=(7, 1.6 + 0.9 * len(cases)))
    axes = figure.subplots()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in list(TITLES)[1:]}
    for row, (case, _) in enumerate(cases):
        others = [(e["ratio"]["median"], name) for name, e in fastest(case).items()]
        others = sorted(pair for pair in others if pair[1] in found)
        for place, (ratio, name) in enumerate(others):
            found[name].append((ratio, row + 0.22 * (place % 3 - 1)))
    for name, points in found.items():
        if points:
            marker = MARKERS[name]
            style = {
                "linestyle": "none",
                "marker": marker,
                "markersize": 13 if marker == "*" else 9,
            }
            style |= {"markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 3}
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=COLOURS[name], label=TITLES[name], **style)
    axes.axvline(1, color=COLOURS["elman"], linewidth=3, label="elman")
    axes.set_xscale("log")
    axes.set_yticks(range(len(cases)), [_of_row(case) for case, _ in cases])
    axes.invert_yaxis()
    axes.margins(y=0.1)
    axes.set_xlabel("time, divided by elman's (float32, one thread)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.35, -0.2), frameon=False, ncols=3)
    return figure


def _of_row(case: Facts) -> str:
    return f"{WORKS[case['work']]}\n{sizes(case['shape'])}"


def _step(result: Facts) -> Figure:
    cases = of_group(result, "step")

    def beside(axes: Axes, sizes: list[int]) -> None:
        axes.plot(sizes, _first(cases, "limits"), label="limit: an empty call", **LIMIT)
        if sequences := of_group(result, "sequence"):
            loads = [case["shape"]["H"] for case in sequences], _first(sequences, "yardsticks")
            axes.plot(*loads, label=LOADS, **YARDSTICK)

    return _times(_by_size(cases, beside), "One step for each call from Python")


def _sequence(result: Facts) -> Figure:
    cases = of_group(result, "sequence")

    def beside(axes: Axes, sizes: list[int]) -> None:
        axes.plot(sizes, _first(cases, "yardsticks"), label=LOADS, **YARDSTICK)

    return _times(_by_size(cases, beside), "A sequence of 1000 steps in one call")


def _times(figure: Figure, what: str, item: str = "step") -> Figure:
    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.set_ylabel(f"nanoseconds per {item}")
    axes.set_title(f"{what} (float32, one thread; less is better)", loc="left")
    return figure


def _batch(result: Facts) -> Figure:
    cases = of_group(result, "batch")

    def beside(axes: Axes, sizes: list[int]) -> None:
        axes.plot(sizes, _first(cases, "limits"), label="limit: multiply-add", **LIMIT)

    figure = _by_size(cases, beside)
    (axes,) = figure.axes
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GFLOP/s")
    what = "A batch of 64 sequences of 100 steps (float32, one thread; more is better)"
    axes.set_title(what, loc="left")
    return figure


def _training(result: Facts) -> Figure:
    cases = of_group(result, "training")
    figure = Figure(figsize=(9, 5))
    axes = figure.subplots()
    entries = list(enumerate(map(fastest, cases)))
    for name in TITLES:
        points = [(i, found[name]["median"]) for i, found in entries if name in found]
        if points:
            _line(axes, name, *map(list, zip(*points, strict=True)))
    axes.plot(_first(cases, "limits"), label="limit: multiply-add", **LIMIT)
    axes.set_yscale("log")
    axes.set_xticks(range(len(cases)), [column(case).replace(", ", "\n") for case in cases])
    axes.tick_params(axis="x", labelsize="x-small")
    axes.set_ylabel("microseconds per update")
    axes.set_title("An update of training (float32, one thread; less is better)", loc="left")
    _legend(axes)
    return figure


def _pool(result: Facts) -> Figure:
    pools = of_group(result, "pool")
    H = min((case["shape"]["H"] for case in pools), key=lambda H: abs(H - POOL_SIZE))
    cases = [case for case in pools if case["shape"]["H"] == H]

    def beside(axes: Axes, sizes: list[int]) -> None:
        axes.plot(sizes, _first(cases, "yardsticks"), label=WHOLE, **YARDSTICK)

    what = f"A tick of a pool, {sizes(cases[0]['shape'])}"
    return _times(_by_size(cases, beside, "B"), what, "row")


def _generate(result: Facts) -> Figure:
    return _times(_by_size(of_group(result, "generate")), "A free run of 1000 steps")


def _cost(result: Facts) -> Figure:
    """Plot a row for each peer, with a marker for each kind of work."""
    names = [name for name in TITLES if any(f["name"] == name for f in result["cost"])]
    figure = Figure(figsize=(8, 1.5 + 0.4 * len(names)))
    axes = figure.subplots()
    for work, marker in (("step", "o"), ("batch", "s")):
        of_work = [facts for facts in result["cost"] if facts["work"] == work]
        x = [facts["million"]["cpu"] for facts in of_work]
        y = [names.index(facts["name"]) for facts in of_work]
        colours = [COLOURS[facts["name"]] for facts in of_work]
        axes.scatter(x, y, s=90, c=colours, marker=marker, label=f"{WORKS[work]} a call")
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), [TITLES[name] for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("CPU seconds")
    axes.set_title("A million predictions (float32, one thread; less is better)", loc="left")
    _legend(axes)
    return figure


def _imports(result: Facts) -> Figure:
    """Plot bars of each group that has some, that of elman hatched."""
    groups = {
        "Import, over a bare interpreter": [
            (facts, facts["over"]["median"]) for facts in result["imports"][1:]
        ],
        "Process start to the first prediction from a file": [
            (facts, facts["median"]) for facts in result["cold_start"]
        ],
    }
    groups = {what: bars for what, bars in groups.items() if bars}
    figure = Figure(figsize=(8, 1 + 0.4 * sum(map(len, groups.values()))), layout="constrained")
    all_axes = figure.subplots(
        len(groups), squeeze=False, height_ratios=[len(bars) for bars in groups.values()]
    )
    for axes, (what, bars) in zip(all_axes.flat, groups.items(), strict=True):
        names = [TITLES.get(facts["name"], facts["name"]) for facts, _ in bars]
        colours = [COLOURS.get(facts["name"], "#c0c0c0") for facts, _ in bars]
        drawn = axes.barh(names, [ms for _, ms in bars], color=colours)
        axes.bar_label(drawn, [f"{number(ms)} ms" for _, ms in bars], padding=4)
        for bar, (facts, _) in zip(drawn, bars, strict=True):
            bar.set(hatch="///" if facts["name"] == "elman" else "", edgecolor="white")
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.grid(axis="y", visible=False)
        axes.set_title(f"{what} (less is better)", loc="left")
    return figure


def _tail(result: Facts) -> Figure:
    figure = Figure(figsize=(8, 10), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    for axes, kind, when in zip(both, ("latency", "service"), ("was due", "began"), strict=True):
        for name in TITLES:
            of_name = [f for f in result["tail"] if f["name"] == name]
            inside = [f for f in of_name if f["mode"] == INSIDE]
            from_python = [f for f in of_name if f["mode"] != INSIDE]
            best = sorted(from_python, key=lambda facts: facts[kind]["p50"])[:1]
            for facts in best + inside:
                _percentiles(axes, facts, kind)
            if name == "elman":
                for facts in best + inside:
                    _nothing(axes, facts, kind)
        axes.set_xticks(range(len(PERCENTILES)), list(PERCENTILES.values()))
        axes.set_yscale("log")
        axes.set_title(f"From when a step {when} (less is better)", loc="left")
        axes.set_ylabel("nanoseconds, paced steps of 16 -> 32 -> 4")
    handles = both[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", frameon=False, ncols=3, handlelength=3.5)
    return figure


def _percentiles(axes: Axes, facts: Facts, kind: str) -> None:
    """Plot the percentiles that the machine does not hide."""
    points = [(i, facts[kind][p]) for i, p in enumerate(PERCENTILES) if shown(facts, kind, p)]
    style = {"linestyle": "--", "label": title(facts)} if facts["mode"] == INSIDE else {}
    _line(axes, facts["name"], *map(list, zip(*points, strict=True)), **style)


def _nothing(axes: Axes, facts: Facts, kind: str) -> None:
    """Plot the machine's own tail beside an entry."""
    y = [facts["nothing"][kind][p] for p in PERCENTILES]
    inside = {"linestyle": "--"} if facts["mode"] == INSIDE else {}
    name = f"nothing, {INSIDE}" if inside else "nothing"
    _line(axes, "nothing", list(range(len(y))), y, label=name, **inside)


PLOTS = {
    "summary": ("step", _summary),
    "step": ("step", _step),
    "sequence": ("sequence", _sequence),
    "batch": ("batch", _batch),
    "pool": ("pool", _pool),
    "generate": ("generate", _generate),
    "training": ("training", _training),
    "cost": ("cost", _cost),
    "imports": ("imports", _imports),
    "tail": ("tail", _tail),
}
