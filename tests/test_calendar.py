import math
from datetime import datetime, timedelta

import numpy as np
import pytest

from elman._calendar import features

CYCLES = ("hour", "weekday", "yearday")


def expected(moment):
    """Return the three pairs, from Python's own calendar."""
    day = (moment - datetime(moment.year, moment.month, moment.day)) / timedelta(days=1)
    since_new_year = (moment - datetime(moment.year, 1, 1)) / timedelta(days=1)
    turns = (day, (moment.weekday() + day) / 7, since_new_year / 365.2425)
    return [f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos)]


MOMENTS = [
    datetime(2024, 2, 29, 6, 30),
    datetime(2023, 12, 31, 23, 59, 59),
    datetime(1969, 12, 31, 18),  # before the epoch
    datetime(1900, 3, 1),
    datetime(2026, 11, 30, 12),  # noon on a Monday
]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_pairs_are_those_of_pythons_calendar(unit):
    times = np.array(MOMENTS, f"datetime64[{unit}]")
    got = features(times, CYCLES)
    np.testing.assert_allclose(got, [expected(m) for m in MOMENTS], rtol=0, atol=1e-12)


def test_dates_without_a_time_are_midnight():
    got = features(np.array(["2024-01-01"], "datetime64[D]"), CYCLES)  # a Monday
    assert got.tolist() == [[0, 1, 0, 1, 0, 1]]


def test_order_and_number_of_columns_follow_the_calendar():
    times = np.array(MOMENTS, "datetime64[us]")
    all_of_them = features(times, CYCLES)
    np.testing.assert_array_equal(
        features(times, ("yearday", "hour")), all_of_them[:, [4, 5, 0, 1]]
    )
    assert features(times, ()).shape == (len(MOMENTS), 0)
    assert features(times[:0], CYCLES).shape == (0, 6)


def test_a_missing_time_is_nan():
    times = np.array(["2024-01-01T06", "NaT"], "datetime64[ns]")
    got = features(times, ("hour",))
    np.testing.assert_allclose(got, [[1, 0], [np.nan, np.nan]], rtol=0, atol=1e-15)
