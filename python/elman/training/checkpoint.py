"""Checkpoints: files from which a training run resumes to the same bits.

A checkpoint is a safetensors file, replaced atomically like a model file. Its metadata hold the
settings and the progress of the run; its tensors are the parameters, the optimizer's moments, the
best parameters so far, and the history.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _container, _files, _format, _structure
from elman._format import DTYPES
from elman._text import show
from elman.errors import (
    ArgumentError,
    ModelFormatError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman._container import Header
    from elman._network import Network
    from elman.training.data import Data

    Array = NDArray[Any]
    Path = str | os.PathLike[str]
    Json = dict[str, Any]

FORMAT = _format.CHECKPOINT
FORMAT_VERSION = "1"

_HISTORY = {"history.loss", "history.validation_loss", "history.learning_rate"}
_PROGRESS = {"updates", "best_epoch", "learning_rate"}
_SAID = {  # settings whose names are not those of arguments
    "network": "net",
    "data": "shapes of x, y and the weights",
    "validation": "shapes of validation",
    "watched": "loss that patience or validation watch",
}


class Checkpoint(NamedTuple):
    """The progress of a run as JSON, and its arrays of float32 or float64 by name."""

    progress: Json
    tensors: dict[str, Array]


class Saver:
    """Writer of checkpoints for a run with these settings."""

    def __init__(self, path: Path, every: int, settings: Json) -> None:
        self.path = _files.name_of(path, "checkpoint")
        self.every = every
        self.settings = settings
        self.unsaved: Checkpoint | None = None

    def read(self) -> Checkpoint | None:
        """Return the checkpoint; None if there is no file yet.

        Raises
        ------
        ArgumentError
            If it belongs to a run with other settings.
        ModelFormatError, UnsupportedModelError
            If the file is not a checkpoint, is damaged, or has a newer version.
        OSError
            If it cannot be read, or not be written later.
        """
        try:
            found, checkpoint = _checked(self.path)
        except FileNotFoundError:
            _files.require_writable(self.path)
            return None
        self._require_equal(found)
        _files.require_writable(self.path)
        return checkpoint

    def _require_equal(self, found: Json) -> None:
        wanted = json.loads(json.dumps(self.settings))
        for key in self.settings:
            if found.get(key) != wanted[key]:
                raise ArgumentError(
                    f"checkpoint: expected the {_SAID.get(key, key)} of the run in {self.path},"
                    f" {show(found.get(key))}, got {show(wanted[key])}:"
                    " name another file to start a new run"
                )

    def keep(self, checkpoint: Callable[[], Checkpoint], epochs: int) -> None:
        """Store a checkpoint after an epoch, and write it if it is due."""
        self.unsaved = checkpoint()
        if epochs % self.every == 0:
            self.flush()

    def flush(self) -> None:
        """Write the stored checkpoint, if any, and replace the file atomically.

        If that fails, as on a full disk, warn: it must not take away the result of the training.
        """
        if self.unsaved is not None:
            metadata = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "settings": json.dumps(self.settings),
                "progress": json.dumps(self.unsaved.progress),
            }
            metadata["sha256"] = _digest(metadata, self.unsaved.tensors)
            data = _container.write(self.unsaved.tensors, metadata)
            self.unsaved = None
            try:
                _files.replace(self.path, data)
            except OSError as error:
                warnings.warn(
                    f"checkpoint: {self.path} was not written: {error.strerror or error}; training"
                    " goes on, and the file before, if any, is kept",
                    RuntimeWarning,
                    stacklevel=2,
                )


def description(net: Network) -> Json:
    """Return the network's part of the settings: everything that is not trained."""
    scaling = (getattr(net, name) for name in _structure.SCALING)
    return {
        "sizes": [net.input_size, *net.hidden_sizes, net.output_size],
        "activations": [str(f) for f in (*net.activations, net.output_activation)],
        "dtype": net.dtype.name,
        "scaling": [
            None if s is None else hashlib.sha256(s.tobytes()).hexdigest() for s in scaling
        ],
    }


def shapes(batch: Data | None) -> list[tuple[int, ...] | None] | None:
    """Return the data's part of the settings: the shapes."""
    if batch is None:
        return None
    return [None if part is None else part.shape for part in batch if not isinstance(part, str)]


def _digest(metadata: dict[str, str], tensors: dict[str, Array]) -> str:
    digest = hashlib.sha256((metadata["settings"] + metadata["progress"]).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {_kind(array)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def require_fit(tensors: dict[str, Array], like: dict[str, Array]) -> None:
    """Raise if names, shapes or dtypes differ from those of `like`."""
    for name in sorted(tensors.keys() | like.keys()):
        expected, got = _kind(like.get(name)), _kind(tensors.get(name))
        if expected != got:
            raise ModelFormatError(f"checkpoint: tensor {name!r}: expected {expected}, got {got}")


def _kind(array: Array | None) -> str:
    return "none" if array is None else f"{array.shape} of {array.dtype}"


def _check_progress(progress: Json, tensors: dict[str, Array]) -> None:
    """Raise if the history is inconsistent, or the progress does not match it."""
    if not (tensors.keys() >= _HISTORY and progress.keys() >= _PROGRESS):
        raise ModelFormatError("expected the progress of a run and its history")
    done = len(tensors["history.loss"]) if tensors["history.loss"].ndim == 1 else 0
    for name in sorted(_HISTORY):
        shapes = [(done,), (0,)] if name == "history.validation_loss" else [(done,)]
        if tensors[name].shape not in shapes or tensors[name].dtype != "float64":
            raise ModelFormatError(
                f"tensor {name!r}: expected {shapes[0]} of float64, got {_kind(tensors[name])}"
            )
    updates, best = progress["updates"], progress["best_epoch"]
    if type(updates) is not int or not 0 <= updates < 2**53:
        raise ModelFormatError(f"progress: expected a count of updates, got {show(updates)}")
    rate = progress["learning_rate"]
    if type(rate) is not float or not 0 <= rate < math.inf:
        raise ModelFormatError(f"progress: expected a learning rate, got {show(rate)}")
    if best is not None and (type(best) is not int or not 1 <= best <= done):
        raise ModelFormatError(
            f"progress: expected a best epoch from 1 to {done}, got {show(best)}"
        )


def recorded(path: str) -> Json:
    """Return the history in a checkpoint, whatever the settings of its run.

    Raises
    ------
    ModelFormatError, UnsupportedModelError, OSError
        As for `Saver.read`.
    """
    _, (progress, tensors) = _checked(path)
    history = {name.removeprefix("history."): tensors[name].tolist() for name in sorted(_HISTORY)}
    epochs = list(range(1, len(history["loss"]) + 1))
    return {"epoch": epochs, **history, "best_epoch": progress["best_epoch"]}


def _checked(path: str) -> tuple[Json, Checkpoint]:
    """Return settings and contents of a checkpoint that is intact."""
    with _files.naming(path):
        header, tensors = _read(path)
        metadata = header.metadata
        settings = _container.json_object(metadata["settings"], "settings")
        progress = _container.json_object(metadata["progress"], "progress")
        if metadata["sha256"] != _digest(metadata, tensors):
            raise ModelFormatError(
                "sha256: expected the hash of the contents, got another: the file is damaged"
            )
        _check_progress(progress, tensors)
    return settings, Checkpoint(progress, tensors)


def _read(path: str) -> tuple[Header, dict[str, Array]]:
    with _files.opened(path) as (file, size):
        header = _container.read_header(file.read, size, _KIND)
        return header, _container.read_arrays(file.read, header)


def _check_metadata(metadata: Any) -> None:  # noqa: ANN401
    """Raise unless these are the metadata of a checkpoint of this version."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ModelFormatError("expected a checkpoint of a training run, got another kind of file")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise UnsupportedModelError(
            f"expected checkpoint version {FORMAT_VERSION}, got"
            f" {show(metadata.get('format_version'))}"
        )
    for key in ("settings", "progress", "sha256"):
        if not isinstance(metadata.get(key), str):
            raise ModelFormatError(f"metadata: the key {key!r} is missing")


_KIND = _container.Kind(tuple(DTYPES), _check_metadata)
