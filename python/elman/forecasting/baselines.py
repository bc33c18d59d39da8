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

LAST, PERIOD = "the last value", "the value a period before"


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
        found[LAST] = from_before([0] * len(horizon))
        if period is not None:
            found[PERIOD] = from_before(_ago(horizon, period))
    found["the most frequent class" if examples.table.classes else linear.MEAN] = the_mean
    scaling = Scaling.of(examples, parts.training)
    problem = problem or linear_problem(examples, parts, scaling)
    lags, alpha, _ = problem.choose(linear.MEAN, linear.ALPHAS)
    model = problem.linear(problem.all, linear.MEAN, lags, alpha)
    found[model.name] = lambda i: scaling.unscaled(model(scaling.x(examples.x[i])))
    return found


def linear_problem(
    examples: Examples, parts: Parts, scaling: Scaling, period: int | None = None
) -> Problem:
    """Return the problem of the linear model for the parts for training and validation.

    Calendar inputs are read for this step only: those of earlier steps are linear in them.
    """
    y = [scaling.y(targets(examples, i)) for i in range(len(examples.x))]
    spans: Sequence[Span] = known(parts)
    if examples.table.outputs == "last":
        y = [np.tile(row, (len(x), 1)) for x, row in zip(examples.x, y, strict=True)]
        spans = [Span(i, stop - 1, stop) for i, _, stop in spans]
    x = [scaling.x(sequence) for sequence in examples.x]
    once = 2 * len(examples.table.calendar)
    horizon, ago = examples.table.horizon, {}
    table = examples.table
    if examples.now and not table.classes and set(table.targets) <= set(table.inputs):
        ago[LAST] = [0] * len(horizon)
        if period is not None:
            ago[PERIOD] = _ago(horizon, period)
    towards = {name: _before(examples, scaling, steps, once) for name, steps in ago.items()}
    return linear.Problem(x, y, spans, once=once, towards=towards)


def _ago(horizon: Sequence[int], period: int) -> list[int]:
    """Return how many steps ago the values whole periods before the targets are."""
    return [period * math.ceil(steps / period) - steps for steps in horizon]


def _before(examples: Examples, scaling: Scaling, ago: list[int], once: int) -> Array:
    """Return the coefficients of a linear model that returns the targets of some steps ago."""
    names, wanted = examples.table.inputs, examples.table.targets
    held = len(scaling.input_mean) - once
    coefficients = np.zeros((1 + once + held * (max(ago) + 1), len(ago) * len(wanted)))
    for o, (steps, name) in enumerate((steps, name) for steps in ago for name in wanted):
        j = names.index(name)
        coefficients[1 + once + steps * held + j, o] = scaling.input_std[j]
        coefficients[0, o] = scaling.input_mean[j]
    assert scaling.output_std is not None
    coefficients[0] = scaling.y(coefficients[0])
    coefficients[1:] /= scaling.output_std
    return coefficients
