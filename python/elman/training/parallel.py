"""Data-parallel training on an engine, such as a cluster, with the bits of one process.

The caller's process runs the loop of `elman.train` itself: order, windows, clipping, optimizer,
validation, checkpoints. Only the gradients of a minibatch come from elsewhere, in parts of 16 x 2^k
sequences. They are added as the core adds its leaves, as a binary tree by index, so the bits do not
depend on the number of workers, on the size of the parts or on where each is computed.

An engine stores the settings with the network once on each worker, and blocks of sequences once;
then only weights, indices and gradients travel. In order (`shuffle=False`), a block has the
sequences of one part. Shuffled minibatches mix all sequences: then there is one block, and each
worker stores all of the data.
"""

from __future__ import annotations

import inspect
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from elman import _arguments, _foreign, _format
from elman.errors import ArgumentError
from elman.training import data, launch
from elman.training.trainer import Request, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from elman import _core
    from elman._network import Network
    from elman.training.data import Data
    from elman.training.history import TrainResult
    from elman.training.trainer import Part, Windows

    Array = NDArray[Any]

LEAF = 16  # sequences whose gradients are summed in one chain
_PARTS_OF_A_WORKER = 4  # in a minibatch: more balance the load, fewer cost less


class Settings(NamedTuple):
    """What the parts of a run share: apart from the blocks, so that a worker packs one network."""

    run: str  # unique
    rules: dict[str, Any]  # of the bits, in the caller's process
    net: Network
    loss: str
    outputs: str
    train_initial_state: bool
    threads: int


class Block:
    """Sequences that an engine stores."""

    __slots__ = ("_examples", "data")

    def __init__(self, sequences: Data) -> None:
        self.data = sequences
        self._examples: _core.Examples | None = None  # checked once per process

    def __reduce__(self) -> tuple[object, ...]:
        return Block, (self.data,)

    def __sizeof__(self) -> int:
        """Return the bytes, by which engines decide what to spill."""
        arrays = (part for part in self.data if isinstance(part, np.ndarray))
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays)

    def compute(self, settings: Settings, weights: Array, request: Request) -> Part:
        """Return the loss, gradients and kept states of sequences; runs on a worker."""
        if self._examples is None:
            self._examples = data.examples(settings.net, self.data, settings.loss, settings.outputs)
        return _trainer(settings)._part(self._examples, weights, request)


_OF_THREAD = threading.local()  # the trainer of the latest run, with its working memory


def _trainer(settings: Settings) -> Trainer:
    """Return this thread's trainer."""
    if getattr(_OF_THREAD, "run", None) != settings.run:
        _format.require_rules(settings.rules)
        _OF_THREAD.trainer = Trainer(
            settings.net,
            loss=settings.loss,
            outputs=settings.outputs,
            optimizer="sgd",  # without moments: workers make no updates
            train_initial_state=settings.train_initial_state,
            threads=settings.threads,
        )
        _OF_THREAD.run = settings.run
    trainer: Trainer = _OF_THREAD.trainer
    return trainer


class Engine(Protocol):
    """What runs parts: a cluster, or this process."""

    def workers(self) -> int:
        """Return the number of tasks that run at a time."""

    def scatter(self, objects: Sequence[Block | Settings]) -> Sequence[Any]:
        """Store objects among the workers, a single one on all; return a handle of each."""

    def map(
        self,
        settings: Any,  # noqa: ANN401
        weights: Array,
        parts: Sequence[tuple[Any, Request]],
    ) -> list[Part]:
        """Return `block.compute(settings, weights, request)` for each (handle, request)."""


def train(
    engine: Engine,
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    part_size: int | None,
    options: dict[str, Any],
) -> TrainResult:
    """Train as `elman.train` with the same options, on an engine; the result has the same bits."""
    signature = inspect.signature(launch.train)
    _foreign.require_known("train", options, tuple(signature.parameters))
    given = signature.bind(net, x, y, **options)
    given.apply_defaults()
    make = partial(ParallelTrainer, engine, check_part_size(part_size))
    return launch.launch(make, **given.arguments)


def check_part_size(size: int | None) -> int | None:
    """Check and return a number of sequences per part."""
    if size is None:
        return None
    leaves, rest = divmod(_arguments.size("part_size", size), LEAF)
    if rest or leaves.bit_count() != 1:
        raise ArgumentError(f"part_size: expected 16, 32, 64, ... (16 x 2^k), got {size}")
    return size


class ParallelTrainer(Trainer):
    """A trainer whose gradients are computed on an engine."""

    __slots__ = ("_engine", "_given", "_handle", "_part_size", "_placed", "_shared")

    def __init__(
        self,
        engine: Engine,
        part_size: int | None,
        net: Network,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(net, **options)
        self._engine = engine
        self._part_size = part_size
        self._given: dict[_core.Examples, Data] = {}
        self._placed: dict[_core.Examples, Placement] = {}
        self._handle: Any = None  # of what is shared, once it is stored
        self._shared = Settings(
            uuid.uuid4().hex,
            _format.rules(),
            net,
            self._loss,
            self._outputs or "all",
            options["train_initial_state"],
            self._threads,
        )

    def _examples(self, batch: Data, outputs: str | None = None) -> _core.Examples:
        examples = super()._examples(batch, outputs)
        self._given[examples] = batch
        return examples

    def _train(
        self,
        examples: _core.Examples,
        order: Array,
        batch_size: int,
        rates: Array,
        windows: Windows,
        carry: bool,
    ) -> tuple[Array, Array]:
        compute = self._computing(examples, order, batch_size)
        return self._core.train(examples, order, batch_size, rates, *windows, carry, 1, compute)

    def _loss_of(self, examples: _core.Examples) -> float:
        B = examples.sequences
        return self._core.loss(examples, 1, self._computing(examples, np.arange(B), max(1, B)))

    def _computing(
        self, examples: _core.Examples, order: Array, batch_size: int
    ) -> Callable[..., Part]:
        """Return the function with which the core computes minibatches in this order."""
        if self._handle is None:
            (self._handle,) = self._engine.scatter([self._shared])
        placement = self._placed.get(examples)
        if placement is None or not placement.suits(order):
            placement = Placement.of(order, batch_size, self._size(min(batch_size, len(order))))
            placement.store(self._engine, self._shared, data.flat(self._given[examples]))
            self._placed[examples] = placement
        return partial(_compute, self._engine, self._handle, placement)

    def _size(self, batch: int) -> int:
        """Return the number of sequences per part of a minibatch."""
        if self._part_size is not None:
            return self._part_size
        size, most = LEAF, _PARTS_OF_A_WORKER * max(1, self._engine.workers())
        while size * most < batch:
            size *= 2
        return size


class Placement:
    """The blocks in which sequences are stored: one per part in order, or one of all."""

    def __init__(self, starts: Array, count: int, part_size: int) -> None:
        self.starts = starts  # the first sequence of each block
        self.count = count
        self.part_size = part_size
        self.handles: Sequence[Any] = ()

    @classmethod
    def of(cls, order: Array, batch_size: int, part_size: int) -> Placement:
        """Place the sequences of minibatches in this order."""
        count = len(order)
        if not _in_order(order):
            return cls(np.zeros(1, np.int64), count, part_size)
        batches = range(0, count, batch_size)
        starts = [s for b in batches for s in range(b, min(count, b + batch_size), part_size)]
        return cls(np.array(starts, np.int64), count, part_size)

    def suits(self, order: Array) -> bool:
        """Return whether each part of minibatches in this order is within a block."""
        return len(self.starts) == 1 or _in_order(order)

    def store(self, engine: Engine, settings: Settings, given: Data) -> None:
        """Store the sequences on the engine."""
        ends = [*self.starts[1:].tolist(), self.count]
        self.handles = engine.scatter(
            [
                Block(_rows(given, settings, start, end))
                for start, end in zip(self.starts.tolist(), ends, strict=True)
            ]
        )

    def locate(self, rows: Array) -> tuple[Any, Array]:
        """Return the handle of the block of these sequences, and their indices in it."""
        block = int(np.searchsorted(self.starts, rows[0], side="right")) - 1
        return self.handles[block], rows - self.starts[block]


def _in_order(order: Array) -> bool:
    return np.array_equal(order, np.arange(len(order)))


def _rows(given: Data, settings: Settings, start: int, end: int) -> Data:
    """Return some sequences, in the network's dtype where that makes them smaller."""
    part = data.take(given, slice(start, end))._replace(state=None)  # requests have states
    x, y = (_narrowed(array, settings.net.dtype) for array in (part.x, part.y))
    return part._replace(x=x, y=part.y if settings.loss == "cross_entropy" else y)


def _narrowed(array: Array, dtype: np.dtype[Any]) -> Array:
    narrow = array.dtype == np.float64 and dtype == np.float32
    return np.ascontiguousarray(array, dtype=dtype if narrow else None)


def _compute(
    engine: Engine,
    settings: Any,  # noqa: ANN401
    placement: Placement,
    weights: Array,
    rows: Array,
    window: tuple[int, int, int, int],
    truncation: tuple[int, int] | None,
    states: Array | None,
    normalizer: float,
    gradients: bool,
    keep: bool,
) -> Part:
    """Compute a minibatch in parts on the engine and combine them."""
    parts = []
    for first in range(0, len(rows), placement.part_size):
        some = slice(first, first + placement.part_size)
        handle, local = placement.locate(rows[some])
        own = None if states is None else states[some]
        request = Request(local, window, truncation, own, normalizer, gradients, keep)
        parts.append((handle, request))
    results = engine.map(settings, weights, parts)
    loss, total = combined([part[:2] for part in results])
    kept = np.concatenate([part[2] for part in results if part[2] is not None]) if keep else None
    return loss, total, kept


def combined(parts: Sequence[tuple[float, Array | None]]) -> tuple[float, Array | None]:
    """Add parts as the core adds leaves: left, the largest power of two that leaves some."""
    if len(parts) == 1:
        return parts[0]
    left = 1 << (len(parts) - 1).bit_length() - 1
    (loss, gradients), (more, others) = combined(parts[:left]), combined(parts[left:])
    if gradients is None or others is None:
        return loss + more, None
    return loss + more, gradients + others
