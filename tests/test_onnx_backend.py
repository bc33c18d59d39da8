"""elman as a backend of ONNX: ONNX's own tests of RNN, and cases they leave out."""

from __future__ import annotations

import importlib
import math
import warnings

import numpy as np
import pytest

import elman

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.any_isa

from conformance import backend, reference  # noqa: E402
from fixtures.onnx_graphs import helper, rnn  # noqa: E402


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


def expected(arrays, attributes=None):
    """Return the specified outputs; inputs may be None."""
    values = reference.rnn(attributes or {}, {n: a for n, a in arrays.items() if a is not None})
    return values["Y"], values["Y_h"]


def check(arrays, attributes=None, *, atol=2e-6):
    """Compare a run of a graph, with every tensor as an input, with the specification."""
    given = [name for name, array in arrays.items() if array is not None]
    prepared = backend.prepare(rnn(arrays, attributes, given=given))
    results = prepared.run({name: arrays[name] for name in given})
    for result, wanted in zip(results, expected(arrays, attributes), strict=True):
        assert result.dtype == arrays["X"].dtype
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, atol=atol, rtol=atol)


# --- ONNX's own tests -----------------------------------------------------------------------------


def check_node_tests(cases):
    assert len(cases) >= 4
    for case in cases:
        assert backend.is_compatible(case.model), case.name
        prepared = backend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            for output, wanted in zip(prepared.run(inputs), outputs, strict=True):
                np.testing.assert_allclose(
                    output, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name
                )


def test_onnxs_own_tests_of_rnn_pass():
    node = importlib.import_module("onnx.backend.test.case.node")
    importlib.import_module("onnx.backend.test.case.node.rnn")  # adds them to the list
    check_node_tests([case for case in node._NodeTestCases if "_rnn_" in case.name])


@pytest.mark.slow
def test_onnxs_own_tests_of_rnn_pass_as_its_loader_makes_them():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it makes the tests of every operator
        cases = load_model_tests(kind="node")
    check_node_tests([case for case in cases if "_rnn_" in case.name])


# --- cases that they leave out --------------------------------------------------------------------


def test_the_weights_may_be_inputs_too(rng):
    """Activations, directions, lengths and layouts are in `test_onnx_conformance.py`."""
    check(random_arrays(rng, D=2), {"direction": "bidirectional", "hidden_size": 4})


def test_values_of_alpha_may_stand_for_every_activation_or_for_those_that_take_one(rng):
    arrays = random_arrays(rng, D=2)
    attributes = {"direction": "bidirectional", "activations": ["Tanh", "Elu"]}
    wanted, _ = expected(arrays, attributes | {"activation_alpha": [0.8]})
    given = [name for name, array in arrays.items() if array is not None]
    for alpha in ([0.8], [0.0, 0.8]):
        proto = rnn(arrays, attributes | {"activation_alpha": alpha}, given=given)
        result, _ = backend.prepare(proto).run({name: arrays[name] for name in given})
        np.testing.assert_allclose(result, wanted, atol=2e-6)


@pytest.mark.parametrize("opset", [1, 7, 14, 22])
def test_every_version_of_the_operator(rng, opset):
    arrays = random_arrays(rng, lengths=False)
    attributes = {"output_sequence": 1} if opset == 1 else {}
    given = [name for name, array in arrays.items() if array is not None]
    proto = rnn(arrays, attributes, given=given, opset=opset)
    Y, _ = expected(arrays)
    result, _ = backend.prepare(proto).run({name: arrays[name] for name in given})
    np.testing.assert_allclose(result, Y, atol=2e-6)


def test_half_precision_is_computed_in_float32_and_rounded(rng):
    arrays = random_arrays(rng, dtype="f2", lengths=False)
    check(arrays, atol=2e-3)


def test_bfloat16_is_computed_in_float32_and_rounded(rng):
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    arrays = random_arrays(rng, dtype=dtype, lengths=False)
    given = [name for name, array in arrays.items() if array is not None]
    wide = {n: None if a is None else a.astype("f8") for n, a in arrays.items()}
    Y, _ = expected(wide)
    result, _ = backend.prepare(rnn(arrays, given=given)).run(
        [arrays[n] for n in given_order(given)]
    )
    assert result.dtype == dtype
    np.testing.assert_allclose(result.astype("f8"), Y, atol=2e-2)


def given_order(given):
    """Return names in the order of RNN's inputs."""
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    return [name for name in order if name in given]


@pytest.mark.parametrize(
    ("outputs", "constant"), [(("Y",), True), (("", "Y_h"), False), (("Y", "Y_h"), True)]
)
def test_outputs_may_be_left_out_and_weights_be_constants(rng, outputs, constant):
    arrays = random_arrays(rng, lengths=False, initial=False)
    Y, Y_h = expected(arrays)
    given = ("X",) if constant else ("X", "W", "R", "B")
    prepared = backend.prepare(rnn(arrays, given=given, outputs=outputs))
    results = prepared.run([arrays[name] for name in given])
    wanted = [a for name, a in (("Y", Y), ("Y_h", Y_h)) if name in outputs]
    for result, array in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result, array, atol=2e-6)


@pytest.mark.parametrize(("T", "N"), [(0, 3), (1, 1), (3, 0)])
def test_no_steps_and_no_sequences_are_possible(rng, T, N):
    check(random_arrays(rng, T=T, N=N, lengths=False))


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
    with pytest.raises(elman.ArgumentError, match=r"^device: expected 'CPU'"):
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
    with pytest.raises(elman.ArgumentError, match=r"^inputs: expected X, initial_h, got 1"):
        prepared.run([X])
    with pytest.raises(elman.ArgumentError, match=r"^inputs: 'initial_h'"):
        prepared.run({"X": X})
    with pytest.raises(elman.ArgumentError, match=r"^inputs: expected X, initial_h, got 'Z'"):
        prepared.run({"X": X, "initial_h": initial_h, "Z": X})
    with pytest.raises(elman.ShapeError, match=r"^X: expected 3"):
        prepared.run([X[0], initial_h])
    with pytest.raises(elman.ShapeError, match=r"^initial_h: expected 3 .*, 1 "):
        prepared.run([X, initial_h[:, :2]])
    with pytest.raises(elman.DTypeError, match=r"^X: expected .*float16"):
        prepared.run([X.astype(int), initial_h])
