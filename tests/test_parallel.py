"""Training in parts on an engine, compared bit by bit with `elman.train` in one process."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import elman
from elman import _format
from elman.errors import ArgumentError, ArgumentTypeError, DivergenceError, IsaError
from elman.training import parallel


class Pretended:
    """An engine in this process: it stores pickled copies, and runs parts in any order."""

    def __init__(self, workers=2, seed=0, threads=1):
        self.count, self.threads, self.random = workers, threads, np.random.default_rng(seed)
        self.stored, self.maps = [], []

    def workers(self):
        return self.count

    @property
    def blocks(self):
        """The stored blocks, after the settings."""
        return self.stored[1:]

    def scatter(self, objects):
        first = len(self.stored)
        self.stored += [pickle.loads(pickle.dumps(value)) for value in objects]
        return range(first, len(self.stored))

    def map(self, settings, weights, parts):
        self.maps.append(len(parts))
        results = [None] * len(parts)

        def run(i):
            handle, request = pickle.loads(pickle.dumps(parts[i]))
            results[i] = self.stored[handle].compute(self.stored[settings], weights, request)

        order = self.random.permutation(len(parts))
        if self.threads > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(run, order))
        else:
            for i in order:
                run(i)
        return results


def same(ours, theirs):
    """Require the same bits of all weights and of the whole history."""
    a, b = ours.network.tensors(), theirs.network.tensors()
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    assert ours.history == theirs.history


def compared(engine, net, x, y, part_size=None, **options):
    """Train on the engine and here, require the same bits, and return the result."""
    ours = parallel.train(engine, net, x, y, part_size, options)
    same(ours, elman.train(net, x, y, **options))
    assert engine.maps
    return ours


OPTIMIZERS = (
    "sgd",
    "adam",
    "adamw",
    "rmsprop",
    "adagrad",
    elman.SGD(0.1, momentum=0.9, nesterov=True),
)


def configuration(seed):
    """Return random arguments of `elman.train`."""
    rng = np.random.default_rng(seed)

    def maybe(share=0.5):
        return rng.random() < share

    B, T, I, O = (int(rng.integers(1, most)) for most in (100, 12, 4, 4))
    loss, last = str(rng.choice(["mse", "bce", "cross_entropy"])), maybe(0.3)
    top = {"mse": "identity", "bce": "sigmoid", "cross_entropy": "softmax"}[loss]
    dtype = str(rng.choice(["float32", "float64"]))
    hidden = [int(n) for n in rng.integers(1, 20, rng.integers(1, 3))]
    net = elman.Network(I, hidden, O, output_activation=top, dtype=dtype, seed=seed)
    if maybe(0.3):
        state = rng.normal(size=net.state_size).astype(dtype)
        net = net.replace(tensors={"initial_state": state})
    steps = () if last else (T,)
    classes = loss == "cross_entropy"
    y = rng.integers(0, O, (B, *steps)) if classes else rng.random((B, *steps, O))
    options = {
        "loss": loss,
        "outputs": "last" if last else "all",
        "optimizer": OPTIMIZERS[rng.integers(len(OPTIMIZERS))],
        "learning_rate": 0.01,
        "epochs": int(rng.integers(1, 4)),
        "batch_size": int(rng.integers(1, 120)),
        "shuffle": maybe(),
        "seed": seed,
        "carry_state": maybe(0.3),
        "train_initial_state": maybe(0.3),
        "schedule": str(rng.choice(["constant", "cosine", "linear"])),
    }
    if maybe():
        options["lengths"] = rng.integers(0 if B > 2 else 1, T + 1, B)
        options["lengths"][0] = T
    if maybe(0.3) and not options["train_initial_state"]:
        options["state"] = rng.normal(size=(B, net.state_size))
    if maybe(0.3):
        options["sample_weight"] = rng.random(B) + 0.1
    if maybe(0.3) and not last:
        options["step_weight"] = rng.random((B, T)) + 0.1
    if maybe(0.4):
        options["bptt_steps"] = int(rng.integers(1, 8))
        if maybe() and not last:
            options["update_every"] = int(rng.integers(1, options["bptt_steps"] + 1))
    if maybe(0.3):
        options["clip_norm"] = 0.5
    if maybe(0.3):
        options["clip_value"] = 0.05
    if maybe(0.3) and B > 3 and "lengths" not in options:
        options["validation"] = 0.3
        options["patience"] = 2
    return net, rng.normal(size=(B, T, I)), y, options


@pytest.mark.filterwarnings("ignore::elman.ScalingWarning")
@pytest.mark.parametrize("block", range(5))
def test_any_options_give_the_bits_of_one_process(block):
    for seed in range(80 * block, 80 * (block + 1)):
        net, x, y, options = configuration(seed)
        engine = Pretended(workers=1 + seed % 5, seed=seed)
        part_size = (None, 16, 32, 64)[seed % 4]
        try:
            compared(engine, net, x, y, part_size, **options)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {options}") from error


@pytest.fixture
def net():
    return elman.Network(2, 8, 1, output_activation="identity", seed=0)


@pytest.fixture
def sequences(rng):
    x = rng.normal(size=(150, 6, 2)).astype(np.float32)
    return x, np.cumsum(x[..., :1], axis=1) / 3


@pytest.mark.parametrize("part_size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("workers", [1, 3, 50])
def test_neither_workers_nor_parts_change_a_bit(net, sequences, part_size, workers):
    compared(Pretended(workers), net, *sequences, part_size, epochs=2, batch_size=150)


def test_another_tree_would_give_other_bits(net, sequences, monkeypatch):
    """So the comparisons above can fail."""

    def from_the_left(parts):
        loss, total = parts[0]
        for more, others in parts[1:]:
            loss, total = loss + more, others + total if total is None else total + others
        return loss, total

    monkeypatch.setattr(parallel, "combined", from_the_left)
    with pytest.raises(AssertionError):
        compared(Pretended(), net, *sequences, 16, epochs=5, batch_size=150)


def test_lists_and_batch_axes_are_taken(net, rng):
    xs = [rng.normal(size=(T, 2)) for T in rng.integers(1, 9, 40)]
    compared(Pretended(), net, xs, [x[:, :1] for x in xs], 16, epochs=2)
    x = rng.normal(size=(5, 4, 7, 2))
    compared(Pretended(), net, x, x[..., :1], 16, epochs=2, state=np.ones((4, 8)) / 2)
    compared(Pretended(), net, x[0, 0], x[0, 0, :, :1], epochs=2, bptt_steps=3)


def test_validation_data_of_their_own_are_stored_too(net, sequences, rng):
    x, y = sequences
    held_out = {"x": x[:70] * 0.9, "y": y[:70], "lengths": rng.integers(1, 7, 70)}
    held_out["state"] = rng.normal(size=(70, 8))
    ours = compared(Pretended(), net, x, y, 16, epochs=3, validation=held_out, patience=1)
    assert len(ours.history.validation_loss) > 0


def test_in_order_each_block_is_stored_once_and_shuffled_all_are_one(net, sequences):
    engine = Pretended()
    compared(engine, net, *sequences, 16, epochs=3, batch_size=40, shuffle=False)
    sizes = [len(block.data.x) for block in engine.blocks]
    assert sizes == [16, 16, 8] * 3 + [16, 14]
    engine = Pretended()
    compared(engine, net, *sequences, 16, epochs=3, batch_size=40)
    assert [len(block.data.x) for block in engine.blocks] == [150]


def test_the_network_is_stored_once_and_not_with_each_block(sequences):
    """The weights are 20 times as large as the data here."""
    x, y = (a[:64] for a in sequences)
    net, engine = elman.Network(2, 200, 1, output_activation="identity", seed=0), Pretended()
    compared(engine, net, x, y, 16, epochs=1, batch_size=64, shuffle=False)
    assert len(engine.blocks) == 4
    assert net in engine.stored[0]
    assert len(pickle.dumps(engine.blocks)) < 1.2 * (x.nbytes + y.nbytes) + 2000
    assert len(pickle.dumps(net)) > 20 * len(pickle.dumps(engine.blocks))


def test_workers_get_numbers_of_the_dtype_of_the_network(net, sequences):
    x, y = (a.astype("float64") for a in sequences)
    engine = Pretended()
    compared(engine, net, x, y, epochs=1)
    (block,) = engine.blocks
    assert block.data.x.dtype == block.data.y.dtype == "float32"
    assert block.__sizeof__() > 150 * 6 * 3 * 4


def test_several_tasks_at_a_time_in_one_process(net, sequences):
    compared(Pretended(threads=4), net, *sequences, 16, epochs=3, batch_size=150)


@pytest.mark.any_isa  # sse2 has bits of its own
def test_another_instruction_set_on_workers_gives_the_same_bits(net, sequences, fused_isas):
    class Other(Pretended):
        def map(self, settings, weights, parts):
            with elman.use_isa(fused_isas[0]):  # the network is unpickled within
                return super().map(settings, weights, parts)

        def scatter(self, objects):
            with elman.use_isa(fused_isas[0]):
                return super().scatter(objects)

    engine = Other()
    compared(engine, net, *sequences, 16, epochs=2)
    assert engine.stored[0].net.isa == fused_isas[0]


@pytest.mark.any_isa
@pytest.mark.parametrize("theirs", [{"numerics": 999}, {"fused": False}])
def test_a_worker_that_would_give_other_bits_is_refused(net, sequences, theirs, monkeypatch):
    class Other(Pretended):
        def map(self, settings, weights, parts):
            rules = _format.rules()
            with monkeypatch.context() as worker:
                worker.setattr(_format, "rules", lambda: rules | theirs)
                return super().map(settings, weights, parts)

    message = "worker: expected .*, numerics .* with fused products, got .*ELMAN_ISA=scalar"
    with pytest.raises(IsaError, match=message):
        parallel.train(Other(), net, *sequences, None, {})


def test_a_checkpoint_continues_on_an_engine_and_here(net, sequences, tmp_path):
    whole = elman.train(net, *sequences, epochs=4)
    path = tmp_path / "run.ckpt"
    parallel.train(Pretended(), net, *sequences, None, {"epochs": 2, "checkpoint": path})
    other = tmp_path / "other.ckpt"
    other.write_bytes(path.read_bytes())
    options = {"epochs": 4, "checkpoint": path}
    same(parallel.train(Pretended(), net, *sequences, 16, options), whole)
    same(elman.train(net, *sequences, epochs=4, checkpoint=other), whole)


def test_a_callback_sees_the_network_and_sets_the_rate(net, sequences):
    def callback(record, trainer):
        trainer.learning_rate = 0.01 / record.epoch
        seen.append(trainer.network)
        return record.epoch == 3

    seen = []
    ours = compared(Pretended(), net, *sequences, callback=callback)
    assert ours.history.stopped == "callback"
    assert seen[:3] == seen[3:]


def test_an_interrupt_on_the_engine_returns_the_result_so_far(net, sequences):
    class Interrupted(Pretended):
        def map(self, settings, weights, parts):
            if len(self.maps) == 7:
                raise KeyboardInterrupt
            return super().map(settings, weights, parts)

    x, y = sequences
    options = {"batch_size": 32, "epochs": 5}
    ours = parallel.train(Interrupted(), net, x, y, None, options)
    assert ours.history.stopped == "interrupt"
    assert ours.history.updates == 7
    assert len(ours.history.epoch) == 1


def test_an_error_on_the_engine_is_raised_as_it_is(net, sequences):
    class Broken(Pretended):
        def map(self, settings, weights, parts):
            raise OSError("the cluster is gone")

    with pytest.raises(OSError, match="the cluster is gone"):
        parallel.train(Broken(), net, *sequences, None, {})


def test_divergence_is_reported_as_in_one_process(net, sequences):
    options = {"optimizer": "sgd", "learning_rate": 1e30, "epochs": 9}
    with pytest.raises(DivergenceError) as here:
        elman.train(net, *sequences, **options)
    with pytest.raises(DivergenceError) as there:
        parallel.train(Pretended(), net, *sequences, None, options)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("size", [0, 8, 24, 48, 100])
def test_parts_are_leaves_times_a_power_of_two(net, sequences, size):
    with pytest.raises(ArgumentError, match="part_size: expected"):
        parallel.train(Pretended(), net, *sequences, size, {})


def test_unknown_options_are_refused_with_a_remedy(net, sequences):
    with pytest.raises(ArgumentTypeError, match="use learning_rate="):
        parallel.train(Pretended(), net, *sequences, None, {"lr": 0.1})


def test_refused_data_reach_no_worker(net, sequences):
    engine, (x, y) = Pretended(), sequences
    bad = copy.copy(x)
    bad[3, 2, 1] = np.nan
    with pytest.raises(ArgumentError, match="x: expected finite numbers"):
        parallel.train(engine, net, bad, y, None, {})
    assert engine.stored == []
