"""The gradients of one batch: of a built-in loss, or from the derivatives of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments, _core, _frame
from elman._network import require_network
from elman._parameters import core_of
from elman.gradients import Gradients
from elman.training import data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from elman._network import Network


def loss_and_gradients(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: str = "mse",
    outputs: str | None = None,
    *,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    step_weight: ArrayLike | None = None,
    bptt_steps: int | None = None,
    update_every: int | None = None,
    normalizer: float | None = None,
    threads: int = 1,
) -> tuple[float, Gradients]:
    """Compute the loss of a batch and its gradients by backpropagation through time.

    The loss is sum(w l) / sum(w), where w is the weight of a step and l its loss: the squared error
    or binary cross-entropy averaged over the outputs, or the cross-entropy. Without weights this is
    PyTorch's default mean.

    Parameters
    ----------
    net : Network
        The network.
    x : array_like, shape (..., T, I), or list of array_like, shape (T_i, I)
        Inputs, as for `Network.run`; or sequences of any lengths.
    y : array_like, shape (..., T, O), or (..., O) for the last; without O for classes
        Targets; for "cross_entropy" classes, integers from 0 to O - 1. A list of arrays if `x` is
        one and `outputs` is "all".
    loss : {"mse", "bce", "cross_entropy"}
        The squared error of any output; the binary cross-entropy of a sigmoid readout (PyTorch:
        `BCEWithLogitsLoss`); the cross-entropy of a softmax or log_softmax readout (PyTorch:
        `CrossEntropyLoss`).
    outputs : {"all", "last"}, optional
        Whether the loss covers every real step or only the last; by default "all", or for data
        frames the setting of the network's table.
    lengths : array_like of int, shape (...), optional
        Number of real steps of each sequence. Padded steps have weight 0, whatever they contain.
    state : array_like, shape (..., state_size), optional
        State to begin with; by default the network's initial state.
    sample_weight : array_like, shape (...), optional
        Weights of the sequences, at least 0.
    step_weight : array_like, shape (..., T), optional
        Weights of the steps, at least 0, broadcast over the batch axes; only with "all".
    bptt_steps, update_every : int, optional
        Truncation: gradients from steps jm to (j+1)m - 1, m = `update_every`, flow back to step
        (j+1)m - k at the earliest, k = `bptt_steps`. By default m = k, and there is no truncation.
    normalizer : float, optional
        Divide by this instead of sum(w), so that the results of parts can be added.
    threads : int
        Number of threads, which share the sequences. The results have the same bits for any number.

    Returns
    -------
    loss : float
        The loss.
    gradients : Gradients
        New arrays of the network's dtype, named as the weights: `gradients.layers[0].W_hh`,
        `gradients.readout.b_y`, `gradients.initial_state`.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If an argument is invalid for this network and loss; raised before any computation.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> x, y = np.ones((5, 10, 3)), np.zeros((5, 10, 2))
    >>> loss, grads = elman.loss_and_gradients(net, x, y)
    >>> grads.layers[0].W_xh.shape
    (8, 3)
    """
    require_network(net)
    outputs = _frame.outputs_for(net, x, outputs)
    batch = data.collect(net, x, y, outputs, lengths, state, sample_weight, step_weight)
    value, tensors = _core.loss_and_gradients(
        core_of(net),
        data.examples(net, batch, loss, outputs),
        None if bptt_steps is None else _arguments.size("bptt_steps", bptt_steps),
        None if update_every is None else _arguments.size("update_every", update_every),
        None if normalizer is None else _arguments.number("normalizer", normalizer),
        _arguments.size("threads", threads),
    )
    return value, Gradients.from_tensors(tensors)


def backward(
    net: Network,
    x: ArrayLike,
    dL_dy: ArrayLike,
    dL_dh: ArrayLike | None = None,
    *,
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    outputs: str = "all",
    threads: int = 1,
) -> Gradients:
    """Compute gradients from the derivatives of your own loss.

    Backpropagation through time (P. J. Werbos, "Backpropagation through time: what it does and how
    to do it", Proceedings of the IEEE 78, 1990): from the derivatives of a loss L with respect to
    the outputs, and optionally the hidden states, compute those with respect to the weights, the
    initial state and the inputs. L may be differentiated by hand or by another package.

    Parameters
    ----------
    net : Network
        The network; all its layers must run forward.
    x : array_like, shape (..., T, I)
        Inputs, as for `Network.run`.
    dL_dy : array_like, shape (..., T, O), or (..., O) for the last
        Derivatives of L with respect to the outputs, in the scale of the outputs.
    dL_dh : array_like, shape (..., T, state_size), optional
        Direct derivatives of L with respect to the hidden states of all layers, as `Network.run`
        returns them with `return_hidden=True`; for example, of a penalty on activity.
    lengths : array_like of int, shape (...), optional
        Number of real steps of each sequence. Derivatives of padded steps are ignored.
    state : array_like, shape (..., state_size), optional
        State to begin with, broadcast over the batch axes; by default the network's initial state.
    outputs : {"all", "last"}
        Whether `dL_dy` covers every step or only the last real one.
    threads : int
        Number of threads, which share the sequences. The results have the same bits for any number.

    Returns
    -------
    Gradients
        As from `loss_and_gradients`, and `gradients.x` (..., T, I) with respect to the inputs, zero
        at padded steps.

    Raises
    ------
    ShapeError, DTypeError
        If an argument has the wrong shape or dtype.
    ArgumentError
        If a layer does not run forward, or an activation has no derivative.

    Examples
    --------
    The squared error, which `loss_and_gradients` also provides:

    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> x, y = np.ones((5, 10, 3)), np.zeros((5, 10, 2))
    >>> error = net(x) - y
    >>> gradients = elman.backward(net, x, 2 * error / error.size)
    >>> _, same = elman.loss_and_gradients(net, x, y)
    >>> bool(np.allclose(gradients.layers[0].W_hh, same.layers[0].W_hh))
    True
    >>> gradients.x.shape
    (5, 10, 3)
    """
    require_network(net)
    tensors, of_x = _core.backward(
        core_of(net),
        _frame.read_one(net, "x", x),
        dL_dy,
        dL_dh,
        lengths,
        state,
        outputs,
        _arguments.size("threads", threads),
    )
    return Gradients.from_tensors(tensors, of_x)
