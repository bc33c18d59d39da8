"""Times after the last one: a fixed step, or a number of whole months."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.datetime64]
    Array = NDArray[Any]

REGULAR = 0.95  # the share of equal differences: clocks change twice a year, and lines are missing
UNIT = "datetime64[us]"
ZERO = np.timedelta64(0, "us")
UNITS = ("D", "m", "s")  # of texts; microseconds otherwise


def following(times: Times, count: int) -> Times | None:
    """Return the next `count` times, or None if the given ones, (T,), are not regular.

    They are regular if 95 % of the differences are the same time, or the same number of months.
    """
    if len(times) < 2 or np.isnat(times).any():
        return None
    numbers = np.arange(1, count + 1)
    differences = np.diff(times)
    if differences.min() >= np.timedelta64(28, "D"):
        by_month = _months_after(times, numbers)
        if by_month is not None:
            return by_month
    step = _usual(differences)
    return times[-1] + numbers * step if step is not None and step > ZERO else None


def increasing(times: Times) -> bool:
    """Return whether no time is before the previous one, except where clocks go back an hour.

    In local time, one hour of the year occurs twice.
    """
    differences = np.diff(times)
    back = differences[differences < ZERO]
    if not len(back):
        return True
    years = (times[-1] - times[0]) // np.timedelta64(365, "D")
    return len(back) <= 1 + years and bool(back.min() > -np.timedelta64(1, "h"))


def text(times: Times) -> list[str]:
    """Return times in the shortest form of ISO 8601 for all, with a blank instead of the T."""
    known = times[~np.isnat(times)]
    unit = next((u for u in UNITS if (known == known.astype(f"datetime64[{u}]")).all()), "us")
    texts: list[str] = np.datetime_as_string(times, unit).tolist()  # type: ignore[call-overload]
    return [text.replace("T", " ") for text in texts]


def _usual(differences: Array) -> Any:  # noqa: ANN401 (a scalar of NumPy)
    """Return the value of at least 95 % of the differences, or None."""
    usual = np.sort(differences)[len(differences) // 2]
    return usual if (differences == usual).mean() >= REGULAR else None


def _months_after(times: Times, numbers: Array) -> Times | None:
    """Return times on the same day of later months, or at their ends."""
    months = times.astype("datetime64[M]")
    step = _usual(np.diff(months))
    if step is None or step <= np.timedelta64(0, "M"):
        return None
    # Days are counted from the start of the month or its end.
    for first in (months, months + np.timedelta64(1, "M")):
        days = times - first
        if _usual(days) == days[-1]:
            result: Times = (first[-1] + numbers * step).astype(UNIT) + days[-1]
            return result
    return None
