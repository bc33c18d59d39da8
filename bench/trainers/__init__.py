"""Ways to train a network of one tanh layer and an identity readout, one file each.

    for mode, make in trainers.available(["torch"])["torch"].items():
        trainer = make(net, x, y)       # x (B, T, I), y (B, T, O), converted once
        trainer.update()                # forward, backward, clipping by norm and Adam
        trainer.parameters()            # {"W_xh": array, ...}

The loss is the squared error, averaged over sequences, steps and outputs; the initial state is
zero.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]

NAMES = ("elman", "numpy", "torch", "jax", "libxsmm")

LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
CLIP_NORM = 0.03  # less than the norm of the first gradients, so that clipping is checked too
NORM_EPSILON = 1e-6  # PyTorch adds it to the norm before dividing


class Trainer(Protocol):
    """A network in training."""

    def update(self) -> object:
        """Update the parameters once with all sequences, and wait until it is done."""

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by the names of `weights`."""


def available(peers: Iterable[str]) -> dict[str, dict[str, Callable[..., Trainer]]]:
    """Return the trainers of each of these peers that can train, by mode."""
    return {
        name: importlib.import_module(f"trainers.{name}").TRAINERS
        for name in peers
        if name in NAMES
    }


def weights(net: Network) -> dict[str, Array]:
    """Return copies of the weights W_xh (H, I), W_hh (H, H), b_h (H,), W_hy (O, H), b_y (O,)."""
    (layer,) = net.layers
    parts = ((layer, ("W_xh", "W_hh", "b_h")), (net.readout, ("W_hy", "b_y")))
    return {name: getattr(part, name).copy() for part, names in parts for name in names}
