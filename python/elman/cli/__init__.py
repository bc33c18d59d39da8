"""The command `elman`, behind the extra `cli` (typer and rich)."""

import io
import signal
import sys

from elman.errors import ElmanError, VerificationError

__all__ = ["main"]

EXTRAS = {  # missing package: what needs it, and the extra that installs it
    "typer": ("the command line", "cli"),
    "rich": ("the command line", "cli"),
    "matplotlib": ("a plot", "plot"),
}


def main() -> int:
    """Run the command line in `sys.argv` and return, or exit with, its exit code."""
    if hasattr(signal, "SIGPIPE"):  # exit silently, like `cat`, when the reader of a pipe exits
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape what the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from elman.cli.app import app

        app(prog_name="elman")
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing in EXTRAS:
            purpose, extra = EXTRAS[missing]
            _complain(f"{purpose} needs {missing}: pip install 'elman[{extra}]'")
        elif "pip install" in str(error):  # the message of a reader or writer is complete
            _complain(str(error))
        elif missing == "elman":
            raise
        else:
            _complain(f"{missing} is not installed, and a package that is needed here imports it")
        return 2
    except ElmanError as error:
        _complain(str(error))
        return 1 if isinstance(error, VerificationError) else 2
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 2
    return 0


def _complain(sentence: str) -> None:
    print(f"elman: {sentence}", file=sys.stderr)
