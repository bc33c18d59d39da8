"""Build a network from a PyTorch model: the names of its tensors, and its modules' settings."""

from __future__ import annotations

import itertools
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _files, _foreign
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    ShapeError,
    UnsupportedModelError,
)
from elman.interop import _chain, _source
from elman.interop._source import Imported, Piece, Row, Said, Source
from elman.interop.torch.cells import rewritten
from elman.interop.torch.computed import Computed, array_of
from elman.interop.torch.file import read_tensors
from elman.interop.torch.hints import no_rnn
from elman.interop.torch.names import all_of, find_recurrent, of_mapping, units_of
from elman.interop.torch.plan import (
    at_the_end,
    find_plan,
    start_sizes,
    with_starts,
    without_tensors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._chain import Part
    from elman.interop._source import Taps, Trace
    from elman.interop.torch.model import TorchLayer, TorchModel, TorchPart
    from elman.interop.torch.plan import Plan


def read(source: object, said: Said = Said()) -> Imported:  # noqa: B008 - immutable
    """Return the network of `from_torch`, with a row for each part of the source."""
    model = _collect(source, said)
    if said.cell is not None:
        model, layers, said = rewritten(model, said)
    elif units_of(model.tensors):
        layers = find_recurrent(model, said.prefix)
    else:
        raise ArgumentError(no_rnn(model.tensors))
    arrays = {name: array_of(name, model.tensors[name]) for one in layers for name in one.names}
    for layer in layers:
        _check_shapes(layer, arrays)
    model = with_starts(model, layers)
    plan = find_plan(model, layers, said)
    parts = _Parts(model, layers, plan, said).parts
    made = _chain.assemble(parts, said)
    if model.modules is not None:
        runs = modules(model.modules)
        taps: Taps = tuple(None if tap.startswith(_AFTER) else tap for tap in made.taps)
    else:
        runs = _tensors(source, said.prefix, parts)
        places = {part.name: str(index) for index, part in enumerate(parts)}
        taps = tuple(places[tap] for tap in made.taps)
    return Imported(made.network, _rows(model, layers, plan, made), runs, taps)


_AFTER = "after "  # the name of an activation that is no module


def modules(source: object) -> Source:
    """Return a module, or modules in order, as a source that PyTorch can run."""

    def run(x: Array, mask: Array | None, taps: Taps) -> Trace:
        from elman.interop.torch import running

        return running.run(source, x, taps)

    return Source("torch", run)


def _tensors(source: object, prefix: str | Sequence[str] | None, parts: list[Part]) -> Source:
    """Return the tensors of a file or a state_dict as a source that PyTorch can run."""

    def run(x: Array, mask: Array | None, taps: Taps) -> Trace:
        _files.extra("torch", "running the tensors of a PyTorch model", "torch")
        from elman.interop.torch import running

        return running.run_tensors(source, prefix, parts, x, taps)

    return Source("torch", run)


# --- the tensors of the source --------------------------------------------------------------------


def _collect(source: Any, said: Said) -> TorchModel:
    """Return the tensors of a source by name, and what is known of its modules."""
    by_hand = said.cell is not None
    if _arguments.kind(source) == "ExportedProgram":
        raise UnsupportedModelError(
            "source: expected a torch module or a state_dict, got an ExportedProgram: pass its"
            " state_dict, source.state_dict"
        )
    if isinstance(source, (str, bytes, os.PathLike)):
        source = read_tensors(_files.name_of(source, "source"))
    elif "torch" in sys.modules:
        from elman.interop.torch.modules import is_module, of_module, of_sequence

        if is_module(source):
            chosen = said.prefix is not None
            whole = all_of(source.state_dict()) if by_hand else of_module(source, chosen=chosen)
            return whole._replace(modules=source)
        if isinstance(source, (tuple, list)) and not by_hand:
            return of_sequence(source)._replace(modules=source)
    if hasattr(source, "items"):
        return all_of(source) if by_hand else of_mapping(source, said.prefix)
    several, end = ("", " with cell=") if by_hand else (" several such as (rnn, linear),", "")
    raise ArgumentTypeError(
        f"source: expected a torch module,{several} a state_dict or a path{end}, got"
        f" {_arguments.kind(source)}{_foreign.reader(source, 'torch')}"
    )


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


class _Parts:
    """The parts of a chain, from the parts of a plan."""

    def __init__(self, model: TorchModel, layers: list[TorchLayer], plan: Plan, said: Said) -> None:
        self._model = model
        self.parts: list[_chain.Part] = []
        activations = iter(_activations(model, layers, said))
        starts = iter(self._starts(layers, plan, said))
        units = {unit: list(same) for unit, same in itertools.groupby(layers, lambda one: one.unit)}
        for part in plan.parts:
            if part.kind == "rnn":
                for layer in units[part.name]:
                    self._add_layer(layer, activations, starts)
            elif part.kind == "function":
                self._add_function(part.activation, part.name)
            elif part.kind == "norm":
                self._add_norm(part)
            else:
                self._add_matrix(part)
        self._add_function(at_the_end(plan))

    def _piece(self, name: str) -> Piece:
        tensor = self._model.tensors[name]
        note = tensor.note if isinstance(tensor, Computed) else ""
        return Piece(name, array_of(name, tensor), note)

    def _own(self, part: TorchPart, kind: str) -> Piece | None:
        name = f"{part.name}.{kind}".lstrip(".")
        return self._piece(name) if name in self._model.tensors else None

    def _add_layer(
        self,
        layer: TorchLayer,
        activations: Iterator[Activation],
        starts: Iterator[Piece | None],
    ) -> None:
        halves = tuple(
            _chain.Half(
                self._piece(half["weight_ih"]),
                self._piece(half["weight_hh"]),
                tuple(self._piece(half[kind]) for kind in _BIASES if kind in half),
                next(activations),
                next(starts),
            )
            for half in layer.halves
        )
        self.parts.append(_chain.Recurrent(_named(layer), halves, _direction(layer)))

    def _add_function(self, activation: Activation | None, name: str = "") -> None:
        if activation is not None:
            name = name or f"{_AFTER}{self.parts[-1].name}"
            self.parts.append(_chain.Function(name, activation))

    def _add_matrix(self, part: TorchPart) -> None:
        """Add a linear map or an embedding."""
        weight = self._own(part, "weight")
        assert weight is not None
        if part.kind == "embedding":
            note = f"{weight.note}, transposed: reads one-hot vectors".lstrip(", ")
            weight = weight._replace(array=weight.array.T, note=note)
            self.parts.append(_chain.Affine(part.name, weight))
            return
        self._check_readout(weight)
        bias = self._own(part, "bias")
        if bias is not None and bias.array.shape != weight.array.shape[:1]:
            raise ShapeError(
                f"{bias.name}: expected {weight.array.shape[:1]}, got {bias.array.shape}"
            )
        self.parts.append(_chain.Affine(part.name, weight, () if bias is None else (bias,)))

    def _check_readout(self, weight: Piece) -> None:
        top = self.parts[-1] if self.parts else None
        if isinstance(top, _chain.Recurrent):
            H = len(top.halves) * top.halves[0].W_hh.array.shape[0]
            if weight.array.shape[1] != H:
                raise ShapeError(
                    f"{weight.name}: expected (O, {H}), to read"
                    f" {top.name.partition('[')[0] or 'the RNN'}, got {weight.array.shape}"
                )

    def _add_norm(self, part: TorchPart) -> None:
        """Add an nn.BatchNorm1d."""
        mean, var = self._own(part, "running_mean"), self._own(part, "running_var")
        if mean is None or var is None:
            raise ArgumentError(f"source: {part.name}.running_mean is missing")
        by, plus = self._own(part, "weight"), self._own(part, "bias")
        self.parts += _chain.batch_norm(part.name, mean, var, part.eps, by, plus)

    def _starts(self, layers: list[TorchLayer], plan: Plan, said: Said) -> list[Piece | None]:
        """Return the initial state of each half."""
        sizes = start_sizes(self._model, layers)
        if plan.start is not None:
            name, array = plan.start, self._piece(plan.start).array
        elif said.initial_state is None or said.initial_state is False:
            return [None] * sum(len(layer.halves) for layer in layers)
        else:
            name = "initial_state"
            array = _arguments.array(name, said.initial_state)
        if array.size == sum(sizes):
            parts = np.split(array.reshape(-1), np.cumsum(sizes)[:-1])
        elif set(sizes) == {array.size}:
            parts = [array.reshape(-1)] * len(sizes)
        else:
            what = ", the states of all layers" if len(sizes) > 1 else ""
            raise ShapeError(f"{name}: expected {sum(sizes)} numbers{what}, got {array.shape}")
        note = "the same for every layer" if array.size < sum(sizes) else ""
        if any(layer.starts for layer in layers):  # of a cell that is written by hand
            note = "with zeros for the other units"
            halves = [half["weight_hh"] for layer in layers for half in layer.halves]
            units = [self._model.tensors[name].shape[0] for name in halves]
            starts = [start for layer in layers for start in layer.starts]
            parts = [
                np.pad(parts[0][:start], (0, count - start))
                for start, count in zip(starts, units, strict=True)
            ]
        return [Piece(name, part, note) for part in parts]


def _named(layer: TorchLayer) -> str:
    """Return the name of a layer: "rnn[0]", or that of a cell."""
    own = layer.halves[0]["weight_hh"].rpartition(".")[2]
    index = own.removeprefix("weight_hh").removeprefix("_l")
    return f"{layer.unit}[{index}]" if index else layer.unit


def _direction(layer: TorchLayer) -> str:
    return "forward" if len(layer.halves) == 1 else "bidirectional"


_BIASES = ("bias_ih", "bias_hh")


def _activations(model: TorchModel, layers: list[TorchLayer], said: Said) -> tuple[Activation, ...]:
    """Return the activation of each half."""
    known = [
        (repr(layer.unit or "the RNN"), model.nonlinearities.get(layer.unit))
        for layer in layers
        for _ in layer.halves
    ]
    return _source.activations(said.activation, known, [_direction(one) for one in layers])


def _rows(
    model: TorchModel, layers: list[TorchLayer], plan: Plan, made: _chain.Assembled
) -> list[Row]:
    """Return a row for every tensor and setting."""
    used: dict[str, list[Row]] = {}
    for row in made.rows:
        if row not in used.setdefault(row.source, []):
            used[row.source].append(row)
    rows: list[Row] = []
    for name, tensor in model.tensors.items():
        own = used.get(name) or [Row(name, "", plan.left.get(name, "left out"))]
        sources = tensor.sources if isinstance(tensor, Computed) else (name,)
        rows += [row._replace(source=source) for source in sources for row in own]
    places = list(made.taps)
    for layer in layers:
        if kind := model.nonlinearities.get(layer.unit):
            setting = f"{layer.unit}.nonlinearity".lstrip(".")
            rows.append(Row(setting, f"layers.{places.index(_named(layer))}.activation", kind))
    return rows + model.rows + _of_modules(model, plan, made)


def _of_modules(model: TorchModel, plan: Plan, made: _chain.Assembled) -> list[Row]:
    """Return a row for each module without tensors."""
    rows = []
    used = {part.name for part in plan.parts if part.name}
    for part in without_tensors(model):
        if part.name not in used:
            rows.append(Row(part.name, "", _why_left_out(part)))
            continue
        target = "readout.activation"
        if part.name in made.taps:
            target = f"layers.{made.taps.index(part.name)}.activation"
        rows.append(Row(part.name, target, str(part.activation)))
    return rows


def _why_left_out(part: TorchPart) -> str:
    kind = part.what.rpartition(".")[2]
    if "Dropout" in kind:
        return f"{kind} acts in training only"
    if part.kind == "nothing":
        return f"{kind} computes nothing"
    if part.kind == "function":
        return f"{kind}: output_activation sets the activation after the readout"
    return f"{kind} is not read"
