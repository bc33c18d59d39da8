"""The parts of an `elman.Trace`, the result of `Network.trace`.

Data only: nothing here draws.
"""

from elman.trace.explanation import Equation, Explanation
from elman.trace.parts import LayerTrace, ReadoutTrace
from elman.trace.record import Trace
from elman.trace.recording import record

__all__ = ["Equation", "Explanation", "LayerTrace", "ReadoutTrace", "Trace", "record"]
