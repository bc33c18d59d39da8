"""PyTorch: autograd, `clip_grad_norm_` and the fused `torch.optim.Adam`, the fastest variant.

Milliseconds at (16, 32, 4), T = 100, B = 16: default Adam 3.2, foreach 3.2, fused 3.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear, mse_loss

import peers.torch  # noqa: F401 - one thread
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


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
        self.adam = torch.optim.Adam(
            tensors, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True
        )

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


TRAINERS = {"nn.RNN": RNN, "a loop": Loop}
