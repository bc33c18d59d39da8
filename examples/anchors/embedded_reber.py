"""The embedded Reber grammar, with and without back-propagation through time.

    python examples/anchors/embedded_reber.py

A string of the Reber grammar stands between two T or between two P: the last letter but one is the
second one again, so the network must remember it through everything in between, which does not
depend on it. The protocol is that of S. Hochreiter and J. Schmidhuber, "Long short-term memory"
(Neural Computation 9, 1997), table 1: 256 strings to learn and 256 to test, seven inputs and
outputs; a network succeeds if the possible successors are its most active outputs after every
letter of all strings. Elman's own training, errors that flow back one step, never came there.
"""

from __future__ import annotations

import numpy as np
import reber
import seeds

import elman

STRINGS, HIDDEN = 256, 15

Strings = list[tuple[str, list[str]]]


def embedded(rng: np.random.Generator) -> tuple[str, list[str]]:
    """Return a string, and what may follow each of its letters but the last."""
    string, successors = reber.grammatical(rng)
    outer = "TP"[rng.integers(2)]
    return f"B{outer}{string}{outer}E", ["TP", "B", *successors, outer, "E"]


def examples(strings: Strings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs (B, T, 7), lengths (B,) and which letters may follow (B, T, 7)."""
    x, lengths = reber.padded([string[:-1] for string, _ in strings])
    return x, lengths, reber.possible([successors for _, successors in strings])


def right(
    net: elman.Network, x: np.ndarray, lengths: np.ndarray, possible: np.ndarray
) -> tuple[float, float]:
    """Return the shares of strings with every prediction right, and with that of the outer letter.

    A prediction is right if the possible successors are the most active outputs.
    """
    y = net.run(x, lengths=lengths).output
    good = np.where(possible, y, np.inf).min(2) > np.where(possible, -np.inf, y).max(2)
    return float(good.all(axis=1).mean()), float(good[np.arange(len(x)), lengths - 2].mean())


def task(epochs: int, bptt_steps: int | None, seed: int) -> dict[str, float]:
    """Train one network until it succeeds; return its scores."""
    rng = np.random.default_rng(seed)
    training, test = ([embedded(rng) for _ in range(STRINGS)] for _ in range(2))
    everything = examples(training + test)

    def succeeds(_: elman.Epoch, trainer: elman.Trainer) -> bool:
        return right(trainer.network, *everything)[0] == 1

    net = elman.Network(
        input_size=7, hidden_size=HIDDEN, output_size=7, output_activation="softmax", seed=seed
    )
    result = elman.train(
        net,
        [reber.one_hot(string[:-1]) for string, _ in training],
        [reber.indices(string[1:]) for string, _ in training],
        loss="cross_entropy",
        learning_rate=0.01,
        schedule="linear",
        epochs=epochs,
        batch_size=8,
        bptt_steps=bptt_steps,
        clip_norm=1,
        seed=seed,
        callback=succeeds,
    )
    whole, outer = right(result.network, *examples(test))
    return {
        "success": result.history.stopped == "callback",
        "sequences": len(result.history.epoch) * STRINGS,
        "whole": 100 * whole,
        "outer": 100 * outer,
    }


def main(argv: list[str] | None = None) -> None:
    """Train both variants from several seeds and print the table."""
    chosen = seeds.options(__doc__, 10, argv)
    epochs = 15 if chosen.quick else 800
    print(
        f"The embedded Reber grammar: {STRINGS} strings to learn and {STRINGS} to test,"
        f" {HIDDEN} hidden units, at most {epochs * STRINGS:,} sequences, {chosen.seeds} seeds"
    )
    rows = [
        ("", "success", "sequences", "test strings right, %", "outer letter right, %"),
        ("1997, Elman's training", "0 %", "> 200,000", "", ""),
        ("1997, RTRL, 3 or 12 units", "some fraction", "173,000, 25,000", "", ""),
        ("1997, LSTM", "97 to 100 %", "8,440 to 39,740", "", ""),
    ]
    for name, k in (("ours, errors flow back 1 step", 1), ("ours, back to the beginning", None)):
        results = seeds.over(chosen.seeds, task, epochs, k)
        solved = [result for result in results if result["success"]]
        rows.append(
            (
                name,
                f"{len(solved)} of {len(results)}",
                seeds.spread([result["sequences"] for result in solved], ",.0f")
                if solved
                else f"> {epochs * STRINGS:,}",
                seeds.spread([result["whole"] for result in results], ".1f"),
                seeds.spread([result["outer"] for result in results], ".1f"),
            )
        )
    seeds.table(*rows)


if __name__ == "__main__":
    main()
