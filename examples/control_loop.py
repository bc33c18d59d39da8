"""Run a network trained in PyTorch in a control loop, one prediction per sample.

    pip install elman torch
    python examples/control_loop.py

A pole stands on a cart and falls without control. A linear-quadratic regulator (LQR) that knows the
full state (positions and speeds of cart and pole) keeps it up. The sensors measure the two
positions only, so an `nn.RNN` learns in PyTorch to imitate the regulator from them: it has to
remember past positions to know the speeds.

`elman.from_torch` converts the trained network, and a stream of it runs in the loop, 50 times a
second. Both loops apply the same forces; what differs is how long the loop waits for each of them.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

import elman

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 0.02  # s
GRAVITY, CART, POLE, LENGTH = 9.81, 1.0, 0.1, 0.5  # m/s^2, kg, kg, m (half of the pole)
POSITIONS = [0, 2]  # of the state: cart m, cart m/s, pole rad, pole rad/s
STARTS = np.array([0.3, 0.3, 0.12, 0.3])  # the largest numbers that a trial starts with
FALLEN = 0.5  # rad
T, HIDDEN, BATCH = 100, 32, 64


def move(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Return the states (..., 4) a period later, by ten Euler steps (A. G. Barto et al., 1983)."""
    x, v, angle, turn = np.moveaxis(state, -1, 0)
    for _ in range(10):
        sin, cos = np.sin(angle), np.cos(angle)
        push = (force + POLE * LENGTH * turn**2 * sin) / (CART + POLE)
        falls = (GRAVITY * sin - cos * push) / (LENGTH * (4 / 3 - POLE * cos**2 / (CART + POLE)))
        speeds_up = push - POLE * LENGTH * falls * cos / (CART + POLE)
        dt = PERIOD / 10
        x, v, angle, turn = x + dt * v, v + dt * speeds_up, angle + dt * turn, turn + dt * falls
    return np.stack([x, v, angle, turn], axis=-1)


def regulator() -> np.ndarray:
    """Return the gains K (4,) of the force -K state: the discrete LQR, by iteration."""
    origin, tiny = np.zeros(4), 1e-5
    A = np.stack([move(e, 0.0) - move(-e, 0.0) for e in tiny * np.eye(4)], axis=1) / (2 * tiny)
    B = ((move(origin, tiny) - move(origin, -tiny)) / (2 * tiny))[:, None]
    Q, R = np.diag([1.0, 0.1, 10.0, 0.1]), np.array([[0.01]])
    P = Q
    for _ in range(5000):
        K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        P = Q + A.T @ P @ (A - B @ K)
    return K[0]


def examples(rng: np.random.Generator, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return measured positions (B, T, 2) and the regulator's forces (B, T, 1), with noise."""
    state = STARTS * rng.uniform(-1, 1, (BATCH, 4))
    seen, forces = [], []
    for _ in range(T):
        seen.append(state[:, POSITIONS])
        forces.append(-state @ K)
        state = move(state, forces[-1] + rng.normal(0, 2, BATCH))
    return np.stack(seen, axis=1), np.stack(forces, axis=1)[..., None]


class Controller(torch.nn.Module):
    """The network in PyTorch; its inputs and outputs are scaled to about one."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(2, HIDDEN, batch_first=True)
        self.readout = torch.nn.Linear(HIDDEN, 1)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the forces and the last state."""
        states, h = self.rnn(x, h)
        return self.readout(states), h


def train(updates: int, K: np.ndarray, scale: tuple[np.ndarray, float]) -> Controller:
    """Return a network that imitates the regulator."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Controller()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        x, y = (torch.tensor(a, dtype=torch.float32) for a in examples(rng, K))
        loss = torch.nn.functional.mse_loss(model(x / torch.tensor(scale[0]))[0], y / scale[1])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def run(
    control: Callable[[np.ndarray], float], start: np.ndarray, periods: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pole's angles, the forces, and how long the loop waited for each, in ns."""
    state, angles, forces, waits = start, [], [], []
    for _ in range(periods):
        seen = state[POSITIONS].astype(np.float32)
        begin = time.perf_counter_ns()
        force = control(seen)
        waits.append(time.perf_counter_ns() - begin)
        forces.append(force)
        state = move(state, force)
        angles.append(state[2])
    return np.array(angles), np.array(forces), np.array(waits)


def main(arguments: list[str] | None = None) -> None:
    """Train, convert, and run both networks in the loop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=600, help="of the training in PyTorch")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each trial")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    K = regulator()
    x, y = examples(np.random.default_rng(1), K)
    of_x, of_y = x.std(axis=(0, 1)).astype(np.float32), float(y.std())
    model = train(chosen.updates, K, (of_x, of_y))

    net = elman.from_torch(model, output_activation="identity")
    net = net.replace(tensors={"input_std": of_x, "output_std": [of_y]})
    print(net)

    def in_torch() -> Callable[[np.ndarray], float]:
        h, of_inputs = None, torch.tensor(of_x)

        @torch.inference_mode()
        def control(seen: np.ndarray) -> float:
            nonlocal h
            y, h = model((torch.from_numpy(seen) / of_inputs)[None, None], h)
            return of_y * y.item()

        return control

    def in_elman() -> Callable[[np.ndarray], float]:
        stream, y = net.stream(), np.empty(1, np.float32)

        def control(seen: np.ndarray) -> float:
            stream.step(seen, out=y)
            return y.item()

        return control

    def blind() -> Callable[[np.ndarray], float]:
        return lambda seen: 0.0

    rng = np.random.default_rng(2)
    starts = STARTS * rng.uniform(-1, 1, (chosen.trials, 4))
    periods = round(chosen.seconds / PERIOD)
    found = {
        name: [run(make(), start, periods) for start in starts]
        for name, make in (("no force", blind), ("PyTorch", in_torch), ("elman", in_elman))
    }
    print(f"{chosen.trials} trials of {chosen.seconds:g} s, {1 / PERIOD:.0f} samples a second")
    print(f"{'':10}{'poles kept up':>15}{'median wait':>15}{'99.9 % within':>15}")
    for name, trials in found.items():
        up = sum(bool((abs(angles) < FALLEN).all()) for angles, _, _ in trials)
        ns = np.concatenate([waits for _, _, waits in trials])
        times = [f"{np.quantile(ns, q) / 1000:.2f} µs" for q in (0.5, 0.999)]
        waits = times if name != "no force" else ["", ""]
        print(f"{name:10}{f'{up} of {chosen.trials}':>15}{waits[0]:>15}{waits[1]:>15}")
    pairs = zip(found["PyTorch"], found["elman"], strict=True)
    apart = max(abs(a[1] - b[1]).max() for a, b in pairs)
    print(f"The forces of the two loops are at most {apart:.2g} N apart, of {of_y:.2g} N usual.")


if __name__ == "__main__":
    main()
