"""The plain Python network against exact arithmetic, PyTorch and the NumPy reference."""

from __future__ import annotations

import math
import pathlib
import subprocess
import sys

import mpmath
import numpy as np
import pytest

import elman
from elman import pure, reference
from fixtures.exact import exact_run
from fixtures.networks import EXACT_CASES, make_inputs, make_network

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
NAN, INF = math.nan, math.inf


def assert_close(got, want, tolerance=1e-12):
    np.testing.assert_allclose(np.array(got).reshape(want.shape), want, tolerance, tolerance)


# --- the activations ------------------------------------------------------------------------------


def test_the_sigmoid_is_accurate_in_both_tails():
    for z in (-1e300, -745.0, -709.0, -40.0, -1.0, -1e-9, 0.0, 0.5, 37.0, 800.0):
        with mpmath.workdps(50):
            want = float(1 / (1 + mpmath.exp(-mpmath.mpf(z)))) if z > -1e3 else 0.0
        assert pure.sigmoid([z])[0] == pytest.approx(want, rel=4e-16, abs=1e-323), z


def test_softmax_does_not_overflow():
    got = pure.softmax([1000.0, 999.0, -1000.0])
    assert got == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0], rel=1e-15)


def test_log_softmax_does_not_overflow():
    got = pure.log_softmax([1000.0, 999.0, -1000.0, -INF])
    log = math.log1p(math.exp(-1))
    assert got == pytest.approx([-log, -1 - log, -2000 - log, -INF], rel=1e-15)


@pytest.mark.parametrize(
    ("name", "at_minus_infinity", "at_infinity"),
    [("tanh", -1, 1), ("sigmoid", 0, 1), ("relu", 0, INF), ("identity", -INF, INF)],
)
def test_an_activation_takes_its_limits_at_infinity_and_keeps_nan(
    name, at_minus_infinity, at_infinity
):
    got = getattr(pure, name)([-INF, INF, NAN])
    np.testing.assert_array_equal(got, [at_minus_infinity, at_infinity, NAN])


@pytest.mark.parametrize(
    ("name", "numbers", "want"),
    [
        ("leaky_relu", (0.1,), [-INF, INF, NAN, -80.0, 800.0]),
        ("elu", (2.0,), [-2.0, INF, NAN, -2.0, 800.0]),
        ("thresholded_relu", (1.0,), [0.0, INF, NAN, 0.0, 800.0]),
        ("hard_sigmoid", (0.2, 0.5), [0.0, 1.0, NAN, 0.0, 1.0]),
        ("softsign", (), [-1.0, 1.0, NAN, -800 / 801, 800 / 801]),
        ("softplus", (), [0.0, INF, NAN, 0.0, 800.0]),
        ("scaled_tanh", (3.0, 0.5), [-3.0, 3.0, NAN, -3.0, 3.0]),
        ("affine", (2.0, 1.0), [-INF, INF, NAN, -1599.0, 1601.0]),
    ],
)
def test_an_activation_with_parameters_takes_its_limits_and_keeps_nan(name, numbers, want):
    got = getattr(pure, name)([-INF, INF, NAN, -800.0, 800.0], *numbers)
    np.testing.assert_allclose(got, want, rtol=1e-15)


@pytest.mark.parametrize("z", [[NAN, 1.0, 5000.0], [5000.0, NAN, -1.0], [INF, 0.0, 1.0]])
def test_softmax_of_nan_or_infinity_is_nan(z):
    assert all(map(math.isnan, pure.softmax(z)))
    assert all(map(math.isnan, pure.log_softmax(z)))


# --- the network ----------------------------------------------------------------------------------


def test_a_network_of_integers_is_computed_exactly():
    net = elman.Network.from_weights(
        [([[1, 2], [3, 4]], [[0, 1], [-1, 2]], [5, 6])],
        ([[1, -1]], None),
        activation="identity",
        output_activation="identity",
        dtype="float64",
    )
    y, state = pure.run(pure.weights(net), [[1, 1], [0, 2]], state=[1, 10])
    # h_1 = (3 + 10 + 5, 7 - 1 + 20 + 6), h_2 = (4 + 32 + 5, 8 - 18 + 64 + 6)
    assert y == [[-14], [-19]]
    assert state == [41, 60]


@pytest.mark.parametrize("options", EXACT_CASES, ids=str)
def test_run_agrees_with_exact_arithmetic(rng, options):
    net = make_network(rng, **options)
    x = make_inputs(rng, net, 5)
    y, state = pure.run(pure.weights(net), x.tolist())
    output, hidden = exact_run(net, x)
    assert_close(y, output)
    assert_close(state, hidden[-1])


def test_run_agrees_with_pytorch_through_the_public_api():
    arrays = np.load(FIXTURES / "torch_rnn.npz")
    for case in sorted({name.partition(".")[0] for name in arrays}):
        activation, layers, head, dtype = case.split("-")
        names = [f"{case}.layers.{index}" for index in range(int(layers))]
        net = elman.Network.from_weights(
            [[arrays.get(f"{name}.{w}") for w in ("W_xh", "W_hh", "b_h")] for name in names],
            (arrays[f"{case}.readout.W_hy"], arrays.get(f"{case}.readout.b_y")),
            activation=activation,
            output_activation=head,
        )
        w = pure.weights(net)
        tolerance = 1e-13 if dtype == "float64" else 1e-5
        for b, length in enumerate(arrays[f"{case}.lengths"]):
            x, start = arrays[f"{case}.x"][b, :length], arrays[f"{case}.state"][b]
            y, state = pure.run(w, x.tolist(), start.tolist())
            assert_close(y, arrays[f"{case}.output"][b, :length], tolerance)
            assert_close(state, arrays[f"{case}.final_state"][b], tolerance)


def test_run_agrees_with_the_reference_over_a_long_sequence(rng):
    net = make_network(rng, hidden=(17, 9), scaling=True, initial_state=True, scale=0.8)
    x = make_inputs(rng, net, 300)
    y, state = pure.run(pure.weights(net), x.tolist())
    run = reference.run(net, x)
    assert_close(y, run.output)
    assert_close(state, run.state)


def test_run_is_step_after_step_and_changes_nothing_that_it_is_given(rng):
    net = make_network(rng, hidden=(3, 4), outputs=None)
    w = pure.weights(net)
    x = make_inputs(rng, net, 5).tolist()
    start = [0.25] * 7
    h, want = list(start), []
    for x_t in x:
        y_t, h = pure.step(w, tuple(x_t), tuple(h))
        want.append(y_t)
    before = [list(x_t) for x_t in x]
    assert pure.run(w, iter(x), start) == (want, h)
    assert x == before
    assert start == [0.25] * 7
    y, state = pure.run(w, [], start)
    assert y == []
    assert state == start
    assert state is not start


def test_a_network_in_place_of_its_weights_is_refused_with_the_remedy(rng):
    net = make_network(rng)
    x = make_inputs(rng, net, 5).tolist()
    for call in (lambda: pure.run(net, x), lambda: pure.step(net, x[0], [0.0] * 4)):
        with pytest.raises(elman.ArgumentTypeError, match=r"^w: .*: use elman.pure.weights\(net\)"):
            call()


def test_the_results_are_lists_of_python_floats(rng):
    net = make_network(rng, scaling=True)
    y, state = pure.step(pure.weights(net), [1, 2, 3], [0] * 4)
    assert {type(v) for v in [*y, *state]} == {float}


def test_nan_and_infinities_propagate(rng):
    net = make_network(rng, hidden=(3, 4), output_activation="softmax")
    w = pure.weights(net)
    for value in (NAN, INF, -INF):
        x = make_inputs(rng, net, 3)
        x[1, 0] = value
        y, state = pure.run(w, x.tolist())
        run = reference.run(net, x)
        assert_close(y, run.output)
        assert_close(state, run.state)


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        ([1.0] * 2, [0.0] * 4, "^x: .*3.*2"),
        ([1.0] * 4, [0.0] * 4, "^x: .*3.*4"),
        ([1.0] * 3, [0.0] * 5, "^state: .*4.*5"),
    ],
)
def test_a_wrong_length_is_refused(rng, x, state, message):
    with pytest.raises(ValueError, match=message):
        pure.step(pure.weights(make_network(rng)), x, state)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_state_of_a_wrong_length_is_refused_by_run(direction):
    net = elman.Network(3, 4, 2, seed=0, direction=direction)
    got = net.state_size + 1
    with pytest.raises(ValueError, match=rf"^state: .*{net.state_size}.*{got}"):
        pure.run(pure.weights(net), [[1.0] * 3] * 2, [0.0] * got)


def test_nothing_but_math_is_imported():
    code = f"""
import importlib.util, sys
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pure", {pure.__file__!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-I", "-S", "-c", code]
    new = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(new) <= {"__future__", "math"}
