"""Lexical classes from word order: nouns and verbs, animates and inanimates, from prediction alone.

    pip install 'elman[examples]'
    python sentences.py

10,000 sentences of two and three words are read without breaks, one bit for each of 29 words; the
paper's network (31-150-31) predicts the next word. The hidden states are averaged for each word and
clustered; so are those of the network before training, as averaging alone can produce classes. The
paper gives neither the learning rate nor the way of clustering: the settings below, PyTorch's usual
start, Euclidean distances and Ward's linkage are ours.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import drawing
import numpy as np
from chain import Chain, Unit, join
from elman1990 import BITS, CLASSES, FIGURE_7, FREE_BITS, GROUPS, NOUNS, sentences, word_bits
from scipy.cluster.hierarchy import linkage, to_tree

import elman
import report

SENTENCES, HIDDEN, SEEDS = 10_000, 150, 5


class Setting(NamedTuple):
    """How a network is trained."""

    passes: int
    learning_rate: float  # for half the sum of squares: Rumelhart, Hinton and Williams (1986)
    schedule: str = "constant"
    bptt_steps: int = 1


SETTINGS = {  # the paper's number of passes; more of them; errors that flow back through a sentence
    "elman, 6 passes": Setting(6, 0.3),
    "elman, 20 passes, falling rate": Setting(20, 0.3, "linear"),
    "elman, 12 passes, falling rate, 3 steps back": Setting(12, 0.1, "linear", 3),
}
DRAWN = "elman, 12 passes, falling rate, 3 steps back"
UNTRAINED = "elman, untrained"
TOKENS = 2000  # whose nearest neighbours are looked for, among all

IDENTITY = np.eye(BITS, dtype=np.float32)
CODES = {word: IDENTITY[bit - 1] for word, bit in word_bits().items()}
ZOG = IDENTITY[FREE_BITS[-1] - 1]  # a word that was never heard, on a bit that was never used
CHAIN = Chain(sentences(), CODES)
VERBS = frozenset(CODES) - NOUNS
HUMANS = frozenset(CLASSES["HUM"].split())
COLORS = {
    "HUM": "#d62728",
    "ANIM": "#ff7f0e",
    "AGRESS": "#b8860b",
    "INANIM": "#2ca02c",
    "FRAG": "#17a589",
    "FOOD": "#6b8e23",
}


def train(seed: int, stream: np.ndarray, setting: Setting) -> elman.Network:
    """Return a network trained on a stream (T, 31) that begins again without a break."""
    return elman.train(
        untrained(seed),
        stream,
        np.roll(stream, -1, axis=0),
        optimizer="sgd",
        learning_rate=setting.learning_rate * BITS / 2,  # elman's loss is the mean over the outputs
        schedule=setting.schedule,
        epochs=setting.passes,
        bptt_steps=setting.bptt_steps,
        update_every=1,
        carry_state=True,
    ).network


def untrained(seed: int) -> elman.Network:
    """Return the initial network."""
    return elman.Network(
        input_size=BITS,
        hidden_size=HIDDEN,
        output_size=BITS,
        activation="sigmoid",
        initial_state=np.full(HIDDEN, 0.5),
        seed=seed,
    )


# --- prediction -----------------------------------------------------------------------------------


def scores(predicted: np.ndarray, heard: list[Unit]) -> dict[str, float]:
    """Return how far predictions (T, 31) are from the words that came and their likelihoods."""
    likelihoods = CHAIN.likelihoods(heard)[:-1]
    predicted, target = predicted[:-1].astype(float), CHAIN.encode(join(heard))[1:]
    squared = ((predicted - target) ** 2).sum(axis=1)
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(likelihoods, axis=1)
    return {
        "squared": squared.mean(),
        "root": np.sqrt(squared).mean(),
        "absolute": np.abs(predicted - target).sum(axis=1).mean(),
        "to likelihoods": ((predicted - likelihoods) ** 2).sum(axis=1).mean(),
        "cosine": ((predicted * likelihoods).sum(axis=1) / lengths).mean(),
    }


# --- what the hidden states know ------------------------------------------------------------------


def tree(states: np.ndarray, words: np.ndarray) -> drawing.Tree:
    """Average the states (T, H) of every word (T,), and cluster the averages."""
    names = sorted(set(words.tolist()))
    means = np.array([states[words == name].mean(axis=0) for name in names])

    def nested(node) -> drawing.Tree:  # noqa: ANN001 (scipy's ClusterNode)
        if node.is_leaf():
            return names[node.id]
        return (float(node.dist), nested(node.left), nested(node.right))

    return nested(to_tree(linkage(means, method="ward", metric="euclidean")))


def same_kind(states: np.ndarray, words: np.ndarray) -> dict[str, float]:
    """Return how often (%) the nearest token and the nearest other word are of the same kind.

    For the token that is the same word, for the word the same of noun and verb.
    """
    names, word = np.unique(words, return_inverse=True)
    noun = np.isin(names, sorted(NOUNS))[word]
    states = states - states.mean(axis=0)  # so that less is lost in the differences below
    norms = (states**2).sum(axis=1)
    found = []
    for chosen in np.array_split(np.arange(TOKENS), 8):
        distance = norms - 2 * states[chosen] @ states.T  # squared, up to a constant for each row
        distance[np.arange(len(chosen)), chosen] = np.inf
        same_word = word[distance.argmin(axis=1)] == word[chosen]
        distance[word[chosen, None] == word] = np.inf
        found.append((same_word, noun[distance.argmin(axis=1)] == noun[chosen]))
    same, kinds = 100 * np.concatenate(found, axis=1).mean(axis=1)
    return {
        "nearest token: the same word, %": same,
        "nearest other word: noun to noun, verb to verb, %": kinds,
    }


def knowledge(net: elman.Network, heard: list[Unit], unheard: list[Unit]) -> dict:
    """Return the trees of a network's hidden states, and the scores in the second table."""
    words = join(heard)
    states = net.run(CHAIN.encode(words), return_hidden=True).hidden
    found = tree(states, np.array(words))
    words_with_zog = np.array(["zog" if word == "man" else word for word in join(unheard)])
    codes = np.array([(CODES | {"zog": ZOG})[word] for word in words_with_zog.tolist()])
    with_zog = tree(net.run(codes, return_hidden=True).hidden, words_with_zog)
    groups = {
        name: frozenset(members.split()) in drawing.clades(found)
        for name, members in GROUPS.items()
    }
    split = {frozenset(drawing.leaves(branch)) for branch in found[1:]} == {NOUNS, VERBS}
    joined = HUMANS - {"man"} | {"zog"} in drawing.clades(with_zog)
    return {
        "tree": found,
        "yes": {
            "nouns and verbs part at the root": split,
            **groups,
            "zog joins the humans": joined,
        },
        "rates": same_kind(states, np.array(words)),
    }


# --- the runs and their report --------------------------------------------------------------------


def simulate(seed: int, passes: int | None = None) -> dict[str, dict]:
    """Train the networks; return the scores of all networks and of the exact predictors."""
    rng = np.random.default_rng(seed)
    stream = CHAIN.encode(join(CHAIN.draw(SENTENCES, rng)))
    heard, unheard = CHAIN.draw(SENTENCES, rng), CHAIN.draw(SENTENCES, rng)
    networks = {UNTRAINED: untrained(seed)}
    for name, setting in SETTINGS.items():
        chosen = setting._replace(passes=passes or setting.passes)
        networks[name] = train(seed, stream, chosen)
    test = CHAIN.encode(join(heard))
    predictions = {
        "exact: knows the sentence so far": CHAIN.likelihoods(heard),
        "exact: hears the words alone": CHAIN.listener(join(heard)),
        **{name: net(test) for name, net in networks.items()},
    }
    return {
        "scores": {name: scores(predicted, heard) for name, predicted in predictions.items()},
        "knowledge": {name: knowledge(net, heard, unheard) for name, net in networks.items()},
    }


def draw(ours: drawing.Tree, control: drawing.Tree) -> drawing.Figure:
    """Draw figure 7 beside the same of one network, after and before training."""
    figure, axes = drawing.figure(1, 3, 11, 6)
    titles = ("Elman (1990), figure 7, redrawn", "elman, trained", "elman, before training")

    def color(word: str) -> str:
        return next((c for n, c in COLORS.items() if word in CLASSES[n].split()), "#1f4fb4")

    for side, shown, title in zip(axes, (FIGURE_7, ours, control), titles, strict=True):
        drawing.dendrogram(side, shown, color)
        side.set_title(title, fontsize=9)
        side.set_xlabel("distance")
    return figure


def report_predictions(runs: list[dict]) -> None:
    """Print the table of errors."""
    exact = {"exact: knows the sentence so far": CHAIN.floor()["every"]}
    unigram, bigram = CHAIN.floor(lambda _: None), CHAIN.floor(lambda context: context[-1])
    rows = [
        ["Elman (1990), units unclear", "–", "0.88", "0.88", "–", "0.053", "0.916"],
        ["exact: how often words come", report.number(unigram["every"]), *["–"] * 5],
        ["exact: knows the last word", report.number(bigram["every"]), *["–"] * 5],
    ]
    for name in runs[0]["scores"]:
        found = [run["scores"][name] for run in runs]
        measured = [report.spread(score[key] for score in found) for key in found[0]]
        rows.append([name, report.number(exact.get(name)), *measured])
    header = ["the next word", "exact", "squared error", "its root", "sum of abs(error)"]
    report.table([*header, "squared, to likelihoods", "cosine to likelihoods"], rows)


def report_knowledge(runs: list[dict]) -> None:
    """Print the table of the hidden states."""
    names = list(runs[0]["knowledge"])
    first = runs[0]["knowledge"][names[0]]

    def row(paper: str, key: str, claim: str, show: Callable[[list], str]) -> list[str]:
        found = [[run["knowledge"][name][key][claim] for run in runs] for name in names]
        return [claim, paper, *map(show, found)]

    rows = [row("yes", "yes", claim, report.share) for claim in first["yes"]]
    rows += [row("–", "rates", c, lambda v: report.spread(v, 1)) for c in first["rates"]]
    report.table(["hidden states", "paper", *names], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for every seed; print the tables and draw the figure."""
    chosen = report.options(__doc__.splitlines()[0], arguments, SEEDS)
    runs = report.for_each(simulate, [(seed, chosen.passes) for seed in range(chosen.seeds)])
    known = runs[0]["knowledge"]
    drawing.save(draw(known[DRAWN]["tree"], known[UNTRAINED]["tree"]), chosen.output, "sentences")
    report_predictions(runs)
    report_knowledge(runs)


if __name__ == "__main__":
    main(sys.argv[1:])
