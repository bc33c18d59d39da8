"""The example that takes a three-bit flip-flop apart, beside SciPy's root finder."""

from __future__ import annotations

import itertools
import pathlib
import runpy

import numpy as np
import pytest

import elman
from elman.dynamics.points import starts_for
from elman.dynamics.step_map import StepMap

pytestmark = pytest.mark.any_isa


@pytest.fixture(scope="module")
def example():
    path = pathlib.Path(__file__).parents[1] / "examples" / "flip_flop.py"
    return runpy.run_path(str(path))


@pytest.fixture(scope="module")
def net(example):
    return example["trained"](24, 60, 0)


@pytest.fixture(scope="module")
def visited(example, net):
    x, _ = example["trials"](100, 1)
    return net.run(x, return_hidden=True).hidden


@pytest.fixture(scope="module")
def points(net, visited):
    return elman.dynamics.fixed_points(net, n=1024, states=visited)


def test_targets_are_the_signs_of_the_last_pulses(example):
    x, y = example["trials"](5, 3)
    assert set(np.unique(x)) == {-1.0, 0.0, 1.0}
    for pulses, states in zip(x, y, strict=True):
        last = np.zeros(3)
        for x_t, y_t in zip(pulses, states, strict=True):
            last = np.where(x_t != 0, x_t, last)
            assert (y_t == last).all()


def test_each_memory_has_an_attractor_with_its_bits(net, points):
    y = elman.dynamics.linearize(net, [point.state for point in points.stable]).output
    assert len(y) == 8
    assert len(set(map(tuple, np.sign(y)))) == 8
    assert np.abs(y).min() > 0.5


def test_the_core_stays_at_the_attractors_and_leaves_the_saddles(net, points):
    """For 300 steps, started 1e-3 away from the points."""
    for point in points:
        rng = np.random.default_rng(0)
        start = point.state + 1e-3 * rng.standard_normal(len(point.state))
        end = net.run(np.zeros((300, 3)), state=start).state
        away = np.abs(end - point.state).max()
        assert away < 1e-4 if point.stable else away > 0.01


def test_a_saddle_lies_between_memories_that_differ_in_one_bit(net, points):
    memories = elman.dynamics.linearize(net, points.states).output
    saddles = [y for y, p in zip(memories, points, strict=True) if p.unstable == 1]
    assert len(saddles) >= 12  # the edges of a cube
    middles = {tuple(np.where(np.abs(y) < 0.5, 0, np.sign(y)).astype(int)) for y in saddles}
    assert {m for m in middles if np.count_nonzero(m) == 2} == {
        tuple(np.insert([one, other], at, 0)) for at in range(3) for one in (-1, 1)
        for other in (-1, 1)
    }  # fmt: skip


def test_every_point_is_proved(points):
    for point in points:
        assert point.kind == "fixed"
        assert point.radius < 1e-10
        assert point.stable is not None


def distinct(states):
    """Return the states that are more than 1e-6 apart."""
    kept = []
    for state in states:
        if all(np.abs(state - other).max() > 1e-6 for other in kept):
            kept.append(state)
    return kept


def test_scipy_finds_the_same_points_from_the_same_starts(net, visited, points):
    optimize = pytest.importorskip("scipy.optimize")
    layer = net.layers[0]
    W, b = layer.W_hh.astype(float), layer.b_h.astype(float)

    def root(start):
        return optimize.root(
            lambda h: np.tanh(W @ h + b) - h,
            start,
            jac=lambda h: (1 - np.tanh(W @ h + b) ** 2)[:, None] * W - np.eye(len(h)),
            tol=1e-12,
        )

    starts = starts_for(StepMap(net, "test"), visited, 1024, np.random.default_rng(0))
    results = map(root, starts)
    theirs = distinct(r.x for r in results if r.success and np.abs(r.fun).max() < 1e-10)
    assert len(theirs) == len(points) == 27
    for state in theirs:
        assert np.abs(points.states - state).max(axis=-1).min() < 1e-9
    for point in points:
        assert np.abs(root(point.state).x - point.state).max() < 1e-9


def test_the_example_prints_its_table(example, capsys):
    example["main"](["--units", "24", "--epochs", "60", "--starts", "1024"])
    lines = capsys.readouterr().out.splitlines()
    assert float(lines[1].split()[-2]) > 99
    assert lines[4].split()[:2] == ["0", "8"]
    assert set(" ".join(lines[4:6]).replace(",", "").split()[5:]) == {
        "".join(signs) for signs in itertools.product("+-", repeat=3)
    }
    assert "an exact point within" in lines[-1]
