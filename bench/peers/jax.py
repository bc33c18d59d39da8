"""JAX: `jit`, with `lax.scan` over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from elman.peers.base import Peer
from elman.peers.weights import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman import Network
    from elman.peers.base import Step

    Array = NDArray[Any]

jax.config.update("jax_enable_x64", True)


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
            """Layer by layer, with time as the first axis and the input product hoisted."""
            below = jnp.swapaxes(x, 0, -2)
            for W_xh, W_hh, b_h, h_0 in w.layers:

                def advance(h, u_t, W_hh=W_hh):
                    h = jnp.tanh(u_t + h @ W_hh.T)
                    return h, h

                u = below @ W_xh.T + b_h
                _, below = jax.lax.scan(advance, jnp.broadcast_to(h_0, u.shape[1:]), u)
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
