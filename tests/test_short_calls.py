"""`net(x)` of little work, which the extension computes without the Python function around it."""

from __future__ import annotations

import concurrent.futures
import copy
import functools
import gc
import inspect
import pickle
import pydoc
import re
import sys
import threading
import weakref

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from fixtures.bits import assert_same_bits
from fixtures.networks import random_network, random_scaling

ordinary = elman.Network.__call__.__wrapped__  # the function
SHAPES = [(1,), (2,), (65,), (1, 1), (1, 3), (3, 1), (8, 70), (70, 1), (2, 3, 4), (1, 1, 1, 2)]


@pytest.fixture(params=["float32", "float64"])
def net(request):
    return elman.Network(3, [9, 4], 2, seed=7, dtype=request.param)


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of the function in the list that is returned."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        return ordinary(*args, **kwargs)

    monkeypatch.setattr(elman.Network, "__call__", elman._core.fast_call(call))
    return calls


def inputs(net, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((*shape, net.input_size)).astype(net.dtype)


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_short_call_has_the_bits_of_the_function_and_of_run(rng, counted, direction, dtype):
    sizes = {"forward": (9, 4), "reverse": (5,), "bidirectional": (4, 3)}[direction]
    states = sum(sizes) * (1 + (direction == "bidirectional"))
    given = random_scaling(rng, 3, 2) | {"initial_state": rng.random(states)}
    net = elman.Network(3, sizes, 2, seed=7, dtype=dtype, direction=direction, **given)
    for shape in SHAPES:
        x = inputs(net, *shape)
        got = net(x)
        assert counted == []
        assert_same_bits(got, ordinary(net, x))
        assert_same_bits(got, net.run(x).output)
        assert got.shape == (*shape, 2)
        assert got.flags.owndata
        assert got.flags.writeable
        assert got.flags.c_contiguous
        assert got.dtype == net.dtype


def test_a_network_without_a_readout_returns_its_states(rng):
    net = random_network(rng, 3, (5,), None)
    x = inputs(net, 4, 7)
    assert_same_bits(net(x), net.run(x, return_hidden=True).hidden)


def test_results_are_new_arrays_that_later_calls_leave_alone(net):
    first, second = inputs(net, 1), inputs(net, 1, seed=1)
    got = net(first)
    kept = got.copy()
    assert not np.shares_memory(got, net(second))
    assert_same_bits(got, kept)


def test_the_input_is_only_read(net):
    x = inputs(net, 2, 3)
    kept = x.copy()
    x.flags.writeable = False
    assert_same_bits(net(x), ordinary(net, x))
    assert_same_bits(x, kept)


# --- everything else takes the function -----------------------------------------------------------


class Mine(np.ndarray):
    pass


def unaligned(x):
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    copied = memory.view(x.dtype).reshape(x.shape)
    copied[...] = x
    return copied


OTHERS = {
    "list": lambda x: x.tolist(),
    "sequences": list,
    "wider": lambda x: x.astype("longdouble"),
    "other width": lambda x: x.astype({4: "f8", 8: "f4"}[x.itemsize]),
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "integers": lambda x: (4 * x).astype("i8"),
    "subclass": lambda x: x.view(Mine),
    "masked": np.ma.array,
    "unaligned": unaligned,
    "columns first": lambda x: x.copy(order="F"),
    "with gaps": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[:, ::-1],
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "many axes": lambda x: x.reshape((1,) * 7 + x.shape),
    "no steps": lambda x: x[:, :0],
    "no sequences": lambda x: x[:0],
    "long": lambda x: np.tile(x, (100, 100, 1)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_input_takes_the_function(net, counted, kind):
    x = OTHERS[kind](inputs(net, 4, 50))
    got, want = net(x), ordinary(net, x)
    assert len(counted) == 1
    assert type(got) is type(want)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)


def test_any_other_argument_takes_the_function(net, counted):
    x, out = inputs(net, 4, 5), np.zeros((4, 5, 2), net.dtype)
    assert net(x, out=out) is out
    assert_same_bits(out, net(x))
    assert_same_bits(net(x, "last"), out[:, -1])
    assert_same_bits(net(x, outputs="last"), out[:, -1])
    assert_same_bits(net(x=x), out)
    assert len(counted) == 4


WRONG = {
    "a vector": ((np.zeros(3),), {}),
    "a number": ((3.0,), {}),
    "a word": (("x",), {}),
    "None": ((None,), {}),
    "too few features": ((np.zeros((4, 2)),), {}),
    "too many features": ((np.zeros((2, 4, 4)),), {}),
    "complex numbers": ((np.zeros((4, 3), complex),), {}),
    "nothing": ((), {}),
    "too much": ((np.zeros((4, 3)), "all", None), {}),
    "an unknown keyword": ((np.zeros((4, 3)),), {"state": 3}),
    "an unknown output": ((np.zeros((4, 3)), "first"), {}),
    "a wrong out": ((np.zeros((4, 3)),), {"out": np.zeros((4, 3))}),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_those_of_the_function(net, case):
    args, kwargs = WRONG[case]
    args = [a.astype(net.dtype) if getattr(a, "dtype", None) == "f8" else a for a in args]
    with pytest.raises((ElmanError, TypeError)) as got:
        net(*args, **kwargs)
    with pytest.raises((ElmanError, TypeError)) as want:
        ordinary(net, *args, **kwargs)
    assert str(got.value) == str(want.value)
    assert type(got.value) is type(want.value)


def test_what_is_no_network_gets_the_error_of_the_function(net):
    class Almost:
        _core = None

    x = inputs(net, 1)
    call = elman.Network.__call__
    for other in (3, None, Almost(), elman.Network, net.stream(), net._core):
        with pytest.raises((AttributeError, TypeError)) as got:
            call(other, x)
        with pytest.raises((AttributeError, TypeError)) as want:
            ordinary(other, x)
        assert str(got.value) == str(want.value)


# --- a method like any other ----------------------------------------------------------------------


def test_it_is_documented_as_the_function():
    call = elman.Network.__call__
    net = elman.Network(3, 4, 2, seed=0)
    assert inspect.signature(call) == inspect.signature(ordinary)
    assert list(inspect.signature(net).parameters) == ["x", "outputs", "out"]
    assert inspect.signature(net) == inspect.signature(net.__call__)
    assert call.__doc__ == net.__call__.__doc__ == ordinary.__doc__
    assert (call.__name__, call.__qualname__) == ("__call__", "Network.__call__")
    assert call.__module__ == "elman._network"
    assert inspect.isroutine(call)
    assert inspect.getsource(call) == inspect.getsource(ordinary)
    for thing in (elman.Network, net):
        page = pydoc.plain(pydoc.render_doc(thing))
        # Python 3.13 gives each parameter of a long signature a line of its own.
        assert re.search(r"__call__\([\s|]*self,[\s|]*x: 'ArrayLike \| Sequences'", page)
        assert "Run whole sequences (..., T, I)" in page


def test_it_is_bound_pickled_copied_and_weakly_referenced_as_the_function(net):
    call, x = elman.Network.__call__, inputs(net, 2)
    want = ordinary(net, x)
    assert_same_bits(call(net, x), want)
    assert_same_bits(net.__call__(x), want)
    assert_same_bits(functools.partial(net, x)(), want)
    assert_same_bits(next(map(net, [x])), want)
    assert_same_bits(pickle.loads(pickle.dumps(net.__call__))(x), want)
    assert_same_bits(weakref.WeakMethod(net.__call__)()(x), want)
    assert net.__call__ == net.__call__
    assert pickle.loads(pickle.dumps(call)) is call
    assert copy.copy(call) is copy.deepcopy(call) is call


def test_a_subclass_may_override_it_and_what_is_beside_it(net):
    class Doubled(elman.Network):
        def __call__(self, x, outputs=None, *, out=None):
            return 2 * super().__call__(x, outputs, out=out)

        def run(self, x, **options):
            raise AssertionError("a call is not a run")

    class Halved(Doubled):
        def __call__(self, x):
            return super().__call__(x) / 2

    class Plain(elman.Network):
        def run(self, x, **options):
            raise AssertionError("a call is not a run")

    x = inputs(net, 4)
    for cls, factor in ((Doubled, 2), (Halved, 1), (Plain, 1)):
        mine = cls.from_tensors(net.tensors())
        assert type(mine) is cls
        assert_same_bits(mine(x), factor * net(x))
        assert_same_bits(mine(x.tolist()), factor * net(x))


def test_a_class_may_replace_it_at_any_time(net):
    class Mine(elman.Network):
        pass

    mine, x = Mine.from_tensors(net.tensors()), inputs(net, 1)
    want = mine(x)
    Mine.__call__ = lambda self, x: "mine"
    assert mine(x) == "mine"
    del Mine.__call__
    assert_same_bits(mine(x), want)


# --- other code during a call, and lifetimes ------------------------------------------------------


def test_a_conversion_may_call_the_same_network(net):
    x = inputs(net, 3)
    inner = []

    class Calls:
        def __array__(self, dtype=None, copy=None):
            inner.append(net(x))
            inner.append(net(x[None].repeat(9, axis=0)))
            return x.astype("f8") if net.dtype == "f4" else x.astype("f4")

    want = net(x)
    net(Calls())
    assert_same_bits(inner[0], want)
    assert_same_bits(inner[1], want[None].repeat(9, axis=0))
    assert_same_bits(net(x), want)


def test_threads_that_call_one_network_at_once_get_the_bits_of_one(net):
    data = [inputs(net, *SHAPES[i % len(SHAPES)], seed=i) for i in range(40)]
    want = [ordinary(net, x) for x in data]
    start = threading.Barrier(4)

    def work(first):
        start.wait()
        stream = net.stream()
        for i in range(200):
            k = (first + 7 * i) % len(data)
            assert_same_bits(net(data[k]), want[k])
            if data[k].ndim == 2:
                stream.reset()
                assert_same_bits(stream.run(data[k]), want[k])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(work, first) for first in range(4)]:
                future.result()
    finally:
        sys.setswitchinterval(interval)


def test_short_calls_leave_no_memory_and_no_references_behind(net):
    x, wrong = inputs(net, 1), np.zeros((1, 4), net.dtype)
    objects = (net, net._core, x, wrong, net.dtype, elman.Network.__call__, None)

    def calls():
        for _ in range(1000):
            net(x)
            with pytest.raises(ElmanError):
                net(wrong)

    for _ in range(2):  # the first calls fill caches
        gc.collect()
        blocks, counts = sys.getallocatedblocks(), [*map(sys.getrefcount, objects)]
        calls()
        gc.collect()
    assert sys.getallocatedblocks() - blocks <= 100
    growth = [b - a for a, b in zip(counts, map(sys.getrefcount, objects), strict=True)]
    assert max(map(abs, growth)) < 20, growth


def test_a_network_that_was_called_is_freed_at_once_and_in_a_cycle_by_the_collector():
    class Mine(elman.Network):
        pass

    x = np.ones((4, 9, 3), np.float32)
    net, mine = elman.Network(3, 4, 2, seed=0), Mine(3, 4, 2, seed=0)
    assert_same_bits(net(x), mine(x))
    mine.itself = mine
    mine.call = mine.__call__
    gone = weakref.ref(net), weakref.ref(mine)
    del net
    assert gone[0]() is None
    del mine
    gc.collect()
    assert gone[1]() is None


def test_a_fast_call_in_a_cycle_is_collected():
    def function(x):
        return x

    made = elman._core.fast_call(function)
    function.itself = made
    made.other = [made]
    assert made(3) == 3
    gone = weakref.ref(made)
    del made, function
    gc.collect()
    assert gone() is None


def test_a_fast_call_is_made_of_a_function():
    for wrong in (3, None, "name"):
        with pytest.raises(TypeError):
            elman._core.fast_call(wrong)
    with pytest.raises(TypeError):
        type(elman.Network.__call__)()
