"""Table: its fields, where it is kept, and data frames read by it."""

from __future__ import annotations

import copy
import json
import pickle
import sys

import numpy as np
import pytest

import elman
from elman import _container
from elman.errors import ArgumentError, DTypeError, LimitError, ModelFormatError, ShapeError
from fixtures.frames import Frame

pytestmark = pytest.mark.any_isa

FULL = {
    "inputs": ["wind", "größe"],
    "targets": ["way"],
    "sequence": "id",
    "classes": ["falls", "rises", ""],
    "horizon": (3,),
    "outputs": "last",
    "time": "when",
    "calendar": (),
}


@pytest.fixture
def table():
    return elman.Table(**FULL)


@pytest.fixture
def net(table):
    return elman.Network(2, 4, 3, output_activation="softmax", seed=0, table=table)


# --- the class ------------------------------------------------------------------------------------


def test_a_table_has_its_arguments_as_attributes(table):
    assert table.inputs == ("wind", "größe")
    assert table.targets == ("way",)
    assert table.classes == ("falls", "rises", "")
    assert (table.sequence, table.horizon, table.outputs) == ("id", (3,), "last")
    empty = elman.Table()
    assert (empty.inputs, empty.targets, empty.classes) == ((), (), ())
    assert (empty.sequence, empty.horizon, empty.outputs) == (None, (), "all")
    assert repr(empty) == "Table()"
    assert (
        repr(elman.Table(inputs=iter("ab"), horizon=2)) == "Table(inputs=('a', 'b'), horizon=(2,))"
    )


def test_the_repr_of_a_table_evaluates_to_an_equal_table(table):
    assert eval(repr(table), {"Table": elman.Table}) == table


def test_names_and_numbers_become_plain_python_objects():
    table = elman.Table(inputs=np.array(["a", "b"]), horizon=np.int8(2), outputs=np.str_("last"))
    assert [type(name) for name in table.inputs] == [str, str]
    assert (type(table.horizon[0]), type(table.outputs)) == (int, str)


@pytest.mark.parametrize("field", FULL)
def test_tables_are_equal_where_every_field_is(table, field):
    other = {"inputs": ["a", "b"], "classes": ["a", "b", "c"], "targets": ["to"]}
    other |= {"sequence": None, "horizon": 4, "outputs": "all", "time": None, "calendar": ["hour"]}
    different = elman.Table(**FULL | {field: other[field]})
    same = elman.Table(**FULL)
    assert table == same
    assert hash(table) == hash(same)
    assert table != different
    assert table != FULL
    assert len({table, same, different}) == 2


def test_a_table_never_changes(table):
    for change in (
        lambda: setattr(table, "horizon", 1),
        lambda: setattr(table, "other", 1),
        lambda: delattr(table, "inputs"),
    ):
        with pytest.raises(AttributeError, match=r"Table\.\w+ "):
            change()
    names = ["a", "b"]
    copied = elman.Table(inputs=names)
    names.append("c")
    assert copied.inputs == ("a", "b")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"inputs": "ab"}, TypeError, "inputs: expected .*, got str"),
        ({"targets": b"ab"}, TypeError, "targets: expected .*, got bytes"),
        ({"classes": 3}, TypeError, "classes: expected .*, got int"),
        ({"inputs": None}, TypeError, "inputs: expected .*, got NoneType"),
        ({"inputs": ["a", 1]}, TypeError, "inputs: expected .*, got int"),
        ({"inputs": ["a", ""]}, ArgumentError, "inputs: expected "),
        ({"inputs": list("aba")}, ArgumentError, "inputs: expected .*, got 'a' twice"),
        ({"targets": ["a", "a"]}, ArgumentError, "targets: expected .*, got 'a'"),
        ({"classes": ["", ""]}, ArgumentError, "classes: expected .*, got '' twice"),
        ({"classes": ["\ud8ff"]}, ArgumentError, r"classes: expected .*, got '\\ud8ff'"),
        ({"sequence": ""}, ArgumentError, "sequence: expected "),
        ({"sequence": 1}, TypeError, "sequence: expected .*, got int"),
        (
            {"inputs": ["a"], "sequence": "a"},
            ArgumentError,
            "sequence: expected .*, got 'a'",
        ),
        (
            {"targets": ["a"], "sequence": "a"},
            ArgumentError,
            "sequence: expected .*, got 'a'",
        ),
        (
            {"targets": ["a", "b"], "classes": ["c"]},
            ArgumentError,
            "targets: expected .*, got 2",
        ),
        ({"horizon": -1}, ArgumentError, "horizon: expected .*, got -1"),
        ({"horizon": 2**63}, ArgumentError, "horizon: expected "),
        ({"horizon": 1 << 20000}, ArgumentError, "horizon: .* 20001 "),
        ({"horizon": 1.0}, TypeError, "horizon: expected .*, got float"),
        ({"horizon": "12"}, TypeError, "horizon: expected .*, got str"),
        ({"horizon": [2, 1]}, ArgumentError, r"horizon: expected increasing .*, got \[2, 1\]"),
        ({"horizon": [0, 1]}, ArgumentError, r"horizon: expected increasing .*, got \[0, 1\]"),
        (
            {"horizon": [1, 2], "targets": ["a"], "classes": ["b", "c"]},
            ArgumentError,
            "horizon: expected one number .*, got 2",
        ),
        ({"time": ""}, ArgumentError, "time: expected "),
        ({"time": "a", "inputs": ["a"]}, ArgumentError, "time: expected .*, got 'a'"),
        ({"time": "a", "sequence": "a"}, ArgumentError, "time: expected .*, got 'a'"),
        ({"calendar": ["hour"]}, ArgumentError, "time: expected .*, got None"),
        ({"calendar": ["day"], "time": "a"}, ArgumentError, "calendar: expected .*, got 'day'"),
        ({"calendar": "hour", "time": "a"}, TypeError, "calendar: expected .*, got str"),
        ({"outputs": "some"}, ArgumentError, "outputs: expected .*, got 'some'"),
        ({"outputs": None}, TypeError, "outputs: expected .*, got NoneType"),
    ],
)
def test_invalid_arguments_are_one_sentence(fields, error, message):
    with pytest.raises(error, match=f"^{message}") as caught:
        elman.Table(**fields)
    assert "\n" not in str(caught.value)
    assert error is TypeError or isinstance(caught.value, elman.ElmanError)


def test_inputs_and_outputs_have_names():
    table = elman.Table(
        inputs=["load"], targets=["load", "sun"], horizon=range(1, 3), time="t", calendar=["hour"]
    )
    assert table.horizon == (1, 2)
    assert table.input_names == ("load", "hour_sin", "hour_cos")
    assert table.output_names == ("load+1", "sun+1", "load+2", "sun+2")
    assert elman.Table(targets=["load", "sun"], horizon=1).output_names == ("load", "sun")
    assert elman.Table(targets=["a"], classes=["no", "yes"]).output_names == ("no", "yes")
    assert elman.Network(3, 4, 4, seed=0, table=table).table is table


def test_arguments_go_by_name():
    with pytest.raises(TypeError):
        elman.Table(["a"])


# --- JSON -----------------------------------------------------------------------------------------


def test_json_has_a_key_for_every_field_and_reads_back(table):
    assert json.loads(table.to_json()) == FULL | {"horizon": [3], "calendar": []}
    for each in (table, elman.Table(), elman.Table(inputs=["\u2028\n\0"])):
        assert elman.Table.from_json(each.to_json()) == each


def changed(**fields):
    return json.dumps(FULL | fields)


HOSTILE = {
    "no JSON": ("{", "table: expected JSON"),
    "a list": ("[]", r"table: expected .*, got \[\]"),
    "deep": ("[" * 100_000, "table: .*JSON.* nested"),
    "deep inside": (
        '{"inputs":' + "[" * 100_000,
        "table: .*JSON.* nested",
    ),
    "deep for some versions of Python": (
        '{"inputs":' + "[" * 150 + "]" * 150 + "}",
        "table: .*JSON.* nested",
    ),
    "a key twice": ('{"inputs":[],"inputs":[]}', ".*'inputs' .*twice"),
    "a key too many": (changed(units="V"), "table: .*'units'"),
    "a key too few": (json.dumps({"inputs": []}), "table: .*'targets'"),
    "not a number": (changed(horizon=[float("nan")]), ".*NaN"),
    "inputs an object": (changed(inputs={"a": 1}), "table: inputs: expected .*, got {'a': 1}"),
    "inputs a text": (changed(inputs="ab"), "table: inputs: expected .*, got 'ab'"),
    "inputs null": (changed(inputs=None), "table: inputs: expected .*, got None"),
    "a name that is none": (changed(inputs=["a", 1]), "table: inputs: expected .*, got int"),
    "a name that is a list": (changed(inputs=[["a"]]), "table: inputs: expected .*, got list"),
    "a name twice": (changed(inputs=["a", "a"]), "table: inputs: expected "),
    "half a character": (changed(inputs=["\ud8ff", "a"]), "table: inputs: expected "),
    "half a sequence": (changed(sequence="\ud8ff"), r".*'\\ud8ff'"),
    "sequence a list": (changed(sequence=["id"]), "table: sequence: expected .*, got list"),
    "horizon true": (changed(horizon=[True]), "table: horizon: expected .*, got True"),
    "horizon a float": (changed(horizon=[1.0]), "table: horizon: expected .*, got 1.0"),
    "horizon huge": (changed(horizon=[10**100]), "table: horizon: expected "),
    "horizon too long": (
        changed().replace("[3]", "[" + "9" * 5000 + "]"),
        "table: expected JSON: ",
    ),
    "outputs unknown": (changed(outputs="some"), "table: outputs: expected "),
    "outputs null": (changed(outputs=None), "table: outputs: expected .*, got Non"),
    "a long name twice": (changed(inputs=["x" * 10**5] * 2), "table: inputs: expected "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_json_that_is_no_table_is_refused_by_name(name):
    text, message = HOSTILE[name]
    with pytest.raises(ModelFormatError, match=f"^{message}") as caught:
        elman.Table.from_json(text)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_json_that_is_longer_than_a_file_may_hold_is_refused_before_it_is_parsed():
    with pytest.raises(LimitError, match=r"^table: expected .*, got 262145"):
        elman.Table.from_json("[" * (_container.MAX_HEADER_BYTES + 1))
    with pytest.raises(TypeError, match=r"^table: expected .*, got bytes"):
        elman.Table.from_json(b"{}")


# --- the table of a network -----------------------------------------------------------------------


def test_a_network_has_the_table_it_was_given(net, table):
    assert net.table is table
    assert elman.Network(2, 4, 3, seed=0).table is None
    assert elman.Network(2, 4, 3, seed=0, table=elman.Table()).table is None
    with pytest.raises(AttributeError):
        net.table = None


def test_a_table_does_not_make_networks_different(net):
    plain = net.replace(table=elman.Table())
    assert plain.table is None
    assert plain == net
    assert hash(plain) == hash(net)
    x = np.ones((5, 2))
    np.testing.assert_array_equal(plain(x), net(x))


def test_every_way_to_make_a_network_takes_a_table(net, table):
    layers = [(layer.W_xh, layer.W_hh, layer.b_h) for layer in net.layers]
    readout = (net.readout.W_hy, net.readout.b_y)
    assert elman.Network.from_weights(layers, readout, table=table).table is table
    assert elman.Network.from_tensors(net.tensors(), table=table).table is table
    assert net.replace(table=elman.Table(horizon=1)).table == elman.Table(horizon=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": ["a"]}, "expected 2 inputs, one for each input of the network, got 1"),
        ({"targets": ["a"]}, "expected 3 targets, one for each output of the network, got 1"),
        ({"classes": ["a"]}, "expected 3 classes, one for each output of the network, got 1"),
        (
            {"targets": ["a"], "horizon": [1, 2]},
            "expected 3 targets x 2 steps, one for each output of the network, got 2",
        ),
        (
            {"inputs": ["a"], "time": "t", "calendar": ["hour"]},
            "expected 2 inputs, one for each input of the network, got 3",
        ),
    ],
)
def test_a_table_of_other_sizes_is_refused(net, fields, message):
    with pytest.raises(ArgumentError, match=f"^table: {message}"):
        net.replace(table=elman.Table(**fields))
    with pytest.raises(ArgumentError, match=f"^table: {message}"):
        elman.Network(2, 4, 3, seed=0, table=elman.Table(**fields))


def test_a_table_of_another_type_is_refused(net):
    for other in ({"inputs": ["a", "b"]}, ["a", "b"], np.ones(2)):
        with pytest.raises(TypeError, match=r"^table: expected "):
            net.replace(table=other)


def test_without_a_readout_the_outputs_are_those_of_the_top_layer():
    table = elman.Table(targets=list("abcd"))
    assert elman.Network(2, 4, None, seed=0, table=table).table is table


# --- copies, files and exports --------------------------------------------------------------------


def test_copies_pickles_and_files_keep_it(net, table, tmp_path):
    net.save(tmp_path / "model.safetensors")
    copies = {
        "replace": net.replace(metadata={"a": "b"}),
        "weights": net.replace(tensors={"readout.b_y": np.ones(3)}),
        "astype": net.astype("float64"),
        "copy": copy.copy(net),
        "deepcopy": copy.deepcopy(net),
        "pickle": pickle.loads(pickle.dumps(net)),
        "file": elman.load(tmp_path / "model.safetensors"),
    }
    assert {name: found.table for name, found in copies.items()} == dict.fromkeys(copies, table)
    for found in (copy.copy(table), copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert found == table


def test_trained_networks_keep_it(rng):
    table = elman.Table(inputs=["a", "b"], targets=["y"])
    net = elman.Network(2, 4, 1, output_activation="identity", seed=0, table=table)
    x, y = rng.standard_normal((8, 10, 2)), rng.standard_normal((8, 10, 1))
    seen = []
    result = elman.train(
        net, x, y, epochs=2, seed=0, callback=lambda _, trainer: seen.append(trainer.network.table)
    )
    assert result.network.table is table
    assert seen == [table, table]
    assert elman.ridge_readout(net, x, y).table is table


def test_networks_of_estimators_have_a_table(rng):
    sklearn = pytest.importorskip("elman.sklearn")
    quick = {"hidden_size": 2, "max_iter": 1, "random_state": 0}
    X = rng.standard_normal((12, 5, 2))
    labels = np.arange(12) % 3
    classifier = sklearn.ElmanClassifier(**quick).fit(X, labels)
    assert classifier.network_.table == elman.Table(classes=list("012"), outputs="last")
    classifier.partial_fit(X, labels)
    assert classifier.network_.table == elman.Table(classes=list("012"), outputs="last")
    regressor = sklearn.ElmanRegressor(**quick).fit(X, X[:, 0])
    assert regressor.network_.table == elman.Table(outputs="last")
    every = sklearn.ElmanRegressor(outputs="all", **quick).fit(X, X)
    assert every.network_.table is None


def test_an_onnx_model_keeps_it(net, table, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = elman.to_onnx(net)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(props["elman.table"]) == json.loads(table.to_json())
    assert elman.from_onnx(model).table == table
    elman.to_onnx(net, tmp_path / "model.onnx")
    assert elman.from_onnx(tmp_path / "model.onnx").table == table
    plain = elman.to_onnx(net.replace(table=elman.Table()))
    assert not plain.metadata_props
    assert elman.from_onnx(plain).table is None
    for text, message in (
        ("{", "table: expected JSON"),
        (changed(inputs=["a"]), "table: expected 2 "),
        (changed(units="V"), "table: .*'units'"),
    ):
        onnx.helper.set_model_props(model, {"elman.table": text})
        with pytest.raises(ModelFormatError, match=message):
            elman.from_onnx(model)
    onnx.helper.set_model_props(model, props)
    model.metadata_props.add(key="elman.table", value=changed(inputs=["b", "a"]))
    with pytest.raises(ModelFormatError, match=r"metadata_props: expected .*, got 2"):
        elman.from_onnx(model)


def with_table_in_file(net, path, text):
    """Write the model file of a network with its table replaced by another text."""
    net.save(path)
    header, tensors = _container.parse(path.read_bytes())
    path.write_bytes(_container.write(tensors, header.metadata | {"table": text}))


@pytest.mark.parametrize("name", ["no JSON", "deep", "a key too many", "not a number"])
def test_a_file_with_a_damaged_table_is_refused_by_name(net, tmp_path, name):
    path, (text, message) = tmp_path / "model", HOSTILE[name]
    with_table_in_file(net, path, text)
    with pytest.raises(ModelFormatError, match=f"model: {message}"):
        elman.load(path)


def test_a_file_whose_table_does_not_fit_is_refused(net, tmp_path):
    path = tmp_path / "model"
    with_table_in_file(net, path, changed(inputs=["a"]))
    message = "model: table: expected 2 .*, got 1"
    with pytest.raises(ModelFormatError, match=message):
        elman.load(path)


def test_an_empty_table_is_not_written(net, tmp_path):
    path = tmp_path / "model"
    with_table_in_file(net, path, elman.Table().to_json())
    assert elman.load(path).table is None
    net.replace(table=elman.Table()).save(path)
    assert "table" not in _container.parse(path.read_bytes())[0].metadata


def test_names_too_long_for_a_file_are_refused_before_anything_is_written(net, tmp_path):
    path = tmp_path / "model"
    long = net.replace(table=elman.Table(sequence="x" * _container.MAX_HEADER_BYTES))
    with pytest.raises(LimitError, match=r"header.* 262144 "):
        long.save(path)
    assert not path.exists()


# --- data frames ----------------------------------------------------------------------------------


@pytest.fixture
def forecast():
    """A network of two named inputs."""
    table = elman.Table(inputs=["b", "a"], targets=["a"])
    return elman.Network(2, 6, 1, output_activation="identity", seed=0, table=table)


@pytest.fixture
def x(rng):
    """Inputs in the order of the table: b, a."""
    return rng.standard_normal((7, 2)).astype(np.float32)


def as_frame(x, **more):
    return Frame({"note": ["?"] * len(x), "a": x[:, 1], **more, "b": x[:, 0]})


def test_the_columns_of_a_frame_are_read_by_name(forecast, x):
    frame = as_frame(x)
    np.testing.assert_array_equal(forecast(frame), forecast(x))
    np.testing.assert_array_equal(forecast(frame, "last"), forecast(x, "last"))
    run = forecast.run(frame, return_hidden=True, state=np.ones(6))
    for found, want in zip(run, forecast.run(x, return_hidden=True, state=np.ones(6)), strict=True):
        np.testing.assert_array_equal(found, want)
    assert forecast.verify(frame) == forecast.verify(x)
    out = np.empty((7, 1), np.float32)
    assert forecast(frame, out=out) is out


def test_generate_and_the_example_in_a_file_take_frames(forecast, x, tmp_path):
    def both(y):
        return np.concatenate([y, y], axis=-1)

    found = forecast.generate(as_frame(x), 3, feedback=both)
    np.testing.assert_array_equal(found, forecast.generate(x, 3, feedback=both))
    forecast.save(tmp_path / "a", golden=as_frame(x))
    forecast.save(tmp_path / "b", golden=x)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_list_of_frames_is_read_by_name_too(forecast, x):
    for frames in ([as_frame(x), as_frame(x[:3])], (as_frame(x), x[:3]), [x, as_frame(x[:3])]):
        for found in (forecast(frames), [run.output for run in forecast.run(frames)]):
            assert len(found) == 2
            np.testing.assert_array_equal(found[0], forecast(x))
            np.testing.assert_array_equal(found[1], forecast(x[:3]))
    last = forecast.replace(table=elman.Table(inputs=["b", "a"], outputs="last"))
    np.testing.assert_array_equal(last([as_frame(x)])[0], forecast(x)[-1])
    with pytest.raises(ArgumentError, match=r"^x\[1\]: expected "):
        forecast([x, Frame({"a": [1.0]})])


def test_training_reads_frames_by_name(forecast, x):
    y = x[:, 1:]
    frame, targets = as_frame(x), Frame({"b": x[:, 0], "a": x[:, 1]})
    want = elman.train(forecast, x, y, epochs=3, validation=(x, y))
    assert elman.train(forecast, frame, targets, epochs=3, validation=(frame, targets)) == want
    assert elman.train(forecast, [frame], [targets], epochs=3, validation=(x, y)) == want
    assert elman.Trainer(forecast).loss(frame, y) == elman.Trainer(forecast).loss(x, targets)
    one, other = elman.Trainer(forecast), elman.Trainer(forecast)
    assert one.update(frame, targets) == other.update(x, y)
    assert one.network == other.network
    found, wanted = (
        elman.loss_and_gradients(forecast, *given) for given in ((frame, targets), (x, y))
    )
    assert found[0] == wanted[0]
    for name, gradient in wanted[1].tensors().items():
        np.testing.assert_array_equal(found[1].tensors()[name], gradient)
    found, wanted = (elman.backward(forecast, given, y).x for given in (frame, x))
    np.testing.assert_array_equal(found, wanted)
    fitted = elman.ridge_readout(forecast, frame, targets)
    assert fitted == elman.ridge_readout(forecast, x, y)


def test_training_refuses_frames_that_do_not_fit_the_table(forecast, net, x):
    frame = as_frame(x)
    with pytest.raises(ArgumentError, match=r"^y: expected "):
        elman.train(net, x, Frame({"id": [1] * 7, "course": [0] * 7}), loss="cross_entropy")
    with pytest.raises(ArgumentError, match=r"^validation: y: expected "):
        elman.train(forecast, frame, x[:, 1:], validation=(frame, Frame({"b": [1.0] * 7})))


def test_the_outputs_of_a_frame_default_to_those_of_the_table(forecast, x):
    table = elman.Table(inputs=["b", "a"], outputs="last")
    last = forecast.replace(table=table)
    frame = as_frame(x)
    np.testing.assert_array_equal(last(frame), forecast(x)[-1])
    np.testing.assert_array_equal(last.run(frame).output, forecast(x)[-1])
    np.testing.assert_array_equal(last(frame, "all"), forecast(x))
    np.testing.assert_array_equal(last.run(frame, outputs="all").output, forecast(x))
    np.testing.assert_array_equal(last(x), forecast(x))  # an array has no table
    np.testing.assert_array_equal(last.run(x).output, forecast(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_number_of_a_frame_is_rounded_once(forecast, dtype):
    """2**60 + 2**36 + 1 is above half way between two floats; through float64 it is a tie."""
    net, big = forecast.astype(dtype), 2**60 + 2**36 + 1
    identity = {"layers.0.W_xh": np.eye(2), "layers.0.W_hh": np.zeros((2, 2))}
    identity |= {"layers.0.b_h": None, "readout.W_hy": np.eye(2), "readout.b_y": None}
    plain = elman.Network.from_tensors(
        identity,
        activation="identity",
        output_activation="identity",
        dtype=dtype,
        table=elman.Table(inputs=["b", "a"]),
    )
    frame = Frame({"a": np.array([True, False]), "b": np.array([big, -3])})
    rounded = {"float32": 2**60 + 2**37, "float64": 2**60 + 2**36}[dtype]  # both exact
    np.testing.assert_array_equal(plain(frame), np.array([[rounded, 1], [-3, 0]], dtype))
    assert plain(frame).dtype == net.dtype


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"b": [1, 2]}, ArgumentError, r"x: expected .*, got \['b'\]"),
        ({}, ArgumentError, r"x: expected .*, got \[\]"),
        ({"b": [1, 2], "a": [1]}, ShapeError, r"x\['a'\]: expected 2 .*, got 1"),
        ({"b": [[1, 2]], "a": [1]}, ShapeError, r"x\['b'\]: expected "),
        ({"b": [1], "a": ["q"]}, DTypeError, r"x\['a'\]: expected .*, got <U1"),
        ({"b": [1], "a": [1j]}, DTypeError, r"x\['a'\]: expected .*, got complex128"),
        ({"b": [1], "a": [None]}, DTypeError, r"x\['a'\]: expected .* missing value in row 0"),
        (
            {"b": [1], "a": np.ma.masked_equal([1], 1)},
            DTypeError,
            r"x\['a'\]: expected ",
        ),
    ],
)
def test_a_frame_that_the_network_cannot_read_is_one_sentence(forecast, columns, error, message):
    for call in (forecast, forecast.run, forecast.verify):
        with pytest.raises(error, match=f"^{message}"):
            call(Frame(columns))


def test_a_list_of_frames_is_one_sequence_each(forecast, x):
    """As arrays their columns would be in the order of the frame."""
    frames, arrays = [as_frame(x), as_frame(x[:3])], [x, x[:3]]
    for got, want in zip(forecast(frames), forecast(arrays), strict=True):
        np.testing.assert_array_equal(got, want)
    last = forecast.replace(table=elman.Table(inputs=["b", "a"], outputs="last"))
    for run, want in zip(last.run(frames), last(arrays, "last"), strict=True):
        np.testing.assert_array_equal(run.output, want)
    with pytest.raises(ArgumentError, match=r"^x\[1\]: expected "):
        forecast([frames[0], Frame({"b": [1.0]})])
    with pytest.raises(elman.ShapeError, match=r"^start: expected "):
        forecast.generate(frames, 3, feedback=lambda y: np.repeat(y, 2, axis=-1))


def test_a_frame_has_offsets_too(forecast, x):
    got = forecast.run(as_frame(x), offsets=[0, 3, 7], return_hidden=True)
    want = forecast.run(x, offsets=[0, 3, 7], return_hidden=True)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ArgumentError, match=r"^offsets\[1\]: expected 0 .*, got 8"):
        forecast.run(as_frame(x), offsets=[0, 8])


class ArrayFrame(Frame):
    """A frame that NumPy converts to an array, as with pandas, Polars and PyArrow."""

    def __array__(self, dtype=None, copy=None):
        return np.stack([self[name] for name in self.columns], axis=1)


def test_without_named_inputs_a_frame_is_an_array_of_all_its_columns(forecast, x):
    frame = ArrayFrame({"p": x[:, 0], "q": x[:, 1]})
    for table in (elman.Table(), elman.Table(classes=["a"])):
        unnamed = forecast.replace(table=table)
        np.testing.assert_array_equal(unnamed(frame), unnamed(x))
        np.testing.assert_array_equal(unnamed([frame, frame])[1], unnamed(x))
        assert unnamed.run(frame).state.tolist() == unnamed.run(x).state.tolist()
    want, _ = elman.train(unnamed, x, x[:, 1:], epochs=1, seed=0)
    got, _ = elman.train(unnamed, frame, x[:, 1:], epochs=1, seed=0)
    assert got == want


def test_a_frame_of_no_rows_gives_none(forecast):
    assert forecast(Frame({"a": [], "b": []})).shape == (0, 1)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_frames_of_libraries_are_read(forecast, x, kind):
    library = pytest.importorskip(kind)
    columns = {"a": x[:, 1], "note": ["?"] * 7, "b": x[:, 0].astype(np.float64)}
    make = library.table if kind == "pyarrow" else library.DataFrame
    frame = make(columns)
    np.testing.assert_array_equal(forecast(frame), forecast(x))
    assert forecast.verify(frame).ok


def test_pandas_groups_are_sequences(forecast, x):
    pandas = pytest.importorskip("pandas")
    net = forecast.replace(table=elman.Table(inputs=["b", "a"], sequence="id"))
    frame = pandas.DataFrame({"a": x[:, 1], "b": x[:, 0], "id": [1, 2, 1, 1, 2, 2, 2]})
    found = {name: net(group) for name, group in frame.groupby("id")}
    np.testing.assert_array_equal(found[1], net(x[[0, 2, 3]]))
    np.testing.assert_array_equal(found[2], net(x[[1, 4, 5, 6]]))
    twice = pandas.concat([frame, frame[["a"]]], axis=1)
    np.testing.assert_array_equal(net(frame)[[0, 2, 3]], found[1])
    with pytest.raises(ShapeError, match=r"^x\['a'\]: expected .*, got \(7, 2"):
        forecast(twice)


def test_reading_a_frame_brings_in_no_library(forecast, x):
    before = set(sys.modules)
    forecast(as_frame(x))
    assert not {"pandas", "polars", "pyarrow", "narwhals"} & (set(sys.modules) - before)


def test_training_reads_frames_by_the_table(rng):
    table = elman.Table(inputs=["a", "b"], targets=["c"])
    net = elman.Network(2, 6, 1, seed=0, output_activation="identity", table=table)
    columns = {name: rng.standard_normal(20) for name in "cab"}
    x = np.stack([columns["a"], columns["b"]], axis=1)
    y = columns["c"][:, None]
    want, _ = elman.train(net, x, y, epochs=2, seed=0)
    frame = Frame(columns)
    got, history = elman.train(net, frame, frame, validation=(frame, frame), epochs=2, seed=0)
    assert got == want
    assert len(history.validation_loss) == 2
    trainer, other = elman.Trainer(net), elman.Trainer(net)
    assert trainer.update(frame, frame) == other.update(x, y)
    assert elman.loss_and_gradients(net, frame, y)[0] == elman.loss_and_gradients(net, x, y)[0]
    with pytest.raises(elman.ArgumentError, match=r"^y: expected "):
        elman.train(net, frame, Frame({"a": columns["a"]}), epochs=1)
