"""The installs of the benchmark: what is installed, what is timed, and the page."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import installs
import page
import peers
import results

pytestmark = pytest.mark.any_isa


@pytest.mark.parametrize("name", ["elman", "numpy", "numba", "jax"])
def test_each_program_makes_a_prediction(name, tmp_path):
    if name in ("numba", "jax"):
        pytest.importorskip(name, reason=f"needs {name}: pip install elman[bench]")
    programs = installs.programs_of([name], tmp_path)
    assert set(programs) == {"elman", name}
    subprocess.run([sys.executable, "-W", "ignore", "-c", programs[name]], check=True)


def test_every_peer_that_pip_can_install_has_a_program():
    assert set(peers.TITLES) - set(installs.NAMES) == {"pure_python", "libxsmm", "eigen"}


@pytest.fixture
def wheels(tmp_path):
    """A folder with a wheel of a module of one line."""
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: small\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {f"small-1.dist-info/{name}": text for name, text in about.items()}
    files |= {"small.py": "answer = 1\n"}
    record = "".join(f"{name},,\n" for name in [*files, "small-1.dist-info/RECORD"])
    with zipfile.ZipFile(tmp_path / "small-1-py3-none-any.whl", "w") as wheel:
        for name, text in (files | {"small-1.dist-info/RECORD": record}).items():
            wheel.writestr(name, text)
    return tmp_path


def test_an_install_is_timed_from_nothing_to_the_prediction(wheels):
    program = "import small, sys; assert small.answer == 1; assert sys.prefix != sys.base_prefix"
    ns, size = installs.install(["small"], program, wheels)
    assert ns > 0
    assert size > len("answer = 1\n")
    with pytest.raises(subprocess.CalledProcessError):
        installs.install(["small"], "import no_such_module", wheels)


def test_the_new_python_sees_no_packages_of_this_one(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "here")
    monkeypatch.setenv("ELMAN_ISA", "scalar")
    environment = installs._environment()
    assert "PYTHONPATH" not in environment
    assert environment["ELMAN_ISA"] == "scalar"


@pytest.mark.parametrize(("fetched", "names"), [("elman", ["elman"]), ("numpy", [])])
def test_what_pip_cannot_install_is_left_out(monkeypatch, fetched, names):
    monkeypatch.setattr(installs, "requirements", lambda peer: [f"{peer}==1"])
    monkeypatch.setattr(installs, "fetched", lambda peer, *_: peer == fetched)
    monkeypatch.setattr(installs, "install", lambda wanted, *_: (2e9, 3_000_000))
    found, left_out = installs.installs(["numpy"], 2)
    facts = {"mode": "", "times": [2_000_000_000] * 2, "bytes": 3_000_000}
    assert found == [{"name": name} | facts for name in names]  # all are compared with elman
    (missing,) = {"elman", "numpy"} - {fetched}
    assert left_out == {f"install, {missing}": f"pip cannot install {missing}==1"}


def test_what_makes_no_prediction_is_left_out(monkeypatch):
    def install(wanted, *_):
        if wanted == ["numpy==1"]:
            raise subprocess.CalledProcessError(1, "python")
        return 1e9, 1

    monkeypatch.setattr(installs, "requirements", lambda peer: [f"{peer}==1"])
    monkeypatch.setattr(installs, "fetched", lambda *_: True)
    monkeypatch.setattr(installs, "install", install)
    found, left_out = installs.installs(["numpy"], 3)
    assert [(facts["name"], len(facts["times"])) for facts in found] == [("elman", 3)]
    assert left_out == {"install, numpy": "the new environment makes no prediction"}


def test_a_wheel_that_is_there_is_not_built_again(monkeypatch, tmp_path):
    commands = []

    class Done:
        returncode = 0

    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command) or Done)
    assert installs.fetched("elman", ["elman==1"], tmp_path)
    (tmp_path / "elman-1-py3-none-any.whl").touch()
    assert installs.fetched("elman", ["elman==1"], tmp_path)
    assert [command[3] for command in commands] == ["wheel", "download", "download"]
    assert Path(commands[0][-1]) == installs.ROOT


def test_the_page_has_seconds_and_megabytes():
    found = [
        {"name": "elman", "mode": "", "times": [2e9, 2e9], "bytes": 50_000_000},
        {"name": "torch", "mode": "", "times": [30e9, 31e9], "bytes": 800_000_000},
    ]
    empty = {key: [] for key in ("cases", "imports", "cold_start", "limits", "yardsticks", "tail")}
    result = results.derived(empty | {"install": found})
    text = page._installs(result["install"])
    assert "| elman | 2.00 | 1.00 | 50.0 |" in text
    assert "| PyTorch | 30.5 | 15.2 (15.1 to 15.4) | 800 |" in text
    assert "Of 1 comparisons with a peer" in page.losses(result)
    assert results.derived(empty)["install"] == []  # as in a result of an earlier benchmark
