"""Exclusive-or in time: every third bit is the exclusive-or of the two before it.

    pip install 'elman[examples]'
    python temporal_xor.py

The paper's network (one input, two hidden units, one output) reads 3,000 bits 600 times and
predicts the next one. Two bits of three are random; at the third, which is predictable, the error
dips. The paper does not give the learning rate: 0.1, and PyTorch's usual start, are ours.
"""

import sys
from collections.abc import Sequence

import drawing
import numpy as np
from chain import Chain, join
from elman1990 import FIGURE_3

import elman
import report

TRIPLES, HIDDEN, PASSES, SEEDS = 1000, 2, 600, 24
LEARNING_RATE = 0.1  # for half the squared error, as in Rumelhart, Hinton and Williams (1986)
BPTT_STEPS = (1, 2, 3)
TEST_STEPS, CYCLE = 1200, 12  # as in figure 3
SOLVED = 0.95  # of all third bits on the right side of a half; guessing gives 0.5

CHAIN = Chain({(a, b, a ^ b): 1 / 4 for a in (0, 1) for b in (0, 1)}, {0: [0], 1: [1]})


def everywhere() -> tuple[float, float]:
    """Return the least errors of a predictor that applies the exclusive-or everywhere.

    For third bits, and for the others.

    Not knowing the phase, it is right with p = 1/3 + 2/3 * 1/2, so that p, or 1 - p, is its answer.
    """
    p = 1 / 3 + 2 / 3 / 2
    return (1 - p) ** 2, ((1 - p) ** 2 + p**2) / 2


def simulate(seed: int, bptt_steps: int, passes: int = PASSES) -> dict[str, np.ndarray]:
    """Train one network; return its errors over a new stream folded by 12, and how often right."""
    rng = np.random.default_rng(seed)
    stream = CHAIN.encode(join(CHAIN.draw(TRIPLES, rng)))
    net = elman.Network(
        input_size=1,
        hidden_size=HIDDEN,
        output_size=1,
        activation="sigmoid",
        initial_state=np.full(HIDDEN, 0.5),
        seed=seed,
    )
    result = elman.train(
        net,
        stream,
        np.roll(stream, -1, axis=0),  # the stream begins again without a break
        optimizer="sgd",
        learning_rate=LEARNING_RATE / 2,
        epochs=passes,
        bptt_steps=bptt_steps,
        update_every=1,
        carry_state=True,
    )
    test = CHAIN.encode(join(CHAIN.draw(TRIPLES, rng)))
    predicted, target = result.network(test[:-1]), test[1:]
    squared = (predicted - target)[:TEST_STEPS, 0] ** 2
    right = (predicted > 0.5) == (target > 0.5)
    return {
        "folded": squared.reshape(-1, CYCLE).mean(axis=0),
        "right": right[1::3].mean(),
    }


def dips(folded: np.ndarray) -> bool:
    """Return whether each predictable step is below both of its neighbours."""
    third = folded[1::3]
    return bool((third < folded[0::3]).all() and (third < folded[2::3]).all())


def phases(folded: Sequence[float]) -> tuple[float, float]:
    """Return the mean errors of third bits and of the others."""
    third = np.arange(len(folded)) % 3 == 1
    folded = np.asarray(folded)
    return float(folded[third].mean()), float(folded[~third].mean())


def draw(runs: dict[int, list[dict]]) -> drawing.Figure:
    """Draw figure 3 beside the medians of all seeds."""
    figure, (paper, ours) = drawing.figure(1, 2, 9, 3.3)
    steps = np.arange(1, CYCLE + 1)
    paper.plot(steps, FIGURE_3, "o-", color=drawing.PAPER, markersize=4)
    paper.set_title("Elman (1990), figure 3, redrawn", fontsize=9)
    for k, color in zip(runs, ("#9ecae1", "#4292c6", "#08306b"), strict=False):
        folded = np.array([run["folded"] for run in runs[k]])
        low, middle, high = np.quantile(folded, (0.25, 0.5, 0.75), axis=0)
        label = f"{k} step{'s' * (k > 1)} back"
        ours.plot(steps, middle, "o-", color=color, markersize=4, label=label)
        ours.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    ours.set_title(f"elman: median and quartiles of {len(folded)} seeds", fontsize=9)
    for axes in (paper, ours):
        for level in everywhere():
            axes.axhline(level, color=drawing.EXACT, linewidth=0.8, linestyle=":")
        axes.set_xlabel("step of the cycle")
        axes.set_ylabel("mean squared error")
        axes.set_ylim(0, 0.4)
        axes.set_xticks(steps)
    ours.plot([], [], ":", color=drawing.EXACT, label="best without the phase")
    ours.legend(ncols=2, fontsize=8, loc="lower center")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for every seed and truncation; print the table and draw the figure."""
    chosen = report.options(__doc__.splitlines()[0], arguments, SEEDS)
    jobs = [(seed, k, chosen.passes or PASSES) for k in BPTT_STEPS for seed in range(chosen.seeds)]
    done = report.for_each(simulate, jobs)
    runs = {
        k: [run for run, job in zip(done, jobs, strict=True) if job[1] == k] for k in BPTT_STEPS
    }
    drawing.save(draw(runs), chosen.output, "temporal_xor")

    floor = CHAIN.floor(kind=lambda step: len(step.context) == 2)
    third, others = phases(FIGURE_3)
    rows = [
        ["Elman (1990), figure 3", "–", "–", "–", report.number(third), report.number(others)],
        [
            "exact: knows where triples begin",
            "–",
            "–",
            "–",
            report.number(floor[True]),
            report.number(floor[False]),
        ],
        ["exact: exclusive-or everywhere", "–", "–", "–", *map(report.number, everywhere())],
    ]
    for k, every in runs.items():
        solved = [run for run in every if run["right"] >= SOLVED]
        for name, group in ((f"elman, bptt_steps={k}", every), ("... the solved ones", solved)):
            if group:
                errors = np.array([phases(run["folded"]) for run in group])
                rows.append(
                    [
                        name,
                        report.share(run["right"] >= SOLVED for run in group),
                        report.share(dips(run["folded"]) for run in group),
                        report.spread((100 * run["right"] for run in group), 0),
                        *map(report.spread, errors.T),
                    ]
                )
    header = ["mean squared error", "solved", "dip", "right, %", "third bits", "other bits"]
    report.table(header, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
