"""Build small C++ extensions on the machine that they measure."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
MARCH = "haswell" if os.environ.get("ELMAN_ISA") == "avx2" else "native"
COMPILED = "compiled.json"  # beside an extension: its compiler and flags


class Unavailable(Exception):  # noqa: N818 - not an error: a peer is left out
    """This peer cannot be used on this machine; the message says why."""


def build(source: Path, name: str) -> ModuleType:
    """Import the extension `name` of a CMake project; compile it into the cache on first use."""
    stem = name.rpartition(".")[2]
    library = cache() / f"{stem}-{_key(source)}" / f"{stem}{SUFFIX}"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            _compile(source, folder)
            compiled = json.dumps(_compiled_with(Path(folder)))
            (library.parent / COMPILED).write_text(compiled, encoding="utf-8")
            os.replace(Path(folder, library.name), library)  # atomic
    spec = importlib.util.spec_from_file_location(name, library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cache() -> Path:
    """Return the folder in ELMAN_CACHE, or `elman` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ELMAN_CACHE") or Path(home, "elman"))


def compiled_with(module: ModuleType) -> dict[str, str]:
    """Return the compiler of an extension from `build`, and its flags for each file."""
    return json.loads(Path(module.__file__).with_name(COMPILED).read_text(encoding="utf-8"))


def processor() -> str:
    """Return the model name of the processor."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _key(source: Path) -> str:
    """Return a key that depends on the sources, the processor and the interpreter."""
    digest = hashlib.sha256(f"{processor()} {sys.version} {COMPILED} {MARCH}".encode())
    for path in sorted(source.glob("*")):
        if path.name == "CMakeLists.txt" or path.suffix in (".cpp", ".hpp"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(source: Path, folder: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    for command in (
        [
            *(_tool("cmake"), "-S", source, "-B", folder, "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}",
            f"-DCMAKE_PREFIX_PATH={';'.join(_prefixes())}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DMARCH={MARCH}",
            "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        ],
        [_tool("cmake"), "--build", folder],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            error = next((line for line in said if "error" in line.lower()), said[-1])
            raise Unavailable(f"could not be compiled: {error}")


def _compiled_with(folder: Path) -> dict[str, str]:
    """Return the compiler and the flags of each file of a finished build."""
    found = {}
    for command in json.loads((folder / "compile_commands.json").read_text(encoding="utf-8")):
        compiler, *words = shlex.split(command["command"])
        flags = [w for w in words if w.startswith("-") and w[:2] not in ("-D", "-I", "-c", "-o")]
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
        found["compiler"] = said.stdout.splitlines()[0]
        found[Path(command["file"]).name] = " ".join(f for f in flags if f != "-isystem")
    return found


def _tool(name: str) -> str:
    beside = os.path.dirname(sys.executable)
    path = shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


def _prefixes() -> list[str]:
    """Return the prefixes of pybind11 and cmeel-eigen in this interpreter, for CMake."""
    found = [os.path.join(path, "cmeel.prefix") for path in sys.path]
    if spec := importlib.util.find_spec("pybind11"):
        found.append(os.path.dirname(spec.origin))
    return [path for path in found if os.path.isdir(path)]
