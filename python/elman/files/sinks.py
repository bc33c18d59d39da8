"""Write the outputs of arrays: NPY files at fixed places, or NPY and CSV in order."""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from elman import _files
from elman.errors import ArgumentError
from elman.files import writing
from elman.files.syncing import ROOM, Syncing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.files.jobs import Outputs, Part
    from elman.files.journal import Journal
    from elman.files.npy import Header

    Array = NDArray[Any]


def output_shape(net: Network, header: Header, outputs: str) -> tuple[int, ...]:
    """Return the shape of the outputs of an array."""
    return (*(header.shape[:-2] if outputs == "last" else header.shape[:-1]), net.output_size)


def renamed(names: Sequence[str], suffix: str, other: str) -> list[str]:
    """Return the names of outputs of another format than that of the inputs."""
    if suffix == other:
        return list(names)
    return [name.removesuffix(suffix) + other for name in names]


class NpySink:
    """NPY files, in which the outputs of each part have a fixed place.

    Writing a part twice is harmless, so nothing has to be cut off after a kill.
    """

    def __init__(
        self,
        net: Network,
        headers: Sequence[Header],
        targets: Sequence[str],
        outputs: str,
        journal: Journal,
    ) -> None:
        self._net, self._targets = net, targets
        self._steps = [1 if outputs == "last" else header.steps for header in headers]
        self._shapes = [output_shape(net, header, outputs) for header in headers]
        self._journal = journal
        self._open: tuple[int, IO[bytes], int] | None = None  # file, its object, first value
        self._syncing = Syncing("")
        self._grown = 0  # bytes since it began to be synced
        self._complete = self._published = 0  # numbers of files

    def resume(self, records: list[Any]) -> None:
        """Go on behind the committed parts."""
        self._complete = records[-1] if records else 0

    def write(self, part: Part, outputs: Outputs) -> None:
        """Write the outputs of a part to their place."""
        with _files.named_errors(self._targets[part.file]):
            file, begin = self._file(part.file)
            steps, width = self._steps[part.file], self._net.output_size
            each = steps * width * self._net.dtype.itemsize  # bytes of a sequence
            if outputs.output is not None:
                at = part.begin if steps > 1 else 0
                whole = outputs.output.size == part.count * steps * width
                pieces = [outputs.output] if whole else outputs.output
                for row, values in enumerate(pieces, part.first):
                    offset = row * each + at * width * self._net.dtype.itemsize
                    _write_at(file, begin + offset, values)
                self._grown += outputs.output.nbytes
                if self._grown >= ROOM:
                    self._syncing.start()
                    self._grown = 0
            for _, row in outputs.bad if part.begin else ():
                nothing = np.full((steps, width), np.nan, self._net.dtype)
                _write_at(file, begin + (part.first + row) * each, nothing)
            if part.last:
                self._sync()
                self.close()
                self._complete = part.file + 1

    def commit(self) -> int:
        """Sync the open file; return the number of files that are complete."""
        with _files.named_errors(self._targets[min(self._complete, len(self._targets) - 1)]):
            self._sync()
        return self._complete

    def publish(self) -> None:
        """Move complete files to their destination."""
        files = range(self._published, self._complete)
        publish_all((self._path(file), self._targets[file]) for file in files)
        self._published = self._complete

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            with contextlib.suppress(OSError):  # what was not committed is written again
                self._syncing.wait()
            self._open[1].close()
            self._open = None

    def _path(self, file: int) -> str:
        return self._journal.path(f"output-{file}.npy")

    def _file(self, file: int) -> tuple[IO[bytes], int]:
        """Return the work file and the position of its first value."""
        if self._open is None or self._open[0] != file:
            self.close()
            descriptor = os.open(
                self._path(file), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
            opened = open(descriptor, "r+b", buffering=0)  # noqa: SIM115
            header = writing.npy_header(self._net.dtype, self._shapes[file])
            _write_at(opened, 0, np.frombuffer(header, np.uint8))
            self._open = (file, opened, len(header))
            self._syncing, self._grown = Syncing(self._path(file)), 0
        return self._open[1:]

    def _sync(self) -> None:
        if self._open is not None:
            self._syncing.wait()
            os.fsync(self._open[1].fileno())


def publish_all(files: Iterable[tuple[str, str]]) -> None:
    """Move files to their destinations, in folders that are made for them."""
    for path, target in files:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        publish(path, target)


def publish(path: str, target: str) -> None:
    """Move a file to its destination, unless that was done before a kill."""
    if os.path.exists(path):
        _files.move(path, target)
    elif not os.path.exists(target):
        raise ArgumentError(
            f"{target}: expected the output of a run that was stopped here, but it was removed:"
            " restart=True (--restart) starts afresh"
        )


def _write_at(file: IO[bytes], position: int, values: Array) -> None:
    file.seek(position)
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    while len(data):
        data = data[file.write(data) :]


class StreamSink:
    """One output that is written from its beginning to its end: a pipe, a device, or CSV.

    Parameters
    ----------
    net, shape, texts
        `texts(output)` returns the columns of CSV before the outputs.
    form : {"npy", "csv"}
    target : file or str
        An open file, which is written directly, or the path of a file that appears when it is
        whole.
    journal : Journal or None
        For a path.
    """

    def __init__(
        self,
        net: Network,
        shape: tuple[int, ...],
        form: str,
        texts: Callable[[Array], list[list[str]]],
        target: IO[bytes] | str,
        journal: Journal | None = None,
    ) -> None:
        self._net, self._shape, self._form, self._texts = net, shape, form, texts
        self._target, self._journal = target, journal
        self._file: IO[bytes] | None = None if isinstance(target, str) else target
        self._complete = False

    def resume(self, records: list[Any]) -> None:
        """Go on behind the committed bytes, the rest is cut off."""
        self._complete = bool(records) and records[-1]["complete"]
        if self._journal is None or self._complete:
            return
        path = self._journal.path("output")
        self._file = open(path, "r+b" if records else "wb")  # noqa: SIM115
        self._file.truncate(records[-1]["bytes"] if records else 0)
        self._file.seek(0, io.SEEK_END)

    def write(self, part: Part, outputs: Outputs) -> None:
        """Write the outputs of a part behind the others."""
        with self._named():
            assert self._file is not None
            if self._form == "npy" and not part.first and not part.begin:
                self._file.write(writing.npy_header(self._net.dtype, self._shape))
            if outputs.output is not None:
                output = outputs.output.reshape(-1, self._net.output_size)
                if self._form == "npy":
                    self._file.write(output.reshape(-1).view(np.uint8).data)
                else:
                    self._file.write(writing.csv_lines(self._texts(output), output))
            self._complete = part.last

    def commit(self) -> dict[str, Any]:
        """Sync the file; return its size."""
        assert self._file is not None
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())
        return {"bytes": self._file.tell(), "complete": self._complete}

    def publish(self) -> None:
        """Move the file to its destination if it is complete."""
        if self._complete and self._journal is not None and isinstance(self._target, str):
            self.close()
            publish(self._journal.path("output"), self._target)

    def close(self) -> None:
        """Close the file, unless it is the caller's."""
        if self._file is not None and isinstance(self._target, str):
            self._file.close()

    def _named(self) -> Any:  # noqa: ANN401
        return _files.named_errors(self._target if isinstance(self._target, str) else "output")
