"""`elman.run_files` over Parquet files whose rows are steps of interleaved sequences."""

import json

import numpy as np
import pytest

import elman

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from elman.files import jobs  # noqa: E402
from elman.files.parquet import running  # noqa: E402
from fixtures.parquet import read  # noqa: E402

pytestmark = pytest.mark.any_isa

ROWS = 3000
IDS = np.random.default_rng(1).integers(0, 90, ROWS)
X = np.random.default_rng(0).standard_normal((ROWS, 3)).astype(np.float32)
KEYS = {
    "texts": pa.array([f"machine {i}" for i in IDS]),
    "dictionary": pa.array([f"machine {i}" for i in IDS]).dictionary_encode(),
    "integers": pa.array(IDS, pa.int16()),
    "times": pa.array(IDS, pa.timestamp("ns", "UTC")),
    "days": pa.array(IDS, pa.int32()).cast(pa.date32()),
    "bytes": pa.array([b"%d" % i for i in IDS]),
}
IN_MEMORY, SPILLED = 1 << 28, 60_000


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of a few hundred rows."""
    monkeypatch.setattr(jobs, "PART", 5000)


@pytest.fixture
def spilled(monkeypatch):
    """Return a list that gets an element for each table that is divided into files."""
    seen = []

    class Spilled(running.Spilled):
        def __init__(self, *arguments):
            seen.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(running, "Spilled", Spilled)
    return seen


def network(direction="forward", **options):
    return elman.Network(3, [8, 5], 2, seed=1, direction=direction, **options)


def table(keys=KEYS["texts"]):
    """Return a table of steps."""
    when = pa.array(np.arange(ROWS) * 1000, pa.timestamp("us", "Europe/Berlin"))
    columns = dict(zip("abc", map(pa.array, X.T.copy()), strict=True))
    return pa.table({"id": keys, "when": when, **columns})


def expected(net, ids=IDS, x=X):
    """Return the outputs of all rows, each sequence run alone."""
    y = np.full((len(x), net.output_size), np.nan, net.dtype)
    for each in np.unique(ids):
        y[ids == each] = net(x[ids == each])
    return y


def outputs(found):
    """Return the outputs of a file (R, O)."""
    return np.stack([found[name].to_numpy() for name in ("output_1", "output_2")], axis=1)


def folder_of(whole, path):
    """Write a table as two files of many row groups."""
    for name, part, rows in (("p=1/a", whole.slice(0, 1234), 100), ("p=2/b", whole.slice(1234), 7)):
        (path / name).parent.mkdir(parents=True)
        pq.write_table(part, path / f"{name}.parquet", row_group_size=rows * 11)
    return path


def files(path):
    return pa.concat_tables([read(path / "p=1/a.parquet"), read(path / "p=2/b.parquet")])


def is_last(ids):
    """Return which rows are the last of their sequences."""
    later = {each: row for row, each in enumerate(ids.tolist())}
    return np.isin(np.arange(len(ids)), list(later.values()))


# --- the bits of a call ---------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [IN_MEMORY, SPILLED])
@pytest.mark.parametrize("keys", KEYS)
def test_interleaved_sequences(tmp_path, spilled, keys, memory):
    net, whole = network(), table(KEYS[keys])
    source = folder_of(whole, tmp_path / "in")
    done = elman.run_files(net, source, tmp_path / "out", sequence="id", memory=memory)
    assert bool(spilled) == (memory == SPILLED)
    y = files(tmp_path / "out")
    assert y.column_names == ["id", "when", "output_1", "output_2"]
    assert outputs(y).tobytes() == expected(net).tobytes()
    assert y["id"].cast(whole["id"].type).equals(whole["id"])
    assert y["when"].equals(whole["when"])
    assert (done.sequences, done.steps, done.bad) == (len(np.unique(IDS)), ROWS, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_few_files_are_open_at_a_time(tmp_path, spilled):
    resource = pytest.importorskip("resource")
    net, source = network(), folder_of(table(), tmp_path / "in")
    with open(source / "p=1/a.parquet") as file:
        used = file.fileno()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 50, before[1]))
    try:
        elman.run_files(net, source, tmp_path / "out", sequence="id", memory=SPILLED)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert spilled
    assert outputs(files(tmp_path / "out")).tobytes() == expected(net).tobytes()


@pytest.mark.parametrize("memory", [IN_MEMORY, SPILLED])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("last", [False, True])
def test_directions_and_last_outputs(tmp_path, spilled, direction, memory, last):
    net, whole = network(direction), table()
    memory *= 1 if direction == "forward" else 12
    source = folder_of(whole, tmp_path / "in")
    how = "last" if last else "all"
    elman.run_files(net, source, tmp_path / "out", sequence="id", memory=memory, outputs=how)
    assert bool(spilled) == (memory == SPILLED or direction == "bidirectional")
    chosen = is_last(IDS) if last else np.ones(ROWS, bool)
    y = files(tmp_path / "out")
    assert outputs(y).tobytes() == expected(net)[chosen].tobytes()
    assert y["when"].equals(whole["when"].filter(pa.array(chosen)))


def test_the_networks_table(tmp_path):
    meaning = elman.Table(inputs=["c", "a", "b"], targets=["u", "v"], sequence="ID", outputs="last")
    net = network(table=meaning)
    pq.write_table(table(), tmp_path / "x.parquet")
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet", columns=["id"])
    y = read(tmp_path / "y.parquet")
    assert y.column_names == ["id", "u", "v"]
    found = np.stack([y["u"].to_numpy(), y["v"].to_numpy()], axis=1)
    assert found.tobytes() == expected(net, x=X[:, [2, 0, 1]])[is_last(IDS)].tobytes()


def test_a_folder_as_the_sequence(tmp_path):
    net, whole = network(), table().drop(["id"])
    elman.run_files(net, folder_of(whole, tmp_path / "in"), tmp_path / "out", sequence="p")
    found = outputs(files(tmp_path / "out"))
    assert found.tobytes() == np.concatenate([net(X[:1234]), net(X[1234:])]).tobytes()


@pytest.mark.parametrize("options", [{}, {"sequence": ""}])
def test_a_file_is_one_sequence(tmp_path, options):
    net = network()
    pq.write_table(table(), tmp_path / "x.parquet", row_group_size=400)
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet", **options)
    assert outputs(read(tmp_path / "y.parquet")).tobytes() == net(X).tobytes()


def test_numbers_are_rounded_once(tmp_path):
    net = network()
    x = [np.arange(ROWS) * 12345678901, X[:, 1].astype(np.float16), X[:, 2] > 0]
    columns = dict(zip("abc", map(pa.array, x), strict=True))
    pq.write_table(pa.table({"id": KEYS["texts"], **columns}), tmp_path / "x.parquet")
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet", sequence="id")
    rounded = np.stack([column.astype(np.float32) for column in x], axis=1)
    assert outputs(read(tmp_path / "y.parquet")).tobytes() == expected(net, x=rounded).tobytes()


# --- bad rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [IN_MEMORY, SPILLED])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_sequence_is_lost_from_its_first_bad_row_on(tmp_path, memory, value):
    net = network()
    bad = [row for row in np.flatnonzero(np.equal(IDS, IDS[1500])) if row >= 1500]
    column = X[:, 1].astype(object)
    column[bad[0]] = column[bad[2]] = value
    whole = table().set_column(3, "b", pa.array(column.tolist(), pa.float32()))
    pq.write_table(whole, tmp_path / "x.parquet", row_group_size=400)
    options = {"sequence": "id", "memory": memory, "nonfinite": "raise"}
    arguments = (net, tmp_path / "x.parquet", tmp_path / "y.parquet")
    with pytest.raises(elman.errors.TableError, match=r"row group 3, row 300: input 1: expected"):
        elman.run_files(*arguments, **options)
    done = elman.run_files(*arguments, skip_bad=tmp_path / "bad.jsonl", **options)
    y = read(tmp_path / "y.parquet")
    missing = np.isin(np.arange(ROWS), bad)
    assert y["output_1"].is_null().to_pylist() == missing.tolist()
    assert outputs(y)[~missing].tobytes() == expected(net)[~missing].tobytes()
    assert (done.sequences, done.bad) == (len(np.unique(IDS)) - 1, 1)
    assert done.steps == ROWS - len(bad)
    assert json.loads((tmp_path / "bad.jsonl").read_text())["row"] == 300


def test_a_row_without_a_sequence(tmp_path):
    ids = [*KEYS["texts"].to_pylist()[:-1], None]
    pq.write_table(table(pa.array(ids)), tmp_path / "x.parquet", row_group_size=2000)
    with pytest.raises(elman.errors.TableError, match="row group 1, row 999: 'id': expected a seq"):
        elman.run_files(network(), tmp_path / "x.parquet", tmp_path / "y.parquet", sequence="id")


def test_nothing_else_is_left_out(tmp_path):
    source = folder_of(table(), tmp_path / "in")
    path = source / "p=1/a.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(elman.errors.TableError, match=r"a\.parquet: .*cannot be left out"):
        elman.run_files(
            network(), source, tmp_path / "out", sequence="id", skip_bad=tmp_path / "bad"
        )


def test_reverse_sequences_beyond_memory(tmp_path):
    pq.write_table(table(pa.array(["one"] * ROWS)), tmp_path / "x.parquet")
    with pytest.raises(elman.errors.LimitError, match=r"memory: .* that are read in reverse, got"):
        elman.run_files(
            network("bidirectional"),
            tmp_path / "x.parquet",
            tmp_path / "y.parquet",
            sequence="id",
            memory=SPILLED,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sequence": "nobody", "inputs": [*"abc"]},
            "expected the column 'nobody', the sequence of each row",
        ),
        ({"sequence": "a", "inputs": ["a", "b", "c"]}, "sequence: expected a column that is no"),
        ({"sequence": "id", "inputs": ["a", "b"]}, "expected 3 columns of numbers"),
        ({"sequence": "a", "inputs": ["b", "c", "d"]}, "expected texts, integers or dates"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    whole = table().append_column("d", pa.array(X[:, 0]))
    pq.write_table(whole, tmp_path / "x.parquet")
    with pytest.raises(elman.errors.ElmanError, match=message):
        elman.run_files(network(), tmp_path / "x.parquet", tmp_path / "y.parquet", **options)
