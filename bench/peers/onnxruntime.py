"""ONNX Runtime on the calling thread: the operator `RNN`, and products in its place.

ns per step at H = 8, 32, 256: a step by `RNN` 3848, 4181, 9497; by two `Gemm` (used here) 2775,
2891, 5871; by one over the joined x and h 2890, 2963, 5625; by `MatMul` and `Add` 2767, 2866, 5779.
A sequence by `RNN` 123, 413, 9334; by `Scan` 563, 1405, 3167; unrolled 1461, 1428, 8690. A batch
of 64 by `RNN` 68, 390, 7727; by `Scan` 17, 44, 1656; unrolled 28, 69, 1626. `Scan` with the inputs'
product in each step is slower: 3234 and 56 at H = 32. I/O binding saves a third of a step
(`session.run` 12.2 us, bound 7.9 us in another run) and nothing of a sequence (411 and 397 ns).
Without the memory arena a step takes 5.0 us instead of 4.1; the private call inside
`run_with_iobinding` saves 6 %.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from elman.cli.timing.base import Peer
from elman.cli.timing.weights import weights
from peers.graphs import of_products, of_rnn, of_scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]


def session(graph: bytes | str) -> onnxruntime.InferenceSession:
    """Return a session of a graph or a file that runs on the calling thread only."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class OnnxRuntime(Peer):
    """A step by I/O binding, with the states in two alternating sets of buffers."""

    def __init__(self, net: Network) -> None:
        self.h_0 = [layer.h_0 for layer in weights(net).layers]
        self.I, self.O, self.dtype = net.input_size, net.output_size, net.dtype
        self.session = functools.cache(lambda graph: session(graph(net).SerializeToString()))

    def input(self, x: Array) -> Array:
        """Return x with ONNX's axes (T, B, I); a step takes its rows (1, I)."""
        return np.ascontiguousarray(x[:, np.newaxis] if x.ndim == 2 else x.swapaxes(0, 1))

    def steps(self) -> dict[str, Step]:
        steps = {"Gemm": self._step(self.session(of_products), (1,))}
        if self.dtype == np.float32:
            steps["RNN"] = self._step(self.session(of_rnn), (1, 1))
        return steps

    def _step(self, session: Any, leading: tuple[int, ...]) -> Step:
        run, x = session.run_with_iobinding, np.empty((*leading, self.I), self.dtype)
        y = np.empty((*leading, self.O), self.dtype)
        one = [np.broadcast_to(h, (*leading, len(h))).copy() for h in self.h_0]
        other = [h.copy() for h in one]
        now, after = _binding(session, x, one, other, y), _binding(session, x, other, one, y)

        def step(x_t: Array) -> Array:
            nonlocal now, after
            x[:] = x_t
            run(now)
            now, after = after, now
            return y

        step.buffers = one, other  # keep them alive: the bindings hold only their addresses
        return step

    def runs(self) -> dict[str, Callable[[Array], Array]]:
        runs = {"Scan": self._run(self.session(of_scan), ())}
        if self.dtype == np.float32:
            runs["RNN"] = self._run(self.session(of_rnn), (1,))
        return runs

    def _run(self, session: Any, leading: tuple[int, ...]) -> Callable[[Array], Array]:
        def run(x: Array) -> Array:
            feed = {"x": x}
            for l, h in enumerate(self.h_0):
                feed[f"h_{l}"] = np.broadcast_to(h, (*leading, x.shape[1], len(h)))
            return session.run(["y"], feed)[0]

        return run

    def output(self, y: Array) -> Array:
        return y.swapaxes(0, 1).squeeze() if y.ndim == 3 else y


def _binding(session: Any, x: Array, before: list[Array], after: list[Array], y: Array) -> Any:
    binding = session.io_binding()

    def bind(side: Any, name: str, array: Array) -> None:
        side(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    bind(binding.bind_input, "x", x)
    bind(binding.bind_output, "y", y)
    for l, (h, next_h) in enumerate(zip(before, after, strict=True)):
        bind(binding.bind_input, f"h_{l}", h)
        bind(binding.bind_output, f"next_{l}", next_h)
    return binding


PEER = OnnxRuntime
