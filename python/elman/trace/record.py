"""`Trace`, the numbers of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments, _files, _html
from elman._json import for_json
from elman._parameters import sizes
from elman._text import show
from elman.errors import ArgumentError
from elman.trace import equations, tables
from elman.trace.writing import Style

if TYPE_CHECKING:
    from typing import Any

    import pandas
    from numpy.typing import NDArray

    from elman._parameters import Parameters
    from elman.trace.explanation import Explanation
    from elman.trace.parts import LayerTrace, ReadoutTrace

    Array = NDArray[Any]

__all__ = ["Trace"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trace:
    """Every number of a run, by the names of the equations: the result of `Network.trace`.

        u_t = W_xh x_t + b_h
        a_t = u_t + W_hh h_(t-1)      h_t = f(a_t)      for each layer and direction
        a_t = W_hy h_t + b_y          y_t = g(a_t)      for the readout

    The numbers are those of the core, bit for bit; the sums are computed when they are first asked
    for. Arrays have the batch axes of `x` and its steps, (..., T, size), and are read-only; a step
    t is `trace.layers[0].h[..., t, :]`.

    Attributes
    ----------
    network : Network
        The network that ran.
    x : ndarray, shape (..., T, I)
        The inputs in the network's dtype, before scaling.
    layers : tuple of LayerTrace
        Each layer, from the bottom up: `x`, `u`, `recurrent`, `a`, `h`, `h_before`, and `reverse`,
        the same for the reverse half of a bidirectional layer, or None.
    readout : ReadoutTrace or None
        `readout.a`, the sums of the readout; None without one.
    y : ndarray, shape (..., T, O)
        The outputs, y_t = g(a_t), scaled: `output` of `Network.run`. Without a readout the states
        of the top layer.
    hidden : ndarray, shape (..., T, state_size)
        The states after every step.
    state : ndarray, shape (..., state_size)
        The state after the last real step.
    initial_state : ndarray, shape (..., state_size)
        The state before the first.
    lengths : ndarray of int, shape (...), or None
        The number of real steps of each sequence, if given.
    real : ndarray of bool, shape (..., T)
        Which steps are real: neither padding nor masked.
    kind : {"padding", "hold", "zero"}
        What the outputs of the others are: zeros ("padding"), or with a mask as `masked` says.
    """

    network: Parameters
    x: Array
    layers: tuple[LayerTrace, ...]
    readout: ReadoutTrace | None
    y: Array
    hidden: Array
    state: Array
    initial_state: Array
    lengths: Array | None
    real: NDArray[np.bool_]
    kind: str

    def explain(
        self,
        t: int,
        unit: int = 0,
        *,
        layer: int = -1,
        reverse: bool = False,
        output: int | None = None,
        sequence: int = 0,
        terms: int = 8,
        digits: int | None = 6,
    ) -> Explanation:
        """Return the equations of one unit at one step, with the numbers in them.

        Parameters
        ----------
        t : int
            The step, from 0; negative from the end.
        unit : int
            The unit of the layer, from 0.
        layer : int
            The layer, from the bottom up; by default the top one.
        reverse : bool
            Whether to take the reverse half of a bidirectional layer.
        output : int, optional
            Explain this output instead of a unit: y_t[output].
        sequence : int
            The sequence of a batch, counted over all batch axes.
        terms : int
            The most products of a sum to show: the largest. The others are added up.
        digits : int or None
            Significant digits of the numbers, at most 17. None: as many as identify each number.

        Returns
        -------
        Explanation
            `str()` of it is text; `.markdown` and `.html` are the others, and a notebook shows the
            HTML.

        Raises
        ------
        ArgumentError
            If there is no such step, unit, layer, output or sequence.

        Examples
        --------
        >>> import elman
        >>> net = elman.Network.from_weights(
        ...     [([[0.5], [1.0]], [[0.0, 1.0], [-1.0, 0.0]], [0.25, 0.0])], ([[1.0, 2.0]], [0.0])
        ... )
        >>> trace = net.trace([[1.0], [-2.0]])
        >>> trace.explain(1, unit=0, digits=3).equations[0]
        Equation(left='u_1[0]', right=('b_h[0] + W_xh[0,0] x_1[0]', '0.25 + 0.5 * (-2)', '-0.75'))
        """
        place = self._place(t, sequence)
        style = Style(
            _arguments.size("terms", terms),
            None if digits is None else min(_arguments.size("digits", digits), 17),
        )
        if output is not None:
            k = _index("output", output, self.y.shape[-1])
            a = None if self.readout is None else self.readout.a[place.at]
            chosen = equations.Output(self.network, k, self._top(place), a, self.y[place.at])
            return equations.of_output(chosen, place, style)
        number = _index("layer", layer, len(self.layers))
        part, half = self.layers[number], self.network.layers[number]
        if _arguments.flag("reverse", reverse):
            if part.reverse is None or half.reverse is None:
                raise ArgumentError(
                    f"reverse: expected False for layer {number}, which has one direction, got True"
                )
            part, half = part.reverse, half.reverse
        i = _index("unit", unit, part.h.shape[-1])
        of_unit = equations.Unit(self.network, number, half, part, i)
        return equations.of_unit(of_unit, self.x, place, style)

    def _place(self, t: int, sequence: int) -> equations.Place:
        """Return a step of a sequence."""
        *batch, T, _ = self.x.shape
        step = _index("t", t, T)
        number = _index("sequence", sequence, int(np.prod(batch)))
        at = (*map(int, np.unravel_index(number, batch)), step) if batch else (step,)
        words = f"step {step} of sequence {number}" if batch else f"step {step}"
        return equations.Place(at, T, words, bool(self.real[at]), self.kind)

    def _top(self, place: equations.Place) -> Array:
        """Return the states (H,) of the top layer that an output reads."""
        top = self.layers[-1]
        halves = [top.h] if top.reverse is None else [top.h, top.reverse.h]
        states = np.concatenate([h[place.at] for h in halves])
        return states if place.real or self.kind == "hold" else np.zeros_like(states)

    def to_frame(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a row for every step, which needs pandas.

        Of a batch the column `sequence` has the number of the sequence, counted over all batch
        axes. `step` is t. The other columns are named like the attributes: `x[0]`,
        `layers[0].u[0]`, `layers[0].recurrent[0]`, `layers[0].a[0]`, `layers[0].h[0]`,
        `layers[0].reverse.u[0]`, `readout.a[0]`, `y[0]`.
        """
        pandas = _files.extra("pandas", "Trace.to_frame", "pandas")
        return pandas.DataFrame(tables.columns(self.x, self.layers, self.readout, self.y))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as dictionaries and lists, for `json.dumps`.

        The keys are the names of the attributes, without `network`. NaN and infinities, which JSON
        lacks, are None.
        """
        return {
            "x": for_json(self.x),
            "layers": [tables.of_layer(layer) for layer in self.layers],
            "readout": None if self.readout is None else {"a": for_json(self.readout.a)},
            "y": for_json(self.y),
            "hidden": for_json(self.hidden),
            "state": for_json(self.state),
            "initial_state": for_json(self.initial_state),
            "lengths": for_json(self.lengths),
            "real": for_json(self.real),
            "kind": self.kind,
        }

    def __repr__(self) -> str:
        return f"Trace({sizes(self.network)}, x {self.x.shape}, y {self.y.shape}, {self.x.dtype})"

    def _repr_html_(self) -> str:
        arrays = dict(tables.arrays(self.x, self.layers, self.readout, self.y))
        return _html.arrays(arrays) + _html.text(f"Trace of {self.network!r}")


def _index(argument: str, value: int, size: int) -> int:
    """Return an index from 0; negative values count from the end."""
    number = _arguments.integer(argument, value)
    if size == 0:
        what = "step" if argument == "t" else argument
        got = show(number)
        raise ArgumentError(f"{argument}: expected a {what}, got {got}: the trace has none")
    if not -size <= number < size:
        raise ArgumentError(f"{argument}: expected {-size} to {size - 1}, got {show(number)}")
    return number % size
