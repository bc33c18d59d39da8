"""Ridge regression of a network's readout on its hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _frame, _ragged, _structure
from elman._interrupt import interruptible
from elman._network import require_network
from elman.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[np.float64]

__all__ = ["ridge_readout"]

_BLOCK_ROWS = 4096  # steps reduced at a time, in float64


def ridge_readout(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float = 1e-6,
    washout: int = 0,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Network:
    """Return a copy of the network with its readout fitted to y by ridge regression.

    W_hy and b_y minimize sum(w |W_hy h + b_y - y'|^2) + alpha |W_hy|^2 over the states h of the top
    layer after every real step, where y' is y before the scaling of outputs: (y - output_mean) /
    output_std. Echo-state networks are trained like this (H. Jaeger, GMD report 148, 2001;
    M. Lukosevicius, "A practical guide to applying echo state networks", 2012, section 4); any
    network can be.

    Parameters
    ----------
    net : Network
        A network whose readout has the activation "identity".
    x : array_like, shape (..., T, I)
        Inputs, as for `Network.run`.
    y : array_like, shape (..., T, O)
        Targets, in the scale of the network's outputs.
    alpha : float
        The penalty on weights but not on biases, at least 0 (scikit-learn's `Ridge`: `alpha`). 0
        gives the least-squares solution of minimum norm.
    washout : int
        Number of steps to leave out at the beginning of each sequence, while the state still
        depends on where it began.
    lengths, state
        As for `Network.run`.
    sample_weight : array_like, shape (...), optional
        Weight of each sequence, at least 0; 1 by default.

    Returns
    -------
    Network

    Raises
    ------
    ShapeError, DTypeError
        If an array has the wrong dtype, or a shape that does not match the network or x.
    ArgumentError
        If the readout is missing or not linear, alpha or a weight is negative, no step is left to
        fit, or a state or target to be fitted is not finite.

    Notes
    -----
    The penalty and the states are reduced to a triangle by QR in float64, block by block. This is
    as accurate as least squares on all rows at once, and avoids the normal equations, which lose
    the squares of small values. NumPy's linear algebra does not give the same bits on every
    machine.

    Examples
    --------
    The next value of a sine, from a reservoir:

    >>> import numpy as np, elman
    >>> wave = np.sin(0.2 * np.arange(500))[:, None]
    >>> net = elman.Network(input_size=1, hidden_size=50, output_size=1,
    ...                     output_activation="identity", init="echo_state", seed=0)
    >>> net = elman.ridge_readout(net, wave[:-1], wave[1:], washout=100)
    >>> bool(np.abs(net(wave[:-1]) - wave[1:])[100:].max() < 1e-3)
    True
    """
    _require_linear_readout(net)
    _arguments.require_one_array("x", x, "pad them to one length and pass lengths=")
    fit = _Fit(net, _arguments.number("alpha", alpha, zero=True))
    x, _ = _frame.read(net, "x", x)
    sequences = x if isinstance(x, _ragged.Rows) else None
    y, known = _frame.targets(net, y, "all", sequences)
    if sequences is not None:
        _ragged.require_none("lengths", lengths, "a data frame of sequences")
        lengths, x = sequences.lengths, sequences.padded("x", sequences.values)
        y = _ragged.pad("y", y, sequences.lengths.tolist())
        known = None if known is None else _ragged.pad("y", known, sequences.lengths.tolist())
    hidden = net.run(x, state=state, lengths=lengths, return_hidden=True).hidden
    assert hidden is not None
    *batch, T, _ = hidden.shape
    targets = _targets(net, y, batch, T)
    weights = _weights(sample_weight, batch)[..., None]

    start = _arguments.size("washout", washout, least=0)
    n = np.broadcast_to(T if lengths is None else lengths, batch)[..., None]
    counted = (np.arange(T) >= start) & (np.arange(T) < n) & (weights > 0)
    used = np.flatnonzero(counted if known is None else counted & np.asarray(known, bool))
    if used.size == 0:
        raise ArgumentError(f"washout: expected sequences longer than {start} steps, got none")

    hidden = hidden[..., -fit.states :].reshape(-1, fit.states)
    targets = targets.reshape(-1, net.output_size)
    roots = np.sqrt(np.repeat(weights, T))
    for rows in np.array_split(used, 1 + used.size // _BLOCK_ROWS):
        _require_finite("the hidden states of x", hidden[rows])
        _require_finite("y", targets[rows])
        fit.add(hidden[rows], targets[rows], roots[rows])
    return fit.network()


class _Fit:
    """A least-squares problem with weighted rows h, 1 | y', stored as the R of its QR."""

    def __init__(self, net: Network, alpha: float) -> None:
        self.net = net
        self.states = net.tensors()[_structure.W_HY].shape[1]
        self.bias = int(_structure.B_Y in net.tensors())
        penalty = np.sqrt(alpha) * np.eye(self.states)
        self.triangle: Any = np.pad(penalty, ((0, 0), (0, self.bias + net.output_size)))

    def add(self, hidden: NDArray[Any], y: NDArray[Any], roots: Array) -> None:
        """Add states (N, H), targets (N, O) and the square roots of their weights (N,)."""
        mean, std = self.net.output_mean, self.net.output_std
        targets = y.astype(np.float64)
        targets = targets if mean is None else targets - mean
        targets = targets if std is None else targets / std
        ones = np.ones((len(hidden), self.bias))
        rows = np.hstack([hidden, ones, targets]) * roots[:, None]
        self.triangle = interruptible(np.linalg.qr, np.vstack([self.triangle, rows]), mode="r")

    def network(self) -> Network:
        """Return the network with the readout that solves the problem."""
        terms = self.states + self.bias
        A, B = self.triangle[:, :terms], self.triangle[:, terms:]
        solution = interruptible(np.linalg.lstsq, A, B, rcond=None)
        readout = {_structure.W_HY: solution[0][: self.states].T}
        if self.bias:
            readout[_structure.B_Y] = solution[0][self.states]
        return self.net.replace(tensors=readout)


# --- checks ---------------------------------------------------------------------------------------


def _require_linear_readout(net: Network) -> None:
    require_network(net)
    if net.output_activation != "identity":
        raise ArgumentError(
            "net: expected a readout with output_activation='identity',"
            f" got {net.output_activation}"
        )


def _targets(net: Network, y: ArrayLike, batch: list[int], T: int) -> NDArray[Any]:
    targets = _arguments.reals("y", y)
    if targets.shape != (*batch, T, net.output_size):
        remedy = (
            ": add an axis for the output, y[..., None]"
            if targets.shape == (*batch, T) and net.output_size == 1
            else ""
        )
        raise ShapeError(f"y: expected {(*batch, T, net.output_size)}, got {targets.shape}{remedy}")
    return targets


def _weights(sample_weight: ArrayLike | None, batch: list[int]) -> NDArray[Any]:
    if sample_weight is None:
        return np.ones(batch)
    weights = _arguments.weights("sample_weight", sample_weight, tuple(batch))
    if weights.size and not weights.any():
        raise ArgumentError("sample_weight: expected a sum above 0, got 0")
    return weights


def _require_finite(argument: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise ArgumentError(
            f"{argument}: expected finite numbers, got {values[~np.isfinite(values)][0]}"
        )
