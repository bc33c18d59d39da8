"""Cells that people write by hand in PyTorch: the user says which tensors are the matrices.

Expected values are PyTorch's, or follow from the equations step by step.
"""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ShapeError, UnsupportedModelError
from elman.interop import torch as interop
from elman.interop._source import Said
from fixtures import command

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "torch_cells.npz")
LOG = {"output_activation": "log_softmax"}
JOINED = {"W_xh W_hh": "i2h.weight", "b_h": "i2h.bias"}
TUTORIAL = JOINED | {"W_xo W_ho": "i2o.weight", "b_o": "i2o.bias"}
IN2HIDDEN = {"W_xh W_hh": "in2hidden.weight", "b_h": "in2hidden.bias"}
APART = {"W_xh": "i2h.weight", "W_hh": "h2h.weight", "b_h": ["i2h.bias", "h2h.bias"]}
H_FIRST = {
    "W_hh W_xh": "i2h.weight",
    "b_h": "i2h.bias",
    "W_ho W_xo": "i2o.weight",
    "b_o": "i2o.bias",
}
ABOVE = {"readout": {"W_hy W_oy": "o2o.weight", "b_y": "o2o.bias"}}
RAW = {"W_xh": "Wxh.T", "W_hh": "Whh.T", "b_h": "bh"}
RAW_READOUT = {"W_hy": "Why.T", "b_y": "by"}

CASES = {
    "apart": {"cell": APART, "activation": "tanh", **LOG},
    "joined": {"cell": IN2HIDDEN, "activation": "tanh", **LOG},
    "joined identity": {"cell": IN2HIDDEN, "activation": "identity", **LOG},
    "tutorial": {"cell": TUTORIAL, "activation": "identity", **LOG},
    "tutorial relu": {"cell": TUTORIAL, "activation": "relu", **LOG},
    "tutorial tanh": {"cell": TUTORIAL, "activation": "tanh", **LOG},
    "tutorial sigmoid": {"cell": H_FIRST, "activation": "sigmoid", **LOG},
    "generation": {"cell": TUTORIAL, "activation": "identity", **ABOVE, **LOG},
    "generation relu": {"cell": TUTORIAL, "activation": "relu", **ABOVE, **LOG},
    "generation tanh": {"cell": TUTORIAL, "activation": "tanh", **ABOVE, **LOG},
    "raw": {
        "cell": RAW,
        "readout": RAW_READOUT,
        "activation": "tanh",
        "output_activation": "identity",
    },
}


def stored(case):
    """Return the state_dict of a case."""
    start = f"{case}/"
    return {name.removeprefix(start): MADE[name] for name in MADE if name.startswith(start)}


@pytest.mark.parametrize("case", CASES)
def test_a_cell_computes_what_pytorch_computes(case):
    net = elman.from_torch(stored(case), **CASES[case])
    want = MADE[f"{case}|output"]
    np.testing.assert_allclose(net(MADE[f"{case}|x"]), want, rtol=0, atol=2e-6)
    assert np.abs(want).max() > 0.1
    assert net.dtype == np.float32


@pytest.mark.parametrize("case", CASES)
def test_a_cell_starts_where_the_source_says(case):
    h, want = MADE[f"{case}|h"], MADE[f"{case}|started"]
    for source, start in ((stored(case), h), (stored(case) | {"h0": h[np.newaxis]}, "h0")):
        net = elman.from_torch(source, **CASES[case], initial_state=start)
        np.testing.assert_allclose(net(MADE[f"{case}|x"]), want, rtol=0, atol=2e-6)
    assert np.abs(want - MADE[f"{case}|output"]).max() > 0.01


@pytest.mark.parametrize("case", ["apart", "tutorial", "tutorial tanh"])
def test_a_start_state_is_not_left_out_silently(case):
    source = stored(case) | {"h0": MADE[f"{case}|h"][np.newaxis]}
    with pytest.raises(ArgumentError, match=r"^initial_state: expected what 'h0' is"):
        elman.from_torch(source, **CASES[case])
    net = elman.from_torch(source, **CASES[case], initial_state=False)
    same = elman.from_torch(stored(case), **CASES[case])
    x = MADE[f"{case}|x"]
    np.testing.assert_array_equal(net(x), same(x))


def test_an_output_of_the_state_before_the_step_keeps_the_network_causal_where_it_can():
    shapes = {"tutorial": (7,), "tutorial relu": (9,), "tutorial tanh": (5, 7)}
    for case, sizes in shapes.items():
        net = elman.from_torch(stored(case), **CASES[case])
        assert net.hidden_sizes == sizes
        assert ("bidirectional" in net.directions) == (case == "tutorial tanh")


@pytest.mark.parametrize("case", ["tutorial", "tutorial relu", "tutorial tanh"])
def test_parts_may_be_missing(case, rng):
    weights = stored(case)
    x = rng.standard_normal((4, 3))
    W, V = weights["i2h.weight"].astype("f8"), weights["i2o.weight"].astype("f8")
    f = {"tutorial": lambda v: v, "tutorial relu": lambda v: np.maximum(v, 0)}.get(case, np.tanh)
    said = {"activation": CASES[case]["activation"], "output_activation": "identity"}
    tensors = {"W": W, "V": V[:, :3], "U": V[:, 3:]}
    h = np.zeros(5)
    want = {"W_xo": [], "W_ho": []}
    for x_t in x:
        want["W_xo"].append(tensors["V"] @ x_t)
        want["W_ho"].append(tensors["U"] @ h)
        h = f(W @ np.concatenate([x_t, h]))
    for kind, name in {"W_xo": "V", "W_ho": "U"}.items():
        source = {"W": W, name: tensors[name]}
        net = elman.from_torch(source, cell={"W_xh W_hh": "W", kind: name}, **said)
        np.testing.assert_allclose(net(x), want[kind], rtol=0, atol=1e-12)


def test_every_tensor_has_a_row():
    rows = interop.read(stored("generation"), Said(**CASES["generation"])).rows
    assert {row.source for row in rows} == set(stored("generation"))
    assert [(row.target, row.note) for row in rows if row.source == "i2h.weight"] == [
        ("layers.0.W_xh", "columns 0 to 2, a block of the matrix"),
        ("layers.0.W_hh", "columns 3 to 7, a block of the matrix"),
    ]
    started = Said(**CASES["tutorial"], initial_state="h0")
    rows = interop.read(stored("tutorial") | {"h0": np.ones((1, 5), "f4")}, started).rows
    assert ("h0", "initial_state", "with zeros for the other units") in [tuple(r) for r in rows]
    rows = interop.read(stored("apart"), Said(**CASES["apart"])).rows
    assert ("h2h.bias", "layers.0.b_h", "added up in float64") in [tuple(row) for row in rows]


def test_names_match_by_their_ends_in_checkpoints_of_all_forms():
    case = "raw"
    x, want = MADE[f"{case}|x"], MADE[f"{case}|output"]
    inner = {f"module.net.{name}": array for name, array in stored(case).items()}
    other = {f"critic.{name}": array for name, array in stored(case).items()}
    net = elman.from_torch({"epoch": 3, "state_dict": inner}, **CASES[case])
    np.testing.assert_allclose(net(x), want, rtol=0, atol=2e-6)
    with pytest.raises(ArgumentError, match=r"^cell: expected one of .*critic.Wxh.*, got 'Wxh.T'"):
        elman.from_torch({"state_dict": inner | other}, **CASES[case])
    net = elman.from_torch(
        {"state_dict": inner | other}, **CASES[case], prefix="net", initial_state=False
    )
    np.testing.assert_allclose(net(x), want, rtol=0, atol=2e-6)


def test_an_embedding_in_front_is_read_or_asked_for(rng):
    table = rng.standard_normal((6, 3)).astype("f4")
    source = stored("apart") | {"emb.weight": table}
    with pytest.raises(ArgumentError, match=r"^embedding: expected what 'emb' is"):
        elman.from_torch(source, **CASES["apart"], readout="h2o")
    net = elman.from_torch(source, **CASES["apart"], readout="h2o", embedding="one_hot")
    plain = elman.from_torch(stored("apart"), **CASES["apart"])
    ids = rng.integers(6, size=8)
    np.testing.assert_allclose(net(np.eye(6)[ids]), plain(table[ids]), rtol=0, atol=1e-6)


def test_pruned_weights_of_a_cell_are_computed(rng):
    source = stored("apart")
    mask = rng.integers(2, size=(5, 5)).astype("f4")
    pruned = source | {"h2h.weight_orig": source["h2h.weight"], "h2h.weight_mask": mask}
    del pruned["h2h.weight"]
    rows = interop.read(pruned, Said(**CASES["apart"])).rows
    assert {"h2h.weight_orig", "h2h.weight_mask"} < {row.source for row in rows if row.target}
    net = elman.from_torch(pruned, **CASES["apart"])
    np.testing.assert_array_equal(net.layers[0].W_hh, source["h2h.weight"] * mask)


# --- what is refused ------------------------------------------------------------------------------


def said(case, **changes):
    """Return the options of a case with changes."""
    return CASES[case] | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": None}, r"^activation: expected the activation of 'cell'"),
        ({"output_activation": None}, r"^output_activation: expected .* readout 'h2o'"),
        ({"cell": "i2h"}, r'^cell: expected a mapping such as \{"W_xh": .*, got str'),
        ({"cell": {}}, "^cell: expected W_xh and W_hh, .* got none"),
        ({"cell": {"W_hh": "h2h.weight"}}, "^cell: expected W_xh and W_hh, .* got 'W_hh'"),
        ({"cell": APART | {"b": "i2h.bias"}}, "^cell: expected the names 'W_xh',.* got 'b'"),
        ({"cell": APART | {"W_xh b_h": "i2h.bias"}}, "^cell: expected the names .*'W_xh b_h'"),
        ({"cell": APART | {"W_xh W_hh": "i2h.weight"}}, "^cell: expected 'W_xh W_hh' once"),
        ({"cell": APART | {"W_hh": "h2x.weight"}}, "^cell: expected one of 'i2h.*'h2x.weight'"),
        ({"cell": APART | {"W_hh": ["h2h.weight", "h2h.weight"]}}, "^cell: expected one tensor"),
        ({"cell": APART | {"W_xh": "i2h.weight.T"}}, r"^i2h.weight: expected \(5, .*\.T"),
        ({"cell": APART | {"b_h": "h2o.bias"}}, r"^h2o.bias: expected \(5,\) for b_h, got \(2,\)"),
        ({"cell": APART | {"b_o": "h2o.bias"}}, "^cell: expected W_xo or W_ho with b_o"),
        ({"readout": {"b_y": "h2o.bias"}}, "^readout: expected W_hy with b_y"),
        ({"readout": {"W_oy": "h2o.weight"}}, "^cell: expected W_xo or W_ho with W_oy"),
        ({"readout": {"W_hh": "h2o.weight"}}, "^readout: expected the names 'W_hy'"),
        ({"prefix": "encoder"}, "^prefix: expected one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        elman.from_torch(stored("apart"), **said("apart", **changes))
    assert isinstance(caught.value, elman.ElmanError)


def test_a_joined_matrix_needs_columns_for_both():
    source = stored("joined") | {"in2hidden.weight": np.ones((5, 5))}
    with pytest.raises(ShapeError, match=r"^in2hidden.weight: expected more than 5 columns"):
        elman.from_torch(source, **CASES["joined"])


def test_one_of_two_parameters_is_not_transposed_alone():
    cell = RAW | {"W_hh": "Whh"}
    with pytest.raises(
        ArgumentError, match=r"^cell: expected both of 'Wxh.T' and 'Whh' transposed"
    ):
        elman.from_torch(stored("raw"), **said("raw", cell=cell))


def test_outputs_as_units_are_limited():
    wide = np.broadcast_to(np.float32(0), (20_000, 8))
    with pytest.raises(elman.LimitError, match=r"^cell: expected at most 20000 rows"):
        elman.from_torch(
            stored("tutorial") | {"i2o.weight": wide, "i2o.bias": wide[:, 0]}, **CASES["tutorial"]
        )


def test_gates_are_refused():
    source = stored("apart") | {"h2h.weight": np.ones((20, 5)), "i2h.weight": np.ones((20, 3))}
    with pytest.raises(UnsupportedModelError, match=r"^h2h.weight: .* an LSTM"):
        elman.from_torch(source, **CASES["apart"])


@pytest.mark.parametrize("case", ["apart", "joined", "tutorial", "tutorial tanh"])
def test_what_may_compute_is_not_left_out_silently(case, rng):
    source = stored(case) | {"extra.weight": rng.standard_normal((4, 4)).astype("f4")}
    with pytest.raises(ArgumentError, match=r"extra"):
        elman.from_torch(source, **CASES[case])


def test_a_readout_of_both_states_must_be_described():
    with pytest.raises(ArgumentError, match=r"^readout: expected \{'W_hy W_oy': name"):
        elman.from_torch(stored("generation"), **said("generation", readout="o2o"))
    with pytest.raises(ArgumentError, match=r"o2o"):
        elman.from_torch(stored("generation"), **said("generation", readout=None))


@pytest.mark.parametrize("case", CASES)
def test_a_file_without_an_rnn_gets_the_call_to_write(case):
    with pytest.raises(
        ArgumentError, match=r"by hand, say .*: elman.from_torch\(source, cell="
    ) as caught:
        elman.from_torch(stored(case))
    text = re.search(r"(cell=\{.*)\), with the order", str(caught.value))[1]
    guessed = eval(f"dict({text})")  # of the names of this test
    wanted = CASES[case]
    if case != "tutorial sigmoid":  # no file tells the order of the columns
        assert guessed["cell"] == wanted["cell"]
        assert guessed.get("readout", {}) in (wanted.get("readout", {}), "h2o", "hidden2out")
    elman.from_torch(stored(case), **guessed)


def test_parameters_of_one_letter_get_the_call_to_write():
    shapes = {"U": (4, 3), "W": (4, 4), "V": (2, 4), "b": (4,), "c": (2,)}
    expected = (
        r'cell=\{"W_xh": "U", "W_hh": "W", "b_h": "b"\}, readout=\{"W_hy": "V", "b_y": "c"\},'
        ' activation="tanh"'
    )
    with pytest.raises(ArgumentError, match=expected):
        elman.from_torch({name: np.ones(shape) for name, shape in shapes.items()})


def test_other_tensors_are_only_listed():
    with pytest.raises(ArgumentError, match=r"got 'conv.weight'$"):
        elman.from_torch({"conv.weight": np.ones((4, 7))}, activation="tanh")
    with pytest.raises(ArgumentError, match=r'cell=\{"W_xh": name, "W_hh": name'):
        elman.from_torch({"cell.a": np.ones(4)}, activation="tanh")


# --- the command line -----------------------------------------------------------------------------


def test_convert_takes_a_cell(tmp_path):
    storage = pytest.importorskip("safetensors.numpy")
    source, target = tmp_path / "raw.safetensors", tmp_path / "net.safetensors"
    storage.save_file({k: np.ascontiguousarray(v) for k, v in stored("apart").items()}, source)
    options = ("--activation", "tanh", "--output-activation", "log_softmax")
    cell = "W_xh=i2h.weight, W_hh=h2h.weight, b_h=i2h.bias+h2h.bias"
    done = command.run("convert", source, target, *options, "--cell", cell)
    assert done.returncode == 0, done.stderr
    net, x = elman.load(target), MADE["apart|x"]
    np.testing.assert_allclose(net(x), MADE["apart|output"], rtol=0, atol=2e-6)
    storage.save_file({k: np.ascontiguousarray(v) for k, v in stored("raw").items()}, source)
    cell, readout = "W_xh=Wxh.T,W_hh=Whh.T,b_h=bh", "W_hy=Why.T,b_y=by"
    options = ("--activation", "tanh", "--output-activation", "identity", "--readout", readout)
    done = command.run("convert", source, target, *options, "--cell", cell)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        elman.load(target)(MADE["raw|x"]), MADE["raw|output"], rtol=0, atol=2e-6
    )
    done = command.run("convert", source, target, *options, "--cell", "Wxh")
    assert done.returncode == 2
    assert b"NAME=TENSOR" in done.stderr


# --- beside PyTorch -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules():
    torch = pytest.importorskip("torch")
    from fixtures import make_torch_cell_fixtures

    torch.manual_seed(5)
    return dict(make_torch_cell_fixtures.make_cases())


@pytest.mark.parametrize("case", CASES)
def test_compare_runs_a_cell_step_by_step(case, modules, tmp_path, rng):
    import torch

    module = modules[case]
    x = rng.standard_normal((2, 30, 3)).astype("f4")
    net = elman.from_torch(module, **CASES[case])
    found = elman.compare(net, module, x)
    assert found.ok, found
    assert (found.layers == [None] * net.num_layers) == ("W_xo" in str(CASES[case]["cell"]))
    wrong = elman.from_torch(module, **said(case, output_activation="tanh"))
    found = elman.compare(wrong, module, x)
    assert not found.ok
    assert "not supported" not in str(found)
    imported = interop.read(module, Said(**CASES[case]))
    assert elman.compare(imported.network, imported, x).ok
    path = tmp_path / "cell.pt"
    torch.save({"model": module.state_dict()}, path)
    imported = interop.read(path, Said(**CASES[case]))
    found = elman.compare(imported.network, imported, x)
    assert found.ok, found
    assert None not in found.layers


def test_compare_runs_a_model_of_whole_sequences(modules, rng):
    import torch

    class Whole(torch.nn.Module):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell

        def forward(self, x):
            h, outputs = x.new_zeros(len(x), 5), []
            for x_t in x.unbind(1):
                y, h = self.cell(x_t, h)
                outputs.append(y)
            return torch.stack(outputs, dim=1)

    net = elman.from_torch(Whole(modules["apart"]), **CASES["apart"])
    x = rng.standard_normal((2, 30, 3)).astype("f4")
    assert elman.compare(net, Whole(modules["apart"]), x).ok
    with pytest.raises(ArgumentError, match=r"whose forward takes x \(B, T, I\), or x_t and h"):
        elman.compare(net, Whole(torch.nn.Linear(3, 5)), x)
    with pytest.raises(ArgumentError, match=r"expected a module with an nn.RNN or nn.RNNCell, got"):
        elman.compare(net, torch.nn.LSTM(3, 5), x)
