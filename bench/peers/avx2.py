"""Keep the peers to AVX2 on a processor that has AVX-512.

Some libraries have a switch. The others ask the processor: `cpuid` says whether it has AVX-512,
and the instruction `xgetbv`, with ecx = 0, in which registers the system keeps the state of a
thread: 1 x87, 2 SSE, 4 AVX, and 0xE0 AVX-512. A library uses AVX-512 only if both say yes. So
each of these packages is imported from a copy in which `xgetbv` is replaced by `lea eax, [rcx+7]`,
which has as many bytes: the answer is 7, that of a system without AVX-512. The copy is a folder
of links in the cache, with the changed libraries as files (0.6 GB for all). The packages
themselves stay as they are.

A product of two 512 x 512 matrices in float32 reaches, in GFLOP/s, unchanged and kept to AVX2,
whose limit is 136: ONNX Runtime 259, 129; LiteRT 261, 133; JAX 253, 121; OpenVINO 252, 126; tract
202, 119; ncnn 227, 88. In float64 (limit 68): ONNX Runtime 113, 60; JAX 122, 61.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from peers.native import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

# NumPy and OpenBLAS, Arrow, PyTorch with its libraries, LIBXSMM and numba.
SWITCHES = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    "ARROW_USER_SIMD_LEVEL": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "LIBXSMM_TARGET": "hsw",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+fma,+popcnt,+sse4.2",
}
OF_XLA = " --xla_cpu_max_isa=AVX2"
WITHOUT_SWITCH = ("onnxruntime", "ai_edge_litert", "jaxlib", "openvino", "tract", "ncnn")

# `xgetbv` after an instruction that sets ecx: to zero, or from a register that is zero. The same
# bytes inside of other instructions do not follow one.
ASKS = re.compile(
    rb"(?:[\x31\x33]\xC9|\x89[\xC1\xC9\xD1\xD9\xE1\xE9\xF1\xF9]).{0,8}?\x0F\x01\xD0", re.DOTALL
)
ANSWERS = b"\x8d\x41\x07"  # lea eax, [rcx+7]
LOADED, EXECUTABLE = 1, 1  # the type and the flag of a segment


def keep() -> None:
    """Set the switches, and import the packages without a switch from copies."""
    os.environ |= SWITCHES
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + OF_XLA
    if _has_avx512():
        sys.path[:0] = [str(_copy(package)) for package in _folders()]


def kept(library: bytes) -> bytes:
    """Return an ELF library in which the system does not keep the registers of AVX-512."""
    changed = bytearray(library)
    for start, end in _code(library):
        for asks in ASKS.finditer(library, start, end):
            changed[asks.end() - len(ANSWERS) : asks.end()] = ANSWERS
    return bytes(changed)


def _code(library: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the executable segments of a 64-bit ELF file start and end."""
    if not library.startswith(b"\x7fELF\x02\x01"):
        return
    (table,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for entry in range(table, table + count * size, size):
        kind, flags, start, _, _, length = struct.unpack_from("<IIQQQQ", library, entry)
        if kind == LOADED and flags & EXECUTABLE:
            yield start, start + length


def _has_avx512() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "avx512f" in cpuinfo.read_text(encoding="utf-8").split()


def _folders() -> Iterator[Path]:
    """Yield the folders of those packages that are installed."""
    for name in WITHOUT_SWITCH:
        if spec := importlib.util.find_spec(name):
            yield Path(spec.submodule_search_locations[0])


def _copy(package: Path) -> Path:
    """Return a folder with the copy of a package, made on first use."""
    of = f"{package} {package.stat().st_mtime_ns} {ASKS.pattern!r} {ANSWERS!r}"
    folder = cache() / f"avx2-{package.name}-{hashlib.sha256(of.encode()).hexdigest()[:16]}"
    if not folder.exists():
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as made:
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, Path(made, "new", part.name), copy_function=_link)
            os.replace(Path(made, "new"), folder)  # atomic
    return folder


def _link(source: str, target: str) -> None:
    """Link a file, or write it if it is a library that changes."""
    if ".so" in Path(source).name:
        library = Path(source).read_bytes()
        if (changed := kept(library)) != library:
            Path(target).write_bytes(changed)
            return
    os.symlink(source, target)
