"""`elman train`: fit a network to a table, score it on a held-out part, write it to a file."""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman import _files
from elman._arguments import processors
from elman._text import printable
from elman.cli import layout, report
from elman.cli.examples import read
from elman.cli.splitting import split
from elman.errors import ArgumentError, DivergenceError, LimitError
from elman.forecasting import work
from elman.forecasting.baselines import baselines
from elman.forecasting.parts import Scaling, chosen, standardised, truth
from elman.forecasting.pool import Pool
from elman.forecasting.search import Search
from elman.training import recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.cli.examples import Question
    from elman.forecasting.parts import Answers, Examples, Parts
    from elman.forecasting.pool import Progress
    from elman.training import TrainResult

    Array = NDArray[Any]
    Facts = dict[str, Any]

OUTPUT = "model.safetensors"  # the default of --output
RESTARTS = 10  # at most, of a training without a search
SERIES_STEPS = 32  # default of --bptt for one long series
DIVERGED = 4.0  # times the loss of an untrained network, or of predicting means
PLOTS = (".svg", ".png", ".pdf")
SHOWN = 4  # outputs with a column in the table of errors
HISTORY = ("epoch", "loss", "validation_loss", "learning_rate")


class Plain(NamedTuple):
    """Options of one plain training."""

    hidden: int = 32
    layers: int = 1
    epochs: int = 500
    learning_rate: float = 5e-3
    batch_size: int = 16
    bptt: int | None = None  # None: SERIES_STEPS for one series, all steps for several
    patience: int = 50


class Settings(NamedTuple):
    """How to train; the other options of `elman train`."""

    effort: int | None
    plain: bool
    options: dict[str, Any]  # those of Plain that are given
    validation: float
    holdout: float
    seed: int
    threads: int | None  # None: one, or for a search all processors


class Trained(NamedTuple):
    """A network in the scale of the data, its description, and its baselines."""

    network: Network
    facts: Facts  # for JSON
    lines: dict[str, str]  # to print
    baselines: dict[str, Answers]


def train(
    source: str,
    targets: str | None,
    question: Question,
    settings: Settings,
    period: int | None,
    output: str | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Read the examples, train, write the model, and print its scores."""
    if output is None and os.path.lexists(OUTPUT):
        raise ArgumentError(f"--output: {OUTPUT} exists: use -o {OUTPUT} to replace it, or -o FILE")
    output = output or OUTPUT
    _require_usable(output, plot, [source, targets or source])
    examples = read(source, targets, question)
    if period is not None and examples.task != "forecast":
        raise ArgumentError(f"--period: expected only for forecasts, got it for {examples.task}")
    searched = _is_searched(examples, settings, plot)
    parts = split(examples, settings.validation, settings.holdout, settings.seed)
    if searched:
        trained = _search(examples, parts, settings, period, as_json)
    else:
        trained = _train(examples, parts, settings, period, plot, as_json)
    about = {"trained_by": f"elman train {elman.__version__}"}
    net = trained.network.replace(metadata=about, table=examples.table)
    net.save(output)
    facts = {
        **_about(examples, parts),
        **trained.facts,
        "network": report.describe(net),
        "scores": _scores(net, examples, parts, trained.baselines),
        "output": output,
        "plot": plot,
    }
    if as_json:
        report.print_json(facts)
    else:
        _show(net, facts, trained.lines, settings)


def _require_usable(output: str, plot: str | None, sources: list[str]) -> None:
    """Refuse unwritable output files before any work."""
    for option, path in (("--output", output), ("--plot", plot)):
        if path is None:
            continue
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise ArgumentError(f"{option}: expected a writable folder, got {folder}")
        if os.path.isdir(path):
            raise ArgumentError(f"{option}: expected a file, got the folder {path}")
        for source in filter(os.path.exists, sources):
            if os.path.exists(path) and os.path.samefile(source, path):
                raise ArgumentError(f"{option}: {path} would overwrite the data")
    if plot is not None:
        suffix = os.path.splitext(plot)[1]
        if suffix not in PLOTS:
            raise ArgumentError(f"--plot: expected a suffix {', '.join(PLOTS)}, got {plot}")
        if os.path.realpath(plot) == os.path.realpath(output):
            raise ArgumentError(f"--plot: expected a file other than the model, got {plot}")
        import elman.plot  # noqa: F401 (now: matplotlib may be missing)


def _is_searched(examples: Examples, settings: Settings, plot: str | None) -> bool:
    """Return whether to search; refuse options that do not apply."""
    if settings.plain and settings.effort is not None:
        raise ArgumentError("--effort: expected none with --plain, which trains only once")
    if settings.plain or examples.table.outputs == "last" or examples.table.classes:
        return False
    options = [f"--{name.replace('_', '-')}" for name in settings.options]
    for option in [*options, *(["--plot"] if plot else [])]:
        why = "there is no single loss to plot" if option == "--plot" else "a search chooses it"
        raise ArgumentError(f"{option}: expected only with --plain, because otherwise {why}")
    return True


# --- the search -----------------------------------------------------------------------------------


def _search(
    examples: Examples, parts: Parts, settings: Settings, period: int | None, as_json: bool
) -> Trained:
    """Search for a network that starts as a linear model."""
    effort = settings.effort or work.EFFORT
    threads = settings.threads or processors()
    search = Search(examples, parts, effort, settings.seed, period)
    if search.trials and not as_json:
        _say_plan(
            "search", len(search.trials), search.multiply_adds, search.seconds(threads), threads
        )
    with _progress() as progress:
        found = search.run(threads, progress)
    facts: Facts = {
        "effort": effort,
        "trainings": found.trainings,
        "multiply_adds": search.multiply_adds,
        "start": found.start,
        "correction": found.correction,
        "gain": found.gain,
        "noise": found.noise,
        "interrupted": found.interrupted,
    }
    correction = found.correction or f"none, because {found.reason}"
    if found.gain is not None and found.noise is not None:
        gain, noise = (f"{round(100 * v, 1) + 0.0} %" for v in (found.gain, found.noise))
        correction += f": {gain} of RMSE, standard error {noise}"
    lines = {"start": found.start, "correction": correction}
    if found.interrupted:
        lines["ended"] = "by Ctrl-C, with the best so far"
    return Trained(found.network, facts, lines, found.baselines)


def _say_plan(key: str, trainings: int, multiply_adds: float, seconds: float, threads: int) -> None:
    """Print the planned work."""
    workers = "1 thread" if threads == 1 else f"{threads} threads"
    about = f"about {max(1, math.ceil(seconds))} s on {workers}"
    _say(key, f"{trainings} trainings, {multiply_adds:.1e} multiply-adds, {about}")


@contextlib.contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield a function that shows how many trainings are done, on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\rtraining {done}/{total}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


# --- trainings from random weights ----------------------------------------------------------------


def _train(
    examples: Examples,
    parts: Parts,
    settings: Settings,
    period: int | None,
    plot: str | None,
    as_json: bool,
) -> Trained:
    """Train a network, or several and take the one with the lowest validation loss."""
    options = Plain(**settings.options)
    if not 0 < options.learning_rate < math.inf:
        raise ArgumentError(
            f"--learning-rate: expected a number above 0, got {options.learning_rate:g}"
        )
    scaling = Scaling.of(examples, parts.training)
    arguments = _arguments(examples, parts, scaling, options)
    try:
        results = _results(examples, parts, settings, options, arguments, as_json)
    except MemoryError:
        raise LimitError("--hidden: so many units do not fit in memory") from None
    result = min(results, key=_lowest_loss)
    history = result.history
    if plot is not None:
        from elman.plot import paper

        drawn = io.BytesIO()
        paper.save(elman.plot.history(history), drawn, os.path.splitext(plot)[1][1:])
        _files.replace(plot, drawn.getvalue())
    facts: Facts = {
        "trainings": len(results),
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "history": {name: list(getattr(history, name)) for name in HISTORY},
    }
    ended = {"epochs": "", "interrupt": ", ended by Ctrl-C"}
    stopped = ended.get(str(history.stopped), f", stopped by {history.stopped}")
    which = "" if len(results) == 1 else f"; the best of {len(results)} trainings"
    lines = {"epochs": f"{len(history.epoch)}, best {history.best_epoch}{stopped}{which}"}
    net = result.network.replace(tensors=scaling._asdict())
    return Trained(net, facts, lines, baselines(examples, parts, period))


def _lowest_loss(result: TrainResult) -> float:
    return min(result.history.validation_loss or result.history.loss)


def _arguments(
    examples: Examples, parts: Parts, scaling: Scaling, options: Plain
) -> dict[str, Any]:
    """Return the arguments of `elman.train`, on standardized values, without network and seed."""
    classes, outputs = examples.table.classes, examples.table.outputs
    x = [scaling.x(sequence) for sequence in examples.x]
    y = examples.y if classes else [scaling.y(values) for values in examples.y]
    validation = standardised(x, y, parts.validation, outputs) if parts.validation else None
    steps = options.bptt or (SERIES_STEPS if len(x) == 1 else None)
    return {
        **standardised(x, y, parts.training, outputs),
        "loss": "cross_entropy" if classes else "mse",
        "outputs": outputs,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "batch_size": options.batch_size,
        "bptt_steps": steps and min(steps, max(map(len, x))),
        "clip_norm": recipe.CLIP_NORM,
        "validation": validation,
        "patience": options.patience if validation else None,
    }


def _results(
    examples: Examples,
    parts: Parts,
    settings: Settings,
    options: Plain,
    arguments: dict[str, Any],
    as_json: bool,
) -> list[TrainResult]:
    """Train as often as the effort allows; return the trainings that did not diverge."""
    net = _network(examples, options, settings.seed)
    each, restarts = _cost(net, parts, options, arguments["bptt_steps"]), 1
    if parts.validation and not settings.plain:
        affordable = work.budget(settings.effort or work.EFFORT) // each
        restarts = int(min(max(1, affordable), RESTARTS))
    results: list[TrainResult | None] = []
    if restarts == 1:
        threads = settings.threads or 1
        with contextlib.suppress(DivergenceError):
            results.append(
                elman.train(net, **arguments, seed=settings.seed, progress=True, threads=threads)
            )
    else:
        threads = settings.threads or processors()
        if not as_json:
            seconds = restarts * each / work.speed(net) / min(threads, restarts)
            _say_plan("at most", restarts, restarts * each, seconds, threads)
        seeds = [(settings.seed + (k << 32)) % 2**64 for k in range(restarts)]
        jobs = [
            {"net": _network(examples, options, seed), "seed": seed, **arguments} for seed in seeds
        ]
        with _progress() as progress, Pool(threads, restarts, progress) as pool:
            results += pool.train(jobs)
    classes = examples.table.classes
    data = {name: arguments[name] for name in ("x", "y", "step_weight") if name in arguments}
    objective = {name: arguments[name] for name in ("loss", "outputs")}
    untrained = elman.Trainer(net, **objective).loss(**data)
    level = DIVERGED * max(untrained, math.log(len(classes)) if classes else 1.0)
    good = [result for result in results if result is not None and _final_loss(result) <= level]
    if not good:
        rate = options.learning_rate
        raise ArgumentError(
            f"--learning-rate: the training diverged at {rate:g}: try less than {rate / 10:g}"
        )
    return good


def _final_loss(result: TrainResult) -> float:
    """Return the training loss in the best epoch."""
    if not result.history.epoch:  # nothing to keep
        raise KeyboardInterrupt
    return result.history.loss[(result.history.best_epoch or 1) - 1]


def _network(examples: Examples, options: Plain, seed: int) -> Network:
    """Return an untrained network."""
    try:
        return elman.Network(
            input_size=examples.x[0].shape[1],
            hidden_size=options.hidden,
            num_layers=options.layers,
            output_size=len(examples.table.output_names),
            output_activation="softmax" if examples.table.classes else "identity",
            seed=seed,
            dtype=recipe.DTYPE,  # init="glorot" was worse: 0.652 instead of 0.625 on the sunspots
        )
    except LimitError:
        raise LimitError("--hidden: so many units do not fit in memory") from None


def _cost(net: Network, parts: Parts, options: Plain, window: int | None) -> float:
    """Return the most multiply-adds of a training."""
    training, validation = (
        sum(stop for _, _, stop in spans) for spans in (parts.training, parts.validation)
    )
    longest = max(stop for _, _, stop in parts.training)
    updates = math.ceil(len(parts.training) / options.batch_size)
    updates *= math.ceil(longest / (window or longest))
    return work.cost(net.num_parameters, options.epochs, training, validation, updates)


# --- results --------------------------------------------------------------------------------------


def _about(examples: Examples, parts: Parts) -> Facts:
    """Return the task and the split."""
    one = len(examples.x) == 1
    return {
        "task": examples.task,
        "inputs": examples.table.input_names,
        "outputs": examples.table.output_names,
        "horizon": examples.table.horizon or None,
        "counted_in": "steps" if one else "sequences",
        "parts": {
            name: sum(stop - start for _, start, stop in spans) if one else len(spans)
            for name, spans in parts._asdict().items()
        },
    }


def _scores(
    net: Network, examples: Examples, parts: Parts, others: dict[str, Answers]
) -> list[Facts]:
    """Score the network (first) and the baselines on the held-out part, if there is one."""
    if not parts.holdout:
        return []
    answers: dict[str, Answers] = {"this network": lambda i: net(examples.x[i]), **others}
    right = truth(examples, parts.holdout)
    std = Scaling.of(examples, parts.training).output_std
    scores: list[Facts] = []
    for name, answer in answers.items():
        given = chosen(answer, examples, parts.holdout)
        if std is None:
            score = {"accuracy": float((given.argmax(axis=1) == right.argmax(axis=1)).mean())}
        else:
            error = given - right
            score = {
                "rmse": np.sqrt((error**2).mean(axis=0)).tolist(),
                "mae": np.abs(error).mean(axis=0).tolist(),
                "rmse_in_deviations": float(np.sqrt(((error / std) ** 2).mean())),
            }
        scores.append({"name": name, **score})
    return scores


def _say(key: str, value: str) -> None:
    print(f"{key:11}{printable(value)}", flush=True)


def _show(net: Network, facts: Facts, lines: dict[str, str], settings: Settings) -> None:
    what = ", ".join(facts["outputs"][:6]) + (", ..." if len(facts["outputs"]) > 6 else "")
    horizon = facts["horizon"] or (1,)
    ahead = f", {horizon[0]} steps ahead" if len(horizon) == 1 and horizon[0] > 1 else ""
    counted = ", ".join(f"{count} {name}" for name, count in facts["parts"].items() if count)
    described = {
        "task": f"{facts['task']} of {what}{ahead}",
        facts["counted_in"]: counted,
        "network": f"{report.sizes(net)}, {net.num_parameters} parameters in {net.dtype}",
        **lines,
        "written": ", ".join(filter(None, (facts["output"], facts["plot"]))),
    }
    for key, value in described.items():
        _say(key, value)
    if facts["scores"]:
        _show_scores(facts["scores"], facts["outputs"])
        if advice := _advice(net, facts, settings):
            print(f"\n{advice}")


def _show_scores(scores: list[Facts], names: list[str]) -> None:
    """Print a table of the held-out scores, as wide as it needs to be."""
    if "accuracy" in scores[0]:
        columns = {"accuracy": [f"{100 * score['accuracy']:.1f} %" for score in scores]}
    elif len(names) == 1:
        columns = {
            title.upper(): [f"{score[title][0]:.4g}" for score in scores]
            for title in ("rmse", "mae")
        }
    else:
        shown = list(range(len(names)))
        if len(names) > SHOWN:
            shown = sorted({round(k * (len(names) - 1) / (SHOWN - 1)) for k in range(SHOWN)})
        columns = {
            f"RMSE {names[j]}": [f"{score['rmse'][j]:.4g}" for score in scores] for j in shown
        }
        columns["in deviations"] = [f"{score['rmse_in_deviations']:.4g}" for score in scores]
    from rich.console import Console

    rows = zip([score["name"] for score in scores], *columns.values(), strict=True)
    print()
    console = Console(highlight=False, width=layout.UNLIMITED)  # one line per score
    layout.print_rows(console, ["Held out", *columns], rows, words=1)


def _advice(net: Network, facts: Facts, settings: Settings) -> str | None:
    """Return the name of a baseline that is better than the network and what to try, or None."""
    scores = facts["scores"]
    if "accuracy" in scores[0]:
        best = max(scores, key=lambda score: score["accuracy"])
        better = best["accuracy"] > scores[0]["accuracy"]
    else:
        best = min(scores, key=lambda score: score["rmse_in_deviations"])
        better = best["rmse_in_deviations"] < scores[0]["rmse_in_deviations"] * (1 - 1e-3)
    if not better:
        return None
    tips = []
    if "effort" in facts and facts["effort"] < 10:
        tips.append(f"--effort {min(10, facts['effort'] + 2)}")
    if settings.plain and "accuracy" not in scores[0]:
        tips.append("training without --plain")
    tips.append("other --inputs")
    if net.table is not None and net.table.time is not None and not net.table.calendar:
        tips.append("--calendar hour,weekday,yearday")
    if facts["task"] == "forecast":
        tips.append("differences, for a series that drifts")
    if "effort" not in facts:
        tips.append("more --hidden units or another --seed")
    return f"The best is {best['name']}, not the network. Worth trying: {'; '.join(tips)}."
