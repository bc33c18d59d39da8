"""A character model of Python's manual, beside n-grams and compressors.

    python examples/anchors/characters.py

The text is `pydoc_data.topics`, part of every CPython (PSF licence). It differs between versions,
so its hash is printed. The last tenth is the test set. The text is one long series, trained in
windows with one update each and the state carried over. The first network is trained as in A.
Karpathy's min-char-rnn (2015): 100 tanh units, small random weights, windows of 25 characters,
Adagrad at 0.1, gradients clipped at 5. Its documented run, on another text, reached 43.11 nats per
25 characters, 2.49 bits per character, in 100,000 windows. The second network reads 16 parts of the
text at once.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import math
import platform
import pydoc_data.topics
import zlib
from collections import Counter

import numpy as np
import seeds

import elman

PARTS = 16
COMPRESSORS = {
    "zlib": lambda text: zlib.compress(text, 9),
    "bz2": lambda text: bz2.compress(text, 9),
    "lzma": lambda text: lzma.compress(text, preset=9),
}


def read() -> tuple[str, str]:
    """Return the text to learn and the text to test on."""
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name] for name in sorted(topics))
    end = len(text) * 9 // 10
    return text[:end], text[end:]


# --- what does not learn a state ------------------------------------------------------------------


def grams(text: str, n: int) -> Counter[str]:
    """Count the sequences of n characters."""
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def floor(text: str, n: int) -> float:
    """Return the bits per character of the n-gram model fitted to this text itself."""
    counts = grams(text, n)
    contexts: Counter[str] = Counter()
    for gram, count in counts.items():
        contexts[gram[:-1]] += count
    bits = sum(c * math.log2(contexts[gram[:-1]] / c) for gram, c in counts.items())
    return bits / counts.total()


def learned(train: str, test: str, n: int) -> float:
    """Return the bits per character, on the test text, of an n-gram model of the training text.

    Contexts that are rare give way to shorter ones, as Witten and Bell have it: with c counts of f
    different characters, p = (count + f p_shorter) / (c + f).
    """
    p = np.full(len(test), 1 / len(set(train + test)))
    for order in range(1, n + 1):
        counts = grams(train, order)
        contexts: Counter[str] = Counter()
        followers: Counter[str] = Counter()
        for gram, count in counts.items():
            contexts[gram[:-1]] += count
            followers[gram[:-1]] += 1
        for i in range(order - 1, len(test)):
            gram = test[i - order + 1 : i + 1]
            if c := contexts[gram[:-1]]:
                f = followers[gram[:-1]]
                p[i] = (counts[gram] + f * p[i]) / (c + f)
    return float(-np.log2(p[n - 1 :]).mean())


def compressed(train: str, test: str, name: str) -> float:
    """Return the bits per character that the test adds to the compressed training text."""
    size = [len(COMPRESSORS[name](text.encode())) for text in (train, train + test)]
    return 8 * (size[1] - size[0]) / len(test)


# --- the networks ---------------------------------------------------------------------------------


def one_hot(text: str, alphabet: str) -> np.ndarray:
    """Return one row (V,) for each character."""
    return np.eye(len(alphabet), dtype=np.float32)[indices(text, alphabet)]


def indices(text: str, alphabet: str) -> np.ndarray:
    """Return the number of each character in the alphabet."""
    number = {letter: i for i, letter in enumerate(alphabet)}
    return np.array([number[letter] for letter in text])


def bits(net: elman.Network, text: str, alphabet: str) -> float:
    """Return the bits per character of the network, from the second one on."""
    p = net(one_hot(text[:-1], alphabet))
    return float(-np.log2(p[np.arange(len(p)), indices(text[1:], alphabet)]).mean())


def min_char_rnn(text: str, alphabet: str, epochs: int, seed: int) -> elman.TrainResult:
    """Train as min-char-rnn does; its loss is a sum of 25, ours a mean, which Adagrad ignores."""
    rng = np.random.default_rng(seed)
    V, H = len(alphabet), 100
    W_xh, W_hh, W_hy = (0.01 * rng.standard_normal(s) for s in ((H, V), (H, H), (V, H)))
    net = elman.Network.from_weights(
        layers=[(W_xh, W_hh, np.zeros(H))],
        readout=(W_hy, np.zeros(V)),
        output_activation="softmax",
        dtype="float32",
    )
    return elman.train(
        net,
        one_hot(text[:-1], alphabet),
        indices(text[1:], alphabet),
        loss="cross_entropy",
        optimizer=elman.Adagrad(0.1),
        epochs=epochs,
        bptt_steps=25,
        clip_value=5 / 25,
    )


def side_by_side(text: str, alphabet: str, epochs: int, seed: int) -> elman.TrainResult:
    """Train on 16 parts of the text at once, each a series whose state is carried over."""
    V, steps = len(alphabet), (len(text) - 1) // PARTS
    used = PARTS * steps
    net = elman.Network(
        input_size=V, hidden_size=128, output_size=V, output_activation="softmax", seed=seed
    )
    return elman.train(
        net,
        one_hot(text[:used], alphabet).reshape(PARTS, steps, V),
        indices(text[1 : used + 1], alphabet).reshape(PARTS, steps),
        loss="cross_entropy",
        learning_rate=0.003,
        schedule="linear",
        epochs=epochs,
        batch_size=PARTS,
        bptt_steps=50,
        carry_state=True,
        clip_norm=1,
        seed=seed,
    )


def sample(net: elman.Network, alphabet: str, length: int, seed: int) -> str:
    """Return a text sampled from the network, character by character."""
    rng = np.random.default_rng(seed)
    written = []

    def draw(p: np.ndarray) -> np.ndarray:
        written.append(rng.choice(len(p), p=p.astype(np.float64) / p.sum(dtype=np.float64)))
        return np.eye(len(p), dtype=np.float32)[written[-1]]

    net.generate(one_hot("\n", alphabet), steps=length + 1, feedback=draw)
    return "".join(alphabet[i] for i in written)


def task(way: str, size: int, epochs: int, seed: int) -> dict[str, object]:
    """Train on the first `size` characters; return the bits per character and a sample."""
    train, test = read()
    alphabet = "".join(sorted(set(train + test)))
    train = train[:size]
    result = {"min-char-rnn": min_char_rnn, "side by side": side_by_side}[way](
        train, alphabet, epochs, seed
    )
    return {
        "updates": result.history.updates,
        "training": result.history.loss[-1] / math.log(2),
        "test": bits(result.network, test, alphabet),
        "sample": sample(result.network, alphabet, 300, seed),
    }


def main(argv: list[str] | None = None) -> None:
    """Train both networks from several seeds and print the table and a sample."""
    chosen = seeds.options(__doc__, 2, argv)
    train, test = read()
    size = 5000 if chosen.quick else len(train)
    print(
        f"pydoc_data.topics of Python {platform.python_version()}: {size:,} characters to learn,"
        f" {len(test):,} to test, {len(set(train + test))} different ones,"
        f" sha256 {hashlib.sha256((train + test).encode()).hexdigest()[:16]}, {chosen.seeds} seeds"
    )
    rows = [("bits a character", "updates", "training", "test")]
    for n, name in ((1, "unigrams"), (2, "bigrams"), (3, "trigrams")):
        rows += [
            (f"{name} of the test itself", "", "", f"{floor(test, n):.3f}"),
            (f"{name} of the training text", "", "", f"{learned(train[:size], test, n):.3f}"),
        ]
    rows += [
        (f"{name}, after the training text", "", "", f"{compressed(train[:size], test, name):.3f}")
        for name in COMPRESSORS
    ]
    rows.append(("min-char-rnn, 2015, another text", "100,000", "2.49", ""))
    for way, epochs in (("min-char-rnn", 6), ("side by side", 8)):
        results = seeds.over(chosen.seeds, task, way, size, 1 if chosen.quick else epochs)
        numbers = [seeds.spread([r[key] for r in results], ".3f") for key in ("training", "test")]
        rows.append((f"ours, {way}", f"{results[0]['updates']:,}", *numbers))
    seeds.table(*rows)
    print(f"\nWritten by the last network:\n\n{results[0]['sample']}")


if __name__ == "__main__":
    main()
