"""The parts of a trace: layers and the readout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["LayerTrace", "ReadoutTrace"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerTrace:
    """The numbers of one layer at every step, or of the forward half of a bidirectional layer.

    The sums `u`, `recurrent` and `a` are NaN at steps that are not real.

    Attributes
    ----------
    x : ndarray, shape (..., T, I)
        What the layer reads: the inputs after scaling, or the states of the layer below.
    u : ndarray, shape (..., T, H)
        u_t = W_xh x_t + b_h, rounded: the sum that `a` starts from.
    recurrent : ndarray, shape (..., T, H)
        W_hh h_(t-1) alone. It is computed apart, to be shown: the core adds its products to u_t one
        by one, so that `u + recurrent` may differ from `a` in the last digits.
    a : ndarray, shape (..., T, H)
        The sum before the activation, a_t = u_t + W_hh h_(t-1).
    h : ndarray, shape (..., T, H)
        h_t = f(a_t), where magnitudes below 2^-100 (float32) or 2^-900 (float64) become 0; at steps
        that are not real, the state that is held.
    h_before : ndarray, shape (..., T, H)
        h_(t-1), the state that step t starts from. For a reverse half h_(t+1).
    reverse : LayerTrace or None
        The reverse half of a bidirectional layer.
    """

    x: Array
    u: Array
    recurrent: Array
    a: Array
    h: Array
    h_before: Array
    reverse: LayerTrace | None = None

    def __repr__(self) -> str:
        both = "" if self.reverse is None else ", with a reverse half"
        return f"LayerTrace(x {self.x.shape}, h {self.h.shape}{both})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReadoutTrace:
    """The sums of the readout at every step.

    Attributes
    ----------
    a : ndarray, shape (..., T, O)
        The sum before the activation, a_t = W_hy h_t + b_y. At padding it is NaN, since its output
        is 0; at masked steps it is the sum behind the output: of the states that are held, or of
        zeros.
    """

    a: Array

    def __repr__(self) -> str:
        return f"ReadoutTrace(a {self.a.shape})"
