"""Network: invalid arguments of its constructors and of methods that return networks."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elman
from elman.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    LimitError,
    ShapeError,
    VerificationError,
)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


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
        ({"hidden_size": [4, 2**63]}, LimitError, r"hidden_size\[1\]: "),
        ({"output_size": 0}, ArgumentError, r"output_size: .*got 0"),
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
        ({"input_size": True}, ArgumentTypeError, "input_size: expected an integer, got bool"),
        ({"hidden_size": True}, ArgumentTypeError, "hidden_size: expected an integer, got bool"),
        ({"hidden_size": 4, "num_layers": 10**9}, LimitError, "num_layers: expected at most"),
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
        ((1, 2**62, 1), f"{4 * (2**124 + 2**63):,} .*layers.0.W_hh"),
        ((3, 2**31, 2), f"{4 * (2**62 + 5 * 2**31):,} .*layers.0.W_hh"),
        ((3, 5, 2**62), f"{4 * (5 * 2**62 + 40):,} .*readout.W_hy"),
        ((2**62, 5, 2), f"{4 * (5 * 2**62 + 35):,} .*layers.0.W_xh"),
    ],
)
def test_a_network_that_memory_cannot_hold_is_refused_with_its_bytes(sizes, said):
    with pytest.raises(LimitError, match=f"^weights: .*{said}"):
        elman.Network(*sizes, seed=0)


def test_an_array_of_sizes_is_a_sequence_of_them():
    net = elman.Network(3, np.array([5, 4]), 2, seed=0)
    assert net == elman.Network(3, [5, 4], 2, seed=0)
    assert elman.Network(3, np.array(5), 2, seed=0) == elman.Network(3, 5, 2, seed=0)
    with pytest.raises(ArgumentTypeError, match=r"^hidden_size\[0\]: .*float64"):
        elman.Network(3, np.array([5.0, 4.0]), 2)


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


def test_an_unknown_tensor_name_suggests_a_similar_one():
    with pytest.raises(ArgumentError, match=r"'readout\.by'.*'readout\.b_y'"):
        elman.Network(2, 3, 1).replace(tensors={"readout.by": ones(1)})


@pytest.mark.parametrize("prefix", ["", "rnn."])
def test_a_state_dict_of_pytorch_in_place_of_tensors_names_its_reader(prefix):
    given = {f"{prefix}weight_ih_l0": ones(4, 2), f"{prefix}weight_hh_l0": ones(4, 4)}
    with pytest.raises(ArgumentError, match=r"got none: elman.from_torch reads a state_dict$"):
        elman.Network.from_tensors(given)


def test_a_half_or_a_bias_that_the_network_does_not_have_is_refused():
    net = elman.Network(2, 3, None, seed=0)
    for name in ("layers.0.reverse.W_xh", "readout.b_y"):
        with pytest.raises(ArgumentError, match=f"^tensors: .*, got '{name}'"):
            net.replace(tensors={name: ones(3)})


@pytest.mark.parametrize("tensors", [5, [1], "W_xh"])
def test_tensors_that_are_no_mapping_are_refused(tensors):
    message = rf"^tensors: .*{type(tensors).__name__}"
    for use in (elman.Network(2, 3, 1).replace, elman.Network.from_tensors):
        with pytest.raises(ArgumentTypeError, match=message):
            use(tensors=tensors)
    with pytest.raises(elman.ArgumentTypeError, match=r"^tensors: .*int"):
        elman.Network.from_tensors({3: ones(2, 2)})
