"""Reading of regular files, atomic writing, and imports of optional packages."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import re
import stat
from typing import IO, TYPE_CHECKING

from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    LimitError,
    ModelFormatError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from _typeshed import ReadableBuffer

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def name_of(path: Path, argument: str = "path") -> str:
    """Return a path as a string."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        got = type(path).__name__
        raise ArgumentTypeError(f"{argument}: expected a path, got {got}") from None
    if "\0" in name:
        raise ArgumentError(f"{argument}: expected a path without null characters, got {name!r}")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"{argument}: expected a path that the system can encode, got {name!r} ({error.reason})"
        ) from None
    return name


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


_TEMPORARY = re.compile(r"\.elman-\d+\.tmp")

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
    """Write a file whole or not at all; see `replacing`."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears whole at the end of the context, or not at all.

    The data are synced to a temporary file `.elman-0.tmp` in the same folder (`.elman-1.tmp`, ...,
    while others write in the folder), which then replaces the file: after an exception, a kill or a
    power loss, the old file or the new one remains. A temporary file left by a killed process is
    removed when a file is next written in the folder. The old file's permission bits are kept. If
    `path` is a symbolic link, its target is replaced. An exception that prevents it gets a note
    that says so.

    Raises
    ------
    ArgumentError
        If the file has the name of a temporary file.
    OSError
        If the file cannot be written, is write-protected, or is not a regular file; always with the
        name of the file.
    """
    path = name_of(path)
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    mode = _mode_to_keep(target, path)
    try:
        with _temporary(folder, path, mode) as (file, temporary):
            yield file
            with named_errors(path):
                file.flush()
                os.fsync(file.fileno())
                if os.name == "nt":  # which cannot rename an open file
                    file.close()
                else:
                    _require_own(temporary, file.fileno())
                os.replace(temporary, target)
    except BaseException as error:
        error.add_note(f"{path} was not written")
        raise
    sync_folder(folder)


@contextlib.contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Give errors the name of a file, in place of none or of its temporary file's."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error.__cause__


class _Named(io.FileIO):
    """A file whose errors of writing name it, as Python's do not."""

    def __init__(self, descriptor: int, path: str, *, closefd: bool = True) -> None:
        with named_errors(path):
            super().__init__(descriptor, "wb", closefd=closefd)
        self._path = path

    def seekable(self) -> bool:
        """Return False for a descriptor of others, who may be appending to the file."""
        return self.closefd and super().seekable()

    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        """Write as FileIO does."""
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None


def writing(descriptor: int, path: str, *, closefd: bool = True) -> IO[bytes]:
    """Return a buffered file for writing to a descriptor; its errors name `path`."""
    return io.BufferedWriter(_Named(descriptor, path, closefd=closefd))


def require_writable(path: str) -> None:
    """Raise an OSError if a file cannot be written, as far as can be seen before."""
    target = os.path.realpath(path)
    _mode_to_keep(target, path)
    if not os.access(os.path.dirname(target), os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _mode_to_keep(target: str, path: str) -> int | None:
    """Return the permission bits of the file to replace; None if it does not exist."""
    if _TEMPORARY.fullmatch(os.path.basename(target)):
        raise ArgumentError(
            f"path: expected another name, got {path}: elman removes temporary files of this name"
        )
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


# --- temporary files ------------------------------------------------------------------------------
#
# A writer locks its temporary file, and the lock ends with the process, however it ends: a file
# without a lock has been abandoned. The holder of the lock may remove or rename it. Between
# creating and locking its file a writer may lose it to another who takes it for abandoned; it
# looks, and creates another. Where the file system has no locks nothing is removed. On Windows
# nobody can remove an open file, and no locks are needed.


@contextlib.contextmanager
def _temporary(folder: str, path: str, mode: int | None) -> Iterator[tuple[IO[bytes], str]]:
    """Create a file with these permission bits, None: the default ones; remove it on an error."""
    number, name, descriptor = 0, "", None
    try:
        while descriptor is None:
            name = os.path.join(folder, f".elman-{number}.tmp")
            with named_errors(path):
                descriptor = _create(name, 0o666 if mode is None else 0o600)
            if descriptor is None and not _remove_abandoned(name):
                number += 1
        with writing(descriptor, path) as file:
            try:
                with named_errors(path):
                    if mode is not None:
                        os.chmod(name, mode)
                yield file, name
            except BaseException:
                with contextlib.suppress(OSError):
                    if os.name == "nt":
                        file.close()
                    else:
                        _require_own(name, descriptor)  # not another's, after the renaming
                    os.unlink(name)
                raise
    except BaseException:
        if descriptor is None:
            _remove_abandoned(name)  # an interrupt came while it was created
        raise


def _create(name: str, mode: int) -> int | None:
    """Create and lock a file; return its descriptor, or None if another has this name."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(name, flags, mode)
    except FileExistsError:
        return None
    try:
        _lock(descriptor)
        _require_own(name, descriptor)
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    except OSError:
        pass  # the file system has no locks
    except BaseException:
        os.close(descriptor)  # an interrupt; this gives up the lock
        raise
    return descriptor


def _remove_abandoned(name: str) -> bool:
    """Remove the temporary file of a writer that is gone; return whether the name is free now."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW if os.name != "nt" else os.O_RDWR
    try:
        descriptor = os.open(name, flags)
        try:
            _require_regular(os.fstat(descriptor), name)
            _lock(descriptor)
            _require_own(name, descriptor)
            if os.name != "nt":
                os.unlink(name)
        finally:
            os.close(descriptor)
        if os.name == "nt":
            os.unlink(name)
    except FileNotFoundError:
        return True
    except (OSError, ModelFormatError):  # in use, of another user, or no file of ours
        return False
    return True


def _lock(descriptor: int) -> None:
    """Lock a file; raise BlockingIOError if another holds the lock."""
    if os.name != "nt":
        try:
            import fcntl
        except ImportError as error:  # a Python without it, or whose files are out of reach
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)) from error
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold(path: str) -> int:
    """Create a file if it is missing, and lock it; return its descriptor, which holds the lock.

    Raises
    ------
    BlockingIOError
        If another process or call holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        _require_own(path, descriptor)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno == errno.ENOLCK:
            return descriptor  # the file system has no locks
        os.close(descriptor)
        if isinstance(error, FileNotFoundError):  # its holder has just removed it
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path) from None
        raise
    return descriptor


def move(path: str, target: str) -> None:
    """Replace a file by a synced one from another folder, and keep its permission bits and links.

    Raises
    ------
    OSError
        If `target` is write-protected or not a regular file.
    """
    final = os.path.realpath(target)
    mode = _mode_to_keep(final, target)
    if mode is not None:
        os.chmod(path, mode)
    with named_errors(target):
        os.replace(path, final)
    sync_folder(os.path.dirname(final))


def _require_own(name: str, descriptor: int) -> None:
    """Raise FileNotFoundError unless this is the name of the open file."""
    if not os.path.samestat(os.lstat(name), os.fstat(descriptor)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def sync_folder(folder: str) -> None:
    """Sync a renaming to disk; not needed on Windows, which cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
