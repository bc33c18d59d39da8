"""Network: construction, what it is made of, every way to run it, and every wrong argument."""

from __future__ import annotations

import copy
import inspect
import itertools
import pathlib
import pickle
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

DTYPES = ("float32", "float64")
HIDDEN_ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
OUTPUT_ACTIVATIONS = (*HIDDEN_ACTIVATIONS, "softmax")
TORCH = np.load(pathlib.Path(__file__).parent / "fixtures" / "torch_rnn.npz")
TORCH_CASES = sorted({name.partition(".")[0] for name in TORCH})


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7)


@pytest.fixture
def loop():
    """A network whose outputs can be its inputs."""
    return elman.Network(input_size=2, hidden_size=6, output_size=2, seed=7)


def random_network(rng, inputs=3, hidden=(5,), outputs=2, *, dtype="float32", bias=True, **options):
    """Return a network of given weights of the size that bends an activation."""

    def array(*shape):
        return (rng.standard_normal(shape) / shape[-1] ** 0.5).astype(dtype)

    layers = []
    for size, below in zip(hidden, (inputs, *hidden), strict=False):
        layers.append((array(size, below), array(size, size), array(size) if bias else None))
    readout = (array(outputs, hidden[-1]), array(outputs) if bias else None) if outputs else None
    return elman.Network.from_weights(layers, readout, dtype=dtype, **options)


def scaling(rng, inputs, outputs):
    return {
        "input_mean": rng.standard_normal(inputs),
        "input_std": 1 + rng.random(inputs),
        "output_mean": 10 + rng.standard_normal(outputs),
        "output_std": 3 + rng.random(outputs),
    }


# --- construction ---------------------------------------------------------------------------------


def test_sizes_stand_in_their_order_and_one_can_be_repeated():
    net = elman.Network(3, 8, 2, seed=0)
    assert net == elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    deep = elman.Network(3, 8, 2, num_layers=3, seed=0)
    assert deep == elman.Network(3, [8, 8, 8], 2, seed=0)
    assert elman.Network(3, [8, 4], 2, num_layers=2, seed=0).hidden_sizes == (8, 4)
    with pytest.raises(ArgumentError, match=r"^num_layers: "):
        elman.Network(3, [8, 4], 2, num_layers=3)
    with pytest.raises(ArgumentError, match=r"^num_layers: .*got 0"):
        elman.Network(3, 8, 2, num_layers=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_has_read_only_arrays_in_the_shapes_of_the_equations(dtype):
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, dtype=dtype, seed=0)
    shapes = [(layer.W_xh.shape, layer.W_hh.shape, layer.b_h.shape) for layer in net.layers]
    assert shapes == [((5, 3), (5, 5), (5,)), ((4, 5), (4, 4), (4,))]
    assert (net.readout.W_hy.shape, net.readout.b_y.shape) == ((2, 4), (2,))
    arrays = [a for layer in net.layers for a in (layer.W_xh, layer.W_hh, layer.b_h)]
    for array in (*arrays, net.readout.W_hy, net.readout.b_y):
        assert array.dtype == dtype
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.flags.writeable = True


def test_the_sizes_are_those_that_were_asked_for(net):
    assert net.input_size == 3
    assert net.hidden_sizes == (5, 4)
    assert net.output_size == 2
    assert net.num_layers == len(net.layers) == 2
    assert net.state_size == 9
    assert net.num_parameters == 5 * (3 + 5 + 1) + 4 * (5 + 4 + 1) + 2 * (4 + 1)
    assert net.dtype == np.float32
    assert net.activations == ("tanh", "tanh")
    assert net.output_activation == net.readout.activation == "sigmoid"
    assert [layer.direction for layer in net.layers] == ["forward", "forward"]


def test_one_hidden_size_is_one_layer():
    for size in (4, np.int64(4), [4], (4,)):
        net = elman.Network(input_size=3, hidden_size=size, output_size=2, seed=0)
        assert net.hidden_sizes == (4,)


def test_without_a_readout_the_output_is_the_top_layers_state(rng):
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=None, seed=0)
    assert net.readout is None
    assert net.output_activation is None
    assert net.output_size == 4
    run = net.run(rng.standard_normal((6, 3)), return_hidden=True)
    np.testing.assert_array_equal(run.output, run.hidden[:, 5:])


def test_without_bias_there_are_none():
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, bias=False, seed=0)
    assert [layer.b_h for layer in net.layers] == [None, None]
    assert net.readout.b_y is None
    assert net.num_parameters == 5 * (3 + 5) + 4 * (5 + 4) + 2 * 4


def test_without_bias_means_a_bias_of_zero(rng):
    net = random_network(rng, bias=False)
    layer, readout = net.layers[0], net.readout
    zero = elman.Network.from_weights(
        [(layer.W_xh, layer.W_hh, np.zeros(5, np.float32))],
        (readout.W_hy, np.zeros(2, np.float32)),
    )
    x = rng.standard_normal((9, 3))
    assert_same_bits(net(x), zero(x))


def test_activations_are_one_for_all_or_one_for_each():
    options = {"input_size": 3, "hidden_size": [5, 4], "output_size": 2, "seed": 0}
    assert elman.Network(**options, activation="relu").activations == ("relu", "relu")
    net = elman.Network(**options, activation=["relu", "identity"], output_activation="softmax")
    assert net.activations == ("relu", "identity")
    assert net.output_activation == "softmax"


def test_scaling_a_start_and_metadata_are_kept(rng):
    given = scaling(rng, 3, 2) | {"initial_state": rng.random(9)}
    net = elman.Network(
        input_size=3,
        hidden_size=[5, 4],
        output_size=2,
        dtype="float64",
        seed=0,
        metadata={"about": "a test"},
        **given,
    )
    for name, value in given.items():
        np.testing.assert_array_equal(getattr(net, name), value)
        assert not getattr(net, name).flags.writeable
    assert net.num_parameters == 5 * 9 + 4 * 10 + 2 * 5
    assert dict(net.metadata) == {"about": "a test"}
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.metadata["about"] = "something else"


def test_scaling_and_a_start_are_none_by_default(net):
    names = ("initial_state", "input_mean", "input_std", "output_mean", "output_std")
    assert [getattr(net, name) for name in names] == [None] * 5
    assert dict(net.metadata) == {}


def test_the_metadata_given_may_change_without_changing_the_network():
    given = {"about": "a test"}
    net = elman.Network(
        input_size=1, hidden_size=1, output_size=1, seed=0, metadata=given, initial_state=[0.5]
    )
    given["about"] = "something else"
    assert net.metadata["about"] == "a test"


def test_weights_are_copied(rng):
    W_xh, W_hh, W_hy = rng.random((4, 2)), rng.random((4, 4)), rng.random((1, 4))
    net = elman.Network.from_weights([(W_xh, W_hh, None)], (W_hy, None))
    before = net(np.ones((3, 2)))
    for array in (W_xh, W_hh, W_hy):
        array[...] = 0
    assert net.layers[0].W_hh.all()
    np.testing.assert_array_equal(net(np.ones((3, 2))), before)


def test_neither_a_network_nor_its_parts_can_be_changed(net):
    with pytest.raises(AttributeError, match="layers"):
        net.layers = ()
    with pytest.raises(AttributeError, match=r"Layer\.W_hh"):
        net.layers[0].W_hh = np.eye(5)
    with pytest.raises(AttributeError, match=r"Readout\.W_hy"):
        net.readout.W_hy = np.eye(4)
    with pytest.raises(AttributeError, match=r"Layer\.W_hy"):
        net.layers[0].W_hy = np.eye(4)
    with pytest.raises(AttributeError, match=r"Layer\.W_hh"):
        del net.layers[0].W_hh
    with pytest.raises(AttributeError, match="has no attribute 'hidden'"):
        net.hidden  # noqa: B018


def test_from_weights_takes_the_common_dtype_of_the_arrays():
    def dtype_of(*dtypes):
        W_xh, W_hh, W_hy = (np.ones((1, 1), dtype) for dtype in dtypes)
        return elman.Network.from_weights([(W_xh, W_hh, None)], (W_hy, None)).dtype

    assert dtype_of("f4", "f4", "f4") == np.float32
    assert dtype_of("f2", ">f4", "i1") == np.float32
    assert dtype_of("f4", "f8", "f4") == np.float64
    assert dtype_of("f4", "i8", "f4") == np.float64
    lists = elman.Network.from_weights([([[0.5]], [[0.5]], [0.1])], None)
    assert lists.dtype == np.float64


def test_from_weights_converts_to_the_dtype_asked_for(rng):
    W = rng.standard_normal((4, 4))
    net = elman.Network.from_weights([(W, W.T, None)], None, dtype=np.float32)
    np.testing.assert_array_equal(net.layers[0].W_xh, W.astype(np.float32))
    np.testing.assert_array_equal(net.layers[0].W_hh, W.T.astype(np.float32))


def test_from_weights_takes_layers_from_any_iterable(rng):
    W = rng.standard_normal((4, 4))
    listed = elman.Network.from_weights([(W, W, None), (W, W, None)], None)
    assert elman.Network.from_weights(([W, W, None] for _ in range(2)), None) == listed


# --- random weights -------------------------------------------------------------------------------


def philox_tensors(seed, input_size, hidden_sizes, output_size, dtype):
    """Derive the random weights from NumPy's own Philox: (64-bit word >> 10) scaled to [-1, 1)."""
    generator = np.random.Philox(key=seed)

    def tensor(fan_in, *shape):
        words = generator.random_raw(int(np.prod(shape))) >> np.uint64(10)
        symmetric = (words.astype(np.int64) - 2**53) * 2.0**-53
        return (symmetric * (1.0 / np.sqrt(fan_in))).astype(dtype).reshape(shape)

    below = input_size
    for size in hidden_sizes:
        yield from (tensor(size, size, below), tensor(size, size, size), tensor(size, size))
        below = size
    yield from (tensor(below, output_size, below), tensor(below, output_size))


def tensors_of(net):
    for layer in net.layers:
        yield from (layer.W_xh, layer.W_hh, layer.b_h)
    yield from (net.readout.W_hy, net.readout.b_y)


@pytest.mark.parametrize(
    ("seed", "dtype"), [(0, "float64"), (1, "float32"), (2**64 - 1, "float64")]
)
def test_a_seed_means_the_numbers_of_philox(dtype, seed):
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=seed, dtype=dtype)
    expected = list(philox_tensors(seed, 3, (5, 4), 2, dtype))
    for got, want in zip(tensors_of(net), expected, strict=True):
        assert_same_bits(got, want)


def test_a_seed_means_these_numbers_for_ever():
    net = elman.Network(input_size=1, hidden_size=1, output_size=1, seed=0, dtype="float64")
    # The first words of Philox 4x64-10 with the key (0, 0) and the counter (1, 0, 0, 0).
    words = (0x02F4BA6408E4D89B, 0x3DD62B0B9CA8C5B2, 0x1C8667A55D902E79)
    weights = (net.layers[0].W_xh, net.layers[0].W_hh, net.layers[0].b_h)
    assert [a.item() for a in weights] == [((w >> 10) - 2**53) / 2**53 for w in words]


def test_random_weights_are_uniform_between_plus_and_minus_one_over_the_root_of_h():
    net = elman.Network(input_size=64, hidden_size=256, output_size=16, seed=3)
    for array in (net.layers[0].W_xh, net.layers[0].W_hh, net.readout.W_hy):
        assert np.abs(array).max() <= 1 / 16
        assert np.abs(array).max() > 0.99 / 16
        assert abs(array.mean()) < 5 / 16 / (3 * array.size) ** 0.5
        assert array.std() == pytest.approx(1 / 16 / 3**0.5, rel=0.05)


def test_without_a_seed_every_network_is_new_and_with_another_seed_another():
    options = {"input_size": 2, "hidden_size": 2, "output_size": 1}
    nets = [elman.Network(**options), elman.Network(**options)]
    nets += [elman.Network(**options, seed=seed) for seed in (0, 1)]
    assert len(set(nets)) == 4
    assert elman.Network(**options, seed=1) == nets[3]


# --- equality, copies, words ----------------------------------------------------------------------


def test_networks_compare_and_hash_by_content(isa, net):
    same = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7)
    assert same == net
    assert hash(same) == hash(net)
    others = [
        elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=8),
        net.astype("float64"),
        elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7, activation="relu"),
        elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7, output_mean=[0, 0]),
    ]
    for other in others:
        assert other != net
    assert len({net, same, *others}) == 5
    assert net != "a network"


def test_a_pickle_is_an_equal_network_with_its_metadata(rng):
    given = scaling(rng, 3, 2) | {"initial_state": rng.random(9), "metadata": {"about": "a test"}}
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=0, **given)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(net, protocol))
        assert again == net
        assert again.metadata == net.metadata
        x = rng.standard_normal((8, 3))
        assert_same_bits(again(x), net(x))


def test_a_copy_of_a_constant_is_the_network_itself(net):
    assert copy.copy(net) is net
    assert copy.deepcopy(net) is net
    assert copy.deepcopy([net])[0] is net


def test_repr_says_what_it_is_in_one_line(net):
    assert repr(net).startswith("Network(3 -> 5 tanh -> 4 tanh -> 2 sigmoid, float32, 95 ")
    no_readout = elman.Network(input_size=1, hidden_size=1000, output_size=None, seed=0)
    assert repr(no_readout).startswith("Network(1 -> 1000 tanh, float32, 1,002,000 ")
    assert repr(net.layers[1]).startswith("Layer(5 -> 4 tanh")
    assert repr(net.readout).startswith("Readout(4 -> 2 sigmoid")


def test_astype_converts_every_number(rng):
    given = scaling(rng, 3, 2) | {"initial_state": rng.random(9), "metadata": {"about": "a test"}}
    net = elman.Network(
        input_size=3, hidden_size=[5, 4], output_size=2, seed=0, dtype="float64", **given
    )
    single = net.astype(np.float32)
    assert single.dtype == np.float32
    assert single.metadata == net.metadata
    for got, want in zip(tensors_of(single), tensors_of(net), strict=True):
        np.testing.assert_array_equal(got, want.astype(np.float32))
    np.testing.assert_array_equal(single.input_mean, net.input_mean.astype(np.float32))
    assert single.astype(np.float64).astype(np.float32) == single
    assert net.astype(np.float64) == net


def test_astype_packs_for_the_set_in_use(isa, net):
    assert net.astype("float32").isa == isa


def test_astype_refuses_to_make_a_weight_infinite_but_keeps_one_that_is():
    wide = elman.Network.from_weights([([[1e300]], [[0.5]], None)], None)
    message = r"layers\.0\.W_xh: .*inf"
    with pytest.raises(ArgumentError, match=message):
        wide.astype(np.float32)
    infinite = elman.Network.from_weights([([[np.inf]], [[0.5]], None)], None, allow_nonfinite=True)
    assert np.isinf(infinite.astype(np.float32).layers[0].W_xh).all()


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
def test_nothing_in_gives_nothing_out(net, shape):
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
    given = scaling(rng, 3, 2) | {"initial_state": rng.random(9)}
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
    """Generate with a stream, one sequence (T0, I) at a time."""
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
    given = scaling(rng, 2, 2) | {"initial_state": rng.random(11)}
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
    for steps, feedback in ((2**62, None), (2**63 - 1, None), (2**62, lambda y: y)):
        with pytest.raises(LimitError):
            loop.generate([[0.5, 0.5]], steps=steps, feedback=feedback)


def test_generate_without_feedback_needs_outputs_of_the_size_of_the_inputs(net):
    message = r"3, got 2.*feedback="
    with pytest.raises(ShapeError, match=message):
        net.generate(np.ones((1, 3)), steps=2)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ([1.0], ShapeError, r"feedback: expected \(2,\), got \(1,\)"),
        (None, ShapeError, r"feedback: expected \(2,\), got \(\)"),
        (["a", "b"], DTypeError, r"feedback: .*<U1"),
        ([[1.0], [1.0, 2.0]], ShapeError, "feedback: "),
    ],
)
def test_generate_refuses_feedback_that_is_no_input(loop, result, error, message):
    with pytest.raises(error, match=message):
        loop.generate([[0.5, 0.5]], steps=2, feedback=lambda y: result)


# --- right results --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("activation", "hidden"),
    [*zip(HIDDEN_ACTIVATIONS, [(1,), (9,), (5, 17), (3, 8, 2)], strict=True)],
)
def test_results_are_within_rounding_of_the_reference(dtype, hidden, activation):
    rng = np.random.default_rng(len(hidden))
    for output_activation in OUTPUT_ACTIVATIONS:
        given = scaling(rng, 3, 5) | {"initial_state": rng.random(sum(hidden))}
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


# --- wrong arguments ------------------------------------------------------------------------------

SIZES = {"input_size": 3, "hidden_size": [5, 4], "output_size": 2, "seed": 0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"input_size": 0}, ArgumentError, r"input_size: .*got 0"),
        ({"input_size": -3}, ArgumentError, r"input_size: .*got -3"),
        ({"input_size": 3.0}, TypeError, r"input_size: .*float"),
        ({"input_size": None}, TypeError, r"input_size: .*NoneType"),
        ({"input_size": 2**63}, LimitError, r"input_size: .*got 9223"),
        ({"input_size": 1 << 20000}, LimitError, "input_size: .*, .*20001"),
        ({"input_size": -1 << 20000}, ArgumentError, "input_size: .*, .*20001"),
        ({"seed": 1 << 20000}, ArgumentError, "seed: .*, .*20001"),
        ({"hidden_size": 0}, ArgumentError, r"hidden_size: .*got 0"),
        ({"hidden_size": []}, ArgumentError, "hidden_size: "),
        ({"hidden_size": [5, 0]}, ArgumentError, r"hidden_size\[1\]: .*got 0"),
        ({"hidden_size": 4.0}, TypeError, r"hidden_size: .*float"),
        ({"hidden_size": "4"}, TypeError, r"hidden_size\[0\]: .*str"),
        ({"hidden_size": 2**62}, LimitError, r"W_xh: "),
        ({"hidden_size": 2**31}, LimitError, r"W_hh: "),
        ({"hidden_size": [4, 2**63]}, LimitError, r"hidden_size\[1\]: "),
        ({"output_size": 0}, ArgumentError, r"output_size: .*got 0"),
        ({"output_size": 2**62}, LimitError, r"W_hy: "),
        ({"output_size": "2"}, TypeError, r"output_size: .*str"),
        ({"seed": -1}, ArgumentError, r"seed: .*got -1"),
        (
            {"seed": 2**64},
            ArgumentError,
            r"seed: .*got 18446744073709551616",
        ),
        ({"seed": 1.5}, TypeError, r"seed: .*float"),
        ({"activation": "gelu"}, ArgumentError, r"activation of layer 0: .*'gelu'"),
        (
            {"activation": ["tanh", "softmax"]},
            ArgumentError,
            r"activation of layer 1: .*'softmax'",
        ),
        (
            {"activation": ["tanh"]},
            ArgumentError,
            r"activation: .*got 1",
        ),
        ({"activation": 3}, TypeError, r"activation: .*int"),
        ({"activation": None}, TypeError, r"activation: .*NoneType"),
        ({"activation": ["tanh", 3]}, TypeError, r"activation: .*int"),
        (
            {"output_activation": "Sigmoid"},
            ArgumentError,
            "output_activation: .*'Sigmoid'",
        ),
        (
            {"output_activation": None},
            TypeError,
            r"output_activation: .*NoneType",
        ),
        ({"dtype": "float16"}, DTypeError, r"dtype: .*float16"),
        ({"dtype": "complex64"}, DTypeError, r"dtype: .*complex64"),
        ({"dtype": "single precision"}, DTypeError, r"dtype: .*'single precision'"),
        ({"dtype": None}, DTypeError, r"dtype: .*None"),
        ({"initial_state": [1.0]}, ShapeError, r"initial_state: expected \(9,\), got \(1,\)"),
        ({"initial_state": 0.5}, ShapeError, r"initial_state: expected \(9,\), got \(\)"),
        ({"initial_state": [1, [2]]}, ShapeError, "initial_state: "),
        ({"input_mean": [1, 2]}, ShapeError, r"input_mean: expected \(3,\), got \(2,\)"),
        ({"input_std": ["a"] * 3}, DTypeError, "input_std: "),
        ({"output_mean": [1] * 3}, ShapeError, r"output_mean: expected \(2,\), got \(3,\)"),
        ({"output_std": [1, 1j]}, DTypeError, "output_std: "),
        ({"output_mean": [1, np.nan]}, ArgumentError, r"output_mean: .*nan"),
        ({"input_mean": [1e39] * 3}, ArgumentError, r"input_mean: .*inf"),
        ({"metadata": {"a": 1}}, TypeError, r"metadata: .*'a': 1"),
        ({"metadata": {1: "a"}}, TypeError, r"metadata: .*1: 'a'"),
        ({"metadata": 3}, TypeError, r"metadata: .*int"),
        ({"metadata": "about"}, TypeError, r"metadata: .*str"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_the_constructor_refuses(change, error, message):
    with pytest.raises(error, match=message):
        elman.Network(**(SIZES | change))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            (3, 10**7, 2),
            "400,000,200,000,000 .*layers.0.W_hh",
        ),
        ((2**55, 2, 1), "288,230,376,151,711,768 .*layers.0.W_xh"),
        ((3, [5, 10**7], 2), "400,000,280,000,160 .*layers.1.W_hh"),
    ],
)
def test_a_network_that_memory_cannot_hold_is_refused_with_its_bytes(sizes, said):
    with pytest.raises(LimitError, match=f"^weights: .*{said}"):
        elman.Network(*sizes, seed=0)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


LAYER, READOUT = (ones(4, 2), ones(4, 4), ones(4)), (ones(3, 4), ones(3))


@pytest.mark.parametrize(
    ("layers", "readout", "error", "message"),
    [
        ([], READOUT, ArgumentError, "layers: "),
        (3, READOUT, TypeError, r"layers: .*int"),
        ([3], READOUT, TypeError, r"layers\[0\]: expected \(W_xh, W_hh, b_h\), got int"),
        ([LAYER[:2]], READOUT, ArgumentError, r"layers\[0\]: .*2 arrays"),
        ([(None, *LAYER[1:])], READOUT, ArgumentError, r"layers\.0\.W_xh: "),
        ([(LAYER[0], None, None)], READOUT, ArgumentError, r"layers\.0\.W_hh: "),
        ([(ones(4), *LAYER[1:])], READOUT, ShapeError, r"W_xh: .*shape \(4,"),
        (
            [(LAYER[0], ones(4, 5), None)],
            READOUT,
            ShapeError,
            r"W_hh: expected \(4, 4\), got \(4, 5",
        ),
        ([(LAYER[0], ones(4), None)], READOUT, ShapeError, r"W_hh: expected \(4, 4\), got \(4,\)"),
        (
            [(*LAYER[:2], ones(3))],
            READOUT,
            ShapeError,
            r"layers\.0\.b_h: expected \(4,\), got \(3,",
        ),
        ([(*LAYER[:2], ones(4, 1))], READOUT, ShapeError, r"b_h: expected \(4,\), got \(4, 1\)"),
        ([LAYER, LAYER], READOUT, ShapeError, r"layers\.1\.W_xh: expected \(4, 4\), got \(4, 2\)"),
        ([(ones(0, 2), ones(0, 0), None)], None, ArgumentError, "hidden_size of layer 0: .*got 0"),
        ([(ones(4, 0), *LAYER[1:])], READOUT, ArgumentError, "input_size: .*at least 1, got 0"),
        ([LAYER], (ones(0, 4), None), ArgumentError, r"output_size: .*got 0"),
        ([LAYER], (ones(3, 5), None), ShapeError, r"W_hy: expected \(3, 4\), got \(3, 5\)"),
        ([LAYER], (ones(3, 4), ones(4)), ShapeError, r"readout\.b_y: expected \(3,\), got \(4,\)"),
        ([LAYER], (None, ones(3)), ArgumentError, r"readout\.W_hy: "),
        ([LAYER], (ones(3, 4),), ArgumentError, r"readout: expected \(W_hy, b_y\), got 1 arrays"),
        ([LAYER], 3, TypeError, r"readout: expected \(W_hy, b_y\), got int"),
        (
            [(ones(4, 2, dtype=complex), *LAYER[1:])],
            READOUT,
            DTypeError,
            r"layers\.0\.W_xh: .*complex128",
        ),
        (
            [([["a"]], [["b"]], None)],
            None,
            DTypeError,
            r"W_xh: .*<U1",
        ),
        ([([[1], [2, 3]], [[1]], None)], None, ShapeError, "W_xh: "),
        (
            [(LAYER[0], np.full((4, 4), np.nan), LAYER[2])],
            READOUT,
            ArgumentError,
            r"W_hh: .*nan",
        ),
        (
            [(np.ma.masked_equal(ones(4, 2), 1), *LAYER[1:])],
            READOUT,
            DTypeError,
            r"W_xh: .*8 masked",
        ),
    ],
)
def test_from_weights_refuses(layers, readout, error, message):
    with pytest.raises(error, match=message):
        elman.Network.from_weights(layers, readout)


def test_weights_that_are_not_finite_are_accepted_on_demand():
    net = elman.Network.from_weights([([[np.inf]], [[0]], [np.nan])], None, allow_nonfinite=True)
    assert np.isnan(net([[1.0]])).all()


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
        ({"lengths": [1, 2, 3]}, ShapeError, r"one for every sequence, \(4,\), got \(3,\)"),
        ({"lengths": 3}, ShapeError, r"one for every sequence, \(4,\), got \(\)"),
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


def test_every_error_is_also_the_builtin_that_it_resembles():
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(LimitError, ValueError)
    assert issubclass(VerificationError, ArithmeticError)
    assert issubclass(elman.BusyError, RuntimeError)
    for error in (ShapeError, DTypeError, ArgumentError, LimitError, VerificationError):
        assert issubclass(error, elman.ElmanError)


def test_replace_replaces_the_scaling_that_it_names_and_nothing_else():
    settings = {"input_size": 2, "hidden_size": 5, "output_size": 2, "seed": 0}
    net = elman.Network(**settings, input_mean=[1, 2], output_mean=[3, 4], metadata={"a": "b"})
    changed = net.replace(tensors={"input_mean": None, "output_std": [0.5, 4]})
    assert changed == elman.Network(**settings, output_mean=[3, 4], output_std=[0.5, 4])
    assert changed.metadata == net.metadata
    assert net.input_mean is not None


@pytest.mark.parametrize(
    ("scaling", "error"),
    [
        ({"input_std": [1, 2, 3]}, r"input_std: .*.3,."),
        ({"output_mean": [1, float("nan")]}, "output_mean: "),
        ({"input_mean": ["a", "b"]}, "input_mean: expected"),
    ],
)
def test_scaling_that_does_not_fit_is_one_sentence(scaling, error):
    net = elman.Network(input_size=2, hidden_size=5, output_size=2, seed=0)
    with pytest.raises(elman.ElmanError, match=f"^{error}"):
        net.replace(tensors=scaling)


@pytest.mark.parametrize("name", ["input_std", "output_std"])
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (0.0, r".*\b0\b.*use 1"),
        (-0.0, r".*-0\b.*use 1"),
        (-2.5, r".*-2\.5"),
        (2.0**-129, ".*reciprocal.*use 1"),
        (np.nan, ".*nan"),
        (np.inf, ".*inf"),
    ],
)
def test_a_std_is_finite_above_0_and_has_a_reciprocal(name, wrong, sentence):
    settings = {"input_size": 3, "hidden_size": 5, "output_size": 3, "seed": 0}
    std = [1, 2, wrong]
    net = elman.Network(**settings)
    for make in (
        lambda: elman.Network(**settings, **{name: std}),
        lambda: net.replace(tensors={name: std}),
        lambda: net.replace(tensors={name: std}, allow_nonfinite=True),
    ):
        with pytest.raises(ArgumentError, match=rf"^{name}\[2\]: {sentence}"):
            make()


def test_a_std_may_be_as_small_as_its_reciprocal_allows():
    settings = {"input_size": 1, "hidden_size": 2, "output_size": 1, "seed": 0}
    for dtype, limit in (("float32", 2.0**-128), ("float64", 2.0**-1024)):
        limit = np.array(limit, dtype)
        smallest = np.nextafter(limit, np.array(1, dtype))
        net = elman.Network(**settings, dtype=dtype, input_std=[smallest])
        assert np.isfinite(net([[0]])).all()
        with pytest.raises(ArgumentError, match=r"^input_std\[0\]: "):
            elman.Network(**settings, dtype=dtype, input_std=[limit])


def test_a_mean_without_a_std_is_a_std_of_1_and_a_std_without_a_mean_a_mean_of_0(rng):
    settings = {"input_size": 3, "hidden_size": 5, "output_size": 3, "seed": 0}
    x = rng.standard_normal((7, 3))
    for end in ("input", "output"):
        for given, default in (
            ({f"{end}_mean": [1, 2, 3]}, {f"{end}_std": np.ones(3)}),
            ({f"{end}_std": [1, 2, 3]}, {f"{end}_mean": np.zeros(3)}),
        ):
            net = elman.Network(**settings, **given)
            assert_same_bits(net(x), elman.Network(**settings, **given, **default)(x))
            assert net.verify(x).ok


def test_what_is_set_on_an_array_of_a_network_does_not_reach_the_network():
    net = elman.Network(
        input_size=2,
        hidden_size=4,
        output_size=3,
        seed=0,
        initial_state=np.ones(4),
        input_std=[1, 2],
    )
    before, data = hash(net), pickle.dumps(net)
    layer, readout = net.layers[0], net.readout
    for array in (layer.W_hh, readout.W_hy):
        array.shape = (array.size,)
    for array in (layer.b_h, readout.b_y, net.initial_state, net.input_std, layer.W_xh):
        array.dtype = "i4"
    assert (net.layers[0].W_hh.shape, net.state_size, net.dtype) == ((4, 4), 4, np.float32)
    assert hash(net) == before
    assert pickle.dumps(net) == data
    assert net.verify(np.ones((3, 2))).ok


@pytest.mark.any_isa
def test_packed_weights_far_larger_than_the_numbers_are_refused():
    long_vectors = [isa for isa in ("avx2", "avx512") if isa in elman.available_isas()]
    if not long_vectors:
        pytest.skip("needs vectors of at least 8 numbers")
    with elman.use_isa(long_vectors[-1]):
        wide = np.broadcast_to(np.float32(0), (1, 2**26))
        with pytest.raises(elman.LimitError, match=r"671\d{5}"):
            elman.Network.from_weights([(wide, [[0]], None)], None, dtype="float32")


def test_the_arguments_of_the_constructor_are_attributes():
    given = {
        "input_size": 3,
        "hidden_size": 6,
        "output_size": 2,
        "num_layers": 2,
        "activation": elman.Activation("relu"),
        "output_activation": elman.Activation("identity"),
        "direction": "bidirectional",
        "dtype": np.dtype("float64"),
        "bias": False,
        "initial_state": None,
        "input_mean": None,
        "input_std": None,
        "output_mean": None,
        "output_std": None,
        "metadata": {"a": "b"},
        "table": elman.Table(inputs=["a", "b", "c"]),
    }
    assert {*given, "seed", "init"} == {*inspect.signature(elman.Network).parameters}
    net = elman.Network(**given, seed=0)
    assert {name: getattr(net, name) for name in given} == given
    assert elman.Network(**{name: getattr(net, name) for name in given}, seed=0) == net


def test_layers_that_differ_have_a_tuple_for_each_attribute():
    net = elman.Network(
        3,
        [6, 4],
        2,
        activation=[("tanh", "relu"), "tanh"],
        direction=["bidirectional", "reverse"],
        seed=0,
    )
    assert net.hidden_size == (6, 4)
    assert net.activation == (("tanh", "relu"), "tanh")
    assert net.direction == ("bidirectional", "reverse")
    assert net.bias is True
    assert net.replace(tensors={"layers.1.b_h": None}).bias is False
    again = elman.Network(
        3, net.hidden_size, 2, activation=net.activation, direction=net.direction, seed=0
    )
    assert again == net


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_split_state_gives_the_states_of_each_layer_and_direction(rng, direction):
    net = elman.Network(3, [6, 4], 2, direction=direction, seed=0)
    run = net.run(rng.standard_normal((5, 7, 3)), return_hidden=True)
    halves = 2 if direction == "bidirectional" else 1
    for state in (run.state, run.hidden):
        parts = net.split_state(state)
        assert [part.shape for part in parts] == [
            (*state.shape[:-1], size) for size in (6, 4) for _ in range(halves)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), state)
        assert all(np.shares_memory(part, state) for part in parts)
    with pytest.raises(elman.ShapeError, match=r"^state: expected \(..., \d+\), got \(3,\)"):
        net.split_state(np.ones(3))


def test_use_isa_chooses_a_set_for_a_block_of_code():
    before = elman.isa()
    with elman.use_isa("scalar"):
        assert elman.isa() == elman.Network(1, 1, 1).isa == "scalar"
    assert elman.isa() == before
    with pytest.raises(KeyError), elman.use_isa("scalar"):
        raise KeyError
    assert elman.isa() == before
    with pytest.raises(elman.IsaError), elman.use_isa("mmx"):
        pass
    assert elman.isa() == before


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(
    "name",
    ["readout.by", "layers.0.W_xh ", "layers.00.W_hh", "layers.7.b_h", "initial", "golden.x"],
)
def test_a_tensor_of_an_unknown_name_is_refused_and_not_left_out(direction, name):
    net = elman.Network(2, 3, 1, seed=0, direction=direction)
    message = rf"^tensors: .*'{re.escape(name)}'"
    with pytest.raises(ArgumentError, match=message):
        net.replace(tensors={name: ones(1)})
    with pytest.raises(ArgumentError, match=message):
        elman.Network.from_tensors(net.tensors() | {name: ones(1)}, direction=direction)


def test_the_name_that_is_meant_is_said():
    with pytest.raises(ArgumentError, match=r"'readout\.by'.*'readout\.b_y'"):
        elman.Network(2, 3, 1).replace(tensors={"readout.by": ones(1)})


def test_a_half_or_a_bias_that_the_network_does_not_have_is_refused():
    net = elman.Network(2, 3, None, seed=0)
    for name in ("layers.0.reverse.W_xh", "readout.b_y"):
        with pytest.raises(ArgumentError, match=f"^tensors: .*, got '{name}'"):
            net.replace(tensors={name: ones(3)})


@pytest.mark.parametrize("tensors", [5, [1], "W_xh"])
def test_tensors_that_are_no_mapping_are_refused(tensors):
    message = rf"^tensors: .*{type(tensors).__name__}"
    for use in (elman.Network(2, 3, 1).replace, elman.Network.from_tensors):
        with pytest.raises(elman.ArgumentTypeError, match=message):
            use(tensors=tensors)
    with pytest.raises(elman.ArgumentTypeError, match=r"^tensors: .*int"):
        elman.Network.from_tensors({3: ones(2, 2)})


def test_a_constructor_that_is_called_again_changes_nothing():
    net = elman.Network(3, 4, 2, seed=0)
    kept, hashed = net.tensors(), hash(net)
    with pytest.raises(AttributeError, match="__init__"):
        net.__init__(5, 6, 1, seed=1)
    assert hash(net) == hashed
    assert net.tensors().keys() == kept.keys()
    table = elman.Table(inputs=["a"])
    with pytest.raises(AttributeError, match="__init__"):
        table.__init__(inputs=["b"])
    assert table == elman.Table(inputs=["a"])
    activation = elman.Activation("tanh")
    with pytest.raises(AttributeError, match="__init__"):
        activation.__init__("relu")
    assert activation == "tanh"
