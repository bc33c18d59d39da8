"""Generation with a user's feedback function, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments
from elman.errors import LimitError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman._core import Network as Core
    from elman._parameters import Parameters

    Array = NDArray[Any]


def generate(
    net: Parameters,
    core: Core,
    feedback: Callable[[Array], ArrayLike],
    start: ArrayLike,
    steps: int,
    state: ArrayLike | None,
) -> Array:
    """Return outputs (..., steps, O); each next input is feedback(output)."""
    x = _arguments.array("start", start)
    if x.ndim >= 2 and x.shape[-2] == 0:
        raise ShapeError(f"start: expected at least one step, got {x.shape}")
    y, state = _last(core, x, state, "start")
    try:
        result = np.empty((*y.shape[:-1], steps, net.output_size), net.dtype)
    except (MemoryError, ValueError):
        raise LimitError(_arguments.too_long(start, steps, core)) from None
    next_shape = (*y.shape[:-1], net.input_size)
    for t in range(steps):
        result[..., t, :] = y
        if t + 1 < steps:
            x = _arguments.reals("feedback", feedback(y))
            if x.shape != next_shape:
                raise ShapeError(f"feedback: expected {next_shape}, got {x.shape}")
            y, state = _last(core, x[..., None, :], state, "feedback")
    return result


def _last(core: Core, x: Array, state: ArrayLike | None, argument: str) -> tuple[Array, Array]:
    """Run and return the last output and state; errors name x `argument`."""
    y, state, _ = core.run(x, state, None, "last", False, 1, None, argument)
    return y, state
