"""`elman.dynamics.fixed_points` beside closed forms and extended precision."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import elman
from elman.activation import TABLE
from elman.dynamics import search
from elman.dynamics.certificate import (
    CURVATURE,
    contracts,
    curvature,
    eigenvalues,
    enclose,
    is_fixed,
    to_corner,
)
from elman.dynamics.step_map import StepMap
from elman.reference.activations import slope, steepest
from fixtures.activations import GENERAL

pytestmark = pytest.mark.any_isa


def one_unit(w, b=0.0, activation="tanh"):
    return elman.Network.from_weights([([[0.0]], [[w]], [b])], None, activation=activation)


# --- the pitchfork of one tanh unit ---------------------------------------------------------------


@pytest.mark.parametrize("w", [0.0, 0.5, 0.99, -0.9])
def test_below_the_pitchfork_zero_is_the_only_fixed_point(w):
    (point,) = elman.dynamics.fixed_points(one_unit(w), n=30)
    assert abs(point.state[0]) <= point.radius < 1e-13
    assert point.stable is True
    assert point.unstable == 0
    assert point.eigenvalues[0] == pytest.approx(w, abs=1e-15)
    assert point.starts == 30


@pytest.mark.parametrize("w", [1.01, 1.5, 3.0])
def test_above_the_pitchfork_there_are_three(mpmath, w):
    points = elman.dynamics.fixed_points(one_unit(w), n=60)
    assert len(points) == 3
    zero, (low, high) = points[2], sorted(points.stable, key=lambda p: p.state[0])
    exact = mpmath.findroot(lambda h: mpmath.tanh(mpmath.mpf(w) * h) - h, float(high.state[0]))
    assert abs(float(exact - mpmath.mpf(float(high.state[0])))) <= high.radius < 1e-13
    assert low.state[0] == pytest.approx(-high.state[0], abs=1e-13)
    assert abs(zero.state[0]) < 1e-14
    assert (zero.stable, zero.unstable) == (False, 1)
    assert zero.eigenvalues[0] == pytest.approx(w, rel=1e-14)
    assert high.eigenvalues[0].real == pytest.approx(w * (1 - float(exact) ** 2), rel=1e-12)


def test_at_the_pitchfork_nothing_is_proved():
    (point,) = elman.dynamics.fixed_points(one_unit(1.0), n=60)
    assert abs(point.state[0]) < 1e-6
    assert point.stable is None
    assert point.unstable == 0
    assert point.radius is None


def test_points_that_are_close_but_distinct_are_kept_apart():
    """Just above the pitchfork they are at 0 and +-sqrt(3 (w - 1)), 2e-4 apart."""
    states = [[-1e-3], [1e-6], [1e-3]]
    points = elman.dynamics.fixed_points(one_unit(1 + 2.0**-26), states=states, distance=1e-3)
    want = np.sqrt(3 * 2.0**-26) * np.array([-1, 0, 1])
    assert np.sort(points.states[:, 0]) == pytest.approx(want, abs=1e-9)


def test_at_a_fold_stability_is_open():
    """Two points meet where tanh(w h + b) = h and cosh(w h + b)^2 = w."""
    w = 2.0
    z = np.arccosh(np.sqrt(w))
    net = elman.Network.from_weights(
        [([[0.0]], [[w]], [w * np.tanh(z) - z])], None, dtype="float64"
    )
    points = elman.dynamics.fixed_points(net, n=60)
    (fold,) = [point for point in points if point.state[0] < 0]
    assert fold.state[0] == pytest.approx(-np.tanh(z), abs=1e-7)
    assert (fold.kind, fold.stable, fold.radius) == ("fixed", None, None)


def test_a_negative_weight_leaves_a_two_cycle_around_an_unstable_point():
    (point,) = elman.dynamics.fixed_points(one_unit(-2.0), n=60)
    assert point.stable is False
    assert point.eigenvalues[0] == pytest.approx(-2.0)


# --- linear networks ------------------------------------------------------------------------------


def linear(W, b):
    return elman.Network.from_weights(
        [(np.zeros((len(W), 1)), W, b)], None, activation="identity", dtype="float64"
    )


@pytest.mark.parametrize(("factor", "stable"), [(0.9, True), (1.1, False), (1.0, None)])
def test_a_rotation_has_the_eigenvalues_of_its_angle(factor, stable):
    turn = factor * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    (point,) = elman.dynamics.fixed_points(linear(turn, [1.0, 2.0]), n=5)
    want = np.linalg.solve(np.eye(2) - turn, [1.0, 2.0])
    assert np.abs(point.state - want).max() <= point.radius + 1e-13
    assert point.radius < 1e-12
    assert sorted(np.angle(point.eigenvalues)) == pytest.approx([-0.3, 0.3])
    assert np.abs(point.eigenvalues) == pytest.approx(factor)
    assert point.stable is stable


def test_a_line_attractor_is_found_as_a_line():
    """W = I - (I - u u^T) / 2: every multiple of u is fixed, and other directions shrink."""
    u = np.array([0.6, 0.8, 0.0])
    points = elman.dynamics.fixed_points(
        linear((np.eye(3) + np.outer(u, u)) / 2, np.zeros(3)), n=50, distance=0.01
    )
    assert len(points) > 20
    for point in points:
        assert np.abs(point.state - u * (u @ point.state)).max() < 1e-14
        assert point.stable is None
        assert point.radius is None
        assert np.abs(point.eigenvalues) == pytest.approx([1.0, 0.5, 0.5])
    along = np.sort(points.states @ u)
    assert np.diff(along).min() > 0.01 * 0.99


def test_distances_on_a_line_are_relative_to_large_states():
    u = np.array([0.6, 0.8])
    net = linear((np.eye(2) + np.outer(u, u)) / 2, np.zeros(2))
    states = np.linspace(1000, 1001, 50)[:, None] * u
    assert len(elman.dynamics.fixed_points(net, states=states, distance=1e-3)) <= 2
    assert len(elman.dynamics.fixed_points(net, states=states / 1000, distance=1e-4)) > 5


def test_a_matrix_that_is_singular_to_the_bit_stops_no_search():
    """I - W = [[1, 1], [1, 1]] / 2: fixed where h_1 = -h_2."""
    points = elman.dynamics.fixed_points(linear(np.array([[0.5, -0.5], [-0.5, 0.5]]), [0, 0]), n=9)
    assert sum(point.starts for point in points) == 9
    assert np.abs(points.states.sum(axis=1)).max() < 1e-14


def test_the_identity_is_fixed_everywhere():
    points = elman.dynamics.fixed_points(linear(np.eye(2), np.zeros(2)), n=10)
    assert len(points) == 10
    assert all(point.residual == 0 and point.stable is None for point in points)


def test_a_network_without_fixed_points_has_none():
    points = elman.dynamics.fixed_points(linear(np.eye(2), np.ones(2)), n=10)
    assert len(points) == 0
    assert points.unfinished == 10
    assert points.states.shape == (0, 2)
    assert str(points).splitlines()[1:] == []


# --- slow points ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1e-4, 1e-2])
def test_the_ghost_of_a_fold_is_a_slow_point(gap):
    """q has a minimum where F'(h) = 1, so where cosh(z)^2 = w, after two fixed points have met."""
    w = 2.0
    z = np.arccosh(np.sqrt(w))
    b = np.tanh(z) * w - z + gap  # at b - gap: F(-tanh z) = -tanh z and F' = 1
    net = one_unit(w, b)
    assert len(elman.dynamics.fixed_points(net, n=50)) == 1
    points = elman.dynamics.fixed_points(net, n=50, slow=1e-3)
    assert [point.kind for point in points] == ["fixed", "slow"]
    slow = points[1]
    assert slow.state[0] == pytest.approx((-z - b) / w, abs=1e-5)
    assert slow.speed == pytest.approx(0.5 * (np.tanh(-z) - (-z - b) / w) ** 2, rel=1e-6)
    assert slow.residual > slow.bound
    assert slow.radius is None
    assert len(elman.dynamics.fixed_points(net, n=50, slow=slow.speed / 2)) == 1


def test_a_search_that_is_cut_short_ends_in_no_slow_point():
    net = one_unit(2.0, 0.54)
    for point in elman.dynamics.fixed_points(net, n=50, slow=10.0, iterations=1):
        assert point.kind == "fixed"


# --- proofs ---------------------------------------------------------------------------------------


def exact_point(mpmath, net, state, x):
    """Return the fixed point nearest to a state in 50 digits, as a list."""
    f = {
        "tanh": mpmath.tanh,
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "softsign": lambda v: v / (1 + abs(v)),
        "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
    }
    matrices = [
        (mpmath.matrix(l.W_xh.tolist()), mpmath.matrix(l.W_hh.tolist()), l.b_h.tolist())
        for l in net.layers
    ]

    def equations(*h):
        below, at, values = mpmath.matrix(list(map(float, x))), 0, []
        for layer, (W_xh, W_hh, b_h) in zip(net.layers, matrices, strict=True):
            own = mpmath.matrix(h[at : at + W_hh.rows])
            z = W_hh * own + W_xh * below + mpmath.matrix(b_h)
            values += [own[i] - f[layer.activation.name](z[i]) for i in range(W_hh.rows)]
            below, at = own, at + W_hh.rows
        return values

    root = mpmath.findroot(equations, [mpmath.mpf(float(v)) for v in state], tol=1e-70)
    return list(root)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softsign", "softplus"])
@pytest.mark.parametrize("hidden", [[3], [2, 2]], ids=str)
def test_an_exact_fixed_point_is_within_the_radius(mpmath, rng, activation, hidden):
    net = elman.Network(2, hidden, None, activation=activation, dtype="float32", seed=5)
    net = net.replace(
        tensors={name: 1.5 * w for name, w in net.tensors().items() if name.endswith("W_hh")}
    )
    x = rng.standard_normal(2).astype(np.float32)
    points = elman.dynamics.fixed_points(net, x, n=20)
    assert len(points) >= 1
    for point in points:
        assert point.kind == "fixed"
        assert point.radius < 1e-12
        exact = exact_point(mpmath, net, point.state, x)
        off = max(
            abs(one - mpmath.mpf(float(v))) for one, v in zip(exact, point.state, strict=True)
        )
        assert off <= point.radius


@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-5, 1e-2, 1.0])
def test_the_ball_around_a_state_that_is_off_contains_the_exact_point(mpmath, rng, size):
    net = elman.Network(2, [3, 2], None, dtype="float64", seed=5)
    x = rng.standard_normal(2)
    (point,) = elman.dynamics.fixed_points(net, x, n=5)
    exact = exact_point(mpmath, net, point.state, x)
    of_step = StepMap(net, "test")
    for _ in range(20):
        h = point.state + size * rng.uniform(-1, 1, 5)
        off = max(abs(one - mpmath.mpf(float(v))) for one, v in zip(exact, h, strict=True))
        radius, change = enclose(of_step, h, x)
        if size < 0.1:
            assert off <= radius < 10 * off + 1e-13
        else:
            assert radius is None or off <= radius
        if radius is not None:
            J, at_point = elman.dynamics.jacobian(net, [h, point.state], x).state
            blocks = np.abs(J - at_point) * np.kron(np.eye(2), np.ones((3, 3)))[:5, :5]
            assert (blocks.sum(axis=1) <= change).all()


def test_stability_can_be_shown_without_eigenvectors():
    """The eigenvalues of a delay line are 0, with a single eigenvector."""
    (point,) = elman.dynamics.fixed_points(linear(3 * np.eye(6, k=-1), np.ones(6)), n=5)
    assert point.stable is True
    assert point.state == pytest.approx((3.0 ** np.arange(1, 7) - 1) / 2)


@pytest.mark.parametrize("size", [2, 9])
def test_a_matrix_contracts_if_its_spectral_radius_is_below_1(rng, size):
    for _ in range(200):
        J = rng.standard_normal((size, size)) * 3.0 ** rng.uniform(-2, 0, (size, 1))
        J /= np.abs(np.linalg.eigvals(J)).max()
        assert contracts(0.9 * J, 1e-14)
        assert not contracts((1 + 1e-12) * J, 0.0)
        assert not contracts(0.99 * J, 0.011)


@pytest.mark.parametrize("error", [0.0, 1e-6])
def test_eigenvalues_of_nearby_matrices_are_as_near_as_is_said(mpmath, rng, error):
    for _ in range(10):
        J = rng.standard_normal((4, 4)) * 3.0 ** rng.uniform(-2, 0, (4, 1))
        values, distance = eigenvalues(J, error)
        near = mpmath.matrix(J.tolist()) + error / 4 * mpmath.matrix(
            rng.choice([-1.0, 1.0], (4, 4)).tolist()
        )
        exact, _ = mpmath.eig(near)
        off = max(min(abs(one - mpmath.mpmathify(v)) for v in values.tolist()) for one in exact)
        assert off <= distance < 1e4 * (error + 1e-14)


@pytest.mark.parametrize("activation", ["tanh", *GENERAL], ids=str)
def test_every_activation_has_certified_points(activation):
    net = elman.Network(2, [6, 4], 1, activation=activation, seed=2)
    for point in elman.dynamics.fixed_points(net, [0.3, -0.2], n=20):
        assert point.residual <= point.bound < 1e-13
        after = elman.reference.step(net, [0.3, -0.2], point.state)[1]
        assert np.abs(after - point.state).max() < 1e-13
        if point.radius is not None:
            assert point.radius < 1e-11


ELEMENTWISE = {name: kind.numbers for name, kind in TABLE.items() if kind.in_layers}
WITH_DEFAULTS = [name for name, numbers in ELEMENTWISE.items() if None not in numbers.values()]


@pytest.mark.parametrize("activation", [*WITH_DEFAULTS, *GENERAL], ids=str)
def test_the_slopes_change_as_the_proof_takes_them_to(activation):
    """The tables of the largest |f'| and |f''| and of corners, beside a fine grid."""
    net = elman.Network(1, 1, None, activation=activation, dtype="float64", seed=0)
    f = net.layers[0].activation
    z = np.linspace(-6, 6, 120_001) + 1e-5  # no corner is on the grid
    f_prime, step = slope(net, f, z), z[1] - z[0]
    corner = to_corner(net, f, (z[1:] + z[:-1]) / 2) < step
    change = np.abs(np.diff(f_prime)[~corner]) / step
    least = 0.0 if f.clip else 0.99  # a clip may cut off where they are largest
    assert least * steepest(net, f) <= np.abs(f_prime).max() <= steepest(net, f)
    assert least * curvature(net, f) <= change.max() + 1e-9 <= curvature(net, f) + 2e-9
    assert corner.sum() <= 8


def test_the_proof_knows_every_activation_of_a_layer():
    assert CURVATURE.keys() == ELEMENTWISE.keys()


@pytest.mark.parametrize("activation", ["relu", elman.Activation("tanh", clip=0.4)], ids=str)
def test_nothing_is_proved_at_a_corner(activation):
    """Without a bias relu's z is 0 at the fixed point 0; tanh is clipped at 0.4."""
    if activation == "relu":
        points = elman.dynamics.fixed_points(one_unit(0.5, 0.0, activation), n=10)
    else:
        z = 0.4
        points = elman.dynamics.fixed_points(one_unit(z / np.tanh(z), 0.0, activation), n=40)
        points = [point for point in points if abs(point.state[0]) > 0.1]
    assert points
    for point in points:
        assert point.kind == "fixed"
        assert point.radius is None


def test_at_a_corner_with_a_slope_above_1_on_one_side_stability_is_open():
    (point,) = elman.dynamics.fixed_points(one_unit(2.0, 0.0, "relu"), n=10)
    assert abs(point.state[0]) < 1e-30
    assert point.stable is None


def test_a_point_beside_a_fixed_one_is_not_called_fixed():
    net = elman.Network(2, 16, None, seed=0)
    of_step = StepMap(net, "test")
    (point,) = elman.dynamics.fixed_points(net, n=5)
    assert is_fixed(of_step, point.state, np.zeros(2))
    for error in (1e-12, -1e-12):
        moved = point.state.copy()
        moved[7] += error
        assert not is_fixed(of_step, moved, np.zeros(2))


# --- deep networks --------------------------------------------------------------------------------


def test_a_deep_network_has_the_points_of_its_layers():
    """Two units in a chain: the lower one has 3 points, the upper 3 for each of them."""
    net = elman.Network.from_weights(
        [([[0.0]], [[2.0]], None), ([[0.1]], [[3.0]], None)], None, dtype="float64"
    )
    points = elman.dynamics.fixed_points(net, n=300)
    assert len(points) == 9
    assert len(points.stable) == 4
    for point in points:
        J = elman.dynamics.jacobian(net, point.state).state
        want = np.sort(np.linalg.eigvals(J).real)
        assert np.sort(point.eigenvalues.real) == pytest.approx(want)
        assert point.unstable == (np.abs(want) > 1).sum()
        below = elman.dynamics.fixed_points(one_unit(2.0), n=60).states[:, 0]
        assert np.abs(below - point.state[0]).min() < 1e-13


# --- starts and results ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_points(rng):
    net = elman.Network(2, 8, 2, seed=0).replace(
        tensors={"layers.0.W_hh": 2.0 * rng.standard_normal((8, 8))}
    )
    one, other = (elman.dynamics.fixed_points(net, n=50, seed=7) for _ in range(2))
    assert (one.states == other.states).all()
    assert sum(point.starts for point in one) + one.unfinished == one.starts == 50


def test_starts_are_drawn_from_given_states():
    net = one_unit(2.0)
    points = elman.dynamics.fixed_points(net, n=20, states=np.full((4, 5, 1), 0.9))
    assert len(points) == 1
    assert points[0].state[0] == pytest.approx(0.9575, abs=1e-4)
    between = elman.dynamics.fixed_points(net, n=200, states=[[-0.9], [0.9]])
    assert len(between) == 3


def test_the_search_in_blocks_finds_the_same(monkeypatch, rng):
    net = elman.Network(2, 8, 2, seed=0).replace(
        tensors={"layers.0.W_hh": 2.0 * rng.standard_normal((8, 8))}
    )
    whole = elman.dynamics.fixed_points(net, n=40)
    monkeypatch.setattr(search, "_BLOCK_VALUES", 7 * 64)
    parts = elman.dynamics.fixed_points(net, n=40)
    assert len(whole) == len(parts)
    assert np.abs(whole.states - parts.states).max() < 1e-12


def test_no_step_of_the_search_makes_a_state_faster(rng):
    net = elman.Network(2, 20, None, dtype="float64", seed=0).replace(
        tensors={"layers.0.W_hh": 3 / np.sqrt(20) * rng.standard_normal((20, 20))}
    )
    of_step, x = StepMap(net, "test"), np.zeros(2)

    def speeds(h):
        return np.square(elman.reference.step(net, x, h)[1] - h).sum(axis=-1)

    states = rng.uniform(-1, 1, (30, 20))
    last = speeds(states)
    for iterations in range(1, 15):
        ends, _ = search.search(of_step, states, x, lambda h: is_fixed(of_step, h, x), iterations)
        assert (speeds(ends) <= last * (1 + 1e-12)).all()
        last = speeds(ends)
    assert (last < 1e-3).any()


def test_points_are_a_sequence_with_a_table():
    points = elman.dynamics.fixed_points(one_unit(2.0), n=20)
    assert len(points) == len(list(points)) == len(str(points).splitlines()) - 1
    assert points[0] is points[:1][0]
    assert points.states.shape == (3, 1)
    page = points._repr_html_()
    assert page.count("<tr>") == 4
    assert "3 fixed, 2 of them stable" in page
    many = dataclasses.replace(points, points=points.points * 11)._repr_html_()
    assert many.count("<tr>") == 31
    assert "<p>... 3 more points</p>" in many
    data = json.loads(json.dumps(points.to_dict()))
    assert data["points"][0]["state"] == points[0].state.tolist()
    assert data["points"][0]["eigenvalues"] == [[points[0].eigenvalues[0].real, 0.0]]
    assert data["points"][2]["stable"] is False
    assert repr(points[2]).startswith("FixedPoint(fixed, 1 unstable, |eigenvalue| 2, residual ")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"x": np.zeros((1, 2))}, elman.ShapeError, r"x: expected \(2,\), one constant input"),
        ({"x": np.zeros(3)}, elman.ShapeError, r"x: expected \(..., 2\)"),
        ({"n": 0}, elman.ArgumentError, "n: expected at least 1, got 0"),
        ({"slow": 0.0}, elman.ArgumentError, "slow: expected a number above 0"),
        ({"distance": -1}, elman.ArgumentError, "distance: expected a number above 0"),
        ({"iterations": 0}, elman.ArgumentError, "iterations: expected at least 1"),
        ({"states": np.zeros((0, 3))}, elman.ArgumentError, "states: expected at least one"),
        ({"states": np.zeros(4)}, elman.ShapeError, r"states: expected \(..., 3\), got"),
        ({"seed": -1}, elman.ArgumentError, "seed: expected at least 0"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, error, says):
    with pytest.raises(error, match=says):
        elman.dynamics.fixed_points(elman.Network(2, 3, 1, seed=0), **arguments)


def test_layers_must_run_forward():
    net = elman.Network(2, 3, 1, direction="bidirectional", seed=0)
    with pytest.raises(elman.ArgumentError, match="fixed_points: expected layers that all run"):
        elman.dynamics.fixed_points(net)


@pytest.fixture(scope="module")
def mpmath():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(80):
        yield mpmath


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("activation", ["tanh", "relu", elman.Activation("affine", 1e300, 0.0)])
def test_a_state_with_an_infinite_bound_is_not_fixed(activation):
    W = np.full((2, 2), 1e300)
    net = elman.Network.from_weights(
        [(W[:, :1], W, None)], None, activation=activation, dtype="float64"
    )
    starts = np.full((1, 2), 1e100)
    points = elman.dynamics.fixed_points(net, n=4, states=starts, slow=1e300, iterations=20)
    assert all(np.isfinite(point.bound) for point in points if point.kind == "fixed")
