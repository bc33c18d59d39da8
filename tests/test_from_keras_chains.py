"""Keras models that are more than RNNs and a readout: scaling, stacks, embeddings, nesting."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, UnsupportedModelError
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

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "keras_chains.npz")
CASES = [name.removesuffix(".keras") for name in MADE if name.endswith(".keras")]


def write(folder, case, ending):
    """Write a file of Keras and return its path."""
    path = folder / f"model{ending}"
    path.write_bytes(MADE[case + ending].tobytes())
    return path


def outputs(net, case, embedding="one_hot", table=None):
    """Return elman's outputs in Keras' form."""
    x = MADE[f"{case}.x"]
    mask = None
    if "mask" in case:
        mask = x != 0 if x.ndim == 2 else (x != 0).any(-1)
    if case.startswith("embedding"):
        x = np.eye(7)[x] if embedding == "one_hot" else table[x]
    y = net.run(x[..., np.newaxis] if x.ndim == 2 else x, mask=mask).output
    if MADE[f"{case}.output"].ndim == 2:
        return y[:, -1]
    return y[:, ::-1] if case == "backwards" else y


# --- files that Keras wrote -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("case", CASES)
def test_a_chain_of_layers_gives_the_outputs_of_keras_at_every_step(case, ending, tmp_path):
    net = elman.from_keras(write(tmp_path, case, ending))
    want = MADE[f"{case}.output"]
    assert net.dtype == np.float32
    np.testing.assert_allclose(
        outputs(net, case), want, rtol=0, atol=2e-6 * max(1, np.abs(want).max())
    )
    assert np.abs(want).max() > 0.1


SHOWN = {
    "normalization": "3 -> 4 tanh -> 2 sigmoid",
    "sum": "3 -> 4 tanh bidirectional -> 2 identity",
    "sum-alone": "3 -> 4 tanh bidirectional -> 4 identity",
    "stack": "3 -> 4 tanh -> 3 relu -> 2 sigmoid",
    "stack-below": "3 -> 5 relu -> 4 tanh -> 3 tanh -> 2 identity",
    "distributed": "3 -> 5 tanh -> 4 tanh -> 3 relu -> 2 softmax",
    "embedding": "7 -> 4 tanh -> 1 sigmoid",
    "nested": "3 -> 4 tanh -> 3 relu -> 2 identity",
    "log-softmax": "3 -> 4 tanh -> 4 relu -> 3 log_softmax",
    "column": "1 -> 4 tanh -> 2 identity",
    "activation-alone": "3 -> 4 tanh -> 4 relu",
}


@pytest.mark.parametrize("case", SHOWN)
def test_a_chain_becomes_the_smallest_network(case, tmp_path):
    assert SHOWN[case] in repr(elman.from_keras(write(tmp_path, case, ".keras")))


def test_normalization_in_front_is_the_scaling_of_the_input(tmp_path):
    net = elman.from_keras(write(tmp_path, "normalization", ".keras"))
    with h5py.File(write(tmp_path, "normalization", ".h5")) as file:
        weights = file["model_weights/normalization_in/normalization_in"]
        np.testing.assert_array_equal(net.input_mean, weights["mean"])
        np.testing.assert_allclose(net.input_std, np.sqrt(weights["variance"]), rtol=1e-7)
    np.testing.assert_array_equal(net.output_mean, np.float32([1, 2]))
    np.testing.assert_allclose(net.output_std, np.sqrt([4, 0.5]), rtol=1e-7)


def test_an_embedding_can_be_left_out(tmp_path):
    path = write(tmp_path, "embedding-masked", ".h5")
    imported = interop.read(path, interop.reading.Said(embedding="rows"))
    with h5py.File(path) as file:
        table = np.asarray(file["model_weights/words/words/embeddings"])
    net = imported.network
    assert net.input_size == 5
    want = MADE["embedding-masked.output"]
    np.testing.assert_allclose(
        outputs(net, "embedding-masked", "rows", table), want, rtol=0, atol=2e-6
    )
    notes = {row.source: row.note for row in imported.rows}
    assert "table[ids]" in notes["model_weights/words/words/embeddings"]
    assert notes["masking"] == "use net.run(x, mask=ids != 0)"
    with pytest.raises(ArgumentError, match=r"^embedding: expected 'one_hot' or 'rows', got 'x'"):
        elman.from_keras(path, embedding="x")


ROWS = {
    "normalization": ("layers/normalization/vars/1", "input_std", "square root"),
    "sum": ("layers/dense/vars/0", "readout.W_hy", "transposed, folded"),
    "stack": ("layers/dense_2/vars/0", "readout.W_hy", "transposed, folded"),
    "embedding": ("layers/embedding/vars/0", "layers.0.W_xh", "transposed, folded"),
    "batch": ("layers/batch_normalization_1/vars/0", "layers.1.W_xh", "folded"),
    "rescaling": ("units.scale", "layers.0.W_xh", "folded"),
    "nested": (
        "layers/sequential_1/layers/sequential/layers/dense/vars/0",
        "readout.W_hy",
        "transposed",
    ),
    "column": ("reshape", "", "x[..., None]"),
    "reshapes": ("permute", "", "Permute changes nothing"),
    "state-too": ("output 1 of simple_rnn", "", "run.state"),
    "masking": ("masking", "", "use net.run(x, mask=(x != 0.0).any(-1))"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_says_where_a_part_went(case, tmp_path):
    source, target, note = ROWS[case]
    rows = interop.read(write(tmp_path, case, ".keras")).rows
    found = [row for row in rows if row.source.startswith(source) and note in row.note]
    assert [row.target for row in found] == [target], rows


def test_the_taps_name_the_layer_that_gives_each_state(tmp_path):
    def taps(case):
        return interop.read(write(tmp_path, case, ".keras")).taps

    assert taps("stack")[1].startswith("dense")
    assert taps("nested")[0].count("/") == 1
    assert taps("sum")[0].startswith("bidirectional")
    assert taps("distributed")[0] == "time_distributed"
    assert taps("distributed")[2] is None  # within TimeDistributed


def test_a_last_state_that_is_read_is_the_last_output(tmp_path):
    notes = [row.note for row in interop.read(write(tmp_path, "state-too", ".keras")).rows]
    assert "use net(x, outputs='last')" in notes


# --- hidden layers behind masks -------------------------------------------------------------------


def masked(rng, **config):
    """Return a config with a mask and a hidden Dense layer, and its weights."""
    config = sequential(
        layer("Masking"), recurrent(**config), dense(name="a", units=3, activation="relu"), dense()
    )
    shapes = {
        "simple_rnn/cell/vars/0": (3, 4),
        "simple_rnn/cell/vars/1": (4, 4),
        "simple_rnn/cell/vars/2": (4,),
        "dense/vars/0": (4, 3),
        "dense/vars/1": (3,),
        "dense_1/vars/0": (3, 2),
        "dense_1/vars/1": (2,),
    }
    return config, {f"layers/{p}": rng.standard_normal(s).astype("f4") for p, s in shapes.items()}


def test_what_cannot_be_equal_at_masked_steps_is_said(tmp_path, rng):
    config, arrays = masked(rng, zero_output_for_mask=True)
    said = "outputs at masked steps are not those of the source"
    path = keras_file(tmp_path, config, arrays)
    found = interop.read(path)
    assert said in [row.note for row in found.rows]
    assert not found.masks
    with pytest.warns(UserWarning, match="^from_keras: at masked steps the outputs are not those"):
        elman.from_keras(path)
    arrays["layers/dense/vars/1"] = -np.abs(arrays["layers/dense/vars/1"])  # relu gives 0
    found = interop.read(keras_file(tmp_path, config, arrays))
    assert said not in [row.note for row in found.rows]
    assert found.masks


@pytest.mark.parametrize("backwards", [False, True])
def test_hidden_layers_give_what_keras_gives_at_masked_steps(tmp_path, rng, backwards):
    """Keras applies the Dense layers to the output that the RNN repeats, zeros at first."""
    config, arrays = masked(rng, go_backwards=backwards)
    net = elman.from_keras(keras_file(tmp_path, config, arrays))
    x = rng.standard_normal((7, 3))
    mask = np.array([0, 1, 0, 0, 1, 1, 0], bool)
    h, want = np.zeros(4), []
    w = {path.removeprefix("layers/"): array.astype("f8") for path, array in arrays.items()}
    order = -1 if backwards else 1
    for row, real in zip(x[::order], mask[::order], strict=True):
        if real:
            kernel, recurrent_kernel, bias = (w[f"simple_rnn/cell/vars/{i}"] for i in range(3))
            h = np.tanh(row @ kernel + h @ recurrent_kernel + bias)
        a = np.maximum(h @ w["dense/vars/0"] + w["dense/vars/1"], 0)
        want.append(a @ w["dense_1/vars/0"] + w["dense_1/vars/1"])
    np.testing.assert_allclose(net.run(x, mask=mask).output[::order], want, rtol=0, atol=1e-5)


def test_only_a_model_with_a_mask_starts_its_hidden_layers(tmp_path, rng):
    config, arrays = masked(rng)
    with_mask = elman.from_keras(keras_file(tmp_path, config, arrays))
    assert np.array_equal(with_mask.initial_state[:4], np.zeros(4))
    assert len(elman.state_dict(with_mask)) == 10  # the state has no effect without a mask
    layers = config["config"]["layers"]
    config["config"]["layers"] = [one for one in layers if one["class_name"] != "Masking"]
    assert elman.from_keras(keras_file(tmp_path, config, arrays)).initial_state is None


# --- shapes of models that people publish, in every format ----------------------------------------


last = {"return_sequences": False}
SHAPES = {
    "embedding": [embedding(), recurrent(**last), dense(activation="sigmoid")],
    "embedding, two dense": [
        embedding(),
        recurrent(**last),
        dense(name="dense_1", units=5, activation="relu"),
        dense(name="dense_2", activation="sigmoid"),
    ],
    "two dense": [
        recurrent(**last),
        dense(name="dense_1", units=5, activation="relu"),
        dense(name="dense_2"),
    ],
    "two linear dense": [
        recurrent(**last),
        dense(name="dense_1", units=5),
        layer("Dropout", rate=0.2),
        dense(name="dense_2"),
    ],
    "dense below": [
        dense(name="dense_1", units=5, activation="relu"),
        recurrent(**last),
        dense(name="dense_2"),
    ],
}
KINDS = {
    "Embedding": ["embeddings"],
    "SimpleRNN": ["kernel", "recurrent_kernel", "bias"],
    "Dense": ["kernel", "bias"],
}
FUNCTIONS = {
    "linear": lambda v: v,
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
}


def made(layers, rng):
    """Return the weights of each layer by kind, in float32."""
    width, weights = 3, {}
    for one in layers:
        kind, config = one["class_name"], one["config"]
        if kind == "Embedding":
            weights[config["name"]] = {"embeddings": rng.standard_normal((7, 3)).astype("f4")}
        elif kind in KINDS:
            units = config["units"]
            shapes = {"kernel": (width, units), "recurrent_kernel": (units, units), "bias": units}
            weights[config["name"]] = {
                k: (rng.standard_normal(shapes[k]) / 2).astype("f4") for k in KINDS[kind]
            }
            width = units
    return weights


def computed(layers, weights, x):
    """Return the output of a chain for one sequence, in NumPy and float64."""
    for one in layers:
        kind, config = one["class_name"], one["config"]
        w = {k: a.astype("f8") for k, a in weights.get(config["name"], {}).items()}
        if kind == "Embedding":
            x = w["embeddings"][x]
        elif kind == "Dense":
            x = FUNCTIONS[config["activation"]](x @ w["kernel"] + w["bias"])
        elif kind == "SimpleRNN":
            h = np.zeros(config["units"])
            for row in x:
                h = np.tanh(row @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"])
            x = h
    return x


def as_keras_3(layers, weights, folder):
    seen, arrays = {}, {}
    for one in layers:
        kind = {"SimpleRNN": "simple_rnn"}.get(one["class_name"], one["class_name"].lower())
        seen[kind] = seen.get(kind, -1) + 1
        group = f"{kind}_{seen[kind]}" if seen[kind] else kind
        cell = "/cell" if kind == "simple_rnn" else ""
        given = weights.get(one["config"]["name"], {})
        for index, array in enumerate(given.values()):
            arrays[f"layers/{group}{cell}/vars/{index}"] = array
    return keras_file(folder, sequential(*layers), arrays), arrays


def as_legacy(layers, weights, folder, version, config):
    named = {name: {f"{name}/{k}:0": a for k, a in w.items()} for name, w in weights.items()}
    named |= {one["config"]["name"]: {} for one in layers if one["config"]["name"] not in named}
    order = {one["config"]["name"]: named[one["config"]["name"]] for one in layers}
    return legacy_file(folder, config, order, version)


FORMATS = {
    "Keras 3": lambda layers, w, folder: as_keras_3(layers, w, folder)[0],
    "Keras 2.15": lambda layers, w, folder: as_legacy(
        layers, w, folder, "2.15.0", sequential(*layers)
    ),
    "Keras 2.1": lambda layers, w, folder: as_legacy(
        layers, w, folder, "2.1.6", {"class_name": "Sequential", "config": layers}
    ),
}


def check(net, layers, weights):
    """Compare a network with NumPy on a few sequences."""
    ids = np.array([[1, 4, 0, 6, 2], [3, 3, 5, 0, 1]])
    real = np.random.default_rng(0).standard_normal((2, 5, 3))
    embeds = layers[0]["class_name"] == "Embedding"
    x = np.eye(7)[ids] if embeds else real
    want = [computed(layers, weights, one) for one in (ids if embeds else real)]
    np.testing.assert_allclose(net(x, outputs="last"), want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_models_that_people_publish_are_read_in_every_format(shape, form, tmp_path, rng):
    layers = SHAPES[shape]
    weights = made(layers, rng)
    check(elman.from_keras(FORMATS[form](layers, weights, tmp_path)), layers, weights)


SAID = {
    "embedding": ("tanh", "sigmoid"),
    "embedding, two dense": ("tanh", ["relu", "sigmoid"]),
    "two dense": ("tanh", ["relu", "identity"]),
    "two linear dense": ("tanh", ["identity", "identity"]),
    "dense below": (["relu", "tanh"], "identity"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_alone_are_read_with_options(shape, tmp_path, rng):
    layers = SHAPES[shape]
    weights = made(layers, rng)
    f, g = SAID[shape]
    # as Keras 2 writes them, in order
    path = as_legacy(layers, weights, tmp_path, "2.15.0", None)
    check(elman.from_keras(path, activation=f, output_activation=g), layers, weights)
    with pytest.raises(ArgumentError, match=r"^layers: expected none"):
        elman.from_keras(path, activation=f, output_activation=g, layers=["simple_rnn"])
    with pytest.raises(ArgumentError, match=r"^activation: expected .*got none"):
        elman.from_keras(path, output_activation=g)
    # as Keras 3 writes them, without an order
    _, arrays = as_keras_3(layers, weights, tmp_path)
    path = tmp_path / "model.weights.h5"
    path.write_bytes(hdf5(arrays))
    given = {"activation": f, "output_activation": g}
    if shape == "dense below":
        given |= {"layers": ["dense", "simple_rnn"], "readout": "dense_1"}
    elif isinstance(g, list):
        with pytest.raises(ArgumentError, match=r"^readout: expected the order of .*'dense_1'"):
            elman.from_keras(path, **given)
        with pytest.raises(ArgumentError, match=r"^layers: .*got \['dense_1'\] in neither"):
            elman.from_keras(path, **given, readout="dense")
        given |= {"readout": ["dense", "dense_1"]}
        with pytest.raises(ArgumentError, match=r"^output_activation: expected one for each"):
            elman.from_keras(path, **given | {"output_activation": "relu"})
    check(elman.from_keras(path, **given), layers, weights)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("normalization", r"'normalization' \(normalization\): save the whole model"),
        ("batch_normalization_1", r"'batch_normalization_1' \(batch_normalization\): save"),
        ("gru", r"'gru': expected the weights of SimpleRNN.*got 'other/vars/0'"),
    ],
)
def test_weights_whose_settings_are_not_stored_are_refused(group, message, tmp_path, rng):
    arrays = {f"layers/simple_rnn/cell/vars/{i}": np.ones((3, 3), "f4") for i in range(2)}
    place = "other/vars/0" if group == "gru" else "vars/0"
    (tmp_path / "m.weights.h5").write_bytes(
        hdf5(arrays | {f"layers/{group}/{place}": np.ones(3, "f4")})
    )
    with pytest.raises(UnsupportedModelError, match=message):
        elman.from_keras(tmp_path / "m.weights.h5", activation="tanh")


# --- legacy files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["forward_enc", "backward_enc", "forward_backward_enc"])
@pytest.mark.parametrize("alone", [False, True])
def test_halves_are_told_apart_whatever_the_layer_is_called(name, alone, tmp_path, rng):
    config = sequential(
        layer("Bidirectional", name=name, merge_mode="concat", layer=recurrent(name=name))
    )
    forward = cells(rng, f"{name}/forward_{name}/simple_rnn_cell_1")
    backward = cells(rng, f"{name}/backward_{name}/simple_rnn_cell_2")
    path = legacy_file(tmp_path, None if alone else config, {name: forward | backward}, "2.15.0")
    net = elman.from_keras(path, **({"activation": "tanh"} if alone else {}))
    np.testing.assert_array_equal(net.layers[0].W_xh.T, next(iter(forward.values())))
    np.testing.assert_array_equal(net.layers[0].reverse.W_xh.T, next(iter(backward.values())))
    assert net.masked == "zero"


def test_a_bias_is_that_of_its_own_layer(tmp_path, rng):
    below, above = cells(rng, "enc/rnn"), cells(rng, "enc/rnn_1")
    del below["enc/rnn/bias:0"]
    above["enc/rnn_1/kernel:0"] = rng.standard_normal((4, 4)).astype("f4")
    path = legacy_file(tmp_path, None, {"enc": below | above}, "2.15.0")
    lower, upper = elman.from_keras(path, activation="tanh").layers
    assert lower.b_h is None
    np.testing.assert_array_equal(upper.b_h, above["enc/rnn_1/bias:0"])


@pytest.mark.parametrize(("version", "masked"), [("2.2.4", "hold"), ("2.2.4-tf", "zero")])
def test_masked_steps_of_both_directions_depend_on_the_version(version, masked, tmp_path, rng):
    config = sequential(layer("Bidirectional", merge_mode="concat", layer=recurrent()))
    halves = cells(rng, "forward_simplernn") | cells(rng, "backward_simplernn")
    path = legacy_file(tmp_path, config, {"bidirectional": halves}, version)
    assert elman.from_keras(path).masked == masked


def test_a_file_of_keras_1_is_named(tmp_path, rng):
    config = sequential(layer("SimpleRNN", output_dim=4))
    path = legacy_file(tmp_path, config, {"simplernn": cells(rng, "simplernn")}, "1.2.2")
    with pytest.raises(
        UnsupportedModelError, match=r"expected .*Keras 2 or 3, got one of '1\.2\.2'"
    ):
        elman.from_keras(path)


def test_more_weights_than_the_config_has_are_refused(tmp_path, rng):
    given = cells(rng, "simplernn") | {"simplernn/lora_kernel_a:0": np.ones((3, 2), "f4")}
    path = legacy_file(tmp_path, sequential(recurrent()), {"simplernn": given}, "2.15.0")
    with pytest.raises(UnsupportedModelError, match=r"'simplernn': expected only .*lora_kernel_a"):
        elman.from_keras(path)


def test_layers_without_weights_in_a_file_of_weights_are_in_a_row(tmp_path, rng):
    given = {"simplernn": cells(rng, "simplernn"), "lambda_1": {}, "dropout_1": {}}
    path = legacy_file(tmp_path, None, given, "2.15.0")
    rows = interop.read(path, interop.reading.Said(activation="tanh")).rows
    assert [row.source for row in rows if not row.target] == ["lambda_1"]


def test_names_split_over_attributes_are_read(tmp_path, rng):
    path = legacy_file(tmp_path, sequential(recurrent()), {"simplernn": cells(rng, "x")}, "2.15.0")
    want = elman.from_keras(path)
    with h5py.File(path, "a") as file:
        attributes = file["model_weights/simplernn"].attrs
        names = list(attributes["weight_names"])
        del attributes["weight_names"]
        attributes["weight_names0"], attributes["weight_names1"] = names[:1], names[1:]
    assert elman.from_keras(path) == want


# --- in memory ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    """Keras, on the NumPy backend if none was chosen."""
    with pytest.MonkeyPatch.context() as patch:
        if "KERAS_BACKEND" not in os.environ:
            patch.setenv("KERAS_BACKEND", "numpy")
        yield pytest.importorskip("keras")


@pytest.mark.slow  # importing Keras takes ten seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_a_live_model_gives_the_network_of_its_file(case, keras, tmp_path):
    path = write(tmp_path, case, ".keras")
    model = keras.saving.load_model(path, compile=False)
    assert elman.from_keras(model) == elman.from_keras(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("case", CASES)
def test_keras_computes_the_same_at_every_step(case, ending, keras, tmp_path, rng):
    path = write(tmp_path, case, ending)
    net = elman.from_keras(path)
    x = rng.standard_normal((2, 6, net.input_size)).astype(np.float32)
    if case.startswith("embedding"):
        x = np.eye(7, dtype=np.float32)[rng.integers(1, 7, (2, 6))]
    found = elman.compare(net, path, x)
    assert found.ok, found


def test_json_of_a_config_is_the_one_of_the_file(tmp_path):
    """The fixtures were written by Keras 3."""
    path = write(tmp_path, "nested", ".h5")
    with h5py.File(path) as file:
        assert json.loads(file.attrs["model_config"])["class_name"] == "Sequential"
        assert file.attrs["keras_version"].startswith("3")


def test_the_activation_of_both_directions_is_that_of_the_source(tmp_path):
    path = write(tmp_path, "sum", ".keras")
    assert elman.from_keras(path, activation="tanh") == elman.from_keras(path)
    with pytest.raises(ArgumentError, match=r"^activation: expected 'tanh', as in"):
        elman.from_keras(path, activation="relu")
