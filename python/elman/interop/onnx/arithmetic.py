"""Arithmetic operators: products, sums, activations, comparisons of constants."""

from __future__ import annotations

import functools
import math
import operator as arithmetic
from typing import TYPE_CHECKING

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import (
    OPERATORS,
    Context,
    aligned,
    as_field,
    binary,
    given,
    integers,
    moved,
    normal,
    offset,
    operator,
    settled,
    sizes_of,
)
from elman.interop.onnx.ids import equal_to_numbers, is_ids
from elman.interop.onnx.values import (
    OF_IDS,
    Compared,
    Field,
    Id,
    Input,
    Length,
    Value,
    decimal,
    objects,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._typing import Array
    from elman.interop.onnx.graph import Node


# --- arithmetic -----------------------------------------------------------------------------------


def _elementwise(method: str, fold: Callable[[Array, Array], Array]) -> Callable[..., Value]:
    def apply(node: Node, context: Context, a: Value, b: Value) -> Value:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return _folded(fold, a, b, context)
        if any(isinstance(value, Field) and is_ids(value) for value in (a, b)):
            found = moved(node, a, b, context)
            if found is None:
                raise UnsupportedModelError(OF_IDS)
            return found
        merged = _with_number(method, a, b, context)
        return merged or binary(a, b, getattr(context.symbols, method), context)

    return apply


def _folded(fold: Callable[[Array, Array], Array], a: Array, b: Array, context: Context) -> Array:
    if a.dtype == object or b.dtype == object:  # sizes, some of them symbolic
        if fold in (arithmetic.add, arithmetic.sub) and a.size == b.size == 1:
            return _moved(a, b, 1 if fold is arithmetic.add else -1)
        raise UnsupportedModelError("it computes with a variable size")
    context.symbols.spend(numbers=np.broadcast(a, b).size)
    return np.asarray(fold(a, b))


def _moved(a: Array, b: Array, sign: int) -> Array:
    """Return a variable size plus or minus a number, as text: "T-1"."""
    size, number = a.reshape(-1)[0], b.reshape(-1)[0]
    if sign == 1 and not isinstance(size, str):
        size, number = number, size
    known = offset(size, size[0]) if isinstance(size, str) else None
    if known is None or isinstance(number, str):
        raise UnsupportedModelError("it computes with a variable size")
    by = known + sign * int(number)
    size = f"{size[0]}{by:+d}" if by else size[0]
    return np.full(np.broadcast_shapes(a.shape, b.shape), size, object)


def _with_number(name: str, a: Value, b: Value, context: Context) -> Field | None:
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
def _matmul(node: Node, context: Context, a: Value, b: Value) -> Value:
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
def _gemm(node: Node, context: Context, a: Value, b: Value, c: Value | None = None) -> Value:
    for name in ("alpha", "beta"):
        if node.attributes.get(name, 1.0) != 1.0:
            raise UnsupportedModelError(f"expected {name} 1, got {node.attributes[name]:g}")
    if not isinstance(b, np.ndarray) or b.ndim != 2:
        raise UnsupportedModelError("it multiplies by a matrix that is not constant")
    if node.attributes.get("transA", 0):
        raise UnsupportedModelError("it transposes its first input")
    y: Value = _matmul(node, context, a, b.T if node.attributes.get("transB", 0) else b)
    return y if c is None else OPERATORS["Add"].apply(node, [y, c], context)[0]


@operator("Identity", 25, lengths=True)
def _identity(node: Node, context: Context, x: Value) -> Value:
    return x


@operator("Dropout", 22, lengths=True)
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


def _with_ones(sizes: Array) -> Array:
    """Return sizes with 1 for the variable ones: like those, it is not negative."""
    known = [1 if size in ("B", "T") else size for size in sizes.ravel().tolist()]
    return sizes if any(isinstance(s, str) for s in known) else np.reshape(known, sizes.shape)


def _comparison(compare: Callable[[Array, Array], Array]) -> Callable[..., Value]:
    """Compare constants, as Keras does with a step's number, and values with constants."""

    def apply(node: Node, context: Context, a: Value, b: Value) -> Value:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if node.operator == "Equal" and b.dtype.kind == "i" and (b < 0).all():
                a = _with_ones(a)
            return _folded(compare, a, b, context)
        if node.operator == "Equal" and isinstance(b, np.ndarray) and is_ids(a) and b.size > 1:
            return equal_to_numbers(a, b, context)  # type: ignore[arg-type]
        if node.operator == "Less" and is_ids(a) and isinstance(b, np.ndarray) and not b.any():
            return np.zeros((1,) * a.ndim, bool)  # they number rows of a table
        if isinstance(b, np.ndarray) and isinstance(a, Field) and b.dtype.kind == "i":
            b = b.astype(np.float32)  # integers of x, or a number of features
        return binary(a, b, lambda x, y: context.symbols.compared(x, node.operator, y), context)

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
def _where(node: Node, context: Context, condition: Value, a: Value, b: Value) -> Value:
    if isinstance(condition, Field):
        return _chosen(condition, a, b, context)
    if condition.dtype != bool or not condition.size:
        raise UnsupportedModelError("its condition is not constant")
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype.kind != "f":
        return np.where(condition, a, b)
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


def _chosen(condition: Field, a: Value, b: Value, context: Context) -> Field:
    """Choose between values vector by vector."""
    left, right, _ = aligned(as_field(a, context.symbols), as_field(b, context.symbols))
    condition, left, _ = aligned(condition, left)
    left, right, kinds = aligned(left, right)
    three = np.broadcast(condition.items, left.items, right.items)
    context.symbols.spend(three.size)
    return Field(kinds, objects((context.symbols.chosen(*one) for one in three), three.shape))


@operator("Not", 1)
def _not(node: Node, context: Context, x: Value) -> Value:
    return ~x if isinstance(x, np.ndarray) else x.map(context.symbols.negated)


@operator("Tile", 13)
def _tile(node: Node, context: Context, x: Value, repeats: Value) -> Value:
    """Repeat a condition for every feature."""
    times = integers(repeats)
    if isinstance(x, np.ndarray):
        context.symbols.spend(numbers=x.size * math.prod(times))
        return np.tile(x, times)
    field = settled(x)
    *others, size = times
    if len(times) != field.ndim or any(n != 1 for n in others) or field.kinds[-1] != "F":
        raise UnsupportedModelError("it repeats values")
    return field if size == 1 else field.map(lambda item: context.symbols.repeated(item, size))


@operator("Neg", 13)
def _neg(node: Node, context: Context, x: Value) -> Value:
    return -x if isinstance(x, np.ndarray) else x.map(context.symbols.negate)


@operator("BatchNormalization", 15)
def _batch_normalization(
    node: Node, context: Context, x: Value, scale: Value, B: Value, mean: Value, var: Value
) -> Value:
    """Return scale * (x - mean) / sqrt(var + epsilon) + B along axis 1, as in evaluation."""
    if node.attributes.get("training_mode", 0) or (
        node.version < 7 and not node.attributes.get("is_test", 0)
    ):
        raise UnsupportedModelError("it normalizes each batch: export the model in its eval mode")
    field = as_field(x, context.symbols)
    given = [n for n in (scale, B, mean, var) if isinstance(n, np.ndarray) and n.dtype.kind == "f"]
    numbers = [n.astype(np.float64) for n in given]
    if len(numbers) < 4 or any(n.shape != (field.vector.size,) for n in numbers):
        raise UnsupportedModelError("expected constant numbers for each feature")
    if field.ndim < 2 or field.kinds[1] != "F":
        raise UnsupportedModelError(f"expected the features on axis 1, got the axes {field.kinds}")
    epsilon = float(np.float32(node.attributes.get("epsilon", 1e-5)))
    symbols = context.symbols
    by = numbers[0] / np.sqrt(numbers[3] + epsilon)
    names = [f"{symbols.weight(array).name} (BatchNormalization)" for array in given[:2]]
    factor = symbols.fixed(by, names[0])
    plus = symbols.fixed(numbers[1] - by * numbers[2], names[1])
    return field.map(lambda item: symbols.add(symbols.multiply(item, factor), plus))


def _reduction(node: Node, said: Value | None, rank: int) -> list[int]:
    axes = given(node, "axes", said)
    if axes is None:
        return list(range(rank))[::-1] if not node.attributes.get("noop_with_empty_axes", 0) else []
    return sorted({normal(axis, rank) for axis in axes}, reverse=True)


@operator("ReduceSum", 13)
@operator("ReduceMean", 18)
def _sum(node: Node, context: Context, x: Value, axes: Value | None = None) -> Value:
    """Add up items along counted axes, such as the directions of a layer."""
    field, symbols = as_field(x, context.symbols), context.symbols
    for axis in _reduction(node, axes, field.ndim):
        if field.kinds[axis] == "F" and node.operator == "ReduceSum":
            field = field.map(symbols.counted)
            if not node.attributes.get("keepdims", 1):
                kinds = field.kinds[:axis] + field.kinds[axis + 1 :]
                field = Field(kinds, field.items)
            continue
        if field.kinds[axis] != "K":
            what = {"T": "the steps", "B": "the sequences", "F": "the features"}
            raise UnsupportedModelError(f"it adds up {what.get(field.kinds[axis], 'merged axes')}")
        place = field.item_axis(axis)
        rows = np.moveaxis(field.items, place, -1)
        symbols.spend(field.items.size)
        found = []
        for row in rows.reshape(-1, rows.shape[-1]):
            total = functools.reduce(symbols.add, row)
            if node.operator == "ReduceMean" and len(row) > 1:
                total = symbols.divide(total, symbols.fixed(np.full(1, len(row), np.float32)))
            found.append(total)
        kinds = field.kinds[:axis] + field.kinds[axis + 1 :]
        field = Field(kinds, objects(found, rows.shape[:-1]))
        if node.attributes.get("keepdims", 1):
            field = field.expand(axis)
    return field


@operator("ReduceMax", 20)
def _max(node: Node, context: Context, x: Value, axes: Value | None = None) -> Value:
    if not isinstance(x, np.ndarray) or x.dtype == object:
        raise UnsupportedModelError("it takes the largest of values that are not constant")
    if not x.ndim:  # PyTorch has an axis 0 there
        return x
    reduced = tuple(_reduction(node, axes, x.ndim))
    return np.asarray(np.max(x, axis=reduced, keepdims=bool(node.attributes.get("keepdims", 1))))


_HALVES = {10: "float16", 16: "bfloat16"}


@operator("Cast", 28, lengths=True)
def _cast(node: Node, context: Context, x: Value) -> Value:
    kind = node.attributes.get("to", 0)
    to = {1: "f4", 11: "f8", 6: "i4", 7: "i8", 9: "?"}.get(kind)
    if kind in _HALVES:
        return _rounded(x, _HALVES[kind], context)
    if to is None:
        raise UnsupportedModelError("it converts to a type other than float, double or an integer")
    if isinstance(x, np.ndarray):
        return x if x.dtype == object else x.astype(to)
    if isinstance(x, Field):
        if all(isinstance(item, Compared) for item in x.flat):
            return x
        kind = "i" if all(isinstance(item, Id | Length) for item in x.flat) else "f"
        if to[0] != kind and not _is_one_hot(x):
            raise UnsupportedModelError("it converts between real numbers and integers")
    return x


def _is_one_hot(x: Field) -> bool:
    """Return whether a tensor has vectors of 0 and 1, which have any type."""
    return all(isinstance(item, Input) and item.one_hot for item in x.flat)


def _rounded(x: Value, kind: str, context: Context) -> Value:
    """Round constants to 16 bits; the rounding of other values is left out."""
    if isinstance(x, np.ndarray):
        if x.dtype.kind != "f":
            return x.astype(np.float32)
        import ml_dtypes  # onnx depends on it

        half = np.float16 if kind == "float16" else ml_dtypes.bfloat16
        return x.astype(half).astype(np.float32)
    if is_ids(x):
        raise UnsupportedModelError("it converts between real numbers and integers")
    if kind not in context.rounds:
        context.rounds.append(kind)
    return x
