"""Hostile `.keras` and `.h5` files: refused before their data are read, without side effects."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import warnings
import zipfile

import numpy as np
import pytest

import elman
from elman.errors import ModelFormatError
from elman.interop.keras import hdf5
from fixtures.guarded import SANITIZED, read_guarded

pytestmark = pytest.mark.any_isa

h5py = pytest.importorskip("h5py")

CONFIG = {
    "class_name": "Sequential",
    "config": {
        "name": "model",
        "layers": [
            {
                "class_name": "SimpleRNN",
                "config": {"name": "rnn", "units": 4, "activation": "tanh", "use_bias": False},
            }
        ],
    },
}
CELL = "layers/simple_rnn/cell/vars"


def hdf5_file(change=lambda file: None, **options):
    """Return the bytes of the weights of one SimpleRNN, after a change."""
    made = io.BytesIO()
    with h5py.File(made, "w", **options) as file:
        file[f"{CELL}/0"] = np.ones((3, 4), "f4")
        file[f"{CELL}/1"] = np.ones((4, 4), "f4") / 9
        change(file)
    return made.getvalue()


def keras_file(change=lambda file: None, *, config=None, method=zipfile.ZIP_DEFLATED, **entries):
    """Return the bytes of a `.keras` file."""
    made = io.BytesIO()
    text = json.dumps(CONFIG) if config is None else config
    parts = {"config.json": text, "model.weights.h5": hdf5_file(change)} | entries
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return made.getvalue()


def instead(make):
    """Return a change that replaces the recurrent kernel."""

    def change(file):
        del file[f"{CELL}/1"]
        make(file)

    return change


def external_storage(file):
    file.create_dataset(f"{CELL}/1", (4, 4), "f4", external=[("FIFO", 0, 64)])


def virtual(file):
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource("FIFO", "x", (4, 4))
    file.create_virtual_dataset(f"{CELL}/1", layout)


def virtual_unlimited(file):
    layout = h5py.VirtualLayout((4, 4), "f4", maxshape=(None, 4))
    source = h5py.VirtualSource("FIFO", "x", (4, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset(f"{CELL}/1", layout)


def shape_bomb(file):
    """A dataset that was never written: its fill value is all there is."""
    space = h5py.h5s.create_simple((2**20, 2**20))
    h5py.h5d.create(file[CELL].id, b"1", h5py.h5t.IEEE_F32LE, space)


def deep(file):
    file.create_group("/".join("a" * 40))


def committed(file):
    file[f"{CELL}/1"] = np.dtype("f4")


def circle(file):
    file["layers/again"] = file["layers"]


def two_names(file):
    file["layers/other"] = file[f"{CELL}/0"]


def many(file):
    group = file.create_group("many")
    for index in range(5000):
        group.create_group(str(index))


def name_of_numbers(file):
    file[CELL].attrs["name"] = np.zeros(1000)


def name_of_texts(file):
    file[CELL].attrs["name"] = ["a", "b"]


def long_names(file):
    for index in range(40):
        group = file.create_group(f"layers/x{index}/vars")
        group.attrs["name"] = random.Random(index).randbytes(15_000).hex()


def zip_with_twice(name):
    file = io.BytesIO(keras_file())
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, b"{}")
    return file.getvalue()


def chunked(file):
    file.create_dataset(f"{CELL}/1", (4, 4), "f4", chunks=(2, 2))


def compressed_bomb(file):
    file.create_dataset(f"{CELL}/1", (2**14, 2**14), "f4", compression="gzip", fillvalue=1)


def soft_link(file):
    file[f"{CELL}/1"] = h5py.SoftLink("/layers")


def external_link(file):
    file[f"{CELL}/1"] = h5py.ExternalLink("FIFO", "/x")


def external_group(file):
    file["layers/other"] = h5py.ExternalLink("FIFO", "/")


VALUE = "'layers/simple_rnn/cell/vars/1': expected .*"
HOSTILE = {
    "an external link": (keras_file(instead(external_link)), VALUE + "got ExternalLink"),
    "an external link elsewhere": (keras_file(external_group), "'layers/other': .* ExternalLink"),
    "a soft link": (keras_file(instead(soft_link)), VALUE + "got SoftLink"),
    "external storage": (keras_file(instead(external_storage)), VALUE + "got one in another file"),
    "a virtual dataset": (keras_file(instead(virtual)), VALUE + "got a virtual one"),
    "a virtual dataset without end": (
        keras_file(instead(virtual_unlimited)),
        VALUE + "got a virtual one",
    ),
    "a chunked dataset": (keras_file(instead(chunked)), VALUE + "got a chunked one"),
    "a compressed bomb": (keras_file(instead(compressed_bomb)), VALUE + "got a chunked one"),
    "a bomb of shape": (
        keras_file(instead(shape_bomb)),
        VALUE + r"4398046511104 bytes .*\(1048576, 1048576\), got 0",
    ),
    "a type as a dataset": (keras_file(instead(committed)), VALUE + "got Datatype"),
    "a circle": (keras_file(circle), "'layers/again': .*another name"),
    "two names": (keras_file(two_names), "'layers/.*': .*another name"),
    "groups 40 deep": (keras_file(deep), "'a/.*': expected .*32 "),
    "5000 groups": (keras_file(many), "expected .*4096 groups"),
    "a name that is numbers": (keras_file(name_of_numbers), "attribute 'name': expected"),
    "a name that is several": (keras_file(name_of_texts), "attribute 'name': expected"),
    "names of a megabyte": (keras_file(long_names), "expected attributes .*1048576 bytes"),
    "a bomb in the zip": (
        keras_file(**{"model.weights.h5": bytes(200 * 2**20)}),
        "'model.weights.h5': expected .*200 times",
    ),
    "a config of 100 MiB": (
        keras_file(config=" " * (100 * 2**20)),
        "'config.json': expected .*262144 bytes, got 104857600",
    ),
    "a name outside": (keras_file(**{"../model.weights.h5": b""}), "'../model.weights.h5'.*out of"),
    "an absolute name": (keras_file(**{"/tmp/x": b""}), "'/tmp/x'.*out of"),
    "an entry twice": (zip_with_twice("config.json"), "'config.json'.*twice"),
    "another method of compression": (
        keras_file(method=zipfile.ZIP_BZIP2),
        "'config.json': .*got method 12",
    ),
    "no config": (keras_file(**{"config.json": None}), "'config.json'.*missing"),
    "no weights": (keras_file(**{"model.weights.h5": None}), "'model.weights.h5'.*missing"),
    "weights in npz": (
        keras_file(**{"model.weights.npz": b""}),
        "expected .*model.weights.h5, got model.weights.npz",
    ),
    "weights that are none": (
        keras_file(**{"model.weights.h5": b"x" * 1000}),
        "HDF5 file .*damaged",
    ),
    "a pickle": (b"\x80\x04N.", "expected .*Keras .*got another kind"),
    "nothing": (b"", "expected .*Keras .*got another kind"),
    "an HDF5 file of something else": (
        hdf5_file(lambda file: file.move("layers", "data")),
        "expected .*'layers'.*got none",
    ),
    "a signature and nothing else": (b"\x89HDF\r\n\x1a\n", "HDF5 file .*damaged"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The effects of reading each hostile file, in a separate process next to a FIFO."""
    if sys.platform != "linux":
        pytest.skip("the watch reads /proc")
    folder = tmp_path_factory.mktemp("hostile")
    paths = {name: folder / f"{index}.keras" for index, name in enumerate(HOSTILE)}
    for name, path in paths.items():
        path.write_bytes(HOSTILE[name][0])
    os.mkfifo(folder / "FIFO")
    prepare = f"""
import zipfile, zlib, h5py, elman.interop.keras.reading, bz2, lzma
elman.Network
os.chdir({str(folder)!r})
"""
    results = read_guarded(paths.values(), prepare, "elman.from_keras(path)")
    assert sorted(folder.iterdir()) == sorted([*paths.values(), folder / "FIFO"])
    return {name: results[str(path)] for name, path in paths.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_does_nothing(name, hostile, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(HOSTILE[name][0])
    with pytest.raises(elman.ElmanError, match=HOSTILE[name][1]) as caught:
        elman.from_keras(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    seen = hostile[name]
    assert seen["error"].startswith(f"{type(caught.value).__name__}: ")
    assert seen["events"] == []
    assert SANITIZED or seen["grown_kib"] < 16 * 1024  # 5000 groups take 7 MiB in the file


@pytest.mark.slow  # it waits, and checks the watch used by the previous test
@pytest.mark.skipif(sys.platform != "linux", reason="there are FIFOs")
def test_opening_the_fifo_would_block(tmp_path):
    """h5py's reader follows an external link: the test detects this."""
    (tmp_path / "a.h5").write_bytes(hdf5_file(external_group))
    os.mkfifo(tmp_path / "FIFO")
    prepare = f"import h5py\nos.chdir({str(tmp_path)!r})"
    read = "h5py.File(path)['layers/other']"
    with pytest.raises(TimeoutError):
        read_guarded([tmp_path / "a.h5"], prepare, read, timeout=3)


def test_the_file_without_a_change_is_read(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(keras_file())
    assert elman.from_keras(path).hidden_sizes == (4,)


def named(file):
    """Give a group a name of text, which HDF5 keeps in a heap; "GCOL" begins a heap too."""
    file["layers/simple_rnn"].attrs["name"] = "GCOL"


def test_the_letters_of_a_heap_in_a_name_or_in_weights_are_none():
    weights = np.frombuffer(b"GCOLGCOL" * 8, "<f4").reshape(4, 4)
    data = hdf5_file(lambda file: (named(file), file[f"{CELL}/1"].write_direct(weights)))
    assert data.count(b"GCOL") > 16
    contents = hdf5.read(data)
    assert contents.names == {"layers/simple_rnn": "GCOL"}
    assert contents.arrays[f"{CELL}/1"].tobytes() == weights.tobytes()


@pytest.mark.parametrize("reserved", [b"\0\0\0", b"abc"])
def test_a_heap_that_does_not_add_up_is_refused(reserved):
    data = bytearray(hdf5_file(named))
    heap = data.index(b"GCOL\1")
    data[heap + 5 : heap + 8] = reserved  # the library does not read these
    hdf5.read(bytes(data))
    data[heap + 24] += 8  # the size of the first text
    with pytest.raises(ModelFormatError, match="a string heap is inconsistent"):
        hdf5.read(bytes(data))


def test_a_file_cut_or_flipped_is_an_error_or_another_number(rng):
    data = hdf5_file()
    for length in [*range(0, len(data), 301), len(data) - 1]:
        with pytest.raises(ModelFormatError, match=r"HDF5 file .*damaged"):
            hdf5.read(data[:length])
    for _ in range(300):
        flipped = bytearray(data)
        flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            hdf5.read(bytes(flipped))
        except elman.ElmanError:
            continue
