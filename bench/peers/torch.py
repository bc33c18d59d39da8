"""PyTorch in inference mode: `nn.RNN` and `nn.Linear`, and a step by tensor operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from elman.cli.timing.base import Peer, Unsupported
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

torch.set_num_threads(1)


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
        """At (16, 32, 4) 7.5 us; in the same run nn.RNN takes 74, nn.RNNCell and Linear 34."""
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

    @torch.inference_mode()
    def run(self, x: torch.Tensor) -> torch.Tensor:
        x = x if x.dim() == 3 else x[None]
        h = self.model.h_0.expand(-1, len(x), -1).contiguous()
        return self.model(x, h)[0]

    def output(self, y: torch.Tensor) -> Array:
        return y.numpy().squeeze()


PEER = Torch
