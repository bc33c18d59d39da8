"""Every example in the README and in the documentation strings runs as it stands."""

import doctest
import importlib
import pathlib
import re

import numpy as np
import pytest

import elman
from elman import _core

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PACKAGE = pathlib.Path(elman.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text()
)


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


def test_the_readme_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for code in blocks:
        exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("verified")
    truth = 20 + 5 * np.sin(np.arange(400, 424) / 5)
    assert np.abs(names["future"][:, 0] - truth).max() < 1  # of a swing of 10


@pytest.mark.parametrize("name", ["training.md", "streaming.md"])
def test_a_page_runs_from_top_to_bottom(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / name).read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```") // 2
    names = {}
    for code in blocks:
        exec(compile(code, name, "exec"), names)


@pytest.mark.parametrize("number", range(6))
def test_the_page_about_other_frameworks_runs(monkeypatch, tmp_path, number):
    page = (ROOT / "docs" / "coming_from.md").read_text()
    blocks = re.findall(r"(?:<!-- needs (\w+) -->\n)?```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6 == page.count("```") // 2
    needs, code = blocks[number]
    if needs:
        pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    with np.load(ROOT / "tests" / "fixtures" / "interop_keras.npz") as fixtures:
        pathlib.Path("model.keras").write_bytes(fixtures["simple.keras"].tobytes())
    exec(compile(code, "coming_from.md", "exec"), {"__name__": "page"})
