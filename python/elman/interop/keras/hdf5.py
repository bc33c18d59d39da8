"""Read the arrays of an HDF5 file by path, within strict limits.

A file may only hold groups, contiguous datasets and plain attributes. Links to other places or
files, external storage, virtual datasets, chunks and filters are refused before any data is read,
so that memory is in proportion to the file. The HDF5 library parses the bytes.
"""

from __future__ import annotations

import io
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from elman import _container, _files
from elman.errors import ElmanError, LimitError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

MAX_OBJECTS = 4096
MAX_DEPTH = 32
MAX_TEXT_BYTES = 2**20


class Contents(NamedTuple):
    """The arrays and names of a file."""

    arrays: dict[str, NDArray[Any]]  # floating-point datasets, by path
    names: dict[str, str]  # the attribute `name` of groups, by path
    attributes: dict[str, str]  # text of the root
    lists: dict[tuple[str, str], list[str]]  # the names that a legacy group lists, by path and kind


def read(data: bytes) -> Contents:
    """Return the contents of a file, given its bytes."""
    h5py = _files.extra("h5py", "a file of Keras", "'elman[keras]'")
    _check_heaps(data)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            walk = _Walk(h5py, len(data))
            for name in ("model_config", "keras_version"):
                if name in file.attrs:
                    walk.contents.attributes[name] = walk.text(file, name)
            walk.group(file, "", 0)
    except ElmanError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).splitlines() or [""]
        raise ModelFormatError(f"the HDF5 file is damaged: {reason[0][:200]}") from error
    return walk.contents


def _check_heaps(data: bytes) -> None:
    """Refuse inconsistent string heaps; the HDF5 library loops forever on some.

    A heap is "GCOL", the version 1, its size, and objects of an index, a count and a size; index 0
    is the free space up to its end. Without the version, which the library requires, these are
    letters of a name or numbers.
    """
    start = -1
    while (start := data.find(b"GCOL\1", start + 1)) >= 0:
        at, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        index = 1
        while index and at + 16 <= end <= len(data):
            index = int.from_bytes(data[at : at + 2], "little")
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            at += size if index == 0 else 16 + (size + 7) // 8 * 8
        if not end - 16 < at <= end:
            raise ModelFormatError("the HDF5 file is damaged: a string heap is inconsistent")


class _Walk:
    """A walk over all objects of a file; no object may occur twice."""

    def __init__(self, h5py: Any, file_bytes: int) -> None:
        self.contents = Contents({}, {}, {}, {})
        self._h5py = h5py
        self._seen: set[Any] = set()
        self._bytes_left = file_bytes
        self._text_left = MAX_TEXT_BYTES

    def group(self, group: Any, path: str, depth: int) -> None:
        """Read a group and everything in it."""
        self._meet(group, path)
        if depth > MAX_DEPTH:
            raise LimitError(f"{path[:80]!r}: expected groups at most {MAX_DEPTH} deep, got more")
        if depth and "name" in group.attrs:
            self.contents.names[path] = self.text(group, "name")
        for kind in ("layer_names", "weight_names"):
            self._list(group, path, kind)
        for name in group:
            below = f"{path}/{name}".lstrip("/")
            link = group.get(name, getlink=True)
            item = group[name] if type(link) is self._h5py.HardLink else link
            if isinstance(item, self._h5py.Group):
                self.group(item, below, depth + 1)
            elif isinstance(item, self._h5py.Dataset):
                self._meet(item, below)
                self._dataset(item, below)
            else:
                raise UnsupportedModelError(
                    f"{below[:80]!r}: expected a group or a dataset, got {type(item).__name__}"
                )

    def _meet(self, item: Any, path: str) -> None:
        """Refuse an object with two names, such as a group that contains itself."""
        info = self._h5py.h5o.get_info(item.id)
        if info.addr in self._seen:
            raise ModelFormatError(f"{path[:80]!r}: the object has another name in the file")
        self._seen.add(info.addr)
        if len(self._seen) > MAX_OBJECTS:
            raise LimitError(f"expected at most {MAX_OBJECTS} groups and datasets, got more")

    def _dataset(self, dataset: Any, path: str) -> None:
        """Read a floating-point dataset; skip others."""
        h5d, h5t = self._h5py.h5d, self._h5py.h5t
        created = dataset.id.get_create_plist()
        external, layout = created.get_external_count(), created.get_layout()
        if external or layout not in (h5d.CONTIGUOUS, h5d.COMPACT) or created.get_nfilters():
            others = {h5d.CHUNKED: "a chunked one", h5d.VIRTUAL: "a virtual one"}
            found = "one in another file" if external else others.get(layout, "a filtered one")
            raise UnsupportedModelError(
                f"{path[:80]!r}: expected a contiguous dataset, got {found}"
            )
        kind = dataset.id.get_type()
        bfloat16 = isinstance(kind, h5t.TypeOpaqueID) and kind.get_size() == 2
        if not bfloat16 and not isinstance(kind, h5t.TypeFloatID):
            return
        shape = dataset.id.get_space().get_simple_extent_dims()
        expected = math.prod(shape) * kind.get_size()
        stored = dataset.id.get_storage_size()
        if stored != expected or len(shape) > 8:
            raise ModelFormatError(
                f"{path[:80]!r}: expected {expected} bytes for {str(shape)[:80]}, got {stored}"
            )
        self._bytes_left -= expected
        if self._bytes_left < 0:
            raise ModelFormatError(f"{path[:80]!r}: expected separate data, got shared bytes")
        array = dataset[...]
        self.contents.arrays[path] = _container.widened(array.view("<u2")) if bfloat16 else array

    def _list(self, group: Any, path: str, kind: str) -> None:
        """Read a list of names; Keras splits long ones into numbered attributes."""
        numbered = (f"{kind}{number}" for number in itertools.count())
        parts = [kind] if kind in group.attrs else []
        parts = parts or list(itertools.takewhile(lambda part: part in group.attrs, numbered))
        if parts:
            found = [self._strings(group, part, 1, "a list of names") for part in parts]
            self.contents.lists[path, kind] = list(itertools.chain.from_iterable(found))

    def text(self, item: Any, name: str) -> str:
        """Return an attribute that is one string."""
        (text,) = self._strings(item, name, 0, "one string")
        return text

    def _strings(self, item: Any, name: str, rank: int, expected: str) -> list[str]:
        """Return the strings of an attribute of this rank; errors say what was expected."""
        attribute = item.attrs.get_id(name)
        if attribute.shape is None or len(attribute.shape) != rank:
            raise ModelFormatError(f"the attribute {name!r}: expected {expected}")
        count = math.prod(attribute.shape)
        if count > MAX_OBJECTS:
            raise LimitError(f"the attribute {name!r}: expected at most {MAX_OBJECTS} names")
        if not count:  # whatever its type
            return []
        if not isinstance(attribute.get_type(), self._h5py.h5t.TypeStringID):
            raise ModelFormatError(f"the attribute {name!r}: expected {expected}")
        self._require_text(attribute.get_storage_size())
        values = item.attrs[name] if rank else [item.attrs[name]]
        texts = [one.decode() if isinstance(one, bytes) else str(one) for one in values]
        self._text_left -= sum(map(len, texts))
        self._require_text(0)
        return texts

    def _require_text(self, count: int) -> None:
        """Refuse more bytes of text than a file may have."""
        if count > self._text_left:
            raise LimitError(f"expected attributes of at most {MAX_TEXT_BYTES} bytes, got more")
