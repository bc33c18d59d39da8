"""The paper's four simulations: their streams, exact optima and programs."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.any_isa

FOLDER = Path(__file__).parents[1] / "examples" / "finding_structure_in_time"
PROGRAMS = ("temporal_xor", "letter_sequences", "words", "sentences")
SHARED = ("chain", "elman1990", "report", "drawing")


@pytest.fixture(scope="module", autouse=True)
def _folder():
    """Import the modules of the folder, even if others, as in bench, have the same names."""
    sys.path.insert(0, str(FOLDER))
    _forget()
    yield
    sys.path.remove(str(FOLDER))
    _forget()


def _forget():
    for name in (*PROGRAMS, *SHARED):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def chain():
    return importlib.import_module("chain")


@pytest.fixture(scope="module")
def paper():
    return importlib.import_module("elman1990")


def program(name):
    """Return a program as a module; the drawing needs matplotlib, the clusters scipy."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    return importlib.import_module(name)


# --- streams --------------------------------------------------------------------------------------


def xor_chain(chain):
    return chain.Chain({(a, b, a ^ b): 1 / 4 for a in (0, 1) for b in (0, 1)}, {0: [0], 1: [1]})


def syllables(chain, paper):
    return chain.Chain({tuple(s): 1 / 3 for s in paper.SYLLABLES}, paper.FEATURES)


def story(chain, paper):
    codes = {letter: paper.letter_code(letter) for word in paper.STORY for letter in word}
    return chain.Chain({tuple(word): 1 / 14 for word in paper.STORY}, codes)


def grammar(chain, paper):
    codes = {word: np.eye(31)[bit - 1] for word, bit in paper.word_bits().items()}
    return chain.Chain(paper.sentences(), codes)


def test_every_third_bit_is_the_exclusive_or(chain, rng):
    bits = np.array(chain.join(xor_chain(chain).draw(1000, rng))).reshape(-1, 3)
    assert (bits[:, 0] ^ bits[:, 1] == bits[:, 2]).all()
    assert 400 < bits[:, 0].sum() < 600


def test_consonants_bring_their_vowels(chain, paper, rng):
    letters = "".join(chain.join(syllables(chain, paper).draw(1000, rng)))
    assert letters.count("ba") + letters.count("dii") + letters.count("guuu") == 1000
    assert abs(len(letters) - 3000) < 5 * (1000 * 2 / 3) ** 0.5


def test_the_letter_codes_of_table_2_are_places_in_the_alphabet(paper):
    assert len(paper.TABLE_2) == 13
    for letter, printed in paper.TABLE_2.items():
        assert "".join(map(str, paper.letter_code(letter))) == printed


def test_figure_6_has_a_number_for_each_letter_of_the_story(paper):
    assert len(paper.FIGURE_6) == len("".join(paper.STORY)) + 1
    assert len(set(paper.STORY)) == 14


def test_the_features_of_table_1_hold_together(paper):
    for code in paper.FEATURES.values():
        consonant, vowel, interrupted, _, _, voiced = code
        assert (vowel, interrupted, voiced) == (1 - consonant, consonant, 1)


def test_the_bits_of_words_are_those_of_table_5(paper):
    printed = {"book": 1, "boy": 2, "bread": 3, "break": 4, "car": 5, "cat": 6, "dog": 9}
    printed |= {"eat": 11, "girl": 13, "lion": 16, "man": 17, "mouse": 19, "move": 20}
    printed |= {"plate": 22, "smash": 27, "woman": 30}
    bits = paper.word_bits()
    assert len(bits) == len(set(bits.values())) == 29
    assert printed.items() <= bits.items()


def test_sentences_come_from_sixteen_templates_of_two_and_three_words(chain, paper, rng):
    sentences = paper.sentences()
    assert sum(sentences.values()) == pytest.approx(1, abs=1e-12)
    assert {len(sentence) for sentence in sentences} == {2, 3}
    assert {word for sentence in sentences for word in sentence} == set(paper.word_bits())
    # 10,000 sentences have 27,500 words, give or take: the paper's 27,534.
    assert grammar(chain, paper).mean_length == pytest.approx(2.75, abs=1e-12)
    drawn = len(chain.join(grammar(chain, paper).draw(10_000, rng)))
    assert abs(drawn - 27_500) < 5 * (10_000 * 3 / 16) ** 0.5


def test_the_tree_of_figure_7_has_every_word_once(paper):
    drawing = program("drawing")
    leaves = drawing.leaves(paper.FIGURE_7)
    assert sorted(leaves) == sorted(paper.word_bits())
    assert set(drawing.leaves(paper.FIGURE_7[2])) == paper.NOUNS
    assert {frozenset(group.split()) for group in paper.GROUPS.values()} <= drawing.clades(
        paper.FIGURE_7
    )


# --- exact optima ---------------------------------------------------------------------------------


def test_the_optimum_of_the_exclusive_or_is_a_quarter_and_nothing(chain):
    floor = xor_chain(chain).floor(kind=lambda step: len(step.context))
    assert floor == pytest.approx({1: 0.25, 2: 0.0, 3: 0.25})


def test_predicting_the_exclusive_or_everywhere_errs_by_a_ninth_and_five_eighteenths():
    assert program("temporal_xor").everywhere() == pytest.approx((1 / 9, 5 / 18))


def test_the_optimum_of_letters_is_four_ninths_at_consonants(chain, paper):
    letters = syllables(chain, paper)
    assert letters.floor()["every"] == pytest.approx(4 / 27)
    assert letters.floor(kind=lambda step: step.onset) == pytest.approx({True: 4 / 9, False: 0})
    consonants = letters.floor(kind=lambda step: step.symbol if step.onset else "vowel")
    assert consonants == pytest.approx({"b": 2 / 9, "d": 5 / 9, "g": 5 / 9, "vowel": 0})


def test_the_optimum_of_the_story(chain, paper):
    floor = story(chain, paper).floor()["every"]
    assert floor == pytest.approx(0.369, abs=5e-4)  # enumerated by another program


def test_the_optima_of_sentences(chain, paper):
    sentences = grammar(chain, paper)
    # Enumerated by another program.
    assert sentences.floor()["every"] == pytest.approx(0.801, abs=5e-4)
    assert sentences.floor(lambda context: context[-1])["every"] == pytest.approx(0.845, abs=5e-4)
    assert sentences.floor(lambda _: None)["every"] == pytest.approx(0.949, abs=5e-4)


def test_an_optimum_is_the_error_of_its_predictions_on_a_long_stream(chain, paper, rng):
    for stream in (syllables(chain, paper), story(chain, paper)):
        heard = stream.draw(20_000, rng)
        target = stream.encode(chain.join(heard))
        squared = ((stream.likelihoods(heard)[:-1] - target[1:]) ** 2).sum(axis=1)
        assert squared.mean() == pytest.approx(stream.floor()["every"], rel=0.02)


def test_a_listener_finds_out_where_syllables_begin(chain, paper, rng):
    letters = syllables(chain, paper)
    heard = letters.draw(50, rng)
    assert letters.listener(chain.join(heard)) == pytest.approx(letters.likelihoods(heard))


def test_a_listener_weighs_where_words_may_begin(chain):
    stream = chain.Chain({("a",): 0.5, ("a", "b"): 0.5}, {"a": [1, 0], "b": [0, 1]})
    # After "a" the word ends or "b" follows, equally likely; after "b" a word begins with "a".
    assert stream.listener("aab") == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.5], [1, 0]]))


# --- the programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_its_table_and_draws_its_figure(name, tmp_path, capsys, monkeypatch):
    if name == "sentences":
        monkeypatch.setattr(program(name), "SENTENCES", 1000)
    program(name).main(["--seeds", "1", "--passes", "1", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    assert " elman" in printed
    assert not re.search(r"\bnan\b", printed)
    first = (tmp_path / f"{name}.svg").read_bytes()
    assert b"Elman (1990)" in first
    assert len(first) < 150_000


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_readme_shows_the_committed_figure(name):
    assert f"figures/{name}.svg" in (FOLDER / "README.md").read_text()
    assert (FOLDER / "figures" / f"{name}.svg").is_file()


@pytest.mark.slow
def test_the_exclusive_or_is_learnt_two_steps_back():
    xor = program("temporal_xor")
    run = xor.simulate(0, bptt_steps=2)
    assert run["right"] >= xor.SOLVED
    assert xor.dips(run["folded"])


@pytest.mark.slow
def test_vowels_are_known_and_consonants_are_not():
    letters = program("letter_sequences")
    scores = letters.scores(*letters.simulate(0))
    assert scores["vowels, all six bits"] <= 0.02
    assert 0.40 <= scores["consonants, all six bits"] <= 0.47


@pytest.mark.slow
def test_words_are_found_by_the_rise_of_the_error():
    words = program("words")
    run = words.simulate(0)
    scores = words.scores(np.abs(run["difference"]).sum(axis=1), run["place"])
    assert scores["first over later"] > 2
    assert scores["ROC-AUC of the rise"] > 0.85


@pytest.mark.slow
def test_sentences_are_predicted_near_the_optimum_and_classes_are_found():
    sentences = program("sentences")
    run = sentences.simulate(0)
    scores = run["scores"]["elman, 20 passes, falling rate"]
    assert scores["squared"] < 0.801 + 0.03
    assert scores["cosine"] > 0.916
    parted = "nouns and verbs part at the root"
    assert run["knowledge"][sentences.DRAWN]["yes"][parted]
    assert not run["knowledge"][sentences.UNTRAINED]["yes"][parted]
