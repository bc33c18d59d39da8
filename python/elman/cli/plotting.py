"""`elman plot`: pictures of a model, as a file, as JSON, or as plain text."""

from __future__ import annotations

import io
import json
import os
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman import _files
from elman._text import printable
from elman.cli import heatmap, models, plot, report
from elman.errors import ArgumentError, TableError
from elman.files.arrays import ArraySource
from elman.files.opening import opened
from elman.files.output import open_output
from elman.training import checkpoint
from elman.training.data import collect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman._network import Network
    from elman._typing import Array
    from elman.dynamics import GradientFlow
    from elman.training.data import Data
    from elman.views.export import View

FILES = (".svg", ".png", ".pdf")
OF_MODEL = ("network", "unrolled", "weights", "eigenvalues", "phase_plane")
OF_DATA = ("states", "sequence", "trajectory")
KINDS = (*OF_MODEL, *OF_DATA, "gradients", "comparison", "history")
TEXTS = ("states", "history")
LABEL_EVERY = 12  # columns of a text plot
ORDERS = {  # what is said of the order of units
    "similarity": " Units that rise and fall together are neighbours.",
    "peak": " Units are in the order of their peaks.",
    "given": "",
}


class Settings(NamedTuple):
    """The options of `elman plot`."""

    steps: int | None
    mode: str | None
    order: str | None
    number: int | None
    sequence: str | None
    missing: str | None


APPLY = {  # options that only some pictures have
    "steps": ("unrolled",),
    "mode": ("unrolled",),
    "order": ("states", "sequence"),
    "number": ("unrolled", "states", "sequence", "gradients"),
    "sequence": ("unrolled", *OF_DATA),
    "missing": ("unrolled", *OF_DATA, "gradients"),
}


def draw(
    kind: str,
    model: str,
    data: str | None,
    targets: str | None,
    settings: Settings,
    output: str | None,
    as_json: bool,
) -> None:
    """Draw one picture to a file, print its data, or print it as text."""
    _require_usable(kind, data, targets, settings, output, as_json)
    if kind == "history":
        view = elman.views.history(_history(model))
    else:
        view = _view(kind, models.load(model, data), data, targets, settings)
    if output is not None:
        _write(view, output, tuple(filter(None, (model, data, targets))))
    if as_json:
        print(elman.views.to_json(view))
    elif output is None:
        _print_text(view, settings.order or "similarity")
    else:
        print(f"written: {printable(output)}")


def _require_usable(
    kind: str,
    data: str | None,
    targets: str | None,
    settings: Settings,
    output: str | None,
    as_json: bool,
) -> None:
    """Refuse contradictory arguments and unusable files before any work."""
    if kind not in KINDS:
        raise ArgumentError(f"KIND: expected one of {', '.join(KINDS)}, got {kind}")
    needs = kind in (*OF_DATA, "gradients", "comparison")
    if needs and data is None:
        what = "the model's source" if kind == "comparison" else "a table or an array"
        raise ArgumentError(f"DATA: expected {what} for {kind}, got none")
    if not needs and kind != "unrolled" and data is not None:
        raise ArgumentError(f"DATA: expected none for {kind}, got {data}")
    if targets is not None and kind != "gradients":
        raise ArgumentError(f"TARGETS: expected none for {kind}, got {targets}")
    for option, kinds in APPLY.items():
        value = getattr(settings, option)
        if value is not None and kind not in kinds:
            raise ArgumentError(
                f"--{option}: expected only for {', '.join(kinds)}, got {value} for {kind}"
            )
    if output is None:
        if kind not in TEXTS and not as_json:
            raise ArgumentError(
                f"--output: expected a file {', '.join(FILES)} for {kind}: only"
                f" {' and '.join(TEXTS)} can be printed as text"
            )
        return
    if _suffix(output) not in FILES:
        raise ArgumentError(f"--output: expected a suffix {', '.join(FILES)}, got {output}")
    import elman.plot  # noqa: F401 (now: matplotlib may be missing)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


# --- what is drawn --------------------------------------------------------------------------------


def _view(
    kind: str, net: Network, data: str | None, targets: str | None, settings: Settings
) -> View:
    """Return the data of the picture of a model."""
    mode, number = settings.mode or "many-to-many", settings.number or 0
    if kind == "unrolled" and data is None:
        return elman.views.unrolled(net, settings.steps, mode)
    if kind in OF_MODEL and data is None:
        of_model: Callable[[Network], View] = getattr(elman.views, kind)
        return of_model(net)
    assert data is not None
    if kind == "gradients":
        return elman.views.gradients(_flow(net, data, targets, settings))
    if kind == "comparison":
        x = report.random_inputs(net, report.RANDOM_SHAPE, seed=0).astype(net.dtype)
        return elman.views.comparison(elman.compare(net, data, x))
    x, lengths = report.read_inputs(net, data, settings.sequence, settings.missing)
    trace = net.trace(x, lengths=lengths)
    if kind == "trajectory":
        return elman.views.trajectory(trace)
    _require_number(number, int(np.prod(x.shape[:-2])))
    if kind == "unrolled":
        return elman.views.unrolled(trace, settings.steps, mode, sequence=number)
    of_trace = elman.views.states if kind == "states" else elman.views.sequence
    order = settings.order or "similarity"
    return of_trace(trace, sequence=number, order=order)


def _flow(net: Network, source: str, targets: str | None, settings: Settings) -> GradientFlow:
    """Return the flow of gradients over one sequence of a table, or over arrays."""
    classes = net.table is not None and net.table.classes
    loss = "cross_entropy" if classes else "mse"
    if targets is not None:
        x, y = _numbers(net, source), _targets(targets)
        each_step = y.shape[: x.ndim - 1] == x.shape[:-1]
        outputs = "all" if each_step else "last"
        batch = x.shape[:-2]
        if settings.number is not None and y.shape[: len(batch)] == batch:
            _require_number(settings.number, int(np.prod(batch)))
            at = np.unravel_index(settings.number, batch) if batch else ()
            x, y = x[at], y[at]
        return elman.dynamics.gradient_flow(net, x, y, loss=loss, outputs=outputs)
    with opened(source) as file:
        if file.is_array:
            raise ArgumentError(f"TARGETS: expected those of the array {source}, got none")
    sequence = None if net.table is None else net.table.sequence
    frame = elman.read_table(source, sequence=sequence, missing=settings.missing)
    outputs = "all" if net.table is None else net.table.outputs
    x, y = _examples(collect(net, frame, frame, outputs), settings.number or 0)
    return elman.dynamics.gradient_flow(net, x, y, loss=loss, outputs=outputs)


def _numbers(net: Network, path: str) -> Array:
    """Return the inputs in an NPY file."""
    x, lengths = report.read_inputs(net, path, None, None)
    if lengths is not None:
        raise ArgumentError(f"TARGETS: expected none for the table {path}, which has them")
    return x


def _targets(path: str) -> Array:
    """Return the targets in an NPY file."""
    with opened(path) as file:
        if not file.is_array:
            raise TableError(f"{file.name}: expected an NPY file of targets, like the inputs")
        return ArraySource(file).array


def _examples(data: Data, number: int) -> tuple[Array, Array]:
    """Return inputs and targets of one sequence, without the steps at its end that have none."""
    T = data.x.shape[-2]
    _require_number(number, int(np.prod(data.x.shape[:-2])))
    steps = T if data.lengths is None else int(data.lengths.reshape(-1)[number])
    x, y, weights = data.x, data.y, data.weights
    if x.ndim > 2:
        x, y, weights = x[number], y[number], None if weights is None else weights[number]
    if weights is not None and weights.ndim:
        steps = int(np.flatnonzero(weights)[-1]) + 1
    return x[:steps], y[:steps] if y.shape[:1] == (T,) else y


def _require_number(number: int, count: int) -> None:
    """Refuse a sequence that the data do not have."""
    if number >= count:
        raise ArgumentError(f"--number: expected a sequence from 0 to {count - 1}, got {number}")


def _history(path: str) -> dict[str, Any]:
    """Return the history of a run: from a checkpoint, or from what `elman train --json` printed."""
    with _files.opened(path) as (file, size):
        text = _files.read_whole(file, size)
    if not text.lstrip().startswith(b"{"):
        return checkpoint.recorded(path)
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise ArgumentError(
            f"{path}: expected JSON, as elman train --json prints: {error}"
        ) from None
    found = facts.get("history", facts)
    if not isinstance(found, dict) or "loss" not in found:
        raise ArgumentError(
            f"{path}: expected a history, as elman train --plain --json prints or a checkpoint"
            " contains, got none"
        )
    return {"best_epoch": facts.get("best_epoch"), **found}


def _write(view: View, output: str, sources: tuple[str, ...]) -> None:
    """Write the picture, whole or not at all."""
    from elman.plot import paper
    from elman.plot.drawing import draw_view

    drawn = io.BytesIO()
    paper.save(draw_view(view), drawn, _suffix(output)[1:])
    with open_output(output, sources=sources) as file:
        file.write(drawn.getvalue())


# --- plain text -----------------------------------------------------------------------------------


def _print_text(view: View, order: str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    plain = bool(console.options.ascii_only)
    if view["kind"] == "states":
        lines = _states(view, console.width, plain, order)
    else:
        lines = _losses(view, console.width, plain)
    for line in lines:
        print(line)


def _states(view: View, width: int, plain: bool, order: str) -> Iterator[str]:
    """Yield the lines of the states: a heat map for each layer, the top one first."""
    shades, T = heatmap.ASCII if plain else heatmap.UNICODE, len(view["steps"])
    every = rows = 1
    for panel in reversed(view["panels"]):
        values, names, (low, high) = (
            panel["values"],
            list(map(str, panel["units"])),
            panel["limits"],
        )
        scale = f"from {low:.3g} ({shades[0]}) to {high:.3g} ({shades[-1]})"
        yield from _folded(f"{panel['name']}: units by steps, {scale}", width)
        yield from heatmap.heatmap(values, names, (low, high), width, shades)
        yield ""
        every = max(every, heatmap.every(T, names, width))
        rows = max(rows, heatmap.rows_for(names))
    column = "" if every == 1 else f" A column is the mean of {every} steps."
    line = f" A line is the mean of {rows} neighbours, with the number of the first."
    said = f"{T} steps.{column}{ORDERS[order]}{line if rows > 1 else ''}"
    yield from _folded(said, width)


def _losses(view: View, width: int, plain: bool) -> Iterator[str]:
    """Yield the lines of a history: losses by epoch, on a logarithmic axis if all are above 0."""
    style = plot.ASCII if plain else plot.UNICODE
    epochs, loss, validation = view["epoch"], view["loss"], view["validation_loss"]
    if not len(validation):
        validation = np.full(len(loss), np.nan)
    every = max(1, -(-len(epochs) // max(1, width - plot.GUTTER - 8)))
    shown = np.arange(len(epochs) - 1, -1, -every)[::-1]  # the last epoch is shown
    labels = [f"{epochs[at]:.0f}" if i % LABEL_EVERY == 0 else "" for i, at in enumerate(shown)]
    values = np.stack([loss, validation])[:, shown]
    logarithmic = bool(np.nanmin(values) > 0)
    bars, dots = (np.log10(values) if logarithmic else values).tolist()
    name = _power if logarithmic else plot.number
    yield from plot.plot(labels, bars, dots, width, style, name=name)
    yield ""
    column = "" if every == 1 else f" A column is {every} epochs."
    dotted = f" Dots ({style.dot}): the validation loss." if len(view["validation_loss"]) else ""
    best = "" if view["best_epoch"] is None else f" The best epoch is {view['best_epoch']}."
    axis = " on a logarithmic axis" if logarithmic else ""
    said = f"Loss by epoch{axis}.{column} Bars: the training loss.{dotted}{best}"
    yield from _folded(said, width)


def _folded(text: str, width: int) -> list[str]:
    """Return the lines of a sentence."""
    return textwrap.wrap(text, max(width, 20))


def _power(value: float) -> str:
    return f"{10.0**value:.3g}"
