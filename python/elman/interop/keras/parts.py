"""Read a Keras config as parts: simple RNNs and what a network can have around them.

A config is data. Layers are recognized by the names of Keras' own classes; nothing is imported.
Every other class is refused, with the layer and the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from elman._text import show
from elman.activation import TABLE
from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop._chain import Function, Scale
from elman.interop._source import Piece, Row
from elman.interop.keras import config as configs
from elman.interop.keras import graph
from elman.interop.keras.config import Settings, as_object, class_name, layer_name, settings_of
from elman.interop.keras.model import (
    CELL,
    KerasCell,
    KerasDense,
    KerasEmbedding,
    KerasLayer,
    KerasModel,
    KerasPart,
    KerasScaling,
    Store,
    stacked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman.activation import Activation
    from elman.interop.keras.graph import Leaf
    from elman.interop.keras.model import Weights

    Json = Any

_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
)
_RECURRENT = ("SimpleRNN", "RNN", "Bidirectional")


def require_chain(config: Json) -> str:
    """Return the class of a model; refuse classes whose config does not describe the model."""
    kind = class_name(config, "the model")
    if kind not in graph.MODELS:
        raise UnsupportedModelError(
            f"expected a Sequential or functional model, got {kind[:80]!r}, whose config does not"
            " describe its computation"
        )
    return kind


def of_config(config: Json, *, version: str) -> KerasModel:
    """Return the parts that a model's config describes; `version` is that of Keras."""
    require_chain(config)
    if version.startswith(("0", "1.")):
        raise UnsupportedModelError(f"expected a file of Keras 2 or 3, got one of {show(version)}")
    found = graph.of_model(config)
    builder = _Builder(version, found.inputs)
    for leaf in found.leaves:
        builder.add(leaf)
    return builder.model(found.beside)


class _Builder:
    """Builds a model from its layers, from the input to the output."""

    def __init__(self, version: str, inputs: list[Json]) -> None:
        self._parts: list[KerasPart] = []
        self._rows: list[Row] = []
        self._unheard: set[str] = set()
        self._keras_2 = version.startswith("2")
        self._halves_are_zero = halves_are_zero(version)
        self._shape: list[Json] = inputs  # of what the next layer reads: (T, F) or (F,), or []
        self._last = False  # whether the next layer reads one step of the top layer
        self._masking: str | None = None  # an expression, while a mask is handed on
        self._adds: dict[str, Callable[[Leaf], None]] = {
            **dict.fromkeys(_RECURRENT, self._add_recurrent),
            "Dense": self._add_dense,
            **dict.fromkeys(("Activation", *configs.LAYERS), self._add_activation),
            "Masking": self._add_masking,
            "Embedding": self._add_embedding,
            "Normalization": self._add_normalization,
            "BatchNormalization": self._add_batch_normalization,
            "Rescaling": self._add_rescaling,
            "Identity": self._pass_over,
            **dict.fromkeys(("Reshape", "Permute", "Flatten"), self._add_reshape),
            "GetItem": self._add_item,
        }

    @property
    def _recurrent(self) -> list[KerasLayer]:
        return [part for part in self._parts if isinstance(part, KerasLayer)]

    def add(self, leaf: Leaf) -> None:
        """Add the next layer, or refuse it."""
        _refuse_quantized(leaf)
        if leaf.link.state and leaf.kind not in _RECURRENT:
            raise leaf.unsupported("expected a layer with one output, got several")
        if not leaf.place.heard:
            self._unheard.add(leaf.label)
        if leaf.kind in self._adds:
            self._adds[leaf.kind](leaf)
        elif leaf.kind in _TRAINING_ONLY:
            self._rows.append(Row(leaf.label, "", f"{leaf.kind} acts in training only"))
        elif leaf.kind != "InputLayer":
            raise leaf.unsupported(
                "expected SimpleRNN, RNN of SimpleRNNCell, Bidirectional of them, Dense, an"
                " activation, Embedding, Normalization, Rescaling, BatchNormalization, Masking or"
                f" dropout, got {leaf.kind[:80]}"
            )

    def model(self, beside: list[tuple[str, int]]) -> KerasModel:
        """Return the model, with a row for each further output."""
        if not self._recurrent:
            raise UnsupportedModelError("expected a model with a SimpleRNN, got none")
        for name, index in beside:
            self._note_output(name, index)
        return KerasModel(self._parts, self._rows, unheard=frozenset(self._unheard))

    # --- recurrent layers ---

    def _add_recurrent(self, leaf: Leaf) -> None:
        if leaf.place.timed:
            raise leaf.unsupported("expected no RNN within TimeDistributed")
        if self._last:
            raise UnsupportedModelError(
                f"layer {self._recurrent[-1].name!r}: expected return_sequences=True below another"
                " RNN, got False"
            )
        if len(self._shape) not in (0, 2):
            raise leaf.unsupported(
                f"expected inputs of the shape (T, I), got {_shape(self._shape)}"
            )
        if self._masking is not None and leaf.link.starts and not self._keras_2:
            raise leaf.unsupported(
                "expected no mask, which Keras 3 does not hand to an RNN with an initial state that"
                " is an input"
            )
        if self._masking is not None and any(layer.go_backwards for layer in self._recurrent):
            raise leaf.unsupported(
                "expected no mask above go_backwards, which turns the sequence but not its mask"
            )
        if leaf.kind == "Bidirectional":
            layer = self._bidirectional(leaf)
        else:
            self._note_settings(leaf.label, leaf.settings.values)
            layer = self._one_direction(leaf, leaf.kind, leaf.settings)
        if leaf.link.state:
            layer = _of_last_state(leaf, layer)
        for name in leaf.link.starts:
            self._rows.append(Row(name, "", f"the state of {leaf.label}: pass it as state="))
        if self._masking is not None and not self._recurrent:
            self._rows.append(Row("masking", "", f"use net.run(x, mask={self._masking})"))
        self._parts.append(layer)
        self._last = not layer.return_sequences
        joined = layer.backward is not None and layer.merge == "concat"
        self._set_width(sum(cell.units or 0 for cell in layer.halves[-1 - joined :]))

    def _one_direction(
        self, leaf: Leaf, kind: str, settings: Settings, inside: str = ""
    ) -> KerasLayer:
        return KerasLayer(
            leaf.label,
            self._cells(leaf, kind, settings, f"{inside}cell"),
            go_backwards=settings.flag("go_backwards"),
            return_sequences=settings.flag("return_sequences"),
            zero_output=settings.flag("zero_output_for_mask"),
        )

    def _bidirectional(self, leaf: Leaf) -> KerasLayer:
        merge: Json = leaf.settings.get("merge_mode", "concat")
        if merge not in ("concat", "sum", "ave"):
            raise leaf.unsupported(
                f"expected merge_mode 'concat', 'sum' or 'ave', got {show(merge)}"
            )
        first, second = leaf.settings.get("layer"), leaf.settings.get("backward_layer")
        forward = self._half(leaf, first, "forward_layer/")
        if second is not None:
            backward = self._half(leaf, second, "backward_layer/")
        else:  # Keras 2 leaves it out
            backward = self._half(leaf, first, "backward_layer/", note=False)
            backward = backward._replace(go_backwards=not backward.go_backwards)
        if len(forward.cells) != 1 or len(backward.cells) != 1:
            raise leaf.unsupported(
                "expected one cell in each direction, got a stack, whose upper cells read one"
                " direction only"
            )
        if forward.go_backwards or not backward.go_backwards:
            raise leaf.unsupported("expected a forward and a backward layer")
        sizes = {forward.cells[0].units, backward.cells[0].units}
        if len(sizes) > 1 or forward.return_sequences != backward.return_sequences:
            raise leaf.unsupported("expected two layers of one size, got others")
        zero = forward.return_sequences and (self._halves_are_zero or forward.zero_output)
        return forward._replace(backward=backward.cells[0], merge=merge, zero_output=zero)

    def _half(self, leaf: Leaf, half: Json, inside: str, *, note: bool = True) -> KerasLayer:
        kind = class_name(half, leaf.what)
        if kind not in ("SimpleRNN", "RNN"):
            raise leaf.unsupported(f"expected SimpleRNN, got {kind[:80]}")
        label = f"{leaf.label}/{layer_name(half)}"
        values = settings_of(half, leaf.what).values
        if note:
            self._note_settings(label, values)
        return self._one_direction(leaf, kind, Settings(f"layer {label!r}", values), inside)

    def _cells(self, leaf: Leaf, kind: str, settings: Settings, inner: str) -> list[KerasCell]:
        """Return the cells of SimpleRNN, RNN(SimpleRNNCell) or RNN(StackedRNNCells)."""
        if kind == "SimpleRNN":
            return [self._cell(leaf, settings, inner)]
        outer: Json = settings.get("cell")
        if (kind := class_name(outer, settings.what)) != "StackedRNNCells":
            return [self._cell(leaf, _settings_of_cell(outer, settings.what), inner)]
        cells = settings_of(outer, settings.what).get("cells")
        if not isinstance(cells, list) or not cells:
            raise UnsupportedModelError(
                f"{settings.what}: expected cells of SimpleRNNCell, got {kind}"
            )
        return [
            self._cell(leaf, _settings_of_cell(cell, settings.what), place, index)
            for index, (cell, place) in enumerate(zip(cells, stacked(inner), strict=False))
        ]

    def _cell(self, leaf: Leaf, settings: Settings, inner: str, index: int = 0) -> KerasCell:
        activation = self._activation(settings)
        if not TABLE[activation.name].in_layers:
            raise UnsupportedModelError(
                f"{settings.what}: expected {activation.name} at the end of the model only"
            )
        store = self._store(leaf, CELL, settings, inner)
        order = (*leaf.place.order, int(inner.startswith("backward")) or index)
        store = store._replace(layer=store.layer._replace(order=order))
        return KerasCell(store, activation, settings.size("units"))

    def _store(
        self, leaf: Leaf, kinds: tuple[str, ...], settings: Settings, inner: str = ""
    ) -> Store:
        """Return where weights are, and whether they are among the frozen ones of a legacy file.

        Keras 2 freezes what is in a frozen layer; Keras 3 asks the layer, or cell, that has them.
        """
        bias = kinds[-1] != "bias" or settings.flag("use_bias", default=True)
        frozen = not settings.flag("trainable", default=True)
        place = leaf.place._replace(frozen=frozen or (self._keras_2 and leaf.place.frozen))
        lora = None  # the factor of a low-rank update
        if settings.get("lora_rank"):
            rank = settings.number("lora_rank", 0)
            lora = settings.number("lora_alpha", rank) / rank
        return Store(place, kinds if bias else kinds[:-1], inner, bias, lora)

    def _activation(self, settings: Settings) -> Activation:
        return configs.activation_of(settings, keras_2=self._keras_2)

    # --- maps and functions of each step ---

    def _add_dense(self, leaf: Leaf) -> None:
        self._require_features(leaf)
        activation = self._activation(leaf.settings)
        units = leaf.settings.size("units")
        store = self._store(leaf, ("kernel", "bias"), leaf.settings)
        self._note_policy(leaf.label, leaf.settings.values)
        self._parts.append(KerasDense(leaf.label, store, activation, units))
        self._set_width(units)

    def _add_activation(self, leaf: Leaf) -> None:
        if leaf.kind in configs.LAYERS:
            activation = configs.activation_of_layer(leaf.kind, leaf.settings)
        else:
            activation = self._activation(leaf.settings)
        if not TABLE[activation.name].in_layers:
            self._require_features(leaf)
        self._parts.append(Function(leaf.label, activation))

    def _add_embedding(self, leaf: Leaf) -> None:
        if self._parts or leaf.place.timed or self._masking is not None:
            raise leaf.unsupported("expected Embedding at the input, got it elsewhere")
        if len(self._shape) > 1:
            raise leaf.unsupported(
                f"expected sequences of integers (T,), got {_shape(self._shape)}"
            )
        words = leaf.settings.size("input_dim")
        store = self._store(leaf, ("embeddings",), leaf.settings)
        self._parts.append(KerasEmbedding(leaf.label, store, words))
        self._shape = [*(self._shape or [None]), leaf.settings.size("output_dim")]
        if leaf.settings.flag("mask_zero"):
            self._masking = "ids != 0"

    def _add_normalization(self, leaf: Leaf) -> None:
        axes = leaf.settings.get("axis", -1)
        if axes not in (None, []):
            self._require_last_axis(leaf, axes)
        mean = leaf.settings.numbers("mean")
        variance = leaf.settings.numbers("variance")
        source: Store | Weights
        if mean is None and variance is None:
            source = self._store(leaf, ("mean", "variance"), leaf.settings)
        elif mean is None or variance is None or (variance < 0).any():
            raise ModelFormatError(f"{leaf.what}: expected a mean and a variance")
        else:
            if mean.size != 1:
                self._require_features(leaf)
            numbers = {"mean": mean, "variance": variance}
            source = {kind: (f"{leaf.label}.{kind}", array) for kind, array in numbers.items()}
        invert = leaf.settings.flag("invert")
        self._parts.append(KerasScaling(leaf.label, source, 1e-7, invert))

    def _add_batch_normalization(self, leaf: Leaf) -> None:
        self._require_last_axis(leaf, leaf.settings.get("axis", -1))
        optional = [
            kind
            for kind, key in (("gamma", "scale"), ("beta", "center"))
            if leaf.settings.flag(key, default=True)
        ]
        kinds = (*optional, "moving_mean", "moving_variance")
        store = self._store(leaf, kinds, leaf.settings)
        epsilon = leaf.settings.number("epsilon", 1e-3)
        self._parts.append(KerasScaling(leaf.label, store, epsilon))

    def _add_rescaling(self, leaf: Leaf) -> None:
        pieces: list[Piece | None] = []
        for key, neutral in (("scale", 1.0), ("offset", 0.0)):
            array = leaf.settings.numbers(key, neutral)
            if array is None:
                raise ModelFormatError(f"{leaf.what}: expected a scale and an offset")
            if array.size > 1:
                self._require_features(leaf)
            pieces.append(None if (array == neutral).all() else Piece(f"{leaf.label}.{key}", array))
        self._parts.append(Scale(leaf.label, *pieces))

    def _require_features(self, leaf: Leaf) -> None:
        """Refuse a layer that does not act on the features of each step."""
        if (len(self._shape) == 1 and not self._last) or len(self._shape) > 2:
            raise leaf.unsupported(
                "expected the features of each step as its last axis, got inputs of the shape"
                f" {_shape(self._shape)}"
            )

    def _require_last_axis(self, leaf: Leaf, axes: Json) -> None:
        self._require_features(leaf)
        axis = axes[0] if isinstance(axes, list) and len(axes) == 1 else axes
        rank = 1 if self._last or leaf.place.timed else 2
        if type(axis) is not int or axis not in (-1, rank):
            raise leaf.unsupported(f"expected the axis of the features, -1, got {show(axes)}")

    # --- shapes and masks ---

    def _set_width(self, width: Json) -> None:
        """Set the number of features of what the next layer reads."""
        steps = self._shape[0] if len(self._shape) == 2 else None
        self._shape = [width] if self._last else [steps, width]

    def _pass_over(self, leaf: Leaf) -> None:
        self._rows.append(Row(leaf.label, "", f"{leaf.kind} changes nothing"))

    def _add_reshape(self, leaf: Leaf) -> None:
        """Add a Reshape, Permute or Flatten that changes nothing for a network."""
        if not self._shape and not leaf.place.timed:
            self._shape = _built_shape(leaf.layer)
        shape = self._shape[1:] if leaf.place.timed else self._shape
        target: Json = leaf.settings.get("target_shape", leaf.settings.get("dims"))
        if self._masking is not None and not self._last:
            raise leaf.unsupported(f"expected no mask, which {leaf.kind} does not hand on")
        if leaf.kind == "Flatten":
            same = len(shape) == 1 or self._last
            if not same and len(shape) == 2 and shape[0] == 1 and self._recurrent:
                same = self._last = True
                self._set_width(shape[1])
        elif leaf.kind == "Permute":
            same = target == list(range(1, len(shape) + 1)) and bool(shape)
        else:
            same = _same_shape(target, shape)
            is_column = len(self._shape) == 1 and not self._last and not leaf.place.timed
            if not same and is_column and _same_shape(target, [*shape, 1]):
                self._shape = [*shape, 1]
                self._rows.append(
                    Row(leaf.label, "", "the network reads (T, 1): pass x[..., None]")
                )
                return
        if not same:
            raise leaf.unsupported(
                f"expected it to change nothing, got inputs of the shape {_shape(shape)}"
                + ("" if target is None else f", and {_shape(target)}")
            )
        self._pass_over(leaf)

    def _add_item(self, leaf: Leaf) -> None:
        """Add `x[:, -1]`, the last step in the order of the outputs."""
        given = leaf.link.arguments
        parts = given[1] if len(given) == 2 and isinstance(given[1], list) else []
        kinds = [_item_kind(part) for part in parts]
        last = kinds in ([":", "-1"], [":", "-1", ":"], ["...", "-1", ":"])
        if not last or self._last or len(self._shape) != 2 or not self._recurrent:
            raise leaf.unsupported(
                "expected the last step of what follows the top RNN, x[:, -1], got"
                f" x[{', '.join(kinds)[:80]}]"
            )
        backwards = sum(layer.go_backwards for layer in self._recurrent) % 2
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        self._rows.append(Row(leaf.label, "", f"use {how}"))
        self._last = True
        self._set_width(self._shape[1])

    def _add_masking(self, leaf: Leaf) -> None:
        if self._recurrent:
            raise leaf.unsupported("expected Masking below the RNN")
        if leaf.place.timed:
            raise leaf.unsupported(
                "expected no Masking within TimeDistributed, which does not hand on a mask"
            )
        if self._masking is not None:
            raise leaf.unsupported("expected one layer that masks, got another")
        self._require_features(leaf)
        value = leaf.settings.get("mask_value", 0.0)
        if type(value) not in (int, float):
            raise ModelFormatError(f"{leaf.what}: expected a mask_value that is a number")
        x = "x" if not self._parts else f"<output of {self._parts[-1].name}>"
        self._masking = f"({x} != {value!r}).any(-1)"

    # --- rows ---

    def _note_output(self, name: str, index: int) -> None:
        """Add a row for an output beside the main one."""
        layers = {layer.name: layer for layer in self._recurrent}
        if name not in layers:
            raise UnsupportedModelError(
                f"layer {name!r}: expected further outputs of recurrent layers only, got one of"
                " another layer"
            )
        where = "its part of run.state" if index else "its part of run.hidden"
        if not index and not layers[name].return_sequences:
            where = "its part of run.state"
        self._rows.append(Row(f"output {index} of {name}", "", where))

    def _note_settings(self, name: str, config: dict[str, Json]) -> None:
        """Add a row for each setting that a network does not have."""
        for key, note in (
            ("dropout", "acts in training only"),
            ("recurrent_dropout", "acts in training only"),
            ("stateful", "pass run.state on, or use net.stream()"),
            ("return_state", "run.state has the states of all layers"),
            ("unroll", "affects only speed"),
            ("time_major", "Keras reads (T, B, I) and returns (T, B, H)"),
            ("zero_output_for_mask", "its output at masked steps is zero: masked='zero'"),
        ):
            if config.get(key):
                self._rows.append(Row(f"{name}.{key}", "", note))
        self._note_policy(name, config)

    def _note_policy(self, name: str, config: dict[str, Json]) -> None:
        policy = config.get("dtype")
        if isinstance(policy, dict):
            policy = as_object(policy.get("config", {}), name).get("name")
        if policy not in (None, "float32", "float64"):
            note = "elman computes in the dtype of the network"
            self._rows.append(Row(f"{name}.dtype={show(policy)}", "", note))


def _item_kind(part: Json) -> str:
    """Return one part of `x[...]` as it is written."""
    kind = part.get("class_name") if isinstance(part, dict) else None
    if kind == "__ellipsis__":
        return "..."
    if kind == "__slice__":
        config = part.get("config")
        whole = isinstance(config, dict) and not any(v is not None for v in config.values())
        return ":" if whole else "slice"
    return show(part)


def _of_last_state(leaf: Leaf, layer: KerasLayer) -> KerasLayer:
    """Return a layer whose last state is read instead of its outputs."""
    if layer.backward is not None or leaf.link.state != len(layer.cells):
        raise leaf.unsupported(
            "expected the next layer to read the outputs or the last state of the top cell, got"
            " another state"
        )
    return layer._replace(return_sequences=False, zero_output=False)


def _settings_of_cell(cell: Json, what: str) -> Settings:
    """Return the config of a SimpleRNNCell; refuse other cells."""
    if (kind := class_name(cell, what)) != "SimpleRNNCell":
        raise UnsupportedModelError(f"{what}: expected cells of SimpleRNNCell, got {kind[:80]}")
    return settings_of(cell, what)


def halves_are_zero(version: str) -> bool:
    """Return whether Bidirectional returns zeros for masked steps, as since TensorFlow's Keras."""
    return re.match(r"2\.[0-3](\.\d+)?$", version) is None


def _refuse_quantized(leaf: Leaf) -> None:
    """Refuse layers whose weights are integers."""
    policy = leaf.settings.get("dtype")
    if isinstance(policy, dict):
        kind, config = policy.get("class_name"), policy.get("config")
        mode = config.get("mode") if isinstance(config, dict) else None
        if kind in ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "GPTQDTypePolicy"):
            raise leaf.unsupported(
                f"expected weights of floating point, got quantized ones ({show(mode)}): save the"
                " model before model.quantize"
            )


def _same_shape(target: Json, shape: list[Json]) -> bool:
    """Return whether a Reshape to `target` keeps `shape`, one number of which may be left open."""
    if not isinstance(target, list) or not shape or len(target) != len(shape):
        return False
    pairs = zip(target, shape, strict=True)
    others = [i for i, (a, b) in enumerate(pairs) if type(a) is not int or a != b]
    # the features of (T, F) decide; a given number of steps is then the same
    open_steps = [0] if len(shape) == 2 and shape[0] is None else []
    return len(others) <= 1 and all(target[i] == -1 or i in open_steps for i in others)


def _built_shape(layer: dict[str, Json]) -> list[Json]:
    """Return the shape that a layer was built for, without the batch, or [] if it is unknown."""
    build = layer.get("build_config")
    shape = build.get("input_shape") if isinstance(build, dict) else None
    return shape[1:] if isinstance(shape, list) and len(shape) in (2, 3) else []


def _shape(shape: list[Json]) -> str:
    """Return a shape for a message."""
    if not isinstance(shape, list) or not shape:
        return "unknown"
    return "(" + ", ".join(str(s) if type(s) is int else "?" for s in shape[:4]) + ")"
