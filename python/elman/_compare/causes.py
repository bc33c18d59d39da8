"""Likely causes of a difference between a network and its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._network import Network
from elman._parameters import structure_of
from elman.errors import ElmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman._typing import Array
    from elman.interop._source import Imported, Trace

_OUTPUT_ACTIVATIONS = ("identity", "sigmoid", "softmax", "log_softmax", "tanh", "relu")


def of_network(net: Network, read: Callable[[], Imported], trace: Trace) -> Iterator[str]:
    """Yield how the network differs from a new reading of the source."""
    theirs = _read(read)
    if isinstance(theirs, Exception):
        if not trace.by_hand:  # only its user knows which tensors are which
            yield f"the source is not supported ({theirs})"
        return
    if net.num_layers != theirs.num_layers:
        yield f"the source has {theirs.num_layers} layers, the network {net.num_layers}"
        return
    for i, (d, e) in enumerate(zip(net.directions, theirs.directions, strict=True)):
        if d != e:
            yield f"layer {i} is {e} in the source, {d} in the network"
    for i, (f, g) in enumerate(zip(net.activations, theirs.activations, strict=True)):
        if f != g:
            yield f"the source used {g} in layer {i}, the network {f}"
    if net.output_activation != theirs.output_activation:
        yield _output_cause(theirs.output_activation, net)
    ours = net.tensors()
    for name, wanted in theirs.tensors().items():
        yield from _weights(name, ours.get(name), wanted, trace.vectors)


def _read(read: Callable[[], Imported]) -> Network | Exception:
    try:
        return read().network
    except (ElmanError, TypeError) as error:
        return error


def _weights(name: str, ours: Array | None, theirs: Array, vectors: list[Array]) -> Iterator[str]:
    """Yield how a tensor differs from the source's."""

    def close(a: Array, b: Array) -> bool:
        if a.shape != b.shape:
            return False
        u = 4 * max(np.finfo(a.dtype).eps, np.finfo(b.dtype).eps)
        return np.allclose(a, b, rtol=u, atol=u * float(np.abs(b).max(initial=0)), equal_nan=True)

    mine = np.zeros_like(theirs) if ours is None else ours
    if close(mine, theirs):
        return
    if mine.ndim == 2 and close(mine.T, theirs):
        yield f"{name} is transposed"
    elif name.endswith("b_h") and any(
        mine.shape == vector.shape and close(mine + vector, theirs) for vector in vectors
    ):
        yield f"the second bias is missing in {name}"
    elif mine.shape != theirs.shape:
        yield f"{name} is {mine.shape}, the source has {theirs.shape}"
    else:
        yield f"{name} has different values"


def of_behaviour(
    net: Network,
    read: Callable[[], Imported],
    has_mask: bool,
    masked: str,
    agrees: Callable[..., bool],
) -> Iterator[str]:
    """Yield how the source behaves differently with the same weights.

    `agrees(other, output_of, masked)` judges another network, on changed outputs of the source.
    """
    if agrees(net, lambda output: output[:, ::-1]):
        yield "the source returns its outputs in reverse order of time (go_backwards)"
    if has_mask:
        other = {"hold": "zero", "zero": "hold"}[masked]
        if agrees(net, lambda output: output, other):
            words = {"hold": "held", "zero": "zero"}
            yield f"masked outputs are {words[other]} in the source, {words[masked]} in the network"
    g, theirs = net.output_activation, _read(read)
    if g is None or (isinstance(theirs, Network) and theirs.output_activation != g):
        return  # which is a cause already
    for name in _OUTPUT_ACTIVATIONS:
        if name != g and agrees(_with_output(net, name), lambda output: output):
            yield _output_cause(name, net)


def _output_cause(theirs: object, net: Network) -> str:
    return f"the source used {theirs} for its outputs, the network {net.output_activation}"


def _with_output(net: Network, activation: str) -> Network:
    """Return the network with another output activation."""
    structure = structure_of(net)
    return Network.from_tensors(
        net.tensors(),
        direction=structure.directions,
        activation=structure.layer_activations,
        output_activation=activation,
        dtype=net.dtype,
        masked=net.masked,
        allow_nonfinite=True,
    )
