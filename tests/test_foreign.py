"""Names from PyTorch, Keras or scikit-learn raise errors that name the remedy."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import elman
from elman import _core as core
from elman import _foreign

pytestmark = pytest.mark.any_isa

NETWORK = """
    activations batch_first batch_input_shape bidirectional device dropout go_backwards hidden_dim
    hidden_layer_sizes hidden_sizes hidden_units initializer input_dim input_scale input_shape
    kernel_initializer n_hidden n_inputs n_layers n_outputs nonlinearity num_classes out_activation
    output_dim output_scale random_state recurrent_dropout recurrent_initializer return_sequences
    return_state stateful units use_bias
"""
TRAINING = """
    X alpha bptt callbacks class_weight clip clip_grad_norm clipnorm clipvalue criterion
    early_stopping epoch global_clipnorm gradient_clip initial_state l2 learning_rate_init lr
    lr_scheduler mask max_grad_norm max_iter metrics model n_epochs n_jobs num_epochs num_threads
    optim random_state scheduler solver stateful targets validation_data validation_fraction
    validation_split verbose wd workers
"""


OF_TRAIN = inspect.signature(elman.train).parameters.keys() - (
    inspect.signature(elman.Trainer).parameters.keys()
)


def network(**options):
    return elman.Network(2, 3, 1, **options)


def train(**options):
    x = np.zeros((3, 1))
    return elman.train(elman.Network(1, 2, 1), x, x, **options)


@pytest.mark.parametrize(
    ("call", "word", "remedy"),
    [
        (network, "nonlinearity", "activation="),
        (network, "units", "hidden_size="),
        (network, "bidirectional", 'direction="bidirectional"'),
        (network, "dropout", "weight_decay"),
        (network, "random_state", "seed="),
        (network, "input_scale", "input_mean= and input_std="),
        (network, "output_scale", "output_mean= and output_std="),
        (network, "hiden_size", "hidden_size="),  # a typo
        (train, "lr", "learning_rate="),
        (train, "validation_split", "validation=0.2"),
        (train, "validation_data", "validation=(x, y)"),
        (train, "callbacks", "callback="),
        (train, "verbose", "progress=True"),
        (train, "max_iter", "epochs="),
        (train, "epohcs", "epochs="),
        (train, "dropout", "weight_decay="),
        (train, "momentum", "optimizer="),
    ],
)
def test_an_unknown_keyword_names_the_right_one(call, word, remedy):
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .*use {re.escape(remedy)}"):
        call(**{word: 1})


@pytest.mark.parametrize(
    ("call", "function", "words"),
    [(network, elman.Network, NETWORK), (train, elman.train, TRAINING)],
)
def test_a_remedy_is_an_argument_that_exists(call, function, words):
    known = set(inspect.signature(function).parameters)
    for word in words.split():
        with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .*use ") as caught:
            call(**{word: 1})
        remedy = str(caught.value).rpartition("use ")[2]
        assert set(re.findall(r"(?:^|or |and )(\w+)=", remedy)) <= known, remedy


def test_a_trainer_suggests_the_same_keywords_as_train():
    with pytest.raises(elman.ArgumentTypeError, match=r"^lr: .*use learning_rate="):
        elman.Trainer(elman.Network(1, 2, 1), lr=1)


@pytest.mark.parametrize("word", ["zzz", "scale"])
def test_an_unknown_keyword_like_no_other_is_named(word):
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: (?!.*use)"):
        network(**{word: 1})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ReLU", "relu"),
        ("LeakyReLU", "leaky_relu"),
        ("hard-sigmoid", "hard_sigmoid"),
        ("linear", "identity"),
        ("logistic", "sigmoid"),
        ("tanhh", "tanh"),
        ("soft_max", "softmax"),
        ("leaky", "leaky_relu"),
    ],
)
def test_an_activation_of_another_spelling_is_named(name, meant):
    for make in (
        lambda: network(activation=name),
        lambda: network(output_activation=name),
        lambda: elman.Activation(name),
    ):
        with pytest.raises(elman.ArgumentError, match=rf", got '{name}'.*'{meant}'$"):
            make()


@pytest.mark.parametrize("name", ["relu6", "ReLU6", "hardtanh", "hard_tanh", "Hardtanh"])
def test_an_activation_that_is_another_one_with_a_clip_is_named(name):
    named = f", got '{name}': use elman.Activation"
    with pytest.raises(elman.ArgumentError, match=named) as caught:
        network(activation=name)
    same = eval(str(caught.value).rpartition(": use ")[2])
    z = np.linspace(-10, 10, 101)[:, np.newaxis]
    W = np.ones((1, 1))
    net = elman.Network.from_weights([(W, 0 * W, None)], None, activation=same, dtype="float64")
    low, high = (0, 6) if "6" in name else (-1, 1)
    assert (net(z) == np.clip(z, low, high)).all()


@pytest.mark.parametrize("name", ["gelu", "selu", "hard_swish", "PReLU", "softmin", "silu", "xyz"])
def test_an_activation_like_no_other_has_no_remedy(name):
    with pytest.raises(elman.ArgumentError, match=f", got '{name}'$"):
        network(activation=name)
    with pytest.raises(elman.ArgumentError, match=f", got '{name}'$"):
        elman.Activation(name)


@pytest.mark.parametrize("table", ["_NETWORK", "_TRAINING", "_ATTRIBUTES"])
def test_there_is_one_remedy(table):
    remedies = getattr(_foreign, table).values()
    several = re.compile(r" or (elman|net)\.|= or |=, or ")
    assert [remedy for remedy in remedies if several.search(remedy)] == []


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"optimizer": "AdamW"}, "adamw"),
        ({"loss": "MSE"}, "mse"),
        ({"loss": "mean_squared_error"}, "mse"),
        ({"loss": "binary_crossentropy"}, "bce"),
        ({"loss": "sparse_categorical_crossentropy"}, "cross_entropy"),
        ({"schedule": "Cosine"}, "cosine"),
    ],
)
def test_a_choice_of_another_spelling_is_named(options, meant):
    (argument,) = options
    with pytest.raises(elman.ArgumentError, match=rf"^{argument}: expected .*'{meant}'$"):
        train(**options)


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"init": "Glorot"}, "glorot"),
        ({"init": "xavier_uniform"}, "glorot"),
        ({"direction": "Bidirectional"}, "bidirectional"),
        ({"direction": ["backward"]}, "reverse"),
        ({"masked": "Zero"}, "zero"),
    ],
)
def test_an_option_of_another_spelling_is_named(options, meant):
    (argument,) = options
    with pytest.raises(elman.ArgumentError, match=rf"^{argument}.*: expected .*'{meant}'$"):
        network(**options)
    network(**{argument: meant})


def test_an_unknown_option_is_named_as_the_core_would():
    structure = ("float32", 2, [3], 1, ["forward"], [("tanh", None, None, None)])
    rest = (("tanh", None, None, None), True, 0, {})
    with pytest.raises(elman.ArgumentError) as caught:
        core.Network.random(*structure, *rest, "zzz", {})
    with pytest.raises(elman.ArgumentError, match=f"^{re.escape(str(caught.value))}$"):
        network(init="zzz")


NET = elman.Network(2, 3, 1, seed=0)
X = np.zeros((5, 4, 2), np.float32)
STATE = np.zeros((5, 3), np.float32)


@pytest.mark.parametrize(
    ("words", "value", "remedy"),
    [
        ("h0 h_0 hidden hidden_state hx initial_state", STATE, "state="),
        ("seq_len sequence_lengths", [4] * 5, "lengths="),
        ("num_threads workers", 2, "threads="),
        ("return_state", True, "the result's .state"),
        ("return_sequences", True, 'outputs="all" or outputs="last"'),
        ("batch_size", 32, "no batch_size: "),
        ("training", False, "no training: "),
    ],
)
def test_an_unknown_keyword_of_a_run_names_the_right_one(words, value, remedy):
    for word in words.split():
        with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .* use {re.escape(remedy)}"):
            NET.run(X, **{word: value})
        if remedy.endswith("="):
            NET.run(X, **{remedy[:-1]: value})


def test_a_state_in_the_place_of_another_argument():
    with pytest.raises(elman.ArgumentError, match=r"^outputs: .*: net\.run\(x, state=...\) takes"):
        NET(X, STATE)
    with pytest.raises(elman.ArgumentTypeError, match=r"^net\.run: .*, as in state=\.\.\., got 2"):
        NET.run(X, STATE)


def test_outputs_of_another_spelling():
    for call in (NET, NET.run):
        with pytest.raises(elman.ArgumentError, match=r"^outputs: .*'Last': use 'last'$"):
            call(X, outputs="Last")
    with pytest.raises(elman.ArgumentError, match=r"^masked: .*'Zero': use 'zero'$"):
        NET.run(X, masked="Zero")


@pytest.mark.parametrize("word", ["input_mean", "input_std", "output_mean", "output_std"])
def test_replace_takes_scaling_as_tensors(word):
    with pytest.raises(elman.ArgumentTypeError) as caught:
        NET.replace(**{word: [1.0]})
    assert str(caught.value).endswith(f': use tensors={{"{word}": ...}}')
    assert NET.replace(tensors={word: np.ones(2 if word.startswith("i") else 1)})


def test_other_ways_to_make_a_network():
    tensors = NET.tensors()
    with pytest.raises(elman.ArgumentTypeError, match=r"^like: .*use net\.replace\(tensors=...\)$"):
        elman.Network.from_tensors(tensors, like=NET)
    with pytest.raises(elman.ArgumentTypeError, match=r"^nonlinearity: .*use activation=$"):
        elman.Network.from_weights([], None, nonlinearity="relu")
    with pytest.raises(elman.ArgumentTypeError, match=r"^activation: .*from_tensors\(net\.tensors"):
        NET.replace(activation="relu")
    net = network(output_activation="identity", direction="reverse", activation="relu")
    for word in ("activation", "output_activation", "direction"):
        with pytest.raises(elman.ArgumentTypeError) as caught:
            net.replace(**{word: "tanh"})
        remedy = str(caught.value).rpartition(": use ")[2].replace("...", f"net.{word}")
        assert eval(remedy, {"elman": elman, "net": net}) == net
    with pytest.raises(elman.ArgumentTypeError, match=r"^net\.replace: expected all arguments by"):
        NET.replace(tensors)


def test_tensors_of_a_bidirectional_layer_name_the_direction():
    both = network(direction="bidirectional")
    with pytest.raises(elman.ArgumentError, match=r'reverse.*: use direction="bidirectional"$'):
        elman.Network.from_tensors(both.tensors())
    assert elman.Network.from_tensors(both.tensors(), direction="bidirectional") == both


def test_a_loss_of_the_users_own_names_backward():
    with pytest.raises(elman.ArgumentTypeError, match=r"^loss: .*got function: elman\.backward\("):
        train(loss=lambda y, target: 0)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("backward", "elman.loss_and_gradients"),
        ("coefs_", "net.tensors()"),
        ("compile", "elman.train("),
        ("copy", "net itself"),
        ("cuda", "net itself"),
        ("double", 'net.astype("float64")'),
        ("evaluate", "elman.Trainer(net).loss"),
        ("fit", "elman.train("),
        ("forward", "net(x)"),
        ("get_weights", "net.tensors()"),
        ("load_state_dict", "elman.from_torch("),
        ("load_weights", "elman.load("),
        ("parameters", "net.tensors()"),
        ("partial_fit", "elman.Trainer(net).update"),
        ("predict", "net(x)"),
        ("reset_states", "stream.reset()"),
        ("set_weights", "net.replace(tensors=...)"),
        ("state_dict", "elman.state_dict(net)"),
        ("step", "stream.step(x_t)"),
        ("summary", "print(net)"),
        ("to", "net.astype("),
        ("trainable_variables", "net.tensors()"),
        ("to_onnx", "elman.to_onnx(net)"),
        ("weight_hh_l0", "net.layers[0].W_hh"),
        ("bidirectional", "net.direction"),
    ],
)
def test_a_method_of_other_libraries_names_the_right_way(name, way):
    net = elman.Network(2, 3, 1)
    assert not hasattr(net, name)
    with pytest.raises(AttributeError, match=rf"'{name}'.*{re.escape(way)}"):
        getattr(net, name)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("RNN", "elman.Network"),
        ("LSTM", "elman.Network: elman has Elman networks only"),
        ("ElmanRegressor", "elman.sklearn.ElmanRegressor"),
        ("save", "net.save(path)"),
        ("fit", "elman.train(net, x, y)"),
        ("load_model", "elman.load(path)"),
        ("peers", "bench/run.py in a checkout"),
    ],
)
def test_a_name_of_other_libraries_in_the_package_names_the_right_one(name, way):
    assert not hasattr(elman, name)
    with pytest.raises(AttributeError, match=rf"no attribute '{name}': use {re.escape(way)}$"):
        getattr(elman, name)


def test_a_missing_argument_is_named():
    with pytest.raises(elman.ArgumentTypeError, match=r"^Network: expected input_size, .*, got no"):
        elman.Network(3)
    message = r"^Network: .*, got no output_size: None for a network without a readout$"
    with pytest.raises(elman.ArgumentTypeError, match=message):
        elman.Network(3, 8)
    with pytest.raises(elman.ArgumentTypeError, match=r"^train: expected net, x, y, got no y$"):
        elman.train(elman.Network(1, 2, 1), np.zeros((3, 1)))


def test_an_unknown_attribute_is_a_plain_error():
    with pytest.raises(AttributeError, match=r"'colour'$"):
        elman.Network(2, 3, 1).colour  # noqa: B018


@pytest.mark.parametrize(
    ("make", "word", "remedy"),
    [
        (elman.Adam, "lr", "learning_rate="),
        (elman.Adam, "betas", "beta1= and beta2="),
        (elman.AdamW, "beta_1", "beta1="),
        (elman.RMSprop, "eps", "epsilon="),
        (elman.RMSprop, "rho", "alpha="),
        (elman.Adagrad, "wd", "weight_decay="),
        (elman.SGD, "nesterv", "nesterov="),
    ],
)
def test_an_unknown_setting_of_an_optimizer_names_the_right_one(make, word, remedy):
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .* {make.__name__}, .*{remedy}$"):
        make(**{word: 0.5})
    known = inspect.signature(make).parameters
    assert {word[:-1] for word in remedy.split(" and ")} <= known.keys()


@pytest.mark.parametrize("make", [elman.SGD, elman.Adam, elman.AdamW, elman.RMSprop, elman.Adagrad])
def test_a_remedy_for_a_setting_is_one_that_this_optimizer_has(make):
    known = inspect.signature(make).parameters
    for word in ("beta_1", "beta_2", "betas", "clipnorm", "eps", "l2", "rho", "schedule", "wd"):
        with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .*unknown one") as caught:
            make(**{word: 0.5})
        remedy = str(caught.value).partition(": use ")[2]
        named = set(re.findall(r"(\w+)=", remedy))
        assert named <= known.keys() or remedy.endswith(" of elman.train"), remedy


def test_other_settings_of_an_optimizer_are_given_by_name():
    with pytest.raises(elman.ArgumentTypeError, match=r"^SGD: .*as in weight_decay=\.\.\., got 2"):
        elman.SGD(0.1, 0.9)
    with pytest.raises(elman.ArgumentTypeError, match=r"^optimizer: .*use elman\.Adam\(\)$"):
        train(optimizer=elman.Adam)


@pytest.mark.parametrize("word", [*TRAINING.split(), *sorted(OF_TRAIN)])
def test_a_remedy_for_a_trainer_is_an_argument_of_it_or_of_train(word):
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{word}: .*use ") as caught:
        elman.Trainer(NET, **{word: 1})
    remedy = str(caught.value).rpartition(": use ")[2]
    place = re.search(r" of (?:elman\.(train)|trainer\.(update))\b", remedy)
    taken_by = {None: elman.Trainer, "train": elman.train, "update": elman.Trainer.update}
    known = inspect.signature(taken_by[place and (place[1] or place[2])]).parameters
    assert remedy.count(" of ") == (place is not None)
    named = set(re.findall(r"(?:^|or |and )(\w+)=", remedy)) or {remedy.partition(" of ")[0]}
    assert named <= known.keys() | {"no device: elman computes on the CPU"}, remedy


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("step", "trainer.update(x, y)"),
        ("fit", "trainer.update(x, y)"),
        ("predict", "net(x), with net = trainer.network"),
        ("save", "trainer.network.save"),
        ("evaluate", "trainer.loss(x, y)"),
        ("load_state_dict", "trainer.restore(state)"),
        ("reset_states", "trainer.reset()"),
        ("state_dict", "trainer.state()"),
        ("zero_grad", "trainer.update(x, y) alone: gradients are not accumulated"),
    ],
)
def test_a_method_that_a_trainer_does_not_have_names_the_right_way(name, way):
    with pytest.raises(AttributeError, match=rf"^'Trainer' .*'{name}': use {re.escape(way)}"):
        getattr(elman.Trainer(NET), name)
    with pytest.raises(AttributeError, match=r"'colour'$"):
        elman.Trainer(NET).colour  # noqa: B018


@pytest.mark.parametrize("kind", ["ElmanClassifier", "ElmanRegressor"])
def test_an_unknown_setting_of_an_estimator_names_the_right_one(kind):
    make = getattr(pytest.importorskip("elman.sklearn"), kind)
    known = inspect.signature(make).parameters
    for words, remedy in (
        ("hidden_layer_sizes hidden_units units", "hidden_size="),
        ("epochs n_epochs", "max_iter="),
        ("solver", "optimizer="),
        ("lr learning_rate_init", "learning_rate="),
        ("alpha", "weight_decay="),
        ("nonlinearity", "activation="),
        ("seed", "random_state="),
        ("threads", "n_jobs="),
        ("num_layers", "hidden_size="),
        ("validation_split", "early_stopping= and validation_fraction="),
        ("warm_strat", "warm_start="),
    ):
        for word in words.split():
            message = rf"^{word}: expected an argument of {kind}, .* use {remedy}"
            with pytest.raises(elman.ArgumentTypeError, match=message):
                make(**{word: 1})
        assert set(re.findall(r"(\w+)=", remedy)) <= known.keys()
    with pytest.raises(elman.ArgumentTypeError, match=rf"^{kind}: expected all arguments by name"):
        make(64)


def test_a_near_name_of_an_activation_is_one_that_a_layer_can_have():
    with pytest.raises(elman.ArgumentError, match=r"got 'softmx'$"):
        network(activation="softmx")
    with pytest.raises(elman.ArgumentError, match=r"got 'softmx': use 'softmax'$"):
        network(output_activation="softmx")
