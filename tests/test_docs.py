"""Every example in the pages and the docstrings runs as written."""

import collections
import doctest
import importlib
import inspect
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import elman
from elman import _core
from elman.cli import app, bench, demo, train
from elman.training import recipe
from fixtures import command, kernel_words, make_pages, make_reference, pages, pictures
from fixtures.pages import blocks_of

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


REFERENCE = "docs/reference.md"  # its blocks are the examples in docstrings
PAGES = [p for p in MARKDOWN if p.startswith("docs/") and p != REFERENCE and blocks_of(p)]
CLUSTERS = ("distributed", "ray", "pyspark")  # blocks that start processes
NEEDING = [
    pytest.param(
        page,
        number,
        marks=[pytest.mark.clusters] if block.needs in CLUSTERS else [],
        id=f"{page}-{number}",
    )
    for page in PAGES
    for number, block in enumerate(blocks_of(page))
    if block.needs
]


# --- docstrings -----------------------------------------------------------------------------------


def _defaults(function):
    """Return the defaults of a function by argument."""
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_the_table_of_defaults_has_those_of_the_code():
    sklearn = pytest.importorskip("elman.sklearn")
    ours = _defaults(elman.Network) | _defaults(elman.train)
    theirs, plain = _defaults(sklearn.ElmanRegressor), train.Plain()
    expected = {
        "dtype": (ours["dtype"], theirs["dtype"], recipe.DTYPE),
        "clip_norm": (None, theirs["clip_norm"], recipe.CLIP_NORM),
        "init": (ours["init"], theirs["init"], ours["init"]),
        "epochs": (ours["epochs"], theirs["max_iter"], plain.epochs),
        "batch_size": (ours["batch_size"], theirs["batch_size"], plain.batch_size),
        "bptt_steps": (None, None, train.SERIES_STEPS),
        "hidden_size": (None, theirs["hidden_size"], plain.hidden),
        "output_activation": (ours["output_activation"], "identity", "identity"),
        "outputs": ("all", theirs["outputs"], None),
        "seed": (ours["seed"], theirs["random_state"], _defaults(app.train)["seed"]),
        "validation": (ours["validation"], None, _defaults(app.train)["validation"]),
    }
    text = (ROOT / "docs" / "training.md").read_text().partition("## Defaults")[2]
    for name, values in expected.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", text, re.MULTILINE)
        for cell, value in zip(row.split(" | ")[:3], values, strict=True):
            shown = f'"{value}"' if isinstance(value, str) else f"{value or 0:g}"
            assert value is None or shown in re.findall(r'"\w+"|[\d.]+', cell), (name, value)


def test_the_page_on_stability_lists_the_public_modules():
    text = (ROOT / "docs" / "stability.md").read_text()
    first = text.partition("## What is public\n\n")[2].partition("\n\n")[0]
    modules = {f"elman.{name}" for name, home in elman._HOMES.items() if home == f"elman.{name}"}
    modules |= {*elman._EXTRAS.values()}
    assert modules >= {*make_reference.MODULES}
    assert sorted(re.findall(r"`(elman\.\w+)`", first)) == sorted(modules)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(module):
    if module == "elman.dask":
        pytest.importorskip("distributed")
    failures, examples = doctest.testmod(importlib.import_module(module))
    assert failures == 0
    assert examples > 0


@pytest.mark.parametrize("streams", [_core.Stream, _core.StreamPool])
def test_the_example_of_step_runs(streams):
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest(streams.step.__doc__, {}, "step", None, 0)
    assert test.examples
    assert runner.run(test).failed == 0


def test_the_reference_is_generated_from_the_docstrings():
    assert (ROOT / REFERENCE).read_text() == make_reference.page(), (
        "cd tests && python -m fixtures.make_reference"
    )
    modules = {"dynamics", "errors", "pure", "reference", "trace", "training", "views"}
    assert make_reference.listed() == set(elman.__all__) - modules


# --- pages ----------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A folder with the files that the pages read; timings run once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(demo, "ROUNDS", 1)
    sunspots = (PACKAGE / "data" / "sunspots.csv").read_bytes()
    (tmp_path / "sunspots.csv").write_bytes(sunspots)
    with np.load(ROOT / "tests" / "fixtures" / "interop_keras.npz") as fixtures:
        (tmp_path / "model.keras").write_bytes(fixtures["simple.keras"].tobytes())
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(here, page):
    names, value, printed = {"__name__": "page"}, None, ""
    for block in blocks_of(page):
        assert block.language in ("python", "console", "text"), block
        if block.needs:
            continue
        if block.language == "python":
            value, printed = pages.run(block, page, names)
        elif block.language == "text":
            compare(block.code, printed, vary=block.varies)
        else:
            run_commands(block)
        if block.picture:
            compare_picture(ROOT / "docs" / block.picture, pages.figure_of(value))


@pytest.mark.parametrize(("page", "number"), NEEDING)
def test_a_block_that_needs_another_framework_runs(here, page, number):
    block = blocks_of(page)[number]
    pytest.importorskip(block.needs)
    if block.needs in CLUSTERS:
        run_program(block, here)
        return
    pages.run(block, page, {"__name__": "page"})


def test_the_readme_runs_and_forecasts_the_series(here):
    names, said = {}, ""
    for block in blocks_of("README.md"):
        assert block.language in ("python", "console"), block
        if block.language == "python":
            said += pages.run(block, "README.md", names)[1]
        else:
            run_commands(block)
    assert said.startswith("verified")
    truth = 20 + 5 * np.sin(np.arange(400, 424) / 5)
    assert np.abs(names["future"][:, 0] - truth).max() < 1  # of a swing of 10


def compare_picture(path, figure):
    """Compare the data that a picture shows with those that its page draws now."""
    shown, drawn = pictures.described(path.read_text()), pictures.summary(figure)
    differences = pictures.differences(shown, drawn)
    assert not differences, f"cd tests && python -m fixtures.make_pages: {differences}"


def run_program(block, folder):
    """Run a block as a program of its own, which ends with all that it starts."""
    if block.needs == "pyspark" and shutil.which("java") is None:
        pytest.skip("Java is not installed")
    code = "if __name__ == '__main__':\n" + textwrap.indent(block.code, "    ")
    (folder / "program.py").write_text(code)
    run = [sys.executable, "program.py"]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(run, capture_output=True, timeout=120, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def run_commands(block):
    """Run the commands of a console block; what they print must be what the page shows."""
    first, *commands = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
    assert not first, "a console block begins with a command"
    for text in commands:
        line, _, shown = text.partition("\n")
        line, _, source = line.partition(" < ")
        program, *arguments = line.split()
        assert program == "elman", line
        stdin = pathlib.Path(source).read_bytes() if source else b""
        done = command.run(*arguments, stdin=stdin)
        compare(shown, (done.stdout + done.stderr).decode(), vary=block.varies)


def compare(shown, said, *, vary):
    """Compare what a page shows, where ... stands for anything, with what was printed."""
    vary = vary or "D5" not in elman.build_info()["promises"]
    shown, said = (words_of(text, numbers=not vary) for text in (shown, said))
    assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), said


def words_of(text, *, numbers):
    """Return the words of a text in one line, without what depends on the machine if wished."""
    varying = re.compile(r"[\d─]|neon|scalar")
    words = [word for word in text.split() if numbers or not varying.search(word)]
    return " ".join(words) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", blocks_of("examples/README.md"), ids=lambda block: block.code.split()[2]
)
def test_an_example_prints_what_the_page_shows(here, block):
    line, _, shown = block.code.partition("\n")
    program, path, *arguments = line.removeprefix("$ ").split()
    assert program == "python"
    if "control_loop" in path:
        pytest.importorskip("torch")
    run = [sys.executable, ROOT / path, *arguments]
    done = subprocess.run(run, capture_output=True, check=True, timeout=600, encoding="utf-8")
    compare(shown, done.stdout, vary=block.varies)


@pytest.mark.parametrize("name", [c.callback.__name__ for c in app.app.registered_commands])
def test_the_page_names_every_option_of_a_command(name):
    section = re.search(
        rf"^## elman {name}\n(.*?)(?=^## |\Z)",
        (ROOT / "docs" / "command_line.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    usage = command.answer(name, "--help").decode().partition("Options:")[2]
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", usage)) - {"--help"}
    first_cells = re.findall(r"^\| (`-.*?) \|", section[1], re.MULTILINE)
    assert options == set(re.findall(r"--[a-z-]+", " ".join(first_cells)))


def test_the_list_for_a_reader_of_the_kernels_has_the_words_it_says():
    files, total = kernel_words.counted()
    assert files == {file: stated for file, _, stated in kernel_words.rows()}
    assert f"({total:,} words at 250 a minute" in kernel_words.section()
    assert total < 10.5 * 250
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/test_*.py"))
    for name in re.findall(r"`(test_\w+)(\.py)?`", kernel_words.section()):
        here = (ROOT / "tests" / "".join(name)).exists() if name[1] else f"def {name[0]}(" in tests
        assert here, name


# --- notebooks and pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("page", make_pages.NOTEBOOKS)
def test_a_notebook_is_made_from_its_page(page):
    kept = (ROOT / make_pages.notebook_path(page)).read_text(encoding="utf-8")
    assert kept == make_pages.notebook(page), "cd tests && python -m fixtures.make_pages"


@pytest.mark.parametrize("page", make_pages.NOTEBOOKS)
def test_the_links_of_a_notebook_lead_to_files_and_its_headings(page):
    path = ROOT / make_pages.notebook_path(page)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(c["source"]) + "\n" for c in cells if c["cell_type"] == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {heading.replace(" ", "-") for heading in headings}  # as Jupyter makes them
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        assert re.match(r"\w+:", link) or (path.parent / name).exists(), link
        assert name or anchor in anchors, link


def test_every_picture_belongs_to_a_page():
    kept = {path.name for path in (ROOT / "docs" / "pictures").glob("*")}
    shown = {block.picture for page in PAGES for block in blocks_of(page)} - {""}
    assert kept == {pathlib.Path(path).name for path in shown}


def test_a_picture_says_what_it_shows():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 4], [0.5, 0.25, 0.125])
    axes.set_ylabel("loss < 1 & falling")
    svg = pictures.svg_of(figure, "three losses")
    assert svg == pictures.svg_of(figure, "three losses")
    shown = pictures.described(svg)
    assert pictures.differences(shown, pictures.summary(figure)) == []
    axes.lines[0].set_ydata([0.5, 0.25, 0.15])
    assert pictures.differences(shown, pictures.summary(figure))[0].startswith("axes 0, lines")
    axes.set_ylabel("loss")
    axes.lines[0].set_ydata([0.5, 0.25, 0.125])
    assert pictures.differences(shown, pictures.summary(figure))[0].startswith("axes 0, texts")


# --- links ----------------------------------------------------------------------------------------


def anchors_of(page):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found, times = set(re.findall(r'<a id="([^"]+)">', text)), collections.Counter()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        slug = pages.slug_of(heading)
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
