"""Expressions of a graph as the parts of a chain, from one layer to the next or to the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._interrupt import product
from elman.errors import UnsupportedModelError
from elman.interop import _chain
from elman.interop._source import Piece
from elman.interop.onnx.recurrent import activation_of
from elman.interop.onnx.values import (
    MAX_DEPTH,
    ONE,
    TOO_DEEP,
    Activated,
    Affine,
    Divided,
    Input,
    Joined,
    Scaled,
    Shifted,
    Vector,
    parts_of,
    walk,
)

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.interop._chain import Part
    from elman.interop.onnx.values import Weight

_MAX_NUMBERS = 2**26  # of a matrix that several paths of a graph are folded into


def parts_between(base: Vector, vector: Vector, names: dict[Vector, str]) -> list[Part]:
    """Return the parts that compute a vector from `base`, from the bottom up.

    `names` has the graph's names of vectors, for errors and rows.
    """
    halves = parts_of(base)
    found: list[Part] = []
    top = vector
    while vector is not base:
        if len(found) > MAX_DEPTH:
            raise UnsupportedModelError(TOO_DEEP)
        name = names.get(vector, "the output")
        if isinstance(vector, Activated) and (vector is top or not _is_linear(vector)):
            found.append(_chain.Function(name, activation_of(vector.function)))
            vector = vector.source
        elif isinstance(vector, Affine) and len(vector.sources) == 1 and _is_whole(vector, halves):
            ((W, vector_below),) = vector.terms
            biases = tuple(piece(weight) for weight in vector.biases)
            found.append(_chain.Affine(name, piece(W), biases))
            vector = vector_below
        elif isinstance(vector, Scaled | Shifted):
            found.append(_scaling(name, vector))
            vector = vector.source
        else:
            atoms = _atoms(vector, base)
            if atoms and atoms <= set(halves):
                below = base
            elif len(atoms) == 1 and isinstance(atom := next(iter(atoms)), Activated):
                below = atom
            else:
                raise UnsupportedModelError(_not_a_chain(name, vector))
            found.append(_folded(name, vector, below))
            vector = below
    parts = found[::-1]
    return _standardized(parts) if isinstance(base, Input) else parts


def piece(weight: Weight) -> Piece:
    """Return a weight as a piece."""
    return Piece(weight.name, weight.array)


def _is_linear(vector: Activated) -> bool:
    """Return whether an activation is an affine map."""
    name, _, _, clip = vector.function
    return name in ("identity", "affine") and clip is None


def _is_whole(vector: Affine, halves: tuple[Vector, ...]) -> bool:
    """Return whether a linear map reads no single half of several."""
    return len(halves) == 1 or vector.source not in halves


def _scaling(name: str, vector: Scaled | Shifted) -> Part:
    by = piece(vector.by)
    if isinstance(vector, Divided):
        return _chain.Standardize(name, std=by)
    if isinstance(vector, Scaled):
        return _chain.Scale(name, by=by)
    return _chain.Scale(name, plus=by)


def _standardized(parts: list[Part]) -> list[Part]:
    """Return parts with (x - mean) / std in front as one part, with the numbers of the graph."""
    front = [p for p in parts[:3] if isinstance(p, _chain.Scale | _chain.Standardize)]
    if len(front) != 2 or parts[:2] != front or not isinstance(front[0], _chain.Scale):
        return parts
    (name, by, plus), second = front
    if by is not None or plus is None:
        return parts
    if isinstance(second, _chain.Standardize):
        std = second.std
    elif second.by is None or not (second.by.array > 0).all():
        return parts
    else:
        std = second.by._replace(array=1 / second.by.array.astype(np.float64))
    mean = plus._replace(array=-plus.array)
    return [_chain.Standardize(name, mean, std), *parts[2:]]


# --- several paths --------------------------------------------------------------------------------


def _atoms(vector: Vector, base: Vector) -> set[Vector]:
    """Return the vectors that a vector is an affine map of: parts of `base`, or activations."""
    halves = parts_of(base)

    def is_atom(part: Vector) -> bool:
        return part in halves or (isinstance(part, Activated) and not _is_linear(part))

    atoms = {part for part in walk([vector], is_atom) if is_atom(part) or not part.sources}
    return {atom for atom in atoms if is_atom(atom) or not isinstance(atom, Affine)}


def _folded(name: str, vector: Vector, below: Vector) -> _chain.Affine:
    """Return an affine map of `below` as one part."""
    if vector.size * below.size > _MAX_NUMBERS:
        raise UnsupportedModelError(f"{name}: its matrix is too large to be computed")
    names: dict[str, None] = {}
    W, b = _Fold(below, names).of(vector)
    word = ", ".join(names) or ONE
    biases = (Piece(word, b, _chain.FOLDED),) if b.any() else ()
    return _chain.Affine(name, Piece(word, W, _chain.FOLDED), biases)


class _Fold:
    """Computes the matrix and the constant of affine maps of one vector, in float64."""

    def __init__(self, below: Vector, names: dict[str, None]) -> None:
        self._names = names
        self._done: dict[Vector, tuple[Array, Array]] = {}
        start = 0
        eye = np.eye(below.size)
        self._done[below] = eye, np.zeros(below.size)
        for part in parts_of(below):
            self._done[part] = eye[start : start + part.size], np.zeros(part.size)
            start += part.size
        self._width = below.size

    def of(self, vector: Vector, depth: int = 0) -> tuple[Array, Array]:
        """Return W and b of vector = W below + b."""
        if depth > MAX_DEPTH // 2:
            raise UnsupportedModelError(TOO_DEEP)
        if vector not in self._done:
            self._done[vector] = self._of(vector, depth + 1)
        return self._done[vector]

    def _number(self, weight: Weight) -> Array:
        if weight.name != ONE:
            self._names[weight.name] = None
        array: Array = weight.array.astype(np.float64)
        return array

    def _of(self, vector: Vector, depth: int) -> tuple[Array, Array]:
        if isinstance(vector, Affine):
            W, b = np.zeros((vector.size, self._width)), np.zeros(vector.size)
            for weight, source in vector.terms:
                own, (V, c) = self._number(weight), self.of(source, depth)
                W, b = W + product(own, V), b + own @ c
            for weight in vector.biases:
                b = b + self._number(weight)
            return W, b
        if isinstance(vector, Joined):
            both = [self.of(part, depth) for part in vector.sources]
            return np.concatenate([W for W, _ in both]), np.concatenate([b for _, b in both])
        if isinstance(vector, Activated):
            W, b = self.of(vector.source, depth)
            alpha, beta = vector.function.alpha, vector.function.beta
            alpha, beta = (1.0 if alpha is None else alpha), (0.0 if beta is None else beta)
            return alpha * W, alpha * b + beta
        if not isinstance(vector, Scaled | Shifted):
            raise UnsupportedModelError(_not_a_chain("the output", vector))
        W, b = self.of(vector.source, depth)
        by = self._number(vector.by)
        if isinstance(vector, Shifted):
            return W, b + by
        by = 1 / by if isinstance(vector, Divided) else by
        return by[:, np.newaxis] * W, by * b


def _not_a_chain(name: str, vector: Vector) -> str:
    return (
        f"{name}: expected a chain of layers, linear maps and activations, got"
        f" {_KINDS.get(type(vector).__name__, 'a value')} that reads more than one of them, or none"
    )


_KINDS = {"Affine": "a sum", "Joined": "a concatenation"}
