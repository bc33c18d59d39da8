"""Build Keras layers for a network and fill them with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from elman._structure import SCALING
from elman.errors import UnsupportedModelError
from elman.interop.keras.config import PLAIN
from elman.interop.keras.writing import to_keras

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._network import Network
    from elman._typing import Array
    from elman.activation import Activation

_NAMES = {activation.name: name for name, activation in PLAIN.items()}  # in Keras


def model_of(net: Network | None) -> Any:
    """Return a model of a network's layers, with a bias in each if the network has it."""
    if net is None:
        raise UnsupportedModelError("source: expected a model, got only weights")
    layers = keras.layers
    settings = {
        "return_sequences": True,
        "zero_output_for_mask": net.masked == "zero",
        "dtype": net.dtype.name,
    }
    parts: list[Any] = [layers.Input((None, net.input_size))]
    if (scaling := _scaling(net, "input")) is not None:
        mean, std = scaling
        parts.append(layers.Rescaling(1 / std, -mean / std, dtype=net.dtype.name))
    for layer in net.layers:
        halves = [half for half in (layer, layer.reverse) if half is not None]
        rnns = [
            layers.SimpleRNN(
                len(half.W_hh),
                activation=_function(half.activation),
                use_bias=half.b_h is not None,
                go_backwards=half is not layer or layer.direction == "reverse",
                **settings,
            )
            for half in halves
        ]
        if len(rnns) == 2:
            rnns = [layers.Bidirectional(rnns[0], backward_layer=rnns[1], dtype=net.dtype.name)]
        parts += rnns
    if net.readout is not None:
        g, b_y = net.readout.activation, net.readout.b_y
        parts.append(
            layers.Dense(
                net.output_size,
                activation=_function(g),
                use_bias=b_y is not None,
                dtype=net.dtype.name,
            )
        )
    if (scaling := _scaling(net, "output")) is not None:
        mean, std = scaling
        parts.append(layers.Rescaling(std, mean, dtype=net.dtype.name))
    return keras.Sequential(parts)


def _scaling(net: Network, side: str) -> tuple[Array, Array] | None:
    """Return the mean and the standard deviation of the inputs or outputs, if there are any."""
    tensors = net.tensors()
    mean, std = (tensors.get(f"{side}_{name}") for name in ("mean", "std"))
    if mean is None and std is None:
        return None
    size = net.input_size if side == "input" else net.output_size
    return (
        np.zeros(size) if mean is None else mean.astype(np.float64),
        np.ones(size) if std is None else std.astype(np.float64),
    )


def fill(model: Any, net: Network | None) -> None:
    """Give a model of `model_of` the network's weights."""
    assert net is not None
    scaling = dict.fromkeys(name for name in SCALING if name in net.tensors())
    model.set_weights(to_keras(net.replace(tensors=scaling)))


def _function(f: Activation) -> str | Callable[[Any], Any]:
    """Return an activation of Keras."""
    if f.name in _NAMES and f.clip is None:
        return _NAMES[f.name]
    if f.name not in _NAMES and f.name not in _FUNCTIONS:
        raise UnsupportedModelError(f"net: expected an activation of Keras, got {f}")

    def function(z: Any) -> Any:
        if f.clip is not None:
            z = keras.ops.clip(z, -f.clip, f.clip)
        if f.name in _NAMES:
            return getattr(keras.activations, _NAMES[f.name])(z)
        return _FUNCTIONS[f.name](z, f)

    return function


_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "leaky_relu": lambda z, f: keras.ops.leaky_relu(z, negative_slope=f.alpha),
    "elu": lambda z, f: keras.ops.elu(z, alpha=f.alpha),
    "hard_sigmoid": lambda z, f: keras.ops.clip(f.alpha * z + f.beta, 0.0, 1.0),
    "scaled_tanh": lambda z, f: f.alpha * keras.ops.tanh(f.beta * z),
    "affine": lambda z, f: f.alpha * z + f.beta,
    "thresholded_relu": lambda z, f: keras.ops.where(z > f.alpha, z, keras.ops.zeros_like(z)),
}
