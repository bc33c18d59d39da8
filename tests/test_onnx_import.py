"""ONNX models as networks: models from PyTorch's exporters and hand-written ones."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import elman
from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop.onnx import read

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator

from conformance import backend  # noqa: E402
from fixtures.onnx_graphs import helper, model, rnn, value  # noqa: E402

EXPORTS = np.load(pathlib.Path(__file__).parent / "fixtures" / "onnx_exports.npz")
REFUSED = {
    "dynamo-one-step": "^x has one step",
    "dynamo-lstm": r"^node 0 \(LSTM .*\): .*gates",
    "torchscript-lstm": r"^node \d+ \(LSTM .*\): .*gates",
    "dynamo-gru": r"^node \d+ \(GRU .*\): .*gates",
    "torchscript-gru": r"^node \d+ \(GRU .*\): .*gates",
}
CASES = [name.removesuffix(".model") for name in EXPORTS.files if name.endswith(".model")]


def exported(case):
    return EXPORTS[f"{case}.model"].tobytes()


def arrays(case, kind):
    return [EXPORTS[name] for name in EXPORTS.files if name.startswith(f"{case}.{kind}.")]


def weights(rng, inputs=3, hidden=4, outputs=2):
    """Return the initializers of one layer and a readout."""
    return {
        "W": rng.normal(size=(1, hidden, inputs)).astype("f4"),
        "R": rng.normal(size=(1, hidden, hidden)).astype("f4"),
        "B": rng.normal(size=(1, 2 * hidden)).astype("f4"),
        "M": rng.normal(size=(hidden, outputs)).astype("f4"),
        "c": rng.normal(size=outputs).astype("f4"),
        "axis": np.array([1]),
    }


def chain(rng, after, constants=None, *, x=("T", "B", 3), y=None, opset=22, **attributes):
    """Return a model of an RNN over x without the axis of directions, followed by nodes."""
    squeeze = helper.make_node("Squeeze", ["Y", "axis"], ["h"])
    nodes = [helper.make_node("RNN", ["x", "W", "R", "B"], ["Y", "Y_h"], name="rnn", **attributes)]
    nodes += [squeeze, *after]
    all_constants = weights(rng) | (constants or {})
    output = value(y or nodes[-1].output[0], None)
    return model(nodes, [value("x", x)], [output], all_constants, opset=opset)


# --- models exported by PyTorch -------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_an_exported_model_gives_what_pytorch_computed(case):
    outputs = backend.prepare(exported(case)).run(arrays(case, "input"))
    for output, expected in zip(outputs, arrays(case, "output"), strict=True):
        assert output.shape == expected.shape
        tolerance = 1e-14 if expected.dtype == np.float64 else 2e-6
        np.testing.assert_allclose(output, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_no_network_can_express_is_refused_with_the_reason(case):
    with pytest.raises(UnsupportedModelError, match=REFUSED[case]):
        elman.from_onnx(exported(case))


BOTH = [c for c in CASES if c not in REFUSED and c.replace("dynamo", "torchscript") in CASES]


@pytest.mark.parametrize("case", [case for case in BOTH if case.startswith("dynamo")])
def test_both_exporters_of_one_module_give_one_network_to_the_last_bit(case):
    by_node = exported(case.replace("dynamo", "torchscript"))
    assert elman.from_onnx(exported(case)) == elman.from_onnx(by_node)


def test_a_model_frozen_at_14_steps_runs_over_any_number_and_as_a_stream(rng):
    net = elman.from_onnx(exported("dynamo-14-steps"))
    frozen = elman.from_onnx(exported("dynamo-free-batch"))
    assert net == frozen  # the same module, exported with 14 and with 4 steps
    x = rng.normal(size=(100, 3)).astype("f4")
    stream = net.stream()
    assert np.array_equal(np.stack([stream.step(x_t) for x_t in x]), net(x))


def test_pytorchs_biases_are_added_in_float64(rng):
    graph = onnx.load_from_string(exported("dynamo-last-batch-first")).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    expected = tensors["rnn.bias_ih_l0"].astype(float) + tensors["rnn.bias_hh_l0"]
    net = elman.from_onnx(exported("dynamo-last-batch-first"))
    assert np.array_equal(net.layers[0].b_h, expected.astype("f4"))


def test_the_rows_say_what_became_of_every_part():
    network, rows, *_ = read(exported("dynamo-state"))
    assert network.hidden_sizes == (5, 5)
    found = {(row.source, row.target) for row in rows}
    assert {("x", "x"), ("h", "state"), ("3 unrolled steps", "layers.0")} <= found
    assert ("rnn.bias_ih_l1", "layers.1.b_h") in found
    assert ("fc.bias", "readout.b_y") in found
    notes = {row.target: row.note for row in rows}
    assert notes["layers.0"] == "rolled up into one recurrence"
    assert notes["x"].startswith("(time, batch, features)")
    assert notes["layers.0.b_h"] == "added to the other bias in float64"
    _, rows, *_ = read(exported("dynamo-last-batch-first"))
    notes = {row.target: row.note for row in rows}
    assert notes["x"].startswith("(batch, time, features)")
    assert "outputs='last'" in notes["y"]


# --- proof that all steps are alike ---------------------------------------------------------------


def changed(case, change):
    """Return an exported model after change(graph)."""
    proto = onnx.load_from_string(exported(case))
    change(proto.graph)
    return proto


def replace_weight(graph, node_index, name, factor):
    """Replace the weight of the n-th MatMul that reads one by a slightly different one."""
    users = [n for n in graph.node if name in n.input]
    tensor = next(t for t in graph.initializer if t.name == name)
    other = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * factor, "other")
    graph.initializer.append(other)
    place = list(users[node_index].input).index(name)
    users[node_index].input[place] = "other"


def recurrent_matrix(graph):
    """Return the name of the matrix that several products read."""
    names = [n.input[1] for n in graph.node if n.op_type == "MatMul"]
    return next(name for name in names if names.count(name) > 1)


@pytest.mark.parametrize("index", [0, 5, 12])
def test_a_step_with_another_recurrent_matrix_is_found_wherever_it_is(index):
    proto = changed(
        "dynamo-14-steps",
        lambda graph: replace_weight(graph, index, recurrent_matrix(graph), np.float32(1.0000001)),
    )
    with pytest.raises(UnsupportedModelError, match=r"^step \d+ of layer 0: .*W_hh"):
        elman.from_onnx(proto)


@pytest.mark.parametrize("index", [0, 7, 12])
def test_a_step_with_another_bias_is_found_wherever_it_is(index):
    proto = changed(
        "dynamo-14-steps",
        lambda graph: replace_weight(graph, index, "rnn.bias_hh_l0", np.float32(1.0000001)),
    )
    with pytest.raises(UnsupportedModelError, match=r"^step \d+ of layer 0: .*constant"):
        elman.from_onnx(proto)


def test_equal_weights_under_different_names_are_the_same_weights():
    proto = changed(
        "dynamo-14-steps",
        lambda graph: replace_weight(graph, 3, recurrent_matrix(graph), np.float32(1)),
    )
    assert elman.from_onnx(proto) == elman.from_onnx(exported("dynamo-14-steps"))


def test_a_step_with_another_activation_is_refused():
    def change(graph):
        [n for n in graph.node if n.op_type == "Tanh"][6].op_type = "Sigmoid"

    with pytest.raises(UnsupportedModelError, match=r"^step 6 of layer 0: .*weights"):
        elman.from_onnx(changed("dynamo-14-steps", change))


def test_steps_in_another_order_are_refused():
    def change(graph):
        adds = [n for n in graph.node if n.op_type == "Add" and "getitem" in n.input[1]]
        adds[3].input[1], adds[4].input[1] = adds[4].input[1], adds[3].input[1]

    with pytest.raises(UnsupportedModelError, match=r"expected .* 0 to 13, got"):
        elman.from_onnx(changed("dynamo-14-steps", change))


def test_a_step_left_out_is_refused():
    def change(graph):
        tanhs = [n for n in graph.node if n.op_type == "Tanh"]
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name == tanhs[6].output[0] and node.op_type == "MatMul":
                    node.input[place] = tanhs[5].output[0]

    with pytest.raises(UnsupportedModelError):
        elman.from_onnx(changed("dynamo-14-steps", change))


def test_an_output_that_is_not_the_same_at_every_step_is_refused():
    def change(graph):
        concat = next(n for n in graph.node if n.op_type == "Concat")
        concat.input[2], concat.input[3] = concat.input[3], concat.input[2]

    with pytest.raises(UnsupportedModelError):
        elman.from_onnx(changed("dynamo-3-layers-no-bias", change))


def test_a_start_state_folded_into_the_first_bias_is_refused():
    def change(graph):
        tensor = next(t for t in graph.initializer if t.name.startswith("linear_"))
        array = onnx.numpy_helper.to_array(tensor) + np.float32(0.5)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))

    with pytest.raises(UnsupportedModelError, match=r"^step 0 of layer 0: .*optimize=False"):
        elman.from_onnx(changed("dynamo-14-steps", change))


# --- hand-written models --------------------------------------------------------------------------


@pytest.mark.parametrize(("node", "name"), [("Softmax", "softmax"), ("LogSoftmax", "log_softmax")])
def test_a_readout_by_gemm_of_y_h_is_the_last_step(rng, node, name):
    nodes = [
        helper.make_node("Squeeze", ["Y_h", "axis_0"], ["last"]),
        helper.make_node("Gemm", ["last", "M", "c"], ["z"]),
        helper.make_node(node, ["z"], ["y"]),
    ]
    proto = chain(rng, nodes, {"axis_0": np.array([0])})
    network, rows, *_ = read(proto)
    assert network.output_activation == name
    assert [row.note for row in rows if row.target == "y"] == [
        "of the last step: net(x, outputs='last')"
    ]


def test_a_readout_of_y_h_in_reverse_is_that_of_no_single_call(rng):
    nodes = [
        helper.make_node("Squeeze", ["Y_h", "axis_0"], ["final"]),
        helper.make_node("Gemm", ["final", "M", "c"], ["y"]),
    ]
    proto = chain(rng, nodes, {"axis_0": np.array([0])}, direction="reverse")
    with pytest.raises(UnsupportedModelError, match="the reverse direction after step 0"):
        read(proto)


@pytest.mark.parametrize("order", ["TB", "BT"])
@pytest.mark.parametrize("free", [True, False])
def test_a_readout_of_flattened_steps_is_read(rng, order, free):
    """As exported for dense layers on three axes: flatten, multiply, restore."""
    sizes = {"T": 5, "B": 2}
    before = [] if order == "TB" else [helper.make_node("Transpose", ["x"], ["X"], perm=[1, 0, 2])]
    after = [] if order == "TB" else [helper.make_node("Transpose", ["h"], ["g"], perm=[1, 0, 2])]
    g = "h" if order == "TB" else "g"
    nodes = [
        *before,
        helper.make_node("RNN", ["x" if order == "TB" else "X", "W", "R", "B"], ["Y", ""]),
        helper.make_node("Squeeze", ["Y", "axis"], ["h"]),
        *after,
        helper.make_node("Reshape", [g, "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "M"], ["z"]),
        helper.make_node("Add", ["c", "z"], ["b"]),
        helper.make_node("Shape", [g], ["shape"], start=0, end=2),
        helper.make_node("Concat", ["shape", "outputs"], ["whole"], axis=0),
        helper.make_node("Reshape", ["b", "whole"], ["y"]),
    ]
    constants = weights(rng) | {"flat": np.array([-1, 4]), "outputs": np.array([2])}
    shape = [letter if free else sizes[letter] for letter in order]
    proto = model(nodes, [value("x", [*shape, 3])], [value("y", None)], constants)
    x = rng.normal(size=[*(sizes[letter] for letter in order), 3]).astype("f4")
    (y,) = backend.prepare(proto).run([x])
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(y, expected, atol=1e-6)


def scaled(rng, op, factors):
    """Return a network between (x - m) op factors and y * t + n, and these values."""
    numbers = {"m": rng.normal(size=3), "s": factors, "t": [2, 0.7], "n": [1, -2]}
    numbers = {name: np.array(value, "f4") for name, value in numbers.items()}
    nodes = [
        helper.make_node("Sub", ["x", "m"], ["0"]),
        helper.make_node(op, ["0", "s"], ["1"]),
        helper.make_node("RNN", ["1", "W", "R", "B"], ["Y", ""]),
        helper.make_node("Squeeze", ["Y", "axis"], ["h"]),
        helper.make_node("MatMul", ["h", "M"], ["2"]),
        helper.make_node("Mul", ["2", "t"], ["3"]),
        helper.make_node("Add", ["3", "n"], ["y"]),
    ]
    constants = {name: w for name, w in weights(rng).items() if name != "c"} | numbers
    return model(nodes, [value("x", [None, None, 3])], [value("y", None)], constants), numbers


@pytest.mark.parametrize("op", ["Div", "Mul"])
def test_scaling_around_a_network_is_its_scaling(rng, op):
    proto, numbers = scaled(rng, op, [3, 0.7, 11])
    net = elman.from_onnx(proto)
    divisor = numbers["s"] if op == "Div" else (1 / numbers["s"].astype("f8")).astype("f4")
    assert np.array_equal(net.input_mean, numbers["m"])
    assert np.array_equal(net.input_std, divisor)
    assert np.array_equal(net.output_std, numbers["t"])
    assert np.array_equal(net.output_mean, numbers["n"])
    x = rng.normal(size=(5, 2, 3)).astype("f4")
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(net(x.swapaxes(0, 1)), expected.swapaxes(0, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "factors"), [("Mul", [1, 0, 1]), ("Mul", [1, 1, -0.5]), ("Div", [-4, 1, 1])]
)
def test_factors_that_are_no_standard_deviations_are_part_of_the_first_matrix(rng, op, factors):
    proto, _ = scaled(rng, op, factors)
    net = elman.from_onnx(proto)
    assert net.input_mean is None
    assert net.input_std is None
    x = rng.normal(size=(5, 2, 3)).astype("f4")
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(net(x.swapaxes(0, 1)), expected.swapaxes(0, 1), rtol=1e-5, atol=1e-5)


def test_weights_behind_identity_cast_transpose_and_constant_nodes_are_read(rng):
    w = weights(rng)
    nodes = [
        helper.make_node(
            "Constant", [], ["W64"], value=onnx.numpy_helper.from_array(w["W"].astype("f8"))
        ),
        helper.make_node("Cast", ["W64"], ["W32"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["R_T"], ["R_0"], perm=[0, 2, 1]),
        helper.make_node("Identity", ["R_0"], ["R_1"]),
        helper.make_node("RNN", ["x", "W32", "R_1", "B"], ["Y"]),
    ]
    constants = {"R_T": w["R"].swapaxes(1, 2).copy(), "B": w["B"]}
    proto = model(nodes, [value("x", [None, None, 3])], [value("Y", None)], constants)
    net = elman.from_onnx(proto)
    assert np.array_equal(net.layers[0].W_xh, w["W"][0])
    assert np.array_equal(net.layers[0].W_hh, w["R"][0])


def test_half_precision_is_widened_to_float32(rng):
    arrays = {k: v.astype("f2") for k, v in weights(rng).items() if k in "WRB"}
    arrays["X"] = np.zeros((2, 1, 3), "f2")
    net = elman.from_onnx(rnn(arrays))
    assert net.dtype == np.float32
    assert np.array_equal(net.layers[0].W_xh, arrays["W"][0].astype("f4"))


@pytest.mark.parametrize("drop", ["Squeeze", "Gather", "Slice"])
def test_the_only_step_of_a_model_for_one_step_is_the_last(rng, drop):
    zero, one = np.array([0]), np.array([1])
    nodes = {
        "Squeeze": [helper.make_node("Squeeze", ["h", "zero"], ["last"])],
        "Gather": [helper.make_node("Gather", ["h", "number"], ["last"], axis=0)],
        "Slice": [
            helper.make_node("Slice", ["h", "zero", "axis", "zero"], ["part"]),
            helper.make_node("Squeeze", ["part", "zero"], ["last"]),
        ],
    }[drop]
    nodes += [helper.make_node("Gemm", ["last", "M", "c"], ["y"])]
    constants = {"zero": zero, "number": np.array(0), "axis": one}
    proto = chain(rng, nodes, constants, x=(1, 2, 3))
    x = rng.normal(size=(1, 2, 3)).astype("f4")
    (y,) = backend.prepare(proto).run([x])
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(y, expected, atol=1e-6)
    (note,) = [row.note for row in read(proto).rows if row.target == "y"]
    assert note.startswith("of the last step")


def test_sizes_and_integers_are_not_added_to_states(rng):
    nodes = [
        helper.make_node("Shape", ["h"], ["size"], start=1, end=2),
        helper.make_node("Add", ["h", "size"], ["y"]),
    ]
    for x in (("T", "B", 3), ("T", 2, 3)):
        with pytest.raises(UnsupportedModelError, match=r"node 3 \(Add\): .*integers"):
            elman.from_onnx(chain(rng, nodes, x=x))


def test_sizes_that_are_not_fixed_are_not_computed_with(rng):
    nodes = [
        helper.make_node("Shape", ["h"], ["shape"]),
        helper.make_node("Equal", ["shape", "axis"], ["is_one"]),
        helper.make_node("Where", ["is_one", "h", "h"], ["y"]),
    ]
    with pytest.raises(UnsupportedModelError, match=r"node 3 \(Equal\): .*size"):
        elman.from_onnx(chain(rng, nodes))


def test_all_sizes_may_be_free(rng):
    proto = chain(rng, [], x=None, y="h")
    assert elman.from_onnx(proto).input_size == 3


def test_a_start_state_in_a_constant_is_the_networks(rng):
    start = rng.normal(size=(1, 1, 4)).astype("f4")
    arrays = weights(rng) | {"X": np.zeros((2, 1, 3), "f4"), "initial_h": start}
    del arrays["M"], arrays["c"], arrays["axis"]
    assert np.array_equal(elman.from_onnx(rnn(arrays)).initial_state, start[0, 0])


def test_start_states_that_differ_by_sequence_are_refused(rng):
    start = rng.normal(size=(1, 2, 4)).astype("f4")
    arrays = weights(rng) | {"X": np.zeros((2, 2, 3), "f4"), "initial_h": start}
    nodes = [helper.make_node("RNN", ["X", "W", "R", "B", "", "h0"], ["Y"])]
    constants = {k: arrays[k] for k in "WRB"} | {"h0": start}
    proto = model(nodes, [value("X", (2, 2, 3))], [value("Y", None)], constants)
    with pytest.raises(UnsupportedModelError, match=r"node 0 \(RNN\): .*every sequence"):
        elman.from_onnx(proto)


def test_lengths_are_an_input_of_the_network(rng):
    arrays = weights(rng) | {
        "X": np.zeros((4, 2, 3), "f4"),
        "sequence_lens": np.array([4, 2], "i4"),
    }
    arrays = {k: v for k, v in arrays.items() if k not in ("M", "c", "axis")}
    _, rows, *_ = read(rnn(arrays, given=("X", "sequence_lens")))
    assert [row.target for row in rows if row.source == "sequence_lens"] == ["lengths"]
    with pytest.raises(UnsupportedModelError, match=r"node 0 \(RNN 'rnn'\): .*sequence_lens"):
        elman.from_onnx(rnn(arrays))
    arrays["sequence_lens"] = np.array([4, 4], "i4")
    elman.from_onnx(rnn(arrays))


def test_lengths_of_0_are_not_all_of_the_steps(rng):
    """With a free number of steps, none is known to be all of them."""
    constants = weights(rng) | {"n": np.array([0, 0], "i4")}
    nodes = [
        helper.make_node("RNN", ["x", "W", "R", "B", "n"], ["Y"]),
        helper.make_node("Squeeze", ["Y", "axis"], ["y"]),
    ]
    proto = model(nodes, [value("x", [None, 2, 3])], [value("y", None)], constants)
    with pytest.raises(UnsupportedModelError, match=r"node 0 \(RNN\): .*sequence_lens"):
        elman.from_onnx(proto)


def test_sequences_are_not_combined_with_each_other(rng):
    nodes = [
        helper.make_node("Squeeze", ["Y_h", "axis_0"], ["last"]),
        helper.make_node("Gemm", ["last", "M", "c"], ["z"]),
        helper.make_node("Unsqueeze", ["z", "axis_0"], ["rows"]),
        helper.make_node("Unsqueeze", ["z", "axis"], ["columns"]),
        helper.make_node("Add", ["rows", "columns"], ["y"]),
    ]
    proto = chain(rng, nodes, {"axis_0": np.array([0])})
    with pytest.raises(UnsupportedModelError, match=r"\(Add\): .*every other one"):
        elman.from_onnx(proto)


@pytest.mark.parametrize(
    ("after", "constants", "reason"),
    [
        ([("Relu", ["h"], {}), ("Add", ["h", "0"], {})], {}, "^1: expected a chain .* a sum"),
        (
            [("Softmax", ["h"], {"axis": 2}), ("MatMul", ["0", "M"], {})],
            {},
            "^'0': expected softmax at the end",
        ),
        ([("Mul", ["h", "h"], {})], {}, r"node 2 \(Mul .*constant"),
        ([("ReduceMean", ["h"], {})], {}, r"node 2 \(ReduceMean "),
        (
            [("Gather", ["h", "two"], {"axis": 0})],
            {"two": np.array(2)},
            r"node 2 \(Gather .*step 2",
        ),
        (
            [("Gather", ["h", "two"], {"axis": 2})],
            {"two": np.array(2)},
            r"node 2 \(Gather .*features",
        ),
        ([("Softmax", ["h"], {"axis": 0})], {}, r"node 2 \(Softmax .*got axis 0"),
        ([("LogSoftmax", ["h"], {"axis": 1})], {}, r"node 2 \(LogSoftmax .*got axis 1"),
        (
            [("Slice", ["h", "a", "b"], {})],
            {"a": np.array([0]), "b": np.array([-2])},
            r"node 2 \(Slice .*steps",
        ),
        (
            [("Slice", ["h", "a", "b"], {})],
            {"a": np.array([3]), "b": np.array([2])},  # no step at all
            r"node 2 \(Slice .*steps",
        ),
        ([("Reshape", ["h", "s"], {})], {"s": np.array([0, -1])}, r"node 2 \(Reshape .*\(4, -1\)"),
        ([("Concat", ["h", "h"], {"axis": 0})], {}, r"node 2 \(Concat "),
        (
            [("Gemm", ["h", "M", "c"], {"alpha": 2.0})],
            {},
            r"node 2 \(Gemm .*expected alpha 1, got 2",
        ),
    ],
)
def test_what_a_network_cannot_express_is_refused_with_the_node(rng, after, constants, reason):
    nodes = [
        helper.make_node(op, inputs, [str(index)], name=f"last-{index}", **attributes)
        for index, (op, inputs, attributes) in enumerate(after)
    ]
    constants = {"Q": np.eye(4, dtype="f4")} | constants
    with pytest.raises(UnsupportedModelError, match=reason):
        elman.from_onnx(chain(rng, nodes, constants, x=(4, 2, 3)))


def test_two_layers_that_are_no_chain_are_refused(rng):
    nodes = [
        helper.make_node("RNN", ["x", "W", "R", "B"], ["Y2"], name="second"),
        helper.make_node("Squeeze", ["Y2", "axis"], ["h2"]),
        helper.make_node("Concat", ["h", "h2"], ["y"], axis=2),
    ]
    with pytest.raises(UnsupportedModelError, match=r"node 0 \(RNN 'rnn'\) and node 2 "):
        elman.from_onnx(chain(rng, nodes))


def test_nodes_that_no_output_needs_do_not_matter(rng):
    nodes = [helper.make_node("NonZero", ["h"], ["unused"])]
    assert elman.from_onnx(chain(rng, nodes, y="h")).hidden_sizes == (4,)


@pytest.mark.parametrize(
    ("attributes", "error", "reason"),
    [
        ({"activations": ["Gelu"]}, UnsupportedModelError, r"got \['Gelu'\]"),
        (
            {"activations": ["Tanh", "Tanh"]},
            UnsupportedModelError,
            r"expected 1 .*got \['Tanh', 'Tanh'\]",
        ),
        ({"activations": ["Affine"]}, UnsupportedModelError, "Affine .*alpha"),
        ({"activations": ["ScaledTanh"]}, UnsupportedModelError, "ScaledTanh .*alpha"),
        ({"activation_alpha": [1.0, 2.0]}, UnsupportedModelError, "0 .* activation_alpha, got 2"),
        ({"clip": 0.0}, ModelFormatError, "expected .*clip.*got 0"),
        ({"clip": -1.0}, ModelFormatError, "expected .*clip.*got -1"),
        ({"direction": "sideways"}, ModelFormatError, "direction.*got 'sideways'"),
        ({"direction": "bidirectional"}, ModelFormatError, r"expected W of the shape \(2,"),
        ({"layout": 2}, ModelFormatError, "layout.*got 2"),
        ({"hidden_size": 5}, ModelFormatError, "hidden_size.* 4, got 5"),
        ({"linear_before_reset": 1}, UnsupportedModelError, "'linear_before_reset'"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(rng, attributes, error, reason):
    with pytest.raises(error, match=r"^node 0 \(RNN 'rnn'\): .*" + reason):
        elman.from_onnx(chain(rng, [], y="h", **attributes))


@pytest.mark.parametrize("name", ["tanh", "TANH", "Relu", "rElU", "sigmoid"])
def test_names_of_activations_are_read_in_any_case(rng, name):
    net = elman.from_onnx(chain(rng, [], y="h", activations=[name]))
    assert net.activations == (name.lower(),)


def test_affine_of_1_and_0_is_the_identity(rng):
    attributes = {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}
    assert elman.from_onnx(chain(rng, [], y="h", **attributes)).activations == ("identity",)


@pytest.mark.parametrize("source", [3, None, ["a"]])
def test_a_source_of_another_kind_is_a_type_error(source):
    with pytest.raises(TypeError, match=r"^source: expected .*ModelProto, got"):
        elman.from_onnx(source)


def test_onnx_is_imported_at_first_use_and_a_missing_one_names_the_extra():
    code = """
import sys, elman
net = elman.Network(input_size=1, hidden_size=1, output_size=1, seed=0)
elman.from_onnx, elman.to_onnx
print("onnx" in sys.modules)
sys.modules["onnx"] = None
for use in (lambda: elman.from_onnx(b""), lambda: elman.to_onnx(net)):
    try:
        use()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    first, *errors = done.stdout.splitlines()
    assert first == "False", done.stderr
    assert ["elman[onnx]" in error for error in errors] == [True, True]


def sliced(rng, axis, beyond):
    """Return a model of the states (T, B, 4) up to the number of steps, plus `beyond`."""
    constants = {
        "W": rng.standard_normal((1, 4, 3)).astype(np.float32),
        "R": rng.standard_normal((1, 4, 4)).astype(np.float32),
        "beyond": np.array([beyond]),
        "axis": np.array([axis]),
        "zero": np.array([0]),
        "one": np.array([1]),
    }
    nodes = [
        helper.make_node("RNN", ["x", "W", "R"], ["hidden", "last"], hidden_size=4),
        helper.make_node("Squeeze", ["hidden", "one"], ["states"]),
        helper.make_node("Shape", ["x"], ["steps"], start=0, end=1),
        helper.make_node("Add", ["steps", "beyond"], ["end"]),
        helper.make_node("Slice", ["states", "zero", "end", "axis"], ["y"]),
    ]
    return model(nodes, [value("x", ("T", "B", 3))], [value("y", None)], constants)


@pytest.mark.parametrize("beyond", [0, 1, 3])
def test_a_slice_up_to_the_last_step_or_behind_it_has_every_step(beyond):
    net = elman.from_onnx(sliced(np.random.default_rng(0), 0, beyond))
    assert net == elman.from_onnx(sliced(np.random.default_rng(0), 0, 0))


@pytest.mark.parametrize(("axis", "beyond"), [(0, -1), (2, 0), (2, -1)])
def test_a_slice_of_as_many_steps_or_features_as_there_are_steps_is_refused(rng, axis, beyond):
    with pytest.raises(UnsupportedModelError, match=r"part of the steps|places are not constant"):
        elman.from_onnx(sliced(rng, axis, beyond))


@pytest.mark.parametrize("place", [3, 4])
def test_axes_and_steps_of_a_slice_that_are_variable_sizes_are_refused(rng, place):
    proto = sliced(rng, 0, 0)
    inputs = ["states", "zero", "one", "axis", "one"]
    inputs[place] = "end"
    proto.graph.node[-1].input[:] = inputs
    with pytest.raises(UnsupportedModelError, match="expected constant integers"):
        elman.from_onnx(proto)
