"""`elman run`: the outputs of a network over a table of inputs."""

from __future__ import annotations

import os
import sys
import time
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from elman.cli import models, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.cli.tables import Table

    Array = NDArray[Any]

PATIENCE = 0.5  # seconds of work before a progress bar appears


def run(model: str, source: str, output: str, form: str, last: bool | None, threads: int) -> None:
    """Read the table `source`, run the network over it, write its outputs.

    If `last` is None, the network's table decides between all outputs and the last.
    """
    net = models.load(model, source)
    if last is None:
        last = net.table is not None and net.table.outputs == "last"
    _refuse_the_same_file(source, output)
    with tables.open_table(source, net.table) as table:
        shape = _output_shape(net, table, last)
        if form == "csv" and shape is not None and len(shape) > 2:
            raise tables.TableError(
                f"{table.name}: expected outputs with at most two axes for CSV, got {shape}:"
                " use --format npy"
            )
        pieces = _pieces(net, table, last, threads)
        if sys.stderr.isatty() and not (output == "-" and sys.stdout.isatty()):
            pieces = _with_progress(pieces, table.done)
        with tables.open_output(output) as file:
            if form == "npy":
                tables.write_npy(file, pieces, shape)
            else:
                tables.write_csv(file, pieces)


def stream(model: str, source: str, output: str) -> None:
    """Write the output for each line of the CSV `source` before reading the next."""
    net = models.load(model, source)
    _refuse_the_same_file(source, output)
    with tables.open_table(source, net.table) as table:
        if not isinstance(table, tables.CsvTable):
            raise tables.TableError(f"{table.name}: expected CSV for --stream, got an NPY file")
        with tables.open_output(output) as file:
            _answer_lines(net, table, file)


def _answer_lines(net: Network, table: tables.CsvTable, file: IO[bytes]) -> None:
    streams = {"": net.stream()}  # one for each sequence
    for sequence, row in table.rows(net.input_size):
        if sequence not in streams:
            streams[sequence] = net.stream()
        file.write(tables.csv_line(streams[sequence].step(row)))
        file.flush()


def _refuse_the_same_file(source: str, output: str) -> None:
    if "-" not in (source, output) and os.path.exists(output) and os.path.samefile(source, output):
        raise tables.TableError(f"{output}: the output would overwrite the input")


def _output_shape(net: Network, table: Table, last: bool) -> tuple[int, ...] | None:
    """Return the shape of all outputs, or None for a table of unknown length."""
    if isinstance(table, tables.CsvTable):
        return (net.output_size,) if last and not table.has_sequences else None
    if last:
        return (*table.lead, net.output_size)
    return (*table.whole(net.input_size).shape[:-1], net.output_size)


def _pieces(net: Network, table: Table, last: bool, threads: int) -> Iterator[Array]:
    """Yield the outputs of each chunk of the table, or of the last step only.

    A batch is split into sequences. A single sequence is split in time and the state carries over
    between chunks, with the same bits as one call. It is read whole if a layer reads in reverse;
    so are sequences that a column names.
    """
    outputs = "last" if last else "all"
    if isinstance(table, tables.CsvTable) and table.has_sequences:
        yield _of_sequences(net, table, outputs, threads)
        return
    state = None
    in_chunks = table.lead or set(net.directions) == {"forward"}
    for chunk in table.chunks(net.input_size) if in_chunks else [table.whole(net.input_size)]:
        result = net.run(chunk, state=state, outputs=outputs, threads=threads)
        if not table.lead:
            state = result.state
        if table.lead or not last:
            yield result.output
    if last and not table.lead:
        yield result.output[np.newaxis]


def _of_sequences(net: Network, table: tables.CsvTable, outputs: str, threads: int) -> Array:
    """Return an output per line, or per sequence in order of first appearance."""
    x, sequences = table.sequences(net.input_size)
    places = [[i] for i in range(len(sequences))] if outputs == "last" else sequences
    y = np.empty((len(sequences) if outputs == "last" else len(x), net.output_size), net.dtype)
    for rows, place in zip(sequences, places, strict=True):
        y[place] = net.run(x[rows], outputs=outputs, threads=threads).output
    return y


def _with_progress(pieces: Iterator[Array], done: Callable[[], float | None]) -> Iterator[Array]:
    """Yield the pieces, and show a progress bar once the work has taken a while."""
    start = time.monotonic()
    for piece in pieces:
        yield piece
        if time.monotonic() - start > PATIENCE:
            break
    else:
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("running", total=None if done() is None else 1.0)
        for piece in pieces:
            bar.update(task, completed=done())
            yield piece
