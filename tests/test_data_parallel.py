"""Gradients of parts of a batch on several processes, compared with the whole batch."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.training import parallel

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)  # the processes it starts inherit the path
        yield importlib.import_module("data_parallel")


@pytest.fixture
def net():
    return elman.Network(input_size=1, hidden_size=[7, 5], output_size=1, seed=3)


def parts(example, net, data, sizes):
    total = example.weight(data)
    return [example.part(net, share, total) for share in example.shares(data, sizes)]


@pytest.mark.parametrize("leaves", [1, 2, 4])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_equal_shares_of_full_leaves_give_the_bits_of_the_whole(example, net, leaves, count):
    data = example.examples(16 * leaves * count, seed=1)
    whole = example.part(net, data, example.weight(data))
    found = parts(example, net, data, [16 * leaves] * count)
    assert example.same_bits(example.combined(found), whole)
    if count == 3:  # the order matters: only this one gives the same bits
        a, b, c = found
        assert not example.same_bits((a[0] + (b[0] + c[0]), a[1] + (b[1] + c[1])), whole)


@pytest.mark.parametrize("count", range(1, 20))
def test_parts_are_added_as_on_engines(example, count):
    whole = np.random.default_rng(count).normal(size=(count, 5)).astype("float32")
    ours = example.combined([(float(row[0]), row) for row in whole])
    loss, theirs = parallel.combined([(float(row[0]), row) for row in whole])
    assert (ours[0], ours[1].tobytes()) == (loss, theirs.tobytes())


@pytest.mark.parametrize("sizes", [[1, 63], [20, 20, 24], [5] * 12 + [4]])
def test_other_shares_agree_up_to_rounding(example, net, sizes):
    net, data = net.astype("float64"), example.examples(64, seed=1)
    whole = elman.loss_and_gradients(net, *data)  # without a normalizer: the mean of all steps
    together = example.combined(parts(example, net, data, sizes))
    assert together[0] == pytest.approx(whole[0], rel=1e-14)
    assert 0 < example.difference(whole, together) < 1e-14


def test_an_update_is_gradient_descent_with_momentum(example):
    data = example.examples(16, seed=2)
    first = elman.Network(
        input_size=1, hidden_size=3, output_size=1, output_activation="identity", seed=1
    )
    net, _ = example.train(map, first, data, 1, 6)
    optimizer = elman.SGD(example.LEARNING_RATE, momentum=example.MOMENTUM)
    trained = elman.train(first, *data, optimizer=optimizer, epochs=6).network
    np.testing.assert_allclose(net.layers[0].W_hh, trained.layers[0].W_hh, rtol=0, atol=1e-6)
    np.testing.assert_allclose(net.readout.b_y, trained.readout.b_y, rtol=0, atol=1e-6)
    assert np.abs(first.layers[0].W_hh - net.layers[0].W_hh).max() > 0.01


def test_two_processes_train_the_network_of_one(example, capsys):
    example.main(["--processes", "2", "--epochs", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("shares of 128, 128: the same bits")
    assert all("not the same bits" in line for line in lines[1:3])
    assert [line[:9] for line in lines[3:5]] == ["epoch   1", "epoch   2"]
    assert lines[-1] == "the network trained by 2 processes equals that of one process, bit for bit"
