"""Symbols of the compiled files: those of different instruction sets cannot be merged."""

from __future__ import annotations

import pathlib
import re
import shutil

import pytest

from elman import _core
from fixtures import cpp_build

pytestmark = pytest.mark.any_isa

MOST_BYTES = 3_000_000


def defined_symbols(file, *options):
    """Return the demangled names of the symbols defined by a file and visible to a linker."""
    nm = cpp_build.tool("nm")
    lines = cpp_build.run(nm, "-C", "--defined-only", *options, file).splitlines()
    entries = (line.split(maxsplit=2) for line in lines if line)
    return [name for _, kind, name in entries if kind.isupper() or kind in "uvw"]


SHARED, APART = cpp_build.SETS, sorted({*cpp_build.ALL_SETS} - {*cpp_build.SETS})


@pytest.mark.builds
@pytest.mark.parametrize(
    "isa", [*SHARED, *(pytest.param(isa, marks=pytest.mark.slow) for isa in APART)]
)
def test_every_symbol_of_the_kernels_carries_its_instruction_set(isa, tmp_path_factory):
    if isa in SHARED:
        folder = cpp_build.build(tmp_path_factory)
    else:
        folder = cpp_build.build(tmp_path_factory, f"kernels_{isa}", cpp_build.ALL_SETS)
    (kernels,) = folder.glob(f"**/kernels_{isa}.dir/**/kernels.cpp.o*")
    names = defined_symbols(kernels)
    assert f"elman::{isa}::table" in names
    spaces = (f"elman::{isa}::", f"Eigen_{isa}::")
    assert [name for name in names if not any(space in name for space in spaces)] == []


@pytest.fixture
def extension():
    """The path of the installed extension, unless a sanitizer has added to it."""
    contents = pathlib.Path(_core.__file__).read_bytes()
    if re.search(rb"__[a-z]+san_", contents):
        pytest.skip("this build is sanitized")
    return _core.__file__


def test_the_extension_exports_its_initialization_and_nothing_else(extension):
    assert defined_symbols(extension, "-D") == ["PyInit__core"]


def test_the_extension_is_small(extension, tmp_path):
    stripped = tmp_path / "stripped"
    shutil.copyfile(extension, stripped)
    cpp_build.run(cpp_build.tool("strip"), stripped)
    assert stripped.stat().st_size < MOST_BYTES


def local_functions(text):
    """Return the names of the functions in the unnamed namespaces of a file."""
    bodies = re.findall(r"^namespace \{\n(.*?)^\}  // namespace$", text, re.DOTALL | re.MULTILINE)
    start = r"^(?!template|using|struct|class)[A-Za-z][^;{(=\n]*?(?<!::)\b(\w+)\("
    return {name for body in bodies for name in re.findall(start, body, re.MULTILINE)}


def test_local_functions_of_a_core_file_are_not_called_in_another():
    """A release compiles the files as one unit: one could silently use another's overload."""
    paths = (cpp_build.ROOT / "cpp/src").glob("*.[ch]pp")
    files = {path: path.read_text(encoding="utf-8") for path in paths}
    local = {path: local_functions(text) for path, text in files.items()}
    assert sum(map(len, local.values())) > 50
    taken = [
        f"{name} of {path.name} in {other.name}"
        for path, names in local.items()
        for name in sorted(names)
        for other, text in files.items()
        if other != path
        and re.search(rf"(?<![\w.>:]){name}(<[\w ]+>)?\(", re.sub("//.*", "", text))
    ]
    assert taken == []
