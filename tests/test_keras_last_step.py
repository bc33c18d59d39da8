"""Keras models that take the last step themselves, `x[:, -1]`, and low-rank updates in `.h5`."""

from __future__ import annotations

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop import keras as interop

pytest.importorskip("h5py")

from fixtures.keras_files import (
    dense,
    hdf5,
    keras_file,
    layer,
    legacy_file,
    recurrent,
    sequential,
    weights,
)


def sliced(*item, **settings):
    """Return a functional model of a SimpleRNN, a part of its output, and a Dense layer."""

    def node(name, *more):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
        return [{"args": [tensor, *more], "kwargs": {}}]

    layers = [
        layer("InputLayer", name="x") | {"inbound_nodes": []},
        recurrent(**settings) | {"inbound_nodes": node("x")},
        layer("GetItem") | {"inbound_nodes": node("simplernn", list(item))},
        dense() | {"inbound_nodes": node("getitem")},
    ]
    config = {"layers": layers, "input_layers": ["x", 0, 0], "output_layers": ["dense", 0, 0]}
    return {"class_name": "Functional", "config": {"name": "model"} | config}


def cut(start=None):
    return {"class_name": "__slice__", "config": {"start": start, "stop": None, "step": None}}


ALL = {"class_name": "__ellipsis__", "config": {}}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("item", [(cut(), -1), (cut(), -1, cut()), (ALL, -1, cut())])
def test_the_last_step_is_read(tmp_path, rng, item, backwards):
    arrays = weights(rng)
    path = keras_file(tmp_path, sliced(*item, go_backwards=backwards), arrays)
    W, U, b, V, c = (array.astype("f8") for array in arrays.values())
    x, h = rng.standard_normal((6, 3)), np.zeros(4)
    for row in x[:: -1 if backwards else 1]:
        h = np.tanh(row @ W + h @ U + b)
    net = elman.from_keras(path)
    got = net(x)[0] if backwards else net(x, outputs="last")
    np.testing.assert_allclose(got, h @ V + c, rtol=0, atol=1e-5)
    how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
    assert ("getitem", "", f"use {how}") in [tuple(row) for row in interop.read(path).rows]


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ((cut(), 0), r"x\[:, 0\]"),
        ((cut(), cut(-1)), r"x\[:, slice\]"),
        ((cut(), cut(), -1), r"x\[:, :, -1\]"),
        ((), r"x\[\]"),
        (({"class_name": ["a"], "config": 3}, -1), r"x\[.*, -1\]"),
    ],
)
def test_other_parts_are_refused(tmp_path, rng, item, shown):
    path = keras_file(tmp_path, sliced(*item), weights(rng))
    with pytest.raises(
        UnsupportedModelError, match=rf"'getitem' \(GetItem\): .*x\[:, -1\], got {shown}"
    ):
        elman.from_keras(path)


def low_rank(rng, b_shape=(2, 2), **settings):
    """Return a config with an update of rank 2, and arrays as Keras orders them in `.h5`."""
    config = sequential(recurrent(), dense(lora_rank=2, **settings))
    shapes = {
        "simplernn": {"kernel": (3, 4), "recurrent_kernel": (4, 4), "bias": (4,)},
        "dense": {
            "bias": (2,),
            "lora_kernel_a": (4, 2),
            "lora_kernel_b": b_shape,
            "kernel": (4, 2),
        },
    }
    return config, {
        name: {kind: rng.standard_normal(shape).astype("f4") for kind, shape in kinds.items()}
        for name, kinds in shapes.items()
    }


@pytest.mark.parametrize(("settings", "factor"), [({}, 1.0), ({"lora_alpha": 6}, 3.0)])
def test_a_low_rank_update_in_a_legacy_file_is_added(tmp_path, rng, settings, factor):
    config, arrays = low_rank(rng, **settings)
    net = elman.from_keras(legacy_file(tmp_path, config, arrays, version="3.15.0"))
    own = {kind: array.astype("f8") for kind, array in arrays["dense"].items()}
    want = own["kernel"] + factor * own["lora_kernel_a"] @ own["lora_kernel_b"]
    np.testing.assert_allclose(net.readout.W_hy, want.T, rtol=1e-6, atol=1e-6)


def test_a_low_rank_update_of_another_shape_is_refused(tmp_path, rng):
    config, arrays = low_rank(rng, b_shape=(3, 2))
    with pytest.raises(ModelFormatError, match=r"'dense': expected a low-rank update of \(4, 2\)"):
        elman.from_keras(legacy_file(tmp_path, config, arrays, version="3.15.0"))


def test_messages_show_few_of_many_names(tmp_path, rng):
    many = [dense(name=f"{i}{'n' * 900}") for i in range(200)]
    path = keras_file(tmp_path, sequential(recurrent(), *many), weights(rng))
    with pytest.raises(
        ArgumentError, match=r"^readout: expected .* and 194 more\], as in"
    ) as error:
        elman.from_keras(path, readout="x")
    assert len(str(error.value)) < 1000
    arrays = {
        f"layers/{'r' * 900}{i}/cell/vars/{k}": np.ones((3, 3)) for i in range(9) for k in "01"
    }
    (tmp_path / "m.weights.h5").write_bytes(hdf5(arrays))
    with pytest.raises(
        ArgumentError, match=r"^layers: expected the order of .* and 3 more\]"
    ) as error:
        elman.from_keras(tmp_path / "m.weights.h5", activation="tanh")
    assert len(str(error.value)) < 1000
