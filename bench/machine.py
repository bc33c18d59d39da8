"""What the result file says of the machine, its load, the build and the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

import hardware
from elman.cli.timing.rounds import interleave
from peers import native
from results import times_of

Facts = dict[str, Any]
ROOT = Path(__file__).parents[1]
PACKAGES = ("numpy", "numba", "torch", "onnxruntime", "onnx", "jax", "jaxlib")
PACKAGES += ("ai-edge-litert", "openvino", "tract", "ncnn", "reservoirpy", "rclib")
PACKAGES += ("cmeel-eigen",)
FOOTPRINTS = [2**k for k in range(12, 26)]


def machine() -> Facts:
    """Return a description of the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "caches": _caches(),
    }


def load(seconds: float = 1.0) -> Facts:
    """Return the load: the averages over 1, 5 and 15 minutes, and the shares of the next second.

    `busy` is the share of the time of all processors in which any process ran, `stolen` the share
    in which this virtual machine had to wait for its host.
    """
    found: Facts = {}
    if hasattr(os, "getloadavg"):
        found["averages"] = [round(average, 2) for average in os.getloadavg()]
    if Path("/proc/stat").exists():
        before = _ticks()
        time.sleep(seconds)
        spent = [after - tick for after, tick in zip(_ticks(), before, strict=True)]
        idle = spent[3] + spent[4]  # proc_stat(5): user nice system idle iowait irq softirq steal
        found["busy"] = round(1 - (idle + spent[7]) / max(1, sum(spent)), 3)
        found["stolen"] = round(spent[7] / max(1, sum(spent)), 3)
    return found


def _ticks() -> list[int]:
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    return [int(ticks) for ticks in first.split()[1:9]]


def commit() -> Facts:
    """Return the commit of this checkout and whether nothing differs from it; nothing without git.

    The files that a publication writes do not count.
    """
    written = ("bench/results", "bench/waiver.json", "README.md", "docs/numbers.md", "docs/plots")
    others = [f":!{path}" for path in written]
    try:
        git = ["git", "-C", str(ROOT)]
        of_head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", ".", *others],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": of_head.stdout.strip(), "clean": not changes.stdout.strip()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def measure_hardware(rounds: int) -> Facts:
    """Return the limits and yardsticks of the machine: nanoseconds per operation, call or pass."""
    x = np.ones((200, 16), np.float32)
    limits = [hardware.multiply_add(name) for name in hardware.PEAKS]
    limits += hardware.empty_calls(x, np.empty(4, np.float32))
    yardsticks = [hardware.streaming_loads(size) for size in FOOTPRINTS]
    times = interleave([*limits, *yardsticks], rounds)
    return {
        "limits": times_of(limits, times[: len(limits)]),
        "yardsticks": [
            facts | {"bytes": size}
            for facts, size in zip(
                times_of(yardsticks, times[len(limits) :]), FOOTPRINTS, strict=True
            )
        ],
    }


def _processor() -> str:
    """Return the model of the processor; on Linux with its family, since names may hide it."""
    name, path = native.processor(), Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    numbers = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    more = [
        f"{key[4:] if key[:3] == 'cpu' else key} {numbers[key]}"
        for key in ("cpu family", "model")
        if key in numbers
    ]
    return ", ".join([name, *more])


def _caches() -> dict[str, str]:
    """Return the sizes of the first processor's caches of data, on Linux."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (cache / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return found
