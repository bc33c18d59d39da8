"""`elman convert`: convert a model file between frameworks."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman._compare.comparison import check
from elman._compare.opening import options_of
from elman._text import printable
from elman.cli import layout
from elman.cli.report import describe, print_json, random_inputs
from elman.errors import ElmanError, ModelFormatError, UnsupportedModelError
from elman.files.output import open_output
from elman.interop import formats
from elman.interop._export import folded
from elman.interop.torch.writing import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elman._compare import Comparison
    from elman._typing import Array
    from elman.interop._source import Imported


def convert(
    source: str,
    target: str,
    options: dict[str, Any],
    fold_scaling: bool,
    checked: bool,
    as_json: bool,
) -> bool:
    """Convert a file, print the mapping, and return False if the check failed.

    A check compares the network with the source and with what is to be written, each run by its own
    framework. Nothing is written if it fails. The source is never overwritten.
    """
    try:
        imported = _read(source, options)
        data = formats.contents(imported.network, target, fold_scaling=fold_scaling)
    except ElmanError as error:
        raise type(error)(_in_options(str(error), options)) from error
    found = _check(source, imported, target, data, fold_scaling) if checked else {}
    agreed = all(comparison.ok for comparison in found.values())
    if agreed:
        with open_output(target, sources=(source,)) as file:
            file.write(data)
    if as_json:
        print_json(_facts(source, target, imported, found, agreed))
    else:
        _show(source, target, imported, found, agreed)
    return agreed


def _read(source: str, options: dict[str, Any]) -> Imported:
    """Read the source; errors of what is in it name the file."""
    try:
        return formats.read(source, **options)
    except ElmanError as error:
        said = str(error).removeprefix("source: ")
        of_model = isinstance(error, UnsupportedModelError | ModelFormatError)
        if said != str(error) or (of_model and source not in said):
            said = f"{source}: {said}"
        raise type(error)(said) from error


def _in_options(message: str, options: Iterable[str]) -> str:
    """Return a message about arguments of Python as one about options of the command."""
    names = "|".join([*options, "fold_scaling"])

    def option(found: re.Match[str]) -> str:
        name, value = found[1].replace("_", "-"), found[2]
        if not value or value == "True":
            return f"--{name}"
        return f"--{name} {'false' if value == 'False' else value[1:-1]}"

    message = re.sub(rf"^({names})()(?=: )", option, message)
    return re.sub(rf"\b({names})=(True\b|False\b|'[^']*'|(?=[\s,;:]|$))", option, message)


def _check(
    source: str, imported: Imported, target: str, data: bytes, fold_scaling: bool
) -> dict[str, Comparison]:
    """Compare the network with the source and with the converted bytes, on random inputs."""
    net = imported.network

    def inputs(B: int, T: int) -> Array:
        return random_inputs(net, (B, T), seed=0)

    with contextlib.redirect_stdout(sys.stderr):  # what frameworks print
        found = {"source": check(net, source, imported, inputs)}
        with tempfile.TemporaryDirectory() as folder:
            suffix = ".weights.h5" if target.endswith(".weights.h5") else Path(target).suffix
            path = str(Path(folder, f"converted{suffix}"))
            Path(path).write_bytes(data)
            try:
                options = options_of(net, path)
                if formats.framework_of(path) == "torch":
                    options |= names_of(net)
                written = formats.read(path, **options)
                wanted = folded(net) if fold_scaling else net
                found["target"] = check(wanted, target, written, inputs)
            except ElmanError as error:
                raise type(error)(str(error).replace(path, target)) from error
    return found


def _facts(
    source: str,
    target: str,
    imported: Imported,
    found: dict[str, Comparison],
    written: bool,
) -> dict[str, Any]:
    checks = {of: {"ok": one.ok, **one._asdict()} for of, one in found.items()}
    return {
        "source": source,
        "target": target,
        "written": written,
        "mapping": [row._asdict() for row in imported.rows],
        "network": describe(imported.network),
        "check": {"ok": written, **checks} if checks else None,
    }


def _show(
    source: str,
    target: str,
    imported: Imported,
    found: dict[str, Comparison],
    written: bool,
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("in the source", "in elman", "", box=SIMPLE_HEAD)
    for row in imported.rows:
        table.add_row(*(printable(cell) for cell in (row.source, row.target or "-", row.note)))
    console = Console(highlight=False, markup=False)
    layout.print_table(console, table)
    print(f"{printable(source)}: {imported.network}")
    for of, one in found.items():
        print(f"check of the {of}: {one}")
    if written:
        print(f"written: {printable(target)}")
