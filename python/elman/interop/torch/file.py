"""Read the tensors of a PyTorch `.pt` file without PyTorch and without running its pickle.

Such a file is a zip archive: `NAME/data.pkl` describes tensors as a pickle, and `NAME/data/KEY`
holds their elements. The small machine below interprets the pickle. It knows dictionaries, lists,
numbers, strings and tensors, and refuses everything else by name: the file cannot choose an object
to make or a function to call.
"""

from __future__ import annotations

import math
import pickletools
from typing import TYPE_CHECKING, NamedTuple

from elman import _container
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop import _archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from numpy.typing import NDArray

MAX_PICKLE_BYTES = 256 * 1024  # more than a thousand tensors
MAX_SHARING = 16  # total size of the tensors, in file sizes: some share their storage

SAVE = "use torch.save(model.state_dict(), path) or safetensors instead"

_STORAGES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "u2",  # unambiguous: PyTorch has no storage for uint16
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
}
_DICTIONARY = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_KNOWN = {_DICTIONARY, _TENSOR, _PARAMETER, *_STORAGES}


class _Global(NamedTuple):
    """The name of a function or a type in the pickle; never the object itself."""

    name: str


class _Storage(NamedTuple):
    """The elements of one or more tensors."""

    data: bytes
    dtype: str  # as NumPy spells it; "u2" is bfloat16
    size: int


class StoredTensor(NamedTuple):
    """A tensor within its storage; `numpy.asarray` copies its elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, not bytes
    byteorder: str

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
        """Return the elements, bfloat16 as float32."""
        import numpy as np

        kind = np.dtype(self.byteorder + self.storage.dtype)
        array: NDArray[Any] = np.ndarray(
            self.shape,
            kind,
            self.storage.data,
            self.offset * kind.itemsize if math.prod(self.shape) else 0,
            tuple(step * kind.itemsize for step in self.strides),
        )
        return _container.widened(array) if self.storage.dtype == "u2" else array.copy()


def read_pt(data: bytes) -> dict[str, Any]:
    """Return the dictionary in the bytes of a file; its tensors are `StoredTensor` objects."""
    try:
        archive = _archive.Archive(data, compressed=False)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{error}: {SAVE}") from None
    root = _root(archive.names)
    order = archive.read(f"{root}byteorder", 16) if f"{root}byteorder" in archive.names else b""
    if order.strip() not in (b"little", b"big", b""):
        raise ModelFormatError(f"byteorder: expected little or big, got {order[:16]!r}")
    machine = _Machine(archive, root, ">" if order.strip() == b"big" else "<")
    result = machine.run(archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES))
    if isinstance(result, dict):
        return result
    raise UnsupportedModelError(f"expected a state_dict, got {_kind(result)}: {SAVE}")


def _root(names: list[str]) -> str:
    """Return the top folder of the archive, with a slash."""
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise UnsupportedModelError(f"expected a state_dict, got a TorchScript archive: {SAVE}")
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise UnsupportedModelError(
            f"expected a PyTorch archive with one NAME/data.pkl, got {len(roots)} of them: {SAVE}"
        )
    return roots[0]


class _Machine:
    """An interpreter for the pickle operations of a state_dict."""

    def __init__(self, archive: _archive.Archive, root: str, byteorder: str) -> None:
        self._archive = archive
        self._root = root
        self._byteorder = byteorder
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[tuple[str, str], _Storage] = {}
        self._tensor_bytes = 0
        self._max_bytes = MAX_SHARING * sum(archive.size(name) for name in archive.names)

    def run(self, pickle: bytes) -> object:
        """Return the object that a pickle describes."""
        try:
            for operation, argument, _ in pickletools.genops(pickle):
                self._step(operation.name, argument)
            return self._stack.pop()
        except (IndexError, KeyError) as error:
            raise ModelFormatError("data.pkl: it uses an undefined stack or memo entry") from error
        except ValueError as error:
            if isinstance(error, (LimitError, ModelFormatError, UnsupportedModelError)):
                raise
            raise ModelFormatError(f"data.pkl is damaged: {error}") from error

    def _step(self, name: str, argument: Any) -> None:
        if name in _ARGUMENTS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise UnsupportedModelError(f"data.pkl: expected only tensors, got {name}: {SAVE}")

    # --- the stack and the memo ---

    def _mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _tuple(self, _: object) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _tuple_of(self, count: int) -> None:
        items = [self._stack.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(items)))

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    # --- dictionaries and lists ---

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(target) is not dict or type(key) not in (str, int):
                raise UnsupportedModelError(
                    f"data.pkl: expected a dictionary with string or integer keys, got {_kind(key)}"
                    f" as a key of {_kind(target)}: {SAVE}"
                )
            target[key] = value

    def _append(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ModelFormatError(f"data.pkl: expected a list, got {_kind(self._stack[-1])}")
        self._stack[-1].extend(items)

    def _build(self, _: object) -> None:
        """Drop the attributes of a dictionary: PyTorch's module versions."""
        self._stack.pop()
        if type(self._stack[-1]) is not dict:
            self._refuse(self._stack[-1])

    # --- names and tensors ---

    def _global(self, name: str) -> None:
        if name not in _KNOWN:
            raise UnsupportedModelError(
                f"expected a state_dict with only tensors, got {name[:80]!r}: {SAVE}"
            )
        self._stack.append(_Global(name))

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._global(f"{module}.{name}")

    def _reduce(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(arguments) is not tuple or type(function) is not _Global:
            self._refuse(function)
        if function.name == _TENSOR and len(arguments) in (6, 7):
            self._stack.append(self._tensor(*arguments[:4]))
        elif function.name == _PARAMETER and len(arguments) == 3:
            if type(arguments[0]) is not StoredTensor:
                self._refuse(arguments[0])
            self._stack.append(arguments[0])
        elif function.name == _DICTIONARY and not arguments:
            self._stack.append({})
        else:
            self._refuse(function)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> StoredTensor:
        """Return a tensor whose elements all lie in its storage."""
        sizes = (offset, *shape, *strides) if type(shape) is type(strides) is tuple else (None,)
        if type(storage) is not _Storage or not all(
            type(size) is int and 0 <= size < 2**48 for size in sizes
        ):
            raise ModelFormatError("data.pkl: expected a tensor's storage, offset, shape, strides")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if len(shape) > 8 or (count and last >= storage.size) or count > storage.size:
            raise ModelFormatError(
                f"data.pkl: a tensor {str(shape)[:80]} does not fit its storage of {storage.size}"
                " elements"
            )
        self._tensor_bytes += count * len(storage.data) // max(1, storage.size)
        if self._tensor_bytes > self._max_bytes:
            raise LimitError(
                f"expected tensors of at most {MAX_SHARING} times the file's bytes, got more"
            )
        return StoredTensor(storage, offset, shape, strides, self._byteorder)

    def _storage(self, _: object) -> None:
        """Replace a persistent id by its storage."""
        match self._stack.pop():
            case ("storage", _Global(kind), str(key), str(), int(size)) if kind in _STORAGES:
                self._stack.append(self._load(kind, key, size))
            case other:
                self._refuse(other)

    def _load(self, kind: str, key: str, size: int) -> _Storage:
        if (kind, key) not in self._storages:
            data = self._archive.read(f"{self._root}data/{key}", _archive.MAX_FILE_BYTES)
            self._storages[kind, key] = _Storage(data, _STORAGES[kind], size)
        storage = self._storages[kind, key]
        item = int(storage.dtype[1])
        if size != storage.size or size * item != len(storage.data):
            raise ModelFormatError(
                f"the entry 'data/{key[:80]}': expected {size} elements of {item} bytes,"
                f" got {len(storage.data)} bytes"
            )
        return storage

    def _refuse(self, value: object) -> NoReturn:
        raise UnsupportedModelError(f"data.pkl: expected only tensors, got {_kind(value)}: {SAVE}")


def _kind(value: object) -> str:
    return value.name if isinstance(value, _Global) else type(value).__name__


_ARGUMENTS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "SETITEM": lambda machine, _: machine._set_items([machine._stack.pop() for _ in "kv"][::-1]),
    "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
    "APPEND": lambda machine, _: machine._append([machine._stack.pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "BUILD": _Machine._build,
    "GLOBAL": lambda machine, name: machine._global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "BINPERSID": _Machine._storage,
}
