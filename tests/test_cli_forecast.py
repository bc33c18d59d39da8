"""`elman forecast`: the numbers of the package, as a table, a plot and an image."""

import csv
import io
import json
import re

import numpy as np
import pytest

import elman
from elman.cli import forecast, plot
from fixtures.command import Terminal, answer, complaint, run

pytestmark = pytest.mark.any_isa

TIMES = np.datetime64("2024-01-01T00", "us") + np.arange(300) * np.timedelta64(1, "h")
TABLE = elman.Table(inputs=["load"], targets=["load"], horizon=1, time="time")


def series(count=300):
    t = np.arange(count)
    return np.round(np.sin(t / 4) + np.random.default_rng(0).normal(0, 0.1, count) - 5, 3)


def written(path, **columns):
    lines = zip(*columns.values(), strict=True)
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in [columns.keys(), *lines]))
    return path


@pytest.fixture
def model(tmp_path):
    net = elman.Network(
        1, 6, 1, seed=1, output_activation="identity", table=TABLE, output_mean=[-5.0]
    )
    net.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def data(tmp_path):
    times = [str(time)[:16] for time in TIMES]
    return written(tmp_path / "load.csv", time=times, place=["x"] * 300, load=series())


def test_it_prints_the_forecast_of_the_package(model, data, tmp_path):
    out = tmp_path / "out.csv"
    text = answer("forecast", model, data, "-o", out, "--steps", "5").decode()
    want = elman.forecast(elman.load(model), data, steps=5)
    assert want.coverage is not None
    (head, *rows) = csv.reader(io.StringIO(out.read_text()))
    assert head == ["step", "time", "load", "load_lower", "load_upper"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0][1] == "2024-01-13 12:00"
    got = np.array([row[2:] for row in rows], float)
    ends = np.concatenate([want.values, want.lower, want.upper], axis=1)
    assert np.array_equal(got, ends)
    assert re.search(rf"^ +3 +2024-01-13 14:00 +{want.values[2, 0]:.4f} ", text, re.MULTILINE)
    assert text.endswith(f"\n{want.summary}\nwritten: {out}\n")


def test_json_has_an_object_for_each_step(model, data):
    facts = json.loads(answer("forecast", model, data, "--interval", "0.7", "--json"))
    want = elman.forecast(elman.load(model), data, interval=0.7)
    assert [row["load_upper"] for row in facts["forecast"]] == want.upper[:, 0].tolist()
    assert (facts["coverage"], facts["origins"]) == (want.coverage, want.origins)
    assert facts["forecast"][-1]["time"] == "2024-01-14 11:00"
    assert len(facts["forecast"]) == 24


def test_without_intervals_there_are_none(model, data):
    text = answer("forecast", model, data, "--interval", "0").decode()
    assert "without intervals" in text
    assert "lower" not in text
    assert plot.UNICODE.band not in text


def test_known_inputs_come_from_a_file(tmp_path):
    table = elman.Table(inputs=["sun", "load"], targets=["load"], horizon=1)
    net = elman.Network(2, 4, 1, seed=0, output_activation="identity", table=table)
    net.save(tmp_path / "model.safetensors")
    sun = np.random.default_rng(1).standard_normal(310)
    past = written(tmp_path / "past.csv", load=series(), sun=sun[:300])
    later = written(tmp_path / "later.csv", sun=sun[300:])
    command = ("forecast", tmp_path / "model.safetensors", past, "--steps", "5")
    said = complaint(*command)
    for word in ("'sun'", "--future FILE", "--horizon 1..24"):
        assert word in said
    rows = json.loads(answer(*command, "--future", later, "--json"))["forecast"]
    frame = {"sun": sun[:300], "load": series()}
    want = elman.forecast(
        net, elman.Frame(frame), 5, future=elman.Frame({"sun": sun[300:]}), interval=None
    )
    assert [row["load"] for row in rows] == want.values[:, 0].tolist()


def test_a_text_where_numbers_are_read_is_named_by_file_line_and_column(model, tmp_path):
    past = written(tmp_path / "past.csv", load=["1", "x", "2"], place=["a", "b", "c"])
    wrong = f"{past} line 3, column load: expected a number, got 'x'"
    assert complaint("forecast", model, past) == wrong
    table = elman.Table(inputs=["load"], targets=["place"], classes=["a", "b"])
    net = elman.Network(1, 4, 2, output_activation="softmax", table=table)
    net.save(tmp_path / "classes.safetensors")
    said = complaint("forecast", tmp_path / "classes.safetensors", past)
    assert said == "net: expected a network that forecasts numbers, got one for classes"
    table = elman.Table(inputs=["sun", "load"], targets=["load"], horizon=1)
    net = elman.Network(2, 4, 1, seed=0, output_activation="identity", table=table)
    net.save(tmp_path / "two.safetensors")
    past = written(tmp_path / "past.csv", load=series(), sun=series())
    later = written(tmp_path / "later.csv", sun=["0.5", "?1"])
    said = complaint("forecast", tmp_path / "two.safetensors", past, "--future", later)
    assert said == f"{later} line 3, column sun: expected a number, got '?1'"


def test_without_a_header_dates_are_no_inputs(model, data, tmp_path):
    bare = tmp_path / "bare.csv"
    lines = zip(TIMES, series(), strict=True)
    bare.write_text("".join(f"{str(time)[:16]},{value}\n" for time, value in lines))
    command = ("--steps", "3", "--json")
    found, named = (
        json.loads(answer("forecast", model, file, *command))["forecast"] for file in (bare, data)
    )
    assert [row["load"] for row in found] == [row["load"] for row in named]


def test_an_npy_file_is_the_past(tmp_path):
    net = elman.Network(2, 4, 2, seed=0)
    net.save(tmp_path / "model.safetensors")
    x = np.random.default_rng(1).standard_normal((40, 2))
    np.save(tmp_path / "x.npy", x)
    command = ("forecast", tmp_path / "model.safetensors", tmp_path / "x.npy", "--json")
    rows = json.loads(answer(*command))["forecast"]
    assert [row["output_2"] for row in rows] == net.generate(x, 24)[:, 1].tolist()


def test_only_the_columns_that_are_needed_are_read(tmp_path, model):
    gaps = ["" if i % 7 else "1" for i in range(300)]
    data = written(tmp_path / "data.csv", gaps=gaps, load=series(), day=["2024-01-01", ""] * 150)
    facts = json.loads(answer("forecast", model, data, "--json"))
    assert list(facts["forecast"][0]) == ["step", "load", "load_lower", "load_upper"]


def test_missing_values_are_refused_or_filled(tmp_path, model):
    load = list(map(str, series()))
    load[100] = "NA"
    data = written(tmp_path / "data.csv", load=load)
    said = complaint("forecast", model, data)
    assert "line 102" in said
    assert "load" in said
    load[100] = load[99]
    filled = written(tmp_path / "filled.csv", load=load)
    want = json.loads(answer("forecast", model, filled, "--json"))["forecast"]
    held = json.loads(answer("forecast", model, data, "--missing", "hold", "--json"))["forecast"]
    assert held == want


def test_a_table_without_a_header_is_read_by_position(tmp_path, model):
    named = written(tmp_path / "data.csv", load=series())
    bare = tmp_path / "bare.csv"
    bare.write_text("".join(f"{value}\n" for value in series()))
    first, second = (
        json.loads(answer("forecast", model, data, "--json"))["forecast"] for data in (named, bare)
    )
    assert first == second


def test_a_column_of_dates_is_the_time_although_the_model_does_not_say(tmp_path):
    table = elman.Table(inputs=["load"], targets=["load"], horizon=1)
    elman.Network(1, 4, 1, seed=0, table=table).save(tmp_path / "model.safetensors")
    data = written(tmp_path / "data.csv", day=["1.2.2024", "2.2.2024", "3.2.2024"], load=[1, 2, 3])
    facts = json.loads(answer("forecast", tmp_path / "model.safetensors", data, "--json"))
    assert facts["forecast"][0]["time"] == "2024-02-04"
    digits = written(tmp_path / "data.csv", day=[20240201, 20240202, 20240203], load=[1, 2, 3])
    again = json.loads(answer("forecast", tmp_path / "model.safetensors", digits, "--json"))
    assert again["forecast"] == facts["forecast"]
    digits.write_text("20240201,1\n20240202,2\n20240203,3\n")
    bare = json.loads(answer("forecast", tmp_path / "model.safetensors", digits, "--json"))
    assert bare["forecast"][0]["load"] == facts["forecast"][0]["load"]
    table = elman.Table(inputs=["day"], targets=["day"], horizon=1)
    elman.Network(1, 4, 1, seed=0, table=table).save(tmp_path / "model.safetensors")
    digits = written(tmp_path / "data.csv", day=[20240201, 20240202, 20240203])
    own = json.loads(answer("forecast", tmp_path / "model.safetensors", digits, "--json"))
    assert "time" not in own["forecast"][0]


def test_sequences_have_a_plot_each_up_to_four(tmp_path):
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, sequence="machine")
    net = elman.Network(1, 4, 1, seed=0, table=table)
    net.save(tmp_path / "model.safetensors")
    names = [f"m{i % 6}" for i in range(300)]
    data = written(tmp_path / "data.csv", machine=names, v=series())
    text = answer("forecast", tmp_path / "model.safetensors", data, "--steps", "3").decode()
    assert re.findall(r"^m\d: v$", text, re.MULTILINE) == ["m0: v", "m1: v", "m2: v", "m3: v"]
    assert "and 2 more" in text
    assert len(re.findall(r"^ +m5 +[123] ", text, re.MULTILINE)) == 3
    said = complaint("forecast", tmp_path / "model.safetensors", data, "--sequence", "")
    assert said.startswith("sequence: expected 'machine', as in the model's table")


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_an_image_shows_data_forecast_and_band(model, data, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"image.{suffix}"
    answer("forecast", model, data, "-o", path)
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[suffix])


def test_a_figure_has_a_chart_for_each_column():
    pytest.importorskip("matplotlib")
    import elman.plot

    net = elman.Network(2, 4, 2, seed=0)
    x = np.random.default_rng(1).standard_normal((200, 2))
    result = elman.forecast(net, x, steps=6)
    panels = elman.plot.forecast(result).child_axes
    assert len(panels) == 2
    lines = {line.get_label(): line for line in panels[1].get_lines()}
    assert np.array_equal(lines["data"].get_ydata(), x[-12:, 1])
    assert np.array_equal(lines["forecast"].get_ydata(), result.values[:, 1])
    assert lines["forecast"].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    earlier = lines["forecast 6 steps before the end"]
    assert earlier.get_xdata().tolist() == [-5, -4, -3, -2, -1, 0]
    assert np.array_equal(earlier.get_ydata(), net.generate(x[:-6], 6)[:, 1])


def test_a_figure_of_few_data_has_no_earlier_forecast():
    pytest.importorskip("matplotlib")
    import elman.plot

    net = elman.Network(1, 4, 1, seed=0, output_activation="identity", table=TABLE)
    data = elman.Frame({"load": series(3), "time": TIMES[:3]})
    axes = elman.plot.forecast(elman.forecast(net, data, steps=6))
    assert [line.get_label() for line in axes.get_lines()] == ["data", "forecast"]


# --- the terminal ---------------------------------------------------------------------------------


def test_a_pipe_gets_the_plot_in_ascii_or_unicode_without_colours(model, data):
    text = answer("forecast", model, data, env={"COLUMNS": "60"}).decode()
    assert plot.UNICODE.dot in text
    assert "\x1b" not in text
    chart = [line for line in text.splitlines() if plot.UNICODE.wall in line]
    assert len(chart) == plot.HEIGHT
    assert max(map(len, chart)) <= 60
    plain = answer("forecast", model, data, encoding="ascii").decode("ascii")
    assert re.search(r"^ *-?[\d.]+ \|[ :o.]+$", plain, re.MULTILINE)


def test_a_terminal_gets_colours(model, data):
    with Terminal() as terminal:
        answer("forecast", model, data, stdout=terminal.file, env={"TERM": "xterm-256color"})
        assert re.search(rb"\x1b\[[0-9;]*31m", terminal.content())


def test_no_line_ends_in_a_blank_and_no_cell_is_cut(tmp_path):
    names = [f"a_rather_long_name_of_a_column_{i}" for i in range(6)]
    table = elman.Table(inputs=names, targets=names, horizon=1)
    elman.Network(6, 4, 6, seed=0, table=table).save(tmp_path / "model.safetensors")
    values = np.random.default_rng(1).standard_normal((6, 300))
    data = written(tmp_path / "data.csv", **dict(zip(names, values, strict=True)))
    text = answer("forecast", tmp_path / "model.safetensors", data).decode()
    assert not re.search(r" $", text, re.MULTILINE)
    assert "…" not in text
    assert all(f"{name}_upper" in text for name in names)


def test_a_long_forecast_is_thinned_to_the_width(model, data):
    result = elman.forecast(elman.load(model), data, steps=100)
    chart = forecast._chart(result, result.parts[0], 0, 50)
    assert chart.stride == 4  # 30 columns at most
    assert len(chart.labels) <= 50
    assert chart.forecast[-1] == result.values[-1, 0]
    assert chart.forecast[-25:] == result.values[3::4, 0].tolist()
    assert np.isnan(chart.truth[-25:]).all()
    assert chart.truth[-26] == series()[-1]


def test_names_from_files_do_not_steer_the_terminal(tmp_path):
    name = "v\x1b[31m"
    table = elman.Table(inputs=[name], targets=[name], horizon=1)
    elman.Network(1, 4, 1, seed=0, table=table).save(tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", series()[:, np.newaxis])
    text = answer("forecast", tmp_path / "model.safetensors", tmp_path / "x.npy")
    assert b"\x1b" not in text
    assert b"v\\x1b[31m_lower" in text


# --- output files ---------------------------------------------------------------------------------


def test_an_unusable_output_is_refused_before_any_work(model, data, tmp_path):
    for name in ("out.txt", "out"):
        said = complaint("forecast", model, data, "-o", tmp_path / name)
        assert said.startswith("--output: expected a suffix .csv, .svg, .png, .pdf")
    before = data.read_bytes()
    said = complaint("forecast", model, data, "-o", data)
    assert "would overwrite" in said
    assert data.read_bytes() == before


def test_an_error_leaves_the_old_file(model, data, tmp_path):
    old = tmp_path / "out.csv"
    old.write_text("old")
    data.write_text(data.read_text().replace("-5.", "x", 1))
    assert run("forecast", model, data, "-o", old).returncode == 2
    assert old.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "load.csv",
        "model.safetensors",
        "out.csv",
    ]
