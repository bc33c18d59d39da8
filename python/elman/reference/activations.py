"""The activations and their derivatives in NumPy, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman._parameters import Parameters
    from elman.activation import Activation

    Array = NDArray[np.float64]


def tanh(z: Array) -> Array:
    """Return tanh(z)."""
    return np.tanh(z)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) without overflow of exp or loss of digits in the tails."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1.0) / (1.0 + e)


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0.0)


def identity(z: Array) -> Array:
    """Return z."""
    return z


def leaky_relu(z: Array, alpha: float) -> Array:
    """Return alpha z below 0, and z elsewhere."""
    return np.where(z < 0, alpha * z, z)


def elu(z: Array, alpha: float) -> Array:
    """Return alpha (exp(z) - 1) below 0, and z elsewhere."""
    return np.where(z < 0, alpha * np.expm1(z), z)


def thresholded_relu(z: Array, alpha: float) -> Array:
    """Return z above alpha, and 0 elsewhere; a NaN stays a NaN."""
    return np.where(z <= alpha, 0.0, z)


def hard_sigmoid(z: Array, alpha: float, beta: float) -> Array:
    """Return max(0, min(1, alpha z + beta))."""
    return np.clip(alpha * z + beta, 0.0, 1.0)


def softsign(z: Array) -> Array:
    """Return z / (1 + |z|), and its limits at infinity."""
    return np.where(np.isinf(z), np.sign(z), z / (1.0 + np.abs(z)))


def softplus(z: Array) -> Array:
    """Return log(1 + exp(z)) without overflow of exp or loss of digits in the tails."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def scaled_tanh(z: Array, alpha: float, beta: float) -> Array:
    """Return alpha tanh(beta z)."""
    return alpha * np.tanh(beta * z)


def affine(z: Array, alpha: float, beta: float) -> Array:
    """Return alpha z + beta."""
    return alpha * z + beta


def softmax(z: Array) -> Array:
    """Return exp(z) / sum(exp(z)) over the last axis, shifted to avoid overflow."""
    e: Array = np.exp(z - z.max(axis=-1, keepdims=True))
    total: Array = e.sum(axis=-1, keepdims=True)
    return e / total


def log_softmax(z: Array) -> Array:
    """Return z - log(sum(exp(z))) over the last axis, without loss of digits near 0."""
    z = z - z.max(axis=-1, keepdims=True)
    largest = np.arange(z.shape[-1]) == z.argmax(axis=-1, keepdims=True)
    rest: Array = (np.exp(z) - largest).sum(axis=-1, keepdims=True)
    return z - np.log1p(rest)


ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "identity": identity,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "thresholded_relu": thresholded_relu,
    "hard_sigmoid": hard_sigmoid,
    "softsign": softsign,
    "softplus": softplus,
    "scaled_tanh": scaled_tanh,
    "affine": affine,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def activate(net: Parameters, activation: Activation, z: Array) -> Array:
    """Return f(z), with z clipped first if the activation has a clip."""
    return ACTIVATIONS[activation.name](clipped(net, activation, z), **numbers_of(net, activation))


def clipped(net: Parameters, activation: Activation, z: Array) -> Array:
    """Return z, clipped if the activation has a clip; a NaN stays a NaN."""
    limit = clip_of(net, activation)
    return z if np.isinf(limit) else np.clip(z, -limit, limit)


def clip_of(net: Parameters, activation: Activation) -> float:
    """Return the clip of an activation in the network's dtype; infinity if it has none."""
    return np.inf if activation.clip is None else float(net.dtype.type(activation.clip))


def numbers_of(net: Parameters, activation: Activation) -> dict[str, float]:
    """Return alpha and beta if the activation has them, rounded to the network's dtype."""
    given = {"alpha": activation.alpha, "beta": activation.beta}
    return {name: float(net.dtype.type(n)) for name, n in given.items() if n is not None}


# f'(z); where f has a corner, 0 or the left derivative.
SLOPES: dict[str, Callable[..., Array]] = {
    "tanh": lambda z: 4.0 * sigmoid(2.0 * z) * sigmoid(-2.0 * z),  # 1 - tanh(z)^2 in the tails too
    "sigmoid": lambda z: sigmoid(z) * sigmoid(-z),
    "relu": lambda z: np.where(z > 0, 1.0, 0.0),
    "identity": np.ones_like,
    "leaky_relu": lambda z, alpha: np.where(z > 0, 1.0, alpha),
    "elu": lambda z, alpha: np.where(z > 0, 1.0, alpha * np.exp(z)),
    "thresholded_relu": lambda z, alpha: np.where(z > alpha, 1.0, 0.0),
    "hard_sigmoid": lambda z, alpha, beta: np.where(np.abs(alpha * z + beta - 0.5) < 0.5, alpha, 0),
    "softsign": lambda z: 1.0 / (1.0 + np.abs(z)) ** 2,
    "softplus": sigmoid,
    "scaled_tanh": lambda z, alpha, beta: (
        alpha * beta * 4.0 * sigmoid(2.0 * beta * z) * sigmoid(-2.0 * beta * z)
    ),
    "affine": lambda z, alpha, beta: np.full_like(z, alpha),
}

# The largest |f'|, from |alpha| and |beta|.
STEEPEST: dict[str, Callable[..., float]] = {
    "tanh": lambda: 1.0,
    "sigmoid": lambda: 0.25,
    "relu": lambda: 1.0,
    "identity": lambda: 1.0,
    "leaky_relu": lambda alpha: max(alpha, 1.0),
    "elu": lambda alpha: max(alpha, 1.0),
    "thresholded_relu": lambda alpha: 1.0,  # except at the jump at alpha
    "hard_sigmoid": lambda alpha, beta: alpha,
    "softsign": lambda: 1.0,
    "softplus": lambda: 1.0,
    "scaled_tanh": lambda alpha, beta: alpha * beta,
    "affine": lambda alpha, beta: alpha,
}


def backward(net: Parameters, activation: Activation, z: Array, d: Array) -> Array:
    """Return the gradient with respect to z, from the gradient d with respect to f(z)."""
    if activation.name == "softmax":
        f = softmax(z)
        rest: Array = d - (f * d).sum(axis=-1, keepdims=True)
        return f * rest
    if activation.name == "log_softmax":
        total: Array = d.sum(axis=-1, keepdims=True)
        return d - softmax(z) * total
    f_prime = slope(net, activation, z)
    return np.where(f_prime != 0, d * f_prime, 0.0)


def slope(net: Parameters, activation: Activation, z: Array) -> Array:
    """Return f'(z) of an elementwise activation, 0 where z is clipped."""
    f_prime = SLOPES[activation.name](z, **numbers_of(net, activation))
    return np.where(np.abs(z) < clip_of(net, activation), f_prime, 0.0)


def steepest(net: Parameters, activation: Activation) -> float:
    """Return the largest |f'| of an elementwise activation, except at the jump of one."""
    numbers = numbers_of(net, activation)
    return STEEPEST[activation.name](**{name: abs(number) for name, number in numbers.items()})
