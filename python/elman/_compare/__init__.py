"""Comparison of a network with its source model, run by the model's own framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman._compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "comparison")
