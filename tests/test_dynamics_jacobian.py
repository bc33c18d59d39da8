"""`elman.dynamics.jacobian` and `linearize`, beside finite differences of the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elman
from fixtures.activations import GENERAL, UNTRAINABLE

pytestmark = pytest.mark.any_isa

EPS = 1e-6
NAMED = ("tanh", "relu", "sigmoid", "identity")


def differences(f, at):
    """Return the central differences (outputs, len(at)) of f at a vector."""
    columns = [(f(at + EPS * e) - f(at - EPS * e)) / (2 * EPS) for e in np.eye(len(at))]
    return np.stack(columns, axis=-1)


def smooth_point(net, rng):
    """Return a state and an input between the corners of the activations: differences agree."""

    def of_state(x, state):
        return differences(lambda h: elman.reference.step(net, x, h)[1], state)

    for _ in range(100):
        state, x = rng.standard_normal(net.state_size), rng.standard_normal(net.input_size)
        if np.abs(of_state(x, state) - of_state(x, state + 1e-4)).max() < 0.01:
            return state, x
    raise AssertionError("no smooth point")


@pytest.mark.parametrize("activation", [*NAMED, *GENERAL, *UNTRAINABLE], ids=str)
@pytest.mark.parametrize("hidden", [[5], [4, 3, 5]], ids=str)
def test_the_derivatives_are_those_of_finite_differences(rng, activation, hidden):
    net = elman.Network(
        input_size=2,
        hidden_size=hidden,
        output_size=None,
        activation=activation,
        dtype="float64",
        seed=3,
        input_mean=[0.5, -1.0],
        input_std=[2.0, 0.3],
    )
    state, x = smooth_point(net, rng)
    found = elman.dynamics.jacobian(net, state, x)
    of_state = differences(lambda h: elman.reference.step(net, x, h)[1], state)
    of_input = differences(lambda v: elman.reference.step(net, v, state)[1], x)
    assert np.abs(found.state - of_state).max() < 1e-8
    assert np.abs(found.input - of_input).max() < 1e-8
    assert (
        np.abs(found.state).max() > 0.01 or "clip" in str(activation) or "thresh" in str(activation)
    )


@pytest.mark.parametrize(
    "g", ["identity", "sigmoid", "softmax", "log_softmax", elman.Activation("tanh", clip=0.4), None]
)
def test_a_linear_system_has_the_derivatives_of_the_outputs(rng, g):
    net = elman.Network(
        input_size=2,
        hidden_size=[4, 3],
        output_size=None if g is None else 3,
        output_activation="sigmoid" if g is None else g,
        dtype="float64",
        seed=1,
        input_std=[2.0, 0.3],
        output_mean=[1.0, 2.0, 3.0],
        output_std=[0.5, 2.0, 3.0],
    )
    state, x = 0.1 * rng.standard_normal(net.state_size), 0.1 * rng.standard_normal(2)
    system = elman.dynamics.linearize(net, state, x)
    y, after = elman.reference.step(net, x, state)
    assert (system.output == y).all()
    assert (system.next_state == after).all()
    for name, want in {
        "A": differences(lambda h: elman.reference.step(net, x, h)[1], state),
        "B": differences(lambda v: elman.reference.step(net, v, state)[1], x),
        "C": differences(lambda h: elman.reference.step(net, x, h)[0], state),
        "D": differences(lambda v: elman.reference.step(net, v, state)[0], x),
    }.items():
        assert np.abs(getattr(system, name) - want).max() < 1e-8, name
        assert np.abs(want).max() > 1e-3, name


def test_scipy_runs_the_linear_system(rng):
    signal = pytest.importorskip("scipy.signal")
    net = elman.Network(
        2, [4, 3], 2, activation="identity", output_activation="identity", dtype="float64", seed=0
    )
    system = elman.dynamics.linearize(net, np.zeros(7), np.zeros(2))
    x = rng.standard_normal((30, 2))
    offset = elman.dynamics.fixed_points(net, n=1)[0]  # the system is that of deviations from it
    at = elman.dynamics.linearize(net, offset.state)
    space = signal.StateSpace(system.A, system.B, system.C, system.D, dt=1)
    _, y, _ = signal.dlsim(space, x, x0=-offset.state)
    assert np.abs(y + at.output - net(x)).max() < 1e-12


def test_leading_axes_of_states_and_inputs_are_broadcast(rng):
    net = elman.Network(2, [4, 3], 1, seed=0)
    states, x = rng.standard_normal((5, 1, 7)), rng.standard_normal((6, 2))
    both = elman.dynamics.jacobian(net, states, x)
    assert both.state.shape == (5, 6, 7, 7)
    assert both.input.shape == (5, 6, 7, 2)
    one = elman.dynamics.jacobian(net, states[2, 0], x[3])
    assert np.abs(both.state[2, 3] - one.state).max() < 1e-15
    assert np.abs(both.input[2, 3] - one.input).max() < 1e-15


def test_without_an_input_the_first_layer_reads_zeros():
    plain = elman.Network(2, 4, 1, seed=0)
    scaled = plain.replace(tensors={"input_mean": [3.0, -1.0], "input_std": [2.0, 2.0]})
    state = np.full(4, 0.3)
    want = elman.dynamics.jacobian(plain, state, [0.0, 0.0]).state
    assert (elman.dynamics.jacobian(plain, state).state == want).all()
    assert (elman.dynamics.jacobian(scaled, state).state == want).all()


def test_the_slope_of_tanh_keeps_its_digits_in_the_tails():
    net = elman.Network.from_weights([([[1.0]], [[1.0]], None)], None)
    J = elman.dynamics.jacobian(net, [0.0], [[20.0], [-200.0]])
    assert J.state[:, 0, 0] == pytest.approx([4 * np.exp(-40.0), 4 * np.exp(-400.0)], rel=1e-14)


def test_results_become_json(rng):
    net = elman.Network(2, 3, 1, seed=0)
    J = elman.dynamics.jacobian(net, np.zeros(3))
    assert json.loads(json.dumps(J.to_dict()))["state"] == J.state.tolist()
    system = elman.dynamics.linearize(net, np.zeros(3))
    assert json.loads(json.dumps(system.to_dict()))["D"] == system.D.tolist()
    assert repr(system) == "Linearization(A (3, 3), B (3, 2), C (1, 3), D (1, 2))"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"state": np.zeros(4)}, elman.ShapeError, r"state: expected \(..., 3\), got \(4,\)"),
        ({"state": 0.0}, elman.ShapeError, r"state: expected \(..., 3\), got \(\)"),
        ({"x": np.zeros(3)}, elman.ShapeError, r"x: expected \(..., 2\), got \(3,\)"),
        ({"x": np.zeros((4, 2)), "state": np.zeros((5, 3))}, elman.ShapeError, "leading axes"),
        ({"x": [np.nan, 0]}, elman.ArgumentError, "x: expected finite numbers, got nan"),
        ({"state": ["a"]}, elman.DTypeError, "state: expected real numbers"),
        ({"net": "model"}, elman.ArgumentTypeError, "net: expected an elman.Network"),
        (
            {"net": elman.Network(2, 3, 1, direction="reverse", seed=0)},
            elman.ArgumentError,
            r"expected layers that all run forward, got \['reverse'\]",
        ),
    ],
)
@pytest.mark.parametrize("function", ["jacobian", "linearize"])
def test_wrong_arguments_are_one_sentence(function, arguments, error, says):
    given = {"net": elman.Network(2, 3, 1, seed=0), "state": np.zeros(3)} | arguments
    with pytest.raises(error, match=says):
        getattr(elman.dynamics, function)(**given)


def test_weights_that_are_not_finite_are_refused():
    net = elman.Network.from_weights([([[np.inf]], [[1.0]], None)], None, allow_nonfinite=True)
    with pytest.raises(elman.ArgumentError, match=r"layers\.0\.W_xh: expected finite numbers"):
        elman.dynamics.jacobian(net, [0.0])
