"""Write the README's table, docs/numbers.md and its plots from the result file.

python bench/report.py
python bench/report.py --check      # fail if they are out of date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import page
import summary

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results.json")
    parser.add_argument("--check", action="store_true", help="list outdated files, write nothing")
    arguments = parser.parse_args()
    result = json.loads(arguments.results.read_text(encoding="utf-8"))
    files = texts(result) | plots(result)
    if arguments.check:
        for path in old(files):
            print(f"{path} is out of date with {arguments.results}", file=sys.stderr)
        return 1 if old(files) else 0
    for name, text in files.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


def texts(result: dict[str, Any]) -> dict[str, str]:
    """Return the expected texts of the README and the page of numbers."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {"README.md": summary.readme(readme, result), "docs/numbers.md": page.page(result)}


def plots(result: dict[str, Any]) -> dict[str, str]:
    """Return the expected plots; only they need matplotlib."""
    from plots import plots

    return {f"docs/plots/{name}.svg": svg for name, svg in plots(result).items()}


def old(files: dict[str, str]) -> list[str]:
    """Return the files that are missing or different."""
    return [name for name, text in files.items() if not _is(ROOT / name, text)]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
