"""Recognize data files by their first bytes: text or an array; other files are refused by name.

Compressed files are read as their content.
"""

from __future__ import annotations

import codecs
import importlib
import os
import re
import stat
import sys
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from elman import _files
from elman._text import printable, show
from elman.errors import LimitError, TableError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from elman._files import Path

HEAD = 4096  # bytes that determine the kind of a file
RATIO = 200  # a file that expands to more than this times its size, and SMALL, is refused
SMALL = 1 << 26

NPY = b"\x93NUMPY"
_EXCEL = "an Excel workbook: save it as CSV"
_FRAME = "read it with pandas and write it with to_csv()"
_MODEL = "a model, not data: are the arguments in the right order?"
_REFUSED = (  # the first bytes, the kind of file and the remedy
    (NPY[:4], "a damaged NPY file"),
    (b"PAR1", f"a Parquet file: {_FRAME}"),
    (b"ARROW1", f"an Arrow file: {_FRAME}"),
    (b"FEA1", f"a Feather file: {_FRAME}"),
    (b"\xff\xff\xff\xff", f"an Arrow stream: {_FRAME}"),
    (b"ORC", f"an ORC file: {_FRAME}"),
    (b"Obj\x01", f"an Avro file: {_FRAME}"),
    (b"SQLite format 3\0", f"an SQLite database: {_FRAME}"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: write its table as CSV, or its array as NPY"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _EXCEL),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file: write its array with numpy.save"),
    (b"\x28\xb5\x2f\xfd", "a file compressed by zstd: decompress it first"),
    (b"\x04\x22\x4d\x18", "a file compressed by LZ4: decompress it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)
_WORDS = (b"PAR1", b"ARROW1", b"FEA1", b"ORC", b"Rar!")  # may also start a header of text
_JSON = re.compile(rb"""\s*(?:\{|\[\s*(?:[\[\]{"\d-]|true|false|null|$))""")
_MARKUP = re.compile(rb"\s*<(?![^<>\n]*>[,;\t])")  # <DATE>,<OPEN> is a header
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_SAFETENSORS = re.compile(rb"[\s\S]{8}\{\"")
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # the first starts like UTF-16
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Opened(NamedTuple):
    """An open file and its kind.

    Attributes
    ----------
    name : str
        For messages, without control characters.
    is_array : bool
        True for NPY; otherwise text, in UTF-8 without a byte order mark or a legacy encoding.
    read : function
        `read(n)` returns up to n bytes as soon as some are available, b"" at the end.
    done : function
        Returns the fraction that has been read, or None if unknown.
    path : str or None
        The path, if the file can be memory-mapped.
    most : int or None
        The bytes that a compressed file may have; None if it is not compressed, or its size is
        unknown.
    """

    name: str
    is_array: bool
    read: Callable[[int], bytes]
    done: Callable[[], float | None]
    path: str | None
    most: int | None = None


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a file of data, or standard input for "-".

    Raises
    ------
    TableError
        If the file is neither text nor an array.
    LimitError
        If it expands to more than `RATIO` times its size plus `SMALL`.
    """
    path = _files.name_of(path)
    name = "standard input" if path == "-" else printable(path)
    if path == "-" and sys.stdin is None:
        raise TableError(f"{name}: expected data, but it is closed")
    target: str | int = sys.stdin.fileno() if path == "-" else path
    with open(target, "rb", buffering=0, closefd=path != "-") as file:
        yield _recognized(name, file, path)


class _Bytes:
    """A source of bytes with a look at the first ones."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._head = b""
        self.count = 0  # bytes taken

    def head(self) -> bytes:
        """Return the first bytes: at least a line, `HEAD` bytes, or all."""
        while len(self._head) < HEAD and b"\n" not in self._head:
            if not (more := self._read(HEAD)):
                break
            self._head += more
        return self._head

    def read(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._read(size)
        self.count += len(data)
        return data


def _recognized(name: str, file: io.FileIO, path: str) -> Opened:
    status = os.fstat(file.fileno())
    regular = stat.S_ISREG(status.st_mode)
    stored = source = _Bytes(file.read)
    head = source.head()

    def taken() -> int:
        return file.tell() if regular else stored.count

    def done() -> float | None:
        return taken() / max(1, status.st_size) if regular else None

    unpacked = _unpacked(name, head, source, file if regular else None)
    if unpacked is not None:
        source = _Bytes(_limited(name, unpacked, taken))
        head = source.head()
        if head.startswith(_PACKED) or _BZ2.match(head):
            raise TableError(f"{name}: expected a table, got an archive within an archive")
    if head.startswith(NPY):
        mappable = path if regular and unpacked is None and path != "-" else None
        most = None if unpacked is None or not regular else SMALL + RATIO * status.st_size
        return Opened(name, True, source.read, done, mappable, most)
    return Opened(name, False, _text(name, head, source.read), done, None)


# --- compressed files -----------------------------------------------------------------------------

_PACKED = _GZIP, _XZ, _ZIP, _EMPTY_ZIP = (b"\x1f\x8b", b"\xfd7zXZ\0", b"PK\3\4", b"PK\5\6")
_BZ2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")


def _unpacked(
    name: str, head: bytes, source: _Bytes, file: io.FileIO | None
) -> Callable[[int], bytes] | None:
    """Return a function that reads the decompressed content; None if it is not compressed."""
    packed: Any = source
    if head.startswith(_GZIP):
        packed = _module("gzip", name, "gzip").GzipFile(fileobj=packed, mode="rb")
    elif _BZ2.match(head):
        packed = _module("bz2", name, "bzip2").BZ2File(packed)
    elif head.startswith(_XZ):
        packed = _module("lzma", name, "xz").LZMAFile(packed)
    elif not head.startswith((_ZIP, _EMPTY_ZIP)):
        return None
    elif file is None:
        raise TableError(f"{name}: expected a zip archive in a file, got one from a pipe")
    else:
        packed = _member(name, file)
    return packed.read1  # type: ignore[no-any-return]


def expanding(name: str) -> LimitError:
    """Return the error for a compressed file that expands to too much."""
    return LimitError(
        f"{name}: expected at most {RATIO} times its size after decompression, got more: decompress"
        " it first"
    )


def _module(module: str, name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:  # Python can be built without it
        raise TableError(
            f"{name}: got a file compressed by {what}, which this Python cannot read: decompress it"
            " first"
        ) from None


def _member(name: str, file: io.FileIO) -> IO[bytes]:
    """Open the one table or array in a zip archive."""
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGED as error:
        raise TableError(f"{name}: got a damaged zip archive: {printable(str(error))}") from error
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    members = [info for info in members if not info.filename.startswith("__MACOSX/")]
    names = [info.filename for info in members]
    for file_name, what in _ARCHIVES.items():
        if any(found.rpartition("/")[2] == file_name for found in names):
            raise TableError(f"{name}: got {what}")
    if len(members) != 1:
        kind, remedy = "a file", "unpack it first"
        if names and all(found.endswith(".npy") for found in names):
            kind, remedy = "an array", "save the array alone with numpy.save"
        raise TableError(
            f"{name}: expected an archive with {kind}, got {len(members)}: {show(names)}: {remedy}"
        )
    try:
        return archive.open(members[0])
    except RuntimeError as error:  # encrypted, or an unknown compression
        raise TableError(f"{name}: {printable(str(error))}: unpack it first") from error
    except _DAMAGED as error:
        raise TableError(f"{name}: got a damaged zip archive: {printable(str(error))}") from error


_ARCHIVES = {  # a file within, and what the archive is
    "[Content_Types].xml": _EXCEL,
    "content.xml": "an OpenDocument file: save it as CSV",
    "data.pkl": f"a PyTorch file: {_MODEL}",
    "model.weights.h5": f"a Keras file: {_MODEL}",
}


_DAMAGED = (zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError)


def _limited(
    name: str, read: Callable[[int], bytes], taken: Callable[[], int]
) -> Callable[[int], bytes]:
    """Return `read` with errors for damaged data and for too much of it."""
    total = 0

    def limited(size: int) -> bytes:
        nonlocal total
        try:
            data = read(size)
        except _DAMAGED as error:
            got = printable(str(error)) or type(error).__name__
            raise TableError(f"{name}: got damaged compressed data: {got}") from error
        except Exception as error:
            if type(error).__name__ != "LZMAError":  # whose module may be missing
                raise
            raise TableError(f"{name}: got damaged compressed data: {error}") from error
        total += len(data)
        if total > SMALL + RATIO * taken():
            raise expanding(name)
        return data

    return limited


# --- text -----------------------------------------------------------------------------------------


def _text(name: str, head: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a function that reads text as UTF-8; refuse other data."""
    if head.startswith(codecs.BOM_UTF8):
        read(len(codecs.BOM_UTF8))
        head = head[len(codecs.BOM_UTF8) :]
    elif head.startswith(_UTF_32):
        raise TableError(f"{name}: got text in UTF-32: write it as UTF-8")
    elif (encoding := _utf_16(head)) is not None:
        return _decoded(name, encoding, read)
    is_binary = len(head.translate(None, _BINARY)) < len(head)
    for beginning, what in _REFUSED:
        if head.startswith(beginning) and (is_binary or beginning not in _WORDS):
            raise TableError(f"{name}: expected a table of text or an array, got {what}")
    what = ""
    if _SAFETENSORS.match(head):
        what = f"a safetensors file: {_MODEL}"
    elif _PICKLE.match(head):
        what = "a pickle: write its table as CSV, or its array with numpy.save"
    elif head[257:262] == b"ustar":
        what = "a tar archive: unpack it first"
    elif _JSON.match(head):
        what = "JSON: write it as CSV"
    elif _MARKUP.match(head):
        what = "HTML or XML: save it as CSV"
    elif is_binary:
        what = "binary data of an unknown kind"
    if what:
        raise TableError(f"{name}: expected a table of text or an array, got {what}")
    return read


_BINARY = bytes({*range(32)} - set(b"\t\n\v\f\r\x1b"))  # never at the start of a text


def _utf_16(head: bytes) -> str | None:
    """Return the encoding if the text is UTF-16, with or without a byte order mark."""
    for mark, encoding in _UTF_16.items():
        if head.startswith(mark):
            return encoding
    begin = head[: len(head) // 2 * 2][:64]  # of a table, nearly every other byte is zero
    zeros = [begin[half::2].count(0) for half in (0, 1)]
    if len(begin) < 4 or min(zeros) or max(zeros) < 0.4 * len(begin):
        return None
    return "utf-16-be" if zeros[0] else "utf-16-le"


def _decoded(name: str, encoding: str, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    begun = False

    def decoded(size: int) -> bytes:
        nonlocal begun
        while True:
            data = read(size)
            try:
                text = decoder.decode(data, final=not data)
                if text and not begun:
                    text, begun = text.removeprefix("\ufeff"), True
                utf_8 = text.encode()
            except UnicodeError as error:
                raise TableError(f"{name}: got damaged text in {encoding.upper()}") from error
            if utf_8 or not data:
                return utf_8

    return decoded
