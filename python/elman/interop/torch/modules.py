"""Read the settings of live PyTorch modules.

Imported only if PyTorch is already loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from elman import _arguments
from elman.errors import ArgumentError, ArgumentTypeError, UnsupportedModelError
from elman.interop._source import Row
from elman.interop.torch.names import TorchModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeGuard

_RECURRENT = (nn.RNN, nn.RNNCell)
_DROPOUT = (nn.Dropout, nn.AlphaDropout)


def is_module(source: object) -> TypeGuard[Any]:
    """Return True for a PyTorch module."""
    return isinstance(source, torch.nn.Module)


def of_module(module: Any) -> TorchModel:
    """Return the RNNs and linear layers of a module, at any depth."""
    if isinstance(module, nn.ModuleList):
        return of_sequence([module])
    nonlinearities: dict[str, str] = {}
    linears: list[str] = []
    rows: list[Row] = []
    for name, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, _RECURRENT):
            nonlinearities[name] = part.nonlinearity
            rows += _settings(name, part)
        elif isinstance(part, (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell)):
            kind = type(part).__name__
            raise UnsupportedModelError(
                f"source: expected an nn.RNN or nn.RNNCell, got {name or 'a module'}, an nn.{kind}"
            )
        elif isinstance(part, nn.Linear):
            linears.append(name)
        elif name and next(part.children(), None) is None:
            rows.append(Row(name, "", _left_out(part)))
    return TorchModel(dict(module.state_dict()), rows, nonlinearities, frozenset(linears))


def of_sequence(modules: Iterable[Any]) -> TorchModel:
    """Return the model of a sequence of modules: RNNs or cells, a Linear, its activation."""
    parts = list(_flat(modules, ""))
    stack, readout, activation = [], None, None
    for name, part in parts:
        if isinstance(part, _RECURRENT) and readout is None:
            stack.append(name)
        elif isinstance(part, nn.Linear) and stack and readout is None:
            readout = name
        elif readout is not None and activation is None and _activation(part) is not None:
            activation = _activation(part)
        elif not isinstance(part, _DROPOUT):
            raise ArgumentError(
                "source: expected nn.RNN or nn.RNNCell, then nn.Linear, then its activation, got"
                f" {_arguments.kind(part)} as module {name}"
            )
    sources = [(name, of_module(part)) for name, part in parts]
    return TorchModel(
        {f"{name}.{key}": t for name, source in sources for key, t in source.tensors.items()},
        [row._replace(source=f"{name}.{row.source}") for name, s in sources for row in s.rows],
        {name: source.nonlinearities[""] for name, source in sources if source.nonlinearities},
        frozenset([readout] if readout is not None else []),
        tuple(stack),
        activation,
    )


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


def _settings(name: str, rnn: Any) -> Iterator[Row]:
    """Yield the settings of an RNN that a network does not have."""
    start = f"{name}.".lstrip(".")
    if getattr(rnn, "dropout", 0.0):
        yield Row(f"{start}dropout={rnn.dropout:g}", "", "acts in training only")
    if hasattr(rnn, "batch_first"):
        layout = "as in elman" if rnn.batch_first else "elman's arrays are (..., T, I)"
        yield Row(f"{start}batch_first={rnn.batch_first}", "", layout)


def _left_out(part: Any) -> str:
    kind = type(part).__name__
    if isinstance(part, _DROPOUT):
        return f"{kind} acts in training only"
    if _activation(part) is not None:
        return f"{kind}: output_activation sets the activation after the readout"
    return f"{kind} is not read"


def _activation(part: Any) -> str | None:
    """Return elman's name for an activation module, or None."""
    if isinstance(part, (nn.Softmax, nn.LogSoftmax)):  # over the features of (B, T, O) or (B, O)
        name = "softmax" if isinstance(part, nn.Softmax) else "log_softmax"
        return name if part.dim in (-1, 1, 2) else None
    names = {nn.Identity: "identity", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu"}
    return names.get(type(part))
