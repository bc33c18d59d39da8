"""The network in NumPy: float64, one line per equation, and the judge of the C++ core's results.

Everything here is written for reading and shares no code with the core. `step` is the network,
`run` goes over time layer by layer, `loss_and_gradients` goes back through it, and `verify` holds
results of the core against the equations.
Dimension letters: T time, I input, H hidden, O output; `...` stands for any leading batch axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple  # NumPy has imported `typing` already

import numpy as np

from elman.errors import ArgumentError, ShapeError
from elman.gradients import Gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from elman.activation import Activation
    from elman.network import Network

    Array = NDArray[np.float64]
    Layer = Any  # an element of net.layers, or its `reverse`

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


# --- the activations ------------------------------------------------------------------------------


def tanh(z: Array) -> Array:
    """Return tanh(z)."""
    return np.tanh(z)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), written so that exp never overflows and no tail loses digits."""
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
    """Return log(1 + exp(z)), written so that exp never overflows and no tail loses digits."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def scaled_tanh(z: Array, alpha: float, beta: float) -> Array:
    """Return alpha tanh(beta z)."""
    return alpha * np.tanh(beta * z)


def affine(z: Array, alpha: float, beta: float) -> Array:
    """Return alpha z + beta."""
    return alpha * z + beta


def softmax(z: Array) -> Array:
    """Return exp(z) / sum(exp(z)) over the last axis, shifted by the maximum against overflow."""
    e: Array = np.exp(z - z.max(axis=-1, keepdims=True))
    total: Array = e.sum(axis=-1, keepdims=True)
    return e / total


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
}


def _activate(net: Network, activation: Activation, z: Array) -> Array:
    """Return f(z), with z clipped first if the activation says so."""
    return ACTIVATIONS[activation.name](_clip(net, activation, z), **_numbers(net, activation))


def _clip(net: Network, activation: Activation, z: Array) -> Array:
    """Return z, held within the clip of the activation; a NaN stays a NaN."""
    limit = _limit(net, activation)
    return z if np.isinf(limit) else np.clip(z, -limit, limit)


def _limit(net: Network, activation: Activation) -> float:
    return np.inf if activation.clip is None else float(net.dtype.type(activation.clip))


def _numbers(net: Network, activation: Activation) -> dict[str, float]:
    """Return alpha and beta if the activation has them, rounded to the network's dtype."""
    given = {"alpha": activation.alpha, "beta": activation.beta}
    return {name: float(net.dtype.type(n)) for name, n in given.items() if n is not None}


# --- the network ----------------------------------------------------------------------------------


class Run(NamedTuple):
    """Outputs (..., T, O), the last states (..., S) and all states (..., T, S), S = state_size."""

    output: Array
    state: Array
    hidden: Array


@np.errstate(all="ignore")  # NaN and infinities in data propagate without a warning
def step(net: Network, x: ArrayLike, state: ArrayLike) -> tuple[Array, Array]:
    """Compute one step of the network.

    Parameters
    ----------
    net
        The network.
    x
        Inputs (..., I) in the user's units.
    state
        States before the step (..., state_size): the layers' hidden states from the bottom up.

    Returns
    -------
    y, state
        Outputs (..., O) in the user's units and the states after the step, both float64.

    Raises
    ------
    ArgumentError
        If a layer does not run forward.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> y, h = elman.reference.step(net, [0.5, -1.0], [0.0, 0.0, 0.0])
    >>> y.shape, h.shape
    ((1,), (3,))
    """
    _require_forward(net, "step")
    below = _to_network_units(net, np.asarray(x, dtype=np.float64))
    h = []
    for layer, h_before in zip(net.layers, _by_layer(net, state), strict=True):
        below = _cell(net, layer, below, h_before)
        h.append(below)
    return _read_out(net, below), np.concatenate(h, axis=-1)


def _cell(net: Network, layer: Layer, x: Array, h: Array) -> Array:
    """Return the states (..., H) of a layer after a step, from its inputs and the states before."""
    W_xh, W_hh, b_h = _float64(layer.W_xh), _float64(layer.W_hh), _float64(layer.b_h)
    # A row vector times W.T is the column vector W v of the equations, for every sequence.
    return _activate(net, layer.activation, h @ W_hh.T + x @ W_xh.T + b_h)


def _read_out(net: Network, top: Array) -> Array:
    """Return the outputs (..., O) from what the top layer gives."""
    y = top
    if net.readout is not None:
        W_hy, b_y = _float64(net.readout.W_hy), _float64(net.readout.b_y)
        y = _activate(net, net.readout.activation, top @ W_hy.T + b_y)
    return _to_user_units(net, y)


@np.errstate(all="ignore")
def run(
    net: Network,
    x: ArrayLike,
    state: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    masked: str = "hold",
) -> Run:
    """Run the network over whole sequences, layer by layer, one step after the other.

    A layer that runs in reverse is the forward one on the reversed steps.

    Parameters
    ----------
    net
        The network.
    x
        Inputs (..., T, I) in the user's units.
    state
        States before the first step, broadcast to (..., state_size). The network's own
        `initial_state`, or zeros, without it.
    lengths
        Numbers of real steps (...), 0 to T each; all T without it. The steps after them are
        padding: the state is held, the output is zero, and nothing of their inputs is used.
    mask, masked
        Instead of lengths, which steps (..., T) are real; the others give the output of the states
        held there ("hold") or zeros ("zero").

    Returns
    -------
    Run
        output (..., T, O), the state after the last real step (..., state_size) (for a layer in
        reverse after the first one), and the states after every step (..., T, state_size), all
        float64.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> elman.reference.run(net, [[0.5, -1.0], [0.0, 1.0]]).output.shape
    (2, 1)
    """
    x = np.asarray(x, dtype=np.float64)
    *batch, T, _ = x.shape
    real = _real_steps(lengths, mask, batch, T)[..., np.newaxis]
    starts = _by_half(net, _start_state(net, state, batch))
    below = _to_network_units(net, x)
    hidden, last = [], []
    for layer in net.layers:
        gives = []
        for half, backwards in _halves(layer):
            h, after = next(starts), np.zeros((*batch, T, len(half.W_hh)))
            for t in reversed(range(T)) if backwards else range(T):
                # A step that is not real does not exist: its state is the one before.
                h = np.where(real[..., t, :], _cell(net, half, below[..., t, :], h), h)
                after[..., t, :] = h
            gives.append(after)
            last.append(h)
        below = np.concatenate(gives, axis=-1)
        hidden.append(below)
    output = _read_out(net, below)
    if mask is None or masked == "zero":
        output = np.where(real, output, 0.0)
    return Run(output, np.concatenate(last, axis=-1), np.concatenate(hidden, axis=-1))


def _halves(layer: Layer) -> list[tuple[Layer, bool]]:
    """Return the halves of a layer, forward before reverse, and whether each runs backwards."""
    if layer.direction == "bidirectional":
        return [(layer, False), (layer.reverse, True)]
    return [(layer, layer.direction == "reverse")]


def _runs_forward(net: Network) -> bool:
    return all(layer.direction == "forward" for layer in net.layers)


def _require_forward(net: Network, what: str) -> None:
    if not _runs_forward(net):
        found = [layer.direction for layer in net.layers]
        raise ArgumentError(f"{what}: expected layers that all run forward, got {found}")


def _to_network_units(net: Network, x: NDArray[Any]) -> NDArray[Any]:
    """Return x' = (x - input_shift) * input_scale."""
    if net.input_shift is not None:
        x = x - net.input_shift
    if net.input_scale is not None:
        x = x * net.input_scale
    return x


def _to_user_units(net: Network, y: Array) -> Array:
    """Return y * output_scale + output_shift."""
    if net.output_scale is not None:
        y = y * net.output_scale
    if net.output_shift is not None:
        y = y + net.output_shift
    return y


def _by_layer(net: Network, state: ArrayLike) -> Iterator[Array]:
    """Yield each layer's part of states (..., state_size), from the bottom up."""
    return _parts(state, [sum(len(half.W_hh) for half, _ in _halves(l)) for l in net.layers])


def _by_half(net: Network, state: ArrayLike) -> Iterator[Array]:
    """Yield each half's part of states (..., state_size), from the bottom up."""
    return _parts(state, [len(half.W_hh) for l in net.layers for half, _ in _halves(l)])


def _parts(array: ArrayLike, sizes: list[int]) -> Iterator[Array]:
    """Yield the parts of these sizes along the last axis, in float64."""
    array = np.asarray(array, dtype=np.float64)
    end = 0
    for size in sizes:
        start, end = end, end + size
        yield array[..., start:end]


def _float64(weights: NDArray[Any] | None) -> Array:
    """Return weights in float64; the bias that a layer does not have is 0."""
    return np.asarray(0.0 if weights is None else weights, dtype=np.float64)


def _start_state(net: Network, state: ArrayLike | None, batch: list[int]) -> Array:
    if state is None:
        state = 0.0 if net.initial_state is None else net.initial_state
    return np.broadcast_to(np.asarray(state, dtype=np.float64), (*batch, net.state_size)).copy()


def _lengths(lengths: ArrayLike | None, batch: list[int], T: int) -> NDArray[np.int64]:
    return np.broadcast_to(np.asarray(T if lengths is None else lengths, dtype=np.int64), batch)


def _real_steps(
    lengths: ArrayLike | None, mask: ArrayLike | None, batch: list[int], T: int
) -> NDArray[np.bool_]:
    """Return which steps (..., T) are real."""
    if mask is not None:
        return np.broadcast_to(np.asarray(mask, dtype=bool), (*batch, T))
    return np.arange(T) < _lengths(lengths, batch, T)[..., np.newaxis]


# --- the gradients --------------------------------------------------------------------------------

# f'(z); 0, or what holds on the left, where f has a corner.
SLOPES: dict[str, Callable[..., Array]] = {
    "tanh": lambda z: 1.0 - np.tanh(z) ** 2,
    "sigmoid": lambda z: sigmoid(z) * sigmoid(-z),
    "relu": lambda z: np.where(z > 0, 1.0, 0.0),
    "identity": np.ones_like,
    "leaky_relu": lambda z, alpha: np.where(z > 0, 1.0, alpha),
    "elu": lambda z, alpha: np.where(z > 0, 1.0, alpha * np.exp(z)),
    "thresholded_relu": lambda z, alpha: np.where(z > alpha, 1.0, 0.0),
    "hard_sigmoid": lambda z, alpha, beta: np.where(np.abs(alpha * z + beta - 0.5) < 0.5, alpha, 0),
    "softsign": lambda z: 1.0 / (1.0 + np.abs(z)) ** 2,
    "softplus": sigmoid,
    "scaled_tanh": lambda z, alpha, beta: alpha * beta * (1.0 - np.tanh(beta * z) ** 2),
    "affine": lambda z, alpha, beta: np.full_like(z, alpha),
}


def _backward(net: Network, activation: Activation, z: Array, d: Array) -> Array:
    """Return the gradient with respect to z, from the gradient d with respect to f(z)."""
    if activation.name == "softmax":
        f = softmax(z)
        rest: Array = d - (f * d).sum(axis=-1, keepdims=True)
        return f * rest
    slope = SLOPES[activation.name](z, **_numbers(net, activation))
    flows = (np.abs(z) < _limit(net, activation)) & (slope != 0)
    return np.where(flows, d * slope, 0.0)


@np.errstate(all="ignore")
def loss_and_gradients(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: str = "mse",
    outputs: str = "all",
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    step_weight: ArrayLike | None = None,
    bptt_steps: int | None = None,
    update_every: int | None = None,
    normalizer: float | None = None,
) -> tuple[float, Gradients]:
    """Compute a loss and its gradients by back-propagation through time.

    Parameters
    ----------
    net, x, lengths, state
        As for `run`.
    y
        Targets (..., T, O), or (..., O) if only the last output counts; for "cross_entropy"
        classes 0 to O - 1 of shape (..., T), or (...).
    loss
        "mse", "bce" (of a sigmoid readout) or "cross_entropy" (of a softmax readout).
    outputs
        "all": every real step counts. "last": the last real step alone.
    sample_weight, step_weight
        Weights (...) of the sequences and (..., T) of the steps; 1 without them.
    bptt_steps, update_every
        k and m: the errors of the steps jm to (j+1)m - 1 flow back to step max(0, (j+1)m - k) at
        the earliest; the state before it is a constant, unless that is where the sequence begins.
        By default m = k, and k = T. With "last", the error of the last step flows back k steps.
    normalizer
        What to divide by; the sum of all weights without it.

    Returns
    -------
    loss, gradients
        sum(w l) / sum(w), l the loss of a step and w its weight, and its gradients, in float64.

    Raises
    ------
    ArgumentError
        If the sum of the weights is 0.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=1, hidden_size=3, output_size=1, seed=0)
    >>> loss, grads = elman.reference.loss_and_gradients(net, [[0.5], [1.0]], [[0.0], [1.0]])
    >>> grads.layers[0].W_hh.shape
    (3, 3)
    """
    _require_forward(net, "loss_and_gradients")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    *batch, T, _ = x.shape
    n = _lengths(lengths, batch, T)
    h = [_start_state(net, state, batch)]  # h[t] is the state before step t
    w = _weights(n, T, outputs, sample_weight, step_weight)
    total = w.sum() if normalizer is None else normalizer
    if total == 0:
        raise ArgumentError("weights: expected a sum above 0, got 0")

    value = 0.0
    dz = []  # the gradient with respect to z_t, where y_t = g(z_t)
    for t in range(T):
        h.append(np.where((t < n)[..., np.newaxis], step(net, x[..., t, :], h[t])[1], h[t]))
        target = y if outputs == "last" else y.take(t, axis=len(batch))
        l_t, dz_t = _loss(net, loss, _readout_sum(net, h[t + 1]), target, w[..., t] != 0)
        value += (w[..., t] / total * l_t).sum()
        dz.append((w[..., t] / total)[..., np.newaxis] * dz_t)

    grads = _zeros(net)
    dh_start = np.zeros_like(h[0])
    k = T if bptt_steps is None else bptt_steps
    m = k if update_every is None else update_every
    if outputs == "last" and bptt_steps is not None:
        m = 1  # wherever the last step is, its error flows back k steps
    for begin in range(0, T, max(m, 1)):
        end = begin + m
        first = max(0, end - k)
        dh = np.zeros_like(h[0])
        for t in reversed(range(first, min(end, T))):
            if t >= begin:
                dh = dh + _readout_backward(net, h[t + 1], dz[t], grads)
            real = (t < n)[..., np.newaxis]
            x_t, d = np.where(real, x[..., t, :], 0.0), np.where(real, dh, 0.0)
            dh = np.where(real, _step_backward(net, x_t, h[t], h[t + 1], d, grads), dh)
        if first == 0:
            dh_start += dh
    grads["initial_state"] = _sum_to(
        dh_start, (net.state_size,) if state is None else np.shape(state)
    )
    return float(value), Gradients.from_tensors(grads)


def _weights(
    n: NDArray[np.int64],
    T: int,
    outputs: str,
    sample_weight: ArrayLike | None,
    step_weight: ArrayLike | None,
) -> Array:
    """Return the weight of every step (..., T); padding weighs nothing."""
    t, n = np.arange(T), n[..., np.newaxis]
    w = np.where(t < n if outputs == "all" else t == n - 1, 1.0, 0.0)
    if sample_weight is not None:
        w = w * np.asarray(sample_weight, dtype=np.float64)[..., np.newaxis]
    if step_weight is not None:
        w = np.where(w != 0, w * np.asarray(step_weight, dtype=np.float64), 0.0)
    return w


def _readout_sum(net: Network, top: Array) -> Array:
    """Return z of the outputs g(z); without a readout, the top layer's states."""
    *_, top = _by_layer(net, top)
    if net.readout is None:
        return top
    return top @ _float64(net.readout.W_hy).T + _float64(net.readout.b_y)


def _loss(
    net: Network, loss: str, z: Array, target: NDArray[Any], counts: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Return the losses (...) of a step and their gradients (..., O) with respect to z."""
    O = z.shape[-1]
    if loss == "cross_entropy":
        target = np.where(counts, target, 0).astype(np.int64)[..., np.newaxis]
        z = z - z.max(axis=-1, keepdims=True)
        l = np.log(np.exp(z).sum(axis=-1)) - np.take_along_axis(z, target, axis=-1)[..., 0]
        return l, softmax(z) - (np.arange(O) == target)
    target = np.where(counts[..., np.newaxis], target, 0.0)
    if loss == "bce":
        l = np.maximum(z, 0.0) - z * target + np.log1p(np.exp(-np.abs(z)))
        return l.mean(axis=-1), (sigmoid(z) - target) / O
    y = z if net.readout is None else _activate(net, net.readout.activation, z)
    error = _to_user_units(net, y) - target
    dy = 2.0 * error / O
    if net.output_scale is not None:
        dy = dy * net.output_scale
    dz = dy if net.readout is None else _backward(net, net.readout.activation, z, dy)
    return (error * error).mean(axis=-1), dz


def _readout_backward(net: Network, h: Array, dz: Array, grads: dict[str, Array]) -> Array:
    """Add a step's part of the readout's gradients; return the gradient (..., S) of its states."""
    *_, top = _by_layer(net, h)
    dh = np.zeros_like(h)
    if net.readout is None:
        dh[..., -top.shape[-1] :] = dz
        return dh
    grads["readout.W_hy"] += _outer(dz, top)
    if net.readout.b_y is not None:
        grads["readout.b_y"] += _sum_to(dz, grads["readout.b_y"].shape)
    dh[..., -top.shape[-1] :] = dz @ _float64(net.readout.W_hy)
    return dh


def _step_backward(
    net: Network, x: Array, h_before: Array, h_after: Array, dh: Array, grads: dict[str, Array]
) -> Array:
    """Add a step's part of the layers' gradients; return the gradient of the states before it."""
    before, after = list(_by_layer(net, h_before)), list(_by_layer(net, h_after))
    below = [_to_network_units(net, x), *after]
    d = list(_by_layer(net, dh))
    d_before = [np.zeros_like(h) for h in before]
    for index, layer in reversed(list(enumerate(net.layers))):
        W_xh, W_hh, b_h = _float64(layer.W_xh), _float64(layer.W_hh), _float64(layer.b_h)
        z = before[index] @ W_hh.T + below[index] @ W_xh.T + b_h
        dz = _backward(net, layer.activation, z, d[index])
        grads[f"layers.{index}.W_xh"] += _outer(dz, below[index])
        grads[f"layers.{index}.W_hh"] += _outer(dz, before[index])
        if layer.b_h is not None:
            grads[f"layers.{index}.b_h"] += _sum_to(dz, layer.b_h.shape)
        d_before[index] = dz @ W_hh
        if index > 0:
            d[index - 1] = d[index - 1] + dz @ W_xh
    return np.concatenate(d_before, axis=-1)


def _zeros(net: Network) -> dict[str, Array]:
    """Return zeros in the shapes of all weights, by their names in a model file."""
    weights = {
        f"layers.{index}.{name}": getattr(layer, name)
        for index, layer in enumerate(net.layers)
        for name in ("W_xh", "W_hh", "b_h")
    }
    if net.readout is not None:
        weights |= {"readout.W_hy": net.readout.W_hy, "readout.b_y": net.readout.b_y}
    return {name: np.zeros(w.shape) for name, w in weights.items() if w is not None}


def _outer(a: Array, b: Array) -> Array:
    """Return the sum of a b^T over all sequences."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _sum_to(a: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum over the axes along which an array of this shape was broadcast."""
    a = a.sum(axis=tuple(range(a.ndim - len(shape))))
    repeated = tuple(i for i, size in enumerate(shape) if size == 1 and a.shape[i] != 1)
    total: Array = a.sum(axis=repeated, keepdims=True)
    return total


# --- the judge ------------------------------------------------------------------------------------

_BOUND = "g(n + 4) (|b| + sum |w||v|) slope + 4 u |f| + 2^-100, g(k) = k u / (1 - k u)"
# The largest |f'|, of |alpha| and |beta|.
_STEEPEST: dict[str, Callable[..., float]] = {
    "tanh": lambda: 1.0,
    "sigmoid": lambda: 0.25,
    "relu": lambda: 1.0,
    "identity": lambda: 1.0,
    "leaky_relu": lambda alpha: max(alpha, 1.0),
    "elu": lambda alpha: max(alpha, 1.0),
    "thresholded_relu": lambda alpha: 1.0,  # but for the jump at alpha
    "hard_sigmoid": lambda alpha, beta: alpha,
    "softsign": lambda: 1.0,
    "softplus": lambda: 1.0,
    "scaled_tanh": lambda alpha, beta: alpha * beta,
    "affine": lambda alpha, beta: alpha,
}
_TINY = 2.0**-100
_U64 = 2.0**-53  # the unit roundoff of the judge's own arithmetic
_BLOCK_VALUES = 1 << 20  # verify judges blocks of about this many values, to bound its memory


class VerificationReport(NamedTuple):
    """What `verify` found; `str(report)` says it in words.

    Attributes
    ----------
    ok
        True if every value lies within its bound.
    worst_ratio
        The largest quotient of an error and its bound; at most 1 if `ok`.
    where
        Where that is: the layer's index or "output", the batch index, the step, the unit. None if
        every value is exact.
    largest_error
        The largest error in absolute terms, bound or no bound.
    free_running_difference
        The largest difference of the outputs from a reference that runs on its own states from the
        start. It is reported and not judged: a chaotic network amplifies every rounding error.
    steps
        The number of real steps of all sequences together.
    values
        The number of values that were compared.
    not_judged
        How many of them may overflow the network's dtype, so that no bound exists for them.
    bound
        The bound as a formula.
    """

    ok: bool
    worst_ratio: float
    where: tuple[int | str, tuple[int, ...], int, int] | None
    largest_error: float
    free_running_difference: float
    steps: int
    values: int
    not_judged: int
    bound: str

    def __str__(self) -> str:
        text = f"{self.values} values in {self.steps} steps"
        if self.where is None:
            text = f"verified: {text} are exact"
        else:
            part, sequence, t, unit = self.where
            place = "the output" if part == "output" else f"layer {part}"
            row = f", sequence {', '.join(map(str, sequence))}" if sequence else ""
            text = (
                f"{'verified' if self.ok else 'NOT verified'}: of {text} the worst has"
                f" {self.worst_ratio:.3g} times the error that rounding allows"
                f" (in {place}{row}, step {t}, unit {unit});"
                f" the largest error is {self.largest_error:.3g}"
            )
        if self.not_judged:
            text += f"; {self.not_judged} values may overflow and were not judged"
        return f"{text}. Free-running difference: {self.free_running_difference:.3g}."


@np.errstate(all="ignore")
def verify(
    net: Network,
    x: ArrayLike,
    output: ArrayLike,
    hidden: ArrayLike,
    state: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    masked: str = "hold",
) -> VerificationReport:
    """Judge the results of another implementation, each step from that implementation's own state.

    Parameters
    ----------
    net
        The network.
    x, state, lengths, mask, masked
        What the implementation was given: as for `run`.
    output, hidden
        What it computed: (..., T, O), and the states after every step (..., T, state_size).

    Returns
    -------
    VerificationReport
        `report.ok` says whether every value lies within its bound.

    Raises
    ------
    ShapeError
        If `output` or `hidden` does not have the shape that belongs to `x`.

    Notes
    -----
    Let u be the unit roundoff of the network's dtype and g(k) = k u / (1 - k u).

    *The sum.* z = b + sum w v has n products: of the layer's inputs and states for a hidden unit,
    of the top layer's states for an output. Whatever the order (partial sums, a tree, a stored
    intermediate result), a summand passes through at most n additions, and a product through one
    rounding more if it is not fused: the sum is off by at most g(n + 1) (|b| + sum |w| |v|)
    (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 4.2).
    We grant g(n + 4): the three roundings more pay for those in the evaluation of the bound itself
    (as long as n < 10^8). The v are what the implementation must have used, to the bit: x rounded
    to the dtype, less the shift, times the scale, each rounded; and the states that it returned.

    *The activation.* An error of z grows by at most the slope: 1 for tanh, relu, identity, softsign
    and softplus, 1/4 for the sigmoid, |alpha| for hard_sigmoid and affine, that or 1 for leaky_relu
    and elu, |alpha beta| for scaled_tanh, and 1/2 in the maximum norm for softmax (the rows of its
    Jacobian sum to 2 f (1 - f) in absolute terms); where z is clipped, so is its error.
    thresholded_relu jumps: where z is as near to alpha as its error, both 0 and z are right, and
    the nearer one is judged. The function itself may be off by 4 u |f|, two units in the last
    place, and those that multiply or compose others, elu, softplus and scaled_tanh, by 8 u |f|. A
    sum alpha z + beta adds g(2) (|alpha z| + |beta|), as it may be rounded twice. Softmax divides
    exponentials of z - max z by the sum of all O: the rounding of this difference becomes a
    relative error of the exponential, whose mean under the weights f is at most ln O, and with O -
    1 additions, one division and the exponentials themselves we grant u |f| (|z - max z| + ln O + O
    + 16).

    *Units of the output* add a product and a sum, 3 roundings with the slack, and one underflow.

    *The judge* computes z and f in float64 and makes the same errors with u = 2^-53, but for
    NumPy's functions, which we trust to 4 units in the last place only: its share, with 12 u |f|
    for the activation, is added. A right float64 result cannot fail, and float32 does not notice.

    2^-100 pays for underflow (and |alpha| times the smallest number for that before a product), and
    for the core's rule that a hidden value below it is zero.

    *NaN, infinities, overflow.* Where data are not finite the result must be of the same kind: a
    NaN for a NaN, the same infinity. Where finite summands reach half the dtype's largest number a
    partial sum may overflow, nothing can be said, and the value counts as not judged.

    *Steps that are not real* must hold the state and give zeros exactly, or, if a mask holds the
    outputs, those of the states held there. The state from which a reverse half came to step t is
    that after step t + 1.

    Examples
    --------
    >>> import elman, numpy as np
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> x = np.ones((5, 2))
    >>> out = net.run(x, return_hidden=True)
    >>> elman.reference.verify(net, x, out.output, out.hidden).ok
    True
    """
    x = np.asarray(x).astype(net.dtype)
    *batch, T, _ = x.shape
    output = _expect_shape("output", output, (*batch, T, net.output_size))
    hidden = _expect_shape("hidden", hidden, (*batch, T, net.state_size))
    real = _real_steps(lengths, mask, batch, T)[..., np.newaxis]
    answers = np.ones_like(real) if mask is not None and masked == "hold" else real
    start = _start_state(net, None if state is None else np.asarray(state).astype(net.dtype), batch)

    findings = _Findings()
    for t, end in _blocks(net, batch, T):
        block = np.s_[..., t:end, :]
        below = _to_network_units(net, x[block]).astype(np.float64)
        states = zip(
            _by_half(net, hidden[block]),
            _by_half(net, _states_before(start, hidden, t, end)),
            _by_half(net, _states_after(start, hidden, t, end)),
            strict=True,
        )
        for index, layer in enumerate(net.layers):
            gives: list[Array] = []
            for half, backwards in _halves(layer):
                got, before, after = next(states)
                came_from = after if backwards else before
                want, bound = _judge_layer(net, half, below, came_from, got)
                want, bound = (
                    np.where(real[block], want, came_from),
                    np.where(real[block], bound, 0),
                )
                findings.add(index, t, got, want, bound, unit=sum(g.shape[-1] for g in gives))
                gives.append(got)
            below = np.concatenate(gives, axis=-1)
        got = output[block].astype(np.float64)
        want, bound = _judge_output(net, below, got)
        want, bound = np.where(answers[block], want, 0.0), np.where(answers[block], bound, 0.0)
        findings.add("output", t, got, want, bound)
    h, masked = start, "zero" if mask is None else masked
    for t, end in _blocks(net, batch, T) if _runs_forward(net) else [(0, T)]:
        free = run(net, x[..., t:end, :], h, mask=real[..., t:end, 0], masked=masked)
        findings.add_free_running(output[..., t:end, :], free.output)
        h = free.state
    return findings.report(int(real.sum()))


def _states_before(start: Array, hidden: NDArray[Any], t: int, end: int) -> NDArray[Any]:
    """Return the states from which a forward half came to the steps t to end - 1."""
    if t > 0:
        return hidden[..., t - 1 : end - 1, :]
    return np.concatenate([start[..., np.newaxis, :], hidden[..., : end - 1, :]], axis=-2)


def _states_after(start: Array, hidden: NDArray[Any], t: int, end: int) -> NDArray[Any]:
    """Return the states from which a reverse half came to the steps t to end - 1."""
    if end < hidden.shape[-2]:
        return hidden[..., t + 1 : end + 1, :]
    return np.concatenate([hidden[..., t + 1 :, :], start[..., np.newaxis, :]], axis=-2)


def _judge_layer(
    net: Network, layer: Layer, below: Array, before: Array, got: Array
) -> tuple[Array, Array]:
    """Return the states after one step from the states before it, and their bounds."""
    products = [(layer.W_xh, below), (layer.W_hh, before)]
    *right, bound = _judge_neurons(net, layer.activation, layer.b_h, products)
    return _nearest(got, *right), bound


def _judge_output(net: Network, top: Array, got: Array) -> tuple[Array, Array]:
    """Return the outputs (..., O) from the top layer's states, and their bounds."""
    y, other, bound = top, top, np.zeros_like(top)
    if net.readout is not None:
        products = [(net.readout.W_hy, top)]
        y, other, bound = _judge_neurons(net, net.readout.activation, net.readout.b_y, products)
    want = _nearest(got, _to_user_units(net, y), _to_user_units(net, other))
    if net.output_scale is None and net.output_shift is None:
        return want, bound
    scale = 1.0 if net.output_scale is None else np.abs(net.output_scale).astype(np.float64)
    shift = 0.0 if net.output_shift is None else np.abs(net.output_shift).astype(np.float64)
    size = (np.maximum(_size(y), _size(other)) + bound) * scale + shift
    bound = bound * scale + _both(net, 3) * size + np.finfo(net.dtype).smallest_subnormal
    return want, np.where(_may_overflow(net, size), np.inf, bound)


def _nearest(got: Array, one: Array, other: Array) -> Array:
    """Return the one of two right values that is nearer to what was got."""
    return np.where(np.abs(got - other) < np.abs(got - one), other, one)


def _judge_neurons(
    net: Network,
    activation: Activation,
    b: NDArray[Any] | None,
    products: list[tuple[Any, Array]],
) -> tuple[Array, Array, Array]:
    """Return f(z), z = b + the sum of W v over the products, and how far right results may be off.

    The second result is the other right value where f jumps within the error of z, else f(z).
    """
    z = _float64(b) + sum(v @ _float64(W).T for W, v in products)
    size = _size(_float64(b)) + sum(_size(v) @ _size(W).T for W, v in products)
    terms = sum(W.shape[1] for W, _ in products)
    error = np.where(np.isfinite(z), _both(net, terms + 4) * size, 0.0)
    error = np.where(_may_overflow(net, size), np.inf, error)
    f = _activate(net, activation, z)
    if activation.name == "softmax":
        error = 0.5 * error.max(axis=-1, keepdims=True)
        distance = _size(z - z.max(axis=-1, keepdims=True))
        outputs = z.shape[-1]
        ulps = (_unit_roundoff(net) + _U64) * (distance + np.log(outputs) + outputs + 16.0)
        return f, f, error + ulps * (_size(f) + error) + _TINY

    beyond = np.abs(z) - _limit(net, activation)  # where z is clipped, so is its error
    error = np.where(beyond > 0, np.maximum(error - beyond, 0.0), error)
    z = _clip(net, activation, z)
    numbers = _numbers(net, activation)
    other = f
    if activation.name == "thresholded_relu":
        jumps = np.abs(z - numbers["alpha"]) <= error
        other = np.where(jumps, np.where(z > numbers["alpha"], 0.0, z), f)
    numbers = {name: abs(number) for name, number in numbers.items()}
    error = error * _STEEPEST[activation.name](**numbers)
    composed = activation.name in ("elu", "softplus", "scaled_tanh")
    ulps = (2.0 if composed else 1.0) * (4.0 * _unit_roundoff(net) + 12.0 * _U64)
    subnormal = numbers.get("alpha", 0.0) * float(np.finfo(net.dtype).smallest_subnormal)
    bound = error + ulps * (_size(f) + error) + _TINY + subnormal
    if activation.name in ("leaky_relu", "hard_sigmoid", "affine"):
        line = numbers["alpha"] * _size(z) + numbers.get("beta", 0.0)
        bound = bound + _both(net, 2) * line
        if activation.name != "hard_sigmoid":
            bound = np.where(_may_overflow(net, line), np.inf, bound)
    return f, other, bound


def _size(a: NDArray[Any]) -> Array:
    """Return |a| in float64, and 0 where a is not finite: such terms are judged by their kind."""
    return np.where(np.isfinite(a), np.abs(a), 0.0).astype(np.float64, copy=False)


def _unit_roundoff(net: Network) -> float:
    return float(np.finfo(net.dtype).eps) / 2


def _both(net: Network, k: int) -> float:
    """Return g(k) of the network's dtype plus g(k) of the judge's float64."""
    return sum(k * u / (1 - k * u) if k * u < 1 else np.inf for u in (_unit_roundoff(net), _U64))


def _may_overflow(net: Network, size: Array) -> NDArray[np.bool_]:
    """Return where sums of this size may overflow; NaN (0 times inf) means that they may."""
    return ~(size < float(np.finfo(net.dtype).max) / 2)


def _expect_shape(name: str, array: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.asarray(array)
    if array.shape != shape:
        raise ShapeError(f"{name}: expected {shape}, got {array.shape}")
    return array


def _blocks(net: Network, batch: list[int], T: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, one past the last) of the blocks that `verify` judges at a time."""
    values_per_step = int(np.prod(batch)) * (net.input_size + net.state_size + net.output_size)
    block = max(1, _BLOCK_VALUES // max(1, values_per_step))
    for t in range(0, T, block):
        yield t, min(t + block, T)


def _errors(got: Array, want: Array) -> Array:
    """Return |got - want|: 0 for two NaN or equal infinities, infinite for a NaN on one side."""
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    error = np.abs(got - want)
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


class _Findings:
    """The worst of what `verify` has seen so far."""

    def __init__(self) -> None:
        self.worst_ratio = 0.0
        self.where: tuple[int | str, tuple[int, ...], int, int] | None = None
        self.largest_error = 0.0
        self.free_running_difference = 0.0
        self.values = 0
        self.not_judged = 0

    def add(
        self, part: int | str, t: int, got: Array, want: Array, bound: Array, unit: int = 0
    ) -> None:
        """Compare values (..., steps, units) of a part, from this step and unit on."""
        if not got.size:
            return
        unbounded = ~np.isfinite(bound)
        error = np.where(unbounded, 0.0, _errors(got, want))
        ratio = np.where(error > 0, error / bound, 0.0)
        self.values += got.size
        self.not_judged += int(unbounded.sum())
        self.largest_error = max(self.largest_error, float(error.max()))
        if ratio.max() > self.worst_ratio:
            self.worst_ratio = float(ratio.max())
            *sequence, step, worst = map(int, np.unravel_index(ratio.argmax(), ratio.shape))
            self.where = (part, tuple(sequence), t + step, unit + worst)

    def add_free_running(self, got: Array, want: Array) -> None:
        """Note how far outputs (..., steps, O) are from the free-running reference."""
        difference = float(_errors(got, want).max(initial=0.0))
        self.free_running_difference = max(self.free_running_difference, difference)

    def report(self, steps: int) -> VerificationReport:
        """Return the verdict on that many real steps."""
        return VerificationReport(
            ok=self.worst_ratio <= 1.0,
            worst_ratio=self.worst_ratio,
            where=self.where,
            largest_error=self.largest_error,
            free_running_difference=self.free_running_difference,
            steps=steps,
            values=self.values,
            not_judged=self.not_judged,
            bound=_BOUND,
        )
