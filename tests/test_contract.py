"""The numerical contract: computations that give the same bits.

D1 repeated runs; D2 a stream, a whole sequence and any chunks of it; D3 a row of a batch and a
single row, padded or not; D4 any number of threads; D5 any instruction set with a fused
multiply-add; D6 the bound of `verify`, for every instruction set. The bits themselves are tested in
test_contract_rounding.py.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import elman
from conftest import FUSED_ISAS, ISAS
from elman import reference
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.bits import assert_same_bits, assert_same_runs
from fixtures.networks import inputs

# If ELMAN_ISA forces a set, perhaps an emulated one, it is compared only with `scalar`.
FUSED = list(dict.fromkeys(["scalar", *FUSED_ISAS]))
AROUND_VECTORS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
SMALLEST_STATE = {"float32": 2.0**-100, "float64": 2.0**-900}

# Every activation and depth, with and without readout, bias, scaling and a start.
KINDS = [
    {"inputs": 3, "hidden": (5,), "outputs": 2, "everything": True},
    {"inputs": 17, "hidden": (33,), "outputs": 9, "output_activation": "identity", "bias": False},
    {
        "inputs": 2,
        "hidden": (16, 7),
        "outputs": 4,
        "activation": ("sigmoid", "tanh"),
        "output_activation": "softmax",
        "everything": True,
    },
    {
        "inputs": 1,
        "hidden": (9, 1, 40),
        "outputs": None,
        "activation": ("relu", "identity", "tanh"),
    },
    {"inputs": 5, "hidden": (65,), "outputs": None, "activation": "relu", "everything": True},
    {
        "inputs": 40,
        "hidden": (20,),
        "outputs": 35,
        "activation": "identity",
        "output_activation": "relu",
    },
    {
        "inputs": 4,
        "hidden": (12, 70),
        "outputs": 3,
        "activation": "sigmoid",
        "output_activation": "tanh",
    },
    {
        "inputs": 4,
        "hidden": (12, 70),
        "outputs": 9,
        "activation": (elman.Activation("softplus", clip=2), elman.Activation("elu")),
        "output_activation": elman.Activation("affine", alpha=2, beta=-0.5),
    },
    {
        "inputs": 6,
        "hidden": (130, 20),
        "outputs": None,
        "activation": (
            elman.Activation("scaled_tanh", alpha=1.7159, beta=2 / 3),
            elman.Activation("hard_sigmoid"),
        ),
        "everything": True,
    },
]


def make_network(
    isa, dtype, *, inputs, hidden, outputs, bias=True, everything=False, scale=0.7, **options
):
    """Return a network whose weights, about scale / sqrt(terms), depend only on its sizes."""
    rng = np.random.default_rng([inputs, *hidden, outputs or 0])

    def array(*shape, terms=1):
        return (rng.standard_normal(shape) * scale / terms**0.5).astype(dtype)

    layers = []
    for size, below in zip(hidden, (inputs, *hidden), strict=False):
        W_xh, W_hh = array(size, below, terms=below), array(size, size, terms=size)
        layers.append((W_xh, W_hh, array(size) if bias else None))
    top = hidden[-1]
    readout = outputs and (array(outputs, top, terms=top), array(outputs) if bias else None)
    if everything:
        options |= {
            "initial_state": array(sum(hidden)),
            "input_mean": array(inputs),
            "input_std": 1 + abs(array(inputs)),
            "output_mean": array(outputs or top),
            "output_std": 1 + abs(array(outputs or top)),
        }
    with elman.use_isa(isa):
        return elman.Network.from_weights(layers, readout, **options)


def networks(isa, dtype):
    return [make_network(isa, dtype, **kind) for kind in KINDS]


# --- D1, D2: repeated runs, steps and chunks ------------------------------------------------------


def test_a_result_is_repeatable_also_by_threads_at_the_same_time(rng, dtype):
    isa = elman.isa()
    for net, twin in zip(networks(isa, dtype), networks(isa, dtype), strict=True):
        x = inputs(rng, net, 3, 50)
        first = net.run(x, return_hidden=True)
        assert_same_runs(twin.run(x, return_hidden=True), first)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(net.run, x, return_hidden=True) for _ in range(6)]
            for job in jobs:
                assert_same_runs(job.result(), first)


def random_pieces(rng, T):
    """Yield (start, end) of pieces of T steps, each 0 to 90 steps long."""
    end = 0
    while end < T:
        start, end = end, min(T, end + int(rng.choice([0, 1, 2, 5, rng.integers(90)])))
        yield start, end


def test_a_stream_and_any_chunks_equal_the_whole_sequence_bit_for_bit(rng, isa, dtype):
    for net in networks(isa, dtype):
        x = inputs(rng, net, 200)
        whole = net.run(x, return_hidden=True)
        assert_same_bits(net(x), whole.output)
        assert_same_bits(whole.hidden[-1], whole.state)
        for _ in range(4):
            stream = net.stream(nonfinite="propagate")  # some states overflow
            for start, end in random_pieces(rng, len(x)):
                piece = x[start:end]
                how = rng.integers(3)
                if how == 0:
                    y = np.array([stream.step(x_t) for x_t in piece], net.dtype)
                    y = y.reshape(end - start, net.output_size)
                elif how == 1:
                    y = stream.run(piece)
                else:
                    y, stream.state, _ = net.run(piece, state=stream.state)
                assert_same_bits(y, whole.output[start:end])
                if end:
                    assert_same_bits(stream.state, whole.hidden[end - 1])


def test_the_last_output_equals_that_of_all(rng, isa, dtype):
    for net in networks(isa, dtype):
        x = inputs(rng, net, 5, 30)
        assert_same_bits(net(x, outputs="last"), net(x)[:, -1])


def test_generating_equals_a_stream_that_reads_its_own_outputs(rng, isa, dtype):
    sizes = {"inputs": 9, "hidden": (17, 6), "outputs": 9}
    net = make_network(isa, dtype, output_activation="tanh", everything=True, **sizes)
    start = inputs(rng, net, 5)
    stream = net.stream()
    y = [stream.run(start)[-1]]
    while len(y) < 80:
        y.append(stream.step(y[-1]))
    assert_same_bits(net.generate(start, steps=80), np.array(y))


# --- D3, D4: neighbours, padding, threads ---------------------------------------------------------


def padded_batch(rng, net, B, T):
    """Return inputs with NaN in the padding, lengths, and the output of each unpadded row."""
    x = inputs(rng, net, B, T)
    lengths = rng.integers(0, T + 1, B)
    lengths[rng.integers(B)] = T
    alone = []
    for row, n in zip(x, lengths, strict=True):
        row[n:] = np.nan
        run = net.run(row[:n], return_hidden=True)
        padding = np.zeros((T - n, net.output_size), net.dtype)
        held = np.broadcast_to(run.state, (T - n, net.state_size))
        alone.append((np.vstack([run.output, padding]), run.state, np.vstack([run.hidden, held])))
    return x, lengths, [np.array(part) for part in zip(*alone, strict=True)]


def assert_rows(run, rows, B):
    for got, want in zip(run, rows, strict=True):
        assert_same_bits(got, want[:B])


# Around the numbers of rows computed at once by any set; and all of them.
EVERY_SIZE = range(1, 131)
batch_sizes = pytest.mark.parametrize(
    "sizes",
    [
        [*range(1, 20), 24, 31, 32, 33, 48, 63, 64, 65, 97, 127, 128, 130],
        pytest.param(EVERY_SIZE, marks=pytest.mark.slow),
    ],
    ids=["some", "every"],
)


@batch_sizes
def test_a_row_equals_the_row_alone_in_every_batch_size(rng, isa, dtype, sizes):
    for net in networks(isa, dtype)[::2]:
        x = inputs(rng, net, 130, 3)
        x[rng.random(x.shape) < 0.01] = np.nan
        x[rng.random(x.shape) < 0.01] = np.inf
        alone = [net.run(row, return_hidden=True) for row in x]
        rows = [np.array(part) for part in zip(*alone, strict=True)]
        for B in sizes:
            assert_rows(net.run(x[:B], return_hidden=True), rows, B)


@batch_sizes
def test_a_padded_row_equals_the_row_alone_in_every_batch_size(rng, isa, dtype, sizes):
    for net in networks(isa, dtype)[1::2]:
        x, lengths, rows = padded_batch(rng, net, 130, 4)
        for B in sizes:
            assert_rows(net.run(x[:B], lengths=lengths[:B], return_hidden=True), rows, B)


# The outputs of several columns may share a vector.
def test_a_row_of_few_outputs_equals_the_row_alone(rng, isa, dtype):
    for O, H in itertools.product((1, 2, 3, 4, 5, 7, 8, 9, 16, 17), (1, 2, 3, 4, 7, 8, 16, 33)):
        settings = {"output_activation": ("sigmoid", "identity", "relu")[(O + H) % 3]}
        net = elman.Network(2, H, O, seed=O, dtype=dtype, **settings)
        x = inputs(rng, net, 35, 2)
        x[3, 1, 0] = np.nan
        alone = np.array([net(row) for row in x])
        for B in (2, 3, 4, 5, 8, 15, 16, 17, 35):
            assert_same_bits(net(x[:B]), alone[:B])


def test_a_row_of_long_sequences_equals_the_row_alone(rng, isa, dtype):
    shapes = itertools.cycle([(2, 150), (33, 9), (7, 70), (1, 300)])
    for net, (B, T) in zip(networks(isa, dtype), shapes, strict=False):
        x, lengths, rows = padded_batch(rng, net, B, T)
        assert_rows(net.run(x, lengths=lengths, return_hidden=True), rows, B)
        last = net.run(x, lengths=lengths, outputs="last").output
        ends = [y[n - 1] if n else y[0] * 0 for y, n in zip(rows[0], lengths, strict=True)]
        assert_same_bits(last, np.array(ends))


def test_the_number_of_threads_changes_nothing(rng, dtype):
    for net, B in itertools.product(networks(elman.isa(), dtype), (1, 2, 7, 200)):
        x = inputs(rng, net, B, 9)
        lengths = rng.integers(0, 10, B)
        for options in ({}, {"lengths": lengths}):
            one = net.run(x, threads=1, return_hidden=True, **options)
            for threads in (2, 3, 8):
                got = net.run(x, threads=threads, return_hidden=True, **options)
                assert_same_runs(got, one)


@pytest.mark.parametrize("hidden", [(8, 8), (33, 5, 40), (4, 3, 2, 5, 4)])
def test_threads_that_share_the_layers_of_a_sequence_change_nothing(rng, dtype, hidden):
    net = make_network(elman.isa(), dtype, inputs=3, hidden=hidden, outputs=2, everything=True)
    for B in (1, 2, 3):
        x = inputs(rng, net, B, 400)  # many chunks
        state = rng.standard_normal((B, net.state_size))
        lengths = rng.integers(0, 401, B)
        for options in ({}, {"lengths": lengths}, {"state": state}, {"outputs": "last"}):
            one = net.run(x, threads=1, return_hidden=True, **options)
            for threads in (2, 3, 5, 16):
                got = net.run(x, threads=threads, return_hidden=True, **options)
                assert_same_runs(got, one)


@pytest.mark.parametrize("hidden", [(257,), (200, 336), (290, 257, 310)])
def test_threads_that_share_the_rows_of_a_layer_change_nothing(rng, dtype, hidden):
    turns = itertools.cycle([[2], [3], [5]])
    for isa, everything in itertools.product(ISAS, (False, True)):
        # A sanitizer takes ten times as long, `scalar` thirty times: they have less to do.
        slow = isa == "scalar" or "ELMAN_SANITIZED" in os.environ
        if slow and not everything:
            continue
        net = make_network(isa, dtype, inputs=3, hidden=hidden, outputs=7, everything=everything)
        B = 1 if isa == "scalar" else int(rng.integers(1, 4))
        T = 70 if slow else 200  # more than one chunk
        x = inputs(rng, net, B, T)
        state = rng.standard_normal((B, net.state_size))
        lengths = rng.integers(0, T + 1, B)
        for options in ({}, {"lengths": lengths}, {"state": state}, {"outputs": "last"}):
            one = net.run(x, threads=1, return_hidden=True, **options)
            for threads in next(turns) if slow else (2, 3, 5):
                got = net.run(x, threads=threads, return_hidden=True, **options)
                assert_same_runs(got, one)
                assert_same_bits(net.run(x, threads=threads, **options).output, one.output)


def test_threads_that_share_layers_have_the_same_steps_at_a_time(rng):
    net = elman.Network(9000, [2, 2], 1, seed=0)  # the lower layer has memory for few steps
    x = inputs(rng, net, 40)
    assert_same_bits(net.run(x, threads=2).output, net(x))


# --- D5: instruction sets -------------------------------------------------------------------------

several_fused = pytest.mark.skipif(len(FUSED) < 2, reason="only one set here fuses")


def assert_equal_on_all_fused(dtype, shapes, inputs_of, **kind):
    """Run the same network on every fused set, over inputs of each shape."""
    first, *others = [make_network(isa, dtype, **kind) for isa in FUSED]
    for shape in shapes:
        x = inputs_of(first, *shape)
        want = first.run(x, return_hidden=True)
        for net in others:
            assert_same_runs(net.run(x, return_hidden=True), want)


@several_fused
def test_all_fused_instruction_sets_agree_at_every_size_around_a_vector(rng, dtype):
    count = len(AROUND_VECTORS)
    pairs = [(i, j) for i, j in itertools.product(range(count), repeat=2) if (i + j) % 2 == 0]
    assert_equal_at_sizes(rng, dtype, pairs[::2])


@several_fused
@pytest.mark.slow
def test_all_fused_instruction_sets_agree_at_every_pair_of_sizes_around_a_vector(rng, dtype):
    assert_equal_at_sizes(rng, dtype, itertools.product(range(len(AROUND_VECTORS)), repeat=2))


def assert_equal_at_sizes(rng, dtype, pairs):
    """Run networks of sizes around a vector, paired by position, on every fused set."""
    count = len(AROUND_VECTORS)
    activations = ("tanh", "sigmoid", "relu", "identity")
    heads = (*activations, "softmax", "log_softmax")
    numbered = itertools.cycle([*GENERAL, *UNTRAINABLE])
    for i, j in pairs:
        I, H, O = (AROUND_VECTORS[k % count] for k in (i, j, i + j))
        assert_equal_on_all_fused(
            dtype,
            [(0,), (1,), (3,), (5, 3)],
            lambda net, *shape: inputs(rng, net, *shape),
            inputs=I,
            hidden=((H,), (H, O), (H, I, O))[(i + j) % 3],
            outputs=O,
            activation=activations[(i + 2 * j) % 4] if i != j else next(numbered),
            output_activation=heads[(2 * i + j) % 5] if (i + j) % 3 else next(numbered),
        )


@several_fused
def test_all_fused_instruction_sets_agree_for_every_number_of_rows(rng, dtype):
    for rows in (*range(1, 140), 200, 255, 256, 257, 300, 515):
        assert_equal_on_all_fused(
            dtype,
            [(2,), (7, 2)],
            lambda net, *shape: inputs(rng, net, *shape),
            inputs=3,
            hidden=(10,),
            outputs=rows,
            output_activation="identity",
        )


@several_fused
def test_all_fused_instruction_sets_agree_on_every_kind_of_network(rng, dtype):
    for kind in KINDS:
        shapes = [(70,), (2, 40), (11, 7), (130, 3)]
        assert_equal_on_all_fused(
            dtype, shapes, lambda net, *shape: inputs(rng, net, *shape), **kind
        )


@several_fused
def test_all_fused_instruction_sets_agree_on_extreme_numbers(rng, dtype):
    info = np.finfo(dtype)
    extremes = [0.0, -0.0, info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal]
    extremes += [np.inf, -np.inf, np.nan, SMALLEST_STATE[dtype], -SMALLEST_STATE[dtype], 1e9, 90.0]

    def extreme(net, *shape):
        return rng.choice(extremes, (*shape, net.input_size)).astype(dtype)

    for kind in KINDS:
        assert_equal_on_all_fused(dtype, [(200, 1), (200, 2), (1,), (3,)], extreme, **kind)


@several_fused
def test_all_fused_instruction_sets_agree_on_weights_of_every_magnitude(rng, dtype):
    for kind, scale in itertools.product(KINDS, (1e-30, 1e-3, 30.0, 1e18)):
        assert_equal_on_all_fused(
            dtype,
            [(5,), (9, 3)],
            lambda net, *shape: inputs(rng, net, *shape),
            **kind | {"scale": scale},
        )


# --- D6: the reference ----------------------------------------------------------------------------


def test_every_instruction_set_is_within_the_bound_of_verify(rng, isa, dtype):
    sizes = [
        {"inputs": n, "hidden": (m,), "outputs": k}
        for n, m, k in zip(AROUND_VECTORS, AROUND_VECTORS[5:], AROUND_VECTORS[3:], strict=False)
    ]
    for kind in [*KINDS, *sizes]:
        net = make_network(isa, dtype, **kind)
        x = inputs(rng, net, 4, 16)
        assert net.verify(x, lengths=[16, 0, 7, 15]).ok
        assert net.verify(x[0], state=rng.standard_normal(net.state_size)).ok


def test_a_contracting_network_stays_near_the_reference(rng, isa, dtype):
    tolerance = {"float32": 2e-6, "float64": 4e-15}[dtype]
    for kind in KINDS:
        net = make_network(isa, dtype, **kind | {"scale": 0.3})
        x = inputs(rng, net, 2, 100)
        want = reference.run(net, x).output
        np.testing.assert_allclose(net(x), want, rtol=0, atol=tolerance * max(1, abs(want).max()))


# --- the requested set is the one that runs -------------------------------------------------------


def test_no_set_that_this_processor_has_is_missing():
    try:
        words = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    except OSError:
        pytest.skip("this system does not say what its processor has")
    needs = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512dq"}, "neon": {"asimd"}}
    available = elman.available_isas()
    assert "scalar" in available
    assert "sse2" in available or "sse2" not in words
    for isa, flags in needs.items():
        assert (isa in available) == (flags <= words)


def test_a_network_runs_on_the_set_in_use_when_it_was_built():
    for isa in ISAS:
        with elman.use_isa(isa):
            net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
            assert elman.isa() == isa
            assert ("D5" in elman.build_info()["promises"]) == (isa in FUSED)
        assert net.isa == isa


def test_a_set_that_does_not_fuse_gives_other_bits(rng, dtype):
    unfused = [isa for isa in ISAS if isa not in FUSED]
    if not unfused:
        pytest.skip("every set here fuses")
    x = inputs(rng, make_network(FUSED[0], dtype, **KINDS[1]), 20)
    fused = make_network(FUSED[0], dtype, **KINDS[1])(x)
    for isa in unfused:
        y = make_network(isa, dtype, **KINDS[1])(x)
        assert (y != fused).mean() > 0.1
        np.testing.assert_allclose(y, fused, rtol=1e-4)


PROGRAM = """
import hashlib, numpy, elman
net = elman.Network(input_size=5, hidden_size=[33, 8], output_size=3, seed=7)
x = (numpy.arange(500.0) % 17 / 8 - 1).reshape(100, 5)
print(elman.isa(), net.isa, hashlib.sha256(net(x).tobytes()).hexdigest())
"""


def run_program(isa):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"ELMAN_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_variable_forces_a_set_and_another_process_gives_the_same_bits():
    digests = {}
    for isa in dict.fromkeys([FUSED[0], ISAS[0], ISAS[-1]]):
        in_use, packed_for, digests[isa] = run_program(isa).stdout.split()
        assert in_use == packed_for == isa
        with elman.use_isa(isa):
            net = elman.Network(input_size=5, hidden_size=[33, 8], output_size=3, seed=7)
        x = (np.arange(500.0) % 17 / 8 - 1).reshape(100, 5)
        assert hashlib.sha256(net(x).tobytes()).hexdigest() == digests[isa]
    assert len({digest for isa, digest in digests.items() if isa in FUSED}) == 1


def test_the_variable_with_a_set_that_is_not_there_is_an_error_at_import():
    result = run_program("mmx")
    assert result.returncode != 0
    assert "ELMAN_ISA" in result.stderr
    assert "'mmx'" in result.stderr


def gradual_underflow():
    """Whether this thread's processor keeps subnormal numbers."""
    values = np.full(64, np.finfo(np.float32).smallest_subnormal)
    return bool((values * np.float32(1) == values).all())


def test_the_floating_point_mode_stays_as_it_is_here_and_on_new_threads(rng, isa, dtype):
    def use(net):
        x = inputs(rng, net, 20, 30)
        net.run(x, threads=3)
        net.stream().step(x[0, 0])
        return gradual_underflow()

    assert gradual_underflow()
    for net in networks(isa, dtype)[::3]:
        assert use(net)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert pool.submit(use, net).result()
            assert pool.submit(gradual_underflow).result()
