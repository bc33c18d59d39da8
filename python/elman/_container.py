"""The container of model files and checkpoints: safetensors, which contains only data.

    8 bytes    the length of the header, little-endian
    header     JSON: {"__metadata__": {...}, name: {"dtype", "shape", "data_offsets"}, ...}
    data       the arrays, one after another

Reading runs no code and takes memory in proportion to the file: every field of a header is checked
before use, and arrays are views of the bytes. The layout is that of
https://github.com/huggingface/safetensors; that package is not needed.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NamedTuple  # free: NumPy imports `typing` too

from elman._text import show
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from numpy.typing import NDArray

    Read = Callable[[int], bytes | memoryview]
    Json = Any  # untrusted: its type is checked before its value is used

# A JSON parser makes up to 35 bytes of Python objects from one byte of text: this limits a hostile
# header to 10 MiB of memory, and allows more than 2000 tensors.
MAX_HEADER_BYTES = 256 * 1024
MAX_TENSORS = 1024  # more than 300 layers
MAX_NESTING = 100  # of JSON; Python's own limit depends on its version

DTYPES = {  # NumPy's names; bfloat16 is the upper half of a float32
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}
_ITEM_BYTES = {name: 1 if code == "?" else int(code[-1]) for name, code in DTYPES.items()}
_WRITTEN = {4: "F32", 8: "F64"}

# Other kinds of files that users may try to load, by their first bytes.
_OTHER_KINDS = (
    (
        rb"PK\x03\x04",
        "a zip archive: elman.from_torch reads a PyTorch .pt file, elman.from_keras a .keras file",
    ),
    (
        rb"\x80\x02\x8a\nl\xfc\x9cF",
        "a file of PyTorch before 1.6: elman.from_torch reads it",
    ),
    (
        rb"\x80[\x02-\x05]",
        "a pickle: elman.from_torch reads it if torch.save of PyTorch wrote it",
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file: elman.from_keras reads a Keras .h5 file"),
    (rb"\x08[\x03-\x20][\x12\x1a\x3a\x42]", "an ONNX file: elman.from_onnx reads it"),
    (rb"\x93NUMPY", "an NPY array: numpy.load reads it"),
    (rb"PAR1", "a Parquet file, a table: pandas.read_parquet reads it"),
    (rb"ARROW1", "an Arrow file, a table: pandas.read_feather reads it"),
    (rb"\x1f\x8b", "a gzip file: elman.read_table reads a table in it"),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16: elman.read_table reads a table"),
    (
        rb"(\xef\xbb\xbf)?[\t\n\r -~]+\Z",
        "text, such as CSV: elman.read_table reads a table",
    ),
)


class Entry(NamedTuple):
    """Header entry of one array, whose data are the bytes from begin to end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """A header that passed every check."""

    metadata: Json  # unchecked; {} if missing
    entries: dict[str, Entry]


# --- reading --------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """Requirements on a kind of file."""

    dtypes: Collection[str] | None = DTYPES  # None: any; arrays of others are left out
    check_metadata: Callable[[Json], object] = lambda metadata: None  # called first


ANY = Kind()


def read_header(read: Read, file_bytes: int, kind: Kind = ANY) -> Header:
    """Check and return the header of a file; read(n) returns the file's next n bytes."""
    length = _header_length(bytes(read(min(8, file_bytes))), file_bytes)
    fields = json_object(bytes(read(length)), "the header")
    metadata = fields.pop("__metadata__", {})
    kind.check_metadata(metadata)
    if len(fields) > MAX_TENSORS:
        raise LimitError(f"expected at most {MAX_TENSORS} tensors, got {len(fields)}")
    entries = {name: _entry(name, about, kind.dtypes) for name, about in fields.items()}
    _check_layout(entries, file_bytes - 8 - length)
    return Header(metadata, entries)


def read_arrays(read: Read, header: Header) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, bfloat16 as float32, after `read_header` on the same file."""
    import numpy as np

    expected = max((entry.end for entry in header.entries.values()), default=0)
    data = read(expected + 1)
    if len(data) != expected:
        raise ModelFormatError(
            f"the file changed while it was read: expected {expected} bytes of tensors, got"
            f" {'more' if len(data) > expected else len(data)}"
        )
    result = {}
    for name, entry in header.entries.items():
        if entry.dtype not in DTYPES:
            continue
        count = math.prod(entry.shape)
        array = np.frombuffer(data, DTYPES[entry.dtype], count, entry.begin).reshape(entry.shape)
        result[name] = widened(array) if entry.dtype == "BF16" else array
    return result


def widened(bits: NDArray[Any]) -> NDArray[Any]:
    """Return bfloat16 values, the upper 16 bits of float32, as float32."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)


def memory(data: bytes) -> Read:
    """Return a function read(n) for a file in memory, which returns views."""
    rest = memoryview(data)

    def read(count: int) -> memoryview:
        nonlocal rest
        part, rest = rest[:count], rest[count:]
        return part

    return read


def parse(data: bytes, kind: Kind = ANY) -> tuple[Header, dict[str, NDArray[Any]]]:
    """Return the header and the arrays of a file in memory."""
    read = memory(data)
    header = read_header(read, len(data), kind)
    return header, read_arrays(read, header)


def _header_length(data: bytes, file_bytes: int) -> int:
    """Return the header's length, stored in the first 8 bytes."""
    length = int.from_bytes(data[:8], "little")
    if file_bytes < 8 or length > MAX_HEADER_BYTES:
        for pattern, kind in _OTHER_KINDS:
            if re.match(pattern, data[:8], re.DOTALL):
                raise UnsupportedModelError(f"expected a model in safetensors format, got {kind}")
    if file_bytes < 8:
        raise ModelFormatError(f"expected at least 8 bytes, got {file_bytes}")
    if length > max(MAX_HEADER_BYTES, file_bytes):
        raise ModelFormatError("expected a model in safetensors format, got another kind of file")
    if length > MAX_HEADER_BYTES:
        raise ModelFormatError(
            f"expected a header of at most {MAX_HEADER_BYTES} bytes, got a length of {length}"
        )
    if length > file_bytes - 8:
        raise ModelFormatError(
            f"expected a header of {length} bytes, got {file_bytes - 8}: the file is truncated"
        )
    return length


def _entry(name: str, about: Json, dtypes: Collection[str] | None) -> Entry:
    """Check and return the entry of one array."""
    what = f"tensor {show(name)}"
    check_keys(about, what, ("dtype", "shape", "data_offsets"))
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(dtype, str) or dtype not in (dtypes or (dtype,)):
        error = UnsupportedModelError if dtypes is DTYPES else ModelFormatError
        expected = " or ".join(dtypes or DTYPES)
        raise error(f"{what}: dtype: expected {expected}, got {show(dtype)}")
    if not _are_integers(shape) or len(shape) > 64:  # NumPy's limit
        raise ModelFormatError(f"{what}: expected a shape of up to 64 sizes, got {show(shape)}")
    if not _are_integers(offsets) or len(offsets) != 2:
        raise ModelFormatError(f"{what}: expected two data offsets, got {show(offsets)}")
    expected = math.prod(shape) * _ITEM_BYTES.get(dtype, 0)  # exact: integers do not overflow
    if dtype not in DTYPES:  # perhaps several values in a byte
        expected = max(0, offsets[1] - offsets[0])
    if offsets[1] - offsets[0] != expected:
        raise ModelFormatError(
            f"{what}: expected {show(expected)} bytes for the shape {show(shape)}, got the data"
            f" offsets {show(offsets)}"
        )
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_integers(values: Json) -> bool:
    """Return whether this is a list of integers from 0 to 2**63 - 1; True and 2.0 are not."""
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_layout(entries: Mapping[str, Entry], data_bytes: int) -> None:
    """Raise if the data have gaps, overlaps, or bytes outside all arrays."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise ModelFormatError(
                f"tensor {show(name)}: expected data from byte {end}, got {show(entry.begin)}:"
                " the tensors overlap or leave a gap"
            )
        end = entry.end
    if end != data_bytes:
        problem = "the file is truncated" if end > data_bytes else "the file continues after them"
        raise ModelFormatError(
            f"expected {show(end)} bytes of tensors, got {data_bytes}: {problem}"
        )


# --- JSON -----------------------------------------------------------------------------------------


def json_object(text: str | bytes, what: str) -> dict[str, Json]:
    """Parse a JSON object strictly: no duplicate keys, no NaN."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
            # safetensors requires the brace first; Python would skip white space.
            if not text.startswith("{"):
                raise ModelFormatError(f"{what}: expected a JSON object, got {show(text[:20])}")
        result = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ModelFormatError(f"{what}: the JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{what}: expected UTF-8, got {error.reason}") from error
    except ModelFormatError:
        raise
    except ValueError as error:
        raise ModelFormatError(f"{what}: expected JSON: {error}") from error
    if not isinstance(result, dict):
        raise ModelFormatError(f"{what}: expected a JSON object, got {show(result)}")
    require_shallow(result, what)
    return result


def require_shallow(value: Json, what: str) -> None:
    """Raise if lists and objects are nested so deep that readers would reach Python's limit."""
    level = [value]
    for _ in range(MAX_NESTING):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [v for part in parts for v in part if isinstance(v, dict | list)]
        if not level:
            return
    raise ModelFormatError(f"{what}: the JSON is nested too deeply")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, value in pairs:
        if key in result:
            raise ModelFormatError(f"the key {show(key)} occurs twice in a JSON object")
        for text in (key, value):
            if isinstance(text, str):
                _require_text(text)
        result[key] = value
    return result


def _require_text(text: str) -> None:
    """Raise for a lone surrogate, which JSON can encode and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ModelFormatError(f"{show(text)} is not Unicode text: {error.reason}") from None


def _refuse_constant(name: str) -> None:
    raise ModelFormatError(f"{name} is not a JSON number")


def check_keys(
    fields: Json, what: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    """Raise unless this is an object with all of these keys and at most the optional ones."""
    if not isinstance(fields, dict):
        raise ModelFormatError(f"{what}: expected an object, got {show(fields)}")
    for key in keys:
        if key not in fields:
            raise ModelFormatError(f"{what}: the key {key!r} is missing")
    for key in fields:
        if key not in keys and key not in optional:
            raise ModelFormatError(f"{what}: the key {show(key)} is unknown")


# --- writing --------------------------------------------------------------------------------------


def write(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """Return the bytes of a file with these float32 or float64 arrays and metadata.

    Equal content gives equal bytes, so that files can be hashed, compared and cached. (The
    safetensors library writes metadata in random order.)

    Raises
    ------
    LimitError
        If the header would exceed what a reader accepts.
    """
    header: dict[str, Json] = {"__metadata__": dict(sorted(metadata.items()))}
    data = []
    end = 0
    for name, array in sorted(tensors.items()):
        begin, end = end, end + array.nbytes
        dtype = _WRITTEN[array.itemsize]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (begin, end)}
        data.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensors
    if len(tensors) > MAX_TENSORS:
        raise LimitError(f"layers: expected at most {MAX_TENSORS} tensors, got {len(tensors)}")
    if len(text) > MAX_HEADER_BYTES:
        raise LimitError(
            f"metadata: expected a file header of at most {MAX_HEADER_BYTES} bytes,"
            f" got {len(text)}: store long texts elsewhere"
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *data])
