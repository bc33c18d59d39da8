"""Masks that a graph computes from x, as Keras does: steps that its layers skip.

Every step of a masked layer ends in a choice: the new state where the mask is true, else the state
before. `take_off` removes these choices, so that the recurrence can be rolled up; `Checker` proves
that they were those of one mask over all steps of all layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elman.errors import UnsupportedModelError
from elman.interop.onnx.values import (
    Activated,
    Affine,
    Chosen,
    Compared,
    Fixed,
    Id,
    Input,
    leaves_of,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elman._typing import Array
    from elman.interop.onnx.values import Symbols, Vector

_OTHER = "it chooses between values by a condition that is not the mask of a layer"


class Mask(NamedTuple):
    """The steps of x that count: those where a feature, or the integer, is not `number`."""

    number: Array
    masked: str  # what the outputs of other steps are, as in `Network`


def take_off(vectors: Sequence[Vector], symbols: Symbols) -> dict[Vector, Vector]:
    """Return what each vector is if the mask is true; each comes after its parts."""
    plain: dict[Vector, Vector] = {}
    for vector in vectors:
        if isinstance(vector, Chosen):
            _, new, _ = vector.sources
            plain[vector] = plain[new]
        else:
            plain[vector] = symbols.of_parts(vector, plain.__getitem__)
    return plain


class Checker:
    """Proves that all choices are those of one mask.

    `plain` has what each vector is if the mask is true, `places` the half and the step of each
    cell, and `first` the first step of each half.
    """

    def __init__(
        self,
        plain: dict[Vector, Vector],
        places: Mapping[Vector, tuple[int, int]],
        first: Mapping[int, int],
    ) -> None:
        self._plain = plain
        self._places = places
        self._first = first
        self._number: Array | None = None
        self._kinds: dict[Vector, str] = {}  # of a choice between states: "hold", "zero", "first"

    def run(self, outputs: Iterable[Vector]) -> Mask:
        """Return the mask of all choices, or refuse."""
        for vector in self._plain:  # each after its parts
            if isinstance(vector, Chosen):
                self._add(vector)
        for vector in self._plain:
            if self._plain[vector] in self._places and not isinstance(vector, Chosen):
                self._check_cell(vector)
        assert self._number is not None
        return Mask(self._number, self._masked(outputs))

    def _add(self, choice: Chosen) -> None:
        condition, new, old = choice.sources
        step = self._step(condition)
        what = self._plain[new]
        if what not in self._places:
            leaves = leaves_of(what)
            if not all(isinstance(leaf, Input | Id) and leaf.step == step for leaf in leaves):
                raise UnsupportedModelError(_OTHER)
            return  # what a skipped step would read
        if isinstance(new, Chosen) or self._places[what][1] != step:
            raise UnsupportedModelError(_OTHER)
        self._kinds[choice] = self._kind(old, *self._places[what])

    def _step(self, condition: Vector) -> int:
        """Return the step of a mask, and keep its number."""
        if not isinstance(condition, Compared) or condition.operator not in ("Some", "NotEqual"):
            raise UnsupportedModelError(_OTHER)
        x, number = condition.source, condition.number.array
        if condition.operator == "NotEqual" and (not isinstance(x, Id) or x.add):
            raise UnsupportedModelError(_OTHER)
        if not isinstance(x, Input | Id) or x.step is None:
            raise UnsupportedModelError("its mask is not computed from x alone")
        if self._number is not None and (self._number != number).any():
            raise UnsupportedModelError("its layers have different masks")
        self._number = number
        return x.step

    def _kind(self, old: Vector, half: int, step: int) -> str:
        if isinstance(old, Fixed) and not old.weight.array.any():
            return "first" if step == self._first[half] else "zero"
        before = step + (1 if self._first[half] else -1)
        held = self._kinds.get(old) in ("hold", "first")
        if held and self._places.get(self._plain[old]) == (half, before):
            return "hold"
        raise UnsupportedModelError("a step that its mask leaves out does not keep the state")

    def _check_cell(self, cell: Vector) -> None:
        """Check that a cell reads the state that the choices before it left."""
        assert isinstance(cell, Activated)
        assert isinstance(cell.source, Affine)
        half, step = self._places[self._plain[cell]]
        before = step + (1 if self._first[half] else -1)
        for source in cell.source.sources:
            if self._places.get(self._plain[source]) == (half, before) and self._kinds.get(
                source
            ) not in ("hold", "first"):
                raise UnsupportedModelError("it has a mask in front of some of its layers only")

    def _masked(self, outputs: Iterable[Vector]) -> str:
        """Return what the outputs of masked steps are."""
        kinds = set()
        for vector in walk(outputs, self._kinds.__contains__):
            if vector in self._kinds:
                kinds.add(self._kinds[vector])
            elif self._plain[vector] in self._places:
                raise UnsupportedModelError("its outputs do not heed its mask")
        kinds -= {"first"}
        if len(kinds) > 1:
            raise UnsupportedModelError("its outputs at masked steps are of two kinds")
        return kinds.pop() if kinds else "hold"
