"""Chains of parts, as the readers of other frameworks describe models, folded into networks."""

from __future__ import annotations

import numpy as np
import pytest

from elman.activation import Activation
from elman.errors import ShapeError, UnsupportedModelError
from elman.interop._chain import Affine, Function, Half, Recurrent, Scale, Standardize, assemble
from elman.interop._source import Piece, Said

FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "identity": lambda v: v,
    "softmax": lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True),
}


def array(piece, default):
    return default if piece is None else piece.array


def evaluate(parts, x):
    """Compute a chain part by part, as a framework does."""
    for part in parts:
        match part:
            case Affine():
                x = x @ part.W.array.T + sum((b.array for b in part.b), 0.0)
            case Scale():
                x = x * array(part.by, 1.0) + array(part.plus, 0.0)
            case Standardize():
                x = (x - array(part.mean, 0.0)) / array(part.std, 1.0)
            case Function():
                x = FUNCTIONS[part.activation.name](x)
            case Recurrent():
                outputs = [half_of(part, index, x) for index in range(len(part.halves))]
                merged = {
                    "concat": lambda all_: np.concatenate(all_, -1),
                    "sum": sum,
                    "ave": lambda all_: sum(all_) / len(all_),
                }
                x = merged[part.merge](outputs)
    return x


def half_of(part, index, x):
    half = part.halves[index]
    steps = range(len(x))
    if index == 1 or part.direction == "reverse":
        steps = reversed(steps)
    h = array(half.initial_state, np.zeros(len(half.W_hh.array)))
    states = np.empty((len(x), len(h)))
    for t in steps:
        biases = sum((b.array for b in half.b_h), 0.0)
        h = states[t] = np.tanh(half.W_xh.array @ x[t] + half.W_hh.array @ h + biases)
    return states


class Maker:
    """Random parts, each with arrays of its own."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.count = 0

    def piece(self, *shape, positive=False):
        self.count += 1
        values = self.rng.normal(0, 0.5, shape)
        return Piece(f"array {self.count}", np.abs(values) + 0.1 if positive else values)

    def maybe(self, piece, chance=0.7):
        return piece if self.rng.random() < chance else None

    def recurrent(self, I, H, halves=1, direction="forward", merge="concat", *, start=False):
        parts = tuple(
            Half(
                self.piece(H, I),
                self.piece(H, H),
                tuple(self.piece(H) for _ in range(self.rng.integers(0, 3))),
                Activation("tanh"),
                self.piece(H) if start else None,
            )
            for _ in range(halves)
        )
        return Recurrent(f"rnn {self.count}", parts, direction, merge)

    def part(self, kind, width):
        """Return a part for vectors of this width, and the width of its result."""
        rng = self.rng
        shape = (width,) if rng.random() < 0.5 else ()
        size = int(rng.integers(1, 4))
        match kind:
            case "affine":
                b = (self.piece(size),) if rng.random() < 0.5 else ()
                return Affine("affine", self.piece(size, width), b), size
            case "scale":
                by = self.maybe(self.piece(*shape, positive=bool(rng.random() < 0.6)))
                return Scale("scale", by, self.maybe(self.piece(*shape))), width
            case "standardize":
                std = self.maybe(self.piece(*shape, positive=True))
                return Standardize("standardize", self.maybe(self.piece(*shape)), std), width
            case "function":
                name = str(rng.choice(["tanh", "relu", "sigmoid", "identity"]))
                return Function("function", Activation(name)), width
            case _:
                start = bool(rng.random() < 0.3)
                if rng.random() < 0.5:
                    merge = str(rng.choice(["concat", "sum", "ave"]))
                    one = self.recurrent(width, size, 2, "bidirectional", merge, start=start)
                    return one, 2 * size if merge == "concat" else size
                direction = str(rng.choice(["forward", "reverse"]))
                return self.recurrent(width, size, 1, direction, start=start), size

    def chain(self):
        """Return a random chain with at least one recurrent layer, and its number of inputs."""
        kinds = ["affine", "scale", "standardize", "function", "recurrent"]
        chosen = [str(kind) for kind in self.rng.choice(kinds, self.rng.integers(0, 8))]
        chosen.insert(int(self.rng.integers(0, len(chosen) + 1)), "recurrent")
        width = inputs = int(self.rng.integers(1, 4))
        parts = []
        for kind in chosen:
            part, width = self.part(kind, width)
            parts.append(part)
        if self.rng.random() < 0.2:
            parts.append(Function("softmax", Activation("softmax")))
        return parts, inputs


@pytest.mark.parametrize("seed", range(20))
def test_a_chain_computes_what_its_parts_compute(seed):
    maker = Maker(seed)
    for _ in range(20):
        parts, inputs = maker.chain()
        x = maker.rng.normal(size=(6, inputs))
        net = assemble(parts, Said(dtype="float64")).network
        want = evaluate(parts, x)
        np.testing.assert_allclose(net(x), want, rtol=1e-10, atol=1e-10, err_msg=str(parts))


def test_a_plain_chain_keeps_the_bits_of_its_arrays():
    maker = Maker(0)
    rnn = maker.recurrent(3, 4)
    rnn = rnn._replace(halves=(rnn.halves[0]._replace(b_h=(maker.piece(4),)),))
    readout = Affine("fc", maker.piece(2, 4), (maker.piece(2),))
    mean, std = maker.piece(3), maker.piece(3, positive=True)
    parts = [
        Standardize("normalization", mean, std),
        rnn,
        readout,
        Function("fc", Activation("sigmoid")),
        Scale("rescaling", std_out := maker.piece(2, positive=True)),
    ]
    found = assemble(parts, Said(dtype="float64"))
    tensors = found.network.tensors()
    for name, piece in {
        "input_mean": mean,
        "input_std": std,
        "layers.0.W_xh": rnn.halves[0].W_xh,
        "layers.0.W_hh": rnn.halves[0].W_hh,
        "layers.0.b_h": rnn.halves[0].b_h[0],
        "readout.W_hy": readout.W,
        "readout.b_y": readout.b[0],
        "output_std": std_out,
    }.items():
        np.testing.assert_array_equal(tensors.pop(name), piece.array)
    assert not tensors
    assert {row.source: (row.target, row.note) for row in found.rows}[mean.name] == (
        "input_mean",
        "",
    )
    assert found.taps == (rnn.name,)
    assert found.masks


def test_every_array_of_the_source_has_a_row():
    maker = Maker(1)
    for _ in range(50):
        parts, _ = maker.chain()
        named = {row.source for row in assemble(parts, Said()).rows}
        wanted = set()
        for part in parts:
            if isinstance(part, Recurrent):
                for half in part.halves:
                    wanted |= {half.W_xh.name, half.W_hh.name, *(b.name for b in half.b_h)}
                    wanted |= {half.initial_state.name} if half.initial_state else set()
            elif isinstance(part, Affine):
                wanted |= {part.W.name, *(b.name for b in part.b)}
            elif isinstance(part, Scale):
                wanted |= {piece.name for piece in (part.by, part.plus) if piece}
            elif isinstance(part, Standardize):
                wanted |= {piece.name for piece in (part.mean, part.std) if piece}
        assert named == wanted


def test_a_start_state_of_several_halves_has_a_row_for_each():
    maker = Maker(5)
    rnn = maker.recurrent(2, 3, 2, "bidirectional", start=True)
    rows = [row for row in assemble([rnn], Said()).rows if row.target == "initial_state"]
    assert [(row.source, row.note) for row in rows] == [
        (half.initial_state.name, "") for half in rnn.halves
    ]


def test_a_hidden_linear_layer_is_a_layer_without_recurrence():
    maker = Maker(2)
    rnn = maker.recurrent(2, 3)
    hidden, relu = Affine("dense", maker.piece(4, 3)), Function("dense", Activation("relu"))
    readout = Affine("out", maker.piece(1, 4), (maker.piece(1),))
    found = assemble([rnn, hidden, relu, readout], Said())
    assert found.network.hidden_sizes == (3, 4)
    assert not found.network.layers[1].W_hh.any()
    assert found.taps == (rnn.name, "dense")
    assert not found.masks
    below = assemble(
        [Affine("a", maker.piece(2, 5)), relu, rnn, readout._replace(W=rnn_out(maker))], Said()
    )
    assert below.masks


def rnn_out(maker):
    return maker.piece(1, 3)


def test_the_dtype_is_that_of_the_matrices():
    maker = Maker(3)
    rnn = maker.recurrent(2, 3)
    half = rnn.halves[0]
    narrow = Half(
        *(piece._replace(array=piece.array.astype("f4")) for piece in half[:2]), (), half.activation
    )
    chain = [Standardize("n", maker.piece(2)), rnn._replace(halves=(narrow,))]
    assert assemble(chain, Said()).network.dtype == "float32"
    assert assemble([rnn], Said()).network.dtype == "float64"
    assert assemble([rnn], Said(dtype="float32")).network.dtype == "float32"


def test_what_no_network_computes_is_refused_by_name():
    maker = Maker(4)
    rnn, softmax = maker.recurrent(2, 3), Function("attention", Activation("softmax"))
    with pytest.raises(UnsupportedModelError, match="'attention': expected softmax at the end"):
        assemble([rnn, softmax, Affine("out", maker.piece(1, 3))], Said())
    with pytest.raises(UnsupportedModelError, match="a simple RNN, got none"):
        assemble([Affine("out", maker.piece(1, 3))], Said())
    wrong = maker.piece(1, 4)
    with pytest.raises(ShapeError, match=rf"{wrong.name}: expected \(O, 3\), got \(1, 4\)"):
        assemble([rnn, Affine("out", wrong)], Said())
    with pytest.raises(ShapeError, match=r"expected \(3,\), got \(2,\)"):
        assemble([rnn, Scale("scale", maker.piece(2))], Said())
