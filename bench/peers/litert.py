"""LiteRT: its operators of an RNN, and `FULLY_CONNECTED` unrolled over the steps.

The model file is built from its schema, since the converter is part of TensorFlow.

ns per step at (16, 32, 4): the private `Invoke` with views of its memory 857; the public calls
`set_tensor`, `invoke` and `get_tensor` 1437, with `tensor` instead 1898; products instead of `RNN`
974. Of a sequence of 1000 steps 212 in private and 214 in public calls, so only steps have both.
A sequence at H = 16, 32, 256 by the operator 80, 207, 12216; unrolled 200, 358, 13345. A batch of
64 by the operator 62, 208, 18393; unrolled 18, 38, 2413.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step
    from elman.cli.timing.weights import Weights

    Array = NDArray[Any]

OPERATORS = schema.BuiltinOperator
PRIVATE, PUBLIC = "private Invoke", "public calls"
TANH = schema.ActivationFunctionType.TANH


class Graph:
    """A model file that is built tensor by tensor and operator by operator."""

    def __init__(self) -> None:
        self.buffers, self.tensors, self.operators = [schema.BufferT()], [], []
        self.codes: list[int] = []

    def tensor(self, shape: tuple[int, ...], data: Array | None = None, state: bool = False) -> int:
        """Add a tensor: a constant, a state that stays between calls, or a value."""
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape = f"t{len(self.tensors)}".encode(), list(shape)
        tensor.type, tensor.isVariable = schema.TensorType.FLOAT32, state
        if data is not None:
            if data.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        tensor.buffer = len(self.buffers)
        self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: Array) -> int:
        return self.tensor(array.shape, array)

    def add(self, code: int, inputs: list[int], shape: tuple[int, ...], options: Any = None) -> int:
        """Add an operator, and return the tensor of its results."""
        return self.add_many(code, inputs, [shape], options)[0]

    def add_many(
        self, code: int, inputs: list[int], shapes: list[tuple[int, ...]], options: Any = None
    ) -> list[int]:
        """Add an operator with several results, and return their tensors."""
        operator = schema.OperatorT()
        if code not in self.codes:
            self.codes.append(code)
        operator.opcodeIndex, operator.inputs = self.codes.index(code), inputs
        operator.outputs = [self.tensor(shape) for shape in shapes]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.operators.append(operator)
        return operator.outputs

    def product(self, x: int, W: int, b: int, rows: int) -> int:
        """Add x W' + b of constants W and b, and return its tensor (rows, outputs)."""
        (outputs,) = self.tensors[b].shape
        options = schema.FullyConnectedOptionsT()
        return self.add(OPERATORS.FULLY_CONNECTED, [x, W, b], (rows, outputs), options)

    def readout(self, w: Weights, h: int, rows: int) -> int:
        """Add the readout of h (rows, H), and return y (rows, O)."""
        y = self.product(h, self.constant(w.W_hy), self.constant(w.b_y), rows)
        return self.add(OPERATORS.LOGISTIC, [y], (rows, len(w.b_y))) if w.sigmoid else y

    def packed(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the file of the graph from some tensors to others."""
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = inputs, outputs
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = [schema.OperatorCodeT() for _ in self.codes]
        for found, code in zip(model.operatorCodes, self.codes, strict=True):
            found.builtinCode, found.version = code, 1
            found.deprecatedBuiltinCode = min(code, 127)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def model(net: Network, n: int, T: int | None = None) -> bytes:
    """Return a model of n rows that keep their states: one step, or T steps with time first."""
    w, graph = _float32(net), Graph()
    leading = (n,) if T is None else (T, n)
    x = below = graph.tensor((*leading, net.input_size))
    for W_xh, W_hh, b_h, _ in w.layers:
        if T is None:
            code, options = OPERATORS.RNN, schema.RNNOptionsT()
        else:
            code, options = OPERATORS.UNIDIRECTIONAL_SEQUENCE_RNN, schema.SequenceRNNOptionsT()
            options.timeMajor = True
        options.fusedActivationFunction = TANH
        state = graph.tensor((n, len(b_h)), state=True)
        inputs = [below, *map(graph.constant, (W_xh, W_hh, b_h)), state]
        below = graph.add(code, inputs, (*leading, len(b_h)), options)
    return graph.packed([x], [graph.readout(w, below, n * (T or 1))])


def unrolled(net: Network, n: int, T: int) -> bytes:
    """Return a model of T steps of n rows, with time first: a product for each step."""
    w, graph = _float32(net), Graph()
    x = below = graph.tensor((T, n, net.input_size))
    axis = graph.constant(np.array(0, np.int32))
    for W_xh, W_hh, b_h, _ in w.layers:
        H = len(b_h)
        u = graph.product(below, graph.constant(W_xh), graph.constant(b_h), T * n)
        W, zero = graph.constant(W_hh), graph.constant(0 * b_h)
        options = schema.SplitOptionsT()
        options.numSplits = T
        steps = graph.add_many(OPERATORS.SPLIT, [axis, u], [(n, H)] * T, options)
        states = []
        for u_t in steps:
            if states:
                r = graph.product(states[-1], W, zero, n)
                u_t = graph.add(OPERATORS.ADD, [u_t, r], (n, H), schema.AddOptionsT())
            states.append(graph.add(OPERATORS.TANH, [u_t], (n, H)))
        options = schema.ConcatenationOptionsT()
        below = graph.add(OPERATORS.CONCATENATION, states, (T * n, H), options)
    return graph.packed([x], [graph.readout(w, below, T * n)])


def _float32(net: Network) -> Weights:
    """Return the weights; raise Unsupported for other networks than these models compute."""
    w = weights(net)
    if net.dtype != np.float32 or any(layer.h_0.any() for layer in w.layers):
        raise Unsupported("is run in float32 and from a zero state only")
    return w


class Model:
    """A model in an interpreter; `inputs` and `outputs` are views of its memory."""

    def __init__(self, content: bytes) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = (
            [self.interpreter.tensor(one["index"])() for one in details]
            for details in (
                self.interpreter.get_input_details(),
                self.interpreter.get_output_details(),
            )
        )
        # `invoke` refuses to run while there are views of its memory.
        self.invoke = self.interpreter._interpreter.Invoke
        self.reset = self.interpreter.reset_all_variables


class LiteRT(Peer):
    """Inputs and outputs in the memory of the interpreter, or copied by public calls."""

    def __init__(self, net: Network) -> None:
        self.net, self.one = net, model(net, 1)
        self.of = functools.cache(lambda make, n, T: Model(make(net, n, T)))

    def input(self, x: Array) -> Array:
        """Return x with time first; a step takes its rows."""
        return np.ascontiguousarray(x if x.ndim == 2 else x.swapaxes(0, 1))

    def steps(self) -> dict[str, Step]:
        model = Model(self.one)
        (x,), (y,), invoke = model.inputs, model.outputs, model.invoke

        def step(x_t: Array) -> Array:
            x[0] = x_t
            invoke()
            return y

        step.model = model  # keeps the memory
        return {PRIVATE: step, PUBLIC: self._public_step()}

    def _public_step(self) -> Step:
        interpreter = Interpreter(model_content=self.one, num_threads=1)
        interpreter.allocate_tensors()
        (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
        x, y, invoke = x["index"], y["index"], interpreter.invoke
        set_tensor, get_tensor = interpreter.set_tensor, interpreter.get_tensor

        def step(x_t: Array) -> Array:
            set_tensor(x, x_t[np.newaxis])
            invoke()
            return get_tensor(y)

        return step

    def runs(self) -> dict[str, Callable[[Array], Array]]:
        makes = {"UNIDIRECTIONAL_SEQUENCE_RNN": model, "unrolled products": unrolled}
        return {mode: functools.partial(self._run, make) for mode, make in makes.items()}

    def _run(self, make: Any, x: Array) -> Array:
        T, n = len(x), 1 if x.ndim == 2 else x.shape[1]
        model = self.of(make, n, T)
        model.reset()
        (inputs,), (outputs,) = model.inputs, model.outputs
        inputs[:] = x.reshape(inputs.shape)
        model.invoke()
        return outputs.reshape(T, n, -1)

    def output(self, y: Array) -> Array:
        return y.swapaxes(0, 1).squeeze() if y.ndim == 3 else y


PEER = LiteRT
