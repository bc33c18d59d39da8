"""Roll up a recurrence that an exporter unrolled step by step.

PyTorch's default exporter does not use the operator RNN: it writes the products, sums and
activations of each of a fixed number of steps. Each step is a cell

    h = f(W_xh s + W_hh h' + biases)

where s is what the layer reads at some step t, computed from x or the layer below at that step.
Cells form a layer if they read one sequence with equal
weights, each is the h' of the next, and every step occurs once, in order. Names are not used, and a
graph that deviates at a single step is refused.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.fields import OnnxHalf
from elman.interop.onnx.masking import Checker, Mask, take_off
from elman.interop.onnx.recurrent import final_when, start_of
from elman.interop.onnx.values import (
    Activated,
    Affine,
    Chosen,
    Field,
    Input,
    Picked,
    as_array,
    objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman._typing import Array
    from elman.interop.onnx.values import Symbols, Vector, Weight


class _Cell(NamedTuple):
    """One step of a layer."""

    vector: Activated
    step: int
    source: Vector
    W_xh: Weight
    W_hh: Weight | None  # None if an exporter folded the product with a zero state
    before: Vector | None
    biases: tuple[Weight, ...]


class RolledUp(NamedTuple):
    """The directions of the layers, and the outputs as functions of them."""

    halves: list[OnnxHalf]
    outputs: list[Field]
    mask: Mask | None  # of the steps that the layers read


class Roller:
    """Finds the layers among all values of a graph, and expresses its outputs by them.

    All values, which `names` has, are searched because a readout of the last step of a reverse
    layer depends only on the first of that layer's cells. The same names are given to what the
    values are at every step.
    """

    def __init__(
        self, outputs: list[Field], names: dict[Vector, str], steps: int, symbols: Symbols
    ) -> None:
        self._outputs = outputs
        self._names = names
        self._steps = steps
        self._symbols = symbols
        self._halves: list[OnnxHalf] = []
        self._places: dict[Vector, tuple[int, int]] = {}  # half and step of each cell
        self._vectors = _all_vectors(names)

    def run(self) -> RolledUp:
        """Return the layers and the outputs, or refuse."""
        plain = None
        if any(isinstance(vector, Chosen) for vector in self._vectors):
            plain, masked = self._without_mask(), self._outputs
            self._outputs = [field.map(plain.__getitem__) for field in masked]
        leaves: dict[Vector, int] = {
            vector: vector.step
            for vector in self._vectors
            if isinstance(vector, Input) and vector.step is not None
        }
        while leaves:
            lines = self._lines(self._readers(self._located(leaves)))
            if not lines:
                break
            for line in sorted(lines, key=lambda cells: cells[0].step):
                self._add_half(line)
            leaves = {cell.vector: cell.step for line in lines for cell in line}
        if not self._halves:
            raise UnsupportedModelError(self._nothing())
        mask = None
        if plain is not None:
            outputs = [vector for field in masked for vector in field.flat]
            first = dict.fromkeys(range(len(self._halves)), 0)
            first |= {
                i: self._steps - 1 for i, c in enumerate(self._halves) if c.direction == "reverse"
            }
            mask = Checker(plain, self._places, first).run(outputs)
            if any(half.initial is not None for half in self._halves):
                raise UnsupportedModelError("it has a mask and a start state")
        return RolledUp(self._halves, [self._output(field) for field in self._outputs], mask)

    def _without_mask(self) -> dict[Vector, Vector]:
        """Take the masks off all vectors, and return what each became."""
        plain = take_off(self._vectors, self._symbols)
        for vector, new in plain.items():
            if vector in self._names:
                self._names.setdefault(new, self._names[vector])
        self._vectors = _all_vectors(dict.fromkeys(plain.values()))
        return plain

    def _nothing(self) -> str:
        if self._steps == 1:
            return (
                "x has one step in this graph, which leaves no recurrent matrix in it: export the"
                " model with an example of two steps or more"
            )
        return "no recurrent layer was found: expected RNN nodes, or a recurrence step by step"

    def _located(self, leaves: dict[Vector, int]) -> dict[Vector, int]:
        """Return the vectors that are computed from leaves of one step, with that step."""
        steps = self._computed_from(leaves, frozenset())
        return self._computed_from(leaves, self._first_states(steps))

    def _computed_from(
        self, leaves: dict[Vector, int], without: frozenset[Vector]
    ) -> dict[Vector, int]:
        steps = dict(leaves)
        for vector in self._vectors:  # each after those that it is computed from
            found = {steps.get(source) for source in vector.sources}
            if vector not in self._places and vector not in without and len(found) == 1:
                step = found.pop()
                if step is not None:
                    steps[vector] = step
        return steps

    def _first_states(self, steps: dict[Vector, int]) -> frozenset[Vector]:
        """Return the first states of layers that start at zero: they read one step only, too."""
        states = set()
        for vector in self._vectors:
            if not isinstance(vector, Affine) or len(vector.sources) != 2:
                continue
            both = [steps.get(source) for source in vector.sources]
            if None in both or both[0] == both[1]:
                continue
            for (W, _), (_, state) in permutations(vector.terms, 2):
                before = state.source if isinstance(state, Activated) else None
                if isinstance(before, Affine) and W in before.weights:
                    states.add(state)
        return frozenset(states)

    def _readers(self, steps: dict[Vector, int]) -> dict[Vector, _Cell]:
        """Return the cells that read a layer's input: activations of sums with it."""
        cells: dict[Vector, _Cell] = {}
        for vector in self._vectors:
            if not isinstance(vector, Activated) or not isinstance(vector.source, Affine):
                continue
            if vector in self._places:
                continue
            own = [term for term in vector.source.terms if term[1] in steps]
            others = [term for term in vector.source.terms if term[1] not in steps]
            if not own or (len(own) > 1 and not others):
                continue
            if len(own) > 1 or len(others) > 1:
                raise UnsupportedModelError(
                    f"step {steps[own[0][1]]} of a layer adds more than an input and a state"
                )
            (W_xh, source), (W_hh, before) = own[0], (*others, (None, None))[0]
            biases = vector.source.biases
            cells[vector] = _Cell(vector, steps[source], source, W_xh, W_hh, before, biases)
        return cells

    def _lines(self, cells: dict[Vector, _Cell]) -> list[list[_Cell]]:
        """Return the cells as lines in which each reads the one before."""
        after: dict[Vector, _Cell] = {}
        starts = []
        for cell in cells.values():
            if cell.before in cells:
                if cell.before in after:
                    raise UnsupportedModelError(f"two cells read one state at step {cell.step}")
                after[cell.before] = cell
            else:
                starts.append(cell)
        lines = []
        for cell in starts:
            line = [cell]
            while line[-1].vector in after:
                line.append(after[line[-1].vector])
            if len(line) > 1 or cell.before is not None:
                lines.append(line)
        if len(lines) > 2:
            raise UnsupportedModelError(f"{len(lines)} recurrences read one sequence")
        return lines

    def _add_half(self, line: list[_Cell]) -> None:
        """Prove that a line of cells is a layer, and keep it."""
        steps = [cell.step for cell in line]
        forward = list(range(self._steps))
        if steps not in (forward, forward[::-1]):
            raise UnsupportedModelError(
                f"expected a recurrence over the steps 0 to {self._steps - 1}, got one over"
                f" {len(line)} steps from {steps[0]} to {steps[-1]}"
            )
        second, first = line[min(1, len(line) - 1)], line[0]
        source = self._at_every_step(second.source)
        for cell in line:
            what = f"step {cell.step} of layer {self._layer()}"
            if self._at_every_step(cell.source) is not source:
                raise UnsupportedModelError(f"{what}: its input differs from the other steps'")
            if cell.W_xh is not second.W_xh or cell.vector.function != second.vector.function:
                raise UnsupportedModelError(f"{what}: its weights differ from the other steps'")
            if cell.W_hh is not second.W_hh and (cell is not first or cell.W_hh is not None):
                raise UnsupportedModelError(f"{what}: its W_hh differs from the other steps'")
            if not _equal_sums(cell.biases, second.biases):
                raise UnsupportedModelError(
                    f"{what}: its constant differs from the other steps', perhaps because an"
                    " initial state was folded into it: export with optimize=False"
                )
        assert second.W_hh is not None
        direction = "forward" if steps == forward else "reverse"
        index = len(self._halves)
        self._places |= {cell.vector: (index, cell.step) for cell in line}
        self._halves.append(
            OnnxHalf(
                f"{len(line)} unrolled steps",
                source,
                direction,
                second.W_xh,
                second.W_hh,
                second.biases,
                second.vector.function,
                None if first.before is None else start_of(first.before),
                self._states(line),
            )
        )

    def _layer(self) -> int:
        return len({half.source for half in self._halves})

    def _states(self, line: list[_Cell]) -> tuple[str, ...] | None:
        """Return the names of the states, in the order of time."""
        names = [self._names.get(cell.vector) for cell in sorted(line, key=lambda cell: cell.step)]
        return None if None in names else tuple(names)  # type: ignore[arg-type]

    def _at_every_step(self, source: Vector) -> Vector:
        """Return what a layer reads at one step, as an expression for every step."""

        def leaf(part: Vector) -> Vector | None:
            if part in self._places:
                return self._symbols.hidden(part.size, self._places[part][0], "each")
            if isinstance(part, Input):
                return self._symbols.input(part.size, None, one_hot=part.one_hot)
            return None

        return self._symbols.rebuild(source, leaf, self._names)

    def _output(self, field: Field) -> Field:
        """Return an output as a function of layers, with its steps as one time axis."""
        for axis, kind in enumerate(field.kinds):
            place = field.item_axis(axis)
            if kind == "K" and field.items.shape[place] == self._steps > 1:
                items = np.moveaxis(field.items, place, 0)
                for letter, rows in (("T", items), ("R", items[::-1])):
                    found = self._every_step(rows)
                    if found is not None:
                        kinds = (*field.kinds[:axis], letter, *field.kinds[axis + 1 :])
                        return Field(kinds, found)
        return field.map(lambda vector: self._rewrite(vector, None))

    def _every_step(self, items: np.ndarray) -> np.ndarray | None:
        """Return the common expression of all steps of an output, or None if they differ."""
        result = None
        for step, at_step in enumerate(map(as_array, items)):
            try:
                flat = [self._rewrite(vector, step) for vector in at_step.flat]
            except UnsupportedModelError:
                return None
            rewritten = objects(flat, at_step.shape)
            if result is not None and np.any(rewritten != result):
                return None
            result = rewritten
        return result

    def _rewrite(self, vector: Vector, step: int | None) -> Vector:
        """Replace cells by their layers: at every step, or at the first and the last."""

        def leaf(part: Vector) -> Vector | None:
            if part in self._places:
                index, own = self._places[part]
                if step is not None and own == step:
                    return self._symbols.hidden(part.size, index, "each")
                if step is None and own in (0, self._steps - 1):
                    if self._steps == 1:
                        when = final_when(self._halves[index].direction)
                    else:
                        when = "first" if own == 0 else "last"
                    return self._symbols.hidden(part.size, index, when)
                raise UnsupportedModelError(f"an output reads only step {own} of a layer")
            if isinstance(part, Input):
                raise UnsupportedModelError("an output reads x directly")
            if isinstance(part, Picked) and step is None:
                items = np.empty(len(part.sources), object)
                items[:] = part.sources
                found = self._every_step(items) if len(items) == self._steps else None
                if found is None:
                    raise UnsupportedModelError("an output takes steps of different vectors")
                return self._symbols.at(found.reshape(-1)[0], "end")
            return None

        return self._symbols.rebuild(vector, leaf, self._names)


def _equal_sums(a: tuple[Weight, ...], b: tuple[Weight, ...]) -> bool:
    """Return True if two lists of biases have the same sum, in any order."""
    if Counter(a) == Counter(b):
        return True
    if not a or not b:
        return not any(weight.array.any() for weight in a + b)
    return bool(np.array_equal(_sum(a), _sum(b)))


def _sum(biases: tuple[Weight, ...]) -> Array:
    """Return the sum in float64, independent of the order."""
    arrays = sorted((bias.array for bias in biases), key=lambda array: array.tobytes())
    total: Array = np.sum(np.array(arrays, np.float64), axis=0)
    return total


def _all_vectors(vectors: Iterable[Vector]) -> list[Vector]:
    """Return vectors and all that they are computed from, each after those."""
    done: dict[Vector, None] = {}
    left = list(vectors)[::-1]
    while left:
        vector = left[-1]
        inner = [] if vector in done else [v for v in vector.sources if v not in done]
        if inner:
            left += inner
        else:
            done[left.pop()] = None
    return list(done)
