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
