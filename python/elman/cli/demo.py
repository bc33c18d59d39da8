"""`elman demo`: stream a real series through a trained network, verify it and time it."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman import _core, reference
from elman._parameters import core_of
from elman.cli import layout, plot, report, timing
from elman.cli.timing import answers, rounds

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from elman._network import Network

    Facts = dict[str, Any]

DATA = Path(__file__).resolve().parent.parent / "data"
LATENCY_STEPS = 200_000
ROUNDS = 9
WAYS = {  # the peer, its work, its mode
    "pure_python": ("pure_python", "step", ""),
    "numpy": ("numpy", "step", "one product a layer"),
    "stream_step": ("elman", "step", "out="),
    "whole_sequence": ("elman", "sequence", ""),
}
MAX_WIDTH = 100
LABEL_EVERY = 10  # years


class Series(NamedTuple):
    """The sunspot numbers of the years, (N,) each."""

    years: NDArray[np.int64]
    sunspots: NDArray[np.float64]

    @property
    def inputs(self) -> NDArray[np.float64]:
        """The inputs (N - 1, 1) of the network: the year after the last one is unknown."""
        return self.sunspots[:-1, np.newaxis]


def demo(as_json: bool) -> None:
    """Run the demonstration and print the results part by part, or as JSON at the end."""
    net, series = load_demo()
    if not as_json:
        from rich.console import Console

        console = Console(highlight=False)
        console.width = min(console.width, MAX_WIDTH)
        _show_title(console, net, series)
    facts: Facts = {"network": report.describe(net)}
    for name, measure, show in PARTS:
        facts[name] = measure(net, series)
        if not as_json:
            show(console, facts[name])
    if as_json:
        report.print_json(facts)


def load_demo() -> tuple[Network, Series]:
    """Return the network and the series that ship with elman."""
    with open(DATA / "sunspots.csv", newline="", encoding="ascii") as file:
        rows = [(int(row["year"]), float(row["sunspots"])) for row in csv.DictReader(file)]
    years, sunspots = zip(*rows, strict=True)
    return elman.load(DATA / "sunspots.safetensors"), Series(np.array(years), np.array(sunspots))


# --- measurements ---------------------------------------------------------------------------------


def forecast(net: Network, series: Series) -> Facts:
    """Stream the series and compare each forecast with the year that followed."""
    stream = net.stream()
    ahead = np.array([stream.step(x)[0] for x in series.inputs])  # from the second year on
    first, last = map(int, net.metadata["test_years"].split("-"))
    test = (series.years[1:] >= first) & (series.years[1:] <= last)
    truth, before = series.sunspots[1:][test], series.sunspots[:-1][test]
    return {
        "years": series.years[1:][test].tolist(),
        "truth": truth.tolist(),
        "forecast": ahead[test].tolist(),
        "rmse": _rmse(ahead[test], truth),
        "rmse_repeating_the_last_value": _rmse(before, truth),
    }


def _rmse(forecast: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((forecast - truth) ** 2)))


def verification(net: Network, series: Series) -> Facts:
    """Check the core against the NumPy reference on the whole series."""
    found = net.verify(series.inputs)
    return {**found._asdict(), "message": str(found)}


def latency(net: Network, series: Series) -> Facts:
    """Time single steps inside the extension, where reading the clock takes the least time."""
    x = np.ascontiguousarray(series.inputs, dtype=net.dtype)
    nanoseconds, _ = _core.time_steps(core_of(net), x, LATENCY_STEPS)
    percentiles = np.percentile(nanoseconds, [50, 99, 99.9]).tolist()
    return {
        "steps": LATENCY_STEPS,
        **dict(zip(("median_ns", "p99_ns", "p99_9_ns"), percentiles, strict=True)),
        "clock_ns": _core.clock_cost(),
    }


def times(net: Network, series: Series) -> Facts:
    """Check the ways to compute the series, then time them in nanoseconds per step."""
    x = np.ascontiguousarray(series.inputs, dtype=net.dtype)
    expected = reference.run(net, x).output
    entries = []
    for name, work, mode in WAYS.values():
        try:
            peer = timing.peer(name)(net)
            ways = answers.checked(name, peer, work, x, expected, net.num_parameters)
        except answers.Wrong as error:
            raise elman.VerificationError(f"{name}: {error}") from error
        entries += [way for way in ways if way.mode == mode]
    measured = rounds.interleave(entries, ROUNDS)
    return {f"{way}_ns": median(ns) for way, ns in zip(WAYS, measured, strict=True)}


# --- output ---------------------------------------------------------------------------------------


def _show_title(console: Console, net: Network, series: Series) -> None:
    years, about = series.years, net.metadata
    console.print(
        f"[bold]elman {elman.__version__}[/bold] on {net.isa}: an Elman network of sizes"
        f" {report.sizes(net)} ({net.num_parameters} parameters) reads the sunspot numbers of"
        f" {years[0]}-{years[-1]} one year at a time and forecasts the next year. It was trained on"
        f" {about['training_years']} and selected on {about['validation_years']}; the years shown"
        f" here, {about['test_years']}, were not used for either.\n"
    )


def _show_forecast(console: Console, facts: Facts) -> None:
    from rich.text import Text

    style = plot.ASCII if console.options.ascii_only else plot.UNICODE
    labels = ["" if year % LABEL_EVERY else str(year) for year in facts["years"]]
    values = (labels, facts["truth"], facts["forecast"])
    chart = Text("\n".join(plot.plot(*values, width=console.width, style=style)))
    chart.highlight_words([style.dot], "bold red")
    console.print(chart, no_wrap=True)
    console.print(
        f"\nBars: the sunspot numbers. Dots ({style.dot}): forecasts, one year ahead.\n\n"
        "[bold]Root mean square error[/bold]\n"
        f"  the network             {facts['rmse']:5.1f}\n"
        f"  repeating the last year {facts['rmse_repeating_the_last_value']:5.1f}"
    )


def _show_verification(console: Console, facts: Facts) -> None:
    console.print("\n[bold]Against the NumPy reference[/bold]")
    console.print(f"  {facts['message']}", markup=False)


def _show_latency(console: Console, facts: Facts) -> None:
    console.print(
        f"\n[bold]A single step[/bold], timed {facts['steps']} times inside the extension"
        f"\n  median {facts['median_ns']:.0f} ns, 99 % within {facts['p99_ns']:.0f} ns,"
        f" 99.9 % within {facts['p99_9_ns']:.0f} ns"
        f"\n  including {facts['clock_ns']:.0f} ns for reading the clock"
    )


def _show_times(console: Console, facts: Facts) -> None:
    rows = []
    for name, way in TITLES.items():
        ns = facts[f"{way}_ns"]
        ratios = (facts["pure_python_ns"] / ns, facts["numpy_ns"] / ns)
        rows.append([name, f"{ns:,.0f}", *(f"{ratio:,.1f}" for ratio in ratios)])
    console.print()
    names = ("Time per step", "ns", "speed vs Python", "speed vs NumPy")
    layout.print_rows(console, names, rows, words=1)


TITLES = {
    "pure Python": "pure_python",
    "NumPy, step by step": "numpy",
    "C++, stream.step": "stream_step",
    "C++, all steps in one call": "whole_sequence",
}
PARTS = (
    ("forecast", forecast, _show_forecast),
    ("verification", verification, _show_verification),
    ("latency", latency, _show_latency),
    ("time_per_step", times, _show_times),
)
