"""`elman run`: the outputs of a network over a table of inputs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from elman.cli import models
from elman.cli.text import tell
from elman.errors import ArgumentError
from elman.files import running, writing
from elman.files.arrays import ArraySource
from elman.files.output import is_standard_output, open_output, writes_directly
from elman.files.reading import TextSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from elman._network import Network

    Array = NDArray[Any]

PATIENCE = 0.5  # seconds of work before a progress bar is shown


def run(
    model: str,
    source: str,
    output: str,
    form: str,
    *,
    outputs: str | None,
    sequence: str | None,
    missing: str | None,
    threads: int,
) -> None:
    """Read the table `source`, run the network over it, write its outputs."""
    net = models.load(model, source)
    outputs = running.outputs_of(net, outputs)
    with running.open_source(net, source, sequence, missing) as table:
        shape: tuple[int, ...] | None
        if isinstance(table, ArraySource):
            shape = _shape(net, table, outputs)
            pieces = _of_array(net, table, outputs, threads)
            if form == "csv" and len(shape) > 2:
                raise elman.TableError(
                    f"{table.name}: expected outputs with at most two axes for CSV, got {shape}:"
                    " use --format npy"
                )
        else:
            tell(table.notes)
            one = outputs == "last" and table.sequence is None
            shape = (net.output_size,) if one else None
            pieces = running.answers(net, table, outputs, threads)
        if sys.stderr.isatty() and not (is_standard_output(output) and sys.stdout.isatty()):
            pieces = _with_progress(pieces, table.done)
        with open_output(output, sources=(source, model)) as file:
            if form == "npy":
                writing.write_npy(file, (piece.output for piece in pieces), shape)
                return
            header = b""
            if isinstance(table, TextSource) and table.header:
                header = _header(net, table, outputs)
            for piece in pieces:  # the first one may raise
                file.write(header)
                header = b""
                file.write(writing.csv_lines(running.texts(net, piece), piece.output))


def stream(model: str, source: str, output: str, sequence: str | None, missing: str | None) -> None:
    """Write the output for each line of the CSV `source` before reading the next."""
    net = models.load(model, source)
    if not writes_directly(output):
        raise ArgumentError(
            f"--output: expected standard output or a device with --stream, got {output}: a file"
            f" would appear only at the end; use > {output}"
        )
    with running.open_source(net, source, sequence, missing) as table:
        if isinstance(table, ArraySource):
            raise elman.TableError(f"{table.name}: expected CSV for --stream, got an array")
        tell(table.notes)
        net.stream()  # raises for a network that reads in reverse
        with open_output(output, sources=(source, model)) as file:
            if table.header:
                file.write(_header(net, table, "all"))
                file.flush()
            for line in _answer_lines(net, table):
                file.write(line)
                file.flush()


def _header(net: Network, table: TextSource, outputs: str) -> bytes:
    time = table.time if outputs == "all" else None
    return writing.csv_header(running.column_names(net, table.sequence, time))


def _answer_lines(net: Network, table: TextSource) -> Iterator[bytes]:
    streams: dict[str, elman.Stream] = {}  # one for each sequence
    most = float(np.finfo(net.dtype).max)
    for key, when, row in table.rows(net.input_size):
        name = key if table.sequence is not None else ""
        if name not in streams:
            streams[name] = net.stream(nonfinite="propagate")
        if max(map(abs, row)) > most:
            running.require_range(net, np.array([row]), table)
        y = streams[name].step(row)
        keys, times = (
            None if c is None else [v] for c, v in ((table.sequence, key), (table.time, when))
        )
        answers = running.Answers(keys, times, y[np.newaxis])
        fields = [writing.quoted(column[0]) for column in running.texts(net, answers)]
        yield (",".join([*fields, *map(writing.number, y)]) + "\n").encode()


def _shape(net: Network, table: ArraySource, outputs: str) -> tuple[int, ...]:
    """Return the shape of all outputs for an array."""
    steps = () if outputs == "last" else table.whole(net.input_size).shape[-2:-1]
    return (*table.lead, *steps, net.output_size)


def _of_array(
    net: Network, table: ArraySource, outputs: str, threads: int
) -> Iterator[running.Answers]:
    """Yield the outputs of each chunk of an array, or of the last step only.

    A batch is split into sequences. A single sequence is split in time and the state carries over
    between chunks, with the same bits as one call. It is read whole if a layer reads in reverse.
    """
    state = None
    in_chunks = table.lead or set(net.directions) == {"forward"}
    for chunk in table.chunks(net.input_size) if in_chunks else [table.whole(net.input_size)]:
        result = net.run(chunk, state=state, outputs=outputs, threads=threads)
        if not table.lead:
            state = result.state
        if table.lead or outputs == "all":
            yield running.Answers(None, None, result.output)
    if outputs == "last" and not table.lead:
        yield running.Answers(None, None, result.output[np.newaxis])


def _with_progress(
    pieces: Iterator[running.Answers], done: Callable[[], float | None]
) -> Iterator[running.Answers]:
    """Yield the pieces; show a progress bar after `PATIENCE` seconds."""
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
