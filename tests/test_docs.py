"""Every example in the pages and in the documentation strings runs as it stands."""

import collections
import contextlib
import doctest
import importlib
import pathlib
import re
import signal
import sys
import tempfile
from typing import NamedTuple

import numpy as np
import pytest

import elman
from elman import _core, cli
from fixtures import make_reference

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = pathlib.Path(elman.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text()
)
FOLDERS = ("docs", "cpp", "bench", "examples", "python")
MARKDOWN = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md")))
)


class Block(NamedTuple):
    """A fenced block of a page; a comment before it may say how to run it."""

    needs: str  # a package, without which the block is skipped; it then stands alone
    varies: bool  # the numbers that it prints depend on the machine: words are compared
    language: str
    code: str


def blocks_of(page):
    """Return the fenced blocks of a page."""
    text = (ROOT / page).read_text()
    pattern = r"(?:<!-- (?:needs (\w+)|(numbers vary)) -->\n)?```(\w*)\n(.*?)```"
    found = re.findall(pattern, text, re.DOTALL)
    assert len(found) == text.count("```") // 2
    return [Block(needs, bool(varies), *rest) for needs, varies, *rest in found]


REFERENCE = "docs/reference.md"  # its blocks are those of the documentation strings
PAGES = [p for p in MARKDOWN if p.startswith("docs/") and p != REFERENCE and blocks_of(p)]
NEEDING = [
    (page, number) for page in PAGES for number, block in enumerate(blocks_of(page)) if block.needs
]


# --- documentation strings ------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(module):
    failures, examples = doctest.testmod(importlib.import_module(module))
    assert failures == 0
    assert examples > 0


def test_the_example_of_step_runs():
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest(_core.Stream.step.__doc__, {}, "Stream.step", None, 0)
    assert test.examples
    assert runner.run(test).failed == 0


def test_the_reference_is_what_the_documentation_strings_say():
    assert (ROOT / REFERENCE).read_text() == make_reference.page(), (
        "cd tests && python -m fixtures.make_reference"
    )
    modules = {"plot", "pure", "reference", "sklearn", "training"}
    assert make_reference.listed() == set(elman.__all__) - modules


# --- pages ----------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A folder with the files that the pages read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    sunspots = (PACKAGE / "data" / "sunspots.csv").read_bytes()
    (tmp_path / "sunspots.csv").write_bytes(sunspots)
    with np.load(ROOT / "tests" / "fixtures" / "interop_keras.npz") as fixtures:
        (tmp_path / "model.keras").write_bytes(fixtures["simple.keras"].tobytes())
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(here, page):
    names = {"__name__": "page"}
    for block in blocks_of(page):
        assert block.language in ("python", "console"), block
        if block.needs:
            continue
        if block.language == "python":
            exec(compile(block.code, page, "exec"), names)
        else:
            run_commands(block)


@pytest.mark.parametrize(("page", "number"), NEEDING)
def test_a_block_that_needs_another_framework_runs(here, page, number):
    block = blocks_of(page)[number]
    pytest.importorskip(block.needs)
    exec(compile(block.code, page, "exec"), {"__name__": "page"})


def test_the_readme_says_what_it_does(here, capsys):
    names = {}
    for block in blocks_of("README.md"):
        exec(compile(block.code, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("verified")
    truth = 20 + 5 * np.sin(np.arange(400, 424) / 5)
    assert np.abs(names["future"][:, 0] - truth).max() < 1  # of a swing of 10


def run_commands(block):
    """Run the commands of a console block; what they print must be what the page shows."""
    first, *commands = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
    assert not first, "a console block begins with a command"
    vary = block.varies or "D5" not in elman.build_info()["promises"]
    for command in commands:
        line, _, shown = command.partition("\n")
        line, _, source = line.partition(" < ")
        program, *arguments = line.split()
        assert program == "elman", line
        said = output_of(arguments, pathlib.Path(source).read_bytes() if source else b"")
        shown, said = (words_of(text, numbers=not vary) for text in (shown, said))
        assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), said


def output_of(arguments, stdin):
    """Run the command line in this process; return what it prints."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+") as source,
    ):
        source.buffer.write(stdin)
        source.seek(0)
        for name, value in (("argv", ["elman", *arguments]), ("stdin", source)):
            patch.setattr(sys, name, value)
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, out)
        pipe = signal.getsignal(signal.SIGPIPE)
        try:
            with contextlib.suppress(SystemExit):
                cli.main()
        finally:
            signal.signal(signal.SIGPIPE, pipe)
        out.seek(0)
        return out.read()


def words_of(text, *, numbers):
    """Return the words of a text in one line, without those that hold digits if wished."""
    words = [word for word in text.split() if numbers or not re.search(r"[\d─]", word)]
    return " ".join(words) + "\n"


# --- links ----------------------------------------------------------------------------------------


def anchors_of(page):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found, times = set(re.findall(r'<a id="([^"]+)">', text)), collections.Counter()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{times[slug]}" if times[slug] else slug)
        times[slug] += 1
    return found


@pytest.mark.parametrize("page", MARKDOWN)
def test_relative_links_and_their_anchors_exist(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link
