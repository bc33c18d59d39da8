"""A network's table in the metadata of an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman._table import Table
from elman.errors import ArgumentError, ModelFormatError

if TYPE_CHECKING:
    from elman._network import Network

    Proto = Any  # of onnx, which has no types

_KEY = "elman.table"


def props_of(net: Network) -> dict[str, str]:
    """Return the model metadata that stores the network's table."""
    return {} if net.table is None else {_KEY: net.table.to_json()}


def with_table(net: Network, model: Proto) -> Network:
    """Return the network with the table in the model's metadata, if there is one."""
    texts = [entry.value for entry in model.metadata_props if entry.key == _KEY]
    if not texts:
        return net
    if len(texts) > 1:
        raise ModelFormatError(f"metadata_props: expected one {_KEY}, got {len(texts)}")
    try:
        return net.replace(table=Table.from_json(texts[0]))
    except ArgumentError as error:  # more or fewer columns than the network has
        raise ModelFormatError(str(error)) from error
