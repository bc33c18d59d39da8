"""`elman.dynamics.gradient_flow` beside the core's gradients and products of Jacobians."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elman
from fixtures.activations import GENERAL

pytestmark = pytest.mark.any_isa

READOUTS = {"mse": "identity", "bce": "sigmoid", "cross_entropy": "softmax"}
T = 7


def example(rng, loss="mse", outputs="all", hidden=(4, 3), batch=(), activation="tanh"):
    """Return a network, inputs and targets."""
    net = elman.Network(
        2,
        list(hidden),
        3,
        activation=activation,
        output_activation=READOUTS[loss],
        dtype="float64",
        seed=4,
    )
    x = rng.standard_normal((*batch, T, 2))
    shape = (*batch, T) if outputs == "all" else batch
    y = rng.integers(0, 3, shape) if loss == "cross_entropy" else rng.random((*shape, 3))
    return net, x, y


def later(net, x, y, s, h, loss, outputs):
    """Return the core's gradient of the losses after step s with respect to the state h then."""
    rest = y[s + 1 :] if outputs == "all" else y
    weight = (T - 1 - s) / T if outputs == "all" else 1.0
    _, gradients = elman.loss_and_gradients(net, x[s + 1 :], rest, loss, outputs, state=h)
    return weight * gradients.initial_state


@pytest.mark.parametrize("loss", READOUTS)
@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("hidden", [(4,), (4, 3)], ids=str)
def test_the_gradient_at_a_state_is_that_of_the_core_started_there(rng, loss, outputs, hidden):
    net, x, y = example(rng, loss, outputs, hidden)
    state = rng.standard_normal(net.state_size)
    flow = elman.dynamics.gradient_flow(net, x, y, loss=loss, outputs=outputs, state=state)
    h = net.run(x, state=state, return_hidden=True).hidden
    assert flow.loss == pytest.approx(
        elman.loss_and_gradients(net, x, y, loss, outputs, state=state)[0], rel=1e-13
    )
    for s in range(T - 1):
        without_own = flow.gradients[s] - direct(net, h[s], y, s, loss, outputs)
        want = later(net, x, y, s, h[s], loss, outputs)
        assert np.abs(without_own - want).max() < 1e-12
        assert np.linalg.norm(want) > 1e-6
    assert flow.total == pytest.approx(np.linalg.norm(flow.gradients, axis=-1))


def direct(net, h, y, s, loss, outputs):
    """Return dL_s/dh_s of a step's own loss by central differences of a readout in NumPy."""
    top = len(net.layers[-1].W_hh)
    if outputs == "last":
        return np.zeros(net.state_size)

    def own(v):
        z = net.readout.W_hy @ v + net.readout.b_y
        if loss == "mse":
            return np.mean((z - y[s]) ** 2) / T
        if loss == "bce":
            return np.mean(np.logaddexp(0, z) - z * y[s]) / T
        return (np.log(np.exp(z).sum()) - z[y[s]]) / T

    v, eps = h[-top:].astype(float), 1e-3
    found = np.zeros(net.state_size)
    for i, e in enumerate(np.eye(top)):  # five points: an error of eps^4
        near, far = own(v + eps * e) - own(v - eps * e), own(v + 2 * eps * e) - own(v - 2 * eps * e)
        found[len(h) - top + i] = (8 * near - far) / (12 * eps)
    return np.where(np.abs(found) > 1e-15, found, 0.0)


def test_the_part_of_a_step_is_the_gradient_of_its_loss_alone(rng):
    net, x, y = example(rng)
    flow = elman.dynamics.gradient_flow(net, x, y)
    h = net.run(x, return_hidden=True).hidden
    for t in range(T):
        for k in range(1, t + 1):
            s = t - k
            _, gradients = elman.loss_and_gradients(
                net, x[s + 1 : t + 1], y[t], outputs="last", state=h[s]
            )
            parts = net.split_state(gradients.initial_state / T)
            want = [np.linalg.norm(part) for part in parts]
            assert flow.layer_norms[t, k] == pytest.approx(want, rel=1e-12)
            assert flow.norms[t, k] == pytest.approx(np.linalg.norm(want), rel=1e-12)
        assert np.isnan(flow.norms[t, t + 1 :]).all()


@pytest.mark.parametrize("activation", ["relu", *GENERAL], ids=str)
def test_backward_agrees_for_every_activation(rng, activation):
    """The initial state's gradient of `elman.backward`, one step before the first of the flow."""
    net, x, y = example(rng, activation=activation)
    flow = elman.dynamics.gradient_flow(net, x, y)
    run = net.run(x, return_hidden=True)
    gradients = elman.backward(net, x, 2 / y.size * (run.output - y))
    J = elman.dynamics.jacobian(net, np.zeros(net.state_size), x[0]).state
    assert np.abs(flow.gradients[0] @ J - gradients.initial_state).max() < 1e-14


@pytest.mark.parametrize("hidden", [(4,), (4, 3)], ids=str)
def test_the_products_of_jacobians_are_below_the_bound(rng, hidden):
    net, x, y = example(rng, hidden=hidden)
    flow = elman.dynamics.gradient_flow(net, x, y)
    h = net.run(x, return_hidden=True).hidden
    J = elman.dynamics.jacobian(net, np.vstack([np.zeros(h.shape[-1]), h[:-1]]), x).state
    for t in range(T):
        product = np.eye(h.shape[-1])
        for k in range(t + 1):
            want = np.linalg.svd(product)[1][0]
            assert flow.jacobian_norms[t, k] == pytest.approx(want, rel=1e-12)
            assert want <= flow.bound[k] * (1 + 1e-12)
            product = product @ J[t - k]
    if len(hidden) == 1:
        sigma = np.linalg.svd(net.layers[0].W_hh)[1][0]
        assert flow.bound == pytest.approx(sigma ** np.arange(T), rel=1e-12)


def test_one_linear_unit_has_powers_of_its_weight():
    net = elman.Network.from_weights(
        [([[1.0]], [[0.5]], None)], None, activation="identity", dtype="float64"
    )
    flow = elman.dynamics.gradient_flow(net, np.ones((6, 1)), [0.0], outputs="last")
    y = net(np.ones((6, 1)), outputs="last")[0]
    assert flow.norms[-1] == pytest.approx(2 * y * 0.5 ** np.arange(6), rel=1e-15)
    assert flow.total == pytest.approx(2 * y * 0.5 ** np.arange(5, -1, -1), rel=1e-15)
    assert flow.jacobian_norms[-1] == pytest.approx(0.5 ** np.arange(6))
    assert flow.bound == pytest.approx(0.5 ** np.arange(6))


def test_an_explosion_is_infinite_and_no_warning():
    net = elman.Network.from_weights(
        [([[1.0]], [[1e40]], None), ([[1.0]], [[1e50]], None)],
        None,
        activation="identity",
        dtype="float64",
    )
    flow = elman.dynamics.gradient_flow(net, np.zeros((9, 1)), np.ones((9, 1)))
    assert flow.bound[:2] == pytest.approx([1, 1e50])
    assert flow.bound[-1] == np.inf
    assert flow.jacobian_norms[-1, 1] == pytest.approx(1e50)
    assert flow.jacobian_norms[-1, -1] == np.inf
    assert json.loads(json.dumps(flow.to_dict()))["bound"][-1] is None


def test_sequences_of_a_batch_are_kept_apart(rng):
    net, x, y = example(rng, batch=(2, 3))
    state = rng.standard_normal((2, 3, net.state_size))
    whole = elman.dynamics.gradient_flow(net, x, y, state=state, lags=3)
    one = elman.dynamics.gradient_flow(net, x[1, 2], y[1, 2], state=state[1, 2], lags=3)
    assert whole.norms.shape == (2, 3, T, 4)
    assert whole.jacobian_norms.shape == (2, 3, T, 4)
    for name in ("norms", "layer_norms", "total", "gradients", "loss", "jacobian_norms"):
        got, want = getattr(whole, name)[1, 2], getattr(one, name)
        assert np.allclose(got, want, rtol=1e-12, atol=0, equal_nan=True), name


def frame(**columns):
    """Return a table of columns, as a data frame has them."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(columns)


def test_a_data_frame_has_targets_some_rows_later(rng):
    table = elman.Table(inputs=["a"], targets=["b"], horizon=2)
    net = elman.Network(1, 3, 1, output_activation="identity", dtype="float64", seed=0, table=table)
    a, b = rng.random((2, T))
    flow = elman.dynamics.gradient_flow(net, frame(a=a, b=b), frame(a=a, b=b))
    want = elman.dynamics.gradient_flow(net, a[: T - 2, None], b[2:, None])
    assert flow.loss == pytest.approx(want.loss)
    assert flow.total[: T - 2] == pytest.approx(want.total)
    assert (flow.total[T - 2 :] == 0).all()


def test_a_data_frame_of_several_sequences_is_refused():
    table = elman.Table(inputs=["a"], targets=["b"], sequence="of")
    net = elman.Network(1, 3, 1, seed=0, table=table)
    rows = frame(a=np.ones(4), b=np.ones(4), of=[0, 0, 1, 1])
    with pytest.raises(elman.ArgumentError, match="got a data frame of several: analyse each one"):
        elman.dynamics.gradient_flow(net, rows, rows)


def test_fewer_lags_are_the_first_columns_and_change_no_total(rng):
    net, x, y = example(rng)
    whole, part = (elman.dynamics.gradient_flow(net, x, y, lags=lags) for lags in (None, 2))
    assert part.norms.shape == (T, 3)
    assert (part.norms == whole.norms[:, :3])[2:].all()
    assert (part.total == whole.total).all()
    assert (elman.dynamics.gradient_flow(net, x, y, lags=99).norms.shape) == (T, T)


def test_the_result_becomes_json(rng):
    net, x, y = example(rng)
    flow = elman.dynamics.gradient_flow(net, x, y, lags=2)
    data = json.loads(json.dumps(flow.to_dict()))
    assert set(data) == {
        "norms", "layer_norms", "total", "gradients", "bound", "loss", "jacobian_norms"
    }  # fmt: skip
    assert data["norms"][0][1] is None
    assert data["total"] == flow.total.tolist()
    assert repr(flow) == "GradientFlow(7 steps, lags 0 to 2, norms (7, 3))"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"y": np.zeros((T, 2))}, elman.ShapeError, "y: expected"),
        ({"x": np.zeros((T, 3))}, elman.ShapeError, "x: expected"),
        ({"loss": "mae"}, elman.ArgumentError, "loss: expected one of mse, bce, cross_entropy"),
        ({"outputs": "first"}, elman.ArgumentError, "outputs: expected 'all' or 'last'"),
        ({"lags": -1}, elman.ArgumentError, "lags: expected at least 0, got -1"),
        ({"state": np.zeros(3)}, elman.ShapeError, "state: expected"),
        ({"x": [np.zeros((T, 2))] * 2}, elman.ShapeError, "x: expected one array"),
    ],
)
def test_wrong_arguments_are_one_sentence(rng, arguments, error, says):
    net, x, y = example(rng)
    with pytest.raises(error, match=says):
        elman.dynamics.gradient_flow(**{"net": net, "x": x, "y": y} | arguments)


@pytest.mark.parametrize("w", [0.5, 2.0])
def test_gradients_whose_squares_overflow_or_vanish_have_norms(w):
    net = elman.Network.from_weights(
        [([[0.0]], [[w]], None)], None, activation="identity", dtype="float64"
    )
    x, y = np.zeros((901, 1)), np.full((1,), -0.5)  # dL/dy = 1
    flow = elman.dynamics.gradient_flow(net, x, y, outputs="last")
    assert flow.norms[-1].tolist() == (w ** np.arange(901)).tolist()
    assert flow.total.tolist() == flow.norms[-1, ::-1].tolist()
