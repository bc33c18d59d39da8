"""Activations, and what exporters write for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.activation import TABLE
from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import Context, as_field, operator
from elman.interop.onnx.values import Field, Function, Value, decimal

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman.interop.onnx.graph import Node


_LARGEST = float(np.finfo(np.float32).max)

# elman's names of the activations of an RNN node, by ONNX's names
FUNCTIONS = {
    "".join(map(str.capitalize, name.split("_"))): name
    for name, kind in TABLE.items()
    if kind.in_layers and name != "identity"
}


def _activation(name: str) -> Callable[..., Field]:
    ours = FUNCTIONS[name]
    numbers = TABLE[ours].numbers

    def apply(node: Node, context: Context, x: Value) -> Field:
        given = {k: decimal(np.float32(a)) for k, a in node.attributes.items() if k in numbers}
        return _activated(x, Function(ours, **(numbers | given)), context)

    return apply


def _activated(x: Value, function: Function, context: Context) -> Field:
    field = as_field(x, context.symbols)
    return field.map(lambda item: context.symbols.activated(item, function))


for _name, _newest in (
    *(("Tanh", 13), ("Relu", 14), ("Sigmoid", 13), ("LeakyRelu", 16), ("Elu", 22)),
    *(("ThresholdedRelu", 22), ("HardSigmoid", 22), ("Softsign", 22), ("Softplus", 22)),
):
    operator(_name, _newest)(_activation(_name))


@operator("Clip", 13)
def _clip(
    node: Node,
    context: Context,
    x: Value,
    low: Value | None = None,
    high: Value | None = None,
) -> Field:
    if node.version < 11:
        given = [node.attributes.get(key, 0.0) for key in ("min", "max")]
        low, high = np.array(given, np.float32).reshape(2, 1)
    least, most = _bound(low), _bound(high)
    if least == 0 and (most is None or most > 0):
        whole = None if most is None or most >= _LARGEST else most
        return _activated(x, Function("relu", clip=whole), context)
    if least is None or most is None or not most > 0 or least != -most:
        raise UnsupportedModelError("expected constant bounds -c and c, or 0 and c")
    return _activated(x, Function("identity", clip=most), context)


def _bound(bound: Value | None) -> float | None:
    """Return a bound of a Clip, or None if it is left out."""
    if bound is None or (isinstance(bound, np.ndarray) and not bound.size):
        return None
    if not isinstance(bound, np.ndarray) or bound.size != 1:
        raise UnsupportedModelError("its bounds are not constant numbers")
    return decimal(bound.reshape(-1)[0])


@operator("Celu", 12)
def _celu(node: Node, context: Context, x: Value) -> Field:
    if node.attributes.get("alpha", 1.0) != 1:
        raise UnsupportedModelError(f"expected alpha 1, got {node.attributes['alpha']:g}")
    return _activated(x, Function("elu", alpha=1.0), context)


@operator("Selu", 22)
def _selu(node: Node, context: Context, x: Value) -> Field:
    """Return gamma * elu(x)."""
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get("gamma", 1.05070102214813232421875)
    field = _activated(x, Function("elu", alpha=decimal(np.float32(alpha))), context)
    by = context.symbols.fixed(np.full(1, gamma, np.float32))
    return field.map(lambda item: context.symbols.multiply(item, by))


@operator("PRelu", 16)
def _prelu(node: Node, context: Context, x: Value, slope: Value) -> Field:
    if not isinstance(slope, np.ndarray) or not slope.size or (slope != slope.flat[0]).any():
        raise UnsupportedModelError("expected one slope for all features")
    alpha = decimal(slope.reshape(-1)[0])
    return _activated(x, Function("leaky_relu", alpha=alpha), context)


@operator("Abs", 13)
def _abs(node: Node, context: Context, x: Value) -> Value:
    if isinstance(x, np.ndarray):
        return np.asarray(np.abs(x))
    return x.map(context.symbols.magnitude)


@operator("Softmax", 13)
@operator("LogSoftmax", 13)
def _softmax(node: Node, context: Context, x: Value) -> Field:
    field = as_field(x, context.symbols)
    axis = node.attributes.get("axis", -1 if node.version >= 13 else 1)
    if not field.kinds or field.kinds[-1] != "F" or axis not in (-1, field.ndim - 1):
        raise UnsupportedModelError(f"expected a softmax over the features, got axis {axis}")
    name = "softmax" if node.operator == "Softmax" else "log_softmax"
    return _activated(field, Function(name), context)
