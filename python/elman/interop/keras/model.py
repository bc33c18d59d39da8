"""Read a Keras config: a chain of simple RNNs and their readout.

A config is data. Layers are recognized by the names of Keras' own classes; nothing is imported.
Every other class is refused, with the layer and the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop._source import Row
from elman.interop.keras import config as configs
from elman.interop.keras.config import as_object, class_name, layer_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman.activation import Activation

    Json = Any

_OF_MASKS = ("Any", "NotEqual")  # the operations of Masking in a functional model's graph
_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
)


class KerasCell(NamedTuple):
    """One simple RNN cell: where its layer stores its weights, and what it computes."""

    place: str  # in Keras 3 files: "cell", "forward_layer/cell", "cell/cells/simple_rnn_cell_1"
    mark: str  # in legacy files: a part of the path of its weights
    activation: Activation | None  # None if unknown
    use_bias: bool | None
    units: int | None


class KerasLayer(NamedTuple):
    """A Keras layer: a stack of cells, or one cell in both directions."""

    name: str
    group: str  # its group's name in a Keras 3 file
    cells: list[KerasCell]
    backward: KerasCell | None = None
    go_backwards: bool = False
    return_sequences: bool = True
    zero_output: bool = False

    @property
    def halves(self) -> list[KerasCell]:
        """The cells, of both directions if bidirectional."""
        return self.cells if self.backward is None else [*self.cells, self.backward]


class KerasDense(NamedTuple):
    """The readout."""

    name: str
    group: str
    cell: KerasCell

    @property
    def halves(self) -> list[KerasCell]:
        """The one cell, as in `KerasLayer`."""
        return [self.cell]


class KerasModel(NamedTuple):
    """The chain of layers from the bottom up, and the parts left out of it."""

    recurrent: list[KerasLayer]
    dense: KerasDense | None
    rows: list[Row]
    known: bool = True  # whether it comes from a config


def require_chain(config: Json) -> str:
    """Return the class of a model; refuse classes whose config does not describe the model."""
    kind = class_name(config, "the model")
    if kind not in ("Sequential", "Functional", "Model"):
        raise UnsupportedModelError(
            f"expected a Sequential or functional model, got {kind[:80]!r}, whose config does not"
            " describe its computation"
        )
    return kind


def of_config(config: Json, *, keras_2: bool) -> KerasModel:
    """Return the chain that a model's config describes."""
    kind = require_chain(config)
    settings = as_object(config.get("config"), "the model")
    layers = settings.get("layers")
    if not isinstance(layers, list):
        raise ModelFormatError("the config of the model: expected a list of layers")
    groups = dict(zip(map(id, layers), _groups(layers), strict=True))
    chain = layers if kind == "Sequential" else list(_chain(settings, layers))
    builder = _Builder(keras_2=keras_2)
    for layer in chain:
        builder.add(layer, groups[id(layer)])
    return builder.model()


def _groups(layers: list[Json]) -> Iterator[str]:
    """Yield each layer's group name in a file: its class in snake case, and a number."""
    seen: dict[str, int] = {}
    for layer in layers:
        kind = class_name(layer, "a layer")
        if kind == "InputLayer":
            yield ""
            continue
        name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}_{seen[name]}" if seen[name] else name


class _Builder:
    """Builds a model from the layers of a chain, from the input to the output."""

    def __init__(self, *, keras_2: bool) -> None:
        self._recurrent: list[KerasLayer] = []
        self._dense: KerasDense | None = None
        self._rows: list[Row] = []
        self._masking: str | None = None
        self._keras_2 = keras_2

    def add(self, layer: Json, group: str) -> None:
        """Add the next layer, or refuse it."""
        kind = class_name(layer, "a layer")
        name = layer_name(layer)
        config = as_object(layer.get("config"), f"layer {name!r}")
        adds: dict[str, Callable[[str, str, dict[str, Json]], None]] = {
            "SimpleRNN": self._add_recurrent,
            "RNN": self._add_recurrent,
            "Bidirectional": self._add_recurrent,
            "Dense": self._add_dense,
            "TimeDistributed": self._add_time_distributed,
            "Activation": self._add_activation,
            **dict.fromkeys(configs.LAYERS, self._add_activation),
            "Masking": self._add_masking,
        }
        if kind in adds:
            adds[kind](name, group, config | {"class_name": kind})
        elif kind in _TRAINING_ONLY:
            self._rows.append(Row(name, "", f"{kind} acts in training only"))
        elif kind != "InputLayer":
            raise UnsupportedModelError(
                f"layer {name!r} ({kind[:80]}): expected SimpleRNN, RNN of SimpleRNNCell,"
                f" Bidirectional of them, Dense at the end, Masking or dropout, got {kind[:80]}"
            )

    def model(self) -> KerasModel:
        """Return the chain."""
        if not self._recurrent:
            raise UnsupportedModelError("expected a model with a SimpleRNN, got none")
        if self._masking is not None:
            note = f"use net.run(x, mask=(x != {self._masking}).any(-1))"
            self._rows.append(Row("masking", "", note))
        return KerasModel(self._recurrent, self._dense, self._rows)

    def _add_recurrent(self, name: str, group: str, config: dict[str, Json]) -> None:
        what = f"layer {name!r}"
        if self._dense is not None:
            raise UnsupportedModelError(f"{what}: expected it before the Dense layer, got it after")
        if self._recurrent and not self._recurrent[-1].return_sequences:
            raise UnsupportedModelError(
                f"layer {self._recurrent[-1].name!r}: expected return_sequences=True below another"
                " RNN, got False"
            )
        if config["class_name"] == "Bidirectional":
            layer = self._bidirectional(name, group, config)
        else:
            layer = self._one_direction(name, group, config)
        self._recurrent.append(layer)

    def _one_direction(self, name: str, group: str, config: dict[str, Json]) -> KerasLayer:
        what = f"layer {name!r}"
        self._note_settings(name, config)
        return KerasLayer(
            name,
            group,
            self._cells(what, config),
            None,
            _flag(config, "go_backwards", what),
            _flag(config, "return_sequences", what),
            _flag(config, "zero_output_for_mask", what),
        )

    def _bidirectional(self, name: str, group: str, config: dict[str, Json]) -> KerasLayer:
        what = f"layer {name!r}"
        if config.get("merge_mode") != "concat":
            raise UnsupportedModelError(
                f"{what}: expected merge_mode 'concat', got {str(config.get('merge_mode'))[:40]!r}"
            )
        halves: list[KerasLayer] = []
        for key in ("layer", "backward_layer"):
            half: Json = config.get(key)
            if half is None and key == "backward_layer":  # Keras 2 leaves out what follows
                halves.append(halves[0]._replace(go_backwards=not halves[0].go_backwards))
                continue
            kind = class_name(half, what)
            if kind not in ("SimpleRNN", "RNN"):
                raise UnsupportedModelError(
                    f"{what} (Bidirectional): expected SimpleRNN, got {kind[:80]}"
                )
            inner = as_object(half["config"], what) | {"class_name": kind}
            halves.append(self._one_direction(f"{name}/{layer_name(half)}", group, inner))
        forward, backward = halves
        if len(forward.cells) != 1 or len(backward.cells) != 1:
            raise UnsupportedModelError(
                f"{what}: expected one cell in each direction, got a stack, whose upper cells"
                " read one direction only"
            )
        if forward.go_backwards or not backward.go_backwards:
            raise UnsupportedModelError(f"{what}: expected a forward and a backward layer")
        return forward._replace(
            name=name,
            cells=[_within("forward_layer", "forward_", forward.cells[0])],
            backward=_within("backward_layer", "backward_", backward.cells[0]),
            zero_output=forward.return_sequences,  # set by Keras, whatever the layer says
        )

    def _cells(self, what: str, config: dict[str, Json]) -> list[KerasCell]:
        """Return the cells of SimpleRNN, RNN(SimpleRNNCell) or RNN(StackedRNNCells)."""
        if config["class_name"] == "SimpleRNN":
            return [self._cell(what, config, "cell", "")]
        outer: Json = config.get("cell")
        kind = class_name(outer, what)
        inner = as_object(outer["config"], what)
        if kind == "SimpleRNNCell":
            return [self._cell(what, inner, "cell", "")]
        cells = inner.get("cells") if kind == "StackedRNNCells" else None
        if not isinstance(cells, list) or not cells:
            raise UnsupportedModelError(f"{what}: expected cells of SimpleRNNCell, got {kind[:80]}")
        result = []
        for index, cell in enumerate(cells):
            if (kind := class_name(cell, what)) != "SimpleRNNCell":
                raise UnsupportedModelError(
                    f"{what}: expected cells of SimpleRNNCell, got {kind[:80]}"
                )
            place = f"cell/cells/simple_rnn_cell_{index}" if index else "cell/cells/simple_rnn_cell"
            config = as_object(cell["config"], what)
            result.append(self._cell(what, config, place, layer_name(cell)))
        return result

    def _cell(self, what: str, config: dict[str, Json], place: str, mark: str) -> KerasCell:
        return KerasCell(
            place,
            mark,
            configs.activation_of_value(config.get("activation"), what, keras_2=self._keras_2),
            _flag(config, "use_bias", what, default=True),
            _units(config, what),
        )

    def _add_dense(self, name: str, group: str, config: dict[str, Json], place: str = "") -> None:
        what = f"layer {name!r}"
        if self._dense is not None or not self._recurrent:
            found = "one below the RNN" if self._dense is None else "another after it"
            raise UnsupportedModelError(f"{what}: expected one Dense layer at the end, got {found}")
        self._dense = KerasDense(name, group, self._cell(what, config, place, ""))

    def _add_time_distributed(self, name: str, group: str, config: dict[str, Json]) -> None:
        what = f"layer {name!r}"
        inner: Json = config.get("layer")
        if (kind := class_name(inner, what)) != "Dense":
            raise UnsupportedModelError(
                f"{what} (TimeDistributed): expected Dense, got {kind[:80]}"
            )
        self._add_dense(name, group, as_object(inner["config"], what), "layer")

    def _add_activation(self, name: str, group: str, config: dict[str, Json]) -> None:
        """Set the readout's activation to the layer that follows it."""
        what = f"layer {name!r}"
        if self._dense is None or self._dense.cell.activation != "identity":
            raise UnsupportedModelError(
                f"{what}: expected it after a Dense layer without activation"
            )
        if (kind := config["class_name"]) in configs.LAYERS:
            activation = configs.activation_of_layer(kind, config, what)
        else:
            value = config.get("activation")
            activation = configs.activation_of_value(value, what, keras_2=self._keras_2)
        cell = self._dense.cell._replace(activation=activation)
        self._dense = self._dense._replace(cell=cell)
        self._rows.append(Row(name, "readout.activation", str(activation)))

    def _add_masking(self, name: str, group: str, config: dict[str, Json]) -> None:
        if self._recurrent:
            raise UnsupportedModelError(f"layer {name!r}: expected Masking below the RNN")
        value = config.get("mask_value", 0.0)
        if type(value) not in (int, float):
            raise ModelFormatError(f"layer {name!r}: expected a mask_value that is a number")
        self._masking = repr(value)

    def _note_settings(self, name: str, config: dict[str, Json]) -> None:
        """Add a row for each setting that a network does not have."""
        for key, note in (
            ("dropout", "acts in training only"),
            ("recurrent_dropout", "acts in training only"),
            ("stateful", "pass run.state on, or use net.stream()"),
            ("return_state", "run.state has the states of all layers"),
            ("unroll", "affects only speed"),
            ("zero_output_for_mask", "its output at masked steps is zero: masked='zero'"),
        ):
            if config.get(key):
                self._rows.append(Row(f"{name}.{key}", "", note))
        policy = config.get("dtype")
        if isinstance(policy, dict):
            policy = as_object(policy.get("config", {}), name).get("name")
        if policy not in (None, "float32", "float64"):
            note = "elman computes in the dtype of the network"
            self._rows.append(Row(f"{name}.dtype={str(policy)[:40]}", "", note))


def _within(place: str, mark: str, cell: KerasCell) -> KerasCell:
    return cell._replace(place=f"{place}/{cell.place}", mark=mark)


def _flag(config: dict[str, Json], key: str, what: str, *, default: bool = False) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ModelFormatError(f"{what}: expected {key} to be true or false")
    return value


def _units(config: dict[str, Json], what: str) -> int:
    units = config.get("units")
    if type(units) is not int or units < 1:
        raise ModelFormatError(f"{what}: expected units to be a positive integer")
    return units


# --- the chain of a functional model --------------------------------------------------------------


def _chain(settings: dict[str, Json], layers: list[Json]) -> Iterator[Json]:
    """Yield the layers from the input to the output; each reads the one before."""
    by_name = {layer_name(layer): layer for layer in layers}
    sources = {name: _source(layer) for name, layer in by_name.items()}
    name: str | None = _only(settings.get("output_layers"), "output")
    path: list[str] = []
    while name is not None:
        if name not in by_name or name in path:
            raise ModelFormatError(f"the layers of the model are not a chain at {str(name)[:80]!r}")
        path.append(name)
        name = sources[name]
    for other, layer in by_name.items():
        if other not in path and class_name(layer, "a layer") not in _OF_MASKS:
            raise UnsupportedModelError(
                f"layer {other!r} ({layer['class_name']}): expected one chain of layers, got"
                " another branch"
            )
    for layer in reversed(path):
        yield by_name[layer]


def _only(ends: Json, what: str) -> str:
    """Return the name in `[name, 0, 0]` or `[[name, 0, 0]]`."""
    if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
        ends = ends[0]
    if not isinstance(ends, list) or len(ends) != 3 or not isinstance(ends[0], str):
        raise UnsupportedModelError(f"expected a model with one {what}, got none or several")
    return ends[0]


def _source(layer: Json) -> str | None:
    """Return the name of the layer that a layer reads, or None for an input."""
    nodes = layer.get("inbound_nodes")
    what = f"layer {layer_name(layer)!r}"
    if not nodes:
        return None
    node = nodes[0] if isinstance(nodes, list) and len(nodes) == 1 else None
    if isinstance(node, dict):  # Keras 3
        inputs = list(_tensors(node.get("args")))
        keywords = as_object(node.get("kwargs", {}), what)
        if any(list(_tensors(keywords[key])) for key in keywords if key != "mask"):
            raise UnsupportedModelError(f"{what}: expected one input, got an initial state")
    elif isinstance(node, list):  # Keras 2: [[name, node, tensor, keywords], ...]
        inputs = [part[:3] for part in node if isinstance(part, list)]
        if any(part[3] for part in node if isinstance(part, list) and len(part) > 3 and part[3]):
            raise UnsupportedModelError(f"{what}: expected a call without further arguments")
    else:
        raise UnsupportedModelError(f"{what}: expected a layer that is used once")
    if len(inputs) != 1 or len(inputs[0]) != 3 or inputs[0][1:] != [0, 0]:
        raise UnsupportedModelError(f"{what}: expected one input, the output of one layer")
    return str(inputs[0][0])


def _tensors(value: Json) -> Iterator[list[Json]]:
    """Yield `[layer, node, tensor]` for each tensor in the arguments of a call."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        history = as_object(value.get("config"), "a tensor").get("keras_history")
        yield history if isinstance(history, list) else []
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
