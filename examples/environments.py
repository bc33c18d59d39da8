"""Run a recurrent policy in many environments at once; those that end are reset by a mask.

    python examples/environments.py

The environment is a pole on a cart, which falls without control. The policy sees only the two
positions, so it must remember past ones to infer the speeds. `rollout` is the loop that a method of
reinforcement learning would call: one step of all environments, one step of the policy's pool, and
a reset of both where an episode ends. Here a policy learns to imitate a controller that sees the
speeds too, and is scored by the length of its episodes.
"""

from __future__ import annotations

import argparse

import numpy as np

import elman

PERIOD, GRAVITY, LENGTH = 0.02, 9.81, 0.5  # s, m/s^2, m
LONGEST = 500  # steps of an episode
GAINS = np.array([-7.0, -9.5, -50.0, -13.0])  # of a controller that sees all four variables


class Poles:
    """n poles on carts; a state is the cart's position and speed, and the pole's angle and turn."""

    def __init__(self, n: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.state, self.steps = np.empty((n, 4)), np.zeros(n, int)
        self.reset(np.ones(n, bool))

    def reset(self, rows: np.ndarray) -> None:
        """Begin new episodes in the rows of a mask."""
        self.state[rows] = self.rng.uniform(-0.1, 0.1, (rows.sum(), 4))
        self.steps[rows] = 0

    def seen(self) -> np.ndarray:
        """Return what the policy sees: the positions (n, 2)."""
        return self.state[:, ::2].astype(np.float32)

    def step(self, push: np.ndarray) -> np.ndarray:
        """Accelerate the carts by push (n,), m/s^2, for a period; return where episodes ended."""
        x, v, angle, turn = self.state.T
        v += PERIOD * push
        turn += PERIOD * (GRAVITY * np.sin(angle) - push * np.cos(angle)) * 3 / (4 * LENGTH)
        x += PERIOD * v
        angle += PERIOD * turn
        self.steps += 1
        return (abs(angle) > 0.2) | (abs(x) > 2.4) | (self.steps == LONGEST)


def rollout(policy: elman.Network, n: int, steps: int, seed: int = 0) -> np.ndarray:
    """Return the lengths of the episodes that end within some steps of n environments."""
    poles, pool = Poles(n, seed), policy.streams(n)
    push, lengths = np.empty((n, 1), np.float32), []
    for _ in range(steps):
        pool.step(poles.seen(), out=push)
        ended = poles.step(push[:, 0])
        if ended.any():
            lengths.append(poles.steps[ended])
            poles.reset(ended)
            pool.reset(rows=ended)
    return np.concatenate(lengths)


def examples(n: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, steps, 2) and the pushes (n, steps, 1) for them, with disturbances."""
    poles = Poles(n, seed)
    x, y = np.empty((n, steps, 2), np.float32), np.empty((n, steps, 1), np.float32)
    for t in range(steps):
        x[:, t], y[:, t, 0] = poles.seen(), -poles.state @ GAINS
        poles.step(y[:, t, 0] + poles.rng.normal(0, 2, n))
    return x, y


def main(arguments: list[str] | None = None) -> None:
    """Train a policy, and print the lengths of its episodes before and after."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--environments", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    chosen = parser.parse_args(arguments)
    x, y = examples(256, 100, seed=1)
    of_x, of_y = x.std(axis=(0, 1)), y.std(axis=(0, 1))
    scaling = {"input_std": of_x, "output_std": of_y}
    untrained = elman.Network(2, 32, 1, output_activation="identity", seed=0, **scaling)
    trained = elman.train(untrained, x, y, epochs=chosen.epochs, batch_size=32, seed=0).network
    for name, policy in (("untrained", untrained), ("trained", trained)):
        lengths = rollout(policy, chosen.environments, 2 * LONGEST)
        print(f"{name:10} {len(lengths):7,} episodes, {lengths.mean():5.1f} steps on average")


if __name__ == "__main__":
    main()
