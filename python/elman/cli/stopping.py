"""Signals, closed standard streams and full disks."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Stopped(BaseException):
    """A signal asked the command to stop; the exit code is that of shells, 128 + the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number

    def __str__(self) -> str:
        return "interrupted" if self.code == 128 + signal.SIGINT else "terminated"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C into `Stopped`, before Typer, which drops notes, sees it."""
    try:
        yield
    except KeyboardInterrupt as error:
        stopped = Stopped(signal.SIGINT)
        for note in getattr(error, "__notes__", ()):
            stopped.add_note(note)
        raise stopped from None


def catch_signals() -> None:
    """Let SIGTERM and SIGHUP unwind the command, unless they are ignored as under nohup.

    A broken pipe ends it silently, as with `cat`.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


class _Closed(io.TextIOBase):
    """A standard stream that the caller has closed; using it is an error with its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fileno(self) -> int:
        """Raise."""
        raise OSError(errno.EBADF, "is closed", self._name)

    def write(self, text: str, /) -> int:
        """Raise."""
        return self.fileno()


def open_closed_streams() -> None:
    """Replace the standard streams that are closed, so that no file gets their descriptors.

    Otherwise messages would go into the next file that is opened. Reading from a closed standard
    input or writing to a closed standard output is an error; messages for standard error are lost.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest descriptor that is free: this one
    if sys.stdin is None:
        sys.stdin = _Closed("standard input")
    if sys.stdout is None:
        sys.stdout = _Closed("standard output")
    if sys.stderr is None:
        null = io.FileIO(os.devnull, "w")
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(null), encoding="utf-8")


def flush() -> None:
    """Write what is left for standard output; a failure is reported once."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # not again at the end of the process
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        raise OSError(error.errno, error.strerror, "standard output") from None
