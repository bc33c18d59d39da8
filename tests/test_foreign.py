"""First tries of people who come from PyTorch, Keras or scikit-learn are answered by a remedy."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import elman
from elman import _foreign


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("nonlinearity", "activation="),
        ("units", "hidden_size="),
        ("bidirectional", 'direction="bidirectional"'),
        ("batch_first", "arrays (..., T, I), the batch first"),
        ("dropout", "weight_decay in training: elman has no dropout"),
        ("random_state", "seed="),
        ("input_scale", "input_mean= and input_std="),
        ("output_scale", "output_mean= and output_std="),
        ("hiden_size", "hidden_size="),  # a slip
    ],
)
def test_an_unknown_keyword_of_a_network_names_the_right_one(word, remedy):
    with pytest.raises(TypeError) as caught:
        elman.Network(2, 3, 1, **{word: True})
    said = f"{word}: expected an argument of Network, got an unknown one: use {remedy}"
    assert str(caught.value) == said
    assert isinstance(caught.value, elman.ElmanError)


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("lr", "learning_rate="),
        ("validation_split", "validation=0.2"),
        ("validation_data", "validation=(x, y)"),
        ("callbacks", "callback="),
        ("verbose", "progress=True"),
        ("max_iter", "epochs="),
        ("epoch", "epochs="),
    ],
)
def test_an_unknown_keyword_of_train_names_the_right_one(word, remedy):
    net, x = elman.Network(1, 2, 1), np.zeros((3, 1))
    said = f"{word}: expected an argument of train, got an unknown one: use {remedy}"
    with pytest.raises(elman.ArgumentTypeError, match=f"^{re.escape(said)}$"):
        elman.train(net, x, x, **{word: 1})


@pytest.mark.parametrize("word", ["zzz", "scale"])
def test_an_unknown_keyword_like_no_other_is_named(word):
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .*, got an unknown one$"):
        elman.Network(2, 3, 1, **{word: 1})


@pytest.mark.parametrize("function", [elman.Network, elman.Trainer, elman.train])
def test_a_remedy_is_an_argument_that_exists_and_no_foreign_word_is_one(function):
    known = set(inspect.signature(function).parameters)
    words = _foreign._WORDS[function.__name__]
    assert not known & words.keys()
    if function is not elman.Trainer:  # which has no epochs
        for remedy in words.values():
            for argument in re.findall(r"^(\w+)=|or (\w+)=|and (\w+)=", remedy):
                assert set(filter(None, argument)) <= known, remedy


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ReLU", "relu"),
        ("Tanh", "tanh"),
        ("LeakyReLU", "leaky_relu"),
        ("hard-sigmoid", "hard_sigmoid"),
        ("linear", "identity"),
        ("logistic", "sigmoid"),
    ],
)
def test_an_activation_of_another_spelling_is_named(name, meant):
    for make in (
        lambda: elman.Network(2, 3, 1, activation=name),
        lambda: elman.Network(2, 3, 1, output_activation=name),
        lambda: elman.Activation(name),
    ):
        with pytest.raises(elman.ArgumentError, match=f", got '{name}': use '{meant}'$"):
            make()


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"optimizer": "AdamW"}, "use 'adamw'"),
        ({"loss": "MSE"}, "use 'mse'"),
        ({"loss": "binary_crossentropy"}, "use 'bce'"),
        ({"loss": "sparse_categorical_crossentropy"}, "use 'cross_entropy'"),
        ({"schedule": "Cosine"}, "use 'cosine'"),
    ],
)
def test_a_choice_of_another_spelling_is_named(options, remedy):
    net, x = elman.Network(1, 2, 1), np.zeros((3, 1))
    with pytest.raises(elman.ArgumentError, match=f": {remedy}$"):
        elman.train(net, x, x, **options)


@pytest.mark.parametrize("name", _foreign._ATTRIBUTES)
def test_a_method_of_other_libraries_names_the_right_way(name):
    net = elman.Network(2, 3, 1)
    assert not hasattr(net, name)
    with pytest.raises(AttributeError, match=f"^'Network' object has no attribute '{name}': use "):
        getattr(net, name)


def test_an_attribute_that_nobody_has_is_a_plain_error():
    with pytest.raises(AttributeError, match=r"^'Network' object has no attribute 'colour'$"):
        elman.Network(2, 3, 1).colour  # noqa: B018
