"""`elman.compare`: differences between a network and its source, and their causes."""

import pathlib
import sys

import numpy as np
import pytest

import elman
from elman.interop import formats
from elman.interop._source import Imported, Source, Trace

FIXTURES = pathlib.Path(__file__).parent / "fixtures"

pytestmark = pytest.mark.any_isa


def _steps(rng, dtype="float32", B=3, T=20, I=3):
    return rng.standard_normal((B, T, I)).astype(dtype)


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def torch(self):
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        return torch

    @pytest.mark.parametrize(
        ("batch_first", "layers", "dtype"),
        [(True, 1, "float32"), (False, 3, "float32"), (False, 1, "float64"), (True, 3, "float64")],
    )
    def test_an_imported_network_agrees_layer_by_layer(
        self, torch, rng, batch_first, layers, dtype
    ):
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                kind = getattr(torch, dtype)
                self.rnn = torch.nn.RNN(3, 8, layers, batch_first=batch_first, dtype=kind)
                self.fc = torch.nn.Linear(8, 2, dtype=kind)

            def forward(self, x):
                states, last = self.rnn(x)
                return torch.sigmoid(self.fc(states)), last

        model = Model()
        net = elman.from_torch(model, output_activation="sigmoid")
        found = elman.compare(net, model, _steps(rng, dtype))
        assert found.ok
        assert len(found.layers) == layers
        assert max(*found.layers, found.output) < {"float32": 2e-6, "float64": 1e-13}[dtype]
        assert found.framework.startswith("PyTorch")
        assert model.training  # unchanged

    def test_the_last_output_alone_is_compared_with_the_last(self, torch, rng):
        class Last(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = torch.nn.RNN(3, 8, batch_first=True)
                self.fc = torch.nn.Linear(8, 2)

            def forward(self, x):
                return self.fc(self.rnn(x)[0][:, -1])

        model = Last()
        net = elman.from_torch(model, output_activation="identity")
        assert elman.compare(net, model, _steps(rng)).ok

    def test_states_of_cells_are_recorded_step_by_step(self, torch, rng):
        class Cells(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.cells = torch.nn.ModuleList(
                    [torch.nn.RNNCell(3, 5, nonlinearity="relu"), torch.nn.RNNCell(5, 4)]
                )
                self.fc = torch.nn.Linear(4, 2)

            def forward(self, x):
                h = [torch.zeros(len(x), 5), torch.zeros(len(x), 4)]
                outputs = []
                for x_t in x.unbind(1):
                    h[0] = self.cells[0](x_t, h[0])
                    h[1] = self.cells[1](h[0], h[1])
                    outputs.append(self.fc(h[1]))
                return torch.stack(outputs, dim=1)

        model = Cells()
        net = elman.from_torch(model, output_activation="identity")
        found = elman.compare(net, model, _steps(rng))
        assert found.ok
        assert len(found.layers) == 2

    def test_what_to_torch_returns_agrees_with_the_network(self, torch, rng):
        net = elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=0)
        assert elman.compare(net, elman.to_torch(net), _steps(rng)).ok

    def test_one_sequence_without_a_batch(self, torch, rng):
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        assert elman.compare(net, elman.to_torch(net), _steps(rng)[0]).ok

    @pytest.mark.parametrize(("suffix", "bidirectional"), [(".pt", True), (".safetensors", False)])
    def test_the_tensors_of_a_file_run_in_modules(
        self, torch, rng, tmp_path, suffix, bidirectional
    ):
        rnn = torch.nn.RNN(3, 8, 2, bidirectional=bidirectional)
        head = torch.nn.Linear(16 if bidirectional else 8, 2)
        tensors = {f"a.rnn.{name}": w for name, w in rnn.state_dict().items()}
        tensors |= {f"a.head.{name}": w for name, w in head.state_dict().items()}
        path = str(tmp_path / f"model{suffix}")
        if suffix == ".pt":
            torch.save(tensors, path)
        else:
            __import__("safetensors.torch").torch.save_file(tensors, path)
        net = elman.from_torch(path, activation="tanh", output_activation="sigmoid")
        assert elman.compare(net, path, _steps(rng)).ok

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"activation": "relu"}, ["tanh", "layer 0", "relu"]),
            ({"W_hh": "transpose"}, ["layers.0.W_hh", "transposed"]),
            ({"b_h": "bias_ih"}, ["second bias", "layers.0.b_h"]),
            ({"W_xh": "other"}, ["layers.0.W_xh"]),
            ({"output_activation": "sigmoid"}, ["identity", "outputs", "sigmoid"]),
        ],
    )
    def test_the_likely_cause_is_named(self, torch, rng, change, words):
        rnn, fc = torch.nn.RNN(3, 8, batch_first=True), torch.nn.Linear(8, 2)
        w = {name: p.detach().numpy() for name, p in rnn.named_parameters()}
        weights = {
            "W_xh": w["weight_ih_l0"] * (1.5 if change.get("W_xh") else 1),
            "W_hh": w["weight_hh_l0"].T if change.get("W_hh") else w["weight_hh_l0"],
            "b_h": w["bias_ih_l0"] + (0 if change.get("b_h") else w["bias_hh_l0"]),
        }
        net = elman.Network.from_weights(
            [tuple(weights.values())],
            (fc.weight.detach().numpy(), fc.bias.detach().numpy()),
            activation=change.get("activation", "tanh"),
            output_activation=change.get("output_activation", "identity"),
        )
        found = elman.compare(net, (rnn, fc), _steps(rng))
        assert not found.ok
        (cause,) = found.causes
        assert all(word in cause for word in words), cause
        assert cause in str(found)

    def test_a_log_softmax_of_the_source_is_named(self, torch, rng):
        rnn, fc = torch.nn.RNN(3, 8, batch_first=True), torch.nn.Linear(8, 2)
        net = elman.from_torch((rnn, fc), output_activation="softmax")
        found = elman.compare(net, (rnn, fc, torch.nn.LogSoftmax(dim=2)), _steps(rng))
        assert not found.ok
        assert "the source used log_softmax for its outputs, the network softmax" in found.causes

    def test_a_module_without_an_rnn_is_one_sentence(self, torch, rng):
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        with pytest.raises(elman.ArgumentError, match=r"^source: expected .*nn.RNN"):
            elman.compare(net, torch.nn.Linear(3, 2), _steps(rng))

    def test_a_mask_is_not_for_modules(self, torch, rng):
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        with pytest.raises(elman.ArgumentError, match=r"^mask: expected None"):
            elman.compare(net, elman.to_torch(net), _steps(rng), mask=np.ones((3, 20), bool))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("model.bin", elman.UnsupportedModelError, r"^model.bin: expected .*got .bin"),
        (3, TypeError, r"^source: expected .*got int"),
    ],
)
def test_a_source_that_cannot_be_run_is_one_sentence(rng, source, error, message):
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    with pytest.raises(error, match=message):
        elman.compare(net, source, _steps(rng))


def test_a_file_of_elman_is_run_by_the_reference(rng, tmp_path):
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    net.save(tmp_path / "model.safetensors")
    found = elman.compare(net, tmp_path / "model.safetensors", _steps(rng))
    assert (found.ok, found.framework) == (True, "the NumPy reference")


@pytest.mark.parametrize(("suffix", "package"), [(".pt", "torch"), (".keras", "keras")])
def test_without_the_framework_the_error_names_it(rng, tmp_path, monkeypatch, suffix, package):
    path = tmp_path / f"model{suffix}"
    with np.load(FIXTURES / f"interop_{package}.npz") as made:
        path.write_bytes(made[next(name for name in made if name.endswith(suffix))].tobytes())
    said = {"activation": "tanh", "output_activation": "identity"} if suffix == ".pt" else {}
    net = getattr(elman, f"from_{package}")(path, **said)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package}: pip install {package}$"):
        elman.compare(net, path, np.ones((4, net.input_size)))


def test_what_a_reader_returned_is_not_read_again(rng, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    elman.to_onnx(net, tmp_path / "model.onnx")
    imported = formats.read(str(tmp_path / "model.onnx"))
    (tmp_path / "model.onnx").unlink()
    assert elman.compare(imported.network, imported, _steps(rng)).ok
    wrong = net.replace(tensors={"layers.0.W_hh": net.layers[0].W_hh.T})
    found = elman.compare(wrong, imported, _steps(rng))
    (cause,) = found.causes
    assert "layers.0.W_hh" in cause
    assert "transposed" in cause


def test_a_source_of_the_last_step_alone_is_compared_with_the_last(rng):
    net = elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=0)
    x = _steps(rng)
    ours = net.run(x, return_hidden=True)
    last = [states[:, -1] for states in (ours.hidden[..., :8], ours.hidden[..., 8:])]
    trace = Trace("a source", last, ours.output[:, -1], [])
    source = Imported(net, [], Source("torch", lambda x, mask, taps: trace))
    found = elman.compare(net, source, x)
    assert found.ok
    assert max(found.output, *found.layers) < 1e-6


def test_inputs_of_another_size_are_one_sentence():
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    with pytest.raises(elman.ShapeError, match=r"^x: expected .*got \(4, 2\)"):
        elman.compare(net, [], np.ones((4, 2)))


class TestOnnx:
    @pytest.fixture(autouse=True)
    def onnx(self):
        return pytest.importorskip("onnx")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_what_is_written_agrees_with_the_network(self, rng, dtype):
        net = elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=0, dtype=dtype)
        found = elman.compare(net, elman.to_onnx(net), _steps(rng, dtype))
        assert found.ok
        assert None not in found.layers
        assert max(*found.layers, found.output) < {"float32": 2e-6, "float64": 1e-13}[dtype]

    def test_a_bidirectional_network_agrees(self, rng):
        pytest.importorskip("onnxruntime")
        net = elman.Network(
            input_size=3, hidden_size=8, output_size=2, seed=0, direction="bidirectional"
        )
        assert elman.compare(net, elman.to_onnx(net), _steps(rng)).ok

    def test_the_likely_cause_is_named(self, rng):
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        model = elman.to_onnx(net)
        layer, readout = net.layers[0], net.readout
        wrong = elman.Network.from_weights(
            [(layer.W_xh, layer.W_hh.T, layer.b_h)],
            (readout.W_hy, readout.b_y),
            output_activation="tanh",
        )
        found = elman.compare(wrong, model, _steps(rng))
        outputs, matrix = found.causes
        assert "sigmoid" in outputs
        assert "tanh" in outputs
        assert "layers.0.W_hh" in matrix

    def test_lengths_may_be_of_either_kind_of_integers(self, onnx, rng):
        pytest.importorskip("onnxruntime")
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        model = elman.to_onnx(net)
        lengths = onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT64, ["batch"])
        model.graph.input.append(lengths)
        cast = onnx.helper.make_node("Cast", ["lengths"], ["narrow"], to=onnx.TensorProto.INT32)
        model.graph.node.insert(0, cast)
        next(node for node in model.graph.node if node.op_type == "RNN").input[4] = "narrow"
        assert elman.compare(net, model, _steps(rng)).ok

    def test_a_path_is_accepted(self, rng, tmp_path):
        net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        elman.to_onnx(net, tmp_path / "model.onnx")
        assert elman.compare(net, tmp_path / "model.onnx", _steps(rng)).ok

    @pytest.mark.filterwarnings("ignore")  # of the exporter
    def test_a_frozen_model_runs_on_its_own_sizes_alone(self, rng, tmp_path):
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        rnn = torch.nn.RNN(3, 8, batch_first=True).eval()
        path = tmp_path / "frozen.onnx"
        torch.onnx.export(rnn, (torch.zeros(1, 6, 3),), path, dynamo=True, verbose=False)
        net = elman.from_onnx(path, external_data=True)
        found = elman.compare(net, path, _steps(rng, B=1, T=6), external_data=True)
        assert found.ok
        with pytest.raises(elman.ShapeError, match=r"^x: expected 6 steps"):
            elman.compare(net, path, _steps(rng, B=1, T=7), external_data=True)


ACTIVATIONS = [
    elman.Activation(name, clip=clip, **numbers)
    for clip in (None, 0.3)
    for name, numbers in [
        *((name, {}) for name in ("tanh", "sigmoid", "relu", "softsign", "softplus")),
        ("leaky_relu", {"alpha": 0.2}),
        ("thresholded_relu", {"alpha": 0.1}),
        ("scaled_tanh", {"alpha": 1.2, "beta": 0.7}),
        ("hard_sigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("elu", {"alpha": 0.7}),
        ("affine", {"alpha": 0.5, "beta": 0.1}),
    ]
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_an_onnx_model_in_float64_with_any_activation(rng, activation):
    pytest.importorskip("onnx")
    options = {"output_size": 2, "dtype": "float64", "seed": 0, "direction": "bidirectional"}
    net = elman.Network(3, 8, activation=activation, **options)
    model = elman.to_onnx(net)
    found = elman.compare(net, model, _steps(rng, "float64"))
    assert found.ok, found
    assert found.layers[0] < 1e-12
    other = elman.Network(3, 8, activation=elman.Activation("tanh", clip=0.2), **options)
    assert not elman.compare(other, model, _steps(rng, "float64")).ok
