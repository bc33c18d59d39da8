"""The equations of one unit or one output at one step, with the numbers of a trace in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elman import _structure
from elman._parameters import core_of
from elman.trace.explanation import Equation, Explanation
from elman.trace.writing import Style, Sum

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from elman._parameters import Layer, Parameters
    from elman.activation import Activation
    from elman.trace.parts import LayerTrace

    Array = NDArray[Any]
    Number = np.floating[Any]

_TINY = {"float32": -100, "float64": -900}  # states below this power of 2 become 0
_READS = {  # what the output of a step that is not real is
    "padding": "it is padding, and its output is 0",
    "hold": "the states are held",
    "zero": "zeros are read for the states",
}


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

    net: Parameters
    layer: int
    half: Layer  # its weights
    part: LayerTrace  # its numbers
    unit: int

    @property
    def backwards(self) -> bool:
        """Whether it runs from the last step to the first."""
        return self.half.direction == "reverse"

    @property
    def scaled(self) -> bool:
        """Whether it reads scaled inputs."""
        return self.layer == 0 and not (self.net.input_mean is None and self.net.input_std is None)

    @property
    def prefix(self) -> str:
        """The prefix of the names of its tensors."""
        both = _structure.prefixes(self.layer, self.net.directions[self.layer])
        return both[-1] if self.backwards else both[0]

    @property
    def words(self) -> str:
        """Which unit it is."""
        both = self.net.directions[self.layer] == "bidirectional"
        direction = f" ({'reverse' if self.backwards else 'forward'})" if both else ""
        return f"Unit {self.unit} of layer {self.layer}{direction}"

    @property
    def general(self) -> tuple[str, ...]:
        """The equations of all units and steps."""
        x, bias = ("x'" if self.scaled else "x"), ("" if self.half.b_h is None else " + b_h")
        before = "(t+1)" if self.backwards else "(t-1)"
        cell = f"h_t = {self.half.activation}(W_hh h_{before} + W_xh {x}_t{bias})"
        return (f"x'_t = {_scaled_input(self.net)}", cell) if self.scaled else (cell,)


class _Letters(NamedTuple):
    """The quantities of a unit at a step."""

    x: str  # x_3, or x'_3 if scaled
    h_before: str  # h_2
    u: str  # u_3[1]
    alone: str  # (W_hh h_2)[1]
    a: str
    h: str

    @classmethod
    def of(cls, unit: Unit, t: int) -> _Letters:
        """Return them for a step."""
        before = t + 1 if unit.backwards else t - 1
        h_before = f"h_{before}" if before >= 0 else f"h_({before})"
        x, i = "x'" if unit.scaled else "x", unit.unit
        u, a, h = (f"{letter}_{t}[{i}]" for letter in "uah")
        return cls(f"{x}_{t}", h_before, u, f"(W_hh {h_before})[{i}]", a, h)


def of_unit(unit: Unit, x: Array, place: Place, style: Style) -> Explanation:
    """Return the equations of a unit; `x` are the inputs of the network before scaling."""
    letters = _Letters.of(unit, place.t)
    title = f"{unit.words}, {place.words}"
    notes = [f"x_t are the states of layer {unit.layer - 1}."] if unit.layer else []
    if place.t == (place.steps - 1 if unit.backwards else 0):
        notes.append(f"{letters.h_before} is the initial state.")
    if place.real:
        equations, more = _computed(unit, letters, x, place, style)
    else:
        h = style.number(unit.part.h[place.at][unit.unit])
        equations = [Equation(letters.h, (f"{letters.h_before}[{unit.unit}]", h))]
        more = ["The step is not real: the state is held."]
    return Explanation(title, unit.general, tuple(equations), (*notes, *more))


def _computed(
    unit: Unit, letters: _Letters, x: Array, place: Place, style: Style
) -> tuple[list[Equation], list[str]]:
    """Return the equations from the input to the state, and notes."""
    net, _, half, part, i = unit
    numbers = (part.u, part.recurrent, part.a, part.h)
    u, alone, a, h = (array[place.at][i] for array in numbers)
    of_u, of_alone, of_a = Sum(style), Sum(style), Sum(style)
    if half.b_h is not None:
        of_u.add(f"b_h[{i}]", half.b_h[i])
    inputs, before = part.x[place.at], part.h_before[place.at]
    shown = of_u.add_products("W_xh", i, half.W_xh[i], letters.x, inputs)
    of_alone.add_products("W_hh", i, half.W_hh[i], letters.h_before, before)
    of_a.add(letters.u, u)
    of_a.add(letters.alone, alone)
    equations = [_input(net, k, place.t, x[place.at], inputs, style) for k in shown * unit.scaled]
    equations += [
        of_u.equation(letters.u, u),
        of_alone.equation(letters.alone, alone),
        of_a.equation(letters.a, a),
        _applied(half.activation, letters, style, a, h),
    ]
    starts = f"{letters.u} from {'0' if half.b_h is None else f'b_h[{i}]'} and {letters.a} from"
    notes = [
        *of_u.notes,
        *of_alone.notes,
        f"{_order(net, f'{starts} {letters.u}')} {letters.alone} is computed apart, to be shown.",
        *_partial_sums(net, {"W_xh": f"{unit.prefix}W_xh", "W_hh": f"{unit.prefix}W_hh"}),
    ]
    if h == 0 and 0 < abs(a) < 2.0 ** _TINY[net.dtype.name]:
        notes.append(f"A state below 2^{_TINY[net.dtype.name]} becomes 0.")
    return equations, notes


class Output(NamedTuple):
    """An output at one step."""

    net: Parameters
    output: int
    top: Array  # the states (H,) that it reads
    a: Array | None  # the sums (O,) of the readout
    y: Array  # (O,)


class _Value(NamedTuple):
    """An expression in letters and in numbers."""

    letters: str
    numbers: str

    def scaled(self, net: Parameters, k: int, style: Style) -> _Value:
        """Return the expression with the scaling of output k."""
        letters, numbers = self
        if net.output_std is not None:
            letters += f" * output_std[{k}]"
            numbers += f" * {style.number(net.output_std[k])}"
        if net.output_mean is not None:
            mean = net.output_mean[k]
            letters += f" + output_mean[{k}]"
            numbers += f" {'-' if mean < 0 else '+'} {style.number(abs(mean))}"
        return _Value(letters, numbers)


def of_output(output: Output, place: Place, style: Style) -> Explanation:
    """Return the equations of an output."""
    net, k, top, a, y = output
    result, equations, notes = style.number(y[k]), [], []
    if not place.real:
        notes.append(f"The step is not real: {_READS[place.kind]}.")
    if place.kind == "padding" and not place.real:
        right: tuple[str, ...] = (result,)
    else:
        value = _Value(f"h_{place.t}[{k}]", style.number(top[k]) if a is None else "")
        if a is not None:
            of_a, value, more = _read_out(output, a, place.t, style)
            equations.append(of_a)
            notes += more
        letters, numbers = value.scaled(net, k, style)
        right = (letters, numbers, result) if numbers != result else (letters, result)
    equations.append(Equation(f"y_{place.t}[{k}]", right))
    title = f"Output {k}, {place.words}"
    return Explanation(title, (_general_output(net),), tuple(equations), tuple(notes))


def _read_out(output: Output, a: Array, t: int, style: Style) -> tuple[Equation, _Value, list[str]]:
    """Return the equation of the readout's sum, the activation of it, and notes."""
    net, k, top, _, _ = output
    assert net.readout is not None
    W_hy, b_y, g = net.readout.W_hy, net.readout.b_y, net.readout.activation
    of_a = Sum(style)
    if b_y is not None:
        of_a.add(f"b_y[{k}]", b_y[k])
    of_a.add_products("W_hy", k, W_hy[k], f"h_{t}", top)
    if g.name in ("softmax", "log_softmax"):
        value = _Value(f"{g}(a_{t})[{k}]", f"{g}({style.list(a)})[{k}]")
    else:
        value = _Value(f"{g}(a_{t}[{k}])", f"{g}({style.number(a[k])})")
    notes = [
        *(["h_t are the states of both halves, forward first."] * _is_both(net)),
        *of_a.notes,
        _order(net, f"a_{t}[{k}] from {'0' if b_y is None else f'b_y[{k}]'}"),
        *_partial_sums(net, {"W_hy": _structure.W_HY}),
    ]
    return of_a.equation(f"a_{t}[{k}]", a[k]), value, notes


def _is_both(net: Parameters) -> bool:
    """Return whether the top layer runs in both directions."""
    return net.directions[-1] == "bidirectional"


def _applied(f: Activation, letters: _Letters, style: Style, a: Number, h: Number) -> Equation:
    """Return h = f(a)."""
    right = (f"{f}({letters.a})", f"{f}({style.number(a)})", style.number(h))
    return Equation(letters.h, right)


def _scaled_input(net: Parameters) -> str:
    """Return x'_t of all inputs and steps."""
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
    """Return the equation of all outputs and steps."""
    text = "h_t"
    if net.readout is not None:
        bias = "" if net.readout.b_y is None else " + b_y"
        text = f"{net.readout.activation}(W_hy h_t{bias})"
    text += "" if net.output_std is None else " * output_std"
    return f"y_t = {text}" + ("" if net.output_mean is None else " + output_mean")


def _order(net: Parameters, starts: str) -> str:
    """Return a sentence on how the core adds up."""
    rounds = "rounding each product and each sum" if net.isa == "sse2" else "each with one rounding"
    return (
        f"The core starts {starts}, and adds the products in the order of their indices, {rounds}."
    )


def _partial_sums(net: Parameters, matrices: dict[str, str]) -> list[str]:
    """Return sentences on the matrices, by letter and name, whose products have several sums."""
    of_matrix = core_of(net).partial_sums()
    return [
        f"The products with {letter} go to {sums} partial sums, by index mod {sums}, which are"
        " then added."
        for letter, name in matrices.items()
        if (sums := of_matrix[name]) > 1
    ]
