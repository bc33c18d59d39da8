"""Text from elsewhere: values in messages, names of columns."""

from __future__ import annotations

import reprlib


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python does not print integers of thousands of digits
            return f"an integer of {x.bit_length()} bits"


_reprlib = _Repr()
_reprlib.maxstring = 80


def show(value: object) -> str:
    """Return a short one-line repr of untrusted content, for messages."""
    return " ".join(_reprlib.repr(value).split("\n"))


def printable(text: str) -> str:
    """Escape control characters, so that a file cannot control the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(name: object) -> str:
    """Return the name of a column for comparisons that ignore case and blanks."""
    return "".join(str(name).split()).casefold()
