"""Build a network from a Keras model: its config and the arrays of its cells."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _files, _text
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    LimitError,
    ModelFormatError,
    UnsupportedModelError,
)
from elman.interop import _chain, _source
from elman.interop._archive import read_file
from elman.interop._chain import Affine, Function, Half, Recurrent, Scale, Standardize
from elman.interop._source import Imported, Piece, Row, Said, Source
from elman.interop.keras.file import open_live, open_model
from elman.interop.keras.model import (
    KerasDense,
    KerasEmbedding,
    KerasFunction,
    KerasLayer,
    KerasScaling,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._network import Network
    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._chain import Part
    from elman.interop.keras.model import KerasModel
    from elman.interop.keras.running import Runner
    from elman.interop.keras.weights import Find, Weights


def read(source: object, said: Said = Said()) -> Imported:  # noqa: B008 - immutable
    """Return the network of `from_keras`, with a row for each part of the source."""
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        model, find = open_live(source, said)
        return _imported(model, find, said, source)
    if not isinstance(source, str | bytes | os.PathLike):
        kind = _arguments.kind(source)
        raise ArgumentTypeError(f"source: expected a Keras model or the path of a file, got {kind}")
    path = os.fsdecode(source)
    with _files.naming(path):
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
    _require_steps(model)
    model = _settled(model, said)
    top = model.recurrent[-1]
    masked = "zero" if top.zero_output else "hold"
    parts = list(_Parts(model, find, said, rows).parts())
    masking = any(row.source == "masking" for row in model.rows)
    assembled = _chain.assemble(parts, said, masked=masked, has_mask=masking)
    network = assembled.network
    if model.known:
        _check_activations(parts, network, said)
    rows = [*assembled.rows, *rows, *_step_rows(model, parts), *model.rows]
    if masking and not assembled.masks:
        rows.append(OTHER_MASKED)
    taps = tuple(_tap(model, name) for name in assembled.taps)
    return Imported(
        network, rows, runs(source, network), taps if model.known else None, assembled.masks
    )


def _one_merge(model: KerasModel, rows: list[Row]) -> KerasModel:
    """Return a model whose last layer joins the last states of both directions, if it adds them."""
    top = model.recurrent[-1]
    if top.backward is None or top.return_sequences or model.head or top.merge == "concat":
        return model
    what = {"sum": "sum", "ave": "average"}[top.merge]
    rows.append(Row(f"{top.name}.merge_mode", "", f"the {what} of the two parts is the output"))
    return model._replace(parts=[*model.parts[:-1], top._replace(merge="concat")])


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
    if top.backward is not None and not top.return_sequences and model.head:
        raise UnsupportedModelError(
            f"layer {top.name!r}: expected return_sequences=True, got False, which joins the last"
            " states of both directions: readout=False reads the model without its Dense layer, and"
            " net.run(x).state ends with these states"
        )


# --- activations that the source stores, or the caller gives --------------------------------------


def _settled(model: KerasModel, said: Said) -> KerasModel:
    """Return a model whose activations are known, from the options if only they have them."""
    if model.known:
        return model
    above = model.readouts
    inside = [
        part
        for part in model.parts
        if isinstance(part, KerasLayer | KerasDense) and all(part is not one for one in above)
    ]
    directions: list[str] = []
    known: list[tuple[str, None]] = []
    for part in inside:
        halves = part.halves if isinstance(part, KerasLayer) else [part]
        both = isinstance(part, KerasLayer) and part.backward is not None
        directions += ["bidirectional"] if both else ["forward"] * len(halves)
        known += [(repr(part.name), None)] * len(halves)
    settled = iter(_source.activations(said.activation, known, directions))
    outputs = iter(_output_activations(said.output_activation, above))
    parts: list[Any] = []
    for one in model.parts:
        if isinstance(one, KerasLayer):
            cells = [cell._replace(activation=_known(next(settled))) for cell in one.cells]
            backward = one.backward and one.backward._replace(activation=_known(next(settled)))
            parts.append(one._replace(cells=cells, backward=backward))
        elif isinstance(one, KerasDense):
            given = outputs if any(one is dense for dense in above) else settled
            parts.append(one._replace(activation=_known(next(given))))
        else:
            parts.append(one)
    return model._replace(parts=parts)


def _known(activation: str | Activation) -> Activation:
    from elman.activation import Activation

    return Activation(activation) if isinstance(activation, str) else activation


def _output_activations(said: Any, above: list[KerasDense]) -> list[Any]:
    """Return the activation of each Dense layer behind the top layer, from the bottom up."""
    from elman.activation import Activation

    names = _source.listed(one.name for one in above)
    if said is None or isinstance(said, str | Activation):
        if said is not None and len(above) > 1:
            raise ArgumentError(
                f"output_activation: expected one for each of [{names}], got {str(said)!r}"
            )
        if not above:
            _source.output_activation(said, None, None)
        return [_source.output_activation(said, None, one.name) for one in above]
    given = _arguments.listed("output_activation", said, "a name or a sequence of them")
    if len(given) != len(above):
        raise ArgumentError(
            f"output_activation: expected one for each of [{names}], got {len(given)}"
        )
    return given


def _check_activations(parts: list[Part], network: Network, said: Said) -> None:
    """Refuse activations that contradict those of the source."""
    known: list[tuple[str, Activation]] = []
    head: Function | None = None
    for part in parts:
        if isinstance(part, Recurrent):
            known += [(repr(part.name), half.activation) for half in part.halves]
        elif isinstance(part, Function) and part.activation != "identity":
            known.append((repr(part.name), part.activation))
            head = part
    if len(known) > len(network.activations):
        known.pop()  # of the readout
    else:
        head = None
    if said.activation is not None:
        _source.activations(said.activation, known, network.directions)
    theirs: Any = "identity" if head is None else head.activation
    given: Any = said.output_activation
    name = None if network.readout is None else "the readout"
    _source.output_activation(given, name and theirs, name)


# --- the parts ------------------------------------------------------------------------------------


class _Parts:
    """The parts of a chain, with their arrays."""

    def __init__(self, model: KerasModel, find: Find, said: Said, rows: list[Row]) -> None:
        self._model = model
        self._find = find
        self._said = said
        self._rows = rows
        self._width: int | None = None
        self._reversed = False

    def parts(self) -> Iterator[Part]:
        """Yield the parts, from the input to the output."""
        for part in self._model.parts:
            if isinstance(part, KerasLayer):
                yield from self._recurrent(part)
            elif isinstance(part, KerasDense):
                yield from self._dense(part)
            elif isinstance(part, KerasEmbedding):
                yield from self._embedding(part)
            elif isinstance(part, KerasScaling):
                yield from self._scaling(part)
            elif isinstance(part, KerasFunction):
                yield Function(part.name, part.activation)

    def _recurrent(self, layer: KerasLayer) -> Iterator[Recurrent]:
        self._reversed ^= layer.go_backwards
        direction = "reverse" if self._reversed else "forward"
        if layer.backward is not None:
            below = self._width
            halves = []
            for cell in layer.halves:
                self._width = below
                halves.append(self._half(cell))
            self._width = (self._width or 0) * (2 if layer.merge == "concat" else 1)
            yield Recurrent(layer.name, tuple(halves), "bidirectional", layer.merge)
            return
        for index, cell in enumerate(layer.cells):
            name = layer.name if len(layer.cells) == 1 else f"{layer.name}[{index}]"
            yield Recurrent(name, (self._half(cell),), direction)

    def _half(self, cell: Any) -> Half:
        weights = self._find(cell.store)
        path, recurrent = weights["recurrent_kernel"]
        _source.refuse_gates(_text.printable(path), recurrent.shape, "this")
        U = cell.units or (recurrent.shape or (0,))[0]
        kernel = weights["kernel"][1]
        I = kernel.shape[0] if self._width is None and kernel.ndim else self._width
        _check_shapes(weights, {"kernel": (I, U), "recurrent_kernel": (U, U), "bias": (U,)})
        self._width = U
        W_xh, W_hh = _transposed(weights["kernel"]), _transposed(weights["recurrent_kernel"])
        return Half(W_xh, W_hh, _bias(weights), cell.activation)

    def _dense(self, part: KerasDense) -> Iterator[Part]:
        weights = self._find(part.store)
        kernel = weights["kernel"][1]
        I = kernel.shape[0] if self._width is None and kernel.ndim else self._width
        O = kernel.shape[1:] if part.units is None else (part.units,)
        _check_shapes(weights, {"kernel": (I, *O[:1]), "bias": O[:1]})
        (self._width,) = O
        yield Affine(part.name, _transposed(weights["kernel"]), _bias(weights))
        assert part.activation is not None
        yield Function(part.name, part.activation)

    def _embedding(self, part: KerasEmbedding) -> Iterator[Part]:
        path, table = self._find(part.store)["embeddings"]
        if table.ndim != 2 or part.words not in (None, table.shape[0]):
            shown = _text.printable(path)
            raise ModelFormatError(f"{shown}: expected ({part.words or 'V'}, E), got {table.shape}")
        self._width = table.shape[1]
        if self._said.embedding == "rows":
            note = f"left out: the network reads its rows, table[ids] (T, {table.shape[1]})"
            self._rows.append(Row(path, "", note))
            return
        note = f"the network reads one-hot vectors, np.eye({table.shape[0]})[ids]"
        self._rows.append(Row(part.name, "", note))
        yield Affine(part.name, Piece(path, table.T, "transposed"))

    def _scaling(self, part: KerasScaling) -> Iterator[Part]:
        if part.kind == "Rescaling":
            by = None if part.variance is None else Piece(f"{part.name}.scale", part.variance)
            plus = None if part.mean is None else Piece(f"{part.name}.offset", part.mean)
            self._check_widths(part, by, plus)
            yield Scale(part.name, _unless(by, 1), _unless(plus, 0))
            return
        if part.store is None:
            weights: Weights = {
                "mean": (f"{part.name}.mean", np.asarray(part.mean)),
                "variance": (f"{part.name}.variance", np.asarray(part.variance)),
            }
        else:
            weights = self._find(part.store)
        pieces = {kind: Piece(path, _vector(array)) for kind, (path, array) in weights.items()}
        self._check_widths(part, *pieces.values())
        if part.kind == "BatchNormalization":
            moving = pieces["moving_mean"], pieces["moving_variance"]
            by, plus = pieces.get("gamma"), pieces.get("beta")
            yield from _chain.batch_norm(part.name, *moving, part.epsilon, by, plus)
            return
        variance = pieces["variance"]
        root = np.maximum(np.sqrt(variance.array.astype("f8")), part.epsilon)
        std = variance._replace(array=root, note="square root")
        if part.invert:
            yield Scale(part.name, std, pieces["mean"])
        else:
            yield Standardize(part.name, pieces["mean"], std)

    def _check_widths(self, part: KerasScaling, *pieces: Piece | None) -> None:
        for piece in pieces:
            if piece is None:
                continue
            if piece.array.ndim > 1 or (
                piece.array.size != 1 and self._width not in (None, piece.array.size)
            ):
                shown = _text.printable(piece.name)
                raise ModelFormatError(
                    f"{shown}: expected ({self._width},), got {piece.array.shape}"
                )
            if piece.array.size != 1:
                self._width = piece.array.size


def _vector(array: Array) -> Array:
    """Return the numbers of each feature; Keras may store them as (1, 1, I)."""
    return array.reshape(-1) if array.ndim > 1 and array.size == array.shape[-1] else array


def _unless(piece: Piece | None, number: float) -> Piece | None:
    return None if piece is None or (piece.array == number).all() else piece


def _transposed(weight: tuple[str, Array]) -> Piece:
    return Piece(weight[0], weight[1].T, "transposed")


def _bias(weights: Weights) -> tuple[Piece, ...]:
    return (Piece(*weights["bias"]),) if "bias" in weights else ()


def _check_shapes(weights: Weights, shapes: dict[str, tuple[int | None, ...]]) -> None:
    for kind, (path, array) in weights.items():
        if array.shape != shapes[kind]:
            shown = _text.printable(path)
            raise ModelFormatError(f"{shown}: expected {shapes[kind]}, got {array.shape}")


# --- rows and taps --------------------------------------------------------------------------------


def _directions(parts: list[Part]) -> list[str]:
    return [part.direction for part in parts if isinstance(part, Recurrent)]


def _step_rows(model: KerasModel, parts: list[Part]) -> list[Row]:
    """Return a row on which step Keras returns, or in which order it returns the steps."""
    top = model.recurrent[-1]
    backwards = _directions(parts)[-1] == "reverse"
    if top.backward is not None and not top.return_sequences:
        return [Row(f"{top.name}.return_sequences=False", "", "the end of net.run(x).state")]
    if not top.return_sequences:
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        return [Row(f"{top.name}.return_sequences=False", "", f"use {how}")]
    if backwards:
        return [Row(f"{top.name}.go_backwards", "", "Keras' y[t] is elman's y[T - 1 - t]")]
    return []


def _tap(model: KerasModel, name: str) -> str | None:
    """Return the part whose output is the states of a layer, or None if there is none.

    Of a bidirectional layer it is the output of its halves, before they are merged.
    """
    for part in model.parts:
        if part.name == name.partition("[")[0]:
            return name if getattr(part, "heard", True) else None
    return None
