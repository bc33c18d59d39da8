"""What `elman info` says of a model, and every command of a file that is none."""

import gzip
import io
import json
import re

import numpy as np
import pytest

import elman
from fixtures.command import answer, complaint

pytestmark = pytest.mark.any_isa


def npy():
    file = io.BytesIO()
    np.save(file, np.ones((3, 2)))
    return file.getvalue()


KINDS = {  # contents, what they are, whether the sentence names `elman run MODEL`
    "table.csv": (b"a,b\n1,2\n", "a CSV file", True),
    "accents.csv": ("é,ü\n1,2\n".encode("latin-1"), "a CSV file", True),
    "commas": (b"1,2\n3,4\n", "a CSV file", True),
    "one_column": (b"1\n2\n", "a text file", True),
    "wide.csv": ("\ufeffa,b\n1,2\n".encode("utf-16"), "text in UTF-16", True),
    "settings.json": (b'{"a": 1}', "JSON", False),
    "x.npy": (npy(), "an NPY array", True),
    "x.npz": (b"PK\x03\x04" + bytes(30), "an NPZ file", True),
    "table.csv.gz": (b"\x1f\x8b\x08" + bytes(30), "a gzip file", True),
    "table.parquet": (b"PAR1" + bytes(30), "a Parquet file", False),
    "empty.safetensors": (b"", "an empty file", False),
}
COMMANDS = {
    "info": ("info",),
    "verify": ("verify",),
    "bench": ("bench",),
    "run": ("run",),
    "stream": ("run", "--stream"),
    "forecast": ("forecast",),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_table_is_not_a_model(tmp_path, name):
    contents, kind, runs = KINDS[name]
    path = tmp_path / name
    path.write_bytes(contents)
    said = complaint("info", path)
    assert said.startswith(f"{path}: this is {kind}, not a model")
    assert (f"elman run MODEL {path}" in said) is runs


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_so(tmp_path, command):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    data = [] if command in ("info", "verify", "bench") else ["-"]
    assert "this is a CSV file, not a model" in complaint(*COMMANDS[command], path, *data)


@pytest.mark.parametrize("command", ["run", "forecast"])
def test_swapped_arguments_are_recognized(tmp_path, command):
    table, model = tmp_path / "table.csv", tmp_path / "model.safetensors"
    table.write_text("a\n1\n")
    elman.Network(1, 2, 1, seed=0).save(model)
    said = complaint(command, table, model)
    assert said.endswith(f"not a model: the arguments are swapped, {model} comes first")


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".keras", ".h5"])
def test_a_model_of_another_framework_names_convert(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x08\x07" + bytes(30))
    said = complaint("info", path)
    assert f"elman convert {path} {tmp_path / 'model.safetensors'}" in said


def test_a_state_dict_names_convert(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"weight_ih_l0": np.ones((2, 2), np.float32)}, path)
    assert complaint("info", path) == (
        f"{path}: this is a model of another framework: elman convert {path} OUT.safetensors"
        " converts it"
    )


def test_a_checkpoint_is_no_model(tmp_path):
    path = tmp_path / "run.ck"
    net = elman.Network(1, 2, 1, seed=0)
    elman.train(net, np.ones((5, 1)), np.zeros((5, 1)), epochs=1, seed=0, checkpoint=path)
    assert f"{path}: this is a checkpoint of a training run" in complaint("info", path)


def test_a_damaged_model_says_what_is_damaged(tmp_path):
    path = tmp_path / "model.safetensors"
    elman.Network(1, 2, 1, seed=0).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    said = complaint("info", path)
    assert "framework" not in said
    assert "truncated" in said or "expected" in said


def test_a_folder_and_a_missing_file_are_one_sentence(tmp_path):
    assert complaint("info", tmp_path) == f"{tmp_path}: this is a folder; expected a model file"
    missing = tmp_path / "no"
    assert complaint("info", missing) == f"{missing}: No such file or directory"


@pytest.mark.parametrize(
    ("contents", "kind"),
    [
        (b"load\n1.5\n", "text, such as CSV: elman.read_table"),
        (npy(), "an NPY array: numpy.load"),
        (b"PAR1" + bytes(90), "a Parquet file, a table: pandas.read_parquet"),
        (b"ARROW1" + bytes(90), "an Arrow file, a table: pandas.read_feather"),
        (gzip.compress(b"load\n1.5\n", mtime=0), "a gzip file: elman.read_table"),
        ("load\n1.5\n".encode("utf-16"), "text in UTF-16: elman.read_table"),
    ],
)
def test_load_says_what_a_table_is(tmp_path, contents, kind):
    path = tmp_path / "model.safetensors"
    path.write_bytes(contents)
    with pytest.raises(elman.UnsupportedModelError, match=kind):
        elman.load(path)


def test_info_gives_the_cost_of_a_step_and_of_a_stream(tmp_path):
    net = elman.Network(3, [8, 5], 2, seed=0)
    net.save(tmp_path / "model")
    facts = json.loads(answer("info", tmp_path / "model", "--json"))
    assert facts["multiply_adds"] == 3 * 8 + 8 * 8 + 8 * 5 + 5 * 5 + 5 * 2
    assert facts["packed_bytes"] == net.nbytes >= 4 * facts["multiply_adds"]
    assert facts["stream_bytes"] == net.stream().nbytes
    text = answer("info", tmp_path / "model").decode()
    assert re.search(r"^a step +163 multiply-adds$", text, re.MULTILINE)
    assert f"{net.nbytes:,} bytes of packed weights, {net.stream().nbytes:,} bytes per" in text


def test_a_network_with_a_reverse_layer_has_no_streams(tmp_path):
    elman.Network(3, 8, 2, seed=0, direction="bidirectional").save(tmp_path / "model")
    assert json.loads(answer("info", tmp_path / "model", "--json"))["stream_bytes"] is None
    assert "packed weights, no streams" in answer("info", tmp_path / "model").decode()
