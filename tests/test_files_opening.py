"""What a file is: text in any usual form is read, everything else is refused by its name."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import threading
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

import elman
from elman.files import opening
from elman.files.lines import LONGEST
from elman.files.reading import open_table
from fixtures.processes import python

pytestmark = pytest.mark.any_isa

TEXT = "wärme;b\n1,5;2\n3;4\n"
FRAME = elman.Frame({"wärme": [1.5, 3.0], "b": [2.0, 4.0]})


def zipped(**members):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return memory.getvalue()


def npy(array):
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


def with_wrong_sum(archive):
    """Return a zip archive with one wrong bit in the checksum of its first file."""
    place = archive.index(b"PK\1\2") + 16
    return archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1 :]


@pytest.fixture
def stored(tmp_path):
    def write(data):
        path = tmp_path / "data"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_line_end_and_compression_gives_the_same(stored, pack, encoding, end):
    assert elman.read_table(stored(pack(TEXT.replace("\n", end).encode(encoding)))) == FRAME


def test_an_archive_of_one_file_is_read(stored):
    files = {"folder/data.csv": TEXT, "__MACOSX/._data.csv": b"\0"}
    assert elman.read_table(stored(zipped(**files))) == FRAME
    assert elman.read_table(stored(gzip.compress(b"a\n") + gzip.compress(b"1\n")))["a"] == [1.0]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "expected lines of numbers, got none"),
        (b"\n# only a comment\n\n", "expected lines of numbers, got none"),
        (b"a,b\n", "expected lines below the header, got none"),
        (b"PAR1\x15\x04", "got a Parquet file: .*to_csv"),
        (b"ARROW1\0\0", "got an Arrow file"),
        (b"\x89HDF\r\n\x1a\n", "got an HDF5 file"),
        (b"SQLite format 3\0", "got an SQLite database"),
        (b"\x28\xb5\x2f\xfd\0", "compressed by zstd: decompress it first"),
        (pickle.dumps([1.0]), "got a pickle: .*numpy.save"),
        (save({"a": np.ones(3)}), "got a safetensors file: a model, not data"),
        (b'{"a": [1, 2]}', "got JSON: write it as CSV"),
        (b" [[1, 2]]", "got JSON"),
        (b"<html>", "got HTML or XML"),
        (b"\x93NUM", "got a damaged NPY file"),
        (b"\0" * 600, "got binary data of an unknown kind"),
        (b"\x01\x02\x03", "got binary data of an unknown kind"),
        (b"\0" * 257 + b"ustar", "got a tar archive"),
        ("1,2\n".encode("utf-32"), "got text in UTF-32"),
        (b"\xff\xfe1\0,\0\n\0\x00\xd8,\0", "got damaged text in UTF-16-LE"),
        (zipped(**{"a.csv": "1", "b.csv": "2"}), r"with a file, got 2: \['a.csv', 'b.csv'\]"),
        (zipped(), "with a file, got 0"),
        (zipped(**{"x.npy": "1", "y.npy": "2"}), r"with an array, got 2: \['x.npy', 'y.npy'\]"),
        (zipped(**{"xl/workbook.xml": "", "[Content_Types].xml": ""}), "Excel .*save it as CSV"),
        (zipped(**{"m/data.pkl": ""}), "got a PyTorch file: a model, not data"),
        (zipped(**{"config.json": "", "model.weights.h5": ""}), "got a Keras file"),
        (zipped(**{"\x1b[2J": "1", "b": "2"}), r"got 2: \['\\x1b\[2J', 'b'\]"),
        (b"PK\3\4" + b"x" * 100, "got a damaged zip archive"),
        (gzip.compress(b"1,2\n" * 1000, mtime=0)[:-10], "got damaged compressed data"),
        (lzma.compress(b"1,2\n" * 1000)[:-30], "got damaged compressed data"),
        (
            gzip.compress(gzip.compress(b"1\n", mtime=0), mtime=0),
            "got an archive within an archive",
        ),
        (bz2.compress(b"1,2\n" * 1000)[:-10], "got damaged compressed data"),
        (with_wrong_sum(zipped(a="1,2\n")), "got damaged compressed data: Bad CRC-32"),
        (b"ORC\n\2", "got an ORC file"),
        (zipped(a="1,2\n")[:20] + zipped(a="1,2\n")[40:], "got a damaged zip archive: "),
        (zipped(Q="1\n").replace(b"\0\0\0\0Q", b"\0" * 5), "got a damaged zip archive: .*name"),
        (b"<note>1</note>", "got HTML or XML"),
        (b"[-1, 2]", "got JSON"),
        (npy(np.ones((3, 2))), "expected a table of text, got an array: use numpy.load"),
    ],
    ids=lambda value: "data" if isinstance(value, bytes) else None,  # gzip's has the time
)
def test_what_is_no_table_is_named(stored, data, sentence):
    path = stored(data)
    with pytest.raises(elman.TableError, match=f"^{path}: .*{sentence}"):
        elman.read_table(path)


def test_names_may_begin_as_binary_files_do(stored):
    for name in ("PAR1", "FEA1", "ORC", "ARROW1", "Rar!", "BZh", "<DATE>", "[mm]"):
        assert elman.read_table(stored(f"{name},b\n1,2\n")).columns == (name, "b")


def test_an_archive_with_a_password_is_refused(stored):
    data = bytearray(zipped(a="1\n"))
    data[6] |= 1  # the flag of encryption, in the local header and in the directory
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(elman.TableError, match=r"encrypted.*: unpack it first"):
        elman.read_table(stored(bytes(data)))


def test_what_expands_without_end_is_refused(stored, monkeypatch):
    monkeypatch.setattr(opening, "SMALL", 1 << 16)
    path = stored(bz2.compress(b"0,0\n" * (1 << 20)))
    with pytest.raises(elman.LimitError, match="expected at most 200 times its size"):
        elman.read_table(path)


@pytest.mark.parametrize("begin", [b"", b"a,b\n1,2\n"])
def test_a_line_without_end_is_refused(stored, begin):
    path = stored(begin + b"1" * (LONGEST + (1 << 23)))
    line = begin.count(b"\n") + 1
    with pytest.raises(elman.LimitError, match=f"line {line}: expected a line of at most"):
        elman.read_table(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such devices")
def test_devices_end_at_once():
    with pytest.raises(elman.TableError, match=r"/dev/zero: .* binary"):
        elman.read_table("/dev/zero")
    with pytest.raises(elman.TableError, match=r"/dev/null: .* got none"):
        elman.read_table("/dev/null")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[gzip.compress(TEXT.encode())])
    writer.start()
    assert elman.read_table(path) == FRAME
    writer.join()


def test_standard_input_may_be_closed():
    code = "import sys; sys.stdin = None\nimport elman; elman.read_table('-')"
    assert "standard input: expected data, but it is closed" in python(code).stderr


def test_a_folder_and_a_missing_file_are_errors_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        elman.read_table(tmp_path)
    with pytest.raises(FileNotFoundError):
        elman.read_table(tmp_path / "no")
    with pytest.raises(elman.ArgumentTypeError, match="path: expected a path, got int"):
        elman.read_table(5)


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 2), (2, 3, 5, 2)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: zipped(**{"x.npy": data})])
def test_an_array_is_read_whole(stored, pack, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    path = stored(pack(npy(x)))
    with open_table(path) as source:
        np.testing.assert_array_equal(source.whole(2), x)
        assert isinstance(source.array, np.memmap) == (pack is bytes)


def header(shape, descr="'<f8'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "data",
    [
        header("(100000000000000000000,)"),
        header("(-1, 2)"),
        header("(2, 2"),
        header("{[]: 1}"),
        header("(2, 2)", "'O'"),
        header("(2, 2)", "'<U1'") + b"\0" * 16,
        header("(2, 2)", "'<c16'") + b"\0" * 64,
        header("(3, 2)") + b"\0" * 40,
    ],
)
def test_a_damaged_array_is_one_sentence(stored, pack, data):
    path = stored(pack(data))
    with (
        pytest.raises(elman.TableError, match=f"^{path}: expected an NPY file of numbers"),
        open_table(path) as source,
    ):
        source.whole(2)


def test_an_array_without_a_step_is_refused(stored):
    for shape in ((0, 2), (0, 5, 2)):
        with (
            open_table(stored(npy(np.ones(shape)))) as source,
            pytest.raises(elman.TableError, match="expected at least one step"),
        ):
            source.whole(2)
    with (
        pytest.raises(elman.ArgumentError, match="sequence: expected none with an array"),
        open_table(stored(npy(np.ones((3, 2)))), sequence="a"),
    ):
        pass
