"""The regressor: a network with a linear readout, in the scale of the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from elman import _arguments, _foreign
from elman._structure import B_Y, W_HY
from elman._table import Table
from elman.errors import ArgumentError, ShapeError
from elman.forecasting import linear
from elman.forecasting.parts import whole
from elman.sklearn import panels
from elman.sklearn.base import Elman
from elman.training import data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.utils import Tags

    from elman._network import Network
    from elman.sklearn.panels import Array, Panel


@_foreign.settings
@dataclass(kw_only=True, eq=False, repr=False)
class ElmanRegressor(RegressorMixin, Elman):  # type: ignore[misc]
    """Elman network for regression on sequences, with targets per sequence or per step.

    The network runs forward over a sequence and has a linear readout, trained by backpropagation
    through time on the squared error. Inputs and targets are standardized by their means and
    standard deviations in the training data; these become the network's scaling, so that
    `network_` takes and returns unscaled values, also in a stream.

    In all methods, `X` is an array (n, T, I), a table or array (n, T) with one feature and a column
    for each step, or a list of n arrays (T_i, I) or (T_i,) of any lengths. A data frame whose
    columns look like features, by names without digits, is refused.

    Parameters
    ----------
    outputs : {"last", "all"}
        "last": one target or O targets for each sequence, predicted after its last step; `y` is
        (n,) or (n, O). "all": targets for every step, predicted from the steps up to it; `y` is
        (n, T) or (n, T, O), or a list of n arrays (T_i,) or (T_i, O) if `X` is a list, and so are
        predictions.
    start : "linear", optional
        Start as the linear model of the last steps that predicts best, as `elman.linear_start`
        does, and train the hidden units on what it leaves, with `outputs="all"` and one layer of
        tanh units. The network then has units for the linear model too, and is in float64. By
        default the network starts at random.
    hidden_size, activation, init, optimizer, learning_rate, weight_decay, schedule, clip_norm, \
max_iter, batch_size, early_stopping, validation_fraction, n_iter_no_change, warm_start, dtype, \
random_state, n_jobs, verbose
        As for `ElmanClassifier`.

    Attributes
    ----------
    network_ : elman.Network
        The trained network, which takes and returns unscaled values.
    n_outputs_ : int
        O, the number of targets.
    n_features_in_, feature_names_in_, n_iter_
        As for `ElmanClassifier`.
    history_ : elman.training.History
        The losses of each epoch, and why training ended. Losses are mean squared errors of
        standardized targets; predicting the mean of the training data gives 1. With a linear start,
        1 is the error of the linear model.
    loss_curve_ : list of float
        The training loss of each epoch.

    Examples
    --------
    Predict the next value of a sine from the last twelve:

    >>> import numpy as np
    >>> from elman.sklearn import ElmanRegressor
    >>> wave = 20 + 5 * np.sin(0.3 * np.arange(300))
    >>> X, y = np.lib.stride_tricks.sliding_window_view(wave[:-1], 12), wave[12:]
    >>> est = ElmanRegressor(random_state=0).fit(X[:200], y[:200])
    >>> est.score(X[200:], y[200:]) > 0.99
    True

    Predict the running mean at every step of sequences of any lengths:

    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal(rng.integers(5, 20)) for _ in range(100)]
    >>> y = [x.cumsum() / np.arange(1, len(x) + 1) for x in X]
    >>> est = ElmanRegressor(outputs="all", learning_rate=0.01, random_state=0)
    >>> est = est.fit(X[:80], y[:80])
    >>> est.score(X[80:], y[80:]) > 0.9
    True
    >>> est.predict([X[80]])[0].shape == X[80].shape
    True
    """

    _loss = "mse"
    _output_activation = "identity"

    start: str | None = None

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ElmanRegressor:
        """Train a network.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n, T, I), or list of array_like, shape (T_i, I) or (T_i,)
            Sequences.
        y : array_like, shape (n,) or (n, O); with `outputs="all"` (n, T), (n, T, O), or a list of \
arrays (T_i,) or (T_i, O)
            Targets.
        sample_weight : array_like, shape (n,), optional
            Weights of the sequences, at least 0.

        Returns
        -------
        ElmanRegressor
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter, `X`, `y` or `sample_weight` is invalid; raised before training.
        elman.DivergenceError
            If a loss is not finite.
        """
        if self.start is not None:
            self._require_usable_start(sample_weight)
        self._learn(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ElmanRegressor:
        """Train for one more epoch on these data.

        The optimizer continues at the full learning rate: calls with the same data equal the epochs
        of one `fit` with `schedule="constant"`, bit for bit. The scaling remains that of the first
        data. Early stopping has no effect.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        ElmanRegressor
            This estimator.

        Raises
        ------
        ValueError, TypeError
            As for `fit`.
        """
        if self.start is not None:
            raise ArgumentError(f"start: expected None for partial_fit, got {self.start!r}")
        self._learn(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: ArrayLike) -> Array | list[Array]:
        """Return the predicted targets.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n, T, I), or list of array_like, shape (T_i, I) or (T_i,)
            Sequences with the same features as in `fit`. In a list, or an array (n, T, I), they may
            have any lengths.

        Returns
        -------
        ndarray, shape (n,) or (n, O); with `outputs="all"` (n, T), (n, T, O), or a list of arrays
            Targets in the same form as `y` in `fit`.
        """
        panel, values = self._run(X)
        if self._single:
            values = values[..., 0]
        return values if self.outputs == "last" else panel.unpad(values)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R^2 over the sequences, or over all steps.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
            The mean over the targets; 1 is perfect, and predicting the mean gives 0.
        """
        predicted, truth, weights = self._for_score(X, y, sample_weight)
        return float(r2_score(truth, predicted, sample_weight=weights))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        return tags

    # --- methods of the base class ---

    def _read_targets(
        self, panel: Panel, y: ArrayLike, *, first: bool, classes: ArrayLike | None
    ) -> Array:
        """Return the targets as rows (m, O)."""
        if self.outputs == "all":
            y = panels.targets_of_steps(panel, y)
        else:
            panels.require_a_target_per_sequence(panel, y, several=True)
            check_consistent_length(panel.values, y)
        rows: Array = check_array(
            y, dtype=np.float64, ensure_2d=False, input_name="y", estimator=self
        )
        single = rows.ndim == 1
        if single:
            rows = rows[:, np.newaxis]
        if first:
            self.n_outputs_, self._single = rows.shape[1], single
        elif rows.shape[1] != self.n_outputs_:
            raise ShapeError(
                f"y: expected {self.n_outputs_} targets, as in the first fit, got {rows.shape[1]}"
            )
        return rows

    def _outputs_for(self, rows: Array, weights: Array) -> dict[str, Any]:
        mean, std = data.mean_and_std("y", rows, weights)
        return {
            "output_size": rows.shape[1],
            "output_mean": mean,
            "output_std": std,
            "table": Table(outputs=self.outputs),
        }

    # --- the linear start ---

    def _require_usable_start(self, sample_weight: ArrayLike | None) -> None:
        """Raise if the start is unknown, or other parameters exclude it."""
        _arguments.require_one_of("start", self.start, (None, "linear"))
        if self.outputs != "all":
            raise ArgumentError(
                f"start: expected None with outputs={self.outputs!r}, got 'linear', which needs"
                " targets for every step"
            )
        if self.warm_start or sample_weight is not None:
            what = "warm_start" if self.warm_start else "sample_weight"
            raise ArgumentError(f"start: expected None with {what}, got 'linear'")

    def _train(self, net: Network, panel: Panel, rows: Array, *rest: Any) -> None:  # noqa: ANN401
        """Train a network, or with a linear start its units on what the linear model leaves."""
        if self.start is None:
            super()._train(net, panel, rows, *rest)
            return
        if net.num_layers != 1 or str(net.activations[0]) != "tanh":
            raise ArgumentError(
                "start: expected None with several layers or another activation than 'tanh', got"
                " 'linear'"
            )
        scaling = {name: getattr(net, name) for name in _SCALING}
        ends = np.cumsum(panel.counts)
        x = (panel.steps() - net.input_mean) / net.input_std
        y = (rows - net.output_mean) / net.output_std
        xs, ys = (np.split(values, ends[:-1]) for values in (x, y))
        problem = linear.Problem(xs, ys, whole(xs))
        chosen = problem.choose(linear.MEAN, linear.ALPHAS)[:2]
        model = problem.linear(problem.all, linear.MEAN, *chosen)
        left = y - np.concatenate([model(sequence) for sequence in xs])
        _, scale = data.mean_and_std("y", left)
        zeros = {name: np.zeros_like(net.tensors()[name]) for name in (W_HY, B_Y)}
        zeros["output_mean"] = np.zeros_like(scale)
        net = net.replace(tensors={**zeros, "output_std": scale})
        super()._train(net, panel, left, *rest)
        units = linear.Units.of(self.network_).times(scale)
        joined = linear.joined([linear.delay_line(model), units])
        self.network_ = joined.replace(tensors=scaling, table=net.table)


_SCALING = ("input_mean", "input_std", "output_mean", "output_std")
