"""OpenVINO in float32: a stateful step by products, and `RNNSequence` (oneDNN's vanilla RNN).

us per step at (16, 32, 4) with the input and output tensors set once: products with the state in a
variable (used here) 7.5, `RNNCell` with a variable 9.3, `RNNSequence` with a variable 50, products
with the states as inputs and outputs of two requests 51; `infer` of a dictionary 52, `start_async`
and `wait` 57. Hints (latency, throughput, no streams, pinning) change it by less than 8 %.
ns per step of a sequence at H = 32, 256: `RNNSequence` of a fixed shape (used here) 206, 3221, of
any shape 221, 3256, with time as the first axis 210, 3227. Of a batch of 64 at H = 64, 256: 102,
1041; of any shape 103, 1055; products unrolled over the steps 100, 1209. `infer` of a dictionary
adds about 10 us to a call.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from openvino import opset8 as operators

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step
    from elman.cli.timing.weights import Layer, Weights

    Array = NDArray[Any]

CORE = openvino.Core()
OPTIONS = {
    "INFERENCE_NUM_THREADS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
}


def one_step(net: Network, n: int) -> openvino.Model:
    """Return a model of a step of n rows, x (n, I) to y (n, O), that keeps the states."""
    w = weights(net)
    x = below = operators.parameter([n, net.input_size], np.float32)
    kept = []
    for l, (W_xh, W_hh, b_h, h_0) in enumerate(w.layers):
        shape = [n, len(b_h)]
        start = operators.constant(np.broadcast_to(h_0, shape).copy())
        h = operators.read_value(start, f"h_{l}", np.float32, shape)
        u = operators.add(_product(below, W_xh, b_h), _product(h, W_hh))
        below = operators.tanh(u)
        kept.append(operators.assign(below, f"h_{l}"))
    return openvino.Model([operators.result(_readout(w, below))], kept, [x], "step")


def sequences(net: Network, n: int, T: int) -> openvino.Model:
    """Return a model of n sequences of T steps, x (n, T, I) to y (n, T, O)."""
    w = weights(net)
    x = below = operators.parameter([n, T, net.input_size], np.float32)
    for layer in w.layers:
        below = _states(layer, below, n, T)
    return openvino.Model([operators.result(_readout(w, below))], [x], "sequences")


def _states(layer: Layer, below: Any, n: int, T: int) -> Any:
    W_xh, W_hh, b_h, h_0 = layer
    start, lengths = np.broadcast_to(h_0, (n, 1, len(b_h))), np.full(n, T, np.int32)
    arrays = start, lengths, W_xh[np.newaxis], W_hh[np.newaxis], b_h[np.newaxis]
    constants = [operators.constant(np.ascontiguousarray(a)) for a in arrays]
    both = operators.rnn_sequence(below, *constants, len(b_h), "forward", ["tanh"], [], [], 0.0)
    return operators.squeeze(both.output(0), operators.constant(np.array(1)))


def _product(x: Any, W: Array, b: Array | None = None) -> Any:
    product = operators.matmul(x, operators.constant(W), False, True)
    return product if b is None else operators.add(product, operators.constant(b))


def _readout(w: Weights, h: Any) -> Any:
    z = _product(h, w.W_hy, w.b_y)
    return operators.sigmoid(z) if w.sigmoid else z


class Request:
    """A compiled model and its request; `x` and `y` are arrays that it reads and writes."""

    def __init__(self, model: openvino.Model) -> None:
        self.compiled = CORE.compile_model(model, "CPU", OPTIONS)
        self.request = self.compiled.create_infer_request()
        (x,), (y,) = self.compiled.inputs, self.compiled.outputs
        self.x, self.y = np.zeros(x.shape, np.float32), np.zeros(y.shape, np.float32)
        self.tensors = [openvino.Tensor(a, shared_memory=True) for a in (self.x, self.y)]
        self.request.set_input_tensor(0, self.tensors[0])
        self.request.set_output_tensor(0, self.tensors[1])
        self.infer = functools.partial(self.request.infer, share_outputs=True)


class OpenVINO(Peer):
    """A request for a step, and one for each number and length of the sequences."""

    def __init__(self, net: Network) -> None:
        if net.dtype != np.float32:
            raise Unsupported("computes in float32 on the CPU")
        self.net = net
        self.of = functools.cache(lambda n, T: Request(sequences(net, n, T)))

    def steps(self) -> dict[str, Step]:
        request = Request(one_step(self.net, 1))
        x, y, infer = request.x, request.y, request.infer

        def step(x_t: Array) -> Array:
            x[0] = x_t
            infer()
            return y

        step.request = request  # keeps the memory
        return {"": step}

    def run(self, x: Array) -> Array:
        many = x if x.ndim == 3 else x[np.newaxis]
        request = self.of(*many.shape[:2])
        request.x[:] = many
        request.infer()
        return request.y

    def output(self, y: Array) -> Array:
        return y.reshape(y.shape[-2:]) if y.ndim == 3 and len(y) == 1 else y


PEER = OpenVINO
