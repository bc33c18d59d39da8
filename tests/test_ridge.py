"""The ridge readout: against the normal equations, and the parameters it leaves unchanged."""

from __future__ import annotations

import numpy as np
import pytest

import elman
from elman import ridge
from elman.errors import ArgumentError, DTypeError, ShapeError
from elman.initialization import EchoState
from elman.ridge import ridge_readout


def network(inputs=2, hidden=7, outputs=3, **options):
    options = {"output_activation": "identity", "dtype": "float64", "seed": 3} | options
    return elman.Network(
        input_size=inputs, hidden_size=hidden, output_size=outputs, init="echo_state", **options
    )


def data(rng, net, *shape):
    return (
        rng.standard_normal((*shape, net.input_size)),
        rng.standard_normal((*shape, net.output_size)),
    )


def solve(hidden, y, alpha, weights=None, *, bias=True):
    """Return W_hy and b_y by the normal equations of rows hidden (N, H) and y (N, O)."""
    weights = np.ones(len(y)) if weights is None else weights
    rows = np.hstack([hidden, np.ones((len(y), 1))]) if bias else hidden
    penalty = alpha * np.eye(rows.shape[1])
    if bias:
        penalty[-1, -1] = 0
    solution = np.linalg.solve(rows.T @ (weights[:, None] * rows) + penalty, rows.T * weights @ y)
    return solution[: hidden.shape[1]].T, solution[-1] if bias else None


def assert_readout(net, expected):
    W_hy, b_y = expected
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * max(1, np.abs(W_hy).max())}
    np.testing.assert_allclose(net.readout.W_hy, W_hy, **tolerance)
    if b_y is None:
        assert net.readout.b_y is None
    else:
        np.testing.assert_allclose(net.readout.b_y, b_y, **tolerance)


@pytest.mark.parametrize("block", [1, 7, 4096])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "hidden", "outputs"),
    [((1,), 1, 1), ((5,), 9, 2), ((40,), 7, 3), ((3, 17), [4, 5], 1)],
)
def test_the_readout_solves_the_normal_equations(
    monkeypatch, rng, shape, hidden, outputs, bias, block
):
    monkeypatch.setattr(ridge, "_BLOCK_ROWS", block)
    net = network(2, hidden, outputs, bias=bias)
    x, y = data(rng, net, *shape)
    top = net.hidden_sizes[-1]
    states = net.run(x, return_hidden=True).hidden[..., -top:].reshape(-1, top)
    expected = solve(states, y.reshape(-1, outputs), 0.01, bias=bias)
    assert_readout(ridge_readout(net, x, y, alpha=0.01), expected)


def test_only_real_steps_after_the_washout_count(rng):
    net = network()
    x, y = data(rng, net, 4, 12)
    lengths = np.array([12, 0, 5, 9])
    state = rng.standard_normal((4, 7))
    padding = np.arange(12) >= lengths[:, None]
    x[padding], y[padding] = np.nan, np.nan
    y[:, :2] = np.inf  # washed out
    hidden = net.run(x, state=state, lengths=lengths, return_hidden=True).hidden
    used = ~padding & (np.arange(12) >= 2)
    fitted = ridge_readout(net, x, y, alpha=0.1, washout=2, lengths=lengths, state=state)
    assert_readout(fitted, solve(hidden[used], y[used], 0.1))


def test_a_weight_counts_like_that_many_sequences(rng):
    net = network()
    x, y = data(rng, net, 3, 6)
    y[1] = np.nan  # weighs nothing
    fitted = ridge_readout(net, x, y, alpha=0.1, sample_weight=[2, 0, 0.5])
    hidden = net.run(x, return_hidden=True).hidden[[0, 2]].reshape(-1, 7)
    weights = np.repeat([2, 0.5], 6)
    assert_readout(fitted, solve(hidden, y[[0, 2]].reshape(-1, 3), 0.1, weights))


def test_inputs_and_targets_are_in_the_users_scale(rng):
    scaling = {"input_mean": [20, -3], "input_std": [0.1, 5]}
    std, mean = np.array([10, 0.5, 2]), np.array([100, 0, -7])
    raw, inner = network(**scaling, output_std=std, output_mean=mean), network()
    x, y = data(rng, raw, 30)
    raw_x = x * scaling["input_std"] + scaling["input_mean"]
    fitted = ridge_readout(raw, raw_x, y * std + mean, alpha=0.1)
    want = ridge_readout(inner, x, y, alpha=0.1)
    assert_readout(fitted, (want.readout.W_hy, want.readout.b_y))
    np.testing.assert_allclose(fitted(raw_x), want(x) * std + mean, rtol=1e-9, atol=1e-9)


def test_without_a_penalty_the_smallest_weights_that_fit_are_taken(rng):
    net = network(hidden=20, bias=False)
    x, y = data(rng, net, 8)
    hidden = net.run(x, return_hidden=True).hidden
    fitted = ridge_readout(net, x, y, alpha=0)
    np.testing.assert_allclose(fitted(x), y, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fitted.readout.W_hy, (np.linalg.pinv(hidden) @ y).T, atol=1e-9)


def test_nearly_equal_states_are_told_apart_where_normal_equations_fail(rng):
    W_xh = np.array([[1.0, 0.0], [1.0, 1e-9]])  # squares of 1e-9 are lost beside 1
    net = elman.Network.from_weights(
        [(W_xh, np.zeros((2, 2)), None)],
        (np.zeros((1, 2)), None),
        activation="identity",
        output_activation="identity",
    )
    x = rng.standard_normal((50, 2))
    fitted = ridge_readout(net, x, x[:, 1:], alpha=0)
    np.testing.assert_allclose(fitted(x), x[:, 1:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_but_the_readout_stays_as_it_was(rng, dtype):
    options = {"initial_state": np.ones(9) / 2, "metadata": {"title": "reservoir"}}
    net = network(2, [4, 5], 3, dtype=dtype, activation=["relu", "tanh"], **options)
    x, y = data(rng, net, 2, 11)
    before = net.readout.W_hy.copy()
    fitted = ridge_readout(net, x, y)
    assert (net.readout.W_hy == before).all()
    assert (fitted.readout.W_hy != before).any()
    assert fitted.dtype == net.dtype
    assert fitted.metadata == net.metadata
    for one, other in zip(fitted.layers, net.layers, strict=True):
        assert one.activation == other.activation
        assert (one.W_hh == other.W_hh).all()
    assert (fitted.initial_state == 0.5).all()


def test_a_reservoir_recalls_its_past_inputs(rng):
    """Short-term memory (Jaeger, GMD report 152, 2002): a delay of at most H steps."""
    net = elman.Network(
        input_size=1,
        hidden_size=60,
        output_size=20,
        activation="identity",
        output_activation="identity",
        init=EchoState(density=1, input_limit=0.1),
        dtype="float64",
        seed=1,
    )
    u = rng.uniform(-0.5, 0.5, 2020)
    past = np.stack([u[20 - k : 2020 - k] for k in range(1, 21)], axis=1)
    x = u[20:, None]
    fitted = ridge_readout(net, x[:1000], past[:1000], alpha=1e-12, washout=100)
    errors = ((fitted(x) - past)[1000:] ** 2).mean(axis=0) / u.var()
    assert errors.max() < 0.01


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"net": "net"}, TypeError, r"net: .*str"),
        (
            {"net": network(output_activation="sigmoid")},
            ArgumentError,
            r"net: .*sigmoid",
        ),
        (
            {"net": network(outputs=None)},
            ArgumentError,
            r"net: .*None",
        ),
        ({"x": np.zeros((4, 5))}, ShapeError, r"x: expected \(\.\.\., T, 2\), got \(4, 5\)"),
        ({"y": np.zeros((3, 3))}, ShapeError, r"y: expected \(4, 3\), got \(3, 3\)"),
        (
            {"y": np.zeros((4, 3), complex)},
            DTypeError,
            r"y: .*complex128",
        ),
        ({"y": np.full((4, 3), np.nan)}, ArgumentError, r"y: .*nan"),
        (
            {"x": np.full((4, 2), np.nan)},
            ArgumentError,
            r"the hidden states of x: .*nan",
        ),
        ({"alpha": -1}, ArgumentError, r"alpha: .*got -1"),
        ({"alpha": "a"}, TypeError, r"alpha: .*str"),
        ({"washout": -1}, ArgumentError, r"washout: .*got -1"),
        (
            {"washout": 4},
            ArgumentError,
            "washout: .*none",
        ),
        (
            {"x": np.zeros((0, 2)), "y": np.zeros((0, 3))},
            ArgumentError,
            "washout: .*none",
        ),
        (
            {"x": np.zeros((0, 4, 2)), "y": np.zeros((0, 4, 3))},
            ArgumentError,
            "washout: .*none",
        ),
        ({"lengths": 5}, ArgumentError, r"lengths: .*got 5"),
        (
            {"sample_weight": -2.0},
            ArgumentError,
            r"sample_weight: .*got -2.0",
        ),
        (
            {"sample_weight": 0},
            ArgumentError,
            r"sample_weight: .*got 0",
        ),
        ({"sample_weight": [1]}, ShapeError, r"sample_weight: expected \(\), got \(1,\)"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(change, error, message):
    arguments = {"net": network(), "x": np.zeros((4, 2)), "y": np.zeros((4, 3))} | change
    with pytest.raises(error, match=f"^{message}"):
        ridge_readout(**arguments)
