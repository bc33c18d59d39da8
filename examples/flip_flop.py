"""Train a network that remembers three bits, and find out how: by its fixed points.

    python examples/flip_flop.py

The three-bit flip-flop of D. Sussillo and O. Barak ("Opening the black box: low-dimensional
dynamics in high-dimensional recurrent neural networks", Neural Computation 25, 2013): each of three
inputs is zero but for rare pulses of +1 or -1, and each of three outputs has to be the sign of the
last pulse of its input. The trained network is taken apart by `elman.dynamics.fixed_points` without
input: an attractor for each of the 8 memories, and between them saddles, with one unstable
direction between two memories that differ in one bit, and two or three between more of them.
"""

from __future__ import annotations

import argparse
import collections

import numpy as np

import elman

BITS, STEPS, PULSES = 3, 64, 0.08  # PULSES: the probability of a pulse, per input and step


def trials(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pulses (n, STEPS, BITS) and the sign of the last one of each input."""
    rng = np.random.default_rng(seed)
    pulses = rng.choice([-1.0, 1.0], (n, STEPS, BITS))
    given = rng.random(pulses.shape) < PULSES
    given[:, 0] = True  # so that there is always a last one
    last = np.maximum.accumulate(np.where(given, np.arange(STEPS)[:, None], 0), axis=1)
    return pulses * given, np.take_along_axis(pulses, last, axis=1)


def trained(units: int, epochs: int, seed: int) -> elman.Network:
    """Return a network trained on 512 trials."""
    net = elman.Network(BITS, units, BITS, output_activation="identity", seed=seed)
    x, y = trials(512, seed)
    settings = {"epochs": epochs, "learning_rate": 3e-3, "schedule": "cosine", "clip_norm": 1.0}
    return elman.train(net, x, y, **settings).network


def memories(net: elman.Network, points: elman.dynamics.FixedPoints) -> list[str]:
    """Return the signs of the outputs at each point, such as "+-+"; 0 below a half."""
    y = elman.dynamics.linearize(net, points.states).output
    signs = np.where(np.abs(y) < 0.5, "0", np.where(y > 0, "+", "-"))
    return ["".join(row) for row in signs]


def main(arguments: list[str] | None = None) -> None:
    """Train a network, and print its fixed points."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--starts", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)

    net = trained(chosen.units, chosen.epochs, chosen.seed)
    x, y = trials(200, chosen.seed + 1)
    run = net.run(x, return_hidden=True)
    print(net)
    print(f"bits right in new trials: {100 * np.mean(np.sign(run.output) == y):.2f} %")

    points = elman.dynamics.fixed_points(net, n=chosen.starts, states=run.hidden)
    print(repr(points))
    print("unstable directions  points  |eigenvalue|  outputs")
    found = collections.defaultdict(list)
    for point, memory in zip(points, memories(net, points), strict=True):
        found[point.unstable].append((memory, np.abs(point.eigenvalues).max()))
    for unstable, rows in sorted(found.items()):
        signs, largest = zip(*sorted(rows), strict=True)
        rates = f"{min(largest):.2f} to {max(largest):.2f}"
        for begin in range(0, len(rows), 6):
            head = f"{unstable:19}  {len(rows):6}  {rates:12}" if begin == 0 else " " * 41
            print(f"{head}  {', '.join(signs[begin : begin + 6])}")
    largest = max(point.residual for point in points)
    print(f"largest residual {largest:.1e}; ", end="")
    if all(point.radius is not None for point in points):
        print(f"an exact point within {max(point.radius for point in points):.1e} of each")


if __name__ == "__main__":
    main()
