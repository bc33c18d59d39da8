"""Text for the terminal."""


def printable(text: str) -> str:
    """Return text with control characters escaped: no file must steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
