"""The numerical contract: the bits themselves.

The order of summation, the roundings of scaling and the rule for tiny states, each against a
separate implementation.
"""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import elman
from conftest import FUSED_ISAS, ISAS
from elman import _core
from fixtures.bits import assert_same_bits
from fixtures.exact_sums import affine, fused, rounded, unfused

# If ELMAN_ISA forces a set, perhaps an emulated one, it is compared only with `scalar`.
FUSED = list(dict.fromkeys(["scalar", *FUSED_ISAS]))
SMALLEST_STATE = {"float32": 2.0**-100, "float64": 2.0**-900}


# --- the order of summation -----------------------------------------------------------------------


def identity_networks(dtype, rng, inputs, hidden, outputs):
    """Yield (multiply_add, networks): for fused and for other sets, the same identity network."""
    W_xh, W_hh, W_hy = (
        (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 6, shape)).astype(dtype)
        for shape in ((hidden, inputs), (hidden, hidden), (outputs, hidden))
    )
    b_h, b_y = (rng.standard_normal(size).astype(dtype) for size in (hidden, outputs))
    # Sums of zeros only have their own rule for the sign.
    W_hy[rng.random(outputs) < 0.2] *= 0
    b_y[rng.random(outputs) < 0.3] *= -0.0
    nets = {}
    for isa in dict.fromkeys([*FUSED, *ISAS]):
        with elman.use_isa(isa):
            nets[isa] = elman.Network.from_weights(
                [(W_xh, W_hh, b_h)],
                (W_hy, b_y),
                activation="identity",
                output_activation="identity",
            )
    yield fused, [net for isa, net in nets.items() if isa in FUSED]
    yield unfused, [net for isa, net in nets.items() if isa not in FUSED]


def test_the_sum_of_a_product_has_the_order_that_the_contract_says(rng, dtype):
    # Rows and columns at which the number of partial sums changes.
    small = itertools.product((1, 16, 17), (1, 7, 8, 15, 16, 33))
    for O, H in [*small, *itertools.product((64, 65), (1, 7, 8, 17))]:
        x, h = rng.standard_normal((2, 1)), rng.standard_normal(H).astype(dtype)
        for multiply_add, nets in identity_networks(dtype, rng, 1, H, O):
            expected = {}
            for net in nets:
                run = net.run(x, state=h, return_hidden=True)
                for h_t, y_t in zip(run.hidden, run.output, strict=True):
                    if (key := h_t.tobytes()) not in expected:
                        readout = net.readout
                        expected[key] = affine(readout.b_y, readout.W_hy, h_t, multiply_add)
                    assert_same_bits(y_t, expected[key])


def test_a_step_is_the_sum_of_the_state_on_top_of_the_sum_of_the_input(rng, dtype):
    for I, H in ((33, 1), (8, 15), (15, 16), (16, 16), (7, 17), (15, 33), (1, 64), (16, 65)):
        x = rng.standard_normal((1, I)).astype(dtype)
        h = rng.standard_normal(H).astype(dtype)
        for multiply_add, nets in identity_networks(dtype, rng, I, H, 1):
            expected = None
            for net in nets:
                if expected is None:
                    layer = net.layers[0]
                    u = affine(layer.b_h, layer.W_xh, x[0], multiply_add)
                    expected = affine(u, layer.W_hh, h, multiply_add)
                assert_same_bits(net.run(x, state=h).state, expected)
                batch = net.run(np.stack([x] * 7), state=h).state
                assert_same_bits(batch, np.stack([expected] * 7))


# sets with the same bits, and their multiply-add
SETS = [(FUSED, fused), ([isa for isa in ISAS if isa not in FUSED], unfused)]
# f'(v) e in terms of y = f(v), for numbers
SLOPES = {
    "tanh": lambda e, y, multiply_add: e * multiply_add(-y, y, y.dtype.type(1)),
    "sigmoid": lambda e, y, multiply_add: e * multiply_add(-y, y, y),
    "relu": lambda e, y, _: e if y > 0 else y,
    "identity": lambda e, y, _: e,
}


# A panel has at most 64 rows (float32, AVX-512); 65 rows have more than one on every set.
@pytest.mark.parametrize(
    ("f", "sequences", "size"),
    [
        *(("tanh", 1, size) for size in (2, 9, 17, 33, 64, 65)),
        *(("tanh", 7, 5), ("sigmoid", 1, 12), ("sigmoid", 3, 18), ("relu", 1, 20)),
        *(("relu", 3, 16), ("identity", 1, 7), ("identity", 2, 33)),
    ],
)
def test_states_errors_and_gradients_of_several_steps_are_the_sums_of_the_contract(
    rng, dtype, f, sequences, size
):
    inputs, steps = 3, 3
    shapes = ((sequences, steps, inputs), (sequences, steps, size), (size, inputs), size)
    x, e, W_xh, b_h = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    W_hh = (rng.standard_normal((size, size)) / size**0.5).astype(dtype)
    for isas, multiply_add in SETS:
        want = None
        for isa in isas:
            with elman.use_isa(isa):
                net = elman.Network.from_weights([(W_xh, W_hh, b_h)], None, activation=f)
                want = want or exact_run(net, f, x, e, multiply_add)
            h, x_gradient, gradients = want
            assert_same_bits(net.run(x, return_hidden=True).hidden, h)
            got = elman.backward(net, x, e)
            assert_same_bits(got.x, x_gradient)
            for gradient, exact in zip(
                (got.layers[0].W_xh, got.layers[0].W_hh, got.layers[0].b_h), gradients, strict=True
            ):
                assert_same_bits(gradient, exact)


def exact_run(net, f, x, e, multiply_add):
    """Return all h, and the gradients of x and of (W_xh, W_hh, b_h), if e_t is dL/dh_t."""
    layer = net.layers[0]
    h, d = np.zeros_like(e), e.copy()
    zeros = [np.zeros(size, e.dtype) for size in (net.input_size, net.state_size)]
    for n, t in np.ndindex(e.shape[:2]):
        v = affine(layer.b_h, layer.W_xh, x[n, t], multiply_add)
        v = affine(v, layer.W_hh, h[n, t - 1] if t else zeros[1], multiply_add)
        h[n, t] = _core.activate(elman.Activation(f)._arguments(), v)
    steps = [(n, t) for t in reversed(range(e.shape[1])) for n in range(len(e))]
    for n, t in steps:
        if t + 1 < e.shape[1]:
            d[n, t] = affine(e[n, t], layer.W_hh.T, d[n, t + 1], multiply_add)
        d[n, t] = [SLOPES[f](*pair, multiply_add) for pair in zip(d[n, t], h[n, t], strict=True)]
    x_gradient = [[affine(zeros[0], layer.W_xh.T, d_t, multiply_add) for d_t in of] for of in d]
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    return h, np.array(x_gradient), exact_gradients(d, (x, before), steps, multiply_add)


def exact_gradients(d, columns, steps, multiply_add):
    """Return the sums of d x^T for each x of `columns`, and of d, in the order of `steps`."""
    return [summed(multiply_add, [(d[step], x[step]) for step in steps]) for x in columns] + [
        functools.reduce(np.add, [d[step] for step in steps], np.zeros_like(d[0, 0]))
    ]


@pytest.mark.parametrize(
    ("sequences", "steps", "shape"),
    [
        *((1, 300, (2, 5, None)), (3, 100, (2, 5, None)), (16, 9, (2, 5, None))),
        *((1, 4, (3, 33, 65)), (2, 2, (65, 33, 17))),  # several panels, and groups of columns
    ],
)
def test_a_gradient_is_summed_from_the_last_step_to_the_first(rng, dtype, sequences, steps, shape):
    inputs, size, outputs = shape
    x = rng.standard_normal((sequences, steps, inputs)).astype(dtype)
    o = rng.standard_normal((sequences, steps, outputs or size)).astype(dtype)  # dL/dy
    W_xh, zero = rng.standard_normal((size, inputs)).astype(dtype), np.zeros((size, size), dtype)
    W_hy = rng.standard_normal((outputs or size, size)).astype(dtype)
    order = [(n, t) for t in reversed(range(steps)) for n in range(sequences)]
    for isas, multiply_add in SETS:
        expected = None
        for isa in isas:
            with elman.use_isa(isa):
                net = elman.Network.from_weights(
                    [(W_xh, zero, zero[0])],
                    (W_hy, np.zeros_like(W_hy[:, 0])) if outputs else None,
                    activation="identity",
                    output_activation="identity",
                )
            h = net.run(x, return_hidden=True).hidden
            before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
            if expected is None:
                d, expected = o, []  # without recurrence
                if outputs:
                    expected = exact_gradients(o, (h,), order, multiply_add)
                    d = np.array(
                        [[affine(zero[0], W_hy.T, o_t, multiply_add) for o_t in of] for of in o]
                    )
                expected += exact_gradients(d, (x, before), order, multiply_add)
            grads = elman.backward(net, x, o)
            (layer,), readout = grads.layers, grads.readout
            got = [readout.W_hy, readout.b_y] if outputs else []
            got += [layer.W_xh, layer.W_hh, layer.b_h]
            for gradient, exact in zip(got, expected, strict=True):
                assert_same_bits(gradient, exact)


def summed(multiply_add, terms):
    """Return the sum of outer products d x^T, term by term from 0."""
    G = np.zeros((len(terms[0][0]), len(terms[0][1])), terms[0][0].dtype)
    for d, x in terms:
        for r, k in np.ndindex(G.shape):
            G[r, k] = multiply_add(d[r], x[k], G[r, k])
    return G


# --- scaling --------------------------------------------------------------------------------------


def each(operation, *arrays):
    """Return an operation on fractions for each number of some arrays, rounded once."""
    dtype = arrays[0].dtype
    numbers = np.broadcast_arrays(*arrays)
    results = [
        rounded(operation(*(Fraction(float(n)) for n in of_one)), dtype)
        for of_one in zip(*(array.flat for array in numbers), strict=True)
    ]
    return np.array(results, dtype).reshape(numbers[0].shape)


def numbers_of_any_size(rng, dtype, *shape):
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 6, shape)).astype(dtype)


@pytest.mark.parametrize("readout", [False, True])
def test_scaling_rounds_the_difference_the_reciprocal_and_the_product(rng, dtype, readout):
    size = 9
    x, dL_dy = (numbers_of_any_size(rng, dtype, 12, size) for _ in range(2))
    mean, to_mean = (numbers_of_any_size(rng, dtype, size) for _ in range(2))
    std, to_std = (abs(numbers_of_any_size(rng, dtype, size)) for _ in range(2))
    reciprocal = each(lambda s: 1 / s, std)
    scaled = each(lambda a, b: a * b, each(lambda a, b: a - b, x, mean), reciprocal)
    output = each(lambda a, b: a + b, each(lambda a, b: a * b, scaled, to_std), to_mean)
    error = each(lambda a, b: a * b, dL_dy, to_std)
    gradient = each(lambda a, b: a * b, error, reciprocal)
    # Neither a quotient nor a fused product gives these bits.
    assert (scaled != (x - mean) / std).any()
    assert (output != each(lambda a, b, c: a * b + c, scaled, to_std, to_mean)).any()

    unit, zero = np.eye(size, dtype=dtype), np.zeros((size, size), dtype)
    for isa in dict.fromkeys([*FUSED, *ISAS]):
        with elman.use_isa(isa):
            net = elman.Network.from_weights(
                [(unit, zero, None)],
                (unit, None) if readout else None,
                activation="identity",
                output_activation="identity",
                input_mean=mean,
                input_std=std,
                output_mean=to_mean,
                output_std=to_std,
            )
        run = net.run(x, return_hidden=True)
        assert_same_bits(run.hidden, scaled)
        assert_same_bits(run.output, output)
        stream = net.stream()
        assert_same_bits(np.stack([stream.step(x_t) for x_t in x[:5]]), output[:5])
        assert_same_bits(stream.run(x[5:]), output[5:])
        batch = net.run(np.stack([x] * 7), threads=2).output
        assert_same_bits(batch, np.stack([output] * 7))
        assert_same_bits(elman.backward(net, x, dL_dy).x, gradient)
        assert net.verify(x).ok


# --- tiny values ----------------------------------------------------------------------------------


def diagonal_network(isa, dtype, rate, activation):
    """Return h_t = f(rate h_(t-1) + x_t) for nine units that read the same input."""
    W_xh, W_hh = np.ones((9, 1), dtype), (rate * np.eye(9)).astype(dtype)
    with elman.use_isa(isa):
        return elman.Network.from_weights([(W_xh, W_hh, None)], None, activation=activation)


def steps_to_zero(dtype, rate):
    return 10 + math.ceil(math.log(SMALLEST_STATE[dtype]) / math.log(rate))


@pytest.mark.parametrize(
    ("rate", "activation"),
    [
        (0.5, "tanh"),
        (0.9, "identity"),
        (0.99, "tanh"),
        pytest.param(0.999, "identity", marks=pytest.mark.slow),
        pytest.param(0.999, "tanh", marks=pytest.mark.slow),
    ],
)
def test_a_fading_state_reaches_exactly_zero(isa, dtype, rate, activation):
    smallest = SMALLEST_STATE[dtype]
    net = diagonal_network(isa, dtype, rate, activation)
    T = steps_to_zero(dtype, rate)
    x = np.zeros((T, 1), dtype)
    x[0] = 1
    h = net.run(x, return_hidden=True).hidden[:, 0]
    alive = np.count_nonzero(h)
    assert 0 < alive < T
    assert not h[alive:].view(f"u{h.itemsize}").any()  # all +0
    assert h[:alive].min() >= smallest  # nothing subnormal on the way
    assert h[alive - 1] * rate < smallest * (1 + 1e-6)  # and not zero too early

    stream = net.stream()
    stream.step(x[0])
    for start in range(1, T, 997):
        stream.run(x[start : start + 997])
    assert not stream.state.view(f"u{h.itemsize}").any()


SAME_WHEN_SMALL = (
    *("identity", "relu", "tanh", "elu", "softsign"),
    elman.Activation("affine", alpha=1, beta=0),
    elman.Activation("identity", clip=2),
)


@pytest.mark.parametrize("activation", SAME_WHEN_SMALL, ids=str)
def test_a_state_below_the_threshold_is_positive_zero_and_one_above_is_itself(
    isa, dtype, activation
):
    smallest = np.dtype(dtype).type(SMALLEST_STATE[dtype])
    below = np.nextafter(smallest, np.dtype(dtype).type(0))
    tiny = np.array([below, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal, 0], dtype)
    kept = np.array([smallest, np.nextafter(smallest, np.dtype(dtype).type(1)), 0.5, 1], dtype)
    net = diagonal_network(isa, dtype, 0.0, activation)
    stream = net.stream()
    for value in (*tiny, *-tiny):
        assert_same_bits(stream.step([value]), np.zeros(9, dtype))
        assert_same_bits(net([[value]] * 3), np.zeros((3, 9), dtype))
    signs = (1,) if activation == "relu" else (1, -1)
    for value, sign in itertools.product(kept, signs):
        curved = activation in ("tanh", "elu", "softsign")
        want = value if not curved or value < 0.1 else None
        h = stream.step([sign * value])
        assert (sign * h > 0).all()
        if want is not None:
            assert_same_bits(h, np.full(9, sign * want, dtype))


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", *SAME_WHEN_SMALL], ids=str)
def test_a_state_is_the_value_of_the_activation_or_zero_below_the_threshold(isa, dtype, activation):
    smallest = SMALLEST_STATE[dtype]
    low = np.log2(smallest)
    around = 2.0 ** np.concatenate(
        [np.linspace(1.5 * low, 5, 99), np.linspace(low - 2, low + 2, 99)]
    )
    tail = np.log(smallest) * np.linspace(0.9, 1.1, 99)  # where e^v is at the threshold
    v = np.concatenate([around, -around, tail]).astype(dtype)
    if isinstance(activation, str):
        activation = elman.Activation(activation)
    with elman.use_isa(isa):
        f = _core.activate(activation._arguments(), v)
    net = diagonal_network(isa, dtype, 0.0, activation)
    want = np.where(abs(f) < smallest, np.zeros_like(f), f)
    assert_same_bits(net.run(v[:, None, None], return_hidden=True).hidden[:, 0, 0], want)
    assert_same_bits(net.stream().run(v[:, None])[:, 0], want)
    assert 0 < np.count_nonzero(want) < len(v)


@pytest.mark.parametrize("activation", ["sigmoid", *SAME_WHEN_SMALL], ids=str)
@pytest.mark.parametrize("sequences", [1, 3])
def test_an_error_below_the_threshold_is_zero_and_one_above_is_itself(
    isa, dtype, activation, sequences
):
    smallest = np.dtype(dtype).type(SMALLEST_STATE[dtype])
    below = np.nextafter(smallest, np.dtype(dtype).type(0))
    kept = np.array([smallest, np.nextafter(smallest, np.dtype(dtype).type(1)), 1], dtype)
    v, slope = (1, 1) if activation in ("relu", "identity") else (0, 1)
    if activation == "sigmoid":
        slope = 0.25
    for size in (9, 70):
        zero = np.zeros((size, size), dtype)
        with elman.use_isa(isa):
            net = elman.Network.from_weights(
                [(np.ones((size, 1), dtype), zero, None)], None, activation=activation
            )
        # Also W_hh^T d_(t+1) = 0 is added at the first step.
        x = np.full((sequences, 2, 1), v, dtype)
        for d, want in [(below, 0), (-below, 0), *((d, d) for d in (*kept, *-kept))]:
            error = np.zeros((sequences, 2, size), dtype)
            error[..., 0] = d / slope
            got = elman.backward(net, x, error).x
            assert_same_bits(got, np.full_like(got, want))


def test_inputs_and_outputs_may_be_subnormal(isa, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    up = {"float32": 2.0**60, "float64": 2.0**200}[dtype]  # the state must not fade
    with elman.use_isa(isa):
        net = elman.Network.from_weights(
            [([[up]], [[0.0]], None)],
            ([[1 / up]], None),
            activation="identity",
            output_activation="identity",
            dtype=dtype,
        )
    x = np.array([[tiny], [-tiny]], dtype)
    assert_same_bits(net(x), x)
    assert_same_bits(net.stream().run(x), x)
