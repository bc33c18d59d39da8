"""Every error that elman raises on purpose is an ElmanError and the builtin that it resembles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import elman

PACKAGE = Path(elman.__file__).parent
FILES = sorted(set(PACKAGE.rglob("*.py")) - set((PACKAGE / "interop").rglob("*.py")))
BUILTINS = {"Exception", "IndexError", "KeyError", "RuntimeError", "TypeError", "ValueError"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_bare_builtin_is_raised(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            assert not isinstance(raised, ast.Name) or raised.id not in BUILTINS, node.lineno


@pytest.mark.parametrize("name", [name for name in elman.__all__ if name.endswith("Error")])
def test_an_error_is_also_a_builtin(name):
    error = getattr(elman, name)
    assert issubclass(error, elman.ElmanError)
    if error is not elman.ElmanError:
        builtin = error.__mro__[2]
        assert builtin.__module__ == "builtins"
        assert builtin is not Exception
