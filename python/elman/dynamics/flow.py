"""How the gradient of a loss passes back through the steps of a sequence."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments
from elman._interrupt import interruptible, product
from elman._json import for_json
from elman.dynamics.record import Record
from elman.dynamics.step_map import StepMap
from elman.errors import ArgumentError
from elman.reference.activations import steepest
from elman.reference.forward import float64, run, start_state
from elman.reference.gradients import loss_of_step, readout_sum
from elman.training.data import Data, collect, examples, require_weight

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Record):
    """The gradient of a loss at every step, by lag; from `gradient_flow`.

    h_s is the state of the whole network after step s, L = sum of L_t the loss of a sequence, and
    k = t - s the lag. Values for s < 0, before the first step, are NaN.

    Attributes
    ----------
    norms : ndarray, shape (..., T, K)
        |dL_t/dh_(t-k)|, Euclidean: `norms[..., t, k]` is how much the loss of step t depends on the
        state k steps before.
    layer_norms : ndarray, shape (..., T, K, L)
        The same for the part of each layer, from the bottom up.
    total : ndarray, shape (..., T)
        |dL/dh_s|, of all L_t with t >= s together, whatever K is.
    gradients : ndarray, shape (..., T, S)
        dL/dh_s.
    bound : ndarray, shape (K,)
        An upper bound of `jacobian_norms` for any data: (sigma max|f'|)^k with the largest singular
        value sigma of W_hh for one layer, and for several the norm of the k-th power of the matrix
        of such bounds between layers.
    loss : ndarray, shape (...)
        L of each sequence.
    """

    norms: Array
    layer_norms: Array
    total: Array
    gradients: Array
    bound: Array
    loss: Array
    _map: StepMap = field(compare=False)
    _slopes: list[Array] = field(compare=False)

    @functools.cached_property
    @np.errstate(all="ignore")
    def jacobian_norms(self) -> Array:
        """|J_t ... J_(t-k+1)|, shape (..., T, K): the largest singular values of dh_t/dh_(t-k).

        For k = 0 they are 1. Computed when first read, in O(T K S^3).
        """
        # 96 % of the time is the singular values; those of P^T P took as long (S = 64).
        J = self._map.jacobian(self._slopes)
        norms = np.full_like(self.norms, np.nan)
        norms[..., 0] = 1.0
        P = J.copy()
        for k in range(1, norms.shape[-1]):
            norms[..., k:, k] = _spectral_norms(P[..., k:, :, :])
            P[..., k:, :, :] = product(P[..., k:, :, :], J[..., :-k, :, :])
        return norms

    def to_dict(self) -> dict[str, Any]:
        """Return the parts, `jacobian_norms` included, as lists and numbers for JSON."""
        return {**super().to_dict(), "jacobian_norms": for_json(self.jacobian_norms)}

    def __repr__(self) -> str:
        T, K = self.norms.shape[-2:]
        return f"GradientFlow({T} steps, lags 0 to {K - 1}, norms {self.norms.shape})"


@np.errstate(all="ignore")  # an explosion may overflow
def gradient_flow(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: str = "mse",
    outputs: str = "all",
    state: ArrayLike | None = None,
    lags: int | None = None,
) -> GradientFlow:
    """Compute how the gradient of a loss vanishes or explodes on its way back in time.

    dL_t/dh_s = dL_t/dh_t J_t ... J_(s+1), with the Jacobians J_t = dh_t/dh_(t-1) of the steps
    between: gradients shrink or grow with the lag t - s like products of Jacobians (S. Hochreiter,
    diploma thesis, TU München, 1991; Y. Bengio, P. Simard and P. Frasconi, "Learning long-term
    dependencies with gradient descent is difficult", IEEE Transactions on Neural Networks 5, 1994;
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013).

    Parameters
    ----------
    net : Network
        A network whose layers all run forward.
    x : array_like, shape (..., T, I)
        Inputs. The sequences of a batch are kept apart.
    y : array_like, shape (..., T, O), or (..., O) for the last; without O for classes
        Targets, as for `elman.loss_and_gradients`.
    loss : {"mse", "bce", "cross_entropy"}
        As for `elman.loss_and_gradients`. L is the mean over the steps of one sequence, and L_t the
        part of step t.
    outputs : {"all", "last"}
        Whether the loss covers every step or only the last.
    state : array_like, shape (..., S), optional
        State to begin with; by default the network's initial state.
    lags : int, optional
        The largest lag; by default T - 1. The work grows with T and with lags.

    Returns
    -------
    GradientFlow
        `norms` by step and lag, `total`, `jacobian_norms` and their `bound`, in float64.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If an argument is invalid for this network and loss, or a layer does not run forward.

    Notes
    -----
    dL/dh_s is the derivative with respect to the state as a whole, as if it were the initial state
    of the steps that follow, plus that of L_s itself: for s < T - 1 it is
    `loss_and_gradients(net, x[s + 1:], y[s + 1:], state=h_s)[1].initial_state`, times
    (T - 1 - s) / T with `outputs="all"`, plus dL_s/dh_s.

    Examples
    --------
    A network whose gradients vanish:

    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0)
    >>> x, y = np.ones((50, 1)), np.array([0.5])
    >>> flow = elman.dynamics.gradient_flow(net, x, y, outputs="last", lags=20)
    >>> flow
    GradientFlow(50 steps, lags 0 to 20, norms (50, 21))
    >>> bool(flow.norms[-1, 20] < 1e-4 * flow.norms[-1, 0])
    True
    """
    of_step = StepMap(net, "gradient_flow")
    _arguments.require_one_array("x", x, "analyse each one")
    data = collect(net, x, y, outputs, None, state)
    if data.lengths is not None:
        raise ArgumentError(
            "x: expected one sequence, or sequences of one length in an array, got a data frame of"
            " several: analyse each one"
        )
    require_weight(examples(net, data, loss, outputs))
    *batch, T, _ = data.x.shape
    K = T if lags is None else min(T, _arguments.size("lags", lags, least=0) + 1)
    inputs = np.asarray(data.x, dtype=np.float64)
    hidden = run(net, inputs, data.state).hidden
    if not np.isfinite(hidden).all():
        raise ArgumentError("x: expected inputs that keep the states finite, got others")
    first = start_state(net, data.state, list(batch))[..., np.newaxis, :]
    _, slopes = of_step.step(np.concatenate([first, hidden[..., :-1, :]], axis=-2), inputs)

    values, direct = _direct(net, hidden, data, loss, outputs)
    layer_norms = np.full((*batch, T, K, len(of_step.sizes)), np.nan)
    d = direct  # row t: dL_t/dh_(t-k)
    for k in range(K):
        if k > 0:
            d = of_step.pull_back([f[..., 1 : T - k + 1, :] for f in slopes], d[..., 1:, :])
        for index, part in enumerate(of_step.split(d)):
            layer_norms[..., k:, k, index] = _lengths(part)
    gradients = _accumulated(of_step, slopes, direct)
    return GradientFlow(
        norms=_lengths(layer_norms),
        layer_norms=layer_norms,
        total=_lengths(gradients),
        gradients=gradients,
        bound=_bound(of_step, K),
        loss=values,
        _map=of_step,
        _slopes=slopes,
    )


def _direct(
    net: Network, hidden: Array, data: Data, loss: str, outputs: str
) -> tuple[Array, Array]:
    """Return the losses (...) of the sequences, and dL_t/dh_t (..., T, S) of every step."""
    *batch, T, S = hidden.shape
    steps = 1 if outputs == "last" else T
    y = data.y.reshape(*batch, steps, *([] if loss == "cross_entropy" else [-1]))
    w = np.ones(1) if data.weights is None else data.weights.reshape(*batch, steps)
    w = np.broadcast_to(w, (*batch, steps))
    w = w / w.sum(axis=-1, keepdims=True)
    l, dz = loss_of_step(net, loss, readout_sum(net, hidden[..., T - steps :, :]), y, w != 0)
    d_top = w[..., np.newaxis] * dz
    if net.readout is not None:
        d_top = product(d_top, float64(net.readout.W_hy))
    direct = np.zeros_like(hidden)
    direct[..., T - steps :, S - d_top.shape[-1] :] = d_top
    return (w * l).sum(axis=-1), direct


def _accumulated(of_step: StepMap, slopes: list[Array], direct: Array) -> Array:
    """Return dL/dh_s (..., T, S) from the direct dL_s/dh_s: backpropagation through time."""
    gradients = direct.copy()
    for s in reversed(range(direct.shape[-2] - 1)):
        after = gradients[..., s + 1, :]
        gradients[..., s, :] += of_step.pull_back([f[..., s + 1, :] for f in slopes], after)
    return gradients


def _bound(of_step: StepMap, K: int) -> Array:
    """Return the bounds (K,) of the norms of products of 0 to K - 1 Jacobians.

    The norm of a block matrix is at most that of the matrix of the norms of its blocks. Block
    (l, m) of a Jacobian is D_l W_xh ... D_(m+1) W_xh D_m W_hh, with D = diag(f').
    """
    L = len(of_step.cells)
    blocks = np.zeros((L, L))
    for l, cell in enumerate(of_step.cells):
        steep = steepest(of_step.net, cell.activation)
        if l > 0:
            blocks[l] = steep * _spectral_norms(cell.W_xh) * blocks[l - 1]
        blocks[l, l] = steep * _spectral_norms(cell.W_hh)
    powers = [np.eye(L)]
    while len(powers) < K:
        powers.append(powers[-1] @ blocks)
    return _spectral_norms(np.array(powers))


def _lengths(vectors: Array) -> Array:
    """Return the norms (...) of vectors (..., N), whose squares may overflow or vanish."""
    sizes = np.abs(vectors).max(axis=-1, keepdims=True)
    scales = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 1.0)
    lengths: Array = np.linalg.norm(vectors / scales, axis=-1) * scales[..., 0]
    return lengths


def _spectral_norms(matrices: Array) -> Array:
    """Return the largest singular values (...) of matrices (..., M, N), infinite on overflow."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(matrices), axis=(-2, -1))
    known = np.where(finite[..., None, None], matrices, 0.0)
    norms = interruptible(np.linalg.norm, known, ord=2, axis=(-2, -1))
    return np.where(finite, norms, np.inf)
