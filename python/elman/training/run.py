"""A training run from epoch to epoch: the loss, the best network so far, when to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _core
from elman._network import Network, network_of
from elman.errors import ArgumentError, DivergenceError
from elman.training import optimizers
from elman.training.checkpoint import Checkpoint, require_fit
from elman.training.history import Epoch, History, TrainResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from elman.training.optimizers import Schedule

    Array = NDArray[Any]


class Plan(NamedTuple):
    """What stays the same from epoch to epoch."""

    epochs: int
    batch_size: int
    bptt_steps: int | None
    update_every: int | None
    carry_state: bool
    shuffle: bool
    seed: int
    learning_rate: float
    schedule: Schedule
    watched: str | None  # the loss whose lowest value is the best: a list of History
    patience: int | None
    min_delta: float
    threads: int

    def settings(self) -> dict[str, Any]:
        """Return what must stay the same if a run goes on from a checkpoint, as JSON."""
        settings = self._asdict()
        for name in ("epochs", "patience", "threads"):
            del settings[name]
        if self.schedule != "constant":
            settings["epochs"] = self.epochs
        if not isinstance(self.schedule, str):
            settings["schedule"] = "a function"
        return settings


class Run:
    """A training run: the trainer in the core, and the history so far."""

    def __init__(
        self,
        net: Network,
        trainer: _core.Trainer,
        examples: _core.Examples,
        validation: _core.Examples | None,
        plan: Plan,
    ) -> None:
        self.net = net
        self.trainer = trainer
        self.examples = examples
        self.validation = validation
        self.plan = plan
        self.history = History()
        self.best: Array | None = None  # the parameters of history.best_epoch

    def network(self) -> Network:
        """Return the network as it is now."""
        return network_of(self.trainer.network(), like=self.net)

    def go(self, after_epoch: Callable[[Epoch], object]) -> str:
        """Train until it ends; return why it did."""
        try:
            while len(self.history.epoch) < self.plan.epochs:
                if self.out_of_patience():
                    return "patience"
                if after_epoch(self.epoch()):
                    return "callback"
        except KeyboardInterrupt:
            return "interrupt"
        return "patience" if self.out_of_patience() else "epochs"

    def out_of_patience(self) -> bool:
        """Say whether the best epoch is too long ago."""
        done, best = len(self.history.epoch), self.history.best_epoch
        return self.plan.patience is not None and done - (best or 0) >= self.plan.patience

    def epoch(self) -> Epoch:
        """Go through the data once."""
        plan, number = self.plan, len(self.history.epoch) + 1
        B = self.examples.sequences
        order = _core.permutation(B, plan.seed, number) if plan.shuffle else np.arange(B)
        windows = (plan.bptt_steps, plan.update_every)
        updates = self.trainer.updates_of(self.examples, order, plan.batch_size, *windows)
        rates = optimizers.learning_rates(
            plan.learning_rate, plan.schedule, number, plan.epochs, updates
        )
        losses, weights = self.trainer.train(
            self.examples,
            order,
            plan.batch_size,
            rates,
            *windows,
            plan.carry_state,
            plan.threads,
        )
        loss = _mean(losses, weights)
        validation = None
        if self.validation is not None and math.isfinite(loss):
            validation = self.trainer.loss(self.validation, plan.threads)
        record = Epoch(number, loss, validation, float(rates[-1]))
        self._require_finite(record)
        self._note(record)
        return record

    def _require_finite(self, record: Epoch) -> None:
        for value in (record.loss, record.validation_loss):
            if value is not None and not math.isfinite(value):
                raise DivergenceError(
                    f"loss: expected a finite number, got {value} in epoch {record.epoch}: try a"
                    f" learning_rate below {self.plan.learning_rate:g}, or clip_norm=1"
                )

    def _note(self, record: Epoch) -> None:
        """Add an epoch to the history, and keep the parameters if they are the best."""
        history, watched = self.history, self.plan.watched
        history.add(record)
        if watched is None:
            history.best_epoch = record.epoch
            return
        values = getattr(history, watched)
        best = math.inf if history.best_epoch is None else values[history.best_epoch - 1]
        if values[-1] < best - self.plan.min_delta:
            history.best_epoch = record.epoch
            self.best = self.trainer.state()["parameters"]

    def result(self, stopped: str) -> TrainResult:
        """Return what came of it, the best network restored."""
        if self.best is not None:
            self.trainer.restore(
                self.trainer.state() | {"parameters": self.best}, self.trainer.updates
            )
        return TrainResult(self.network(), self.history, stopped, self.trainer.updates)

    # --- checkpoints ---

    def checkpoint(self) -> Checkpoint:
        """Return all that decides how the run goes on."""
        tensors = {f"state.{name}": array for name, array in self.trainer.state().items()}
        if self.best is not None:
            tensors["best"] = self.best
        for name in ("loss", "validation_loss", "learning_rate"):
            tensors[f"history.{name}"] = np.array(getattr(self.history, name), dtype=np.float64)
        progress = {"updates": self.trainer.updates, "best_epoch": self.history.best_epoch}
        return Checkpoint(progress, tensors)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from where another run stood."""
        tensors, history = dict(checkpoint.tensors), self.history
        for name in ("loss", "validation_loss", "learning_rate"):
            setattr(history, name, tensors.pop(f"history.{name}").tolist())
        history.epoch = list(range(1, len(history.loss) + 1))
        history.best_epoch = checkpoint.progress["best_epoch"]
        if len(history.epoch) > self.plan.epochs:
            raise ArgumentError(
                f"epochs: expected at least the {len(history.epoch)} that the checkpoint has made,"
                f" got {self.plan.epochs}"
            )
        fresh = {f"state.{name}": array for name, array in self.trainer.state().items()}
        if self.plan.carry_state and history.epoch:
            S = self.net.state_size
            fresh["state.carried"] = np.zeros(self.examples.sequences * S, self.net.dtype)
        if self.plan.watched is not None and history.best_epoch is not None:
            fresh["best"] = fresh["state.parameters"]
            self.best = tensors.get("best")
        require_fit(tensors, fresh)
        state = {name.removeprefix("state."): a for name, a in tensors.items() if name != "best"}
        self.trainer.restore(state, checkpoint.progress["updates"])


def _mean(losses: Array, weights: Array) -> float:
    """Return the mean, exactly rounded, so that it is the same on every machine."""
    if not np.isfinite(losses[-1]):  # there training has stopped
        return float(losses[-1])
    return math.fsum((losses * weights).tolist()) / math.fsum(weights.tolist())
