"""Keras models run by Keras: a model, or the path of a file that Keras loads in its safe mode."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from elman.interop.running import Trace

if TYPE_CHECKING:
    from elman._typing import Array


_RECURRENT = (keras.layers.SimpleRNN, keras.layers.RNN, keras.layers.Bidirectional)


def run(source: Any, x: Array, mask: Array | None = None) -> Trace:
    """Run a model; `mask` (B, T) is handed to it as Keras' own."""
    model = keras.saving.load_model(source) if isinstance(source, str | os.PathLike) else source
    layers = [layer for layer in model.layers if isinstance(layer, _RECURRENT)]
    listening = keras.Model(model.inputs, [*(layer.output for layer in layers), *model.outputs])
    masks = {} if mask is None else {"mask": keras.ops.convert_to_tensor(mask)}
    results = listening(keras.ops.convert_to_tensor(x), **masks)
    *hidden, output = [np.asarray(keras.ops.convert_to_numpy(result)) for result in results]
    return Trace(
        f"Keras {keras.__version__} on {keras.backend.backend()}",
        [*hidden],
        output,
        [np.asarray(w) for layer in layers for w in layer.get_weights() if w.ndim == 1],
    )
