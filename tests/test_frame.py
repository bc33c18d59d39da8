"""Data frames in calls: sequences, targets, labels, times and names of columns."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

import elman
from elman import ArgumentError, DTypeError, ShapeError
from elman._calendar import features
from fixtures.frames import Frame

H = 6
IDS = ["b", "a", "b", "b", "a", "c", "a"]  # in the order of first appearance: b, a, c
ROWS = {"b": [0, 2, 3], "a": [1, 4, 6], "c": [5]}


def make_pandas(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def make_polars(columns):
    return pytest.importorskip("polars").DataFrame(columns)


def make_pyarrow(columns):
    return pytest.importorskip("pyarrow").table(columns)


MAKERS = {
    "named columns": lambda columns: Frame(**columns),
    "pandas": make_pandas,
    "polars": make_polars,
    "pyarrow": make_pyarrow,
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def network(outputs="all", hidden=H, g="identity", size=1, inputs=("p", "q"), **table):
    table = elman.Table(
        inputs=inputs, outputs=outputs, **{"sequence": "id", "targets": ["y"]} | table
    )
    return elman.Network(
        len(table.input_names), hidden, size, output_activation=g, seed=0, table=table
    )


@pytest.fixture
def x(rng):
    return rng.standard_normal((7, 2)).astype(np.float32)


@pytest.fixture
def y(rng):
    return rng.standard_normal((7, 1)).astype(np.float32)


def columns_of(x, y=None, ids=IDS):
    columns = {"q": x[:, 1], "id": ids, "p": x[:, 0]}
    return columns if y is None else columns | {"y": y[:, 0]}


# --- running sequences ----------------------------------------------------------------------------


def test_each_sequence_begins_in_the_initial_state_whatever_the_order_of_rows(make, x):
    frame, net = make(columns_of(x)), network()
    y, run = net(frame), net.run(frame, return_hidden=True, threads=2)
    assert y.shape == (7, 1)
    assert run.state.shape == (3, H)
    assert run.keys == ["b", "a", "c"]
    np.testing.assert_array_equal(run.output, y)
    for i, rows in enumerate(ROWS.values()):
        alone = net.run(x[rows], return_hidden=True)
        np.testing.assert_array_equal(y[rows], alone.output)
        np.testing.assert_array_equal(run.hidden[rows], alone.hidden)
        np.testing.assert_array_equal(run.state[i], alone.state)


def test_the_last_outputs_are_one_for_each_sequence(make, x):
    frame, net = make(columns_of(x)), network("last")
    run = net.run(frame)
    expected = [net(x[rows], "last") for rows in ROWS.values()]
    np.testing.assert_array_equal(net(frame), expected)
    np.testing.assert_array_equal(run.output, expected)
    np.testing.assert_array_equal(net(frame, "all"), network()(frame))
    one = make(columns_of(x, ids=["b"] * 7))
    np.testing.assert_array_equal(net(one), net(x, "last")[None])  # a sequence is one of several


def test_states_masks_and_out_follow_sequences_and_rows(x, rng):
    frame, net = Frame(**columns_of(x)), network()
    state, mask = rng.standard_normal((3, H)), np.array([1, 1, 0, 1, 1, 1, 0], bool)
    out = np.empty((7, 1), np.float32)
    run = net.run(frame, state=state, mask=mask, out=out)
    assert run.output is out
    for i, rows in enumerate(ROWS.values()):
        alone = net.run(x[rows], state=state[i], mask=mask[rows])
        np.testing.assert_array_equal(out[rows], alone.output)
        np.testing.assert_array_equal(run.state[i], alone.state)
    zero = net.replace(masked="zero")
    assert (zero.run(frame, mask=mask).output != net.run(frame, mask=mask).output).any()
    for i, rows in enumerate(ROWS.values()):
        alone = zero.run(x[rows], mask=mask[rows])
        np.testing.assert_array_equal(zero.run(frame, mask=mask).output[rows], alone.output)
        last = zero.run(frame, mask=mask, outputs="last").output[i]
        np.testing.assert_array_equal(last, alone.output[-1])
    with pytest.raises(ShapeError, match=r"^mask: expected 7 rows, as in x, got \(3,\)"):
        net.run(frame, mask=mask[:3])
    for argument in ({"lengths": [1]}, {"offsets": [0, 7]}):
        with pytest.raises(ArgumentError, match="expected None with a data frame of sequences"):
            net.run(frame, **argument)


def test_keys_are_those_of_frames_only_and_not_unpacked(x):
    net = network()
    assert net.run(x).keys is None
    assert [run.keys for run in net.run([x, x])] == [None, None]
    output, state, hidden = net.run(Frame(**columns_of(x)))
    assert (output.shape, state.shape, hidden) == ((7, 1), (3, H), None)
    numbers = net.run(Frame(**columns_of(x, ids=[3, 1, 3, 3, 1, 2, 1]))).keys
    assert numbers == [3, 1, 2]


def test_no_rows_are_no_sequences():
    net = network()
    frame = Frame(p=np.zeros(0), q=np.zeros(0), id=[])
    assert net(frame).shape == (0, 1)
    assert net(frame, "last").shape == (0, 1)
    assert net.run(frame).keys == []


def test_verify_judges_every_sequence(make, x):
    frame, net = make(columns_of(x)), network("last")
    assert net.verify(frame, mask=[1, 1, 0, 1, 1, 1, 1]).ok
    report, alone = net.verify(frame), [net.verify(x[rows]) for rows in ROWS.values()]
    assert report.steps == 7
    assert report.worst_ratio == max(each.worst_ratio for each in alone)


def test_calls_that_take_one_sequence_refuse_several(x, tmp_path):
    frame, net = Frame(**columns_of(x)), network(size=2, targets=[])
    one = Frame(**columns_of(x, ids=[1] * 7))
    np.testing.assert_array_equal(net.generate(one, 3), net.generate(x, 3))
    refused = r": expected the rows of one sequence, got 3 different values in the column 'id'"
    for argument, call in {
        "start": lambda: net.generate(frame, 3),
        "golden": lambda: net.save(tmp_path / "a.safetensors", golden=frame),
        "x": lambda: elman.backward(net, frame, np.zeros((7, 2))),
        r"x\[0\]": lambda: net([frame]),
    }.items():
        with pytest.raises(ArgumentError, match=f"^{argument}{refused}"):
            call()


def test_a_frame_without_the_column_of_sequences_is_refused(x):
    net = network()
    frame = Frame(p=x[:, 0], q=x[:, 1])
    with pytest.raises(
        ArgumentError, match=r"^x: expected a column 'id', .* got \['p', 'q'\]; .*list"
    ):
        net(frame)
    np.testing.assert_array_equal(net([frame])[0], net(x))


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_name_of_a_sequence_is_refused(x, missing):
    ids = np.array([*IDS[:6], missing], object)
    with pytest.raises(ArgumentError, match=r"^x\['id'\]: expected the name .*, got none in row 6"):
        network()(Frame(**columns_of(x, ids=ids)))


# --- training -------------------------------------------------------------------------------------


def parts(values, names=ROWS):
    return [values[ROWS[name]] for name in names]


def test_training_splits_sequences(make, x, y):
    net, frame = network(), make(columns_of(x, y))
    want = elman.train(net, parts(x), parts(y), epochs=3)
    assert elman.train(net, frame, frame, epochs=3, validation=(frame, frame)).history.loss == (
        want.history.loss
    )
    assert elman.train(net, frame, frame, epochs=3) == want
    assert elman.train(net, frame, y, epochs=3) == want  # an array: row by row
    assert elman.train(net, frame, Frame(y=y[:, 0]), epochs=3) == want
    order = [5, 1, 0, 2, 4, 6, 3]  # the sequences of y in another order: c, a, b
    other = Frame(y=y[order, 0], id=[IDS[i] for i in order])
    assert elman.train(net, frame, other, epochs=3) == want
    assert elman.Trainer(net).update(frame, frame) == elman.Trainer(net).update(parts(x), parts(y))
    assert (
        elman.loss_and_gradients(net, frame, frame)[0]
        == elman.loss_and_gradients(net, parts(x), parts(y))[0]
    )
    lengths = [3, 3, 1]
    padded = [np.stack([np.pad(p, ((0, 3 - len(p)), (0, 0))) for p in parts(v)]) for v in (x, y)]
    assert elman.ridge_readout(net, frame, frame) == elman.ridge_readout(
        net, *padded, lengths=lengths
    )


def test_weights_of_rows_and_sequences(x, y, rng):
    net, frame = network(), Frame(**columns_of(x, y))
    weights = {"sample_weight": [1, 2, 3], "step_weight": (w := rng.random(7))}
    want = elman.loss_and_gradients(net, parts(x), parts(y), **weights | {"step_weight": parts(w)})
    assert elman.loss_and_gradients(net, frame, frame, **weights)[0] == want[0]
    with pytest.raises(ArgumentError, match=r"^lengths: expected None"):
        elman.train(net, frame, frame, lengths=[1, 2, 3])


def test_targets_of_whole_sequences_are_those_of_their_last_rows(x, y):
    net, frame = network("last"), Frame(**columns_of(x, y))
    last = np.stack([part[-1] for part in parts(y)])
    want = elman.train(net, parts(x), last, outputs="last", epochs=3)
    assert elman.train(net, frame, frame, epochs=3) == want
    assert elman.train(net, frame, last, epochs=3) == want
    assert elman.Trainer(net).loss(frame, frame) == elman.Trainer(net, outputs="last").loss(
        parts(x), last
    )
    loss, _ = elman.loss_and_gradients(net, frame, frame)
    assert loss == elman.loss_and_gradients(net, parts(x), last, outputs="last")[0]
    every = elman.train(net, frame, frame, epochs=3, outputs="all")
    assert every == elman.train(net, parts(x), parts(y), epochs=3)


@pytest.mark.parametrize("horizon", [1, 2, (1, 2)])
def test_targets_are_taken_from_later_rows_of_the_sequence(x, y, horizon):
    steps = (horizon,) if isinstance(horizon, int) else horizon
    net = network(size=len(steps), horizon=horizon)
    frame, ahead = Frame(**columns_of(x, y)), max(steps)
    xs, ys = [], []
    for part_x, part_y in zip(parts(x, "ba"), parts(y, "ba"), strict=True):  # c is too short
        n = len(part_x) - ahead
        xs.append(part_x[:n])
        ys.append(np.hstack([part_y[h : h + n] for h in steps]))
    found = elman.loss_and_gradients(net, frame, frame)
    want = elman.loss_and_gradients(net, xs, ys)
    assert found[0] == pytest.approx(want[0], rel=1e-6)
    np.testing.assert_allclose(found[1].readout.W_hy, want[1].readout.W_hy, rtol=1e-5, atol=1e-7)
    ridge = elman.ridge_readout(net.astype("float64"), frame, frame)
    n = [len(part) for part in xs]
    padded = [np.stack([np.pad(p, ((0, 2 - len(p)), (0, 0))) for p in v]) for v in (xs, ys)]
    other = elman.ridge_readout(net.astype("float64"), *padded, lengths=n)
    np.testing.assert_allclose(ridge.readout.W_hy, other.readout.W_hy, rtol=1e-6)
    single = network(size=len(steps), horizon=horizon, sequence=None)
    series = Frame(p=x[:, 0], q=x[:, 1], y=y[:, 0])
    moved = np.hstack([y[h : 7 - ahead + h] for h in steps])
    want = elman.loss_and_gradients(single, x[: 7 - ahead], moved)[0]
    assert elman.loss_and_gradients(single, series, series)[0] == pytest.approx(want, rel=1e-6)


def test_lists_of_frames_have_the_same_targets(x, y):
    frame = Frame(**columns_of(x, y))
    listed = [Frame(**columns_of(x[r], y[r], ids=[k] * len(r))) for k, r in ROWS.items()]
    for options in ({}, {"horizon": 1}, {"outputs": "last"}):
        net = network(**options)
        found = elman.loss_and_gradients(net, listed, listed)[0]
        assert found == elman.loss_and_gradients(net, frame, frame)[0]
    with pytest.raises(ArgumentError, match=r"^y\[2\]: expected a data frame, .* got ndarray"):
        elman.train(net, listed, [*listed[:2], y[:1]])


def test_targets_beyond_the_data_are_refused(x, y):
    frame = Frame(**columns_of(x, y))
    with pytest.raises(ArgumentError, match=r"^y: expected a sequence of more than 3 rows.* got 3"):
        elman.train(network(horizon=3), frame, frame)
    with pytest.raises(ArgumentError, match=r"^y: expected an array: .* 1 step after the end"):
        elman.train(network("last", horizon=1), frame, frame)


def test_classes_are_predicted_one_step_ahead(x):
    classes = {"classes": ["0", "1"], "g": "softmax", "size": 2, "sequence": None}
    frame = Frame(p=x[:, 0], q=x[:, 1], y=[0, 1, 1, 0, 1, 0, 0])
    net = network(horizon=2, **classes)
    found = elman.loss_and_gradients(net, frame, frame, "cross_entropy")[0]
    want = elman.loss_and_gradients(net, x[:5], [1, 0, 1, 0, 0], "cross_entropy")[0]
    assert found == pytest.approx(want, rel=1e-6)


def test_sequences_of_y_must_be_those_of_x(x, y):
    net, frame = network(), Frame(**columns_of(x, y))
    other = Frame(**columns_of(x, y, ids=["b", "a", "b", "b", "a", "d", "a"]))
    with pytest.raises(
        ArgumentError, match=r"^y: expected the sequences of x .*, got 'c' in only one"
    ):
        elman.train(net, frame, other)
    with pytest.raises(ShapeError, match=r"^y: expected 7 rows, as in x, got \(3, 1\)"):
        elman.train(net, frame, y[:3])
    with pytest.raises(ArgumentError, match=r"^y: expected a column 'id'"):
        elman.train(net, frame, Frame(y=y[:3, 0]))
    with pytest.raises(ArgumentError, match=r"^y: expected the rows of one sequence, got 3"):
        elman.train(net, x, frame)


def test_labels_become_classes(make, x):
    labels = ["up", "down", "up", "up", "down", "down", "up"]
    numbers = np.array([2, 1, 2, 2, 1, 1, 2])
    classes = {"classes": ["", "down", "up"], "g": "softmax", "size": 3}
    frame = make(columns_of(x) | {"y": labels})
    net = network(**classes)
    options = {"loss": "cross_entropy", "epochs": 2}
    assert elman.train(net, frame, frame, **options) == elman.train(
        net, parts(x), parts(numbers), **options
    )
    net = network("last", **classes)
    want = elman.train(net, parts(x), [2, 2, 1], outputs="last", **options)
    assert elman.train(net, frame, frame, **options) == want
    wrong = make(columns_of(x) | {"y": [*labels[:6], "sideways"]})
    with pytest.raises(ArgumentError, match=r"^y\['y'\]: .*'down', 'up'.*'sideways' in row 6"):
        elman.train(net, wrong, wrong, **options)


@pytest.mark.parametrize("labels", [[0, 5, 10], [0.0, 5.0, 10.0], ["0", "5", "10"]])
def test_labels_that_are_numbers_are_found_by_their_text(x, labels):
    net = network(classes=["0", "5", "10"], g="softmax", size=3, sequence=None)
    frame = Frame(p=x[:3, 0], q=x[:3, 1], y=labels)
    found = elman.loss_and_gradients(net, frame, frame, "cross_entropy")[0]
    assert found == elman.loss_and_gradients(net, x[:3], [0, 1, 2], "cross_entropy")[0]


def test_a_missing_label_is_refused(x):
    net = network(classes=["0"], g="softmax", size=1, sequence=None)
    frame = Frame(p=x[:2, 0], q=x[:2, 1], y=np.array(["0", None], object))
    with pytest.raises(ArgumentError, match=r"^y\['y'\]: expected a class .* none in row 1"):
        elman.train(net, frame, frame, loss="cross_entropy")


# --- names ----------------------------------------------------------------------------------------


def test_case_and_blanks_of_a_name_are_forgiven_as_in_files(x):
    net = network(sequence=None)
    np.testing.assert_array_equal(net(Frame(**{" Q": x[:, 1], "P ": x[:, 0]})), net(x))
    spaced = network(inputs=["wind speed", "sun"], sequence=None)
    np.testing.assert_array_equal(spaced(Frame(WindSpeed=x[:, 0], sun=x[:, 1])), spaced(x))
    exact = Frame(P=x[:, 1], p=x[:, 0], q=x[:, 1])
    np.testing.assert_array_equal(net(exact), net(x))
    with pytest.raises(ArgumentError, match=r"^x: expected one column 'p', got \['P', 'p '\]"):
        net(Frame(**{"P": x[:, 0], "p ": x[:, 0], "q": x[:, 1]}))


def test_a_missing_column_is_named_with_those_close_to_it():
    net = network(inputs=["wind speed", "sun"], sequence=None)
    frame = Frame(**{"Wind_Speed": [1.0], "sun": [1.0], "note": ["?"]})
    with pytest.raises(ArgumentError, match=r"^x: expected a column 'wind speed', .*'Wind_Speed'$"):
        net(frame)


def test_numbers_as_names(x):
    pandas = pytest.importorskip("pandas")
    net = network(inputs=["0", "1"], sequence=None)
    np.testing.assert_array_equal(net(pandas.DataFrame(x)[[1, 0]]), net(x))


def test_without_named_inputs_all_columns_but_that_of_sequences_are_read(x):
    net = elman.Network(2, H, 1, seed=0, table=elman.Table(sequence="id"))
    frame = Frame(p=x[:, 0], id=IDS, q=x[:, 1])
    for rows in ROWS.values():
        np.testing.assert_array_equal(net(frame)[rows], net(x[rows]))


# --- missing values -------------------------------------------------------------------------------


def test_missing_values_are_refused_with_row_and_column_but_nan_propagates(x):
    net = network(sequence=None)
    x[4, 1] = np.nan
    assert np.isnan(net(Frame(p=x[:, 0], q=x[:, 1]))[4:]).all()
    for column in (np.ma.masked_invalid(x[:, 1]), np.array([*x[:4, 1], None, 1, 2], object)):
        with pytest.raises(DTypeError, match=r"^x\['q'\]: .*missing value in row 4"):
            net(Frame(p=x[:, 0], q=column))
        filled = elman.run_table(net, Frame(p=x[:, 0], q=column), missing="hold")
        assert np.isfinite(filled[filled.columns[-1]]).all()
    good = np.array(x[:, 0].tolist(), object)
    np.testing.assert_array_equal(net(Frame(p=good, q=x[:, 0])), net(x[:, [0, 0]]))


@pytest.mark.parametrize("dtype", ["Float32", "Int64", "boolean", "float64[pyarrow]"])
def test_nullable_columns_of_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    net, values = network(sequence=None), [0, 1, 1, 0]
    series = pandas.Series(values, dtype=dtype)
    np.testing.assert_array_equal(
        net(pandas.DataFrame({"p": series, "q": values})), net(np.column_stack([values, values]))
    )
    series[2] = None
    frame = pandas.DataFrame({"p": series, "q": values})
    with pytest.raises(DTypeError, match=r"^x\['p'\]: .* in row 2"):
        net(frame)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_nulls_are_missing_values(library):
    frames = pytest.importorskip(library)
    make = frames.DataFrame if library == "polars" else frames.table
    net, values = network(sequence=None), [0.5, 1.0, None, 0.0]
    with pytest.raises(DTypeError, match=r"^x\['q'\]: .*missing value in row 2"):
        net(make({"p": [0, 1, 1, 0], "q": values}))
    held = elman.run_table(net, make({"p": [0, 1, 1, 0], "q": values}), missing="hold")
    values[2] = 1.0
    full = elman.run_table(net, make({"p": [0, 1, 1, 0], "q": values}))
    assert held.columns == full.columns
    assert all((held[name] == full[name]).all() for name in full.columns)
    values[2] = float("nan")
    assert np.isnan(net(make({"p": [0, 1, 1, 0], "q": values}))[2:]).all()


# --- times ----------------------------------------------------------------------------------------

STAMPS = [
    datetime.datetime(2024, 2, 28, 23, 30) + i * datetime.timedelta(minutes=17) for i in range(7)
]


def with_calendar(x):
    times = np.array(STAMPS, "datetime64[us]")
    return np.hstack([x, features(times, ["hour", "yearday"]).astype(np.float32)])


def calendar_network(**more):
    return network(time="when", calendar=["hour", "yearday"], **{"sequence": None} | more)


@pytest.mark.parametrize(
    "times",
    [
        np.array(STAMPS, "datetime64[us]"),
        np.array(STAMPS, "datetime64[ns]"),
        STAMPS,
        [s.isoformat() for s in STAMPS],
        [str(s) for s in STAMPS],
        [s.replace(tzinfo=datetime.UTC) for s in STAMPS],
    ],
)
def test_calendar_inputs_come_from_the_time(x, times):
    net = calendar_network()
    frame = Frame(p=x[:, 0], when=times, q=x[:, 1])
    np.testing.assert_array_equal(net(frame), net(with_calendar(x)))


def test_calendar_inputs_of_libraries(make, x):
    net = calendar_network(sequence="id")
    frame, whole = make(columns_of(x) | {"when": STAMPS}), with_calendar(x)
    y = net(frame)
    for rows in ROWS.values():
        np.testing.assert_array_equal(y[rows], net(whole[rows]))


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_times_in_a_zone_are_local(x, kind):
    library = pytest.importorskip(kind)
    net = calendar_network()
    columns = {"p": x[:, 0], "q": x[:, 1]}
    if kind == "pandas":
        when = library.Series(library.to_datetime(STAMPS)).dt.tz_localize("Asia/Tokyo")
        frame = library.DataFrame(columns | {"when": when})
    elif kind == "polars":
        when = library.Series(STAMPS).dt.replace_time_zone("Asia/Tokyo")
        frame = library.DataFrame(columns | {"when": when})
    else:
        zone = datetime.timezone(datetime.timedelta(hours=9))
        when = library.array(
            [s.replace(tzinfo=zone) for s in STAMPS], library.timestamp("us", "Asia/Tokyo")
        )
        frame = library.table(columns | {"when": when})
    np.testing.assert_array_equal(net(frame), net(with_calendar(x)))


def test_the_index_of_pandas_has_times_and_sequences(x):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"p": x[:, 0], "q": x[:, 1], "when": STAMPS, "id": IDS})
    net = calendar_network()
    np.testing.assert_array_equal(net(frame.set_index("when")), net(with_calendar(x)))
    several = calendar_network(sequence="id")
    both = several.run(frame.set_index(["id", "when"]))
    np.testing.assert_array_equal(both.output, several(frame))
    assert both.keys == ["b", "a", "c"]


def test_a_network_of_the_calendar_alone():
    table = elman.Table(time="when", calendar=["weekday"])
    net = elman.Network(2, H, 1, seed=0, table=table)
    times = np.array(STAMPS, "datetime64[us]")
    np.testing.assert_array_equal(net(Frame(when=times)), net(features(times, ["weekday"])))


@pytest.mark.parametrize(
    ("times", "error"),
    [
        ([3.5] * 7, r"x\['when'\]: expected dates or times, got dtype float64"),
        (["1.2.2024"] * 7, r"x\['when'\]: expected dates or times, got '1.2.2024'"),
        (np.array(["2024-01-01", "NaT"] + ["2024"] * 5, "datetime64[s]"), r".*'when'.* in row 1"),
        ([None] * 7, r".*'when'.* in row 0"),
    ],
)
def test_times_that_are_none_are_refused(x, times, error):
    with pytest.raises(DTypeError, match=f"^{error}"):
        calendar_network()(Frame(p=x[:, 0], q=x[:, 1], when=times))
