"""Forecasts: the bits of a stream fed by hand, intervals as counted, and what is refused."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import elman
from elman import _calendar
from elman.forecasting import ahead, intervals

pytestmark = pytest.mark.any_isa


def network(I, O, table=None, **options):
    return elman.Network(I, 6, O, seed=3, output_activation="identity", table=table, **options)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def hours(count, start="2024-03-01T00"):
    return np.datetime64(start, "us") + np.arange(count) * np.timedelta64(1, "h")


# --- the forecast ---------------------------------------------------------------------------------


def test_a_network_that_doubles_is_exact():
    layer = ([[1.0]], [[0.0]], None)
    net = elman.Network.from_weights(
        [layer], ([[2.0]], None), activation="identity", output_activation="identity"
    )
    result = elman.forecast(net, [[1.0], [2.0], [4.0]], steps=4, interval=None)
    assert result.values.tolist() == [[8.0], [16.0], [32.0], [64.0]]
    assert result.steps.tolist() == [1, 2, 3, 4]
    assert (result.lower, result.upper, result.coverage, result.times) == (None,) * 4


def by_hand(net, x, later, feedback, steps):
    """Return the outputs of a stream whose outputs become inputs, (input, output)."""
    stream = net.stream()
    for row in x.astype(net.dtype):
        y = stream.step(row)
    outputs = [y]
    for t in range(steps - 1):
        row = later[t].astype(net.dtype)
        for i, j in feedback:
            row[i] = outputs[-1][j]
        outputs.append(stream.step(row))
    return np.array(outputs)


def test_a_stream_fed_by_hand_gives_the_bits_of_the_forecast(dtype):
    table = elman.Table(
        inputs=["sun", "load", "wind"],
        targets=["wind", "price", "load"],
        horizon=1,
        time="at",
        calendar=["hour", "weekday"],
    )
    net = network(7, 3, table, dtype=dtype)
    times = hours(90)
    values = noise(90, 4)
    names = ["wind", "load", "sun", "price"]  # another order than the network's
    frame = elman.Frame({"at": times[:80], **dict(zip(names, values[:80].T, strict=True))})
    future = elman.Frame({"sun": values[80:, 2]})
    result = elman.forecast(net, frame, steps=8, future=future, interval=None)
    columns = values[:, [names.index(name) for name in table.inputs]]
    x = np.concatenate([columns, _calendar.features(times, table.calendar)], axis=1)
    x[80:, 1:3] = np.nan
    want = by_hand(net, x[:80], x[80:], [(1, 2), (2, 0)], 8)
    assert np.array_equal(result.values, want)
    assert result.columns == ("wind", "price", "load")
    assert np.array_equal(result.times, times[80:88])
    with_intervals = elman.forecast(net, frame, steps=8, future=future, holdout=0.9)
    assert np.array_equal(with_intervals.values, want)


def test_without_a_table_it_generates_as_many_steps(dtype):
    net = network(2, 2, dtype=dtype)
    x = noise(50, 2)
    result = elman.forecast(net, x, steps=30)
    assert np.array_equal(result.values, net.generate(x, 30))
    assert result.columns == ("output_1", "output_2")
    frame = elman.Frame({"a": x[:, 0], "place": ["x"] * 50, "b": x[:, 1]})
    named = elman.forecast(net, frame, steps=30, interval=None)
    assert named.columns == ("a", "b")
    assert np.array_equal(named.values, result.values)


def test_more_steps_than_memory_can_hold_are_refused():
    net = elman.Network(1, 2, 1, output_activation="identity", seed=0)
    with pytest.raises(elman.LimitError, match=r"^steps: .*memory"):
        elman.forecast(net, np.zeros((30, 1)), steps=2**62)


def test_a_network_for_several_steps_gives_them_at_once():
    table = elman.Table(inputs=["a", "b"], targets=["b", "c"], horizon=(1, 2, 3, 4))
    net = network(2, 8, table)
    x = noise(60, 3)
    frame = elman.Frame(dict(zip("abc", x.T, strict=True)))
    result = elman.forecast(net, frame)
    assert np.array_equal(result.values, net(x[:, :2])[-1].reshape(4, 2))
    first = elman.forecast(net, frame, steps=2, interval=None)
    assert np.array_equal(first.values, result.values[:2])


def test_some_steps_only_are_forecast_as_the_horizon_says():
    table = elman.Table(inputs=["a"], targets=["a"], horizon=(1, 6, 24), time="t")
    net = network(1, 3, table)
    frame = elman.Frame({"t": hours(100), "a": noise(100)})
    result = elman.forecast(net, frame, steps=10, interval=None)
    assert result.steps.tolist() == [1, 6]
    assert np.array_equal(result.times, hours(106)[[100, 105]])


def test_each_sequence_is_forecast_like_it_alone():
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, sequence="machine", time="t")
    net = network(1, 1, table)
    machine = np.array(["b", "a", "b", "b", "a", "b"])
    frame = elman.Frame({"machine": machine, "v": noise(6), "t": hours(6)})
    result = elman.forecast(net, frame, steps=3, interval=None)
    assert result.keys == ["b"] * 3 + ["a"] * 3
    for part in result.parts:
        alone = frame["v"][machine == part.key][:, np.newaxis]
        assert np.array_equal(part.values, net.generate(alone, 3))
    assert result.table().columns == ("machine", "step", "v")  # times of b are irregular


def test_sequences_may_be_switched_off():
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, sequence="machine")
    net = network(1, 1, table)
    x = noise(6, 1)
    result = elman.forecast(net, x, steps=3, sequence="", interval=None)
    assert result.keys is None
    assert np.array_equal(result.values, net.generate(x, 3))
    frame = elman.Frame({"v": x[:, 0], "machine": list("ababab")})
    with pytest.raises(elman.ArgumentError, match=r"sequence: expected 'machine', .* got ''"):
        elman.forecast(net, frame, steps=3, sequence="")


def test_numbers_of_sequences_stay_whole():
    net = network(1, 1)
    frame = elman.Frame({"v": noise(4), "who": [123456.0, 123456.0, 7.0, 7.0]})
    result = elman.forecast(net, frame, steps=1, sequence="who", interval=None)
    assert result.keys == [123456, 7]


def test_known_inputs_may_be_an_array():
    table = elman.Table(inputs=["a", "b", "c"], targets=["b"], horizon=1)
    net = network(3, 1, table)
    x = noise(40, 3)
    later = noise(4, 2, seed=1)
    result = elman.forecast(net, x, steps=5, future=later, interval=None)
    rows = np.stack([later[:, 0], np.full(4, np.nan), later[:, 1]], axis=1)
    assert np.array_equal(result.values, by_hand(net, x, rows, [(1, 0)], 5))


def test_one_step_needs_no_future():
    table = elman.Table(inputs=["a", "b"], targets=["b"], horizon=1)
    net = network(2, 1, table)
    x = noise(40, 2)
    assert np.array_equal(elman.forecast(net, x, steps=1).values, net(x)[-1:])


def test_the_earlier_forecast_is_that_of_the_data_up_to_then():
    net = network(2, 2)
    x = noise(50, 2)
    (part,) = elman.forecast(net, x, steps=7).parts
    assert np.array_equal(part.earlier, net.generate(x[:-7], 7))
    assert np.array_equal(part.past, x[-14:])
    (short,) = elman.forecast(net, x[:7], steps=7, interval=None).parts
    assert short.earlier is None


def test_data_frames_of_pandas_are_read_with_their_index_of_times():
    pandas = pytest.importorskip("pandas")
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, time="t", calendar=["hour"])
    net = network(3, 1, table)
    column = noise(60)
    frame = pandas.DataFrame({"v": column}, index=pandas.DatetimeIndex(hours(60), name="t"))
    result = elman.forecast(net, frame, steps=5)
    named = elman.Frame({"v": column, "t": hours(60)})
    assert np.array_equal(result.values, elman.forecast(net, named, steps=5).values)
    assert list(result.to_frame().columns) == ["step", "t", "v"]
    assert result.to_frame()["t"].iloc[0] == pandas.Timestamp(hours(61)[-1])


def test_times_with_a_zone_are_local_times():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, time="t", calendar=["hour"])
    net = network(3, 1, table)
    column = noise(60)
    want = elman.forecast(net, elman.Frame({"v": column, "t": hours(60)}), steps=5)
    local = pandas.Series(hours(60)).dt.tz_localize("Europe/Rome")
    frame = pandas.DataFrame({"v": column, "t": local})
    zoned = polars.DataFrame({"v": column, "t": hours(60)}).with_columns(
        polars.col("t").dt.replace_time_zone("Europe/Rome")
    )
    arrow = pyarrow.table({"v": column, "t": local})
    for given in (frame, frame.set_index("t"), zoned, arrow):
        got = elman.forecast(net, given, steps=5)
        assert np.array_equal(got.values, want.values)
        assert np.array_equal(got.times, want.times)


def test_it_prints_as_a_table_and_a_sentence():
    table = elman.Table(inputs=["<v>"], targets=["<v>"], horizon=1)
    result = elman.forecast(network(1, 1, table), noise(200, 1), steps=8)
    lines = repr(result).splitlines()
    assert lines[0].split() == ["step", "<v>", "<v>_lower", "<v>_upper"]
    assert len(lines) == 9
    assert lines[-2] == "... 2 more rows"
    assert lines[-1] == result.summary
    assert "<th>&lt;v&gt;_upper</th>" in result._repr_html_()
    assert result._repr_html_().count("<tr>") == 9


def test_a_target_called_step_keeps_its_column():
    table = elman.Table(inputs=["step"], targets=["step"], horizon=1)
    result = elman.forecast(network(1, 1, table), noise(5, 1), steps=2, interval=None)
    assert result.table().columns == ("step", "step_")
    assert np.array_equal(result.table()["step_"], result.values[:, 0])


# --- intervals ------------------------------------------------------------------------------------


def errors_by_hand(net, x, steps, origins):
    return np.array([x[t + 1 : t + 1 + steps] - net.generate(x[: t + 1], steps) for t in origins])


def test_intervals_are_the_quantiles_of_earlier_errors():
    net = network(2, 2, dtype="float64")
    x = noise(120, 2)
    result = elman.forecast(net, x, steps=5, interval=0.8, holdout=0.5)
    origins = range(60, 115)  # the pairs (row, next row) from round(119 / 2) on are held out
    errors = np.sort(errors_by_hand(net, x, 5, origins), axis=0)
    assert result.origins == len(errors) == 55
    # (55 + 1) * 0.1 = 5.6: the fifth smallest and the fifth largest
    assert np.array_equal(result.lower, result.values + errors[4])
    assert np.array_equal(result.upper, result.values + errors[-5])
    early, late = np.split(errors_by_hand(net, x, 5, origins), [27])
    early = np.sort(early, axis=0)  # (27 + 1) * 0.1 = 2.8
    inside = (late >= early[1]) & (late <= early[-2])
    assert result.coverage == inside.mean()
    assert result.summary == (
        f"80 % intervals, from 55 earlier forecasts: they covered {100 * inside.mean():.0f} % of"
        " 280 held-out values"
    )


@pytest.mark.parametrize("horizon", [(1,), (1, 2, 3), (2, 5)])
def test_the_intervals_are_of_values_that_training_has_not_seen(horizon):
    from elman.cli.splitting import split
    from elman.forecasting.parts import Examples

    x = noise(100 + horizon[-1], 1)
    table = elman.Table(inputs=["a"], targets=["a"], horizon=horizon)
    net = network(1, len(horizon), table, dtype="float64")
    pairs = x[: -horizon[-1]]
    parts = split(Examples([pairs], [np.zeros((100, len(horizon)))], table, [pairs]), 0.2, 0.3, 0)
    rows = {
        name: {t + ahead for _, a, b in spans for t in range(a, b) for ahead in horizon}
        for name, spans in parts._asdict().items()
    }
    assert not rows["holdout"] & (rows["training"] | rows["validation"])
    ((_, start, stop),) = parts.holdout
    assert (start, stop) == (70, 100)
    result = elman.forecast(net, x, horizon[-1], holdout=0.3)
    assert result.origins == 30
    y, ahead_ = net(x), np.array(horizon)
    errors = np.array([x[t + ahead_, 0] - y[t] for t in range(start, stop)])
    k = int(31 * 0.1)
    if horizon != (1,):
        assert np.array_equal(result.lower[:, 0], y[-1] + np.sort(errors, axis=0)[k - 1])


def test_intervals_of_noise_cover_as_they_say():
    layer = ([[0.0]], [[0.0]], None)
    net = elman.Network.from_weights([layer], ([[0.0]], None), output_activation="identity")
    x = np.random.default_rng(1).uniform(-1, 1, (6000, 1))
    for interval in (0.5, 0.9):
        result = elman.forecast(net, x, steps=3, interval=interval, holdout=0.9)
        assert result.coverage == pytest.approx(interval, abs=0.03)
        assert result.upper == pytest.approx(interval, abs=0.05)
        assert result.lower == pytest.approx(-interval, abs=0.05)


@pytest.mark.parametrize(("interval", "count"), [(0.5, 3), (0.8, 9), (0.9, 19), (0.95, 39)])
def test_the_fewest_errors_are_those_of_conformal_prediction(interval, count):
    assert intervals.fewest(interval) == count
    errors = np.arange(float(count)).reshape(-1, 1, 1)
    band = intervals.band(errors, errors, interval)
    assert band.coverage == 1
    assert intervals.band(errors, errors[1:], interval) is None


def test_too_few_earlier_forecasts_give_no_intervals_and_say_so():
    result = elman.forecast(network(1, 1), noise(100, 1), steps=10)
    assert (result.lower, result.coverage, result.interval, result.origins) == (
        None,
        None,
        None,
        11,
    )
    assert result.summary.startswith("no intervals: 80 % need at least 18 earlier forecasts")
    assert "got 11" in result.summary
    assert "lower" not in repr(result)


def test_many_origins_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(ahead, "ORIGINS", 20)
    x = noise(1000, 1)
    net = network(1, 1, dtype="float64")
    result = elman.forecast(net, x, steps=2, holdout=0.1)
    errors = errors_by_hand(net, x, 2, range(899, 998, 5))
    assert result.origins == 20
    assert np.array_equal(result.lower, result.values + np.sort(errors, axis=0)[1])


# --- times ----------------------------------------------------------------------------------------


def days(*texts):
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize(
    ("times", "after"),
    [
        (days("2024-01-01", "2024-01-02"), ["2024-01-03", "2024-01-04"]),
        (days("2023-11-30", "2023-12-31", "2024-01-31"), ["2024-02-29", "2024-03-31"]),
        (days("2023-12-01", "2024-01-01", "2024-02-01"), ["2024-03-01", "2024-04-01"]),
        (days("2023-07-15", "2023-10-15", "2024-01-15"), ["2024-04-15", "2024-07-15"]),
        (days("2021-01-01", "2022-01-01", "2023-01-01"), ["2024-01-01", "2025-01-01"]),
        (days("2024-01-01", "2024-01-29", "2024-02-26"), ["2024-03-25", "2024-04-22"]),
        (days("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"), None),  # working days
        (days("2024-01-01", "2024-01-01"), None),
        (days("2024-01-01"), None),
        (days("2024-01-01", "NaT", "2024-01-03"), None),
    ],
)
def test_times_continue_by_a_fixed_step_or_by_months(times, after):
    got = ahead.clock.following(times, 2)
    assert (got is None) if after is None else (ahead.clock.text(got) == after)


def test_a_clock_that_is_set_back_does_not_matter():
    times = np.concatenate([hours(100), hours(100, "2024-03-05T03")])
    assert np.array_equal(ahead.clock.following(times, 3), hours(103, "2024-03-05T03")[100:])


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_the_hour_that_comes_twice_in_local_times_is_in_order(minutes):
    zone = ZoneInfo("Europe/Berlin")  # clocks go back on 26 October 2025, 3:00
    began = datetime(2025, 10, 24, tzinfo=UTC)
    moments = [began + timedelta(minutes=minutes * i) for i in range(72 * 60 // minutes)]
    local = days(*(moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M") for moment in moments))
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, time="day")
    data = elman.Frame({"v": noise(len(local)), "day": local})
    result = elman.forecast(network(1, 1, table), data, 2, interval=None)
    step = np.timedelta64(minutes, "m")
    assert result.times.tolist() == (local[-1] + step * np.array([1, 2])).tolist()
    for wrong in (local[::-1], np.concatenate([local[:50], local[40:]])):
        shown = elman.Frame({"v": noise(len(wrong)), "day": wrong})
        with pytest.raises(elman.ArgumentError, match="in chronological order"):
            elman.forecast(network(1, 1, table), shown, 2, interval=None)


def calendar_network():
    table = elman.Table(inputs=["v"], targets=["v"], horizon=1, time="day", calendar=["weekday"])
    return network(3, 1, table)


def test_irregular_times_come_from_the_future():
    net = calendar_network()
    working = days("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10")
    data = elman.Frame({"v": noise(5), "day": working})
    with pytest.raises(elman.ArgumentError, match=r"expected regular times.*--future FILE"):
        elman.forecast(net, data, steps=3, interval=None)
    later = days("2024-01-11", "2024-01-12", "2024-01-15")
    result = elman.forecast(net, data, 3, future=elman.Frame({"day": later}), interval=None)
    x = np.concatenate(
        [
            np.append(data["v"], [np.nan] * 2)[:, np.newaxis],
            _calendar.features(np.append(working, later[:2]), ["weekday"]),
        ],
        axis=1,
    )
    assert np.array_equal(result.values, by_hand(net, x[:5], x[5:], [(0, 0)], 3))
    assert np.array_equal(result.times, later)


def test_the_future_must_follow_the_data():
    net = calendar_network()
    data = elman.Frame({"v": noise(30), "day": hours(30)})
    with pytest.raises(
        elman.ArgumentError, match=r"the times from 2024-03-02 06:00.*got 2024-03-01"
    ):
        elman.forecast(net, data, 3, future=elman.Frame({"day": hours(5)}), interval=None)
    one = elman.forecast(net, data, 3, future=elman.Frame({"day": hours(33)[30:]}), interval=None)
    assert np.array_equal(one.values, elman.forecast(net, data, 3, interval=None).values)


# --- what is refused ------------------------------------------------------------------------------


def table(**fields):
    return elman.Table(**{"inputs": ["a", "b"], "targets": ["b"], "horizon": 1} | fields)


FRAME = elman.Frame({"a": noise(30), "b": noise(30, seed=1), "t": hours(30)})
REFUSED = {
    "no horizon": (network(2, 1, table(horizon=0)), FRAME, {}, "net: .* the same step; .*horizon"),
    "one far step": (network(2, 1, table(horizon=24)), FRAME, {}, "net: .*step 24.* 1..24"),
    "classes": (
        network(2, 3, table(classes=list("xyz"))),
        FRAME,
        {},
        "net: .*numbers, got one for cl",
    ),
    "no table": (network(2, 1), FRAME, {}, "net: expected a table.* got 2 inputs, 1 outputs"),
    "known inputs": (
        network(2, 1, table()),
        FRAME,
        {"steps": 5},
        "future: expected the next 4 values of 'a', .*future= .--future FILE.*1..24",
    ),
    "too many steps": (
        network(2, 3, table(horizon=(1, 2, 3))),
        FRAME,
        {"steps": 4},
        "steps: expected at most 3, the horizon of the network, got 4: .*1..4",
    ),
    "too few steps": (
        network(2, 2, table(horizon=(3, 6))),
        FRAME,
        {"steps": 2},
        "steps: expected at least 3",
    ),
    "a short future": (
        network(2, 1, table()),
        FRAME,
        {"steps": 5, "future": elman.Frame({"a": [1.0, 2.0]})},
        "future: expected at least 4 rows, the steps after the data, got 2",
    ),
    "a future for several steps": (
        network(2, 2, table(horizon=(1, 2))),
        FRAME,
        {"future": FRAME},
        "future: expected none, because .* from the data",
    ),
    "a future of targets only": (
        network(1, 1, table(inputs=["b"])),
        FRAME,
        {"future": FRAME},
        "future: expected none, because .* all its inputs",
    ),
    "a missing column": (network(2, 1, table(inputs=["a", "x"])), FRAME, {}, "a column 'x', .*got"),
    "a missing target": (network(2, 1, table(targets=["x"])), FRAME, {}, "a column 'x', .*got"),
    "an array without the target": (
        network(2, 1, table(targets=["x"])),
        noise(30, 2),
        {},
        "data: expected a file or a data frame",
    ),
    "an array of another width": (network(2, 2), noise(30, 3), {}, r"data: expected \(T, 2\), got"),
    "no rows": (network(2, 2), noise(0, 2), {}, "data: expected at least one step"),
    "another sequence": (
        network(2, 1, table(sequence="s")),
        FRAME,
        {"sequence": "t"},
        "sequence: expected 's', as in the model's table, got 't'",
    ),
    "an interval of 1": (network(2, 2), noise(9, 2), {"interval": 1}, "interval: .* below 1"),
    "a holdout of 1": (network(2, 2), noise(9, 2), {"holdout": 1}, "holdout: .* below 1"),
    "no steps": (network(2, 2), noise(9, 2), {"steps": 0}, "steps: expected at least 1"),
    "a reverse layer": (
        network(2, 2, direction="bidirectional"),
        noise(9, 2),
        {},
        "forecast",
    ),
    "an unknown way with missing values": (
        network(2, 2),
        "x.csv",
        {"missing": "guess"},
        "missing: expected hold, interpolate, drop, got 'guess'",
    ),
    "missing without a file": (
        network(2, 2),
        noise(9, 2),
        {"missing": "hold"},
        "missing: expected only with a file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_forecast_is_one_sentence(case):
    net, data, options, sentence = REFUSED[case]
    with pytest.raises((elman.ArgumentError, elman.ShapeError), match=sentence) as caught:
        elman.forecast(net, data, **options)
    assert "\n" not in str(caught.value)


def test_a_sequence_that_is_no_name_is_refused():
    with pytest.raises(elman.ArgumentTypeError, match=r"^sequence: expected a name, got int"):
        elman.forecast(network(2, 2), FRAME, sequence=3)


def test_a_missing_value_is_named_with_its_row():
    values = noise(30)
    values[6] = np.nan
    data = elman.Frame({"a": noise(30), "b": values})
    net = network(2, 1, table())
    with pytest.raises(elman.ArgumentError, match=r"data\['b'\]: .* nan in row 6"):
        elman.forecast(net, data, steps=1)
    with pytest.raises(elman.ArgumentError, match="NaN or infinity"):
        elman.forecast(net, [[0.0, np.inf]], steps=1)


def test_rows_in_another_order_than_time_are_refused():
    data = elman.Frame({"a": noise(30), "b": noise(30), "t": hours(30)[::-1]})
    net = network(2, 1, table(time="t"))
    with pytest.raises(elman.ArgumentError, match="in chronological order"):
        elman.forecast(net, data, steps=1)
    free = network(2, 1, table())  # its table does not say that these are the times
    assert elman.forecast(free, data, steps=1).times is None


def test_a_forecast_beyond_all_numbers_is_an_error():
    layer = ([[1.0]], [[0.0]], None)
    net = elman.Network.from_weights(
        [layer], ([[1e30]], None), activation="identity", output_activation="identity"
    )
    with pytest.raises(elman.DivergenceError, match=re.escape("not finite at step ")):
        elman.forecast(net, [[1.0]], steps=20, interval=None)
