"""Networks as the arrays of a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.interop import export

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]


def state_dict(net: Network, *, prefix: str, readout: str, fold_scaling: bool) -> dict[str, Array]:
    """Return the arrays of `elman.state_dict(net, "keras")`, in the order of `get_weights()`."""
    layers, head = export.weights(net, fold_scaling=fold_scaling)
    arrays: dict[str, Array] = {}
    for index, halves in enumerate(layers):
        name = f"{prefix}_{index}" if index else prefix
        for triple, half in zip(halves, ("forward/", "backward/"), strict=False):
            place = f"{name}/{half}" if len(halves) == 2 else f"{name}/"
            kinds = ("kernel", "recurrent_kernel", "bias")
            arrays |= {
                f"{place}{kind}": array.T.copy()
                for kind, array in zip(kinds, triple, strict=True)
                if array is not None
            }
    if head is not None:
        for kind, array in zip(("kernel", "bias"), head, strict=True):
            if array is not None:
                arrays[f"{readout}/{kind}"] = array.T.copy()
    return arrays
