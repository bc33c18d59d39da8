"""Diagrams of a network: the cell, and the graph unfolded in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from elman import _arguments, _structure
from elman._network import require_network
from elman._text import show
from elman.errors import ArgumentError
from elman.trace import Trace
from elman.views.activity import limits as ends_of
from elman.views.activity import values_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elman._network import Network
    from elman._parameters import Layer
    from elman._typing import Array
    from elman.views.export import View

__all__ = ["MODES", "network", "unrolled"]

MODES = ("one-to-one", "one-to-many", "many-to-one", "many-to-many")
STEPS = 4
MOST = 12  # columns; of more steps, the first and the last are shown
FIRST, LAST = 4, 3
APART = 0.22  # of the two halves of a bidirectional layer, to both sides of their step
RISE = 0.75  # of its reverse half above the forward one
GAP = "⋯"


def network(net: Network) -> View:
    """Return what a network consists of: the data of `elman.plot.network`.

    Parameters
    ----------
    net : Network

    Returns
    -------
    dict
        `input_size`, `output_size`, `parameters`, `dtype`, and `input_scaling` and `output_scaling`
        as bools; `layers`, from the bottom up, each a dict of its `name` and its `halves` (one, or
        forward and reverse): the `half`, `units`, `activation`, the shapes of its `tensors`, its
        `equation`, and the same in LaTeX; `readout` has the same fields, or is None.

    Examples
    --------
    >>> import elman
    >>> view = elman.views.network(elman.Network(16, 32, 4, seed=0))
    >>> view["layers"][0]["halves"][0]["equation"]
    'h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h)'
    >>> view["readout"]["tensors"]["W_hy"]
    [4, 32]
    """
    require_network(net)
    layers = [
        {
            "name": f"layer {number}",
            "direction": layer.direction,
            "halves": [_half(net, number, half, name) for half, name in halves_of(layer)],
        }
        for number, layer in enumerate(net.layers)
    ]
    return {
        "kind": "network",
        "input_size": net.input_size,
        "output_size": net.output_size,
        "parameters": net.num_parameters,
        "dtype": str(net.dtype),
        "input_scaling": net.input_mean is not None or net.input_std is not None,
        "output_scaling": net.output_mean is not None or net.output_std is not None,
        "layers": layers,
        "readout": _readout(net),
    }


def halves_of(layer: Layer) -> Iterator[tuple[Layer, str]]:
    """Yield the halves of a layer with their directions, forward before reverse."""
    if layer.reverse is None:
        yield layer, layer.direction
    else:
        yield layer, "forward"
        yield layer.reverse, "reverse"


def _half(net: Network, number: int, half: Layer, direction: str) -> View:
    H = len(half.W_hh)
    b = [] if half.b_h is None else ["b_h"]
    names = {"W_xh": half.W_xh.shape, "W_hh": half.W_hh.shape, **dict.fromkeys(b, (H,))}
    return {
        "half": direction,
        "units": H,
        "activation": str(half.activation),
        "function": half.activation.name,
        "tensors": {name: list(shape) for name, shape in names.items()},
        "equation": _equation(net, number, half, direction, latex=False),
        "latex": _equation(net, number, half, direction, latex=True),
    }


def _equation(net: Network, number: int, half: Layer, direction: str, *, latex: bool) -> str:
    """Return the equation of a half, with layers numbered if there are several."""
    layers = net.layers
    of = "" if len(layers) == 1 else f"^{{({number})}}" if latex else f"[{number}]"
    both = layers[number].reverse is not None
    arrow = {"forward": r"\rightarrow", "reverse": r"\leftarrow"}[direction]
    h = "h" if not both else rf"\overset{{{arrow}}}{{h}}" if latex else f"{direction} h"
    before = "t-1" if direction == "forward" else "t+1"
    below = "x" if number == 0 else f"h^{{({number - 1})}}" if latex else f"h[{number - 1}]"
    bias = half.b_h is not None
    if latex:
        sums = rf"W{of}_{{hh}} {h}{of}_{{{before}}} + W{of}_{{xh}} {below}_t"
        f = function(half.activation.name)
        return rf"{h}{of}_t = {f}({sums}{rf' + b{of}_h' if bias else ''})"
    sums = f"W_hh{of} {h}{of}_({before}) + W_xh{of} {below}_t{f' + b_h{of}' if bias else ''}"
    return f"{h}{of}_t = {half.activation.name}({sums})"


def function(name: str) -> str:
    """Return the name of an activation in LaTeX."""
    return rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"


def _readout(net: Network) -> View | None:
    readout = net.readout
    if readout is None:
        return None
    b = [] if readout.b_y is None else ["b_y"]
    names = {"W_hy": readout.W_hy.shape, **dict.fromkeys(b, (len(readout.W_hy),))}
    g, plus = readout.activation.name, " + b_y" if b else ""
    top = len(net.layers) - 1
    h = "h" if top == 0 else f"h[{top}]"
    h_latex = "h" if top == 0 else f"h^{{({top})}}"
    return {
        "units": net.output_size,
        "activation": str(readout.activation),
        "function": g,
        "tensors": {name: list(shape) for name, shape in names.items()},
        "equation": f"y_t = {g}(W_hy {h}_t{plus})",
        "latex": rf"y_t = {function(g)}(W_{{hy}} {h_latex}_t{plus})",
    }


# --- unfolded -------------------------------------------------------------------------------------


def unrolled(
    net: Network | Trace,
    steps: int | None = None,
    mode: str = "many-to-many",
    *,
    sequence: int = 0,
) -> View:
    """Return the graph of a network unfolded in time: the data of `elman.plot.unrolled`.

    Parameters
    ----------
    net : Network or Trace
        A network; or the result of `net.trace(x)`, whose steps and values are in the graph.
    steps : int, optional
        T; by default 4, or 1 for "one-to-one". Of more than 12, the first four and the last three
        are in the graph. None for a trace.
    mode : {"many-to-many", "many-to-one", "one-to-many", "one-to-one"}
        Which inputs and outputs are used: `net(x)`, `net(x, outputs="last")`,
        `net.generate(x, steps)`, or a single step.
    sequence : int
        The index of a sequence of the trace, counted over all batch axes.

    Returns
    -------
    dict
        `steps`, `mode`, the steps that are `shown`, `nodes` and `edges`. A node has an `id`, a
        `kind` ("input", "state", "initial", "output", "both" where the halves of a bidirectional
        layer meet, "gap" for steps left out), a `label` in LaTeX, its `step` from 0 and its place
        `x`, `y`. An edge has the ids `from` and `to`, a `kind` ("input", "recurrent", "output",
        "feedback", "joined"), and the name of its `weights`: edges of one name share one matrix.
        `weights` has the label of each in LaTeX. Of a trace, inputs, states and outputs have their
        `values` too, and `limits` has the ends of a scale of colours for each kind.

    Raises
    ------
    ArgumentError
        If the mode is unknown, needs other steps, or the network cannot run in it.

    Examples
    --------
    >>> import elman
    >>> view = elman.views.unrolled(elman.Network(2, 8, 1, seed=0), 3)
    >>> [node["id"] for node in view["nodes"] if node["kind"] == "state"]
    ['layer 0, step 0', 'layer 0, step 1', 'layer 0, step 2']
    >>> sum(edge["weights"] == "layers.0.W_hh" for edge in view["edges"])
    3
    """
    values: dict[str, Array] = {}
    if isinstance(net, Trace):
        values, net = values_by_name(net, sequence), cast("Network", net.network)
        if steps is not None:
            raise ArgumentError(
                f"steps: expected None for a trace, which has its own, got {show(steps)}"
            )
        steps = len(values["x"])
    elif _arguments.integer("sequence", sequence) != 0:
        raise ArgumentError(
            f"sequence: expected 0 for a network, which has no sequences, got {show(sequence)}"
        )
    require_network(net)
    _arguments.require_one_of("mode", mode, MODES)
    T = _steps(net, steps, mode)
    graph = _Graph(net, T, mode)
    graph.add_inputs()
    for number in range(net.num_layers):
        graph.add_layer(number)
    if net.readout is not None:
        graph.add_outputs()
    if mode == "one-to-many":
        graph.add_feedback()
    return {
        "kind": "unrolled",
        "mode": mode,
        "steps": T,
        "shown": [step for step in graph.columns if step is not None],
        "weights": graph.weights,
        "nodes": graph.nodes,
        "edges": graph.edges,
        **_valued(graph.nodes, values),
    }


def _valued(nodes: list[View], values: dict[str, Array]) -> View:
    """Give nodes their values, by the name of their row; return the limits of each kind."""
    limits = {}
    for kind in ("input", "state", "output") if values else ():
        valued = [node for node in nodes if node["kind"] == kind]
        for node in valued:
            node["values"] = values[node["id"].rpartition(", ")[0]][node["step"]]
        if valued:
            limits[kind] = ends_of(np.concatenate([node["values"] for node in valued]))
    return {"limits": limits} if values else {}


def _steps(net: Network, steps: int | None, mode: str) -> int:
    if mode == "one-to-many" and set(net.directions) != {"forward"}:
        raise ArgumentError(
            "mode: expected another mode for a network with reverse layers, which cannot generate,"
            " got 'one-to-many'"
        )
    if steps is None:
        return 1 if mode == "one-to-one" else STEPS
    T = _arguments.size("steps", steps)
    if mode == "one-to-one" and T != 1:
        raise ArgumentError(f"steps: expected 1 for 'one-to-one', got {T}")
    return T


class _Graph:
    """Nodes and edges of an unfolded network, added from the bottom up."""

    def __init__(self, net: Network, T: int, mode: str) -> None:
        self._net = net
        self._mode = mode
        self._steps = T
        self._deep = net.num_layers > 1
        self._row = 0.0
        self._below: list[str] = []  # the node of each column that the next layer reads
        self.columns: list[int | None] = list(range(T))  # None: steps left out
        if T > MOST:
            self.columns = [*range(FIRST), None, *range(T - LAST, T)]
        self.weights: dict[str, str] = {}  # their labels by name
        self.nodes: list[View] = []
        self.edges: list[View] = []

    def add_inputs(self) -> None:
        """Add the input of each step."""
        for column, step in enumerate(self.columns):
            self._below.append(self._add("input", "x", column, step, name="x"))

    def add_layer(self, number: int) -> None:
        """Add the states of a layer, linked in time, over what is below."""
        layer = self._net.layers[number]
        prefixes = _structure.prefixes(number, layer.direction)
        both = len(prefixes) == 2
        self._row += 1.0
        rows = []
        for i, ((_, direction), prefix) in enumerate(zip(halves_of(layer), prefixes, strict=True)):
            shift = (2 * i - 1) * APART if both else 0.0
            rows.append(self._add_half(number, direction, prefix, shift, i * RISE, both=both))
        self._below = rows[0]
        if both:
            self._row += RISE + 0.6
            self._below = [self._join(number, column, pair) for column, pair in self._pairs(rows)]

    def _pairs(self, rows: list[list[str]]) -> Iterator[tuple[int, tuple[str, ...]]]:
        return enumerate(zip(*rows, strict=True))

    def _add_half(
        self, number: int, direction: str, prefix: str, shift: float, rise: float, *, both: bool
    ) -> list[str]:
        """Add the states of a half; return their ids."""
        of = f"^{{({number})}}" if self._deep else ""
        arrow = {"forward": r"\rightarrow", "reverse": r"\leftarrow"}[direction]
        letter = (rf"\overset{{{arrow}}}{{h}}" if both else "h") + of
        name = f"layer {number}" + (f" {direction}" if both else "")
        W = rf"\overset{{{arrow}}}{{W}}" if both else "W"
        self.weights |= {f"{prefix}W_{i}": f"{W}{of}_{{{i}}}" for i in ("xh", "hh")}
        ids = []
        for column, step in enumerate(self.columns):
            place = (shift, rise)
            ids.append(self._add("state", letter, column, step, name=name, moved=place))
            if step is not None:
                self._link(self._below[column], ids[-1], "input", f"{prefix}W_xh")
        order = ids if direction == "forward" else ids[::-1]
        forward = direction == "forward"
        first, outside = (-1, -1) if forward else (len(self.columns), self._steps)
        before = self._add("initial", letter, first, outside, name=name, moved=(shift, rise))
        for after in order:
            self._link(before, after, "recurrent", f"{prefix}W_hh")
            before = after
        return ids

    def _join(self, number: int, column: int, halves: tuple[str, ...]) -> str:
        """Add the point where the halves of a bidirectional layer meet; return its id."""
        step = self.columns[column]
        joined = self._add("both", "", column, step, name=f"layer {number} both")
        if step is not None:
            for half in halves:
                self._link(half, joined, "joined", None)
        return joined

    def add_outputs(self) -> None:
        """Add the outputs, over the top layer."""
        self.weights[_structure.W_HY] = "W_{hy}"
        self._row += 1.0
        last = len(self.columns) - 1
        for column, step in enumerate(self.columns):
            if self._mode == "many-to-one" and column != last:
                continue
            output = self._add("output", "y", column, step, name="y")
            if step is not None:
                self._link(self._below[column], output, "output", _structure.W_HY)

    def add_feedback(self) -> None:
        """Link each output to the next input."""
        top = "y" if self._net.readout is not None else f"layer {self._net.num_layers - 1}"
        for before, after in zip(self.columns, self.columns[1:], strict=False):
            if before is not None and after is not None:
                self._link(f"{top}, step {before}", f"x, step {after}", "feedback", None)

    def _add(
        self,
        kind: str,
        letter: str,
        column: int,
        step: int | None,
        *,
        name: str,
        moved: tuple[float, float] = (0.0, 0.0),
    ) -> str:
        """Add a node; return its id."""
        identity = f"{name}, step {step}"
        label = f"{letter}_{{{step}}}"
        if kind == "initial":
            identity = f"{name}, initial"
        elif step is None:
            identity, label, kind = f"{name}, gap", GAP, "gap"
        elif kind == "both":
            label = ""
        x, y = column + moved[0], self._row + moved[1]
        self.nodes.append(
            {"id": identity, "kind": kind, "label": label, "step": step, "x": x, "y": y}
        )
        return identity

    def _link(self, before: str, after: str, kind: str, weights: str | None) -> None:
        self.edges.append({"from": before, "to": after, "kind": kind, "weights": weights})
