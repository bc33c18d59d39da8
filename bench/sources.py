"""The digest of the sources of the extension, as in `elman.build_info()["sources"]`."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("CMakeLists.txt", "cmake/*.cmake", "cpp/CMakeLists.txt")
FILES += tuple(f"cpp/{folder}/**/*.?pp" for folder in ("bindings", "include", "src"))


def digest(root: Path = ROOT) -> str:
    """Return the digest that cmake/Sources.cmake writes into a build."""
    paths = {path.relative_to(root).as_posix() for files in FILES for path in root.glob(files)}
    sums = (
        f"{hashlib.sha256((root / path).read_bytes()).hexdigest()}  {path}\n"
        for path in sorted(paths)
    )
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
