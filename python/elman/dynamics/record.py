"""What the results have in common: they become plain values for JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np


class Record:
    """A result with named parts."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the parts as lists and numbers for JSON.

        NaN and infinities become None, and a complex number a pair [real, imaginary].
        """
        parts = dataclasses.fields(self)  # type: ignore[arg-type]
        return {
            part.name: plain(getattr(self, part.name))
            for part in parts
            if not part.name.startswith("_")
        }


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value as lists, numbers, strings and None."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
