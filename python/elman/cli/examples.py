"""What `elman train` learns from: sequences and their targets, from CSV or NPY, and their parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.cli import tables
from elman.errors import ArgumentError
from elman.training.data import shuffled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from elman.cli.tables import CsvTable

    Array = NDArray[Any]


class Question(NamedTuple):
    """What is to be learned; columns by name, or by number from 1 where there are no names."""

    task: str | None = None  # "forecast", "regression", "classification"; None: the data tell
    inputs: Sequence[str] = ()  # none: all that are left
    targets: Sequence[str] = ()
    sequence: str | None = None  # the column that names the sequence a row belongs to
    horizon: int | None = None  # steps ahead


class Examples(NamedTuple):
    """B sequences: inputs (T_i, I) each, and targets for every step or one for each sequence.

    Targets are numbers (T_i, O) or (O,), or for classification indices of classes (T_i,) or ().
    """

    x: list[Array]
    y: list[Array]
    task: str
    outputs: str  # "all": a target for every step; "last": for each sequence
    inputs: list[str]  # the names of the columns
    targets: list[str]
    classes: list[str]  # empty but for classification
    horizon: int = 0  # how many steps ahead, for forecasts
    now: Sequence[Array] = ()  # the targets' columns at the time of the forecast, (T_i, O) each


def read(source: str, targets: str | None, question: Question) -> Examples:
    """Read the examples from a CSV file, or from NPY files of inputs and of targets."""
    with tables.open_table(source) as table:
        if isinstance(table, tables.CsvTable):
            if targets is not None:
                raise ArgumentError("TARGETS: expected none beside CSV, where --target names them")
            return _from_csv(table, question)
        y = None
        if targets is not None:
            with tables.open_table(targets) as other:
                if isinstance(other, tables.CsvTable):
                    raise tables.TableError(f"{targets}: expected an NPY file, as the inputs are")
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
                raise tables.TableError(f"{self.file}: expected a name of a column, got {name!r}")
        if len(set(self.names)) < width:
            raise tables.TableError(f"{self.file}: two columns have the same name")
        for line, row in zip(self.lines, self.rows, strict=True):
            if len(row) != width:
                wrong = f"expected {width} fields as in the first line, got {len(row)}"
                raise tables.TableError(f"{self.file} line {line}: {wrong}")

    def text(self, name: str) -> list[str]:
        """Return a column."""
        i = self.names.index(name)
        return [row[i] for row in self.rows]

    def rows_of(self, sequence: str | None) -> list[list[int]]:
        """Return the indices of the rows of each sequence, in the order in which they come."""
        if sequence is None:
            return [list(range(len(self.rows)))]
        found: dict[str, list[int]] = {}
        for n, name in enumerate(self.text(sequence)):
            found.setdefault(name, []).append(n)
        return list(found.values())

    def words(self, name: str) -> list[str]:
        """Return a column in which no field is empty."""
        words = self.text(name)
        if "" in words:
            where = f"{self.file} line {self.lines[words.index('')]}, column {name}"
            raise tables.TableError(f"{where}: expected a class, got nothing")
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
    x = columns.numbers(inputs, " (--inputs says which columns to read)")
    targets = list(question.targets) or inputs
    classes: list[str] = []
    if task == "classification":
        classes, y = _classes(columns.words(targets[0]))
    else:
        y = columns.numbers(targets, "" if task == "forecast" else " (or --task classification)")
    sequences = columns.rows_of(question.sequence)
    xs, ys = [x[rows] for rows in sequences], [y[rows] for rows in sequences]
    if task == "forecast":
        return _forecast(xs, ys, inputs, targets, question)
    outputs = "all"
    if len(ys) > 1 and all((y == y[0]).all() for y in ys):
        outputs, ys = "last", [y[0] for y in ys]
    return Examples(xs, ys, task, outputs, inputs, targets, classes)


def _classes(labels: Sequence[str]) -> tuple[list[str], Array]:
    """Return the classes, numbers in the order of numbers, and the index of each label."""
    names = sorted(set(labels), key=lambda name: (_finite(name) is None, _finite(name) or 0, name))
    if len(names) < 2:
        raise ArgumentError(f"--target: expected two classes or more, got {len(names)}")
    index = {name: i for i, name in enumerate(names)}
    return names, np.array([index[label] for label in labels])


def _require_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            expected = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise ArgumentError(f"{option}: expected one of the columns {expected}, got {name}")


def _require_a_sound(question: Question, task: str, inputs: Sequence[str]) -> None:
    """Refuse a question that contradicts itself."""
    targets = question.targets
    if task != "forecast":
        if question.horizon is not None:
            raise ArgumentError(f"--horizon: expected with forecasts only, got it for {task}")
        if not targets:
            raise ArgumentError(f"--target: expected the column to learn, for {task}, got none")
        if both := [name for name in inputs if name in targets]:
            raise ArgumentError(f"--target: expected columns that are no inputs, got {both[0]}")
    if task == "classification" and len(targets) != 1:
        raise ArgumentError(f"--target: expected one column of classes, got {len(targets)}")
    if not inputs:
        raise ArgumentError("--inputs: expected at least one column, got none")


# --- NPY ------------------------------------------------------------------------------------------


def _from_npy(
    name: str, x: Array, targets_name: str | None, y: Array | None, question: Question
) -> Examples:
    if question.sequence is not None:
        raise ArgumentError("--sequence: expected with CSV only; an NPY file has (B, T, I)")
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
        raise ArgumentError("--target: expected none beside a file of targets")
    task = question.task or ("regression" if y.dtype.kind == "f" else "classification")
    if task == "forecast" or question.horizon is not None:
        raise ArgumentError("TARGETS: expected none for a forecast, which --target describes")
    return _with_targets(xs, x.shape[:-1], inputs, task, str(targets_name), y)


def _with_targets(
    xs: list[Array], shape: tuple[int, ...], inputs: list[str], task: str, name: str, y: Array
) -> Examples:
    """Pair inputs of this shape, but for the features, with the targets of steps or sequences."""
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
    return Examples(xs, ys, task, "all" if each_step else "last", inputs, targets, classes)


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
    """Pair every step with what comes `horizon` steps later; shorter sequences are left out."""
    horizon = question.horizon or 1
    if horizon >= (longest := max(map(len, xs))):
        raise ArgumentError(f"--horizon: expected less than the {longest} steps, got {horizon}")
    long = [i for i, x in enumerate(xs) if len(x) > horizon]
    return Examples(
        x=[xs[i][:-horizon] for i in long],
        y=[ys[i][horizon:] for i in long],
        task="forecast",
        outputs="all",
        inputs=inputs,
        targets=targets,
        classes=[],
        horizon=horizon,
        now=[ys[i][:-horizon] for i in long],
    )


class Span(NamedTuple):
    """The steps start:stop of a sequence, which is run from its beginning."""

    sequence: int
    start: int
    stop: int


class Split(NamedTuple):
    """What is learned from, what tells when to stop, and what nothing is decided on."""

    training: list[Span]
    validation: list[Span]
    holdout: list[Span]


def split(examples: Examples, validation: float, holdout: float, seed: int) -> Split:
    """Split one series in time, and several sequences at random, the classes in proportion.

    `holdout` is a part of all, `validation` of the rest.
    """
    for option, share in (("--holdout", holdout), ("--validation", validation)):
        if not 0 <= share < 1:
            raise ArgumentError(f"{option}: expected at least 0 and less than 1, got {share}")
    whole = [Span(i, 0, len(x)) for i, x in enumerate(examples.x)]
    if len(whole) == 1 and examples.outputs == "last":
        raise ArgumentError("DATA: expected several sequences with a target each, got one")
    if len(whole) == 1:
        (_, _, steps) = whole[0]
        end = round(steps * (1 - holdout))
        middle = round(end * (1 - validation))
        spans = [Span(0, *edges) for edges in ((0, middle), (middle, end), (end, steps))]
        parts = [[span] if span.stop > span.start else [] for span in spans]
    else:
        order = shuffled(len(whole), seed)
        if examples.outputs == "last" and examples.classes:
            order = order[np.argsort([examples.y[i] for i in order], kind="stable")]
        rest, held = _every(order, holdout)
        train, validate = _every(rest, validation)
        parts = [[whole[i] for i in sorted(part)] for part in (train, validate, held)]
    for name, share, spans in zip(Split._fields, (1, validation, holdout), parts, strict=True):
        if share and not spans:
            raise ArgumentError(
                f"DATA: expected enough of it for a {name} part, got {_size(whole)}"
            )
    return Split(*parts)


def _size(whole: list[Span]) -> str:
    return f"{len(whole)} sequences" if len(whole) > 1 else f"{whole[0].stop} steps"


def _every(order: Array, share: float) -> tuple[Array, Array]:
    """Take this share out of an order, evenly; return the rest and what was taken."""
    edges = np.floor(np.arange(len(order) + 1) * share + 0.5)
    taken = np.diff(edges) > 0
    return order[~taken], order[taken]
