"""The fields of a line: numbers, missing values and text."""

from __future__ import annotations

import csv
import re
from math import isinf

from elman._text import printable
from elman.errors import TableError

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", None: "blanks"}
_MISSING = (  # of pandas, and of other programs
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan"
    "|null|NAN|none|Null|NaT|-|--|?|."
)
MISSING = frozenset(_MISSING.split("|"))
_DIGITS = r"[+-]?(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?"
NUMBER = {  # by decimal mark
    ".": re.compile(_DIGITS.format(mark=r"\.")),
    ",": re.compile(_DIGITS.format(mark=",")),
}
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:([.,' \u00a0\u202f’])[0-9]{3})+(?:[.,][0-9]+)?")


def split(line: str, separator: str | None, where: str) -> list[str]:
    """Return the fields of a line, stripped; the separator None means runs of blanks.

    Raises
    ------
    TableError
        If a quote is not closed or is inside a field. The message starts with `where`.
    """
    if '"' not in line:
        fields = line.split(separator)
    else:
        try:
            (fields,) = csv.reader(
                [line.strip(" \n")], delimiter=separator or " ", skipinitialspace=True, strict=True
            )
        except (csv.Error, ValueError) as error:
            several = "fields over several lines"
            got = printable(str(error)) if isinstance(error, csv.Error) else several
            raise TableError(f"{where}: expected fields with closed quotes, got {got}") from None
    return [field.strip() for field in fields]


def is_number(field: str) -> bool:
    """Return whether a field is a finite number with a decimal point or comma."""
    return any(kind.fullmatch(field) for kind in NUMBER.values())


def what_is_wrong(field: str, mark: str | None) -> str:
    """Return the error for a field that should be a number, with a remedy."""
    got = repr(shortened(field))
    if field in MISSING:
        empty = "an empty field" if field == "" else f"the missing value {got}"
        remedy = "hold, interpolate or drop it with missing= (--missing)"
        return f"expected a number, got {empty}: {remedy}"
    if _INFINITE.fullmatch(field) or (is_number(field) and isinf(float(field.replace(",", ".")))):
        return f"expected a finite number, got {got}"
    if mark is not None and is_number(field):
        other = "comma" if mark == "." else "point"
        return f"expected the decimal mark {mark!r} as before, got {got} with a decimal {other}"
    if _GROUPED.fullmatch(field):
        return f"expected a number, got {got}: write numbers without thousands separators"
    if is_number(field):
        return f"expected a number, got {got}: a decimal comma needs ; or tabs between fields"
    return f"expected a number, got {got}"


def shortened(text: str) -> str:
    """Return the first 40 characters of a text."""
    return text if len(text) <= 40 else text[:40] + "..."
