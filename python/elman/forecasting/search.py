"""The search for a network: a linear start, and a correction by tanh units where it helps.

1. The start is the mean, the last value, the value a period before or a linear model of the last
   steps, judged on blocks of the parts for training and validation.
2. Networks of tanh units are trained on the residual of the start on the training part, each with
   its own window, learning rate and random weights. Those with the lowest validation errors are
   averaged.
3. The same settings are tried on earlier parts of the data. The average is kept if its gain there,
   which no choice has seen, exceeds its noise.
4. Start and correction are fitted again to training and validation together, with the same number
   of updates, and joined into one network.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._network import Network
from elman.forecasting import linear, work
from elman.forecasting.baselines import baselines, linear_problem
from elman.forecasting.noise import standard_error
from elman.forecasting.parts import Scaling, Span, known, standardised
from elman.forecasting.pool import Pool
from elman.training import recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from elman.forecasting.linear import Linear, Moments, Problem
    from elman.forecasting.parts import Answers, Examples, Parts
    from elman.forecasting.pool import Progress

    Array = NDArray[Any]
    Start = Callable[[Moments], Linear]  # fitted to moments

UNITS = (32, 8)  # tanh units of a correction
WINDOWS = (32, 16, 96)  # steps of backpropagation, and between updates
RATES = (5e-3, 1e-3)  # learning rates of Adam
UPDATES, EPOCHS = 4000, (40, 300)  # of a training; fewest and most epochs
RESTARTS = 10  # at most, of each window, rate and number of units
BATCH = 16  # sequences per update
AVERAGED = 3  # corrections
FOLDS = 2  # earlier parts of the data on which they are tried
NOTHING = 1e-9  # deviations of the targets; smaller errors are rounding
CLOSE = 1.0  # standard errors that a gain must exceed


class Trial(NamedTuple):
    """The settings of a training."""

    units: int
    window: int
    rate: float
    seed: int
    epochs: int  # in which the learning rate decays to 0
    share: float = 1.0  # of the epochs, after which training ends


class Found(NamedTuple):
    """The result of a search."""

    network: Network  # in the scale of the data
    linear: Linear  # what the network starts as
    correction: str | None  # what is added to it, such as "32 + 8 + 32 tanh units"
    reason: str | None  # why nothing is added
    gain: float | None  # of the correction: 0.1 for 10 % less RMSE, on data that no choice has seen
    # (on the validation part, if Ctrl-C came before that)
    noise: float | None  # the standard error of the gain
    trainings: int
    interrupted: bool
    baselines: dict[str, Answers]

    @property
    def start(self) -> str:
        """The name of the start, such as "linear in the last 24 steps, ridge 1"."""
        return self.linear.name


def search(
    examples: Examples,
    parts: Parts,
    *,
    effort: int = work.EFFORT,
    seed: int = 0,
    threads: int = 1,
    period: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Return the network that was found: `Search` in one call."""
    return Search(examples, parts, effort, seed, period).run(threads, progress)


class Search:
    """A search for examples with a number for each step and target.

    `trials` and `multiply_adds` describe its work, which is counted, not timed: the result depends
    on the data, the effort and the seed, not on the speed of the machine.
    """

    def __init__(
        self, examples: Examples, parts: Parts, effort: int, seed: int, period: int | None = None
    ) -> None:
        self.examples, self.parts, self._seed, self._period = examples, parts, seed, period
        self.scaling = Scaling.of(examples, parts.training)
        self.problem: Problem = linear_problem(examples, parts, self.scaling, period)
        self.trials: list[Trial] = []
        self.multiply_adds = 0.0
        self._folds = _folds(parts)
        if parts.validation:
            self._plan(work.budget(effort))

    def _plan(self, budget: float) -> None:
        """Choose trainings that fit into a number of multiply-adds."""
        longest = max(stop for _, _, stop in self.parts.training)
        windows = dict.fromkeys(min(window, max(1, longest // 3)) for window in WINDOWS)
        fewest, most = EPOCHS
        once = [
            Trial(units, window, rate, 0, min(max(fewest, math.ceil(UPDATES / updates)), most))
            for window in windows
            for updates in [self._updates(window)]
            for rate in RATES
            for units in UNITS
        ]
        again = AVERAGED * (len(self._folds) + 1) * max(map(self._cost, once))
        each = sum(map(self._cost, once))
        restarts = int(min(max(1, (budget - again) // each), RESTARTS))
        share = min(1.0, budget / (each + again))
        spent = 0.0
        for seed in range(restarts):
            for trial in once:
                shorter = trial._replace(seed=seed, epochs=max(1, int(trial.epochs * share)))
                cost = self._cost(shorter)
                if not self.trials or spent + cost <= budget - again * share:
                    self.trials.append(shorter)
                    spent += cost
        self.multiply_adds = spent + again * share

    def _updates(self, window: int) -> int:
        """Return the number of updates of an epoch."""
        lengths = [stop for _, _, stop in self.parts.training]
        return math.ceil(len(lengths) / BATCH) * math.ceil(max(lengths) / window)

    def _cost(self, trial: Trial) -> float:
        """Return the multiply-adds of a training."""
        weights = self._network(trial).num_parameters
        training, validation = _steps(self.parts.training), _steps(self.parts.validation)
        return work.cost(weights, trial.epochs, training, validation, self._updates(trial.window))

    def _network(self, trial: Trial) -> Network:
        """Return the untrained network of a training."""
        return Network(
            self.problem.width,
            trial.units,
            self.problem.outputs,
            output_activation="identity",
            seed=(self._seed * RESTARTS + trial.seed) % 2**64,
        )

    def seconds(self, threads: int) -> float:
        """Return the expected seconds, from the speed of trainings of some milliseconds."""
        if not self.trials:
            return 0.0
        sizes = {trial.units: self._network(trial) for trial in self.trials}
        speeds = {units: work.speed(net) for units, net in sizes.items()}
        tried = sum(self._cost(trial) / speeds[trial.units] for trial in self.trials)
        again = max(0.0, self.multiply_adds - sum(map(self._cost, self.trials)))
        alone = tried + again / min(speeds.values())
        return alone / max(1, min(threads, len(self.trials)))

    def run(self, threads: int = 1, progress: Progress | None = None) -> Found:
        """Search; Ctrl-C ends it with the best result so far."""
        start = _start(self.problem, self._reach)
        more = AVERAGED * (len(self._folds) + 1)
        with Pool(threads, len(self.trials) + more, progress) as pool:
            added = self._correction(start, pool)
            base = start(self.problem.all)
            net = linear.joined([linear.delay_line(base), *added.units])
            return Found(
                network=net.replace(tensors=self.scaling._asdict()),
                linear=base,
                correction=added.name,
                reason=added.reason,
                gain=added.gain,
                noise=added.noise,
                trainings=pool.done,
                interrupted=pool.interrupted,
                baselines=baselines(self.examples, self.parts, self._period, self.problem),
            )

    @property
    def _reach(self) -> int:
        """The number of steps by which forecasts overlap."""
        return max(self.examples.table.horizon, default=1) - 1

    # --- the correction ---

    def _correction(self, start: Start, pool: Pool) -> _Correction:
        """Return the correction of the start."""
        if not self.trials:
            return _Correction(reason="there is no validation part")
        training = _Left(self, start, self.parts.training)
        if training.is_nothing:
            return _Correction(reason="the start has no errors to correct")
        trials = self._tried(training, pool)
        if pool.interrupted and not trials:
            return _Correction(reason="interrupted")
        if not trials:
            return _Correction(reason="every training diverged")
        nets = [net for _, _, net in trials]
        best = [trial for _, trial, _ in trials]
        seen = training.outputs(nets, self.parts.validation)
        unseen = []
        for spans, judged in self._folds:
            left = _Left(self, start, spans)
            if earlier := left.trained(best, pool):
                unseen.append(left.outputs(earlier, judged))
        factor = _factor([*unseen, seen])
        gain, noise = self._gain(unseen or [seen], factor)
        found = _Correction(gain=gain, noise=noise)
        if gain <= CLOSE * noise or self._gain([seen], factor)[0] <= 0:
            return found._replace(reason="its gain does not exceed its noise")
        sizes = " + ".join(str(trial.units) for trial in best)
        found = found._replace(name=f"{sizes} tanh units")
        everything = _Left(self, start, known(self.parts))
        if again := everything.trained(best, pool):
            return found._replace(units=everything.units(again, factor))
        return found._replace(units=training.units(nets, factor))  # interrupted: as it was tried

    def _tried(self, training: _Left, pool: Pool) -> list[tuple[float, Trial, Network]]:
        """Return the trainings with the lowest validation errors, up to their best epochs."""
        validation = training.standardised(self.parts.validation)
        jobs = [training.job(trial) | {"validation": validation} for trial in self.trials]
        found = []
        for trial, result in zip(self.trials, pool.train(jobs), strict=True):
            if result is not None and result.history.best_epoch:
                share = result.history.best_epoch / trial.epochs
                error = min(result.history.validation_loss)
                found.append((error, trial._replace(share=share), result.network))
        return sorted(found, key=lambda entry: entry[0])[:AVERAGED]

    def _gain(self, outputs: list[tuple[Array, Array]], factor: float) -> tuple[float, float]:
        """Return the relative gain in RMSE of a correction, and its standard error."""
        p, r = _together(outputs)
        before, after = (r**2).mean(axis=1), ((r - factor * p) ** 2).mean(axis=1)
        whole = float(before.mean()) or 1.0
        gain = 1 - math.sqrt(float(after.mean()) / whole)
        return gain, standard_error(before - after, self._reach) / whole / 2


class _Left:
    """The residual of a start that was fitted to some spans, divided by its deviation there."""

    def __init__(self, of: Search, start: Start, spans: Sequence[Span]) -> None:
        self._of, self._spans = of, spans
        model = start(of.problem.moments(spans))
        self._x = of.problem.x
        left = [y - model(x) for x, y in zip(self._x, of.problem.y, strict=True)]
        scale = np.concatenate([left[i][a:b] for i, a, b in spans]).std(axis=0)
        self.is_nothing = not (scale > NOTHING).any()
        self._scale = np.where(scale > NOTHING, scale, 1.0)
        self._y = [part / self._scale for part in left]

    def standardised(self, spans: Sequence[Span]) -> dict[str, list[Array]]:
        """Return spans as arguments of `elman.train`."""
        return standardised(self._x, self._y, spans, "all")

    def job(self, trial: Trial) -> dict[str, Any]:
        """Return the arguments of a training that makes as many updates as on the training part."""
        of = self._of
        epochs = trial.epochs * trial.share * _steps(of.parts.training) / _steps(self._spans)
        return {
            "net": of._network(trial),
            **self.standardised(self._spans),
            "epochs": max(1, round(epochs)),
            "learning_rate": trial.rate,
            "schedule": lambda done: (1 + math.cos(math.pi * done * trial.share)) / 2,
            "batch_size": BATCH,
            "bptt_steps": trial.window,
            "clip_norm": recipe.CLIP_NORM,
            "seed": of._seed,
        }

    def trained(self, trials: Sequence[Trial], pool: Pool) -> list[Network]:
        """Return a network for each trial; none at all if one failed or was interrupted."""
        results = pool.train([self.job(trial) for trial in trials])
        nets = [result.network for result in results if result is not None]
        return nets if len(nets) == len(trials) and not pool.interrupted else []

    def outputs(self, nets: Sequence[Network], spans: Sequence[Span]) -> tuple[Array, Array]:
        """Return the mean output of networks on spans, and the targets, (N, O) each."""
        given = [
            np.mean([net(self._x[i][:stop])[start:] for net in nets], axis=0, dtype=np.float64)
            for i, start, stop in spans
        ]
        wanted = [self._y[i][start:stop] for i, start, stop in spans]
        return np.concatenate(given), np.concatenate(wanted)

    def units(self, nets: Sequence[Network], factor: float) -> list[linear.Units]:
        """Return the units of networks, whose mean times a factor is added to the start."""
        share = factor * self._scale / len(nets)
        return [linear.Units.of(net).times(share) for net in nets]


class _Correction(NamedTuple):
    """Networks whose mean output is added to a start."""

    units: list[linear.Units] = []  # noqa: RUF012
    name: str | None = None
    reason: str | None = None
    gain: float | None = None
    noise: float | None = None


def _together(outputs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    given, wanted = zip(*outputs, strict=True)
    return np.concatenate(given), np.concatenate(wanted)


def _factor(outputs: list[tuple[Array, Array]]) -> float:
    """Return the factor, 0 to 1, that minimizes the squared error of outputs."""
    p, r = _together(outputs)
    square = float((p * p).sum())
    return min(1.0, max(0.0, float((p * r).sum()) / square)) if square else 0.0


def _steps(spans: Sequence[Span]) -> int:
    """Return the number of steps to be run for spans."""
    return sum(stop for _, _, stop in spans)


def _folds(parts: Parts) -> list[tuple[list[Span], list[Span]]]:
    """Return other spans for training and for judging, as many for judging as for validation.

    Of one series, earlier ones; of several sequences, other sequences. If the training part is too
    small for that, the two parts are swapped.
    """
    training, validation = list(parts.training), list(parts.validation)
    swapped = [(validation, training)]
    if len(training) == 1 and len(validation) == 1 and training[0][0] == validation[0][0]:
        ((i, start, stop),) = validation
        size = stop - start
        middles = [start - k * size for k in range(1, FOLDS + 1)]
        earlier = [([Span(i, 0, m)], [Span(i, m, m + size)]) for m in middles if m >= size]
        return earlier or swapped
    size = len(validation)
    groups = [training[k * size : (k + 1) * size] for k in range(FOLDS)]
    return [
        ([span for span in training if span not in group] + validation, group)
        for group in groups
        if 0 < len(group) < len(training)
    ] or swapped


def _start(problem: Problem, reach: int) -> Start:
    """Choose the start.

    A linear model must be better than the mean and what it may shrink to, such as the last value,
    by more than the noise.
    """
    best = {towards: problem.choose(towards, linear.ALPHAS) for towards in problem.towards}
    towards = min(best, key=lambda name: best[name][2])
    lags, alpha, _ = best[towards]

    def linear_model(sums: Moments) -> Linear:
        return problem.linear(sums, towards, lags, alpha)

    simple: list[Start] = [partial(problem.simple, name) for name in problem.towards]
    errors = [problem.errors_of(model) for model in simple]
    n = min(range(len(simple)), key=lambda n: float(errors[n].mean()))
    gain = errors[n] - problem.errors_of(linear_model)
    return simple[n] if gain.mean() <= CLOSE * standard_error(gain, reach) else linear_model
