"""Networks with reverse or bidirectional layers: properties and unsupported calls."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import elman
from elman import reference
from fixtures.bits import assert_same_bits
from fixtures.directions import KINDS, make_network, networks
from fixtures.networks import inputs

# --- unsupported calls ----------------------------------------------------------------------------


@pytest.mark.any_isa
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_reverse_layers_are_refused_by_stream_generate_and_training(direction):
    net = elman.Network(
        input_size=2, hidden_size=[3, 3], output_size=2, direction=["forward", direction], seed=0
    )
    x = np.ones((4, 2))
    got = rf".*layer 1 '{direction}'"
    with pytest.raises(elman.ArgumentError, match=rf"^stream: {got}"):
        net.stream()
    for feedback in (None, lambda y: y):
        with pytest.raises(elman.ArgumentError, match=rf"^generate: {got}"):
            net.generate(x, steps=3, feedback=feedback)
    for train in (elman.train, elman.loss_and_gradients):
        with pytest.raises(elman.ArgumentError, match=rf"^net: {got}"):
            train(net, x, x)
    with pytest.raises(elman.ArgumentError, match=r"^loss_and_gradients: "):
        reference.loss_and_gradients(net, x, x)
    with pytest.raises(elman.ArgumentError, match=r"^step: "):
        reference.step(net, x[0], np.zeros(net.state_size))


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.any_isa
def test_a_bidirectional_network_prints_its_directions():
    net = elman.Network(
        input_size=16, hidden_size=32, output_size=4, direction="bidirectional", seed=0
    )
    parameters = 2 * (32 * 16 + 32 * 32 + 32) + 4 * 64 + 4
    assert repr(net).startswith("Network(16 -> 32 tanh bidirectional -> 4 sigmoid, float32")
    assert f"{parameters:,}" in repr(net)
    (layer,) = net.layers
    assert repr(layer).startswith("Layer(16 -> 32 tanh bidirectional")
    assert repr(layer.reverse).startswith("Layer(16 -> 32 tanh reverse")
    assert layer.direction == "bidirectional"
    assert (layer.reverse.direction, layer.reverse.reverse) == ("reverse", None)
    assert layer.reverse.W_xh.shape == (32, 16)
    assert net.directions == ("bidirectional",)
    assert (net.hidden_sizes, net.state_size, net.output_size) == ((32,), 64, 4)
    assert net.readout.W_hy.shape == (4, 64)
    assert not layer.reverse.W_hh.flags.writeable

    net = make_network("float32", **KINDS[2])
    for word in ("sigmoid", "tanh", "leaky_relu(alpha=0.1)", "bidirectional"):
        assert word in repr(net)
    assert (net.activations, net.layers[0].reverse.activation) == (("sigmoid", "tanh"), "tanh")
    assert net.layers[1].W_xh.shape == (7, 32)
    top = make_network("float32", **KINDS[3])
    assert (top.output_size, top.state_size) == (40, 9 + 2 + 40)
    assert repr(top.layers[2]).startswith("Layer(2 -> 40 tanh reverse")


@pytest.mark.any_isa
def test_equal_networks_are_those_of_equal_directions_and_halves(dtype):
    for net, kind in zip(networks(dtype), KINDS, strict=True):
        twin = make_network(dtype, **kind)
        assert net == twin
        assert hash(net) == hash(twin)
    one, two = (
        make_network(dtype, inputs=3, hidden=(4,), outputs=1, direction=[way])
        for way in ("forward", "reverse")
    )
    assert one != two
    pairs = [("tanh", "relu"), ("tanh", "tanh")]
    halves = [
        make_network(
            dtype, inputs=3, hidden=(4,), outputs=1, direction=["bidirectional"], activation=[pair]
        )
        for pair in pairs
    ]
    assert halves[0] != halves[1]


@pytest.mark.any_isa
def test_files_pickles_and_conversions_keep_the_halves(rng, dtype, tmp_path):
    for net in networks(dtype):
        net.save(tmp_path / "model.safetensors")
        for copy in (elman.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(net))):
            assert copy == net
            assert repr(copy) == repr(net)
            x = inputs(rng, net, 2, 9)
            assert_same_bits(copy(x), net(x))
        wide = net.astype("float64")
        assert wide.directions == net.directions
        assert wide.astype(dtype) == net


@pytest.mark.any_isa
@pytest.mark.parametrize("init", ["uniform", "glorot", "identity", "echo_state"])
def test_every_initializer_draws_each_half_separately(init):
    net = elman.Network(
        input_size=3,
        hidden_size=[30, 20],
        output_size=2,
        direction=["bidirectional", "reverse"],
        init=init,
        seed=1,
    )
    layer = net.layers[0]
    assert not np.array_equal(layer.W_xh, layer.reverse.W_xh)
    assert np.array_equal(layer.W_hh, layer.reverse.W_hh) == (init == "identity")
    assert layer.reverse.W_hh.any()
    alone = elman.Network(input_size=3, hidden_size=30, output_size=2, init=init, seed=1)
    assert_same_bits(layer.W_hh, alone.layers[0].W_hh)  # the first values drawn
    if init == "glorot":
        np.testing.assert_allclose(layer.reverse.W_hh @ layer.reverse.W_hh.T, np.eye(30), atol=1e-6)
    if init == "echo_state":
        radius = abs(np.linalg.eigvals(layer.reverse.W_hh.astype(float))).max()
        assert radius == pytest.approx(0.9, rel=1e-4)


def test_a_readout_can_be_fitted_to_both_halves(rng):
    # y_t = x_(t-1) + x_(t+1): neither half alone knows it.
    x = rng.standard_normal((400, 1))
    y = np.zeros_like(x)
    y[1:-1] = x[:-2] + x[2:]
    errors = {}
    for direction in ("forward", "reverse", "bidirectional"):
        net = elman.Network(
            input_size=1,
            hidden_size=40,
            output_size=1,
            output_activation="identity",
            direction=direction,
            dtype="float64",
            init=elman.EchoState(input_limit=0.1),
            seed=0,
        )
        fitted = elman.ridge_readout(net, x, y, alpha=1e-12)
        assert fitted.directions == (direction,)
        errors[direction] = np.abs(fitted(x) - y)[20:-20].mean()
    assert errors["bidirectional"] < min(errors["forward"], errors["reverse"]) / 20


@pytest.mark.any_isa
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"direction": "backward"},
            elman.ArgumentError,
            "direction of layer 0: .*'backward'",
        ),
        ({"direction": 1}, TypeError, "direction: .*int"),
        ({"direction": [1, "reverse"]}, TypeError, "direction: .*int"),
        (
            {"direction": ["reverse"]},
            elman.ArgumentError,
            "direction: .*2 layers, got 1",
        ),
        (
            {"direction": "bidirectional", "activation": [("tanh",), "tanh"]},
            elman.ArgumentError,
            "activation: .*got 1",
        ),
        ({"activation": [("tanh", "tanh"), "tanh"]}, TypeError, "activation: "),
        (
            {"direction": "bidirectional", "initial_state": np.zeros(7)},
            elman.ShapeError,
            r"initial_state: expected \(14,\), got \(7,\)",
        ),
    ],
)
def test_a_wrong_direction_is_one_clear_sentence(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        elman.Network(input_size=2, hidden_size=[3, 4], output_size=1, **options)


@pytest.mark.any_isa
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([(np.ones((3, 2)), np.ones((3, 3)), None)], r"layers\[0\]: .*got 3"),
        ([((np.ones((3, 2)), np.ones((3, 3))),) * 2], r"layers\[0\]\[0\]: .*\(W_xh, W_hh"),
        (
            [((np.ones((3, 2)), np.ones((3, 3)), None), (np.ones((4, 2)), np.ones((4, 4)), None))],
            r"layers.0.reverse.W_xh: expected \(3, 2\), got \(4, 2\)",
        ),
        (
            [((np.ones((3, 2)), np.ones((3, 3)), None), (None, np.ones((3, 3)), None))],
            "layers.0.reverse.W_xh: ",
        ),
    ],
)
def test_wrong_halves_are_one_clear_sentence(layers, message):
    with pytest.raises((elman.ShapeError, elman.ArgumentError), match=f"^{message}"):
        elman.Network.from_weights(layers, None, direction="bidirectional")


@pytest.mark.any_isa
def test_a_half_may_have_a_bias_and_the_other_none(rng, tmp_path):
    half = np.ones((3, 2)) / 2, np.eye(3) / 2
    net = elman.Network.from_weights(
        [((*half, None), (*half, np.ones(3)))], None, direction="bidirectional"
    )
    assert (net.layers[0].b_h, net.layers[0].reverse.b_h.tolist()) == (None, [1.0] * 3)
    net.save(tmp_path / "model.safetensors")
    assert elman.load(tmp_path / "model.safetensors") == net
    assert net.verify(inputs(rng, net, 9)).ok
