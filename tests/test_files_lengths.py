"""`elman.run_files` over padded arrays: the bits of `Network.run` with lengths."""

import gzip
import json
import os

import numpy as np
import pytest

import elman
from elman.files import jobs, pipeline
from fixtures.command import answer
from fixtures.tables import inputs

pytestmark = pytest.mark.any_isa

SHAPES = [(170, 30, 3), (5, 17, 30, 3), (20, 200, 3), (2, 1900, 3), (900, 3), (0, 30, 3)]


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of about ten sequences of 30 steps; longer sequences are run in pieces."""
    monkeypatch.setattr(jobs, "PART", 4000)


def padded(folder, *shape, dtype=np.int64):
    """Write and return sequences and their lengths, some of no step and some of all."""
    x = inputs(*shape).astype(np.float32)
    lengths = np.random.default_rng(0).integers(0, shape[-2] + 1, shape[:-2])
    lengths.reshape(-1)[:2] = [0, shape[-2]][: lengths.size]
    x[np.arange(shape[-2]) >= lengths[..., np.newaxis]] = np.nan  # whatever the padding contains
    np.save(folder / "x.npy", x)
    np.save(folder / "n.npy", lengths.astype(dtype))
    return x, lengths


def run(net, folder, target="y.npy", **options):
    return elman.run_files(
        net, folder / "x.npy", folder / target, lengths=folder / "n.npy", **options
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_bits_of_a_call_with_lengths(tmp_path, shape, outputs, direction):
    net = elman.Network(3, [8, 5], 2, seed=1, direction=direction)
    x, lengths = padded(tmp_path, *shape)
    done = run(net, tmp_path, outputs=outputs, nonfinite="raise")
    expected = net.run(x, lengths=lengths, outputs=outputs).output
    y = np.load(tmp_path / "y.npy")
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    assert y.tobytes() == expected.tobytes()
    assert (done.sequences, done.steps, done.bad) == (lengths.size, lengths.sum(), 0)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u8"])
@pytest.mark.parametrize("order", "CF")
def test_lengths_of_any_integers_in_any_order(net, tmp_path, dtype, order):
    x, lengths = padded(tmp_path, 5, 17, 30, 3)
    np.save(tmp_path / "n.npy", np.asarray(lengths.astype(dtype), order=order))
    run(net, tmp_path)
    y = np.load(tmp_path / "y.npy")
    assert y.tobytes() == net.run(x, lengths=lengths).output.tobytes()


def test_compressed_arrays_and_csv(net, tmp_path):
    x, lengths = padded(tmp_path, 20, 200, 3)
    with gzip.open(tmp_path / "x.npy.gz", "wb") as file:
        np.save(file, x)
    arguments = (net, tmp_path / "x.npy.gz", tmp_path / "y.csv")
    elman.run_files(*arguments, lengths=tmp_path / "n.npy", outputs="last")
    y = np.loadtxt(tmp_path / "y.csv", delimiter=",", dtype=np.float32)
    assert y.tobytes() == net.run(x, lengths=lengths, outputs="last").output.tobytes()


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_lists_of_parquet_have_no_padding(net, tmp_path, outputs):
    pytest.importorskip("pyarrow")
    from fixtures.parquet import read

    x, lengths = padded(tmp_path, 170, 30, 3)
    run(net, tmp_path, "y.parquet", outputs=outputs)
    y = net.run(x, lengths=lengths, outputs=outputs).output
    rows = [row[:n] for row, n in zip(y, lengths, strict=True)] if outputs == "all" else y
    assert read(tmp_path / "y.parquet")["output"].to_pylist() == [row.tolist() for row in rows]


def test_the_command(net, tmp_path):
    x, lengths = padded(tmp_path, 170, 30, 3)
    net.save(tmp_path / "m.safetensors")
    files = [tmp_path / name for name in ("m.safetensors", "x.npy")]
    answer("run", *files, "--lengths", tmp_path / "n.npy", "-o", tmp_path / "y.npy")
    expected = net.run(x, lengths=lengths).output
    assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes()


# --- interrupted runs -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(170, 30, 3), (20, 900, 3)])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_an_interrupted_run_is_continued(net, tmp_path, monkeypatch, shape, outputs):
    monkeypatch.setattr(pipeline, "SECONDS", 0)
    x, lengths = padded(tmp_path, *shape)

    def stop(done):
        if done.fraction > 0.5:
            raise KeyboardInterrupt

    options = {"outputs": outputs, "threads": 1}
    with pytest.raises(KeyboardInterrupt):
        run(net, tmp_path, progress=stop, **options)
    with pytest.raises(elman.ArgumentError, match="to continue it, got other input files"):
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", **options)
    done = run(net, tmp_path, **options)
    assert done.resumed > 0.3
    assert done.steps == lengths.sum()
    expected = net.run(x, lengths=lengths, outputs=outputs).output
    assert np.load(tmp_path / "y.npy").tobytes() == expected.tobytes()


def test_changed_lengths_do_not_continue(net, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "SECONDS", 0)
    _, lengths = padded(tmp_path, 170, 30, 3)

    def stop(done):
        if done.fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(net, tmp_path, progress=stop, threads=1)
    np.save(tmp_path / "n.npy", lengths.clip(1))
    with pytest.raises(elman.ArgumentError, match=r"an input that has changed since, .*n\.npy"):
        run(net, tmp_path)


def test_lengths_that_change_during_a_run_are_refused(net, tmp_path):
    padded(tmp_path, 700, 30, 3)

    def change(done):
        os.utime(tmp_path / "n.npy", ns=(1, 1))

    with pytest.raises(elman.TableError, match=r"n\.npy: expected a file that does not change"):
        run(net, tmp_path, progress=change, threads=1)


# --- bad data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(70, 30, 3), (70, 900, 3)])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_bad_lengths_and_numbers_are_named_and_left_out(net, tmp_path, shape, outputs):
    x, lengths = padded(tmp_path, *shape)
    steps = shape[1]
    lengths[3], lengths[40], lengths[50] = steps + 1, -1, steps
    x[50] = inputs(steps, 3)
    x[50, steps - 2, 1] = np.inf
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "n.npy", lengths)
    options = {"outputs": outputs, "nonfinite": "raise"}
    with pytest.raises(elman.TableError) as raised:
        run(net, tmp_path, **options)
    said = f"x.npy, row 3: lengths: expected 0 to T = {steps}, got {steps + 1}: skip_bad= (--skip-b"
    assert said in str(raised.value)
    done = run(net, tmp_path, skip_bad=tmp_path / "bad.jsonl", **options)
    found = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    reasons = {each["row"]: each["reason"] for each in found}
    assert sorted(reasons) == [3, 40, 50]
    assert reasons[40] == f"lengths: expected 0 to T = {steps}, got -1"
    assert reasons[50].startswith(f"step {steps - 2}, input 1: expected a finite number")
    y, good = np.load(tmp_path / "y.npy"), np.delete(np.arange(70), [3, 40, 50])
    assert np.isnan(y[[3, 40, 50]]).all()
    expected = net.run(x[good], lengths=lengths[good], outputs=outputs).output
    assert y[good].tobytes() == expected.tobytes()
    assert (done.sequences, done.steps, done.bad) == (67, lengths[good].sum(), 3)


@pytest.mark.parametrize(
    ("lengths", "error", "said"),
    [
        (np.zeros(69, int), elman.ShapeError, "lengths: expected one for each sequence of x.npy, "),
        (np.zeros((70, 1), int), elman.ShapeError, "(70,), got (70, 1) in n.npy"),
        (np.zeros(70), elman.DTypeError, "lengths: expected integers, got float64 in n.npy"),
        (np.zeros(70, bool), elman.DTypeError, "lengths: expected integers, got bool in n.npy"),
        (np.zeros(70, "U1"), elman.TableError, "n.npy: expected an NPY file of numbers, got <U1"),
        (b"1\n2\n", elman.TableError, "n.npy: expected an NPY file of lengths, not compressed"),
    ],
)
def test_other_files_are_refused(net, tmp_path, monkeypatch, lengths, error, said):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", inputs(70, 30, 3))
    if isinstance(lengths, bytes):
        (tmp_path / "n.npy").write_bytes(lengths)
    else:
        np.save("n.npy", lengths)
    with pytest.raises(error) as raised:
        elman.run_files(net, "x.npy", "y.npy", lengths="n.npy")
    assert said in str(raised.value)
    assert sorted(os.listdir()) == ["n.npy", "x.npy"]


@pytest.mark.parametrize(
    ("source", "destination", "said"),
    [
        ("d", "y", "lengths: expected None with several files, from d, got n.npy"),
        ("t.csv", "y.csv", "lengths: expected None with a table of text, t.csv, got n.npy"),
        ("d/x.npy", "n.npy", "n.npy: expected a file other than n.npy, which it would overwrite"),
    ],
)
def test_lengths_are_for_one_array(net, tmp_path, monkeypatch, source, destination, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    np.save("d/x.npy", inputs(70, 30, 3))
    np.save("n.npy", np.full(70, 3))
    (tmp_path / "t.csv").write_text("1,2,3\n")
    with pytest.raises(elman.ArgumentError) as raised:
        elman.run_files(net, source, destination, lengths="n.npy")
    assert str(raised.value) == said
    assert sorted(os.listdir()) == ["d", "n.npy", "t.csv"]


def test_lists_have_their_own_lengths(net, tmp_path):
    pytest.importorskip("pyarrow")
    from fixtures.parquet import lists, pa, pq, ragged

    np.save(tmp_path / "n.npy", np.full(9, 3))
    pq.write_table(pa.table({"x": lists(*ragged(9, 3))}), tmp_path / "x.parquet")
    arguments = (net, tmp_path / "x.parquet", tmp_path / "y.parquet")
    with pytest.raises(elman.ArgumentError, match="lengths: expected None with Parquet, where"):
        elman.run_files(*arguments, lengths=tmp_path / "n.npy")
