"""`elman train`: fit a network to a table, score it on a held-out part, write it to a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman.cli import baselines, report
from elman.cli.examples import read, split
from elman.errors import ArgumentError
from elman.training import recipe
from elman.training.data import mean_and_std

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from elman._network import Network
    from elman.cli.baselines import Answers
    from elman.cli.examples import Examples, Question, Span, Split
    from elman.training import TrainResult

    Array = NDArray[Any]
    Facts = dict[str, Any]

SERIES_STEPS = 32  # default of --bptt for one long series
PLOTS = (".svg", ".png", ".pdf")
SHOWN = 4  # targets with a column in the table of errors
HISTORY = ("epoch", "loss", "validation_loss")


class Settings(NamedTuple):
    """Training settings; the options of `elman train`."""

    hidden: int
    layers: int
    epochs: int
    learning_rate: float
    batch_size: int
    bptt: int | None
    validation: float
    holdout: float
    patience: int
    seed: int
    threads: int


class Scaling(NamedTuple):
    """Means and standard deviations of the training part."""

    input_mean: Array
    input_std: Array
    output_mean: Array | None  # None for classes
    output_std: Array | None


def train(
    source: str,
    targets: str | None,
    question: Question,
    settings: Settings,
    period: int | None,
    output: str,
    plot: str | None,
    as_json: bool,
) -> None:
    """Read the examples, train, write the model, and print its scores."""
    _require_usable(output, plot, [source, targets or source])
    examples = read(source, targets, question)
    if period is not None and examples.task != "forecast":
        raise ArgumentError(f"--period: expected only for forecasts, got it for {examples.task}")
    parts = split(examples, settings.validation, settings.holdout, settings.seed)
    scaling = _scaling(examples, parts.training)
    result = _fit(examples, parts, scaling, settings)
    net = _with_scaling(result.network, examples, scaling)
    net.save(output)
    if plot is not None:
        elman.plot.history(result.history).savefig(plot)
    facts = {
        **_about(examples, parts, result),
        "network": report.describe(net),
        "scores": _scores(net, examples, parts, scaling, period),
        "output": output,
        "plot": plot,
    }
    if as_json:
        report.print_json(facts)
    else:
        from rich.console import Console

        _show(Console(highlight=False), net, facts)


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
        import elman.plot  # noqa: F401 (now: matplotlib may be missing)


# --- fitting --------------------------------------------------------------------------------------


def _scaling(examples: Examples, training: list[Span]) -> Scaling:
    inputs = mean_and_std(
        np.concatenate([examples.x[i][start:stop] for i, start, stop in training])
    )
    if examples.table.classes:
        return Scaling(*inputs, None, None)
    return Scaling(*inputs, *mean_and_std(baselines.truth(examples, training)))


def _fit(examples: Examples, parts: Split, scaling: Scaling, settings: Settings) -> TrainResult:
    """Train a network on standardized values."""
    net = elman.Network(
        input_size=len(examples.table.inputs),
        hidden_size=settings.hidden,
        num_layers=settings.layers,
        output_size=len(examples.answers),
        output_activation="softmax" if examples.table.classes else "identity",
        seed=settings.seed,
        dtype=recipe.DTYPE,  # init="glorot" was worse: 0.652 instead of 0.625 on the sunspots
    )
    in_one = len(examples.x) == 1
    training = _standardised(examples, parts.training, scaling)
    return elman.train(
        net,
        training["x"],
        training["y"],
        loss="cross_entropy" if examples.table.classes else "mse",
        outputs=examples.table.outputs,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        bptt_steps=settings.bptt or (SERIES_STEPS if in_one else None),
        clip_norm=recipe.CLIP_NORM,
        validation=_standardised(examples, parts.validation, scaling) if parts.validation else None,
        patience=settings.patience if parts.validation else None,
        seed=settings.seed,
        progress=True,
        threads=settings.threads,
    )


def _standardised(
    examples: Examples, spans: list[Span], scaling: Scaling
) -> dict[str, list[Array]]:
    """Return scaled sequences, with weight 0 on the steps before each span."""
    x = [(examples.x[i][:stop] - scaling.input_mean) / scaling.input_std for i, _, stop in spans]
    y = [examples.y[i] for i, _, _ in spans]
    if scaling.output_std is not None:
        y = [(part - scaling.output_mean) / scaling.output_std for part in y]
    if examples.table.outputs == "last":
        return {"x": x, "y": y}
    y = [part[:stop] for part, (_, _, stop) in zip(y, spans, strict=True)]
    weights = [(np.arange(stop) >= start).astype(float) for _, start, stop in spans]
    return {"x": x, "y": y, "step_weight": weights}


def _with_scaling(net: Network, examples: Examples, scaling: Scaling) -> Network:
    """Return the network with scaling and a table, for unscaled inputs and outputs."""
    about = {"trained_by": f"elman train {elman.__version__}"}
    return net.replace(tensors=scaling._asdict(), metadata=about, table=examples.table)


# --- results --------------------------------------------------------------------------------------


def _about(examples: Examples, parts: Split, result: TrainResult) -> Facts:
    """Return the task, the split and the history."""
    one = len(examples.x) == 1
    return {
        "task": examples.task,
        "inputs": examples.table.inputs,
        "outputs": examples.answers,
        "horizon": max(examples.table.horizon, default=None),
        "counted_in": "steps" if one else "sequences",
        "parts": {
            name: sum(stop - start for _, start, stop in spans) if one else len(spans)
            for name, spans in parts._asdict().items()
        },
        "stopped": result.history.stopped,
        "best_epoch": result.history.best_epoch,
        "history": {name: list(getattr(result.history, name)) for name in HISTORY},
    }


def _scores(
    net: Network, examples: Examples, parts: Split, scaling: Scaling, period: int | None
) -> list[Facts]:
    """Score the network (first) and the baselines on the held-out part, if there is one."""
    if not parts.holdout:
        return []
    answers: dict[str, Answers] = {"this network": lambda i: net(examples.x[i])}
    answers |= baselines.baselines(examples, parts, period)
    right = baselines.truth(examples, parts.holdout)
    scores: list[Facts] = []
    for name, answer in answers.items():
        given = baselines.chosen(answer, examples, parts.holdout)
        if scaling.output_std is None:
            score = {"accuracy": float((given.argmax(axis=1) == right.argmax(axis=1)).mean())}
        else:
            error = given - right
            score = {
                "rmse": np.sqrt((error**2).mean(axis=0)).tolist(),
                "mae": np.abs(error).mean(axis=0).tolist(),
                "rmse_in_deviations": float(np.sqrt(((error / scaling.output_std) ** 2).mean())),
            }
        scores.append({"name": name, **score})
    return scores


def _show(console: Console, net: Network, facts: Facts) -> None:
    what = ", ".join(facts["outputs"][:6]) + (", ..." if len(facts["outputs"]) > 6 else "")
    ahead = f", {facts['horizon']} steps ahead" if (facts["horizon"] or 1) > 1 else ""
    counted = ", ".join(f"{count} {name}" for name, count in facts["parts"].items() if count)
    stopped = "" if facts["stopped"] == "epochs" else f", stopped by {facts['stopped']}"
    lines = {
        "task": f"{facts['task']} of {what}{ahead}",
        facts["counted_in"]: counted,
        "network": f"{report.sizes(net)}, {net.num_parameters} parameters in {net.dtype}",
        "epochs": f"{len(facts['history']['epoch'])}, best {facts['best_epoch']}{stopped}",
        "written": ", ".join(filter(None, (facts["output"], facts["plot"]))),
    }
    for key, value in lines.items():
        console.print(f"{key:11}{report.printable(value)}", markup=False, soft_wrap=True)
    if facts["scores"]:
        _show_scores(console, facts)


def _show_scores(console: Console, facts: Facts) -> None:
    """Print a table of the held-out scores, and a note if a baseline is best."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    scores, names = facts["scores"], facts["outputs"]
    if "accuracy" in scores[0]:
        columns = {"accuracy": [f"{100 * score['accuracy']:.1f} %" for score in scores]}
        best = max(scores, key=lambda score: score["accuracy"])
    elif len(names) == 1:
        columns = {
            title.upper(): [f"{score[title][0]:.4g}" for score in scores]
            for title in ("rmse", "mae")
        }
        best = min(scores, key=lambda score: score["rmse_in_deviations"])
    else:
        columns = {
            f"RMSE {name}": [f"{score['rmse'][j]:.4g}" for score in scores]
            for j, name in enumerate(names[:SHOWN])
        }
        columns["in deviations"] = [f"{score['rmse_in_deviations']:.4g}" for score in scores]
        best = min(scores, key=lambda score: score["rmse_in_deviations"])
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Held out", overflow="fold")
    for title in columns:
        table.add_column(Text(report.printable(title)), justify="right", overflow="fold")
    for score, cells in zip(scores, zip(*columns.values(), strict=True), strict=True):
        table.add_row(score["name"], *cells)
    console.print()
    console.print(table)
    if best is not scores[0]:
        console.print(f"\nThe best is {best['name']}, not the network.", markup=False)
