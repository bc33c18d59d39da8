"""Arrays in NPY files."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from elman._text import printable
from elman.errors import ElmanError, TableError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman.files.opening import Opened

    Array = NDArray[Any]


class ArraySource:
    """An array (..., T, I): one sequence, or a batch of them.

    Attributes
    ----------
    name : str
        The file, for messages.
    file : Opened
        The file, which is read when `array` is first asked for.
    """

    def __init__(self, file: Opened) -> None:
        self.name = file.name
        self.file = file

    @functools.cached_property
    def array(self) -> Array:
        """The whole array, memory-mapped if the file is not compressed."""
        return _array(self.file)

    def whole(self, width: int) -> Array:
        """Return the whole array (..., T, width).

        Raises
        ------
        TableError
            If the shape is wrong, or there is no step.
        """
        shape = self.array.shape
        if len(shape) < 2 or shape[-1] != width:
            raise TableError(f"{self.name}: expected (..., T, {width}), got {shape}")
        if 0 in shape:
            raise TableError(f"{self.name}: expected at least one step, got {shape}")
        return self.array


def _array(file: Opened) -> Array:
    try:
        if file.path is not None and (array := _mapped(file.path)) is not None:
            return _real(file.name, array)
        # Not the file itself: NumPy cannot read from a pipe.
        reader: Any = SimpleNamespace(read=file.read)
        return _real(file.name, np.lib.format.read_array(reader, allow_pickle=False))
    except (ElmanError, OSError):
        raise
    except Exception as error:  # NumPy raises many types for a damaged header
        raise TableError(
            f"{file.name}: expected an NPY file of numbers, got a damaged one:"
            f" {printable(str(error))}"
        ) from error


def _mapped(path: str) -> Array | None:
    """Memory-map an array; return None for an empty one, which cannot be mapped."""
    array = np.lib.format.open_memmap(path, mode="r")
    return array if array.size else None


def _real(name: str, array: Array) -> Array:
    if array.dtype.kind not in "buif":
        raise TableError(f"{name}: expected an NPY file of numbers, got {array.dtype}")
    return array
