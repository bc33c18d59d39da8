"""The tensors of a safetensors file by name, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import storage
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of the bytes of a file; bfloat16 is widened to float32."""
    length = storage._header_length(data, len(data))
    header = storage._json_object(data[8 : 8 + length], "the header")
    header.pop("__metadata__", None)
    if len(header) > storage.MAX_TENSORS:
        raise LimitError(f"expected at most {storage.MAX_TENSORS} tensors, got {len(header)}")
    return {name: _array(name, tensor) for name, tensor in _deserialize(data)}


def _deserialize(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    import safetensors

    try:
        tensors: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelFormatError(f"safetensors does not read it: {error}") from error
    return tensors


def _array(name: str, tensor: dict[str, Any]) -> NDArray[Any]:
    import numpy as np

    code, shape = tensor["dtype"], tensor["shape"]
    if code not in _DTYPES:
        raise UnsupportedModelError(
            f"tensor {name[:80]!r}: expected one of {', '.join(_DTYPES)}, got {code}"
        )
    try:
        array = np.frombuffer(tensor["data"], _DTYPES[code]).reshape(shape)
    except ValueError as error:  # more than 64 axes, or (0, 2**63)
        raise ModelFormatError(f"tensor {name[:80]!r}: {error}") from error
    return widened(array) if code == "BF16" else array


def widened(bits: NDArray[Any]) -> NDArray[Any]:
    """Return the float32 of bfloat16 numbers, which are its upper 16 bits."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)
