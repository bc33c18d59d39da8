"""Refused model files: damaged, hostile, of other kinds, and of newer formats."""

from __future__ import annotations

import json
import os
import pickle
import sys

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, LimitError, ModelFormatError, UnsupportedModelError
from fixtures.model_files import ModelFile, everything, join, run_python, split
from fixtures.networks import make_network

pytestmark = pytest.mark.any_isa


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return ModelFile(tmp_path_factory.mktemp("file"))


@pytest.fixture
def net(rng):
    return everything(rng)


@pytest.fixture
def data(net, file):
    return file.bytes_of(net)


def refused(file, data, message, error=ModelFormatError):
    """Load bytes, which must be refused with one short sentence that starts with the file name."""
    with pytest.raises(error, match=rf"^{file.path}: .*{message}") as caught:
        file.load(data)
    said = str(caught.value).removeprefix(str(file.path))
    assert len(said) < 300
    assert "\n" not in said


def tensor(name, **changes):
    """Return a spoiler that changes a tensor's entry in the header."""
    return lambda header: header[name].update(changes)


def without_tensor(*names):
    """Return a spoiler that removes tensors and their bytes."""

    def spoil(header):
        for name in names:
            begin, end = header.pop(name)["data_offsets"]
            header["cut"] = [*header.get("cut", []), (begin, end)]
            for about in header.values():
                offsets = isinstance(about, dict) and about.get("data_offsets")
                if offsets and offsets[0] >= end:
                    about["data_offsets"] = [offset - (end - begin) for offset in offsets]

    return spoil


def rename(old, new):
    """Return a spoiler that renames a tensor."""
    return lambda header: header.update({new: header.pop(old)})


def metadata(**changes):
    """Return a spoiler that changes the metadata; None removes a key."""

    def spoil(header):
        header["__metadata__"].update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del header["__metadata__"][key]

    return spoil


def network(change):
    """Return a spoiler that changes the description of the network."""

    def spoil(header):
        description = json.loads(header["__metadata__"]["network"])
        change(description)
        header["__metadata__"]["network"] = json.dumps(description)

    return spoil


def spoiled(data, spoil):
    """Return the file with its header spoiled, without the bytes of removed tensors."""
    header, tensors = split(data)
    spoil(header)
    for begin, end in header.pop("cut", []):
        tensors = tensors[:begin] + tensors[end:]
    return join(header, tensors)


BAD_HEADERS = {
    # tensors, each for itself
    "unknown dtype": (
        tensor("layers.0.W_xh", dtype="Q7"),
        "'layers.0.W_xh': dtype: expected .*got 'Q7'",
    ),
    "bfloat16": (tensor("layers.0.W_xh", dtype="BF16"), "expected F32 or F64, got 'BF16'"),
    "integers": (tensor("layers.0.W_xh", dtype="I64"), "expected F32 or F64, got 'I64'"),
    "4 bits": (tensor("layers.0.W_xh", dtype="F4"), "expected F32 or F64, got 'F4'"),
    "dtype of 100 kB": (tensor("layers.0.W_xh", dtype="F" * 10**5), r"got 'F+\.\.\.F+'"),
    "dtype is a list": (tensor("layers.0.W_xh", dtype=["F32"]), r"got \['F32'\]"),
    "shape is a number": (
        tensor("layers.0.b_h", shape=3),
        "'layers.0.b_h': expected .*shape.*got 3",
    ),
    "scalar": (tensor("layers.0.b_h", shape=[]), r"'layers.0.b_h': expected 4 bytes .*\[\]"),
    "size zero": (tensor("layers.0.b_h", shape=[0]), r"'layers.0.b_h': expected 0 bytes .*\[0\]"),
    "negative": (
        tensor("layers.0.b_h", shape=[-3]),
        r"'layers.0.b_h': expected .*shape.*got \[-3\]",
    ),
    "float size": (
        tensor("layers.0.b_h", shape=[3.0]),
        r"'layers.0.b_h': expected .*shape.*got \[3.0\]",
    ),
    "bool size": (
        tensor("layers.1.b_h", shape=[True]),
        r"'layers.1.b_h': expected .*shape.*got \[True\]",
    ),
    "text size": (
        tensor("layers.0.b_h", shape=["3"]),
        r"'layers.0.b_h': expected .*shape.*got \['3'\]",
    ),
    "rank 9": (
        tensor("layers.0.b_h", shape=[1] * 8 + [3]),
        r"'layers.0.b_h': expected .*shape.*got \[1, 1, ",
    ),
    "product wraps to 0": (tensor("layers.0.W_hh", shape=[2**32, 2**32]), "expected 7378697629483"),
    "product wraps": (tensor("layers.0.W_hh", shape=[2**62, 9]), r"expected \d{20,} bytes"),
    "size of 64 bits": (
        tensor("layers.0.W_hh", shape=[2**64]),
        r"'layers.0.W_hh': expected .*shape.*got \[18446744073709551616\]",
    ),
    "size of 9999 bits": (
        tensor("layers.0.W_hh", shape=[2**9999]),
        "'layers.0.W_hh': expected .*shape",
    ),
    "one offset": (
        tensor("layers.0.b_h", data_offsets=[0]),
        r"'layers.0.b_h': expected .*offsets, got \[0\]",
    ),
    "three offsets": (
        tensor("layers.0.b_h", data_offsets=[0, 4, 8]),
        r"'layers.0.b_h': expected .*offsets, got \[0, 4, 8\]",
    ),
    "no offsets": (
        tensor("layers.0.b_h", data_offsets=None),
        "'layers.0.b_h': expected .*offsets, got None",
    ),
    "negative offset": (
        tensor("layers.0.b_h", data_offsets=[-12, 0]),
        r"'layers.0.b_h': expected .*offsets, got \[-12, 0\]",
    ),
    "bool offset": (
        tensor("layers.1.b_h", data_offsets=[False, 4]),
        r"'layers.1.b_h': expected .*offsets, got \[False, 4\]",
    ),
    "float offset": (
        tensor("layers.1.b_h", data_offsets=[0.0, 4]),
        r"'layers.1.b_h': expected .*offsets, got \[0.0, 4\]",
    ),
    "swapped offsets": (
        tensor("layers.0.b_h", data_offsets=[12, 0]),
        r"'layers.0.b_h': expected 12 bytes .*\[12, 0\]",
    ),
    "huge offset": (
        tensor("layers.0.b_h", data_offsets=[0, 2**62]),
        r"'layers.0.b_h': expected 12 bytes .*\[0, 46",
    ),
    "hole": (
        tensor("readout.b_y", data_offsets=[152, 160]),
        "'readout.b_y': expected .*byte 148, got 152",
    ),
    "overlap": (
        lambda header: header["readout.b_y"].update(header["output_std"]),
        "'readout.b_y': expected .*byte 140, got 132",
    ),
    "two dtypes": (
        tensor("initial_state", dtype="F64", shape=[2]),
        "'input_mean': expected .*F64, got F32",
    ),
    "tensor is a list": (
        lambda header: header.update({"layers.0.b_h": []}),
        "'layers.0.b_h': expected .*object",
    ),
    "missing dtype": (
        lambda h: h["layers.0.b_h"].pop("dtype"),
        "'layers.0.b_h': .*'dtype'.*missing",
    ),
    "missing shape": (
        lambda h: h["layers.0.b_h"].pop("shape"),
        "'layers.0.b_h': .*'shape'.*missing",
    ),
    "unknown tensor key": (tensor("layers.0.b_h", packed=1), "'layers.0.b_h': .*'packed'.*unknown"),
    # tensors, together
    "unknown tensor": (rename("readout.b_y", "readout.W_xh"), "'readout.W_xh'.*unknown"),
    "NUL in a name": (rename("readout.b_y", "readout.b_y\0"), r"'readout.b_y\\x00'.*unknown"),
    "path as a name": (rename("readout.b_y", "../b_y"), "'../b_y'.*unknown"),
    "leading zero": (rename("layers.0.b_h", "layers.00.b_h"), "'layers.00.b_h'.*unknown"),
    "negative layer": (rename("layers.0.b_h", "layers.-1.b_h"), "'layers.-1.b_h'.*unknown"),
    "layer too many": (
        rename("layers.1.b_h", "layers.2.b_h"),
        "'layers.2.b_h'.*unknown.* 2 layers",
    ),
    "packed weights": (rename("layers.0.b_h", "layers.0.packed"), "'layers.0.packed'.*unknown"),
    "missing W_xh": (without_tensor("layers.0.W_xh"), "'layers.0.W_xh'.*missing"),
    "missing W_hh": (without_tensor("layers.1.W_hh"), "'layers.1.W_hh'.*missing"),
    "missing W_hy": (without_tensor("readout.W_hy"), "'readout.W_hy'.*missing"),
    "missing layer": (
        without_tensor("layers.0.W_xh", "layers.0.W_hh", "layers.0.b_h"),
        "'layers.0.W_xh'.*missing",
    ),
    "no tensors": (
        lambda h: [h.pop(k) for k in list(h) if k[0] != "_"],
        "expected 0 bytes .*got 156",
    ),
    "W_hh not square": (
        tensor("layers.0.W_hh", shape=[9, 1]),
        r"'layers.0.W_hh': expected .*\(3, 3\), got \(9, 1\)",
    ),
    "W_hh a vector": (
        tensor("layers.0.W_hh", shape=[9]),
        r"'layers.0.W_hh': expected .*\(3, 3\), got \(9,\)",
    ),
    "W_xh a vector": (
        tensor("layers.0.W_xh", shape=[6]),
        r"'layers.0.W_xh': expected .*got \(6,\)",
    ),
    "b_h a matrix": (
        tensor("layers.0.b_h", shape=[3, 1]),
        r"'layers.0.b_h': expected .*\(3,\), got \(3, 1\)",
    ),
    "W_xh transposed": (
        tensor("layers.0.W_xh", shape=[2, 3]),
        r"'layers.0.W_hh': expected .*\(2, 2\), got \(3, 3\)",
    ),
    "layers that do not fit": (
        tensor("layers.1.W_xh", shape=[3, 1]),
        r"'layers.1.W_xh': expected .*\(3, 3\), got \(3, 1\)",
    ),
    "upper W_xh a vector": (
        tensor("layers.1.W_xh", shape=[3]),
        r"'layers.1.W_xh': expected .*got \(3,\)",
    ),
    "W_hy of another size": (
        tensor("readout.W_hy", shape=[1, 2]),
        r"'readout.W_hy': expected .*\(1, 1\), got \(1, 2\)",
    ),
    "b_y of another rank": (
        tensor("readout.b_y", shape=[1, 2]),
        r"'readout.b_y': expected .*\(2,\), got \(1, 2\)",
    ),
    "initial_state a matrix": (
        tensor("initial_state", shape=[2, 2]),
        r"'initial_state': expected .*\(4,\), got \(2, 2\)",
    ),
    "input_mean a matrix": (
        tensor("input_mean", shape=[2, 1]),
        r"'input_mean': expected .*\(2,\), got \(2, 1\)",
    ),
    "input_std a matrix": (
        tensor("input_std", shape=[1, 2]),
        r"'input_std': expected .*\(2,\), got \(1, 2\)",
    ),
    "output_mean a matrix": (
        tensor("output_mean", shape=[2, 1]),
        r"'output_mean': expected .*got \(2, 1\)",
    ),
    "output_std a matrix": (
        tensor("output_std", shape=[2, 1]),
        r"'output_std': expected .*got \(2, 1\)",
    ),
    # metadata
    "no metadata": (
        lambda h: h.pop("__metadata__"),
        "metadata: expected .*'elman', got none: elman.from_torch reads PyTorch's tensors",
    ),
    "metadata a list": (lambda h: h.update(__metadata__=[]), "metadata: expected .*object"),
    "metadata a number": (metadata(format=1), "metadata 'format': expected .*got 1"),
    "user metadata null": (metadata(**{"user.a": {}}), "metadata 'user.a': expected .*got {}"),
    "other format": (
        metadata(format="pt"),
        "metadata: expected .*'elman', got 'pt': elman.from_torch reads PyTorch's tensors",
    ),
    "no version": (metadata(format_version=None), "metadata: expected .*version 1, got ''"),
    "version 0": (metadata(format_version="0"), "metadata: expected .*version 1, got '0'"),
    "version 1.0": (metadata(format_version="1.0"), "metadata: expected .*version 1, got '1.0'"),
    "version +1": (metadata(format_version="+1"), r"metadata: expected .*version 1, got '\+1'"),
    "unknown metadata key": (metadata(origin="x"), "metadata: .*'origin'.*unknown"),
    "no network": (metadata(network=None), "metadata: .*'network'.*missing"),
    # the network
    "network not JSON": (metadata(network="{"), "network: expected .*JSON"),
    "network a list": (metadata(network="[]"), r"network: expected .*JSON.*got \[\]"),
    "network key twice": (metadata(network='{"layers":1,"layers":2}'), "'layers'.*twice"),
    "network deep": (metadata(network="[" * 50_000), "network: .*JSON"),
    "unknown network key": (network(lambda n: n.update(cell=1)), "network: .*'cell'.*unknown"),
    "no layers": (network(lambda n: n.pop("layers")), "network: .*'layers'.*missing"),
    "layers empty": (
        network(lambda n: n["layers"].clear()),
        r"network: expected .*layers, got \[\]",
    ),
    "layers a number": (network(lambda n: n.update(layers=2)), "network: expected .*layers, got 2"),
    "layer a string": (
        network(lambda n: n["layers"].append("tanh")),
        "network: layer 2: expected .*got 'tanh'",
    ),
    "layer described but not there": (
        network(lambda n: n["layers"].append(n["layers"][0])),
        "'layers.2.W_xh'.*missing",
    ),
    "layer there but not described": (
        network(lambda n: n["layers"].pop()),
        "'layers.1.W_hh'.*unknown.* 1 layer",
    ),
    "unknown activation": (
        network(lambda n: n["layers"][1]["activation"].update(name="Tanh")),
        "activation of layer 1: expected tanh.*got 'Tanh'",
    ),
    "softmax in a layer": (
        network(lambda n: n["layers"][0]["activation"].update(name="softmax")),
        "activation of layer 0: expected tanh.*got 'softmax'",
    ),
    "activation a string": (
        network(lambda n: n["layers"][0].update(activation="tanh")),
        "activation of layer 0: expected .*object, got 'tanh'",
    ),
    "activation a list": (
        network(lambda n: n["layers"][0]["activation"].update(name=["tanh"])),
        r"activation of layer 0: expected .*got \['tanh'\]",
    ),
    "unknown activation key": (
        network(lambda n: n["layers"][0]["activation"].update(gamma=0.1)),
        "activation of layer 0: .*'gamma'.*unknown",
    ),
    "alpha for a function without": (
        network(lambda n: n["layers"][1]["activation"].update(alpha=0.1)),
        "activation of layer 1, alpha: expected none.*got 0.1",
    ),
    "no alpha for a function that needs it": (
        network(lambda n: n["output_activation"].update(name="affine", beta=1)),
        "output activation, alpha: expected .*affine, got none",
    ),
    "alpha a string": (
        network(lambda n: n["output_activation"].update(name="elu", alpha="1")),
        "output activation, alpha: expected .*got '1'",
    ),
    "beta a truth value": (
        network(lambda n: n["output_activation"].update(name="hard_sigmoid", beta=True)),
        "output activation, beta: expected .*got True",
    ),
    "alpha beyond float64": (
        network(lambda n: n["output_activation"].update(name="elu", alpha=10**400)),
        "output activation, alpha: expected .*got 1000",
    ),
    "alpha beyond float32": (
        network(lambda n: n["output_activation"].update(name="elu", alpha=1e39)),
        "output_activation, alpha: expected .*finite.*got 1e[+]39",
    ),
    "clip of zero": (
        network(lambda n: n["layers"][0]["activation"].update(clip=0)),
        "activation of layer 0, clip: expected .*got 0",
    ),
    "clip of softmax": (
        network(lambda n: n["output_activation"].update(name="softmax", clip=1)),
        "output activation, clip: expected none.*got 1",
    ),
    "no activation": (
        network(lambda n: n["layers"][0].pop("activation")),
        "layer 0: .*'activation'.*missing",
    ),
    "unknown direction": (
        network(lambda n: n["layers"][0].update(direction="backward")),
        "direction of layer 0: expected forward.*got 'backward'",
    ),
    "no direction": (
        network(lambda n: n["layers"][0].pop("direction")),
        "layer 0: .*'direction'.*missing",
    ),
    "unknown layer key": (
        network(lambda n: n["layers"][0].update(clip=1)),
        "layer 0: .*'clip'.*unknown",
    ),
    "unknown output activation": (
        network(lambda n: n["output_activation"].update(name="relu6")),
        "output activation: expected .*softmax, got 'relu6'",
    ),
    "readout not described": (
        network(lambda n: n.update(output_activation=None)),
        "'readout.W_hy'.*unknown",
    ),
}


def test_parameters_missing_from_a_file_have_the_defaults_of_onnx(data, file):
    spoil = network(lambda n: n["output_activation"].update(name="hard_sigmoid", clip=2))
    net = file.load(spoiled(data, spoil))
    assert net.output_activation == elman.Activation("hard_sigmoid", 0.2, 0.5, clip=2)


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_refused_by_name(data, file, case):
    spoil, message = BAD_HEADERS[case]
    bad = spoiled(data, spoil)
    assert bad != data
    refused(file, bad, message)


def first_layer(**changes):
    return network(lambda description: description["layers"][0].update(changes))


BAD_HALVES = {
    "missing half": (without_tensor("layers.0.reverse.W_hh"), "'layers.0.reverse.W_hh'.*missing"),
    "another half": (
        rename("layers.0.reverse.b_h", "layers.1.reverse.b_h"),
        "'layers.1.reverse.b_h'.*unknown",
    ),
    "other half": (
        rename("layers.0.reverse.b_h", "layers.0.forward.b_h"),
        "'layers.0.forward.b_h'.*unknown",
    ),
    "narrow half": (
        tensor("layers.0.reverse.W_xh", shape=[2, 3]),
        r"'layers.0.reverse.W_xh': expected .*\(3, 2\), got \(2, 3\)",
    ),
    "no second activation": (
        network(lambda n: n["layers"][0].pop("reverse_activation")),
        "layer 0: .*'reverse_activation'.*missing",
    ),
    "unknown second activation": (
        first_layer(reverse_activation={"name": "softmax"}),
        "reverse activation of layer 0: expected .*got 'softmax'",
    ),
    "a second activation too many": (
        first_layer(direction="reverse"),
        "layer 0: .*'reverse_activation'.*unknown",
    ),
    "halves of a forward layer": (
        network(lambda n: n["layers"][0].update(direction="forward") or n["layers"][0].popitem()),
        "'layers.0.reverse.W_hh'.*unknown",
    ),
    "a layer above that reads one half": (
        tensor("layers.1.W_xh", shape=[8, 3]),
        r"'layers.1.W_xh': expected .*\(8, 6\), got \(8, 3\)",
    ),
}


@pytest.mark.parametrize("case", BAD_HALVES)
def test_a_bad_half_is_refused_by_name(file, case):
    net = elman.Network(
        input_size=2, hidden_size=[3, 4], output_size=1, direction=["bidirectional", "forward"]
    )
    spoil, message = BAD_HALVES[case]
    refused(file, spoiled(file.bytes_of(net), spoil), message)


LONG = 2**18 + 8
BAD_BYTES = {
    "empty": (b"", "expected .*8 bytes, got 0"),
    "7 bytes": (bytes(7), "expected .*8 bytes, got 7"),
    "no header": (bytes(8), "header: expected .*JSON.*got ''"),
    "header length of 64 bits": (b"\xff" * 99, "expected a model .* another kind of file"),
    "header above the limit": (
        join(b"{}".ljust(LONG), b""),
        "expected .*262144 bytes, got .*262152",
    ),
    "header longer than the file": (join(b"{}", b"")[:-1], "expected .*2 bytes, got 1"),
    "no text": (
        b"H\0llo, this is no model at all.",
        "expected a model .* another kind of file",
    ),
    "not UTF-8": (join(b'{"\xff":1}', b""), "header: expected .*UTF-8"),
    "UTF-16": (join("{}".encode("utf-16"), b""), "header: expected .*UTF-8"),
    "not JSON": (join(b"{]", b""), "header: expected .*JSON"),
    "leading space": (join(b" {}", b""), "header: expected .*JSON.*got ' {}'"),
    "a JSON list": (join(b"[]", b""), r"header: expected .*JSON.*got '\[\]'"),
    "two objects": (join(b"{}{}", b""), "header: expected .*JSON"),
    "NaN": (join(b'{"a":NaN}', b""), "NaN.*JSON"),
    "Infinity": (join(b'{"a":-Infinity}', b""), "-Infinity.*JSON"),
    "the same key twice": (join(b'{"a":1,"a":1}', b""), "'a'.*twice"),
    "the metadata twice": (
        join(b'{"__metadata__":{},"__metadata__":{}}', b""),
        "'__metadata__'.*twice",
    ),
    "too deep a list": (join(b'{"a":' + b"[" * 200_000, b""), "header: .*JSON"),
    "too deep an object": (join(b'{"a":' * 40_000, b""), "header: .*JSON"),
    "a number of 5000 digits": (
        join(b'{"a":' + b"1" * 5000 + b"}", b""),
        "header: expected .*JSON",
    ),
    "a key of 100 kB": (join(b'{"' + b"a" * 10**5 + b'":1}', b""), "metadata: expected .*'elman'"),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bytes_that_are_no_model_are_refused(file, case):
    refused(file, *BAD_BYTES[case])


OTHER_KINDS = {
    "PyTorch": (
        b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl",
        "zip.*elman.from_torch",
    ),
    "pickle": (
        pickle.dumps({"weights": list(range(9))}),
        "pickle.*elman.from_torch",
    ),
    "short pickle": (pickle.dumps(None), "pickle.*elman.from_torch"),
    "old pickle": (
        pickle.dumps({"weights": 1}, 2),
        "pickle.*elman.from_torch",
    ),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5.*elman.from_keras"),
    "ONNX": (b"\x08\x0a\x12\x07pytorch\x1a\x05" + bytes(9), "ONNX.*elman.from_onnx"),
}


@pytest.mark.parametrize("case", OTHER_KINDS)
def test_another_kind_of_file_is_named(file, case):
    data, message = OTHER_KINDS[case]
    refused(file, data, f"expected .*safetensors.*{message}", UnsupportedModelError)


def test_a_newer_format_is_named_whatever_else_it_holds(data, file):
    def spoil(header):
        header["__metadata__"].update(format_version="2", compression="zstd")
        header["layers.0.W_qq"] = {"dtype": "F16", "sparse": True}

    refused(file, spoiled(data, spoil), "expected .*version 1, got 2", UnsupportedModelError)


def test_too_many_tensors_are_refused(data, file):
    def spoil(header):
        header.update({f"golden.{index}": 0 for index in range(1024)})

    refused(file, spoiled(data, spoil), "expected .*1024 tensors, got 1037", LimitError)


def test_a_file_that_is_too_long_or_too_short_is_refused(data, file):
    refused(file, data + b"\0", "expected 156 bytes .*got 157")
    refused(file, data[:-1], "expected 156 bytes .*got 155")


def test_text_that_is_not_unicode_is_refused(data, file):
    lone_surrogate = data.replace(b'"a test"', b'"\\ud8ff"')
    lone_surrogate = lone_surrogate.replace(b"user.origin", b"user.orig")  # the same length
    assert len(lone_surrogate) == len(data) - 2
    length = int.from_bytes(data[:8], "little") - 2
    refused(file, length.to_bytes(8, "little") + lone_surrogate[8:], "Unicode")
    with pytest.raises(ArgumentError, match=r"^metadata: expected .*Unicode.*'a'"):
        elman.Network(input_size=1, hidden_size=1, output_size=1, metadata={"a": "\ud8ff"})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_unless_it_is_allowed(net, file, value):
    weights = {"layers.1.W_hh": np.full((1, 1), value, np.float32)}
    data = file.bytes_of(net.replace(tensors=weights, allow_nonfinite=True))
    refused(file, data, f"layers.1.W_hh: expected .*finite.*got {value}")
    loaded = file.load(data, allow_nonfinite=True)
    np.testing.assert_array_equal(loaded.layers[1].W_hh, weights["layers.1.W_hh"])


@pytest.mark.parametrize("name", ["input_std", "output_std"])
def test_a_std_of_0_is_refused(data, file, name):
    header, tensors = split(data)
    begin, _ = header[name]["data_offsets"]
    zero = tensors[:begin] + bytes(4) + tensors[begin + 4 :]
    refused(file, join(header, zero), rf"{name}\[0\]: expected .*got 0")


def outcome(file, data):
    """Load bytes: return the network, or None for one of the two allowed errors."""
    try:
        return file.load(data)
    except (ModelFormatError, UnsupportedModelError):
        return None


def test_a_file_that_is_cut_anywhere_is_refused(data, file):
    assert outcome(file, data) is not None
    for length in range(len(data)):
        assert outcome(file, data[:length]) is None


def check_flips(file, data, bits):
    """Flip bits: each flip causes an error, another value, or another user string."""
    whole = file.load(data)
    header = len(data) - len(split(data)[1])
    changed_values = changed_strings = 0
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        net = outcome(file, bytes(flipped))
        if net is None:
            continue
        assert repr(net) == repr(whole)
        assert net.activations == whole.activations
        assert net.output_activation == whole.output_activation
        if bit // 8 < header:
            assert net == whole
            assert net.metadata != whole.metadata
            changed_strings += 1
        else:
            assert net != whole
            assert net.metadata == whole.metadata
            changed_values += 1
    assert changed_values > 0.9 * sum(bit // 8 >= header for bit in bits)
    assert changed_strings > 5


def test_a_flipped_bit_is_refused_or_changes_a_value_or_a_user_s_string(data, file):
    check_flips(file, data, [8 * place + 5 * place % 8 for place in range(len(data))])


@pytest.mark.slow
def test_every_flipped_bit_is_refused_or_changes_a_value_or_a_user_s_string(data, file):
    check_flips(file, data, range(8 * len(data)))


# --- small files that need much memory ------------------------------------------------------------


def hostile_files(data):
    """Return small files, by name, that make a parser use much memory."""
    header, _ = split(data)
    about = header["layers.0.b_h"]
    start = b'{"__metadata__":{"format":"elman","format_version":"1","'

    def filled(start, part, end):
        count = (2**18 - len(start) - len(end)) // len(part)
        return join(start + part * count + end, b"")

    return {
        "lists": filled(b'{"a":[', b"[],", b"0]}"),
        "objects": filled(b'{"a":[', b'{"":0},', b"0]}"),
        "floats": filled(b'{"a":[', b"1.5,", b"0]}"),
        "strings": filled(b'{"a":[', b'"ab",', b"0]}"),
        "deep": filled(b'{"a":', b"[", b""),
        "user": filled(start + b'user.a":"', b"x", b'"}}'),
        "escapes": filled(start + b'user.a":"', rb"\u00ff", b'"}}'),
        "keys": join({**header, "__metadata__": {f"user.{k}": "" for k in range(10_000)}}, b""),
        "network": filled(start + b'network":"[', b"{},", b'0]"}}'),
        "tensors": join({**header, **{f"golden.{index}": about for index in range(2000)}}, b""),
        "shape": spoiled(data, tensor("layers.0.W_hh", shape=[2**31, 2**31])),
        "header": (10**8).to_bytes(8, "little") + b"{" * 100,
    }


def write_terabyte(path, data):
    """Write a sparse file of 1 TB whose header describes all of it."""
    header, _ = split(data)
    about = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
    with open(path, "wb") as file:
        file.write(join({"golden.a": about, "__metadata__": header["__metadata__"]}, b""))
        file.truncate(file.tell() + 2**40)


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="a sanitizer holds freed memory back")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hostile_file_costs_little_memory(tmp_path, rng, file):
    data = file.bytes_of(make_network(rng))
    files = hostile_files(data)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_terabyte(tmp_path / "terabyte", data)
    (tmp_path / "good").write_bytes(data)

    code = """
import os, pathlib, sys, elman

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

folder = pathlib.Path(sys.argv[1])
elman.load(folder / "good")
for path in sorted(folder.iterdir()):
    if os.fork():  # each file in a process of its own, so that none can use another's memory
        os.wait()
        continue
    before = peak()
    try:
        elman.load(path)
    except (elman.ModelFormatError, elman.LimitError):
        print(path.name, peak() - before)
    break
"""
    growth = dict(line.split() for line in run_python(code, tmp_path).splitlines())
    assert set(growth) == {*files, "terabyte"}
    assert max(map(int, growth.values())) < 16 * 1024, growth


def write_wide(path, size):
    """Write a sparse file of a network with `size` inputs, one unit and one output."""
    net = elman.Network(input_size=2, hidden_size=1, output_size=1, seed=0)
    net.save(path)
    header, _ = split(path.read_bytes())
    end = 0
    for name, about in header.items():
        if name != "__metadata__":
            shape = [1, size] if name == "layers.0.W_xh" else about["shape"]
            begin, end = end, end + 4 * int(np.prod(shape))
            about |= {"shape": shape, "data_offsets": [begin, end]}
    with open(path, "wb") as file:
        file.write(join(header, b""))
        file.truncate(file.tell() + end)


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="a sanitizer holds freed memory back")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_takes_at_most_six_times_its_size_and_80_mib(tmp_path):
    """Matrices with few rows, which are packed into whole vectors, take more than others."""
    code = """
import os, pathlib, sys, elman

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

path = pathlib.Path(sys.argv[1], "wide")
elman.load(path.with_name("small"))
before = peak()
try:
    elman.load(path)
except elman.LimitError:
    pass
print(peak() - before, path.stat().st_size // 1024)
"""
    write_wide(tmp_path / "small", 1000)
    write_wide(tmp_path / "wide", 5_000_000)
    grown, size = map(int, run_python(code, tmp_path).split())
    assert grown <= 6 * size + 80 * 1024
