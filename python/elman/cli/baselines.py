"""Baselines for a trained network: the last value, the mean, a linear model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.training.data import mean_and_std

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from elman.cli.examples import Examples, Span, Split

    Array = NDArray[Any]
    Answers = Callable[[int], Array]  # to a sequence, by its index: (T, O)

LAGS = (1, 2, 4, 8, 16)  # numbers of past steps that a linear model may use, this step included
ROWS = 1 << 15  # rows of its inputs per block


def baselines(examples: Examples, split: Split, period: int | None) -> dict[str, Answers]:
    """Return the baselines by name, fitted to the training part."""
    mean = truth(examples, split.training).mean(axis=0)

    def the_mean(i: int) -> Array:
        return np.tile(mean, (len(examples.x[i]), 1))

    def from_before(steps: int) -> Answers:
        """Predict the value of some steps ago, or the mean before there is one."""

        def answers(i: int) -> Array:
            now = examples.now[i]
            return np.concatenate([the_mean(i)[:steps], now[: max(0, len(now) - steps)]])

        return answers

    found: dict[str, Answers] = {}
    if examples.now:
        found["the last value"] = from_before(0)
        if period is not None:
            (horizon,) = examples.table.horizon
            steps = period * math.ceil(horizon / period) - horizon
            found["the value a period before"] = from_before(steps)
    found["the most frequent class" if examples.table.classes else "the mean"] = the_mean
    model = _linear_model(examples, split)
    seen = "the last step" if model.lags == 1 else f"the last {model.lags} steps"
    found[f"linear in {seen}"] = lambda i: model(examples.x[i])
    return found


def truth(examples: Examples, spans: list[Span]) -> Array:
    """Return the targets of spans of sequences, (N, O); a class is a one-hot row."""
    return chosen(lambda i: _targets(examples, i), examples, spans)


def chosen(answers: Answers, examples: Examples, spans: list[Span]) -> Array:
    """Return the predictions for spans of sequences, (N, O): all steps, or only the last."""
    if examples.table.outputs == "last":
        return np.stack([answers(span.sequence)[-1] for span in spans])
    return np.concatenate([answers(span.sequence)[span.start : span.stop] for span in spans])


def _targets(examples: Examples, i: int) -> Array:
    """Return the targets of a sequence, (T, O), or (1, O) for the whole sequence."""
    if examples.table.classes:
        rows: Array = np.eye(len(examples.table.classes))[np.atleast_1d(examples.y[i])]
        return rows
    return np.atleast_2d(examples.y[i])


class _Linear:
    """A linear model of the inputs of the last steps, fitted by least squares.

    Inputs before the start of a sequence are the mean of the training part.
    """

    def __init__(self, examples: Examples, training: list[Span], lags: int) -> None:
        self.lags = lags
        self._mean, self._std = mean_and_std(
            np.concatenate([examples.x[i][start:stop] for i, start, stop in training])
        )
        gram: Array = np.zeros(())
        moment: Array = np.zeros(())
        for span in training:
            y = truth(examples, [span])
            start = span.stop - len(y)
            for rows, begin in self._side_by_side(examples.x[span.sequence], start, span.stop):
                gram = gram + rows.T @ rows
                moment = moment + rows.T @ y[begin - start :][: len(rows)]
        self._coefficients = np.linalg.lstsq(gram, moment, rcond=1e-12)[0]

    def __call__(self, x: Array) -> Array:
        blocks = self._side_by_side(x, 0, len(x))
        result: Array = np.concatenate([rows @ self._coefficients for rows, _ in blocks])
        return result

    def _side_by_side(self, x: Array, start: int, stop: int) -> Iterator[tuple[Array, int]]:
        """Yield blocks (rows, 1 + lags I) of ones and the last inputs, with their first step."""
        z = np.concatenate([np.zeros((self.lags - 1, x.shape[1])), (x - self._mean) / self._std])
        for begin in range(start, stop, ROWS):
            end = min(begin + ROWS, stop)
            past = [z[begin + lag : end + lag] for lag in range(self.lags)]
            yield np.concatenate([np.ones((end - begin, 1)), *past], axis=1), begin


def _linear_model(examples: Examples, split: Split) -> _Linear:
    """Return the linear model with the lowest validation error over the numbers of lags."""
    judged = split.validation or split.training
    right = truth(examples, judged)
    _, std = mean_and_std(right)
    count = len(truth(examples, split.training))
    width = examples.x[0].shape[1]
    models = [
        _Linear(examples, split.training, lags)
        for lags in LAGS
        if lags == 1 or 4 * (1 + lags * width) <= count
    ]

    def error(model: _Linear) -> float:
        answers = chosen(lambda i: model(examples.x[i]), examples, judged)
        return float((((answers - right) / std) ** 2).mean())

    return min(models, key=error)
