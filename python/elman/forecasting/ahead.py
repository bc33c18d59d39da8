"""`forecast`: the steps after the end of the data, with intervals."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _html
from elman._network import require_network
from elman._parameters import core_of
from elman.errors import ArgumentError, DivergenceError, LimitError
from elman.files import missing as gaps
from elman.files.frame import Frame
from elman.forecasting import intervals
from elman.forecasting import series as sources
from elman.forecasting import times as clock
from elman.forecasting.columns import Wanted, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas
    from numpy.typing import NDArray

    from elman._network import Network
    from elman.forecasting.columns import Data
    from elman.forecasting.intervals import Band
    from elman.forecasting.series import Future, Plan, Series

    Array = NDArray[Any]

__all__ = ["Forecast", "Part", "forecast"]

STEPS = 24  # the default for a network that forecasts the next step
ORIGINS = 2000  # approximate limit of the earlier forecasts for the intervals
PAST = 2  # times the steps: how much of the data a result keeps for plots
SHOWN, SHOWN_HTML = 6, 24  # rows of a repr, and in a notebook
DIGITS = 5  # of the largest number of a column


class Part(NamedTuple):
    """The forecast of one sequence: S steps of O columns.

    Attributes
    ----------
    key : str, float or None
        The value in the column of sequences; None without one.
    values : ndarray, shape (S, O)
        The forecast.
    lower, upper : ndarray, shape (S, O), or None
        The ends of the intervals.
    times : ndarray of datetime64, shape (S,), or None
        The times of the steps.
    past : ndarray, shape (P, O)
        The end of the data, at most twice as long as the forecast.
    past_times : ndarray of datetime64, shape (P,), or None
        Their times.
    earlier : ndarray, shape (S, O), or None
        The forecast made S steps before the end of the data, to compare with `past`. None if the
        data are too short.
    """

    key: Any
    values: Array
    lower: Array | None
    upper: Array | None
    times: Array | None
    past: Array
    past_times: Array | None
    earlier: Array | None


class Forecast:
    """The result of `elman.forecast`: a row for each step ahead, sequence by sequence.

    Attributes
    ----------
    columns : tuple of str
        The O columns that are forecast.
    values : ndarray, shape (N, O)
        The forecasts.
    lower, upper : ndarray, shape (N, O), or None
        The ends of the intervals; None without intervals.
    steps : ndarray of int, shape (N,)
        The number of steps after the end of the data: 1, 2, ...
    times : ndarray of datetime64, shape (N,), or None
        The times of the steps; None if the data have no regular times.
    keys : list or None
        The sequence of each row; None without a column of sequences.
    parts : tuple of named tuples
        For each sequence its `key`, `values`, `lower`, `upper` and `times`; `past` and
        `past_times`, the end of its data, at most twice as long as the forecast; and `earlier`, a
        forecast of the same length that ends with the data.
    interval : float or None
        The nominal probability of the intervals; None without intervals.
    coverage : float or None
        The fraction of held-out values in the intervals computed from earlier errors.
    origins : int
        The number of earlier forecasts from which the intervals were computed.
    summary : str
        A sentence about the intervals and their coverage.
    """

    def __init__(
        self,
        plan: Plan,
        steps: Array,
        parts: Sequence[Part],
        interval: float | None,
        coverage: float | None,
        origins: int,
        summary: str,
    ) -> None:
        self.columns = plan.targets
        self.parts = tuple(parts)
        self.steps = np.tile(steps, len(parts))
        self.values: Array = np.concatenate([part.values for part in parts])
        self.lower = _joined([part.lower for part in parts])
        self.upper = _joined([part.upper for part in parts])
        self.times = _joined([part.times for part in parts])
        self.keys = None
        if plan.sequence is not None:
            self.keys = [part.key for part in parts for _ in steps]
        self.interval = interval
        self.coverage = coverage
        self.origins = origins
        self.summary = summary
        self._names = plan.sequence or "sequence", plan.time or "time"

    def table(self) -> Frame:
        """Return the columns by name: the sequence, step, time, then each forecast and its ends.

        The ends of the intervals of "load" are "load_lower" and "load_upper".
        """
        columns: dict[str, Any] = {}

        def add(name: str, values: list[Any] | Array | None) -> None:
            if values is not None:
                while name in columns:  # a target may be called "step"
                    name += "_"
                columns[name] = values

        sequence, time = self._names
        add(sequence, self.keys)
        add("step", self.steps)
        add(time, self.times)
        for j, name in enumerate(self.columns):
            add(name, self.values[:, j])
            if self.lower is not None and self.upper is not None:
                add(f"{name}_lower", self.lower[:, j])
                add(f"{name}_upper", self.upper[:, j])
        return Frame(columns)

    def to_frame(self) -> pandas.DataFrame:
        """Return `table()` as a `pandas.DataFrame`, which needs pandas."""
        return self.table().to_frame()

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Return the names of the columns and the rows as text, rounded."""
        table = self.table()
        columns = [_as_text(table[name]) for name in table.columns]
        return list(table.columns), list(map(list, zip(*columns, strict=True)))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        names, rows = self.rows()
        shown = [names, *rows[:SHOWN]]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [
            "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in shown
        ]
        return "\n".join([*lines, *self._below(rows, SHOWN)])

    def _below(self, rows: list[list[str]], shown: int) -> list[str]:
        """Return the lines below a table: how many rows it leaves out, and the summary."""
        rest = [f"... {len(rows) - shown} more rows"] if len(rows) > shown else []
        return [*rest, self.summary]

    def _repr_html_(self) -> str:
        names, rows = self.rows()
        below = "".join(map(_html.text, self._below(rows, SHOWN_HTML)))
        return _html.table(names, rows[:SHOWN_HTML]) + below


def forecast(
    net: Network,
    data: Data,
    steps: int | None = None,
    *,
    future: Data = None,
    interval: float | None = 0.8,
    holdout: float = 0.2,
    sequence: str | None = None,
    missing: str | None = None,
) -> Forecast:
    """Forecast the steps after the end of the data.

    A network for the next step (horizon 1) is run on its own forecasts: each forecast of a target
    becomes the next input. The other inputs must be known: `future` has their values; calendar
    inputs are computed from the continued times. A network for several steps (such as horizon 1 to
    24) forecasts them at once, from the data alone.

    The intervals are empirical: the same forecast is made from many earlier steps of the held-out
    end of the data, with the actual values of known inputs, and quantiles of its errors are added
    to the forecast, separately for each step ahead. The coverage is measured on the later half of
    these errors, with the quantiles of the earlier half. The intervals assume that the future is
    like the held-out part, and that the network was not trained on that part.

    Parameters
    ----------
    net : Network
        A network whose table has a horizon, 1 or several steps; without a table, one with as many
        outputs as inputs.
    data : path, data frame or array_like, shape (T, I)
        The past, one step per row in chronological order; columns are found by name.
    steps : int, optional
        Number of steps ahead; by default all steps of a horizon of several, else 24.
    future : path, data frame or array_like, optional
        The inputs that are not targets, from the first step after the data: at least steps - 1
        rows, because the last step is not read. An array has only these columns, in the order of
        the table.
    interval : float or None
        The probability of the intervals, above 0 and below 1; None for no intervals.
    holdout : float
        The fraction of the data, at its end, from which the intervals are computed. `elman train`
        holds out the same fraction of a single series by default.
    sequence : str, optional
        The column that identifies the sequence of each row; by default the table's; "" for none.
        Each sequence is forecast; the intervals are computed from the errors of all.
    missing : {"hold", "interpolate", "drop"}, optional
        Fill or drop missing values in a file; by default they are an error.

    Returns
    -------
    Forecast
        `values`, `lower`, `upper`, `steps`, `times`, `coverage`. It prints as a table, and
        `elman.plot.forecast` plots it.

    Raises
    ------
    ArgumentError
        If the network does not forecast, or has too short a horizon; if known inputs are missing,
        the rows are not in chronological order, or a value is not finite.
    DivergenceError
        If the forecast overflows.
    ShapeError, DTypeError, ArgumentTypeError
        If an argument has the wrong shape or type.

    Examples
    --------
    A network that doubles its input:

    >>> import numpy as np, elman
    >>> net = elman.Network.from_weights(
    ...     [([[1.0]], [[0.0]], None)],
    ...     ([[2.0]], None),
    ...     activation="identity",
    ...     output_activation="identity",
    ... )
    >>> elman.forecast(net, [[1.0], [2.0], [4.0]], steps=3, interval=None).values[:, 0].tolist()
    [8.0, 16.0, 32.0]
    """
    require_network(net)
    core_of(net).require_forward("forecast", "others read the future")
    if interval is not None:
        interval = _arguments.number("interval", interval, below_1=True)
    gaps.check(missing)
    share = _arguments.number("holdout", holdout, zero=True, below_1=True)
    if missing is not None and not any(isinstance(d, str | os.PathLike) for d in (data, future)):
        raise ArgumentError("missing: expected only with a file, whose values may be missing")
    wanted = sources.wanted(net, sequence)
    columns = opened("data", data, wanted, missing)
    plan = sources.plan(net, columns, wanted.sequence)
    ahead = _steps(plan, steps)
    series = sources.past(plan, columns)
    known = Wanted(plan.known, plan.sequence, plan.time)
    given = None if future is None else opened("future", future, known, missing)
    later = sources.future(plan, series, given, int(ahead[-1]))
    tests = [[] for _ in series] if interval is None else _origins(plan, series, ahead, share)

    parts, early, late = [], [], []
    for one, after, origins in zip(series, later, tests, strict=True):
        part, errors = _part(net, plan, one, after, origins, ahead)
        half = len(errors) // 2
        early.append(errors[:half])
        late.append(errors[half:])
        parts.append(part)
    band = None
    if interval is not None:
        band = intervals.band(np.concatenate(early), np.concatenate(late), interval)
    if band is not None:
        parts = [
            part._replace(lower=part.values + band.lower, upper=part.values + band.upper)
            for part in parts
        ]
    count = sum(map(len, tests))
    return Forecast(
        plan,
        ahead,
        parts,
        interval if band else None,
        band and band.coverage,
        count,
        _summary(interval, band, count),
    )


def _part(
    net: Network, plan: Plan, one: Series, after: Future, tests: Sequence[int], ahead: Array
) -> tuple[Part, Array]:
    """Return the forecast of a sequence, and the errors (N, S, O) of those from earlier rows."""
    farthest = int(ahead[-1])
    end = len(one.x) - 1
    before = end - farthest  # the row whose last step ahead is the end of the data
    origins = sorted({*tests, end} | ({before} if before >= 0 else set()))
    x = np.concatenate([one.x, after.x])
    found = dict(zip(origins, _from_origins(net, plan, x, origins, ahead), strict=True))
    errors = np.array([one.y[i + ahead] - found[i] for i in tests])
    part = Part(
        key=one.key,
        values=found[end],
        lower=None,
        upper=None,
        times=None if after.times is None else after.times[ahead - 1],
        past=one.y[-PAST * farthest :],
        past_times=None if one.times is None else one.times[-PAST * farthest :],
        earlier=found.get(before),
    )
    return part, errors.reshape(-1, len(ahead), len(plan.targets))


def _steps(plan: Plan, steps: int | None) -> Array:
    """Return the numbers of steps ahead, increasing."""
    recursive = plan.horizon == (1,)
    if steps is None:
        steps = STEPS if recursive else plan.horizon[-1]
    count = _arguments.size("steps", steps)
    if recursive:
        try:
            return np.arange(1, count + 1)
        except (MemoryError, ValueError):
            raise LimitError(f"steps: expected steps that fit in memory, got {count:,}") from None
    if count > plan.horizon[-1]:
        raise ArgumentError(
            f"steps: expected at most {plan.horizon[-1]}, the horizon of the network, got {count}:"
            f" train with --horizon 1..{count}, or with --horizon 1 for any number of steps"
        )
    chosen = [step for step in plan.horizon if step <= count]
    if not chosen:
        raise ArgumentError(
            f"steps: expected at least {plan.horizon[0]}, the first step of the network's horizon,"
            f" got {count}"
        )
    return np.array(chosen)


def _origins(plan: Plan, series: Sequence[Series], ahead: Array, holdout: float) -> list[list[int]]:
    """Return the last rows before earlier forecasts: those that `elman train` holds out.

    The targets of these rows are not targets in training.
    """
    farthest, spans = plan.horizon[-1], []
    for one in series:
        first = round(max(0, len(one.x) - farthest) * (1 - holdout))
        spans.append(range(first, len(one.x) - int(ahead[-1])))
    every = -(-sum(map(len, spans)) // ORIGINS) or 1
    return [list(span[::every]) for span in spans]


def _from_origins(
    net: Network, plan: Plan, x: Array, origins: Sequence[int], ahead: Array
) -> Array:
    """Return the forecasts (N, S, O) made after the rows `origins` of x, which are increasing.

    A forecast at an origin reads the later rows of x, except for the inputs that it forecasts.
    """
    outputs, states = _at_origins(net, x, origins)
    if plan.horizon != (1,):
        every = outputs.reshape(len(origins), len(plan.horizon), -1)
        return _finite(every[:, : len(ahead)].astype(np.float64), ahead)
    result = np.empty((len(origins), len(ahead), outputs.shape[1]))
    result[:, 0] = outputs
    rows = np.array(origins)
    for step in range(1, len(ahead)):
        inputs = x[rows + step]
        for i, j in plan.feedback:
            inputs[:, i] = result[:, step - 1, j]
        run = net.run(inputs[:, np.newaxis], state=states, outputs="last")
        result[:, step], states = run.output, run.state
    return _finite(result, ahead)


def _at_origins(net: Network, x: Array, origins: Sequence[int]) -> tuple[Array, Array]:
    """Run over x and return the outputs (N, O) and the states (N, state_size) at some rows."""
    outputs, states, start = [], [], 0
    state: Array | None = None
    for origin in origins:
        run = net.run(x[start : origin + 1], state=state, outputs="last")
        start, state = origin + 1, run.state
        outputs.append(run.output)
        states.append(state)
    return np.stack(outputs), np.stack(states)


def _finite(values: Array, ahead: Array) -> Array:
    wrong = ~np.isfinite(values).all(axis=(0, 2))
    if wrong.any():
        raise DivergenceError(
            f"the forecast is not finite at step {ahead[wrong.argmax()]}: it grows when the network"
            " runs on its own outputs; forecast fewer steps, or train with --horizon 1..24"
        )
    return values


def _summary(interval: float | None, band: Band | None, origins: int) -> str:
    if interval is None:
        return "without intervals"
    percent = f"{100 * interval:g} %"
    if band is not None:
        return (
            f"{percent} intervals, from {origins:,} earlier forecasts: they covered"
            f" {100 * band.coverage:.0f} % of {band.judged:,} held-out values"
        )
    needed = 2 * intervals.fewest(interval)
    return (
        f"no intervals: {percent} need at least {needed} earlier forecasts in the held-out part,"
        f" got {origins}: pass more data, a larger holdout or fewer steps"
    )


def _joined(arrays: Sequence[Array | None]) -> Array | None:
    known = [array for array in arrays if array is not None]
    return np.concatenate(known) if len(known) == len(arrays) else None


def _as_text(column: Array) -> list[str]:
    """Return keys, steps, times or numbers as text; numbers with as many decimals as each other."""
    if column.dtype.kind == "M":
        return clock.text(column)
    if column.dtype.kind != "f":
        return [str(value) for value in column.tolist()]
    largest = float(np.abs(column).max())
    decimals = DIGITS - 1 - math.floor(math.log10(largest)) if largest else 0
    if not 0 <= decimals < 2 * DIGITS:
        return [f"{value:.{DIGITS}g}" for value in column.tolist()]
    return [f"{value:.{decimals}f}" for value in column.tolist()]
