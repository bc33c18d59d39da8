"""`run_files` over Parquet files."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

from elman._text import printable, show
from elman.errors import ArgumentError, TableError
from elman.files import jobs, output, parts
from elman.files.jobs import Bad
from elman.files.parquet.flat import NumberColumns, TextColumns
from elman.files.parquet.keys import needed, survey
from elman.files.parquet.layout import LISTS, layout
from elman.files.parquet.lists import WAITING, ListSource, lanes
from elman.files.parquet.outputs import OutputColumns
from elman.files.parquet.reading import described, is_parquet
from elman.files.parquet.rows import RowRunner, RowSink, RowSource, States
from elman.files.parquet.sink import ParquetSink, room
from elman.files.parquet.spilling import MergingRunner, Spilled
from elman.files.sinks import renamed

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman.files.inputs import Inputs
    from elman.files.jobs import Sink
    from elman.files.journal import Journal
    from elman.files.parquet.keys import Survey
    from elman.files.parquet.layout import Layout
    from elman.files.parquet.reading import File
    from elman.files.parts import FilesRun, Request


SHARE = 16  # parts that fit into the memory; about a dozen are in use
DEPTH, DEEPEST = 4, 32  # outputs that may wait to be written, and if there is memory
KINDS: dict[str, type[OutputColumns] | type[NumberColumns]] = {
    "parquet": OutputColumns,
    "npy": NumberColumns,
    "csv": TextColumns,
}


def is_source(found: Inputs) -> bool:
    """Return whether the source is Parquet, by the name or the content of its first file."""
    path = found.files[0].path
    return is_parquet(path) or (path.endswith(".parquet") and os.path.isfile(path))


def run_parquet(
    request: Request, found: Inputs, targets: Callable[[list[str], list[str]], list[str]]
) -> FilesRun:
    """Run a network over Parquet files; the outputs are Parquet, too, unless asked otherwise."""
    require_files(request)
    form = _form(request)
    if form == "npy":
        request = _without_columns(request)
    files, layouts, lost = _described(request, found)
    # Numbers are counted as 8 bytes, so twice as much is a usual part; with half of it, reading,
    # running and writing took 1.05 times as long.
    size = max(1, min(2 * jobs.PART, request.memory // SHARE))
    columns = [
        KINDS[form](request.net, file, each, request.outputs)
        for file, each in zip(files, layouts, strict=True)
    ]
    kind = ListSource if layouts[0].form == LISTS else RowSource
    with contextlib.closing(kind(request, files, layouts, lost, size)) as source:
        names = targets(source.paths, renamed(source.names, ".parquet", f".{form}"))
        sequences = None
        if isinstance(source, RowSource):
            most = request.memory // 4 // States.bytes(request.net)
            sequences = survey(files, layouts, source.parts(), most)

        def sink(work: Journal) -> Sink:
            if isinstance(source, RowSource):
                states = _prepare(source, sequences, work)
                return RowSink(columns, names, request.memory, work, states)
            return ParquetSink(columns, names, request.memory, work)

        return parts.run_stored(request, source, sink, names, form, _depth(request, size))


def _depth(request: Request, size: int) -> int:
    """Return how many outputs may wait to be written: while a row group is encoded, others run.

    With `DEPTH` they wait for each other: 40,000 sequences of 800 outputs took 1.1 times as long.
    """
    encoded = 2 * room(request.memory) // size
    free = request.memory // size - WAITING - 2 * lanes(request, size) - encoded
    return max(DEPTH, min(DEEPEST, free))


def _prepare(source: RowSource, found: Survey | None, work: Journal) -> States | None:
    """Decide how a table of steps is run: states in memory, or divided into files."""
    request = source.request
    if found is None or set(request.net.directions) != {"forward"}:
        spilled = Spilled(source, work)
        source.make_runner = lambda *_: MergingRunner(source, spilled, request)
        return None
    states = States(request.net, len(found.slots))
    source.make_runner = functools.partial(RowRunner, source, found, states)
    return states


def _form(request: Request) -> str:
    """Return the format of the outputs: as given, as the destination's name says, or Parquet."""
    suffix = request.destination.rpartition(".")[2]
    return request.form or (suffix if suffix in KINDS else "parquet")


def _without_columns(request: Request) -> Request:
    if request.columns:
        raise ArgumentError(
            f"columns: expected none for NPY, which has the outputs only, got"
            f" {show(request.columns)}"
        )
    return request._replace(columns=[])


def require_files(request: Request) -> None:
    """Raise if the destination is a stream."""
    if output.writes_directly(request.destination):
        raise ArgumentError(
            "destination: expected a file or folder, as nothing is written to a stream from or to"
            f" Parquet, got {printable(request.destination)}"
        )


def _described(request: Request, found: Inputs) -> tuple[list[File], list[Layout], list[Bad]]:
    """Read all footers; files that cannot be read are left out if bad ones are skipped."""
    files, layouts = [], []
    lost: list[Bad] = []
    for each in found.files:
        try:
            file = described(each)
            layouts.append(layout(request, file))
            files.append(file)
        except TableError as error:
            if request.skip_bad is None or len(found.files) == 1:
                raise
            name, _, reason = str(error).partition(": ")
            lost.append(Bad(name, None, None, reason))
    if not files:
        raise lost[0].error()
    if lost and any(each.sequence for each in layouts):
        raise needed(lost[0].file, lost[0].reason)
    forms = {each.form for each in layouts}
    if len(forms) > 1:
        rows = files[[each.form for each in layouts].index(LISTS)].name
        raise TableError(
            f"{found.name}: expected sequences in lists in all files or in none, got them in {rows}"
        )
    return files, layouts, lost
