"""Arithmetic operators: products, sums, activations, comparisons of constants."""

from __future__ import annotations

import math
import operator as arithmetic
from typing import TYPE_CHECKING

import numpy as np

from elman.activation import TABLE
from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import (
    OPERATORS,
    Context,
    Tensor,
    as_field,
    binary,
    operator,
    settled,
    sizes_of,
)
from elman.interop.onnx.values import Field, Function, Lengths, decimal, objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._typing import Array
    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Value


# --- arithmetic -----------------------------------------------------------------------------------


def _elementwise(method: str, fold: Callable[[Array, Array], Array]) -> Callable[..., Tensor]:
    def apply(node: Node, context: Context, a: Tensor, b: Tensor) -> Tensor:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return _folded(fold, a, b, context)
        merged = _with_number(method, a, b, context)
        return merged or binary(a, b, getattr(context.symbols, method), context)

    return apply


def _folded(fold: Callable[[Array, Array], Array], a: Array, b: Array, context: Context) -> Array:
    if a.dtype == object or b.dtype == object:  # sizes, some of them symbolic
        raise UnsupportedModelError("it computes with a variable size")
    context.symbols.spend(numbers=np.broadcast(a, b).size)
    return np.asarray(fold(a, b))


def _with_number(name: str, a: Tensor, b: Tensor, context: Context) -> Field | None:
    """Multiply by, or add, one number that is part of an activation."""
    field, number = (a, b) if isinstance(a, Field) else (b, a)
    if not isinstance(field, Field) or not isinstance(number, np.ndarray) or number.ndim:
        return None
    known = {"multiply": context.symbols.scale, "add": context.symbols.offset}
    if name not in known or number.dtype.kind != "f":
        return None
    vectors = [known[name](vector, decimal(number.reshape(-1)[0])) for vector in field.flat]
    whole = [vector for vector in vectors if vector is not None]
    if len(whole) < len(vectors):
        return None
    return Field(field.kinds, objects(whole, field.items.shape))


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        raise UnsupportedModelError("it divides integers")
    quotient: Array = a / b
    return quotient


for _name, _method, _fold in (
    ("Add", "add", arithmetic.add),
    ("Sub", "subtract", arithmetic.sub),
    ("Mul", "multiply", arithmetic.mul),
    ("Div", "divide", _divide),
):
    operator(_name, 14)(_elementwise(_method, _fold))


@operator("MatMul", 13)
def _matmul(node: Node, context: Context, a: Tensor, b: Tensor) -> Tensor:
    if not isinstance(b, np.ndarray) or b.dtype.kind != "f":
        raise UnsupportedModelError("it multiplies by a matrix that is not constant")
    matrix: Array = b
    while 2 < matrix.ndim <= a.ndim and matrix.shape[0] == 1:
        matrix = matrix[0]
    if matrix.ndim != 2:
        raise UnsupportedModelError(f"expected a matrix, got the shape {matrix.shape}")
    if isinstance(a, np.ndarray) and not a.any():
        if a.shape[-1:] != matrix.shape[:1]:
            raise UnsupportedModelError(
                f"expected shapes that fit, got {a.shape} and {matrix.shape}"
            )
        shape = (*a.shape[:-1], matrix.shape[1])
        context.symbols.spend(numbers=math.prod(shape))
        return np.broadcast_to(matrix.dtype.type(0), shape)
    field = settled(as_field(a, context.symbols))
    if not field.kinds or field.kinds[-1] != "F":
        raise UnsupportedModelError(
            f"it multiplies along an axis other than the features, {field.kinds}"
        )
    return field.map(lambda item: context.symbols.linear(item, matrix))


@operator("Gemm", 13)
def _gemm(node: Node, context: Context, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    for name in ("alpha", "beta"):
        if node.attributes.get(name, 1.0) != 1.0:
            raise UnsupportedModelError(f"expected {name} 1, got {node.attributes[name]:g}")
    if not isinstance(b, np.ndarray) or b.ndim != 2:
        raise UnsupportedModelError("it multiplies by a matrix that is not constant")
    if node.attributes.get("transA", 0):
        raise UnsupportedModelError("it transposes its first input")
    y: Tensor = _matmul(node, context, a, b.T if node.attributes.get("transB", 0) else b)
    return y if c is None else OPERATORS["Add"].apply(node, [y, c], context)[0]  # type: ignore[return-value]


# --- activations ----------------------------------------------------------------------------------

# elman's names of the activations of an RNN node, by ONNX's names
FUNCTIONS = {
    "".join(map(str.capitalize, name.split("_"))): name
    for name, kind in TABLE.items()
    if kind.in_layers and name != "identity"
}


def _activation(name: str) -> Callable[..., Field]:
    ours = FUNCTIONS[name]
    numbers = TABLE[ours].numbers

    def apply(node: Node, context: Context, x: Tensor) -> Field:
        given = {k: decimal(np.float32(a)) for k, a in node.attributes.items() if k in numbers}
        return _activated(x, Function(ours, **(numbers | given)), context)

    return apply


def _activated(x: Tensor, function: Function, context: Context) -> Field:
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
    x: Tensor,
    low: Tensor | None = None,
    high: Tensor | None = None,
) -> Field:
    if node.version < 11:
        given = [node.attributes.get(key, 0.0) for key in ("min", "max")]
        low, high = np.array(given, np.float32).reshape(2, 1)
    bounds = [b for b in (low, high) if isinstance(b, np.ndarray) and b.size == 1]
    if len(bounds) != 2 or not bounds[1] > 0 or bounds[0] != -bounds[1]:
        raise UnsupportedModelError("expected constant bounds -c and c")
    return _activated(x, Function("identity", clip=decimal(bounds[1].reshape(-1)[0])), context)


@operator("Softmax", 13)
@operator("LogSoftmax", 13)
def _softmax(node: Node, context: Context, x: Tensor) -> Field:
    field = as_field(x, context.symbols)
    axis = node.attributes.get("axis", -1 if node.version >= 13 else 1)
    if not field.kinds or field.kinds[-1] != "F" or axis not in (-1, field.ndim - 1):
        raise UnsupportedModelError(f"expected a softmax over the features, got axis {axis}")
    name = "softmax" if node.operator == "Softmax" else "log_softmax"
    return _activated(field, Function(name), context)


@operator("Identity", 25)
def _identity(node: Node, context: Context, x: Value) -> Value:
    return x


@operator("Dropout", 22)
def _dropout(
    node: Node,
    context: Context,
    x: Value,
    ratio: Value | None = None,
    training: Value | None = None,
) -> Value:
    if training is not None and (not isinstance(training, np.ndarray) or training.any()):
        raise UnsupportedModelError("it drops values: export the model in its eval mode")
    return x


def _comparison(compare: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Compare constants, as Keras does with a step's number and its mask."""

    def apply(node: Node, context: Context, a: Tensor, b: Tensor) -> Array:
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
            raise UnsupportedModelError("it compares values that are not constant")
        return _folded(compare, a, b, context)

    return apply


for _name, _newest, _compare in (
    ("Greater", 13, arithmetic.gt),
    ("GreaterOrEqual", 16, arithmetic.ge),
    ("Less", 13, arithmetic.lt),
    ("LessOrEqual", 16, arithmetic.le),
    ("Equal", 19, arithmetic.eq),
):
    operator(_name, _newest)(_comparison(_compare))


@operator("Where", 16)
def _where(node: Node, context: Context, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if not isinstance(condition, np.ndarray) or condition.dtype != bool or not condition.size:
        raise UnsupportedModelError("its condition is not constant")
    if condition.any() != condition.all():
        raise UnsupportedModelError("its condition is not the same everywhere")
    chosen, other = (a, b) if condition.all() else (b, a)
    shape = sizes_of(chosen, context)
    for value in (condition, other):
        sizes = sizes_of(value, context)
        rest = shape[len(shape) - len(sizes) :] if len(sizes) <= len(shape) else []
        if len(rest) < len(sizes) or any(s not in (1, r) for s, r in zip(sizes, rest, strict=True)):
            raise UnsupportedModelError("it repeats values")
    return chosen


@operator("Cast", 28)
def _cast(node: Node, context: Context, x: Value) -> Value:
    to = {1: "f4", 11: "f8", 6: "i4", 7: "i8", 9: "?"}.get(node.attributes.get("to", 0))
    if to is None:
        raise UnsupportedModelError("it converts to a type other than float, double or an integer")
    if isinstance(x, np.ndarray):
        return x if x.dtype == object else x.astype(to)
    if (isinstance(x, Field) and to[0] != "f") or (isinstance(x, Lengths) and to[0] != "i"):
        raise UnsupportedModelError("it converts between real numbers and integers")
    return x
