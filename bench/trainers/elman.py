"""elman itself: one call for an update, and its parts on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _core
from elman._network import network_of
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]

ADAM = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON, "weight_decay": 0.0}


class Elman:
    """The core under `elman.train`, which makes as many updates in a call as an epoch has."""

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        self.core = net._core
        self.examples = _core.examples(self.core, x, y, "mse", "all")
        self.trainer = _core.trainer(self.core, "adam", ADAM, CLIP_NORM, None, False)
        self.indices, self.rates = np.arange(len(x)), np.array([LEARNING_RATE])

    def update(self) -> None:
        B = len(self.indices)
        self.trainer.train(self.examples, self.indices, B, self.rates, None, None, False, 1)

    def forward(self) -> float:
        """Return the loss alone."""
        return self.trainer.loss(self.examples, 1)

    def gradients(self) -> None:
        """Make the forward and the backward pass."""
        _core.loss_and_gradients(self.core, self.examples, None, None, None, 1)

    def parameters(self) -> dict[str, Array]:
        return weights(network_of(self.trainer.network()))


TRAINERS = {"": Elman}
