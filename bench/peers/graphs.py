"""ONNX graphs of a network: the operator `RNN`, one step by products, and `Scan` over steps.

In each, the states before are the inputs h_0, h_1, ... and those after the outputs next_0, ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from elman.cli.timing.base import Unsupported
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Graph:
    """A graph from x and the states to y and the states after, built node by node."""

    def __init__(self, net: Network) -> None:
        self.w, self.dtype = weights(net), net.dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.states = [f"h_{l}" for l in range(len(self.w.layers))]

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its first output."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, name: str, array: Array) -> str:
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def readout(self, h: str) -> None:
        """Add y = f(h W_hy' + b_y)."""
        W, b = self.constant("W_hy", self.w.W_hy.T), self.constant("b_y", self.w.b_y)
        z = self.add("Add", [self.add("MatMul", [h, W], "hW"), b], "z")
        self.add("Sigmoid" if self.w.sigmoid else "Identity", [z], "y")

    def values(self, names: list[str], axes: int) -> list[Any]:
        """Return what a graph says of its inputs or outputs: they may have any size."""
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        return [helper.make_tensor_value_info(name, kind, [None] * axes) for name in names]

    def model(self, axes: int, state_axes: int) -> onnx.ModelProto:
        after = [name.replace("h", "next") for name in self.states]
        sides = [
            self.values([first], axes) + self.values(states, state_axes)
            for first, states in (("x", self.states), ("y", after))
        ]
        constants = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "elman", *sides, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def of_rnn(net: Network) -> onnx.ModelProto:
    """Return a graph from x (T, B, I) and h (1, B, H) to y (T, B, O), an `RNN` for each layer."""
    if net.dtype != np.float32:
        raise Unsupported("has no RNN in float64 on the CPU")
    graph, below = Graph(net), "x"
    directions = graph.constant("directions", np.array([1]))
    for l, (W_xh, W_hh, b_h, _) in enumerate(graph.w.layers):
        arrays = W_xh, W_hh, np.concatenate([b_h, 0 * b_h])
        names = (f"W_xh_{l}", f"W_hh_{l}", f"b_{l}")
        W, R, b = (graph.constant(n, a[np.newaxis]) for n, a in zip(names, arrays, strict=True))
        inputs, outputs = [below, W, R, b, "", f"h_{l}"], (f"Y_{l}", f"next_{l}")
        Y = graph.add("RNN", inputs, *outputs, hidden_size=len(b_h))
        below = graph.add("Squeeze", [Y, directions], f"H_{l}")
    graph.readout(below)
    return graph.model(3, 3)


def of_products(net: Network) -> onnx.ModelProto:
    """Return a graph of one step, from x (B, I) and h (B, H) to y (B, O), with `Gemm`."""
    graph, below = Graph(net), "x"
    for l, (W_xh, W_hh, b_h, _) in enumerate(graph.w.layers):
        W, R = graph.constant(f"W_xh_{l}", W_xh.T), graph.constant(f"W_hh_{l}", W_hh.T)
        xW = graph.add("Gemm", [below, W, graph.constant(f"b_{l}", b_h)], f"xW_{l}")
        u = graph.add("Gemm", [f"h_{l}", R, xW], f"u_{l}")
        below = graph.add("Tanh", [u], f"next_{l}")
    graph.readout(below)
    return graph.model(2, 2)


def of_scan(net: Network) -> onnx.ModelProto:
    """Return a graph from x (T, B, I) and h (B, H) to y (T, B, O), a `Scan` for each layer.

    The product of the inputs is that of all steps.
    """
    graph, below = Graph(net), "x"
    for l, (W_xh, W_hh, b_h, _) in enumerate(graph.w.layers):
        W, R = graph.constant(f"W_xh_{l}", W_xh.T), graph.constant(f"W_hh_{l}", W_hh.T)
        xW = graph.add("MatMul", [below, W], f"xW_{l}")
        u = graph.add("Add", [xW, graph.constant(f"b_{l}", b_h)], f"u_{l}")
        step = helper.make_graph(
            [
                helper.make_node("Gemm", ["h", R, "u"], ["v"]),
                helper.make_node("Tanh", ["v"], ["after"]),
                helper.make_node("Identity", ["after"], ["kept"]),
            ],
            "step",
            graph.values(["h", "u"], 2),
            graph.values(["after", "kept"], 2),
        )
        inputs, outputs = [f"h_{l}", u], (f"next_{l}", f"H_{l}")
        graph.add("Scan", inputs, *outputs, body=step, num_scan_inputs=1)
        below = outputs[1]
    graph.readout(below)
    return graph.model(3, 2)
