"""The demo, its data and its plot. No time is asserted."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.cli import demo
from fixtures.command import Terminal, answer, complaint

pytestmark = pytest.mark.any_isa


@pytest.fixture(scope="module")
def facts():
    return json.loads(answer("demo", "--json"))


@pytest.fixture(scope="module")
def shipped():
    return demo.load_demo()


@pytest.fixture
def short(monkeypatch):
    """Shorten the timing, which does not affect the output."""
    monkeypatch.setattr(demo, "LATENCY_STEPS", 1000)
    monkeypatch.setattr(demo, "ROUNDS", 2)


def years_of(net, name):
    first, last = map(int, net.metadata[name].split("-"))
    return range(first, last + 1)


# --- the data -------------------------------------------------------------------------------------


def test_the_series_is_whole():
    with open(demo.DATA / "sunspots.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["year"]) for row in rows] == list(range(1700, 2009))
    sunspots = {int(row["year"]): float(row["sunspots"]) for row in rows}
    assert (sunspots[1700], sunspots[1957], sunspots[2008]) == (5.0, 190.2, 2.9)


def test_the_page_about_the_data_names_their_source():
    text = (demo.DATA / "README.md").read_text()
    for word in ("NOAA", "SIDC", "public domain", "statsmodels", "train_sunspots.py"):
        assert word in text


def test_the_network_was_not_trained_on_the_years_it_is_tested_on(shipped):
    net, _ = shipped
    names = ("training_years", "validation_years", "test_years")
    train, validate, test = (years_of(net, name) for name in names)
    assert train.stop == validate.start
    assert validate.stop == test.start
    assert test.stop == 2009


def test_the_page_about_the_data_has_the_errors_of_the_network(shipped):
    net, series = shipped
    forecast = dict(zip(series.years[1:], net(series.inputs)[:, 0], strict=True))
    truth = dict(zip(series.years, series.sunspots, strict=True))
    errors = [
        np.sqrt(np.mean([(forecast[y] - truth[y]) ** 2 for y in years_of(net, name)]))
        for name in ("validation_years", "test_years")
    ]
    row = re.search(r"this network \|(.*)\|(.*)\|", (demo.DATA / "README.md").read_text())
    assert [cell.strip(" *") for cell in row.groups()] == [f"{error:.2f}" for error in errors]


@pytest.mark.slow
def test_the_shipped_network_is_the_output_of_its_script(shipped, tmp_path):
    script = Path(__file__).parents[1] / "examples" / "train_sunspots.py"
    subprocess.run([sys.executable, script, tmp_path / "net"], check=True, timeout=600)
    net, _ = shipped
    assert elman.load(tmp_path / "net") == net


# --- results of the demonstration -----------------------------------------------------------------


def test_the_forecast_beats_naive_ones_in_the_test_years(facts, shipped):
    _, series = shipped
    truth = series.sunspots
    test = series.years >= 1956
    baseline = np.sqrt(np.mean((truth[test] - np.roll(truth, 1)[test]) ** 2))
    found = facts["forecast"]
    assert found["rmse_repeating_the_last_value"] == pytest.approx(baseline)
    assert found["rmse"] < 0.65 * baseline
    rows = np.stack([np.ones(307), truth[1:-1], truth[:-2]], axis=1)
    learned = series.years[2:] <= 1920
    fitted, *_ = np.linalg.lstsq(rows[learned], truth[2:][learned], rcond=None)
    linear = np.sqrt(np.mean((rows @ fitted - truth[2:])[test[2:]] ** 2))
    assert linear == pytest.approx(22.54, abs=0.01)  # as the page about the data says
    assert found["rmse"] < 0.9 * linear


def test_the_forecast_is_that_of_the_network_for_the_year_ahead(facts, shipped):
    net, series = shipped
    found = facts["forecast"]
    assert found["years"] == list(years_of(net, "test_years"))
    truth = dict(zip(series.years, series.sunspots, strict=True))
    assert found["truth"] == [truth[year] for year in found["years"]]
    whole = net(series.inputs)[-len(found["years"]) :, 0]
    assert np.array_equal(np.array(found["forecast"], net.dtype), whole)  # the same bits
    error = np.array(found["forecast"]) - found["truth"]
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))


def test_the_demonstration_is_verified_against_the_reference(facts):
    assert facts["verification"]["ok"] is True
    assert facts["verification"]["steps"] == 308


def test_latency_and_times_are_all_there(facts):
    latency = facts["latency"]
    assert 0 < latency["median_ns"] <= latency["p99_ns"] <= latency["p99_9_ns"]
    assert latency["steps"] == demo.LATENCY_STEPS
    assert latency["clock_ns"] > 0
    assert set(facts["time_per_step"]) == {f"{way}_ns" for way in demo.WAYS}
    assert all(ns > 0 for ns in facts["time_per_step"].values())


@pytest.mark.usefixtures("short")
def test_a_wrong_answer_is_not_timed_and_ends_it_with_code_1(monkeypatch):
    monkeypatch.setattr(elman.pure, "step", lambda w, x, state: ([1e3], state))
    assert complaint("demo", "--json", code=1).startswith("pure_python: step")


# --- what it prints -------------------------------------------------------------------------------


def widest(text):
    return max(map(len, text.splitlines()))


@pytest.mark.usefixtures("short")
def test_a_pipe_gets_the_plot_without_colours_in_the_width_asked_for():
    text = answer("demo", env={"COLUMNS": "64"}).decode()
    for part in ("●", "█", "1960", "verified", "NumPy"):
        assert part in text
    assert "\x1b" not in text
    assert widest(text) <= 64


@pytest.mark.usefixtures("short")
def test_ascii_and_a_narrow_terminal_are_enough():
    text = answer("demo", encoding="ascii", env={"COLUMNS": "40"}).decode("ascii")
    assert re.search(r"^ *\d+ \|[ :o]+$", text, re.MULTILINE)
    assert widest(text) <= 40


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("no_color", "colours"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(no_color, colours):
    env = {"TERM": "xterm-256color", "NO_COLOR": no_color}
    with Terminal() as terminal:
        answer("demo", stdout=terminal.file, env=env)
        assert bool(re.search(rb"\x1b\[[0-9;]*31m", terminal.content())) is colours
