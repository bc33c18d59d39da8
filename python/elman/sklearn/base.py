"""Base class of the estimators: settings and resumable training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from elman import _arguments
from elman._network import Network
from elman.errors import ArgumentError, ShapeError
from elman.sklearn import panels
from elman.training import History, Trainer, data, optimizers, recipe
from elman.training.run import Plan, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from elman.initialization import Initialization
    from elman.sklearn.panels import Array, Panel
    from elman.training.optimizers import Optimizer, Schedule


_OPTIMIZER = optimizers.AdamW(0.002, weight_decay=1.0)


class _Past(NamedTuple):
    """Everything that resuming requires: the seed, the trainer's state and the history."""

    seed: int
    state: dict[str, Array]
    history: History


@dataclass(kw_only=True, eq=False, repr=False)
class Elman(BaseEstimator):  # type: ignore[misc]
    """Base class of the two estimators, which define `_loss` and `_output_activation`.

    It is a dataclass because scikit-learn reads the parameters from a single signature.
    """

    _loss: ClassVar[str]
    _output_activation: ClassVar[str]

    hidden_size: int | Sequence[int] = 64
    activation: str | Sequence[str] = "tanh"
    init: Initialization = "glorot"
    outputs: str = "last"
    optimizer: str | Optimizer | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: Schedule = "cosine"
    clip_norm: float | None = recipe.CLIP_NORM
    max_iter: int = 100
    batch_size: int = 32
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 20
    warm_start: bool = False
    dtype: DTypeLike = recipe.DTYPE
    random_state: int | np.random.RandomState | None = None
    n_jobs: int | None = None
    verbose: bool = False

    network_: Network = field(init=False)
    history_: History = field(init=False)
    _of_columns: bool = field(init=False)

    @property
    def loss_curve_(self) -> list[float]:
        """The training loss of each epoch: `history_.loss`."""
        return self.history_.loss

    @property
    def n_iter_(self) -> int:
        """The number of epochs, in `fit` and every later `partial_fit`."""
        return len(self.history_.epoch)

    # --- fitting ---

    def _learn(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        incremental: bool,
        classes: ArrayLike | None = None,
    ) -> None:
        """Fit from the start, from the weights of the last fit, or for one more epoch."""
        before = dict(vars(self))
        try:
            self._learn_from(X, y, sample_weight, incremental, classes)
        except BaseException:  # a failed fit changes nothing
            self.__dict__ = before
            raise

    def _learn_from(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        incremental: bool,
        classes: ArrayLike | None,
    ) -> None:
        optimizer, plan = self._settings()
        if y is None:
            raise ArgumentError(
                f"y: expected targets, got None: {type(self).__name__} requires y to be passed, but"
                " the target y is None"
            )
        first = not hasattr(self, "network_") or not (incremental or self.warm_start)
        panel = self._read(X, first=first)
        rows = self._read_targets(panel, y, first=first, classes=classes)
        weights = np.ones(len(panel.values))
        if sample_weight is not None:
            weights = weights * _arguments.weights("sample_weight", sample_weight, weights.shape)
        used = weights > 0
        if not used.any():
            raise ArgumentError("sample_weight: expected a weight above zero, got none")
        rows = rows[used if self.outputs == "last" else np.repeat(used, panel.counts)]
        panel, weights = panel.take(used), weights[used]

        past = None if first or not incremental else self._past
        if past is None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            past = _Past(seed, {}, History())
        plan = plan._replace(seed=past.seed)
        if incremental:
            epochs = len(past.history.epoch) + 1
            plan = plan._replace(epochs=epochs, schedule="constant", watched=None, patience=None)
        net = self._new_network(panel, rows, weights, past.seed) if first else self.network_
        self._train(net, panel, rows, weights, optimizer, plan, past)

    def _settings(self) -> tuple[Optimizer, Plan]:
        """Check the parameters; return the optimizer and the plan."""
        _arguments.require_one_of("outputs", self.outputs, ("last", "all"))
        optimizer = optimizers.choose(
            _OPTIMIZER if self.optimizer is None else self.optimizer,
            self.learning_rate,
            self.weight_decay,
        )
        if self.clip_norm is not None:
            _arguments.number("clip_norm", self.clip_norm)
        _arguments.number("validation_fraction", self.validation_fraction, below_1=True)
        patience = _arguments.size("n_iter_no_change", self.n_iter_no_change)
        return optimizer, Plan(
            epochs=_arguments.size("max_iter", self.max_iter),
            batch_size=_arguments.size("batch_size", self.batch_size),
            bptt_steps=None,
            update_every=None,
            carry_state=False,
            shuffle=True,
            seed=0,
            schedule=optimizers.check_schedule(self.schedule),
            watched="validation_loss" if self.early_stopping else None,
            patience=patience if self.early_stopping else None,
            min_delta=0.0,
        )

    def _read(self, X: ArrayLike, *, first: bool) -> Panel:
        """Check and return sequences; later ones must match the first."""
        panel = panels.read(X, self)
        if panel.table and (first or self._of_columns):
            validate_data(self, X, reset=first, skip_check_array=True)
        elif first:
            self.n_features_in_ = panel.values.shape[2]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif (I := self.network_.input_size) != (found := panel.values.shape[2]):
            if panel.table:
                got = panel.values.shape[:2]
                raise ShapeError(f"X: expected (n, T, {I}) or a list of sequences, got {got}")
            raise ShapeError(f"X: expected {I} features per step, as in fit, got {found}")
        if first:
            self._of_columns = panel.table
        return panel

    def _read_targets(
        self, panel: Panel, y: ArrayLike, *, first: bool, classes: ArrayLike | None
    ) -> Array:
        """Check the targets and return a row for each sequence or each real step."""
        raise NotImplementedError

    def _row_weights(self, panel: Panel, rows: Array, weights: Array) -> Array:
        """Return the weight of each row of targets."""
        return weights if self.outputs == "last" else np.repeat(weights, panel.counts)

    def _outputs_for(self, rows: Array, weights: Array) -> dict[str, Any]:
        """Return the arguments that define a network's outputs for these targets."""
        raise NotImplementedError

    def _new_network(self, panel: Panel, rows: Array, weights: Array, seed: int) -> Network:
        """Return an untrained network with the scaling of the training data."""
        mean, std = data.mean_and_std("X", panel.steps(), np.repeat(weights, panel.counts))
        return Network(
            input_size=panel.values.shape[2],
            hidden_size=self.hidden_size,
            seed=seed,
            activation=self.activation,
            output_activation=self._output_activation,
            dtype=self.dtype,
            init=self.init,
            input_mean=mean,
            input_std=std,
            **self._outputs_for(rows, self._row_weights(panel, rows, weights)),
        )

    def _train(
        self,
        net: Network,
        panel: Panel,
        rows: Array,
        weights: Array,
        optimizer: Optimizer,
        plan: Plan,
        past: _Past,
    ) -> None:
        """Train a network; store it and what resuming requires."""
        inner, rows = _without_output_scaling(net, rows)
        row_weights = self._row_weights(panel, rows, weights)
        if self.outputs == "all":
            rows, row_weights = panel.spread(rows), panel.spread(row_weights)
        given = data.Data(panel.values, rows, panel.lengths, None, row_weights)
        apart = None
        if plan.watched is not None:
            self._require_two_parts(panel)
            given, apart = data.hold_out(given, self.validation_fraction, self.outputs, plan.seed)
        trainer = Trainer(
            inner,
            loss=self._loss,
            outputs=self.outputs,
            optimizer=optimizer,
            clip_norm=self.clip_norm,
            threads=effective_n_jobs(self.n_jobs),
        )
        if past.state.keys() == _state(trainer).keys():  # else empty or of another optimizer
            trainer.restore(past.state)
        result = fit(trainer, given, apart, plan, history=past.history, progress=self.verbose)
        if result.history.stopped == "interrupt":
            warnings.warn("training was interrupted", stacklevel=5)
        self._past = _Past(plan.seed, _state(trainer), result.history)
        self.history_ = result.history
        self.network_ = _with_output_scaling_of(net, result.network)

    def _require_two_parts(self, panel: Panel) -> None:
        """Raise if there are too few sequences for training and validation."""
        n = len(panel.values)
        if n > 1 or self.outputs == "last":
            held_out = max(1, round(self.validation_fraction * n))
            if held_out >= n:
                raise ArgumentError(
                    f"validation_fraction: expected a fraction that leaves some of {n} sequences"
                    f" for training, got {self.validation_fraction:g}"
                )

    # --- predicting ---

    def _for_score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[ArrayLike, ArrayLike, ArrayLike | None]:
        """Return predictions, targets and weights, one row for each sequence or real step."""
        predicted = self.predict(X)
        if self.outputs == "last":
            return predicted, y, sample_weight
        panel = self._read(X, first=False)
        predicted, y = (panels.targets_of_steps(panel, values) for values in (predicted, y))
        if sample_weight is not None:
            sample_weight = np.repeat(sample_weight, panel.counts)
        return predicted, y, sample_weight

    def _run(self, X: ArrayLike) -> tuple[Panel, Array]:
        """Return the sequences and the outputs of the network."""
        check_is_fitted(self, "network_")
        panel = self._read(X, first=False)
        outputs = self.network_.run(
            panel.values,
            lengths=panel.lengths,
            outputs=self.outputs,
            threads=effective_n_jobs(self.n_jobs),
        ).output
        return panel, outputs


def _state(trainer: Trainer) -> dict[str, Array]:
    """Return a trainer's state without the learning rate."""
    return {name: array for name, array in trainer.state().items() if name != "learning_rate"}


def _without_output_scaling(net: Network, rows: Array) -> tuple[Network, Array]:
    """Return the network without output scaling, and targets in its scale."""
    if net.output_std is None:
        return net, rows
    plain = net.replace(tensors={"output_mean": None, "output_std": None})
    return plain, (rows - net.output_mean) / net.output_std


def _with_output_scaling_of(like: Network, net: Network) -> Network:
    """Return the network with the output scaling of `like`."""
    return net if like.output_std is None else like.replace(tensors=net.tensors())
