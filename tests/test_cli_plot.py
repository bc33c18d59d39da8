"""Plots for the terminal."""

import math

import pytest

from elman.cli import plot

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
