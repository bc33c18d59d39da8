"""The machine's limits, as entries that are timed with the others."""

from __future__ import annotations

import functools
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.rounds import Entry
from peers import native

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    Array = NDArray[Any]

PEAKS = ("float32", "float64", "sse2_float32")


@functools.cache
def _machine() -> ModuleType:
    """Return the extension with the limits, compiled on first use."""
    return native.build(Path(__file__).parent, "limits.machine")


def multiply_add(name: str) -> Entry:
    """Return an entry of the fastest multiply-adds, with one floating-point operation per item."""
    function = getattr(_machine(), name if name.startswith("sse2") else f"fused_{name}")
    rounds = 50_000
    return Entry("multiply-add", name, lambda: function(rounds), function(rounds))


def streaming_loads(size: int) -> Entry:
    """Return an entry of sequential loads over `size` bytes, with one pass per item."""
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    memory[:] = b"1" * size
    passes = max(1, 200_000 // size)
    load = _machine().load
    return Entry("streaming loads", "", lambda: load(memory, passes), passes)


def empty_calls(x: Array, y: Array) -> list[Entry]:
    """Return an entry of empty calls for each mode of elman's step, over the rows of x."""
    empty, rows = _machine().Empty(), list(x)
    step = empty.step

    def into_out() -> None:
        for x_t in rows:
            step(x_t, out=y)

    def looked_up() -> None:
        for x_t in rows:
            empty.step(x_t, out=y)

    def positional() -> None:
        for x_t in rows:
            step(x_t, y)

    def new_array() -> None:
        for x_t in rows:
            step(x_t)

    def loop() -> None:
        for _ in rows:
            pass

    modes = {
        "out=": into_out,
        "out=, looked up": looked_up,
        "positional": positional,
        "new array": new_array,
        "loop": loop,
    }
    return [Entry("empty call", mode, call, len(rows)) for mode, call in modes.items()]


def wait(count: int, period_ns: int) -> Array:
    """Wait for each moment of a schedule; return how late each was seen, in nanoseconds."""
    late = np.zeros(count, np.int64)
    _machine().wait(late, period_ns)
    return late
