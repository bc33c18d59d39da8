"""Tables for terminals and files: never truncated, without trailing blanks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from elman._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, JustifyMethod
    from rich.table import Table

UNLIMITED = 100_000  # characters


def print_rows(
    console: Console, names: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 0
) -> None:
    """Print named columns of text: the first `words` left-aligned, the others right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, name in enumerate(names):
        justify: JustifyMethod = "left" if i < words else "right"
        table.add_column(Text(printable(name)), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    print_table(console, table)


def print_table(console: Console, table: Table) -> None:
    """Print a table; in a file or a pipe, it is as wide as its content.

    In a terminal, or if the variable COLUMNS is set, words are folded to fit. Right-aligned
    columns, such as numbers, and columns that do not wrap are never cut, even if the table is then
    too wide.
    """
    from rich.measure import Measurement

    usual, console.width = console.width, UNLIMITED
    measured = Measurement.get(console, console.options, table)
    asked = console.is_terminal or "COLUMNS" in os.environ
    if asked and measured.maximum > usual:
        for column in table.columns:
            if column.justify == "right" or column.no_wrap:
                cells = [Measurement.get(console, console.options, cell) for cell in column.cells]
                words = Measurement.get(console, console.options, column.header).minimum
                column.width = max(words, *(cell.maximum for cell in cells))
        measured = Measurement.get(console, console.options, table)
        console.width = max(usual, measured.minimum)
    else:
        console.width = max(usual, measured.maximum)
    print_text(console, table)
    console.width = usual


def print_text(console: Console, text: str | Table, *, markup: bool | None = None) -> None:
    """Print text, folded to the width of the terminal."""
    with console.capture() as drawn:
        console.print(text, markup=markup)
    for line in drawn.get().splitlines():
        console.file.write(line.rstrip() + "\n")
