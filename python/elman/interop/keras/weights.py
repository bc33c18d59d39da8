"""Networks as `.weights.h5` files, in the layout that `model.load_weights` of Keras 3 reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from elman.interop import export

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]


def contents(net: Network, *, fold_scaling: bool) -> bytes:
    """Return the bytes of a file for a model as `elman.to_keras` describes it."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise ModuleNotFoundError(
            "Keras' files need h5py: pip install 'elman[keras]'", name=error.name
        ) from error
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for place, arrays in _places(net, fold_scaling):
            group = h5.create_group(f"{place}/vars")
            for index, array in enumerate(arrays):
                group.create_dataset(str(index), data=array.T)
    return file.getvalue()


def _places(net: Network, fold_scaling: bool) -> Iterator[tuple[str, list[Array]]]:
    """Yield where the arrays of each part of the model stand."""
    layers, head = export.weights(net, fold_scaling=fold_scaling)
    counts = {"simple_rnn": 0, "bidirectional": 0}
    for halves in layers:
        kind = "simple_rnn" if len(halves) == 1 else "bidirectional"
        name = f"layers/{kind}_{counts[kind]}" if counts[kind] else f"layers/{kind}"
        counts[kind] += 1
        places = ["cell"] if len(halves) == 1 else ["forward_layer/cell", "backward_layer/cell"]
        for place, triple in zip(places, halves, strict=True):
            yield f"{name}/{place}", [array for array in triple if array is not None]
    if head is not None:
        yield "layers/dense", [array for array in head if array is not None]
