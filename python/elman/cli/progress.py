"""Show how far a run over files has come: a bar on a terminal, otherwise a line a minute."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from elman.cli.text import tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import elman

PATIENCE = 0.5  # seconds of work before a progress bar is shown
MINUTE = 60.0


class Progress:
    """What `elman.run_files` calls after each part; a context, at whose end the bar disappears.

    Parameters
    ----------
    hidden : bool
        Whether the outputs go to the same terminal.
    clock : function
        Returns seconds.
    """

    def __init__(self, *, hidden: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._hidden, self._clock = hidden, clock
        self._start = self._told = clock()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: elman.Progress) -> None:
        """Show it, if it is time."""
        now = self._clock()
        if not sys.stderr.isatty():
            if now - self._told >= MINUTE:
                self._told = now
                tell([described(done)])
        elif not self._hidden and now - self._start > PATIENCE:
            self._show(done)

    def _show(self, done: elman.Progress) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("running"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=None if done.fraction is None else 1.0)
        self._bar.update(self._task, completed=done.fraction, description=described(done))


def described(done: elman.Progress) -> str:
    """Return the progress, the speed of this run, and the time left, as text."""
    before = done.begun
    seconds = max(done.seconds, 1e-9)
    parts = [] if done.fraction is None else [f"{100 * done.fraction:.0f} %"]
    sequences = done.sequences - (0 if before is None else before.sequences)
    steps = done.steps - (0 if before is None else before.steps)
    if sequences > 1:
        parts.append(f"{sequences / seconds:,.0f} sequences/s")
    parts.append(f"{steps / seconds:,.0f} steps/s")
    if done.bytes:
        read = done.bytes - (0 if before is None else before.bytes)
        parts.append(f"{read / seconds / 1e6:,.0f} MB/s")
    if done.bad:
        parts.append(f"{done.bad} bad")
    if done.seconds_left is not None:
        parts.append(f"{_clock(done.seconds_left)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    """Return a duration as 0:59 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
