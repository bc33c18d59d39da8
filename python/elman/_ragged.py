"""Sequences of any lengths: a list of arrays (T_i, I), run as one flat array."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments
from elman.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeGuard

    from numpy.typing import ArrayLike, NDArray

    from elman._core import Network as Core

    Array = NDArray[Any]


def is_list_of_sequences(x: object) -> TypeGuard[Sequence[ArrayLike]]:
    """Return whether x is a list or tuple of arrays (T, I) or of data frames.

    Lists of numbers are one array.
    """
    if not isinstance(x, list | tuple) or not x:
        return False
    return getattr(x[0], "ndim", None) == 2 or hasattr(x[0], "columns")


def require_one_array(argument: str, x: object, remedy: str) -> None:
    """Raise for a list of sequences."""
    if is_list_of_sequences(x):
        raise ShapeError(
            f"{argument}: expected one array (..., T, I), got a list of sequences: {remedy}"
        )


def require_none(argument: str, value: object) -> None:
    """Raise for an argument that cannot be used with a list of sequences."""
    if value is not None:
        raise ArgumentError(f"{argument}: expected None with a list of sequences, got a value")


def call(core: Core, x: Sequence[ArrayLike], outputs: str | None, out: object) -> list[Array]:
    """Return the outputs of each sequence."""
    require_none("out", out)
    return [output for output, _, _ in run(core, x, None, None, "hold", outputs, False, 1)]


def run(
    core: Core,
    x: Sequence[ArrayLike],
    state: ArrayLike | None,
    mask: Sequence[ArrayLike] | ArrayLike | None,
    masked: str,
    outputs: str | None,
    return_hidden: bool,
    threads: int,
) -> list[tuple[Array, Array, Array | None]]:
    """Run each sequence; return its (output, state, hidden or None)."""
    arrays = [_arguments.reals(f"x[{i}]", sequence) for i, sequence in enumerate(x)]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != core.input_size:
            raise ShapeError(f"x[{i}]: expected (T, {core.input_size}), got {array.shape}")
    steps = [len(array) for array in arrays]
    offsets = np.cumsum([0, *steps])
    output, states, hidden = core.run(
        np.concatenate(arrays, dtype=core.dtype, casting="unsafe"),  # each value is rounded once
        state,
        None,
        outputs,
        return_hidden,
        threads,
        None,
        mask=None if mask is None else _flat_mask(mask, steps),
        masked=masked,
        offsets=offsets,
    )
    rows = [slice(begin, end) for begin, end in itertools.pairwise(offsets)]
    return [
        (
            output[part] if outputs != "last" else output[i],
            states[i],
            None if hidden is None else hidden[part],
        )
        for i, part in enumerate(rows)
    ]


def _flat_mask(mask: Sequence[ArrayLike] | ArrayLike, steps: list[int]) -> Array:
    """Concatenate a list of masks (T_i,)."""
    masks = _arguments.listed("mask", mask, "a list of masks, as x is a list")  # type: ignore[arg-type]
    if len(masks) != len(steps):
        raise ShapeError(
            f"mask: expected {len(steps)} masks, one for each sequence, got {len(masks)}"
        )
    arrays = [_arguments.unmasked(f"mask[{i}]", each) for i, each in enumerate(masks)]
    for i, (array, count) in enumerate(zip(arrays, steps, strict=True)):
        if array.shape != (count,):
            raise ShapeError(f"mask[{i}]: expected ({count},), got {array.shape}")
        if count and array.dtype.kind not in "biu":
            raise DTypeError(
                f"mask[{i}]: expected booleans, or integers 0 and 1, got dtype {array.dtype}"
            )
        wrong = array[(array != 0) & (array != 1)]
        if wrong.size:
            raise ArgumentError(f"mask[{i}]: expected 0 or 1, got {wrong[0]}")
    return np.concatenate(arrays, dtype=bool, casting="unsafe")
