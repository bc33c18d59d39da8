"""The numbers of a trace as columns of a table, and as values for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman._json import for_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from elman.trace.parts import LayerTrace, ReadoutTrace

    Array = NDArray[Any]

OF_LAYER = ("u", "recurrent", "a", "h")


def columns(
    x: Array, layers: tuple[LayerTrace, ...], readout: ReadoutTrace | None, y: Array
) -> dict[str, Array]:
    """Return columns of numbers by name, with a row for every step of every sequence."""
    *batch, T, _ = x.shape
    table: dict[str, Array] = {}
    if batch:
        table["sequence"] = np.repeat(np.arange(np.prod(batch)), T)
    table["step"] = np.tile(np.arange(T), int(np.prod(batch)))
    for name, array in arrays(x, layers, readout, y):
        rows = array.reshape(-1, array.shape[-1])
        table |= {f"{name}[{i}]": rows[:, i] for i in range(rows.shape[1])}
    return table


def arrays(
    x: Array, layers: tuple[LayerTrace, ...], readout: ReadoutTrace | None, y: Array
) -> Iterator[tuple[str, Array]]:
    """Yield the arrays (..., T, size) of a trace with their names."""
    yield "x", x
    for i, layer in enumerate(layers):
        for half, prefix in ((layer, f"layers[{i}]"), (layer.reverse, f"layers[{i}].reverse")):
            if half is not None:
                yield from ((f"{prefix}.{name}", getattr(half, name)) for name in OF_LAYER)
    if readout is not None:
        yield "readout.a", readout.a
    yield "y", y


def of_layer(layer: LayerTrace | None) -> dict[str, Any] | None:
    """Return the numbers of a layer as plain values."""
    if layer is None:
        return None
    names = ("x", *OF_LAYER, "h_before")
    return {name: for_json(getattr(layer, name)) for name in names} | {
        "reverse": of_layer(layer.reverse)
    }
