"""The data of the paper: codes, word lists, templates, and the numbers of its figures.

J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), 179-211. The numbers of the
figures were read off the printed curves, to about 0.01 (figures 3 to 5) and 0.03 (figures 6, 7).
"""

from math import prod

# --- exclusive-or in time (figure 3) --------------------------------------------------------------

# Error over twelve consecutive inputs, averaged over 1,200 of them.
FIGURE_3 = (0.333, 0.163, 0.307, 0.285, 0.180, 0.340, 0.319, 0.171, 0.325, 0.325, 0.160, 0.288)

# --- structure in letter sequences (table 1, figures 4 and 5) -------------------------------------

# Consonant, vowel, interrupted, high, back, voiced.
FEATURES = {
    "b": (1, 0, 1, 0, 0, 1),
    "d": (1, 0, 1, 1, 0, 1),
    "g": (1, 0, 1, 0, 1, 1),
    "a": (0, 1, 0, 0, 1, 1),
    "i": (0, 1, 0, 1, 0, 1),
    "u": (0, 1, 0, 1, 1, 1),
}
SYLLABLES = ("ba", "dii", "guuu")

# The letter to be predicted, the error of all six bits (None: off the printed scale, above 1), of
# bit 1 (consonant) and of bit 4 (high).
FIGURES_4_5 = (
    ("a", 0.130, 0.012, 0.002),
    ("d", 0.613, 0.018, 0.378),
    ("i", 0.199, 0.002, 0.196),
    ("i", 0.208, 0.002, 0.194),
    ("g", 0.770, 0.125, 0.180),
    ("u", 0.069, 0.000, 0.058),
    ("u", 0.048, 0.000, 0.032),
    ("u", 0.250, 0.063, 0.020),
    ("b", 0.436, 0.009, 0.047),
    ("a", 0.118, 0.020, 0.039),
    ("g", 0.612, 0.028, 0.377),
    ("u", 0.025, 0.000, 0.020),
    ("u", 0.041, 0.000, 0.030),
    ("u", 0.203, 0.052, 0.024),
    ("d", 0.663, 0.015, 0.078),
    ("i", 0.053, 0.000, 0.021),
    ("i", 0.160, 0.027, 0.085),
    ("d", None, 0.034, 0.673),
    ("i", 0.069, 0.003, 0.024),
    ("i", 0.358, 0.087, 0.091),
)

# --- the notion "word" (table 2, figure 6) --------------------------------------------------------

# The words of figure 6, in its order. The paper has 15 words; it does not name the fifteenth.
STORY = (
    *("many", "years", "ago", "a", "boy", "and", "girl"),
    *("lived", "by", "the", "sea", "they", "played", "happily"),
)

# The thirteen codes that table 2 prints.
TABLE_2 = {
    "m": "01101",
    "a": "00001",
    "n": "01110",
    "y": "11001",
    "e": "00101",
    "r": "10010",
    "s": "10011",
    "g": "00111",
    "o": "01111",
    "b": "00010",
    "d": "00100",
    "i": "01001",
    "l": "01100",
}

# The error at each letter of the story, and at the "m" with which it begins again.
FIGURE_6 = (
    *(2.43, 2.01, 1.04, 0.51),
    *(2.99, 1.78, 0.96, 0.86, 0.07),
    *(2.86, 2.53, 0.97),
    *(2.77,),
    *(1.76, 0.98, 0.23),
    *(2.23, 1.26, 1.48),
    *(2.46, 1.78, 1.44, 0.84),
    *(1.84, 1.62, 0.89, 0.50, 0.23),
    *(1.92, 0.84),
    *(2.15, 1.65, 0.82),
    *(2.92, 0.67, 0.83),
    *(1.82, 1.37, 0.77, 1.24),
    *(1.80, 1.55, 0.83, 0.43, 0.21, 0.11),
    *(2.57, 1.85, 0.84, 0.71, 0.25, 0.12, 0.01),
    *(1.81,),
)


def letter_code(letter: str) -> tuple[int, ...]:
    """Return the letter's place in the alphabet in five binary digits.

    The paper calls the codes random, but all thirteen that table 2 prints are of this form.
    """
    return tuple(int(digit) for digit in f"{ord(letter) - ord('a') + 1:05b}")


# --- lexical classes from word order (tables 3 to 5, figures 7 to 9) ------------------------------

# Table 3 gives examples only. The rest is reconstructed from the contexts that figure 9 lists.
CLASSES = {
    "HUM": "man woman boy girl",
    "ANIM": "cat mouse dog",
    "AGRESS": "dragon monster lion",
    "INANIM": "book rock car",
    "FRAG": "glass plate",
    "FOOD": "cookie bread sandwich",
    "INTRAN": "think sleep exist",
    "TRAN": "see chase like move smell eat",
    "AGPAT": "move break",
    "PERCEPT": "smell see",
    "DESTROY": "break smash",
    "EAT": "eat",
}

# Table 4: sixteen rows, though the text says fifteen.
TEMPLATES = (
    "HUM EAT FOOD",
    "HUM PERCEPT INANIM",
    "HUM DESTROY FRAG",
    "HUM INTRAN",
    "HUM TRAN HUM",
    "HUM AGPAT INANIM",
    "HUM AGPAT",
    "ANIM EAT FOOD",
    "ANIM TRAN ANIM",
    "ANIM AGPAT INANIM",
    "ANIM AGPAT",
    "INANIM AGPAT",
    "AGRESS DESTROY FRAG",
    "AGRESS EAT HUM",
    "AGRESS EAT ANIM",
    "AGRESS EAT FOOD",
)

NOUN_CLASSES = ("HUM", "ANIM", "AGRESS", "INANIM", "FRAG", "FOOD")
NOUNS = frozenset(word for name in NOUN_CLASSES for word in CLASSES[name].split())

# Table 5: one bit for each word in the order of the alphabet, two bits in reserve. Those that it
# prints leave the 21st and the 31st free.
FREE_BITS = (21, 31)
BITS = 31


def word_bits() -> dict[str, int]:
    """Return the bit of every word, counted from 1."""
    words = sorted({word for names in CLASSES.values() for word in names.split()})
    places = [bit for bit in range(1, BITS + 1) if bit not in FREE_BITS]
    return dict(zip(words, places, strict=True))


def sentences() -> dict[tuple[str, ...], float]:
    """Return every sentence with its probability: any template, then any word of each class."""
    found: dict[tuple[str, ...], float] = {}
    for template in TEMPLATES:
        choices = [CLASSES[name].split() for name in template.split()]
        share = 1 / len(TEMPLATES) / prod(map(len, choices))
        partial: list[tuple[str, ...]] = [()]
        for words in choices:
            partial = [(*begun, word) for begun in partial for word in words]
        for sentence in partial:
            found[sentence] = found.get(sentence, 0.0) + share
    return found


# Figure 7: a join is (height, left, right), with None for a height that cannot be read.
# The axis is printed as 2.0, 1.5, 1.0, 0.0, -0.5 in equal steps; equal steps of 0.5 are taken.
FIGURE_7 = (
    2.08,
    (
        1.75,
        (
            1.42,
            (1.01, (0.67, "smell", "move"), "see"),
            (0.92, (0.84, (0.55, (None, "think", "exist"), "sleep"), "break"), "smash"),
        ),
        (1.25, (0.59, "like", "chase"), "eat"),
    ),
    (
        1.50,
        (
            1.12,
            (
                0.88,
                (0.71, (None, "mouse", "cat"), "dog"),
                (0.50, (None, "monster", "lion"), "dragon"),
            ),
            (0.79, (None, (None, "woman", "girl"), "man"), "boy"),
        ),
        (
            1.04,
            (
                0.79,
                (None, (None, "car", "book"), "rock"),
                (None, (None, "sandwich", "cookie"), "bread"),
            ),
            (0.58, "plate", "glass"),
        ),
    ),
)

# The groups that the paper points out in figure 7.
GROUPS = {
    "think, sleep, exist (no object)": "think sleep exist",
    "like, chase, eat (object obligatory)": "like chase eat",
    "animates": "man woman boy girl cat mouse dog dragon monster lion",
    "inanimates": "book rock car glass plate cookie bread sandwich",
    "humans": "man woman boy girl",
    "animals": "cat mouse dog dragon monster lion",
    "large animals": "dragon monster lion",
    "food": "cookie bread sandwich",
    "breakables": "glass plate",
}
