"""Backpropagation through time in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _structure
from elman.errors import ArgumentError
from elman.gradients import Gradients
from elman.reference.activations import activate, backward, sigmoid, softmax
from elman.reference.forward import (
    by_layer,
    float64,
    lengths_of,
    require_forward,
    scale_inputs,
    scale_outputs,
    start_state,
    step,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Parameters

    Array = NDArray[np.float64]


@np.errstate(all="ignore")
def loss_and_gradients(
    net: Parameters,
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
    """Compute a loss and its gradients by backpropagation through time.

    Parameters
    ----------
    net, x, lengths, state
        As for `run`.
    y
        Targets (..., T, O), or (..., O) if only the last output counts; for "cross_entropy"
        classes 0 to O - 1 of shape (..., T), or (...).
    loss
        "mse", "bce" (of a sigmoid readout) or "cross_entropy" (of a softmax or
        log_softmax readout).
    outputs
        "all": every real step counts. "last": only the last real step.
    sample_weight, step_weight
        Weights (...) of the sequences and (..., T) of the steps; 1 by default.
    bptt_steps, update_every
        k and m: gradients from steps jm to (j+1)m - 1 flow back to step max(0, (j+1)m - k) at the
        earliest; the state before it is a constant, except at the beginning of the sequence. By
        default m = k and k = T. With "last", the gradient of the last step flows back k steps.
    normalizer
        The divisor; by default the sum of all weights.

    Returns
    -------
    loss, gradients
        sum(w l) / sum(w), where l is the loss of a step and w its weight; gradients in float64.

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
    require_forward(net, "loss_and_gradients")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    *batch, T, _ = x.shape
    n = lengths_of(lengths, batch, T)
    h = [start_state(net, state, batch)]  # h[t] is the state before step t
    w = _weights(n, T, outputs, sample_weight, step_weight)
    total = w.sum() if normalizer is None else normalizer
    if total == 0:
        raise ArgumentError("weights: expected a sum above 0, got 0")

    value = 0.0
    dz = []  # the gradient with respect to z_t, where y_t = g(z_t)
    for t in range(T):
        h.append(np.where((t < n)[..., np.newaxis], step(net, x[..., t, :], h[t])[1], h[t]))
        target = y if outputs == "last" else y.take(t, axis=len(batch))
        l_t, dz_t = loss_of_step(net, loss, readout_sum(net, h[t + 1]), target, w[..., t] != 0)
        value += (w[..., t] / total * l_t).sum()
        dz.append((w[..., t] / total)[..., np.newaxis] * dz_t)

    grads = _zeros(net)
    dh_start = np.zeros_like(h[0])
    k = T if bptt_steps is None else bptt_steps
    m = k if update_every is None else update_every
    if outputs == "last" and bptt_steps is not None:
        m = 1  # k steps back from the last step, at any length
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
    """Return the weight of every step (..., T), 0 for padding."""
    t, n = np.arange(T), n[..., np.newaxis]
    w = np.where(t < n if outputs == "all" else t == n - 1, 1.0, 0.0)
    if sample_weight is not None:
        w = w * np.asarray(sample_weight, dtype=np.float64)[..., np.newaxis]
    if step_weight is not None:
        w = np.where(w != 0, w * np.asarray(step_weight, dtype=np.float64), 0.0)
    return w


def readout_sum(net: Parameters, top: Array) -> Array:
    """Return the z of the output g(z); without a readout, the top layer's states."""
    *_, top = by_layer(net, top)
    if net.readout is None:
        return top
    return top @ float64(net.readout.W_hy).T + float64(net.readout.b_y)


def loss_of_step(
    net: Parameters, loss: str, z: Array, target: NDArray[Any], counts: NDArray[np.bool_]
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
    y = z if net.readout is None else activate(net, net.readout.activation, z)
    error = scale_outputs(net, y) - target
    dy = 2.0 * error / O
    if net.output_std is not None:
        dy = dy * net.output_std
    dz = dy if net.readout is None else backward(net, net.readout.activation, z, dy)
    return (error * error).mean(axis=-1), dz


def _readout_backward(net: Parameters, h: Array, dz: Array, grads: dict[str, Array]) -> Array:
    """Add a step's part to the readout's gradients; return the gradient (..., S) of its states."""
    *_, top = by_layer(net, h)
    dh = np.zeros_like(h)
    if net.readout is None:
        dh[..., -top.shape[-1] :] = dz
        return dh
    grads[_structure.W_HY] += _outer(dz, top)
    if net.readout.b_y is not None:
        grads[_structure.B_Y] += _sum_to(dz, grads[_structure.B_Y].shape)
    dh[..., -top.shape[-1] :] = dz @ float64(net.readout.W_hy)
    return dh


def _step_backward(
    net: Parameters, x: Array, h_before: Array, h_after: Array, dh: Array, grads: dict[str, Array]
) -> Array:
    """Add a step's part to the layers' gradients; return the gradient of the states before it."""
    before, after = list(by_layer(net, h_before)), list(by_layer(net, h_after))
    below = [scale_inputs(net, x), *after]
    d = list(by_layer(net, dh))
    d_before = [np.zeros_like(h) for h in before]
    for index, layer in reversed(list(enumerate(net.layers))):
        W_xh, W_hh, b_h = float64(layer.W_xh), float64(layer.W_hh), float64(layer.b_h)
        z = before[index] @ W_hh.T + below[index] @ W_xh.T + b_h
        dz = backward(net, layer.activation, z, d[index])
        (prefix,) = _structure.prefixes(index, layer.direction)
        grads[f"{prefix}W_xh"] += _outer(dz, below[index])
        grads[f"{prefix}W_hh"] += _outer(dz, before[index])
        if layer.b_h is not None:
            grads[f"{prefix}b_h"] += _sum_to(dz, layer.b_h.shape)
        d_before[index] = dz @ W_hh
        if index > 0:
            d[index - 1] = d[index - 1] + dz @ W_xh
    return np.concatenate(d_before, axis=-1)


def _zeros(net: Parameters) -> dict[str, Array]:
    """Return zeros in the shapes of all weights, named as in model files."""
    parameters = {name: w for name, w in net.tensors().items() if name not in _structure.VECTORS}
    return {name: np.zeros(w.shape) for name, w in parameters.items()}


def _outer(a: Array, b: Array) -> Array:
    """Return the sum of a b^T over all sequences."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _sum_to(a: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum over the axes along which an array of this shape was broadcast."""
    a = a.sum(axis=tuple(range(a.ndim - len(shape))))
    repeated = tuple(i for i, size in enumerate(shape) if size == 1 and a.shape[i] != 1)
    total: Array = a.sum(axis=repeated, keepdims=True)
    return total
