"""What a training run returns: the network, and what happened epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from elman._network import Network


class Epoch(NamedTuple):
    """Summary of one epoch, passed to callbacks.

    Attributes
    ----------
    epoch : int
        Its number, from 1.
    loss : float
        The mean loss of its updates, each taken before the update.
    validation_loss : float or None
        The loss of the validation data after it.
    learning_rate : float
        That of its last update.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    learning_rate: float


@dataclass(slots=True, repr=False)
class History:
    """What happened in a training run: lists of one number per epoch, and how it ended.

    Attributes
    ----------
    epoch : list of int
        1, 2, ...
    loss : list of float
        The mean loss of the epoch's updates, each taken before the update, as in PyTorch's
        and Keras's logs.
    validation_loss : list of float
        The loss of the validation data after the epoch; empty without such data.
    learning_rate : list of float
        That of the epoch's last update.
    best_epoch : int or None
        The epoch whose network is returned; None before the first has ended.
    updates : int
        How many times the weights were updated.
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

    def __repr__(self) -> str:
        facts = [f"{len(self.epoch)} epochs", f"{self.updates} updates"]
        for name, values in (("loss", self.loss), ("validation_loss", self.validation_loss)):
            facts += [f"{name} {values[0]:.4g} to {values[-1]:.4g}"] if values else []
        facts += [f"best_epoch {self.best_epoch}"] if self.best_epoch else []
        facts += [f"stopped: {self.stopped}"] if self.stopped else []
        return f"History({', '.join(facts)})"


class TrainResult(NamedTuple):
    """What `elman.train` returns: `network, history = elman.train(...)`.

    Attributes
    ----------
    network : Network
        The trained network: the best one with validation data or patience, else the last.
    history : History
        What happened epoch by epoch, and why training ended.
    """

    network: Network
    history: History
