"""Run the parts of a source, and go on where an interrupted run has stopped."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _files
from elman._text import printable
from elman.errors import ArgumentError, ElmanError
from elman.files import journal
from elman.files.output import writes_directly
from elman.files.pipeline import Counts, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elman._network import Network
    from elman.files.jobs import Sink, Source
    from elman.files.journal import Journal


class FilesRun(NamedTuple):
    """The result of `elman.run_files`.

    Attributes
    ----------
    sequences, steps : int
        How many were run, those of an interrupted run that was continued included; not those that
        were left out.
    bad : int
        How many sequences, or whole files, were left out.
    seconds : float
        The duration of this call.
    resumed : float
        The fraction that an interrupted run had done before, 0 to 1.
    notes : tuple of str
        What a reader of the outputs of a table should know about how it was read.
    """

    sequences: int
    steps: int
    bad: int
    seconds: float
    resumed: float
    notes: tuple[str, ...] = ()


class Progress(NamedTuple):
    """How far `elman.run_files` has come.

    Attributes
    ----------
    fraction : float or None
        What is done, 0 to 1; None if the size of the input is not known, as from a pipe.
    sequences, steps, bytes : int
        How many were run and read; no bytes for a table of text.
    bad : int
        How many sequences were left out.
    seconds : float
        The duration of this call so far.
    begun : Progress or None
        Where this call began, in an interrupted run that it continues; None at the beginning.
    """

    fraction: float | None
    sequences: int
    steps: int
    bytes: int
    bad: int
    seconds: float
    begun: Progress | None = None

    @property
    def seconds_left(self) -> float | None:
        """The seconds that the rest takes if the speed remains; None if not known."""
        before = self.begun.fraction or 0.0 if self.begun is not None else 0.0
        if self.fraction is None or self.fraction <= before:
            return None
        return self.seconds * (1 - self.fraction) / (self.fraction - before)


class Request(NamedTuple):
    """The arguments of `run_files` that are checked, in the words of its docstring."""

    net: Network
    destination: str
    outputs: str
    lengths: str | None
    form: str | None
    sequence: str | None
    columns: list[str] | None
    inputs: list[str] | None
    missing: str | None
    memory: int
    threads: int
    nonfinite: str
    skip_bad: str | None
    progress: Callable[[Progress], object] | None
    restart: bool

    def options(self, form: str) -> dict[str, Any]:
        """Return what must not change when a run is continued; `skip_bad` may be added."""
        names = ("outputs", "sequence", "columns", "inputs", "missing", "memory", "nonfinite")
        return {**{name: getattr(self, name) for name in names}, "format": form}


def run_stored(
    request: Request,
    source: Source,
    sink: Callable[[Journal], Sink],
    targets: Sequence[str],
    form: str,
    depth: int,
) -> FilesRun:
    """Run a source into files, which appear when they are whole, and continue an interrupted run.

    Parameters
    ----------
    request
    source
    sink : function
        Makes the sink for a work folder.
    targets : list of str
        The files that it writes.
    form : str
        The format of the outputs.
    depth : int
        How many outputs may wait to be written.
    """
    destination = request.destination
    _require_others([*targets, *filter(None, [request.skip_bad])], source.paths)
    if request.skip_bad is not None:
        _require_list(request.skip_bad, [destination, *targets])
    _require_place(destination, folder=list(targets) != [destination])
    stored = all(map(journal.is_stored, source.paths))  # otherwise it cannot be continued
    options = request.options(form)
    parts = source.parts() if stored else ()
    manifest = journal.manifest(request.net, options, source.paths, parts)
    work = None
    try:
        with journal.opened(destination, manifest, restart=request.restart or not stored) as work:
            for bad in [] if work.records else source.lost:
                work.add_bad(bad)
            done = run_parts(request, source, sink(work), work, depth)
            work.finish(request.skip_bad)
            return done
    except BaseException as error:
        if work is not None and work.records:
            fraction = work.records[-1]["bytes"] / max(1, source.parts().size)
            kept = f"{100 * fraction:.0f} % is done and kept"
            if stored and not isinstance(error, ElmanError):
                kept += ", the same command continues"
            error.add_note(f"{kept}; {destination} was not written")
        elif work is not None:
            error.add_note(f"{destination} was not written")
        raise


def run_parts(
    request: Request, source: Source, sink: Sink, work: Journal | None, depth: int
) -> FilesRun:
    """Run the parts of a source behind those in the journal; without one, all."""
    parts = source.parts()
    records = work.records if work is not None else []
    start = time.monotonic()
    done = Counts(bad=len(source.lost))
    runner = source.runner(request.net, request.outputs, request.threads)
    if records:
        done = Counts(*(records[-1][name] for name in Counts._fields))
        if done.bad and request.skip_bad is None:
            raise ArgumentError(
                f"skip_bad: expected a file, as the run that was stopped here has left out"
                f" {done.bad}, got None: restart=True (--restart) starts afresh"
            )
    if work is not None and (carry := work.carry()) is not None:
        runner.restore(carry)
    begun = _progress(done, parts.size, 0.0, None) if records else None

    def tell(counts: Counts) -> None:
        if request.progress is not None:
            request.progress(_progress(counts, parts.size, time.monotonic() - start, begun))

    try:
        sink.resume([record["sink"] for record in records if record["sink"] is not None])
        sink.publish()
        skip = request.skip_bad is not None
        line = Pipeline(source, runner, sink, work, skip=skip, depth=depth)
        before = done.parts / max(1, len(parts))
        done = line.run(parts, done, tell)
    finally:
        sink.close()
    seconds = time.monotonic() - start
    return FilesRun(done.sequences, done.steps, done.bad, seconds, before)


def _progress(done: Counts, size: int, seconds: float, begun: Progress | None) -> Progress:
    fraction = done.bytes / size if size else 1.0
    return Progress(fraction, *done[1:], seconds, begun)


def _require_others(targets: Sequence[str], sources: Sequence[str]) -> None:
    """Raise if an output is one of the inputs."""
    read = {}
    for source in sources:
        if source != "-":
            status = os.stat(source)
            read[status.st_dev, status.st_ino] = source
    for target in targets:
        try:
            status = os.stat(target)
        except OSError:
            continue
        taken = read.get((status.st_dev, status.st_ino))
        if taken is not None:
            raise ArgumentError(
                f"{printable(target)}: expected a file other than {printable(taken)}, which it"
                " would overwrite"
            )


def _require_list(path: str, targets: Sequence[str]) -> None:
    """Raise if the list of bad sequences cannot be written at the end, as far as can be seen."""
    if writes_directly(path):
        raise ArgumentError(f"skip_bad: expected a regular file, got {printable(path)}")
    for target in targets:
        if _same(path, target):
            raise ArgumentError(f"skip_bad: expected a file other than the output, {target}")
    _files.require_writable(path)


def _same(path: str, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _require_place(destination: str, *, folder: bool) -> None:
    """Raise an OSError if the destination cannot be written, as far as can be seen before."""
    if not folder or not os.path.isdir(destination):
        _files.require_writable(destination)
