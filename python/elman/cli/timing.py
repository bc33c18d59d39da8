"""Time per step in pure Python, NumPy and C++, as `elman demo` shows it."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import elman

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from elman.network import Network

    Array = NDArray[Any]
    Way = Callable[[], ArrayLike]  # runs over all steps and returns the last output

ROUNDS = 9
SECONDS_PER_ROUND = 0.02  # for each way to compute
TOLERANCE = 1e-3  # relative: the ways differ in precision and in the order of their sums


def times_per_step(net: Network, x: Array) -> dict[str, float]:
    """Return the median nanoseconds per step of each way to run over x (T, I).

    Every way must give the same last output before it is timed. The rounds are interleaved, so that
    a busy moment of the machine strikes all alike.
    """
    x = np.ascontiguousarray(x, dtype=net.dtype)
    ways: dict[str, Way] = {
        "pure_python": _pure_python(net, x),
        "numpy": _numpy(net, x),
        "stream_step": _stream_step(net, x),
        "whole_sequence": lambda: net(x)[-1],
    }
    repeats = {}
    for name, way in ways.items():
        start = time.perf_counter()
        y = way()
        repeats[name] = max(1, int(SECONDS_PER_ROUND / (time.perf_counter() - start)))
        if not np.allclose(y, net(x)[-1], rtol=TOLERANCE):
            raise elman.VerificationError(f"{name}: expected {net(x)[-1]} in the end, got {y}")
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                way()
            seconds = time.perf_counter() - start
            rounds[name].append(seconds * 1e9 / (repeats[name] * len(x)))
    return {name: median(values) for name, values in rounds.items()}


def _pure_python(net: Network, x: Array) -> Way:
    weights, step, rows = elman.pure.weights(net), elman.pure.step, x.tolist()

    def way() -> ArrayLike:
        state = weights.initial_state
        for x_t in rows:
            y, state = step(weights, x_t, state)
        return y

    return way


def _numpy(net: Network, x: Array) -> Way:
    """Return the loop over time in NumPy at its best, for one tanh layer and an identity output.

    The units and the biases are folded into two matrices, with v = [x, 1, h]: a step is two
    products and one tanh, and allocates nothing.
    """
    whole: Any = net  # nothing is None: biases, readout and units are all there
    (layer,), readout = whole.layers, whole.readout
    W_xh = layer.W_xh * whole.input_scale
    b_h = layer.b_h - W_xh @ whole.input_shift
    W_hy = readout.W_hy * whole.output_scale[:, np.newaxis]
    b_y = readout.b_y * whole.output_scale + whole.output_shift
    to_hidden = np.column_stack([W_xh, b_h, layer.W_hh]).dot
    to_output = np.column_stack([b_y, W_hy]).dot
    v = np.empty(net.input_size + 1 + net.state_size, net.dtype)
    x_now, one_and_h = np.split(v, [net.input_size])
    h = one_and_h[1:]
    u, y = np.empty_like(h), np.empty(net.output_size, net.dtype)
    tanh, rows = np.tanh, list(x)

    def way() -> ArrayLike:
        one_and_h[0], h[:] = 1, 0
        for x_t in rows:
            x_now[:] = x_t
            tanh(to_hidden(v, u), h)
            to_output(one_and_h, y)
        return y

    return way


def _stream_step(net: Network, x: Array) -> Way:
    stream, rows, y = net.stream(), list(x), np.empty(net.output_size, net.dtype)

    def way() -> ArrayLike:
        step = stream.step
        stream.reset()
        for x_t in rows:
            step(x_t, out=y)
        return y

    return way
