"""The Reber grammar: a simple recurrent network becomes a perfect recogniser of it.

    python examples/anchors/reber.py

A. Cleeremans, D. Servan-Schreiber and J. L. McClelland, "Finite state automata and simple recurrent
networks" (Neural Computation 1, 1989): the network learns to predict the next letter, its context
taken as an input (`bptt_steps=1`), and accepts a string if every letter was predicted above a
threshold of 0.3. Their abstract says that it "can learn to be a perfect finite-state recognizer";
their numbers (three hidden units, 60,000 strings to learn, 20,000 grammatical and 130,000 random
ones to judge, no error) are as reported: we have not seen them in print.
"""

from __future__ import annotations

import numpy as np
import seeds

import elman

LETTERS = "BTSXPVE"
END = 5  # the state in which there is only the E to come
# What may follow in each state, and the state it leads to.
GRAMMAR = (
    {"T": 1, "P": 2},
    {"S": 1, "X": 3},
    {"T": 2, "V": 4},
    {"X": 2, "S": END},
    {"P": 3, "V": END},
)
THRESHOLD = 0.3
# Hidden units, how far errors flow back, and the learning rate that goes with it.
WAYS = ((3, 1, 0.1), (15, 1, 0.1), (3, None, 0.3))


def grammatical(rng: np.random.Generator) -> tuple[str, list[str]]:
    """Return a string, each of two ways as likely, and what may follow each letter but the last."""
    string, state, successors = "B", 0, []
    while state != END:
        ways = GRAMMAR[state]
        successors.append("".join(ways))
        letter = list(ways)[rng.integers(len(ways))]
        string, state = string + letter, ways[letter]
    return string + "E", [*successors, "E"]


def random_string(rng: np.random.Generator) -> str:
    """Return a B and letters drawn with equal chances, up to the first E."""
    string = "B"
    while string[-1] != "E":
        string += LETTERS[rng.integers(1, len(LETTERS))]
    return string


def accepts(string: str) -> bool:
    """Return whether a string that begins with B and ends with its only E is grammatical."""
    state = 0
    for letter in string[1:-1]:
        if state == END or letter not in GRAMMAR[state]:
            return False
        state = GRAMMAR[state][letter]
    return state == END


def indices(letters: str) -> np.ndarray:
    """Return the number of each letter."""
    return np.array([LETTERS.index(letter) for letter in letters])


def one_hot(letters: str) -> np.ndarray:
    """Return one row (7,) for each letter."""
    return np.eye(len(LETTERS), dtype=np.float32)[indices(letters)]


def padded(strings: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return one-hot letters (B, T, 7), zeros after the ends of strings, and lengths (B,)."""
    lengths = np.array([len(string) for string in strings])
    longest = int(lengths.max())
    together = "".join(string.ljust(longest) for string in strings)
    codes = np.frombuffer(together.encode(), np.uint8).reshape(-1, longest, 1)
    return (codes == [ord(letter) for letter in LETTERS]).astype(np.float32), lengths


def expected(net: elman.Network, strings: list[str]) -> np.ndarray:
    """Return the outputs (B, T, 7) after every letter but the last, zeros after the ends."""
    x, lengths = padded([string[:-1] for string in strings])
    return net.run(x, lengths=lengths).output


def possible(successors: list[list[str]]) -> np.ndarray:
    """Return which letters may follow (B, T, 7), none after the ends."""
    longest = max(map(len, successors))
    sets = [[*may, *[""] * (longest - len(may))] for may in successors]
    return np.array([[[c in letters for c in LETTERS] for letters in may] for may in sets])


def accepted(net: elman.Network, strings: list[str]) -> np.ndarray:
    """Return for each string whether all of its letters were predicted above the threshold."""
    followed, _ = padded([string[1:] for string in strings])
    return ((expected(net, strings) > THRESHOLD) >= followed).all(axis=(1, 2))


def trained(
    strings: list[str], hidden: int, bptt_steps: int | None, learning_rate: float, seed: int
) -> elman.Network:
    """Train a network on strings, each once, to predict every next letter."""
    net = elman.Network(
        input_size=7, hidden_size=hidden, output_size=7, output_activation="softmax", seed=seed
    )
    return elman.train(
        net,
        [one_hot(string[:-1]) for string in strings],
        [indices(string[1:]) for string in strings],
        loss="cross_entropy",
        optimizer=elman.SGD(learning_rate),
        schedule="linear",
        epochs=1,
        batch_size=1,
        bptt_steps=bptt_steps,
    ).network


def task(strings: int, tests: int, seed: int) -> list[dict[str, float]]:
    """Train each variant once; return how many of its answers are right."""
    rng = np.random.default_rng(seed)
    training = [grammatical(rng)[0] for _ in range(strings)]
    known, successors = zip(*(grammatical(rng) for _ in range(tests)), strict=True)
    may_follow = possible(successors)
    noise = [random_string(rng) for _ in range(int(6.5 * tests))]
    truth = np.array([accepts(string) for string in noise])
    results = []
    for way in WAYS:
        net = trained(training, *way, seed)
        right = (expected(net, known) > THRESHOLD) == may_follow
        said = [accepted(net, noise[i : i + 10_000]) for i in range(0, len(noise), 10_000)]
        results.append(
            {
                "exact": 100 * float(right.all(axis=(1, 2)).mean()),
                "accepted": 100 * float(accepted(net, known).mean()),
                "grammatical": 100 * float(truth.mean()),
                "misjudged": int((np.concatenate(said) != truth).sum()),
            }
        )
    return results


def perfect(result: dict[str, float]) -> bool:
    """Return whether a network made no error of any kind."""
    return result["exact"] == result["accepted"] == 100 and result["misjudged"] == 0


def main(argv: list[str] | None = None) -> None:
    """Train each variant from several seeds and print the table."""
    chosen = seeds.options(__doc__, 6, argv)
    strings, tests = (1000, 200) if chosen.quick else (60_000, 20_000)
    columns = list(zip(*seeds.over(chosen.seeds, task, strings, tests), strict=True))

    def row(name: str, reported: str, key: str, form: str) -> list[str]:
        return [name, reported, *(seeds.spread([r[key] for r in c], form) for c in columns)]

    print(
        f"The Reber grammar: {strings:,} strings to learn, {tests:,} grammatical and"
        f" {6.5 * tests:,.0f} random ones to judge, {chosen.seeds} seeds"
    )
    seeds.table(
        ["", "1989, as reported", *("ours" for _ in WAYS)],
        ["hidden units", "3", *(str(hidden) for hidden, *_ in WAYS)],
        ["errors flow back", "1 step", *("1 step" if k else "to the start" for _, k, _ in WAYS)],
        row("grammatical strings accepted, %", "100", "accepted", ".3f"),
        row("... all successors right, %", "", "exact", ".3f"),
        row("random strings, grammatical %", "0.2", "grammatical", ".2f"),
        row("... judged wrongly", "0", "misjudged", "g"),
        ["perfect recognisers", "", *(f"{sum(map(perfect, c))} of {len(c)}" for c in columns)],
    )


if __name__ == "__main__":
    main()
