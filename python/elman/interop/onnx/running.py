"""Run a model as its graph says: its inputs in order, its outputs in their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ArgumentError, DTypeError, ShapeError
from elman.interop.onnx.graph import read_graph
from elman.interop.onnx.reading import read_network
from elman.interop.onnx.recurrent import network_of, read_attributes
from elman.interop.onnx.values import Given, Hidden, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman.interop.onnx.assembling import Reading
    from elman.interop.onnx.graph import Graph, Proto, Reader
    from elman.interop.onnx.values import Field, Vector
    from elman.network import Network

    Array = NDArray[Any]
    Inputs = Sequence[Any] | Mapping[str, Any]


def runner(model: Proto, external: Reader) -> NodeRunner | ModelRunner:
    """Return what runs a model."""
    graph = read_graph(model, external)
    if [node.operator for node in graph.nodes] == ["RNN"]:
        return NodeRunner(graph)
    return ModelRunner(read_network(graph), graph)


def _by_name(inputs: Inputs, graph: Graph) -> dict[str, Array]:
    """Return the given inputs by their names."""
    names = list(graph.inputs)
    if not isinstance(inputs, Mapping):
        if len(inputs) != len(names):
            raise ArgumentError(f"inputs: expected {', '.join(names)}, got {len(inputs)} arrays")
        return {name: np.asarray(a) for name, a in zip(names, inputs, strict=True)}
    given = {name: np.asarray(inputs[name]) for name in inputs}
    for name in given:
        if name not in names and name not in graph.defaults:
            raise ArgumentError(f"inputs: expected {', '.join(names)}, got {name!r}")
    for name in names:
        if name not in given:
            raise ArgumentError(f"inputs: {name!r} is missing")
    return given


class NodeRunner:
    """Runs a graph of one node RNN, any of whose inputs may be given anew each time."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._node = graph.nodes[0]
        self._attributes = read_attributes(self._node.attributes, float)
        self._last: tuple[list[Array | None], Network] | None = None

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the graph."""
        values = self._graph.constants | _by_name(inputs, self._graph)
        X, W, R, B, lengths, initial = (
            [values[name] if name else None for name in self._node.inputs] + [None] * 5
        )[:6]
        if X is None or W is None or R is None:
            raise ArgumentError(f"{self._node}: expected X, W and R")
        net = self._network(W, R, B)
        dtype, x = X.dtype, _widened("X", X)
        if x.ndim != 3:
            raise ShapeError(f"X: expected 3 axes, got {x.shape}")
        if self._attributes.layout == 0:
            x = x.swapaxes(0, 1)
        D, H = len(self._attributes.directions), W.shape[1]
        state = None if initial is None else self._state(_widened("initial_h", initial), x, D, H)
        run = net.run(x, state=state, lengths=lengths)
        Y = run.output.reshape(*x.shape[:2], D, H)
        Y_h = run.state.reshape(len(x), D, H)
        if self._attributes.layout == 0:
            Y, Y_h = Y.transpose(1, 2, 0, 3), Y_h.swapaxes(0, 1)
        results = zip(self._node.outputs, (Y, Y_h), strict=False)
        made = {name: np.ascontiguousarray(array, dtype) for name, array in results if name}
        return [made[name] if name in made else values[name] for name in self._graph.outputs]

    def _network(self, W: Array, R: Array, B: Array | None) -> Network:
        """Return the network of these weights, the one before if they are the same objects."""
        weights = [W, R, B]
        if self._last is None or any(
            a is not b for a, b in zip(self._last[0], weights, strict=True)
        ):
            bias = None if B is None else _widened("B", B)
            net = network_of(_widened("W", W), _widened("R", R), bias, self._attributes)
            self._last = weights, net
        return self._last[1]

    def _state(self, initial: Array, x: Array, D: int, H: int) -> Array:
        if self._attributes.layout == 0 and initial.ndim == 3:
            initial = initial.swapaxes(0, 1)
        if initial.shape != (len(x), D, H):
            raise ShapeError(
                f"initial_h: expected {len(x)} sequences, {D} directions and {H} units, got a shape"
                f" of {initial.shape}"
            )
        return initial.reshape(len(x), D * H)


def _widened(name: str, array: Array) -> Array:
    """Return float32 or float64; narrower numbers are computed with as float32."""
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    raise DTypeError(f"{name}: expected float16, bfloat16, float32 or float64, got {array.dtype}")


class ModelRunner:
    """Runs the network of a graph in the graph's own shapes."""

    def __init__(self, reading: Reading, graph: Graph) -> None:
        self._reading = reading
        self._graph = graph
        net, chains = reading.network, reading.parts.chains
        sizes = [len(chains[index].W_hh.array) for index in reading.order]
        stops = np.cumsum(sizes)
        self._places = {
            index: slice(int(stop) - size, int(stop))
            for index, size, stop in zip(reading.order, sizes, stops, strict=True)
        }
        start = net.initial_state
        self._start = np.zeros(net.state_size, net.dtype) if start is None else start

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the graph."""
        given = _by_name(inputs, self._graph)
        parts, net = self._reading.parts, self._reading.network
        x = _ordered(given[parts.x], parts.x_kinds)
        lengths = None if parts.lengths is None else given[parts.lengths]
        when = "last" if self._reading.when == "last" else "all"
        run = net.run(x, state=self._state(given, len(x)), lengths=lengths, outputs=when)
        return [self._output(field, run.output, run.state) for field in parts.outputs.values()]

    def _state(self, given: dict[str, Array], batch: int) -> Array:
        """Return the start (B, state_size), from the inputs that say it."""
        state = np.tile(self._start, (batch, 1))
        for index, place in self._places.items():
            initial = self._reading.parts.chains[index].initial
            if isinstance(initial, Given) and initial.name in given:
                kinds = self._reading.parts.states[initial.name]
                array = given[initial.name]
                if initial.row is not None:
                    array = array.take(initial.row, kinds.index("K"))
                state[:, place] = array[..., initial.start : initial.start + initial.size]
        return state

    def _output(self, field: Field, y: Array, state: Array) -> Array:
        """Return an output: its items one beside the other, its axes in the graph's order."""
        items = [y if item is self._reading.y else self._final(item, state) for item in field.flat]
        letters = "".join(field.kinds)
        made = "K" * field.items.ndim + ("BTF" if items[0].ndim == 3 else "BF")
        result = np.stack(items).reshape(*field.items.shape, *items[0].shape)
        for letter in "BF":  # a graph for one sequence, or for one feature, may have no axis for it
            if letter not in letters:
                result = result.take(0, made.index(letter))
                made = made.replace(letter, "")
        order = _order(made, letters)
        result = result.transpose(order)
        sizes = iter(result.shape)
        return result.reshape([int(np.prod([next(sizes) for _ in kind])) for kind in field.kinds])

    def _final(self, vector: Vector, state: Array) -> Array:
        """Return the final states that a vector consists of."""
        places = [self._places[part.chain] for part in parts_of(vector) if isinstance(part, Hidden)]
        return np.concatenate([state[:, place] for place in places], axis=1)


def _ordered(x: Array, kinds: str) -> Array:
    """Return x as (B, T, F)."""
    if x.ndim != len(kinds):
        raise ShapeError(f"x: expected {len(kinds)} axes, got {x.shape}")
    for letter in "BTF":
        if letter not in kinds:
            x, kinds = x[..., None], kinds + letter
    return x.transpose([kinds.index(letter) for letter in "BTF"])


def _order(have: str, want: str) -> list[int]:
    """Return where each wanted letter is; equal letters keep their order."""
    left = list(range(len(have)))
    order = []
    for letter in want:
        place = next(index for index in left if have[index] == letter)
        left.remove(place)
        order.append(place)
    return order
