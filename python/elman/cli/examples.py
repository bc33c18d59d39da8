"""Training data of `elman train`: read sequences and targets from CSV or NPY, and split them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman.cli import tables
from elman.errors import ArgumentError
from elman.training.data import shuffled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman.cli.tables import CsvTable

    Array = NDArray[Any]


class Question(NamedTuple):
    """The task and its columns, by name, or by number from 1 without names."""

    task: str | None = None  # "forecast", "regression", "classification"; None: from the data
    inputs: Sequence[str] = ()  # empty: all remaining columns
    targets: Sequence[str] = ()
    sequence: str | None = None  # the column that names the sequence of each row
    horizon: tuple[int, ...] | None = None  # steps ahead, increasing
    calendar: Sequence[str] = ()
    missing: str | None = None


class Examples(NamedTuple):
    """B sequences: inputs (T_i, I) each, and targets per step or one per sequence.

    Targets are values (T_i, O) or (O,), or for classification class indices (T_i,) or ().
    """

    x: list[Array]
    y: list[Array]
    table: elman.Table  # the meaning of the columns; outputs "all": one target per step
    now: Sequence[Array] = ()  # the target columns at the time of the forecast, (T_i, O) each

    @property
    def task(self) -> str:
        """The task."""
        if self.table.horizon:
            return "forecast"
        return "classification" if self.table.classes else "regression"

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of the network's outputs: classes, or targets."""
        return self.table.classes or self.table.targets


def read(source: str, targets: str | None, question: Question) -> Examples:
    """Read the examples from a CSV file, or from NPY files of inputs and of targets."""
    with tables.open_table(source) as table:
        if isinstance(table, tables.CsvTable):
            if targets is not None:
                raise ArgumentError("TARGETS: expected none with CSV, where --target names columns")
            return _from_csv(table, question)
        y = None
        if targets is not None:
            with tables.open_table(targets) as other:
                if isinstance(other, tables.CsvTable):
                    raise tables.TableError(f"{targets}: expected an NPY file, like the inputs")
                y = other.array
        return _from_npy(table.name, table.array, targets, y, question)


# --- CSV ------------------------------------------------------------------------------------------


class _Columns:
    """The columns of a CSV file as text."""

    def __init__(self, table: CsvTable) -> None:
        self.file = table.name
        numbered = list(table.lines())
        self.lines = [number for number, _ in numbered]
        self.rows = [[field.strip() for field in fields] for _, fields in numbered]
        width = len(table.header or (self.rows[0] if self.rows else []))
        self.names = table.header or [str(i + 1) for i in range(width)]
        for name in self.names:
            if not name.isprintable():
                raise tables.TableError(f"{self.file}: expected a column name, got {name!r}")
        if len(set(self.names)) < width:
            raise tables.TableError(f"{self.file}: two columns have the same name")
        for line, row in zip(self.lines, self.rows, strict=True):
            if len(row) != width:
                wrong = f"expected {width} fields as in the first line, got {len(row)}"
                raise tables.TableError(f"{self.file} line {line}: {wrong}")

    def text(self, name: str) -> list[str]:
        """Return a column as text."""
        i = self.names.index(name)
        return [row[i] for row in self.rows]

    def words(self, name: str) -> list[str]:
        """Return a column without empty fields."""
        words = self.text(name)
        if "" in words:
            where = f"{self.file} line {self.lines[words.index('')]}, column {name}"
            raise tables.TableError(f"{where}: expected a class, got an empty field")
        return words

    def numbers(self, names: Sequence[str], remedy: str) -> Array:
        """Return columns of numbers, (N, columns)."""
        values = np.empty((len(self.rows), len(names)))
        for j, name in enumerate(names):
            for n, text in enumerate(self.text(name)):
                if (number := _finite(text)) is None:
                    shown = text if len(text) <= 40 else text[:40] + "..."
                    where = f"{self.file} line {self.lines[n]}, column {name}"
                    raise tables.TableError(f"{where}: expected a number, got {shown!r}{remedy}")
                values[n, j] = number
        return values


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _from_csv(table: CsvTable, question: Question) -> Examples:
    columns = _Columns(table)
    if not columns.rows:
        raise tables.TableError(f"{table.name}: expected rows of numbers, got none")
    options = {
        "--inputs": question.inputs,
        "--target": question.targets,
        "--sequence": [question.sequence] if question.sequence else [],
    }
    for option, asked in options.items():
        _require_known(option, asked, columns.names)
    task = question.task
    if task is None and question.targets and question.horizon is None:
        found = any(_finite(text) is not None for t in question.targets for text in columns.text(t))
        task = "regression" if found else "classification"
    task = task or "forecast"
    taken = {question.sequence} | (set() if task == "forecast" else set(question.targets))
    inputs = list(question.inputs) or [name for name in columns.names if name not in taken]
    _require_a_sound(question, task, inputs)
    x = columns.numbers(inputs, " (choose the columns with --inputs)")
    targets = list(question.targets) or inputs
    classes: list[str] = []
    if task == "classification":
        classes, y = _classes(columns.words(targets[0]))
    else:
        y = columns.numbers(targets, "" if task == "forecast" else " (or --task classification)")
    sequences = [list(range(len(x)))]
    if question.sequence is not None:
        sequences = tables.groups(columns.text(question.sequence))
    xs, ys = [x[rows] for rows in sequences], [y[rows] for rows in sequences]
    if task == "forecast":
        return _forecast(xs, ys, inputs, targets, question)
    outputs = "all"
    if len(ys) > 1 and all((y == y[0]).all() for y in ys):
        outputs, ys = "last", [y[0] for y in ys]
    meaning = elman.Table(
        inputs=inputs,
        targets=targets,
        sequence=question.sequence,
        classes=classes,
        outputs=outputs,
    )
    return Examples(xs, ys, meaning)


def _classes(labels: Sequence[str]) -> tuple[list[str], Array]:
    """Return the classes, numbers first in numeric order, and the index of each label."""
    names = sorted(set(labels), key=lambda name: (_finite(name) is None, _finite(name) or 0, name))
    if len(names) < 2:
        raise ArgumentError(f"--target: expected at least two classes, got {len(names)}")
    index = {name: i for i, name in enumerate(names)}
    return names, np.array([index[label] for label in labels])


def _require_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            expected = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise ArgumentError(f"{option}: expected one of the columns {expected}, got {name}")


def _require_a_sound(question: Question, task: str, inputs: Sequence[str]) -> None:
    """Refuse contradictory options."""
    targets = question.targets
    if task != "forecast":
        if question.horizon is not None:
            raise ArgumentError(f"--horizon: expected only for forecasts, got it for {task}")
        if not targets:
            raise ArgumentError(f"--target: expected a target column for {task}, got none")
        if both := [name for name in inputs if name in targets]:
            raise ArgumentError(f"--target: expected columns other than inputs, got {both[0]}")
    if task == "classification" and len(targets) != 1:
        raise ArgumentError(f"--target: expected one column of classes, got {len(targets)}")
    if not inputs:
        raise ArgumentError("--inputs: expected at least one column, got none")
    if "" in inputs:  # the index that pandas writes
        raise ArgumentError("--inputs: expected column names, because one column has no name")


# --- NPY ------------------------------------------------------------------------------------------


def _from_npy(
    name: str, x: Array, targets_name: str | None, y: Array | None, question: Question
) -> Examples:
    if question.sequence is not None:
        raise ArgumentError("--sequence: expected only with CSV; an NPY file is (B, T, I)")
    if x.ndim not in (2, 3):
        raise tables.TableError(f"{name}: expected (T, I) or (B, T, I), got {x.shape}")
    if 0 in x.shape:
        raise tables.TableError(f"{name}: expected at least one number, got {x.shape}")
    x = _real(name, x)
    known = [str(i + 1) for i in range(x.shape[-1])]
    _require_known("--inputs", question.inputs, known)
    inputs = list(question.inputs) or known
    picked = x[..., [known.index(name) for name in inputs]]
    xs = list(picked) if x.ndim == 3 else [picked]
    if y is None:
        if question.task not in (None, "forecast"):
            raise ArgumentError(f"TARGETS: expected a second NPY file for {question.task}")
        _require_known("--target", question.targets, known)
        targets = list(question.targets) or inputs
        ahead = x[..., [known.index(name) for name in targets]]
        ys = list(ahead) if x.ndim == 3 else [ahead]
        return _forecast(xs, ys, inputs, targets, question)
    if question.targets:
        raise ArgumentError("--target: expected none with a file of targets")
    task = question.task or ("regression" if y.dtype.kind == "f" else "classification")
    if task == "forecast" or question.horizon is not None:
        raise ArgumentError("TARGETS: expected none for a forecast, where --target names columns")
    return _with_targets(xs, x.shape[:-1], inputs, task, str(targets_name), y)


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
        raise tables.TableError(f"{name}: expected {expected}, got {y.shape}")
    lead = axes if each_step else 1
    if task == "classification":
        if y.shape[lead:] not in ((), (1,)):
            expected = "expected a class for each " + ("step" if each_step else "sequence")
            raise tables.TableError(f"{name}: {expected}, got {y.shape}")
        y = y.reshape(y.shape[:lead])
        classes, flat = _classes([str(label) for label in y.ravel().tolist()])
        y, targets = flat.reshape(y.shape), ["class"]
    else:
        y = _real(name, y)
        if y.ndim > lead + 1:
            raise tables.TableError(f"{name}: expected at most {lead + 1} axes, got {y.shape}")
        y = y.reshape(*y.shape[:lead], -1)
        targets = [f"target {i + 1}" for i in range(y.shape[-1])]
    ys = list(y) if axes == 2 else [y]
    outputs = "all" if each_step else "last"
    return Examples(
        xs, ys, elman.Table(inputs=inputs, targets=targets, classes=classes, outputs=outputs)
    )


def _real(name: str, values: Array) -> Array:
    if values.dtype.kind not in "buif":
        raise tables.TableError(f"{name}: expected an NPY file of numbers, got {values.dtype}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        found = values[~np.isfinite(values)][0]
        raise tables.TableError(f"{name}: expected finite numbers, got {found}")
    return values


# --- both -----------------------------------------------------------------------------------------


def _forecast(
    xs: list[Array], ys: list[Array], inputs: list[str], targets: list[str], question: Question
) -> Examples:
    """Pair each step with the values `horizon` steps later; drop shorter sequences."""
    horizon = question.horizon or (1,)
    furthest = horizon[-1]
    if furthest >= (longest := max(map(len, xs))):
        raise ArgumentError(f"--horizon: expected less than the {longest} steps, got {furthest}")
    long = [i for i, x in enumerate(xs) if len(x) > furthest]

    def ahead(y: Array) -> Array:
        parts = [y[steps : len(y) - furthest + steps] for steps in horizon]
        return np.concatenate(parts, axis=1)

    return Examples(
        x=[xs[i][:-furthest] for i in long],
        y=[ahead(ys[i]) for i in long],
        table=elman.Table(
            inputs=inputs, targets=targets, sequence=question.sequence, horizon=horizon
        ),
        now=[ys[i][:-furthest] for i in long],
    )


class Span(NamedTuple):
    """The steps start:stop of a sequence, which is always run from its first step."""

    sequence: int
    start: int
    stop: int


class Split(NamedTuple):
    """The parts for training, for early stopping, and for scoring only."""

    training: list[Span]
    validation: list[Span]
    holdout: list[Span]


def split(examples: Examples, validation: float, holdout: float, seed: int) -> Split:
    """Split one series in time, or several sequences at random, stratified by class.

    `holdout` is a fraction of everything, `validation` a fraction of the rest.
    """
    for option, share in (("--holdout", holdout), ("--validation", validation)):
        if not 0 <= share < 1:
            raise ArgumentError(f"{option}: expected at least 0 and less than 1, got {share}")
    whole = [Span(i, 0, len(x)) for i, x in enumerate(examples.x)]
    if len(whole) == 1 and examples.table.outputs == "last":
        raise ArgumentError("DATA: expected several sequences with a target each, got one")
    if len(whole) == 1:
        (_, _, steps) = whole[0]
        end = round(steps * (1 - holdout))
        middle = round(end * (1 - validation))
        spans = [Span(0, *edges) for edges in ((0, middle), (middle, end), (end, steps))]
        parts = [[span] if span.stop > span.start else [] for span in spans]
    else:
        order = shuffled(len(whole), seed)
        if examples.table.outputs == "last" and examples.table.classes:
            order = order[np.argsort([examples.y[i] for i in order], kind="stable")]
        rest, held = _every(order, holdout)
        train, validate = _every(rest, validation)
        parts = [[whole[i] for i in sorted(part)] for part in (train, validate, held)]
    for name, share, spans in zip(Split._fields, (1, validation, holdout), parts, strict=True):
        if share and not spans:
            raise ArgumentError(f"DATA: expected enough data for a {name} part, got {_size(whole)}")
    return Split(*parts)


def _size(whole: list[Span]) -> str:
    return f"{len(whole)} sequences" if len(whole) > 1 else f"{whole[0].stop} steps"


def _every(order: Array, share: float) -> tuple[Array, Array]:
    """Take this share out of an order, evenly spaced; return the rest and the taken part."""
    edges = np.floor(np.arange(len(order) + 1) * share + 0.5)
    taken = np.diff(edges) > 0
    return order[~taken], order[taken]
