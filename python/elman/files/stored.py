"""`run_files`: run a network over files of any size."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import TYPE_CHECKING, Any

from elman import _arguments, _files
from elman._network import require_network
from elman._text import printable
from elman.errors import ArgumentError, ArgumentTypeError, TableError
from elman.files import inputs as sources
from elman.files import output, running, writing
from elman.files.arrays import ArraySource
from elman.files.npy import NpySource, Plan, cost
from elman.files.parquet import running as parquet
from elman.files.parquet.arrays import array_sink
from elman.files.parts import FilesRun, Progress, Request, run_parts, run_stored
from elman.files.sinks import NpySink, StreamSink, output_shape, renamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from elman._files import Path
    from elman._network import Network
    from elman.files.inputs import Inputs
    from elman.files.jobs import Sink
    from elman.files.journal import Journal
    from elman.files.reading import TextSource

__all__ = ["FilesRun", "Progress", "run_files"]

MEMORY = 256 << 20
DEEPEST = 32  # outputs that wait to be written


def run_files(
    net: Network,
    source: Path | Sequence[Path],
    destination: Path,
    *,
    outputs: str | None = None,
    lengths: Path | None = None,
    format: str | None = None,
    sequence: str | None = None,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    missing: str | None = None,
    memory: int = MEMORY,
    threads: int | None = None,
    nonfinite: str = "propagate",
    skip_bad: Path | None = None,
    progress: Callable[[Progress], object] | None = None,
    restart: bool = False,
) -> FilesRun:
    """Run a network over files of any size, and write its outputs to files.

    Memory is bounded whatever the size of the files. Reading, running and writing overlap. The
    outputs have the bits of `net(x)`, and appear at their destination whole or not at all. A run
    of arrays or Parquet that was interrupted, even by a kill, is continued by the same call: what
    is done is kept beside the destination, in a folder `.NAME.elman-run`, until everything is.

    Parameters
    ----------
    net : Network
    source : path, or list of paths
        NPY files, arrays (..., T, I) of any real dtype: one file, a folder with the folders in it,
        a pattern such as "day-*.npy", or a list. Or Parquet, in the same forms: a row has a
        sequence, as a list of lists of numbers or in a list for each input, or it has a step. Or
        one table of text such as CSV, as for `run_table`. "-" is standard input.
    destination : path
        A file for one file, otherwise a folder, in which the outputs have the names of the inputs
        without `.gz`, `.bz2` or `.xz`, and the suffix of their format; not within the folder that
        is the source. "-" is standard output, but not from or to Parquet.
    outputs : {"all", "last"}, optional
        The outputs of all steps, or of the last of each sequence; by default as in the network's
        table.
    lengths : path, optional
        For one file of padded arrays (..., T, I): an NPY file of integers (...), the number of real
        steps of each sequence. The outputs are those of `net.run(x, lengths=lengths)`, but lists of
        Parquet have no padding.
    format : {"npy", "csv", "parquet"}, optional
        Format of the outputs: by default that of the destination's suffix; or else "parquet" for
        Parquet, "npy" for a folder of arrays and "csv" for a file. Not "parquet" for a table of
        text. As NPY, sequences in lists of Parquet have one length, unless `outputs` is "last";
        CSV is for arrays with at most two axes, tables of steps, and last outputs.
    sequence, missing
        For tables, as for `run_table`; `missing` not for Parquet.
    columns : list of str, optional
        For Parquet: the columns to write beside the outputs; by default all but the inputs.
    inputs : list of str, optional
        For Parquet: the column of sequences, or a column for each input; by default those of the
        network's table, the only column of sequences, or all columns of numbers.
    memory : int
        Bytes for inputs and outputs in memory, beyond the interpreter and its libraries: arrays
        are divided into parts accordingly. Sequences that do not fit are run in pieces of time,
        in which the state carries over; for a network with a layer that reads in reverse they are
        an error. A table of text is read in blocks of a megabyte, whatever `memory`.
    threads : int, optional
        Number of threads of the network; by default all processors. The bits do not depend on it.
    nonfinite : {"propagate", "raise"}
        Whether NaN and infinities in arrays, and numbers too large for the network's dtype, are
        run like others or are an error. In tables of text they are always an error.
    skip_bad : path, optional
        Instead of raising the error, go on, and write the sequences that cannot be run to this
        file, a line of JSON for each: `file`, `part` (or null), `row` and `reason`. The outputs of
        such a sequence are NaN, in Parquet null, so that others keep their place (in CSV, those of
        earlier pieces of time remain); a file that cannot be read has none and `row` null. Not for
        tables of text.
    progress : function, optional
        Called with a `Progress` after parts, and at the end.
    restart : bool
        Whether to begin afresh where another call was interrupted.

    Returns
    -------
    FilesRun

    Raises
    ------
    TableError
        If a file is damaged, or a number or length is missing or invalid: with its file and row.
    ShapeError, DTypeError
        If `lengths` are not one integer for each sequence.
    LimitError
        If a part does not fit into `memory`.
    ArgumentError
        If an argument is invalid, two outputs would have the same name, or an interrupted run had
        another network, other options or other inputs.
    BusyError
        If another run is writing to this destination.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import elman, numpy as np, pathlib, tempfile
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((100, 20, 3), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder)
    ...     np.save(path / "x.npy", x)
    ...     done = elman.run_files(net, path / "x.npy", path / "y.npy", outputs="last")
    ...     y = np.load(path / "y.npy")
    >>> done.sequences, done.steps
    (100, 2000)
    >>> bool((y == net(x, outputs="last")).all())
    True
    """
    require_network(net)
    for argument, value, choices in (
        ("outputs", outputs, (None, "all", "last")),
        ("format", format, (None, "npy", "csv", "parquet")),
        ("nonfinite", nonfinite, ("propagate", "raise")),
    ):
        _arguments.require_one_of(argument, value, choices)
    request = Request(
        net,
        _files.name_of(destination, "destination"),
        running.outputs_of(net, outputs),
        None if lengths is None else _files.name_of(lengths, "lengths"),
        format,
        sequence,
        _names("columns", columns),
        _names("inputs", inputs),
        missing,
        _arguments.size("memory", memory),
        _arguments.processors() if threads is None else _arguments.size("threads", threads),
        nonfinite,
        None if skip_bad is None else _files.name_of(skip_bad, "skip_bad"),
        progress,
        _arguments.flag("restart", restart),
    )
    if progress is not None and not callable(progress):
        raise ArgumentTypeError(f"progress: expected a function, got {type(progress).__name__}")
    return _run(request, source)


def _names(argument: str, names: Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str):
        raise ArgumentTypeError(f"{argument}: expected a list of names, got str")
    listed = _arguments.listed(argument, names, "a list of names")
    return [_arguments.name(argument, name) for name in listed]


def _run(request: Request, source: Path | Sequence[Path]) -> FilesRun:
    """Find out what the source is, and run it."""
    found = sources.find(source)
    if parquet.is_source(found):
        _require_no_lengths(request, "Parquet, where lists have their own")
        return parquet.run_parquet(request, found, functools.partial(_targets, request, found))
    for argument in ("columns", "inputs"):
        if getattr(request, argument) is not None:
            raise ArgumentError(f"{argument}: expected none with a file of text or an array")
    if found.many:
        _require_no_lengths(request, f"several files, from {found.name}")
        for argument in ("sequence", "missing"):
            if getattr(request, argument) is not None:
                raise ArgumentError(f"{argument}: expected none with arrays, which are no tables")
        return _run_arrays(request, found, None)
    opening = running.open_source(
        request.net, found.files[0].path, request.sequence, request.missing
    )
    with opening as table:
        if isinstance(table, ArraySource):
            return _run_arrays(request, found, table)
        _require_no_lengths(request, f"a table of text, {table.name}")
        if request.skip_bad is not None:
            raise ArgumentError(f"skip_bad: expected none with a table of text, {table.name}")
        return _run_table(request, table, found.files[0].path)


def _require_no_lengths(request: Request, what: str) -> None:
    if request.lengths is not None:
        raise ArgumentError(f"lengths: expected None with {what}, got {printable(request.lengths)}")


# --- tables of text -------------------------------------------------------------------------------


def _run_table(request: Request, table: TextSource, path: str) -> FilesRun:
    net, outputs = request.net, request.outputs
    start, steps, sequences = time.monotonic(), 0, 0
    with output.open_output(request.destination, sources=(path,)) as file:

        def pieces() -> Iterator[running.Answers]:
            nonlocal steps, sequences
            for piece in running.answers(net, table, outputs, request.threads):
                yield piece
                steps, sequences = steps + piece.steps, piece.sequences
                if request.progress is not None:
                    seconds = time.monotonic() - start
                    request.progress(Progress(table.done(), sequences, steps, 0, 0, seconds))

        if _form(request, many=False) == "npy":
            one = outputs == "last" and table.sequence is None
            shape = (net.output_size,) if one else None
            writing.write_npy(file, (piece.output for piece in pieces()), shape)
        else:
            header = table_header(net, table, outputs) if table.header else b""
            for piece in pieces():  # the first one may raise
                file.write(header)
                header = b""
                file.write(writing.csv_lines(running.texts(net, piece), piece.output))
    seconds = time.monotonic() - start
    return FilesRun(sequences, steps, 0, seconds, 0.0, tuple(table.notes))


def table_header(net: Network, table: TextSource, outputs: str) -> bytes:
    """Return the first line of CSV for the outputs of a table."""
    when = table.time if outputs == "all" else None
    return writing.csv_header(running.column_names(net, table.sequence, when))


# --- arrays ---------------------------------------------------------------------------------------


def _run_arrays(request: Request, found: Inputs, table: ArraySource | None) -> FilesRun:
    form = _form(request, many=found.many, arrays=True)
    rows = form == "parquet"
    if rows:
        parquet.require_files(request)
    direct = not found.many and output.writes_directly(request.destination)
    plan = Plan(
        memory=request.memory,
        threads=request.threads,
        in_order=form == "csv" or direct,
        last=request.outputs == "last",
        finite=request.nonfinite == "raise",
        skip=request.skip_bad is not None,
        whole=rows and request.outputs == "all",
        kept=4 if rows else 2,
    )
    with contextlib.closing(
        NpySource(
            request.net,
            found.files,
            plan,
            table.file if table is not None else None,
            request.lengths,
        )
    ) as source:
        names = renamed(source.names, ".npy", ".parquet") if rows else source.names
        targets = _targets(request, found, source.paths, names)
        shapes = [output_shape(request.net, header, request.outputs) for header in source.headers]
        if form == "csv" and (found.many or len(shapes[0]) > 2):
            got = "a folder" if found.many else str(shapes[0])
            raise TableError(
                f"{found.name}: expected outputs with at most two axes for CSV, got {got}:"
                " use format='npy' (--format npy)"
            )

        def sink(target: Any, work: Journal | None) -> Sink:  # noqa: ANN401
            if work is not None and rows:
                return array_sink(request, source, targets, work)
            if work is not None and form == "npy":
                return NpySink(request.net, source.headers, targets, request.outputs, work)
            return StreamSink(request.net, shapes[0], form, texts, target, work)

        def texts(values: Any) -> list[list[str]]:  # noqa: ANN401
            return running.texts(request.net, running.Answers(None, None, values))

        depth = _depth(request, source, plan.kept)
        if direct:
            if request.skip_bad is not None:
                raise ArgumentError("skip_bad: expected none unless the output is a file")
            with output.open_output(request.destination, sources=tuple(source.paths)) as file:
                return run_parts(request, source, sink(file, None), None, depth)
        return run_stored(
            request,
            source,
            lambda work: sink(targets[0], work),
            targets,
            form,
            depth,
        )


def _depth(request: Request, source: NpySource, kept: int) -> int:
    """Return how many outputs may wait: parts are small, so many of them fit into the memory."""
    header = source.headers[0]
    steps = source.parts().largest // (header.dtype.itemsize * request.net.input_size)
    part = steps * cost(request.net, header, source.lanes, kept)
    outputs = max(1, steps * request.net.output_size * request.net.dtype.itemsize)
    return max(1, min(DEEPEST, 1 + (request.memory - part) // outputs))


def _form(request: Request, *, many: bool, arrays: bool = False) -> str:
    """Return the format of the outputs: as given, or as the destination's name says."""
    form, name = request.form, request.destination
    if form == "parquet" or (form is None and name.endswith(".parquet")):
        if arrays:
            return "parquet"
        raise ArgumentError(
            f"{'format' if form else 'destination'}: expected NPY or CSV, as the input is a"
            f" table of text, got {form or printable(name)}"
        )
    return form or ("npy" if many or name.endswith(".npy") else "csv")


def _is_in(path: str, folder: str) -> bool:
    parents = os.path.join(os.path.realpath(path), "")
    return parents.startswith(os.path.join(os.path.realpath(folder), ""))


def _targets(
    request: Request, found: Inputs, paths: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Return the path of the output of each file; `names` are those in a folder."""
    if not found.many:
        return [request.destination]
    if output.writes_directly(request.destination):
        raise ArgumentError(
            f"destination: expected a folder for the outputs of {found.name}, got"
            f" {printable(request.destination)}"
        )
    if os.path.exists(request.destination) and not os.path.isdir(request.destination):
        raise ArgumentError(
            f"destination: expected a folder for the outputs of {found.name}, got the file"
            f" {printable(request.destination)}"
        )
    if found.folder is not None and _is_in(request.destination, found.folder):
        raise ArgumentError(
            f"destination: expected a folder outside of {found.name}, all files of which are read,"
            f" got {printable(request.destination)}"
        )
    sources.require_different(request.destination, paths, names)
    return [os.path.join(request.destination, name) for name in names]
