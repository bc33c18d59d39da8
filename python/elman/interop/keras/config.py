"""The parts of a Keras config: classes, names, and activations with Keras' parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._container import show
from elman.activation import Activation
from elman.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    from elman._typing import Array

    Json = Any

_SAME = ("tanh", "relu", "sigmoid", "softmax", "log_softmax", "softplus", "softsign")
PLAIN = {"linear": Activation("identity"), **{name: Activation(name) for name in _SAME}}
_NAMES = {
    **PLAIN,
    "elu": Activation("elu", alpha=1),
    "leaky_relu": Activation("leaky_relu", alpha=0.2),
    "hard_sigmoid": Activation("hard_sigmoid", alpha=1 / 6, beta=0.5),
    "celu": Activation("elu", alpha=1),
    "hard_tanh": Activation("identity", clip=1),
    "relu6": Activation("relu", clip=6),
}
_HARD_SIGMOID_2 = Activation("hard_sigmoid", alpha=0.2, beta=0.5)  # in Keras 2
PACKAGES = ("keras", "tensorflow", "tf_keras")  # whose classes and functions are Keras' own
LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU")


def activation_of_value(value: Json, what: str, *, keras_2: bool) -> Activation:
    """Return the activation for a name, None, or a serialized function or layer."""
    if isinstance(value, dict):
        registered = value.get("registered_name")
        kind = class_name(value | {"registered_name": None}, what)
        if kind in LAYERS and registered in (None, kind):
            return activation_of_layer(kind, as_object(value.get("config"), what), what)
        is_function = kind == "function" and registered in (None, "function")
        value = value.get("config") if is_function else (registered or kind)
    name = "linear" if value is None else value
    if not isinstance(name, str) or name not in _NAMES:
        raise UnsupportedModelError(
            f"{what}: expected one of the activations {', '.join(_NAMES)}, got {show(name)}"
        )
    return _HARD_SIGMOID_2 if keras_2 and name == "hard_sigmoid" else _NAMES[name]


def activation_of_layer(kind: str, config: dict[str, Json], what: str) -> Activation:
    """Return the activation for an activation layer of Keras."""
    if kind == "Softmax" and config.get("axis", -1) == -1:
        return Activation("softmax")
    if kind == "ELU":
        return Activation("elu", alpha=number(config, "alpha", 1.0, what))
    if kind == "LeakyReLU":
        older = number(config, "alpha", 0.3, what)  # in Keras 2
        return Activation("leaky_relu", alpha=number(config, "negative_slope", older, what))
    if kind == "ThresholdedReLU":
        return Activation("thresholded_relu", alpha=number(config, "theta", 1.0, what))
    if kind == "ReLU" and (activation := _relu(config, what)) is not None:
        return activation
    raise UnsupportedModelError(
        f"{what}: expected {kind} with settings of one of elman's activations, got others"
    )


def _relu(config: dict[str, Json], what: str) -> Activation | None:
    """Return the activation for a ReLU layer with at most one of its three settings."""
    config = {key: value for key, value in config.items() if value is not None}
    slope = number(config, "negative_slope", 0, what)
    threshold = number(config, "threshold", 0, what)
    limit = config.get("max_value")
    if [slope != 0, threshold != 0, limit is not None].count(True) > 1 or threshold < 0:
        return None
    if limit is not None:
        limit = number(config, "max_value", 0, what)
        return Activation("relu", clip=limit) if limit > 0 else None
    if threshold:
        return Activation("thresholded_relu", alpha=threshold)
    return Activation("leaky_relu", alpha=slope) if slope else Activation("relu")


def number(config: dict[str, Json], key: str, default: float, what: str) -> float:
    """Return a setting that is a number."""
    value = config.get(key, default)
    if type(value) not in (int, float) or not abs(value) < 1e30:
        raise ModelFormatError(f"{what}: expected {key} to be a number, got {show(value)}")
    return float(value)


def lora_factor(config: dict[str, Json], what: str) -> float | None:
    """Return the factor of a low-rank update, or None without one."""
    if not config.get("lora_rank"):
        return None
    rank = number(config, "lora_rank", 0, what)
    return number(config, "lora_alpha", rank, what) / rank


# --- the parts of a config ------------------------------------------------------------------------


def as_object(value: Json, what: str) -> dict[str, Json]:
    """Return an object of a config; refuse other values."""
    if not isinstance(value, dict):
        raise ModelFormatError(f"the config of {what}: expected an object")
    return value


def flag(config: dict[str, Json], key: str, what: str, *, default: bool = False) -> bool:
    """Return a setting that is true or false."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ModelFormatError(f"{what}: expected {key} to be true or false, got {show(value)}")
    return value


def size(config: dict[str, Json], key: str, what: str) -> int:
    """Return a setting that is a positive integer."""
    value = config.get(key)
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelFormatError(
            f"{what}: expected {key} to be a positive integer, got {show(value)}"
        )
    return value


def numbers(value: Json, key: str, what: str) -> Array | None:
    """Return a setting that is a number or an array of numbers, as a vector or a scalar."""
    import numpy as np

    if isinstance(value, dict):  # Keras 3 writes arrays as objects
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else value
    if value is None:
        return None
    flat = value
    for _ in range(4):  # (1, 1, I) is (I,)
        if isinstance(flat, list) and len(flat) == 1 and isinstance(flat[0], list):
            (flat,) = flat
    given = flat if isinstance(flat, list) else [flat]
    if not all(type(one) in (int, float) and abs(one) < 1e300 for one in given):
        raise ModelFormatError(f"{what}: expected {key} to be numbers, got {show(value)}")
    array = np.array(given, np.float64)
    return array if isinstance(flat, list) else array.reshape(())


def class_name(layer: Json, what: str) -> str:
    """Return the class name of a model, a layer or a cell; refuse custom classes."""
    kind = as_object(layer, what).get("class_name")
    if not isinstance(kind, str):
        raise ModelFormatError(f"the config of {what}: expected a class_name")
    module, registered = layer.get("module"), layer.get("registered_name")
    roots = (*PACKAGES, "builtins")
    # Keras 3 writes a name without a module for classes of users, Keras 2 neither for its own
    own = module is None and registered is None
    own = own or (isinstance(module, str) and module.split(".")[0] in roots)
    if not own or registered not in (None, kind) or not kind.isidentifier():
        found = kind if own else f"{module}.{kind}"
        found = registered if isinstance(registered, str) else found
        raise UnsupportedModelError(
            f"layer {layer_name(layer)!r}: expected a built-in class of Keras, got {show(found)}"
        )
    return kind


def layer_name(layer: Json) -> str:
    """Return the name that the user gave a layer."""
    config = layer.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    for given in (name, layer.get("name"), layer.get("class_name")):
        if isinstance(given, str) and given:
            return given[:80]
    return "?"
