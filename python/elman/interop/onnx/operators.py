"""The operators that are read, by ONNX's name; arithmetic and activations."""

from __future__ import annotations

import math
import operator as arithmetic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx import axes
from elman.interop.onnx.fields import Context, as_field, binary, required, settled, sizes_of
from elman.interop.onnx.values import Field, Function, Lengths, decimal, objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Value

    Array = NDArray[Any]


class Operator(NamedTuple):
    """How to compute an operator, and its newest version that this is true for."""

    apply: Callable[[Node, list[Value | None], Context], list[Value]]
    newest: int


# --- arithmetic -----------------------------------------------------------------------------------


def _elementwise(name: str, fold: Callable[[Array, Array], Array]) -> Operator:
    def apply(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
        a, b = required(node, inputs, 2)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return [_folded(fold, a, b, context)]
        merged = _with_number(name, a, b, context)
        return [merged or binary(a, b, getattr(context.symbols, name), context)]

    return Operator(apply, 14)


def _folded(fold: Callable[[Array, Array], Array], a: Array, b: Array, context: Context) -> Array:
    if a.dtype == object or b.dtype == object:  # sizes, some of them names
        raise UnsupportedModelError("it computes with a size that is not fixed")
    context.symbols.spend(numbers=np.broadcast(a, b).size)
    return np.asarray(fold(a, b))


def _with_number(name: str, a: Value, b: Value, context: Context) -> Field | None:
    """Multiply by, or add, one number where that is part of an activation."""
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


def _matmul(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    a, b = required(node, inputs, 2)
    return [_product(a, b, context)]


def _product(a: Value, b: Value, context: Context) -> Value:
    if not isinstance(b, np.ndarray) or b.dtype.kind != "f":
        raise UnsupportedModelError("it multiplies by a matrix that is no constant")
    if isinstance(a, Lengths):
        raise UnsupportedModelError("it computes with the lengths of the sequences")
    rank = a.ndim if isinstance(a, np.ndarray) else len(a.kinds)
    matrix: Array = b
    while 2 < matrix.ndim <= rank and matrix.shape[0] == 1:
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
            f"it multiplies along another axis than the features, {field.kinds}"
        )
    return field.map(lambda item: context.symbols.linear(item, matrix))


def _gemm(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    a, b, *rest = inputs
    for name in ("alpha", "beta"):
        if node.attributes.get(name, 1.0) != 1.0:
            raise UnsupportedModelError(f"expected {name} 1, got {node.attributes[name]:g}")
    if a is None or not isinstance(b, np.ndarray) or b.ndim != 2:
        raise UnsupportedModelError("it multiplies by a matrix that is no constant")
    if node.attributes.get("transA", 0):
        raise UnsupportedModelError("it transposes what it multiplies")
    y = _product(a, b.T if node.attributes.get("transB", 0) else b, context)
    if rest and rest[0] is not None:
        y = _OPERATORS["Add"].apply(node, [y, rest[0]], context)[0]
    return [y]


# --- activations ----------------------------------------------------------------------------------

# ONNX's name: (elman's name, the parameters that it has in ONNX with their defaults)
FUNCTIONS: dict[str, tuple[str, dict[str, float | None]]] = {
    "Tanh": ("tanh", {}),
    "Relu": ("relu", {}),
    "Sigmoid": ("sigmoid", {}),
    "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Elu": ("elu", {"alpha": 1.0}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": 1.0}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    "Softsign": ("softsign", {}),
    "Softplus": ("softplus", {}),
    "ScaledTanh": ("scaled_tanh", {"alpha": None, "beta": None}),  # of recurrent layers alone
    "Affine": ("affine", {"alpha": None, "beta": None}),  # of recurrent layers alone
}


def _activation(name: str, newest: int) -> Operator:
    ours, parameters = FUNCTIONS[name]

    def apply(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
        (x,) = required(node, inputs, 1)
        given = {k: decimal(np.float32(a)) for k, a in node.attributes.items() if k in parameters}
        function = Function(ours, **(parameters | given))
        field = as_field(x, context.symbols)
        return [field.map(lambda item: context.symbols.activated(item, function))]

    return Operator(apply, newest)


def _clip(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    x, low, high = (*inputs, None, None)[:3]
    if node.version < 11:
        given = [node.attributes.get(key, 0.0) for key in ("min", "max")]
        low, high = np.array(given, np.float32).reshape(2, 1)
    bounds = [b for b in (low, high) if isinstance(b, np.ndarray) and b.size == 1]
    if x is None or len(bounds) != 2 or not bounds[1] > 0 or bounds[0] != -bounds[1]:
        raise UnsupportedModelError("expected constant bounds -c and c")
    function = Function("identity", clip=decimal(bounds[1].reshape(-1)[0]))
    field = as_field(x, context.symbols)
    return [field.map(lambda item: context.symbols.activated(item, function))]


def _softmax(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    (x,) = required(node, inputs, 1)
    field = as_field(x, context.symbols)
    axis = node.attributes.get("axis", -1 if node.version >= 13 else 1)
    if not field.kinds or field.kinds[-1] != "F" or axis not in (-1, len(field.kinds) - 1):
        raise UnsupportedModelError(f"expected a softmax over the features, got axis {axis}")
    return [field.map(lambda item: context.symbols.activated(item, Function("softmax")))]


def _same(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    return required(node, inputs[:1], 1)


def _dropout(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    training = inputs[2] if len(inputs) > 2 else None
    if training is not None and (not isinstance(training, np.ndarray) or training.any()):
        raise UnsupportedModelError("it drops values: export the model in its eval mode")
    return _same(node, inputs, context)


def _comparison(compare: Callable[[Array, Array], Array]) -> Callable[..., list[Value]]:
    """Compare constants, as Keras does with the number of a step and its mask."""

    def apply(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
        a, b = required(node, inputs, 2)
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
            raise UnsupportedModelError("it compares something else than constants")
        return [_folded(compare, a, b, context)]

    return apply


def _where(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    condition, a, b = required(node, inputs, 3)
    if not isinstance(condition, np.ndarray) or condition.dtype != bool or not condition.size:
        raise UnsupportedModelError("its condition is no constant")
    if condition.any() != condition.all():
        raise UnsupportedModelError("its condition is not the same everywhere")
    chosen, other = (a, b) if condition.all() else (b, a)
    shape = sizes_of(chosen, context)
    for value in (condition, other):
        sizes = sizes_of(value, context)
        rest = shape[len(shape) - len(sizes) :] if len(sizes) <= len(shape) else []
        if len(rest) < len(sizes) or any(s not in (1, r) for s, r in zip(sizes, rest, strict=True)):
            raise UnsupportedModelError("it repeats values")
    return [chosen]


def _cast(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    (x,) = required(node, inputs, 1)
    to = {1: "f4", 11: "f8", 6: "i4", 7: "i8", 9: "?"}.get(node.attributes.get("to", 0))
    if to is None:
        raise UnsupportedModelError("it converts to a type other than float, double or an integer")
    if isinstance(x, np.ndarray):
        return [x if x.dtype == object else x.astype(to)]
    if (isinstance(x, Field) and to[0] != "f") or (isinstance(x, Lengths) and to[0] != "i"):
        raise UnsupportedModelError("it converts numbers to another kind of number")
    return [x]


_OPERATORS = {
    "Add": _elementwise("add", arithmetic.add),
    "Sub": _elementwise("subtract", arithmetic.sub),
    "Mul": _elementwise("multiply", arithmetic.mul),
    "Div": _elementwise("divide", _divide),
    "MatMul": Operator(_matmul, 13),
    "Gemm": Operator(_gemm, 13),
    "Tanh": _activation("Tanh", 13),
    "Relu": _activation("Relu", 14),
    "Sigmoid": _activation("Sigmoid", 13),
    "LeakyRelu": _activation("LeakyRelu", 16),
    "Elu": _activation("Elu", 22),
    "ThresholdedRelu": _activation("ThresholdedRelu", 22),
    "HardSigmoid": _activation("HardSigmoid", 22),
    "Softsign": _activation("Softsign", 22),
    "Softplus": _activation("Softplus", 22),
    "Clip": Operator(_clip, 13),
    "Softmax": Operator(_softmax, 13),
    "Greater": Operator(_comparison(arithmetic.gt), 13),
    "GreaterOrEqual": Operator(_comparison(arithmetic.ge), 16),
    "Less": Operator(_comparison(arithmetic.lt), 13),
    "LessOrEqual": Operator(_comparison(arithmetic.le), 16),
    "Equal": Operator(_comparison(arithmetic.eq), 19),
    "Where": Operator(_where, 16),
    "Identity": Operator(_same, 25),
    "Dropout": Operator(_dropout, 22),
    "Cast": Operator(_cast, 28),
    "Transpose": Operator(axes.transpose, 25),
    "Squeeze": Operator(axes.squeeze, 25),
    "Unsqueeze": Operator(axes.unsqueeze, 25),
    "Reshape": Operator(axes.reshape_node, 25),
    "Flatten": Operator(axes.flatten, 25),
    "Slice": Operator(axes.slice_node, 13),
    "Gather": Operator(axes.gather, 13),
    "Split": Operator(axes.split, 18),
    "Concat": Operator(axes.concat, 13),
    "Shape": Operator(axes.shape_node, 25),
    "Expand": Operator(axes.expand, 13),
    "ConstantOfShape": Operator(axes.constant_of_shape, 25),
    "Constant": Operator(axes.constant, 25),
}


def operators() -> dict[str, Operator]:
    """Return the operators by ONNX's name."""
    return _OPERATORS
