"""Activation: names, parameters, defaults, equality, and invalid arguments."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import pytest

import elman
from elman import Activation, ArgumentError, _core
from elman.activation import TABLE, range_of
from fixtures.activations import GENERAL, UNTRAINABLE

# The defaults are those of the ONNX operator RNN (activation_alpha, activation_beta).
PLAIN = ("tanh", "relu", "sigmoid", "identity", "softsign", "softplus", "softmax", "log_softmax")
DEFAULTS = {
    "leaky_relu": (0.01, None),
    "elu": (1.0, None),
    "thresholded_relu": (1.0, None),
    "hard_sigmoid": (0.2, 0.5),
}


def test_the_table_names_every_activation_of_the_core():
    with pytest.raises(ArgumentError) as caught:
        Activation("gelu")
    expected = str(caught.value).removeprefix("name: expected ").removesuffix(", got 'gelu'")
    assert sorted(expected.replace(" or ", ", ").split(", ")) == sorted(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_the_parameters_of_the_core(name):
    numbers = TABLE[name].numbers
    f = Activation(name, **dict.fromkeys(numbers, 2.0))
    assert (f.alpha, f.beta) == ((numbers and 2.0) or None, 2.0 if "beta" in numbers else None)
    if None in numbers.values():
        with pytest.raises(ArgumentError, match=rf"^alpha: .*{name}"):
            Activation(name)
    else:
        f = Activation(name)
        assert (f.alpha, f.beta) == (numbers.get("alpha"), numbers.get("beta"))


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].in_layers])
@pytest.mark.parametrize("number", [-1.5, 0.5])
def test_the_table_has_the_range_of_the_kernel(name, number):
    f = Activation(name, **dict.fromkeys(TABLE[name].numbers, number))
    low, high = range_of(f)
    v = np.concatenate([-np.geomspace(1e6, 1e-6, 400), np.geomspace(1e-6, 1e6, 400)])
    y = _core.activate((f.name, f.alpha, f.beta, f.clip), v)
    assert low <= y.min() <= y.max() <= high
    for end, reached in ((low, y.min()), (high, y.max())):
        if math.isfinite(end) and name != "hard_sigmoid":  # whose parameters may narrow it
            assert reached == pytest.approx(end, abs=1e-5)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_says_what_is_for_outputs_alone_and_what_can_be_trained(name):
    kind, sizes = TABLE[name], {"input_size": 1, "hidden_size": 1, "output_size": 1}
    f = Activation(name, **dict.fromkeys(kind.numbers, -0.5))
    if not kind.in_layers:
        with pytest.raises(ArgumentError, match=r"^activation"):
            elman.Network(**sizes, activation=f)
    net = elman.Network(**sizes, output_activation=f, seed=0)
    of_classes = name in ("softmax", "log_softmax")
    loss = "cross_entropy" if of_classes else "mse"
    targets = np.zeros((1, 2), int) if of_classes else np.zeros((1, 2, 1))
    if kind.trainable:
        elman.loss_and_gradients(net, np.ones((1, 2, 1)), targets, loss=loss)
    else:
        with pytest.raises(ArgumentError, match=r"alpha: .*train"):
            elman.loss_and_gradients(net, np.ones((1, 2, 1)), targets, loss=loss)


def test_the_docstring_shows_the_table():
    rows = re.findall(r"^ *\| (\"[^|]*) \|[^|]*\| *([^|]*?) *\|$", Activation.__doc__, re.MULTILINE)
    shown = {name: said for names, said in rows for name in re.findall(r'"(\w+)"', names)}
    assert shown.keys() == TABLE.keys()
    for name, kind in TABLE.items():
        values = [f"{value:g}" for value in kind.numbers.values() if value is not None]
        said = "required" if None in kind.numbers.values() else ", ".join(values)
        assert shown[name].split(" for ")[0] == said


@pytest.mark.parametrize("name", PLAIN)
def test_an_activation_without_parameters_equals_its_name(name):
    f = Activation(name)
    assert (f.name, f.alpha, f.beta, f.clip) == (name, None, None, None)
    assert f == name
    assert name == f
    assert hash(f) == hash(name)
    assert {f: 1}[name] == 1
    assert str(f) == repr(f) == name
    assert f != "gelu"
    assert f != 3


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_those_of_onnx(name):
    f = Activation(name)
    assert (f.alpha, f.beta) == DEFAULTS[name]
    assert f == name
    assert f == Activation(name, alpha=DEFAULTS[name][0])
    assert hash(f) == hash(name)
    assert f != Activation(name, alpha=0.125)
    assert Activation(name, alpha=0.125) != name
    assert f != Activation(name, clip=3)


def test_an_activation_prints_its_parameters_in_full():
    assert str(Activation("leaky_relu", alpha=0.1)) == "leaky_relu(alpha=0.1)"
    assert str(Activation("tanh", clip=3)) == "tanh(clip=3)"
    assert repr(Activation("affine", 1, beta=1 / 3)) == "affine(alpha=1, beta=0.3333333333333333)"
    assert str(Activation("elu")) == "elu(alpha=1)"


def test_parameters_may_be_numbers_of_any_type():
    f = Activation("hard_sigmoid", alpha=np.float32(0.25), beta=np.int64(1), clip=True)
    assert (f.alpha, f.beta, f.clip) == (0.25, 1.0, 1.0)
    assert {type(number) for number in (f.alpha, f.beta, f.clip)} == {float}


@pytest.mark.parametrize("f", GENERAL, ids=str)
def test_an_activation_is_copied_pickled_and_hashed_by_value(f):
    for twin in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert twin == f
        assert hash(twin) == hash(f)
    assert [other for other in GENERAL if other == f] == [f]


def test_an_activation_is_immutable():
    f = Activation("elu")
    with pytest.raises(AttributeError, match=r"Activation\.alpha"):
        f.alpha = 2.0
    with pytest.raises(AttributeError, match=r"Activation\.name"):
        del f.name
    with pytest.raises(AttributeError):
        f.gamma = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gelu",), r"^name: .*'gelu'"),
        (("tanh", 0.1), r"^alpha: .*got 0.1"),
        (("leaky_relu", 0.1, 1), r"^beta: .*got 1"),
        (("scaled_tanh",), r"^alpha: .*scaled_tanh"),
        (("affine", 2), r"^beta: .*affine"),
        (("elu", math.nan), r"^alpha: .*nan"),
        (("affine", 1, math.inf), r"^beta: .*inf"),
        (("tanh", None, None, 0), r"^clip: .*got 0"),
        (("tanh", None, None, -3), r"^clip: .*got -3"),
        (("tanh", None, None, math.inf), r"^clip: .*inf"),
        (("softmax", None, None, 1), r"^clip: .*got 1"),
        (("log_softmax", None, None, 1), r"^clip: .*none for log_softmax, got 1"),
        (("LogSoftmax",), r"^name: .*softmax or log_softmax, got 'LogSoftmax': use 'log_softmax'$"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Activation(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), r"^name: .*int"),
        (("elu", "1x"), r"^alpha: .*str"),
        (("elu", [1, 2]), r"^alpha: .*list"),
        (("tanh", None, None, object()), r"^clip: .*object"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(TypeError, match=message):
        Activation(*arguments)


# --- in a network ---------------------------------------------------------------------------------


def network(f, **options):
    sizes = {"input_size": 3, "hidden_size": [5, 4], "output_size": 2, "seed": 0}
    return elman.Network(**sizes | options, activation=f)


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
def test_a_network_has_the_activation_that_it_was_given(f):
    net = network(f, output_activation=f)
    assert net.activations == (f, f)
    assert net.layers[1].activation == net.readout.activation == net.output_activation == f
    assert repr(net).startswith(f"Network(3 -> 5 {f} -> 4 {f} -> 2 {f}, ")
    assert pickle.loads(pickle.dumps(net)) == net
    assert net.astype("float64").activations == (f, f)
    assert net.astype("float64").astype("float32") == net
    assert net != network("tanh", output_activation=f)
    assert hash(net) == hash(network(f, output_activation=f))
    twin = elman.Network.from_weights(
        [(layer.W_xh, layer.W_hh, layer.b_h) for layer in net.layers],
        (net.readout.W_hy, net.readout.b_y),
        activation=net.activations,
        output_activation=net.output_activation,
    )
    assert twin == net


def test_names_and_activations_may_be_mixed():
    net = network(["leaky_relu", Activation("tanh", clip=2)], output_activation="softplus")
    assert net.activations == ("leaky_relu", Activation("tanh", clip=2))
    assert net.output_activation == Activation("softplus")


@pytest.mark.parametrize(
    ("f", "message"),
    [
        ("scaled_tanh", "^activation of layer 0, alpha: expected a number for scaled_tanh, got no"),
        (Activation("elu", alpha=1e39), "^activation of layer 0, alpha: expected a finite .*, got"),
        (Activation("affine", 1, 1e39), "^activation of layer 0, beta: expected .* got 1e[+]39$"),
        (Activation("tanh", clip=1e39), "^activation of layer 0, clip: expected a finite .*, got"),
        (Activation("tanh", clip=1e-50), "^activation of layer 0, clip: expected a number above 0"),
        (Activation("softmax"), r"^activation of layer 0: .*'softm"),
        (Activation("log_softmax"), r"^activation of layer 0: .*got 'log_softmax'; use it as out"),
    ],
)
def test_a_network_refuses_what_its_dtype_cannot_hold_and_what_is_not_for_layers(f, message):
    with pytest.raises(ArgumentError, match=message):
        network(f)
    if f not in ("scaled_tanh", "softmax", "log_softmax"):
        assert network(f, dtype="float64").activations == (f, f)


@pytest.mark.parametrize("f", UNTRAINABLE, ids=str)
def test_training_refuses_an_activation_whose_derivative_does_not_follow_from_its_value(f):
    x, y = np.zeros((2, 3, 3)), np.zeros((2, 3, 2))
    message = rf"alpha: .*got {f.alpha}.*{f.name}"
    net = network(["tanh", f], output_activation="identity")
    with pytest.raises(ArgumentError, match=f"^activation of layer 1, {message}"):
        elman.loss_and_gradients(net, x, y)
    with pytest.raises(ArgumentError, match=f"^activation of layer 1, {message}"):
        elman.train(net, x, y, epochs=1)
    net = network("tanh", output_activation=f)
    with pytest.raises(ArgumentError, match=f"^output_activation, {message}"):
        elman.loss_and_gradients(net, x, y)


def test_the_losses_of_probabilities_need_the_plain_sigmoid():
    net = network("tanh", output_activation=Activation("sigmoid", clip=4))
    with pytest.raises(ArgumentError, match=r"'sigmoid' without .*, got output_activation 'sigm"):
        elman.loss_and_gradients(net, np.zeros((2, 3)), np.zeros((2, 2)), loss="bce")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_single_function_of_the_core_is_elementwise(name):
    values = np.zeros(3, np.float32)
    with pytest.raises(ArgumentError, match=rf"^activation: .*got '{name}'"):
        elman._core.activate((name, None, None, None), values)
