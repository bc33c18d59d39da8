"""Read the tensors of a PyTorch file without PyTorch and without running its pickle.

Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` describes tensors as a pickle, and
`NAME/data/KEY` holds the elements of a storage. Before, it was several pickles one after another,
followed by the elements of all storages. What stands beside the tensors is read past: the file
cannot choose an object to make or a function to call.
"""

from __future__ import annotations

import io
from typing import Any

from elman import _container
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop import _archive
from elman.interop.torch.pickles import MAX_PICKLE_BYTES, Global, Machine, Opaque, kind_of
from elman.interop.torch.tensors import STORAGES, Builder, Storage, Unread, View, storage_of
from elman.interop.torch.visible import visible

MAX_RATIO = 8  # of a compressed data.pkl above 1 MiB to the file

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file before PyTorch 1.6
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LENGTH = bytes(6) + b"{"  # of a header of safetensors, from its third byte, and its first byte
_FORMAT = 1001  # the second one
_KINDS = (  # archives that torch.load does not read: the end of an entry's name, and the remedy
    (
        ("/constants.pkl", "/code/"),
        "a TorchScript archive",
        "torch.save(torch.jit.load(path).state_dict(), new_path)",
    ),
    (
        ("/models/", "serialized_exported_program.", "/archive_format"),
        "an exported program (.pt2)",
        "torch.save(torch.export.load(path).state_dict, new_path)",
    ),
    (
        (".data/extern_modules",),
        "a torch.package archive",
        "torch.save(model.state_dict(), new_path) with the model of its PackageImporter",
    ),
)
_TENSORS = _container.Kind(dtypes=None)


def read_tensors(path: str) -> dict[str, Any]:
    """Return what a PyTorch or safetensors file holds, as `read_pt` does."""
    with _archive.opening(path, "torch"):
        data = _archive.read_file(path)
        pickled = data.startswith(_PICKLES) and data[2:9] != _LENGTH
        if data.startswith(_ZIP) or pickled or is_pytorch(data[:512]):
            return read_pt(data)
        header, arrays = _container.parse(data, _TENSORS)
        if isinstance(header.metadata, dict) and header.metadata.get("format") == "elman":
            raise UnsupportedModelError(
                "expected a PyTorch model, got elman's: elman.load reads it"
            )
        tensors: dict[str, Any] = {}
        for name, entry in header.entries.items():
            unread = Unread(f"a tensor of {entry.dtype}", entry.shape)
            tensors[name] = arrays.get(name, unread)
        return tensors


def is_pytorch(data: bytes) -> bool:
    """Return whether a file begins as PyTorch's do: 512 bytes are enough."""
    if data.startswith(_ZIP):
        name = data[30 : 30 + int.from_bytes(data[26:28], "little")]
        return name.endswith((b"/data.pkl", b"/version", b"/byteorder", b"/.format_version"))
    return _is_legacy(data) or _is_tar(data)


def read_pt(data: bytes) -> dict[str, Any]:
    """Return what a file holds: nested dictionaries of `StoredTensor` and `Unread`."""
    if data.startswith(_ZIP):
        value = _read_archive(data)
    elif _is_tar(data):
        raise UnsupportedModelError(
            "expected a PyTorch file, got the tar format of PyTorch before 0.1.10: if you trust the"
            " file, torch.save(torch.load(path, weights_only=False), new_path) in PyTorch writes"
            " one that is read"
        )
    elif _is_legacy(data):
        value = _read_legacy(data)
    else:
        raise UnsupportedModelError(
            "expected a PyTorch file, got a pickle that torch.save did not write, which is not"
            " read: if you trust the file, load it and pass a dictionary of its arrays to"
            " elman.from_torch"
        )
    shown = visible(value)
    if isinstance(shown, dict):
        return shown
    if type(value) is dict or (type(value) is Opaque and value.items is not None):
        return {}
    raise UnsupportedModelError(
        f"expected a PyTorch file with a state_dict, a checkpoint or a module, got {kind_of(value)}"
        " without tensors by name"
    )


# --- since PyTorch 1.6 ----------------------------------------------------------------------------


def _read_archive(data: bytes) -> Any:
    archive = _archive.Archive(data, compressed=True)
    root = _root(archive.names)
    if (total := sum(map(archive.size, archive.names))) > _archive.MAX_FILE_BYTES:
        raise LimitError(
            f"expected at most {_archive.MAX_FILE_BYTES} bytes without compression, got {total}"
        )
    order = archive.read(f"{root}byteorder", 16) if f"{root}byteorder" in archive.names else b""
    if order.strip() not in (b"little", b"big", b""):
        raise ModelFormatError(f"byteorder: expected little or big, got {order[:16]!r}")
    limit = min(MAX_PICKLE_BYTES, max(2**20, MAX_RATIO * len(data)))
    pickle = archive.read(f"{root}data.pkl", limit)
    storages: dict[tuple[str, str], Storage] = {}

    def load(persistent: object) -> object:
        kind, key, size, _ = storage_of(persistent)
        if (kind, key) not in storages:
            storage = Storage(kind, size)
            storage.data = archive.read(f"{root}data/{key}", _archive.MAX_FILE_BYTES)
            storages[kind, key] = storage
        storage = storages[kind, key]
        item = storage.itemsize
        if size != storage.size or (item and size * item != len(storage.data)):
            raise ModelFormatError(
                f"the entry 'data/{key[:80]}': expected {size} elements of {item} bytes,"
                f" got {len(storage.data)} bytes"
            )
        return View(storage, 0, size)

    builder = Builder(total, ">" if order.strip() == b"big" else "<")
    return Machine(builder.call, load, "data.pkl").run(io.BytesIO(pickle), len(pickle))


def _root(names: list[str]) -> str:
    """Return the top folder of the archive, with a slash."""
    for marks, kind, remedy in _KINDS:
        if any(mark in f"/{name}" for name in names for mark in marks):
            raise UnsupportedModelError(
                f"expected a PyTorch file with a state_dict, got {kind}: {remedy} writes one"
            )
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise UnsupportedModelError(
            f"expected a PyTorch archive with one NAME/data.pkl, got {len(roots)} of them"
        )
    return roots[0]


# --- before PyTorch 1.6 ---------------------------------------------------------------------------


def _is_legacy(data: bytes) -> bool:
    """Return whether a file begins with the number of PyTorch's format, in any protocol."""
    number = _MAGIC.to_bytes(10, "little")
    return number in data[:32] or str(_MAGIC).encode() in data[:32]


def _is_tar(data: bytes) -> bool:
    return data[257:262] == b"ustar"


def _read_legacy(data: bytes) -> Any:
    """Read the pickles of a file, then the elements of its storages, little endian on any machine.

    A storage may be a part of another one.
    """
    file = io.BytesIO(data)
    storages: dict[str, Storage] = {}

    def load(persistent: object) -> object:
        match persistent:
            case ("module", Global() as name, _, _):  # a class, with its source
                return name
        kind, key, size, view = storage_of(persistent)
        storage = storages.setdefault(key, Storage(kind, size))
        if storage.kind != kind and kind not in STORAGES:
            storage = Storage(kind, size)  # not read
        if (kind, size) != (storage.kind, storage.size):
            raise ModelFormatError(f"the storage {key[:80]!r} has two types or sizes")
        start = 0
        if view is not None:
            match view:
                case (str() | int(), int(start), int(part)) if 0 <= start <= start + part <= size:
                    size = part
                case _:
                    raise ModelFormatError(f"the storage {key[:80]!r}: expected a view inside it")
        return View(storage, start, size)

    def run(what: str) -> Any:
        return Machine(builder.call, load, what).run(file, len(data) - file.tell())

    builder = Builder(len(data), "<")
    if run("the first pickle") != _MAGIC:
        raise ModelFormatError(f"expected a PyTorch file that begins with the number {_MAGIC:#x}")
    if (version := run("the second pickle")) != _FORMAT:
        raise UnsupportedModelError(
            f"expected the version {_FORMAT} of PyTorch's format, got {kind_of(version)}"
        )
    run("the system's sizes")
    value = run("the pickle")
    keys = run("the storages' keys")
    if type(keys) is not list:
        raise ModelFormatError(f"expected a list of the storages' keys, got {kind_of(keys)}")
    _fill(storages, keys, memoryview(data)[file.tell() :])
    return value


def _fill(storages: dict[str, Storage], keys: list[Any], data: memoryview) -> None:
    """Give its elements to each storage: 8 bytes with their number, then the elements."""
    left = dict(storages)
    for key in keys:
        storage = left.pop(str(key) if type(key) in (str, int) else "", None)
        if storage is None:
            raise ModelFormatError(f"expected each storage once, got the key {str(key)[:80]!r}")
        item, count = storage.itemsize, int.from_bytes(data[:8], "little")
        if item is None:
            raise UnsupportedModelError(
                f"expected storages of known types, got {storage.kind[:80]!r}"
            )
        if count != storage.size or len(data) < 8 + count * item:
            raise ModelFormatError(
                f"the storage {str(key)[:80]!r}: expected {storage.size} elements of {item} bytes,"
                f" got {count} of {max(0, len(data) - 8)} bytes"
            )
        storage.data = data[8 : 8 + count * item]
        data = data[8 + count * item :]
    if left:
        raise ModelFormatError(f"the storage {next(iter(left))[:80]!r} is missing from the file")
