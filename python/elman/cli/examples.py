"""Training data of `elman train`: read sequences and targets from a file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman import _calendar
from elman._table import CALENDAR
from elman.cli.text import tell
from elman.errors import ArgumentError, TableError
from elman.files import missing as gaps
from elman.files.arrays import ArraySource
from elman.files.block import Block, groups
from elman.files.dates import is_clock
from elman.files.fields import MISSING, is_number
from elman.files.opening import opened
from elman.files.whole import DATE, NUMBER, TEXT, WholeTable
from elman.forecasting import times as clock
from elman.forecasting.parts import Examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_NUMBERS, MOST_WORDS = 100, 1000  # classes


class Question(NamedTuple):
    """The task and its columns, by name, or by number from 1 without names."""

    task: str | None = None  # "forecast", "regression", "classification"; None: from the data
    inputs: Sequence[str] = ()  # empty: all remaining columns
    targets: Sequence[str] = ()
    sequence: str | None = None  # the column that names the sequence of each row
    horizon: tuple[int, ...] | None = None  # steps ahead, increasing
    calendar: Sequence[str] = ()  # cycles of the table's calendar, and perhaps the column of times
    missing: str | None = None  # "hold", "interpolate", "drop"


def read(source: str, targets: str | None, question: Question) -> Examples:
    """Read the examples from a table of text, or from NPY files of inputs and of targets."""
    gaps.check(question.missing, "--missing")
    with opened(source) as file:
        if not file.is_array:
            if targets is not None:
                raise ArgumentError("TARGETS: expected none with CSV, where --target names columns")
            return _from_text(WholeTable(file), question)
        x = ArraySource(file)
        y = None
        if targets is not None:
            with opened(targets) as other:
                if not other.is_array:
                    raise TableError(f"{other.name}: expected an NPY file, like the inputs")
                y = ArraySource(other)
                return _from_npy(x, y, question)
        return _from_npy(x, None, question)


# --- text -----------------------------------------------------------------------------------------


class _Roles(NamedTuple):
    """Places of columns."""

    inputs: list[int]
    targets: list[int]
    sequence: int | None
    time: int | None


def _from_text(table: WholeTable, question: Question) -> Examples:
    ignored = table.ignored()
    columns = [i for i in range(len(table.columns)) if i not in ignored]
    table.require_names([table.columns[i] for i in columns])
    if 0 in ignored and not question.inputs:
        tell([f"{table.name}: the first column has no name and is not read"])
    named = [_place(table, "--inputs", name) for name in question.inputs]
    named += [_place(table, "--target", name) for name in question.targets]
    kinds = table.kinds(columns, named)
    task, roles = _roles(table, question, kinds)
    parts = tuple(part for part in question.calendar if part in CALENDAR)
    rows = _rows(table, question, task, roles, parts)
    names = {place: table.columns[place] for place in columns}
    inputs = [names[i] for i in roles.inputs]
    targets = [names[i] for i in roles.targets]
    meaning: dict[str, Any] = {
        "sequence": None if roles.sequence is None else names[roles.sequence],
        "time": None if roles.time is None or not rows.ordered else names[roles.time],
        "calendar": parts,
    }
    sequences = groups(rows.keys, len(rows.x)).values()
    xs, ys = [rows.x[at] for at in sequences], [rows.y[at] for at in sequences]
    if task == "forecast":
        return _forecast(xs, ys, inputs, targets, question, **meaning)
    outputs = "all"
    if len(ys) > 1 and all((y == y[0]).all() for y in ys):
        outputs, ys = "last", [y[0] for y in ys]
    meaning |= {"classes": rows.classes, "outputs": outputs}
    return Examples(xs, ys, elman.Table(inputs=inputs, targets=targets, **meaning))


def _roles(table: WholeTable, question: Question, kinds: dict[int, str]) -> tuple[str, _Roles]:
    """Return the task and the columns that are used."""
    targets = [_place(table, "--target", name) for name in question.targets]
    if dates := [table.columns[i] for i in targets if kinds.get(i) == DATE]:
        raise ArgumentError(f"--target: expected numbers or classes, got the dates of {dates[0]}")
    sequence = None
    if question.sequence is not None:
        sequence = _place(table, "--sequence", question.sequence)
    task = question.task
    if task is None and targets and question.horizon is None:
        known = [field for fields in table.parse([], targets, True).texts for field in fields]
        task = "regression" if any(map(is_number, known)) else "classification"
    task = task or "forecast"
    time = _time(table, question, kinds, {sequence, *targets})
    taken = {sequence, time} | (set() if task == "forecast" else set(targets))
    inputs = [_place(table, "--inputs", name) for name in question.inputs]
    if not inputs:
        inputs = [i for i, kind in kinds.items() if i not in taken and kind != DATE]
    _require_a_sound(question, task, inputs, targets, table)
    _require_numbers(table, inputs, "--inputs", kinds)
    targets = targets or inputs
    if task != "classification":
        _require_numbers(table, targets, "--target", kinds)
    if time in {*inputs, *targets}:
        time = None
    return task, _Roles(inputs, targets, sequence, time)


def _place(table: WholeTable, option: str, name: str) -> int:
    """Return the place of a column that an option names."""
    if not table.has(name):
        raise ArgumentError(f"{option}: expected one of {_columns(table)}, got {name}")
    return table.find(name, f"for {option}")


def _columns(table: WholeTable, places: Iterable[int] | None = None) -> str:
    places = range(len(table.columns)) if places is None else places
    names = [table.columns[i] for i in places if table.columns[i]]
    return f"the columns {', '.join(names[:20])}" + (", ..." if len(names) > 20 else "")


def _time(
    table: WholeTable, question: Question, kinds: dict[int, str], taken: set[int | None]
) -> int | None:
    """Return the place of the column of times."""
    named = [name for name in question.calendar if name not in CALENDAR]
    cycles = ", ".join(CALENDAR)
    if len(named) > 1 or len(named) == len(question.calendar) == 1:
        raise ArgumentError(
            f"--calendar: expected some of {cycles}, and at most one column, got"
            f" {','.join(question.calendar)}"
        )
    if named:
        if not table.has(named[0]):
            raise ArgumentError(
                f"--calendar: expected some of {cycles} or one of {_columns(table)}, got {named[0]}"
            )
        return table.find(named[0], "for --calendar")
    dates = [i for i, kind in kinds.items() if kind == DATE and i not in taken]
    if not question.calendar or len(dates) == 1:
        return dates[0] if dates else None
    if dates:
        raise ArgumentError(
            f"--calendar: expected one column of dates, got {_columns(table, dates)}: name one, as"
            f" {table.columns[dates[0]]},{','.join(question.calendar)}"
        )
    raise ArgumentError(
        f"--calendar: expected a column of dates, got {_columns(table)}: name one of Unix times, as"
        f" COLUMN,{','.join(question.calendar)}"
    )


def _require_a_sound(
    question: Question, task: str, inputs: Sequence[int], targets: Sequence[int], table: WholeTable
) -> None:
    """Refuse contradictory options."""
    if task != "forecast":
        if question.horizon is not None:
            raise ArgumentError(f"--horizon: expected only for forecasts, got it for {task}")
        if not targets:
            raise ArgumentError(f"--target: expected a target column for {task}, got none")
        if both := [table.columns[i] for i in inputs if i in targets]:
            raise ArgumentError(
                f"--target: expected columns other than inputs, got {both[0]}: use --horizon 1 to"
                " forecast its next step"
            )
    if task == "classification" and len(targets) != 1:
        raise ArgumentError(f"--target: expected one column of classes, got {len(targets)}")
    if not inputs:
        raise ArgumentError("--inputs: expected at least one column, got none")


def _require_numbers(
    table: WholeTable, places: Sequence[int], option: str, kinds: dict[int, str]
) -> None:
    """Refuse columns without any number."""
    for i in places:
        name = table.columns[i]
        if kinds.get(i, TEXT) == DATE:
            raise ArgumentError(
                f"{option}: expected columns of numbers, got the dates of {name}: use --calendar"
                f" {','.join(CALENDAR)} for inputs computed from them"
            )
        if kinds.get(i, TEXT) == TEXT:
            (fields,) = table.parse([], [i], True).texts
            numbers = [j for j, kind in kinds.items() if kind == NUMBER]
            if any(map(is_clock, fields)):
                raise ArgumentError(
                    f"{option}: expected columns of numbers, got times of day without a date in"
                    f" {name}: write date and time in one column, or choose among"
                    f" {_columns(table, numbers)}"
                )
            if not any(map(is_number, fields)):
                keys = f"; --sequence {name}, if it names sequences" if option == "--inputs" else ""
                raise ArgumentError(
                    f"{option}: expected columns of numbers, got the text of {name}: choose among"
                    f" {_columns(table, numbers)}{keys}"
                )


class _Rows(NamedTuple):
    """The lines of the examples."""

    x: Array  # (N, I)
    y: Array  # (N, targets), or class indices (N,)
    keys: list[str] | None
    classes: list[str]
    ordered: bool  # by time, if the times are known


def _rows(
    table: WholeTable, question: Question, task: str, roles: _Roles, calendar: Sequence[str]
) -> _Rows:
    """Read the columns; fill or drop missing values according to `--missing`."""
    missing = question.missing
    targets = [] if task == "classification" else roles.targets
    numbers = list(dict.fromkeys([*roles.inputs, *targets]))
    time = roles.time if calendar or task == "forecast" else None
    label = roles.targets[0] if task == "classification" else None
    texts = [place for place in (roles.sequence, time, label) if place is not None]
    parsed = table.parse(numbers, texts, missing is not None)
    fields = iter(parsed.texts)
    keys = None if roles.sequence is None else next(fields)
    times = None if time is None else next(fields)
    labels = None if label is None else next(fields)
    if keys is not None and roles.sequence is not None:
        table.require_keys(roles.sequence, keys, parsed.lines)
    values, known = parsed.values, np.ones(len(parsed.lines), bool)
    dates = None
    if times is not None and time is not None:
        dates = _dates(table, time, times, parsed.lines, missing, calendar)
    if dates is not None and calendar:
        known &= ~np.isnat(dates)
        cycles = _calendar.features(dates, calendar)
    if labels is not None and label is not None:
        known &= _labelled(table, label, labels, parsed.lines, missing)
    block = Block(values, keys, None, parsed.lines).rows(np.flatnonzero(known))
    if missing is not None:
        block = _filled(table, block, numbers, roles, missing, len(parsed.lines))
        if missing == "interpolate" and task == "forecast" and np.isnan(values).any():
            tell(["interpolation reads later values, so scores are too good: use --missing hold"])
    at = np.searchsorted(parsed.lines, block.lines)
    ordered = True
    if dates is not None and task == "forecast" and time is not None:
        places = groups(block.keys, len(at)).values()
        ordered = all(clock.increasing(dates[at][rows]) for rows in places)
    if not ordered and time is not None:
        sentence = f"got earlier times in {table.columns[time]} after later ones: sort them"
        if calendar:
            raise TableError(f"{table.name}: expected lines in chronological order, {sentence}")
        tell([f"{table.name}: {sentence}, if each line is the step after the previous one"])
    x = block.values[:, [numbers.index(i) for i in roles.inputs]]
    if calendar:
        x = np.hstack([x, cycles[at]])
    if labels is not None:
        classes, y = _classes([labels[i] for i in at])
        return _Rows(x, y, block.keys, classes, ordered)
    return _Rows(x, block.values[:, [numbers.index(i) for i in targets]], block.keys, [], ordered)


def _dates(
    table: WholeTable,
    time: int,
    fields: Sequence[str],
    lines: Array,
    missing: str | None,
    calendar: Sequence[str],
) -> Array | None:
    """Return the times; None if they cannot be read and no calendar needs them."""
    if calendar:
        return table.times(time, fields, lines, missing)
    with contextlib.suppress(TableError):
        return table.times(time, fields, lines, "drop")
    return None


def _labelled(
    table: WholeTable, label: int, labels: Sequence[str], lines: Array, missing: str | None
) -> Array:
    """Return which lines have a class; with "drop" the others are not an error."""
    known = np.array([field not in MISSING for field in labels])
    if missing != "drop" and not known.all():
        line = int(np.argmin(known))
        got = repr(labels[line]) if labels[line] else "an empty field"
        raise TableError(
            f"{table.where(label, int(lines[line]))}: expected a class, got {got}: --missing drop"
            " leaves the line out"
        )
    return known


def _filled(
    table: WholeTable,
    block: Block,
    numbers: Sequence[int],
    roles: _Roles,
    missing: str,
    count: int,
) -> Block:
    """Return the lines without missing values, and print how many there were."""
    gap = np.isnan(block.values)
    for j, place in enumerate(numbers):
        if missing != "drop" and place not in roles.inputs and gap[:, j].any():
            line = int(block.lines[np.argmax(gap[:, j])])
            raise TableError(
                f"{table.where(place, line)}: expected a target, got a missing value: --missing"
                " drop leaves the line out"
            )
    found = table.without_gaps(block, missing, numbers)
    if missing == "drop" and len(found.values) < count:
        gone = count - len(found.values)
        were = "1 line with missing values was"
        if gone > 1:
            were = f"{gone} lines with missing values were"
        tell([f"{were} dropped"])
    elif gap.any():
        how = "the previous value" if missing == "hold" else "interpolation"
        values = "1 missing value was" if gap.sum() == 1 else f"{gap.sum()} missing values were"
        tell([f"{values} filled by {how}"])
    return found


def _classes(labels: Sequence[str]) -> tuple[list[str], Array]:
    """Return the classes, numbers first in numeric order, and the index of each label."""
    numbers = {name: float(name) for name in set(labels) if is_number(name) and "," not in name}
    names = sorted(set(labels), key=lambda name: (name not in numbers, numbers.get(name, 0), name))
    if len(names) < 2:
        raise ArgumentError(f"--target: expected at least two classes, got {len(names)}")
    if len(numbers) > MOST_NUMBERS:
        raise ArgumentError(
            f"--target: expected classes, got {len(numbers)} different numbers: use --task"
            " regression"
        )
    if len(names) > MOST_WORDS:
        raise ArgumentError(
            f"--target: expected at most {MOST_WORDS} classes, got {len(names)} different words"
        )
    index = {name: i for i, name in enumerate(names)}
    return names, np.array([index[label] for label in labels])


# --- NPY ------------------------------------------------------------------------------------------


def _from_npy(source: ArraySource, other: ArraySource | None, question: Question) -> Examples:
    for option, value in (
        ("--sequence", question.sequence),
        ("--calendar", question.calendar),
        ("--missing", question.missing),
    ):
        if value:
            raise ArgumentError(f"{option}: expected only with CSV; an NPY file is (B, T, I)")
    name, x = source.name, source.array
    if x.ndim not in (2, 3):
        raise TableError(f"{name}: expected (T, I) or (B, T, I), got {x.shape}")
    if 0 in x.shape:
        raise TableError(f"{name}: expected at least one number, got {x.shape}")
    x = _real(name, x)
    known = [str(i + 1) for i in range(x.shape[-1])]
    _require_known("--inputs", question.inputs, known)
    inputs = list(question.inputs) or known
    picked = x[..., [known.index(name) for name in inputs]]
    xs = list(picked) if x.ndim == 3 else [picked]
    if other is None:
        if question.task not in (None, "forecast"):
            raise ArgumentError(f"TARGETS: expected a second NPY file for {question.task}")
        _require_known("--target", question.targets, known)
        targets = list(question.targets) or inputs
        ahead = x[..., [known.index(name) for name in targets]]
        ys = list(ahead) if x.ndim == 3 else [ahead]
        return _forecast(xs, ys, inputs, targets, question)
    if question.targets:
        raise ArgumentError("--target: expected none with a file of targets")
    y = other.array
    task = question.task or ("regression" if y.dtype.kind == "f" else "classification")
    if task == "forecast" or question.horizon is not None:
        raise ArgumentError("TARGETS: expected none for a forecast, where --target names columns")
    return _with_targets(xs, x.shape[:-1], inputs, task, other.name, y)


def _with_targets(
    xs: list[Array], shape: tuple[int, ...], inputs: list[str], task: str, name: str, y: Array
) -> Examples:
    """Pair inputs, whose shape without features is `shape`, with targets per step or sequence."""
    axes = len(shape)
    classes: list[str] = []
    each_step = y.shape[:axes] == shape
    if not each_step and (axes == 1 or y.shape[:1] != shape[:1]):
        expected = f"{(*shape, 'O')}" + (f" or {(shape[0], 'O')}" if axes == 2 else "")
        expected = expected.replace("'", "")
        raise TableError(f"{name}: expected {expected}, got {y.shape}")
    lead = axes if each_step else 1
    if task == "classification":
        if y.shape[lead:] not in ((), (1,)):
            expected = "expected a class for each " + ("step" if each_step else "sequence")
            raise TableError(f"{name}: {expected}, got {y.shape}")
        y = y.reshape(y.shape[:lead])
        if not np.isfinite(y).all():
            raise TableError(f"{name}: expected classes, got {y[~np.isfinite(y)][0]}")
        classes, flat = _classes([str(label) for label in y.ravel().tolist()])
        y, targets = flat.reshape(y.shape), ["class"]
    else:
        y = _real(name, y)
        if y.ndim > lead + 1:
            raise TableError(f"{name}: expected at most {lead + 1} axes, got {y.shape}")
        y = y.reshape(*y.shape[:lead], -1)
        targets = [f"target {i + 1}" for i in range(y.shape[-1])]
    ys = list(y) if axes == 2 else [y]
    outputs = "all" if each_step else "last"
    return Examples(
        xs, ys, elman.Table(inputs=inputs, targets=targets, classes=classes, outputs=outputs)
    )


def _require_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            expected = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise ArgumentError(f"{option}: expected one of the columns {expected}, got {name}")


def _real(name: str, values: Array) -> Array:
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        found = values[~np.isfinite(values)][0]
        raise TableError(f"{name}: expected finite numbers, got {found}")
    return values


# --- both -----------------------------------------------------------------------------------------


def _forecast(
    xs: list[Array],
    ys: list[Array],
    inputs: list[str],
    targets: list[str],
    question: Question,
    **meaning: Any,  # noqa: ANN401 (other fields of the table)
) -> Examples:
    """Pair each step with the values some steps later; drop shorter sequences, with a note."""
    horizon = question.horizon or (1,)
    furthest = horizon[-1]
    if furthest >= (longest := max(map(len, xs))):
        raise ArgumentError(f"--horizon: expected less than the {longest} steps, got {furthest}")
    long = [i for i, x in enumerate(xs) if len(x) > furthest]
    if short := len(xs) - len(long):
        tell([f"sequences that end within the horizon and were dropped: {short}"])

    def ahead(y: Array) -> Array:
        parts = [y[steps : len(y) - furthest + steps] for steps in horizon]
        return np.concatenate(parts, axis=1)

    return Examples(
        x=[xs[i][:-furthest] for i in long],
        y=[ahead(ys[i]) for i in long],
        table=elman.Table(inputs=inputs, targets=targets, horizon=horizon, **meaning),
        now=[ys[i][:-furthest] for i in long],
    )
