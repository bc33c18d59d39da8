"""Kernel activations: accuracy, the same bits on every set; tanh and sigmoid are monotone.

The sweep over all 2^32 floats is the C++ program `activation_sweep` (test_cpp.py). Here the float64
functions are compared with mpmath, over 10^7 arguments in the slow test and fewer in the default
one.
"""

import concurrent.futures
import multiprocessing
import os

import mpmath
import numpy as np
import pytest
from mpmath import libmp, mpf

import elman
from conftest import FUSED_ISAS, ISAS
from elman import Activation, _core
from fixtures.activations import GENERAL, UNTRAINABLE

FUNCTIONS = ("tanh", "sigmoid")
ULP = 2
PRECISION = 90  # bits of the exact values


def activate(activation, x):
    """Apply the kernel of an activation to an array."""
    if isinstance(activation, str):
        activation = Activation(activation)
    return _core.activate(activation._arguments(), x)


def exact(name, x):
    """Return the exact values of a function as an unevaluated sum of two doubles."""
    high, low = np.empty(len(x)), np.empty(len(x))
    one = libmp.fone
    for i, value in enumerate(map(libmp.from_float, x.tolist())):
        if name == "tanh":
            y = libmp.mpf_tanh(value, PRECISION)
        else:
            e = libmp.mpf_exp(libmp.mpf_neg(value), PRECISION)
            y = libmp.mpf_div(one, libmp.mpf_add(one, e, PRECISION), PRECISION)
        high[i] = libmp.to_float(y)
        low[i] = libmp.to_float(libmp.mpf_sub(y, libmp.from_float(high[i]), PRECISION))
    return high, low


def hard_arguments(count, seed):
    """Return float64 arguments: all magnitudes, the interesting range, and around the joins."""
    rng = np.random.default_rng(seed)
    quarter = count // 4
    signs = rng.choice([-1.0, 1.0], quarter)
    magnitudes = signs * np.exp2(rng.uniform(-1074, 12, quarter))
    usual = rng.uniform(-25, 25, quarter)
    tails = rng.uniform(-746, 40, quarter)
    # Multiples of ln(2) / 2, where the argument reduction changes n, and the joins.
    joins = np.concatenate([np.arange(-1500, 1500) * np.log(2) / 2, [0.625, -0.625, 19.25, -19.25]])
    rest = count - 3 * quarter
    near = rng.choice(joins, rest)
    near += np.spacing(near) * rng.integers(-1000, 1000, rest)
    return np.concatenate([magnitudes, usual, tails, near])


def worst_ulp(name, x, high, low):
    error = np.abs((activate(name, x) - high) - low)
    return (error / np.spacing(np.abs(high))).max()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_two_ulp_of_the_exact_value(name):
    x = hard_arguments(10_000, seed=1)
    right = exact(name, x)
    for isa in ISAS:
        with elman.use_isa(isa):
            assert worst_ulp(name, x, *right) <= ULP, isa


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_two_ulp_over_ten_million_arguments(name):
    parts = [hard_arguments(100_000, seed) for seed in range(100)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for x, (high, low) in zip(parts, pool.map(exact, [name] * 100, parts), strict=True):
            for isa in ISAS:
                with elman.use_isa(isa):
                    assert worst_ulp(name, x, high, low) <= ULP, isa


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_are_the_same_on_every_fused_set(name, dtype):
    x = hard_arguments(50_000, seed=2).astype(dtype)
    results = set()
    for isa in FUSED_ISAS:
        with elman.use_isa(isa):
            results.add(activate(name, x).tobytes())
    assert len(results) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values_are_right(dtype, isa):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, tiny, -tiny, np.inf, -np.inf, np.nan, 1e4, -1e4], dtype)
    tanh, sigmoid = activate("tanh", x), activate("sigmoid", x)
    np.testing.assert_array_equal(tanh, [0, 0, tiny, -tiny, 1, -1, np.nan, 1, -1])
    assert np.signbit(tanh[:2]).tolist() == [False, True]
    np.testing.assert_array_equal(sigmoid, [0.5, 0.5, 0.5, 0.5, 1, 0, np.nan, 1, 0])
    assert not np.signbit(sigmoid).any() or np.isnan(sigmoid[np.signbit(sigmoid)]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_is_odd_monotone_and_in_range(dtype, isa):
    x = np.sort(np.abs(hard_arguments(30_000, seed=3)).astype(dtype))
    y = activate("tanh", x)
    np.testing.assert_array_equal(activate("tanh", -x), -y)
    assert (np.diff(y) >= 0).all()
    assert y[-1] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_monotone_and_in_range(dtype, isa):
    x = np.sort(hard_arguments(30_000, seed=4).astype(dtype))
    y = activate("sigmoid", x)
    assert (np.diff(y) >= 0).all()
    assert y[0] == 0
    assert y[-1] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbouring_numbers_are_in_order_around_the_joins(dtype, isa):
    for name in FUNCTIONS:
        for join in (0.625, 9.125, 19.25, *(np.arange(-40, 40) * np.log(2) / 2)):
            bits = np.array(join, dtype).view(f"i{np.dtype(dtype).itemsize}")
            x = np.sort((bits + np.arange(-2000, 2000, dtype=bits.dtype)).view(dtype))
            x = x[np.isfinite(x)]
            assert (np.diff(activate(name, x)) >= 0).all(), (name, join)


def test_softmax_neither_overflows_nor_loses_its_sum(isa):
    z = np.array([[1e38, 3e38, -3e38], [1000, 1001, 999], [-1000, -1000, -1000]], np.float32)
    net = elman.Network.from_weights(
        [(np.eye(3), np.zeros((3, 3)), None)],
        (np.eye(3), None),
        activation="identity",
        output_activation="softmax",
        dtype="float32",
    )
    y = net(z[:, None, :])[:, 0]
    np.testing.assert_allclose(y[0], [0, 1, 0])
    np.testing.assert_allclose(y[1], elman.reference.softmax(z[1].astype(float)), rtol=1e-6)
    np.testing.assert_allclose(y[2], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_softmax_is_within_three_ulp_of_the_exact_value(dtype, isa):
    """Also the value near 0 of an output that is almost certain."""
    for O in (1, 2, 3, 15, 16, 17, 33, 300):
        rng = np.random.default_rng(O)
        z = (rng.standard_normal((4, O)) * [[1e-3], [1], [5], [50]]).astype(dtype)
        for row, got in zip(z, outputs_of("log_softmax", z), strict=True):
            with mpmath.workprec(500):
                exact = [mpf(v) - max(row.tolist()) for v in row.tolist()]
                log = mpmath.log(mpmath.fsum(map(mpmath.exp, exact)))
                exact = [v - log for v in exact]
                error = [abs(float(mpf(a) - b)) for a, b in zip(got.tolist(), exact, strict=True)]
            # rounding y - max y moves the result near 0 by this much
            inherent = [abs(v * mpmath.exp(v)) for v in exact]
            slack = np.array(list(map(float, inherent))).sum() * np.finfo(dtype).eps
            assert (error <= 3 * np.spacing(np.abs(got)) + slack).all(), (O, row)


def test_log_softmax_of_special_values(isa):
    inf, nan = np.inf, np.nan
    for dtype, huge in (("float32", 1.5e38), ("float64", 8e307)):
        z = np.array([[huge, -huge, 0], [-inf, 1, 1], [inf, 0, 0], [nan, 0, 0], [0, nan, 0]], dtype)
        y = outputs_of("log_softmax", z)
        np.testing.assert_array_equal(y[0], np.array([0, -2 * huge, -huge], dtype))
        assert y[1].tolist() == [-inf, *[float(-np.log(np.array(2, dtype)))] * 2]
        assert np.isnan(y[2:]).all()
        assert np.isnan(outputs_of("log_softmax", np.full((1, 2), -inf, dtype))).all()
        assert outputs_of("log_softmax", np.array([[-5.0]], dtype)).tolist() == [[0]]
        with np.errstate(all="ignore"):
            want = elman.reference.log_softmax(z.astype(float))
        np.testing.assert_allclose(y, want, rtol=1e-6)


def outputs_of(activation, z):
    """Apply an output activation to rows, the biases of networks: they may be infinite."""
    one, zeros = np.ones((1, 1), z.dtype), np.zeros((z.shape[-1], 1), z.dtype)
    return np.stack(
        [
            elman.Network.from_weights(
                [(one, one, None)],
                (zeros, row),
                activation="tanh",
                output_activation=activation,
                allow_nonfinite=True,
            )([[0]])[0]
            for row in z
        ]
    )


# --- the others, and clip -------------------------------------------------------------------------

# The exact function, and the largest error in ulp (for a sum, in ulp of its largest term).
NUMBERED = {
    Activation("leaky_relu", alpha=0.01): (lambda v: v * mpf(0.01) if v < 0 else v, 0.5),
    Activation("elu"): (lambda v: mpmath.expm1(v) if v < 0 else v, 1.3),
    Activation("elu", alpha=1.75): (lambda v: mpf(1.75) * mpmath.expm1(v) if v < 0 else v, 2.5),
    Activation("thresholded_relu"): (lambda v: v if v > 1 else mpf(0), 0),
    Activation("hard_sigmoid"): (lambda v: min(max(mpf(0.2) * v + mpf(0.5), 0), 1), 1),
    Activation("softsign"): (lambda v: v / (1 + abs(v)), 1.5),
    Activation("softplus"): (lambda v: mpmath.log1p(mpmath.exp(v)), 2.25),
    Activation("scaled_tanh", 1.7159, 0.6): (
        lambda v: mpf(1.7159) * mpmath.tanh(mpf(0.6) * v),
        3,
    ),
    Activation("affine", -1.5, 0.7): (lambda v: mpf(-1.5) * v + mpf(0.7), 1),
}


def exact_numbered(f, x):
    """As `exact`."""
    with mpmath.workprec(PRECISION):
        y = [NUMBERED[f][0](mpf(v)) for v in x.tolist()]
        high = [float(v) for v in y]
        return np.array(high), np.array([float(v - mpf(h)) for v, h in zip(y, high, strict=True)])


def worst_numbered_ulp(f, x, high, low):
    size = np.abs(high)
    # The second double of the smallest results is itself rounded, to a multiple of 2^-1074.
    rounded = np.where(size < 2.0**-960, np.spacing(0.0), 0.0)
    error = np.maximum(np.abs((activate(f, x) - high) - low) - rounded, 0)
    if f.beta is not None and f.name != "scaled_tanh":
        near = np.abs(x) < 10 if f.name == "hard_sigmoid" else True
        size = np.maximum(size, np.where(near, np.abs(f.alpha * x), 0))
    return (error / np.spacing(size)).max()


@pytest.mark.parametrize("f", NUMBERED, ids=str)
def test_float64_of_a_function_with_parameters_is_within_its_bound(f):
    x = hard_arguments(2_000, seed=5)
    right = exact_numbered(f, x)
    for isa in ISAS:
        with elman.use_isa(isa):
            assert worst_numbered_ulp(f, x, *right) <= NUMBERED[f][1], isa


@pytest.mark.slow
@pytest.mark.parametrize("f", NUMBERED, ids=str)
def test_float64_of_a_function_with_parameters_is_within_its_bound_over_a_million_arguments(f):
    for seed in range(10):
        x = hard_arguments(100_000, seed=seed)
        high, low = exact_numbered(f, x)
        for isa in ISAS:
            with elman.use_isa(isa):
                assert worst_numbered_ulp(f, x, high, low) <= NUMBERED[f][1], isa


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_of_all_functions_are_the_same_on_every_fused_set(f, dtype):
    info = np.finfo(dtype)
    extremes = [info.max, -info.max, info.tiny, -info.tiny, np.inf, -np.inf, np.nan, 0.0, -0.0]
    with np.errstate(over="ignore"):
        x = np.append(hard_arguments(8_000, seed=6), extremes).astype(dtype)
    results = set()
    for isa in FUSED_ISAS:
        with elman.use_isa(isa):
            y = activate(f, x)
        y[np.isnan(y)] = np.nan
        results.add(y.tobytes())
    assert len(results) <= 1


@pytest.mark.parametrize("name", dict.fromkeys(f.name for f in GENERAL))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_is_the_function_of_the_clipped_argument(name, dtype):
    f = next(f for f in GENERAL if f.name == name)
    x = np.append(hard_arguments(2_000, seed=7).astype(dtype), [np.inf, -np.inf, np.nan, -0.0])
    x = x.astype(dtype)
    for clip in (0.25, 3):
        clipped = Activation(f.name, f.alpha, f.beta, clip)
        plain = Activation(f.name, f.alpha, f.beta)
        want = activate(plain, np.clip(x, dtype(-clip), dtype(clip)))
        np.testing.assert_array_equal(activate(clipped, x), want)


@pytest.mark.parametrize(
    ("f", "want"),
    [
        (Activation("leaky_relu"), [0, -0.0, np.inf, -np.inf, 7, -0.07]),
        (Activation("elu", 2), [0, -0.0, np.inf, -2, 7, 2 * np.expm1(-7)]),
        (Activation("thresholded_relu", 7), [0, 0, np.inf, 0, 0, 0]),
        (Activation("thresholded_relu", -8), [0, -0.0, np.inf, 0, 7, -7]),
        (Activation("hard_sigmoid"), [0.5, 0.5, 1, 0, 1, 0]),
        (Activation("softsign"), [0, -0.0, 1, -1, 0.875, -0.875]),
        (Activation("softplus"), [np.log(2), np.log(2), np.inf, 0, 7.00091146645, 0.00091146645]),
        (Activation("scaled_tanh", 2, 0.5), [0, -0.0, 2, -2, 2 * np.tanh(3.5), -2 * np.tanh(3.5)]),
        (Activation("affine", 2, -1), [-1, -1, np.inf, -np.inf, 13, -15]),
        (Activation("identity", clip=2), [0, -0.0, 2, -2, 2, -2]),
    ],
    ids=str,
)
def test_special_values_of_the_others_are_right(f, want, isa):
    for dtype in (np.float32, np.float64):
        x = np.array([0.0, -0.0, np.inf, -np.inf, 7, -7, np.nan], dtype)
        y = activate(f, x)
        np.testing.assert_allclose(y, np.array([*want, np.nan]), rtol=3e-7)
        np.testing.assert_array_equal(np.signbit(y[:2]), np.signbit(want[:2]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_arguments_of_elu_softsign_and_the_tail_of_softplus_keep_their_digits(dtype, isa):
    info = np.finfo(dtype)
    tiny = np.array([info.smallest_subnormal, info.tiny, info.tiny * 3, info.eps / 8], dtype)
    np.testing.assert_array_equal(activate("elu", -tiny), -tiny)
    np.testing.assert_array_equal(activate("softsign", -tiny), -tiny)
    x = np.linspace(-60, -40, 101).astype(dtype)  # e^x (1 - e^x / 2) is e^x
    np.testing.assert_allclose(activate("softplus", x), np.exp(x.astype(float)), rtol=info.eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softsign_is_odd_and_in_range(dtype, isa):
    x = np.abs(hard_arguments(20_000, seed=8)).astype(dtype)
    y = activate("softsign", x)
    np.testing.assert_array_equal(activate("softsign", -x), -y)
    assert y.min() >= 0
    assert y.max() <= 1
