"""Linear models of the last steps, their choice, and the Elman network that equals one."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments
from elman._interrupt import interruptible, product
from elman._network import Network
from elman.errors import ArgumentError, ShapeError
from elman.forecasting.parts import Span, whole
from elman.training.data import mean_and_std

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

__all__ = ["linear_start"]

LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # candidates: past steps, this one included
ALPHAS = (1e-6, 1e-2, 1.0, 10.0, 100.0, 1e3, 1e4)  # candidates: the penalty of ridge regression
WIDEST = 256  # inputs of a candidate: lags times features
MEAN = "the mean"  # without coefficients to shrink to
FOLDS = 8  # blocks that a candidate is judged on
TOLERANCE = 1.005  # of squared errors: among candidates within it, the one with fewest lags
SIZE = 1e-6  # of the states of a delay line: tanh reduces one of 1000 deviations by 3.3e-7
ROWS = 1 << 14  # rows of lagged inputs at a time


class Linear(NamedTuple):
    """A linear model of scaled inputs of the last steps; the last `once` inputs of this step only.

    The coefficients (1 + once + lags (I - once), O) are those of the constant, of the inputs that
    are read once, of the other inputs of this step, of the step before, and so on.
    """

    name: str
    lags: int
    once: int
    coefficients: Array

    def __call__(self, z: Array) -> Array:
        """Return the outputs (T, O) for scaled inputs (T, I), which are 0 before the start."""
        blocks = rows_of(z, self.lags, self.once, 0, len(z))
        return np.concatenate([product(rows, self.coefficients) for rows, _ in blocks])


def rows_of(z: Array, lags: int, once: int, start: int, stop: int) -> Iterator[tuple[Array, int]]:
    """Yield blocks of the rows that coefficients are multiplied by, with their first step."""
    held = z.shape[1] - once
    for begin in range(start, stop, ROWS):
        end = min(begin + ROWS, stop)
        known = z[max(0, begin - lags + 1) : end, :held]
        padded = np.pad(known, ((lags - 1 + end - begin - len(known), 0), (0, 0)))
        past = [padded[lags - 1 - lag : len(padded) - lag] for lag in range(lags)]
        ones = np.ones((end - begin, 1))
        yield np.concatenate([ones, z[begin:end, held:], *past], axis=1), begin


class Moments(NamedTuple):
    """Sums of products of lagged inputs and targets; those of fewer lags are their beginnings."""

    gram: Array  # (columns, columns)
    moment: Array  # (columns, O)
    square: Array  # (O,): of the targets

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(a - b for a, b in zip(self, other, strict=True)))

    def errors(self, coefficients: Array) -> float:
        """Return the sum of squared errors of a model with as many lags or fewer."""
        n = len(coefficients)
        fitted = self.gram[:n, :n] @ coefficients - 2 * self.moment[:n]
        return float(max(0.0, (self.square + (coefficients * fitted).sum(axis=0)).sum()))

    def ridge(self, n: int, alphas: Sequence[float], towards: Array) -> list[Array]:
        """Return the coefficients (n, O) of each penalty on the distance from `towards`.

        The constant has no penalty. With a penalty of 0 the solution may not be unique: the one
        nearest to `towards` is returned.
        """
        count = self.gram[0, 0]
        moment = self.moment[:n] - self.gram[:n, : len(towards)] @ towards
        mean, level = self.gram[0, 1:n] / count, moment[0] / count
        centred = self.gram[1:n, 1:n] - count * np.outer(mean, mean)
        values, vectors = interruptible(np.linalg.eigh, centred)
        turned = vectors.T @ (moment[1:] - count * np.outer(mean, level))
        rounding = np.finfo(np.float64).eps * len(values) * max(0.0, values.max())
        found = []
        for alpha in alphas:
            sizes = (np.maximum(values, 0) + alpha)[:, None]
            shares = np.divide(turned, sizes, out=np.zeros_like(turned), where=sizes > rounding)
            slopes = vectors @ shares
            coefficients = np.concatenate([(level - mean @ slopes)[None], slopes])
            coefficients[: len(towards)] += towards
            found.append(coefficients)
        return found


def moments(
    x: Sequence[Array], y: Sequence[Array], spans: Sequence[Span], lags: int, once: int = 0
) -> Moments:
    """Return the moments of spans of scaled sequences (T, I) and targets (T, O)."""
    total: Moments | None = None
    waiting: list[tuple[Array, Array]] = []  # until there are many rows: products of few are slow
    count = 0
    for n, (i, start, stop) in enumerate(spans):
        for rows, begin in rows_of(x[i], lags, once, start, stop):
            waiting.append((rows, y[i][begin : begin + len(rows)]))
            count += len(rows)
            if count < ROWS and (n + 1 < len(spans) or begin + len(rows) < stop):
                continue
            every, wanted = map(np.concatenate, zip(*waiting, strict=True))
            gram = product(every.T, every)
            moment = product(every.T, wanted)
            found = Moments(gram, moment, (wanted**2).sum(axis=0))
            total = found if total is None else total + found
            waiting, count = [], 0
    assert total is not None
    return total


class Problem:
    """Scaled sequences and targets whose linear model is sought.

    The models are judged by blocks. Of one series, each of the last blocks is predicted by a fit
    to all steps before it. Of several sequences, each block is predicted by a fit to the others.
    """

    def __init__(
        self,
        x: Sequence[Array],
        y: Sequence[Array],
        spans: Sequence[Span],
        *,
        lags: Sequence[int] = LAGS,
        once: int = 0,
        towards: dict[str, Array] | None = None,
    ) -> None:
        """Take scaled x (T, I) and y (T, O), and coefficients to shrink to, by name."""
        self.x, self.y, self.once = x, y, once
        self.outputs, self.width = int(y[0].shape[1]), int(x[0].shape[1])
        self._held = self.width - once
        self.towards = {MEAN: np.zeros((1, self.outputs))} | (towards or {})
        count = sum(stop - start for _, start, stop in spans)
        longest = max(stop for _, _, stop in spans)
        most = min(longest, (WIDEST - once) / self._held, count / self._held / 6)
        wanted = sorted({*lags, *(map(self._least, towards or {}))})
        self.lags = [n for n in wanted if n == wanted[0] or n <= most]
        self.towards = {k: v for k, v in self.towards.items() if self._least(k) in [1, *self.lags]}
        blocks = list(_blocks(spans))
        sums = [self.moments(block) for block in blocks]
        self.all = _total(sums)
        if len(blocks) == 1:
            self.folds = [(self.all, self.all, blocks[0])]
        elif len(spans) == 1:
            half = len(blocks) // 2
            self.folds = [(_total(sums[:k]), sums[k], blocks[k]) for k in range(half, len(blocks))]
        else:
            self.folds = [(self.all - part, part, b) for part, b in zip(sums, blocks, strict=True)]

    def moments(self, spans: Sequence[Span]) -> Moments:
        """Return the moments of spans for the most lags."""
        return moments(self.x, self.y, spans, max(self.lags), self.once)

    def _least(self, name: str) -> int:
        """Return the lags of coefficients to shrink to."""
        return max(1, (len(self.towards[name]) - 1 - self.once) // self._held)

    def _columns(self, lags: int) -> int:
        return 1 + self.once + lags * self._held

    def simple(self, name: str, sums: Moments) -> Linear:
        """Return the mean, or the coefficients to shrink to, as a model."""
        coefficients = np.zeros((self._columns(self._least(name)), self.outputs))
        if name == MEAN:
            coefficients[0] = sums.moment[0] / sums.gram[0, 0]
        else:
            coefficients[:] = self.towards[name]
        return Linear(name, self._least(name), self.once, coefficients)

    def linear(self, sums: Moments, towards: str, lags: int, alpha: float) -> Linear:
        """Return a linear model fitted to moments."""
        (coefficients,) = sums.ridge(self._columns(lags), [alpha], self.towards[towards])
        seen = "the last step" if lags == 1 else f"the last {lags} steps"
        drawn = "" if towards == MEAN else f" towards {towards}"
        name = f"linear in {seen}, ridge {alpha:g}{drawn}"
        return Linear(name, lags, self.once, coefficients)

    def choose(self, towards: str, alphas: Sequence[float]) -> tuple[int, float, float]:
        """Return the lags and the penalty with the lowest error, and its sum of squares."""
        errors: dict[tuple[int, float], float] = {}
        for lags in filter(self._least(towards).__le__, self.lags):
            totals = np.zeros(len(alphas))
            for fit, judged, _ in self.folds:
                found = fit.ridge(self._columns(lags), alphas, self.towards[towards])
                totals += [judged.errors(coefficients) for coefficients in found]
            errors |= {(lags, alpha): e for alpha, e in zip(alphas, totals, strict=True)}
        least = min(errors.values())
        near = [pair for pair, error in errors.items() if error <= least * TOLERANCE]
        lags, alpha = min(near, key=lambda pair: (pair[0], errors[pair]))
        return lags, alpha, errors[lags, alpha]

    def errors_of(self, model: Any) -> Array:  # noqa: ANN401
        """Return the squared errors (N,) on the blocks of a model made by `model(moments)`."""
        found = []
        for fit, _, block in self.folds:
            fitted = model(fit)
            for i, start, stop in block:
                given = fitted(self.x[i][:stop])[start:]
                found.append(((given - self.y[i][start:stop]) ** 2).mean(axis=1))
        return np.concatenate(found)


def _total(sums: Sequence[Moments]) -> Moments:
    total = sums[0]
    for part in sums[1:]:
        total += part
    return total


def _blocks(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Yield blocks: consecutive pieces of one span, or every n-th of several spans."""
    if len(spans) > 1:
        yield from (list(spans[k::FOLDS]) for k in range(min(FOLDS, len(spans))))
        return
    (i, start, stop) = spans[0]
    count = min(2 * FOLDS, stop - start)
    edges = [start + (stop - start) * k // count for k in range(count + 1)]
    yield from ([Span(i, a, b)] for a, b in pairwise(edges))


# --- networks -------------------------------------------------------------------------------------


class Units(NamedTuple):
    """Units of a layer that are joined to others only by the readout."""

    W_xh: Array
    W_hh: Array
    b_h: Array
    W_hy: Array
    b_y: Array

    @classmethod
    def of(cls, net: Network) -> Units:
        """Return the units of a network of one layer."""
        (layer,), readout = net.layers, net.readout
        assert readout is not None
        weights = (layer.W_xh, layer.W_hh, layer.b_h, readout.W_hy, readout.b_y)
        return cls(*(np.asarray(part, dtype=np.float64) for part in weights))

    def times(self, factor: float | Array) -> Units:
        """Return the units with their outputs multiplied by a factor, one or (O,)."""
        by_row = np.reshape(factor, (-1, 1))
        return self._replace(W_hy=self.W_hy * by_row, b_y=self.b_y * factor)


def delay_line(model: Linear, size: float = SIZE) -> Units:
    """Return units that hold the last inputs, and the readout that makes them a linear model."""
    once, slopes = model.once, model.coefficients[1:]
    D = len(slopes)
    held = (D - once) // model.lags
    W_xh = np.zeros((D, held + once))
    W_xh[:once, held:] = size * np.eye(once)
    W_xh[once : once + held, :held] = size * np.eye(held)
    W_hh = np.eye(D, k=-held)
    W_hh[: once + held] = 0
    return Units(W_xh, W_hh, np.zeros(D), slopes.T / size, model.coefficients[0])


def joined(groups: Sequence[Units]) -> Network:
    """Return the network whose output is the sum of the outputs of groups of units."""
    sizes = [len(units.b_h) for units in groups]
    W_hh = np.zeros((sum(sizes), sum(sizes)))
    end = 0
    for units, size in zip(groups, sizes, strict=True):
        W_hh[end : end + size, end : end + size] = units.W_hh
        end += size
    W_xh = np.concatenate([units.W_xh for units in groups])
    b_h = np.concatenate([units.b_h for units in groups])
    W_hy = np.concatenate([units.W_hy for units in groups], axis=1)
    b_y = np.sum([units.b_y for units in groups], axis=0)
    return Network.from_weights([(W_xh, W_hh, b_h)], (W_hy, b_y), output_activation="identity")


def linear_start(
    x: ArrayLike,
    y: ArrayLike,
    *,
    lags: int | None = None,
    alpha: float | None = None,
    hidden_size: int = 0,
    scale: float = 0.01,
    seed: int | None = 0,
) -> Network:
    """Return a network that equals a linear model of y in the last steps of x, to train further.

    It is an ordinary Elman network with one layer of tanh units. The first lags * I units are a
    delay line: they hold the last inputs, scaled so that tanh is nearly the identity, and the
    readout is fitted by ridge regression. The other `hidden_size` units are untrained, with
    readout weights of 0. The states start at 0, which stands for the mean of the inputs.

    Parameters
    ----------
    x : array_like, shape (..., T, I), or list of array_like, shape (T_i, I)
        Inputs.
    y : array_like, shape (..., T, O), or list of array_like, shape (T_i, O)
        Targets.
    lags : int, optional
        Number of steps that the linear model reads, including the current one. By default the
        lowest of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 and 64 whose squared error is within 0.5 % of
        the best, among those with at least six steps per coefficient and at most 256 units. The
        error is measured on eight blocks of the second half of one sequence, each predicted by a
        fit to the steps before it; or on eight groups of several sequences, each predicted by a fit
        to the others.
    alpha : float, optional
        The penalty of ridge regression on standardized values (`alpha` of scikit-learn's `Ridge`).
        By default one of 1e-6, 0.01, 1, 10, 100, 1e3 and 1e4, chosen together with the lags.
    hidden_size : int
        Number of untrained units.
    scale : float
        The state of the delay line for an input of one standard deviation. A smaller scale is
        closer to the linear model, a larger one is easier to train further.
    seed : int, optional
        Seed of the weights of the untrained units.

    Returns
    -------
    Network
        A network in float64 with lags * I + hidden_size units. The means and standard deviations of
        x and y are its scaling.

    Raises
    ------
    ShapeError, DTypeError
        If x or y has the wrong shape or dtype.
    ArgumentError
        If lags, alpha, hidden_size or scale is invalid, lags exceeds the number of steps, or a
        value in x or y is not finite or exceeds 1e140.

    Notes
    -----
    A unit holds scale * z for a standardized input z, and tanh reduces it by the fraction
    (scale * z)^2 / 3 at each step. With the default scale, an input from k steps ago has a relative
    error of (k + 1) 3.3e-5 z^2: 8e-4 for 24 steps and one deviation.

    A delay line is sensitive to small changes: to train all weights further, start with a learning
    rate of 1e-5 for Adam. NumPy's linear algebra does not return the same bits on every machine.

    Examples
    --------
    >>> import numpy as np, elman
    >>> wave = np.sin(np.arange(500) / 3)[:, None]
    >>> net = elman.linear_start(wave[:-1], wave[1:], lags=2, alpha=1e-6)
    >>> net
    Network(1 -> 2 tanh -> 1 identity, float64, 11 parameters)
    >>> bool(np.abs(net(wave[:-1]) - wave[1:])[2:].max() < 1e-3)
    True
    """
    xs, ys = _sequences(x, y)
    given = LAGS if lags is None else (_arguments.size("lags", lags),)
    if lags is not None and given[0] > (longest := max(map(len, xs))):
        raise ArgumentError(f"lags: expected at most {longest}, the steps in x, got {lags}")
    alphas = ALPHAS if alpha is None else (_arguments.number("alpha", alpha, zero=True),)
    count = _arguments.size("hidden_size", hidden_size, least=0)
    size = _arguments.number("scale", scale)
    I, O = xs[0].shape[1], ys[0].shape[1]
    input_mean, input_std = mean_and_std("x", np.concatenate(xs))
    output_mean, output_std = mean_and_std("y", np.concatenate(ys))
    problem = Problem(
        [(sequence - input_mean) / input_std for sequence in xs],
        [(sequence - output_mean) / output_std for sequence in ys],
        [span for span in whole(xs) if span.stop],
        lags=given,
    )
    if len(given) * len(alphas) == 1:
        chosen = (*given, *alphas)
    else:
        chosen = problem.choose(MEAN, alphas)[:2]
    groups = [delay_line(problem.linear(problem.all, MEAN, *chosen), size)]
    if count:
        extra = Network(I, count, O, output_activation="identity", dtype="float64", seed=seed)
        groups.append(Units.of(extra).times(0.0))
    scaling = {
        "input_mean": input_mean,
        "input_std": input_std,
        "output_mean": output_mean,
        "output_std": output_std,
    }
    return joined(groups).replace(tensors=scaling)


def _sequences(x: ArrayLike, y: ArrayLike) -> tuple[list[Array], list[Array]]:
    """Check and return the inputs (T, I) and the targets (T, O) of each sequence."""
    found: list[list[Array]] = []
    for argument, values in (("x", x), ("y", y)):
        if _arguments.is_list_of_sequences(values):
            sequences = [_arguments.reals(argument, sequence) for sequence in values]
        else:
            array = _arguments.reals(argument, values)
            if array.ndim < 2:
                raise ShapeError(f"{argument}: expected two axes or more, got {array.shape}")
            batch = math.prod(array.shape[:-2])
            sequences = list(array.reshape(batch, *array.shape[-2:]))
        for sequence in sequences:
            if sequence.ndim != 2 or sequence.shape[1] != sequences[0].shape[1]:
                expected = f"(T, {sequences[0].shape[-1]})"
                raise ShapeError(f"{argument}: expected sequences {expected}, got {sequence.shape}")
            if not np.isfinite(sequence).all():
                wrong = sequence[~np.isfinite(sequence)][0]
                raise ArgumentError(f"{argument}: expected finite numbers, got {wrong}")
        found.append([np.asarray(sequence, dtype=np.float64) for sequence in sequences])
    xs, ys = found
    if list(map(len, xs)) != list(map(len, ys)):
        raise ShapeError("y: expected as many sequences and steps as in x")
    if not sum(map(len, xs)):
        raise ShapeError("x: expected at least one step, got none")
    for argument, values in (("x", xs), ("y", ys)):
        if not values[0].shape[1]:
            raise ShapeError(f"{argument}: expected at least one column, got none")
    return xs, ys
