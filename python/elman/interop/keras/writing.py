"""Convert networks to the arrays of a Keras model, and to a file that it loads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from elman import _files
from elman._network import require_network
from elman._structure import B_Y, W_HY, prefixes
from elman.interop import _export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._network import Network
    from elman._typing import Array

_KINDS = {"kernel": "W_xh", "recurrent_kernel": "W_hh", "bias": "b_h"}


def to_keras(net: Network, *, fold_scaling: bool = False) -> list[Array]:
    """Return the weights in the order and layout of Keras' `model.set_weights`.

    The model has, for every layer, `SimpleRNN(H, activation, use_bias, return_sequences=True)`,
    wrapped in `Bidirectional` if it is bidirectional, and then `Dense(O, activation)`.

    Parameters
    ----------
    fold_scaling : bool
        As for `to_torch`.

    Returns
    -------
    list of ndarray
        kernel (I, H), recurrent_kernel (H, H) and bias (H,) of each layer, forward before
        backward, then kernel (H, O) and bias (O,); biases only if the network has them.

    Raises
    ------
    UnsupportedModelError, ArgumentError
        As for `state_dict`.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> [array.shape for array in elman.to_keras(net)]
    [(3, 8), (8, 8), (8,), (8, 2), (2,)]
    """
    require_network(net)
    return [a for _, _, arrays in _cells(net, fold_scaling) for a in arrays.values()]


def _cells(net: Network, fold_scaling: bool) -> Iterator[tuple[int, str, dict[str, Array]]]:
    """Yield the layer, the direction and the arrays of every cell in Keras' order.

    The direction is "forward" or "backward", or "" if there is only one; layer -1 is the readout.
    """
    tensors = _export.tensors(net, fold_scaling=fold_scaling)
    for index, direction in enumerate(net.directions):
        halves = prefixes(index, direction)
        for half, word in zip(halves, ("forward", "backward"), strict=False):
            arrays = {kind: tensors.get(half + name) for kind, name in _KINDS.items()}
            yield index, word if len(halves) == 2 else "", _transposed(arrays)
    if W_HY in tensors:
        yield -1, "", _transposed({"kernel": tensors[W_HY], "bias": tensors.get(B_Y)})


def _transposed(arrays: dict[str, Array | None]) -> dict[str, Array]:
    return {kind: array.T.copy() for kind, array in arrays.items() if array is not None}


def state_dict(net: Network, *, prefix: str, readout: str, fold_scaling: bool) -> dict[str, Array]:
    """Return the arrays of `elman.state_dict(net, "keras")`, in the order of `get_weights()`."""
    named: dict[str, Array] = {}
    for index, word, arrays in _cells(net, fold_scaling):
        layer = readout if index < 0 else f"{prefix}_{index}" if index else prefix
        place = f"{layer}/{word}/" if word else f"{layer}/"
        named |= {place + kind: array for kind, array in arrays.items()}
    return named


def contents(net: Network, *, fold_scaling: bool) -> bytes:
    """Return the bytes of a `.weights.h5` file that the model of `to_keras` loads in Keras 3."""
    h5py = _files.extra("h5py", "a file of Keras", "'elman[keras]'")
    groups: list[str] = []  # of layers, named by class and number
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for index, word, arrays in _cells(net, fold_scaling):
            if word != "backward" and index >= 0:
                kind = "bidirectional" if word else "simple_rnn"
                count = sum(name.startswith(kind) for name in groups)
                groups.append(f"{kind}_{count}" if count else kind)
            cell = f"{word}_layer/cell" if word else "cell"
            place = "dense" if index < 0 else f"{groups[index]}/{cell}"
            group = h5.create_group(f"layers/{place}/vars")
            for number, array in enumerate(arrays.values()):
                group.create_dataset(str(number), data=array)
    return file.getvalue()
