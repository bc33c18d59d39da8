"""Plots of a training run; requires the extra `plot` (matplotlib)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from elman import _files

_files.extra("matplotlib", "elman.plot", "'elman[plot]'")

from matplotlib.figure import Figure  # noqa: E402

if TYPE_CHECKING:
    from elman.training import History

__all__ = ["history"]


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
