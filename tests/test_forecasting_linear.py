"""The network that starts as a linear model, and linear models of the last steps."""

import numpy as np
import pytest

import elman
from elman.forecasting import linear

pytestmark = pytest.mark.any_isa


def least_squares(x, y, lags, alpha):
    """Return the predictions of ridge regression of y in the scaled last inputs, by NumPy."""
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    wanted = (y - y.mean(axis=0)) / y.std(axis=0)
    padded = np.concatenate([np.zeros((lags - 1, x.shape[1])), z])
    rows = np.concatenate([padded[lags - 1 - k : len(padded) - k] for k in range(lags)], axis=1)
    centre = rows.mean(axis=0)
    penalized = np.concatenate([rows - centre, np.sqrt(alpha) * np.eye(rows.shape[1])])
    targets = np.concatenate([wanted, np.zeros((rows.shape[1], y.shape[1]))])
    slopes, *_ = np.linalg.lstsq(penalized, targets, rcond=None)
    return ((rows - centre) @ slopes) * y.std(axis=0) + y.mean(axis=0)


def series(rng, steps=400):
    """Return inputs of two columns and targets of two that depend on five steps of them."""
    x = np.cumsum(rng.normal(size=(steps, 2)), axis=0) * 0.1 + [50, -3]
    past = [np.roll(x, k, axis=0) for k in range(5)]
    mixed = np.tensordot(rng.normal(size=5), past, axes=1)
    return x, np.stack([mixed.sum(axis=1), 100 * mixed[:, 0]], axis=1) + rng.normal(size=(steps, 1))


@pytest.mark.parametrize(("lags", "alpha"), [(1, 1.0), (5, 1e-2), (24, 10.0)])
def test_the_network_is_least_squares_to_the_stated_error(rng, lags, alpha):
    x, y = series(rng)
    net = elman.linear_start(x, y, lags=lags, alpha=alpha)
    assert (net.hidden_sizes, net.dtype) == ((lags * 2,), "float64")
    largest = np.abs((x - x.mean(axis=0)) / x.std(axis=0)).max()
    error = np.abs(net(x) - least_squares(x, y, lags, alpha)).max(axis=0) / y.std(axis=0)
    slopes = np.abs(net.readout.W_hy).sum(axis=1) * 0.01  # of scaled inputs
    assert (error <= slopes * lags * 3.4e-5 * largest**3 + 1e-9).all()
    assert net.verify(x)


def test_other_units_are_there_to_be_trained_and_change_nothing_yet(rng):
    x, y = series(rng)
    net = elman.linear_start(x, y, lags=3, alpha=1.0)
    more = elman.linear_start(x, y, lags=3, alpha=1.0, hidden_size=8, seed=4)
    assert more.hidden_sizes == (14,)
    np.testing.assert_allclose(more(x), net(x), rtol=1e-12)
    other = elman.linear_start(x, y, lags=3, alpha=1.0, hidden_size=8, seed=5)
    assert more != other
    trained, history = elman.train(more, x, y, epochs=3, learning_rate=1e-5, bptt_steps=32)
    assert history.loss[-1] < history.loss[0]
    assert trained != more


def test_training_its_other_units_finds_what_is_not_linear():
    wave = np.sin(np.arange(1000) / 3)[:, None] * np.sin(np.arange(1000) / 50)[:, None]
    x, y = wave[:-1], np.abs(wave[1:])
    net = elman.linear_start(x, y, hidden_size=16)
    before = np.square(net(x) - y).mean()
    trained, _ = elman.train(net, x, y, epochs=100, learning_rate=3e-4, bptt_steps=16, clip_norm=1)
    assert np.square(trained(x) - y).mean() < before / 4


def test_sequences_are_fitted_together_and_each_begins_at_its_mean(rng):
    lengths = [30, 1, 45, 60, 8]
    x = [rng.normal(size=(n, 1)) + 7 for n in lengths]
    mean = np.concatenate(x).mean()
    y = [2 * s + np.concatenate([[[mean]], s[:-1]]) for s in x]  # of the last two steps
    net = elman.linear_start(x, y, lags=2, alpha=0.0)
    for inputs, targets in zip(x, y, strict=True):
        np.testing.assert_allclose(net(inputs), targets, rtol=1e-3)
    batch = elman.linear_start(np.stack([x[3][:40], x[2][:40]]), np.stack([y[3][:40], y[2][:40]]))
    np.testing.assert_allclose(batch(x[0]), y[0], rtol=1e-2)


def test_the_lags_that_matter_are_chosen(rng):
    x = rng.normal(size=(2000, 1))
    y = np.roll(x, 5, axis=0) + 0.1 * rng.normal(size=(2000, 1))
    assert elman.linear_start(x, y).hidden_sizes == (6,)
    assert elman.linear_start(x, rng.normal(size=(2000, 1))).hidden_sizes == (1,)


def test_moments_of_few_lags_are_the_beginnings_of_those_of_many(rng, monkeypatch):
    x, y = series(rng, 100)
    spans = [(0, 10, 40), (1, 0, 1), (0, 40, 90)]
    many, few = (linear.moments([x, x], [y, y], spans, lags) for lags in (7, 2))
    np.testing.assert_allclose(many.gram[:5, :5], few.gram)
    np.testing.assert_allclose(many.moment[:5], few.moment)
    monkeypatch.setattr(linear, "ROWS", 7)
    blocks = linear.moments([x, x], [y, y], spans, 7)
    for whole, summed in zip(many, blocks, strict=True):
        np.testing.assert_allclose(whole, summed)
    coefficients = rng.normal(size=(5, 2))
    padded = np.pad(x, ((1, 0), (0, 0)))
    rows = np.concatenate([np.ones((100, 1)), padded[1:], padded[:-1]], axis=1)
    errors = np.square(rows @ coefficients - y)
    expected = errors[10:90].sum() + errors[0].sum()
    assert many.errors(coefficients) == pytest.approx(expected)


def test_a_joined_network_is_the_sum_of_its_parts(rng):
    nets = [
        elman.Network(3, H, 2, output_activation="identity", dtype="float64", seed=H)
        for H in (4, 1, 9)
    ]
    blocks = [linear.Units.of(net) for net in nets]
    factors = [1.0, 0.5, np.array([2.0, -1.0])]
    net = linear.joined([block.times(f) for block, f in zip(blocks, factors, strict=True)])
    x = rng.normal(size=(50, 3))
    expected = sum(one(x) * factor for one, factor in zip(nets, factors, strict=True))
    np.testing.assert_allclose(net(x), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "sentence"),
    [
        (np.zeros(5), np.zeros((5, 1)), {}, elman.ShapeError, "x: expected two axes"),
        (np.zeros((5, 1)), np.zeros((4, 1)), {}, elman.ShapeError, "y: expected as many"),
        (np.zeros((0, 1)), np.zeros((0, 1)), {}, elman.ShapeError, "x: expected at least one"),
        ([np.zeros((5, 1)), np.zeros((5, 2))], [np.zeros((5, 1))] * 2, {}, elman.ShapeError, "x: "),
        (np.full((5, 1), np.nan), np.zeros((5, 1)), {}, elman.ArgumentError, "x: expected finite"),
        (np.full((5, 1), 1e300), np.zeros((5, 1)), {}, elman.ArgumentError, "x: .* 1e.140, got 1e"),
        (
            np.zeros((5, 1)),
            np.full((5, 1), -1e200),
            {},
            elman.ArgumentError,
            "y: .* 1e.140, got 1e",
        ),
        (np.zeros((5, 0)), np.zeros((5, 1)), {}, elman.ShapeError, "x: expected at least one col"),
        (np.zeros((5, 1)), np.zeros((5, 0)), {}, elman.ShapeError, "y: expected at least one col"),
        (np.zeros((5, 1)), np.zeros((5, 1)), {"lags": 6}, elman.ArgumentError, "lags: .* 5, "),
        (np.zeros((5, 1)), np.zeros((5, 1)), {"lags": 0}, elman.ArgumentError, "lags: expected"),
        (np.zeros((5, 1)), np.zeros((5, 1)), {"alpha": -1}, elman.ArgumentError, "alpha: "),
        (np.zeros((5, 1)), np.zeros((5, 1)), {"hidden_size": -1}, elman.ArgumentError, "hidden_"),
    ],
)
def test_wrong_arguments_are_one_sentence(x, y, options, error, sentence):
    with pytest.raises(error, match=sentence):
        elman.linear_start(x, y, **options)


def test_inputs_that_are_read_once_have_no_lags(rng):
    x, y = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
    y[:, 0] += x[:, 2] + np.roll(x[:, 0], 2)
    problem = linear.Problem([x], [y], [(0, 0, 300)], once=1, lags=(3,))
    model = problem.linear(problem.all, linear.MEAN, 3, 1.0)
    padded = np.pad(x, ((2, 0), (0, 0)))
    rows = [x[:, 2:], padded[2:, :2], padded[1:-1, :2], padded[:-2, :2]]
    rows = np.concatenate(rows, axis=1)
    centre, level = rows.mean(axis=0), y.mean(axis=0)
    penalized = np.concatenate([rows - centre, np.eye(7)])
    slopes, *_ = np.linalg.lstsq(penalized, np.pad(y - level, ((0, 7), (0, 0))), rcond=None)
    expected = level + (rows - centre) @ slopes
    np.testing.assert_allclose(model(x), expected, atol=1e-12)
    net = linear.joined([linear.delay_line(model)])
    assert net.hidden_sizes == (7,)
    np.testing.assert_allclose(net(x), expected, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_a_few_steps_are_enough(steps):
    x = np.arange(steps, dtype=float)[:, None]
    assert np.isfinite(elman.linear_start(x, 2 * x)(x)).all()


def test_a_constant_series_is_its_value():
    x = np.full((50, 1), 3.25)
    np.testing.assert_allclose(elman.linear_start(x, 2 * x)(x), 2 * x)


def test_without_a_penalty_it_is_the_smallest_solution_of_least_squares(rng):
    x = rng.normal(size=(6, 1))
    y = rng.normal(size=(6, 1))
    cases = [(np.hstack([x, x]), 2), (np.hstack([x, np.ones((6, 1))]), 1), (x, 6)]
    for inputs, lags in cases:
        net = elman.linear_start(inputs, y, lags=lags, alpha=0.0, scale=1e-6)
        std = inputs.std(axis=0)
        z = (inputs - inputs.mean(axis=0)) / np.where(std > 0, std, 1)
        padded = np.pad(z, ((lags - 1, 0), (0, 0)))
        rows = np.hstack([padded[lags - 1 - k : len(padded) - k] for k in range(lags)])
        slopes = np.linalg.pinv(rows - rows.mean(axis=0)) @ (y - y.mean())
        np.testing.assert_allclose(
            net.readout.W_hy * net.layers[0].W_xh[0, 0], slopes.T / y.std(), rtol=1e-6, atol=1e-8
        )
