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
from elman.interop._source import Row
from elman.interop.keras import config as configs
from elman.interop.keras import graph
from elman.interop.keras.config import as_object, class_name, flag, layer_name, size
from elman.interop.keras.model import (
    CELL,
    KerasCell,
    KerasDense,
    KerasEmbedding,
    KerasFunction,
    KerasLayer,
    KerasModel,
    KerasPart,
    KerasScaling,
    Store,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman.activation import Activation
    from elman.interop.keras.graph import Leaf

    Json = Any

_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
)


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
        self._keras_2 = version.startswith("2")
        self._halves_are_zero = halves_are_zero(version)
        self._shape: list[Json] = inputs  # of what the next layer reads: (T, F) or (F,), or []
        self._rank = len(inputs) if len(inputs) in (1, 2) else 2
        self._last = False  # whether the next layer reads one step of the top layer
        self._masking: str | None = None  # an expression, while a mask is handed on
        self._masked_row = False
        self._adds: dict[str, Callable[[Leaf], None]] = {
            "SimpleRNN": self._add_recurrent,
            "RNN": self._add_recurrent,
            "Bidirectional": self._add_recurrent,
            "Dense": self._add_dense,
            "Activation": self._add_activation,
            **dict.fromkeys(configs.LAYERS, self._add_activation),
            "Masking": self._add_masking,
            "Embedding": self._add_embedding,
            "Normalization": self._add_normalization,
            "BatchNormalization": self._add_batch_normalization,
            "Rescaling": self._add_rescaling,
            "Identity": self._pass_over,
            "Reshape": self._add_reshape,
            "Permute": self._add_reshape,
            "Flatten": self._add_reshape,
            "GetItem": self._add_item,
        }

    @property
    def _recurrent(self) -> list[KerasLayer]:
        return [part for part in self._parts if isinstance(part, KerasLayer)]

    def add(self, leaf: Leaf) -> None:
        """Add the next layer, or refuse it."""
        _refuse_quantized(leaf)
        if leaf.state and leaf.kind not in ("SimpleRNN", "RNN", "Bidirectional"):
            raise UnsupportedModelError(
                f"{leaf.what}: expected a layer with one output, got several"
            )
        if leaf.kind in self._adds:
            self._adds[leaf.kind](leaf)
        elif leaf.kind in _TRAINING_ONLY:
            self._rows.append(Row(leaf.label, "", f"{leaf.kind} acts in training only"))
        elif leaf.kind != "InputLayer":
            raise UnsupportedModelError(
                f"{leaf.what} ({leaf.kind[:80]}): expected SimpleRNN, RNN of SimpleRNNCell,"
                " Bidirectional of them, Dense, an activation, Embedding, Normalization, Rescaling,"
                f" BatchNormalization, Masking or dropout, got {leaf.kind[:80]}"
            )

    def model(self, beside: list[tuple[str, int]]) -> KerasModel:
        """Return the model, with a row for each further output."""
        recurrent = self._recurrent
        if not recurrent:
            raise UnsupportedModelError("expected a model with a SimpleRNN, got none")
        for name, index in beside:
            self._note_output(name, index)
        return KerasModel(self._parts, self._rows)

    # --- recurrent layers ---

    def _add_recurrent(self, leaf: Leaf) -> None:
        if leaf.timed:
            raise UnsupportedModelError(f"{leaf.what}: expected no RNN within TimeDistributed")
        if self._last:
            raise UnsupportedModelError(
                f"layer {self._recurrent[-1].name!r}: expected return_sequences=True below another"
                " RNN, got False"
            )
        if self._rank == 1 or len(self._shape) > 2:
            raise UnsupportedModelError(
                f"{leaf.what}: expected inputs of the shape (T, I), got {_shape(self._shape)}"
            )
        if self._masking is not None and leaf.starts and not self._keras_2:
            raise UnsupportedModelError(
                f"{leaf.what}: expected no mask, which Keras 3 does not hand to an RNN with an"
                " initial state that is an input"
            )
        if self._masking is not None and any(layer.go_backwards for layer in self._recurrent):
            raise UnsupportedModelError(
                f"{leaf.what}: expected no mask above go_backwards, which turns the sequence but"
                " not its"
                " mask"
            )
        if leaf.kind == "Bidirectional":
            layer = self._bidirectional(leaf)
        else:
            layer = self._one_direction(leaf, leaf.config, leaf.kind, leaf.label)
        if leaf.state:
            layer = self._read_state(layer, leaf.state, leaf.what)
        for name in leaf.starts:
            self._rows.append(Row(name, "", f"the state of {leaf.label}: pass it as state="))
        self._parts.append(layer)
        self._last = not layer.return_sequences
        units = [cell.units for cell in layer.halves]
        concat = layer.backward is not None and layer.merge == "concat"
        width = None if None in units else sum(units) if concat else units[-1]  # type: ignore[arg-type]
        self._set_width(width)
        if self._masking is not None and not self._masked_row:
            self._masked_row = True
            how = f"use net.run(x, mask={self._masking})"
            self._rows.append(Row("masking", "", how))

    def _read_state(self, layer: KerasLayer, state: int, what: str) -> KerasLayer:
        """Return a layer whose last state is read instead of its outputs."""
        if layer.backward is not None or state != len(layer.cells):
            raise UnsupportedModelError(
                f"{what}: expected the next layer to read the outputs or the last state of the top"
                " cell, got another state"
            )
        return layer._replace(return_sequences=False, zero_output=False)

    def _one_direction(
        self, leaf: Leaf, config: dict[str, Json], kind: str, label: str, inside: str = ""
    ) -> KerasLayer:
        what = f"layer {label!r}"
        self._note_settings(label, config)
        return KerasLayer(
            leaf.label,
            self._cells(leaf, what, config, kind, inside),
            None,
            "concat",
            flag(config, "go_backwards", what),
            flag(config, "return_sequences", what),
            flag(config, "zero_output_for_mask", what),
            leaf.heard,
        )

    def _bidirectional(self, leaf: Leaf) -> KerasLayer:
        merge: Json = leaf.config.get("merge_mode", "concat")
        if merge not in ("concat", "sum", "ave"):
            raise UnsupportedModelError(
                f"{leaf.what}: expected merge_mode 'concat', 'sum' or 'ave', got {show(merge)}"
            )
        halves: list[KerasLayer] = []
        for key, inside in (("layer", "forward_layer"), ("backward_layer", "backward_layer")):
            half: Json = leaf.config.get(key)
            turned = half is None and key == "backward_layer"  # Keras 2 leaves it out
            if turned:
                half = leaf.config.get("layer")
            kind = class_name(half, leaf.what)
            if kind not in ("SimpleRNN", "RNN"):
                raise UnsupportedModelError(
                    f"{leaf.what} (Bidirectional): expected SimpleRNN, got {kind[:80]}"
                )
            config = as_object(half.get("config"), leaf.what)
            label = f"{leaf.label}/{layer_name(half)}"
            rows = len(self._rows)
            layer = self._one_direction(leaf, config, kind, label, inside)
            if turned:
                del self._rows[rows:]
                layer = layer._replace(go_backwards=not layer.go_backwards)
            halves.append(layer)
        forward, backward = halves
        if len(forward.cells) != 1 or len(backward.cells) != 1:
            raise UnsupportedModelError(
                f"{leaf.what}: expected one cell in each direction, got a stack, whose upper cells"
                " read one direction only"
            )
        if forward.go_backwards or not backward.go_backwards:
            raise UnsupportedModelError(f"{leaf.what}: expected a forward and a backward layer")
        sizes = {forward.cells[0].units, backward.cells[0].units}
        if len(sizes) > 1 or forward.return_sequences != backward.return_sequences:
            raise UnsupportedModelError(f"{leaf.what}: expected two layers of one size, got others")
        zero = forward.return_sequences and (self._halves_are_zero or forward.zero_output)
        return forward._replace(backward=backward.cells[0], merge=merge, zero_output=zero)

    def _cells(
        self, leaf: Leaf, what: str, config: dict[str, Json], kind: str, inside: str
    ) -> list[KerasCell]:
        """Return the cells of SimpleRNN, RNN(SimpleRNNCell) or RNN(StackedRNNCells)."""
        place = f"{inside}/cell".lstrip("/")
        if kind == "SimpleRNN":
            return [self._cell(leaf, what, config, place)]
        outer: Json = config.get("cell")
        cell_kind = class_name(outer, what)
        inner = as_object(outer.get("config"), what)
        if cell_kind == "SimpleRNNCell":
            return [self._cell(leaf, what, inner, place)]
        cells = inner.get("cells") if cell_kind == "StackedRNNCells" else None
        if not isinstance(cells, list) or not cells:
            raise UnsupportedModelError(
                f"{what}: expected cells of SimpleRNNCell, got {cell_kind[:80]}"
            )
        result = []
        for index, cell in enumerate(cells):
            if (cell_kind := class_name(cell, what)) != "SimpleRNNCell":
                raise UnsupportedModelError(
                    f"{what}: expected cells of SimpleRNNCell, got {cell_kind[:80]}"
                )
            own = f"{place}/cells/simple_rnn_cell" + (f"_{index}" if index else "")
            settings = as_object(cell.get("config"), what)
            result.append(self._cell(leaf, what, settings, own, index))
        return result

    def _cell(
        self, leaf: Leaf, what: str, config: dict[str, Json], place: str, index: int = 0
    ) -> KerasCell:
        activation = self._activation(config, what)
        if not TABLE[activation.name].in_layers:
            raise UnsupportedModelError(
                f"{what}: expected {activation.name} at the end of the model only"
            )
        number = int(place.startswith("backward")) or index
        store = self._store(leaf, CELL, what, config, place)
        order = (*store.order, number)
        return KerasCell(store._replace(order=order), activation, size(config, "units", what))

    def _store(
        self,
        leaf: Leaf,
        kinds: tuple[str, ...],
        what: str,
        config: dict[str, Json],
        place: str = "",
    ) -> Store:
        if kinds[-1] == "bias" and not flag(config, "use_bias", what, default=True):
            kinds = kinds[:-1]
        return Store(
            leaf.label,
            kinds,
            leaf.name,
            leaf.group,
            place,
            leaf.top,
            leaf.order,
            leaf.live,
            self._is_frozen(leaf, config, what),
            None if kinds[-1] not in ("bias", "kernel", "recurrent_kernel") else "bias" in kinds,
            configs.lora_factor(config, what),
        )

    def _is_frozen(self, leaf: Leaf, config: dict[str, Json], what: str) -> bool:
        """Return whether weights are among the frozen ones of a legacy file.

        Keras 2 freezes what is in a frozen layer; Keras 3 asks the layer, or cell, that has them.
        """
        frozen = not flag(config, "trainable", what, default=True)
        return frozen or (self._keras_2 and leaf.frozen)

    def _activation(self, config: dict[str, Json], what: str) -> Activation:
        value = config.get("activation")
        return configs.activation_of_value(value, what, keras_2=self._keras_2)

    # --- maps and functions of each step ---

    def _add_dense(self, leaf: Leaf) -> None:
        self._require_features(leaf)
        activation = self._activation(leaf.config, leaf.what)
        units = size(leaf.config, "units", leaf.what)
        store = self._store(leaf, ("kernel", "bias"), leaf.what, leaf.config)
        self._note_policy(leaf.label, leaf.config)
        self._parts.append(KerasDense(leaf.label, store, activation, units, leaf.heard))
        self._set_width(units)

    def _add_activation(self, leaf: Leaf) -> None:
        if leaf.kind in configs.LAYERS:
            activation = configs.activation_of_layer(leaf.kind, leaf.config, leaf.what)
        else:
            activation = self._activation(leaf.config, leaf.what)
        if not TABLE[activation.name].in_layers:
            self._require_features(leaf)
        self._parts.append(KerasFunction(leaf.label, activation, leaf.heard))

    def _add_embedding(self, leaf: Leaf) -> None:
        if self._parts or leaf.timed or self._masking is not None:
            raise UnsupportedModelError(
                f"{leaf.what}: expected Embedding at the input, got it elsewhere"
            )
        words = size(leaf.config, "input_dim", leaf.what)
        store = self._store(leaf, ("embeddings",), leaf.what, leaf.config)
        self._parts.append(KerasEmbedding(leaf.label, store, words))
        steps = self._shape[0] if self._rank == 1 and self._shape else None
        if self._rank != 1 and len(self._shape) > 1:
            raise UnsupportedModelError(
                f"{leaf.what}: expected sequences of integers (T,), got {_shape(self._shape)}"
            )
        self._shape, self._rank = [steps, size(leaf.config, "output_dim", leaf.what)], 2
        if flag(leaf.config, "mask_zero", leaf.what):
            self._masking = "ids != 0"

    def _add_normalization(self, leaf: Leaf) -> None:
        axes = leaf.config.get("axis", -1)
        if axes not in (None, []):
            self._require_last_axis(leaf, axes)
        mean = configs.numbers(leaf.config.get("mean"), "mean", leaf.what)
        variance = configs.numbers(leaf.config.get("variance"), "variance", leaf.what)
        if (mean is None) != (variance is None) or (variance is not None and (variance < 0).any()):
            raise ModelFormatError(f"{leaf.what}: expected a mean and a variance")
        store = None
        if mean is None:
            store = self._store(leaf, ("mean", "variance"), leaf.what, leaf.config)
        elif mean.size != 1:
            self._require_features(leaf)
        invert = flag(leaf.config, "invert", leaf.what)
        self._parts.append(KerasScaling(leaf.label, leaf.kind, store, mean, variance, invert, 1e-7))

    def _add_batch_normalization(self, leaf: Leaf) -> None:
        self._require_last_axis(leaf, leaf.config.get("axis", -1))
        kinds: tuple[str, ...] = ("moving_mean", "moving_variance")
        if flag(leaf.config, "center", leaf.what, default=True):
            kinds = ("beta", *kinds)
        if flag(leaf.config, "scale", leaf.what, default=True):
            kinds = ("gamma", *kinds)
        store = self._store(leaf, kinds, leaf.what, leaf.config)
        epsilon = configs.number(leaf.config, "epsilon", 1e-3, leaf.what)
        self._parts.append(KerasScaling(leaf.label, leaf.kind, store, epsilon=epsilon))

    def _add_rescaling(self, leaf: Leaf) -> None:
        scale = configs.numbers(leaf.config.get("scale", 1.0), "scale", leaf.what)
        offset = configs.numbers(leaf.config.get("offset", 0.0), "offset", leaf.what)
        if scale is None or offset is None:
            raise ModelFormatError(f"{leaf.what}: expected a scale and an offset")
        if max(scale.size, offset.size) > 1:
            self._require_features(leaf)
        self._parts.append(KerasScaling(leaf.label, leaf.kind, None, offset, scale))

    def _require_features(self, leaf: Leaf) -> None:
        """Refuse a layer that does not act on the features of each step."""
        if (self._rank == 1 and not self._last) or len(self._shape) > 2:
            raise UnsupportedModelError(
                f"{leaf.what} ({leaf.kind}): expected the features of each step as its last axis,"
                " got"
                f" inputs of the shape {_shape(self._shape)}"
            )

    def _require_last_axis(self, leaf: Leaf, axes: Json) -> None:
        self._require_features(leaf)
        axis = axes[0] if isinstance(axes, list) and len(axes) == 1 else axes
        rank = 1 if self._last or leaf.timed else 2
        if type(axis) is not int or axis not in (-1, rank):
            raise UnsupportedModelError(
                f"{leaf.what} ({leaf.kind}): expected the axis of the features, -1, got"
                f" {show(axes)}"
            )

    # --- shapes and masks ---

    def _set_width(self, width: int | None) -> None:
        """Set the number of features of what the next layer reads."""
        if self._last:
            self._shape, self._rank = [width], 1
        else:
            self._shape = [self._shape[0] if len(self._shape) == 2 else None, width]
            self._rank = 2

    def _pass_over(self, leaf: Leaf) -> None:
        self._rows.append(Row(leaf.label, "", f"{leaf.kind} changes nothing"))

    def _add_reshape(self, leaf: Leaf) -> None:
        """Add a Reshape, Permute or Flatten that changes nothing for a network."""
        shape = self._shape or (leaf.shape[1:] if len(leaf.shape) in (2, 3) else [])
        if leaf.timed:
            shape = shape[1:]
        elif not self._parts and len(shape) != self._rank and shape:
            self._rank = len(shape)
        target: Json = leaf.config.get("target_shape", leaf.config.get("dims"))
        if self._masking is not None and not self._last:
            raise UnsupportedModelError(
                f"{leaf.what} ({leaf.kind}): expected no mask, which {leaf.kind} does not hand on"
            )
        if leaf.kind == "Flatten":
            same = len(shape) == 1 or self._last
            if not same and len(shape) == 2 and shape[0] == 1 and self._recurrent:
                same = self._last = True
                self._set_width(shape[1] if type(shape[1]) is int else None)
        elif leaf.kind == "Permute":
            same = target == list(range(1, len(shape) + 1)) and bool(shape)
        else:
            same = isinstance(target, list) and _same_shape(target, shape)
            steps = self._rank == 1 and not self._last and not leaf.timed
            if not same and steps and isinstance(target, list) and _is_column(target, shape):
                self._shape, self._rank = [shape[0] if shape else None, 1], 2
                note = "the network reads (T, 1): pass x[..., None]"
                self._rows.append(Row(leaf.label, "", note))
                return
        if not same:
            raise UnsupportedModelError(
                f"{leaf.what} ({leaf.kind}): expected it to change nothing, got inputs of the shape"
                f" {_shape(shape)}" + ("" if target is None else f", and {_shape(target)}")
            )
        self._pass_over(leaf)

    def _add_item(self, leaf: Leaf) -> None:
        """Add `x[:, -1]`, the last step in the order of the outputs."""
        what = f"layer {leaf.label!r}"
        parts = leaf.item if isinstance(leaf.item, list) else []
        kinds = [_item_kind(part) for part in parts]
        last = kinds in ([":", "-1"], [":", "-1", ":"], ["...", "-1", ":"])
        if not last or self._last or self._rank != 2 or not self._recurrent:
            raise UnsupportedModelError(
                f"{what} (GetItem): expected the last step of what follows the top RNN, x[:, -1],"
                f" got x[{', '.join(kinds)[:80]}]"
            )
        backwards = sum(layer.go_backwards for layer in self._recurrent) % 2
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        self._rows.append(Row(leaf.label, "", f"use {how}"))
        self._last = True
        self._set_width(self._shape[1] if len(self._shape) == 2 else None)

    def _add_masking(self, leaf: Leaf) -> None:
        if self._recurrent:
            raise UnsupportedModelError(f"{leaf.what}: expected Masking below the RNN")
        if leaf.timed:
            raise UnsupportedModelError(
                f"{leaf.what}: expected no Masking within TimeDistributed, which does not hand on"
                " a mask"
            )
        if self._masking is not None:
            raise UnsupportedModelError(f"{leaf.what}: expected one layer that masks, got another")
        self._require_features(leaf)
        value = leaf.config.get("mask_value", 0.0)
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


def halves_are_zero(version: str) -> bool:
    """Return whether Bidirectional returns zeros for masked steps, as since TensorFlow's Keras."""
    return re.match(r"2\.[0-3](\.\d+)?$", version) is None


def _refuse_quantized(leaf: Leaf) -> None:
    """Refuse layers whose weights are integers."""
    policy = leaf.config.get("dtype")
    if isinstance(policy, dict):
        kind, config = policy.get("class_name"), policy.get("config")
        mode = config.get("mode") if isinstance(config, dict) else None
        if kind in ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "GPTQDTypePolicy"):
            raise UnsupportedModelError(
                f"{leaf.what}: expected weights of floating point, got quantized ones"
                f" ({show(mode)}):"
                " save the model before model.quantize"
            )


def _same_shape(target: list[Json], shape: list[Json]) -> bool:
    """Return whether a Reshape to `target` keeps the steps and features of `shape`."""
    if not shape or len(target) != len(shape):
        return False
    free = [i for i, size in enumerate(target) if size == -1]
    others = [(a, b) for a, b in zip(target, shape, strict=True) if a != -1]
    known = all(type(a) is int and a == b for a, b in others)
    if len(target) == 1:
        return known
    # (T, F): the features decide; a free number of steps is then the same
    steps, features = target
    same_features = type(features) is int and features == shape[1]
    same_steps = steps == shape[0] and type(steps) is int
    return (same_features and (steps == -1 or same_steps or shape[0] is None)) or (
        free == [1] and same_steps
    )


def _is_column(target: list[Json], shape: list[Json]) -> bool:
    """Return whether a Reshape makes T numbers T steps of one feature."""
    if len(target) != 2 or target[1] not in (1, -1):
        return False
    steps = shape[0] if shape else None
    if target[1] == -1:
        return steps is not None and type(steps) is int and target[0] == steps
    return target[0] == -1 or steps is None or target[0] == steps


def _shape(shape: list[Json]) -> str:
    """Return a shape for a message."""
    if not isinstance(shape, list) or not shape:
        return "unknown"
    return "(" + ", ".join(str(s) if type(s) is int else "?" for s in shape[:4]) + ")"
