"""Output files: whole or not at all, under any name of a file, a stream or a device."""

import os
import stat
import threading

import pytest

import elman
from elman import _files
from elman.files.output import open_output, writes_directly

pytestmark = pytest.mark.any_isa


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "y.csv"
    path.write_bytes(b"old")
    return path


def test_a_file_appears_at_the_end(path):
    with open_output(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_leaves_the_old_file_and_gets_a_note(path, error):
    def write():
        with open_output(str(path)) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert raised.value is error
    assert error.__notes__ == [f"{path} was not written"]
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
def test_an_error_of_writing_names_the_file(path, monkeypatch, name):
    def fail(*args):
        raise OSError(28, "No space left on device", *args[:1])

    with monkeypatch.context() as full:
        if name == "write":
            if not os.path.exists("/dev/full"):
                pytest.skip("no /dev/full on this system")
            descriptor = os.open("/dev/full", os.O_WRONLY)
            full.setattr(_files, "_create", lambda *_: descriptor)
            full.setattr(os, "chmod", lambda *_: None)
        else:
            full.setattr(os, name, fail)
        with pytest.raises(OSError, match="No space left") as raised:
            _files.replace(path, b"x" * 100_000)
    assert (raised.value.filename, raised.value.filename2) == (str(path), None)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_links_and_permissions_are_kept(path, tmp_path):
    path.chmod(0o604)
    link = tmp_path / "link"
    link.symlink_to(path.name)
    with open_output(str(link)) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_source_is_refused_under_any_name(path, tmp_path):
    (tmp_path / "soft").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for name in ("y.csv", "soft", "hard"):
        with (
            pytest.raises(elman.ArgumentError, match=r"expected a file other than .*y\.csv"),
            open_output(str(tmp_path / name), sources=("elsewhere", str(path))),
        ):
            pytest.fail("it was opened")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_and_a_descriptor_are_written_directly(tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with open_output(str(fifo)) as file:
        file.write(b"lines")
    reader.join()
    assert got == [b"lines"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with (tmp_path / "z").open("wb") as other:
        name = f"/dev/fd/{other.fileno()}"
        with open_output(name) as file:
            assert not file.seekable()
            file.write(b"more")
        assert writes_directly(name)
    assert (tmp_path / "z").read_bytes() == b"more"
    assert not writes_directly(str(tmp_path / "z"))
    assert not writes_directly(str(tmp_path / "missing"))


def test_a_descriptor_that_is_closed_is_named():
    with pytest.raises(OSError, match="'/dev/fd/987'"), open_output("/dev/fd/987"):
        pass
