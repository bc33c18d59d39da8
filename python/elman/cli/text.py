"""Text for the terminal."""

import sys
from collections.abc import Iterable

from elman._text import printable


def tell(notes: Iterable[str]) -> None:
    """Print notes on standard error."""
    for note in notes:
        print(f"elman: {printable(note)}", file=sys.stderr)
