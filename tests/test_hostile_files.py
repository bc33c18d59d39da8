"""Damaged files of every kind that elman itself defines or parses: only its errors come out."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest

import elman
from elman import _container
from elman.training import checkpoint as format
from fixtures.model_files import join, split
from fixtures.mutations import edits, mutations

pytestmark = [pytest.mark.any_isa, pytest.mark.filterwarnings("ignore")]

COUNTS = [pytest.param(1000, id="few"), pytest.param(3000, id="many", marks=pytest.mark.slow)]
X = np.linspace(0, 1, 24).reshape(3, 4, 2)
Y = X[..., :1]


def net():
    return elman.Network(2, 3, 1, seed=0)


def train(path):
    return elman.train(net(), X, Y, epochs=2, seed=0, checkpoint=path)


@pytest.fixture
def model(tmp_path):
    """Return a model file with everything in it."""
    table = elman.Table(inputs=["a", "b"], targets=["c"], time="t")
    whole = elman.Network(2, [3, 2], 1, seed=0, input_mean=[1, 2], metadata={"a": "b"}, table=table)
    whole.save(tmp_path / "m.safetensors", golden=X[0])
    return (tmp_path / "m.safetensors").read_bytes()


@pytest.fixture
def checkpoint(tmp_path):
    train(tmp_path / "run")
    return (tmp_path / "run").read_bytes()


def check(read, path, files):
    """Read each file, and require a result or an error that cannot control a terminal."""
    read_well = 0
    for data in files:
        path.write_bytes(data)
        try:
            read(path)
        except elman.ElmanError as error:
            message = str(error)
            assert message.replace("\n", "").isprintable()
            assert len(message) < 2000
        except Exception as error:
            error.add_note(f"file: {data!r}")
            raise
        else:
            read_well += 1
    return read_well


def load(path):
    """Load a file; what is read can be written and read again."""
    loaded = elman.load(path)
    loaded.save(path)
    assert elman.load(path) == loaded
    elman.load(path, allow_nonfinite=True)
    repr(loaded)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_models(model, tmp_path, count):
    check(load, tmp_path / "m.safetensors", mutations(model, count))


@pytest.mark.parametrize("count", COUNTS)
def test_models_whose_headers_say_something_else(model, tmp_path, count):
    header, tensors = split(model)
    files = (join(edited, tensors) for edited in edits(header, count))
    assert check(load, tmp_path / "m.safetensors", files) > 0

    files = (join(edited, tensors) for edited in edits(header, count, seed=1))
    check(lambda path: elman.load(path, verify=True), tmp_path / "m.safetensors", files)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_checkpoints(checkpoint, tmp_path, count):
    check(train, tmp_path / "run", mutations(checkpoint, count))


@pytest.mark.parametrize("count", COUNTS)
def test_checkpoints_that_say_something_else_with_a_right_checksum(checkpoint, tmp_path, count):
    header, tensors = split(checkpoint)

    def signed(edited):
        data = join(edited, tensors)
        try:
            read, arrays = _container.parse(data)
            edited["__metadata__"]["sha256"] = format._digest(read.metadata, arrays)
        except (elman.ElmanError, LookupError, TypeError, AttributeError):
            return data
        return join(edited, tensors)

    files = (signed(edited) for edited in edits(header, count))
    assert check(train, tmp_path / "run", files) > 0


def array_file(save, *arrays):
    file = io.BytesIO()
    save(file, *arrays)
    return file.getvalue()


TEXT = "time,id,a,b\n" + "".join(
    f"2024-01-{i + 1:02},m{i % 2},{i / 2},{i % 3}\n" for i in range(20)
)
TABLES = {
    "t.csv": TEXT.encode(),
    "tabs.tsv": "".join(f"{i / 2}\t{i % 3}\n" for i in range(20)).encode(),
    "utf-16.csv": TEXT.encode("utf-16"),
    "t.csv.gz": gzip.compress(TEXT.encode(), mtime=0),
    "a.npy": array_file(np.save, X[0]),
    "a.npz": array_file(np.savez, X[0]),
    "compressed.npz": array_file(np.savez_compressed, X[0]),
}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables(tmp_path, name, count):
    network = elman.Network(2, 2, 1, seed=0)
    files = list(mutations(TABLES[name], count))
    check(lambda path: elman.run_table(network, path), tmp_path / name, files)
    check(elman.read_table, tmp_path / name, files)


@pytest.mark.parametrize(
    "shape",
    [
        "(10**20,)",
        "(100000000000000000000,)",
        "(True, 1)",
        "(-1, 2)",
        "(2.0,)",
        "(1,)*99",
        "[2, 2]",
    ],
)
def test_headers_of_arrays_that_numpy_cannot_hold(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (117 - len(header) % 118) + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(elman.TableError, match=r"a\.npy"):
        elman.run_table(elman.Network(2, 2, 1), path)


def test_a_header_that_is_no_literal(tmp_path):
    header = b"{[]: 1}" + b" " * 110 + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(elman.TableError, match=r"a\.npy"):
        elman.run_table(elman.Network(2, 2, 1), path)


def test_progress_in_a_checkpoint_is_nested_at_most_100_deep(checkpoint, tmp_path):
    header, tensors = split(checkpoint)
    progress = json.loads(header["__metadata__"]["progress"])
    deep = []
    for _ in range(150):
        deep = [deep]
    header["__metadata__"]["progress"] = json.dumps(progress | {"x": deep})
    (tmp_path / "run").write_bytes(join(header, tensors))
    with pytest.raises(elman.ModelFormatError, match="run: progress: the JSON is nested too deep"):
        train(tmp_path / "run")


def test_an_hdf5_file_whose_config_is_no_text(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = '{"class_name": "12345678"}'
    data = (tmp_path / "m.h5").read_bytes()
    assert data.count(b"12345678") == 1
    (tmp_path / "m.h5").write_bytes(data.replace(b"12345678", b"123\xe9\xff678"))
    with pytest.raises(elman.ModelFormatError, match=r"m\.h5: "):
        elman.from_keras(tmp_path / "m.h5")


def test_a_group_with_a_number_of_5000_digits(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for layer, inputs in (("simple_rnn_2", 2), ("simple_rnn_" + "9" * 5000, 3)):
            group = f"layers/{layer}/cell/vars"
            for number, shape in enumerate([(inputs, 3), (3, 3), (3,)]):
                file[f"{group}/{number}"] = np.zeros(shape, np.float32)
    net = elman.from_keras(tmp_path / "m.weights.h5", activation="tanh")
    assert net.hidden_sizes == (3, 3)
