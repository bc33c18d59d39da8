"""Work in multiply-adds, and the measured speed of this machine."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from elman.training import recipe
from elman.training.launch import train

if TYPE_CHECKING:
    from elman._network import Network

EFFORT = 3  # the default
BUDGET = 5e9  # multiply-adds of effort 0; each further one doubles them
STEPS = 512  # of a training that is timed


def budget(effort: int) -> float:
    """Return the multiply-adds of an effort."""
    return BUDGET * (1 << effort)


def cost(weights: int, epochs: int, training: int, validation: int, updates: int) -> float:
    """Return the multiply-adds of a training, of some steps and updates per epoch.

    Three for each weight and step of training, one for each step of validation, and six for each
    weight and update.
    """
    return float(weights) * epochs * (3 * training + validation + 6 * updates)


def speed(net: Network) -> float:
    """Return the multiply-adds per second of training a network, measured in some milliseconds."""
    x = np.zeros((STEPS, net.input_size))
    best = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        train(
            net,
            x,
            np.zeros((STEPS, net.output_size)),
            epochs=2,
            bptt_steps=32,
            clip_norm=recipe.CLIP_NORM,
        )
        best = min(best, time.perf_counter() - begin)
    return cost(net.num_parameters, 2, STEPS, 0, STEPS // 32) / best
