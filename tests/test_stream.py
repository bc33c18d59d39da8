"""Stream: steps, arguments, state, and no allocations."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import itertools
import os
import pathlib
import pickle
import re
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, DTypeError, ShapeError
from fixtures.bits import assert_same_bits
from fixtures.networks import inputs

DTYPES = ("float32", "float64")


@pytest.fixture(params=DTYPES)
def net(request):
    return elman.Network(
        input_size=3,
        hidden_size=[9, 4],
        output_size=2,
        seed=7,
        dtype=request.param,
        initial_state=np.linspace(-0.5, 0.5, 13),
    )


@pytest.fixture
def square():
    """A network with as many outputs as inputs."""
    return elman.Network(input_size=4, hidden_size=9, output_size=4, seed=7)


@pytest.fixture(scope="module")
def large():
    """A network whose step is long enough to release the interpreter's lock."""
    return elman.Network(input_size=5, hidden_size=1100, output_size=3, seed=7)


# --- steps ----------------------------------------------------------------------------------------


def test_a_step_of_a_large_network_equals_the_whole_sequence_bit_for_bit(large, rng):
    x = inputs(rng, large, 3)
    stream = large.stream()
    out = np.zeros((3, 6), np.float32)
    assert_same_bits(stream.step(x[0]), large(x)[0])
    stream.step(np.asfortranarray(x)[1], out=out[1, ::2])
    stream.step(x[2, ::-1].copy()[::-1], out[2, ::-2])
    assert_same_bits(out[1, ::2], large(x)[1])
    assert_same_bits(out[2, ::-2], large(x)[2])
    assert (out[1, 1::2] == 0).all()


def test_a_large_network_lets_other_threads_run_during_a_step(large):
    steps, stop = [0], threading.Event()

    def work():
        stream, x = large.stream(), np.zeros(5, np.float32)
        while not stop.is_set():
            stream.step(x)
            steps[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # no thread is forced to release the lock
    thread = threading.Thread(target=work)
    try:
        thread.start()
        stream, x = large.stream(), np.zeros(5, np.float32)
        for _ in range(2000):
            stream.step(x)
            if steps[0] > 2:
                break
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert steps[0] > 2


def test_out_is_written_and_returned(net, rng):
    x = inputs(rng, net, 3)
    want, stream = net(x), net.stream()
    out = np.full(2, np.nan, net.dtype)
    assert stream.step(x[0], out=out) is out
    assert_same_bits(out, want[0])
    assert stream.step(x[1], out) is out
    assert_same_bits(out, want[1])
    assert_same_bits(stream.step(x[2], out=None), want[2])


def test_without_out_every_result_is_a_new_array(net):
    stream, x = net.stream(), np.zeros(3, net.dtype)
    first = stream.step(x)
    kept = first.copy()
    second = stream.step(x)
    assert not np.shares_memory(first, second)
    assert first.flags.owndata
    assert first.flags.writeable
    np.testing.assert_array_equal(first, kept)


def test_out_may_be_x_and_may_overlap_it(square, rng):
    want = square(inputs(np.random.default_rng(1), square, 3))
    x = inputs(np.random.default_rng(1), square, 3)
    stream = square.stream()
    assert stream.step(x[0], out=x[0]) is not None
    assert_same_bits(x[0], want[0])
    memory = np.empty(6, np.float32)
    memory[:4] = x[1]
    stream.step(memory[:4], out=memory[2:])
    assert_same_bits(memory[2:], want[1])
    memory[2:] = x[2]
    stream.step(memory[2:], out=memory[3::-1])
    assert_same_bits(memory[3::-1], want[2])


def test_the_step_is_a_method_of_the_type(net, rng):
    x = inputs(rng, net, 2)
    stream, method = net.stream(), elman.Stream.step
    assert_same_bits(type(stream).step(stream, x[0]), net(x)[0])
    assert_same_bits(method(stream, x[1], out=None), net(x)[1])
    for wrong in (3, None, net, elman.Stream, object()):
        with pytest.raises(TypeError, match=r"descriptor 'step' for .*Stream.* doesn't apply to"):
            method(wrong, x[0])
    with pytest.raises(TypeError, match=r"unbound method Stream\.step\(\) needs an argument"):
        method()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, r"step\(\) takes from 1 to 2 positional arguments \(x, out\) but 0 were given"),
        ((1, 2, 3), {}, r"step\(\) takes from 1 to 2 positional arguments .* but 3 were given"),
        ((), {"x": 1}, r"step\(\) takes from 1 to 2 positional arguments .* but 0 were given"),
        ((), {"out": 1}, r"step\(\) takes from 1 to 2 positional arguments .* but 0 were given"),
        ((1,), {"x": 1}, r"step\(\) got an unexpected keyword argument 'x'"),
        ((1,), {"Out": 1}, r"step\(\) got an unexpected keyword argument 'Out'"),
        ((1,), {"out": None, "in": 2}, r"step\(\) got an unexpected keyword argument 'in'"),
        ((1,), {"\udcff": 2}, r"step\(\) got an unexpected keyword argument '\\udcff'"),
        ((1, None), {"out": None}, r"step\(\) got multiple values for argument 'out'"),
        ((1, 2), {"out": 3}, r"step\(\) got multiple values for argument 'out'"),
    ],
)
def test_step_refuses_wrong_arguments_as_cpython_does(net, arguments, options, message):
    stream = net.stream()
    before = stream.state
    with pytest.raises(TypeError, match=message):
        stream.step(*arguments, **options)
    assert_same_bits(stream.state, before)


def test_the_keyword_out_is_known_by_its_letters(net):
    name = "".join(["o", "ut"])  # not the interned object
    out = np.empty(2, net.dtype)
    assert net.stream().step(np.zeros(3, net.dtype), **{name: out}) is out


def unaligned(x):
    memory = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype)
    memory[...] = x
    assert not memory.flags.aligned
    return memory


def strided(x, step):
    wide = np.zeros(len(x) * abs(step), x.dtype)
    wide[::step] = x
    return wide[::step]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "change",
    [
        list,
        tuple,
        np.ndarray.tolist,
        unaligned,
        read_only,
        memoryview,
        lambda x: strided(x, 3),
        lambda x: strided(x, -2),
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.longdouble),
        lambda x: unaligned(x.astype(">f8")),
        lambda x: np.broadcast_to(x, (7, 3))[3],
        lambda x: x.view(type("Sub", (np.ndarray,), {})),
    ],
)
def test_an_input_of_any_layout_and_width_gives_the_same_bits(net, rng, change):
    x = inputs(rng, net, 4)
    stream = net.stream()
    for x_t, y_t in zip(x, net(x), strict=True):
        assert_same_bits(stream.step(change(x_t)), y_t)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(4), ShapeError, r"x: expected \(3,\), got \(4,\)"),
        (np.zeros((1, 3)), ShapeError, r"x: expected \(3,\), got \(1, 3\)"),
        (np.zeros(()), ShapeError, r"x: expected \(3,\), got \(\)"),
        (1.5, ShapeError, r"x: expected \(3,\), got \(\)"),
        ([], ShapeError, r"x: expected \(3,\), got \(0,\)"),
        ([1, [2], 3], ShapeError, "x: "),
        (None, DTypeError, r"x: .*object"),
        ("abc", DTypeError, r"x: .*<U3"),
        ([1, 2j, 3], DTypeError, r"x: .*complex128"),
        (np.zeros(3, "M8[s]"), DTypeError, r"x: .*datetime64"),
        (np.zeros(3, object), DTypeError, r"x: .*object"),
    ],
)
def test_a_wrong_input_is_refused_and_changes_nothing(net, x, error, message):
    stream = net.stream()
    stream.step(np.ones(3))
    before, out = stream.state, np.full(2, 9, net.dtype)
    with pytest.raises(error, match=message):
        stream.step(x, out=out)
    assert_same_bits(stream.state, before)
    assert (out == 9).all()


def test_a_wrong_out_is_refused_and_changes_nothing(net):
    other = np.dtype(np.float64 if net.dtype == np.float32 else np.float32)
    wrong = [
        (np.zeros(2, other), DTypeError, f"out: .*{net.dtype}"),
        (np.zeros(2, net.dtype.newbyteorder()), DTypeError, "out: .*>f"),
        (np.zeros(2, int), DTypeError, r"out: .*<i8"),
        ([0.0, 0.0], DTypeError, r"out: .*list"),
        (3, DTypeError, r"out: .*int"),
        (np.zeros(3, net.dtype), ShapeError, r"out: expected \(2,\), got \(3,\)"),
        (np.zeros((1, 2), net.dtype), ShapeError, r"out: expected \(2,\), got \(1, 2\)"),
        (np.zeros(0, net.dtype), ShapeError, r"out: expected \(2,\), got \(0,\)"),
        (read_only(np.zeros(2, net.dtype)), ArgumentError, "out: .*read-only"),
        (unaligned(np.zeros(2, net.dtype)), ArgumentError, "out: .*aligned"),
        (net.readout.b_y, ArgumentError, "out: .*read-only"),
    ]
    stream = net.stream()
    before = stream.state
    for out, error, message in wrong:
        for x in (np.zeros(3, net.dtype), [0, 0, 0]):
            with pytest.raises(error, match=message):
                stream.step(x, out=out)
    assert_same_bits(stream.state, before)
    assert all((np.asarray(out) == 0).all() for out, *_ in wrong[:4] + wrong[5:10])


def test_out_may_be_strided_or_a_subclass(net, rng):
    x = inputs(rng, net, 3)
    stream, want = net.stream(), net(x)
    wide = np.full(7, 9, net.dtype)
    stream.step(x[0], out=wide[1::3][:2])
    np.testing.assert_array_equal(wide, [9, want[0, 0], 9, 9, want[0, 1], 9, 9])
    stream.step(x[1], out=wide[-1:-3:-1])
    np.testing.assert_array_equal(wide[-2:], want[1, ::-1])
    out = np.zeros(2, net.dtype).view(type("Sub", (np.ndarray,), {}))
    assert stream.step(x[2], out=out) is out
    np.testing.assert_array_equal(out, want[2])


# --- chunks ---------------------------------------------------------------------------------------


def test_steps_and_chunks_take_turns_with_the_same_bits(net, rng):
    x = inputs(rng, net, 150)
    run, stream, done = net.run(x), net.stream(), 0
    for size in (1, 7, 0, 1, 1, 63, 77):
        chunk = x[done : done + size]
        y = stream.step(chunk[0])[np.newaxis] if size == 1 else stream.run(chunk)
        assert_same_bits(y, run.output[done : done + size])
        done += size
    assert done == len(x)
    assert_same_bits(stream.state, run.state)


def test_a_long_chunk_of_a_large_network_gives_the_same_bits(large, rng):
    x = inputs(rng, large, 40)
    run, stream = large.run(x), large.stream()
    assert_same_bits(stream.run(x), run.output)
    assert_same_bits(stream.state, run.state)


def test_a_chunk_of_no_steps_does_nothing(net):
    stream = net.stream()
    before = stream.state
    out = np.empty((0, 2), net.dtype)
    assert stream.run(np.empty((0, 3)), out=out) is out
    assert stream.run(np.empty((0, 3))).shape == (0, 2)
    assert_same_bits(stream.state, before)


def test_a_chunk_is_converted_and_its_outputs_go_where_they_should(net, rng):
    x = rng.integers(-3, 3, (20, 3))
    want = net(x)
    out = np.full((20, 4), 9, net.dtype)
    view = out[::-1, ::2]
    assert net.stream().run(x, view) is view
    assert_same_bits(view, want)
    assert (out[:, 1::2] == 9).all()
    assert_same_bits(net.stream().run(chunk=x.tolist()), want)


@pytest.mark.parametrize(
    ("chunk", "error", "message"),
    [
        (np.zeros(3), ShapeError, r"chunk: expected \(T, 3\), got \(3,\)"),
        (np.zeros((5, 4)), ShapeError, r"chunk: expected \(T, 3\), got \(5, 4\)"),
        (np.zeros((1, 5, 3)), ShapeError, r"chunk: expected \(T, 3\), got \(1, 5, 3\)"),
        ([[1, 2, 3], [4]], ShapeError, "chunk: "),
        ([["a"] * 3], DTypeError, r"chunk: .*<U1"),
    ],
)
def test_a_wrong_chunk_is_refused_and_changes_nothing(net, chunk, error, message):
    stream = net.stream()
    before = stream.state
    with pytest.raises(error, match=message):
        stream.run(chunk)
    assert_same_bits(stream.state, before)


def test_a_wrong_out_of_a_chunk_is_refused_and_changes_nothing(square, rng):
    x = inputs(rng, square, 6)
    kept, stream = x.copy(), square.stream()
    wrong = [
        (np.zeros((5, 4), np.float32), ShapeError, r"out: expected \(6, 4\), got \(5, 4\)"),
        (np.zeros((6, 4)), DTypeError, "out: .*float32"),
        (read_only(x), ArgumentError, "out: .*read-only"),
        (x, ArgumentError, "out: .*overlaps"),
        (x[::-1], ArgumentError, "out: .*overlaps"),
    ]
    for out, error, message in wrong:
        with pytest.raises(error, match=message):
            stream.run(x, out=out)
    assert_same_bits(x, kept)
    assert_same_bits(stream.state, np.zeros(9, np.float32))


# --- the state ------------------------------------------------------------------------------------


def test_a_stream_starts_in_the_initial_state_or_in_a_given_one(net, rng):
    assert_same_bits(net.stream().state, net.initial_state)
    state = rng.standard_normal(13)
    stream = net.stream(state)
    assert_same_bits(stream.state, state.astype(net.dtype))
    x = inputs(rng, net, 5)
    assert_same_bits(stream.run(x), net.run(x, state=state).output)


def test_the_state_is_a_copy_and_assigning_copies_in(net, rng):
    stream = net.stream()
    state = stream.state
    state[...] = 5
    assert_same_bits(stream.state, net.initial_state)
    stream.state = state
    state[...] = 6
    assert (stream.state == 5).all()
    stream.state = [0.25] * 13
    assert (stream.state == 0.25).all()
    stream.state = np.full(13, 1, ">i2")
    assert (stream.state == 1).all()


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (np.zeros(12), ShapeError, r"state: expected \(13,\), got \(12,\)"),
        (np.zeros((1, 13)), ShapeError, r"state: expected \(13,\), got \(1, 13\)"),
        (0.5, ShapeError, r"state: expected \(13,\), got \(\)"),
        (np.zeros(13, complex), DTypeError, r"state: .*complex128"),
        ("state", DTypeError, r"state: .*<U5"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(net, state, error, message):
    stream = net.stream()
    with pytest.raises(error, match=message):
        stream.state = state
    assert_same_bits(stream.state, net.initial_state)
    with pytest.raises(error, match=message):
        net.stream(state)


def test_the_state_cannot_be_deleted_and_nothing_else_can_be_set(net):
    stream = net.stream()
    with pytest.raises(AttributeError):
        del stream.state
    with pytest.raises(AttributeError):
        stream.speed = 3
    with pytest.raises(AttributeError):
        stream.step = None


def test_reset_returns_to_the_initial_state(net, rng):
    x = inputs(rng, net, 5)
    stream = net.stream(np.ones(13))
    stream.run(x)
    assert stream.reset() is None
    assert_same_bits(stream.state, net.initial_state)
    assert_same_bits(stream.run(x), net(x))
    without = elman.Network(input_size=3, hidden_size=4, output_size=1, seed=0).stream(np.ones(4))
    without.reset()
    assert_same_bits(without.state, np.zeros(4, np.float32))


@pytest.mark.parametrize(
    "duplicate",
    [
        elman.Stream.copy,
        copy.copy,
        copy.deepcopy,
        *(
            lambda s, protocol=protocol: pickle.loads(pickle.dumps(s, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_a_copy_continues_from_the_same_state_on_its_own(net, rng, duplicate):
    x = inputs(rng, net, 10)
    want, stream = net(x), net.stream()
    stream.run(x[:4])
    again = duplicate(stream)
    assert type(again) is elman.Stream
    assert_same_bits(again.run(x[4:]), want[4:])
    assert_same_bits(stream.run(x[4:]), want[4:])


def test_a_stream_keeps_its_network_alive(net, rng):
    x = inputs(rng, net, 10)
    want = net(x)
    own = pickle.loads(pickle.dumps(net))
    gone = weakref.ref(own)
    stream = own.stream()
    del own
    gc.collect()
    assert gone() is stream.network
    assert_same_bits(stream.run(x), want)
    assert_same_bits(pickle.loads(pickle.dumps(stream)).state, stream.state)
    del stream
    gc.collect()
    assert gone() is None


def test_repr_says_what_the_stream_runs(net):
    assert repr(net.stream()).startswith("Stream(3 -> 9 tanh -> 4 tanh -> 2 sigmoid")


# --- samples that are not finite ------------------------------------------------------------------

NAN, INF = np.nan, np.inf


@pytest.fixture
def scaled():
    """A network whose scaling makes some finite inputs infinite: x / 1e-30 in float32."""
    return elman.Network(
        2, 5, 1, seed=7, input_mean=[1, 2], input_std=[1, 1e-30], output_std=[3], output_mean=[1]
    )


@pytest.mark.parametrize("form", [np.array, np.float32, list, lambda x: strided(np.float32(x), 2)])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((NAN, 0, 0), "x: expected finite numbers, got nan at feature 0; .*hold.* skips"),
        ((0, 0, INF), "x: expected finite numbers, got inf at feature 2; "),
        ((0, -INF, NAN), "x: expected finite numbers, got -inf at feature 1; "),
    ],
)
def test_a_sample_that_is_not_finite_is_refused_and_changes_nothing(form, x, message):
    small = elman.Network(3, 4, 3, seed=7)
    wide = elman.Network(3, 1100, 3, seed=7)  # releases the lock, and works on copies
    for net in (small, wide):
        stream = net.stream()
        stream.step([1, 2, 3])
        before, out = stream.state, np.full(3, 9, np.float32)
        for target in (out, None):
            with pytest.raises(ArgumentError, match=message):
                stream.step(form(x), out=target)
        assert_same_bits(stream.state, before)
        assert (out == 9).all()
        assert_same_bits(stream.step([4, 5, 6]), net([[1, 2, 3], [4, 5, 6]])[1])


def test_what_counts_is_the_value_after_rounding_and_scaling(net, scaled):
    stream = net.stream()
    if net.dtype == np.float32:
        with np.errstate(over="ignore"):
            for call in (lambda: stream.step([0, 1e300, 0]), lambda: stream.run([[0, 1e300, 0]])):
                with pytest.raises(ArgumentError, match=r"in float32, got 1e\+300 at .*feature 1;"):
                    call()
    stream.step([0, 1e30, 0])
    stream = scaled.stream()
    message = r"in float32 after input scaling, got 1.* at (step 0, )?feature 1; "
    for x in ([1, 1e20], np.array([1, 1e20], np.float32)):
        with pytest.raises(ArgumentError, match="x: .*" + message):
            stream.step(x)
        with pytest.raises(ArgumentError, match="chunk: .*" + message):
            stream.run([x])
    assert_same_bits(stream.state, np.zeros(5, np.float32))


def test_a_sample_may_be_refused_in_place(square):
    stream, x = square.stream(), np.array([1, NAN, 2, 3], np.float32)
    with pytest.raises(ArgumentError, match="got nan at feature 1"):
        stream.step(x, out=x)
    assert_same_bits(x, np.array([1, NAN, 2, 3], np.float32))


def test_the_error_of_a_sample_that_cannot_be_read_again_has_its_rounded_value(net):
    class Once:
        left = 1

        def __array__(self, dtype=None, copy=None):
            self.left -= 1
            return np.array([0, 1e300, INF]) if self.left == 0 else np.zeros((), dtype)

    with (
        np.errstate(over="ignore"),
        pytest.raises(ArgumentError, match="x: expected finite numbers, got inf at feature"),
    ):
        net.stream().step(Once())


@pytest.mark.parametrize("T", [1, 7, 500])
def test_a_chunk_is_checked_before_its_first_step(net, rng, T):
    x, stream = inputs(rng, net, T), net.stream()
    x[-1, 1] = NAN
    before, out = stream.state, np.full((T, 2), 9, net.dtype)
    message = f"chunk: expected finite numbers, got nan at step {T - 1}, feature 1; "
    for chunk in (x, x.tolist(), np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        with pytest.raises(ArgumentError, match=message):
            stream.run(chunk, out=out)
    assert (out == 9).all()
    assert_same_bits(stream.state, before)
    assert_same_bits(stream.run(x[:-1]), net(x[:-1]))


def with_gaps(rng, net, T):
    """Return inputs with some values that are not finite, and which steps have none."""
    x = inputs(rng, net, T)
    for step in {0, 2, 3, 70, T - 1} & set(range(T)):
        x[step, step % net.input_size] = (NAN, INF, -INF)[step % 3]
    return x, np.isfinite(x).all(axis=1)


def test_a_held_step_is_a_masked_step(net, scaled, rng):
    for network in (net, scaled):
        x, real = with_gaps(rng, network, 200)
        cleaned = np.where(real[:, np.newaxis], x, 0)
        want = network.run(cleaned, mask=real, masked="hold")
        for size in (1, 2, 5, 71, 200):
            stream = network.stream(nonfinite="hold")
            pieces = [x[i : i + size] for i in range(0, 200, size)]
            if size == 1:
                y = [stream.step(piece[0]) for piece in pieces]
            else:
                y = [y_t for piece in pieces for y_t in stream.run(piece)]
            assert_same_bits(np.array(y), want.output)
            assert_same_bits(stream.state, want.state)


def test_before_the_first_sample_the_output_is_that_of_the_initial_state(net):
    stream, out = net.stream(nonfinite="hold"), np.empty(2, net.dtype)
    want = net.run(np.zeros((1, 3)), mask=[False]).output[0]
    assert_same_bits(stream.step([NAN, 0, 0], out=out), want)
    assert_same_bits(stream.state, net.initial_state)


def test_a_large_network_holds_too(large, rng):
    x, real = with_gaps(rng, large, 4)
    want = large.run(np.where(real[:, np.newaxis], x, 0), mask=real)
    stream = large.stream(nonfinite="hold")
    assert_same_bits(np.array([stream.step(x_t) for x_t in x]), want.output)


def test_values_propagate_as_in_arrays(net, rng):
    x, _ = with_gaps(rng, net, 100)
    stream, run = net.stream(nonfinite="propagate"), net.run(x)
    y = [stream.step(x_t) for x_t in x[:50]]
    assert_same_bits(np.concatenate([y, stream.run(x[50:])]), run.output)
    assert_same_bits(stream.state, run.state)
    assert np.isnan(stream.state).any()


def test_a_state_that_overflows_by_itself_is_not_a_bad_sample():
    net = elman.Network.from_weights([([[1.0]], [[1e30]], None)], None, activation="identity")
    for nonfinite in ("raise", "hold"):
        stream = net.stream(nonfinite=nonfinite)
        for _ in range(20):
            y = stream.step([1])
        assert y == INF
        for same in (stream.copy(), pickle.loads(pickle.dumps(stream))):
            assert same.state == INF
            assert same.nonfinite == nonfinite
        with pytest.raises(ArgumentError, match="state: expected finite numbers, got inf at 0; "):
            stream.state = stream.state


def test_only_propagate_accepts_a_state_that_is_not_finite(net):
    state = np.zeros(13)
    state[4] = NAN
    message = "state: expected finite numbers, got nan at 4; .*propagate"
    for nonfinite in ("raise", "hold"):
        stream = net.stream(nonfinite=nonfinite)
        with pytest.raises(ArgumentError, match=message):
            stream.state = state
        assert_same_bits(stream.state, net.initial_state)
        with pytest.raises(ArgumentError, match=message):
            net.stream(state, nonfinite=nonfinite)
    stream = net.stream(state, nonfinite="propagate")
    assert np.isnan(stream.state[4])
    stream.state = state


def test_the_policy_is_kept_and_shown(net):
    assert net.stream().nonfinite == "raise"
    assert "nonfinite" not in repr(net.stream())
    for nonfinite in ("hold", "propagate"):
        stream = net.stream(nonfinite=nonfinite)
        for same in (
            *(stream, stream.copy(), copy.copy(stream), copy.deepcopy(stream)),
            pickle.loads(pickle.dumps(stream)),
        ):
            assert same.nonfinite == nonfinite
            assert repr(same).endswith(f", nonfinite={nonfinite!r})")
        with pytest.raises(AttributeError):
            stream.nonfinite = "raise"


@pytest.mark.parametrize("wrong", ["", "ignore", "Raise", None, 3, b"hold", ["hold"], "\udcff"])
def test_an_unknown_policy_is_refused(net, wrong):
    message = "nonfinite: expected 'raise', 'hold' or 'propagate', got "
    with pytest.raises(ArgumentError, match=message):
        net.stream(nonfinite=wrong)
    with pytest.raises(TypeError):
        net.stream(None, "hold")


# --- sharing --------------------------------------------------------------------------------------


def test_pickled_streams_share_their_network(rng):
    net = elman.Network(6, [64, 64], 3, seed=0)
    x = inputs(rng, net, 500)
    streams = [net.stream() for _ in range(500)]
    for stream, x_t in zip(streams, x, strict=True):
        stream.step(x_t)
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(streams, protocol)
        each = (len(data) - len(pickle.dumps(net, protocol))) / len(streams)
        assert each < 4 * net.state_size + 200
        again = pickle.loads(data)
        assert {id(stream.network) for stream in again} == {id(again[0].network)}
        for one, other in zip(streams, again, strict=True):
            assert_same_bits(other.state, one.state)
    kept, stream = pickle.loads(pickle.dumps((net, streams[0])))
    assert stream.network is kept


def test_a_deep_copy_of_a_container_shares_what_the_container_shares(net):
    one = net.stream()
    container = {"net": net, "streams": [one, net.stream(), one]}
    again = copy.deepcopy(container)
    first, second, third = again["streams"]
    assert first is third
    assert first is not one
    assert first.network is second.network is again["net"]


def test_streams_of_one_network_run_at_the_same_time(rng):
    net = elman.Network(4, 200, 2, seed=0)
    chunks = inputs(rng, net, 8, 3000)  # long enough to release the interpreter's lock
    want = net.run(chunks)
    results = [None] * 8

    def work(i):
        stream = net.stream()
        halves = [stream.run(chunks[i, :1500]), stream.run(chunks[i, 1500:])]
        results[i] = np.concatenate(halves), stream.state

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (y, state) in enumerate(results):
        assert_same_bits(y, want.output[i])
        assert_same_bits(state, want.state[i])


# --- bytes ----------------------------------------------------------------------------------------


def allocated():
    """Return the bytes that the C library has handed out, or skip the test."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("needs mallinfo2 of the GNU C library")

    class Info(ctypes.Structure):
        _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]

    mallinfo2.restype = Info
    info = mallinfo2()
    return info.field_4 + info.field_7  # mmapped and in use


@pytest.mark.skipif("ELMAN_SANITIZED" in os.environ, reason="a sanitizer allocates by itself")
@pytest.mark.parametrize(
    ("sizes", "most"),
    [((1, 8, 1), 600), ((6, [64, 64], 3), 1600), ((64, 256, 16), 3000)],
)
def test_a_stream_takes_hardly_more_memory_than_it_says(sizes, most):
    net = elman.Network(*sizes, seed=0)
    assert net.stream().nbytes < most
    streams = [None] * 2000
    gc.collect()
    before = allocated()
    for i in range(len(streams)):
        streams[i] = net.stream()
    each = (allocated() - before) / len(streams)
    # Besides: the Python object, and the headers and the alignment of some ten allocations.
    assert streams[0].nbytes - 100 < each < streams[0].nbytes + 400


def test_the_documented_bytes_are_right():
    page = (pathlib.Path(__file__).parents[1] / "docs" / "streaming.md").read_text()
    rows = re.findall(r"^\| `(Network\(.*\))` \|(.*)\|$", page, re.MULTILINE)
    assert len(rows) == 4
    for network, numbers in rows:
        net = eval(f"elman.{network}")
        work, packed, state, stream = (int(n.replace(",", "")) for n in numbers.split("|"))
        assert net.multiply_adds == work
        assert net.state_size * net.dtype.itemsize == state
        assert net.stream().nbytes == stream
        if net.isa == "avx512":
            assert net.nbytes == packed


def test_bytes_do_not_grow_with_use(net, rng):
    stream, x = net.stream(), inputs(rng, net, 300)
    before = stream.nbytes, net.nbytes
    stream.run(x)
    assert (stream.nbytes, net.nbytes) == before


# --- construction and subclassing -----------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: elman.Stream(),
        lambda: elman.Stream.__new__(elman.Stream),
        lambda: object.__new__(elman.Stream),
        lambda: elman.Stream.__mro__[1].__new__(elman.Stream),
        lambda: elman._core.Network(),
        lambda: elman._core.Network.__new__(elman._core.Network),
        lambda: object.__new__(elman._core.Network),
    ],
)
def test_streams_and_cores_have_no_public_constructor(make):
    with pytest.raises(TypeError, match=r"constructor|__new__"):
        make()


def test_a_stream_cannot_be_subclassed():
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("MyStream", (elman.Stream,), {})


def test_initializing_a_stream_again_is_refused(net):
    stream = net.stream()
    with pytest.raises(TypeError, match="constructor"):
        stream.__init__()
    assert_same_bits(stream.state, net.initial_state)


# --- memory and references ------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "count"), [("float32", 10**6), ("float64", 10**5)])
def test_steps_into_out_leave_no_memory_behind(dtype, count):
    net = elman.Network(input_size=2, hidden_size=4, output_size=2, seed=0, dtype=dtype)
    step, x, out = net.stream().step, np.ones(2, dtype), np.empty(2, dtype)
    repeat = itertools.repeat(None, count)
    for _ in range(1000):
        step(x, out=out)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in repeat:
        step(x, out=out)
    # Allocations of the loop and of the test runner's other threads: up to 19 were seen.
    assert sys.getallocatedblocks() - before <= 100


def test_no_call_keeps_or_loses_a_reference(net):
    stream = net.stream()
    x, out, wrong = np.ones(3, net.dtype), np.empty(2, net.dtype), np.ones(4, net.dtype)
    other = np.ones(3, ">f4")
    state = np.ones(13)
    descr = net.dtype
    bad = np.full(3, np.nan, net.dtype)
    objects = (stream, x, out, wrong, other, bad, state, descr, None)
    calls = [
        lambda: stream.step(x),
        lambda: stream.step(x, out),
        lambda: stream.step(x, out=out),
        lambda: stream.step(other, out=out),
        lambda: stream.step(other),
        lambda: stream.step(wrong),
        lambda: stream.step(x, out=wrong),
        lambda: stream.step(x, out, out=out),
        lambda: stream.step(x, wrong=out),
        lambda: stream.step(None, out=out),
        lambda: stream.step(x, out=None),
        lambda: stream.run(x[None], out=out[None]),
        lambda: stream.run(x[None], out=wrong[None]),
        lambda: stream.run(wrong),
        lambda: stream.step(bad),
        lambda: stream.step(bad, out=out),
        lambda: stream.step(bad.tolist()),
        lambda: stream.run(bad[None]),
        lambda: setattr(stream, "state", state),
        lambda: setattr(stream, "state", wrong),
        lambda: stream.state,
        lambda: stream.copy(),
        lambda: net(x[None], out=out[None]),
        lambda: net.run(other[None], state=state, lengths=1),
        lambda: net.run(wrong[None]),
    ]
    for call in calls:
        for repeats in (50, 50):  # the first calls fill caches
            before = [sys.getrefcount(o) for o in objects]
            for _ in range(repeats):
                with contextlib.suppress(TypeError, ValueError):
                    call()
            after = [sys.getrefcount(o) for o in objects]
        growth = [b - a for a, b in zip(before, after, strict=True)]
        assert max(growth) < 10, growth
        assert min(growth) > -10, growth


# --- the times of steps ---------------------------------------------------------------------------


def test_steps_without_a_period_are_due_when_they_begin():
    net = elman.Network(input_size=2, hidden_size=4, output_size=1, seed=0)
    service, latency = elman._core.time_steps(net._core, np.ones((3, 2)), 50)
    np.testing.assert_array_equal(service, latency)
    assert service.shape == (50,)
    assert (service > 0).all()


def test_paced_steps_wait_for_when_they_are_due():
    net = elman.Network(input_size=2, hidden_size=4, output_size=1, seed=0)
    before = time.perf_counter_ns()
    service, latency = elman._core.time_steps(net._core, np.ones((3, 2)), 101, 20_000)
    assert time.perf_counter_ns() - before >= 100 * 20_000
    assert (latency >= service).all()


def test_a_stream_knows_its_network(rng):
    net = elman.Network(3, [6, 4], 2, seed=0, metadata={"a": "b"})
    stream = net.stream()
    assert stream.network is net
    assert stream.copy().network is net
    assert (stream.input_size, stream.output_size, stream.state_size) == (3, 2, 10)
    assert stream.dtype == net.dtype
    assert pickle.loads(pickle.dumps(stream)).network.metadata == {"a": "b"}


def test_a_network_that_holds_its_own_stream_is_collected():
    class Model(elman.Network):
        def __init__(self):
            super().__init__(3, 6, 2, seed=0)
            self.stream_of_mine = self.stream()

    model = weakref.ref(Model())
    gc.collect()
    assert model() is None
