"""The parts of a Keras config: classes, names, and activations with Keras' parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman._text import show
from elman.activation import Activation
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError

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
_LONGEST_NAME = 1000  # of a layer, which errors repeat
LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU")


class Settings(NamedTuple):
    """The config of a layer or a cell, as JSON has it; errors name whose it is."""

    what: str
    values: dict[str, Json]

    def get(self, key: str, default: Json = None) -> Json:
        """Return a setting of any type."""
        return self.values.get(key, default)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a setting that is true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self._damaged(key, "true or false", value)
        return value

    def size(self, key: str) -> int:
        """Return a setting that is a positive integer."""
        value = self.get(key)
        if type(value) is not int or not 0 < value < 2**31:
            raise self._damaged(key, "a positive integer", value)
        return value

    def number(self, key: str, default: float) -> float:
        """Return a setting that is a number."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not abs(value) < 1e30:
            raise self._damaged(key, "a number", value)
        return float(value)

    def numbers(self, key: str, default: float | None = None) -> Array | None:
        """Return a setting that is a number or an array of numbers, as a vector or a scalar."""
        value = self.get(key, default)
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
            raise self._damaged(key, "numbers", value)
        array = np.array(given, np.float64)
        return array if isinstance(flat, list) else array.reshape(())

    def _damaged(self, key: str, expected: str, value: Json) -> ModelFormatError:
        return ModelFormatError(f"{self.what}: expected {key} to be {expected}, got {show(value)}")


def settings_of(layer: Json, what: str) -> Settings:
    """Return the config of a layer or a cell."""
    return Settings(what, as_object(layer.get("config"), what))


# --- activations ----------------------------------------------------------------------------------


def activation_of(settings: Settings, *, keras_2: bool) -> Activation:
    """Return the activation of a layer or a cell: a name or a serialized object."""
    value, what = settings.get("activation"), settings.what
    if isinstance(value, dict):
        registered = value.get("registered_name")
        kind = class_name(value | {"registered_name": None}, what)
        if kind in LAYERS and registered in (None, kind):
            return activation_of_layer(kind, settings_of(value, what))
        is_function = kind == "function" and registered in (None, "function")
        value = value.get("config") if is_function else (registered or kind)
    name = "linear" if value is None else value
    if not isinstance(name, str) or name not in _NAMES:
        raise UnsupportedModelError(
            f"{what}: expected one of the activations {', '.join(_NAMES)}, got {show(name)}"
        )
    return _HARD_SIGMOID_2 if keras_2 and name == "hard_sigmoid" else _NAMES[name]


def activation_of_layer(kind: str, settings: Settings) -> Activation:
    """Return the activation for an activation layer of Keras."""
    if kind == "Softmax" and settings.get("axis", -1) == -1:
        return Activation("softmax")
    if kind == "ELU":
        return Activation("elu", alpha=settings.number("alpha", 1.0))
    if kind == "LeakyReLU":
        older = settings.number("alpha", 0.3)  # in Keras 2
        return Activation("leaky_relu", alpha=settings.number("negative_slope", older))
    if kind == "ThresholdedReLU":
        return Activation("thresholded_relu", alpha=settings.number("theta", 1.0))
    if kind == "ReLU" and (activation := _relu(settings)) is not None:
        return activation
    raise UnsupportedModelError(
        f"{settings.what}: expected {kind} with settings of one of elman's activations, got others"
    )


def _relu(settings: Settings) -> Activation | None:
    """Return the activation for a ReLU layer with at most one of its three settings."""
    given = {key: value for key, value in settings.values.items() if value is not None}
    settings = settings._replace(values=given)
    slope, threshold = settings.number("negative_slope", 0), settings.number("threshold", 0)
    limit = settings.number("max_value", 0) if "max_value" in given else None
    if [slope != 0, threshold != 0, limit is not None].count(True) > 1 or threshold < 0:
        return None
    if limit is not None:
        return Activation("relu", clip=limit) if limit > 0 else None
    if threshold:
        return Activation("thresholded_relu", alpha=threshold)
    return Activation("leaky_relu", alpha=slope) if slope else Activation("relu")


# --- classes and names ----------------------------------------------------------------------------


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
            if len(given) > _LONGEST_NAME:
                raise LimitError(
                    f"a layer's name: expected at most {_LONGEST_NAME} characters, got {len(given)}"
                )
            return given
    return "?"
