"""The NumPy reference against exact arithmetic and PyTorch, and `verify` against known errors."""

from __future__ import annotations

import itertools
import pathlib
import re

import mpmath
import numpy as np
import pytest

import elman
from elman import reference
from elman.errors import ShapeError
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.exact import exact_run
from fixtures.networks import EXACT_CASES, make_inputs, make_network

HIDDEN_ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
OUTPUT_ACTIVATIONS = (*HIDDEN_ACTIVATIONS, "softmax", "log_softmax")
TORCH = np.load(pathlib.Path(__file__).parent / "fixtures" / "torch_rnn.npz")
TORCH_CASES = sorted({name.partition(".")[0] for name in TORCH})


def torch_case(case):
    """Return the network, and the arrays of one case, of the fixture."""
    arrays = {
        name.removeprefix(f"{case}."): TORCH[name] for name in TORCH if name.startswith(f"{case}.")
    }
    activation, layers, head, dtype = case.split("-")
    rng = np.random.default_rng(0)
    hidden = (5,) * int(layers)
    net = make_network(
        rng, hidden=hidden, outputs=4, activation=activation, output_activation=head, dtype=dtype
    )
    return net.replace(tensors={name: arrays.get(name) for name in net.tensors()}), arrays


# --- the activations ------------------------------------------------------------------------------

POINTS = np.concatenate([np.linspace(-40, 40, 321), [-745.0, -700.0, 700.0, 5e-324, 1e-300, 1e-9]])


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (reference.tanh, mpmath.tanh),
        (reference.sigmoid, lambda z: 1 / (1 + mpmath.exp(-z))),
        (reference.relu, lambda z: max(z, 0)),
        (reference.identity, lambda z: z),
        (lambda z: reference.leaky_relu(z, 0.25), lambda z: z / 4 if z < 0 else z),
        (lambda z: reference.elu(z, 2.0), lambda z: 2 * mpmath.expm1(z) if z < 0 else z),
        (lambda z: reference.thresholded_relu(z, 1.0), lambda z: z if z > 1 else 0),
        (lambda z: reference.hard_sigmoid(z, 0.25, 0.5), lambda z: min(max(z / 4 + 0.5, 0), 1)),
        (reference.softsign, lambda z: z / (1 + abs(z))),
        (reference.softplus, lambda z: mpmath.log1p(mpmath.exp(z))),
        (lambda z: reference.scaled_tanh(z, 3.0, 0.5), lambda z: 3 * mpmath.tanh(z / 2)),
        (lambda z: reference.affine(z, 0.5, 0.0), lambda z: z / 2),
    ],
)
def test_an_activation_is_accurate_everywhere(function, exact):
    with mpmath.workdps(50):
        want = np.array([float(exact(mpmath.mpf(float(z)))) for z in POINTS])
    np.testing.assert_allclose(function(POINTS), want, rtol=2**-50, atol=1e-323)


def test_softmax_is_accurate_also_where_exp_overflows():
    z = np.array([[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0], [-3000.0, -3001.5, -3000.25]])
    with mpmath.workdps(50):
        e = [[mpmath.exp(mpmath.mpf(v)) for v in row] for row in z.tolist()]
        want = [[float(v / mpmath.fsum(row)) for v in row] for row in e]
    np.testing.assert_allclose(reference.softmax(z), want, rtol=1e-15, atol=0)


def test_log_softmax_is_accurate_also_near_0_and_where_exp_overflows():
    z = np.array(
        [[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0], [50.0, 0.0, -7.5], [0.0, -700.0, -1e5]]
    )
    with mpmath.workdps(400):
        logs = [mpmath.log(mpmath.fsum(map(mpmath.exp, row))) for row in z.tolist()]
        want = [[float(v - log) for v in row] for row, log in zip(z.tolist(), logs, strict=True)]
    np.testing.assert_allclose(reference.log_softmax(z), want, rtol=1e-15, atol=0)


def test_log_softmax_of_infinity_or_nan_is_nan_and_of_minus_infinity_minus_infinity():
    z = np.array([[np.inf, 0.0], [0.0, np.nan], [-np.inf, -np.inf], [-np.inf, 2.0]])
    with np.errstate(invalid="ignore"):
        got = reference.log_softmax(z)
    np.testing.assert_array_equal(got, [[np.nan] * 2] * 3 + [[-np.inf, 0]])


@pytest.mark.parametrize(
    ("name", "at_minus_infinity", "at_infinity"),
    [
        ("tanh", -1, 1),
        ("sigmoid", 0, 1),
        ("relu", 0, np.inf),
        ("identity", -np.inf, np.inf),
        ("leaky_relu", -np.inf, np.inf),
        ("elu", -1, np.inf),
        ("thresholded_relu", 0, np.inf),
        ("hard_sigmoid", 0, 1),
        ("softsign", -1, 1),
        ("softplus", 0, np.inf),
    ],
)
def test_an_activation_takes_its_limits_at_infinity_and_keeps_nan(
    name, at_minus_infinity, at_infinity
):
    f = elman.Activation(name)
    numbers = [n for n in (f.alpha, f.beta) if n is not None]
    with np.errstate(all="ignore"):
        got = reference.ACTIVATIONS[name](np.array([-np.inf, np.inf, np.nan]), *numbers)
    np.testing.assert_array_equal(got, [at_minus_infinity, at_infinity, np.nan])


# --- the network ----------------------------------------------------------------------------------


def test_a_network_of_integers_is_computed_exactly():
    net = elman.Network.from_weights(
        [([[1, 2], [3, 4]], [[0, 1], [-1, 2]], [5, 6])],
        ([[1, -1]], None),
        activation="identity",
        output_activation="identity",
        dtype="float64",
    )
    run = reference.run(net, [[1, 1], [0, 2]], state=[1, 10])
    # h_1 = (3 + 10 + 5, 7 - 1 + 20 + 6), h_2 = (4 + 32 + 5, 8 - 18 + 64 + 6)
    np.testing.assert_array_equal(run.hidden, [[18, 32], [41, 60]])
    np.testing.assert_array_equal(run.output, [[-14], [-19]])
    np.testing.assert_array_equal(run.state, [41, 60])


@pytest.mark.parametrize("options", EXACT_CASES, ids=str)
def test_run_agrees_with_exact_arithmetic(rng, options):
    net = make_network(rng, **options)
    x = make_inputs(rng, net, 5)
    run = reference.run(net, x, lengths=4)
    output, hidden = exact_run(net, x, length=4)
    np.testing.assert_allclose(run.output, output, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(run.hidden, hidden, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(run.state, run.hidden[-1])


@pytest.mark.parametrize("case", TORCH_CASES)
def test_run_agrees_with_pytorch(case):
    net, arrays = torch_case(case)
    run = reference.run(net, arrays["x"], state=arrays["state"], lengths=arrays["lengths"])
    tolerance = 1e-14 if net.dtype == np.float64 else 2e-6
    scale = max(1.0, np.abs(run.hidden).max())
    np.testing.assert_allclose(run.output, arrays["output"], atol=tolerance * scale)
    np.testing.assert_allclose(run.state, arrays["final_state"], atol=tolerance * scale)
    padded = np.arange(arrays["x"].shape[1]) >= arrays["lengths"][:, np.newaxis]
    top = np.where(padded[..., np.newaxis], 0.0, run.hidden[..., -5:])
    np.testing.assert_allclose(top, arrays["top"], atol=tolerance * scale)


def test_run_is_step_after_step(rng):
    net = make_network(rng, hidden=(3, 4), scaling=True, initial_state=True)
    x = make_inputs(rng, net, 7)
    run = reference.run(net, x)
    h = net.initial_state
    for t, x_t in enumerate(x):
        y, h = reference.step(net, x_t, h)
        # BLAS may add the terms in another order for one step than for many.
        np.testing.assert_allclose(y, run.output[t], rtol=1e-13)
        np.testing.assert_allclose(h, run.hidden[t], rtol=1e-13)
    np.testing.assert_array_equal(run.state, run.hidden[-1])


def test_a_row_of_a_batch_is_the_sequence_alone(rng):
    net = make_network(rng, hidden=(3, 4))
    x = make_inputs(rng, net, 2, 3, 5)
    state = rng.standard_normal((3, net.state_size))
    lengths = np.array([[0, 5, 2], [1, 4, 3]])
    run = reference.run(net, x, state=state, lengths=lengths)
    assert run.output.shape == (2, 3, 5, 2)
    assert run.hidden.shape == (2, 3, 5, 7)
    for i, j in np.ndindex(2, 3):
        alone = reference.run(net, x[i, j], state=state[j], lengths=lengths[i, j])
        for got, want in zip(run, alone, strict=True):
            np.testing.assert_allclose(got[i, j], want, rtol=1e-13)


def test_padded_steps_hold_the_state_and_give_zeros_whatever_is_in_them(rng):
    net = make_network(rng, scaling=True, initial_state=True)
    x = make_inputs(rng, net, 3, 4)
    lengths = np.array([4, 2, 0])
    x[1, 2:] = np.nan
    x[2] = np.inf
    run = reference.run(net, x, lengths=lengths)
    assert np.isfinite(run.hidden).all()
    np.testing.assert_array_equal(run.output[1, 2:], 0)
    np.testing.assert_array_equal(run.output[2], 0)
    np.testing.assert_array_equal(run.hidden[1, 2:], np.stack([run.hidden[1, 1]] * 2))
    np.testing.assert_array_equal(run.hidden[2], np.stack([net.initial_state] * 4))
    np.testing.assert_array_equal(run.state[2], net.initial_state)


def test_no_steps_give_no_output_and_the_start_state(rng):
    net = make_network(rng)
    run = reference.run(net, np.zeros((2, 0, 3)), state=np.ones(4))
    assert run.output.shape == (2, 0, 2)
    np.testing.assert_array_equal(run.state, np.ones((2, 4)))
    run.state[0] = 7  # a copy, not a read-only view of the argument


def test_nan_stays_in_its_own_sequence(rng):
    net = make_network(rng)
    x = make_inputs(rng, net, 2, 4)
    x[0, 1, 0] = np.nan
    run = reference.run(net, x)
    assert np.isnan(run.output[0, 1:]).all()
    assert np.isfinite(run.output[0, 0]).all()
    assert np.isfinite(run.output[1]).all()


# --- verify ---------------------------------------------------------------------------------------


def rounded_run(net, x, state=None, lengths=None):
    """Return (output, hidden) in the network's dtype, with another order of summation."""
    f32 = net.dtype.type
    *batch, T, _ = x.shape
    h = np.zeros(net.state_size) if net.initial_state is None else net.initial_state
    h = np.broadcast_to(h if state is None else state, (*batch, net.state_size)).astype(net.dtype)
    lengths = np.broadcast_to(T if lengths is None else lengths, batch)[..., np.newaxis]
    functions = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, f32(0)),
        "sigmoid": lambda z: f32(1) / (f32(1) + np.exp(-z)),
        "identity": lambda z: z,
        "leaky_relu": lambda z, a: np.where(z < 0, a * z, z),
        "elu": lambda z, a: np.where(z < 0, a * np.expm1(z), z),
        "thresholded_relu": lambda z, a: np.where(z > a, z, f32(0)),
        "hard_sigmoid": lambda z, a, b: np.clip(a * z + b, f32(0), f32(1)),
        "softsign": lambda z: z / (f32(1) + abs(z)),
        "softplus": lambda z: np.maximum(z, f32(0)) + np.log1p(np.exp(-abs(z))),
        "scaled_tanh": lambda z, a, b: a * np.tanh(b * z),
        "affine": lambda z, a, b: a * z + b,
        "softmax": lambda z: (e := np.exp(z - z.max(-1, keepdims=True))) / e.sum(-1, keepdims=True),
        "log_softmax": lambda z: (
            (z := z - z.max(-1, keepdims=True)) - np.log(np.exp(z).sum(-1, keepdims=True))
        ),
    }

    def activate(f, z):
        if f.clip is not None:
            z = np.clip(z, -net.dtype.type(f.clip), net.dtype.type(f.clip))
        numbers = [net.dtype.type(n) for n in (f.alpha, f.beta) if n is not None]
        return functions[f.name](z, *numbers)

    output = np.zeros((*batch, T, net.output_size), net.dtype)
    hidden = np.zeros((*batch, T, net.state_size), net.dtype)
    with np.errstate(all="ignore"):
        for t in range(T):
            v = x[..., t, :]
            if net.input_mean is not None:
                v = (v - net.input_mean) * (1 / net.input_std)
            after, start = [], 0
            for layer in net.layers:
                size = len(layer.W_hh)
                before = h[..., start : start + size]
                z = np.einsum("hi,...i->...h", layer.W_xh, v)
                z = z + (0 if layer.b_h is None else layer.b_h)
                z = z + np.einsum("hk,...k->...h", layer.W_hh, before)
                v = activate(layer.activation, z)
                after.append(v)
                start += size
            if net.readout is not None:
                z = np.einsum("oh,...h->...o", net.readout.W_hy, v)
                z = z + (0 if net.readout.b_y is None else net.readout.b_y)
                v = activate(net.readout.activation, z)
            if net.output_std is not None:
                v = v * net.output_std + net.output_mean
            h = np.where(t < lengths, np.concatenate(after, axis=-1), h)
            hidden[..., t, :] = h
            output[..., t, :] = np.where(t < lengths, v, 0)
            assert v.dtype == h.dtype == net.dtype
    return output, hidden


@pytest.fixture
def right(rng):
    """A network, its inputs and correct results in float32, altered by the tests below."""
    net = make_network(rng, inputs=5, hidden=(7, 6), outputs=3, scaling=True)
    x = make_inputs(rng, net, 2, 9)
    return net, x, *rounded_run(net, x)


# (1,), (33,), (5, 17), with and without scaling, bias and a start state: each pair of these once.
SOME_KINDS = [
    ((1,), False, False, None),
    ((1,), True, True, 0.7),
    ((33,), False, True, 0.7),
    ((33,), True, False, None),
    ((5, 17), False, True, None),
    ((5, 17), True, False, 0.7),
]
ALL_KINDS = list(
    itertools.product([(1,), (33,), (5, 17)], [False, True], [False, True], [None, 0.7])
)


@pytest.mark.parametrize(
    "kinds", [SOME_KINDS, pytest.param(ALL_KINDS, marks=pytest.mark.slow)], ids=["some", "all"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 50.0])
def test_verify_never_fails_a_right_result(rng, dtype, scale, kinds):
    heads = zip(
        itertools.cycle(["tanh", "sigmoid"]), itertools.cycle(OUTPUT_ACTIVATIONS), strict=False
    )
    if kinds is ALL_KINDS:
        chosen = itertools.product(kinds, ["tanh", "sigmoid"], OUTPUT_ACTIVATIONS)
    else:
        chosen = ((kind, *next(heads)) for kind in kinds * 2)
    for (hidden, scaling, bias, start), activation, output_activation in chosen:
        net = make_network(
            rng,
            hidden=hidden,
            activation=activation,
            output_activation=output_activation,
            dtype=dtype,
            scale=scale,
            scaling=scaling,
            bias=bias,
            outputs=7,
        )
        x = make_inputs(rng, net, 3, 20)
        state = None if start is None else np.full(net.state_size, start, dtype)
        lengths = [20, 0, 11]
        output, hidden = rounded_run(net, x, state, lengths)
        report = reference.verify(net, x, output, hidden, state, lengths)
        assert report.ok, str(report)
        assert report.steps == 31


@pytest.mark.parametrize("scaling", [{"output_mean": [1e4, -300]}, {"output_std": [1e4, 1e-3]}])
def test_verify_never_fails_a_right_result_of_a_mean_or_a_std_alone(rng, scaling):
    net = elman.Network(3, 8, 2, seed=0, **scaling)
    assert net.verify(rng.standard_normal((8, 30, 3))).ok


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
def test_verify_never_fails_a_right_result_of_an_activation_with_parameters(rng, f):
    for dtype, scale, scaling, hidden in (
        ("float32", 0.1, True, (33,)),
        ("float64", 0.7, False, (33,)),
        ("float32", 3.0, False, (5, 17)),
        ("float64", 3.0, True, (5, 17)),
    ):
        net = make_network(
            rng,
            hidden=hidden,
            activation=f,
            output_activation=f,
            dtype=dtype,
            scale=scale,
            scaling=scaling,
            outputs=7,
        )
        x = make_inputs(rng, net, 3, 20)
        report = reference.verify(net, x, *rounded_run(net, x))
        assert report.ok, str(report)
        assert report.not_judged == 0


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
def test_verify_finds_an_error_beyond_rounding_in_an_activation_with_parameters(rng, f):
    net = make_network(rng, hidden=(6,), activation=f, outputs=None, scale=0.5)
    x = make_inputs(rng, net, 30)
    _, hidden = rounded_run(net, x)
    for t in range(0, 29, 3):
        spoiled = hidden.copy()
        spoiled[t, t // 3 % 6] += np.float32(5e-5)
        report = reference.verify(net, x, spoiled, spoiled)
        assert not report.ok
        assert report.where[2] in (t, t + 1)  # the next step is judged from this one


def test_verify_demands_a_clipped_value_to_the_last_bits(rng):
    f = elman.Activation("identity", clip=0.25)
    net = make_network(rng, inputs=40, hidden=(6,), activation=f, outputs=None, bias=False)
    x = 100 * make_inputs(rng, net, 30)
    _, hidden = rounded_run(net, x)
    clipped = np.argwhere(np.abs(hidden) == 0.25)
    assert len(clipped) > 150
    for t, unit in clipped[clipped[:, 0] == 29]:
        spoiled = hidden.copy()
        spoiled[t, unit] *= np.float32(1 - 1e-6)  # the sum is rounded by more than that
        assert not reference.verify(net, x, spoiled, spoiled).ok


def at_the_threshold(dtype, alpha):
    """Return a unit of thresholded_relu that adds 0.1, 0.2, 0.3 and -0.6 to alpha."""
    f = elman.Activation("thresholded_relu", alpha=alpha)
    weights = np.array([[0.1, 0.2, 0.3, -0.6]], dtype)
    return elman.Network.from_weights(
        [(weights, [[0.0]], [alpha])], None, activation=f, dtype=dtype
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.75, -0.75])
def test_verify_takes_both_sides_of_a_jump_within_rounding_and_nothing_else(dtype, alpha):
    net = at_the_threshold(dtype, alpha)
    ulp = float(np.finfo(dtype).eps)
    ones = np.ones((1, 4), dtype)

    def verdict(value, x=ones):
        h = np.array([[value]], dtype)
        return reference.verify(net, x, h, h)

    for right in (0.0, alpha, alpha + ulp, alpha - ulp):
        assert verdict(right).ok, right
    for wrong in (alpha / 2, 1e-3, alpha + 1e-3, 1.0, np.nan):
        assert not verdict(wrong).ok, wrong
    above, below = ones * [[1, 1, 1, 0.99]], ones * [[1, 1, 1, 1.01]]
    assert verdict(0.0, below).ok
    assert verdict(alpha + 0.006, above.astype(dtype)).worst_ratio < 1e6  # nearly the value
    assert not verdict(0.0, above).ok
    assert not verdict(alpha - 0.006, below).ok


@pytest.mark.parametrize(("activation", "dtype"), [("relu", "float32"), ("identity", "float64")])
def test_verify_never_fails_a_right_result_that_grows_without_limit(rng, dtype, activation):
    net = make_network(rng, activation=activation, dtype=dtype, scale=5.0, output_activation="tanh")
    x = make_inputs(rng, net, 4, 1000)
    output, hidden = rounded_run(net, x)
    report = reference.verify(net, x, output, hidden)
    assert report.ok, str(report)
    assert not np.isfinite(hidden[:, -1]).any()
    assert 0 < report.not_judged < report.values
    assert f"{report.not_judged:,}" in str(report)


def partial_sums(c, W, v, S):
    """Return c + W v in float32, each product rounded, in S partial sums and a binary tree."""
    p = [c.astype(np.float32), *(np.zeros_like(c) for _ in range(S - 1))]
    for k in range(len(v)):
        p[k % S] = p[k % S] + W[:, k] * v[k]
    while len(p) > 1:
        p = [a + b for a, b in zip(p[::2], p[1::2], strict=True)]
    return p[0]


@pytest.mark.parametrize(("S", "inputs"), [(1, 1), (1, 40), (2, 3), (4, 40), (16, 1), (16, 40)])
def test_verify_never_fails_sums_in_any_number_of_partial_sums(rng, S, inputs):
    net = make_network(
        rng,
        inputs=inputs,
        hidden=(37,),
        outputs=None,
        activation="identity",
        initial_state=True,
        scale=0.5,
    )
    (layer,) = net.layers
    x = make_inputs(rng, net, 50)
    h, hidden = net.initial_state, []
    for x_t in x:
        h = partial_sums(partial_sums(layer.b_h, layer.W_xh, x_t, S), layer.W_hh, h, S)
        hidden.append(h)
    report = reference.verify(net, x, hidden, hidden)
    assert report.ok, str(report)
    assert report.worst_ratio > 1e-3  # the bound is not so wide that anything would pass


def test_verify_passes_exactly_rounded_results(rng):
    net = make_network(rng, hidden=(3, 2), scaling=True, initial_state=True)
    # x' is rounded in the dtype by definition, and the oracle rounds last.
    net = net.replace(tensors={"input_mean": None, "input_std": [1, 0.5, 2]})
    x = make_inputs(rng, net, 8)
    state, hidden, output = net.initial_state, [], []
    for t in range(8):
        y, h = (a[0].astype(np.float32) for a in exact_run(net, x[t : t + 1], state))
        state = h
        hidden.append(h)
        output.append(y)
    report = reference.verify(net, x, output, hidden)
    assert report.worst_ratio < 0.5


def test_verify_knows_the_bound_of_a_single_neuron(rng):
    """Just inside the documented bound passes, just outside fails."""
    net = make_network(
        rng, inputs=2, hidden=(3,), outputs=None, activation="sigmoid", initial_state=True
    )
    (layer,) = net.layers
    x = make_inputs(rng, net, 1)
    right = reference.run(net, x).hidden
    size = np.abs(layer.b_h).astype(np.float64)
    size = size + np.abs(layer.W_xh).astype(np.float64) @ np.abs(x[0])
    size = size + np.abs(layer.W_hh).astype(np.float64) @ np.abs(net.initial_state)
    u = 2.0**-24
    bound = (5 + 4) * u * size / 4 + 4 * u * np.abs(right[0])
    for unit in range(3):
        for factor, ok in [(0.999, True), (-0.999, True), (1.001, False), (-1.001, False)]:
            hidden = right.copy()
            hidden[0, unit] += factor * bound[unit]
            report = reference.verify(net, x, hidden, hidden)
            assert report.ok is ok
            assert report.where == (0, (), 0, unit)
            assert report.worst_ratio == pytest.approx(abs(factor), rel=1e-5)


def test_verify_finds_one_hidden_value_that_is_off_by_a_few_ulp_more_than_rounding(right):
    net, x, output, hidden = right
    for sequence, t, unit in [(0, 0, 0), (1, 4, 6), (0, 8, 12)]:
        wrong = hidden.copy()
        wrong[sequence, t, unit] *= 1 + 1e-5
        report = reference.verify(net, x, output, wrong)
        assert not report.ok
        layer = 0 if unit < 7 else 1
        assert report.where == (layer, (sequence,), t, unit - 7 * layer)
        assert report.worst_ratio > 1
        assert str(report).startswith("NOT verified")
        for number in (r"\b288\b", r"\b18\b", rf"layer {layer}\b", rf"step {t}\b"):
            assert re.search(number, str(report))


def test_verify_finds_one_output_that_is_off_by_a_few_ulp_more_than_rounding(right):
    net, x, output, hidden = right
    output[1, 3, 2] *= np.float32(1 + 1e-5)
    report = reference.verify(net, x, output, hidden)
    assert not report.ok
    assert report.where == ("output", (1,), 3, 2)
    assert re.search(r"output, sequence 1, step 3, unit 2\b", str(report))


def test_verify_judges_each_step_from_the_state_before_it(right):
    net, x, output, hidden = right
    hidden[:, 3, 0] += np.float32(0.25)
    output[:, 4:], hidden[:, 4:] = rounded_run(net, x[:, 4:], hidden[:, 3])
    report = reference.verify(net, x, output, hidden)
    assert report.where[2] == 3
    # The following steps are correct, given the wrong state.
    assert reference.verify(net, x[:, 4:], output[:, 4:], hidden[:, 4:], hidden[:, 3]).ok


def replaced(net, name, values):
    return net.replace(tensors={name: values})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda net: replaced(net, "layers.0.W_hh", np.zeros_like(net.layers[0].W_hh)),
        lambda net: replaced(net, "layers.1.W_hh", net.layers[1].W_hh.T),
        lambda net: replaced(net, "layers.1.b_h", None),
        lambda net: elman.Network.from_tensors(net.tensors(), activation=["sigmoid", "tanh"]),
        lambda net: replaced(net, "readout.b_y", None),
        lambda net: elman.Network.from_tensors(net.tensors(), output_activation="tanh"),
        lambda net: replaced(net, "input_mean", None),
        lambda net: replaced(net, "output_std", None),
        lambda net: replaced(net, "output_mean", None),
        lambda net: replaced(net, "initial_state", np.full(13, 1e-3, np.float32)),
    ],
)
def test_verify_finds_results_of_another_network(right, spoil):
    net, x, output, hidden = right
    assert reference.verify(net, x, output, hidden).ok
    assert not reference.verify(spoil(net), x, output, hidden).ok


def test_verify_demands_the_output_of_a_network_without_readout_to_be_the_top_state(rng):
    net = make_network(rng, hidden=(3, 4), outputs=None)
    x = make_inputs(rng, net, 5)
    output, hidden = rounded_run(net, x)
    assert reference.verify(net, x, output, hidden).ok
    output[2, 1] = np.nextafter(output[2, 1], np.float32(2))
    report = reference.verify(net, x, output, hidden)
    assert report.worst_ratio == np.inf
    assert report.where == ("output", (), 2, 1)


def test_verify_demands_that_padding_is_exact(right):
    net, x, _, _ = right
    lengths = [4, 0]
    output, hidden = rounded_run(net, x, lengths=lengths)
    x[0, 4:] = np.nan  # must not matter
    assert reference.verify(net, x, output, hidden, lengths=lengths).ok
    for spoiled in (output, hidden):
        for place in [(0, 6, 1), (1, 0, 2)]:
            before = spoiled[place]
            spoiled[place] = np.nextafter(before, np.float32(2))
            report = reference.verify(net, x, output, hidden, lengths=lengths)
            assert report.worst_ratio == np.inf
            assert report.where[1:3] == ((place[0],), place[1])
            spoiled[place] = np.nan
            assert not reference.verify(net, x, output, hidden, lengths=lengths).ok
            spoiled[place] = before


def test_verify_wants_nan_exactly_where_it_belongs(right):
    net, x, output, hidden = right
    hidden[0, 2, 3] = np.nan
    assert not reference.verify(net, x, output, hidden).ok
    x[0, 2, 1] = np.nan
    output, hidden = rounded_run(net, x)
    assert np.isnan(output[0, 2:]).all()
    report = reference.verify(net, x, output, hidden)
    assert report.ok
    assert report.not_judged == 0
    hidden[0, 5, 3] = 0.5  # a number where the reference has NaN
    report = reference.verify(net, x, output, hidden)
    assert not report.ok
    assert report.where == (0, (0,), 5, 3)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_verify_judges_infinite_data_by_their_limits(rng, activation):
    net = make_network(rng, activation=activation, outputs=None)
    x = make_inputs(rng, net, 4)
    x[1, 0] = np.inf
    output, hidden = rounded_run(net, x)
    report = reference.verify(net, x, output, hidden)
    assert report.ok, str(report)
    assert report.not_judged == 0
    hidden[1] = -hidden[1] + np.float32(0.5)
    assert not reference.verify(net, x, hidden, hidden).ok


def test_verify_allows_a_hidden_value_below_the_tiny_limit_to_be_zero(rng):
    net = make_network(rng, inputs=1, hidden=(1,), outputs=None, bias=False)
    x = np.float32([[2.0**-104], [1.0]])
    hidden = rounded_run(net, x)[1]
    assert 0 < abs(hidden[0, 0]) < 2.0**-100
    hidden[0] = 0
    hidden[1] = rounded_run(net, x[1:])[1][0]
    assert reference.verify(net, x, hidden, hidden).ok


def test_verify_reports_the_free_running_difference_without_judging_it(rng):
    net = make_network(rng, hidden=(30,), scale=8.0, outputs=1)
    x = make_inputs(rng, net, 200)
    report = reference.verify(net, x, *rounded_run(net, x))
    assert report.ok
    assert report.free_running_difference > 1e-2  # chaos
    free = reference.run(net, x).output
    got = np.abs(rounded_run(net, x)[0] - free).max()
    assert report.free_running_difference == pytest.approx(got, rel=1e-12)
    numbers = map(float, re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", str(report)))
    assert any(n == pytest.approx(got, rel=0.05) for n in numbers)


def test_verify_finds_the_same_in_blocks_of_any_size(right, monkeypatch):
    net, x, output, hidden = right
    hidden[1, 5, 2] += np.float32(1e-3)
    lengths = [7, 9]
    output[0, 7:], hidden[0, 7:] = 0, hidden[0, 6]
    whole = reference.verify(net, x, output, hidden, lengths=lengths)
    for values in (1, 100, 150):
        monkeypatch.setattr(reference.judge, "_BLOCK_VALUES", values)
        report = reference.verify(net, x, output, hidden, lengths=lengths)
        assert report.where == whole.where == (0, (1,), 5, 2)
        assert report.worst_ratio == pytest.approx(whole.worst_ratio, rel=1e-6)
        assert report.free_running_difference == pytest.approx(whole.free_running_difference)
        assert report.values == whole.values
        assert report.steps == 16


def test_verify_rounds_the_inputs_and_the_state_as_the_core_does(rng):
    net = make_network(rng, scaling=True)
    x = 1e4 + rng.standard_normal((4, 3))  # float64: rounding it moves x' by 1e-4
    state = rng.standard_normal(4)
    output, hidden = rounded_run(net, x.astype(np.float32), state.astype(np.float32))
    assert reference.verify(net, x, output, hidden, state).ok


def test_verify_of_nothing_is_true(rng):
    net = make_network(rng)
    for x in (np.zeros((0, 3)), np.zeros((2, 0, 3)), np.zeros((0, 5, 3))):
        report = reference.verify(net, x, *rounded_run(net, x.astype(np.float32)))
        assert report.ok
        assert report.where is None
        assert str(report).startswith("verified")


@pytest.mark.parametrize("name", ["output", "hidden"])
def test_verify_refuses_results_of_another_shape(right, name):
    net, x, output, hidden = right
    results = {"output": output, "hidden": hidden}
    results[name] = results[name][:, :-1]
    with pytest.raises(ShapeError, match=rf"{name}: expected \(2, 9, \d+\), got \(2, 8, \d+\)"):
        reference.verify(net, x, **results)


@pytest.mark.parametrize("case", [case for case in TORCH_CASES if "-1-" in case])
def test_verify_passes_pytorch(case):
    """PyTorch adds the biases one by one: one more rounding, which is within the bound."""
    net, arrays = torch_case(case)  # of one layer: the fixture holds the states of the top layer
    real = np.arange(6) < arrays["lengths"][:, np.newaxis]
    hidden = np.where(real[..., np.newaxis], arrays["top"], arrays["final_state"][:, np.newaxis])
    report = reference.verify(
        net, arrays["x"], arrays["output"], hidden, arrays["state"], arrays["lengths"]
    )
    assert report.ok, str(report)
