"""Symbolic tensors of a graph: feature vectors along named axes.

A tensor is an array, or a `Field`: vectors of features, each a small expression of the graph's
inputs and weights, along axes of these kinds:

    F  the features of a vector               B  the sequences of a batch, all treated alike
    K  positions that are counted, one item    T  time as a whole: one expression for every step
       for each (such as unrolled steps)   R  the same, from the last step to the first

Axes merged by a Reshape have the letters of all their parts, "TB". Equal expressions are one
object, so that equal weights are compared with `is`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from elman.errors import LimitError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import DTypeLike, NDArray

    from elman._typing import Array


# "end": the last step of each sequence, which its length tells; "last": of the padded sequences
When = Literal["each", "first", "last", "end"]
_MAX_ADDENDS = 8  # of one sum: products and biases
ONE = "the identity"  # name of the matrix of a sum
OF_IDS = "it computes with the integers of x"
TOO_DEEP = "it is nested too deeply for layers and a readout"
MAX_DEPTH = 64  # of the expression around a layer's output: scaling, activation, readout


class Function(NamedTuple):
    """An activation by elman's name, with its parameters if it has any."""

    name: str
    alpha: float | None = None
    beta: float | None = None
    clip: float | None = None


_RELU = Function("relu")


@dataclass(frozen=True, eq=False, slots=True)
class Weight:
    """An array of the graph and its name there; equal arrays are one object."""

    array: Array
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Vector:
    """The features of one tensor at one position, computed from `sources`."""

    size: int
    sources: tuple[Vector, ...]

    @property
    def source(self) -> Vector:
        """What a vector of one source is computed from."""
        return self.sources[0]


@dataclass(frozen=True, eq=False, slots=True)
class Input(Vector):
    """The features of x at a step; None: at every step."""

    step: int | None
    one_hot: bool = False  # made of an integer of x


@dataclass(frozen=True, eq=False, slots=True)
class Id(Vector):
    """An integer of x, the index of a row of a table, plus `add`."""

    step: int | None  # None: at every step
    add: int


@dataclass(frozen=True, eq=False, slots=True)
class Given(Vector):
    """A part of a state that is an input of the graph: one row, and features from `start` on."""

    name: str
    row: int | None
    start: int


@dataclass(frozen=True, eq=False, slots=True)
class Fixed(Vector):
    """A constant vector."""

    weight: Weight


@dataclass(frozen=True, eq=False, slots=True)
class Affine(Vector):
    """The sum of matrices (out, in) times vectors, and of biases."""

    weights: tuple[Weight, ...]
    biases: tuple[Weight, ...]

    @property
    def terms(self) -> tuple[tuple[Weight, Vector], ...]:
        """The matrices and what each is multiplied by."""
        return tuple(zip(self.weights, self.sources, strict=True))


@dataclass(frozen=True, eq=False, slots=True)
class Activated(Vector):
    """An activation of a vector."""

    function: Function


@dataclass(frozen=True, eq=False, slots=True)
class Scaled(Vector):
    """A vector times a factor for each feature."""

    by: Weight


@dataclass(frozen=True, eq=False, slots=True)
class Divided(Scaled):
    """A vector divided by a number for each feature, `by`."""


@dataclass(frozen=True, eq=False, slots=True)
class Shifted(Vector):
    """A vector plus a constant for each feature."""

    by: Weight


@dataclass(frozen=True, eq=False, slots=True)
class Magnitude(Vector):
    """The absolute values of a vector."""


@dataclass(frozen=True, eq=False, slots=True)
class Compared(Vector):
    """Whether the features of a vector are above, below or equal to numbers.

    Besides ONNX's names, "Count" is the number of features that differ from the numbers, and "Some"
    whether there are any.
    """

    operator: str
    number: Weight


@dataclass(frozen=True, eq=False, slots=True)
class Chosen(Vector):
    """One of two vectors: a where a condition holds, else b; these three are the sources."""


@dataclass(frozen=True, eq=False, slots=True)
class Picked(Vector):
    """What each sequence has at its last step, of one vector for each step."""


@dataclass(frozen=True, eq=False, slots=True)
class Joined(Vector):
    """Concatenated vectors."""


@dataclass(frozen=True, eq=False, slots=True)
class Hidden(Vector):
    """The state of a recurrent layer's direction, `half`: at each, the first or the last step."""

    half: int
    when: When


@dataclass(frozen=True, eq=False, slots=True)
class Length(Vector):
    """An integer made of a sequence's length, an input of the graph: rows + length + add.

    `rows` is "" for 0, "B" for the number of the sequence and "BT" for that times the steps;
    without a name also "sorted" for the order of the sequences by length and "unsorted" back.
    """

    name: str  # "" if the length is not in it
    rows: str
    add: int

    @property
    def is_plain(self) -> bool:
        """Whether it is the length itself."""
        return bool(self.name) and not self.rows and not self.add


class Field(NamedTuple):
    """Vectors along named axes; `items` has an axis for every letter K."""

    kinds: tuple[str, ...]
    items: NDArray[np.object_]

    @property
    def vector(self) -> Vector:
        """The first vector; all have its size."""
        if not self.items.size:
            raise UnsupportedModelError("a tensor without elements is not supported")
        return self.flat[0]

    @property
    def flat(self) -> list[Vector]:
        """All vectors, row by row."""
        return list(self.items.ravel().tolist())

    def item_axis(self, axis: int) -> int:
        """Return the axis of `items` that belongs to an axis of kind K."""
        return "".join(self.kinds[:axis]).count("K")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.kinds)

    def map(self, function: Callable[[Vector], Vector]) -> Field:
        """Return the field of function(item)."""
        return Field(self.kinds, objects(map(function, self.flat), self.items.shape))

    def transpose(self, order: list[int]) -> Field:
        """Return the field with its axes in another order."""
        places: list[int] = []
        for axis in order:
            first = self.item_axis(axis)
            places += range(first, first + self.kinds[axis].count("K"))
        return Field(tuple(self.kinds[axis] for axis in order), self.items.transpose(places))

    def squeeze(self, axis: int) -> Field:
        """Return the field without an axis of size 1."""
        first = self.item_axis(axis)
        items = self.items.squeeze(tuple(range(first, first + self.kinds[axis].count("K"))))
        return Field(self.kinds[:axis] + self.kinds[axis + 1 :], items)

    def expand(self, axis: int) -> Field:
        """Return the field with one more counted axis of size 1."""
        items = np.expand_dims(self.items, self.item_axis(axis))
        return Field((*self.kinds[:axis], "K", *self.kinds[axis:]), items)


Value = np.ndarray | Field


def objects(values: Iterable[Vector], shape: tuple[int, ...]) -> NDArray[np.object_]:
    """Return an object array of vectors."""
    result = np.empty(shape, object)
    for place, value in zip(np.ndindex(shape), values, strict=True):
        result[place] = value
    return result


def decimal(value: float | np.floating[Any]) -> float:
    """Return a number as the shortest decimal: 0.1 for the float32 nearest to it."""
    if isinstance(value, np.float32 | np.float16):
        return float(str(value))
    return float(value)


def parts_of(vector: Vector) -> tuple[Vector, ...]:
    """Return the parts of a vector."""
    return vector.sources if isinstance(vector, Joined) else (vector,)


def walk(
    vectors: Iterable[Vector], is_end: Callable[[Vector], bool] = lambda vector: False
) -> Iterator[Vector]:
    """Yield vectors and what they are computed from, each once, but nothing behind an end."""
    seen: set[Vector] = set()
    left = list(vectors)
    while left:
        vector = left.pop()
        if vector not in seen:
            seen.add(vector)
            yield vector
            if not is_end(vector):
                left += vector.sources


def leaves_of(vector: Vector) -> list[Vector]:
    """Return what an expression is made of, each once: inputs, states and constants."""
    return [part for part in walk([vector]) if not part.sources]


def as_array(value: object, dtype: DTypeLike = object) -> Array:
    """Return an array; a scalar that NumPy took out of one becomes 0-dimensional."""
    if isinstance(value, np.ndarray):
        return value
    result = np.empty((), dtype)
    result[()] = value
    return result


class Symbols:
    """Makes each vector and weight once, within limits set by the size of the graph."""

    def __init__(self, items: int, numbers: int) -> None:
        self._vectors: dict[tuple[object, ...], Vector] = {}
        self._weights: dict[tuple[object, ...], Weight] = {}
        self._by_place: dict[tuple[object, ...], Weight] = {}
        self._alive: list[Array] = []  # keeps arrays in memory, so that an address means one array
        self._names: dict[int, str] = {}
        self._items = items
        self._numbers = numbers

    def spend(self, items: int = 0, numbers: int = 0) -> None:
        """Refuse graphs whose tensors far exceed the graph, such as repeated doubling by Concat."""
        self._items -= items
        self._numbers -= numbers
        if min(self._items, self._numbers) < 0:
            raise LimitError("the graph's tensors are far larger than the graph")

    def name(self, array: Array, name: str) -> None:
        """Record the graph's name of an array."""
        self._alive.append(array)
        if array.size and array.dtype.kind == "f":
            self._names.setdefault(_place(array), name)
            self.weight(array, name)

    def weight(self, array: Array, name: str | None = None) -> Weight:
        """Return the weight with these values."""
        where = (_place(array), array.shape, array.strides, array.dtype.str)
        if where in self._by_place:
            return self._by_place[where]
        digest = hashlib.blake2b(array.tobytes(), digest_size=32).digest()
        key = (digest, array.shape, array.dtype.str)
        if key not in self._weights:
            found = name or self._names.get(_place(array), "a computed constant")
            self._weights[key] = Weight(array, found)
        self._alive.append(array)
        self._by_place[where] = self._weights[key]
        return self._weights[key]

    def _make(
        self,
        kind: Callable[..., Vector],
        size: int,
        sources: tuple[Vector, ...] = (),
        *rest: object,
    ) -> Vector:
        key = (kind, size, sources, *rest)
        if key not in self._vectors:
            self._vectors[key] = kind(size, sources, *rest)
        return self._vectors[key]

    def input(self, size: int, step: int | None, *, one_hot: bool = False) -> Vector:
        """Return the features of x at one step, or at every step."""
        return self._make(Input, size, (), step, one_hot)

    def id(self, step: int | None, add: int = 0) -> Vector:
        """Return the integer of x at one step, or at every step, plus a number."""
        return self._make(Id, 1, (), step, add)

    def length(self, name: str, rows: str = "", add: int = 0) -> Length:
        """Return an integer made of a sequence's length."""
        return self._make(Length, 1, (), name, rows, add)  # type: ignore[return-value]

    def moved(self, integer: Vector, by: int) -> Vector:
        """Return an integer plus a number."""
        if isinstance(integer, Length):
            return self.length(integer.name, integer.rows, integer.add + by)
        if isinstance(integer, Id):
            return self.id(integer.step, integer.add + by)
        raise UnsupportedModelError(OF_IDS)

    def given(self, size: int, name: str, row: int | None, start: int = 0) -> Vector:
        """Return a part of a state that is an input."""
        return self._make(Given, size, (), name, row, start)

    def fixed(self, array: Array, name: str | None = None) -> Vector:
        """Return a constant vector; `name` is for one that was computed."""
        if array.dtype.kind != "f":
            raise UnsupportedModelError("it computes with integers, or with sizes")
        return self._make(Fixed, array.size, (), self.weight(array, name))

    def hidden(self, size: int, half: int, when: When) -> Vector:
        """Return the output of a recurrent layer."""
        return self._make(Hidden, size, (), half, when)

    def activated(self, source: Vector, function: Function) -> Vector:
        """Return an activation of a vector; a clip or a factor before it becomes part of it."""
        if isinstance(source, Activated) and (function.name, source.function) == ("relu", _RELU):
            return self.activated(source.source, function)
        if isinstance(source, Activated) and function.clip is None:
            before = source.function
            if before.name == function.name == "relu":
                return source
            if before.name == "identity":
                return self.activated(source.source, function._replace(clip=before.clip))
            if (before.name, before.beta, function.name) == ("affine", 0, "tanh"):
                scaled = Function("scaled_tanh", 1.0, before.alpha, before.clip)
                return self.activated(source.source, scaled)
        return self._make(Activated, source.size, (source,), function)

    def joined(self, parts: Iterable[Vector]) -> Vector:
        """Concatenate vectors."""
        flat: list[Vector] = []
        for part in parts:
            flat += parts_of(part)
        self.spend(len(flat))
        if len(flat) == 1:
            return flat[0]
        return self._make(Joined, sum(p.size for p in flat), tuple(flat))

    def linear(self, source: Vector, matrix: Array) -> Vector:
        """Return source @ matrix, for a matrix (in, out)."""
        if source.size != matrix.shape[0]:
            raise UnsupportedModelError(
                f"expected a matrix of {source.size} rows, got {matrix.shape}"
            )
        if isinstance(source, Fixed) and not source.weight.array.any():
            return self._affine(matrix.shape[1], (), (), ())
        return self._affine(matrix.shape[1], (source,), (self.weight(matrix.T),), ())

    def _affine(
        self,
        size: int,
        sources: tuple[Vector, ...],
        weights: tuple[Weight, ...],
        biases: tuple[Weight, ...],
    ) -> Vector:
        if len(weights) + len(biases) > _MAX_ADDENDS:
            raise UnsupportedModelError(f"it adds more than {_MAX_ADDENDS} vectors")
        return self._make(Affine, size, sources, weights, biases)

    def add(self, a: Vector, b: Vector) -> Vector:
        """Return a + b."""
        if isinstance(a, Fixed) and not isinstance(b, Fixed):
            a, b = b, a
        a, b = self._alike(a, b)
        if isinstance(a, Affine) and isinstance(b, Affine):
            sources, weights = a.sources + b.sources, a.weights + b.weights
            return self._affine(a.size, sources, weights, a.biases + b.biases)
        if isinstance(a, Fixed) and isinstance(b, Fixed):
            return self.fixed(a.weight.array + b.weight.array)
        if isinstance(a, Affine) and isinstance(b, Fixed):
            return self._affine(a.size, a.sources, a.weights, (*a.biases, b.weight))
        if isinstance(b, Fixed):
            return self._make(Shifted, a.size, (a,), b.weight)
        if isinstance(a, Id) or isinstance(b, Id):
            raise UnsupportedModelError(OF_IDS)
        a, b = (v if isinstance(v, Affine) else self._unchanged(v) for v in (a, b))
        return self.add(a, b)

    def _unchanged(self, vector: Vector) -> Vector:
        """Return a vector as a linear map of itself."""
        self.spend(numbers=vector.size**2)
        one = self.weight(np.eye(vector.size, dtype=np.float32), ONE)
        return self._affine(vector.size, (vector,), (one,), ())

    def negate(self, vector: Vector) -> Vector:
        """Return -vector."""
        return self.multiply(vector, self.fixed(np.full(vector.size, -1, np.float32)))

    def subtract(self, a: Vector, b: Vector) -> Vector:
        """Return a - b; subtracting a constant is scaling, never a bias."""
        a, b = self._alike(a, b)
        if not isinstance(b, Fixed):
            return self.add(self.negate(b), a)
        return self._make(Shifted, a.size, (a,), self.weight(-b.weight.array, b.weight.name))

    def multiply(self, a: Vector, b: Vector) -> Vector:
        """Return a * b, one of which is constant."""
        if isinstance(a, Fixed):
            a, b = b, a
        a, b = self._alike(a, b)
        if not isinstance(b, Fixed):
            raise UnsupportedModelError("it multiplies by a value that is not constant")
        if isinstance(a, Id):
            raise UnsupportedModelError(OF_IDS)
        return self._make(Scaled, a.size, (a,), b.weight)

    def scale(self, vector: Vector, factor: float) -> Vector | None:
        """Return a vector times one number, if that is part of an activation, else None."""
        if isinstance(vector, Affine):
            return self.activated(vector, Function("affine", factor, 0.0))
        if isinstance(vector, Activated):
            name, alpha, beta, clip = vector.function
            if name == "identity":
                return self.activated(vector.source, Function("affine", factor, 0.0, clip))
            if name == "tanh":
                alpha, beta = 1.0, 1.0
            if name in ("tanh", "scaled_tanh") and alpha == 1:
                return self.activated(vector.source, Function("scaled_tanh", factor, beta, clip))
        return None

    def offset(self, vector: Vector, number: float) -> Vector | None:
        """Return a vector plus one number, if that is part of an activation, else None."""
        if isinstance(vector, Activated) and vector.function[::2] == ("affine", 0):
            return self.activated(vector.source, vector.function._replace(beta=number))
        return None

    def magnitude(self, vector: Vector) -> Vector:
        """Return the absolute values of a vector."""
        return self._make(Magnitude, vector.size, (vector,))

    def picked(self, steps: tuple[Vector, ...]) -> Vector:
        """Return what each sequence has at its last step."""
        self.spend(len(steps))
        return self._make(Picked, steps[0].size, steps)

    def compared(self, a: Vector, operator: str, b: Vector) -> Vector:
        """Return whether a is above, below or equal to a constant b."""
        a, b = self._alike(a, b)
        if not isinstance(b, Fixed):
            raise UnsupportedModelError("it compares values that are not constant")
        if isinstance(a, Compared):
            is_some = (a.operator, operator) == ("Count", "Greater") and not b.weight.array.any()
            if not is_some:
                raise UnsupportedModelError("it compares values that are not constant")
            return self._make(Compared, 1, a.sources, "Some", a.number)
        return self._make(Compared, a.size, (a,), operator, b.weight)

    def chosen(self, condition: Vector, a: Vector, b: Vector) -> Vector:
        """Return a where a condition holds, else b: PyTorch's softplus is x where x > 20."""
        inner = b.source if isinstance(b, Divided) else b
        if (
            isinstance(condition, Compared)
            and condition.operator == "Greater"
            and isinstance(inner, Activated)
            and inner.function == Function("softplus")
            and inner.source is condition.source
            and (condition.number.array >= 20).all()
            and b is self._divided_as(a, condition.source, inner)
        ):
            return b
        if not isinstance(condition, Compared):
            raise UnsupportedModelError("it chooses between values that are not constant")
        a, b = self._alike(a, b)
        return self._make(Chosen, a.size, (self.repeated(condition, a.size), a, b))

    def repeated(self, condition: Vector, size: int) -> Vector:
        """Return one condition for every feature."""
        if not isinstance(condition, Compared) or condition.size not in (1, size):
            raise UnsupportedModelError("it repeats values")
        return self._make(Compared, size, condition.sources, condition.operator, condition.number)

    def negated(self, condition: Vector) -> Vector:
        """Return whether a condition does not hold."""
        others = {"Equal": "NotEqual", "NotEqual": "Equal"}
        if not isinstance(condition, Compared) or condition.operator not in others:
            raise UnsupportedModelError("it negates values that are not constant")
        operator = others[condition.operator]
        return self._make(Compared, condition.size, condition.sources, operator, condition.number)

    def counted(self, condition: Vector) -> Vector:
        """Return for how many features a condition holds."""
        if not isinstance(condition, Compared) or condition.operator != "NotEqual":
            raise UnsupportedModelError("it adds up the features")
        return self._make(Compared, 1, condition.sources, "Count", condition.number)

    def _divided_as(self, a: Vector, scaled: Vector, inner: Vector) -> Vector | None:
        """Return f(s a) / s for s a = `scaled` and f(s a) = `inner`, or None."""
        if scaled is a:
            return inner
        if isinstance(scaled, Activated) and scaled.source is a:
            name, alpha, beta, clip = scaled.function
            if (name, beta, clip) == ("affine", 0, None) and alpha is not None:
                by = self.weight(np.full(a.size, alpha, np.float32))
                return self._make(Divided, a.size, (inner,), by)
        return None

    def divide(self, a: Vector, b: Vector) -> Vector:
        """Return a / b for a constant b, or a / (1 + abs(a))."""
        a, b = self._alike(a, b)
        if isinstance(b, Shifted) and (b.by.array == 1).all() and b.source is self.magnitude(a):
            return self.activated(a, Function("softsign"))
        if not isinstance(b, Fixed) or not b.weight.array.all():
            raise UnsupportedModelError("it divides by a value that is not a nonzero constant")
        return self._make(Divided, a.size, (a,), b.weight)

    def _alike(self, a: Vector, b: Vector) -> tuple[Vector, Vector]:
        """Repeat a single number for every feature of the other vector."""
        if a.size == b.size:
            return a, b
        if isinstance(b, Fixed) and b.size == 1:
            return a, self.fixed(np.repeat(b.weight.array, a.size))
        if isinstance(a, Fixed) and a.size == 1:
            return self.fixed(np.repeat(a.weight.array, b.size)), b
        raise UnsupportedModelError(f"expected vectors of one size, got {a.size} and {b.size}")

    def features(self, vector: Vector, start: int, stop: int) -> Vector:
        """Return the features from start to stop."""
        if (start, stop) == (0, vector.size):
            return vector
        if isinstance(vector, Given):
            begin = vector.start + start
            return self.given(stop - start, vector.name, vector.row, begin)
        if isinstance(vector, Fixed):
            return self.fixed(vector.weight.array[start:stop])
        if isinstance(vector, Joined):
            stops = np.cumsum([part.size for part in vector.sources]).tolist()
            places = [0, *stops]
            if start in places and stop in places:
                return self.joined(vector.sources[places.index(start) : places.index(stop)])
        raise UnsupportedModelError("it selects single features of a vector")

    def rebuild(
        self,
        vector: Vector,
        leaf: Callable[[Vector], Vector | None],
        names: dict[Vector, str] | None = None,
    ) -> Vector:
        """Return a vector whose parts are replaced by `leaf(part)` where that is not None.

        With `names`, what replaces a named part has its name, too.
        """
        done: dict[Vector, Vector] = {}
        result = self._rebuild(vector, leaf, done, 0)
        for old, new in done.items():
            if names is not None and old in names:
                names.setdefault(new, names[old])
        return result

    def _rebuild(
        self,
        vector: Vector,
        leaf: Callable[[Vector], Vector | None],
        done: dict[Vector, Vector],
        depth: int,
    ) -> Vector:
        if depth > MAX_DEPTH:
            raise UnsupportedModelError(TOO_DEEP)
        if vector not in done:
            done[vector] = leaf(vector) or self.of_parts(
                vector, lambda part: self._rebuild(part, leaf, done, depth + 1)
            )
        return done[vector]

    def of_parts(self, vector: Vector, inner: Callable[[Vector], Vector]) -> Vector:
        """Return a vector made of inner(part) for each of its parts."""
        sources = tuple(map(inner, vector.sources))
        if isinstance(vector, Activated):
            return self.activated(sources[0], vector.function)
        if isinstance(vector, Joined):
            return self.joined(sources)
        rest = [getattr(vector, field.name) for field in fields(vector)[2:]]
        return self._make(type(vector), vector.size, sources, *rest)

    def at(self, vector: Vector, when: When) -> Vector:
        """Return a vector of every step at the first or the last step, or each sequence's last."""

        def leaf(part: Vector) -> Vector | None:
            if isinstance(part, Hidden) and part.when == "each":
                return self.hidden(part.size, part.half, when)
            if isinstance(part, Input | Id):
                raise UnsupportedModelError(f"it takes the {when} step of x before any layer")
            return None

        return self.rebuild(vector, leaf)


def _place(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
