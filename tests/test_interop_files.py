"""Foreign files: what is read at all, and the guards of zip archives and safetensors files."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import elman
from elman import _container
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError
from elman.interop import _archive

pytestmark = pytest.mark.any_isa


def read_tensors(data):
    return _container.parse(data)[1]


def archive(*entries, method=zipfile.ZIP_STORED):
    """Return the bytes of a zip archive of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, data in entries:
            made.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


# --- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "model.pt"
    with open(path, "wb") as file:
        file.write(b"PK\3\4")
        file.truncate(_archive.MAX_FILE_BYTES + 1)
    with pytest.raises(
        LimitError, match=f"{path}: expected at most 268435456 bytes, got 268435457"
    ):
        elman.from_torch(path, activation="tanh")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"x" * 10)
    status = os.stat(path)
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result([*status[:6], 9, *status[7:]]))
    with pytest.raises(ModelFormatError, match="the file changed while it was read"):
        _archive.read_file(str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError, match="fifo: expected a regular file"):
        elman.from_torch(tmp_path / "fifo", activation="tanh")
    with pytest.raises(ModelFormatError, match="null: expected a regular file"):
        elman.from_torch("/dev/null", activation="tanh")
    with pytest.raises(IsADirectoryError):
        elman.from_torch(tmp_path, activation="tanh")
    with pytest.raises(FileNotFoundError):
        elman.from_torch(tmp_path / "missing", activation="tanh")


# --- zip archives ---------------------------------------------------------------------------------


def test_an_archive_is_read_by_names():
    data = archive(("a", b"1"), ("b/c", b"23" * 5000), method=zipfile.ZIP_DEFLATED)
    made = _archive.Archive(data, compressed=True)
    assert made.names == ["a", "b/c"]
    assert made.size("b/c") == 10_000
    assert made.read("b/c", 10_000) == b"23" * 5000
    with pytest.raises(LimitError, match="'b/c': expected at most 9999 bytes, got 10000"):
        made.read("b/c", 9999)
    with pytest.raises(ModelFormatError, match="the entry 'd' is missing"):
        made.read("d", 10)


def test_a_bomb_is_refused_before_it_is_unpacked():
    data = archive(("zeros", bytes(50 * 2**20)), method=zipfile.ZIP_DEFLATED)
    assert len(data) < 60_000
    with pytest.raises(LimitError, match="expected at most 200 times the bytes stored"):
        _archive.Archive(data, compressed=True).read("zeros", _archive.MAX_FILE_BYTES)


def test_an_entry_that_lies_about_its_size_is_refused():
    data = bytearray(archive(("zeros", bytes(2000)), method=zipfile.ZIP_DEFLATED))
    for start in (22, data.index(b"PK\1\2") + 24):
        assert data[start : start + 4] == struct.pack("<I", 2000)
        data[start : start + 4] = struct.pack("<I", 1000)
    with pytest.raises(ModelFormatError, match="damaged: Bad CRC-32"):
        _archive.Archive(bytes(data), compressed=True).read("zeros", 5000)


def overlapping():
    """Return an archive whose two entries are the same bytes (as D. Fifield's bomb has them)."""
    data = archive(("a", b"x" * 100), ("b", b"y" * 100))
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4) + 42
    return data[:at] + bytes(4) + data[at + 4 :]


def with_field(data, offset, value):
    """Return an archive with another 16-bit field in its first directory entry."""
    at = data.index(b"PK\1\2") + offset
    return data[:at] + struct.pack("<H", value) + data[at + 2 :]


ONE = archive(("a", b"x" * 100))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (archive(("a", b"1"), ("a", b"2")), ModelFormatError, "'a' stands twice in the archive"),
        (archive(("../a", b"")), ModelFormatError, r"'\.\./a' has a name that leads out"),
        (archive(("a/../../b", b"")), ModelFormatError, "leads out of the archive"),
        (archive(("/etc/passwd", b"")), ModelFormatError, "leads out of the archive"),
        (archive(("..\\a", b"")), ModelFormatError, "leads out of the archive"),
        (archive(("C:a", b"")), ModelFormatError, "leads out of the archive"),
        (archive(("axb", b"")).replace(b"axb", b"a\0b"), ModelFormatError, "leads out of the arc"),
        (overlapping(), ModelFormatError, "'b' overlaps another"),
        (
            b"#!/bin/sh\n" + ONE,
            ModelFormatError,
            "'a' overlaps another, or does not begin the file",
        ),
        (with_field(ONE, 8, 1), UnsupportedModelError, "'a' is encrypted"),
        (with_field(ONE, 10, 12), UnsupportedModelError, "stored or deflated, got method 12"),
        (with_field(ONE, 6, 99), ModelFormatError, "cannot be read: zip file version 9.9"),
        (with_field(ONE, 20, 500), ModelFormatError, "overlaps its directory"),
        (b"PK\1\2" * 5000, LimitError, "at most 4096 entries, got 5000"),
        (b"PK\3\4", ModelFormatError, "damaged: File is not a zip file"),
        (ONE[:-30], ModelFormatError, "damaged"),
    ],
)
def test_a_hostile_archive_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        _archive.Archive(data, compressed=True)


# --- safetensors ----------------------------------------------------------------------------------


def join(header, data=b""):
    """Return the bytes of a safetensors file; the header may be text already."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_tensors_of_every_width_are_read():
    arrays = {
        code: np.arange(4).astype(code)
        for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    }
    got = read_tensors(safetensors.numpy.save(arrays, {"format": "pt"}))
    assert got.keys() == arrays.keys()
    for code, array in arrays.items():
        np.testing.assert_array_equal(got[code], array)
        assert got[code].dtype == array.dtype


def test_bfloat16_is_widened():
    data = join({"x": tensor("BF16", [2], 0, 4)}, b"\x80\x3f\x20\xc0")
    np.testing.assert_array_equal(read_tensors(data)["x"], np.array([1, -2.5], "f4"))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (join({"x": tensor("F8_E4M3", [2], 0, 2)}, b"ab"), UnsupportedModelError, "got 'F8_E4M3'"),
        (join({"x": tensor("F32", [2], 0, 4)}, bytes(4)), ModelFormatError, "expected 8 bytes for"),
        (
            join({"x": tensor("F32", [0, 2**63], 0, 0)}),
            ModelFormatError,
            "tensor 'x': expected a shape",
        ),
        (
            join({"x": tensor("F32", [1], 0, 4), "y": tensor("F32", [1], 0, 4)}, bytes(4)),
            ModelFormatError,
            "overlap or leave a hole",
        ),
        (join(b'{"x": 1, "x": 2}'), ModelFormatError, "the key 'x' stands twice"),
        (join(b"[" * 100_000), ModelFormatError, "expected a JSON object"),
        (join(b'{"x":' + b"[" * 100_000), ModelFormatError, "nested too deeply"),
        (join({str(i): 0 for i in range(2000)}), LimitError, "at most 1024 tensors, got 2000"),
        ((2**40).to_bytes(8, "little") + b"{}", ModelFormatError, "this is not a safetensors file"),
        (
            join({"x": tensor("F32", [1], 0, 4)}, bytes(5)),
            ModelFormatError,
            "the file goes on after",
        ),
    ],
)
def test_a_hostile_safetensors_file_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        read_tensors(data)
