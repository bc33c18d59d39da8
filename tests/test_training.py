"""`elman.train`: results, the order of the data, and stopping."""

from __future__ import annotations

import io
import signal
import sys

import numpy as np
import pytest

import elman
from elman import reference
from elman.training import optimizers
from fixtures.training import B, H, I, O, T, assert_same, network, train


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


@pytest.fixture
def y(rng):
    return rng.standard_normal((B, T, O))


# --- the result -----------------------------------------------------------------------------------


def test_the_network_that_is_passed_in_never_changes(x, y):
    net = network(initial_state=np.ones(H), metadata={"made": "here"})
    before = {name: array.copy() for name, array in net.tensors().items()}
    result = train(x, y, net, train_initial_state=True)
    assert before.keys() == net.tensors().keys()
    for name, array in net.tensors().items():
        np.testing.assert_array_equal(array, before[name])
        assert not np.array_equal(result.network.tensors()[name], array), name
    assert result.network.metadata == net.metadata
    assert not result.network.readout.W_hy.flags.writeable


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_history_counts_from_1_and_the_network_has_its_dtype(x, y, dtype):
    result = train(x, y, network(dtype=dtype), learning_rate=0.02)
    history = result.history
    assert result.network.dtype == dtype
    assert (result.history.stopped, result.history.updates) == (
        "epochs",
        6,
    )  # of six sequences, four at a time
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
    assert (result.history.stopped, result.history.updates) == ("epochs", 0)
    assert result.history == elman.History(stopped="epochs")


@pytest.mark.parametrize(
    ("dtype", "hidden"), [("float32", 8), ("float32", [17, 3]), ("float64", 1)]
)
def test_any_number_of_threads_gives_the_same_bits(rng, dtype, hidden):
    x, y = rng.standard_normal((50, 9, I)), rng.standard_normal((50, 9, O))
    lengths = rng.integers(0, 10, 50)
    net = network(hidden_size=hidden, dtype=dtype)
    options = {"lengths": lengths, "bptt_steps": 4, "update_every": 3, "clip_norm": 0.1}
    options |= {"batch_size": 40, "validation": 0.2, "schedule": "cosine"}
    alone = train(x, y, net, **options)
    assert_same(train(x, y, net, **options), alone)
    for threads in (2, 3, 99):
        assert_same(train(x, y, net, threads=threads, **options), alone)


@pytest.mark.parametrize(
    ("dtype", "optimizer"),
    [
        ("float32", "sgd"),
        ("float32", "adam"),
        ("float64", "adamw"),
        ("float32", "rmsprop"),
        ("float64", "adagrad"),
    ],
)
def test_any_fused_instruction_set_gives_the_same_bits(x, y, fused_isas, dtype, optimizer):
    results = []
    for isa in dict.fromkeys(["scalar", *fused_isas]):
        with elman.use_isa(isa):
            net = network(hidden_size=[17, 4], dtype=dtype)
            options = {"bptt_steps": 5, "clip_norm": 0.1, "clip_value": 0.05, "schedule": "cosine"}
            result = train(x, y, net, optimizer=optimizer, validation=0.3, **options)
        assert result.network.isa == isa
        results.append(result)
    for result in results[1:]:
        assert_same(result, results[0])


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
    for name, array in want.tensors().items():
        np.testing.assert_allclose(net.tensors()[name], array, rtol=1e-11, atol=1e-13)


def state_after(net, x, state):
    """Return the state after a window, which the next window starts from."""
    return reference.run(net, x, state).state


def test_windows_are_updates_with_the_state_carried_over(x, y):
    """BPTT(3; 3) over one series: windows 0-2, 3-5 and 6, each with the current weights."""
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
    assert result.history.updates == 3
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


@pytest.mark.parametrize("start", [None, np.linspace(-1, 1, H)], ids=["zeros", "given"])
def test_a_carried_state_begins_an_epoch_where_the_last_one_ended(x, y, start):
    net, series, target = network(dtype="float64"), x[0], y[0]
    state = np.zeros(H) if start is None else start

    def epoch(net):
        nonlocal state
        arguments = {"state": state}
        state = state_after(net, series, state)
        return series, target, arguments

    options = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 3, "state": start}
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
    assert train(x, y, epochs=1, **options).history.updates == updates


def test_only_trained_parameters_change(x, y):
    net = network(initial_state=np.full(H, 0.5), input_mean=[1, 2], output_std=[1, 2, 3])
    fixed = train(x, y, net).network
    np.testing.assert_array_equal(fixed.initial_state, net.initial_state)
    for unit in ("input_mean", "output_std"):
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
    last = (2 * np.arange(4) + 1) / 8  # two updates per epoch: the fractions done before the second
    assert history.learning_rate == pytest.approx(0.1 * np.vectorize(factor)(last), rel=1e-14)


def test_each_update_has_the_rate_of_its_own_share(x, y):
    options = {"optimizer": "sgd", "learning_rate": 0.1}
    net = train(x, y, schedule="linear", epochs=1, batch_size=2, shuffle=False, **options).network
    by_hand = elman.Trainer(network(), **options)
    for update in range(3):
        by_hand.learning_rate = 0.1 * (1 - update / 3)
        by_hand.update(x[2 * update :][:2], y[2 * update :][:2])
    assert net == by_hand.network


def test_cosine_is_the_cosine_to_the_last_digits():
    rates = optimizers.learning_rates(1.0, "cosine", 1, 1, 1000)
    want = (1 + np.cos(np.pi * np.arange(1000) / 1000)) / 2
    np.testing.assert_allclose(rates, want, rtol=0, atol=3e-16)


def test_clipping_bounds_the_steps_of_sgd(x, y):
    net = network(dtype="float64")
    options = {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, "batch_size": B}

    def way(**clip):
        moved = train(x, y, net, **options, **clip).network.tensors()
        return np.concatenate([(moved[n] - a).ravel() for n, a in net.tensors().items()])

    free = way()
    assert np.linalg.norm(free) > 0.1
    assert abs(free).max() > 0.02
    assert np.linalg.norm(way(clip_norm=0.1)) == pytest.approx(0.1, rel=1e-4)
    np.testing.assert_allclose(way(clip_value=0.02), np.clip(free, -0.02, 0.02), rtol=1e-9)


def test_weight_decay_is_the_formula_of_each_optimizer(x, y):
    """If the targets are met the gradient is zero, and only decay changes the weights."""
    net = network(dtype="float64")
    met = net(x)
    options = {"learning_rate": 0.1, "epochs": 1, "batch_size": B, "weight_decay": 0.5}
    for optimizer in (elman.SGD(), elman.AdamW()):
        result = train(x, met, net, optimizer=optimizer, **options)
        assert result.history.loss == [0.0]
        for name, array in net.tensors().items():
            np.testing.assert_allclose(result.network.tensors()[name], array * 0.95, rtol=1e-12)


def test_settings_of_an_optimizer_may_be_numbers_of_any_type(x, y, tmp_path):
    odd = elman.Adam(np.float32(0.5), beta1=np.float64(0.5))
    assert odd == elman.Adam(0.5, beta1=0.5)
    train(x, y, optimizer=odd, learning_rate=np.float32(0.25), checkpoint=tmp_path / "c")


# --- stopping -------------------------------------------------------------------------------------


def test_the_best_network_is_returned_and_patience_ends_the_rest(x, y):
    seen = {}

    def keep(record, trainer):
        seen[record.epoch] = trainer.network

    options = {"learning_rate": 0.3, "epochs": 200, "patience": 4, "callback": keep}
    result = train(x, y, validation=(x[:2], -y[:2]), **options)
    losses = result.history.validation_loss
    best = int(np.argmin(losses)) + 1
    assert result.history.stopped == "patience"
    assert result.history.best_epoch == best
    assert len(losses) == best + 4
    assert result.network == seen[best] != seen[best + 4]
    assert result.history.updates == 2 * len(losses)


def test_patience_without_validation_watches_the_training_loss(x, y):
    result = train(x, y, learning_rate=2.0, epochs=200, patience=3)
    losses = result.history.loss
    assert result.history.stopped == "patience"
    assert result.history.best_epoch == np.argmin(losses) + 1 == len(losses) - 3


def test_a_loss_must_be_lower_by_min_delta(x, y):
    result = train(x, y, epochs=200, patience=2, min_delta=1e9)
    assert (result.history.best_epoch, len(result.history.epoch)) == (1, 3)


# --- callbacks, progress and interruptions --------------------------------------------------------


def test_a_callback_receives_each_epoch_and_may_end_training(x, y):
    told = []

    def callback(record, trainer):
        told.append(record)
        return record.epoch == 2

    result = train(x, y, epochs=9, validation=0.5, callback=callback)
    assert result.history.stopped == "callback"
    assert [epoch.epoch for epoch in told] == result.history.epoch == [1, 2]
    assert [epoch.loss for epoch in told] == result.history.loss
    assert [epoch.validation_loss for epoch in told] == result.history.validation_loss
    assert [epoch.learning_rate for epoch in told] == result.history.learning_rate


@pytest.mark.parametrize("answer", [None, False, np.False_])
def test_a_callback_that_does_not_return_true_ends_nothing(x, y, answer):
    result = train(x, y, callback=lambda record, trainer: answer)
    assert (result.history.stopped, result.history.epoch) == ("epochs", [1, 2, 3])


@pytest.mark.parametrize("answer", [1, "stop", [0], {"loss": 0.5}])  # `file.write` returns a number
def test_a_callback_that_returns_anything_else_is_an_error(x, y, answer, tmp_path):
    options = {"checkpoint": tmp_path / "c", "epochs": 3}
    with pytest.raises(elman.ArgumentTypeError, match=f"^callback: .*got {type(answer).__name__}"):
        train(x, y, callback=lambda record, trainer: answer, **options)
    assert_same(train(x, y, **options), train(x, y, epochs=3))  # it continues after the first epoch


def test_a_callback_may_raise_stop_training(x, y):
    def callback(record, trainer):
        if record.epoch == 2:
            raise elman.StopTraining

    result = train(x, y, epochs=9, callback=callback)
    assert_same(result, train(x, y, epochs=9, callback=lambda record, trainer: record.epoch == 2))
    assert result.history.stopped == "callback"


def test_a_callback_is_given_the_trainer_and_may_set_its_learning_rate(x, y):
    networks, losses = [], []

    def callback(record, trainer):
        networks.append(trainer.network)
        losses.append(trainer.loss(x, y))
        trainer.learning_rate = 0.01 / (1 + record.epoch)
        return np.bool_(record.epoch == 3)

    result = train(x, y, epochs=9, validation=(x, y), callback=callback)
    assert result.history.stopped == "callback"
    assert result.history.validation_loss == losses
    assert result.history.learning_rate == [0.01, 0.01 / 2, 0.01 / 3]
    assert networks[2] == result.network != networks[1]


def test_a_function_that_a_callback_sets_as_learning_rate_is_kept_in_a_checkpoint(x, y, tmp_path):
    def decay(record, trainer):
        trainer.learning_rate = lambda updates: 0.01 * max(0, 1 - record.epoch / 4)

    whole = train(x, y, epochs=6, callback=decay)
    assert whole.history.learning_rate[4:] == [0, 0]
    for epochs in (2, 5, 6):
        result = train(x, y, epochs=epochs, callback=decay, checkpoint=tmp_path / "c")
    assert_same(result, whole)


def test_train_takes_no_function_as_learning_rate(x, y):
    with pytest.raises(elman.ArgumentTypeError, match=r"^learning_rate: .*function: use schedule="):
        train(x, y, learning_rate=lambda updates: 0.1)


def test_a_learning_rate_that_was_set_is_kept_in_a_checkpoint(x, y, tmp_path):
    def halve(record, trainer):
        trainer.learning_rate /= 2

    whole = train(x, y, epochs=6, callback=halve)
    for epochs in (2, 6):
        rest = train(x, y, epochs=epochs, callback=halve, checkpoint=tmp_path / "c")
    assert_same(rest, whole)


def test_a_result_is_unpacked_into_the_network_and_the_history(x, y):
    net, history = train(x, y)
    assert net == train(x, y).network
    for fact in (
        "History",
        "3",
        "6",
        f"{history.loss[0]:.4g}",
        f"{history.loss[-1]:.4g}",
        "epochs",
    ):
        assert fact in repr(history)


def test_a_result_is_printed_in_six_lines(x, y):
    result = train(x, y, validation=0.5)
    lines = repr(result).splitlines()
    assert len(lines) == 6
    assert str(result.network) in lines[1]
    for losses, line in zip(
        (result.history.loss, result.history.validation_loss), lines[4:], strict=True
    ):
        assert line.endswith(f"{losses[0]:.4g} to {losses[-1]:.4g}")
    assert len(repr(train(x, y, epochs=0)).splitlines()) == 6


def test_a_history_as_columns(x, y):
    history = train(x, y, validation=0.5).history
    columns = history.as_dict()
    assert list(columns) == ["epoch", "loss", "validation_loss", "learning_rate"]
    assert all(values == getattr(history, name) for name, values in columns.items())
    columns["loss"].clear()
    assert len(history.loss) == 3
    assert list(train(x, y).history.as_dict()) == ["epoch", "loss", "learning_rate"]


def test_a_history_as_a_data_frame(x, y):
    pandas = pytest.importorskip("pandas")
    history = train(x, y).history
    pandas.testing.assert_frame_equal(history.to_frame(), pandas.DataFrame(history.as_dict()))


def test_an_exception_in_a_callback_propagates_and_the_checkpoint_is_written(x, y, tmp_path):
    def callback(record, trainer):
        if record.epoch == 2:
            raise ZeroDivisionError

    options = {"checkpoint": tmp_path / "c", "checkpoint_every": 100}
    with pytest.raises(ZeroDivisionError):
        train(x, y, callback=callback, **options)
    assert_same(train(x, y, **options), train(x, y))


def test_ctrl_c_ends_training_and_keeps_the_best_so_far(x, y):
    def interrupt(record, trainer):
        if record.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    # Training moves away from the validation targets: the first epoch is the best.
    options = {"validation": (x, -4 * y), "learning_rate": 0.05, "seed": 0}
    stopped = train(x, 4 * y, epochs=50, callback=interrupt, **options)
    assert stopped.history.stopped == "interrupt"
    assert stopped.history.epoch == [1, 2, 3]
    assert stopped.history.best_epoch == 1
    assert stopped.network == train(x, 4 * y, epochs=1, **options).network


@pytest.mark.skipif(sys.platform == "win32", reason="needs a timer that sends signals")
def test_ctrl_c_within_an_epoch_ends_training(rng):
    x = rng.standard_normal((64, 4_000, I)).astype(np.float32)
    before = signal.signal(signal.SIGPROF, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_PROF, 0.3)
    try:
        result = train(x, x, network(hidden_size=64, output_size=I), epochs=10**6, bptt_steps=10)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert result.history.stopped == "interrupt"
    assert result.history.updates > 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_without_standard_error_is_none(x, y, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert_same(train(x, y, progress=True), train(x, y))


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
    net = network(dtype="float64")
    options = {"optimizer": "sgd", "learning_rate": 1e200, "checkpoint": tmp_path / "c"}
    sentence = r"^loss: expected .*, got .* 2: try a learning_rate below 1e\+200$"
    for _ in range(2):  # the checkpoint is the one before
        with pytest.raises(elman.DivergenceError, match=sentence) as e:
            train(x, y, net, epochs=20, batch_size=B, **options)
        assert isinstance(e.value, elman.ElmanError)


def test_a_loss_of_validation_that_is_not_finite_is_refused(x, y):
    options = {"validation": (x, np.full_like(y, 1e200)), "epochs": 1}
    with pytest.raises(elman.DivergenceError, match=r"^loss: expected .* epoch 1"):
        train(x, y, network(dtype="float64"), **options)


@pytest.mark.filterwarnings("ignore::elman.errors.ScalingWarning")
@pytest.mark.parametrize("T", [1, 3])
def test_losses_that_are_finite_but_not_their_sum_are_a_divergence(T):
    net = elman.Network(1, 4, 1, seed=0, dtype="float64", output_activation="identity")
    x, y = np.ones((6, T, 1)), np.full((6, T, 1), 1.2e154)
    with pytest.raises(elman.DivergenceError, match=r"^loss: expected a finite number, got inf in"):
        elman.train(net, x, y, epochs=1, batch_size=1)


@pytest.mark.parametrize("epochs", [1, 20])
def test_a_network_whose_last_update_overflowed_is_not_returned(x, y, tmp_path, epochs):
    options = {"optimizer": "sgd", "learning_rate": 1e300, "checkpoint": tmp_path / "c"}
    with pytest.raises(
        elman.DivergenceError, match=r"^weights: .* 1: try a learning_rate below 1e\+300$"
    ):
        train(x, y, epochs=epochs, batch_size=B, **options)
    assert not (tmp_path / "c").exists()


# --- counts of updates ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"batch_size": sys.maxsize}, {"bptt_steps": sys.maxsize}])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_the_largest_number_of_all_means_all(x, y, options, outputs):
    y = y if outputs == "all" else y[:, 0]
    all_at_once = {"batch_size": B} if "batch_size" in options else {"bptt_steps": T}
    got = train(x, y, outputs=outputs, **options)
    assert_same(got, train(x, y, outputs=outputs, **all_at_once))


def test_a_minibatch_without_steps_is_an_update_without_weight(x, y):
    lengths = [6, 0, 6, 0, 0, 3]
    options = {"batch_size": 1, "bptt_steps": 2, "shuffle": False, "optimizer": "sgd"}
    got = train(x, y, lengths=lengths, **options)
    kept = [b for b in range(B) if lengths[b] > 0]
    want = train(x[kept], y[kept], lengths=[lengths[b] for b in kept], **options)
    assert got.network == want.network
    assert got.history.updates >= want.history.updates
    assert got.history.loss == want.history.loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected .*, got 0"),
        ({"threads": 0}, "threads: expected .*, got 0"),
        ({"bptt_steps": 0}, "bptt_steps: expected .*, got 0"),
        ({"indices": [B]}, f"indices: expected 0 .*, got {B}"),
        ({"learning_rates": [0.1]}, r"learning_rates: expected \(2,\), got \(1,\)"),
    ],
)
def test_the_core_checks_what_python_has_checked_before(x, y, change, message):
    core = network()._core
    examples = elman._core.examples(core, x, y, "mse", "all")
    trainer = elman._core.trainer(core, "sgd", {}, None, None, False)
    arguments = {"examples": examples, "indices": np.arange(B), "batch_size": 4}
    arguments |= {"learning_rates": np.full(2, 0.1), "bptt_steps": None, "update_every": None}
    arguments |= {"carry": False, "threads": 1}
    changed = {k: np.array(v) if isinstance(v, list) else v for k, v in change.items()}
    with pytest.raises(elman.ElmanError, match=f"^{message}"):
        trainer.train(**(arguments | changed))
    assert trainer.updates == 0


def test_carried_states_of_another_size_are_refused(x, y):
    core = network()._core
    trainer = elman._core.trainer(core, "sgd", {}, None, None, False)
    for size in (1, 2 * H + 1):
        with pytest.raises(elman.ArgumentError, match=r"^carried: expected "):
            trainer.restore(trainer.state() | {"carried": np.zeros(size, np.float32)}, 0)
    trainer.restore(trainer.state() | {"carried": np.zeros(2 * H, np.float32)}, 0)
    examples = elman._core.examples(core, x, y, "mse", "all")
    with pytest.raises(elman.ArgumentError, match=r"^carry: expected 2 "):
        trainer.train(examples, np.arange(B), B, np.array([0.1]), None, None, True, 1)
