"""Baselines for a trained network: the last value, the mean, a linear model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.forecasting import linear
from elman.forecasting.parts import Scaling, Span, known, targets, truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman.forecasting.linear import Problem
    from elman.forecasting.parts import Answers, Examples, Parts

    Array = NDArray[Any]


def baselines(
    examples: Examples,
    parts: Parts,
    period: int | None = None,
    problem: Problem | None = None,
) -> dict[str, Answers]:
    """Return the baselines by name, fitted to the parts for training and validation."""
    mean = truth(examples, known(parts)).mean(axis=0)
    horizon = examples.table.horizon

    def the_mean(i: int) -> Array:
        return np.tile(mean, (len(examples.x[i]), 1))

    def from_before(steps: list[int]) -> Answers:
        """Predict the value of some steps ago, or the mean before there is one."""

        def answers(i: int) -> Array:
            now, found = examples.now[i], the_mean(i)
            for j, ago in enumerate(steps):
                columns = slice(j * now.shape[1], (j + 1) * now.shape[1])
                found[ago:, columns] = now[: max(0, len(now) - ago)]
            return found

        return answers

    found: dict[str, Answers] = {}
    if examples.now:
        found["the last value"] = from_before([0] * len(horizon))
        if period is not None:
            ago = [period * math.ceil(steps / period) - steps for steps in horizon]
            found["the value a period before"] = from_before(ago)
    found["the most frequent class" if examples.table.classes else "the mean"] = the_mean
    scaling = Scaling.of(examples, parts.training)
    problem = problem or linear_problem(examples, parts, scaling)
    lags, alpha, _ = problem.choose("mean", linear.ALPHAS)
    model = problem.linear(problem.all, "mean", lags, alpha)
    found[model.name] = lambda i: scaling.unscaled(model(scaling.x(examples.x[i])))
    return found


def linear_problem(examples: Examples, parts: Parts, scaling: Scaling) -> Problem:
    """Return the problem of the linear model for the parts for training and validation."""
    y = [scaling.y(targets(examples, i)) for i in range(len(examples.x))]
    spans: Sequence[Span] = known(parts)
    if examples.table.outputs == "last":
        y = [np.tile(row, (len(x), 1)) for x, row in zip(examples.x, y, strict=True)]
        spans = [Span(i, stop - 1, stop) for i, _, stop in spans]
    x = [scaling.x(sequence) for sequence in examples.x]
    return linear.Problem(x, y, spans, _last_value(examples, scaling))


def _last_value(examples: Examples, scaling: Scaling) -> Array | None:
    """Return the coefficients (1 + I, O) of the last value of each target, if all are inputs."""
    names, wanted = examples.table.inputs, examples.table.targets
    std = scaling.output_std
    if std is None or not examples.now or not set(wanted) <= set(names):
        return None
    steps = len(examples.table.horizon)
    coefficients = np.zeros((1 + len(scaling.input_mean), steps * len(wanted)))
    for o, name in enumerate(wanted * steps):
        j = names.index(name)
        coefficients[1 + j, o] = scaling.input_std[j]
        coefficients[0, o] = scaling.input_mean[j]
    coefficients[0] = scaling.y(coefficients[0])
    coefficients[1:] /= std
    return coefficients
