"""Run PyTorch modules in PyTorch and record their hidden states."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from elman.errors import ArgumentError
from elman.interop._chain import Affine, Function, Recurrent, Scale
from elman.interop._ids import ids_of
from elman.interop._source import Trace
from elman.interop.torch.computed import Computed
from elman.interop.torch.file import read_tensors
from elman.interop.torch.model import KINDS
from elman.interop.torch.modules import evaluating, flat
from elman.interop.torch.names import of_mapping
from elman.interop.torch.writing import module_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._chain import Part
    from elman.interop._source import Piece, Taps

_HALF = (torch.float16, torch.bfloat16)
_NAME = f"PyTorch {torch.__version__}"


class _Call(NamedTuple):
    """What a part was called with, and what it returned."""

    shape: tuple[int, ...]  # of its input
    layers: list[Any]  # the states of each layer, if it is an nn.RNN


_Heard = dict[nn.Module, list[_Call]]


def run(source: Any, x: Array, taps: Taps = None) -> Trace:
    """Run a module, or modules in order such as (rnn, linear), in evaluation mode."""
    module = source if isinstance(source, nn.Module) else _Chain(source)
    named = {
        name: part
        for start, top in ([("", module)] if source is module else flat(source))
        for name, part in top.named_modules(prefix=start, remove_duplicate=False)
    }
    rnns = {name: part for name, part in named.items() if _is(part, "RNN")}
    cells = {name: part for name, part in named.items() if _is(part, "RNNCell")}
    scripted = isinstance(module, torch.jit.ScriptModule)
    if scripted:
        taps = ()  # nobody can listen to its states
    elif taps is None:
        taps = tuple(f"{name}[{k}]" for name, rnn in rnns.items() for k in range(rnn.num_layers))
        taps += tuple(cells)
    at = [None if tap is None else named.get(str(tap).partition("[")[0]) for tap in taps]
    if not rnns and not cells and all(part is None for part in at):
        return _run_by_hand(module, x)
    recurrent = (*rnns.values(), *cells.values())
    listened = () if scripted else (*recurrent, *at)
    heard: _Heard = {part: [] for part in listened if part is not None}

    def listen(
        part: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], result: Any
    ) -> Any:
        layers = [result]
        if isinstance(part, nn.RNN):
            layers, result = _layer_by_layer(part, arguments, named, result)
        given = arguments[0] if arguments else named.get("input")
        heard[part].append(_Call(getattr(given, "shape", ()), layers))
        return result

    first = _first(module)
    table = next((part.weight for part in module.modules() if _is(part, "Embedding")), None)
    inputs, used = _inputs(table, x, first)
    time_first = any(not getattr(rnn, "batch_first", True) for rnn in rnns.values())
    hooks = [part.register_forward_hook(listen, with_kwargs=True) for part in heard]
    try:
        with evaluating(module), torch.inference_mode(), exact():
            result = _called(module, inputs, heard, time_first)
    finally:
        for hook in hooks:
            hook.remove()
    hidden = [
        None if part is None else _hidden(str(tap), part, heard.get(part, []), x, time_first)
        for tap, part in zip(taps, at, strict=True)
    ]
    output = _array(_tensor(result))
    if time_first and output.ndim == 3 and output.shape[:2] == x.shape[1::-1]:
        output = output.swapaxes(0, 1)
    vectors = [_array(p) for part in recurrent for p in part.parameters() if p.ndim == 1]
    return Trace(_NAME, hidden, output, vectors, used, _dtype(first))


def _is(part: nn.Module, kind: str) -> bool:
    """Return whether this is a module of torch.nn, or was one before TorchScript compiled it."""
    return getattr(part, "original_name", "") == kind or isinstance(part, getattr(nn, kind))


def _first(module: nn.Module) -> Any:
    """Return the first parameter of a module, which tells its dtype and its device."""
    return next(p for p in module.parameters() if p.is_floating_point())


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _run_by_hand(module: Any, x: Array) -> Trace:
    """Run a module without an nn.RNN: on sequences, or step by step as (x_t, h) -> (y_t, h)."""
    if all(type(part).__module__.startswith(_OF_PYTORCH) for part in module.modules()):
        raise ArgumentError("source: expected a module with an nn.RNN or nn.RNNCell, got none")
    first = _first(module)
    inputs, _ = _inputs(None, x, first)
    states: list[Any] = []
    try:
        with evaluating(module), torch.inference_mode(), exact():
            if _steps(module):
                h, outputs = inputs.new_zeros(len(inputs), module.hidden_size), []
                for x_t in inputs.unbind(1):
                    y, h = module(x_t, h)
                    outputs.append(y)
                    states.append(h)
                output = torch.stack(outputs, dim=1)
            else:
                output = _tensor(module(inputs))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            "source: expected a module with an nn.RNN or nn.RNNCell, or one whose forward takes x"
            " (B, T, I), or x_t and h and returns (y_t, h) and has a hidden_size, got"
            f" {type(module).__name__} ({error})"
        ) from error
    hidden = [_array(torch.stack(states, dim=1))] if states else []
    return Trace(_NAME, hidden, _array(output), [], None, _dtype(first), by_hand=True)


_OF_PYTORCH = ("torch.nn.", "torch.jit.")


def _steps(module: Any) -> bool:
    """Return whether the forward of a module takes x_t and h, not only x."""
    parameters = inspect.signature(module.forward).parameters.values()
    return len([one for one in parameters if one.default is one.empty]) == 2


def run_tensors(
    source: Any,
    prefix: str | Sequence[str] | None,
    parts: Sequence[Part],
    x: Array,
    taps: Taps = None,
) -> Trace:
    """Run the tensors of a file or of a state_dict in modules of their sizes.

    The pieces of `parts` have the names of the tensors. The two biases of a layer are not added up.
    """
    if isinstance(source, str | bytes | os.PathLike):
        named = _file(os.fsdecode(source), prefix)
    else:
        named = of_mapping(source, prefix).tensors
    kind = torch.from_numpy(x[:0]).dtype

    def tensor(piece: Piece) -> Any:
        """Return a tensor as PyTorch loaded it, or else as it was computed from others."""
        own = None if piece.note else named.get(piece.name)
        if own is None or isinstance(own, Computed) or tuple(own.shape) != piece.array.shape:
            own = np.ascontiguousarray(piece.array)
        return torch.as_tensor(own if hasattr(own, "to") else np.array(own)).to(kind)

    return run([_module(part, tensor) for part in parts], x, taps)


def _module(part: Part, tensor: Callable[[Piece], Any]) -> nn.Module:
    """Return a module that computes a part of a chain."""
    if isinstance(part, Affine):
        pieces = zip(("weight", "bias"), (part.W, *part.b), strict=False)
        return module_of(torch, {kind: tensor(piece) for kind, piece in pieces})
    if isinstance(part, Function):
        return _Function(functools.partial(_activated, part.activation))
    if isinstance(part, Recurrent):
        kinds = {str(half.activation) for half in part.halves}
        biases = {len(half.b_h) for half in part.halves}
        if kinds not in ({"tanh"}, {"relu"}) or biases not in ({0}, {2}):
            return _ByStep(part, tensor)
        weights = {
            f"{kind}{end}": tensor(piece)
            for half, end in zip(part.halves, _HALVES, strict=False)
            for kind, piece in zip(KINDS, (half.W_xh, half.W_hh, *half.b_h), strict=False)
        }
        rnn = module_of(torch, weights, *kinds)
        starts = [tensor(half.initial_state) for half in part.halves if half.initial_state]
        return _Started(rnn, torch.stack(starts)) if starts else rnn
    by, plus = (part.by, part.plus) if isinstance(part, Scale) else (part.std, part.mean)
    factor = 1.0 if by is None else tensor(by)
    shift = 0.0 if plus is None else tensor(plus)
    if isinstance(part, Scale):
        return _Function(lambda x: x * factor + shift)
    return _Function(lambda x: (x - shift) / factor)


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


def _activated(activation: Activation, v: Any) -> Any:
    """Return an activation of v, with PyTorch's functions."""
    clip = activation.clip
    v = v if clip is None else v.clamp(-clip, clip)
    return _FUNCTIONS[activation.name](v, activation)


class _Function(nn.Module):  # type: ignore[misc]
    """A module that computes a function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class _ByStep(nn.Module):  # type: ignore[misc]
    """A recurrent layer that no nn.RNN is: of another activation, or with one bias."""

    def __init__(self, part: Recurrent, tensor: Callable[[Piece], Any]) -> None:
        super().__init__()
        self.halves = part.halves
        self.weights = nn.ParameterList(
            nn.Parameter(tensor(one), requires_grad=False)
            for half in part.halves
            for one in (half.W_xh, half.W_hh, *half.b_h)
        )
        self.starts = [half.initial_state and tensor(half.initial_state) for half in part.halves]

    def forward(self, x: Any) -> Any:
        weights, states = iter(self.weights), []
        for index, half in enumerate(self.halves):
            W_xh, W_hh, *biases = (next(weights) for _ in range(2 + len(half.b_h)))
            h = self.starts[index]
            h = W_hh.new_zeros(len(x), len(W_hh)) if h is None else h.expand(len(x), -1)
            steps = x.unbind(1)
            own = []
            for x_t in steps[::-1] if index else steps:
                h = _activated(half.activation, sum((x_t @ W_xh.T, h @ W_hh.T, *biases)))
                own.append(h)
            states.append(torch.stack(own[::-1] if index else own, dim=1))
        return torch.cat(states, dim=-1)


class _Started(nn.Module):  # type: ignore[misc]
    """An RNN that starts at given states (D, H)."""

    def __init__(self, rnn: nn.RNN, start: Any) -> None:
        super().__init__()
        self.rnn, self.start = rnn, start

    def forward(self, x: Any) -> Any:
        return self.rnn(x, self.start.unsqueeze(1).expand(-1, len(x), -1).contiguous())


def _file(path: str, prefix: str | Sequence[str] | None) -> Mapping[str, Any]:
    """Return the tensors of a file, loaded by PyTorch where that runs none of its code."""
    # Safetensors, and objects that are not loaded so, are read without PyTorch.
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle's protocol
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return of_mapping(loaded, prefix).tensors
    return of_mapping(read_tensors(path), prefix).tensors


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Compute products in full precision, also where a GPU or oneDNN would shorten them."""
    before = torch.get_float32_matmul_precision()
    shortened = torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = shortened


class _Chain(nn.Module):  # type: ignore[misc]
    """A chain of modules; the first output of each is the input of the next."""

    def __init__(self, modules: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part for _, part in flat(modules))

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            if isinstance(part, nn.RNNCell):
                x = _over_time(part, x)
                continue
            if isinstance(part, nn.Softmax | nn.LogSoftmax):
                part = type(part)(dim=-1)  # over the features, also of all steps
            x = _by_step(part, x) if isinstance(part, _BY_STEP) else part(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


# of arrays (B, T, F) they would take T for the features
_BY_STEP = (nn.BatchNorm1d, nn.Flatten)


def _by_step(part: nn.Module, x: Any) -> Any:
    """Return the outputs of a module for the features (B, F) of every step."""
    return part(x.flatten(0, 1)).unflatten(0, x.shape[:2]) if x.ndim == 3 else part(x)


def _over_time(cell: nn.RNNCell, x: Any) -> Any:
    """Return the states (B, T, H) of a cell after every step."""
    h, states = None, []
    for x_t in x.unbind(1):
        h = cell(x_t, h)
        states.append(h)
    return torch.stack(states, dim=1)


def _inputs(table: Any, x: Array, first: Any) -> tuple[Any, Array | None]:
    """Return what a module reads: x, or the indices of an embedding with this table in it."""
    if table is not None:
        ids, used = ids_of(x, _array(table))
        return torch.from_numpy(ids).to(first.device), used
    return torch.from_numpy(np.ascontiguousarray(x)).to(first.device, first.dtype), None


def _called(module: nn.Module, inputs: Any, heard: _Heard, time_first: bool) -> Any:
    """Call a module on inputs (B, T, ...), with a state of zeros if it asks for one.

    With an nn.RNN that has not batch_first the axes are (T, B, ...), unless the module turns them
    itself: then its RNN sees the other number of steps.
    """
    B, T = inputs.shape[:2]
    if not time_first:
        return _with_state(module, inputs, B)
    result = _with_state(module, inputs.transpose(0, 1), B)
    turned = [part for part in heard if isinstance(part, nn.RNN) and not part.batch_first]
    shapes = [call.shape[:2] for part in turned for call in heard[part]]
    if B != T and shapes[:1] == [(B, T)]:  # it turned what was turned already
        for calls in heard.values():
            calls.clear()
        result = _with_state(module, inputs, B)
    return result


def _with_state(module: nn.Module, inputs: Any, B: int) -> Any:
    try:
        return module(inputs)
    except TypeError as error:
        if "argument" not in str(error):
            raise
    rnns = [part for part in module.modules() if isinstance(part, nn.RNN)]
    sizes = [(len(rnn.all_weights), B, rnn.hidden_size) for rnn in rnns]
    return module(inputs, *(rnns[0].weight_hh_l0.new_zeros(size) for size in sizes))


def _tensor(result: Any) -> Any:
    """Return the first tensor of a result."""
    while not isinstance(result, torch.Tensor):
        if hasattr(result, "values"):
            result = result.values()
        elif not isinstance(result, tuple | list):
            kind = type(result).__name__
            raise ArgumentError(f"source: expected a module that returns a tensor, got {kind}")
        result = next(iter(result))
    return result


def _hidden(
    tap: str, part: nn.Module, calls: list[_Call], x: Array, time_first: bool
) -> Array | None:
    """Return the states of a part: called once for all steps, or once for each."""
    if not calls:
        return None
    if isinstance(part, nn.RNN):
        index = tap.partition("[")[2].rstrip("]")
        return _array(calls[0].layers[int(index or -1)])
    results = [_array(_tensor(states)) for call in calls for states in call.layers]
    if len(results) > 1:
        return np.stack(results, axis=1)
    (states,) = results
    B, T = x.shape[:2]
    if states.ndim == 2 and len(states) == B * T > B:  # all steps as one batch
        states = states.reshape(*((T, B) if time_first else (B, T)), -1)
    turned = time_first and states.ndim == 3 and states.shape[:2] == x.shape[1::-1]
    return states.swapaxes(0, 1) if turned else states


def _layer_by_layer(
    rnn: nn.RNN, arguments: tuple[Any, ...], named: dict[str, Any], result: Any
) -> tuple[list[Any], Any]:
    """Return the states (B, T, H) of each layer, and the result of the top one.

    PyTorch shows only the top layer of a run. Another run of the layers below may round otherwise,
    and a chaotic layer then comes to other states: the module continues with the result of this.
    """
    if rnn.num_layers == 1:
        return [_batch_first(result[0], rnn.batch_first)], result
    below, *state = (*arguments, *(named[n] for n in ("input", "hx") if n in named))
    layers, ends = [], []
    halves = 2 if rnn.bidirectional else 1
    for k in range(rnn.num_layers):
        here = slice(k * halves, (k + 1) * halves)
        weights = {
            f"{kind}{end}": weight
            for half, end in zip(rnn.all_weights[here], _HALVES, strict=False)
            for kind, weight in zip(KINDS, half, strict=False)
        }
        one = module_of(torch, weights, rnn.nonlinearity).to(rnn.weight_hh_l0.device)
        one.batch_first = rnn.batch_first
        below, end = one(below, *(h[here] for h in state if h is not None))
        layers.append(_batch_first(below, rnn.batch_first))
        ends.append(end)
    return layers, (below, torch.cat(ends))


_HALVES = ("_l0", "_l0_reverse")


def _batch_first(states: Any, batch_first: bool) -> Any:
    """Return states (B, T, H), also of packed sequences."""
    if isinstance(states, nn.utils.rnn.PackedSequence):
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=batch_first)
    return states if batch_first else states.transpose(0, 1)


def _array(tensor: Any) -> Array:
    """Return a tensor as an array, half precision as float32."""
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.float() if tensor.dtype in _HALF else tensor).numpy())
