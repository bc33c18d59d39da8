"""The weights of a network as other frameworks can hold them: without scaling and initial state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]
    Triple = tuple[Array, Array, Array | None]
    Pair = tuple[Array, Array | None]


def weights(net: Network, *, fold_scaling: bool) -> tuple[list[list[Triple]], Pair | None]:
    """Return (W_xh, W_hh, b_h) of each layer and direction, and (W_hy, b_y) of the readout."""
    _require_no_state(net)
    layers = [_halves(layer) for layer in net.layers]
    head = None if net.readout is None else (net.readout.W_hy, net.readout.b_y)
    if _has_scaling(net):
        layers, head = _folded(net, layers, head, fold_scaling=fold_scaling)
    return layers, head


def _halves(layer: Any) -> list[Triple]:  # noqa: ANN401
    """Return the weights of a layer, and those of its reverse half."""
    if layer.direction == "reverse":
        raise UnsupportedModelError(
            "net: expected forward or bidirectional layers, got one that only reads in reverse,"
            " whose outputs others have in another order"
        )
    reverse = getattr(layer, "reverse", None)
    halves = [layer] if reverse is None else [layer, reverse]
    return [(half.W_xh, half.W_hh, half.b_h) for half in halves]


def _require_no_state(net: Network) -> None:
    if net.initial_state is not None and net.initial_state.any():
        raise UnsupportedModelError(
            "net: expected no initial state, which other frameworks do not keep with the"
            " weights, got one: make the network without it and give it to theirs in each call"
        )


def _has_scaling(net: Network) -> bool:
    return any(
        vector is not None
        for vector in (net.input_mean, net.input_std, net.output_mean, net.output_std)
    )


def _folded(
    net: Network,
    layers: list[list[Triple]],
    head: Pair | None,
    *,
    fold_scaling: bool,
) -> tuple[list[list[Triple]], Pair | None]:
    """Return the weights with the scaling in them, computed in float64 and rounded once."""
    if not fold_scaling:
        raise ArgumentError(
            "net: expected no scaling of inputs and outputs, which other frameworks do not hold,"
            " got some: fold_scaling=True multiplies it into the weights, which rounds anew"
        )
    first = [_fold_inputs(net, triple) for triple in layers[0]]
    return [first, *layers[1:]], _fold_outputs(net, head)


def _fold_inputs(net: Network, triple: Triple) -> Triple:
    """Return W_xh / std, W_hh and b_h - W_xh mean / std."""
    import numpy as np

    W_xh, W_hh, b_h = triple
    if net.input_std is None and net.input_mean is None:
        return triple
    W = W_xh.astype(np.float64) / (1.0 if net.input_std is None else net.input_std)
    if net.input_mean is not None:
        moved = W @ net.input_mean.astype(np.float64)
        b_h = ((0.0 if b_h is None else b_h) - moved).astype(net.dtype)
    return W.astype(net.dtype), W_hh, b_h


def _fold_outputs(net: Network, head: Pair | None) -> Pair | None:
    """Return std W_hy and std b_y + mean, which only linear outputs have."""
    import numpy as np

    if net.output_std is None and net.output_mean is None:
        return head
    if head is None or net.output_activation != "identity":
        raise UnsupportedModelError(
            "net: expected a readout with the output activation identity, into which scaling of"
            f" outputs can be folded, got {net.output_activation or 'no readout'}"
        )
    W_hy, b_y = head
    std = np.ones(len(W_hy)) if net.output_std is None else net.output_std.astype(np.float64)
    if b_y is not None or net.output_mean is not None:
        mean = 0.0 if net.output_mean is None else net.output_mean
        b_y = ((0.0 if b_y is None else b_y) * std + mean).astype(net.dtype)
    return (W_hy * std[:, None]).astype(net.dtype), b_y
