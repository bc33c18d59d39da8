"""The indices that an embedding reads, from the inputs of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._interrupt import product
from elman.errors import ShapeError

if TYPE_CHECKING:
    from elman._typing import Array


def ids_of(x: Array, table: Array, first: int = 0) -> tuple[Array, Array]:
    """Return the indices (B, T) of inputs (B, T, I) into a table, and the inputs of these indices.

    Inputs of the table's number of rows are one-hot, inputs of its width are rows. Others give the
    nearest index, not below `first`, which is padding.
    """
    words, width = table.shape
    I = x.shape[-1]
    if I not in (words, width):
        raise ShapeError(f"x: expected {words} one-hot inputs or rows of {width} values, got {I}")
    one_hot = words == I and (width != I or _is_one_hot(x))
    vectors = np.eye(words, dtype=x.dtype) if one_hot else table.astype(x.dtype)
    for least in (0, first):
        ids = least + _nearest(x, vectors[least:])
        if np.array_equal(vectors[ids], x):
            break
    return ids, vectors[ids]


def _nearest(x: Array, vectors: Array) -> Array:
    nearness = product(x, vectors.T) - 0.5 * (vectors**2).sum(axis=-1)
    nearest: Array = nearness.argmax(axis=-1)
    return nearest


def _is_one_hot(x: Array) -> bool:
    return bool(((x == 0) | (x == 1)).all() and (x.sum(axis=-1) == 1).all())
