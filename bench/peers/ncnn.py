"""ncnn: its layers `RNN`, `InnerProduct` and `Sigmoid`, in float32; no batches.

us per step at (16, 32, 4): 5.2 from matrices made before (used here), 7.7 from arrays; blobs by
index instead of name, light mode off and packing off change it by less than 5 %.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ncnn
import numpy as np

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step
    from elman.cli.timing.weights import Weights

    Array = NDArray[Any]

MAGIC = "7767517"  # of a text that describes layers and blobs
SMALLER_TYPES = ("use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic", "use_bf16_storage")


def description(w: Weights) -> str:
    """Return the layers: type, name, numbers of inputs and outputs, their names, parameters."""
    lines = ["Input x 0 1 x", *(f"Input h_{l} 0 1 h_{l}" for l in range(len(w.layers)))]
    below = "x"
    for l, (W_xh, *_) in enumerate(w.layers):
        blobs = f"{below} h_{l} Y_{l} next_{l}"
        lines.append(f"RNN rnn_{l} 2 2 {blobs} 0={len(W_xh)} 1={W_xh.size} 2=0")
        below = f"Y_{l}"
    product = "z" if w.sigmoid else "y"
    lines.append(f"InnerProduct readout 1 1 {below} {product} 0={len(w.W_hy)} 1=1 2={w.W_hy.size}")
    if w.sigmoid:
        lines.append("Sigmoid sigmoid 1 1 z y")
    blobs = 1 + 3 * len(w.layers) + 1 + w.sigmoid
    return "\n".join([MAGIC, f"{len(lines)} {blobs}", *lines, ""])


def constants(w: Weights) -> bytes:
    """Return the weights in the order of the layers; a zero says that float32 follow."""
    parts = []
    for W_xh, W_hh, b_h, _ in w.layers:
        parts += [bytes(4), _bytes(W_xh), bytes(4), _bytes(b_h), bytes(4), _bytes(W_hh)]
    return b"".join([*parts, bytes(4), _bytes(w.W_hy), _bytes(w.b_y)])


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array, "<f4").tobytes()


class Inputs:
    """Inputs (T, I) as one matrix, and as one (1, I) for each step."""

    def __init__(self, x: Array) -> None:
        self.x = x  # a matrix holds only its address
        self.all = ncnn.Mat(x)

    def __iter__(self) -> Iterator[ncnn.Mat]:
        return (self[t] for t in range(len(self.x)))

    def __getitem__(self, t: int) -> ncnn.Mat:
        return ncnn.Mat(self.x[t : t + 1])


class Ncnn(Peer):
    """A new extractor for each call; the states pass as matrices."""

    def __init__(self, net: Network) -> None:
        if net.dtype != np.float32:
            raise Unsupported("is run in float32 only")
        w = weights(net)
        self.net, self.h_0 = ncnn.Net(), [layer.h_0[np.newaxis] for layer in w.layers]
        self.net.opt.num_threads = 1
        for option in SMALLER_TYPES:
            setattr(self.net.opt, option, False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.bin")
            path.write_bytes(constants(w))
            if self.net.load_param_mem(description(w)) or self.net.load_model(str(path)):
                raise Unsupported("cannot load this network")

    def input(self, x: Array) -> Inputs:
        if x.ndim == 3:
            raise Unsupported("has no batches of sequences")
        return Inputs(np.ascontiguousarray(x))

    def steps(self) -> dict[str, Step]:
        new, names = self.net.create_extractor, range(len(self.h_0))
        states = [(f"h_{l}", f"next_{l}", ncnn.Mat(self.h_0[l])) for l in names]

        def step(x_t: ncnn.Mat) -> ncnn.Mat:
            nonlocal states
            extractor = new()
            extractor.input("x", x_t)
            for name, _, h in states:
                extractor.input(name, h)
            y = extractor.extract("y")[1]
            states = [(name, after, extractor.extract(after)[1]) for name, after, _ in states]
            return y

        step.peer = self  # keeps the network
        return {"": step}

    def run(self, x: Inputs) -> ncnn.Mat:
        extractor = self.net.create_extractor()
        extractor.input("x", x.all)
        for l, h in enumerate(self.h_0):
            extractor.input(f"h_{l}", ncnn.Mat(h))
        return extractor.extract("y")[1]

    def output(self, y: ncnn.Mat) -> Array:
        return np.array(y)


PEER = Ncnn
