"""Gradients of a loss computed outside, step weights, and `Gradients`."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import elman
from conftest import ISAS
from fixtures.bits import assert_same_bits
from fixtures.gradient_checks import TOLERANCE, assert_close, assert_same, moved
from fixtures.gradient_fixtures import arguments_of, load, make_network

CASES = load()["cases"]


def weights_of(arguments):
    """Return the share of each step (..., T), or of each sequence, in the mean of the losses."""
    x, lengths = arguments["x"], arguments.get("lengths")
    *batch, T, _ = np.shape(x)
    lengths = np.full(batch, T) if lengths is None else np.asarray(lengths)
    sample = np.ones(batch) * arguments.get("sample_weight", 1.0)
    if arguments.get("outputs", "all") == "last":
        w = sample * (lengths > 0)
    else:
        w = sample[..., None] * arguments.get("step_weight", 1.0)
        w = w * (np.arange(T) < lengths[..., None])
    return w / arguments.get("normalizer", w.sum())


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_backward_has_the_gradients_of_pytorch(dtype):
    done = 0
    for name, case in CASES.items():
        arguments = arguments_of(case)
        if arguments.get("loss", "mse") != "mse" or "bptt_steps" in arguments:
            continue
        net = make_network(case, dtype)
        given = {k: arguments[k] for k in ("lengths", "state", "outputs") if k in arguments}
        y = net.run(arguments["x"], **given).output.astype(float)
        error = np.nan_to_num(y - arguments["y"]) / net.output_size
        dL_dy = 2 * weights_of(arguments)[..., None] * error
        gradients = elman.backward(net, arguments["x"], dL_dy, **given)
        want = {key: value for key, value in case["results"].items() if key != "loss"}
        assert_close(gradients.tensors(), want, TOLERANCE[dtype], name)
        done += 1
    assert done >= 5


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_backward_gives_the_bits_of_a_loss_of_the_core(rng, dtype, outputs):
    net = elman.Network(input_size=3, hidden_size=[9, 5], output_size=4, dtype=dtype, seed=1)
    x, state = rng.random((4, 8, 8, 3)), rng.random((8, 14))
    target = rng.random((4, 8, 8, 4) if outputs == "all" else (4, 8, 4)).astype(dtype)
    error = net.run(x, state=state, outputs=outputs).output - target
    got = elman.backward(net, x, 2 / error.size * error, state=state, outputs=outputs)
    _, want = elman.loss_and_gradients(net, x, target, outputs=outputs, state=state)
    assert got.tensors().keys() == want.tensors().keys()
    for name, array in want.tensors().items():
        assert_same_bits(got.tensors()[name], array)
    assert want.x is None
    assert (got + got).x is None


def linear_loss(rng, net, outputs, **options):
    """Return a random linear loss of outputs and states, and its derivatives."""
    x = rng.standard_normal((2, 3, 6, net.input_size))
    lengths = rng.integers(0, 7, (2, 3))
    y = net.run(x, outputs=outputs, return_hidden=True)
    A, B = rng.standard_normal(y.output.shape), rng.standard_normal(y.hidden.shape)
    real = np.arange(6) < lengths[..., None]

    def loss(net, x, state):
        run = net.run(x, state=state, lengths=lengths, outputs=outputs, return_hidden=True)
        return (A * run.output).sum() + (B * run.hidden * real[..., None]).sum()

    A = A * (real if outputs == "all" else lengths > 0)[..., None]
    return x, lengths, A, B, loss


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_backward_is_the_slope_of_a_loss_in_weights_states_and_inputs(rng, outputs):
    net = elman.Network(
        input_size=3,
        hidden_size=[7, 4],
        output_size=2,
        dtype="float64",
        seed=1,
        input_mean=[0.1, 0.2, 0.3],
        input_std=[2, 0.5, 1],
        output_std=[3, 0.3],
    )
    x, lengths, A, B, loss = linear_loss(rng, net, outputs)
    state = rng.standard_normal((3, 11)) / 2
    padded = np.where(A == 0, np.nan, A)  # which is not read
    gradients = elman.backward(net, x, padded, B, lengths=lengths, state=state, outputs=outputs)
    assert not gradients.x[np.arange(6) >= lengths[..., None]].any()
    step = 1e-6
    for name, gradient in (gradients.tensors() | {"x": gradients.x}).items():
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for sign in (step, -step):
            change = sign * direction
            at = net if name in ("x", "initial_state") else moved(net, name, change)
            start = state + change if name == "initial_state" else state
            ends.append(loss(at, x + change if name == "x" else x, start))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_derivatives_of_any_layout_give_the_bits_of_their_contiguous_copies(rng, outputs):
    net = elman.Network(3, [9, 5], 4, seed=1)
    x = rng.standard_normal((6, 7, 3))
    steps = (6, 7) if outputs == "all" else (6,)
    dL_dy, dL_dh = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((*steps, 8), (6, 7, 28))
    )
    for part in (slice(None, None, 2), slice(None, None, -2)):
        given = dL_dy[..., part], dL_dh[..., part]
        got = elman.backward(net, x, *given, outputs=outputs)
        want = elman.backward(net, x, *(array.copy("C") for array in given), outputs=outputs)
        assert_same_bits(got.x, want.x)
        assert_same((0, got.tensors()), (0, want.tensors()))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_backward_gives_the_same_bits_for_any_number_of_threads(rng, dtype):
    net = elman.Network(input_size=3, hidden_size=[9, 5], output_size=4, dtype=dtype, seed=1)
    x, dL_dy, dL_dh = rng.random((50, 7, 3)), rng.random((50, 7, 4)), rng.random((50, 7, 14))
    alone = elman.backward(net, x, dL_dy, dL_dh)
    for threads in (2, 7):
        other = elman.backward(net, x, dL_dy, dL_dh, threads=threads)
        assert_same_bits(other.x, alone.x)
        assert_same((0, other.tensors()), (0, alone.tensors()))


@pytest.mark.parametrize(
    ("activation", "slopes"),  # at infinity and minus infinity
    [
        ("leaky_relu", (1, 0.01)),
        ("elu", (1, 0)),
        ("thresholded_relu", (1, 0)),
        ("softplus", (1, 0)),
        ("softsign", (0, 0)),
        ("hard_sigmoid", (0, 0)),
        (elman.Activation("affine", alpha=0.5, beta=0.1), (0.5, 0.5)),
        (elman.Activation("leaky_relu", clip=3), (0, 0)),
        (elman.Activation("softplus", clip=3), (0, 0)),
    ],
    ids=str,
)
def test_the_slope_of_an_activation_at_infinity_is_its_limit(activation, slopes):
    for isa, dtype in itertools.product(ISAS, TOLERANCE):
        one, zero = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
        with elman.use_isa(isa):
            net = elman.Network.from_weights([(one, zero, None)], None, activation=activation)
        x = np.array([np.inf, -np.inf, np.nan], dtype).reshape(3, 1, 1)
        got = elman.backward(net, x, np.ones_like(x)).x.ravel()
        want = np.array([*slopes, np.nan], dtype)
        np.testing.assert_array_equal(got, want, err_msg=f"{isa} {dtype}")


def test_weights_whose_sum_is_infinite_are_refused():
    net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
    x = np.zeros((4, 5, 1))
    with pytest.raises(elman.ArgumentError, match=r"^step_weight: "):
        elman.loss_and_gradients(net, x, x, step_weight=np.full((4, 5), 1e308))


@pytest.mark.parametrize(
    "names", [["sample_weight"], ["step_weight"], ["sample_weight", "step_weight"]]
)
def test_weights_are_called_by_their_arguments(names):
    net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
    x, shapes = np.zeros((4, 5, 1)), {"sample_weight": 4, "step_weight": (4, 5)}
    called = re.escape(" * ".join(names))
    with pytest.raises(elman.ArgumentError, match=f"^{called}: "):
        elman.loss_and_gradients(net, x, x, **{name: np.zeros(shapes[name]) for name in names})
    with pytest.raises(elman.ArgumentError, match=r"^x: "):
        elman.loss_and_gradients(net, x, x, lengths=[0] * 4)


def test_backward_refuses_what_does_not_fit():
    net = elman.Network(input_size=3, hidden_size=9, output_size=4, seed=1)
    x, dL_dy = np.zeros((5, 7, 3)), np.zeros((5, 7, 4))
    with pytest.raises(elman.ShapeError, match=r"^dL_dy: expected \(5, 7, 4\)"):
        elman.backward(net, x, dL_dy[:, 0])
    with pytest.raises(elman.ShapeError, match=r"^dL_dy: expected \(5, 4\)"):
        elman.backward(net, x, dL_dy, outputs="last")
    with pytest.raises(elman.ShapeError, match=r"^dL_dh: expected \(5, 7, 9\)"):
        elman.backward(net, x, dL_dy, dL_dy)
    with pytest.raises(elman.DTypeError, match=r"^dL_dy: .*complex"):
        elman.backward(net, x, dL_dy * 1j)
    reverse = elman.Network(input_size=3, hidden_size=9, output_size=4, direction="reverse", seed=1)
    with pytest.raises(elman.ArgumentError, match=r"^net: .*reverse"):
        elman.backward(reverse, x, dL_dy)


def test_gradients_are_added_and_multiplied_by_numbers(rng):
    net = elman.Network(3, [5, 4], 2, output_activation="identity", seed=0)
    x, y = rng.standard_normal((6, 7, 3)), rng.standard_normal((6, 7, 2))
    _, grads = elman.loss_and_gradients(net, x, y)
    for factor in (0.1, np.float64(0.1), np.array(0.1)):
        for scaled in (factor * grads, grads * factor):
            assert isinstance(scaled, elman.Gradients)
            for name, array in scaled.tensors().items():
                assert array.dtype == np.float32
                np.testing.assert_array_equal(array, grads.tensors()[name] * 0.1)
    for name, array in (grads + 2 * grads).tensors().items():
        np.testing.assert_array_equal(array, grads.tensors()[name] + 2 * grads.tensors()[name])
    of_x = elman.backward(net, x, np.ones((6, 7, 2)))
    np.testing.assert_array_equal((3 * of_x).x, 3 * of_x.x)
    for wrong in ("2", None, [1, 2]):
        with pytest.raises(TypeError):
            grads * wrong


def test_gradients_print_their_size_and_norm():
    one = np.ones((1, 1))
    net = elman.Network.from_weights([(one, one, None)], None, activation="identity")
    x = np.array([[3.0], [4.0]])  # y = 3, 7; W_xh: 3 + (3 + 4), W_hh: 3, the start: 1 + 1
    grads = elman.backward(net, x, np.ones((2, 1)))
    said = repr(grads)
    assert said.startswith("Gradients(")
    assert re.search(r"\b3\b.*\b10\.63\b", said)  # 3 values of norm sqrt(100 + 9 + 4)


def test_gradients_are_immutable():
    net = elman.Network(3, 5, 2, seed=0)
    _, grads = elman.loss_and_gradients(net, np.ones((4, 3)), np.ones((4, 2)))
    for part, name in ((grads, "layers"), (grads.layers[0], "W_hh"), (grads.readout, "b_y")):
        with pytest.raises(AttributeError):
            setattr(part, name, None)
