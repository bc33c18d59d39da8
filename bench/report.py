"""Write the README's table, docs/numbers.md and its plots from the result files, one a machine.

python bench/report.py
python bench/report.py --check              # fail if they, or the numbers, are out of date
python bench/report.py --waive "The reason" # the numbers still hold although the sources changed
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import page
import results
import sources
import summary

ROOT = Path(__file__).parents[1]
WAIVER = "bench/waiver.json"
Machines = dict[str, dict[str, Any]]  # the result of each machine, by its name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, nargs="+", help="default: bench/results/*.json")
    parser.add_argument("--check", action="store_true", help="say what is outdated, write nothing")
    parser.add_argument("--waive", metavar="REASON", help="state why the numbers still hold")
    arguments = parser.parse_args()
    machines = {path.stem: results.load(path) for path in arguments.results or results.paths(ROOT)}
    if arguments.waive:
        (ROOT / WAIVER).write_text(waiver(machines, arguments.waive), encoding="utf-8")
    files = texts(machines)
    if not arguments.check or importlib.util.find_spec("matplotlib"):
        files |= plots(next(iter(machines.values())))
    else:
        print("The plots are not checked: matplotlib is not installed.")
    if arguments.check:
        of = ", ".join(machines)
        said = [f"{name} is out of date with the results of {of}" for name in old(files)]
        said += stale(machines)
        print(*said, sep="\n", end="\n" * bool(said), file=sys.stderr)
        return 1 if said else 0
    for name, text in files.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


def texts(machines: Machines) -> dict[str, str]:
    """Return the expected texts of the README, by the first machine, and the page of numbers."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = {name: result | {"waived": waived(result)} for name, result in machines.items()}
    first = next(iter(said.values()))
    return {"README.md": summary.readme(readme, first), "docs/numbers.md": page.page(said)}


def plots(result: dict[str, Any]) -> dict[str, str]:
    """Return the expected plots; only they need matplotlib."""
    from plots import plots

    return {f"docs/plots/{name}.svg": svg for name, svg in plots(result).items()}


def old(files: dict[str, str]) -> list[str]:
    """Return the files that are missing or different."""
    return [name for name, text in files.items() if not _is(ROOT / name, text)]


def stale(machines: Machines) -> list[str]:
    """Return a sentence for each machine that measured other sources, unless this is waived."""
    now = sources.digest(ROOT)
    return [
        f"The numbers of {name} are of the sources {measured}, these are {now}: measure again"
        f" (python bench/run.py {_again(name, machines)}), or say why they hold"
        " (python bench/report.py --waive REASON)."
        for name, result in machines.items()
        if (measured := result["elman"]["sources"]) != now and not waived(result)
    ]


def _again(name: str, machines: Machines) -> str:
    """Return the options that write this file, with those of the machine's other sets."""
    machine = name.removesuffix(f"-{machines[name]['elman']['isa']}")
    if machine == name:
        return f"--machine-name {name}"
    sets = [result["elman"]["isa"] for result in machines.values()]
    sets = [isa for isa in sets if f"{machine}-{isa}" in machines]
    return f"--machine-name {machine} --sets {','.join(sets)}"


def waiver(machines: Machines, reason: str) -> str:
    """Return the text of a waiver for these sources."""
    measured = sorted({result["elman"]["sources"] for result in machines.values()})
    facts = {"measured": measured, "sources": sources.digest(ROOT)}
    return json.dumps(facts | {"reason": reason}, indent=1, ensure_ascii=False) + "\n"


def waived(result: dict[str, Any]) -> str:
    """Return the reason why these numbers hold for these sources, or an empty string."""
    path = ROOT / WAIVER
    if not path.exists():
        return ""
    facts = json.loads(path.read_text(encoding="utf-8"))
    is_this = result["elman"]["sources"] in facts["measured"]
    return facts["reason"] if is_this and facts["sources"] == sources.digest(ROOT) else ""


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
