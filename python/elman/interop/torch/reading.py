"""Build a network from a PyTorch model: the names of its tensors, and its modules' settings."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from elman import _arguments, _container, _files, _structure
from elman._structure import Structure
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    ShapeError,
    UnsupportedModelError,
)
from elman.interop import _source
from elman.interop._archive import read_file
from elman.interop._source import Imported, Piece, Row, Said, Source
from elman.interop.torch.file import SAVE, read_pt
from elman.interop.torch.names import TorchTensors, find_readout, find_recurrent, of_mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elman._typing import Array
    from elman.interop._source import Pieces, Taps, Trace
    from elman.interop.torch.names import TorchLayer, TorchModel


def read(source: object, said: Said = Said()) -> Imported:  # noqa: B008 - immutable
    """Return the network of `from_torch`, with a row for each part of the source."""
    model = _collect(source, said.prefix)
    layers = find_recurrent(model, said.prefix)
    head = find_readout(model, layers, said.readout, alone=said.prefix is not None)
    directions = tuple("bidirectional" if layer.reverse else "forward" for layer in layers)
    names = [*(name for layer in layers for name in layer.names), *(head or ())]
    arrays = {name: _array(name, model.tensors[name]) for name in names if name is not None}
    for layer in layers:
        _check_shapes(layer, arrays)
    if head is not None:
        _check_readout(head[0], layers[-1], arrays)
    pieces = _pieces(layers, directions, head, arrays)
    known = [
        (repr(layer.unit or "the RNN"), model.nonlinearities.get(layer.unit))
        for layer in layers
        for _ in layer.halves
    ]
    structure = Structure(
        directions,
        _source.activations(said.activation, known, directions),
        _source.output_activation(
            said.output_activation,
            model.output_activation,
            None if head is None else head[0].removesuffix(".weight"),
        ),
    )
    net = _source.network_of(pieces, structure, said)
    if model.modules is not None:
        runs = modules(model.modules)
    else:
        nonlinearities = [str(layer.activation) for layer in net.layers]
        g = net.output_activation
        runs = _tensors(
            TorchTensors(
                source, said.prefix, layers, nonlinearities, head, None if g is None else str(g)
            )
        )
    return Imported(net, _rows(model, layers, pieces), runs)


def modules(source: object) -> Source:
    """Return a module, or modules in order, as a source that PyTorch can run."""

    def run(x: Array, mask: Array | None, taps: Taps) -> Trace:
        from elman.interop.torch import running

        return running.run(source, x, taps)

    return Source("torch", run)


def _tensors(tensors: TorchTensors) -> Source:
    def run(x: Array, mask: Array | None, taps: Taps) -> Trace:
        _files.extra("torch", "running the tensors of a PyTorch model", "torch")
        from elman.interop.torch import running

        return running.run_tensors(tensors, x)

    return Source("torch", run)


# --- the tensors of the source --------------------------------------------------------------------


def _collect(source: object, prefix: str | Sequence[str] | None) -> TorchModel:
    """Return the tensors of a source by name, and its modules' settings."""
    if isinstance(source, (str, bytes, os.PathLike)):
        return of_mapping(_read_file(os.fsdecode(source)), prefix)
    if "torch" in sys.modules:
        from elman.interop.torch.modules import is_module, of_module, of_sequence

        if is_module(source):
            return of_module(source)._replace(modules=source)
        if isinstance(source, (tuple, list)):
            return of_sequence(source)._replace(modules=source)
    if hasattr(source, "items"):
        return of_mapping(source, prefix)
    raise ArgumentTypeError(
        "source: expected a torch module, several such as (rnn, linear), a state_dict or a path,"
        f" got {_arguments.kind(source)}"
    )


def _read_file(path: str) -> dict[str, Any]:
    with _files.naming(path):
        data = read_file(path)
        if data.startswith(b"PK\x03\x04"):
            return read_pt(data)
        if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            raise UnsupportedModelError(
                "expected a .pt file of PyTorch 1.6 or later, got a pickle, which is not read:"
                f" {SAVE}"
            )
        return _container.parse(data)[1]


def _array(name: str, tensor: Any) -> Array:
    """Return a tensor as an array, bfloat16 as float32."""
    import numpy as np

    try:
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        array = np.asarray(tensor)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"{name}: expected a dense numeric tensor ({reason})") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a floating-point tensor, got {array.dtype}")
    return array


# --- the tensors of the network -------------------------------------------------------------------


def _check_shapes(layer: TorchLayer, arrays: dict[str, Array]) -> None:
    """Refuse the gates of other cells, which have the same names."""
    for half in layer.halves:
        name = half["weight_hh"]
        H, *rest = shape = arrays[name].shape or (0,)
        _source.refuse_gates(name, shape, layer.unit or "this")
        if rest != [H]:
            raise ShapeError(f"{name}: expected (H, H), got {arrays[name].shape}")
        for kind, name in half.items():
            got, expected = arrays[name].shape, f"({H},)"
            if kind == "weight_ih":
                expected = f"({H}, I)"
            if got[:1] != (H,) or len(got) != (2 if "weight" in kind else 1):
                raise ShapeError(f"{name}: expected {expected}, got {got}")


def _check_readout(weight: str, top: TorchLayer, arrays: dict[str, Array]) -> None:
    H = len(top.halves) * arrays[top.halves[0]["weight_hh"]].shape[0]
    if arrays[weight].shape[1:] != (H,):
        raise ShapeError(
            f"{weight}: expected (O, {H}), to read {top.unit or 'the RNN'},"
            f" got {arrays[weight].shape}"
        )


_TARGETS = {"weight_ih": "W_xh", "weight_hh": "W_hh", "bias_ih": "b_h", "bias_hh": "b_h"}


def _pieces(
    layers: list[TorchLayer],
    directions: Sequence[str],
    head: tuple[str, str | None] | None,
    arrays: dict[str, Array],
) -> Pieces:
    """Return the arrays by elman's tensor names."""
    pieces: Pieces = {}
    for index, (layer, direction) in enumerate(zip(layers, directions, strict=True)):
        for start, half in zip(_structure.prefixes(index, direction), layer.halves, strict=True):
            for kind, name in half.items():
                pieces.setdefault(start + _TARGETS[kind], []).append(Piece(name, arrays[name]))
    for target, tensor in zip((_structure.W_HY, _structure.B_Y), head or (), strict=False):
        if tensor is not None:
            pieces[target] = [Piece(tensor, arrays[tensor])]
    return pieces


def _rows(model: TorchModel, layers: list[TorchLayer], pieces: Pieces) -> list[Row]:
    """Return a row for every tensor and setting."""
    used = {row.source: row for row in _source.rows_of(pieces)}
    rows = [used.get(name, Row(name, "", "left out")) for name in model.tensors]
    for index, layer in enumerate(layers):
        if name := model.nonlinearities.get(layer.unit):
            setting = f"{layer.unit}.nonlinearity".lstrip(".")
            rows.append(Row(setting, f"layers.{index}.activation", name))
    return rows + model.rows
