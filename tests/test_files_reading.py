"""Tables of text: separators, headers, columns by name, numbers to the last bit."""

import io
import random
from itertools import chain

import numpy as np
import pytest

import elman
from elman.errors import TableError
from elman.files import lines as lines_of
from elman.files import parsing
from elman.files.lines import LineReader, Lines
from elman.files.parsing import Parser
from elman.files.reading import open_table

pytestmark = pytest.mark.any_isa


@pytest.fixture
def stored(tmp_path):
    def write(text):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode())
        return path

    return write


def values_of(path, width, table=None, **options):
    """Return the inputs, which blocks and rows agree about."""
    with open_table(path, table, **options) as source:
        blocks = list(source.blocks(width))
    with open_table(path, table, **options) as source:
        rows = list(source.rows(width))
    values = np.concatenate([block.values for block in blocks]).tolist()
    assert [row for _, _, row in rows] == values
    for i, column in enumerate(("keys", "times")):
        parts = [getattr(block, column) for block in blocks]
        found = None if parts[0] is None else list(chain.from_iterable(parts))
        assert [row[i] for row in rows] == (found or [""] * len(rows))
    return values


# --- separators, numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1.5,-2e3\n.5,4\n",
        "a;b\n1.5;-2e3\n.5;4\n",
        "a;b\n1,5;-2e3\n,5;4\n",
        "a\tb\n1,5\t-2e3\n,5\t4\n",
        "a b\n1.5 -2e3\n.5 4\n",
        " a   b\n  1.5  -2e3 \n.5     4\n",
        '# written by hand\n\n"a", "b"\n"1.5", -2e3\n\n  # and more\n.5,"4"',
        "a,b\n+1.5,-2E+03\n5e-1,4.\n",
        "sep=;\r\na;b\r\n1,5;-2e3\r\n,5;4\r\n",
        "sep=\t\na\tb\n1.5\t-2e3\n.5\t4\n",
    ],
)
def test_separators_and_decimal_marks_are_recognized(stored, text):
    frame = elman.read_table(stored(text))
    assert frame == elman.Frame({"a": [1.5, 0.5], "b": [-2000.0, 4.0]})


def test_the_separator_is_the_one_that_the_next_line_agrees_with(stored):
    frame = elman.read_table(stored('a;b\tx,y\tc\n1\t2,5\t"k; ""l"""\n3\t4\t"m, n; o"\n'))
    assert frame.columns == ("a;b", "x,y", "c")
    assert frame["x,y"].tolist() == [2.5, 4.0]
    assert frame["c"].tolist() == ['k; "l"', "m, n; o"]
    frame = elman.read_table(stored("x,y\tb\n1,5\tRome, Italy; or not\n"))
    assert frame == elman.Frame({"x,y": [1.5], "b": ["Rome, Italy; or not"]})


def test_quotes_in_a_comment_do_not_take_lines_along(stored):
    frame = elman.read_table(stored('a,b\n # 5" pipe\n1,2\n\t# 6" pipe\n3,4\n'))
    assert frame == elman.Frame({"a": [1.0, 3.0], "b": [2.0, 4.0]})
    frame = elman.read_table(stored('a,b\n#N/A,"two\nlines"\n1,c\n'), columns=["b"])
    assert frame["b"].tolist() == ["two\nlines", "c"]


def test_tabs_beside_quotes_separate_empty_fields(stored):
    with pytest.raises(TableError, match=r"line 2: .* got '\\t' expected after"):
        elman.read_table(stored('a\tb\n"1"x\t2\n'))
    frame = elman.read_table(stored('a\tb\tc\n\t"x"\t1\n"y"\tz\t\n'), columns=["a", "b"])
    assert frame == elman.Frame({"a": ["", "y"], "b": ["x", "z"]})


def test_separators_within_names_and_quotes_are_none(stored):
    frame = elman.read_table(stored('Wind, m/s;"a;b"\n1,5;2\n'))
    assert frame == elman.Frame({"Wind, m/s": [1.5], "a;b": [2.0]})
    frame = elman.read_table(stored('name,x\n"Rome, Italy",1\n"two\nlines",2\n"say ""a""",3\n'))
    assert frame["name"].tolist() == ["Rome, Italy", "two\nlines", 'say "a"']


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1\n", "line 2: expected 2 fields separated by commas, got 1"),
        ("a;b\n1,2\n", "line 2: expected 2 fields separated by semicolons, got 1"),
        ("a\n1,5\n", "line 2: expected 1 field, got 2"),
        ("a b\n1 2\n1\n", "line 3: expected 2 fields separated by blanks, got 1"),
        ("x,y;z\nab,c;d\n", "line 1: expected .* one separator, got semicolons or commas"),
        ("a;b\n1,5;2\n2.5;1\n", "line 3, column a: expected the decimal mark ',' as before"),
        ("a;b\n1.5;2\n2,5;1\n", "line 3, column a: expected the decimal mark '.' as before"),
        (
            'a,b\n1,"1,5"\n',
            "column b: expected a number, got '1,5': a decimal comma needs ; or tabs",
        ),
        ('a,b\n1,"1,234"\n', "got '1,234': write numbers without thousands separators"),
        ("a;b\n1;1.234,5\n", "got '1.234,5': write numbers without thousands separators"),
        ("a,b\n1,inf\n", "line 2, column b: expected a finite number, got 'inf'"),
        ("a,b\n1,1e999\n", "expected a finite number, got '1e999'"),
        ("a,b\n1,1_0\n", "expected a number, got '1_0'"),
        ("a,b\n1,\u0661\n", "expected a number, got '\u0661'"),
        ("a,b\n1,0x10\n", "expected a number, got '0x10'"),
        ("a,b\n1,\n", "expected a number, got an empty field: hold, interpolate or drop"),
        ("a,b\n1,NaN\n", "expected a number, got the missing value 'NaN': hold"),
        ("a,b\n#N/A,1\n", "column a: expected a number, got the missing value '#N/A'"),
        ("a,b\n#DIV/0!,1\n", "column a: expected a number, got '#DIV/0!'"),
        ("a,b\n1,\x1b[31m\n", r"line 2: expected text, got the character '\\x1b'"),
        ("a,b\n1,\x9b31m\n", r"line 2: expected text, got the character '\\x9b'"),
        ('a,b\n1,"2\n', "line 2: expected a closing quote"),
        ('a,b\n1,"2"x\n', "line 2: expected fields"),
        ("a,b\n1," + "x" * 100 + "\n", "expected a number, got 'x{40}...'"),
        ("a\x1b,b\n1,2\n", r"line 1: expected text, got the character '\\x1b'"),
    ],
)
def test_a_wrong_line_is_named(stored, text, sentence):
    path = stored(text)
    for read in (
        lambda: values_of(path, 2),
        lambda: values_of(path, 1, elman.Table(inputs=["b"])),
    )[: 1 if "column a" in sentence or "\n1,5\n" in text else 2]:
        with pytest.raises(TableError, match=sentence):
            read()


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,2\n3,4\n", ["1", "2"]),
        ("nan,1\n3,4\n", None),
        ("2024-01-01,x\n2024-01-02,y\n", ["1", "2"]),
        ("0,1,2,3\n5,6,7,8\n", ["0", "1", "2", "3"]),
        ("0,1,2,3\n4,5,6,8\n", ["0", "1", "2", "3"]),
        ("0,1\n0.5,6\n", ["0", "1"]),
        (",0\n0,0.5\n1,0.25\n", ["0"]),
        (",a\n0,0.5\n1,0.25\n", ["a"]),
        ('"","a"\n"1",0.5\n', ["a"]),
        (",a\n2024-01-01,0.5\n", ["index", "a"]),
        ("a,b,\n1,2,\n", ["a", "b"]),
        ("a b\n1\n2\n", ["a b"]),
        ("0\n1\n", ["1"]),
        ("class,0,1\n0,0.5,0.5\n", ["class", "0", "1"]),
        ("id,class,0,1\na,1,0.5,0.5\n", ["id", "class", "0", "1"]),
        (",a,0,1\n0,5,6,7\n", ["a", "0", "1"]),
        ("a,0\nb,1\n", ["1", "2"]),
        ("a,0,2\nb,1,2\n", ["1", "2", "3"]),
    ],
)
def test_a_header_is_recognized(stored, text, names):
    path = stored(text)
    if names is None:
        with pytest.raises(TableError, match=r"line 1, column 1: .* 'nan'"):
            values_of(path, 2)
        return
    assert elman.read_table(path).columns == tuple(names)


@pytest.mark.parametrize("text", ["0,1\n1,0\n", "0,1,2\n7,8,9\n", "0,1,2,3\n4,5,6,7\n"])
def test_a_header_that_could_be_numbers_is_refused(stored, text):
    with pytest.raises(TableError, match=r"line 1: expected names or numbers, .* write 0.0"):
        elman.read_table(stored(text))
    names = text.split("\n")[0].split(",")  # a model whose columns have these names knows
    rows = [[float(field) for field in text.split("\n")[1].split(",")]]
    assert values_of(stored(text), len(names), elman.Table(inputs=names)) == rows


def test_names_beside_numbers_are_a_header_that_could_be_data(stored):
    path = stored("id,0,1\na,2.5,3\n")
    with pytest.raises(TableError, match=r"line 1: expected names or numbers, .* write 0.0"):
        elman.read_table(path)
    table = elman.Table(inputs=["0", "1"], sequence="id")
    assert values_of(path, 2, table) == [[2.5, 3.0]]


def test_what_is_passed_over_is_said(stored):
    with open_table(stored(",a\n0,0.5\n")) as source:
        assert source.notes == [f"{source.name}: the first column has no name and is not read"]
    with open_table(stored(",a\n0,0.5\n"), elman.Table(inputs=["a"])) as source:
        assert source.notes == []


def test_what_pandas_writes_is_read(stored):
    pd = pytest.importorskip("pandas")
    x = np.random.default_rng(0).standard_normal((50, 3))
    for frame in (pd.DataFrame(x), pd.DataFrame(x, columns=["a", "b", "c"])):
        for options in ({}, {"index": False}, {"sep": ";", "decimal": ","}, {"sep": "\t"}):
            assert values_of(stored(frame.to_csv(**options)), 3) == x.tolist()
    frame.index = pd.date_range("2024-01-01", periods=50, freq="h")
    with open_table(stored(frame.to_csv())) as source:
        (block,) = source.blocks(3)
    assert block.values.tolist() == x.tolist()
    assert (source.time, block.times) == ("index", list(map(str, frame.index)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,\n1,2\n", "expected a name for every column"),
        ("a,a\n1,2\n", "expected different names of columns, got 'a' twice"),
    ],
)
def test_columns_need_different_names(stored, text, sentence):
    with pytest.raises(TableError, match=sentence):
        elman.read_table(stored(text))
    assert elman.read_table(stored("b,,\n1,2,3\n"), columns=["b"]) == elman.Frame({"b": [1.0]})


# --- columns of a model ---------------------------------------------------------------------------

WEATHER = elman.Table(inputs=["temp", "wind"])


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("temp,wind\n1,3\n", [1, 3]),
        ("wind,temp\n1,3\n", [3, 1]),
        ("wind, Temp\n1,3\n", [3, 1]),
        ("hum;w ind;temp\n9;1,5;3\n", [3, 1.5]),
        ("TEMP,temp,wind\n9,1,3\n", [1, 3]),
        ("1,3\n", [1, 3]),
        ("2024-01-01 00:00,1,3\n", [1, 3]),
    ],
)
def test_a_model_finds_its_columns(stored, text, row):
    assert values_of(stored(text), 2, WEATHER) == [row]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "hum,temp\n99,3\n",
            "expected the column 'wind', an input of the model, got 'hum', 'temp'",
        ),
        ("temp\n3\n", "expected the column 'wind', .*, got 'temp'"),
        ("Temp,TEMP,wind\n1,2,3\n", "expected one column 'temp', .*, got 'Temp', 'TEMP'"),
        ("wind,wind,temp\n1,2,3\n", "expected one column 'wind', .*, got 'wind', 'wind'"),
        ("date;temp\n1,2\n", "line 2: expected 2 fields separated by semicolons, got 1"),
        ("temp\n3,1\n", "line 2: expected 1 field, got 2"),
        ("1,2,3\n", "expected 2 columns of inputs, got 3"),
    ],
)
def test_a_model_refuses_other_columns(stored, text, sentence):
    with pytest.raises(TableError, match=sentence):
        values_of(stored(text), 2, WEATHER)


def test_a_table_of_dates_has_no_inputs(stored):
    with pytest.raises(TableError, match=r"expected 1 column of inputs, got 0$"):
        values_of(stored("at\n2024-01-01\n"), 1)


def test_columns_without_names_are_known_by_their_numbers(stored):
    path = stored("1,2,3\n4,5,6\n")
    assert values_of(path, 2, elman.Table(inputs=["3", "1"])) == [[3, 1], [6, 4]]
    assert values_of(path, 2, elman.Table(inputs=["1", "3"], sequence="2")) == [[1, 3], [4, 6]]
    path = stored("1,2\n4,5\n")  # only the two that the model read
    assert values_of(path, 2, elman.Table(inputs=["2", "3"])) == [[1, 2], [4, 5]]
    path = stored("x,y\n4,5\n")
    assert values_of(path, 2, elman.Table(inputs=["1", "2"])) == [[4, 5]]


def test_sequences_and_times_are_passed_through(stored):
    text = "id,time,temp,wind\n007,2024-01-01T00:00Z,1,2\nb,,3,4\n"
    for table, sequence in (
        (None, "id"),
        (elman.Table(inputs=["temp", "wind"], sequence="id"), None),
        (elman.Table(inputs=["temp", "wind"], sequence="id", time="time"), "id"),
    ):
        with open_table(stored(text), table, sequence=sequence) as source:
            (block,) = source.blocks(2)
            assert (source.header, source.sequence, source.time) == (
                ("id", "time", "temp", "wind"),
                "id",
                "time",
            )
        assert (block.keys, block.times) == (["007", "b"], ["2024-01-01T00:00Z", ""])
        assert block.lines.tolist() == [2, 3]
        assert values_of(stored(text), 2, table, sequence=sequence) == [[1, 2], [3, 4]]


def test_the_column_of_sequences_must_agree_with_the_model(stored):
    path = stored("id,x\na,1\n")
    table = elman.Table(inputs=["x"], sequence="id")
    with (
        pytest.raises(elman.ArgumentError, match=r"sequence: expected 'id', .*, got 'x'"),
        open_table(path, table, sequence="x"),
    ):
        pass
    with (
        pytest.raises(TableError, match="expected the column 'machine', the sequence of each"),
        open_table(path, sequence="machine"),
    ):
        pass
    with pytest.raises(TableError, match=r"line 3, column id: .* sequence .* empty field"):
        values_of(stored("id,x\na,1\n,2\n"), 1, table)
    for given in ({}, {"missing": "hold"}):
        with pytest.raises(TableError, match=r"line 3, column id: .* sequence .* empty field"):
            elman.read_table(path, sequence="id", **given)


def test_the_calendar_is_computed_from_the_times(stored):
    table = elman.Table(inputs=["x"], time="at", calendar=["hour", "weekday"])
    for time, other in (
        ("2024-01-01 06:00", "2024-01-03 18:00"),  # a Monday and a Wednesday
        ("01.01.2024 6:00", "03.01.2024 18:00"),
        ("2024-01-01T06:00:00+05:00", "2024-01-03T18:00:00-03:30"),
        ("1704088800", "1704304800"),
    ):
        got = np.array(values_of(stored(f"x,at\n5,{time}\n6,{other}\n"), 5, table))
        turns = np.array([[1 / 4, 1 / 28], [3 / 4, 2 / 7 + 3 / 28]]) * 2 * np.pi
        want = np.stack([np.sin(turns), np.cos(turns)], axis=2).reshape(2, 4)
        np.testing.assert_allclose(got, np.hstack([[[5], [6]], want]), atol=1e-14)
    with pytest.raises(TableError, match="expected the column 'at', the times of the model"):
        values_of(stored("x,when\n5,2024-01-01\n"), 5, table)
    with pytest.raises(TableError, match="expected a header, to find the times 'at'"):
        values_of(stored("5,2024-01-01\n"), 5, table)
    with pytest.raises(TableError, match="line 3, column at: expected a date, got 'noon'"):
        values_of(stored("x,at\n5,2024-01-01\n6,noon\n"), 5, table)


# --- lines and speed ------------------------------------------------------------------------------


def test_pieces_of_any_size_give_the_same_lines():
    draw = random.Random(0)
    parts = ["1,2", "\n", "\r\n", "\r", '"a\nb"', '#c"', "é", ",", " "]
    for _ in range(500):
        data = "".join(draw.choices(parts, k=draw.randrange(30))).encode()
        got = []
        for method in (LineReader.line, LineReader.block):
            file = io.BytesIO(data)
            reader = LineReader("f", lambda n, file=file: file.read(draw.randrange(1, 4)))
            whole = b""
            try:
                while (lines := method(reader)) is not None:
                    whole += lines.data
                got.append(whole)
            except TableError as error:
                got.append(str(error))
        assert got[0] == got[1]
        want = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if isinstance(got[0], bytes):
            assert got[0] == (want + b"\n" if want and want[-1:] != b"\n" else want)


def test_long_fields_take_no_longer_than_others(stored):
    """A backtracking pattern would take minutes or hours."""
    digits = "9" * 300_000
    with pytest.raises(TableError, match=r"line 2, column a: expected a number, got '999"):
        values_of(stored(f"a,b\n{digits}x,1\n"), 2)
    text = "1 2\n" * 1000 + f"3{' ' * 300_000}4 \n"
    assert values_of(stored(text), 2)[-1] == [3.0, 4.0]


def test_a_line_comes_before_the_next_one():
    pieces = iter([b"a,b\n", b"1,", b"2\r", b"\n3,4\n"])
    reader = LineReader("f", lambda _: next(pieces))
    assert [reader.line().data for _ in range(3)] == [b"a,b\n", b"1,2\n", b"3,4\n"]


def test_blocks_join_to_the_whole(stored, monkeypatch):
    x = np.random.default_rng(0).standard_normal((500, 3))
    text = "".join(",".join(map(repr, row)) + "\n" for row in x.tolist())
    monkeypatch.setattr(lines_of, "BLOCK", 5000)
    with open_table(stored(text)) as source:
        blocks = list(source.blocks(3))
        assert source.done() == 1
    assert len(blocks) > 3
    assert np.concatenate([block.values for block in blocks]).tolist() == x.tolist()
    assert np.concatenate([block.lines for block in blocks]).tolist() == list(range(1, 501))


NUMBERS = "1 -2 3.5 +4 1e5 -.5 5. 1E-3 0 00 -0 1e-320 0.1 123456789012345678 1.7976931348623157e308"
OTHERS = "1.2.3 1e e5 - + --1 1e5.5 nan inf 1_0 0x1 1;2 #N/A #x é 1e999 x NA ١ 1d3 . '1'"
ODD = [
    *OTHERS.split(),
    "",
    " ",
    "1 2",
    " 1",
    "1 ",
    "1\t",
    '"1"',
    '"a,b"',
    "2024-01-01",
    "1,5",
    "1.234,5",
]


def _parsed(way, text, separator, width, numbers, texts, missing):
    parser = Parser("f", separator, list(map(str, range(width))))
    try:
        found = getattr(parser, way)(Lines(text.encode(), 1), numbers, texts, missing)
    except TableError as error:
        return str(error)
    return found.values.tobytes(), found.values.shape, found.texts, found.lines.tolist()


@pytest.mark.parametrize("arrow", [False, True])
def test_fast_parsing_gives_the_bits_and_the_errors_of_the_slow_one(monkeypatch, arrow):
    """Every number is that of Python's `float`, and what is wrong is found by all ways."""
    if arrow:
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(parsing, "FAST_FROM", 0)
    monkeypatch.setattr(parsing, "ARROW_FROM", 0 if arrow else 1 << 30)
    draw = random.Random(1)
    fast = 0
    for _ in range(3000):
        separator = draw.choice([",", ",", ";", "\t", None])
        width = draw.choice([1, 2, 3] if separator else [2, 3])
        share = draw.choice([0, 0, 0.03, 0.1])
        comma = draw.random() < 0.3 and separator in (";", "\t")
        lines = []
        for _ in range(draw.randrange(1, 5)):
            fields = [
                draw.choice(ODD if draw.random() < share else NUMBERS.split())
                for _ in range(width + draw.choice([0, 0, 0, 1, -1]) * (draw.random() < share))
            ]
            line = (separator or " ").join(fields)
            lines.append(line.replace(".", ",") if comma else line)
        text = "\n".join(lines) + "\n"
        numbers = draw.sample(range(width), draw.randrange(width + 1))
        texts = draw.sample(range(width), draw.randrange(width + 1)) * (draw.random() < 0.4)
        args = (text, separator, width, numbers, texts, draw.random() < 0.5)
        slow = _parsed("_slowly", *args)
        assert _parsed("parse", *args) == slow, args
        if separator == "," and not share and numbers:
            rows = [[float(fields[i]) for i in numbers] for fields in (r.split(",") for r in lines)]
            assert slow[0] == np.array(rows).tobytes()
            fast += 1
    assert fast > 300


def test_the_columns_to_read_are_a_list(stored):
    with pytest.raises(elman.ArgumentTypeError, match="columns: expected a list of names, got str"):
        elman.read_table(stored("ab,a\n1,2\n"), columns="ab")
