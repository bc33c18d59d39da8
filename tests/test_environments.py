"""The example of a policy in many environments."""

from __future__ import annotations

import pathlib
import runpy

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa


@pytest.fixture(scope="module")
def example():
    path = pathlib.Path(__file__).parents[1] / "examples" / "environments.py"
    return runpy.run_path(str(path))


def test_an_episode_is_that_of_its_own_stream(example):
    """The same environments, with a new stream for each episode."""
    n, steps = 20, 200
    policy = elman.Network(2, 32, 1, output_activation="identity", seed=0)
    poles = example["Poles"](n, seed=0)
    streams, lengths = [policy.stream() for _ in range(n)], []
    for _ in range(steps):
        push = np.array([one.step(x)[0] for one, x in zip(streams, poles.seen(), strict=True)])
        ended = poles.step(push)
        lengths += list(poles.steps[ended])
        poles.reset(ended)
        streams = [policy.stream() if end else one for one, end in zip(streams, ended, strict=True)]
    assert len(lengths) > n
    assert example["rollout"](policy, n, steps).tolist() == lengths


def test_the_policy_learns_to_balance_the_pole(example, capsys):
    example["main"](["--environments", "50", "--epochs", "30"])
    untrained, trained = capsys.readouterr().out.splitlines()
    assert float(trained.split()[3]) > 2 * float(untrained.split()[3])
