"""Infer the layers of a Keras model from the names of its weights."""

from __future__ import annotations

import re

from elman.errors import ArgumentError, UnsupportedModelError
from elman.interop.keras.model import KerasCell, KerasDense, KerasLayer, KerasModel


def of_groups(paths: list[str], layers: list[str] | None, readout: str | bool | None) -> KerasModel:
    """Return the chain of a weights file, from the names of its groups and the user's options."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        _, group, rest = [*path.split("/", 2), "", ""][:3]
        groups.setdefault(group, []).append(rest)
    found = {group: _of_group(group, rests) for group, rests in groups.items()}
    recurrent = {name: layer for name, layer in found.items() if isinstance(layer, KerasLayer)}
    heads = {name: layer for name, layer in found.items() if isinstance(layer, KerasDense)}
    order = _order(list(recurrent), layers)
    return KerasModel([recurrent[name] for name in order], _head(heads, readout), [], known=False)


def _of_group(group: str, rests: list[str]) -> KerasLayer | KerasDense:
    """Return the layer of a group of weights."""
    places = {rest.rpartition("vars/")[0].rstrip("/") for rest in rests}
    if places == {"cell"}:
        return KerasLayer(group, group, [_unknown("cell")])
    if places == {"forward_layer/cell", "backward_layer/cell"}:
        forward, backward = _unknown("forward_layer/cell"), _unknown("backward_layer/cell")
        return KerasLayer(group, group, [forward], backward, zero_output=True)
    stack = [f"cell/cells/simple_rnn_cell_{i}".removesuffix("_0") for i in range(len(places))]
    if places == set(stack):
        return KerasLayer(group, group, [_unknown(place) for place in stack])
    if places in ({""}, {"layer"}):
        return KerasDense(group, group, _unknown(*places))
    raise UnsupportedModelError(
        f"layer {group[:80]!r}: expected the weights of SimpleRNN, RNN, Bidirectional or Dense, got"
        f" {', '.join(sorted(rests)[:4])[:200]}"
    )


def _unknown(place: str) -> KerasCell:
    return KerasCell(place, "", None, None, None)


def _order(names: list[str], layers: list[str] | None) -> list[str]:
    """Return the recurrent layers from the bottom up."""
    if layers is not None:
        if sorted(layers) != sorted(names):
            raise ArgumentError(f"layers: expected an order of {names}, got {layers}")
        return layers
    kinds = {re.sub(r"_\d+$", "", name) for name in names}
    if not names:
        raise UnsupportedModelError("expected the weights of a SimpleRNN, got none")
    if len(kinds) > 1:
        raise ArgumentError(
            f"layers: expected the order of {sorted(names)} from the bottom up, which a weights"
            " file does not store, got none"
        )
    return sorted(names, key=lambda name: int(re.sub(r".*?(\d*)$", r"\1", name) or 0))


def _head(heads: dict[str, KerasDense], readout: str | bool | None) -> KerasDense | None:
    if isinstance(readout, str):
        if readout not in heads:
            raise ArgumentError(f"readout: expected one of {list(heads)}, got {readout!r}")
        return heads[readout]
    if len(heads) > 1:
        raise ArgumentError(f"readout: expected one Dense layer, got {sorted(heads)}")
    return next(iter(heads.values()), None)
