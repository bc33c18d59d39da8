"""Networks on Ray: a class for `Dataset.map_batches`, and training on actors.

Requires the extra `ray`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments, _files, _loading
from elman._network import Network
from elman.errors import ArgumentError, ShapeError
from elman.training import parallel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._files import Path
    from elman.training import TrainResult
    from elman.training.parallel import Block, Settings
    from elman.training.trainer import Part, Request

    Array = NDArray[Any]
    Handle = tuple[int, Any]  # the index of a stored object, and Ray's reference to it

__all__ = ["Predictor", "train"]

_RETRIES = 8  # of a call whose actor dies each time: its work is probably the cause


class Predictor:
    """Add a network's outputs to the batches of a Ray dataset, as a column.

    Pass the class to `Dataset.map_batches` with `batch_format="numpy"`. Ray makes one object for
    each of its actors, which unpickles or loads the network once, not for every batch. The outputs
    have the bits of `net.run` in one process, whatever the size of the batches.

    Parameters
    ----------
    network : Network or path
        The network, or a file written by `Network.save` that every actor can read.
    inputs : str
        Column of sequences: arrays (T, I), padded to one shape or of any lengths, also as lists of
        lists from Parquet or Arrow. A list of numbers is a sequence of T = 1, 2, ... steps if the
        network has one input.
    result : str
        Name of the new column: outputs (T, O) or (O,) for each row.
    lengths : str, optional
        Column with the number of real steps of each sequence, if they are padded.
    outputs : {"all", "last"}, optional
        Which outputs to return, as for `Network.run`.
    threads : int
        Number of threads of an actor. The default, 1, is right for one actor on each core.

    Raises
    ------
    ArgumentError, ShapeError
        If a batch has no column `inputs` or `lengths`, already has a column `result`, or its
        sequences are not those of the network.

    Examples
    --------
    With Ray: `dataset.map_batches(elman.ray.Predictor, fn_constructor_args=(net,),
    fn_constructor_kwargs={"inputs": "x"}, batch_format="numpy", zero_copy_batch=True,
    concurrency=2)`. Without it, on one batch:

    >>> import numpy as np, elman.ray
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> predictor = elman.ray.Predictor(net, inputs="x", outputs="last")
    >>> batch = predictor({"id": np.arange(4), "x": np.ones((4, 10, 3), np.float32)})
    >>> batch["output"].shape
    (4, 2)
    """

    def __init__(
        self,
        network: Network | Path,
        *,
        inputs: str = "x",
        result: str = "output",
        lengths: str | None = None,
        outputs: str | None = None,
        threads: int = 1,
    ) -> None:
        if not isinstance(network, Network):
            network = _loading.load(network)
        self.network = network
        self.inputs = _arguments.name("inputs", inputs)
        self.result = _arguments.name("result", result)
        self.lengths = None if lengths is None else _arguments.name("lengths", lengths)
        _arguments.require_one_of("outputs", outputs, (None, "all", "last"))
        self.outputs = outputs
        self.threads = _arguments.size("threads", threads)

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Return a batch, a mapping of arrays by column, with the outputs."""
        if self.result in batch:
            raise ArgumentError(
                f"result: expected the name of a new column, got {self.result!r}, which the data"
                " already have"
            )
        x = _column(batch, "inputs", self.inputs)
        lengths = None if self.lengths is None else _column(batch, "lengths", self.lengths)
        return {**batch, self.result: self._run(x, lengths)}

    def _run(self, x: Array, lengths: Array | None) -> Array:
        options: dict[str, Any] = {"outputs": self.outputs, "threads": self.threads}
        if x.dtype != object:
            padded = x[..., None] if x.ndim == 2 and self.network.input_size == 1 else x
            return self.network.run(padded, lengths=lengths, **options).output
        if lengths is not None:
            raise ArgumentError(
                "lengths: expected None with sequences of several lengths, got a column: pad them"
                " or leave it out"
            )
        sequences = [_sequence(value, self.network.input_size, i) for i, value in enumerate(x)]
        runs = self.network.run(sequences, **options) if sequences else []
        return _stacked([run.output for run in runs])


def _column(batch: Mapping[str, Array], argument: str, name: str) -> Array:
    if name not in batch:
        names = ", ".join(map(repr, batch))
        raise ArgumentError(f"{argument}: expected a column of the data, {names}, got {name!r}")
    return np.asarray(batch[name])


def _sequence(value: Any, input_size: int, index: int) -> Array:  # noqa: ANN401
    """Return one sequence (T, I) of an object array; Ray hands over nested lists as such arrays."""
    try:
        array = np.asarray(value)
        if array.dtype == object and array.ndim == 1:
            array = np.array([np.asarray(step) for step in array])
    except ValueError:
        raise ShapeError(
            f"x[{index}]: expected (T, {input_size}), got steps of several sizes"
        ) from None
    if array.ndim > 0 and len(array) == 0:
        return np.empty((0, input_size), np.float32)
    return array[:, None] if array.ndim == 1 and input_size == 1 else array


def _stacked(outputs: list[Array]) -> Array:
    """Return one array if all shapes are equal, otherwise an object array."""
    if len({output.shape for output in outputs}) == 1:
        return np.stack(outputs)
    column = np.empty(len(outputs), object)
    for i, output in enumerate(outputs):
        column[i] = output
    return column


# --- training -------------------------------------------------------------------------------------


def train(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    workers: int | None = None,
    part_size: int | None = None,
    **options: Any,  # noqa: ANN401
) -> TrainResult:
    """Train as `elman.train`, with the gradients computed by actors of a Ray cluster.

    The result has the bits of `elman.train` with the same options, for any number of actors. This
    process makes the updates and keeps the checkpoints. An actor that dies is restarted by Ray and
    repeats its part. `docs/scaling.md` tells from which size a cluster is faster than one process.

    Parameters
    ----------
    net, x, y
        As for `elman.train`.
    workers : int, optional
        Number of actors; by default one for each CPU of the cluster, or for each `threads` of them.
        An actor waits until its CPUs are free. If Ray has not been started, it is started on this
        machine.
    part_size : int, optional
        Number of sequences whose gradients an actor computes at a time, 16 x 2^k; by default so
        that each actor has about four parts of a minibatch.
    **options
        Those of `elman.train`; `threads` are those of each actor. With `shuffle=False` an actor
        fetches only the sequences of its parts, otherwise all.

    Returns
    -------
    TrainResult
        As from `elman.train`.

    Raises
    ------
    ImportError
        If Ray is missing.
    ElmanError
        As from `elman.train`.
    ray.exceptions.RayActorError
        If an actor died eight times at the same work.

    Examples
    --------
    >>> import numpy as np, elman, elman.ray
    >>> x = np.random.default_rng(0).standard_normal((256, 20, 1))
    >>> net = elman.Network(1, 8, 1, output_activation="identity", seed=0)
    >>> options = {"epochs": 2, "batch_size": 256}
    >>> result = elman.ray.train(net, x, x, workers=2, **options)  # doctest: +SKIP
    >>> result.network == elman.train(net, x, x, **options).network  # doctest: +SKIP
    True
    """
    count = None if workers is None else _arguments.size("workers", workers)
    threads = _arguments.size("threads", options.get("threads", 1))
    with _Actors(count, threads) as engine:
        return parallel.train(engine, net, x, y, part_size, options)


class _Worker:
    """The actor: it keeps the objects that it has used."""

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}

    def compute(
        self, settings: Handle, weights: Array, parts: Sequence[tuple[Handle, Request]]
    ) -> list[Part]:
        shared = self._fetched(settings)
        return [self._fetched(block).compute(shared, weights, request) for block, request in parts]

    def _fetched(self, handle: Handle) -> Any:  # noqa: ANN401
        index, reference = handle
        if index not in self._kept:
            self._kept[index] = _ray().get(reference)
        return self._kept[index]


class _Actors:
    """The engine of `parallel.train`: actors, which end with the context."""

    def __init__(self, count: int | None, threads: int) -> None:
        self._ray = ray = _ray()
        if not ray.is_initialized():
            ray.init()
        processors = int(ray.cluster_resources().get("CPU", 0))
        actor = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=_RETRIES)(_Worker)
        self._actors = [actor.remote() for _ in range(count or max(1, processors // threads))]
        self._stored = 0

    def __enter__(self) -> _Actors:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor)

    def workers(self) -> int:
        return len(self._actors)

    def scatter(self, objects: Sequence[Block | Settings]) -> list[Handle]:
        """Store objects with this process, from where an actor fetches them when first used."""
        first, self._stored = self._stored, self._stored + len(objects)
        return [(first + i, self._ray.put(value)) for i, value in enumerate(objects)]

    def map(
        self, settings: Handle, weights: Array, parts: Sequence[tuple[Handle, Request]]
    ) -> list[Part]:
        """Compute parts with one call of each actor: a call costs more than a small part."""
        shared, count = self._ray.put(weights), len(self._actors)
        of_actors: list[list[int]] = [[] for _ in range(count)]
        one_block = parts[0][0][0] == parts[-1][0][0]
        for i, ((index, _), _) in enumerate(parts):  # otherwise each block has one actor
            of_actors[(i if one_block else index) % count].append(i)
        calls = {
            actor.compute.remote(settings, shared, [parts[i] for i in some]): some
            for actor, some in zip(self._actors, of_actors, strict=True)
            if some
        }
        results: dict[int, Part] = {}
        for some, computed in zip(calls.values(), self._ray.get(list(calls)), strict=True):
            results.update(zip(some, computed, strict=True))
        return [results[i] for i in range(len(parts))]


def _ray() -> Any:  # noqa: ANN401
    return _files.extra("ray", "elman.ray.train", "'elman[ray]'")
