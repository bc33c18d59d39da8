"""Networks as PyTorch's modules, and as the arrays of a state_dict."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from elman import _arguments
from elman.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman.network import Network

    Array = NDArray[Any]
    Triple = tuple[Array, Array, Array | None]

TorchModules = namedtuple("TorchModules", ["rnn", "readout", "activation"])
TorchModules.__doc__ = """What `Network.to_torch` returns; `elman.from_torch` takes it back.

    hidden, h_n = modules.rnn(x)
    y = modules.activation(modules.readout(hidden))

Attributes
----------
rnn : nn.RNN, or nn.ModuleList of nn.RNN
    With batch_first=True; a list, each reading the one before, where layers differ in size,
    activation or direction.
readout : nn.Linear, or None
activation : module, or None
    The output activation.
"""

_NONLINEARITIES = ("tanh", "relu")


def modules(net: Network, *, fold_units: bool) -> TorchModules:
    """Return the modules of `Network.to_torch`."""
    torch = _torch()
    _require_nonlinearities(net)
    weights = state_dict(net, prefix="rnn", readout="readout", fold_units=fold_units)
    dtype = getattr(torch, net.dtype.name)
    stacked = _is_uniform(net)
    parts = []
    for layers in [list(net.layers)] if stacked else [[layer] for layer in net.layers]:
        H, I = layers[0].W_xh.shape
        parts.append(
            torch.nn.RNN(
                I,
                H,
                len(layers),
                nonlinearity=str(layers[0].activation),
                bias=_has_bias(weights, "rnn."),
                batch_first=True,
                bidirectional=layers[0].direction == "bidirectional",
                dtype=dtype,
            )
        )
    rnn = parts[0] if stacked else torch.nn.ModuleList(parts)
    _fill(rnn, weights, "rnn.")
    if net.readout is None:
        return TorchModules(rnn, None, None)
    O, H = net.readout.W_hy.shape
    linear = torch.nn.Linear(H, O, bias=_has_bias(weights, "readout."), dtype=dtype)
    _fill(linear, weights, "readout.")
    return TorchModules(rnn, linear, _activation(torch, str(net.readout.activation)))


def state_dict(net: Network, *, prefix: str, readout: str, fold_units: bool) -> dict[str, Array]:
    """Return the arrays of `Network.state_dict("torch")`."""
    for name in ("prefix", "readout"):
        _arguments.name(name, {"prefix": prefix, "readout": readout}[name])
    _require_no_state(net)
    layers = [_halves(layer) for layer in net.layers]
    head = None if net.readout is None else (net.readout.W_hy, net.readout.b_y)
    if _has_units(net):
        layers, head = _folded(net, layers, head, fold_units=fold_units)
    bias = any(triple[2] is not None for halves in layers for triple in halves)
    start = f"{prefix}.".lstrip(".")
    uniform = _is_uniform(net)
    arrays: dict[str, Array] = {}
    for index, halves in enumerate(layers):
        place, number = (start, index) if uniform else (f"{start}{index}.", 0)
        for triple, direction in zip(halves, ("", "_reverse"), strict=False):
            arrays |= _named(triple, place, f"_l{number}{direction}", bias=bias)
    if head is not None:
        start = f"{readout}.".lstrip(".")
        arrays |= {f"{start}weight": head[0].copy()}
        arrays |= {} if head[1] is None else {f"{start}bias": head[1].copy()}
    return arrays


def _named(triple: Triple, start: str, suffix: str, *, bias: bool) -> dict[str, Array]:
    """Return one direction of one layer: b_h is bias_ih, and bias_hh is zero."""
    import numpy as np

    W_xh, W_hh, b_h = triple
    arrays = {f"{start}weight_ih{suffix}": W_xh.copy(), f"{start}weight_hh{suffix}": W_hh.copy()}
    if bias:
        zeros = np.zeros(len(W_hh), W_hh.dtype)
        arrays[f"{start}bias_ih{suffix}"] = zeros if b_h is None else b_h.copy()
        arrays[f"{start}bias_hh{suffix}"] = zeros.copy()
    return arrays


def _halves(layer: Any) -> list[Triple]:  # noqa: ANN401
    """Return the weights of a layer, and those of its reverse half."""
    if layer.direction == "reverse":
        raise UnsupportedModelError(
            "net: expected forward or bidirectional layers, got one that only reads in reverse,"
            " which PyTorch does not have"
        )
    reverse = getattr(layer, "reverse", None)
    halves = [layer] if reverse is None else [layer, reverse]
    return [(half.W_xh, half.W_hh, half.b_h) for half in halves]


def _is_uniform(net: Network) -> bool:
    """Say whether all layers are those of one nn.RNN."""
    kinds = {(len(layer.W_hh), str(layer.activation), layer.direction) for layer in net.layers}
    return len(kinds) == 1


def _require_nonlinearities(net: Network) -> None:
    """Refuse what nn.RNN cannot compute."""
    for index, layer in enumerate(net.layers):
        for half in (layer, getattr(layer, "reverse", None)):
            if half is not None and (
                half.activation not in _NONLINEARITIES or half.activation != layer.activation
            ):
                raise UnsupportedModelError(
                    f"net: expected tanh or relu, which are what nn.RNN has, got {half.activation}"
                    f" in layer {index}"
                )


def _require_no_state(net: Network) -> None:
    if net.initial_state is not None and net.initial_state.any():
        raise UnsupportedModelError(
            "net: expected no initial state, which PyTorch's modules do not hold, got one: make the"
            " network without it and give it to nn.RNN as h_0"
        )


# --- units ----------------------------------------------------------------------------------------


def _has_units(net: Network) -> bool:
    return any(
        vector is not None
        for vector in (net.input_shift, net.input_scale, net.output_shift, net.output_scale)
    )


def _folded(
    net: Network,
    layers: list[list[Triple]],
    head: tuple[Array, Array | None] | None,
    *,
    fold_units: bool,
) -> tuple[list[list[Triple]], tuple[Array, Array | None] | None]:
    """Return the weights with the units in them, computed in float64 and rounded once."""
    if not fold_units:
        raise ArgumentError(
            "net: expected no units of inputs and outputs, which PyTorch's modules do not hold, got"
            " some: fold_units=True multiplies them into the weights, which rounds anew"
        )
    first = [_fold_inputs(net, triple) for triple in layers[0]]
    return [first, *layers[1:]], _fold_outputs(net, head)


def _fold_inputs(net: Network, triple: Triple) -> Triple:
    """Return W_xh scale, W_hh and b_h - W_xh (scale shift)."""
    import numpy as np

    W_xh, W_hh, b_h = triple
    if net.input_scale is None and net.input_shift is None:
        return triple
    W = W_xh.astype(np.float64) * (1.0 if net.input_scale is None else net.input_scale)
    if net.input_shift is not None:
        shift = W @ net.input_shift.astype(np.float64)
        b_h = ((0.0 if b_h is None else b_h) - shift).astype(net.dtype)
    return W.astype(net.dtype), W_hh, b_h


def _fold_outputs(
    net: Network, head: tuple[Array, Array | None] | None
) -> tuple[Array, Array | None] | None:
    """Return scale W_hy and scale b_y + shift, which only linear outputs have."""
    import numpy as np

    if net.output_scale is None and net.output_shift is None:
        return head
    if head is None or net.output_activation != "identity":
        raise UnsupportedModelError(
            "net: expected a readout with the output activation identity, into which units of"
            f" outputs can be folded, got {net.output_activation or 'no readout'}"
        )
    W_hy, b_y = head
    scale = np.ones(len(W_hy)) if net.output_scale is None else net.output_scale.astype(np.float64)
    if b_y is not None or net.output_shift is not None:
        shift = 0.0 if net.output_shift is None else net.output_shift
        b_y = ((0.0 if b_y is None else b_y) * scale + shift).astype(net.dtype)
    return (W_hy * scale[:, None]).astype(net.dtype), b_y


# --- modules --------------------------------------------------------------------------------------


def _torch() -> Any:  # noqa: ANN401
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            "to_torch needs PyTorch: pip install torch", name="torch"
        ) from error
    return torch


def _has_bias(weights: dict[str, Array], start: str) -> bool:
    return any(name.startswith(start) and "bias" in name for name in weights)


def _fill(module: Any, weights: dict[str, Array], start: str) -> None:  # noqa: ANN401
    """Give a module its weights."""
    import torch

    module.load_state_dict(
        {
            name.removeprefix(start): torch.from_numpy(array)
            for name, array in weights.items()
            if name.startswith(start)
        }
    )


def _activation(torch: Any, name: str) -> Any:  # noqa: ANN401
    kinds = {
        "identity": torch.nn.Identity,
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "softmax": lambda: torch.nn.Softmax(dim=-1),
    }
    if name not in kinds:
        raise UnsupportedModelError(
            f"net: expected an output activation of {', '.join(kinds)}, got {name}"
        )
    return kinds[name]()
