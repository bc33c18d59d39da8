"""Keras configs: their meaning, and unsupported models."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.any_isa

from fixtures.keras_files import (  # noqa: E402
    dense,
    hdf5,
    keras_file,
    layer,
    legacy_file,
    recurrent,
    sequential,
    weights,
)


def test_a_config_and_its_weights_are_a_network(tmp_path, rng):
    arrays = weights(rng)
    net = elman.from_keras(keras_file(tmp_path, sequential(recurrent(), dense()), arrays))
    np.testing.assert_array_equal(net.layers[0].W_hh, arrays["layers/simple_rnn/cell/vars/1"].T)
    np.testing.assert_array_equal(net.readout.b_y, arrays["layers/dense/vars/1"])


def test_the_names_of_keras_2_13_are_known(tmp_path, rng):
    older = {
        k.replace("layers", "_layer_checkpoint_dependencies", 1): v for k, v in weights(rng).items()
    }
    config = sequential(recurrent(), dense())
    net = elman.from_keras(keras_file(tmp_path, config, older))
    assert net == elman.from_keras(
        keras_file(tmp_path, config, weights(np.random.default_rng(1990)))
    )


ACTIVATIONS = {
    "softsign": ("softsign", "softsign"),
    "elu": ("elu", elman.Activation("elu", alpha=1)),
    "leaky": ("leaky_relu", elman.Activation("leaky_relu", alpha=0.2)),
    "hard": ("hard_sigmoid", elman.Activation("hard_sigmoid", alpha=1 / 6, beta=0.5)),
    "none": (None, "identity"),
    "a function": (
        {
            "module": "builtins",
            "class_name": "function",
            "config": "relu",
            "registered_name": "function",
        },
        "relu",
    ),
    "a layer": (
        {"module": "keras.layers", "class_name": "LeakyReLU", "config": {"negative_slope": 0.1}},
        elman.Activation("leaky_relu", alpha=0.1),
    ),
    "a layer without slope": (
        {"module": "keras.layers", "class_name": "ReLU", "config": {"max_value": None}},
        "relu",
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_parameters_of_keras(name, tmp_path, rng):
    value, want = ACTIVATIONS[name]
    config = sequential(recurrent(activation=value), dense())
    net = elman.from_keras(keras_file(tmp_path, config, weights(rng)))
    assert net.activations == (want,)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_an_activation_over_the_features_is_that_of_the_readout(name, tmp_path, rng):
    config = sequential(recurrent(), dense(activation=name))
    net = elman.from_keras(keras_file(tmp_path, config, weights(rng)))
    assert net.output_activation == name
    config = sequential(recurrent(activation=name), dense())
    with pytest.raises(elman.ElmanError, match=rf"'simplernn': expected {name} at the end"):
        elman.from_keras(keras_file(tmp_path, config, weights(rng)))


def test_the_hard_sigmoid_of_keras_2_is_another(tmp_path, rng):
    config = sequential(recurrent(activation="hard_sigmoid"), dense())
    metadata = json.dumps({"keras_version": "2.13.1"})
    path = keras_file(tmp_path, config, weights(rng), metadata_json=metadata)
    want = elman.Activation("hard_sigmoid", alpha=0.2, beta=0.5)
    assert elman.from_keras(path).activations == (want,)


def custom(kind="SimpleRNN", **about):
    return recurrent() | {"class_name": kind} | about


REFUSED = {
    "LSTM": (
        sequential(layer("LSTM", units=4), dense()),
        r"'lstm' \(LSTM\): expected SimpleRNN.*got LSTM",
    ),
    "GRU": (
        sequential(layer("GRU", units=4), dense()),
        r"'gru' \(GRU\): expected SimpleRNN.*got GRU",
    ),
    "Lambda": (
        sequential(recurrent(), layer("Lambda", function={"code": "4wEAAA=="})),
        r"'lambda' \(Lambda\): expected",
    ),
    "normalization": (
        sequential(recurrent(), layer("LayerNormalization"), dense()),
        r"'layernormalization' \(LayerNormalization\): expected",
    ),
    "a custom class": (
        sequential(custom(registered_name="My>SimpleRNN")),
        "'simplernn': expected .*Keras, got 'My>SimpleRNN'",
    ),
    "a class of another module": (
        sequential(custom(module="os", kind="system")),
        "'simplernn': expected .*Keras, got 'os.system'",
    ),
    "a subclassed model": (
        {"class_name": "MyModel", "config": {"layers": []}, "registered_name": None},
        "expected .*Sequential.*got 'MyModel'",
    ),
    "an LSTM cell": (
        sequential(layer("RNN", cell=layer("LSTMCell", units=4))),
        "'rnn': expected .*SimpleRNNCell, got LSTMCell",
    ),
    "an LSTM cell in a stack": (
        sequential(layer("RNN", cell=layer("StackedRNNCells", cells=[layer("LSTMCell")]))),
        "'rnn': expected .*SimpleRNNCell, got LSTMCell",
    ),
    "an LSTM in both directions": (
        sequential(layer("Bidirectional", merge_mode="concat", layer=layer("LSTM"))),
        r"'bidirectional' \(Bidirectional\): expected SimpleRNN, got LSTM",
    ),
    "two forward halves": (
        sequential(
            layer(
                "Bidirectional", merge_mode="concat", layer=recurrent(), backward_layer=recurrent()
            )
        ),
        r"'bidirectional' \(Bidirectional\): expected .*backward",
    ),
    "a stack in both directions": (
        sequential(
            layer(
                "Bidirectional",
                merge_mode="concat",
                layer=layer(
                    "RNN",
                    cell=layer("StackedRNNCells", cells=[layer("SimpleRNNCell", units=4)] * 2),
                ),
            )
        ),
        r"'bidirectional' \(Bidirectional\): expected one cell",
    ),
    "both directions above go_backwards": (
        sequential(
            recurrent(go_backwards=True),
            layer("Bidirectional", merge_mode="concat", layer=recurrent()),
        ),
        "'bidirectional': expected .*go_backwards",
    ),
    "the last states of both directions": (
        sequential(
            layer("Bidirectional", merge_mode="concat", layer=recurrent(return_sequences=False)),
            dense(),
        ),
        "'bidirectional': expected return_sequences=True, got False.*readout=False",
    ),
    "an RNN above one step": (
        sequential(recurrent(return_sequences=False), recurrent()),
        "'simplernn': expected return_sequences=True.*got False",
    ),
    "Masking above": (
        sequential(recurrent(), layer("Masking")),
        r"'masking' \(Masking\): expected Masking",
    ),
    "an unknown activation": (
        sequential(recurrent(activation="swish"), dense()),
        "'simplernn': expected .*activations linear, tanh, .*got 'swish'",
    ),
    "a custom activation": (
        sequential(
            recurrent(
                activation={
                    "module": "keras.activations",
                    "class_name": "function",
                    "config": "relu",
                    "registered_name": "mine>relu",
                }
            )
        ),
        "'simplernn': expected .*activations .*got 'mine>relu'",
    ),
    "no RNN": (sequential(layer("Dropout")), "expected .*SimpleRNN, got none"),
    "units that are text": (sequential(recurrent(units="4")), "'simplernn': expected units"),
    "a flag that is text": (sequential(recurrent(use_bias="x")), "'simplernn': expected use_bias"),
    "layers that are a number": (
        {"class_name": "Sequential", "config": {"layers": 3}},
        "config of the model: expected .*list",
    ),
    "a layer that is a number": (sequential(3), "config of a layer: expected .*object"),
    "a class that is a number": (
        sequential({"class_name": 3}),
        "config of a layer: expected .*class_name",
    ),
    "no config": ({"class_name": "Sequential"}, "config of the model: expected .*object"),
    "text": ("[]", "config: expected .*JSON"),
    "a key twice": ('{"class_name": "A", "class_name": "B"}', "'class_name'.*twice"),
    "deep": ('{"a":' + "[" * 100_000, "config: .*JSON"),
    "1 MiB": (json.dumps({"a": "x" * 2**20}), "'config.json': expected .*262144 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_config_of_something_else_is_refused_with_the_layer_and_the_reason(name, tmp_path, rng):
    config, message = REFUSED[name]
    path = keras_file(tmp_path, config, weights(rng))
    with pytest.raises(elman.ElmanError, match=message) as caught:
        elman.from_keras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def node(*names, **keywords):
    return [{"args": [tensor(name) for name in names], "kwargs": keywords}]


def functional(*layers, output="dense"):
    return {
        "class_name": "Functional",
        "config": {"layers": list(layers), "output_layers": [output, 0, 0]},
    }


INPUT = layer("InputLayer") | {"inbound_nodes": []}
GRAPHS = {
    "a branch": (
        functional(
            INPUT,
            recurrent() | {"inbound_nodes": node("inputlayer")},
            dense() | {"inbound_nodes": node("simplernn")},
            layer("Dropout") | {"inbound_nodes": node("simplernn")},
        ),
        r"'dropout' \(Dropout\): expected one chain",
    ),
    "a sum": (
        functional(
            INPUT,
            recurrent() | {"inbound_nodes": node("inputlayer", "inputlayer")},
            dense() | {"inbound_nodes": node("simplernn")},
        ),
        "'simplernn': expected one input",
    ),
    "a layer used twice": (
        functional(INPUT, dense() | {"inbound_nodes": node("inputlayer") * 2}),
        "'dense': expected .*once",
    ),
    "a circle": (
        functional(
            recurrent() | {"inbound_nodes": node("dense")},
            dense() | {"inbound_nodes": node("simplernn")},
        ),
        "chain at 'dense'",
    ),
    "an unknown layer": (functional(dense() | {"inbound_nodes": node("x")}), "chain at 'x'"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_functional_model_that_is_no_chain_is_refused(name, tmp_path, rng):
    config, message = GRAPHS[name]
    with pytest.raises(elman.ElmanError, match=message):
        elman.from_keras(keras_file(tmp_path, config, weights(rng)))


def changed(rng, **changes):
    """Return the weights of a model with other arrays; None for none."""
    arrays = weights(rng)
    for name, array in changes.items():
        path = {"kernel": "0", "recurrent": "1", "bias": "2"}[name]
        arrays[f"layers/simple_rnn/cell/vars/{path}"] = array
    return {path: array for path, array in arrays.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"bias": None},
            "'simplernn': expected bias, kernel, recurrent_kernel.*got kernel, recurrent_kernel",
        ),
        ({"kernel": np.zeros((3, 5), "f4")}, r"vars/0: expected \(3, 4\), got \(3, 5\)"),
        ({"recurrent": np.zeros((4, 5), "f4")}, r"vars/1: expected \(4, 4\), got \(4, 5\)"),
        (
            {"recurrent": np.zeros((4, 16), "f4")},
            r"vars/1: expected .*got \(4, 16\).*LSTM",
        ),
        (
            {"recurrent": np.zeros((4, 12), "f4")},
            r"vars/1: expected .*got \(4, 12\).*GRU",
        ),
        ({"bias": np.zeros((), "f4")}, r"vars/2: expected \(4,\), got \(\)"),
        ({"kernel": np.zeros(3, "i4")}, "'simplernn': expected .*got bias, recurrent_kernel"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(changes, message, tmp_path, rng):
    path = keras_file(tmp_path, sequential(recurrent(), dense()), changed(rng, **changes))
    with pytest.raises(elman.ElmanError, match=message):
        elman.from_keras(path)


def test_weights_that_are_not_finite_are_refused(tmp_path, rng):
    arrays = changed(rng, bias=np.full(4, np.nan, "f4"))
    path = keras_file(tmp_path, sequential(recurrent(), dense()), arrays)
    with pytest.raises(ArgumentError, match=r"b_h: expected .*finite.*got nan"):
        elman.from_keras(path)
    assert np.isnan(elman.from_keras(path, allow_nonfinite=True).layers[0].b_h).all()


def test_the_weights_of_another_layer_are_found_out(tmp_path, rng):
    file = io.BytesIO(hdf5(weights(rng)))
    with h5py.File(file, "a") as made:
        made.create_group("layers/simple_rnn/vars")
        made["layers/simple_rnn/vars"].attrs["name"] = "decoder"
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(sequential(recurrent(name="encoder"))))
        archive.writestr("model.weights.h5", file.getvalue())
    message = "'encoder': expected .*'simple_rnn', got .*'decoder'"
    with pytest.raises(ModelFormatError, match=message):
        elman.from_keras(path)


# --- the legacy format, made by hand as Keras 2 laid it out ---------------------------------------


def legacy_weights(rng, cell):
    return {
        f"{cell}/kernel:0": rng.standard_normal((3, 4)).astype("f4"),
        f"{cell}/recurrent_kernel:0": rng.standard_normal((4, 4)).astype("f4"),
        f"{cell}/bias:0": rng.standard_normal(4).astype("f4"),
    }


def test_a_file_of_keras_2_is_read(tmp_path, rng):
    config = sequential(
        layer("InputLayer", batch_input_shape=[None, None, 3]),
        recurrent(name="simple_rnn_7", activation="hard_sigmoid"),
        dense(name="head", activation="softmax"),
    )
    cell = legacy_weights(rng, "simple_rnn_7/simple_rnn_cell_9")
    head = {"head/kernel:0": np.ones((4, 2), "f4"), "head/bias:0": np.zeros(2, "f4")}
    net = elman.from_keras(legacy_file(tmp_path, config, {"simple_rnn_7": cell, "head": head}))
    np.testing.assert_array_equal(net.layers[0].W_xh.T, next(iter(cell.values())))
    assert net.activations == (elman.Activation("hard_sigmoid", alpha=0.2, beta=0.5),)
    assert net.output_activation == "softmax"


def long_names(tmp_path, rng, name):
    """Write a file of two layers with this name and one that differs in its last letter."""
    below, above = f"{name}a", f"{name}b"
    kernels = {f"{below}/kernel:0": (3, 4), f"{above}/kernel:0": (4, 4)}
    arrays = {
        layer_name.partition("/")[0]: {
            layer_name: rng.standard_normal(shape).astype("f4"),
            layer_name.replace("kernel", "recurrent_kernel"): rng.standard_normal((4, 4)),
        }
        for layer_name, shape in kernels.items()
    }
    config = sequential(
        layer("InputLayer", batch_input_shape=[None, None, 3]),
        recurrent(name=below, use_bias=False),
        recurrent(name=above, use_bias=False),
    )
    return legacy_file(tmp_path, config, arrays), arrays[above][f"{above}/kernel:0"]


def test_the_whole_names_of_layers_count(tmp_path, rng):
    path, kernel = long_names(tmp_path, rng, "a" * 900)
    np.testing.assert_array_equal(elman.from_keras(path).layers[1].W_xh.T, kernel)
    path, _ = long_names(tmp_path, rng, "a" * 1000)
    with pytest.raises(elman.LimitError, match=r"name: expected at most 1000 characters, got 1001"):
        elman.from_keras(path)


def test_both_directions_of_keras_2_are_told_apart(tmp_path, rng):
    config = sequential(layer("Bidirectional", merge_mode="concat", layer=recurrent(name="rnn")))
    forward = legacy_weights(rng, "bidirectional/forward_rnn/simple_rnn_cell_1")
    backward = legacy_weights(rng, "bidirectional/backward_rnn/simple_rnn_cell_2")
    net = elman.from_keras(legacy_file(tmp_path, config, {"bidirectional": forward | backward}))
    np.testing.assert_array_equal(net.layers[0].W_xh.T, next(iter(forward.values())))
    np.testing.assert_array_equal(net.layers[0].reverse.W_xh.T, next(iter(backward.values())))


def test_the_graph_of_keras_2_is_a_chain(tmp_path, rng):
    nodes = [[["inputlayer", 0, 0, {}]]]
    config = functional(INPUT, recurrent() | {"inbound_nodes": nodes}, output="simplernn")
    config["config"]["output_layers"] = [["simplernn", 0, 0]]
    net = elman.from_keras(
        legacy_file(tmp_path, config, {"simplernn": legacy_weights(rng, "cell")})
    )
    assert net.hidden_sizes == (4,)
    nodes[0].append(["inputlayer", 0, 0, {}])
    with pytest.raises(UnsupportedModelError, match=r"'inputlayer': expected an initial state"):
        elman.from_keras(legacy_file(tmp_path, config, {"simplernn": legacy_weights(rng, "cell")}))


def test_legacy_weights_that_are_missing_are_named(tmp_path):
    with pytest.raises(ModelFormatError, match=r"'simplernn': expected .*got nothing"):
        elman.from_keras(legacy_file(tmp_path, sequential(recurrent()), {}))
