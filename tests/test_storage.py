"""Model files: writing and reading, foreign files, and crashes while writing."""

from __future__ import annotations

import builtins
import copy
import errno
import itertools
import json
import os
import pickle
import stat
import sys
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import elman
from elman.errors import ArgumentError, LimitError, ModelFormatError
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.model_files import ModelFile, everything, run_python, split
from fixtures.networks import make_inputs, make_network

pytestmark = pytest.mark.any_isa

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def net(rng):
    return everything(rng)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return ModelFile(tmp_path_factory.mktemp("file"))


@pytest.fixture
def data(net, file):
    return file.bytes_of(net)


def real_network(seed=0, **changes):
    """Return a network shipped with the package."""
    options = {"input_size": 3, "hidden_size": [5, 4], "output_size": 2, "seed": seed} | changes
    return elman.Network(**options)


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_safetensors_library_reads_what_we_write(rng, dtype, tmp_path):
    net = make_network(rng, hidden=(3, 5), scaling=True, initial_state=True, dtype=dtype)
    path = tmp_path / "model.safetensors"
    net.save(path)
    with safetensors.safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(net.tensors())
        for name, want in net.tensors().items():
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
    library = safetensors.numpy.save(net.tensors(), header["__metadata__"])
    assert split(library) == (header, tensors)
    assert len(library) == len(data)
    assert data[:9] == library[:9]
    assert (len(data) - len(tensors)) % 8 == 0


def test_the_tensors_are_aligned_however_long_the_header_is(file, net):
    for count in range(8):
        data = file.bytes_of(net.replace(metadata={"a": "x" * count}))
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


def test_a_network_without_the_optional_parts_writes_none_of_them(rng, file):
    net = make_network(rng, outputs=None, bias=False)
    header, _ = split(file.bytes_of(net))
    assert list(header) == ["__metadata__", "layers.0.W_hh", "layers.0.W_xh"]
    assert json.loads(header["__metadata__"]["network"])["output_activation"] is None


def test_the_same_network_gives_the_same_bytes(net, data, file):
    net = net.replace(metadata=dict(reversed(net.metadata.items())))
    assert file.bytes_of(net) == data


def test_arrays_in_any_memory_order_are_written_in_c_order(net, data, file):
    arrays = net.tensors()
    arrays["layers.0.W_xh"] = np.asfortranarray(arrays["layers.0.W_xh"])
    arrays["readout.W_hy"] = arrays["readout.W_hy"].astype(">f4")
    assert file.bytes_of(net.replace(tensors=arrays)) == data


def test_a_file_that_load_would_refuse_is_not_written(net, rng, tmp_path):
    net = net.replace(metadata={"text": "x" * 2**18})
    with pytest.raises(LimitError, match=r"^metadata: expected .*262144 bytes, got 26\d{4}"):
        net.save(tmp_path / "model")
    net = make_network(rng, hidden=(1,) * 400)
    with pytest.raises(LimitError, match=r"^layers: expected .*1024 tensors, got 1202"):
        net.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_the_parameters_of_an_activation_are_stored_beside_its_name(file):
    net = real_network(
        activation=["tanh", elman.Activation("leaky_relu", alpha=0.25)],
        output_activation=elman.Activation("hard_sigmoid", clip=3),
    )
    header, _ = split(file.bytes_of(net))
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
        {"direction": ["reverse", "bidirectional"], "activation": ["relu", ("tanh", "sigmoid")]},
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
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    x = make_inputs(rng, net, 2, 7)
    np.testing.assert_array_equal(loaded(x), net(x))


def test_a_path_may_be_a_string_bytes_or_a_path(tmp_path):
    net = real_network()
    for path in (tmp_path / "a", str(tmp_path / "b"), os.fsencode(tmp_path / "ç\udcff")):
        net.save(path)
        assert elman.load(path) == net
    with pytest.raises(TypeError):
        elman.load(0)


@pytest.mark.parametrize("protocol", [2, 3, pickle.HIGHEST_PROTOCOL])
def test_a_network_pickles_to_little_more_than_its_file(protocol, file):
    net = real_network(metadata={"a": "b"})
    pickled = pickle.dumps(net, protocol)
    loaded = pickle.loads(pickled)
    assert loaded == net
    assert dict(loaded.metadata) == {"a": "b"}
    if protocol >= 3:  # the first with bytes
        assert len(pickled) < 1.1 * len(file.bytes_of(net)) + 100


def test_a_network_that_was_allowed_nan_survives_a_pickle():
    matrix = np.array([[np.nan]], np.float32)
    net = elman.Network.from_weights([(matrix, matrix, None)], None, allow_nonfinite=True)
    assert np.isnan(pickle.loads(pickle.dumps(net)).layers[0].W_hh).all()
    assert copy.deepcopy(net) == net


def test_a_pickle_passes_the_same_checks_as_a_file(net, data):
    restore, contents = net.__reduce__()
    assert contents == (data,)
    with pytest.raises(ModelFormatError, match=r"^pickled network: expected 156 bytes .*got 155"):
        restore(data[:-1])
    for wrong in (None, "text", bytearray(data), 3):
        with pytest.raises(TypeError, match=r"pickled network: expected bytes, got"):
            restore(wrong)


def test_a_file_in_the_library_s_own_order_is_read(net, data, file):
    header, _ = split(data)
    library = safetensors.numpy.save(net.tensors(), header["__metadata__"])
    assert file.bytes_of(file.load(library)) == data


def test_golden_examples_are_skipped(net, data, file):
    tensors = {**net.tensors(), "golden.x": np.full((1, 2, 3), np.nan, np.float32)}
    with_golden = safetensors.numpy.save(tensors, split(data)[0]["__metadata__"])
    assert file.bytes_of(file.load(with_golden)) == data


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


# --- paths that are not model files ---------------------------------------------------------------


@pytest.mark.parametrize("error", [FileNotFoundError, IsADirectoryError])
def test_a_missing_file_and_a_directory_are_the_usual_errors(tmp_path, error):
    path = tmp_path if error is IsADirectoryError else tmp_path / "missing"
    with pytest.raises(error) as caught:
        elman.load(path)
    assert caught.value.filename == str(path)


def test_a_path_with_nul_is_refused():
    with pytest.raises(ValueError, match="null"):
        elman.load("a\0b")


@pytest.mark.parametrize("suffix", ["", ".pt"])
def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path, suffix):
    os.mkfifo(tmp_path / f"fifo{suffix}")
    before = time.monotonic()
    with pytest.raises(ModelFormatError, match=rf"fifo{suffix}: expected .*regular file"):
        elman.load(tmp_path / f"fifo{suffix}")
    assert time.monotonic() - before < 1


def test_a_fifo_that_takes_a_file_s_place_after_the_check_does_not_block(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    regular = tmp_path / "regular"
    regular.write_bytes(b"")
    status = os.stat(regular)
    monkeypatch.setattr(os, "stat", lambda path: status)
    with pytest.raises(ModelFormatError, match=r"fifo: expected .*regular file"):
        elman.load(tmp_path / "fifo")


@linux_only
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_a_device_is_refused_and_not_even_opened(path, monkeypatch):
    monkeypatch.setattr(os, "open", None)
    with pytest.raises(ModelFormatError, match=rf"^{path}: expected .*regular file"):
        elman.load(path)


@linux_only
@pytest.mark.parametrize("path", ["/proc/self/mem", "/proc/self/status", "/proc/cpuinfo"])
def test_a_file_of_unknown_size_is_refused(path):
    with pytest.raises(ModelFormatError, match=rf"^{path}: expected .*8 bytes, got 0"):
        elman.load(path)


@pytest.mark.parametrize(("change", "got"), [(b"\0", "more"), (None, r"\d+")])
def test_a_file_that_changes_its_size_while_it_is_read_is_refused(
    tmp_path, monkeypatch, change, got
):
    path = tmp_path / "model"
    real_network(hidden_size=100).save(path)
    data, fstat = path.read_bytes(), os.fstat

    def look_then_change(descriptor):
        status = fstat(descriptor)
        path.write_bytes(data + change if change else data[:-1])
        return status

    monkeypatch.setattr(os, "fstat", look_then_change)
    with pytest.raises(ModelFormatError, match=rf"changed.*expected \d+ bytes.*got {got}"):
        elman.load(path)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x01 is not a model")
    with pytest.raises(
        ModelFormatError, match=rf"^{path}: expected a model .* another kind of file"
    ):
        elman.load(path)


# --- saving ---------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, net):
    """A folder with one model file in it."""
    net.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def other(rng):
    """Another network, saved over the first."""
    return make_network(rng, hidden=(2,))


def assert_alone(path):
    assert os.listdir(path.parent) == [path.name]


def test_saving_replaces_the_file_and_leaves_nothing_else(path, other, file):
    assert_alone(path)
    other.save(path)
    assert path.read_bytes() == file.bytes_of(other)
    assert_alone(path)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model.onnx", r"got \*\.onnx.*elman\.to_onnx\(net, path\)"),
        ("MODEL.PT", r"got \*\.pt.*torch\.save.*elman\.to_torch\(net\)"),
        ("model.keras", r"got \*\.keras.*elman\.to_keras\(net\)"),
        ("model.h5", r"got \*\.h5.*elman\.to_keras\(net\)"),
        ("model.hdf5", r"got \*\.hdf5.*elman\.to_keras\(net\)"),
        ("model.npz", r"got \*\.npz.*np\.savez\(path, \*\*net\.tensors\(\)\)"),
        ("model.pkl", r"got \*\.pkl.*pickle\.dump\(net, file\)"),
        ("model.pickle", r"got \*\.pickle.*pickle\.dump\(net, file\)"),
        ("model.joblib", r"got \*\.joblib.*joblib\.dump\(net, path\)"),
        ("model.npy", r"got \*\.npy.*np\.savez\(path, \*\*net\.tensors\(\)\)"),
        ("model.ckpt", r"got \*\.ckpt.*torch\.save.*elman\.to_torch\(net\)"),
        ("model.pt2", r"got \*\.pt2.*torch\.save.*elman\.to_torch\(net\)"),
        ("model.th", r"got \*\.th.*torch\.save.*elman\.to_torch\(net\)"),
        ("model.json", r"got \*\.json: use \*\.safetensors$"),
        ("model.csv", r"got \*\.csv: use \*\.safetensors$"),
        ("model.tflite", r"got \*\.tflite: use \*\.safetensors$"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path, name, remedy):
    with pytest.raises(ArgumentError, match=rf"^path: expected .*{remedy}"):
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

    monkeypatch.setattr(os, "chmod", look_then_chmod)
    other.save(path)
    assert modes == [0o600]


def test_saving_through_a_symbolic_link_replaces_the_file_behind_it(path, other, tmp_path, file):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(path)
    other.save(link)
    assert link.is_symlink()
    assert path.read_bytes() == file.bytes_of(other)
    assert sorted(os.listdir(tmp_path)) == ["links", path.name]
    assert os.listdir(folder) == ["link"]


def test_saving_over_a_directory_is_the_usual_error(tmp_path, net):
    with pytest.raises(IsADirectoryError):
        net.save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_saving_over_a_fifo_or_a_device_is_refused(tmp_path, net):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/null"):
        with pytest.raises(FileExistsError):
            net.save(path)
    assert stat.S_ISFIFO(os.stat(tmp_path / "fifo").st_mode)


def test_saving_in_a_missing_folder_names_the_folder(tmp_path, net):
    with pytest.raises(FileNotFoundError) as caught:
        net.save(tmp_path / "missing" / "model")
    assert caught.value.filename == str(tmp_path / "missing")


def test_a_write_protected_file_is_not_replaced(path, other, data, monkeypatch):
    monkeypatch.setattr(os, "access", lambda target, mode: mode != os.W_OK)  # as not root
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
    path, other, data, monkeypatch, error, file
):
    new = file.bytes_of(other)
    calls = []

    def may_fail(function):
        def call(*arguments):
            calls.append(function.__name__)
            if len(calls) == failing:
                raise error
            return function(*arguments)

        return call

    for name in ("open", "chmod", "fsync", "replace"):
        monkeypatch.setattr(os, name, may_fail(getattr(os, name)))
    opened = open
    monkeypatch.setattr(builtins, "open", lambda *given: FailingFile(opened(*given), may_fail))
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
    assert failing == len(calls) + 1
    before, after = calls[: calls.index("replace")], calls[calls.index("replace") :]
    assert before[-1] == "fsync"  # of the file, before it replaces the other
    assert after[-1] == "fsync"  # of the folder
    assert path.read_bytes() == new


def test_a_network_that_cannot_be_written_touches_no_file(path, other, data):
    other = other.replace(metadata={"text": "x" * 2**18})
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

folder = pathlib.Path(sys.argv[1])
path = folder / "model"
random.seed(0)
nets = [elman.Network(input_size=1, hidden_size=300, output_size=1, seed=s) for s in (0, 1)]
whole = {}
for net, name in zip(reversed(nets), "ba"):
    net.save(path)
    whole[path.read_bytes()] = name
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
            assert name == ".elman-0.tmp", name  # the next save takes its place
            seen["stray"] += 1
nets[0].save(path)
assert os.listdir(folder) == ["model"]
print(seen["a"], seen["b"], seen["stray"], seen["torn"])
"""
    a, b, stray, torn = map(int, run_python(code, tmp_path).split())
    assert torn == 0
    assert a + b == 60
    assert stray > 0, "no child was killed while it wrote: the test shows nothing"
    assert b > 0
    assert elman.load(tmp_path / "model").hidden_sizes == (300,)
