"""Every example in the README and in the documentation strings runs as it stands."""

import doctest
import pathlib
import re

import numpy as np
import pytest

import elman
import elman._compare
import elman._loading
import elman._network
import elman._table
import elman.activation
import elman.gradients
import elman.initialization
import elman.interop.keras.writing
import elman.interop.onnx
import elman.interop.state_dict
import elman.interop.torch
import elman.reference.forward
import elman.reference.gradients
import elman.reference.judge
import elman.ridge
import elman.sklearn.classifier
import elman.sklearn.regressor
import elman.training.batch
import elman.training.launch
import elman.training.trainer
from elman import _core

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
MODULES = [
    elman,
    elman.activation,
    elman.initialization,
    elman._compare,
    elman.interop.keras.writing,
    elman.interop.onnx,
    elman.interop.state_dict,
    elman.interop.torch,
    elman._network,
    elman._table,
    elman.pure,
    elman.reference.forward,
    elman.reference.gradients,
    elman.reference.judge,
    elman.ridge,
    elman.sklearn.classifier,
    elman.sklearn.regressor,
    elman._loading,
    elman.training.batch,
    elman.training.launch,
    elman.training.trainer,
    elman.gradients,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_of_a_module_run(module):
    failures, examples = doctest.testmod(module)
    assert failures == 0
    assert examples > 0


def test_the_example_of_step_runs():
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest(_core.Stream.step.__doc__, {}, "Stream.step", None, 0)
    assert test.examples
    assert runner.run(test).failed == 0


def test_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "verified" in capsys.readouterr().out


def test_the_page_about_training_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "training.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```") // 2
    names = {}
    for code in blocks:
        exec(compile(code, "training.md", "exec"), names)


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
