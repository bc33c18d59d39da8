"""Networks as ONNX models: the nodes written, results in other engines, and the way back."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import elman

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa

from conformance import reference  # noqa: E402
from fixtures.networks import make_inputs  # noqa: E402

ACTIVATIONS = [
    elman.Activation("tanh"),
    elman.Activation("relu"),
    elman.Activation("sigmoid"),
    elman.Activation("identity"),
    elman.Activation("leaky_relu", alpha=0.3),
    elman.Activation("elu"),
    elman.Activation("thresholded_relu", alpha=0.1),
    elman.Activation("hard_sigmoid", alpha=0.3, beta=0.4),
    elman.Activation("softsign"),
    elman.Activation("softplus"),
    elman.Activation("scaled_tanh", alpha=1.7, beta=0.6),
    elman.Activation("affine", alpha=0.7, beta=0.1),
    elman.Activation("tanh", clip=0.5),
    elman.Activation("identity", clip=0.5),
]
OUTPUTS = ["sigmoid", "identity", "softmax", "log_softmax", "tanh", "relu"]


def make(rng, *, layers=(5, 4), scaling=False, start=False, readout=True, **options):
    """Return a random network with these options."""
    O, H = (2, sum(layers))
    options = {"seed": 1} | options
    if options.get("direction") == "bidirectional":
        H, width = 2 * H, 2 * layers[-1]
    else:
        width = layers[-1]
    if scaling:
        options |= {"input_mean": rng.normal(size=3), "input_std": 0.5 + rng.random(3)}
        size = O if readout else width
        options |= {"output_mean": rng.normal(size=size), "output_std": 0.5 + rng.random(size)}
    if start:
        options["initial_state"] = rng.normal(size=H)
    return elman.Network(
        input_size=3, hidden_size=layers, output_size=O if readout else None, **options
    )


def by_time(x):
    """Return (B, T, F) as (T, B, F), or back."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


# --- what is written ------------------------------------------------------------------------------


def test_the_graph_is_what_the_documentation_says(rng):
    model = elman.to_onnx(make(rng, activation=["tanh", "identity"], start=True))
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "x": ["time", "batch", 3],
        "state": ["rows", 9],
        "y": ["time", "batch", 2],
        "next_state": ["batch", 9],
    }
    first, second = (n for n in model.graph.node if n.op_type == "RNN")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in first.attribute}
    assert attributes == {
        "activations": [b"Tanh"],
        "direction": b"forward",
        "hidden_size": 5,
        "layout": 0,
    }
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in second.attribute}
    assert attributes["activations"] == [b"Affine"]
    assert (attributes["activation_alpha"], attributes["activation_beta"]) == ([1.0], [0.0])


def test_the_same_network_gives_the_same_bytes(rng):
    net = make(rng)
    assert elman.to_onnx(net).SerializeToString() == elman.to_onnx(net).SerializeToString()


def test_a_file_is_written_whole(rng, tmp_path):
    net = make(rng, metadata={"origin": "a test"})
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    assert elman.to_onnx(net, path) is None
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert elman.from_onnx(path) == elman.from_onnx(path.read_bytes()) == net
    assert elman.from_onnx(path).metadata == {"origin": "a test"}
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert props == {"user.origin": "a test"}


# --- the way back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(ACTIVATIONS)), ids=map(str, ACTIVATIONS))
def test_an_activation_comes_back_with_equal_bits(rng, index):
    activation, dtype = ACTIVATIONS[index], ["float32", "float64"][index % 2]
    everything = {"scaling": True, "start": True, "dtype": dtype}
    hidden = make(
        rng, activation=activation, output_activation=OUTPUTS[index % len(OUTPUTS)], **everything
    )
    assert elman.from_onnx(elman.to_onnx(hidden)) == hidden
    readout = make(rng, output_activation=activation, **everything)
    back = elman.from_onnx(elman.to_onnx(readout))
    assert back == readout
    x = make_inputs(rng, readout, 2, 6)
    np.testing.assert_array_equal(back(x), readout(x))


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"scaling": True}, {"start": True}], ids=str)
def test_a_network_comes_back_with_equal_bits(rng, options, bias, readout):
    net = make(rng, bias=bias, readout=readout, **options)
    assert elman.from_onnx(elman.to_onnx(net)) == net


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_combination_comes_back_with_equal_bits(rng, activation, dtype):
    for output, scaling, start, bias, readout in itertools.product(OUTPUTS, *[[False, True]] * 4):
        net = make(
            rng,
            scaling=scaling,
            start=start,
            bias=bias,
            readout=readout,
            dtype=dtype,
            activation=activation,
            output_activation=output,
        )
        assert elman.from_onnx(elman.to_onnx(net)) == net


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_directions_come_back_with_equal_bits(rng, direction):
    for scaling, start, readout in itertools.product(*[[False, True]] * 3):
        net = make(rng, scaling=scaling, start=start, readout=readout, direction=direction)
        assert elman.from_onnx(elman.to_onnx(net)) == net


def test_one_direction_for_each_layer_comes_back(rng):
    net = elman.Network(
        input_size=3,
        hidden_size=[4, 5, 6],
        output_size=2,
        seed=1,
        direction=["bidirectional", "reverse", "forward"],
    )
    assert elman.from_onnx(elman.to_onnx(net)) == net


def test_two_clips_of_one_layer_cannot_be_written():
    W = (np.ones((2, 1)), np.eye(2), None)
    clips = (elman.Activation("tanh", clip=1), elman.Activation("tanh", clip=2))
    net = elman.Network.from_weights([(W, W)], None, activation=[clips], direction="bidirectional")
    with pytest.raises(elman.ArgumentError, match=r"^.*clip: expected"):
        elman.to_onnx(net)


# --- other engines --------------------------------------------------------------------------------


@pytest.mark.parametrize("output", OUTPUTS)
def test_onnxs_reference_evaluator_runs_it(rng, output):
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    net = make(rng, layers=(4,), scaling=True, start=True, output_activation=output)
    x = make_inputs(rng, net, 2, 6)
    run = net.run(x)
    y, state = evaluator(elman.to_onnx(net)).run(None, {"x": by_time(x)})
    np.testing.assert_allclose(y, by_time(run.output), atol=1e-6)
    np.testing.assert_allclose(state, run.state, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "direction"),
    [
        *((activation, "forward") for activation in ACTIVATIONS),
        (ACTIVATIONS[4], "reverse"),
        (ACTIVATIONS[7], "bidirectional"),
        (ACTIVATIONS[12], "bidirectional"),
    ],
    ids=str,
)
def test_onnx_runtime_runs_it_and_streams_by_its_state(rng, activation, direction):
    runtime = pytest.importorskip("onnxruntime")
    net = make(rng, scaling=True, start=True, activation=activation, direction=direction)
    x = make_inputs(rng, net, 3, 8)
    session = runtime.InferenceSession(elman.to_onnx(net).SerializeToString())
    run = net.run(x)
    y, state = session.run(None, {"x": by_time(x)})
    np.testing.assert_allclose(y, by_time(run.output), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state, run.state, rtol=1e-5, atol=1e-5)
    if direction != "forward":
        return
    _, state = session.run(None, {"x": by_time(x[:, :3])})
    y, state = session.run(None, {"x": by_time(x[:, 3:]), "state": state})
    np.testing.assert_allclose(y, by_time(run.output[:, 3:]), rtol=1e-5, atol=1e-5)
    one = x[:1, :2]  # a state of one row applies to every sequence
    y, _ = session.run(None, {"x": by_time(one), "state": run.state[:1]})
    expected = net.run(one, state=run.state[:1]).output
    np.testing.assert_allclose(y, by_time(expected), rtol=1e-5, atol=1e-5)


def test_the_weights_in_the_file_are_those_of_the_specification(rng):
    """The specification's recurrence with the tensors of the file returns the network's states."""
    net = make(rng, layers=(4,), readout=False, activation="relu")
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in elman.to_onnx(net).graph.initializer}
    x = make_inputs(rng, net, 2, 5)
    inputs = {name: tensors[f"layers.0.{name}"] for name in "WRB"} | {"X": by_time(x)}
    Y = reference.rnn({"activations": ["Relu"]}, inputs)["Y"]
    np.testing.assert_allclose(net(x), by_time(Y[:, 0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model.safetensors", r"net\.save\(path\)"),
        ("model.pt", r"torch\.save with elman\.to_torch\(net\)"),
        ("model.KERAS", r"a Keras model .*elman\.to_keras\(net\)"),
        ("model.json", r"\*\.onnx"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path, rng, name, remedy):
    net = make(rng)
    with pytest.raises(elman.ArgumentError, match=rf"^path: expected ONNX's .*: use {remedy}$"):
        elman.to_onnx(net, tmp_path / name)
    assert not list(tmp_path.iterdir())
    elman.to_onnx(net, tmp_path / "model.ONNX")
    elman.to_onnx(net, tmp_path / "model")
