"""`elman convert`: convert a model file between frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman._compare import compare
from elman._container import printable
from elman.cli import layout
from elman.cli.report import describe, print_json, random_inputs
from elman.files.output import open_output
from elman.interop import formats

if TYPE_CHECKING:
    from elman._compare import Comparison
    from elman.interop._source import Imported

CHECKED_SHAPE = (3, 50)  # sequences, steps


def convert(
    source: str,
    target: str,
    options: dict[str, Any],
    fold_scaling: bool,
    check: bool,
    as_json: bool,
) -> bool:
    """Convert a file, print the mapping, and return False if the check failed.

    Nothing is written if the check fails. The source is never overwritten.
    """
    imported = formats.read(source, **options)
    data = formats.contents(imported.network, target, fold_scaling=fold_scaling)
    found = _check(imported) if check else None
    agreed = found is None or found.ok
    if agreed:
        with open_output(target, sources=(source,)) as file:
            file.write(data)
    if as_json:
        print_json(_facts(source, target, imported, found))
    else:
        _show(source, target, imported, found)
    return agreed


def _check(imported: Imported) -> Comparison:
    """Compare the network with the source in its own framework, on random inputs."""
    frozen = (None, None) if imported.source is None else imported.source.sizes()
    usual, net = CHECKED_SHAPE, imported.network
    B, T = (n if size is None else size for n, size in zip(usual, frozen, strict=True))
    return compare(net, imported, random_inputs(net, (B, T), seed=0).astype(net.dtype))


def _facts(
    source: str, target: str, imported: Imported, found: Comparison | None
) -> dict[str, Any]:
    check = None if found is None else {"ok": found.ok, **found._asdict()}
    return {
        "source": source,
        "target": target,
        "written": found is None or found.ok,
        "mapping": [row._asdict() for row in imported.rows],
        "network": describe(imported.network),
        "check": check,
    }


def _show(source: str, target: str, imported: Imported, found: Comparison | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("in the source", "in elman", "", box=SIMPLE_HEAD)
    for row in imported.rows:
        table.add_row(*(printable(cell) for cell in (row.source, row.target or "-", row.note)))
    console = Console(highlight=False, markup=False)
    layout.print_table(console, table)
    print(f"{printable(source)}: {imported.network}")
    if found is not None:
        print(f"check: {found}")
    if found is None or found.ok:
        print(f"written: {printable(target)}")
