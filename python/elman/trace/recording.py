"""From a run to its trace: the sums that the core computed and did not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments, _structure
from elman.reference.forward import (
    halves_of,
    masked_of,
    real_steps,
    scale_inputs,
    sizes_of_layers,
)
from elman.trace.parts import Half, LayerTrace, ReadoutTrace, Source, fixed
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
    x = fixed(np.array(_arguments.array("x", x), net.dtype))
    *batch, T, _ = x.shape
    real = fixed(np.array(real_steps(lengths, mask, batch, T)))
    kind = masked_of(net, mask, masked)
    unreal = None if lengths is None and mask is None else ~real
    source = Source(net, unreal, kind, threads)
    start, hidden = fixed(_start_state(net, state, batch)), fixed(run.hidden)
    halves = _halves(net, hidden, start)
    outputs = _structure.split(hidden, sizes_of_layers(net))
    below, layers = fixed(scale_inputs(net, x)), []
    for layer in net.layers:
        part: LayerTrace | None = None
        for half in reversed([next(halves) for _ in halves_of(layer)]):  # the reverse one first
            part = LayerTrace(source, half, below, part)
        assert part is not None
        layers.append(part)
        below = next(outputs)
    return Trace(
        network=net,
        x=x,
        layers=tuple(layers),
        readout=None if net.readout is None else ReadoutTrace(source, below),
        y=fixed(run.output),
        hidden=hidden,
        state=fixed(run.state),
        initial_state=start,
        lengths=None if lengths is None else fixed(np.asarray(real.sum(axis=-1))),
        real=real,
        kind=kind,
    )


def _start_state(net: Parameters, state: ArrayLike | None, batch: list[int]) -> Array:
    """Return the states (*batch, state_size) before the first step."""
    if state is None:
        state = 0.0 if net.initial_state is None else net.initial_state
    given = np.asarray(_arguments.array("state", state), net.dtype)
    return np.broadcast_to(given, (*batch, net.state_size)).copy()


def _halves(net: Parameters, hidden: Array, start: Array) -> Iterator[Half]:
    """Yield the halves of all layers, from the bottom up."""
    directions = [backwards for layer in net.layers for _, backwards in halves_of(layer)]
    parts = zip(directions, net.split_state(hidden), net.split_state(start), strict=True)
    for i, (backwards, h, first) in enumerate(parts):
        yield Half(i, backwards, h, first)
