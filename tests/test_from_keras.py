"""Networks from Keras and back: what its files mean, and what must be said."""

from __future__ import annotations

import io
import json
import pathlib
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import keras as interop

h5py = pytest.importorskip("h5py")

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "interop_keras.npz")
CASES = [name.removesuffix(".keras") for name in MADE if name.endswith(".keras")]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def write(folder, case, ending):
    """Write a file of Keras and return its path."""
    path = folder / f"model{ending}"
    path.write_bytes(MADE[case + ending].tobytes())
    return path


def outputs(net, case):
    """Return elman's outputs as Keras has them, from what the rows of `read` say."""
    x = MADE[f"{case}.x"]
    given = {}
    if "masking" in case or case == "functional":
        how = "zero" if case in ("masking-zero", "masking-bidirectional") else "hold"
        given = {"mask": (x != 0.5).any(-1), "masked": how}
    run = net.run(x, **given)
    if case == "joined":
        return run.state
    if case == "backwards-last":
        return run.output[:, 0]
    if MADE[f"{case}.output"].ndim == 2:
        return net.run(x, outputs="last", **given).output
    return run.output[:, ::-1] if case == "backwards" else run.output


# --- files that Keras wrote -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_keras_gives_the_outputs_of_keras(case, ending, tmp_path):
    net = elman.from_keras(write(tmp_path, case, ending))
    assert net.dtype == ("float64" if "float64" in case else "float32")
    want = MADE[f"{case}.output"]
    np.testing.assert_allclose(outputs(net, case), want, rtol=0, atol=TOLERANCE[net.dtype.name])
    assert np.abs(want).max() > 0.1


def stand_in(case, kind=None, module="keras.src.models"):
    """Return what has the public names of a live model, and the weights of a file."""
    with h5py.File(io.BytesIO(MADE[f"{case}.h5"].tobytes())) as file:
        config = json.loads(file.attrs["model_config"])
        layers = []
        for name in file["model_weights"].attrs["layer_names"]:
            group = file["model_weights"][name]
            arrays = [group[path][...] for path in group.attrs["weight_names"]]
            arrays = [a.view(ml_dtypes.bfloat16) if a.dtype.kind == "V" else a for a in arrays]
            layers.append(types.SimpleNamespace(name=name, get_weights=arrays.copy))
    names = {"get_config": lambda self: config["config"], "layers": layers, "__module__": module}
    return type(kind or config["class_name"], (), names)()


@pytest.mark.parametrize("case", CASES)
def test_a_live_model_gives_the_network_of_its_file(case, tmp_path):
    given = {"readout": False} if case == "joined" else {}
    model = stand_in(case)
    assert elman.from_keras(model, **given) == elman.from_keras(
        write(tmp_path, case, ".keras"), **given
    )


def test_the_rows_of_a_live_model_name_its_layers():
    rows = {row.source: row for row in interop.read(stand_in("stack")).rows}
    (recurrent, *_) = [row for row in rows if row.endswith("cell/recurrent_kernel")]
    assert rows[recurrent][1:] == ("layers.0.W_hh", "transposed")


def test_a_live_model_is_read_as_strictly_as_a_file(monkeypatch):
    model = stand_in("stack")
    with pytest.raises(ArgumentError, match=r"activation: expected 'relu', as the .* got 'tanh'"):
        elman.from_keras(model, activation="tanh")
    with pytest.raises(ArgumentError, match="layers: expected none"):
        elman.from_keras(model, layers=["simple_rnn"])
    with pytest.raises(ArgumentError, match=r"readout: expected 'dense.*', as the model says"):
        elman.from_keras(model, readout="head")
    with pytest.raises(UnsupportedModelError, match=r"got 'my.models.Sequential', a custom one"):
        elman.from_keras(stand_in("stack", module="my.models"))
    with pytest.raises(UnsupportedModelError, match="expected a Sequential or functional model"):
        elman.from_keras(stand_in("stack", kind="Model2"))
    top = model.layers[-1].get_weights()
    monkeypatch.setattr(model.layers[-1], "get_weights", lambda: [top[0][:, 1:], top[1]])
    with pytest.raises(ModelFormatError, match=r"bias: expected \(\d,\), got"):
        elman.from_keras(model)
    monkeypatch.setattr(model.layers[-1], "get_weights", lambda: [*top, top[1]])
    with pytest.raises(UnsupportedModelError, match="it has more weights than its cells"):
        elman.from_keras(model)
    monkeypatch.setattr(model.layers[-1], "get_weights", list)
    with pytest.raises(ArgumentError, match="source: expected a model with weights, got layer 'd"):
        elman.from_keras(model)
    with pytest.raises(TypeError, match="source: expected a Keras model or the path of a file, g"):
        elman.from_keras(3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Keras
def test_a_live_model_of_keras_itself(tmp_path, rng):
    keras = live_keras()
    k = keras.layers
    cells = [k.SimpleRNNCell(4), k.SimpleRNNCell(3, use_bias=False, activation="relu")]
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            k.Bidirectional(k.SimpleRNN(4, return_sequences=True, dropout=0.3)),
            k.RNN(cells, return_sequences=True),
            k.SimpleRNN(3, activation=k.LeakyReLU(negative_slope=0.1), return_sequences=True),
            k.TimeDistributed(k.Dense(2, "softmax")),
        ]
    )
    model.set_weights([0.4 * rng.standard_normal(w.shape) for w in model.get_weights()])
    net = elman.from_keras(model)
    x = rng.standard_normal((4, 20, 3)).astype(np.float32)
    want = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(net(x), want, rtol=0, atol=2e-6)
    model.save(tmp_path / "model.keras")
    assert elman.from_keras(tmp_path / "model.keras") == net
    found = elman.compare(net, model, x)
    assert found.ok
    assert [difference is None for difference in found.layers] == [False, True, False, False]


SAID = {
    "simple": {"activation": "tanh", "output_activation": "sigmoid"},
    "stack": {"activation": ["relu", "tanh"], "output_activation": "softmax"},
    "nobias-float64": {"activation": "sigmoid", "output_activation": "identity"},
    "bidirectional": {"activation": ["tanh", "relu"], "output_activation": "tanh"},
    "cells": {"activation": ["tanh", "relu"], "output_activation": "softmax"},
    "mixed": {
        "activation": "tanh",
        "output_activation": "softmax",
        "layers": ["simple_rnn", "bidirectional", "rnn"],
    },
}


@pytest.mark.parametrize("case", SAID)
def test_a_file_of_weights_and_what_is_said_of_it_are_the_same_network(case, tmp_path):
    net = elman.from_keras(write(tmp_path, case, ".weights.h5"), **SAID[case])
    assert net == elman.from_keras(write(tmp_path, case, ".keras"))


def test_a_file_of_weights_without_a_word_is_asked_for_it(tmp_path):
    path = write(tmp_path, "mixed", ".weights.h5")
    given = dict(SAID["mixed"])
    for name, message in (
        ("layers", r"layers: expected the order of \['bidirectional', 'rnn', 'simple_rnn'\]"),
        ("output_activation", "output_activation: expected what .* its readout 'dense'"),
        ("activation", "activation: expected the activation of 'simple_rnn', such as"),
    ):
        with pytest.raises(ArgumentError, match=message):
            elman.from_keras(path, **{key: given[key] for key in given if key != name})
    with pytest.raises(ArgumentError, match="layers: expected an order of"):
        elman.from_keras(path, **given | {"layers": ["rnn"]})
    with pytest.raises(ArgumentError, match=r"readout: expected one of .*'dense'"):
        elman.from_keras(path, **given, readout="head")
    assert elman.from_keras(path, **given, readout="dense").output_size == 2


def test_what_a_file_says_may_not_be_contradicted(tmp_path):
    path = write(tmp_path, "stack", ".keras")
    with pytest.raises(
        ArgumentError,
        match=r"activation: expected 'relu', as the source says of 'simple_rnn.*', got 'tanh'",
    ):
        elman.from_keras(path, activation="tanh")
    with pytest.raises(ArgumentError, match="output_activation: expected 'softmax', as"):
        elman.from_keras(path, output_activation="sigmoid")
    with pytest.raises(ArgumentError, match="layers: expected none"):
        elman.from_keras(path, layers=["simple_rnn"])
    with pytest.raises(
        ArgumentError, match=r"readout: expected 'dense.*', as the model says, got 'head'"
    ):
        elman.from_keras(path, readout="head")
    assert elman.from_keras(path, **SAID["stack"]) == elman.from_keras(path)


def test_without_the_readout_the_output_is_the_state(tmp_path):
    path = write(tmp_path, "stack", ".keras")
    net = elman.from_keras(path, readout=False)
    assert net.readout is None
    assert net.output_size == 4


def test_the_rows_say_what_became_of_each_part(tmp_path):
    imported = interop.read(write(tmp_path, "functional", ".keras"))
    base = "layers/simple_rnn/cell/vars"
    assert [tuple(row) for row in imported.rows[:3]] == [
        (f"{base}/0", "layers.0.W_xh", "transposed"),
        (f"{base}/1", "layers.0.W_hh", "transposed"),
        (f"{base}/2", "layers.0.b_h", ""),
    ]
    rows = {row.source: row.note for row in imported.rows}
    assert rows["spatial_dropout1d"] == "SpatialDropout1D acts in training only"
    assert rows["upper.dropout"] == "acts in training only"
    assert rows["masking"] == "net.run(x, mask=(x != 0.5).any(-1), masked='hold') does it"


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ("stack", "net(x, outputs='last') gives this output"),
        ("backwards-last", "net(x)[..., 0, :] gives this output"),
        ("joined", "the end of net.run(x).state"),
        ("backwards", "Keras' y[t] is elman's y[T - 1 - t]"),
        ("masking-zero", "net.run(x, mask=(x != 0.5).any(-1), masked='zero') does it"),
        ("bfloat16", "elman computes in the dtype of the network"),
    ],
)
def test_what_differs_in_use_is_said_in_a_row(case, note, tmp_path):
    notes = [row.note for row in interop.read(write(tmp_path, case, ".keras")).rows]
    assert note in notes


# --- configs, and what is refused -----------------------------------------------------------------


def layer(kind, **config):
    """Return a layer of a config."""
    return {"class_name": kind, "config": {"name": kind.lower()} | config}


def recurrent(**config):
    given = {"units": 4, "activation": "tanh", "use_bias": True, "return_sequences": True}
    return layer("SimpleRNN", **given | config)


def dense(**config):
    return layer("Dense", **{"units": 2, "activation": "linear", "use_bias": True} | config)


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


def weights(rng, *, gates=1, units=4):
    """Return the datasets of a SimpleRNN and a Dense layer, by their places in Keras 3."""
    shapes = {
        "simple_rnn/cell/vars/0": (3, gates * units),
        "simple_rnn/cell/vars/1": (units, gates * units),
        "simple_rnn/cell/vars/2": (gates * units,),
        "dense/vars/0": (units, 2),
        "dense/vars/1": (2,),
    }
    return {f"layers/{k}": rng.standard_normal(v).astype("f4") for k, v in shapes.items()}


def hdf5(arrays, **attributes):
    """Return the bytes of an HDF5 file."""
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        for path, array in arrays.items():
            made[path] = array
        made.attrs.update(attributes)
    return file.getvalue()


def keras_file(folder, config, arrays, **entries):
    """Write a `.keras` file and return its path."""
    path = folder / "model.keras"
    text = config if isinstance(config, str) else json.dumps(config)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("config.json", text)
        made.writestr("model.weights.h5", hdf5(arrays))
        for name, data in entries.items():
            made.writestr(name.replace("_", "."), data)
    return path


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
def test_activations_have_the_numbers_of_keras(name, tmp_path, rng):
    value, want = ACTIVATIONS[name]
    config = sequential(recurrent(activation=value), dense())
    net = elman.from_keras(keras_file(tmp_path, config, weights(rng)))
    assert net.activations == (want,)


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
        r"layer 'lstm' \(LSTM\): expected Simple",
    ),
    "GRU": (sequential(layer("GRU", units=4), dense()), r"layer 'gru' \(GRU\): expected SimpleRNN"),
    "Lambda": (
        sequential(recurrent(), layer("Lambda", function={"code": "4wEAAA=="})),
        r"layer 'lambda' \(Lambda\)",
    ),
    "Embedding": (
        sequential(layer("Embedding"), recurrent()),
        r"\(Embedding\): expected SimpleRNN",
    ),
    "normalization": (
        sequential(recurrent(), layer("LayerNormalization"), dense()),
        r"\(LayerNormalization\)",
    ),
    "a custom class": (
        sequential(custom(registered_name="My>SimpleRNN")),
        "expected a class of Keras, got 'My>SimpleRNN', a custom one",
    ),
    "a class of another module": (
        sequential(custom(module="os", kind="system")),
        "got 'os.system', a custom one",
    ),
    "a subclassed model": (
        {"class_name": "MyModel", "config": {"layers": []}, "registered_name": None},
        "expected a Sequential or functional model, got 'MyModel'",
    ),
    "a model inside": (
        sequential(sequential(recurrent()), dense()),
        r"layer 'model' \(Sequential\): expected SimpleRNN",
    ),
    "an LSTM cell": (
        sequential(layer("RNN", cell=layer("LSTMCell", units=4))),
        "layer 'rnn': expected cells of SimpleRNNCell, got LSTMCell",
    ),
    "an LSTM cell in a stack": (
        sequential(layer("RNN", cell=layer("StackedRNNCells", cells=[layer("LSTMCell")]))),
        "layer 'rnn': expected cells of SimpleRNNCell, got LSTMCell",
    ),
    "an LSTM in both directions": (
        sequential(layer("Bidirectional", merge_mode="concat", layer=layer("LSTM"))),
        r"'bidirectional' \(Bidirectional\): expected SimpleRNN, got LSTM",
    ),
    "sums of both directions": (
        sequential(layer("Bidirectional", merge_mode="sum", layer=recurrent())),
        "expected merge_mode 'concat', got 'sum'",
    ),
    "two forward halves": (
        sequential(
            layer(
                "Bidirectional", merge_mode="concat", layer=recurrent(), backward_layer=recurrent()
            )
        ),
        "expected a forward and a backward layer",
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
        "expected one cell in each direction, got a stack",
    ),
    "both directions above go_backwards": (
        sequential(
            recurrent(go_backwards=True),
            layer("Bidirectional", merge_mode="concat", layer=recurrent()),
        ),
        "a bidirectional layer that reads in the order of time, got one above go_backwards",
    ),
    "the last states of both directions": (
        sequential(
            layer("Bidirectional", merge_mode="concat", layer=recurrent(return_sequences=False)),
            dense(),
        ),
        "readout=False reads the model without its Dense layer",
    ),
    "an RNN above one step": (
        sequential(recurrent(return_sequences=False), recurrent()),
        "expected return_sequences=True below another RNN, got False",
    ),
    "Dense below": (sequential(dense(), recurrent()), "one Dense layer at the end, got it below"),
    "Dense in between": (sequential(recurrent(), dense(), recurrent()), "before the Dense layer"),
    "two Dense": (sequential(recurrent(), dense(), dense()), "at the end, got it after another"),
    "TimeDistributed of something": (
        sequential(recurrent(), layer("TimeDistributed", layer=layer("Flatten"))),
        r"\(TimeDistributed\): expected Dense, got Flatten",
    ),
    "Masking above": (sequential(recurrent(), layer("Masking")), "expected Masking below the RNN"),
    "an activation alone": (
        sequential(recurrent(), layer("Activation", activation="relu")),
        "expected it after a Dense layer without activation",
    ),
    "an unknown activation": (
        sequential(recurrent(activation="swish"), dense()),
        "expected one of the activations linear, tanh, .* got 'swish'",
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
        "got 'mine>relu'",
    ),
    "ReLU with a limit": (
        sequential(recurrent(activation=layer("ReLU", max_value=6.0))),
        "expected ReLU with its default settings",
    ),
    "no RNN": (sequential(layer("Dropout")), "expected a model with a SimpleRNN, got none"),
    "units that are text": (sequential(recurrent(units="4")), "expected units, a positive number"),
    "a flag that is text": (sequential(recurrent(use_bias="x")), "expected use_bias to be true or"),
    "layers that are a number": (
        {"class_name": "Sequential", "config": {"layers": 3}},
        "expected a list of layers",
    ),
    "a layer that is a number": (sequential(3), "the config of a layer: expected an object"),
    "a class that is a number": (sequential({"class_name": 3}), "a layer: expected a class_name"),
    "no config": ({"class_name": "Sequential"}, "the config of the model: expected an object"),
    "text": ("[]", "the config: expected a JSON object"),
    "a key twice": ('{"class_name": "A", "class_name": "B"}', "stands twice"),
    "deep": ('{"a":' + "[" * 100_000, "nested too deeply"),
    "1 MiB": (json.dumps({"a": "x" * 2**20}), "'config.json': expected at most 262144 bytes"),
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
        r"layer 'dropout' \(Dropout\): expected one chain of layers, got another branch",
    ),
    "a sum": (
        functional(
            INPUT,
            recurrent() | {"inbound_nodes": node("inputlayer", "inputlayer")},
            dense() | {"inbound_nodes": node("simplernn")},
        ),
        "layer 'simplernn': expected one input, the output of one layer",
    ),
    "an initial state": (
        functional(
            INPUT,
            recurrent() | {"inbound_nodes": node("inputlayer", initial_state=[tensor("dense")])},
            dense() | {"inbound_nodes": node("simplernn")},
        ),
        "layer 'simplernn': expected one input, got an initial state",
    ),
    "a layer used twice": (
        functional(INPUT, dense() | {"inbound_nodes": node("inputlayer") * 2}),
        "layer 'dense': expected it to be used once",
    ),
    "a circle": (
        functional(
            recurrent() | {"inbound_nodes": node("dense")},
            dense() | {"inbound_nodes": node("simplernn")},
        ),
        "the layers of the model are no chain",
    ),
    "an unknown layer": (functional(dense() | {"inbound_nodes": node("x")}), "are no chain at 'x'"),
    "two outputs": (
        {"class_name": "Functional", "config": {"layers": [], "output_layers": [["a"], ["b"]]}},
        "expected a model with one output",
    ),
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
            "expected bias, kernel, recurrent_kernel in .*, got kernel, recurrent_ker",
        ),
        ({"kernel": np.zeros((3, 5), "f4")}, r"vars/0: expected \(3, 4\), got \(3, 5\)"),
        ({"recurrent": np.zeros((4, 5), "f4")}, r"vars/1: expected \(4, 4\), got \(4, 5\)"),
        (
            {"recurrent": np.zeros((4, 16), "f4")},
            r"vars/1: expected the square .* got \(4, 16\): this is an LSTM",
        ),
        (
            {"recurrent": np.zeros((4, 12), "f4")},
            r"vars/1: expected the square .* got \(4, 12\): this is a GRU",
        ),
        ({"bias": np.zeros((), "f4")}, r"vars/2: expected \(4,\), got \(\)"),
        ({"kernel": np.zeros(3, "i4")}, "got bias, recurrent_kernel"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(changes, message, tmp_path, rng):
    path = keras_file(tmp_path, sequential(recurrent(), dense()), changed(rng, **changes))
    with pytest.raises(elman.ElmanError, match=message):
        elman.from_keras(path)


def test_weights_that_are_not_finite_are_refused(tmp_path, rng):
    arrays = changed(rng, bias=np.full(4, np.nan, "f4"))
    path = keras_file(tmp_path, sequential(recurrent(), dense()), arrays)
    with pytest.raises(ArgumentError, match="b_h: expected finite numbers"):
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
    message = "layer 'encoder': expected its weights in 'simple_rnn', got those of 'decoder'"
    with pytest.raises(ModelFormatError, match=message):
        elman.from_keras(path)


# --- the legacy format, made by hand as Keras 2 laid it out ---------------------------------------


def legacy(folder, config, arrays, version="2.15.0"):
    """Write an `.h5` file of Keras 2 and return its path; arrays are by layer and weight."""
    path = folder / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in arrays]
        group.attrs["keras_version"] = version
        for layer_name, weights_ in arrays.items():
            below = group.create_group(layer_name)
            below.attrs["weight_names"] = [name.encode() for name in weights_]
            for name, array in weights_.items():
                below[name] = array
    return path


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
    net = elman.from_keras(legacy(tmp_path, config, {"simple_rnn_7": cell, "head": head}))
    np.testing.assert_array_equal(net.layers[0].W_xh.T, next(iter(cell.values())))
    assert net.activations == (elman.Activation("hard_sigmoid", alpha=0.2, beta=0.5),)
    assert net.output_activation == "softmax"


def test_both_directions_of_keras_2_are_told_apart(tmp_path, rng):
    config = sequential(layer("Bidirectional", merge_mode="concat", layer=recurrent(name="rnn")))
    forward = legacy_weights(rng, "bidirectional/forward_rnn/simple_rnn_cell_1")
    backward = legacy_weights(rng, "bidirectional/backward_rnn/simple_rnn_cell_2")
    net = elman.from_keras(legacy(tmp_path, config, {"bidirectional": backward | forward}))
    np.testing.assert_array_equal(net.layers[0].W_xh.T, next(iter(forward.values())))
    np.testing.assert_array_equal(net.layers[0].reverse.W_xh.T, next(iter(backward.values())))


def test_the_graph_of_keras_2_is_a_chain(tmp_path, rng):
    nodes = [[["inputlayer", 0, 0, {}]]]
    config = functional(INPUT, recurrent() | {"inbound_nodes": nodes}, output="simplernn")
    config["config"]["output_layers"] = [["simplernn", 0, 0]]
    net = elman.from_keras(legacy(tmp_path, config, {"simplernn": legacy_weights(rng, "cell")}))
    assert net.hidden_sizes == (4,)
    nodes[0].append(["inputlayer", 0, 0, {}])
    with pytest.raises(UnsupportedModelError, match="expected one input"):
        elman.from_keras(legacy(tmp_path, config, {"simplernn": legacy_weights(rng, "cell")}))


def test_legacy_weights_that_are_missing_are_named(tmp_path):
    with pytest.raises(
        ModelFormatError, match=r"'simplernn': expected one group of weights in .* 0"
    ):
        elman.from_keras(legacy(tmp_path, sequential(recurrent()), {}))


# --- the arrays that a network gives --------------------------------------------------------------


def test_the_arrays_for_set_weights_are_in_the_layouts_of_keras(rng):
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=0)
    arrays = elman.state_dict(net, "keras")
    assert list(arrays) == [
        "simple_rnn/kernel",
        "simple_rnn/recurrent_kernel",
        "simple_rnn/bias",
        "simple_rnn_1/kernel",
        "simple_rnn_1/recurrent_kernel",
        "simple_rnn_1/bias",
        "dense/kernel",
        "dense/bias",
    ]
    np.testing.assert_array_equal(arrays["simple_rnn_1/kernel"], net.layers[1].W_xh.T)
    for ours, array in zip(elman.to_keras(net), arrays.values(), strict=True):
        np.testing.assert_array_equal(ours, array)
    both = elman.Network(input_size=3, hidden_size=5, output_size=2, direction="bidirectional")
    assert list(elman.state_dict(both, "keras", prefix="rnn", readout="head"))[2:5] == [
        "rnn/forward/bias",
        "rnn/backward/kernel",
        "rnn/backward/recurrent_kernel",
    ]
    reverse = elman.Network(input_size=3, hidden_size=5, output_size=2, direction="reverse")
    with pytest.raises(UnsupportedModelError, match="net: expected forward or bidirectional"):
        elman.to_keras(reverse)


@pytest.mark.parametrize("case", SAID)
def test_the_arrays_for_set_weights_are_those_of_get_weights(case, tmp_path):
    ours = elman.to_keras(elman.from_keras(write(tmp_path, case, ".keras")))
    theirs = [MADE[name] for name in MADE if name.startswith(f"{case}.weight.")]
    for array, want in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(array, want)
        assert array.dtype == want.dtype


@pytest.mark.slow  # importing Keras takes ten seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' own, of NumPy
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("bias", [True, False])
def test_keras_computes_with_the_arrays_what_elman_does(direction, bias, tmp_path, rng):
    keras = live_keras()
    net = elman.Network(
        input_size=3,
        hidden_size=[5, 4],
        output_size=2,
        direction=direction,
        bias=bias,
        seed=0,
        activation=["relu", "tanh"],
        output_activation="softmax",
    )
    k = keras.layers
    wrap = k.Bidirectional if direction == "bidirectional" else lambda layer: layer
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            wrap(k.SimpleRNN(5, "relu", use_bias=bias, return_sequences=True)),
            wrap(k.SimpleRNN(4, "tanh", use_bias=bias, return_sequences=True)),
            k.Dense(2, "softmax", use_bias=bias),
        ]
    )
    model.set_weights(elman.to_keras(net))
    x = rng.standard_normal((4, 100, 3)).astype(np.float32)
    want = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(net(x), want, rtol=0, atol=2e-6)
    model.save(tmp_path / "model.keras")
    assert elman.from_keras(tmp_path / "model.keras") == net


def live_keras():
    """Return Keras on the backend of NumPy, which it chooses when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "numpy")
        return pytest.importorskip("keras")


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs h5py: pip install 'elman\[keras\]'"):
        elman.from_keras(write(tmp_path, "simple", ".keras"))


def test_reading_imports_no_keras(tmp_path):
    assert "keras" not in interop.__dict__
    path = write(tmp_path, "functional", ".keras")
    before = set(sys.modules)
    elman.from_keras(path)
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "keras"}
