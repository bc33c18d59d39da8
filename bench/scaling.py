"""Networks and training on Dask, Ray and Spark beside one process, for docs/scaling.md.

    pip install 'elman[dask,ray]' 'pyspark>=4' pandas
    python bench/scaling.py                  # measure all parts, into bench/scaling.json
    python bench/scaling.py alone training   # measure some of them again
    python bench/scaling.py --page           # write the tables of docs/scaling.md
    python bench/scaling.py --check          # fail if the page has other tables

Two workers need two idle cores. Rates are those of a network (16, 64, 8) in float32 on sequences of
100 steps. The parts interleave what they compare; values are medians, with the range.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import pickle
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "scaling.json"
PAGE = ROOT / "docs" / "scaling.md"

I, H, O, T = 16, 64, 8, 100
COUNT = 16384  # sequences of a measurement
CHUNKS = (16, 64, 256, 1024, 4096)
CHUNK = 1024
SIZES = (8192, 65536)  # sequences of jobs on Ray and Spark, whose start is not counted in a rate
UPDATES = (256, 1024, 4096)  # sequences of a minibatch
ROUNDS = 7
JOBS = 3  # rounds of jobs on Ray and Spark, which take seconds
STORE = 1200 * 2**20  # bytes of shared memory that Ray may use
STORED = 16384  # sequences of training data whose memory is measured
PRICE = 0.04  # dollars per core hour: an assumption, of the page too

Results = dict[str, Any]


def network() -> elman.Network:
    """Return the network that all parts use."""
    return elman.Network(
        input_size=I, hidden_size=H, output_size=O, output_activation="identity", seed=0
    )


def sequences(count: int) -> np.ndarray[Any, Any]:
    """Return noise (count, T, I)."""
    return np.random.default_rng(0).standard_normal((count, T, I), dtype=np.float32)


def seconds(function: Callable[[], object]) -> float:
    """Return the time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Return the times of functions called in turn, after one call each."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


# --- one process ----------------------------------------------------------------------------------


def alone() -> Results:
    """Measure one process, and the bytes and times of a pickle."""
    net, x = network(), sequences(COUNT)
    data = pickle.dumps(net)
    with tempfile.TemporaryDirectory() as folder:
        net.save(f"{folder}/model.safetensors")
        file_bytes = os.path.getsize(f"{folder}/model.safetensors")
    runs = {str(n): lambda n=n: net.run(x, outputs="last", threads=n) for n in (1, 2)}
    loads = [seconds(lambda: pickle.loads(data)) for _ in range(100)]
    return {
        "count": COUNT,
        "seconds": interleaved(runs),
        "file_bytes": file_bytes,
        "pickle_bytes": len(data),
        "unpickle_seconds": statistics.median(loads),
    }


# --- Dask -----------------------------------------------------------------------------------------


def empty(index: int) -> int:
    """Do nothing: a task of which only the overhead is measured."""
    return index


def peak_memory() -> int:
    """Return the most bytes that this process has had in memory."""
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return int(line) * 1024


def on_dask() -> Results:
    """Measure runs on one and two workers, by the size of a chunk."""
    from distributed import Client, LocalCluster

    found: Results = {"seconds": {}, "tasks": 1000, "task_seconds": [], "worker_bytes": {}}
    for workers in (1, 2):
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            found["seconds"][str(workers)] = _dask_runs(client)
            found["worker_bytes"][str(workers)] = max(client.run(peak_memory).values())
            if workers == 1:
                many = range(found["tasks"])
                for _ in range(ROUNDS):
                    start = time.perf_counter()
                    client.gather(client.map(empty, many, pure=False))
                    found["task_seconds"].append((time.perf_counter() - start) / len(many))
    return found


def used_memory() -> int:
    """Return the bytes that this process has in memory."""
    import psutil

    return psutil.Process().memory_info().rss


def _dask_runs(client: Any) -> dict[str, list[float]]:
    import dask.array as da
    from distributed import wait

    import elman.dask

    net, functions = network(), {}
    for chunk in CHUNKS:
        noise = da.random.default_rng(0)
        x = noise.random((COUNT, T, I), dtype=np.float32, chunks=(chunk, T, I)).persist()
        wait(x)

        def compute(x: Any = x) -> None:
            wait(elman.dask.run(net, x, outputs="last").output.persist())

        functions[str(chunk)] = compute
    return interleaved(functions)


# --- Ray ------------------------------------------------------------------------------------------


def on_ray() -> Results:
    """Measure datasets of two sizes on one and two actors, and a call that does nothing."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(  # more CPUs than actors: the tasks before and after them need some as well
        num_cpus=4, include_dashboard=False, object_store_memory=STORE, logging_level="ERROR"
    )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        actor = ray.remote(_Caller).remote()
        calls = [seconds(lambda: ray.get(actor.call.remote())) for _ in range(500)]
        ray.kill(actor)
        return {"seconds": _ray_runs(ray), "call_seconds": calls[100:]}
    finally:
        ray.shutdown()


class _Caller:
    def call(self) -> None:
        """Do nothing."""


def _ray_runs(ray: Any) -> Results:
    import elman.ray

    net, found = network(), {}
    block = sequences(CHUNK)
    for workers in (1, 2):
        functions = {}
        for count in SIZES:
            dataset = ray.data.from_numpy([block] * (count // CHUNK)).materialize()

            def run(dataset: Any = dataset, workers: int = workers) -> None:
                dataset.map_batches(
                    elman.ray.Predictor,
                    fn_constructor_args=(net,),
                    fn_constructor_kwargs={"inputs": "data", "outputs": "last"},
                    batch_format="numpy",
                    zero_copy_batch=True,
                    batch_size=CHUNK,
                    compute=ray.data.ActorPoolStrategy(size=workers),
                ).select_columns(["output"]).materialize()

            functions[str(count)] = run
        found[str(workers)] = interleaved(functions, JOBS)
    return found


# --- Spark ----------------------------------------------------------------------------------------


def on_spark() -> Results:
    """Measure `predict_batch_udf` on tables of two sizes on one and two cores."""
    import pyarrow as pa
    import pyarrow.parquet

    found: Results = {"seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        flat = sequences(CHUNK).reshape(CHUNK, -1)
        column = pa.FixedSizeListArray.from_arrays(flat.ravel(), flat.shape[1])
        table = pa.table({"x": column.cast(pa.list_(pa.float32()))})
        for count in SIZES:
            os.mkdir(f"{folder}/{count}")
            for i in range(count // CHUNK):
                pyarrow.parquet.write_table(table, f"{folder}/{count}/{i}.parquet")
        for workers in (1, 2):
            found["seconds"][str(workers)] = _spark_runs(folder, workers)
    return found


def _spark_runs(folder: str, workers: int) -> dict[str, list[float]]:
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import ArrayType, FloatType

    os.environ["PYSPARK_PYTHON"] = sys.executable
    model = pickle.dumps(network())
    spark = (
        SparkSession.builder.master(f"local[{workers}]")
        .config("spark.ui.enabled", False)
        .config("spark.sql.parquet.columnarReaderBatchSize", CHUNK)  # of 4096: out of memory
        .getOrCreate()
    )

    def make_predict() -> Callable[..., Any]:
        net = pickle.loads(model)
        return lambda x: net.run(x, outputs="last").output

    predict = predict_batch_udf(
        make_predict,
        return_type=ArrayType(FloatType()),
        batch_size=CHUNK,
        input_tensor_shapes=[[T, I]],
    )

    def run(name: str) -> None:
        frame = spark.read.parquet(f"{folder}/{name}").select(predict("x"))
        frame.write.format("noop").mode("overwrite").save()

    try:
        return interleaved({str(n): lambda n=n: run(str(n)) for n in SIZES}, JOBS)
    finally:
        spark.stop()


# --- training -------------------------------------------------------------------------------------


def training() -> Results:
    """Measure an update of a full batch: one process, and Dask and Ray with one and two workers."""
    import ray
    from distributed import Client, LocalCluster

    import elman.dask
    import elman.ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found: Results = {}
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=STORE, logging_level="ERROR")
    try:
        for workers in (1, 2):
            with (
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as c,
                Client(c) as client,
            ):
                for size in UPDATES:
                    place = found.setdefault(str(size), {})
                    place[f"process {workers}"] = _updates(size, elman.train, threads=workers)
                    place[f"dask {workers}"] = _updates(size, elman.dask.train, client=client)
                    place[f"ray {workers}"] = _updates(size, elman.ray.train, workers=workers)
    finally:
        ray.shutdown()
    return found


def _updates(size: int, train: Callable[..., Any], **options: Any) -> list[float]:
    """Return the times of updates after the first, which places the data."""
    ends: list[float] = []

    def note(record: object, trainer: object) -> None:
        ends.append(time.perf_counter())

    x = sequences(size)
    train(
        network(),
        x,
        x[..., :O],
        epochs=2 * ROUNDS + 1,
        batch_size=size,
        shuffle=False,
        callback=note,
        **options,
    )
    return np.diff(ends)[1:].tolist()


def storage() -> Results:
    """Measure the memory that training data take here and on two workers of Dask."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        # In order first: the process reports the most that it has had so far.
        found = [fresh.submit(_stored, shuffle).result() for shuffle in (False, True)]
    return {
        "data_bytes": STORED * T * (I + O) * 4,
        "driver_bytes": {"in order": found[0][0], "shuffled": found[1][0]},
        "worker_bytes": {"in order": found[0][1], "shuffled": found[1][1]},
    }


def _stored(shuffle: bool) -> tuple[int, int]:
    """Return the memory added to this process, with the scheduler in it, and to a worker."""
    from distributed import Client, LocalCluster

    import elman.dask

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        driver, workers = used_memory(), client.run(used_memory)
        x = sequences(STORED)
        y, added = x[..., :O].copy(), {}

        def look(record: object, trainer: object) -> None:
            added.update(client.run(used_memory))

        elman.dask.train(
            network(),
            x,
            y,
            client=client,
            epochs=1,
            batch_size=2048,
            shuffle=shuffle,
            callback=look,
        )
        return peak_memory() - driver, max(added[name] - workers[name] for name in workers)


PARTS = {
    "alone": alone,
    "dask": on_dask,
    "ray": on_ray,
    "spark": on_spark,
    "training": training,
    "storage": storage,
}


# --- the page -------------------------------------------------------------------------------------


def spread(times: list[float], scale: float) -> str:
    """Return the median and range of times, multiplied by a scale."""
    low, middle, high = (f(times) * scale for f in (min, statistics.median, max))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def rate(times: list[float], count: int) -> float:
    """Return sequences per second."""
    return count / statistics.median(times)


def rising(seconds: dict[str, list[float]]) -> tuple[float, float]:
    """Return the sequences per second and the start of jobs of two sizes, in seconds."""
    small, large = (statistics.median(seconds[str(count)]) for count in SIZES)
    each = (large - small) / (SIZES[1] - SIZES[0])
    return 1 / each, small - SIZES[0] * each


def rates(results: Results) -> dict[str, tuple[float, float]]:
    """Return, by engine, the sequences per second of one and of two workers."""
    alone, dask = results["alone"], results["dask"]["seconds"]
    return {
        "one process, threads": tuple(rate(alone["seconds"][n], alone["count"]) for n in "12"),
        "Dask, workers": tuple(rate(dask[n][str(CHUNK)], alone["count"]) for n in "12"),
        **(
            {"Ray Data, actors": tuple(rising(results["ray"]["seconds"][n])[0] for n in "12")}
            if "ray" in results
            else {}
        ),
        "Spark, cores": tuple(rising(results["spark"]["seconds"][n])[0] for n in "12"),
    }


def table(head: str, rows: list[list[str]]) -> str:
    """Return a table; its head is given as `a | b`."""
    cells = [head, "|".join(["---"] * (head.count("|") + 1)), *(" | ".join(row) for row in rows)]
    return "\n".join(
        f"| {row} |".replace("| ---", "|---").replace("--- |", "---|") for row in cells
    )


def throughput(results: Results) -> str:
    """Return the table of one and two workers."""
    task = statistics.median(results["dask"]["task_seconds"])
    starts = {
        "one process, threads": ("", ""),
        "Dask, workers": (f"{1e3 * task:.2g} ms", ""),
        "Spark, cores": ("", _start(results["spark"])),
    }
    if "ray" in results:
        call = statistics.median(results["ray"]["call_seconds"])
        starts["Ray Data, actors"] = (f"{1e3 * call:.2g} ms", _start(results["ray"]))
    rows = [
        [name, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}", *starts[name]]
        for name, (one, two) in rates(results).items()
    ]
    return table("| one, sequences/s | two | ratio | an empty task | start of a job", rows)


def _start(part: Results) -> str:
    return f"{rising(part['seconds']['1'])[1]:.1f} s"


def chunks(results: Results) -> str:
    """Return the table of chunk sizes."""
    alone, dask = results["alone"], results["dask"]["seconds"]
    best = rate(alone["seconds"]["1"], alone["count"])
    rows = []
    for chunk in CHUNKS:
        one, two = (rate(dask[n][str(chunk)], alone["count"]) for n in "12")
        row = [f"{one:,.0f}", f"{100 * one / best:.0f} %", f"{two:,.0f}"]
        rows.append([f"{chunk:,}", f"{chunk * T * I * 4 / 2**20:.1f} MiB", *row])
    return table(
        "sequences of a chunk | its inputs | one worker, sequences/s | of one process | two", rows
    )


def updates(results: Results) -> str:
    """Return the table of updates in training."""
    names = [f"{kind} {n}" for kind in ("process", "dask", "ray") for n in "12"]
    rows = [
        [f"{int(size):,}", *(spread(found[name], 1e3) for name in names)]
        for size, found in results["training"].items()
    ]
    return table(
        "sequences | one thread, ms | two threads | Dask, one worker | two | Ray, one actor | two",
        rows,
    )


def overheads(results: Results) -> dict[str, float]:
    """Return, by engine, the seconds of an update beyond the share of its two workers."""
    found = results["training"]
    size = str(max(map(int, found)))
    alone = statistics.median(found[size]["process 1"])
    return {
        kind: max(0.0, statistics.median(found[size][f"{kind} 2"]) - alone / 2)
        for kind in ("dask", "ray")
    }


def gains(results: Results) -> str:
    """Return the table of the update from which workers are faster than one thread."""
    rows = []
    for workers in (2, 10, 100):
        share = workers / (workers - 1)
        rows.append(
            [str(workers), *(f"{1e3 * t * share:.0f} ms" for t in overheads(results).values())]
        )
    return table("workers | Dask: an update of more than | Ray", rows)


def many(results: Results) -> str:
    """Return the table of 10, 100 and 1,000 workers."""
    each = rates(results)["Dask, workers"][0]
    task = statistics.median(results["dask"]["task_seconds"])
    rows = []
    for workers in (10, 100, 1000):
        total = workers * each
        least = max(256, 2 ** int(np.ceil(np.log2(total * task))))
        rows.append([f"{workers:,}", f"{total:,.0f}", f"{1e9 / total:,.0f} s", f"{least:,}"])
    return table("workers | sequences/s | a billion sequences | least chunk", rows)


def cost(results: Results) -> str:
    """Return a sentence on a billion sequences."""
    hours = {name: 1e9 / one / 3600 for name, (one, _) in rates(results).items()}
    said = ", ".join(f"{name.split(',')[0]} {h:.2g}" for name, h in hours.items())
    dear = max(hours.values())
    return (
        f"A billion sequences take, in core hours: {said}. Money is core hours times the price of a"
        f" core hour: at an assumed {PRICE} dollars at most {dear * PRICE:.2g} dollars, without"
        " storage and transfer."
    )


def memory(results: Results) -> str:
    """Return a sentence on memory and pickles."""
    alone, most = results["alone"], max(results["dask"]["worker_bytes"].values())
    return (
        f"The network is a file of {alone['file_bytes']:,} bytes and a pickle of"
        f" {alone['pickle_bytes']:,}, and is unpickled in"
        f" {1e6 * alone['unpickle_seconds']:.0f} \u00b5s. A Dask worker took at most"
        f" {most / 2**20:.0f} MiB, {COUNT * T * I * 4 / 2**20:.0f} MiB of inputs for each size of a"
        " chunk among them, divided by the workers."
    )


def stored(results: Results) -> str:
    """Return a sentence on the memory of training data."""
    found = results["storage"]
    mib = {
        (name, order): f"{found[f'{name}_bytes'][order] / 2**20:.0f}"
        for name in ("driver", "worker")
        for order in ("in order", "shuffled")
    }
    return (
        f"{found['data_bytes'] / 2**20:.0f} MiB of data on two Dask workers took at most"
        f" {mib['driver', 'in order']} MiB in this process and the scheduler within it and"
        f" {mib['worker', 'in order']} MiB in a worker in order, {mib['driver', 'shuffled']} and"
        f" {mib['worker', 'shuffled']} MiB shuffled: messages take memory beside the data."
    )


def beaten(results: Results) -> str:
    """Return sentences on the batches with which two workers are faster than threads."""
    return " ".join(
        f"Two workers of {engine} are faster than one thread"
        f" {_faster(results['training'], f'{kind} 2', 'process 1')}, and than two threads"
        f" {_faster(results['training'], f'{kind} 2', 'process 2')}."
        for engine, kind in (("Dask", "dask"), ("Ray", "ray"))
    )


def _faster(training: Results, name: str, other: str) -> str:
    """Return from which size the median of a way to train is less than that of another."""
    for size, found in training.items():
        mine, theirs = (statistics.median(found[way]) for way in (name, other))
        if mine < theirs:
            return f"from {int(size):,} sequences (an update of {1e3 * theirs:.0f} ms)"
    return "at none of these sizes"


def about(results: Results) -> str:
    """Return a sentence on the machine and the versions."""
    versions = ", ".join(f"{name} {v}" for name, v in results["versions"].items())
    load = "".join(f", {part} {load:.1f}" for part, load in results.get("load", {}).items())
    return (
        f"{results['date']}, {results['machine']['processor']}, {results['machine']['cores']}"
        f" cores; {versions}."
        + (f" Load average before: {load[2:]}." if load else "")
        + " `python bench/scaling.py --page` writes these tables."
    )


TABLES = (throughput, chunks, memory, stored, updates, beaten, gains, many, cost, about)


def page(text: str, results: Results) -> str:
    """Return the text of the page with its tables replaced."""
    for make in TABLES:
        name = make.__name__
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(
            pattern, lambda m, make=make: f"{m[1]}{make(results)}\n{m[2]}", text, flags=re.DOTALL
        )
        assert count == 1, name
    return text


def measure(names: list[str]) -> None:
    """Measure parts and add them to the results."""
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        results.setdefault("load", {})[name] = os.getloadavg()[0]
        results[name] = PARTS[name]()
        results["date"] = time.strftime("%Y-%m-%d")
        results["machine"] = machine()
        packages = ("numpy", "dask", "ray", "pyspark")
        results["versions"] = {
            "elman": elman.__version__,
            **{name: metadata.version(name) for name in packages},
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    """Measure, or only write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    parser.add_argument("--page", action="store_true", help="write the tables of the page")
    parser.add_argument("--check", action="store_true", help="fail if the page has others")
    given = parser.parse_args()
    if not (given.page or given.check):
        measure(given.parts or list(PARTS))
        return
    old = PAGE.read_text(encoding="utf-8")
    new = page(old, json.loads(RESULTS.read_text()))
    if given.check and new != old:
        raise SystemExit("docs/scaling.md: python bench/scaling.py --page")
    if given.page:
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
