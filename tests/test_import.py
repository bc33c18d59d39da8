"""Side effects of `import elman`, and the choice of the instruction set."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

import elman
from fixtures import make_stub_docstrings

FOLDER = str(pathlib.Path(elman.__file__).parent.parent)


def python(code, *, path=FOLDER, check=True, **variables):
    """Run code in a new interpreter that finds this elman; return what it did."""
    environment = os.environ | {"PYTHONPATH": str(path)} | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=check,
        env=environment,
        timeout=60,
    )


def test_importing_brings_in_no_module_but_its_own():
    added = python("import sys; a = set(sys.modules); import elman; print(*set(sys.modules) - a)")
    names = added.stdout.split()
    assert "elman" in names
    assert [name for name in names if name.split(".")[0] != "elman"] == []


def test_importing_and_asking_for_the_instruction_set_does_not_import_numpy():
    code = "import sys, elman; elman.build_info(); dir(elman); print('numpy' in sys.modules)"
    assert python(code).stdout.split() == ["False"]


def test_the_errors_and_pure_python_need_no_numpy():
    code = "import sys, elman; elman.ShapeError; elman.pure; print('numpy' in sys.modules)"
    assert python(code).stdout.split() == ["False"]


def test_a_first_call_imports_no_module_of_files_frames_tables_or_training():
    code = """
import sys, numpy
before = set(sys.modules)  # the oldest NumPy imports json itself
import elman
elman.Network(input_size=1, hidden_size=2, output_size=1)([[1.0]])
print(*set(sys.modules) - before)
"""
    names = set(python(code).stdout.split())
    assert "elman._network" in names
    later = {"_calendar", "_container", "_files", "_format", "_frame", "_ragged", "_table"}
    later |= {"files", "trace", "training"}
    assert names & {"json", *(f"elman.{name}" for name in later)} == set()


def test_loading_a_model_does_not_import_the_reference(tmp_path):
    path = tmp_path / "model.safetensors"
    elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0).save(path)
    code = f"import sys, elman; elman.load({str(path)!r}); print('elman.reference' in sys.modules)"
    assert python(code).stdout.split() == ["False"]


def test_importing_leaves_the_floating_point_mode_alone():
    code = """
import elman, threading, numpy as np
net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
net(np.ones((4, 1)))
tiny = []
thread = threading.Thread(target=lambda: tiny.append(np.float64(5e-324) / 2 * 2 + 5e-324))
thread.start(); thread.join()
print(np.finfo(float).smallest_subnormal > 0, tiny[0] > 0)
"""
    assert python(code).stdout.split() == ["True", "True"]


def test_a_wrong_name_in_the_variable_is_an_error_at_import_that_names_the_sets():
    failed = python("import elman", check=False, ELMAN_ISA="mmx")
    assert failed.returncode == 1
    sets = ", ".join(elman.available_isas())
    assert re.search(f"ELMAN_ISA: .* {sets}.*, got 'mmx'", failed.stderr)


def test_a_set_that_the_processor_lacks_is_named_as_such():
    lacking = set(elman.build_info()["built_isas"]) - set(elman.available_isas())
    if not lacking:
        pytest.skip("this processor has all of them")
    name = lacking.pop()
    with pytest.raises(elman.IsaError, match=f"got '{name}'.*processor"):
        elman.set_isa(name)
    failed = python("import elman", check=False, ELMAN_ISA=name)
    assert re.search(f"ELMAN_ISA: .* got '{name}'.*processor", failed.stderr)


@pytest.mark.parametrize("name", ["scalar", elman.available_isas()[-1]])
def test_the_variable_chooses_the_set(name):
    code = """
import elman
net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
print(elman.isa(), elman.build_info()["isa"], net.isa)
"""
    assert python(code, ELMAN_ISA=name).stdout.split() == [name] * 3


def test_an_empty_variable_and_none_choose_the_best_set():
    best = elman.available_isas()[-1]
    code = "import elman; print(elman.isa())"
    assert python(code, ELMAN_ISA="").stdout.split() == [best]
    assert python(code, ELMAN_ISA=None).stdout.split() == [best]


def test_set_isa_decides_for_networks_that_are_built_later(isa):
    assert elman.isa() == isa
    net = elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0)
    elman.set_isa("scalar")
    assert net.isa == isa
    assert elman.Network(input_size=1, hidden_size=2, output_size=1, seed=0).isa == "scalar"


@pytest.mark.parametrize("name", ["mmx", "", "AVX2", "avx2 ", 3, None])
def test_setting_a_set_that_does_not_exist_is_an_error_and_changes_nothing(name):
    before = elman.isa()
    with pytest.raises(elman.IsaError, match=f"expected .* scalar, .*got '{name}'"):
        elman.set_isa(name)
    assert elman.isa() == before


def test_an_isa_error_is_a_runtime_error_and_an_elman_error():
    assert issubclass(elman.IsaError, RuntimeError)
    assert issubclass(elman.IsaError, elman.ElmanError)


def test_the_sets_begin_with_the_definition_and_all_are_built():
    assert elman.available_isas()[0] == "scalar"
    assert set(elman.available_isas()) <= set(elman.build_info()["built_isas"])


def test_build_info_says_what_the_build_is_made_of(isa):
    info = elman.build_info()
    assert set(info) == {
        "version",
        "numerics",
        "isa",
        "built_isas",
        "available_isas",
        "promises",
        "compiler",
        "flags",
        "sources",
        "eigen",
        "pybind11",
    }
    assert info["isa"] == isa
    assert info["numerics"] >= 1
    assert info["eigen"].split(".")[0].isdigit()
    assert info["compiler"].split()[0] in ("GCC", "Clang", "MSVC")
    assert set(info["flags"]) == {"core", *info["built_isas"]}
    assert all("-ffp-contract=off" in flags for flags in info["flags"].values())
    if "avx2" in info["flags"]:
        assert "-mavx2 -mfma" in info["flags"]["avx2"]
    assert re.fullmatch("[0-9a-f]{16}", info["sources"])
    promises = ["D1", "D2", "D3", "D4", "D5", "D6"]
    if isa == "sse2":  # no fused multiply-add
        promises.remove("D5")
    assert info["promises"] == promises


def test_the_version_is_that_of_the_installed_package():
    try:
        installed = importlib.metadata.version("elman")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("elman was not installed by pip")
    assert elman.__version__ == elman.build_info()["version"] == installed


def test_the_benchmark_and_its_peers_are_not_installed():
    assert importlib.util.find_spec("elman.peers") is None
    settings = tomllib.loads(
        (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert settings["tool"]["scikit-build"]["wheel"]["packages"] == ["python/elman"]


def test_dir_lists_the_public_names_and_each_of_them_is_there():
    assert set(dir(elman)) == {*elman.__all__, "__version__"}
    assert sorted(elman.__all__) == elman.__all__
    for name in dir(elman):
        assert getattr(elman, name) is not None


@pytest.mark.parametrize("name", ["dynamics", "errors", "pure", "reference", "training"])
def test_a_public_module_is_there_after_importing_the_package(name):
    code = f"import elman; print(elman.{name}.__name__)"
    assert python(code).stdout.split() == [f"elman.{name}"]


def test_listing_all_names_needs_no_extra():
    code = """
import inspect, pydoc, sys
for name in ("dask", "h5py", "matplotlib", "onnx", "ray", "sklearn"):
    sys.modules[name] = None
import elman
pydoc.render_doc(elman)
inspect.getmembers(elman)
from elman import *
print("done")
"""
    assert python(code).stdout.split()[-1] == "done"


def test_a_module_of_an_extra_is_there_when_asked_for_and_not_listed(monkeypatch):
    """Like `elman.sklearn`: see its tests."""
    pytest.importorskip("matplotlib")
    monkeypatch.delattr(elman, "plot", raising=False)
    assert callable(elman.plot.history)
    assert not {"dask", "plot", "ray", "sklearn"} & {*dir(elman), *elman.__all__}


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_module_for_clusters_is_there_after_importing_the_package(name):
    code = f"import elman; print(callable(elman.{name}.train))"
    assert python(code).stdout.split() == ["True"]


def test_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse(pathlib.Path(elman.__file__).read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.name == alias.asname
                whole = f"{node.module}.{alias.name}" if node.module == "elman" else node.module
                found[alias.name] = whole
    assert found == elman._HOMES | elman._EXTRAS


PACKAGES = ("dynamics", "forecasting", "plot", "reference", "sklearn", "trace", "training", "views")
PACKAGES += ("_compare", "interop.keras", "interop.torch")


@pytest.mark.parametrize("name", PACKAGES)
def test_names_imported_on_use_are_those_that_type_checkers_see(name):
    pytest.importorskip({"plot": "matplotlib"}.get(name, name if name == "sklearn" else "numpy"))
    package = importlib.import_module(f"elman.{name}")
    tree = ast.parse(pathlib.Path(package.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    found = {}
    for node in checked.body:
        if node.module.startswith(package.__name__):
            module = importlib.import_module(node.module)
            found |= {alias.name: getattr(module, alias.name) for alias in node.names}
    own = {name: value for name, value in vars(package).items() if name in package.__all__}
    assert (found | own).keys() == set(package.__all__) == {*dir(package)}
    assert all(getattr(package, name) is value for name, value in found.items())
    assert not found.keys() & own.keys()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'") as caught:
        package.nothing  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("nothing", package)  # to suggest a near name


FROM_THREADS = """
import importlib, sys, threading, time
from importlib.machinery import PathFinder, SourceFileLoader
import elman

class Slow(SourceFileLoader):
    def create_module(self, spec):
        time.sleep(0.3)  # until the other thread waits for this package

class Finder:
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        if name == "elman.reference":
            spec.loader = Slow(name, spec.origin)
        return spec

def load(name):
    try:
        importlib.import_module(name).run
    except BaseException as error:
        print(repr(error))

sys.meta_path.insert(0, Finder())
names = ["elman.reference", "elman.reference.forward"]
threads = [threading.Thread(target=load, args=[name]) for name in names]
for thread in threads:
    thread.start()
    time.sleep(0.1)
for thread in threads:
    thread.join()
"""


def test_a_package_and_its_module_can_be_imported_from_two_threads():
    assert python(FROM_THREADS).stdout == ""


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Elman'"):
        elman.Elman  # noqa: B018


def test_without_the_extension_the_error_says_what_to_do(tmp_path):
    source = pathlib.Path(elman.__file__).parent
    ignored = shutil.ignore_patterns("_core*.so", "_core*.pyd", "__pycache__")
    shutil.copytree(source, tmp_path / "elman", ignore=ignored)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import elman"
    failed = python(code, path=tmp_path, check=False)
    assert "No module named 'elman._core'" in failed.stderr
    assert "pip install ." in failed.stderr


def test_the_stub_has_the_docstrings_of_the_extension():
    """After a change: `python tests/fixtures/make_stub_docstrings.py`."""
    source = make_stub_docstrings.STUB.read_text()
    assert make_stub_docstrings.differences(source) == []
    spoiled = source.replace("Return the name of the instruction set in use.", "")
    assert make_stub_docstrings.differences(spoiled) == ["isa"]


@pytest.mark.parametrize("streams", [elman.Stream, elman.StreamPool])
def test_every_public_member_of_a_stream_has_a_docstring(streams):
    names = [name for name in dir(streams) if not name.startswith("_")]
    assert {"step", "run", "state", "reset", "copy", "network"} <= set(names)
    assert [name for name in names if not getattr(streams, name).__doc__] == []
