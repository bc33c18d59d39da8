"""The tasks with published results: their data against exact facts; every script runs."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import elman

pytestmark = pytest.mark.any_isa

FOLDER = Path(__file__).parents[1] / "examples" / "anchors"
SCRIPTS = ("reber", "embedded_reber", "temporal_order", "adding", "characters")

# The Reber grammar as a regular expression, read off its diagram; the script walks through states.
AFTER_X = "(XT*VP)*(S|XT*VV)"
REBER = f"B(TS*X{AFTER_X}|PT*V(V|P{AFTER_X}))E"


@pytest.fixture(scope="module")
def anchors():
    modules = ("seeds", *SCRIPTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in modules})
    for name in modules:
        del sys.modules[name]


def five_sigma(p, n):
    return 5 * math.sqrt(p * (1 - p) / n)


# --- the Reber grammar ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "string", ["BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE"]
)
def test_known_strings_are_accepted(anchors, string):
    assert re.fullmatch(REBER, string)
    assert anchors.reber.accepts(string)


@pytest.mark.parametrize("string", ["BTSSPXSE", "BTXXVVSE", "BPVSPSE", "BTSSSE", "BE", "BTXSSE"])
def test_known_strings_are_rejected(anchors, string):
    assert not re.fullmatch(REBER, string)
    assert not anchors.reber.accepts(string)


def test_reber_strings_are_those_of_the_grammar(anchors, rng):
    strings = [anchors.reber.grammatical(rng) for _ in range(4000)]
    after = defaultdict(set)
    for string, successors in strings:
        assert re.fullmatch(REBER, string)
        assert len(successors) == len(string) - 1
        for i in range(len(successors)):
            after[string[: i + 1]].add(string[i + 1])
    for string, successors in strings:  # short prefixes are so frequent that every branch was taken
        for i, possible in enumerate(successors[:4]):
            assert set(possible) == after[string[: i + 1]]
    # Expected lengths from each state solve a linear system by hand: 8 letters in all.
    lengths = [len(string) for string, _ in strings]
    assert np.mean(lengths) == pytest.approx(8, abs=5 * np.std(lengths) / math.sqrt(4000))


def test_one_random_string_in_522_is_grammatical(anchors, rng):
    strings = [anchors.reber.random_string(rng) for _ in range(10_000)]
    accepted = [anchors.reber.accepts(string) for string in strings]
    assert accepted == [re.fullmatch(REBER, string) is not None for string in strings]
    # p = (p_T + p_P) / 6 and so on for each state, p_end = 1 / 6: again a linear system.
    assert np.mean(accepted) == pytest.approx(1 / 522, abs=five_sigma(1 / 522, 10_000))
    assert any(accepted)


def test_a_string_is_accepted_if_each_letter_is_above_the_threshold(anchors):
    reber, uniform = anchors.reber, np.zeros((7, 3))
    layers, b_y = [(np.zeros((3, 7)), np.zeros((3, 3)), np.zeros(3))], np.full(7, 10.0)
    allows = elman.Network.from_weights(layers=layers, readout=(uniform, b_y))
    b_y[reber.LETTERS.index("V")] = -10
    forbids = elman.Network.from_weights(layers=layers, readout=(uniform, b_y))
    strings = ["BTXSE", "BPVVE", "BPTVPSE"]
    assert reber.accepted(allows, strings).tolist() == [True, True, True]
    assert reber.accepted(forbids, strings).tolist() == [True, False, False]


# --- the embedded grammar -------------------------------------------------------------------------


def test_embedded_strings_are_those_of_the_grammar(anchors, rng):
    strings = [anchors.embedded_reber.embedded(rng) for _ in range(2000)]
    for string, successors in strings:
        assert re.fullmatch(f"B(?P<outer>[TP]){REBER}(?P=outer)E", string)
        assert all(letter in may for letter, may in zip(string[1:], successors, strict=True))
        assert successors[:2] == ["TP", "B"]
        assert successors[-3:] == ["E", string[1], "E"]
    share = np.mean([string[1] == "T" for string, _ in strings])
    assert share == pytest.approx(0.5, abs=five_sigma(0.5, 2000))


def oracle(successors_of, strings, outer):
    """Return a network stand-in that expects all possible successors, and `outer` near the end."""
    x, lengths, possible = successors_of(strings)
    y = possible * 0.5
    y[np.arange(len(y)), lengths - 2] = outer

    def run(given, lengths):
        assert np.array_equal(given, x)
        return SimpleNamespace(output=y)

    return SimpleNamespace(run=run), (x, lengths, possible)


def test_right_means_that_the_possible_successors_are_the_most_active(anchors, rng):
    script = anchors.embedded_reber
    strings = [script.embedded(rng) for _ in range(200)]
    always_t = np.eye(7)[anchors.reber.LETTERS.index("T")]
    net, data = oracle(script.examples, strings, always_t)
    share = np.mean([string[1] == "T" for string, _ in strings])
    assert script.right(net, *data) == (share, share)
    net.run(data[0], data[1]).output[:, 0] = always_t  # B may also be followed by P
    assert script.right(net, *data) == (0, share)


@pytest.mark.slow
def test_the_embedded_grammar_takes_more_than_one_step_back(anchors):
    one = anchors.embedded_reber.task(800, 1, 0)
    assert not one["success"]
    assert one["outer"] < 75
    full = anchors.embedded_reber.task(800, None, 0)
    assert full["success"]
    assert full["sequences"] < 100_000
    assert full["whole"] == full["outer"] == 100


# --- temporal order -------------------------------------------------------------------------------


def test_two_letters_of_a_temporal_order_sequence_determine_its_class(anchors, rng):
    script = anchors.temporal_order
    x, lengths, classes = script.sequences(4000, rng)
    assert (lengths.min(), lengths.max()) == (20, 50)
    assert (x.sum(axis=2) == 1).all()
    for row, T, c in zip(x, lengths, classes, strict=True):
        string = "".join(script.LETTERS[i] for i in row[:T].argmax(axis=1))
        (first, second) = re.finditer("[AB]", string)
        assert script.CLASSES[c] == first.group() + second.group()
        assert T // 10 <= first.start() < 2 * T / 10
        assert 4 * T // 10 <= second.start() < 5 * T / 10
        assert set(string) <= set("ABcdef")
    for c in range(4):
        assert np.mean(classes == c) == pytest.approx(1 / 4, abs=five_sigma(1 / 4, 4000))


def test_a_guess_is_wrong_three_times_in_four(anchors, rng):
    script = anchors.temporal_order
    net = elman.Network(input_size=6, hidden_size=3, output_size=4, init="echo_state", seed=0)
    layers = [(layer.W_xh, layer.W_hh, layer.b_h) for layer in net.layers]
    net = elman.Network.from_weights(layers=layers, readout=(np.zeros((4, 3)), [0.0, 1, 0, 0]))
    data = script.sequences(4000, rng)
    assert script.errors(net, data) == 100 * np.mean(data[2] != 1)


@pytest.mark.slow
def test_temporal_order_is_learned(anchors):
    result = anchors.temporal_order.task(20_000, 50, 1)
    assert result["error"] < 1
    assert result["updates"] < 20_000


# --- the adding problem ---------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 11, 50])
def test_the_target_is_the_sum_of_the_two_marked_numbers(anchors, rng, steps):
    x, y = anchors.adding.sequences(3000, steps, rng)
    marks = x[:, :, 1]
    assert set(np.unique(marks)) <= {0, 1}
    assert (marks[:, : steps // 2].sum(axis=1) == 1).all()
    assert (marks[:, steps // 2 :].sum(axis=1) == 1).all()
    assert 0 <= x[:, :, 0].min() < x[:, :, 0].max() < 1
    for sequence, total in zip(x[:100].tolist(), y[:100, 0].tolist(), strict=True):
        first, second = (number for number, mark in sequence if mark)
        assert total == pytest.approx(first + second, abs=1e-6)
    # Predicting 1 errs by the variance of two uniform numbers; the fourth moment is 1 / 15.
    bound = 5 * math.sqrt((1 / 15 - 1 / 36) / 3000)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=bound)


@pytest.mark.slow
def test_the_adding_problem_is_learned(anchors):
    script = anchors.adding
    steps, init, activation, learning_rate, epochs = script.WAYS[0]
    result = script.task(steps, init, activation, learning_rate, epochs, script.SEQUENCES, 0)
    assert steps == 50
    assert result["error"] < 0.167 / 30


# --- characters -----------------------------------------------------------------------------------


def test_the_best_n_grams_of_a_text_are_known(anchors):
    floor = anchors.characters.floor
    assert floor("aabb" * 25, 1) == 1
    assert floor("abcd" * 25, 1) == 2
    assert floor("abcd" * 25, 2) == 0
    assert floor("aabb" * 25 + "a", 2) == 1
    assert floor("aabb" * 25, 3) == 0


def test_learned_n_grams_give_way_to_shorter_ones(anchors):
    learned = anchors.characters.learned
    # a: (2 + 1/2) / 3, b: (0 + 1/2) / 3
    assert learned("aa", "ab", 1) == pytest.approx(-(math.log2(5 / 6) + math.log2(1 / 6)) / 2)
    # After a, b was never seen: (0 + 1/6) / 2. After b nothing was: a remains at 5/6.
    assert learned("aa", "ab", 2) == pytest.approx(-math.log2(1 / 12))
    assert learned("aa", "ba", 2) == pytest.approx(-math.log2(5 / 6))


def test_compressors_find_what_they_know(anchors):
    sentence = "".join(chr(97 + i * i % 23) for i in range(1000))
    for name in anchors.characters.COMPRESSORS:
        assert anchors.characters.compressed(sentence, sentence, name) < 1


def test_bits_of_an_even_guess_are_the_logarithm_of_the_alphabet(anchors):
    layers = [(np.ones((3, 8)), np.ones((3, 3)), np.zeros(3))]
    net = elman.Network.from_weights(
        layers=layers, readout=(np.zeros((8, 3)), np.zeros(8)), output_activation="softmax"
    )
    assert anchors.characters.bits(net, "hedgebadcafe", "abcdefgh") == pytest.approx(3)
    written = anchors.characters.sample(net, "\nbcdefgh", 500, 1)
    assert len(written) == 500
    assert set(written) == set("\nbcdefgh")


def test_the_parts_of_the_text_are_the_text(anchors):
    from pydoc_data.topics import topics

    train, test = anchors.characters.read()
    assert train + test == "\n\n".join(topics[name] for name in sorted(topics))
    assert len(train) == len(train + test) * 9 // 10


@pytest.mark.slow
def test_characters_are_learned_better_than_by_trigrams(anchors):
    script = anchors.characters
    train, test = script.read()
    result = script.task("side by side", len(train), 4, 0)
    assert result["test"] < script.learned(train, test, 3)


# --- the scripts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "published"),
    [
        ("reber", "perfect recognisers"),
        ("embedded_reber", "1997, Elman's training"),
        ("temporal_order", "2013"),
        ("adding", "always 1"),
        ("characters", "min-char-rnn, 2015"),
    ],
)
def test_every_script_runs_and_prints_its_published_line(anchors, capsys, script, published):
    getattr(anchors, script).main(["--quick"])
    printed = capsys.readouterr().out
    assert published in printed
    assert "ours" in printed or "relu, identity" in printed


def square(offset, seed):
    return offset + seed**2


def test_results_are_in_the_order_of_the_seeds_for_one_process_or_many(anchors, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert anchors.seeds.over(3, square, 10) == [10, 11, 14]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert anchors.seeds.over(3, square, 10) == [10, 11, 14]


def test_a_spread_is_the_median_and_the_range(anchors):
    assert anchors.seeds.spread([3.0, 1.0, 10.0], ".1f") == "3.0 (1.0 to 10.0)"
    assert anchors.seeds.spread([2.001, 2.002], ".1f") == "2.0"
