"""The parts of a trace: layers and the readout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman._parameters import core_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._parameters import Parameters

    Array = NDArray[Any]

__all__ = ["Half", "LayerTrace", "ReadoutTrace"]


class Half:
    """Half a layer of a run: its place in the network, and its states."""

    __slots__ = ("backwards", "h", "index", "net", "start", "unreal")

    def __init__(
        self,
        net: Parameters,
        index: int,
        backwards: bool,
        h: Array,
        start: Array,
        unreal: NDArray[np.bool_] | None,
    ) -> None:
        self.net = net
        self.index = index  # from the bottom up
        self.backwards = backwards
        self.h = h  # (..., T, H), after every step
        self.start = start  # (..., H), before the first
        self.unreal = unreal  # (..., T); None: all steps are real

    def sums(self, x: Array, threads: int) -> tuple[Array, Array]:
        """Return u and a (..., T, H)."""
        core = core_of(self.net)
        u, a = core.half_sums(self.index, x, self.h, self.start, threads=threads)
        return self._marked(u), self._marked(a)

    def recurrent(self) -> Array:
        """Return W_hh h_(t-1) alone."""
        return self._marked(core_of(self.net).recurrent_sums(self.index, self.h, self.start))

    def before(self) -> Array:
        """Return the states from which the steps start."""
        h, start = self.h, self.start[..., None, :]
        before = np.empty_like(h)
        if self.backwards:
            before[..., -1:, :], before[..., :-1, :] = start, h[..., 1:, :]
        else:
            before[..., :1, :], before[..., 1:, :] = start, h[..., :-1, :]
        return before

    def _marked(self, sums: Array) -> Array:
        """Return sums with NaN at steps that are not real."""
        if self.unreal is not None:
            sums[self.unreal] = np.nan
        return sums


class LayerTrace:
    """The numbers of one layer at every step, or of the forward half of a bidirectional layer.

    The sums `u`, `recurrent` and `a` are NaN at steps that are not real.

    Attributes
    ----------
    x : ndarray, shape (..., T, I)
        What the layer reads: the inputs after scaling, or the states of the layer below.
    u : ndarray, shape (..., T, H)
        u_t = W_xh x_t + b_h, rounded: the sum that `a` starts from.
    a : ndarray, shape (..., T, H)
        The sum before the activation, a_t = u_t + W_hh h_(t-1).
    h : ndarray, shape (..., T, H)
        h_t = f(a_t), where magnitudes below 2^-100 (float32) or 2^-900 (float64) become 0; at steps
        that are not real, the state that is held.
    reverse : LayerTrace or None
        The reverse half of a bidirectional layer.
    """

    __slots__ = ("_before", "_half", "_recurrent", "a", "h", "reverse", "u", "x")

    def __init__(self, half: Half, x: Array, reverse: LayerTrace | None, threads: int) -> None:
        self.x = x
        self.h = half.h
        self.u, self.a = half.sums(x, threads)
        self.reverse = reverse
        self._half = half
        self._before: Array | None = None
        self._recurrent: Array | None = None

    @property
    def h_before(self) -> Array:
        """h_(t-1), the state that step t starts from, (..., T, H); of a reverse half h_(t+1)."""
        if self._before is None:
            self._before = self._half.before()
        return self._before

    @property
    def recurrent(self) -> Array:
        """W_hh h_(t-1) alone, (..., T, H), computed apart when it is asked for.

        The core adds its products to u_t one by one, so that `u + recurrent` may differ from `a` in
        the last digits.
        """
        if self._recurrent is None:
            self._recurrent = self._half.recurrent()
        return self._recurrent

    def __repr__(self) -> str:
        both = "" if self.reverse is None else ", with a reverse half"
        return f"LayerTrace(x {self.x.shape}, h {self.h.shape}{both})"


class ReadoutTrace:
    """The sums of the readout at every step.

    Attributes
    ----------
    a : ndarray, shape (..., T, O)
        The sum before the activation, a_t = W_hy h_t + b_y. At padding it is NaN, since its output
        is 0; at masked steps it is the sum behind the output: of the states that are held, or of
        zeros.
    """

    __slots__ = ("a",)

    def __init__(self, a: Array) -> None:
        self.a = a

    def __repr__(self) -> str:
        return f"ReadoutTrace(a {self.a.shape})"
