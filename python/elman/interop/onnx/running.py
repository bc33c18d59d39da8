"""Run ONNX models in ONNX Runtime, or in onnx's reference evaluator if that is unsupported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from elman.activation import TABLE
from elman.errors import UnsupportedModelError
from elman.interop._ids import ids_of
from elman.interop._source import Trace
from elman.interop.onnx.activations import FUNCTIONS
from elman.interop.onnx.values import decimal
from elman.reference.activations import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._typing import Array
    from elman.interop._source import Taps
    from elman.interop.onnx.assembling import Reading


def run(proto: Any, reading: Reading, x: Array, taps: Taps = None) -> Trace:
    """Run a model on inputs (B, T, I), with zero initial states if it has such inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    nodes = [node for node in model.graph.node if node.op_type == "RNN"]
    names = _listen(model, nodes)
    taps = tuple(names) if taps is None else _with_nodes(taps, names)
    given, used = _inputs(model, reading, x)
    steps = [name for tap in taps if tap for name in ([tap] if isinstance(tap, str) else tap)]
    outputs = [output.name for output in model.graph.output]
    for name in steps:
        if name not in outputs:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    wanted = list(dict.fromkeys([*steps, *outputs]))
    framework, results = _evaluate(model, wanted, given)
    found = {name: _array(result) for name, result in zip(wanted, results, strict=True)}
    of_node = dict(zip(names, nodes, strict=True))
    return Trace(
        framework,
        [_tapped(tap, found, of_node, reading, x) for tap in taps],
        _output(reading, found),
        _biases(model, nodes),
        used,
        _half_precision(model, reading),
    )


def _with_nodes(taps: tuple[str | tuple[str, ...] | None, ...], names: list[str]) -> Any:
    """Return taps in which a layer without one has the states of the RNN node of its place."""
    if len(taps) != len(names):
        return taps
    return tuple(name if tap is None else tap for tap, name in zip(taps, names, strict=True))


def _tapped(
    tap: str | tuple[str, ...] | None,
    found: dict[str, Array],
    nodes: dict[str, Any],
    reading: Reading,
    x: Array,
) -> Array | None:
    """Return the states (B, T, H) that a tap names, or None."""
    B, T = x.shape[:2]
    if tap is None:
        return None
    if isinstance(tap, tuple):
        if all(name in nodes for name in tap):
            return np.concatenate([_states(nodes[name], found[name]) for name in tap], axis=-1)
        if len(set(tap)) < len(tap):
            return None  # a value that holds several steps, in an order of its own
        steps = [found[name].reshape(B, -1) for name in tap]
        halves = [np.stack(steps[k : k + T], axis=1) for k in range(0, len(steps), T)]
        return np.concatenate(halves, axis=-1)
    if tap in nodes:
        return _states(nodes[tap], found[tap])
    values = found[tap]
    sizes = [n for n in values.shape[:-1] if n > 1]
    kinds = "TB" if "TB" in reading.model.inputs.x_kinds else "BT"
    orders = {"BT": [n for n in (B, T) if n > 1], "TB": [n for n in (T, B) if n > 1]}
    for kind in (kinds, kinds[::-1]):
        if sizes == orders[kind]:
            values = values.reshape(*((B, T) if kind == "BT" else (T, B)), values.shape[-1])
            return values if kind == "BT" else values.swapaxes(0, 1)
    return None


def _half_precision(model: Any, reading: Reading) -> str | None:
    """Return the type of 16 bits in which a graph computes or stores values."""
    kinds = {
        onnx.TensorProto.DataType.Name(i.data_type).lower() for i in model.graph.initializer
    } | {name.lower() for name in reading.model.context.rounds}
    return next((kind for kind in ("bfloat16", "float16") if kind in kinds), None)


def _array(result: Any) -> Array:
    """Return a result as an array, half precision as float32."""
    array = np.asarray(result)
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


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


def _inputs(model: Any, reading: Reading, x: Array) -> tuple[dict[str, Array], Array | None]:
    """Return the inputs by name, and x if the model reads indices of it instead."""
    about, used = reading.model, None
    B, T = x.shape[:2]
    given = {}
    for name in {i.name for i in model.graph.input} - {i.name for i in model.graph.initializer}:
        if name == about.inputs.x:
            array = x
            if about.inputs.ids:
                array, used = _ids(model, reading, x)
            letters = [letter for letter in "BTF" if letter in about.inputs.x_kinds]
            array = array.reshape([{"B": B, "T": T, "F": -1}[letter] for letter in letters])
            array = array.transpose([letters.index(letter) for letter in about.inputs.x_kinds])
            given[name] = array.astype(_numpy(_about(model, name)))
        elif name == about.lengths:
            given[name] = np.full(B, T, _numpy(_about(model, name)))
        elif name in about.inputs.states:
            axes = zip(about.inputs.states[name], _about(model, name).shape.dim, strict=True)
            sizes = [B if k == "B" else d.dim_value or 1 for k, d in axes]
            given[name] = np.zeros(sizes, _numpy(_about(model, name)))
    return given, used


def _numpy(about: Any) -> Any:
    return onnx.helper.tensor_dtype_to_np_dtype(about.elem_type)


def _ids(model: Any, reading: Reading, x: Array) -> tuple[Array, Array]:
    """Return the indices that an embedding reads, and the inputs of these indices."""
    tables = reading.model.context.tables
    if not tables:
        ids = x.argmax(axis=-1)
        return ids, np.eye(x.shape[-1], dtype=x.dtype)[ids]
    (table,) = (i for i in model.graph.initializer if i.name == tables[0])
    return ids_of(x, numpy_helper.to_array(table))


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
    with np.errstate(all="ignore"):
        return name, list(ReferenceEvaluator(model, new_ops=[_rnn()]).run(wanted, inputs))


def _rnn() -> type:
    """Return onnx's own RNN with all activations and with clip, of which it has two and none."""
    from onnx.reference.ops.op_rnn import RNN_14

    class RNN(RNN_14):  # type: ignore[misc]
        def choose_act(self, name: str, alpha: Any, beta: Any) -> Callable[[Array], Array]:
            ours = next(f for theirs, f in FUNCTIONS.items() if theirs.lower() == name.lower())
            given = {"alpha": alpha, "beta": beta}
            numbers = {
                key: usual if given[key] is None else decimal(np.float32(given[key]))
                for key, usual in TABLE[ours].numbers.items()
            }
            clip = np.inf if self.clip is None else decimal(np.float32(self.clip))
            return lambda z: ACTIVATIONS[ours](np.clip(z, -clip, clip), **numbers)

    return RNN


def _states(node: Any, Y: Array) -> Array:
    """Return the states (B, T, D H) from Y."""
    layout = next((a.i for a in node.attribute if a.name == "layout"), 0)
    Y = Y if layout else Y.transpose(2, 0, 1, 3)
    return Y.reshape(*Y.shape[:2], -1)


def _output(reading: Reading, found: dict[str, Array]) -> Array:
    """Return the outputs of every step (B, T, O), or of the last one (B, O)."""
    for name, field in reading.model.outputs.items():
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
