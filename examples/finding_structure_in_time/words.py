"""Discovering the notion "word": letters without spaces, and where the errors rise.

    pip install 'elman[examples]'
    python words.py

Words are spelt one after the other in five-bit codes; the paper's network (5-20-5) hears the
letters ten times and is to predict the next one. The error is high where a word begins and falls
from letter to letter. The paper has 15 words and a grammar of sentences, and gives neither: here
the 14 words of its figure are drawn at random. Nor does it give the learning rate: 0.3, and
PyTorch's usual start, are ours.
"""

import sys
from collections.abc import Sequence

import drawing
import numpy as np
from chain import Chain, Transition, Unit, join, onsets
from elman1990 import FIGURE_6, STORY, letter_code
from scipy.stats import rankdata

import elman
import report

SENTENCES, LENGTHS, HIDDEN, PASSES, SEEDS = 200, (4, 9), 20, 10, 20
LEARNING_RATE = 0.3  # for half the sum of squares, as in Rumelhart, Hinton and Williams (1986)
SETTINGS = {  # what the columns of the table are called: steps back, momentum
    "elman": (1, 0.0),
    "elman, 3 steps back, momentum 0.9": (3, 0.9),
}
POSITIONS = 6  # of letters within words that the table shows

WORDS = tuple(map(tuple, STORY))
FIGURE_WORDS = (*WORDS, ("m",))
TWICE = (*WORDS, *FIGURE_WORDS)  # so that the story is heard in the middle of the stream
CHAIN = Chain(
    {word: 1 / len(WORDS) for word in WORDS},
    {letter: letter_code(letter) for letter in sorted(set(join(WORDS)))},
)


def words(rng: np.random.Generator) -> list[Unit]:
    """Return the words of 200 sentences of 4 to 9 words."""
    lengths = rng.integers(LENGTHS[0], LENGTHS[1] + 1, SENTENCES)
    return CHAIN.draw(int(lengths.sum()), rng)


def simulate(
    seed: int, bptt_steps: int = 1, momentum: float = 0.0, passes: int = PASSES
) -> dict[str, np.ndarray]:
    """Train one network; return its errors, the letters of new words, and those of the story.

    Each is of one step and its letter: `difference` (T, 5), `place` (T,) of the letter in its word
    from 0, and `story` (54, 5).
    """
    rng = np.random.default_rng(seed)
    stream = CHAIN.encode(join(words(rng)))
    net = elman.Network(
        input_size=5,
        hidden_size=HIDDEN,
        output_size=5,
        activation="sigmoid",
        initial_state=np.full(HIDDEN, 0.5),
        seed=seed,
    )
    rate = LEARNING_RATE * 5 / 2 * (1 - momentum)  # elman's loss is the mean over the outputs
    result = elman.train(
        net,
        stream,
        np.roll(stream, -1, axis=0),  # the stream begins again without a break
        optimizer=elman.SGD(rate, momentum=momentum),
        epochs=passes,
        bptt_steps=bptt_steps,
        update_every=1,
        carry_state=True,
    )
    heard = words(rng)
    test, twice = CHAIN.encode(join(heard)), CHAIN.encode(join(TWICE))
    story = result.network(twice[:-1]) - twice[1:]
    return {
        "difference": result.network(test[:-1]) - test[1:],
        "place": places(heard)[1:],
        "story": story[-len(FIGURE_6) :],
    }


def places(units: Sequence[Unit]) -> np.ndarray:
    """Return the place of each letter in its word, from 0."""
    return np.concatenate([np.arange(len(unit)) for unit in units])


def ranked(begins: np.ndarray, rise: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a beginning has the larger rise."""
    ranks, positives = rankdata(rise), begins.sum()
    above = ranks[begins].sum() - positives * (positives + 1) / 2
    return float(above / positives / (len(begins) - positives))


def scores(error: np.ndarray, place: np.ndarray) -> dict[str, float]:
    """Return the rows of the table from the errors (T,) of letters and their places (T,)."""
    begins = place == 0
    rise, begins_there = np.diff(error), begins[1:]
    found = {"all letters": error.mean()}
    found["first letters"] = error[begins].mean()
    found["later letters"] = error[~begins].mean()
    found["first over later"] = found["first letters"] / found["later letters"]
    for n in range(1, POSITIONS):
        found[f"letter {n + 1} of a word"] = error[place == n].mean()
    found["boundaries with a rise, %"] = 100 * (rise[begins_there] > 0).mean()
    found["other letters with a rise, %"] = 100 * (rise[~begins_there] > 0).mean()
    found["ROC-AUC of the rise"] = ranked(begins_there, rise)
    return found


def exact() -> dict[str, float]:
    """Return the errors of the best predictor, which knows where words begin.

    Its outputs are probabilities p, for which the absolute error of a bit is on average 2p(1 - p),
    twice the squared one.
    """

    def place(step: Transition) -> int:
        return 0 if step.onset else len(step.context)

    error = CHAIN.floor(kind=place)
    begins = CHAIN.floor(kind=lambda step: step.onset)
    found = {"all letters": CHAIN.floor()["every"], "first letters": begins[True]}
    found["later letters"] = begins[False]
    found |= {f"letter {n + 1} of a word": error[n] for n in range(1, POSITIONS)}
    found = {name: 2 * value for name, value in found.items()}
    found["first over later"] = found["first letters"] / found["later letters"]
    return found


def listener(seed: int) -> dict[str, float]:
    """Return the same of the best predictor that only hears the letters, over one stream."""
    heard = words(np.random.default_rng(seed))
    letters = join(heard)
    difference = CHAIN.listener(letters[:-1]) - CHAIN.encode(letters[1:])
    return scores(np.abs(difference).sum(axis=1), places(heard)[1:])


def draw(story: np.ndarray, heard: np.ndarray) -> drawing.Figure:
    """Draw figure 6 above the median errors (54,) of all seeds, and of the best listener."""
    figure, (above, below) = drawing.figure(2, 1, 9, 5.5)
    letters = join(FIGURE_WORDS)
    drawing.lettered(above, letters, FIGURE_6)
    drawing.lettered(below, letters, story)
    steps = np.arange(1, len(letters) + 1)
    below.plot(
        steps, heard, ":", color=drawing.EXACT, linewidth=1, label="best listener to the stream"
    )
    below.legend(loc="upper right", fontsize=8)
    above.set_title("Elman (1990), figure 6, redrawn", fontsize=9)
    below.set_title("elman, medians of all seeds", fontsize=9)
    for axes in (above, below):
        for step in steps[onsets(FIGURE_WORDS)]:
            axes.axvline(step - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
        axes.set_ylim(-0.1, 3.5)
        axes.set_ylabel("sum of abs(error)")
        axes.set_xticks([])
    return figure


def best_listener() -> np.ndarray:
    """Return the absolute errors (54,) on the story of the predictor that only hears letters."""
    letters = join(TWICE)
    difference = CHAIN.listener(letters[:-1]) - CHAIN.encode(letters[1:])
    return np.abs(difference).sum(axis=1)[-len(FIGURE_6) :]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for every seed and setting; print the table and draw the figure."""
    chosen = report.options(__doc__.splitlines()[0], arguments, SEEDS)
    columns, squares = [], []
    for bptt_steps, momentum in SETTINGS.values():
        jobs = [
            (seed, bptt_steps, momentum, chosen.passes or PASSES) for seed in range(chosen.seeds)
        ]
        runs = report.for_each(simulate, jobs)
        columns.append([scores(np.abs(r["difference"]).sum(axis=1), r["place"]) for r in runs])
        squares.append([(r["difference"] ** 2).sum(axis=1).mean() for r in runs])
        if len(columns) == 1:
            story = np.median([np.abs(run["story"]).sum(axis=1) for run in runs], axis=0)
            drawing.save(draw(story, best_listener()), chosen.output, "words")
    best, hears = exact(), [listener(seed) for seed in range(chosen.seeds)]
    paper = scores(np.array(FIGURE_6), places(FIGURE_WORDS))
    rows = []
    for name in paper:
        digits = 0 if "%" in name else 2
        ours = (report.spread((run[name] for run in column), digits) for column in columns)
        exactly = report.number(best.get(name), digits)
        heard = report.spread((run[name] for run in hears), digits)
        rows.append([name, report.number(paper[name], digits), exactly, heard, *ours])
    rows.append(
        [
            "squared error, all letters",
            "–",
            report.number(CHAIN.floor()["every"], 2),
            "–",
            *(report.spread(column, 2) for column in squares),
        ]
    )
    header = ["sum of abs(error) over the five bits", "paper", "exact", "best listener", *SETTINGS]
    report.table(header, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
