"""Exceptions, each an `ElmanError` and also the matching built-in exception, and a warning."""


class ElmanError(Exception):
    """Base class of every error that elman raises on purpose.

    Not included are Python's `AttributeError`, for a name that does not exist or cannot be set, and
    `ImportError`, for a missing package. Control characters in names from files are escaped.
    """

    def __str__(self) -> str:
        """Return the message, which cannot control a terminal whatever a file contains."""
        message = super().__str__()
        if message.isprintable():
            return message
        return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message)


class ShapeError(ElmanError, ValueError):
    """An array has the wrong number of axes, or an axis the wrong length."""


class DTypeError(ElmanError, TypeError):
    """An array does not hold real numbers, or its dtype cannot be used here."""


class ArgumentError(ElmanError, ValueError):
    """An argument has an invalid value."""


class ArgumentTypeError(ElmanError, TypeError):
    """An argument has the wrong type, or its name is unknown."""


class ModelFormatError(ElmanError, ValueError):
    """A model file is damaged or does not follow its format."""


class UnsupportedModelError(ElmanError, ValueError):
    """A kind of model, or a file format, that elman does not read or write."""


class TableError(ElmanError, ValueError):
    """A file of data does not contain the expected table or array."""


class LimitError(ElmanError, ValueError):
    """A size exceeds what this version accepts or what fits in memory."""


class BusyError(ElmanError, RuntimeError):
    """A stream or trainer was called while a call from another thread was running.

    Or the destination of `run_files` is being written by another run.

    A stream that a process inherits by a fork during such a call stays busy there; make a new one.
    """


class VerificationError(ElmanError, ArithmeticError):
    """A result differs from the NumPy reference by more than the rounding bound."""


class IsaError(ElmanError, RuntimeError):
    """A requested instruction set is unknown or missing on this machine.

    Or a worker of a cluster would give other bits than the process that it works for.
    """


class DivergenceError(ElmanError, ArithmeticError):
    """A loss or weight became NaN or infinite during training."""


class ScalingWarning(UserWarning):
    """Training data whose means or deviations are far from those that a network learns well from.

    The remedy is the network's own scaling: `input_mean`, `input_std`, `output_mean` and
    `output_std`. `warnings.simplefilter("ignore", elman.ScalingWarning)` silences it.
    """
