"""Read a graph: try each interpretation of its inputs until one is consistent."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import (
    ElmanError,
    LimitError,
    ModelFormatError,
    ShapeError,
    UnsupportedModelError,
)
from elman.interop.onnx import (  # noqa: F401 - they register the operators
    activations,
    arithmetic,
    axes,
    lengths,
    recurrent,
)
from elman.interop.onnx.assembling import OnnxModel, Reading, assemble
from elman.interop.onnx.fields import OF_LENGTHS, OPERATORS, Context, as_field, of_lengths
from elman.interop.onnx.graph import Graph, Meaning, Node, Tensor
from elman.interop.onnx.sorting import check_orders
from elman.interop.onnx.unrolled import Roller
from elman.interop.onnx.values import Field, Hidden, Symbols, as_array, objects, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman.interop.onnx.values import Value, Vector

_REASONS = {
    "LSTM": "cells with gates are not supported",
    "GRU": "cells with gates are not supported",
}
_ORDERS = {1: ["T"], 2: ["TF", "BT", "TB"], 3: ["TBF", "BTF"]}  # of the axes of x
_ID_ORDERS = {1: ["T"], 2: ["BT", "TB"]}  # of the axes of an x of integers
_MAX_INPUTS = 64  # x, and a state for each layer and direction
_STATE_ORDERS = {2: ["BF", "KF"], 3: ["KBF", "BKF"]}  # of the axes of a state


class _Failure(NamedTuple):
    progress: int
    error: ElmanError


def read_network(graph: Graph, *, rows: bool = False) -> Reading:
    """Return the network of a graph, and the meaning of its inputs and outputs.

    With `rows`, the network of a graph with an embedding reads rows of its table.
    """
    _refuse_unknown(graph.nodes)
    furthest: _Failure | None = None
    for meaning in _meanings(graph):
        outcome = _read_as(graph, meaning, rows)
        if isinstance(outcome, Reading):
            return outcome
        if furthest is None or outcome.progress > furthest.progress:
            furthest = outcome
    if furthest is None:
        raise UnsupportedModelError(
            "expected an input of real numbers with the axes time, batch and features, got"
            f" {reprlib.repr(list(graph.inputs))}"
        )
    raise furthest.error


def _refuse_unknown(nodes: list[Node]) -> None:
    known = {name: operator.newest for name, operator in OPERATORS.items()}
    known["If"] = 25
    for node in nodes:
        if node.operator not in known:
            reason = _REASONS.get(node.operator, "the operator is not supported")
            raise UnsupportedModelError(f"{node}: {reason}")
        if node.version > known[node.operator]:
            raise UnsupportedModelError(
                f"{node}: expected version {known[node.operator]} of this operator at most, got"
                f" {node.version}"
            )


def _meanings(graph: Graph) -> Iterator[Meaning]:
    """Yield every choice of x among the inputs, and of the order of axes."""
    used = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    inputs = {n: about for n, about in graph.inputs.items() if about.is_float and n in used}
    ids = {n: about for n, about in graph.inputs.items() if about.is_integer and n in used}
    if len(inputs) + len(ids) > _MAX_INPUTS:
        raise LimitError(f"expected at most {_MAX_INPUTS} numeric inputs, got {len(inputs)}")
    free = {n: about for n, about in graph.defaults.items() if about.is_float and _is_free(about)}
    for x, about in (inputs | ids).items():
        orders = _ID_ORDERS if about.is_integer else _ORDERS
        others = {name: a for name, a in (inputs | free).items() if name != x}
        ranks = {name: 3 if a.sizes is None else len(a.sizes) for name, a in others.items()}
        for kinds in orders.get(3 if about.sizes is None else len(about.sizes), []):
            for choice in range(2):
                if choice and not others:
                    break
                if all(rank in _STATE_ORDERS for rank in ranks.values()):
                    states = {name: _STATE_ORDERS[rank][choice] for name, rank in ranks.items()}
                    yield Meaning(x, kinds, about.is_integer, states)


def _is_free(about: Tensor) -> bool:
    """Return True if an initializer that is an input has a free size: it may be replaced."""
    return about.sizes is not None and None in about.sizes


def _read_as(graph: Graph, meaning: Meaning, rows: bool) -> Reading | _Failure:
    """Read the graph with one meaning of its inputs; on failure return the progress made."""
    progress = 0
    try:
        reader = _GraphReader(graph, meaning, rows)
        for progress, node in enumerate(graph.nodes):  # noqa: B007
            reader.apply(node)
        progress = len(graph.nodes)
        return reader.finish()
    except ElmanError as error:
        return _Failure(progress, error)


def _numbers(value: Value) -> Value:
    """Return sizes as integers if none of them is symbolic."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    known = all(isinstance(size, int) for size in value.ravel().tolist())
    return value.astype(np.int64) if known else value


class _GraphReader:
    def __init__(self, graph: Graph, meaning: Meaning, rows: bool) -> None:
        self._graph = graph
        self._meaning = meaning
        self._unrolled = graph.is_unrolled
        self._symbols = Symbols(
            items=64 * len(graph.nodes) + 2**16,
            numbers=4 * sum(array.size for array in graph.constants.values()) + 2**22,
        )
        x = self._x_sizes()
        self._steps = x.get("T")
        steps = None if self._unrolled else self._steps
        self._context = Context(self._symbols, x.get("B"), steps, rows, [], [], [], set())
        self._values: dict[str, Value] = {"": np.empty(0)}
        self._values |= self._constants()
        self._values |= self._inputs(x)

    def _x_sizes(self) -> dict[str, int | None]:
        """Return the sizes of x by the letters of its axes."""
        about = self._graph.inputs[self._meaning.x]
        kinds = self._meaning.x_kinds
        sizes = dict(zip(kinds, about.sizes or [None] * len(kinds), strict=True))
        if "F" not in sizes or self._meaning.ids:
            sizes["F"] = 1
        if sizes["F"] is None:
            sizes["F"] = self._features_of_first_layer()
        if not self._unrolled:
            return sizes
        if sizes["T"] is None:
            raise UnsupportedModelError(
                "no recurrent layer was found: expected RNN nodes, or a fixed number of steps in"
                f" the input {self._meaning.x!r} (Keras exports a free number as one step)"
            )
        if sizes["T"] > len(self._graph.nodes):
            raise UnsupportedModelError(
                f"no recurrent layer was found: expected RNN nodes, or {sizes['T']} steps"
            )
        return sizes

    def _features_of_first_layer(self) -> int:
        for node in self._graph.nodes:
            if node.operator == "RNN" and len(node.inputs) > 1:
                W = self._graph.constants.get(node.inputs[1])
                if W is not None and W.ndim == 3:
                    return int(W.shape[2])
        raise UnsupportedModelError(
            f"input {self._meaning.x!r}: expected a fixed number of features"
        )

    def _constants(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, array in self._graph.constants.items():
            values[name] = array
            self._symbols.name(array, name)
        return values

    def _inputs(self, x: dict[str, int | None]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, about in self._graph.inputs.items():
            if about.is_integer:
                values[name] = Field(("B",), as_array(self._symbols.length(name)))
        for name, kinds in self._meaning.states.items():
            values[name] = self._state(name, kinds)
        size = x["F"] or 0
        kinds = self._meaning.x_kinds.replace("T", "K") if self._unrolled else self._meaning.x_kinds
        if self._unrolled:
            steps = [self._x(size, step) for step in range(self._steps or 0)]
            items = objects(steps, (len(steps),))
        else:
            items = objects([self._x(size, None)], ())
        return values | {self._meaning.x: Field(tuple(kinds), items)}

    def _x(self, size: int, step: int | None) -> Vector:
        if self._meaning.ids:
            return self._symbols.id(step)
        return self._symbols.input(size, step)

    def _state(self, name: str, kinds: str) -> Field:
        about = (self._graph.inputs | self._graph.defaults)[name]
        sizes = dict(zip(kinds, about.sizes or [None] * len(kinds), strict=True))
        size, rows = sizes["F"], sizes.get("K")
        if size is None or (rows is None and "K" in kinds):
            raise UnsupportedModelError(
                f"input {name!r}: expected a state with a fixed number of layers and features"
            )
        if "K" not in kinds:
            return Field(tuple(kinds), objects([self._symbols.given(size, name, None)], ()))
        self._symbols.spend(rows or 0)
        given = [self._symbols.given(size, name, row) for row in range(rows or 0)]
        return Field(tuple(kinds), objects(given, (len(given),)))

    def apply(self, node: Node) -> None:
        """Evaluate a node; errors name it."""
        inputs = [self._values[name] if name else None for name in node.inputs]
        try:
            if node.operator == "If":
                outputs = self._chosen(node, inputs)
            else:
                outputs = OPERATORS[node.operator].apply(node, inputs, self._context)
        except ElmanError as error:
            raise type(error)(f"{node}: {error}") from error
        except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
            reason = reprlib.repr(str(error))[1:-1]
            raise ModelFormatError(f"{node}: its inputs do not fit ({reason})") from error
        for name, value in zip(node.outputs, outputs, strict=False):
            self._values[name] = _numbers(value)
        for name in node.outputs[len(outputs) :]:
            if name:
                self._values[name] = np.empty(0)

    def _chosen(self, node: Node, inputs: list[Value | None]) -> list[Value]:
        """Return the outputs of the branch that a constant condition chooses."""
        condition = inputs[0] if inputs else None
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise UnsupportedModelError("its condition is not constant")
        branch = node.attributes["then_branch" if condition.all() else "else_branch"]
        _refuse_unknown(branch.nodes)
        self._values |= branch.constants
        for inner in branch.nodes:
            self.apply(inner)
        return [self._values[name] for name in branch.outputs]

    def finish(self) -> Reading:
        """Return the network that computes the outputs."""
        check_orders(self._graph, self._values)
        fields = [as_field(self._values[name], self._symbols) for name in self._graph.outputs]
        if any(map(of_lengths, fields)):
            raise UnsupportedModelError(OF_LENGTHS)
        halves = self._context.halves
        mask = None
        names: dict[Vector, str] = {}
        alone: set[Vector] = set()  # vectors that have the name of a tensor with nothing else
        for name, value in self._values.items():
            if not isinstance(value, Field):
                continue
            for vector in value.flat:
                if vector not in alone:
                    names[vector] = name
                    alone |= {vector} if value.items.size == 1 else set()
        if self._unrolled:
            halves, fields, mask = Roller(fields, names, self._steps or 0, self._symbols).run()
        said = self._context.lengths or {None}
        if len(said) > 1:
            raise UnsupportedModelError("the layers differ in their sequence_lens")
        counted = [
            n for n, a in self._graph.inputs.items() if a.is_integer and n != self._meaning.x
        ]
        ends = any(
            isinstance(part, Hidden) and part.when == "end"
            for field in fields
            for part in walk(field.flat)
        )
        model = OnnxModel(
            self._graph,
            self._meaning,
            self._context,
            halves,
            outputs=dict(zip(self._graph.outputs, fields, strict=True)),
            lengths=next(iter(said)) or (counted[0] if ends and counted else None),
            padded=said != {None},
            mask=mask,
            names=names,
        )
        try:
            return assemble(model, self._symbols)
        except ShapeError as error:
            raise ModelFormatError(str(error)) from error
