"""ONNX Runtime by I/O binding, the state as input and output: `RNN`, and matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peers.graphs import of_products, of_rnn
from peers.onnxruntime import session
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Products(Pool):
    """Products of one step; two buffers of the states alternate."""

    graph, leading = staticmethod(of_products), ()

    def __init__(self, net: Network, n: int) -> None:
        self.session = session(self.graph(net).SerializeToString())
        self.x, self.y, first, second = (
            np.zeros((*self.leading, n, size), np.float32)
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
        self.x[:] = x
        self.session.run_with_iobinding(self.now)
        self.now, self.after = self.after, self.now
        return self.y

    def output(self, y: Array) -> Array:
        return y.reshape(y.shape[-2:]).copy()


class Rnn(Products):
    """The operator `RNN` over one step."""

    graph, leading = staticmethod(of_rnn), (1,)


POOLS = {"RNN": Rnn, "Gemm": Products}
