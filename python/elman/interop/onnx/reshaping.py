"""The operator Reshape: map the axes of a field to new axes; elements keep their order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.values import Field, objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from elman.interop.onnx.values import Symbols

    Size = int | str

# The next action from the left: keep an axis, drop or add a counted axis of one item, join a
# counted axis with the features or part them, merge two axes, or divide a merged axis.
_Step = tuple[str, int]

_MAX_RANK = 6


def reshape(field: Field, parts: list[list[Size]], wanted: list[Any], symbols: Symbols) -> Field:
    """Return a field in another shape, whose sizes are integers, -1 or the names of axes."""
    if len(wanted) > _MAX_RANK or len(parts) > _MAX_RANK:
        raise UnsupportedModelError(f"expected at most {_MAX_RANK} axes")
    steps = _search(field.kinds, parts, wanted, 0, 0) if wanted.count(-1) < 2 else None
    if steps is None:
        have = f"{', '.join(field.kinds)} of sizes {shown(map(product, parts))}"
        raise UnsupportedModelError(
            f"it turns the axes {have} into {shown(wanted)}, which mixes steps, sequences and"
            " features"
        )
    for step in steps:
        field = _apply(field, step, wanted, symbols)
    return field


def _search(
    kinds: tuple[str, ...], parts: list[list[Size]], wanted: list[Any], i: int, j: int
) -> list[_Step] | None:
    """Return the steps that turn the axes from i on into the axes from j on, or None."""
    if i == len(kinds) and j == len(wanted):
        return []
    for step, used, made in _choices(kinds, parts, wanted, i, j):
        rest = _search(kinds, parts, wanted, i + used, j + made)
        if rest is not None:
            return [step, *rest]
    return None


def _choices(
    kinds: tuple[str, ...], parts: list[list[Size]], wanted: list[Any], i: int, j: int
) -> Iterator[tuple[_Step, int, int]]:
    """Yield each possible next step with the numbers of axes that it uses and makes."""
    left, room = len(kinds) - i, len(wanted) - j
    if left and room and _fits(product(parts[i]), wanted[j]):
        yield ("keep", j), 1, 1
    if left and 1 < len(kinds[i]) <= room and all(map(_fits, parts[i], wanted[j:])):
        yield ("divide", j), 1, len(kinds[i])
    if left and kinds[i] == "K" and parts[i] == [1]:
        yield ("drop", j), 1, 0
    if room and wanted[j] == 1:
        yield ("add", j), 0, 1
    if left and kinds[i] == "F" and room > 1 and parts[i] != [wanted[j]]:
        count, size = wanted[j : j + 2]
        features = parts[i][0]
        if (
            isinstance(features, int)
            and isinstance(count, int | np.integer)
            and count > 1
            and features % count == 0
            and _fits(features // int(count), size)
        ):
            yield ("part", j), 1, 2
    if left > 1 and room and _fits(product(parts[i] + parts[i + 1]), wanted[j]):
        if kinds[i : i + 2] == ("K", "F"):
            yield ("join", j), 2, 1
        if "F" not in kinds[i] + kinds[i + 1]:
            yield ("merge", j), 2, 1


def _fits(size: Size, wanted: Size) -> bool:
    return bool(wanted == -1 or size == wanted)


def product(sizes: Sequence[Size]) -> Size:
    """Return a product of sizes: an integer, or the joined names."""
    if all(isinstance(size, int) for size in sizes):
        return math.prod(sizes)
    return "*".join(map(str, sizes))


def shown(sizes: Iterable[Any]) -> str:
    """Return axes or their sizes for a message."""
    return "(" + ", ".join(map(str, sizes)) + ")"


def _apply(field: Field, step: _Step, wanted: list[Any], symbols: Symbols) -> Field:
    """Apply one step; the axes to its left are done."""
    what, axis = step
    kinds, items = field.kinds, field.items
    place = field.item_axis(axis)
    if what == "drop":
        return field.squeeze(axis)
    if what == "add":
        return field.expand(axis)
    if what == "join":
        moved = np.moveaxis(items, place, -1)
        symbols.spend(items.size)
        rows = moved.reshape(-1, moved.shape[-1])
        joined = objects((symbols.joined(row) for row in rows), moved.shape[:-1])
        return Field((*kinds[:axis], "F", *kinds[axis + 2 :]), joined)
    if what == "part":
        count = int(wanted[axis])
        size = field.vector.size // count
        symbols.spend(items.size * count)
        parts = [
            [symbols.features(item, k * size, (k + 1) * size) for k in range(count)]
            for item in field.flat
        ]
        found = objects((piece for row in parts for piece in row), (*items.shape, count))
        found = np.moveaxis(found, -1, place)
        return Field((*kinds[:axis], "K", *kinds[axis:]), found)
    if what == "merge":
        return Field((*kinds[:axis], kinds[axis] + kinds[axis + 1], *kinds[axis + 2 :]), items)
    if what == "divide":
        return Field((*kinds[:axis], *kinds[axis], *kinds[axis + 1 :]), items)
    return field
