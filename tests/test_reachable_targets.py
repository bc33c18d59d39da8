"""Training refuses targets out of the range of the outputs before any work."""

from __future__ import annotations

import math

import numpy as np
import pytest

import elman
from fixtures.training import B, I, O, T, network, train


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


E = math.inf
RANGES = [  # of each activation, from its formula
    ("identity", -E, E),
    ("tanh", -1, 1),
    ("sigmoid", 0, 1),
    ("softmax", 0, 1),
    ("log_softmax", -E, 0),
    ("relu", 0, E),
    ("softplus", 0, E),
    ("softsign", -1, 1),
    ("hard_sigmoid", 0, 1),
    ("leaky_relu", -E, E),
    (elman.Activation("leaky_relu", alpha=0), 0, E),
    ("elu", -1, E),
    (elman.Activation("elu", alpha=2.5), -2.5, E),
    ("thresholded_relu", 0, E),
    (elman.Activation("affine", -3, 1), -E, E),
    (elman.Activation("affine", 0, 0.5), 0.5, 0.5),
    (elman.Activation("scaled_tanh", -1.7, 0.6), -1.7, 1.7),
    (elman.Activation("identity", clip=3), -3, 3),
    (elman.Activation("relu", clip=6), 0, 6),
    (elman.Activation("tanh", clip=1), -math.tanh(1), math.tanh(1)),
    (elman.Activation("sigmoid", clip=2), sigmoid(-2), sigmoid(2)),
    (elman.Activation("softplus", clip=1), math.log(1 + math.exp(-1)), math.log(1 + math.e)),
    (elman.Activation("softsign", clip=4), -0.8, 0.8),
    (elman.Activation("hard_sigmoid", 0.1, 0.5, clip=2), 0.3, 0.7),
    (elman.Activation("leaky_relu", 0.1, clip=2), -0.2, 2),
    (elman.Activation("elu", 1, clip=1), math.exp(-1) - 1, 1),
    (elman.Activation("thresholded_relu", 1, clip=3), 0, 3),
    (elman.Activation("affine", -2, 1, clip=3), -5, 7),
    (elman.Activation("scaled_tanh", 2, -3, clip=0.5), -2 * math.tanh(1.5), 2 * math.tanh(1.5)),
]


@pytest.mark.parametrize(("activation", "lowest", "highest"), RANGES, ids=str)
def test_every_activation_has_its_range(x, activation, lowest, highest):
    trainer = elman.Trainer(network(activation))
    inside = np.linspace(max(lowest, -100), min(highest, 100), T)
    y = np.tile(inside[:, np.newaxis], (B, 1, O))
    assert math.isfinite(trainer.loss(x, y))  # the ends are within reach
    for end, beyond in ((lowest, lowest - 1e-3), (highest, highest + 1e-3)):
        if math.isfinite(end):
            y[2, 3, 1] = beyond
            with pytest.raises(elman.ArgumentError, match=r"^y: .*output_activation.*\(2, 3, 1\)"):
                trainer.loss(x, y)


@pytest.mark.parametrize(
    ("activation", "target", "numbers"),
    [
        ("sigmoid", 1.5, "from 0 to 1"),
        ("tanh", -2, "from -1 to 1"),
        ("relu", -1, "at least 0"),
        (elman.Activation("sigmoid", clip=2), 0, "from 0.119203 to 0.880797"),
    ],
)
def test_the_error_says_what_can_be_reached_and_what_to_do(x, activation, target, numbers):
    y = np.full((B, T, O), 0.5)
    y[1, 2, 0] = target
    with pytest.raises(elman.ArgumentError) as caught:
        train(x, y, network(activation))
    for part in (
        "y: ",
        numbers,
        f"'{activation}'",
        f"got {float(target)} at (1, 2, 0)",
        "identity",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_rounded_beyond_an_end_are_accepted(x, dtype):
    y = np.full((B, T, O), np.nextafter(1, 2))
    elman.Trainer(network("sigmoid", dtype=dtype)).update(x, y)
    y[0, 0, 0] = 1 + 2e-6
    with pytest.raises(elman.ArgumentError, match=r"^y: .*from 0 to 1"):
        elman.Trainer(network("sigmoid", dtype=dtype)).update(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("of_targets", ["float32", "float64"])
def test_targets_are_reached_that_are_scaled_to_their_own_range(x, rng, dtype, of_targets):
    """The mean and the deviation are rounded like the targets, for both dtypes."""
    for _ in range(100):
        scale = 10 ** rng.uniform(-3, 4, 2)
        y = (scale[0] * rng.standard_normal((B, T, O)) + scale[1]).astype(of_targets)
        lowest, highest = y.min((0, 1)), y.max((0, 1))
        scaling = {"output_mean": lowest, "output_std": highest - lowest}
        elman.Trainer(network("sigmoid", dtype=dtype, **scaling)).update(x, y)


def test_targets_are_judged_after_the_scaling_of_the_outputs(x, rng):
    mean, std = np.array([10, 0, -5]), np.array([2, 3, 0.5])
    scaling = {"output_mean": mean, "output_std": std}
    net = network("sigmoid").replace(tensors=scaling)
    y = rng.random((B, T, O)) * std + mean
    train(x, y, net)
    for output, beyond, end in ((0, 12.01, "from 10 to 12"), (1, -0.01, "from 0 to 3")):
        wrong = y.copy()
        wrong[3, 1, output] = beyond
        with pytest.raises(elman.ArgumentError, match=rf"^y: .*{end}.*'sigmoid'"):
            train(x, wrong, net)


def test_without_a_readout_the_top_layer_says_what_can_be_reached(x):
    net = elman.Network(I, [4, O], None, activation=["relu", "tanh"], seed=0)
    train(x, np.ones((B, T, O)), net)
    with pytest.raises(elman.ArgumentError, match=r"^y: .*to 1\b.*'tanh'"):
        train(x, np.full((B, T, O), 3.0), net)


def test_targets_that_do_not_count_need_not_be_reachable(x):
    y = np.full((B, T, O), 0.5)
    y[0, 5:], y[1], y[2, 3] = 7, -7, np.nan
    weights = {"sample_weight": [1, 0, 1, 1, 1, 1], "step_weight": np.arange(T) != 3}
    train(x, y, network("sigmoid"), lengths=[5, *[T] * (B - 1)], **weights)
    last = np.full((B, O), 0.5)
    last[2] = 9
    train(x, last, network("sigmoid"), outputs="last", lengths=[T, T, 0, T, T, T])
    with pytest.raises(elman.ArgumentError, match=r"got 9\.0 at \(2, 0\)"):
        train(x, last, network("sigmoid"), outputs="last")


def test_unreachable_targets_are_an_error_before_any_work(x, tmp_path):
    y, path = np.full((B, T, O), 0.5), tmp_path / "c"
    net, wrong = network("sigmoid"), y + 1
    for options in ({}, {"validation": 0.5}, {"validation": (x, y)}):
        with pytest.raises(elman.ArgumentError, match=r"^y: .*from 0 to 1"):
            train(x, wrong, net, checkpoint=path, callback=pytest.fail, **options)
    with pytest.raises(elman.ArgumentError, match=r"^validation: y: .*from 0 to 1"):
        train(x, y, net, validation=(x, wrong), checkpoint=path, callback=pytest.fail)
    assert not path.exists()
    trainer = elman.Trainer(net)
    for use in (trainer.update, trainer.loss):
        with pytest.raises(elman.ArgumentError, match=r"^y: .*from 0 to 1"):
            use(x, wrong)
    assert trainer.updates == 0


def test_a_network_without_a_readout_is_told_to_have_one(x):
    net = elman.Network(I, 3, None, seed=0)
    with pytest.raises(elman.ArgumentError, match=r"range of activation 'tanh'") as caught:
        train(x, np.full((B, T, 3), 2.0), net)
    said = str(caught.value)
    assert 'use a readout, output_size=3 and output_activation="identity", or scale the' in said
    readout = elman.Network(I, 3, output_size=3, output_activation="identity", seed=0)
    train(x, np.full((B, T, 3), 2.0), readout)


def test_gradients_of_any_targets_are_still_computed(x):
    loss, _ = elman.loss_and_gradients(network("sigmoid"), x, np.full((B, T, O), 2.0))
    assert loss > 1
