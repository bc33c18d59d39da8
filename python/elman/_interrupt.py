"""Calls of NumPy that Ctrl-C can end.

The main thread handles signals between two calls, and one call of LAPACK can last seconds: a long
one runs in a thread of its own, without the interpreter's lock, while the main thread waits. Where
a handler raises, as that of Ctrl-C does, the result is dropped, and the thread goes on to the end
of its call. Exit and `os.fork` wait for it: without, OpenBLAS hung in 3 of 15 exits and 6 of 12
forks.

A handler can raise between any two instructions of Python. So threads share bare locks only:
`threading.Event`, and so `threading.Thread.start`, may keep their lock if one raises there, and the
thread, then exit, would wait for it without end.
"""

from __future__ import annotations

import atexit
import contextvars
import functools
import os
import threading
import time
from _thread import start_new_thread
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_T = TypeVar("_T")

_LONG = 1 << 25  # rows * columns^2: 3 to 40 ms; a thread takes 0.1 to 0.3 ms
_LONG_PRODUCT = 1 << 28  # multiply-adds: 10 ms
_INTERVAL = 0.05  # seconds: on Windows, signals do not end a wait

_running: set[Future[Any]] = set()


def interruptible(
    function: Callable[..., Any],
    *matrices: NDArray[Any],
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return function(*matrices), one of `numpy.linalg`, with the same bits."""
    first, last = matrices[0], matrices[-1]
    work = first.size * max(first.shape[-1], last.shape[-1])
    if work < _LONG or _is_other_thread():
        return function(*matrices, **options)
    return in_thread(functools.partial(function, *matrices, **options))


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return a @ b."""
    if a.size * b.size < _LONG_PRODUCT:  # first: saves 2 % of a step of 16 units
        short: NDArray[Any] = a @ b
        return short
    stack_of_b = b.ndim > max(2, a.ndim)
    work = b.size * a.shape[0] if stack_of_b else a.size * b.shape[-1]
    direct = work < _LONG_PRODUCT or _is_other_thread()
    result: NDArray[Any] = a @ b if direct else in_thread(lambda: a @ b)
    return result


def _is_other_thread() -> bool:
    """Return whether this is not the thread that handles signals."""
    return threading.current_thread() is not threading.main_thread()


def in_thread(work: Callable[[], _T], *, daemon: bool = False) -> _T:
    """Return work(), run in a thread, so that signals are handled during it.

    Exit and `os.fork` do not wait for a daemon, which may fork itself.
    """
    done: Future[_T] = Future()
    ended = threading.Lock()
    ended.acquire()
    errors: Any = np.geterr()  # not part of the context before NumPy 2

    def run() -> None:
        if not daemon:
            _running.add(done)
        try:
            with np.errstate(**errors):
                done.set_result(work())
        except BaseException as error:
            done.set_exception(error)
        finally:
            _running.discard(done)
            ended.release()

    try:
        start_new_thread(contextvars.copy_context().run, (run,))
    except RuntimeError:  # no thread left, or the interpreter ends
        return work()
    while not ended.acquire(timeout=_INTERVAL):
        pass
    return done.result()


def _wait() -> None:
    calls = list(_running)
    while not _running.isdisjoint(calls):
        time.sleep(0.001)


atexit.register(_wait)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_child=_running.clear)
