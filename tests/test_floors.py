"""The package is layered: imports point down, without circles."""

import ast
import pathlib
import re

import pytest

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "elman"
FLOORS = re.search(
    r"^```floors\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
)


def _name(path):
    """Return the name of a module, `elman` for the package's own file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The extension is below all of them and has no file here: its stub names classes of all layers.
MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")} | {"elman._core": None}


def _imports(path):
    """Yield the modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _of_statement(node)


def _of_statement(node):
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.name
        else:
            inside = f"{node.module}.{alias.name}"
            yield inside if inside in MODULES else node.module


IMPORTS = {
    name: {to for to in _imports(path) if to in MODULES and to != name}
    for name, path in MODULES.items()
    if path
}


def _unit(module):
    """Return the unit of the list: a file or a folder of the package."""
    return module.split(".")[1] if "." in module else "__init__"


def _floors():
    """Return the floor of each unit, the lowest one 0."""
    lines = FLOORS[1].splitlines()
    return {unit: floor for floor, line in enumerate(reversed(lines)) for unit in line.split()}


def test_every_file_and_folder_has_a_floor():
    assert _floors().keys() == {_unit(module) for module in MODULES}


def test_arrows_point_down():
    floors = _floors()
    up = [
        f"{name} -> {to}"
        for name, imported in IMPORTS.items()
        for to in imported
        if _unit(name) != _unit(to) and floors[_unit(name)] <= floors[_unit(to)]
    ]
    assert up == []


def test_no_file_imports_itself_through_others():
    left = dict(IMPORTS)
    while leaves := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in leaves:
            del left[name]
    assert sorted(left) == []


def _imported_at_once(body):
    """Yield the modules of the package that statements import when they run, in functions not."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _of_statement(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imported_at_once(node.orelse)
        elif not isinstance(node, ast.FunctionDef):
            for part in ("body", "orelse", "finalbody", "handlers"):
                yield from _imported_at_once(getattr(node, part, []))


def test_no_threads_wait_for_each_other_to_import_a_module():
    """Neither for the locks of modules that one imports, nor for that of the package it is in.

    The package `elman` itself is left out: it is imported before any of its modules are used.
    """
    waits = {
        name: {*_imported_at_once(ast.parse(path.read_text()).body), name.rpartition(".")[0]}
        for name, path in MODULES.items()
        if path and name != "elman"
    }
    while leaves := [name for name, others in waits.items() if not others & waits.keys()]:
        for name in leaves:
            del waits[name]
    assert sorted(waits) == []


def test_no_file_is_longer_than_700_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items() if path}
    assert {name: length for name, length in lengths.items() if length > 700} == {}


def _docstrings(tree):
    """Return the nodes of all docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds)]
    return {body[0].value for body in bodies if body and isinstance(body[0], ast.Expr)}


def test_only_the_structure_knows_the_names_of_tensors():
    found = []
    for name, path in MODULES.items():
        if path is None or name == "elman._structure":
            continue
        tree = ast.parse(path.read_text())
        docstrings = _docstrings(tree)
        found += [
            f"{name}: {node.value!r}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if node not in docstrings and re.match(r"(layers\.\d|readout)\.\w*[Wb]_", node.value)
        ]
    assert found == []


def test_no_file_uses_a_private_name_of_another():
    """Except private modules, whose names are public within the package."""
    found = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())) if path else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("elman"):
                found += [
                    f"{name}: {node.module}.{alias.name}"
                    for alias in node.names
                    if alias.name.startswith("_") and not alias.name.startswith("__")
                    if f"{node.module}.{alias.name}" not in MODULES
                ]
    assert found == []
