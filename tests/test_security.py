"""SECURITY.md: the limits in it are those of the code."""

from __future__ import annotations

import pathlib
import re

import pytest

from elman import _container
from elman.files import lines, opening
from elman.interop import _archive

pytestmark = pytest.mark.any_isa

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text()
KIB, MIB = 2**10, 2**20


def limits():
    """Return the limits of the page: their texts by their names."""
    rows = PAGE.partition("| limit | |\n|---|---|\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (.*) \| (.*) \|$", rows, re.MULTILINE))


def test_the_limits_are_those_of_the_code():
    source = (ROOT / "cpp/src/network.cpp").read_text()
    (shift,) = map(int, re.findall(r"numbers_of_64_MiB = \(Index\(1\) << (\d+)\)", source))
    (times,) = map(int, re.findall(r"layout\.size\(\) / (\d+) > parameters\.size\(\)", source))
    packed = 2**shift // MIB
    assert packed == 64
    assert limits() == {
        "header of a model file or checkpoint": f"{_container.MAX_HEADER_BYTES // KIB} KiB",
        "tensors of a model file or checkpoint": f"{_container.MAX_TENSORS}",
        "nesting of JSON": f"{_container.MAX_NESTING} levels",
        # its bytes, the tensors, and the packed weights; the header in Python's objects
        "memory to load a model file": f"{2 + times} times its size and {packed + 16} MiB",
        "file of another framework": f"{_archive.MAX_FILE_BYTES // MIB} MiB",
        "files in a zip archive": f"{_archive.MAX_ENTRIES}",
        "expansion of a compressed table": (
            f"{opening.RATIO} times its size and {opening.SMALL // MIB} MiB"
        ),
        "line of a table": f"{lines.LONGEST // MIB} MiB",
    }


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/files.md"])
def test_the_pages_about_files_link_to_it(page):
    link = "SECURITY.md" if page == "README.md" else "../SECURITY.md"
    assert f"]({link})" in (ROOT / page).read_text()
