"""ONNX models with more than recurrent layers and a readout, as exporters write them."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop.onnx import read

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator

from conformance import backend  # noqa: E402
from fixtures.onnx_graphs import helper, model, value  # noqa: E402

FORMS = np.load(pathlib.Path(__file__).parent / "fixtures" / "onnx_forms.npz")
REFUSED = {
    "silu": "multiplies by a value that is not constant",
    "skip": "expected a chain of layers, linear maps and activations, got a sum",
    "packed-mlp": "more than one activation.*export the model without lengths and masks",
    "masking-zero-mlp": "more than one activation",
    "end-both-directions": "reverse layers",
    "backwards-last": "the reverse direction after step 0",
    "free-steps": "exports a free number as one step",
}
CASES = [name.removesuffix(".model") for name in FORMS.files if name.endswith(".model")]


def exported(case):
    return FORMS[f"{case}.model"].tobytes()


def arrays(case, kind):
    return [FORMS[name] for name in FORMS.files if name.startswith(f"{case}.{kind}.")]


def reason(case):
    return REFUSED.get(case.split("-", 1)[1])


@pytest.mark.parametrize("case", [case for case in CASES if reason(case) is None])
def test_a_form_gives_what_its_framework_computed(case):
    (y,) = backend.prepare(exported(case)).run(arrays(case, "input"))
    (expected,) = arrays(case, "output")
    assert y.shape == expected.shape
    tolerance = 2e-3 if case.startswith("half") else 2e-6
    np.testing.assert_allclose(y, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("case", [case for case in CASES if reason(case)])
def test_a_form_that_no_network_can_express_is_refused_with_the_reason(case):
    with pytest.raises(UnsupportedModelError, match=reason(case)):
        elman.from_onnx(exported(case))


def inner(case):
    """Return a form's name without its exporter."""
    return case.split("-", 1)[1]


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith("dynamo") and reason(c) is None])
def test_both_exporters_of_a_form_give_one_network(case):
    ours = elman.from_onnx(exported(case)).tensors()
    others = elman.from_onnx(exported(f"torchscript-{inner(case)}")).tensors()
    assert ours.keys() == others.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, others[name], rtol=1e-6, atol=1e-7)


# --- what becomes of the parts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("torchscript-two-maps", "3 -> 5 tanh -> 2 identity"),
        ("torchscript-mlp", "3 -> 5 tanh -> 4 relu -> 2 sigmoid"),
        ("dynamo-map-below", "6 -> 5 tanh -> 2 identity"),
        ("dynamo-layer-below", "6 -> 3 relu -> 5 tanh -> 5 tanh -> 2 identity"),
        ("torchscript-sum-of-halves", "3 -> 5 tanh bidirectional -> 2 identity"),
        ("dynamo-embedding", "7 -> 5 tanh -> 5 tanh -> 2 identity"),
        ("torchscript-relu6", "3 -> 5 tanh -> 2 relu(clip=6)"),
        ("keras-relu6", "3 -> 5 relu(clip=6) -> 2 relu(clip=6)"),
        ("dynamo-hardtanh", "3 -> 5 tanh -> 2 identity(clip=1)"),
        ("dynamo-softplus-beta", "3 -> 5 tanh -> 2 softplus"),
        ("torchscript-softsign", "3 -> 5 tanh -> 2 softsign"),
        ("keras-stack", "3 -> 4 tanh -> 5 tanh -> 4 relu -> 2 identity"),
        ("torchscript-outputs-of-sigmoid", "3 -> 5 tanh -> 2 sigmoid -> 2 identity"),
    ],
)
def test_parts_become_layers_only_where_they_must(case, expected):
    assert expected + "," in repr(elman.from_onnx(exported(case)))


def test_a_factor_before_a_shift_is_input_scaling():
    net = elman.from_onnx(exported("torchscript-scale-then-shift"))
    np.testing.assert_allclose(net.input_mean, [-0.5, -4, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(net.input_std, [0.5, 2, 1 / 3], rtol=1e-6)


def test_an_embedding_is_read_as_one_hot_vectors_or_as_rows(rng):
    case = "torchscript-embedding"
    ids, (expected,) = arrays(case, "input")[0], arrays(case, "output")
    hot = elman.from_onnx(exported(case))
    assert hot.input_size == 7
    np.testing.assert_allclose(hot(np.eye(7, dtype="f4")[ids]), expected, atol=2e-6)
    rows = elman.from_onnx(exported(case), embedding="rows")
    assert rows.input_size == 3
    (table,) = (
        onnx.numpy_helper.to_array(t)
        for t in onnx.load_from_string(exported(case)).graph.initializer
        if t.name == "table.weight"
    )
    np.testing.assert_allclose(rows(table[ids]), expected, atol=2e-6)
    notes = [row.note for row in read(exported(case), embedding="rows").rows]
    assert any("their rows" in note for note in notes)
    with pytest.raises(ArgumentError, match=r"^embedding: expected 'one_hot' or 'rows', got 'x'"):
        elman.from_onnx(exported(case), embedding="x")


def rows_of(case, target):
    return [row.note for row in read(exported(case)).rows if row.target == target]


def test_rows_say_how_to_get_the_steps_of_a_graph_with_lengths():
    (note,) = rows_of("torchscript-packed", "lengths")
    assert "mask=numpy.arange(T) < lengths[:, None]" in note
    assert "mask=..., outputs='last'" in rows_of("torchscript-packed-last", "y")[0]
    for case in ("torchscript-packed-end-by-index", "dynamo-end-by-gather"):
        assert "lengths=lengths, outputs='last'" in rows_of(case, "y")[0]


def test_every_call_that_a_row_names_can_be_made(rng):
    lengths, mask = np.array([4, 2]), np.arange(4) < [[4], [2]]
    calls = set()
    for case in (case for case in CASES if reason(case) is None):
        found = read(exported(case))
        x = rng.standard_normal((2, 4, found.network.input_size))
        names = {"net": found.network, "x": x, "lengths": lengths, "T": 4, "numpy": np}
        names["integers"] = np.ones((2, 4), int)
        for row in found.rows:
            for call in re.findall(r"\bnet(?:\.run)?\((?:[^()]|\([^()]*\))*\)", row.note):
                calls.add(call)
                assert eval(call.replace("...", "mask"), names | {"mask": mask}) is not None
    assert len(calls) > 5


@pytest.mark.parametrize("case", ["torchscript-packed-last", "dynamo-end-by-gather"])
def test_the_call_in_a_row_can_be_made(case, rng):
    net = elman.from_onnx(exported(case))
    call = rows_of(case, "y")[0].partition(": ")[2].replace("...", "real")
    x, lengths = rng.standard_normal((2, 5, net.input_size)), np.array([5, 3])
    names = {"net": net, "x": x, "lengths": lengths, "real": np.arange(5) < lengths[:, None]}
    want = net.run(x, lengths=lengths, outputs="last").output
    if "packed" in case:
        want = net.run(x, mask=names["real"]).output[:, -1]
    np.testing.assert_array_equal(eval(call, names), want)


def test_networks_have_what_a_graph_gives_at_steps_that_are_not_real():
    masked = {"torchscript-packed": "zero", "keras-masking": "hold", "keras-masking-zero": "zero"}
    for case, expected in masked.items():
        assert elman.from_onnx(exported(case)).masked == expected


def test_any_value_of_a_masked_graph_is_read_as_the_graph_computes_it_or_refused(rng):
    case = "keras-masking-both-directions"
    x = rng.standard_normal((5, 4, 3)).astype("f4")
    x[0] = x[1, 0] = x[2, -1] = x[3, 1:3] = 0
    refused = 0
    made = onnx.load_from_string(exported(case))
    (name,) = (i.name for i in made.graph.input)
    for node in [node for node in made.graph.node if node.op_type == "Where"][::3]:
        made.graph.output[0].CopyFrom(value(node.output[0], None))
        try:
            (y,) = backend.prepare(made).run([x])
        except UnsupportedModelError:
            refused += 1
            continue
        (expected,) = ReferenceEvaluator(made).run(None, {name: x})
        np.testing.assert_allclose(y, expected, atol=2e-6)
    # One that no network gives: zeros where a direction's last step is masked.
    made.graph.output[0].CopyFrom(value("/Where_28_output_0", None))
    with pytest.raises(UnsupportedModelError, match="zeros if that step is masked"):
        elman.from_onnx(made)
    assert refused


def test_rows_say_which_steps_a_graph_masks():
    assert rows_of("keras-masking", "mask")[0].endswith("net.run(x, mask=(x != 0).any(-1))")
    assert rows_of("keras-embedding-masked", "mask")[0].endswith("mask=integers != 0)")


def test_rows_say_that_a_graph_rounds_to_half_precision():
    notes = [
        row.note
        for row in read(exported("half-torchscript-last-by-size")).rows
        if row.source == "Cast"
    ]
    assert notes == [
        "the graph rounds values to float16, the network does not: they differ by that"
    ]


def test_a_weight_that_is_cast_to_half_precision_is_rounded(rng):
    W = rng.normal(size=(1, 4, 3)).astype("f4")
    R = rng.normal(size=(1, 4, 4)).astype("f4")
    nodes = [
        helper.make_node("Cast", ["W"], ["half"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["whole"], to=onnx.TensorProto.FLOAT),
        helper.make_node("RNN", ["x", "whole", "R"], ["Y"]),
        helper.make_node("Squeeze", ["Y", "axis"], ["y"]),
    ]
    constants = {"W": W, "R": R, "axis": np.array([1])}
    proto = model(nodes, [value("x", [None, None, 3])], [value("y", None)], constants)
    assert np.array_equal(elman.from_onnx(proto).layers[0].W_xh, W[0].astype("f2").astype("f4"))


def test_outputs_from_the_last_step_to_the_first_are_named():
    assert "the last step first" in rows_of("keras-backwards", "y")[0]


# --- masks and branches are proven ----------------------------------------------------------------


def changed(case, change):
    """Return an exported model after change(graph)."""
    proto = onnx.load_from_string(exported(case))
    change(proto.graph)
    return proto


def wheres(graph, tanh):
    """Return the choices that read the n-th new state."""
    states = [node.output[0] for node in graph.node if node.op_type == "Tanh"]
    return [node for node in graph.node if node.op_type == "Where" and states[tanh] in node.input]


def test_a_step_that_does_not_keep_the_state_is_found():
    def change(graph):
        first, second = (wheres(graph, index)[1] for index in (2, 3))
        second.input[2] = wheres(graph, 1)[0].input[2]
        assert first.op_type == "Where"

    with pytest.raises(UnsupportedModelError):
        elman.from_onnx(changed("keras-masking", change))


def test_a_mask_of_another_step_is_found():
    def change(graph):
        second, third = wheres(graph, 2)[0], wheres(graph, 3)[0]
        second.input[0], third.input[0] = third.input[0], second.input[0]

    with pytest.raises(UnsupportedModelError):
        elman.from_onnx(changed("keras-masking", change))


def test_a_layer_without_the_mask_is_found():
    def change(graph):
        for choice in wheres(graph, 2):
            for node in graph.node:
                for place, name in enumerate(node.input):
                    if name == choice.output[0]:
                        node.input[place] = choice.input[1]

    with pytest.raises(UnsupportedModelError):
        elman.from_onnx(changed("keras-masking", change))


def test_a_mask_of_integers_to_which_a_number_was_added_is_found():
    def change(graph):
        (table,) = (node for node in graph.node if node.op_type == "Where" and "Less" in str(node))
        (equal,) = (node for node in graph.node if node.op_type == "Equal")
        equal.input[0] = table.input[1]  # the integers plus the number of words

    with pytest.raises(UnsupportedModelError, match="not the mask of a layer"):
        elman.from_onnx(changed("keras-embedding-masked", change))


def test_a_branch_is_read_with_what_it_computes():
    """A size of 1 is squeezed; here the branch for it is changed to keep the axis."""

    def change(graph):
        (node,) = (node for node in graph.node if node.op_type == "If")
        for attribute in node.attribute:
            if attribute.name == "then_branch":
                attribute.g.node[-1].op_type = "Identity"
                del attribute.g.node[-1].input[1:]
        for gemm in graph.node:
            if gemm.op_type == "Gemm":
                gemm.op_type = "MatMul"
                del gemm.attribute[:], gemm.input[2:]
                graph.initializer.append(onnx.numpy_helper.from_array(M, "M"))
                gemm.input[1] = "M"

    M = np.ones((5, 2), "f4")
    case = "torchscript-last-by-squeeze"
    proto = changed(case, change)
    (x,) = arrays(case, "input")
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (y,) = backend.prepare(proto).run([x])
    assert y.shape == expected.shape == (2, 1, 2)
    np.testing.assert_allclose(y, expected, atol=2e-6)


def test_a_branch_by_a_condition_of_the_inputs_is_refused():
    def change(graph):
        (node,) = (node for node in graph.node if node.op_type == "If")
        reduced = helper.make_node("Greater", ["x", "x"], ["above"])
        graph.node.insert(0, reduced)
        node.input[0] = "above"

    with pytest.raises(UnsupportedModelError, match="not constant"):
        elman.from_onnx(changed("torchscript-last-by-squeeze", change))


# --- every order of scaling -----------------------------------------------------------------------

OPERATIONS = ("Add", "Sub", "Mul", "Div")


@pytest.mark.parametrize("where", ["front", "behind"])
@pytest.mark.parametrize("second", OPERATIONS)
@pytest.mark.parametrize("first", OPERATIONS)
@pytest.mark.parametrize("swapped", [False, True])
def test_scaling_in_any_order_is_that_of_the_graph(rng, where, first, second, swapped):
    """Swapped: the constant is the first operand, c - x; c / x is not a scaling."""
    constants = {
        "W": rng.normal(size=(1, 4, 3)),
        "R": rng.normal(size=(1, 4, 4)),
        "B": rng.normal(size=(1, 8)),
        "M": rng.normal(size=(4, 3)),
        "p": rng.uniform(0.5, 2, size=3),
        "q": rng.uniform(0.5, 2, size=3),
    }
    constants = {name: array.astype("f4") for name, array in constants.items()}
    constants["axis"] = np.array([1])

    def scaling(x, y):
        def inputs(name, constant, operation):
            return [constant, name] if swapped and operation != "Div" else [name, constant]

        return [
            helper.make_node(first, inputs(x, "p", first), ["between"]),
            helper.make_node(second, inputs("between", "q", second), [y]),
        ]

    X, H = ("X", "y") if where == "front" else ("x", "H")
    nodes = [
        *(scaling("x", "X") if where == "front" else []),
        helper.make_node("RNN", [X, "W", "R", "B"], ["Y"]),
        helper.make_node("Squeeze", ["Y", "axis"], ["h"]),
        helper.make_node("MatMul", ["h", "M"], [H]),
        *(scaling("H", "y") if where == "behind" else []),
    ]
    proto = model(nodes, [value("x", [None, None, 3])], [value("y", None)], constants)
    x = rng.normal(size=(6, 2, 3)).astype("f4")
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (y,) = backend.prepare(proto).run([x])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


# --- what is named --------------------------------------------------------------------------------


def test_arithmetic_of_numbers_without_axes_is_read(rng):
    # NumPy makes a number of -array(1), which has no axes to add
    W, R = (rng.standard_normal((1, 4, n)).astype("f4") for n in (3, 4))
    nodes = [
        helper.make_node("Neg", ["one"], ["minus"]),
        helper.make_node("Unsqueeze", ["minus", "axes"], ["last"]),
        helper.make_node("RNN", ["x", "W", "R"], ["Y", ""], hidden_size=4),
        helper.make_node("Squeeze", ["Y", "directions"], ["states"]),
        helper.make_node("Slice", ["states", "last", "end", "axes"], ["y"]),
    ]
    constants = {"one": 1, "axes": [0], "directions": [1], "end": [2**62], "W": W, "R": R}
    made = model(nodes, [value("x", (5, 2, 3))], [value("y", (1, 2, 4))], constants)
    x = rng.standard_normal((5, 2, 3)).astype("f4")
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    y = elman.from_onnx(made)(x.swapaxes(0, 1), outputs="last")
    np.testing.assert_allclose(y, expected[0], atol=1e-6)


def test_a_quantized_model_is_named(rng):
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    proto = model(nodes, [value("x", [1, 2, 3])], [value("y", None)])
    with pytest.raises(
        UnsupportedModelError, match=r"^node 0 \(DynamicQuantizeLinear\): .*quantized"
    ):
        elman.from_onnx(proto)


def test_a_model_without_an_opset_is_named():
    proto = onnx.load_from_string(exported("torchscript-mlp"))
    del proto.opset_import[:]
    with pytest.raises(ModelFormatError, match=r"^opset_import: expected the version"):
        elman.from_onnx(proto)


def test_batch_normalization_in_training_is_named(rng):
    proto = onnx.load_from_string(exported("torchscript-batch-norm"))
    (node,) = (node for node in proto.graph.node if node.op_type == "BatchNormalization")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("training_mode", 1))
    with pytest.raises(UnsupportedModelError, match="in its eval mode"):
        elman.from_onnx(proto)


def test_nodes_in_another_order_are_put_in_order():
    proto = onnx.load_from_string(exported("torchscript-mlp"))
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    assert elman.from_onnx(proto) == elman.from_onnx(exported("torchscript-mlp"))


def test_a_start_of_zeros_has_an_axis_of_sequences():
    """Another axis in front of the sequences would pair each of them with every other one."""

    def change(graph):
        (node,) = (n for n in graph.node if n.op_type == "Unsqueeze" and n.input[0] == "getitem")
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
        node.input[1] = "one"

    with pytest.raises(UnsupportedModelError, match="every other one"):
        elman.from_onnx(changed("dynamo-last-by-narrow", change))


def test_names_of_values_are_given_for_the_states_of_each_layer():
    assert read(exported("torchscript-mlp")).taps == ("/rnn/RNN_output_0", "/Relu_output_0")
    (steps, dense) = read(exported("dynamo-mlp")).taps
    assert steps == ("tanh", "tanh_1", "tanh_2", "tanh_3")
    assert dense == "relu"
