"""Pictures of training and its results: losses, gradients, comparisons, forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from elman import views
from elman.plot import paper
from elman.plot.paper import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from elman._typing import Array
    from elman.dynamics import GradientFlow
    from elman.forecasting.ahead import Forecast
    from elman.training import History, TrainResult
    from elman.views.export import View

__all__ = ["comparison", "forecast", "gradients", "history"]

LARGEST = 1e250  # on a logarithmic axis; the smallest is 1e-250
CHARTS = 12  # of a forecast, at most
FEW = 2  # epochs or less are drawn as points
DECADE = 10.0  # losses that differ by more have a logarithmic axis


def history(result: TrainResult | History | Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw the losses of each epoch, and the learning rate below them if it changes.

    The axis of losses is logarithmic if the largest is more than ten times the smallest.

    Parameters
    ----------
    result : TrainResult, History or mapping
        The result of `elman.train` or its `history`; or a dict of the same lists, such as
        `history.as_dict()`.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        The axes of the losses; a strip for the learning rate is `ax.child_axes[0]`.

    Raises
    ------
    ArgumentTypeError
        If the result is something else.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    >>> x = np.sin(np.arange(50.0))[:, None]
    >>> result = elman.train(net, x[:-1], x[1:], epochs=3)
    >>> elman.plot.history(result).get_xlabel()
    'epoch'
    """
    return draw_history(views.history(result), ax)


def draw_history(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `history`."""
    rates = view["learning_rate"]
    changes = len(np.unique(rates)) > 1
    ax = paper.axes(ax, 7, 4.6 if changes else 4)
    epoch = view["epoch"]
    marker: paper.Look = {"marker": "o"} if len(epoch) <= FEW else {}
    ax.plot(epoch, view["loss"], label="training", color=paper.BLUE, **marker)
    if len(view["validation_loss"]):
        dashes = paper.DASHES[1]
        values = view["validation_loss"]
        ax.plot(epoch, values, label="validation", color=paper.RED, linestyle=dashes, **marker)
    if view["best_epoch"] is not None:
        best = view["best_epoch"]
        ax.axvline(best, label=f"best epoch, {best}", color=paper.INK, linestyle=":", linewidth=1)
    losses = np.concatenate([view["loss"], view["validation_loss"]])
    losses = losses[np.isfinite(losses)]
    if 0 < DECADE * losses.min(initial=np.inf) < losses.max(initial=0.0):
        ax.set_yscale("log")
    ax.set_ylabel("loss")
    ax.legend(frameon=False)
    below = ax
    if changes:
        below = paper.strip_below(ax, 0.22, 0.2)
        below.plot(epoch, rates, color=paper.INK, linewidth=1.2)
        below.set_ylabel("learning\nrate")
        below.set_ylim(bottom=0)
        paper.tidy(below)
        ax.tick_params(axis="x", labelbottom=False)
    elif len(rates):
        ax.set_title(f"learning rate {rates[0]:.3g}", fontsize=paper.SMALL, loc="right")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    below.set_xlabel("epoch")
    paper.tidy(ax)
    return ax


# --- comparisons ----------------------------------------------------------------------------------


def comparison(report: Any, *, ax: Axes | None = None) -> Axes:  # noqa: ANN401 (see views)
    """Draw the differences between a network and its source model, part by part.

    The axis is logarithmic: a difference of 0 is at its left end. The largest difference of two
    runs on their own states is drawn hollow, since it is not judged.

    Parameters
    ----------
    report : Comparison
        The result of `elman.compare`.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentTypeError
        If the report is something else.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> report = elman.compare(net, elman.to_onnx(net), np.ones((10, 3)))
    >>> ax = elman.plot.comparison(report)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['layer 0', 'output', 'output, free running']
    """
    return draw_comparison(views.comparison(report), ax)


def draw_comparison(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `comparison`."""
    names = [*view["parts"], "output, free running"]
    values = np.append(view["differences"], view["free_running_difference"])
    ax = paper.axes(ax, 7, 1.45 + 0.34 * len(names))
    known = values[np.isfinite(values) & (values > 0)]
    least = 10.0 ** np.floor(np.log10(known.min(initial=1e-6)) - 0.5)
    most = 10.0 ** np.ceil(np.log10(known.max(initial=least)) + 0.5)
    for row, value in enumerate(values):
        free = row == len(values) - 1
        look: paper.Look = {"color": paper.FAINT if free else paper.BLUE}
        if np.isnan(value):
            ax.text(least * 1.1, row, "not shown by the source", va="center", fontsize=paper.SMALL)
            continue
        end = min(max(value, least), most)
        ax.plot([least, end], [row, row], linewidth=1.2, linestyle=":" if free else "-", **look)
        ax.plot([end], [row], marker="o", markerfacecolor="white" if free else paper.BLUE, **look)
        ax.annotate(
            f"{value:.2g}",
            (end, row),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=paper.SMALL,
        )
    ax.set_xscale("log")
    ax.set_xlim(least, most * 3)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("largest difference at a step, relative where values exceed 1")
    does = "agrees with" if view["ok"] else "differs from"
    times = f"{view['worst_ratio']:.2g} times what rounding explains"
    ax.set_title(f"{does} {view['framework']}:\n{times}", fontsize=10, loc="left")
    paper.tidy(ax)
    return ax


# --- forecasts ------------------------------------------------------------------------------------


def forecast(forecast: Forecast, *, ax: Axes | None = None) -> Axes:
    """Draw a forecast with its intervals, after the end of the data.

    The dashed line is the forecast that would have been made as many steps before the end of the
    data: how well it fits the data shows what to expect.

    Parameters
    ----------
    forecast : Forecast
        The result of `elman.forecast`.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        Several columns or sequences have a panel each, `ax.child_axes`; the first twelve are
        drawn.

    Raises
    ------
    ArgumentTypeError
        If the forecast is something else.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    >>> result = elman.forecast(net, np.sin(np.arange(200.0))[:, None], steps=5)
    >>> elman.plot.forecast(result).get_xlabel()
    'steps ahead'
    """
    return draw_forecast(views.forecast(forecast), ax)


def draw_forecast(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `forecast`."""
    charts = view["charts"][:CHARTS]
    ax = paper.axes(ax, 8, 1 + 2.6 * len(charts))
    panels = [ax]
    if len(charts) > 1:
        rows = [Span(1.0)] * len(charts)
        panels = [row[0] for row in paper.panels(ax, rows, (Span(1.0),), (0.0, 0.45))]
    for panel, chart in zip(panels, charts, strict=True):
        _draw_chart(panel, chart, view["interval"])
    panels[0].legend(
        frameon=False,
        ncols=4,
        fontsize=paper.SMALL,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0,
    )
    return ax


def _draw_chart(ax: Axes, chart: View, interval: float | None) -> None:
    """Draw one column of one sequence."""
    past, later, before = chart["past_steps"], chart["steps"], chart["earlier_steps"]
    if chart["times"] is not None:
        past, later = chart["past_times"], chart["times"]
        before = None if before is None else past[before - 1]
    else:
        ax.set_xlabel("steps ahead")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.plot(past, chart["past"], label="data", color=paper.INK)
    if before is not None:
        label = f"forecast {len(before)} steps before the end"
        ax.plot(before, chart["earlier"], label=label, color=paper.BLUE, linestyle="--")
    ax.plot(later, chart["values"], label="forecast", color=paper.RED, linewidth=2)
    if chart["lower"] is not None:
        label = f"{100 * (interval or 0):g} % interval"
        look: paper.Look = {"color": paper.RED, "alpha": 0.2, "linewidth": 0}
        ax.fill_between(later, chart["lower"], chart["upper"], label=label, **look)
    key = "" if chart["key"] is None else f", {paper.plain(chart['key'])}"
    ax.set_ylabel(f"{paper.plain(chart['column'])}{key}")
    paper.tidy(ax)


# --- gradients ------------------------------------------------------------------------------------


def gradients(flow: GradientFlow, *, ax: Axes | None = None) -> Axes:
    """Draw how the gradient of a loss vanishes or explodes on its way back in time.

    Above is the norm of dL/dh_s at every step s. Below is what is left of the gradient of the loss
    of one step after k steps back, |dL_t/dh_(t-k)| / |dL_t/dh_t|: the median over all t and the
    range. It is at most the largest singular value of the product of the k Jacobians between, which
    is at most the bound.

    Parameters
    ----------
    flow : GradientFlow
        The result of `elman.dynamics.gradient_flow`.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes
        The panels are `ax.child_axes`.

    Raises
    ------
    ArgumentTypeError
        If the flow is something else.

    Examples
    --------
    >>> import numpy as np, elman, elman.plot
    >>> net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0)
    >>> flow = elman.dynamics.gradient_flow(net, np.ones((20, 1)), np.ones((20, 1)))
    >>> [panel.get_xlabel() for panel in elman.plot.gradients(flow).child_axes]
    ['step s', 'lag k: steps back in time']
    """
    return draw_gradients(views.gradients(flow), ax)


def draw_gradients(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `gradients`."""
    ax = paper.axes(ax, 7, 5.6)
    grid = paper.panels(ax, (Span(2.0), Span(3.0)), (Span(1.0),), (0.0, 0.55))
    above, below = grid[0][0], grid[1][0]
    _draw_total(above, view)
    _draw_lags(below, view)
    return ax


def _draw_total(ax: Axes, view: View) -> None:
    """Draw the norm of the gradient at every step."""
    total = _positive(view["total"])
    few: paper.Look = {"marker": "o", "markersize": 3} if len(view["steps"]) <= 40 else {}
    if len(total) > 1:
        ax.plot(view["steps"], total.T, color=paper.SKY, linewidth=0.6, alpha=0.6)
    look: paper.Look = {"color": paper.BLUE, "linewidth": 1.4, **few}
    ax.plot(view["steps"], _median(total), **look)
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set(xlabel="step s", ylabel=r"$|\,\partial L\,/\,\partial h_s\,|$")
    paper.tidy(ax)


def _draw_lags(ax: Axes, view: View) -> None:
    """Draw what is left of a gradient by lag, and what it is at most."""
    lags, relative = view["lags"], _positive(view["relative"])
    few: paper.Look = {"marker": "o", "markersize": 3} if len(lags) <= 40 else {}
    middle = _median(relative)
    ax.plot(lags, middle, color=paper.BLUE, linewidth=1.4, label="gradient, median", **few)
    if len(relative) > 1:
        ends = np.nanmin(_filled(relative), axis=0), np.nanmax(_filled(relative), axis=0)
        ax.fill_between(lags, *ends, color=paper.BLUE, alpha=0.18, linewidth=0, label="its range")
    shown = [relative]
    if view["products"] is not None:
        products = _positive(view["products"])
        label = "product of Jacobians, median"
        ax.plot(lags, products, label=label, color=paper.RED, linestyle="--", linewidth=1.2)
        shown.append(products)
    bound = _positive(view["bound"])
    ax.plot(lags, bound, label="bound for any data", color=paper.INK, linestyle=":", linewidth=1.2)
    ax.axhline(1, color=paper.MISSING, linewidth=0.8, zorder=0)
    ax.set_yscale("log")
    known = np.concatenate([values[np.isfinite(values)] for values in shown])
    if known.size:  # a bound may leave the picture, but does not shrink what is in it
        ax.set_ylim(known.min() / 3, max(known.max(), 1.0) * 30)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ratio = r"$|\,\partial L_t/\partial h_{t-k}|\;/\;|\,\partial L_t/\partial h_t|$"
    ax.set(xlabel="lag k: steps back in time", ylabel=ratio)
    ax.legend(edgecolor="none", framealpha=0.85, fontsize=paper.SMALL)  # a steep bound is behind
    paper.tidy(ax)


def _positive(values: Array) -> Array:
    """Return values with NaN where no logarithmic axis has room for them and its margins."""
    return np.where((values > 1 / LARGEST) & (values < LARGEST), values, np.nan)


def _filled(values: Array) -> Array:
    """Return rows in which a column of NaN alone is 0: it has no range, and no warning."""
    return np.where(np.isnan(values).all(axis=0), 0.0, values)


def _median(values: Array) -> Array:
    """Return the median of each column, NaN where all are or there are no rows."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(_filled(values), axis=0))
