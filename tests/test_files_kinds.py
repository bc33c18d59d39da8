"""`elman.run_files` with outputs of another kind than the inputs: NPY and Parquet."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import elman

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from elman.files import jobs  # noqa: E402
from fixtures.parquet import lists, ragged, read  # noqa: E402

pytestmark = pytest.mark.any_isa

RNG = np.random.default_rng(0)


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of a few sequences."""
    monkeypatch.setattr(jobs, "PART", 500)


def inputs(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def numbers(column):
    """Return equal lists of Parquet as an array."""
    return np.array(column.to_pylist(), np.float32)


# Runs a model over files, commits after each part, and kills itself after some parts.
SCRIPT = """
import json, os, signal, sys, elman
from elman.files import jobs, pipeline, stored
from elman.files.parquet import running
model, source, destination, at, options = sys.argv[1:]
jobs.PART, pipeline.SECONDS = 500, 0
running.DEPTH = running.DEEPEST = stored.DEEPEST = 1
seen = 0

def progress(done):
    global seen
    seen += 1
    if seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

net = elman.load(model)
elman.run_files(net, source, destination, progress=progress, threads=1, **json.loads(options))
"""


def killed(net, source, destination, at, **options):
    """Run until a part, and then be killed."""
    net.save(source.parent / "m.safetensors")
    paths = [str(path) for path in (source.parent / "m.safetensors", source, destination)]
    code = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths, str(at), json.dumps(options)],
        check=False,
        timeout=60,
    ).returncode
    assert code == -signal.SIGKILL
    assert not destination.exists()


posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it")


# --- arrays to Parquet ----------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("shape", [(400, 7, 3), (5, 20, 7, 3), (7, 3), (0, 7, 3), (2, 1000, 3)])
def test_arrays_are_rows_of_parquet(net, tmp_path, shape, outputs):
    x = inputs(*shape)
    np.save(tmp_path / "x.npy", x)
    done = elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.parquet", outputs=outputs)
    y, expected = read(tmp_path / "y.parquet"), net(x, outputs=outputs)
    assert y.column_names == ["output"]
    assert len(y) == done.sequences == np.prod(shape[:-2], dtype=int)
    assert numbers(y["output"]).tobytes() == expected.tobytes()


def test_arrays_have_the_names_of_the_networks_table(tmp_path):
    table = elman.Table(inputs=["a", "b", "c"], targets=["u", "v"])
    net = elman.Network(3, 8, 2, seed=1, table=table)
    x = inputs(40, 7, 3)
    np.save(tmp_path / "x.npy", x)
    elman.run_files(net, tmp_path / "x.npy", tmp_path / "y", format="parquet")
    y = read(tmp_path / "y")
    assert y.column_names == ["u", "v"]
    expected = net(x)
    assert numbers(y["v"]).tobytes() == np.ascontiguousarray(expected[..., 1]).tobytes()


def test_a_folder_of_arrays_is_a_folder_of_parquet(net, tmp_path):
    (tmp_path / "x").mkdir()
    arrays = {"a": inputs(40, 7, 3), "b": inputs(7, 3)}
    for name, x in arrays.items():
        np.save(tmp_path / "x" / f"{name}.npy", x)
    elman.run_files(net, tmp_path / "x", tmp_path / "y", format="parquet")
    assert sorted(os.listdir(tmp_path / "y")) == ["a.parquet", "b.parquet"]
    for name, x in arrays.items():
        y = read(tmp_path / "y" / f"{name}.parquet")
        assert numbers(y["output"]).tobytes() == net(x).tobytes()


@pytest.mark.parametrize(
    ("outputs", "memory"), [("all", 1 << 28), ("last", 1 << 28), ("last", 1500)]
)
def test_bad_sequences_of_arrays_are_null(net, tmp_path, outputs, memory):
    x = inputs(50, 20, 3)
    expected = net(x, outputs=outputs)
    x[7, 3, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    options = {"nonfinite": "raise", "skip_bad": tmp_path / "bad", "memory": memory}
    elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.parquet", outputs=outputs, **options)
    y = read(tmp_path / "y.parquet")["output"]
    assert [i for i, each in enumerate(y.to_pylist()) if each is None] == [7]
    assert numbers(y.drop_null()).tobytes() == np.delete(expected, 7, axis=0).tobytes()


def test_a_sequence_that_does_not_fit_is_refused_for_parquet(net, tmp_path):
    np.save(tmp_path / "x.npy", inputs(5000, 3))
    with pytest.raises(elman.LimitError, match="of 5000 steps, which is a row of Parquet, of") as e:
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.parquet", memory=100_000)
    least = int(str(e.value).split("at least ")[1].split()[0])
    elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.parquet", memory=least)
    elman.run_files(
        net, tmp_path / "x.npy", tmp_path / "last.parquet", memory=100_000, outputs="last"
    )


@posix
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_killed_runs_from_arrays_to_parquet_continue(net, tmp_path, outputs):
    x = inputs(400, 7, 3)
    np.save(tmp_path / "x.npy", x)
    killed(net, tmp_path / "x.npy", tmp_path / "y.parquet", 9, outputs=outputs)
    done = elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.parquet", outputs=outputs)
    assert done.resumed > 0
    y = read(tmp_path / "y.parquet")["output"]
    assert numbers(y).tobytes() == net(x, outputs=outputs).tobytes()


# --- Parquet to NPY and CSV -----------------------------------------------------------------------


def equal(net, count=400, steps=7):
    """Return sequences of one length (N, T, I), and a table of them."""
    x = inputs(count, steps, 3)
    return x, pa.table(
        {"key": range(count), "x": lists(x.reshape(-1, 3), np.arange(count + 1) * steps)}
    )


def interleaved(net):
    """Return a table of steps, its outputs, and the rows that end a sequence."""
    x, ids = inputs(900, 3), RNG.integers(0, 30, 900)
    columns = dict(zip("abc", map(pa.array, x.T.copy()), strict=True))
    y, ends = np.empty((900, 2), np.float32), []
    for each in np.unique(ids):
        y[ids == each] = net(x[ids == each])
        ends.append(np.flatnonzero(ids == each)[-1])
    return pa.table({"key": ids, **columns}), y, sorted(ends)


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("count", [0, 400])
def test_sequences_in_lists_are_an_array(net, tmp_path, outputs, count):
    x, table = equal(net, count)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=77)
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.npy", outputs=outputs)
    y, expected = np.load(tmp_path / "y.npy"), net(x, outputs=outputs)
    if count or outputs == "last":
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    else:
        assert y.shape == (0, 0, 2)  # there is no sequence that says how many steps
    assert y.tobytes() == expected.tobytes()


def test_the_last_outputs_of_ragged_sequences_are_an_array(net, tmp_path):
    values, offsets = ragged(300, 3, least=1)
    pq.write_table(pa.table({"x": lists(values, offsets)}), tmp_path / "x.parquet")
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y", outputs="last", format="npy")
    expected = net.run(values, offsets=offsets, outputs="last").output
    assert np.load(tmp_path / "y").tobytes() == expected.tobytes()


def test_ragged_sequences_are_no_array(net, tmp_path):
    offsets = [*range(0, 5 * 101, 5), 503]
    pq.write_table(
        pa.table({"x": lists(inputs(503, 3), offsets)}), tmp_path / "x.parquet", row_group_size=60
    )
    with pytest.raises(elman.TableError) as caught:
        elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.npy")
    assert str(caught.value) == (
        f"{tmp_path / 'x.parquet'}, row group 1, row 40: expected sequences of one length for NPY,"
        " 5 steps as in the first, got 3: outputs='last' (--last) and Parquet (--format parquet)"
        " take any"
    )
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_bad_rows_keep_their_place_in_an_array(net, tmp_path, outputs):
    x, table = equal(net)
    bad = [0, 1, 7, 300, 399]  # the first ones are before the length is known
    rows = table["x"].to_pylist()
    for row in bad:
        rows[row] = None
    kind = table["x"].type
    pq.write_table(pa.table({"x": pa.array(rows, kind)}), tmp_path / "x.parquet")
    done = elman.run_files(
        net,
        tmp_path / "x.parquet",
        tmp_path / "y.npy",
        outputs=outputs,
        skip_bad=tmp_path / "bad.jsonl",
    )
    assert done.bad == len(bad)
    y, expected = np.load(tmp_path / "y.npy"), net(x, outputs=outputs)
    assert np.isnan(y[bad]).all()
    assert np.delete(y, bad, axis=0).tobytes() == np.delete(expected, bad, axis=0).tobytes()


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("memory", [1 << 28, 8000], ids=["states", "spilled"])
def test_a_table_of_steps_is_an_array_or_csv(net, tmp_path, outputs, memory):
    table, y, ends = interleaved(net)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=200)
    options = {"sequence": "key", "outputs": outputs, "memory": memory}
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.npy", **options)
    rows = ends if outputs == "last" else slice(None)
    found = np.load(tmp_path / "y.npy")
    assert found.shape == y[rows].shape
    assert found.tobytes() == y[rows].tobytes()
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.csv", **options)
    header, *lines = (tmp_path / "y.csv").read_text().splitlines()
    assert header == "key,output_1,output_2"
    fields = [line.split(",") for line in lines]
    assert [int(each[0]) for each in fields] == table["key"].to_numpy()[rows].tolist()
    assert np.array([each[1:] for each in fields], np.float32).tobytes() == y[rows].tobytes()


def test_last_outputs_of_lists_are_lines_beside_their_columns(tmp_path):
    names = elman.Table(inputs=["a", "b", "c"], targets=["kind"], classes=["u", "v"])
    net = elman.Network(3, 8, 2, output_activation="softmax", seed=1, table=names)
    x, table = equal(net, 3)
    kinds = pa.array(['a "b"', None, "c"]).dictionary_encode()
    days = pa.array([19000, 19001, None], pa.date32())
    table = table.append_column("name", kinds).append_column("day", days)
    pq.write_table(table, tmp_path / "x.parquet")
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.csv", outputs="last")
    lines = (tmp_path / "y.csv").read_text().splitlines()
    assert lines[0] == "key,name,day,class,u,v"
    assert [line.rsplit(",", 3)[0] for line in lines[1:]] == [
        '0,"a ""b""",2022-01-08',
        "1,,2022-01-09",
        "2,c,",
    ]
    y = net(x, outputs="last")
    assert [line.split(",")[-3] for line in lines[1:]] == ["uv"[i] for i in y.argmax(axis=1)]
    numbers = [line.split(",")[-2:] for line in lines[1:]]
    assert np.array(numbers, np.float32).tobytes() == y.tobytes()


def test_a_folder_of_parquet_is_a_folder_of_arrays(net, tmp_path):
    (tmp_path / "x" / "year=1").mkdir(parents=True)
    arrays = {"a": equal(net, 40), "year=1/b": equal(net, 20, steps=3)}
    for name, (_, table) in arrays.items():
        pq.write_table(table, tmp_path / "x" / f"{name}.parquet")
    elman.run_files(net, tmp_path / "x", tmp_path / "y", format="npy")
    for name, (x, _) in arrays.items():
        assert np.load(tmp_path / "y" / f"{name}.npy").tobytes() == net(x).tobytes()


@posix
@pytest.mark.parametrize(
    ("rows", "outputs", "name"),
    [(False, "all", "y.npy"), (False, "last", "y.csv"), (True, "all", "y.npy")],
)
def test_killed_runs_from_parquet_continue(net, tmp_path, rows, outputs, name):
    table, options = equal(net)[1], {"outputs": outputs}
    if rows:
        table, options = interleaved(net)[0], {"outputs": outputs, "sequence": "key"}
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=200)
    killed(net, tmp_path / "x.parquet", tmp_path / name, 6, **options)
    done = elman.run_files(net, tmp_path / "x.parquet", tmp_path / name, **options)
    assert done.resumed > 0
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / f"whole-{name}", **options)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "form"), [(".parquet", "npy"), (".npy", "parquet")])
def test_outputs_of_another_kind_have_different_names(net, tmp_path, monkeypatch, suffix, form):
    monkeypatch.chdir(tmp_path)
    values, offsets = ragged(9, 3, least=1)
    for name in ("a", f"a{suffix}"):
        if suffix == ".npy":
            with open(name, "wb") as file:
                np.save(file, inputs(4, 5, 3))
        else:
            pq.write_table(pa.table({"x": lists(values, offsets)}), name)
    options = {"format": form, "outputs": "last"}
    with pytest.raises(elman.ArgumentError) as raised:
        elman.run_files(net, ["a", f"a{suffix}"], "y", **options)
    assert str(raised.value).endswith(f"got a and a{suffix}, both to a.{form}")
    assert not os.path.exists("y")
