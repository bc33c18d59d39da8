"""Reading of regular files, atomic writing, and imports of optional packages."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import stat
from typing import IO, TYPE_CHECKING

from elman.errors import (
    ArgumentTypeError,
    LimitError,
    ModelFormatError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def name_of(path: Path, argument: str = "path") -> str:
    """Return a path as a string."""
    try:
        return os.fsdecode(path)
    except TypeError:
        got = type(path).__name__
        raise ArgumentTypeError(f"{argument}: expected a path, got {got}") from None


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
    """Prefix errors with the name of the file."""
    try:
        yield
    except (LimitError, ModelFormatError, UnsupportedModelError) as error:
        raise type(error)(f"{source}: {error}") from error.__cause__


def extra(package: str, purpose: str, install: str) -> ModuleType:
    """Import an optional package; if missing, raise an error with the command to install it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"{purpose} needs {package}: pip install {install}", name=package
        ) from error


# --- reading --------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file without blocking; yield it and its size."""
    _require_regular(os.stat(path), path)  # first: opening a device may have side effects
    with open(path, "rb", opener=open_without_waiting) as file:
        status = os.fstat(file.fileno())
        _require_regular(status, path)
        yield file, status.st_size


def read_whole(file: IO[bytes], size: int) -> bytes:
    """Return all bytes of an opened file, whose size must not have changed."""
    data = file.read(size + 1)
    if len(data) != size:
        raise ModelFormatError(
            f"the file changed while it was read: expected {size} bytes, got"
            f" {'more' if len(data) > size else len(data)}"
        )
    return data


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a FIFO, as opener of `open`."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFormatError("expected a regular file, got a FIFO, a socket or a device")


# --- writing --------------------------------------------------------------------------------------


def replace(path: Path, data: bytes) -> None:
    """Write a file atomically.

    The data are synced to a temporary file `.elman-*.tmp` in the same folder, which then replaces
    the file: after a kill or a power loss, the old file or the new one remains (and perhaps the
    temporary file, which may be deleted). The old file's permission bits are kept. If `path` is a
    symbolic link, its target is replaced.

    Raises
    ------
    OSError
        If the file cannot be written, is write-protected, or is not a regular file.
    """
    path = name_of(path)
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    mode = _mode_to_keep(target, path)
    import secrets  # here because it takes 5 ms, half the import time of a first network

    temporary = os.path.join(folder, f".elman-{secrets.token_hex(8)}.tmp")
    try:
        _write(temporary, data, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode_to_keep(target: str, path: str) -> int | None:
    """Return the permission bits of the file to replace; None if it does not exist."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        os.stat(os.path.dirname(target))  # raises for a missing folder
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "Not a regular file", path)
    if not os.access(target, os.W_OK):  # os.replace needs only the folder's permission
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return stat.S_IMODE(status.st_mode)


def _write(path: str, data: bytes, mode: int | None) -> None:
    """Create and sync a file with these permission bits; None: the default ones."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666 if mode is None else 0o600)
    with open(descriptor, "wb") as file:
        if mode is not None:
            os.chmod(path, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Sync a renaming to disk; not needed on Windows, which cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
