"""From a run to its trace: the sums that the core computed and did not keep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments, _structure
from elman._parameters import core_of
from elman.reference.forward import (
    halves_of,
    masked_of,
    real_steps,
    scale_inputs,
    sizes_of_layers,
)
from elman.trace.parts import LayerTrace, ReadoutTrace
from elman.trace.record import Trace

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._core import Network as Core
    from elman._parameters import Layer, Parameters
    from elman._run import Run

    Array = NDArray[Any]


@np.errstate(all="ignore")  # NaN and infinities in data propagate without a warning
def record(
    net: Parameters,
    x: ArrayLike,
    run: Run,
    state: ArrayLike | None,
    lengths: ArrayLike | None,
    mask: ArrayLike | None,
    masked: str | None,
    threads: int,
) -> Trace:
    """Return the trace of a run with these arguments, which has the states of all steps.

    A sum has the same bits in a batch as alone (D3) and depends on nothing but what it adds. So the
    sums of all steps are computed from the states that the run returned.
    """
    assert run.hidden is not None
    x = np.array(_arguments.array("x", x), net.dtype)
    *batch, T, _ = x.shape
    start = _start_state(net, state, batch)
    real = real_steps(lengths, mask, batch, T)
    kind = masked_of(net, mask, masked)
    sums = _Sums(core_of(net), None if lengths is None and mask is None else ~real, threads)
    below = scale_inputs(net, x)
    outputs = _structure.split(run.hidden, sizes_of_layers(net))
    states = zip(net.split_state(run.hidden), net.split_state(start), strict=True)
    layers = []
    for i, layer in enumerate(net.layers):
        prefixes = _structure.prefixes(i, layer.direction)
        first, *reverse = [
            sums.half(prefix, backwards, below, *next(states))
            for prefix, (_, backwards) in zip(prefixes, halves_of(layer), strict=True)
        ]
        layers.append(replace(first, reverse=reverse[0]) if reverse else first)
        below = next(outputs)
    return Trace(
        network=net,
        x=x,
        layers=tuple(layers),
        readout=None if net.readout is None else sums.readout(below, kind),
        y=run.output,
        hidden=run.hidden,
        state=run.state,
        initial_state=start,
        lengths=None if lengths is None else real.sum(axis=-1),
        real=real,
        kind=kind,
    )


def _start_state(net: Parameters, state: ArrayLike | None, batch: list[int]) -> Array:
    """Return the states (*batch, state_size) before the first step."""
    if state is None:
        state = 0.0 if net.initial_state is None else net.initial_state
    given = np.asarray(_arguments.array("state", state), net.dtype)
    return np.broadcast_to(given, (*batch, net.state_size)).copy()


class _Sums:
    """The sums of a run in the core, NaN at steps that are not real."""

    def __init__(self, core: Core, unreal: NDArray[np.bool_] | None, threads: int) -> None:
        self.core = core
        self.unreal = unreal  # (..., T); None: there are none
        self.threads = threads

    def half(self, prefix: str, backwards: bool, x: Array, h: Array, start: Array) -> LayerTrace:
        """Return the numbers of half a layer, from its inputs and its states."""
        before = np.empty_like(h)
        if backwards:
            before[..., -1:, :] = start[..., None, :]
            before[..., :-1, :] = h[..., 1:, :]
        else:
            before[..., :1, :] = start[..., None, :]
            before[..., 1:, :] = h[..., :-1, :]
        u = self._of(f"{prefix}W_xh", x)
        a = self._of(f"{prefix}W_hh", before, u)
        recurrent = self._of(f"{prefix}W_hh", before)
        for sums in (u, a, recurrent):
            self._mark(sums)
        return LayerTrace(x, u, recurrent, a, h, before)

    def readout(self, top: Array, kind: str) -> ReadoutTrace:
        """Return the sums of the readout; `kind` says what steps that are not real are."""
        if kind == "zero" and self.unreal is not None:
            top = np.where(self.unreal[..., None], top.dtype.type(0), top)
        a = self._of(_structure.W_HY, top)
        if kind == "padding":
            self._mark(a)
        return ReadoutTrace(a)

    def _of(self, matrix: str, x: Array, start: Array | None = None) -> Array:
        return self.core.sums(matrix, start, x, self.threads)

    def _mark(self, sums: Array) -> None:
        if self.unreal is not None:
            sums[self.unreal] = np.nan
