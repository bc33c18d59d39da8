"""Load the model of a command; other files are refused by kind."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import elman
from elman import _container, _files
from elman._loading import FRAMEWORKS
from elman.errors import ElmanError, ModelFormatError, UnsupportedModelError
from elman.training import checkpoint

if TYPE_CHECKING:
    from elman._network import Network

PEEK = 1024  # bytes that determine the kind of a file
TABLES = {  # by their first bytes
    b"\x93NUMPY": "an NPY array",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
READ = ("a CSV file", "a text file", "text in UTF-16", "an NPY array", "an NPZ file", "a gzip file")
_FOREIGN = "{0}: this is a model of another framework: elman convert {0} {1} converts it"


def load(path: str, data: str | None = None) -> Network:
    """Load a model file.

    `data` is the table that the command was given beside it: the two may be swapped.

    Raises
    ------
    UnsupportedModelError
        If the file is a table, a model of another framework or a checkpoint; the message has the
        remedy.
    ModelFormatError, OSError
        As for `elman.load`.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; expected a model file", path)
    kind = _kind(path) if os.path.isfile(path) else None
    if kind is not None:
        raise UnsupportedModelError(
            f"{path}: this is {kind}, not a model{_remedy(path, kind, data)}"
        )
    stem, suffix = os.path.splitext(path)
    other = suffix.lower() in FRAMEWORKS and (suffix.lower() != ".ckpt" or _format(path) is None)
    if other and os.path.isfile(path):
        raise UnsupportedModelError(_FOREIGN.format(path, f"{stem}.safetensors"))
    try:
        return elman.load(path)
    except ModelFormatError as error:
        found = _format(path)
        if found == checkpoint.FORMAT:
            raise UnsupportedModelError(
                f"{path}: this is a checkpoint of a training run, not a model: finish the run"
                " and save its network"
            ) from error
        if found is not None and found != "elman":
            raise UnsupportedModelError(_FOREIGN.format(path, "OUT.safetensors")) from error
        raise


def _format(path: str) -> str | None:
    """Return the metadata of a safetensors file; None if it is damaged."""
    try:
        with _files.opened(path) as (file, size):
            metadata = _container.read_header(file.read, size).metadata
    except ElmanError:
        return None
    return str(metadata.get("format", "none")) if isinstance(metadata, dict) else None


def _kind(path: str) -> str | None:
    """Return the kind of a file of data, or None if the file may be a model."""
    with open(path, "rb", opener=_files.open_without_waiting) as file:
        start = file.read(PEEK)
    for magic, kind in TABLES.items():
        if start.startswith(magic):
            return kind
    if start.startswith(b"PK") and path.endswith(".npz"):
        return "an NPZ file"
    if not start:
        return "an empty file"
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in start):
        return None
    line = start.partition(b"\n")[0]
    if line.lstrip(b"\xef\xbb\xbf \t").startswith((b"{", b"[")):
        return "JSON"
    return "a CSV file" if path.endswith(".csv") or b"," in line or b";" in line else "a text file"


def _remedy(path: str, kind: str, data: str | None) -> str:
    if data not in (None, "-") and os.path.isfile(str(data)) and _kind(str(data)) is None:
        return f": the arguments are swapped, {data} comes first"
    if kind not in READ:
        return ""
    return f": run it with elman run MODEL {path}, or train on it with elman train {path}"
