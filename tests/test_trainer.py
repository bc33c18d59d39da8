"""`elman.Trainer`: one update at a time, with the bits of `elman.train`."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import elman
from elman import reference
from fixtures.training import B, H, I, O, T, network, train


@pytest.fixture
def x(rng):
    return rng.standard_normal((B, T, I))


@pytest.fixture
def y(rng):
    return rng.standard_normal((B, T, O))


# --- the updates of train -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("float32", {}),
        ("float64", {}),
        ("float32", {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01}),
        (
            "float64",
            {"optimizer": elman.RMSprop(0.02, momentum=0.5), "clip_norm": 0.1, "clip_value": 0.05},
        ),
        ("float32", {"train_initial_state": True}),
        ("float32", {"threads": 3}),
    ],
    ids=str,
)
def test_the_same_updates_give_the_bits_of_train(x, y, dtype, options):
    net = network(dtype=dtype, metadata={"made": "here"})
    whole = elman.train(net, x, y, epochs=2, batch_size=4, shuffle=False, **options)
    trainer = elman.Trainer(net, **options)
    losses = [
        trainer.update(x[rows], y[rows]) for _ in range(2) for rows in (slice(0, 4), slice(4, B))
    ]
    assert trainer.network == whole.network != net
    assert trainer.network.metadata == {"made": "here"}
    assert trainer.updates == whole.history.updates == 4
    means = [np.average(losses[i : i + 2], weights=[4, 2]) for i in (0, 2)]
    assert whole.history.loss == pytest.approx(means, rel=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"lengths": np.arange(B) + 1},
        {"state": np.linspace(-1, 1, B * H).reshape(B, H)},
        {"sample_weight": np.arange(B), "step_weight": np.arange(T)},
    ],
    ids=str,
)
def test_the_arguments_of_the_data_are_those_of_train(x, y, options):
    whole = train(x, y, epochs=1, batch_size=B, shuffle=False, **options)
    trainer = elman.Trainer(network(), learning_rate=0.01)
    before = trainer.loss(x, y, **options)
    assert trainer.update(x, y, **options) == before
    assert whole.history.loss == [pytest.approx(before, rel=1e-14)]
    assert trainer.network == whole.network
    assert trainer.loss(x, y, **options) < before


def test_lists_of_any_lengths_and_classes_of_the_last_step(rng):
    x = [rng.standard_normal((n, I)) for n in (3, 1, 5)]
    net, classes = network("softmax"), [0, 2, 1]
    kind = {"loss": "cross_entropy", "outputs": "last"}
    trainer = elman.Trainer(net, **kind)
    trainer.update(x, classes)
    assert trainer.network == elman.train(net, x, classes, epochs=1, shuffle=False, **kind).network


def test_new_data_at_every_update(rng):
    trainer = elman.Trainer(network(output_size=I), learning_rate=0.02)
    losses = []
    for count in rng.integers(1, 9, 200):
        x = rng.uniform(-1, 1, (count, rng.integers(2, 12), I))
        losses.append(trainer.update(x, 0.5 * x))
    assert trainer.updates == 200
    assert np.mean(losses[-20:]) < 0.2 * np.mean(losses[:20])


def test_the_loss_is_that_of_the_reference_and_changes_nothing(x, y):
    trainer = elman.Trainer(network(dtype="float64"))
    state = trainer.state()
    want, _ = reference.loss_and_gradients(trainer.network, x, y)
    assert trainer.loss(x, y) == pytest.approx(want, rel=1e-12)
    assert state.keys() == trainer.state().keys()
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, state[name])
    assert trainer.updates == 0


def test_chunks_with_carried_states_are_the_windows_of_train(x, y):
    options = {"optimizer": "sgd", "learning_rate": 0.1}
    windows = {"batch_size": B, "shuffle": False, "bptt_steps": 3}
    whole = elman.train(network(), x, y, epochs=2, **windows, **options)
    trainer = elman.Trainer(network(), **options)
    for _ in range(2):
        trainer.reset()
        for first in range(0, T, 3):
            part = slice(first, first + 3)
            trainer.update(x[:, part], y[:, part], carry_state=True)
    assert trainer.network == whole.network

    without = elman.Trainer(network(), **options)
    for first in range(0, T, 3):
        without.update(x[:, first : first + 3], y[:, first : first + 3])
    assert without.network != whole.network


def test_carried_states_of_other_sequences_are_refused(x, y):
    trainer = elman.Trainer(network())
    trainer.update(x, y, carry_state=True)
    with pytest.raises(elman.ArgumentError, match=r"^carry: expected "):
        trainer.update(x[:2], y[:2], carry_state=True)
    trainer.reset()
    trainer.update(x[:2], y[:2], carry_state=True)


def test_the_state_that_is_carried_is_that_after_the_last_real_step(x, y):
    net, lengths = network(), [3, T, 0, 1, 5, T]
    trainer = elman.Trainer(net)
    trainer.update(x, y, lengths=lengths, carry_state=True)
    want = net.run(x, lengths=lengths).state
    np.testing.assert_array_equal(trainer.state()["carried"].reshape(B, H), want)


# --- the learning rate ----------------------------------------------------------------------------


def test_the_learning_rate_depends_on_the_updates_or_is_set(x, y):
    asked = []

    def schedule(updates):
        asked.append(updates)
        return 0.1 / (1 + updates)

    scheduled = elman.Trainer(network(), optimizer="sgd", learning_rate=schedule)
    by_hand = elman.Trainer(network(), optimizer="sgd", learning_rate=0.1)
    for update in range(3):
        by_hand.learning_rate = 0.1 / (1 + update)
        assert scheduled.learning_rate == by_hand.learning_rate
        scheduled.update(x, y)
        by_hand.update(x, y)
    assert set(asked) == {0, 1, 2}
    assert scheduled.network == by_hand.network
    by_hand.learning_rate = schedule
    assert by_hand.learning_rate == 0.1 / 4


@pytest.mark.parametrize(
    ("rate", "kind", "sentence"),
    [
        (0, ValueError, "^learning_rate: expected .*, got 0$"),
        ("0.1", TypeError, "^learning_rate: expected .*, got str$"),
        (None, TypeError, "^learning_rate: expected .*, got NoneType$"),
    ],
)
def test_an_invalid_learning_rate_is_refused(rate, kind, sentence):
    trainer = elman.Trainer(network())
    with pytest.raises(kind, match=sentence) as caught:
        trainer.learning_rate = rate
    assert isinstance(caught.value, elman.ElmanError)
    assert trainer.learning_rate == 1e-3


def test_a_schedule_may_end_at_zero(x, y):
    trainer = elman.Trainer(network(), learning_rate=lambda updates: 0)
    trainer.update(x, y)
    assert (trainer.learning_rate, trainer.updates, trainer.network) == (0, 1, network())


def test_a_schedule_that_gives_no_rate_is_refused_before_the_update(x, y):
    trainer = elman.Trainer(network(), learning_rate=lambda updates: -1)
    with pytest.raises(elman.ArgumentError, match=r"^learning_rate: expected "):
        trainer.update(x, y)
    assert trainer.updates == 0


# --- its state ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_a_saved_state_resumes_to_the_same_bits(x, y, tmp_path, optimizer):
    trainer = elman.Trainer(network(), optimizer=optimizer)
    trainer.update(x, y, carry_state=True)
    trainer.learning_rate = 0.007
    np.savez(tmp_path / "state.npz", **trainer.state())
    trainer.update(x, y, carry_state=True)

    other = elman.Trainer(network(), optimizer=optimizer)
    other.restore(np.load(tmp_path / "state.npz"))
    assert (other.updates, other.learning_rate) == (1, 0.007)
    other.update(x, y, carry_state=True)
    assert other.network == trainer.network


def test_a_saved_state_without_carried_states_drops_them(x, y):
    trainer, other = elman.Trainer(network()), elman.Trainer(network())
    trainer.update(x, y, carry_state=True)
    trainer.restore(other.state())
    assert "carried" not in trainer.state()
    for each in (trainer, other):
        each.update(x, y, carry_state=True)
    assert trainer.network == other.network


def test_a_function_as_learning_rate_stays_when_a_state_is_restored():
    state = elman.Trainer(network(), learning_rate=0.5).state()
    other = elman.Trainer(network(), learning_rate=lambda updates: 0.25)
    assert "learning_rate" not in other.state()
    other.restore(state)
    assert other.learning_rate == 0.25


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"parameters": np.zeros(3)}, ValueError, r"^parameters: expected \(58,\), got \(3,\)"),
        ({"parameters": None}, ValueError, "^parameters: expected "),
        ({"moments.1": None}, ValueError, r"^moments\.1: expected "),
        ({"moments.2": np.zeros(58)}, ValueError, r"^state: expected .*'moments\.2'"),
        ({"updates": -1}, ValueError, "^updates: expected .*, got -1"),
        ({"updates": 2**62}, ValueError, "^updates: expected 0 .*, got 4611686018427387904"),
        ({"updates": 2**63}, ValueError, "^updates: expected .*, got 92233720368"),
        ({"updates": 1.5}, TypeError, "^updates: expected .*, got float"),
        ({"updates": None}, ValueError, "^updates: expected "),
        ({"updates": [1, 2]}, ValueError, "^updates: expected .*, got 2"),
        ({"learning_rate": -1.0}, ValueError, "^learning_rate: expected .*, got -1"),
        ({"carried": np.zeros(H + 1)}, ValueError, "^carried: expected .*, got 6"),
    ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(x, y, change, kind, sentence):
    trainer = elman.Trainer(network())
    trainer.update(x, y)
    before = trainer.state()
    changed = {k: v for k, v in (before | change).items() if v is not None}
    with pytest.raises(kind, match=sentence) as caught:
        trainer.restore(changed)
    assert isinstance(caught.value, elman.ElmanError)
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("state", [None, 5, "state", [1, 2]])
def test_a_state_that_is_no_mapping_is_refused(state):
    message = f"^state: expected .*, got {type(state).__name__}"
    with pytest.raises(elman.ArgumentTypeError, match=message):
        elman.Trainer(network()).restore(state)


@pytest.mark.parametrize("use", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_trainer_cannot_be_copied_or_pickled(use):
    with pytest.raises(elman.ArgumentTypeError, match=r"trainer\.state\(\)"):
        use(elman.Trainer(network()))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"net": "net"}, TypeError, "net: expected .*, got str"),
        ({"loss": "mae"}, ValueError, "loss: expected .* mse, bce, cross_entropy, got 'mae'"),
        ({"optimizer": "AdamW"}, ValueError, "optimizer: expected .* sgd, adam, adamw,"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected .*, got 0"),
        ({"threads": 0}, ValueError, "threads: expected .*, got 0"),
        ({"outputs": "first"}, ValueError, "outputs: expected .*, got 'first'"),
        ({"lr": 0.1}, TypeError, "lr: expected "),
    ],
)
def test_wrong_settings_are_refused(arguments, kind, sentence):
    with pytest.raises(kind, match="^" + sentence) as caught:
        elman.Trainer(**{"net": network()} | arguments)
    assert isinstance(caught.value, elman.ElmanError)


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"x": np.zeros((B, T, I + 1))}, elman.ShapeError, "^x: expected"),
        ({"y": np.zeros((B, T, O + 1))}, elman.ShapeError, "^y: expected"),
        ({"y": np.full((B, T, O), np.nan)}, elman.ArgumentError, "^y: expected "),
        ({"lengths": [1.0] * B}, elman.DTypeError, "^lengths: expected "),
        ({"lengths": [T + 1] * B}, elman.ArgumentError, "^lengths: expected 0 .*, got 8"),
        ({"step_weight": np.zeros(T)}, elman.ArgumentError, "^x: expected "),
        ({"x": np.zeros((0, T, I)), "y": np.zeros((0, T, O))}, elman.ArgumentError, "^x: expected"),
    ],
)
def test_wrong_data_are_refused_and_change_nothing(x, y, change, kind, sentence):
    trainer = elman.Trainer(network())
    for use in (trainer.update, trainer.loss):
        with pytest.raises(kind, match=sentence):
            use(**{"x": x, "y": y} | change)
    assert trainer.updates == 0
    assert trainer.network == network()


def test_a_loss_that_is_not_finite_changes_nothing(y):
    trainer = elman.Trainer(network(dtype="float64", activation="identity"), learning_rate=0.5)
    sentence = r"^loss: expected .*, got inf .* 1: .* learning_rate .* 0\.5"
    with pytest.warns(elman.ScalingWarning), pytest.raises(elman.DivergenceError, match=sentence):
        trainer.update(np.full((B, T, I), 1e200), y)
    assert trainer.updates == 0
    assert trainer.network == network(dtype="float64", activation="identity")


def test_weights_that_overflow_are_an_error_at_once(x, y):
    trainer = elman.Trainer(network(), optimizer="sgd", learning_rate=1e300)
    with pytest.raises(elman.DivergenceError, match=r"^weights: expected "):
        trainer.update(x, y)


def test_a_second_thread_is_refused_while_an_update_goes_on(rng):
    net = elman.Network(8, 64, 4, output_activation="identity", seed=0)
    x, y = rng.standard_normal((64, 400, 8)), rng.standard_normal((64, 400, 4))
    trainer, refused = elman.Trainer(net), []
    done = threading.Event()

    def look():
        while not done.is_set():
            try:
                trainer.loss(x[:1], y[:1])
            except elman.BusyError:
                refused.append(True)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            try:
                trainer.update(x, y)
            except elman.BusyError:
                refused.append(True)
    finally:
        done.set()
        thread.join()
    assert refused


class Between:
    """The core of a trainer that another thread uses between two calls."""

    def __init__(self, trainer, x, y):
        self.core = trainer._core
        self.update = lambda: trainer.update(x, y)

    def __getattr__(self, name):
        return getattr(self.core, name)


def test_an_update_that_was_made_is_not_refused_afterwards(x, y):
    class Taken(Between):
        @property
        def finite(self):
            raise elman.BusyError("the trainer is in use by another thread")

    trainer, other = elman.Trainer(network()), elman.Trainer(network())
    trainer._core = Taken(trainer, x, y)
    assert trainer.update(x, y) == other.update(x, y)
    assert trainer.updates == 1


def test_a_state_is_that_of_one_moment(x, y):
    class Updated(Between):
        def state(self):
            state = self.core.state()
            self.update()
            return state

    trainer = elman.Trainer(network())
    trainer._core = Updated(trainer, x, y)
    with pytest.raises(elman.BusyError, match=r"^the trainer is in use by another thread; "):
        trainer.state()
