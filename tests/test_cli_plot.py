"""Plots for the terminal, and `elman plot`."""

import json
import math
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import elman
from elman.cli import heatmap, plot
from fixtures.command import answer, complaint, run

pytestmark = pytest.mark.any_isa

NAN = math.nan


def cells(lines, style=plot.ASCII):
    """Return the columns of a plot from the bottom up."""
    rows = [line.partition(style.wall)[2] for line in lines[: plot.HEIGHT]]
    width = max(map(len, rows))
    return ["".join(column[::-1]) for column in zip(*(r.ljust(width) for r in rows), strict=True)]


def years(first, last):
    return [str(year) if year % 10 == 0 else "" for year in range(first, last)]


def test_a_plot_has_a_column_for_each_label_and_a_dot_in_each():
    lines = plot.plot(years(1998, 2008), range(0, 100, 10), [5.0] * 10, 80, plot.ASCII)
    assert len(lines) == plot.HEIGHT + 2
    columns = cells(lines)
    assert [column.count("o") for column in columns] == [1] * 10
    assert columns[-1].count(":") > plot.HEIGHT // 2
    assert lines[0].startswith("   100 |")
    assert lines[-1].strip() == "2000"


def test_a_narrow_plot_keeps_the_last_columns():
    lines = plot.plot(years(1900, 2000), [1.0] * 100, [1.0] * 100, 30, plot.UNICODE)
    assert max(map(len, lines)) == 30
    assert lines[-1].split() == ["1980", "1990"]


def test_a_forecast_slightly_below_zero_is_on_the_floor():
    lines = plot.plot(["2000"], [100.0], [-3.0], 80, plot.ASCII)
    assert lines[plot.HEIGHT].startswith("     0 +")
    assert cells(lines)[0][0] == "o"


def test_negative_values_have_an_axis_below_zero():
    lines = plot.plot([""] * 3, [-8.0, -2.0, NAN], [NAN, NAN, -5.0], 80, plot.ASCII)
    assert (lines[0].split()[0], lines[plot.HEIGHT].split()[0]) == ("-2", "-8")
    first, second, third = cells(lines)
    assert first == " " * plot.HEIGHT
    assert second == ":" * plot.HEIGHT
    assert third.index("o") == plot.HEIGHT // 2


def test_values_far_from_zero_fill_the_height():
    lines = plot.plot([""] * 2, [1000.0, 1010.0], [NAN, NAN], 80, plot.ASCII)
    assert (lines[0].split()[0], lines[plot.HEIGHT].split()[0]) == ("1010", "1000")


@pytest.mark.parametrize("value", [0.0, -7.0, 3e-9, 1e12])
def test_equal_values_have_an_axis(value):
    lines = plot.plot([""] * 2, [value, value], [value, NAN], 80, plot.ASCII)
    assert sum(column.count("o") for column in cells(lines)) == 1


def test_a_band_surrounds_its_dot():
    band = [(NAN, NAN), (2.0, 9.0)]
    lines = plot.plot(["", ""], [12.0, NAN], [NAN, 6.0], 80, plot.ASCII, band)
    _, column = cells(lines)
    # from 2 to 14, a line each: 0 is below, because it is less than half of the largest
    assert (lines[0].split()[0], lines[plot.HEIGHT].split()[0]) == ("15", "0")
    assert column == " ....... ".replace(".......", "...o...") + "   "


def test_labels_that_would_touch_are_left_out():
    labels = ["one", "", "", "two", "three", "", "", "", ""]
    lines = plot.plot(labels, [1.0] * 9, [NAN] * 9, 80, plot.ASCII)
    assert lines[-1].split() == ["one", "three"]


def test_values_beside_the_axis_have_the_names_asked_for():
    lines = plot.plot([""] * 2, [-2.0, 0.0], [NAN, NAN], 80, plot.ASCII, name=lambda v: f"<{v:g}>")
    assert [line.split()[0] for line in (lines[0], lines[plot.HEIGHT])] == ["<0>", "<-2>"]


# --- the heat map ---------------------------------------------------------------------------------


def test_a_heat_map_has_a_shade_for_each_value():
    values = np.array([[-1.0, 0.0, 1.0], [1.0, NAN, -0.9]])
    lines = heatmap.heatmap(values, ["10", "2"], (-1.0, 1.0), 80, "abcde")
    assert lines == ["10  ace", " 2  e a"]


def test_a_heat_map_that_is_too_large_has_the_means_of_neighbours():
    values = np.outer(np.arange(48.0), np.ones(30))
    names = [str(i) for i in range(48)]
    lines = heatmap.heatmap(values, names, (0.0, 47.0), 14, "0123456789")
    assert [line.split()[0] for line in lines] == [str(i) for i in range(0, 48, 2)]
    assert max(map(len, lines)) <= 14
    rows = [line.split()[1] for line in lines]
    assert all(set(row) == {row[0]} for row in rows)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert heatmap.every(30, names, 14) == 3


# --- elman plot -----------------------------------------------------------------------------------

KINDS = {  # what comes after the model
    "network": [],
    "unrolled": ["--steps", 3, "--mode", "one-to-many"],
    "weights": [],
    "eigenvalues": [],
    "phase_plane": [],
    "states": ["x.npy", "--order", "peak"],
    "sequence": ["x.npy", "--number", 1],
    "trajectory": ["x.npy"],
    "gradients": ["x.npy", "y.npy"],
    "comparison": ["m.onnx"],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model of two units, its source, data and a history."""
    monkeypatch.chdir(tmp_path)
    net = elman.Network(1, 2, 1, seed=0, output_activation="identity")
    net.save("m.safetensors")
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.standard_normal((3, 20, 1)))
    np.save("y.npy", rng.standard_normal((3, 20, 1)))
    history = {"epoch": [1, 2, 3], "loss": [1.0, 0.1, 0.01], "validation_loss": [2.0, 0.2, 0.3]}
    (tmp_path / "h.json").write_text(json.dumps({"history": history, "best_epoch": 2}))
    return net


def source_of(net):
    (pathlib.Path("m.onnx")).write_bytes(elman.to_onnx(net).SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_written_whole_and_its_data_are_json(here, kind):
    pytest.importorskip("matplotlib")
    if kind == "comparison":
        pytest.importorskip("onnx")
        source_of(here)
    text = answer("plot", kind, "m.safetensors", *KINDS[kind], "-o", "p.svg").decode()
    assert text == "written: p.svg\n"
    picture = pathlib.Path("p.svg").read_bytes()
    assert picture.startswith(b"<?xml")
    assert picture.rstrip().endswith(b"</svg>")
    view = json.loads(answer("plot", kind, "m.safetensors", *KINDS[kind], "--json"))
    assert view["kind"] == kind


def test_the_data_are_those_of_the_views(here):
    x = np.load("x.npy")
    view = json.loads(answer("plot", "sequence", "m.safetensors", *KINDS["sequence"], "--json"))
    assert np.array_equal(np.float32(view["y"]), here(x)[1])
    graph = json.loads(answer("plot", "unrolled", "m.safetensors", *KINDS["unrolled"], "--json"))
    assert (graph["mode"], graph["steps"]) == ("one-to-many", 3)
    graph = json.loads(
        answer("plot", "unrolled", "m.safetensors", "x.npy", "--number", 2, "--json")
    )
    assert graph["nodes"][5]["values"] == pytest.approx(x[2, -3])  # of 20 steps 7 are shown
    flow = json.loads(answer("plot", "gradients", "m.safetensors", "x.npy", "y.npy", "--json"))
    own = elman.dynamics.gradient_flow(here, x, np.load("y.npy"))
    assert flow["total"] == own.total.tolist()
    one = answer("plot", "gradients", "m.safetensors", "x.npy", "y.npy", "--number", 2, "--json")
    assert json.loads(one)["total"][0] == pytest.approx(own.total[2])


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_an_image_has_the_form_of_its_name(here, suffix):
    pytest.importorskip("matplotlib")
    answer("plot", "history", "h.json", "-o", f"p.{suffix}")
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    assert pathlib.Path(f"p.{suffix}").read_bytes().startswith(starts[suffix])


def test_states_are_text_without_an_output(here):
    text = answer("plot", "states", "m.safetensors", "x.npy", "--number", "2").decode()
    head, *rows, empty, last = text.splitlines()
    assert re.fullmatch(r"layer 0: units by steps, from -0\.\d+ \(·\) to 0\.\d+ \(█\)", head)
    assert sorted(row.split()[0] for row in rows) == ["0", "1"]
    assert {len(row) for row in rows} == {3 + 20}
    assert (empty, last[:9]) == ("", "20 steps.")
    plain = answer("plot", "states", "m.safetensors", "x.npy", encoding="ascii").decode("ascii")
    assert re.search(r"^0  [.:=+*#%@-]{20}$", plain, re.MULTILINE)


def test_lines_that_stand_for_several_units_say_so(here):
    elman.Network(1, 60, 1, seed=0).save("m.safetensors")
    *_, last = answer("plot", "states", "m.safetensors", "x.npy").decode().partition("20 steps.")
    said = "A line is the mean of 3 neighbours, with the number of the first."
    assert said in " ".join(last.split())


def test_the_order_of_units_is_said(here):
    said = {
        order: answer("plot", "states", "m.safetensors", "x.npy", "--order", order).decode()
        for order in ("similarity", "peak", "given")
    }
    assert said["similarity"].endswith("Units that rise and fall together are neighbours.\n")
    assert said["peak"].endswith("20 steps. Units are in the order of their peaks.\n")
    assert said["given"].endswith("20 steps.\n")


@pytest.mark.parametrize("columns", ["80", "40"])
def test_text_fits_the_width_of_the_terminal(here, columns):
    np.save("x.npy", np.random.default_rng(0).standard_normal((300, 1)))
    env = {"COLUMNS": columns}
    epochs = list(range(1, 101))
    history = {"epoch": epochs, "loss": [1 / epoch for epoch in epochs]}
    pathlib.Path("h.json").write_text(json.dumps(history))
    for arguments in (["states", "m.safetensors", "x.npy"], ["history", "h.json"]):
        lines = run("plot", *arguments, env=env).stdout.decode().splitlines()
        assert 20 < max(map(len, lines)) <= int(columns)


def test_a_history_is_text_without_an_output(here):
    text = answer("plot", "history", "h.json").decode()
    lines = text.splitlines()
    assert len([line for line in lines if plot.UNICODE.wall in line]) == plot.HEIGHT
    assert [line.split()[0] for line in (lines[0], lines[plot.HEIGHT])] == ["10", "0.01"]
    assert text.count(plot.UNICODE.dot) == 3 + 1  # three epochs, and the legend
    assert "The best epoch is 2." in text


def test_a_history_comes_from_training_as_json_or_from_a_checkpoint(here):
    x = np.load("x.npy")
    result = elman.train(here, x, x, epochs=4, checkpoint="c.safetensors", validation=(x, x))
    view = json.loads(answer("plot", "history", "c.safetensors", "--json"))
    assert view["loss"] == result.history.loss
    assert view["validation_loss"] == result.history.validation_loss
    assert view["learning_rate"] == result.history.learning_rate
    assert view["best_epoch"] == result.history.best_epoch
    options = ("--plain", "--epochs", 3, "--hidden", 2, "--json", "-o", "new.safetensors")
    np.save("t.npy", np.random.default_rng(0).standard_normal((100, 1)))
    facts = run("train", "t.npy", *options).stdout
    pathlib.Path("run.json").write_bytes(facts)
    view = json.loads(answer("plot", "history", "run.json", "--json"))
    assert view["loss"] == json.loads(facts)["history"]["loss"]
    assert len(view["learning_rate"]) == 3


def test_the_gradients_of_a_table_are_those_of_its_targets(here):
    table = elman.Table(inputs=["a"], targets=["a"], horizon=2)
    net = here.replace(table=table)
    net.save("m.safetensors")
    a = np.round(np.random.default_rng(1).standard_normal(12), 3)
    pathlib.Path("a.csv").write_text("a\n" + "\n".join(map(str, a)) + "\n")
    flow = json.loads(answer("plot", "gradients", "m.safetensors", "a.csv", "--json"))
    own = elman.dynamics.gradient_flow(here, a[:-2, np.newaxis], a[2:, np.newaxis])
    assert flow["total"][0] == pytest.approx(own.total, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["drawing", "m.safetensors"], "KIND: expected one of network, .* history, got drawing"),
        (["states", "m.safetensors"], "DATA: expected a table or an array for states, got none"),
        (["comparison", "m.safetensors"], "DATA: expected the model's source for comparison"),
        (["weights", "m.safetensors", "x.npy"], "DATA: expected none for weights, got x.npy"),
        (["states", "m.safetensors", "x.npy", "y.npy"], "TARGETS: expected none for states"),
        (["gradients", "m.safetensors", "x.npy", "--json"], "TARGETS: expected those of the array"),
        (["weights", "m.safetensors"], r"--output: expected a file \.svg, .* states and history"),
        (["weights", "m.safetensors", "-o", "p.gif"], r"--output: expected a suffix .*got p.gif"),
        (["weights", "m.safetensors", "--steps", "3"], "--steps: expected only for unrolled"),
        (["network", "m.safetensors", "--number", "3"], "--number: expected only for unrolled, "),
        (
            ["states", "m.safetensors", "x.npy", "--number", "3"],
            "--number: expected .* 0 to 2, got 3",
        ),
        (
            ["gradients", "m.safetensors", "x.npy", "y.npy", "--number", "3", "--json"],
            "--number: expected a sequence from 0 to 2, got 3",
        ),
        (
            ["gradients", "m.safetensors", "x.csv", "--number", "1", "--json"],
            "--number: expected a sequence from 0 to 0, got 1",
        ),
        (["history", "m.safetensors"], "m.safetensors: expected a checkpoint of a training run"),
        (
            ["gradients", "m.safetensors", "x.npy", "x.json", "-o", "p.svg"],
            "x.json: expected a table of text or an array, got JSON",
        ),
        (["gradients", "m.safetensors", "x.npy", "o.npy", "-o", "p.svg"], "o.npy: expected an NPY"),
        (["history", "x.json"], "x.json: expected a history, as elman train"),
        (["history", "bad.json"], "bad.json: expected JSON"),
        (["states", "x.npy", "m.safetensors"], "x.npy: this is an NPY array, .* swapped"),
    ],
)
def test_arguments_that_do_not_fit_are_one_sentence(here, arguments, sentence):
    pathlib.Path("x.json").write_text('{"loss_of": 1}')
    np.save("o.npy", np.array([{}]), allow_pickle=True)
    pathlib.Path("bad.json").write_text('{"loss": [1')
    pathlib.Path("x.csv").write_text("a\n1\n2\n3\n4\n")
    here.replace(table=elman.Table(inputs=["a"], targets=["a"])).save("m.safetensors")
    before = sorted(path.name for path in pathlib.Path().iterdir())
    assert re.match(sentence, complaint("plot", *arguments))
    assert sorted(path.name for path in pathlib.Path().iterdir()) == before


def test_a_picture_does_not_replace_what_it_shows(here):
    pytest.importorskip("matplotlib")
    pathlib.Path("m.svg").write_bytes(pathlib.Path("m.safetensors").read_bytes())
    said = complaint("plot", "weights", "m.svg", "-o", "m.svg")
    assert said.startswith("m.svg: expected a file other than m.svg")
    elman.load("m.svg")


def test_without_matplotlib_data_and_text_remain(here):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from elman.cli import main\n"
        "for command in ('history h.json', 'history h.json --json', 'history h.json -o h.svg'):\n"
        "    sys.argv = ['elman', 'plot', *command.split()]\n"
        "    print('code', main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    codes = re.findall(r"^code (\d)$", done.stdout, re.MULTILINE)
    assert codes == ["0", "0", "2"], done.stderr
    assert done.stderr == "elman: a plot needs matplotlib: pip install 'elman[plot]'\n"
    assert not pathlib.Path("h.svg").exists()


@pytest.mark.parametrize("option", ["--order", "--mode"])
def test_a_choice_that_there_is_not_is_one_sentence(option):
    done = run("plot", "states", "model.safetensors", option, "bogus")
    said = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 2
    assert said.startswith(f"Error: Invalid value for '{option}': 'bogus' is not one of '")
