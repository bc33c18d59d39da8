"""Integers that depend on the lengths of the sequences, and what is taken at their places.

Graphs that read the last step of each sequence compute `lengths - 1`, alone or with the numbers of
the sequences, and gather: `o[arange(B), lengths - 1]` and `o.gather(1, index)`. Others sort the
sequences by length, as `pack_padded_sequence` does, and put the outputs back (see `sorting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import (
    FOR_LENGTHS,
    OF_LENGTHS,
    Context,
    as_field,
    moved,
    normal,
    of_lengths,
    operator,
    sizes_of,
    uniform,
)
from elman.interop.onnx.values import Field, Length, Value, as_array, objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._typing import Array
    from elman.interop.onnx.graph import Node


def _for(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what an operator does with lengths among its inputs."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FOR_LENGTHS[name] = function
        return function

    return register


def _length(value: Value | None) -> tuple[Field, Length]:
    """Return a tensor and the integer that it has for every sequence, or refuse."""
    if isinstance(value, Field) and len(set(value.flat)) == 1 and isinstance(value.vector, Length):
        return value, value.vector
    raise UnsupportedModelError(OF_LENGTHS)


@_for("Add")
@_for("Sub")
def _sum(node: Node, context: Context, a: Value, b: Value) -> Field:
    """Return lengths plus or minus a number, or plus the numbers of the sequences."""
    with_number = moved(node, a, b, context)
    if with_number is not None:
        return with_number
    (field, one), (others, other) = (_length(_as_rows(value, context)) for value in (a, b))
    if node.operator == "Sub" or field.kinds != others.kinds:
        raise UnsupportedModelError(OF_LENGTHS)
    if (one.name and other.name) or (one.rows and other.rows):
        raise UnsupportedModelError(OF_LENGTHS)
    rows = one.rows or other.rows
    both = context.symbols.length(one.name or other.name, rows, one.add + other.add)
    return field.map(lambda _: both)


@_for("Mul")
def _product(node: Node, context: Context, a: Value, b: Value) -> Field:
    """Return the numbers of the sequences times the steps."""
    rows, steps = (a, b) if isinstance(a, Field) else (b, a)
    field, number = _length(rows)
    is_steps = isinstance(steps, np.ndarray) and steps.size == 1
    if not is_steps or steps.reshape(-1)[0] not in ("T", context.steps):  # type: ignore[union-attr]
        raise UnsupportedModelError(OF_LENGTHS)
    if number is not context.symbols.length("", "B"):
        raise UnsupportedModelError(OF_LENGTHS)
    return field.map(lambda _: context.symbols.length("", "BT"))


@_for("Concat")
def _pairs(node: Node, context: Context, *values: Value) -> Field:
    """Return pairs of the number of a sequence and one of its steps."""
    fields = [_length(_as_rows(value, context))[0] for value in values]
    is_last = node.attributes.get("axis") in (-1, 1)
    if not is_last or {field.kinds for field in fields} != {("B", "K")}:
        raise UnsupportedModelError(OF_LENGTHS)
    return Field(("B", "K"), np.concatenate([field.items for field in fields]))


@_for("GatherND")
def _gather_nd(node: Node, context: Context, x: Value, index: Value) -> Field:
    if not isinstance(x, Field) or not isinstance(index, Field) or index.kinds != ("B", "K"):
        raise UnsupportedModelError(OF_LENGTHS)
    rows, step = index.flat if len(index.flat) == 2 else (None, None)
    if not isinstance(step, Length) or step.rows or node.attributes.get("batch_dims", 0):
        raise UnsupportedModelError(OF_LENGTHS)
    if rows is not context.symbols.length("", "B"):
        raise UnsupportedModelError(OF_LENGTHS)
    return _end(x, step, 0, 1, context)


@_for("Gather")
def _gather(node: Node, context: Context, x: Value, index: Value) -> Value:
    """Take sequences by length, or rows of the steps of all sequences, one after the other."""
    field, place = _length(index)
    if field.kinds != ("B",):
        raise UnsupportedModelError(OF_LENGTHS)
    axis = normal(node.attributes.get("axis", 0), x.ndim)
    if place in [context.symbols.length("", order) for order in ("sorted", "unsorted")]:
        return _in_order(x, axis, context)
    if not isinstance(x, Field) or axis or place.rows != "BT" or x.kinds[0] not in ("BT", "BK"):
        raise UnsupportedModelError(OF_LENGTHS)
    return _end(Field((*x.kinds[0], *x.kinds[1:]), x.items), place, 0, 1, context)


def _in_order(x: Value, axis: int, context: Context) -> Value:
    """Return the sequences of x in another order: every sequence has the same expression."""
    alike = isinstance(x, Field) and x.kinds[axis] == "B"
    if of_lengths(x):
        _, number = _length(x)
        alike = alike and bool(number.name) and not number.rows
    elif not alike and sizes_of(x, context)[axis] in (1, context.batch):
        uniform(as_field(x, context.symbols), axis)  # repeated for every sequence
        alike = True
    if not alike:
        raise UnsupportedModelError("it orders values other than the sequences by their lengths")
    return x


@_for("TopK")
def _top(node: Node, context: Context, x: Value, count: Value) -> list[Value]:
    """Sort the lengths of all sequences."""
    every = isinstance(count, np.ndarray) and count.size == 1
    if not every or count.reshape(-1)[0] not in ("B", context.batch):  # type: ignore[union-attr]
        raise UnsupportedModelError("it does not sort all of the lengths")
    field, length = _length(x)
    if field.kinds != ("B",) or not length.is_plain:
        raise UnsupportedModelError(OF_LENGTHS)
    return [field, field.map(lambda _: context.symbols.length("", "sorted"))]


@_for("ScatterElements")
def _back(node: Node, context: Context, data: Value, index: Value, updates: Value) -> Field:
    """Return the order that undoes the one of the sorted lengths."""
    alone = isinstance(data, np.ndarray) and data.ndim == 1 and data.size in (1, context.batch)
    field, order = _length(index)
    _, numbers = _length(_as_rows(updates, context))
    known = [context.symbols.length("", rows) for rows in ("sorted", "B")]
    if not alone or [order, numbers] != known:
        raise UnsupportedModelError(OF_LENGTHS)
    if node.attributes.get("reduction", "none") != "none":
        raise UnsupportedModelError(OF_LENGTHS)
    return field.map(lambda _: context.symbols.length("", "unsorted"))


@_for("GatherElements")
def _gather_elements(node: Node, context: Context, x: Value, index: Value) -> Field:
    field, place = _length(index)
    if not isinstance(x, Field) or not x.ndim == field.ndim == 3:
        raise UnsupportedModelError(OF_LENGTHS)
    time = normal(node.attributes.get("axis", 0), 3)
    batch = 1 - time if time < 2 else 2
    wanted: list[int | str] = [x.vector.size] * 3
    wanted[time], wanted[batch] = 1, "B"
    have = sizes_of(field, context)
    have[batch] = field.kinds[batch]
    if have != wanted or place.rows:
        raise UnsupportedModelError(OF_LENGTHS)
    return _end(x, place, batch, time, context).expand(time)


def _end(x: Field, index: Length, batch: int, time: int, context: Context) -> Field:
    """Return what each sequence has at its last step."""
    if index.add != -1 or not index.name:
        raise UnsupportedModelError("it takes a step of each sequence other than the last")
    if x.kinds[batch] != "B" or x.kinds[time] not in ("T", "K"):
        raise UnsupportedModelError(f"it takes steps of a tensor with the axes {x.kinds}")
    kinds = x.kinds[:time] + x.kinds[time + 1 :]
    if x.kinds[time] == "T":
        return Field(kinds, x.map(lambda item: context.symbols.at(item, "end")).items)
    rows = np.moveaxis(x.items, x.item_axis(time), -1)
    found = [context.symbols.picked(tuple(row)) for row in rows.reshape(-1, rows.shape[-1])]
    return Field(kinds, objects(found, rows.shape[:-1]))


def _as_rows(value: Value | None, context: Context) -> Field | None:
    """Return constant numbers of the sequences, 0 to B - 1, times the steps or not, as a field."""
    if isinstance(value, Field):
        return value
    if value is None or value.dtype.kind != "i" or context.batch is None:
        return None
    if value.shape not in ((context.batch,), (context.batch, 1)):
        return None
    numbers = np.arange(context.batch)
    kinds, shape = (("B",), ()) if value.ndim == 1 else (("B", "K"), (1,))
    for rows, steps in (("B", 1), ("BT", context.steps)):
        if steps is not None and (value.ravel() == numbers * steps).all():
            return Field(kinds, objects([context.symbols.length("", rows)], shape))
    return None


@operator("GatherND", 13)
@operator("GatherElements", 13)
def _gather_other(node: Node, context: Context, x: Value, index: Value) -> Value:
    raise UnsupportedModelError("its places are not those of the lengths of the sequences")


@operator("TopK", 24)
def _top_other(node: Node, context: Context, x: Value, count: Value) -> Value:
    raise UnsupportedModelError("it sorts values other than the lengths of the sequences")


@operator("ScatterElements", 18)
def _scatter(node: Node, context: Context, x: Value, index: Value, updates: Value) -> Value:
    raise UnsupportedModelError("its places are not those of the lengths of the sequences")


@operator("Range", 27)
def _range(node: Node, context: Context, start: Value, stop: Value, step: Value) -> Value:
    numbers = [value for value in (start, stop, step) if isinstance(value, np.ndarray)]
    if len(numbers) < 3:
        raise UnsupportedModelError("its numbers are not constant")
    first, last, by = (number.reshape(-1)[0] for number in numbers)
    kind = numbers[0].dtype
    if (first, last, by) == (0, "B", 1):
        return Field(("B",), as_array(context.symbols.length("", "B")))
    if any(isinstance(number, str) for number in (first, last, by)) or not by:
        raise UnsupportedModelError("it counts to a variable size")
    context.symbols.spend(numbers=max(0, int((last - first) / by) + 1))
    counted: Array = np.arange(first, last, by, dtype=kind)
    return counted
