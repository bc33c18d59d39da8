"""The parts of a trace: layers and the readout."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._parameters import core_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._parameters import Parameters

    Array = NDArray[Any]

__all__ = ["Half", "LayerTrace", "ReadoutTrace", "Source", "fixed"]


class Source(NamedTuple):
    """The network that ran, and how."""

    net: Parameters
    unreal: NDArray[np.bool_] | None  # which steps (..., T) are not real; None: all are
    kind: str  # what their outputs are: "padding", "hold" or "zero"
    threads: int

    def marked(self, sums: Array) -> Array:
        """Return sums as an array of the trace, with NaN at steps that are not real."""
        if self.unreal is not None:
            sums[self.unreal] = np.nan
        return fixed(sums)


class Half(NamedTuple):
    """The states of half a layer."""

    number: int  # from the bottom up, over all layers
    backwards: bool
    h: Array  # (..., T, H), after every step
    start: Array  # (..., H), before the first

    def before(self) -> Array:
        """Return the states from which the steps start."""
        h, start = self.h, self.start[..., None, :]
        before = np.empty_like(h)
        if self.backwards:
            before[..., -1:, :], before[..., :-1, :] = start, h[..., 1:, :]
        else:
            before[..., :1, :], before[..., 1:, :] = start, h[..., :-1, :]
        return fixed(before)


def fixed(array: Array) -> Array:
    """Return an array that can no longer be changed, since others are computed from it."""
    array.flags.writeable = False
    return array


class LayerTrace:
    """The numbers of one layer at every step, or of the forward half of a bidirectional layer.

    The core computes the sums when they are first asked for. They are NaN at steps that are not
    real. The arrays are read-only.

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

    def __init__(self, source: Source, half: Half, x: Array, reverse: LayerTrace | None) -> None:
        self.x = x
        self.h = half.h
        self.reverse = reverse
        self._source = source
        self._half = half

    @cached_property
    def _sums(self) -> tuple[Array, Array]:
        half, source = self._half, self._source
        core = core_of(source.net)
        u, a = core.half_sums(half.number, self.x, half.h, half.start, source.threads)
        return source.marked(u), source.marked(a)

    @cached_property
    def u(self) -> Array:
        """u_t = W_xh x_t + b_h."""
        return self._sums[0]

    @cached_property
    def a(self) -> Array:
        """a_t = u_t + W_hh h_(t-1)."""
        return self._sums[1]

    @cached_property
    def recurrent(self) -> Array:
        """W_hh h_(t-1) alone."""
        half, source = self._half, self._source
        sums = core_of(source.net).recurrent_sums(half.number, half.h, half.start)
        return source.marked(sums)

    @cached_property
    def h_before(self) -> Array:
        """h_(t-1)."""
        return self._half.before()

    def __repr__(self) -> str:
        both = "" if self.reverse is None else ", with a reverse half"
        return f"LayerTrace(x {self.x.shape}, h {self.h.shape}{both})"


class ReadoutTrace:
    """The sums of the readout at every step, computed when they are first asked for.

    Attributes
    ----------
    a : ndarray, shape (..., T, O)
        The sum before the activation, a_t = W_hy h_t + b_y. At padding it is NaN, since its output
        is 0; at masked steps it is the sum behind the output: of the states that are held, or of
        zeros.
    """

    def __init__(self, source: Source, top: Array) -> None:
        self._source = source
        self._top = top

    @cached_property
    def a(self) -> Array:
        """a_t = W_hy h_t + b_y."""
        source, top = self._source, self._top
        if source.kind == "zero" and source.unreal is not None:
            top = np.where(source.unreal[..., None], top.dtype.type(0), top)
        sums = core_of(source.net).readout_sums(top, source.threads)
        return source.marked(sums) if source.kind == "padding" else fixed(sums)

    def __repr__(self) -> str:
        assert self._source.net.readout is not None
        return f"ReadoutTrace(a {(*self._top.shape[:-1], len(self._source.net.readout.W_hy))})"
