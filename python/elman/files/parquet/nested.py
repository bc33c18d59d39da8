"""Columns of Arrow as sequences: flat values (R, I) and offsets, without copies where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    Array = NDArray[Any]

NULL = "expected numbers, got null"


class Lists(NamedTuple):
    """Sequences of any lengths; bad ones have no steps.

    Attributes
    ----------
    values : array, shape (R, I)
    offsets : array of int, shape (B + 1,)
    bad : dict of int to str
        Why a row is none.
    """

    values: Array
    offsets: Array
    bad: dict[int, str]


def is_number(kind: Any) -> bool:  # noqa: ANN401
    """Return whether a type of Arrow has real numbers."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def is_list(kind: Any) -> bool:  # noqa: ANN401
    """Return whether a type of Arrow has lists."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_numbers(kind: Any) -> bool:  # noqa: ANN401
    """Return whether a type has lists of numbers."""
    return is_list(kind) and is_number(kind.value_type)


def is_steps(kind: Any) -> bool:  # noqa: ANN401
    """Return whether a type has lists of lists of numbers, or tensors (T, I)."""
    if tensor_shape(kind) is not None:
        return True
    return is_list(kind) and is_numbers(kind.value_type)


def tensor_shape(kind: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Return (T, I) for tensors of one shape in C order, otherwise None."""
    if getattr(kind, "extension_name", None) != "arrow.fixed_shape_tensor":
        return None
    shape, order = kind.shape, kind.permutation
    if len(shape) != 2 or (order is not None and list(order) != [0, 1]):
        return None
    return shape[0], shape[1]


def width(kind: Any) -> int | None:  # noqa: ANN401
    """Return I of a type of steps, if it says so."""
    shape = tensor_shape(kind)
    if shape is not None:
        return shape[1]
    return getattr(kind.value_type, "list_size", None)


def numbers(array: Any) -> Array:  # noqa: ANN401
    """Return the numbers of an array of Arrow; whatever is there for nulls."""
    from pyarrow import types

    data = array.buffers()[1]
    if data is None or not len(array):
        return np.empty(0, "?" if types.is_boolean(array.type) else _dtype(array.type))
    if types.is_boolean(array.type):
        bits = np.frombuffer(data, np.uint8)
        count = array.offset + len(array)
        return np.unpackbits(bits, count=count, bitorder="little")[array.offset :].view(bool)
    whole = np.frombuffer(data, _dtype(array.type), count=array.offset + len(array))
    return whole[array.offset :]


def _dtype(kind: Any) -> np.dtype[Any]:  # noqa: ANN401
    """Return the dtype of numbers; `to_pandas_dtype` would import pandas."""
    names = {"halffloat": "f2", "float": "f4", "double": "f8"}
    return np.dtype(names.get(str(kind), str(kind)))


def array(values: Array) -> Any:  # noqa: ANN401
    """Return numbers (N,) as an array of Arrow; its own constructor would import pandas."""
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])


def nulls(array: Any) -> Array:  # noqa: ANN401
    """Return the indices of nulls."""
    if not array.null_count:
        return np.empty(0, np.int64)
    return np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))


def _children(array: Any) -> tuple[Array, Any]:  # noqa: ANN401
    """Return the offsets (B + 1,), from 0, and the elements of lists."""
    from pyarrow import types

    if types.is_fixed_size_list(array.type):
        offsets = (array.offset + np.arange(len(array) + 1)) * array.type.list_size
    else:
        offsets = array.offsets.to_numpy().astype(np.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    return offsets - begin, array.values.slice(begin, end - begin)


def steps(array: Any, size: int) -> Lists:  # noqa: ANN401
    """Return a column of lists of steps; a list of numbers has one per step, if `size` is 1."""
    kind = array.type
    bad: dict[int, str] = {}
    shape = tensor_shape(kind)
    if shape is not None:
        flat, leaf = _children(array.storage)
        _mark(bad, nulls(array), None)
        _mark(bad, nulls(leaf), flat)
        return _kept(numbers(leaf).reshape(-1, size), flat // size, bad)
    _mark(bad, nulls(array), None)
    offsets, inner = _children(array)
    if is_number(inner.type):
        _mark(bad, nulls(inner), offsets)
        return _kept(numbers(inner)[:, np.newaxis], offsets, bad)
    begins, leaf = _children(inner)
    _mark(bad, nulls(inner), offsets)
    _mark(bad, nulls(leaf), offsets, begins)
    widths = np.diff(begins)
    wrong = np.flatnonzero(widths != size)
    if not len(wrong):
        return _kept(numbers(leaf).reshape(-1, size), offsets, bad)
    for row, step in _rows(wrong, offsets):
        got = widths[offsets[row] + step]
        bad.setdefault(row, f"step {step}: expected {size} numbers, got {got}")
    values = numbers(leaf)[np.repeat(widths == size, widths)].reshape(-1, size)
    right = np.concatenate([[0], np.cumsum(widths == size)])
    return _kept(values, right[offsets], bad)


def columns(arrays: Sequence[Any], dtype: DTypeLike) -> Lists:
    """Return several columns of lists of numbers, one for each input, as sequences."""
    bad: dict[int, str] = {}
    parts = []
    for array in arrays:
        _mark(bad, nulls(array), None)
        offsets, leaf = _children(array)
        _mark(bad, nulls(leaf), offsets)
        parts.append((offsets, leaf))
    lengths = [np.diff(offsets) for offsets, _ in parts]
    for each in lengths[1:]:
        for row in np.flatnonzero(each != lengths[0]):
            bad.setdefault(
                int(row),
                f"expected lists of one length, got {lengths[0][row]} and {each[row]} steps",
            )
    good = np.ones(len(arrays[0]), bool)
    good[list(bad)] = False
    offsets = np.concatenate([[0], np.cumsum(np.where(good, lengths[0], 0))])
    values = np.empty((offsets[-1], len(arrays)), dtype)
    for j, (_, leaf) in enumerate(parts):
        column = numbers(leaf)
        if bad:
            column = column[np.repeat(good, lengths[j])]
        with np.errstate(over="ignore"):
            values[:, j] = column
    return Lists(values, offsets, bad)


def _mark(bad: dict[int, str], elements: Array, *offsets: Array | None) -> None:
    """Mark the rows of elements that are null."""
    for each in reversed(offsets):
        if each is not None:
            elements = np.searchsorted(each, elements, side="right") - 1
    for row in np.unique(elements).tolist():
        bad.setdefault(row, NULL)


def _rows(elements: Array, offsets: Array) -> list[tuple[int, int]]:
    """Return the rows of elements, and their indices there."""
    rows = np.searchsorted(offsets, elements, side="right") - 1
    return list(zip(rows.tolist(), (elements - offsets[rows]).tolist(), strict=True))


def _kept(values: Array, offsets: Array, bad: dict[int, str]) -> Lists:
    """Take the steps of bad rows out."""
    if not bad:
        return Lists(values, offsets, bad)
    lengths = np.diff(offsets)
    good = np.ones(len(lengths), bool)
    good[list(bad)] = False
    kept = np.concatenate([[0], np.cumsum(np.where(good, lengths, 0))])
    return Lists(values[np.repeat(good, lengths)], kept, bad)


def without(lists: Lists, more: dict[int, str]) -> Lists:
    """Return the sequences with more bad ones."""
    return _kept(lists.values, lists.offsets, {**more, **lists.bad}) if more else lists


def array_of(column: Any) -> Any:  # noqa: ANN401
    """Return a column of a table as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    found = column.combine_chunks()
    if not hasattr(found, "buffers"):
        raise TableError("expected fewer values in a part, got more than an array of Arrow has")
    return found
