"""Views as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from elman.errors import ArgumentTypeError

__all__ = ["to_json"]

View = dict[str, Any]


def to_json(view: View) -> str:
    """Return a view as JSON.

    Arrays become nested lists, complex numbers pairs [real, imaginary], dates text in ISO 8601, and
    NaN and infinities, which JSON does not have, null.

    Parameters
    ----------
    view : dict
        The result of a function of `elman.views`.

    Returns
    -------
    str
        One line.

    Raises
    ------
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=1, hidden_size=1, output_size=None, seed=0)
    >>> elman.views.to_json(elman.views.unrolled(net, 1))[:41]
    '{"kind": "unrolled", "mode": "many-to-man'
    """
    if not isinstance(view, dict):
        raise ArgumentTypeError(
            f"view: expected the result of a function of elman.views, got {type(view).__name__}"
        )
    return json.dumps(_plain(view))


def _plain(value: object) -> object:
    """Return a value made of what JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain((value.astype(str) if value.dtype.kind == "M" else value).tolist())
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
