"""Network: construction, attributes, and random weights."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError
from fixtures.bits import assert_same_bits
from fixtures.networks import random_network, random_scaling

DTYPES = ("float32", "float64")


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=7)


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


@pytest.mark.parametrize(
    ("arguments", "direction", "expected"),
    [
        ((1, 8, 1), "forward", 8 * 1 + 8 * 8 + 1 * 8),
        ((16, 32, 4), "reverse", 32 * 16 + 32 * 32 + 4 * 32),
        ((3, [5, 4], 2), "forward", 5 * (3 + 5) + 4 * (5 + 4) + 2 * 4),
        ((3, [5, 4], None), "forward", 5 * (3 + 5) + 4 * (5 + 4)),
        ((3, 5, 2), "bidirectional", 2 * 5 * (3 + 5) + 2 * 10),
        ((3, [5, 4], 2), "bidirectional", 2 * 5 * (3 + 5) + 2 * 4 * (10 + 4) + 2 * 8),
    ],
)
def test_each_weight_of_a_matrix_is_one_multiply_add(arguments, direction, expected):
    for bias in (True, False):
        net = elman.Network(*arguments, direction=direction, bias=bias, seed=0)
        assert net.multiply_adds == expected


def test_packed_weights_fill_whole_cache_lines():
    with elman.use_isa("scalar"):  # elsewhere the rows of a matrix are padded, too
        for dtype, line in (("float32", 16), ("float64", 8)):
            net = elman.Network(3, 5, 2, seed=0, dtype=dtype, initial_state=np.zeros(5))
            pieces = (5 * 3, 5 * 5, 5, 2 * 5, 2, 5)
            assert net.nbytes == 64 * sum(-(-piece // line) for piece in pieces)
    for isa in elman.available_isas():
        with elman.use_isa(isa):
            net = elman.Network(32, 64, 16, seed=0)  # whole vectors of every set
            assert net.nbytes == sum(array.nbytes for array in net.tensors().values())


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


def test_bias_false_gives_no_biases():
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
    given = random_scaling(rng, 3, 2) | {"initial_state": rng.random(9)}
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
    """Derive the random weights from NumPy's Philox: (64-bit word >> 10) scaled to [-1, 1)."""
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
def test_a_seed_gives_the_weights_of_numpys_philox(dtype, seed):
    net = elman.Network(input_size=3, hidden_size=[5, 4], output_size=2, seed=seed, dtype=dtype)
    expected = list(philox_tensors(seed, 3, (5, 4), 2, dtype))
    for got, want in zip(tensors_of(net), expected, strict=True):
        assert_same_bits(got, want)


def test_a_seed_gives_the_weights_of_the_first_philox_words():
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


# --- equality, copies, repr -----------------------------------------------------------------------


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
    given = random_scaling(rng, 3, 2) | {
        "initial_state": rng.random(9),
        "metadata": {"about": "a test"},
    }
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


def test_repr_shows_sizes_activations_and_dtype(net):
    assert repr(net).startswith("Network(3 -> 5 tanh -> 4 tanh -> 2 sigmoid, float32, 95 ")
    no_readout = elman.Network(input_size=1, hidden_size=1000, output_size=None, seed=0)
    assert repr(no_readout).startswith("Network(1 -> 1000 tanh, float32, 1,002,000 ")
    assert repr(net.layers[1]).startswith("Layer(5 -> 4 tanh")
    assert repr(net.readout).startswith("Readout(4 -> 2 sigmoid")


def test_astype_converts_every_number(rng):
    given = random_scaling(rng, 3, 2) | {
        "initial_state": rng.random(9),
        "metadata": {"about": "a test"},
    }
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


# --- attributes ----------------------------------------------------------------------------------


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


@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")  # since NumPy 2.5
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
    for array in (layer.W_hh.base, readout.W_hy.base, net.tensors()["layers.0.W_xh"].base):
        array.shape = (array.size,)
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
        "masked": "zero",
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
    with pytest.raises(elman.DTypeError, match=r"^state: expected real numbers, got dtype <U1"):
        net.split_state(np.full(net.state_size, "a"))


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


def test_a_constructor_that_is_called_again_changes_nothing():
    net = elman.Network(3, 4, 2, seed=0)
    kept, hashed = net.tensors(), hash(net)
    with pytest.raises(AttributeError, match="__init__"):
        net.__init__(5, 6, 1, seed=1)
    assert hash(net) == hashed
    assert net.tensors().keys() == kept.keys()
    for part in (net.layers[0], net.readout):
        with pytest.raises(AttributeError, match="__init__"):
            part.__init__(*[None] * (4 if part is net.layers[0] else 3))
    assert hash(net) == hashed
    assert net.layers[0].activation == "tanh"
    table = elman.Table(inputs=["a"])
    with pytest.raises(AttributeError, match="__init__"):
        table.__init__(inputs=["b"])
    assert table == elman.Table(inputs=["a"])
    activation = elman.Activation("tanh")
    with pytest.raises(AttributeError, match="__init__"):
        activation.__init__("relu")
    assert activation == "tanh"
