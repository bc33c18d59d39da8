"""Pictures, by what is on their axes: lines, labels, texts and images."""

from __future__ import annotations

import io
import itertools
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import elman

plot = pytest.importorskip("elman.plot")
mpl = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Circle  # noqa: E402

from elman import views  # noqa: E402
from elman.plot import paper  # noqa: E402
from elman.plot.drawing import draw_view  # noqa: E402

pytestmark = pytest.mark.any_isa

PIXELS = 3  # that a text may be outside of a figure, or over another
NETWORKS = {
    "one unit": elman.Network(1, 1, 1, seed=0),
    "64 units": elman.Network(3, 64, 2, seed=0),
    "three layers": elman.Network(2, [24, 12, 6], 8, seed=0, output_activation="softmax"),
    "bidirectional": elman.Network(3, 8, 2, seed=0, direction="bidirectional"),
    "deep bidirectional": elman.Network(3, [8, 4], 2, seed=0, direction="bidirectional"),
    "reverse, scaled": elman.Network(
        2, 5, 1, seed=0, direction="reverse", bias=False, input_mean=[0, 1], output_std=[2]
    ),
    "no readout": elman.Network(8, 5, None, seed=0, activation="relu"),
    "long names": elman.Network(
        1, 4, 1, seed=0, activation=elman.Activation("thresholded_relu", alpha=0.25, clip=3)
    ),
}


def inputs(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def trace_of(net, T, batch=()):
    return net.trace(inputs(*batch, T, net.input_size))


def two_units():
    return elman.Network.from_weights(
        [(np.zeros((2, 1)), [[1.8, 0.3], [0.2, 1.6]], [0.1, 0.0])], None
    )


def flow_of(net, T, **options):
    x, y = inputs(T, net.input_size), np.zeros((T, net.output_size))
    return elman.dynamics.gradient_flow(net, x, y, **options)


def drawn(ax):
    """Render a figure, so that everything has its place."""
    paper.figure_of(ax).draw_without_rendering()


def words_drawn(ax):
    """Return the texts that are drawn, with their boxes in pixels."""
    found = {}

    def record(text, renderer):
        draw(text, renderer)
        if text.get_text().strip():
            found[text] = text.get_window_extent(renderer).extents

    draw = mpl.text.Text.draw
    with mock.patch.object(mpl.text.Text, "draw", record):
        drawn(ax)
    return [(text.get_text(), box) for text, box in found.items()]


def lines_of(ax):
    """Return the lines with a label by it."""
    return {
        line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")
    }


def pictures():
    """Yield pictures of every kind, of small, large, deep and bidirectional networks."""
    for name, net in NETWORKS.items():
        yield f"network, {name}", plot.network(net)
    for name in ("one unit", "three layers"):
        net = NETWORKS[name]
        yield f"weights, {name}", plot.weights(net)
        yield f"sequence, {name}", plot.sequence(trace_of(net, 1000))
        yield f"states, {name}", plot.states(trace_of(net, 1))
        yield f"eigenvalues, {name}", plot.eigenvalues(net)
        yield f"trajectory, {name}", plot.trajectory(trace_of(net, 12, (4,)))
    for name in ("deep bidirectional", "no readout"):
        yield f"unrolled, {name}", plot.unrolled(NETWORKS[name])
    yield "unrolled trace", plot.unrolled(trace_of(NETWORKS["deep bidirectional"], 3))
    for T, mode in ((3, "one-to-many"), (12, "many-to-one"), (1000, None)):
        yield f"unrolled, {T}", plot.unrolled(two_units(), T, mode or "many-to-many")
    yield "gradients", plot.gradients(flow_of(NETWORKS["three layers"], 12))
    yield "phase plane", plot.phase_plane(two_units())
    yield "history", plot.history({"epoch": [1, 2], "loss": [3, 2], "learning_rate": [0.1, 0.2]})
    report = elman.Comparison("the evaluator of onnx", 0.5, [1e-7, None, 0.0], 1e4, 0.25, 3, [])
    yield "comparison", plot.comparison(report)
    yield "forecast", plot.forecast(_forecast())


def _forecast():
    return elman.forecast(elman.Network(2, 4, 2, seed=0), inputs(200, 2), steps=6)


@pytest.fixture(scope="module")
def every():
    """All pictures, rendered, with the texts that are drawn on them."""
    return {name: (ax, words_drawn(ax)) for name, ax in pictures()}


# --- all pictures ---------------------------------------------------------------------------------


def test_no_text_leaves_its_figure_or_lies_over_another(every):
    cut, over = [], []
    for name, (ax, words) in every.items():
        page = paper.figure_of(ax).bbox
        for text, (x0, y0, x1, y1) in words:
            if min(x0, y0) < -PIXELS or x1 > page.x1 + PIXELS or y1 > page.y1 + PIXELS:
                cut.append((name, text))
        for (one, a), (other, b) in itertools.combinations(words, 2):
            wide, high = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            if wide > PIXELS and high > PIXELS:
                over.append((name, one, other))
    assert cut == []
    assert over == []


def test_panels_stay_inside_the_axes_and_apart(every):
    for name, (ax, _) in every.items():
        area = ax.get_position(original=True)
        boxes = [panel.get_position() for panel in ax.child_axes]
        for box in boxes:
            assert area.x0 - 1e-6 <= box.x0 < box.x1 <= area.x1 + 1e-6, name
            assert area.y0 - 1e-6 <= box.y0 < box.y1 <= area.y1 + 1e-6, name
        for a, b in itertools.combinations(boxes, 2):
            wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide <= 1e-6 or high <= 1e-6, name


def test_a_picture_is_drawn_on_given_axes_and_returns_them():
    net, figure = two_units(), Figure(figsize=(24, 18), layout="constrained")
    trace, flow = trace_of(net, 9), flow_of(net, 9)
    draw = [
        lambda ax: plot.network(net, ax=ax),
        lambda ax: plot.unrolled(net, ax=ax),
        lambda ax: plot.weights(net, ax=ax),
        lambda ax: plot.eigenvalues(net, ax=ax),
        lambda ax: plot.phase_plane(net, ax=ax),
        lambda ax: plot.states(trace, ax=ax),
        lambda ax: plot.sequence(trace, ax=ax),
        lambda ax: plot.trajectory(trace, ax=ax),
        lambda ax: plot.gradients(flow, ax=ax),
        lambda ax: plot.history({"epoch": [1, 2], "loss": [2, 1], "learning_rate": [2, 1]}, ax=ax),
        lambda ax: plot.comparison(elman.Comparison("keras", 0.5, [0.1], 2, 0.5, 0, []), ax=ax),
        lambda ax: plot.forecast(_forecast(), ax=ax),
    ]
    assert len(draw) == len(plot.__all__)
    for function, ax in zip(draw, figure.subplots(3, 4).flat, strict=True):
        assert function(ax) is ax
        assert ax.figure is figure
    assert len(figure.axes) == 12  # panels belong to the axes that they are in
    FigureCanvasAgg(figure).draw()
    for a, b in itertools.combinations([ax.get_position() for ax in figure.axes], 2):
        assert min(a.x1, b.x1) <= max(a.x0, b.x0) or min(a.y1, b.y1) <= max(a.y0, b.y0)


def test_other_things_than_axes_are_refused():
    with pytest.raises(elman.ArgumentTypeError, match=r"ax: expected axes .* got Figure"):
        plot.network(two_units(), ax=Figure())


def test_pyplot_is_not_imported_and_nothing_global_changes():
    code = (
        "import sys, elman, matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "net = elman.Network(1, 2, 1, seed=0)\n"
        "elman.plot.sequence(net.trace([[1.0]]))._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_a_picture_has_the_same_bytes_again(form):
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        paper.save(plot.network(two_units()), file, form)
    assert files[0].getvalue() == files[1].getvalue()
    assert len(files[0].getvalue()) > 1000


def test_a_view_is_drawn_as_the_function_of_its_name_draws():
    net = two_units()
    files = [io.BytesIO(), io.BytesIO()]
    paper.save(draw_view(views.unrolled(net, 3)), files[0], "svg")
    paper.save(plot.unrolled(net, 3), files[1], "svg")
    assert files[0].getvalue() == files[1].getvalue()


def luminance(color):
    """Return the relative luminance of sRGB, after WCAG."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_values_are_told_apart_in_grey():
    shades = [luminance(mpl.colormaps[paper.VALUES](v)) for v in np.linspace(0, 1, 64)]
    assert (np.diff(shades) > 0).all()


def test_lines_differ_in_dashes_and_can_be_seen_on_white():
    looks = [paper.style(i) for i in range(6)]
    assert len({str(look["linestyle"]) for look in looks}) == 6
    assert len({look["color"] for look in looks}) == 6
    for color in paper.SERIES:
        assert (1.0 + 0.05) / (luminance(color) + 0.05) > 2  # contrast


# --- diagrams -------------------------------------------------------------------------------------


def words_of(ax):
    return [text.get_text() for text in ax.texts]


def test_a_network_is_labelled_with_letters_and_sizes():
    words = words_of(plot.network(elman.Network(16, 32, 4, seed=0)))
    for expected in (
        "$x_t$",
        "$h_t$",
        "$y_t$",
        "$h_{t-1}$",
        "tanh",
        "sigmoid",
        "$b_h$",
        "$b_y$",
        "16 inputs",
        "4 outputs",
        "layer 0: 32 units, tanh",
    ):
        assert words.count(expected) == 1, expected
    shapes = {word.replace("  ", " ") for word in words if "×" in word}
    assert shapes == {"$W_{xh}$ 32 × 16", "$W_{hh}$ 32 × 32", "$W_{hy}$ 4 × 32"}
    assert any("mathrm{tanh}(W_{hh} h_{t-1} + W_{xh} x_t + b_h)" in word for word in words)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_shape_of_a_large_matrix_is_beside_the_sum_that_it_feeds(direction):
    ax = plot.network(elman.Network(1, 2000, 1, seed=0, direction=direction))
    drawn(ax)
    circles = [patch for patch in ax.patches if isinstance(patch, Circle)]
    shapes = [text for text in ax.texts if "W_{hh}$" in text.get_text()]
    assert len(shapes) == (1 if direction == "forward" else 2)
    for text, circle in itertools.product(shapes, circles):
        assert not text.get_window_extent().overlaps(circle.get_window_extent())


def test_a_network_without_biases_readout_or_scaling_shows_none():
    words = words_of(plot.network(elman.Network(2, 3, None, bias=False, seed=0)))
    assert not {"$b_h$", "$b_y$", "$y_t$"} & set(words)
    assert "3 outputs: $y_t = h_t$" in words
    scaled = words_of(plot.network(NETWORKS["reverse, scaled"]))
    assert "$h_{t+1}$" in scaled
    assert sum("mathrm{std}" in word for word in scaled) == 2


def test_an_unrolled_network_shows_each_step():
    words = words_of(plot.unrolled(elman.Network(2, 8, 1, seed=0), 5))
    for letter in "xhy":
        shown = [word for word in words if word.startswith(f"${letter}_") and "-" not in word]
        assert shown == [f"${letter}_{{{t}}}$" for t in range(5)]
    assert words.count("$W_{hh}$") == 5
    assert words_of(plot.unrolled(elman.Network(2, 8, 1, seed=0), 12)).count("$W_{hh}$") == 1


def test_one_matrix_has_one_colour_and_one_kind_of_line():
    net = elman.Network(2, [8, 8], 1, seed=0)
    ax = plot.unrolled(net, 3)
    looks = [(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.get_lines()]
    assert len(set(looks)) == len([name for name in net.tensors() if "W_" in name]) == 5
    assert all(looks.count(look) == 3 for look in set(looks))


def test_an_unrolled_trace_has_a_column_of_values_at_each_node():
    trace = trace_of(elman.Network(2, 8, 1, seed=0), 3)
    ax = plot.unrolled(trace)
    columns = [np.asarray(image.get_array())[:, 0] for image in ax.get_images()]
    assert [len(column) for column in columns] == [2] * 3 + [8] * 3 + [1] * 3
    for t in range(3):
        assert np.array_equal(columns[3 + t], trace.layers[0].h[t])
    assert len({image.get_clim() for image in ax.get_images()[3:6]}) == 1
    low, high = ax.get_images()[3].get_clim()
    said = f"states from {low:.2g} (dark) to {high:.2g} (light)"
    assert ax.get_title(loc="left").endswith(said)


# --- matrices -------------------------------------------------------------------------------------


def test_weights_are_images_of_one_scale():
    net = elman.Network(3, 8, 2, seed=0)
    panels = [panel for panel in plot.weights(net).child_axes if panel.get_images()]
    titles = [panel.get_title() for panel in panels]
    assert titles == ["$W_{hy}$", "$b_{y}$", "$W_{xh}$", "$W_{hh}$", "$b_{h}$"]
    images = {t: panel.get_images()[0] for t, panel in zip(titles, panels, strict=True)}
    assert np.array_equal(images["$W_{hh}$"].get_array(), net.layers[0].W_hh)
    assert np.array_equal(images["$b_{y}$"].get_array()[:, 0], net.readout.b_y)
    assert len({image.get_clim() for image in images.values()}) == 1
    assert images["$W_{hh}$"].get_clim()[0] == -images["$W_{hh}$"].get_clim()[1]
    assert panels[3].get_xlabel() == "8 × 8"


def test_small_weights_show_their_numbers():
    net = elman.Network.from_weights([([[0.5], [-0.25]], [[1, 2], [3, -4]], None)], None)
    W_xh, W_hh = (panel for panel in plot.weights(net).child_axes if panel.get_images())
    assert [text.get_text() for text in W_xh.texts] == ["0.50", "-0.25"]
    where = {text.get_position(): text.get_text() for text in W_hh.texts}
    assert where == {(0, 0): "1.00", (1, 0): "2.00", (0, 1): "3.00", (1, 1): "-4.00"}
    large = elman.Network(3, 9, None, seed=0)
    assert not any(panel.texts for panel in plot.weights(large).child_axes)


def test_eigenvalues_are_points_around_the_unit_circle():
    net = elman.Network(3, [8, 4], 2, seed=0)
    ax = plot.eigenvalues(net)
    assert [patch.get_radius() for patch in ax.patches] == [1]
    points = list(lines_of(ax).values())
    for layer, line in zip(net.layers, points, strict=True):
        own = np.linalg.eigvals(layer.W_hh.astype(float))
        found = line.get_xdata() + 1j * line.get_ydata()
        assert np.sort_complex(found) == pytest.approx(np.sort_complex(own))
    assert points[0].get_marker() != points[1].get_marker()
    assert re.match(r"layer 0: largest 0\.\d+", points[0].get_label())
    assert ax.get_aspect() == 1.0


# --- activity -------------------------------------------------------------------------------------


def panels_of(ax):
    """Return the panels that are not scales of colours."""
    return [panel for panel in ax.child_axes if panel.get_images() or panel.get_lines()]


def test_states_are_images_of_units_by_time():
    trace = trace_of(NETWORKS["three layers"], 30)
    panels = panels_of(plot.states(trace))
    assert [panel.get_title(loc="left") for panel in panels] == ["layer 2", "layer 1", "layer 0"]
    top = panels[0]
    order = [int(label.get_text()) for label in top.get_yticklabels()]
    assert np.array_equal(top.get_images()[0].get_array(), trace.layers[2].h.T[order])
    assert panels[2].get_ylabel() == "24 units"
    assert panels[-1].get_xlabel() == "step t"
    assert len({panel.get_xlim() for panel in panels}) == 1


def test_a_sequence_aligns_output_states_and_input():
    net = elman.Network(2, 6, 1, seed=0)
    trace = trace_of(net, 40)
    output, states, given = panels_of(plot.sequence(trace))
    assert np.array_equal(output.get_lines()[0].get_ydata(), trace.y[:, 0])
    assert np.array_equal(given.get_lines()[1].get_ydata(), trace.x[:, 1])
    assert states.get_images()[0].get_array().shape == (6, 40)
    assert output.get_xlim() == states.get_xlim() == given.get_xlim() == (-0.5, 39.5)
    assert [text.get_text() for text in given.get_legend().get_texts()] == ["x[0]", "x[1]"]
    assert output.get_legend() is None
    one, two = given.get_lines()
    assert one.get_linestyle() != two.get_linestyle() or one.get_marker() != two.get_marker()


def test_many_inputs_are_a_heat_map():
    trace = trace_of(NETWORKS["no readout"], 12)
    *_, given = panels_of(plot.sequence(trace))
    assert np.array_equal(given.get_images()[0].get_array(), trace.x.T)
    assert given.get_ylabel() == "8 inputs"


def test_a_trajectory_has_a_path_for_each_sequence():
    trace = trace_of(NETWORKS["64 units"], 30, (3,))
    ax = plot.trajectory(trace)
    paths = [line for line in ax.get_lines() if len(line.get_xdata()) == 30]
    view = views.trajectory(trace)
    for line, path in zip(paths, view["paths"], strict=True):
        assert np.array_equal(line.get_xydata(), path)
    assert len({line.get_color() for line in paths}) == 3
    assert len({str(line._unscaled_dash_pattern) for line in paths}) == 3
    share = round(100 * view["variance"][0])
    assert ax.get_xlabel() == f"PC 1 ({share} % of variance)"
    starts = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata()[0].tolist() for line in starts] == [
        path[0].tolist() for path in view["paths"]
    ]


def test_sequences_of_one_label_have_one_colour():
    ax = plot.trajectory(trace_of(NETWORKS["64 units"], 9, (4,)), labels=["a", "b", "a", "b"])
    colors = [line.get_color() for line in ax.get_lines() if len(line.get_xdata()) == 9]
    assert colors == [colors[0], colors[1]] * 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    many = plot.trajectory(trace_of(NETWORKS["64 units"], 9, (7,)))
    assert len({line.get_color() for line in many.get_lines()}) == 1
    assert many.get_legend() is None
    with pytest.raises(elman.ArgumentError, match=r"labels: expected one for each of 4 .* got 1"):
        plot.trajectory(trace_of(NETWORKS["64 units"], 9, (4,)), labels=["a"])


def test_a_single_unit_is_drawn_by_time():
    trace = trace_of(NETWORKS["one unit"], 20)
    ax = plot.trajectory(trace)
    (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 20]
    assert line.get_ydata() == pytest.approx(trace.hidden[:, 0], abs=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step t", "$h_t$")


def test_fixed_points_on_a_trajectory_are_black_if_stable():
    net = two_units()
    points = elman.dynamics.fixed_points(net)
    ax = plot.trajectory(trace_of(net, 9), fixed_points=points)
    lines = lines_of(ax)
    stable = sum(bool(point.stable) for point in points)
    assert len(lines["fixed point, stable"].get_xdata()) == stable
    assert len(lines["fixed point, not stable"].get_xdata()) == len(points) - stable > 0
    assert lines["fixed point, not stable"].get_markerfacecolor() == "white"


def test_a_phase_plane_has_arrows_nullclines_and_fixed_points():
    ax = plot.phase_plane(two_units())
    view = views.phase_plane(two_units())
    lines = lines_of(ax)
    for kind in ("stable", "saddle", "unstable"):
        at = view["fixed_points"][[found == kind for found in view["kinds"]]]
        assert np.array_equal(lines[f"fixed point, {kind}"].get_xydata(), at)
    assert (
        len({lines[f"fixed point, {kind}"].get_fillstyle() for kind in ("stable", "saddle")}) == 2
    )
    assert (
        lines["nullcline of unit 0"].get_linestyle() != lines["nullcline of unit 1"].get_linestyle()
    )
    (arrows,) = [each for each in ax.collections if hasattr(each, "U")]
    across = ax.get_xlim()[1] - ax.get_xlim()[0]
    assert np.hypot(arrows.U, arrows.V).max() < across / 12
    vertices = np.concatenate(
        [
            path.vertices
            for each in ax.collections
            if hasattr(each, "levels")
            for path in each.get_paths()
        ]
    )
    W_hh, b = np.array([[1.8, 0.3], [0.2, 1.6]]), np.array([0.1, 0.0])
    still = np.abs(np.tanh(vertices @ W_hh.T + b) - vertices).min(axis=1)
    assert still.max() < 1e-3  # one of the units does not change


# --- learning -------------------------------------------------------------------------------------


def test_a_history_has_losses_the_best_epoch_and_a_strip_for_the_learning_rate():
    history = {
        "epoch": [1, 2, 3],
        "loss": [1.0, 0.1, 0.01],
        "validation_loss": [2.0, 0.2, 0.3],
        "learning_rate": [0.1, 0.05, 0.025],
        "best_epoch": 2,
    }
    ax = plot.history(history)
    lines = lines_of(ax)
    assert lines["training"].get_ydata().tolist() == history["loss"]
    assert lines["validation"].get_ydata().tolist() == history["validation_loss"]
    assert lines["training"].get_linestyle() != lines["validation"].get_linestyle()
    assert lines["best epoch, 2"].get_xdata() == [2, 2]
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "loss")
    (strip,) = ax.child_axes
    assert strip.get_lines()[0].get_ydata().tolist() == history["learning_rate"]
    assert strip.get_xlabel() == "epoch"
    drawn(ax)
    assert strip.get_position().y1 < ax.get_position().y0


def test_a_constant_learning_rate_is_said_and_close_losses_have_a_linear_axis():
    ax = plot.history({"epoch": [1, 2], "loss": [0.5, 0.4], "learning_rate": [0.01, 0.01]})
    assert ax.child_axes == []
    assert ax.get_title(loc="right") == "learning rate 0.01"
    assert (ax.get_yscale(), ax.get_xlabel()) == ("linear", "epoch")
    assert "best" not in "".join(lines_of(ax))


def test_a_comparison_has_a_line_for_each_part():
    report = elman.Comparison("keras", 0.5, [1e-7, None, 0.0], 1e4, 0.25, 3, [])
    ax = plot.comparison(report)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["layer 0", "layer 1", "layer 2", "output", "output, free running"]
    ends = [line.get_xdata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert ends[0] == 1e-7
    assert ends[1] == ax.get_xlim()[0]
    assert ends[2:] == [0.5, 0.25]
    assert "not shown by the source" in words_of(ax)
    assert ax.get_title(loc="left") == "differs from keras:\n1e+04 times what rounding explains"


def test_gradients_are_drawn_by_step_and_by_lag():
    flow = flow_of(NETWORKS["64 units"], 20)
    above, below = plot.gradients(flow).child_axes
    assert np.array_equal(above.get_lines()[0].get_ydata(), flow.total)
    assert above.get_yscale() == below.get_yscale() == "log"
    lines = lines_of(below)
    relative = flow.norms / flow.norms[:, :1]
    assert lines["gradient, median"].get_ydata() == pytest.approx(np.nanmedian(relative, axis=0))
    assert lines["bound for any data"].get_ydata() == pytest.approx(flow.bound)
    products = np.nanmedian(flow.jacobian_norms, axis=0)
    assert lines["product of Jacobians, median"].get_ydata() == pytest.approx(products)
    assert len({str(line.get_linestyle()) for line in lines.values()}) == 3


def test_the_words_on_gradients_explain_the_line_first_and_hide_what_is_behind():
    _, below = plot.gradients(flow_of(NETWORKS["64 units"], 20)).child_axes
    legend = below.get_legend()
    assert [text.get_text() for text in legend.get_texts()][:2] == ["gradient, median", "its range"]
    assert legend.get_frame_on()
    assert legend.get_frame().get_facecolor()[3] > 0.7


def test_a_gradient_of_zero_has_a_picture_and_no_warning(recwarn):
    net = elman.Network.from_weights([([[1.0]], [[1.0]], None)], None)
    flow = elman.dynamics.gradient_flow(net, np.zeros((5, 1)), np.zeros((5, 1)))
    assert not flow.total.any()
    _, below = plot.gradients(flow).child_axes
    assert np.isnan(lines_of(below)["gradient, median"].get_ydata()).all()
    assert not recwarn.list


def test_an_exploding_bound_leaves_the_gradients_visible():
    net = elman.Network(1, 8, 1, seed=0)
    large = net.replace(tensors={"layers.0.W_hh": 60 * net.layers[0].W_hh})
    _, below = plot.gradients(flow_of(large, 30)).child_axes
    low, high = below.get_ylim()
    shown = lines_of(below)["product of Jacobians, median"].get_ydata()
    assert np.nanmax(shown) < high < 1e3 * max(np.nanmax(shown), 1.0)
    assert low <= np.nanmin(shown[np.isfinite(shown)])


def test_names_of_columns_are_labels_as_they_are():
    table = elman.Table(inputs=["_a", "$x^2$", "$\\frac{", "b" * 99], targets=["y"])
    net = elman.Network(4, 3, 1, seed=0, table=table)
    ax = elman.plot.sequence(net.trace(np.random.default_rng(0).random((9, 4))))
    labels = [text.get_text() for text in ax.child_axes[-2].get_legend().get_texts()]
    assert labels == [r"$\_$a", r"\$x^2\$", r"\$\frac{", "b" * 31 + "…"]
    ax.figure.savefig(io.BytesIO())  # nothing is parsed as mathematics


def test_long_names_leave_room_for_the_picture():
    names = [f"a long name of column {i}" for i in range(6)]
    net = elman.Network(6, 3, 1, seed=0, table=elman.Table(inputs=names, targets=["y"]))
    ax = elman.plot.sequence(net.trace(np.random.default_rng(0).random((9, 6))))
    ax.figure.savefig(io.BytesIO())
    assert ax.get_position().width > 0.7


def test_a_picture_replaces_the_panels_of_another():
    net = elman.Network(1, 3, 1, seed=0)
    ax = elman.plot.states(net.trace(np.ones((5, 1))))
    panels = len(ax.child_axes)
    assert len(elman.plot.states(net.trace(np.ones((9, 1))), ax=ax).child_axes) == panels


def test_axes_with_a_projection_are_refused():
    ax = Figure().add_subplot(projection="polar")
    with pytest.raises(elman.ArgumentTypeError, match="got a projection 'polar'"):
        elman.plot.network(elman.Network(1, 2, 1, seed=0), ax=ax)


def test_gradients_that_explode_are_drawn():
    grows = elman.Network.from_weights(
        [(np.ones((1, 1)), [[30.0]], None)], None, activation="identity", dtype="float64"
    )
    flow = elman.dynamics.gradient_flow(grows, np.ones((101, 1)), np.ones((101, 1)))
    elman.plot.gradients(flow).figure.savefig(io.BytesIO())
