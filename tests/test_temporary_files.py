"""Temporary files: those of killed processes are removed, those of other writers are not."""

from __future__ import annotations

import errno
import os
import sys

import numpy as np
import pytest

import elman
from elman import _files
from elman.files.output import open_output
from fixtures.model_files import run_python

pytestmark = [
    pytest.mark.any_isa,
    pytest.mark.skipif(sys.platform == "win32", reason="nobody can remove a file that is open"),
]
DATA = b"old"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(DATA)
    return path


def assert_alone(path):
    assert os.listdir(path.parent) == [path.name]


@pytest.fixture
def abandoned(path):
    """Return a temporary file as a process that was killed leaves it."""
    temporary = path.with_name(".elman-0.tmp")
    temporary.write_bytes(b"half of a model")
    return temporary


@pytest.mark.parametrize("how", ["save", "checkpoint", "table", "onnx"])
def test_what_a_killed_process_left_is_removed(path, abandoned, how):
    folder = path.parent
    if how == "save":
        elman.Network(1, 2, 1).save(path)
    elif how == "checkpoint":
        net = elman.Network(1, 2, 1)
        x = np.zeros((2, 3, 1))
        elman.train(net, x, x, epochs=1, checkpoint=folder / "run.ckpt")
    elif how == "table":
        with open_output(str(folder / "out.csv")) as file:
            file.write(b"y\n1\n")
    else:
        pytest.importorskip("onnx")
        elman.to_onnx(elman.Network(1, 2, 1), folder / "model.onnx")
    assert not list(folder.glob(".*"))


def test_writers_at_the_same_time_do_not_remove_the_files_of_each_other(path, tmp_path):
    with _files.replacing(path) as first:
        first.write(b"first")
        with _files.replacing(path) as second:
            second.write(b"second")
            _files.replace(tmp_path / "third", b"third")
            assert sorted(tmp_path.glob(".*")) == [tmp_path / f".elman-{i}.tmp" for i in (0, 1)]
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "third"])


def test_a_writer_that_loses_its_file_before_it_is_locked_makes_another(path, monkeypatch):
    """Another takes it for abandoned: it has no lock yet."""
    lock, calls = _files._lock, []

    def lose_then_lock(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            assert _files._remove_abandoned(str(path.with_name(".elman-0.tmp")))
        lock(descriptor)

    monkeypatch.setattr(_files, "_lock", lose_then_lock)
    _files.replace(path, b"new")
    assert len(calls) > 2
    assert path.read_bytes() == b"new"
    assert_alone(path)


def test_a_writer_whose_file_was_removed_fails_and_leaves_the_others_alone(path):
    """As on a file system whose locks are not shared: another machine removed it, and writes."""
    temporary = path.with_name(".elman-0.tmp")

    def write():
        with _files.replacing(path) as file:
            file.write(b"mine")
            temporary.unlink()
            temporary.write_bytes(b"of another")

    with pytest.raises(FileNotFoundError, match="model"):
        write()
    assert temporary.read_bytes() == b"of another"
    assert path.read_bytes() == DATA


def test_without_locks_nothing_is_removed(path, abandoned, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_files, "_lock", fail)
    _files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert abandoned.exists()


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_temporary_file_is_left_alone(path, kind):
    """Nothing is written through a link that another put in the place of a temporary file."""
    stranger = path.with_name(".elman-0.tmp")
    if kind == "fifo":
        os.mkfifo(stranger)
    elif kind == "folder":
        stranger.mkdir()
    else:
        path.with_name("victim").write_bytes(b"victim")
        stranger.symlink_to("victim")
    _files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert stranger.is_symlink() or stranger.exists()
    if kind == "link":
        assert path.with_name("victim").read_bytes() == b"victim"


def test_many_processes_that_write_and_are_killed_never_tear_a_file(tmp_path):
    """Six writers of two files are killed in turn."""
    code = """
import os, pathlib, random, signal, sys, time
from elman import _files

folder = pathlib.Path(sys.argv[1])
random.seed(1)

def writer(number):
    if child := os.fork():
        return child
    while True:
        _files.replace(folder / f"model{number % 2}", bytes([number]) * 100_000)

children = [writer(number) for number in range(6)]
for _ in range(60):
    time.sleep(random.uniform(0, 0.01))
    number = random.randrange(6)
    os.kill(children[number], signal.SIGKILL)
    os.waitpid(children[number], 0)
    for name in ("model0", "model1"):
        if (folder / name).exists():
            data = (folder / name).read_bytes()
            assert len(data) == 100_000 and len(set(data)) == 1
    children[number] = writer(number)
for child in children:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "a writer failed"
left = [path.name for path in folder.glob(".*")]
assert len(left) <= 6 and all(name.startswith(".elman-") for name in left), left
print(len(left))
"""
    assert 0 <= int(run_python(code, tmp_path)) <= 6


@pytest.mark.parametrize("name", [".elman-0.tmp", ".elman-12.tmp"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_model_cannot_have_a_name_that_is_removed(tmp_path, name, linked):
    target = path = tmp_path / name
    if linked:
        path = tmp_path / "model"
        path.symlink_to(name)
    for write in (elman.Network(1, 2, 1).save, lambda p: _files.require_writable(str(p))):
        with pytest.raises(elman.ArgumentError, match=r"^path: expected another name, got .*"):
            write(path)
    assert not target.exists()
    elman.Network(1, 2, 1).save(tmp_path / ".elman-0.tmp.safetensors")


def test_a_python_without_fcntl_writes_without_locks(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    _files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert_alone(path)


@pytest.mark.parametrize("moment", ["open", "_lock", "_require_own"])
def test_an_interrupt_while_the_file_is_created_leaves_nothing(path, monkeypatch, moment):
    module = os if moment == "open" else _files
    real = getattr(module, moment)

    def interrupted(*arguments, **named):
        real(*arguments, **named)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, moment, interrupted)
    with pytest.raises(KeyboardInterrupt), _files.replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == DATA
    assert_alone(path)
