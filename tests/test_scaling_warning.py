"""Training warns once of inputs and targets that are far from the scale of the network."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import elman
from elman import _core

t = np.arange(400)
SINE = np.sin(t / 5)
DAYS = 12 + 8 * np.sin(t / 9)  # degrees Celsius


def net(inputs=1, outputs=1, g="identity", **more):
    return elman.Network(inputs, 4, outputs, output_activation=g, seed=0, **more)


def column(values):
    return np.asarray(values, float).reshape(len(values), -1)


def quiet(network, x, y=None, **options):
    """Train for an epoch; the suite turns a warning into an error."""
    y = np.zeros((*np.shape(x)[:-1], network.output_size)) if y is None else y
    elman.train(network, x, y, epochs=1, **options)
    elman.Trainer(network, loss=options.get("loss", "mse")).update(x, y)


def warned(network, x, y=None, **options):
    y = np.zeros((*np.shape(x)[:-1], network.output_size)) if y is None else y
    with pytest.warns(elman.ScalingWarning) as caught:
        elman.train(network, x, y, epochs=2, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the line that called, not one of the package
    return str(caught[0].message)


@pytest.mark.parametrize(
    "values",
    [
        SINE,
        t % 2,
        t == 7,  # a rare event
        t != 7,
        np.eye(5)[t % 5],
        (t % 256) / 255,
        t % 11,  # counts up to 10
        t % 24,  # hours
        DAYS,
        np.ones(400),  # a bias
        np.zeros(400),
        1e-4 * SINE,
    ],
)
def test_usual_inputs_and_targets_give_no_warning(values):
    x = column(values)
    quiet(net(x.shape[1]), x)
    quiet(net(), column(SINE), column(values)[:, :1])


@pytest.mark.parametrize(
    "values",
    [
        1000 + 250 * SINE,
        2000 + t / 40,  # years
        50 + 10 * SINE,  # prices
        DAYS + 273.15,
        5 + 0.5 * SINE,  # small, but ten deviations from zero
        30 * SINE,
        1.7e9 + 3600 * t,  # seconds since 1970
        np.full(400, 1e3),
    ],
)
def test_unscaled_values_are_one_warning_whose_remedy_works(values):
    values = column(values)
    for data in ((values, None), (column(SINE), values)):
        network = net(dtype="float64")
        message = warned(network, *data)
        side = "input" if data[1] is None else "output"
        assert message.startswith("x: feature 0" if side == "input" else "y: output 0")
        assert f"{side}_mean" in message
        assert f"{side}_std" in message
        recipe = message[message.index("net.replace") :]
        better = eval(recipe, {"net": network, "np": np})
        mean, std = getattr(better, f"{side}_mean"), getattr(better, f"{side}_std")
        scaled = (values - mean) / std
        assert abs(scaled.mean()) < 0.02
        constant = (values == values[0]).all()
        assert scaled.std() == pytest.approx(0 if constant else 1, abs=0.01)
        quiet(better, *data)


def test_both_sides_and_the_number_of_columns_are_in_one_sentence(rng):
    x = rng.standard_normal((400, 3)) * [1, 100, 20]
    message = warned(net(3), x, column(70 + SINE))
    assert "x: feature 1 has mean" in message
    assert "and 1 more are like it; y: output 0 has mean 70" in message
    for name in ("input_mean", "input_std", "output_mean", "output_std"):
        assert f"'{name}': " in message


@pytest.mark.parametrize("form", ["array", "list", "series"])
def test_the_remedy_for_many_columns_can_be_run(rng, form):
    x = rng.integers(0, 256, (5, 20, 64))
    x[..., 3] = 7
    given = {"array": x, "list": [x[0], x[1, :7]], "series": x[0]}[form]
    y = [np.zeros((len(one), 1)) for one in given] if form == "list" else None
    y = np.zeros((*np.shape(given)[:-1], 1)) if y is None else y
    message = warned(net(64), given, y)
    assert len(message) < 500
    recipe = message[message.index("net.replace") :]
    better = eval(recipe, {"net": net(64), "np": np, "x": given})
    assert better.input_std[3] == 1
    elman.train(better, given, y, epochs=1)


def test_the_numbers_are_those_of_all_steps_of_a_long_batch(rng):
    x = (1e6 + 30 * rng.standard_normal((3, 15_000, 3))).astype(np.float32)
    lengths = [15_000, 0, 9_000]
    x[1], x[2, 9_000:] = -1e9, np.nan
    message = warned(net(3), x, lengths=lengths)
    counted = np.concatenate([x[0], x[2, :9_000]]).astype(float)
    mean, std = counted.mean(axis=0), counted.std(axis=0)
    worst = int((mean + std).argmax())
    expected = (
        f"x: feature {worst} has mean {mean[worst]:.4g} and standard deviation {std[worst]:.4g}"
    )
    assert expected in message
    better = eval(message[message.index("net.replace") :], {"net": net(3), "np": np})
    np.testing.assert_allclose(better.input_mean, mean, atol=0.05)
    np.testing.assert_allclose(better.input_std, std, rtol=0.01)


def test_steps_that_do_not_count_are_not_judged(rng):
    x, y = rng.standard_normal((4, 10, 1)), rng.standard_normal((4, 10, 1))
    x[0, 5:], y[1], x[1] = 1e6, 1e6, 1e6
    options = {"lengths": [5, 10, 10, 10], "sample_weight": [1, 0, 1, 1]}
    elman.train(net(), x, y, epochs=1, **options)
    with pytest.warns(elman.ScalingWarning):
        elman.train(net(), x, y, epochs=1, sample_weight=options["sample_weight"])
    options["sample_weight"] = [1, 0, 0, 1]
    last = np.array([[0], [0], [1e6], [1]])
    elman.train(net(), x, last, epochs=1, outputs="last", **options)


def test_only_targets_that_a_readout_must_reach_are_judged():
    labels = t % 30
    quiet(net(1, 30, "softmax"), column(SINE), labels, loss="cross_entropy")
    quiet(net(g=elman.Activation("scaled_tanh", 1000, 1)), column(SINE), column(500 + 250 * SINE))
    warned(net(g="relu"), column(SINE), column(500 + 250 * SINE))


def test_the_networks_own_scaling_comes_first():
    x = column(1000 + 250 * SINE)
    scaled = net(input_mean=[1000], input_std=[250], output_mean=[1000], output_std=[250])
    quiet(scaled, x, x)
    wrong = net(input_mean=[0], input_std=[0.01])
    assert "'input_mean': [" in warned(wrong, column(SINE))


def test_a_trainer_warns_in_its_first_update_only():
    x = column(1000 + 250 * SINE)
    trainer = elman.Trainer(net())
    with pytest.warns(elman.ScalingWarning) as caught:
        trainer.update(x, x)
    assert caught[0].filename == __file__
    trainer.update(x, x)
    trainer.loss(x, x)


def test_the_warning_has_a_class_to_filter_by():
    assert issubclass(elman.ScalingWarning, UserWarning)
    x = column(1000 + 250 * SINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", elman.ScalingWarning)
        elman.train(net(), x, x, epochs=1)


def test_validation_and_errors_come_without_the_warning():
    x = column(1000 + 250 * SINE)
    with pytest.raises(elman.ShapeError):
        elman.train(net(), x, x[:3], epochs=1)
    elman.train(net(), column(SINE), column(SINE), epochs=1, validation=(x, x))


def test_estimators_scale_by_themselves(rng):
    sklearn = pytest.importorskip("elman.sklearn")
    X = 1000 + 250 * rng.standard_normal((20, 5))
    sklearn.ElmanRegressor(max_iter=1).fit(X, X.sum(axis=1)).partial_fit(X, X.sum(axis=1))


@pytest.mark.parametrize("size", [1e154, 1e200, 1e300, np.finfo(float).max])
def test_numbers_whose_squares_are_beyond_float64_are_judged_like_others(size):
    x = np.stack([np.array([size, -size] * 3), np.arange(6) % 2], axis=1)
    network = net(2, dtype="float64")
    message = warned(network, x)
    assert message.startswith("x: feature 0 has mean 0 and standard deviation ")
    better = eval(message[message.index("net.replace") :], {"net": network})
    np.testing.assert_allclose(better.input_std, x.std(axis=0, dtype=np.longdouble), rtol=0.01)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "float16", "int16", "bool"])
@pytest.mark.parametrize("shape", [(1, 1), (15, 3), (16, 1), (17, 70), (400, 2), (0, 4)])
def test_moments_are_the_sums_of_each_column(rng, dtype, shape):
    rows = (10 * rng.standard_normal(shape)).astype(dtype)
    for given in (rows, rows[::-2, ::-1], np.asfortranarray(rows)):
        shift = rng.standard_normal(shape[1])
        sums = _core.moments(given, shift)
        for j, column in enumerate(given.T):
            differences = [float(x) - shift[j] for x in column]
            size = math.fsum(map(abs, differences))
            assert abs(sums[0, j] - math.fsum(differences)) <= 1e-13 * size
            squares = math.fsum(d * d for d in differences)
            assert sums[1, j] == pytest.approx(squares, rel=1e-13, abs=0)


def test_moments_of_other_columns_are_refused():
    for shape, size in (((4, 2), 3), ((4,), 4)):
        with pytest.raises(elman.ShapeError, match="shift: expected one number for each column"):
            _core.moments(np.zeros(shape), np.zeros(size))
