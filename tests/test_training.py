"""`elman.train` from outside: what it is given, how it goes on, when it ends, what it leaves."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import signal
import sys

import numpy as np
import pytest

import elman
from elman import reference, storage
from elman.training import optimizers

I, H, O, T, B = 2, 5, 3, 7, 6


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


@pytest.fixture
def y(rng):
    return rng.standard_normal((B, T, O))


def network(output_activation="identity", **options):
    options = {"hidden_size": H, "output_size": O, "seed": 0} | options
    return elman.Network(input_size=I, output_activation=output_activation, **options)


def train(x, y, net=None, **options):
    options = {"epochs": 3, "learning_rate": 0.01, "batch_size": 4} | options
    return elman.train(net or network(), x, y, **options)


def assert_same(one, other):
    """Hold two results to the same bits."""
    assert one.network == other.network
    assert one.history == other.history
    assert one.updates == other.updates


# --- what it returns ------------------------------------------------------------------------------


def test_the_network_that_is_passed_in_never_changes(x, y):
    net = network(initial_state=np.ones(H), metadata={"made": "here"})
    before = {name: array.copy() for name, array in net._tensors.items()}
    result = train(x, y, net, train_initial_state=True)
    assert before.keys() == net._tensors.keys()
    for name, array in net._tensors.items():
        np.testing.assert_array_equal(array, before[name])
        assert not np.array_equal(result.network._tensors[name], array), name
    assert result.network.metadata == net.metadata
    assert not result.network.readout.W_hy.flags.writeable


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_history_counts_from_1_and_the_network_has_its_dtype(x, y, dtype):
    result = train(x, y, network(dtype=dtype), learning_rate=0.02)
    history = result.history
    assert result.network.dtype == dtype
    assert (result.stopped, result.updates) == ("epochs", 6)  # of six sequences, four at a time
    assert history.epoch == [1, 2, 3]
    assert history.learning_rate == [0.02] * 3
    assert (history.validation_loss, history.best_epoch) == ([], 3)
    assert history.loss[0] > history.loss[1] > history.loss[2]


def test_the_loss_of_an_epoch_and_of_validation_are_those_of_the_reference(x, y):
    net = network(dtype="float64")
    result = train(x, y, net, batch_size=B, validation=(x[:2], y[:2]), epochs=1)
    assert result.history.loss == [pytest.approx(reference.loss_and_gradients(net, x, y)[0])]
    after, _ = reference.loss_and_gradients(result.network, x[:2], y[:2])
    assert result.history.validation_loss == [pytest.approx(after)]


def test_no_epochs_are_no_training(x, y):
    result = train(x, y, epochs=0, validation=0.5, patience=1)
    assert result.network == network()
    assert (result.stopped, result.updates) == ("epochs", 0)
    assert result.history == elman.training.History()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [1, 8, [17, 3]])
def test_any_number_of_threads_gives_the_same_bits(rng, dtype, hidden):
    x, y = rng.standard_normal((50, 9, I)), rng.standard_normal((50, 9, O))
    lengths = rng.integers(0, 10, 50)
    net = network(hidden_size=hidden, dtype=dtype)
    options = {"lengths": lengths, "bptt_steps": 4, "update_every": 3, "clip_norm": 0.1}
    options |= {"batch_size": 40, "validation": 0.2, "schedule": "cosine"}
    alone = train(x, y, net, **options)
    assert_same(train(x, y, net, **options), alone)
    for threads in (2, 3, 16, 99):
        assert_same(train(x, y, net, threads=threads, **options), alone)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_fused_instruction_set_gives_the_same_bits(x, y, fused_isas, dtype, optimizer):
    before, results = elman.isa(), []
    try:
        for isa in dict.fromkeys(["scalar", *fused_isas]):
            elman.set_isa(isa)
            net = network(hidden_size=[17, 4], dtype=dtype)
            options = {"bptt_steps": 5, "clip_norm": 0.1, "clip_value": 0.05, "schedule": "cosine"}
            result = train(x, y, net, optimizer=optimizer, validation=0.3, **options)
            assert result.network.isa == isa
            results.append(result)
    finally:
        elman.set_isa(before)
    for result in results[1:]:
        assert_same(result, results[0])


# --- data -----------------------------------------------------------------------------------------


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


def test_what_is_padded_or_has_no_weight_is_never_read(x, y):
    lengths, real = [7, 1, 4, 3, 2, 7], np.ones((B, T))
    want = train(x, y, lengths=lengths, step_weight=np.arange(T) > 0)
    for sequence, length in enumerate(lengths):
        x[sequence, length:] = np.nan
        y[sequence, length:] = np.inf
    y[:, 0] = np.nan
    real[:, 0] = 0
    assert_same(train(x, y, lengths=lengths, step_weight=real), want)


def test_whole_weights_are_repeated_sequences(x, y):
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


def test_frames_and_tensors_are_arrays(x, y):
    want = train(x[0], y[0])
    pandas = pytest.importorskip("pandas")
    assert_same(train(pandas.DataFrame(x[0]), pandas.DataFrame(y[0])), want)
    torch = pytest.importorskip("torch")
    assert_same(train(torch.tensor(x[0]), torch.tensor(y[0])), want)


def test_each_loss_goes_down(x, y, rng):
    classes = rng.integers(0, O, (B, T))
    for net, loss, targets in (
        (network("tanh"), "mse", y),
        (network("sigmoid"), "bce", y > 0),
        (network("softmax"), "cross_entropy", classes),
        (network("softmax"), "cross_entropy", classes.astype(np.uint8)),
        (network(output_size=None), "mse", rng.random((B, T, H))),
    ):
        history = train(x, targets, net, loss=loss, epochs=20).history
        assert history.loss[-1] < 0.99 * history.loss[0], loss


def wrong_data(x, y):
    """Yield wrong arguments by what is said of them."""
    nan = x.copy()
    nan[1, 2, 1] = np.nan
    yield {"x": nan}, "x: expected finite numbers, got nan at (1, 2, 1)"
    infinite = y.copy()
    infinite[1, 2, 0] = np.inf
    yield {"y": infinite}, "y: expected finite numbers, got inf at (1, 2, 0)"
    yield {"y": y[..., :2]}, "y: expected (6, 7, 3), got (6, 7, 2)"
    yield {"y": y[:, :3]}, "y: expected (6, 7, 3), got (6, 3, 3)"
    yield {"y": y, "outputs": "last"}, "y: expected (6, 3), got (6, 7, 3)"
    yield {"x": x[..., :1]}, "x: expected (..., T, 2), got (6, 7, 1)"
    yield {"x": x[0, :, 0]}, "x: expected (..., T, I), got (7,)"
    yield {"x": x[:0], "y": y[:0]}, "x: expected a step that counts, got none"
    yield {"x": x[:, :0], "y": y[:, :0]}, "x: expected a step that counts, got none"
    yield {"x": [], "y": []}, "x: expected (..., T, I), got (0,)"
    yield {"lengths": [0] * B}, "x: expected a step that counts, got none"
    yield {"lengths": [T + 1] * B}, "lengths: expected 0 to T = 7, got 8"
    yield {"lengths": [1] * 5}, "lengths: expected one for every sequence, (6,), got (5,)"
    yield {"sample_weight": [0] * B}, "x: expected a step that counts, got none"
    yield (
        {"sample_weight": [-1] * B},
        "sample_weight: expected finite numbers, none below 0, got -1",
    )
    yield {"sample_weight": [np.nan] * B}, "sample_weight: expected finite numbers"
    yield {"sample_weight": [1] * 5}, "sample_weight: expected (6,), got (5,)"
    yield {"step_weight": np.ones(B)}, "step_weight: expected (6, 7), got (6,)"
    yield {"y": y[:, 0], "outputs": "last", "step_weight": np.ones(T)}, "step_weight: expected None"
    yield {"outputs": "first"}, "outputs: expected 'all' or 'last', got 'first'"
    yield {"state": np.zeros(H - 1)}, "state: expected (6, 5), got (4,)"
    yield {"state": np.full(H, np.nan)}, "state: expected finite numbers, got nan"
    yield {"state": np.zeros(H), "train_initial_state": True}, "state: expected None"
    yield {"x": list(x), "y": list(y[:1])}, "y: expected a list of 6 arrays, as x is one, got 1"
    yield {"x": [x[0], x[1, :3]], "y": [y[0], y[1]]}, "y[1]: expected (3, 3), got (7, 3)"
    yield {"x": [x[0], x[1, :, :1]], "y": list(y[:2])}, "x[1]: expected (7, 2), got (7, 1)"


def test_data_that_do_not_fit_are_one_sentence(x, y):
    for arguments, sentence in wrong_data(x, y):
        with pytest.raises(elman.ElmanError, match="^" + re.escape(sentence)):
            train(**{"x": x, "y": y} | arguments)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0, 3], "y: expected classes from 0 to 2, got 3 at (0, 1)"),
        ([0, -1], "y: expected classes from 0 to 2, got -1 at (0, 1)"),
        (np.uint64([0, 2**63 + 1]), f"y: expected classes from 0 to 2, got {2**63 + 1} at (0, 1)"),
        ([0.0, 1.0], "y: expected classes as integers, got dtype float64"),
        ([False, True], "y: expected classes as integers, got dtype bool"),
        (["a", "b"], "y: expected classes as integers, got dtype <U1"),
        ([[1, 0, 0], [0, 1, 0]], "y: expected classes of shape (1, 2), got (1, 2, 3)"),
        (
            np.ma.masked_equal([0, 1], 1),
            "y: expected an array without masked elements, got 1 masked",
        ),
    ],
)
def test_classes_that_are_none_are_one_sentence(values, sentence):
    y = values[np.newaxis] if isinstance(values, np.ndarray) else [values]
    with pytest.raises(elman.ElmanError, match="^" + re.escape(sentence)):
        train(np.ones((1, 2, I)), y, network("softmax"), loss="cross_entropy")


@pytest.mark.parametrize("loss", ["bce", "cross_entropy"])
@pytest.mark.parametrize("change", ["identity", "units", "bare"])
def test_a_loss_that_does_not_fit_the_output_is_one_sentence(x, y, loss, change):
    fitting = {"bce": "sigmoid", "cross_entropy": "softmax"}[loss]
    net, found = {
        "identity": (network(), "output_activation 'identity'"),
        "units": (network(fitting, output_scale=[1, 2, 3]), "one with output units"),
        "bare": (network(output_size=None), "a network without a readout"),
    }[change]
    sentence = f"loss: '{loss}' expects output_activation '{fitting}' without output units, got "
    with pytest.raises(elman.ArgumentError, match="^" + re.escape(sentence + found)):
        train(x, y, net, loss=loss)


def test_a_target_of_bce_that_is_no_probability_is_named(x, y):
    y = np.clip(y, 0, 1)
    y[2, 3, 1] = 1.5
    with pytest.raises(elman.ArgumentError, match=r"^y: expected numbers from 0 to 1, got 1\.5 at"):
        train(x, y, network("sigmoid"), loss="bce")


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"epochs": -1}, ValueError, "epochs: expected at least 0, got -1"),
        ({"epochs": 2.0}, TypeError, "epochs: expected an integer, got float"),
        ({"batch_size": 0}, ValueError, "batch_size: expected at least 1, got 0"),
        ({"bptt_steps": 0}, ValueError, "bptt_steps: expected at least 1, got 0"),
        ({"update_every": 2}, ValueError, "update_every: expected with bptt_steps, got it alone"),
        (
            {"bptt_steps": 2, "update_every": 3},
            ValueError,
            "update_every: expected 1 to bptt_steps = 2, got 3",
        ),
        ({"patience": 0}, ValueError, "patience: expected at least 1, got 0"),
        ({"min_delta": -1}, ValueError, "min_delta: expected a number at least 0, got -1"),
        ({"threads": 0}, ValueError, "threads: expected at least 1, got 0"),
        ({"learning_rate": 0}, ValueError, "learning_rate: expected a number above 0, got 0"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate: expected a number, got str"),
        ({"weight_decay": -1}, ValueError, "weight_decay: expected a number at least 0, got -1"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected a number above 0, got 0"),
        ({"clip_value": np.nan}, ValueError, "clip_value: expected a number above 0, got nan"),
        ({"seed": -1}, ValueError, "seed: expected 0 to 2**64 - 1, got -1"),
        ({"loss": "mae"}, ValueError, "loss: expected mse, bce or cross_entropy, got 'mae'"),
        ({"loss": None}, TypeError, "loss: expected a name, got NoneType"),
        ({"optimizer": "lion"}, ValueError, "optimizer: expected one of sgd, adam, adamw, rmsprop"),
        ({"optimizer": elman.Adam}, TypeError, "optimizer: expected a name or an elman.SGD"),
        ({"schedule": "cos"}, ValueError, "schedule: expected one of constant, cosine, linear"),
        ({"schedule": 3}, TypeError, "schedule: expected a name or a function, got int"),
        ({"schedule": lambda share: -1}, ValueError, "schedule: expected a number at least 0"),
        ({"schedule": lambda share: "a"}, TypeError, "schedule: expected a number, got str"),
        ({"callback": 3}, TypeError, "callback: expected a function, got int"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected a path, got int"),
        ({"checkpoint": "c", "seed": None}, ValueError, "seed: expected a number with checkpoint"),
        ({"net": "net"}, TypeError, "net: expected an elman.Network, got str"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(x, y, arguments, kind, sentence):
    with pytest.raises(kind, match="^" + re.escape(sentence)) as caught:
        train(x, y, **arguments)
    assert "\n" not in str(caught.value)


def test_the_gradients_of_something_else_are_refused(x, y):
    with pytest.raises(TypeError, match=r"^net: expected an elman\.Network, got NoneType"):
        elman.loss_and_gradients(None, x, y)


# --- order, windows and states --------------------------------------------------------------------


def test_a_seed_decides_the_order_and_nothing_else_does(x, y):
    first = train(x, y, batch_size=1)
    assert_same(train(x, y, batch_size=1, seed=0), first)
    assert train(x, y, batch_size=1, seed=1).network != first.network
    plain = train(x, y, batch_size=1, shuffle=False)
    assert_same(train(x, y, batch_size=1, shuffle=False, seed=1), plain)
    assert plain.network != first.network
    fresh = [train(x, y, batch_size=1, seed=None).network for _ in range(4)]
    assert len(set(fresh)) > 1


def by_hand(net, updates, rate):
    """Return the network after plain gradient descent with gradients of the reference.

    Each update makes (x, y, arguments) from the network as it is.
    """
    for make in updates:
        x, y, arguments = make(net)
        _, gradients = reference.loss_and_gradients(net, x, y, **arguments)
        moved = gradients.tensors()
        layer, readout = net.layers[0], net.readout
        net = elman.Network.from_weights(
            [
                tuple(
                    getattr(layer, name) - rate * moved[f"layers.0.{name}"]
                    for name in ("W_xh", "W_hh", "b_h")
                )
            ],
            (
                readout.W_hy - rate * moved["readout.W_hy"],
                readout.b_y - rate * moved["readout.b_y"],
            ),
            output_activation="identity",
        )
    return net


def assert_close(net, want):
    for name, array in want._tensors.items():
        np.testing.assert_allclose(net._tensors[name], array, rtol=1e-11, atol=1e-13)


def state_after(net, x, state):
    """Return where a window ends, of which the last steps are walked through anew."""
    return reference.run(net, x, state).state


def test_windows_are_updates_with_the_state_carried_over(x, y):
    """BPTT(3; 3) over one series: windows 0-2, 3-5 and 6, each with the weights of the moment."""
    net, series, target = network(dtype="float64"), x[0], y[0]
    state = np.zeros(H)

    def window(begin, end):
        def make(net):
            nonlocal state
            arguments = {"state": state}
            state = state_after(net, series[begin:end], state)
            return series[begin:end], target[begin:end], arguments

        return make

    want = by_hand(net, [window(0, 3), window(3, 6), window(6, 7)], rate=0.1)
    result = train(series, target, net, optimizer="sgd", learning_rate=0.1, epochs=1, bptt_steps=3)
    assert result.updates == 3
    assert_close(result.network, want)


def test_one_step_of_memory_is_elmans_own_training(x, y):
    net, series, target = network(dtype="float64"), x[0], y[0]
    state = np.zeros(H)

    def step(t):
        def make(net):
            nonlocal state
            arguments = {"state": state}
            state = state_after(net, series[t : t + 1], state)
            return series[t : t + 1], target[t : t + 1], arguments

        return make

    want = by_hand(net, map(step, range(T)), rate=0.1)
    result = train(series, target, net, optimizer="sgd", learning_rate=0.1, epochs=1, bptt_steps=1)
    assert_close(result.network, want)


def test_a_carried_state_begins_an_epoch_where_the_last_one_ended(x, y):
    net, series, target = network(dtype="float64"), x[0], y[0]
    state = np.zeros(H)

    def epoch(net):
        nonlocal state
        arguments = {"state": state}
        state = state_after(net, series, state)
        return series, target, arguments

    options = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 3}
    carried = train(series, target, net, carry_state=True, **options)
    assert_close(carried.network, by_hand(net, [epoch] * 3, rate=0.1))
    assert train(series, target, net, **options).network != carried.network


def test_carried_states_stay_with_their_sequences_whatever_the_order(x, y):
    options = {"optimizer": "sgd", "carry_state": True, "batch_size": B}
    net = network(dtype="float64")
    shuffled = train(x, y, net, shuffle=True, **options)
    assert_close(shuffled.network, train(x, y, net, shuffle=False, **options).network)


@pytest.mark.parametrize(("options", "updates"), [({}, 2), ({"bptt_steps": 3}, 6)])
def test_an_epoch_makes_an_update_for_each_window_of_each_batch(x, y, options, updates):
    assert train(x, y, epochs=1, **options).updates == updates


def test_only_what_is_trained_moves(x, y):
    net = network(initial_state=np.full(H, 0.5), input_shift=[1, 2], output_scale=[1, 2, 3])
    fixed = train(x, y, net).network
    np.testing.assert_array_equal(fixed.initial_state, net.initial_state)
    for unit in ("input_shift", "output_scale"):
        np.testing.assert_array_equal(getattr(fixed, unit), getattr(net, unit))
    assert train(x, y).network.initial_state is None
    assert np.any(train(x, y, train_initial_state=True).network.initial_state)


# --- the learning rate and the size of a step -----------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        (None, lambda share: 1),
        ("constant", lambda share: 1),
        ("linear", lambda share: 1 - share),
        ("cosine", lambda share: (1 + np.cos(np.pi * share)) / 2),
        (lambda share: 2 + share, lambda share: 2 + share),
    ],
    ids=["none", "constant", "linear", "cosine", "function"],
)
def test_a_schedule_is_a_factor_for_each_update(x, y, schedule, factor):
    history = train(x, y, schedule=schedule, learning_rate=0.1, epochs=4).history
    last = (2 * np.arange(4) + 1) / 8  # two updates an epoch: the shares made before the second
    assert history.learning_rate == pytest.approx(0.1 * np.vectorize(factor)(last), rel=1e-14)


def test_cosine_is_the_cosine_to_the_last_digits():
    rates = optimizers.learning_rates(1.0, "cosine", 1, 1, 1000)
    want = (1 + np.cos(np.pi * np.arange(1000) / 1000)) / 2
    np.testing.assert_allclose(rates, want, rtol=0, atol=3e-16)


def test_clipping_bounds_what_sgd_moves(x, y):
    net = network(dtype="float64")
    options = {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, "batch_size": B}

    def way(**clip):
        moved = train(x, y, net, **options, **clip).network._tensors
        return np.concatenate([(moved[n] - a).ravel() for n, a in net._tensors.items()])

    free = way()
    assert np.linalg.norm(free) > 0.1
    assert abs(free).max() > 0.02
    assert np.linalg.norm(way(clip_norm=0.1)) == pytest.approx(0.1, rel=1e-4)
    np.testing.assert_allclose(way(clip_value=0.02), np.clip(free, -0.02, 0.02), rtol=1e-9)


def test_weight_decay_is_the_formula_of_each_optimizer(x, y):
    """With targets that are met there is no gradient, and decay is all that moves."""
    net = network(dtype="float64")
    met = net(x)
    options = {"learning_rate": 0.1, "epochs": 1, "batch_size": B, "weight_decay": 0.5}
    for optimizer in (elman.SGD(), elman.AdamW()):
        result = train(x, met, net, optimizer=optimizer, **options)
        assert result.history.loss == [0.0]
        for name, array in net._tensors.items():
            np.testing.assert_allclose(result.network._tensors[name], array * 0.95, rtol=1e-12)


def test_settings_of_an_optimizer_may_be_numbers_of_any_type(x, y, tmp_path):
    odd = elman.Adam(np.float32(0.5), beta1=np.float64(0.5))
    assert odd == elman.Adam(0.5, beta1=0.5)
    train(x, y, optimizer=odd, learning_rate=np.float32(0.25), checkpoint=tmp_path / "c")


# --- validation, patience and the end -------------------------------------------------------------


def test_validation_takes_every_form(x, y):
    want = train(x, y, validation=(x[:2], y[:2]))
    assert len(want.history.validation_loss) == 3
    for same in ([x[:2], y[:2]], {"x": x[:2], "y": y[:2]}, (list(x[:2]), list(y[:2]))):
        assert_same(train(x, y, validation=same), want)
    short = {"x": x[:2], "y": y[:2], "lengths": [3, 4], "sample_weight": [1, 2]}
    assert train(x, y, validation=short).history.validation_loss != want.history.validation_loss


def test_a_share_of_the_sequences_is_held_out_by_the_seed(x, y):
    """Each sequence is marked by a weight, so that the loss tells which ones were taken."""
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


def test_of_a_series_the_end_is_held_out_with_all_that_leads_up_to_it(x, y):
    net, series, target = network(dtype="float64"), x[0], y[0]
    options = {"epochs": 1, "learning_rate": 1e-300}
    result = train(series, target, net, validation=0.3, **options)
    error = ((reference.run(net, series).output - target) ** 2).mean(-1)
    assert result.history.loss == [pytest.approx(error[:5].mean(), rel=1e-12)]
    assert result.history.validation_loss == [pytest.approx(error[5:].mean(), rel=1e-12)]


@pytest.mark.parametrize(
    ("validation", "kind", "sentence"),
    [
        (0.0, ValueError, "validation: expected a number above 0 and below 1, got 0"),
        (1, ValueError, "validation: expected a number above 0 and below 1, got 1"),
        (0.99, ValueError, "validation: expected a fraction that leaves something of 6 sequences"),
        ("0.2", TypeError, "validation: expected (x, y), a mapping or a fraction, got str"),
        (
            np.ones(3),
            TypeError,
            "validation: expected (x, y), a mapping or a fraction, got ndarray",
        ),
        ((1,), ValueError, "validation: expected (x, y), got 1 parts"),
        ({"x": 1}, ValueError, "validation: expected x and y, got no y"),
        ({"x": 1, "y": 1, "z": 1}, ValueError, "validation: expected some of x, y, lengths"),
        (
            (np.ones((4, I)), np.ones((4, 2))),
            ValueError,
            "validation: y: expected (4, 3), got (4, 2)",
        ),
        (
            (np.ones((0, I)), np.ones((0, O))),
            ValueError,
            "validation: x: expected a step that counts",
        ),
    ],
)
def test_validation_that_makes_no_sense_is_one_sentence(x, y, validation, kind, sentence):
    with pytest.raises(kind, match="^" + re.escape(sentence)):
        train(x, y, validation=validation)


def test_the_best_network_is_returned_and_patience_ends_the_rest(x, y):
    seen = {}

    def keep(epoch, net):
        seen[epoch.epoch] = net()

    options = {"learning_rate": 0.3, "epochs": 200, "patience": 4, "callback": keep}
    result = train(x, y, validation=(x[:2], -y[:2]), **options)
    losses = result.history.validation_loss
    best = int(np.argmin(losses)) + 1
    assert result.stopped == "patience"
    assert result.history.best_epoch == best
    assert len(losses) == best + 4
    assert result.network == seen[best] != seen[best + 4]
    assert result.updates == 2 * len(losses)


def test_patience_without_validation_watches_the_training_loss(x, y):
    result = train(x, y, learning_rate=2.0, epochs=200, patience=3)
    losses = result.history.loss
    assert result.stopped == "patience"
    assert result.history.best_epoch == np.argmin(losses) + 1 == len(losses) - 3


def test_a_loss_must_be_lower_by_min_delta(x, y):
    result = train(x, y, epochs=200, patience=2, min_delta=1e9)
    assert (result.history.best_epoch, len(result.history.epoch)) == (1, 3)


# --- callbacks, progress and interruptions --------------------------------------------------------


def test_a_callback_is_told_of_each_epoch_and_may_end_it(x, y):
    told = []

    def callback(epoch, net):
        told.append(epoch)
        return epoch.epoch == 2

    result = train(x, y, epochs=9, validation=0.5, callback=callback)
    assert result.stopped == "callback"
    assert [epoch.epoch for epoch in told] == result.history.epoch == [1, 2]
    assert [epoch.loss for epoch in told] == result.history.loss
    assert [epoch.validation_loss for epoch in told] == result.history.validation_loss
    assert [epoch.learning_rate for epoch in told] == result.history.learning_rate


def test_what_a_callback_raises_comes_out_and_the_checkpoint_is_written(x, y, tmp_path):
    def callback(epoch, net):
        if epoch.epoch == 2:
            raise ZeroDivisionError

    options = {"checkpoint": tmp_path / "c", "checkpoint_every": 100}
    with pytest.raises(ZeroDivisionError):
        train(x, y, callback=callback, **options)
    assert_same(train(x, y, **options), train(x, y))


def test_ctrl_c_ends_training_and_keeps_the_best_so_far(x, y):
    def interrupt(epoch, net):
        if epoch.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    # Away from the validation targets: the first epoch is the best.
    options = {"validation": (x, -100 * y), "learning_rate": 0.05, "seed": 0}
    stopped = train(x, 100 * y, epochs=50, callback=interrupt, **options)
    assert stopped.stopped == "interrupt"
    assert stopped.history.epoch == [1, 2, 3]
    assert stopped.history.best_epoch == 1
    assert stopped.network == train(x, 100 * y, epochs=1, **options).network


@pytest.mark.skipif(sys.platform == "win32", reason="needs a timer that sends signals")
def test_ctrl_c_within_an_epoch_is_heard(rng):
    x = rng.standard_normal((64, 20_000, I)).astype(np.float32)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        result = train(x, x, network(hidden_size=64, output_size=I), epochs=10**6, bptt_steps=10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result.stopped == "interrupt"
    assert result.updates > 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_for_terminals_that_asked_for_it(x, y, monkeypatch):
    for kind, wanted in ((io.StringIO, True), (Terminal, False)):
        monkeypatch.setattr(sys, "stderr", kind())
        train(x, y, progress=wanted)
        assert sys.stderr.getvalue() == ""
    for without_rich in (False, True):
        if without_rich:
            monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr(sys, "stderr", Terminal())
        result = train(x, y, progress=True, validation=0.5)
        text = sys.stderr.getvalue()
        assert "3/3" in text
        assert f"loss {result.history.loss[-1]:.4g}" in text
        assert "\n" in text


def test_a_loss_that_is_not_finite_says_what_to_try(x, y, tmp_path):
    options = {"optimizer": "sgd", "learning_rate": 1e30, "checkpoint": tmp_path / "c"}
    sentence = "loss: expected a finite number, got .* in epoch [23]: try a learning_rate below 1e"
    with pytest.raises(elman.DivergenceError, match=sentence + r"\+30, or clip_norm=1$") as caught:
        train(x, y, epochs=20, **options)
    assert isinstance(caught.value, elman.ElmanError)
    with pytest.raises(elman.DivergenceError):  # the checkpoint is the one before
        train(x, y, epochs=20, **options)


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


RUNS = {
    "adam": {},
    "momentum": {"optimizer": elman.SGD(momentum=0.9, nesterov=True), "batch_size": 1},
    "rmsprop": {"optimizer": elman.RMSprop(momentum=0.5, centered=True), "clip_norm": 0.1},
    "adagrad": {"optimizer": "adagrad", "train_initial_state": True},
    "windows": {"bptt_steps": 4, "update_every": 2, "carry_state": True},
    "cosine": {"schedule": "cosine", "epochs": 9},
    "best": {"validation": 0.3, "patience": 3, "learning_rate": 0.1, "epochs": 9},
    "unshuffled": {"shuffle": False, "weight_decay": 0.1, "threads": 2},
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_goes_on_from_any_epoch_to_the_same_bits(x, y, path, name, dtype):
    options, net = {"epochs": 6} | RUNS[name], network(dtype=dtype)
    whole = train(x, y, net, **options)
    for end in range(1, len(whole.history.epoch)):
        path.unlink(missing_ok=True)
        told = {"checkpoint": path, **options}
        train(x, y, net, callback=lambda epoch, net, end=end: epoch.epoch == end, **told)
        assert_same(train(x, y, net, **told), whole)


def test_a_run_that_has_ended_returns_the_same_and_more_epochs_go_on(x, y, path):
    ended = train(x, y, epochs=3, checkpoint=path)
    assert_same(train(x, y, epochs=3, checkpoint=path, callback=pytest.fail), ended)
    assert_same(train(x, y, epochs=7, checkpoint=path), train(x, y, epochs=7))
    with pytest.raises(elman.ArgumentError, match=r"^epochs: expected at least the 7 that"):
        train(x, y, epochs=5, checkpoint=path)


def test_a_checkpoint_is_written_every_so_many_epochs_and_at_the_end(x, y, path):
    written = []

    def look(epoch, net):
        written.append(hashlib.sha256(path.read_bytes()).digest() if path.exists() else None)

    train(x, y, epochs=5, checkpoint=path, checkpoint_every=2, callback=look)
    assert written[0] is None
    assert written[1] == written[2] != written[3] == written[4]
    assert hashlib.sha256(path.read_bytes()).digest() != written[4]


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 0.5},
        {"optimizer": "sgd"},
        {"batch_size": 3},
        {"seed": 1},
        {"shuffle": False},
        {"bptt_steps": 3},
        {"clip_norm": 1.0},
        {"carry_state": True},
        {"validation": 0.5},
        {"schedule": "linear"},
        {"train_initial_state": True},
        {"min_delta": 0.1},
        {"sample_weight": np.ones(B)},
        {"net": network(hidden_size=4)},
        {"net": network("tanh")},
        {"net": network(dtype="float64")},
        {"net": network(output_shift=[1, 2, 3])},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(x, y, path, other):
    train(x, y, checkpoint=path)
    before = path.read_bytes()
    sentence = r"^checkpoint: expected the \w+ of the run in .*: name another file to start a new"
    with pytest.raises(elman.ArgumentError, match=sentence):
        train(x, y, checkpoint=path, epochs=5, **other)
    assert path.read_bytes() == before


def refused(x, y, path):
    with pytest.raises(elman.ElmanError) as caught:
        train(x, y, checkpoint=path, epochs=5, callback=pytest.fail)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(x, y, path):
    for content in (b"", b"\0" * 100, b"hello" * 99, storage.dumps(network())):
        path.write_bytes(content)
        refused(x, y, path)
        assert path.read_bytes() == content


def test_a_damaged_checkpoint_is_refused(x, y, path, rng):
    train(x, y, checkpoint=path, validation=0.3)
    whole = path.read_bytes()
    for length in range(0, len(whole), 53):
        path.write_bytes(whole[:length])
        refused(x, y, path)
    for place in rng.integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        refused(x, y, path)


def test_a_checkpoint_without_its_history_is_refused(x, y, path):
    from elman.training import checkpoint as format

    train(x, y, checkpoint=path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = storage._read_tensors(data)
    del tensors["history.loss"]
    metadata["sha256"] = format._digest(metadata, tensors)
    path.write_bytes(storage._serialize(tensors, metadata))
    refused(x, y, path)


def test_a_checkpoint_is_no_model_and_a_missing_folder_is_named(x, y, path):
    train(x, y, checkpoint=path)
    with pytest.raises(elman.ModelFormatError, match="got 'elman-checkpoint'"):
        elman.load(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        train(x, y, checkpoint=path.parent / "missing" / "c", callback=pytest.fail)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(x, y, path, monkeypatch):
    train(x, y, checkpoint=path)
    before = path.read_bytes()

    def fail(*names):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        train(x, y, checkpoint=path, epochs=5)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
