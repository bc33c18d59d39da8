"""PyTorch: autograd or gradients by hand, `clip_grad_norm_` and the fused `torch.optim.Adam`.

Milliseconds at (16, 32, 4), T = 100, B = 16: default Adam 3.2, foreach 3.2, fused 3.0 (used here).
Gradients by hand in a scripted function 0.88, a loop 2.2, `nn.RNN` 3.5, a scripted loop with
autograd 6.7. At (64, 128, 64), T = 50, B = 32: by hand 9.1, `nn.RNN` 11.2, `torch.compile` of all
steps 12.7 (after 27 s), a loop 14.6, a scripted loop 16.0.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear, mse_loss

import peers.torch  # noqa: F401 - one thread
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


def adam(tensors: Any) -> torch.optim.Adam:
    return torch.optim.Adam(
        tensors, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True
    )


class RNN:
    """`nn.RNN` and `nn.Linear`, time first.

    The second bias of `nn.RNN` stays zero: training both would double the steps of the bias.
    """

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        self.x, self.y = (torch.from_numpy(a).transpose(0, 1).contiguous() for a in (x, y))
        self.rnn = torch.nn.RNN(net.input_size, net.hidden_sizes[0])
        self.linear = torch.nn.Linear(net.hidden_sizes[0], net.output_size)
        rnn = self.rnn
        tensors = (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0)
        tensors += (self.linear.weight, self.linear.bias)
        self.named = dict(zip(weights(net), tensors, strict=True))
        with torch.no_grad():
            for name, array in weights(net).items():
                self.named[name].copy_(torch.from_numpy(array))
            rnn.bias_hh_l0.zero_().requires_grad_(False)
        self.adam = adam(tensors)

    def update(self) -> None:
        self.adam.zero_grad()
        mse_loss(self.linear(self.hidden()), self.y).backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), CLIP_NORM)
        self.adam.step()

    def hidden(self) -> torch.Tensor:
        """Return the states (T, B, H)."""
        return self.rnn(self.x)[0]

    def parameters(self) -> dict[str, Array]:
        return {name: tensor.detach().numpy() for name, tensor in self.named.items()}


class Loop(RNN):
    """A loop over time: the same as `nn.RNN`, with less overhead per step."""

    def hidden(self) -> torch.Tensor:
        w = self.named
        first, *others = linear(self.x, w["W_xh"], w["b_h"]).unbind()
        W, states = w["W_hh"].t(), [first.tanh()]
        for u_t in others:
            states.append(torch.addmm(u_t, states[-1], W).tanh())
        return torch.stack(states)


def _gradients(x: torch.Tensor, y: torch.Tensor, W_xh, W_hh, b_h, W_hy, b_y):
    """Return the gradients of the parameters in their order, with one product for each matrix."""
    h = linear(x, W_xh, b_h)
    h[0].tanh_()
    for t in range(1, h.size(0)):
        h[t].addmm_(h[t - 1], W_hh.t()).tanh_()
    d_y = linear(h, W_hy, b_y).sub_(y)
    d_y = d_y.mul_(2.0 / d_y.numel())
    d, slope = d_y.matmul(W_hy), 1 - h * h
    d[-1].mul_(slope[-1])
    for t in range(h.size(0) - 2, -1, -1):
        d[t].addmm_(d[t + 1], W_hh).mul_(slope[t])
    d_rows, y_rows = d.flatten(0, 1), d_y.flatten(0, 1)
    return (
        d_rows.t().mm(x.flatten(0, 1)),
        d[1:].flatten(0, 1).t().mm(h[:-1].flatten(0, 1)),
        d_rows.sum(0),
        y_rows.t().mm(h.flatten(0, 1)),
        y_rows.sum(0),
    )


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch 2.13 calls it deprecated
    gradients = torch.jit.script(_gradients)


class ByHand(RNN):
    """Gradients by hand in a scripted function; the parameters are views of one flat tensor."""

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        super().__init__(net, x, y)
        sizes = [tensor.numel() for tensor in self.named.values()]
        self.flat = torch.cat([tensor.detach().flatten() for tensor in self.named.values()])
        self.flat.requires_grad_()
        parts = zip(self.named.items(), self.flat.detach().split(sizes), strict=True)
        self.named = {name: part.view(tensor.shape) for (name, tensor), part in parts}
        self.adam = adam([self.flat])

    @torch.no_grad()
    def update(self) -> None:
        found = gradients(self.x, self.y, *self.named.values())
        self.flat.grad = torch.cat([g.flatten() for g in found])
        torch.nn.utils.clip_grad_norm_([self.flat], CLIP_NORM)
        self.adam.step()


TRAINERS = {"nn.RNN": RNN, "a loop": Loop, "gradient by hand": ByHand}
