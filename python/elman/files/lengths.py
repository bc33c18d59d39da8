"""The numbers of real steps of padded sequences, in an NPY file beside their array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from elman._text import printable
from elman.errors import DTypeError, ShapeError, TableError
from elman.files.arrays import ArraySource
from elman.files.jobs import changed
from elman.files.opening import opened

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Lengths:
    """An array of integers (...), one for each sequence of an array (..., T, I).

    Parameters
    ----------
    path : str
    array : str
        The name of that array, for messages.
    shape : tuple of int
        Its batch axes.
    """

    def __init__(self, path: str, array: str, shape: tuple[int, ...]) -> None:
        self.path, self.name = path, printable(path)
        with opened(path) as file:
            if not file.is_array or file.path is None:
                raise TableError(f"{self.name}: expected an NPY file of lengths, not compressed")
            found = ArraySource(file).array
        if found.shape != shape:
            raise ShapeError(
                f"lengths: expected one for each sequence of {array}, {shape}, got {found.shape} in"
                f" {self.name}"
            )
        if found.dtype.kind not in "iu":
            raise DTypeError(f"lengths: expected integers, got {found.dtype} in {self.name}")
        self._shape, self._dtype = shape or (1,), found.dtype
        self._order: Literal["C", "F"] = "C" if found.flags.c_contiguous else "F"
        self._begin = getattr(found, "offset", 0)
        self._time = os.stat(path).st_mtime_ns

    def read(self, first: int, count: int) -> Array:
        """Return the lengths of some sequences; mapped again each time, as arrays are."""
        if not count:
            return np.empty(0, np.int64)
        whole: Array = np.memmap(
            self.path, self._dtype, "r", self._begin, self._shape, order=self._order
        )
        if os.stat(self.path).st_mtime_ns != self._time:
            raise changed(self.name)
        numbers = np.unravel_index(np.arange(first, first + count), self._shape)
        return np.array(whole[numbers], np.int64)
