"""The memory of `elman.run_files` over Parquet, beside that of Arrow's libraries. Linux only."""

import numpy as np
import pytest

import elman

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from fixtures.processes import measures_peak, python  # noqa: E402

pytestmark = [pytest.mark.any_isa, measures_peak]

MIB = 1 << 20
MEMORY = 8 * MIB

# Prints the peak of a run beyond that of one over a small file, which has loaded all libraries.
MEASURED = """
import sys
from elman.cli import main
model, small, large, output, *options = sys.argv[1:]
run = lambda source: [*sys.argv[:1], "run", model, source, "-o", output, *options]
sys.argv = run(small)
assert main() == 0
before = from_now()
sys.argv = run(large)
assert main() == 0
print(peak() - before)
"""


def write(path, rows, group):
    """Write row groups of sequences of 100 steps of zeros, which take little space on the disk."""
    steps = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(group * 1600, np.float32)), 16)
    offsets = pa.array(np.arange(0, group * 100 + 1, 100), pa.int32())
    x = pa.ListArray.from_arrays(offsets, steps)
    with pq.ParquetWriter(
        path, pa.schema([("key", pa.int64()), ("x", x.type)]), use_dictionary=False
    ) as file:
        for first in range(0, rows, group):
            table = [pa.array(range(first, first + group), pa.int64()), x]
            file.write_table(pa.Table.from_arrays(table, names=["key", "x"]))


@pytest.mark.parametrize("pool", ["default", "system"])
def test_memory_is_bounded_whatever_the_size_of_the_file(tmp_path, monkeypatch, pool):
    """The default pool of Arrow keeps up to 50 MiB; the command takes the system's."""
    elman.Network(16, 32, 8, seed=0).save(tmp_path / "m.safetensors")
    write(tmp_path / "small.parquet", 4, 4)
    write(tmp_path / "x.parquet", 20_000, 5000)
    column = pq.read_metadata(tmp_path / "x.parquet").row_group(3).column(1)
    assert 4 * column.total_uncompressed_size > 12 * MEMORY
    if pool == "default":
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
    else:
        monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    files = [tmp_path / name for name in ("m.safetensors", "small.parquet", "x.parquet", "y")]
    done = python(MEASURED, *files, "--memory", MEMORY, "--format", "parquet")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MEMORY + (64 if pool == "default" else 24) * MIB
