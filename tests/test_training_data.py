"""Training data: validation splits, and one-sentence errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import elman
from elman import reference
from fixtures.sentences import like
from fixtures.training import B, H, I, O, T, assert_same, network, train


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


@pytest.fixture
def y(rng):
    return rng.standard_normal((B, T, O))


def test_sequences_in_a_list_are_those_of_a_padded_array(x, y):
    lengths = np.array([7, 1, 4, 0, 2, 7])
    padded = train(x, y, lengths=lengths)
    xs, ys = ([a[:n] for a, n in zip(array, lengths, strict=True)] for array in (x, y))
    assert_same(train(xs, ys), padded)
    assert_same(train(tuple(xs), tuple(ys)), padded)
    objects = np.empty(B, dtype=object)
    objects[:] = xs
    assert_same(train(objects, ys), padded)


def test_the_last_outputs_of_lists_take_one_target_each(x, y):
    lengths = [7, 1, 4, 3, 2, 7]
    padded = train(x, y[:, 0], outputs="last", lengths=lengths)
    listed = train([a[:n] for a, n in zip(x, lengths, strict=True)], y[:, 0], outputs="last")
    assert_same(listed, padded)


def test_steps_that_are_padding_or_have_no_weight_are_never_read(x, y):
    lengths, real = [7, 1, 4, 3, 2, 7], np.ones((B, T))
    want = train(x, y, lengths=lengths, step_weight=np.arange(T) > 0)
    for sequence, length in enumerate(lengths):
        x[sequence, length:] = np.nan
        y[sequence, length:] = np.inf
    y[:, 0] = np.nan
    real[:, 0] = 0
    assert_same(train(x, y, lengths=lengths, step_weight=real), want)


def test_integer_weights_are_repeated_sequences(x, y):
    weights = [1, 2, 0, 3, 1, 0]
    repeated = np.repeat(np.arange(B), weights)
    net = network(dtype="float64")
    by_weight = train(x, y, net, sample_weight=weights, batch_size=99, optimizer="sgd")
    by_copies = train(x[repeated], y[repeated], net, batch_size=99, optimizer="sgd")
    assert by_weight.history.loss == pytest.approx(by_copies.history.loss, rel=1e-13)


def test_layout_and_kind_of_arrays_do_not_matter(x, y):
    x, y = x.astype(np.float32), y.astype(np.float32)
    want = train(x, y)
    wide = np.repeat(x, 2, axis=1)
    for same in (
        x.tolist(),
        np.asfortranarray(x),
        x.astype(np.float64),
        x.astype(">f4"),
        wide[:, ::2],
    ):
        assert_same(train(same, y), want)
    batch = train(x.reshape(2, 3, T, I), y.reshape(2, 3, T, O))
    assert_same(batch, want)


def test_tensors_are_arrays(x, y):
    want = train(x[0], y[0])
    torch = pytest.importorskip("torch")
    assert_same(train(torch.tensor(x[0]), torch.tensor(y[0])), want)


def test_each_loss_decreases(x, y, rng):
    classes = rng.integers(0, O, (B, T))
    for net, loss, targets in (
        (network("tanh"), "mse", np.tanh(y)),
        (network("sigmoid"), "bce", y > 0),
        (network("softmax"), "cross_entropy", classes),
        (network("softmax"), "cross_entropy", classes.astype(np.uint8)),
        (network("log_softmax"), "cross_entropy", classes),
        (network(output_size=None), "mse", rng.random((B, T, H))),
    ):
        history = train(x, targets, net, loss=loss, epochs=20).history
        assert history.loss[-1] < 0.99 * history.loss[0], loss


def test_a_log_softmax_readout_is_trained_as_a_softmax_one(x, rng):
    classes, w = rng.integers(0, O, (B, T)), {}
    for name in ("softmax", "log_softmax"):
        result = train(x, classes, network(name), loss="cross_entropy", epochs=3)
        w[name] = [result.history.loss, *(a.tobytes() for a in result.network.tensors().values())]
    assert w["softmax"] == w["log_softmax"]


def wrong_data(x, y):
    """Yield wrong arguments and the start of their errors."""
    nan = x.copy()
    nan[1, 2, 1] = np.nan
    yield {"x": nan}, "x: expected ..., got nan ... (1, 2, 1)"
    infinite = y.copy()
    infinite[1, 2, 0] = np.inf
    yield {"y": infinite}, "y: expected ..., got inf ... (1, 2, 0)"
    infinite = y.copy()
    infinite[5, 2, 0] = np.inf  # the place in all data, though a part is held out
    yield {"y": infinite, "validation": 0.5}, "y: expected ..., got inf ... (5, 2, 0)"
    yield {"y": y[..., :2]}, "y: expected (6, 7, 3), got (6, 7, 2)"
    yield {"y": y[:, :3]}, "y: expected (6, 7, 3), got (6, 3, 3)"
    yield {"y": y, "outputs": "last"}, "y: expected (6, 3), got (6, 7, 3)"
    yield {"x": x[..., :1]}, "x: expected (..., T, 2), got (6, 7, 1)"
    yield {"x": x[0, :, 0]}, "x: expected (..., T, 2), got (7,)"
    yield {"x": x[:0], "y": y[:0]}, "x: expected "
    yield {"x": x[:, :0], "y": y[:, :0]}, "x: expected "
    yield {"x": [], "y": []}, "x: expected (..., T, 2), got (0,)"
    yield {"lengths": [0] * B}, "x: expected "
    yield {"lengths": [T + 1] * B}, "lengths: expected 0 ..., got 8"
    yield {"lengths": [1] * 5}, "lengths: expected ..., got (5,)"
    yield {"sample_weight": [0] * B}, "x: expected "
    yield (
        {"sample_weight": [-1] * B},
        "sample_weight: expected ..., got -1",
    )
    yield {"sample_weight": [np.nan] * B}, "sample_weight: expected "
    yield {"sample_weight": [1] * 5}, "sample_weight: expected (6,), got (5,)"
    yield {"step_weight": np.ones(B)}, "step_weight: expected (6, 7), got (6,)"
    yield {"y": y[:, 0], "outputs": "last", "step_weight": np.ones(T)}, "step_weight: expected None"
    yield {"outputs": "first"}, "outputs: expected ..., got 'first'"
    yield {"state": np.zeros(H - 1)}, "state: expected (6, 5), got (4,)"
    yield {"state": np.full(H, np.nan)}, "state: expected ..., got nan"
    yield {"state": np.zeros(H), "train_initial_state": True}, "state: expected None"
    yield {"x": list(x), "y": list(y[:1])}, "y: expected ..., got 1"
    yield {"x": [x[0], x[1, :3]], "y": [y[0], y[1]]}, "y[1]: expected (3, 3), got (7, 3)"
    yield {"x": [x[0], x[1, :, :1]], "y": list(y[:2])}, "x[1]: expected (7, 2), got (7, 1)"


def test_data_that_do_not_fit_are_one_sentence(x, y):
    for arguments, sentence in wrong_data(x, y):
        with pytest.raises(elman.ElmanError, match=like(sentence)):
            train(**{"x": x, "y": y} | arguments)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0, 3], "y: expected ..., got 3 ... (0, 1)"),
        ([0, -1], "y: expected ..., got -1 ... (0, 1)"),
        (np.uint64([0, 2**63 + 1]), f"y: expected ..., got {2**63 + 1} ... (0, 1)"),
        ([0.0, 1.0], "y: expected ..., got ...float64"),
        ([False, True], "y: expected ..., got ...bool"),
        (["a", "b"], "y: expected ..., got ...<U1"),
        ([[1, 0, 0], [0, 1, 0]], "y: expected ..., got (1, 2, 3)"),
        (
            np.ma.masked_equal([0, 1], 1),
            "y: expected ..., got 1",
        ),
    ],
)
def test_invalid_classes_are_one_sentence(values, sentence):
    y = values[np.newaxis] if isinstance(values, np.ndarray) else [values]
    with pytest.raises(elman.ElmanError, match=like(sentence)):
        train(np.ones((1, 2, I)), y, network("softmax"), loss="cross_entropy")


@pytest.mark.parametrize("loss", ["bce", "cross_entropy"])
@pytest.mark.parametrize("change", ["identity", "scaling", "bare"])
def test_a_loss_that_does_not_fit_the_output_is_one_sentence(x, y, loss, change):
    fitting = {"bce": "sigmoid", "cross_entropy": "softmax"}[loss]
    net, found = {
        "identity": (network(), "'identity'"),
        "scaling": (network(fitting, output_std=[1, 2, 3]), "output scaling"),
        "bare": (network(output_size=None), "readout"),
    }[change]
    sentence = f"loss: '{loss}' ... '{fitting}' ..., got ...{found}"
    with pytest.raises(elman.ArgumentError, match=like(sentence)):
        train(x, y, net, loss=loss)


def test_a_target_of_bce_that_is_no_probability_is_named(x, y):
    y = np.clip(y, 0, 1)
    y[2, 3, 1] = 1.5
    with pytest.raises(elman.ArgumentError, match=r"^y: expected .*, got 1\.5"):
        train(x, y, network("sigmoid"), loss="bce")


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"epochs": -1}, ValueError, "epochs: expected ..., got -1"),
        ({"epochs": 2.0}, TypeError, "epochs: expected ..., got float"),
        ({"batch_size": 0}, ValueError, "batch_size: expected ..., got 0"),
        ({"bptt_steps": 0}, ValueError, "bptt_steps: expected ..., got 0"),
        ({"update_every": 2}, ValueError, "update_every: expected "),
        (
            {"bptt_steps": 2, "update_every": 3},
            ValueError,
            "update_every: expected 1 ..., got 3",
        ),
        ({"patience": 0}, ValueError, "patience: expected ..., got 0"),
        ({"min_delta": -1}, ValueError, "min_delta: expected ..., got -1"),
        ({"threads": 0}, ValueError, "threads: expected ..., got 0"),
        ({"learning_rate": 0}, ValueError, "learning_rate: expected ..., got 0"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate: expected ..., got str"),
        ({"weight_decay": -1}, ValueError, "weight_decay: expected ..., got -1"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected ..., got 0"),
        ({"clip_value": np.nan}, ValueError, "clip_value: expected ..., got nan"),
        ({"seed": -1}, ValueError, "seed: expected 0 ..., got -1"),
        ({"loss": "mae"}, ValueError, "loss: expected ... mse, bce, cross_entropy, got 'mae'"),
        ({"loss": None}, TypeError, "loss: expected ..., got NoneType"),
        ({"optimizer": "lion"}, ValueError, "optimizer: expected ... sgd, adam, adamw, rmsprop"),
        ({"optimizer": elman.Adam}, TypeError, "optimizer: expected "),
        ({"schedule": "cos"}, ValueError, "schedule: expected ... constant, cosine, linear"),
        ({"schedule": 3}, TypeError, "schedule: expected ..., got int"),
        ({"schedule": lambda share: -1}, ValueError, "schedule: expected "),
        ({"schedule": lambda share: "a"}, TypeError, "schedule: expected ..., got str"),
        ({"callback": 3}, TypeError, "callback: expected ..., got int"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected ..., got int"),
        ({"checkpoint": "c", "seed": None}, ValueError, "seed: expected "),
        ({"net": "net"}, TypeError, "net: expected ..., got str"),
    ],
)
def test_invalid_settings_are_one_sentence(x, y, arguments, kind, sentence):
    with pytest.raises(kind, match=like(sentence)) as caught:
        train(x, y, **arguments)
    assert "\n" not in str(caught.value)


def test_loss_and_gradients_requires_a_network(x, y):
    with pytest.raises(TypeError, match=r"^net: expected .*, got NoneType"):
        elman.loss_and_gradients(None, x, y)


# --- validation -----------------------------------------------------------------------------------


def test_validation_takes_every_form(x, y):
    want = train(x, y, validation=(x[:2], y[:2]))
    assert len(want.history.validation_loss) == 3
    for same in ([x[:2], y[:2]], {"x": x[:2], "y": y[:2]}, (list(x[:2]), list(y[:2]))):
        assert_same(train(x, y, validation=same), want)
    short = {"x": x[:2], "y": y[:2], "lengths": [3, 4], "sample_weight": [1, 2]}
    assert train(x, y, validation=short).history.validation_loss != want.history.validation_loss


def test_a_share_of_the_sequences_is_held_out_by_the_seed(x, y):
    """Each sequence is marked by a weight, so that the loss shows which ones were used."""
    net, held = network(dtype="float64"), set()
    each = [reference.loss_and_gradients(net, x[i], y[i])[0] for i in range(B)]
    for seed in range(8):
        options = {"validation": 0.4, "seed": seed, "epochs": 1, "batch_size": B}
        result = train(x, y, net, learning_rate=1e-300, **options)
        (loss,), (apart,) = result.history.loss, result.history.validation_loss
        pairs = [
            pair
            for pair in itertools.combinations(range(B), 2)
            if np.mean([each[i] for i in pair]) == pytest.approx(apart, rel=1e-12)
        ]
        assert len(pairs) == 1
        rest = [each[i] for i in range(B) if i not in pairs[0]]
        assert loss == pytest.approx(np.mean(rest), rel=1e-12)
        held.add(pairs[0])
    assert len(held) > 1


def test_the_end_of_a_series_is_held_out_and_run_from_its_start(x, y):
    net, series, target = network(dtype="float64"), x[0], y[0]
    options = {"epochs": 1, "learning_rate": 1e-300}
    result = train(series, target, net, validation=0.3, **options)
    error = ((reference.run(net, series).output - target) ** 2).mean(-1)
    assert result.history.loss == [pytest.approx(error[:5].mean(), rel=1e-12)]
    assert result.history.validation_loss == [pytest.approx(error[5:].mean(), rel=1e-12)]


@pytest.mark.parametrize(
    ("validation", "kind", "sentence"),
    [
        (0.0, ValueError, "validation: expected ..., got 0"),
        (1, ValueError, "validation: expected ..., got 1"),
        (0.99, ValueError, "validation: expected "),
        ("0.2", TypeError, "validation: expected (x, y), ..., got str"),
        (
            np.ones(3),
            TypeError,
            "validation: expected (x, y), ..., got ndarray",
        ),
        ((1,), ValueError, "validation: expected (x, y), got 1"),
        ({"x": 1}, ValueError, "validation: expected "),
        ({"x": 1, "y": 1, "z": 1}, ValueError, "validation: expected "),
        (
            (np.ones((4, I)), np.ones((4, 2))),
            ValueError,
            "validation: y: expected (4, 3), got (4, 2)",
        ),
        (
            (np.ones((0, I)), np.ones((0, O))),
            ValueError,
            "validation: x: expected ",
        ),
    ],
)
def test_invalid_validation_data_are_one_sentence(x, y, validation, kind, sentence):
    with pytest.raises(kind, match=like(sentence)):
        train(x, y, validation=validation)


@pytest.mark.parametrize("name", ["x", "y", "step_weight"])
def test_lists_do_not_lose_their_masks(x, y, name):
    """Masked elements in a list are refused, also in parts of one array."""
    data = {"x": list(x), "y": list(y), "step_weight": list(np.ones(x.shape[:2]))}
    data[name][1] = np.ma.masked_array(data[name][1], mask=True)
    count = data[name][1].size
    message = rf"^{name}\[1\]: expected .*, got {count}"
    with pytest.raises(elman.DTypeError, match=message):
        elman.Trainer(elman.Network(x.shape[-1], 4, y.shape[-1], seed=0)).update(**data)
