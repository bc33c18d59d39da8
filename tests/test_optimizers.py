"""Training steps: six epochs of every optimizer and clipping, against torch.optim."""

from __future__ import annotations

import numpy as np
import pytest

import elman
from fixtures.gradient_fixtures import load, make_network

TRAINING = load()["training"]
EPOCHS = load()["epochs"]
ONE_UPDATE_AN_EPOCH = [
    n for n, r in TRAINING["runs"].items() if r["results"]["losses"].size == EPOCHS
]
WORDS = {"lr": "learning_rate", "eps": "epsilon"}
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}


def optimizer_of(run):
    """Return the optimizer of a run from PyTorch's names."""
    options = dict(run["options"])
    if "betas" in options:
        options["beta1"], options["beta2"] = options.pop("betas")
    options = {WORDS.get(name, name): value for name, value in options.items()}
    return getattr(elman, run["optimizer"])(**options)


def train(run, dtype="float64", **options):
    """Train the network of the fixtures with the settings of a run."""
    x, y = TRAINING["arguments"]["x"], TRAINING["arguments"]["y"]
    told = {"batch_size": len(x), "shuffle": False, "epochs": EPOCHS} | run["told"] | options
    return elman.train(make_network(TRAINING, dtype), x, y, optimizer=optimizer_of(run), **told)


@pytest.mark.parametrize("name", TRAINING["runs"])
def test_training_steps_are_those_of_pytorch(name):
    run = TRAINING["runs"][name]
    losses = run["results"]["losses"]
    for dtype, tolerance in TOLERANCE.items():
        result = train(run, dtype)
        assert result.history.updates == losses.size
        for tensor, before in TRAINING["tensors"].items():
            want = run["results"].get(tensor, before)  # untrained parameters are unchanged
            error = np.linalg.norm(result.network.tensors()[tensor] - want)
            assert error <= tolerance * np.linalg.norm(want), f"{dtype} {tensor}"
        if name in ONE_UPDATE_AN_EPOCH and dtype == "float64":  # the loss before each update
            assert result.history.loss == pytest.approx(losses, rel=1e-12)


def test_windows_and_minibatches_weigh_by_their_steps():
    run = TRAINING["runs"]["elmans-own"]
    losses = run["results"]["losses"].reshape(EPOCHS, -1)
    sequences = np.repeat([4, 2], 9)  # of six, in batches of four, nine windows each
    want = (losses * sequences).sum(axis=1) / sequences.sum()
    assert train(run).history.loss == pytest.approx(want, rel=1e-12)


def test_the_fixtures_distinguish_the_optimizers():
    ends = {name: run["results"]["losses"].tobytes() for name, run in TRAINING["runs"].items()}
    assert ends.pop("clip-norm-that-is-never-reached") == ends["sgd"]
    assert len(set(ends.values())) == len(ends)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_a_name_means_the_default_settings(kind):
    x, y = TRAINING["arguments"]["x"], TRAINING["arguments"]["y"]
    net = make_network(TRAINING)
    by_name = elman.train(net, x, y, optimizer=kind.lower(), epochs=2)
    by_settings = elman.train(net, x, y, optimizer=getattr(elman, kind)(), epochs=2)
    assert by_name.network == by_settings.network
    assert by_name.network != net


def test_a_variance_that_rounding_makes_negative_is_zero():
    """At a constant gradient g the mean of g^2 and the square of the mean are equal."""
    x, y = TRAINING["arguments"]["x"], TRAINING["arguments"]["y"]
    optimizer = elman.RMSprop(1e-30, centered=True, alpha=0.5)
    trainer = elman.Trainer(make_network(TRAINING, "float32"), optimizer=optimizer)
    for _ in range(60):
        trainer.update(x, y)
    assert np.isfinite(trainer.network.readout.W_hy).all()


@pytest.mark.parametrize(
    ("optimizer", "gradient", "moment"),
    [
        (elman.Adam(), 2**-98.5, "moments.0"),
        (elman.Adam(), 2**-50, "moments.1"),
        (elman.Adagrad(), 2**-50.5, "moments.0"),
        (elman.RMSprop(), 2**-50, "moments.0"),
    ],
    ids=["Adam", "Adam of squares", "Adagrad", "RMSprop"],
)
def test_a_moment_below_the_threshold_is_zero(optimizer, gradient, moment):
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    net = elman.Network.from_weights(
        [(one, one, zero)], (one, zero), activation="identity", output_activation="identity"
    )
    for factor, moved in ((1, False), (64, True)):
        trainer = elman.Trainer(net, optimizer=optimizer)
        trainer.update(np.zeros((1, 1)), [[-factor * gradient / 2]])
        assert trainer.state()[moment].any() == moved
