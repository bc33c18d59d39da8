"""Run PyTorch modules in PyTorch and record their hidden states."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from elman.errors import ArgumentError
from elman.interop._archive import read_file
from elman.interop._chain import Affine, Function, Recurrent, Scale, Standardize
from elman.interop._source import Trace
from elman.interop.torch.names import of_mapping
from elman.interop.torch.weights import Computed
from elman.interop.torch.writing import module_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._chain import Part
    from elman.interop._source import Piece, Taps
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


def run_tensors(tensors: TorchTensors, x: Array, taps: Taps = None) -> Trace:
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

    def tensor(piece: Piece) -> Any:
        """Return a tensor as PyTorch loaded it, or else as it was computed from others."""
        own = None if piece.note else named.get(piece.name)
        if own is None or isinstance(own, Computed) or tuple(own.shape) != piece.array.shape:
            own = np.ascontiguousarray(piece.array)
        return torch.as_tensor(np.array(own) if isinstance(own, np.ndarray) else own).to(kind)

    return run([_module(part, tensor) for part in tensors.parts], x, taps)


def _module(part: Part, tensor: Callable[[Piece], Any]) -> nn.Module:
    """Return a module that computes a part of a chain."""
    if isinstance(part, Affine):
        biases = zip(("bias",), part.b, strict=False)
        return module_of(
            torch, {"weight": tensor(part.W)} | {name: tensor(b) for name, b in biases}
        )
    if isinstance(part, Function):
        return _Function(part.activation)
    if isinstance(part, Recurrent):
        weights: dict[str, Any] = {}
        for half, end in zip(part.halves, ("_l0", "_l0_reverse"), strict=False):
            weights |= {f"weight_ih{end}": tensor(half.W_xh), f"weight_hh{end}": tensor(half.W_hh)}
            biases = zip(("bias_ih", "bias_hh"), half.b_h, strict=False)
            weights |= {f"{name}{end}": tensor(b) for name, b in biases}
        rnn = module_of(torch, weights, str(part.halves[0].activation))
        starts = [tensor(half.initial_state) for half in part.halves if half.initial_state]
        return _Started(rnn, torch.stack(starts)) if starts else rnn
    by, plus = (part.by, part.plus) if isinstance(part, Scale) else (part.std, part.mean)
    numbers = [None if piece is None else tensor(piece) for piece in (by, plus)]
    return _Scaled(*numbers, standardize=isinstance(part, Standardize))


_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "identity": lambda v, f: v,
    "relu": lambda v, f: torch.relu(v),
    "tanh": lambda v, f: torch.tanh(v),
    "sigmoid": lambda v, f: torch.sigmoid(v),
    "leaky_relu": lambda v, f: nn.functional.leaky_relu(v, f.alpha),
    "elu": lambda v, f: nn.functional.elu(v, f.alpha),
    "thresholded_relu": lambda v, f: nn.functional.threshold(v, f.alpha, 0),
    "hard_sigmoid": lambda v, f: (f.alpha * v + f.beta).clamp(0, 1),
    "softsign": lambda v, f: nn.functional.softsign(v),
    "softplus": lambda v, f: nn.functional.softplus(v),
    "scaled_tanh": lambda v, f: f.alpha * torch.tanh(f.beta * v),
    "affine": lambda v, f: f.alpha * v + f.beta,
    "softmax": lambda v, f: torch.softmax(v, -1),
    "log_softmax": lambda v, f: torch.log_softmax(v, -1),
}


class _Function(nn.Module):  # type: ignore[misc]
    """An activation, with PyTorch's functions."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Any) -> Any:
        clip = self.activation.clip
        return _FUNCTIONS[self.activation.name](
            x if clip is None else x.clamp(-clip, clip), self.activation
        )


class _Started(nn.Module):  # type: ignore[misc]
    """An RNN that starts at given states (D, H)."""

    def __init__(self, rnn: nn.RNN, start: Any) -> None:
        super().__init__()
        self.rnn, self.start = rnn, start

    def forward(self, x: Any) -> Any:
        return self.rnn(x, self.start.unsqueeze(1).expand(-1, len(x), -1).contiguous())


class _Scaled(nn.Module):  # type: ignore[misc]
    """by x + plus, or (x - plus) / by."""

    def __init__(self, by: Any, plus: Any, *, standardize: bool) -> None:
        super().__init__()
        self.by, self.plus, self.standardize = by, plus, standardize

    def forward(self, x: Any) -> Any:
        by = 1.0 if self.by is None else self.by
        plus = 0.0 if self.plus is None else self.plus
        return (x - plus) / by if self.standardize else x * by + plus


class _Chain(nn.Module):  # type: ignore[misc]
    """A chain of modules; the first output of each is the input of the next."""

    def __init__(self, modules: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_flat(modules))

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = _by_step(part, x) if isinstance(part, _BY_STEP) else part(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


# of arrays (B, T, F) they would take T for the features
_BY_STEP = (nn.BatchNorm1d, nn.Flatten, nn.Softmax, nn.LogSoftmax)


def _by_step(part: nn.Module, x: Any) -> Any:
    """Return the outputs of a module for the features (B, F) of every step."""
    if x.ndim != 3 or getattr(part, "dim", 1) != 1:
        return part(x)
    return part(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _flat(modules: Any) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.ModuleList | nn.Sequential | tuple | list):
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
