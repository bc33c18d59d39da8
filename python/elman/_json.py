"""Results as values that JSON has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def for_json(value: Any) -> Any:  # noqa: ANN401
    """Return a value made of dictionaries, lists, numbers, strings, booleans and None.

    NaN and infinities become None, a complex number a pair [real, imaginary], dates text in ISO
    8601, and a result what its `to_dict` returns.
    """
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(key): for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _numbers(value)
    if isinstance(value, complex):
        return [for_json(value.real), for_json(value.imag)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _numbers(value: Any) -> Any:  # noqa: ANN401
    """Return an array or a scalar of NumPy; large arrays are converted whole."""
    if value.dtype.kind in "biu" or (value.dtype.kind == "f" and np.isfinite(value).all()):
        return value.tolist()
    return for_json((value.astype(str) if value.dtype.kind == "M" else value).tolist())
