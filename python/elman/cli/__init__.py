"""The command `elman`, behind the extra `cli` (typer and rich)."""

import contextlib
import errno
import io
import sys

from elman._text import printable
from elman.errors import ElmanError, VerificationError

__all__ = ["main"]

EXTRAS = {  # missing package: what needs it, and the extra that installs it
    "typer": ("the command line", "cli"),
    "rich": ("the command line", "cli"),
    "matplotlib": ("a plot", "plot"),
}

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # only `print` does not name its file


def main() -> int:
    """Run the command line in `sys.argv` and return, or exit with, its exit code."""
    from elman.cli import stopping

    stopping.open_closed_streams()
    stopping.catch_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape what the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _command()
        finally:
            stopping.flush()
    except stopping.Stopped as stopped:
        _complain(stopped)
        return stopped.code
    except KeyboardInterrupt as error:  # before or after the command
        _complain(error, "interrupted")
        return 130
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing in EXTRAS:
            purpose, extra = EXTRAS[missing]
            _complain(error, f"{purpose} needs {missing}: pip install 'elman[{extra}]'")
        elif "pip install" in str(error):  # the message of a reader or writer is complete
            _complain(error)
        elif missing == "elman":
            raise
        else:
            _complain(
                error, f"{missing} is not installed, and a package that is needed here imports it"
            )
        return 2
    except ElmanError as error:
        _complain(error)
        return 1 if isinstance(error, VerificationError) else 2
    except OSError as error:
        name = error.filename or ("standard output" if error.errno in FULL else None)
        _complain(error, f"{name}: {error.strerror}" if name else None)
        return 2
    except MemoryError as error:
        what = str(error) if type(error) is not MemoryError else ""  # NumPy's says how much
        _complain(error, "not enough memory" + (f": {what}" if what else ""))
        return 2


def _command() -> int:
    """Run the command and return its exit code; print wrong usage in Typer's own form."""
    from elman.cli.app import UsageError, app

    try:
        return app(prog_name="elman", standalone_mode=False) or 0
    except UsageError as error:
        shown = io.StringIO()
        error.show(shown)
        said = shown.getvalue().replace(": Value error, ", ": ", 1)  # Pydantic's, of a choice
        print("\n".join(map(printable, said.split("\n"))), end="", file=sys.stderr)
        return 2


def _complain(error: BaseException, sentence: str | None = None) -> None:
    """Print an error and what was not written as one line, with control characters escaped."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.endswith("was not written")]
    told = [str(error) if sentence is None else sentence, *dict.fromkeys(notes)]
    with contextlib.suppress(OSError):  # standard error is closed
        print(f"elman: {printable('; '.join(told))}", file=sys.stderr)
