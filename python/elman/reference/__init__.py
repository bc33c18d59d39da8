"""The network in NumPy: float64, one line per equation, and the judge of the C++ core's results.

Everything here is written for reading and shares no code with the core. `step` is the network,
`run` goes over time layer by layer, `loss_and_gradients` goes back through it, and `verify` checks
results of the core against the equations.
Dimension letters: T time, I input, H hidden, O output; `...` stands for any leading batch axes.
"""

from elman.reference.activations import (
    ACTIVATIONS,
    affine,
    elu,
    hard_sigmoid,
    identity,
    leaky_relu,
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
