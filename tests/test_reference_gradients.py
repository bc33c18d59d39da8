"""The reference's gradients against central differences and written-out sums."""

from __future__ import annotations

import numpy as np
import pytest

from elman import Gradients, reference
from elman._structure import SCALING
from elman.errors import ArgumentError
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.networks import make_inputs, make_network

LOSSES = [
    ("mse", "identity"),
    ("bce", "sigmoid"),
    ("cross_entropy", "softmax"),
    ("cross_entropy", "log_softmax"),
]


def network(rng, **options):
    """Return a network in float64 whose recurrence does not grow."""
    return make_network(rng, **{"dtype": "float64", "scale": 0.7} | options)


def tensors(net):
    """Return copies of the arrays that have a gradient, by the name of the gradient."""
    return {n: a.copy() for n, a in net.tensors().items() if n not in SCALING}


def targets(rng, net, loss, *shape):
    if loss == "cross_entropy":
        return rng.integers(0, net.output_size, shape)
    values = rng.random((*shape, net.output_size))
    return values if loss == "bce" else 3 * values - 1


def step_losses(loss, y, target):
    """Return the loss of every step from outputs, as in textbooks."""
    if loss == "mse":
        return ((y - target) ** 2).mean(-1)
    if loss == "bce":
        return -(target * np.log(y) + (1 - target) * np.log(1 - y)).mean(-1)
    return -np.log(np.take_along_axis(y, target[..., None], -1)[..., 0])


def total_loss(net, x, target, loss, weights, state=None):
    """Return sum(w l) over all steps."""
    y = reference.run(net, x, state).output
    if loss == "cross_entropy" and net.output_activation == "log_softmax":
        y = np.exp(y)
    return (weights * step_losses(loss, y, target)).sum()


STEP = 3e-6  # of a difference


def differences(function, array):
    """Return the central differences of function() in every element of an array."""
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        above, below = value + STEP, value - STEP
        array[index] = above
        high = function()
        array[index] = below
        low = function()
        array[index] = value
        result[index] = (high - low) / (above - below)
    return result


def assert_close(got, want, tolerance=1e-8, *, of=0.0):
    """Compare by norms; differences of a function with the value `of` are rounded with it."""
    assert got.shape == want.shape
    rounding = np.sqrt(got.size) * np.finfo(np.float64).eps * abs(of) / STEP
    assert np.linalg.norm(got - want) <= tolerance * max(np.linalg.norm(want), 1e-2) + rounding


def assert_all_close(net, grads, function):
    """Compare the gradients of all weights with the central differences of function(net)."""
    got = grads.tensors()
    for name, array in tensors(net).items():
        changed = {name: array}
        want = differences(lambda changed=changed: function(net.replace(tensors=changed)), array)
        assert_close(got.pop(name), want, of=function(net))
    assert set(got) <= {"initial_state"}


@pytest.mark.parametrize(
    ("activation", "output_activation"),
    [
        ("tanh", "identity"),
        ("relu", "tanh"),
        ("sigmoid", "relu"),
        ("identity", "sigmoid"),
        ("tanh", "softmax"),
        ("tanh", "log_softmax"),
    ],
)
def test_squared_error_has_the_gradient_of_every_activation(rng, activation, output_activation):
    net = network(
        rng,
        activation=activation,
        output_activation=output_activation,
        initial_state=True,
        scaling=True,
    )
    x = make_inputs(rng, net, 2, 5)
    y = 10 * targets(rng, net, "mse", 2, 5) - 3
    value, grads = reference.loss_and_gradients(net, x, y)
    w = np.full((2, 5), 0.1)
    assert value == pytest.approx(total_loss(net, x, y, "mse", w), rel=1e-13)
    assert_all_close(net, grads, lambda net: total_loss(net, x, y, "mse", w))


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
def test_squared_error_has_the_gradient_of_every_activation_with_parameters(rng, f):
    sizes = {"inputs": 2, "hidden": (3,)}
    net = network(rng, **sizes, activation=f, output_activation=f, initial_state=True)
    x, y = make_inputs(rng, net, 2, 5), targets(rng, net, "mse", 2, 5)
    _, grads = reference.loss_and_gradients(net, x, y)
    w = np.full((2, 5), 0.1)
    assert_all_close(net, grads, lambda net: total_loss(net, x, y, "mse", w))


@pytest.mark.parametrize(
    ("loss", "output_activation", "hidden", "bias"),
    [
        ("mse", "identity", (1,), False),
        ("mse", "identity", (3, 5), True),
        ("bce", "sigmoid", (4,), True),
        ("bce", "sigmoid", (2, 1, 3), False),
        ("cross_entropy", "softmax", (3, 5), False),
        ("cross_entropy", "softmax", (2, 1, 3), True),
    ],
)
def test_every_loss_has_its_gradient_at_every_depth(rng, loss, output_activation, hidden, bias):
    net = network(
        rng, hidden=hidden, outputs=3, output_activation=output_activation, bias=bias,
        initial_state=True,
    )  # fmt: skip
    x = make_inputs(rng, net, 3, 6)
    y = targets(rng, net, loss, 3, 6)
    w = np.full((3, 6), 1 / 18)
    value, grads = reference.loss_and_gradients(net, x, y, loss)
    assert value == pytest.approx(total_loss(net, x, y, loss, w), rel=1e-13)
    assert_all_close(net, grads, lambda net: total_loss(net, x, y, loss, w))
    assert grads.layers[0].W_hh.shape == (hidden[0], hidden[0])
    assert (grads.layers[-1].b_h is None) == (not bias)
    assert (grads.readout.b_y is None) == (not bias)


@pytest.mark.parametrize("scaling", [False, True])
def test_a_network_without_a_readout_learns_its_states(rng, scaling):
    net = network(rng, hidden=(3, 2), outputs=None, initial_state=True, scaling=scaling)
    x, y = make_inputs(rng, net, 2, 4), rng.standard_normal((2, 4, 2))
    w = np.full((2, 4), 1 / 8)
    value, grads = reference.loss_and_gradients(net, x, y)
    assert value == pytest.approx(total_loss(net, x, y, "mse", w), rel=1e-13)
    assert grads.readout is None
    assert_all_close(net, grads, lambda net: total_loss(net, x, y, "mse", w))


@pytest.mark.parametrize(("loss", "output_activation"), LOSSES)
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_weights_and_padding_count_as_the_formula_says(rng, loss, output_activation, outputs):
    net = network(rng, outputs=3, output_activation=output_activation, initial_state=True)
    lengths, T = np.array([[4, 0, 1], [6, 3, 2]]), 6
    x = make_inputs(rng, net, 2, 3, T)
    y = targets(rng, net, loss, 2, 3, *([T] if outputs == "all" else []))
    v = rng.random((2, 3))
    real = np.arange(T) < lengths[..., None]
    if outputs == "all":
        s = rng.random((3, T))
        w, spread = v[..., None] * s * real, y
    else:
        s = None
        w = v[..., None] * (np.arange(T) == lengths[..., None] - 1)
        spread = np.repeat(np.expand_dims(y, 2), T, axis=2)
    w /= w.sum()

    x_padded = np.where(real[..., None], x, np.nan)
    arguments = {"lengths": lengths, "sample_weight": v, "step_weight": s}
    value, grads = reference.loss_and_gradients(net, x_padded, y, loss, outputs, **arguments)
    # A padded step comes after all real ones of its sequence, so that running through it is free.
    assert value == pytest.approx(total_loss(net, x, spread, loss, w), rel=1e-13)
    assert_all_close(net, grads, lambda net: total_loss(net, x, spread, loss, w))


def test_targets_in_the_padding_are_never_read(rng):
    net = network(rng, output_activation="softmax")
    x, y = make_inputs(rng, net, 2, 4), np.array([[0, 1, -100, 99], [1, 1, 0, 1]])
    got = reference.loss_and_gradients(net, x, y, "cross_entropy", lengths=[2, 4])
    y[0, 2:] = 0
    want = reference.loss_and_gradients(net, x, y, "cross_entropy", lengths=[2, 4])
    assert got[0] == want[0]
    for name, array in got[1].tensors().items():
        np.testing.assert_array_equal(array, want[1].tensors()[name])


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 1, 5), (2, 3, 5)])
def test_a_state_that_is_passed_has_its_own_gradient_in_its_own_shape(rng, shape):
    net = network(rng, hidden=(3, 2), initial_state=True)
    x, y = make_inputs(rng, net, 2, 3, 4), rng.random((2, 3, 4, 2))
    state = rng.standard_normal(shape)
    _, grads = reference.loss_and_gradients(net, x, y, state=state)
    w = np.full((2, 3, 4), 1 / 24)
    want = differences(lambda: total_loss(net, x, y, "mse", w, state), state)
    assert_close(grads.initial_state, want)


# k, m and T: windows that fit, that overhang the end, that overlap, and one longer than all.
WINDOWS = [(1, 1, 5), (3, 3, 6), (3, 3, 7), (3, 1, 5), (4, 2, 7), (5, 3, 8), (9, 9, 4), (9, 2, 5)]


@pytest.mark.parametrize(
    ("k", "m", "T", "hidden"),
    [(*window, [(4,), (3, 2)][i % 2]) for i, window in enumerate(WINDOWS)],
)
def test_truncation_is_the_sum_over_windows_that_begin_at_a_constant_state(rng, k, m, T, hidden):
    net = network(rng, hidden=hidden, initial_state=True)
    x, y = make_inputs(rng, net, 2, T), rng.random((2, T, 2))
    lengths = np.array([T, T - 2])
    w = (np.arange(T) < lengths[:, None]) / lengths.sum()
    states = reference.run(net, x).hidden
    states = np.concatenate([np.tile(net.initial_state, (2, 1))[:, None], states], axis=1)

    def windows(net):
        total = 0.0
        for begin in range(0, T, m):
            first, end = max(0, begin + m - k), min(begin + m, T)
            errors = np.where(np.arange(first, end) >= begin, w[:, first:end], 0)
            state = states[:, first] if first > 0 else None  # None: the network's, which is varied
            part = slice(first, end)
            total += total_loss(net, x[:, part], y[:, part], "mse", errors, state)
        return total

    value, grads = reference.loss_and_gradients(
        net, x, y, lengths=lengths, bptt_steps=k, update_every=None if m == k else m
    )
    assert value == pytest.approx(total_loss(net, x, y, "mse", w), rel=1e-13)
    assert_all_close(net, grads, windows)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_the_error_of_the_last_step_flows_back_exactly_k_steps(rng, k):
    net = network(rng, initial_state=True)
    lengths, T = [7, 5, 2, 0], 7
    x, y = make_inputs(rng, net, 4, T), rng.random((4, 2))
    starts = {i: reference.run(net, x[i, : max(0, n - k)]).state for i, n in enumerate(lengths)}

    def last_steps(net):
        total = 0.0
        for i, n in enumerate(lengths[:3]):
            state = starts[i] if n > k else None
            output = reference.run(net, x[i, max(0, n - k) : n], state).output[-1]
            total += step_losses("mse", output, y[i]) / 3
        return total

    value, grads = reference.loss_and_gradients(
        net, x, y, outputs="last", lengths=lengths, bptt_steps=k
    )
    assert value == pytest.approx(last_steps(net), rel=1e-13)
    assert_all_close(net, grads, last_steps)


def test_truncation_that_reaches_the_beginning_has_no_effect(rng):
    net = network(rng, hidden=(3, 2))
    x, y = make_inputs(rng, net, 3, 6), rng.random((3, 6, 2))
    full = reference.loss_and_gradients(net, x, y)[1].tensors()
    for k, m in [(6, 6), (7, 7), (12, 3)]:
        grads = reference.loss_and_gradients(net, x, y, bptt_steps=k, update_every=m)[1]
        for name, array in grads.tensors().items():
            assert_close(array, full[name], 1e-14)


def test_parts_with_a_common_normalizer_add_up_to_the_whole(rng):
    net = network(rng, hidden=(3, 2))
    x, y, v = make_inputs(rng, net, 5, 4), rng.random((5, 4, 2)), rng.random(5)
    whole, want = reference.loss_and_gradients(net, x, y, sample_weight=v)
    total = 4 * v.sum()
    (a, first), (b, second) = (
        reference.loss_and_gradients(net, x[i], y[i], sample_weight=v[i], normalizer=total)
        for i in (slice(0, 2), slice(2, 5))
    )
    assert a + b == pytest.approx(whole, rel=1e-14)
    for name, array in (first + second).tensors().items():
        assert_close(array, want.tensors()[name], 1e-14)


def test_gradients_add_only_to_gradients(rng):
    net = network(rng)
    _, grads = reference.loss_and_gradients(net, make_inputs(rng, net, 2), rng.random((2, 2)))
    assert isinstance(grads + grads, Gradients)
    with pytest.raises(TypeError):
        grads + 1


@pytest.mark.parametrize("x", [np.zeros((0, 3)), np.zeros((2, 0, 3)), np.zeros((0, 4, 3))])
def test_no_step_has_no_mean_but_is_a_part_of_a_sum(rng, x):
    net = network(rng)
    y = np.zeros((*x.shape[:-1], 2))
    with pytest.raises(ArgumentError, match="weights: "):
        reference.loss_and_gradients(net, x, y)
    value, grads = reference.loss_and_gradients(net, x, y, normalizer=3.0)
    assert value == 0
    assert all((array == 0).all() for array in grads.tensors().values())


def saturated(net, b_y):
    """Return a network whose outputs are the biases of its readout."""
    W_hy = np.zeros_like(net.readout.W_hy)
    return net.replace(tensors={"readout.W_hy": W_hy, "readout.b_y": b_y})


def test_large_sums_overflow_neither_loss(rng):
    net = network(rng, outputs=1, output_activation="sigmoid", hidden=(1,))
    net = saturated(net, [2000.0])
    value, grads = reference.loss_and_gradients(net, np.zeros((1, 3)), np.zeros((1, 1)), "bce")
    assert value == 2000.0
    assert grads.readout.b_y == [1.0]
    net = network(rng, outputs=2, output_activation="softmax", hidden=(1,))
    net = saturated(net, [2000.0, -2000.0])
    value, grads = reference.loss_and_gradients(net, np.zeros((1, 3)), [1], "cross_entropy")
    assert value == 4000.0
    np.testing.assert_array_equal(grads.readout.b_y, [1.0, -1.0])
