"""The tensors of a safetensors file by name, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _container

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of the bytes of a file; bfloat16 is widened to float32."""
    header, arrays = _container.parse(data)
    return {
        name: widened(array) if header.entries[name].dtype == "BF16" else array
        for name, array in arrays.items()
    }


def widened(bits: NDArray[Any]) -> NDArray[Any]:
    """Return the float32 of bfloat16 numbers, which are its upper 16 bits."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)
