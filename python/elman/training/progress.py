"""Progress display of a training run: one line, rewritten on the terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman.training.history import Epoch

    Show = Callable[[Epoch], None]

_SECONDS = 0.1  # between two writes


@contextmanager
def bar(wanted: bool, epochs: int) -> Iterator[Show]:
    """Yield a function that shows an epoch; it does nothing if not wanted or not on a terminal."""
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield lambda epoch: None
        return
    try:
        import rich  # noqa: F401
    except ModuleNotFoundError:
        draw = _plain
    else:
        draw = _rich
    with draw(epochs) as show:
        yield show


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
        line = f"epoch {epoch.epoch}/{epochs}  {_text(epoch)}"
        if time.monotonic() - shown >= _SECONDS:
            shown = time.monotonic()
            sys.stderr.write("\r" + line.ljust(width))
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r" + line + "\n")


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
