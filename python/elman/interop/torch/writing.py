"""Convert networks to PyTorch modules, and to the arrays of a state_dict."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _files
from elman._network import require_network
from elman._structure import B_Y, W_HY, prefixes
from elman.errors import UnsupportedModelError
from elman.interop import _export

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array


class TorchModules(NamedTuple):
    """PyTorch modules of a network, returned by `elman.to_torch`; `elman.from_torch` reads them.

        hidden, h_n = modules.rnn(x)
        y = modules.activation(modules.readout(hidden))

    Attributes
    ----------
    rnn : nn.RNN, or nn.ModuleList of nn.RNN
        With batch_first=True. A list, each RNN reading the one before, if the layers differ in
        size, activation or direction.
    readout : nn.Linear, or None
    activation : module, or None
        The output activation.
    """

    rnn: Any  # PyTorch's types are unknown if it is not installed
    readout: Any
    activation: Any


_NONLINEARITIES = ("tanh", "relu")


def to_torch(net: Network, *, fold_scaling: bool = False) -> TorchModules:
    """Return PyTorch modules with the network's weights.

    Parameters
    ----------
    fold_scaling : bool
        Multiply the input scaling into W_xh and b_h of the first layer, and the output scaling
        into the readout, whose activation must be identity; computed in float64, rounded once.
        Without it, a network with scaling is refused, because modules do not store scaling.

    Returns
    -------
    TorchModules
        `rnn`, `readout` and `activation`; `elman.from_torch` returns the same network, bit for bit
        (except for folded scaling).

    Raises
    ------
    UnsupportedModelError
        If PyTorch has no such layer: an activation other than tanh and relu, a layer that only
        reads in reverse, or an initial state.
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
    require_network(net)
    torch = _files.extra("torch", "elman.to_torch", "torch")
    _require_nonlinearities(net)
    arrays = state_dict(net, prefix="rnn", readout="readout", fold_scaling=fold_scaling)

    def part(start: str, nonlinearity: str = "") -> Any:
        mine = {name: array for name, array in arrays.items() if name.startswith(start)}
        weights = {name[len(start) :]: torch.from_numpy(array) for name, array in mine.items()}
        return module_of(torch, weights, nonlinearity)

    names = [str(layer.activation) for layer in net.layers]
    if _is_uniform(net):
        rnn = part("rnn.", names[0])
    else:
        rnn = torch.nn.ModuleList(part(f"rnn.{i}.", name) for i, name in enumerate(names))
    if net.readout is None:
        return TorchModules(rnn, None, None)
    activation = activation_module(torch, str(net.readout.activation))
    return TorchModules(rnn, part("readout."), activation)


def module_of(torch: Any, weights: dict[str, Any], nonlinearity: str = "") -> Any:
    """Return the nn.RNN or the nn.Linear that holds these tensors."""
    if "weight" in weights:
        O, H = weights["weight"].shape
        kind = weights["weight"].dtype
        module = torch.nn.Linear(H, O, bias="bias" in weights, dtype=kind)
    else:
        H, I = weights["weight_ih_l0"].shape
        module = torch.nn.RNN(
            I,
            H,
            sum(name.startswith("weight_hh") and name[-1].isdigit() for name in weights),
            nonlinearity=nonlinearity,
            bias="bias_ih_l0" in weights,
            batch_first=True,
            bidirectional="weight_hh_l0_reverse" in weights,
            dtype=weights["weight_ih_l0"].dtype,
        )
    module.load_state_dict(weights)
    return module


def state_dict(net: Network, *, prefix: str, readout: str, fold_scaling: bool) -> dict[str, Array]:
    """Return the arrays of `elman.state_dict(net, "torch")`; bias_ih is b_h, bias_hh is zero."""
    tensors = _export.tensors(net, fold_scaling=fold_scaling)
    bias = any(name.endswith("b_h") for name in tensors)
    start = f"{prefix}.".lstrip(".")
    uniform = _is_uniform(net)
    arrays: dict[str, Array] = {}
    for index, direction in enumerate(net.directions):
        place, number = (start, index) if uniform else (f"{start}{index}.", 0)
        for half, reverse in zip(prefixes(index, direction), ("", "_reverse"), strict=False):
            suffix = f"_l{number}{reverse}"
            W_hh = tensors[f"{half}W_hh"]
            zeros = np.zeros(len(W_hh), W_hh.dtype)
            arrays[f"{place}weight_ih{suffix}"] = tensors[f"{half}W_xh"].copy()
            arrays[f"{place}weight_hh{suffix}"] = W_hh.copy()
            if bias:
                arrays[f"{place}bias_ih{suffix}"] = tensors.get(f"{half}b_h", zeros).copy()
                arrays[f"{place}bias_hh{suffix}"] = zeros
    for name, kind in ((W_HY, "weight"), (B_Y, "bias")):
        if name in tensors:
            arrays[f"{readout}.{kind}".lstrip(".")] = tensors[name].copy()
    return arrays


def _is_uniform(net: Network) -> bool:
    """Return True if one nn.RNN can hold all layers."""
    kinds = {(len(layer.W_hh), str(layer.activation), layer.direction) for layer in net.layers}
    return len(kinds) == 1


def _require_nonlinearities(net: Network) -> None:
    """Refuse activations that nn.RNN does not have."""
    for index, layer in enumerate(net.layers):
        for half in (layer, layer.reverse):
            if half is not None and (
                half.activation not in _NONLINEARITIES or half.activation != layer.activation
            ):
                raise UnsupportedModelError(
                    f"net: expected tanh or relu, the activations of nn.RNN, got {half.activation}"
                    f" in layer {index}"
                )


def activation_module(torch: Any, name: str) -> Any:
    """Return the PyTorch module of an activation."""
    kinds = {
        "identity": torch.nn.Identity,
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "softmax": lambda: torch.nn.Softmax(dim=-1),
        "log_softmax": lambda: torch.nn.LogSoftmax(dim=-1),
    }
    if name not in kinds:
        raise UnsupportedModelError(
            f"net: expected an output activation of {', '.join(kinds)}, got {name}"
        )
    return kinds[name]()


def names_of(net: Network) -> dict[str, list[str]]:
    """Return the options of `from_torch` that the file of `contents` needs, for several RNNs."""
    return {} if _is_uniform(net) else {"prefix": [f"rnn.{i}" for i in range(net.num_layers)]}


def contents(net: Network, *, fold_scaling: bool) -> bytes:
    """Return the bytes of a `.pt` file: the state_dict as `torch.save` writes it."""
    torch = _files.extra("torch", "a .pt file", "torch")
    tensors = state_dict(net, prefix="rnn", readout="fc", fold_scaling=fold_scaling)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, file)
    return file.getvalue()
