"""JAX: `jit`, with `lax.scan` over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from elman.cli.timing.base import Peer
from elman.cli.timing.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.cli.timing.base import Step

    Array = NDArray[Any]

jax.config.update("jax_enable_x64", True)


def _hoisted(layer, x):
    """Return the states of a layer over x (T, I), with one product for the inputs of all steps.

    ns per step at H = 32, 64, 256, 1024: 320, 380, 3863, 71560; with the product inside the scan
    252, 488, 4459, 75023.
    """
    W_xh, W_hh, b_h, h_0 = layer

    def advance(h, u_t):
        h = jnp.tanh(u_t + W_hh @ h)
        return h, h

    return jax.lax.scan(advance, jnp.asarray(h_0), x @ W_xh.T + b_h)[1]


def _direct(layer, x):
    """Return the states of a layer over x (T, B, I), with a product in each step.

    GFLOP/s at H = 32, 64, 128, 256, 512: 27, 47, 61, 27, 65; hoisted 22, 40, 55, 26, 48.
    """
    W_xh, W_hh, b_h, h_0 = layer

    def advance(h, x_t):
        h = jnp.tanh(h @ W_hh.T + x_t @ W_xh.T + b_h)
        return h, h

    return jax.lax.scan(advance, jnp.broadcast_to(h_0, (x.shape[1], len(h_0))), x)[1]


class Jax(Peer):
    """The weights are constants of the compiled functions; the state of a step is donated."""

    def __init__(self, net: Network) -> None:
        w = weights(net)
        self.h_0 = [layer.h_0 for layer in w.layers]

        def readout(h):
            z = h @ w.W_hy.T + w.b_y
            return jax.nn.sigmoid(z) if w.sigmoid else z

        def step(states, x_t):
            after = []
            for (W_xh, W_hh, b_h, _), h in zip(w.layers, states, strict=True):
                x_t = jnp.tanh(W_hh @ h + W_xh @ x_t + b_h)
                after.append(x_t)
            return after, readout(x_t)

        def run(x):
            below = jnp.swapaxes(x, 0, -2)
            for layer in w.layers:
                below = _hoisted(layer, below) if x.ndim == 2 else _direct(layer, below)
            return jnp.swapaxes(readout(below), 0, -2)

        self.step = jax.jit(step, donate_argnums=0)
        self._run = jax.jit(run)

    def input(self, x: Array) -> jax.Array:
        return jnp.asarray(x)

    def steps(self) -> dict[str, Step]:
        advance, states = self.step, [jnp.array(h) for h in self.h_0]

        def step(x_t: jax.Array) -> jax.Array:
            nonlocal states
            states, y_t = advance(states, x_t)
            return y_t.block_until_ready()

        return {"": step}

    def run(self, x: jax.Array) -> jax.Array:
        return self._run(x).block_until_ready()


PEER = Jax
