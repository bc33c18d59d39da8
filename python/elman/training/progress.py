"""Progress display of a training run: one line, rewritten on the terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman.training.history import Epoch

    Show = Callable[[Epoch], None]

_SECONDS = 0.1  # between two writes


@contextmanager
def bar(wanted: bool, epochs: int) -> Iterator[Show]:
    """Yield a function that shows an epoch.

    It does nothing if not wanted, or neither on a terminal nor in a notebook.
    """
    if wanted and _in_notebook():
        draw = _notebook
    elif wanted and sys.stderr is not None and sys.stderr.isatty():
        draw = _rich if find_spec("rich") else _plain
    else:
        yield lambda epoch: None
        return
    with draw(epochs) as show:
        yield show


def _in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, where stderr is no terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def _line(epoch: Epoch, epochs: int) -> str:
    return f"epoch {epoch.epoch}/{epochs}  {_text(epoch)}"


def _text(epoch: Epoch) -> str:
    text = f"loss {epoch.loss:.4g}"
    if epoch.validation_loss is not None:
        text += f"  validation {epoch.validation_loss:.4g}"
    return text


@contextmanager
def _plain(epochs: int) -> Iterator[Show]:
    shown, line = -_SECONDS, ""

    def show(epoch: Epoch) -> None:
        nonlocal shown, line
        width = len(line)
        line = _line(epoch, epochs)
        if time.monotonic() - shown >= _SECONDS:
            shown = time.monotonic()
            sys.stderr.write("\r" + line.ljust(width))
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r" + line + "\n")


@contextmanager
def _notebook(epochs: int) -> Iterator[Show]:
    """Show a line of text that is replaced in the output of the cell."""
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    def text(line: str) -> dict[str, str]:
        return {"text/plain": line}

    shown, line = time.monotonic(), ""
    handle = display(  # type: ignore[no-untyped-call, unused-ignore]
        text(f"epoch 0/{epochs}"), raw=True, display_id=True
    )

    def show(epoch: Epoch) -> None:
        nonlocal shown, line
        line = _line(epoch, epochs)
        if time.monotonic() - shown >= _SECONDS:
            shown = time.monotonic()
            handle.update(text(line), raw=True)

    try:
        yield show
    finally:
        if line:
            handle.update(text(line), raw=True)


@contextmanager
def _rich(epochs: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs)
        yield lambda epoch: progress.update(task, completed=epoch.epoch, description=_text(epoch))
