"""Dates and times in text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from elman.errors import TableError
from elman.files.fields import MISSING, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_TIME = (
    r"(?:(?:T|\s+)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp][Mm]))?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_ISO = re.compile(
    r"(?P<year>[0-9]{4})(?P<mark>[-/.])(?P<month>[0-9]{1,2})(?P=mark)(?P<day>[0-9]{1,2})" + _TIME
)
_OTHER = re.compile(  # 31.12.2024, 31/12/2024 or 12/31/2024
    r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<second_>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4})"
    + _TIME
)
_MONTH = re.compile(  # 2024-12 or 2024/12
    r"(?P<year>[0-9]{4})[-/](?P<month>0[1-9]|1[0-2])"
)
_HOUR = re.compile(  # 2024-12-31 23 or 2024-12-31T23
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[T ](?P<hour>[0-9]{2})"
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?\s+)?"
_NAMED = tuple(
    re.compile(_WEEKDAY + order + _TIME, re.IGNORECASE)
    for order in (  # 31 Dec 2024, 31-Dec-2024 or Dec 2024; Dec 31, 2024
        rf"(?:(?P<day>[0-9]{{1,2}})[-/ .]\s*)?{_NAME}[-/ ]\s*(?P<year>[0-9]{{4}})",
        rf"{_NAME}\s+(?P<day>[0-9]{{1,2}}),?\s+(?P<year>[0-9]{{4}})",
    )
)
_PLAIN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")
_LONGEST = 64  # characters of a date
_UNIX = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?")
_UNIX_UNITS = ((1e11, 1_000_000), (1e14, 1000), (1e17, 1))  # below this, microseconds in a unit


def is_date(field: str) -> bool:
    """Return whether a field looks like a date, with or without a time of day."""
    if len(field) > _LONGEST:
        return False
    if field[:1].isdigit() and (_ISO.fullmatch(field) or _OTHER.fullmatch(field)):
        return True
    return _in_words(field) is not None


def _in_words(field: str) -> dict[str, str | None] | None:
    """Return the parts of a date with the name of a month, or without a day or minutes."""
    if field[:4].isdigit():
        found = _MONTH.fullmatch(field) or _HOUR.fullmatch(field)
        return None if found is None else {"minute": "00", **found.groupdict()}
    found = _NAMED[0].fullmatch(field) or _NAMED[1].fullmatch(field)
    if found is None:
        return None
    return {**found.groupdict(), "month": str(_NAMES.index(found["name"][:3].lower()) + 1)}


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
        if found := _OTHER.fullmatch(field):
            if found["mark"] == "." or int(found["first"]) > 12:
                return "dmy"
            if int(found["second_"]) > 12:
                return "mdy"
    return None


def _time(
    field: str, order: str | None, where: Callable[[int], str], i: int
) -> np.datetime64 | str:
    if field in MISSING:
        return np.datetime64("NaT")
    parts: dict[str, str | None] | None
    if found := _ISO.fullmatch(field):
        parts = found.groupdict()
    elif found := _OTHER.fullmatch(field):
        if order is None:
            raise TableError(
                f"{where(i)}: expected an unambiguous date, got {shortened(field)!r}, which may be"
                " day/month or month/day: write it as 2024-12-31"
            )
        names = ("day", "month") if order == "dmy" else ("month", "day")
        parts = {
            **found.groupdict(),
            **dict(zip(names, found.group("first", "second_"), strict=True)),
        }
    elif _UNIX.fullmatch(field):
        return _unix(field)
    else:
        parts = _in_words(field)
    if parts is None:
        raise TableError(f"{where(i)}: expected a date, got {shortened(field)!r}")
    text = f"{parts['year']}-{int(parts['month'] or 1):02}-{int(parts.get('day') or 1):02}"
    if (hours := parts.get("hour")) is not None:
        hour = int(hours)
        if (half := parts.get("half")) is not None:
            hour = hour % 12 + 12 * (half.upper() == "PM") if 1 <= hour <= 12 else 24
        fraction = (parts.get("fraction") or "0")[:6]
        hour = min(hour, 24)  # NumPy reads a larger one as a time zone
        text += f"T{hour:02}:{parts['minute']}:{parts.get('second') or '00'}.{fraction}"
    try:
        return np.datetime64(text, "us")
    except ValueError:
        got = shortened(field)
        raise TableError(
            f"{where(i)}: expected a date, got {got!r}, which does not exist"
        ) from None


def _unix(field: str) -> np.datetime64:
    whole, _, fraction = field.partition(".")
    for below, microseconds in _UNIX_UNITS:
        if int(whole) < below:
            part = round(float(f"0.{fraction or 0}") * microseconds)
            return np.datetime64(int(whole) * microseconds + part, "us")
    return np.datetime64(int(whole) // 1000, "us")
