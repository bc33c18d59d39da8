"""The indices that an embedding reads, from the inputs of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.errors import ShapeError

if TYPE_CHECKING:
    from elman._typing import Array


def ids_of(x: Array, table: Array, first: int = 0) -> tuple[Array, Array]:
    """Return the indices (B, T) of inputs (B, T, I) into a table, and the inputs of these indices.

    Inputs of the table's number of rows are one-hot, inputs of its width are rows. Others give the
    nearest index, not below `first`.
    """
    words, width = table.shape
    I = x.shape[-1]
    if I not in (words, width):
        raise ShapeError(f"x: expected {words} one-hot inputs or rows of {width} values, got {I}")
    if words == I and (width != I or _is_one_hot(x)):
        ids = first + x[..., first:].argmax(axis=-1)
        return ids, np.eye(words, dtype=x.dtype)[ids]
    near = x @ table[first:].T - 0.5 * (table[first:] ** 2).sum(axis=-1)
    ids = first + near.argmax(axis=-1)
    return ids, table[ids].astype(x.dtype)


def _is_one_hot(x: Array) -> bool:
    return bool(((x == 0) | (x == 1)).all() and (x.sum(axis=-1) == 1).all())
