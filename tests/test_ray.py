"""`elman.ray` without Ray: batches as Ray makes them, and the engine on a stand-in for Ray."""

import pickle
import sys
import types

import numpy as np
import pytest

import elman
import elman.ray
from elman import _network


@pytest.fixture
def net(dtype):
    return elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0, dtype=dtype)


def objects(values):
    """Return an object array of values, as Ray makes for columns of lists."""
    column = np.empty(len(values), object)
    for i, value in enumerate(values):
        column[i] = value
    return column


def nested(sequence):
    """Return a sequence as Ray reads it from lists of lists: an object array of steps."""
    return objects(list(sequence))


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", ["all", "last"])
def test_a_padded_batch_has_the_bits_of_run_and_keeps_its_columns(net, rng, outputs):
    x = rng.standard_normal((5, 7, 3)).astype(net.dtype)
    x.flags.writeable = False  # a batch without copies
    lengths = np.array([0, 7, 3, 1, 5])
    for name in (None, "steps"):
        predictor = elman.ray.Predictor(net, outputs=outputs, lengths=name, threads=2)
        got = predictor({"id": np.arange(5), "steps": lengths, "x": x})
        want = net.run(x, outputs=outputs, lengths=None if name is None else lengths).output
        assert list(got) == ["id", "steps", "x", "output"]
        assert got["output"].dtype == net.dtype
        assert got["output"].tobytes() == want.tobytes()
        assert got["x"] is x


@pytest.mark.parametrize("as_ray", [np.asarray, nested])
def test_sequences_of_several_lengths_have_the_bits_of_one_alone(net, rng, as_ray):
    sequences = [rng.standard_normal((T, 3)).astype(net.dtype) for T in (4, 0, 1, 9)]
    batch = {"x": objects([as_ray(s) for s in sequences])}
    every = elman.ray.Predictor(net, result="y")(batch)["y"]
    last = elman.ray.Predictor(net, outputs="last")(batch)["output"]
    for i, sequence in enumerate(sequences):
        assert every[i].tobytes() == net(sequence).tobytes()
        assert last[i].tobytes() == net.run(sequence, outputs="last").output.tobytes()
    assert every.dtype == object
    assert last.shape == (4, 2)


def test_lists_of_numbers_are_sequences_of_a_network_with_one_input(dtype, rng):
    net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0, dtype=dtype)
    x = rng.standard_normal((4, 6)).astype(dtype)
    want = net(x[..., None])
    predictor = elman.ray.Predictor(net)
    assert predictor({"x": x})["output"].tobytes() == want.tobytes()
    assert predictor({"x": objects(list(x))})["output"].tobytes() == want.tobytes()
    shorter = predictor({"x": objects([x[0], x[1, :2]])})["output"]
    assert shorter[1].tobytes() == want[1, :2].tobytes()


def test_an_empty_batch_has_no_outputs(net):
    predictor = elman.ray.Predictor(net)
    assert predictor({"x": np.empty((0, 7, 3), net.dtype)})["output"].shape == (0, 7, 2)
    assert len(predictor({"x": np.empty(0, object)})["output"]) == 0


def test_a_network_is_loaded_or_unpickled_once_and_not_for_each_batch(net, tmp_path, monkeypatch):
    made = []
    of_contents = _network.network_of_contents

    def counted(*args, **options):
        made.append(1)
        return of_contents(*args, **options)

    for module in (_network, sys.modules["elman._loading"]):
        monkeypatch.setattr(module, "network_of_contents", counted)
    net.save(tmp_path / "model.safetensors")
    pickled = pickle.dumps(elman.ray.Predictor(net))
    batch = {"x": np.ones((2, 4, 3), net.dtype)}
    want = net(batch["x"])
    for make in (
        lambda: elman.ray.Predictor(tmp_path / "model.safetensors"),
        lambda: pickle.loads(pickled),
    ):
        made.clear()
        predictor = make()
        for _ in range(20):
            assert predictor(batch)["output"].tobytes() == want.tobytes()
        assert len(made) == 1


@pytest.mark.parametrize(
    ("options", "batch", "message"),
    [
        ({"inputs": "y"}, {}, r"inputs: expected a column of the data, 'x', got 'y'"),
        ({"lengths": "n"}, {}, r"lengths: expected a column of the data, 'x', got 'n'"),
        ({"result": "x"}, {}, r"result: expected the name of a new column, got 'x'"),
        ({}, {"x": np.ones((2, 4, 5))}, r"x: expected .*3"),
        ({}, {"x": objects([np.ones((4, 3)), np.ones((4, 5))])}, r"x\[1\]: expected \(T, 3\)"),
        ({}, {"x": objects([nested([[1.0], [1.0, 2.0]])])}, r"x\[0\]: expected \(T, 3\)"),
        (
            {},
            {"x": objects([np.ones((4, 3)), None])},
            r"x\[1\]: expected real numbers, got dtype object",
        ),
        (
            {"lengths": "n"},
            {"x": objects([np.ones((4, 3))]), "n": np.array([4])},
            r"lengths: expected None with sequences of several lengths",
        ),
    ],
)
def test_a_wrong_batch_is_one_clear_sentence(options, batch, message):
    net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    batch = {"x": np.ones((2, 4, 3), np.float32)} | batch
    with pytest.raises(elman.ElmanError, match=message):
        elman.ray.Predictor(net, **options)(batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": 3}, "path: expected a path"),
        ({"outputs": "first"}, "outputs: expected"),
        ({"threads": 0}, "threads: expected"),
        ({"inputs": 3}, "inputs: expected"),
    ],
)
def test_a_wrong_argument_is_an_error_before_any_batch(net, options, message):
    with pytest.raises(elman.ElmanError, match=message):
        elman.ray.Predictor(**{"network": net} | options)


# --- training -------------------------------------------------------------------------------------


class FakeRay(types.ModuleType):
    """The functions of Ray that `elman.ray.train` calls; arguments travel as pickles."""

    def __init__(self):
        super().__init__("ray")
        self.gets, self.killed = 0, 0

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 3.0}

    def put(self, value):
        return pickle.dumps(value)

    def get(self, reference):
        if isinstance(reference, list):
            return [self.get(one) for one in reference]
        self.gets += 1
        return pickle.loads(reference)

    def kill(self, actor):
        self.killed += 1

    def remote(self, **_):
        return lambda kind: types.SimpleNamespace(remote=lambda: FakeActor(self, kind()))


class FakeActor:
    def __init__(self, ray, worker):
        def compute(settings, weights, parts):
            settings, parts = pickle.loads(pickle.dumps((settings, parts)))
            return ray.put(worker.compute(settings, pickle.loads(weights), parts))

        self.compute = types.SimpleNamespace(remote=compute)


@pytest.fixture
def fake(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 128, "shuffle": False},
        {"batch_size": 50, "validation": 0.2},
        {"batch_size": 64, "bptt_steps": 4, "shuffle": False, "part_size": 16},
    ],
)
def test_training_has_the_bits_of_one_process(fake, net, rng, workers, options):
    x = rng.standard_normal((130, 10, 3)).astype(net.dtype)
    y = rng.uniform(0.2, 0.8, (130, 10, 2)).astype(net.dtype)
    got = elman.ray.train(net, x, y, workers=workers, epochs=3, **options)
    options = {key: value for key, value in options.items() if key != "part_size"}
    want = elman.train(net, x, y, epochs=3, **options)
    assert got.network == want.network
    assert got.history == want.history
    assert fake.killed == (workers or 3)


def test_a_block_is_fetched_once_by_one_actor_and_the_network_by_each(fake, net, rng):
    x = rng.standard_normal((256, 5, 3)).astype(net.dtype)
    y = rng.uniform(0.2, 0.8, (256, 5, 2)).astype(net.dtype)
    options = {"batch_size": 256, "shuffle": False, "part_size": 64, "workers": 2}
    elman.ray.train(net, x, y, epochs=1, **options)
    assert fake.gets == 4 + 2 + 2  # the blocks, and of each actor the network and a result
    fake.gets = 0
    elman.ray.train(net, x, y, epochs=10, **options)
    assert fake.gets == 4 + 2 + 2 * 10


def test_actors_end_with_an_error_too(fake, net):
    x = np.ones((4, 5, 3), net.dtype)
    with pytest.raises(elman.ShapeError):
        elman.ray.train(net, x, np.ones((4, 6, 2)))
    with pytest.raises(elman.ArgumentTypeError, match="epoch"):
        elman.ray.train(net, x, np.ones((4, 5, 2)), epoch=2)
    assert fake.killed == 6


def test_without_ray_the_error_names_the_extra(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"elman.ray.train needs ray: .*elman\[ray\]"):
        elman.ray.train(net, np.ones((4, 5, 3)), np.ones((4, 5, 2)))
