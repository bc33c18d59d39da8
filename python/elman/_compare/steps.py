"""Judge the steps of a source: each from the source's own states, within the rounding bound.

A step is one evaluation of the equations, so that a chaotic network is judged as exactly as any
other: how far rounding drives two runs apart plays no part.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.errors import ShapeError
from elman.reference.forward import (
    by_half,
    halves_of,
    real_steps,
    run_half,
    scale_inputs,
    start_state,
)
from elman.reference.judge import (
    Rounding,
    errors_of,
    judge_layer,
    judge_output,
    states_after,
    states_before,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._network import Network
    from elman._parameters import Layer
    from elman._typing import Array
    from elman.interop._source import Trace

# The frameworks' activations, measured in units u of the absolute error (of the relative one above
# 1): PyTorch 2.13 tanh 0.5, sigmoid 1.5; JAX 0.10 tanh 4.4 (float64: 7), sigmoid 1.5; ONNX Runtime
# 1.32 tanh 5.3 (float64: 8), sigmoid 2.7. Theirs are absolute errors near 0 and in the tails.
_TRUSTED = 16.0
# BLAS adds up at most some hundred products before it begins another sum, so that 8 sqrt(n)
# roundings are more than a summand meets, and than n random ones come to (Higham and Mary, 2019).
# A source adds two biases, scales and shifts in operations of its own, which a network has folded:
# roundings of a sum beyond its products.
_EXTRA = 16
_HALF = {  # unit roundoff, largest and smallest number of formats that NumPy does not have, or has
    "float16": (2.0**-11, 65504.0, 2.0**-24),
    "bfloat16": (2.0**-8, 3.3895e38, 2.0**-133),
}


class Steps(NamedTuple):
    """The differences between a network and its source, each step from the source's own states."""

    output: float
    layers: list[float | None]
    worst_ratio: float
    not_judged: int


def _rounding_of(net: Network, dtype: str | None) -> Rounding:
    """Return how a source rounds that computes in a dtype, by default the network's.

    Half precision is assumed to add products up in float32, as all frameworks do, and to round
    every intermediate result.
    """
    if dtype in _HALF:
        u, largest, smallest = _HALF[dtype]
        u32 = 2.0**-24
        return Rounding(u, u32, largest, smallest, _EXTRA // 2, _TRUSTED, in_blocks=True)
    one, other = Rounding.of(net.dtype), Rounding.of(dtype or net.dtype)
    coarser = max(one, other, key=lambda how: how.u)
    return coarser._replace(extra=_EXTRA, trusted=_TRUSTED, in_blocks=True)


def rounded(x: Array, dtype: str | None) -> Array:
    """Return values as a source of this dtype reads them."""
    if dtype == "bfloat16":  # the upper half of a float32, rounded to even
        bits = x.astype(np.float32).view(np.uint32)
        bits = bits + 0x7FFF + (bits >> 16 & 1)
        return (bits & 0xFFFF0000).view(np.float32).astype(x.dtype)
    return x if dtype is None else x.astype(dtype).astype(x.dtype)


@np.errstate(all="ignore")  # NaN and infinities in data propagate without a warning
def judge(
    net: Network,
    x: Array,
    trace: Trace,
    mask: Array | None,
    masked: str,
    tolerance: float | None,
    *,
    masks: bool = True,
) -> Steps:
    """Compare every step of a source with the network.

    A layer whose states the source does not give is computed by the reference in float64, and it
    and the layers above it are judged by the tolerance. With a tolerance, it is also the least
    bound. Outputs at masked steps are judged if `masks`: if a network can have the source's.
    """
    how = _rounding_of(net, trace.dtype)
    least = 0.0 if tolerance is None else tolerance
    usual = max(168 * how.u, 1e-12) if tolerance is None else tolerance  # 1e-5 in float32
    batch, T = list(x.shape[:-2]), x.shape[-2]
    real = real_steps(None, mask, batch, T)[..., np.newaxis]
    findings = _Findings(least)
    starts = by_half(net, start_state(net, None, batch))
    below = scale_inputs(net, rounded(x, trace.dtype).astype(net.dtype)).astype(np.float64)
    known = True  # whether `below` is the source's own
    differences: list[float | None] = []
    for layer, shown in zip(net.layers, trace.hidden, strict=True):
        halves = halves_of(layer)
        H = len(layer.W_hh)
        size = H * len(halves)
        every = shown is not None and shown.ndim == x.ndim
        if shown is not None:
            _expect(shown, (*batch, T, size) if every else (*batch, size))
        gives, apart = [], []
        for number, (half, backwards) in enumerate(halves):
            start = next(starts)
            columns = np.s_[..., number * H : (number + 1) * H]
            if not every:
                states, _ = run_half(net, half, backwards, below, start, real)
                if shown is not None:
                    got = shown[columns].astype(np.float64)
                    apart.append(findings.add(got, states[..., -1, :], usual))
                gives.append(states)
                continue
            assert shown is not None
            own = shown[columns].astype(np.float64)
            got = _held(own, start, real, backwards)
            around = states_after if backwards else states_before
            came_from = around(start, got, 0, T)
            bias = _bias(half, trace.vectors)
            want, bound = judge_layer(net, half, below, came_from, got, how, bias)
            if not known:
                bound = np.maximum(bound, usual * np.maximum(1.0, np.abs(want)))
            bound = np.where(_finite(below, came_from), bound, np.inf)
            # Keras computes a Dense layer at masked steps too, from held inputs: the same numbers,
            # but XLA can round another row of a product differently (JAX 0.10: 4e-8).
            again = np.abs(own - got) <= 2.0 * bound
            want, bound = np.where(real, want, came_from), np.where(real, bound, 0.0)
            apart.append(findings.add(got, want, 0.0, bound))
            gives.append(np.where(again, own, got))
        known = known and every
        differences.append(max(apart) if apart else None)
        below = np.concatenate(gives, axis=-1)
    top = below if mask is None or masked == "hold" else np.where(real, below, 0.0)
    got = trace.output.astype(np.float64)
    if got.ndim == top.ndim - 1:
        top = top[..., trace.step, :]
    _expect(got, (*top.shape[:-1], net.output_size))
    want, bound = judge_output(net, top, got, how)
    bound = np.where(_finite(top), bound, np.inf)
    if not known:
        bound = np.maximum(bound, usual * np.maximum(1.0, np.abs(want)))
    if net.output_activation == "softplus":
        bound = bound + np.exp(-20.0)  # PyTorch's threshold, above which it returns z
    if not masks:
        judged = real if got.ndim == x.ndim else real[..., trace.step, :]
        got = np.where(judged, got, want)
    output = findings.add(got, want, 0.0, bound)
    return Steps(output, differences, findings.worst_ratio, findings.not_judged)


def _held(states: Array, start: Array, real: Array, backwards: bool) -> Array:
    """Return states that are held at the steps that are not real; a source may give zeros there."""
    if real.all():
        return states
    T = states.shape[-2]
    held, h = states.copy(), start
    for t in reversed(range(T)) if backwards else range(T):
        held[..., t, :] = h = np.where(real[..., t, :], states[..., t, :], h)
    return held


def _bias(half: Layer, vectors: list[Array]) -> Array | None:
    """Return |b_h|, or |b| + |b'| of the two biases in a row that the source adds up to b_h."""
    if half.b_h is None:
        return None
    b = half.b_h.astype(np.float64)
    for one, other in itertools.pairwise(vectors):
        if one.shape == other.shape == b.shape and np.allclose(one + other, b, 1e-5, 1e-6):
            added: Array = np.abs(one.astype(np.float64)) + np.abs(other)
            return np.maximum(np.abs(b), added)
    return np.abs(b)


def _finite(*arrays: Array) -> NDArray[np.bool_]:
    """Return the steps (..., 1) whose summands are finite; frameworks differ in max(0, NaN)."""
    found: NDArray[np.bool_] = np.isfinite(np.concatenate(arrays, -1)).all(-1, keepdims=True)
    return found


def _expect(array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ShapeError(f"source: expected results of the shape {shape}, got {array.shape}")


class _Findings:
    """The largest ratio of a difference to its bound so far, and how many have no bound."""

    def __init__(self, least: float) -> None:
        self.worst_ratio = 0.0
        self.not_judged = 0
        self._least = least

    def add(self, got: Array, want: Array, tolerance: float, bound: Array | float = 0.0) -> float:
        """Compare values and return their largest difference, relative where values exceed 1."""
        if not got.size:
            return 0.0
        scale = np.maximum(1.0, np.where(np.isfinite(want), np.abs(want), 0.0))
        bound = np.maximum(bound, max(tolerance, self._least) * scale)
        error = errors_of(got, want)
        unbounded = ~np.isfinite(bound) & ~np.isnan(bound)
        ratio = np.where(error > 0, error / np.where(bound > 0, bound, np.finfo(float).tiny), 0.0)
        ratio = np.where(unbounded, 0.0, ratio)
        self.not_judged += int(unbounded.sum())
        self.worst_ratio = max(self.worst_ratio, float(ratio.max()))
        return float((error / scale).max())
