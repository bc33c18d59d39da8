"""Finding Eigen at build time, and the error if it is missing."""

import os
import pathlib
import subprocess
import sys

import pytest

from fixtures import cpp_build

# CMake compiles a test program to detect the compiler.
pytestmark = [pytest.mark.any_isa, pytest.mark.builds]


def configure(tmp_path, *options, **environment):
    """Let CMake look for Eigen; return its exit status and its output in one line."""
    done = subprocess.run(
        [
            cpp_build.tool("cmake"),
            *("-S", str(cpp_build.ROOT), "-B", str(tmp_path), "-G", "Ninja", "-DELMAN_PYTHON=OFF"),
            f"-DCMAKE_MAKE_PROGRAM={cpp_build.tool('ninja')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            *options,
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def prefix():
    """The prefix of the package cmeel-eigen."""
    folders = (pathlib.Path(path, "cmeel.prefix") for path in sys.path)
    return next(folder for folder in folders if (folder / "share/eigen3").is_dir())


def test_eigen_of_the_package_index_is_found_beside_the_python_that_builds(tmp_path, prefix):
    status, said = configure(tmp_path)
    assert status == 0
    assert f"{prefix}/share/eigen3/cmake" in said


@pytest.mark.parametrize(
    ("name", "way"), [("Eigen3_ROOT", "environment"), ("Eigen3_DIR", "option")]
)
def test_eigen_is_taken_from_the_given_folder(tmp_path, prefix, name, way):
    eigen = tmp_path / "mine"
    eigen.symlink_to(prefix)
    where = str(eigen if name == "Eigen3_ROOT" else eigen / "share/eigen3/cmake")
    if way == "option":
        status, said = configure(tmp_path / "build", f"-D{name}={where}")
    else:
        status, said = configure(tmp_path / "build", **{name: where})
    assert status == 0
    assert f"{eigen}/share/eigen3/cmake" in said


def test_without_eigen_the_build_names_the_three_ways_to_have_it(tmp_path):
    status, said = configure(tmp_path, "-DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON")
    assert status != 0
    assert "elman needs Eigen 3.4 or newer" in said
    for way in ("-DEigen3_DIR=", "-DEigen3_ROOT=", "pip install cmeel-eigen", "libeigen3-dev"):
        assert way in said
