"""The adding problem: rectified linear units with an identity as initial W_hh.

    python examples/anchors/adding.py

A sequence has two features: numbers from 0 to 1, and marks, a one in each half and zeros elsewhere.
The target is the sum of the two marked numbers; a constant output of 1 has a mean square error of
1/6. After Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent
networks of rectified linear units" (arXiv:1504.00941, 2015), who start with W_hh = I.
"""

from __future__ import annotations

import numpy as np
import seeds

import elman

HIDDEN, BATCH, SEQUENCES = 100, 16, 10_000
GOOD_ENOUGH = 1e-3  # a mean square error that ends training

# Steps, the start, the activation, the learning rate, and the most epochs.
WAYS = (
    (50, elman.Identity(std=0.1), "relu", 1e-3, 4),
    (100, elman.Identity(std=0.1), "relu", 5e-4, 6),
    (200, elman.Identity(std=0.03), "relu", 2e-4, 8),
    (100, "uniform", "tanh", 1e-3, 6),
)


def sequences(count: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and marks (count, steps, 2), and the sums (count, 1)."""
    x = np.zeros((count, steps, 2), np.float32)
    x[:, :, 0] = rng.random((count, steps))
    for begin, end in ((0, steps // 2), (steps // 2, steps)):
        x[np.arange(count), rng.integers(begin, end, count), 1] = 1
    return x, x.prod(axis=2).sum(axis=1, keepdims=True)


def rise_and_fall(fraction: float) -> float:
    """Return the factor of the learning rate: up over the first fifth of the updates, then down.

    Adam's first steps are as long as any, and alike for all the weights of a unit: two hundred
    products with such a W_hh would overflow.
    """
    return min(5 * fraction, 1.25 * (1 - fraction))


def error(net: elman.Network, x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean square error."""
    return float(np.mean((net(x, outputs="last") - y) ** 2))


def task(
    steps: int,
    init: elman.Identity | str,
    activation: str,
    learning_rate: float,
    epochs: int,
    count: int,
    seed: int,
) -> dict[str, float]:
    """Train one network on `count` sequences until it is good enough; return its error."""
    rng = np.random.default_rng(seed)
    x, y = sequences(count, steps, rng)
    watched, test = sequences(500, steps, rng), sequences(2000, steps, rng)

    def good_enough(_: elman.Epoch, trainer: elman.Trainer) -> bool:
        return error(trainer.network, *watched) < GOOD_ENOUGH

    result = elman.train(
        elman.Network(
            input_size=2,
            hidden_size=HIDDEN,
            output_size=1,
            activation=activation,
            output_activation="identity",
            init=init,
            seed=seed,
        ),
        x,
        y,
        outputs="last",
        learning_rate=learning_rate,
        schedule=rise_and_fall,
        epochs=epochs,
        batch_size=BATCH,
        clip_norm=0.01,  # below the usual norm: a sudden one is no longer than the others
        seed=seed,
        callback=good_enough,
    )
    return {"error": error(result.network, *test), "updates": result.history.updates}


def main(argv: list[str] | None = None) -> None:
    """Train each variant from several seeds and print the table."""
    chosen = seeds.options(__doc__, 6, argv)
    count = 300 if chosen.quick else SEQUENCES
    print(
        f"The adding problem: {HIDDEN} units, Adam, batches of {BATCH} of {count:,} sequences,"
        f" {chosen.seeds} seeds"
    )
    rows = [("", "steps", "mean square error", "updates"), ("always 1", "any", f"{1 / 6:.4f}", "")]
    for steps, init, activation, learning_rate, epochs in WAYS:
        epochs = 1 if chosen.quick else epochs
        results = seeds.over(
            chosen.seeds, task, steps, init, activation, learning_rate, epochs, count
        )
        start = init if isinstance(init, str) else f"identity, {init.std:g}"
        rows.append(
            (
                f"{activation}, {start}",
                str(steps),
                seeds.spread([result["error"] for result in results], ".2g"),
                seeds.spread([result["updates"] for result in results], ",.0f"),
            )
        )
    seeds.table(*rows)


if __name__ == "__main__":
    main()
