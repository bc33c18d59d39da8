"""Operations on fields (alignment and sizes of axes), and the registry of operators."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop.onnx.reshaping import product, shown
from elman.interop.onnx.values import Field, Length, Value, as_array, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Function, Symbols, Vector, Weight


OF_LENGTHS = "it computes with the lengths of the sequences"


class OnnxHalf(NamedTuple):
    """One direction of a recurrent layer."""

    where: str  # its place in the graph, for rows and errors
    source: Vector  # its input at every step
    direction: str
    W_xh: Weight
    W_hh: Weight
    biases: tuple[Weight, ...]
    function: Function
    initial: Vector | None  # Fixed or Given; None: zeros
    states: str | tuple[str, ...] | None  # the values with its states: of Y, or of each step


class Context(NamedTuple):
    """State shared by the whole graph."""

    symbols: Symbols
    batch: int | None  # the size of axis B, if known
    steps: int | None  # the size of axis T, if known
    rows: bool  # whether the network reads rows of a table for the integers of x
    tables: list[str]  # the names of these tables
    rounds: list[str]  # the types of 16 bits that values are rounded to in the graph
    halves: list[OnnxHalf]  # of the RNN nodes
    lengths: set[str | None]  # the inputs that these have for sequence_lens; None: none


def as_field(value: Value, symbols: Symbols) -> Field:
    """Return an array as a field whose axes are all counted."""
    if isinstance(value, Field):
        return value
    if value.ndim == 0:
        return Field(("F",), objects([symbols.fixed(value.reshape(1))], ()))
    rows = value.reshape(-1, value.shape[-1]) if value.size else value.reshape(0, 1)
    symbols.spend(len(rows))
    items = objects(map(symbols.fixed, rows), value.shape[:-1])
    return Field(("K",) * (value.ndim - 1) + ("F",), items)


def settled(field: Field) -> Field:
    """Return a field whose last axis holds the features, if possible."""
    if "F" not in field.kinds and field.kinds and field.kinds[-1] == "K" and field.vector.size == 1:
        return Field((*field.kinds[:-1], "F"), as_array(field.items[..., 0]))
    return field


def part_sizes(field: Field, context: Context) -> list[list[int | str]]:
    """Return the sizes of every axis, one per letter; an unknown size is the axis' name."""
    known: dict[str, int | str] = {
        "B": "B" if context.batch is None else context.batch,
        "T": "T" if context.steps is None else context.steps,
        "F": field.vector.size,
    }
    counted = iter(field.items.shape)
    return [
        [next(counted) if letter == "K" else known[letter] for letter in k] for k in field.kinds
    ]


def sizes_of(value: Value, context: Context) -> list[int | str]:
    """Return the size of every axis, or the axis' name if unknown."""
    if isinstance(value, Field):
        return [product(parts) for parts in part_sizes(value, context)]
    return list(value.shape)


def uniform(field: Field, axis: int) -> Field:
    """Drop a counted axis along which all items are the same."""
    place = field.item_axis(axis)
    items = np.moveaxis(field.items, place, 0)
    if not len(items) or (items[1:] != items[:1]).any():
        raise UnsupportedModelError("its values are not the same for every sequence or step")
    return Field(field.kinds[:axis] + field.kinds[axis + 1 :], as_array(items[0]))


def aligned(a: Field, b: Field) -> tuple[Field, Field, tuple[str, ...]]:
    """Return two fields with items that broadcast, and the kinds of their axes."""
    a, b = settled(a), settled(b)
    rank = max(len(a.kinds), len(b.kinds))
    a, b = padded(a, rank), padded(b, rank)
    kinds: list[str] = []
    for axis in range(rank):
        mine, others = a.kinds[axis], b.kinds[axis]
        if mine == others:
            kinds.append(mine)
        elif mine == "K" and "F" not in others:
            a = as_kind(a, axis, others)
            kinds.append(others)
        elif others == "K" and "F" not in mine:
            b = as_kind(b, axis, mine)
            kinds.append(mine)
        else:
            raise UnsupportedModelError(
                f"it combines tensors with the axes {shown(a.kinds)} and {shown(b.kinds)}"
            )
    _require_one_of_each(kinds)
    return a, b, tuple(kinds)


def _require_one_of_each(kinds: Sequence[str]) -> None:
    letters = "".join(kinds)
    if letters.count("B") > 1 or letters.count("T") > 1:
        raise UnsupportedModelError("it combines every sequence or step with every other one")


def padded(field: Field, rank: int) -> Field:
    """Prepend counted axes of size 1."""
    more = rank - len(field.kinds)
    return Field(("K",) * more + field.kinds, field.items.reshape((1,) * more + field.items.shape))


def as_kind(field: Field, axis: int, kind: str) -> Field:
    """Convert a counted axis with equal items to another kind."""
    field = uniform(field, axis)
    kinds = (*field.kinds[:axis], kind, *field.kinds[axis:])
    _require_one_of_each(kinds)
    if "K" not in kind:
        return Field(kinds, field.items)
    place = field.item_axis(axis)
    shape = field.items.shape
    return Field(kinds, field.items.reshape(*shape[:place], *[1] * kind.count("K"), *shape[place:]))


def binary(
    a: Value, b: Value, combine: Callable[[Vector, Vector], Vector], context: Context
) -> Field:
    """Combine two tensors element by element."""
    if isinstance(a, Field) and isinstance(b, np.ndarray) and b.size == 1:
        number = context.symbols.fixed(b.reshape(1))
        if b.ndim <= len(a.kinds):
            return a.map(lambda item: combine(item, number))
    if isinstance(b, Field) and isinstance(a, np.ndarray) and a.size == 1:
        other = context.symbols.fixed(a.reshape(1))
        if a.ndim <= len(b.kinds):
            return b.map(lambda item: combine(other, item))
    left, right, kinds = aligned(as_field(a, context.symbols), as_field(b, context.symbols))
    pairs = np.broadcast(left.items, right.items)
    context.symbols.spend(pairs.size)
    return Field(kinds, objects((combine(x, y) for x, y in pairs), pairs.shape))


def moved(node: Node, a: Value, b: Value, context: Context) -> Field | None:
    """Return integers of an input plus or minus a constant number, or None for other terms."""
    sign = {"Add": 1, "Sub": -1}.get(node.operator)
    field, number = (b, a) if sign == 1 and isinstance(b, Field) else (a, b)
    if sign is None or not isinstance(field, Field) or not isinstance(number, np.ndarray):
        return None
    if number.size != 1 or number.dtype.kind != "i":
        return None
    by = sign * int(number.reshape(-1)[0])
    field = padded(field, max(field.ndim, number.ndim))
    return field.map(lambda item: context.symbols.moved(item, by))


def integers(value: Value) -> list[int]:
    """Return constant integers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "i":
        raise UnsupportedModelError("expected constant integers")
    return [int(number) for number in value.ravel()]


def given(node: Node, name: str, value: Value | None) -> list[int] | None:
    """Return integers that are an attribute of old versions of an operator, then an input."""
    attribute: list[int] | None = node.attributes.get(name)
    return attribute if value is None else integers(value)


def normal(axis: int, rank: int) -> int:
    """Return an axis as a number from 0; negative axes count from the end."""
    if not -rank <= axis < rank:
        raise ModelFormatError(f"expected an axis of {rank}, got {axis}")
    return axis % rank


def offset(size: object, name: str) -> int | None:
    """Return n of a size "T + n", else None."""
    if not isinstance(size, str) or not size.startswith(name):
        return None
    rest = size[len(name) :]
    return 0 if not rest else int(rest) if rest[0] in "+-" else None


def of_lengths(value: Value | None) -> bool:
    """Return whether a tensor has integers made of the lengths; all its items are, or none."""
    return isinstance(value, Field) and isinstance(next(value.items.flat, None), Length)


# --- operators ------------------------------------------------------------------------------------


class Operator(NamedTuple):
    """The implementation of an operator, and the newest version that it covers."""

    apply: Callable[[Node, list[Value | None], Context], list[Value]]
    newest: int


OPERATORS: dict[str, Operator] = {}  # by ONNX's name
FOR_LENGTHS: dict[str, Callable[..., Any]] = {}  # what they do with lengths among their inputs


def operator(
    name: str, newest: int, *, lengths: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of a node, the context and the node's inputs as an operator.

    Inputs with a default are optional. The function returns one output, or a list of them. With
    `lengths`, it treats integers made of the lengths of the sequences as any other values.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        code = function.__code__
        several = bool(code.co_flags & inspect.CO_VARARGS)
        most = code.co_argcount - 2  # besides the node and the context
        least = most - len(function.__defaults__ or ())

        def apply(node: Node, inputs: list[Value | None], context: Context) -> list[Value]:
            needed = inputs if several else inputs[:least]
            present = sum(value is not None for value in needed)
            if present < max(least, len(needed)):
                raise ModelFormatError(f"inputs: expected the first {least}, got {present} of them")
            if len(inputs) > most and not several:
                raise ModelFormatError(f"inputs: expected {most} at most, got {len(inputs)}")
            chosen = FOR_LENGTHS.get(name) if any(map(of_lengths, inputs)) else function
            if chosen is None:
                raise UnsupportedModelError(OF_LENGTHS)
            result = chosen(node, context, *inputs)
            results = result if isinstance(result, list) else [result]
            # NumPy's arithmetic makes numbers of arrays without axes
            return [np.asarray(one) if isinstance(one, np.generic) else one for one in results]

        OPERATORS[name] = Operator(apply, newest)
        if lengths:
            FOR_LENGTHS[name] = function
        return function

    return register
