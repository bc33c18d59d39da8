"""JAX: `jit` with `lax.scan` over time, dispatched on the calling thread.

us per step at (16, 32, 4) with a second thread, as by default: 14.0; on the calling thread (used
here) 5.6; with the joined x and h in one product 6.2; as a sum of columns 6.2. Compiling ahead of
time (`lower(...).compile()`) and not donating the state change it by less than 4 %; donating the
outputs of a sequence by less than 1 %.
"""

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
jax.config.update("jax_cpu_enable_async_dispatch", False)

SMALL = 32  # the largest hidden size at which a sum of columns is faster than a product


def _hoisted(layer, x):
    """Return the states of a layer over x (T, I), with one product for the inputs of all steps.

    ns per step at H = 16, 32, 64, 256, 512: by a product 113, 162, 185, 2573, 9217; by a sum of
    columns 102, 142, 421, 3510, 10861, with four steps in each turn of the loop 171, 105, 575,
    3783, 14770. At H = 32, 64, 256, 1024 in another run with one product 320, 380, 3863, 71560;
    with the inputs' product inside the scan 252, 488, 4459, 75023.
    """
    W_xh, W_hh, b_h, h_0 = layer
    H = len(h_0)

    def advance(h, u_t):
        product = (W_hh.T * h[:, None]).sum(0) if H <= SMALL else W_hh @ h
        h = jnp.tanh(u_t + product)
        return h, h

    unroll = 4 if H == SMALL else 1
    return jax.lax.scan(advance, jnp.asarray(h_0), x @ W_xh.T + b_h, unroll=unroll)[1]


def _direct(layer, x):
    """Return the states of a layer over x (T, B, I), with a product in each step.

    GFLOP/s at H = 32, 64, 128, 256, 512: 27, 47, 61, 27, 65; hoisted 22, 40, 55, 26, 48. In
    another run the joined x and h in one product, four steps in each turn of the loop, or states
    (H, B) were within 7 % or slower.
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

        def generate(x, steps):
            def advance(carried, _):
                states, y = step(*carried)
                return (states, y), y

            return jax.lax.scan(advance, (self.h_0, x), length=steps)[1]

        self.step = jax.jit(step, donate_argnums=0)
        self._generate = jax.jit(generate, static_argnums=1)
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

    def generate(self, x: Array, steps: int) -> jax.Array:
        """Return the outputs (steps, O) after x (I,), each the next input."""
        return self._generate(x, steps).block_until_ready()


PEER = Jax
