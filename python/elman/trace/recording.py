"""From a run to its trace: the sums that the core computed and did not keep."""

from __future__ import annotations

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
from elman.trace.parts import Half, LayerTrace, ReadoutTrace
from elman.trace.record import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._parameters import Parameters
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
    unreal = None if lengths is None and mask is None else ~real
    halves = _halves(net, run.hidden, start, unreal)
    outputs = _structure.split(run.hidden, sizes_of_layers(net))
    below, layers = scale_inputs(net, x), []
    for layer in net.layers:
        part: LayerTrace | None = None
        for half in reversed([next(halves) for _ in halves_of(layer)]):  # the reverse one first
            part = LayerTrace(half, below, part, threads)
        assert part is not None
        layers.append(part)
        below = next(outputs)
    return Trace(
        network=net,
        x=x,
        layers=tuple(layers),
        readout=_readout(net, below, unreal, kind, threads),
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


def _halves(
    net: Parameters, hidden: Array, start: Array, unreal: NDArray[np.bool_] | None
) -> Iterator[Half]:
    """Yield the halves of all layers, from the bottom up."""
    directions = [backwards for layer in net.layers for _, backwards in halves_of(layer)]
    parts = zip(directions, net.split_state(hidden), net.split_state(start), strict=True)
    for i, (backwards, h, first) in enumerate(parts):
        yield Half(net, i, backwards, h, first, unreal)


def _readout(
    net: Parameters, top: Array, unreal: NDArray[np.bool_] | None, kind: str, threads: int
) -> ReadoutTrace | None:
    """Return the sums of the readout; `kind` says what steps that are not real are."""
    if net.readout is None:
        return None
    if unreal is not None and kind == "zero":
        top = np.where(unreal[..., None], top.dtype.type(0), top)
    a = core_of(net).readout_sums(top, threads)
    if unreal is not None and kind == "padding":
        a[unreal] = np.nan
    return ReadoutTrace(a)
