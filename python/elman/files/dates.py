"""Dates and times in text."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from elman.errors import TableError
from elman.files.fields import MISSING, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_ZONE = r"\s*(?:Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_SECOND = r"(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?"
_TIME = (
    rf"(?:(?:T|\s+)(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?::{_SECOND})?"
    rf"(?:\s*(?P<half>[AaPp][Mm]))?{_ZONE})?"
)
_BASIC_TIME = rf"(?:T|\s+)(?P<hour>[0-9]{{2}})(?::?(?P<minute>[0-9]{{2}})(?::?{_SECOND})?)?{_ZONE}"
_YEAR = r"(?P<year>[0-9]{4})"
_DIGITS = _YEAR + r"(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = (
    r"(?P<name>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))\.?"
)
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?\s+)?"
_FORMS = tuple(
    re.compile(form)
    for form in (  # the most frequent first
        rf"{_YEAR}(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?P=mark)(?P<day>[0-9]{{1,2}}){_TIME}",
        # 31.12.2024, 31/12/2024 or 12/31/2024; of two digits 31.12.24, not 1.2.24, or 1/31/24
        r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<other>[0-9]{1,2})(?P=mark)"
        rf"(?P<year>[0-9]{{4}}|(?:(?<=/)|(?<=[0-9]{{2}}\.[0-9]{{2}}\.))[0-9]{{2}}){_TIME}",
        # 31 Dec 2024, 31-Dec-24 or Dec 2024; Dec 31, 2024
        rf"{_WEEKDAY}(?:(?P<day>[0-9]{{1,2}})[-/ .]\s*)?{_NAME}[-/ ]\s*"
        rf"(?P<year>[0-9]{{4}}|(?(day)[0-9]{{2}}|(?!))){_TIME}",
        rf"{_WEEKDAY}{_NAME}\s+(?P<day>[0-9]{{1,2}}),?\s+{_YEAR}{_TIME}",
        rf"{_YEAR}[-/](?P<month>0[1-9]|1[0-2])",  # 2024-12 or 2024/12
        rf"{_YEAR}-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})[T ](?P<hour>[0-9]{{2}})",
        rf"{_DIGITS}{_BASIC_TIME}",  # 20241231T2305
        rf"{_YEAR}[- ]?[Qq](?P<quarter>[1-4])",  # 2024Q4
        rf"{_YEAR}(?P<mark>-?)W(?P<week>[0-9]{{2}})(?:(?P=mark)(?P<weekday>[1-7]))?",  # 2024-W01-1
    )
)
_ORDERED = next(form for form in _FORMS if "first" in form.groupindex)
_DAY = re.compile(_DIGITS)  # 20241231, a date only in a column of them
_DAYS = range(1900, 2101)  # the years of such a column
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:\s*[AP]M)?", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")
_LONGEST = 64  # characters of a date
_UNIX = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?")
_UNIX_UNITS = ((1e11, 1_000_000), (1e14, 1000), (1e17, 1))  # below this, microseconds in a unit


def is_date(field: str) -> bool:
    """Return whether a field looks like a date, with or without a time of day."""
    return _match(field) is not None


def is_clock(field: str) -> bool:
    """Return whether a field looks like a time of day without a date."""
    return _CLOCK.fullmatch(field) is not None


def is_day(field: str) -> bool:
    """Return whether a field is a day from 1900 to 2100 in eight digits, such as 20241231."""
    found = _DAY.fullmatch(field) if len(field) == 8 else None
    if found is None or int(found["year"]) not in _DAYS:
        return False
    try:
        date(*map(int, found.groups()))
    except ValueError:
        return False
    return True


def are_days(fields: Sequence[str]) -> bool:
    """Return whether fields are at least two different days, each in eight digits."""
    return is_day(fields[0]) and len(different := set(fields)) > 1 and all(map(is_day, different))


def _match(field: str) -> re.Match[str] | None:
    """Return the parts of a date, or None if it has none of the forms."""
    if len(field) <= _LONGEST:
        for form in _FORMS:
            if found := form.fullmatch(field):
                return found
    return None


def parse(
    fields: Sequence[str], where: Callable[[int], str], *, order: str | None = None
) -> NDArray[np.datetime64]:
    """Return local times, datetime64[us]; a missing field is NaT.

    The zone or offset is ignored: the time of day is that of the text. Numbers are Unix times in
    seconds, milliseconds, microseconds or nanoseconds, depending on their size.

    Parameters
    ----------
    fields : sequence of str
    where : function
        `where(i)` returns the place of field i, for messages.
    order : {"dmy", "mdy"}, optional
        The order in dates such as 01/02/2024; by default inferred from the fields.

    Raises
    ------
    TableError
        If a field is not a date, or the order of day and month is ambiguous.
    """
    if all(map(_PLAIN.fullmatch, fields)):
        try:
            return np.array(fields, "datetime64[us]")
        except ValueError:
            pass  # named below
    order = order or day_order(fields)
    times = np.empty(len(fields), "datetime64[us]")
    for i, field in enumerate(fields):
        times[i] = _time(field, order, where, i)
    return times


def day_order(fields: Sequence[str]) -> str | None:
    """Return the order of dates that start with day or month, "dmy" or "mdy"; None if unknown."""
    for field in fields:
        if found := _ORDERED.fullmatch(field):
            if found["mark"] == "." or int(found["first"]) > 12:
                return "dmy"
            if int(found["other"]) > 12:
                return "mdy"
    return None


def _time(
    field: str, order: str | None, where: Callable[[int], str], i: int
) -> np.datetime64 | str:
    if field in MISSING:
        return np.datetime64("NaT", "us")
    if is_day(field):
        found = _DAY.fullmatch(field)
    elif (found := _match(field)) is None and _UNIX.fullmatch(field):
        return _unix(field)
    if found is None:
        remedy = ", a time of day: write it behind its date" if is_clock(field) else ""
        raise TableError(f"{where(i)}: expected a date, got {shortened(field)!r}{remedy}")
    parts: dict[str, str | None] = found.groupdict()
    if found.re is _ORDERED:
        if order is None:
            raise TableError(
                f"{where(i)}: expected an unambiguous date, got {shortened(field)!r}, which may be"
                " day/month or month/day: write it as 2024-12-31"
            )
        names = ("day", "month") if order == "dmy" else ("month", "day")
        parts |= dict(zip(names, (parts["first"], parts["other"]), strict=True))
    try:
        return np.datetime64(_day(parts) + _clock(parts), "us")
    except ValueError:
        got = shortened(field)
        raise TableError(
            f"{where(i)}: expected a date, got {got!r}, which does not exist"
        ) from None


def _day(parts: dict[str, str | None]) -> str:
    """Return the day of a date in the form of NumPy."""
    year, month = parts["year"] or "", parts.get("month")
    if len(year) == 2:
        year = ("19" if int(year) >= 69 else "20") + year  # as POSIX
    if week := parts.get("week"):
        weekday = int(parts["weekday"] or 1)
        return date.fromisocalendar(int(year), int(week), weekday).isoformat()
    if quarter := parts.get("quarter"):
        month = str(3 * int(quarter) - 2)
    elif name := parts.get("name"):
        month = str(_NAMES.index(name[:3].lower()) + 1)
    return f"{year}-{month:0>2}-{parts.get('day') or '1':0>2}"


def _clock(parts: dict[str, str | None]) -> str:
    """Return the time of day of a date in the form of NumPy; "" without one."""
    if (hours := parts.get("hour")) is None:
        return ""
    hour = int(hours)
    if (half := parts.get("half")) is not None:
        hour = hour % 12 + 12 * (half.upper() == "PM") if 1 <= hour <= 12 else 24
    hour = min(hour, 24)  # of more, NumPy makes a time zone
    fraction = (parts.get("fraction") or "0")[:6]
    return f"T{hour:02}:{parts.get('minute') or '00'}:{parts.get('second') or '00'}.{fraction}"


def _unix(field: str) -> np.datetime64:
    whole, _, fraction = field.partition(".")
    for below, microseconds in _UNIX_UNITS:
        if int(whole) < below:
            part = round(float(f"0.{fraction or 0}") * microseconds)
            return np.datetime64(int(whole) * microseconds + part, "us")
    return np.datetime64(int(whole) // 1000, "us")
