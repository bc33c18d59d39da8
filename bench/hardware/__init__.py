"""What the machine can do, as entries that are timed with the others.

Multiply-adds and empty calls are limits. Streaming loads are a yardstick: a network whose weights
stay in a nearer cache between its steps is faster.
"""

from __future__ import annotations

import functools
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.cli.timing.elman import loops_of
from elman.cli.timing.rounds import Entry
from peers import native

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    Array = NDArray[Any]

# Of the best set in each dtype, and of each set in float32; `scalar` runs on the best.
PEAKS = ("float32", "float64", "avx2_float32", "sse2_float32")


@functools.cache
def _machine() -> ModuleType:
    """Return the extension, compiled on first use."""
    return native.build(Path(__file__).parent, "hardware.machine")


def multiply_add(name: str) -> Entry:
    """Return an entry of the fastest multiply-adds, with one floating-point operation per item.

    `name` is a dtype, for the best instruction set, or a set and a dtype, as in "avx2_float32".
    """
    of_set = name if name in PEAKS else name.rpartition("_")[2]
    function = getattr(_machine(), of_set if "_" in of_set else f"fused_{of_set}")
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

    def positional() -> None:
        for x_t in rows:
            step(x_t, y)

    def loop() -> None:
        for _ in rows:
            pass

    modes = loops_of(empty, rows, y) | {"positional": positional, "loop": loop}
    return [Entry("empty call", mode, call, len(rows)) for mode, call in modes.items()]


def wait(count: int, period_ns: int, busy_ns: int) -> tuple[Array, Array]:
    """Do nothing for `busy_ns` at each moment of a schedule, as `time_steps` does a step.

    Return two arrays of nanoseconds: until the end, from when it began and from when it was due.
    """
    service, latency = np.zeros((2, count), np.int64)
    _machine().wait(service, latency, period_ns, busy_ns)
    return service, latency


def compiled_with() -> dict[str, str]:
    """Return the compiler of the extension, and its flags for each file."""
    return native.compiled_with(_machine())
