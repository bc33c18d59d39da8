"""A network's weights in the form of most peers: tanh layers, a readout, scaling folded in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.cli.timing.base import Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Layer(NamedTuple):
    """W_xh (H, I), W_hh (H, H), b_h (H,), and the initial state h_0 (H,)."""

    W_xh: Array
    W_hh: Array
    b_h: Array
    h_0: Array


class Weights(NamedTuple):
    """The layers, W_hy (O, H), b_y (O,), and whether the output is sigmoid (else identity)."""

    layers: list[Layer]
    W_hy: Array
    b_y: Array
    sigmoid: bool


def weights(net: Network) -> Weights:
    """Return writable copies of the weights; raise Unsupported for other kinds of network."""
    known = net.output_activation in ("sigmoid", "identity")
    if set(net.activations) != {"tanh"} or net.readout is None or not known:
        raise Unsupported("supports only tanh layers and a sigmoid or identity output")
    if set(net.directions) != {"forward"}:
        raise Unsupported("supports only layers that run forward")
    sigmoid = net.output_activation == "sigmoid"
    if sigmoid and not (net.output_std is None and net.output_mean is None):
        raise Unsupported("does not support scaling of a sigmoid output")
    layers, end = [], 0
    for layer in net.layers:
        start, end = end, end + len(layer.W_hh)
        h_0 = net.initial_state if net.initial_state is not None else np.zeros(net.state_size)
        layers.append([layer.W_xh, layer.W_hh, _bias(layer.b_h, layer.W_hh), h_0[start:end]])
    W_hy, b_y = net.readout.W_hy, _bias(net.readout.b_y, net.readout.W_hy)

    if net.input_std is not None:
        layers[0][0] = layers[0][0] / net.input_std
    if net.input_mean is not None:
        layers[0][2] = layers[0][2] - layers[0][0] @ net.input_mean
    if net.output_std is not None:
        W_hy, b_y = W_hy * net.output_std[:, np.newaxis], b_y * net.output_std
    if net.output_mean is not None:
        b_y = b_y + net.output_mean

    def copy(a: Array) -> Array:
        return np.array(a, dtype=net.dtype, order="C")

    return Weights([Layer(*map(copy, layer)) for layer in layers], copy(W_hy), copy(b_y), sigmoid)


def _bias(bias: Array | None, matrix: Array) -> Array:
    return np.zeros(len(matrix), matrix.dtype) if bias is None else bias
