"""Tables on the terminal and in files: never cut, without blanks at the ends of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNLIMITED = 100_000  # characters


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as the console, or as wide as it needs.

    In a file or a pipe it is as wide as its content. In a terminal, columns of words are folded to
    fit, but columns of numbers (`no_wrap`) are never cut: the terminal wraps what is wider.
    """
    from rich.measure import Measurement

    usual = console.width
    needed = Measurement.get(console, console.options.update(max_width=UNLIMITED), table)
    console.width = max(usual, needed.minimum if console.is_terminal else needed.maximum)
    with console.capture() as drawn:
        console.print(table)
    console.width = usual
    for line in drawn.get().splitlines():
        console.file.write(line.rstrip() + "\n")
