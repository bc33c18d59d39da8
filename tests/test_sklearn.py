"""The estimators: scikit-learn's checks, sequences of all forms, scaling, and resuming."""

from __future__ import annotations

import io
import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

import elman
from elman.sklearn import ElmanClassifier, ElmanRegressor

pytestmark = pytest.mark.any_isa

QUICK = {"hidden_size": 5, "max_iter": 4, "random_state": 0}


# The checks fit hundreds of networks: these are small, with a high learning rate.
@parametrize_with_checks(
    [
        ElmanClassifier(hidden_size=16, max_iter=60, learning_rate=0.01),
        ElmanRegressor(hidden_size=16, max_iter=60, learning_rate=0.01),
    ]
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def panel(rng, n=20, T=7, I=3):
    """Return sequences, with labels and targets that depend on their means."""
    X = rng.standard_normal((n, T, I)) * [1, 10, 100][:I] + 50
    mean = X.mean(axis=(1, 2))
    return X, np.where(mean > np.median(mean), "high", "low"), np.stack([mean, -1e3 * mean], 1)


def ragged(rng, n=20, I=3):
    """Return sequences of 1 to 9 steps, with labels and two targets each."""
    X = [rng.standard_normal((T, I)) for T in rng.integers(1, 10, n)]
    mean = np.array([x.mean() for x in X])
    return X, np.where(mean > np.median(mean), "high", "low"), np.stack([mean, -1e3 * mean], 1)


# --- forms of sequences ---------------------------------------------------------------------------


def test_sequences_with_one_feature_are_the_same_in_every_form(rng):
    X, y, _ = panel(rng, I=1)
    table = X[:, :, 0]
    forms = [table, X, table.tolist(), list(X), list(table), tuple(table), objects(list(table))]
    expected = ElmanClassifier(**QUICK).fit(table, y).predict_proba(table)
    for form in forms:
        est = ElmanClassifier(**QUICK).fit(form, y)
        for other in forms if form is not table else [table]:
            np.testing.assert_array_equal(est.predict_proba(other), expected)


def objects(sequences):
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array


def test_a_list_of_sequences_gives_what_each_gives_alone_without_padding(rng):
    X, y, _ = ragged(rng)
    est = ElmanClassifier(**QUICK).fit(X, y)
    alone = np.concatenate([est.predict_proba(x[np.newaxis]) for x in X])
    np.testing.assert_array_equal(est.predict_proba(X), alone)
    np.testing.assert_array_equal(est.predict_proba(objects(X)), alone)


def test_training_on_a_list_does_not_see_its_padding(rng):
    """The same network from elman.train, given padded arrays whose padding is NaN."""
    X, _, y = ragged(rng)
    est = ElmanRegressor(**QUICK, schedule="constant").fit(X, y)
    seed = int(check_random_state(0).randint(2**31 - 1))
    steps, lengths = np.concatenate(X), np.array([len(x) for x in X])
    padded = np.full((len(X), lengths.max(), 3), np.nan)
    for row, x in zip(padded, X, strict=True):
        row[: len(x)] = x
    net = elman.Network(
        input_size=3,
        hidden_size=5,
        output_size=2,
        seed=seed,
        init="glorot",
        dtype="float64",
        output_activation="identity",
        input_mean=steps.mean(axis=0),
        input_std=steps.std(axis=0),
    )
    result = elman.train(
        net,
        padded,
        (y - y.mean(axis=0)) / y.std(axis=0),
        outputs="last",
        lengths=lengths,
        optimizer=elman.AdamW(2e-3, weight_decay=1.0),
        clip_norm=1.0,
        epochs=4,
        seed=seed,
    )
    np.testing.assert_allclose(est.loss_curve_, result.history.loss, rtol=1e-12)
    expected = result.network(X[0], outputs="last") * y.std(axis=0) + y.mean(axis=0)
    np.testing.assert_allclose(est.predict(X[:1])[0], expected, rtol=1e-12)


def test_lists_of_numbers_of_different_lengths_are_sequences(rng):
    est = ElmanClassifier(**QUICK).fit([[1, 2], [3, 4, 5], [6]], [0, 1, 1])
    assert est.n_features_in_ == 1
    assert est.predict([[1.0, 2.0, 3.0, 4.0], [5.0]]).shape == (2,)


def test_sequences_may_have_any_length_unless_given_as_columns(rng):
    X, y, _ = panel(rng, I=1)
    est = ElmanClassifier(**QUICK).fit(X, y)
    assert est.n_features_in_ == 1
    assert est.predict(rng.standard_normal((2, 30))).shape == (2,)
    assert est.predict(rng.standard_normal((2, 30, 1))).shape == (2,)
    est.fit(X[:, :, 0], y)
    assert est.n_features_in_ == 7
    with pytest.raises(ValueError, match=r"X has 30 features, but .* is expecting 7 features"):
        est.predict(rng.standard_normal((2, 30)))


def test_a_data_frame_gives_the_names_of_its_columns(rng):
    pandas = pytest.importorskip("pandas")
    X, y, _ = panel(rng, I=1)
    frame = pandas.DataFrame(X[:, :, 0], columns=[f"{hour} h" for hour in range(7)])
    est = ElmanClassifier(**QUICK).fit(frame, y)
    assert est.feature_names_in_.tolist() == frame.columns.tolist()
    est.fit(X, y)
    assert not hasattr(est, "feature_names_in_")


# --- refused input --------------------------------------------------------------------------------

X3 = np.zeros((4, 5, 3))
LIST = [np.zeros((5, 3)), np.zeros((2, 3))]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.full((4, 5), np.nan), [0, 1, 0, 1], "Input X contains NaN"),
        (np.full((4, 5, 3), np.inf), [0, 1, 0, 1], "Input X contains infinity"),
        ([np.zeros((5, 3)), np.full((2, 3), np.nan)], [0, 1], "Input X contains NaN"),
        (X3[None], [0], "X: expected "),
        (X3[:, :0], [0, 1, 0, 1], r"X: expected .*, got \(4, 0, 3\)"),
        ([], [], "X: expected "),
        ([*LIST, np.zeros((2, 4))], [0, 1, 0], r"X\[2\]: expected \(T, 3\)"),
        ([*LIST, np.zeros((0, 3))], [0, 1, 0], r"X\[2\]: expected .*, got \(0, 3\)"),
        ([*LIST, np.zeros((1, 2, 3))], [0, 1, 0], r"X\[2\]: expected \(T, I\) "),
        (X3, None, "y: expected .*, got None"),
        (X3, [0, 1, 0], "inconsistent numbers of samples"),
        (X3, [0, 1, 0, np.nan], "Input y contains NaN"),
    ],
)
@pytest.mark.parametrize("kind", [ElmanClassifier, ElmanRegressor])
def test_wrong_data_are_refused_in_one_sentence(kind, X, y, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"outputs": "first"}, "outputs: expected .*, got 'first'"),
        ({"hidden_size": 0}, "hidden_size: expected .*, got 0"),
        ({"activation": "swish"}, "activation"),
        ({"init": "zeros"}, "init"),
        ({"optimizer": "lbfgs"}, "optimizer: expected .* sgd, .*, got 'lbfgs'"),
        ({"learning_rate": -1}, "learning_rate: expected "),
        ({"weight_decay": -1}, "weight_decay: expected "),
        ({"schedule": "step"}, "schedule: expected "),
        ({"clip_norm": 0}, "clip_norm: expected "),
        ({"max_iter": 0}, "max_iter: expected .*, got 0"),
        ({"batch_size": 0}, "batch_size: expected .*, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction: expected "),
        ({"n_iter_no_change": 0}, "n_iter_no_change: expected .*, got 0"),
        (
            {"early_stopping": True, "validation_fraction": 0.9},
            "validation_fraction: expected ",
        ),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        ElmanClassifier(**QUICK | parameters).fit(X3, [0, 1, 0, 1])


def test_a_dtype_that_is_not_a_float_is_refused():
    with pytest.raises(TypeError, match=r"dtype: expected .*, got int64"):
        ElmanRegressor(**QUICK, dtype="int64").fit(X3, [0, 1, 0, 1])


def test_other_sequences_than_those_of_fit_are_refused(rng):
    est = ElmanRegressor(**QUICK).fit(X3 + rng.standard_normal(X3.shape), [0, 1, 2, 3])
    with pytest.raises(elman.ShapeError, match=r"X: expected 3 .*, got 4"):
        est.predict(np.zeros((2, 5, 4)))
    with pytest.raises(elman.ShapeError, match=r"X: expected \(n, T, 3\) "):
        est.predict(np.zeros((2, 5)))
    with pytest.raises(elman.ShapeError, match=r"y: expected 1 .*, got 2"):
        est.partial_fit(X3, np.zeros((4, 2)))


def test_predicting_before_fitting_is_an_error():
    with pytest.raises(NotFittedError):
        ElmanClassifier().predict(X3)


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="sample_weight: expected "):
        ElmanRegressor(**QUICK).fit(X3, [0, 1, 2, 3], sample_weight=np.zeros(4))


@pytest.mark.parametrize("wrong", ["X", "y", "sample_weight", "learning_rate"])
def test_a_fit_that_fails_changes_nothing(rng, wrong):
    X, y, _ = panel(rng)
    est = ElmanClassifier(**QUICK).fit(X, y)
    if wrong == "learning_rate":
        est.set_params(optimizer="sgd", activation="identity", clip_norm=None, learning_rate=1e300)
    before = dict(vars(est))
    data = {"X": X[..., :2], "y": rng.integers(0, 3, 20), "sample_weight": np.ones(20)}
    broken = {"X": np.full((20, 7), np.nan), "y": y[:5], "sample_weight": -np.ones(20)}
    with np.errstate(all="ignore"), pytest.raises((ValueError, elman.DivergenceError)):
        est.fit(**data | {name: value for name, value in broken.items() if name == wrong})
    assert vars(est) == before


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_takes_and_gives_raw_numbers(rng, tmp_path, dtype):
    X, _, y = panel(rng)
    est = ElmanRegressor(**QUICK, dtype=dtype).fit(X, y)
    net = est.network_
    assert net.dtype == dtype
    np.testing.assert_array_equal(net(X, outputs="last"), est.predict(X))
    net.save(tmp_path / "model.safetensors")
    stream = elman.load(tmp_path / "model.safetensors").stream()
    last = [stream.step(x_t) for x_t in X[0]][-1]
    np.testing.assert_array_equal(last, est.predict(X[:1])[0])


def test_the_scaling_is_that_of_the_steps_that_count(rng):
    X, _, y = ragged(rng)
    weights = rng.integers(0, 3, len(X)).astype(float)
    net = ElmanRegressor(**QUICK).fit(X, y, weights).network_
    repeated = np.concatenate([x for x, w in zip(X, weights, strict=True) for _ in range(int(w))])
    np.testing.assert_allclose(net.input_mean, repeated.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.input_std, repeated.std(axis=0), rtol=1e-12)
    targets = np.repeat(y, weights.astype(int), axis=0)
    np.testing.assert_allclose(net.output_mean, targets.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.output_std, targets.std(axis=0), rtol=1e-12)


def test_constant_columns_have_a_std_of_1(rng):
    X, _, y = panel(rng)
    X[:, :, 1], y[:, 0] = 0.1, 7.0
    est = ElmanRegressor(hidden_size=5, learning_rate=0.01, random_state=0).fit(X, y)
    assert est.network_.input_std[1] == est.network_.output_std[0] == 1
    np.testing.assert_allclose(est.predict(X)[:, 0], 7.0, atol=0.5)


def test_values_too_small_to_square_have_a_std_of_1(rng):
    X, _, y = panel(rng)
    X[:, :, 1] *= 1e-200
    net = ElmanRegressor(**QUICK).fit(X, y).network_
    assert net.input_std[1] == 1


def test_the_network_of_a_classifier_gives_probabilities_and_names_the_classes(rng):
    X, y, _ = panel(rng)
    est = ElmanClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(est.network_(X, outputs="last"), est.predict_proba(X))
    np.testing.assert_array_equal(est.predict_proba(X).argmax(axis=1), est.predict(X) == "low")
    assert est.network_.table == elman.Table(classes=["high", "low"], outputs=est.outputs)


def test_layers_and_activations_are_those_asked_for(rng):
    X, y, _ = panel(rng)
    est = ElmanClassifier(hidden_size=(6, 4), activation=("relu", "tanh"), max_iter=1).fit(X, y)
    assert est.network_.hidden_sizes == (6, 4)
    assert est.network_.activations == ("relu", "tanh")


# --- fitting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_random_state_gives_the_same_bits_for_any_number_of_threads(rng, early_stopping):
    X, y, _ = ragged(rng, n=70)
    first, second = (
        ElmanClassifier(**QUICK, early_stopping=early_stopping, n_jobs=n).fit(X, y) for n in (1, 2)
    )
    assert first.network_ == second.network_
    assert first.loss_curve_ == second.loss_curve_
    other = clone(first).set_params(random_state=1).fit(X, y)
    assert other.network_ != first.network_


def test_integer_weights_are_repeated_sequences(rng):
    X, _, y = panel(rng, n=12)
    weights = rng.integers(0, 3, len(X))
    weighted = ElmanRegressor(**QUICK, batch_size=100).fit(X, y, weights)
    repeated = ElmanRegressor(**QUICK, batch_size=100).fit(
        np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0)
    )
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize("outputs", ["last", "all"])
def test_class_weights_are_sample_weights(rng, outputs):
    X, y, _ = panel(rng)
    X = np.concatenate([X, -X], axis=1)  # means of 0 and the same std for any weights
    X /= np.sqrt((X**2).mean(axis=1, keepdims=True))
    weights = np.where(y == "high", 3.0, 0.5)
    if outputs == "all":
        y = np.repeat(y[:, np.newaxis], X.shape[1], axis=1)
    settings = QUICK | {"outputs": outputs}
    of_classes = ElmanClassifier(**settings, class_weight={"high": 3.0, "low": 0.5}).fit(X, y)
    of_samples = ElmanClassifier(**settings).fit(X, y, weights)
    np.testing.assert_allclose(of_classes.loss_curve_, of_samples.loss_curve_, rtol=1e-12)
    assert of_classes.loss_curve_ != ElmanClassifier(**settings).fit(X, y).loss_curve_


def test_balanced_classes_weigh_the_same(rng):
    X, y, _ = panel(rng)
    y[:15], y[15:] = "many", "few"
    balanced = ElmanClassifier(**QUICK, class_weight="balanced").fit(X, y)
    given = ElmanClassifier(**QUICK, class_weight={"many": 20 / 30, "few": 20 / 10}).fit(X, y)
    np.testing.assert_allclose(balanced.predict_proba(X), given.predict_proba(X), rtol=1e-12)


def test_partial_fit_goes_on_as_fit_would(rng):
    X, y, numbers = ragged(rng, n=40)
    est, parts = (ElmanClassifier(**QUICK, schedule="constant") for _ in range(2))
    est.fit(X, y)
    for _ in range(4):
        parts.partial_fit(X, y, classes=["high", "low"])
        parts = pickle.loads(pickle.dumps(parts))
    assert parts.network_ == est.network_
    assert parts.loss_curve_ == est.loss_curve_
    assert parts.n_iter_ == 4
    longer = ElmanRegressor(**QUICK | {"max_iter": 6}, schedule="constant").fit(X, numbers)
    shorter = ElmanRegressor(**QUICK, schedule="constant").fit(X, numbers)
    shorter.partial_fit(X, numbers).partial_fit(X, numbers)
    assert shorter.loss_curve_ == pytest.approx(longer.loss_curve_, rel=1e-12)
    np.testing.assert_allclose(shorter.predict(X), longer.predict(X), rtol=1e-9)


def test_partial_fit_with_some_of_the_classes_learns_these():
    classes = ["a", "b", "c"]
    some = ElmanClassifier(**QUICK).partial_fit(X3, ["b", "c", "b", "c"], classes)
    weights = [1, 1, 1, 1, 0]  # the one of class a does not count
    all_of_them = ElmanClassifier(**QUICK).partial_fit(
        np.concatenate([X3, X3[:1]]), ["b", "c", "b", "c", "a"], classes, weights
    )
    assert some.network_ == all_of_them.network_


def test_partial_fit_must_know_the_classes():
    with pytest.raises(ValueError, match="classes: expected "):
        ElmanClassifier(**QUICK).partial_fit(X3, [0, 1, 0, 1])
    est = ElmanClassifier(**QUICK).partial_fit(X3, [0, 1, 0, 1], classes=[2, 1, 0])
    assert est.classes_.tolist() == [0, 1, 2]
    assert est.predict_proba(X3).shape == (4, 3)
    with pytest.raises(ValueError, match=r"y: expected .*, got 3"):
        est.partial_fit(X3, [0, 1, 0, 3])
    with pytest.raises(ValueError, match="class_weight: expected "):
        est.set_params(class_weight="balanced").partial_fit(X3, [0, 1, 0, 1])


def test_a_warm_start_begins_with_the_last_weights_and_scaling(rng):
    X, _, y = panel(rng, n=60)
    est = ElmanRegressor(**QUICK | {"max_iter": 60}, warm_start=True).fit(X, y)
    before = est.network_
    est.set_params(max_iter=1).fit(X + 1, y)
    assert est.n_iter_ == 1
    assert est.network_ != before
    np.testing.assert_array_equal(est.network_.input_mean, before.input_mean)
    assert est.loss_curve_[0] < 0.9 * clone(est).fit(X, y).loss_curve_[0]


def test_early_stopping_stops_and_keeps_the_best_network(rng):
    X = rng.standard_normal((40, 5))
    est = ElmanRegressor(
        hidden_size=8,
        learning_rate=0.02,
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=3,
        random_state=0,
    ).fit(X, rng.standard_normal(40))  # nothing can be learned
    losses = est.history_.validation_loss
    assert est.n_iter_ == len(losses) < est.max_iter
    assert est.history_.best_epoch == np.argmin(losses) + 1 == est.n_iter_ - 3


def test_early_stopping_holds_out_the_end_of_a_single_sequence(rng):
    X = rng.standard_normal((1, 60, 1))
    est = ElmanRegressor(**QUICK, outputs="all", early_stopping=True).fit(X, np.roll(X, 1, axis=1))
    assert len(est.history_.validation_loss) == est.n_iter_


def test_an_interrupted_fit_keeps_what_it_has(rng):
    def interrupting(share):
        if share > 0.5:
            raise KeyboardInterrupt
        return 1.0

    X, y, _ = panel(rng)
    with pytest.warns(UserWarning, match="interrupted") as warned:
        est = ElmanClassifier(**QUICK, schedule=interrupting).fit(X, y)
    assert warned[0].filename == __file__
    assert est.n_iter_ == 3
    assert est.predict(X).shape == (20,)


def test_partial_fit_with_another_optimizer_starts_with_a_new_state(rng):
    X, y, _ = panel(rng)
    est = ElmanClassifier(**QUICK).fit(X, y)
    est.set_params(optimizer=elman.SGD(0.1, momentum=0.9)).partial_fit(X, y)
    assert est.n_iter_ == 5


def test_settings_of_optimizers_and_starts_are_cloned():
    est = ElmanClassifier(optimizer=elman.SGD(0.1), init=elman.Identity())
    assert clone(est).get_params() == est.get_params()


def test_a_loss_that_is_not_finite_is_an_error(rng):
    X, _, y = panel(rng)
    est = ElmanRegressor(
        activation="identity", optimizer="sgd", learning_rate=1e6, clip_norm=None, random_state=0
    )
    with np.errstate(all="ignore"), pytest.raises(elman.DivergenceError, match="learning_rate"):
        est.fit(X, y)


# --- a target for every step ----------------------------------------------------------------------


def test_steps_are_labelled_in_the_form_that_was_given(rng):
    X, *_ = ragged(rng)
    y = [np.where(x.sum(axis=1) > 0, "up", "down") for x in X]
    est = ElmanClassifier(hidden_size=5, outputs="all", learning_rate=0.01, random_state=0)
    labels = est.fit(X, y).predict(X)
    assert [row.shape for row in labels] == [row.shape for row in y]
    assert est.predict_proba(X)[3].shape == (len(X[3]), 2)
    assert est.score(X, y) == accuracy_score(np.concatenate(y), np.concatenate(labels)) > 0.9
    for x, row in zip(X, labels, strict=True):
        assert est.predict(x[np.newaxis])[0].tolist() == row.tolist()
    assert cross_val_score(est, X, y, cv=KFold(2)).min() > 0.7


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_numbers_of_every_step_come_in_the_form_that_was_given(rng, shape):
    X = rng.standard_normal((15, 6, 2))
    y = np.cumsum(X[..., :1], axis=1).repeat(2, axis=2)[..., : max(1, sum(shape))]
    y = y.reshape(15, 6, *shape)
    est = ElmanRegressor(hidden_size=5, outputs="all", learning_rate=0.01, random_state=0)
    predicted = est.fit(X, y).predict(X)
    assert predicted.shape == y.shape
    np.testing.assert_array_equal(predicted, est.network_(X).reshape(y.shape))
    rows = (-1, *shape)
    assert est.score(X, y) == pytest.approx(r2_score(y.reshape(rows), predicted.reshape(rows)))
    listed = clone(est).fit(list(X), list(y))
    np.testing.assert_array_equal(listed.predict(list(X)), predicted)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X3, np.zeros((4, 6)), r"y: expected \(4, 5\), "),
        (X3, np.zeros(4), r"y: expected \(4, 5\)"),
        (LIST, [np.zeros(5)], "y: expected 2 .*, got 1"),
        (LIST, [np.zeros(5), np.zeros(3)], r"y\[1\]: expected \(2,\), got \(3,\)"),
        (LIST, [np.zeros((5, 1)), np.zeros(2)], r"y\[1\]: expected \(2, 1\), got \(2,\)"),
    ],
)
def test_targets_that_are_not_those_of_the_steps_are_refused(X, y, message):
    with pytest.raises(elman.ShapeError, match=message):
        ElmanRegressor(**QUICK, outputs="all").fit(X, y)


# --- pipelines and searches -----------------------------------------------------------------------


def test_pickles_predict_the_same(rng):
    X, y, _ = ragged(rng)
    est = ElmanClassifier(**QUICK).fit(X, y)
    copy = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(copy.predict_proba(X), est.predict_proba(X))
    assert copy.get_params() == est.get_params()


def test_a_pipeline_and_a_search_find_what_works(rng):
    X = rng.standard_normal((60, 6))
    y = X[:, -3:].sum(axis=1) > 0
    est = make_pipeline(MinMaxScaler(), ElmanClassifier(hidden_size=8, random_state=0))
    grid = {"elmanclassifier__max_iter": [1, 100], "elmanclassifier__learning_rate": [0.01]}
    search = GridSearchCV(est, grid, cv=3).fit(X, y)
    assert search.best_params_["elmanclassifier__max_iter"] == 100
    assert search.best_score_ > 0.8
    assert search.predict(X).dtype == bool


def test_a_search_takes_lists(rng):
    X, y, numbers = ragged(rng)
    assert len(cross_val_score(ElmanClassifier(**QUICK), X, y, cv=2)) == 2
    search = GridSearchCV(ElmanRegressor(**QUICK), {"hidden_size": [2, (3, 2)]}, cv=2)
    assert search.fit(X, numbers).predict(X).shape == (20, 2)


ROWS = FunctionTransformer(lambda pixels: pixels.reshape(-1, 8, 8))


def of_digits():
    digits = load_digits()
    return train_test_split(
        digits.data, digits.target, test_size=0.5, random_state=0, stratify=digits.target
    )


def test_digits_are_read_row_by_row():
    X, X_test, y, y_test = of_digits()
    est = ElmanClassifier(
        hidden_size=32, max_iter=20, learning_rate=0.01, dtype="float32", random_state=0
    )
    assert make_pipeline(ROWS, est).fit(X, y).score(X_test, y_test) > 0.9


@pytest.mark.slow
def test_digits_read_row_by_row_are_told_apart_better_than_by_a_linear_model():
    X, X_test, y, y_test = of_digits()
    linear = LogisticRegression(max_iter=1000).fit(X / 16, y).score(X_test / 16, y_test)
    est = ElmanClassifier(hidden_size=128, dtype="float32", random_state=0)
    est = make_pipeline(ROWS, est).fit(X, y)
    assert est.score(X_test, y_test) > linear > 0.9


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.startswith("elman.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'elman[sklearn]'")):
        import elman.sklearn  # noqa: F401


def test_the_module_is_an_attribute_of_the_package(monkeypatch):
    monkeypatch.delattr(elman, "sklearn")
    assert elman.sklearn.ElmanClassifier is ElmanClassifier


def test_progress_goes_to_the_terminal(rng, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    X, y, _ = panel(rng)
    ElmanClassifier(**QUICK, verbose=True).fit(X, y)
    assert "4/4" in screen.getvalue()


def test_a_fit_that_diverges_leaves_the_network_and_the_history(rng):
    X, _, y = panel(rng)
    est = ElmanRegressor(**QUICK).fit(X, y)
    network, history = est.network_, est.history_
    before = history.loss.copy()
    est.set_params(optimizer="sgd", learning_rate=1e300, clip_norm=None, batch_size=4)
    with pytest.raises(elman.DivergenceError):
        est.partial_fit(X, y)
    assert est.network_ is network
    assert est.history_ is history
    assert history.loss == before


def test_the_history_of_a_fit_does_not_grow_with_a_partial_fit(rng):
    X, _, y = panel(rng)
    est = ElmanRegressor(**QUICK).fit(X, y)
    before = est.history_
    epochs = len(before.epoch)
    est.partial_fit(X, y)
    assert len(est.history_.epoch) == epochs + 1
    assert len(before.epoch) == epochs


@pytest.mark.parametrize(
    ("kind", "own"), [(ElmanClassifier, "class_weight"), (ElmanRegressor, "start")]
)
def test_the_parameters_are_those_of_one_signature(kind, own):
    import inspect

    signature = inspect.signature(kind).parameters
    shared = inspect.signature(ElmanRegressor).parameters
    assert list(signature) == [*[*shared][:-1], own]
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.values())
    assert kind().get_params() == {name: p.default for name, p in signature.items()}


# --- a linear start -------------------------------------------------------------------------------


def kinked(rng, n=30, T=60):
    """Return sequences with targets at each step: linear in two steps, and a kink."""
    X = rng.standard_normal((n, T, 1)) * 3 + 20
    z = (X[..., 0] - 20) / 3
    return X, 100 + 5 * z + 4 * np.pad(z, ((0, 0), (1, 0)))[:, :-1] + np.abs(z)


def test_a_linear_start_is_the_linear_model_and_what_it_leaves_is_learned(rng):
    X, y = kinked(rng)
    options = {"outputs": "all", "hidden_size": 8, "random_state": 0}
    start = elman.linear_start(X[:20], y[:20, :, None])
    left = np.square(start(X[20:])[..., 0] - y[20:]).mean()
    est = ElmanRegressor(start="linear", max_iter=1, learning_rate=1e-9, **options)
    est.fit(X[:20], y[:20])
    assert np.square(est.predict(X[20:]) - y[20:]).mean() == pytest.approx(left, rel=1e-3)
    est.set_params(max_iter=200, learning_rate=0.01).fit(X[:20], y[:20])
    learned = np.square(est.predict(X[20:]) - y[20:]).mean()
    assert learned < left / 2
    assert est.history_.loss[0] < 1.1  # of what the linear model leaves
    net = est.network_
    assert net.dtype == "float64"
    assert net.hidden_sizes[0] > 8
    np.testing.assert_array_equal(est.predict(X[20:]), net(X[20:])[..., 0])
    listed = [x[: 10 + i] for i, x in enumerate(X)]
    targets = [t[: 10 + i] for i, t in enumerate(y)]
    est = clone(est).fit(listed, targets)
    assert est.score(listed, targets) > 0.95


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "ridge"}, "start: expected None or 'linear', got 'ridge'"),
        ({"outputs": "last"}, "start: expected None with outputs='last', got 'linear'"),
        ({"warm_start": True}, "start: expected None with warm_start, got 'linear'"),
        ({"hidden_size": (4, 4)}, "start: expected None with several layers"),
        ({"activation": "relu"}, "start: expected None with several layers or another"),
    ],
)
def test_a_linear_start_that_is_impossible_is_one_sentence(rng, options, sentence):
    X, y = kinked(rng, 4, 10)
    est = ElmanRegressor(**(QUICK | {"start": "linear", "outputs": "all"} | options))
    with pytest.raises(elman.ArgumentError, match=re.escape(sentence)):
        est.fit(X, y)
    assert not hasattr(est, "network_")


def test_a_linear_start_is_not_for_partial_fit_or_weights(rng):
    X, y = kinked(rng, 4, 10)
    est = ElmanRegressor(**QUICK, start="linear", outputs="all")
    with pytest.raises(elman.ArgumentError, match="start: expected None for partial_fit"):
        est.partial_fit(X, y)
    with pytest.raises(elman.ArgumentError, match="start: expected None with sample_weight"):
        est.fit(X, y, np.ones(4))


# --- mistakes that would be silent ----------------------------------------------------------------

SERIES, TARGETS = np.arange(60.0).reshape(30, 2) % 7, np.arange(30) % 5


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ([SERIES], [TARGETS]),
        ([SERIES], [TARGETS[:, None]]),
        (SERIES[None], TARGETS[None]),
        (SERIES[None], TARGETS[None, :, None]),
        ([SERIES, SERIES[:9]], [TARGETS, TARGETS[:9]]),
        ([SERIES, SERIES], [TARGETS, TARGETS]),
    ],
)
@pytest.mark.parametrize("kind", [ElmanClassifier, ElmanRegressor])
def test_targets_of_steps_are_not_taken_for_those_of_sequences(kind, X, y):
    est = kind(**QUICK)
    with pytest.raises(elman.ShapeError, match=r"^y: expected \(n,\).* outputs='all' for a target"):
        est.fit(X, y)
    if np.ndim(y[0]) == 1:
        assert est.set_params(outputs="all").fit(X, y).network_.output_size in (1, 5)


def test_several_targets_of_a_sequence_may_be_as_many_as_its_steps(rng):
    windows, following = rng.standard_normal((9, 4, 2)), rng.standard_normal((9, 4))
    for X in (windows, list(windows)):
        assert ElmanRegressor(**QUICK).fit(X, following).n_outputs_ == 4
    with pytest.raises(elman.ShapeError, match=r"pass np\.stack\(y\) for several"):
        ElmanRegressor(**QUICK).fit(list(windows), list(following))
    with pytest.raises(elman.ShapeError, match=r"^y: expected \(n,\) with outputs='last'"):
        ElmanClassifier(**QUICK).fit(windows, following > 0)
    one_each = ElmanRegressor(**QUICK).fit(list(windows[:, :1]), list(following[:, :1]))
    assert one_each.n_outputs_ == 1


def test_a_series_given_as_a_table_is_named_with_the_remedy():
    with pytest.raises(
        elman.ShapeError, match=r"^y: expected \(30, 2\).* pass one series as \[X\]"
    ):
        ElmanRegressor(outputs="all", **QUICK).fit(SERIES, TARGETS)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_frame_of_features_is_not_read_as_a_frame_of_steps(kind):
    library = pytest.importorskip(kind)
    make = library.table if kind == "pyarrow" else library.DataFrame
    frame = make({"temperature": SERIES[:, 0], "load": SERIES[:, 1]})
    with pytest.raises(
        elman.ArgumentError, match=r"^X: .*'temperature', 'load'.* \[X.to_numpy\(\)\]"
    ):
        ElmanRegressor(**QUICK).fit(frame, TARGETS)
    lags = make({"lag 1": SERIES[:, 0], "lag 2": SERIES[:, 1]})
    assert ElmanRegressor(**QUICK).fit(lags, TARGETS).network_.input_size == 1


def test_one_hot_classes_name_the_remedy():
    X, labels = np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1])
    with pytest.raises(elman.ShapeError, match=r"^y: .* got \(4, 2\): .* y.argmax\(axis=-1\)"):
        ElmanClassifier(**QUICK).fit(X, np.eye(2)[labels])
    assert ElmanClassifier(**QUICK).fit(X, np.eye(2)[labels].argmax(axis=-1)).classes_.size == 2


def test_sequences_in_a_series_or_in_cells():
    pandas = pytest.importorskip("pandas")
    listed = [SERIES, SERIES[:9]]
    est, same = (
        ElmanRegressor(**QUICK).fit(X, [1, 2]) for X in (listed, pandas.Series(listed, [5, 6]))
    )
    assert est.network_ == same.network_
    cells = pandas.DataFrame({"a": [x[:, 0] for x in listed], "b": [x[:, 1] for x in listed]})
    with pytest.raises(elman.ArgumentError, match=r"^X: .* sequences in its cells") as caught:
        est.fit(cells, [1, 2])
    recipe = str(caught.value).split("a list of sequences, ")[1]
    again = est.fit(eval(recipe, {"np": np, "X": cells}), [1, 2])
    assert again.network_ == same.network_
    whole = pandas.DataFrame({"a": listed})  # two-dimensional arrays
    with pytest.raises(elman.ArgumentError, match=r"^X: .* sequences in its cells"):
        est.fit(whole, [1, 2])
    assert est.fit(eval(recipe, {"np": np, "X": whole}), [1, 2]).network_ == same.network_
    index = pandas.MultiIndex.from_product([range(3), range(10)])
    with pytest.raises(elman.ArgumentError, match=r"^X: .* MultiIndex") as caught:
        est.fit(frame := pandas.DataFrame(SERIES, index=index), [1, 2, 3])
    recipe = str(caught.value).split("a list of sequences, ")[1]
    np.testing.assert_array_equal(eval(recipe, {"X": frame}), SERIES.reshape(3, 10, 2))


def test_nan_at_the_ends_of_sequences_names_the_list():
    for X in (np.ones((4, 5)), np.ones((4, 5, 2))):
        X[1, 3:] = X[2, 4:] = np.nan
        with pytest.raises(elman.ArgumentError, match=r"^X: .* after step 2 of sequence 1 .* list"):
            ElmanRegressor(**QUICK).fit(X, [1, 2, 3, 4])
        X[0, 1] = np.nan
        with pytest.raises(ValueError, match=r"^Input X contains NaN"):
            ElmanRegressor(**QUICK).fit(X, [1, 2, 3, 4])
