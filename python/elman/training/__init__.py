"""Training by backpropagation through time, with the optimizers of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.training.batch import backward, loss_and_gradients
    from elman.training.history import Epoch, History, StopTraining, TrainResult
    from elman.training.launch import train
    from elman.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
    from elman.training.trainer import Trainer

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Epoch",
    "History",
    "RMSprop",
    "StopTraining",
    "TrainResult",
    "Trainer",
    "backward",
    "loss_and_gradients",
    "train",
]

__getattr__, __dir__ = _lazy.names(
    __name__, __all__, "batch", "history", "launch", "optimizers", "trainer"
)
