"""Usual mistakes are one sentence with the remedy, and the remedy works."""

from __future__ import annotations

import collections
import re

import numpy as np
import pytest

import elman

B, T, I, O = 5, 20, 3, 2


def net(inputs=I, outputs=O, g="identity"):
    return elman.Network(inputs, 4, outputs, output_activation=g, seed=0)


def data():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((B, T, I)), rng.standard_normal((B, T, O))
    return x, y, rng.integers(0, O, (B, T))


X, Y, LABELS = data()
ONE_HOT = np.eye(O)[LABELS]
WORDS = np.array(["off", "on"])[LABELS]


def train(network, x, y, **options):
    return elman.train(network, x, y, epochs=1, **options)


def gradients(network, x, y, loss="mse", **options):
    return elman.loss_and_gradients(network, x, y, loss, **options)


def update(network, x, y, loss="mse", **options):
    return elman.Trainer(network, loss=loss, **options).update(x, y)


WAYS = pytest.mark.parametrize("way", [train, gradients, update])


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (ONE_HOT, "y.argmax(axis=-1)"),
        (ONE_HOT.astype(int), "y.argmax(axis=-1)"),
        (ONE_HOT.astype(bool), "y.argmax(axis=-1)"),
        (LABELS[..., None], "y[..., 0]"),
        (LABELS[..., None].astype(float), "y[..., 0].astype(int)"),
        (LABELS.astype(float), "y.astype(int)"),
        (LABELS.astype(bool), "y.astype(int)"),
        (WORDS, "np.unique(y, return_inverse=True)"),
        (WORDS.astype(object), "np.unique(y, return_inverse=True)"),
    ],
)
@WAYS
def test_classes_in_another_form(way, y, remedy):
    with pytest.raises((elman.DTypeError, elman.ShapeError)) as caught:
        way(net(g="softmax"), X, y, loss="cross_entropy")
    assert str(caught.value).startswith("y: expected classes ")
    assert str(caught.value).endswith(remedy)
    better = eval(remedy, {"y": y, "np": np})
    if "unique" in remedy:
        better = better[1].reshape(y.shape)  # flat before NumPy 2
    way(net(g="softmax"), X, better, loss="cross_entropy")


@pytest.mark.parametrize(
    ("network", "x", "y", "options", "remedy"),
    [
        (net(I, 1), X, Y[..., 0], {}, "y[..., None]"),
        (net(I, 1), X[0], Y[0, :, 0], {}, "y[:, None]"),
        (net(I, 1), X, Y[:, 0, 0], {"outputs": "last"}, "y[:, None]"),
        (net(I, 1, "sigmoid"), X, LABELS, {"loss": "bce"}, "y[..., None]"),
        (net(), X, Y.swapaxes(1, 2), {}, "y.swapaxes(-1, -2)"),
    ],
)
@WAYS
def test_targets_in_another_form(way, network, x, y, options, remedy):
    with pytest.raises(elman.ShapeError) as caught:
        way(network, x, y, **options)
    assert str(caught.value).startswith("y: expected ")
    assert str(caught.value).endswith(remedy)
    way(network, x, eval(remedy, {"y": y}), **options)


@pytest.mark.parametrize(
    ("network", "y", "options", "remedy"),
    [
        (net(), Y[:, 0], {}, "outputs='last' takes targets of this shape"),
        (net(), Y, {"outputs": "last"}, "outputs='all' takes targets of this shape"),
        (
            net(g="softmax"),
            LABELS[:, 0],
            {"loss": "cross_entropy"},
            "outputs='last' takes classes of this shape",
        ),
        (net(g="softmax"), LABELS, {}, "loss='cross_entropy', with output_activation='softmax'"),
    ],
)
@WAYS
def test_another_option_takes_these_targets(way, network, y, options, remedy):
    with pytest.raises(elman.ShapeError) as caught:
        way(network, X, y, **options)
    assert str(caught.value).endswith(remedy)


def calls(network):
    """Return everything that takes inputs."""

    def with_targets(train):
        return lambda x: train(network, x, np.zeros((*np.shape(x)[:-1], network.output_size)))

    return [network, network.run, network.verify, *map(with_targets, [train, gradients, update])]


@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        (X[0, :, 0], "x[:, None]"),
        (X[..., 0], "x[..., None]"),
        ([X[0, :, 0], X[1, :, 0]], "[part[:, None] for part in x]"),
    ],
)
def test_inputs_without_the_axis_of_features(x, remedy):
    for call in calls(net(1, 1)):
        with pytest.raises(elman.ShapeError, match=r"^x: expected \(\.\.\., T, 1\)") as caught:
            call(x)
        assert str(caught.value).endswith(remedy)
    elman.Network(1, 4, 1)(eval(remedy, {"x": x}))


def test_sequences_of_different_lengths_without_the_axis_of_features():
    x = [X[0, :, 0], X[1, :5, 0]]
    message = r"^x: expected a regular array .* use \[part\[:, None\] for part in x\]$"
    for call in (*calls(net(1, 1))[:2], lambda x: train(net(1, 1), x, x)):
        with pytest.raises(elman.ShapeError, match=message):
            call(x)


def _object_array(parts):
    array = np.empty(len(parts), object)
    array[:] = parts
    return array


@pytest.mark.parametrize(
    ("form", "remedy"),
    [
        (_object_array, "list(x)"),
        (lambda parts: map(np.asarray, parts), "list(x)"),
        (lambda parts: [part.tolist() for part in parts], "[np.asarray(part) for part in x]"),
    ],
)
def test_several_sequences_in_another_form_than_a_list_of_arrays(form, remedy):
    parts, network = [X[0], X[1, :5]], net()
    for call in (network, network.run):
        x = form(parts)
        with pytest.raises((elman.ShapeError, elman.DTypeError), match=r"^x: expected ") as caught:
            call(x)
        assert str(caught.value).endswith(f": for several sequences use {remedy}")
        both = network(eval(remedy, {"x": x, "np": np}))
        assert [y.tobytes() for y in both] == [network(part).tobytes() for part in parts]


@pytest.mark.parametrize(
    "container", [collections.deque, lambda parts: dict(enumerate(parts)).values()]
)
def test_sequences_in_another_container(container):
    parts, network = [X[0], X[1, :5]], net()
    for call in (network, network.run):
        x = container(parts)
        with pytest.raises((elman.ShapeError, elman.DTypeError), match=r"^x: expected ") as caught:
            call(x)
        assert str(caught.value).endswith(": for several sequences use list(x)")
        assert len(network(list(x))) == 2


@pytest.mark.parametrize("given", [net().run(X[0]), net().stream()])
def test_a_run_or_a_stream_in_place_of_its_state(given):
    for call in (lambda: net().run(X[0], state=given), lambda: net().split_state(given)):
        with pytest.raises(elman.ElmanError, match=r"^state: expected .*; use its \.state$"):
            call()
    net().run(X[0], state=given.state)


def test_other_forms_of_inputs():
    for call in calls(net()):
        with pytest.raises(elman.ShapeError, match=r"use x\.swapaxes\(-1, -2\)$"):
            call(X.swapaxes(1, 2))
    with pytest.raises(elman.ShapeError, match=r"for one step use x\[None\]$"):
        net()(X[0, 0])
    with pytest.raises(elman.ShapeError, match=r"got \(5, 20, 4\)$"):  # nothing is known
        net()(np.zeros((B, T, 4)))


def test_ridge_names_the_axis_of_outputs():
    with pytest.raises(elman.ShapeError, match=r"y\[\.\.\., None\]$"):
        elman.ridge_readout(net(I, 1), X, Y[..., 0])


class Module:
    """Like one of PyTorch."""

    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (lambda: train(net(), X, Y), "got TrainResult; use its .network"),
        (lambda: elman.Trainer(net()), "got Trainer; use its .network"),
        (Module, "got Module; elman.from_torch converts a module"),
        (lambda: "model.safetensors", "got str; elman.load reads a model file"),
        (lambda: X, "got ndarray"),
    ],
)
def test_something_that_is_not_a_network_but_leads_to_one(given, remedy):
    for call in (lambda n: elman.train(n, X, Y), elman.Trainer, elman.to_keras):
        with pytest.raises(elman.ArgumentTypeError, match=f"^net: .*{re.escape(remedy)}$"):
            call(given())


def test_training_data_of_another_kind_are_not_called_of_another_shape():
    for x in (None, {"x": X}, iter(X), "x.npy"):
        with pytest.raises(elman.DTypeError, match=r"^x: expected real numbers, got dtype "):
            elman.train(net(), x, Y)


def test_positional_arguments_are_counted():
    with pytest.raises(elman.ArgumentTypeError, match=r"^Network: expected .*, got 4 positional"):
        elman.Network(I, 8, O, "relu")
    with pytest.raises(elman.ArgumentTypeError, match=r"^train: .* by name, .*, got 5 positional"):
        elman.train(net(), X, Y, "mse", 10)


def test_the_fraction_to_hold_out():
    for name in ("validation_split", "validation_fraction"):
        with pytest.raises(elman.ArgumentTypeError, match=r"use validation=0\.2$"):
            elman.train(net(), X, Y, **{name: 0.2})


@pytest.mark.parametrize("callback", [lambda record: None, lambda: None, lambda a, b, c: None])
def test_a_callback_of_other_arguments_is_refused_before_training(callback):
    with pytest.raises(elman.ArgumentTypeError, match=r"^callback: .* record and trainer, got \("):
        train(net(), X, Y, callback=callback)


def test_callbacks_of_all_kinds_are_accepted():
    class Logger:
        def __call__(self, record, trainer, prefix=""):
            return np.bool_(record.epoch == 1)

        def method(self, *args):
            pass

    for callback in (Logger(), Logger().method, lambda record, trainer, **more: False):
        train(net(), X, Y, callback=callback)


def test_a_result_says_that_its_network_is_called():
    result = train(net(), X, Y)
    with pytest.raises(elman.ArgumentTypeError, match=re.escape("result.network(x)")):
        result(X)
    for name, remedy in {
        "loss": "result.history.loss",
        "save": "result.network.save",
        "stopped": "result.history.stopped",
        "predict": "net(x), with net = result.network",
        "state_dict": "elman.state_dict(net), with net = result.network",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(f"use {remedy}") + "$"):
            getattr(result, name)
    with pytest.raises(AttributeError, match=r"'nothing'$"):
        _ = result.nothing


class Failing:
    """Something like an array whose conversion fails."""

    def __array__(self, dtype=None, copy=None):
        try:
            {}["column"]
        except KeyError as error:
            raise ValueError("no column") from error


@pytest.mark.parametrize(
    "call", [lambda f, x: f(x), lambda f, x: f.run(x), lambda f, x: f.run(X, state=x)]
)
def test_errors_of_another_library_keep_their_cause(call):
    with pytest.raises(ValueError, match=r"^no column$") as caught:
        call(net(), Failing())
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("argument", ["state", "lengths", "mask"])
def test_irregular_values_of_a_container_name_their_argument(argument):
    with pytest.raises(elman.ShapeError, match=rf"^{argument}: expected a regular array"):
        net().run(X, **{argument: collections.deque([[1], [1, 2]])})
