"""What a training run returns: the network, and what happened epoch by epoch."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field

Epoch = namedtuple("Epoch", ["epoch", "loss", "validation_loss", "learning_rate"])
Epoch.__doc__ = """What a callback is told of an epoch.

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

TrainResult = namedtuple("TrainResult", ["network", "history", "stopped", "updates"])
TrainResult.__doc__ = """What `elman.train` returns.

Attributes
----------
network : Network
    The trained network: the best one with validation data or patience, else the last.
history : History
    What happened epoch by epoch.
stopped : str
    Why training ended: "epochs", "patience", "callback" or "interrupt".
updates : int
    How many times the weights were updated.
"""


@dataclass
class History:
    """What happened epoch by epoch: one number per epoch in each list.

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
    """

    epoch: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    best_epoch: int | None = None

    def add(self, record: Epoch) -> None:
        """Append an epoch."""
        self.epoch.append(record.epoch)
        self.loss.append(record.loss)
        if record.validation_loss is not None:
            self.validation_loss.append(record.validation_loss)
        self.learning_rate.append(record.learning_rate)
