"""Arrays during a call: conversions that run code, threads, Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
import threading

import numpy as np
import pytest

import elman
from elman.errors import ShapeError
from fixtures.bits import assert_same_bits
from fixtures.networks import small_network
from fixtures.processes import python

DTYPES = ("float32", "float64")


@pytest.fixture(params=DTYPES)
def net(request):
    return small_network(request.param)


# --- objects that run code while they are converted -----------------------------------------------


class Runs:
    """Converts to `value` after calling `action`."""

    def __init__(self, value, action=lambda: None):
        self.value = value
        self.action = action
        self.conversions = 0

    def __array__(self, dtype=None, copy=None):
        self.conversions += 1
        self.action()
        return np.asarray(self.value, dtype)


def test_every_argument_is_converted_exactly_once():
    net = elman.Network(input_size=3, hidden_size=4, output_size=3, seed=0)
    stream = net.stream()
    x, chunk, state = Runs([1, 2, 3]), Runs([[1, 2, 3]]), Runs(np.zeros(4))
    lengths = Runs(1)
    stream.step(x)
    assert x.conversions == 1
    stream.run(chunk)
    assert chunk.conversions == 1
    net(chunk)
    assert chunk.conversions == 2
    net.run(chunk, state=state, lengths=lengths, return_hidden=True)
    assert (chunk.conversions, state.conversions, lengths.conversions) == (3, 1, 1)
    stream.state = state
    assert state.conversions == 2
    net.generate(chunk, steps=3)
    assert chunk.conversions == 4
    net.generate(chunk, steps=3, feedback=lambda y: y)
    assert chunk.conversions == 5


def test_an_object_whose_shape_changes_is_converted_once(net):
    class Fickle:
        shapes = iter([(3,), (4,), ()])

        def __array__(self, dtype=None, copy=None):
            return np.ones(next(self.shapes))

    assert_same_bits(net.stream().step(Fickle()), net(np.ones((1, 3)))[0])


def test_a_conversion_may_use_the_same_stream(net):
    stream, x = net.stream(), np.ones(3)
    rows = [Runs(x, lambda: stream.step(x)), Runs(x, stream.reset), Runs(x, lambda: stream.state)]
    rows.append(Runs(x, lambda: setattr(stream, "state", np.ones(13))))
    rows.append(Runs(x, lambda: stream.run(np.ones((5, 3)))))
    rows.append(Runs(x, lambda: stream.step(Runs(x, stream.copy))))
    for row in rows:
        state = np.linspace(0, 1, 13, dtype=net.dtype)
        stream.state = state
        got = stream.step(row)
        after = net.stream(state)
        if row is rows[0] or row is rows[5]:
            after.step(x)
        elif row is rows[1]:
            after.reset()
        elif row is rows[3]:
            after.state = np.ones(13)
        elif row is rows[4]:
            after.run(np.ones((5, 3)))
        assert_same_bits(got, after.step(x))


def test_a_conversion_may_drop_the_last_name_of_the_stream(net):
    streams = [net.stream()]
    got = streams[0].step(Runs(np.ones(3), streams.clear))
    assert_same_bits(got, net(np.ones((1, 3)))[0])


def test_an_error_in_a_conversion_comes_through_and_leaves_the_stream_usable(net):
    def fail():
        raise KeyError("mine")

    stream = net.stream()
    for call in (
        lambda: stream.step(Runs(np.ones(3), fail)),
        lambda: stream.run(Runs(np.ones((1, 3)), fail)),
        lambda: setattr(stream, "state", Runs(np.ones(13), fail)),
        lambda: net(Runs(np.ones((1, 3)), fail)),
        lambda: net.run(np.ones((1, 3)), state=Runs(np.ones(13), fail)),
        lambda: net.run(np.ones((1, 3)), lengths=Runs(1, fail)),
    ):
        with pytest.raises(KeyError, match="mine"):
            call()
    assert_same_bits(stream.step(np.ones(3)), net(np.ones((1, 3)))[0])


def test_a_conversion_that_raises_a_value_error_keeps_its_own_words(net):
    def fail():
        raise ValueError("my own words")

    for call in (net, net.stream().run, net.stream().step):
        with pytest.raises(ValueError, match=r"^my own words$"):
            call(Runs(np.ones((1, 3)), fail))


def test_x_cannot_be_moved_by_the_conversion_of_another_argument(net):
    x = np.ones((40, 3), net.dtype)
    want = net(x)
    refused = []

    def resize():
        for shape in ((1, 1), (10**6, 3)):
            try:
                x.resize(shape, refcheck=False)
            except ValueError as error:
                refused.append(str(error))

    got = net.run(x, state=Runs(np.zeros(13), resize), lengths=Runs(40, resize)).output
    assert_same_bits(got, want)
    assert len(refused) == 4
    assert "cannot resize" in refused[0]


def test_out_cannot_be_moved_by_code_that_numpy_calls_on_a_subclass(net):
    class Sub(np.ndarray):
        def __array_function__(self, function, types, args, kwargs):
            for a in (x, out.base):
                with pytest.raises(ValueError, match="cannot resize"):
                    a.resize((1, 1), refcheck=False)
            moved.append(function.__name__)
            return super().__array_function__(function, types, args, kwargs)

    x, moved = np.ones((40, 3), net.dtype), []
    out = np.empty((40, 3), net.dtype).view(Sub)
    want = net(x)
    np.testing.assert_array_equal(np.asarray(net(x, out=out)), want)
    np.testing.assert_array_equal(np.asarray(net.stream().run(x, out=out)), want)
    assert moved


# --- other threads --------------------------------------------------------------------------------


def test_memory_stays_valid_when_another_thread_resizes_the_arrays_of_a_long_call():
    net = elman.Network(input_size=32, hidden_size=96, output_size=32, seed=0)
    large = elman.Network(input_size=32, hidden_size=1100, output_size=32, seed=0)
    x = np.ones((20000, 32), np.float32)
    want = net(x)
    large_want = large(x[:1])[0]
    stop, refused, moved = threading.Event(), [0], [0]
    arrays = {}

    def resize():
        while not stop.is_set():
            for a in list(arrays.values()):
                shape = a.shape
                try:
                    a.resize((1, *shape[1:]) if a.ndim > 1 else (1,), refcheck=False)
                    a.resize(shape, refcheck=False)
                    moved[0] += 1
                except ValueError:
                    refused[0] += 1

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        for call in (net, net.stream().run):
            arrays.update(x=x.copy(), out=np.empty_like(want))
            y = call(arrays["x"], out=arrays["out"])
            assert y.shape == want.shape or y.shape == (1, 32)
            arrays.clear()
        stream = large.stream()
        for _ in range(20):
            arrays.update(x=np.ones(32, np.float32), out=np.empty(32, np.float32))
            with contextlib.suppress(ShapeError):  # resized before the call
                stream.step(arrays["x"], out=arrays["out"])
            arrays.clear()
    finally:
        stop.set()
        thread.join()
    assert refused[0] > 0
    assert_same_bits(net(x), want)
    assert_same_bits(large(x[:1])[0], large_want)


def test_an_array_that_another_thread_writes_may_be_torn_but_never_changes_the_rest():
    net = elman.Network(input_size=8, hidden_size=64, output_size=4, seed=0)
    x = np.zeros((2, 20000, 8), np.float32)
    want = net(x)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            x[1] = np.nan

    thread = threading.Thread(target=write)
    thread.start()
    got = net(x)
    stop.set()
    thread.join()
    assert_same_bits(got[0], want[0])


# --- Ctrl-C ---------------------------------------------------------------------------------------

INTERRUPTED = """
    import signal
    import elman, numpy as np
    net = elman.Network(input_size=2, hidden_size=64, output_size=2, seed=0)
    x = np.broadcast_to(np.float32([0.5, -0.5]), (10**8, 2))
    def interrupt(call):
        signal.signal(signal.SIGPROF, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_PROF, 0.03)
        try:
            call()
        except KeyboardInterrupt:
            return
        raise SystemExit("was not interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a timer that sends signals")
def test_long_calls_can_be_interrupted_and_the_network_goes_on():
    done = python(
        INTERRUPTED
        + """
    none = np.lib.stride_tricks.as_strided(np.zeros(2, np.float32), (2**40, 0, 2), (0, 0, 4))
    calls = {
        "call": lambda: net(x, "last"),
        "threads": lambda: net.run(x.reshape(4, -1, 2), outputs="last", threads=2),
        "generate": lambda: net.generate(x[:1], steps=10**8),
        "feedback": lambda: net.generate(x[:1], steps=10**8, feedback=lambda y: y),
        "no steps": lambda: net(none),
    }
    for name, call in calls.items():
        print(name, flush=True)
        interrupt(call)
        assert net.verify(x[:10]).ok, name
    """
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a timer that sends signals")
def test_an_interrupted_stream_is_at_its_last_complete_step():
    done = python(
        INTERRUPTED
        + """
    net = elman.Network.from_weights([([[1.0], [0.0]], np.eye(2), [0.0, 1.0])], None,
                                     activation="identity")
    stream, ones = net.stream(nonfinite="propagate"), np.broadcast_to(1.0, (10**8, 1))
    interrupt(lambda: stream.run(ones))
    total, steps = stream.state
    print(total == steps, 0 < steps < 10**8)
    stream.step([5.0])
    print((stream.state == [total + 5, steps + 1]).all())
    stream = net.stream()
    interrupt(lambda: stream.run(ones))  # perhaps before the first step: all samples are checked
    total, steps = stream.state
    print(total == steps, steps < 10**8)
    """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 5
