"""The data behind the pictures, against NumPy, closed forms and the network itself."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import elman
from elman import views

pytestmark = pytest.mark.any_isa

TWO_STATES = [[2.0, 0.0], [0.0, 0.5]]  # unit 0 is bistable, unit 1 forgets


def weights_of(W_hh, f="tanh", b=None):
    """Return a network without a readout, whose single input does nothing."""
    H = len(W_hh)
    return elman.Network.from_weights(
        [(np.zeros((H, 1)), W_hh, b)], None, activation=f, dtype="float64"
    )


def inputs(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def edges(view, kind):
    return [edge for edge in view["edges"] if edge["kind"] == kind]


# --- network --------------------------------------------------------------------------------------


def test_a_network_has_a_part_for_each_half_with_its_shapes():
    net = elman.Network(
        3, [8, 4], 2, activation=["relu", "tanh"], direction=["bidirectional", "forward"], seed=0
    )
    view = views.network(net)
    first, second = view["layers"]
    assert [half["half"] for half in first["halves"]] == ["forward", "reverse"]
    assert first["halves"][1]["tensors"] == {"W_xh": [8, 3], "W_hh": [8, 8], "b_h": [8]}
    assert second["halves"][0]["tensors"]["W_xh"] == [4, 16]
    assert view["readout"]["tensors"] == {"W_hy": [2, 4], "b_y": [2]}
    assert view["parameters"] == net.num_parameters


@pytest.mark.parametrize(
    ("options", "equation"),
    [
        ({}, "h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h)"),
        ({"bias": False}, "h_t = tanh(W_hh h_(t-1) + W_xh x_t)"),
        ({"direction": "reverse"}, "h_t = tanh(W_hh h_(t+1) + W_xh x_t + b_h)"),
        (
            {"num_layers": 2},
            "h[1]_t = tanh(W_hh[1] h[1]_(t-1) + W_xh[1] h[0]_t + b_h[1])",
        ),
    ],
)
def test_an_equation_says_what_a_layer_computes(options, equation):
    net = elman.Network(3, 8, 2, seed=0, **options)
    assert views.network(net)["layers"][-1]["halves"][0]["equation"] == equation


# --- unrolled -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "inputs", "outputs", "fed"),
    [
        ("many-to-many", 4, 4, 0),
        ("many-to-one", 4, 1, 0),
        ("one-to-many", 4, 4, 3),
        ("one-to-one", 1, 1, 0),
    ],
)
def test_a_mode_has_its_inputs_outputs_and_feedback(mode, inputs, outputs, fed):
    view = views.unrolled(elman.Network(2, 8, 2, seed=0), mode=mode)
    counts = [len(edges(view, kind)) for kind in ("input", "recurrent", "output", "feedback")]
    assert counts == [inputs, view["steps"], outputs, fed]
    (last,) = edges(view, "output")[-1:]
    assert last["to"] == f"y, step {view['steps'] - 1}"
    for edge in edges(view, "feedback"):
        before, after = (int(edge[end].rpartition(" ")[2]) for end in ("from", "to"))
        assert after == before + 1


def test_the_edges_of_a_deep_network_share_the_matrices_of_its_layers():
    net = elman.Network(2, [8, 6, 4], 2, seed=0)
    view = views.unrolled(net, 5)
    shared = [edge["weights"] for edge in view["edges"]]
    assert set(shared) == set(view["weights"]) == {n for n in net.tensors() if "W_" in n}
    assert all(shared.count(name) == 5 for name in set(shared))


def test_a_reverse_half_passes_its_state_to_the_left_and_both_meet():
    view = views.unrolled(elman.Network(2, 4, 1, direction="bidirectional", seed=0), 3)
    at = {node["id"]: node["x"] for node in view["nodes"]}
    for edge in edges(view, "recurrent"):
        right = at[edge["to"]] > at[edge["from"]]
        assert right == (edge["weights"] == "layers.0.W_hh")
    joined = edges(view, "joined")
    assert len(joined) == 6
    assert {edge["from"] for edge in edges(view, "output")} == {edge["to"] for edge in joined}


def test_of_many_steps_the_first_and_the_last_are_shown():
    view = views.unrolled(elman.Network(2, 4, 1, seed=0), 1000)
    assert view["shown"] == [0, 1, 2, 3, 997, 998, 999]
    gaps = [node["id"] for node in view["nodes"] if node["kind"] == "gap"]
    assert gaps == ["x, gap", "layer 0, gap", "y, gap"]


def test_every_edge_joins_two_nodes_and_every_place_has_one():
    for direction in ("forward", "reverse", "bidirectional"):
        for output_size in (1, None):
            net = elman.Network(1, [3, 2], output_size, direction=direction, seed=0)
            view = views.unrolled(net, 13)
            ids = [node["id"] for node in view["nodes"]]
            assert len(set(ids)) == len(ids)
            assert {edge[end] for edge in view["edges"] for end in ("from", "to")} <= set(ids)
            places = [(node["x"], node["y"]) for node in view["nodes"]]
            assert len(set(places)) == len(places)


def test_an_unrolled_trace_has_its_values():
    net = elman.Network(3, [4, 2], 2, direction=["forward", "bidirectional"], seed=0)
    trace = net.trace(inputs(2, 5, 3), lengths=[5, 4])
    view = views.unrolled(trace, mode="many-to-one", sequence=1)
    assert view["steps"] == 4
    found = {node["id"]: node["values"] for node in view["nodes"] if "values" in node}
    for t in range(4):
        assert np.array_equal(found[f"x, step {t}"], trace.x[1, t])
        assert np.array_equal(found[f"layer 0, step {t}"], trace.layers[0].h[1, t])
        reverse = trace.layers[1].reverse.h[1, t]
        assert np.array_equal(found[f"layer 1 reverse, step {t}"], reverse)
    assert np.array_equal(found["y, step 3"], trace.y[1, 3])
    states = np.concatenate([values for name, values in found.items() if "layer" in name])
    assert view["limits"]["state"] == pytest.approx((-np.abs(states).max(), np.abs(states).max()))
    with pytest.raises(elman.ArgumentError, match=r"steps: expected None for a trace, .* got 3"):
        views.unrolled(trace, 3)


@pytest.mark.parametrize(
    ("direction", "arguments", "sentence"),
    [
        ("forward", (4, "one-to-all"), "mode: expected 'one-to-one' or .* got .one-to-all."),
        ("forward", (2, "one-to-one"), "steps: expected 1 for 'one-to-one', got 2"),
        ("forward", (0,), "steps: expected at least 1, got 0"),
        ("reverse", (4, "one-to-many"), "mode: expected another mode .* cannot generate"),
    ],
)
def test_an_unrolled_network_that_cannot_be_is_refused(direction, arguments, sentence):
    with pytest.raises(elman.ArgumentError, match=sentence):
        views.unrolled(elman.Network(1, 2, 1, direction=direction, seed=0), *arguments)


# --- matrices -------------------------------------------------------------------------------------


def test_weights_are_the_tensors_of_the_network():
    net = elman.Network(3, [8, 4], 2, direction=["bidirectional", "forward"], seed=0)
    view = views.weights(net)
    found = {m["name"]: m["values"] for row in view["rows"] for m in row["matrices"]}
    assert found.keys() == net.tensors().keys()
    for name, values in net.tensors().items():
        assert np.array_equal(found[name].reshape(values.shape), values)
    assert [row["name"] for row in view["rows"]] == [
        "layer 0 forward",
        "layer 0 reverse",
        "layer 1",
        "readout",
    ]
    assert view["limit"] == max(np.abs(values).max() for values in net.tensors().values())


def test_eigenvalues_of_a_rotation_are_on_its_circle():
    c, s = 0.9 * math.cos(0.4), 0.9 * math.sin(0.4)
    (found,) = views.eigenvalues(weights_of([[c, -s], [s, c]]))["sets"]
    assert found["values"] == pytest.approx([c + 1j * s, c - 1j * s])
    assert found["radius"] == pytest.approx(0.9)


def test_eigenvalues_of_a_triangular_matrix_are_its_diagonal_the_largest_first():
    matrix = np.triu(inputs(5, 5))
    (found,) = views.eigenvalues(matrix)["sets"]
    diagonal = np.diag(matrix)
    assert found["values"] == pytest.approx(diagonal[np.argsort(-np.abs(diagonal))])


def test_eigenvalues_of_fixed_points_are_those_of_their_jacobians():
    points = elman.dynamics.fixed_points(weights_of(TWO_STATES))
    sets = views.eigenvalues(points)["sets"]
    assert len(sets) == len(points) == 3
    for one, point in zip(sets, points, strict=True):
        slope = 1 - np.asarray(point.state) ** 2  # of tanh at its fixed point
        own = np.sort(slope * np.diag(TWO_STATES))[::-1]
        assert one["values"].real == pytest.approx(own)
        assert np.array_equal(views.eigenvalues(point)["sets"][0]["values"], one["values"])


@pytest.mark.parametrize("thing", ["abc", None, [[1.0, 2.0]], [1.0], np.zeros((0, 0))])
def test_other_things_have_no_eigenvalues(thing):
    with pytest.raises(elman.ElmanError, match="thing: expected a"):
        views.eigenvalues(thing)


# --- activity -------------------------------------------------------------------------------------


def test_states_are_those_of_the_trace_in_the_order_of_their_units():
    net = elman.Network(2, [6, 4], 1, direction=["forward", "bidirectional"], seed=0)
    trace = net.trace(inputs(3, 20, 2))
    view = views.states(trace, sequence=2)
    halves = [trace.layers[0], trace.layers[1], trace.layers[1].reverse]
    assert [panel["name"] for panel in view["panels"]] == [
        "layer 0",
        "layer 1 forward",
        "layer 1 reverse",
    ]
    for panel, half in zip(view["panels"], halves, strict=True):
        assert sorted(panel["units"]) == list(range(half.h.shape[-1]))
        assert np.array_equal(panel["values"], half.h[2].T[panel["units"]])


def test_similar_units_are_neighbours():
    """Units that copy one of three waves of different phase, shuffled."""
    waves = np.stack([np.sin(np.arange(60) / 5 + phase) for phase in (0.0, 1.0, 2.2)], axis=1)
    group = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], 4))
    W_xh = np.eye(3)[group]
    net = elman.Network.from_weights([(W_xh, np.zeros((12, 12)), None)], None)
    found = group[views.states(net.trace(waves))["panels"][0]["units"]]
    changes = np.count_nonzero(np.diff(found))
    assert changes <= 3  # a group may lie on both sides of the cut
    assert np.count_nonzero(np.diff(group)) > 3


def test_units_by_peak_are_sorted_by_the_step_of_their_largest_value():
    view = views.states(elman.Network(2, 16, 1, seed=0).trace(inputs(30, 2)), order="peak")
    peaks = view["panels"][0]["values"].argmax(axis=1)
    assert (np.diff(peaks) >= 0).all()
    given = views.states(elman.Network(2, 16, 1, seed=0).trace(inputs(30, 2)), order="given")
    assert given["panels"][0]["units"].tolist() == list(range(16))


def test_constant_units_come_last():
    net = elman.Network.from_weights(
        [([[0.0], [1.0], [0.0], [-1.0]], np.zeros((4, 4)), [0.5, 0.0, 0.9, 0.0])], None
    )
    (panel,) = views.states(net.trace(inputs(20, 1)))["panels"]
    assert panel["units"].tolist()[2:] == [2, 0]
    assert sorted(panel["units"].tolist()[:2]) == [1, 3]


def test_padding_is_left_out_and_masked_steps_are_unknown():
    net = elman.Network(1, 4, 1, seed=0)
    view = views.states(net.trace(inputs(2, 9, 1), lengths=[9, 5]), sequence=1)
    assert view["panels"][0]["values"].shape == (4, 5)
    mask = np.ones((1, 9), bool)
    mask[0, [2, 6]] = False
    values = views.states(net.trace(inputs(1, 9, 1), mask=mask))["panels"][0]["values"]
    assert np.array_equal(np.isnan(values).all(axis=0), ~mask[0])


def test_the_limits_are_symmetric_where_values_are_negative():
    net = elman.Network(1, 4, 1, seed=0)
    (panel,) = views.states(net.trace(inputs(9, 1)))["panels"]
    largest = float(np.abs(panel["values"]).max())
    assert panel["limits"] == (-largest, largest)
    relu = elman.Network(1, 4, 1, activation="relu", seed=0)
    assert views.states(relu.trace(inputs(9, 1)))["panels"][0]["limits"][0] == 0.0


def test_a_sequence_has_inputs_and_outputs_with_the_names_of_the_table():
    table = elman.Table(inputs=["heat", "load"], targets=["wear"])
    net = elman.Network(2, 4, 1, seed=0, table=table)
    x = inputs(3, 9, 2)
    trace = net.trace(x)
    view = views.sequence(trace, sequence=1)
    assert np.array_equal(view["x"], trace.x[1])
    assert np.array_equal(view["y"], net(x)[1])
    assert (view["inputs"], view["outputs"]) == (["heat", "load"], ["wear"])
    bare = views.sequence(elman.Network(2, 4, None, seed=0).trace(x))
    assert (bare["inputs"], bare["y"]) == (["x[0]", "x[1]"], None)


def test_principal_components_agree_with_the_singular_value_decomposition():
    net = elman.Network(2, [6, 5], 1, seed=0, dtype="float64")
    trace = net.trace(inputs(4, 30, 2))
    view = views.trajectory(trace)
    states = trace.hidden.reshape(-1, 11)
    centred = states - states.mean(axis=0)
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    assert np.abs((view["components"] * rows[:2]).sum(axis=1)) == pytest.approx([1.0, 1.0])
    assert view["variance"] == pytest.approx(sizes[:2] ** 2 / (sizes**2).sum())
    found = np.concatenate(view["paths"])
    assert np.abs(found) == pytest.approx(np.abs(centred @ rows[:2].T), abs=1e-9)
    largest = np.abs(view["components"]).argmax(axis=1)
    assert (view["components"][[0, 1], largest] > 0).all()


def test_padding_does_not_count_for_principal_components():
    net = elman.Network(2, 6, 1, seed=0, dtype="float64")
    x, lengths = inputs(2, 30, 2), [30, 12]
    padded = views.trajectory(net.trace(x, lengths=lengths))
    hidden = net.run(x, return_hidden=True).hidden
    real = np.concatenate([hidden[0], hidden[1, :12]])
    assert padded["mean"] == pytest.approx(real.mean(axis=0))
    assert [len(path) for path in padded["paths"]] == lengths


def test_fixed_points_are_projected_as_the_states_are():
    net = weights_of(TWO_STATES)
    points = elman.dynamics.fixed_points(net)
    trace = net.trace(np.zeros((1, 5, 1)), state=[[0.3, 0.9]])
    view = views.trajectory(trace, fixed_points=points)
    again = (points.states - view["mean"]) @ view["components"].T
    assert view["fixed_points"] == pytest.approx(again)
    assert sorted(view["stable"]) == [False, True, True]


def test_what_has_no_trace_or_sequence_is_refused():
    net = elman.Network(1, 4, 1, seed=0)
    with pytest.raises(elman.ArgumentTypeError, match=r"trace: expected .* net.trace\(x\), got "):
        views.states(net.run(inputs(9, 1)))
    with pytest.raises(elman.ArgumentError, match="sequence: expected -2 to 1, got 2"):
        views.states(net.trace(inputs(2, 9, 1)), sequence=2)
    with pytest.raises(elman.ArgumentError, match="order: expected 'similarity' or 'peak' or"):
        views.sequence(net.trace(inputs(9, 1)), order="size")


def test_what_is_not_finite_does_not_count_and_nothing_is_refused():
    net = elman.Network(1, 4, 1, seed=0, dtype="float64")
    x = inputs(9, 1)
    x[5] = np.nan
    view = views.trajectory(net.trace(x))
    assert view["mean"] == pytest.approx(net.run(x[:5], return_hidden=True).hidden.mean(axis=0))
    assert np.isnan(views.states(net.trace(x))["panels"][0]["values"][:, 5:]).all()
    for empty in (np.ones((0, 1)), np.ones((0, 4, 1)), np.full((3, 1), np.nan)):
        with pytest.raises(elman.ArgumentError, match="trace: expected at least one "):
            views.trajectory(net.trace(empty))
    with pytest.raises(elman.ArgumentError, match="trace: expected at least one real step"):
        views.sequence(net.trace(np.ones((2, 4, 1)), lengths=[0, 4]))
    with pytest.raises(elman.ArgumentTypeError, match=r"fixed_points: expected .* got int"):
        views.trajectory(net.trace(x), fixed_points=[1])


# --- phase plane ----------------------------------------------------------------------------------


def test_the_field_of_a_phase_plane_is_a_step_of_the_network():
    W_hh, b = np.array([[1.8, 0.3], [0.2, 1.6]]), np.array([0.1, -0.2])
    view = views.phase_plane(weights_of(W_hh, b=b))
    grid = np.stack(np.meshgrid(*view["axes"]), axis=-1)
    moved = np.tanh(grid @ W_hh.T + b) - grid
    assert np.moveaxis(view["moved"], 0, -1) == pytest.approx(moved, abs=1e-12)


def test_the_fixed_points_of_a_phase_plane_have_their_kinds():
    view = views.phase_plane(weights_of(TWO_STATES))
    found = {kind: view["fixed_points"][i] for i, kind in enumerate(view["kinds"])}
    stable = sorted(
        view["fixed_points"][i, 0] for i, kind in enumerate(view["kinds"]) if kind == "stable"
    )
    assert stable == pytest.approx([-0.9575040240772687, 0.9575040240772687])  # h = tanh(2 h)
    assert found["saddle"] == pytest.approx([0.0, 0.0])
    spiral = views.phase_plane(weights_of([[1.0, -0.8], [0.8, 1.0]]))
    assert spiral["kinds"] == ["unstable"]
    assert views.phase_plane(weights_of([[1.0, 0.0], [0.0, 0.5]], f="identity"))["kinds"]


def test_the_paths_of_a_phase_plane_are_runs_from_their_starts():
    net = weights_of(TWO_STATES)
    starts = np.array([[0.5, -0.5], [-0.1, 0.9]])
    view = views.phase_plane(net, starts=starts)
    assert np.array_equal(view["paths"][:, 0], starts)
    for i in range(3):
        assert view["paths"][:, i + 1] == pytest.approx(np.tanh(view["paths"][:, i] @ TWO_STATES))


def test_a_phase_plane_of_two_layers_of_one_unit():
    net = elman.Network(1, [1, 1], None, seed=0, activation=["sigmoid", "tanh"])
    view = views.phase_plane(net, [0.5])
    assert view["axes"][0][0] > -0.2  # a sigmoid is never below 0
    assert view["axes"][1][0] < -1.0


@pytest.mark.parametrize(
    ("net", "arguments", "sentence"),
    [
        ((1, 3, 1), {}, "net: expected a state of 2 units for a phase plane, got 3: .*trajectory"),
        ((1, 2, 1), {"starts": [1.0, 2.0]}, r"starts: expected states \(K, 2\), got \(2,\)"),
        ((1, 2, 1), {"x": [1.0, 2.0]}, "x: expected .*"),
    ],
)
def test_other_phase_planes_are_refused(net, arguments, sentence):
    with pytest.raises(elman.ShapeError, match=sentence):
        views.phase_plane(elman.Network(*net, seed=0), **arguments)


def test_a_phase_plane_needs_layers_that_run_forward():
    net = elman.Network(1, 2, 1, direction="reverse", seed=0)
    with pytest.raises(elman.UnsupportedModelError, match="net: expected layers that run forward"):
        views.phase_plane(net)


# --- learning -------------------------------------------------------------------------------------


def test_a_history_is_read_from_a_result_a_history_and_a_dict():
    net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    x = inputs(50, 1)
    result = elman.train(net, x, x, epochs=3, validation=0.2)
    first = views.history(result)
    assert first["loss"].tolist() == result.history.loss
    assert first["learning_rate"].tolist() == result.history.learning_rate
    assert first["best_epoch"] == result.history.best_epoch
    again = views.history(result.history.as_dict())
    for name in ("epoch", "loss", "validation_loss", "learning_rate"):
        assert np.array_equal(again[name], views.history(result.history)[name])
    with pytest.raises(elman.ArgumentTypeError, match=r"result: expected .* got Network"):
        views.history(net)
    with pytest.raises(elman.ArgumentError, match=r"result: expected .* one epoch, got none"):
        views.history({"epoch": [], "loss": []})


def test_a_comparison_has_a_difference_for_each_part():
    report = elman.Comparison("keras", 0.5, [1e-7, None], 1e4, 0.25, 3, ["activation"])
    view = views.comparison(report)
    assert view["parts"] == ["layer 0", "layer 1", "output"]
    assert view["differences"] == pytest.approx([1e-7, math.nan, 0.5], nan_ok=True)
    assert (view["ok"], view["verdict"]) == (False, str(report))
    with pytest.raises(elman.ArgumentTypeError, match=r"report: expected .* got str"):
        views.comparison("report")


@pytest.mark.parametrize("w", [0.5, -1.5])
def test_the_gradient_of_a_linear_unit_is_a_power_of_its_weight(w):
    net = weights_of([[w]], f="identity")
    flow = elman.dynamics.gradient_flow(net, inputs(6, 1), inputs(1), outputs="last")
    view = views.gradients(flow)
    powers = np.abs(w) ** np.arange(6)
    assert view["relative"].shape == (1, 6)  # only the last step has a loss
    for found in (view["relative"][0], view["products"], view["bound"]):
        assert found == pytest.approx(powers)
    assert view["total"][0] / view["total"][0, -1] == pytest.approx(powers[::-1])


def test_the_sequences_of_a_batch_count_alike_in_a_flow():
    net = elman.Network(2, 8, 1, seed=0, dtype="float64")
    x, y = inputs(3, 10, 2), inputs(3, 10, 1)
    view = views.gradients(elman.dynamics.gradient_flow(net, x, y))
    one = views.gradients(elman.dynamics.gradient_flow(net, x[1], y[1]))
    assert view["total"][1] == pytest.approx(one["total"][0])
    assert view["relative"][10:20] == pytest.approx(one["relative"], nan_ok=True)


def test_products_that_would_take_long_are_left_out(monkeypatch):
    monkeypatch.setattr(sys.modules["elman.views.learning"], "PRODUCTS", 10)
    flow = elman.dynamics.gradient_flow(elman.Network(2, 8, 1, seed=0), inputs(9, 2), inputs(9, 1))
    assert views.gradients(flow)["products"] is None


def test_a_forecast_has_a_chart_for_each_column_of_each_sequence():
    net = elman.Network(2, 4, 2, seed=0)
    result = elman.forecast(net, inputs(200, 2), steps=6)
    charts = views.forecast(result)["charts"]
    assert [chart["column"] for chart in charts] == list(result.columns)
    for j, chart in enumerate(charts):
        assert np.array_equal(chart["values"], result.values[:, j])
        assert chart["steps"].tolist() == [1, 2, 3, 4, 5, 6]
        assert chart["past_steps"][-1] == chart["earlier_steps"][-1] == 0


# --- JSON -----------------------------------------------------------------------------------------


def every_view():
    net = elman.Network(1, 2, 1, output_activation="identity", seed=0)
    x = inputs(60, 1)
    trace = net.trace(x)
    yield views.network(net)
    yield views.unrolled(trace)
    yield views.weights(net)
    yield views.eigenvalues(net)
    yield views.phase_plane(net)
    yield views.states(trace)
    yield views.sequence(trace)
    yield views.trajectory(trace)
    yield views.gradients(elman.dynamics.gradient_flow(net, x, x))
    yield views.history(elman.train(net, x, x, epochs=2))
    yield views.comparison(elman.Comparison("keras", 0.5, [None], 1e4, 0.25, 3, []))
    yield views.forecast(elman.forecast(net, x, steps=3))


def test_every_view_is_strict_json_with_its_kind():
    def refuse(name):
        raise AssertionError(name)

    kinds = []
    for view in every_view():
        text = views.to_json(view)
        assert "\n" not in text
        kinds.append(json.loads(text, parse_constant=refuse)["kind"])
    assert sorted([*kinds, "to_json"]) == views.__all__


def test_json_has_pairs_for_complex_numbers_text_for_dates_and_null_for_nan():
    view = {
        "values": np.array([1 + 2j]),
        "times": np.array(["2024-01-02T03", "NaT"], "M8[h]"),
        "size": np.float32(0.5),
        "missing": [math.nan, -math.inf, None],
    }
    assert json.loads(views.to_json(view)) == {
        "values": [[1.0, 2.0]],
        "times": ["2024-01-02T03", "NaT"],
        "size": 0.5,
        "missing": [None, None, None],
    }


def test_views_need_numpy_only():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import elman\n"
        "elman.views.weights(elman.Network(1, 2, 1, seed=0))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_sequence_counts_from_the_end_too():
    trace = elman.Network(2, 3, 1, seed=0).trace(np.random.default_rng(0).random((2, 5, 2)))
    for of_trace in (views.states, views.sequence, views.unrolled):
        ends = (of_trace(trace, sequence=number) for number in (1, -1))
        one, other = (views.to_json({**view, "sequence": None}) for view in ends)
        assert one == other


def test_the_eigenvalues_of_a_complex_matrix_are_complex():
    assert views.eigenvalues([[1j]])["sets"][0]["values"].tolist() == [1j]


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (np.array(2.0), r"thing: expected a square matrix \(N, N\), got \(\)"),
        ([[np.nan]], "thing: expected finite numbers"),
    ],
)
def test_what_has_no_eigenvalues_is_refused(matrix, sentence):
    with pytest.raises(elman.ElmanError, match=sentence):
        views.eigenvalues(matrix)


def test_no_fixed_points_have_no_eigenvalues():
    shift = elman.Network.from_weights(
        [([[0.0]], [[1.0]], [1.0])], None, activation="identity", dtype="float64"
    )
    with pytest.raises(elman.ArgumentError, match="thing: expected at least one fixed point"):
        views.eigenvalues(elman.dynamics.fixed_points(shift, n=4))


@pytest.mark.parametrize("points", [3, np.array(2), [1]])
def test_what_is_no_fixed_point_is_refused(points):
    trace = elman.Network(1, 2, 1, seed=0).trace(np.ones((5, 1)))
    with pytest.raises(elman.ArgumentTypeError, match="fixed_points: expected the result of"):
        views.trajectory(trace, fixed_points=points)


def test_fixed_points_of_another_network_are_refused():
    one, other = (elman.Network(1, size, 1, seed=0) for size in (2, 3))
    points = elman.dynamics.fixed_points(other, n=4)
    with pytest.raises(elman.ShapeError, match="fixed_points: expected states "):
        views.trajectory(one.trace(np.ones((5, 1))), fixed_points=points)


def test_a_network_has_no_sequences():
    with pytest.raises(elman.ArgumentError, match="sequence: expected 0 for a network"):
        views.unrolled(elman.Network(1, 2, 1, seed=0), sequence=1)


def test_only_a_view_becomes_json():
    with pytest.raises(elman.ArgumentTypeError, match="view: expected the result of a function"):
        views.to_json(object())


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ({"epoch": [1], "loss": [1, 2]}, "result: expected 1 values of loss"),
        ({"epoch": [1, 2], "loss": []}, "result: expected 2 values of loss"),
        ({"epoch": ["a"], "loss": [1]}, "result: expected a list of numbers for epoch"),
        ({"epoch": [1], "loss": [[1]]}, "result: expected a list of numbers for loss"),
    ],
)
def test_a_history_has_a_number_for_each_epoch(history, sentence):
    with pytest.raises(elman.ElmanError, match=sentence):
        views.history(history)


def test_a_history_may_be_arrays():
    assert views.history({"epoch": np.arange(2), "loss": np.ones(2)})["loss"].tolist() == [1, 1]


def test_states_whose_squares_overflow_have_views():
    grows = elman.Network.from_weights(
        [(np.ones((3, 1)), np.diag([10.0, 20.0, 30.0]), None)],
        None,
        activation="relu",
        dtype="float64",
    )
    trace = grows.trace(np.ones((200, 1)))
    assert np.isfinite(trace.hidden).all()
    assert trace.hidden.max() > 1e200
    assert sorted(views.states(trace)["panels"][0]["units"]) == [0, 1, 2]
    assert np.isfinite(views.trajectory(trace)["paths"][0]).all()
