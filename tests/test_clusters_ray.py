"""`elman.ray` on a real cluster: a head without processors and two nodes, on this machine."""

import os
import random

import numpy as np
import pytest

import elman
import elman.ray

pytestmark = [
    pytest.mark.clusters,
    pytest.mark.any_isa,
    pytest.mark.filterwarnings("default"),  # those of Ray
]

STORE = 80 * 2**20  # bytes of shared memory of a node; Ray's least is 75 MiB


@pytest.fixture(scope="module")
def ray():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    return pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster(ray):
    """Return the cluster, which ends with the module."""
    from ray.cluster_utils import Cluster

    options = {"include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, **options)
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def net():
    return elman.Network(input_size=3, hidden_size=16, output_size=2, seed=0)


@pytest.fixture
def examples(rng):
    x = rng.standard_normal((500, 20, 3)).astype(np.float32)
    return x, rng.uniform(0.2, 0.8, (500, 20, 2)).astype(np.float32)


# --- datasets -------------------------------------------------------------------------------------


def watched():
    """Return a class that travels by value: workers cannot import this file."""

    class Watched(elman.ray.Predictor):
        """A predictor that adds the process and how often this object was made and called."""

        made = 0

        def __init__(self, *args, **options):
            type(self).made += 1
            self.calls = 0
            super().__init__(*args, **options)

        def __call__(self, batch):
            self.calls += 1
            size = len(batch["id"])
            told = {"process": os.getpid(), "made": type(self).made, "calls": self.calls}
            return super().__call__(batch) | {k: np.full(size, v) for k, v in told.items()}

    return Watched


def collected(dataset):
    """Return the columns of a dataset in the order of `id`."""
    rows = sorted(dataset.take_all(), key=lambda row: row["id"])
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_dataset_has_the_bits_of_one_call_and_an_actor_packs_its_network_once(
    ray, cluster, net, examples
):
    x, _ = examples
    rows = [{"id": i, "x": sequence} for i, sequence in enumerate(x)]
    dataset = ray.data.from_items(rows, override_num_blocks=4).map_batches(
        watched(),
        fn_constructor_args=(net,),
        fn_constructor_kwargs={"inputs": "x"},
        batch_format="numpy",
        zero_copy_batch=True,
        batch_size=25,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    got = collected(dataset)
    assert np.stack(got["output"]).tobytes() == net(x).tobytes()
    assert set(got["made"]) == {1}
    assert max(got["calls"]) >= 10
    assert os.getpid() not in got["process"]


def test_ragged_columns_of_parquet_have_the_bits_of_one_call(ray, cluster, net, rng, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    sequences = [rng.standard_normal((1 + i % 9, 3)).astype(np.float32) for i in range(100)]
    column = pa.array([s.tolist() for s in sequences], pa.list_(pa.list_(pa.float32())))
    parquet.write_table(pa.table({"id": range(100), "x": column}), tmp_path / "x.parquet")
    net.save(tmp_path / "model.safetensors")
    dataset = ray.data.read_parquet(str(tmp_path / "x.parquet")).map_batches(
        elman.ray.Predictor,
        fn_constructor_args=(str(tmp_path / "model.safetensors"),),
        batch_format="numpy",
        batch_size=32,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    got = collected(dataset)
    for output, sequence in zip(got["output"], sequences, strict=True):
        assert np.asarray(output, np.float32).tobytes() == net(sequence).tobytes()


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 500, "shuffle": False},
        {"batch_size": 100, "optimizer": "adamw", "clip_norm": 1.0},
        {"batch_size": 128, "bptt_steps": 7, "shuffle": False, "validation": 0.2},
    ],
)
def test_training_on_two_nodes_has_the_bits_of_one_process(cluster, net, examples, options):
    got = elman.ray.train(net, *examples, epochs=4, **options)
    want = elman.train(net, *examples, epochs=4, **options)
    assert got.network == want.network
    assert got.history == want.history


def processes():
    """Return the processes of training actors on this machine."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if file.read().startswith(b"ray::_Worker"):
                    found.append(int(name))
        except OSError:  # it ended meanwhile
            continue
    return found


def test_an_actor_that_is_killed_is_made_good(cluster, net, examples):
    killed, dice = [], random.Random(0)

    def kill(record, trainer):
        if record.epoch % 3 == 0 and (found := processes()):
            victim = dice.choice(found)
            os.kill(victim, 9)
            killed.append(victim)

    options = {"epochs": 12, "batch_size": 100}
    got = elman.ray.train(net, *examples, callback=kill, **options)
    assert len(set(killed)) >= 2
    assert got.network == elman.train(net, *examples, **options).network


def test_a_node_that_is_lost_is_made_good(cluster, net, examples):
    extra = cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=STORE)

    def lose(record, trainer):
        if record.epoch == 3:
            cluster.remove_node(extra, allow_graceful=False)

    options = {"epochs": 8, "batch_size": 500, "shuffle": False}
    got = elman.ray.train(net, *examples, workers=2, callback=lose, **options)
    assert got.network == elman.train(net, *examples, **options).network
