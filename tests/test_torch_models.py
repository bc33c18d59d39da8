"""Other people's PyTorch models: names, computed weights, start states, and what is around the RNN.

Every part that computes is read or refused. Expected values are PyTorch's.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import elman
from elman.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedModelError
from elman.interop import torch as interop
from elman.interop._source import Said
from fixtures import command
from fixtures.torch_files import make_state_dict

MADE = np.load(pathlib.Path(__file__).parent / "fixtures" / "torch_models.npz")
SAID = {"activation": "tanh", "output_activation": "identity"}


def stored(case):
    """Return the state_dict of a case."""
    start = f"{case}/"
    return {name.removeprefix(start): MADE[name] for name in MADE if name.startswith(start)}


def check(case, net, atol=1e-6):
    """Compare a network with PyTorch's outputs."""
    want = MADE[f"{case}|output"]
    np.testing.assert_allclose(net(MADE[f"{case}|x"]), want, rtol=0, atol=atol)
    assert np.abs(want).max() > 0.1


def beside(rng, **tensors):
    """Return a small model with more tensors beside it; in their names __ is a dot."""
    more = {name.replace("__", "."): np.asarray(t) for name, t in tensors.items()}
    return make_state_dict(rng) | more


def notes(source, **said):
    """Return the notes of what is left out, by name."""
    return {
        row.source: row.note for row in interop.read(source, Said(**said)).rows if not row.target
    }


# --- weights that are computed from others --------------------------------------------------------

COMPUTED = [
    "pruned",
    "weight_norm 0",
    "weight_norm 1",
    "weight_norm None",
    "old weight_norm 0",
    "old weight_norm 1",
    "old weight_norm None",
    "spectral_norm",
    "old spectral_norm",
]


@pytest.mark.parametrize("case", COMPUTED)
def test_computed_weights_are_computed_as_in_pytorch(case):
    imported = interop.read(stored(case), Said(**SAID))
    check(case, imported.network)
    assert {row.source for row in imported.rows} == set(stored(case))
    assert all(row.target for row in imported.rows)


def test_a_weight_of_an_unknown_function_is_refused_with_the_remedy():
    remedy = r"remove_parametrizations.*prune\.remove"
    with pytest.raises(UnsupportedModelError, match=rf"^rnn.weight_hh_l1: .*original.*{remedy}"):
        elman.from_torch(stored("orthogonal"), **SAID)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("extra", "rnn.extra"),
        ("weight_hh_l0_mask", "rnn.weight_hh_l0_mask is not part"),
        ("weight_ih_l0_v", "rnn.weight_ih_l0_v is not part"),
        ("weight_hh_l1_orig", "rnn.weight_ih_l1 is missing"),
        ("parametrizations.weight_ih_l7.original", "rnn.weight_ih_l7 is not part"),
    ],
)
def test_nothing_below_the_rnn_is_dropped(rng, name, message):
    tensors = make_state_dict(rng) | {f"rnn.{name}": np.ones((4, 4), "f4")}
    for said in ({}, {"prefix": "rnn", "readout": "fc"}):
        with pytest.raises(ArgumentError, match=rf"^source: .*{message}"):
            elman.from_torch(tensors, **said, **SAID)


def test_a_layer_with_a_missing_half_of_its_weight_is_refused():
    tensors = stored("pruned")
    del tensors["rnn.weight_hh_l0_mask"]
    with pytest.raises(UnsupportedModelError, match=r"^rnn.weight_hh_l0: .*got rnn.weight_hh_l0_o"):
        elman.from_torch(tensors, **SAID)
    wrong = stored("weight_norm 0") | {
        "rnn.parametrizations.weight_hh_l0.original0": np.ones((3, 1), "f4")
    }
    with pytest.raises(ShapeError, match=r"^rnn.weight_hh_l0: .*weight_norm.*\(3, 1\)"):
        elman.from_torch(wrong, **SAID)


def test_a_readout_of_an_unknown_function_is_refused(rng):
    tensors = make_state_dict(rng)
    tensors["fc.parametrizations.weight.original"] = tensors.pop("fc.weight")
    with pytest.raises(UnsupportedModelError, match=r"^fc.weight: .*remove_parametrizations"):
        elman.from_torch(tensors, **SAID)


def test_a_weight_that_is_not_finite_is_refused(rng):
    tensors = make_state_dict(rng)
    tensors |= {"fc.weight_v": tensors.pop("fc.weight") * 0, "fc.weight_g": np.ones((2, 1), "f4")}
    with pytest.raises(ArgumentError, match=r"^readout.W_hy: expected .*finite"):
        elman.from_torch(tensors, **SAID)


# --- learned start states -------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["h0 of all", "h0 flat", "h0 of one"])
def test_a_learned_start_state_must_be_spoken_of(case):
    tensors = stored(case)
    given = SAID | {"readout": "head"}
    for more in ({}, {"prefix": "rnn"}):
        with pytest.raises(ArgumentError, match=r"^initial_state: .*'h0'.*changes the result.*F"):
            elman.from_torch(tensors, **given, **more)
    check(case, elman.from_torch(tensors, initial_state="h0", **given))
    check(case, elman.from_torch(tensors, initial_state=tensors["h0"], **given))
    assert "start state" in notes(tensors, initial_state=False, **given)["h0"]
    assert elman.from_torch(tensors, initial_state=False, **given).initial_state is None


@pytest.mark.parametrize("where", [(), ("extra",), ("run", "states")])
def test_a_start_state_beside_the_state_dict_is_not_dropped(where):
    tensors = dict(stored("h0 of all"))
    beside = {"h0": tensors.pop("h0"), "mean": np.zeros(3, "f4"), "losses": np.ones((2, 3), "f4")}
    for name in reversed(where):
        beside = {name: beside}
    source = {"epoch": 3, "model": tensors, **beside}
    said = SAID | {"readout": "head"}
    for more in ({}, {"prefix": "model"}, {"prefix": "rnn"}):
        with pytest.raises(ArgumentError, match=r"^initial_state: .*h0'.*changes the result.*F"):
            elman.from_torch(source, **said, **more)
        check("h0 of all", elman.from_torch(source, initial_state="h0", **said, **more))
    assert elman.from_torch(source, initial_state=False, **said).initial_state is None


@pytest.mark.parametrize("name", ["rnn_h0", "hidden_state", "init", "zero", "start"])
def test_a_vector_of_the_size_of_the_state_may_be_its_start(rng, name):
    tensors = make_state_dict(rng) | {name: np.ones(4, "f4")}
    with pytest.raises(ArgumentError, match=rf"^initial_state: .*'{name}'"):
        elman.from_torch(tensors, **SAID)


def test_a_start_state_is_found_by_the_end_of_its_name():
    tensors = {f"model.{name}": array for name, array in stored("h0 flat").items()}
    check("h0 flat", elman.from_torch(tensors, initial_state="h0", **SAID))
    with pytest.raises(ArgumentError, match=r"^initial_state: expected one of 'model.h0', got 'h'"):
        elman.from_torch(tensors, initial_state="h", **SAID)
    with pytest.raises(ArgumentTypeError, match=r"^initial_state: .*got True"):
        elman.from_torch(tensors, initial_state=True, **SAID)
    with pytest.raises(ShapeError, match=r"^initial_state: expected 8 numbers.*\(3,\)"):
        elman.from_torch(tensors, initial_state=[1.0, 2.0, 3.0], **SAID)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [None, "rnn", "model", "model.rnn", "state_dict.model.rnn"])
def test_the_end_of_a_name_or_its_container_is_enough(rng, prefix):
    plain = make_state_dict(rng)
    lightning = {"state_dict": {f"model.{name}": t for name, t in plain.items()}, "epoch": 3}
    assert elman.from_torch(lightning, prefix=prefix, **SAID) == elman.from_torch(plain, **SAID)


def test_one_of_several_models_in_a_checkpoint_is_chosen_by_its_name(rng):
    last, best = make_state_dict(rng), make_state_dict(rng)
    moments = {0: {"exp_avg": last["rnn.weight_hh_l0"]}, "rnn.weight_hh_l0": last}
    checkpoint = {"model": last, "best_model": best, "optimizer": {"state": moments}}
    with pytest.raises(ArgumentError, match=r"^source: .*got 'model', 'best_model': set prefix="):
        elman.from_torch(checkpoint, **SAID)
    with pytest.raises(ArgumentError, match=r"^prefix: .*'rnn' for 'model.rnn', 'best_model.rnn'"):
        elman.from_torch(checkpoint, prefix="rnn", **SAID)
    for tensors, name in ((last, "model"), (best, "best_model")):
        want = elman.from_torch(tensors, **SAID)
        assert elman.from_torch(checkpoint, prefix=name, **SAID) == want
        assert elman.from_torch(checkpoint, prefix=f"{name}.rnn", **SAID) == want


def test_the_name_of_a_long_path_is_shortened_to_what_is_clear(rng):
    swa = "StochasticWeightAveraging{'swa_epoch_start': 0.8, 'annealing_epochs': 10}"
    average = make_state_dict(rng)
    checkpoint = {
        "state_dict": make_state_dict(rng),
        "callbacks": {swa: {"average_model_state": average}},
    }
    with pytest.raises(ArgumentError, match=r"got 'state_dict', 'average_model_state'"):
        elman.from_torch(checkpoint, **SAID)
    net = elman.from_torch(checkpoint, prefix="average_model_state", **SAID)
    assert net == elman.from_torch(average, **SAID)


def test_copies_in_one_state_dict_are_models_of_their_own(rng):
    plain, average = make_state_dict(rng), make_state_dict(rng)
    both = {f"net.{name}": t for name, t in plain.items()}
    both |= {f"ema.module.{name}": t for name, t in average.items()} | {
        "ema.n_averaged": np.int64(3)
    }
    with pytest.raises(ArgumentError, match=r"got 'net', 'ema'"):
        elman.from_torch(both, **SAID)
    assert elman.from_torch(both, prefix="ema", **SAID) == elman.from_torch(average, **SAID)
    assert elman.from_torch(both, prefix="net.rnn", **SAID) == elman.from_torch(plain, **SAID)


def test_the_states_of_an_optimizer_are_no_weights(rng):
    with pytest.raises(ArgumentError, match=r"^source: expected the weights of an nn.RNN"):
        elman.from_torch({"optimizer_states": {"exp_avg": make_state_dict(rng)}}, **SAID)
    versions = {"__dict__": {"_metadata": make_state_dict(rng)}}
    assert elman.from_torch(make_state_dict(rng) | versions, **SAID).hidden_sizes == (4,)
    assert elman.from_torch(
        {"optimized": make_state_dict(rng)} | versions, **SAID
    ).hidden_sizes == (4,)


def test_state_dicts_of_the_modules_of_one_model_are_read_together(rng):
    plain = make_state_dict(rng)
    parts = {
        part: {k.removeprefix(f"{part}."): t for k, t in plain.items() if k.startswith(part)}
        for part in ("rnn", "fc")
    }
    want = elman.from_torch(plain, **SAID)
    assert elman.from_torch(parts, **SAID) == want
    assert elman.from_torch({"models": parts, "optimizer": parts}, **SAID) == want


def test_long_vocabularies_do_not_count_as_tensors(rng):
    checkpoint = {"model": make_state_dict(rng), "stoi": {str(i): i for i in range(20_001)}}
    assert elman.from_torch(checkpoint, **SAID).hidden_sizes == (4,)


def test_the_same_rnn_twice_is_refused(rng):
    with pytest.raises(ArgumentError, match=r"^prefix: expected different RNNs"):
        elman.from_torch(make_state_dict(rng), prefix=["rnn", "rnn"], **SAID)


def test_quantized_weights_are_refused_by_name(rng):
    tensors = {"0._packed_weight_ih": object(), "fc.scale": np.ones(())}
    with pytest.raises(UnsupportedModelError, match=r"^source: 0._packed_weight_ih .*quantized"):
        elman.from_torch(tensors, **SAID)


# --- what is beside the RNN and its readout -------------------------------------------------------


def test_what_computes_nothing_does_not_block(rng):
    tensors = beside(
        rng,
        mean=np.zeros(4, "f4"),
        std=np.ones(3, "f4"),
        n_averaged=np.int64(3),
        position_ids=np.arange(8).reshape(1, 8),
        criterion__weight=np.ones(2, "f4"),
        train_loss__pos_weight=np.ones(2, "f4"),
        class_weights=np.ones(2, "f4"),
    )
    assert elman.from_torch(tensors, **SAID) == elman.from_torch(
        make_state_dict(np.random.default_rng(1990)), **SAID
    )
    assert set(notes(tensors, **SAID)) == set(tensors) - set(make_state_dict(rng))
    assert "results differ" in notes(tensors, **SAID)["mean"]


@pytest.mark.parametrize(
    "more",
    [
        {"ln__weight": np.ones(4), "ln__bias": np.ones(4)},
        {"bn__running_mean": np.ones(4), "bn__running_var": np.ones(4)},
        {"conv__weight": np.ones((4, 3, 3))},
        {"pe": np.ones((1, 9, 4))},
        {"gate__weight": np.ones((2, 2, 2))},
        {"geometric__weight": np.ones(4)},
        {"gain": np.ones(2, "f4")},
        {"head__temperature": np.ones(1, "f4")},
    ],
)
def test_what_computes_blocks_until_it_is_left_out_knowingly(rng, more):
    tensors = beside(rng, **more)
    names = {name.replace("__", ".") for name in more}
    with pytest.raises(
        ArgumentError, match=r"^source: .*differs without them.*prefix= and readout"
    ):
        elman.from_torch(tensors, **SAID)
    left = notes(tensors, prefix="rnn", readout="fc", **SAID)
    assert names <= left.keys()
    assert all("results differ" in left[name] for name in names)


# --- readouts of several parts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("two maps", {"readout": "head", "output_activation": ["relu", "identity"]}),
        ("two maps", {"readout": ["0", "2"], "output_activation": ["relu", "identity"]}),
        (
            "norm between",
            {
                "readout": ["head.0", "head.1", "head.3"],
                "output_activation": ["identity", "relu", "identity"],
            },
        ),
        ("norm behind", {"readout": "head", "output_activation": ["tanh", "identity", "identity"]}),
    ],
)
def test_readouts_of_several_parts(case, said):
    imported = interop.read(stored(case), Said(activation="tanh", **said))
    net = imported.network
    check(case, net)
    assert net.hidden_sizes == (4, 5)
    assert not net.layers[1].W_hh.any()
    left = {row.source for row in imported.rows if not row.target}
    assert all(name.endswith("num_batches_tracked") for name in left)


@pytest.mark.parametrize(
    ("case", "said", "message"),
    [
        ("two maps", {}, r"^readout: .*'head.0', 'head.2': .*several from the bottom up"),
        ("two maps", {"readout": "head"}, r"^output_activation: expected a sequence of 2.*None"),
        (
            "norm between",
            {"readout": "head", "output_activation": ["relu", "identity"]},
            r"^output_activation: expected a sequence of 3, one for each part of the readout"
            r" \('head.0', 'head.1', 'head.3'\), got 2",
        ),
        (
            "norm between",
            {"readout": "head", "output_activation": "relu"},
            r"^output_activation: expected a sequence of 3, one for each part .*, got 'relu'",
        ),
        ("norm between", {}, r"^readout: .*got 'head.0', 'head.1', 'head.3': pass the name"),
        (
            "norm between",
            {"readout": ["head.0", "head.3"], "output_activation": ["relu", "identity"]},
            r"add 'head.1' to readout= to read it, or set prefix= and readout= to leave them out",
        ),
        (
            "two maps",
            {"readout": "head", "output_activation": ["relu"] * 3},
            r"^output_activation: expected a sequence of 2, one for each linear map of the readout"
            r" \('head.0', 'head.2'\), got 3",
        ),
        ("two maps", {"readout": ["head.0", "x"]}, r"^readout: expected one of .*got 'x'"),
        ("two maps", {"readout": True}, r"^readout: expected a name, several or False, got True"),
    ],
)
def test_what_is_not_clear_of_a_readout_is_asked_for(case, said, message):
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        elman.from_torch(stored(case), activation="tanh", **said)


def test_the_readout_nearest_to_the_rnn_is_meant(rng):
    tensors = (
        make_state_dict(rng, "a.rnn.", "a.fc.")
        | make_state_dict(rng, "b.rnn.", "b.fc.")
        | {"b.x": np.ones((2, 2))}
    )
    net = elman.from_torch(tensors, prefix="a.rnn", readout="fc", **SAID)
    np.testing.assert_array_equal(net.readout.W_hy, tensors["a.fc.weight"])


# --- embeddings -----------------------------------------------------------------------------------


def test_an_embedding_is_read_as_said():
    case, tensors = "language model", stored("language model")
    for more in ({}, {"readout": "decoder"}):
        with pytest.raises(ArgumentError, match=r"^embedding: .*'encoder' is: pass embedding='one"):
            elman.from_torch(tensors, **SAID, **more)
    check(case, elman.from_torch(tensors, embedding="one_hot", **SAID))
    rows = MADE[f"{case}|x"] @ tensors["encoder.weight"]
    net = elman.from_torch(tensors, embedding="rows", **SAID)
    np.testing.assert_allclose(net(rows), MADE[f"{case}|output"], rtol=0, atol=1e-6)
    assert net == elman.from_torch(tensors, prefix="rnn", readout="decoder", **SAID)
    assert "reads its rows" in notes(tensors, embedding="rows", **SAID)["encoder.weight"]


def test_an_embedding_that_is_not_there_is_refused(rng):
    with pytest.raises(ArgumentError, match=r"^embedding: expected one nn.Embedding of 3.*none"):
        elman.from_torch(make_state_dict(rng), embedding="one_hot", **SAID)
    with pytest.raises(ArgumentError, match=r"^embedding: expected 'one_hot' or 'rows', got 'hot'"):
        elman.from_torch(make_state_dict(rng), embedding="hot", **SAID)


# --- live modules ---------------------------------------------------------------------------------


@pytest.fixture
def x(torch):
    return torch.randn(2, 9, 3)


def model(nn, head, **more):
    """Return a module with an RNN of 4 units and this head."""
    made = nn.ModuleDict({"rnn": nn.RNN(3, 4, batch_first=True), "head": head} | more)
    made.forward = lambda x: through(head, made["rnn"](x)[0])
    return made.eval()


def through(head, hidden):
    """Return the outputs of a head at every step."""
    B, T, H = hidden.shape
    return head(hidden.reshape(B * T, H)).reshape(B, T, -1)


def agrees(net, x, want, atol=2e-6):
    np.testing.assert_allclose(net(x.numpy()), want.detach().numpy(), rtol=0, atol=atol)


def heads(nn):
    """Return heads whose functions are all modules."""
    norm, plain = nn.BatchNorm1d(5, eps=1e-3), nn.BatchNorm1d(4, affine=False)
    for tensor in (norm.running_mean, norm.weight, plain.running_var, plain.running_mean):
        nn.init.uniform_(tensor, 0.5, 2.0)
    return {
        "two maps": nn.Sequential(
            nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2), nn.Softmax(dim=1)
        ),
        "norms": nn.Sequential(
            plain, nn.Linear(4, 5), norm, nn.ELU(0.7), nn.Linear(5, 2), nn.Tanh()
        ),
        "nested": nn.Sequential(
            nn.Sequential(nn.Linear(4, 5), nn.Hardtanh(-0.3, 0.3)),
            nn.Sequential(nn.Linear(5, 2, bias=False), nn.Identity()),
        ),
    }


@pytest.mark.parametrize("name", ["two maps", "norms", "nested"])
def test_a_sequential_is_a_readout(nn, x, name):
    made = model(nn, heads(nn)[name])
    want = made(x)
    for source, said in (
        (made, {}),
        (made, {"readout": "head"}),
        ((made["rnn"], made["head"]), {}),
        ((made["rnn"], *made["head"]), {}),
    ):
        imported = interop.read(source, Said(**said))
        assert imported.network.hidden_sizes == (4, 5)
        agrees(imported.network, x, want)
        found = elman.compare(imported.network, imported, x.numpy())
        assert found.ok, found


def test_what_a_module_does_not_say_can_be_said_by_a_sequence(torch, nn, x):
    made = model(nn, nn.Linear(4, 2), below=nn.Linear(3, 3))
    for more in ({}, {"readout": "head"}):
        with pytest.raises(
            ArgumentError, match=r"or pass the modules from the input to the output"
        ):
            elman.from_torch(made, output_activation="identity", **more)
    net = elman.from_torch((made["below"], made["rnn"], made["head"]), output_activation="tanh")
    agrees(net, x, torch.tanh(made["head"](made["rnn"](made["below"](x))[0])))


def test_the_rows_and_taps_name_the_modules(nn):
    made = model(nn, heads(nn)["two maps"])
    imported = interop.read(made)
    assert imported.taps == ("rnn[0]", "head.1")
    rows = {row.source: row for row in imported.rows}
    assert rows["head.1"][1:] == ("layers.1.activation", "relu")
    assert rows["head.4"][1:] == ("readout.activation", "softmax")
    assert rows["head.2"][1:] == ("", "Dropout acts in training only")


FUNCTIONS = {
    "LeakyReLU": {"negative_slope": 0.3},
    "ELU": {"alpha": 0.3},
    "Softplus": {},
    "Softsign": {},
    "Hardtanh": {"min_val": -2.0, "max_val": 2.0},
    "ReLU6": {},
    "Hardsigmoid": {},
    "Sigmoid": {},
    "Tanh": {},
    "ReLU": {},
    "Identity": {},
    "Softmax": {"dim": -1},
    "LogSoftmax": {"dim": 2},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_pytorch(nn, x, name):
    rnn, linear = nn.RNN(3, 4, batch_first=True), nn.Linear(4, 2)
    linear.weight.data *= 20
    function = getattr(nn, name)(**FUNCTIONS[name])
    agrees(elman.from_torch((rnn, linear, function)), x, function(linear(rnn(x)[0])), 5e-6)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("Softplus", {"beta": 2}, "expected beta=1"),
        ("Hardtanh", {"min_val": -2.0, "max_val": 3.0}, "expected limits of the same size"),
        ("Softmax", {"dim": 0}, "expected dim=-1"),
        ("GELU", {}, ""),
        ("PReLU", {}, ""),
        ("CELU", {}, ""),
        ("LayerNorm", {"normalized_shape": 2}, ""),
        ("BatchNorm1d", {"num_features": 2, "track_running_stats": False}, "no running statistics"),
    ],
)
def test_other_modules_are_refused_by_name(nn, name, options, why):
    part = getattr(nn, name)(**options)
    with pytest.raises(UnsupportedModelError, match=rf"got an nn\.{name} as module 2.*{why}"):
        elman.from_torch((nn.RNN(3, 4), nn.Linear(4, 2), part))
    with pytest.raises(UnsupportedModelError, match=rf"got 'head\.1', an nn\.{name}.*{why}"):
        elman.from_torch(model(nn, nn.Sequential(nn.Linear(4, 2), part)), readout="head")


def test_what_a_subclass_computes_is_not_guessed(nn):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(UnsupportedModelError, match=r"got a Doubled as module 1"):
        elman.from_torch((nn.RNN(3, 4), Doubled(4, 2)))
    with pytest.raises(ArgumentError, match=r"^readout: .*'head \(a Doubled\)'"):
        elman.from_torch(model(nn, Doubled(4, 2)))


def test_what_a_subclass_of_an_rnn_computes_is_not_guessed(nn, x):
    class Doubled(nn.RNN):
        def forward(self, x):
            return 2 * super().forward(x)[0]

    class Same(nn.RNN):
        pass

    with pytest.raises(UnsupportedModelError, match=r"a Doubled as module 0: its forward"):
        elman.from_torch((Doubled(3, 4), nn.Linear(4, 2)))
    whole = nn.ModuleDict({"rnn": Doubled(3, 4), "fc": nn.Linear(4, 2)})
    with pytest.raises(UnsupportedModelError, match=r"got rnn, a Doubled: its forward"):
        elman.from_torch(whole, output_activation="identity")
    same, linear = Same(3, 4, batch_first=True), nn.Linear(4, 2)
    net = elman.from_torch((same, linear), output_activation="identity")
    agrees(net, x, linear(same(x)[0]))


@pytest.mark.parametrize(
    "part",
    [
        ("LayerNorm", {"normalized_shape": 4, "elementwise_affine": False}),
        ("ReLU", {}),
        ("GELU", {}),
        ("AvgPool1d", {"kernel_size": 3}),
    ],
)
def test_a_module_without_tensors_that_may_compute_is_not_dropped(nn, x, part):
    name, options = part
    made = model(nn, nn.Linear(4, 2), between=getattr(nn, name)(**options))
    with pytest.raises(ArgumentError, match=rf"^source: .*'between \(an nn\.{name}\)' too"):
        elman.from_torch(made, output_activation="identity")
    alone = nn.ModuleDict({"rnn": made["rnn"], "between": made["between"]})
    with pytest.raises(ArgumentError, match=rf"'between \(an nn\.{name}\)' too"):
        elman.from_torch(alone)
    net = elman.from_torch(made, prefix="rnn", readout="head", output_activation="identity")
    agrees(net, x, made(x))


def test_modules_that_compute_nothing_or_are_said_do_not_block(nn, x):
    made = model(
        nn,
        nn.Linear(4, 2),
        drop=nn.Dropout(0.5),
        same=nn.Identity(),
        criterion=nn.MSELoss(),
        nothing=nn.ModuleList(),
        activation=nn.Sigmoid(),
    )
    net = elman.from_torch(made, output_activation="sigmoid")
    agrees(net, x, made(x).sigmoid())


def test_a_linear_map_that_may_be_in_front_is_not_the_readout(nn, x):
    made = nn.ModuleDict({"inp": nn.Linear(3, 3), "rnn": nn.RNN(3, 3, batch_first=True)})
    want = made["rnn"](made["inp"](x))[0]
    for source in (made, made.state_dict()):
        with pytest.raises(ArgumentError, match=r"^readout: .*'inp', which stands before it"):
            elman.from_torch(source, **SAID)
    agrees(elman.from_torch((made["inp"], made["rnn"])), x, want)
    net = elman.from_torch(made, readout="inp", output_activation="identity")
    agrees(net, x, made["inp"](made["rnn"](x)[0]))
    by_name = dict(sorted(made.state_dict().items()))  # safetensors: the order says nothing
    assert elman.from_torch(by_name, **SAID) == net


def test_the_start_state_of_one_layer_is_not_that_of_all(torch, nn, x):
    made = nn.Module()
    made.cells = nn.ModuleList([nn.RNNCell(3, 4), nn.RNNCell(4, 4)])
    made.h0, made.h1 = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
    for source in (made, made.state_dict()):
        said = {} if source is made else {"activation": "tanh"}
        with pytest.raises(ArgumentError, match=r"^initial_state: .*'h0', 'h1' are.*one array"):
            elman.from_torch(source, **said)
        with pytest.raises(ArgumentError, match=r"got 'h0' beside 'h1': pass one array"):
            elman.from_torch(source, initial_state="h0", **said)
        both = torch.cat([made.h0, made.h1]).detach()
        net = elman.from_torch(source, initial_state=both, **said)
        below, state, outputs = made.h0.expand(2, 4), made.h1.expand(2, 4), []
        for step in x.unbind(1):
            below = made.cells[0](step, below)
            state = made.cells[1](below, state)
            outputs.append(state)
        agrees(net, x, torch.stack(outputs, 1))


def test_what_is_in_front_of_the_rnn_in_a_sequence(torch, nn, x):
    below, rnn, linear = nn.Linear(3, 4), nn.RNN(4, 4, batch_first=True), nn.Linear(4, 2)
    net = elman.from_torch((nn.Sequential(below, nn.Tanh()), rnn, linear), output_activation="relu")
    agrees(net, x, torch.relu(linear(rnn(torch.tanh(below(x)))[0])))
    net = elman.from_torch((below, rnn, linear), output_activation="identity")
    assert net.hidden_sizes == (4,)
    agrees(net, x, linear(rnn(below(x))[0]))
    imported = interop.read((below, nn.Tanh(), rnn))
    assert ("2.nonlinearity", "layers.1.activation", "tanh") in imported.rows


def test_a_live_module_has_the_value_of_its_parametrizations(torch, nn, x):
    parametrizations = torch.nn.utils.parametrizations
    made = model(nn, nn.Linear(4, 2))
    parametrizations.orthogonal(made["rnn"], "weight_hh_l0", "cayley")
    parametrizations.spectral_norm(made["head"], "weight")
    made.train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    net = elman.from_torch(made, output_activation="identity")
    assert made.training
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    agrees(net, x, made.eval()(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("old", [False, True])
def test_spectral_norm_over_either_axis_of_a_square_weight(torch, nn, x, old, dim):
    norm = torch.nn.utils.spectral_norm if old else torch.nn.utils.parametrizations.spectral_norm

    def is_read(source, rnn):
        net = elman.from_torch(source, activation="tanh")
        want = rnn.weight_hh_l0.detach().numpy()
        np.testing.assert_allclose(net.tensors()["layers.0.W_hh"], want, rtol=1e-5, atol=1e-6)

    for seed in range(40):
        torch.manual_seed(seed)
        rnn = norm(nn.RNN(3, 3, batch_first=True), "weight_hh_l0", dim=dim)
        for _ in range(2):
            rnn.eval()(x)
            is_read((rnn,), rnn)  # also of vectors at random, which the old one starts with
            rnn.train()(x)  # a step of the power iteration
        rnn.eval()(x)
        try:
            is_read(rnn.state_dict(), rnn)
        except UnsupportedModelError as error:
            if dim == 0 or "got vectors as of dim=1" not in str(error):
                raise


def test_a_learned_start_state_of_a_module(torch, nn, x):
    made = nn.Module()
    made.rnn, made.fc = nn.RNN(3, 4, 2, bidirectional=True, batch_first=True), nn.Linear(8, 2)
    made.mean = nn.Parameter(torch.randn(4, 1, 4))
    with pytest.raises(ArgumentError, match=r"^initial_state: .*'mean'"):
        elman.from_torch(made, output_activation="identity")
    net = elman.from_torch(made, output_activation="identity", initial_state="mean")
    agrees(net, x, made.fc(made.rnn(x, made.mean.expand(4, 2, 4).contiguous())[0]))


def test_a_module_with_other_cells_is_read_with_a_prefix(nn, x):
    made = model(nn, nn.Linear(4, 2), gru=nn.GRU(3, 4), loss=nn.CrossEntropyLoss(nn.Parameter()))
    with pytest.raises(
        UnsupportedModelError, match=r"got gru, an nn.GRU: set prefix= and readout="
    ):
        elman.from_torch(made, output_activation="identity")
    imported = interop.read(made, Said(prefix="rnn", readout="head", output_activation="identity"))
    agrees(imported.network, x, made(x))
    with pytest.raises(UnsupportedModelError, match=r"gru is a GRU"):
        elman.from_torch(made, prefix="gru", readout="head", output_activation="identity")


@pytest.mark.filterwarnings("ignore")
def test_script_modules_are_read_by_their_original_names(torch, nn, x):
    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.RNN(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.rnn(x)[0])

    made = Made()
    want = elman.from_torch(made, output_activation="identity")
    assert elman.from_torch(torch.jit.script(made), output_activation="identity") == want
    traced = torch.jit.trace(made, x)
    assert elman.from_torch(traced, readout="fc", **SAID) == want
    with pytest.raises(ArgumentError, match=r"^activation: .*'rnn'.*does not store"):
        elman.from_torch(traced, output_activation="identity")
    program = torch.export.export(made, (x,))
    for cell in (None, {"W_xh": "rnn.weight_ih_l0", "W_hh": "rnn.weight_hh_l0"}):
        with pytest.raises(UnsupportedModelError, match=r"ExportedProgram: pass .*state_dict"):
            elman.from_torch(program, cell=cell)
    assert elman.from_torch(program.state_dict, **SAID) == want
    assert elman.from_torch(program.module(), **SAID) == want


@pytest.mark.filterwarnings("ignore")
def test_modules_that_a_trace_leaves_without_settings_are_refused(torch, nn, x):
    class Made(nn.Module):
        def __init__(self, front, behind):
            super().__init__()
            self.front, self.rnn = front, nn.RNN(3, 4, batch_first=True)
            self.behind, self.fc = behind, nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.behind(self.rnn(self.front(x))[0][:, -1]))

    words = torch.zeros(2, 5, dtype=torch.long)
    traced = torch.jit.trace(Made(nn.Embedding(7, 3), nn.Identity()), words)
    with pytest.raises(UnsupportedModelError, match=r"'front', an nn\.Embedding: its settings"):
        elman.from_torch(traced, **SAID)
    with pytest.raises(ArgumentError, match=r"in front, got an nn\.Embedding: its settings"):
        elman.from_torch(traced, embedding="rows", **SAID)
    traced = torch.jit.trace(Made(nn.Identity(), nn.BatchNorm1d(4)).eval(), x)
    said = SAID | {"output_activation": ["identity", "identity"]}
    with pytest.raises(UnsupportedModelError, match=r"'behind', an nn\.BatchNorm1d: its settings"):
        elman.from_torch(traced, prefix="rnn", readout=["behind", "fc"], **said)
    elman.from_torch(traced, prefix="rnn", readout="fc", **SAID)


@pytest.mark.filterwarnings("ignore")
def test_quantized_modules_are_refused_by_name(torch, nn):
    made = nn.Sequential(nn.RNNCell(3, 4), nn.Linear(4, 2))
    quantized = torch.ao.quantization.quantize_dynamic(made, {nn.RNNCell, nn.Linear})
    with pytest.raises(UnsupportedModelError, match=r"got 0, a quantized nn.RNNCell"):
        elman.from_torch(quantized)
    with pytest.raises(UnsupportedModelError, match=r"got a quantized nn.Linear as module 1"):
        elman.from_torch((made[0], quantized[1]))
    with pytest.raises(UnsupportedModelError, match=r"_packed_\w+ belongs to a quantized module"):
        elman.from_torch(quantized.state_dict(), **SAID)


@pytest.mark.parametrize("tied", [False, True])
def test_an_embedding_in_front_reads_one_hot_vectors_by_default(torch, nn, tied):
    made = nn.ModuleDict(
        {
            "encoder": nn.Embedding(7, 4, padding_idx=0),
            "rnn": nn.RNN(4, 4, 2, batch_first=True),
            "decoder": nn.Linear(4, 7),
        }
    )
    if tied:
        made["decoder"].weight = made["encoder"].weight
    words = torch.randint(7, (2, 9))
    rows = made["encoder"](words).detach()
    want = made["decoder"](made["rnn"](rows)[0])
    said = {"output_activation": "identity"}
    net = elman.from_torch(made, **said)
    agrees(net, nn.functional.one_hot(words, 7).float(), want)
    assert elman.from_torch(tuple(made.values()), **said) == net
    for more in ({"embedding": "rows"}, {"prefix": "rnn", "readout": "decoder"}):
        agrees(elman.from_torch(made, **said, **more), rows, want)
    with pytest.raises(ArgumentError, match=r"^embedding: expected an nn.Embedding in front"):
        elman.from_torch((made["rnn"], made["decoder"]), embedding="rows", **said)


def test_directions_that_differ_run_step_by_step(torch, nn, x):
    """No nn.RNN has two activations, or biases in one direction only."""
    tensors = nn.RNN(3, 4, bidirectional=True).state_dict()
    without = {k: v for k, v in tensors.items() if not ("bias" in k and k.endswith("_reverse"))}
    for source, activation in ((tensors, [("tanh", "relu")]), (without, "relu")):
        imported = interop.read(source, Said(activation=activation))
        found = elman.compare(imported.network, imported, x.numpy())
        assert found.ok, found
        assert None not in found.layers


def test_the_layer_of_a_cell_has_its_name(nn):
    made = nn.ModuleDict({"my_layer": nn.RNNCell(3, 4), "fc": nn.Linear(4, 2)})
    assert interop.read(made, Said(output_activation="identity")).taps == ("my_layer",)


# --- in PyTorch, for compare ----------------------------------------------------------------------


def test_parts_of_a_sequence_run_at_every_step(torch, nn, x):
    from elman.interop.torch import running

    norm = nn.BatchNorm1d(9).eval()  # as wide as there are steps
    norm.running_mean.uniform_(0.5, 2)
    parts = nn.RNN(3, 9, batch_first=True), norm, nn.Flatten(), nn.Linear(9, 2), nn.Softmax(dim=1)
    trace = running.run(parts, x.numpy())
    net = elman.from_torch(parts)
    agrees(net, x, torch.from_numpy(trace.output))
    assert elman.compare(net, parts, x.numpy()).ok


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("weight_norm 0", SAID),
        ("h0 of all", SAID | {"initial_state": "h0"}),
        (
            "norm behind",
            {
                "activation": "tanh",
                "readout": "head",
                "output_activation": [
                    "tanh",
                    "identity",
                    elman.Activation("leaky_relu", alpha=0.3),
                ],
            },
        ),
        ("language model", SAID | {"embedding": "one_hot"}),
    ],
)
def test_the_tensors_of_a_state_dict_run_in_pytorch(torch, case, said):
    imported = interop.read(stored(case), Said(**said))
    inputs = MADE[f"{case}|x"]
    trace = imported.source.run(inputs, None, imported.taps)
    net = imported.network
    np.testing.assert_allclose(trace.output, net(inputs), rtol=0, atol=1e-6)
    assert len(trace.hidden) == len(net.layers)
    assert elman.compare(net, imported, inputs).ok
    if case != "norm behind":
        np.testing.assert_allclose(trace.output, MADE[f"{case}|output"], rtol=0, atol=1e-6)


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.any_isa
def test_convert_takes_the_same_options(tmp_path):
    from safetensors.numpy import save_file

    def convert(case, *words):
        save_file(stored(case), tmp_path / "in.safetensors")
        out = tmp_path / "out.safetensors"
        command.answer("convert", tmp_path / "in.safetensors", out, "--activation", "tanh", *words)
        return elman.load(out)

    one = "--output-activation", "identity"
    two = "--output-activation", "relu,identity"
    check("h0 flat", convert("h0 flat", "--initial-state", "h0", *one))
    for false in ("false", "False"):  # as in the message
        assert convert("h0 flat", "--initial-state", false, *one).initial_state is None
    check("two maps", convert("two maps", "--readout", "head.0,head.2", *two))
    check("language model", convert("language model", "--embedding", "one_hot", *one))
    assert convert("pruned", "--readout", "false").readout is None
