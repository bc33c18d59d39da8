"""Checkpoints: resumed runs have the same bits, and invalid files are refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os

import numpy as np
import pytest

import elman
from elman import _container, _format
from fixtures.training import B, I, O, T, assert_same, network, train


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


@pytest.fixture
def y(rng):
    return rng.standard_normal((B, T, O))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


RUNS = {
    "adam": {},
    "momentum": {"optimizer": elman.SGD(momentum=0.9, nesterov=True), "batch_size": 1},
    "rmsprop": {"optimizer": elman.RMSprop(momentum=0.5, centered=True), "clip_norm": 0.1},
    "adagrad": {"optimizer": "adagrad", "train_initial_state": True},
    "windows": {"bptt_steps": 4, "update_every": 2, "carry_state": True},
    "cosine": {"schedule": "cosine", "epochs": 9},
    "best": {"validation": 0.3, "patience": 3, "learning_rate": 0.1, "epochs": 9},
    "unshuffled": {"shuffle": False, "weight_decay": 0.1, "threads": 2},
}


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in RUNS), ("adam", "float64")]
)
def test_a_run_resumes_from_any_epoch_to_the_same_bits(x, y, path, name, dtype):
    options, net = {"epochs": 6} | RUNS[name], network(dtype=dtype)
    whole = train(x, y, net, **options)
    for end in range(1, len(whole.history.epoch)):
        path.unlink(missing_ok=True)
        told = {"checkpoint": path, **options}
        train(x, y, net, callback=lambda record, _, end=end: record.epoch == end, **told)
        assert_same(train(x, y, net, **told), whole)


def test_the_same_call_writes_the_same_file(x, y, path):
    files = []
    for threads in (1, 1, 3):
        path.unlink(missing_ok=True)
        train(x, y, checkpoint=path, validation=0.3, threads=threads)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_run_that_has_ended_returns_the_same_and_more_epochs_go_on(x, y, path):
    ended = train(x, y, epochs=3, checkpoint=path)
    assert_same(train(x, y, epochs=3, checkpoint=path, callback=pytest.fail), ended)
    assert_same(train(x, y, epochs=7, checkpoint=path), train(x, y, epochs=7))
    with pytest.raises(elman.ArgumentError, match=r"^epochs: expected "):
        train(x, y, epochs=5, checkpoint=path)


def test_a_checkpoint_is_written_every_so_many_epochs_and_at_the_end(x, y, path):
    written = []

    def look(record, trainer):
        written.append(hashlib.sha256(path.read_bytes()).digest() if path.exists() else None)

    train(x, y, epochs=5, checkpoint=path, checkpoint_every=2, callback=look)
    assert written[:2] == [
        None,
        None,
    ]  # epoch 2's checkpoint is written after its callback
    assert written[2] == written[3] != written[4]
    assert hashlib.sha256(path.read_bytes()).digest() != written[4]


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 0.5},
        {"optimizer": "sgd"},
        {"batch_size": 3},
        {"seed": 1},
        {"shuffle": False},
        {"bptt_steps": 3},
        {"clip_norm": 1.0},
        {"carry_state": True},
        {"validation": 0.5},
        {"schedule": "linear"},
        {"train_initial_state": True},
        {"min_delta": 0.1},
        {"sample_weight": np.ones(B)},
        {"net": network(hidden_size=4)},
        {"net": network(activation="relu")},
        {"net": network(dtype="float64")},
        {"net": network(output_mean=[1, 2, 3])},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(x, y, path, other):
    train(x, y, checkpoint=path)
    before = path.read_bytes()
    sentence = "^checkpoint: expected "
    with pytest.raises(elman.ArgumentError, match=sentence):
        train(x, y, checkpoint=path, epochs=5, **other)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"patience": 3}, "the loss that patience or validation watch of .*, None, got 'loss':"),
        ({"net": network(hidden_size=4)}, "the net of "),
        ({"sample_weight": np.ones(B)}, "the shapes of x, y and the weights of "),
        ({"validation": 0.5}, "the shapes of x, y and the weights of "),
    ],
    ids=str,
)
def test_the_error_names_arguments(x, y, path, other, sentence):
    train(x, y, checkpoint=path)
    with pytest.raises(elman.ArgumentError, match=f"^checkpoint: expected {sentence}"):
        train(x, y, checkpoint=path, epochs=5, **other)


def refused(x, y, path):
    with pytest.raises(elman.ElmanError) as caught:
        train(x, y, checkpoint=path, epochs=5, callback=pytest.fail)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(x, y, path):
    for content in (b"", b"\0" * 100, b"hello" * 99, _format.dumps(network())):
        path.write_bytes(content)
        refused(x, y, path)
        assert path.read_bytes() == content


def test_a_damaged_checkpoint_is_refused(x, y, path, rng):
    train(x, y, checkpoint=path, validation=0.3)
    whole = path.read_bytes()
    for length in range(0, len(whole), 53):
        path.write_bytes(whole[:length])
        refused(x, y, path)
    for place in rng.integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        refused(x, y, path)


def test_a_checkpoint_without_its_history_is_refused(x, y, path):
    from elman.training import checkpoint as format

    train(x, y, checkpoint=path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = _container.parse(data)[1]
    del tensors["history.loss"]
    metadata["sha256"] = format._digest(metadata, tensors)
    path.write_bytes(_container.write(tensors, metadata))
    refused(x, y, path)


def test_a_checkpoint_is_no_model_and_a_missing_folder_is_named(x, y, path):
    train(x, y, checkpoint=path)
    with pytest.raises(elman.ModelFormatError, match=r"got 'elman-checkpoint': elman\.train\("):
        elman.load(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        train(x, y, checkpoint=path.parent / "missing" / "c", callback=pytest.fail)


def test_a_full_disk_keeps_the_old_checkpoint_and_the_result(x, y, path, monkeypatch):
    train(x, y, checkpoint=path)
    before = path.read_bytes()

    def fail(*names):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        with pytest.warns(RuntimeWarning, match=r"checkpoint: .* was not written: No space left"):
            result = train(x, y, checkpoint=path, epochs=5)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    assert_same(result, train(x, y, epochs=5))
    assert_same(train(x, y, checkpoint=path, epochs=5), result)


# --- forged checkpoints ---------------------------------------------------------------------------


def rewrite(path, change):
    """Change the progress and the tensors of a checkpoint, and correct its checksum."""
    from elman.training import checkpoint as format

    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors, progress = (
        _container.parse(data)[1],
        json.loads(metadata["progress"]),
    )
    change(progress, tensors)
    metadata["progress"] = json.dumps(progress)
    metadata["sha256"] = format._digest(metadata, tensors)
    path.write_bytes(_container.write(tensors, metadata))


@pytest.mark.parametrize(
    "change",
    [
        *({"updates": n} for n in ("x", None, -5, 2**63 - 1, 2**64, 1.5, True, [1])),
        *({"best_epoch": n} for n in ("x", 0, -1, 10**9, 1.0, True)),
    ],
    ids=str,
)
def test_impossible_progress_is_refused(x, y, path, change):
    train(x, y, checkpoint=path, validation=0.3)
    rewrite(path, lambda progress, tensors: progress.update(change))
    with pytest.raises(elman.ModelFormatError, match=f"^{path}: progress: expected "):
        train(x, y, checkpoint=path, validation=0.3, epochs=5, callback=pytest.fail)


@pytest.mark.parametrize(
    ("name", "history"),
    [
        ("loss", np.zeros((3, 1))),
        ("loss", np.zeros(2)),
        ("loss", np.zeros(3, np.float32)),
        ("validation_loss", np.zeros(2)),
        ("learning_rate", np.zeros(2)),
    ],
    ids=str,
)
def test_an_impossible_history_is_refused(x, y, path, name, history):
    train(x, y, checkpoint=path, validation=0.3)
    rewrite(path, lambda progress, tensors: tensors.update({f"history.{name}": history}))
    with pytest.raises(elman.ModelFormatError, match=rf"^{path}: .*history"):
        train(x, y, checkpoint=path, validation=0.3, epochs=5, callback=pytest.fail)


@pytest.mark.parametrize("dtype", [b"BF16", b"F8_E", b'I32"'])
def test_a_checkpoint_of_another_dtype_is_refused(x, y, path, dtype):
    train(x, y, checkpoint=path)
    name = b'"dtype":"F32"' if b'"dtype":"F32"' in path.read_bytes() else b'"dtype": "F32"'
    changed = name.replace(b"F32", dtype.strip(b'"'))
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(name, changed)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    with pytest.raises(elman.ModelFormatError, match=r": tensor .*: dtype: expected "):
        train(x, y, checkpoint=path, epochs=5, callback=pytest.fail)


def test_a_path_that_is_no_file_is_refused_and_not_waited_for(x, y, path):
    os.mkfifo(path)
    for name in (path, "/dev/zero"):
        with pytest.raises(elman.ModelFormatError, match=f"^{name}: expected "):
            train(x, y, checkpoint=name, callback=pytest.fail)
    with pytest.raises(IsADirectoryError):
        train(x, y, checkpoint=path.parent, callback=pytest.fail)
