"""What is known of a Keras model: its parts, from the input to the output, and their weights."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from elman.interop._chain import Function, Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._typing import Array
    from elman.activation import Activation
    from elman.interop._source import Row

    Weights = dict[str, tuple[str, Array]]  # by kind, with the name in the source

CELL = ("kernel", "recurrent_kernel", "bias")  # the weights of a cell, in Keras' order


class Place(NamedTuple):
    """Where a layer is: in the models around it, in files, and in a live model."""

    label: str = ""  # its name, after the names of the models it is in: "encoder/rnn"
    name: str = ""  # its own
    group: str = ""  # in a Keras 3 file: "sequential/layers/simple_rnn"
    top: str = ""  # in a legacy file: the group, which has the name of the outermost layer
    order: tuple[int, ...] = ()  # its place among the layers of each model that it is in
    live: tuple[str, ...] = ()  # names of layers from the model down to it; "" for `.layer`
    frozen: bool = False
    timed: bool = False  # within TimeDistributed
    heard: bool = True  # whether its output is an output of a layer of that label
    depth: int = 0  # of models and wrappers around it


class Store(NamedTuple):
    """Where the weights of a layer, or of one cell of it, are."""

    layer: Place
    kinds: tuple[str, ...]  # in Keras' order
    inner: str = ""  # "cell", "forward_layer/cell", "cell/cells/simple_rnn_cell_1"
    bias: bool | None = True  # None: it may have one
    lora: float | None = None  # the factor of the update a b that is beside the first kind


def stacked(cell: str) -> Iterator[str]:
    """Yield the places in a group of the cells of StackedRNNCells, without end."""
    yield f"{cell}/cells/simple_rnn_cell"
    for number in itertools.count(1):
        yield f"{cell}/cells/simple_rnn_cell_{number}"


class KerasCell(NamedTuple):
    """One simple RNN cell: where its weights are, and what it computes."""

    store: Store
    activation: Activation | None = None  # None if unknown, as what follows
    units: int | None = None


class KerasLayer(NamedTuple):
    """A Keras layer: a stack of cells, or one cell in both directions."""

    name: str
    cells: list[KerasCell]
    backward: KerasCell | None = None
    merge: str = "concat"
    go_backwards: bool = False
    return_sequences: bool = True
    zero_output: bool = False

    @property
    def halves(self) -> list[KerasCell]:
        """The cells, of both directions if bidirectional."""
        return self.cells if self.backward is None else [*self.cells, self.backward]


class KerasDense(NamedTuple):
    """A Dense layer."""

    name: str
    store: Store
    activation: Activation | None = None
    units: int | None = None


class KerasEmbedding(NamedTuple):
    """A table with one row for each integer."""

    name: str
    store: Store
    words: int | None = None


class KerasScaling(NamedTuple):
    """Normalization or BatchNormalization."""

    name: str
    source: Store | Weights  # of the mean and the variance, which a config may have itself
    epsilon: float
    invert: bool = False


KerasPart = KerasLayer | KerasDense | KerasEmbedding | KerasScaling | Scale | Function


class KerasModel(NamedTuple):
    """The parts from the input to the output, and rows for those left out."""

    parts: list[KerasPart]
    rows: list[Row]
    known: bool = True  # whether it comes from a config
    unheard: frozenset[str] = frozenset()  # names of parts whose output no layer of the name has

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
