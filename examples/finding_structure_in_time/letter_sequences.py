"""Structure in letter sequences: consonants come at random, and each says which vowels follow.

    pip install 'elman[examples]'
    python letter_sequences.py

1,000 consonants b, d, g are drawn and replaced by ba, dii, guuu; a letter is six phonetic features.
The paper's network (6-20-6) reads the letters 200 times, and then another sequence. It predicts the
vowels, and when a consonant comes, but not which one. The paper does not give the learning rate:
0.3, falling linearly to 0, and PyTorch's usual start, are ours.
"""

import sys
from collections.abc import Sequence

import drawing
import numpy as np
from chain import Chain, join
from elman1990 import FEATURES, FIGURES_4_5, SYLLABLES

import elman
import report

CONSONANTS, HIDDEN, PASSES, SEEDS = 1000, 20, 200, 8
LEARNING_RATE = 0.3  # for half the sum of squares, as in Rumelhart, Hinton and Williams (1986)
CONSONANT_BIT, HIGH_BIT = 0, 3  # bits 1 and 4 of the paper
SHOWN = 20  # letters of the figure

CHAIN = Chain({tuple(syllable): 1 / 3 for syllable in SYLLABLES}, FEATURES)


def simulate(
    seed: int, schedule: str = "linear", passes: int = PASSES
) -> tuple[np.ndarray, np.ndarray]:
    """Train one network; return the letters (T,) of another sequence and its errors (T, 6)."""
    rng = np.random.default_rng(seed)
    stream = CHAIN.encode(join(CHAIN.draw(CONSONANTS, rng)))
    net = elman.Network(
        input_size=6,
        hidden_size=HIDDEN,
        output_size=6,
        activation="sigmoid",
        initial_state=np.full(HIDDEN, 0.5),
        seed=seed,
    )
    result = elman.train(
        net,
        stream,
        np.roll(stream, -1, axis=0),  # the stream begins again without a break
        optimizer="sgd",
        learning_rate=LEARNING_RATE * 6 / 2,  # elman's loss is the mean over the outputs
        schedule=schedule,
        epochs=passes,
        bptt_steps=1,
        carry_state=True,
    )
    letters = join(CHAIN.draw(CONSONANTS, rng))
    test = CHAIN.encode(letters)
    return np.array(letters[1:]), (result.network(test[:-1]) - test[1:]) ** 2


def scores(letters: np.ndarray, squared: np.ndarray) -> dict[str, float]:
    """Return the mean squared errors in the table."""
    consonant = np.isin(letters, list("bdg"))
    total = squared.sum(axis=1)
    return {
        "consonants, all six bits": total[consonant].mean(),
        "vowels, all six bits": total[~consonant].mean(),
        "all letters, all six bits": total.mean(),
        "bit 1 (consonant)": squared[:, CONSONANT_BIT].mean(),
        "bit 4 (high)": squared[:, HIGH_BIT].mean(),
        "bit 4, consonants": squared[consonant, HIGH_BIT].mean(),
    }


def exact() -> dict[str, float]:
    """Return the same of the best predictor."""

    def of(bits: slice, onset: bool | None = None) -> float:
        codes = {letter: code[bits] for letter, code in FEATURES.items()}
        chain = Chain(CHAIN.probabilities, codes)
        if onset is None:
            return chain.floor()["every"]
        return chain.floor(kind=lambda step: step.onset)[onset]

    high = slice(HIGH_BIT, HIGH_BIT + 1)
    errors = (of(slice(6), True), of(slice(6), False), of(slice(6)), of(slice(1)), of(high))
    return dict(zip(printed(), (*errors, of(high, True)), strict=True))


def printed() -> dict[str, float]:
    """Return the same of the paper's figures; the letter off the scale is left out of the sums."""
    letters = np.array([row[0] for row in FIGURES_4_5])
    consonant = np.isin(letters, list("bdg"))
    total, bit_1, bit_4 = np.array([row[1:] for row in FIGURES_4_5], float).T
    return {
        "consonants, all six bits": np.nanmean(total[consonant]),
        "vowels, all six bits": np.nanmean(total[~consonant]),
        "all letters, all six bits": np.nanmean(total),
        "bit 1 (consonant)": bit_1.mean(),
        "bit 4 (high)": bit_4.mean(),
        "bit 4, consonants": bit_4[consonant].mean(),
    }


def draw(letters: np.ndarray, squared: np.ndarray) -> drawing.Figure:
    """Draw figures 4 and 5 beside the same of one network."""
    figure, axes = drawing.figure(3, 2, 9, 5.5)
    titles = ("all six bits (figure 4)", "bit 1, consonant (figure 5a)", "bit 4, high (figure 5b)")
    ours = (squared.sum(axis=1), squared[:, CONSONANT_BIT], squared[:, HIGH_BIT])
    for row, (title, values) in enumerate(zip(titles, ours, strict=True)):
        left, right = axes[2 * row : 2 * row + 2]
        shown = FIGURES_4_5[:SHOWN]
        drawing.lettered(left, [entry[0] for entry in shown], [entry[row + 1] for entry in shown])
        drawing.lettered(right, letters[:SHOWN], values[:SHOWN])
        left.set_title(f"Elman (1990), redrawn: {title}", fontsize=9)
        right.set_title(f"elman, another sequence: {title}", fontsize=9)
        for side in (left, right):
            side.set_ylim(-0.05, 1.05 if row == 0 else 0.75)
            side.set_ylabel("squared error")
            side.set_xticks([])
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for every seed; print the table and draw the figures."""
    chosen = report.options(__doc__.splitlines()[0], arguments, SEEDS)
    columns = []
    for schedule in ("linear", "constant"):
        jobs = [(seed, schedule, chosen.passes or PASSES) for seed in range(chosen.seeds)]
        runs = report.for_each(simulate, jobs)
        columns.append([scores(*run) for run in runs])
        if schedule == "linear":
            drawing.save(draw(*runs[0]), chosen.output, "letter_sequences")
    best, paper = exact(), printed()
    rows = [
        [
            name,
            report.number(paper[name]),
            report.number(best[name]),
            *(report.spread(run[name] for run in column) for column in columns),
        ]
        for name in best
    ]
    header = ["squared error a letter", "paper", "exact", "elman, falling rate", "constant rate"]
    report.table(header, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
