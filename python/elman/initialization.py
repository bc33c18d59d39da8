"""Configurable weight initializers for `elman.Network(init=...)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elman import _arguments
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["EchoState", "Identity"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Initializer with W_hh = scale * I, for long memory in `relu` layers.

    The other weights are normal with mean 0, the biases 0. From Q. V. Le, N. Jaitly and
    G. E. Hinton, "A simple way to initialize recurrent networks of rectified linear units" (2015),
    who use a scale below 1 where a shorter memory works better.

    Attributes
    ----------
    std : float
        Standard deviation of the other weights, at least 0.
    scale : float
        The diagonal of W_hh, at least 0.

    Examples
    --------
    >>> import elman
    >>> start = elman.Identity(std=0.01)
    >>> elman.Network(
    ...     input_size=2, hidden_size=100, output_size=1, activation="relu", init=start, seed=0
    ... )
    Network(2 -> 100 relu -> 1 sigmoid, float32, 10,401 parameters)
    """

    std: float = 1e-3
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EchoState:
    """A reservoir: sparse random recurrent weights that are not trained.

    Each unit reads max(1, round(density H)) units of its layer, chosen at random, with uniform
    weights; W_hh is then scaled to the spectral radius. From H. Jaeger, "The echo state approach
    to analysing and training recurrent neural networks" (GMD report 148, 2001). On choosing the
    settings, see M. Lukosevicius, "A practical guide to applying echo state networks" (2012).
    `elman.ridge_readout` fits the readout, whose weights start as PyTorch's.

    Attributes
    ----------
    spectral_radius : float
        The largest modulus of the eigenvalues of W_hh, to six digits; at least 0. The closer to 1,
        the longer the memory.
    density : float
        Fraction of the weights in W_hh that are not 0: more than 0, at most 1.
    input_limit : float
        b_h and the first layer's W_xh are uniform in [-input_limit, input_limit); at least 0. W_xh
        of a higher layer is divided by the square root of the number of units that it reads.

    Examples
    --------
    >>> import elman
    >>> reservoir = elman.EchoState(spectral_radius=1.1, density=0.05)
    >>> elman.Network(input_size=1, hidden_size=200, output_size=1, init=reservoir, seed=0)
    Network(1 -> 200 tanh -> 1 sigmoid, float32, 40,601 parameters)
    """

    spectral_radius: float = 0.9
    density: float = 0.1
    input_limit: float = 0.5


_NAMES = {Identity: "identity", EchoState: "echo_state"}

if TYPE_CHECKING:
    Initialization: TypeAlias = str | Identity | EchoState


def named(init: Identity | EchoState) -> tuple[str, dict[str, float]]:
    """Return the name and the settings of an initializer."""
    if type(init) not in _NAMES:
        raise ArgumentTypeError(
            f"init: expected a name, elman.Identity or elman.EchoState, got {_arguments.kind(init)}"
        )
    settings = vars(init).items()
    return _NAMES[type(init)], {name: _arguments.real(name, value) for name, value in settings}
