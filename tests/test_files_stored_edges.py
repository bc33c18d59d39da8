"""`elman.run_files`: compressed files, arrays without steps, and what is refused beforehand."""

import bz2
import contextlib
import gzip
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import elman
from elman.files import jobs, journal, npy, pipeline
from elman.files.inputs import Input
from elman.files.npy import NpySource, Plan
from fixtures.tables import inputs

pytestmark = pytest.mark.any_isa


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, seed=1)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(jobs, "PART", 4000)
    monkeypatch.setattr(pipeline, "SECONDS", 0)


def interrupted(net, *arguments, at=3, **options):
    """Start a run and interrupt it after some parts."""
    left = iter(range(at))

    def progress(done):
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        elman.run_files(net, *arguments, progress=progress, threads=1, **options)


@pytest.mark.parametrize("shape", [(4, 2000, 3), (2000, 3)])
def test_compressed_arrays_are_read_in_order_and_continued(net, small, tmp_path, shape):
    arrays = [inputs(*shape), 2 * inputs(*shape)]
    for module, name, x in zip((gzip, bz2), ("a.npy.gz", "b.npy.bz2"), arrays, strict=True):
        with module.open(tmp_path / name, "wb") as file:
            np.save(file, x)
    source, out = [tmp_path / "a.npy.gz", tmp_path / "b.npy.bz2"], tmp_path / "out"
    interrupted(net, source, out, at=9)
    assert elman.run_files(net, source, out).resumed > 0
    assert sorted(os.listdir(out)) == ["a.npy", "b.npy"]
    for name, x in zip(("a.npy", "b.npy"), arrays, strict=True):
        assert np.load(out / name).tobytes() == net(x).tobytes()


def test_a_compressed_array_in_fortran_order_must_fit(net, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", np.asfortranarray(inputs(4, 3000, 3)))
    with pytest.raises(elman.LimitError, match=r"memory: expected at least 288000 bytes for all"):
        elman.run_files(net, tmp_path / "x.npz", tmp_path / "y.npy", memory=200_000)


def test_an_array_without_steps_takes_no_memory(net, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10**12, 0, 3), np.float32))
    done = elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy")
    assert (done.sequences, done.steps) == (10**12, 0)
    assert np.load(tmp_path / "y.npy").shape == (10**12, 0, 2)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("own", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_a_number_that_is_not_finite_is_seen_in_any_dtype(tmp_path, dtype, own, value):
    net = elman.Network(3, 4, 2, seed=0, dtype=own)
    x = np.zeros((4, 5, 3), dtype)
    x[2, 1, 0] = value
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(elman.TableError, match="row 2: step 1, input 0: expected a finite"):
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", nonfinite="raise")
    np.save(tmp_path / "x.npy", np.full((4, 5, 3), np.finfo(dtype).max if dtype == "f2" else 9))
    elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", nonfinite="raise")


def test_the_list_of_bad_sequences_can_be_written(net, tmp_path):
    np.save(tmp_path / "x.npy", inputs(4, 5, 3))
    for name, error in (("no/bad", FileNotFoundError), ("", IsADirectoryError)):
        with pytest.raises(error):
            elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy", skip_bad=tmp_path / name)
        assert os.listdir(tmp_path) == ["x.npy"]


@pytest.mark.parametrize("memory", [10_000, 20_000, 50_000, 1 << 28])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_number_of_threads_does_not_change_the_parts(small, tmp_path, memory, direction):
    net = elman.Network(3, [8, 5], 2, seed=1, direction=direction)
    np.save(tmp_path / "x.npy", inputs(700, 10, 3).astype(np.float32))
    found = []
    for threads in (1, 2, 8, 64):
        plan = Plan(memory, threads, in_order=False, last=False, finite=False, skip=False)
        with contextlib.closing(
            NpySource(net, [Input(str(tmp_path / "x.npy"), "x.npy")], plan)
        ) as source:
            assert 1 <= source.lanes <= threads
            found.append(list(source.parts()))
    assert all(parts == found[0] for parts in found)


@pytest.mark.parametrize("memory", [20_000, 50_000, 1 << 28])
@pytest.mark.parametrize("form", ["npy", "csv"])
def test_the_parts_are_all_steps_in_order(net, small, tmp_path, memory, form):
    shapes = [(700, 10, 3), (3, 2000, 3), (33, 500, 3), (5, 0, 3), (0, 5000, 3), (2, 2, 90, 3)]
    plan = Plan(memory, 2, in_order=form == "csv", last=False, finite=False, skip=False)
    files = [Input(str(tmp_path / f"{i}.npy"), f"{i}.npy") for i in range(len(shapes))]
    for file, shape in zip(files, shapes, strict=True):
        np.save(file.path, np.zeros(shape, np.float32))
    with contextlib.closing(NpySource(net, files, plan)) as source:
        parts = source.parts()
    each = list(parts)
    assert [parts[i] for i in range(len(parts))] == each
    assert (parts[-1], parts.size) == (each[-1], sum(part.size for part in each))
    assert parts.largest == max(part.size for part in each)
    places = [(part.file, part.first, part.begin) for part in each]
    assert places == sorted(set(places))
    assert [part.file for part in each if part.last] == list(range(len(shapes)))
    for file, shape in enumerate(shapes):
        seen = np.zeros((int(np.prod(shape[:-2])), shape[-2]), int)
        for part in each:
            if part.file == file:
                seen[part.first : part.first + part.count, part.begin : part.end] += 1
                assert part.size == part.count * (part.end - part.begin) * 12
        assert (seen == 1).all()


def header_of(shape):
    """Return an NPY file that ends with its header."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.fixture
def made(monkeypatch):
    """All parts that are made."""
    found = []

    def part(*arguments):
        found.append(jobs.Part(*arguments))
        return found[-1]

    monkeypatch.setattr(npy, "Part", part)
    return found


@pytest.mark.parametrize("shape", [(2**40, 3), (2**30, 2**10, 3), (2**58, 3)])
def test_what_a_header_claims_is_divided_by_arithmetic(net, made, shape):
    header = npy.Header(shape, np.dtype("f8"), fortran=False, begin=128, in_order=True)
    plan = Plan(1 << 28, 2, in_order=True, last=False, finite=False, skip=False)
    parts = jobs.Parts([npy.pieces(net, 0, "x", header, plan, 2)])
    first, last = parts[0], parts[-1]
    assert first.size == parts.largest <= jobs.PART
    assert len(parts) == -(-header.size // first.size)
    assert parts.size == header.size == (len(parts) - 1) * first.size + last.size
    assert (last.first + last.count, last.end) == (header.sequences, header.steps)
    assert len(made) <= 3


@pytest.mark.parametrize("destination", ["y.npy", "y.csv"])
def test_a_claim_on_standard_input_costs_nothing(net, made, tmp_path, monkeypatch, destination):
    (tmp_path / "x.npy").write_bytes(header_of((2**40, 3)))
    with (tmp_path / "x.npy").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(elman.TableError, match="fewer values than its shape says"):
            elman.run_files(net, "-", tmp_path / destination)
    assert len(made) <= 3
    assert os.listdir(tmp_path) == ["x.npy"]


def test_a_claim_in_a_compressed_file_costs_nothing(net, made, tmp_path):
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress(header_of((2**40, 3))))
    with pytest.raises(elman.LimitError, match="expected at most 200 times its size"):
        elman.run_files(net, tmp_path / "x.npy.gz", tmp_path / "y.npy")
    assert made == []


@pytest.mark.parametrize("shape", [(2**62, 2**62, 3), (2**70, 0, 3), (0, 2**62, 3), (2**60, 3)])
def test_a_shape_that_no_array_can_have(net, tmp_path, shape):
    (tmp_path / "x.npy").write_bytes(header_of(shape))
    with pytest.raises(elman.TableError, match="got a damaged one: shape"):
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy")


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_any_number_of_steps_of_no_sequence(made, tmp_path, direction, outputs):
    net = elman.Network(3, 4, 2, seed=1, direction=direction)
    (tmp_path / "x.npy").write_bytes(header_of((0, 2**40, 3)))
    np.save(tmp_path / "n.npy", np.zeros(0, np.int64))
    for options in ({}, {"lengths": tmp_path / "n.npy"}):
        done = elman.run_files(
            net, tmp_path / "x.npy", tmp_path / "y.npy", outputs=outputs, **options
        )
        assert (done.sequences, done.steps) == (0, 0)
        shape = (0, 2**40, 2) if outputs == "all" else (0, 2)
        assert np.load(tmp_path / "y.npy").shape == shape
    assert set(made) == {jobs.Part(0, 0, 0, 0, True, 0, 2**40)}


def test_another_division_into_parts_does_not_continue(net, small, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", inputs(700, 30, 3))
    interrupted(net, tmp_path / "x.npy", tmp_path / "y.npy")
    monkeypatch.setattr(jobs, "PART", 5000)
    with pytest.raises(elman.ArgumentError, match="to continue it, got other parts, as of another"):
        elman.run_files(net, tmp_path / "x.npy", tmp_path / "y.npy")


def test_an_output_that_was_removed_is_not_taken_for_done(net, tmp_path, monkeypatch):
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, inputs(4, 5, 3))

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            elman.run_files(net, x, y)
    y.unlink()
    with pytest.raises(elman.ArgumentError, match=r"y\.npy: expected the output of a run that was"):
        elman.run_files(net, x, y)
    elman.run_files(net, x, y, restart=True)
    assert np.load(y).tobytes() == net(np.load(x)).tobytes()


@pytest.mark.parametrize("end", [b'{"parts": 3}', b'{"parts": 3}\n{"par'])
def test_a_line_without_its_end_does_not_count(tmp_path, end):
    (tmp_path / "journal.jsonl").write_bytes(b'{"parts": 2}\n' + end)
    records, size = journal.Journal(str(tmp_path))._read()
    assert [record["parts"] for record in records] == [2] + [3] * (b"\n" in end)
    assert size == 13 * len(records)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does it")
def test_an_interrupt_does_not_wait_for_a_pipe(net, tmp_path):
    net.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", inputs(1000, 3))
    command = [sys.executable, "-m", "elman", "run", "m.safetensors", "-", "-o", "y.npy"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write((tmp_path / "x.npy").read_bytes()[:-9])
        process.stdin.flush()
        while not (tmp_path / ".y.npy.elman-run" / "manifest.json").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130  # its standard input is still open
    assert not (tmp_path / "y.npy").exists()
