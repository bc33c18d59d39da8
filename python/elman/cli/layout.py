"""Tables for terminals and files: never truncated, without trailing blanks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNLIMITED = 100_000  # characters


def print_table(console: Console, table: Table) -> None:
    """Print a table, in a file or a pipe as wide as its content.

    In a terminal, or if the variable COLUMNS asks for a width, words are folded to fit, but the
    cells of columns to the right, numbers, are never cut: the table is rather too wide.
    """
    from rich.measure import Measurement

    usual, console.width = console.width, UNLIMITED
    measured = Measurement.get(console, console.options, table)
    asked = console.is_terminal or "COLUMNS" in os.environ
    if asked and measured.maximum > usual:
        for column in table.columns:
            if column.justify == "right":
                cells = [Measurement.get(console, console.options, cell) for cell in column.cells]
                words = Measurement.get(console, console.options, column.header).minimum
                column.width = max(words, *(cell.maximum for cell in cells))
        measured = Measurement.get(console, console.options, table)
        console.width = max(usual, measured.minimum)
    else:
        console.width = max(usual, measured.maximum)
    with console.capture() as drawn:
        console.print(table)
    console.width = usual
    for line in drawn.get().splitlines():
        console.file.write(line.rstrip() + "\n")
