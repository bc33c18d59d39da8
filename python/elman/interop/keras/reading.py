"""Build a network from a Keras model: its config and the arrays of its cells."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from elman import _arguments, _files, _structure
from elman._structure import Structure
from elman.errors import ArgumentTypeError, ModelFormatError, UnsupportedModelError
from elman.interop import _source
from elman.interop._archive import read_file
from elman.interop._source import Imported, Piece, Row, Said, Source
from elman.interop.keras.file import open_live, open_model

if TYPE_CHECKING:
    from elman._network import Network
    from elman.interop._source import Pieces
    from elman.interop.keras.file import Find, Weights
    from elman.interop.keras.model import KerasLayer, KerasModel
    from elman.interop.keras.running import Runner


def read(source: object, said: Said = Said()) -> Imported:  # noqa: B008 - immutable
    """Return the network of `from_keras`, with a row for each part of the source."""
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        model, find = open_live(source, said.layers, said.readout)
        return _imported(model, find, said, source)
    if not isinstance(source, str | bytes | os.PathLike):
        kind = _arguments.kind(source)
        raise ArgumentTypeError(f"source: expected a Keras model or the path of a file, got {kind}")
    path = os.fsdecode(source)
    with _files.naming(path):
        model, find = open_model(read_file(path), said.layers, said.readout)
        return _imported(model, find, said, path)


def runs(source: object, net: Network | None = None) -> Source:
    """Return a model, or the path of one, as a source that Keras can run.

    The weights of a file that Keras cannot load are run in layers of the network.
    """

    @functools.cache
    def runner() -> Runner:
        import_keras("running a Keras model")
        from elman.interop.keras.running import Runner

        return Runner(source, net)

    return Source(
        "keras", lambda x, mask, taps: runner().run(x, mask, taps), lambda: runner().sizes()
    )


def import_keras(purpose: str) -> None:
    """Import Keras, on a backend that is installed if none was chosen."""
    if "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ:
        installed = [name for name in _BACKENDS if importlib.util.find_spec(name)]
        if installed and installed[0] != "tensorflow":  # Keras' default
            os.environ["KERAS_BACKEND"] = installed[0]
    _files.extra("keras", purpose, "keras")


_BACKENDS = ("tensorflow", "jax", "torch", "numpy")


def _imported(model: KerasModel, find: Find, said: Said, source: object) -> Imported:
    if said.readout is False:
        model = model._replace(dense=None)
    _require_steps(model)
    layers = [layer._replace(cells=[cell]) for layer in model.recurrent for cell in layer.cells]
    directions = _directions(model)
    pieces = _pieces(layers, directions, model, find)
    known = [(repr(layer.name), cell.activation) for layer in layers for cell in layer.halves]
    dense = model.dense
    structure = Structure(
        tuple(directions),
        _source.activations(said.activation, known, directions),
        _source.output_activation(
            said.output_activation, dense and dense.cell.activation, dense and dense.name
        ),
        "zero" if model.recurrent[-1].zero_output else "hold",
    )
    network = _source.network_of(pieces, structure, said)
    rows = [*_source.rows_of(pieces), *_step_rows(model, directions), *model.rows]
    return Imported(network, rows, runs(source, network))


def _require_steps(model: KerasModel) -> None:
    """Refuse outputs that do not belong to one step, or whose halves are not in time order."""
    reversed_ = False
    for layer in model.recurrent:
        reversed_ ^= layer.go_backwards
        if layer.backward is not None and reversed_:
            raise UnsupportedModelError(
                f"layer {layer.name!r}: expected a bidirectional layer that reads in the order of"
                " time, got one above go_backwards"
            )
    top = model.recurrent[-1]
    if top.backward is not None and not top.return_sequences and model.dense is not None:
        raise UnsupportedModelError(
            f"layer {top.name!r}: expected return_sequences=True, got False, which joins the last"
            " states of both directions: readout=False reads the model without its Dense layer, and"
            " net.run(x).state ends with these states"
        )


def _directions(model: KerasModel) -> list[str]:
    """Return each layer's direction in time; go_backwards reverses it and all layers above."""
    directions = []
    reversed_ = False
    for layer in model.recurrent:
        reversed_ ^= layer.go_backwards
        one = "reverse" if reversed_ else "forward"
        directions += ["bidirectional" if layer.backward else one] * len(layer.cells)
    return directions


_TARGETS = {"kernel": "W_xh", "recurrent_kernel": "W_hh", "bias": "b_h"}


def _pieces(
    layers: list[KerasLayer], directions: list[str], model: KerasModel, find: Find
) -> Pieces:
    """Return the arrays by elman's tensor names, transposed; check that their shapes match."""
    pieces: Pieces = {}
    below: int | None = None

    def take(weights: Weights, start: str, targets: dict[str, str]) -> None:
        for kind, (path, array) in weights.items():
            note = "" if kind == "bias" else "transposed"
            pieces[start + targets[kind]] = [Piece(path, array.T, note)]

    for index, (layer, direction) in enumerate(zip(layers, directions, strict=True)):
        cells = layer.halves
        for start, cell in zip(_structure.prefixes(index, direction), cells, strict=True):
            weights = find(layer, cell)
            path, recurrent = weights["recurrent_kernel"]
            _source.refuse_gates(path, recurrent.shape, "this")
            U = cell.units or (recurrent.shape or (0,))[0]
            kernel = weights["kernel"][1]
            I = kernel.shape[0] if below is None and kernel.ndim else below
            _check_shapes(weights, {"kernel": (I, U), "recurrent_kernel": (U, U), "bias": (U,)})
            take(weights, start, _TARGETS)
        below = len(cells) * U
    if model.dense is not None:
        weights = find(model.dense, model.dense.cell)
        O = weights["kernel"][1].shape[1:]
        _check_shapes(weights, {"kernel": (below, *O[:1]), "bias": O})
        take(weights, "readout.", {"kernel": "W_hy", "bias": "b_y"})
    return pieces


def _check_shapes(weights: Weights, shapes: dict[str, tuple[int | None, ...]]) -> None:
    for kind, (path, array) in weights.items():
        if array.shape != shapes[kind]:
            raise ModelFormatError(f"{path}: expected {shapes[kind]}, got {array.shape}")


def _step_rows(model: KerasModel, directions: list[str]) -> list[Row]:
    """Return a row on which step Keras returns, or in which order it returns the steps."""
    top = model.recurrent[-1]
    backwards = directions[-1] == "reverse"
    if top.backward is not None and not top.return_sequences:
        return [Row(f"{top.name}.return_sequences=False", "", "the end of net.run(x).state")]
    if not top.return_sequences:
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        return [Row(f"{top.name}.return_sequences=False", "", f"use {how}")]
    if backwards:
        return [Row(f"{top.name}.go_backwards", "", "Keras' y[t] is elman's y[T - 1 - t]")]
    return []
