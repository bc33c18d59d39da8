"""Networks from PyTorch and back: the meaning of its files and modules, and required options."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, DTypeError, ShapeError, UnsupportedModelError
from elman.interop import torch as interop
from elman.interop._source import Said
from fixtures.torch_files import make_state_dict

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "interop_torch.npz")
CASES = [name.removesuffix(".pt") for name in MADE if name.endswith(".pt")]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def said(case):
    """Return the required options for a case's file."""
    given = {"activation": case.split("-")[0]}
    if "alone" not in case:
        given["output_activation"] = "identity"
    return given | ({"readout": "fc"} if "nobias" in case else {})


@pytest.fixture
def state_dict(rng):
    """The weights of a small model, by PyTorch's names."""
    return make_state_dict(rng)


SAID = {"activation": "tanh", "output_activation": "identity"}


# --- files that PyTorch wrote ---------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_pytorch_gives_the_outputs_of_pytorch(case, ending, tmp_path):
    path = tmp_path / f"model{ending}"
    path.write_bytes(MADE[case + ending].tobytes())
    net = elman.from_torch(path, **said(case))
    assert set(net.directions) == {"bidirectional" if "bidirectional" in case else "forward"}
    run = net.run(MADE[f"{case}.x"])
    assert net.dtype == ("float64" if "float64" in case else "float32")
    tolerance = TOLERANCE[net.dtype.name]
    np.testing.assert_allclose(run.output, MADE[f"{case}.output"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(run.state, MADE[f"{case}.state"], rtol=0, atol=tolerance)
    assert np.abs(run.output).max() > 0.1


def test_reading_files_needs_no_pytorch(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(MADE["tanh-2-bfloat16.pt"].tobytes())
    code = f"""
import sys
sys.modules["torch"] = None
import elman
net = elman.from_torch({str(path)!r}, activation="tanh", output_activation="softmax")
print(net.input_size, net.hidden_sizes, net.output_activation, net.dtype)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 (5, 5) softmax float32\n"


def test_the_two_biases_are_added_in_float64_and_rounded_once(state_dict):
    b_ih, b_hh = (state_dict[f"rnn.bias_{kind}_l0"] for kind in ("ih", "hh"))
    b_ih[:] = [1, 1, -0.0, -0.0]
    b_hh[:] = [2**-24 + 2**-40, 2**-25, 0.0, -0.0]
    (layer,) = elman.from_torch(state_dict, **SAID).layers
    assert layer.b_h.tolist() == [1 + 2**-23, 1, 0, 0]
    assert np.signbit(layer.b_h).tolist() == [False, False, True, True]
    (wide,) = elman.from_torch(state_dict, dtype="float64", **SAID).layers
    assert wide.b_h[0] == 1 + 2**-24 + 2**-40


def test_the_rows_say_what_became_of_each_part(state_dict):
    imported = interop.read(state_dict, Said(**SAID))
    assert [tuple(row) for row in imported.rows] == [
        ("rnn.weight_ih_l0", "layers.0.W_xh", ""),
        ("rnn.weight_hh_l0", "layers.0.W_hh", ""),
        ("rnn.bias_ih_l0", "layers.0.b_h", "added to the other bias in float64"),
        ("rnn.bias_hh_l0", "layers.0.b_h", "added to the other bias in float64"),
        ("fc.weight", "readout.W_hy", ""),
        ("fc.bias", "readout.b_y", ""),
    ]
    assert imported.network == elman.from_torch(state_dict, **SAID)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.", "a.b.c."])
def test_the_names_of_wrappers_do_not_matter(rng, wrapper):
    plain = make_state_dict(rng)
    wrapped = {wrapper + name: array for name, array in plain.items()}
    want = elman.from_torch(plain, **SAID)
    assert elman.from_torch(wrapped, **SAID) == want
    if "." in wrapper and "a" not in wrapper:
        assert elman.from_torch(wrapped, prefix="rnn", readout="fc", **SAID) == want


def test_an_rnn_that_is_not_part_of_a_module_has_no_prefix(rng):
    net = elman.from_torch(make_state_dict(rng, prefix=""), prefix="", **SAID)
    assert net == elman.from_torch(make_state_dict(np.random.default_rng(1990)), **SAID)


def test_of_several_rnns_one_must_be_named(rng):
    two = make_state_dict(rng, "encoder.rnn.") | make_state_dict(rng, "decoder.rnn.", "out.")
    with pytest.raises(ArgumentError, match=r"^source: .*'encoder.rnn', 'decoder.rnn'.*prefix="):
        elman.from_torch(two, **SAID)
    with pytest.raises(ArgumentError, match=r"^readout: expected .*got 'fc', 'out'"):
        elman.from_torch(two, prefix="decoder.rnn", **SAID)
    net = elman.from_torch(two, prefix="decoder.rnn.", readout="out", **SAID)
    np.testing.assert_array_equal(net.layers[0].W_hh, two["decoder.rnn.weight_hh_l0"])
    np.testing.assert_array_equal(net.readout.W_hy, two["out.weight"])


def test_several_rnns_are_stacked_in_the_order_of_their_names_in_prefix(rng):
    lower = make_state_dict(rng, "b.", "x.", I=3, H=6)
    upper = make_state_dict(rng, "a.", "fc.", I=6, H=4)
    tensors = {k: v for k, v in (upper | lower).items() if not k.startswith("x.")}
    net = elman.from_torch(tensors, prefix=("b", "a"), **SAID)
    assert (net.input_size, net.hidden_sizes) == (3, (6, 4))
    listed = {
        k.replace("b.", "rnns.0.", 1).replace("a.", "rnns.1.", 1): v for k, v in tensors.items()
    }
    with pytest.raises(ArgumentError, match=r"^source: expected .*got 'rnns\.1', 'rnns\.0'"):
        elman.from_torch(listed, **SAID)
    assert elman.from_torch(listed, prefix="rnns", **SAID) == net


def test_a_checkpoint_with_two_models_is_ambiguous(rng):
    both = {"model": make_state_dict(rng), "ema": make_state_dict(rng), "step": 7}
    with pytest.raises(ArgumentError, match=r"^source: expected .*got 'model', 'ema'"):
        elman.from_torch(both, **SAID)
    net = elman.from_torch(both, prefix="ema.rnn", **SAID)
    assert net == elman.from_torch(both["ema"], **SAID)


def test_other_tensors_are_left_out_only_if_both_parts_are_named(state_dict, rng):
    state_dict["norm.weight"] = np.ones(4, np.float32)
    with pytest.raises(ArgumentError, match=r"^source: .*'fc', got 'norm.weight'"):
        elman.from_torch(state_dict, **SAID)
    with pytest.raises(ArgumentError, match=r"^source: .*got 'norm.weight'"):
        elman.from_torch(state_dict, readout="fc", **SAID)
    imported = interop.read(state_dict, Said(prefix="rnn", readout="fc", **SAID))
    (row,) = (row for row in imported.rows if row.source == "norm.weight")
    assert (row.target, row.note[:8]) == ("", "left out")
    assert "results differ" in row.note


def test_a_weight_without_a_bias_may_be_an_embedding(state_dict):
    del state_dict["fc.bias"]
    with pytest.raises(ArgumentError, match=r"^readout: .*got fc.weight .*readout='fc'"):
        elman.from_torch(state_dict, **SAID)
    assert elman.from_torch(state_dict, readout="fc", **SAID).readout.b_y is None


def test_without_a_readout_the_output_is_the_state(state_dict):
    net = elman.from_torch(state_dict, activation="tanh", readout=False)
    assert net.readout is None
    assert net.layers[0].W_xh.shape == (4, 3)
    with pytest.raises(ArgumentError, match=r"^output_activation: expected none.*got 'tanh'"):
        elman.from_torch(state_dict, activation="tanh", readout=False, output_activation="tanh")


# --- required options and refused sources ---------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"output_activation": "identity"},
            r"^activation: expected .*'rnn'.*got none",
        ),
        ({"activation": "tanh"}, r"^output_activation: expected .*'fc'.*got none"),
        (SAID | {"prefix": "lstm"}, r"^prefix: expected .*'rnn', got 'lstm'"),
        (SAID | {"readout": "head"}, r"^readout: expected .*'fc', got 'head'"),
        (SAID | {"activation": ["tanh", "tanh"]}, r"^activation: expected .*got 2"),
    ],
)
def test_missing_or_wrong_options_are_one_sentence(state_dict, given, message):
    with pytest.raises(ArgumentError, match=message):
        elman.from_torch(state_dict, **given)


@pytest.mark.parametrize(("gates", "cell"), [(4, "LSTM"), (3, "GRU")])
def test_other_cells_are_refused_by_name(state_dict, gates, cell):
    for name in list(state_dict)[:4]:
        state_dict[name] = np.concatenate([state_dict[name]] * gates)
    with pytest.raises(UnsupportedModelError, match=rf"^rnn.weight_hh_l0: expected .*{cell}"):
        elman.from_torch(state_dict, **SAID)


def test_projections_of_states_are_refused(state_dict):
    state_dict["rnn.weight_hr_l0"] = np.ones((2, 4), np.float32)
    with pytest.raises(UnsupportedModelError, match=r"^rnn.weight_hr_l0: .*proj_size"):
        elman.from_torch(state_dict, **SAID)


def test_the_weights_of_a_layer_that_does_not_exist_are_refused(state_dict):
    state_dict["rnn.weight_ih_l2"] = np.ones((4, 4), np.float32)
    with pytest.raises(ArgumentError, match=r"^source: .*rnn.weight_ih_l2"):
        elman.from_torch(state_dict, **SAID)


@pytest.mark.parametrize("name", ["rnn.weight_ih_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"])
def test_a_missing_tensor_is_named(state_dict, name):
    del state_dict[name]
    with pytest.raises(ArgumentError, match=rf"^source: .*{name}"):
        elman.from_torch(state_dict, **SAID)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("rnn.weight_hh_l0", (4, 5), r"^rnn.weight_hh_l0: expected \(H, H\), got \(4, 5\)"),
        ("rnn.weight_hh_l0", (4,), r"rnn.weight_hh_l0: expected \(H, H\), got \(4,\)"),
        ("rnn.weight_ih_l0", (5, 3), r"rnn.weight_ih_l0: expected \(4, I\), got \(5, 3\)"),
        ("rnn.bias_hh_l0", (3,), r"rnn.bias_hh_l0: expected \(4,\), got \(3,\)"),
        ("fc.weight", (2, 5), r"^fc.weight: expected \(O, 4\).*got \(2, 5\)"),
        ("fc.bias", (3,), r"^fc.bias: expected \(2,\), got \(3,\)"),
    ],
)
def test_wrong_shapes_are_named(state_dict, name, shape, message):
    state_dict[name] = np.zeros(shape, np.float32)
    with pytest.raises(ShapeError, match=message):
        elman.from_torch(state_dict, **SAID)


def test_integer_and_nonfinite_weights_are_refused(state_dict):
    quantized = state_dict | {"rnn.weight_hh_l0": np.ones((4, 4), np.int8)}
    with pytest.raises(DTypeError, match=r"^rnn.weight_hh_l0: expected .*got int8"):
        elman.from_torch(quantized, **SAID)
    state_dict["fc.weight"][0, 0] = np.nan
    with pytest.raises(ArgumentError, match=r"^readout.W_hy: expected .*finite.*got nan"):
        elman.from_torch(state_dict, **SAID)
    assert np.isnan(elman.from_torch(state_dict, allow_nonfinite=True, **SAID).readout.W_hy[0, 0])


@pytest.mark.parametrize("source", [3, None, [1, 2], {1, 2}])
def test_a_source_of_another_type_is_a_type_error(source):
    with pytest.raises(TypeError, match=r"^source: expected"):
        elman.from_torch(source, **SAID)


def test_a_mapping_without_an_rnn_lists_what_it_holds():
    with pytest.raises(ArgumentError, match=r"^source: .*got 'conv.weight'"):
        elman.from_torch({"conv.weight": np.ones((1, 1, 3)), "epoch": 3}, **SAID)
    with pytest.raises(ArgumentError, match=r"^source: .*got none"):
        elman.from_torch({}, **SAID)


def test_a_mapping_that_holds_itself_is_refused(state_dict):
    state_dict["self"] = state_dict
    with pytest.raises(elman.LimitError, match=r"^source: expected .*16"):
        elman.from_torch(state_dict, **SAID)


# --- the state_dict of a network ------------------------------------------------------------------


def networks():
    """Return networks of every kind that PyTorch supports."""
    options = {"input_size": 3, "seed": 0}
    return {
        "one layer": elman.Network(hidden_size=4, output_size=2, **options),
        "deep": elman.Network(hidden_size=[4, 4], output_size=2, activation="relu", **options),
        "sizes": elman.Network(hidden_size=[5, 4], output_size=2, dtype="float64", **options),
        "no bias": elman.Network(hidden_size=[4, 4], output_size=2, bias=False, **options),
        "no readout": elman.Network(hidden_size=4, output_size=None, **options),
        "both ways": elman.Network(
            hidden_size=[4, 4], output_size=2, direction="bidirectional", **options
        ),
        "one of them both ways": elman.Network(
            hidden_size=[4, 4], output_size=2, direction=["bidirectional", "forward"], **options
        ),
        "activations": elman.Network(
            hidden_size=[4, 4], output_size=2, activation=["tanh", "relu"], **options
        ),
    }


@pytest.mark.parametrize("name", networks())
def test_a_state_dict_becomes_the_same_network_again(name):
    net = networks()[name]
    again = elman.from_torch(
        elman.state_dict(net, "torch", prefix="encoder", readout="head"),
        activation=net.activations,
        output_activation=net.output_activation,
        prefix="encoder",
        readout=net.readout is not None and "head",
    )
    assert again == net


def test_a_state_dict_is_made_of_copies():
    net = networks()["one layer"]
    for array in elman.state_dict(net).values():
        array[...] = 7
    assert net == networks()["one layer"]


def test_scaling_is_refused_or_folded(rng):
    weights = {name: rng.standard_normal(shape) / 2 for name, shape in SHAPES.items()}
    net = network_with_scaling(weights, "identity")
    with pytest.raises(ArgumentError, match=r"^net: expected .*scaling.*fold_scaling=True"):
        elman.state_dict(net, "torch")
    folded = elman.from_torch(elman.state_dict(net, "torch", fold_scaling=True), **SAID)
    assert folded.input_mean is None
    x = rng.standard_normal((5, 100, 3))
    np.testing.assert_allclose(folded(x), net(x), rtol=0, atol=1e-13)
    with pytest.raises(UnsupportedModelError, match=r"^net: expected .*identity.*got softmax"):
        elman.state_dict(network_with_scaling(weights, "softmax"), "torch", fold_scaling=True)


def test_scaling_whose_product_the_dtype_does_not_hold_is_refused():
    """The product is infinite: 1e41 in float32."""
    net = elman.Network(1, 4, 1, seed=0, input_mean=[1e3], input_std=[1e-38])
    message = r"^fold_scaling: expected .*float32.*got .*e\+40.*layers\.0\.b_h"
    with pytest.raises(ArgumentError, match=message):
        elman.state_dict(net, fold_scaling=True)
    for array in elman.state_dict(net.astype("float64"), fold_scaling=True).values():
        assert np.isfinite(array).all()


SHAPES = {
    "W_xh": (4, 3),
    "W_hh": (4, 4),
    "W_hy": (2, 4),
    "input_mean": 3,
    "input_std": 3,
    "output_mean": 2,
    "output_std": 2,
}


def network_with_scaling(weights, output_activation):
    scaling = {name: weights[name] for name in SHAPES if name.endswith("mean")}
    scaling |= {name: 0.5 + abs(weights[name]) for name in SHAPES if name.endswith("std")}
    layer = (weights["W_xh"], weights["W_hh"] / 2, None)
    return elman.Network.from_weights(
        [layer], (weights["W_hy"], None), output_activation=output_activation, **scaling
    )


def test_an_initial_state_is_refused():
    net = elman.Network(input_size=3, hidden_size=4, output_size=2, initial_state=[0.5] * 4)
    with pytest.raises(UnsupportedModelError, match=r"^net: expected .*initial state"):
        elman.state_dict(net, "torch")


def test_another_framework_is_refused():
    with pytest.raises(ArgumentError, match=r"^framework: expected .*got 'flax'"):
        elman.state_dict(networks()["one layer"], "flax")


# --- live modules ---------------------------------------------------------------------------------


def run_torch(torch, x, *layers):
    """Run RNNs in order, then the following modules."""
    y = torch.from_numpy(x)
    for layer in layers:
        y = layer(y)
        y = y[0] if isinstance(y, tuple) else y
    return y.detach().numpy()


@pytest.mark.parametrize(("nonlinearity", "dtype"), [("tanh", "float32"), ("relu", "float64")])
def test_a_module_gives_the_outputs_of_pytorch(torch, nn, rng, nonlinearity, dtype):
    kind = getattr(torch, dtype)
    model = nn.ModuleDict(
        {
            "rnn": nn.RNN(3, 6, 2, nonlinearity=nonlinearity, batch_first=True, dropout=0.1),
            "drop": nn.Dropout(0.5),
            "fc": nn.Linear(6, 2),
        }
    ).to(kind)
    imported = interop.read(model, Said(output_activation="sigmoid"))
    net = imported.network
    assert net.activations == (nonlinearity,) * 2
    x = rng.standard_normal((4, 100, 3)).astype(dtype)
    want = run_torch(torch, x, model["rnn"].eval(), model["fc"], torch.sigmoid)
    np.testing.assert_allclose(net(x), want, rtol=0, atol=TOLERANCE[dtype])
    assert {"rnn.dropout=0.1", "rnn.batch_first=True", "drop"} <= {
        row.source for row in imported.rows if not row.target
    }
    assert ("rnn.nonlinearity", "layers.1.activation", nonlinearity) in imported.rows


def test_modules_in_their_order_are_a_stack(torch, nn, rng):
    lower, upper, linear = nn.RNN(3, 6), nn.RNN(6, 4, nonlinearity="relu"), nn.Linear(4, 2)
    net = elman.from_torch((lower, upper, linear, nn.Softmax(dim=-1)))
    assert (net.hidden_sizes, net.activations) == ((6, 4), ("tanh", "relu"))
    assert net.output_activation == "softmax"
    x = rng.standard_normal((100, 3)).astype(np.float32)
    want = run_torch(torch, x, lower, upper, linear, nn.Softmax(dim=-1))
    np.testing.assert_allclose(net(x), want, rtol=0, atol=2e-6)
    assert (
        elman.from_torch([nn.ModuleList([lower, upper]), linear], output_activation="softmax")
        == net
    )


def test_cells_are_a_stack(nn):
    cells = nn.ModuleList([nn.RNNCell(3, 6), nn.RNNCell(6, 4, nonlinearity="relu")])
    linear = nn.Linear(4, 1)
    net = elman.from_torch((*cells, linear), output_activation="identity")
    assert net.activations == ("tanh", "relu")
    assert elman.from_torch((cells, linear), output_activation="identity") == net
    whole = nn.ModuleDict({"cells": cells, "out": linear})
    assert elman.from_torch(whole, output_activation="identity") == net
    assert elman.from_torch(cells).layers[1].W_xh.shape == (4, 6)
    assert elman.from_torch(nn.RNNCell(3, 6)).hidden_sizes == (6,)


def test_one_cell_under_two_names_is_two_layers(nn):
    cell = nn.RNNCell(4, 4, nonlinearity="relu")
    net = elman.from_torch(nn.ModuleDict({"cells": nn.ModuleList([cell, cell])}))
    assert net.activations == ("relu", "relu")


def test_options_that_contradict_a_module_are_refused(nn):
    rnn, linear = nn.RNN(3, 4), nn.Linear(4, 1)
    with pytest.raises(ArgumentError, match=r"^activation: expected 'tanh'.*got 'relu'"):
        elman.from_torch((rnn, linear), activation="relu", output_activation="identity")
    with pytest.raises(ArgumentError, match=r"^output_activation: expected 'sigmoid'.*got 'tanh'"):
        elman.from_torch((rnn, linear, nn.Sigmoid()), output_activation="tanh")
    assert elman.from_torch((rnn, None), activation="tanh").readout is None


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell"])
def test_modules_of_other_cells_are_refused_by_name(nn, kind):
    with pytest.raises(UnsupportedModelError, match=rf"got part.*{kind}"):
        elman.from_torch(nn.ModuleDict({"part": getattr(nn, kind)(3, 4)}))


def test_modules_that_no_network_has_are_refused(nn):
    rnn, linear = nn.RNN(3, 3), nn.Linear(3, 3)
    for modules, name in [
        ((rnn, nn.LayerNorm(3), linear), "an nn.LayerNorm.* 1"),
        ((rnn, linear, nn.Softmax(dim=0)), r"an nn.Softmax.* 2: expected dim=-1"),
        ((rnn, nn.GELU(), linear), "an nn.GELU.* 1"),
    ]:
        with pytest.raises(UnsupportedModelError, match=f"got {name}"):
            elman.from_torch(modules, output_activation="identity")
    with pytest.raises(ArgumentError, match=r"^source: expected .*nn.RNN.*got none"):
        elman.from_torch((linear, linear))
    with pytest.raises(UnsupportedModelError, match=r"softmax at the end of the model only"):
        elman.from_torch((rnn, nn.Softmax(-1), linear), output_activation="identity")
    with pytest.raises(TypeError, match=r"expected .*got int.* 1"):
        elman.from_torch((rnn, 3))


def test_a_wrapped_module_is_the_same_network(nn):
    model = nn.ModuleDict({"rnn": nn.RNN(3, 4), "fc": nn.Linear(4, 1)})
    net = elman.from_torch(model, output_activation="identity")
    assert elman.from_torch(nn.DataParallel(model), output_activation="identity") == net


def test_tensors_without_data_are_refused(torch, nn):
    with torch.device("meta"):
        rnn = nn.RNN(3, 4)
    with pytest.raises(ArgumentError, match=r"weight_ih_l0: expected .*tensor"):
        elman.from_torch(rnn)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened(torch, nn, dtype):
    rnn = nn.RNN(3, 4).to(getattr(torch, dtype))
    net = elman.from_torch(rnn)
    assert net.dtype == "float32"
    want = rnn.weight_hh_l0.detach().float().numpy()
    np.testing.assert_array_equal(net.layers[0].W_hh, want)
    assert elman.from_torch(rnn.state_dict(), activation="tanh") == net


@pytest.mark.parametrize("name", networks())
def test_modules_of_a_network_give_its_outputs_and_the_network_again(torch, nn, name, rng):
    net = networks()[name]
    modules = elman.to_torch(net)
    assert elman.from_torch(modules) == net
    parts = modules.rnn if isinstance(modules.rnn, nn.ModuleList) else [modules.rnn]
    assert (len(parts) == 1) == (name not in ("sizes", "activations", "one of them both ways"))
    assert all(part.batch_first for part in parts)
    x = rng.standard_normal((4, 100, 3)).astype(net.dtype)
    after = [module for module in modules[1:] if module is not None]
    want = run_torch(torch, x, *parts, *after)
    np.testing.assert_allclose(net(x), want, rtol=0, atol=TOLERANCE[net.dtype.name])


def test_a_state_dict_loads_into_a_users_module(torch, nn):
    net = networks()["deep"]
    model = nn.ModuleDict({"rnn": nn.RNN(3, 4, 2, nonlinearity="relu"), "fc": nn.Linear(4, 2)})
    tensors = {
        name: torch.from_numpy(array) for name, array in elman.state_dict(net, "torch").items()
    }
    model.load_state_dict(tensors)
    assert elman.from_torch(model, output_activation="sigmoid") == net


def test_what_pytorch_does_not_have_is_refused(torch):
    net = elman.Network(input_size=3, hidden_size=[4, 4], output_size=2, activation="sigmoid")
    with pytest.raises(UnsupportedModelError, match=r"expected tanh or relu.*got sigmoid"):
        elman.to_torch(net)
    net = elman.Network(input_size=3, hidden_size=4, output_size=2, direction="reverse")
    with pytest.raises(
        UnsupportedModelError, match=r"^net: expected forward or bidirectional.*reverse"
    ):
        elman.to_torch(net)
    net = elman.Network(input_size=3, hidden_size=4, output_size=2, output_activation="softsign")
    with pytest.raises(UnsupportedModelError, match=r"output activation.*got softsign"):
        elman.to_torch(net)


def test_without_pytorch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"to_torch.*torch: pip install torch"):
        elman.to_torch(networks()["one layer"])
