"""Compare two builds of elman: the same cases interleaved, ratios with quartiles.

    python bench/versus.py OLD/bin/python NEW/bin/python
    python bench/versus.py OLD NEW --cases 'step*,update/*' --isa avx2 --rounds 60 --json FILE
    python bench/versus.py OLD NEW --cases 'step*' --list

OLD and NEW are the interpreters of two environments with elman installed. Each runs the cases of
versus_worker.py in its own process, on the same processor; one waits while the other runs, and
their order alternates. A ratio is new / old within a round. Each pass starts new processes, because
the layout of memory makes some cases faster or slower for the lifetime of a process. The cases
`threads/...` compare two threads with one, both of NEW, on all processors.

The exit code is 1 if the two give different bits.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    Facts = dict[str, Any]

WORKER = Path(__file__).with_name("versus_worker.py")
CHUNK_NS, CHUNKS, LONG_NS = 1_000_000, 5, 20_000_000  # the best of five chunks counts
NOTABLE = 0.03
ONE, TWO = "/threads=1", "/threads=2"


class CaseError(Exception):
    """A build cannot run a case; the message says why."""


class Build:
    """A process that runs cases with one build."""

    def __init__(self, python: str, isa: str | None) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        if isa:
            environment["ELMAN_ISA"] = isa
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [python, "-P", str(WORKER)]
        self.python = python
        try:
            self.process = subprocess.Popen(command, env=environment, **pipes)
        except OSError as error:
            sys.exit(f"{python}: expected an interpreter of Python, got {error.strerror}")

    def ask(self, do: str, **request: Any) -> Facts:
        """Return the answer to a request."""
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.python}: expected an answer, got end of file ({do}, {request})")
        answer = json.loads(line)
        if "error" in answer:
            raise CaseError(f"{self.python}: {answer['error']}")
        return answer

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Side(NamedTuple):
    """One side of a comparison: a case of a build."""

    build: Build
    name: str
    pin: bool = True

    def ask(self, do: str, **request: Any) -> Facts:
        return self.build.ask(do, name=self.name, pin=self.pin, **request)


def sides(name: str, old: Build, new: Build) -> tuple[Side, Side]:
    """Return the two sides of a case."""
    if name.endswith(TWO):
        return Side(new, name.removesuffix(TWO) + ONE, False), Side(new, name, False)
    return Side(old, name), Side(new, name)


@contextlib.contextmanager
def builds(arguments: argparse.Namespace) -> Iterator[tuple[Build, Build]]:
    """Start both processes, and end them on exit."""
    both = tuple(Build(python, arguments.isa) for python in (arguments.old, arguments.new))
    try:
        yield both
    finally:
        for build in both:
            build.end()


def measure(name: str, pair: tuple[Side, Side], rounds: int) -> Facts:
    """Return the times of both sides in each round and whether their bits agree, or an error."""
    try:
        found = [side.ask("prepare") for side in pair]
        duration = max(1, min(answer["ns"] for answer in found))
        plan = {
            "count": max(1, round(CHUNK_NS / duration)),
            "chunks": CHUNKS if duration < LONG_NS else 1,
        }
        times: list[tuple[float, float]] = []
        for index in range(rounds):
            order = pair if index % 2 else pair[::-1]
            taken = {side: side.ask("time", **plan)["ns"] for side in order}
            times.append((taken[pair[0]], taken[pair[1]]))
        return {"name": name, "same": found[0]["bits"] == found[1]["bits"], "times": times}
    except CaseError as error:
        return {"name": name, "error": str(error)}
    finally:
        for side in pair:
            side.build.ask("drop")


def names_of(arguments: argparse.Namespace) -> list[str]:
    """Return the names of the cases that match --cases."""
    with builds(arguments) as (_, new):
        names = [name for name in new.ask("about")["cases"] if chosen(name, arguments.cases)]
    return [name.removesuffix(TWO) for name in names]


def run(arguments: argparse.Namespace) -> Facts:
    """Return the builds and the combined results of all passes."""
    cases: dict[str, Facts] = {}
    for index in range(arguments.passes):
        with builds(arguments) as (old, new):
            about = {"old": old.ask("about"), "new": new.ask("about")}
            names = [name for name in about["new"].pop("cases") if chosen(name, arguments.cases)]
            known = about["old"].pop("cases")
            lacking = [name for name in names if name not in known]
            names = [name for name in names if name in known]
            for number, name in enumerate(names):
                progress(
                    f"pass {index + 1} of {arguments.passes}: {number} of {len(names)}, {name}"
                )
                share = -(-arguments.rounds // arguments.passes)
                case = measure(name, sides(name, old, new), share)
                cases[name] = together(cases[name], case) if name in cases else case
    progress("")
    found = [summed(case) for case in cases.values()]
    return {**about, "isa": arguments.isa, "left_out": lacking, "cases": found}


def together(earlier: Facts, case: Facts) -> Facts:
    """Combine the rounds of two passes; an error in one is an error in both."""
    for part in (earlier, case):
        if "error" in part:
            return part
    same = earlier["same"] and case["same"]
    return {**case, "same": same, "times": earlier["times"] + case["times"]}


def chosen(name: str, patterns: str) -> bool:
    """Return True if a case takes part; one-thread cases are the other side of two-thread cases."""
    return not name.endswith(ONE) and any(
        fnmatch.fnmatchcase(name.removesuffix(TWO), pattern) for pattern in patterns.split(",")
    )


def summed(case: Facts) -> Facts:
    """Replace the rounds by their medians and quartiles."""
    if "error" in case:
        return case
    times = case.pop("times")
    ratios = [new / old for old, new in times]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    ratio = {"median": median(ratios), "low": low, "high": high}
    old, new = (median(column) for column in zip(*times, strict=True))
    return {**case, "old_ns": old, "new_ns": new, "ratio": ratio}


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# --- output ---------------------------------------------------------------------------------------


def show(result: Facts) -> None:
    """Print a line per case, and a summary of each kind of comparison."""
    for side in ("old", "new"):
        build = result[side]["build"]
        print(f"{side}: {build['version']}, {build['compiler']}, {build['isa']}")
    cases = result["cases"]
    titles = (("old", "new", "new / old"), ("1 thread", "2 threads", "two threads / one, new"))
    for first, second, ratio in titles:
        part = [case for case in cases if case["name"].endswith(TWO) == (first != "old")]
        if part:
            print(f"\n{'':38}{first:>11}{second:>11}   {ratio}")
        for case in part:
            print(line(case))
        if measured := [case for case in part if "error" not in case]:
            print(summary(measured))
    if result["left_out"]:
        print(f"\nleft out, as the old build has no such calls: {', '.join(result['left_out'])}")
    if differ := [case["name"] for case in cases if not case.get("same", True)]:
        print(f"\nother bits: {', '.join(differ)}")


def line(case: Facts) -> str:
    """Return the times of a case, the ratio and its quartiles."""
    name = case["name"].removesuffix(TWO)
    if "error" in case:
        return f"{name:38} {case['error']}"
    ratio = case["ratio"]
    marks = "slower" if ratio["median"] > 1 + NOTABLE else ""
    marks = "faster" if ratio["median"] < 1 - NOTABLE else marks
    marks += "" if case["same"] else "  OTHER BITS"
    quartiles = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
    times = f"{duration(case['old_ns'])}{duration(case['new_ns'])}"
    return f"{name:38}{times}   {ratio['median']:.3f}  ({quartiles})  {marks}".rstrip()


def duration(ns: float) -> str:
    for unit, size in (("ns", 1e3), ("us", 1e6), ("ms", 1e9)):
        if ns < size:
            return f"{ns / size * 1e3:8.4g} {unit}"
    return f"{ns / 1e9:9.4g} s"


def summary(cases: list[Facts]) -> str:
    """Return the median, best and worst ratios, and the numbers of notable differences."""
    ranked = sorted(cases, key=lambda case: case["ratio"]["median"])
    ratios = [case["ratio"]["median"] for case in ranked]
    beyond = (sum(r > 1 + NOTABLE for r in ratios), sum(r < 1 - NOTABLE for r in ratios))
    ends = [f"{case['name']} {case['ratio']['median']:.3f}" for case in (ranked[0], ranked[-1])]
    return (
        f"{len(cases)} cases: median {median(ratios):.3f}, best {ends[0]}, worst {ends[1]};"
        f" {beyond[0]} slower and {beyond[1]} faster by more than {NOTABLE:.0%}"
    )


def main() -> int:
    """Measure, print, and write the JSON file if requested."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="a Python with the old build of elman")
    parser.add_argument("new", help="a Python with the new build")
    parser.add_argument("--cases", default="*", metavar="PATTERNS", help="such as 'step*,update/*'")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and exit")
    parser.add_argument("--isa", help="the instruction set of both builds")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--passes", type=int, default=5, help="how often to start new processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the file for the results")
    arguments = parser.parse_args()
    if arguments.list:
        print(*names_of(arguments), sep="\n")
        return 0
    result = run(arguments)
    if not result["cases"] and not result["left_out"]:
        parser.error(f"--cases: expected names of cases, got {arguments.cases!r}")
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(not all(case.get("same", True) for case in result["cases"]))


if __name__ == "__main__":
    sys.exit(main())
