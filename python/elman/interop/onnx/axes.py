"""The operators that move axes about, cut tensors and join them, and compute shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop.onnx.fields import (
    Context,
    a_field,
    aligned,
    as_field,
    as_kind,
    integers,
    normal,
    padded,
    part_sizes,
    required,
    sizes,
    uniform,
)
from elman.interop.onnx.reshaping import product, reshape
from elman.interop.onnx.values import Field, Lengths, as_array, objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Symbols, Value

    Array = NDArray[Any]

_LARGE = 2**31 - 1  # what exporters write for "to the end"


def transpose(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    (x,) = required(node, inputs, 1)
    rank = x.ndim if isinstance(x, np.ndarray) else len(a_field(x).kinds)
    order = node.attributes.get("perm", list(range(rank))[::-1])
    if sorted(order) != list(range(rank)):
        raise ModelFormatError(f"expected an order of {rank} axes, got {order}")
    if isinstance(x, np.ndarray):
        return [x.transpose(order)]
    field = a_field(x)
    kinds = tuple(field.kinds[axis] for axis in order)
    places: list[int] = []
    for axis in order:
        first = field.item_axis(axis)
        places += range(first, first + field.kinds[axis].count("K"))
    return [Field(kinds, field.items.transpose(places))]


def squeeze(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x = required(node, inputs[:1], 1)[0]
    axes = _axes(node, inputs)
    if isinstance(x, np.ndarray):
        return [np.squeeze(x, None if axes is None else tuple(axes))]
    field = a_field(x)
    known = sizes(field, context)
    if axes is None:
        if any(isinstance(size, str) for size in known):
            raise UnsupportedModelError("expected the axes to drop, got none")
        axes = [axis for axis, size in enumerate(known) if size == 1]
    kinds, items = list(field.kinds), field.items
    for axis in sorted((normal(axis, len(kinds)) for axis in axes), reverse=True):
        if known[axis] != 1:
            raise UnsupportedModelError(f"expected an axis of size 1, got {known[axis]}")
        if kinds[axis] == "T":
            last = Field(tuple(kinds), items).map(lambda item: context.symbols.at(item, "last"))
            items = last.items
        first = Field(tuple(kinds), items).item_axis(axis)
        items = items.squeeze(tuple(range(first, first + kinds[axis].count("K"))))
        del kinds[axis]
    return [Field(tuple(kinds), items)]


def unsqueeze(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x = required(node, inputs[:1], 1)[0]
    axes = _axes(node, inputs)
    if axes is None:
        raise ModelFormatError("expected the axes to add, got none")
    if isinstance(x, np.ndarray):
        return [np.expand_dims(x, tuple(axes))]
    field = a_field(x)
    kinds, items = list(field.kinds), field.items
    for axis in sorted(normal(axis, len(kinds) + len(axes)) for axis in axes):
        items = np.expand_dims(items, Field(tuple(kinds), items).item_axis(axis))
        kinds.insert(axis, "K")
    return [Field(tuple(kinds), items)]


def reshape_node(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x, shape = (*inputs, None)[:2]
    target = node.attributes.get("shape") if node.version < 5 else shape
    if target is None or isinstance(target, Field | Lengths) or x is None:
        raise UnsupportedModelError("its shape is no constant")
    wanted = list(np.asarray(target, object).ravel())
    if isinstance(x, np.ndarray):
        return [_reshape_numbers(x, wanted)]
    if node.attributes.get("allowzero", 0) and 0 in wanted:
        raise UnsupportedModelError("a size of 0 is not supported")
    field = a_field(x)
    known = sizes(field, context)
    wanted = [known[i] if size == 0 and i < len(known) else size for i, size in enumerate(wanted)]
    return [reshape(field, part_sizes(field, context), wanted, context.symbols)]


def _reshape_numbers(x: Array, wanted: list[Any]) -> Array:
    if not all(isinstance(size, int | np.integer) for size in wanted):
        raise UnsupportedModelError("its shape depends on the input")
    return x.reshape([x.shape[i] if size == 0 else int(size) for i, size in enumerate(wanted)])


def flatten(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    field = a_field(required(node, inputs, 1)[0])
    axis = node.attributes.get("axis", 1)
    if axis not in (1, 1 - len(field.kinds)):
        raise UnsupportedModelError(f"expected axis 1, got {axis}")
    known = part_sizes(field, context)
    return [reshape(field, known, [product(known[0]), -1], context.symbols)]


def slice_node(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x = required(node, inputs[:1], 1)[0]
    starts, ends, axes, steps = _slice_arguments(node, inputs)
    if isinstance(x, np.ndarray):
        index = [slice(None)] * x.ndim
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            index[normal(axis, x.ndim)] = slice(start, end, step)
        return [x[tuple(index)]]
    field = a_field(x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = normal(axis, len(field.kinds))
        field = _take(field, place, slice(start, end, step), context)
    return [field]


def _slice_arguments(
    node: Node, inputs: list[Value | None]
) -> tuple[list[int], list[int], list[int], list[int]]:
    if node.version < 10:
        starts, ends = node.attributes.get("starts", []), node.attributes.get("ends", [])
        axes = node.attributes.get("axes", list(range(len(starts))))
        return starts, ends, axes, [1] * len(starts)
    lists = [None if value is None else integers(value) for value in inputs[1:]]
    given = [*lists, None, None, None, None][:4]
    starts, ends = given[0] or [], given[1] or []
    axes = given[2] if given[2] is not None else list(range(len(starts)))
    steps = given[3] if given[3] is not None else [1] * len(starts)
    return starts, ends, axes, steps


def _take(field: Field, axis: int, part: slice, context: Context) -> Field:
    """Return a part of a field along one axis."""
    kind = field.kinds[axis]
    if not part.step:
        raise ModelFormatError("expected steps other than 0")
    if kind == "K":
        index = [slice(None)] * field.items.ndim
        index[field.item_axis(axis)] = part
        return Field(field.kinds, field.items[tuple(index)])
    known = sizes(field, context)[axis]
    length = known if isinstance(known, int) else None
    if length is not None:
        start, stop, step = part.indices(length)
        if step == 1 and (start, stop) == (0, length):
            return field
        if kind == "F" and step == 1 and start < stop:
            return field.map(lambda item: context.symbols.piece(item, start, stop))
        if kind == "T" and length > 1 and abs(stop - start) == 1:
            return _one_step(field, axis, start, length, context)
    elif part.step == 1 and part.stop >= _LARGE:
        if part.start == 0:
            return field
        if part.start == -1 and kind == "T":
            return _one_step(field, axis, -1, None, context)
    raise UnsupportedModelError(
        f"it takes a part of {_MEANINGS.get(kind, 'merged axes')}, which elman cannot express"
    )


_MEANINGS = {"T": "the steps", "B": "the sequences of a batch", "F": "the features"}


def _one_step(field: Field, axis: int, step: int, length: int | None, context: Context) -> Field:
    """Return the first or the last step, as a counted axis."""
    if step in (-1, None if length is None else length - 1):
        last = field.map(lambda item: context.symbols.at(item, "last"))
    elif step == 0:
        last = field.map(lambda item: context.symbols.at(item, "first"))
    else:
        raise UnsupportedModelError(f"it takes step {step}, neither the first nor the last")
    kinds = (*field.kinds[:axis], "K", *field.kinds[axis + 1 :])
    return Field(kinds, np.expand_dims(last.items, last.item_axis(axis)))


def gather(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x, indices = required(node, inputs, 2)
    if not isinstance(indices, np.ndarray) or indices.dtype.kind != "i":
        raise UnsupportedModelError("its indices are no constant integers")
    axis = node.attributes.get("axis", 0)
    context.symbols.spend(indices.size)
    if isinstance(x, np.ndarray):
        if x.ndim and x.size:
            context.symbols.spend(numbers=indices.size * (x.size // x.shape[axis]))
        return [as_array(np.take(x, indices, axis), x.dtype)]
    field = a_field(x)
    axis = normal(axis, len(field.kinds))
    kind = field.kinds[axis]
    if kind == "K" and indices.ndim <= 1:
        items = as_array(np.take(field.items, indices, field.item_axis(axis)))
        context.symbols.spend(items.size)
        kinds = field.kinds[:axis] + ("K",) * indices.ndim + field.kinds[axis + 1 :]
        return [Field(kinds, items)]
    if kind == "T" and indices.size == 1 and indices.ndim <= 1:
        taken = _one_step(field, axis, int(indices.item()), context.steps, context)
        return [taken if indices.ndim else uniform(taken, axis)]
    raise UnsupportedModelError(
        f"it picks places of {_MEANINGS.get(kind, 'merged axes')}, which elman cannot express"
    )


def split(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x = required(node, inputs[:1], 1)[0]
    axis = node.attributes.get("axis", 0)
    value = x if isinstance(x, np.ndarray) else a_field(x)
    rank = value.ndim if isinstance(value, np.ndarray) else len(value.kinds)
    axis = normal(axis, rank)
    known = value.shape[axis] if isinstance(value, np.ndarray) else sizes(value, context)[axis]
    if not isinstance(known, int):
        raise UnsupportedModelError("it splits an axis of unknown size")
    lengths = node.attributes.get("split")
    if len(inputs) > 1 and inputs[1] is not None:
        lengths = integers(inputs[1])
    if lengths is None:
        each = -(-known // max(len(node.outputs), 1))
        lengths = [min(each, known - each * i) for i in range(len(node.outputs))]
    if sum(lengths) != known or len(lengths) < len(node.outputs) or min(lengths, default=0) < 0:
        raise ModelFormatError(f"expected parts that add up to {known}, got {lengths}")
    results: list[Value] = []
    stops = np.cumsum(lengths)
    for stop, length in zip(stops, lengths, strict=True):
        part = slice(int(stop) - length, int(stop), 1)
        if isinstance(value, np.ndarray):
            results.append(value[(slice(None),) * axis + (part,)])
        else:
            results.append(_take(value, axis, part, context))
    return results


def concat(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    values = required(node, inputs, len(inputs))
    axis = node.attributes.get("axis", 1 if node.version < 4 else None)
    if axis is None or not values:
        raise ModelFormatError("expected tensors and an axis")
    numbers = [value for value in values if isinstance(value, np.ndarray)]
    if len(numbers) == len(values):
        context.symbols.spend(numbers=sum(value.size for value in numbers))
        return [np.concatenate(numbers, axis)]
    fields = [as_field(value, context.symbols) for value in values]
    axis = normal(axis, max(len(field.kinds) for field in fields))
    result = fields[0]
    for field in fields[1:]:
        result = _joined(result, field, axis, context.symbols)
    return [result]


def _joined(a: Field, b: Field, axis: int, symbols: Symbols) -> Field:
    a, b, kinds = aligned(a, b)
    if kinds[axis] == "F":
        pairs = np.broadcast(a.items, b.items)
        symbols.spend(pairs.size)
        return Field(kinds, objects((symbols.joined(pair) for pair in pairs), pairs.shape))
    if kinds[axis] != "K":
        raise UnsupportedModelError("it puts sequences or steps one after the other")
    items = np.concatenate([a.items, b.items], Field(kinds, a.items).item_axis(axis))
    symbols.spend(len(b.items.ravel()) + 1)
    return Field(kinds, items)


def _axes(node: Node, inputs: list[Value | None]) -> list[int] | None:
    if node.version >= 13:
        return None if len(inputs) < 2 or inputs[1] is None else integers(inputs[1])
    axes: list[int] | None = node.attributes.get("axes")
    return axes


# --- shapes ---------------------------------------------------------------------------------------


def shape_node(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    (x,) = required(node, inputs, 1)
    known = list(x.shape) if isinstance(x, np.ndarray) else sizes(a_field(x), context)
    part = known[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    whole = all(isinstance(size, int) for size in part)
    return [np.array(part, np.int64 if whole else object)]


def expand(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    x, shape = required(node, inputs, 2)
    if not isinstance(shape, np.ndarray) or shape.ndim != 1:
        raise UnsupportedModelError("its shape is no constant")
    if isinstance(x, np.ndarray):
        wanted = [1 if isinstance(size, str) else int(size) for size in shape]
        return [_repeated(x, np.broadcast_shapes(x.shape, tuple(wanted)), context)]
    field = a_field(x)
    more = len(shape) - len(field.kinds)
    field = padded(field, len(shape)) if more > 0 else field
    known = sizes(field, context)
    for axis, size in enumerate(shape, start=len(known) - len(shape)):
        if size in (1, known[axis]):
            continue
        if size not in ("B", context.batch) or field.kinds[axis] != "K":
            raise UnsupportedModelError("it repeats values along an axis other than the batch")
        field = as_kind(field, axis, "B")
    return [field]


def _repeated(x: Array, shape: tuple[int, ...], context: Context) -> Array:
    context.symbols.spend(numbers=math.prod(shape))
    return np.broadcast_to(x, shape)


def constant_of_shape(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    (shape,) = required(node, inputs, 1)
    if not isinstance(shape, np.ndarray) or shape.ndim != 1:
        raise UnsupportedModelError("its shape is no constant")
    value = node.attributes.get("value", np.zeros(1, np.float32))
    sizes_ = [1 if isinstance(size, str) else int(size) for size in shape]
    return [_repeated(value.reshape(()), tuple(sizes_), context)]


def constant(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
    """Return the outputs of a node."""
    kinds = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, np.ndarray):
            return [value]
        if name in kinds:
            return [np.asarray(value, kinds[name])]
    raise UnsupportedModelError("a constant of another kind than numbers")
