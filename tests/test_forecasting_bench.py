"""The scores of forecasts: their series, the measurement, and the page."""

import json

import numpy as np
import pytest

import forecasting
from elman.forecasting import search

pytestmark = pytest.mark.any_isa


@pytest.mark.parametrize("name", forecasting.SERIES)
def test_a_series_is_finite_and_the_same_every_time(name):
    try:
        series = forecasting.SERIES[name]()
    except SystemExit as missing:
        pytest.skip(str(missing))
    assert np.isfinite(series.values).all()
    assert len(series.values) >= 90
    np.testing.assert_array_equal(series.values, forecasting.SERIES[name]().values)


def test_the_parts_of_an_origin_leave_out_what_comes_after_it():
    series = forecasting.load(0)
    data, parts = forecasting.split(series, 0.7)
    ((_, start, stop),) = parts.holdout
    assert (start, stop) == (4200, 4799)  # of 6000 steps: the next tenth, up to its last target
    np.testing.assert_array_equal(data.y[0][:, 0], series.values[1:4800, 0])
    np.testing.assert_array_equal(data.now[0][1:], data.y[0][:-1])


def test_a_measurement_has_an_error_for_the_network_and_each_baseline(monkeypatch):
    monkeypatch.setattr(search, "WINDOWS", (16,))
    monkeypatch.setattr(search, "RESTARTS", 1)
    values = forecasting.henon().values[:200]
    series = forecasting.Series(values, [0], "short")
    found = forecasting.measure(series, seed=1, effort=1, threads=1)
    assert set(found["rmse"]) == {"network", "start", "the last value", "the mean", "linear"}
    steps = [
        round(200 * (origin + 0.1)) - 1 - round(200 * origin) for origin in forecasting.ORIGINS
    ]
    squares = []
    for origin, count in zip(forecasting.ORIGINS, steps, strict=True):
        begin = round(200 * origin)
        squares += list(
            (values[begin + 1 : begin + 1 + count] - values[begin : begin + count]) ** 2
        )
    assert found["rmse"]["the last value"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)
    assert found["rmse"]["network"] < found["rmse"]["linear"]


def result(**rmse):
    return {"rmse": rmse, "corrections": 1, "seconds": 2.0}


def test_a_ratio_is_of_the_network_to_the_best_baseline():
    runs = [result(network=2.0, start=1.0, linear=4.0, mean=8.0)]
    assert forecasting.ratios({"runs": runs}) == [0.5]


def test_a_verdict_counts_wins_and_names_the_worst():
    entries = {
        name: {"runs": [result(network=network, linear=1.0)], "about": about}
        for name, network, about in (
            ("a", 0.5, "made"),
            ("b", 0.99, "x (sktime)"),
            ("c", 1.015, ""),
        )
    }
    assert forecasting.verdict(entries) == (
        "More than 2 % better than the best baseline: 1 of 3 (of the 1 public: 0). Worst: 1.5 %"
        " behind (c)."
    )


def test_the_page_is_made_from_the_results():
    if not forecasting.RESULTS.exists():
        pytest.skip("there are no results")
    results = json.loads(forecasting.RESULTS.read_text())
    assert forecasting.PAGE.read_text() == forecasting.page(results), (
        "python bench/forecasting.py --page"
    )
    assert list(results["series"]) == list(forecasting.SERIES)
