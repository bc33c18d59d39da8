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
from fixtures.parquet import read  # noqa: E402

pytestmark = pytest.mark.any_isa

RNG = np.random.default_rng(0)


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of a few sequences."""
    monkeypatch.setattr(jobs, "PART", 1000)


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
jobs.PART, pipeline.SECONDS, running.DEPTH, stored.DEEPEST = 1000, 0, 1, 1
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
