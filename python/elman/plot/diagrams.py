"""Diagrams of a network: the cell, and the graph unfolded in time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from elman import views
from elman.plot import paper
from elman.plot.pen import STRIP, Pen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman._network import Network
    from elman.trace import Trace
    from elman.views.export import View

__all__ = ["network", "unrolled"]

SCALE = 0.62  # inches for a unit of the diagram of a cell
SUM, ACT, STATE = 0.0, 0.85, 1.7  # heights in a cell: the sum, the activation, the state
BETWEEN = 1.35  # from the state of a layer to the sum of the next
LOOP = 1.3  # how far the feedback is from the middle
HALVES = 1.9  # how far the halves of a bidirectional layer are from the middle
RADIUS = 0.24
LETTER = 0.148  # the width of a letter of an equation, on average
WIDEST_BOX = 1.5
BOTH = "both states, concatenated"


def network(net: Network, *, ax: Axes | None = None) -> Axes:
    """Draw the cell of each layer, from the input at the bottom to the output at the top.

    Every arrow through a matrix has its name and shape, every sum its bias, and every layer its
    size, its activation and its equation. The state returns through a delay of one step.

    Parameters
    ----------
    net : Network
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentTypeError
        If an argument is invalid.

    Examples
    --------
    >>> import elman, elman.plot
    >>> ax = elman.plot.network(elman.Network(16, 32, 4, seed=0))
    >>> "tanh" in [text.get_text() for text in ax.texts]
    True
    """
    return draw_network(views.network(net), ax)


def draw_network(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `network`."""
    both = any(len(layer["halves"]) == 2 for layer in view["layers"])
    side = HALVES + LOOP + 0.75 if both else LOOP + 0.75
    heights = [STATE + BETWEEN + 0.75 * (len(layer["halves"]) - 1) for layer in view["layers"]]
    top = sum(heights) + (STATE if view["readout"] else 0.0)
    low = -BETWEEN - (0.95 if view["input_scaling"] else 0.0)
    high = top + (0.95 if view["output_scaling"] else 0.0)
    words = LETTER * max(map(len, _lines(view))) + 0.3
    left = -side + (0.0 if both else 0.65)
    size = (SCALE * (side - left + words), SCALE * (high - low + 1.1))
    ax = paper.axes(ax, *size)
    pen = Pen(ax, (left, side + words), (low - 0.45, high + 0.6), SCALE)
    drawing = _Cells(pen, side + 0.3)
    drawing.input(view)
    for layer, height in zip(view["layers"], heights, strict=True):
        drawing.layer(layer)
        drawing.base += height
    drawing.output(view)
    return ax


class _Cells:
    """Cells, drawn from the bottom up."""

    def __init__(self, pen: Pen, words: float) -> None:
        self._pen = pen
        self._words = words  # where the text begins
        self._below = (0.0, 0.0)  # where the arrow to the next sum begins
        self.base = 0.0  # of the next cell

    def input(self, view: View) -> None:
        """Draw the input, and its scaling."""
        y = -BETWEEN
        if view["input_scaling"]:
            y -= 0.95
            self._pen.arrow([(0, y + RADIUS), (0, y + 0.95 - 0.2)])
            self._pen.box((0, y + 0.95), r"$(x - \mathrm{mean})\,/\,\mathrm{std}$", 1.9)
            self._below = (0, y + 0.95 + 0.2)
        else:
            self._below = (0, y + RADIUS)
        self._pen.square((0, y), "$x_t$")
        self._pen.text((self._words, y), _counted(view["input_size"], "input"))

    def layer(self, layer: View) -> None:
        """Draw the cell of a layer, one for each direction."""
        halves = layer["halves"]
        y = self.base
        for i, half in enumerate(halves):
            x = 0.0 if len(halves) == 1 else (2 * i - 1) * HALVES
            inner = -1 if len(halves) == 2 and i == 0 else 1
            self._half(half, (x, y), inner)
        top = y + STATE
        if len(halves) == 2:
            top += 0.75
            for x in (-HALVES, HALVES):
                self._pen.line([(x, y + STATE + RADIUS), (x, top), (0, top)])
            self._pen.dot((0, top))
            self._pen.text((self._words, top), BOTH)
            self._below = (0, top)
        else:
            self._below = (0, top + RADIUS)
        for i, half in enumerate(halves):
            at = y + STATE - 0.2 - 0.95 * i
            self._pen.text((self._words, at), _described(layer, half), weight="bold")
            self._pen.text((self._words, at - 0.42), f"${half['latex']}$")

    def _half(self, half: View, at: tuple[float, float], side: int) -> None:
        """Draw a cell whose sum is at a place and whose feedback is on one side."""
        x, y = at
        pen = self._pen
        forward = half["half"] == "forward"
        low, high = sorted((x - side * 0.95, x + side * (LOOP + 0.6)))
        pen.ground((low, y - 0.42), (high, y + STATE + 0.42))
        start = self._below
        bend = [start, (start[0], y - 0.85), (x, y - 0.85)] if x != start[0] else [start]
        pen.arrow([*bend, (x, y - 0.17)], color=paper.BLUE)
        sizes = half["tensors"]
        where = (x + 0.1, y - 0.62)
        pen.text(where, f"$W_{{xh}}$  {_shape(sizes['W_xh'])}", color=paper.BLUE)
        _sum_and_function(pen, at, half["function"])
        pen.circle((x, y + STATE), "$h_t$")
        loop = x + side * LOOP
        ends = [(x + side * RADIUS, y + STATE), (loop, y + STATE), (loop, y + ACT + 0.2)]
        pen.arrow(ends, color=paper.RED)
        pen.box((loop, y + ACT), "delay", 0.8)
        pen.arrow([(loop, y + ACT - 0.2), (loop, y), (x + side * 0.17, y)], color=paper.RED)
        before = "$h_{t-1}$" if forward else "$h_{t+1}$"
        pen.text((loop - side * 0.3, y + ACT - 0.48), before, color=paper.RED, align="center")
        pen.text(
            (x + side * 0.2, y - 0.24),
            f"$W_{{hh}}$ {_shape(sizes['W_hh'])}",
            color=paper.RED,
            align="left" if side > 0 else "right",
            size=8.5,
        )
        if "b_h" in sizes:
            pen.arrow([(x - side * 0.55, y), (x - side * 0.17, y)])
            pen.text((x - side * 0.72, y), "$b_h$", align="center")

    def output(self, view: View) -> None:
        """Draw the readout, or the end of the top layer."""
        pen, readout, y = self._pen, view["readout"], self.base
        start = self._below
        if readout is None:
            pen.arrow([start, (0, y - BETWEEN + 0.75)])
            pen.text(
                (self._words, y - BETWEEN + 0.7),
                f"{_counted(view['output_size'], 'output')}: $y_t = h_t$",
            )
            return
        pen.ground((-0.95, y - 0.42), (0.95, y + ACT + 0.42))
        pen.arrow([start, (0, y - 0.17)], color=paper.GREEN)
        shape = _shape(readout["tensors"]["W_hy"])
        pen.text((0.1, y - 0.62), f"$W_{{hy}}$  {shape}", color=paper.GREEN)
        _sum_and_function(pen, (0, y), readout["function"])
        if "b_y" in readout["tensors"]:
            pen.arrow([(-0.55, y), (-0.17, y)])
            pen.text((-0.72, y), "$b_y$", align="center")
        top = y + STATE
        if view["output_scaling"]:
            pen.box((0, top), r"$y\,\mathrm{std} + \mathrm{mean}$", 1.9)
            pen.arrow([(0, top + 0.2), (0, top + 0.95 - RADIUS)])
            top += 0.95
        pen.square((0, top), "$y_t$")
        pen.text((self._words, y + ACT - 0.1), "readout: " + readout["activation"], weight="bold")
        pen.text((self._words, y + ACT - 0.52), f"${readout['latex']}$")
        pen.text((self._words, top), _counted(view["output_size"], "output"))


def _sum_and_function(pen: Pen, at: tuple[float, float], name: str) -> None:
    """Draw a sum, the activation above it, and the arrow out of it."""
    x, y = at
    pen.circle((x, y), "+", radius=0.17)
    pen.arrow([(x, y + 0.17), (x, y + ACT - 0.2)])
    width = 0.13 * len(name) + 0.1
    size = 9.0 * min(1.0, WIDEST_BOX / width)
    pen.box((x, y + ACT), name, min(max(0.8, width), WIDEST_BOX), size=size)
    pen.arrow([(x, y + ACT + 0.2), (x, y + STATE - RADIUS)])


def _lines(view: View) -> list[str]:
    """Return the texts beside the parts, the equations without what LaTeX does not print."""
    layers = view["layers"]
    halves = [half for layer in layers for half in layer["halves"]]
    parts = [part["latex"] for part in (*halves, view["readout"]) if part is not None]
    described = [_described(layer, half) for layer in layers for half in layer["halves"]]
    return [re.sub(r"\\[a-z]+|[{}^_ ]", "", part) for part in parts] + [BOTH, *described]


def _described(layer: View, half: View) -> str:
    direction = "" if layer["direction"] == "forward" else f" {half['half']}"
    return f"{layer['name']}: {_counted(half['units'], 'unit')}{direction}, {half['activation']}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _shape(shape: list[int]) -> str:
    return " × ".join(map(str, shape))


# --- unfolded -------------------------------------------------------------------------------------

COLUMN = 1.15  # inches between steps
WIDEST = 9.0  # inches, as long as the text of a node is legible
NARROWEST = 0.72
LEGIBLE = 0.9  # inches between steps, or more: letters have their full size
LABELLED = 6  # columns: with more, only the first edge of each matrix has its name
NODE = 0.2
CALLS = {
    "many-to-many": "net(x)",
    "many-to-one": 'net(x, outputs="last")',
    "one-to-many": "net.generate(x, steps)",
    "one-to-one": "net(x), one step",
}


def unrolled(
    net: Network | Trace,
    steps: int | None = None,
    mode: str = "many-to-many",
    *,
    sequence: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a network unfolded in time: a copy of the cell for each step, with the same weights.

    Arrows through one matrix have one colour and one kind of line. Time goes to the right, data go
    up; a reverse layer passes its state to the left. Of a trace, each node is a column of its
    values, dark if low and light if high, on one scale for all states.

    Parameters
    ----------
    net : Network or Trace
        A network; or the result of `net.trace(x)`, to see its steps and values.
    steps : int, optional
        T; by default 4, or 1 for "one-to-one". Of more than 12, the first and the last are drawn.
        None for a trace.
    mode : {"many-to-many", "many-to-one", "one-to-many", "one-to-one"}
        Which inputs and outputs are used: `net(x)`, `net(x, outputs="last")`,
        `net.generate(x, steps)`, or a single step.
    sequence : int
        The index of a sequence of the trace, counted over all batch axes.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If the mode is unknown, needs other steps, or the network cannot run in it.

    Examples
    --------
    >>> import elman, elman.plot
    >>> ax = elman.plot.unrolled(elman.Network(2, 8, 1, seed=0), 3, "many-to-one")
    >>> [text.get_text() for text in ax.texts if "y" in text.get_text()]
    ['$y_{2}$', '$W_{hy}$']
    """
    return draw_unrolled(views.unrolled(net, steps, mode, sequence=sequence), ax)


def draw_unrolled(view: View, ax: Axes | None) -> Axes:
    """Draw the view of `unrolled`."""
    nodes = {node["id"]: node for node in view["nodes"]}
    xs, ys = ([node[axis] for node in view["nodes"]] for axis in "xy")
    wide, high = max(xs) - min(xs) + 0.9, max(ys) - min(ys) + 0.8
    inches = max(NARROWEST, min(COLUMN, WIDEST / wide))
    ax = paper.axes(ax, inches * wide, inches * high + 0.3)
    limits = (min(xs) - 0.45, max(xs) + 0.45), (min(ys) - 0.4, max(ys) + 0.4)
    pen = Pen(ax, *limits, LEGIBLE)
    for node in view["nodes"]:
        if "values" in node:
            ends = view["limits"][node["kind"]]
            pen.strip((node["x"], node["y"]), node["values"], ends, f"${node['label']}$")
        else:
            _draw_node(pen, node, view["mode"])
    _draw_edges(pen, view, nodes)
    title = f"{view['mode']}: {CALLS[view['mode']]}"
    if "limits" in view:
        low, high = view["limits"]["state"]
        title += f"; states from {low:.2g} (dark) to {high:.2g} (light)"
    ax.set_title(title, fontsize=paper.SMALL, loc="left", x=0.02)
    return ax


def _draw_node(pen: Pen, node: View, mode: str) -> None:
    at = node["x"], node["y"]
    label = f"${node['label']}$" if node["label"] else ""
    fed = mode == "one-to-many" and node["kind"] == "input" and node["step"] != 0
    if node["kind"] == "gap":
        pen.text(at, node["label"], align="center", size=14)
    elif node["kind"] == "both":
        pen.dot(at)
    elif node["kind"] in ("input", "output"):
        pen.square(at, label, radius=NODE, dashed=fed)
    else:
        pen.circle(at, label, radius=NODE, dashed=node["kind"] == "initial")


def _draw_edges(pen: Pen, view: View, nodes: dict[str, View]) -> None:
    """Draw the edges: one look for each matrix, whose name is beside it."""
    labels, narrow = view["weights"], any(node["kind"] == "both" for node in nodes.values())
    every = len(view["shown"]) <= LABELLED and not narrow
    looks: dict[str, dict[str, Any]] = {}
    for edge in view["edges"]:
        before, after = nodes[edge["from"]], nodes[edge["to"]]
        ends = _trimmed(before, after)
        name = edge["weights"]
        if name is None:
            fed = edge["kind"] == "feedback"
            pen.arrow(ends, head=fed, color=paper.FAINT, linestyle="--" if fed else "-")
            continue
        first = name not in looks
        look = looks.setdefault(name, paper.style(len(looks)))
        pen.arrow(ends, width=1.5, **look)
        if first or every:
            pen.on_line(ends, f"${labels[name]}$", look["color"])


def _trimmed(before: View, after: View) -> list[tuple[float, float]]:
    """Return the ends of an edge at the outlines of its nodes."""
    dx, dy = after["x"] - before["x"], after["y"] - before["y"]
    length = (dx * dx + dy * dy) ** 0.5
    ends = []
    for node, sign in ((before, 1), (after, -1)):
        radius = {"both": 0.04, "gap": 0.28}.get(node["kind"], NODE)
        part = radius / length
        if "values" in node:  # a strip
            part = min(STRIP[0] / max(abs(dx), 1e-9), STRIP[1] / max(abs(dy), 1e-9))
        elif node["kind"] in ("input", "output"):  # a square
            part = radius / max(abs(dx), abs(dy))
        part *= sign
        ends.append((node["x"] + part * dx, node["y"] + part * dy))
    return ends
