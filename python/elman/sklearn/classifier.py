"""The classifier: a network with a softmax readout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import assert_all_finite, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from elman import _foreign
from elman._table import Table
from elman.errors import ArgumentError, ShapeError
from elman.sklearn import panels
from elman.sklearn.base import Elman

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike
    from sklearn.utils import Tags

    from elman.sklearn.panels import Array, Panel


@_foreign.settings
@dataclass(kw_only=True, eq=False, repr=False)
class ElmanClassifier(ClassifierMixin, Elman):  # type: ignore[misc]
    """Elman network for classification of sequences, or of every step.

    The network runs forward over a sequence and has a softmax readout, trained by backpropagation
    through time on the cross-entropy. Inputs are standardized by their mean and standard deviation
    over the steps of the training data; these become the network's scaling, so that `network_`
    takes unscaled inputs, also in a stream.

    In all methods, `X` is an array (n, T, I), a table or array (n, T) with one feature and a column
    for each step, or a list of n arrays (T_i, I) or (T_i,) of any lengths. A data frame whose
    columns look like features, by names without digits, is refused.

    Parameters
    ----------
    hidden_size : int or sequence of int
        Number of units in each layer, from the bottom up; an int for one layer.
    activation : str or sequence of str
        "tanh", "relu", "sigmoid" or "identity", for all layers or one for each.
    init : str, elman.Identity or elman.EchoState
        The initializer, as for `elman.Network`.
    outputs : {"last", "all"}
        "last": one label for each sequence, predicted after its last step; `y` is (n,). "all": a
        label for every step, predicted from the steps up to it; `y` is (n, T), or a list of n
        arrays (T_i,) if `X` is a list, and so are predictions.
    optimizer : str, elman.SGD, elman.Adam, elman.AdamW, elman.RMSprop, elman.Adagrad or None
        The optimizer, as for `elman.train`; None: `elman.AdamW(0.002, weight_decay=1.0)`.
    learning_rate, weight_decay : float or None
        Override those of the optimizer if not None.
    schedule : {"cosine", "linear", "constant"} or callable
        Schedule of the learning rate over all epochs, as for `elman.train`.
    clip_norm : float or None
        The largest norm of all gradients together.
    max_iter : int
        Number of epochs; fewer with early stopping.
    batch_size : int
        Number of sequences per update.
    early_stopping : bool
        Hold out a random part of the sequences (or the end of a single sequence with labelled
        steps), stop when its loss no longer decreases, and keep the best network.
    validation_fraction : float
        Fraction held out for early stopping.
    n_iter_no_change : int
        Number of epochs without a lower loss after which early stopping stops.
    warm_start : bool
        Whether `fit` starts from the weights and scaling of the last fit, if any.
    dtype : {"float64", "float32"}
        The dtype of weights and arithmetic. float32 is about twice as fast, and sufficient unless
        values are large and close together, such as times in seconds since 1970.
    random_state : int, RandomState or None
        Determines the initial weights, the order of the sequences and the held-out part. An integer
        gives the same network, bit for bit.
    n_jobs : int or None
        Number of threads, which share the sequences; -1 for all processors. The results have the
        same bits for any number.
    verbose : bool
        Show the progress if standard error is a terminal.
    class_weight : mapping, "balanced" or None
        Weights of classes by label, by default 1; "balanced": inversely proportional to the class
        frequencies.

    Attributes
    ----------
    network_ : elman.Network
        The trained network, which takes unscaled inputs: `est.network_.save("model.safetensors")`,
        `est.network_.stream()`. The labels are its `table.classes`.
    classes_ : ndarray, shape (C,)
        The labels, in the order of the network's outputs.
    n_features_in_ : int
        T of a table (n, T), otherwise I.
    feature_names_in_ : ndarray of str
        The names of the columns, if `X` was a data frame.
    history_ : elman.training.History
        The losses of each epoch, and why training ended.
    loss_curve_ : list of float
        The training loss of each epoch.
    n_iter_ : int
        Number of epochs trained.

    Notes
    -----
    The defaults were chosen by cross-validation on the training parts of six small real data sets
    and two synthetic ones, which are listed in `examples/anchors/italy_power_demand.py`. They are
    conservative: with little noise, as in the examples, raise `max_iter` or `learning_rate`.

    With `outputs="all"`, pass a splitter such as `KFold()` to searches and cross-validation:
    scikit-learn cannot stratify labels of steps.

    Examples
    --------
    Detect a 1 in the first two steps:

    >>> import numpy as np
    >>> from elman.sklearn import ElmanClassifier
    >>> X = np.random.default_rng(0).integers(0, 2, (200, 8))
    >>> est = ElmanClassifier(random_state=0).fit(X, np.where(X[:, :2].any(axis=1), "yes", "no"))
    >>> est.predict([[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1, 1]])
    array(['yes', 'no'], dtype='<U3')
    >>> est.network_
    Network(1 -> 64 tanh -> 2 softmax, float64, 4,354 parameters)
    """

    _loss = "cross_entropy"
    _output_activation = "softmax"

    class_weight: Mapping[Any, float] | str | None = None

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ElmanClassifier:
        """Train a network.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n, T, I), or list of array_like, shape (T_i, I) or (T_i,)
            Sequences.
        y : array_like, shape (n,); with `outputs="all"` (n, T) or a list of arrays (T_i,)
            Labels of any kind.
        sample_weight : array_like, shape (n,), optional
            Weights of the sequences, at least 0.

        Returns
        -------
        ElmanClassifier
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter, `X`, `y` or `sample_weight` is invalid; raised before training.
        elman.DivergenceError
            If a loss is not finite.
        """
        self._learn(X, y, sample_weight, incremental=False)
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> ElmanClassifier:
        """Train for one more epoch on these data.

        The optimizer continues at the full learning rate: calls with the same data equal the epochs
        of one `fit` with `schedule="constant"`, bit for bit. The scaling remains that of the first
        data. Early stopping has no effect.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array_like, shape (C,)
            All labels that will occur; required in the first call, ignored afterwards.

        Returns
        -------
        ElmanClassifier
            This estimator.

        Raises
        ------
        ValueError, TypeError
            As for `fit`; and if `class_weight` is "balanced", which requires all data at once.
        """
        if not hasattr(self, "network_") and classes is None:
            raise ArgumentError("classes: expected all labels in the first partial_fit, got None")
        if isinstance(self.class_weight, str):
            raise ArgumentError(
                f"class_weight: expected a mapping for partial_fit, got {self.class_weight!r}"
            )
        self._learn(X, y, sample_weight, incremental=True, classes=classes)
        return self

    def predict_proba(self, X: ArrayLike) -> Array | list[Array]:
        """Return the probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n, T, I), or list of array_like, shape (T_i, I) or (T_i,)
            Sequences with the same features as in `fit`. In a list, or an array (n, T, I), they may
            have any lengths.

        Returns
        -------
        ndarray, shape (n, C); with `outputs="all"` (n, T, C) or a list of arrays (T_i, C)
        """
        panel, probabilities = self._run(X)
        return probabilities if self.outputs == "last" else panel.unpad(probabilities)

    def predict(self, X: ArrayLike) -> Array | list[Array]:
        """Return the most probable labels.

        Parameters
        ----------
        X : array_like or list of array_like
            As for `predict_proba`.

        Returns
        -------
        ndarray, shape (n,); with `outputs="all"` (n, T) or a list of arrays (T_i,)
        """
        panel, probabilities = self._run(X)
        labels = self.classes_[probabilities.argmax(axis=-1)]
        return labels if self.outputs == "last" else panel.unpad(labels)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy over the sequences, or over all steps.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
        """
        labels, truth, weights = self._for_score(X, y, sample_weight)
        return float(accuracy_score(truth, labels, sample_weight=weights))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # --- methods of the base class ---

    def _read_targets(
        self, panel: Panel, y: ArrayLike, *, first: bool, classes: ArrayLike | None
    ) -> Array:
        """Return labels as class indices."""
        if self.outputs == "all":
            y = panels.targets_of_steps(panel, y)
        else:
            panels.require_a_target_per_sequence(panel, y, several=False)
            check_consistent_length(panel.values, y)
        labels = _labels(y)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        found, numbers = np.unique(labels, return_inverse=True)
        if first:
            self.classes_ = found if classes is None else np.unique(classes)
        unknown = np.setdiff1d(found, self.classes_).tolist()
        if unknown:
            raise ArgumentError(
                f"y: expected labels among {self.classes_.tolist()}, got {unknown[0]!r}"
            )
        of_classes: Array = np.searchsorted(self.classes_, found)[numbers]
        return of_classes

    def _outputs_for(self, rows: Array, weights: Array) -> dict[str, Any]:
        table = Table(classes=map(str, self.classes_.tolist()), outputs=self.outputs)
        return {"output_size": len(self.classes_), "table": table}

    def _row_weights(self, panel: Panel, rows: Array, weights: Array) -> Array:
        weights = super()._row_weights(panel, rows, weights)
        if self.class_weight is None:
            return weights
        balanced = isinstance(self.class_weight, str)
        numbers = np.unique(rows) if balanced else np.arange(len(self.classes_))
        factors = np.ones(len(self.classes_))
        factors[numbers] = compute_class_weight(
            self.class_weight, classes=self.classes_[numbers], y=self.classes_[rows]
        )
        return weights * factors[rows]


def _labels(y: ArrayLike) -> Array:
    """Return labels (n,); one-hot rows are an error."""
    rows = np.asarray(y)
    if rows.ndim == 2 and rows.shape[1] > 1:
        raise ShapeError(
            f"y: expected a label for each row, got {rows.shape}: for one-hot classes pass"
            " y.argmax(axis=-1)"
        )
    labels: Array = column_or_1d(y, warn=True)
    return labels
