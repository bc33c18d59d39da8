"""Integers that depend on the lengths of the sequences, and what is taken at their places.

Graphs that read the last step of each sequence compute `lengths - 1`, alone or with the numbers of
the sequences, and gather: `o[arange(B), lengths - 1]` and `o.gather(1, index)`. Others sort the
sequences by length, as `pack_padded_sequence` does, and put the outputs back (see `sorting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import (
    FOR_LENGTHS,
    OF_LENGTHS,
    Context,
    Tensor,
    as_field,
    integers,
    normal,
    operator,
    sizes_of,
    uniform,
)
from elman.interop.onnx.values import Field, Lengths, as_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from elman._typing import Array
    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Value


def _for(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what operators do with lengths among their inputs."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            FOR_LENGTHS[name] = function
        return function

    return register


@_for("Cast")
def _cast(node: Node, context: Context, x: Value) -> Value:
    if node.attributes.get("to") not in (6, 7):
        raise UnsupportedModelError(OF_LENGTHS)
    return x


@_for("Identity", "Dropout")
def _unchanged(node: Node, context: Context, x: Value, *others: Value) -> Value:
    return x


@_for("Add", "Sub")
def _sum(node: Node, context: Context, a: Value, b: Value) -> Value:
    sign = -1 if node.operator == "Sub" else 1
    if sign == 1 and not isinstance(a, Lengths):
        a, b = b, a
    if not isinstance(a, Lengths):
        raise UnsupportedModelError(OF_LENGTHS)
    if isinstance(b, np.ndarray) and b.size == 1 and b.dtype.kind == "i":
        return a._replace(add=a.add + sign * int(b.reshape(-1)[0]))
    other = b if isinstance(b, Lengths) else _as_rows(b, context)
    if sign == -1 or other is None or (a.name and other.name) or (a.rows and other.rows):
        raise UnsupportedModelError(OF_LENGTHS)
    if a.axes != other.axes or a.pairs or other.pairs:
        raise UnsupportedModelError(OF_LENGTHS)
    return Lengths(a.name or other.name, a.add + other.add, a.rows or other.rows, a.axes)


@_for("Mul")
def _product(node: Node, context: Context, a: Value, b: Value) -> Value:
    if not isinstance(a, Lengths):
        a, b = b, a
    is_steps = isinstance(b, np.ndarray) and b.size == 1 and b.reshape(-1)[0] in _steps(context)
    if not isinstance(a, Lengths) or a.name or a.add or a.rows != "B" or not is_steps:
        raise UnsupportedModelError(OF_LENGTHS)
    return a._replace(rows="BT")


@_for("Unsqueeze", "Squeeze", "Reshape", "Expand")
def _reshaped(node: Node, context: Context, x: Value, shape: Value | None = None) -> Value:
    """Change the axes of size 1; one axis is that of the sequences."""
    if not isinstance(x, Lengths) or x.pairs:
        raise UnsupportedModelError(OF_LENGTHS)
    axes = list(x.axes)
    if node.operator in ("Unsqueeze", "Squeeze"):
        chosen = node.attributes.get("axes") if shape is None else integers(shape)
        if node.operator == "Unsqueeze":
            rank = len(axes) + len(chosen or [])
            for axis in sorted(normal(axis, rank) for axis in chosen or []):
                axes.insert(axis, 1)
        else:
            for axis in sorted({normal(axis, len(axes)) for axis in chosen or []}, reverse=True):
                if axes.pop(axis) != 1:
                    raise UnsupportedModelError(OF_LENGTHS)
        return x._replace(axes=tuple(axes))
    wanted = list(np.asarray(shape, object).ravel())
    if node.operator == "Expand":
        axes = [*[1] * (len(wanted) - len(axes)), *axes]
        wanted = [
            a if size in (1, -1, _size(a, context)) else size
            for a, size in zip(axes[len(axes) - len(wanted) :], wanted, strict=True)
        ]
        if any(a != 1 and a != size for a, size in zip(axes, wanted, strict=True)):
            raise UnsupportedModelError(OF_LENGTHS)
        return x._replace(axes=tuple(s if isinstance(s, str) else int(s) for s in wanted))
    batch = [i for i, size in enumerate(wanted) if size in (-1, "B", context.batch) and size != 1]
    batch = batch or [i for i, size in enumerate(wanted) if size in (-1, "B", context.batch)]
    if len(batch) != 1 or any(size != 1 for i, size in enumerate(wanted) if i != batch[0]):
        raise UnsupportedModelError(OF_LENGTHS)
    return x._replace(axes=tuple("B" if i == batch[0] else 1 for i in range(len(wanted))))


@_for("Shape")
def _shape(node: Node, context: Context, x: Value) -> Value:
    if not isinstance(x, Lengths) or x.pairs:
        raise UnsupportedModelError(OF_LENGTHS)
    sizes = [_size(axis, context) for axis in x.axes]
    part = sizes[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    return np.array(part, np.int64 if all(isinstance(s, int) for s in part) else object)


@_for("Concat")
def _pairs(node: Node, context: Context, *values: Value) -> Value:
    """Return pairs of the number of a sequence and one of its steps."""
    rows, steps = values if len(values) == 2 else (None, None)
    rows = rows if isinstance(rows, Lengths) else _as_rows(rows, context)
    if rows is None or not isinstance(steps, Lengths) or node.attributes.get("axis") not in (-1, 1):
        raise UnsupportedModelError(OF_LENGTHS)
    plain = (rows.name, rows.add, rows.rows, rows.axes) == ("", 0, "B", ("B", 1))
    if not plain or not steps.name or steps.rows or steps.axes != ("B", 1):
        raise UnsupportedModelError(OF_LENGTHS)
    return steps._replace(pairs=True)


@_for("GatherND")
def _gather_nd(node: Node, context: Context, x: Value, index: Value) -> Value:
    if not isinstance(x, Field) or not isinstance(index, Lengths) or not index.pairs:
        raise UnsupportedModelError(OF_LENGTHS)
    if node.attributes.get("batch_dims", 0):
        raise UnsupportedModelError(OF_LENGTHS)
    return _end(x, index, 0, 1, context)


@_for("Gather")
def _gather(node: Node, context: Context, x: Value, index: Value) -> Value:
    """Take sequences by length, or rows of the steps of all sequences, one after the other."""
    if isinstance(index, Lengths) and index.rows in ("sorted", "unsorted"):
        return _in_order(node, context, x, index)
    if not isinstance(x, Field) or not isinstance(index, Lengths) or index.axes != ("B",):
        raise UnsupportedModelError(OF_LENGTHS)
    axis = normal(node.attributes.get("axis", 0), x.ndim)
    if axis != 0 or index.rows != "BT" or x.kinds[0] not in ("BT", "BK"):
        raise UnsupportedModelError(OF_LENGTHS)
    apart = Field((x.kinds[0][0], x.kinds[0][1], *x.kinds[1:]), x.items)
    return _end(apart, index, 0, 1, context)


def _in_order(node: Node, context: Context, x: Value, index: Lengths) -> Value:
    """Return the sequences of x in another order: every sequence has the same expression."""
    if index != Lengths("", rows=index.rows):
        raise UnsupportedModelError(OF_LENGTHS)
    if isinstance(x, Lengths):
        alike = bool(x.name) and x == Lengths(x.name, x.add)
    else:
        axis = normal(node.attributes.get("axis", 0), x.ndim)
        alike = isinstance(x, Field) and x.kinds[axis] == "B"
        if not alike and sizes_of(x, context)[axis] in (1, context.batch):
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
    if not isinstance(x, Lengths) or not x.name or x != Lengths(x.name):
        raise UnsupportedModelError(OF_LENGTHS)
    return [x, Lengths("", rows="sorted")]


@_for("ScatterElements")
def _back(node: Node, context: Context, data: Value, index: Value, updates: Value) -> Value:
    """Return the order that undoes the one of the sorted lengths."""
    numbers = updates if isinstance(updates, Lengths) else _as_rows(updates, context)
    alone = isinstance(data, np.ndarray) and data.ndim == 1 and data.size in (1, context.batch)
    if not alone or numbers != Lengths("", rows="B") or index != Lengths("", rows="sorted"):
        raise UnsupportedModelError(OF_LENGTHS)
    if node.attributes.get("reduction", b"none") not in (b"none", "none"):
        raise UnsupportedModelError(OF_LENGTHS)
    return Lengths("", rows="unsorted")


@_for("GatherElements")
def _gather_elements(node: Node, context: Context, x: Value, index: Value) -> Value:
    if not isinstance(x, Field) or not isinstance(index, Lengths) or x.ndim != 3:
        raise UnsupportedModelError(OF_LENGTHS)
    time = normal(node.attributes.get("axis", 0), 3)
    batch = 1 - time if time < 2 else 2
    size = _size("F", context, x)
    wanted = [size, size, size]
    wanted[time], wanted[batch] = 1, "B"
    have = ["B" if axis == "B" else _size(axis, context, x) for axis in index.axes]
    if have != wanted or index.rows:
        raise UnsupportedModelError(OF_LENGTHS)
    return _end(x, index, batch, time, context).expand(time)


def _end(x: Field, index: Lengths, batch: int, time: int, context: Context) -> Field:
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
    items = as_array(np.empty(rows.shape[:-1], object))
    items.ravel()[:] = found
    return Field(kinds, items.reshape(rows.shape[:-1]))


def _steps(context: Context) -> tuple[int | str, ...]:
    return ("T",) if context.steps is None else ("T", context.steps)


def _size(axis: int | str, context: Context, field: Field | None = None) -> int | str:
    if axis == "B":
        return "B" if context.batch is None else context.batch
    return field.vector.size if axis == "F" and field is not None else axis


def _as_rows(value: Value | None, context: Context) -> Lengths | None:
    """Return constant numbers of the sequences, 0 to B - 1, times the steps or not, as lengths."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "i" or context.batch is None:
        return None
    numbers = np.arange(context.batch)
    axes = ("B",) if value.ndim == 1 else ("B", 1)
    if value.shape not in ((context.batch,), (context.batch, 1)):
        return None
    if (value.ravel() == numbers).all():
        return Lengths("", rows="B", axes=axes)
    if context.steps is not None and (value.ravel() == numbers * context.steps).all():
        return Lengths("", rows="BT", axes=axes)
    return None


@operator("GatherND", 13)
@operator("GatherElements", 13)
def _gather_other(node: Node, context: Context, x: Tensor, index: Tensor) -> Tensor:
    raise UnsupportedModelError("its places are not those of the lengths of the sequences")


@operator("TopK", 24)
def _top_other(node: Node, context: Context, x: Tensor, count: Tensor) -> Tensor:
    raise UnsupportedModelError("it sorts values other than the lengths of the sequences")


@operator("ScatterElements", 18)
def _scatter(node: Node, context: Context, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    raise UnsupportedModelError("its places are not those of the lengths of the sequences")


@operator("Range", 27)
def _range(node: Node, context: Context, start: Tensor, stop: Tensor, step: Tensor) -> Any:
    numbers = [value for value in (start, stop, step) if isinstance(value, np.ndarray)]
    if len(numbers) < 3:
        raise UnsupportedModelError("its numbers are not constant")
    first, last, by = (number.reshape(-1)[0] for number in numbers)
    kind = numbers[0].dtype
    if (first, last, by) == (0, "B", 1):
        return Lengths("", rows="B")
    if any(isinstance(number, str) for number in (first, last, by)) or not by:
        raise UnsupportedModelError("it counts to a variable size")
    context.symbols.spend(numbers=max(0, int((last - first) / by) + 1))
    counted: Array = np.arange(first, last, by, dtype=kind)
    return counted
