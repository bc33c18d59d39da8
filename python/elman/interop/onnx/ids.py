"""Integers of x that number the rows of a table: Gather of an embedding, OneHot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import Context, operator
from elman.interop.onnx.values import Field, Id, Value

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Vector


def is_ids(value: object) -> bool:
    """Return whether a tensor has the integers of x as they are."""
    return isinstance(value, Field) and all(isinstance(i, Id) and not i.add for i in value.flat)


def table_rows(table: Array, ids: Field, context: Context) -> Field:
    """Return the rows of a table (V, F), or one-hot vectors times it."""
    if table.ndim != 2 or table.dtype.kind != "f" or not table.size:
        raise UnsupportedModelError(f"expected a table of two axes, got {table.shape}")
    symbols = context.symbols
    if context.rows:
        context.tables.append(symbols.weight(table).name)
        found = ids.map(lambda item: symbols.input(table.shape[1], _step(item)))
    else:
        found = ids.map(
            lambda item: symbols.linear(symbols.input(len(table), _step(item), one_hot=True), table)
        )
    return Field((*ids.kinds, "F"), found.items)


def one_hot(ids: Field, size: int, context: Context) -> Field:
    """Return one-hot vectors."""
    if context.rows:
        raise UnsupportedModelError(
            "embedding='rows': expected a table of an embedding, got one-hot vectors"
        )
    context.symbols.spend(numbers=size)
    found = ids.map(lambda item: context.symbols.input(size, _step(item), one_hot=True))
    return Field((*ids.kinds, "F"), found.items)


def _step(item: Vector) -> int | None:
    assert isinstance(item, Id)
    return item.step


@operator("OneHot", 11)
def _one_hot(node: Node, context: Context, x: Value, depth: Value, values: Value) -> Field:
    if not isinstance(depth, np.ndarray) or not isinstance(values, np.ndarray):
        raise UnsupportedModelError("its depth and values are not constant")
    if (
        not isinstance(x, Field)
        or not is_ids(x)
        or values.ravel().tolist() != [0, 1]
        or depth.size != 1
    ):
        raise UnsupportedModelError("expected integers of x as one-hot vectors of 0 and 1")
    if node.attributes.get("axis", -1) not in (-1, x.ndim):
        raise UnsupportedModelError("expected the last axis")
    return one_hot(x, int(depth.reshape(-1)[0]), context)


def equal_to_numbers(ids: Field, numbers: Array, context: Context) -> Field:
    """Return integers of x compared with 0, 1, ..., which are one-hot vectors."""
    flat = numbers.ravel()
    if (
        ids.kinds[-1] != "K"
        or ids.items.shape[-1] != 1
        or numbers.shape[-1] != numbers.size
        or (flat != np.arange(flat.size)).any()
    ):
        raise UnsupportedModelError("it compares the integers of x with others than 0, 1, ...")
    return one_hot(ids.squeeze(ids.ndim - 1), flat.size, context)
