"""Sequences with targets, parts of them, and their scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from elman.training.data import mean_and_std

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from elman._table import Table

    Array = NDArray[Any]
    Answers = Callable[[int], Array]  # to a sequence, by its index: (T, O)
    Span = tuple[int, int, int]  # the steps start:stop of a sequence: sequence, start, stop


class Examples(Protocol):
    """B sequences: inputs (T_i, I) each, and targets per step or one per sequence.

    Targets are values (T_i, O) or (O,), or for classification class indices (T_i,) or (). `now` has
    the target columns at the time of a forecast, (T_i, targets) each.
    """

    @property
    def x(self) -> list[Array]: ...  # noqa: D102

    @property
    def y(self) -> list[Array]: ...  # noqa: D102

    @property
    def now(self) -> Sequence[Array]: ...  # noqa: D102

    @property
    def table(self) -> Table: ...  # noqa: D102


class Parts(Protocol):
    """Spans for training, for decisions, and for scoring only."""

    @property
    def training(self) -> Sequence[Span]: ...  # noqa: D102

    @property
    def validation(self) -> Sequence[Span]: ...  # noqa: D102

    @property
    def holdout(self) -> Sequence[Span]: ...  # noqa: D102


def known(parts: Parts) -> list[Span]:
    """Return the spans of training and validation together; neighbours become one."""
    spans = sorted([*parts.training, *parts.validation])
    joined = spans[:1]
    for i, start, stop in spans[1:]:
        last, begin, end = joined[-1]
        if (last, end) == (i, start):
            joined[-1] = (i, begin, stop)
        else:
            joined.append((i, start, stop))
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
