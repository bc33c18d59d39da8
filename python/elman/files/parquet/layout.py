"""Which columns of a Parquet file have the inputs, the sequence and what is passed through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from elman._text import plain, show
from elman.errors import ArgumentError, TableError, UnsupportedModelError
from elman.files import running
from elman.files.parquet import nested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elman._network import Network
    from elman.files.parquet.reading import File
    from elman.files.parts import Request

LISTS, ROWS = "lists", "rows"


class Layout(NamedTuple):
    """The roles of the columns of a file.

    Attributes
    ----------
    form : {"lists", "rows"}
        Whether a row has a sequence, in lists, or a step.
    inputs : list of str
        One column of steps; or a column for each input, of lists or of numbers.
    sequence : str or None
        The column that identifies the sequence of each row; None: the file is one sequence.
    passed : list of str
        The columns that are written beside the outputs.
    """

    form: str
    inputs: list[str]
    sequence: str | None
    passed: list[str]

    @property
    def read(self) -> list[str]:
        """The columns to read."""
        sequence = [] if self.sequence is None else [self.sequence]
        return list(dict.fromkeys([*self.inputs, *sequence, *self.passed]))


def layout(request: Request, file: File) -> Layout:
    """Return the layout of a file, from the arguments, the network's table and the types.

    Raises
    ------
    TableError
        If a column is missing, or does not contain what is expected.
    ArgumentError
        If an argument contradicts the network's table.
    """
    net = request.net
    if request.missing is not None:
        raise ArgumentError(f"missing: expected None with Parquet, got {show(request.missing)}")
    table = net.table
    if table is not None and table.calendar:
        raise UnsupportedModelError(
            f"{file.name}: expected a model without calendar inputs, which are computed for tables"
            " of text and data frames only"
        )
    running.require_sequence(net, request.sequence)
    inputs = _inputs(request, file)
    kinds = [file.schema.field(name).type for name in inputs]
    of_lists = [nested.is_numbers(kind) or nested.is_steps(kind) for kind in kinds]
    if any(of_lists):
        _require_lists(net, file, inputs, kinds)
        if request.sequence:
            raise ArgumentError(
                f"sequence: expected None, as each row of {file.name} is a sequence, got"
                f" {show(request.sequence)}"
            )
        return Layout(LISTS, inputs, None, _passed(request, file, inputs))
    for name, kind in zip(inputs, kinds, strict=True):
        if not nested.is_number(kind):
            raise TableError(f"{file.name}: {show(name)}: {_expected(1)}, got {kind}")
    if len(inputs) != net.input_size:
        raise TableError(
            f"{file.name}: expected {net.input_size} columns of numbers, or one of sequences, got"
            f" {show(inputs)}: inputs= (--inputs) names the columns to read"
        )
    sequence = _sequence(request, file)
    if sequence in inputs:
        raise ArgumentError(f"sequence: expected a column that is no input, got {show(sequence)}")
    return Layout(ROWS, inputs, sequence, _passed(request, file, inputs))


def find(file: File, name: str, purpose: str) -> str:
    """Return the name of a column; case and blanks may differ, if no name is the same.

    Raises
    ------
    TableError
        If no column matches, or several do.
    """
    names = file.schema.names
    found = [each for each in names if each == name]
    if not found:
        found = [each for each in names if plain(each) == plain(name)]
    if len(found) == 1:
        return str(found[0])
    expected = f"one column {show(name)}" if found else f"the column {show(name)}"
    got = found or names
    listed = ", ".join(map(show, got[:20])) + (", ..." if len(got) > 20 else "")
    raise TableError(f"{file.name}: expected {expected}, {purpose}, got {listed or 'none'}")


def _inputs(request: Request, file: File) -> list[str]:
    """Return the columns of inputs: as given, as in the network's table, or by their types."""
    net, table = request.net, request.net.table
    if request.inputs is not None:
        return [find(file, name, "given as inputs") for name in request.inputs]
    if table is not None and table.inputs and _has(file, table.inputs):
        return [find(file, name, "an input of the model") for name in table.inputs]
    fields = list(file.schema)
    steps = [f.name for f in fields if nested.is_steps(f.type)]
    if not steps and net.input_size == 1:
        steps = [f.name for f in fields if nested.is_numbers(f.type)]
    if len(steps) == 1:
        return [find(file, steps[0], "the only one of sequences")]
    if steps:
        raise TableError(
            f"{file.name}: expected one column of sequences, got {show(steps)}: inputs="
            " (--inputs) names one"
        )
    if table is not None and table.inputs:
        return [find(file, name, "an input of the model") for name in table.inputs]
    lists = [f for f in fields if nested.is_numbers(f.type)]
    if len(lists) == 1 and request.sequence is None:
        raise TableError(
            f"{file.name}: {show(lists[0].name)}: {_expected(net.input_size)}, got"
            f" {lists[0].type}, of which the order is not known: write lists of lists"
        )
    others = [*(request.columns or ()), request.sequence, *_names_of(net)]
    return [f.name for f in fields if nested.is_number(f.type) and f.name not in others]


def _names_of(net: Network) -> list[str | None]:
    """Return the columns of the network's table that are no inputs."""
    return [] if net.table is None else [net.table.sequence, net.table.time, *net.table.targets]


def _has(file: File, names: Sequence[str]) -> bool:
    known = set(map(plain, file.schema.names))
    return all(plain(name) in known for name in names)


def _expected(size: int) -> str:
    if size == 1:
        return "expected numbers, or lists of numbers"
    return f"expected lists of steps, which are lists of {size} numbers"


def _require_lists(net: Network, file: File, inputs: list[str], kinds: list[Any]) -> None:
    """Raise unless the columns are one of steps, or lists of numbers for each input."""
    size = net.input_size
    if len(kinds) == 1 and nested.is_steps(kinds[0]):
        width = nested.width(kinds[0])
        if width not in (None, size):
            raise TableError(
                f"{file.name}: {show(inputs[0])}: expected steps of {size} numbers, got {width}:"
                f" {kinds[0]}"
            )
        return
    for name, kind in zip(inputs, kinds, strict=True):
        if not nested.is_numbers(kind):
            raise TableError(
                f"{file.name}: {show(name)}: expected lists of numbers, one for each step, as in"
                f" the other inputs, got {kind}"
            )
    if len(inputs) != size:
        got = f"{len(inputs)} columns of lists of numbers" if len(inputs) > 1 else str(kinds[0])
        raise TableError(f"{file.name}: {show(inputs)}: {_expected(size)}, got {got}")


def _sequence(request: Request, file: File) -> str | None:
    """Return the column of sequences; a folder such as machine=7 is one, too."""
    if request.sequence == "":
        return None
    table = request.net.table
    name = request.sequence or (table.sequence if table is not None else None)
    if name is None or name in file.folders:
        return name
    if request.sequence is None and not _has(file, [name]):
        raise TableError(
            f"{file.name}: expected the column {show(name)}, the sequence of each row, got"
            f" {show(file.schema.names)}: for one sequence, pass '' as the column"
        )
    return find(file, name, "the sequence of each row")


def _passed(request: Request, file: File, inputs: list[str]) -> list[str]:
    """Return the columns to pass through: those given, or all but the inputs.

    Columns in the names of folders are kept by the folders of the output.
    """
    if request.columns is None:
        names = [name for name in file.schema.names if name not in inputs]
        return [find(file, name, "to be passed through") for name in names]
    asked = [name for name in request.columns if name not in file.folders]
    names = [find(file, name, "given as columns") for name in asked]
    if len(set(names)) < len(names):
        raise ArgumentError(f"columns: expected different columns, got {show(names)}")
    return names
