"""Weights as matrices, and eigenvalues in the complex plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _structure
from elman._interrupt import interruptible
from elman._network import Network, require_network
from elman.dynamics import FixedPoints
from elman.errors import ArgumentError, ArgumentTypeError, ShapeError
from elman.views.structure import halves_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman._parameters import Layer
    from elman._typing import Array
    from elman.views.export import View

__all__ = ["eigenvalues", "weights"]


def weights(net: Network) -> View:
    """Return the weights of a network as matrices: the data of `elman.plot.weights`.

    Parameters
    ----------
    net : Network

    Returns
    -------
    dict
        `rows`, from the bottom up: one for each half of a layer, and the readout. A row has a
        `name` and `matrices`, each with the `name` of its tensor, its `label` in LaTeX, and its
        `values` (biases as one column); `limit` is the largest absolute value of all.

    Examples
    --------
    >>> import elman
    >>> view = elman.views.weights(elman.Network(16, 32, 4, seed=0))
    >>> [[matrix["values"].shape for matrix in row["matrices"]] for row in view["rows"]]
    [[(32, 16), (32, 32), (32, 1)], [(4, 32), (4, 1)]]
    """
    require_network(net)
    tensors = net.tensors()
    rows = []
    for number, layer in enumerate(net.layers):
        prefixes = _structure.prefixes(number, layer.direction)
        for prefix, (_, direction) in zip(prefixes, halves_of(layer), strict=True):
            half = f" {direction}" if len(prefixes) == 2 else ""
            rows.append(_row(f"layer {number}{half}", prefix, _structure.WEIGHTS, tensors))
    if net.readout is not None:
        rows.append(_row("readout", "readout.", ("W_hy", "b_y"), tensors))
    values = [matrix["values"] for row in rows for matrix in row["matrices"]]
    return {
        "kind": "weights",
        "rows": rows,
        "limit": max(float(np.abs(matrix).max(initial=0.0)) for matrix in values),
    }


def _row(name: str, prefix: str, letters: Iterable[str], tensors: dict[str, Array]) -> View:
    matrices = []
    for letter in letters:
        values = tensors.get(prefix + letter)
        if values is not None:
            symbol, _, index = letter.partition("_")
            matrices.append(
                {
                    "name": prefix + letter,
                    "label": f"{symbol}_{{{index}}}",
                    "values": values if values.ndim == 2 else values[:, np.newaxis],
                }
            )
    return {"name": name, "matrices": matrices}


def eigenvalues(thing: Network | Any) -> View:  # noqa: ANN401
    """Return eigenvalues in the complex plane: the data of `elman.plot.eigenvalues`.

    Parameters
    ----------
    thing : Network, FixedPoint, FixedPoints, or array_like, shape (N, N)
        A network: the eigenvalues of each W_hh. Fixed points of `elman.dynamics`: those of the
        Jacobian at each. A matrix: its own.

    Returns
    -------
    dict
        `sets`, each with its `name`, its `values` (complex, the largest first) and its spectral
        `radius`; `of` says in LaTeX what they are the eigenvalues of.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If there are no eigenvalues of such a thing.

    Examples
    --------
    >>> import elman
    >>> view = elman.views.eigenvalues([[0.0, -0.5], [0.5, 0.0]])
    >>> round(view["sets"][0]["radius"], 6)
    0.5
    """
    if isinstance(thing, Network):
        sets = [
            _set(name, interruptible(np.linalg.eigvals, _finite(name, half.W_hh)))
            for name, half in _recurrent(thing)
        ]
        return {"kind": "eigenvalues", "of": "W_{hh}", "sets": sets}
    if hasattr(thing, "eigenvalues"):
        return {"kind": "eigenvalues", "of": "J", "sets": [_set("fixed point", thing.eigenvalues)]}
    if isinstance(thing, FixedPoints) and not len(thing):
        raise ArgumentError("thing: expected at least one fixed point, got none")
    points = list(thing) if isinstance(thing, Sequence) and not isinstance(thing, str) else []
    if points and all(hasattr(point, "eigenvalues") for point in points):
        sets = [_set(f"fixed point {i}", point.eigenvalues) for i, point in enumerate(points)]
        return {"kind": "eigenvalues", "of": "J", "sets": sets}
    values = interruptible(np.linalg.eigvals, _square(thing))
    return {"kind": "eigenvalues", "of": "A", "sets": [_set("", values)]}


def _recurrent(net: Network) -> Iterable[tuple[str, Layer]]:
    for number, layer in enumerate(net.layers):
        for half, direction in halves_of(layer):
            yield f"layer {number}" + (f" {direction}" if layer.reverse is not None else ""), half


def _square(thing: object) -> Array:
    try:
        matrix = np.asarray(thing)
        matrix = matrix.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            "thing: expected a Network, fixed points or a square matrix, got"
            f" {type(thing).__name__}"
        ) from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ShapeError(f"thing: expected a square matrix (N, N), got {matrix.shape}")
    return _finite("thing", matrix)


def _finite(what: str, matrix: Array) -> Array:
    """Return a matrix in float64, or complex, whose elements are finite."""
    if not np.isfinite(matrix).all():
        raise ArgumentError(f"{what}: expected finite numbers, got NaN or infinities")
    return matrix if matrix.dtype.kind == "c" else matrix.astype(np.float64)


def _set(name: str, values: Array) -> View:
    values = np.asarray(values, dtype=np.complex128)
    values = values[np.lexsort((-values.imag, -values.real, -np.abs(values)))]
    return {"name": name, "values": values, "radius": float(np.abs(values).max(initial=0.0))}
