"""Read live PyTorch modules: what each computes, and the values of their tensors.

Imported only if PyTorch is already loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from elman import _arguments
from elman.activation import Activation
from elman.errors import ArgumentError, ArgumentTypeError, UnsupportedModelError
from elman.interop._source import Row
from elman.interop.torch.names import Step, TorchModel
from elman.interop.torch.weights import resolved

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
    "LeakyReLU": lambda f: _sloped(f.negative_slope),
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
    """Return the tensors and steps of a module, at any depth; `chosen`: the user names its RNN."""
    if isinstance(module, nn.ModuleList):
        return of_sequence([module])
    nonlinearities: dict[str, str | None] = {}
    steps: dict[str, tuple[Step, ...]] = {}
    rows: list[Row] = []
    gated = []
    for name, part in module.named_modules(remove_duplicate=False):
        rows += _settings(name, part)
        if name and _kind(part) in _RECURRENT and _computes_more(part):
            raise UnsupportedModelError(
                f"source: expected an nn.RNN or nn.RNNCell, got {name}, {_spelled(part)}{_MORE}"
            )
        if _kind(part) in _RECURRENT and not _is_quantized(part):
            nonlinearities[name] = getattr(part, "nonlinearity", None)
        elif _kind(part) in _GATED or _is_quantized(part):
            gated.append((name, part))
        if _kind(part) == "Sequential":
            steps[name] = tuple(_steps(name, part))
        elif _is_quantized(part) or all(
            child == "parametrizations" for child, _ in part.named_children()
        ):
            steps[name] = (_step(name, part),)
    if gated and not (chosen and nonlinearities):
        name, part = gated[0]
        remedy = ": set prefix= and readout= to leave it out" if nonlinearities else ""
        raise UnsupportedModelError(
            f"source: expected an nn.RNN or nn.RNNCell, got {name or 'a module'},"
            f" {_spelled(part)}{remedy}"
        )
    tensors = resolved(_state(module), _values(module))
    if not nonlinearities:  # of torch.export: modules without types
        return TorchModel(tensors)
    parameters = frozenset(name for name, _ in module.named_parameters(remove_duplicate=False))
    return TorchModel(tensors, rows, nonlinearities, steps, parameters)


def of_sequence(modules: Iterable[Any]) -> TorchModel:
    """Return the model of a sequence of modules: from the input to the output."""
    parts = list(_flat(modules, ""))
    chain = tuple(step for name, part in parts for step in _steps(name, part))
    for step in chain:
        if step.kind == "other":
            raise UnsupportedModelError(
                f"source: expected modules that a network can express, got {step.what} as module"
                f" {step.name}{step.refused}"
            )
    if not any(step.kind == "rnn" for step in chain):
        raise ArgumentError("source: expected a sequence with an nn.RNN or nn.RNNCell, got none")
    rnns = {step.name for step in chain if step.kind == "rnn"}
    nonlinearities: dict[str, str | None] = {}
    tensors: dict[str, Any] = {}
    rows: list[Row] = []
    parameters: set[str] = set()
    for name, part in parts:
        values = {f"{name}.{key}": value for key, value in _values(part).items()}
        own = {f"{name}.{key}": tensor for key, tensor in _state(part).items()}
        tensors |= resolved(own, values)
        parameters |= {f"{name}.{key}" for key, _ in part.named_parameters(remove_duplicate=False)}
        for inner, one in part.named_modules(remove_duplicate=False):
            place = f"{name}.{inner}".rstrip(".")
            rows += _settings(place, one)
            if place in rnns:
                nonlinearities[place] = getattr(one, "nonlinearity", None)
    steps = {step.name: (step,) for step in chain}
    return TorchModel(tensors, rows, nonlinearities, steps, frozenset(parameters), chain)


def _flat(modules: Iterable[Any], start: str) -> Iterator[tuple[str, Any]]:
    """Yield the modules of nested lists with their positions; skip None."""
    for index, module in enumerate(modules):
        if isinstance(module, (nn.ModuleList, list, tuple)):
            yield from _flat(module, f"{start}{index}.")
        elif module is not None:
            if not is_module(module):
                raise ArgumentTypeError(
                    f"source: expected torch modules, got {_arguments.kind(module)} at position"
                    f" {start}{index}"
                )
            yield f"{start}{index}", module


# --- what a module computes -----------------------------------------------------------------------


def _steps(name: str, part: Any) -> Iterator[Step]:
    """Yield what a module computes: one step, or those of the modules of a Sequential."""
    if _kind(part) == "Sequential":
        for key, child in part.named_children():
            yield from _steps(f"{name}.{key}".lstrip("."), child)
    else:
        yield _step(name, part)


def _step(name: str, part: Any) -> Step:
    kind, what = _kind(part), _spelled(part)
    if _is_quantized(part):
        return Step("other", name, what)
    if kind in _RECURRENT:
        if _computes_more(part):
            return Step("other", name, what, refused=_MORE)
        return Step("rnn", name, what)
    if kind == "Linear":
        return Step("linear", name, what)
    if kind == "BatchNorm1d":
        if part.running_mean is None:
            return Step("other", name, what, refused=": it has no running statistics")
        return Step("norm", name, what, eps=part.eps)
    if kind == "Embedding":
        if part.max_norm is not None:
            return Step("other", name, what, refused=": max_norm changes rows as they are read")
        return Step("embedding", name, what)
    if kind in _NOTHING:
        return Step("nothing", name, what)
    if kind in _FUNCTIONS and isinstance(part, nn.Module):
        try:
            activation = _FUNCTIONS[kind](part)
        except AttributeError:
            activation = ": its settings are not known"
        if isinstance(activation, str):
            return Step("other", name, what, refused=activation)
        return Step("function", name, what, activation)
    return Step("other", name, what)


def _kind(part: Any) -> str:
    """Return the name of a module's class in torch.nn, or "" for classes of other packages."""
    if hasattr(part, "original_name"):  # of TorchScript
        return str(part.original_name)
    for one in type(part).__mro__:
        if one is not nn.Module and one.__module__.startswith("torch.nn.modules."):
            if issubclass(one, nn.RNNBase | nn.RNNCellBase):
                return one.__name__
            same = _forward(type(part)) is _forward(one)
            return one.__name__ if same else ""  # a subclass may compute something else
    return ""


def _forward(kind: Any) -> Any:
    return kind.forward


_MORE = ": its forward is not PyTorch's; pass its state_dict if it computes the same"


def _computes_more(part: Any) -> bool:
    """Return whether a recurrent module has a forward that PyTorch did not write."""
    return not hasattr(part, "original_name") and not any(
        _forward(type(part)) is _forward(one) and one.__module__.startswith("torch.")
        for one in type(part).__mro__
        if one is not nn.Module and hasattr(one, "forward")
    )


def _is_quantized(part: Any) -> bool:
    return ".quantized." in f"{type(part).__module__}."


def _spelled(part: Any) -> str:
    """Return the name of a module's class, for messages."""
    kind = _kind(part) or type(part).__name__
    if kind in _RECURRENT and _computes_more(part):
        return f"a {type(part).__name__}"
    if _is_quantized(part):
        return f"a quantized nn.{type(part).__name__}"
    return f"an nn.{kind}" if hasattr(nn, kind) else f"a {kind}"


def _sloped(slope: float) -> Activation:
    return Activation("leaky_relu", alpha=slope)


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
    """Return an activation over the last axis, which is axis 1 of the last step's outputs."""
    if dim in (-1, 1, 2):
        return Activation(name)
    return (
        f": expected dim=-1, the features, got {dim}; leave it out and pass"
        f" output_activation={name!r} if it acts on features"
    )


# --- settings and values --------------------------------------------------------------------------


def _settings(name: str, part: Any) -> Iterator[Row]:
    """Yield the settings of a module that a network does not have."""
    start, kind = f"{name}.".lstrip("."), _kind(part)
    if kind in ("Softmax", "LogSoftmax") and hasattr(part, "dim"):
        yield Row(f"{start}dim={part.dim}", "", "over the features")
    if kind not in _RECURRENT:
        return
    if getattr(part, "dropout", 0.0):
        yield Row(f"{start}dropout={part.dropout:g}", "", "acts in training only")
    if hasattr(part, "batch_first"):
        layout = "as in elman" if part.batch_first else "elman's arrays are (..., T, I)"
        yield Row(f"{start}batch_first={part.batch_first}", "", layout)


def _state(module: Any) -> dict[str, Any]:
    """Return the tensors of a module; quantized modules have other entries, too."""
    return {name: t for name, t in module.state_dict().items() if isinstance(t, torch.Tensor)}


def _values(module: Any) -> dict[str, Any]:
    """Return the values of parametrized weights in evaluation mode, by their names."""
    values = {}
    for start, part in module.named_modules(remove_duplicate=False):
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):  # whose dim no tensor tells
                with torch.no_grad():
                    value = hook.compute_weight(part, do_power_iteration=False)
                values[f"{start}.{hook.name}".lstrip(".")] = value
        if parametrize.is_parametrized(part):
            modes = [(one, one.training) for one in part.modules()]
            part.eval()
            try:
                with torch.no_grad():
                    for name in part.parametrizations:
                        values[f"{start}.{name}".lstrip(".")] = getattr(part, name).detach()
            finally:
                for one, training in modes:
                    one.training = training
    return values
