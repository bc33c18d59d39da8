"""Calendar inputs: the hour of the day, the day of the week and the day of the year, as cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

DAYS_OF_YEAR = 365.2425  # the mean length of a year


def features(times: NDArray[np.datetime64], calendar: Sequence[str]) -> NDArray[np.float64]:
    """Return the calendar inputs (N, 2 len(calendar)): the sine and cosine of each cycle.

    The cycles are "hour" (a day), "weekday" (a week from Monday) and "yearday" (a year), each at
    the time of day: "weekday" is 0.5 / 7 of a turn at noon on Monday. A missing time (NaT) is NaN.

    Parameters
    ----------
    times : array of datetime64, (N,)
        Local times, without a time zone.
    calendar : sequence of {"hour", "weekday", "yearday"}
    """
    import numpy as np

    missing = np.isnat(times)
    known = np.where(missing, np.datetime64(0, "D"), times)
    day = known.astype("datetime64[D]")
    time_of_day = (known - day) / np.timedelta64(1, "D")
    values = np.empty((len(times), 2 * len(calendar)))
    for j, cycle in enumerate(calendar):
        if cycle == "hour":
            turns = time_of_day
        elif cycle == "weekday":
            monday = (day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
            turns = (monday + time_of_day) / 7
        else:
            first = day.astype("datetime64[Y]").astype("datetime64[D]")
            turns = ((day - first).astype(np.int64) + time_of_day) / DAYS_OF_YEAR
        values[:, 2 * j] = np.sin(2 * np.pi * turns)
        values[:, 2 * j + 1] = np.cos(2 * np.pi * turns)
    values[missing] = np.nan
    return values
