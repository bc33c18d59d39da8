"""PyTorch in inference mode: `nn.RNN` and `nn.Linear`, tensor operations, and a scripted loop.

us per step at (16, 32, 4): `torch.addmv` (used here) 4.9, with `out=` 5.1, one product of the
joined x and h 5.2, `torch.jit.trace` 9.7, compiled ahead of time (AOTInductor) 11.9,
`torch.compile` 16.6, `nn.RNN` 28.7; at H = 256 9.5, 9.6, 10.0, 14.6, -, 20.1, 38.1.
ns per step of a sequence at H = 32, 256, 512: a scripted loop (used here) 1029, 5007, 23217; the
same loop in Python 1412, 5323, 15827; `torch.compile` of ten steps 2292, 4825, 13848; `nn.RNN`
2635, 7290, 25878. Of a batch of 64 at H = 32, 256: scripted 134, 2525; in Python 141, 2376;
`torch.compile` of ten steps 163, 2291, of `nn.RNN` 195, 5307; `nn.RNN` 195, 2613. In another run
compiled steps took 0.96 and 0.93 of the time of the scripted loop in a sequence at H = 512 and
1024, and 0.94 and 0.91 in a batch, so they take part there, after 5 to 10 s for each case.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights
from peers.native import MARCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

torch.set_num_threads(1)
FEWEST_COMPILED = 512  # units: with fewer, compiled steps are slower than a scripted loop
STEPS = 10  # that are compiled together
# Of `torch.compile`. Without it, code for AVX2 and AVX-512 shares a cache, and gives wrong answers.
OPTIONS = None if MARCH == "native" else {"cpp.march": MARCH}


class Model(torch.nn.Module):
    """All layers in one `nn.RNN`, which requires layers of one size."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        w = weights(net)
        if len(set(net.hidden_sizes)) > 1:
            raise Unsupported("takes only layers of one size")
        H, dtype = net.hidden_sizes[0], getattr(torch, net.dtype.name)
        self.rnn = torch.nn.RNN(net.input_size, H, net.num_layers, batch_first=True, dtype=dtype)
        self.linear = torch.nn.Linear(H, net.output_size, dtype=dtype)
        self.squash = torch.nn.Sigmoid() if w.sigmoid else torch.nn.Identity()
        tensors = {"linear.weight": w.W_hy, "linear.bias": w.b_y}
        for l, (W_xh, W_hh, b_h, _) in enumerate(w.layers):
            tensors |= {
                f"rnn.weight_ih_l{l}": W_xh,
                f"rnn.weight_hh_l{l}": W_hh,
                f"rnn.bias_ih_l{l}": b_h,
                f"rnn.bias_hh_l{l}": 0 * b_h,
            }
        self.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
        h_0 = [torch.from_numpy(layer.h_0) for layer in w.layers]
        self.register_buffer("h_0", torch.stack(h_0)[:, None], persistent=False)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map x (B, T, I) and h (L, B, H) to y (B, T, O) and the next h."""
        top, h = self.rnn(x, h)
        return self.squash(self.linear(top)), h


def _layer(x: torch.Tensor, W_xh, W_hh, b_h, h) -> torch.Tensor:
    """Return the states of a layer over x (T, I) or (T, B, I), from h (H,) or (B, H)."""
    u = linear(x, W_xh, b_h)
    for u_t in u.unbind(0):
        h = u_t.addmv_(W_hh, h) if u_t.dim() == 1 else u_t.addmm_(h, W_hh.t())
        h = h.tanh_()
    return u


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch 2.13 calls it deprecated
    scripted = torch.jit.script(_layer)


def _states(u: torch.Tensor, W_hh: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Return the states of a few steps from the products of their inputs."""
    states = []
    for u_t in u.unbind():
        h = torch.tanh(u_t + (torch.mv(W_hh, h) if h.dim() == 1 else linear(h, W_hh)))
        states.append(h)
    return torch.stack(states)


def _by_tens(states: Any) -> Any:
    """Return a layer that calls `states` for ten steps at a time."""

    def layer(x: torch.Tensor, W_xh, W_hh, b_h, h) -> torch.Tensor:
        parts = []
        for u in linear(x, W_xh, b_h).split(STEPS):
            parts.append(states(u, W_hh, h))
            h = parts[-1][-1]
        return torch.cat(parts)

    return layer


class Torch(Peer):
    """Steps keep their state in a tensor."""

    def __init__(self, net: Network) -> None:
        self.model = Model(net).eval()
        self.weights = weights(net)

    def input(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(x)

    def steps(self) -> dict[str, Step]:
        return {"nn.RNN": self._module_step(), "torch.addmv": self._addmv_step()}

    def _module_step(self) -> Step:
        model, h, shape = self.model, self.model.h_0, (1, 1, -1)

        @torch.inference_mode()
        def step(x_t: torch.Tensor) -> torch.Tensor:
            nonlocal h
            y_t, h = model(x_t.view(shape), h)
            return y_t

        return step

    def _addmv_step(self) -> Step:
        layers = [list(map(torch.from_numpy, layer)) for layer in self.weights.layers]
        W_hy, b_y = torch.from_numpy(self.weights.W_hy), torch.from_numpy(self.weights.b_y)
        addmv, sigmoid = torch.addmv, self.weights.sigmoid

        def step(x_t: torch.Tensor) -> torch.Tensor:
            for layer in layers:
                W_xh, W_hh, b_h, h = layer
                x_t = layer[3] = addmv(addmv(b_h, W_xh, x_t), W_hh, h).tanh_()
            y_t = addmv(b_y, W_hy, x_t)
            return y_t.sigmoid_() if sigmoid else y_t

        return step

    def runs(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        runs = {"a scripted loop": partial(self._loop, scripted), "nn.RNN": self._module}
        if min(len(layer.h_0) for layer in self.weights.layers) >= FEWEST_COMPILED:
            torch.compiler.reset()  # it compiles a function a few times only
            steps = _by_tens(torch.compile(_states, options=OPTIONS))
            runs["torch.compile"] = partial(self._loop, steps)
        return runs

    @torch.inference_mode()
    def _loop(self, states: Any, x: torch.Tensor) -> torch.Tensor:
        below = x if x.dim() == 2 else x.transpose(0, 1)
        for layer in self.weights.layers:
            *weights, h = map(torch.from_numpy, layer)
            h = h if x.dim() == 2 else h.repeat(len(x), 1)
            below = states(below, *weights, h)
        W_hy, b_y = torch.from_numpy(self.weights.W_hy), torch.from_numpy(self.weights.b_y)
        y = linear(below, W_hy, b_y)
        y = y.sigmoid_() if self.weights.sigmoid else y
        return y if x.dim() == 2 else y.transpose(0, 1)

    @torch.inference_mode()
    def _module(self, x: torch.Tensor) -> torch.Tensor:
        x = x if x.dim() == 3 else x[None]
        h = self.model.h_0.expand(-1, len(x), -1).contiguous()
        return self.model(x, h)[0]

    def output(self, y: torch.Tensor) -> Array:
        return y.numpy().squeeze()


PEER = Torch
