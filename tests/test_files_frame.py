"""`elman.Frame`: named columns without pandas."""

import pickle

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa

TIMES = np.array(["2024-01-01T00:30", "NaT"], "datetime64[m]")


@pytest.fixture
def frame():
    return elman.Frame({"city": ["Rome", "Oslo"], "load": [1.5, np.nan], "n": [1, 2], "at": TIMES})


def test_columns_are_read_only_arrays(frame):
    assert frame.columns == ("city", "load", "n", "at")
    assert len(frame) == 2
    assert "load" in frame
    assert "Load" not in frame
    assert [frame[name].dtype for name in frame.columns] == [
        object,
        np.float64,
        np.int64,
        "datetime64[us]",
    ]
    assert frame["city"].tolist() == ["Rome", "Oslo"]
    with pytest.raises(ValueError, match="read-only"):
        frame["load"][0] = 1
    with pytest.raises(AttributeError):
        frame.columns = ()


def test_the_arrays_that_it_was_made_of_stay_writeable():
    values = np.zeros(2)
    elman.Frame({"a": values})
    values[0] = 1


def test_rows_and_columns_are_chosen(frame):
    assert frame[["n", "city"]] == elman.Frame({"n": [1, 2], "city": ["Rome", "Oslo"]})
    assert frame[1:]["city"].tolist() == ["Oslo"]
    with pytest.raises(elman.ArgumentError, match=r"expected one of .*'city', .* got 'x'"):
        frame["x"]


def test_equality_is_that_of_names_kinds_and_values(frame):
    same = elman.Frame({name: frame[name] for name in frame.columns})
    assert frame == same
    assert frame == pickle.loads(pickle.dumps(frame))
    assert frame != frame[["load", "city", "n", "at"]]
    assert frame != frame[:1]
    assert elman.Frame({"n": [1]}) != elman.Frame({"n": [1.0]})
    assert elman.Frame({"n": [1.0]}) != elman.Frame({"n": [2.0]})
    assert frame != {"city": 1}
    with pytest.raises(TypeError):
        hash(frame)


def test_a_network_reads_it_as_a_data_frame():
    table = elman.Table(inputs=["b", "a"])
    net = elman.Network(2, 3, 1, seed=0, table=table)
    frame = elman.Frame({"a": [1.0, 2.0], "x": ["p", "q"], "b": [3.0, 4.0]})
    np.testing.assert_array_equal(net(frame), net([[3.0, 1.0], [4.0, 2.0]]))
    bare = elman.Network(2, 3, 1, seed=0)
    np.testing.assert_array_equal(bare(frame[["b", "a"]]), net(frame))
    with pytest.raises(elman.DTypeError, match="'x': expected real numbers, got texts"):
        np.asarray(frame)


def test_it_is_printed_in_a_few_lines(frame):
    assert repr(frame) == ("city  load  n  at\nRome   1.5  1  2024-01-01 00:30:00\nOslo   nan  2")
    assert repr(elman.Frame({})) == "Frame({})"
    long = elman.Frame({"n": np.arange(1000)})
    assert repr(long).splitlines()[-3:] == ["998", "999", "[1000 rows]"]
    assert len(repr(long).splitlines()) == 13
    evil = elman.Frame({"\x1b[2J": ["<b>\x1b"]})
    assert "\x1b" not in repr(evil) + evil._repr_html_()
    assert "<b>" not in evil._repr_html_()
    assert frame._repr_html_().count("<tr>") == 3


@pytest.mark.parametrize(
    ("columns", "error", "sentence"),
    [
        ([1, 2], elman.ArgumentTypeError, "columns: expected a mapping .* got list"),
        ({1: [1]}, elman.ArgumentTypeError, "columns: expected names of type str, got int"),
        ({"a": [1], "b": [1, 2]}, elman.ShapeError, "'b': expected 1 rows, got 2"),
        ({"a": [[1]]}, elman.ShapeError, r"'a': expected one axis, got \(1, 1\)"),
        ({"a": [1j]}, elman.DTypeError, "'a': expected real numbers, texts or times"),
        ({"a": [None]}, elman.DTypeError, "'a': expected real numbers, .* got NoneType"),
    ],
)
def test_wrong_columns_are_refused(columns, error, sentence):
    with pytest.raises(error, match=sentence):
        elman.Frame(columns)


def test_pandas_gets_the_same_columns(frame):
    pytest.importorskip("pandas")
    converted = frame.to_frame()
    assert list(converted.columns) == list(frame.columns)
    np.testing.assert_array_equal(converted["load"].to_numpy(), frame["load"])
    assert str(converted["at"].dtype) == "datetime64[us]"
