"""Loading of model files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from elman import _arguments, _container, _files, _format, _golden
from elman._network import network_of_contents
from elman.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from elman._files import Path
    from elman._format import Contents
    from elman._network import Network

__all__ = ["FRAMEWORKS", "is_own", "load", "read"]

FRAMEWORKS = {  # of files that are not elman's, by suffix
    ".pt": "torch",
    ".pth": "torch",
    ".ckpt": "torch",  # or a checkpoint of elman.train
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".onnx": "onnx",
}
_READERS = {
    **{suffix: f"elman.from_{framework}" for suffix, framework in FRAMEWORKS.items()},
    ".npz": "elman.Network.from_tensors(np.load(path))",  # what `tensors()` returned
}


def load(path: Path, *, allow_nonfinite: bool = False, verify: bool = False) -> Network:
    """Load a network from a model file.

    Parameters
    ----------
    path
        A file written by `Network.save`.
    allow_nonfinite
        Accept NaN and infinities in the weights.
    verify
        Run the example in the file (`net.save(path, golden=x)`) and compare the results: bit for
        bit, or within the rounding bound if the file comes from a build with other numerics.

    Returns
    -------
    Network
        The network, which does not keep the file open.

    Raises
    ------
    LimitError
        If the file contains more than 1024 tensors.
    ModelFormatError
        If the file is damaged, has unexpected contents, is not a regular file, or changes while it
        is read; or if there is no example to verify.
    VerificationError
        If the results differ from the example.
    UnsupportedModelError
        If the file has a newer format version or another format (PyTorch, HDF5, ONNX), or contains
        data (text such as CSV, NPY).
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
    accepted = _arguments.flag("allow_nonfinite", allow_nonfinite)
    verified = _arguments.flag("verify", verify)
    contents = read(path)
    with _files.naming(_files.name_of(path)):
        net = network_of_contents(contents, allow_nonfinite=accepted)
        if verified:
            _golden.check(net, contents)
    return net


def read(path: Path) -> Contents:
    """Read a model file; errors name the file."""
    path = _files.name_of(path)
    suffix = os.path.splitext(path)[1].lower()
    with _files.naming(path), _files.opened(path) as (file, size):
        try:
            return _format.read(file.read, size)
        except (UnsupportedModelError, ModelFormatError) as error:
            if suffix not in _READERS or (
                suffix == ".ckpt" and isinstance(error, ModelFormatError)
            ):
                raise
            raise UnsupportedModelError(
                f"expected a model in elman's format, got *{suffix}: {_READERS[suffix]} reads it"
            ) from None


def is_own(path: Path) -> bool:
    """Return whether a safetensors file is in elman's format; True if too damaged to tell."""
    try:
        with _files.opened(_files.name_of(path)) as (file, size):
            metadata = _container.read_header(file.read, size).metadata
    except ModelFormatError:
        return True
    return isinstance(metadata, dict) and metadata.get("format") == "elman"
