"""Forecasts of 23 series by `elman train`'s search and by its baselines, from rolling origins.

    pip install statsmodels sktime
    python bench/forecasting.py                       # measure, into bench/forecasting.json
    python bench/forecasting.py --page                # write docs/forecasting.md from it
    python bench/forecasting.py --series load,walk --seeds 2 --output quick.json

The public series are read from the folders of the packages, the others are made here.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import math
import pathlib
import subprocess
import time
from importlib import metadata
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import elman
from elman.forecasting.parts import Examples, Parts, Scaling, Span
from elman.forecasting.search import search
from elman.forecasting.work import EFFORT

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "forecasting.json"
PAGE = ROOT / "docs" / "forecasting.md"
ORIGINS = (0.7, 0.8, 0.9)  # shares of a series that are known; the next tenth is forecast
VALIDATION = 0.2  # of what is known
SEEDS = 5
OWN = ("network", "start")  # the others are baselines
LONG = 700  # steps of a series that is not short

Array = np.ndarray[Any, Any]


class Series(NamedTuple):
    """A series: inputs and targets (T, .), one step of time apart, and where it comes from."""

    values: Array  # (T, columns)
    targets: list[int]  # the columns to forecast
    about: str
    plain: bool = False  # noise, a walk or linear by construction


# --- series ---------------------------------------------------------------------------------------


def public(package: str, path: str, column: int, about: str, rows: int | None = None) -> Series:
    """Return a column of a CSV file in a package; gaps are interpolated."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed: pip install statsmodels sktime")
    with open(pathlib.Path(spec.origin).parent / "datasets" / path, newline="") as file:
        fields = [line[column] for line in csv.reader(file) if line][1:]
    values = np.array([float(field) if field else math.nan for field in fields])[:rows]
    gaps = np.isnan(values)
    steps = np.arange(len(values))
    values[gaps] = np.interp(steps[gaps], steps[~gaps], values[~gaps])
    return Series(values[:, None], [0], f"{about} ({package})")


def elnino() -> Series:
    """Return the months of all years, one after the other."""
    columns = [public("statsmodels", "elnino/elnino.csv", 1 + m, "").values for m in range(12)]
    return Series(
        np.concatenate(columns, axis=1).reshape(-1, 1),
        [0],
        "monthly temperature of the sea (statsmodels)",
    )


def load(seed: int) -> Series:
    """Return hourly load: day, week, and a temperature that drives it, with a yearly wave."""
    rng, t = np.random.default_rng(100 + seed), np.arange(6000)
    drift = 0.3 * np.cumsum(rng.normal(0, 0.1, t.size))
    temperature = 10 + 8 * np.sin(2 * np.pi * t / 8760) + 4 * np.sin(2 * np.pi * (t - 15) / 24)
    temperature += drift
    day = 9 * np.sin(2 * np.pi * (t - 8) / 24) + 4 * np.sin(4 * np.pi * (t - 6) / 24)
    cooling = 0.8 * np.maximum(temperature - 16, 0) ** 1.2
    y = 40 + day - 6 * (t // 24 % 7 >= 5) + cooling + rng.normal(0, 1.2, t.size)
    values = np.round(np.stack([y, temperature], axis=1), 3)
    return Series(values, [0], "hourly load and temperature")


def mackey_glass() -> Series:
    """Return the equation of Mackey and Glass, with a delay of 17 steps and noise."""
    delay, n = 17, 4000
    x = np.full(n + delay + 500, 1.2)
    for t in range(delay, len(x) - 1):
        x[t + 1] = x[t] + 0.2 * x[t - delay] / (1 + x[t - delay] ** 10) - 0.1 * x[t]
    noisy = x[-n:] + 0.02 * np.random.default_rng(0).normal(size=n)
    return Series(noisy[:, None], [0], "Mackey-Glass equation, noise 0.02")


def henon() -> Series:
    """Return the map of Henon."""
    x = np.full(2002, 0.1)
    for t in range(1, 2001):
        x[t + 1] = 1 - 1.4 * x[t] ** 2 + 0.3 * x[t - 1]
    return Series(x[2:, None], [0], "Henon map")


def lorenz() -> Series:
    """Return one coordinate of Lorenz's system, with noise."""
    state, found = np.array([1.0, 1.0, 20.0]), []
    for step in range(30_000 + 1000):
        x, y, z = state
        state = state + 0.005 * np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        if step >= 1000 and step % 10 == 0:
            found.append(state[0])
    noisy = np.array(found) + np.random.default_rng(0).normal(size=len(found))
    return Series(noisy[:, None], [0], "Lorenz system, noise 1")


def threshold() -> Series:
    """Return an autoregression with another coefficient below 0 than above."""
    rng, y = np.random.default_rng(0), np.zeros(2000)
    for t in range(1, len(y)):
        y[t] = (0.9 if y[t - 1] < 0 else -0.6) * y[t - 1] + rng.normal()
    return Series(y[:, None], [0], "threshold autoregression")


def tank() -> Series:
    """Return the levels of a tank whose outflow goes with the root of the level, and its inflow."""
    rng, n = np.random.default_rng(0), 3000
    inflow, level = np.repeat(rng.uniform(0, 2, n // 10), 10), np.zeros(n)
    for t in range(1, n):
        level[t] = max(0, level[t - 1] + 0.3 * inflow[t - 1] - 0.3 * math.sqrt(level[t - 1]))
    measured = level + 0.05 * rng.normal(size=n)
    return Series(np.stack([measured, inflow], axis=1), [0], "level and inflow of a tank")


def autoregression() -> Series:
    """Return an autoregression of two steps."""
    rng, y = np.random.default_rng(0), np.zeros(3000)
    for t in range(2, len(y)):
        y[t] = 1.3 * y[t - 1] - 0.5 * y[t - 2] + rng.normal()
    return Series(y[:, None], [0], "linear autoregression", plain=True)


def noise() -> Series:
    """Return white noise."""
    values = np.random.default_rng(0).normal(size=(2000, 1))
    return Series(values, [0], "white noise", plain=True)


def walk(n: int) -> Series:
    """Return a random walk."""
    values = np.cumsum(np.random.default_rng(0).normal(size=(n, 1)), axis=0)
    return Series(values, [0], "random walk", plain=True)


SERIES = {
    "load": lambda: load(0),
    "load 2": lambda: load(1),
    "mackey-glass": mackey_glass,
    "henon": henon,
    "lorenz": lorenz,
    "threshold": threshold,
    "tank": tank,
    "co2": lambda: public("statsmodels", "co2/co2.csv", 1, "weekly carbon dioxide"),
    "elnino": elnino,
    "mitdb": lambda: public("sktime", "data/mitdb/mitdb.csv", 0, "electrocardiogram"),
    "yahoo": lambda: public("sktime", "data/yahoo/yahoo.csv", 0, "traffic of a site"),
    "gunpoint": lambda: public(
        "sktime", "data/segmentation/GunPoint.csv", 1, "movements of a hand"
    ),
    "autoregression": autoregression,
    "noise": noise,
    "walk": lambda: walk(2000),
    "sunspots": lambda: public("statsmodels", "sunspots/sunspots.csv", 1, "yearly sunspots"),
    "nile": lambda: public("statsmodels", "nile/nile.csv", 1, "yearly flow of the Nile"),
    "unemployment": lambda: public(
        "statsmodels", "macrodata/macrodata.csv", 10, "quarterly unemployment"
    ),
    "airline": lambda: public("sktime", "data/Airline/Airline.csv", 1, "monthly passengers"),
    "lynx": lambda: public("sktime", "data/Lynx/Lynx.csv", 1, "yearly lynx trapped"),
    "seatbelts": lambda: public("sktime", "data/seatbelts/seatbelts.csv", 1, "monthly casualties"),
    "consumption": lambda: public(
        "sktime", "data/Uschange/Uschange.csv", 2, "quarterly change of consumption"
    ),
    "short walk": lambda: walk(200),
}


# --- measuring ------------------------------------------------------------------------------------


def split(series: Series, origin: float) -> tuple[Examples, Parts]:
    """Return the forecast of the next step, and the parts for an origin."""
    names = [str(i + 1) for i in range(series.values.shape[1])]
    stop = round(len(series.values) * (origin + 0.1))
    x, now = series.values[: stop - 1], series.values[: stop - 1, series.targets]
    table = elman.Table(inputs=names, targets=[names[i] for i in series.targets], horizon=1)
    end = round(len(series.values) * origin)
    middle = round(end * (1 - VALIDATION))
    edges = (0, middle, end, len(x))
    parts = Parts(*([Span(0, a, b)] for a, b in pairwise(edges)))
    return Examples([x], [series.values[1:stop, series.targets]], table, [now]), parts


def measure(series: Series, seed: int, effort: int, threads: int) -> dict[str, Any]:
    """Return the RMSE of the network and of each baseline over all origins."""
    squares: dict[str, list[Array]] = {}
    starts, corrections, seconds = [], 0, []
    for origin in ORIGINS:
        examples, parts = split(series, origin)
        begin = time.perf_counter()
        found = search(examples, parts, effort=effort, seed=seed, threads=threads)
        seconds.append(time.perf_counter() - begin)
        (x,), scaling = examples.x, Scaling.of(examples, parts.training)
        answers = {
            "network": found.network(x),
            "start": scaling.unscaled(found.linear(scaling.x(x))),
            **{name: answer(0) for name, answer in found.baselines.items()},
        }
        ((_, begins, ends),) = parts.holdout
        for name, answer in answers.items():
            error = (answer - examples.y[0])[begins:ends]
            kind = "linear" if name.startswith("linear") else name
            squares.setdefault(kind, []).append((error**2).mean(axis=1))
        starts.append(found.start)
        corrections += found.correction is not None
    return {
        "seed": seed,
        "rmse": {
            name: float(f"{np.sqrt(np.concatenate(parts).mean()):.6g}")
            for name, parts in squares.items()
        },
        "starts": starts,
        "corrections": corrections,
        "seconds": round(max(seconds), 1),
    }


def commit() -> str:
    """Return the commit that is measured."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure, or only write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", default=",".join(SERIES), help="names, as a,b")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--effort", type=int, default=EFFORT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="write the page from the results")
    given = parser.parse_args()
    if given.page:
        PAGE.write_text(page(json.loads(given.output.read_text())), encoding="utf-8")
        return
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "effort": given.effort,
        "threads": given.threads,
        "versions": {
            "elman": elman.__version__,
            **{name: metadata.version(name) for name in ("numpy", "statsmodels", "sktime")},
        },
        "series": {},
    }
    for name in given.series.split(","):
        series = SERIES[name]()
        runs = [measure(series, s, given.effort, given.threads) for s in range(given.seeds)]
        results["series"][name] = {
            "about": series.about,
            "steps": len(series.values),
            "plain": series.plain,
            "runs": runs,
        }
        print(line(name, results["series"][name]), flush=True)
        given.output.write_text(json.dumps(results, indent=1) + "\n")


def ratios(entry: dict[str, Any]) -> list[float]:
    """Return, by seed, the RMSE of the network by that of the best baseline."""
    return [
        run["rmse"]["network"] / min(v for name, v in run["rmse"].items() if name not in OWN)
        for run in entry["runs"]
    ]


def line(name: str, entry: dict[str, Any]) -> str:
    """Return a line about a series."""
    run, found = entry["runs"][0], ratios(entry)
    kinds = " ".join(f"{kind} {value:.4g}" for kind, value in run["rmse"].items())
    kept = [run["corrections"] for run in entry["runs"]]
    return (
        f"{name:14} {entry['steps']:5} ratio {np.median(found):.3f} ({min(found):.3f}-"
        f"{max(found):.3f}) | {kinds} | corrections {kept} | {run['seconds']:.1f} s"
    )


# --- the page -------------------------------------------------------------------------------------

BEGIN = """\
# Forecasting

Scores of [`elman train`](command_line.md#how-it-trains) beside its baselines on {count} series,
public ones from the packages statsmodels and sktime and simulated ones. To forecast a table of your
own, see [the command line](command_line.md#a-forecast).

Each series is forecast from {origins} origins: the first {shares} % of the steps are known
(their last fifth is the validation part), and the next tenth is forecast one step at a time. The
score is the RMSE over these tenths.

The baselines are the last value, the mean, and a linear model of the last steps. They are fitted to
all known steps, with the same choice of lags and penalty as the start of the network. *Ratio* is
the RMSE of the network divided by the RMSE of the best baseline on the forecast steps, below 1
where the network is better: the median and the range of {seeds} seeds. *Kept* is how many of the
{trials} corrections were kept.

`python bench/forecasting.py --page` writes this page; do not edit it by hand.

"""
END = """
Simulated: {made}.

{date}, commit {commit}, effort {effort}, {versions}. The slowest search took {slowest:.0f} s,
on one thread of a shared machine.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page."""
    series = results["series"]
    seeds = len(next(iter(series.values()))["runs"])
    parts = [
        BEGIN.format(
            count=len(series),
            origins=len(ORIGINS),
            shares=", ".join(f"{100 * origin:.0f}" for origin in ORIGINS),
            seeds=seeds,
            trials=seeds * len(ORIGINS),
        )
    ]
    groups = {
        f"Series of at least {LONG} steps": [
            n for n, e in series.items() if e["steps"] >= LONG and not e["plain"]
        ],
        "Noise, random walks and a linear series": [n for n, e in series.items() if e["plain"]],
        f"Series of fewer than {LONG} steps": [
            n for n, e in series.items() if e["steps"] < LONG and not e["plain"]
        ],
    }
    for title, names in groups.items():
        if names:
            parts += [f"## {title}\n\n", table({name: series[name] for name in names}), "\n"]
            parts += [f"{verdict({name: series[name] for name in names})}\n\n"]
    made = ", ".join(n for n, e in series.items() if not e["about"].endswith(")"))
    seconds = max(run["seconds"] for e in series.values() for run in e["runs"])
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        "".join(parts).rstrip("\n")
        + "\n"
        + END.format(made=made, slowest=seconds, **results | {"versions": versions})
    )


def table(series: dict[str, Any]) -> str:
    """Return a table of series."""
    lines = [
        "| series | | steps | last value | mean | linear | network | ratio | range | kept |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in series.items():
        runs, found = entry["runs"], ratios(entry)
        kinds = ("the last value", "the mean", "linear")
        others = [f"{runs[0]['rmse'][kind]:.4g}" for kind in kinds]
        network = f"{np.median([run['rmse']['network'] for run in runs]):.4g}"
        kept = sum(run["corrections"] for run in runs)
        cells = [name, entry["about"], str(entry["steps"]), *others, network]
        cells += [f"{np.median(found):.3f}", f"{min(found):.3f} to {max(found):.3f}", str(kept)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def verdict(series: dict[str, Any]) -> str:
    """Return on how many series the network beats the best baseline, and the worst ratio."""
    found = {name: float(np.median(ratios(entry))) for name, entry in series.items()}
    ahead = [name for name, ratio in found.items() if ratio < 0.98]
    public = [name for name, entry in series.items() if entry["about"].endswith(")")]
    of_public = f" (of the {len(public)} public: {len({*ahead} & {*public})})" if public else ""
    worst = max(found, key=found.__getitem__)
    behind = f"{100 * (found[worst] - 1):.1f} % behind" if found[worst] > 1 else "not behind"
    return (
        f"More than 2 % better than the best baseline: {len(ahead)} of {len(found)}{of_public}."
        f" Worst: {behind} ({worst})."
    )


if __name__ == "__main__":
    main()
