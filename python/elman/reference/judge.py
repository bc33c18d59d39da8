"""Verification of results: each step against the equations, within the rounding bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _html
from elman.errors import ShapeError
from elman.reference.activations import activate, clip_of, clipped, numbers_of, steepest
from elman.reference.forward import (
    by_half,
    float64,
    halves_of,
    masked_of,
    real_steps,
    run_real,
    runs_forward,
    scale_inputs,
    scale_outputs,
    start_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from elman._parameters import Layer, Parameters
    from elman.activation import Activation

    Array = NDArray[np.float64]

_BOUND = "g(n + 4) (|b| + sum |w||v|) slope + 4 u |f| + 2^-100, g(k) = k u / (1 - k u)"
_EXACT = ("identity", "relu", "leaky_relu", "thresholded_relu", "affine")  # sums and products
_TINY = 2.0**-100
_U64 = 2.0**-53  # the unit roundoff of the arithmetic here
_BLOCK_VALUES = 1 << 20  # values per block, approximately, to limit memory


class Rounding(NamedTuple):
    """How an implementation rounds: the numbers of the bound."""

    u: float  # the unit roundoff of values
    u_sum: float  # the unit roundoff of sums of products, not larger
    largest: float  # the largest finite number
    smallest: float  # the smallest positive number
    extra: int = 4  # roundings of a sum beyond its number of products
    trusted: float = 0.0  # an absolute error of activations, in u_sum, relative where |f| > 1
    in_blocks: bool = False  # whether long sums are in blocks: at most 8 sqrt(n) roundings

    @classmethod
    def of(cls, dtype: DTypeLike) -> Rounding:
        """Return the rounding of a dtype."""
        about = np.finfo(dtype)
        u = float(about.eps) / 2
        return cls(u, u, float(about.max), float(about.smallest_subnormal))

    def sums(self, terms: int) -> float:
        """Return the relative error of a sum, and of the reference's in float64."""
        if self.in_blocks:
            terms = min(terms, int(8 * terms**0.5))
        stored = _gamma(self.extra, self.u) if self.u_sum < self.u else 0.0
        return stored + _gamma(terms + self.extra, self.u_sum) + _gamma(terms + self.extra, _U64)

    def underflow(self) -> float:
        """Return the absolute error of the intermediate results of a sum that underflow."""
        return self.extra * self.smallest if self.u_sum < self.u else 0.0  # else in _TINY

    def both(self, k: int) -> float:
        """Return g(k) of the values' dtype plus g(k) of float64, for the reference."""
        return _gamma(k, self.u) + _gamma(k, _U64)

    def may_overflow(self, size: Array) -> NDArray[np.bool_]:
        """Return where sums of this size may overflow; NaN (0 times inf) means that they may."""
        return ~(size < self.largest / 2)


def _gamma(k: int, u: float) -> float:
    return k * u / (1 - k * u) if k * u < 1 else np.inf


class VerificationReport(NamedTuple):
    """The result of `verify`; `str(report)` is a sentence.

    Attributes
    ----------
    ok
        True if every value lies within its bound.
    worst_ratio
        The largest ratio of an error to its bound; at most 1 if `ok`.
    where
        Its location: the layer's index or "output", the batch index, the step, the unit. None if
        every value is exact.
    largest_error
        The largest absolute error, regardless of bounds.
    free_running_difference
        The largest difference of the outputs from a reference that runs on its own states. It is
        reported but not checked, because a chaotic network amplifies every rounding error.
    steps
        The total number of real steps.
    values
        The number of values compared.
    not_judged
        The number of them that may overflow the network's dtype, for which no bound exists.
    bound
        The bound as a formula.
    """

    ok: bool
    worst_ratio: float
    where: tuple[int | str, tuple[int, ...], int, int] | None
    largest_error: float
    free_running_difference: float
    steps: int
    values: int
    not_judged: int
    bound: str

    def __str__(self) -> str:
        text = f"{self.values} values in {self.steps} steps"
        if self.where is None:
            text = f"verified: {text} are exact"
        else:
            text = (
                f"{'verified' if self.ok else 'NOT verified'}: of {text} the worst error is"
                f" {self.worst_ratio:.3g} times the rounding bound ({self._place()});"
                f" the largest error is {self.largest_error:.3g}"
            )
        if self.not_judged:
            text += f"; {self.not_judged} values may overflow and were not checked"
        return f"{text}. Free-running difference: {self.free_running_difference:.3g}."

    def _place(self) -> str:
        """Describe `where`."""
        if self.where is None:
            return "nowhere"
        part, sequence, t, unit = self.where
        place = "the output" if part == "output" else f"layer {part}"
        row = f", sequence {', '.join(map(str, sequence))}" if sequence else ""
        return f"in {place}{row}, step {t}, unit {unit}"

    def _repr_html_(self) -> str:
        rows = [
            (
                "verified" if self.ok else "NOT verified",
                f"{self.values} values in {self.steps} steps",
            ),
            ("worst error / rounding bound", f"{self.worst_ratio:.3g}, {self._place()}"),
            ("largest error", f"{self.largest_error:.3g}"),
            ("not checked, may overflow", self.not_judged),
            ("free-running difference", f"{self.free_running_difference:.3g}"),
        ]
        return _html.table((), rows)


@np.errstate(all="ignore")
def verify(
    net: Parameters,
    x: ArrayLike,
    output: ArrayLike,
    hidden: ArrayLike,
    state: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    masked: str | None = None,
) -> VerificationReport:
    """Verify another implementation's results, each step from that implementation's own state.

    Parameters
    ----------
    net
        The network.
    x, state, lengths, mask, masked
        The implementation's inputs, as for `run`.
    output, hidden
        Its results: outputs (..., T, O), and the states after every step (..., T, state_size).

    Returns
    -------
    VerificationReport
        `report.ok` is True if every value lies within its bound.

    Raises
    ------
    ShapeError
        If the shape of `output` or `hidden` does not match that of `x`.

    Notes
    -----
    Let u be the unit roundoff of the network's dtype and g(k) = k u / (1 - k u).

    *The sum.* z = b + sum w v has n products: of the layer's inputs and states for a hidden unit,
    of the top layer's states for an output. In any order (partial sums, a tree, a stored
    intermediate result), a summand passes through at most n additions, and a product through one
    more rounding if it is not fused: the error of the sum is at most g(n + 1) (|b| + sum |w| |v|)
    (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 4.2).
    The bound here is g(n + 4): the three extra roundings cover those in the evaluation of the bound
    itself (for n < 10^8). The v are the values that the implementation must have used, bit for bit:
    x rounded to the dtype, minus the mean, times 1 / std, each rounded; and the returned states.

    *The activation.* An error of z is multiplied by at most the slope: 1 for tanh, relu, identity,
    softsign and softplus, 1/4 for sigmoid, |alpha| for hard_sigmoid and affine, max(|alpha|, 1) for
    leaky_relu and elu, |alpha beta| for scaled_tanh, and in the maximum norm 1/2 for softmax and 2
    for log_softmax (a row of the Jacobian sums in absolute values to 2 f (1 - f), and to
    2 (1 - exp f)). Where z is clipped, so is its error.
    thresholded_relu jumps: where |z - alpha| is within the error, both 0 and z are correct, and the
    one nearer to the result is used. The function itself may be off by 4 u |f|, two units in the
    last place; compositions (elu, softplus and scaled_tanh) by 8 u |f|. A sum alpha z + beta adds
    g(2) (|alpha z| + |beta|), since it may be rounded twice. Softmax divides exponentials of
    z - max z by the sum of all O: rounding this difference causes a relative error of the
    exponential, whose mean under the weights f is at most ln O. With O - 1 additions, one division
    and the exponentials themselves, the bound is u |f| (|z - max z| + ln O + O + 16).
    Log_softmax subtracts from z - max z, itself rounded, the logarithm L of that sum: the relative
    error of the sum is the absolute error of L, to which L adds a few u |L|, and the difference is
    rounded; since f = (z - max z) - L has two summands of one sign, |L| <= |f|. The bound is
    u (|z - max z| + ln O + O + 16 + 8 |f|).

    *Scaling of the output* adds a product and a sum, 3 roundings with slack, and one underflow.

    *The reference* computes z and f in float64 and makes the same errors with u = 2^-53, except
    that NumPy's functions are trusted only to 4 units in the last place. Its errors, with 12 u |f|
    for the activation, are added, so that a correct float64 result cannot fail; in float32 they are
    negligible.

    2^-100 covers underflow (plus |alpha| times the smallest number for underflow before a product)
    and the core's rule that a smaller hidden value is zero.

    *NaN, infinities, overflow.* Where data are not finite, the result must be NaN for NaN and the
    same infinity for an infinity. Where finite summands reach half the dtype's largest number, a
    partial sum may overflow; there is no bound, and the value counts as not judged.

    *Steps that are not real* must hold the state. The output of padding must be exactly zero; that
    of a masked step is the readout of the held states or of zeros. A reverse half reaches step t
    from the state after step t + 1.

    Examples
    --------
    >>> import elman, numpy as np
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> x = np.ones((5, 2))
    >>> out = net.run(x, return_hidden=True)
    >>> elman.reference.verify(net, x, out.output, out.hidden).ok
    True
    """
    x = np.asarray(x).astype(net.dtype)
    *batch, T, _ = x.shape
    output = _expect_shape("output", output, (*batch, T, net.output_size))
    hidden = _expect_shape("hidden", hidden, (*batch, T, net.state_size))
    real = real_steps(lengths, mask, batch, T)[..., np.newaxis]
    kind = masked_of(net, mask, masked)
    start = start_state(net, None if state is None else np.asarray(state).astype(net.dtype), batch)

    findings, how = _Findings(), Rounding.of(net.dtype)
    for t, end in _blocks(net, batch, T):
        block = np.s_[..., t:end, :]
        below = scale_inputs(net, x[block]).astype(np.float64)
        states = zip(
            by_half(net, hidden[block]),
            by_half(net, states_before(start, hidden, t, end)),
            by_half(net, states_after(start, hidden, t, end)),
            strict=True,
        )
        for index, layer in enumerate(net.layers):
            gives: list[Array] = []
            for half, backwards in halves_of(layer):
                got, before, after = next(states)
                came_from = after if backwards else before
                want, bound = judge_layer(net, half, below, came_from, got, how)
                want, bound = (
                    np.where(real[block], want, came_from),
                    np.where(real[block], bound, 0),
                )
                findings.add(index, t, got, want, bound, unit=sum(g.shape[-1] for g in gives))
                gives.append(got)
            below = np.concatenate(gives, axis=-1)
        got = output[block].astype(np.float64)
        if kind == "zero":
            below = np.where(real[block], below, 0.0)
        want, bound = judge_output(net, below, got, how)
        if kind == "padding":
            want, bound = np.where(real[block], want, 0.0), np.where(real[block], bound, 0.0)
        findings.add("output", t, got, want, bound)
    h = start
    for t, end in _blocks(net, batch, T) if runs_forward(net) else [(0, T)]:
        free = run_real(net, x[..., t:end, :].astype(np.float64), h, real[..., t:end, 0], kind)
        findings.add_free_running(output[..., t:end, :], free.output)
        h = free.state
    return findings.report(int(real.sum()))


def states_before(start: Array, hidden: NDArray[Any], t: int, end: int) -> NDArray[Any]:
    """Return the states from which a forward half reaches steps t to end - 1."""
    if t > 0:
        return hidden[..., t - 1 : end - 1, :]
    return np.concatenate([start[..., np.newaxis, :], hidden[..., : end - 1, :]], axis=-2)


def states_after(start: Array, hidden: NDArray[Any], t: int, end: int) -> NDArray[Any]:
    """Return the states from which a reverse half reaches steps t to end - 1."""
    if end < hidden.shape[-2]:
        return hidden[..., t + 1 : end + 1, :]
    return np.concatenate([hidden[..., t + 1 :, :], start[..., np.newaxis, :]], axis=-2)


def judge_layer(
    net: Parameters,
    layer: Layer,
    below: Array,
    before: Array,
    got: Array,
    how: Rounding,
    bias: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Return the expected states after one step from the states before it, and their bounds.

    `bias` is |b_h|, or the larger sum of the absolute values of what it was added up from.
    """
    products = [(layer.W_xh, below), (layer.W_hh, before)]
    *right, bound = _judge_neurons(net, layer.activation, layer.b_h, products, how, bias)
    return _nearest(got, *right), bound


def judge_output(net: Parameters, top: Array, got: Array, how: Rounding) -> tuple[Array, Array]:
    """Return the expected outputs (..., O) from the top layer's states, and their bounds."""
    y, other, bound = top, top, np.zeros_like(top)
    if net.readout is not None:
        products = [(net.readout.W_hy, top)]
        g, b_y = net.readout.activation, net.readout.b_y
        y, other, bound = _judge_neurons(net, g, b_y, products, how)
    want = _nearest(got, scale_outputs(net, y), scale_outputs(net, other))
    if net.output_std is None and net.output_mean is None:
        return want, bound
    std = 1.0 if net.output_std is None else net.output_std.astype(np.float64)
    mean = 0.0 if net.output_mean is None else np.abs(net.output_mean).astype(np.float64)
    size = (np.maximum(_size(y), _size(other)) + bound) * std + mean
    bound = bound * std + how.both(3) * size + how.smallest
    return want, np.where(how.may_overflow(size), np.inf, bound)


def _nearest(got: Array, one: Array, other: Array) -> Array:
    """Return whichever of two correct values is nearer to the result."""
    return np.where(np.abs(got - other) < np.abs(got - one), other, one)


def _judge_neurons(
    net: Parameters,
    activation: Activation,
    b: NDArray[Any] | None,
    products: list[tuple[Any, Array]],
    how: Rounding,
    bias: ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """Return f(z), z = b + the sum of W v over the products, and the error bound.

    The second result is the other correct value where f jumps within the error of z, else f(z).
    """
    z = float64(b) + sum(v @ float64(W).T for W, v in products)
    size = (_size(float64(b)) if bias is None else np.asarray(bias)) + sum(
        _size(v) @ _size(W).T for W, v in products
    )
    terms = sum(W.shape[1] for W, _ in products)
    error = np.where(np.isfinite(z), how.sums(terms) * size + how.underflow(), 0.0)
    error = np.where(how.may_overflow(size), np.inf, error)
    f = activate(net, activation, z)
    if activation.name in ("softmax", "log_softmax"):
        error = error.max(axis=-1, keepdims=True)
        distance = _size(z - z.max(axis=-1, keepdims=True))
        outputs = z.shape[-1]
        u, roundings = how.u + _U64, distance + np.log(outputs) + outputs + 16.0
        trusted = how.trusted * how.u_sum
        if activation.name == "softmax":
            return f, f, 0.5 * error + u * roundings * (_size(f) + 0.5 * error) + _TINY + trusted
        rest = u * (roundings + 8.0 * (_size(f) + 2.0 * error)) + _TINY
        return f, f, 2.0 * error + rest + trusted * (1.0 + _size(f))

    beyond = np.abs(z) - clip_of(net, activation)  # where z is clipped, so is its error
    error = np.where(beyond > 0, np.maximum(error - beyond, 0.0), error)
    z = clipped(net, activation, z)
    numbers = numbers_of(net, activation)
    other = f
    if activation.name == "thresholded_relu":
        jumps = np.abs(z - numbers["alpha"]) <= error
        other = np.where(jumps, np.where(z > numbers["alpha"], 0.0, z), f)
    numbers = {name: abs(number) for name, number in numbers.items()}
    error = error * steepest(net, activation)
    composed = activation.name in ("elu", "softplus", "scaled_tanh")
    ulps = (2.0 if composed else 1.0) * (4.0 * how.u + 12.0 * _U64)
    subnormal = numbers.get("alpha", 0.0) * how.smallest
    bound = error + ulps * (_size(f) + error) + _TINY + subnormal
    if activation.name in ("leaky_relu", "hard_sigmoid", "affine"):
        line = numbers["alpha"] * _size(z) + numbers.get("beta", 0.0)
        bound = bound + how.both(2) * line
        if activation.name != "hard_sigmoid":
            bound = np.where(how.may_overflow(line), np.inf, bound)
    trusted = 0.0 if activation.name in _EXACT else how.trusted * how.u_sum
    return f, other, bound + trusted * (1.0 + _size(f))


def _size(a: NDArray[Any]) -> Array:
    """Return |a| in float64, and 0 where a is not finite: such terms are compared by kind."""
    return np.where(np.isfinite(a), np.abs(a), 0.0).astype(np.float64, copy=False)


def _expect_shape(name: str, array: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.asarray(array)
    if array.shape != shape:
        raise ShapeError(f"{name}: expected {shape}, got {array.shape}")
    return array


def _blocks(net: Parameters, batch: list[int], T: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, one past the last) of the blocks that `verify` processes."""
    values_per_step = int(np.prod(batch)) * (net.input_size + net.state_size + net.output_size)
    block = max(1, _BLOCK_VALUES // max(1, values_per_step))
    for t in range(0, T, block):
        yield t, min(t + block, T)


def errors_of(got: Array, want: Array) -> Array:
    """Return |got - want|: 0 for two NaNs or equal infinities, infinite for one NaN."""
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    error = np.abs(got - want)
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


class _Findings:
    """Largest errors so far in a `verify` call."""

    def __init__(self) -> None:
        self.worst_ratio = 0.0
        self.where: tuple[int | str, tuple[int, ...], int, int] | None = None
        self.largest_error = 0.0
        self.free_running_difference = 0.0
        self.values = 0
        self.not_judged = 0

    def add(
        self, part: int | str, t: int, got: Array, want: Array, bound: Array, unit: int = 0
    ) -> None:
        """Compare values (..., steps, units) of a part, beginning at step t and this unit."""
        if not got.size:
            return
        unbounded = ~np.isfinite(bound)
        error = np.where(unbounded, 0.0, errors_of(got, want))
        ratio = np.where(error > 0, error / bound, 0.0)
        self.values += got.size
        self.not_judged += int(unbounded.sum())
        self.largest_error = max(self.largest_error, float(error.max()))
        if ratio.max() > self.worst_ratio:
            self.worst_ratio = float(ratio.max())
            *sequence, step, worst = map(int, np.unravel_index(ratio.argmax(), ratio.shape))
            self.where = (part, tuple(sequence), t + step, unit + worst)

    def add_free_running(self, got: Array, want: Array) -> None:
        """Update the difference of outputs (..., steps, O) from the free-running reference."""
        difference = float(errors_of(got, want).max(initial=0.0))
        self.free_running_difference = max(self.free_running_difference, difference)

    def report(self, steps: int) -> VerificationReport:
        """Return the report on this number of real steps."""
        return VerificationReport(
            ok=self.worst_ratio <= 1.0,
            worst_ratio=self.worst_ratio,
            where=self.where,
            largest_error=self.largest_error,
            free_running_difference=self.free_running_difference,
            steps=steps,
            values=self.values,
            not_judged=self.not_judged,
            bound=_BOUND,
        )
