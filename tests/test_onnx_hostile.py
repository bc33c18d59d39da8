"""Damaged and hostile ONNX models: refused with one sentence, without side effects."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import sys

import numpy as np
import pytest

import elman
from elman.errors import DTypeError, ElmanError, LimitError, ModelFormatError, UnsupportedModelError

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa

from fixtures.guarded import SANITIZED, read_guarded  # noqa: E402
from fixtures.onnx_graphs import helper, model, rnn, value  # noqa: E402

ARRAYS = {
    "X": np.zeros((4, 1, 2), "f4"),
    "W": np.arange(6, dtype="f4").reshape(1, 3, 2) / 8,
    "R": np.eye(3, dtype="f4")[None] / 2,
    "B": np.arange(6, dtype="f4")[None] / 4,
}


@pytest.fixture
def proto():
    return rnn(ARRAYS, outputs=("Y",))


def external(proto, name="W", **entries):
    """Move an initializer out of the model, and return its bytes."""
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, text in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(text)
    return data


def saved(proto, folder):
    """Write a model and return its path."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


# --- data in other files --------------------------------------------------------------------------


def test_external_data_are_refused_unless_they_are_asked_for(proto, tmp_path):
    data = external(proto, location="model.onnx.data")
    (tmp_path / "model.onnx.data").write_bytes(data)
    path = saved(proto, tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"tensor 'W': .*external_data=True"):
        elman.from_onnx(path)
    net = elman.from_onnx(path, external_data=True)
    assert np.array_equal(net.layers[0].W_xh, ARRAYS["W"][0])
    with pytest.raises(UnsupportedModelError, match=r"^tensor 'W': .*path"):
        elman.from_onnx(proto, external_data=True)


def test_several_tensors_of_one_external_file_are_read(proto, tmp_path):
    W = external(proto, "W", location="weights", offset=0, length=24)
    R = external(proto, "R", location="weights", offset=24, length=36)
    (tmp_path / "weights").write_bytes(W + R)
    net = elman.from_onnx(saved(proto, tmp_path), external_data=True)
    assert np.array_equal(net.layers[0].W_hh, ARRAYS["R"][0])


@pytest.mark.parametrize(
    "location",
    ["../w", "/etc/hostname", "sub/w", "sub\\w", "..", ".", "", "C:w", "w\0", "file://w"],
)
def test_external_data_outside_the_folder_are_refused(proto, tmp_path, location):
    (tmp_path / "w").write_bytes(external(proto, location=location))
    with pytest.raises(UnsupportedModelError, match=r"tensor 'W': expected .*folder, got '"):
        elman.from_onnx(saved(proto, tmp_path), external_data=True)


@pytest.mark.parametrize("kind", ["symbolic", "hard", "folder", "fifo"])
def test_external_data_behind_a_link_or_in_no_regular_file_are_refused(proto, tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    data = external(proto, location="w")
    (tmp_path / "secret").write_bytes(data)
    if kind == "symbolic":
        (folder / "w").symlink_to(tmp_path / "secret")
    elif kind == "hard":
        (folder / "w").hardlink_to(tmp_path / "secret")
    elif kind == "folder":
        (folder / "w").mkdir()
    else:
        os.mkfifo(folder / "w")
    with pytest.raises(UnsupportedModelError, match=r"tensor 'W': expected .*a regular file"):
        elman.from_onnx(saved(proto, folder), external_data=True)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"offset": 4}, r"tensor 'W': expected 24 bytes at 4 "),
        ({"offset": -1}, r"tensor 'W': expected .* offset, got '-1'"),
        ({"offset": 10**30}, r"tensor 'W': expected .* offset, got '1000"),
        ({"length": 23}, r"tensor 'W': expected 24 bytes .*got 23"),
        ({"length": 10**15}, r"tensor 'W': expected 24 bytes .*got 1000"),
        ({"basepath": "/"}, "tensor 'W': .*keys"),
        ({"__class__": "x"}, "tensor 'W': .*keys"),
    ],
)
def test_external_data_that_do_not_fit_are_refused(proto, tmp_path, entries, reason):
    (tmp_path / "w").write_bytes(external(proto, location="w", **entries))
    with pytest.raises(ModelFormatError, match=reason):
        elman.from_onnx(saved(proto, tmp_path), external_data=True)


@pytest.mark.parametrize(
    ("field", "error", "reason"),
    [
        ({"data_type": 77}, DTypeError, "tensor 'W': expected .*got 77"),
        ({"data_type": 8}, DTypeError, "tensor 'W': expected .*got STRING"),
        ({"dims": [1, -3, 2]}, ModelFormatError, "tensor 'W': .*negative"),
    ],
)
def test_external_data_of_another_kind_are_not_read(proto, tmp_path, field, error, reason):
    (tmp_path / "w").write_bytes(external(proto, location="w"))
    tensor = next(t for t in proto.graph.initializer if t.name == "W")
    tensor.MergeFrom(onnx.TensorProto(**field))
    if "dims" in field:
        del tensor.dims[:3]
    with pytest.raises(error, match=f"^{reason}"):
        elman.from_onnx(saved(proto, tmp_path), external_data=True)


def test_external_data_that_tensors_share_are_refused(proto, tmp_path):
    """Otherwise a small file could be the data of many large tensors."""
    W = external(proto, "W", location="w")
    external(proto, "R", location="w", length=36)
    (tmp_path / "w").write_bytes(W + bytes(24))
    with pytest.raises(ModelFormatError, match=r"tensor 'R': expected 36 bytes at 0 .*48, 24 "):
        elman.from_onnx(saved(proto, tmp_path), external_data=True)


def test_missing_external_data_are_the_systems_error(proto, tmp_path):
    external(proto, location="w")
    with pytest.raises(FileNotFoundError):
        elman.from_onnx(saved(proto, tmp_path), external_data=True)


# --- unsupported parts of graphs ------------------------------------------------------------------


def with_node(operator, *, domain="", **attributes):
    """Return a model with one more node after an RNN."""
    nodes = [
        helper.make_node("RNN", ["X", "W", "R", "B"], ["Y"]),
        helper.make_node(operator, ["Y"], ["Z"], name="evil", domain=domain, **attributes),
    ]
    constants = {name: ARRAYS[name] for name in "WRB"}
    proto = model(nodes, [value("X", (4, 1, 2))], [value("Z", None)], constants)
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    return proto


BODY = helper.make_graph([], "body", [], [value("q", ())])


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (with_node("PyOp", domain="com.example"), r"node 1 \(PyOp 'evil'\): .*'com.example'"),
        (with_node("Loop", body=BODY), r"node 1 \(Loop 'evil'\): .*graphs"),
        (with_node("Scan", body=BODY, num_scan_inputs=1), r"node 1 \(Scan 'evil'\): .*graphs"),
        (with_node("If", then_branch=BODY, else_branch=BODY), r"node 1 \(If 'evil'\): .*graphs"),
        (with_node("Frobnicate"), r"node 1 \(Frobnicate 'evil'\): .*standard"),
        (with_node(""), r"node 1 \(no operator 'evil'\): .*standard"),
        (with_node("LSTM", hidden_size=3), r"node 1 \(LSTM 'evil'\): .*gates"),
        (with_node("GRU", hidden_size=3), r"node 1 \(GRU 'evil'\): .*gates"),
        (with_node("SequenceConstruct"), r"node 1 \(SequenceConstruct 'evil'\): "),
    ],
)
def test_nodes_that_are_not_read_are_named_with_the_reason(proto, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        elman.from_onnx(proto)


def test_functions_of_the_model_are_refused_even_under_a_standard_name(proto):
    function = helper.make_function(
        "", "RNN", ["X", "W", "R", "B"], ["Y"], [helper.make_node("Identity", ["X"], ["Y"])], []
    )
    proto.functions.append(function)
    with pytest.raises(UnsupportedModelError, match=r"functions.*'RNN'"):
        elman.from_onnx(proto)


def test_sparse_initializers_are_refused(proto):
    proto.graph.sparse_initializer.add()
    with pytest.raises(UnsupportedModelError, match="sparse"):
        elman.from_onnx(proto)


@pytest.mark.parametrize("version", [10**6, 2**62])
def test_a_newer_opset_is_refused(proto, version):
    proto.opset_import[0].version = version
    with pytest.raises(UnsupportedModelError, match=rf"expected opset \d+ .*got {version}"):
        elman.from_onnx(proto)


@pytest.mark.parametrize("versions", [[], [0], [-1], [22, 14]])
def test_an_opset_that_is_not_one_number_is_refused(proto, versions):
    proto.ClearField("opset_import")
    proto.opset_import.extend(helper.make_opsetid("", version) for version in versions)
    with pytest.raises(
        ModelFormatError, match=rf"expected .*version.*, got {re.escape(str(versions))}"
    ):
        elman.from_onnx(proto)


def test_attributes_of_another_type_are_refused():
    proto = with_node("Transpose", perm="0123")
    with pytest.raises(ModelFormatError, match=r"node 1 \(Transpose 'evil'\): .*'perm'"):
        elman.from_onnx(proto)
    proto.graph.node[0].attribute.add(name="clip", type=0)
    with pytest.raises(ModelFormatError, match=r"node 0 \(RNN\): .*'clip'"):
        elman.from_onnx(proto)


def test_attributes_that_are_sparse_or_refer_to_a_function_are_refused():
    proto = with_node("Transpose")
    attribute = proto.graph.node[1].attribute.add(
        name="perm", type=onnx.AttributeProto.SPARSE_TENSOR
    )
    with pytest.raises(ModelFormatError, match=r"node 1 \(Transpose 'evil'\): .*'perm' .*type"):
        elman.from_onnx(proto)
    attribute.type, attribute.ref_attr_name = onnx.AttributeProto.INTS, "order"
    with pytest.raises(ModelFormatError, match=r"node 1 \(Transpose 'evil'\): .*function"):
        elman.from_onnx(proto)
    proto = with_node("Add")
    constant = helper.make_node("Constant", [], ["sparse"], name="few")
    constant.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    proto.graph.node.insert(0, constant)
    proto.graph.node[2].input.append("sparse")
    with pytest.raises(UnsupportedModelError, match=r"node 0 \(Constant 'few'\): .*another kind"):
        elman.from_onnx(proto)


# --- invalid tensors and graphs -------------------------------------------------------------------


def changed(name, array):
    return rnn(ARRAYS | {name: array}, outputs=("Y",))


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (changed("W", np.zeros((1, 3, 5), "f4")), r"node 0 \(RNN 'rnn'\): expected 5 .*got 2"),
        (
            changed("W", np.zeros((3, 2), "f4")),
            r"W of the shape \(1, hidden, input\), got \(3, 2\)",
        ),
        (changed("W", np.zeros((2, 3, 2), "f4")), r"W of the shape \(1, hidden, input\)"),
        (changed("R", np.zeros((1, 3, 2), "f4")), r"R of the shape \(1, 3, 3\), got \(1, 3, 2\)"),
        (changed("B", np.zeros((1, 3), "f4")), r"B of the shape \(1, 6\), got \(1, 3\)"),
        (changed("W", np.full((1, 3, 2), np.nan, "f4")), "W_xh: expected .*finite.*got nan"),
        (changed("R", np.full((1, 3, 3), np.inf, "f4")), "W_hh: expected .*finite.*got inf"),
    ],
)
def test_weights_that_do_not_fit_are_refused(proto, reason):
    with pytest.raises(ModelFormatError, match=reason):
        elman.from_onnx(proto)


def test_weights_of_another_kind_are_refused():
    words = rnn(ARRAYS, outputs=("Y",))
    words.graph.initializer[0].data_type = onnx.TensorProto.STRING
    with pytest.raises(DTypeError, match=r"tensor 'W': expected .*got STRING"):
        elman.from_onnx(words)
    with pytest.raises(DTypeError, match=r"tensor 'W': .* got COMPLEX64"):
        elman.from_onnx(changed("W", np.zeros((1, 3, 2), "c8")))
    with pytest.raises(ModelFormatError, match=r"node 0 \(RNN 'rnn'\): expected weights"):
        elman.from_onnx(changed("W", np.zeros((1, 3, 2), "i4")))


@pytest.mark.parametrize("dims", [[1, 3, 3], [2**62, 2**62], [-1, 6], [0, 2**40], [1] * 100_000])
def test_shapes_that_do_not_fit_their_data_are_refused(proto, dims):
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelFormatError, match="tensor 'W': "):
        elman.from_onnx(proto)


def test_graphs_that_are_no_graphs_are_refused(proto):
    twice = onnx.ModelProto()
    twice.CopyFrom(proto)
    twice.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(ModelFormatError, match=r"initializer 'W'.*twice"):
        elman.from_onnx(twice)
    loop = with_node("Identity")
    loop.graph.node[0].input[0] = "Z"
    with pytest.raises(ModelFormatError, match=r"node 0 \(RNN\): .*'Z'"):
        elman.from_onnx(loop)
    again = with_node("Identity")
    again.graph.node[1].output[0] = "Y"
    with pytest.raises(ModelFormatError, match=r"node 1 \(Identity 'evil'\): 'Y'.*twice"):
        elman.from_onnx(again)
    missing = with_node("Identity")
    missing.graph.output[0].name = "Q"
    with pytest.raises(ModelFormatError, match=r"output 'Q'"):
        elman.from_onnx(missing)
    empty = onnx.ModelProto(ir_version=8, opset_import=proto.opset_import)
    empty.graph.name = "nothing"
    with pytest.raises(ModelFormatError, match="expected a graph"):
        elman.from_onnx(empty)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"PK\x03\x04 a zip", b"\x80\x02 a pickle", b"\x08\x08", os.urandom(512)]
)
def test_other_bytes_are_no_model(data):
    with pytest.raises(ModelFormatError):
        elman.from_onnx(data)


@pytest.mark.parametrize("name", [b"RNN", b"rnn", b"Y"])
def test_names_that_are_no_utf_8_are_refused(proto, name):
    data = proto.SerializeToString().replace(name, b"\xff" * len(name))
    with pytest.raises(ModelFormatError, match=r"expected .*UTF-8, got b'\\xff"):
        elman.from_onnx(data)


@pytest.mark.parametrize("name", [b"Squeeze", b"left", b"inner", b"axes"])
def test_names_in_branches_that_are_no_utf_8_are_refused(name):
    nodes = [helper.make_node("Squeeze", ["Y", "axes"], ["left"], name="inner")]
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    body = helper.make_graph(nodes, "body", [], [value("left", None)], [axes])
    proto = with_node("If", then_branch=body, else_branch=body)
    data = proto.SerializeToString().replace(name, b"\xff" * len(name))
    with pytest.raises(ModelFormatError, match=r"expected .*UTF-8, got b'\\xff"):
        elman.from_onnx(data)


def test_a_model_cut_anywhere_is_refused_or_whole(proto):
    data = proto.SerializeToString()
    for length in range(len(data)):
        try:
            elman.from_onnx(data[:length])
        except ElmanError:
            continue
        # Only fields after the graph may be missing, and the opset is one of them.
        pytest.fail(f"{length} of {len(data)} bytes were read as a model")


def test_any_flipped_bit_gives_a_network_or_an_error_of_ours(proto):
    data = bytearray(proto.SerializeToString())
    read = 0
    for place in range(len(data)):
        bit = 1 << (place * 5 % 8)
        data[place] ^= bit
        try:
            elman.from_onnx(bytes(data))
            read += 1
        except ElmanError:
            pass
        data[place] ^= bit
    assert 0 < read < len(data)


@pytest.mark.slow
def test_all_flipped_bits_give_a_network_or_an_error_of_ours():
    exports = np.load(pathlib.Path(__file__).parent / "fixtures" / "onnx_exports.npz")
    for case in ("dynamo-relu-2-layers", "torchscript-relu-2-layers"):
        data = bytearray(exports[f"{case}.model"].tobytes())
        for place in range(8 * len(data)):
            data[place // 8] ^= 1 << place % 8
            with contextlib.suppress(ElmanError):
                elman.from_onnx(bytes(data))
            data[place // 8] ^= 1 << place % 8


# --- small models of huge tensors -----------------------------------------------------------------


def doubling(operator, count=60, **attributes):
    """Return a model that doubles its hidden states again and again."""
    nodes = [helper.make_node("RNN", ["X", "W", "R", "B"], ["0"])]
    nodes += [
        helper.make_node(operator, [str(i), str(i)], [str(i + 1)], **attributes)
        for i in range(count)
    ]
    constants = {name: ARRAYS[name] for name in "WRB"}
    return model(nodes, [value("X", (4, 1, 2))], [value(str(count), None)], constants)


def constants(*nodes, **arrays):
    """Return a model that adds a computed constant to its states."""
    rest = [
        helper.make_node("RNN", ["X", "W", "R", "B"], ["Y"]),
        helper.make_node("Add", ["Y", "big"], ["Z"]),
    ]
    arrays = {name: ARRAYS[name] for name in "WRB"} | arrays
    return model([*nodes, *rest], [value("X", (4, 1, 2))], [value("Z", None)], arrays)


def unrolled_doubling(axis):
    nodes = [
        helper.make_node("Concat", [str(i), str(i)], [str(i + 1)], axis=axis) for i in range(40)
    ]
    nodes += [helper.make_node("MatMul", ["40", "M"], ["Z"])]
    M = {"M": np.ones((2, 2), "f4")}
    return model(nodes, [value("0", (4, 1, 2))], [value("Z", None)], M)


def many_layers():
    nodes, last = [], "X"
    for i in range(300):
        nodes.append(helper.make_node("Tanh", [last], [f"a{i}"]))
        last = f"a{i}"
    nodes += [helper.make_node("RNN", [last, "W", "R", "B"], ["Z"])]
    arrays = {name: ARRAYS[name] for name in "WRB"}
    return model(nodes, [value("X", (4, 1, 2))], [value("Z", None)], arrays)


def sum_of_two_ways(count=60):
    """Return a model with 2**60 paths."""
    M = np.eye(3, dtype="f4")
    nodes = [
        helper.make_node("RNN", ["X", "W", "R", "B"], ["Y"]),
        helper.make_node("Squeeze", ["Y", "one"], ["0"]),
    ]
    for i in range(count):
        nodes += [
            helper.make_node("MatMul", [str(i), "M"], [f"a{i}"]),
            helper.make_node("MatMul", [str(i), "N"], [f"b{i}"]),
            helper.make_node("Add", [f"a{i}", f"b{i}"], [str(i + 1)]),
        ]
    arrays = {name: ARRAYS[name] for name in "WRB"} | {"M": M, "N": 2 * M, "one": np.array([1])}
    return model(nodes, [value("X", (4, 1, 2))], [value(str(count), None)], arrays)


BOMBS = {
    "concat of directions": lambda: doubling("Concat", axis=1),
    "concat of features": lambda: doubling("Concat", axis=3),
    "sums": lambda: doubling("Add"),
    "concat of steps": lambda: unrolled_doubling(0),
    "concat of sequences": lambda: unrolled_doubling(1),
    "ways": sum_of_two_ways,
    "nesting": many_layers,
    "a constant of a shape": lambda: constants(
        helper.make_node("ConstantOfShape", ["shape"], ["big"]), shape=np.array([2**20, 2**20])
    ),
    "an expanded constant": lambda: constants(
        helper.make_node("Expand", ["one", "shape"], ["big"]),
        one=np.ones(1, "f4"),
        shape=np.array([2**15, 2**15, 2**15]),
    ),
    "a product of constants": lambda: constants(
        helper.make_node("Mul", ["row", "column"], ["big"]),
        row=np.ones((1, 2**15), "f4"),
        column=np.ones((2**15, 1), "f4"),
    ),
    "gathered constants": lambda: constants(
        helper.make_node("Gather", ["row", "indices"], ["big"]),
        row=np.ones((1, 2**15), "f4"),
        indices=np.zeros(2**15, int),
    ),
    "steps": lambda: model(
        [helper.make_node("MatMul", ["X", "M"], ["Z"])],
        [value("X", (2**40, 1, 2))],
        [value("Z", None)],
        {"M": np.ones((2, 2), "f4")},
    ),
    "rows of a state": lambda: model(
        [helper.make_node("RNN", ["X", "W", "R", "B", "", "h"], ["Z"])],
        [value("X", (4, 1, 2)), value("h", (2**40, 1, 3))],
        [value("Z", None)],
        {name: ARRAYS[name] for name in "WRB"},
    ),
}


def weights_outside(location):
    proto = rnn(ARRAYS, outputs=("Y",))
    external(proto, location=location)
    return proto


WATCHED = BOMBS | {
    "a model": lambda: rnn(ARRAYS, outputs=("Y",)),
    "weights beside it": lambda: weights_outside("w"),
    "weights elsewhere": lambda: weights_outside("/etc/hostname"),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The effects of reading each model, in a separate process that has already read one."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "w").write_bytes(ARRAYS["W"].tobytes())
    paths = {name: folder / f"{index}.onnx" for index, name in enumerate(WATCHED)}
    for name, path in paths.items():
        path.write_bytes(WATCHED[name]().SerializeToString())
    read = "elman.from_onnx(path)"
    results = read_guarded(paths.values(), f"path = {str(paths['a model'])!r}\n{read}", read)
    return {name: results[str(path)] for name, path in paths.items()}


@pytest.mark.parametrize("name", WATCHED)
def test_reading_a_model_opens_no_other_file_and_runs_nothing(name, watched):
    seen = watched[name]
    kind = seen["error"].partition(":")[0]
    if name in BOMBS:
        assert kind in ("LimitError", "UnsupportedModelError", "ModelFormatError"), seen["error"]
    else:
        assert kind == ("none" if name == "a model" else "UnsupportedModelError"), seen["error"]
    assert seen["events"] == []
    assert SANITIZED or seen["grown_kib"] < 64 * 1024


def in_field(number, payload):
    """Return a message of one field: its tag, its length in seven-bit groups, its bytes."""
    length, groups = len(payload), []
    while length > 127:
        groups.append(length % 128 + 128)
        length //= 128
    return bytes([number * 8 + 2, *groups, length]) + payload


@pytest.mark.parametrize("depth", [5, 50, 5000])
def test_graphs_nested_without_end_are_refused(depth):
    graph = in_field(2, b"innermost")
    for _ in range(depth):
        attribute = in_field(1, b"body") + in_field(6, graph) + b"\xa0\x01\x05"  # of type GRAPH
        node = in_field(2, b"Y") + in_field(4, b"If") + in_field(5, attribute)
        graph = (
            in_field(1, node) + in_field(11, in_field(1, b"X")) + in_field(12, in_field(1, b"Y"))
        )
    data = b"\x08\x08" + in_field(7, graph) + in_field(8, b"\x10\x11")
    expected = r"node 0 \(If\): .*graphs" if depth == 5 else "expected an ONNX model"
    with pytest.raises(ElmanError, match=expected):
        elman.from_onnx(data)


@pytest.mark.skipif(sys.platform != "linux", reason="makes a file with a hole")
def test_a_file_beyond_all_limits_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    with pytest.raises(LimitError, match=r"model\.onnx: expected .* \d+ bytes, got 2147483648"):
        elman.from_onnx(path)


def test_a_path_that_is_no_regular_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        elman.from_onnx(tmp_path / "model.onnx")
    with pytest.raises(IsADirectoryError):
        elman.from_onnx(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError, match=r"fifo: expected a regular file"):
        elman.from_onnx(tmp_path / "fifo")


def test_errors_begin_with_the_name_of_the_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelFormatError, match=r"model\.onnx: expected an ONNX model"):
        elman.from_onnx(tmp_path / "model.onnx")
