"""Foreign files: the kinds that are read, and the guards of zip and safetensors files."""

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
from elman.errors import LimitError, ModelFormatError, UnsupportedModelError

pytestmark = pytest.mark.any_isa


def archive(*entries, method=zipfile.ZIP_STORED):
    """Return the bytes of a zip archive of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate names
        for name, data in entries:
            made.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


# --- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "model.pt"
    with open(path, "wb") as file:
        file.write(b"PK\3\4")
        file.truncate(2**28 + 1)
    with pytest.raises(LimitError, match=f"^{path}: expected .*268435456 bytes, got 268435457"):
        elman.from_torch(path, activation="tanh")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    path.write_bytes(ONE)
    status = os.stat(path)
    for size, got in ((len(ONE) - 1, "more"), (len(ONE) + 1, len(ONE))):
        other = os.stat_result([*status[:6], size, *status[7:]])
        monkeypatch.setattr(os, "fstat", lambda _, other=other: other)
        with pytest.raises(ModelFormatError, match=rf"expected {size} bytes, got {got}"):
            elman.from_torch(path, activation="tanh")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_a_path_that_is_not_a_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError, match=r"fifo: expected .*regular file"):
        elman.from_torch(tmp_path / "fifo", activation="tanh")
    with pytest.raises(ModelFormatError, match=r"null: expected .*regular file"):
        elman.from_torch("/dev/null", activation="tanh")
    with pytest.raises(IsADirectoryError):
        elman.from_torch(tmp_path, activation="tanh")
    with pytest.raises(FileNotFoundError):
        elman.from_torch(tmp_path / "missing", activation="tanh")


# --- zip archives ---------------------------------------------------------------------------------


def read_archive(data, folder):
    """Read the bytes of a zip archive as a `.keras` file."""
    path = folder / "model.keras"
    path.write_bytes(data)
    return elman.from_keras(path)


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path):
    data = bytearray(archive(("config.json", bytes(2000)), method=zipfile.ZIP_DEFLATED))
    for start in (22, data.index(b"PK\1\2") + 24):
        assert data[start : start + 4] == struct.pack("<I", 2000)
        data[start : start + 4] = struct.pack("<I", 1000)
    with pytest.raises(ModelFormatError, match=r"damaged: .*'config.json'"):
        read_archive(bytes(data), tmp_path)


def overlapping():
    """Return an archive whose two entries overlap (as in D. Fifield's zip bomb)."""
    data = archive(("a", b"x" * 100), ("b", b"y" * 100))
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4) + 42
    return data[:at] + bytes(4) + data[at + 4 :]


def with_field(data, offset, value):
    """Return an archive with a 16-bit field of its first directory entry changed."""
    at = data.index(b"PK\1\2") + offset
    return data[:at] + struct.pack("<H", value) + data[at + 2 :]


ONE = archive(("a", b"x" * 100))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (archive(("a", b"1"), ("a", b"2")), ModelFormatError, "'a'.*twice"),
        (archive(("../a", b"")), ModelFormatError, r"'\.\./a'.*out of"),
        (archive(("a/../../b", b"")), ModelFormatError, r"'a/\.\./\.\./b'.*out of"),
        (archive(("/etc/passwd", b"")), ModelFormatError, "'/etc/passwd'.*out of"),
        (archive(("..\\a", b"")), ModelFormatError, "a'.*out of"),
        (archive(("C:a", b"")), ModelFormatError, "'C:a'.*out of"),
        (archive(("axb", b"")).replace(b"axb", b"a\0b"), ModelFormatError, "x00b'.*out of"),
        (overlapping(), ModelFormatError, "'b'.*overlaps"),
        (with_field(ONE, 8, 1), UnsupportedModelError, "'a'.*encrypted"),
        (with_field(ONE, 10, 12), UnsupportedModelError, "'a'.*got method 12"),
        (with_field(ONE, 6, 99), ModelFormatError, "version 9.9"),
        (with_field(ONE, 20, 500), ModelFormatError, "overlaps its directory"),
        (b"PK\3\4" + b"PK\1\2" * 20_000, LimitError, "16384 entries, got 20000"),
        (b"PK\3\4", ModelFormatError, "damaged"),
        (ONE[:-30], ModelFormatError, "damaged"),
        (ONE[:30] + b"#!/bin/sh" + ONE[30:], ModelFormatError, "'a'"),
    ],
)
def test_a_hostile_archive_is_refused(data, error, message, tmp_path):
    with pytest.raises(error, match=rf"^{tmp_path}/model.keras: .*{message}"):
        read_archive(data, tmp_path)


# --- safetensors ----------------------------------------------------------------------------------


def join(header, data=b""):
    """Return the bytes of a safetensors file; the header may be text already."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def read_tensors(data, folder, **given):
    """Read the bytes of a safetensors file as a single RNN."""
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return elman.from_torch(path, activation="tanh", **given)


def test_tensors_of_every_width_are_read(tmp_path):
    others = {
        code: np.ones(4, code) for code in ("i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    }
    for code in ("f8", "f4", "f2"):
        weights = np.arange(4).reshape(2, 2).astype(code)
        tensors = {"rnn.weight_ih_l0": weights, "rnn.weight_hh_l0": weights / 2, **others}
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        net = read_tensors(data, tmp_path, prefix="rnn", readout=False)
        assert net.dtype == ("f8" if code == "f8" else "f4")
        np.testing.assert_array_equal(net.layers[0].W_xh, weights)
        np.testing.assert_array_equal(net.layers[0].W_hh, weights / 2)


def test_a_dtype_that_is_not_read_matters_only_in_a_weight(tmp_path):
    others = {
        "weight_ih_l0": tensor("F32", [1, 1], 0, 4),
        "weight_hh_l0": tensor("F32", [1, 1], 4, 8),
        "scale": tensor("F8_E5M2", [2], 8, 10),
        "packed": tensor("F4", [4], 10, 12),
    }
    data = np.array([1, 2], "<f4").tobytes() + b"abcd"
    net = read_tensors(join(others, data), tmp_path, prefix="", readout=False)
    assert net.layers[0].W_hh.item() == 2
    others["weight_hh_l0"]["dtype"] = "F8_E4M3"
    with pytest.raises(UnsupportedModelError, match=r"^weight_hh_l0: .*got a tensor of F8_E4M3"):
        read_tensors(join(others, data), tmp_path, prefix="", readout=False)


def test_bfloat16_is_widened(tmp_path):
    header = {
        "weight_ih_l0": tensor("BF16", [1, 1], 0, 2),
        "weight_hh_l0": tensor("BF16", [1, 1], 2, 4),
    }
    (layer,) = read_tensors(join(header, b"\x80\x3f\x20\xc0"), tmp_path).layers
    assert (layer.W_xh.item(), layer.W_hh.item()) == (1, -2.5)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            join({"x": tensor(8, [2], 0, 2)}, b"ab"),
            ModelFormatError,
            "tensor 'x': dtype: .*got 8",
        ),
        (
            join({"x": tensor("F8_E4M3", [2], 2, 0)}, b"ab"),
            ModelFormatError,
            "tensor 'x': expected 0 bytes",
        ),
        (
            join({"x": tensor("F32", [2], 0, 4)}, bytes(4)),
            ModelFormatError,
            r"tensor 'x': expected 8 bytes",
        ),
        (
            join({"x": tensor("F32", [0, 2**63], 0, 0)}),
            ModelFormatError,
            "tensor 'x': expected .*shape",
        ),
        (
            join({"x": tensor("F32", [1], 0, 4), "y": tensor("F32", [1], 0, 4)}, bytes(4)),
            ModelFormatError,
            "tensor 'y': expected .*byte 4, got 0",
        ),
        (join(b'{"x": 1, "x": 2}'), ModelFormatError, "'x'.*twice"),
        (join(b"[" * 100_000), ModelFormatError, "header: expected .*JSON"),
        (join(b'{"x":' + b"[" * 100_000), ModelFormatError, "header: .*JSON"),
        (join({str(i): 0 for i in range(2000)}), LimitError, "1024 tensors, got 2000"),
        (
            (2**40).to_bytes(8, "little") + b"{}",
            ModelFormatError,
            "expected a model .* another kind of file",
        ),
        (
            join({"x": tensor("F32", [1], 0, 4)}, bytes(5)),
            ModelFormatError,
            "expected 4 bytes .*got 5",
        ),
    ],
)
def test_a_hostile_safetensors_file_is_refused(data, error, message, tmp_path):
    with pytest.raises(error, match=rf"^{tmp_path}/model.safetensors: .*{message}"):
        read_tensors(data, tmp_path)


# --- the reader of another framework --------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "suffix", "reader"),
    [
        (elman.from_keras, ".pt", "elman.from_torch"),
        (elman.from_keras, ".onnx", "elman.from_onnx"),
        (elman.from_keras, ".safetensors", "elman.load or elman.from_torch"),
        (elman.from_torch, ".keras", "elman.from_keras"),
        (elman.from_torch, ".h5", "elman.from_keras"),
        (elman.from_torch, ".onnx", "elman.from_onnx"),
        (elman.from_onnx, ".PTH", "elman.from_torch"),
        (elman.from_onnx, ".hdf5", "elman.from_keras"),
        (elman.from_onnx, ".safetensors", "elman.load or elman.from_torch"),
    ],
)
def test_a_file_of_another_framework_names_its_reader(tmp_path, read, suffix, reader):
    if read is elman.from_onnx:
        pytest.importorskip("onnx")
    path = tmp_path / f"model{suffix}"
    for data in (b"no model", ONE, b"\x89HDF\r\n\x1a\n" + bytes(99)):
        path.write_bytes(data)
        if read is elman.from_torch and data is ONE:
            continue  # PyTorch's, whatever its name
        with pytest.raises(UnsupportedModelError, match=rf": {reader} reads it$") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: expected a model that elman.{read.__name__}")


def test_contents_that_name_their_reader_count_more_than_the_suffix(tmp_path):
    net = elman.Network(1, 2, 1)
    net.save(tmp_path / "model.safetensors")
    path = tmp_path / "model.onnx"
    (tmp_path / "model.safetensors").rename(path)
    with pytest.raises(UnsupportedModelError, match=r"got elman's: elman\.load reads it$"):
        elman.from_torch(path)
    assert elman.load(path) == net


@pytest.mark.parametrize(
    ("read", "module", "reader"),
    [
        (elman.from_keras, "torch.nn", "elman.from_torch"),
        (elman.from_torch, "keras.src", "elman.from_keras"),
        (elman.from_torch, "onnx.onnx_ml_pb2", "elman.from_onnx"),
        (elman.from_onnx, "tf_keras.src", "elman.from_keras"),
    ],
)
def test_an_object_of_another_framework_names_its_reader(read, module, reader):
    if read is elman.from_onnx:
        pytest.importorskip("onnx")
    base = type("Base", (), {"__module__": module})
    for kind in (base, type("Mine", (base,), {})):  # a user's class too
        with pytest.raises(elman.ArgumentTypeError, match=rf"^source: .*: use {reader}$"):
            read(kind())
