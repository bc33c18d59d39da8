"""The equations of one unit or one output at one step, with the numbers of a trace in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elman import _structure
from elman._parameters import core_of
from elman.trace.explanation import Equation, Explanation
from elman.trace.writing import Style, Sum

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._parameters import Layer, Parameters
    from elman.trace.parts import LayerTrace

    Array = NDArray[Any]

_TINY = {"float32": -100, "float64": -900}  # states below this power of 2 become 0


class Place(NamedTuple):
    """A step of one sequence."""

    at: tuple[int, ...]  # the index in arrays (..., T, size)
    steps: int  # T
    words: str  # such as "step 3 of sequence 2"
    real: bool
    kind: str  # what the outputs of steps that are not real are

    @property
    def t(self) -> int:
        """The step."""
        return self.at[-1]


class Unit(NamedTuple):
    """A unit of a layer, or of half of one."""

    layer: int
    half: Layer  # its weights
    part: LayerTrace  # its numbers
    unit: int

    @property
    def backwards(self) -> bool:
        """Whether it runs from the last step to the first."""
        return self.half.direction == "reverse"

    def prefix(self, net: Parameters) -> str:
        """Return the prefix of the names of its tensors."""
        both = _structure.prefixes(self.layer, net.directions[self.layer])
        return both[-1] if self.backwards else both[0]

    def words(self, net: Parameters) -> str:
        """Return which unit it is, in words."""
        both = net.directions[self.layer] == "bidirectional"
        direction = f" ({self.half.direction if self.backwards else 'forward'})" if both else ""
        return f"Unit {self.unit} of layer {self.layer}{direction}"


def of_unit(net: Parameters, x: Array, unit: Unit, place: Place, style: Style) -> Explanation:
    """Return the equations of a unit; `x` are the inputs of the network before scaling."""
    i, t, (_, half, part, _) = unit.unit, place.t, unit
    before = t + 1 if unit.backwards else t - 1
    scaled = unit.layer == 0 and not (net.input_mean is None and net.input_std is None)
    letter, h_before = "x'" if scaled else "x", f"h_{_index(before)}"
    bias = "" if half.b_h is None else " + b_h"
    step = "(t+1)" if unit.backwards else "(t-1)"
    general = [f"h_t = {half.activation}(W_hh h_{step} + W_xh {letter}_t{bias})"]
    title = f"{unit.words(net)}, {place.words}"
    notes = [f"x_t are the states of layer {unit.layer - 1}."] if unit.layer else []
    if not 0 <= before < place.steps:
        notes.append(f"{h_before} is the initial state.")
    h = part.h[place.at][i]
    if not place.real:
        held = Equation(f"h_{t}[{i}]", (f"{h_before}[{i}]", style.number(h)))
        notes.append("The step is not real: the state is held.")
        return Explanation(title, tuple(general), (held,), tuple(notes))

    of_u, of_h, of_a = Sum(style), Sum(style), Sum(style)
    if half.b_h is not None:
        of_u.add(f"b_h[{i}]", half.b_h[i])
    shown = of_u.add_products("W_xh", i, half.W_xh[i], f"{letter}_{t}", part.x[place.at])
    of_h.add_products("W_hh", i, half.W_hh[i], h_before, part.h_before[place.at])
    u, a, alone = part.u[place.at][i], part.a[place.at][i], part.recurrent[place.at][i]
    of_a.add(f"u_{t}[{i}]", u)
    of_a.add(f"(W_hh {h_before})[{i}]", alone)
    equations = [
        of_u.equation(f"u_{t}[{i}]", u),
        of_h.equation(f"(W_hh {h_before})[{i}]", alone),
        of_a.equation(f"a_{t}[{i}]", a),
        _applied(
            f"h_{t}[{i}]", str(half.activation), f"a_{t}[{i}]", style.number(a), style.number(h)
        ),
    ]
    if scaled:
        general.insert(0, f"x'_t = {_scaled_input(net)}")
        equations[:0] = [_input(net, k, t, x[place.at], part.x[place.at], style) for k in shown]
    prefix = unit.prefix(net)
    notes += [*of_u.notes, *of_h.notes]
    starts = (
        f"u_{t}[{i}] from {'0' if half.b_h is None else f'b_h[{i}]'} and a_{t}[{i}] from u_{t}[{i}]"
    )
    notes.append(f"{_order(net, starts)} (W_hh {h_before})[{i}] is computed apart, to be shown.")
    notes += _partial_sums(net, {"W_xh": f"{prefix}W_xh", "W_hh": f"{prefix}W_hh"})
    if h == 0 and 0 < abs(a) < 2.0 ** _TINY[net.dtype.name]:
        notes.append(f"A state below 2^{_TINY[net.dtype.name]} becomes 0.")
    return Explanation(title, tuple(general), tuple(equations), tuple(notes))


def of_output(
    net: Parameters, top: Array, a: Array | None, y: Array, k: int, place: Place, style: Style
) -> Explanation:
    """Return the equations of an output, from the states (H,) of the top layer and the sums (O,)."""
    t, notes, equations = place.t, [], []
    left = f"y_{t}[{k}]"
    general = (f"y_t = {_general_output(net)}",)
    title = f"Output {k}, {place.words}"
    if not place.real and place.kind == "padding":
        notes.append("The step is padding: its output is 0.")
        return Explanation(title, general, (Equation(left, (style.number(y[k]),)),), tuple(notes))
    if not place.real:
        reads = "the states are held" if place.kind == "hold" else "zeros are read for the states"
        notes.append(f"The step is not real: {reads}.")
    letters, numbers = f"h_{t}[{k}]", style.number(top[k]) if net.readout is None else ""
    if net.readout is not None:
        assert a is not None
        W_hy, b_y, g = net.readout.W_hy, net.readout.b_y, net.readout.activation
        of_a = Sum(style)
        if b_y is not None:
            of_a.add(f"b_y[{k}]", b_y[k])
        of_a.add_products("W_hy", k, W_hy[k], f"h_{t}", top)
        equations.append(of_a.equation(f"a_{t}[{k}]", a[k]))
        if g.name in ("softmax", "log_softmax"):
            letters, numbers = f"{g}(a_{t})[{k}]", f"{g}({style.list(a)})[{k}]"
        else:
            letters, numbers = f"{g}(a_{t}[{k}])", f"{g}({style.number(a[k])})"
        notes += of_a.notes
        notes.append(_order(net, f"a_{t}[{k}] from {'0' if b_y is None else f'b_y[{k}]'}"))
        notes += _partial_sums(net, {"W_hy": _structure.W_HY})
    if net.output_std is not None:
        letters += f" * output_std[{k}]"
        numbers += f" * {style.number(net.output_std[k])}"
    if net.output_mean is not None:
        mean = net.output_mean[k]
        letters += f" + output_mean[{k}]"
        numbers += f" {'-' if mean < 0 else '+'} {style.number(abs(mean))}"
    result = style.number(y[k])
    right = (letters, numbers, result) if numbers != result else (letters, result)
    equations.append(Equation(left, right))
    return Explanation(title, general, tuple(equations), tuple(notes))


def _index(t: int) -> str:
    """Return a step as an index of a letter."""
    return str(t) if t >= 0 else f"({t})"


def _applied(left: str, f: str, letters: str, number: str, result: str) -> Equation:
    """Return h = f(a)."""
    return Equation(left, (f"{f}({letters})", f"{f}({number})", result))


def _scaled_input(net: Parameters) -> str:
    text = "x_t" if net.input_mean is None else "(x_t - input_mean)"
    return text if net.input_std is None else f"{text} * (1 / input_std)"


def _input(net: Parameters, k: int, t: int, x: Array, scaled: Array, style: Style) -> Equation:
    """Return the equation of a scaled input."""
    letters, numbers = f"x_{t}[{k}]", style.number(x[k])
    if net.input_mean is not None:
        mean = net.input_mean[k]
        letters = f"({letters} - input_mean[{k}])"
        numbers = f"({numbers} {'+' if mean < 0 else '-'} {style.number(abs(mean))})"
    if net.input_std is not None:
        letters += f" * (1 / input_std[{k}])"
        numbers += f" * (1 / {style.number(net.input_std[k])})"
    return Equation(f"x'_{t}[{k}]", (letters, numbers, style.number(scaled[k])))


def _general_output(net: Parameters) -> str:
    text = "h_t"
    if net.readout is not None:
        bias = "" if net.readout.b_y is None else " + b_y"
        text = f"{net.readout.activation}(W_hy h_t{bias})"
    text += "" if net.output_std is None else " * output_std"
    return text + ("" if net.output_mean is None else " + output_mean")


def _order(net: Parameters, starts: str) -> str:
    """Return a sentence on how the core adds up."""
    rounds = "rounding each product and each sum" if net.isa == "sse2" else "each with one rounding"
    return (
        f"The core starts {starts}, and adds the products in the order of their indices, {rounds}."
    )


def _partial_sums(net: Parameters, matrices: dict[str, str]) -> list[str]:
    """Return sentences on the matrices, by letter and name, whose products have several sums."""
    sums = {letter: core_of(net).partial_sums(name) for letter, name in matrices.items()}
    return [
        f"The products with {letter} go to {count} partial sums, by index mod {count}, which are"
        " then added."
        for letter, count in sums.items()
        if count > 1
    ]
