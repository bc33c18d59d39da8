"""What a network does on data: states by time, aligned sequences, and trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments
from elman._interrupt import interruptible, product
from elman._text import show
from elman.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman._table import Table
    from elman._typing import Array
    from elman.trace import Trace
    from elman.views.export import View

__all__ = ["ORDERS", "sequence", "states", "trajectory"]

ORDERS = ("similarity", "peak", "given")


def states(trace: Trace, *, sequence: int = 0, order: str = "similarity") -> View:
    """Return the states of one sequence, units by time: the data of `elman.plot.states`.

    Parameters
    ----------
    trace : Trace
        The result of `net.trace(x)`.
    sequence : int
        The index of the sequence, counted over all batch axes.
    order : {"similarity", "peak", "given"}
        The order of the units of each layer. "similarity": by angle in the plane of the first two
        eigenvectors of their correlations (M. Friendly, "Corrgrams", The American Statistician 56,
        2002), so that units that rise and fall together are neighbours. "peak": by the step of the
        largest value. "given": as in the network.

    Returns
    -------
    dict
        `steps` (T,), and `panels`, from the bottom up, one for each half of a layer: its `name`,
        its `values` (H, T) in that order, NaN at masked steps; `units` (H,), the index of the unit
        in each row; and `limits`, the ends of a scale of colours, symmetric about 0 if there are
        negative values.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(1, 8, 1, seed=0)
    >>> view = elman.views.states(net.trace(np.ones((5, 1))), order="given")
    >>> view["panels"][0]["values"].shape
    (8, 5)
    """
    _require_trace(trace)
    _arguments.require_one_of("order", order, ORDERS)
    panels: list[View] = []
    for name, half, row in _halves(trace, sequence):
        values = _rows(trace, half.h, row).T
        values = np.where(_rows(trace, trace.real, row), values, np.nan)
        units = _ordered(values, order)
        ends = limits(values)
        panels.append({"name": name, "values": values[units], "units": units, "limits": ends})
    T = panels[0]["values"].shape[1]
    if not T:
        raise ArgumentError(
            f"trace: expected at least one real step of sequence {sequence}, got none"
        )
    return {"kind": "states", "sequence": sequence, "steps": np.arange(T), "panels": panels}


def sequence(trace: Trace, *, sequence: int = 0, order: str = "similarity") -> View:
    """Return inputs, states and outputs of one sequence: the data of `elman.plot.sequence`.

    Parameters
    ----------
    trace, sequence, order
        As for `states`.

    Returns
    -------
    dict
        `steps` (T,); `x` (T, I) and `y` (T, O), which is None without a readout; `inputs` and
        `outputs`, the names of their columns, from the network's table if it has one; and `panels`
        as in `states`.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman
    >>> view = elman.views.sequence(elman.Network(1, 8, 2, seed=0).trace(np.ones((5, 1))))
    >>> view["inputs"], view["y"].shape
    (['x'], (5, 2))
    """
    view = states(trace, sequence=sequence, order=order)
    net = trace.network
    row = _row_of(trace, sequence)
    x, y = (_rows(trace, values, row) for values in (trace.x, trace.y))
    inputs, outputs = _columns(net.table)
    return {
        **view,
        "kind": "sequence",
        "x": x,
        "y": None if trace.readout is None else y,
        "inputs": inputs or _letters("x", net.input_size),
        "outputs": outputs or _letters("y", net.output_size),
    }


@np.errstate(all="ignore")  # states that are not finite have no place
def trajectory(trace: Trace, *, fixed_points: Iterable[Any] = (), components: int = 2) -> View:
    """Return the states on their principal components: the data of `elman.plot.trajectory`.

    The state of all layers, over all steps of all sequences, is projected on the directions of
    largest variance. Masked steps and states that are not finite do not count.

    Parameters
    ----------
    trace : Trace
        The result of `net.trace(x)`.
    fixed_points : iterable of FixedPoint
        Fixed points of `elman.dynamics`, to project with the states.
    components : int
        The number of components, at most the number of units.

    Returns
    -------
    dict
        `paths`, an array (T, k) for each sequence; `components` (k, S), `mean` (S,) and `variance`
        (k,), the fraction of the variance along each component; and `fixed_points` (F, k) with
        `stable` (F,). The sign of a component makes its largest weight positive.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(1, 8, 1, seed=0)
    >>> view = elman.views.trajectory(net.trace(np.random.default_rng(0).random((3, 20, 1))))
    >>> len(view["paths"]), view["paths"][0].shape, view["components"].shape
    (3, (20, 2), (2, 8))
    """
    _require_trace(trace)
    count = _arguments.size("components", components)
    rows = range(_row_of(trace, -1) + 1)
    paths = [_rows(trace, trace.hidden, row) for row in rows]
    real = [_rows(trace, trace.real, row) for row in rows]
    every = np.concatenate([path[steps] for path, steps in zip(paths, real, strict=True)])
    every = every[np.isfinite(every).all(axis=1)].astype(np.float64)
    if not len(every):
        raise ArgumentError("trace: expected at least one real step with finite states, got none")
    mean, directions, variance = _principal(every, min(count, every.shape[1]))
    points = _points(fixed_points, every.shape[1])
    at = np.array([point.state for point in points]).reshape(len(points), every.shape[1])
    return {
        "kind": "trajectory",
        "paths": [(path - mean) @ directions.T for path in paths],
        "components": directions,
        "mean": mean,
        "variance": variance,
        "fixed_points": (at - mean) @ directions.T,
        "stable": np.array([bool(point.stable) for point in points], dtype=bool),
    }


def _points(fixed_points: Iterable[Any], size: int) -> list[Any]:
    """Return fixed points of a state of this size."""
    try:
        points = list(fixed_points)
    except TypeError:  # one thing, to be named below
        points = [fixed_points]
    for point in points:
        if not hasattr(point, "state") or not hasattr(point, "stable"):
            raise ArgumentTypeError(
                "fixed_points: expected the result of elman.dynamics.fixed_points, got"
                f" {type(point).__name__}"
            )
        if np.shape(point.state) != (size,):
            raise ShapeError(
                f"fixed_points: expected states {(size,)} like those of the trace, got"
                f" {np.shape(point.state)}"
            )
    return points


def _principal(values: Array, count: int) -> tuple[Array, Array, Array]:
    """Return the mean, the principal components (count, S) and their fractions of the variance."""
    size = float(np.abs(values).max()) or 1.0  # so that no square overflows
    centred = values / size
    mean = centred.mean(axis=0)
    centred -= mean
    squares = product(centred.T, centred)
    variances, vectors = interruptible(np.linalg.eigh, squares / len(values))
    variances = np.maximum(variances[::-1], 0.0)
    directions = vectors.T[::-1][:count]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.where(directions[np.arange(count), largest] < 0, -1.0, 1.0)
    total = variances.sum()
    fractions = variances[:count] / total if total > 0 else np.zeros(count)
    return mean * size, directions * signs[:, np.newaxis], fractions


def limits(values: Array) -> tuple[float, float]:
    """Return the ends of a scale of colours: symmetric about 0 if there are negative values."""
    known = values[np.isfinite(values)]
    size = float(np.abs(known).max(initial=0.0)) or 1.0
    return (-size if (known < 0).any() else 0.0), size


# --- the parts of a trace -------------------------------------------------------------------------


def _require_trace(trace: object) -> None:
    if not hasattr(trace, "layers") or not hasattr(trace, "network"):
        raise ArgumentTypeError(
            f"trace: expected the result of net.trace(x), got {type(trace).__name__}"
        )


def _count(trace: Trace) -> int:
    """Return the number of sequences."""
    return int(np.prod(trace.x.shape[:-2], dtype=int))


def _halves(trace: Trace, sequence: int) -> list[tuple[str, Any, int]]:
    """Return name and trace of each half of a layer, and the valid index of the sequence."""
    row = _row_of(trace, sequence)
    found = []
    for number, layer in enumerate(trace.layers):
        if layer.reverse is None:
            found.append((f"layer {number}", layer, row))
        else:
            found.append((f"layer {number} forward", layer, row))
            found.append((f"layer {number} reverse", layer.reverse, row))
    return found


def values_by_name(trace: Trace, sequence: int) -> dict[str, Array]:
    """Return inputs "x", states "layer 0" ... and outputs "y" of one sequence, each (T, N)."""
    row = _row_of(trace, sequence)
    states = {name: _rows(trace, half.h, row) for name, half, _ in _halves(trace, sequence)}
    return {"x": _rows(trace, trace.x, row), **states, "y": _rows(trace, trace.y, row)}


def _row_of(trace: Trace, sequence: int) -> int:
    count = _count(trace)
    if not count:
        raise ArgumentError("trace: expected at least one sequence, got none")
    row = _arguments.integer("sequence", sequence)
    if not -count <= row < count:
        raise ArgumentError(f"sequence: expected {-count} to {count - 1}, got {show(row)}")
    return row % count


def _rows(trace: Trace, values: Array, row: int) -> Array:
    """Return the steps (T, ...) of a sequence without its padding, from an array (..., T, N)."""
    batch = trace.real.shape[:-1]
    at = np.unravel_index(row, batch) if batch else ()
    one: Array = values[at]
    real = np.flatnonzero(trace.real[at])
    return one[: real[-1] + 1] if len(real) else one[:0]


def _columns(table: Table | None) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs in a table."""
    return ([], []) if table is None else (list(table.inputs), list(table.output_names))


def _letters(letter: str, count: int) -> list[str]:
    return [letter] if count == 1 else [f"{letter}[{i}]" for i in range(count)]


# --- the order of units ---------------------------------------------------------------------------


def _ordered(values: Array, order: str) -> Array:
    """Return the order of units, from their values (H, T)."""
    known = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
    if order == "given" or not known.shape[1]:
        return np.arange(len(values))
    if order == "peak":
        return np.lexsort((-known.max(axis=1), known.argmax(axis=1)))
    return _similar(known)


def _similar(values: Array) -> Array:
    """Return units by angle in the first two eigenvectors of their correlations.

    The circle is cut at its widest gap. Constant units, which have no correlations, come last, by
    value.
    """
    values = values / (np.abs(values).max(initial=0.0) or 1.0)  # so that no square overflows
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    moving = np.flatnonzero(size > 1e-9 * np.abs(values).max(initial=1e-300) * values.shape[1])
    still = np.setdiff1d(np.arange(len(values)), moving)
    still = still[np.argsort(-values[still].mean(axis=1), kind="stable")]
    if len(moving) < 3:
        return np.concatenate([moving, still])
    scaled = centred[moving] / size[moving, np.newaxis]
    _, vectors = interruptible(np.linalg.eigh, product(scaled, scaled.T))
    plane = (
        vectors[:, :-3:-1]
        * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(len(moving))])[:-3:-1]
    )
    angles = np.arctan2(plane[:, 1], plane[:, 0])
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order], append=angles[order[0]] + 2 * np.pi)
    order = np.roll(order, -1 - int(gaps.argmax()))
    return np.concatenate([moving[order], still])
