"""`Trace.explain`: the equations of a unit or an output, with the numbers of the trace."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import elman
from fixtures import directions
from fixtures.networks import make_inputs, make_network


def small_trace():
    """Return a trace with numbers that are exact: two units with relu, one output."""
    with elman.use_isa("scalar"):  # the notes say how an instruction set rounds
        net = elman.Network.from_weights(
            [([[0.5], [1.0]], [[0.0, 1.0], [-1.0, 0.0]], [0.25, 0.0])],
            ([[1.0, 2.0]], [-0.5]),
            activation="relu",
            output_activation="identity",
        )
    return net.trace([[1.0], [-2.0]])


# --- whole texts, worked out by hand --------------------------------------------------------------

UNIT = """\
Unit 0 of layer 0, step 1

h_t = relu(W_hh h_(t-1) + W_xh x_t + b_h)

u_1[0]        = b_h[0] + W_xh[0,0] x_1[0]
              = 0.25 + 0.5 * (-2)
              = -0.75
(W_hh h_0)[0] = W_hh[0,0] h_0[0] + W_hh[0,1] h_0[1]
              = 0 * 0.75 + 1 * 1
              = 1
a_1[0]        = u_1[0] + (W_hh h_0)[0]
              = -0.75 + 1
              = 0.25
h_1[0]        = relu(a_1[0])
              = relu(0.25)
              = 0.25

The core starts u_1[0] from b_h[0] and a_1[0] from u_1[0], and adds the products in the
order of their indices, each with one rounding. (W_hh h_0)[0] is computed apart, to be
shown."""

OUTPUT = """\
Output 0, step 1

y_t = identity(W_hy h_t + b_y)

a_1[0] = b_y[0] + W_hy[0,0] h_1[0] + W_hy[0,1] h_1[1]
       = -0.5 + 1 * 0.25 + 2 * 0
       = -0.25
y_1[0] = identity(a_1[0])
       = identity(-0.25)
       = -0.25

The core starts a_1[0] from b_y[0], and adds the products in the order of their indices,
each with one rounding."""

MARKDOWN = r"""**Output 0, step 1**

$$y_{t} = \text{identity}(W_{hy} h_{t} + b_{y})$$

$$\begin{aligned}
a_{1}[0] &= b_{y}[0] + W_{hy}[0,0] h_{1}[0] + W_{hy}[0,1] h_{1}[1] \\
 &= -0.5 + 1 \cdot 0.25 + 2 \cdot 0 \\
 &= -0.25 \\
y_{1}[0] &= \text{identity}(a_{1}[0]) \\
 &= \text{identity}(-0.25) \\
 &= -0.25 \\
\end{aligned}$$

The core starts a_1[0] from b_y[0], and adds the products in the order of their indices, each"""
MARKDOWN += " with one rounding."

HTML = (
    "<p><b>Output 0, step 1</b></p>"
    "<p>y<sub>t</sub> = identity(W<sub>hy</sub> h<sub>t</sub> + b<sub>y</sub>)</p>"
    "<table>"
    '<tr><td>a<sub>1</sub>[0]</td><td>=</td><td style="text-align: left">'
    "b<sub>y</sub>[0] + W<sub>hy</sub>[0,0] h<sub>1</sub>[0] + W<sub>hy</sub>[0,1] h<sub>1</sub>[1]"
    "</td></tr>"
    '<tr><td></td><td>=</td><td style="text-align: left">'
    "-0.5 + 1 &middot; 0.25 + 2 &middot; 0</td></tr>"
    '<tr><td></td><td>=</td><td style="text-align: left">-0.25</td></tr>'
    '<tr><td>y<sub>1</sub>[0]</td><td>=</td><td style="text-align: left">'
    "identity(a<sub>1</sub>[0])</td></tr>"
    '<tr><td></td><td>=</td><td style="text-align: left">identity(-0.25)</td></tr>'
    '<tr><td></td><td>=</td><td style="text-align: left">-0.25</td></tr>'
    "</table>"
    "<p>The core starts a<sub>1</sub>[0] from b<sub>y</sub>[0], and adds the products in the order"
    " of their indices, each with one rounding.</p>"
)


def test_the_text_of_a_unit():
    explained = small_trace().explain(1, unit=0)
    assert str(explained) == UNIT
    assert repr(explained) == UNIT


def test_an_output_in_three_formats():
    explained = small_trace().explain(-1, output=0)
    assert str(explained) == OUTPUT
    assert explained.markdown == MARKDOWN
    assert explained.html == HTML
    assert explained._repr_html_() == HTML


def test_the_first_step_starts_from_the_initial_state():
    text = str(small_trace().explain(0, unit=1))
    assert "(W_hh h_(-1))[1] = W_hh[1,0] h_(-1)[0] + W_hh[1,1] h_(-1)[1]\n" in text
    assert "= -1 * 0 + 0 * 0\n" in text
    assert "h_(-1) is the initial state. The core starts" in text
    assert r"h_{-1}" in small_trace().explain(0).markdown
    assert "h<sub>-1</sub>" in small_trace().explain(0).html


# --- the numbers are those of the trace -----------------------------------------------------------


def functions():
    """Return the activations of the tests below in plain Python."""
    return {
        "tanh": math.tanh,
        "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "relu": lambda v: max(v, 0.0),
        "identity": lambda v: v,
        "leaky_relu": lambda alpha: lambda v: v if v > 0 else alpha * v,
    }


def value_of(numbers):
    """Return what an expression in numbers equals."""
    return eval(numbers, {"__builtins__": {}}, functions())


def right(explained, letter):
    """Return the right sides of the equation of a quantity such as `u`, by its first letters."""
    (found,) = [e.right for e in explained.equations if e.left.startswith(letter)]
    return found


def assert_shows(explained, letter, value):
    """Assert that an equation's result is exactly this value, and that its numbers give it."""
    letters, numbers, result = right(explained, letter)
    assert type(value)(result) == value
    size = sum(abs(float(n)) for n in re.findall(r"[\d.]+(?:e[-+]\d+)?", numbers))
    assert abs(value_of(numbers) - float(value)) <= 1e-5 * (1 + size)
    return letters, numbers


def products(letters):
    """Return (row, column, index of the vector) of the products in a sum."""
    found = re.findall(r"W_\w+\[(\d+),(\d+)\] [xh]'?_[(\w)-]+\[(\d+)\]", letters)
    return [tuple(map(int, each)) for each in found]


@pytest.mark.parametrize("kind", [0, 1, 3, 4])
def test_every_number_is_that_of_the_trace(rng, dtype, kind):
    net = directions.make_network(dtype, **directions.KINDS[kind])
    trace = net.trace(rng.standard_normal((2, 4, net.input_size)))
    for i, (layer, part) in enumerate(zip(net.layers, trace.layers, strict=True)):
        for half, numbers in ((layer, part), (layer.reverse, part.reverse)):
            if half is None:
                continue
            unit, t = len(half.W_hh) - 1, 2
            which = {"layer": i, "reverse": numbers is part.reverse, "sequence": 1}
            explained = trace.explain(t, unit, **which, terms=99, digits=None)
            at = (1, t)
            letters, _ = assert_shows(explained, "u_2", numbers.u[at][unit])
            assert products(letters) == [(unit, k, k) for k in range(half.W_xh.shape[1])]
            letters, shown = assert_shows(explained, "(W", numbers.recurrent[at][unit])
            assert products(letters) == [(unit, k, k) for k in range(unit + 1)]
            assert f"h_{3 if half.direction == 'reverse' else 1}[" in letters
            for w, h in zip(half.W_hh[unit], numbers.h_before[at], strict=True):
                assert f"{str(abs(w)).removesuffix('.0')} * " in shown
                assert str(h).removesuffix(".0") in shown
            assert_shows(explained, "a_2", numbers.a[at][unit])
            assert_shows(explained, "h_2", numbers.h[at][unit])


@pytest.mark.parametrize("bias", [True, False])
def test_scaling_is_part_of_the_equations(rng, dtype, bias):
    net = make_network(rng, dtype=dtype, scaling=True, bias=bias)
    trace = net.trace(make_inputs(rng, net, 3))
    explained = trace.explain(1, unit=2, digits=None)
    assert explained.general == (
        "x'_t = (x_t - input_mean) * (1 / input_std)",
        f"h_t = tanh(W_hh h_(t-1) + W_xh x'_t{' + b_h' * bias})",
    )
    assert [e.left for e in explained.equations[:3]] == ["x'_1[0]", "x'_1[1]", "x'_1[2]"]
    for k in range(3):
        letters, _ = assert_shows(explained, f"x'_1[{k}]", trace.layers[0].x[1, k])
        assert letters == f"(x_1[{k}] - input_mean[{k}]) * (1 / input_std[{k}])"
    assert ("from b_h[2]" in str(explained)) == bias
    assert ("u_1[2] from 0 and" in str(explained)) != bias
    explained = trace.explain(1, output=1, digits=None)
    letters, _ = assert_shows(explained, "y_1", trace.y[1, 1])
    assert letters == "sigmoid(a_1[1]) * output_std[1] + output_mean[1]"
    assert r"\text{output\_mean}[1]" in explained.markdown
    assert ("from 0," in str(explained)) != bias


def test_one_kind_of_scaling_alone():
    weights = [([[1.0]], [[0.0]], None)], None
    options = {"activation": "identity", "dtype": "float64"}
    mean = elman.Network.from_weights(*weights, input_mean=[1.0], output_mean=[-2.0], **options)
    explained = mean.trace([[3.0]]).explain(0)
    assert explained.equations[0].right == ("(x_0[0] - input_mean[0])", "(3 - 1)", "2")
    explained = mean.trace([[3.0]]).explain(0, output=0)
    assert explained.equations[0].right == ("h_0[0] + output_mean[0]", "2 - 2", "0")
    std = elman.Network.from_weights(*weights, input_std=[2.0], output_std=[4.0], **options)
    explained = std.trace([[3.0]]).explain(0)
    assert explained.general[0] == "x'_t = x_t * (1 / input_std)"
    assert explained.equations[0].right == ("x_0[0] * (1 / input_std[0])", "3 * (1 / 2)", "1.5")
    explained = std.trace([[3.0]]).explain(0, output=0)
    assert explained.equations[0].right == ("h_0[0] * output_std[0]", "1.5 * 4", "6")


def test_an_output_without_a_readout_is_a_state():
    trace = elman.Network(1, 3, None, direction="bidirectional", seed=0).trace([[1.0]])
    explained = trace.explain(0, output=4)
    assert explained.general == ("y_t = h_t",)
    (equation,) = explained.equations
    assert equation.left == "y_0[4]"
    assert equation.right == ("h_0[4]", f"{trace.layers[0].reverse.h[0, 1]:.6g}")


def test_a_readout_of_both_halves_says_so():
    net = elman.Network(1, [2, 3], 1, direction=["forward", "bidirectional"], seed=0)
    explained = net.trace([[1.0], [2.0]]).explain(0, output=0)
    assert products(right(explained, "a_0")[0]) == [(0, k, k) for k in range(6)]
    assert explained.notes[0] == "h_t are the states of both halves, forward first."
    explained = net.trace([[1.0], [2.0]]).explain(1, 2, reverse=True)
    assert explained.general == ("h_t = tanh(W_hh h_(t+1) + W_xh x_t + b_h)",)
    assert explained.notes[:2] == (
        "x_t are the states of layer 0.",
        "h_2 is the initial state.",
    )


def test_a_distribution_shows_all_sums():
    net = elman.Network(1, 2, 3, output_activation="softmax", seed=0, dtype="float64")
    trace = net.trace([[1.0]])
    letters, numbers, result = right(trace.explain(0, output=1), "y_0")
    assert letters == "softmax(a_0)[1]"
    assert numbers == f"softmax({', '.join(f'{v:.6g}' for v in trace.readout.a[0])})[1]"
    assert result == f"{trace.y[0, 1]:.6g}"
    _, numbers, _ = right(trace.explain(0, output=1, terms=2), "y_0")
    assert numbers.count(",") == 2
    assert "..." in numbers


# --- long sums ------------------------------------------------------------------------------------


def test_a_long_sum_shows_the_largest_products_and_adds_up_the_others():
    W_hh = np.diag([1.0, 0.0, 0.0, 0.0, 0.0])
    W_hh[0] = [1.0, -8.0, 2.0, 16.0, -4.0]
    with elman.use_isa("scalar"):
        net = elman.Network.from_weights(
            [(np.ones((5, 1)), W_hh, None)], None, activation="identity", dtype="float64"
        )
    explained = net.trace([[0.0]], state=[1.0, 1.0, 1.0, 0.25, 1.0]).explain(0, terms=2)
    letters, numbers, result = right(explained, "(W")
    assert letters == "W_hh[0,1] h_(-1)[1] + W_hh[0,3] h_(-1)[3] + (3 other products)"
    assert numbers == "-8 * 1 + 16 * 0.25 - 1"
    assert result == "-5"
    assert (
        "Of the 5 products with W_hh the 2 largest are shown; the others are added up in float64."
        in explained.notes
    )


def test_long_lines_are_broken_before_a_sign():
    net = elman.Network(20, 3, 20, seed=0)
    explained = net.trace(np.ones((2, 20))).explain(1, terms=20)
    lines = str(explained).splitlines()
    assert max(map(len, lines)) <= 88
    joined = re.sub(r"\n +([+-])", r" \1", str(explained))
    for equation in explained.equations:
        for line in equation.right:
            assert f"= {line}\n" in f"{joined}\n"
    assert all(len(line) < 200 for line in explained.markdown.splitlines()[:-1])
    assert explained.markdown.count(r"&\quad +") > 4
    signs = elman.Network.from_weights([([[1.0]], [[0.0]], None)], None, input_mean=[1.0])
    assert "(3 - 1)" in str(signs.trace([[3.0]]).explain(0))


def test_nan_is_among_the_largest(rng):
    net = elman.Network(3, 2, 1, seed=0)
    explained = net.trace([[1.0, np.nan, 2.0]]).explain(0, terms=1)
    letters, _, result = right(explained, "u_0")
    assert "W_xh[0,1] x_0[1]" in letters
    assert result == "nan"


def test_the_notes_say_how_many_partial_sums_there_are():
    with elman.use_isa("scalar"):
        net = elman.Network(17, 5, 20, seed=0)
    explained = net.trace(np.ones((1, 17))).explain(0)
    said = "The products with W_xh go to 4 partial sums, by index mod 4, which are then added."
    assert said in explained.notes
    assert "with W_hh go" not in str(explained)
    if "sse2" in elman.available_isas():
        with elman.use_isa("sse2"):
            net = elman.Network(1, 5, 20, seed=0)
        text = " ".join(net.trace([[1.0]]).explain(0).notes)
        assert "rounding each product and each sum" in text


# --- steps that are not real ----------------------------------------------------------------------


def test_padding_holds_the_state_and_gives_zero():
    net = elman.Network(1, 2, 1, seed=0)
    trace = net.trace(np.ones((2, 4, 1)), lengths=[4, 2])
    explained = trace.explain(3, unit=1, sequence=1)
    assert explained.title == "Unit 1 of layer 0, step 3 of sequence 1"
    held = f"{trace.hidden[1, 1, 1]:.6g}"
    assert [(e.left, e.right) for e in explained.equations] == [("h_3[1]", ("h_2[1]", held))]
    assert explained.notes == ("The step is not real: the state is held.",)
    explained = trace.explain(3, output=0, sequence=1)
    assert [(e.left, e.right) for e in explained.equations] == [("y_3[0]", ("0",))]
    assert explained.notes == ("The step is not real: it is padding, and its output is 0.",)
    assert len(trace.explain(1, sequence=1).equations) == 4


@pytest.mark.parametrize("masked", ["hold", "zero"])
def test_a_masked_step_reads_out_what_is_held_or_zeros(masked):
    net = elman.Network(1, 2, 1, seed=0)
    trace = net.trace(np.ones((3, 1)), mask=[True, True, False], masked=masked)
    explained = trace.explain(2, output=0, digits=None)
    _, numbers = assert_shows(explained, "a_2", trace.readout.a[2, 0])
    assert_shows(explained, "y_2", trace.y[2, 0])
    assert numbers.count(" * 0") == (2 if masked == "zero" else numbers.count(" * 0."))
    reads = "the states are held" if masked == "hold" else "zeros are read for the states"
    assert explained.notes[0] == f"The step is not real: {reads}."


def test_a_state_that_fades_is_explained():
    net = elman.Network.from_weights([([[1.0]], [[0.0]], None)], None, dtype="float32")
    explained = net.trace([[1e-35]]).explain(0)
    assert right(explained, "h_0") == ("tanh(a_0[0])", "tanh(1e-35)", "0")
    assert "A state below 2^-100 becomes 0." in explained.notes


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"t": 4}, "t: expected -4 to 3, got 4"),
        ({"t": 1.5}, "t: expected an integer, got float"),
        ({"unit": 3}, "unit: expected -3 to 2, got 3"),
        ({"layer": 2}, "layer: expected -2 to 1, got 2"),
        ({"sequence": -7}, "sequence: expected -6 to 5, got -7"),
        ({"output": 2}, "output: expected -2 to 1, got 2"),
        ({"terms": 0}, "terms: expected at least 1, got 0"),
        ({"digits": 0}, "digits: expected at least 1, got 0"),
        ({"reverse": 1}, "reverse: expected True or False, got int"),
        (
            {"reverse": True, "layer": 1},
            "reverse: expected False for layer 1, which has one direction, got True",
        ),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, sentence):
    net = elman.Network(1, [2, 3], 2, direction=["bidirectional", "forward"], seed=0)
    trace = net.trace(np.zeros((2, 3, 4, 1)))
    assert trace.explain(-1, sequence=4).title == "Unit 0 of layer 1, step 3 of sequence 4"
    assert trace.explain(0, layer=0, reverse=True).title.startswith("Unit 0 of layer 0 (reverse)")
    with pytest.raises(elman.ElmanError, match=f"^{re.escape(sentence)}$"):
        trace.explain(**{"t": 0, **arguments})


def test_a_trace_without_steps_explains_nothing():
    trace = elman.Network(1, 2, 2, seed=0).trace(np.zeros((0, 1)))
    with pytest.raises(
        elman.ArgumentError, match=r"^t: expected a step, got 0: the trace has none"
    ):
        trace.explain(0)
