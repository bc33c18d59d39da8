"""The errors of elman: each is an `ElmanError` and also the built-in error that it resembles."""


class ElmanError(Exception):
    """Base of every error that elman raises on purpose.

    But for what Python itself asks for: the `AttributeError` of a name that is not there or cannot
    be set, and the `ImportError` of a package that is missing.
    """


class ShapeError(ElmanError, ValueError):
    """An array has the wrong number of axes, or an axis the wrong length."""


class DTypeError(ElmanError, TypeError):
    """An array holds something other than real numbers, or has a dtype that cannot be used here."""


class ArgumentError(ElmanError, ValueError):
    """An argument has a value that it cannot have."""


class ArgumentTypeError(ElmanError, TypeError):
    """An argument is of a type that it cannot have, or there is no argument of this name."""


class ModelFormatError(ElmanError, ValueError):
    """A model file is damaged, or is not what its format demands."""


class UnsupportedModelError(ElmanError, ValueError):
    """A model of a kind, or a file of a format, that elman does not read or write."""


class LimitError(ElmanError, ValueError):
    """A size is beyond what this version accepts, or what fits in memory."""


class BusyError(ElmanError, RuntimeError):
    """A stream or a trainer was used by a second thread during a call of the first one.

    A stream that a forked process inherits in the middle of another thread's call stays busy
    there: the process must make a new one.
    """


class VerificationError(ElmanError, ArithmeticError):
    """A result lies outside the rounding bound around the NumPy reference."""


class IsaError(ElmanError, RuntimeError):
    """An instruction set was asked for that is unknown, or that this machine does not have."""


class DivergenceError(ElmanError, ArithmeticError):
    """A loss became NaN or infinite while a network was trained."""
