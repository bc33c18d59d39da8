"""Elman as a backend of ONNX: ONNX's own tests of RNN, and everything that they leave out."""

from __future__ import annotations

import importlib
import math
import warnings

import numpy as np
import pytest

import elman

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa

from conformance import backend  # noqa: E402
from fixtures.onnx_graphs import helper, reference_rnn, rnn  # noqa: E402


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# The functions by ONNX's names, with their parameters and those of the attributes.
FUNCTIONS = {
    "Tanh": (np.tanh, [], []),
    "Relu": (lambda z: np.maximum(z, 0), [], []),
    "Sigmoid": (sigmoid, [], []),
    "Affine": (lambda z: 0.6 * z + 0.2, [0.6], [0.2]),
    "LeakyRelu": (lambda z: np.where(z < 0, 0.2 * z, z), [0.2], []),
    "ThresholdedRelu": (lambda z: np.where(z > 0.3, z, 0), [0.3], []),
    "ScaledTanh": (lambda z: 1.5 * np.tanh(0.7 * z), [1.5], [0.7]),
    "HardSigmoid": (lambda z: np.clip(0.3 * z + 0.4, 0, 1), [0.3], [0.4]),
    "Elu": (lambda z: np.where(z < 0, 0.8 * np.expm1(z), z), [0.8], []),
    "Softsign": (lambda z: z / (1 + np.abs(z)), [], []),
    "Softplus": (lambda z: np.log1p(np.exp(z)), [], []),
}
DEFAULTS = {
    "LeakyRelu": lambda z: np.where(z < 0, 0.01 * z, z),
    "ThresholdedRelu": lambda z: np.where(z > 1, z, 0),
    "HardSigmoid": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "Elu": lambda z: np.where(z < 0, np.expm1(z), z),
}


def random_arrays(
    rng, *, T=5, N=3, I=2, H=4, D=1, dtype="f4", lengths=True, initial=True, bias=True
):
    """Return the inputs of an RNN, layout 0."""
    arrays = {
        "X": rng.normal(size=(T, N, I)),
        "W": rng.normal(size=(D, H, I)),
        "R": rng.normal(size=(D, H, H)) / math.sqrt(H),
        "B": rng.normal(size=(D, 2 * H)) if bias else None,
        "initial_h": rng.normal(size=(D, N, H)) if initial else None,
    }
    arrays = {k: None if a is None else a.astype(dtype) for k, a in arrays.items()}
    arrays["sequence_lens"] = np.array([T, 2, 0], "i4")[:N] if lengths else None
    return arrays


def check(arrays, attributes, functions, *, reverse=(False,), clip=np.inf, layout=0, atol=2e-6):
    """Hold a run of a graph with everything as an input against the specification."""
    Y, Y_h = reference_rnn(**arrays, functions=functions, reverse=reverse, clip=clip)
    if layout == 1:
        arrays = dict(arrays, X=arrays["X"].swapaxes(0, 1))
        if arrays["initial_h"] is not None:
            arrays["initial_h"] = arrays["initial_h"].swapaxes(0, 1)
        Y, Y_h = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1)
    given = [name for name, array in arrays.items() if array is not None]
    prepared = backend.prepare(rnn(arrays, attributes, given=given))
    results = prepared.run({name: arrays[name] for name in given})
    for result, expected in zip(results, (Y, Y_h), strict=True):
        assert result.dtype == arrays["X"].dtype
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, atol=atol, rtol=atol)


# --- ONNX's own tests -----------------------------------------------------------------------------


def check_node_tests(cases):
    assert len(cases) >= 4
    for case in cases:
        assert backend.is_compatible(case.model), case.name
        prepared = backend.prepare(case.model)
        for inputs, expected in case.data_sets:
            for output, reference in zip(prepared.run(inputs), expected, strict=True):
                np.testing.assert_allclose(
                    output, reference, rtol=case.rtol, atol=case.atol, err_msg=case.name
                )


def test_onnxs_own_tests_of_rnn_pass():
    node = importlib.import_module("onnx.backend.test.case.node")
    importlib.import_module("onnx.backend.test.case.node.rnn")  # which adds them to the list
    check_node_tests([case for case in node._NodeTestCases if "_rnn_" in case.name])


@pytest.mark.slow
def test_onnxs_own_tests_of_rnn_pass_as_its_loader_makes_them():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it makes the tests of every operator
        cases = load_model_tests(kind="node")
    check_node_tests([case for case in cases if "_rnn_" in case.name])


# --- what they leave out --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("clip", [None, 0.4])
def test_every_activation_with_its_parameters(rng, name, clip):
    function, alpha, beta = FUNCTIONS[name]
    attributes = {"activations": [name]}
    attributes |= {"activation_alpha": alpha} if alpha else {}
    attributes |= {"activation_beta": beta} if beta else {}
    attributes |= {"clip": clip} if clip else {}
    check(random_arrays(rng), attributes, [function], clip=clip or np.inf)


@pytest.mark.parametrize("name", DEFAULTS)
def test_parameters_that_are_left_out_are_those_of_onnxs_operators(rng, name):
    check(random_arrays(rng), {"activations": [name]}, [DEFAULTS[name]])


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_option_together(rng, layout, direction, lengths, initial, bias, dtype):
    D = 2 if direction == "bidirectional" else 1
    arrays = random_arrays(rng, D=D, dtype=dtype, lengths=lengths, initial=initial, bias=bias)
    attributes = {"direction": direction, "layout": layout, "hidden_size": 4}
    attributes["activations"] = ["Tanh", "LeakyRelu"][:D]
    attributes["activation_alpha"] = [0.2][: D - 1]
    if not attributes["activation_alpha"]:
        del attributes["activation_alpha"]
    reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    functions = [np.tanh, FUNCTIONS["LeakyRelu"][0]][:D]
    atol = 1e-12 if dtype == "f8" else 2e-6
    if dtype == "f8" and D == 2:
        atol = 1e-7  # attributes are float32: 0.2 is meant, and 0.2 is read
    check(arrays, attributes, functions, reverse=reverse, layout=layout, atol=atol)


def test_values_of_alpha_may_stand_for_every_activation_or_for_those_that_take_one(rng):
    arrays = random_arrays(rng, D=2)
    attributes = {"direction": "bidirectional", "activations": ["Tanh", "Elu"]}
    functions = [np.tanh, FUNCTIONS["Elu"][0]]
    for alpha in ([0.8], [0.0, 0.8]):
        attributes["activation_alpha"] = alpha
        check(arrays, attributes, functions, reverse=[False, True])


@pytest.mark.parametrize("opset", [1, 7, 14, 22])
def test_every_version_of_the_operator(rng, opset):
    arrays = random_arrays(rng, lengths=False)
    attributes = {"output_sequence": 1} if opset == 1 else {}
    given = [name for name, array in arrays.items() if array is not None]
    proto = rnn(arrays, attributes, given=given, opset=opset)
    Y, _ = reference_rnn(**arrays, functions=[np.tanh], reverse=[False], clip=np.inf)
    result, _ = backend.prepare(proto).run({name: arrays[name] for name in given})
    np.testing.assert_allclose(result, Y, atol=2e-6)


def test_half_precision_is_computed_in_float32_and_rounded(rng):
    arrays = random_arrays(rng, dtype="f2", lengths=False)
    check(arrays, {}, [np.tanh], atol=2e-3)


def test_bfloat16_is_computed_in_float32_and_rounded(rng):
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    arrays = random_arrays(rng, dtype=dtype, lengths=False)
    given = [name for name, array in arrays.items() if array is not None]
    wide = {n: None if a is None else a.astype("f8") for n, a in arrays.items()}
    Y, _ = reference_rnn(**wide, functions=[np.tanh], reverse=[False], clip=np.inf)
    result, _ = backend.prepare(rnn(arrays, given=given)).run(
        [arrays[n] for n in given_order(given)]
    )
    assert result.dtype == dtype
    np.testing.assert_allclose(result.astype("f8"), Y, atol=2e-2)


def given_order(given):
    """Return names in the order of RNN's inputs."""
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    return [name for name in order if name in given]


@pytest.mark.parametrize("outputs", [("Y",), ("", "Y_h"), ("Y", "Y_h")])
@pytest.mark.parametrize("constant", [True, False])
def test_outputs_may_be_left_out_and_weights_be_constants(rng, outputs, constant):
    arrays = random_arrays(rng, lengths=False, initial=False)
    Y, Y_h = reference_rnn(**arrays, functions=[np.tanh], reverse=[False], clip=np.inf)
    given = ("X",) if constant else ("X", "W", "R", "B")
    prepared = backend.prepare(rnn(arrays, given=given, outputs=outputs))
    results = prepared.run([arrays[name] for name in given])
    expected = [a for name, a in (("Y", Y), ("Y_h", Y_h)) if name in outputs]
    for result, reference in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, reference, atol=2e-6)


@pytest.mark.parametrize(("T", "N"), [(0, 3), (1, 1), (3, 0)])
def test_no_steps_and_no_sequences_are_possible(rng, T, N):
    check(random_arrays(rng, T=T, N=N, lengths=False), {}, [np.tanh])


# --- the interface --------------------------------------------------------------------------------


def test_the_interface_is_that_of_onnx(rng):
    from onnx.backend.base import Backend, BackendRep

    arrays = random_arrays(rng, lengths=False, initial=False)
    proto = rnn(arrays)
    assert issubclass(backend.ElmanBackend, Backend)
    assert isinstance(backend.prepare(proto), BackendRep)
    assert backend.supports_device("CPU")
    assert backend.supports_device("CPU:0")
    assert not backend.supports_device("CUDA")
    assert not backend.supports_device("abacus")
    with pytest.raises(elman.ArgumentError, match="device: expected 'CPU', got 'CUDA'"):
        backend.prepare(proto, "CUDA")
    assert backend.is_compatible(proto)
    assert not backend.is_compatible(rnn(arrays, {"activations": ["Gelu"]}))
    Y, _ = backend.run_model(proto, [arrays["X"]])
    node = helper.make_node("RNN", ["X", "W", "R", "B"], ["Y"])
    (again,) = backend.run_node(node, [arrays[n] for n in "XWRB"])
    assert np.array_equal(Y, again)


def test_wrong_inputs_are_named(rng):
    arrays = random_arrays(rng, lengths=False)
    prepared = backend.prepare(rnn(arrays, given=("X", "initial_h")))
    X, initial_h = arrays["X"], arrays["initial_h"]
    with pytest.raises(elman.ArgumentError, match="inputs: expected X, initial_h, got 1 arrays"):
        prepared.run([X])
    with pytest.raises(elman.ArgumentError, match="inputs: 'initial_h' is missing"):
        prepared.run({"X": X})
    with pytest.raises(elman.ArgumentError, match="inputs: expected X, initial_h, got 'Z'"):
        prepared.run({"X": X, "initial_h": initial_h, "Z": X})
    with pytest.raises(elman.ShapeError, match="X: expected 3 axes"):
        prepared.run([X[0], initial_h])
    with pytest.raises(elman.ShapeError, match="initial_h: expected 3 sequences, 1 directions"):
        prepared.run([X, initial_h[:, :2]])
    with pytest.raises(elman.DTypeError, match="X: expected float16, bfloat16, float32 or float64"):
        prepared.run([X.astype(int), initial_h])
