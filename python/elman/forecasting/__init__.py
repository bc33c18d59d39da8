"""Forecasting: a linear model as a start, the search for a correction, and the steps ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.forecasting.linear import linear_start

__all__ = ["linear_start"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "linear")
