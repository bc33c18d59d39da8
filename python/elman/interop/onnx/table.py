"""A network's table and `masked` in the metadata of an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman._table import Table
from elman.errors import ArgumentError, ModelFormatError

if TYPE_CHECKING:
    from elman._network import Network

    Proto = Any  # of onnx, which has no types

_TABLE, _MASKED = "elman.table", "elman.masked"


def props_of(net: Network) -> dict[str, str]:
    """Return the model metadata that stores what the graph cannot say."""
    return {
        **({} if net.table is None else {_TABLE: net.table.to_json()}),
        **({} if net.masked == "hold" else {_MASKED: net.masked}),
    }


def with_props(net: Network, model: Proto) -> Network:
    """Return the network with the table and `masked` in the model's metadata, if they are there."""
    table, masked = _said(model, _TABLE), _said(model, _MASKED)
    if table is None and masked is None:
        return net
    try:
        return net.replace(
            table=None if table is None else Table.from_json(table),
            masked=masked,
        )
    except ArgumentError as error:  # more or fewer columns than the network has; an unknown word
        raise ModelFormatError(str(error)) from error


def _said(model: Proto, key: str) -> str | None:
    """Return the value of a key of the metadata, or None."""
    texts = [entry.value for entry in model.metadata_props if entry.key == key]
    if len(texts) > 1:
        raise ModelFormatError(f"metadata_props: expected one {key}, got {len(texts)}")
    return texts[0] if texts else None
