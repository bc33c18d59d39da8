"""JAX: the whole update in one `jit`, all arrays donated, the parameters in one flat array.

Milliseconds with a tree of parameters and with a flat array: 0.058 and 0.038 at (1, 2, 1), T = 100,
B = 1; 0.70 and 0.66 at (16, 32, 4), B = 16. Neither unrolling the scan 2, 5 or 10 times nor moving
the input product into it is faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import peers.jax  # noqa: F401 - both dtypes
from trainers import BETA1, BETA2, CLIP_NORM, EPSILON, LEARNING_RATE, NORM_EPSILON, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network

    Array = NDArray[Any]


class Jax:
    """Gradients by `value_and_grad`."""

    def __init__(self, net: Network, x: Array, y: Array) -> None:
        x, y = (jnp.asarray(a).swapaxes(0, 1) for a in (x, y))
        flat, self.tree = ravel_pytree({k: jnp.asarray(w) for k, w in weights(net).items()})
        self.state = (flat, jnp.zeros_like(flat), jnp.zeros_like(flat), jnp.zeros((), flat.dtype))
        gradient = self.gradient

        def update(flat, m, v, count):
            loss, g = gradient(flat, x, y)
            g = g * jnp.minimum(1, CLIP_NORM / (jnp.sqrt(g @ g) + NORM_EPSILON))
            count = count + 1
            m = BETA1 * m + (1 - BETA1) * g
            v = BETA2 * v + (1 - BETA2) * g * g
            unbiased = m / (1 - BETA1**count), v / (1 - BETA2**count)
            flat = flat - LEARNING_RATE * unbiased[0] / (jnp.sqrt(unbiased[1]) + EPSILON)
            return (flat, m, v, count), loss

        self._update = jax.jit(update, donate_argnums=(0, 1, 2, 3))

    def gradient(self, flat, x, y):
        """Return the loss, and its gradient in one flat array."""

        def loss(flat):
            w = self.tree(flat)
            return jnp.mean((states(w, x) @ w["W_hy"].T + w["b_y"] - y) ** 2)

        return jax.value_and_grad(loss)(flat)

    def update(self) -> None:
        self.state, loss = self._update(*self.state)
        loss.block_until_ready()

    def parameters(self) -> dict[str, Array]:
        return self.tree(self.state[0])


class ByHand(Jax):
    """Gradients written by hand: one product over all steps for each weight matrix."""

    def gradient(self, flat, x, y):
        w = self.tree(flat)
        h = states(w, x)
        error = h @ w["W_hy"].T + w["b_y"] - y
        d_y = error * (2 / error.size)

        def back(d, step):
            d_t, h_t = step
            u = (d_t + d) * (1 - h_t * h_t)
            return u @ w["W_hh"], u

        d_u = jax.lax.scan(back, jnp.zeros_like(h[0]), (d_y @ w["W_hy"], h), reverse=True)[1]
        before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
        x, h, before, d_u, d_y = (a.reshape(-1, a.shape[-1]) for a in (x, h, before, d_u, d_y))
        layer = {"W_xh": d_u.T @ x, "W_hh": d_u.T @ before, "b_h": d_u.sum(0)}
        readout = {"W_hy": d_y.T @ h, "b_y": d_y.sum(0)}
        return jnp.mean(error**2), ravel_pytree(layer | readout)[0]


def states(w, x):
    """Return the states (T, B, H)."""

    def advance(h, u_t):
        h = jnp.tanh(u_t + h @ w["W_hh"].T)
        return h, h

    u = x @ w["W_xh"].T + w["b_h"]
    return jax.lax.scan(advance, jnp.zeros_like(u[0]), u)[1]


TRAINERS = {"value_and_grad": Jax, "gradient by hand": ByHand}
