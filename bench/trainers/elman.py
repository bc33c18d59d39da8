"""elman itself: one call per update, and its parts separately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import elman
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Elman:
    """`elman.Trainer`, which checks the data at every update."""

    def __init__(self, net: elman.Network, x: Array, y: Array) -> None:
        adam = elman.Adam(LEARNING_RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
        self.trainer = elman.Trainer(net, optimizer=adam, clip_norm=CLIP_NORM)
        self.start, self.x, self.y = net, x, y

    def update(self) -> None:
        self.trainer.update(self.x, self.y)

    def forward(self) -> float:
        """Return the loss only."""
        return self.trainer.loss(self.x, self.y)

    def gradients(self) -> None:
        """Run the forward and the backward pass."""
        elman.loss_and_gradients(self.start, self.x, self.y)

    def parameters(self) -> dict[str, Array]:
        return weights(self.trainer.network)


TRAINERS = {"": Elman}
