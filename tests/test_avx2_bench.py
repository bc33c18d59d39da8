"""The peers of the benchmark kept to AVX2: the changed bytes of a library, and its copy."""

from __future__ import annotations

import os
import struct

import pytest

import peers
from peers import avx2

pytestmark = pytest.mark.any_isa

XGETBV, LEA = "0f01d0", "8d4107"
HEADER, ENTRY = 64, 56  # bytes of an ELF file's header, and of an entry of its segments
DATA, CODE = 6, 5  # flags: read and write, read and execute


def elf(*segments: tuple[int, bytes]) -> bytes:
    """Return a 64-bit ELF file of loaded segments, each its flags and its bytes."""
    start = HEADER + ENTRY * len(segments)
    table, contents = b"", b""
    for flags, content in segments:
        table += struct.pack("<IIQQQQQQ", 1, flags, start, 0, 0, len(content), len(content), 1)
        contents += content
        start += len(content)
    header = bytearray(b"\x7fELF\x02\x01\x01".ljust(HEADER, b"\0"))
    struct.pack_into("<Q", header, 32, HEADER)
    struct.pack_into("<HH", header, 54, ENTRY, len(segments))
    return bytes(header) + table + contents


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("31c9", id="xor ecx, ecx"),
        pytest.param("33c9", id="xor ecx, ecx, as other compilers write it"),
        pytest.param("31f6 89f1", id="mov ecx, esi"),
        pytest.param("4489c9 4809da 4889d5", id="mov ecx, r9d and two more instructions"),
    ],
)
def test_a_library_finds_that_the_state_of_avx512_is_not_kept(before):
    asks = bytes.fromhex(f"0fa2 {before} {XGETBV} f7d0 a8e6")
    finds = bytes.fromhex(f"0fa2 {before} {LEA} f7d0 a8e6")
    assert avx2.kept(elf((CODE, asks + asks))) == elf((CODE, finds + finds))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(f"83e0{XGETBV}41f6", id="and eax, 15 and add eax, edx"),
        pytest.param(f"31c9 {'90' * 9} {XGETBV}", id="ecx was set long before"),
        pytest.param("31c9 0fa2", id="cpuid"),
    ],
)
def test_other_code_stays(code):
    library = elf((CODE, bytes.fromhex(code)))
    assert avx2.kept(library) == library


def test_only_code_is_changed():
    asks, finds = (bytes.fromhex(f"31c9 {it}") for it in (XGETBV, LEA))
    library = elf((DATA, asks), (CODE, asks), (DATA, asks)) + asks
    assert avx2.kept(library) == elf((DATA, asks), (CODE, finds), (DATA, asks)) + asks


def test_a_file_of_another_kind_stays():
    script = b"\x31\xc9\x0f\x01\xd0" * 100
    assert avx2.kept(script) == script
    assert avx2.kept(b"") == b""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a library that asks, one that does not, and a folder of its libraries."""
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "packages" / "some"
    (folder / "inside").mkdir(parents=True)
    folder.with_name("some.libs").mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inside" / "asks.so.1").write_bytes(elf((CODE, bytes.fromhex(f"31c9 {XGETBV}"))))
    (folder / "other.so").write_bytes(elf((CODE, b"\x90")))
    (folder.with_name("some.libs") / "beside.so").write_bytes(b"")
    return folder


def test_a_copy_has_links_and_the_changed_libraries(package):
    copy = avx2._copy(package)
    assert (copy / "some" / "__init__.py").readlink() == package / "__init__.py"
    assert (copy / "some" / "other.so").readlink() == package / "other.so"
    assert (copy / "some.libs" / "beside.so").is_symlink()
    changed = copy / "some" / "inside" / "asks.so.1"
    assert not changed.is_symlink()
    assert changed.read_bytes() == elf((CODE, bytes.fromhex(f"31c9 {LEA}")))
    assert (package / "inside" / "asks.so.1").read_bytes() != changed.read_bytes()


def test_a_copy_is_made_once_for_a_state_of_the_package(package):
    first = avx2._copy(package)
    assert avx2._copy(package) == first
    os.utime(package, ns=(1, 1))  # as an upgrade does
    assert avx2._copy(package) != first
    assert sorted(package.parents[1].joinpath("cache").iterdir()) == sorted(
        {first, avx2._copy(package)}
    )


@pytest.mark.parametrize("has_avx512", [False, True])
def test_packages_are_copied_only_where_the_processor_has_avx512(package, monkeypatch, has_avx512):
    monkeypatch.setattr(avx2, "_has_avx512", lambda: has_avx512)
    monkeypatch.setattr(avx2, "_folders", lambda: [package])
    monkeypatch.setattr(avx2.sys, "path", ["first"])
    monkeypatch.setattr(os, "environ", {"ELMAN_CACHE": os.environ["ELMAN_CACHE"]})
    avx2.keep()
    assert avx2.sys.path == [*([str(avx2._copy(package))] if has_avx512 else []), "first"]
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_peers_are_limited_only_in_a_run_of_avx2(monkeypatch, isa):
    monkeypatch.setattr(avx2, "_has_avx512", lambda: False)
    monkeypatch.setattr(os, "environ", {"ELMAN_ISA": isa, "OPENBLAS_CORETYPE": "Nehalem"})
    peers.one_thread()
    assert os.environ.get("OPENBLAS_CORETYPE") == {"avx2": "Haswell"}.get(isa)
    assert ("xla_cpu_max_isa" in os.environ["XLA_FLAGS"]) == (isa == "avx2")
