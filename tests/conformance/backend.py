"""elman as a backend of ONNX, for ONNX's own tests and for the cases of this suite.

It has the interface of `onnx.backend.base`, with the inputs and outputs of the graph. In a graph of
one RNN node, any input of the node may be an input of the graph, weights included; other graphs
run if `elman.from_onnx` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from elman import Network
from elman.errors import ArgumentError, DTypeError, ElmanError, ShapeError
from elman.interop._source import total
from elman.interop.onnx.file import load
from elman.interop.onnx.graph import read_graph
from elman.interop.onnx.reading import read_network
from elman.interop.onnx.recurrent import activation_of, read_attributes, split_weights
from elman.interop.onnx.values import Function, Given, Hidden, parts_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman import Activation
    from elman.interop.onnx.assembling import Reading
    from elman.interop.onnx.graph import Graph
    from elman.interop.onnx.recurrent import Attributes
    from elman.interop.onnx.values import Field, Vector

    Array = NDArray[Any]
    Inputs = Sequence[Any] | Mapping[str, Any]
    Proto = Any  # of onnx, whose types are not read


class PreparedModel(BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: Proto, *, external_data: bool = False) -> None:
        self._runner = runner(load(model, external_data=external_data))

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **kwargs: object) -> tuple[Any, ...]:
        """Return the outputs of the graph."""
        return tuple(self._runner.run(inputs))


class ElmanBackend(Backend):
    """The backend: graphs of one RNN with all options, and graphs that `from_onnx` reads."""

    @classmethod
    def is_compatible(cls, model: Proto, device: str = "CPU", **kwargs: object) -> bool:
        """Return whether a model can be run."""
        try:
            cls.prepare(model, device)
        except ElmanError:
            return False
        return True

    @classmethod
    def prepare(
        cls,
        model: os.PathLike[str] | str | bytes | Proto,
        device: str = "CPU",
        *,
        external_data: bool = False,
        **kwargs: object,
    ) -> PreparedModel:
        """Return a model that is ready to run."""
        if not cls.supports_device(device):
            raise ArgumentError(f"device: expected 'CPU', got {device!r}")
        return PreparedModel(model, external_data=external_data)

    @classmethod
    def run_node(
        cls,
        node: Proto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: object = None,
        **kwargs: object,
    ) -> tuple[NDArray[Any], ...]:
        """Run one node on the inputs that it names."""
        arrays = [np.asarray(value) for value in inputs]
        helper = onnx.helper
        values = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip([n for n in node.input if n], arrays, strict=True)
        ]
        outputs = [
            helper.make_tensor_value_info(n, values[0].type.tensor_type.elem_type, None)
            for n in node.output
            if n
        ]
        model = helper.make_model(helper.make_graph([node], "node", values, outputs))
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether the device is the CPU."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


is_compatible = ElmanBackend.is_compatible
prepare = ElmanBackend.prepare
run_model = ElmanBackend.run_model
run_node = ElmanBackend.run_node
supports_device = ElmanBackend.supports_device


def runner(model: Proto) -> NodeRunner | ModelRunner:
    """Return the runner for a model."""
    graph = read_graph(model)
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
    """Runs a graph of one RNN node; any input of the node may be an input of the graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._node = graph.nodes[0]
        self._attributes = read_attributes(self._node.attributes)
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
        """Return the network of these weights, cached for the same objects."""
        weights = [W, R, B]
        if self._last is None or any(
            a is not b for a, b in zip(self._last[0], weights, strict=True)
        ):
            bias = None if B is None else _widened("B", B)
            net = _network_of(_widened("W", W), _widened("R", R), bias, self._attributes)
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


def _network_of(W: Array, R: Array, B: Array | None, attributes: Attributes) -> Network:
    """Return the network of one RNN: a layer without a readout."""
    layers = [
        (part.W_xh, part.W_hh, total(part.biases).astype(W.dtype) if part.biases else None)
        for part in split_weights(W, R, B, attributes)
    ]
    activations = [_activation(function) for function in attributes.functions]
    if len(layers) == 2:
        forward, reverse = activations
        return Network.from_weights(
            [(layers[0], layers[1])],
            None,
            activation=[(forward, reverse)],
            direction="bidirectional",
            allow_nonfinite=True,
        )
    return Network.from_weights(
        layers,
        None,
        activation=activations,
        direction=attributes.directions[0],
        allow_nonfinite=True,
    )


def _activation(function: Function) -> Activation:
    """Return an activation with the float32 values of the attributes (`from_onnx` has decimals)."""
    name, *numbers = function
    exact = [None if number is None else float(np.float32(number)) for number in numbers]
    return activation_of(Function(name, *exact))


def _widened(name: str, array: Array) -> Array:
    """Return float32 or float64; narrower types are computed in float32."""
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
        net = reading.network
        self._places = reading.places
        start = net.initial_state
        self._start = np.zeros(net.state_size, net.dtype) if start is None else start

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the graph."""
        given = _by_name(inputs, self._graph)
        model, net = self._reading.model, self._reading.network
        x = _ordered(given[model.inputs.x], model.inputs.x_kinds)
        integers, x = x, self._vectors(x)
        outputs = "all" if self._reading.when in ("each", None) else "last"
        real: dict[str, Any] = {}
        if model.lengths is not None:
            lengths = np.asarray(given[model.lengths])
            if self._reading.when == "end":
                real = {"lengths": lengths}
            else:
                real = {"mask": np.arange(x.shape[1]) < lengths[:, None]}
        if model.mask is not None:
            real = {"mask": (integers != model.mask.number).any(-1)}
        run = net.run(x, state=self._state(given, len(x)), outputs=outputs, **real)
        return [self._output(field, run.output, run.state) for field in model.outputs.values()]

    def _vectors(self, x: Array) -> Array:
        """Return one-hot vectors for integers."""
        if not self._reading.model.inputs.ids:
            return x
        return np.eye(self._reading.network.input_size, dtype=np.float32)[x[..., 0]]

    def _state(self, given: dict[str, Array], batch: int) -> Array:
        """Return the initial state (B, state_size) from the inputs."""
        state = np.tile(self._start, (batch, 1))
        for index, place in self._places.items():
            initial = self._reading.model.halves[index].initial
            if isinstance(initial, Given) and initial.name in given:
                kinds = self._reading.model.inputs.states[initial.name]
                array = given[initial.name]
                if initial.row is not None:
                    array = array.take(initial.row, kinds.index("K"))
                state[:, place] = array[..., initial.start : initial.start + initial.size]
        return state

    def _output(self, field: Field, y: Array, state: Array) -> Array:
        """Return an output: its items concatenated, its axes in the graph's order."""
        items = [y if item is self._reading.y else self._final(item, state) for item in field.flat]
        letters = "".join(field.kinds).replace("R", "T")
        made = "K" * field.items.ndim + ("BTF" if items[0].ndim == 3 else "BF")
        result = np.stack(items).reshape(*field.items.shape, *items[0].shape)
        for letter in "BF":  # a graph for one sequence or one feature may lack that axis
            if letter not in letters:
                result = result.take(0, made.index(letter))
                made = made.replace(letter, "")
        order = _order(made, letters)
        result = result.transpose(order)
        if "R" in field.kinds:
            result = np.flip(result, letters.index("T"))
        sizes = iter(result.shape)
        return result.reshape([int(np.prod([next(sizes) for _ in kind])) for kind in field.kinds])

    def _final(self, vector: Vector, state: Array) -> Array:
        """Return the final states in a vector."""
        places = [self._places[part.half] for part in parts_of(vector) if isinstance(part, Hidden)]
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
    """Return the position of each wanted letter; equal letters keep their order."""
    left = list(range(len(have)))
    order = []
    for letter in want:
        place = next(index for index in left if have[index] == letter)
        left.remove(place)
        order.append(place)
    return order
