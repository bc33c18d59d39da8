"""Trainings in parallel threads, interruptible by Ctrl-C."""

from __future__ import annotations

import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from elman.errors import DivergenceError, ScalingWarning
from elman.training.launch import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Self

    from elman.training.history import Epoch, TrainResult
    from elman.training.trainer import Trainer

    Progress = Callable[[int, int], None]  # trainings done, of how many


class Pool:
    """A pool of threads that train; the results do not depend on their number.

    As a context manager it turns Ctrl-C into a request to end: an exception could arrive between
    two trainings or while they are judged, and what they have found would be lost.
    """

    def __init__(self, threads: int, total: int, progress: Progress | None) -> None:
        self._threads, self._total, self._progress = threads, total, progress
        self._ended = threading.Event()
        self._catches = False
        self.done = 0  # trainings

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._catches = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._catches:
            signal.signal(signal.SIGINT, self._end)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._catches:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended.set()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the trainings."""
        return self._ended.is_set()

    def train(self, jobs: Sequence[dict[str, Any]]) -> list[TrainResult | None]:
        """Train with each of the arguments; None for a training that diverged or did not start.

        After Ctrl-C, a running training ends with its epoch.
        """
        results: list[TrainResult | None] = [None] * len(jobs)
        with warnings.catch_warnings(), ThreadPoolExecutor(self._threads) as executor:
            warnings.simplefilter("ignore", ScalingWarning)  # scaled by the training part
            futures = [executor.submit(self._one, arguments) for arguments in jobs]
            for n, future in enumerate(futures):
                results[n] = future.result()
                self.done += 1
                if self._progress is not None:
                    self._progress(self.done, self._total)
        return results

    def _one(self, arguments: dict[str, Any]) -> TrainResult | None:
        if self._ended.is_set():
            return None
        try:
            result = train(**arguments, callback=self._after_epoch)
        except DivergenceError:
            return None
        if result.history.stopped == "callback":
            result.history.stopped = "interrupt"
        return result

    def _after_epoch(self, record: Epoch, trainer: Trainer) -> bool:
        return self._ended.is_set()
