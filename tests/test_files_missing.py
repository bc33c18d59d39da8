"""Missing values: refused, held, interpolated or left out, and the dates of a table."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest

import elman
from elman.errors import TableError
from elman.files import lines, missing
from elman.files.fields import MISSING
from elman.files.reading import open_table

pytestmark = pytest.mark.any_isa

KEYED = elman.Table(inputs=["x", "y"], sequence="id")


@pytest.fixture
def stored(tmp_path):
    def write(text):
        path = tmp_path / "data.csv"
        path.write_text(text)
        return path

    return write


def in_pieces_of(monkeypatch, size):
    """Read so many bytes at a time."""
    monkeypatch.setattr(lines, "BLOCK", size)
    monkeypatch.setattr(lines, "PIECE", size)


def blocks_of(path, width, table, policy):
    with open_table(path, table, missing=policy) as source:
        return list(source.blocks(width))


def values_of(*args):
    return np.concatenate([block.values for block in blocks_of(*args)]).tolist()


@pytest.mark.parametrize("word", sorted(MISSING))
def test_every_word_for_missing_is_refused_and_dropped(stored, word):
    path = stored(f"a,b\n1,2\n{word},4\n5,6\n")
    with pytest.raises(TableError, match="line 3, column a: expected a number, got "):
        values_of(path, 2, None, None)
    assert values_of(path, 2, None, "drop") == [[1, 2], [5, 6]]
    assert elman.read_table(path, missing="drop") == elman.Frame({"a": [1.0, 5.0], "b": [2.0, 6.0]})
    assert elman.read_table(path, columns=["b"])["b"].tolist() == [2, 4, 6]


INTERLEAVED = """id,at,x,y
p,1,1,10
q,2,100,0
p,3,,20
q,4,,NA
p,5,,
q,6,130,6
p,7,7,40
q,8,NaN,8
q,9,150,9
"""


@pytest.mark.parametrize("size", [8, 1 << 22])
def test_values_are_filled_within_their_sequence(stored, monkeypatch, size):
    in_pieces_of(monkeypatch, size)
    path = stored(INTERLEAVED)
    held = [[1, 10], [100, 0], [1, 20], [100, 0], [1, 20], [130, 6], [7, 40], [130, 8], [150, 9]]
    assert values_of(path, 2, KEYED, "hold") == held
    between = [[1, 10], [100, 0], [3, 20], [115, 3], [5, 30], [130, 6], [7, 40], [140, 8], [150, 9]]
    assert values_of(path, 2, KEYED, "interpolate") == between
    frame = elman.read_table(path, sequence="id", missing="interpolate")
    np.testing.assert_array_equal(np.stack([frame["x"], frame["y"]], axis=1), between)
    assert frame["id"].tolist() == list("pqpqpqpqq")


def test_the_bits_of_interpolation_do_not_depend_on_blocks(stored, monkeypatch):
    text = "id,x,y\np,0.1,1\nq,1,1\np,,1\nq,1,\np,,1\np,,1\np,0.7,1\nq,2,3\n"
    whole = values_of(stored(text), 2, KEYED, "interpolate")
    p = [0, 2, 4, 5, 6]
    assert np.array(whole)[p, 0].tolist() == np.interp(range(5), [0, 4], [0.1, 0.7]).tolist()
    for size in range(8, 60, 3):
        in_pieces_of(monkeypatch, size)
        assert values_of(stored(text), 2, KEYED, "interpolate") == whole


@pytest.mark.parametrize("size", [8, 1 << 22])
def test_a_line_that_is_left_out_takes_its_sequence_and_time_along(stored, monkeypatch, size):
    in_pieces_of(monkeypatch, size)
    text = INTERLEAVED.replace(",1,1,", ",2024-01-01,1,")
    blocks = blocks_of(stored(text), 2, KEYED, "drop")
    assert [key for block in blocks for key in block.keys] == list("pqqpq")
    assert [time for block in blocks for time in block.times] == ["2024-01-01", "2", "6", "7", "9"]
    assert [line for block in blocks for line in block.lines] == [2, 3, 7, 8, 10]


@pytest.mark.parametrize(
    ("policy", "text", "sentence"),
    [
        ("hold", "a\nNA\n1\n", "line 2, column a: expected a value before it to hold"),
        ("interpolate", "a\nNA\n1\n", "line 2, column a: expected a value before it to interpol"),
        ("interpolate", "a\n1\n-\n-\n", "line 3, column a: expected a value after it to interpol"),
        ("drop", "a\nNA\n", "expected lines without missing values, got none"),
        ("hold", "a\n1\nx\n", "line 3, column a: expected a number, got 'x'"),
        ("drop", "a\n1\ninf\n", "line 3, column a: expected a finite number, got 'inf'"),
    ],
)
def test_what_cannot_be_filled_is_named(stored, policy, text, sentence):
    path = stored(text)
    with pytest.raises(TableError, match=sentence):
        values_of(path, 1, elman.Table(inputs=["a"]), policy)
    if "before" in sentence or "after" in sentence:
        with pytest.raises(TableError, match=sentence):
            elman.read_table(path, missing=policy)


def test_lines_wait_only_so_long_for_a_value(stored, monkeypatch):
    monkeypatch.setattr(missing, "WAITING", 10)
    in_pieces_of(monkeypatch, 8)
    path = stored("a\n1\n" + "NA\n" * 20 + "2\n")
    with pytest.raises(elman.LimitError, match=r"line 3, column a: .* within 10 lines"):
        values_of(path, 1, elman.Table(inputs=["a"]), "interpolate")


def test_an_unknown_way_is_refused(stored):
    with pytest.raises(elman.ArgumentError, match="missing: expected hold, interpolate, drop"):
        elman.read_table(stored("a\n1\n"), missing="mean")


def test_a_line_without_its_time_has_no_calendar(stored):
    table = elman.Table(inputs=["x"], time="at", calendar=["hour"])
    clock = stored("at,x\n08:00,1\n")
    with pytest.raises(TableError, match="got '08:00', a time of day: write it behind its date"):
        values_of(clock, 3, table, None)
    path = stored("at,x\n2024-01-01 06:00,1\n,2\n2024-01-01 12:00,3\n")
    for policy in (None, "hold", "interpolate"):
        with pytest.raises(TableError, match="line 3, column at: expected a date, got ''"):
            values_of(path, 3, table, policy)
    np.testing.assert_allclose(
        values_of(path, 3, table, "drop"), [[1, 1, 0], [3, 0, -1]], atol=1e-15
    )
    path = stored("at,x\n2024-01-01 06:00,1\n2024-01-01 09:00,\n2024-01-01 12:00,3\n")
    np.testing.assert_allclose(values_of(path, 3, table, "interpolate")[1][0], 2)


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "time"),
    [
        ("2024-12-31", "2024-12-31"),
        ("2024-12-31 23:05", "2024-12-31T23:05"),
        ("2024-12-31T23:05:06.25Z", "2024-12-31T23:05:06.250"),
        ("2024-12-31 23:05:06+02:00", "2024-12-31T23:05:06"),
        ("2024/12/31 1:05", "2024-12-31T01:05"),
        ("31.12.2024", "2024-12-31"),
        ("31/12/2024 7:30", "2024-12-31T07:30"),
        ("12/31/2024 12:30 AM", "2024-12-31T00:30"),
        ("12/31/2024 1:05 pm", "2024-12-31T13:05"),
        ("1.2.2024", "2024-02-01"),
        ("2024-02-29", "2024-02-29"),
        ("2024-12", "2024-12-01"),
        ("2024/02", "2024-02-01"),
        ("2024-12-31 23", "2024-12-31T23:00"),
        ("2024-12-31T07", "2024-12-31T07:00"),
        ("31-Dec-2024", "2024-12-31"),
        ("1 august 2024 7:30", "2024-08-01T07:30"),
        ("Dec 2024", "2024-12-01"),
        ("May-2024", "2024-05-01"),
        ('"Sept. 3, 2024 1:05 PM"', "2024-09-03T13:05"),
        ('"Mon, 01 Jan 2024 10:20:30 GMT"', "2024-01-01T10:20:30"),
        ("31.12.24 23:05", "2024-12-31T23:05"),
        ("1/13/24 1:05 PM", "2024-01-13T13:05"),
        ("13/01/99", "1999-01-13"),
        ("1-jan-24 7:30", "2024-01-01T07:30"),
        ("31 Dec 69", "1969-12-31"),
        ("2014Q1", "2014-01-01"),
        ("2014-Q4", "2014-10-01"),
        ("20241231T230506", "2024-12-31T23:05:06"),
        ("20241231T2305Z", "2024-12-31T23:05"),
        ("20241231T230506.25+0200", "2024-12-31T23:05:06.250"),
        ("20241231 2305", "2024-12-31T23:05"),
        ("20241231 23:05", "2024-12-31T23:05"),
    ],
)
def test_a_column_of_dates_is_one_of_times(stored, field, time):
    frame = elman.read_table(stored(f"at,x\n{field},1\n"))
    assert frame["at"].dtype == "datetime64[us]"
    assert frame["at"][0] == np.datetime64(time, "us")


def test_two_digits_of_a_year_are_those_of_posix(stored):
    for mark in ("01.03.{}", "13/03/{}", "01-Mar-{}"):
        years = [f"{year:02d}" for year in range(100)]
        frame = elman.read_table(stored("at\n" + "\n".join(map(mark.format, years)) + "\n"))
        want = [datetime.strptime(year, "%y").year for year in years]
        assert frame["at"].astype("datetime64[Y]").astype(str).tolist() == list(map(str, want))


@pytest.mark.parametrize("form", ["{:04}-W{:02}-{}", "{:04}W{:02}{}"])
def test_weeks_are_those_of_iso(stored, form):
    days = [date(2019, 12, 25) + timedelta(days=i) for i in range(740)]  # 2020 has week 53
    fields = [form.format(*day.isocalendar()) for day in days]
    frame = elman.read_table(stored("at\n" + "\n".join(fields) + "\n"))
    assert frame["at"].astype("datetime64[D]").tolist() == days
    weeks = [field[:-2] if "-" in field else field[:-1] for field in fields]
    frame = elman.read_table(stored("at\n" + "\n".join(weeks) + "\n"))
    mondays = [date.fromisocalendar(*day.isocalendar()[:2], 1) for day in days]
    assert frame["at"].astype("datetime64[D]").tolist() == mondays


def test_eight_digits_are_days_if_the_whole_column_is(stored):
    days = [date(1900, 1, 1), date(2024, 2, 29), date(2100, 12, 31)]
    fields = [f"{day:%Y%m%d}" for day in days]
    frame = elman.read_table(stored("at,x\n" + ",1\n".join(fields) + ",1\n"))
    assert frame["at"].astype("datetime64[D]").tolist() == days
    frame = elman.read_table(stored(f"at\nNA\n{fields[0]}\n{fields[1]}\n"), missing="drop")
    assert frame["at"].astype("datetime64[D]").tolist() == days[:2]
    others = ("20240230", "18991231", "21010101", "20240102.0", "2.0240102e7", "+20240102", "7")
    for other in others:
        frame = elman.read_table(stored(f"at\n{fields[0]}\n{other}\n"))
        assert frame["at"].tolist() == [float(fields[0]), float(other)]
    assert elman.read_table(stored("at\n20240101\n20240101\n"))["at"].dtype == np.float64


def test_a_header_of_quarters_may_stand_above_a_gap(stored):
    frame = elman.read_table(stored("place,2024Q1,2024Q2\na,NA,2\nb,3,4\n"), missing="drop")
    assert frame.columns == ("place", "2024Q1", "2024Q2")
    assert frame["2024Q2"].tolist() == [4.0]


def test_a_header_of_dates_stands_above_numbers(stored):
    frame = elman.read_table(stored("2024-01,2024-02\n1.5,2\n3,4\n"))
    assert frame.columns == ("2024-01", "2024-02")
    assert frame["2024-01"].tolist() == [1.5, 3.0]
    frame = elman.read_table(stored("2024-01,1.5\n2024-02,3\n"))  # no header
    assert frame["1"].astype("datetime64[M]").astype(str).tolist() == ["2024-01", "2024-02"]


def test_one_date_says_for_its_column_which_number_is_the_month(stored):
    frame = elman.read_table(stored("at\n01/02/2024\n13/02/2024\n"))
    assert frame["at"].astype("datetime64[D]").astype(str).tolist() == ["2024-02-01", "2024-02-13"]
    frame = elman.read_table(stored("at\n01/02/2024\n01/13/2024\n"))
    assert frame["at"].astype("datetime64[D]").astype(str).tolist() == ["2024-01-02", "2024-01-13"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("01/02/2024\n02/03/2024", "line 2, column at: .* unambiguous date, got '01/02/"),
        ("2024-02-30", "line 2, column at: expected a date, got '2024-02-30', which does not"),
        ("2024-01-01\n2024-01-01 25:00", "line 3, column at: .* which does not exist"),
        ("13/01/2024\n01/13/2024", "line 3, column at: .* which does not exist"),
        ("2024-01-01 13:00 PM", "which does not exist"),
        ("30 Feb 2024", "expected a date, got '30 Feb 2024', which does not exist"),
        ("2024-12-31 25", "which does not exist"),
        ("01/02/24\n02/03/24", "line 2, column at: .* unambiguous date, got '01/02/24'"),
        ("2024-W53", "expected a date, got '2024-W53', which does not exist"),
        ("20240230T0000", "expected a date, got '20240230T0000', which does not exist"),
        ("20240101T2500", "which does not exist"),
        ("2024-01-01\nNA", "line 3, column at: expected a date, got 'NA'"),
    ],
)
def test_a_wrong_date_is_named(stored, text, sentence):
    with pytest.raises(TableError, match=sentence):
        elman.read_table(stored(f"at\n{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "2024\n2025",
        "today\nnow",
        "12:00\n13:00",
        "1.5.\n",
        "20240101",
        "2024-13",
        "1.2.24",  # a version
        "24-01-13",
        "Dec 24",
        "2024Q5",
        "2024-W1",
        "2024-W01-8",
        "2024-W011",
        "Dec",
        "May 5",
        "Sun 2024",
    ],
)
def test_what_only_resembles_a_date_is_none(stored, text):
    assert elman.read_table(stored(f"at\n{text}\n"))["at"].dtype != "datetime64[us]"


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000])
def test_unix_times_are_read_where_times_are_expected(stored, unit):
    table = elman.Table(inputs=["x"], time="at", calendar=["hour"])
    path = stored(f"at,x\n{1704088800 * unit},1\n")  # 2024-01-01 06:00 UTC
    np.testing.assert_allclose(values_of(path, 3, table, None), [[1, 1, 0]], atol=1e-15)
    assert elman.read_table(path)["at"].dtype == np.float64
