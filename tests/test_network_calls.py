"""Network: every way to run it, correct results, and invalid arguments."""

from __future__ import annotations

import itertools
import pathlib
import re

import numpy as np
import pytest

import elman
from elman import reference
from elman.errors import (
    ArgumentError,
    DTypeError,
    LimitError,
    ShapeError,
    VerificationError,
)
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.bits import assert_same_bits
from fixtures.networks import random_network, random_scaling

DTYPES = ("float32", "float64")
HIDDEN_ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
OUTPUT_ACTIVATIONS = (*HIDDEN_ACTIVATIONS, "softmax", "log_softmax")
TORCH = np.load(pathlib.Path(__file__).parent / "fixtures" / "torch_rnn.npz")
TORCH_CASES = sorted({name.partition(".")[0] for name in TORCH})


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7)


@pytest.fixture
def loop():
    """A network with as many outputs as inputs."""
    return elman.Network(input_size=2, hidden_size=6, output_size=2, seed=7)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


# --- whole sequences ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (2, 1, 2)])
def test_leading_axes_are_a_batch(net, rng, batch):
    x = rng.standard_normal((*batch, 7, 3)).astype(np.float32)
    y = net(x)
    assert y.shape == (*batch, 7, 2)
    assert y.dtype == np.float32
    for index in np.ndindex(*batch):
        assert_same_bits(y[index], net(x[index]))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (0, 4, 3), (0, 0, 3), (3, 0, 2, 3)])
def test_empty_inputs_give_empty_outputs(net, shape):
    run = net.run(np.empty(shape), return_hidden=True)
    assert run.output.shape == (*shape[:-1], 2)
    assert run.hidden.shape == (*shape[:-1], 9)
    assert_same_bits(run.state, np.zeros((*shape[:-2], 9), np.float32))
    assert_same_bits(net(np.empty(shape), "last"), np.zeros((*shape[:-2], 2), np.float32))


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_out_is_written_and_returned(net, rng, outputs):
    x = rng.standard_normal((4, 7, 3))
    want = net(x, outputs)
    out = np.full_like(want, np.nan)
    assert net(x, outputs, out=out) is out
    assert_same_bits(out, want)
    out = np.full_like(want, np.nan)
    assert net.run(x, outputs=outputs, out=out).output is out
    assert_same_bits(out, want)


def test_out_may_be_strided_and_its_gaps_stay_as_they_are(net, rng):
    x = rng.standard_normal((4, 7, 3))
    wide = np.full((8, 7, 6), 9, np.float32)
    net(x, out=wide[::2, ::-1, 5:1:-3])
    assert_same_bits(wide[::2, ::-1, 5:1:-3], net(x))
    wide[::2, :, 5:1:-3] = 9
    assert (wide == 9).all()


def test_run_starts_from_a_state_that_broadcasts_over_the_batch(net, rng):
    x = rng.standard_normal((2, 4, 7, 3))
    for shape in [(9,), (4, 9), (1, 9), (2, 1, 9), (2, 4, 9)]:
        state = rng.standard_normal(shape).astype(np.float32)
        run = net.run(x, state=state, return_hidden=True)
        every = np.broadcast_to(state, (2, 4, 9))
        for b in np.ndindex(2, 4):
            alone = net.run(x[b], state=every[b], return_hidden=True)
            for got, want in zip(run, alone, strict=True):
                assert_same_bits(got[b], want)


def test_the_state_is_the_hidden_state_after_the_last_step(net, rng):
    run = net.run(rng.standard_normal((4, 7, 3)), return_hidden=True)
    assert_same_bits(run.state, run.hidden[:, -1])
    assert net.run(rng.standard_normal((4, 7, 3))).hidden is None


def test_a_sequence_may_be_cut_anywhere(net, rng):
    x = rng.standard_normal((4, 7, 3))
    whole = net.run(x)
    for cut in range(8):
        first = net.run(x[:, :cut])
        second = net.run(x[:, cut:], state=first.state)
        assert_same_bits(np.concatenate([first.output, second.output], axis=1), whole.output)
        assert_same_bits(second.state, whole.state)


def test_sequences_start_from_the_networks_initial_state(rng):
    start = rng.random(5).astype(np.float32)
    net = random_network(rng, initial_state=start)
    x = rng.standard_normal((4, 7, 3))
    assert_same_bits(net(x), net.run(x, state=start).output)
    assert_same_bits(net.run(x[:, :0]).state, np.broadcast_to(start, (4, 5)))


LENGTHS = ([7, 7, 7, 7], [0, 0, 0, 0], [0, 7, 3, 1], [6, 5, 4, 3])


@pytest.mark.parametrize(("lengths", "threads"), [*zip(LENGTHS, (3, 1, 3, 1), strict=True)])
def test_padded_steps_hold_the_state_and_give_zeros(rng, lengths, threads):
    given = random_scaling(rng, 3, 2) | {"initial_state": rng.random(9)}
    net = random_network(rng, 3, (5, 4), 2, **given)
    x = rng.standard_normal((4, 7, 3))
    run = net.run(x, lengths=lengths, return_hidden=True, threads=threads)
    last = net.run(x, lengths=lengths, outputs="last", threads=threads)
    for b, n in enumerate(lengths):
        alone = net.run(x[b, :n], return_hidden=True)
        assert_same_bits(run.output[b, :n], alone.output)
        assert_same_bits(run.output[b, n:], np.zeros((7 - n, 2), np.float32))
        assert_same_bits(run.hidden[b, :n], alone.hidden)
        assert_same_bits(run.hidden[b, n:], np.broadcast_to(alone.state, (7 - n, 9)))
        assert_same_bits(run.state[b], alone.state)
        assert_same_bits(last.output[b], alone.output[-1] if n else np.zeros(2, np.float32))
        assert_same_bits(last.state[b], alone.state)


def test_lengths_may_be_of_any_integer_type_and_of_any_batch_shape(net, rng):
    x = rng.standard_normal((2, 3, 7, 3))
    lengths = np.array([[0, 1, 2], [5, 6, 7]])
    want = net.run(x, lengths=lengths)
    for dtype in ("i1", "u1", ">i2", "u4", "u8"):
        assert_same_bits(net.run(x, lengths=lengths.astype(dtype)).output, want.output)
    assert_same_bits(net.run(x, lengths=lengths.tolist()).output, want.output)
    assert_same_bits(net.run(x[0, 1], lengths=1).output, want.output[0, 1])
    assert net.run(x[:0], lengths=np.empty((0, 3), int)).output.shape == (0, 3, 7, 2)
    assert net.run(x[0, :0], lengths=[]).output.shape == (0, 7, 2)


def test_nothing_in_the_padding_leaks(isa, rng):
    net = random_network(rng, 3, (5, 4), 2)
    x = rng.standard_normal((4, 7, 3)).astype(np.float32)
    lengths = np.array([0, 7, 3, 1])
    want = net.run(x, lengths=lengths, return_hidden=True)
    padding = np.arange(7) >= lengths[:, np.newaxis]
    for poison in (np.nan, np.inf, -np.inf, 3e38):
        x[padding] = poison
        got = net.run(x, lengths=lengths, return_hidden=True)
        for a, b in zip(got, want, strict=True):
            assert_same_bits(a, b)
        assert net.verify(x, lengths=lengths).ok


def test_there_may_be_far_more_threads_than_sequences(net, rng):
    x = rng.standard_normal((37, 7, 3))
    want = net.run(x, return_hidden=True)
    for a, b in zip(net.run(x, return_hidden=True, threads=1000), want, strict=True):
        assert_same_bits(a, b)


def test_run_gives_its_results_by_name(net, rng):
    run = net.run(rng.standard_normal((7, 3)), return_hidden=True)
    output, state, hidden = run
    assert output is run.output
    assert state is run.state
    assert hidden is run.hidden


# --- the four uses --------------------------------------------------------------------------------


def test_one_to_one_is_a_sequence_of_one_step(net, rng):
    x = rng.standard_normal(3)
    y, _ = reference.step(net, x.astype(np.float32), np.zeros(9))
    got = net(x[np.newaxis])
    assert got.shape == (1, 2)
    np.testing.assert_allclose(got[0], y, rtol=1e-5)


def test_one_to_many_feeds_each_output_back(loop):
    start = np.array([[0.3, -0.2]], np.float32)
    x, state, outputs = start[0], np.zeros(6), []
    for _ in range(5):
        x, state = reference.step(loop, x, state)
        outputs.append(x)
    np.testing.assert_allclose(loop.generate(start, steps=5), outputs, rtol=1e-5)


def test_many_to_one_gives_the_output_after_the_last_step(net, rng):
    x = rng.standard_normal((6, 9, 3)).astype(np.float32)
    want = reference.run(net, x).output[:, -1]
    got = net(x, outputs="last")
    assert got.shape == (6, 2)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_many_to_many_gives_an_output_for_every_step(net, rng):
    x = rng.standard_normal((6, 9, 3)).astype(np.float32)
    got = net(x)
    assert got.shape == (6, 9, 2)
    np.testing.assert_allclose(got, reference.run(net, x).output, rtol=1e-5)


# --- generate -------------------------------------------------------------------------------------


def generated_by_hand(net, start, steps, state=None):
    """Generate by a stream, one sequence (T0, I) at a time."""
    stream = net.stream(state)
    for x in start[:-1]:
        stream.step(x)
    y, outputs = start[-1], []
    for _ in range(steps):
        y = stream.step(y)
        outputs.append(y)
    return np.array(outputs, net.dtype).reshape(steps, net.output_size)


@pytest.mark.parametrize(
    ("dtype", "steps", "start_steps"),
    [("float32", 0, 5), ("float64", 1, 1), ("float32", 2, 1), ("float64", 40, 5)],
)
def test_generate_is_a_loop_of_steps_bit_for_bit(rng, dtype, steps, start_steps):
    given = random_scaling(rng, 2, 2) | {"initial_state": rng.random(11)}
    net = random_network(rng, 2, (7, 4), 2, dtype=dtype, **given)
    start = rng.standard_normal((3, start_steps, 2)).astype(net.dtype)
    state = rng.standard_normal((3, 11)).astype(net.dtype)
    got = net.generate(start, steps, state=state)
    assert got.shape == (3, steps, 2)
    for b in range(3):
        assert_same_bits(got[b], generated_by_hand(net, start[b], steps, state[b]))
    assert_same_bits(net.generate(start[0], steps), generated_by_hand(net, start[0], steps))


@pytest.mark.parametrize(("steps", "batch"), [(0, (3,)), (1, ()), (2, (2, 2)), (9, (3,))])
def test_generate_through_the_identity_is_generate(loop, rng, steps, batch):
    start = rng.standard_normal((*batch, 4, 2))
    state = rng.standard_normal((*batch, 6))
    got = loop.generate(start, steps=steps, feedback=lambda y: y, state=state)
    assert_same_bits(got, loop.generate(start, steps=steps, state=state))


def test_generate_calls_feedback_between_two_outputs_with_all_sequences(net, rng):
    start, seen = rng.standard_normal((4, 2, 3)), []

    def feedback(y):
        seen.append(y.copy())
        return np.concatenate([y, y[:, :1]], axis=1)

    got = net.generate(start, steps=3, feedback=feedback)
    assert [y.shape for y in seen] == [(4, 2), (4, 2)]
    assert_same_bits(np.stack(seen, axis=1), got[:, :2])
    given = np.concatenate([got[:, :2], got[:, :2, :1]], axis=2)
    x = np.concatenate([start.astype(np.float32), given], axis=1)
    assert_same_bits(got, net(x)[:, 1:])


def test_feedback_may_change_what_it_gets_and_return_any_numbers(loop):
    def feedback(y):
        y += 1
        return y.astype(">f8")

    got = loop.generate([[0.5, 0.5]], steps=2, feedback=feedback)
    first = loop([[0.5, 0.5]])[0]
    assert_same_bits(got[0], first)
    assert_same_bits(got[1], loop([[0.5, 0.5], first + np.float32(1)])[1])


def test_an_error_in_feedback_comes_through(loop):
    def feedback(y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        loop.generate([[0.5, 0.5]], steps=2, feedback=feedback)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"start": [[1.0, 2.0, 3.0]]}, ShapeError, r"start: expected \(\.\.\., T, 2\), got \(1, 3"),
        ({"start": [1.0, 2.0]}, ShapeError, r"start: expected \(\.\.\., T, 2\), got \(2,\)"),
        ({"start": np.empty((0, 2))}, ShapeError, r"start: .*\(0, 2"),
        ({"start": np.empty((3, 0, 2))}, ShapeError, r"start: .*at least one step, got \(3, 0, 2"),
        ({"start": [[1j, 2]]}, DTypeError, r"start: .*complex128"),
        ({"start": [[1, 2], [3]]}, ShapeError, "start: "),
        ({"steps": -1}, ArgumentError, r"steps: .*got -1"),
        ({"steps": 2.0}, TypeError, r"steps: .*float"),
        ({"steps": "2"}, TypeError, r"steps: .*str"),
        (
            {"steps": 2**64},
            LimitError,
            r"steps: .*got 18446744073709551616",
        ),
        ({"state": np.zeros(5)}, ShapeError, r"state: expected \(6,\), got \(5,\)"),
        ({"state": ["a"] * 6}, DTypeError, r"state: .*<U1"),
    ],
)
def test_generate_refuses(loop, change, error, message):
    arguments = {"start": [[0.5, 0.5]], "steps": 3} | change
    for feedback in (None, lambda y: y):
        with pytest.raises(error, match=message):
            loop.generate(**arguments, feedback=feedback)


def test_generate_refuses_more_steps_than_memory_can_address(loop):
    start = np.full((3, 1, 2), 0.5)
    for steps in (2**62, 2**63 - 1, 2**50):
        for feedback in (None, lambda y: y):
            with pytest.raises(LimitError, match=f"^steps: .* = {3 * steps * 2 * 4:,} bytes$"):
                loop.generate(start, steps=steps, feedback=feedback)


def test_generate_without_feedback_needs_outputs_of_the_size_of_the_inputs(net):
    message = r"3, got 2.*feedback="
    with pytest.raises(ShapeError, match=message):
        net.generate(np.ones((1, 3)), steps=2)


def test_threads_are_a_number_and_not_a_flag(loop):
    with pytest.raises(elman.ArgumentTypeError, match=r"^threads: expected an integer, got bool"):
        loop.run([[0.5, 0.5]], threads=True)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ([1.0], ShapeError, r"feedback: expected \(2,\), got \(1,\)"),
        (None, DTypeError, "feedback: expected real numbers, got dtype object"),
        (["a", "b"], DTypeError, r"feedback: .*<U1"),
        ([[1.0], [1.0, 2.0]], ShapeError, "feedback: "),
    ],
)
def test_generate_refuses_feedback_that_is_no_input(loop, result, error, message):
    with pytest.raises(error, match=message):
        loop.generate([[0.5, 0.5]], steps=2, feedback=lambda y: result)


# --- correct results ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("activation", "hidden"),
    [*zip(HIDDEN_ACTIVATIONS, [(1,), (9,), (5, 17), (3, 8, 2)], strict=True)],
)
def test_results_are_within_rounding_of_the_reference(dtype, hidden, activation):
    rng = np.random.default_rng(len(hidden))
    for output_activation in OUTPUT_ACTIVATIONS:
        given = random_scaling(rng, 3, 5) | {"initial_state": rng.random(sum(hidden))}
        given = {name: value.astype(dtype) for name, value in given.items()}
        given |= {"activation": activation, "output_activation": output_activation}
        net = random_network(rng, 3, hidden, 5, dtype=dtype, **given)
        assert net.dtype == dtype
        x = rng.standard_normal((2, 6, 3))
        report = net.verify(x, lengths=[6, 4])
        assert report.ok
        assert report.steps == 10
        assert report.not_judged == 0
        tolerance = 1e-4 if dtype == "float32" else 1e-13
        free = reference.run(net, x.astype(dtype), lengths=[6, 4])
        run = net.run(x, lengths=[6, 4], return_hidden=True)
        np.testing.assert_allclose(run.output, free.output, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(run.hidden, free.hidden, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("f", [*GENERAL, *UNTRAINABLE], ids=str)
def test_results_of_any_activation_are_within_rounding_of_the_reference(isa, f):
    rng = np.random.default_rng(8)
    # Cell by cell, and more than one panel.
    for sizes, dtype in (((1,), "float64"), ((9,), "float32"), ((40, 70), "float64")):
        given = {"activation": f, "output_activation": f, "dtype": dtype}
        net = random_network(rng, 3, sizes, 5, **given)
        x = rng.standard_normal((3, 6, 3))
        report = net.verify(x, lengths=[6, 4, 6])
        assert report.ok
        assert report.not_judged == 0
        stream = net.stream()
        y = np.stack([stream.step(x_t) for x_t in x[0]])
        np.testing.assert_array_equal(y, net(x)[0])


@pytest.mark.parametrize("case", TORCH_CASES)
def test_results_agree_with_pytorch(case):
    arrays = {n.removeprefix(f"{case}."): TORCH[n] for n in TORCH if n.startswith(f"{case}.")}
    activation, layers, head, dtype = case.split("-")
    net = elman.Network.from_weights(
        [
            tuple(arrays.get(f"layers.{i}.{name}") for name in ("W_xh", "W_hh", "b_h"))
            for i in range(int(layers))
        ],
        (arrays["readout.W_hy"], arrays.get("readout.b_y")),
        activation=activation,
        output_activation=head,
    )
    assert net.dtype == dtype
    run = net.run(arrays["x"], state=arrays["state"], lengths=arrays["lengths"], return_hidden=True)
    tolerance = (4e-6 if dtype == "float32" else 1e-14) * max(1.0, np.abs(run.hidden).max())
    np.testing.assert_allclose(run.output, arrays["output"], atol=tolerance)
    np.testing.assert_allclose(run.state, arrays["final_state"], atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_propagates_as_the_equations_say(dtype, rng):
    for activation, g in itertools.product(HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS):
        net = random_network(
            rng, 3, (5, 4), 2, activation=activation, output_activation=g, dtype=dtype
        )
        x = rng.standard_normal((6, 5, 3)).astype(dtype)
        x[np.arange(6), 2, 1] = [np.nan, np.inf, -np.inf, 0, 0, 0]
        state = np.zeros((6, 9), dtype)
        state[3:, 2] = [np.nan, np.inf, -np.inf]
        run = net.run(x, state=state, return_hidden=True)
        assert np.isnan(run.hidden[0, 2:]).all()
        assert np.isnan(run.output[0, 2:]).all()
        assert np.isfinite(run.output[0, :2]).all()
        assert net.verify(x, state=state).ok


def test_verify_reports_and_finds_a_right_result_right(net, rng):
    report = net.verify(rng.standard_normal((4, 7, 3)))
    assert report.ok
    assert report.worst_ratio <= 1
    assert report.steps == 28
    assert report.values == 28 * (9 + 2)
    assert net.verify(rng.standard_normal((4, 7, 3)), state=np.ones(9), lengths=[1, 2, 3, 4]).ok
    assert net.verify(np.empty((0, 3))).ok


@pytest.mark.parametrize("part", ["output", "hidden"])
def test_verify_raises_if_a_result_is_wrong(rng, part):
    class Wrong(elman.Network):
        def run(self, *arguments, **options):
            result = super().run(*arguments, **options)
            getattr(result, part)[1, 3, 0] += 1e-5
            return result

    net = Wrong(input_size=3, hidden_size=[5, 4], output_size=2, seed=7)
    with pytest.raises(VerificationError, match=r"sequence 1, step [34], unit"):
        net.verify(rng.standard_normal((4, 7, 3)))


# --- wrong arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (1.0, ShapeError, r"x: expected \(\.\.\., T, 3\), got \(\)"),
        (np.ones(3), ShapeError, r"x: expected \(\.\.\., T, 3\), got \(3,\)"),
        (np.ones((5, 4)), ShapeError, r"x: expected \(\.\.\., T, 3\), got \(5, 4\)"),
        (np.ones((10, 4, 7)), ShapeError, r"x: expected \(\.\.\., T, 3\), got \(10, 4, 7\)"),
        (np.ones((5, 0)), ShapeError, r"x: expected \(\.\.\., T, 3\), got \(5, 0\)"),
        (
            [[1, 2, 3], [4, 5]],
            ShapeError,
            "x: ",
        ),
        (None, DTypeError, r"x: .*object"),
        ("abc", DTypeError, r"x: .*<U3"),
    ],
)
def test_a_call_refuses_what_is_not_a_sequence_of_inputs(net, x, error, message):
    for run in (net, net.run, net.verify):
        with pytest.raises(error, match=message):
            run(x)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"state": np.zeros(8)}, ShapeError, r"state: expected \(4, 9\), got \(8,\)"),
        ({"state": np.zeros((3, 9))}, ShapeError, r"state: expected \(4, 9\), got \(3, 9\)"),
        ({"state": np.zeros((1, 4, 9))}, ShapeError, r"state: expected \(4, 9\), got \(1, 4, 9\)"),
        ({"state": 0.0}, ShapeError, r"state: expected \(4, 9\), got \(\)"),
        ({"state": np.zeros(9, complex)}, DTypeError, "state: "),
        ({"lengths": [1, 2, 3, 8]}, ArgumentError, r"lengths: .*got 8"),
        ({"lengths": [1, 2, 3, -1]}, ArgumentError, r"lengths: .*got -1"),
        ({"lengths": [1, 2, 3]}, ShapeError, r"^lengths: expected .*\(4,\), got \(3,\)"),
        ({"lengths": 3}, ShapeError, r"^lengths: expected .*\(4,\), got \(\)"),
        ({"lengths": [1.0] * 4}, DTypeError, r"lengths: .*float64"),
        ({"lengths": [True] * 4}, DTypeError, r"lengths: .*bool"),
        ({"lengths": ["1"] * 4}, DTypeError, r"lengths: .*<U1"),
        ({"lengths": [1, 2, 3, 2**31]}, ArgumentError, "T = 7, got 2147483648"),
        ({"lengths": [1, 2, 3, 2**32 + 1]}, ArgumentError, "T = 7, got 4294967297"),
        (
            {"lengths": np.array([1, 2, 3, 2**64 - 1], "u8")},
            ArgumentError,
            "got 18446744073709551615",
        ),
        ({"lengths": [1, 2, 3, 2**64]}, DTypeError, r"lengths: .*object"),
        ({"outputs": "first"}, ArgumentError, r"outputs: .*'first'"),
        ({"outputs": 3}, ArgumentError, r"outputs: .*got 3"),
        ({"threads": 0}, ArgumentError, r"threads: .*got 0"),
        ({"threads": -1}, ArgumentError, r"threads: .*got -1"),
        ({"threads": 1.0}, TypeError, r"threads: .*float"),
        ({"threads": 2**63}, LimitError, r"threads: "),
        ({"out": [1.0]}, DTypeError, r"out: .*list"),
        ({"out": ones(4, 7, 3)}, ShapeError, r"out: expected \(4, 7, 2\), got \(4, 7, 3\)"),
        ({"out": ones(7, 2)}, ShapeError, r"out: expected \(4, 7, 2\), got \(7, 2\)"),
        ({"out": ones(4, 7, 2), "outputs": "last"}, ShapeError, r"expected \(4, 2\), got \(4, 7"),
    ],
)
def test_run_refuses(net, options, error, message):
    with pytest.raises(error, match=message):
        net.run(np.ones((4, 7, 3)), **options)


def test_a_call_refuses_other_outputs(net):
    with pytest.raises(ArgumentError, match=r"outputs: .*'none'"):
        net(np.ones((7, 3)), "none")


def test_a_wrong_argument_leaves_out_as_it_was(net):
    out = np.full((4, 7, 2), 9, np.float32)
    wrong = [{"lengths": [9] * 4}, {"state": [1.0]}, {"threads": 0}, {"outputs": "first"}]
    for options in wrong:
        with pytest.raises(ValueError, match=re.compile(r"^\w+: expected")):
            net.run(np.ones((4, 7, 3)), out=out, **options)
    assert (out == 9).all()
