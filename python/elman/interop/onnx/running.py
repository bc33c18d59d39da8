"""Run ONNX models in ONNX Runtime, or in onnx's reference evaluator if that is unsupported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from elman.errors import UnsupportedModelError
from elman.interop._source import Trace

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.interop._source import Taps
    from elman.interop.onnx.assembling import Reading


def run(proto: Any, reading: Reading, x: Array, taps: Taps = None) -> Trace:
    """Run a model on inputs (B, T, I), with zero initial states if it has such inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    nodes = [node for node in model.graph.node if node.op_type == "RNN"]
    names = _listen(model, nodes)
    wanted = [*names, *(output.name for output in model.graph.output if output.name not in names)]
    framework, results = _evaluate(model, wanted, _inputs(model, reading, x))
    found = dict(zip(wanted, results, strict=True))
    return Trace(
        framework,
        [_states(node, found[name]) for node, name in zip(nodes, names, strict=True)],
        _output(reading, found),
        _biases(model, nodes),
    )


def _about(model: Any, name: str) -> Any:
    """Return the type and the shape of an input."""
    (about,) = [i.type.tensor_type for i in model.graph.input if i.name == name]
    return about


def _listen(model: Any, nodes: list[Any]) -> list[str]:
    """Make the states of every RNN node an output of the model, and return their names."""
    names = []
    outputs = {output.name for output in model.graph.output}
    for index, node in enumerate(nodes):
        if not node.output:
            node.output.append("")
        node.output[0] = node.output[0] or f"states of node {index}"
        if node.output[0] not in outputs:
            model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
        names.append(node.output[0])
    return names


def _inputs(model: Any, reading: Reading, x: Array) -> dict[str, Array]:
    parts = reading.parts
    B, T, I = x.shape
    given = {}
    for name in {i.name for i in model.graph.input} - {i.name for i in model.graph.initializer}:
        if name == parts.x:
            letters = [letter for letter in "BTF" if letter in parts.x_kinds]
            array = x.reshape([{"B": B, "T": T, "F": I}[letter] for letter in letters])
            given[name] = array.transpose([letters.index(letter) for letter in parts.x_kinds])
        elif name == parts.lengths:
            kind = _about(model, name).elem_type
            given[name] = np.full(B, T, onnx.helper.tensor_dtype_to_np_dtype(kind))
        elif name in parts.states:
            axes = zip(parts.states[name], _about(model, name).shape.dim, strict=True)
            given[name] = np.zeros([B if k == "B" else d.dim_value or 1 for k, d in axes], x.dtype)
    return given


def _evaluate(
    model: Any,
    wanted: list[str],
    inputs: dict[str, Array],
) -> tuple[str, list[Array]]:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
    else:
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Missing

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        except Missing:  # RNN in float64
            pass
        else:
            return f"ONNX Runtime {onnxruntime.__version__}", session.run(wanted, inputs)
    from onnx.reference import ReferenceEvaluator

    name = f"the evaluator of onnx {onnx.__version__}"
    return name, list(ReferenceEvaluator(model).run(wanted, inputs))


def _states(node: Any, Y: Array) -> Array:
    """Return the states (B, T, D H) from Y."""
    layout = next((a.i for a in node.attribute if a.name == "layout"), 0)
    Y = Y if layout else Y.transpose(2, 0, 1, 3)
    return Y.reshape(*Y.shape[:2], -1)


def _output(reading: Reading, found: dict[str, Array]) -> Array:
    """Return the outputs of every step (B, T, O), or of the last one (B, O)."""
    for name, field in reading.parts.outputs.items():
        if reading.y is not None and reading.y in field.flat:
            result, kinds = found[name], list(field.kinds)
            for axis in reversed(range(len(kinds))):
                if kinds[axis] == "K":
                    result = result.take(0, axis)
                    del kinds[axis]
            for letter in "BF":
                if letter not in kinds:
                    result, kinds = result[..., np.newaxis], [*kinds, letter]
            return result.transpose([kinds.index(letter) for letter in "BTF" if letter in kinds])
    raise UnsupportedModelError("source: expected a model with outputs, got only states")


def _biases(model: Any, nodes: list[Any]) -> list[Array]:
    weights = {i.name: i for i in model.graph.initializer}
    named = [node.input[3] for node in nodes if len(node.input) > 3 and node.input[3] in weights]
    rows = [row for name in named for row in numpy_helper.to_array(weights[name])]
    return [half for row in rows for half in np.split(row, 2)]
