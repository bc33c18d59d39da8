"""Tables on the terminal and in files."""

import io

import pytest

pytestmark = pytest.mark.any_isa
rich_table = pytest.importorskip("rich.table")


def printed(width, *, terminal=False):
    from rich.console import Console

    from elman.cli import layout

    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    table = rich_table.Table(box=None)
    table.add_column("some words in a column")
    for i in range(5):
        table.add_column(f"number {i}", justify="right")
    table.add_row("and some more words here", *["3,564,812.5"] * 5)
    table.add_row("short", *[""] * 5)
    layout.print_table(console, table)
    assert console.width == width
    return file.getvalue()


@pytest.mark.parametrize("width", [10, 40, 80, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_numbers_are_never_cut(width, terminal):
    text = printed(width, terminal=terminal)
    assert text.count("3,564,812.5") == 5
    assert "…" not in text


def test_a_pipe_gets_the_width_of_the_content(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed(20).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(" and some more words here")


def test_words_are_folded_to_the_width_that_is_asked_for(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 3


def test_columns_that_do_not_wrap_are_never_cut(monkeypatch):
    from rich.console import Console

    from elman.cli import layout

    monkeypatch.setenv("COLUMNS", "40")
    console = Console(file=io.StringIO(), width=40)
    table = rich_table.Table(rich_table.Column(no_wrap=True))
    for _ in range(4):
        table.add_column("times", justify="right")
    table.add_row("pure Python", *["3,564,812"] * 4)
    layout.print_table(console, table)
    text = console.file.getvalue()
    assert text.count("3,564,812") == text.count("times") == 4
    assert "pure Python" in text
    assert "…" not in text


def test_no_line_ends_in_a_blank():
    from rich.console import Console

    from elman.cli import layout

    assert all(line == line.rstrip() for line in printed(120).splitlines())
    console = Console(file=io.StringIO(), width=12)
    layout.print_text(console, "[bold]Some words[/bold] that fill lines")
    assert console.file.getvalue() == "Some words\nthat fill\nlines\n"
