"""README, docs, docstrings, comments and messages are free of archaisms and some old habits."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("python", "cpp", "bench", "examples", "tests", "docs", "cmake", ".ci")
SUFFIXES = {".md", ".py", ".pyi", ".cpp", ".hpp", ".cmake", ".toml", ".txt", ""}

WORDS = (  # each space matches a line break in a comment too
    "anew",
    "for ever",
    "who(?:so|m)?ever",
    "(?:there|where)(?:of|in|upon)",
    "whence",
    "thence",
    "(?:h|th)ither",
    "by lot",
    "(?:his|her) own",
    "once more",
    "(?:is|are) to become",
    "(?:is|are|be|been) told(?! apart)",
    "h[eo]ld against",
    "(?:go|goes|going|gone) on with",
    r"(?<!there\s)(?:is|are) no (?:array|file|list|name|network|number|path|string|vector)s?",
    "no knowing",
    "meant over",
)
PATTERN = re.compile(
    r"\b(?:" + "|".join(WORDS).replace(" ", r"\s+(?:(?://|#)\s+)?") + r")\b", re.IGNORECASE
)


def _files():
    """Yield the files of the repository."""
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file())


def _found(text):
    """Return (line, words) for each match in a text."""
    return [
        (text.count("\n", 0, match.start()) + 1, " ".join(match.group().split()))
        for match in PATTERN.finditer(text)
    ]


def test_the_text_has_no_archaisms():
    paths = [
        path
        for path in sorted(_files())
        if path.suffix in SUFFIXES and path != pathlib.Path(__file__)
    ]
    assert len(paths) > 100
    places = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in paths
        for line, words in _found(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not places, "\n" + "\n".join(places)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The file is\nwritten Anew.", [(2, "Anew")]),
        ("// It would loop for\n// ever, whoever calls it.", [(1, "for // ever"), (2, "whoever")]),
        ("    # x is no\n    # vector", [(1, "is no # vector")]),
        ("a renewed, forever, told apart; if there is no file; of his", []),
    ],
)
def test_the_search_finds_words_across_lines(text, found):
    assert _found(text) == found
