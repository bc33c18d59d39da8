"""The part of `stored.py` about Parquet."""

from __future__ import annotations

import importlib.util
import statistics
from typing import TYPE_CHECKING

import numpy as np

import elman

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    Spent = tuple[float, float]  # seconds, and those of the processors

INPUTS, HIDDEN, OUTPUTS, STEPS = 16, 64, 8, 100
CORES = 2
BATCH = 1024
PARTS = ("pyarrow reads", "the network runs", "pyarrow writes")


def report(spent: dict[str, list[Spent]], sequences: int) -> None:
    """Print a table of reading, running and writing by themselves, and of whole runs."""
    bounds = allowed(spent)
    for way, times in spent.items():
        wall = [seconds for seconds, _ in times]
        ratios = [a / b for a, b in zip(bounds, wall, strict=True)]
        print(
            f"parquet  {way:22} {sequences / statistics.median(wall):11,.0f} sequences/s"
            f"  CPU {statistics.median(cpu for _, cpu in times):.2f} s"
            f"  {statistics.median(ratios):5.2f} of the bound ({min(ratios):.2f} to"
            f" {max(ratios):.2f})",
            flush=True,
        )
    total = statistics.median(sum(seconds for seconds, _ in each) for each in _parts(spent))
    print(f"parquet  the first three, summed {sequences / total:7,.0f} sequences/s", flush=True)


def allowed(spent: dict[str, list[Spent]]) -> list[float]:
    """Return the seconds that two cores need for the CPU time of the parts, in each round."""
    return [sum(cpu for _, cpu in each) / CORES for each in _parts(spent)]


def _parts(spent: dict[str, list[Spent]]) -> list[tuple[Spent, ...]]:
    """Return what the three parts took, for each round."""
    return list(zip(*(spent[way] for way in PARTS), strict=True))


def parquet_ways(folder: pathlib.Path, sequences: int) -> dict[str, Callable[[], object]]:
    """Return the ways for a Parquet file; check that they agree."""
    import pyarrow as pa
    from pyarrow import parquet

    net = elman.Network(INPUTS, HIDDEN, OUTPUTS, seed=0)
    x = np.random.default_rng(0).standard_normal((sequences * STEPS, INPUTS), np.float32)
    offsets = np.arange(0, sequences * STEPS + 1, STEPS)
    names = pa.array([f"machine {i}" for i in range(sequences)])
    y = net.run(x, offsets=offsets).output

    def write(name: str, column: str, values: np.ndarray) -> None:
        table = pa.table({"name": names, column: lists(values)})
        parquet.write_table(
            table, folder / name, use_dictionary=["name"], row_group_size=32 * BATCH
        )

    def lists(values: np.ndarray) -> object:
        steps = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), steps)

    write("x.parquet", "x", x)
    ways: dict[str, Callable[[], object]] = {
        "pyarrow reads": lambda: read(folder / "x.parquet"),
        "the network runs": lambda: net.run(x, offsets=offsets, threads=CORES),
        "pyarrow writes": lambda: write("z.parquet", "output", y),
        "run_files": lambda: elman.run_files(
            net, folder / "x.parquet", folder / "y.parquet", threads=CORES
        ),
    }
    if importlib.util.find_spec("torch") is not None:
        ways["PyTorch, DataLoader"] = lambda: torch_loop(net, folder, CORES)
        ways["PyTorch, one thread"] = lambda: torch_loop(net, folder, 1)
    for way, run in list(ways.items())[3:]:
        run()
        found = parquet.read_table(folder / "y.parquet")["output"].combine_chunks()
        found = found.flatten().flatten().to_numpy().reshape(y.shape)
        same = np.allclose(found, y, atol=1e-5) if "PyTorch" in way else (found == y).all()
        if not same:
            raise SystemExit(f"{way}: other numbers")
    return ways


def write_rows(path: pathlib.Path, sequences: int) -> None:
    """Write names and sequences, a row group at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    kind = pa.list_(pa.list_(pa.float32(), INPUTS))
    schema = pa.schema([("name", pa.string()), ("x", kind)])
    with parquet.ParquetWriter(path, schema, use_dictionary=["name"]) as writer:
        for first in range(0, sequences, 32 * BATCH):
            count = min(32 * BATCH, sequences - first)
            x = np.random.default_rng(first).standard_normal(count * STEPS * INPUTS, np.float32)
            steps = pa.FixedSizeListArray.from_arrays(pa.array(x), INPUTS)
            offsets = pa.array(np.arange(count + 1) * STEPS, pa.int32())
            names = pa.array([f"machine {i}" for i in range(first, first + count)])
            columns = [names, pa.ListArray.from_arrays(offsets, steps)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def read(path: pathlib.Path) -> None:
    """Read a file as pyarrow does, batch by batch."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for _ in file.iter_batches(batch_size=BATCH):
            pass


def torch_loop(net: elman.Network, folder: pathlib.Path, threads: int) -> None:
    """Run the file by a `DataLoader` over its batches and `nn.RNN`."""
    import pyarrow as pa
    import torch
    from pyarrow import parquet

    torch.set_num_threads(threads)
    modules = elman.to_torch(net)

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            with parquet.ParquetFile(folder / "x.parquet") as file:
                for batch in file.iter_batches(batch_size=BATCH):
                    x = batch.column("x").flatten().flatten().to_numpy()
                    yield batch.column("name"), torch.tensor(x.reshape(-1, STEPS, INPUTS))

    kind = pa.list_(pa.list_(pa.float32(), OUTPUTS))
    schema = pa.schema([("name", pa.string()), ("output", kind)])
    with (
        torch.inference_mode(),
        parquet.ParquetWriter(folder / "y.parquet", schema, use_dictionary=["name"]) as writer,
    ):
        for names, batch in torch.utils.data.DataLoader(Batches(), batch_size=None):
            y = torch.sigmoid(modules.readout(modules.rnn(batch)[0])).numpy()
            steps = pa.FixedSizeListArray.from_arrays(pa.array(y.ravel()), OUTPUTS)
            offsets = pa.array(np.arange(len(y) + 1) * STEPS, pa.int32())
            column = pa.ListArray.from_arrays(offsets, steps)
            writer.write_table(pa.Table.from_arrays([names, column], schema=schema))


if __name__ == "__main__":
    raise SystemExit("run stored.py --kinds parquet")
