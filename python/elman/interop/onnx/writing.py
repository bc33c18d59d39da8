"""Write a network as an ONNX model.

The graph reads `x` (T, B, I) and `state` (B, state_size) and returns `y` (T, B, O) and
`next_state`, with T and B free. To stream, feed `next_state` back as `state`. Each layer is an RNN
node. `state` is also an initializer, one row of the network's initial state, and so is optional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ArgumentError
from elman.interop.onnx import table
from elman.interop.onnx.activations import FUNCTIONS
from elman.interop.onnx.file import import_onnx

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from elman._network import Network
    from elman._parameters import Layer
    from elman.activation import Activation

    Proto = Any

# RNN has `layout` since 14; Split needs `num_outputs` from 18. ONNX Runtime of 2023 runs 17.
_OPSET = 17
_IR_VERSION = 8

_ONNX_NAMES = {ours: name for name, ours in FUNCTIONS.items()} | {
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
}


def write(net: Network) -> Proto:
    """Return a network as a ModelProto."""
    return _Writer(net).model()


class _Writer:
    def __init__(self, net: Network) -> None:
        self._onnx = import_onnx()
        self._net = net
        self._nodes: list[Proto] = []
        self._constants: list[Proto] = []

    def model(self) -> Proto:
        helper = self._onnx.helper
        net = self._net
        h, finals = self._input_scaling("x"), []
        for index, (layer, state) in enumerate(zip(net.layers, self._start_states(), strict=True)):
            h, final = self._layer(index, layer, h, state)
            finals.append(final)
        y = self._output_scaling(self._readout(h))
        self._node("Identity", [y], ["y"])
        self._node("Concat", finals, ["next_state"], axis=1)
        features = [net.input_size, net.output_size]
        x, y = (self._value(n, "time", "batch", f) for n, f in zip("xy", features, strict=True))
        graph = helper.make_graph(
            self._nodes,
            "elman",
            [x, self._value("state", "rows", net.state_size)],
            [y, self._value("next_state", "batch", net.state_size)],
            self._constants,
            doc_string=__doc__,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="elman",
        )
        about = {f"user.{key}": value for key, value in net.metadata.items()}
        helper.set_model_props(model, about | table.props_of(net))
        self._onnx.checker.check_model(model, full_check=True)
        return model

    def _node(
        self, operator: str, inputs: list[str], outputs: list[str], **attributes: object
    ) -> str:
        name = f"{outputs[0] or outputs[1]}/{operator}"
        make = self._onnx.helper.make_node
        self._nodes.append(make(operator, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def _constant(self, name: str, values: ArrayLike, dtype: DTypeLike | None = None) -> str:
        array = np.array(values, dtype or self._net.dtype, order="C")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _value(self, name: str, *shape: int | str) -> Proto:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(self._net.dtype)
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def _start_states(self) -> list[str]:
        """Return the initial state of each layer, (1, B, H) or (2, B, H), as slices of `state`."""
        net = self._net
        start = np.zeros(net.state_size) if net.initial_state is None else net.initial_state
        self._constant("state", start[None])
        self._node("Shape", ["x"], ["batch"], start=1, end=2)
        self._constant("state_size", [net.state_size], np.int64)
        self._node("Concat", ["batch", "state_size"], ["state_shape"], axis=0)
        self._node("Expand", ["state", "state_shape"], ["every_state"])
        halves = [(i, half) for i, layer in enumerate(net.layers) for half in _halves(layer)]
        pieces = [f"state.{place}" for place in range(len(halves))]
        self._constant("state_pieces", [len(half.W_hh) for _, half in halves], np.int64)
        self._constant("axis_0", [0], np.int64)
        self._constant("axis_1", [1], np.int64)
        self._node("Split", ["every_state", "state_pieces"], pieces, axis=1)
        states: list[list[str]] = [[] for _ in net.layers]
        for piece, (index, _) in zip(pieces, halves, strict=True):
            states[index].append(self._node("Unsqueeze", [piece, "axis_0"], [f"{piece}.row"]))
        return [
            rows[0]
            if len(rows) == 1
            else self._node("Concat", rows, [f"layers.{index}.start"], axis=0)
            for index, rows in enumerate(states)
        ]

    def _input_scaling(self, x: str) -> str:
        net = self._net
        if net.input_mean is not None:
            mean = self._constant("input_mean", net.input_mean)
            x = self._node("Sub", [x, mean], ["x.shifted"])
        if net.input_std is not None:
            std = self._constant("input_std", net.input_std)
            x = self._node("Div", [x, std], ["x.scaled"])
        return x

    def _layer(self, index: int, layer: Layer, x: str, state: str) -> tuple[str, str]:
        """Write a layer; return its states at every step and its final state (B, H)."""
        prefix = f"layers.{index}."
        halves = _halves(layer)
        W = self._constant(prefix + "W", [half.W_xh for half in halves])
        R = self._constant(prefix + "R", [half.W_hh for half in halves])
        B = ""
        if layer.b_h is not None:
            zeros = np.zeros(len(layer.W_hh))
            B = self._constant(prefix + "B", [[*half.b_h, *zeros] for half in halves])  # type: ignore[misc]
        Y, Y_h = prefix + "Y", prefix + "Y_h"
        attributes = _rnn_attributes(halves, layer.direction)
        self._node("RNN", [x, W, R, B, "", state], [Y, Y_h], layout=0, **attributes)
        if len(halves) == 1:
            every = self._node("Squeeze", [Y, "axis_1"], [prefix + "h"])
            return every, self._node("Squeeze", [Y_h, "axis_0"], [prefix + "final"])
        H = len(layer.W_hh)
        order = self._node("Transpose", [Y], [prefix + "Y.by_step"], perm=[0, 2, 1, 3])
        shape = self._constant(prefix + "h.shape", [0, 0, 2 * H], np.int64)
        every = self._node("Reshape", [order, shape], [prefix + "h"])
        order = self._node("Transpose", [Y_h], [prefix + "Y_h.by_row"], perm=[1, 0, 2])
        shape = self._constant(prefix + "final.shape", [0, 2 * H], np.int64)
        return every, self._node("Reshape", [order, shape], [prefix + "final"])

    def _readout(self, h: str) -> str:
        readout = self._net.readout
        if readout is None:
            return h
        W = self._constant("readout.W", readout.W_hy.T)
        y = self._node("MatMul", [h, W], ["readout.sum"])
        if readout.b_y is not None:
            b = self._constant("readout.b", readout.b_y)
            y = self._node("Add", [y, b], ["readout.biased"])
        return self._activation(readout.activation, y)

    def _activation(self, activation: Activation, z: str) -> str:
        """Write the readout's activation; layers have theirs as attributes of RNN."""
        name, parameters = _described(activation)
        if (clip := parameters.pop("clip", None)) is not None:
            bounds = [self._constant("readout.low", -clip), self._constant("readout.high", clip)]
            z = self._node("Clip", [z, *bounds], ["readout.clipped"])
        if name == "identity":
            return z
        if name in ("affine", "scaled_tanh"):
            return self._scaled(name, parameters, z)
        extra = {"axis": -1} if name in ("softmax", "log_softmax") else parameters
        return self._node(_ONNX_NAMES[name], [z], ["readout.y"], **extra)

    def _scaled(self, name: str, parameters: dict[str, float], z: str) -> str:
        """Write the two activations that ONNX has only in recurrent layers."""
        alpha = self._constant("readout.alpha", parameters["alpha"])
        beta = self._constant("readout.beta", parameters["beta"])
        if name == "affine":
            z = self._node("Mul", [z, alpha], ["readout.scaled"])
            return self._node("Add", [z, beta], ["readout.y"])
        z = self._node("Mul", [z, beta], ["readout.scaled"])
        z = self._node("Tanh", [z], ["readout.tanh"])
        return self._node("Mul", [z, alpha], ["readout.y"])

    def _output_scaling(self, y: str) -> str:
        """Write y * std + mean as y * std - (-mean): an Add would be read as a bias."""
        net = self._net
        if net.output_std is not None:
            std = self._constant("output_std", net.output_std)
            y = self._node("Mul", [y, std], ["y.scaled"])
        if net.output_mean is not None:
            mean = self._constant("output_mean", -net.output_mean)
            y = self._node("Sub", [y, mean], ["y.shifted"])
        return y


def _halves(layer: Layer) -> list[Layer]:
    """Return the directions of a layer."""
    return [layer] if layer.reverse is None else [layer, layer.reverse]


def _rnn_attributes(halves: list[Layer], direction: str) -> dict[str, Any]:
    """Return the attributes of an RNN, all explicit: engines differ in their defaults."""
    described = [_described(half.activation) for half in halves]
    attributes: dict[str, Any] = {"hidden_size": len(halves[0].W_hh), "direction": direction}
    names, alphas, betas = [], [], []
    for name, parameters in described:
        if name == "identity":
            name, parameters = "affine", {**parameters, "alpha": 1.0, "beta": 0.0}
        names.append(_ONNX_NAMES[name])
        alphas += [parameters["alpha"]] if "alpha" in parameters else []
        betas += [parameters["beta"]] if "beta" in parameters else []
    attributes["activations"] = names
    attributes |= {"activation_alpha": alphas} if alphas else {}
    attributes |= {"activation_beta": betas} if betas else {}
    clips = {parameters.get("clip") for _, parameters in described}
    if len(clips) > 1:
        raise ArgumentError(
            "clip: expected the same value for both directions, as in ONNX, got"
            f" {' and '.join(map(str, clips))}"
        )
    if clips != {None}:
        attributes["clip"] = clips.pop()
    return attributes


def _described(activation: Activation) -> tuple[str, dict[str, float]]:
    """Return an activation's name and its parameters."""
    given = {key: getattr(activation, key) for key in ("alpha", "beta", "clip")}
    return activation.name, {key: value for key, value in given.items() if value is not None}
