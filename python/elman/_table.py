"""`Table`, the meaning of the columns of a network's data, and its JSON in files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING

from elman._text import show
from elman.errors import ArgumentError, ArgumentTypeError, LimitError, ModelFormatError

if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Table"]

_NOTHING: dict[str, object] = {  # the fields of an empty table
    "inputs": (),
    "targets": (),
    "sequence": None,
    "classes": (),
    "horizon": (),
    "outputs": "all",
    "time": None,
    "calendar": (),
}
CALENDAR = ("hour", "weekday", "yearday")
_FIELDS = tuple(_NOTHING)
_LISTS = ("inputs", "targets", "classes", "horizon", "calendar")


class Table:
    """The meaning of the columns of a network's data.

    A network's table, `net.table`, is part of copies, files, pickles and ONNX models. It is used by
    the command line and in calls with data frames: `net(df)` reads the columns `inputs` by name,
    sequence by sequence, and `elman.train(net, df, df)` also the `targets`. Plain arrays ignore it.

    A Table is immutable. All arguments are optional keywords.

    Parameters
    ----------
    inputs : iterable of str
        The columns that the network reads, in the order of its inputs.
    targets : iterable of str
        The columns that it predicts, or the column of classes.
    sequence : str, optional
        The column that identifies the sequence of each row. None: all rows are one sequence.
    classes : iterable of str
        The labels of a classification, in the order of the network's outputs.
    horizon : int or iterable of int
        Number of steps ahead that the targets are; 0 for the same step. With several, increasing
        numbers, the network has an output for each target at each of them: all targets at the
        first, then all at the second, and so on.
    outputs : {"all", "last"}
        Whether the result is the output of every step, or of the last step of a sequence.
    time : str, optional
        The column of dates or times.
    calendar : iterable of {"hour", "weekday", "yearday"}
        Inputs computed from `time`, after the columns in `inputs`: the sine and the cosine of the
        hour of the day, the day of the week and the day of the year.

    Attributes
    ----------
    inputs, targets, classes, calendar : tuple of str
        Empty by default.
    sequence, time : str or None
    horizon : tuple of int
        Empty for the same step.
    outputs : str

    Raises
    ------
    ArgumentError
        If a name is empty, duplicate or not Unicode text, the sequence or the time is an input or a
        target, there are classes and more than one target, `horizon` is negative or not increasing,
        `outputs` is unknown, or there is a calendar without a time.
    ArgumentTypeError
        If an argument has the wrong type.

    Examples
    --------
    >>> import elman
    >>> table = elman.Table(inputs=["wind", "sun"], targets=["power"], horizon=24)
    >>> table
    Table(inputs=('wind', 'sun'), targets=('power',), horizon=(24,))
    >>> net = elman.Network(2, 16, 1, seed=0, table=table)
    >>> net.table == elman.Table.from_json(table.to_json())
    True
    """

    __slots__ = _FIELDS

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    sequence: str | None
    classes: tuple[str, ...]
    horizon: tuple[int, ...]
    outputs: str
    time: str | None
    calendar: tuple[str, ...]

    def __init__(
        self,
        *,
        inputs: Iterable[str] = (),
        targets: Iterable[str] = (),
        sequence: str | None = None,
        classes: Iterable[str] = (),
        horizon: int | Iterable[int] = 0,
        outputs: str = "all",
        time: str | None = None,
        calendar: Iterable[str] = (),
    ) -> None:
        if hasattr(self, "inputs"):
            raise AttributeError("__init__ was already called: tables are immutable")
        names = {"inputs": _names("inputs", inputs), "targets": _names("targets", targets)}
        labels = _texts("classes", classes)
        sequence = _other_column("sequence", sequence, names)
        time = _other_column("time", time, names)
        if time is not None and time == sequence:
            raise ArgumentError(
                f"time: expected another column than the sequence, got {show(time)}"
            )
        if labels and len(names["targets"]) > 1:
            raise ArgumentError(
                f"targets: expected one column of classes, got {len(names['targets'])}"
            )
        if not isinstance(outputs, str):
            got = type(outputs).__name__
            raise ArgumentTypeError(f"outputs: expected 'all' or 'last', got {got}")
        if outputs not in ("all", "last"):
            raise ArgumentError(f"outputs: expected 'all' or 'last', got {show(outputs)}")
        steps, parts = _horizon(horizon), _calendar(calendar)
        if labels and len(steps) > 1:
            raise ArgumentError(f"horizon: expected one number with classes, got {len(steps)}")
        if parts and time is None:
            raise ArgumentError("time: expected the column of the calendar, got None")
        values = (*names.values(), sequence, labels, steps, str(outputs), time, parts)
        for field, value in zip(_FIELDS, values, strict=True):
            object.__setattr__(self, field, value)

    @classmethod
    def from_json(cls, text: str) -> Table:
        """Return the table that `to_json` wrote.

        Raises
        ------
        ModelFormatError
            If a key is missing or unknown, or a value is invalid.
        LimitError
            If the text is too long for a model file.
        """
        from elman import _container

        if not isinstance(text, str):
            raise ArgumentTypeError(f"table: expected JSON text, got {type(text).__name__}")
        if len(text) > _container.MAX_HEADER_BYTES:
            raise LimitError(
                f"table: expected at most {_container.MAX_HEADER_BYTES} characters, got {len(text)}"
            )
        fields = _container.json_object(text, "table")
        _container.check_keys(fields, "table", _FIELDS)
        for name in _LISTS:
            if not isinstance(fields[name], list):
                raise ModelFormatError(f"table: {name}: expected a list, got {show(fields[name])}")
        for steps in fields["horizon"]:
            if type(steps) is not int:  # bool is a subclass of int
                raise ModelFormatError(f"table: horizon: expected integers, got {show(steps)}")
        try:
            return cls(**fields)
        except (ArgumentError, TypeError) as error:
            raise ModelFormatError(f"table: {error}") from error

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the network's inputs: the columns, then `hour_sin`, `hour_cos`, ..."""
        return (*self.inputs, *(f"{part}_{f}" for part in self.calendar for f in ("sin", "cos")))

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the network's outputs: classes or targets; `load+1`, ... if several steps.

        For several steps ahead, a target is followed by the number of steps.
        """
        if self.classes or len(self.horizon) < 2:
            return self.classes or self.targets
        return tuple(f"{target}+{step}" for step in self.horizon for target in self.targets)

    def to_json(self) -> str:
        """Return the table as JSON: an object with a key for each field."""
        import json

        return json.dumps(self._fields(), ensure_ascii=False)

    def _fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in _FIELDS}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Table.{name} cannot be set: tables are immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Table.{name} cannot be deleted: tables are immutable")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(tuple(self._fields().values()))

    def __reduce__(self) -> tuple[object, tuple[dict[str, object]]]:
        return _restore, (self._fields(),)

    def __repr__(self) -> str:
        said = [f"{name}={v!r}" for name, v in self._fields().items() if v != _NOTHING[name]]
        return f"Table({', '.join(said)})"


def for_network(table: object, input_size: int, output_size: int) -> Table | None:
    """Check the table of a network of these sizes; return it, or None if it is empty.

    Raises
    ------
    ArgumentError
        If the number of columns or classes differs from that of inputs or outputs.
    ArgumentTypeError
        If it is not a `Table`.
    """
    if not isinstance(table, Table):
        raise ArgumentTypeError(f"table: expected an elman.Table, got {type(table).__name__}")
    steps = len(table.horizon)
    targets = f"targets x {steps} steps" if steps > 1 else "targets"
    outputs = "classes" if table.classes else targets
    for what, end, found, size in (
        ("inputs", "input", table.inputs and table.input_names, input_size),
        (outputs, "output", table.output_names, output_size),
    ):
        if found and len(found) != size:
            raise ArgumentError(
                f"table: expected {size} {what}, one for each {end} of the network, got"
                f" {len(found)}"
            )
    return None if table._fields() == _NOTHING else table


def _restore(fields: dict[str, Any]) -> Table:
    """Return the table in a pickle."""
    return Table(**fields)


# --- checks ---------------------------------------------------------------------------------------


def _names(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check and return the names of columns, nonempty and distinct."""
    names = _texts(argument, values)
    if "" in names:
        raise ArgumentError(f"{argument}: expected a name for every column, got an empty string")
    return names


def _texts(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check and return distinct strings."""
    try:
        listed = None if isinstance(values, str | bytes) else list(values)
    except TypeError:
        listed = None
    if listed is None:
        got = type(values).__name__
        raise ArgumentTypeError(f"{argument}: expected a list of names, got {got}")
    texts = tuple(_text(argument, value) for value in listed)
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ArgumentError(f"{argument}: expected distinct names, got {show(text)} twice")
        seen.add(text)
    return texts


def _other_column(argument: str, value: object, taken: dict[str, tuple[str, ...]]) -> str | None:
    """Check and return the name of a column that is neither an input nor a target."""
    if value is None:
        return None
    name = _text(argument, value)
    if not name:
        raise ArgumentError(f"{argument}: expected the name of a column, got an empty string")
    for columns, names in taken.items():
        if name in names:
            raise ArgumentError(
                f"{argument}: expected a column that is not among the {columns}, got {show(name)}"
            )
    return name


def _text(argument: str, value: object) -> str:
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{argument}: expected a name, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"{argument}: expected Unicode text, got {show(value)} ({error.reason})"
        ) from None
    return str(value)


def _calendar(values: Iterable[str]) -> tuple[str, ...]:
    parts = _texts("calendar", values)
    for part in parts:
        if part not in CALENDAR:
            raise ArgumentError(
                f"calendar: expected some of {', '.join(CALENDAR)}, got {show(part)}"
            )
    return parts


def _horizon(value: object) -> tuple[int, ...]:
    single = isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0
    if single or not isinstance(value, Iterable):
        first = _steps(value)
        return (first,) if first else ()
    steps = tuple(map(_steps, value))
    if any(late <= soon for soon, late in pairwise((0, *steps))):
        raise ArgumentError(
            f"horizon: expected increasing numbers of at least 1, got {show(list(steps))}"
        )
    return steps


def _steps(value: object) -> int:
    try:
        steps = index(value)  # type: ignore[arg-type]
    except TypeError:
        got = type(value).__name__
        raise ArgumentTypeError(f"horizon: expected an integer, got {got}") from None
    if not 0 <= steps < 2**63:
        raise ArgumentError(f"horizon: expected at least 0 and less than 2**63, got {show(steps)}")
    return int(steps)
