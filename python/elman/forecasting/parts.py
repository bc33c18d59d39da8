"""Sequences with targets, parts of them, and their scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.training.data import mean_and_std

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from elman._table import Table

    Array = NDArray[Any]
    Answers = Callable[[int], Array]  # to a sequence, by its index: (T, O)


class Examples(NamedTuple):
    """B sequences: inputs (T_i, I) each, and targets per step or one per sequence.

    Targets are values (T_i, O) or (O,), or for classification class indices (T_i,) or (). For a
    forecast of several steps their order is that of `table.output_names`.
    """

    x: list[Array]
    y: list[Array]
    table: Table  # the meaning of the columns; outputs "all": one target per step
    now: Sequence[Array] = ()  # the target columns at the time of the forecast, (T_i, targets) each

    @property
    def task(self) -> str:
        """The task."""
        if self.table.horizon:
            return "forecast"
        return "classification" if self.table.classes else "regression"


class Span(NamedTuple):
    """The steps start:stop of a sequence, which is always run from its first step."""

    sequence: int
    start: int
    stop: int


def whole(sequences: Sequence[Array]) -> list[Span]:
    """Return the spans of whole sequences."""
    return [Span(i, 0, len(sequence)) for i, sequence in enumerate(sequences)]


class Parts(NamedTuple):
    """The parts for training, for decisions such as early stopping, and for scoring only."""

    training: list[Span]
    validation: list[Span]
    holdout: list[Span]


def known(parts: Parts) -> list[Span]:
    """Return the spans of training and validation together; adjacent spans become one."""
    spans = sorted([*parts.training, *parts.validation])
    joined = spans[:1]
    for i, start, stop in spans[1:]:
        last, begin, end = joined[-1]
        if (last, end) == (i, start):
            joined[-1] = Span(i, begin, stop)
        else:
            joined.append(Span(i, start, stop))
    return joined


def truth(examples: Examples, spans: Sequence[Span]) -> Array:
    """Return the targets of spans of sequences, (N, O); a class is a one-hot row."""
    return chosen(lambda i: targets(examples, i), examples, spans)


def chosen(answers: Answers, examples: Examples, spans: Sequence[Span]) -> Array:
    """Return the predictions for spans of sequences, (N, O): all steps, or only the last."""
    if examples.table.outputs == "last":
        return np.stack([answers(i)[-1] for i, _, _ in spans])
    return np.concatenate([answers(i)[start:stop] for i, start, stop in spans])


def targets(examples: Examples, i: int) -> Array:
    """Return the targets of a sequence, (T, O), or (1, O) for the whole sequence."""
    if examples.table.classes:
        rows: Array = np.eye(len(examples.table.classes))[np.atleast_1d(examples.y[i])]
        return rows
    return np.atleast_2d(examples.y[i])


class Scaling(NamedTuple):
    """Means and standard deviations of the training part; None for classes."""

    input_mean: Array
    input_std: Array
    output_mean: Array | None
    output_std: Array | None

    @classmethod
    def of(cls, examples: Examples, training: Sequence[Span]) -> Scaling:
        """Return the scaling of spans."""
        x = np.concatenate([examples.x[i][start:stop] for i, start, stop in training])
        if examples.table.classes:
            return cls(*mean_and_std("inputs", x), None, None)
        return cls(*mean_and_std("inputs", x), *mean_and_std("targets", truth(examples, training)))

    def x(self, values: Array) -> Array:
        """Return scaled inputs."""
        scaled: Array = (values - self.input_mean) / self.input_std
        return scaled

    def y(self, values: Array) -> Array:
        """Return scaled targets."""
        if self.output_std is None:
            return values
        scaled: Array = (values - self.output_mean) / self.output_std
        return scaled

    def unscaled(self, values: Array) -> Array:
        """Return outputs in the scale of the targets."""
        if self.output_std is None:
            return values
        given: Array = values * self.output_std + self.output_mean
        return given


def standardised(
    x: Sequence[Array], y: Sequence[Array], spans: Sequence[Span], outputs: str
) -> dict[str, list[Array]]:
    """Return arguments of `elman.train`: weights are 0 on the steps before each span."""
    inputs = [x[i][:stop] for i, _, stop in spans]
    if outputs == "last":
        return {"x": inputs, "y": [y[i] for i, _, _ in spans]}
    weights = [(np.arange(stop) >= start).astype(float) for _, start, stop in spans]
    return {"x": inputs, "y": [y[i][:stop] for i, _, stop in spans], "step_weight": weights}
