"""Threads, processes and object lifetimes: sharing a network."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copyreg
import gc
import io
import multiprocessing
import os
import pickle
import random
import threading
import weakref

import numpy as np
import pytest

import elman
from elman.errors import BusyError, ModelFormatError
from fixtures.bits import assert_same_bits
from fixtures.processes import FOLDER, measures_peak, python


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[9, 4], output_size=2, seed=7)


# --- threads --------------------------------------------------------------------------------------


@contextlib.contextmanager
def in_a_long_run(stream, chunk):
    """Run a chunk in another thread, and enter when it has begun."""
    done, error = [], []

    def run():
        try:
            done.append(stream.run(chunk))
        except BaseException as e:
            error.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not busy(stream):
        pass
    try:
        yield done
    finally:
        thread.join()
    assert not error


def busy(stream):
    try:
        stream.state  # noqa: B018
    except BusyError:
        return True
    return False


def test_a_stream_in_use_is_busy_for_every_other_thread_and_unharmed():
    net = elman.Network(input_size=8, hidden_size=256, output_size=4, seed=0)
    chunk = np.random.default_rng(0).standard_normal((20000, 8)).astype(np.float32)
    stream = net.stream()
    x, out = chunk[0], np.full(4, 9, np.float32)
    uses = [
        lambda: stream.step(x),
        lambda: stream.step(x, out=out),
        lambda: stream.step(x.tolist()),
        lambda: stream.run(chunk),
        lambda: stream.state,
        lambda: setattr(stream, "state", np.zeros(256)),
        stream.reset,
        stream.copy,
        lambda: pickle.dumps(stream),
    ]
    refused = 0
    with in_a_long_run(stream, chunk) as done:
        for use in uses:
            with contextlib.suppress(BusyError):
                use()
                continue
            refused += not done
    assert refused == len(uses)
    assert (out == 9).all()
    assert_same_bits(done[0], net(chunk))
    assert_same_bits(stream.state, net.run(chunk).state)


def test_the_error_says_what_to_do():
    net = elman.Network(input_size=8, hidden_size=256, output_size=4, seed=0)
    stream, chunk = net.stream(), np.zeros((20000, 8), np.float32)
    message = "stream.*thread"
    with in_a_long_run(stream, chunk), pytest.raises(BusyError, match=message):
        stream.reset()


def test_of_many_threads_on_one_stream_each_step_is_done_whole_or_not_at_all():
    # An identity that counts: after n steps the state is n, so a lost or torn step would show.
    size = 1100  # large enough to release the interpreter's lock
    eye = np.eye(size, dtype=np.float32)
    net = elman.Network.from_weights(
        [(np.ones((size, 1), np.float32), eye, None)], None, activation="identity"
    )
    stream, x = net.stream(), np.ones(1, np.float32)
    done, start = [0] * 4, threading.Barrier(4)

    def work(thread):
        start.wait()
        for _ in range(30):
            with contextlib.suppress(BusyError):
                y = stream.step(x)
                assert (y == y[0]).all()
                done[thread] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 30 <= sum(done) <= 120
    assert (stream.state == sum(done)).all()


def test_a_network_may_be_shared_by_threads_that_do_everything_at_once(net, rng):
    x = rng.standard_normal((50, 40, 3)).astype(np.float32)
    long = rng.standard_normal((20, 2000, 3)).astype(np.float32)
    run, long_run = net.run(x, return_hidden=True), net.run(long)
    uses = [
        lambda: assert_same_bits(net(x), run.output),
        lambda: assert_same_bits(net.run(x, threads=2, return_hidden=True).hidden, run.hidden),
        lambda: assert_same_bits(net.run(long, threads=3).output, long_run.output),
        lambda: assert_same_bits(net.stream().run(x[0]), run.output[0]),
        lambda: assert_same_bits(np.stack([*map(net.stream().step, x[1])]), run.output[1]),
        lambda: assert_same_bits(pickle.loads(pickle.dumps(net))(x), run.output),
        lambda: hash(net),
    ]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(use) for _ in range(6) for use in uses]:
            future.result()


def test_the_first_arrays_of_a_process_may_come_from_many_threads_at_once():
    done = python("""
        import threading, elman
        results, start = [], threading.Barrier(8)
        def work():
            start.wait()
            net = elman.Network(input_size=1, hidden_size=3, output_size=1, seed=0)
            results.append(float(net.stream().step([0.5])[0]))
        threads = [threading.Thread(target=work) for _ in range(8)]
        sys.setswitchinterval(1e-6)
        for t in threads: t.start()
        for t in threads: t.join()
        print(len(results), len(set(results)))
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["8", "1"]


def test_a_trainer_in_use_is_busy_for_every_other_thread_and_unharmed(rng):
    net = elman.Network(input_size=8, hidden_size=128, output_size=4, seed=0)
    x, y = rng.standard_normal((64, 300, 8)), rng.standard_normal((64, 300, 4))
    arguments = (np.arange(64), 8, np.full(8, 1e-3), None, None, False, 1)
    results = []
    for others in (False, True):
        examples = elman._core.examples(net._core, x, y, "mse", "all")
        trainer = elman._core.trainer(net._core, "adam", {}, None, None, False)
        state = trainer.state()
        uses = [
            trainer.network,
            trainer.state,
            lambda t=trainer: t.updates,
            lambda t=trainer, e=examples: t.loss(e, 1),
            lambda t=trainer, e=examples: t.train(e, *arguments),
            lambda t=trainer, e=examples: t.updates_of(e, np.arange(64), 8, None, None),
            lambda t=trainer, s=state: t.restore(s, 0),
        ]
        thread = threading.Thread(target=trainer.train, args=(examples, *arguments))
        thread.start()
        refused = set()
        while others and thread.is_alive() and len(refused) < len(uses):
            for i in set(range(3)) - refused or set(range(len(uses))) - refused:
                try:
                    uses[i]()
                except BusyError as error:
                    refused.add(i)
                    assert "trainer" in str(error)  # noqa: PT017
        thread.join()
        assert len(refused) == (len(uses) if others else 0)
        results.append(trainer.state()["parameters"])
    assert_same_bits(*results)


def test_the_trainer_of_a_callback_is_busy_while_training_goes_on(rng):
    net = elman.Network(8, 64, 4, output_activation="identity", seed=0)
    x, y = rng.standard_normal((64, 200, 8)), rng.standard_normal((64, 200, 4))
    kept, refused, done = [], [], threading.Event()

    def look():
        while not done.is_set():
            for trainer in kept:
                try:
                    trainer.network  # noqa: B018 (a look at it)
                except BusyError:
                    refused.append(True)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        with contextlib.suppress(BusyError):  # the trainer's own calls may come second, too
            elman.train(net, x, y, epochs=20, callback=lambda _, trainer: kept.append(trainer))
    finally:
        done.set()
        thread.join()
    assert refused


# --- processes ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes_after_threads_were_used_and_so_does_its_parent():
    done = python("""
        import os, elman, numpy as np
        net = elman.Network(input_size=8, hidden_size=64, output_size=4, seed=0)
        x = np.ones((64, 400, 8), np.float32)
        want, stream = net.run(x, threads=4).output, net.stream()
        stream.run(x[0])
        child = os.fork()
        same = (net.run(x, threads=4).output == want).all()
        same &= (stream.copy().state == net.run(x[0]).state).all()
        if child == 0:
            os._exit(0 if same else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_during_a_call_finds_the_stream_busy_and_makes_a_new_one():
    done = python("""
        import os, threading, time, elman, numpy as np
        net = elman.Network(input_size=8, hidden_size=256, output_size=4, seed=0)
        stream, x = net.stream(), np.ones((200, 8), np.float32)
        start = time.perf_counter()
        stream.run(x)
        steps = int(200 * 0.15 / (time.perf_counter() - start))  # 150 ms of them
        x = np.broadcast_to(np.float32(1), (steps, 8))
        def start_call():
            thread = threading.Thread(target=stream.run, args=(x,))
            thread.start()
            return thread
        thread = start_call()
        def busy():
            try:
                stream.state
            except elman.BusyError:
                return True
            return False
        while not busy():  # on a loaded machine the call may end unseen
            thread = thread if thread.is_alive() else start_call()
        child = os.fork()
        if child == 0:
            right = busy() and (net.stream().run(x[:9]) == net(x[:9])).all()
            os._exit(0 if right else 1)
        thread.join()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), busy())
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "False"]


def test_a_pool_of_spawned_processes_runs_a_pickled_network(net, rng, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", FOLDER + os.pathsep + os.environ.get("PYTHONPATH", ""))
    x = rng.standard_normal((4, 30, 3)).astype(np.float32)
    stream = net.stream()
    stream.run(x[0, :10])
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        batches = list(pool.map(net, x))
        rest = pool.submit(stream.run, x[0, 10:]).result()
    assert_same_bits(np.stack(batches), net(x))
    assert_same_bits(rest, net(x)[0, 10:])


def test_a_pickle_is_hardly_larger_than_the_model_file(tmp_path):
    for options in ({"hidden_size": 64}, {"hidden_size": [100, 50, 25], "dtype": "float64"}):
        net = elman.Network(input_size=32, output_size=8, seed=0, **options)
        net.save(tmp_path / "model.safetensors")
        size = (tmp_path / "model.safetensors").stat().st_size
        assert len(pickle.dumps(net)) <= 1.1 * size
        assert len(pickle.dumps(net.stream())) <= 1.1 * size + 8 * net.state_size


# --- pickles --------------------------------------------------------------------------------------


def test_a_pickled_stream_has_the_state_and_buffers_of_its_own(net, rng):
    x = rng.standard_normal((20, 3)).astype(np.float32)
    stream = net.stream()
    stream.run(x[:5])
    first, second = (pickle.loads(pickle.dumps(stream)) for _ in range(2))
    want = net(x)
    assert_same_bits(first.run(x[5:]), want[5:])
    assert_same_bits(second.run(x[5:]), want[5:])
    assert_same_bits(stream.run(x[5:]), want[5:])


# Created only by functions of the core; otherwise they would be empty.
NOT_MADE = (
    elman.Stream,
    elman.StreamPool,
    elman._core.Network,
    elman._core.Trainer,
    elman._core.Examples,
)


class Hostile:
    """Pickles as a call of `function` with these arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickles(net):
    """Yield payloads with wrong types, shapes, sizes and states for our pickles."""
    restore_network, (data,) = net.__reduce__()
    restore_stream, _ = net.stream().__reduce__()
    for wrong in (
        3,
        None,
        b"",
        b"\0" * 100,
        data[:-1],
        data + b"\0",
        bytearray(data),
        "abc",
        [data],
    ):
        yield Hostile(restore_network, wrong)
    yield Hostile(restore_network)
    for arguments in (
        (),
        (net,),
        (None, np.zeros(13)),
        ("net", np.zeros(13)),
        (net, np.zeros(12)),
        (net, np.zeros((1, 13))),
        (net, "state"),
        (net, [None] * 13),
        (net, np.zeros(13, complex)),
        (net.__class__, np.zeros(13)),
    ):
        yield Hostile(restore_stream, *arguments)
    for cls in NOT_MADE:
        yield Hostile(cls)
        yield Hostile(object.__new__, cls)


def test_a_hostile_pickle_is_an_error_and_never_an_object(net):
    payloads = [pickle.dumps(hostile) for hostile in hostile_pickles(net)]
    payloads += [b"celman._core\n%s\n)\x81." % cls.__name__.encode() for cls in NOT_MADE]
    assert len(payloads) > 20
    for payload in payloads:
        allowed = (elman.ElmanError, TypeError)
        with contextlib.suppress(*allowed):
            made = pickle.loads(payload)
            # (net,) alone is a stream with the state None: the network's start.
            assert made is None, payload


def test_setting_a_state_on_an_empty_network_does_not_make_it_usable(net):
    for state in (None, 3, {"_core": 3}, (None, {"_core": None}), (None, {"_core": 3, "_x": 3})):
        wrong = elman.Network.__new__(elman.Network)
        payload = io.BytesIO()
        pickler = pickle.Pickler(payload)
        pickler.dispatch_table = {
            elman.Network: lambda _, s=state: (copyreg.__newobj__, (elman.Network,), s)
        }
        pickler.dump(net)
        with contextlib.suppress(TypeError, AttributeError, pickle.UnpicklingError):
            wrong = pickle.loads(payload.getvalue())
        with pytest.raises((TypeError, AttributeError)):
            wrong(np.zeros((1, 3)))


def test_a_pickle_cut_anywhere_is_an_error_and_one_with_a_changed_byte_at_most_another_network(net):
    data = pickle.dumps(net)
    for end in range(0, len(data), 7):
        with pytest.raises((pickle.UnpicklingError, EOFError, ModelFormatError, ValueError)):
            pickle.loads(data[:end])
    _, (content,) = net.__reduce__()
    restore = net.__reduce__()[0]
    generator = random.Random(0)
    for _ in range(300):
        broken = bytearray(content)
        broken[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        with contextlib.suppress(elman.ElmanError):
            assert restore(bytes(broken)).input_size == 3


# --- objects without content ----------------------------------------------------------------------


def test_a_network_whose_constructor_was_skipped_raises_in_every_method():
    empty = elman.Network.__new__(elman.Network)
    x = np.zeros((1, 3))
    calls = [
        lambda: empty(x),
        lambda: empty.run(x),
        lambda: empty.generate(x, steps=1),
        lambda: empty.generate(x, steps=1, feedback=lambda y: y),
        lambda: empty.verify(x),
        empty.stream,
        lambda: empty.astype("float64"),
        lambda: empty.save("nowhere.safetensors"),
        lambda: pickle.dumps(empty),
        lambda: repr(empty),
        lambda: hash(empty),
        lambda: empty == empty,
        *(
            lambda name=name: getattr(empty, name)
            for name in dir(elman.Network)
            if isinstance(getattr(elman.Network, name), property)
        ),
    ]
    assert len(calls) > 25
    for call in calls:
        with pytest.raises(TypeError, match="constructor"):
            call()
    gc.collect()


def test_a_network_whose_constructor_failed_raises_in_its_methods():
    kept = []

    class Kept(elman.Network):
        def __init__(self, **options):
            kept.append(self)
            super().__init__(**options)

    with pytest.raises(ValueError, match=r"^hidden_size: "):
        Kept(input_size=1, hidden_size=0, output_size=1)
    with pytest.raises(TypeError, match="constructor"):
        kept[0](np.zeros((1, 1)))


def test_a_subclass_of_network_works_like_one(net, rng):
    class Mine(elman.Network):
        pass

    mine = Mine(input_size=3, hidden_size=[9, 4], output_size=2, seed=7)
    assert mine == net
    x = rng.standard_normal((5, 3))
    assert_same_bits(mine(x), net(x))
    assert type(mine.astype("float64")) is Mine


# --- shutdown of the interpreter ------------------------------------------------------------------

THREADS = """
    import threading, time, os, elman, numpy as np
    net = elman.Network(input_size=8, hidden_size=64, output_size=4, seed=0)
    large = elman.Network(input_size=8, hidden_size=1100, output_size=4, seed=0)
    x = np.zeros((8, 50000, 8), np.float32)
    started = threading.Barrier(5)
    def forever(call):
        started.wait()
        while True:
            call()
    stream, row = large.stream(), np.zeros(8, np.float32)
    calls = [lambda: net(x), lambda: net.run(x, threads=3), lambda: net.stream().run(x[0]),
             lambda: stream.step(row)]
    for call in calls:
        threading.Thread(target=forever, args=(call,), daemon=True).start()
    started.wait()
    time.sleep({wait})
"""


@pytest.mark.parametrize(
    ("wait", "end"),
    [
        (0, "os._exit(0)"),
        (0.03, "pass"),
        pytest.param(0.1, "pass", marks=pytest.mark.slow),
        pytest.param(0.03, "os._exit(0)", marks=pytest.mark.slow),
        pytest.param(0.03, "sys.exit(0)", marks=pytest.mark.slow),
    ],
)
def test_the_interpreter_ends_while_daemon_threads_are_in_the_core(end, wait):
    done = python(THREADS.replace("{wait}", str(wait)) + f"\n    {end}\n", timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_thread_that_is_no_daemon_is_waited_for():
    done = python("""
        import threading, elman, numpy as np
        net = elman.Network(input_size=8, hidden_size=64, output_size=4, seed=0)
        x = np.zeros((4, 30000, 8), np.float32)
        threading.Thread(target=lambda: print(net.run(x, threads=2).output.shape)).start()
    """)
    assert (done.returncode, done.stdout) == (0, "(4, 30000, 4)\n"), done.stderr


def test_objects_that_outlive_everything_are_freed_in_any_order():
    done = python("""
        import atexit, elman, numpy as np
        net = elman.Network(input_size=1, hidden_size=3, output_size=1, seed=0)
        elman.kept = net.stream()
        sys.kept = [net.layers[0].W_hh, net, net.stream()]
        sys.kept.append(sys.kept)
        atexit.register(net.stream().step, np.zeros(1, np.float32))
    """)
    assert (done.returncode, done.stderr) == (0, "")


# --- sub-interpreters -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "import elman"])
def test_a_sub_interpreter_gets_an_import_error_and_the_main_one_goes_on(before):
    pytest.importorskip("_xxsubinterpreters", reason="this Python has no such sub-interpreters")
    done = python(f"""
        import _xxsubinterpreters as interpreters
        {before}
        code = f'import sys; sys.path.insert(0, {{sys.path[0]!r}}); import elman'
        id = interpreters.create()
        try:
            interpreters.run_string(id, code)
        except interpreters.RunFailedError as error:
            print(error)
        interpreters.destroy(id)
        import elman
        net = elman.Network(input_size=1, hidden_size=3, output_size=1, seed=0)
        print(net([[0.5]]).shape)
    """)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "ImportError" in first
    assert "sub-interpreter" in first
    assert second == "(1, 1)"


# --- lifetimes ------------------------------------------------------------------------------------


def test_a_stream_and_views_of_weights_keep_the_core_alive(rng):
    net = elman.Network(input_size=3, hidden_size=200, output_size=2, seed=7)
    x = rng.standard_normal((5, 3)).astype(np.float32)
    want, W_hh = net(x), net.layers[0].W_hh.copy()
    gone = weakref.ref(net)
    stream, view = net.stream(), net.layers[0].W_hh[3:, ::2]
    del net
    gc.collect()
    churn = [np.full(200 * 200, np.nan, np.float32) for _ in range(20)]  # overwrites freed memory
    assert_same_bits(stream.run(x), want)
    assert_same_bits(view, W_hh[3:, ::2])
    del churn, stream
    gc.collect()
    assert gone() is None
    assert_same_bits(view, W_hh[3:, ::2])


def test_states_and_results_outlive_their_stream(net, rng):
    x = rng.standard_normal((5, 3)).astype(np.float32)
    stream = net.stream()
    y, state = stream.run(x), stream.state
    want = y.copy(), state.copy()
    del stream
    churn = [net.stream().run(x * 0) for _ in range(20)]
    assert_same_bits(y, want[0])
    assert_same_bits(state, want[1])
    assert len(churn) == 20


@measures_peak
def test_nothing_is_left_of_networks_and_streams_that_are_gone():
    done = python("""
        import gc
        import elman, numpy as np
        def live(count):
            for _ in range(count):
                net = elman.Network(input_size=64, hidden_size=512, output_size=4, seed=0)
                stream = net.stream()
                stream.copy().step(np.zeros(64))
                net(np.zeros((2, 3, 64)))
                net.layers[0].W_hh[0]
        live(5)
        gc.collect()
        before = from_now()
        live(40)  # of more than 2 MiB each
        print((peak() - before) >> 20)
    """)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20  # MiB
