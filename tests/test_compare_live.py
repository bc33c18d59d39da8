"""`elman.compare` beside Keras and PyTorch: all that a model may be."""

import functools
import json
import warnings
import zipfile

import numpy as np
import pytest

import elman
from fixtures import command

pytestmark = [
    pytest.mark.any_isa,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside Keras
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def _sequential(keras, *layers, shape=(9, 3), batch=None):
    return keras.Sequential([keras.Input(shape, batch_size=batch), *layers])


MODELS = {
    "one step": lambda L: (L.SimpleRNN(4), L.Dense(1)),
    "unroll": lambda L: (
        L.SimpleRNN(4, unroll=True, return_sequences=True),
        L.SimpleRNN(5, unroll=True),
    ),
    "go_backwards": lambda L: (
        L.SimpleRNN(4, go_backwards=True, return_sequences=True),
        L.SimpleRNN(5, return_sequences=True),
        L.Dense(2),
    ),
    "go_backwards, one step": lambda L: (
        L.SimpleRNN(4, return_sequences=True),
        L.SimpleRNN(5, go_backwards=True),
        L.Dense(2),
    ),
    "cells": lambda L: (
        L.RNN([L.SimpleRNNCell(4), L.SimpleRNNCell(5)], return_sequences=True),
        L.Dense(2),
    ),
    "cells, one step": lambda L: (L.RNN([L.SimpleRNNCell(4), L.SimpleRNNCell(5)]), L.Dense(2)),
    "bidirectional": lambda L: (
        L.Bidirectional(L.SimpleRNN(4, return_sequences=True)),
        L.Bidirectional(L.SimpleRNN(3, return_sequences=True)),
        L.Dense(2, activation="softmax"),
    ),
    "bidirectional, one step": lambda L: (L.Bidirectional(L.SimpleRNN(4)),),
    "half": lambda L: (
        L.SimpleRNN(4, return_sequences=True, dtype="mixed_float16"),
        L.Dense(2, dtype="mixed_float16"),
    ),
    "dropout": lambda L: (
        L.SimpleRNN(4, dropout=0.5, recurrent_dropout=0.5, return_sequences=True),
        L.Dropout(0.5),
        L.Dense(2),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_states_of_every_layer_of_a_keras_model_are_judged(keras, rng, name):
    model = _sequential(keras, *MODELS[name](keras.layers))
    net = elman.from_keras(model)
    x = rng.standard_normal((3, 9, 3)).astype("f4")
    found = elman.compare(net, model, x)
    assert found.ok, found
    assert None not in found.layers
    assert f"on {keras.backend.backend()}" in found.framework
    if name != "half":
        for tensor, array in list(net.tensors().items())[1:3]:
            wrong = array.copy()
            wrong.flat[0] += 1e-3
            found = elman.compare(net.replace(tensors={tensor: wrong}), model, x)
            assert not found.ok, tensor
            assert found.causes == [f"{tensor} has different values"]


def test_a_stateful_model_starts_from_zeros_and_keeps_its_states(keras, rng):
    layer = keras.layers.SimpleRNN(4, stateful=True, return_sequences=True)
    model = _sequential(keras, layer, keras.layers.Dense(2), batch=2)
    x = rng.standard_normal((5, 9, 3)).astype("f4")
    model(x[:2])
    before = keras.ops.convert_to_numpy(layer.states[0])
    assert before.any()
    assert elman.compare(elman.from_keras(model), model, x).ok
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.states[0]), before)
    assert layer.stateful
    assert not layer.unroll


@pytest.mark.parametrize("mode", ["concat", "sum", "ave"])
def test_the_last_states_of_both_directions_joined_in_any_way(keras, rng, mode):
    model = _sequential(
        keras, keras.layers.Bidirectional(keras.layers.SimpleRNN(4), merge_mode=mode)
    )
    found = elman.compare(elman.from_keras(model), model, rng.standard_normal((3, 9, 3)))
    assert found.ok, found
    assert None not in found.layers


def test_a_mask_above_a_layer_that_turns_time_back_is_refused(keras, rng):
    def model(*below):
        layers = [keras.layers.SimpleRNN(4, return_sequences=True, go_backwards=True)]
        return _sequential(keras, *below, *layers, keras.layers.SimpleRNN(4))

    made = model(keras.layers.Masking())
    x = rng.standard_normal((1, 9, 3)).astype("f4")
    x[:, 0] = 0
    # Keras turns the outputs of the lower layer but not its mask: it leaves out another step.
    with pytest.raises(elman.UnsupportedModelError, match=r"no mask above go_backwards"):
        elman.from_keras(made)
    made = model()
    assert elman.compare(elman.from_keras(made), made, x).ok


def test_layers_in_float64_are_judged_as_precise_as_keras_computes_them(keras, rng):
    layer = keras.layers.SimpleRNN(4, return_sequences=True, dtype="float64")
    model = _sequential(keras, layer, keras.layers.Dense(2, dtype="float64"))
    found = elman.compare(elman.from_keras(model), model, rng.standard_normal((3, 9, 3)))
    assert found.ok, found


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_masked_layers_that_read_backwards(keras, rng, zero, sequences):
    layer = keras.layers.SimpleRNN(
        4, go_backwards=True, return_sequences=sequences, zero_output_for_mask=zero
    )
    model = _sequential(keras, keras.layers.Masking(), layer, keras.layers.Dense(2))
    x = rng.standard_normal((4, 9, 3)).astype("f4")
    x[0, 3:5] = x[1, 7:] = x[2, 0] = x[3] = 0
    found = elman.compare(elman.from_keras(model), model, x)
    assert found.ok, found
    assert None not in found.layers
    assert layer.return_sequences is sequences


def test_the_mask_of_a_masking_layer_is_taken_from_the_model(keras, rng):
    model = _sequential(
        keras,
        keras.layers.Masking(),
        keras.layers.SimpleRNN(4, return_sequences=True),
        keras.layers.Dense(2),
    )
    x = rng.standard_normal((3, 9, 3)).astype("f4")
    x[0, 3:5] = x[1, 7:] = 0
    assert elman.compare(elman.from_keras(model), model, x).ok


def _legacy(keras, tmp_path):
    """Return the path of a file with a setting that Keras 3 does not know."""
    model = _sequential(keras, keras.layers.SimpleRNN(4), keras.layers.Dense(1))
    model.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            data = new.read(name)
            if name == "config.json":
                data = data.replace(b'"go_backwards"', b'"time_major": false, "go_backwards"')
            old.writestr(name, data)
    return tmp_path / "old.keras"


def _compiled(keras, tmp_path, name, loss):
    model = _sequential(keras, keras.layers.SimpleRNN(4), keras.layers.Dense(1))
    model.compile("adam", loss)
    model.save(tmp_path / name)
    return tmp_path / name


def _custom(y, found):
    return (y - found) ** 2


FILES = {
    "fixed length": lambda k, at: _compiled(k, at, "a.keras", None),
    "legacy loss": lambda k, at: _compiled(k, at, "a.h5", "mse"),
    "custom loss": lambda k, at: _compiled(k, at, "a.keras", _custom),
    "time_major": _legacy,
}


@pytest.mark.parametrize("name", FILES)
def test_a_check_of_a_keras_file_asks_the_model(keras, tmp_path, name):
    path = FILES[name](keras, tmp_path)
    words = ("convert", path, tmp_path / "b.safetensors", "--check", "--json")
    facts = json.loads(command.run(*words).stdout)
    assert facts["check"]["ok"], facts
    assert facts["check"]["source"]["framework"].startswith("Keras")
    assert None not in facts["check"]["source"]["layers"]
    net = elman.load(tmp_path / "b.safetensors")
    if name == "time_major":  # its layers are new and have no fixed length
        assert elman.compare(net, path, np.ones((2, 10, 3))).ok
        return
    with pytest.raises(elman.ShapeError, match=r"^x: expected 9 steps"):
        elman.compare(net, path, np.ones((2, 10, 3)))


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


def _module(torch, kind="", layers=1, dtype="float32", batch_first=True):
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            kinds = {"dtype": getattr(torch, dtype)}
            self.rnn = nn.RNN(3, 8, layers, batch_first=batch_first, **kinds)
            self.fc = nn.Linear(8, 2, **kinds)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x, h=None):
            if kind == "turns":
                x = x.transpose(0, 1)
            states, last = self.rnn(x, h)
            if kind == "turns":
                states = states.transpose(0, 1)
            y = self.fc(self.dropout(states))
            return {"dict": {"y": y, "h": last}, "tuple": (y, last), "nested": ((y,), last)}.get(
                kind, y
            )

    class Asks(Model):
        def forward(self, x, h):
            return super().forward(x, h)

    return Asks() if kind == "state" else Model()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((kind, {}) for kind in ("dict", "tuple", "nested", "state")),
        ("turns", {"batch_first": False}),
        *(("", {"dtype": dtype, "layers": 2}) for dtype in ("float16", "bfloat16", "float64")),
    ],
)
def test_a_module_of_any_kind(torch, rng, kind, settings):
    model = _module(torch, kind, **settings)
    model.rnn.eval()
    net = elman.from_torch(model, output_activation="identity")
    found = elman.compare(net, model, rng.standard_normal((3, 20, 3)))
    assert found.ok, found
    assert None not in found.layers
    assert model.training  # each part is as it was
    assert not model.rnn.training


def test_a_chaotic_module_is_right(torch, rng):
    rnn, fc = torch.nn.RNN(3, 128, batch_first=True), torch.nn.Linear(128, 2)
    with torch.no_grad():
        rnn.weight_hh_l0.mul_(15)
    net = elman.from_torch((rnn, fc), output_activation="identity")
    found = elman.compare(net, (rnn, fc), rng.standard_normal((3, 400, 3)))
    assert found.ok
    assert found.free_running_difference > 1e-2
    assert "drifts apart" in str(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chaotic_stack_runs_on_the_states_that_are_judged(torch, rng, dtype):
    # Another run of the lower layers, alone, rounds otherwise.
    kind = getattr(torch, dtype)
    rnn = torch.nn.RNN(3, 64, 3, batch_first=True, dtype=kind)
    with torch.no_grad():
        for name, weight in rnn.named_parameters():
            weight.mul_(12 if "weight" in name else 1)
    source = (rnn, torch.nn.Linear(64, 2, dtype=kind))
    net = elman.from_torch(source, output_activation="identity")
    found = elman.compare(net, source, 1e4 * rng.standard_normal((3, 300, 3)))
    assert found.ok, found
    assert None not in found.layers


def test_packed_sequences_with_time_first_are_run(torch, rng):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, 2)

        def forward(self, x):
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, [len(x)] * x.shape[1])
            return torch.nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0]

    model = Model()
    found = elman.compare(elman.from_torch(model), model, rng.standard_normal((3, 20, 3)))
    assert found.ok, found
    assert None not in found.layers


@pytest.mark.parametrize("layers", [1, 2])
def test_a_state_by_name_reaches_every_layer(torch, rng, layers):
    from elman.interop.torch import running

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, layers, batch_first=True)

        def forward(self, x):
            return self.rnn(hx=torch.ones(layers, len(x), 8), input=x)[0]

    model = Model()
    x = rng.standard_normal((3, 20, 3)).astype("f4")
    hidden = running.run(model, x).hidden
    assert len(hidden) == layers
    below = torch.from_numpy(x)
    for k, states in enumerate(hidden):
        alone = torch.nn.RNN(below.shape[-1], 8, batch_first=True)
        named = {
            name[:-1] + "0": p for name, p in model.rnn.named_parameters() if name[-1] == str(k)
        }
        alone.load_state_dict(named)
        with torch.inference_mode():
            below, _ = alone(below, torch.ones(1, 3, 8))
        np.testing.assert_allclose(states, below.numpy(), atol=1e-6)


@pytest.mark.parametrize("as_rows", [False, True])
def test_an_embedding_in_front_is_given_indices(torch, rng, as_rows):
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.rnn = nn.Embedding(11, 3), nn.RNN(3, 8, batch_first=True)
            self.fc = nn.Linear(8, 2)

        def forward(self, ids):
            return self.fc(self.rnn(self.emb(ids))[0])

    model = Model()
    net = elman.from_torch((model.rnn, model.fc), output_activation="identity")
    table = model.emb.weight.detach().numpy()
    ids = rng.integers(0, 11, (3, 20))
    if as_rows:
        assert elman.compare(net, model, table[ids]).ok
        with pytest.raises(elman.ArgumentError, match=r"^x: expected one-hot inputs, or rows"):
            elman.compare(net, model, table[ids] + 1)
    else:
        readout = (net.readout.W_hy, net.readout.b_y)
        cell = net.layers[0]
        words = elman.Network.from_weights(
            [(cell.W_xh @ table.T, cell.W_hh, cell.b_h)], readout, output_activation="identity"
        )
        assert elman.compare(words, model, np.eye(11)[ids]).ok


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_another_head_is_named_once(torch, rng, name):
    parts = (torch.nn.RNN(3, 8, batch_first=True), torch.nn.Linear(8, 2))
    net = elman.from_torch(parts, output_activation="identity")
    head = getattr(torch.nn, name)(*([-1] if "Softmax" in name else []))
    found = elman.compare(net, (*parts, head), rng.standard_normal((3, 20, 3)))
    g = {"LogSoftmax": "log_softmax"}.get(name, name.lower())
    assert found.causes == [f"the source used {g} for its outputs, the network identity"]


def test_a_small_second_bias_that_is_missing_is_named(torch, rng):
    rnn, fc = torch.nn.RNN(3, 8, nonlinearity="relu", batch_first=True), torch.nn.Linear(8, 2)
    with torch.no_grad():
        rnn.bias_ih_l0.mul_(300)
    net = elman.from_torch((rnn, fc), output_activation="identity")
    wrong = net.replace(tensors={"layers.0.b_h": rnn.bias_ih_l0.detach().numpy()})
    found = elman.compare(wrong, (rnn, fc), 0 * rng.standard_normal((3, 20, 3)))
    assert found.causes == ["the second bias is missing in layers.0.b_h"]


@pytest.mark.parametrize(
    ("how", "batch_first"),
    [("script", True), ("script", False), ("trace", True)],  # a traced module forgets its axes
)
def test_torchscript_modules_are_run(torch, rng, how, batch_first):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, batch_first=batch_first)
            self.fc = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.fc(self.rnn(x)[0])

    model = Model().eval()
    x = rng.standard_normal((4, 4, 3)).astype("f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = functools.partial(torch.jit.trace, example_inputs=torch.tensor(x))
        made = torch.jit.script(model) if how == "script" else trace(model)
    net = elman.from_torch(model, output_activation="identity")
    result = elman.compare(net, made, x)
    assert result.ok
    assert result.layers == [None]
    other = net.replace(tensors={"readout.b_y": net.readout.b_y + 1e-3})
    assert not elman.compare(other, made, x).ok


def test_what_pytorch_says_is_in_the_sentence(torch, rng):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, batch_first=True)

        def forward(self, x):
            raise RuntimeError("not on\nSundays")

    net = elman.Network(input_size=3, hidden_size=8, output_size=8)
    with pytest.raises(elman.UnsupportedModelError, match=r"^Model: .*\(RuntimeError: not on Sun"):
        elman.compare(net, Model(), rng.standard_normal((3, 20, 3)))


def test_bfloat16_is_read_without_rounding(torch, rng):
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    x = torch.from_numpy(rng.standard_normal((2, 20, 3))).bfloat16()
    want = net(x.float().numpy())
    for given in (x, [x[0], x[1]]):
        np.testing.assert_array_equal(net(given), want)
    np.testing.assert_array_equal(net.run(x).output, want)
    np.testing.assert_array_equal(net.stream().step(x[0, 0]), want[0, 0])


HIDDEN = {
    "hold": lambda L: (L.SimpleRNN(4, return_sequences=True),),
    "reverse": lambda L: (L.SimpleRNN(4, return_sequences=True, go_backwards=True),),
    "zero": lambda L: (L.SimpleRNN(4, return_sequences=True, zero_output_for_mask=True),),
    "both": lambda L: (L.Bidirectional(L.SimpleRNN(4, return_sequences=True)),),
    "last": lambda L: (L.SimpleRNN(4),),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_layers_behind_masks(keras, rng, name):
    keras.utils.set_random_seed(0)
    L = keras.layers
    head = (L.Dense(5, "tanh", bias_initializer="ones"), L.Dense(3, "relu"), L.Dense(2))
    model = _sequential(keras, L.Masking(), *HIDDEN[name](L), *head)
    mask = rng.random((3, 9)) < 0.6
    mask[0, :3] = mask[1, -3:] = False
    x = rng.standard_normal((3, 9, 3)).astype("f4") * mask[..., np.newaxis]
    net = elman.from_keras(model)
    found = elman.compare(net, model, x)
    assert found.ok
    assert found.free_running_difference < 1e-5
    got, want = net.run(x, mask=mask).output, keras.ops.convert_to_numpy(model(x))
    got = got[:, ::-1] if name == "reverse" else got
    if name in ("zero", "both"):  # no network has their outputs at masked steps
        got, want = got[mask], want[mask]
    np.testing.assert_allclose(got[:, -1] if name == "last" else got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("as_dict", [False, True])
def test_an_initial_state_that_is_an_input_is_zero(keras, rng, tmp_path, as_dict):
    L = keras.layers
    state, x = keras.Input((4,), name="h"), keras.Input((9, 3), name="x")
    y = L.Dense(2)(L.SimpleRNN(4, return_sequences=True)(x, initial_state=state))
    model = keras.Model({"h": state, "x": x} if as_dict else [state, x], y)
    net = elman.from_keras(model)
    assert elman.compare(net, model, rng.standard_normal((2, 9, 3))).ok
    model.save(tmp_path / "m.keras")
    assert elman.compare(net, tmp_path / "m.keras", rng.standard_normal((2, 9, 3))).ok


def test_the_last_step_of_both_directions(keras, rng):
    L = keras.layers
    x = keras.Input((9, 3))
    rnn = L.Bidirectional(L.SimpleRNN(4, return_sequences=True))
    model = keras.Model(x, L.Dense(8)(rnn(x)[:, -1]))  # 8 outputs, as states
    inputs = rng.standard_normal((2, 9, 3)).astype("f4")
    net = elman.from_keras(model)
    want = keras.ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(net(inputs, outputs="last"), want, atol=1e-5)
    assert elman.compare(net, model, inputs).ok


def test_the_last_output_of_a_masked_layer_is_not_that_of_unrolling(keras, rng):
    L = keras.layers
    model = _sequential(
        keras, L.SimpleRNN(4, zero_output_for_mask=True), L.Dense(2, bias_initializer="ones")
    )
    mask = np.arange(9) < [[9], [7], [4]]
    x = rng.standard_normal((3, 9, 3))
    assert elman.compare(elman.from_keras(model), model, x, mask=mask).ok


@pytest.mark.parametrize("dtype", ["Float32", "Float64", "Int64", "Int8"])
def test_nullable_numbers_of_pandas_are_read(rng, dtype):
    pandas = pytest.importorskip("pandas")
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    x = rng.integers(-9, 9, (20, 3))
    frame = pandas.DataFrame(x, columns=list("abc")).astype(dtype)
    np.testing.assert_array_equal(net(frame), net(x))
    np.testing.assert_array_equal(net.run(frame).output, net(x))
    frame.iloc[4, 1] = pandas.NA
    with pytest.raises(elman.DTypeError, match=r"^x\['b'\]: .*row 4"):
        net(frame)


def test_what_a_reader_must_be_told_may_be_said(torch, rng, tmp_path):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, batch_first=True)
            self.fc = torch.nn.Linear(8, 2)
            self.h0 = torch.nn.Parameter(torch.randn(1, 1, 8))

        def forward(self, x):
            return self.fc(self.rnn(x, self.h0.expand(1, len(x), 8).contiguous())[0])

    path, model, x = tmp_path / "m.pt", Model(), rng.standard_normal((2, 9, 3))
    torch.save(model.state_dict(), path)
    said = {"initial_state": "h0"}
    net = elman.from_torch(path, activation="tanh", output_activation="identity", **said)
    with pytest.raises(elman.ArgumentError, match=r"^initial_state: .* pass initial_state='h0'"):
        elman.compare(net, path, x)
    assert elman.compare(net, path, x, **said).ok
    assert elman.compare(net, model, x, **said).ok
    other = net.replace(tensors={"initial_state": net.initial_state + 1e-3})
    assert not elman.compare(other, path, x, **said).ok
    for source in (path, model):
        with pytest.raises(elman.ArgumentError, match=r"^layers: expected no such option for .*m"):
            elman.compare(net, source, x, layers=["rnn"])


def test_what_pytorch_cannot_run_names_the_file_to_be_written(torch, tmp_path, monkeypatch):
    def forward(*_):
        raise RuntimeError("not on this machine")

    monkeypatch.setattr(torch.nn.RNN, "forward", forward)
    elman.Network(input_size=3, hidden_size=8, output_size=2, activation="tanh").save(
        tmp_path / "a.safetensors"
    )
    target = tmp_path / "b.pt"
    result = command.run("convert", tmp_path / "a.safetensors", target, "--check")
    assert result.returncode == 2
    said = result.stderr.decode()
    assert f"{target}: PyTorch cannot run it" in said
    assert "not on this machine" in said
    assert not target.exists()


def test_the_parts_of_a_readout_are_layers_of_the_network(torch, rng, tmp_path):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(3, 8, batch_first=True)
            self.fc1, self.fc2 = torch.nn.Linear(8, 5), torch.nn.Linear(5, 2)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(self.rnn(x)[0])))

    path, model, x = tmp_path / "m.pt", Model(), rng.standard_normal((2, 9, 3))
    torch.save(model.state_dict(), path)
    net = elman.from_torch(
        path,
        activation="tanh",
        readout=["fc1", "fc2"],
        output_activation=["relu", "identity"],
    )
    np.testing.assert_allclose(
        net(x), model(torch.tensor(x, dtype=torch.float32)).detach(), rtol=0, atol=1e-5
    )
    assert elman.compare(net, path, x, readout=["fc1", "fc2"]).ok


def test_an_option_of_another_framework_is_refused(keras, rng):
    model = _sequential(keras, keras.layers.SimpleRNN(4, return_sequences=True))
    net = elman.from_keras(model)
    with pytest.raises(elman.ArgumentError, match=r"^prefix: expected no such option for Sequ"):
        elman.compare(net, model, rng.standard_normal((2, 9, 3)), prefix="rnn")
