"""Networks on Dask: whole sequences in chunks, and data-parallel training; extra `dask`."""

from __future__ import annotations

import math
import pickle
import sys
import time
import uuid
import warnings
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _files, _format
from elman._network import require_network
from elman._run import Run
from elman.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, TableError
from elman.files import running
from elman.training import data, parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network
    from elman.training.history import TrainResult
    from elman.training.parallel import Block, Settings
    from elman.training.trainer import Part, Request

    Array = NDArray[Any]

__all__ = ["run", "run_table", "train"]

_SMALL = 1 << 16  # bytes of weights that travel with each task; larger ones are stored once
_AT_ONCE = 32 << 20  # bytes of blocks that are sent with one message
_ATTEMPTS = 20  # to store lost data again, for one minibatch
_PAUSE = 0.1  # seconds between two of them
_WAIT = 60  # seconds for a worker, if all are lost
# What Dask raises if a worker is lost while it receives data; CommClosedError is an OSError.
_FAILED = (KeyError, OSError, TimeoutError)
_LOOK = 50  # minibatches after which new workers are looked for


# --- inference ------------------------------------------------------------------------------------


def run(
    net: Network,
    x: Any,  # noqa: ANN401
    *,
    state: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    outputs: str = "all",
    return_hidden: bool = False,
    threads: int = 1,
) -> Run:
    """Run whole sequences in a Dask array, one task for each chunk.

    Nothing is computed until the results are. They have the bits of `net.run` on the whole array,
    for any chunks and any workers. The network is one key of the graph: each worker receives it
    once.

    Parameters
    ----------
    net : Network
        The network.
    x : dask.array.Array, shape (B, T, I)
        Inputs, with chunks over B only; the number of sequences of a chunk may be unknown. Chunks
        over time or features are merged, with a warning.
    state : array_like or dask.array.Array, shape (B, state_size), optional
        State to begin with; by default the network's initial state.
    lengths : array_like or dask.array.Array of int, shape (B,), optional
        Number of real steps of each sequence.
    outputs : {"all", "last"}
        Return the output of every step, or of the last real one.
    return_hidden : bool
        Whether to return the states of all steps as well.
    threads : int
        Number of threads of each task. Dask runs a task on every core already.

    Returns
    -------
    Run
        `output` (B, T, O) or (B, O), `state` (B, state_size) and `hidden` (B, T, state_size) or
        None: Dask arrays, which share their tasks if they are computed together, as by
        `dask.compute(run.output, run.state)`.

    Raises
    ------
    ArgumentTypeError, ShapeError, DTypeError, ArgumentError
        If an argument does not fit; what depends on values, such as lengths that are too large, is
        raised by the task.
    IsaError
        Raised by a task whose worker would give other bits: see `elman.build_info`.

    Warns
    -----
    UserWarning
        If `x` has chunks over time or features: merging them moves data between workers. The
        message says how much.

    Examples
    --------
    >>> import dask.array as da, elman, elman.dask
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> x = da.random.default_rng(0).normal(size=(100, 20, 3), chunks=(25, 20, 3))
    >>> run = elman.dask.run(net, x)
    >>> run.output.shape, run.output.numblocks
    ((100, 20, 2), (4, 1, 1))
    >>> run.output[:5, -1].compute().shape
    (5, 2)
    """
    dask = _files.extra("dask", "elman.dask", "'elman[dask]'")
    da = _files.extra("dask.array", "elman.dask", "'elman[dask]'")
    require_network(net)
    data.outputs_name(outputs)
    options = {
        "outputs": outputs,
        "return_hidden": _arguments.flag("return_hidden", return_hidden),
        "threads": _arguments.size("threads", threads),
    }
    _require_inputs(net, x, da)
    x = _chunked(x, dask.utils.format_bytes)
    per_sequence = [
        None if given is None else _beside(da, x, name, given, shape)
        for name, given, shape in (("lengths", lengths, ()), ("state", state, (net.state_size,)))
    ]
    shared = _shared(dask, net)
    given = [shared, None, x, "bti"]
    for array in per_sequence:
        given += [array, None if array is None else "bs"[: array.ndim]]
    runs = da.blockwise(
        _run_chunk,
        "b",
        *given,
        rules=_format.rules(),
        options=options,
        dtype=object,
        meta=np.empty(0, object),
        name=f"elman-run-{dask.base.tokenize(shared.key, x, *per_sequence, options)}",
        concatenate=True,
        align_arrays=False,
    )
    return _results(da, net, runs, x.shape[1], outputs, return_hidden)


def _shared(dask: Any, net: Network) -> Any:  # noqa: ANN401
    """Return a network as one key of a graph: a worker receives it once, and so packs it once."""
    stored = pickle.dumps(net)
    key = f"elman-network-{dask.base.tokenize(stored)}"
    return dask.delayed(pickle.loads, pure=True)(stored, dask_key_name=key)


def _require_inputs(net: Network, x: Any, da: Any) -> None:  # noqa: ANN401
    """Raise unless x is a Dask array of inputs."""
    if not isinstance(x, da.Array):
        raise ArgumentTypeError(
            f"x: expected a dask array (B, T, {net.input_size}), got {_arguments.kind(x)}: use"
            " dask.array.from_array(x, chunks=(1024, -1, -1))"
        )
    if x.ndim != 3 or x.shape[2] != net.input_size:
        raise ShapeError(f"x: expected (B, T, {net.input_size}), got {x.shape}")
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"x: expected real numbers, got {x.dtype}")
    if np.isnan(x.shape[1]) and x.numblocks[1] > 1:
        raise ShapeError("x: expected a known number of steps, or one chunk of them, got neither")


def _chunked(x: Any, format_bytes: Callable[[int], str]) -> Any:  # noqa: ANN401
    """Return x with chunks over the sequences only."""
    if x.numblocks[1:] == (1, 1):
        return x
    warnings.warn(
        f"x: {x.numblocks[1]} x {x.numblocks[2]} chunks over time and features are merged: this"
        f" {_cost_of_merging(x, format_bytes)}; use chunks over sequences only,"
        " x.rechunk({1: -1, 2: -1}) before it is stored",
        stacklevel=3,
    )
    return x.rechunk({1: -1, 2: -1})


def _cost_of_merging(x: Any, format_bytes: Callable[[int], str]) -> str:  # noqa: ANN401
    """Return what merging chunks over time and features takes, in words."""
    rows, *largest = (max(sizes) for sizes in x.chunks)
    if np.isnan(rows):
        return (
            "moves the data between workers, and makes chunks"
            f" {math.prod(x.shape[1:]) / math.prod(largest):.3g} times as large"
        )
    small = x.dtype.itemsize * rows * math.prod(largest)
    large = x.dtype.itemsize * rows * math.prod(x.shape[1:])
    return (
        f"moves up to {format_bytes(x.nbytes)} between workers, and makes chunks of"
        f" {format_bytes(large)} from those of {format_bytes(small)}"
    )


def _beside(da: Any, x: Any, name: str, given: Any, shape: tuple[int, ...]) -> Any:  # noqa: ANN401
    """Return an array with one element or row for each sequence, in the chunks of x."""
    blocks = x.chunks[0]
    unknown = np.isnan(x.shape[0])
    if not isinstance(given, da.Array):
        if unknown:
            raise ArgumentTypeError(
                f"{name}: expected a dask array with the chunks of x, whose sizes are unknown, got"
                f" {_arguments.kind(given)}: use x.compute_chunk_sizes()"
            )
        array = _arguments.array(name, given)
        if array.shape != (x.shape[0], *shape):
            raise ShapeError(f"{name}: expected {(x.shape[0], *shape)}, got {array.shape}")
        return da.from_array(array, chunks=(blocks, *((n,) for n in shape)))
    fits = given.ndim == 1 + len(shape) and given.shape[1:] == shape
    if not fits or (unknown and given.numblocks[0] != len(blocks)):
        raise ShapeError(f"{name}: expected {(x.shape[0], *shape)} in the chunks of x, got {given}")
    if unknown or given.chunks[0] == blocks:
        return given.rechunk({1: -1}) if shape else given
    if given.shape[0] != x.shape[0]:
        raise ShapeError(f"{name}: expected {(x.shape[0], *shape)}, got {given.shape}")
    return given.rechunk((blocks, *((n,) for n in shape)))


def _run_chunk(
    net: Network,
    x: Array,
    lengths: Array | None,
    state: Array | None,
    rules: dict[str, Any],
    options: dict[str, Any],
) -> Run:
    """Run the sequences of one chunk; a task."""
    _format.require_rules(rules)
    return net.run(x, lengths=lengths, state=state, **options)


def _results(
    da: Any,  # noqa: ANN401
    net: Network,
    runs: Any,  # noqa: ANN401
    steps: int,
    outputs: str,
    return_hidden: bool,
) -> Run:
    """Return the parts of the runs of all chunks as Dask arrays."""

    def part(index: int, axes: str, sizes: dict[str, int]) -> Any:  # noqa: ANN401
        return da.blockwise(
            _part_of,
            axes,
            runs,
            "b",
            index=index,
            new_axes=sizes,
            dtype=net.dtype,
            meta=np.empty((0,) * len(axes), net.dtype),
            name=f"{runs.name}-{('output', 'state', 'hidden')[index]}",
        )

    O, S = net.output_size, net.state_size
    output = part(0, "bto", {"t": steps, "o": O}) if outputs == "all" else part(0, "bo", {"o": O})
    hidden = part(2, "bts", {"t": steps, "s": S}) if return_hidden else None
    return Run(output, part(1, "bs", {"s": S}), hidden)


def _part_of(run: Run, index: int) -> Any:  # noqa: ANN401
    return run[index]


# --- data frames ----------------------------------------------------------------------------------


def run_table(
    net: Network,
    frame: Any,  # noqa: ANN401
    *,
    outputs: str | None = None,
    sequence: str | None = None,
    missing: str | None = None,
    order: str | None = None,
    shuffle: bool = True,
    threads: int = 1,
) -> Any:  # noqa: ANN401
    """Run a network over a Dask data frame of many sequences, one row for each step.

    Each sequence is computed by one task, with the bits of `elman.run_table` on the whole frame.

    Parameters
    ----------
    net : Network
    frame : dask.dataframe.DataFrame
        The columns that the network's table names; without a table, see `elman.run_table`.
    outputs, sequence, missing
        As for `elman.run_table`. A column of sequences is required.
    order : str, optional
        The column that orders the rows of a sequence, with a value of its own for each; by default
        the time of the network's table.
    shuffle : bool
        Whether to bring the rows of each sequence together, which moves the data between workers
        once and needs `order`. False: each sequence already is in one partition; its rows are then
        taken as they come, unless `order` is given.
    threads : int
        Number of threads of each task.

    Returns
    -------
    dask.dataframe.DataFrame
        The columns that `elman.run_table` returns, in partitions of whole sequences.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is invalid, or `shuffle` has no column to order the rows by.
    TableError
        Raised by a task, as by `elman.run_table`; or if two rows of a sequence have the same place
        in the order.
    IsaError
        Raised by a task whose worker would give other bits.
    """
    dask = _files.extra("dask", "elman.dask", "'elman[dask]'")
    dd = _files.extra("dask.dataframe", "elman.dask", "'elman[dask]'")
    require_network(net)
    if not isinstance(frame, dd.DataFrame):
        raise ArgumentTypeError(
            f"frame: expected a dask data frame, got {_arguments.kind(frame)}: use"
            " dask.dataframe.from_pandas(frame, npartitions=8)"
        )
    name = sequence or (net.table.sequence if net.table is not None else None)
    if name is None:
        raise ArgumentError("sequence: expected the column of the sequences, got None")
    if order is None and net.table is not None:
        order = net.table.time
    if shuffle and order is None:
        raise ArgumentError(
            "order: expected a column that orders the rows of a sequence, got None; with"
            " shuffle=False each sequence must be in one partition"
        )
    for column in (name, order):
        if column is not None and column not in frame.columns:
            raise ArgumentError(f"frame: expected a column {column!r}, got {list(frame.columns)}")
    options: dict[str, Any] = {
        "outputs": outputs,
        "sequence": sequence,
        "missing": missing,
        "threads": threads,
    }
    if shuffle:
        frame = frame.shuffle(name).map_partitions(_distinct, name, order, meta=frame._meta)
    meta = running.run_table(net, frame._meta_nonempty[:1], **options).to_frame()[:0]
    return frame.map_partitions(
        _run_partition, _shared(dask, net), order, _format.rules(), options, meta, meta=meta
    )


def _distinct(part: Any, name: str, order: str) -> Any:  # noqa: ANN401
    """Return a partition; raise if two rows of a sequence have one place, in any order here."""
    again = part.duplicated([name, order])
    if again.any():
        row = part[again].iloc[0]
        raise TableError(
            f"frame: expected a value of {order!r} of its own for each row of a sequence, got"
            f" {row[order]} twice for {name} {row[name]}"
        )
    return part


def _run_partition(
    part: Any,  # noqa: ANN401
    net: Network,
    order: str | None,
    rules: dict[str, Any],
    options: dict[str, Any],
    empty: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Run the sequences of a partition, a pandas data frame; a task."""
    _format.require_rules(rules)
    if len(part) == 0:
        return empty
    if order is not None:
        part = part.sort_values(order, kind="stable")
    return running.run_table(net, part, **options).to_frame().astype(empty.dtypes)


# --- training -------------------------------------------------------------------------------------


def train(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    client: Any = None,  # noqa: ANN401
    part_size: int | None = None,
    **options: Any,  # noqa: ANN401
) -> TrainResult:
    """Train on a Dask cluster, with the bits of `elman.train` in one process.

    This process runs the loop of `elman.train`; workers compute the gradients of each minibatch in
    parts. The result does not depend on the number of workers, on their processors or on where a
    part is computed. Workers may join, and may be lost: their parts are computed again.

    With `shuffle=False` the sequences are divided among the workers. Shuffled minibatches mix all
    sequences, and each worker stores all of them. This process stores them too. The data travel
    once; then only weights and gradients do. An update costs some milliseconds more than in one
    process, so that only long ones gain: large minibatches, such as `batch_size=len(x)`, long
    sequences and large layers.

    Parameters
    ----------
    net : Network
        The network to start from.
    x, y : array_like or dask.array.Array
        As for `elman.train`. Dask arrays and data frames, here and among the options, are computed
        by the client and brought to this process first.
    client : distributed.Client, optional
        The client of the cluster; by default the current one.
    part_size : int, optional
        Number of sequences of a part: 16, 32, 64, ...; by default about four parts of a minibatch
        for each thread of the cluster, so that workers which join find some. One for each thread
        costs fewer messages. It does not change the result.
    **options
        All others of `elman.train`. `threads` is the number of threads of a task.

    Returns
    -------
    TrainResult
        As from `elman.train`. Checkpoints are the same files.

    Raises
    ------
    ElmanError
        As `elman.train`; and `ArgumentError` without a client or without workers.

    Examples
    --------
    >>> import numpy as np, elman, elman.dask
    >>> from distributed import Client
    >>> x = np.random.default_rng(0).normal(size=(256, 20, 1))
    >>> net = elman.Network(1, 8, 1, output_activation="identity", seed=0)
    >>> options = {"epochs": 3, "batch_size": 256, "shuffle": False}
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     trained, history = elman.dask.train(net, x, x, client=client, **options)
    >>> trained == elman.train(net, x, x, **options).network
    True
    """
    dask = _files.extra("dask", "elman.dask", "'elman[dask]'")
    client = _client(client)
    x, y, options = dask.compute(x, y, options, scheduler=client)
    engine = _Cluster(client)
    try:
        return parallel.train(engine, net, x, y, part_size, options)
    finally:
        engine.close()


def _client(client: Any) -> Any:  # noqa: ANN401
    distributed = _files.extra("distributed", "elman.dask.train", "'elman[dask]'")
    if client is None:
        try:
            client = distributed.default_client()
        except ValueError:
            raise ArgumentError(
                "client: expected a distributed.Client, got none: connect to a cluster with"
                " Client(address), or start one here with Client()"
            ) from None
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise ArgumentTypeError(
            f"client: expected a synchronous distributed.Client, got {_arguments.kind(client)}"
        )
    if not client.nthreads():
        raise ArgumentError(
            "client: expected a cluster with workers, got none: wait for them with"
            " client.wait_for_workers(1)"
        )
    return client


class _Cluster:
    """An engine of workers of Dask.

    Tasks of a lost worker are scheduled again by Dask. What is stored is not: objects whose copies
    are all lost are stored again from here.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._client = client
        self._objects: list[Block | Settings] = []
        self._futures: list[Any] = []
        self._whole: set[int] = set()  # indices of objects that all workers store
        self._maps = 0
        self._known: set[str] = set()  # the workers among which the blocks are divided

    def workers(self) -> int:
        return sum(self._client.nthreads().values())

    def scatter(self, objects: Sequence[Block | Settings]) -> range:
        first, whole = len(self._objects), len(objects) == 1
        if whole:
            self._whole.add(first)
        self._objects += objects
        self._futures += self._stored(objects, whole)
        return range(first, len(self._objects))

    def map(
        self, settings: int, weights: Array, parts: Sequence[tuple[int, Request]]
    ) -> list[Part]:
        if self._maps % _LOOK == 0:
            self._divide()
        self._maps += 1
        for attempt in range(_ATTEMPTS):
            try:
                return self._map(settings, weights, parts)
            except CancelledError:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._store_again(everything=attempt > 0)
        raise AssertionError

    def close(self) -> None:
        """Release what is stored."""
        self._futures.clear()

    def _map(
        self, settings: int, weights: Array, parts: Sequence[tuple[int, Request]]
    ) -> list[Part]:
        given: Any = weights
        if weights.nbytes > _SMALL:
            (given,) = self._stored([weights])
        futures = self._client.map(
            _compute,
            [self._futures[block] for block, _ in parts],
            [request for _, request in parts],
            settings=self._futures[settings],
            weights=given,
            pure=False,
            key="elman-part",
        )
        try:
            results: list[Part] = self._client.gather(futures)
        except BaseException:
            self._client.cancel(futures)
            raise
        return results

    def _stored(self, objects: Sequence[Any], whole: bool = False) -> list[Any]:
        """Store objects: divided among the workers, or whole on every worker."""
        for attempt in range(_ATTEMPTS):
            try:
                if whole:
                    workers = list(self._client.nthreads())
                    return [self._copied(value, workers) for value in objects]
                futures = self._divided(objects)
            except _FAILED:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE)
                self._client.wait_for_workers(1, timeout=_WAIT)
            else:
                return futures
        raise AssertionError

    def _divided(self, objects: Sequence[Any]) -> list[Any]:
        """Store each object on one worker, some at a time: the scheduler holds them meanwhile."""
        some, futures = max(1, _AT_ONCE // sys.getsizeof(objects[0])), []
        for first in range(0, len(objects), some):
            futures += self._client.scatter(list(objects[first : first + some]), hash=False)
        return futures

    def _copied(self, value: Any, workers: Iterable[str], future: Any = None) -> Any:  # noqa: ANN401
        """Store a copy on each of these workers, one by one; others may have the future's.

        `broadcast` and `replicate` of Dask's scheduler never return if a worker is lost meanwhile.
        """
        key = f"elman-object-{uuid.uuid4()}" if future is None else future.key
        for worker in workers:
            with suppress(*_FAILED):  # lost since: the other copies serve as well
                future = self._client.scatter({key: value}, workers=[worker], timeout=1)[key]
        if future is None:
            raise TimeoutError("no worker stores the data")
        return future

    def _store_again(self, everything: bool) -> None:
        """Store lost objects again; futures of some do not know that they are lost."""
        for i, future in enumerate(self._futures):
            if everything or future.status != "finished":
                (self._futures[i],) = self._stored([self._objects[i]], i in self._whole)

    def _divide(self) -> None:
        """Divide the blocks among all workers if others have joined."""
        workers = set(self._client.nthreads())
        if self._known and not workers <= self._known:
            parts = [i for i in range(len(self._objects)) if i not in self._whole]
            for i in self._whole:
                joined = workers - self._known
                self._futures[i] = self._copied(self._objects[i], joined, self._futures[i])
            if parts:  # again from here: Client.rebalance moves nothing where there is memory left
                stored = self._stored([self._objects[i] for i in parts])
                for i, future in zip(parts, stored, strict=True):
                    self._futures[i] = future
        self._known = workers


def _compute(block: Block, request: Request, settings: Settings, weights: Array) -> Part:
    """Compute a part of a minibatch; a task."""
    return block.compute(settings, weights, request)
