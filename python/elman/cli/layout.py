"""Tables on the terminal and in files: never cut, without blanks at the ends of lines."""

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
    for column in table.columns:
        if column.justify == "right":
            widths = [
                Measurement.get(console, console.options, cell).maximum for cell in column.cells
            ]
            column.min_width = max(widths, default=0)
    needed = Measurement.get(console, console.options, table)
    asked = console.is_terminal or "COLUMNS" in os.environ
    console.width = max(usual, needed.minimum) if asked else needed.maximum
    with console.capture() as drawn:
        console.print(table)
    console.width = usual
    for line in drawn.get().splitlines():
        console.file.write(line.rstrip() + "\n")
