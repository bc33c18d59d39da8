"""The training loop over epochs: losses, best network so far, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _core
from elman.errors import ArgumentError, ArgumentTypeError
from elman.training import data, optimizers
from elman.training.checkpoint import Checkpoint, Saver, require_fit
from elman.training.history import Epoch, History, StopTraining, TrainResult
from elman.training.progress import bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman.training.data import Data
    from elman.training.optimizers import Schedule
    from elman.training.trainer import Trainer

    Array = NDArray[Any]
    Callback = Callable[[Epoch, Trainer], bool | np.bool_ | None]


_NUMBERS = ("updates", "learning_rate")  # of a trainer's state


class Plan(NamedTuple):
    """The settings of a run that are the same for all epochs."""

    epochs: int
    batch_size: int
    bptt_steps: int | None
    update_every: int | None
    carry_state: bool
    shuffle: bool
    seed: int
    schedule: Schedule
    watched: str | None  # the list in History whose lowest value is the best
    patience: int | None
    min_delta: float

    def settings(self) -> dict[str, Any]:
        """Return the settings that a resumed run must share, as JSON."""
        settings = self._asdict()
        for name in ("epochs", "patience"):
            del settings[name]
        if self.schedule != "constant":
            settings["epochs"] = self.epochs
        if not isinstance(self.schedule, str):
            settings["schedule"] = "a function"
        return settings


def fit(
    trainer: Trainer,
    given: Data,
    held_out: Data | None,
    plan: Plan,
    *,
    saver: Saver | None = None,
    history: History | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    judge_scale: bool = False,
) -> TrainResult:
    """Train on data as planned, after the epochs of a history if given, and return the result."""
    examples, validation = trainer._examples(given), None
    if judge_scale:
        trainer._judge_scale(given)
    if held_out is not None:
        with data.within("validation"):
            validation = trainer._examples(held_out)
    run = Run(trainer, examples, validation, plan, history)
    if saver is not None and (found := saver.read()) is not None:
        run.resume(found)

    def after_epoch(record: Epoch) -> bool:
        show(record)
        try:
            return callback is not None and _ends(callback, record, trainer)
        finally:  # after the callback, which may set the learning rate
            if saver is not None:
                saver.keep(run.checkpoint, record.epoch)

    try:
        with bar(progress, plan.epochs) as show:
            run.go(after_epoch)
    finally:
        if saver is not None:
            saver.flush()
    return run.result()


def _ends(callback: Callback, record: Epoch, trainer: Trainer) -> bool:
    """Call a callback and return whether it ends training."""
    try:
        end = callback(record, trainer)
    except StopTraining:
        return True
    if end is not None and not isinstance(end, bool | np.bool_):
        raise ArgumentTypeError(
            f"callback: expected a function that returns None or a bool, got {_arguments.kind(end)}"
            " returned; return True to end training, None to continue"
        )
    return bool(end)


class Run:
    """A training run: the trainer, and the history so far."""

    def __init__(
        self,
        trainer: Trainer,
        examples: _core.Examples,
        validation: _core.Examples | None,
        plan: Plan,
        history: History | None,
    ) -> None:
        self.trainer = trainer
        self.examples = examples
        self.validation = validation
        self.plan = plan
        self.history = History() if history is None else copy.deepcopy(history)
        self.best: Array | None = None  # the parameters of history.best_epoch

    def go(self, after_epoch: Callable[[Epoch], bool]) -> None:
        """Train to the end."""
        try:
            self.history.stopped = self._go(after_epoch)
        except KeyboardInterrupt:
            self.history.stopped = "interrupt"

    def _go(self, after_epoch: Callable[[Epoch], bool]) -> str:
        while not self.out_of_patience():
            if len(self.history.epoch) >= self.plan.epochs:
                return "epochs"
            if after_epoch(self.epoch()):
                return "callback"
        return "patience"

    def out_of_patience(self) -> bool:
        """Return whether the best epoch is too long ago."""
        done, best = len(self.history.epoch), self.history.best_epoch
        return self.plan.patience is not None and done - (best or 0) >= self.plan.patience

    def epoch(self) -> Epoch:
        """Train for one epoch."""
        plan, number = self.plan, len(self.history.epoch) + 1
        B = self.examples.sequences
        order = _core.permutation(B, plan.seed, number) if plan.shuffle else np.arange(B)
        windows = (plan.bptt_steps, plan.update_every)
        updates = self.trainer._count_updates(self.examples, order, plan.batch_size, windows)
        rates = optimizers.learning_rates(
            self.trainer.learning_rate, plan.schedule, number, plan.epochs, updates
        )
        loss = _mean(
            *self.trainer._train(
                self.examples, order, plan.batch_size, rates, windows, plan.carry_state
            )
        )
        when = f"in epoch {number}"
        self.trainer._require_finite(loss, when)
        validation = None
        if self.validation is not None:
            validation = self.trainer._loss_of(self.validation)
            self.trainer._require_finite(validation, when)
        record = Epoch(number, loss, validation, float(rates[-1]))
        self._note(record)
        return record

    def _note(self, record: Epoch) -> None:
        """Add an epoch to the history, and store the parameters if they are the best."""
        history, watched = self.history, self.plan.watched
        history.add(record)
        history.updates = self.trainer.updates
        if watched is None:
            history.best_epoch = record.epoch
            return
        values = getattr(history, watched)
        best = math.inf if history.best_epoch is None else values[history.best_epoch - 1]
        if values[-1] < best - self.plan.min_delta:
            history.best_epoch = record.epoch
            self.best = self.trainer.state()["parameters"]

    def result(self) -> TrainResult:
        """Restore the best network and return the result."""
        self.history.updates = self.trainer.updates
        if self.best is not None:
            self.trainer.restore(self.trainer.state() | {"parameters": self.best})
        elif self.trainer.updates > 0:  # perhaps interrupted within an epoch
            self.trainer._require_finite(None, f"after update {self.trainer.updates}")
        return TrainResult(self.trainer.network, self.history)

    # --- checkpoints ---

    def checkpoint(self) -> Checkpoint:
        """Return everything that resuming requires."""
        state = self.trainer.state()
        progress = {name: getattr(self.trainer, name) for name in _NUMBERS}
        for name in _NUMBERS:  # there is no learning rate if a callback has set a function
            state.pop(name, None)
        tensors = {f"state.{name}": array for name, array in state.items()}
        if self.best is not None:
            tensors["best"] = self.best
        for name in ("loss", "validation_loss", "learning_rate"):
            tensors[f"history.{name}"] = np.array(getattr(self.history, name), dtype=np.float64)
        return Checkpoint(progress | {"best_epoch": self.history.best_epoch}, tensors)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""
        tensors, history = dict(checkpoint.tensors), self.history
        for name in ("loss", "validation_loss", "learning_rate"):
            setattr(history, name, tensors.pop(f"history.{name}").tolist())
        history.epoch = list(range(1, len(history.loss) + 1))
        history.best_epoch = checkpoint.progress["best_epoch"]
        if len(history.epoch) > self.plan.epochs:
            raise ArgumentError(
                f"epochs: expected at least the {len(history.epoch)} of the checkpoint,"
                f" got {self.plan.epochs}"
            )
        own = self.trainer.state()
        numbers = {name: np.array(checkpoint.progress[name]) for name in _NUMBERS}
        fresh = {f"state.{name}": own[name] for name in own if name not in _NUMBERS}
        if self.plan.carry_state and history.epoch:
            size = self.examples.sequences * self.trainer._net.state_size
            fresh["state.carried"] = np.zeros(size, self.trainer._net.dtype)
        if self.plan.watched is not None and history.best_epoch is not None:
            fresh["best"] = fresh["state.parameters"]
            self.best = tensors.get("best")
        require_fit(tensors, fresh)
        state = {name.removeprefix("state."): a for name, a in tensors.items() if name != "best"}
        self.trainer.restore(state | numbers)


def _mean(losses: Array, weights: Array) -> float:
    """Return the mean, summed exactly so that it is the same on every machine."""
    if not np.isfinite(losses[-1]):  # training stopped there
        return float(losses[-1])
    with np.errstate(over="ignore"):
        weighted = (losses * weights).tolist()
    try:
        return math.fsum(weighted) / math.fsum(weights.tolist())
    except OverflowError:  # of finite numbers
        return math.inf
