"""PyTorch modules run by PyTorch; their recurrent layers are listened to as they run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from elman.errors import ArgumentError
from elman.interop import files, tensor_file
from elman.interop.running import Trace
from elman.interop.torch import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elman._typing import Array
    from elman.interop.imported import Row
    from elman.network import Network


_ACTIVATIONS = {
    "identity": nn.Identity(),
    "sigmoid": nn.Sigmoid(),
    "softmax": nn.Softmax(dim=-1),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
}


def run(source: Any, x: Array) -> Trace:
    """Run a module, or modules in their order such as (rnn, linear), in evaluation mode."""
    module = source if isinstance(source, nn.Module) else _Chain(source)
    parts = list(module.modules())
    rnns = [part for part in parts if isinstance(part, nn.RNN)]
    cells = [part for part in parts if isinstance(part, nn.RNNCell)]
    if not rnns and not cells:
        raise ArgumentError("source: expected a module with an nn.RNN or nn.RNNCell, got none")
    time_first = any(not rnn.batch_first for rnn in rnns)
    heard: dict[nn.Module, list[Any]] = {part: [] for part in (*rnns, *cells)}

    def listen(part: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        heard[part].append((arguments, result))

    hooks = [part.register_forward_hook(listen) for part in heard]
    training = module.training
    dtype = next(module.parameters()).dtype
    inputs = torch.from_numpy(np.ascontiguousarray(x)).to(dtype)
    try:
        with torch.inference_mode():
            result = module.eval()(inputs.transpose(0, 1) if time_first else inputs)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    output = result[0] if isinstance(result, tuple | list) else result
    hidden = [states for rnn in rnns for states in _layers(rnn, *heard[rnn][0])]
    hidden += [torch.stack([h for _, h in heard[cell]], dim=1) for cell in cells]
    return Trace(
        f"PyTorch {torch.__version__}",
        [_array(states) for states in hidden],
        _array(output.transpose(0, 1) if time_first and output.ndim == 3 else output),
        [_array(p) for part in heard for p in part.parameters() if p.ndim == 1],
    )


def run_file(path: str, net: Network, rows: Iterable[Row], x: Array) -> Trace:
    """Run the tensors of a file in modules of the network's sizes and activations.

    `rows` say where the reader put each tensor; both biases stay what they are.
    """
    if path.endswith(".safetensors"):
        arrays = tensor_file.read(files.read_file(path))
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    else:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    named = names.of_mapping(tensors, None).tensors
    states: dict[str, dict[str, Any]] = {}
    for row in rows:
        part, _, weight = row.target.rpartition(".")
        if weight in ("W_xh", "W_hh", "b_h"):
            (kind,) = re.findall("(?:weight|bias)_[ih]h", row.source)
            half = "_reverse" if part.endswith(".reverse") else ""
            layer = part.removesuffix(".reverse")
            states.setdefault(layer, {})[f"{kind}_l0{half}"] = named[row.source]
        elif part == "readout":
            states.setdefault(part, {})[weight.replace("W_hy", "weight").replace("b_y", "bias")] = (
                named[row.source]
            )
    dtype = getattr(torch, net.dtype.name)
    parts = [
        nn.RNN(
            layer.W_xh.shape[1],
            layer.W_xh.shape[0],
            nonlinearity=str(layer.activation),
            bias=layer.b_h is not None,
            batch_first=True,
            bidirectional=layer.reverse is not None,
            dtype=dtype,
        )
        for layer in net.layers
    ]
    for k, rnn in enumerate(parts):
        rnn.load_state_dict(states[f"layers.{k}"])
    if net.readout is None:
        return run(parts, x)
    O, H = net.readout.W_hy.shape
    linear = nn.Linear(H, O, bias=net.readout.b_y is not None, dtype=dtype)
    linear.load_state_dict(states["readout"])
    return run([*parts, linear, _ACTIVATIONS[str(net.output_activation)]], x)


class _Chain(nn.Module):  # type: ignore[misc]
    """Modules one after the other, the first output of each being the next one's input."""

    def __init__(self, modules: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_flat(modules))

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def _flat(modules: Any) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.ModuleList | tuple | list):
            yield from _flat(module)
        elif module is not None:
            yield module


def _layers(rnn: nn.RNN, arguments: tuple[Any, ...], result: tuple[Any, Any]) -> list[Any]:
    """Return the states (B, T, H) of each layer; all but the top one have to be run again."""
    below, *state = arguments
    layers = []
    for k in range(rnn.num_layers - 1):
        one = nn.RNN(
            below.shape[-1],
            rnn.hidden_size,
            nonlinearity=rnn.nonlinearity,
            bias=rnn.bias,
            batch_first=rnn.batch_first,
            bidirectional=rnn.bidirectional,
            dtype=below.dtype,
        )
        one.load_state_dict(
            {
                name.replace(f"_l{k}", "_l0"): value
                for name, value in rnn.state_dict().items()
                if name.removesuffix("_reverse").endswith(f"_l{k}")
            }
        )
        halves = 2 if rnn.bidirectional else 1
        start = [h[k * halves : (k + 1) * halves] for h in state if h is not None]
        with torch.inference_mode():
            below, _ = one(below, *start)
        layers.append(below)
    layers.append(result[0])
    return [states if rnn.batch_first else states.transpose(0, 1) for states in layers]


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())
