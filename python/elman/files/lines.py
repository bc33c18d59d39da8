"""The lines of a text, in blocks or one by one as they arrive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from elman.errors import LimitError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 22  # bytes
LONGEST = 1 << 24  # bytes of a line
PIECE = 1 << 16  # bytes to read for a single line

_ERRORS = ("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!")  # of Excel
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n"))
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


class Lines(NamedTuple):
    """Whole lines, each with a newline at its end."""

    data: bytes
    first: int  # the number of the first line, from 1


class LineReader:
    """Lines from a source of bytes, ending with LF, CR LF or CR outside quotes.

    Parameters
    ----------
    name : str
        The file, for messages.
    read : function
        `read(n)` returns up to n bytes as soon as some are available, b"" at the end.
    """

    def __init__(self, name: str, read: Callable[[int], bytes]) -> None:
        self.name = name
        self._read = read
        self._rest = b""  # read, but from `_at` on not yet returned
        self._at = 0
        self._number = 1  # of the line at `_at`
        self._after_cr = False
        self._ended = False

    def line(self) -> Lines | None:
        """Return the next line as soon as it has arrived, or None at the end."""
        while not (end := end_of_line(self._rest, self._at)):
            if not self._fill(PIECE):
                return self._end()
        return self._take(end)

    def block(self) -> Lines | None:
        """Return about `BLOCK` bytes of lines, or None at the end."""
        while True:
            while len(self._rest) - self._at < BLOCK and self._fill(BLOCK):
                pass
            if end := _last_line_end(self._rest, self._at):
                return self._take(end)
            if not self._fill(BLOCK):
                return self._end()

    def put_back(self, lines: Lines) -> None:
        """Push back the lines that were taken last."""
        self._rest, self._at = lines.data + self._rest[self._at :], 0
        self._number = lines.first

    def _fill(self, size: int) -> bool:
        """Read up to `size` bytes more; return False after the end."""
        if self._ended:
            return False
        if len(self._rest) - self._at > LONGEST:
            raise LimitError(
                f"{self.name} line {self._number}: expected a line of at most {LONGEST} bytes,"
                " got more"
            )
        pieces = [self._rest[self._at :]]
        held = len(pieces[0])
        wanted = size - held if held < size else min(held, LONGEST + 1 - held)
        while wanted > 0:
            piece = self._read(wanted)
            if not piece:
                self._ended = True
                if pieces[-1] and not pieces[-1].endswith(b"\n"):
                    pieces.append(b"\n")
                break
            wanted -= len(piece) if size > PIECE else wanted
            after_cr, self._after_cr = self._after_cr, piece.endswith(b"\r")
            if after_cr:
                piece = piece.removeprefix(b"\n")
            if b"\r" in piece:
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            pieces.append(piece)
        self._rest, self._at = b"".join(pieces), 0
        return True

    def _end(self) -> Lines | None:
        """Return None, or raise if the end is within quotes."""
        if self._at < len(self._rest):
            raise TableError(
                f"{self.name} line {self._number}: expected a closing quote, got the end"
            )
        return None

    def _take(self, end: int) -> Lines:
        """Return the lines before `end`."""
        lines = Lines(self._rest[self._at : end], self._number)
        self._at = end
        self._number += lines.data.count(b"\n")
        controls = len(lines.data.translate(None, _CONTROLS)) < len(lines.data)
        if (controls or b"\xc2" in lines.data) and (found := _CONTROL.search(lines.data)):
            line = lines.first + lines.data.count(b"\n", 0, found.start())
            got = repr(found[0].decode())
            raise TableError(f"{self.name} line {line}: expected text, got the character {got}")
        return lines


def is_comment(text: str) -> bool:
    """Return whether a line without blanks before it is a comment."""
    return text.startswith("#") and not text.startswith(_ERRORS)


def end_of_line(data: bytes, start: int) -> int:
    """Return the end of the line at `start`, or 0 if it is not complete."""
    end = data.find(b"\n", start)
    if end < 0 or is_comment(data[start:end].decode("latin-1").lstrip(" \t")):
        return end + 1
    quotes, counted = 0, start
    while end >= 0:
        quotes += data.count(b'"', counted, end)
        if quotes % 2 == 0:
            return end + 1
        counted, end = end, data.find(b"\n", end + 1)
    return 0


def _last_line_end(data: bytes, start: int) -> int:
    """Return the end of the last complete line, or 0."""
    if b'"' not in data:
        return data.rfind(b"\n", start) + 1
    last = 0
    while end := end_of_line(data, start):
        last = start = end
    return last
