"""Temporal order: classify a sequence by two letters far back in it.

    python examples/anchors/temporal_order.py

A or B is at a random place in the second tenth of a sequence of 20 to 50 letters, and again in the
fifth; all others are c, d, e and f at random. The class is AA, AB, BA or BB. After R. Pascanu,
T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks"
(arXiv:1211.5063, 2013), who count an error below 1 % of 10,000 new sequences as a success. For most
of the training the loss stays at that of a guess, ln 4; then it falls within a few epochs.
"""

from __future__ import annotations

import math

import numpy as np
import seeds

import elman

LETTERS, CLASSES = "ABcdef", ("AA", "AB", "BA", "BB")
SHORTEST, LONGEST = 20, 50
HIDDEN, BATCH = 50, 20

Sequences = tuple[np.ndarray, np.ndarray, np.ndarray]


def sequences(count: int, rng: np.random.Generator) -> Sequences:
    """Return one-hot letters (count, 50, 6), lengths (count,) and classes (count,)."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, count)
    letters = rng.integers(2, len(LETTERS), (count, LONGEST))
    first, second = rng.integers(2, size=(2, count))
    for letter, tenth in ((first, 1), (second, 4)):
        places = rng.integers(lengths * tenth // 10, lengths * (tenth + 1) // 10)
        letters[np.arange(count), places] = letter
    return np.eye(len(LETTERS), dtype=np.float32)[letters], lengths, 2 * first + second


def errors(net: elman.Network, data: Sequences) -> float:
    """Return the share of sequences whose class the network gets wrong, in percent."""
    x, lengths, classes = data
    y = net.run(x, lengths=lengths, outputs="last").output
    return 100 * float(np.mean(y.argmax(axis=1) != classes))


def task(count: int, epochs: int, seed: int) -> dict[str, float]:
    """Train one network on `count` sequences until it succeeds; return its scores."""
    rng = np.random.default_rng(seed)
    x, lengths, classes = sequences(count, rng)
    watched, test = sequences(1000, rng), sequences(10_000, rng)

    def succeeds(_: elman.Epoch, trainer: elman.Trainer) -> bool:
        return errors(trainer.network, watched) < 0.5

    result = elman.train(
        elman.Network(
            input_size=len(LETTERS),
            hidden_size=HIDDEN,
            output_size=len(CLASSES),
            output_activation="softmax",
            seed=seed,
        ),
        x,
        classes,
        lengths=lengths,
        outputs="last",
        loss="cross_entropy",
        epochs=epochs,
        batch_size=BATCH,
        clip_norm=1,
        seed=seed,
        callback=succeeds,
    )
    losses = np.array(result.history.loss)
    guesses = np.flatnonzero(losses > 0.95 * math.log(4)).max(initial=-1) + 1
    return {
        "error": errors(result.network, test),
        "updates": result.history.updates,
        "guessing": guesses * result.history.updates // len(losses),
        "loss": float(losses[-1]),
    }


def main(argv: list[str] | None = None) -> None:
    """Train from several seeds and print the table."""
    chosen = seeds.options(__doc__, 6, argv)
    count, epochs = (1000, 2) if chosen.quick else (20_000, 50)
    results = seeds.over(chosen.seeds, task, count, epochs)

    def ours(key: str, form: str) -> str:
        return seeds.spread([result[key] for result in results], form)

    print(
        f"Temporal order, lengths {SHORTEST} to {LONGEST}: {HIDDEN} tanh units, batches of {BATCH},"
        f" at most {count * epochs // BATCH:,} updates, {chosen.seeds} seeds"
    )
    seeds.table(
        ("", "guess", "2013, lengths 50 to 200", "ours"),
        (
            "success: error below 1 %",
            "",
            "5 of 5",
            f"{sum(result['error'] < 1 for result in results)} of {len(results)}",
        ),
        ("error on 10,000 new sequences, %", "75", "0", ours("error", ".2f")),
        ("loss of the last epoch", f"{math.log(4):.3f}", "", ours("loss", ".3f")),
        ("updates", "", "up to 5,000,000", ours("updates", ",.0f")),
        ("... of them no better than a guess", "", "", ours("guessing", ",.0f")),
    )


if __name__ == "__main__":
    main()
