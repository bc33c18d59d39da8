"""The tensors of a network for export: with the scaling folded in, without an initial state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._structure import B_Y, SCALING, W_HY, all_prefixes, prefixes
from elman.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array

    Tensors = dict[str, Array]


def tensors(net: Network, *, fold_scaling: bool) -> Tensors:
    """Return the weights by elman's names, with any scaling folded into them."""
    if "reverse" in net.directions:
        raise UnsupportedModelError(
            "net: expected forward or bidirectional layers, got a reverse layer, whose outputs"
            " other frameworks order differently"
        )
    weights = net.tensors()
    start = weights.pop("initial_state", None)
    if start is not None and _matters(net, weights, start):
        raise UnsupportedModelError(
            "net: expected no initial state, which other frameworks do not store with the weights,"
            " got one: export a network without it, and pass the state to their model in each call"
        )
    scaling = {name: weights.pop(name) for name in SCALING if name in weights}
    if not scaling:
        return weights
    if not fold_scaling:
        raise ArgumentError(
            "net: expected no scaling of inputs or outputs, which other frameworks do not store,"
            " got some: fold_scaling=True multiplies it into the weights, with new rounding"
        )
    folded = _fold_inputs(net, weights, scaling) | _fold_outputs(net, weights, scaling)
    return weights | {name: _rounded(net, name, array) for name, array in folded.items()}


def _matters(net: Network, weights: Tensors, start: Array) -> bool:
    """Return whether an initial state has an effect without a mask: one of a recurrent layer."""
    end = 0
    for half in all_prefixes(net.directions):
        W = weights[f"{half}W_hh"]
        own = start[end : end + len(W)]
        end += len(W)
        if own.any() and W.any():
            return True
    return False


def folded(net: Network) -> Network:
    """Return the network with its scaling folded into its weights."""
    weights = tensors(net, fold_scaling=True)
    gone = dict.fromkeys(net.tensors().keys() - weights.keys())
    return net.replace(tensors=weights | gone, allow_nonfinite=True)


def _rounded(net: Network, name: str, folded: Array) -> Array:
    """Round weights to the network's dtype; refuse overflow."""
    with np.errstate(over="ignore"):
        array = folded.astype(net.dtype)
    beyond = folded[np.isfinite(folded) & ~np.isfinite(array)]
    if beyond.size:
        raise ArgumentError(
            f"fold_scaling: expected weights in {net.dtype}'s range, got {beyond[0]:g} in {name}"
        )
    return array


def _fold_inputs(net: Network, weights: Tensors, scaling: Tensors) -> Tensors:
    """Return W_xh / std and b_h - W_xh mean / std of the first layer, in float64."""
    folded: Tensors = {}
    std, mean = scaling.get("input_std"), scaling.get("input_mean")
    if std is None and mean is None:
        return folded
    for half in prefixes(0, net.directions[0]):
        W = weights[f"{half}W_xh"].astype("f8") / (1.0 if std is None else std)
        folded[f"{half}W_xh"] = W
        if mean is not None:
            folded[f"{half}b_h"] = weights.get(f"{half}b_h", 0.0) - W @ mean.astype("f8")
    return folded


def _fold_outputs(net: Network, weights: Tensors, scaling: Tensors) -> Tensors:
    """Return std W_hy and std b_y + mean of a linear readout, in float64."""
    std, mean = scaling.get("output_std"), scaling.get("output_mean")
    if std is None and mean is None:
        return {}
    if net.output_activation != "identity":
        raise UnsupportedModelError(
            "net: expected a readout with output_activation='identity', to fold the output scaling"
            f" into, got {net.output_activation or 'no readout'}"
        )
    factor = 1.0 if std is None else std.astype("f8")
    W_hy = weights[W_HY].astype("f8")
    folded = {W_HY: W_hy * (factor if std is None else std.astype("f8")[:, None])}
    if B_Y in weights or mean is not None:
        folded[B_Y] = weights.get(B_Y, 0.0) * factor + (0.0 if mean is None else mean)
    return folded
