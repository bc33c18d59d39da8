"""Models exported by PyTorch during the test; `test_onnx_import.py` has those from a file."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import elman
from elman.errors import UnsupportedModelError

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.any_isa, pytest.mark.slow]

from conformance import backend  # noqa: E402


class Model(torch.nn.Module):
    """An RNN and a readout of every step or of the last."""

    def __init__(self, inputs, hidden, *, last, head, **options):
        super().__init__()
        self.rnn = torch.nn.RNN(inputs, hidden, **options)
        width = hidden * (2 if self.rnn.bidirectional else 1)
        self.fc = torch.nn.Linear(width, 2, bias=self.rnn.bias) if head else torch.nn.Identity()
        self.last = last

    def forward(self, x, h=None):
        """Return the outputs."""
        y, _ = self.rnn(x, h)
        if self.last:
            y = y[:, -1] if self.rnn.batch_first else y[-1]
        return torch.tanh(self.fc(y)) if isinstance(self.fc, torch.nn.Linear) else y


def export(module, inputs, path, *, dynamo, **options):
    """Write a model to a file, ignoring the exporter's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = {"dynamo": True, "verbose": False} if dynamo else {"dynamo": False}
        torch.onnx.export(module.eval(), inputs, path, **kind, **options)
    return path


def random_case(rng):
    """Return a module and its inputs."""
    layers, T, B = (int(rng.integers(low, high)) for low, high in ((1, 4), (2, 7), (1, 4)))
    hidden = int(rng.integers(1, 7))
    options = {
        "nonlinearity": rng.choice(["tanh", "relu"]),
        "batch_first": bool(rng.integers(2)),
        "bias": bool(rng.integers(2)),
        "bidirectional": bool(rng.integers(2)),
    }
    head, last = bool(rng.integers(2)), bool(rng.integers(2))
    module = Model(3, hidden, num_layers=layers, head=head, last=last, **options)
    x = torch.randn((B, T, 3) if options["batch_first"] else (T, B, 3))
    rows = layers * (2 if options["bidirectional"] else 1)
    return module, (x, torch.randn(rows, B, hidden)) if rng.integers(2) else (x,)


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_random_module_gives_what_pytorch_and_onnx_runtime_compute(tmp_path, dynamo, seed):
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(seed)
    module, inputs = random_case(np.random.default_rng(seed))
    options = {"optimize": bool(seed % 2), "external_data": bool(seed % 3)} if dynamo else {}
    path = export(module, inputs, tmp_path / "model.onnx", dynamo=dynamo, **options)
    with torch.no_grad():
        expected = module(*inputs).numpy()
    arrays = [a.numpy() for a in inputs]
    (y,) = backend.prepare(path, external_data=True).run(arrays)
    np.testing.assert_allclose(y, expected, atol=3e-6)
    session = runtime.InferenceSession(path)
    feed = dict(zip([i.name for i in session.get_inputs()], arrays, strict=True))
    np.testing.assert_allclose(y, session.run(None, feed)[0], atol=3e-6)


@pytest.mark.parametrize("dynamo", [True, False])
def test_a_frozen_model_is_the_module_at_other_lengths(tmp_path, dynamo):
    torch.manual_seed(0)
    module = Model(3, 6, num_layers=2, head=True, last=False, batch_first=True)
    path = export(module, (torch.randn(1, 14, 3),), tmp_path / "model.onnx", dynamo=dynamo)
    x = torch.randn(5, 200, 3)
    with torch.no_grad():
        expected = module(x).numpy()
    net = elman.from_onnx(path, external_data=True)
    np.testing.assert_allclose(net(x.numpy()), expected, atol=3e-6)


def test_weights_in_pytorchs_side_file_are_read_when_asked_for(tmp_path):
    torch.manual_seed(0)
    module = Model(64, 160, head=True, last=True, batch_first=True)
    x = torch.randn(2, 5, 64)
    path = export(module, (x,), tmp_path / "model.onnx", dynamo=True, external_data=True)
    assert (tmp_path / "model.onnx.data").stat().st_size > 100_000
    with pytest.raises(UnsupportedModelError, match="external_data=True"):
        elman.from_onnx(path)
    net = elman.from_onnx(path, external_data=True)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(net(x.numpy(), outputs="last"), expected, atol=1e-5)
    assert net.layers[0].W_hh.tobytes() == module.rnn.weight_hh_l0.detach().numpy().tobytes()


class Stack(torch.nn.Module):
    """Random maps, activations and scalings around recurrent layers."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng
        self.below, width = self.modules_of(3)
        options = {"bidirectional": bool(rng.integers(2)), "num_layers": int(rng.integers(1, 3))}
        self.rnn = torch.nn.RNN(width, 4, batch_first=True, **options)
        self.above, _ = self.modules_of(8 if options["bidirectional"] else 4)
        self.last = bool(rng.integers(2))

    def modules_of(self, width):
        """Return a random sequence of modules, and the number of its outputs."""
        modules = []
        for _ in range(self.rng.integers(0, 5)):
            kind = self.rng.integers(4)
            if kind == 0:
                outputs = int(self.rng.integers(2, 6))
                modules.append(torch.nn.Linear(width, outputs, bias=bool(self.rng.integers(2))))
                width = outputs
            elif kind == 1:
                choices = (torch.nn.Tanh(), torch.nn.ReLU(), torch.nn.ELU(), torch.nn.ReLU6())
                modules.append(choices[self.rng.integers(4)])
            else:
                modules.append(Scaling(torch.randn(width), torch.randn(width), kind == 2))
        return torch.nn.Sequential(*modules), width

    def forward(self, x):
        """Return the outputs."""
        y, _ = self.rnn(self.below(x))
        return self.above(y[:, -1] if self.last else y)


class Scaling(torch.nn.Module):
    """x by + plus, or (x + plus) by."""

    def __init__(self, by, plus, first):
        super().__init__()
        self.by, self.plus, self.first = by, plus, first

    def forward(self, x):
        """Return x, scaled."""
        return x * self.by + self.plus if self.first else (x + self.plus) * self.by


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_random_stack_gives_what_pytorch_computes(tmp_path, dynamo, seed):
    torch.manual_seed(seed)
    module = Stack(np.random.default_rng(seed))
    x = torch.randn(2, 5, 3)
    path = export(module, (x,), tmp_path / "model.onnx", dynamo=dynamo)
    with torch.no_grad():
        expected = module(x).numpy()
    (y,) = backend.prepare(path, external_data=True).run([x.numpy()])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


class Packed(torch.nn.Module):
    """A tagger of sequences of different lengths, in any order, with a learned start state."""

    def __init__(self, *, first, start, **options):
        super().__init__()
        self.rnn = torch.nn.RNN(3, 5, batch_first=first, **options)
        D = 2 if self.rnn.bidirectional else 1
        self.h0 = torch.nn.Parameter(torch.randn(self.rnn.num_layers * D, 1, 5) * start)
        self.fc = torch.nn.Linear(5 * D, 2)
        self.first, self.start = first, start

    def forward(self, x, lengths):
        """Return the outputs of all steps."""
        h0 = self.h0.expand(-1, lengths.shape[0], -1).contiguous() if self.start else None
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=self.first, enforce_sorted=False
        )
        states, _ = self.rnn(packed, h0)
        states, _ = torch.nn.utils.rnn.pad_packed_sequence(states, batch_first=self.first)
        return self.fc(states)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize(
    ("first", "options"), [(True, {"num_layers": 2}), (False, {"bidirectional": True})]
)
def test_packed_sequences_in_any_order_are_read(tmp_path, first, options, start, free):
    torch.manual_seed(0)
    module = Packed(first=first, start=start, **options)
    x, lengths = torch.randn((4, 9, 3) if first else (9, 4, 3)), torch.tensor([4, 9, 7, 2])
    names = {"input_names": ["x", "lengths"], "output_names": ["y"]}
    if free:
        batch, time = (0, 1) if first else (1, 0)
        names["dynamic_axes"] = {"x": {batch: "B", time: "T"}, "lengths": {0: "B"}}
    path = export(module, (x, lengths), tmp_path / "m.onnx", dynamo=False, **names)
    net = elman.from_onnx(path)
    with torch.no_grad():
        y = module(x, lengths).numpy()
    x = x.numpy() if first else x.numpy().transpose(1, 0, 2)
    y = y if first else y.transpose(1, 0, 2)
    mask = np.arange(9) < lengths.numpy()[:, np.newaxis]
    np.testing.assert_allclose(net.run(x, mask=mask).output, y, rtol=0, atol=1e-6)
