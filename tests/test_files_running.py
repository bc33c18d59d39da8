"""`run_table`: what `elman run` writes, as a Frame, from files and from data frames."""

import io

import numpy as np
import pytest

import elman
from elman.files import lines
from fixtures.command import answer, complaint
from fixtures.tables import inputs

pytestmark = pytest.mark.any_isa

NAMES = list("abacabbca")
CLASSES = ["bad", "good"]


@pytest.fixture
def net():
    table = elman.Table(inputs=list("cab"), targets=["u"], classes=CLASSES, sequence="id")
    return elman.Network(3, 8, 2, seed=1, output_activation="softmax", table=table)


@pytest.fixture
def frame():
    c, a, b = inputs(9, 3).T
    times = np.datetime64("2024-01-01T00") + np.arange(9) * np.timedelta64(1, "h")
    return elman.Frame({"b": b, "id": NAMES, "when": times, "c": c, "note": ["?"] * 9, "a": a})


def written(frame, path):
    """Write a Frame as CSV."""
    rows = zip(*(frame[name].tolist() for name in frame.columns), strict=True)
    lines = [",".join(map(str, row)) for row in [frame.columns, *rows]]
    path.write_text("\n".join(lines))
    return path


def each(net, x, outputs="all"):
    """Return the outputs of each sequence for itself, in the order of rows or of names."""
    rows = {name: [i for i, other in enumerate(NAMES) if other == name] for name in "abc"}
    if outputs == "last":
        return np.stack([net(x[place], "last") for place in rows.values()])
    y = np.empty((len(x), net.output_size), net.dtype)
    for place in rows.values():
        y[place] = net(x[place])
    return y


def test_log_softmax_gives_the_class_and_the_logarithms_of_the_probabilities(net, frame, tmp_path):
    logs = elman.Network(3, 8, 2, seed=1, output_activation="log_softmax", table=net.table)
    want, got = elman.run_table(net, frame), elman.run_table(logs, frame)
    assert got.columns == want.columns
    assert got["class"].tolist() == want["class"].tolist()
    for name in CLASSES:
        np.testing.assert_allclose(np.exp(got[name]), want[name], rtol=1e-6)
    logs.save(tmp_path / "m")
    said = answer("run", tmp_path / "m", written(frame, tmp_path / "x.csv")).decode()
    header, first = said.splitlines()[:2]
    assert header == "id,when,class,bad,good"
    assert [float(v) for v in first.split(",")[-2:]] == pytest.approx(
        [got["bad"][0], got["good"][0]], rel=1e-7
    )


def test_a_file_and_a_frame_give_the_columns_of_elman_run(net, frame, tmp_path):
    path = written(frame, tmp_path / "x.csv")
    net.save(tmp_path / "m")
    y = each(net, inputs(9, 3))
    want = elman.Frame(
        {
            "id": NAMES,
            "when": frame["when"],
            "class": np.array(CLASSES, object)[y.argmax(axis=1)],
            **dict(zip(CLASSES, y.T, strict=True)),
        }
    )
    assert elman.run_table(net, path) == elman.run_table(net, str(path), threads=2) == want
    assert elman.run_table(net, frame) == want
    assert elman.run_table(net, frame)["bad"].dtype == net.dtype
    lines = answer("run", tmp_path / "m", path).decode().splitlines()
    assert lines[0].split(",") == list(want.columns)
    assert [line.split(",")[2] for line in lines[1:]] == want["class"].tolist()
    numbers = np.genfromtxt(io.StringIO("\n".join(lines[1:])), delimiter=",", usecols=(3, 4))
    assert np.array_equal(numbers.astype(net.dtype), y)


def test_the_last_outputs_are_a_row_for_each_sequence(net, frame, tmp_path):
    path = written(frame, tmp_path / "x.csv")
    y = each(net, inputs(9, 3), "last")
    for data in (path, frame):
        got = elman.run_table(net, data, outputs="last")
        assert got.columns == ("id", "class", *CLASSES)
        assert got["id"].tolist() == list("abc")
        assert np.array_equal(np.stack([got[name] for name in CLASSES], axis=1), y)


def test_without_a_table_all_other_columns_are_inputs(frame):
    net = elman.Network(3, 4, 1, seed=0)
    x = frame[["a", "id", "when", "b", "c"]]
    want = each(net, np.stack([frame[name] for name in "abc"], axis=1))
    got = elman.run_table(net, x, sequence="id")
    assert got.columns == ("id", "when", "output_1")
    assert np.array_equal(got["output_1"], want[:, 0])
    numbers = frame[["a", "b", "c"]]
    assert elman.run_table(net, numbers).columns == ("output_1",)
    assert np.array_equal(elman.run_table(net, numbers)["output_1"], net(numbers)[:, 0])


def test_keys_keep_their_kind_in_a_frame(net, frame):
    numbers = {name: frame[name] for name in frame.columns} | {"id": np.arange(9) // 3}
    got = elman.run_table(net, elman.Frame(numbers), outputs="last")
    assert got["id"].tolist() == [0, 1, 2]
    assert got["id"].dtype.kind == "i"


def test_missing_values_are_refused_or_treated(net, frame):
    values = {name: np.array(frame[name]) for name in frame.columns}
    values["a"][4] = np.nan  # of the sequence a, after row 2
    holes = elman.Frame(values)
    with pytest.raises(elman.TableError, match=r"^data\['a'\] row 4: expected a number"):
        elman.run_table(net, holes)
    held = {name: np.array(frame[name]) for name in frame.columns}
    held["a"][4] = held["a"][2]
    got = elman.run_table(net, holes, missing="hold")
    assert got == elman.run_table(net, elman.Frame(held))
    dropped = elman.Frame({name: np.delete(frame[name], 4) for name in frame.columns})
    got = elman.run_table(net, holes, missing="drop")
    assert got == elman.run_table(net, dropped)
    assert len(got) == 8


def test_calendar_inputs_come_from_the_times(frame, tmp_path):
    from elman import _calendar

    table = elman.Table(inputs=["a"], time="when", calendar=["hour"], targets=["a"], horizon=[1, 2])
    net = elman.Network(3, 4, 2, seed=0, table=table)
    hours = _calendar.features(frame["when"], ["hour"])
    want = net(np.column_stack([frame["a"], hours]))
    for data in (frame, written(frame, tmp_path / "x.csv")):
        got = elman.run_table(net, data)
        assert got.columns == ("when", "a+1", "a+2")
        assert np.array_equal(got["when"], frame["when"])
        assert np.array_equal(np.stack([got["a+1"], got["a+2"]], axis=1), want)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"outputs": "first"}, elman.ArgumentError, "^outputs: expected 'all' or 'last'"),
        ({"sequence": "note"}, elman.ArgumentError, "^sequence: expected 'id'"),
        ({"missing": "guess"}, elman.ArgumentError, "^missing: expected "),
        ({"threads": 0}, elman.ArgumentError, "^threads: expected "),
    ],
)
def test_wrong_arguments_are_named(net, frame, change, error, said):
    with pytest.raises(error, match=said):
        elman.run_table(net, frame, **change)


def test_a_sequence_that_is_no_name_is_refused(net, frame, tmp_path):
    for data in (frame, written(frame, tmp_path / "x.csv")):
        with pytest.raises(elman.ArgumentTypeError, match=r"^sequence: expected a name, got int"):
            elman.run_table(net, data, sequence=3)


def test_a_number_too_large_is_named_by_its_line_if_a_layer_reads_in_reverse(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 8)  # bytes: the table is read in several pieces
    monkeypatch.setattr(lines, "BLOCK", 16)
    net = elman.Network(1, 2, 1, seed=0, direction="reverse")
    (tmp_path / "x.csv").write_text("1.5\n" * 20 + "1e300\n")
    with pytest.raises(elman.TableError, match=r"x\.csv line 21: expected numbers of float32"):
        elman.run_table(net, tmp_path / "x.csv")


def test_wrong_tables_are_named(net, frame, tmp_path):
    for names, missing in ((["b", "id", "c"], "'a'"), (["b", "c", "a"], "'id'")):
        with pytest.raises(elman.ElmanError, match=f"expected .*{missing}"):
            elman.run_table(net, frame[names])
        with pytest.raises(elman.ElmanError, match=f"expected .*{missing}"):
            elman.run_table(net, written(frame[names], tmp_path / "x.csv"))
    np.save(tmp_path / "x.npy", inputs(9, 3))
    with pytest.raises(elman.TableError, match=r"x\.npy: expected a table, got an array"):
        elman.run_table(net, tmp_path / "x.npy")
    with pytest.raises(elman.TableError, match="expected rows, got none"):
        elman.run_table(net, frame[:0])


def test_a_number_too_large_is_named_in_every_block(monkeypatch, tmp_path):
    monkeypatch.setattr(lines, "BLOCK", 1000)
    monkeypatch.setattr(lines, "PIECE", 1000)
    path = tmp_path / "x.csv"
    path.write_text("1,2\n" * 1000 + "1e39,2\n")
    for direction in ("forward", "bidirectional"):
        net = elman.Network(2, 3, 1, seed=0, dtype="float32", direction=direction)
        with pytest.raises(
            elman.TableError, match=r"x\.csv line 1001: expected numbers of float32"
        ):
            elman.run_table(net, path)


def test_sequences_may_be_named_by_dates(net, frame):
    days = np.array(["2024-01-0" + str(1 + "abc".index(name)) for name in NAMES], "datetime64[us]")
    columns = {name: frame[name] for name in frame.columns}
    result = elman.run_table(net, elman.Frame({**columns, "id": days}))
    np.testing.assert_array_equal(result["id"], days)
    assert np.array_equal(result["good"], elman.run_table(net, frame)["good"])
    last = elman.run_table(net, elman.Frame({**columns, "id": days}), outputs="last")
    np.testing.assert_array_equal(last["id"], np.unique(days))


def test_a_frame_is_read_with_the_bits_of_its_file(net, frame, tmp_path):
    """Values are filled before they are rounded; names may differ in case."""
    table = elman.Table(inputs=list("cab"), sequence="id", time="when")
    net = net.replace(table=table)
    columns = {name: frame[name] for name in frame.columns}
    columns["a"] = np.where(np.arange(9) == 4, np.nan, columns["a"].astype(np.float64) / 3)
    columns["When"] = [f"t{i}" for i in range(9)]
    del columns["when"]
    frame = elman.Frame(columns)
    result = elman.run_table(net, frame, missing="interpolate")
    path = written(frame, tmp_path / "x.csv")
    of_file = elman.run_table(net, path, missing="interpolate")
    for name in ("output_1", "output_2"):
        assert result[name].tolist() == of_file[name].tolist()
    assert result.columns == of_file.columns
    assert result["When"].tolist() == columns["When"]
    large = elman.Frame({**columns, "a": [1e39] * 9})
    with pytest.raises(elman.TableError, match=r"data row 0: .* got 1e\+39"):
        elman.run_table(net, large)


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_rows_of_gaps_only_leave_nothing_to_run(net, frame, outputs, tmp_path):
    empty = {name: frame[name] for name in frame.columns} | {"a": [np.nan] * 9}
    with pytest.raises(elman.TableError, match="data: expected rows without missing values, got"):
        elman.run_table(net, elman.Frame(empty), missing="drop", outputs=outputs)
    net.save(tmp_path / "m")
    written(elman.Frame(empty), tmp_path / "x.csv")
    options = [] if outputs == "all" else ["--last"]
    said = complaint("run", tmp_path / "m", tmp_path / "x.csv", "--missing", "drop", *options)
    assert said.endswith("x.csv: expected lines without missing values, got none")


@pytest.mark.parametrize("header", [True, False])
def test_eight_digits_are_the_time_unless_the_model_reads_them(tmp_path, header):
    x = inputs(3, 2)
    path = tmp_path / "x.csv"
    rows = [f"2024010{i},{a!r},{b!r}" for i, (a, b) in enumerate(x.tolist(), start=1)]
    path.write_text("\n".join([*(["day,a,b"] if header else []), *rows]))
    day = "day" if header else "1"
    net = elman.Network(2, 4, 1, seed=0)
    result = elman.run_table(net, path)
    assert result.columns == (day, "output_1")
    assert result[day].astype(str).tolist() == [f"2024-01-0{i}T00:00:00.000000" for i in (1, 2, 3)]
    assert result["output_1"].tolist() == net(x)[:, 0].tolist()
    net.save(tmp_path / "m")
    first = answer("run", tmp_path / "m", path).decode().splitlines()[header]
    assert first.startswith("20240101,")
    assert answer("run", tmp_path / "m", path, "--stream").decode().splitlines()[header] == first
    days = np.column_stack([20240101 + np.arange(3), x])
    wide = elman.Network(3, 4, 1, seed=0)
    assert elman.run_table(wide, path).columns == ("output_1",)
    assert elman.run_table(wide, path)["output_1"].tolist() == wide(days)[:, 0].tolist()
    named = elman.Network(1, 4, 1, seed=0, table=elman.Table(inputs=[day]))
    result = elman.run_table(named, path)
    assert result.columns == ("output_1",)
    assert result["output_1"].tolist() == named(days[:, :1])[:, 0].tolist()


def test_frames_of_pandas_with_other_names_zones_and_gaps(net, frame):
    pd = pytest.importorskip("pandas", reason="pip install pandas")
    plain = elman.Network(3, 8, 2, seed=1)
    x = inputs(9, 3)
    result = elman.run_table(plain, pd.DataFrame(x))
    np.testing.assert_array_equal(result["output_1"], plain(x)[:, 0])
    when = pd.date_range("2024-01-01", periods=9, freq="D", tz="Europe/Berlin")
    data = pd.DataFrame({"when": when, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    zoned = elman.run_table(plain, data)
    np.testing.assert_array_equal(zoned["when"], when.tz_localize(None).to_numpy())
    np.testing.assert_array_equal(zoned["output_1"], result["output_1"])
    data = frame.to_frame()
    data.loc[4, "a"] = np.nan
    for policy in ("hold", "drop"):
        want = elman.run_table(net, data, missing=policy)
        assert elman.run_table(net, data.convert_dtypes(), missing=policy) == want


def test_frames_of_other_libraries(net, frame):
    pd = pytest.importorskip("pandas", reason="pip install pandas")
    assert elman.run_table(net, frame.to_frame()) == elman.run_table(net, frame)
    frame = frame.to_frame().astype({"id": "category"})
    assert elman.run_table(net, frame)["id"].tolist() == NAMES
    assert isinstance(elman.run_table(net, frame).to_frame(), pd.DataFrame)


@pytest.mark.parametrize("name", ["when", None])
def test_times_in_the_index_of_pandas_are_passed_through(net, frame, tmp_path, name):
    pytest.importorskip("pandas", reason="pip install pandas")
    indexed = frame.to_frame().set_index("when").rename_axis(index=name)
    got = elman.run_table(net, indexed)
    assert got.columns == ("id", name or "index", "class", *CLASSES)
    assert np.array_equal(got[name or "index"], frame["when"])
    indexed.to_csv(tmp_path / "x.csv")
    assert elman.run_table(net, tmp_path / "x.csv") == got


def test_columns_of_pandas_may_have_numbers_for_names():
    pd = pytest.importorskip("pandas", reason="pip install pandas")
    net, x = elman.Network(3, 4, 1, seed=0), inputs(9, 3)
    assert np.array_equal(elman.run_table(net, pd.DataFrame(x))["output_1"], net(x)[:, 0])
