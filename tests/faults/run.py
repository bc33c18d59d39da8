"""Seed each fault of the table, one at a time, and check that the nearest tests catch it.

    python tests/faults/run.py                  # all
    python tests/faults/run.py fold "byte order"
    python tests/faults/run.py --list

All faults of the core are compiled into one extension, which selects correct or faulty code by the
environment variable ELMAN_FAULT; the shipped sources do not contain it. A fault of the package is
seeded in a copy. A fault is caught if a test among the nearest fails that passes without the fault:
crashes, unreadable test files and timeouts do not count. Needs the extra `test`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from table import FAULTS, ROOT, Fault

# Static, so that each file has its own copy: a shared one might be compiled for another processor.
CHOICE = """\
#pragma once
#include <cstdlib>
#include <cstring>
[[maybe_unused]] static bool elman_fault(const char* name) {
    static const char* const chosen = std::getenv("ELMAN_FAULT");
    return chosen && std::strcmp(chosen, name) == 0;
}
"""
TIMEOUT = 600  # seconds for the nearest tests of a fault
FAILED = re.compile(r"^FAILED (tests/.+?)(?: - .*)?$", re.MULTILINE)


# --- the packages to test -------------------------------------------------------------------------


def choice(fault: Fault) -> str:
    """Return C++ that is correct or faulty, selected at run time by the environment."""
    chosen = f'elman_fault("{fault.name}")'
    if fault.right.endswith(";"):
        return f"if ({chosen}) {{ {fault.wrong} }} else {{ {fault.right} }}"
    return f"({chosen} ? ({fault.wrong}) : ({fault.right}))"


def build(faults: list[Fault], folder: pathlib.Path) -> pathlib.Path:
    """Compile the core with all its faults; return the extension."""
    source = folder / "source"
    texts = {path: path.read_text() for path in (ROOT / "CMakeLists.txt", *files("cpp", "cmake"))}
    for fault in faults:
        path = ROOT / fault.file
        texts[path] = fault.put_into(texts[path], choice(fault))
    for path, text in texts.items():
        write(source / path.relative_to(ROOT), text)
    write(folder / "choice.hpp", CHOICE)
    quiet(
        *(tool("cmake"), "-S", source, "-B", folder / "build", "-G", "Ninja"),
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_CXX_FLAGS=-include {folder / 'choice.hpp'}",
        "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",  # does not affect bits
        "-DELMAN_KERNEL_OPTIMIZATION=-O1",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={quiet(sys.executable, '-m', 'pybind11', '--cmakedir').strip()}",
        "-DSKBUILD_PROJECT_VERSION=0",
    )
    quiet(tool("cmake"), "--build", folder / "build")
    (extension,) = (folder / "build" / "cpp").glob("_core*.so")
    return extension


def files(*folders: str) -> list[pathlib.Path]:
    """Return all files in these folders of the repository."""
    return [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]


def write(path: pathlib.Path, text: str) -> None:
    """Write a file unless it already has this content, which avoids compiling it again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def install(fault: Fault | None, extension: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Assemble the package in a folder, with the fault if it is in the package."""
    package = folder / "elman"
    shutil.copytree(
        ROOT / "python" / "elman", package, ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    shutil.copy(extension, package)
    if fault is not None and not fault.is_core:
        path = folder / pathlib.Path(fault.file).relative_to("python")
        path.write_text(fault.put_into(path.read_text(), fault.wrong))
    return folder


def tool(name: str) -> str:
    """Return the path of a program, preferring the folder of this Python."""
    beside = os.path.dirname(sys.executable)
    path = shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    return path or sys.exit(f"needs {name}: pip install elman[test]")


def quiet(*command: object) -> str:
    """Run a command, and exit with its output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} returned {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


# --- the tests ------------------------------------------------------------------------------------


class Outcome:
    """The results of pytest on test files or parts of them."""

    def __init__(self, site: pathlib.Path, tests: list[str], *, fault: str = "") -> None:
        paths = filter(None, [str(site), os.environ.get("PYTHONPATH")])
        environment = os.environ | {"ELMAN_FAULT": fault, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
        start = time.perf_counter()
        with subprocess.Popen(
            [*command, *(["-x"] if fault else []), *tests],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                said += f"timeout after {TIMEOUT} s"
        self.seconds = time.perf_counter() - start
        # A test that did not finish has not failed.
        self.failed = FAILED.findall(said) if process.returncode == 1 else []
        self.last_line = (said.strip().splitlines() or ["nothing"])[-1]
        self.passed = process.returncode == 0


def run(chosen: list[Fault], jobs: int, folder: pathlib.Path) -> bool:
    """Seed the faults; return whether all were caught."""
    extension = build([fault for fault in FAULTS if fault.is_core], folder)
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        right = install(None, extension, pathlib.Path(work, "right"))

        def seed(fault: Fault) -> Outcome:
            site = right
            if not fault.is_core:
                site = install(fault, extension, pathlib.Path(work, fault.name))
            tests = [str(path.relative_to(ROOT)) for path in fault.test_files()]
            return Outcome(site, tests, fault=fault.name)

        caught_by: dict[str, str] = {}
        for fault, outcome in zip(chosen, pool.map(seed, chosen), strict=True):
            how = f"NOT CAUGHT: {outcome.last_line}"
            if outcome.failed:
                how = caught_by[fault.name] = outcome.failed[0]
            print(f"{fault.name} ({fault.kind}), {outcome.seconds:.0f} s: {how}", flush=True)
        tests = sorted(set(caught_by.values()))
        passed = not tests or _pass_without_a_fault(right, tests)
    print(f"{len(caught_by)} of {len(chosen)} caught")
    return passed and len(caught_by) == len(chosen)


def _pass_without_a_fault(right: pathlib.Path, tests: list[str]) -> bool:
    outcome = Outcome(right, tests)
    if not outcome.passed:
        print("without a fault:", *(outcome.failed or [outcome.last_line]), sep="\n    ")
    return outcome.passed


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Seed faults and check that tests catch them.")
    parser.add_argument("names", nargs="*", help="names of faults; all by default")
    parser.add_argument("--list", action="store_true", help="list the faults and their kinds")
    parser.add_argument("--jobs", type=int, default=2, help="number of faults at the same time")
    parser.add_argument("--build", type=pathlib.Path, help="folder in which to keep the build")
    options = parser.parse_args()
    if unknown := set(options.names) - {fault.name for fault in FAULTS}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    chosen = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    if options.list:
        for fault in chosen:
            print(f"{fault.name} ({fault.kind}): {fault.file}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.build or pathlib.Path(temporary)
        sys.exit(not run(chosen, options.jobs, folder.resolve()))


if __name__ == "__main__":
    main()
