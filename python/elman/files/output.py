"""Output files: written whole or not at all, and never over an input."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from typing import IO, TYPE_CHECKING

from elman import _files
from elman.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STANDARD_OUTPUT = "standard output"
_DESCRIPTORS = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STREAMS = {"-": "stdout", "/dev/stdout": "stdout", "/dev/stderr": "stderr"}


@contextlib.contextmanager
def open_output(path: str, *, sources: tuple[str, ...] = ()) -> Iterator[IO[bytes]]:
    """Open a file for writing; "-" is standard output.

    A regular file is replaced at the end of the context; after an exception the old file is
    unchanged. Standard output, other streams and devices are written directly.

    Parameters
    ----------
    path : str
        The file to write.
    sources : tuple of str
        Input files; the output must not be one of them under any name.

    Raises
    ------
    ArgumentError
        If the output is one of the sources.
    OSError
        If it cannot be written. The message has its name.
    """
    descriptor = _descriptor(path)
    require_another(path, sources)
    if descriptor is not None:
        name = STANDARD_OUTPUT if is_standard_output(path) else path
        with _files.writing(descriptor, name, closefd=False) as file:
            yield file
    elif _is_special(path):
        with _files.writing(os.open(path, os.O_WRONLY), path) as file:
            yield file
    else:
        with _files.replacing(path) as file:
            yield file


def is_standard_output(path: str) -> bool:
    """Return whether an output path is standard output."""
    return _STREAMS.get(path) == "stdout"


def writes_directly(path: str) -> bool:
    """Return whether an output path is a stream or a device, which is written line by line."""
    return _descriptor(path) is not None or _is_special(path)


def _descriptor(path: str) -> int | None:
    """Return the file descriptor that a path is an alias of, or None."""
    if path in _STREAMS:
        stream = getattr(sys, _STREAMS[path])
        if stream is None:
            raise OSError(errno.EBADF, "is closed", STANDARD_OUTPUT)
        stream.flush()
        return int(stream.fileno())
    match = _DESCRIPTORS.fullmatch(path)
    return None if match is None else int(match[1])


def _is_special(path: str) -> bool:
    """Return whether a path is a device, a FIFO or a socket, which cannot be replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def require_another(path: str, sources: Iterable[str]) -> None:
    """Raise if the output is a regular file that is being read."""
    descriptor = _descriptor(path)
    try:
        output = os.stat(path if descriptor is None else descriptor)
    except OSError:
        return
    if not stat.S_ISREG(output.st_mode):
        return
    for source in sources:
        with contextlib.suppress(OSError):
            if os.path.samestat(output, _status(source)):
                name = STANDARD_OUTPUT if is_standard_output(path) else path
                read = "standard input" if source == "-" else source
                raise ArgumentError(
                    f"{name}: expected a file other than {read}, which it would overwrite"
                )


def _status(source: str) -> os.stat_result:
    return os.stat(source) if source != "-" else os.fstat(sys.stdin.fileno())
