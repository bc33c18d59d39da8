"""The derivatives of one step, and the linear system around a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elman._interrupt import product
from elman.dynamics.record import Record
from elman.dynamics.step_map import StepMap, broadcast, inputs_of, states_of
from elman.reference.activations import backward
from elman.reference.forward import float64, read_out
from elman.reference.gradients import readout_sum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Jacobian(Record):
    """The derivatives of the state after a step, from `jacobian`.

    Attributes
    ----------
    state : ndarray, shape (..., S, S)
        dh_t/dh_(t-1): `state[..., i, j]` is the derivative of unit i after the step with respect to
        unit j before it.
    input : ndarray, shape (..., S, I)
        dh_t/dx_t, with x in the scale of the data.
    """

    state: Array
    input: Array

    def __repr__(self) -> str:
        return f"Jacobian(state {self.state.shape}, input {self.input.shape})"


def jacobian(net: Network, state: ArrayLike, x: ArrayLike | None = None) -> Jacobian:
    """Compute the derivatives of one step with respect to the state and the input.

    Analytic for every activation and number of layers: of one layer dh_t/dh_(t-1) is
    diag(f'(z_t)) W_hh with z_t = W_hh h_(t-1) + W_xh x_t + b_h. In a deep network it is block lower
    triangular, because a layer reads the new state of the one below; its eigenvalues are those of
    the blocks on the diagonal.

    Parameters
    ----------
    net : Network
        A network whose layers all run forward.
    state : array_like, shape (..., S)
        h_(t-1), the states of all layers; S is the network's `state_size`.
    x : array_like, shape (..., I), optional
        x_t, broadcast against the leading axes of `state`; by default the input that the first
        layer reads as zeros: zeros, or `input_mean` where the network has one.

    Returns
    -------
    Jacobian
        `state` (..., S, S) and `input` (..., S, I), in float64.

    Raises
    ------
    ShapeError, DTypeError
        If an argument has the wrong shape or dtype.
    ArgumentError
        If a layer does not run forward, or a number is not finite.

    Notes
    -----
    Where an activation has a corner, such as relu at 0, its derivative is 0 or the left one, as in
    training; where its argument is clipped, it is 0.

    Examples
    --------
    The Jacobians of all steps of a sequence, from the states before them:

    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> x = np.ones((10, 2))
    >>> hidden = net.run(x, return_hidden=True).hidden
    >>> before = np.vstack([np.zeros((1, 3)), hidden[:-1]])
    >>> elman.dynamics.jacobian(net, before, x)
    Jacobian(state (10, 3, 3), input (10, 3, 2))
    """
    of_step = StepMap(net, "jacobian")
    _, slopes = of_step.step(*broadcast(states_of(net, "state", state), inputs_of(net, x)))
    return Jacobian(of_step.jacobian(slopes), of_step.input_jacobian(slopes))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Linearization(Record):
    """The linear system around a point, from `linearize`.

    With dh = h_(t-1) - `state` and dx = x_t - `x`, to first order

        h_t = `next_state` + A dh + B dx
        y_t = `output` + C dh + D dx

    Attributes
    ----------
    A : ndarray, shape (..., S, S)
        dh_t/dh_(t-1).
    B : ndarray, shape (..., S, I)
        dh_t/dx_t.
    C : ndarray, shape (..., O, S)
        dy_t/dh_(t-1).
    D : ndarray, shape (..., O, I)
        dy_t/dx_t.
    state : ndarray, shape (..., S)
        The point's h_(t-1).
    x : ndarray, shape (..., I)
        The point's x_t.
    next_state : ndarray, shape (..., S)
        h_t at the point; equal to `state` at a fixed point.
    output : ndarray, shape (..., O)
        y_t at the point.
    """

    A: Array
    B: Array
    C: Array
    D: Array
    state: Array
    x: Array
    next_state: Array
    output: Array

    def __repr__(self) -> str:
        parts = (f"{name} {getattr(self, name).shape}" for name in "ABCD")
        return f"Linearization({', '.join(parts)})"


@np.errstate(all="ignore")  # infinite derivatives are returned
def linearize(net: Network, state: ArrayLike, x: ArrayLike | None = None) -> Linearization:
    """Linearize a network and its readout around a state and an input.

    The system has the form of control theory with h_(t-1) as its state: y_t reads h_t, and so
    depends on h_(t-1) and x_t. `scipy.signal.StateSpace(A, B, C, D, dt=1)` is the system of
    deviations from a fixed point.

    Parameters
    ----------
    net, state, x
        As for `jacobian`.

    Returns
    -------
    Linearization
        A, B, C, D and the point, in float64 and in the scale of the data.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As for `jacobian`.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> system = elman.dynamics.linearize(net, np.zeros(3))
    >>> system
    Linearization(A (3, 3), B (3, 2), C (1, 3), D (1, 2))
    >>> dx = np.array([1e-4, 0.0])
    >>> change = net.astype("float64")(dx[None])[0] - system.output
    >>> bool(np.allclose(system.D @ dx, change, rtol=1e-3))
    True
    """
    of_step = StepMap(net, "linearize")
    state, x = broadcast(states_of(net, "state", state), inputs_of(net, x))
    after, slopes = of_step.step(state, x)
    A, B = of_step.jacobian(slopes), of_step.input_jacobian(slopes)
    G = _readout_jacobian(net, after)
    top = G.shape[-1]
    C, D = product(G, A[..., -top:, :]), product(G, B[..., -top:, :])
    output = read_out(net, of_step.split(after)[-1])
    return Linearization(A, B, C, D, state.copy(), x.copy(), after, output)


@np.errstate(all="ignore")
def _readout_jacobian(net: Network, state: Array) -> Array:
    """Return dy_t/dh_t (..., O, H) of the top layer's states among those of all (..., S)."""
    z = readout_sum(net, state)
    eye = np.eye(z.shape[-1])
    if net.readout is None:
        G = np.broadcast_to(eye, (*z.shape, z.shape[-1])).copy()
    else:
        rows = backward(net, net.readout.activation, z[..., np.newaxis, :], eye)
        G = product(rows, float64(net.readout.W_hy))
    return G if net.output_std is None else float64(net.output_std)[:, np.newaxis] * G
