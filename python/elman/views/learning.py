"""Training and its results: losses, gradients through time, comparisons, forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.dynamics import GradientFlow
    from elman.forecasting.ahead import Forecast
    from elman.training import History, TrainResult
    from elman.views.export import View

__all__ = ["comparison", "forecast", "gradients", "history"]

PRODUCTS = 2e8  # steps times lags times S^3 of the products of Jacobians, at most


def history(result: TrainResult | History | Mapping[str, Any]) -> View:
    """Return losses and learning rates by epoch: the data of `elman.plot.history`.

    Parameters
    ----------
    result : TrainResult, History or mapping
        The result of `elman.train` or its `history`; or a dict of the same lists, such as
        `history.as_dict()`.

    Returns
    -------
    dict
        `epoch`, `loss`, `validation_loss` (empty without validation data), `learning_rate` (empty
        if unknown), `best_epoch`, `stopped`.

    Raises
    ------
    ArgumentTypeError
        If it is something else.
    ArgumentError
        If it has no epoch.
    ShapeError
        If it has not one value for each epoch.

    Examples
    --------
    >>> import elman
    >>> view = elman.views.history({"epoch": [1, 2], "loss": [0.5, 0.25]})
    >>> view["loss"].tolist(), view["best_epoch"]
    ([0.5, 0.25], None)
    """
    found = getattr(result, "history", result)
    if isinstance(found, Mapping):
        values = dict(found)
    elif hasattr(found, "epoch") and hasattr(found, "loss"):
        names = ("epoch", "loss", "validation_loss", "learning_rate", "best_epoch", "stopped")
        values = {name: getattr(found, name, None) for name in names}
    else:
        values = {}
    if values.get("epoch") is None or values.get("loss") is None:
        raise ArgumentTypeError(
            "result: expected the result of elman.train, its history, or a dict with epoch and"
            f" loss, got {type(result).__name__}"
        )
    lists = ("epoch", "loss", "validation_loss", "learning_rate")
    columns = {name: _by_epoch(name, values.get(name)) for name in lists}
    if not columns["epoch"].size:
        raise ArgumentError("result: expected a history of at least one epoch, got none")
    for name, column in columns.items():
        if len(column) != len(columns["epoch"]) and (column.size or name == "loss"):
            raise ShapeError(
                f"result: expected {len(columns['epoch'])} values of {name}, one for each epoch,"
                f" got {len(column)}"
            )
    return {
        "kind": "history",
        **columns,
        "best_epoch": values.get("best_epoch"),
        "stopped": values.get("stopped"),
    }


def _by_epoch(name: str, values: Any) -> Array:  # noqa: ANN401 (whatever a dict contains)
    """Return numbers (epochs,); None is NaN among them, and no numbers in their place."""
    try:
        numbers = np.asarray([] if values is None else values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty((0, 0))
    if numbers.ndim != 1:
        raise ArgumentTypeError(f"result: expected a list of numbers for {name}, got others")
    return numbers


def comparison(report: Any) -> View:  # noqa: ANN401 (a `Comparison`, which is above this module)
    """Return the differences from a source model: the data of `elman.plot.comparison`.

    Parameters
    ----------
    report : Comparison
        The result of `elman.compare`.

    Returns
    -------
    dict
        `parts`, the names of what was compared, and `differences`, the largest of each (NaN where
        the source does not show a layer's states); `verdict`, a sentence; `framework`, `ok`,
        `worst_ratio`, `free_running_difference`, `not_judged` and `causes` as in the report.

    Raises
    ------
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> report = elman.compare(net, elman.to_onnx(net), np.ones((10, 3)))
    >>> elman.views.comparison(report)["parts"]
    ['layer 0', 'output']
    """
    if not hasattr(report, "framework") or not hasattr(report, "layers"):
        raise ArgumentTypeError(
            f"report: expected the result of elman.compare, got {type(report).__name__}"
        )
    layers = [np.nan if value is None else float(value) for value in report.layers]
    return {
        "kind": "comparison",
        "parts": [*(f"layer {i}" for i in range(len(layers))), "output"],
        "differences": np.array([*layers, float(report.output)]),
        "framework": report.framework,
        "ok": bool(report.ok),
        "worst_ratio": float(report.worst_ratio),
        "free_running_difference": float(report.free_running_difference),
        "not_judged": int(report.not_judged),
        "causes": list(report.causes),
        "verdict": str(report),
    }


def forecast(forecast: Forecast) -> View:
    """Return a forecast after the end of the data: the data of `elman.plot.forecast`.

    Parameters
    ----------
    forecast : Forecast
        The result of `elman.forecast`.

    Returns
    -------
    dict
        `interval`, and `charts`, one for each column of each sequence: its `column` and `key`;
        `past` and `past_steps` (0 is the end of the data), `values` and `steps`, `lower` and
        `upper` or None; `earlier` and `earlier_steps`, the forecast made as many steps before the
        end of the data, or None; and `times` and `past_times` or None.

    Raises
    ------
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    >>> result = elman.forecast(net, np.sin(np.arange(200.0))[:, None], steps=5)
    >>> elman.views.forecast(result)["charts"][0]["steps"].tolist()
    [1, 2, 3, 4, 5]
    """
    if not hasattr(forecast, "parts"):
        raise ArgumentTypeError(
            f"forecast: expected the result of elman.forecast, got {type(forecast).__name__}"
        )
    charts = [
        _chart(forecast, part, j) for part in forecast.parts for j in range(len(forecast.columns))
    ]
    return {"kind": "forecast", "interval": forecast.interval, "charts": charts}


def _chart(forecast: Forecast, part: Any, j: int) -> View:  # noqa: ANN401
    steps = forecast.steps[: len(part.values)]
    past = np.arange(1 - len(part.past), 1)
    known = part.times is not None and part.past_times is not None
    return {
        "column": forecast.columns[j],
        "key": part.key,
        "steps": steps,
        "values": part.values[:, j],
        "lower": None if part.lower is None else part.lower[:, j],
        "upper": None if part.upper is None else part.upper[:, j],
        "past_steps": past,
        "past": part.past[:, j],
        "earlier_steps": None if part.earlier is None else steps - steps[-1],
        "earlier": None if part.earlier is None else part.earlier[:, j],
        "times": part.times if known else None,
        "past_times": part.past_times if known else None,
    }


# --- gradients ------------------------------------------------------------------------------------


@np.errstate(all="ignore")  # gradients may overflow
def gradients(flow: GradientFlow) -> View:
    """Return how the gradient of a loss passes back in time: the data of `elman.plot.gradients`.

    Parameters
    ----------
    flow : GradientFlow
        The result of `elman.dynamics.gradient_flow`. The sequences of a batch count alike.

    Returns
    -------
    dict
        `steps` (T,) and `total` (B, T), the norm of dL/dh_s; `lags` (K,) and `relative` (R, K), the
        norm of dL_t/dh_(t-k) divided by that of dL_t/dh_t for every step t with a loss, NaN before
        the first step; `products` (K,), the median largest singular value of the products of k
        Jacobians, or None where computing them would take long; and `bound` (K,).

    Raises
    ------
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0)
    >>> flow = elman.dynamics.gradient_flow(net, np.ones((20, 1)), np.ones((20, 1)))
    >>> view = elman.views.gradients(flow)
    >>> view["total"].shape, view["relative"].shape, view["products"].shape
    ((1, 20), (20, 20), (20,))
    """
    if not hasattr(flow, "norms") or not hasattr(flow, "bound"):
        raise ArgumentTypeError(
            f"flow: expected the result of elman.dynamics.gradient_flow, got {type(flow).__name__}"
        )
    T, K = flow.norms.shape[-2:]
    norms = flow.norms.reshape(-1, K)
    norms = norms[norms[:, 0] > 0]
    S = flow.gradients.shape[-1]
    products = None
    if flow.norms.size * S**3 <= PRODUCTS:
        products = np.nanmedian(flow.jacobian_norms.reshape(-1, K), axis=0)
    return {
        "kind": "gradients",
        "steps": np.arange(T),
        "total": flow.total.reshape(-1, T),
        "lags": np.arange(K),
        "relative": norms / norms[:, :1],
        "products": products,
        "bound": flow.bound,
    }
