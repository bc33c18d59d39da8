"""The tensors of a PyTorch file: storages, and the functions that describe tensors in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _container
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop.torch.pickles import Global, Opaque, kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_AXES = 8
MAX_SHARING = 16  # total size of the tensors, in file sizes: some share their storage

STORAGES = {
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
_OTHER_BYTES = {  # of one element of the storages whose tensors are not read
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
    "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
    "UntypedStorage": 1,
}
_PARAMETERS = {  # functions whose first argument is the tensor
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",  # before PyTorch 0.4
    "torch.autograd.variable.Variable",
}
_PLAIN = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter")


class Storage:
    """The elements of one or more tensors."""

    __slots__ = ("data", "dtype", "kind", "size")

    def __init__(self, kind: str, size: int) -> None:
        self.kind = kind
        self.dtype = STORAGES.get(kind)  # as NumPy spells it; "u2" is bfloat16; None: not read
        self.size = size  # in elements
        self.data: bytes | memoryview = b""

    @property
    def itemsize(self) -> int | None:
        """The bytes of an element, None if unknown."""
        if self.dtype is not None:
            return int(self.dtype[1])
        return _OTHER_BYTES.get(self.kind.rpartition(".")[2])


class View(NamedTuple):
    """A part of a storage, or all of it, as a pickle names it."""

    storage: Storage
    start: int
    size: int


class StoredTensor(NamedTuple):
    """A tensor within its storage; `numpy.asarray` copies its elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, not bytes
    byteorder: str

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
        """Return the elements, bfloat16 as float32."""
        kind = np.dtype(f"{self.byteorder}{self.storage.dtype}")
        array: NDArray[Any] = np.ndarray(
            self.shape,
            kind,
            self.storage.data,
            self.offset * kind.itemsize if math.prod(self.shape) else 0,
            tuple(step * kind.itemsize for step in self.strides),
        )
        return _container.widened(array) if self.storage.dtype == "u2" else array.copy()


class Unread:
    """What cannot be read as a tensor: refused where it is used as one."""

    __slots__ = ("kind", "shape")

    def __init__(self, kind: str, shape: Any = ()) -> None:
        self.kind = kind
        self.shape: tuple[int, ...] = _sizes(shape) or ()

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[Any]:
        """Refuse."""
        raise UnsupportedModelError(
            f"expected a dense tensor of real numbers, got {self.kind[:80]}: PyTorch converts it"
            " (dequantize(), to_dense(), float(), torch.tensor)"
        )


class Builder:
    """Describes the tensors of one file."""

    def __init__(self, file_bytes: int, byteorder: str) -> None:
        self._room = 2**20 + MAX_SHARING * file_bytes
        self._byteorder = byteorder

    def call(self, name: str, args: list[Any]) -> object:
        """Return the tensor that a known function would make, else NotImplemented."""
        if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            if len(args) < 4:
                raise ModelFormatError("expected a tensor's storage, offset, shape and strides")
            if len(args) > 6 and args[6]:  # the values are conjugated or negated
                return Unread("a view that conjugates or negates", args[2])
            return self._tensor(*args[:4])
        if name in _PARAMETERS and args and hasattr(args[0], "shape"):
            return args[0]
        if name in ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"):
            return self._of_type(name, args)
        if name.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_")):
            return Unread(_described(name, args), _shape(args))
        return NotImplemented

    def _of_type(self, name: str, args: list[Any]) -> object:
        """Return a tensor of a subclass, which may mean something else by its elements."""
        match args:
            case [Global(function), Global(kind), tuple(inner), *_] if len(inner) < 16:
                made = self.call(function, list(inner))
                if kind in _PLAIN or made is NotImplemented:
                    return made
                return Unread(f"a tensor of the class {kind}", getattr(made, "shape", ()))
        return NotImplemented

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> object:
        """Return a tensor whose elements all lie in its storage."""
        shape = _sizes(shape)
        sizes: tuple[Any, ...] = (None,)
        if type(shape) is type(strides) is tuple and len(shape) == len(strides):
            sizes = (offset, *shape, *strides)
        if type(storage) is not View or not all(
            type(size) is int and 0 <= size < 2**48 for size in sizes
        ):
            raise ModelFormatError(
                f"expected a tensor's storage, offset, shape and strides of at most {MAX_AXES} axes"
            )
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if count and last >= storage.size:
            raise ModelFormatError(
                f"a tensor {str(shape)[:80]} does not fit its storage of {storage.size} elements"
            )
        whole = storage.storage
        if whole.dtype is None:
            return Unread(f"a tensor in {whole.kind}", shape)
        self._room -= count * (whole.itemsize or 1)
        if self._room < 0:
            raise LimitError(
                f"expected tensors of at most {MAX_SHARING} times the file's bytes, got more"
            )
        return StoredTensor(whole, storage.start + offset, shape, strides, self._byteorder)


def _described(name: str, args: list[Any]) -> str:
    """Return what a tensor that is not read is: its dtype, or the function that makes it."""
    for arg in args:
        if type(arg) is Global and arg.name.startswith("torch."):
            return f"a tensor of {arg.name}"
    words = name[:80].rpartition("._rebuild_")[2].replace("_", " ")
    return {"qtensor": "a quantized tensor"}.get(words, f"a {words}")


def _sizes(shape: Any) -> tuple[int, ...] | None:
    """Return a shape as a tuple, None if it is something else."""
    if type(shape) is Opaque and shape.kind == "torch.Size" and shape.args:
        shape = shape.args[0]
    plain = type(shape) is tuple and len(shape) <= MAX_AXES and all(type(n) is int for n in shape)
    return shape if plain else None


def _shape(args: list[Any]) -> Any:
    """Return the first shape among the arguments of a function, or in the data of a sparse one."""
    data = args[1] if len(args) > 1 and type(args[1]) is tuple else ()
    return next((arg for arg in (*args[:8], *data[:8]) if _sizes(arg) is not None), ())


def storage_of(value: Any) -> tuple[str, str, int, Any]:
    """Return the kind, the key, the size and the view of a storage's persistent id."""
    if type(value) is str:
        raise UnsupportedModelError(
            "expected the storages of another pickle protocol than 0, which torch.load does not"
            " read either"
        )
    if type(value) is tuple and 5 <= len(value) <= 6 and value[0] == "storage":
        _, kind, key, _, size, view = (*value, None)[:6]
        known = type(kind) is Global and type(key) in (str, int)
        if known and type(size) is int and 0 <= size < 2**48:
            return kind.name, str(key), size, view
    raise ModelFormatError(f"expected the persistent id of a storage, got {kind_of(value)}")
