"""`elman.run_files` over Parquet files whose rows are sequences, in lists."""

import datetime
import decimal
import json
import re

import numpy as np
import pytest

import elman

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from elman.files import jobs  # noqa: E402
from fixtures.command import answer  # noqa: E402
from fixtures.command import run as command  # noqa: E402
from fixtures.parquet import flat, listed, lists, ragged, read  # noqa: E402

pytestmark = pytest.mark.any_isa


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of a few sequences."""
    monkeypatch.setattr(jobs, "PART", 500)


def run(net, table, folder, *, rows=77, **options):
    """Return the outputs for a table, and the result of the run."""
    pq.write_table(table, folder / "x.parquet", row_group_size=rows)
    done = elman.run_files(net, folder / "x.parquet", folder / "y.parquet", **options)
    return read(folder / "y.parquet"), done


def error(net, table, folder, **options):
    """Return the message of the error; nothing is left."""
    with pytest.raises(elman.errors.ElmanError) as caught:
        run(net, table, folder, **options)
    assert not (folder / "y.parquet").exists()
    return str(caught.value)


VALUES, OFFSETS = ragged(300, 3)
COLUMNS = [pa.array(column) for column in VALUES.T.copy()]
STEPS = np.arange(0, len(VALUES) // 6 * 6 + 1, 6)  # of equal sequences
FORMS = {
    "fixed-size steps": (lists(VALUES, OFFSETS), OFFSETS),
    "lists of lists": (lists(VALUES, OFFSETS, fixed=False), OFFSETS),
    "large lists": (lists(VALUES, OFFSETS, pa.large_list, fixed=False), OFFSETS),
    "fixed-size sequences": (
        pa.FixedSizeListArray.from_arrays(
            pa.FixedSizeListArray.from_arrays(pa.array(VALUES[: STEPS[-1]].ravel()), 3), 6
        ),
        STEPS,
    ),
    "tensors": (
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [6, 3]),
            pa.FixedSizeListArray.from_arrays(pa.array(VALUES[: STEPS[-1]].ravel()), 18),
        ),
        STEPS,
    ),
}


# --- the bits of a call ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_have_the_bits_of_one_call(net, tmp_path, form):
    column, offsets = FORMS[form]
    table = pa.table({"key": range(len(column)), "x": column})
    seen = []
    y, done = run(net, table, tmp_path, progress=seen.append, threads=1)
    values, found = flat(y["output"], 2)
    assert values.tobytes() == net.run(VALUES[: offsets[-1]], offsets=offsets).output.tobytes()
    assert found.tolist() == offsets.tolist()
    assert y["key"].equals(table["key"])
    assert (done.sequences, done.steps, done.bad) == (len(column), offsets[-1], 0)
    assert len(seen) > 3
    assert seen[-1].fraction == 1
    assert y.schema.field("output").type == pa.list_(pa.list_(pa.float32(), 2))


@pytest.mark.parametrize("memory", [2000, 1 << 28])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_last_outputs(tmp_path, memory, direction):
    net = elman.Network(3, [8, 5], 2, seed=1, direction=direction)
    values, offsets = ragged(200, 3, least=1)
    table = pa.table({"x": lists(values, offsets)})
    y, _ = run(net, table, tmp_path, outputs="last", memory=memory)
    assert y.schema.field("output").type == pa.list_(pa.float32(), 2)
    found = np.array(y["output"].to_pylist(), np.float32)
    assert found.tobytes() == net.run(values, offsets=offsets, outputs="last").output.tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f8", "i1", "i8", "u2", "u8", "?"])
@pytest.mark.parametrize("own", [np.float32, np.float64])
def test_numbers_are_rounded_once(tmp_path, dtype, own):
    net = elman.Network(3, 4, 2, seed=1, dtype=own)
    values = (VALUES * 50).clip(0, 100).astype(dtype)
    table = pa.table({"x": lists(values, OFFSETS)})
    y, _ = run(net, table, tmp_path)
    leaf = y["output"].combine_chunks().flatten().flatten()
    assert leaf.type == pa.from_numpy_dtype(own)
    assert leaf.to_numpy().tobytes() == net.run(values, offsets=OFFSETS).output.tobytes()


def test_a_column_for_each_input(net, tmp_path):
    table = pa.table({name: listed(c, OFFSETS) for name, c in zip("abc", COLUMNS, strict=True)})
    y, _ = run(net, table, tmp_path, inputs=["c", "a", "b"])
    values, _ = flat(y["output"], 2)
    assert y.column_names == ["output"]
    expected = net.run(VALUES[:, [2, 0, 1]].copy(), offsets=OFFSETS).output
    assert values.tobytes() == expected.tobytes()


def test_names_of_the_networks_table(tmp_path):
    meaning = elman.Table(inputs=["a", "b", "c"], targets=["left", "right"])
    net = elman.Network(3, 4, 2, seed=1, table=meaning)
    table = pa.table({name: listed(c, OFFSETS) for name, c in zip("cab", COLUMNS, strict=True)})
    y, _ = run(net, table, tmp_path)
    assert y.column_names == ["left", "right"]
    expected = net.run(VALUES[:, [1, 2, 0]].copy(), offsets=OFFSETS).output
    for name, column in zip(y.column_names, expected.T, strict=True):
        assert y[name].combine_chunks().flatten().to_numpy().tobytes() == column.tobytes()


def test_classes(tmp_path):
    meaning = elman.Table(targets=["kind"], classes=["cat", "dog"], outputs="last")
    net = elman.Network(3, 4, 2, seed=1, table=meaning)
    values, offsets = ragged(90, 3, least=1)
    y, _ = run(net, pa.table({"x": lists(values, offsets)}), tmp_path)
    assert y.column_names == ["class", "cat", "dog"]
    expected = net.run(values, offsets=offsets, outputs="last").output
    assert y["class"].to_pylist() == [meaning.classes[i] for i in expected.argmax(axis=1)]
    assert y["dog"].to_numpy().tobytes() == expected[:, 1].tobytes()


def test_one_input_and_one_output_are_lists_of_numbers(tmp_path):
    net = elman.Network(1, 4, 1, seed=1)
    y, _ = run(net, pa.table({"x": listed(COLUMNS[0], OFFSETS)}), tmp_path)
    assert y.schema.field("output").type == pa.list_(pa.float32())
    expected = net.run(VALUES[:, :1].copy(), offsets=OFFSETS).output
    assert y["output"].combine_chunks().flatten().to_numpy().tobytes() == expected.tobytes()


# --- columns that are passed through --------------------------------------------------------------


def test_passed_columns_keep_their_types_and_nulls(net, tmp_path):
    when = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    passed = {
        "text": pa.array(["a", None, "c"]),
        "large": pa.array(["a", None, "c"], pa.large_string()),
        "kind": pa.array(["u", "v", None]).dictionary_encode(),
        "when": pa.array([when, None, when], pa.timestamp("ns", "Europe/Berlin")),
        "price": pa.array([decimal.Decimal("1.50"), None, None], pa.decimal128(9, 2)),
        "nested": pa.array([{"p": [1, None]}, None, {"p": None}]),
        "bytes": pa.array([b"\x00", None, b"z"]),
        "half": pa.array(np.array([1, 2, 3], np.float16)),
        "day": pa.array([1, None, 3], pa.date32()),
        "nothing": pa.nulls(3),
    }
    table = pa.table({**passed, "x": lists(*ragged(3, 3))})
    table = table.replace_schema_metadata({"who": "me"})
    y, _ = run(net, table, tmp_path, rows=2)
    assert y.drop(["output"]).equals(table.drop(["x"]))
    assert y.schema.field("kind").type == table.schema.field("kind").type
    assert y.schema.metadata[b"who"] == b"me"


def test_chosen_columns(net, tmp_path):
    table = pa.table({"a": range(9), "b": range(9), "x": lists(*ragged(9, 3))})
    assert run(net, table, tmp_path, columns=["b"])[0].column_names == ["b", "output"]
    assert run(net, table, tmp_path, columns=["x", "a"])[0].column_names == ["x", "a", "output"]
    assert run(net, table, tmp_path, columns=[])[0].column_names == ["output"]


def test_other_readers(net, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"key": ["p", "q"], "x": [[[1.0, 2, 3]], []]}, index=[5, 9])
    frame.to_parquet(tmp_path / "x.parquet")
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet")
    y = pandas.read_parquet(tmp_path / "y.parquet")
    assert y.index.tolist() == [5, 9]
    assert y.columns.tolist() == ["key", "output"]
    assert y["output"][5][0].tobytes() == net([[1.0, 2, 3]])[0].tobytes()


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_keeps_its_partitions(net, tmp_path):
    values, offsets = ragged(40, 3)
    table = pa.table({"key": range(40), "x": lists(values, offsets)})
    for year, part in (("2023", table.slice(0, 25)), ("2024", table.slice(25))):
        (tmp_path / f"in/year={year}").mkdir(parents=True)
        pq.write_table(part, tmp_path / f"in/year={year}/part.parquet")
    (tmp_path / "in/_SUCCESS").write_text("")
    done = elman.run_files(net, tmp_path / "in", tmp_path / "out", columns=["key", "year"])
    assert done.sequences == 40
    y = pq.read_table(tmp_path / "out")
    assert y["year"].to_pylist() == [2023] * 25 + [2024] * 15
    assert flat(y["output"], 2)[0].tobytes() == net.run(values, offsets=offsets).output.tobytes()
    assert read(tmp_path / "out/year=2024/part.parquet")["key"].to_pylist() == list(range(25, 40))


def test_no_rows(net, tmp_path):
    table = pa.table({"x": lists(*ragged(5, 3))}).slice(0, 0)
    y, done = run(net, table, tmp_path)
    assert (len(y), y.column_names, done.sequences) == (0, ["output"], 0)


# --- bad rows -------------------------------------------------------------------------------------

BAD = {
    "null": (None, "expected numbers, got null"),
    "null step": ([[1, 2, 3], None], "expected numbers, got null"),
    "null number": ([[1, None, 3]], "expected numbers, got null"),
    "wrong width": ([[1, 2, 3], [1, 2]], "step 1: expected 3 numbers, got 2"),
    "NaN": (
        [[1, 2, float("nan")]],
        "step 0, input 2: expected a finite number of float32, got nan",
    ),
    "too large": (
        [[1e39, 2, 3]],
        "step 0, input 0: expected a finite number of float32, got 1e+39",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named_or_left_out(net, tmp_path, case):
    row, reason = BAD[case]
    good = [[1, 2, 3], [4, 5, 6]]
    column = pa.array([good, good, good, row, good], pa.list_(pa.list_(pa.float64())))
    table = pa.table({"key": range(5), "x": column})
    options = {"rows": 2, "nonfinite": "raise"}
    message = error(net, table, tmp_path, **options)
    assert f"x.parquet, row group 1, row 1: {reason}" in message
    options = {"nonfinite": "raise", "skip_bad": tmp_path / "bad.jsonl"}
    done = elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet", **options)
    y = read(tmp_path / "y.parquet")
    assert (done.sequences, done.bad) == (4, 1)
    assert y["key"].to_pylist() == list(range(5))
    assert y["output"].is_null().to_pylist() == [False, False, False, True, False]
    assert y["output"][4].as_py() == net(good).tolist()
    line = json.loads((tmp_path / "bad.jsonl").read_text())
    assert (line["part"], line["row"], line["reason"]) == ("row group 1", 1, reason)


def test_columns_of_different_lengths(net, tmp_path):
    table = pa.table({"a": [[1.0, 2], [3]], "b": [[1.0, 2], [3]], "c": [[1.0, 2], []]})
    table = pa.table([c.cast(pa.list_(pa.float64())) for c in table.columns], names=["a", "b", "c"])
    message = error(net, table, tmp_path, inputs=["a", "b", "c"])
    assert "row group 0, row 1: expected lists of one length, got 1 and 0 steps" in message
    y, _ = run(net, table, tmp_path, inputs=["a", "b", "c"], skip_bad=tmp_path / "bad.jsonl")
    assert y["output"].to_pylist() == [net([[1, 1, 1], [2, 2, 2]]).tolist(), None]


def test_nan_propagates_by_default(net, tmp_path):
    x = np.array([[1, np.nan, 3]], np.float32)
    y, _ = run(net, pa.table({"x": lists(x, [0, 1])}), tmp_path)
    assert np.isnan(y["output"][0].as_py()).all()


# --- what is refused ------------------------------------------------------------------------------

WRONG = {
    "flat": ({"x": [[1.0] * 6]}, {}, "expected lists of steps, which are lists of 3 numbers, got"),
    "width": ({"x": lists(*ragged(3, 2))}, {}, "expected steps of 3 numbers, got 2"),
    "two": ({"x": lists(*ragged(3, 3)), "z": lists(*ragged(3, 3))}, {}, "expected one column of"),
    "none": ({"x": ["a"]}, {}, "expected 3 columns of numbers, or one of sequences, got []"),
    "missing": ({"x": lists(*ragged(3, 3))}, {"inputs": ["u"]}, "expected the column 'u'"),
    "passed": ({"x": lists(*ragged(3, 3))}, {"columns": ["u"]}, "expected the column 'u'"),
    "clash": ({"output": [1, 2, 3], "x": lists(*ragged(3, 3))}, {}, "expected columns with other"),
    "format": ({"x": lists(*ragged(3, 3))}, {"format": "csv"}, "expected outputs='last'"),
    "numbers": (
        {"x": lists(*ragged(3, 3)), "k": [1, 2, 3]},
        {"format": "npy", "columns": ["k"]},
        "columns: expected none for NPY",
    ),
    "nested": (
        {"x": lists(*ragged(3, 3, least=1)), "k": [[1], [2], [3]]},
        {"format": "csv", "outputs": "last", "inputs": ["x"]},
        "'k': expected numbers, texts or dates for CSV, got list<",
    ),
    "gaps": ({"x": lists(*ragged(3, 3))}, {"missing": "hold"}, "missing: expected None"),
    "sequence": ({"x": lists(*ragged(3, 3))}, {"sequence": "x"}, "sequence: expected None"),
    "decimal": (
        {name: pa.array([1], pa.decimal128(9, 2)) for name in "abc"},
        {"inputs": ["a", "b", "c"]},
        "expected numbers, or lists of numbers, got decimal128",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_and_arguments(net, tmp_path, case):
    columns, options, message = WRONG[case]
    assert message in error(net, pa.table(columns), tmp_path, **options)


@pytest.mark.parametrize("form", [None, "npy", "csv", "parquet"])
def test_nothing_is_written_to_a_stream(net, tmp_path, form):
    pq.write_table(pa.table({"x": lists(*ragged(3, 3))}), tmp_path / "x.parquet")
    with pytest.raises(elman.errors.ArgumentError, match=r"^destination: expected"):
        elman.run_files(net, tmp_path / "x.parquet", "-", format=form)


def test_parquet_of_text(net, tmp_path):
    (tmp_path / "x.csv").write_text("1,2,3\n4,5,6\n")
    for options in ({}, {"format": "parquet"}):
        with pytest.raises(elman.errors.ArgumentError, match="as the input is a table of text"):
            elman.run_files(net, tmp_path / "x.csv", tmp_path / "y.parquet", **options)


def test_parquet_by_its_content_or_its_name(net, tmp_path):
    values, offsets = ragged(3, 3)
    pq.write_table(pa.table({"x": lists(values, offsets)}), tmp_path / "x.pq")
    elman.run_files(net, [tmp_path / "x.pq"], tmp_path / "y")
    found = flat(read(tmp_path / "y" / "x.pq")["output"], 2)[0]
    assert found.tobytes() == net.run(values, offsets=offsets).output.tobytes()
    (tmp_path / "empty.parquet").touch()
    with pytest.raises(elman.TableError, match=r"empty\.parquet: expected a Parquet file, got"):
        elman.run_files(net, tmp_path / "empty.parquet", tmp_path / "y.parquet")


def test_a_sequence_larger_than_memory(net, tmp_path):
    values, offsets = np.zeros((5000, 3), np.float32), [0, 5000]
    message = error(net, pa.table({"x": lists(values, offsets)}), tmp_path, memory=50_000)
    assert re.search(
        r"memory: expected at least 6\d{4} bytes for 1 sequences of .*, row group 0", message
    )


# --- the command ----------------------------------------------------------------------------------


def test_the_command(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net.save("m.safetensors")
    table = pa.table({"a": range(9), "b": range(9), "x": lists(*ragged(9, 3, least=1))})
    pq.write_table(table, "x.parquet")
    arguments = ["x.parquet", "-o", "y.parquet", "--last", "--columns", "b", "--inputs", "x"]
    command("run", "m.safetensors", *arguments)
    y = read("y.parquet")
    assert y.column_names == ["b", "output"]
    expected = net.run(
        *[ragged(9, 3, least=1)[0]], offsets=ragged(9, 3, least=1)[1], outputs="last"
    )
    assert np.array(y["output"].to_pylist(), np.float32).tobytes() == expected.output.tobytes()


def test_names_with_commas_are_quoted_in_the_command(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net.save("m.safetensors")
    names = ["heat, oil", 'of "A"', "c"]
    pq.write_table(pa.table({"p,q": range(9), **dict.fromkeys(names, np.eye(9)[0])}), "x.parquet")
    named = ["--inputs", 'c, "heat, oil","of ""A"""', "--columns", '"p,q"']
    answer("run", "m.safetensors", "x.parquet", "-o", "y.parquet", *named)
    assert read("y.parquet").column_names == ["p,q", "output_1", "output_2"]
    said = command("run", "m.safetensors", "x.parquet", "-o", "y.parquet", "--inputs", '"c').stderr
    assert b"expected names as a,b, a name with commas in quotes, got" in b" ".join(said.split())
