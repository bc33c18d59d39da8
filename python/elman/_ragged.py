"""Sequences of any lengths: a list of arrays (T_i, I), run as one flat array."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments
from elman._run import Run
from elman.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from elman._core import Network as Core

    Array = NDArray[Any]


class Rows(NamedTuple):
    """The rows (R, I) of several sequences in any order, as in a data frame.

    `order` lists the rows sequence by sequence; those of sequence b are order[offsets[b]] to
    order[offsets[b + 1] - 1], and keys[b] is its name.
    """

    values: Array
    keys: list[Any]
    order: Array
    offsets: Array

    @property
    def lengths(self) -> Array:
        """The number of rows of each sequence."""
        return np.diff(self.offsets)

    def split(self, argument: str, values: Array) -> list[Array]:
        """Return values (R, ...) in the same order as a list of arrays, one for each sequence."""
        if values.shape[:1] != self.order.shape:
            raise ShapeError(
                f"{argument}: expected {len(self.order)} rows, as in x, got {values.shape}"
            )
        return [values[self.order[begin:end]] for begin, end in itertools.pairwise(self.offsets)]

    def padded(self, argument: str, values: Array) -> Array:
        """Return values (R, ...) as one array (B, T, ...), padded with zeros."""
        return pad(argument, self.split(argument, values), self.lengths.tolist())


def grouped(numbers: Array, count: int) -> tuple[Array, Array]:
    """Return `order` and `offsets` of `Rows`, from the sequence number of each row."""
    offsets = np.concatenate([[0], np.bincount(numbers, minlength=count).cumsum()])
    return np.argsort(numbers, kind="stable"), offsets


def require_none(argument: str, value: object, x: str = "a list of sequences") -> None:
    """Raise for an argument that cannot be used with such an x."""
    if value is not None:
        raise ArgumentError(f"{argument}: expected None with {x}, got a value")


def call(core: Core, x: ArrayLike | Rows, outputs: str, out: Array | None) -> Array | list[Array]:
    """Return the outputs of an array, of rows of several sequences, or of each of a list."""
    if isinstance(x, Rows):
        return run_rows(core, x, None, None, "hold", outputs, False, 1, out)[0]
    if _arguments.is_list_of_sequences(x):
        require_none("out", out)
        return [output for output, _, _ in run(core, x, None, None, "hold", outputs, False, 1)]
    return core.call(x, outputs, out)


def run_any(
    core: Core,
    x: ArrayLike | Rows,
    state: ArrayLike | None,
    lengths: ArrayLike | None,
    outputs: str | None,
    return_hidden: bool,
    threads: int,
    out: Array | None,
    argument: str,
    mask: Any,  # noqa: ANN401  # of the kind of x
    masked: str,
    offsets: ArrayLike | None,
) -> Run | list[Run]:
    """Run an array, rows of several sequences, or a list of sequences."""
    if isinstance(x, Rows):
        for name, value in (("lengths", lengths), ("offsets", offsets)):
            require_none(name, value, "a data frame of sequences")
        assert outputs is not None
        found = run_rows(core, x, state, mask, masked, outputs, return_hidden, threads, out)
        result = Run(*found)
        result.keys = x.keys
        return result
    if _arguments.is_list_of_sequences(x):
        for name, value in (("lengths", lengths), ("offsets", offsets), ("out", out)):
            require_none(name, value)
        runs = run(core, x, state, mask, masked, outputs, return_hidden, threads)
        return [Run(*each) for each in runs]
    rest = (return_hidden, threads, out, argument, mask, masked, offsets)
    return Run(*core.run(x, state, lengths, outputs, *rest))


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
    arrays = sequences(x, core.input_size)
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


def sequences(x: Sequence[ArrayLike], input_size: int) -> list[Array]:
    """Return a list of sequences as arrays (T_i, I)."""
    arrays = [_arguments.reals(f"x[{i}]", sequence) for i, sequence in enumerate(x)]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != input_size:
            raise ShapeError(f"x[{i}]: expected (T, {input_size}), got {array.shape}")
    return arrays


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


def run_rows(
    core: Core,
    rows: Rows,
    state: ArrayLike | None,
    mask: ArrayLike | None,
    masked: str,
    outputs: str,
    return_hidden: bool,
    threads: int,
    out: Array | None,
) -> tuple[Array, Array, Array | None]:
    """Run each sequence of rows; return (output, state, hidden or None).

    Outputs and hidden states of all steps are in the order of the rows, (R, ...); last outputs and
    states are in that of the sequences.
    """
    order = rows.order
    if mask is not None:
        mask = np.atleast_1d(_arguments.unmasked("mask", mask))
        rows.split("mask", mask)
        mask = mask[order]
    output, states, hidden = core.run(
        rows.values[order],
        state,
        None,
        outputs,
        return_hidden,
        threads,
        out,
        mask=mask,
        masked=masked,
        offsets=rows.offsets,
    )
    if (order[:-1] > order[1:]).any():
        for steps in (output if outputs != "last" else None, hidden):
            if steps is not None:
                steps[order] = steps.copy()
    return output, states, hidden


def pad(argument: str, values: ArrayLike, lengths: Sequence[int]) -> Array:
    """Return arrays (T_i, ...) of these lengths as one array, padded with zeros."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        values = list(values)
    given = _arguments.listed(argument, values, "a list of arrays")  # type: ignore[arg-type]
    if len(given) != len(lengths):
        raise ShapeError(
            f"{argument}: expected {len(lengths)} arrays, one for each in x, got {len(given)}"
        )
    arrays = [_arguments.reals(f"{argument}[{i}]", value) for i, value in enumerate(given)]
    item = arrays[0].shape[1:]
    for i, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if array.shape != (length, *item):
            raise ShapeError(f"{argument}[{i}]: expected {(length, *item)}, got {array.shape}")
    dtype = np.result_type(*{array.dtype for array in arrays})
    padded = np.zeros((len(arrays), max(lengths), *item), dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
