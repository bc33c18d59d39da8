"""`elman.dynamics.memory_curve` beside closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa


def linear(W_xh, W_hh, dtype="float64", **options):
    return elman.Network.from_weights(
        [(W_xh, W_hh, None)], None, activation="identity", dtype=dtype, **options
    )


def test_one_linear_unit_forgets_by_its_weight():
    """h = sum of a^k x_(t-k): the squared correlation with x_(t-k) is a^(2k) (1 - a^2)."""
    a = 0.8
    curve = elman.dynamics.memory_curve(linear([[1.0]], [[a]]), lags=8, steps=40_000)
    want = a ** (2 * np.arange(9)) * (1 - a**2)
    assert np.abs(curve.r2 - want).max() < 0.02  # 3 / sqrt(20,000)
    assert curve.capacity == pytest.approx(want.sum(), abs=0.05)


def test_a_delay_line_remembers_as_many_inputs_as_it_has_units():
    curve = elman.dynamics.memory_curve(linear(np.eye(6, 1), np.eye(6, k=-1)), lags=9)
    assert curve.r2[:6] == pytest.approx(np.ones(6), abs=1e-12)
    assert np.abs(curve.r2[6:]).max() < 0.01
    assert curve.lags.tolist() == list(range(10))


def test_a_linear_network_has_the_capacity_of_its_units(rng):
    """Jaeger 2002, proposition 2, for distinct eigenvalues."""
    W = np.linalg.qr(rng.standard_normal((8, 8)))[0] * 0.7
    curve = elman.dynamics.memory_curve(linear(rng.standard_normal((8, 1)), W), lags=60)
    assert curve.capacity == pytest.approx(8, abs=0.1)
    assert (np.diff(curve.r2[:10]) < 0.01).all()


def test_a_saturated_network_remembers_less_than_a_linear_one():
    net = elman.Network(1, 30, None, init=elman.EchoState(spectral_radius=0.9), seed=0)
    small, large = (elman.dynamics.memory_curve(net, scale=scale) for scale in (0.01, 3.0))
    assert large.capacity < small.capacity < 30.5
    assert len(small.r2) == 61


def test_two_inputs_share_the_units():
    """Two delay lines of three and two units."""
    W_xh = np.zeros((5, 2))
    W_xh[0, 0] = W_xh[3, 1] = 1.0
    W_hh = np.diag([1.0, 1.0, 0.0, 1.0], k=-1)
    curve = elman.dynamics.memory_curve(linear(W_xh, W_hh), lags=4)
    assert curve.by_input.shape == (5, 2)
    want = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [0, 0]])
    assert curve.by_input == pytest.approx(want, abs=0.01)
    assert curve.r2 == pytest.approx(want.mean(axis=1), abs=0.01)
    assert curve.capacity == pytest.approx(5, abs=0.05)


def test_the_scaling_of_the_network_does_not_matter():
    plain = elman.Network(1, 3, None, dtype="float64", seed=0)
    scaled = plain.replace(tensors={"input_mean": [1e3], "input_std": [50.0]})
    one, other = (elman.dynamics.memory_curve(net, steps=500) for net in (plain, scaled))
    assert other.r2 == pytest.approx(one.r2, abs=1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_the_scale_is_the_standard_deviation_of_uniform_inputs(scale):
    """Without recurrence h = tanh(x), and R^2 is the squared correlation of x and tanh(x)."""
    net = elman.Network.from_weights([([[1.0]], [[0.0]], None)], None, dtype="float64")
    curve = elman.dynamics.memory_curve(net, lags=0, scale=scale, steps=40_000)
    x = np.sqrt(3.0) * scale * (np.arange(100_000) + 0.5) / 100_000
    h = np.tanh(x)
    want = np.mean(x * h) ** 2 / (np.mean(x * x) * np.mean(h * h))
    assert curve.r2[0] == pytest.approx(want, abs=0.002)


def test_the_seed_determines_the_curve():
    net = elman.Network(1, 5, None, seed=0)
    one, same, other = (elman.dynamics.memory_curve(net, steps=500, seed=s) for s in (1, 1, 2))
    assert (one.r2 == same.r2).all()
    assert (one.r2 != other.r2).any()
    data = json.loads(json.dumps(one.to_dict()))
    assert data["capacity"] == one.capacity
    assert data["lags"] == list(range(11))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"steps": 10}, elman.ArgumentError, "steps: expected at least 16, 4 for each unit"),
        ({"lags": -1}, elman.ArgumentError, "lags: expected at least 0"),
        ({"scale": 0}, elman.ArgumentError, "scale: expected a number above 0"),
        ({"washout": -1}, elman.ArgumentError, "washout: expected at least 0"),
        ({"net": None}, elman.ArgumentTypeError, "net: expected an elman.Network"),
        (
            {"net": elman.Network(1, 3, None, direction="reverse", seed=0)},
            elman.ArgumentError,
            "memory_curve: expected layers that all run forward",
        ),
        (
            {"net": linear([[1.0]], [[2.0]], "float32")},
            elman.ArgumentError,
            "net: expected a network whose states stay finite",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, error, says):
    with pytest.raises(error, match=says):
        elman.dynamics.memory_curve(**{"net": elman.Network(1, 3, None, seed=0)} | arguments)
