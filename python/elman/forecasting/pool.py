"""Trainings in parallel threads, interruptible by Ctrl-C."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from elman.errors import DivergenceError, ScalingWarning
from elman.training.launch import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elman.training.history import Epoch, TrainResult
    from elman.training.trainer import Trainer

    Progress = Callable[[int, int], None]  # trainings done, of how many


class Pool:
    """A pool of threads that train; the results do not depend on their number."""

    def __init__(self, threads: int, total: int, progress: Progress | None) -> None:
        self._threads, self._total, self._progress = threads, total, progress
        self._ended = threading.Event()
        self.done = 0  # trainings

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
                while True:
                    try:
                        results[n] = future.result()
                    except KeyboardInterrupt:
                        self._ended.set()
                        continue
                    break
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
