"""`elman.run_files` over arrays: the bits of a call, bad data, bounded memory."""

import contextlib
import gzip
import json
import math
import os

import numpy as np
import pytest

import elman
from elman.files import inputs as sources
from elman.files import jobs
from fixtures.processes import measures_peak, python
from fixtures.tables import as_csv, inputs

pytestmark = pytest.mark.any_isa


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture
def small(monkeypatch):
    """Parts of about ten sequences of 30 steps; longer sequences are run in pieces."""
    monkeypatch.setattr(jobs, "PART", 4000)


def run(net, x, folder, **options):
    """Return the outputs of a file with this array, and the result of the run."""
    np.save(folder / "x.npy", x)
    done = elman.run_files(net, folder / "x.npy", folder / "y.npy", **options)
    assert sorted(os.listdir(folder)) == ["x.npy", "y.npy"]
    return np.load(folder / "y.npy"), done


# --- the bits of a call ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3000, 3), (170, 30, 3), (5, 17, 30, 3), (20, 200, 3), (2, 1900, 3)]
)
@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_parts_have_the_bits_of_one_call(small, tmp_path, shape, outputs, direction):
    net = elman.Network(3, [8, 5], 2, seed=1, direction=direction)
    x = inputs(*shape).astype(np.float32)
    seen = []
    y, done = run(net, x, tmp_path, outputs=outputs, progress=seen.append)
    expected = net(x, outputs=outputs)
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    assert y.tobytes() == expected.tobytes()
    sequences = math.prod(shape[:-2])
    assert (done.sequences, done.steps, done.bad) == (sequences, sequences * shape[-2], 0)
    assert done.resumed == 0
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert (seen[-1].fraction, seen[-1].bytes) == (1, x.nbytes)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", ">f8", "<f2", "<i2", ">u8", "?"])
@pytest.mark.parametrize("order", "CF")
def test_any_real_dtype_byte_order_and_memory_order(net, small, tmp_path, dtype, order):
    x = np.asarray((inputs(4, 40, 30, 3) * 3).clip(0, 9).astype(dtype), order=order)
    y, _ = run(net, x, tmp_path)
    assert y.tobytes() == net(x).tobytes()


@pytest.mark.parametrize("shape", [(0, 30, 3), (4, 0, 3), (0, 3)])
def test_no_sequence_and_no_step_are_empty_outputs(net, tmp_path, shape):
    y, done = run(net, np.zeros(shape), tmp_path)
    assert y.shape == (*shape[:-1], 2)
    assert done.steps == 0


def test_the_last_output_of_no_step_is_refused(net, tmp_path):
    with pytest.raises(
        elman.TableError, match=r"x\.npy: expected at least one step, got \(4, 0, 3"
    ):
        run(net, np.zeros((4, 0, 3)), tmp_path, outputs="last")


@pytest.mark.parametrize("threads", [1, 2, 3, 2**62])
def test_threads_do_not_change_the_bits(net, small, tmp_path, threads):
    x = inputs(900, 4, 3)
    seen = []
    y, _ = run(net, x, tmp_path, threads=threads, progress=seen.append)
    assert y.tobytes() == net(x).tobytes()
    assert len(seen) > 5 or threads > 1  # told between the parts of the calling thread


def test_a_folder_gives_a_folder_of_the_same_names(net, small, tmp_path):
    arrays = {"a.npy": inputs(9, 30, 3), "b/c.npy": inputs(50, 3), "b/empty.npy": inputs(0, 5, 3)}
    for name, x in arrays.items():
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, x)
    (tmp_path / "x" / "_SUCCESS").touch()
    done = elman.run_files(net, tmp_path / "x", tmp_path / "y")
    found = {str(p.relative_to(tmp_path / "y")): p for p in (tmp_path / "y").rglob("*.npy")}
    assert found.keys() == arrays.keys()
    for name, x in arrays.items():
        assert np.load(found[name]).tobytes() == net(x).tobytes()
    assert done.sequences == 10
    for source in (str(tmp_path / "x" / "?.npy"), [tmp_path / "x" / "a.npy"]):
        elman.run_files(net, source, tmp_path / "z")
        assert os.listdir(tmp_path / "z") == ["a.npy"]
    assert sorted(os.listdir(tmp_path)) == ["x", "y", "z"]


@pytest.mark.parametrize(("shape", "outputs"), [((70, 30, 3), "last"), ((900, 3), "all")])
def test_csv_has_a_line_for_each_output(net, small, tmp_path, shape, outputs):
    x = inputs(*shape)
    np.save(tmp_path / "x.npy", x)
    elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.csv", outputs=outputs)
    y = np.loadtxt(tmp_path / "y.csv", delimiter=",", dtype=np.float32)
    assert y.tobytes() == net(x, outputs=outputs).tobytes()


def test_tables_of_text_are_run_as_by_run_table(net, tmp_path):
    x = inputs(50, 3)
    (tmp_path / "x.csv").write_bytes(as_csv(x))
    done = elman.run_files(net, tmp_path / "x.csv", tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy").tobytes() == net(x).tobytes()
    assert (done.sequences, done.steps) == (1, 50)


# --- bad data -------------------------------------------------------------------------------------


def test_numbers_that_are_not_finite_propagate_unless_refused(net, small, tmp_path):
    x = inputs(70, 30, 3)
    x[40, 7, 2], x[50, 9, 1], x[60, 20, 0] = np.nan, -np.inf, 1e39
    with np.errstate(over="ignore"):
        expected = net(x)
        y, _ = run(net, x, tmp_path)
    assert np.array_equal(y, expected, equal_nan=True)
    with pytest.raises(elman.TableError) as raised:
        run(net, x, tmp_path, nonfinite="raise")
    assert str(raised.value).startswith(
        f"{tmp_path / 'x.npy'}, row 40: step 7, input 2: expected a finite number of float32, got"
        " nan: skip_bad="
    )


@pytest.mark.parametrize("steps", [30, 900])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_bad_sequences_are_listed_and_their_outputs_are_nan(net, small, tmp_path, steps, outputs):
    x = inputs(70, steps, 3)
    bad = {3: "nan", 40: "1e+39", 69: "-inf"}
    for row, value in bad.items():
        x[row, steps - 10, 1] = float(value)
    listed = tmp_path.parent / f"{tmp_path.name}.bad"
    y, done = run(net, x, tmp_path, outputs=outputs, nonfinite="raise", skip_bad=listed)
    found = [json.loads(line) for line in listed.read_text().splitlines()]
    assert sorted(each["row"] for each in found) == list(bad)
    for each in found:
        assert each["file"] == str(tmp_path / "x.npy")
        assert each["reason"].endswith(f"finite number of float32, got {bad[each['row']]}")
    assert (done.sequences, done.steps, done.bad) == (67, 67 * steps, 3)
    rows = list(bad)
    assert np.isnan(y[rows]).all()
    good = np.delete(np.arange(70), rows)
    assert y[good].tobytes() == net(x[good], outputs=outputs).tobytes()


def test_files_that_cannot_be_read_are_listed(net, tmp_path):
    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "a.npy", inputs(4, 5, 3))
    np.save(tmp_path / "x" / "wide.npy", inputs(4, 5, 4))
    whole = (tmp_path / "x" / "a.npy").read_bytes()
    (tmp_path / "x" / "short.npy").write_bytes(whole[:-1])
    with pytest.raises(elman.TableError, match=r"short\.npy: expected an NPY file of numbers, got"):
        elman.run_files(net, tmp_path / "x", tmp_path / "y")
    bad = tmp_path / "bad.jsonl"
    done = elman.run_files(net, tmp_path / "x", tmp_path / "y", skip_bad=bad)
    found = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [os.path.basename(each["file"]) for each in found] == ["short.npy", "wide.npy"]
    assert found[1]["reason"] == "expected (..., T, 3), got (4, 5, 4)"
    assert found[1]["row"] is None
    assert (done.sequences, done.bad) == (4, 2)
    assert os.listdir(tmp_path / "y") == ["a.npy"]
    (tmp_path / "x" / "a.npy").unlink()
    os.mkfifo(tmp_path / "x" / "pipe.npy")
    with pytest.raises(elman.TableError, match=r"pipe\.npy: expected a regular file"):
        elman.run_files(net, tmp_path / "x", tmp_path / "z", skip_bad=bad)
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize(
    ("source", "destination", "options", "said"),
    [
        ("x.npy", "x.npy", {}, "expected a file other than"),
        ("x.npy", "y.npy", {"skip_bad": "y.npy"}, "skip_bad: expected a file other"),
        ("x.npy", "y.csv", {}, "use format='npy'"),
        ("x.npy", "y.npy", {"sequence": "id"}, "sequence: expected none with an array"),
        ("x.npy", "y.npy", {"columns": ["id"]}, "columns: expected none"),
        ("x.npy", "y.npy", {"memory": 10}, "memory: expected at least"),
        ("x.npy", "y.npy", {"nonfinite": "no"}, "nonfinite: expected 'propagate' or 'raise'"),
        (
            "x.npy",
            "y.npy",
            {"format": "x"},
            "format: expected None or 'npy' or 'csv' or 'parquet', got 'x'",
        ),
        ("x.npy", "y.npy", {"progress": 1}, "progress: expected a function, got int"),
        (".", "x.npy", {}, "destination: expected a folder"),
        (".", "-", {}, "destination: expected a folder"),
        (".", ".", {}, "destination: expected a folder outside of ., all files of"),
        (".", "./y", {}, "destination: expected a folder outside of ., all files of"),
        ("x.npy", "y.npy", {"skip_bad": "-"}, "skip_bad: expected a regular file, got -"),
        (["x.npy", "x.npy"], "y", {}, "source: expected files of different names"),
        (
            ["x.npy", "./x.npy"],
            "y",
            {},
            "outputs have them, got x.npy and ./x.npy, both to x.npy",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(
    net, tmp_path, monkeypatch, source, destination, options, said
):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", inputs(4, 5, 3))
    before = (tmp_path / "x.npy").read_bytes()
    with contextlib.chdir(tmp_path), pytest.raises(elman.ElmanError) as raised:
        elman.run_files(net, source, destination, **options)
    assert said in str(raised.value)
    assert os.listdir(tmp_path) == ["x.npy"]
    assert (tmp_path / "x.npy").read_bytes() == before


@pytest.mark.parametrize("source", ["d", "d/*.npy", ["d/x.npy"]])
@pytest.mark.parametrize("option", ["columns", "inputs", "sequence", "missing"])
def test_options_of_tables_are_refused_for_many_arrays(net, tmp_path, monkeypatch, source, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d" / "x.npy", inputs(4, 5, 3))
    value = ["a"] if option in ("columns", "inputs") else "hold"
    with pytest.raises(elman.ArgumentError, match=f"^{option}: expected none"):
        elman.run_files(net, source, "y", **{option: value})
    assert sorted(os.listdir()) == ["d"]


@pytest.mark.parametrize("names", [("p/a.npy", "q/a.npy"), ("a.npy", "a.npy.gz")])
def test_outputs_of_one_name_are_refused(net, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with (gzip.open if name.endswith(".gz") else open)(name, "wb") as file:
            np.save(file, inputs(4, 5, 3))
    with pytest.raises(elman.ArgumentError, match=f"^source: .* got {' and '.join(names)}, both"):
        elman.run_files(net, names, "y")
    assert not os.path.exists("y")


@pytest.mark.parametrize("ignored", [False, True])
def test_names_may_differ_in_case_where_files_may(net, tmp_path, monkeypatch, ignored):
    names = {"p/a.npy": inputs(4, 5, 3), "q/A.npy": inputs(4, 5, 3)}
    monkeypatch.chdir(tmp_path)
    for name, x in names.items():
        os.makedirs(os.path.dirname(name))
        np.save(name, x)
    monkeypatch.setattr(sources, "_ignores_case", lambda path: ignored)
    if ignored:
        with pytest.raises(elman.ArgumentError, match=r"got p/a\.npy and q/A\.npy, both to A\.npy"):
            elman.run_files(net, list(names), "y")
        return
    elman.run_files(net, list(names), "y")
    for name, x in names.items():
        assert np.load(f"y/{os.path.basename(name)}").tobytes() == net(x).tobytes()


def test_a_missing_file_or_pattern_is_named(net, tmp_path):
    for name in ("no.npy", "no*.npy"):
        with pytest.raises(FileNotFoundError, match="no"):
            elman.run_files(net, tmp_path / name, tmp_path / "y.npy")


# --- memory ---------------------------------------------------------------------------------------

MEASURED = """
import sys, numpy as np, elman
folder, memory = sys.argv[1], int(sys.argv[2])
net = elman.Network(16, 32, 8, seed=0)
np.save(folder + "/small.npy", np.zeros((4, 100, 16), np.float32))
elman.run_files(net, folder + "/small.npy", folder + "/y.npy", memory=memory)
before = from_now()
elman.run_files(net, folder + "/x.npy", folder + "/y.npy", memory=memory)
print(peak() - before)
"""


@measures_peak
@pytest.mark.parametrize("shape", [(10_000, 100, 16), (10, 100_000, 16), (1_000_000, 16)])
def test_memory_is_bounded_whatever_the_size_of_the_file(tmp_path, shape):
    memory = 4 << 20
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    assert file.nbytes == 64 * 10**6  # of zeros, which are not stored
    del file
    done = python(MEASURED, tmp_path, memory)
    assert done.returncode == 0, done.stderr
    used = int(done.stdout)
    assert used < 2.5 * memory  # threads and the allocator add something


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(70, 30, 3), (2, 900, 3), (900, 3)])
@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("order", "CF")
def test_compressed_arrays_and_devices_are_read_and_written_in_order(
    net, small, tmp_path, shape, outputs, order
):
    x = np.asarray(inputs(*shape), order=order)
    np.savez_compressed(tmp_path / "x.npz", x)
    with gzip.open(tmp_path / "x.npy.gz", "wb") as file:
        np.save(file, x)
    expected = net(x, outputs=outputs)
    for name in ("x.npz", "x.npy.gz"):
        elman.run_files(net, tmp_path / name, tmp_path / "y.npy", outputs=outputs)
        assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes()
    with (tmp_path / "direct").open("w+b") as file:
        target = f"/dev/fd/{file.fileno()}"
        elman.run_files(net, tmp_path / "x.npz", target, outputs=outputs, format="npy")
        file.seek(0)
        assert np.load(file).tobytes() == expected.tobytes()


def test_a_file_that_changes_while_it_is_read_is_refused(net, small, tmp_path):
    x = inputs(700, 30, 3)
    np.save(tmp_path / "x.npy", x)

    def change(done):
        with (tmp_path / "x.npy").open("r+b") as file:
            file.seek(200)
            file.write(b"\0")

    with pytest.raises(elman.TableError, match=r"x\.npy: expected a file that does not change"):
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", progress=change)
