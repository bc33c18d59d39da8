"""Operators that permute axes, slice and join tensors, and compute shapes."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop.onnx.fields import (
    Context,
    aligned,
    as_field,
    as_kind,
    given,
    normal,
    offset,
    operator,
    padded,
    part_sizes,
    sizes_of,
    uniform,
)
from elman.interop.onnx.ids import is_ids, table_rows
from elman.interop.onnx.reshaping import product, reshape
from elman.interop.onnx.values import Field, Value, as_array, objects

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Symbols, When


_LARGE = 2**31 - 1  # exporters write this or more for "to the end"


@operator("Transpose", 25)
def _transpose(node: Node, context: Context, x: Value) -> Value:
    order = node.attributes.get("perm", list(range(x.ndim))[::-1])
    if sorted(order) != list(range(x.ndim)):
        raise ModelFormatError(f"expected an order of {x.ndim} axes, got {order}")
    return x.transpose(order)


@operator("Squeeze", 25, lengths=True)
def _squeeze(node: Node, context: Context, x: Value, axes: Value | None = None) -> Value:
    chosen, known = given(node, "axes", axes), sizes_of(x, context)
    if chosen is None:
        if any(isinstance(size, str) for size in known):
            raise UnsupportedModelError("expected axes to drop, got none")
        chosen = [axis for axis, size in enumerate(known) if size == 1]
    for axis in sorted({normal(axis, x.ndim) for axis in chosen}, reverse=True):
        if known[axis] != 1:
            raise UnsupportedModelError(f"expected an axis of size 1, got {known[axis]}")
        if isinstance(x, Field) and x.kinds[axis] == "T":
            x = x.map(lambda item: context.symbols.at(item, "last"))
        x = x.squeeze(axis)
    return x


@operator("Unsqueeze", 25, lengths=True)
def _unsqueeze(node: Node, context: Context, x: Value, axes: Value | None = None) -> Value:
    chosen = given(node, "axes", axes)
    if chosen is None:
        raise ModelFormatError("expected the axes to add, got none")
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(chosen))
    rank = x.ndim + len(chosen)
    for axis in sorted(normal(axis, rank) for axis in chosen):
        x = x.expand(axis)
    return x


@operator("Reshape", 25, lengths=True)
def _reshape(node: Node, context: Context, x: Value, shape: Value | None = None) -> Value:
    target = node.attributes.get("shape") if node.version < 5 else shape
    if target is None or isinstance(target, Field):
        raise UnsupportedModelError("its shape is not constant")
    wanted = list(np.asarray(target, object).ravel())
    if isinstance(x, np.ndarray):
        return _reshape_numbers(x, wanted)
    if node.attributes.get("allowzero", 0) and 0 in wanted:
        raise UnsupportedModelError("a size of 0 is not supported")
    known = sizes_of(x, context)
    wanted = [known[i] if size == 0 and i < len(known) else size for i, size in enumerate(wanted)]
    return reshape(x, part_sizes(x, context), wanted, context.symbols)


def _reshape_numbers(x: Array, wanted: list[Any]) -> Array:
    if not all(isinstance(size, int | np.integer) for size in wanted):
        raise UnsupportedModelError("its shape depends on the input")
    return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(wanted)])


@operator("Flatten", 25)
def _flatten(node: Node, context: Context, x: Value) -> Field:
    field = as_field(x, context.symbols)
    axis = node.attributes.get("axis", 1)
    axis = axis + field.ndim if axis < 0 else axis
    known = part_sizes(field, context)
    if not 0 < axis < field.ndim:
        raise UnsupportedModelError(f"expected an axis from 1 to {field.ndim - 1}, got {axis}")
    rows = product([size for parts in known[:axis] for size in parts])
    return reshape(field, known, [rows, -1], context.symbols)


@operator("Slice", 13)
def _slice(
    node: Node,
    context: Context,
    x: Value,
    starts: Value | None = None,
    ends: Value | None = None,
    axes: Value | None = None,
    steps: Value | None = None,
) -> Value:
    first, last = _places(node, "starts", starts) or [], _places(node, "ends", ends) or []
    chosen, strides = given(node, "axes", axes), given(node, "steps", steps)
    chosen = list(range(len(first))) if chosen is None else chosen
    strides = [1] * len(first) if strides is None else strides
    for start, end, axis, step in zip(first, last, chosen, strides, strict=True):
        axis = normal(axis, x.ndim)
        x = _take(x, axis, slice(_at(start, x, axis), _at(end, x, axis), step), context)
    return x


def _places(node: Node, name: str, value: Value | None) -> list[Any] | None:
    """Return constant integers, or variable sizes such as "T-1"."""
    sizes = isinstance(value, np.ndarray) and value.dtype == object
    return value.ravel().tolist() if sizes else given(node, name, value)  # type: ignore[union-attr]


def _at(place: int | str, x: Value, axis: int) -> int:
    """Return a place along an axis: "T-1" is -1, counted from the end, "T" and more are the end."""
    if not isinstance(place, str):
        return place
    found = offset(place, "T") if isinstance(x, Field) and x.kinds[axis] == "T" else None
    if found is None:
        raise UnsupportedModelError("its places are not constant")
    return found if found < 0 else _LARGE


def _take(x: Value, axis: int, part: slice, context: Context) -> Value:
    """Slice a tensor along one axis."""
    if not part.step:
        raise ModelFormatError("expected steps other than 0")
    if isinstance(x, np.ndarray):
        result: Array = x[(slice(None),) * axis + (part,)]
        return result
    kind = x.kinds[axis]
    if kind == "K":
        index = [slice(None)] * x.items.ndim
        index[x.item_axis(axis)] = part
        return Field(x.kinds, x.items[tuple(index)])
    known = sizes_of(x, context)[axis]
    length = known if isinstance(known, int) else _LARGE
    start, stop, step = part.indices(length)
    if step == 1 and (start, stop) == (0, length):
        return x
    if kind == "F" and step == 1 and start < stop:
        return x.map(lambda item: context.symbols.features(item, start, stop))
    if kind == "T" and len(range(start, stop, step)) == 1:
        return _one_step(x, axis, start if part.start >= 0 else start - length, context)
    raise UnsupportedModelError(
        f"it takes a part of {_MEANINGS.get(kind, 'merged axes')}, which elman cannot express"
    )


_MEANINGS = {"T": "the steps", "B": "the sequences of a batch", "F": "the features"}


def _one_step(field: Field, axis: int, step: int, context: Context) -> Field:
    """Return the first or the last step as a counted axis."""
    length = _LARGE if context.steps is None else context.steps
    if step not in (0, -length, -1, length - 1):
        raise UnsupportedModelError(f"it takes step {step}, neither the first nor the last")
    when: When = "last" if step in (-1, length - 1) else "first"
    taken = field.map(lambda item: context.symbols.at(item, when))
    return Field(taken.kinds[:axis] + taken.kinds[axis + 1 :], taken.items).expand(axis)


@operator("Gather", 13)
def _gather(node: Node, context: Context, x: Value, indices: Value) -> Value:
    if isinstance(x, np.ndarray) and isinstance(indices, Field) and is_ids(indices):
        if node.attributes.get("axis", 0) not in (0, -x.ndim):
            raise UnsupportedModelError("expected rows of a table, got another axis")
        return table_rows(x, indices, context)
    axis = normal(node.attributes.get("axis", 0), x.ndim or 1)
    if isinstance(indices, np.ndarray) and indices.dtype == object and indices.size == 1:
        place = _at(indices.reshape(-1)[0], x, axis)
        indices = np.full(indices.shape, place)
    if not isinstance(indices, np.ndarray) or indices.dtype.kind != "i":
        raise UnsupportedModelError("its indices are not constant integers")
    context.symbols.spend(indices.size)
    if isinstance(x, np.ndarray):
        if x.ndim and x.size:
            context.symbols.spend(numbers=indices.size * (x.size // x.shape[axis]))
        return as_array(np.take(x, indices, axis), x.dtype)
    kind = x.kinds[axis]
    if kind == "K" and indices.ndim <= 1:
        items = as_array(np.take(x.items, indices, x.item_axis(axis)))
        context.symbols.spend(items.size)
        return Field(x.kinds[:axis] + ("K",) * indices.ndim + x.kinds[axis + 1 :], items)
    if kind == "T" and indices.size == 1 and indices.ndim <= 1:
        taken = _one_step(x, axis, int(indices.item()), context)
        return taken if indices.ndim else uniform(taken, axis)
    raise UnsupportedModelError(
        f"it selects from {_MEANINGS.get(kind, 'merged axes')}, which elman cannot express"
    )


@operator("Split", 18)
def _split(node: Node, context: Context, x: Value, split: Value | None = None) -> list[Value]:
    axis = normal(node.attributes.get("axis", 0), x.ndim)
    known = sizes_of(x, context)[axis]
    if not isinstance(known, int):
        raise UnsupportedModelError("it splits an axis of unknown size")
    lengths = given(node, "split", split)
    if lengths is None:
        each = -(-known // max(len(node.outputs), 1))
        lengths = [min(each, known - each * i) for i in range(len(node.outputs))]
    if sum(lengths) != known or len(lengths) < len(node.outputs) or min(lengths, default=0) < 0:
        raise ModelFormatError(f"expected parts that add up to {known}, got {lengths}")
    stops = np.cumsum(lengths).tolist()
    parts = [slice(stop - n, stop, 1) for stop, n in zip(stops, lengths, strict=True)]
    return [_take(x, axis, part, context) for part in parts]


@operator("Concat", 13)
def _concat(node: Node, context: Context, *values: Value) -> Value:
    axis = node.attributes.get("axis", 1 if node.version < 4 else None)
    if axis is None or not values:
        raise ModelFormatError("expected tensors and an axis")
    numbers = [value for value in values if isinstance(value, np.ndarray)]
    if len(numbers) == len(values):
        context.symbols.spend(numbers=sum(value.size for value in numbers))
        joined: Array = np.concatenate(numbers, axis)
        return joined
    fields = [as_field(value, context.symbols) for value in values]
    axis = normal(axis, max(field.ndim for field in fields))
    return functools.reduce(lambda a, b: _joined(a, b, axis, context.symbols), fields)


def _joined(a: Field, b: Field, axis: int, symbols: Symbols) -> Field:
    a, b, kinds = aligned(a, b)
    if kinds[axis] == "F":
        pairs = np.broadcast(a.items, b.items)
        symbols.spend(pairs.size)
        return Field(kinds, objects((symbols.joined(pair) for pair in pairs), pairs.shape))
    if kinds[axis] != "K":
        raise UnsupportedModelError("it concatenates sequences or steps")
    items = np.concatenate([a.items, b.items], Field(kinds, a.items).item_axis(axis))
    symbols.spend(len(b.items.ravel()) + 1)
    return Field(kinds, items)


# --- shapes ---------------------------------------------------------------------------------------


@operator("Shape", 25, lengths=True)
def _shape(node: Node, context: Context, x: Value) -> Array:
    part = sizes_of(x, context)[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    return np.array(part, object)


@operator("Size", 25)
def _size(node: Node, context: Context, x: Value) -> Array:
    return np.array(product(sizes_of(x, context)), object)


@operator("Expand", 13, lengths=True)
def _expand(node: Node, context: Context, x: Value, shape: Value) -> Value:
    if not isinstance(shape, np.ndarray) or shape.ndim != 1:
        raise UnsupportedModelError("its shape is not constant")
    if isinstance(x, np.ndarray):
        return _of_shape(x, shape.tolist(), context)
    field = padded(x, max(len(shape), x.ndim))
    known = sizes_of(field, context)
    for axis, size in enumerate(shape, start=len(known) - len(shape)):
        if size in (1, known[axis]):
            continue
        if field.kinds[axis] != "K":
            raise UnsupportedModelError("it repeats values along an axis other than the batch")
        if size in ("B", context.batch) and "B" not in field.kinds:
            field = as_kind(field, axis, "B")
        else:
            field = _repeat(field, axis, size, context)
    return field


def _repeat(field: Field, axis: int, count: Any, context: Context) -> Field:
    """Repeat the item of a counted axis."""
    place = field.item_axis(axis)
    if isinstance(count, str) or count < 1 or field.items.shape[place] != 1:
        raise UnsupportedModelError("it repeats values along an axis other than the batch")
    context.symbols.spend(field.items.size * count)
    return Field(field.kinds, field.items.repeat(count, place))


@operator("ReduceProd", 18)
def _size_product(node: Node, context: Context, x: Value) -> Value:
    """Return the product of sizes."""
    if not isinstance(x, np.ndarray) or x.ndim != 1 or (x.size != 1 and x.dtype.kind != "i"):
        raise UnsupportedModelError("it multiplies other values than sizes")
    found = x if x.size == 1 else x.prod(keepdims=True)
    return found if node.attributes.get("keepdims", 1) else found.reshape(())


@operator("ConstantOfShape", 25)
def _constant_of_shape(node: Node, context: Context, shape: Value) -> Value:
    if not isinstance(shape, np.ndarray) or shape.ndim != 1:
        raise UnsupportedModelError("its shape is not constant")
    value = node.attributes.get("value", np.zeros(1, np.float32)).reshape(())
    return _of_shape(value, shape.tolist(), context)


def _of_shape(array: Array, wanted: list[int | str], context: Context) -> Value:
    """Return an array in a shape with variable sizes: B is that of the sequences."""
    counted = tuple(1 if isinstance(size, str) else int(size) for size in wanted)
    shape = np.broadcast_shapes(array.shape, counted)
    context.symbols.spend(numbers=math.prod(shape))
    array = np.broadcast_to(array, shape)
    if array.dtype.kind != "f" or "B" not in wanted[:-1]:
        return array
    field = as_field(array, context.symbols)
    for axis, size in enumerate(wanted[:-1], start=field.ndim - len(wanted)):
        field = as_kind(field, axis, "B") if size == "B" else field
    return field


@operator("Constant", 25)
def _constant(node: Node, context: Context) -> Array:
    kinds = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, np.ndarray):
            return value
        if name in kinds:
            return np.asarray(value, kinds[name])
    raise UnsupportedModelError("expected a numeric constant, got another kind")
