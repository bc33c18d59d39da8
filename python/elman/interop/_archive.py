"""Read files of other frameworks, zip archives included, within size limits."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from elman import _files, _loading
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FILE_BYTES = 256 * 2**20
MAX_ENTRIES = 16_384  # a checkpoint has one for each tensor, those of its optimizer too
MAX_RATIO = 200  # uncompressed to stored bytes of an entry above 1 MiB; deflate reaches 1032


def read_file(path: str) -> bytes:
    """Return the bytes of a regular file; never block, and refuse a file that changes meanwhile."""
    with _files.opened(path) as (file, size):
        if size > MAX_FILE_BYTES:
            raise LimitError(f"expected at most {MAX_FILE_BYTES} bytes, got {size}")
        return _files.read_whole(file, size)


@contextlib.contextmanager
def opening(path: str, framework: str) -> Iterator[None]:
    """Put the file's name before errors, and name the reader that its suffix belongs to."""
    suffix = os.path.splitext(path)[1].lower()
    other = _loading.FRAMEWORKS.get(suffix, framework)
    readers = f"elman.from_{other}"
    if suffix == ".safetensors" and framework != "torch":
        other, readers = "torch", "elman.load or elman.from_torch"
    with _files.naming(path):
        try:
            yield
        except (UnsupportedModelError, ModelFormatError) as error:
            if other == framework or str(error).endswith("reads it"):  # from the contents
                raise
            raise UnsupportedModelError(
                f"expected a model that elman.from_{framework} reads, got *{suffix}: {readers}"
                " reads it"
            ) from None


class Archive:
    """A zip archive in memory; all entries are checked first, and nothing is extracted to disk."""

    def __init__(self, data: bytes, *, compressed: bool) -> None:
        # Each directory entry begins with these bytes: limit them before zipfile makes objects.
        if (count := data.count(b"PK\x01\x02")) > MAX_ENTRIES:
            raise LimitError(
                f"expected a zip archive of at most {MAX_ENTRIES} entries, got {count}"
            )
        with _damage():
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            _check_name(entry.orig_filename)
            if entry.filename in self._entries:
                raise ModelFormatError(f"the archive has the entry {entry.filename!r} twice")
            _check_storage(entry, compressed=compressed)
            self._entries[entry.filename] = entry
        _check_layout(self._entries.values(), self._zip.start_dir)

    @property
    def names(self) -> list[str]:
        """The names of the entries, in the order of the directory."""
        return list(self._entries)

    def size(self, name: str) -> int:
        """Return the uncompressed size of an entry in bytes."""
        return self._entries[name].file_size

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of an entry, at most `limit`."""
        entry = self._entries.get(name)
        if entry is None:
            raise ModelFormatError(f"the entry {name!r} is missing from the archive")
        if entry.file_size > limit:
            raise LimitError(
                f"the entry {name!r}: expected at most {limit} bytes, got {entry.file_size}"
            )
        if entry.file_size > max(2**20, MAX_RATIO * entry.compress_size):
            raise LimitError(
                f"the entry {name!r}: expected at most {MAX_RATIO} times its"
                f" {entry.compress_size} stored bytes, got {entry.file_size}"
            )
        with _damage(), self._zip.open(entry) as file:
            data = file.read(limit + 1)
        if len(data) != entry.file_size:
            raise ModelFormatError(
                f"the entry {name!r}: expected {entry.file_size} bytes, got {len(data)}"
            )
        return data


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Convert the exceptions of zipfile to elman's errors."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError) as error:
        raise ModelFormatError(f"the zip archive is damaged: {error}") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelFormatError(f"the zip archive cannot be read: {error}") from error


def _check_name(name: str) -> None:
    """Refuse names that lead out of a folder, although none is used as a path."""
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ModelFormatError(f"the entry {name[:80]!r} has a name that leads out of the archive")


def _check_storage(entry: zipfile.ZipInfo, *, compressed: bool) -> None:
    if entry.flag_bits & 0x1:
        raise UnsupportedModelError(f"the entry {entry.filename!r} is encrypted")
    allowed = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if compressed else (zipfile.ZIP_STORED,)
    if entry.compress_type not in allowed:
        kinds = "stored or deflated data" if compressed else "uncompressed data"
        raise UnsupportedModelError(
            f"the entry {entry.filename!r}: expected {kinds}, got method {entry.compress_type}"
        )


def _check_layout(entries: Iterable[zipfile.ZipInfo], end: int) -> None:
    """Refuse entries that share bytes, and bytes before the first entry."""
    after = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < after or (after == 0 and entry.header_offset > 0):
            raise ModelFormatError(
                f"the entry {entry.filename!r} overlaps another, or follows unknown bytes"
            )
        after = entry.header_offset + 30 + len(entry.orig_filename) + entry.compress_size
    if after > end:
        raise ModelFormatError("the last entry of the archive overlaps its directory")
