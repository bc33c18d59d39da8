"""Files of Keras that no network computes, or that are damaged: refused, with the layer named."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import elman
from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop import keras as interop

h5py = pytest.importorskip("h5py")

from fixtures.keras_files import (  # noqa: E402
    cells,
    dense,
    embedding,
    hdf5,
    keras_file,
    layer,
    legacy_file,
    recurrent,
    sequential,
)


def wrapped(*layers, depth):
    for _ in range(depth):
        layers = (sequential(*layers),)
    return layers[0]


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


REFUSED = {
    "mul": (
        sequential(layer("Bidirectional", merge_mode="mul", layer=recurrent())),
        r"\(Bidirectional\): expected merge_mode 'concat', 'sum' or 'ave', got 'mul'",
    ),
    "no merge": (
        sequential(layer("Bidirectional", merge_mode=None, layer=recurrent())),
        r"'bidirectional' \(Bidirectional\): expected merge_mode .*got None",
    ),
    "an activation that elman has not": (
        sequential(recurrent(), dense(activation="gelu")),
        "'dense': expected one of the activations .*got 'gelu'",
    ),
    "softmax within": (
        sequential(recurrent(activation="softmax")),
        "'simplernn': expected softmax at the end",
    ),
    "softmax in between": (
        sequential(recurrent(), dense(activation="softmax"), dense()),
        "'dense': expected softmax at the end",
    ),
    "layer normalization": (
        sequential(recurrent(), layer("LayerNormalization"), dense()),
        r"'layernormalization' \(LayerNormalization\): expected",
    ),
    "attention": (
        sequential(recurrent(), layer("MultiHeadAttention")),
        r"'multiheadattention' \(MultiHeadAttention\): expected",
    ),
    "repeated": (
        sequential(recurrent(return_sequences=False), layer("RepeatVector", n=3), recurrent()),
        r"'repeatvector' \(RepeatVector\): expected",
    ),
    "flattened steps": (
        sequential(
            layer("InputLayer", batch_shape=[None, 5, 3]), recurrent(), layer("Flatten"), dense()
        ),
        r"'flatten' \(Flatten\): expected it to change nothing, got inputs of the shape \(5, 4\)",
    ),
    "a reshape": (
        sequential(
            layer("InputLayer", batch_shape=[None, 6, 3]),
            layer("Reshape", target_shape=[9, 2]),
            recurrent(),
        ),
        r"'reshape' \(Reshape\): expected .*\(6, 3\), and \(9, 2\)",
    ),
    "images": (
        sequential(
            layer("InputLayer", batch_shape=[None, 4, 5, 6]),
            layer("Reshape", target_shape=[4, 5, 6]),
            recurrent(),
        ),
        r"'simplernn' \(SimpleRNN\): expected inputs of the shape \(T, I\), got \(4, 5, 6\)",
    ),
    "turned axes": (
        sequential(
            layer("InputLayer", batch_shape=[None, 3, 3]),
            layer("Permute", dims=[2, 1]),
            recurrent(),
        ),
        r"'permute' \(Permute\): expected it to change nothing",
    ),
    "a mask through a reshape": (
        sequential(
            layer("InputLayer", batch_shape=[None, 6, 3]),
            layer("Masking"),
            layer("Reshape", target_shape=[6, 3]),
            recurrent(),
        ),
        r"'reshape' \(Reshape\): expected no mask",
    ),
    "two masks": (
        sequential(layer("Masking"), layer("Masking"), recurrent()),
        r"'masking' \(Masking\): expected one layer that masks",
    ),
    "normalized steps": (
        sequential(layer("BatchNormalization", axis=1), recurrent()),
        r"'batchnormalization' \(BatchNormalization\): expected the axis .*-1, got 1",
    ),
    "axes": (
        sequential(layer("Normalization", axis=[1, 2]), recurrent()),
        r"'normalization' \(Normalization\): expected the axis",
    ),
    "dense on one axis": (
        sequential(layer("InputLayer", batch_shape=[None, 6]), dense(), recurrent()),
        r"'dense' \(Dense\): expected the features .*\(6\)",
    ),
    "an embedding within": (
        sequential(dense(), embedding(), recurrent()),
        r"'embedding' \(Embedding\): expected Embedding at the input",
    ),
    "quantized": (
        sequential(
            recurrent(),
            dense(
                dtype={
                    "module": "keras.dtype_policies",
                    "class_name": "QuantizedDTypePolicy",
                    "config": {"mode": "int8", "source_name": "float32"},
                }
            ),
        ),
        r"'dense' \(Dense\): expected weights of floating point, got quantized ones \('int8'\)",
    ),
    "an RNN in TimeDistributed": (
        sequential(layer("TimeDistributed", layer=recurrent())),
        r"'timedistributed' \(SimpleRNN\): expected no RNN within",
    ),
    "a model of models": (wrapped(recurrent(), depth=20), "expected models at most 12 deep"),
    "a model within with two outputs": (
        sequential(
            {
                "class_name": "Functional",
                "config": {
                    "name": "inner",
                    "layers": [
                        layer("InputLayer", name="i") | {"name": "i", "inbound_nodes": []},
                        recurrent(name="r", return_state=True)
                        | {"name": "r", "inbound_nodes": [[["i", 0, 0, {}]]]},
                    ],
                    "output_layers": [["r", 0, 0], ["r", 0, 1]],
                },
            }
        ),
        "'inner': expected one output inside, got several",
    ),
    "a relu with two settings": (
        sequential(recurrent(activation=layer("ReLU", max_value=6.0, negative_slope=0.1))),
        "'simplernn': expected ReLU with settings",
    ),
    "a lambda in a model within": (
        sequential(sequential(layer("Lambda"), recurrent())),
        r"'model/lambda' \(Lambda\): expected",
    ),
}
DAMAGED = {
    "a mean of text": (
        sequential(layer("Normalization", mean="x", variance=1.0), recurrent()),
        "'normalization': expected mean to be numbers",
    ),
    "a mean without a variance": (
        sequential(layer("Normalization", mean=1.0), recurrent()),
        "'normalization': expected a mean and a variance",
    ),
    "a scale of lists": (
        sequential(layer("Rescaling", scale=[[1.0, 2.0], [3.0, 4.0]]), recurrent()),
        "'rescaling': expected scale to be numbers",
    ),
    "a large number": (
        sequential(layer("Rescaling", scale=10**400), recurrent()),
        "'rescaling': expected scale to be numbers",
    ),
    "an alpha of many digits": (
        sequential(recurrent(activation=layer("ELU", alpha=10**400))),
        "'simplernn': expected alpha to be a number",
    ),
    "units of many digits": (
        sequential(recurrent(units=10**400)),
        "'simplernn': expected units to be a positive integer",
    ),
    "a table of no words": (
        sequential(embedding(input_dim=0), recurrent()),
        "'embedding': expected input_dim to be a positive integer",
    ),
    "trainable that is text": (
        sequential(recurrent(trainable="no")),
        "'simplernn': expected trainable to be true or false",
    ),
}


@pytest.mark.parametrize(
    ("built", "target", "passed"),
    [([5, 3], [-1, 3], True), ([5], [5, 1], True), ([6], [3, 2], False)],
)
def test_a_model_without_an_input_has_the_shape_it_was_built_for(built, target, passed, tmp_path):
    reshape = layer("Reshape", target_shape=target) | {
        "build_config": {"input_shape": [None, *built]}
    }
    I = 3 if len(built) == 2 else 1
    arrays = {
        "layers/simple_rnn/cell/vars/0": np.ones((I, 4), "f4"),
        "layers/simple_rnn/cell/vars/1": np.ones((4, 4), "f4"),
        "layers/simple_rnn/cell/vars/2": np.ones(4, "f4"),
    }
    path = keras_file(tmp_path, sequential(reshape, recurrent()), arrays)
    if passed:
        assert elman.from_keras(path).input_size == I
    else:
        with pytest.raises(UnsupportedModelError, match=r"inputs of the shape \(6\), and \(3, 2\)"):
            elman.from_keras(path)


@pytest.mark.parametrize("name", REFUSED | DAMAGED)
def test_what_no_network_computes_is_refused_with_the_layer(name, tmp_path, rng):
    config, message = (REFUSED | DAMAGED)[name]
    arrays = {
        "layers/simple_rnn/cell/vars/0": np.ones((3, 4), "f4"),
        "layers/simple_rnn/cell/vars/1": np.ones((4, 4), "f4"),
        "layers/simple_rnn/cell/vars/2": np.ones(4, "f4"),
        "layers/dense/vars/0": np.ones((4, 2), "f4"),
        "layers/dense/vars/1": np.ones(2, "f4"),
        "layers/dense_1/vars/0": np.ones((2, 2), "f4"),
        "layers/dense_1/vars/1": np.ones(2, "f4"),
    }
    kind = UnsupportedModelError if name in REFUSED else ModelFormatError
    if "deep" in message:
        kind = elman.errors.LimitError
    with pytest.raises(kind, match=message) as caught:
        elman.from_keras(keras_file(tmp_path, config, arrays))
    assert len(str(caught.value)) < 500


HOSTILE = [
    ("a call", lambda d: {"args": d}),
    ("keywords", lambda d: {"args": [], "kwargs": {"mask": d}}),
    ("a history", lambda d: {"args": [{"class_name": "__keras_tensor__", "config": d}]}),
]


@pytest.mark.parametrize(("name", "node"), HOSTILE)
def test_depth_in_a_call_is_no_recursion(name, node):
    """Python 3.13 parses JSON that is nested deeper than its own stack."""
    config = {
        "class_name": "Functional",
        "config": {
            "layers": [recurrent() | {"inbound_nodes": [node(deep(10_000))]}],
            "output_layers": [["simplernn", 0, 0]],
        },
    }
    with pytest.raises(elman.ElmanError):
        interop.file.parts.of_config(config, version="3")


@pytest.mark.parametrize("key", ["name", "units", "activation", "dtype", "use_bias", "trainable"])
@pytest.mark.parametrize("where", [recurrent, dense, embedding])
def test_depth_in_a_setting_is_an_error_or_ignored(key, where):
    config = sequential(where(**{key: deep(10_000)}), recurrent())
    with contextlib.suppress(elman.ElmanError):
        interop.file.parts.of_config(config, version="3")


def test_a_number_of_many_digits_in_a_name_is_no_number(tmp_path):
    arrays = {
        f"layers/simple_rnn{n}/cell/vars/{i}": np.ones((3, 3), "f4")
        for n in ("", "_" + "9" * 5000)
        for i in range(2)
    }
    (tmp_path / "m.weights.h5").write_bytes(hdf5(arrays))
    assert elman.from_keras(tmp_path / "m.weights.h5", activation="tanh").num_layers == 2


def graph(node, *others):
    """Return a functional model of one SimpleRNN that is called in some way."""
    layers = [layer("InputLayer", name=name) | {"inbound_nodes": []} for name in ("x", *others)]
    return {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [*layers, recurrent() | {"inbound_nodes": [node]}],
            "input_layers": [[name, 0, 0] for name in ("x", *others)],
            "output_layers": [["simplernn", 0, 0]],
        },
    }


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


STARTED = {
    "Keras 2": [["x", 0, 0, {}], ["h", 0, 0, {}]],
    "Keras 2, a keyword": [["x", 0, 0, {"initial_state": ["h", 0, 0], "training": False}]],
    "Keras 2, a list": [["x", 0, 0, {"initial_state": [["h", 0, 0]]}]],
    "Keras 3": {"args": [tensor("x")], "kwargs": {"initial_state": tensor("h"), "mask": None}},
    "Keras 3, a list": {"args": [tensor("x")], "kwargs": {"initial_state": [tensor("h")]}},
}


@pytest.mark.parametrize("form", STARTED)
def test_an_initial_state_that_is_an_input_is_in_a_row(form, tmp_path, rng):
    given = {"simplernn": cells(rng, "simplernn")}
    path = legacy_file(tmp_path, graph(STARTED[form], "h"), given)
    rows = [tuple(row) for row in interop.read(path).rows]
    assert ("h", "", "the state of simplernn: pass it as state=") in rows
    with pytest.raises(UnsupportedModelError, match=r"'h': expected an initial state that is anot"):
        elman.from_keras(legacy_file(tmp_path, graph(STARTED[form]), given))


CALLED = {
    "training": {"args": [tensor("x")], "kwargs": {"training": True}},
    "training by position": {"args": [tensor("x"), True], "kwargs": {}},
    "training in Keras 2": [["x", 0, 0, {"training": True}]],
    "constants": {"args": [tensor("x")], "kwargs": {"constants": [tensor("x")]}},
    "constants in Keras 2": [["x", 0, 0, {"constants": [["x", 0, 0]]}]],
}


@pytest.mark.parametrize("form", CALLED)
def test_calls_that_change_what_a_layer_computes_are_refused(form, tmp_path, rng):
    path = legacy_file(tmp_path, graph(CALLED[form]), {"simplernn": cells(rng, "simplernn")})
    with pytest.raises(UnsupportedModelError, match=r"'simplernn': expected a call without"):
        elman.from_keras(path)


ESC = "a\x1b[31m"


@pytest.mark.parametrize(
    "config",
    [
        None,
        {"class_name": ESC},
        sequential(layer(ESC)),
        sequential(recurrent(name=ESC, activation=ESC)),
        sequential(recurrent(name=ESC)),
        sequential(layer("Bidirectional", layer=layer(ESC))),
    ],
)
def test_control_characters_of_a_file_are_escaped_in_errors(config, tmp_path, rng):
    given = {ESC: {"kernel:0": np.ones((3, 4), "f4"), f"{ESC}:0": np.ones(4, "f4")}}
    with pytest.raises(UnsupportedModelError) as caught:
        elman.from_keras(legacy_file(tmp_path, config, given))
    assert "a\\x1b[31m" in str(caught.value)
    assert "\x1b" not in str(caught.value)
