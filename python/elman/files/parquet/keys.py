"""The sequence of each row of a table of steps."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._text import show
from elman.errors import LimitError, TableError
from elman.files.parquet import nested
from elman.files.parquet.reading import PartReader, UnreadableError, named, place

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from elman.files.jobs import Part, Parts
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.reading import File

    Array = NDArray[Any]


class Keys(NamedTuple):
    """The sequences of the rows of a part.

    Attributes
    ----------
    codes : array of int
        The index in `values`, for each row.
    values : list
        Different keys.
    """

    codes: Array
    values: list[Hashable]


def keys(table: Any, part: Part, file: File, layout: Layout) -> Keys:  # noqa: ANN401
    """Return the sequences of a part; without a column of sequences, its file is one."""
    from pyarrow import types

    name = layout.sequence
    if name is None or name in file.folders:
        value = file.path if name is None else file.folders[name]
        return Keys(np.zeros(part.count, np.int64), [value])
    where = f"{file.name}, {place(part)}"
    column = nested.array_of(table.column(name))
    empty = nested.nulls(column)
    if len(empty):
        row = part.first + int(empty[0])
        raise TableError(f"{where}, row {row}: {show(name)}: expected a sequence, got null")
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_floating(kind) or types.is_nested(kind):
        raise TableError(
            f"{file.name}: {show(name)}: expected texts, integers or dates, as they identify"
            f" sequences, got {kind}"
        )
    with named(where, f"sequences in {show(name)}"):
        if not types.is_dictionary(column.type):
            column = column.dictionary_encode()
        values = column.dictionary
        if types.is_temporal(kind):
            numbers = nested.numbers(values.cast("int64" if kind.bit_width == 64 else "int32"))
            listed: list[Hashable] = [(str(kind), number) for number in numbers.tolist()]
        else:
            listed = values.to_pylist()
        return Keys(nested.numbers(column.indices).astype(np.int64), listed)


def needed(where: str, reason: str) -> TableError:
    """Return the error for what cannot be left out: the states of later rows depend on it."""
    return TableError(f"{where}: {reason}; in a table of steps it cannot be left out")


class Survey(NamedTuple):
    """All sequences of a table.

    Attributes
    ----------
    slots : dict of key to int
        The number of each, in order of first appearance.
    last : array of int
        Its last row, counted through all files.
    """

    slots: dict[Hashable, int]
    last: Array


def survey(
    files: Sequence[File], layouts: Sequence[Layout], parts: Parts, most: int
) -> Survey | None:
    """Return the sequences of a table, or None if there are more than `most`.

    Only the column of sequences is read.
    """
    columns = [
        [] if each.sequence is None or each.sequence in file.folders else [each.sequence]
        for file, each in zip(files, layouts, strict=True)
    ]
    reader = PartReader(files, columns)
    slots: dict[Hashable, int] = {}
    last = np.zeros(0, np.int64)
    row = 0
    try:
        for part in parts:
            file, each = files[part.file], layouts[part.file]
            try:
                table = reader.read(part) if columns[part.file] and part.count else None
            except UnreadableError as error:
                raise needed(f"{file.name}, {place(part)}", str(error)) from error
            count = part.count if columns[part.file] else min(part.count, 1)  # of one sequence
            if count:
                found = numbered(keys(table, replace(part, count=count), file, each), slots)
                if len(slots) > most:
                    return None
                if len(slots) > len(last):
                    last = np.append(last, np.zeros(max(len(slots), len(last)), np.int64))
                end = row + part.count
                last[found] = np.arange(end - count, end)  # the last one of each counts
            row += part.count
    finally:
        reader.close()
    return Survey(slots, last[: len(slots)])


def numbered(found: Keys, slots: dict[Hashable, int]) -> Array:
    """Return the number of the sequence of each row; new ones get the next numbers."""
    used = np.unique(found.codes)
    numbers = np.zeros(len(found.values), np.int64)
    numbers[used] = [slots.setdefault(found.values[i], len(slots)) for i in used.tolist()]
    return numbers[found.codes]


DIGEST = 16  # bytes that stand for a key


def digests(found: Keys) -> tuple[Array, Array]:
    """Return a digest of the key of each row as bytes, and a number by which to distribute it."""
    texts = [hashlib.blake2b(repr(key).encode(), digest_size=DIGEST) for key in found.values]
    each = np.array([text.digest() for text in texts], f"S{DIGEST}")
    first = np.array([int.from_bytes(text.digest()[:8], "little") for text in texts], np.uint64)
    return each[found.codes], first[found.codes]


def require_room(what: str, needed: int, memory: int) -> None:
    """Raise if the memory does not suffice."""
    if needed > memory:
        raise LimitError(f"memory: expected at least {needed} bytes for {what}, got {memory}")
