"""Model files: what is written, what is refused by name, and what survives a crash."""

from __future__ import annotations

import copy
import errno
import itertools
import json
import os
import pathlib
import pickle
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import elman
from elman import _container, _files, _format, _network
from elman.errors import ArgumentError, LimitError, ModelFormatError, UnsupportedModelError
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.networks import make_inputs, make_network

pytestmark = pytest.mark.any_isa

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def net(rng):
    """A small network with everything that a file can hold."""
    return make_network(
        rng,
        inputs=2,
        hidden=(3, 1),
        outputs=2,
        scaling=True,
        initial_state=True,
        metadata={"origin": "a test", "": "the empty key", "größe": "μ\n\0"},
    )


@pytest.fixture
def data(net):
    return _format.dumps(net)


def real_network(seed=0, **changes):
    """Return a network of the package itself."""
    options = {"input_size": 3, "hidden_size": [5, 4], "output_size": 2, "seed": seed} | changes
    return elman.Network(**options)


def split(data):
    """Return the header as a dictionary, and the bytes after it."""
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), data[start:]


def join(header, tensors):
    """Return the bytes of a file; the header may be JSON text already."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def weights_of(net):
    """Return every array of a network by its name in the file."""
    return net.tensors()


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_safetensors_library_reads_what_we_write(rng, dtype, tmp_path):
    net = make_network(rng, hidden=(3, 5), scaling=True, initial_state=True, dtype=dtype)
    path = tmp_path / "model.safetensors"
    path.write_bytes(_format.dumps(net))
    with safetensors.safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(weights_of(net))
        for name, want in weights_of(net).items():
            got = file.get_tensor(name)
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
        metadata = file.metadata()
    assert metadata["format"] == "elman"
    assert metadata["format_version"] == "1"
    layer = {"activation": {"name": "tanh"}, "direction": "forward"}
    network = {"layers": [layer, layer], "output_activation": {"name": "sigmoid"}}
    assert json.loads(metadata["network"]) == network


def test_the_layout_is_that_of_the_safetensors_library(net, data):
    header, tensors = split(data)
    library = safetensors.numpy.save(weights_of(net), header["__metadata__"])
    assert split(library) == (header, tensors)
    assert len(library) == len(data)
    assert data[:9] == library[:9]
    assert (len(data) - len(tensors)) % 8 == 0


def test_the_tensors_are_aligned_however_long_the_header_is(net):
    for count in range(8):
        data = _format.dumps(net.replace(metadata={"a": "x" * count}))
        assert int.from_bytes(data[:8], "little") % 8 == 0


def test_the_names_in_a_file_are_those_of_the_format(data):
    header, _ = split(data)
    assert list(header) == [
        "__metadata__",
        "initial_state",
        "input_mean",
        "input_std",
        "layers.0.W_hh",
        "layers.0.W_xh",
        "layers.0.b_h",
        "layers.1.W_hh",
        "layers.1.W_xh",
        "layers.1.b_h",
        "output_mean",
        "output_std",
        "readout.W_hy",
        "readout.b_y",
    ]
    assert header["layers.0.W_xh"]["shape"] == [3, 2]
    assert header["layers.0.W_xh"]["dtype"] == "F32"
    assert header["__metadata__"]["user.origin"] == "a test"


def test_a_network_without_the_optional_parts_writes_none_of_them(rng):
    net = make_network(rng, outputs=None, bias=False)
    header, _ = split(_format.dumps(net))
    assert list(header) == ["__metadata__", "layers.0.W_hh", "layers.0.W_xh"]
    assert json.loads(header["__metadata__"]["network"])["output_activation"] is None


def test_the_same_network_gives_the_same_bytes(net, data):
    net = net.replace(metadata=dict(reversed(net.metadata.items())))
    assert _format.dumps(net) == data


def test_arrays_in_any_memory_order_are_written_in_c_order(net, data):
    arrays, metadata = net.tensors(), split(data)[0]["__metadata__"]
    arrays["layers.0.W_xh"] = np.asfortranarray(arrays["layers.0.W_xh"])
    arrays["readout.W_hy"] = arrays["readout.W_hy"].astype(">f4")
    assert _container.write(arrays, metadata) == data


def test_what_would_not_be_read_is_not_written(net, rng):
    net = net.replace(metadata={"text": "x" * _container.MAX_HEADER_BYTES})
    with pytest.raises(LimitError, match="metadata: expected a file header of at most 262144 by"):
        _format.dumps(net)
    net = make_network(rng, hidden=(1,) * 400)
    with pytest.raises(LimitError, match="layers: expected at most 1024 tensors, got 1202"):
        _format.dumps(net)


# --- whole networks, through the public interface -------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dtype": "float64"},
        {"output_size": None},
        {"bias": False},
        {"hidden_size": 1, "activation": "relu", "output_activation": "softmax"},
        {"activation": ["sigmoid", "identity"], "output_activation": "identity"},
        *({"activation": ["tanh", f], "output_activation": f} for f in (*GENERAL, *UNTRAINABLE)),
        {"metadata": {"format": "of the user", "": "", "größe": "μ\n\0"}},
        {"initial_state": [0.5] * 9},
        {"input_mean": [1, 2, 3], "output_std": [10, 20]},
        {"input_std": [1, 2, 3], "output_mean": [10, 20]},
    ],
)
def test_a_saved_network_is_loaded_with_the_same_bits(tmp_path, rng, changes):
    net = real_network(**changes)
    path = tmp_path / "model.safetensors"
    net.save(path)
    loaded = elman.load(path)
    assert loaded == net
    assert loaded.dtype == net.dtype
    assert loaded.activations == net.activations
    assert loaded.output_activation == net.output_activation
    assert dict(loaded.metadata) == dict(net.metadata)
    assert _format.dumps(loaded) == _format.dumps(net) == path.read_bytes()
    x = make_inputs(rng, net, 2, 7)
    np.testing.assert_array_equal(loaded(x), net(x))


def test_a_path_may_be_a_string_bytes_or_a_path(tmp_path):
    net = real_network()
    for path in (tmp_path / "a", str(tmp_path / "b"), os.fsencode(tmp_path / "ç\udcff")):
        net.save(path)
        assert elman.load(path) == net
    with pytest.raises(TypeError):
        elman.load(0)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_network_pickles_to_little_more_than_its_file(protocol):
    net = real_network(metadata={"a": "b"})
    pickled = pickle.dumps(net, protocol)
    loaded = pickle.loads(pickled)
    assert loaded == net
    assert dict(loaded.metadata) == {"a": "b"}
    if protocol >= 3:  # the first that knows bytes
        assert len(pickled) < 1.1 * len(_format.dumps(net)) + 100


def test_a_network_that_was_allowed_nan_survives_a_pickle():
    matrix = np.array([[np.nan]], np.float32)
    net = elman.Network.from_weights([(matrix, matrix, None)], None, allow_nonfinite=True)
    assert np.isnan(pickle.loads(pickle.dumps(net)).layers[0].W_hh).all()
    assert copy.deepcopy(net) == net


def test_a_pickle_passes_the_same_checks_as_a_file(data):
    with pytest.raises(ModelFormatError, match=r"^pickled network: expected 156 bytes of ten"):
        _network._restore(data[:-1])
    for wrong in (None, "text", bytearray(data), 3):
        with pytest.raises(TypeError, match="a pickled network: expected bytes, got"):
            _network._restore(wrong)


def test_a_file_in_the_library_s_own_order_is_read(net, data):
    header, _ = split(data)
    library = safetensors.numpy.save(weights_of(net), header["__metadata__"])
    assert _format.dumps(_network.loads(library)) == data


def test_golden_examples_are_skipped(net, data):
    tensors = {**weights_of(net), "golden.x": np.full((1, 2, 3), np.nan, np.float32)}
    with_golden = safetensors.numpy.save(tensors, split(data)[0]["__metadata__"])
    assert _format.dumps(_network.loads(with_golden)) == data


@linux_only
def test_loading_opens_no_other_file(tmp_path):
    path = tmp_path / "model.safetensors"
    real_network().save(path)
    code = """
import sys, elman
elman.load(sys.argv[1])
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
elman.load(sys.argv[1])
print(set(opened) == {sys.argv[1]})
"""
    assert run_python(code, path) == "True\n"


def run_python(code, *arguments, timeout=60):
    """Run a program that can import elman, and return what it prints."""
    root = pathlib.Path(elman.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": timeout, "env": environment}
    done = subprocess.run(command, **options, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what is refused ------------------------------------------------------------------------------


def tensor(name, **changes):
    """Return a spoiler that changes what the header says of a tensor."""
    return lambda header: header[name].update(changes)


def without_tensor(*names):
    """Return a spoiler that takes tensors out, their bytes too."""

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
    """Return a spoiler that gives a tensor another name."""
    return lambda header: header.update({new: header.pop(old)})


def metadata(**changes):
    """Return a spoiler that changes the metadata; None takes a key away."""

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
    """Return the file with its header spoiled, and the bytes of removed tensors taken out."""
    header, tensors = split(data)
    spoil(header)
    for begin, end in header.pop("cut", []):
        tensors = tensors[:begin] + tensors[end:]
    return join(header, tensors)


BAD_HEADERS = {
    # tensors, each for itself
    "unknown dtype": (tensor("layers.0.W_xh", dtype="Q7"), "tensor 'layers.0.W_xh': dtype: expec"),
    "bfloat16": (tensor("layers.0.W_xh", dtype="BF16"), "expected F32 or F64, got 'BF16'"),
    "integers": (tensor("layers.0.W_xh", dtype="I64"), "expected F32 or F64, got 'I64'"),
    "4 bits": (tensor("layers.0.W_xh", dtype="F4"), "expected F32 or F64, got 'F4'"),
    "dtype of 100 kB": (tensor("layers.0.W_xh", dtype="F" * 10**5), r"got 'F+\.\.\.F+'"),
    "dtype is a list": (tensor("layers.0.W_xh", dtype=["F32"]), r"got \['F32'\]"),
    "shape is a number": (
        tensor("layers.0.b_h", shape=3),
        "expected a shape of up to 64 sizes, got 3",
    ),
    "scalar": (tensor("layers.0.b_h", shape=[]), r"expected 4 bytes for the shape \[\]"),
    "size zero": (tensor("layers.0.b_h", shape=[0]), r"expected 0 bytes for the shape \[0\]"),
    "negative": (tensor("layers.0.b_h", shape=[-3]), r"a shape of up to 64 sizes, got \[-3\]"),
    "float size": (tensor("layers.0.b_h", shape=[3.0]), r"a shape of up to 64 sizes, got \[3.0\]"),
    "bool size": (tensor("layers.1.b_h", shape=[True]), r"of up to 64 sizes, got \[True\]"),
    "text size": (tensor("layers.0.b_h", shape=["3"]), r"a shape of up to 64 sizes, got \['3'\]"),
    "rank 9": (tensor("layers.0.b_h", shape=[1] * 8 + [3]), "a shape of positive sizes"),
    "product wraps to 0": (tensor("layers.0.W_hh", shape=[2**32, 2**32]), "expected 7378697629483"),
    "product wraps": (tensor("layers.0.W_hh", shape=[2**62, 9]), r"expected \d{20,} bytes"),
    "size of 64 bits": (tensor("layers.0.W_hh", shape=[2**64]), "a shape of up to 64 sizes"),
    "size of 9999 bits": (tensor("layers.0.W_hh", shape=[2**9999]), "a shape of up to 64 sizes"),
    "one offset": (tensor("layers.0.b_h", data_offsets=[0]), "expected two data offsets, got"),
    "three offsets": (tensor("layers.0.b_h", data_offsets=[0, 4, 8]), "two data offsets, got"),
    "no offsets": (tensor("layers.0.b_h", data_offsets=None), "two data offsets, got None"),
    "negative offset": (tensor("layers.0.b_h", data_offsets=[-12, 0]), "two data offsets, got"),
    "bool offset": (tensor("layers.1.b_h", data_offsets=[False, 4]), "two data offsets, got"),
    "float offset": (tensor("layers.1.b_h", data_offsets=[0.0, 4]), "two data offsets, got"),
    "swapped offsets": (tensor("layers.0.b_h", data_offsets=[12, 0]), "expected 12 bytes for the"),
    "huge offset": (tensor("layers.0.b_h", data_offsets=[0, 2**62]), "expected 12 bytes for the"),
    "hole": (
        tensor("readout.b_y", data_offsets=[152, 160]),
        "tensor 'readout.b_y': expected data from byte 148, got 152: the tensors overlap or leave",
    ),
    "overlap": (
        lambda header: header["readout.b_y"].update(header["output_std"]),
        "the tensors overlap or leave a hole",
    ),
    "two dtypes": (
        tensor("initial_state", dtype="F64", shape=[2]),
        "expected the dtype of the others, F64, got F32",
    ),
    "tensor is a list": (lambda header: header.update({"layers.0.b_h": []}), "expected an object"),
    "missing dtype": (lambda h: h["layers.0.b_h"].pop("dtype"), "the key 'dtype' is missing"),
    "missing shape": (lambda h: h["layers.0.b_h"].pop("shape"), "the key 'shape' is missing"),
    "unknown tensor key": (tensor("layers.0.b_h", packed=1), "the key 'packed' is unknown"),
    # tensors, together
    "unknown tensor": (rename("readout.b_y", "readout.W_xh"), "tensor 'readout.W_xh' is unknown"),
    "NUL in a name": (rename("readout.b_y", "readout.b_y\0"), r"tensor 'readout.b_y\\x00' is unkn"),
    "path as a name": (rename("readout.b_y", "../b_y"), "tensor '../b_y' is unknown in a network"),
    "leading zero": (rename("layers.0.b_h", "layers.00.b_h"), "tensor 'layers.00.b_h' is unknown"),
    "negative layer": (rename("layers.0.b_h", "layers.-1.b_h"), "'layers.-1.b_h' is unknown in a"),
    "layer too many": (
        rename("layers.1.b_h", "layers.2.b_h"),
        "'layers.2.b_h' is unknown in a network of 2 layers and a readout",
    ),
    "packed weights": (rename("layers.0.b_h", "layers.0.packed"), "'layers.0.packed' is unknown"),
    "missing W_xh": (without_tensor("layers.0.W_xh"), "tensor 'layers.0.W_xh' is missing"),
    "missing W_hh": (without_tensor("layers.1.W_hh"), "tensor 'layers.1.W_hh' is missing"),
    "missing W_hy": (without_tensor("readout.W_hy"), "tensor 'readout.W_hy' is missing"),
    "missing layer": (
        without_tensor("layers.0.W_xh", "layers.0.W_hh", "layers.0.b_h"),
        "tensor 'layers.0.W_xh' is missing",
    ),
    "no tensors": (lambda h: [h.pop(k) for k in list(h) if k[0] != "_"], "expected 0 bytes of ten"),
    "W_hh not square": (
        tensor("layers.0.W_hh", shape=[9, 1]),
        r"tensor 'layers.0.W_hh': expected the shape \(3, 3\), got \(9, 1\)",
    ),
    "W_hh a vector": (tensor("layers.0.W_hh", shape=[9]), r"expected the shape \(3, 3\), got \(9"),
    "W_xh a vector": (tensor("layers.0.W_xh", shape=[6]), r"expected the shape \(rows, columns\)"),
    "b_h a matrix": (
        tensor("layers.0.b_h", shape=[3, 1]),
        r"expected the shape \(3,\), got \(3, 1",
    ),
    "W_xh transposed": (tensor("layers.0.W_xh", shape=[2, 3]), r"'layers.0.W_hh': expected the sh"),
    "layers that do not fit": (
        tensor("layers.1.W_xh", shape=[3, 1]),
        r"tensor 'layers.1.W_xh': expected the shape \(3, 3\), got \(3, 1\)",
    ),
    "upper W_xh a vector": (
        tensor("layers.1.W_xh", shape=[3]),
        r"'layers.1.W_xh': expected the shape \(rows, columns\), got \(3,\)",
    ),
    "W_hy of another size": (tensor("readout.W_hy", shape=[1, 2]), r"expected the shape \(1, 1\)"),
    "b_y of another rank": (tensor("readout.b_y", shape=[1, 2]), r"'readout.b_y': .* \(2,\), got"),
    "initial_state a matrix": (tensor("initial_state", shape=[2, 2]), r"expected the shape \(4,\)"),
    "input_mean a matrix": (
        tensor("input_mean", shape=[2, 1]),
        r"expected the shape \(2,\), got",
    ),
    "input_std a matrix": (
        tensor("input_std", shape=[1, 2]),
        r"expected the shape \(2,\), got",
    ),
    "output_mean a matrix": (tensor("output_mean", shape=[2, 1]), r"'output_mean': expected"),
    "output_std a matrix": (tensor("output_std", shape=[2, 1]), r"'output_std': expected"),
    # metadata
    "no metadata": (lambda h: h.pop("__metadata__"), "expected the format 'elman', got none"),
    "metadata a list": (lambda h: h.update(__metadata__=[]), "metadata: expected an object"),
    "metadata a number": (metadata(format=1), "metadata 'format': expected a string, got 1"),
    "user metadata null": (metadata(**{"user.a": {}}), "metadata 'user.a': expected a string"),
    "other format": (metadata(format="pt"), "expected the format 'elman', got 'pt'"),
    "no version": (metadata(format_version=None), "expected the format version 1, got ''"),
    "version 0": (metadata(format_version="0"), "expected the format version 1, got '0'"),
    "version 1.0": (metadata(format_version="1.0"), "expected the format version 1, got '1.0'"),
    "version +1": (metadata(format_version="+1"), r"expected the format version 1, got '\+1'"),
    "unknown metadata key": (metadata(origin="x"), "metadata: the key 'origin' is unknown"),
    "no network": (metadata(network=None), "metadata: the key 'network' is missing"),
    # the network
    "network not JSON": (metadata(network="{"), "network: expected JSON: Expecting property name"),
    "network a list": (metadata(network="[]"), r"network: expected a JSON object, got \[\]"),
    "network key twice": (metadata(network='{"layers":1,"layers":2}'), "'layers' stands twice in"),
    "network deep": (metadata(network="[" * 50_000), "network: the JSON is nested too deeply"),
    "unknown network key": (network(lambda n: n.update(cell=1)), "network: the key 'cell' is unkn"),
    "no layers": (network(lambda n: n.pop("layers")), "network: the key 'layers' is missing"),
    "layers empty": (network(lambda n: n["layers"].clear()), "expected a list of layers, got "),
    "layers a number": (network(lambda n: n.update(layers=2)), "expected a list of layers, got 2"),
    "layer a string": (network(lambda n: n["layers"].append("tanh")), "layer 2: expected an obj"),
    "layer described but not there": (
        network(lambda n: n["layers"].append(n["layers"][0])),
        "tensor 'layers.2.W_xh' is missing",
    ),
    "layer there but not described": (
        network(lambda n: n["layers"].pop()),
        "tensor 'layers.1.W_hh' is unknown in a network of 1 layers and a readout",
    ),
    "unknown activation": (
        network(lambda n: n["layers"][1]["activation"].update(name="Tanh")),
        "the activation of layer 1: expected tanh or relu or .* or affine, got 'Tanh'",
    ),
    "softmax in a layer": (
        network(lambda n: n["layers"][0]["activation"].update(name="softmax")),
        "the activation of layer 0: expected tanh or relu or .* or affine, got 'softmax'",
    ),
    "activation a string": (
        network(lambda n: n["layers"][0].update(activation="tanh")),
        "the activation of layer 0: expected an object, got 'tanh'",
    ),
    "activation a list": (
        network(lambda n: n["layers"][0]["activation"].update(name=["tanh"])),
        r"the activation of layer 0: .*, got \['tanh'\]",
    ),
    "unknown activation key": (
        network(lambda n: n["layers"][0]["activation"].update(gamma=0.1)),
        "the activation of layer 0: the key 'gamma' is unknown",
    ),
    "alpha for a function without": (
        network(lambda n: n["layers"][1]["activation"].update(alpha=0.1)),
        "the activation of layer 1, alpha: expected none for tanh, got 0.1",
    ),
    "no alpha for a function that needs it": (
        network(lambda n: n["output_activation"].update(name="affine", beta=1)),
        "the output activation, alpha: expected a number for affine, got none",
    ),
    "alpha a string": (
        network(lambda n: n["output_activation"].update(name="elu", alpha="1")),
        "the output activation, alpha: expected a finite number, got '1'",
    ),
    "beta a truth value": (
        network(lambda n: n["output_activation"].update(name="hard_sigmoid", beta=True)),
        "the output activation, beta: expected a finite number, got True",
    ),
    "alpha beyond float64": (
        network(lambda n: n["output_activation"].update(name="elu", alpha=10**400)),
        "the output activation, alpha: expected a finite number, got 1000",
    ),
    "alpha beyond float32": (
        network(lambda n: n["output_activation"].update(name="elu", alpha=1e39)),
        "output_activation, alpha: expected a number that is finite in the .*, got 1e[+]39",
    ),
    "clip of zero": (
        network(lambda n: n["layers"][0]["activation"].update(clip=0)),
        "the activation of layer 0, clip: expected a number above 0, got 0",
    ),
    "clip of softmax": (
        network(lambda n: n["output_activation"].update(name="softmax", clip=1)),
        "the output activation, clip: expected none for softmax, got 1",
    ),
    "no activation": (network(lambda n: n["layers"][0].pop("activation")), "'activation' is missi"),
    "unknown direction": (
        network(lambda n: n["layers"][0].update(direction="backward")),
        "the direction of layer 0: expected forward or reverse or bidirectional, got 'backward'",
    ),
    "no direction": (network(lambda n: n["layers"][0].pop("direction")), "'direction' is missing"),
    "unknown layer key": (network(lambda n: n["layers"][0].update(clip=1)), "'clip' is unknown"),
    "unknown output activation": (
        network(lambda n: n["output_activation"].update(name="relu6")),
        "the output activation: expected .* or softmax, got 'relu6'",
    ),
    "readout not described": (
        network(lambda n: n.update(output_activation=None)),
        "tensor 'readout.W_hy' is unknown in a network of 2 layers without readout",
    ),
}


def test_the_numbers_of_an_activation_stand_beside_its_name():
    net = real_network(
        activation=["tanh", elman.Activation("leaky_relu", alpha=0.25)],
        output_activation=elman.Activation("hard_sigmoid", clip=3),
    )
    header, _ = split(_format.dumps(net))
    network = json.loads(header["__metadata__"]["network"])
    assert [layer["activation"] for layer in network["layers"]] == [
        {"name": "tanh"},
        {"name": "leaky_relu", "alpha": 0.25},
    ]
    assert network["output_activation"] == {
        "name": "hard_sigmoid",
        "alpha": 0.2,
        "beta": 0.5,
        "clip": 3.0,
    }


def test_numbers_that_a_file_leaves_out_are_those_of_onnx(data):
    spoil, _ = network(lambda n: n["output_activation"].update(name="hard_sigmoid", clip=2)), None
    net = _network.loads(spoiled(data, spoil))
    assert net.output_activation == elman.Activation("hard_sigmoid", 0.2, 0.5, clip=2)


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_refused_by_name(data, case):
    spoil, message = BAD_HEADERS[case]
    bad = spoiled(data, spoil)
    assert bad != data
    with pytest.raises(ModelFormatError, match=f"^m: .*{message}") as caught:
        _network.loads(bad, source="m")
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def first_layer(**changes):
    return network(lambda description: description["layers"][0].update(changes))


BAD_HALVES = {
    "missing half": (without_tensor("layers.0.reverse.W_hh"), "'layers.0.reverse.W_hh' is missing"),
    "another half": (rename("layers.0.reverse.b_h", "layers.1.reverse.b_h"), "reverse.b_h' is unk"),
    "other half": (rename("layers.0.reverse.b_h", "layers.0.forward.b_h"), "forward.b_h' is unkno"),
    "narrow half": (
        tensor("layers.0.reverse.W_xh", shape=[2, 3]),
        r"'layers.0.reverse.W_xh': expected the shape \(3, 2\), got \(2, 3\)",
    ),
    "no second activation": (
        network(lambda n: n["layers"][0].pop("reverse_activation")),
        "network: layer 0: the key 'reverse_activation' is missing",
    ),
    "unknown second activation": (
        first_layer(reverse_activation={"name": "softmax"}),
        "network: the reverse activation of layer 0: expected .* got 'softmax'",
    ),
    "a second activation too many": (
        first_layer(direction="reverse"),
        "network: layer 0: the key 'reverse_activation' is unknown",
    ),
    "halves of a forward layer": (
        network(lambda n: n["layers"][0].update(direction="forward") or n["layers"][0].popitem()),
        "tensor 'layers.0.reverse.W_hh' is unknown",
    ),
    "a layer above that reads one half": (
        tensor("layers.1.W_xh", shape=[8, 3]),
        r"'layers.1.W_xh': expected the shape \(8, 6\), got \(8, 3\)",
    ),
}


@pytest.mark.parametrize("case", BAD_HALVES)
def test_a_bad_half_is_refused_by_name(case):
    net = elman.Network(
        input_size=2, hidden_size=[3, 4], output_size=1, direction=["bidirectional", "forward"]
    )
    spoil, message = BAD_HALVES[case]
    bad = spoiled(_format.dumps(net), spoil)
    with pytest.raises(ModelFormatError, match=f"^m: .*{message}"):
        _network.loads(bad, source="m")


LONG = _container.MAX_HEADER_BYTES + 8
BAD_BYTES = {
    "empty": (b"", "expected at least 8 bytes, got 0"),
    "7 bytes": (bytes(7), "expected at least 8 bytes, got 7"),
    "no header": (bytes(8), "the header: expected a JSON object, got ''"),
    "header length of 64 bits": (b"\xff" * 99, "of at most 262144 bytes, got a length of 18446744"),
    "header above the limit": (join(b"{}".ljust(LONG), b""), "of at most 262144 bytes, got a leng"),
    "header longer than the file": (join(b"{}", b"")[:-1], "expected a header of 2 bytes, got 1"),
    "text": (b"Hello, this is no model at all.", "this is not a safetensors file"),
    "not UTF-8": (join(b'{"\xff":1}', b""), "the header: expected UTF-8, got invalid start byte"),
    "UTF-16": (join("{}".encode("utf-16"), b""), "the header: expected UTF-8"),
    "not JSON": (join(b"{]", b""), "the header: expected JSON: Expecting property name"),
    "leading space": (join(b" {}", b""), "the header: expected a JSON object, got ' {}'"),
    "a JSON list": (join(b"[]", b""), r"the header: expected a JSON object, got '\[\]'"),
    "two objects": (join(b"{}{}", b""), "the header: expected JSON: Extra data"),
    "NaN": (join(b'{"a":NaN}', b""), "NaN is not a JSON number"),
    "Infinity": (join(b'{"a":-Infinity}', b""), "-Infinity is not a JSON number"),
    "the same key twice": (join(b'{"a":1,"a":1}', b""), "the key 'a' stands twice in one JSON obj"),
    "the metadata twice": (
        join(b'{"__metadata__":{},"__metadata__":{}}', b""),
        "the key '__metadata__' stands twice",
    ),
    "too deep a list": (join(b'{"a":' + b"[" * 200_000, b""), "JSON is nested too deeply"),
    "too deep an object": (join(b'{"a":' * 40_000, b""), "the JSON is nested too deeply"),
    "a number of 5000 digits": (join(b'{"a":' + b"1" * 5000 + b"}", b""), "expected JSON: Exceeds"),
    "a key of 100 kB": (join(b'{"' + b"a" * 10**5 + b'":1}', b""), "expected the format 'elman'"),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bytes_that_are_no_model_are_refused(case):
    data, message = BAD_BYTES[case]
    with pytest.raises(ModelFormatError, match=f"^m: .*{message}") as caught:
        _network.loads(data, source="m")
    assert len(str(caught.value)) < 300


OTHER_KINDS = {
    "PyTorch": (
        b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl",
        "a zip archive: elman.from_torch reads",
    ),
    "pickle": (
        pickle.dumps({"weights": list(range(9))}),
        "a pickle, which is not read: .* for elman.from_torch",
    ),
    "short pickle": (pickle.dumps(None), "a pickle, which is not read: .* for elman.from_torch"),
    "old pickle": (
        pickle.dumps({"weights": 1}, 2),
        "a pickle, which is not read: .* for elman.from_torch",
    ),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file: elman.from_keras reads"),
    "ONNX": (b"\x08\x0a\x12\x07pytorch\x1a\x05" + bytes(9), "an ONNX file"),
}


@pytest.mark.parametrize("case", OTHER_KINDS)
def test_another_kind_of_file_is_named(case):
    data, message = OTHER_KINDS[case]
    with pytest.raises(UnsupportedModelError, match=f"^m: expected a model in saf.*{message}"):
        _network.loads(data, source="m")


def test_a_newer_format_is_named_whatever_else_it_holds(data):
    def spoil(header):
        header["__metadata__"].update(format_version="2", compression="zstd")
        header["layers.0.W_qq"] = {"dtype": "F16", "sparse": True}

    with pytest.raises(UnsupportedModelError, match="format version 1, got 2: a newer elman wrote"):
        _network.loads(spoiled(data, spoil))


def test_too_many_tensors_are_refused(data):
    def spoil(header):
        header.update({f"golden.{index}": 0 for index in range(_container.MAX_TENSORS)})

    with pytest.raises(LimitError, match="expected at most 1024 tensors, got 1037"):
        _network.loads(spoiled(data, spoil))


def test_a_file_that_goes_on_or_breaks_off_is_refused(data):
    with pytest.raises(ModelFormatError, match="156 bytes of tensors, got 157: the file goes on"):
        _network.loads(data + b"\0")
    with pytest.raises(ModelFormatError, match="156 bytes of tensors, got 155: the file is trunca"):
        _network.loads(data[:-1])


def test_text_that_is_not_unicode_is_refused(data):
    lone_surrogate = data.replace(b'"a test"', b'"\\ud8ff"')
    lone_surrogate = lone_surrogate.replace(b"user.origin", b"user.orig")  # the same length
    assert len(lone_surrogate) == len(data) - 2
    length = int.from_bytes(data[:8], "little") - 2
    with pytest.raises(
        ModelFormatError, match=r"^model: .* is not Unicode text: surrogates not all"
    ):
        _network.loads(length.to_bytes(8, "little") + lone_surrogate[8:])
    with pytest.raises(ArgumentError, match=r"^metadata: expected Unicode text, got 'a': '.ud8ff'"):
        real_network(metadata={"a": "\ud8ff"})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_unless_it_is_allowed(net, value):
    weights = {"layers.1.W_hh": np.full((1, 1), value, np.float32)}
    net = net.replace(tensors=weights, allow_nonfinite=True)
    data = _format.dumps(net)
    with pytest.raises(ModelFormatError, match=r"tensor layers.1.W_hh: expected finite number"):
        _network.loads(data)
    np.testing.assert_array_equal(
        _network.loads(data, allow_nonfinite=True).layers[1].W_hh, net.layers[1].W_hh
    )


@pytest.mark.parametrize("name", ["input_std", "output_std"])
def test_a_std_of_0_is_refused(data, name):
    header, tensors = split(data)
    begin, _ = header[name]["data_offsets"]
    zero = tensors[:begin] + bytes(4) + tensors[begin + 4 :]
    with pytest.raises(ModelFormatError, match=rf"{name}\[0\]: expected a number above 0, got 0"):
        _network.loads(join(header, zero))


def outcome(data):
    """Load bytes: return the network, or None for one of the two errors that are allowed."""
    try:
        return _network.loads(data)
    except (ModelFormatError, UnsupportedModelError):
        return None


def test_a_file_that_is_cut_anywhere_is_refused(data):
    assert outcome(data) is not None
    for length in range(len(data)):
        assert outcome(data[:length]) is None


def test_a_flipped_bit_is_refused_or_changes_a_value_or_a_user_s_string(data):
    whole = _network.loads(data)
    values = len(split(data)[1])
    loaded = changed_strings = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        net = outcome(bytes(flipped))
        if net is None:
            continue
        loaded += 1
        assert repr(net) == repr(whole)
        assert net.activations == whole.activations
        assert net.output_activation == whole.output_activation
        if bit // 8 < len(data) - values:
            assert net == whole
            assert net.metadata != whole.metadata
            changed_strings += 1
        else:
            assert net != whole
            assert net.metadata == whole.metadata
    assert loaded > 8 * values * 0.9
    assert changed_strings > 50


# --- paths that are no model ----------------------------------------------------------------------


@pytest.mark.parametrize("error", [FileNotFoundError, IsADirectoryError])
def test_a_missing_file_and_a_directory_are_the_usual_errors(tmp_path, error):
    path = tmp_path if error is IsADirectoryError else tmp_path / "missing"
    with pytest.raises(error) as caught:
        elman.load(path)
    assert caught.value.filename == str(path)


def test_a_path_with_nul_is_refused():
    with pytest.raises(ValueError, match="null"):
        elman.load("a\0b")


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    before = time.monotonic()
    with pytest.raises(ModelFormatError, match="fifo: expected a regular file, got a FIFO"):
        elman.load(tmp_path / "fifo")
    assert time.monotonic() - before < 1


def test_a_fifo_that_takes_a_file_s_place_after_the_check_does_not_block(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    regular = tmp_path / "regular"
    regular.write_bytes(b"")
    status = os.stat(regular)
    monkeypatch.setattr(_files.os, "stat", lambda path: status)
    with pytest.raises(ModelFormatError, match="fifo: expected a regular file, got a FIFO"):
        elman.load(tmp_path / "fifo")


@linux_only
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_a_device_is_refused_and_not_even_opened(path, monkeypatch):
    monkeypatch.setattr(_files.os, "open", None)
    with pytest.raises(ModelFormatError, match=f"{path}: expected a regular file"):
        elman.load(path)


@linux_only
@pytest.mark.parametrize("path", ["/proc/self/mem", "/proc/self/status", "/proc/cpuinfo"])
def test_a_file_of_unknown_size_is_refused(path):
    with pytest.raises(ModelFormatError, match=f"{path}: expected at least 8 bytes, got 0"):
        elman.load(path)


@pytest.mark.parametrize(("change", "got"), [(b"\0", "more"), (None, r"\d+")])
def test_a_file_that_changes_its_size_while_it_is_read_is_refused(
    tmp_path, monkeypatch, change, got
):
    path = tmp_path / "model"
    data = _format.dumps(real_network(hidden_size=100))
    path.write_bytes(data)
    read_header = _container.read_header

    def change_then_read(read, file_bytes, kind):
        path.write_bytes(data + change if change else data[:-1])
        return read_header(read, file_bytes, kind)

    monkeypatch.setattr(_container, "read_header", change_then_read)
    message = rf"the file changed while it was read: expected \d+ bytes of tensors, got {got}"
    with pytest.raises(ModelFormatError, match=message):
        elman.load(path)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFormatError, match=f"^{path}: expected a header of at most"):
        elman.load(path)


def hostile_files(net):
    """Return small files, by name, that want a parser to take much memory."""
    header, _ = split(_format.dumps(net))
    about = header["layers.0.b_h"]
    start = b'{"__metadata__":{"format":"elman","format_version":"1","'

    def filled(start, part, end):
        count = (_container.MAX_HEADER_BYTES - len(start) - len(end)) // len(part)
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
        "shape": spoiled(_format.dumps(net), tensor("layers.0.W_hh", shape=[2**31, 2**31])),
        "header": (10**8).to_bytes(8, "little") + b"{" * 100,
    }


def write_terabyte(path, net):
    """Write a file of 1 TB without a block on the disk, whose header describes all of it."""
    header, _ = split(_format.dumps(net))
    about = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
    with open(path, "wb") as file:
        file.write(join({"golden.a": about, "__metadata__": header["__metadata__"]}, b""))
        file.truncate(file.tell() + 2**40)


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="a sanitizer holds freed memory back")
@linux_only
def test_a_hostile_file_costs_little_memory(tmp_path, rng):
    net = make_network(rng)
    files = hostile_files(net)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_terabyte(tmp_path / "terabyte", net)
    real_network().save(tmp_path / "good")

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


# --- saving ---------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, net):
    """A folder with one model file in it."""
    net.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def other(rng):
    """Another network, to be saved over the first."""
    return make_network(rng, hidden=(2,))


def assert_alone(path):
    assert os.listdir(path.parent) == [path.name]


def test_saving_replaces_the_file_and_leaves_nothing_else(path, other):
    assert_alone(path)
    other.save(path)
    assert path.read_bytes() == _format.dumps(other)
    assert_alone(path)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model.onnx", r"got \*\.onnx: elman\.to_onnx\(net, path\) writes that"),
        ("MODEL.PT", r"got \*\.pt: torch\.save of elman\.to_torch\(net\) writes that"),
        ("model.keras", r"elman\.to_keras\(net\) writes that"),
        ("model.h5", r"elman\.to_keras\(net\) writes that"),
        ("model.hdf5", r"elman\.to_keras\(net\) writes that"),
        ("model.npz", r"got \*\.npz: np\.savez\(path, \*\*net\.tensors\(\)\) writes that"),
        ("model.pkl", r"got \*\.pkl: pickle\.dump\(net, file\) writes that"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path, name, remedy):
    with pytest.raises(ArgumentError, match=remedy):
        real_network().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_saving_in_the_current_folder_needs_no_folder_in_the_name(tmp_path, net, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net.save("model")
    assert (tmp_path / "model").read_bytes() == data


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_permissions_of_the_old_file_are_kept(path, other, mode):
    path.chmod(mode)
    other.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, net, umask, mode):
    before = os.umask(umask)
    try:
        net.save(tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == mode


def test_a_private_file_is_never_readable_by_others_while_it_is_written(path, other, monkeypatch):
    path.chmod(0o600)
    modes = []
    chmod = os.chmod

    def look_then_chmod(temporary, mode):
        modes.append(stat.S_IMODE(os.stat(temporary).st_mode))
        chmod(temporary, mode)

    monkeypatch.setattr(_files.os, "chmod", look_then_chmod)
    other.save(path)
    assert modes == [0o600]


def test_saving_through_a_symbolic_link_replaces_the_file_behind_it(path, other, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(path)
    other.save(link)
    assert link.is_symlink()
    assert path.read_bytes() == _format.dumps(other)
    assert sorted(os.listdir(tmp_path)) == ["links", path.name]
    assert os.listdir(folder) == ["link"]


def test_saving_over_a_directory_is_the_usual_error(tmp_path, net):
    with pytest.raises(IsADirectoryError):
        net.save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_saving_over_a_fifo_or_a_device_is_refused(tmp_path, net):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/null"):
        with pytest.raises(FileExistsError, match="Not a regular file"):
            net.save(path)
    assert stat.S_ISFIFO(os.stat(tmp_path / "fifo").st_mode)


def test_saving_in_a_missing_folder_names_the_folder(tmp_path, net):
    with pytest.raises(FileNotFoundError) as caught:
        net.save(tmp_path / "missing" / "model")
    assert caught.value.filename == str(tmp_path / "missing")


def test_a_write_protected_file_is_not_replaced(path, other, data, monkeypatch):
    monkeypatch.setattr(_files.os, "access", lambda target, mode: mode != os.W_OK)  # as not root
    with pytest.raises(PermissionError):
        other.save(path)
    assert path.read_bytes() == data
    assert_alone(path)


class FailingFile:
    """A file whose calls may fail."""

    def __init__(self, file, may_fail):
        self.file = file
        self.may_fail = may_fail

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return self.may_fail(getattr(self.file, name))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt(), MemoryError()]
)
def test_whichever_call_fails_the_old_file_or_the_new_one_is_there(
    path, other, data, monkeypatch, error
):
    new = _format.dumps(other)
    calls = []

    def may_fail(function):
        def call(*arguments):
            calls.append(function.__name__)
            if len(calls) == failing:
                raise error
            return function(*arguments)

        return call

    for name in ("open", "chmod", "fsync", "replace"):
        monkeypatch.setattr(_files.os, name, may_fail(getattr(os, name)))
    open_failing = lambda *arguments: FailingFile(open(*arguments), may_fail)  # noqa: E731, SIM115
    monkeypatch.setattr(_files, "open", open_failing, raising=False)
    for failing in itertools.count(1):  # noqa: B007 - may_fail reads it
        path.write_bytes(data)
        calls.clear()
        try:
            other.save(path)
        except type(error):
            after_replacing = calls.count("replace") == 1 and calls[-1] != "replace"
            assert path.read_bytes() == (new if after_replacing else data)
            assert_alone(path)
        else:
            break
    done = ["open", "chmod", "write", "flush", "fileno", "fsync", "replace", "open", "fsync"]
    assert calls == done
    assert failing == len(done) + 1
    assert path.read_bytes() == new


def test_a_network_that_cannot_be_written_touches_no_file(path, other, data):
    other = other.replace(metadata={"text": "x" * _container.MAX_HEADER_BYTES})
    with pytest.raises(LimitError):
        other.save(path)
    assert path.read_bytes() == data
    assert_alone(path)


def test_a_process_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path):
    """A child saves two networks in turn until it is killed, 60 times, at random moments.

    It is let live for up to three saves, however slow the machine is, and a random moment more.
    """
    code = """
import collections, os, pathlib, random, signal, sys, time
import elman
from elman import _container, _files, _format

folder = pathlib.Path(sys.argv[1])
path = folder / "model"
random.seed(0)
nets = [elman.Network(input_size=1, hidden_size=300, output_size=1, seed=s) for s in (0, 1)]
whole = {_format.dumps(net): name for net, name in zip(nets, "ab")}
nets[0].save(path)
seen = collections.Counter()
for _ in range(60):
    saved, saves = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            for net in nets:
                net.save(path)
                os.write(saves, b".")
    for _ in range(random.randrange(4)):
        os.read(saved, 1)
    time.sleep(random.uniform(0, 0.005))
    os.kill(child, signal.SIGKILL)
    os.close(saved)
    os.close(saves)
    os.waitpid(child, 0)
    seen[whole.get(path.read_bytes(), "torn")] += 1
    for name in os.listdir(folder):
        if name != "model":
            assert name.startswith(".elman-") and name.endswith(".tmp"), name
            os.unlink(folder / name)
            seen["stray"] += 1
print(seen["a"], seen["b"], seen["stray"], seen["torn"])
"""
    a, b, stray, torn = map(int, run_python(code, tmp_path).split())
    assert torn == 0
    assert a + b == 60
    assert stray > 0, "no child was killed while it wrote: the test shows nothing"
    assert b > 0
    assert elman.load(tmp_path / "model").hidden_sizes == (300,)
