"""ONNX Runtime by I/O binding, the state as input and output: `RNN`, and matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from elman.cli.timing.weights import weights
from peers.onnxruntime import model, session
from ticks import Pool

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


def of_products(net: Network) -> onnx.ModelProto:
    """Return a graph from x (1, n, I) and h_0 (1, n, H) to y (1, n, O) and the next state."""
    w = weights(net)
    ((W_xh, W_hh, b_h, _),) = w.layers
    matrices = {"W_xh": W_xh.T, "W_hh": W_hh.T, "W_hy": w.W_hy.T}
    constants = {name: np.ascontiguousarray(W) for name, W in matrices.items()}
    constants |= {"b_h": b_h, "b_y": w.b_y}
    nodes = [
        ("MatMul", ["x", "W_xh"], "xW"),
        ("MatMul", ["h_0", "W_hh"], "hW"),
        ("Add", ["xW", "b_h"], "xWb"),
        ("Add", ["xWb", "hW"], "u"),
        ("Tanh", ["u"], "next_0"),
        ("MatMul", ["next_0", "W_hy"], "hV"),
        ("Add", ["hV", "b_y"], "z"),
        ("Sigmoid", ["z"], "y"),
    ]
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]) for name in names]
        for names in (("x", "h_0"), ("y", "next_0"))
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes],
        "elman",
        *sides,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


class Rnn(Pool):
    """The operator `RNN` over one step; two buffers of the states alternate."""

    graph = staticmethod(model)

    def __init__(self, net: Network, n: int) -> None:
        self.session = session(self.graph(net).SerializeToString())
        self.x, self.y, first, second = (
            np.zeros((1, n, size), np.float32)
            for size in (net.input_size, net.output_size, *net.hidden_sizes * 2)
        )
        self.h = first, second  # the bindings hold only their addresses
        self.now, self.after = self._binding(first, second), self._binding(second, first)

    def _binding(self, before: Array, after: Array) -> Any:
        binding = self.session.io_binding()
        for name, array in (("x", self.x), ("h_0", before)):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in (("y", self.y), ("next_0", after)):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def step(self, x: Array) -> Array:
        self.x[0] = x
        self.session.run_with_iobinding(self.now)
        self.now, self.after = self.after, self.now
        return self.y

    def output(self, y: Array) -> Array:
        return y[0].copy()


class Products(Rnn):
    """Three matrix products."""

    graph = staticmethod(of_products)


POOLS = {"RNN": Rnn, "MatMul": Products}
