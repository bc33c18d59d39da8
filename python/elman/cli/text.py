"""Text for the terminal."""

import sys
from collections.abc import Iterable


def printable(text: str) -> str:
    """Escape control characters, so that a file cannot control the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def tell(notes: Iterable[str]) -> None:
    """Print notes on standard error."""
    for note in notes:
        print(f"elman: {printable(note)}", file=sys.stderr)
