"""The machine, the versions and the machine's limits, for the result file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import elman
import limits
from elman.cli.timing.rounds import interleave, spread
from peers import native

Facts = dict[str, Any]
PACKAGES = ("numpy", "numba", "torch", "onnxruntime", "onnx", "jax", "jaxlib", "cmeel-eigen")
FOOTPRINTS = [2**k for k in range(12, 26)]


def machine() -> Facts:
    """Return a description of the machine."""
    return {
        "processor": native.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "caches": _caches(),
        "compiler": elman.build_info()["compiler"],
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def measure_limits(rounds: int) -> Facts:
    """Return the limits: GFLOP/s, nanoseconds per call, and GB/s at each footprint."""
    x = np.ones((200, 16), np.float32)
    peaks = [limits.multiply_add(name) for name in limits.PEAKS]
    calls = limits.empty_calls(x, np.empty(4, np.float32))
    loads = [limits.streaming_loads(size) for size in FOOTPRINTS]
    medians = [spread(ns).median for ns in interleave([*peaks, *calls, *loads], rounds)]
    rest = iter(medians)
    return {
        "fma_peak": {peak.mode: 1 / next(rest) for peak in peaks},
        "empty_call_ns": {call.mode: next(rest) for call in calls},
        "bandwidth": [
            {"bytes": size, "gigabytes_per_second": size / next(rest)} for size in FOOTPRINTS
        ],
    }


def _caches() -> dict[str, str]:
    """Return the sizes of the first processor's caches, on Linux."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (cache / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found
