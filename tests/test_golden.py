"""Examples in model files, checked when the file is loaded."""

import json

import numpy as np
import pytest
import safetensors.numpy

import elman


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=[8, 5], output_size=2, seed=0)


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 20, 3)).astype(np.float32)


def _changed(data, change=lambda arrays: None, **metadata):
    """Return the bytes of a model file with other tensors or metadata."""
    arrays = safetensors.numpy.load(data)
    change(arrays)
    return safetensors.numpy.save(arrays, {**_metadata(data), **metadata})


def _metadata(data):
    """Return the metadata of a safetensors file."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def _saved(tmp_path, net, x):
    path = tmp_path / "saved.safetensors"
    net.save(path, golden=x)
    return path.read_bytes()


def _written(tmp_path, data):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return path


def test_a_network_gives_the_bits_of_its_example(net, x, tmp_path):
    net.save(tmp_path / "model.safetensors", golden=x)
    assert elman.load(tmp_path / "model.safetensors", verify=True) == net


def test_every_fused_set_gives_the_bits_of_scalar(x, tmp_path, fused_isas):
    for writer in fused_isas:
        with elman.use_isa(writer):
            net = elman.Network(input_size=3, hidden_size=40, output_size=2, seed=0)
            net.save(tmp_path / "model.safetensors", golden=x)
        for reader in fused_isas:
            with elman.use_isa(reader):
                assert elman.load(tmp_path / "model.safetensors", verify=True).isa == reader


def test_the_example_changes_nothing_else(net, x, tmp_path):
    net.save(tmp_path / "model.safetensors", golden=x)
    loaded = elman.load(tmp_path / "model.safetensors")
    assert loaded == net
    loaded.save(tmp_path / "again.safetensors")
    net.save(tmp_path / "plain.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "plain.safetensors"
    ).read_bytes()


def test_one_sequence_and_any_dtype_are_examples(net, tmp_path):
    net.save(tmp_path / "model.safetensors", golden=[[1, 2, 3], [4, 5, 6]])
    assert elman.load(tmp_path / "model.safetensors", verify=True) == net


@pytest.mark.parametrize("name", ["golden.output", "golden.hidden", "layers.0.W_hh"])
@pytest.mark.skipif(elman.isa() == "sse2", reason="its multiply-add is not fused: no stored bits")
def test_another_bit_is_refused(net, x, tmp_path, name):
    def change(arrays):
        arrays[name].reshape(-1)[3] = np.nextafter(arrays[name].reshape(-1)[3], np.float32(9))

    data = _changed(_saved(tmp_path, net, x), change)
    path = _written(tmp_path, data)
    elman.load(path)
    with pytest.raises(elman.VerificationError, match=r"^the example in the file: expected"):
        elman.load(path, verify=True)


@pytest.mark.parametrize("another", [{"numerics": 0}, {"fused": None}], ids=["numerics", "fused"])
def test_another_build_s_example_is_judged_by_the_bound_of_rounding(net, x, tmp_path, another):
    data = _saved(tmp_path, net, x)
    rules = json.dumps(json.loads(_metadata(data)["golden"]) | another)

    def add(error):
        def change(arrays):
            arrays["golden.output"][0, 5, 0] += np.float32(error)

        return _written(tmp_path, _changed(data, change, golden=rules))

    assert elman.load(add(1e-7), verify=True) == net
    with pytest.raises(elman.VerificationError, match=r"output, sequence 0, step 5, unit 0"):
        elman.load(add(1e-4), verify=True)


def test_a_file_without_an_example_cannot_be_verified(net, tmp_path):
    net.save(tmp_path / "model.safetensors")
    with pytest.raises(elman.ModelFormatError, match=r"expected .*golden.*got none"):
        elman.load(tmp_path / "model.safetensors", verify=True)


def _drop(arrays):
    del arrays["golden.hidden"]


def _narrow(arrays):
    arrays["golden.x"] = arrays["golden.x"][..., :2].copy()


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        (_drop, {}, "'golden.hidden'"),
        (_narrow, {}, r"'golden.x': expected .*\(\.\.\., T, 3\), got \(2, 20, 2\)"),
        (None, {"golden": "{"}, "metadata 'golden': expected .*JSON"),
        (None, {"golden": "[" * 100_000}, "metadata 'golden': the JSON is nested too deeply"),
        (None, {"golden": "[]"}, "metadata 'golden': expected a JSON object"),
        (None, {"golden": "{}"}, "metadata 'golden': expected .*'numerics'"),
    ],
)
def test_a_damaged_example_is_one_sentence(net, x, tmp_path, change, metadata, message):
    data = _changed(_saved(tmp_path, net, x), change or (lambda arrays: None), **metadata)
    with pytest.raises(elman.ModelFormatError, match=message):
        elman.load(_written(tmp_path, data), verify=True)


@pytest.mark.parametrize("shape", [(4, 2), (3,), (0, 3)])
def test_an_invalid_golden_input_is_one_sentence_and_leaves_the_file(net, tmp_path, shape):
    path = tmp_path / "model.safetensors"
    net.save(path)
    before = path.read_bytes()
    with pytest.raises(elman.ShapeError, match=r"^golden: expected \(..., T, 3\)"):
        net.save(path, golden=np.ones(shape))
    assert path.read_bytes() == before
