"""Ctrl-C during long calls of NumPy."""

import ast
import contextlib
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import elman
from elman import _interrupt, dynamics, views

pytestmark = pytest.mark.any_isa

PACKAGE = pathlib.Path(elman.__file__).parent
NET = elman.Network(1, 330, 1, seed=0, output_activation="identity")
DEEP = elman.Network(1, 330, 1, seed=0, num_layers=2)
WAVE = np.sin(np.arange(1400.0))[:, None]
MATRIX = np.random.default_rng(0).standard_normal((400, 400))
CALLS = {
    "ridge": lambda: elman.ridge_readout(NET, WAVE, WAVE),
    "lyapunov": lambda: dynamics.lyapunov(NET, WAVE[:2]),
    "memory": lambda: dynamics.memory_curve(NET, lags=1, steps=1400),
    "fixed points": lambda: dynamics.fixed_points(NET, n=2, iterations=2),
    "flow": lambda: dynamics.gradient_flow(DEEP, WAVE[:3], WAVE[:3]).jacobian_norms,
    "eigenvalues": lambda: [views.eigenvalues(NET), views.eigenvalues(MATRIX)],
    "trajectory": lambda: views.trajectory(NET.trace(WAVE[:3])),
    "order": lambda: views.states(NET.trace(WAVE[:3]), order="similarity"),
    "linear": lambda: elman.linear_start(WAVE, WAVE, lags=400, alpha=1.0),
}


class Interrupt(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("name", CALLS)
def test_long_calls_leave_the_main_thread_to_signals(name, monkeypatch):
    found = []

    def watched(function):
        def call(*matrices, **options):
            work = matrices[0].size * max(matrix.shape[-1] for matrix in matrices)
            if work >= _interrupt._LONG:
                found.append(threading.current_thread() is threading.main_thread())
            return function(*matrices, **options)

        return call

    for of_linalg in ("eig", "eigh", "eigvals", "inv", "lstsq", "norm", "qr", "solve", "svd"):
        monkeypatch.setattr(np.linalg, of_linalg, watched(getattr(np.linalg, of_linalg)))
    CALLS[name]()
    assert found
    assert not any(found)


def test_no_other_file_calls_linear_algebra_of_matrices_itself():
    vectors = {"interop/torch/computed.py", "dynamics/flow.py"}  # whose norms are short
    found = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np.linalg.")
        if not (node.func.attr == "norm" and str(path.relative_to(PACKAGE)) in vectors)
    ]
    assert found == []


def test_the_bits_are_those_of_the_direct_call():
    for function in (np.linalg.qr, np.linalg.eig, np.linalg.inv):
        one, other = function(MATRIX), _interrupt.interruptible(function, MATRIX)
        for a, b in zip(one, other, strict=True):
            assert a.tobytes() == b.tobytes()
    stack = np.stack([MATRIX[:330]] * 8)
    for a, b in ((MATRIX, stack.swapaxes(1, 2)), (stack, MATRIX), (stack, stack.swapaxes(1, 2))):
        assert _interrupt.product(a, b).tobytes() == (a @ b).tobytes()


@pytest.mark.parametrize("size", [100, 400])
def test_errors_pass_through(size):
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        _interrupt.interruptible(np.linalg.inv, np.zeros((size, size)))


def test_the_state_of_floating_point_errors_is_that_of_the_caller():
    huge = np.full((800, 800), 1e200)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        _interrupt.product(huge, huge)
    with np.errstate(all="ignore"):
        assert np.isinf(_interrupt.product(huge, huge)).all()


def test_other_threads_and_those_that_get_no_thread_call_directly(monkeypatch):
    def refuse(function, arguments):
        raise RuntimeError("can't start new thread")

    ran = []
    work = lambda matrix: ran.append(threading.current_thread())  # noqa: E731
    other = threading.Thread(target=_interrupt.interruptible, args=(work, MATRIX))
    other.start()
    other.join()
    monkeypatch.setattr(_interrupt, "start_new_thread", refuse)
    _interrupt.interruptible(work, MATRIX)
    assert ran == [other, threading.main_thread()]
    assert not _interrupt._running


@contextlib.contextmanager
def handler_that_raises():
    def interrupt(number, frame):
        raise Interrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_ends_the_wait_and_drops_the_result():
    may_end = threading.Event()

    def work():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        may_end.wait()

    with handler_that_raises(), pytest.raises(Interrupt):
        _interrupt.in_thread(work)
    assert len(_interrupt._running) == 1
    may_end.set()
    _interrupt._wait()
    assert not _interrupt._running


CTRL_C = """
import os, signal, sys, threading, time
import numpy as np, elman
from elman import _interrupt

def send():
    while not _interrupt._running:
        time.sleep(0.001)
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
net = elman.Network(1, 2000, 1, seed=0, output_activation="identity")
before = net.tensors()["readout.W_hy"].tobytes()
threading.Thread(target=send).start()
try:
    elman.ridge_readout(net, np.ones((4000, 1)), np.ones((4000, 1)))
except KeyboardInterrupt:
    print(len(_interrupt._running), net.tensors()["readout.W_hy"].tobytes() == before, flush=True)
"""
FORK = """
pid = os.fork()
if pid == 0:
    os._exit(0 if np.isfinite(np.linalg.eigvals(np.eye(300))).all() else 1)
print(os.waitpid(pid, 0)[1], len(_interrupt._running))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize(("then", "printed"), [("", "1 True\n"), (FORK, "1 True\n0 0\n")])
def test_ctrl_c_ends_a_call_of_seconds_before_its_end(then, printed):
    # Without the warning of Python 3.12 at a fork: the thread that is waited for may still end.
    script = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CTRL_C + then]
    done = subprocess.run(script, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)


# Of 800 such interrupts 95 came before the thread began, which a fork then waited for, and one left
# the lock of `threading.Event` closed, for which the thread, and exit, waited.
INTERRUPTS = """
import os, random, signal
from elman import _interrupt

class Interrupt(Exception):
    pass

def interrupt(number, frame):
    raise Interrupt

random.seed(0)
signal.signal(signal.SIGALRM, interrupt)
for _ in range(500):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-4), 0.01)
        while True:
            _interrupt.in_thread(int)
    except Interrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
pid = os.fork()
if pid == 0:
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
# While another thread waits in its fork for a call, the main thread ends it and begins the next.
NEXT_CALL = """
import os
from concurrent.futures import Future
from elman import _interrupt

def next_call(seconds):
    _interrupt._running.clear()
    _interrupt._running.add(Future())

_interrupt._running.add(Future())
_interrupt.time.sleep = next_call
pid = os.fork()
if pid == 0:
    os._exit(len(_interrupt._running))
print(os.waitpid(pid, 0)[1])
_interrupt._running.clear()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize("script", [INTERRUPTS, NEXT_CALL])
def test_forks_and_exit_wait_only_for_calls_that_end(script):
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.returncode) == ("0\n", 0)
