"""Numbers as text: the shortest that reads back, and the same bytes with and without PyArrow."""

import io
import sys

import numpy as np
import pytest

from elman.files import writing

pytestmark = pytest.mark.any_isa


def values(dtype):
    """Numbers of every magnitude, and those where one power of ten or two follows another."""
    kind = np.dtype(dtype)
    bits = np.dtype(f"u{kind.itemsize}")
    rng = np.random.default_rng(0)
    anything = rng.integers(0, 2 ** (8 * bits.itemsize), 20_000, bits, endpoint=False).view(kind)
    two = np.ldexp(1.0, np.arange(-149, 128)).astype(kind)
    ten = (10.0 ** np.arange(-37, 38)).astype(kind)
    usual = (1 / (1 + np.exp(-rng.standard_normal(5000)))).astype(kind)
    small = np.exp(rng.uniform(-30, 0, 5000)).astype(kind)
    short = (np.arange(-1000, 1000) / 8).astype(kind)
    sizes = np.concatenate([two, ten, usual, small, short])
    near = [np.nextafter(sizes, kind.type(end)) for end in (0, np.inf)]
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf], kind)
    found = np.concatenate([anything[~np.isnan(anything)], sizes, -sizes, *near, special])
    return found[-(len(found) // 4 * 4) :].reshape(-1, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_reads_back_from_its_shortest_text(dtype, monkeypatch):
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    x = values(dtype)
    text = bytes(writing.csv_lines([], x)).decode()
    fields = [line.split(",") for line in text.splitlines()]
    back = np.array([[float(field) for field in row] for row in fields]).astype(dtype)
    assert np.array_equal(back, x, equal_nan=True)
    assert np.array_equal(np.signbit(back), np.signbit(x) & ~np.isnan(x))
    with np.errstate(all="ignore"):
        want = [[repr(float(str(v))) for v in row] for row in x]
    assert fields == want
    assert fields == [[writing.number(v) for v in row] for row in x]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pyarrow_writes_the_same_bytes(dtype, monkeypatch):
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    x = values(dtype)
    texts = [["é,", *["m1"] * (len(x) - 1)], ['"'] * len(x)]
    with_it = bytes(writing.csv_lines(texts, x))
    monkeypatch.delitem(sys.modules, "pyarrow")
    assert bytes(writing.csv_lines(texts, x)) == with_it
    assert bytes(writing.csv_lines([], x[:0])) == b""


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("m 1", "m 1"),
        ("", ""),
        ("a,b", '"a,b"'),
        ('say "a"', '"say ""a"""'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("#1", '"#1"'),
        (" a", '" a"'),
        ("a\t", '"a\t"'),
    ],
)
def test_a_field_is_quoted_where_it_would_be_read_as_something_else(text, field):
    assert writing.quoted(text) == field
    line = bytes(writing.csv_lines([["x", text]], np.zeros((2, 1))))
    assert line.decode() == f"x,0.0\n{field},0.0\n"
    assert writing.csv_header(["x", text]).decode() == f"x,{field}\n"


@pytest.mark.parametrize("shape", [None, (10, 4), (2, 5, 4)])
def test_npy_is_written_piece_by_piece(tmp_path, shape):
    y = np.arange(40, dtype=np.float32).reshape(10, 4)
    pieces = [y[:3], y[3:3], y[3:]]
    with (tmp_path / "y.npy").open("wb") as file:
        writing.write_npy(file, iter(pieces), shape)
    once = io.BytesIO()
    once.seekable = lambda: False
    writing.write_npy(once, iter(pieces), shape)
    for got in (np.load(tmp_path / "y.npy"), np.load(io.BytesIO(once.getvalue()))):
        assert got.dtype == y.dtype
        assert np.array_equal(got, y.reshape(shape or y.shape))
