"""PyTorch in inference mode: `nn.RNNCell` with `nn.Linear`, tensor operations, and compiled ones.

ns per row at (4, 16, 1) for 1, 256 and 4096 rows, in one run: nn.RNNCell 15000, 104, 71; addmm
6500, 69, 107; `torch.jit.trace` 9900, 83, 49; `torch.compile` 16500, 125, 36. The last takes some
seconds to compile, and so takes part where it is the fastest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from elman.cli.timing.base import Unsupported
from elman.cli.timing.weights import weights
from peers.torch import OPTIONS
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Cell(Pool):
    """The modules."""

    def __init__(self, net: Network, n: int) -> None:
        w = weights(net)
        ((W_xh, W_hh, b_h, _),) = w.layers
        self.cell = torch.nn.RNNCell(net.input_size, len(b_h)).eval()
        self.linear = torch.nn.Linear(len(b_h), net.output_size).eval()
        named = {"weight_ih": W_xh, "weight_hh": W_hh, "bias_ih": b_h, "bias_hh": 0 * b_h}
        self.cell.load_state_dict({name: torch.from_numpy(a) for name, a in named.items()})
        named = {"weight": w.W_hy, "bias": w.b_y}
        self.linear.load_state_dict({name: torch.from_numpy(a) for name, a in named.items()})
        self.h = torch.zeros(n, len(b_h))

    def input(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(x)

    @torch.inference_mode()
    def step(self, x: torch.Tensor) -> torch.Tensor:
        self.h = self.cell(x, self.h)
        return torch.sigmoid(self.linear(self.h))

    def output(self, y: torch.Tensor) -> Array:
        return y.numpy().copy()


class Addmm(Cell):
    """`torch.addmm`, in place where it can be."""

    def __init__(self, net: Network, n: int) -> None:
        super().__init__(net, n)
        w = weights(net)
        ((W_xh, W_hh, b_h, _),) = w.layers
        tensors = (W_xh.T, W_hh.T, b_h, w.W_hy.T, w.b_y)
        self.tensors = [torch.from_numpy(a) for a in tensors]

    @torch.inference_mode()
    def step(self, x: torch.Tensor) -> torch.Tensor:
        W_xh, W_hh, b_h, W_hy, b_y = self.tensors
        self.h = torch.addmm(b_h, x, W_xh).addmm_(self.h, W_hh).tanh_()
        return torch.addmm(b_y, self.h, W_hy).sigmoid_()


class Compiled(Cell):
    """`torch.compile` of the tensor operations."""

    def __init__(self, net: Network, n: int) -> None:
        if n < FEWEST_COMPILED:
            raise Unsupported("is slower if compiled")
        super().__init__(net, n)
        w = weights(net)
        ((W_xh, W_hh, b_h, _),) = w.layers
        tensors = (W_xh, W_hh, b_h, w.W_hy, w.b_y)
        A, B, b, C, c = (torch.from_numpy(a) for a in tensors)

        def advance(x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(linear(x, A, b) + linear(h, B))
            return h, torch.sigmoid(linear(h, C, c))

        torch.compiler.reset()  # it compiles a function a few times only
        self.advance = torch.compile(advance, options=OPTIONS)

    @torch.inference_mode()
    def step(self, x: torch.Tensor) -> torch.Tensor:
        self.h, y = self.advance(x, self.h)
        return y


FEWEST_COMPILED = 4096  # rows
POOLS = {"nn.RNNCell": Cell, "torch.addmm": Addmm, "torch.compile": Compiled}
