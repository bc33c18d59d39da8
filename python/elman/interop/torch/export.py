"""Networks as PyTorch's modules, and as the arrays of a state_dict."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from elman.errors import UnsupportedModelError
from elman.interop import export

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]

TorchModules = namedtuple("TorchModules", ["rnn", "readout", "activation"])
TorchModules.__doc__ = """What `elman.to_torch` returns; `elman.from_torch` takes it back.

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


def to_torch(net: Network, *, fold_scaling: bool = False) -> TorchModules:
    """Return PyTorch modules with the network's weights, which need PyTorch.

    Parameters
    ----------
    fold_scaling : bool
        Multiply the scaling of inputs into W_xh and b_h of the first layer, and that of outputs
        into a readout whose activation is identity: computed in float64, rounded once.
        Otherwise a network with scaling is refused, because modules do not hold it.

    Returns
    -------
    TorchModules
        `rnn`, `readout` and `activation`; `elman.from_torch` makes the network of them again,
        to equal bits (but for folded scaling).

    Raises
    ------
    UnsupportedModelError
        If PyTorch has no such layers: other activations than tanh and relu, an initial state.
    ArgumentError
        If the network has scaling and `fold_scaling` is False.
    ImportError
        If PyTorch is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> modules = elman.to_torch(net)                                        # doctest: +SKIP
    >>> elman.from_torch(modules) == net                                # doctest: +SKIP
    True
    """
    torch = _torch()
    _require_nonlinearities(net)
    weights = state_dict(net, prefix="rnn", readout="readout", fold_scaling=fold_scaling)
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


def state_dict(net: Network, *, prefix: str, readout: str, fold_scaling: bool) -> dict[str, Array]:
    """Return the arrays of `elman.state_dict(net, "torch")`."""
    layers, head = export.weights(net, fold_scaling=fold_scaling)
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


def _named(
    triple: tuple[Array, Array, Array | None], start: str, suffix: str, *, bias: bool
) -> dict[str, Array]:
    """Return one direction of one layer: b_h is bias_ih, and bias_hh is zero."""
    import numpy as np

    W_xh, W_hh, b_h = triple
    arrays = {f"{start}weight_ih{suffix}": W_xh.copy(), f"{start}weight_hh{suffix}": W_hh.copy()}
    if bias:
        zeros = np.zeros(len(W_hh), W_hh.dtype)
        arrays[f"{start}bias_ih{suffix}"] = zeros if b_h is None else b_h.copy()
        arrays[f"{start}bias_hh{suffix}"] = zeros.copy()
    return arrays


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
