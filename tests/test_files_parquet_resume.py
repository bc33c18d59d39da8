"""Interrupted runs over Parquet are continued with the same bits; damaged files are refused."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import elman

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from elman.files import jobs, journal, pipeline, syncing  # noqa: E402
from elman.files.parquet import spilling  # noqa: E402
from elman.files.parquet.reading import File, divided  # noqa: E402
from fixtures.parquet import flat, lists, ragged, read  # noqa: E402

pytestmark = [
    pytest.mark.any_isa,
    pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it"),
]

# Runs a model over files, commits after each part, and kills itself after some parts.
SCRIPT = """
import json, os, signal, sys, elman
from elman.files import jobs, pipeline
from elman.files.parquet import running
model, source, destination, at, options = sys.argv[1:]
jobs.PART, pipeline.SECONDS, running.DEPTH, running.DEEPEST = 1000, 0, 1, 1
seen = 0

def progress(done):
    global seen
    seen += 1
    if seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

net = elman.load(model)
elman.run_files(net, source, destination, progress=progress, **json.loads(options))
"""


class Case:
    """A model, a folder of two files, and runs that are killed at a part."""

    def __init__(self, folder, whole, **options):
        self.net = elman.Network(3, [8, 5], 2, seed=1)
        self.model, self.options = folder / "m.safetensors", options
        self.net.save(self.model)
        self.source, self.destination = folder / "in", folder / "out"
        self.source.mkdir()
        half = len(whole) // 2
        pq.write_table(whole.slice(0, half), self.source / "a.parquet", row_group_size=300)
        pq.write_table(whole.slice(half), self.source / "b.parquet", row_group_size=1 << 20)

    def killed(self, at):
        """Run until a part; return whether it was killed."""
        paths = [str(path) for path in (self.model, self.source, self.destination)]
        code = subprocess.run(
            [sys.executable, "-c", SCRIPT, *paths, str(at), json.dumps(self.options)],
            check=False,
            timeout=60,
        ).returncode
        assert code in (0, -signal.SIGKILL)
        return code != 0

    def finish(self):
        """Continue until the end; return the outputs and the fraction that was done before."""
        done = elman.run_files(self.net, self.source, self.destination, **self.options)
        whole = [read(self.destination / f"{name}.parquet") for name in "ab"]
        return pa.concat_tables(whole), done


def of_lists(folder):
    values, offsets = ragged(900, 3)
    kinds = pa.array([f"kind {i % 7}" for i in range(900)]).dictionary_encode()
    case = Case(folder, pa.table({"key": range(900), "kind": kinds, "x": lists(values, offsets)}))
    return case, case.net.run(values, offsets=offsets).output


def of_rows(folder, **options):
    rng = np.random.default_rng(0)
    x, ids = rng.standard_normal((4000, 3)).astype(np.float32), rng.integers(0, 150, 4000)
    columns = dict(zip("abc", map(pa.array, x.T.copy()), strict=True))
    case = Case(folder, pa.table({"key": ids, **columns}), sequence="key", **options)
    y = np.empty((4000, 2), np.float32)
    for each in np.unique(ids):
        y[ids == each] = case.net(x[ids == each])
    return case, y


def outputs(found):
    if "output" in found.column_names:
        return flat(found["output"], 2)[0]
    return np.stack([found[name].to_numpy() for name in ("output_1", "output_2")], axis=1)


@pytest.mark.parametrize("kind", ["lists", "rows", "spilled"])
def test_killed_runs_are_continued(tmp_path, monkeypatch, kind):
    if kind == "lists":
        case, expected = of_lists(tmp_path)
    else:
        case, expected = of_rows(tmp_path, memory=40_000 if kind == "spilled" else 1 << 28)
    monkeypatch.setattr(jobs, "PART", 1000)
    assert case.killed(4)
    assert case.killed(7)
    found, done = case.finish()
    assert done.resumed > 0
    assert outputs(found).tobytes() == expected.tobytes()
    assert (done.steps, done.bad) == (len(expected), 0)
    if kind == "lists":
        assert found["key"].to_pylist() == list(range(900))
        assert found["kind"].to_pylist() == [f"kind {i % 7}" for i in range(900)]
        assert done.sequences == 900
    else:
        assert done.sequences == len(set(found["key"].to_pylist()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.safetensors", "out"]


# Kills itself at a line of the journal, before or behind it, while a table is divided into files:
# at one of those after which so many of the files, or more, have been run.
DIVIDING = """
import json, os, signal, sys, elman
from elman.files import jobs, journal, pipeline
from elman.files.parquet import spilling
model, source, destination, options, at, run, behind = sys.argv[1:]
jobs.PART, pipeline.SECONDS, spilling.RARELY, spilling.MOST = 4000, 0, 0, 8
append, seen = journal.Journal.append, 0

def counted(self, record, carry):
    global seen
    seen += record["spilled"][2] >= int(run)
    if behind == "0" and seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, record, carry)
    if seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.append = counted
elman.run_files(elman.load(model), source, destination, **json.loads(options))
"""


def test_dividing_is_continued(tmp_path, monkeypatch):
    case, expected = of_rows(tmp_path, memory=150_000)
    work = tmp_path / ".out.elman-run"
    found = []
    for at, run, behind in [(3, 0, 1), (3, 0, 0), (2, 1, 1), (3, 1, 0)]:
        paths = [str(path) for path in (case.model, case.source, case.destination)]
        arguments = [*paths, json.dumps(case.options), str(at), str(run), str(behind)]
        command = [sys.executable, "-c", DIVIDING, *arguments]
        code = subprocess.run(command, check=False, timeout=60).returncode
        assert code == -signal.SIGKILL
        lines = (work / "journal.jsonl").read_text().splitlines()
        divided, _, done = json.loads(lines[-1])["spilled"]
        found.append((divided, done))
    whole = found[-1][0]
    assert whole > 5
    assert found == [(3, 0), (5, 0), (whole, 2), (whole, 4)]
    monkeypatch.setattr(jobs, "PART", 4000)
    monkeypatch.setattr(spilling, "MOST", 8)
    y, done = case.finish()
    assert outputs(y).tobytes() == expected.tobytes()
    assert (done.steps, done.bad) == (len(expected), 0)
    assert not work.exists()


def test_an_error_while_dividing_leaves_nothing(tmp_path, monkeypatch):
    case, _ = of_rows(tmp_path, memory=40_000)
    path = case.source / "b.parquet"
    table = pq.read_table(path)
    keys = pa.array([*table["key"].to_pylist()[:-1], None])
    pq.write_table(table.set_column(0, "key", keys), path)
    monkeypatch.setattr(pipeline, "SECONDS", 0)
    with pytest.raises(elman.errors.TableError, match=r"expected a sequence, got null"):
        case.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lists", "rows", "spilled"])
def test_twenty_kills(tmp_path, monkeypatch, kind):
    if kind == "lists":
        case, expected = of_lists(tmp_path)
    else:
        case, expected = of_rows(tmp_path, memory=40_000 if kind == "spilled" else 1 << 28)
    monkeypatch.setattr(jobs, "PART", 1000)
    rng = random.Random(0)
    kills = sum(case.killed(rng.randrange(1, 5)) for _ in range(20))
    assert kills > 2
    assert outputs(case.finish()[0]).tobytes() == expected.tobytes()


def test_segments_are_row_groups_of_one_file(tmp_path, monkeypatch):
    values, offsets = ragged(300, 3)
    table = pa.table({"key": [str(i) for i in range(300)], "x": lists(values, offsets)})
    pq.write_table(table, tmp_path / "x.parquet")
    monkeypatch.setattr(jobs, "PART", 1500)
    monkeypatch.setattr(pipeline, "SECONDS", 0)
    net = elman.Network(3, 4, 2, seed=1)
    elman.run_files(net, tmp_path / "x.parquet", tmp_path / "y.parquet")
    metadata = pq.read_metadata(tmp_path / "y.parquet")
    assert metadata.num_row_groups > 3
    assert metadata.num_rows == 300
    assert metadata.row_group(0).column(1).statistics is None
    only = pq.read_table(tmp_path / "y.parquet", filters=[("key", "==", "123")])
    assert only["output"].to_pylist() == [net(values[offsets[123] : offsets[124]]).tolist()]


def test_an_error_of_the_disk_while_the_file_grows_ends_the_run(tmp_path, monkeypatch):
    values, offsets = ragged(900, 3)
    pq.write_table(pa.table({"x": lists(values, offsets)}), tmp_path / "x.parquet")
    net = elman.Network(3, [8, 5], 2, seed=1)
    arguments = (net, tmp_path / "x.parquet", tmp_path / "y.parquet")
    synced, calls = syncing.synced, []

    def failing(path):
        calls.append(threading.current_thread().name)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return synced(path)

    monkeypatch.setattr(syncing, "synced", failing)
    with pytest.raises(OSError, match=r"Input/output error: .*y\.parquet'"):
        elman.run_files(*arguments, memory=30_000)
    assert "_sync" in calls[0]
    assert os.listdir(tmp_path) == ["x.parquet"]
    elman.run_files(*arguments, memory=30_000)
    found = flat(read(tmp_path / "y.parquet")["output"], 2)[0]
    assert found.tobytes() == net.run(values, offsets=offsets).output.tobytes()


def test_changed_options_are_refused(tmp_path, monkeypatch):
    case, _ = of_lists(tmp_path)
    assert case.killed(7)
    with pytest.raises(elman.errors.ArgumentError, match=r"got columns=\['key'\] instead of None"):
        elman.run_files(case.net, case.source, case.destination, columns=["key"])


def test_an_output_that_was_removed_is_not_taken_for_done(tmp_path, monkeypatch):
    case, _ = of_lists(tmp_path)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            case.finish()
    (case.destination / "a.parquet").unlink()
    with pytest.raises(
        elman.errors.ArgumentError, match=r"a\.parquet: expected the output of a run"
    ):
        case.finish()


# --- damaged files --------------------------------------------------------------------------------


@pytest.fixture
def whole():
    values, offsets = ragged(200, 3)
    return pa.table({"key": range(200), "x": lists(values, offsets)})


def test_a_truncated_file(tmp_path, whole):
    net = elman.Network(3, 4, 2, seed=1)
    (tmp_path / "in").mkdir()
    for name in "ab":
        pq.write_table(whole, tmp_path / f"in/{name}.parquet")
    path = tmp_path / "in/a.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(elman.errors.TableError, match=r"a\.parquet: expected a Parquet file, got"):
        elman.run_files(net, tmp_path / "in", tmp_path / "out")
    done = elman.run_files(net, tmp_path / "in", tmp_path / "out", skip_bad=tmp_path / "bad")
    assert (done.sequences, done.bad) == (200, 1)
    assert os.listdir(tmp_path / "out") == ["b.parquet"]
    line = json.loads((tmp_path / "bad").read_text())
    assert (os.path.basename(line["file"]), line["part"], line["row"]) == ("a.parquet", None, None)


def test_a_damaged_row_group(tmp_path, whole):
    net = elman.Network(3, 4, 2, seed=1)
    path = tmp_path / "x.parquet"
    options = {"compression": "gzip", "row_group_size": 50, "use_dictionary": False}
    pq.write_table(whole, path, **options)
    column = pq.read_metadata(path).row_group(2).column(1)
    data = bytearray(path.read_bytes())
    begin = column.data_page_offset + column.total_compressed_size // 2
    data[begin : begin + 60] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(elman.errors.TableError, match=r"x\.parquet, row group 2: expected a part"):
        elman.run_files(net, path, tmp_path / "y.parquet")
    done = elman.run_files(net, path, tmp_path / "y.parquet", skip_bad=tmp_path / "bad")
    assert (done.sequences, done.bad) == (150, 1)
    keys = read(tmp_path / "y.parquet")["key"].to_pylist()
    assert keys == [*range(100), *range(150, 200)]


def test_an_encrypted_file(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PARE" + bytes(100) + b"PARE")
    with pytest.raises(elman.errors.TableError, match="got an encrypted one"):
        elman.run_files(elman.Network(3, 4, 2), tmp_path / "x.parquet", tmp_path / "y.parquet")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_are_errors_of_elman(tmp_path, whole, seed):
    net = elman.Network(3, 4, 2, seed=1)
    path, rng = tmp_path / "x.parquet", random.Random(seed)
    pq.write_table(whole, path, row_group_size=70)
    good = path.read_bytes()
    footer = len(good) - int.from_bytes(good[-8:-4], "little") - 8
    for _ in range(40):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(rng.choice([0, footer]), len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            elman.run_files(net, path, tmp_path / "y.parquet", restart=True)
        except elman.errors.ElmanError as error:
            assert "x.parquet" in str(error)  # noqa: PT017


def claiming(path, rows, claimed):
    """Replace a number in the footer of a file, wherever it is."""

    def varint(number):
        number, data = 2 * number, []
        while number > 127:
            data.append(number % 128 + 128)
            number //= 128
        return bytes([*data, number])

    data = path.read_bytes()
    begin = len(data) - int.from_bytes(data[-8:-4], "little") - 8
    footer = data[begin:-8]
    assert footer.count(varint(rows)) >= 2  # of the file, and of its row group
    footer = footer.replace(varint(rows), varint(claimed))
    path.write_bytes(data[:begin] + footer + len(footer).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize("claimed", [2**33, 2**62 - 1])
@pytest.mark.parametrize("kind", ["lists", "numbers"])
def test_a_footer_that_claims_more_rows_than_there_can_be(tmp_path, kind, claimed):
    net = elman.Network(1, 4, 2, seed=1)
    path, rows = tmp_path / "x.parquet", 12345
    x = [[0.5, 0.25]] * rows if kind == "lists" else [0.5] * rows  # only lists have more values
    pq.write_table(pa.table({"x": x}), path)
    claiming(path, rows, claimed if kind == "lists" else 2**62 - 1)
    with pytest.raises(elman.errors.TableError, match="more rows or bytes than its pages can"):
        elman.run_files(net, path, tmp_path / "y.parquet")


def test_what_a_footer_claims_is_divided_by_arithmetic():
    file = File("x", "x", "x", None, ((7, 100), (0, 0), (2**60, 2**64 + 5)), {})
    parts = jobs.Parts(divided(0, file, 1 << 20, 8))
    first, last = parts[1], parts[-1]
    assert parts[0] == jobs.Part(0, 0, 7, 100, last=False, where=0)
    assert first.first == 0
    assert len(parts) == 1 + -(-(2**60) // first.count)
    assert last.first + last.count == 2**60
    assert last.last
    assert parts.size == 100 + (len(parts) - 2) * first.size + last.size
