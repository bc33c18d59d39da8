"""`Table`, the meaning of the columns of a network's data, and its JSON in files."""

from __future__ import annotations

import json
from operator import index
from typing import TYPE_CHECKING

from elman import _container
from elman._container import show
from elman.errors import ArgumentError, ArgumentTypeError, LimitError, ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

__all__ = ["Table"]

_NOTHING: dict[str, object] = {  # the fields of an empty table
    "inputs": (),
    "targets": (),
    "sequence": None,
    "classes": (),
    "horizon": 0,
    "outputs": "all",
}
_FIELDS = tuple(_NOTHING)
_LISTS = ("inputs", "targets", "classes")


class Table:
    """The meaning of the columns of a network's data.

    A network's table, `net.table`, is part of copies, files, pickles and ONNX models. It is used by
    the command line and in calls with data frames: `net(df)` reads the columns `inputs` by name,
    and `elman.train(net, df, df)` also the `targets`, row by row. Plain arrays ignore it.

    A Table is immutable. All arguments are optional keywords.

    Parameters
    ----------
    inputs : iterable of str
        The columns that the network reads, in the order of its inputs.
    targets : iterable of str
        The columns that it predicts: one for each output, or the column of classes.
    sequence : str, optional
        The column that identifies the sequence of each row. None: all rows are one sequence.
    classes : iterable of str
        The labels of a classification, in the order of the network's outputs.
    horizon : int
        Number of steps ahead that the targets are; 0 for the same step.
    outputs : {"all", "last"}
        Whether the result is the output of every step, or of the last step of a sequence.

    Attributes
    ----------
    inputs, targets, classes : tuple of str
        Empty by default.
    sequence : str or None
    horizon : int
    outputs : str

    Raises
    ------
    ArgumentError
        If a name is empty, duplicate or not Unicode text, the sequence is an input or a target,
        there are classes and more than one target, `horizon` is negative, or `outputs` is unknown.
    ArgumentTypeError
        If an argument has the wrong type.

    Examples
    --------
    >>> import elman
    >>> table = elman.Table(inputs=["wind", "sun"], targets=["power"], horizon=24)
    >>> table
    Table(inputs=('wind', 'sun'), targets=('power',), horizon=24)
    >>> net = elman.Network(2, 16, 1, seed=0, table=table)
    >>> net.table == elman.Table.from_json(table.to_json())
    True
    """

    __slots__ = _FIELDS

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    sequence: str | None
    classes: tuple[str, ...]
    horizon: int
    outputs: str

    def __init__(
        self,
        *,
        inputs: Iterable[str] = (),
        targets: Iterable[str] = (),
        sequence: str | None = None,
        classes: Iterable[str] = (),
        horizon: int = 0,
        outputs: str = "all",
    ) -> None:
        if hasattr(self, "inputs"):
            raise AttributeError("__init__ was already called: tables are immutable")
        names = {"inputs": _names("inputs", inputs), "targets": _names("targets", targets)}
        labels = _texts("classes", classes)
        if sequence is not None:
            sequence = _name("sequence", sequence)
            for argument, columns in names.items():
                if sequence in columns:
                    raise ArgumentError(
                        f"sequence: expected a column that is not among the {argument}, got"
                        f" {show(sequence)}"
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
        values = (*names.values(), sequence, labels, _horizon(horizon), str(outputs))
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
        if type(fields["horizon"]) is not int:  # bool is a subclass of int
            raise ModelFormatError(
                f"table: horizon: expected an integer, got {show(fields['horizon'])}"
            )
        try:
            return cls(**fields)
        except (ArgumentError, TypeError) as error:
            raise ModelFormatError(f"table: {error}") from error

    def to_json(self) -> str:
        """Return the table as JSON: an object with a key for each field."""
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
    if table is None:
        return None
    if not isinstance(table, Table):
        raise ArgumentTypeError(f"table: expected an elman.Table, got {type(table).__name__}")
    for field, size in (("inputs", input_size), ("classes", output_size), ("targets", output_size)):
        names = getattr(table, field)
        if names and len(names) != size and not (field == "targets" and table.classes):
            which = "input" if field == "inputs" else "output"
            raise ArgumentError(
                f"table: expected {size} {field}, one for each {which} of the network, got"
                f" {len(names)}"
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
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        got = type(values).__name__
        raise ArgumentTypeError(f"{argument}: expected a list of names, got {got}")
    texts = tuple(_text(argument, value) for value in values)
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ArgumentError(f"{argument}: expected distinct names, got {show(text)} twice")
        seen.add(text)
    return texts


def _name(argument: str, value: object) -> str:
    text = _text(argument, value)
    if not text:
        raise ArgumentError(f"{argument}: expected the name of a column, got an empty string")
    return text


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


def _horizon(value: object) -> int:
    try:
        steps = index(value)  # type: ignore[arg-type]
    except TypeError:
        got = type(value).__name__
        raise ArgumentTypeError(f"horizon: expected an integer, got {got}") from None
    if not 0 <= steps < 2**63:
        raise ArgumentError(f"horizon: expected at least 0 and less than 2**63, got {show(steps)}")
    return int(steps)
