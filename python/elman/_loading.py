"""From a model file to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _container, _files, _format, _golden
from elman._network import network_of_contents
from elman.errors import ModelFormatError

if TYPE_CHECKING:
    from elman._files import Path
    from elman._format import Contents
    from elman._network import Network

__all__ = ["is_own", "load", "read"]


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
    contents = read(path)
    with _files.naming(_files.name_of(path)):
        net = network_of_contents(contents, allow_nonfinite=allow_nonfinite)
        if verify:
            _golden.check(net, contents)
    return net


def read(path: Path) -> Contents:
    """Read a model file; errors name it."""
    path = _files.name_of(path)
    with _files.naming(path), _files.opened(path) as (file, size):
        return _format.read(file.read, size)


def is_own(path: Path) -> bool:
    """Say whether a safetensors file is in elman's format, or too damaged to tell."""
    try:
        with _files.opened(_files.name_of(path)) as (file, size):
            metadata = _container.read_header(file.read, size).metadata
    except ModelFormatError:
        return True
    return isinstance(metadata, dict) and metadata.get("format") == "elman"
