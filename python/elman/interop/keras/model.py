"""What is known of a Keras model: its parts, from the input to the output, and their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._source import Row

CELL = ("kernel", "recurrent_kernel", "bias")  # the weights of a cell, in Keras' order


class Store(NamedTuple):
    """Where the weights of a layer, or of one cell of it, are."""

    name: str  # of its layer
    kinds: tuple[str, ...]  # in Keras' order
    own: str  # the name of the layer itself, without the models it is in
    group: str  # in Keras 3 files
    place: str = ""  # in it: "cell", "forward_layer/cell", "cell/cells/simple_rnn_cell_1"
    top: str = ""  # in legacy files: the group of the outermost layer
    order: tuple[int, ...] = ()  # its place in that group
    live: tuple[str, ...] = ()  # as of a `Leaf`
    frozen: bool = False
    bias: bool | None = True  # None: it may have one
    lora: float | None = None  # the factor of the update a b that is beside the first kind


class KerasCell(NamedTuple):
    """One simple RNN cell: where its weights are, and what it computes."""

    store: Store
    activation: Activation | None  # None if unknown
    units: int | None


class KerasLayer(NamedTuple):
    """A Keras layer: a stack of cells, or one cell in both directions."""

    name: str
    cells: list[KerasCell]
    backward: KerasCell | None = None
    merge: str = "concat"
    go_backwards: bool = False
    return_sequences: bool = True
    zero_output: bool = False
    heard: bool = True

    @property
    def halves(self) -> list[KerasCell]:
        """The cells, of both directions if bidirectional."""
        return self.cells if self.backward is None else [*self.cells, self.backward]


class KerasDense(NamedTuple):
    """A Dense layer."""

    name: str
    store: Store
    activation: Activation | None
    units: int | None
    heard: bool = True


class KerasEmbedding(NamedTuple):
    """A table with one row for each integer."""

    name: str
    store: Store
    words: int | None


class KerasScaling(NamedTuple):
    """Normalization, BatchNormalization or Rescaling: y = by x + plus."""

    name: str
    kind: str
    store: Store | None  # None: the config has the numbers
    mean: Array | None = None  # the offset of Rescaling
    variance: Array | None = None  # the scale of Rescaling
    invert: bool = False
    epsilon: float = 0.0


class KerasFunction(NamedTuple):
    """An activation layer."""

    name: str
    activation: Activation
    heard: bool = True


KerasPart = KerasLayer | KerasDense | KerasEmbedding | KerasScaling | KerasFunction


class KerasModel(NamedTuple):
    """The parts from the input to the output, and rows for those left out."""

    parts: list[KerasPart]
    rows: list[Row]
    known: bool = True  # whether it comes from a config
    pairs: tuple[str, ...] = ()  # of outputs beside the main one

    @property
    def recurrent(self) -> list[KerasLayer]:
        """The recurrent layers."""
        return [part for part in self.parts if isinstance(part, KerasLayer)]

    @property
    def head(self) -> list[KerasPart]:
        """The parts behind the last recurrent layer."""
        numbers = [i for i, part in enumerate(self.parts) if isinstance(part, KerasLayer)]
        return self.parts[numbers[-1] + 1 :]

    @property
    def readouts(self) -> list[KerasDense]:
        """The Dense layers behind the last recurrent layer."""
        return [part for part in self.head if isinstance(part, KerasDense)]
