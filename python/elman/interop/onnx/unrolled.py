"""Roll up a recurrence that an exporter unrolled step by step.

PyTorch's default exporter does not use the operator RNN: it writes the products, sums and
activations of each of a fixed number of steps. Each step is a cell

    h = f(W_xh s + W_hh h' + biases)

where s is the layer's input at some step t. Cells form a layer if they read one sequence with equal
weights, each is the h' of the next, and every step occurs once, in order. Names are not used, and a
graph that deviates at a single step is refused.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import UnsupportedModelError
from elman.interop.onnx.recurrent import OnnxChain, final_when, start_of
from elman.interop.onnx.values import (
    Activated,
    Affine,
    Field,
    Input,
    Joined,
    Scaled,
    Shifted,
    as_array,
    objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elman._typing import Array
    from elman.interop.onnx.values import Symbols, Vector, Weight


class _Cell(NamedTuple):
    """One step of a layer."""

    vector: Activated
    step: int
    W_xh: Weight
    W_hh: Weight | None  # None if an exporter folded the product with a zero state
    before: Vector | None
    biases: tuple[Weight, ...]


class RolledUp(NamedTuple):
    """The directions of the layers, and the outputs as functions of them."""

    chains: list[OnnxChain]
    outputs: list[Field]


def roll_up(
    outputs: list[Field], vectors: Iterable[Vector], steps: int, symbols: Symbols
) -> RolledUp:
    """Find the layers among all vectors of a graph, and express its outputs by them.

    All vectors are searched because a readout of the last step of a reverse layer depends only on
    the first of that layer's cells.
    """
    return _Roller(outputs, vectors, steps, symbols).run()


class _Roller:
    def __init__(
        self, outputs: list[Field], vectors: Iterable[Vector], steps: int, symbols: Symbols
    ) -> None:
        self._outputs = outputs
        self._steps = steps
        self._symbols = symbols
        self._chains: list[OnnxChain] = []
        self._places: dict[Vector, tuple[int, int]] = {}  # chain and step of each cell
        self._vectors = list(_all_vectors(vectors))

    def run(self) -> RolledUp:
        sources, everywhere = self._inputs()
        while sources:
            cells = self._readers(sources)
            lines = self._lines(cells)
            if not lines:
                break
            first = len(self._chains)
            for line in sorted(lines, key=lambda cells: cells[0].step):
                self._add_chain(line, everywhere)
            sources, everywhere = self._next_sources(lines, first)
        if not self._chains:
            raise UnsupportedModelError(self._nothing())
        return RolledUp(self._chains, [self._output(field) for field in self._outputs])

    def _nothing(self) -> str:
        if self._steps == 1:
            return (
                "x has one step in this graph, which leaves no recurrent matrix in it: export the"
                " model with an example of two steps or more"
            )
        return "no recurrent layer was found: expected RNN nodes, or a recurrence step by step"

    def _inputs(self) -> tuple[dict[Vector, int], Vector]:
        """Return the inputs that are read at each step, all in one scaling."""
        sources: dict[Vector, int] = {}
        forms: set[Vector] = set()
        for vector in self._vectors:
            if not isinstance(vector, Affine):
                continue
            for _, source in vector.terms:
                if (found := innermost(source)) is not None and found.step is not None:
                    sources[source] = found.step
                    forms.add(self._at_every_step(source))
        if len(forms) > 1:
            raise UnsupportedModelError("x is read in more than one scaling")
        return sources, next(iter(forms), None)  # type: ignore[return-value]

    def _at_every_step(self, source: Vector) -> Vector:
        def leaf(part: Vector) -> Vector | None:
            return self._symbols.input(part.size, None) if isinstance(part, Input) else None

        return self._symbols.rebuild(source, leaf)

    def _readers(self, sources: dict[Vector, int]) -> dict[Vector, _Cell]:
        """Return the cells that read a source: activations of sums with it."""
        cells: dict[Vector, _Cell] = {}
        for vector in self._vectors:
            if not isinstance(vector, Activated) or not isinstance(vector.source, Affine):
                continue
            if vector in self._places:  # its own layer's states are among the sources
                continue
            own = [term for term in vector.source.terms if term[1] in sources]
            others = [term for term in vector.source.terms if term[1] not in sources]
            if not own:
                continue
            if len(own) > 1 or len(others) > 1:
                raise UnsupportedModelError(
                    f"step {sources[own[0][1]]} of a layer adds more than an input and a state"
                )
            (W_xh, source), (W_hh, before) = own[0], (*others, (None, None))[0]
            biases = vector.source.biases
            cells[vector] = _Cell(vector, sources[source], W_xh, W_hh, before, biases)
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

    def _add_chain(self, line: list[_Cell], source: Vector) -> None:
        """Prove that a line of cells is a layer, and keep it."""
        steps = [cell.step for cell in line]
        forward = list(range(self._steps))
        if steps not in (forward, forward[::-1]):
            raise UnsupportedModelError(
                f"expected a recurrence over the steps 0 to {self._steps - 1}, got one over"
                f" {len(line)} steps from {steps[0]} to {steps[-1]}"
            )
        second, first = line[min(1, len(line) - 1)], line[0]
        for cell in line:
            what = f"step {cell.step} of layer {self._layer()}"
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
        index = len(self._chains)
        self._places |= {cell.vector: (index, cell.step) for cell in line}
        self._chains.append(
            OnnxChain(
                f"{len(line)} unrolled steps",
                source,
                direction,
                second.W_xh,
                second.W_hh,
                second.biases,
                second.vector.function,
                None if first.before is None else start_of(first.before),
            )
        )

    def _layer(self) -> int:
        return len({chain.source for chain in self._chains})

    def _next_sources(
        self, lines: list[list[_Cell]], first: int
    ) -> tuple[dict[Vector, int], Vector]:
        """Return the inputs of the next layer by step, and as one expression for every step."""
        by_step = [{cell.step: cell.vector for cell in line} for line in lines]
        if len(lines) == 2 and lines[0][0].step != 0:
            by_step.reverse()
        joined = {
            self._symbols.joined([cells[step] for cells in by_step]): step
            for step in range(self._steps)
        }
        H = lines[0][0].vector.size
        each = [self._symbols.hidden(H, first + i, "each") for i in range(len(lines))]
        return joined, self._symbols.joined(each)

    def _output(self, field: Field) -> Field:
        """Return an output as a function of layers, with its steps as one time axis."""
        for axis, kind in enumerate(field.kinds):
            place = field.item_axis(axis)
            if kind == "K" and field.items.shape[place] == self._steps > 1:
                items = np.moveaxis(field.items, place, 0)
                found = self._every_step(items)
                if found is not None:
                    kinds = (*field.kinds[:axis], "T", *field.kinds[axis + 1 :])
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
                        when = final_when(self._chains[index].direction)
                    else:
                        when = "first" if own == 0 else "last"
                    return self._symbols.hidden(part.size, index, when)
                raise UnsupportedModelError(f"an output reads only step {own} of a layer")
            if isinstance(part, Input):
                raise UnsupportedModelError("an output reads x directly")
            return None

        return self._symbols.rebuild(vector, leaf)


def innermost(vector: Vector) -> Input | None:
    """Return x if a vector is x in some scaling, else None."""
    for _ in range(3):
        if isinstance(vector, Input):
            return vector
        if not isinstance(vector, Scaled | Shifted):
            return None
        vector = vector.source
    return None


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


def _all_vectors(vectors: Iterable[Vector]) -> Iterator[Vector]:
    """Yield vectors and all vectors that they depend on, each once, without recursion."""
    seen: set[Vector] = set()
    left = list(vectors)
    while left:
        vector = left.pop()
        if vector in seen:
            continue
        seen.add(vector)
        yield vector
        if isinstance(vector, Affine):
            left += [source for _, source in vector.terms]
        elif isinstance(vector, Activated | Scaled | Shifted):
            left.append(vector.source)
        elif isinstance(vector, Joined):
            left += vector.parts
