"""`elman train`: inputs, untouched files, and errors."""

import csv
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.cli import examples
from elman.cli.splitting import split
from elman.forecasting.parts import Examples
from fixtures import command

pytestmark = pytest.mark.any_isa

SUNSPOTS = Path(elman.__file__).resolve().parent / "data" / "sunspots.csv"
QUICK = ("--plain", "--epochs", "3", "--hidden", "4")


def answer(*args, stdin=""):
    return command.answer(*args, stdin=stdin.encode()).decode()


def facts_of(*args, **kwargs):
    return json.loads(shown_by(*args, "--json", **kwargs))


def shown_by(*args, **kwargs):
    """Return what a training prints; without -o, it replaces the default file."""
    output = () if "-o" in args else ("-o", "model.safetensors")
    return answer("train", *args, *output, **kwargs)


def complaint(*args, stdin=""):
    return command.complaint("train", *args, stdin=stdin.encode())


def write_csv(path, header, *columns):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *zip(*columns, strict=True)])
    return path


def scores_of(facts):
    return {score["name"]: score for score in facts["scores"]}


def rmse(error):
    return pytest.approx(float(np.sqrt(np.mean(np.square(error)))), rel=1e-5)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sines(here):
    """Two waves, one three steps behind the other, far from 0 and from 1."""
    t = np.arange(400)
    wave = 500 + 40 * np.sin(t / 3) + 10 * np.sin(t / 7)
    return write_csv(here / "sines.csv", ("t", "a", "b"), t, wave, np.roll(wave, 3) / 1000)


# --- forecasts ------------------------------------------------------------------------------------


def test_a_forecast_is_scored_on_the_outputs_of_run_for_the_raw_file(here, sines):
    facts = facts_of(sines, "--inputs", "a", "--effort", 1, "-o", "m")
    assert facts["parts"] == {"training": 255, "validation": 64, "holdout": 80}
    answer("run", "m", sines, "-o", "y.npy")  # it finds the column a by its name
    y = np.load("y.npy")[:, 0]
    a = np.loadtxt(sines, delimiter=",", skiprows=1)[:, 1]
    scores = scores_of(facts)
    held = slice(-80, None)
    assert scores["this network"]["rmse"] == [rmse(y[:-1][held] - a[1:][held])]
    assert scores["this network"]["mae"][0] == pytest.approx(
        np.abs(y[:-1][held] - a[1:][held]).mean(), rel=1e-5
    )
    assert scores["the last value"]["rmse"] == [rmse(a[:-1][held] - a[1:][held])]
    assert scores["the mean"]["rmse"] == [rmse(a[1:320].mean() - a[1:][held])]
    assert scores["this network"]["rmse"][0] < 0.3 * scores["the last value"]["rmse"][0]


def test_a_model_of_several_columns_takes_them_by_name(here, sines):
    facts_of(sines, "--inputs", "a,b", "--target", "b", "--horizon", "2", *QUICK, "-o", "m")
    net = elman.load("m")
    assert (net.input_size, net.output_size) == (2, 1)
    assert net.table == elman.Table(inputs=["a", "b"], targets=["b"], horizon=2)
    assert list(net.metadata) == ["trained_by"]
    _, a, b = np.loadtxt(sines, delimiter=",", skiprows=1).T
    lines = "".join(f"{x},{y}\n" for x, y in zip(a, b, strict=True))
    want = "b\n" + answer("run", "m", "-", stdin=lines)
    write_csv("other.csv", ("b", "note", "a"), b, ["x"] * len(b), a)
    assert answer("run", "m", "other.csv") == answer("run", "m", sines) == want
    assert answer("run", "m", "other.csv", "--stream") == want
    answer("verify", "m", "--input", "other.csv")


def test_without_a_target_every_input_is_forecast(here, sines):
    facts = facts_of(sines, *QUICK)
    assert facts["task"] == "forecast"
    assert facts["inputs"] == facts["outputs"] == ["t", "a", "b"]
    assert (facts["output"], facts["network"]["output_size"]) == ("model.safetensors", 3)
    text = shown_by(sines, *QUICK)
    for part in ("forecast of t, a, b", "RMSE a", "in deviations", "255 training"):
        assert part in text


@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_a_forecast_of_a_season_repeats_the_latest_one_that_is_known(here, horizon):
    x = np.tile([1.0, 5.0, 2.0], 40)
    write_csv("x.csv", ["x"], x)
    options = ("--horizon", horizon, "--period", 3)
    scores = scores_of(facts_of("x.csv", *options, *QUICK))
    assert scores["the value a period before"]["rmse"] == [0.0]
    assert scores["the last value"]["rmse"][0] > 1


def test_the_linear_baseline_is_ridge_regression_on_all_that_is_not_held_out(here):
    truth = np.genfromtxt(SUNSPOTS, delimiter=",", skip_header=1)[:, 1]
    facts = facts_of(SUNSPOTS, "--inputs", "sunspots", *QUICK)
    name = facts["scores"][-1]["name"]
    lags, alpha = re.fullmatch(r"linear in the last (\d+) steps, ridge (\S+)", name).groups()
    lags, alpha = int(lags), float(alpha)
    count, held = facts["parts"]["training"], facts["parts"]["holdout"]
    known = count + facts["parts"]["validation"]
    z = (truth - truth[:count].mean()) / truth[:count].std()  # scaled by the training part
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(z, (lags - 1, 0)), lags)[:-1]
    mean, std = truth[1 : count + 1].mean(), truth[1 : count + 1].std()
    scaled = (truth[1:] - mean) / std
    centre, level = rows[:known].mean(axis=0), scaled[:known].mean()
    penalized = np.concatenate([rows[:known] - centre, np.sqrt(alpha) * np.eye(lags)])
    wanted = np.concatenate([scaled[:known] - level, np.zeros(lags)])
    slopes, *_ = np.linalg.lstsq(penalized, wanted, rcond=None)
    given = (level + (rows - centre) @ slopes) * std + mean
    assert facts["scores"][-1]["rmse"] == [rmse((given - truth[1:])[-held:])]


@pytest.mark.parametrize(("horizon", "steps"), [("5", 1), ("1..5", 5), ("2..5", 4)])
def test_held_out_data_affect_only_the_scores(here, sines, horizon, steps):
    t, a, b = np.loadtxt(sines, delimiter=",", skiprows=1).T
    options = ("--inputs", "a", "--horizon", horizon, *QUICK)
    first = facts_of(sines, *options, "-o", "first")
    held = first["parts"]["holdout"]
    a[-(held + steps - 1) :] = 1e6  # all the values that are scored
    write_csv("other.csv", ("t", "a", "b"), t, a, b)
    other = facts_of("other.csv", *options, "-o", "other")
    assert Path("first").read_bytes() == Path("other").read_bytes()
    assert first["history"] == other["history"]
    assert first["scores"] != other["scores"]


def test_a_seed_gives_the_same_file_and_another_one_another(here, sines):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        shown_by(sines, "--seed", seed, *QUICK, "-o", name)
    a, b, c = (Path(name).read_bytes() for name in "abc")
    assert a == b != c


def test_scaling_is_the_mean_and_deviation_of_the_training_part(here, sines):
    facts = facts_of(sines, "--inputs", "a", *QUICK)
    net = elman.load("model.safetensors")
    a = np.loadtxt(sines, delimiter=",", skiprows=1)[:, 1]
    end = facts["parts"]["training"]
    assert net.input_mean == pytest.approx(a[:end].mean())
    assert net.input_std == pytest.approx(a[:end].std())
    assert net.output_mean == pytest.approx(a[1 : end + 1].mean())
    assert net.output_std == pytest.approx(a[1 : end + 1].std())


def test_a_column_that_never_changes_does_no_harm(here):
    write_csv("x.csv", ("x", "c"), np.sin(np.arange(60)), np.full(60, 0.1))
    facts = facts_of("x.csv", *QUICK)
    assert all(np.isfinite(score["rmse_in_deviations"]) for score in facts["scores"])


def test_headers_quotes_comments_and_standard_input_are_understood(here):
    text = '# a series\n"the year","the, value"\n' + "".join(f'"{n}",{n % 5}\n' for n in range(60))
    facts = facts_of("-", *QUICK, stdin=text)
    assert facts["inputs"] == ["the year", "the, value"]
    answer("run", "model.safetensors", "-", stdin=text)
    facts = facts_of("-", "--inputs", "2", *QUICK, stdin=text.split("\n", 2)[2])
    assert facts["inputs"] == ["2"]


def test_sequences_in_a_column_are_held_out_whole(here):
    names = np.repeat([f"s{i}" for i in range(10)], 12)
    shuffled = np.random.default_rng(0).permutation(
        120
    )  # rows keep their order, sequence by sequence
    order = np.argsort(np.argsort(names[shuffled], kind="stable"), kind="stable")
    x = np.tile(np.arange(12.0), 10)
    write_csv("x.csv", ("id", "x"), names[shuffled], x[order])
    facts = facts_of("x.csv", "--sequence", "id", "--period", 4, *QUICK)
    assert facts["parts"] == {"training": 6, "validation": 2, "holdout": 2}
    assert facts["counted_in"] == "sequences"
    assert facts["inputs"] == ["x"]
    assert scores_of(facts)["the last value"]["rmse"] == [pytest.approx(1.0)]


# --- regression and classification ----------------------------------------------------------------


def words(rng, count=60):
    """Return sequences of various lengths, labelled "falls" or "rises"."""
    labels = rng.choice(["falls", "rises"], count)
    lengths = rng.integers(5, 15, count)
    signs = np.where(labels == "rises", 1, -1)
    steps = [sign * np.arange(n) for sign, n in zip(signs, lengths, strict=True)]
    return labels, [100 + s + rng.normal(0, 0.3, len(s)) + rng.normal(0, 2) for s in steps]


def test_words_are_classes_of_sequences_whose_lines_agree(here, rng):
    labels, series = words(rng)
    lengths = list(map(len, series))
    columns = np.repeat(np.arange(60), lengths), np.concatenate(series), np.repeat(labels, lengths)
    write_csv("x.csv", ("id", "x", "way"), *columns)
    facts = facts_of("x.csv", "--sequence", "id", "--target", "way", "-o", "m")
    assert (facts["task"], facts["outputs"]) == ("classification", ["falls", "rises"])
    assert facts["parts"] == {"training": 38, "validation": 10, "holdout": 12}
    net = elman.load("m")
    assert net.table == elman.Table(
        inputs=["x"], targets=["way"], sequence="id", classes=["falls", "rises"], outputs="last"
    )
    np.testing.assert_allclose(net(series[0][:, None]).sum(axis=-1), 1, rtol=1e-6)
    scores = scores_of(facts)
    assert scores["this network"]["accuracy"] > scores["the most frequent class"]["accuracy"]
    assert set(scores) == {"this network", "the most frequent class", facts["scores"][-1]["name"]}
    assert "accuracy" in shown_by("x.csv", "--sequence", "id", "--target", "way", *QUICK)


def test_a_model_of_sequences_answers_each_of_them(here, rng):
    labels, series = words(rng, 12)
    lengths = list(map(len, series))
    columns = np.repeat(np.arange(12), lengths), np.concatenate(series), np.repeat(labels, lengths)
    write_csv("x.csv", ("id", "x", "way"), *columns)
    facts_of("x.csv", "--sequence", "id", "--target", "way", *QUICK, "-o", "m")
    net = elman.load("m")
    want = np.stack([net(x[:, None], outputs="last") for x in series])
    answer("run", "m", "x.csv", "-o", "y.npy")  # by default the last outputs, as the table says
    np.testing.assert_array_equal(np.load("y.npy"), want)
    answer("run", "m", "x.csv", "--all", "-o", "y.npy")
    every = np.concatenate([net(x[:, None]) for x in series])
    np.testing.assert_array_equal(np.load("y.npy"), every)
    answer("verify", "m", "--input", "x.csv")


def test_the_index_that_pandas_writes_is_no_input(here, rng):
    write_csv("x.csv", ("", "a"), np.arange(50), rng.standard_normal(50))
    done = command.run("train", "x.csv", *QUICK, "-o", "m")
    assert b"x.csv: the first column has no name and is not read" in done.stderr
    assert elman.load("m").table == elman.Table(inputs=["a"], targets=["a"], horizon=1)
    write_csv("x.csv", ("a", ""), np.arange(50), rng.standard_normal(50))
    assert re.match("x.csv: expected a name for every column", complaint("x.csv"))


def test_words_that_change_from_line_to_line_are_classes_of_lines(here, rng):
    x = rng.standard_normal(500)
    late = np.where(np.roll(x, 2) > 0, "up", "down")  # depends on the input two steps before
    write_csv("x.csv", ("x", "late"), x, late)
    facts = facts_of("x.csv", "--target", "late", "-o", "m")
    assert facts["counted_in"] == "steps"
    scores = scores_of(facts)
    train = facts["parts"]["training"]
    most = max(("up", "down"), key=lambda name: np.sum(late[:train] == name))
    share = np.mean(late[-100:] == most)
    assert scores["the most frequent class"]["accuracy"] == pytest.approx(share)
    assert scores["this network"]["accuracy"] > 0.85
    y = elman.load("m")(x[:, None])[-100:]
    right = np.array(["down", "up"])[y.argmax(axis=1)] == late[-100:]
    assert scores["this network"]["accuracy"] == pytest.approx(right.mean())


def test_numbers_are_a_regression_unless_they_are_called_classes(here, rng):
    x = rng.standard_normal(300)
    write_csv("x.csv", ("x", "y"), x, (x > 0).astype(int))
    facts = facts_of("x.csv", "--target", "y", *QUICK)
    assert (facts["task"], facts["outputs"]) == ("regression", ["y"])
    facts = facts_of("x.csv", "--target", "y", "--task", "classification", *QUICK)
    assert facts["outputs"] == ["0", "1"]
    facts = facts_of("x.csv", "--target", "y", "--horizon", 1, *QUICK)
    assert (facts["task"], facts["inputs"]) == ("forecast", ["x", "y"])


def test_npy_takes_targets_from_a_second_file(here, rng):
    x = 7 + 3 * rng.standard_normal((40, 9, 2))
    np.save("x.npy", x)
    cumulated = np.cumsum(x, axis=1)
    for name, y, size in (
        ("steps.npy", cumulated, 2),
        ("step.npy", cumulated[..., 0], 1),
        ("last.npy", cumulated[:, -1], 2),
        ("one.npy", cumulated[:, -1, 0], 1),
    ):
        np.save(name, y)
        facts = facts_of("x.npy", name, *QUICK, "-o", "m")
        assert (facts["task"], facts["network"]["output_size"]) == ("regression", size)
        assert facts["parts"] == {"training": 26, "validation": 6, "holdout": 8}
        assert elman.load("m")(x).shape == (40, 9, size)
    np.save("classes.npy", (cumulated[:, -1, 0] > 63).astype(int))
    facts = facts_of("x.npy", "classes.npy", *QUICK)
    assert (facts["task"], facts["outputs"]) == ("classification", ["0", "1"])
    np.save("classes.npy", cumulated[..., 1] > 30)
    assert facts_of("x.npy", "classes.npy", *QUICK)["outputs"] == ["False", "True"]
    np.save("x.npy", x[0])
    np.save("y.npy", cumulated[0])
    facts = facts_of("x.npy", "y.npy", *QUICK, "--holdout", 0.3)
    assert facts["parts"] == {"training": 5, "validation": 1, "holdout": 3}


def test_npy_without_targets_is_a_forecast(here, rng):
    np.save("x.npy", np.cumsum(rng.standard_normal((20, 30, 3)), axis=1))
    facts = facts_of("x.npy", "--inputs", "1,3", "--target", "2", *QUICK)
    assert (facts["inputs"], facts["outputs"]) == (["1", "3"], ["2"])


# --- the parts ------------------------------------------------------------------------------------


def of_classes(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    x = [np.zeros((3, 1)) for _ in labels]
    table = elman.Table(inputs=["x"], targets=["y"], classes=["a", "b", "c"], outputs="last")
    return Examples(x, list(labels), table)


def test_every_part_has_its_share_of_every_class():
    data = of_classes(50, 30, 20)
    parts = split(data, 0.25, 0.2, seed=3)
    for spans, count in zip(parts, (60, 20, 20), strict=True):
        found = np.bincount([data.y[span.sequence] for span in spans]) / count
        np.testing.assert_allclose(found, [0.5, 0.3, 0.2], atol=0.051)
    everything = sorted(span.sequence for spans in parts for span in spans)
    assert everything == list(range(100))
    assert parts != split(data, 0.25, 0.2, seed=4)


def test_nothing_held_out_is_not_scored_and_no_validation_never_stops(here, sines):
    facts = facts_of(sines, "--holdout", 0, "--validation", 0, *QUICK)
    assert facts["parts"] == {"training": 399, "validation": 0, "holdout": 0}
    assert facts["scores"] == []
    assert (facts["stopped"], facts["history"]["epoch"]) == ("epochs", [1, 2, 3])
    assert "Held out" not in shown_by(sines, "--holdout", 0, *QUICK)


def test_a_baseline_that_is_better_is_named(here, rng):
    write_csv("x.csv", ["x"], np.arange(60.0))
    text = shown_by("x.csv", "--plain", "--epochs", 1, "--hidden", 1)
    assert "not the network. Worth trying: training without --plain" in text
    assert "--calendar" not in text  # there is no column of dates


def test_the_calendar_is_only_advised_where_it_can_be_used_and_is_not(here):
    days = np.datetime64("2024-01-01") + np.arange(60)
    write_csv("x.csv", ("day", "x"), days, np.arange(60.0))
    options = ("--plain", "--epochs", 1, "--hidden", 1)
    assert "--calendar" in shown_by("x.csv", *options).partition("not the network")[2]
    text = shown_by("x.csv", *options, "--calendar", "weekday")
    assert "--calendar" not in text.partition("not the network")[2]


def test_options_reach_the_network(here, sines):
    options = ("--plain", "--hidden", 5, "--layers", 3, "--epochs", 2)
    facts = facts_of(sines, *options, "--threads", 2)
    assert facts["network"]["hidden_sizes"] == [5, 5, 5]
    other = facts_of(sines, *options, "--bptt", 3)
    assert facts["history"] != other["history"]


# --- the search -----------------------------------------------------------------------------------


def test_a_search_says_what_it_does_and_what_it_found(here, rng):
    x = np.zeros(300)
    for t in range(1, 300):
        x[t] = 1 - 1.7 * x[t - 1] ** 2
    write_csv("x.csv", ["x"], x)
    text = shown_by("x.csv", "--effort", 1, "--threads", 2)
    assert re.match(
        r"search     \d+ trainings, \S+ multiply-adds, about \d+ s on 2 threads\n", text
    )
    assert re.search(r"^start      linear in the last ", text, re.MULTILINE)
    assert re.search(
        r"^correction \d+ \+ \d+ \+ \d+ tanh units: \S+ % of RMSE, standard", text, re.MULTILINE
    )
    facts = facts_of("x.csv", "--effort", 1)
    assert facts["correction"].endswith(" tanh units")
    assert facts["scores"][0]["name"] == "this network"
    others = [score["rmse"][0] for score in facts["scores"][1:]]
    assert facts["scores"][0]["rmse"][0] < min(others) / 10
    answer("verify", "model.safetensors", "--input", "x.csv")


def test_without_a_validation_part_a_forecast_is_the_linear_model(here, sines):
    text = shown_by(sines, "--inputs", "a", "--validation", 0)
    assert text.startswith("task ")  # nothing is searched
    assert "correction none, because there is no validation part" in text


def test_a_range_of_steps_has_an_output_and_a_score_for_each(here, sines):
    options = (sines, "--inputs", "a", "--horizon", "1..12", "--effort", 1)
    facts = facts_of(*options)
    assert facts["outputs"] == [f"a+{k}" for k in range(1, 13)]
    assert facts["horizon"] == list(range(1, 13))
    assert {len(score["rmse"]) for score in facts["scores"]} == {12}
    assert elman.load("model.safetensors").table.horizon == tuple(range(1, 13))
    a = np.loadtxt(sines, delimiter=",", skiprows=1)[:, 1]
    held = facts["parts"]["holdout"]
    for k in (1, 12):
        error = np.roll(a, -k)[: 400 - 12] - a[: 400 - 12]
        assert scores_of(facts)["the last value"]["rmse"][k - 1] == rmse(error[-held:])
    table = shown_by(*options).split("Held out")[1].splitlines()
    assert "RMSE a+1 " in table[0]
    assert "RMSE a+12 " in table[0]
    assert len({len(line) for line in table[2:]}) == 1  # not folded


@pytest.mark.parametrize("text", ["0", "5..2", "1..", "a", "1..a", "-1", "1...3", "1..100000"])
def test_a_horizon_that_is_none_is_refused(here, sines, text):
    done = command.run("train", sines, "--horizon", text)
    assert done.returncode == 2
    assert b"--horizon: expected" in done.stderr


def test_ctrl_c_ends_a_search_with_the_best_so_far(here, rng):
    write_csv("x.csv", ["x"], np.cumsum(rng.normal(size=3000)))
    Path("m").write_bytes(b"old")
    with (
        command.Terminal() as terminal,
        command.start(
            "train", "x.csv", "--effort", 10, "--json", "-o", "m", stderr=terminal.file
        ) as process,
    ):
        terminal.wait_for(b"training 2/", process)
        assert Path("m").read_bytes() == b"old"
        process.send_signal(signal.SIGINT)
        facts = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert facts["interrupted"]
    assert elman.load("m").input_size == 1


def test_the_best_of_several_trainings_is_kept_where_there_is_no_search(here, rng):
    labels, series = words(rng)
    lengths = list(map(len, series))
    columns = np.repeat(np.arange(60), lengths), np.concatenate(series), np.repeat(labels, lengths)
    write_csv("x.csv", ("id", "x", "way"), *columns)
    options = ("x.csv", "--sequence", "id", "--target", "way", "--epochs", 20, "--hidden", 3)
    one = facts_of(*options, "--plain", "-o", "one")
    several = facts_of(*options, "--effort", 1, "--threads", 2, "-o", "several")
    assert (one["trainings"], several["trainings"]) == (1, 10)
    best, plain = (min(facts["history"]["validation_loss"]) for facts in (several, one))
    assert best < plain
    facts_of(*options, "--effort", 1, "--threads", 1, "-o", "again")
    assert Path("again").read_bytes() == Path("several").read_bytes()
    text = shown_by(*options, "--effort", 1)
    assert text.startswith("at most    10 trainings, ")
    assert "; the best of 10 trainings" in text


def test_the_default_model_file_is_not_replaced_silently(here, sines):
    answer("train", sines, *QUICK)
    before = Path("model.safetensors").read_bytes()
    said = complaint(sines, *QUICK, "--seed", 1)
    assert said.startswith("--output: model.safetensors exists: use -o model.safetensors")
    assert Path("model.safetensors").read_bytes() == before
    answer("train", sines, *QUICK, "--seed", 1, "-o", "model.safetensors")
    assert Path("model.safetensors").read_bytes() != before


@pytest.mark.parametrize("rate", [3, 100, 1e300])
def test_a_training_that_diverges_writes_nothing_and_names_the_rate(here, sines, rate):
    said = complaint(sines, "--plain", "--learning-rate", rate, "--epochs", 20)
    assert said.startswith(f"--learning-rate: the training diverged at {rate:g}: try less than ")
    assert not Path("model.safetensors").exists()


def test_more_units_than_fit_in_memory_are_one_sentence(here, sines):
    said = complaint(sines, "--plain", "--hidden", 10_000_000)
    assert said.startswith("--hidden: ")


def test_a_window_longer_than_any_sequence_is_all_of_it(here, sines):
    quick = ("--plain", "--epochs", 2, "--hidden", 4)
    histories = [facts_of(sines, *quick, "--bptt", n)["history"] for n in (399, 2**63 - 1)]
    assert histories[0] == histories[1]


# --- the plot, the terminal -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_the_plot_shows_the_history(here, sines, suffix, begins):
    pytest.importorskip("matplotlib")
    text = shown_by(sines, *QUICK, "--plot", f"h.{suffix}")
    assert f"h.{suffix}" in text
    assert Path(f"h.{suffix}").read_bytes().startswith(begins)


def test_a_terminal_shows_progress_and_ctrl_c_keeps_the_best(here, sines):
    endless = ("--plain", "--epochs", "10000000", "--validation", "0", "--hidden", "4")
    with (
        command.Terminal() as terminal,
        command.start("train", sines, *endless, "--json", stderr=terminal.file) as process,
    ):
        terminal.wait_for(b"loss", process)  # some epochs are done
        process.send_signal(signal.SIGINT)
        facts = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert facts["stopped"] == "interrupt"
    assert elman.load("model.safetensors").input_size == 3


# --- refused input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--inputs", "x"], "--inputs: expected .* t, a, b, got x"),
        (["--target", "a,x"], "--target: expected .* t, a, b, got x"),
        (["--sequence", "x"], "--sequence: expected .* t, a, b, got x"),
        (["--task", "regression"], "--target: expected .* regression"),
        (["--task", "classification", "--target", "a,b"], "--target: expected one "),
        (["--target", "a", "--inputs", "a,b"], "--target: expected .* inputs"),
        (["--task", "regression", "--target", "a", "--horizon", "2"], "--horizon: expected "),
        (["--target", "a", "--period", "2"], "--period: expected "),
        (["--target", "t,a,b"], "--inputs: expected "),
        (["--horizon", "400"], "--horizon: expected .*, got 400"),
        (["--holdout", "1"], "--holdout: expected .*, got 1.0"),
        (["--validation", "-0.1"], "--validation: expected .*, got -0.1"),
        (["--validation", "0.0001"], "DATA: expected .* validation .*, got 399"),
        (["-o", "no/m"], "--output: expected .*, got no"),
        (["-o", "."], r"--output: expected .* folder \."),
        (["-o", "sines.csv"], "--output: sines.csv "),
        (["--plot", "h.txt"], "--plot: expected .* .svg, .png, .pdf, got h.txt"),
        (["--learning-rate", "0.1"], "--learning-rate: expected only with --plain"),
        (["--plot", "h.svg"], "--plot: expected only with --plain"),
        (["--plot", "h.svg", "-o", "h.svg"], "--plot: expected a file other than the model, got h"),
        (["--plain", "--effort", "2"], "--effort: expected none with --plain"),
        (["--plain", "--learning-rate", "-1"], "--learning-rate: expected .* above 0, got -1"),
        (["--plain", "--learning-rate", "100"], "--learning-rate: .* diverged at 100: try less"),
    ],
)
def test_contradictory_options_are_one_sentence(here, sines, options, sentence):
    before = sines.read_bytes()
    assert re.match(sentence, complaint(sines, *options))
    assert not Path("model.safetensors").exists()
    assert sines.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ": expected lines .*, got none"),
        ("a,b\n", ": expected lines .*, got none"),
        ("a,b\n1,2\n3\n", " line 3: expected 2 .*, got 1"),
        ("a,b\n1,2\n3,x\n", " line 3, column b: expected .*, got 'x'"),
        ("a,b\n1,2\n3,nan\n", " line 3, column b: expected .*, got .* 'nan': .* drop"),
        ("1,2\n\n3,\n", " line 3, column 2: expected .*, got an empty field: .* drop"),
        ("a,b\x1b[2J\n1,2\n", r" line 1: expected text, got .* '\\x1b'"),
        ("a,a\n1,2\n", ": expected different names .*, got 'a' twice"),
    ],
)
def test_unusable_csv_data_are_one_sentence(here, text, sentence):
    assert re.match(f"standard input{sentence}", complaint("-", stdin=text))


def test_a_series_that_is_too_short_is_one_sentence(here):
    assert re.match("--horizon: expected .*, got 1", complaint("-", stdin="1\n"))
    assert complaint("-", stdin="1\n2\n3\n").startswith("DATA: expected ")


def test_nan_is_no_class(here):
    np.save("x.npy", np.zeros((8, 5, 1)))
    np.save("y.npy", np.array([0, 1, 0, 1, np.nan, 1, 0, 1]))
    said = complaint("x.npy", "y.npy", "--task", "classification")
    assert said == "y.npy: expected classes, got nan"


@pytest.mark.parametrize("options", [(), ("--plain",), ("--inputs", "x", "--target", "y")])
def test_numbers_whose_squares_overflow_are_one_sentence(here, options):
    write_csv("x.csv", ("x", "y"), np.linspace(-3e200, 3e200, 50), np.arange(50))
    said = complaint("x.csv", *options)
    assert re.match(r"inputs: expected numbers up to 1e\+140, got 3e\+200: divide them", said)


def test_a_target_that_is_missing_in_a_line_is_one_sentence(here):
    write_csv("x.csv", ("x", "y", "c"), range(4), [1, 2, "", 4], ["a", "b", "", "a"])
    said = complaint("x.csv", "--inputs", "x", "--target", "y")
    assert re.match("x.csv line 4, column y: expected .* number, got an empty field", said)
    said = complaint("x.csv", "--inputs", "x", "--target", "c")
    assert re.match("x.csv line 4, column c: expected .* class", said)


def test_one_class_and_one_sequence_are_too_few(here):
    write_csv("x.csv", ("x", "c"), range(50), ["one"] * 50)
    assert re.match("--target: expected .*two .*, got 1", complaint("x.csv", "--target", "c"))
    np.save("x.npy", np.zeros((1, 5, 1)))
    np.save("y.npy", np.zeros(1))
    assert complaint("x.npy", "y.npy").startswith("DATA: expected ")


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ((5,), None, "x.npy: expected (T, I) or (B, T, I), got (5,)"),
        ((2, 5, 3, 1), None, "x.npy: expected (T, I) or (B, T, I), got (2, 5, 3, 1)"),
        ((5, 0), None, "x.npy: expected at least one number, got (5, 0)"),
        ((8, 5, 3), (7,), "y.npy: expected (8, 5, O) or (8, O), got (7,)"),
        ((9, 3), (8,), "y.npy: expected (9, O), got (8,)"),
        ((8, 5, 3), (8, 5, 1, 1), "y.npy: expected at most 3 axes, got (8, 5, 1, 1)"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(here, x, y, sentence):
    np.save("x.npy", np.ones(x))
    files = ["x.npy"]
    if y is not None:
        np.save("y.npy", np.ones(y))
        files.append("y.npy")
    said = complaint(*files)
    expected, got = sentence.split(", got ")
    assert said.startswith(expected.partition(" at ")[0])
    assert said.endswith(f", got {got}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("bad.npy", "bad.npy: expected .*, got nan"),
        ("odd.npy", "odd.npy: expected .*, got complex128"),
        ("x.npy bad.npy", "bad.npy: expected .*, got nan"),
        ("x.npy two.npy", "two.npy: expected .* class"),
        ("x.npy sines.csv", ".*sines.csv: expected .* NPY"),
        ("sines.csv x.npy", "TARGETS: expected none "),
        ("x.npy x.npy --target 1", "--target: expected none"),
        ("x.npy x.npy --horizon 1", "TARGETS: expected none"),
        ("x.npy --sequence 1", "--sequence: expected .*CSV"),
        ("x.npy --task regression", "TARGETS: expected .* second"),
        ("missing.csv", "missing.csv: "),
    ],
)
def test_unusable_npy_data_and_options_are_one_sentence(here, sines, words, sentence):
    np.save("x.npy", np.ones((50, 1)))
    np.save("bad.npy", np.full((50, 1), np.nan))
    np.save("odd.npy", np.ones((50, 1)) * 1j)
    np.save("two.npy", np.ones((50, 2), int))
    assert re.match(sentence, complaint(*words.split()))


@pytest.mark.parametrize("options", [["--task", "x"], ["--hidden", "0"], ["--epochs", "x"]])
def test_wrong_usage_ends_with_code_2(sines, options):
    done = command.run("train", sines, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert options[0].encode() in done.stderr


# --- columns of every kind ------------------------------------------------------------------------


def examples_of(text, **question):
    Path("data.csv").write_text(text)
    return examples.read("data.csv", None, examples.Question(**question))


HOURS = [f"2024-01-01 {hour:02}:30" for hour in range(6)]
LOAD = "at;site;load;temp\n" + "".join(
    f"{at};{'ab'[i % 2]};{i},5;{10 * i}\n" for i, at in enumerate(HOURS)
)


def test_dates_are_no_inputs_but_the_time(here):
    found = examples_of(LOAD, inputs=["load", "temp"])
    assert found.table == elman.Table(
        inputs=["load", "temp"], targets=["load", "temp"], horizon=1, time="at"
    )
    found = examples_of(LOAD, sequence="site", targets=["load"], horizon=(1,))
    assert found.table.inputs == ("load", "temp")
    assert [x.tolist() for x in found.x] == [
        [[0.5, 0], [2.5, 20]],
        [[1.5, 10], [3.5, 30]],
    ]
    assert [y.tolist() for y in found.y] == [[[2.5], [4.5]], [[3.5], [5.5]]]


def test_the_calendar_gives_inputs(here):
    found = examples_of(LOAD, inputs=["load"], calendar=["hour"])
    assert found.table.input_names == ("load", "hour_sin", "hour_cos")
    turns = 2 * np.pi * (np.arange(5) + 0.5) / 24
    np.testing.assert_allclose(found.x[0][:, 1:], np.stack([np.sin(turns), np.cos(turns)], axis=1))
    unix = "stamp,load\n" + "".join(f"{1704069000 + 3600 * i},{i}\n" for i in range(6))
    named = examples_of(unix, calendar=["stamp", "hour"])
    assert named.table == elman.Table(
        inputs=["load"], targets=["load"], horizon=1, time="stamp", calendar=["hour"]
    )
    np.testing.assert_array_equal(named.x[0][:, 1:], found.x[0][:, 1:])


def test_eight_digits_are_the_time_unless_they_are_named(here):
    text = "day,v\n" + "".join(f"202402{day:02},{day}\n" for day in range(1, 25))
    found = examples_of(text)
    assert (found.table.inputs, found.table.time) == (("v",), "day")
    found = examples_of(text, calendar=["weekday"])
    turns = 2 * np.pi * np.array([date.weekday() for date in map(np.datetime64.item, DATES)]) / 7
    np.testing.assert_allclose(found.x[0][:, 1], np.sin(turns[:-1]), atol=1e-15)
    found = examples_of(text, inputs=["day", "v"], targets=["v"], horizon=(1,))
    assert (found.table.inputs, found.table.time) == (("day", "v"), None)
    assert found.x[0][:2].tolist() == [[20240201, 1], [20240202, 2]]


@pytest.mark.parametrize("first", ["01.01.24", "01-Jan-24", "2014Q1", "2024-W01", "20240101T0000"])
def test_every_form_of_a_date_is_the_time(here, first):
    assert examples_of(f"at,v\n{first},1\n{first},2\n{first},3\n").table.time == "at"


def test_a_whole_day_is_forecast_at_once(here):
    found = examples_of("a,b\n" + "".join(f"{i},{10 * i}\n" for i in range(6)), horizon=(1, 3))
    assert found.table.output_names == ("a+1", "b+1", "a+3", "b+3")
    assert found.x[0].tolist() == [[0, 0], [1, 10], [2, 20]]
    assert found.y[0].tolist() == [[1, 10, 3, 30], [2, 20, 4, 40], [3, 30, 5, 50]]
    assert found.now[0].tolist() == [[0, 0], [1, 10], [2, 20]]
    with pytest.raises(elman.ArgumentError, match=r"--horizon: expected less .* 6 steps, got 6"):
        examples_of("a\n" + "1\n" * 6, horizon=(1, 6))


GAPS = "x,y\n1,10\n,20\n3,\n4,40\n"


def test_sequences_shorter_than_the_horizon_are_left_out_and_counted(here, capsys):
    text = "s,v\n" + "".join(f"{key},0\n" for key in "aaaabbccccc")
    Path("x.csv").write_text(text)
    found = examples.read("x.csv", None, examples.Question(sequence="s", horizon=(2,)))
    assert list(map(len, found.x)) == [2, 3]
    said = capsys.readouterr().err
    assert said == "elman: sequences that end within the horizon and were dropped: 1\n"


DAYS = [f"2024-02-{day:02d}" for day in range(1, 25)]
DATES = np.array(DAYS, "datetime64[D]")


def test_lines_that_are_not_in_the_order_of_time_are_said_and_have_no_times(here, capsys):
    values = list(range(24))
    write_csv("down.csv", ("day", "v"), DAYS[::-1], values)
    write_csv("two.csv", ("site", "day", "v"), ["a"] * 12 + ["b"] * 12, DAYS[:12] * 2, values)
    sentence = "got earlier times in day after later ones: sort them"
    for name in ("down.csv", "two.csv"):
        found = examples.read(name, None, examples.Question(inputs=["v"]))
        assert (found.table.time, len(found.x[0])) == (None, 23)
        assert f"{name}: {sentence}, if each line is" in capsys.readouterr().err
    said = complaint("down.csv", "--calendar", "weekday")
    assert said == f"down.csv: expected lines in chronological order, {sentence}"
    found = examples.read("two.csv", None, examples.Question(inputs=["v"], sequence="site"))
    assert (found.table.time, list(map(len, found.x))) == ("day", [11, 11])
    for text in ("day,v\n3/2/2024,1\n2/2/2024,2\n1/2/2024,3\n", "day,v\n2024-02-03,1\n,2\n,3\n"):
        assert len(examples_of(text).x[0]) == 2  # unclear or missing dates, not needed
    found = examples_of("day,x,v\n2024-02-03,1,1\n2024-02-02,2,2\n", targets=["v"])  # a regression
    assert (found.table.time, len(found.x[0])) == ("day", 2)
    assert "sort" not in capsys.readouterr().err


def test_missing_values_are_filled_or_left_out_and_counted(here, capsys):
    found = examples_of(GAPS, missing="hold")
    assert [*found.x[0].tolist(), found.y[0][-1].tolist()] == [[1, 10], [1, 20], [3, 20], [4, 40]]
    assert "2 missing values were filled by the previous value" in capsys.readouterr().err
    found = examples_of(GAPS, missing="interpolate")
    assert [*found.x[0].tolist(), found.y[0][-1].tolist()] == [[1, 10], [2, 20], [3, 30], [4, 40]]
    assert "2 missing values were filled by interpolation" in capsys.readouterr().err
    found = examples_of(GAPS, targets=["y"], missing="drop")
    assert (found.x[0].tolist(), found.y[0].tolist()) == ([[1], [4]], [[10], [40]])
    assert "2 lines with missing values were dropped" in capsys.readouterr().err
    examples_of("x\n1\nNA\n3\n4\n", missing="drop")
    assert "1 line with missing values was dropped" in capsys.readouterr().err
    examples_of("x\n1\nNA\n3\n4\n", missing="hold")
    assert "1 missing value was filled by the previous value" in capsys.readouterr().err


def test_missing_classes_are_left_out_only(here):
    text = "x,way\n1,up\n2,NA\n3,down\n4,up\n"
    found = examples_of(text, targets=["way"], missing="drop")
    assert (found.table.classes, found.y[0].tolist()) == (("down", "up"), [1, 0, 1])


@pytest.mark.parametrize(
    ("text", "question", "sentence"),
    [
        (GAPS, {"targets": ["y"]}, "line 3, column x: expected a number, got an empty field: hold"),
        (
            GAPS,
            {"targets": ["y"], "missing": "hold"},
            "line 4, column y: expected a target, .* drop",
        ),
        (GAPS, {"missing": "mean"}, "--missing: expected hold, interpolate, drop, got 'mean'"),
        ("x,c\n1,a\n2,NA\n", {"targets": ["c"]}, "line 3, column c: expected a class, got 'NA'"),
        ("x\nNA\nNA\n1\n", {"missing": "interpolate"}, "line 2, column x: expected a value before"),
        (LOAD, {"inputs": ["at"]}, "--inputs: .* got the dates of at: use --calendar hour"),
        (LOAD, {}, "--inputs: .* got the text of site: .* load, temp; --sequence site"),
        ("at,v\n08:00,1\n", {}, "--inputs: .* got times of day without a date in at: .* columns v"),
        (LOAD, {"targets": ["at"]}, "--target: expected numbers or classes, got the dates of at"),
        (LOAD, {"calendar": ["at"]}, "--calendar: expected some of hour, .*, got at"),
        (LOAD, {"calendar": ["day", "hour"]}, "--calendar: .* columns at, site, .*, got day"),
        ("x\n1\n2\n", {"calendar": ["hour"]}, "--calendar: .* column of dates, .* COLUMN,hour"),
        (
            "a,b,x\n2024-01-01,2024-01-01,1\n",
            {"calendar": ["hour"]},
            "--calendar: expected one column of dates, got the columns a, b: name one, as a,hour",
        ),
        (LOAD, {"inputs": ["load"], "targets": ["load"]}, "--target: .* load: use --horizon 1 "),
    ],
)
def test_columns_that_cannot_be_learned_are_one_sentence(here, text, question, sentence):
    with pytest.raises(elman.ElmanError, match=sentence):
        examples_of(text, **question)


def test_numbers_are_no_classes_by_the_hundred(here):
    text = "x,y\n" + "".join(f"{i},{i * 0.25}\n" for i in range(500))
    with pytest.raises(elman.ArgumentError, match=r"--target: .*500 .* --task regression"):
        examples_of(text, targets=["y"], task="classification")
    text = "x,y\n" + "".join(f"{i},machine {i}\n" for i in range(1500))
    with pytest.raises(elman.ArgumentError, match=r"--target: .* at most 1000 classes, got 1500"):
        examples_of(text, targets=["y"])
