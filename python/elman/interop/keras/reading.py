"""Build a network from a Keras model: its config and the arrays of its cells."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _files, _foreign, _text
from elman._parameters import structure_of
from elman._structure import prefixes
from elman.activation import Activation
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    LimitError,
    ModelFormatError,
    ShapeError,
    UnsupportedModelError,
)
from elman.interop import _chain, _source
from elman.interop._archive import opening, read_file
from elman.interop._chain import Affine, Function, Half, Recurrent, Scale, Standardize
from elman.interop._source import Imported, Piece, Row, Said, Source
from elman.interop.keras.file import open_live, open_model
from elman.interop.keras.model import KerasDense, KerasEmbedding, KerasLayer, KerasScaling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._chain import Assembled, Part
    from elman.interop.keras.model import KerasCell, KerasModel, Weights
    from elman.interop.keras.running import Runner
    from elman.interop.keras.weights import Find


def read(source: object, said: Said = Said()) -> Imported:  # noqa: B008 - immutable
    """Return the network of `from_keras`, with a row for each part of the source."""
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        model, find = open_live(source, said)
        return _imported(model, find, said, source)
    if not isinstance(source, str | bytes | os.PathLike):
        got = _arguments.kind(source) + _foreign.reader(source, "keras")
        raise ArgumentTypeError(f"source: expected a Keras model or the path of a file, got {got}")
    path = _files.name_of(source, "source")
    with opening(path, "keras"):
        try:
            model, find = open_model(read_file(path), said)
            return _imported(model, find, said, path)
        except RecursionError:
            raise LimitError("the config: the JSON is nested too deeply") from None


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


OTHER_MASKED = Row("masking", "", "outputs at masked steps are not those of the source")
_BACKENDS = ("tensorflow", "jax", "torch", "numpy")


def _imported(model: KerasModel, find: Find, said: Said, source: object) -> Imported:
    rows: list[Row] = []
    _source.require_embedding(said.embedding)
    if said.readout is False:
        rows += [Row(part.name, "", "left out: readout=False") for part in model.head]
        model = model._replace(parts=model.parts[: len(model.parts) - len(model.head)])
    model = _one_merge(model, rows)
    _require_step(model)
    parts = list(_Parts(model, find, said, rows).parts())
    masked = "zero" if model.recurrent[-1].zero_output else "hold"
    masking = any(row.source == "masking" for row in model.rows)
    try:
        made = _chain.assemble(parts, said, masked=masked, has_mask=masking)
    except ShapeError as error:
        raise ModelFormatError(str(error)) from None
    network, taps = made.network, None
    if model.known:
        _check_activations(made, said)
        taps = tuple(None if t.partition("[")[0] in model.unheard else t for t in made.taps)
    rows = [*made.rows, *rows, *_step_rows(model), *model.rows]
    if masking and not made.masks:
        rows.append(OTHER_MASKED)
    return Imported(network, rows, runs(source, network), taps, made.masks)


def _one_merge(model: KerasModel, rows: list[Row]) -> KerasModel:
    """Return a model whose last layer joins the last states of both directions, if it adds them."""
    top = model.recurrent[-1]
    if top.backward is None or top.return_sequences or model.head or top.merge == "concat":
        return model
    what = {"sum": "sum", "ave": "average"}[top.merge]
    rows.append(Row(f"{top.name}.merge_mode", "", f"the {what} of the two parts is the output"))
    return model._replace(parts=[*model.parts[:-1], top._replace(merge="concat")])


def _require_step(model: KerasModel) -> None:
    """Refuse outputs that do not belong to one step."""
    top = model.recurrent[-1]
    if top.backward is not None and not top.return_sequences and model.head:
        raise UnsupportedModelError(
            f"layer {top.name!r}: expected return_sequences=True, got False, which joins the last"
            " states of both directions: readout=False reads the model without its Dense layer, and"
            " net.run(x).state ends with these states"
        )


# --- activations that the source stores, or the caller gives --------------------------------------


def _given(model: KerasModel, said: Said) -> tuple[Iterator[Activation], Iterator[Activation]]:
    """Return the caller's activations of all layers up to the top one, and of those behind it."""
    above = model.readouts
    inside = [
        part
        for part in model.parts
        if isinstance(part, KerasLayer | KerasDense) and part not in above
    ]
    directions: list[str] = []
    owners: list[tuple[str, None]] = []
    for part in inside:
        count = len(part.halves) if isinstance(part, KerasLayer) else 1
        both = isinstance(part, KerasLayer) and part.backward is not None
        directions += ["bidirectional"] if both else ["forward"] * count
        owners += [(repr(part.name), None)] * count
    layers = _source.activations(said.activation, owners, directions)
    return iter(layers), iter(_output_activations(said.output_activation, above))


def _output_activations(said: Any, above: list[KerasDense]) -> list[Activation]:
    """Return the activation of each Dense layer behind the top layer, from the bottom up."""
    names: list[str | None] = [part.name for part in above]
    single = isinstance(said, str | Activation)
    if said is None or (single and len(names) < 2):
        settled = [_source.output_activation(said, None, name) for name in names or [None]]
        return [activation for activation in settled if activation is not None]
    expected = "a name or a sequence of them"
    given = [said] if single else _arguments.listed("output_activation", said, expected)
    if len(given) != len(above):
        shown = _source.listed(part.name for part in above)
        raise ArgumentError(
            f"output_activation: expected one for each of [{shown}], got"
            f" {repr(str(said)) if single else len(given)}"
        )
    return [_source.activation_of("output_activation", value) for value in given]


def _check_activations(made: Assembled, said: Said) -> None:
    """Refuse activations that contradict those of the source."""
    network = made.network
    if said.activation is not None:
        owners = [
            repr(tap)
            for tap, direction in zip(made.taps, network.directions, strict=True)
            for _ in prefixes(0, direction)
        ]
        known = list(zip(owners, structure_of(network).activations, strict=True))
        _source.activations(said.activation, known, network.directions)
    name = None if network.readout is None else "the readout"
    _source.output_activation(said.output_activation, network.output_activation, name)


# --- the parts ------------------------------------------------------------------------------------


class _Parts:
    """The parts of a chain, with their arrays."""

    def __init__(self, model: KerasModel, find: Find, said: Said, rows: list[Row]) -> None:
        self._model = model
        self._find = find
        self._rows = rows
        self._embedding_rows = said.embedding == "rows"
        nothing: Iterator[Activation] = iter(())
        self._inside, self._above = (nothing, nothing) if model.known else _given(model, said)

    def parts(self) -> Iterator[Part]:
        """Yield the parts, from the input to the output."""
        reversed_ = False
        for part in self._model.parts:
            if isinstance(part, KerasLayer):
                reversed_ ^= part.go_backwards
                yield from self._recurrent(part, "reverse" if reversed_ else "forward")
            elif isinstance(part, KerasDense):
                yield from self._dense(part)
            elif isinstance(part, KerasEmbedding):
                yield from self._embedding(part)
            elif isinstance(part, KerasScaling):
                yield from self._scaling(part)
            else:
                yield part

    def _recurrent(self, layer: KerasLayer, direction: str) -> Iterator[Recurrent]:
        if layer.backward is not None and direction == "reverse":
            raise UnsupportedModelError(
                f"layer {layer.name!r}: expected a bidirectional layer that reads in the order of"
                " time, got one above go_backwards"
            )
        halves = [self._half(cell) for cell in layer.halves]
        if layer.backward is not None:
            yield Recurrent(layer.name, tuple(halves), "bidirectional", layer.merge)
            return
        for index, half in enumerate(halves):
            name = layer.name if len(halves) == 1 else f"{layer.name}[{index}]"
            yield Recurrent(name, (half,), direction)

    def _half(self, cell: KerasCell) -> Half:
        weights = self._find(cell.store)
        path, recurrent = weights["recurrent_kernel"]
        _source.refuse_gates(_text.printable(path), recurrent.shape, "this")
        U = cell.units or (recurrent.shape or (0,))[0]
        _check_shapes(weights, {"kernel": (None, U), "recurrent_kernel": (U, U), "bias": (U,)})
        W_xh, W_hh = _transposed(weights["kernel"]), _transposed(weights["recurrent_kernel"])
        return Half(W_xh, W_hh, _bias(weights), cell.activation or next(self._inside))

    def _dense(self, part: KerasDense) -> Iterator[Part]:
        weights = self._find(part.store)
        units = part.units or (weights["kernel"][1].shape or (0,))[-1]
        _check_shapes(weights, {"kernel": (None, units), "bias": (units,)})
        yield Affine(part.name, _transposed(weights["kernel"]), _bias(weights))
        given = self._above if part in self._model.readouts else self._inside
        yield Function(part.name, part.activation or next(given))

    def _embedding(self, part: KerasEmbedding) -> Iterator[Part]:
        path, table = self._find(part.store)["embeddings"]
        if table.ndim != 2 or part.words not in (None, table.shape[0]):
            shown = _text.printable(path)
            raise ModelFormatError(f"{shown}: expected ({part.words or 'V'}, E), got {table.shape}")
        if self._embedding_rows:
            note = f"left out: the network reads its rows, table[ids] (T, {table.shape[1]})"
            self._rows.append(Row(path, "", note))
            return
        note = f"the network reads one-hot vectors, np.eye({table.shape[0]})[ids]"
        self._rows.append(Row(part.name, "", note))
        yield Affine(part.name, _transposed((path, table)))

    def _scaling(self, part: KerasScaling) -> Iterator[Part]:
        weights = part.source if isinstance(part.source, dict) else self._find(part.source)
        pieces = {kind: Piece(path, _vector(array)) for kind, (path, array) in weights.items()}
        if "moving_mean" in pieces:
            moving = pieces["moving_mean"], pieces["moving_variance"]
            by, plus = pieces.get("gamma"), pieces.get("beta")
            yield from _chain.batch_norm(part.name, *moving, part.epsilon, by, plus)
            return
        mean, variance = pieces["mean"], pieces["variance"]
        root = np.maximum(np.sqrt(variance.array.astype("f8")), part.epsilon)
        std = variance._replace(array=root, note="square root")
        if part.invert:
            yield Scale(part.name, std, mean)
        else:
            yield Standardize(part.name, mean, std)


def _vector(array: Array) -> Array:
    """Return the numbers of each feature; Keras may store them as (1, 1, I)."""
    return array.reshape(-1) if array.ndim > 1 and array.size == array.shape[-1] else array


def _transposed(weight: tuple[str, Array]) -> Piece:
    return Piece(weight[0], weight[1].T, "transposed")


def _bias(weights: Weights) -> tuple[Piece, ...]:
    return (Piece(*weights["bias"]),) if "bias" in weights else ()


def _check_shapes(weights: Weights, shapes: dict[str, tuple[int | None, ...]]) -> None:
    """Refuse other shapes; None stands for any number."""
    for kind, (path, array) in weights.items():
        expected = shapes[kind]
        if array.ndim == len(expected) and expected[0] is None:
            expected = (len(array), *expected[1:])
        if array.shape != expected:
            shown = _text.printable(path)
            wanted = str(expected).replace("None", "I")
            raise ModelFormatError(f"{shown}: expected {wanted}, got {array.shape}")


def _step_rows(model: KerasModel) -> list[Row]:
    """Return a row on which step Keras returns, or in which order it returns the steps."""
    top = model.recurrent[-1]
    backwards = sum(layer.go_backwards for layer in model.recurrent) % 2
    if top.backward is not None and not top.return_sequences:
        return [Row(f"{top.name}.return_sequences=False", "", "the end of net.run(x).state")]
    if not top.return_sequences:
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        return [Row(f"{top.name}.return_sequences=False", "", f"use {how}")]
    if backwards:
        return [Row(f"{top.name}.go_backwards", "", "Keras' y[t] is elman's y[T - 1 - t]")]
    return []
