"""ONNX models that sort their sequences by length and put the outputs back, as PyTorch exports."""

from __future__ import annotations

import numpy as np
import pytest

import elman
from elman.errors import UnsupportedModelError
from fixtures.onnx_graphs import helper, model, value

pytestmark = pytest.mark.any_isa
node = helper.make_node


def arrays(rng):
    return {
        "W": rng.standard_normal((1, 4, 3)).astype(np.float32),
        "R": rng.standard_normal((1, 4, 4)).astype(np.float32) / 3,
        "B": rng.standard_normal((1, 8)).astype(np.float32),
        "zero": np.array([0]),
        "start": np.array(0),
        "one": np.array(1),
    }


SORT = [
    node("Shape", ["lengths"], ["shape"]),
    node("Gather", ["shape", "zero"], ["count"]),
    node("TopK", ["lengths", "count"], ["longest", "order"]),
    node("Cast", ["order"], ["places"], to=7),
    node("Gather", ["x", "places"], ["by_length"], axis=1),
]
RUN = [
    node("Cast", ["longest"], ["each"], to=6),
    node("RNN", ["by_length", "W", "R", "B", "each"], ["hidden", "last"], hidden_size=4),
    node("Squeeze", ["hidden", "one_axis"], ["states"]),
]
BACK = [
    node("Shape", ["places"], ["size"]),
    node("ReduceProd", ["size"], ["B_size"], keepdims=0),
    node("Range", ["start", "B_size", "one"], ["numbers"]),
    node("ConstantOfShape", ["size"], ["nothing"], value=helper.make_tensor("v", 7, [1], [0])),
    node("ScatterElements", ["nothing", "places", "numbers"], ["back"], axis=0),
    node("Gather", ["states", "back"], ["y"], axis=1),
]


def of_packed(rng, nodes, outputs=("y",), sequences="B"):
    """Return a model that reads x (T, B, 3) and the lengths (B,)."""
    inputs = [value("x", ("T", sequences, 3)), value("lengths", (sequences,), np.int64)]
    constants = arrays(rng) | {"one_axis": np.array([1])}
    return model(nodes, inputs, [value(name, None) for name in outputs], constants)


@pytest.mark.parametrize("sequences", ["B", 5])
def test_sorted_and_put_back_is_the_model_without(sequences):
    sorted_ = of_packed(np.random.default_rng(0), [*SORT, *RUN, *BACK], sequences=sequences)
    plain = [
        node("Cast", ["lengths"], ["each"], to=6),
        node("RNN", ["x", "W", "R", "B", "each"], ["hidden", "last"], hidden_size=4),
        node("Squeeze", ["hidden", "one_axis"], ["y"]),
    ]
    unsorted = elman.from_onnx(of_packed(np.random.default_rng(0), plain))
    net = elman.from_onnx(sorted_)
    assert net == unsorted
    assert net.masked == "zero"


def changed(nodes, place, **fields):
    """Return nodes with other inputs or attributes of the one that makes `place`."""
    found = []
    for one in nodes:
        if place in one.output:
            inputs = fields.pop("inputs", list(one.input))
            old = {a.name: helper.get_attribute_value(a) for a in one.attribute}
            found.append(node(one.op_type, inputs, list(one.output), **(old | fields)))
        else:
            found.append(one)
    return found


WHOLE = [*SORT, *RUN, *BACK]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([*SORT, *RUN, node("Identity", ["states"], ["y"])], "output 'y': expected the order of"),
        (changed(WHOLE, "y", inputs=["states", "places"]), "sequences that are sorted already"),
        (
            [
                *WHOLE[:-1],
                node("Gather", ["states", "back"], ["once"], axis=1),
                node("Gather", ["once", "back"], ["y"], axis=1),
            ],
            "sequences that are unsorted already",
        ),
        (changed(WHOLE, "by_length", axis=0), "the axes"),
        (changed(WHOLE, "y", axis=0), "other than the sequences"),
        (changed(WHOLE, "each", inputs=["lengths"]), "sequences in two orders"),
        (changed(WHOLE, "longest", inputs=["lengths", "zero"]), "sort all of the lengths"),
        (changed(WHOLE, "numbers", inputs=["one", "B_size", "one"]), "variable size"),
        (changed(WHOLE, "back", reduction="add"), "it computes with the lengths"),
        (
            [
                *WHOLE[:-1],
                node("Gather", ["states", "back"], ["s"], axis=1),
                node("Add", ["s", "states"], ["y"]),
            ],
            "sequences in two orders",
        ),
    ],
)
def test_what_is_not_put_back_is_refused(nodes, message):
    with pytest.raises(elman.ElmanError, match=message):
        elman.from_onnx(of_packed(np.random.default_rng(0), nodes))


@pytest.mark.parametrize("change", ["Sub", "Add"])
def test_lengths_that_are_changed_are_not_the_lengths(change):
    nodes = [
        node(change, ["lengths", "one"], ["other"]),
        node("Cast", ["other"], ["each"], to=6),
        node("RNN", ["x", "W", "R", "B", "each"], ["hidden", "last"], hidden_size=4),
        node("Squeeze", ["hidden", "one_axis"], ["y"]),
    ]
    with pytest.raises(UnsupportedModelError, match="its sequence_lens are neither an input nor"):
        elman.from_onnx(of_packed(np.random.default_rng(0), nodes))


def last_steps(*nodes):
    """Return nodes that take the outputs at `places`, pairs of a sequence and a step."""
    return [
        node("RNN", ["x", "W", "R", "B"], ["hidden", "last"], hidden_size=4),
        node("Squeeze", ["hidden", "one_axis"], ["states"]),
        node("Transpose", ["states"], ["by_sequence"], perm=[1, 0, 2]),
        node("Shape", ["lengths"], ["size"]),
        node("ReduceProd", ["size"], ["B_size"], keepdims=0),
        node("Range", ["start", "B_size", "one"], ["numbers"]),
        node("Unsqueeze", ["numbers", "one_axis"], ["rows"]),
        *nodes,
        node("GatherND", ["by_sequence", "places"], ["y"]),
    ]


def test_places_of_the_last_steps_are_those():
    nodes = last_steps(
        node("Sub", ["lengths", "one"], ["ends"]),
        node("Unsqueeze", ["ends", "one_axis"], ["steps"]),
        node("Concat", ["rows", "steps"], ["places"], axis=1),
    )
    plain = [
        node("RNN", ["x", "W", "R", "B"], ["hidden", "last"], hidden_size=4),
        node("Squeeze", ["hidden", "one_axis"], ["y"]),
    ]
    whole = elman.from_onnx(of_packed(np.random.default_rng(0), plain))
    assert elman.from_onnx(of_packed(np.random.default_rng(0), nodes)) == whole


def test_places_of_the_sequences_before_are_refused():
    """A number that is taken off pairs of places is taken off both."""
    nodes = last_steps(
        node("Unsqueeze", ["lengths", "one_axis"], ["steps"]),
        node("Concat", ["rows", "steps"], ["pairs"], axis=1),
        node("Sub", ["pairs", "one"], ["places"]),
    )
    with pytest.raises(UnsupportedModelError, match="it computes with the lengths"):
        elman.from_onnx(of_packed(np.random.default_rng(0), nodes))
