"""`elman.dynamics.lyapunov` beside closed forms and pairs of trajectories."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa


def linear(W):
    return elman.Network.from_weights(
        [(np.zeros((len(W), 1)), W, None)], None, activation="identity", dtype="float64"
    )


def tent(slope):
    """Return the tent map, h -> slope min(h, 1 - h), of two relu units whose difference is h.

    The map stretches by the slope everywhere, and its two units have one direction.
    """
    W = np.array([[slope, -slope], [2 * slope, -2 * slope]])
    return elman.Network.from_weights(
        [(np.zeros((2, 1)), W, [0.0, -slope])], None, activation="relu", dtype="float64"
    )


def chaotic(n=40, gain=4.0, seed=0):
    rng = np.random.default_rng(seed)
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    return elman.Network.from_weights([(np.zeros((n, 1)), W, None)], None, dtype="float64")


def test_a_linear_network_has_the_logarithms_of_its_eigenvalues(rng):
    values = np.array([1.3, 0.9, 0.5, 0.1])
    V = rng.standard_normal((4, 4))
    W = V @ np.diag(values) @ np.linalg.inv(V)
    found = elman.dynamics.lyapunov(linear(W), np.zeros((600, 1)), discard=300)
    assert found.exponents == pytest.approx(np.log(values), abs=1e-9)
    assert found.standard_error == pytest.approx(np.zeros(4), abs=1e-9)
    assert found.rates.shape == (300, 4)


def test_fewer_exponents_are_the_largest():
    W = np.diag([0.2, 0.9, 0.5])
    found = elman.dynamics.lyapunov(linear(W), np.zeros((300, 1)), n=2, discard=200)
    assert found.exponents == pytest.approx(np.log([0.9, 0.5]), abs=1e-9)


def test_the_tent_map_stretches_by_its_slope():
    net = tent(1.9)
    start = elman.reference.step(net, [0.0], [0.3, 0.0])[1]
    found = elman.dynamics.lyapunov(net, np.zeros((500, 1)), state=start)
    assert found.exponents[0] == pytest.approx(np.log(1.9), rel=1e-12)
    assert found.exponents[1] < -30  # rounding, or -inf
    assert np.ptp(found.rates[:, 0]) < 2.0


def test_a_unit_that_is_off_has_an_exponent_of_minus_infinity():
    net = elman.Network.from_weights([([[0.0]], [[1.0]], [-1.0])], None, activation="relu")
    found = elman.dynamics.lyapunov(net, np.zeros((50, 1)))
    assert found.exponents[0] == -np.inf
    assert found.dimension == 0.0
    assert json.loads(json.dumps(found.to_dict()))["exponents"] == [None]


def test_chaos_separates_trajectories_at_the_largest_exponent():
    """Two trajectories of the core 1e-8 apart, brought back to this distance every 5 steps."""
    net, T = chaotic(), 2000
    x = np.zeros((T, 1))
    start = np.full(40, 0.1)
    found = elman.dynamics.lyapunov(net, x, state=start, n=3, discard=400)
    h = net.run(x[:400], state=start).state
    other = h + 1e-8 / np.sqrt(40)
    growth = []
    for _ in range((T - 400) // 5):
        h, other = net.run(x[:5], state=h).state, net.run(x[:5], state=other).state
        distance = np.linalg.norm(other - h)
        growth.append(np.log(distance / 1e-8) / 5)
        other = h + (other - h) * 1e-8 / distance
    assert found.exponents[0] > 0.1
    assert abs(np.mean(growth) - found.exponents[0]) < 6 * found.standard_error[0] + 1e-3
    assert 1e-5 < found.standard_error[0] < 0.02
    assert (np.diff(found.exponents) < 0).all()


def test_an_input_that_drives_a_unit_enters_the_exponent(rng):
    net = elman.Network.from_weights([([[1.0]], [[0.8]], None)], None, dtype="float64")
    x = rng.standard_normal((400, 1))
    found = elman.dynamics.lyapunov(net, x, discard=0)
    h = net(x)[:, 0]
    assert found.exponents[0] == pytest.approx(np.mean(np.log(0.8 * (1 - h**2))), rel=1e-12)
    assert found.exponents[0] < np.log(0.8)


def test_a_deep_network_has_the_exponents_of_its_layers(rng):
    lower, upper = np.diag([0.9, 0.3]), np.diag([0.7, 0.5])
    net = elman.Network.from_weights(
        [(np.zeros((2, 1)), lower, None), (rng.standard_normal((2, 2)), upper, None)],
        None,
        activation="identity",
        dtype="float64",
    )
    found = elman.dynamics.lyapunov(net, np.zeros((600, 1)), discard=300)
    assert found.exponents == pytest.approx(np.log([0.9, 0.7, 0.5, 0.3]), abs=1e-9)


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [([0.4, 0.1, -1.0], 2.5), ([-0.1, -2.0], 0.0), ([0.2, -0.1, -0.2], 2.5), ([0.1, 0.0], np.nan)],
)
def test_the_dimension_is_that_of_kaplan_and_yorke(exponents, dimension):
    found = elman.dynamics.lyapunov(
        linear(np.diag(np.exp(exponents))), np.zeros((900, 1)), discard=890
    )
    assert found.dimension == pytest.approx(dimension, nan_ok=True, abs=1e-6)


def test_the_result_shows_itself_and_becomes_json():
    found = elman.dynamics.lyapunov(linear(np.diag([0.5, 0.25])), np.zeros((100, 1)))
    assert repr(found).startswith("Lyapunov(2 exponents, the largest -0.69")
    data = json.loads(json.dumps(found.to_dict()))
    assert data["exponents"] == found.exponents.tolist()
    assert data["discard"] == 10
    few = elman.dynamics.lyapunov(linear(np.eye(1)), np.zeros((5, 1)))
    assert np.isnan(few.standard_error).all()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n": 3}, elman.ArgumentError, "n: expected at most 2, the size of the state, got 3"),
        ({"n": 0}, elman.ArgumentError, "n: expected at least 1, got 0"),
        ({"discard": 10}, elman.ArgumentError, "x: expected more than 10 steps, got 10"),
        ({"x": np.zeros((0, 1))}, elman.ArgumentError, "x: expected more than 0 steps, got 0"),
        ({"x": np.zeros((3, 10, 1))}, elman.ShapeError, r"x: expected \(T, 1\), got \(3, 10, 1\)"),
        ({"x": np.zeros(10)}, elman.ShapeError, "x: expected"),
        ({"state": np.zeros((1, 2))}, elman.ShapeError, r"state: expected \(2,\), got \(1, 2\)"),
        ({"x": np.full((10, 1), np.inf)}, elman.ArgumentError, "x: expected finite numbers"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, error, says):
    given = {"net": linear(np.eye(2)), "x": np.zeros((10, 1))} | arguments
    with pytest.raises(error, match=says):
        elman.dynamics.lyapunov(**given)


def test_states_that_overflow_are_an_error():
    net = elman.Network.from_weights([([[1.0]], [[1e200]], None)], None, activation="relu")
    with pytest.raises(elman.ArgumentError, match="keep the states and their derivatives finite"):
        elman.dynamics.lyapunov(net, np.ones((10, 1)))
