"""Conversion of `X` to one padded array, and of targets of steps to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_array

from elman import _arguments
from elman.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.base import BaseEstimator

    Array = NDArray[Any]

FLOATS = (np.float64, np.float32)
KINDS = "an array (n, T) or (n, T, I), or a list of sequences"


class Panel(NamedTuple):
    """Sequences: values (n, T, I), and lengths (n,) if given as a list."""

    values: Array
    lengths: Array | None
    table: bool = False  # given as a table (n, T): one feature, a column for each step

    @property
    def counts(self) -> Array:
        """The number of real steps of each sequence, (n,)."""
        n, T, _ = self.values.shape
        return np.full(n, T) if self.lengths is None else self.lengths

    @property
    def mask(self) -> Array:
        """Which steps are real, (n, T)."""
        mask: Array = np.arange(self.values.shape[1]) < self.counts[:, np.newaxis]
        return mask

    def steps(self) -> Array:
        """Return the rows of all real steps, (sum of T_i, I)."""
        return self.values[self.mask]

    def take(self, chosen: Array) -> Panel:
        """Select sequences."""
        lengths = None if self.lengths is None else self.lengths[chosen]
        return self._replace(values=self.values[chosen], lengths=lengths)

    def spread(self, rows: Array) -> Array:
        """Return rows of all real steps as (n, T, ...), padded with zeros."""
        mask = self.mask
        spread = np.zeros((*mask.shape, *rows.shape[1:]), rows.dtype)
        spread[mask] = rows
        return spread

    def unpad(self, outputs: Array) -> Array | list[Array]:
        """Return outputs (n, T, ...), as a list if the sequences were given as one."""
        if self.lengths is None:
            return outputs
        return [row[:length] for row, length in zip(outputs, self.lengths.tolist(), strict=True)]


def read(X: ArrayLike, estimator: BaseEstimator) -> Panel:
    """Check and return sequences; errors name the estimator."""
    X = _regular(X)
    if isinstance(X, list):
        return _of_list(X, estimator)
    if hasattr(X, "columns"):
        _require_columns_of_steps(X)
    table = getattr(X, "ndim", 2) <= 2
    try:
        values = check_array(
            X, dtype=FLOATS, allow_nd=not table, input_name="X", estimator=estimator
        )
    except ValueError:
        _require_no_padding(X)
        raise
    if table:
        return Panel(values[:, :, np.newaxis], None, table)
    if values.ndim != 3 or 0 in values.shape:
        raise ShapeError(f"X: expected {KINDS}, none of them empty, got {values.shape}")
    return Panel(values, None)


def _regular(X: ArrayLike) -> Any:  # noqa: ANN401
    """Return separate sequences as a list, and nested lists of numbers as an array.

    A list of arrays is a list of sequences even if they happen to be of equal length.
    """
    if _of_objects(X) and X.ndim == 1:  # type: ignore[union-attr]  # also a Series of pandas
        return list(X)  # type: ignore[arg-type]
    if not isinstance(X, list | tuple):
        return X
    if not any(hasattr(sequence, "__array__") for sequence in X):
        try:
            return np.asarray(X) if len(X) else []
        except ValueError:  # of different lengths
            pass
    return list(X)


def _require_columns_of_steps(X: Any) -> None:  # noqa: ANN401
    """Raise for data frames whose columns are features, or whose cells are sequences.

    A column of a table is a step. Names without a digit, such as "temperature" and "load", are
    taken for those of features.
    """
    if getattr(getattr(X, "index", None), "nlevels", 1) > 1:
        raise ArgumentError(
            "X: expected a data frame with a row for each sequence, got one with a MultiIndex:"
            " pass a list of sequences, [part.to_numpy() for _, part in X.groupby(level=0)]"
        )
    names = list(getattr(X, "column_names", X.columns))
    if not names:
        return
    first = X[names[0]]
    if len(first) and np.ndim(next(iter(first))) > 0:
        raise ArgumentError(
            "X: expected a data frame of numbers, got one with sequences in its cells: pass a list"
            " of sequences, [np.column_stack(list(row)) for row in X.to_numpy()]"
        )
    if all(isinstance(name, str) and not any(map(str.isdigit, name)) for name in names):
        shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
        raise ArgumentError(
            f"X: expected a column for each step of one feature, such as 'lag 1', got {shown},"
            " which look like features: pass a list of sequences, [X.to_numpy()] if the rows are"
            " steps of one series (with outputs='all' for a target at each), or X.to_numpy() if the"
            " columns are steps"
        )


def _require_no_padding(X: ArrayLike) -> None:
    """Raise for NaN in the last steps of sequences, where shorter ones are padded."""
    values = np.asarray(X)
    if values.dtype.kind != "f" or values.ndim not in (2, 3):
        return
    missing = np.isnan(values) if values.ndim == 2 else np.isnan(values).all(axis=2)
    real = np.where(missing, 0, np.arange(1, missing.shape[1] + 1)).max(axis=1, initial=0)
    inside = missing & (np.arange(missing.shape[1]) < real[:, np.newaxis])
    padded = np.flatnonzero(missing.any(axis=1) & (real > 0))
    if len(padded) and not inside.any():
        raise ArgumentError(
            f"X: expected finite numbers, got NaN after step {real[padded[0]] - 1} of sequence"
            f" {padded[0]} (Input X contains NaN): pass sequences of different lengths as a list,"
            f" [X[{padded[0]}][:{real[padded[0]]}], ...]"
        )


def _of_objects(values: object) -> bool:
    return getattr(getattr(values, "dtype", None), "kind", None) == "O"


def _of_list(X: list[ArrayLike], estimator: BaseEstimator) -> Panel:
    """Read sequences (T_i, I) or (T_i,)."""
    if len(X) == 0:
        raise ArgumentError("X: expected at least one sequence, got none")
    sequences = [_sequence(f"X[{i}]", sequence) for i, sequence in enumerate(X)]
    I = sequences[0].shape[1]
    for i, sequence in enumerate(sequences):
        if sequence.shape[1] != I:
            raise ShapeError(f"X[{i}]: expected (T, {I}), as in X[0], got {sequence.shape}")
    lengths = np.array([len(sequence) for sequence in sequences])
    steps = check_array(
        np.concatenate(sequences), dtype=FLOATS, input_name="X", estimator=estimator
    )
    empty = Panel(np.empty((len(lengths), lengths.max(), 0)), lengths)
    return Panel(empty.spread(steps), lengths)


def _sequence(argument: str, values: ArrayLike) -> Array:
    array = _arguments.array(argument, values)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or 0 in array.shape:
        raise ShapeError(f"{argument}: expected (T, I) or (T,), T at least 1, got {array.shape}")
    return array


def require_a_target_per_sequence(panel: Panel, y: Any, *, several: bool) -> None:  # noqa: ANN401
    """Raise if y has a target for every step; with `several`, a sequence may have O targets."""
    listed = isinstance(y, list | tuple) or _of_objects(y)
    array = y if listed else np.asarray(y)
    if not (np.ndim(next(iter(y), 0)) if listed else array.ndim > 1):
        return
    shapes = [np.shape(row) for row in array]
    counts = panel.counts.tolist()
    of_steps = max(counts) > 1 and [shape[:1] for shape in shapes] == [(T,) for T in counts]
    meant = not several or len(counts) == 1 or (listed and panel.lengths is not None)
    if any(len(shape) > 1 for shape in shapes) or (of_steps and meant):
        got = f"{len(shapes)} of {shapes[0]}" if listed else f"{array.shape}"
        arrays = ", or pass np.stack(y) for several of a sequence" if several and listed else ""
        raise ShapeError(
            f"y: expected {'(n,) or (n, O)' if several else '(n,)'} with outputs='last', a target"
            f" for each of n = {len(counts)} sequences, got {got}: set outputs='all' for a target"
            f" at every step{arrays}"
        )


def targets_of_steps(panel: Panel, y: ArrayLike) -> Array:
    """Return targets (n, T, ...) or a list as rows of all real steps, (sum of T_i, ...)."""
    n, T, _ = panel.values.shape
    if panel.lengths is None:
        array = _arguments.array("y", y)
        if array.shape[:2] != (n, T):
            series = ": pass one series as [X] and [y]" if array.shape[:1] == (n,) else ""
            raise ShapeError(
                f"y: expected {(n, T)}, one target per step with outputs='all', got"
                f" {array.shape}{series}"
            )
        return array.reshape(n * T, *array.shape[2:])
    listed = _arguments.listed("y", y, "a list of arrays")  # type: ignore[arg-type]
    if len(listed) != n:
        raise ShapeError(f"y: expected {n} arrays, one for each sequence in X, got {len(listed)}")
    arrays = [_arguments.array(f"y[{i}]", values) for i, values in enumerate(listed)]
    for i, (array, length) in enumerate(zip(arrays, panel.lengths.tolist(), strict=True)):
        if array.shape[:1] != (length,) or array.shape[1:] != arrays[0].shape[1:]:
            expected = (length, *arrays[0].shape[1:])
            raise ShapeError(f"y[{i}]: expected {expected}, got {array.shape}")
    return np.concatenate(arrays)
