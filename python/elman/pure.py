"""The network in plain Python, with lists of floats and only `math`.

Read this implementation first. It computes the same function as the C++ core for one sequence
(stacked layers, in either direction or both, scaling, an initial state, every activation) in
Python's double precision:

    w = elman.pure.weights(net)                              # the weights as nested lists
    y, state = elman.pure.run(w, [[0.5, -1.0], [0.0, 1.0]])  # a whole sequence
    y, state = elman.pure.step(w, [0.5, -1.0], state)        # one more sample
"""

from __future__ import annotations

import math

TYPE_CHECKING = False  # in place of an import from `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from elman._parameters import Parameters
    from elman.activation import Activation

    # f, W, b of f(W v + b)
    Affine = tuple[Callable[[list[float]], list[float]], list[list[float]], list[float]]

__all__ = ["Weights", "run", "step", "weights"]


def tanh(z: list[float]) -> list[float]:
    """Return tanh(z) of every z."""
    return [math.tanh(v) for v in z]


def sigmoid(z: list[float]) -> list[float]:
    """Return 1 / (1 + exp(-z)) of every z."""
    return [_sigmoid(v) for v in z]


def _sigmoid(v: float) -> float:
    if v >= 0:
        return 1.0 / (1.0 + math.exp(-v))
    e = math.exp(v)  # exp(-v) would overflow
    return e / (1.0 + e)


def relu(z: list[float]) -> list[float]:
    """Return max(z, 0) of every z; a NaN stays a NaN."""
    return [0.0 if v < 0 else v for v in z]


def identity(z: list[float]) -> list[float]:
    """Return z."""
    return z


def leaky_relu(z: list[float], alpha: float) -> list[float]:
    """Return alpha z below 0, and z elsewhere."""
    return [alpha * v if v < 0 else v for v in z]


def elu(z: list[float], alpha: float) -> list[float]:
    """Return alpha (exp(z) - 1) below 0, and z elsewhere."""
    return [alpha * math.expm1(v) if v < 0 else v for v in z]


def thresholded_relu(z: list[float], alpha: float) -> list[float]:
    """Return every z above alpha, and 0 elsewhere; a NaN stays a NaN."""
    return [0.0 if v <= alpha else v for v in z]


def hard_sigmoid(z: list[float], alpha: float, beta: float) -> list[float]:
    """Return alpha z + beta, clipped to [0, 1]; a NaN stays a NaN."""
    return [0.0 if v < 0 else 1.0 if v > 1 else v for v in affine(z, alpha, beta)]


def softsign(z: list[float]) -> list[float]:
    """Return z / (1 + |z|) of every z; -1 and 1 at infinity."""
    return [math.copysign(1.0, v) if math.isinf(v) else v / (1.0 + abs(v)) for v in z]


def softplus(z: list[float]) -> list[float]:
    """Return log(1 + exp(z)) of every z, written so that exp never overflows."""
    return [v + math.log1p(math.exp(-abs(u))) for u, v in zip(z, relu(z), strict=True)]


def scaled_tanh(z: list[float], alpha: float, beta: float) -> list[float]:
    """Return alpha tanh(beta z)."""
    return [alpha * math.tanh(beta * v) for v in z]


def affine(z: list[float], alpha: float, beta: float) -> list[float]:
    """Return alpha z + beta."""
    return [alpha * v + beta for v in z]


def softmax(z: list[float]) -> list[float]:
    """Return exp(z) / sum(exp(z)), shifted by the maximum to avoid overflow."""
    largest = max(z)
    e = [math.exp(v - largest) for v in z]
    total = sum(e)
    return [v / total for v in e]


def log_softmax(z: list[float]) -> list[float]:
    """Return z - log(sum(exp(z))), shifted by the maximum to avoid overflow."""
    largest = max(z)
    e = [math.exp(v - largest) for v in z]
    log = math.log(sum(e))
    return [v - largest - log for v in z]


_ACTIVATIONS: dict[str, Callable[..., list[float]]] = {
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


def _function(net: Parameters, activation: Activation) -> Callable[[list[float]], list[float]]:
    """Return an activation function, with its parameters rounded to the network's dtype."""
    f = _ACTIVATIONS[activation.name]
    given = (activation.alpha, activation.beta)
    numbers = [net.dtype.type(number).item() for number in given if number is not None]
    if activation.clip is not None:
        limit = net.dtype.type(activation.clip).item()
        return lambda z: f(_clip(z, limit), *numbers)
    return (lambda z: f(z, *numbers)) if numbers else f


def _clip(z: list[float], limit: float) -> list[float]:
    """Return z, clipped to [-limit, limit]; a NaN stays a NaN."""
    return [limit if v > limit else -limit if v < -limit else v for v in z]


if hasattr(math, "sumprod"):  # Python 3.12
    dot: Callable[[list[float], list[float]], float] = math.sumprod
else:

    def dot(a: list[float], b: list[float]) -> float:
        """Return the sum of the products of two lists."""
        return sum([p * q for p, q in zip(a, b)])  # noqa: B905 - the hot loop


class Weights:
    """The weights of a network as nested lists; see `weights`.

    Attributes
    ----------
    input_size, state_size
        The number of inputs and the total number of hidden units.
    layers
        For each layer its halves, one or (forward, reverse), and for each half its activation
        function, its rows [W_xh | W_hh] and its biases b_h.
    directions, runs_forward
        For each layer "forward", "reverse" or "bidirectional", and whether all run forward.
    readout
        The output activation, the rows W_hy and the biases b_y, or None.
    initial_state
        The state in which `run` begins.
    input_mean, reciprocal_std, output_mean, output_std
        The scaling, or None; reciprocal_std is 1 / input_std, rounded in the network's dtype.
    """

    def __init__(self, net: Parameters) -> None:
        self.input_size: int = net.input_size
        self.state_size: int = net.state_size
        self.directions = [layer.direction for layer in net.layers]
        self.runs_forward = set(self.directions) == {"forward"}
        self.layers: list[list[Affine]] = [
            [_half(net, half) for half in (layer, layer.reverse) if half is not None]
            for layer in net.layers
        ]
        self.readout: Affine | None = None
        if net.readout is not None:
            W_hy, b_y = net.readout.W_hy.tolist(), _list(net.readout.b_y)
            g = _function(net, net.readout.activation)
            self.readout = g, W_hy, b_y or [0.0] * len(W_hy)
        self.initial_state = _list(net.initial_state) or [0.0] * net.state_size
        self.input_mean = _list(net.input_mean)
        self.reciprocal_std = _list(None if net.input_std is None else 1 / net.input_std)
        self.output_mean = _list(net.output_mean)
        self.output_std = _list(net.output_std)


def _half(net: Parameters, half: Any) -> Affine:  # noqa: ANN401 - a layer, or the reverse half of one
    # Side by side, because W_xh x + W_hh h = [W_xh | W_hh] [x; h] is one sum for each unit.
    rows = [a + b for a, b in zip(half.W_xh.tolist(), half.W_hh.tolist(), strict=True)]
    return _function(net, half.activation), rows, _list(half.b_h) or [0.0] * len(rows)


def _list(array: Any) -> list[float] | None:  # noqa: ANN401 - a NumPy array, which is not imported
    return None if array is None else array.tolist()


def weights(net: Parameters) -> Weights:
    """Return the weights of a network for `step` and `run`.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> w = elman.pure.weights(net)
    >>> len(w.initial_state)
    3
    """
    return Weights(net)


def step(w: Weights, x: Sequence[float], state: Sequence[float]) -> tuple[list[float], list[float]]:
    """Compute one step.

    Parameters
    ----------
    w
        The weights, from `weights(net)`.
    x
        The I inputs in the user's scale.
    state
        The state before the step: `state_size` values, the layers from the bottom up.

    Returns
    -------
    y, state
        The O outputs in the user's scale, and the state after the step.

    Raises
    ------
    ShapeError, ArgumentError, ArgumentTypeError
        If `x` or `state` has the wrong length, a layer does not run forward, or `w` is a network.

    Examples
    --------
    >>> import elman
    >>> w = elman.pure.weights(elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0))
    >>> y, state = elman.pure.step(w, [0.5, -1.0], w.initial_state)
    >>> len(y), len(state)
    (1, 3)
    """
    _require_weights(w)
    if not w.runs_forward:
        from elman.errors import ArgumentError

        raise ArgumentError(f"step: expected layers that all run forward, got {w.directions}")
    _check_state(w, state)
    v = _scale_inputs(w, x)
    after: list[float] = []
    for (half,) in w.layers:
        h = state[len(after) : len(after) + len(half[2])]
        v = _affine(half, v + list(h))  # [x; h]: the layer's input and its previous state
        after += v
    return _read_out(w, v), after


def _affine(part: Affine, v: list[float]) -> list[float]:
    """Return f(W v + b)."""
    f, W, b = part
    return f([dot(row, v) + c for row, c in zip(W, b, strict=True)])


def _scale_inputs(w: Weights, x: Sequence[float]) -> list[float]:
    if len(x) != w.input_size:
        from elman.errors import ShapeError

        raise ShapeError(f"x: expected {w.input_size} values, got {len(x)}")
    v = list(x)
    if w.input_mean is not None:
        v = [a - b for a, b in zip(v, w.input_mean, strict=True)]
    if w.reciprocal_std is not None:
        v = [a * b for a, b in zip(v, w.reciprocal_std, strict=True)]
    return v


def _read_out(w: Weights, v: list[float]) -> list[float]:
    if w.readout is not None:
        v = _affine(w.readout, v)
    if w.output_std is not None:
        v = [a * b for a, b in zip(v, w.output_std, strict=True)]
    if w.output_mean is not None:
        v = [a + b for a, b in zip(v, w.output_mean, strict=True)]
    return v


def _require_weights(w: object) -> None:
    if not isinstance(w, Weights):
        from elman.errors import ArgumentTypeError

        raise ArgumentTypeError(
            f"w: expected the weights of a network, got {type(w).__name__}: use"
            " elman.pure.weights(net)"
        )


def _check_state(w: Weights, state: Sequence[float]) -> None:
    if len(state) != w.state_size:
        from elman.errors import ShapeError

        raise ShapeError(f"state: expected {w.state_size} values, got {len(state)}")


def run(
    w: Weights, x: Iterable[Sequence[float]], state: Sequence[float] | None = None
) -> tuple[list[list[float]], list[float]]:
    """Run one whole sequence.

    Parameters
    ----------
    w
        The weights, from `weights(net)`.
    x
        T rows of I inputs.
    state
        The state before the first step; by default the network's initial state.

    Returns
    -------
    y, state
        T rows of O outputs, and the state after the last step.

    Raises
    ------
    ShapeError, ArgumentTypeError
        If a row of `x`, or `state`, has the wrong length, or `w` is a network.

    Examples
    --------
    >>> import elman
    >>> w = elman.pure.weights(elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0))
    >>> y, state = elman.pure.run(w, [[0.5, -1.0], [0.0, 1.0]])
    >>> len(y)
    2
    """
    _require_weights(w)
    state = list(w.initial_state if state is None else state)
    if not w.runs_forward:
        return _run_layers(w, x, state)
    y = []
    for x_t in x:
        y_t, state = step(w, x_t, state)
        y.append(y_t)
    return y, state


def _run_layers(
    w: Weights, x: Iterable[Sequence[float]], state: list[float]
) -> tuple[list[list[float]], list[float]]:
    """Run layer by layer; a reverse layer takes the steps in reverse order."""
    _check_state(w, state)
    below = [_scale_inputs(w, x_t) for x_t in x]
    after: list[float] = []
    for halves, direction in zip(w.layers, w.directions, strict=True):
        gives: list[list[float]] = [[] for _ in below]
        for index, half in enumerate(halves):
            h = state[len(after) : len(after) + len(half[2])]
            steps = range(len(below))
            for t in reversed(steps) if direction == "reverse" or index == 1 else steps:
                h = _affine(half, below[t] + h)
                gives[t] += h  # [forward | reverse]
            after += h
        below = gives
    return [_read_out(w, v) for v in below], after
