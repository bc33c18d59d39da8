"""Read live PyTorch modules: what each computes, and the values of their tensors.

Imported only if PyTorch is already loaded.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from elman import _arguments
from elman.activation import Activation
from elman.errors import ArgumentError, ArgumentTypeError, UnsupportedModelError
from elman.interop._source import Row
from elman.interop.torch.computed import resolved
from elman.interop.torch.model import TorchModel, TorchPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeGuard

_RECURRENT = ("RNN", "RNNCell")
_GATED = ("LSTM", "GRU", "LSTMCell", "GRUCell")
_NOTHING = ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "Flatten")
_FUNCTIONS: dict[str, Callable[[Any], Activation | str]] = {  # a string: why there is none
    "Identity": lambda _: Activation("identity"),
    "Sigmoid": lambda _: Activation("sigmoid"),
    "Tanh": lambda _: Activation("tanh"),
    "ReLU": lambda _: Activation("relu"),
    "ReLU6": lambda _: Activation("relu", clip=6.0),
    "LeakyReLU": lambda f: Activation("leaky_relu", alpha=f.negative_slope),
    "ELU": lambda f: Activation("elu", alpha=f.alpha),
    "Softsign": lambda _: Activation("softsign"),
    "Softplus": lambda f: _softplus(f.beta, f.threshold),
    "Hardsigmoid": lambda _: Activation("hard_sigmoid", alpha=1 / 6, beta=0.5),
    "Hardtanh": lambda f: _hardtanh(f.min_val, f.max_val),
    "Softmax": lambda f: _of_features(f.dim, "softmax"),
    "LogSoftmax": lambda f: _of_features(f.dim, "log_softmax"),
}


def is_module(source: object) -> TypeGuard[Any]:
    """Return True for a PyTorch module."""
    return isinstance(source, torch.nn.Module)


def of_module(module: Any, *, chosen: bool = False) -> TorchModel:
    """Return the tensors and parts of a module, at any depth; `chosen`: the user names its RNN."""
    if isinstance(module, nn.ModuleList):
        return of_sequence([module])
    parts: dict[str, tuple[TorchPart, ...]] = {}
    gated = []
    for name, inner in module.named_modules(remove_duplicate=False):
        quantized, kind = _is_quantized(inner), _kind(inner)
        if name and kind in _RECURRENT and _computes_more(inner):
            raise UnsupportedModelError(
                f"source: expected an nn.RNN or nn.RNNCell, got {name}, {_spelled(inner)}{_MORE}"
            )
        if kind in _GATED or quantized:
            gated.append((name, inner))
        inside = [child for child, _ in inner.named_children() if child != "parametrizations"]
        if kind == "Sequential" or quantized or not inside:
            parts[name] = tuple(_parts(name, inner))
    model = _model([("", module)], parts)
    if gated and not (chosen and model.nonlinearities):
        name, inner = gated[0]
        remedy = ": set prefix= and readout= to leave it out" if model.nonlinearities else ""
        raise UnsupportedModelError(
            f"source: expected an nn.RNN or nn.RNNCell, got {name or 'a module'},"
            f" {_spelled(inner)}{remedy}"
        )
    if not model.nonlinearities:  # of torch.export: modules without types
        return TorchModel(model.tensors)
    return model


def of_sequence(modules: Iterable[Any]) -> TorchModel:
    """Return the model of a sequence of modules: from the input to the output."""
    found = list(flat(modules))
    chain = tuple(_part(name, module) for name, module in found)
    for part in chain:
        if part.kind == "other":
            raise UnsupportedModelError(
                f"source: expected modules that a network can express, got {part.what} as module"
                f" {part.name}{part.refused}"
            )
    if not any(part.kind == "rnn" for part in chain):
        raise ArgumentError("source: expected a sequence with an nn.RNN or nn.RNNCell, got none")
    return _model(found, {part.name: (part,) for part in chain})._replace(chain=chain)


def _model(
    modules: Iterable[tuple[str, Any]], parts: dict[str, tuple[TorchPart, ...]]
) -> TorchModel:
    """Return the tensors and the settings of modules, by the names of these and their own."""
    tensors: dict[str, Any] = {}
    rows: list[Row] = []
    nonlinearities: dict[str, str | None] = {}
    parameters: set[str] = set()
    for start, module in modules:
        tensors |= resolved(_state(start, module), _values(start, module))
        parameters |= dict(module.named_parameters(start, remove_duplicate=False)).keys()
        for name, inner in module.named_modules(prefix=start, remove_duplicate=False):
            rows += _settings(name, inner)
            if _kind(inner) in _RECURRENT and not _is_quantized(inner):
                nonlinearities[name] = getattr(inner, "nonlinearity", None)
    return TorchModel(tensors, rows, nonlinearities, parts, frozenset(parameters))


def flat(modules: Iterable[Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the modules of nested lists and Sequentials with their positions; skip None."""
    for index, module in enumerate(modules):
        if isinstance(module, nn.ModuleList | list | tuple) or _kind(module) == "Sequential":
            yield from flat(module, f"{start}{index}.")
        elif module is not None:
            if not is_module(module):
                raise ArgumentTypeError(
                    f"source: expected torch modules, got {_arguments.kind(module)} at position"
                    f" {start}{index}"
                )
            yield f"{start}{index}", module


# --- what a module computes -----------------------------------------------------------------------


def _parts(name: str, module: Any) -> Iterator[TorchPart]:
    """Yield what a module computes: one part, or those of the modules of a Sequential."""
    if _kind(module) == "Sequential":
        for key, child in module.named_children():
            yield from _parts(f"{name}.{key}".lstrip("."), child)
    else:
        yield _part(name, module)


def _part(name: str, module: Any) -> TorchPart:
    part = TorchPart("other", name, _spelled(module))
    try:
        return _with_settings(part, module)
    except AttributeError:  # a traced module has no settings
        return part._replace(refused=": its settings are not known")


def _with_settings(part: TorchPart, module: Any) -> TorchPart:
    kind = _kind(module)
    if _is_quantized(module):
        return part
    if kind in _RECURRENT:
        return part._replace(refused=_MORE) if _computes_more(module) else part._replace(kind="rnn")
    if kind == "Linear":
        return part._replace(kind="linear")
    if kind == "BatchNorm1d":
        if module.running_mean is None:
            return part._replace(refused=": it has no running statistics")
        return part._replace(kind="norm", eps=module.eps)
    if kind == "Embedding":
        if module.max_norm is not None:
            return part._replace(refused=": max_norm changes rows as they are read")
        return part._replace(kind="embedding")
    if kind in _NOTHING:
        return part._replace(kind="nothing")
    if kind not in _FUNCTIONS:
        return part
    activation = _FUNCTIONS[kind](module)
    if isinstance(activation, str):
        return part._replace(refused=activation)
    return part._replace(kind="function", activation=activation)


def _kind(module: Any) -> str:
    """Return the name of a module's class in torch.nn, or "" for classes of other packages."""
    if hasattr(module, "original_name"):  # of TorchScript
        return str(module.original_name)
    for one in type(module).__mro__:
        if one is not nn.Module and one.__module__.startswith("torch.nn.modules."):
            if issubclass(one, nn.RNNBase | nn.RNNCellBase):
                return one.__name__
            same = _forward(type(module)) is _forward(one)
            return one.__name__ if same else ""  # a subclass may compute something else
    return ""


def _forward(kind: Any) -> Any:
    return kind.forward


_MORE = ": its forward is not PyTorch's; pass its state_dict if it computes the same"


def _computes_more(module: Any) -> bool:
    """Return whether a recurrent module has a forward that PyTorch did not write."""
    return not hasattr(module, "original_name") and not any(
        _forward(type(module)) is _forward(one) and one.__module__.startswith("torch.")
        for one in type(module).__mro__
        if one is not nn.Module and hasattr(one, "forward")
    )


def _is_quantized(module: Any) -> bool:
    return ".quantized." in f"{type(module).__module__}."


def _spelled(module: Any) -> str:
    """Return the name of a module's class, for messages."""
    kind = _kind(module) or type(module).__name__
    if kind in _RECURRENT and _computes_more(module):
        return f"a {type(module).__name__}"
    if _is_quantized(module):
        return f"a quantized nn.{type(module).__name__}"
    return f"an nn.{kind}" if hasattr(nn, kind) else f"a {kind}"


def _softplus(beta: float, threshold: float) -> Activation | str:
    if beta == 1 and threshold >= 20:  # above it, v, which is exp(-20) less
        return Activation("softplus")
    return f": expected beta=1 and threshold=20, got {beta:g} and {threshold:g}"


def _hardtanh(low: float, high: float) -> Activation | str:
    if low == -high:
        return Activation("identity", clip=high)
    if low == 0:
        return Activation("relu", clip=high)
    return f": expected limits of the same size, got {low:g} and {high:g}"


def _of_features(dim: int | None, name: str) -> Activation | str:
    """Return an activation over the last axis, which is axis 1 of the last part's outputs."""
    if dim in (-1, 1, 2):
        return Activation(name)
    return (
        f": expected dim=-1, the features, got {dim}; leave it out and pass"
        f" output_activation={name!r} if it acts on features"
    )


# --- settings and values --------------------------------------------------------------------------


def _settings(name: str, module: Any) -> Iterator[Row]:
    """Yield the settings of a module that a network does not have."""
    start, kind = f"{name}.".lstrip("."), _kind(module)
    if kind in ("Softmax", "LogSoftmax") and hasattr(module, "dim"):
        yield Row(f"{start}dim={module.dim}", "", "over the features")
    if kind not in _RECURRENT:
        return
    if getattr(module, "dropout", 0.0):
        yield Row(f"{start}dropout={module.dropout:g}", "", "acts in training only")
    if hasattr(module, "batch_first"):
        layout = "as in elman" if module.batch_first else "elman's arrays are (..., T, I)"
        yield Row(f"{start}batch_first={module.batch_first}", "", layout)


def _state(start: str, module: Any) -> dict[str, Any]:
    """Return the tensors of a module; quantized modules have other entries, too."""
    tensors = {k: t for k, t in module.state_dict().items() if isinstance(t, torch.Tensor)}
    return {f"{start}.{name}".lstrip("."): tensor for name, tensor in tensors.items()}


def _values(start: str, module: Any) -> dict[str, Any]:
    """Return the values of parametrized weights in evaluation mode, by their names."""
    values = {}
    for place, inner in module.named_modules(prefix=start, remove_duplicate=False):
        for hook in inner._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):  # whose dim no tensor tells
                with torch.no_grad():
                    value = hook.compute_weight(inner, do_power_iteration=False)
                values[f"{place}.{hook.name}".lstrip(".")] = value
        if parametrize.is_parametrized(inner):
            with evaluating(inner), torch.no_grad():
                for name in inner.parametrizations:
                    values[f"{place}.{name}".lstrip(".")] = getattr(inner, name).detach()
    return values


@contextlib.contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode; afterwards each part of it has the mode it had."""
    modes = {inner: inner.training for inner in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for inner, training in modes.items():
            inner.training = training
