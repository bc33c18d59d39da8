"""JAX: `jit` of a step under `vmap`, and of one for all rows; the states are donated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

import peers.jax  # noqa: F401 - dispatches on the calling thread
from elman.cli.timing.weights import weights
from ticks import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.weights import Weights

    Array = NDArray[Any]


class Vmap(Pool):
    """The weights are constants of the compiled function."""

    def __init__(self, net: Network, n: int) -> None:
        w = weights(net)
        self.h = jnp.zeros((n, *w.layers[0].b_h.shape), net.dtype)
        self._step = jax.jit(self.function(w), donate_argnums=0)

    def function(self, w: Weights) -> Any:
        ((W_xh, W_hh, b_h, _),) = w.layers

        def step(h, x):
            h = jnp.tanh(W_hh @ h + W_xh @ x + b_h)
            return h, jax.nn.sigmoid(w.W_hy @ h + w.b_y)

        return jax.vmap(step)

    def input(self, x: Array) -> jax.Array:
        return jnp.asarray(x)

    def step(self, x: jax.Array) -> jax.Array:
        self.h, y = self._step(self.h, x)
        return y.block_until_ready()


class Rows(Vmap):
    """The products of all rows."""

    def function(self, w: Weights) -> Any:
        ((W_xh, W_hh, b_h, _),) = w.layers

        def step(h, x):
            h = jnp.tanh(h @ W_hh.T + x @ W_xh.T + b_h)
            return h, jax.nn.sigmoid(h @ w.W_hy.T + w.b_y)

        return step


POOLS = {"vmap": Vmap, "rows": Rows}
