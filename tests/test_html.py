"""What a notebook shows of results: short tables of HTML, well-formed and escaped."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

import elman
from elman import _html

pytestmark = pytest.mark.any_isa

VOID = {"polyline"}


class Reader(HTMLParser):
    """Read tables; fail where elements are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        else:
            self.words.append(data)


def read(thing):
    """Return the rows of a thing's table, and the text below it."""
    text = thing if isinstance(thing, str) else thing._repr_html_()
    assert len(text) < 6000
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert len(reader.rows) <= 26
    return reader.rows, " ".join(reader.words)


@pytest.fixture
def net():
    return elman.Network(2, 3, 1, output_activation="identity", seed=0)


def series(net, steps=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, net.input_size)), rng.normal(size=(steps, net.output_size))


# --- networks -------------------------------------------------------------------------------------


def test_a_network_has_a_row_for_each_layer():
    net = elman.Network(
        3,
        [8, 4],
        2,
        activation=[("relu", "tanh"), "tanh"],
        direction=["bidirectional", "forward"],
    )
    rows, words = read(net)
    assert rows == [
        ["", "inputs", "units", "activation", "direction"],
        ["layer 0", "3", "2 x 8", "relu and tanh", "bidirectional"],
        ["layer 1", "16", "4", "tanh", "forward"],
        ["readout", "4", "2", "sigmoid", ""],
    ]
    assert words == repr(net)
    assert len(read(elman.Network(3, 4, None))[0]) == 2


def test_a_layer_shows_its_matrices(net):
    layer = net.layers[0]
    rows, words = read(layer)
    assert [row[:2] for row in rows] == [
        ["", "shape"],
        ["W_xh", "(3, 2)"],
        ["W_hh", "(3, 3)"],
        ["b_h", "(3,)"],
    ]
    assert [float(cell) for cell in rows[2][2:]] == pytest.approx(
        [layer.W_hh.min(), layer.W_hh.max()], rel=1e-3
    )
    assert words == "Layer(2 -> 3 tanh)"


def test_both_halves_of_a_layer_are_shown():
    net = elman.Network(2, 3, None, direction="bidirectional", bias=False)
    rows, _ = read(net.layers[0])
    names = [row[0] for row in rows[1:]]
    assert names == ["W_xh", "W_hh", "b_h", "reverse.W_xh", "reverse.W_hh", "reverse.b_h"]
    assert rows[3] == ["b_h", "none", "", ""]


def test_a_readout_shows_its_matrices(net):
    rows, words = read(net.readout)
    assert [row[:2] for row in rows[1:]] == [["W_hy", "(1, 3)"], ["b_y", "(1,)"]]
    assert words == "Readout(3 -> 1 identity)"


# --- results --------------------------------------------------------------------------------------


def test_a_run_shows_the_ranges_of_its_arrays(net):
    x, _ = series(net)
    run = net.run(x, return_hidden=True)
    rows, words = read(run)
    assert [row[0] for row in rows[1:]] == ["output", "state", "hidden"]
    assert rows[3][1] == "(40, 3)"
    assert float(rows[3][3]) == pytest.approx(run.hidden.max(), rel=1e-3)
    assert words == "Run in float32"
    assert read(net.run(x))[0][3] == ["hidden", "none", "", ""]


def test_a_run_says_that_it_has_nan_and_is_shown_without_steps(net):
    x, _ = series(net)
    x[30] = np.nan
    assert read(net.run(x))[0][1][3].endswith(" (10 not finite)")
    assert read(net.run(x[30:]))[0][1][2:] == ["", " (10 not finite)"]
    assert read(net.run(x[:0]))[0][1] == ["output", "(0, 1)", "", ""]


def test_a_very_large_array_is_not_read():
    large = np.broadcast_to(np.zeros(1), (10**12,))
    rows, _ = read(_html.arrays({"y": large}))
    assert rows[1] == ["y", "(1000000000000,)", "", ""]


def test_a_training_run_shows_its_course(net):
    x, y = series(net)
    result = elman.train(net, x, y, epochs=5, validation=0.25)
    rows, words = read(result.history)
    losses = result.history.loss
    assert [row[0] for row in rows] == ["", "loss", "validation loss"]
    assert rows[1][1:4] == [f"{loss:.4g}" for loss in (losses[0], losses[-1], min(losses))]
    assert words == repr(result.history)
    both, _ = read(result)
    assert both == read(result.network)[0] + rows
    assert "<polyline" in result._repr_html_()


def test_a_history_without_epochs_is_shown():
    assert read(elman.History())[0] == [["", "first", "last", "lowest", "by epoch"]]


def test_gradients_are_shown_by_tensor(net):
    x, y = series(net)
    _, gradients = elman.loss_and_gradients(net, x, y)
    rows, words = read(gradients)
    assert [row[0] for row in rows[1:]] == list(gradients.tensors())
    assert words == repr(gradients)
    assert read(elman.backward(net, x, y))[0][-1][:2] == ["x", "(40, 2)"]


def test_a_report_says_whether_and_where(net):
    x, _ = series(net)
    report = net.verify(x)
    rows, _ = read(report)
    assert rows[0] == ["verified", f"{report.values} values in 40 steps"]
    assert f"step {report.where[2]}, unit {report.where[3]}" in rows[1][1]
    wrong = elman.reference.verify(net, x, net(x) + 1, net.run(x, return_hidden=True).hidden)
    assert read(wrong)[0][0][0] == "NOT verified"
    exact = report._replace(where=None, worst_ratio=0.0)
    assert read(exact)[0][1][1] == "0, nowhere"


def test_a_comparison_has_a_row_for_each_layer():
    comparison = elman.Comparison("PyTorch <2>", 1e-7, [2e-8, None], 0.5, 1e-7, 0, [])
    rows, words = read(comparison)
    assert rows[1:] == [["layer 0", "2e-08"], ["layer 1", "not shown"], ["output", "1e-07"]]
    assert words == str(comparison)


def test_a_forecast_shows_a_day_of_hours():
    net = elman.Network(1, 4, 1, output_activation="identity", seed=0)
    waves = np.sin(np.arange(200.0))[:, None]
    day = elman.forecast(net, waves, steps=24)
    assert len(read(day)[0]) == 25
    week = elman.forecast(net, waves, steps=30)
    rows, words = read(week)
    assert len(rows) == 25
    assert words.startswith("... 6 more rows")


def test_names_from_data_are_escaped():
    frame = elman.Frame({"<b>a & b</b>": [1.0]})
    assert "<b>" not in frame._repr_html_()
    assert read(frame)[0][0] == ["<b>a & b</b>"]


# --- curves ---------------------------------------------------------------------------------------


def points(curve):
    """Return the points of a curve as pairs."""
    found = re.search('points="(.*?)"', unescape(curve))[1]
    return [tuple(map(float, pair.split(","))) for pair in found.split()]


def test_a_curve_falls_evenly_if_each_value_is_half_of_the_one_before():
    assert points(_html.curve([8, 4, 2, 1])) == [(0, 1), (53.3, 11), (106.7, 21), (160, 31)]


def test_a_curve_with_zeros_is_linear():
    assert points(_html.curve([4, 2, 0])) == [(0, 1), (80, 16), (160, 31)]


def test_a_curve_needs_two_values_that_differ_or_is_flat():
    assert _html.curve([]) == _html.curve([1.0]) == ""
    assert {y for _, y in points(_html.curve([2.0, 2.0, 2.0]))} == {1}


def test_a_long_curve_is_thinned_to_its_ends():
    long = points(_html.curve([1.0 + i for i in range(1000)]))
    assert len(long) == _html.POINTS
    assert long[0][1] == 31
    assert long[-1] == (160, 1)
