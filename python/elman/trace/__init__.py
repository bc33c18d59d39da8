"""The parts of an `elman.Trace`, the result of `Network.trace`.

Data only: nothing here draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy

if TYPE_CHECKING:
    from elman.trace.explanation import Equation, Explanation
    from elman.trace.parts import LayerTrace, ReadoutTrace
    from elman.trace.record import Trace

__all__ = ["Equation", "Explanation", "LayerTrace", "ReadoutTrace", "Trace"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "explanation", "parts", "record")
