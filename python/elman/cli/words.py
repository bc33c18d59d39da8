"""The words given to options: names, steps and mappings. A mistake is wrong usage."""

from collections.abc import Iterable

import typer

MOST_STEPS = 10_000  # in a range of --horizon


def steps(text: str) -> tuple[int, ...]:
    """Return the steps in 24 or 1..24."""
    first, dots, last = text.partition("..")
    if not all(number.isdecimal() for number in (first, last or first)) or bool(dots) != bool(last):
        raise typer.BadParameter(f"--horizon: expected steps as 24 or 1..24, got {text}")
    found = range(int(first), int(last or first) + 1)
    if not 1 <= found.start < found.stop or len(found) > MOST_STEPS:
        raise typer.BadParameter(
            f"--horizon: expected increasing steps from 1, at most {MOST_STEPS}, got {text}"
        )
    return tuple(found)


def given(text: str | None) -> list[str] | None:
    """Return the names in a,b, or None if the option is not given."""
    return None if text is None else columns(text)


def columns(text: str) -> list[str]:
    """Return the names in a,b; one in quotes may have commas, as in CSV."""
    import csv

    try:
        (names,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        raise typer.BadParameter(
            f"expected names as a,b, a name with commas in quotes, got {text}"
        ) from None
    return list(filter(None, map(str.strip, names)))


def is_false(value: str | None) -> bool:
    """Return whether a word is false, as the command or Python writes it."""
    return value in ("false", "False")


def one_or_several(text: str | None) -> str | list[str] | None:
    """Return a name, or the names in a,b."""
    return columns(text) if text and "," in text else text


def readout(text: str | None) -> str | list[str] | dict[str, list[str]] | None:
    """Return a name, the names in a,b, or those after each name in NAME=TENSOR."""
    return mapping(text) if text and "=" in text else one_or_several(text)


def mapping(text: str) -> dict[str, list[str]]:
    """Return the names after each name: "W_hh=h2h.weight,b_h=i2h.bias+h2h.bias"."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and value for name, _, value in pairs):
        raise typer.BadParameter(f"expected NAME=TENSOR,NAME=TENSOR, got {text}")
    return {name.strip(): value.strip().split("+") for name, _, value in pairs}


def some(text: str, known: Iterable[str], option: str) -> list[str]:
    """Return the names in a list separated by commas, in the order of `known`."""
    names = set(filter(None, text.split(",")))
    if unknown := names.difference(known):
        expected = ",".join(known)
        raise typer.BadParameter(f"{option}: expected some of {expected}, got {','.join(unknown)}")
    return [name for name in known if name in names]
