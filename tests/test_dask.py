"""`elman.dask`: chunks and parts, compared bit by bit with one call in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings

import numpy as np
import pytest

import elman

dask = pytest.importorskip("dask", reason="could not import dask")
pytest.importorskip("distributed", reason="could not import distributed")
da = pytest.importorskip("dask.array", reason="could not import dask.array")

import elman.dask  # noqa: E402
from elman import _format, _network  # noqa: E402
from elman.errors import (  # noqa: E402
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IsaError,
    LimitError,
    ShapeError,
    TableError,
)

pytestmark = pytest.mark.any_isa


@pytest.fixture(params=["synchronous", "threads"])
def scheduler(request):
    with dask.config.set(scheduler=request.param):
        yield


@pytest.fixture
def net():
    return elman.Network(3, [8, 5], 2, output_activation="identity", seed=0)


@pytest.fixture
def x(rng):
    return rng.normal(size=(50, 9, 3)).astype("float32")


def equal(ours, theirs):
    """Require the same bits of two runs."""
    for a, b in zip(dask.compute(*ours), theirs, strict=True):
        assert (a is None and b is None) or (a.shape, a.tobytes()) == (b.shape, b.tobytes())


# --- whole sequences ------------------------------------------------------------------------------


@pytest.mark.usefixtures("scheduler")
@pytest.mark.parametrize("rows", [1, 7, 50])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_chunks_have_the_bits_of_the_whole(net, x, rng, rows, outputs):
    options = {
        "lengths": rng.integers(0, 10, 50),
        "state": rng.normal(size=(50, 13)),
        "outputs": outputs,
    }
    lazy = da.from_array(x, chunks=(rows, 9, 3))
    equal(elman.dask.run(net, lazy, **options), net.run(x, **options))
    ours = elman.dask.run(net, lazy, return_hidden=True)
    equal(ours, net.run(x, return_hidden=True))
    for array in ours:
        assert array.compute().shape == array.shape
        assert array.dtype == array.compute().dtype == net.dtype


def test_arguments_may_be_dask_arrays_in_other_chunks(net, x, rng):
    lengths, state = rng.integers(0, 10, 50), rng.normal(size=(50, 13))
    lazy = elman.dask.run(
        net,
        da.from_array(x, chunks=(20, 9, 3)),
        lengths=da.from_array(lengths, chunks=7),
        state=da.from_array(state, chunks=(11, 5)),
    )
    with dask.config.set(scheduler="synchronous"):
        equal(lazy, net.run(x, lengths=lengths, state=state))


def test_nothing_runs_while_the_graph_is_built(net):
    def fails(block):
        raise AssertionError("computed")

    x = da.zeros((10, 9, 3), chunks=(5, 9, 3)).map_blocks(fails, meta=np.zeros((0, 0, 0)))
    run = elman.dask.run(net, x, return_hidden=True)
    assert run.output.chunks == ((5, 5), (9,), (2,))
    assert run.state.chunks == ((5, 5), (13,))
    assert run.hidden.chunks == ((5, 5), (9,), (13,))


def test_the_same_call_has_the_same_keys(net, x):
    def names(net, **options):
        lazy = da.from_array(x, chunks=(20, 9, 3), name="x")
        return [array.name for array in elman.dask.run(net, lazy, **options)[:2]]

    assert names(net) == names(net.replace())
    assert len({*names(net), *names(net, outputs="last"), *names(net, lengths=np.ones(50))}) == 6
    assert set(names(net)).isdisjoint(names(elman.Network(3, [8, 5], 2, seed=1)))


def test_the_network_is_packed_once_and_each_chunk_is_run_once(net, x, monkeypatch):
    run = elman.dask.run(net, da.from_array(x, chunks=(5, 9, 3)), return_hidden=True)
    restore, run_chunk = _network._restore, elman.Network.run
    calls = []

    def counted_restore(data):
        calls.append("restore")
        return restore(data)

    def counted_run(self, *args, **options):
        calls.append("run")
        return run_chunk(self, *args, **options)

    monkeypatch.setattr(_network, "_restore", counted_restore)
    monkeypatch.setattr(elman.Network, "run", counted_run)
    dask.compute(*run, scheduler="synchronous")
    assert sorted(calls) == ["restore"] + 10 * ["run"]


def test_chunks_of_unknown_sizes(net, x):
    lazy = da.from_array(x, chunks=(20, 9, 3))
    some = x[:, 0, 0] > 0
    lengths = da.from_array(np.arange(50) % 10, chunks=20)
    with dask.config.set(scheduler="synchronous"):
        unknown = lazy[lazy[:, 0, 0] > 0]
        equal(elman.dask.run(net, unknown), net.run(x[some]))
        ours = elman.dask.run(net, unknown, lengths=lengths[lazy[:, 0, 0] > 0])
        equal(ours, net.run(x[some], lengths=(np.arange(50) % 10)[some]))
    with pytest.raises(ArgumentTypeError, match=r"lengths: expected a dask array .*compute_chunk"):
        elman.dask.run(net, unknown, lengths=[1] * 9)


def test_chunks_over_time_are_merged_with_a_warning_that_names_the_cost(net, x):
    lazy = da.from_array(x, chunks=(20, 4, 2))
    sizes = "moves up to 5.27 kiB between workers, and makes chunks of 2.11 kiB from those of 640 B"
    with pytest.warns(UserWarning, match=f"3 x 2 chunks over time and features .* {sizes}"):
        run = elman.dask.run(net, lazy)
    with dask.config.set(scheduler="synchronous"):
        equal(run, net.run(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        elman.dask.run(net, lazy.rechunk((7, -1, -1)))


def test_chunks_of_unknown_sizes_over_time_are_merged_too(net, x):
    lazy = da.from_array(x, chunks=(20, 3, 3))
    unknown = lazy[lazy[:, 0, 0] > 0]
    with pytest.warns(UserWarning, match=r"3 x 1 chunks .* makes chunks 3 times as large"):
        run = elman.dask.run(net, unknown)
    with dask.config.set(scheduler="synchronous"):
        equal(run, net.run(x[x[:, 0, 0] > 0]))


@pytest.mark.parametrize("threads", [None, 3])
def test_a_task_has_one_thread_unless_asked(net, x, threads, monkeypatch):
    given = []
    monkeypatch.setattr(elman.Network, "run", lambda self, x, **options: given.append(options))
    options = {} if threads is None else {"threads": threads}
    run = elman.dask.run(net, da.from_array(x, chunks=(50, 9, 3)), **options)
    with contextlib.suppress(TypeError):  # there is no output
        run.output.compute(scheduler="synchronous")
    assert [options["threads"] for options in given] == [threads or 1]


def test_a_worker_that_would_give_other_bits_is_refused(net, monkeypatch):
    run = elman.dask.run(net, da.zeros((5, 9, 3)))
    monkeypatch.setattr(_format, "rules", lambda: {"numerics": 999, "fused": False})
    with pytest.raises(IsaError, match=r"worker: expected .* got numerics 999 without fused"):
        run.output.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"x": np.zeros((5, 9, 3))}, ArgumentTypeError, "x: expected a dask array.*from_array"),
        ({"x": (5, 9, 2)}, ShapeError, r"x: expected \(B, T, 3\), got \(5, 9, 2\)"),
        ({"x": (9, 3)}, ShapeError, r"x: expected \(B, T, 3\), got \(9, 3\)"),
        ({"lengths": [1, 2]}, ShapeError, r"lengths: expected \(5,\), got \(2,\)"),
        ({"state": np.zeros((5, 12))}, ShapeError, r"state: expected \(5, 13\), got \(5, 12\)"),
        ({"outputs": "first"}, ArgumentError, "outputs: expected 'all' or 'last'"),
        ({"threads": 0}, ArgumentError, "threads: expected"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(net, wrong, error, message):
    x = wrong.pop("x", (5, 9, 3))
    with pytest.raises(error, match=message):
        elman.dask.run(net, da.zeros(x) if isinstance(x, tuple) else x, **wrong)


def test_numbers_that_are_not_real_are_refused(net):
    with pytest.raises(DTypeError, match="x: expected real numbers, got complex128"):
        elman.dask.run(net, da.zeros((5, 9, 3), dtype=complex))


def test_values_are_refused_by_the_task(net):
    run = elman.dask.run(net, da.zeros((5, 9, 3)), lengths=[1, 2, 3, 4, 10])
    errors = (ArgumentError, ShapeError, LimitError)
    with pytest.raises(errors, match="lengths: expected"):
        run.output.compute(scheduler="synchronous")


# --- data frames ----------------------------------------------------------------------------------


@pytest.fixture
def table_net():
    table = elman.Table(inputs=["heat", "load"], targets=["wear"], sequence="machine")
    return elman.Network(2, 6, 1, output_activation="identity", seed=0, table=table)


@pytest.fixture
def frame(rng):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "machine": rng.choice(list("abcdefgh"), 200),
            "at": np.arange(200),
            "heat": rng.normal(size=200),
            "load": rng.normal(size=200),
        }
    )


def by_machine(frame):
    return {m: rows["wear"].to_numpy().tobytes() for m, rows in frame.groupby("machine")}


def test_rows_in_any_partition_give_the_sequences_of_one_frame(table_net, frame):
    dd = pytest.importorskip("dask.dataframe")
    mixed = dd.from_pandas(frame.sample(frac=1, random_state=0).reset_index(drop=True), 5)
    lazy = elman.dask.run_table(table_net, mixed, order="at")
    whole = elman.run_table(table_net, frame).to_frame()
    with dask.config.set(scheduler="synchronous"):
        ours = lazy.compute()
        last = elman.dask.run_table(table_net, mixed, order="at", outputs="last").compute()
    assert by_machine(ours) == by_machine(whole)
    assert ours.dtypes.equals(lazy.dtypes)
    assert by_machine(last) == by_machine(whole.groupby("machine").tail(1))


def test_whole_sequences_in_a_partition_need_no_shuffle(table_net, frame):
    dd = pytest.importorskip("dask.dataframe")
    lazy = dd.from_pandas(frame.sort_values(["machine", "at"]).set_index("machine"), 4)
    lazy = lazy.map_partitions(lambda part: part.reset_index())
    ours = elman.dask.run_table(table_net, lazy, shuffle=False).compute(scheduler="synchronous")
    assert by_machine(ours) == by_machine(elman.run_table(table_net, frame).to_frame())


def test_rows_without_an_order_of_their_own_are_refused(table_net, frame):
    dd = pytest.importorskip("dask.dataframe")
    frame.loc[7, "machine"] = frame.loc[100, "machine"]
    frame.loc[7, "at"] = 100
    lazy = elman.dask.run_table(table_net, dd.from_pandas(frame, 3), order="at")
    with pytest.raises(TableError, match=r"frame: expected a value of 'at' .* got 100 twice"):
        lazy.compute(scheduler="synchronous")


def test_the_network_of_partitions_is_packed_once(table_net, frame, monkeypatch):
    dd = pytest.importorskip("dask.dataframe")
    lazy = elman.dask.run_table(table_net, dd.from_pandas(frame, 5), order="at")
    restore, calls = _network._restore, []
    monkeypatch.setattr(_network, "_restore", lambda data: calls.append(data) or restore(data))
    lazy.compute(scheduler="synchronous")
    assert len(calls) == 1


def test_a_shuffle_without_an_order_is_refused(table_net, frame):
    dd = pytest.importorskip("dask.dataframe")
    with pytest.raises(ArgumentError, match="order: expected a column"):
        elman.dask.run_table(table_net, dd.from_pandas(frame, 2))
    with pytest.raises(ArgumentError, match="sequence: expected the column"):
        elman.dask.run_table(elman.Network(2, 6, 1), dd.from_pandas(frame, 2))
    with pytest.raises(ArgumentTypeError, match="frame: expected a dask data frame"):
        elman.dask.run_table(table_net, frame)


# --- a cluster ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    from distributed import Client, LocalCluster

    with (
        dask.config.set({"distributed.admin.log-format": "%(message)s"}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",  # that of 8787 may be taken
            memory_limit="1GiB",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_cluster_gives_the_bits_of_one_process(net, x, client):
    lazy = da.from_array(x, chunks=(10, 9, 3))
    run = elman.dask.run(net, lazy)
    outputs, states = (future.result() for future in client.compute([run.output, run.state]))
    whole = net.run(x)
    assert outputs.tobytes() == whole.output.tobytes()
    assert states.tobytes() == whole.state.tobytes()


def packings(client, work):
    """Do some work; return how many networks each worker has unpickled, and so packed."""

    def count():
        def counted(data):
            _network.packed.append(1)
            return restore(data)

        restore = getattr(_network, "unpacked", _network._restore)
        _network.unpacked, _network.packed, _network._restore = restore, [], counted

    client.run(count)
    work()
    return list(client.run(lambda: len(_network.packed)).values())


def test_a_worker_packs_a_network_once(net, x, table_net, frame, client):
    dd = pytest.importorskip("dask.dataframe")
    lazy = elman.dask.run(net, da.from_array(x, chunks=(2, 9, 3)))
    table = elman.dask.run_table(table_net, dd.from_pandas(frame, 8), order="at")
    options = {"epochs": 2, "batch_size": 25, "shuffle": False, "validation": 0.2}
    for work in (
        lambda: client.gather(client.compute([lazy.output, lazy.state])),
        lambda: client.compute(table).result(),
        lambda: elman.dask.train(net, x, x[..., :2], client=client, part_size=16, **options),
    ):
        found = packings(client, work)
        assert max(found) == 1, found


@pytest.mark.parametrize("shuffle", [False, True])
def test_training_survives_a_killed_worker(net, x, client, shuffle):
    def kill(record, trainer):
        if record.epoch == 2:
            pid = client.run(os.getpid).popitem()[1]
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    killed = []
    y = np.cumsum(x[..., :2], axis=1) / 3
    options = {"epochs": 5, "batch_size": 50, "shuffle": shuffle, "validation": 0.2}
    ours = elman.dask.train(net, x, y, client=client, part_size=16, callback=kill, **options)
    alone = elman.train(net, x, y, **options)
    assert len(killed) == 1
    assert ours.network == alone.network
    assert ours.history == alone.history


def test_a_cluster_that_has_lost_all_workers_is_waited_for():
    class Client:
        """A client whose worker comes when it is waited for."""

        def __init__(self):
            self.workers = {}

        def nthreads(self):
            return self.workers

        def wait_for_workers(self, count, timeout):
            assert timeout > 10
            self.workers = {"tcp://1": count}

        def scatter(self, data, workers, timeout):
            assert workers == ["tcp://1"]
            return data

    assert list(elman.dask._Cluster(Client()).scatter(["data"])) == [0]


def test_a_worker_killed_while_data_are_copied_to_it(net, x, client, monkeypatch):
    """Dask's own copying, `broadcast` and `replicate`, then never returns."""

    def scatter(engine, objects):
        threading.Timer(0.5, os.kill, (pids[stopped], signal.SIGKILL)).start()
        monkeypatch.undo()
        return engine.scatter(objects)

    def hangs(*_):
        raise AssertionError("training hangs")

    client.wait_for_workers(2)
    pids = client.run(os.getpid)
    latest = client.scatter(0, hash=False)  # by turns: the next goes to the other worker first
    ((stopped,),) = client.who_has([latest]).values()
    monkeypatch.setattr(elman.dask._Cluster, "scatter", scatter)
    before = signal.signal(signal.SIGALRM, hangs)
    y = np.cumsum(x[..., :2], axis=1) / 3
    os.kill(pids[stopped], signal.SIGSTOP)  # the scheduler does not notice, and waits for it
    try:
        signal.alarm(30)
        ours = elman.dask.train(net, x, y, client=client, epochs=2)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert ours.network == elman.train(net, x, y, epochs=2).network


def test_a_worker_lost_while_it_receives_data(net, x, client, monkeypatch):
    """What Dask's scheduler raises then: seen in runs with killed workers."""
    scatter = client.scatter
    errors = [KeyError("tcp://127.0.0.1:38127"), OSError("closed"), TimeoutError("no workers")]

    def failing(*args, **options):
        if errors:
            raise errors.pop()
        return scatter(*args, **options)

    monkeypatch.setattr(client, "scatter", failing)
    y = np.cumsum(x[..., :2], axis=1) / 3
    ours = elman.dask.train(net, x, y, client=client, epochs=2)
    assert errors == []
    assert ours.network == elman.train(net, x, y, epochs=2).network


def test_training_on_dask_arrays_of_the_cluster(net, x, client):
    y = np.cumsum(x[..., :2], axis=1) / 3
    lengths = np.arange(50) % 9 + 1

    def lazy(array):
        return client.persist(da.from_array(array, chunks=(20, *array.shape[1:])))

    given = {"lengths": lazy(lengths), "validation": (lazy(x / 2), lazy(y / 2)), "epochs": 2}
    ours = elman.dask.train(net, lazy(x), lazy(y), client=client, **given)
    alone = elman.train(net, x, y, lengths=lengths, validation=(x / 2, y / 2), epochs=2)
    assert ours.network == alone.network
    assert ours.history == alone.history


def test_a_checkpoint_of_a_cluster_continues_in_one_process(net, x, client, tmp_path):
    y = np.cumsum(x[..., :2], axis=1) / 3
    options = {"checkpoint": tmp_path / "run.ckpt"}
    elman.dask.train(net, x, y, client=client, epochs=2, **options)
    ours = elman.train(net, x, y, epochs=4, **options)
    assert ours.network == elman.train(net, x, y, epochs=4).network


def test_large_weights_are_stored_once_per_update(x, client):
    net = elman.Network(3, 200, 2, output_activation="identity", seed=0)
    y = np.cumsum(x[..., :2], axis=1) / 3
    ours = elman.dask.train(net, x, y, client=client, epochs=2, part_size=16)
    assert ours.network == elman.train(net, x, y, epochs=2).network


def test_training_needs_a_client(net, x):
    with pytest.raises(ArgumentError, match=r"client: expected a distributed\.Client, got none"):
        elman.dask.train(net, x, x)
    with pytest.raises(ArgumentTypeError, match="client: expected a synchronous"):
        elman.dask.train(net, x, x, client="tcp://localhost:8786")


def test_training_needs_workers(net, x):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
        pytest.raises(ArgumentError, match="client: expected a cluster with workers, got none"),
    ):
        elman.dask.train(net, x, x, client=client)
