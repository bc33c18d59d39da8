"""Run PyTorch modules in PyTorch and record their hidden states."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from elman.errors import ArgumentError
from elman.interop._archive import read_file
from elman.interop._source import Trace
from elman.interop.torch.names import of_mapping
from elman.interop.torch.writing import activation_module, module_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._typing import Array
    from elman.interop._source import Taps
    from elman.interop.torch.names import TorchTensors


def run(source: Any, x: Array, taps: Taps = None) -> Trace:
    """Run a module, or modules in order such as (rnn, linear), in evaluation mode."""
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


def run_tensors(tensors: TorchTensors, x: Array) -> Trace:
    """Run the tensors of a file (loaded by PyTorch) or of a state_dict in modules of their sizes.

    The two biases of a layer are not added up.
    """
    from elman import _container

    source = tensors.source
    if isinstance(source, str | bytes | os.PathLike):
        path = os.fsdecode(source)
        if path.endswith(".safetensors"):
            source = _container.parse(read_file(path))[1]
        else:
            source = torch.load(path, map_location="cpu", weights_only=True)
    named = of_mapping(source, tensors.prefix).tensors
    kind = torch.from_numpy(x[:0]).dtype

    def loaded(names: dict[str, str]) -> dict[str, Any]:
        found = {key: named[name] for key, name in names.items()}
        return {
            key: torch.tensor(t, dtype=kind) if isinstance(t, np.ndarray) else t.to(kind)
            for key, t in found.items()
        }

    parts: list[Any] = []
    for layer, nonlinearity in zip(tensors.layers, tensors.nonlinearities, strict=True):
        halves = zip(layer.halves, ("_l0", "_l0_reverse"), strict=False)
        names = {key + end: name for half, end in halves for key, name in half.items()}
        parts.append(module_of(torch, loaded(names), nonlinearity))
    if tensors.head is not None:
        weight, bias = tensors.head
        names = {"weight": weight} | ({} if bias is None else {"bias": bias})
        parts.append(module_of(torch, loaded(names)))
        parts.append(activation_module(torch, tensors.output_activation or "identity"))
    return run(parts, x)


class _Chain(nn.Module):  # type: ignore[misc]
    """A chain of modules; the first output of each is the input of the next."""

    def __init__(self, modules: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_flat(modules))

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            if isinstance(part, nn.Softmax | nn.LogSoftmax):
                part = type(part)(dim=-1)  # over the features, also of all steps
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
    """Return the states (B, T, H) of each layer; all but the top one must be run again."""
    below, *state = arguments
    layers = []
    for k in range(rnn.num_layers - 1):
        own = {
            name.replace(f"_l{k}", "_l0"): weight
            for name, weight in rnn.state_dict().items()
            if name.removesuffix("_reverse").endswith(f"_l{k}")
        }
        one = module_of(torch, own, rnn.nonlinearity)
        one.batch_first = rnn.batch_first
        halves = 2 if rnn.bidirectional else 1
        start = [h[k * halves : (k + 1) * halves] for h in state if h is not None]
        with torch.inference_mode():
            below, _ = one(below, *start)
        layers.append(below)
    layers.append(result[0])
    return [states if rnn.batch_first else states.transpose(0, 1) for states in layers]


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())
