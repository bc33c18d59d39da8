"""Build Keras layers for a network and fill them with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from elman._structure import SCALING
from elman.errors import UnsupportedModelError
from elman.interop.keras.writing import to_keras

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._network import Network
    from elman._typing import Array
    from elman.activation import Activation

_NAMES = {"identity": "linear"}
_SAME = ("identity", "tanh", "sigmoid", "relu", "softmax", "softsign", "softplus", "log_softmax")


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
        parts.append(rnns[0] if len(rnns) == 1 else _both(*rnns))
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


def _both(forward: Any, backward: Any) -> Any:
    return keras.layers.Bidirectional(forward, backward_layer=backward, dtype=forward.dtype_policy)


def fill(model: Any, net: Network | None) -> None:
    """Give a model of `model_of` the network's weights."""
    assert net is not None
    scaling = dict.fromkeys(name for name in SCALING if name in net.tensors())
    model.set_weights(to_keras(net.replace(tensors=scaling)))


def _function(f: Activation) -> str | Callable[[Any], Any]:
    """Return an activation of Keras."""
    name = f.name
    numbers = {
        key: value for key, value in (("alpha", f.alpha), ("beta", f.beta)) if value is not None
    }
    if f.clip is None and name in _SAME:
        return _NAMES.get(name, name)
    ops = keras.ops
    functions: dict[str, Callable[[Any], Any]] = {
        "leaky_relu": lambda z: ops.leaky_relu(z, negative_slope=numbers["alpha"]),
        "elu": lambda z: ops.elu(z, alpha=numbers["alpha"]),
        "hard_sigmoid": lambda z: ops.clip(numbers["alpha"] * z + numbers["beta"], 0.0, 1.0),
        "scaled_tanh": lambda z: numbers["alpha"] * ops.tanh(numbers["beta"] * z),
        "affine": lambda z: numbers["alpha"] * z + numbers["beta"],
        "thresholded_relu": lambda z: ops.where(z > numbers["alpha"], z, ops.zeros_like(z)),
    }
    inner = functions.get(name)
    if inner is None and name in _SAME:
        inner = getattr(keras.activations, _NAMES.get(name, name))
    if inner is None:
        raise UnsupportedModelError(f"net: expected an activation of Keras, got {f}")
    if (clip := f.clip) is None:
        return inner
    return lambda z: inner(ops.clip(z, -clip, clip))
