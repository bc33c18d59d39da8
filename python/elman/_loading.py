"""From a model file to a network, and back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from elman import _container, _files, _format
from elman._structure import Structure
from elman.errors import ArgumentError, ArgumentTypeError, ModelFormatError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._files import Path
    from elman.network import Network

__all__ = ["dumps", "load", "loads", "restore", "save"]

_WRITERS = {  # of other formats, by their suffixes
    ".onnx": "elman.to_onnx(net, path)",
    ".pt": "torch.save of elman.to_torch(net)",
    ".pth": "torch.save of elman.to_torch(net)",
    ".keras": "a Keras model with the weights elman.to_keras(net)",
    ".h5": "a Keras model with the weights elman.to_keras(net)",
}


def load(path: Path, *, allow_nonfinite: bool = False, verify: bool = False) -> Network:
    """Load a network from a model file.

    Parameters
    ----------
    path
        The file, written by `Network.save`.
    allow_nonfinite
        Accept NaN and infinities among the weights.
    verify
        Run the example that the file holds (`net.save(path, golden=x)`), and refuse the network if
        it gives something else: other bits, or, where the file comes from a build with other
        numerics, more than rounding allows.

    Returns
    -------
    Network
        The network, which keeps nothing of the file open.

    Raises
    ------
    LimitError
        If the file holds more than 1024 tensors.
    ModelFormatError
        If the file is damaged, is not a regular file, changes while it is read, or holds something
        that does not belong there; or has no example to verify.
    VerificationError
        If the network does not give what the example says.
    UnsupportedModelError
        If the file is of a newer format version, or of another kind (PyTorch, HDF5, ONNX).
    OSError
        If the file does not exist, is a directory, or cannot be read.

    Examples
    --------
    >>> import elman, tempfile
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/model.safetensors")
    ...     elman.load(f"{folder}/model.safetensors") == net
    True
    """
    path = os.fsdecode(path)
    with _files.naming(path):
        data = _read(path)
        net = _network(data, allow_nonfinite=allow_nonfinite)
        if verify:
            from elman import golden

            golden.check(net, data)
    return net


def is_own(path: Path) -> bool:
    """Say whether a safetensors file is in elman's format, or too damaged to tell."""
    try:
        with _files.opened(os.fsdecode(path)) as (file, size):
            metadata = _container.read_header(file.read, size, _container.ANY).metadata
    except ModelFormatError:
        return True
    return isinstance(metadata, dict) and metadata.get("format") == "elman"


def loads(data: bytes, *, allow_nonfinite: bool = False, source: str = "model") -> Network:
    """Return the network that `dumps` turned into bytes; errors call the bytes by `source`.

    Raises
    ------
    TypeError
        If `data` is not of the type bytes.
    LimitError, ModelFormatError, UnsupportedModelError
        As for `load`.
    """
    if not isinstance(data, bytes):
        raise ArgumentTypeError(f"data: expected bytes, got {type(data).__name__}")
    with _files.naming(source):
        return _network(data, allow_nonfinite=allow_nonfinite)


def restore(data: bytes) -> Network:
    """Return the network from the bytes in a pickle; its weights were accepted once before."""
    return loads(data, allow_nonfinite=True, source="pickled network")


def _read(path: str) -> bytes:
    """Return the bytes of a file whose header passed every check before the rest was read."""
    with _files.opened(path) as (file, size):
        _format.describe(_container.read_header(file.read, size, _format.KIND))
        return _files.read_whole(file, size)


def _network(data: bytes, *, allow_nonfinite: bool) -> Network:
    from elman.network import Network

    header = _container.parse_header(data, _format.KIND)
    structure, dtype, metadata = _format.describe(header)
    arrays = _container.arrays(data, header)
    tensors = {name: a for name, a in arrays.items() if not name.startswith(_format.EXAMPLE)}
    if not allow_nonfinite:
        _require_finite(tensors)
    try:
        return Network.from_tensors(
            tensors,
            direction=structure.directions,
            activation=structure.layer_activations,
            output_activation=structure.output_activation,
            dtype=dtype,
            metadata=metadata,
            allow_nonfinite=True,
        )
    except ArgumentError as error:  # a number of an activation that the dtype does not hold
        raise ModelFormatError(str(error)) from error


def _require_finite(arrays: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFormatError(
                f"tensor {name!r}: expected finite numbers, got NaN or infinity"
                " (allow_nonfinite=True accepts them)"
            )


def dumps(net: Network, *, golden: ArrayLike | None = None) -> bytes:
    """Return a network as the bytes of a model file; the same network gives the same bytes.

    Raises
    ------
    LimitError
        If the network has more layers, or its metadata are longer, than `loads` accepts.
    ShapeError, DTypeError
        If `golden` is no input of the network.
    """
    tensors, rules = net.tensors(), None
    if golden is not None:
        from elman import golden as examples

        example, rules = examples.record(net, golden)
        tensors |= example
    return _container.write(tensors, _format.fields(Structure.of(net), net.metadata, rules))


def save(net: Network, path: Path, *, golden: ArrayLike | None = None) -> None:
    """Write a network to a model file, which is replaced whole or not at all: `Network.save`."""
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    if suffix in _WRITERS:
        raise ArgumentError(
            f"path: expected a file of elman's format, *.safetensors, got *{suffix}:"
            f" {_WRITERS[suffix]} writes that"
        )
    _files.replace(path, dumps(net, golden=golden))
