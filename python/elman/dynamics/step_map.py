"""The map of one step, h_t = F(h_(t-1), x_t), in float64, and products with its derivatives.

In a deep network h is the states of all layers, and layer l reads the new state of layer l - 1:

    z_l = W_hh h_l + W_xh h'_(l-1) + b_h,   h'_l = f(z_l)

so the Jacobian is block lower triangular, with the blocks diag(f'(z_l)) W_hh on its diagonal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _frame, _structure
from elman._interrupt import product
from elman._network import require_network
from elman.errors import ArgumentError, ArgumentTypeError, ShapeError
from elman.reference.activations import activate, slope
from elman.reference.forward import float64, require_forward, scale_inputs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network
    from elman.activation import Activation

    Array = NDArray[np.float64]


class Cell(NamedTuple):
    """A layer in float64."""

    W_xh: Array
    W_hh: Array
    b_h: Array
    activation: Activation


class StepMap:
    """The map of one step of a network."""

    def __init__(self, net: Network, what: str) -> None:
        """Raise for `what`, a function, unless all layers run forward with finite weights."""
        require_network(net)
        require_forward(net, what)
        _arguments.require_finite(net.tensors())
        self.net = net
        self.cells = [
            Cell(float64(l.W_xh), float64(l.W_hh), float64(l.b_h), l.activation) for l in net.layers
        ]
        self.sizes = net.hidden_sizes

    def split(self, state: Array) -> list[Array]:
        """Return the states (..., S) of each layer."""
        return list(_structure.split(state, self.sizes))

    @np.errstate(all="ignore")
    def step(self, state: Array, x: Array) -> tuple[Array, list[Array]]:
        """Return the states (..., S) after a step, and f'(z) of each layer (..., H)."""
        below, after, slopes = scale_inputs(self.net, x), [], []
        for cell, before in zip(self.cells, self.split(state), strict=True):
            z = product(before, cell.W_hh.T) + product(below, cell.W_xh.T) + cell.b_h
            below = activate(self.net, cell.activation, z)
            after.append(below)
            slopes.append(slope(self.net, cell.activation, z))
        return np.concatenate(after, axis=-1), slopes

    @np.errstate(all="ignore")
    def jacobian(self, slopes: list[Array]) -> Array:
        """Return dh_t/dh_(t-1) (..., S, S), from f'(z) of each layer."""
        *batch, _ = slopes[0].shape
        whole = np.zeros((*batch, sum(self.sizes), sum(self.sizes)))
        begin = 0
        below = np.zeros((*batch, self.cells[0].W_xh.shape[1], whole.shape[-1]))
        for cell, f_prime in zip(self.cells, slopes, strict=True):
            end = begin + f_prime.shape[-1]
            rows = whole[..., begin:end, :]
            if begin > 0:
                rows[...] = product(cell.W_xh, below)
            rows[..., begin:end] = cell.W_hh
            rows *= f_prime[..., np.newaxis]
            below, begin = rows, end
        return whole

    @np.errstate(all="ignore")
    def input_jacobian(self, slopes: list[Array]) -> Array:
        """Return dh_t/dx_t (..., S, I), from f'(z) of each layer."""
        below = scaling_of_inputs(self.net)
        parts = []
        for cell, f_prime in zip(self.cells, slopes, strict=True):
            below = f_prime[..., np.newaxis] * product(cell.W_xh, below)
            parts.append(below)
        return np.concatenate(parts, axis=-2)

    def pull_back(self, slopes: list[Array], d: Array) -> Array:
        """Return d dh_t/dh_(t-1) (..., S) for rows d (..., S)."""
        of_layers, before = self.split(d), []
        above: Array | float = 0.0
        for cell, f_prime, d_l in zip(self.cells[::-1], slopes[::-1], of_layers[::-1], strict=True):
            dz = f_prime * (d_l + above)
            before.append(product(dz, cell.W_hh))
            above = product(dz, cell.W_xh)
        return np.concatenate(before[::-1], axis=-1)


def scaling_of_inputs(net: Network) -> Array:
    """Return dx'/dx, diagonal (I, I), where x' is x after the network's scaling."""
    ones = np.ones(net.input_size)
    return np.diag(ones if net.input_std is None else ones * (1 / net.input_std))


# --- arguments ------------------------------------------------------------------------------------


def states_of(net: Network, argument: str, state: ArrayLike) -> Array:
    """Return states (..., S) in float64."""
    states = _finite(argument, state)
    if states.ndim < 1 or states.shape[-1] != net.state_size:
        raise ShapeError(f"{argument}: expected (..., {net.state_size}), got {states.shape}")
    return states


def inputs_of(net: Network, x: ArrayLike | None) -> Array:
    """Return inputs (..., I) in float64; for None one that the first layer reads as zeros."""
    if x is None:
        return float64(net.input_mean) + np.zeros(net.input_size)
    inputs = _finite("x", _frame.read_one(net, "x", x))
    if inputs.ndim < 1 or inputs.shape[-1] != net.input_size:
        raise ShapeError(f"x: expected (..., {net.input_size}), got {inputs.shape}")
    return inputs


def sequence_of(net: Network, x: ArrayLike) -> Array:
    """Return the inputs of one sequence, (T, I) in float64."""
    if x is None:
        raise ArgumentTypeError(f"x: expected inputs (T, {net.input_size}), got None")
    _arguments.require_one_array("x", x, "analyse each one")
    inputs = inputs_of(net, x)
    if inputs.ndim != 2:
        remedy = _arguments.inputs_remedy(x, net.input_size)
        raise ShapeError(f"x: expected (T, {net.input_size}), got {inputs.shape}{remedy}")
    return inputs


def start_of(net: Network, state: ArrayLike | None) -> Array:
    """Return the state (S,) to begin with: by default the network's initial state, or zeros."""
    if state is None:
        return float64(net.initial_state) + np.zeros(net.state_size)
    start = states_of(net, "state", state)
    if start.ndim != 1:
        raise ShapeError(f"state: expected {(net.state_size,)}, got {start.shape}")
    return start


def broadcast(state: Array, x: Array) -> tuple[Array, Array]:
    """Return states (..., S) and inputs (..., I) with equal leading axes."""
    try:
        batch = np.broadcast_shapes(state.shape[:-1], x.shape[:-1])
    except ValueError:
        raise ShapeError(
            f"x: expected leading axes like those of state, {state.shape[:-1]}, got {x.shape[:-1]}"
        ) from None
    return np.broadcast_to(state, (*batch, state.shape[-1])), np.broadcast_to(
        x, (*batch, x.shape[-1])
    )


def _finite(argument: str, values: Any) -> Array:  # noqa: ANN401
    numbers = _arguments.reals(argument, values).astype(np.float64)
    if not np.isfinite(numbers).all():
        wrong = numbers[~np.isfinite(numbers)][0]
        raise ArgumentError(f"{argument}: expected finite numbers, got {wrong}")
    return numbers
