"""The ONNX operator RNN in extended precision, written from its specification for reading.

    H_t = f(clip(X_t W^T + H_(t-1) R^T + Wb + Rb))

https://onnx.ai/onnx/operators/onnx__RNN.html, version 22. It shares no code with the engines under
test: plain loops over numbers of 40 digits. Choices where the specification is silent:

- a sequence of length 0 has zero outputs, and its initial state as final state;
- `activation_alpha` and `activation_beta` are assigned in the order of the activations, to those
  that have such a parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mpmath
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Number = Any  # mpmath.mpf
    Function = Callable[[Number], Number]

mpmath.mp.dps = 40

_ZERO, _ONE = mpmath.mpf(0), mpmath.mpf(1)


class Kind(NamedTuple):
    """An activation, and the defaults of its parameters, None for those it does not have."""

    function: Callable[[Number, Number, Number], Number]
    alpha: float | None = None
    beta: float | None = None


# Defaults as in the ONNX operators of these names; the last two have no operator, so no defaults.
ACTIVATIONS = {
    "Relu": Kind(lambda x, a, b: x if x > 0 else _ZERO),
    "Tanh": Kind(lambda x, a, b: mpmath.tanh(x)),
    "Sigmoid": Kind(lambda x, a, b: 1 / (1 + mpmath.exp(-x))),
    "LeakyRelu": Kind(lambda x, a, b: x if x >= 0 else a * x, 0.01),
    "ThresholdedRelu": Kind(lambda x, a, b: x if x > a else _ZERO, 1.0),
    "HardSigmoid": Kind(
        lambda x, a, b: min(mpmath.mpf(1), max(mpmath.mpf(0), a * x + b)), 0.2, 0.5
    ),
    "Elu": Kind(lambda x, a, b: x if x >= 0 else a * mpmath.expm1(x), 1.0),
    "Softsign": Kind(lambda x, a, b: x / (1 + abs(x))),
    "Softplus": Kind(lambda x, a, b: mpmath.log1p(mpmath.exp(x))),
    "Affine": Kind(lambda x, a, b: a * x + b, np.nan, np.nan),
    "ScaledTanh": Kind(lambda x, a, b: a * mpmath.tanh(b * x), np.nan, np.nan),
}


def rnn(attributes: Mapping[str, Any], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return Y and Y_h of a node with these attributes and inputs, in float64.

    Inputs are `X`, `W`, `R` and optionally `B`, `sequence_lens` and `initial_h`. The attribute
    `layout` determines the shapes of inputs and results.
    """
    batch_first = attributes.get("layout", 0) == 1
    X = inputs["X"].swapaxes(0, 1) if batch_first else inputs["X"]
    T, N, _ = X.shape
    D, H, _ = inputs["W"].shape
    lengths = inputs.get("sequence_lens", np.full(N, T))
    start = inputs.get("initial_h", np.zeros((N, D, H) if batch_first else (D, N, H)))
    start = start.swapaxes(0, 1) if batch_first else start
    functions = _functions(attributes, D)
    reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}

    Y, Y_h = np.zeros((T, D, N, H)), np.zeros((D, N, H))
    for d, backwards in enumerate(reverse[attributes.get("direction", "forward")]):
        W, R = (_exact(inputs[name][d]) for name in ("W", "R"))
        b = _exact(inputs["B"][d]) if "B" in inputs else [_ZERO] * (2 * H)
        for n in range(N):
            h = _exact(start[d, n])
            steps = range(lengths[n])
            for t in reversed(steps) if backwards else steps:
                x = _exact(X[t, n])
                v = [
                    b[i] + b[H + i] + mpmath.fdot(W[i], x) + mpmath.fdot(R[i], h) for i in range(H)
                ]
                h = [functions[d](_clipped(v_i, attributes)) for v_i in v]
                Y[t, d, n] = h
            Y_h[d, n] = h
    if batch_first:
        return {"Y": Y.transpose(2, 0, 1, 3), "Y_h": Y_h.swapaxes(0, 1)}
    return {"Y": Y, "Y_h": Y_h}


def _exact(numbers: Array) -> Any:
    """Return the values as (lists of) extended-precision numbers."""
    if numbers.ndim == 0:
        return mpmath.mpf(float(numbers))
    return [_exact(part) for part in numbers]


def _clipped(v: Number, attributes: Mapping[str, Any]) -> Number:
    if "clip" not in attributes:
        return v
    most = mpmath.mpf(float(np.float32(attributes["clip"])))
    return max(-most, min(most, v))


def _functions(attributes: Mapping[str, Any], directions: int) -> list[Function]:
    """Return the activation of each direction, with its parameters."""
    names = attributes.get("activations", ["Tanh"] * directions)
    alphas = list(attributes.get("activation_alpha", []))
    betas = list(attributes.get("activation_beta", []))

    def bound(name: str) -> Function:
        kind = ACTIVATIONS[name]
        alpha, beta = _next(kind.alpha, alphas), _next(kind.beta, betas)
        return lambda x: kind.function(x, alpha, beta)

    return [bound(name) for name in names[:directions]]


def _next(default: float | None, given: list[float]) -> Number:
    """Return the next given parameter, or the default; attributes are float32."""
    if default is None:
        return None
    return mpmath.mpf(float(np.float32(given.pop(0) if given else default)))
