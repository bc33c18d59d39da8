"""The activation functions and their parameters, as ONNX defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _core, _foreign
from elman.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["TABLE", "Activation", "Kind", "range_of"]

INFINITY = float("inf")


class Kind:  # not a named tuple: the first call of a process waits for the class
    """The properties of a named activation.

    Its parameters with ONNX's defaults, None where one is required, and the range of its values,
    whatever the parameters are. Not `in_layers`: for outputs only. Not `trainable`: only if alpha
    >= 0.
    """

    def __init__(
        self,
        numbers: dict[str, float | None],
        range: tuple[float, float] = (-INFINITY, INFINITY),
        *,
        in_layers: bool = True,
        trainable: bool = True,
    ) -> None:
        self.numbers = numbers
        self.range = range
        self.in_layers = in_layers
        self.trainable = trainable


TABLE = {
    "tanh": Kind({}, (-1.0, 1.0)),
    "relu": Kind({}, (0.0, INFINITY)),
    "sigmoid": Kind({}, (0.0, 1.0)),
    "identity": Kind({}),
    "leaky_relu": Kind({"alpha": 0.01}, trainable=False),
    "elu": Kind({"alpha": 1.0}, trainable=False),
    "thresholded_relu": Kind({"alpha": 1.0}, trainable=False),
    "hard_sigmoid": Kind({"alpha": 0.2, "beta": 0.5}, (0.0, 1.0)),
    "softsign": Kind({}, (-1.0, 1.0)),
    "softplus": Kind({}, (0.0, INFINITY)),
    "scaled_tanh": Kind({"alpha": None, "beta": None}, (-1.0, 1.0)),  # times alpha
    "affine": Kind({"alpha": None, "beta": None}),
    "softmax": Kind({}, (0.0, 1.0), in_layers=False),
    "log_softmax": Kind({}, (-INFINITY, 0.0), in_layers=False),
}


class Activation:
    """An activation function with its parameters: f in h = f(W v + b).

    | name | f(v) | alpha, beta |
    |---|---|---|
    | "tanh", "identity" | tanh(v), v | |
    | "sigmoid" | 1 / (1 + exp(-v)) | |
    | "relu" | max(v, 0) | |
    | "leaky_relu" | alpha v if v < 0, else v | 0.01 |
    | "elu" | alpha (exp(v) - 1) if v < 0, else v | 1 |
    | "thresholded_relu" | v if v > alpha, else 0 | 1 |
    | "hard_sigmoid" | max(0, min(1, alpha v + beta)) | 0.2, 0.5 |
    | "softsign" | v / (1 + abs(v)) | |
    | "softplus" | log(1 + exp(v)) | |
    | "scaled_tanh" | alpha tanh(beta v) | required |
    | "affine" | alpha v + beta | required |
    | "softmax" | exp(v) / sum(exp(v)), for outputs | |
    | "log_softmax" | v - log(sum(exp(v))), for outputs | |

    An Activation is immutable. With default parameters it equals its name:
    `Activation("elu") == "elu"`. A network rounds the parameters to its dtype.

    Parameters
    ----------
    name : str
        One of the above.
    alpha, beta : float, optional
        The parameters; by default ONNX's. (PyTorch's and Keras' defaults differ for
        "hard_sigmoid", and Keras' also for "leaky_relu".)
    clip : float, optional
        Above 0: v is first clipped to [-clip, clip], as by ONNX's `clip`. Not for "softmax" and
        "log_softmax".

    Attributes
    ----------
    name : str
    alpha, beta, clip : float or None
        None where the activation has none.

    Raises
    ------
    ArgumentError
        If the name is unknown, or a parameter is missing, unexpected or out of range.

    Examples
    --------
    >>> import elman
    >>> elman.Activation("leaky_relu", alpha=0.1)
    leaky_relu(alpha=0.1)
    >>> elman.Network(input_size=2, hidden_size=4, output_size=1, seed=0,
    ...               activation=elman.Activation("tanh", clip=3))
    Network(2 -> 4 tanh(clip=3) -> 1 sigmoid, float32, 33 parameters)
    """

    __slots__ = ("alpha", "beta", "clip", "name")

    name: str
    alpha: float | None
    beta: float | None
    clip: float | None

    def __init__(
        self,
        name: str,
        alpha: float | None = None,
        beta: float | None = None,
        clip: float | None = None,
    ) -> None:
        if hasattr(self, "name"):
            raise AttributeError("__init__ was already called: activations are immutable")
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name: expected a name, got {type(name).__name__}")
        numbers = (_number("alpha", alpha), _number("beta", beta), _number("clip", clip))
        name = name.encode(errors="backslashreplace").decode()  # of what is not Unicode
        _foreign.require_activation("name", name, TABLE, TABLE)
        self._set(*_core.activation((name, *numbers)))

    def _set(self, name: str, alpha: float | None, beta: float | None, clip: float | None) -> None:
        set_slot = object.__setattr__
        set_slot(self, "name", name)
        set_slot(self, "alpha", alpha)
        set_slot(self, "beta", beta)
        set_slot(self, "clip", clip)

    def _arguments(self) -> tuple[str, float | None, float | None, float | None]:
        """Return the arguments that make an equal activation, here and in the core."""
        return self.name, self.alpha, self.beta, self.clip

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Activation.{name} cannot be set: activations are immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Activation.{name} cannot be deleted: activations are immutable")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.name == other and self._is_default()
        if not isinstance(other, Activation):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash(self.name if self._is_default() else self._arguments())

    def _is_default(self) -> bool:
        """Return whether the name suffices to make this activation."""
        numbers = TABLE[self.name].numbers
        defaults = (numbers.get("alpha"), numbers.get("beta"), None)
        return self._arguments()[1:] == defaults and None not in numbers.values()

    def __reduce__(self) -> tuple[type[Activation], tuple[str | float | None, ...]]:
        return Activation, self._arguments()

    def __repr__(self) -> str:
        numbers = [
            f"{name}={repr(value).removesuffix('.0')}"
            for name, value in zip(("alpha", "beta", "clip"), self._arguments()[1:], strict=True)
            if value is not None
        ]
        return f"{self.name}({', '.join(numbers)})" if numbers else self.name


def of_core(name: str, alpha: float | None, beta: float | None, clip: float | None) -> Activation:
    """Return an activation of a network of the core, which has checked it."""
    activation = object.__new__(Activation)
    activation._set(name, alpha, beta, clip)
    return activation


def range_of(activation: Activation) -> tuple[float, float]:
    """Return the ends of an interval that contains all values, infinite where there is none."""
    low, high = TABLE[activation.name].range
    scale = abs(activation.alpha or 0.0) if activation.name == "scaled_tanh" else 1.0
    return low * scale, high * scale


def _number(argument: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str | bytes):
            return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ArgumentError(f"{argument}: expected a number that a float can hold") from None
    except (TypeError, ValueError):
        pass
    raise ArgumentTypeError(
        f"{argument}: expected a number or None, got {type(value).__name__}"
    ) from None
