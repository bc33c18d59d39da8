"""The result of a training run: the network and a record of each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from elman import _files, _foreign, _html
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    import pandas

    from elman._network import Network


class StopTraining(Exception):  # noqa: N818
    """Raised by a callback of `elman.train` to end training after this epoch; not an error."""


class Epoch(NamedTuple):
    """Summary of one epoch, passed to callbacks.

    Attributes
    ----------
    epoch : int
        The number of the epoch, from 1.
    loss : float
        The mean of the losses before each update.
    validation_loss : float or None
        The validation loss after the epoch.
    learning_rate : float
        The learning rate of the last update.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    learning_rate: float


@dataclass(slots=True, repr=False)
class History:
    """The course of a training run: one value per epoch, and why it ended.

    Attributes
    ----------
    epoch : list of int
        1, 2, ...
    loss : list of float
        The mean of the losses before each update, as in PyTorch's and Keras' logs.
    validation_loss : list of float
        The validation loss after each epoch; empty without validation data.
    learning_rate : list of float
        The learning rate of each epoch's last update.
    best_epoch : int or None
        The epoch whose network is returned; None before the end of the first.
    updates : int
        Number of updates of the weights.
    stopped : str or None
        Why training ended: "epochs", "patience", "callback" or "interrupt".
    """

    epoch: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    updates: int = 0
    stopped: str | None = None

    def add(self, record: Epoch) -> None:
        """Append an epoch."""
        self.epoch.append(record.epoch)
        self.loss.append(record.loss)
        if record.validation_loss is not None:
            self.validation_loss.append(record.validation_loss)
        self.learning_rate.append(record.learning_rate)

    def as_dict(self) -> dict[str, list[Any]]:
        """Return the values of each epoch by name: lists of equal length.

        Without validation data, `validation_loss` is left out.
        """
        columns: dict[str, list[Any]] = {
            "epoch": self.epoch,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "learning_rate": self.learning_rate,
        }
        if not self.validation_loss:
            del columns["validation_loss"]
        return {name: [*values] for name, values in columns.items()}

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame with one row per epoch and the columns of `as_dict`.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        return _files.extra("pandas", "History.to_frame", "pandas").DataFrame(self.as_dict())

    def __repr__(self) -> str:
        facts = [f"{len(self.epoch)} epochs", f"{self.updates} updates"]
        for name, values in (("loss", self.loss), ("validation_loss", self.validation_loss)):
            facts += [f"{name} {values[0]:.4g} to {values[-1]:.4g}"] if values else []
        facts += [f"best_epoch {self.best_epoch}"] if self.best_epoch else []
        facts += [f"stopped: {self.stopped}"] if self.stopped else []
        return f"History({', '.join(facts)})"

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{v[0]:.4g}", f"{v[-1]:.4g}", f"{min(v):.4g}", _html.curve(v))
            for name, v in (("loss", self.loss), ("validation loss", self.validation_loss))
            if v
        ]
        names = ("", "first", "last", "lowest", "by epoch")
        return _html.table(names, rows) + _html.text(repr(self))


class TrainResult(NamedTuple):
    """The result of `elman.train`: `network, history = elman.train(...)`.

    Attributes
    ----------
    network : Network
        The trained network: with validation data or patience the best, otherwise the last.
    history : History
        The losses of each epoch, and why training ended.
    """

    network: Network
    history: History

    def __call__(self, x: object) -> NoReturn:  # noqa: D102
        # a usual mistake
        raise ArgumentTypeError("result: expected result.network(x), got result(x)")

    def __getattr__(self, name: str) -> NoReturn:
        said = f"'TrainResult' object has no attribute {name!r}"
        for part in self._fields:
            if not name.startswith("_") and hasattr(type(getattr(self, part)), name):
                raise AttributeError(f"{said}: use result.{part}.{name}")
        remedy = _foreign.attribute(name).partition(": use ")[2]
        raise AttributeError(f"{said}: use {remedy}, with net = result.network" if remedy else said)

    def __repr__(self) -> str:
        history = self.history
        ended = f"best {history.best_epoch}, stopped: {history.stopped}"
        return (
            f"TrainResult\n"
            f"  network          {self.network}\n"
            f"  epochs           {len(history.epoch)}, {ended}\n"
            f"  updates          {history.updates}\n"
            f"  loss             {_course(history.loss)}\n"
            f"  validation loss  {_course(history.validation_loss)}"
        )

    def _repr_html_(self) -> str:
        return self.network._repr_html_() + self.history._repr_html_()


def _course(losses: list[float]) -> str:
    """Return the first and the last loss."""
    return f"{losses[0]:.4g} to {losses[-1]:.4g}" if losses else "none"
