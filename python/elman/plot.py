"""Plots of a training run and of a forecast; requires the extra `plot` (matplotlib)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from elman import _files

_files.extra("matplotlib", "elman.plot", "'elman[plot]'")

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from elman.forecasting.ahead import Forecast, Part
    from elman.training import History

__all__ = ["forecast", "history"]

CHARTS = 12  # at most so many in a figure


class _Figure(Figure):  # type: ignore[misc, unused-ignore]
    """A figure that a notebook displays even if matplotlib is not set up for it there."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def history(history: History) -> Figure:
    """Plot the losses of each epoch and mark the best epoch.

    Parameters
    ----------
    history : History
        `history` of a result of `elman.train`.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with a logarithmic axis of losses if they are above 0. Save it with
        `figure.savefig("history.svg")`; notebooks display it as the last value of a cell.

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    >>> x = np.sin(np.arange(50.0))[:, None]
    >>> result = elman.train(net, x[:-1], x[1:], epochs=3)
    >>> elman.plot.history(result.history).axes[0].get_xlabel()
    'epoch'
    """
    figure = _Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(history.epoch, history.loss, label="training", color="#1f77b4")
    if history.validation_loss:
        axes.plot(history.epoch, history.validation_loss, label="validation", color="#d62728")
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, label="best epoch", color="#8c8c8c", linestyle="--")
    if min(history.loss, default=0) > 0:
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return figure


def forecast(forecast: Forecast) -> Figure:
    """Plot a forecast with its intervals, after the end of the data.

    The dashed line is the forecast that would have been made as many steps before the end of the
    data: how well it fits the data shows what to expect.

    Parameters
    ----------
    forecast : Forecast
        The result of `elman.forecast`.

    Returns
    -------
    matplotlib.figure.Figure
        A chart for each column of each sequence, for the first twelve.

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    >>> result = elman.forecast(net, np.sin(np.arange(200.0))[:, None], steps=5)
    >>> elman.plot.forecast(result).axes[0].get_xlabel()
    'steps ahead'
    """
    charts = [(part, j) for part in forecast.parts for j in range(len(forecast.columns))][:CHARTS]
    figure = _Figure(figsize=(8, 1 + 2.6 * len(charts)), layout="constrained")
    all_axes = figure.subplots(len(charts), squeeze=False)[:, 0]
    for axes, (part, j) in zip(all_axes, charts, strict=True):
        _draw(axes, forecast, part, j)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _draw(axes: Axes, forecast: Forecast, part: Part, j: int) -> None:
    """Draw one column of one sequence."""
    steps = forecast.steps[: len(part.values)]
    past: NDArray[Any] = np.arange(1 - len(part.past), 1)  # 0 is the end of the data
    later = steps
    if part.times is not None and part.past_times is not None:
        past, later = part.past_times, part.times
    else:
        axes.set_xlabel("steps ahead")
    axes.plot(past, part.past[:, j], label="data", color="#333333")
    if part.earlier is not None:
        before = past[steps - steps[-1] - 1]
        label = f"forecast {steps[-1]} steps before the end"
        axes.plot(before, part.earlier[:, j], label=label, color="#1f77b4", linestyle="--")
    axes.plot(later, part.values[:, j], label="forecast", color="#d62728")
    if part.lower is not None and part.upper is not None:
        label = f"{100 * (forecast.interval or 0):g} % interval"
        ends = part.lower[:, j], part.upper[:, j]
        axes.fill_between(later, *ends, label=label, color="#d62728", alpha=0.2, linewidth=0)
    key = "" if part.key is None else f", {part.key}"
    axes.set_ylabel(f"{forecast.columns[j]}{key}")
