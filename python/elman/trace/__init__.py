"""`Network.trace`: every number of a run, and the equations with these numbers in them.

`recording` computes a `record.Trace` of a run from the core's sums; `parts` are its layers and its
readout. `equations` writes an `explanation.Explanation` from the sums of `writing`; `tables` has the
columns of a data frame and the values for JSON. Nothing here draws.
"""

from elman.trace.explanation import Equation, Explanation
from elman.trace.parts import LayerTrace, ReadoutTrace
from elman.trace.record import Trace
from elman.trace.recording import record

__all__ = ["Equation", "Explanation", "LayerTrace", "ReadoutTrace", "Trace", "record"]
