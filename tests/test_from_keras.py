"""Networks from Keras and back: the meaning of its files, and required options."""

from __future__ import annotations

import io
import json
import pathlib
import sys
import types

import ml_dtypes
import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import keras as interop

h5py = pytest.importorskip("h5py")

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "interop_keras.npz")
CASES = [name.removesuffix(".keras") for name in MADE if name.endswith(".keras")]
MASKED = {"masking-zero": "zero", "masking-bidirectional": "zero"}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def write(folder, case, ending):
    """Write a file of Keras and return its path."""
    path = folder / f"model{ending}"
    path.write_bytes(MADE[case + ending].tobytes())
    return path


def outputs(net, case):
    """Return elman's outputs in Keras' form, from the rows of `read`."""
    x = MADE[f"{case}.x"]
    given = {}
    if "masking" in case or case == "functional":
        assert net.masked == MASKED.get(case, "hold")
        given = {"mask": (x != 0.5).any(-1)}
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
    """Return an object with the public names of a live model and the weights of a file."""
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
    with pytest.raises(ArgumentError, match=r"^activation: expected 'relu'.*got 'tanh'"):
        elman.from_keras(model, activation="tanh")
    with pytest.raises(ArgumentError, match=r"^layers: expected none"):
        elman.from_keras(model, layers=["simple_rnn"])
    with pytest.raises(ArgumentError, match=r"^readout: expected 'dense.*got 'head'"):
        elman.from_keras(model, readout="head")
    with pytest.raises(
        UnsupportedModelError, match=r"expected .*Keras, got 'my.models.Sequential'"
    ):
        elman.from_keras(stand_in("stack", module="my.models"))
    with pytest.raises(UnsupportedModelError, match=r"expected .*Sequential.*got 'Model2'"):
        elman.from_keras(stand_in("stack", kind="Model2"))
    top = model.layers[-1].get_weights()
    monkeypatch.setattr(model.layers[-1], "get_weights", lambda: [top[0][:, 1:], top[1]])
    with pytest.raises(ModelFormatError, match=r"^dense_1/kernel: expected \(4, 3\), got \(4, 2\)"):
        elman.from_keras(model)
    monkeypatch.setattr(model.layers[-1], "get_weights", lambda: [*top, top[1]])
    with pytest.raises(UnsupportedModelError, match=r"'dense_1': .*more weights"):
        elman.from_keras(model)
    monkeypatch.setattr(model.layers[-1], "get_weights", list)
    with pytest.raises(ArgumentError, match=r"^source: expected .*weights.*got .*'dense_1'"):
        elman.from_keras(model)
    with pytest.raises(TypeError, match=r"^source: expected .*Keras.*got int"):
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
    assert None not in found.layers  # of each cell of a stack


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
def test_a_weights_file_with_its_options_is_the_same_network(case, tmp_path):
    net = elman.from_keras(write(tmp_path, case, ".weights.h5"), **SAID[case])
    assert net == elman.from_keras(write(tmp_path, case, ".keras"))


def test_options_missing_for_a_weights_file_are_named(tmp_path):
    path = write(tmp_path, "mixed", ".weights.h5")
    given = dict(SAID["mixed"])
    for name, message in (
        ("layers", r"^layers: expected .*\['bidirectional', 'rnn', 'simple_rnn'\].*got none"),
        ("output_activation", r"^output_activation: expected .*'dense'.*got none"),
        ("activation", r"^activation: expected .*'simple_rnn'.*got none"),
    ):
        with pytest.raises(ArgumentError, match=message):
            elman.from_keras(path, **{key: given[key] for key in given if key != name})
    with pytest.raises(ArgumentError, match=r"^layers: expected .*got \['rnn'\]"):
        elman.from_keras(path, **given | {"layers": ["rnn"]})
    with pytest.raises(ArgumentError, match=r"^readout: expected .*'dense'.*got 'head'"):
        elman.from_keras(path, **given, readout="head")
    assert elman.from_keras(path, **given, readout="dense").output_size == 2


def test_options_that_contradict_a_file_are_refused(tmp_path):
    path = write(tmp_path, "stack", ".keras")
    with pytest.raises(
        ArgumentError, match=r"^activation: expected 'relu'.*'simple_rnn.*got 'tanh'"
    ):
        elman.from_keras(path, activation="tanh")
    with pytest.raises(
        ArgumentError, match=r"^output_activation: expected 'softmax'.*got 'sigmoid'"
    ):
        elman.from_keras(path, output_activation="sigmoid")
    with pytest.raises(ArgumentError, match=r"^layers: expected none"):
        elman.from_keras(path, layers=["simple_rnn"])
    with pytest.raises(ArgumentError, match=r"^readout: expected 'dense.*got 'head'"):
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
    assert "training" in rows["spatial_dropout1d"]
    assert "training" in rows["upper.dropout"]
    assert "net.run(x, mask=(x != 0.5).any(-1))" in rows["masking"]


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ("stack", "net(x, outputs='last')"),
        ("backwards-last", "net(x)[..., 0, :]"),
        ("joined", "net.run(x).state"),
        ("backwards", "y[T - 1 - t]"),
        ("masking-zero", "net.run(x, mask=(x != 0.5).any(-1))"),
        ("masking-zero", "masked='zero'"),
        ("bfloat16", "dtype"),
    ],
)
def test_differences_in_use_are_noted_in_a_row(case, note, tmp_path):
    notes = [row.note for row in interop.read(write(tmp_path, case, ".keras")).rows]
    assert any(note in said for said in notes), notes


# --- arrays for Keras -----------------------------------------------------------------------------


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
    with pytest.raises(UnsupportedModelError, match=r"^net: expected forward or bidirectional"):
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
        masked="zero" if direction == "bidirectional" else "hold",  # as Keras
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
    """Return Keras on the NumPy backend, which is chosen at import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "numpy")
        return pytest.importorskip("keras")


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"h5py: pip install 'elman\[keras\]'"):
        elman.from_keras(write(tmp_path, "simple", ".keras"))


def test_reading_imports_no_keras(tmp_path):
    assert "keras" not in interop.__dict__
    path = write(tmp_path, "functional", ".keras")
    before = set(sys.modules)
    elman.from_keras(path)
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "keras"}
