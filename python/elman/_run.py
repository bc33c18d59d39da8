"""`Run`, the result of a call that runs whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Results(NamedTuple):
    output: NDArray[Any]
    state: NDArray[Any]
    hidden: NDArray[Any] | None


class Run(_Results):
    """The result of `Network.run`: `output, state, hidden = net.run(x)`.

    Attributes
    ----------
    output : ndarray, shape (..., T, O) or (..., O)
        The output of every step, or of the last one.
    state : ndarray, shape (..., state_size)
        The state after the last real step.
    hidden : ndarray, shape (..., T, state_size), or None
        The state after every step, if requested.
    keys : list or None
        The names of the sequences in a data frame, in the order of `state`; None for other inputs.
        Not among the three values when unpacked.
    """

    keys: list[Any] | None = None

    def __repr__(self) -> str:
        parts = (f"{name} {'None' if a is None else a.shape}" for name, a in self._asdict().items())
        return f"Run({', '.join(parts)}, {self.state.dtype})"

    def _repr_html_(self) -> str:
        from elman import _html

        return _html.arrays(self._asdict()) + _html.text(f"Run in {self.state.dtype}")
