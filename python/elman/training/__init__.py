"""Training by backpropagation through time, with the optimizers of the core."""

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
