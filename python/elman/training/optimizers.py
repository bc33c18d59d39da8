"""Settings of the optimizers and learning-rate schedules; the core does the arithmetic."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from elman import _arguments, _foreign
from elman.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Schedule = str | Callable[[float], float]

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]


@dataclass(frozen=True)
class Optimizer:
    """Base class of the optimizers: checked settings, and the optimizer's name in the core."""

    name: ClassVar[str]
    learning_rate: float = 1e-3
    _: KW_ONLY
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool):
                value = _arguments.flag(field.name, value)
            else:
                shares = field.name in ("momentum", "beta1", "beta2", "alpha")
                value = _arguments.number(
                    field.name, value, zero=field.name != "learning_rate", below_1=shares
                )
            object.__setattr__(self, field.name, value)

    def settings(self) -> dict[str, float]:
        """Return all settings but the learning rate, as floats by name."""
        names = [field.name for field in fields(self)]
        return {name: float(getattr(self, name)) for name in names if name != "learning_rate"}


@_foreign.settings
@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent with momentum, formulas and defaults as in `torch.optim.SGD`.

    Parameters
    ----------
    learning_rate : float
        The step size, above 0 (PyTorch: `lr`).
    momentum : float
        Fraction of the last step that is added to the next, 0 to below 1.
    nesterov : bool
        Use Nesterov momentum; `momentum` must be above 0.
    weight_decay : float
        L2 penalty: weight_decay times the weights is added to their gradients.
    """

    name = "sgd"
    learning_rate: float = 1e-3
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ArgumentError("momentum: expected a number above 0 with nesterov, got 0")


@_foreign.settings
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), formulas and defaults as in `torch.optim.Adam`.

    Parameters
    ----------
    learning_rate : float
        The step size, above 0 (PyTorch: `lr`).
    beta1, beta2 : float
        Decay rates of the running means of the gradients and of their squares, 0 to below 1
        (PyTorch: `betas`).
    epsilon : float
        Added to the root of the mean square (PyTorch: `eps`).
    weight_decay : float
        L2 penalty: weight_decay times the weights is added to their gradients.
    """

    name = "adam"
    learning_rate: float = 1e-3
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0


@_foreign.settings
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): `torch.optim.AdamW`.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
        As for `Adam`.
    weight_decay : float
        Each step subtracts learning_rate * weight_decay times the weights.
    """

    name = "adamw"
    _: KW_ONLY
    weight_decay: float = 0.01


@_foreign.settings
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Hinton, 2012), formulas and defaults as in `torch.optim.RMSprop`.

    Parameters
    ----------
    learning_rate : float
        The step size, above 0 (PyTorch: `lr`).
    alpha : float
        Decay rate of the running mean of the squared gradients, 0 to below 1.
    epsilon : float
        Added to the root of the mean square (PyTorch: `eps`).
    momentum : float
        Fraction of the last step that is added to the next, 0 to below 1.
    centered : bool
        Divide by the standard deviation of the gradients instead of their root mean square.
    weight_decay : float
        L2 penalty: weight_decay times the weights is added to their gradients.
    """

    name = "rmsprop"
    learning_rate: float = 1e-2
    _: KW_ONLY
    alpha: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0


@_foreign.settings
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011), formulas and defaults as in `torch.optim.Adagrad`.

    Parameters
    ----------
    learning_rate : float
        The step size, above 0 (PyTorch: `lr`).
    epsilon : float
        Added to the root of the sum of squares (PyTorch: `eps`).
    weight_decay : float
        L2 penalty: weight_decay times the weights is added to their gradients.
    """

    name = "adagrad"
    learning_rate: float = 1e-2
    _: KW_ONLY
    epsilon: float = 1e-10
    weight_decay: float = 0.0


OPTIMIZERS = {kind.name: kind() for kind in (SGD, Adam, AdamW, RMSprop, Adagrad)}


def choose(
    optimizer: str | Optimizer, learning_rate: float | None, weight_decay: float | None
) -> Optimizer:
    """Return an optimizer by name or as given, with the settings that are not None replaced."""
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ArgumentError(
                f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {optimizer!r}"
                + _foreign.value(optimizer, OPTIMIZERS)
            )
        optimizer = OPTIMIZERS[optimizer]
    if not isinstance(optimizer, Optimizer):
        got = _arguments.kind(optimizer)
        if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
            got = f"the class: use elman.{optimizer.__name__}()"
        raise ArgumentTypeError(
            f"optimizer: expected a name or an optimizer such as elman.SGD(0.1), got {got}"
        )
    if learning_rate is not None:
        optimizer = replace(optimizer, learning_rate=learning_rate)
    if weight_decay is not None:
        optimizer = replace(optimizer, weight_decay=weight_decay)
    return optimizer


# --- schedules ------------------------------------------------------------------------------------


def _cosine(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (1 + cos(pi fraction)) / 2 using only products and sums, for equal bits everywhere."""
    z = math.pi * (0.5 - fraction)
    sine = np.zeros_like(z)
    for n in range(23, 0, -2):  # Taylor series; truncation error below 1e-20 for |z| <= pi / 2
        sine = (-1.0) ** (n // 2) / math.factorial(n) + sine * (z * z)
    return 0.5 + 0.5 * sine * z


SCHEDULES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "constant": np.ones_like,
    "cosine": _cosine,
    "linear": lambda fraction: 1.0 - fraction,
}


def check_schedule(schedule: Schedule | None) -> Schedule:
    """Check and return a schedule, a name or a function; "constant" for None."""
    if schedule is None:
        return "constant"
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ArgumentError(
                f"schedule: expected one of {', '.join(SCHEDULES)}, got {schedule!r}"
                + _foreign.value(schedule, SCHEDULES)
            )
    elif not callable(schedule):
        raise ArgumentTypeError(
            f"schedule: expected a name or a function, got {_arguments.kind(schedule)}"
        )
    return schedule


def learning_rates(
    rate: float, schedule: Schedule, epoch: int, epochs: int, updates: int
) -> NDArray[np.float64]:
    """Return the learning rate of each update of an epoch; epochs count from 1."""
    fractions = (epoch - 1 + np.arange(updates) / max(updates, 1)) / epochs
    if isinstance(schedule, str):
        return rate * SCHEDULES[schedule](fractions)
    factors = [
        _arguments.number("schedule", schedule(fraction), zero=True)
        for fraction in fractions.tolist()
    ]
    return rate * np.array(factors)
