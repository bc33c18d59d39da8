"""The parts of a Keras config: classes, names, and activations with Keras' parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.activation import Activation
from elman.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    Json = Any

_NAMES = {
    "linear": Activation("identity"),
    "tanh": Activation("tanh"),
    "relu": Activation("relu"),
    "sigmoid": Activation("sigmoid"),
    "softmax": Activation("softmax"),
    "log_softmax": Activation("log_softmax"),
    "elu": Activation("elu", alpha=1),
    "leaky_relu": Activation("leaky_relu", alpha=0.2),
    "hard_sigmoid": Activation("hard_sigmoid", alpha=1 / 6, beta=0.5),
    "softplus": Activation("softplus"),
    "softsign": Activation("softsign"),
}
_HARD_SIGMOID_2 = Activation("hard_sigmoid", alpha=0.2, beta=0.5)  # in Keras 2
LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax")


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
            f"{what}: expected one of the activations {', '.join(_NAMES)}, got {str(name)[:80]!r}"
        )
    return _HARD_SIGMOID_2 if keras_2 and name == "hard_sigmoid" else _NAMES[name]


def activation_of_layer(kind: str, config: dict[str, Json], what: str) -> Activation:
    """Return the activation for an activation layer of Keras."""
    if kind == "Softmax" and config.get("axis", -1) == -1:
        return Activation("softmax")
    if kind == "ELU":
        return Activation("elu", alpha=_number(config, "alpha", 1.0, what))
    if kind == "LeakyReLU":
        older = _number(config, "alpha", 0.3, what)  # in Keras 2
        return Activation("leaky_relu", alpha=_number(config, "negative_slope", older, what))
    plain = config.get("max_value") is None and not config.get("threshold")
    if kind == "ReLU" and plain and not config.get("negative_slope"):
        return Activation("relu")
    raise UnsupportedModelError(f"{what}: expected {kind} with its default settings, got others")


def _number(config: dict[str, Json], key: str, default: float, what: str) -> float:
    value = config.get(key, default)
    if type(value) not in (int, float):
        raise ModelFormatError(f"{what}: expected {key} to be a number")
    return float(value)


# --- the parts of a config ------------------------------------------------------------------------


def as_object(value: Json, what: str) -> dict[str, Json]:
    """Return an object of a config; refuse other values."""
    if not isinstance(value, dict):
        raise ModelFormatError(f"the config of {what}: expected an object")
    return value


def class_name(layer: Json, what: str) -> str:
    """Return the class name of a model, a layer or a cell; refuse custom classes."""
    kind = as_object(layer, what).get("class_name")
    if not isinstance(kind, str):
        raise ModelFormatError(f"the config of {what}: expected a class_name")
    module, registered = layer.get("module"), layer.get("registered_name")
    roots = ("keras", "tensorflow", "tf_keras", "builtins", "None")
    if str(module).split(".")[0] not in roots or registered not in (None, kind):
        shown = str(registered or f"{module}.{kind}")[:80]
        raise UnsupportedModelError(
            f"layer {layer_name(layer)!r}: expected a built-in class of Keras, got {shown!r}"
        )
    return kind


def layer_name(layer: Json) -> str:
    """Return the name that the user gave a layer."""
    config = layer.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return str(name or layer.get("name") or layer.get("class_name"))[:80]
