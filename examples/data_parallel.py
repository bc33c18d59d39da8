"""Data-parallel training on several processes, with the same bits as on one.

    python examples/data_parallel.py

Every process computes the gradients of its share of the batch, divided by the weight of the whole
(`normalizer`), and the parts are added. `elman.loss_and_gradients` sums over sequences in groups of
16, which are added in pairs, neighbours first. Equal shares of 16 x 2^k sequences, added in the
same way, therefore have the bits of one process with the whole batch; other shares agree up to
rounding. The processes here are those of `multiprocessing`. With MPI each rank would compute its
share, and an all-reduce would replace `combined`: up to rounding, since MPI chooses the order of
its sums.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

import elman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEQUENCES, STEPS, LEARNING_RATE, MOMENTUM = 256, 20, 0.1, 0.9

Examples = tuple[np.ndarray, np.ndarray]
Part = tuple[float, elman.Gradients]


def examples(count: int, seed: int) -> Examples:
    """Return noise (count, STEPS, 1) and the mean of its last three values."""
    x = np.random.default_rng(seed).standard_normal((count, STEPS, 1)).astype(np.float32)
    late = np.pad(x, ((0, 0), (2, 0), (0, 0)))
    return x, (late[:, :-2] + late[:, 1:-1] + late[:, 2:]) / 3


def shares(data: Examples, sizes: Iterable[int]) -> list[Examples]:
    """Return the data in shares of so many sequences."""
    ends = np.cumsum(list(sizes))[:-1]
    return list(zip(*(np.split(part, ends) for part in data), strict=True))


def weight(data: Examples) -> float:
    """Return the weight of the whole: 1 for each step of each sequence."""
    return float(len(data[0]) * STEPS)


def part(net: elman.Network, share: Examples, total: float) -> Part:
    """Return the loss and the gradients of a share, as parts of the whole; run by each process."""
    return elman.loss_and_gradients(net, *share, normalizer=total)


def combined(parts: list[Part]) -> Part:
    """Add the parts in pairs, neighbours first, as the core adds its leaves."""
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        odd = parts[len(parts) // 2 * 2 :]
        parts = [(a + b, g + h) for (a, g), (b, h) in pairs] + odd
    return parts[0]


def same_bits(a: Part, b: Part) -> bool:
    """Return whether two losses and all of their gradients are equal, bit for bit."""
    ours, theirs = a[1].tensors(), b[1].tensors()
    return a[0] == b[0] and all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def difference(a: Part, b: Part) -> float:
    """Return the largest difference of two gradients, as a share of the largest gradient."""
    ours, theirs = a[1].tensors(), b[1].tensors()
    largest = max(np.abs(array).max() for array in ours.values())
    return float(max(np.abs(ours[name] - theirs[name]).max() for name in ours) / largest)


def descend(
    net: elman.Network, gradients: elman.Gradients, speed: elman.Gradients | None
) -> tuple[elman.Network, elman.Gradients]:
    """Make one update by gradient descent with momentum."""
    speed = gradients if speed is None else MOMENTUM * speed + gradients
    weights, steps = net.tensors(), (LEARNING_RATE * speed).tensors()
    return net.replace(tensors={name: weights[name] - steps[name] for name in weights}), speed


def train(
    spread: Callable[..., Iterable[Part]],
    net: elman.Network,
    data: Examples,
    count: int,
    epochs: int,
) -> tuple[elman.Network, list[float]]:
    """Train on `count` equal shares, which `spread` (`map` or a pool's map) distributes.

    Returns the network and the loss before each update.
    """
    split = shares(data, [len(data[0]) // count] * count)
    speed = None
    losses = []
    for _ in range(epochs):
        loss, gradients = combined(list(spread(part, repeat(net), split, repeat(weight(data)))))
        net, speed = descend(net, gradients, speed)
        losses.append(loss)
    return net, losses


def main(argv: list[str] | None = None) -> None:
    """Compare shares of a batch with the whole batch in one process, and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="1, 2, 4, 8 or 16")
    parser.add_argument("--epochs", type=int, default=100, metavar="N")
    chosen = parser.parse_args(argv)
    data, count = examples(SEQUENCES, seed=0), chosen.processes
    start = elman.Network(
        input_size=1, hidden_size=16, output_size=1, output_activation="identity", seed=0
    )
    alone = part(start, data, weight(data))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn) as pool:
        for sizes in ([SEQUENCES // count] * count, [100, 156], [85, 85, 86]):
            split = shares(data, sizes)
            together = combined(list(pool.map(part, repeat(start), split, repeat(weight(data)))))
            same = "the same bits" if same_bits(alone, together) else "not the same bits"
            print(
                f"shares of {', '.join(map(str, sizes))}: {same} as one process, gradients at most"
                f" {difference(alone, together):.1e} apart"
            )
            if len(set(sizes)) == 1:
                assert same_bits(alone, together)
        net, losses = train(pool.map, start, data, count, chosen.epochs)

    for epoch in sorted({1, 2, 5, 10, 20, 50, chosen.epochs} & set(range(1, chosen.epochs + 1))):
        print(f"epoch {epoch:3}: loss {losses[epoch - 1]:.5f}")
    assert net == train(map, start, data, 1, chosen.epochs)[0]
    print(f"the network that {count} processes trained is that of one process, bit for bit")


if __name__ == "__main__":
    main()
