"""How `elman.compare` judges the steps of a source, from sources made here."""

import signal
import sys
import threading
import time

import numpy as np
import pytest

import elman
from elman._compare import steps
from elman.interop._source import Imported, Source, Trace

pytestmark = pytest.mark.any_isa

HOW = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
}


def _net(**changes):
    settings = {"input_size": 3, "hidden_size": [8, 5], "output_size": 2, "seed": 0}
    net = elman.Network(**(settings | changes))
    rng = np.random.default_rng(1)
    return net.replace(
        tensors={
            name: rng.normal(0, 0.3, a.shape).astype(net.dtype)
            for name, a in net.tensors().items()
            if a.ndim == 1
        }
    )


def _product(v, W, order):
    """Return W v: as NumPy adds it up, product by product from the end, or in two parts."""
    if order == "numpy":
        return (v @ W.T).astype(v.dtype)
    terms = (v[..., np.newaxis, :] * W).astype(v.dtype)
    if order == "halves":
        half = terms.shape[-1] // 2
        return _added(terms[..., :half]) + _added(terms[..., half:])
    return _added(terms[..., ::-1])


def _added(terms):
    result = np.zeros(terms.shape[:-1], terms.dtype)
    for k in range(terms.shape[-1]):
        result = result + terms[..., k]
    return result


def _source(net, dtype="float32", order="numpy", **changes):
    """Return a source that computes in a dtype, rounding after every operation."""
    if dtype == "bfloat16":
        kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    else:
        kind = np.dtype(dtype)

    def run(x, mask, taps):
        def cast(a):
            return np.asarray(a).astype(kind)

        below, hidden = cast(x), []
        for layer in net.layers:
            gives = []
            for half in (layer, layer.reverse):
                if half is None:
                    continue
                backwards = half is not layer or layer.direction == "reverse"
                h = np.zeros((len(x), len(half.W_hh)), kind)
                states = np.zeros((*x.shape[:2], len(half.W_hh)), kind)
                b = 0 if half.b_h is None else cast(half.b_h)
                for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
                    z = _product(h, cast(half.W_hh), order) + b
                    z = _product(below[:, t], cast(half.W_xh), order) + z
                    h = states[:, t] = cast(HOW[half.activation.name](z.astype(kind)))
                gives.append(states)
            below = np.concatenate(gives, axis=-1)
            hidden.append(below)
        W_hy, b_y = cast(net.readout.W_hy), cast(net.readout.b_y)
        output = cast(HOW[net.output_activation.name](_product(below, W_hy, order) + b_y))
        trace = Trace(
            "a source",
            [states.astype("f4" if kind.itemsize == 2 else kind) for states in hidden],
            output.astype("f4" if kind.itemsize == 2 else kind),
            [],
            dtype=dtype,
        )
        return trace._replace(**{name: change(trace) for name, change in changes.items()})

    return Imported(net, [], Source("torch", run))


def _steps(rng, B=3, T=20, I=3):
    return rng.standard_normal((B, T, I)).astype("f4")


@pytest.mark.parametrize("order", ["numpy", "end", "halves"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_any_order_of_sums_agrees(rng, order, activation, direction):
    net = _net(activation=activation, direction=direction)
    found = elman.compare(net, _source(net, order=order), _steps(rng))
    assert found.ok, found
    assert None not in found.layers


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_source_of_another_precision_agrees(rng, dtype):
    net = _net(dtype="float64" if dtype == "float64" else "float32")
    net = net.replace(tensors={n: steps.rounded(a, dtype) for n, a in net.tensors().items()})
    found = elman.compare(net, _source(net, dtype), _steps(rng))
    assert found.ok, found
    least = {"float16": 1e-4, "bfloat16": 1e-3, "float32": 1e-8, "float64": 1e-17}
    assert max(found.layers) > least[dtype]  # it does round


@pytest.mark.parametrize("small", [1e-2, 1e-4, 1e-6])
def test_numbers_that_underflow_in_half_precision_agree(rng, small):
    net = _net(activation="relu")
    weights = {n: small * a if a.ndim == 1 else 0.01 * a for n, a in net.tensors().items()}
    net = net.replace(tensors={n: steps.rounded(a, "float16") for n, a in weights.items()})
    found = elman.compare(net, _source(net, "float16"), small * _steps(rng))
    assert found.ok, found
    other = net.replace(tensors={"readout.b_y": net.readout.b_y + 0.01})
    assert not elman.compare(other, _source(net, "float16"), small * _steps(rng)).ok


def test_values_that_may_overflow_are_counted(rng):
    net = _net(activation="relu", output_activation="identity")
    x = _steps(rng)
    x[0] = (2e38, 2e38, 2e38)  # summands of half the largest number
    weights = {"layers.0.W_xh": np.tile(np.float32([0.9, -0.9, 1e-38]), (8, 1))}
    net = net.replace(tensors=weights)
    found = elman.compare(net, _source(net), x)
    assert found.ok, found
    assert found.not_judged > 0
    assert str(found).endswith(
        f"; {found.not_judged} values without a bound (overflow, NaN) were not judged"
    )
    found = elman.compare(net, _source(net), _steps(rng))
    assert found.not_judged == 0
    assert "overflow" not in str(found)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_follows_an_overflow_is_not_judged(rng, monkeypatch):
    # ONNX Runtime's relu of NaN is 0.
    monkeypatch.setitem(HOW, "relu", lambda z: np.fmax(z, 0))
    net = _net(hidden_size=16, activation="relu")
    wild = net.replace(tensors={"layers.0.W_hh": 1e4 * net.layers[0].W_hh})
    found = elman.compare(wild, _source(wild), _steps(rng))
    assert found.ok, found
    assert found.not_judged > 0
    wrong = wild.replace(tensors={"layers.0.b_h": wild.layers[0].b_h + 0.1})
    assert not elman.compare(wrong, _source(wild), _steps(rng)).ok


def test_a_chaotic_network_agrees_at_every_step_and_drifts_apart(rng):
    net = _net(hidden_size=64)
    net = net.replace(tensors={"layers.0.W_hh": 12 * net.layers[0].W_hh})
    found = elman.compare(net, _source(net, order="halves"), _steps(rng, T=200))
    assert found.ok
    assert found.free_running_difference > 0.01
    assert max(found.output, *found.layers) < 1e-5
    assert "it drifts apart, by" in str(found)
    wrong = net.replace(tensors={"layers.0.W_hh": _off(net.layers[0].W_hh, 1e-2)})
    assert not elman.compare(wrong, _source(net, order="halves"), _steps(rng, T=200)).ok


def test_thousands_of_inputs_agree(rng):
    net = _net(input_size=5000, hidden_size=8)
    x = _steps(rng, T=4, I=5000)
    found = elman.compare(net, _source(net, order="end"), x)
    assert found.ok, found
    wrong = net.replace(tensors={"layers.0.W_xh": _off(net.layers[0].W_xh, 0.1)})
    assert not elman.compare(wrong, _source(net, order="end"), x).ok


def _off(array, by):
    array = array.copy()
    array.flat[1] += by
    return array


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("by", [1e-3, 3e-5])
def test_one_wrong_weight_is_found_and_named(rng, direction, by):
    net = _net(direction=direction)
    x = _steps(rng)
    for name, array in net.tensors().items():
        wrong = net.replace(tensors={name: _off(array, by)})
        found = elman.compare(wrong, _source(net), x)
        assert not found.ok, name
        assert found.causes == [f"{name} has different values"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda net: {"layers.1.W_hh": net.layers[1].W_hh.T}, "layers.1.W_hh is transposed"),
        (lambda net: {"layers.0.b_h": 0 * net.layers[0].b_h}, "layers.0.b_h has different values"),
        (
            lambda net: {"layers.0.W_hh": net.layers[0].W_hh[::-1]},
            "layers.0.W_hh has different values",
        ),
    ],
)
def test_another_network_is_found(rng, change, cause):
    net = _net()
    found = elman.compare(net.replace(tensors=change(net)), _source(net), _steps(rng))
    assert not found.ok
    assert found.causes == [cause]


def test_another_activation_is_found(rng):
    net = _net()
    found = elman.compare(_net(activation="relu"), _source(net), _steps(rng))
    assert found.causes == [f"the source used tanh in layer {i}, the network relu" for i in (0, 1)]


def test_another_direction_is_found(rng):
    net = _net(hidden_size=5)
    found = elman.compare(_net(hidden_size=5, direction="reverse"), _source(net), _steps(rng))
    assert found.causes == ["layer 0 is forward in the source, reverse in the network"]


def test_another_number_of_layers_is_found_where_no_states_are_shown(rng):
    net = _net(hidden_size=5)
    source = _source(net, hidden=lambda trace: [])
    found = elman.compare(_net(hidden_size=[5, 5]), source, _steps(rng))
    assert found.causes == ["the source has 1 layers, the network 2"]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0, 3), (0, 5, 3)])
def test_a_comparison_of_nothing_is_refused(shape):
    net = _net()
    with pytest.raises(elman.ShapeError, match=r"^x: expected at least one sequence and one step"):
        elman.compare(net, _source(net), np.zeros(shape))


def test_two_biases_that_cancel_are_rounding(rng):
    net = _net(hidden_size=8)
    one = np.float32(3000) + np.arange(8, dtype="f4") / 7
    other = net.layers[0].b_h - one
    net = net.replace(tensors={"layers.0.b_h": one + other})
    source = _source(net, vectors=lambda trace: [one, other], hidden=lambda trace: _cancelled())

    def _cancelled():
        h, states = np.zeros((3, 8), "f4"), []
        for t in range(20):
            z = (x[:, t] @ net.layers[0].W_xh.T + one) + (h @ net.layers[0].W_hh.T + other)
            h = np.tanh(z)
            states.append(h)
        return [np.stack(states, axis=1)]

    x = _steps(rng)
    output = HOW["sigmoid"](_cancelled()[0] @ net.readout.W_hy.T + net.readout.b_y)
    run = source.source.run
    known = Source("torch", lambda *given: run(*given)._replace(output=output))
    found = elman.compare(net, source._replace(source=known), x)
    assert found.ok, found
    assert found.layers[0] > 1e-5
    unknown = Source("torch", lambda *given: run(*given)._replace(output=output, vectors=[]))
    assert not elman.compare(net, source._replace(source=unknown), x).ok


@pytest.mark.parametrize("hide", [[0], [1], [0, 1]])
def test_layers_that_are_not_shown_are_computed(rng, hide):
    net = _net()

    def hidden(trace):
        return [None if i in hide else states for i, states in enumerate(trace.hidden)]

    found = elman.compare(net, _source(net, hidden=hidden), _steps(rng))
    assert found.ok
    assert [i for i, d in enumerate(found.layers) if d is None] == hide
    for name, array in net.tensors().items():
        wrong = net.replace(tensors={name: _off(array, 1e-2)})
        assert not elman.compare(wrong, _source(net, hidden=hidden), _steps(rng)).ok, name


@pytest.mark.parametrize("step", [-1, 0])
def test_an_output_of_one_step(rng, step):
    net = _net(direction="reverse" if step == 0 else "forward")
    source = _source(net, output=lambda trace: trace.output[:, step], step=lambda trace: step)
    assert elman.compare(net, source, _steps(rng)).ok
    other = _source(net, output=lambda trace: trace.output[:, 5], step=lambda trace: step)
    assert not elman.compare(net, other, _steps(rng)).ok


@pytest.mark.parametrize("masked", ["hold", "zero"])
def test_steps_that_the_source_masks(rng, masked):
    net = _net(hidden_size=8).replace(masked=masked)
    x, mask = _steps(rng), rng.random((3, 20)) < 0.7
    ours = net.run(x, mask=mask, return_hidden=True)
    shown = np.where(mask[..., np.newaxis], ours.hidden, 0)  # as with zero_output_for_mask
    trace = Trace("a source", [shown], ours.output, [], mask=mask)
    source = Imported(net, [], Source("keras", lambda x, mask, taps: trace))
    assert elman.compare(net, source, x).ok
    assert elman.compare(net, source, x, mask=mask).ok
    other = {"hold": "zero", "zero": "hold"}[masked]
    found = elman.compare(net, source, x, mask=mask, masked=other)
    assert "masked outputs are" in found.causes[0]


@pytest.mark.parametrize(("off", "ok"), [(2e-8, True), (1e-5, False)])
def test_what_a_source_computes_again_at_masked_steps_may_round_differently(rng, off, ok):
    net = _net(hidden_size=[4, 3], activation=["tanh", "relu"], output_activation="identity")
    small = {"readout.b_y": np.zeros(2, "f4"), "layers.1.W_hh": np.zeros((3, 3), "f4")}
    small["layers.1.b_h"] = np.full(3, 1e-3, "f4") - net.layers[1].W_xh.sum(axis=1)
    start = np.ones(4, "f4")  # and held: z is a sum of 1 and more, and h is 0.001
    small["initial_state"] = np.concatenate([start, np.full(3, 1e-3, "f4")])
    net = net.replace(tensors=small)
    x, mask = _steps(rng), np.zeros((3, 20), bool)
    mask[:, 10:] = True
    ours = net.run(x, mask=mask, return_hidden=True)
    lower, top = ours.hidden[..., :4], ours.hidden[..., 4:].copy()
    top[:, 3] += np.float32(off)  # computed from the held states of the layer below
    W_hy = net.readout.W_hy
    trace = Trace("a source", [lower, top], top @ W_hy.T, [], mask=mask)
    source = Imported(net, [], Source("keras", lambda x, mask, taps: trace))
    assert elman.compare(net, source, x, mask=mask, masked="hold").ok is ok


def test_a_result_that_is_not_a_number_differs(rng):
    net = _net()
    found = elman.compare(
        net, _source(net, output=lambda trace: trace.output * np.nan), _steps(rng)
    )
    assert not found.ok


def test_a_wrong_shape_is_one_sentence(rng):
    net = _net()
    source = _source(net, hidden=lambda trace: [states[..., :4] for states in trace.hidden])
    with pytest.raises(elman.ShapeError, match=r"^source: expected results of the shape"):
        elman.compare(net, source, _steps(rng))


def test_a_fixed_number_of_sequences_is_run_in_parts(rng):
    net = _net()
    run, sizes = _source(net).source.run, []

    def parts(x, mask, taps):
        sizes.append(x.shape)
        return run(x, mask, taps)

    source = Imported(net, [], Source("keras", parts, lambda: (4, 20)))
    assert elman.compare(net, source, _steps(rng, B=6)).ok
    assert sizes == [(4, 20, 3)] * 2
    with pytest.raises(elman.ShapeError, match=r"^x: expected 20 steps, which the source fixes"):
        elman.compare(net, source, _steps(rng, T=21))


def test_inputs_that_an_embedding_cannot_give_are_one_sentence(rng):
    net = _net()
    source = _source(net, x=lambda trace: np.eye(3, dtype="f4")[np.zeros((3, 20), int)])
    with pytest.raises(elman.ArgumentError, match=r"^x: expected one-hot inputs"):
        elman.compare(net, source, _steps(rng))


def test_an_error_of_a_framework_is_one_sentence(rng):
    def run(x, mask, taps):
        raise RuntimeError("the layer\n   expects 7 axes" + 400 * "x")

    net = _net()
    source = Imported(net, [], Source("keras", run))
    message = (
        r"^the source: Keras cannot run it \(RuntimeError: the layer expects 7 axesx+ \.\.\.\)$"
    )
    with pytest.raises(elman.UnsupportedModelError, match=message):
        elman.compare(net, source, _steps(rng))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of threads")
def test_ctrl_c_ends_a_source_that_ignores_signals(rng):
    begun = threading.Event()

    def run(x, mask, taps):
        begun.set()
        time.sleep(60)

    def interrupt():
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    net = _net()
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        elman.compare(net, Imported(net, [], Source("torch", run)), _steps(rng))


def test_a_given_tolerance_is_the_least_bound(rng):
    net = _net()
    wrong = net.replace(tensors={"readout.b_y": _off(net.readout.b_y, 1e-3)})
    assert not elman.compare(wrong, _source(net), _steps(rng)).ok
    assert elman.compare(wrong, _source(net), _steps(rng), tolerance=1e-3).ok
