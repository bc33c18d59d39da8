"""The network in NumPy, one line per equation: one step and whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _structure
from elman.errors import ArgumentError
from elman.reference.activations import activate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Layer, Parameters

    Array = NDArray[np.float64]


class Run(NamedTuple):
    """Outputs (..., T, O), the last states (..., S) and all states (..., T, S), S = state_size."""

    output: Array
    state: Array
    hidden: Array


@np.errstate(all="ignore")  # NaN and infinities in data propagate without a warning
def step(net: Parameters, x: ArrayLike, state: ArrayLike) -> tuple[Array, Array]:
    """Compute one step of the network.

    Parameters
    ----------
    net
        The network.
    x
        Inputs (..., I) in the user's scale.
    state
        States before the step (..., state_size): hidden states of the layers from the bottom up.

    Returns
    -------
    y, state
        Outputs (..., O) in the user's scale and the states after the step, both float64.

    Raises
    ------
    ArgumentError
        If a layer does not run forward.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> y, h = elman.reference.step(net, [0.5, -1.0], [0.0, 0.0, 0.0])
    >>> y.shape, h.shape
    ((1,), (3,))
    """
    require_forward(net, "step")
    below = scale_inputs(net, np.asarray(x, dtype=np.float64))
    h = []
    for layer, h_before in zip(net.layers, by_layer(net, state), strict=True):
        below = _cell(net, layer, below, h_before)
        h.append(below)
    return read_out(net, below), np.concatenate(h, axis=-1)


def _cell(net: Parameters, layer: Layer, x: Array, h: Array) -> Array:
    """Return the states (..., H) of a layer after a step, from inputs and states before it."""
    W_xh, W_hh, b_h = float64(layer.W_xh), float64(layer.W_hh), float64(layer.b_h)
    # v @ W.T is the W v of the equations for rows v, one for each sequence.
    return activate(net, layer.activation, h @ W_hh.T + x @ W_xh.T + b_h)


def read_out(net: Parameters, top: Array) -> Array:
    """Return the outputs (..., O) from the top layer's states."""
    y = top
    if net.readout is not None:
        W_hy, b_y = float64(net.readout.W_hy), float64(net.readout.b_y)
        y = activate(net, net.readout.activation, top @ W_hy.T + b_y)
    return scale_outputs(net, y)


def run(
    net: Parameters,
    x: ArrayLike,
    state: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    masked: str | None = None,
) -> Run:
    """Run the network over whole sequences, layer by layer, one step at a time.

    A reverse layer is a forward layer on the reversed steps.

    Parameters
    ----------
    net
        The network.
    x
        Inputs (..., T, I) in the user's scale.
    state
        States before the first step, broadcast to (..., state_size); by default the network's
        `initial_state`, or zeros.
    lengths
        Numbers of real steps (...), 0 to T; by default T. Later steps are padding: the state is
        held, the output is zero, and their inputs are not used.
    mask, masked
        Instead of lengths, which steps (..., T) are real; at the others the output is the readout
        of the held states ("hold") or of zeros ("zero"), by default as the network says.

    Returns
    -------
    Run
        output (..., T, O), the state after the last real step (..., state_size) (for a reverse
        layer, the first), and the states after every step (..., T, state_size), all float64.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> elman.reference.run(net, [[0.5, -1.0], [0.0, 1.0]]).output.shape
    (2, 1)
    """
    x = np.asarray(x, dtype=np.float64)
    *batch, T, _ = x.shape
    kind = masked_of(net, mask, masked)
    return run_real(net, x, state, real_steps(lengths, mask, batch, T), kind)


@np.errstate(all="ignore")
def run_real(
    net: Parameters, x: Array, state: ArrayLike | None, steps: NDArray[np.bool_], kind: str
) -> Run:
    """Run the network over the steps (..., T) that are real; `kind` is that of the others."""
    *batch, _, _ = x.shape
    real = steps[..., np.newaxis]
    starts = by_half(net, start_state(net, state, batch))
    below = scale_inputs(net, x)
    hidden, last = [], []
    for layer in net.layers:
        gives = []
        for half, backwards in halves_of(layer):
            after, h = run_half(net, half, backwards, below, next(starts), real)
            gives.append(after)
            last.append(h)
        below = np.concatenate(gives, axis=-1)
        hidden.append(below)
    if kind == "zero":
        below = np.where(real, below, 0.0)
    output = read_out(net, below)
    if kind == "padding":
        output = np.where(real, output, 0.0)
    return Run(output, np.concatenate(last, axis=-1), np.concatenate(hidden, axis=-1))


def run_half(
    net: Parameters, half: Layer, backwards: bool, below: Array, h: Array, real: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Return the states (..., T, H) of half a layer after every step (..., T, 1), and the last."""
    T = below.shape[-2]
    after = np.zeros((*below.shape[:-1], len(half.W_hh)))
    for t in reversed(range(T)) if backwards else range(T):
        # Steps that are not real are skipped: the state is held.
        h = np.where(real[..., t, :], _cell(net, half, below[..., t, :], h), h)
        after[..., t, :] = h
    return after, h


def halves_of(layer: Layer) -> list[tuple[Layer, bool]]:
    """Return the halves of a layer, forward before reverse, each with whether it runs backwards."""
    first = (layer, layer.direction == "reverse")
    return [first] if layer.reverse is None else [first, (layer.reverse, True)]


def runs_forward(net: Parameters) -> bool:
    """Return whether all layers run forward."""
    return all(layer.direction == "forward" for layer in net.layers)


def require_forward(net: Parameters, what: str) -> None:
    """Raise unless all layers run forward."""
    if not runs_forward(net):
        found = [layer.direction for layer in net.layers]
        raise ArgumentError(f"{what}: expected layers that all run forward, got {found}")


def scale_inputs(net: Parameters, x: NDArray[Any]) -> NDArray[Any]:
    """Return x' = (x - input_mean) * (1 / input_std), 1 / input_std in the network's dtype."""
    if net.input_mean is not None:
        x = x - net.input_mean
    if net.input_std is not None:
        x = x * (1 / net.input_std)
    return x


def scale_outputs(net: Parameters, y: Array) -> Array:
    """Return y * output_std + output_mean."""
    if net.output_std is not None:
        y = y * net.output_std
    if net.output_mean is not None:
        y = y + net.output_mean
    return y


def by_layer(net: Parameters, state: ArrayLike) -> Iterator[Array]:
    """Split states (..., state_size) by layer, from the bottom up."""
    return _structure.split(np.asarray(state, dtype=np.float64), sizes_of_layers(net))


def sizes_of_layers(net: Parameters) -> list[int]:
    """Return the number of states of each layer."""
    return [sum(len(half.W_hh) for half, _ in halves_of(l)) for l in net.layers]


def by_half(net: Parameters, state: ArrayLike) -> Iterator[Array]:
    """Split states (..., state_size) by half, from the bottom up."""
    sizes = [len(half.W_hh) for l in net.layers for half, _ in halves_of(l)]
    return _structure.split(np.asarray(state, dtype=np.float64), sizes)


def float64(weights: NDArray[Any] | None) -> Array:
    """Return weights in float64; 0 for a missing bias."""
    return np.asarray(0.0 if weights is None else weights, dtype=np.float64)


def start_state(net: Parameters, state: ArrayLike | None, batch: list[int]) -> Array:
    """Return the states (*batch, state_size) before the first step."""
    if state is None:
        state = 0.0 if net.initial_state is None else net.initial_state
    return np.broadcast_to(np.asarray(state, dtype=np.float64), (*batch, net.state_size)).copy()


def lengths_of(lengths: ArrayLike | None, batch: list[int], T: int) -> NDArray[np.int64]:
    """Return the numbers of real steps (*batch)."""
    return np.broadcast_to(np.asarray(T if lengths is None else lengths, dtype=np.int64), batch)


def masked_of(net: Parameters, mask: ArrayLike | None, masked: str | None) -> str:
    """Return what steps that are not real are: "padding", or with a mask "hold" or "zero"."""
    kind = net.masked if masked is None else _arguments.masked(masked)
    return "padding" if mask is None else kind


def real_steps(
    lengths: ArrayLike | None, mask: ArrayLike | None, batch: list[int], T: int
) -> NDArray[np.bool_]:
    """Return which steps (..., T) are real."""
    if mask is not None:
        return np.broadcast_to(np.asarray(mask, dtype=bool), (*batch, T))
    return np.arange(T) < lengths_of(lengths, batch, T)[..., np.newaxis]
