"""`Network.trace`: every number of a run."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest

import elman
from elman import _core, reference
from fixtures import directions
from fixtures.activations import GENERAL, UNTRAINABLE
from fixtures.bits import assert_same_bits
from fixtures.exact_sums import affine, fused, unfused
from fixtures.networks import make_inputs, make_network

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity", *GENERAL, *UNTRAINABLE)
TINY = {"float32": 2.0**-100, "float64": 2.0**-900}


# --- what the numbers must be ---------------------------------------------------------------------


def applied(f, sums):
    """Return f of sums (..., n) by the core."""
    if f.name not in ("softmax", "log_softmax"):
        return _core.activate((f.name, f.alpha, f.beta, f.clip), np.ascontiguousarray(sums))
    unit = np.eye(sums.shape[-1], dtype=sums.dtype)
    net = elman.Network.from_weights(
        [(unit, 0 * unit, None)], (unit, None), activation="identity", output_activation=f
    )
    return net(sums[..., None, :])[..., 0, :]


def faded(h):
    """Return states with the core's rule for tiny ones."""
    return np.where(np.abs(h) < TINY[h.dtype.name], h.dtype.type(0), h)


def states_before(h, start, real, backwards):
    """Return the states (..., T, H) from which the steps start, walking from step to step."""
    before, now = np.empty_like(h), start
    T = h.shape[-2]
    for t in reversed(range(T)) if backwards else range(T):
        before[..., t, :] = now
        now = np.where(real[..., t, None], h[..., t, :], now)
    return before


def assert_sums(got, c, W, v):
    """Assert that sums (N, rows) are c + W v within the rounding bound.

    The bound: Higham, Accuracy and Stability of Numerical Algorithms, sections 3.1 and 4.2, with
    the roundings of the reference in float64.
    """
    c, W, v = (np.asarray(a, np.float64) for a in (0 if c is None else c, W, v))
    k, u = W.shape[1] + 4, np.finfo(got.dtype).eps / 2 + 2.0**-53
    bound = k * u / (1 - k * u) * (np.abs(c) + np.abs(v) @ np.abs(W).T) + 2.0**-1000
    assert (np.abs(got - (c + v @ W.T)) <= bound + 2.0**-149).all()


def check_half(half, part, real, start, backwards):
    """Check the numbers of half a layer, except h and x, which are compared with the run."""
    before = states_before(part.h, start, real, backwards)
    assert_same_bits(part.h_before, before)
    for sums in (part.u, part.recurrent, part.a):
        assert sums.shape == part.h.shape
        assert np.isnan(sums[~real]).all()
    assert_same_bits(faded(applied(half.activation, part.a[real])), part.h[real])
    assert_same_bits(part.h[~real], before[~real])
    assert_sums(part.u[real], half.b_h, half.W_xh, part.x[real])
    assert_sums(part.recurrent[real], None, half.W_hh, before[real])
    assert_sums(part.a[real], part.u[real], half.W_hh, before[real])


def check_readout(net, trace, real, kind):
    """Check the sums of the readout from the states, and the outputs from the sums."""
    if net.readout is None:
        assert trace.readout is None
        return
    a, y = trace.readout.a, trace.y
    shown = real | (kind != "padding")
    assert np.isnan(a[~shown]).all()
    assert not y[~shown].any()
    top = trace.hidden[..., net.state_size - net.readout.W_hy.shape[1] :]
    top = np.where(real[..., None] | (kind != "zero"), top, 0)
    assert_sums(a[shown], net.readout.b_y, net.readout.W_hy, top[shown])
    outputs = applied(net.readout.activation, a[shown])
    if net.output_std is not None:
        outputs = outputs * net.output_std
    if net.output_mean is not None:
        outputs = outputs + net.output_mean
    assert_same_bits(outputs, y[shown])


def check(net, x, state=None, lengths=None, mask=None, masked=None, threads=1):
    """Check a trace against the run, the core's activations, and sums in NumPy."""
    options = {"state": state, "lengths": lengths, "mask": mask, "masked": masked}
    trace = net.trace(x, **options, threads=threads)
    run = net.run(x, **options, return_hidden=True)
    assert_same_bits(trace.y, run.output)
    assert_same_bits(trace.hidden, run.hidden)
    assert_same_bits(trace.state, run.state)
    x = np.asarray(x).astype(net.dtype)
    assert_same_bits(trace.x, x)
    *batch, T, _ = x.shape
    real = np.broadcast_to(True if mask is None else mask, (*batch, T))
    if lengths is not None:
        real = np.arange(T) < np.asarray(lengths)[..., None]
    assert (trace.real == real).all()
    if state is None:
        state = 0 if net.initial_state is None else net.initial_state
    start = np.broadcast_to(np.asarray(state, net.dtype), (*batch, net.state_size))
    assert_same_bits(trace.initial_state, np.array(start))

    below = reference.forward.scale_inputs(net, x)
    states = zip(net.split_state(run.hidden), net.split_state(start), strict=True)
    for layer, part in zip(net.layers, trace.layers, strict=True):
        assert (layer.reverse is None) == (part.reverse is None)
        outputs = []
        for half, numbers in ((layer, part), (layer.reverse, part.reverse)):
            if half is None:
                continue
            h, first = next(states)
            assert_same_bits(numbers.x, below)
            assert_same_bits(numbers.h, h)
            check_half(half, numbers, real, first, half.direction == "reverse")
            outputs.append(h)
        below = np.concatenate(outputs, axis=-1)
    kind = "padding" if mask is None else masked or net.masked
    assert trace.kind == kind
    check_readout(net, trace, real, kind)
    return trace


# --- every network --------------------------------------------------------------------------------


@pytest.mark.parametrize("f", ACTIVATIONS, ids=str)
def test_the_activation_of_a_sum_is_the_state_and_the_output(rng, dtype, f):
    net = make_network(
        rng, hidden=(5, 3), activation=f, output_activation=f, dtype=dtype, scale=2.0
    )
    check(net, make_inputs(rng, net, 2, 9))


@pytest.mark.parametrize("g", ["softmax", "log_softmax"])
def test_the_readout_may_be_a_distribution(rng, dtype, g):
    net = make_network(rng, outputs=5, output_activation=g, dtype=dtype)
    check(net, make_inputs(rng, net, 9))


@pytest.mark.parametrize("hidden", [(1,), (4,), (33, 5), (2, 1, 17)], ids=str)
@pytest.mark.parametrize("outputs", [None, 1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_every_shape_with_and_without_its_parts(rng, dtype, hidden, outputs, bias):
    for scaling in (False, True):
        net = make_network(
            rng,
            hidden=hidden,
            outputs=outputs,
            bias=bias,
            dtype=dtype,
            scaling=scaling,
            initial_state=scaling,
        )
        check(net, make_inputs(rng, net, 6))
        check(net, make_inputs(rng, net, 3, 6), state=rng.standard_normal((3, net.state_size)))


@pytest.mark.parametrize("kind", range(len(directions.KINDS)))
def test_every_direction(rng, dtype, kind):
    net = directions.make_network(dtype, **directions.KINDS[kind])
    x = rng.standard_normal((4, 7, net.input_size)).astype(dtype)
    check(net, x)
    check(net, x[0])
    check(net, x, state=rng.standard_normal(net.state_size), lengths=[7, 0, 3, 1])
    mask = rng.random((4, 7)) < 0.6
    mask[1] = False
    for masked in (None, "hold", "zero"):
        check(net, x, mask=mask, masked=masked)


@pytest.mark.parametrize("masked", [None, "hold", "zero"])
def test_steps_that_are_not_real_hold_the_state(rng, dtype, masked):
    net = make_network(rng, hidden=(6, 4), dtype=dtype, scaling=True, initial_state=True)
    x = make_inputs(rng, net, 3, 8)
    mask = np.array([[0, 0, 1, 1, 0, 1, 0, 0], [1] * 8, [0] * 8], bool)
    x[~mask] = np.nan  # whatever they contain
    check(net, x, mask=mask, masked=masked)
    check(net, x[0], mask=mask[0], masked=masked)
    check(net.replace(masked="zero"), x, mask=mask, masked=masked)
    trace = check(net, np.nan_to_num(x), lengths=[8, 0, 5])
    assert trace.lengths.tolist() == [8, 0, 5]
    assert check(net, x[1], lengths=3).lengths.tolist() == 3
    assert net.trace(np.nan_to_num(x)).lengths is None


@pytest.mark.parametrize("shape", [(0,), (1,), (0, 5), (3, 0), (2, 3, 1), (2, 3, 4)], ids=str)
def test_any_batch_axes_and_any_number_of_steps(rng, dtype, shape):
    for direction in ("forward", "bidirectional"):
        net = elman.Network(2, [4, 3], 2, direction=direction, dtype=dtype, seed=0)
        trace = check(net, rng.standard_normal((*shape, 2)).astype(dtype))
        assert trace.layers[1].a.shape == (*shape, 3)


def test_the_sums_have_the_order_of_the_contract(isa, dtype):
    """Against exact arithmetic, on every instruction set."""
    rng = np.random.default_rng(7)
    multiply_add = unfused if isa == "sse2" else fused
    for I, H, O in ((9, 3, 2), (17, 17, 1), (2, 65, 3)):
        net = make_network(rng, inputs=I, hidden=(H,), outputs=O, dtype=dtype)
        trace = net.trace(make_inputs(rng, net, 2))
        (layer,), (part,) = net.layers, trace.layers
        zeros = np.zeros(H, dtype)
        for t in range(2):
            u = affine(layer.b_h, layer.W_xh, part.x[t], multiply_add)
            assert_same_bits(part.u[t], u)
            assert_same_bits(part.a[t], affine(u, layer.W_hh, part.h_before[t], multiply_add))
            assert_same_bits(
                trace.readout.a[t],
                affine(net.readout.b_y, net.readout.W_hy, part.h[t], multiply_add),
            )
        # of 0 W_hh h only the sign of zero is not that of exact arithmetic
        assert_same_bits(
            part.recurrent[1], affine(zeros, layer.W_hh, part.h_before[1], multiply_add)
        )


def test_a_sum_may_be_smaller_than_any_state(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    net = elman.Network.from_weights(
        [([[1.0]], [[0.5]], None)], ([[1.0]], None), activation="identity", dtype=dtype
    )
    trace = net.trace(np.array([[tiny], [-tiny]], dtype))
    assert trace.layers[0].a.tolist() == [[tiny], [-tiny]]
    assert trace.layers[0].h.tolist() == [[0.0], [0.0]]


def test_nan_and_infinity_in_data_propagate(dtype):
    net = elman.Network(2, 3, 1, dtype=dtype, seed=0)
    trace = net.trace([[0.0, 1.0], [np.inf, 0.0], [np.nan, 0.0], [0.0, 0.0]])
    assert np.isinf(trace.layers[0].u[1]).all()
    assert np.isnan(trace.layers[0].u[2]).all()
    assert np.isfinite(trace.layers[0].u[3]).all()
    assert np.isnan(trace.layers[0].a[3]).all()


def test_threads_change_nothing(rng, dtype):
    net = elman.Network(5, [70, 8], 2, direction=["forward", "bidirectional"], dtype=dtype, seed=0)
    x = rng.standard_normal((3, 200, 5)).astype(dtype)
    one, three = net.trace(x), check(net, x, threads=3)
    for a, b in zip(one.layers, three.layers, strict=True):
        for name in ("u", "recurrent", "a"):
            assert_same_bits(getattr(a, name), getattr(b, name))


# --- forms of the inputs --------------------------------------------------------------------------


def test_a_list_of_sequences_is_a_padded_batch(rng, dtype):
    net = make_network(rng, hidden=(6, 4), dtype=dtype)
    x = [rng.standard_normal((T, 3)) for T in (4, 0, 7)]
    trace = net.trace(x)
    assert trace.lengths.tolist() == [4, 0, 7]
    masks = [rng.random(len(each)) < 0.5 for each in x]
    masked = net.trace(x, mask=masks)
    for b, (each, mask) in enumerate(zip(x, masks, strict=True)):
        alone = check(net, each)
        assert_same_bits(trace.y[b, : len(each)], alone.y)
        assert_same_bits(trace.layers[1].a[b, : len(each)], alone.layers[1].a)
        assert np.isnan(trace.layers[1].a[b, len(each) :]).all()
        alone = check(net, each, mask=mask)
        assert_same_bits(masked.state[b], alone.state)
        assert_same_bits(masked.layers[1].a[b, : len(each)], alone.layers[1].a)


def test_a_data_frame_of_several_sequences_is_a_padded_batch(rng):
    table = elman.Table(inputs=("a", "b"), sequence="run")
    net = elman.Network(2, 4, 1, table=table, seed=0)
    x = rng.standard_normal((6, 2)).astype(np.float32)
    names = np.array(["one", "two", "one", "one", "two", "three"], object)
    frame = elman.Frame({"run": names, "a": x[:, 0], "b": x[:, 1]})
    trace = net.trace(frame)
    assert trace.lengths.tolist() == [3, 2, 1]
    assert_same_bits(trace.x[0], x[[0, 2, 3]])
    assert_same_bits(trace.y[1, :2], net(x[[1, 4]]))
    mask = np.array([1, 0, 0, 1, 1, 1], bool)
    assert net.trace(frame, mask=mask).real.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_integers_lists_and_a_single_frame_are_read_as_by_run():
    net = elman.Network(2, 4, 1, seed=0)
    frame = elman.Frame({"a": [1, 2, 3], "b": [0, 1, 0]})
    for x in (frame, [[1, 0], [2, 1], [3, 0]], np.array([[1, 0], [2, 1], [3, 0]], np.int8)):
        trace = net.trace(x)
        assert_same_bits(trace.x, np.array([[1, 0], [2, 1], [3, 0]], np.float32))
        assert_same_bits(trace.y, net(x))


def test_the_arrays_are_the_traces_own():
    net = elman.Network(2, 4, 1, seed=0)
    x = np.ones((3, 2), np.float32)
    trace = net.trace(x)
    mask = np.ones(3, bool)
    masked = net.trace(x, mask=mask)
    x[:], mask[:] = 9, False
    assert (trace.x == 1).all()
    assert (trace.layers[0].x == 1).all()
    assert masked.real.all()


# --- errors ---------------------------------------------------------------------------------------

X = np.zeros((2, 5, 2), np.float32)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"x": np.zeros((5, 3))}, "x: expected (..., T, 2), got (5, 3)"),
        ({"x": np.zeros((2, 5))}, "time comes before features"),
        ({"x": np.array([["a", "b"]])}, "x: expected real numbers, got dtype <U1"),
        ({"x": [np.zeros((5, 2)), np.zeros((5, 3))]}, "x[1]: expected (T, 2), got (5, 3)"),
        ({"x": [np.zeros((5, 2))], "lengths": [5]}, "lengths: expected None with a list"),
        ({"x": [np.zeros((5, 2))], "mask": [np.ones(4)]}, "mask[0]: expected (5,), got (4,)"),
        ({"state": np.zeros(3)}, "state: expected"),
        ({"lengths": [6, 1]}, "lengths: expected"),
        ({"lengths": [5, 1], "mask": np.ones((2, 5), bool)}, "mask: expected None with lengths"),
        ({"masked": "both"}, "masked: expected 'hold' or 'zero', got 'both'"),
        ({"threads": 0}, "threads: expected at least 1, got 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_input_is_refused_as_by_run(options, sentence):
    net = elman.Network(2, 4, 1, seed=0)
    with pytest.raises(elman.ElmanError) as error:
        net.trace(**{"x": X, **options})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


# --- a trace as a table, as values for JSON, and in a notebook ------------------------------------


def every_kind(rng):
    net = elman.Network(2, [3, 2], 2, direction=["bidirectional", "forward"], seed=0)
    x = rng.standard_normal((2, 4, 2)).astype(np.float32)
    return net.trace(x, lengths=[4, 2])


def test_to_dict_goes_through_json_and_back(rng):
    trace = every_kind(rng)
    values = json.loads(json.dumps(trace.to_dict(), allow_nan=False))
    assert values["layers"][0]["u"][1][3] == [None] * 3
    assert values["lengths"] == [4, 2]
    assert values["kind"] == "padding"
    assert values["layers"][1]["reverse"] is None

    def array(numbers):
        return np.array(numbers, object).astype(np.float32)  # None becomes NaN

    for name in ("x", "y", "hidden", "state", "initial_state"):
        assert_same_bits(array(values[name]), getattr(trace, name))
    assert_same_bits(array(values["readout"]["a"]), trace.readout.a)
    parts = [*trace.layers, trace.layers[0].reverse]
    for part, given in zip(parts, [*values["layers"], values["layers"][0]["reverse"]], strict=True):
        for name in ("x", "u", "recurrent", "a", "h", "h_before"):
            assert_same_bits(array(given[name]), getattr(part, name))


def test_infinity_is_none_in_json():
    net = elman.Network(1, 1, None, activation="relu", seed=0)
    assert net.trace([[np.inf]]).to_dict()["x"] == [[None]]
    assert net.trace([[np.inf]]).to_dict()["readout"] is None


def test_to_frame_has_a_row_for_every_step(rng):
    pytest.importorskip("pandas")
    trace = every_kind(rng)
    frame = trace.to_frame()
    assert frame["sequence"].tolist() == [0] * 4 + [1] * 4
    assert frame["step"].tolist() == [0, 1, 2, 3] * 2
    for name, array in (
        ("x[1]", trace.x[..., 1]),
        ("layers[0].u[2]", trace.layers[0].u[..., 2]),
        ("layers[0].reverse.a[0]", trace.layers[0].reverse.a[..., 0]),
        ("layers[1].recurrent[1]", trace.layers[1].recurrent[..., 1]),
        ("layers[1].h[0]", trace.layers[1].h[..., 0]),
        ("readout.a[1]", trace.readout.a[..., 1]),
        ("y[0]", trace.y[..., 0]),
    ):
        assert_same_bits(frame[name].to_numpy(), array.ravel())
    assert len(frame.columns) == 2 + 2 + 4 * (3 + 3 + 2) + 2 + 2
    alone = elman.Network(2, 3, None, seed=0).trace(np.ones((4, 2))).to_frame()
    assert "sequence" not in alone.columns
    assert len(alone) == 4


def test_the_repr_is_short_and_a_notebook_shows_a_table(rng):
    trace = every_kind(rng)
    assert repr(trace) == (
        "Trace(2 -> 3 tanh bidirectional -> 2 tanh -> 2 sigmoid, x (2, 4, 2), y (2, 4, 2), float32)"
    )
    assert repr(trace.layers[0]) == "LayerTrace(x (2, 4, 2), h (2, 4, 3), with a reverse half)"
    assert repr(trace.readout) == "ReadoutTrace(a (2, 4, 2))"
    table = trace._repr_html_()
    assert table.count("<tr>") == 1 + 1 + 3 * 4 + 1 + 1
    assert re.search(r"<td>layers\[0\]\.reverse\.u</td><td>\(2, 4, 3\)</td>", table)
    assert "2 -&gt; 3 tanh" in table
    empty = elman.Network(2, 3, 1, seed=0).trace(np.zeros((0, 2)))
    assert "<td>(0, 3)</td><td></td>" in empty._repr_html_()


def test_a_trace_is_public_and_immutable():
    trace = elman.Network(1, 1, 1, seed=0).trace([[0.0]])
    assert isinstance(trace, elman.Trace)
    with pytest.raises(AttributeError):
        trace.y = None
    layer = trace.layers[0]
    assert layer.a is layer.a  # computed once
    arrays = (trace.x, trace.y, trace.hidden, trace.state, trace.real, trace.readout.a)
    for array in (*arrays, layer.x, layer.u, layer.recurrent, layer.a, layer.h, layer.h_before):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_pickled_trace_has_the_same_numbers(rng):
    trace = every_kind(rng)
    twin = pickle.loads(pickle.dumps(trace))
    assert twin.network == trace.network
    assert twin.to_dict() == trace.to_dict()  # also what is computed when asked for
    assert str(twin.explain(1)) == str(trace.explain(1))
