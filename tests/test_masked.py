"""Steps that are not real: what their outputs are, and that a network says which kind it means."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

import elman
from elman import _format
from elman.cli import report

HALVES = {"forward": 1, "reverse": 1, "bidirectional": 2}


def network(masked="zero", direction="forward", **options):
    options = {"output_size": 2, "seed": 0, **options}
    return elman.Network(3, 4, direction=direction, masked=masked, **options)


# --- the attribute --------------------------------------------------------------------------------


def test_masked_is_an_attribute_of_a_network():
    assert elman.Network(3, 4, 2).masked == "hold"
    net = network()
    assert net.masked == "zero"
    tensors = net.tensors()
    weights = [tuple(tensors[f"layers.0.{name}"] for name in ("W_xh", "W_hh", "b_h"))]
    readout = tensors["readout.W_hy"], tensors["readout.b_y"]
    for same in (
        elman.Network.from_weights(weights, readout, masked="zero"),
        elman.Network.from_tensors(tensors, masked="zero"),
        net.replace(metadata={"a": "b"}),
        net.replace(masked="hold").replace(masked="zero"),
        net.astype("f8").astype("f4"),
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        copy.deepcopy(net),
    ):
        assert same.masked == "zero"
        assert same == net
        assert hash(same) == hash(net)
    assert elman.Network.from_weights(weights, readout).masked == "hold"
    assert net.replace(masked="hold").masked == "hold"


def test_networks_that_differ_only_in_masked_are_not_equal():
    assert network("hold") != network("zero")
    assert hash(network("hold")) != hash(network("zero"))


def test_the_repr_says_only_zero():
    assert "masked" not in repr(network("hold"))
    assert repr(network("zero")) == (
        "Network(3 -> 4 tanh -> 2 sigmoid, float32, 42 parameters, masked='zero')"
    )


def test_a_trained_network_keeps_it():
    x = np.ones((2, 5, 3), "f4")
    trained = elman.train(network(), x, np.full((2, 5, 2), 0.5, "f4"), epochs=1, seed=0).network
    assert trained.masked == "zero"
    fitted = elman.ridge_readout(network(output_activation="identity"), x, np.ones((2, 5, 2)))
    assert fitted.masked == "zero"


@pytest.mark.parametrize("masked", ["hold", "zero"])
def test_a_file_keeps_it(tmp_path, masked):
    net = network(masked)
    net.save(tmp_path / "m.safetensors", golden=np.ones((5, 3)))
    read = elman.load(tmp_path / "m.safetensors", verify=True)
    assert read.masked == masked
    assert read == net


def test_a_file_with_another_word_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(_format.dumps(network()).replace(b'\\"zero\\"', b'\\"gone\\"'))
    with pytest.raises(
        elman.ModelFormatError, match="network: masked: expected hold or zero, got 'gone'"
    ):
        elman.load(path)


@pytest.mark.parametrize("wrong", ["keep", "Zero", "", None, 0, True, ["zero"]])
def test_other_values_are_refused(wrong):
    said = r"^masked: expected 'hold' or 'zero', got "
    tensors = network().tensors()
    calls = [
        lambda: network(wrong),
        lambda: elman.Network.from_tensors(tensors, masked=wrong),
    ]
    if wrong is not None:  # the network's own
        x = np.ones((4, 3))
        calls += [
            lambda: network().replace(masked=wrong),
            lambda: network().run(x, masked=wrong),
            lambda: network().run([x], masked=wrong),
            lambda: network().verify(x, masked=wrong),
            lambda: elman.reference.run(network(), x, mask=[1, 1, 0, 1], masked=wrong),
        ]
    for call in calls:
        with pytest.raises(elman.ArgumentError, match=said):
            call()


def test_info_says_it(tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    for masked, lines in (("hold", 0), ("zero", 1)):
        network(masked).save(path)
        report.info(str(path), False)
        assert len(re.findall("^masked +zero$", capsys.readouterr().out, re.M)) == lines
        report.info(str(path), True)
        assert json.loads(capsys.readouterr().out)["masked"] == masked


def test_the_name_in_keras_is_explained():
    with pytest.raises(TypeError, match=r'zero_output_for_mask.*masked="zero"'):
        elman.Network(3, 4, 2, zero_output_for_mask=True)


def runs(net, x, mask, **options):
    """Yield the outputs of every call that takes a mask."""
    yield net.run(x, mask=mask, **options).output
    yield net.run(x, mask=mask, threads=2, out=np.empty((3, 5, 2), "f4"), **options).output
    yield np.stack([run.output for run in net.run(list(x), mask=list(mask), **options)])
    flat = net.run(x.reshape(15, 3), mask=mask.ravel(), offsets=[0, 5, 10, 15], **options)
    yield flat.output.reshape(3, 5, 2)


@pytest.mark.parametrize("own", ["hold", "zero"])
@pytest.mark.parametrize("direction", HALVES)
def test_a_run_takes_the_network_s_own(rng, own, direction):
    net = network(own, direction)
    x = rng.standard_normal((3, 5, 3)).astype("f4")
    mask = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    want = {kind: network("hold", direction).run(x, mask=mask, masked=kind).output
            for kind in ("hold", "zero")}  # fmt: skip
    assert (want["hold"] != want["zero"]).any()
    for output in runs(net, x, mask):
        np.testing.assert_array_equal(output, want[own])
    for kind in want:
        for output in runs(net, x, mask, masked=kind):
            np.testing.assert_array_equal(output, want[kind])
        np.testing.assert_allclose(
            elman.reference.run(net, x, mask=mask, masked=kind).output, want[kind], atol=1e-6
        )
        assert net.verify(x, mask=mask, masked=kind).ok
    np.testing.assert_allclose(elman.reference.run(net, x, mask=mask).output, want[own], atol=1e-6)
    assert net.verify(x, mask=mask).ok
    run = net.run(x, mask=mask, return_hidden=True)
    assert elman.reference.verify(net, x, run.output, run.hidden, mask=mask).ok


# --- the same steps in ONNX and Keras -------------------------------------------------------------


def padded_graph(onnx, direction, last):
    """Return RNN(X, lengths), Gemm, Sigmoid; of every step (T, B, 1), or of Y[-1] (B, 1)."""
    make, D, H = onnx.helper.make_node, 1 + (direction == "bidirectional"), 2

    def numbers(*shape):
        return np.linspace(-0.9, 1.1, np.prod(shape), dtype="f4").reshape(shape)

    constants = {
        "W": numbers(D, H, 1),
        "R": numbers(D, H, H),
        "B": numbers(D, 2 * H),
        "M": numbers(D * H, 1),
        "c": np.array([0.75], "f4"),
        "shape": np.array([0, 0, -1]),
        "end": np.array(-1),
    }
    nodes = [
        make("RNN", [*"XWRB", "lengths"], ["Y"], hidden_size=H, direction=direction),
        make("Transpose", ["Y"], ["Z"], perm=[0, 2, 1, 3]),
        make("Reshape", ["Z", "shape"], ["h"]),
        *[make("Gather", ["h", "end"], ["top"], axis=0)] * last,
        make("MatMul", ["top" if last else "h", "M"], ["p"]),
        make("Add", ["p", "c"], ["q"]),
        make("Sigmoid", ["q"], ["y"]),
    ]
    value, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph = onnx.helper.make_graph(
        nodes,
        "padded",
        [
            value("X", kinds.FLOAT, ["T", "N", 1]),
            value("lengths", kinds.INT32, ["N"]),
        ],
        [value("y", kinds.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


LENGTHS = np.array([4, 2], "i4")
PADDED = np.arange(-4, 4, dtype="f4").reshape(4, 2, 1) / 4
OF_RUNTIME = {  # of padded_graph, by ONNX Runtime 1.32
    "forward": [
        [0.53260344, 0.6481628],
        [0.78542435, 0.858446],
        [0.85695004, 0.6791787],
        [0.9212061, 0.6791787],
    ],
    "bidirectional": [
        [0.93028027, 0.9410014],
        [0.9278213, 0.91420496],
        [0.95055765, 0.6791787],
        [0.94774365, 0.6791787],
    ],
}


@pytest.mark.parametrize("direction", OF_RUNTIME)
def test_an_onnx_graph_with_lengths_reads_out_zeros(direction):
    onnx = pytest.importorskip("onnx")
    want = np.array(OF_RUNTIME[direction])
    x, mask = PADDED.swapaxes(0, 1), np.arange(4) < LENGTHS[:, None]
    for last in (False, True):
        net = elman.from_onnx(padded_graph(onnx, direction, last))
        assert net.masked == "zero"
        run = net.run(x, mask=mask, outputs="last" if last else "all")
        expected = want[-1] if last else want.T
        np.testing.assert_allclose(run.output[..., 0], expected, rtol=0, atol=1e-6)
        assert net.verify(x, mask=mask).ok


@pytest.mark.parametrize("direction", OF_RUNTIME)
@pytest.mark.parametrize("last", [False, True])
def test_onnx_runtime_gives_the_same_at_every_step(direction, last):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = padded_graph(onnx, direction, last)
    session = runtime.InferenceSession(model.SerializeToString())
    (want,) = session.run(None, {"X": PADDED, "lengths": LENGTHS})
    stored = np.array(OF_RUNTIME[direction])[..., None]
    np.testing.assert_allclose(want, stored[-1] if last else stored, rtol=0, atol=1e-6)


def test_an_onnx_model_keeps_it():
    onnx = pytest.importorskip("onnx")
    net = network()
    model = elman.to_onnx(net)
    assert elman.from_onnx(model) == net
    assert elman.from_onnx(elman.to_onnx(network("hold"))) == network("hold")
    assert not elman.to_onnx(network("hold")).metadata_props
    onnx.helper.set_model_props(model, {"elman.masked": "gone"})
    with pytest.raises(
        elman.ModelFormatError, match="masked: expected 'hold' or 'zero', got 'gone'"
    ):
        elman.from_onnx(model)
    onnx.helper.set_model_props(model, {"elman.masked": "zero"})
    model.metadata_props.add(key="elman.masked", value="hold")
    with pytest.raises(elman.ModelFormatError, match=r"expected one elman\.masked, got 2"):
        elman.from_onnx(model)


def keras_stacks(k):
    """Yield layers, and what their outputs at masked steps are."""

    def rnn(**options):
        return k.SimpleRNN(
            4, **{"return_sequences": True, "bias_initializer": "random_normal", **options}
        )

    zero = {"zero_output_for_mask": True}
    yield [rnn()], "hold"
    yield [rnn(**zero)], "zero"
    yield [rnn(), rnn()], "hold"
    yield [rnn(**zero), rnn(**zero)], "zero"
    yield [rnn(), rnn(**zero)], "zero"
    yield [rnn(**zero), rnn()], "hold"
    yield [k.Bidirectional(rnn())], "zero"
    yield [k.Bidirectional(rnn()), k.Bidirectional(rnn())], "zero"
    yield [rnn(), k.Bidirectional(rnn())], "zero"
    yield [k.Bidirectional(rnn()), rnn()], "hold"
    yield [rnn(return_sequences=False)], "hold"
    yield [rnn(return_sequences=False, **zero)], "zero"
    yield [k.Bidirectional(rnn()), rnn(return_sequences=False, **zero)], "zero"


@pytest.mark.slow  # importing Keras takes ten seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' own, of NumPy
def test_keras_gives_the_same_at_every_step(rng, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    keras = pytest.importorskip("keras")
    k = keras.layers
    x = rng.standard_normal((6, 9, 3)).astype("f4")
    mask = rng.random((6, 9)) < 0.6
    mask[0], mask[1], mask[2, :3], mask[3, -3:] = True, False, False, False
    x[~mask] = 7
    for head in (None, "sigmoid", "softmax"):
        for layers, kind in keras_stacks(k):
            dense = [k.Dense(3, head, bias_initializer="random_normal")] * (head is not None)
            model = keras.Sequential([keras.Input((None, 3)), k.Masking(7), *layers, *dense])
            want = keras.ops.convert_to_numpy(model(x))
            model.save(tmp_path / "model.keras")
            net = elman.from_keras(tmp_path / "model.keras")
            assert net.masked == kind
            run = net.run(x, mask=mask, outputs="last" if want.ndim == 2 else "all")
            np.testing.assert_allclose(run.output, want, rtol=0, atol=2e-6)
