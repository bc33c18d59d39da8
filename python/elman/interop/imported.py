"""What every reader of another framework's models returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from elman._network import Network

__all__ = ["Imported", "Row"]


class Row(NamedTuple):
    """One part of the source, and what became of it."""

    source: str  # as the source calls it: "rnn.weight_ih_l0", "node 3 (RNN)"
    target: str  # as elman calls it: "layers.0.W_xh"; "" for what is left out
    note: str = ""  # "transposed", "added to bias_hh_l0 in float64"


class Imported(NamedTuple):
    """A network, and the parts of the source in their order."""

    network: Network
    rows: list[Row]
