"""StreamPool: every row is a stream of its own, and a call advances all its rows or none."""

from __future__ import annotations

import copy
import gc
import pickle
import signal
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import elman
from conftest import ISAS
from elman import _core
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    DTypeError,
    LimitError,
    ShapeError,
)
from fixtures.bits import assert_same_bits
from fixtures.networks import EXACT_CASES, inputs, make_inputs, make_network

N = 7
SHAPES = {  # input, hidden and output sizes, and options
    "one panel": (4, 16, 1, {}),
    "wide": (5, 70, 3, {"dtype": "float64"}),
    "deep": (3, [9, 20, 4], 2, {"activation": "relu", "bias": False}),
    "softmax": (2, [8, 8], 6, {"output_activation": "softmax"}),
    "scaled": (
        3,
        12,
        3,
        {"input_mean": [1, 2, 3], "input_std": [2, 3, 4], "output_std": [2, 3, 4]},
    ),
    "no readout": (3, 10, None, {"dtype": "float64"}),
    "started": (3, [9, 4], 2, {"initial_state": np.linspace(-0.5, 0.5, 13)}),
}


def network(name, **options):
    I, H, O, more = SHAPES[name]
    return elman.Network(I, H, O, seed=7, **more, **options)


@pytest.fixture
def net():
    return network("started")


@pytest.fixture(scope="module")
def large():
    """A network with steps long enough to release the interpreter's lock and to use threads."""
    return elman.Network(5, 600, 3, seed=7)


def fed_alone(streams, rows, x):
    """Return the outputs of single streams for these rows, one step each."""
    outputs = [streams[row].step(x_t) for row, x_t in zip(rows, x, strict=True)]
    return np.array(outputs, x.dtype).reshape(len(x), streams[0].output_size)


def some_rows(rng, n):
    """Return `rows` in one of its forms, and the indices it means."""
    indices = rng.permutation(n)[: rng.integers(0, n + 1)]
    mask = np.isin(np.arange(n), indices)
    forms = [
        (None, np.arange(n)),
        (indices, indices),
        (indices.astype(np.int16), indices),
        (indices.tolist(), indices),
        (np.repeat(indices, 2)[::2], indices),
        (mask, np.flatnonzero(mask)),
        (mask.tolist(), np.flatnonzero(mask)),
    ]
    return forms[rng.integers(len(forms))]


def unchanged_by(pool, error, call, match):
    """Expect an error that leaves the states as they were."""
    before = pool.state
    with pytest.raises(error, match=match):
        call()
    assert_same_bits(pool.state, before)


# --- a row is a stream ----------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_row_has_the_bits_of_a_stream_fed_alone_whatever_its_company(name, isa, rng):
    with elman.use_isa(isa):
        net = network(name)
    pool, streams = net.streams(N), [net.stream() for _ in range(N)]
    for _ in range(30):
        rows, indices = some_rows(rng, N)
        x = inputs(rng, net, len(indices))
        assert_same_bits(pool.step(x, rows=rows), fed_alone(streams, indices, x))
        assert_same_bits(pool.state, np.array([stream.state for stream in streams]))


@pytest.mark.parametrize("case", EXACT_CASES, ids=str)
def test_random_calls_have_the_bits_of_streams_with_every_activation(case, isa, rng):
    net = make_network(rng, **case)
    n = int(rng.integers(1, 40))
    pool, streams = net.streams(n), [net.stream() for _ in range(n)]
    for _ in range(6):
        given, rows = some_rows(rng, n)
        x = make_inputs(rng, net, len(rows))
        assert_same_bits(pool.step(x, rows=given), fed_alone(streams, rows, x))
        given, rows = some_rows(rng, n)
        chunk = make_inputs(rng, net, len(rows), int(rng.integers(6)))
        lengths = rng.integers(chunk.shape[1] + 1, size=len(rows))
        got = pool.run(chunk, rows=given, lengths=lengths)
        for row, x_row, length, y in zip(rows, chunk, lengths, got, strict=True):
            assert_same_bits(y[:length], streams[row].run(x_row[:length]))
            assert not y[length:].any()
    assert_same_bits(pool.state, np.array([stream.state for stream in streams], net.dtype))


@pytest.mark.parametrize("name", SHAPES)
def test_a_chunk_has_the_bits_of_its_steps_also_with_lengths(name, rng):
    net = network(name)
    pool, streams = net.streams(N), [net.stream() for _ in range(N)]
    for T in (0, 1, 5, 70):
        rows, indices = some_rows(rng, N)
        lengths = rng.integers(0, T + 1, len(indices)) if T != 1 else None
        x = inputs(rng, net, len(indices), T)
        y = pool.run(x, rows=rows, lengths=lengths, threads=2)
        for i, row in enumerate(indices):
            length = T if lengths is None else lengths[i]
            assert_same_bits(y[i, :length], streams[row].run(x[i, :length]))
            assert not y[i, length:].any()
        assert_same_bits(pool.state, np.array([stream.state for stream in streams]))


@pytest.mark.parametrize("n", [1, 95, 96, 97, 300])
def test_blocks_of_rows_have_the_bits_of_a_batch(net, rng, n):
    x = inputs(rng, net, n, 4)
    pool, half = net.streams(n), net.streams(2 * n)
    rows = rng.permutation(2 * n)[:n]
    for t in range(4):
        want = net(x[:, : t + 1], outputs="last")
        assert_same_bits(pool.step(x[:, t]), want)
        assert_same_bits(half.step(x[:, t], rows=rows), want)
    assert_same_bits(half.get_state(rows), pool.state)


def test_threads_change_no_bit(rng):
    before = _core.thread_limits()
    _core.thread_limits(most=3, work_of_each=1)
    try:
        net = network("deep")
        x = inputs(rng, net, 500)
        alone, shared = net.streams(500), net.streams(500)
        for rows in (None, rng.permutation(500)[:333], rng.random(500) < 0.5):
            mine = x if rows is None else x[: len(alone.get_state(rows))]
            want = alone.step(mine, rows=rows)
            assert_same_bits(shared.step(mine, rows=rows, threads=3), want)
            assert_same_bits(shared.state, alone.state)
    finally:
        _core.thread_limits(*before)


def test_a_long_step_has_the_bits_of_short_ones(large, rng):
    x = inputs(rng, large, 100)
    pool, streams = large.streams(100), [large.stream() for _ in range(100)]
    for _ in range(2):
        assert_same_bits(pool.step(x, threads=2), fed_alone(streams, range(100), x))


def test_x_and_out_may_have_any_strides_and_x_any_real_dtype(net, rng):
    x = inputs(rng, net, N)
    want = net.streams(N).step(x)
    wide = np.full((2 * N, 5), 7, np.float32)
    for given in (
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1].copy()[::-1],
        x.tolist(),
        x.astype(np.float64),
        x.astype(">f4"),
    ):
        out = wide[::2, 1:5:2]
        assert net.streams(N).step(given, out) is out
        assert_same_bits(out, want)
    assert (wide[1::2] == 7).all()
    assert (wide[:, ::2] == 7).all()
    same = np.broadcast_to(x[0], x.shape)
    assert_same_bits(net.streams(N).step(same), net.streams(N).step(same.copy()))


def test_out_may_be_x_but_not_overlap_it_otherwise(rng):
    net = elman.Network(4, 9, 4, seed=7)
    x = inputs(rng, net, 200)
    want = net.streams(200).step(x)
    y = x.copy()
    assert net.streams(200).step(y, out=y) is y
    assert_same_bits(y, want)
    rows = x.copy()
    one = rows[::2][:1]  # the numbers of rows[:1], with other strides
    assert_same_bits(net.streams(1).step(rows[:1], out=one), want[:1])
    both = np.zeros((201, 4), np.float32)
    pool = net.streams(200)
    unchanged_by(pool, ArgumentError, lambda: pool.step(both[1:], out=both[:-1]), "overlaps x")
    columns = np.zeros((200, 8), np.float32)
    pool.step(columns[:, ::2], out=columns[:, 1::2])  # they interleave


def test_a_pool_may_have_no_rows(net):
    pool = net.streams(0)
    assert len(pool) == 0
    assert pool.step(np.zeros((0, 3))).shape == (0, 2)
    assert pool.run(np.zeros((0, 5, 3))).shape == (0, 5, 2)
    assert pool.step(np.zeros((0, 3)), rows=[]).shape == (0, 2)
    assert pool.state.shape == (0, 13)
    unchanged_by(pool, ArgumentError, lambda: pool.reset(rows=[0]), "pool without rows, got 0")


def test_more_rows_than_memory_can_address_are_refused_in_one_sentence(net):
    pool = net.streams(N)
    for n in (2**58, 2**61, 2**62, 2**63 - 1):
        for call in (net.streams, pool.resize):
            with pytest.raises(LimitError) as caught:
                call(n)
            assert str(caught.value) == f"n: {n} rows are more than memory can address"
    unchanged_by(pool, LimitError, lambda: pool.resize(2**64), r"n: expected less than 2\*\*63")
    assert len(pool) == N


def test_more_rows_than_memory_has_room_for_are_refused_with_their_bytes(net):
    pool = net.streams(N)
    for call in (net.streams, pool.resize):
        with pytest.raises(LimitError, match=r"n: expected rows that fit in memory, got .* bytes"):
            call(2**50)
    assert len(pool) == N


# --- refused calls --------------------------------------------------------------------------------


def test_more_rows_than_memory_holds_are_refused_with_their_bytes():
    net = elman.Network(3, [8, 4], 2, dtype="float64", seed=0)
    with pytest.raises(elman.LimitError, match=rf"^n: .*of 12 = {2**50 * 12 * 8:,} bytes$"):
        net.streams(2**50)


def test_wrong_arguments_are_refused_in_one_sentence_and_change_nothing(net, rng):
    pool = net.streams(N)
    x = inputs(rng, net, N)
    pool.step(x)
    two, out = x[:2], np.full((N, 2), 7, np.float32)
    for error, message, given, options in (
        (ShapeError, "x: expected (7, 3), got (6, 3)", x[1:], {}),
        (ShapeError, "x: expected (7, 3), got (7, 2)", x[:, 1:], {}),
        (ShapeError, "x: expected (2, 3), got (3, 3)", x[:3], {"rows": [4, 2]}),
        (DTypeError, "x: expected real numbers, got dtype complex64", x * 1j, {}),
        (ShapeError, "out: expected (2, 2), got (7, 2)", two, {"rows": [4, 2]}),
        (ArgumentError, "rows: expected 0 to 6, got 7", two, {"rows": [0, 7]}),
        (ArgumentError, "rows: expected 0 to 6, got -1", two, {"rows": [0, -1]}),
        (
            ArgumentError,
            "rows: expected 0 to 6, got 18446744073709551615",
            two,
            {"rows": np.array([0, 2**64 - 1], np.uint64)},
        ),
        (ArgumentError, "rows: expected distinct indices, got 3 twice", x[:3], {"rows": [3, 1, 3]}),
        (
            DTypeError,
            "rows: expected indices or a mask, got dtype float64",
            two,
            {"rows": [0.0, 1]},
        ),
        (
            ShapeError,
            "rows: expected a mask of all rows, (7,), got (2,)",
            two,
            {"rows": [True] * 2},
        ),
        (
            ShapeError,
            "rows: expected indices (m,) or a mask of all rows, got (1, 2)",
            two,
            {"rows": [[0, 1]]},
        ),
        (ArgumentError, "threads: expected at least 1, got 0", x, {"threads": 0}),
        (ArgumentTypeError, "threads: expected an integer, got str", x, {"threads": "2"}),
    ):
        sized = out if "rows" not in options or "out:" in message else out[: len(given)]
        before = pool.state
        with pytest.raises(error) as caught:
            pool.step(given, out=sized, **options)
        assert str(caught.value) == message
        assert_same_bits(pool.state, before)
        assert (out == 7).all()
    for call in (lambda: pool.step(), lambda: pool.step(x, out, x), lambda: pool.step(x, y=1)):
        with pytest.raises(TypeError, match=r"step\(\) "):
            call()
    with pytest.raises(TypeError, match="multiple values for argument 'out'"):
        pool.step(x, out, out=out)


def test_a_wrong_chunk_is_refused_and_changes_nothing(net, rng):
    pool = net.streams(N)
    x = inputs(rng, net, N, 4)
    pool.run(x)
    for error, message, given, options in (
        (ShapeError, "chunk: expected (7, T, 3), got (6, 4, 3)", x[1:], {}),
        (ShapeError, "chunk: expected (7, T, 3), got (7, 3)", x[:, 0], {}),
        (ArgumentError, "lengths: expected 0 to T = 4, got 5", x, {"lengths": [5] * N}),
        (ShapeError, "lengths: expected one per sequence, (7,), got (2,)", x, {"lengths": [1, 2]}),
        (ArgumentError, "rows: expected distinct indices, got 1 twice", x[:2], {"rows": [1, 1]}),
    ):
        before = pool.state
        with pytest.raises(error) as caught:
            pool.run(given, **options)
        assert str(caught.value) == message
        assert_same_bits(pool.state, before)


# --- samples that are not finite ------------------------------------------------------------------


@pytest.mark.parametrize("n", [N, 250])
def test_raise_refuses_the_call_and_names_row_feature_and_value(net, rng, n):
    pool = net.streams(n)
    x, rows = inputs(rng, net, n), rng.permutation(n)
    x[n - 2, 1] = np.inf
    out = np.full((n, 2), 7, np.float32)
    for options, row in (({}, n - 2), ({"rows": rows}, rows[n - 2])):
        message = f"^x: expected finite numbers, got inf at row {row}, feature 1; net.streams"
        unchanged_by(pool, ArgumentError, lambda o=options: pool.step(x, out=out, **o), message)
        assert (out == 7).all()
    chunk = inputs(rng, net, n, 5)
    chunk[3, 4, 2] = np.nan
    message = "^chunk: expected finite numbers, got nan at row 3, step 4, feature 2; "
    unchanged_by(pool, ArgumentError, lambda: pool.run(chunk), message)
    pool.run(chunk, lengths=[4] * n)  # padding is not read


@pytest.mark.parametrize("name", ["started", "deep", "scaled"])
@pytest.mark.parametrize("nonfinite", ["hold", "propagate"])
def test_other_policies_are_those_of_a_stream_row_by_row(name, nonfinite, rng):
    net = network(name)
    pool = net.streams(N, nonfinite=nonfinite)
    streams = [net.stream(nonfinite=nonfinite) for _ in range(N)]
    for t in range(6):
        x = inputs(rng, net, N)
        x[t % N, t % 3] = (np.nan, np.inf)[t % 2]
        rows = rng.permutation(N) if t % 2 else None
        want = fed_alone(streams, range(N) if rows is None else rows, x)
        np.testing.assert_array_equal(pool.step(x, rows=rows), want)
        np.testing.assert_array_equal(pool.state, [stream.state for stream in streams])
    x = inputs(rng, net, N, 8)
    x[[0, 2, 2, 5], [0, 3, 4, 7], 1] = np.nan
    for lengths in (None, [8, 8, 6, 0, 1, 8, 3]):
        y = pool.run(x, lengths=lengths)
        for i, stream in enumerate(streams):
            length = 8 if lengths is None else lengths[i]
            np.testing.assert_array_equal(y[i, :length], stream.run(x[i, :length]))
            assert not y[i, length:].any()
        np.testing.assert_array_equal(pool.state, [stream.state for stream in streams])


# --- states ---------------------------------------------------------------------------------------


def test_states_are_read_and_set_whole_or_by_rows(net, rng):
    pool = net.streams(N)
    assert_same_bits(pool.state, np.broadcast_to(net.initial_state, (N, 13)).copy())
    h = rng.standard_normal((N, 13)).astype(np.float32)
    pool.state = h
    assert_same_bits(pool.state, h)
    assert_same_bits(pool.get_state(rows=[5, 0]), h[[5, 0]])
    pool.set_state(h[:2], rows=[3, 1])
    h[[3, 1]] = h[:2]
    pool.set_state(h[6], rows=h[:, 0] > 0)
    h[h[:, 0] > 0] = h[6]
    assert_same_bits(pool.state, h)
    pool.reset(rows=[2])
    h[2] = net.initial_state
    assert_same_bits(pool.state, h)
    assert_same_bits(net.streams(N, h).state, h)
    pool.reset()
    assert_same_bits(pool.state, net.streams(N).state)


def test_assigning_to_a_part_of_the_state_is_an_error_and_not_lost(net):
    pool = net.streams(N)
    with pytest.raises(ValueError, match="read-only"):
        pool.state[3] = 0


def test_wrong_states_are_refused_and_change_nothing(net):
    pool = net.streams(N)
    bad = np.zeros((2, 13))
    bad[1, 4] = np.nan
    call = lambda: pool.set_state(bad, rows=[0, 1])  # noqa: E731
    unchanged_by(pool, ArgumentError, call, r"state: expected finite numbers, got nan at \(1, 4\)")
    unchanged_by(
        pool, ShapeError, lambda: pool.set_state(bad), r"expected \(7, 13\), got \(2, 13\)"
    )
    net.streams(2, bad, nonfinite="propagate")
    with pytest.raises(ArgumentError, match="finite"):
        net.streams(2, bad)


def test_a_call_for_no_rows_changes_no_row(net):
    states = np.arange(N * 13, dtype=np.float32).reshape(N, 13)
    for call in (
        lambda pool: pool.reset([]),
        lambda pool: pool.set_state(np.zeros((0, 13)), rows=[]),
        lambda pool: pool.run(np.zeros((0, 2, 3)), rows=[]),
        lambda pool: pool.step(np.zeros((0, 3)), rows=[]),
    ):
        pool = net.streams(N)
        pool.state = states
        call(pool)
        assert_same_bits(pool.state, states)


def test_copies_pickles_and_resized_pools_continue_with_the_same_bits(net, rng):
    x = inputs(rng, net, N, 3)
    pool = net.streams(N, nonfinite="hold")
    pool.step(x[:, 0])
    pool.step(x[:4, 1], rows=[6, 1, 0, 3])
    others = [pool.copy(), copy.copy(pool), copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))]
    before, want = pool.state, pool.step(x[:, 2])
    for other in others:
        assert (other.nonfinite, len(other)) == ("hold", N)
        assert_same_bits(other.step(x[:, 2]), want)
    pool.state = before
    assert_same_bits(pool.copy(rows=[4, 1]).step(x[[4, 1], 2]), want[[4, 1]])
    pool.resize(150)
    assert_same_bits(pool.state[N:], net.streams(150 - N).state)
    assert_same_bits(pool.step(x[:, 2], rows=range(N)), want)
    pool.state = net.streams(150, before[0]).state
    pool.resize(3)
    assert len(pool) == 3
    assert_same_bits(pool.state, np.broadcast_to(before[0], (3, 13)).copy())
    unchanged_by(pool, ArgumentError, lambda: pool.resize(-1), "n: expected at least 0, got -1")


def test_pools_and_streams_pickled_together_share_their_network(net):
    pool, stream = pickle.loads(pickle.dumps([net.streams(2), net.stream()]))
    assert pool.network is stream.network


def test_a_newer_network_continues_from_the_states(net, rng):
    x = inputs(rng, net, N, 2)
    newer = elman.Network(3, [9, 4], 2, seed=8)
    pool = net.streams(N)
    pool.step(x[:, 0])
    streams = [newer.stream(h) for h in pool.state]
    pool.network = newer
    assert pool.network is newer
    assert_same_bits(pool.step(x[:, 1]), fed_alone(streams, range(N), x[:, 1]))


def test_a_network_of_other_sizes_is_refused_and_nothing_changes(net, rng):
    pool = net.streams(N)
    pool.step(inputs(rng, net, N))
    for other, message in (
        (elman.Network(3, [9, 5], 2), "expected the sizes 3 -> 9 -> 4 -> 2, got 3 -> 9 -> 5 -> 2"),
        (elman.Network(3, [9, 4], 1), "expected the sizes"),
        (elman.Network(2, [9, 4], 2), "expected the sizes"),
        (elman.Network(3, 13, 2), "expected the sizes"),
        (elman.Network(3, [9, 4], 2, dtype="float64"), "expected dtype float32, got float64"),
        (elman.Network(3, [9, 4], 2, direction="reverse"), "layers that all run forward"),
    ):
        unchanged_by(pool, ArgumentError, lambda o=other: setattr(pool, "network", o), message)
        assert pool.network is net
    unchanged_by(pool, ArgumentTypeError, lambda: setattr(pool, "network", 3), "got int")


def test_a_pool_describes_itself_and_is_only_made_by_a_network(net):
    pool = net.streams(1000, nonfinite="hold")
    assert repr(pool) == (
        "StreamPool(1,000 rows, 3 -> 9 tanh -> 4 tanh -> 2 sigmoid, nonfinite='hold')"
    )
    sizes = (pool.input_size, pool.output_size, pool.state_size, pool.dtype, pool.nonfinite)
    assert sizes == (3, 2, 13, np.dtype(np.float32), "hold")
    assert pool.nbytes > 2 * pool.state.nbytes
    for make in (elman.StreamPool, lambda: elman.StreamPool.__new__(elman.StreamPool)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(ArgumentError, match="n: expected at least 0, got -1"):
        net.streams(-1)
    with pytest.raises(ArgumentError, match="nonfinite: expected 'raise', 'hold' or 'propagate'"):
        net.streams(1, nonfinite="skip")
    with pytest.raises(ArgumentError, match="layers that all run forward"):
        elman.Network(3, 4, 2, direction="bidirectional").streams(1)


# --- threads, signals, memory ---------------------------------------------------------------------


def all_are_refused(uses):
    """Return whether all uses raise a busy error, without trying those after one that does not."""
    for use in uses:
        try:
            use()
        except BusyError as error:
            assert "use one pool per thread" in str(error)  # noqa: PT017
        else:
            return False
    return True


def run_and_try(pool, chunk, uses):
    """Run a chunk in another thread; return its outputs, and whether all uses were refused."""
    results = []
    thread = threading.Thread(target=lambda: results.append(pool.run(chunk)))
    thread.start()
    while thread.is_alive() and not all_are_refused([lambda: pool.state]):
        pass
    all_refused = all_are_refused(uses)
    thread.join()
    return results[0], all_refused


def uses_of(pool, chunk, out):
    """Return the calls of a pool that need it for themselves."""
    x = chunk[:, 0].copy()
    return [
        lambda: pool.state,
        lambda: pool.step(x, out=out),
        lambda: pool.step(x.tolist(), out=out),
        lambda: pool.run(chunk),
        lambda: setattr(pool, "state", np.zeros(600)),
        lambda: setattr(pool, "network", pool.network),
        lambda: pool.resize(3),
        lambda: pool.nbytes,
        pool.reset,
        pool.copy,
        lambda: pickle.dumps(pool),
    ]


def test_a_pool_in_use_is_busy_for_every_other_thread_and_unharmed(large, rng):
    for T in (60, 600, 6000):  # longer if the run ended before all uses were tried
        pool, chunk = large.streams(60), inputs(rng, large, 60, T)
        out = np.full((60, 3), 9, np.float32)
        output, all_refused = run_and_try(pool, chunk, uses_of(pool, chunk, out))
        if all_refused:
            break
    assert all_refused
    assert (out == 9).all()
    want = large.run(chunk)
    assert_same_bits(output, want.output)
    assert_same_bits(pool.state, want.state)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("method", ["step", "run"])
@pytest.mark.parametrize("some", [False, True])
def test_an_interrupted_call_advances_no_row_and_says_so(method, some):
    def interrupt(*_):
        raise KeyboardInterrupt

    # A step of several chances to stop it; zero weights, for a network that is made quickly.
    size, shape = (2048, (3000, 4)) if method == "step" else (256, (200, 600, 4))
    weights = np.ones((size, 4), np.float32), np.zeros((size, size), np.float32), None
    net = elman.Network.from_weights([weights], None)
    pool, rows = net.streams(shape[0]), np.arange(shape[0])[::-1] if some else None
    x = np.ones(shape, np.float32)
    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.02)
        with pytest.raises(KeyboardInterrupt) as caught:
            getattr(pool, method)(x, rows=rows)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert caught.value.__notes__ == [f"StreamPool.{method}: interrupted; no row has advanced"]
    assert not pool.state.any()
    assert pool.step(x[:1, 0] if method == "run" else x[:1], rows=[3]).all()


def test_code_that_runs_during_a_call_cannot_use_the_pool_in_between(net):
    pool = net.streams(N)

    class Resizes:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            pool.resize(3)
            return np.asarray(self.values)

    with pytest.raises((ArgumentError, ShapeError)):
        pool.step(Resizes(np.zeros((N, 3))))
    pool.resize(N)
    with pytest.raises((ArgumentError, ShapeError)):
        pool.step(np.zeros((N, 3), np.float32), rows=Resizes(np.arange(N)))
    pool.resize(N)
    with pytest.raises((ArgumentError, ShapeError)):
        pool.run(np.zeros((N, 2, 3), np.float32), lengths=Resizes(np.ones(N, int)))
    pool.resize(N)
    with pytest.raises((ArgumentError, ShapeError)):
        pool.set_state(Resizes(np.zeros((N, 13))), rows=list(range(N)))


def test_a_step_with_out_keeps_no_memory(net, rng):
    pool, x = net.streams(100), inputs(rng, net, 100)
    out, rows = np.empty((100, 2), np.float32), rng.permutation(100)
    pool.step(x, out=out, rows=rows)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(100):
            pool.step(x, out=out, rows=rows)
        assert tracemalloc.get_traced_memory()[1] - before < 2000
    finally:
        tracemalloc.stop()


def test_a_cycle_of_a_network_and_its_pool_is_collected():
    class Own(elman.Network):
        pass

    net = Own(3, 4, 2)
    net.__dict__["pool"] = net.streams(2)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
