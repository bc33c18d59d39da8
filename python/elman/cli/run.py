"""`elman run`: the outputs of a network over a table of inputs."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from elman.cli import models
from elman.cli.progress import Progress
from elman.cli.text import tell
from elman.errors import ArgumentError
from elman.files import output, running, writing
from elman.files.arrays import ArraySource
from elman.files.output import is_standard_output, open_output, writes_directly
from elman.files.stored import MEMORY, run_files, table_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._network import Network
    from elman.files.reading import TextSource


def run(
    model: str,
    source: str,
    destination: str,
    *,
    memory: str,
    **options: Any,  # noqa: ANN401
) -> None:
    """Run a network over files, with the options of `elman.run_files`; show progress."""
    net = models.load(model, source)
    for path in filter(None, (destination, options["skip_bad"])):
        output.require_another(path, (model,))
    allowed = _bytes(memory)
    if allowed < MEMORY:
        # The pool of Arrow keeps up to 50 MiB more than it uses, for 7 % less time.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with Progress(hidden=is_standard_output(destination) and sys.stdout.isatty()) as progress:
        done = run_files(
            net,
            source,
            destination,
            memory=allowed,
            progress=progress,
            **options,
        )
    tell(done.notes)
    if done.bad:
        tell([f"{done.bad} left out, listed in {options['skip_bad']}"])


def _bytes(text: str) -> int:
    """Return the bytes in 268435456, 256M, 256MiB or 1G."""
    match = re.fullmatch(r"(\d+) *([KMGT]?)(i?B)?", text, re.IGNORECASE)
    if match is None:
        raise ArgumentError(f"--memory: expected bytes as 256M or 2G, got {text}")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def stream(
    model: str, source: str, destination: str, sequence: str | None, missing: str | None
) -> None:
    """Write the output for each line of the CSV `source` before reading the next."""
    net = models.load(model, source)
    if not writes_directly(destination):
        raise ArgumentError(
            f"--output: expected standard output or a device with --stream, got {destination}: a"
            f" file would appear only at the end; use > {destination}"
        )
    with running.open_source(net, source, sequence, missing) as table:
        if isinstance(table, ArraySource):
            raise elman.TableError(f"{table.name}: expected CSV for --stream, got an array")
        tell(table.notes)
        net.stream()  # raises for a network that reads in reverse
        with open_output(destination, sources=(source, model)) as file:
            if table.header:
                file.write(table_header(net, table, "all"))
                file.flush()
            for line in _answer_lines(net, table):
                file.write(line)
                file.flush()


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
