"""tract: the ONNX operator `RNN`, with a new model for each shape; one thread.

us per step at H = 32, 256 from arrays 15, 28; from tensors made before (used here) 12.0, 14.8; by
the C functions below `State.run` (used here) 9.9, 12.8; with products in place of `RNN` 9.6, 12.2.
The states pass from call to call as tensors.
"""

from __future__ import annotations

import ctypes
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tract
from tract.bindings import check, lib

from elman.cli.timing.base import Peer
from elman.cli.timing.weights import weights
from peers.graphs import of_rnn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]


class Inputs:
    """Inputs (T, n, I) as one tensor, and as one (1, 1, I) for each step."""

    def __init__(self, x: Array) -> None:
        self.x = np.ascontiguousarray(x)
        self.all = tract.Tensor.from_numpy(self.x)

    def __iter__(self) -> Iterator[tract.Tensor]:
        return (self[t] for t in range(len(self.x)))

    def __getitem__(self, t: int) -> tract.Tensor:
        return tract.Tensor.from_numpy(self.x[t : t + 1])


class Tract(Peer):
    """The graph is compiled for one number of steps and of rows."""

    def __init__(self, net: Network) -> None:
        self.sizes = net.input_size, *net.hidden_sizes
        self.h_0 = [layer.h_0 for layer in weights(net).layers]
        graph = of_rnn(net).SerializeToString()
        self.of = functools.cache(lambda T, n: self._runnable(graph, T, n))

    def _runnable(self, graph: bytes, T: int, n: int) -> tract.Runnable:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(graph)
            model = tract.onnx().load(path)
        for i, size in enumerate(self.sizes):
            model.set_input_fact(i, f"{1 if i else T},{n},{size},f32")
        return model.into_model().into_runnable()

    def input(self, x: Array) -> Inputs:
        return Inputs(x[:, np.newaxis] if x.ndim == 2 else x.swapaxes(0, 1))

    def steps(self) -> dict[str, Step]:
        return {"State.run": self._public_step(), "its C functions": self._c_step()}

    def _states(self, n: int) -> list[tract.Tensor]:
        return [tract.Tensor.from_numpy(np.tile(h, (1, n, 1))) for h in self.h_0]

    def _public_step(self) -> Step:
        run, states = self.of(1, 1).spawn_state().run, self._states(1)

        def step(x_t: tract.Tensor) -> Array:
            nonlocal states
            y, *states = run([x_t, *states])
            return y.to_numpy()

        return step

    def _c_step(self) -> Step:
        state, states = self.of(1, 1).spawn_state(), self._states(1)
        count = 1 + len(states)
        inputs, outputs = (ctypes.c_void_p * count)(), (ctypes.c_void_p * count)()
        run, tensor, pointer, handle = lib.tract_state_run, tract.Tensor, ctypes.c_void_p, state.ptr

        def step(x_t: tract.Tensor) -> Array:
            nonlocal states
            inputs[:] = [x_t.ptr.value, *(h.ptr.value for h in states)]
            check(run(handle, inputs, outputs))
            y, *states = [tensor(pointer(address)) for address in outputs]
            return y.to_numpy()

        step.state = state  # keeps it alive: the handle is only its address
        return step

    def run(self, x: Inputs) -> Array:
        T, n, _ = x.x.shape
        y, *_ = self.of(T, n).run([x.all, *self._states(n)])
        return y.to_numpy()

    def output(self, y: Array) -> Array:
        return y.swapaxes(0, 1).squeeze()


PEER = Tract
