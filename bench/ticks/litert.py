"""LiteRT in the memory of its interpreter: `RNN` with its own states, and `FULLY_CONNECTED`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from elman.cli.timing.weights import weights
from peers.litert import OPERATORS, Graph, Model, model
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Rnn(Pool):
    """Write the inputs, run by the private `Invoke`, and read the outputs in place."""

    def __init__(self, net: Network, n: int) -> None:
        self.model = Model(model(net, n))
        (self.x,), (self.y,) = self.model.inputs, self.model.outputs

    def step(self, x: Array) -> Array:
        self.x[:] = x
        self.model.invoke()
        return self.y


class Public(Rnn):
    """The same by public calls, which copy."""

    def __init__(self, net: Network, n: int) -> None:
        self.interpreter = Interpreter(model_content=model(net, n), num_threads=1)
        self.interpreter.allocate_tensors()
        (x,), (y,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.x, self.y = x["index"], y["index"]

    def step(self, x: Array) -> Array:
        self.interpreter.set_tensor(self.x, x)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.y)


def of_products(net: Network, n: int) -> bytes:
    """Return a model from x (n, I) and h (n, H) to y (n, O) and the next h."""
    w, graph = weights(net), Graph()
    ((W_xh, W_hh, b_h, _),) = w.layers
    x, h = (graph.tensor((n, size)) for size in reversed(W_xh.shape))

    A, b, B, zero = map(graph.constant, (W_xh, b_h, W_hh, 0 * b_h))
    both = [graph.product(x, A, b, n), graph.product(h, B, zero, n)]
    u = graph.add(OPERATORS.ADD, both, (n, len(b_h)), schema.AddOptionsT())
    after = graph.add(OPERATORS.TANH, [u], (n, len(b_h)))
    return graph.packed([x, h], [graph.readout(w, after, n), after])


class Products(Pool):
    """The states are copied from the output to the input."""

    def __init__(self, net: Network, n: int) -> None:
        self.model = Model(of_products(net, n))
        (self.x, self.h), (self.y, self.after) = self.model.inputs, self.model.outputs
        self.h[:] = 0

    def step(self, x: Array) -> Array:
        self.x[:] = x
        self.model.invoke()
        self.h[:] = self.after
        return self.y


POOLS = {"RNN": Rnn, "RNN, public calls": Public, "FULLY_CONNECTED": Products}
