"""NumPy reference in float64, one line per equation, to check the C++ core's results.

The code is written to be read and shares nothing with the core. `step` computes one step, `run`
whole sequences layer by layer, `loss_and_gradients` backpropagation through time, and `verify`
checks results of the core against the equations.
Dimension letters: T time, I input, H hidden, O output; `...` are any leading batch axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.reference.activations import (
        ACTIVATIONS,
        affine,
        elu,
        hard_sigmoid,
        identity,
        leaky_relu,
        log_softmax,
        relu,
        scaled_tanh,
        sigmoid,
        softmax,
        softplus,
        softsign,
        tanh,
        thresholded_relu,
    )
    from elman.reference.forward import Run, run, step
    from elman.reference.gradients import loss_and_gradients
    from elman.reference.judge import VerificationReport, verify

__all__ = [
    "ACTIVATIONS",
    "Run",
    "VerificationReport",
    "affine",
    "elu",
    "hard_sigmoid",
    "identity",
    "leaky_relu",
    "log_softmax",
    "loss_and_gradients",
    "relu",
    "run",
    "scaled_tanh",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "step",
    "tanh",
    "thresholded_relu",
    "verify",
]

__getattr__, __dir__ = _lazy.names(
    __name__, __all__, "activations", "forward", "gradients", "judge"
)
