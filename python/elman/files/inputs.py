"""Find the files of a source: a file, a folder, a pattern or a list."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from elman import _files
from elman._text import printable
from elman.errors import ArgumentError, TableError

if TYPE_CHECKING:
    from elman._files import Path

SUFFIXES = (".npy", ".parquet")  # of the files that are read in folders


class Input(NamedTuple):
    """A file.

    Attributes
    ----------
    path : str
    name : str
        Its name in the folder of the source, and that of its output in the destination.
    """

    path: str
    name: str


class Inputs(NamedTuple):
    """The files of a source.

    Attributes
    ----------
    name : str
        The source, for messages.
    files : list of Input
    many : bool
        Whether the outputs are a folder: always, unless the source is one file.
    folder : str or None
        The folder in which they were found.
    """

    name: str
    files: list[Input]
    many: bool
    folder: str | None = None


def find(source: Path | Sequence[Path]) -> Inputs:
    """Return the files of a source.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    TableError
        If a folder has files of no kind, or of two kinds.
    """
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        paths = [_files.name_of(path, "source") for path in source]
        return _named("source", [Input(path, _output(path)) for path in paths])
    path = _files.name_of(source, "source")
    name = printable(path)
    if os.path.isdir(path):
        return _named(name, _in_folder(path, name), path)
    if not os.path.lexists(path) and glob.has_magic(path):
        found = sorted(glob.glob(path))
        return _named(name, [Input(each, _output(each)) for each in found])
    return Inputs(name, [Input(path, os.path.basename(path))], many=False)


def _output(path: str) -> str:
    """Return the name of the output for a file, which is not compressed."""
    name = os.path.basename(path)
    for suffix in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(suffix)
    stem, suffix = os.path.splitext(name)
    return f"{stem}.npy" if suffix == ".npz" else name


def _in_folder(folder: str, name: str) -> list[Input]:
    """Return the files of a folder and its folders, but those whose names begin with . or _."""
    found = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "_")))
        for each in files:
            path = os.path.join(parent, each)
            if each.endswith(SUFFIXES) and not each.startswith((".", "_")):
                found.append(Input(path, os.path.relpath(path, folder)))
    if not found:
        what = f"a folder without files {' or '.join(SUFFIXES)}"
        raise IsADirectoryError(errno.EISDIR, what, name)
    kinds = {os.path.splitext(each.name)[1] for each in found}
    if len(kinds) != 1:
        raise TableError(
            f"{name}: expected a folder of one kind, got {' and '.join(sorted(kinds))}"
        )
    return sorted(found, key=lambda each: each.name.split(os.sep))


def _named(name: str, files: list[Input], folder: str | None = None) -> Inputs:
    if not files:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return Inputs(name, files, True, folder)


def require_different(destination: str, paths: Sequence[str], names: Sequence[str]) -> None:
    """Raise an ArgumentError if two files have outputs of one name in a folder."""
    folds = _ignores_case(destination)
    seen: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        same = name.casefold() if folds else name
        if same in seen:
            raise ArgumentError(
                f"source: expected files of different names, as their outputs have them, got"
                f" {printable(seen[same])} and {printable(path)}, both to {printable(name)}"
            )
        seen[same] = path


def _ignores_case(path: str) -> bool:
    """Return whether names that differ in their case are one, beside a path that may not exist."""
    parent = os.path.dirname(os.path.realpath(path))
    other = parent.swapcase()
    return parent != other and os.path.exists(other) and os.path.samefile(parent, other)


def _raise(error: OSError) -> None:
    raise error
