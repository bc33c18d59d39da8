"""The columns that a network forecasts, and its data as series of inputs and targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _calendar, _ragged
from elman._text import show
from elman.errors import ArgumentError, ShapeError
from elman.files import running
from elman.forecasting import times as clock
from elman.forecasting.columns import Columns, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman._table import Table

    Array = NDArray[Any]


class Plan(NamedTuple):
    """The columns that a network reads and forecasts, and how many steps ahead."""

    inputs: tuple[str, ...]
    calendar: tuple[str, ...]
    targets: tuple[str, ...]
    sequence: str | None
    time: str | None
    horizon: tuple[int, ...]  # (1,): its outputs become its inputs

    @property
    def feedback(self) -> list[tuple[int, int]]:
        """The inputs that are targets: (input, target), by index."""
        return [(self.inputs.index(t), j) for j, t in enumerate(self.targets) if t in self.inputs]

    @property
    def known(self) -> list[str]:
        """The input columns that are not forecast."""
        return [name for name in self.inputs if name not in self.targets]


class Series(NamedTuple):
    """One sequence: inputs (T, I), the values (T, O) to forecast, and times (T,) if known."""

    key: Any
    x: Array
    y: Array
    times: Array | None


# --- what to forecast -----------------------------------------------------------------------------


def wanted(net: Network, given: str | None) -> Wanted:
    """Return the columns of the past that the network needs; `given` is a column of sequences."""
    running.require_sequence(net, given)
    if net.table is None:
        return Wanted(None, given or None, None)
    _require_forecasts(net.table)
    numbers = (*net.table.inputs, *net.table.targets)
    named = net.table.sequence
    sequence = named if given is None else given or None  # "" for none
    absent = named if given == "" else None
    return Wanted(numbers or None, sequence, net.table.time, absent)


def _require_forecasts(table: Table) -> None:
    """Raise if a network does not forecast the next steps, before any data are read."""
    if table.classes:
        raise ArgumentError("net: expected a network that forecasts numbers, got one for classes")
    if not table.horizon:
        raise ArgumentError(
            "net: expected a network that forecasts later steps, got one whose targets are at the"
            " same step; train with a horizon (elman train --horizon 1)"
        )
    if len(table.horizon) == 1 and table.horizon != (1,):
        raise ArgumentError(
            f"net: expected a network for the next step or for several, got one for step"
            f" {table.horizon[0]} only: use elman run for this step, or train with --horizon"
            f" 1..{table.horizon[0]}"
        )


def plan(net: Network, data: Columns | Array, sequence: str | None) -> Plan:
    """Return what the network forecasts, from its table or, without one, from its sizes."""
    table = net.table
    if table is None:
        return _plan_without_table(net, data, sequence)
    each = net.output_size // len(table.horizon)
    wide = net.input_size - 2 * len(table.calendar)
    targets = table.targets or (table.inputs if each == wide else ())
    inputs = table.inputs or (targets if len(targets) == wide else ())
    if not targets or not inputs:
        raise ArgumentError("net: expected a table with inputs and targets, got one without")
    return Plan(inputs, table.calendar, targets, sequence, table.time, table.horizon)


def _plan_without_table(net: Network, data: Columns | Array, sequence: str | None) -> Plan:
    I = net.input_size
    if net.output_size != I:
        raise ArgumentError(
            "net: expected a table, or as many outputs as inputs, which become the next inputs, got"
            f" {I} inputs, {net.output_size} outputs and no table"
        )
    if not isinstance(data, Columns):
        names = tuple(f"output_{i + 1}" for i in range(I))
    else:
        names = tuple(map(str, data.numeric_names(sequence)))
        if len(names) != I:
            raise ArgumentError(f"data: expected {I} columns of numbers, got {len(names)}")
    return Plan(names, (), names, sequence, None, (1,))


# --- the past -------------------------------------------------------------------------------------


def past(plan: Plan, data: Columns | Array) -> list[Series]:
    """Return the series in the data, in order of first appearance."""
    if not isinstance(data, Columns):
        return [_from_array(plan, data)]
    if not len(data):
        raise ArgumentError("data: expected at least one row, got none")
    x, y = data.finite(plan.inputs), data.finite(plan.targets)
    times = data.time_axis(plan.time)
    if plan.calendar:
        if times is None:
            raise ArgumentError(data.missing(str(plan.time)))
        x = np.concatenate([x, _calendar.features(times, plan.calendar)], axis=1)
    result = []
    for key, rows in _rows_by_key(plan, data):
        own = None if times is None else times[rows]
        if own is not None and not clock.increasing(own):
            if plan.time is not None:
                raise ArgumentError(
                    f"data[{show(plan.time)}]: expected rows in chronological order, got earlier"
                    " times after later ones: sort them"
                )
            own = None  # a column of dates, but not the time of the rows
        result.append(Series(key, x[rows], y[rows], own))
    return result


def _from_array(plan: Plan, x: Array) -> Series:
    _require_columns("data", x, len(plan.inputs))
    if plan.calendar or plan.sequence is not None or len(plan.feedback) < len(plan.targets):
        raise ArgumentError(
            "data: expected a file or a data frame, because the network's table has columns that"
            " are not inputs, got an array"
        )
    if not len(x):
        raise ShapeError(f"data: expected at least one step, got {x.shape}")
    return Series(None, x, x[:, [i for i, _ in plan.feedback]], None)


def _require_columns(argument: str, x: Array, count: int) -> None:
    if x.ndim != 2 or x.shape[1] != count:
        raise ShapeError(f"{argument}: expected (T, {count}), got {x.shape}")


def _rows_by_key(plan: Plan, data: Columns) -> list[tuple[Any, Array]]:
    """Return each value of the sequence column, and the places of its rows."""
    if plan.sequence is None:
        return [(None, np.arange(len(data)))]
    keys, numbers = data.groups(plan.sequence)
    order, offsets = _ragged.grouped(numbers, len(keys))
    places = np.split(order, offsets[1:-1])
    return [(_whole(key), rows) for key, rows in zip(keys, places, strict=True)]


def _whole(key: Any) -> Any:  # noqa: ANN401
    """Return a key, as an integer if it is one: numbers in files are floats."""
    return int(key) if isinstance(key, float) and key.is_integer() else key


# --- the future -----------------------------------------------------------------------------------


class Future(NamedTuple):
    """The inputs (steps - 1, I) after the data, NaN where forecast, and the times of the steps."""

    x: Array
    times: Array | None


def future(
    plan: Plan, series: Sequence[Series], given: Columns | Array | None, steps: int
) -> list[Future]:
    """Return the inputs and times that follow each series, for `steps` steps."""
    rows = steps - 1 if plan.horizon == (1,) else 0  # the last step is not read
    _check_future(plan, given, rows)
    later = dict(_rows_by_key(plan, given)) if isinstance(given, Columns) else {}
    return [_after(plan, one, given, later.get(one.key), steps, rows) for one in series]


def _check_future(plan: Plan, given: Columns | Array | None, rows: int) -> None:
    if given is None:
        if plan.known and rows:
            raise ArgumentError(
                f"future: expected the next {rows} values of {', '.join(map(show, plan.known))},"
                " which the network reads and does not forecast: pass future= (--future FILE), or"
                " train with --horizon 1..24, or without these inputs"
            )
    elif plan.horizon != (1,):
        raise ArgumentError(
            "future: expected none, because the network forecasts every step from the data"
        )
    elif not (plan.known or plan.calendar):
        raise ArgumentError("future: expected none, because the network forecasts all its inputs")
    elif not isinstance(given, Columns) and (plan.calendar or plan.sequence is not None):
        raise ArgumentError("future: expected a file or a data frame, as for the data")


def _after(
    plan: Plan,
    one: Series,
    given: Columns | Array | None,
    own: Array | None,  # the places of its rows in a frame; None without any
    steps: int,
    rows: int,
) -> Future:
    named = "" if one.key is None else f" of the sequence {show(one.key)}"
    x = np.full((rows, one.x.shape[1]), np.nan)
    told = None
    if given is not None:
        if isinstance(given, Columns):
            places = np.empty(0, int) if own is None else own
            known, told = given.finite(plan.known)[places], given.time_axis(plan.time)
            told = None if told is None else told[places]
        else:
            _require_columns("future", given, len(plan.known))
            known = given
        if len(known) < rows:
            raise ArgumentError(
                f"future: expected at least {rows} rows, the steps after the data{named}, got"
                f" {len(known)}"
            )
        x[:, [plan.inputs.index(name) for name in plan.known]] = known[:rows]
    times = _times_after(one, told, steps)
    if plan.calendar and rows:
        if times is None or len(times) < rows:
            raise ArgumentError(
                f"data[{show(plan.time)}]: expected regular times{named}, to continue them for the"
                " calendar inputs, got irregular ones: pass the next times with future="
                " (--future FILE)"
            )
        x[:, len(plan.inputs) :] = _calendar.features(times[:rows], plan.calendar)
    return Future(x, times if times is not None and len(times) == steps else None)


def _times_after(one: Series, told: Array | None, steps: int) -> Array | None:
    """Return the next times: the given ones, then regular ones, if known."""
    if one.times is None:
        return None
    expected = clock.following(one.times, steps)
    if told is None or not len(told):
        return expected
    told = told[:steps]
    first_is_next = told[0] > one.times[-1] if expected is None else told[0] == expected[0]
    if not first_is_next or not clock.increasing(told):
        wanted = "times after" if expected is None else "the times from"
        since = clock.text(one.times[-1:] if expected is None else expected[:1])[0]
        got = clock.text(told[:1])[0]
        raise ArgumentError(
            f"future: expected {wanted} {since}, in order, as they follow the data, got {got} first"
        )
    missing = steps - len(told)
    if not missing:
        return told
    rest = clock.following(np.concatenate([one.times, told]), missing)
    return told if rest is None else np.concatenate([told, rest])
