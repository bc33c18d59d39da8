"""Interruption of long calls."""

from __future__ import annotations

import contextlib
import signal

import numpy as np
import pytest

import elman
from elman import _core

WORK = 2**21  # multiply-adds, or equivalent work, between two polls
NUMBER = 8  # multiply-adds per element copied or packed
MOST = 8 * WORK  # at most: some engines poll after a whole chunk

F4 = np.float32
H = 128
NET = elman.Network(input_size=16, hidden_size=H, output_size=16, seed=0)
BOTH = elman.Network(
    input_size=16, hidden_size=H, output_size=16, seed=0, direction="bidirectional"
)
TINY = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
TANH = ("tanh", None, None, None)
STEP = H * (16 + H) + 16 * H


def given(size):
    W_hh = np.broadcast_to(F4(0), (size, size))
    return elman.Network.from_weights([(np.zeros((size, 1), F4), W_hh, None)], None)


def start(init, size):
    return elman.Network(input_size=1, hidden_size=size, output_size=1, seed=0, init=init)


def use_pool(pool):
    pool.set_state(np.zeros(H, F4))
    pool.reset()
    pool.get_state()
    pool.copy()
    pool.resize(len(pool) + 1)


class Data:
    """Sequences, and the core's trainer for them."""

    def __init__(self, sequences, steps):
        self.x = np.broadcast_to(F4(0.5), (sequences, steps, 16))
        self.work = sequences * steps * STEP
        self.indices = np.arange(sequences)

    def examples(self):
        return _core.examples(NET._core, self.x, self.x, "mse", "all")

    def update(self, trainer=None):
        trainer = trainer or _core.trainer(NET._core, "adam", {}, None, None, False)
        B = len(self.indices)
        trainer.train(self.examples(), self.indices, B, np.ones(1), None, None, False, 1)

    def loss(self):
        trainer = _core.trainer(NET._core, "adam", {}, None, None, False)
        trainer.loss(self.examples(), 1)


def calls(scale):
    """Return calls by name, with a lower bound of their multiply-adds."""
    data = Data(32, 200 * scale)
    x, w = data.x, data.work
    one = np.broadcast_to(F4(0.5), (32 * 200 * scale, 16))
    none = np.empty((2**22 * scale, 0, 1), F4)
    wide = np.broadcast_to(F4(0), (2**24 * scale, 1))
    size = round(200 * scale ** (1 / 3))
    rows = 10000 * scale
    copied = NUMBER * rows * H  # numbers
    return {
        "call": (lambda: NET(x), w),
        "threads": (lambda: NET.run(x, threads=2), w / 2),
        "mask": (lambda: NET.run(x, mask=np.ones(x.shape[1], bool)), w),
        "directions": (lambda: BOTH(x), 2 * w),
        "trace": (lambda: [(p := NET.trace(x)).layers[0].a, p.readout.a], 2 * w),
        "recurrent": (lambda: NET.trace(x).layers[0].recurrent, w + w * H * H / STEP),
        "generate": (lambda: NET.generate(x[:1, :1], 2000 * scale), 2000 * scale * STEP),
        "stream": (lambda: NET.stream().run(one), w),
        "orthogonal": (lambda: start("glorot", 2 * size), 10 * size**3),
        "spectral radius": (lambda: start(elman.EchoState(), size), 24 * size**3),
        "normal": (lambda: start("identity", 10 * size), 100 * size**2),
        "gradients": (lambda: elman.loss_and_gradients(NET, x, x), 3 * w),
        "backward": (lambda: elman.backward(NET, x, x), 3 * w),
        "update": (data.update, 3 * w),
        "loss": (data.loss, w),
        "no steps": (
            lambda: _core.examples(TINY._core, none, none, "mse", "all"),
            NUMBER * len(none),
        ),
        "packing": (lambda: given(10 * size), 2 * NUMBER * (10 * size) ** 2),
        "activation": (lambda: _core.activate(TANH, one), 2 * NUMBER * one.size),
        "permutation": (lambda: _core.permutation(10**6 * scale, 0, 0), 10**6 * scale * NUMBER),
        "streams": (lambda: NET.streams(rows), 3 * copied),
        "pool": (lambda: use_pool(NET.streams(rows)), 9 * copied),
        "checks": (lambda: _core.examples(TINY._core, wide, wide, "mse", "all"), 3 * wide.size),
    }


def count_polls(call):
    before = _core.polls()
    call()
    return _core.polls() - before


@pytest.mark.parametrize("name", calls(1))
def test_every_long_call_can_be_stopped_often(name):
    call, work = calls(1)[name]
    assert count_polls(call) >= work // MOST


def test_a_large_trainer_is_made_read_and_restored_with_polls():
    net = start("uniform", 2000)
    fewest = NUMBER * net.num_parameters // MOST
    made = []
    make = lambda: made.append(_core.trainer(net._core, "adam", {}, None, None, False))  # noqa: E731
    assert count_polls(make) >= 3 * fewest
    (trainer,) = made
    assert count_polls(trainer.network) >= 2 * fewest
    assert count_polls(trainer.state) >= 3 * fewest
    state = trainer.state()
    assert count_polls(lambda: trainer.restore(state, 0)) >= 6 * fewest


class Interrupt(Exception):  # noqa: N818
    pass


@contextlib.contextmanager
def interrupted():
    """Expect that a signal after 20 ms of CPU time, whose handler raises, ends the call inside."""

    def interrupt(number, frame):
        raise Interrupt

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.02)
        with pytest.raises(Interrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("name", calls(1))
def test_every_long_call_ends_with_what_the_handler_of_a_signal_raises(name):
    scales = {"checks": 2**16, "activation": 400}
    scales |= dict.fromkeys(["backward", "normal", "packing", "permutation"], 100)
    scales |= dict.fromkeys(["streams", "pool"], 20)
    call, _ = calls(scales.get(name, 1000))[name]
    with interrupted():
        call()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_timed_steps_that_wait_end_with_what_the_handler_of_a_signal_raises():
    with interrupted():  # the second step is due after an hour
        _core.time_steps(NET._core, np.zeros((1, 16), F4), 2, 3600 * 10**9)


def test_an_interrupted_trainer_is_as_after_its_last_update():
    data, trainer = Data(32, 100), _core.trainer(NET._core, "adam", {}, None, None, False)
    data.update(trainer)
    state = trainer.state()
    with interrupted():
        Data(32, 10**5).update(trainer)
    assert trainer.updates == 1
    for name, array in trainer.state().items():
        assert (array == state[name]).all()
