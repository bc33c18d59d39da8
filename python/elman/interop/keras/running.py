"""Run Keras models in Keras: a model, or a file that Keras loads in its safe mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from elman.interop._source import Trace

if TYPE_CHECKING:
    from elman._typing import Array
    from elman.interop._source import Taps

_RECURRENT = (keras.layers.SimpleRNN, keras.layers.RNN, keras.layers.Bidirectional)


def run(source: Any, x: Array, mask: Array | None = None, taps: Taps = None) -> Trace:
    """Run a model; `mask` (B, T) is passed as Keras' mask."""
    model = keras.saving.load_model(source) if isinstance(source, str) else source
    layers = [layer for layer in model.layers if isinstance(layer, _RECURRENT)]
    states = [keras.tree.flatten(layer.output)[0] for layer in layers]  # some return more
    listening = keras.Model(model.inputs, [*states, *model.outputs])
    masks = {} if mask is None else {"mask": keras.ops.convert_to_tensor(mask)}
    results = listening(keras.ops.convert_to_tensor(x), **masks)
    *heard, output = [np.asarray(keras.ops.convert_to_numpy(result)) for result in results]
    hidden: list[Array | None] = []
    for layer, result in zip(layers, heard, strict=True):
        below = getattr(getattr(layer, "cell", None), "cells", ())[:-1]  # of a stack of cells
        hidden += [*(None for _ in below), result]
    return Trace(
        f"Keras {keras.__version__} on {keras.backend.backend()}",
        hidden,
        output,
        [np.asarray(w) for layer in layers for w in layer.get_weights() if w.ndim == 1],
    )
